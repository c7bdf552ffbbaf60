#include "gdal_sgc/patch_layer.h"

#include <cpl_time.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

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

void SetText(OGRFeature &feature, Field field, const char *text)
{
    if (text != nullptr)
        feature.SetField(field, text);
    else
        feature.SetFieldNull(field);
}

// Seconds since 1970, UTC.
void SetTime(OGRFeature &feature, Field field, int64_t seconds)
{
    constexpr int UTC = 100;
    struct tm parts;
    CPLUnixTimeToYMDHMS(seconds, &parts);
    feature.SetField(field, parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, static_cast<float>(parts.tm_sec), UTC);
}

void SetCommit(OGRFeature &feature, const sgc_known_patch &patch)
{
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(&patch.snapshot, snapshot);
    SetText(feature, SNAPSHOT, snapshot);
    SetTime(feature, COMMIT_TIME, static_cast<int64_t>(patch.time / 1000000));
    feature.SetField(BYTES, static_cast<GIntBig>(patch.bytes));
    SetText(feature, ETAG, patch.etag);
}

// The part of the patch that lies in the cube.
void SetFootprint(OGRFeature &feature, const sgc_grid &grid, const sgc_rect &patch)
{
    const sgc_rect rect = sgc_rect_intersect({0, 0, grid.width, grid.height}, patch);
    if (sgc_rect_is_empty(rect))
        return;
    const double *t = grid.transform;
    const double left = t[0] + static_cast<double>(rect.x) * t[1],
                 right = t[0] + static_cast<double>(rect.x + rect.width) * t[1],
                 top = t[3] + static_cast<double>(rect.y) * t[5],
                 bottom = t[3] + static_cast<double>(rect.y + rect.height) * t[5];
    auto ring = new OGRLinearRing();
    ring->addPoint(left, top);
    ring->addPoint(right, top);
    ring->addPoint(right, bottom);
    ring->addPoint(left, bottom);
    ring->addPoint(left, top);
    auto polygon = new OGRPolygon();
    polygon->addRingDirectly(ring);
    polygon->assignSpatialReference(feature.GetGeomFieldDefnRef(0)->GetSpatialRef());
    feature.SetGeometryDirectly(polygon);
}

} // namespace

SGCPatchLayer::SGCPatchLayer(std::shared_ptr<SGCHandle> handle, const OGRSpatialReference &crs)
    : handle_(std::move(handle)), definition_(new OGRFeatureDefn("patches"))
{
    SetDescription(definition_->GetName());
    definition_->Reference();
    definition_->SetGeomType(wkbPolygon);
    OGRSpatialReference *own = crs.Clone();
    definition_->GetGeomFieldDefn(0)->SetSpatialRef(own);
    own->Release();
    for (const auto &field : fields) {
        OGRFieldDefn column(field.name, field.type);
        definition_->AddFieldDefn(&column);
    }
}

SGCPatchLayer::~SGCPatchLayer()
{
    sgc_known_patches_clear(&patches_);
    definition_->Release();
}

SGC_CONST_LAYER OGRFeatureDefn *SGCPatchLayer::GetLayerDefn() SGC_CONST_LAYER
{
    return definition_;
}

int SGCPatchLayer::TestCapability(const char *capability) SGC_CONST_LAYER
{
    if (EQUAL(capability, OLCFastFeatureCount))
        return m_poFilterGeom == nullptr && m_poAttrQuery == nullptr;
    return EQUAL(capability, OLCRandomRead) || EQUAL(capability, OLCStringsAsUTF8);
}

// Of the steps that the user has named. After a failure, which is reported, there are none.
void SGCPatchLayer::List()
{
    if (std::exchange(listed_, true))
        return;
    const sgc_time_axis &axis = sgc_cube_definition(handle_->Cube())->time;
    const char *time = handle_->Connection().time;
    const char *most = CPLGetConfigOption(MOST_KEY, MOST_DEFAULT);
    size_t first = 0, count = std::max<size_t>(axis.count, 1);
    sgc_error error = {""};
    sgc_status status = SGC_OK;
    if (time != nullptr)
        status = sgc_time_axis_find(&axis, time, &first, &count, &error);
    if (status == SGC_OK)
        status = sgc_cube_list_patches(handle_->Cube(), first, count,
                                       std::strtoull(most, nullptr, 10), &patches_, &error);
    if (status != SGC_OK)
        SGCReport(status, error);
    if (patches_.lacks_absent)
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: the layer \"patches\" has only what is in the cube: there are more than %s "
                 "others; set %s, or name a time step with TIME",
                 most, MOST_KEY);
}

void SGCPatchLayer::ResetReading()
{
    next_ = 0;
}

OGRFeature *SGCPatchLayer::GetFeature(GIntBig fid)
{
    List();
    if (fid < 0 || static_cast<uint64_t>(fid) >= patches_.count)
        return nullptr;
    const sgc_cube *cube = handle_->Cube();
    const sgc_definition *definition = sgc_cube_definition(cube);
    const sgc_known_patch &patch = patches_.items[fid];
    auto feature = new OGRFeature(definition_);
    for (int field = 0; field < FIELD_COUNT; field++)
        feature->SetFieldNull(field);
    feature->SetFID(fid);
    SetText(*feature, ID, patch.id);
    feature->SetField(LEVEL, static_cast<int>(sgc_cube_level(cube, patch.level)->factor));
    if (patch.has_step && patch.step < definition->time.count)
        SetTime(*feature, TIME, definition->time.starts[patch.step]);
    SetText(*feature, STATE, sgc_patch_state_name(patch.state));
    SetText(*feature, HREF, patch.href);
    if (patch.has_commit)
        SetCommit(*feature, patch);
    SetFootprint(*feature, definition->grid, patch.rect);
    return feature;
}

OGRFeature *SGCPatchLayer::GetNextRawFeature()
{
    List();
    return next_ < patches_.count ? GetFeature(static_cast<GIntBig>(next_++)) : nullptr;
}

GIntBig SGCPatchLayer::GetFeatureCount(int force)
{
    List();
    return TestCapability(OLCFastFeatureCount) ? static_cast<GIntBig>(patches_.count)
                                               : OGRLayer::GetFeatureCount(force);
}

// ---- the dataset's side ----

int SGCDataset::GetLayerCount() SGC_CONST_LAYER
{
    return patches_ != nullptr ? 1 : 0;
}

SGC_CONST_LAYER OGRLayer *SGCDataset::GetLayer(int index) SGC_CONST_LAYER
{
    return index == 0 ? patches_.get() : nullptr;
}

void SGCDataset::AddPatches()
{
    patches_.reset(new SGCPatchLayer(handle_, spatialRef_));
}
