// The vector layer "patches": one feature for each patch, level and time step that is known without
// a request. It is made in memory when somebody asks for it.
#include <cpl_time.h>
#include <ogr_api.h>

#include <algorithm>
#include <cstdlib>

#include "gdal_sgc/dataset.h"
#include "gdal_sgc/patches.h"
#include "gdal_sgc/time_axis.h"

namespace
{

enum Field { ID, LEVEL, TIME, STATE, SNAPSHOT, COMMIT_TIME, HREF, BYTES, ETAG, FIELD_COUNT };

constexpr struct {
    const char *name;
    OGRFieldType type;
} fields[FIELD_COUNT] = {
    {"id", OFTString},    {"level", OFTInteger},   {"time", OFTDateTime},
    {"state", OFTString}, {"snapshot", OFTString}, {"commit_time", OFTDateTime},
    {"href", OFTString},  {"bytes", OFTInteger64}, {"etag", OFTString},
};

constexpr const char *MOST_KEY = "SGC_MAX_ABSENT_PATCHES", *MOST_DEFAULT = "100000";

OGRLayerH NewLayer(GDALDatasetH dataset, OGRSpatialReferenceH crs)
{
    OGRLayerH layer = GDALDatasetCreateLayer(dataset, "patches", crs, wkbPolygon, nullptr);
    for (const auto &field : fields) {
        OGRFieldDefnH definition = OGR_Fld_Create(field.name, field.type);
        CPL_IGNORE_RET_VAL(
            OGR_L_CreateField(layer, definition, FALSE)); // in memory, it cannot fail
        OGR_Fld_Destroy(definition);
    }
    return layer;
}

void SetText(OGRFeatureH feature, Field field, const char *text)
{
    if (text != nullptr)
        OGR_F_SetFieldString(feature, field, text);
}

// Seconds since 1970, UTC.
void SetTime(OGRFeatureH feature, Field field, int64_t seconds)
{
    constexpr int UTC = 100;
    struct tm parts;
    CPLUnixTimeToYMDHMS(seconds, &parts);
    OGR_F_SetFieldDateTime(feature, field, parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                           parts.tm_hour, parts.tm_min, parts.tm_sec, UTC);
}

void SetCommit(OGRFeatureH feature, const sgc_known_patch &patch)
{
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(&patch.snapshot, snapshot);
    SetText(feature, SNAPSHOT, snapshot);
    SetTime(feature, COMMIT_TIME, static_cast<int64_t>(patch.time / 1000000));
    OGR_F_SetFieldInteger64(feature, BYTES, static_cast<GIntBig>(patch.bytes));
    SetText(feature, ETAG, patch.etag);
}

// The part of the patch that lies in the cube.
void SetFootprint(OGRFeatureH feature, const sgc_grid &grid, const sgc_rect &patch)
{
    const sgc_rect rect = sgc_rect_intersect({0, 0, grid.width, grid.height}, patch);
    if (sgc_rect_is_empty(rect))
        return;
    const double *t = grid.transform;
    const double left = t[0] + static_cast<double>(rect.x) * t[1],
                 right = t[0] + static_cast<double>(rect.x + rect.width) * t[1],
                 top = t[3] + static_cast<double>(rect.y) * t[5],
                 bottom = t[3] + static_cast<double>(rect.y + rect.height) * t[5];
    OGRGeometryH ring = OGR_G_CreateGeometry(wkbLinearRing);
    OGR_G_AddPoint_2D(ring, left, top);
    OGR_G_AddPoint_2D(ring, right, top);
    OGR_G_AddPoint_2D(ring, right, bottom);
    OGR_G_AddPoint_2D(ring, left, bottom);
    OGR_G_AddPoint_2D(ring, left, top);
    OGRGeometryH polygon = OGR_G_CreateGeometry(wkbPolygon);
    OGR_G_AddGeometryDirectly(polygon, ring);
    OGR_F_SetGeometryDirectly(feature, polygon);
}

bool AddPatch(OGRLayerH layer, const sgc_cube *cube, const sgc_known_patch &patch)
{
    const sgc_definition *definition = sgc_cube_definition(cube);
    OGRFeatureH feature = OGR_F_Create(OGR_L_GetLayerDefn(layer));
    for (int field = 0; field < FIELD_COUNT; field++)
        OGR_F_SetFieldNull(feature, field);
    SetText(feature, ID, patch.id);
    OGR_F_SetFieldInteger(feature, LEVEL,
                          static_cast<int>(sgc_cube_level(cube, patch.level)->factor));
    if (patch.has_step && patch.step < definition->time.count)
        SetTime(feature, TIME, definition->time.starts[patch.step]);
    SetText(feature, STATE, sgc_patch_state_name(patch.state));
    SetText(feature, HREF, patch.href);
    if (patch.has_commit)
        SetCommit(feature, patch);
    SetFootprint(feature, definition->grid, patch.rect);
    const bool good = OGR_L_CreateFeature(layer, feature) == OGRERR_NONE;
    OGR_F_Destroy(feature);
    return good;
}

// Those of the steps that the user has named. Gives SGC_OK or what failed.
sgc_status ListPatches(const SGCHandle &handle, size_t most, sgc_known_patches *patches,
                       sgc_error *error)
{
    const sgc_time_axis &axis = sgc_cube_definition(handle.Cube())->time;
    const char *time = handle.Connection().time;
    size_t first = 0, count = std::max<size_t>(axis.count, 1);
    if (time != nullptr)
        SGC_TRY(sgc_time_axis_find(&axis, time, &first, &count, error));
    return sgc_cube_list_patches(handle.Cube(), first, count, most, patches, error);
}

void Fill(OGRLayerH layer, const SGCHandle &handle)
{
    sgc_known_patches patches = {};
    sgc_error error = {""};
    const char *most = CPLGetConfigOption(MOST_KEY, MOST_DEFAULT);
    const sgc_status status =
        ListPatches(handle, std::strtoull(most, nullptr, 10), &patches, &error);
    if (status != SGC_OK)
        SGCReport(status, error);
    for (size_t i = 0; i < patches.count; i++)
        if (!AddPatch(layer, handle.Cube(), patches.items[i]))
            break; // having reported it
    if (patches.lacks_absent)
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: the layer \"patches\" has only what is in the cube: there are more than %s "
                 "others; set %s, or name a time step with TIME",
                 most, MOST_KEY);
    sgc_known_patches_clear(&patches);
}

} // namespace

bool SGCDataset::CanShowPatches()
{
    return GDALGetDriverByName(SGC_MEMORY_DRIVER) != nullptr;
}

int SGCDataset::GetLayerCount() SGC_CONST
{
    return hasPatches_ ? 1 : 0;
}

// GDAL relies on it that there is a layer: after a failure, which is reported, it is empty.
SGC_CONST OGRLayer *SGCDataset::GetLayer(int index) SGC_CONST
{
    if (!hasPatches_ || index != 0)
        return nullptr;
    if (patches_ == nullptr) {
        GDALDatasetH made =
            GDALCreate(GDALGetDriverByName(SGC_MEMORY_DRIVER), "", 0, 0, 0, GDT_Unknown, nullptr);
        patches_.reset(GDALDataset::FromHandle(made));
        OGRLayerH layer = NewLayer(
            made, OGRSpatialReference::ToHandle(const_cast<OGRSpatialReference *>(&spatialRef_)));
        Fill(layer, *handle_);
    }
    return patches_->GetLayer(0);
}
