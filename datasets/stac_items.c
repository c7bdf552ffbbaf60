#include "datasets/stac_items.h"

#include <cpl_string.h>
#include <math.h>
#include <ogr_core.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/area.h"
#include "datasets/quiet.h"
#include "datasets/raster_file.h"
#include "datasets/stac_href.h"
#include "datasets/stac_json.h"

sgc_status sgc_stac_item_id(const cJSON *item, const char **id, sgc_error *err)
{
    const char *text = sgc_stac_text(item, "id");
    if (text == NULL)
        return sgc_fail(err, SGC_CORRUPT, "an item has no id");
    *id = text;
    return SGC_OK;
}

/* ---- time ---- */

bool sgc_stac_parse_time(const char *text, int64_t *seconds)
{
    OGRField field;
    if (text == NULL || !OGRParseDate(text, &field, 0) || field.Date.Month < 1)
        return false;
    struct tm parts = {
        .tm_year = field.Date.Year - 1900,
        .tm_mon = field.Date.Month - 1,
        .tm_mday = field.Date.Day,
        .tm_hour = field.Date.Hour,
        .tm_min = field.Date.Minute,
        .tm_sec = (int)field.Date.Second,
    };
    /* 100 is UTC, each step a quarter of an hour; 0 and 1 are no zone, which STAC has not. */
    const int quarters = field.Date.TZFlag > 1 ? field.Date.TZFlag - 100 : 0;
    *seconds = timegm(&parts) - (int64_t)quarters * 900;
    return true;
}

sgc_stac_times sgc_stac_item_times(const cJSON *item)
{
    const cJSON *properties = sgc_stac_member(item, "properties");
    sgc_stac_times times = {0};
    times.has_any = sgc_stac_parse_time(sgc_stac_text(properties, "datetime"), &times.start);
    times.end = times.start;
    if (times.has_any)
        return times;
    times.has_any = sgc_stac_parse_time(sgc_stac_text(properties, "start_datetime"), &times.start);
    if (!sgc_stac_parse_time(sgc_stac_text(properties, "end_datetime"), &times.end))
        times.end = times.start;
    return times;
}

sgc_status sgc_stac_times_in_step(const sgc_stac_times *times, const sgc_time_axis *axis,
                                  size_t step, bool *is_in, sgc_error *err)
{
    if (axis->count > 0 && !times->has_any)
        return sgc_fail(err, SGC_CORRUPT, "it has no datetime");
    if (axis->count == 0)
        *is_in = true;
    else if (axis->is_instant)
        *is_in = times->start <= axis->starts[step] && times->end >= axis->starts[step];
    else
        *is_in = times->start >= axis->starts[step] && times->start < axis->ends[step];
    return SGC_OK;
}

void sgc_stac_set_steps(const sgc_stac_times *times, const sgc_time_axis *axis, sgc_patch *patch)
{
    size_t first = 0, end;
    if (!axis->is_instant || !times->has_any)
        return;
    while (first < axis->count && axis->starts[first] < times->start)
        first++;
    for (end = first; end < axis->count && axis->starts[end] <= times->end; end++)
        ;
    patch->first_step = first;
    patch->step_count = end - first;
}

/* ---- the pixels of an asset ---- */

/* Where a field of the projection or raster extension may stand, the strongest first. */
typedef struct scopes {
    const cJSON *band, *asset, *properties; /* NULL where there is none */
} scopes;

static const cJSON *field(const scopes *s, const char *key)
{
    const cJSON *const places[] = {s->band, s->asset, s->properties};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const cJSON *item = sgc_stac_member(places[i], key);
        if (item != NULL)
            return item;
    }
    return NULL;
}

/* The entry of a list of bands ("bands", "raster:bands") that describes one band of the file. */
static const cJSON *band_entry(const cJSON *asset, const char *key, int source_band)
{
    const cJSON *list = sgc_stac_member(asset, key);
    const cJSON *entry = cJSON_IsArray(list) ? cJSON_GetArrayItem(list, source_band - 1) : NULL;
    return cJSON_IsObject(entry) ? entry : NULL;
}

static scopes scopes_of(const cJSON *item, const sgc_band *band)
{
    const cJSON *asset = sgc_stac_member(sgc_stac_member(item, "assets"), band->asset);
    return (scopes){band_entry(asset, "bands", band->source_band), asset,
                    sgc_stac_member(item, "properties")};
}

/* "EPSG:3413", not a name of a file or a server, which GDAL would open. */
static bool is_code(const char *text)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const size_t n = strspn(text, word);
    if (n == 0 || text[n] != ':' || strlen(text) > 60)
        return false;
    const char *code = text + n + 1;
    return *code != '\0' && strspn(code, word) == strlen(code);
}

/* Gives (free with CPLFree()) the CRS that one object declares, as OSRSetFromUserInput() knows it.
 */
static char *declared_crs(const cJSON *object)
{
    const char *code = sgc_stac_text(object, "proj:code");
    const cJSON *epsg = sgc_stac_member(object, "proj:epsg");
    const char *wkt = sgc_stac_text(object, "proj:wkt2");
    const cJSON *projjson = sgc_stac_member(object, "proj:projjson");
    if (code != NULL && is_code(code))
        return CPLStrdup(code);
    if (cJSON_IsNumber(epsg) && epsg->valuedouble >= 1 && epsg->valuedouble <= INT32_MAX)
        return CPLStrdup(CPLSPrintf("EPSG:%d", epsg->valueint));
    if (wkt != NULL && strchr(wkt, '[') != NULL)
        return CPLStrdup(wkt);
    if (!cJSON_IsObject(projjson))
        return NULL;
    char *text = cJSON_PrintUnformatted(projjson);
    char *crs = text != NULL ? CPLStrdup(text) : NULL;
    cJSON_free(text);
    return crs;
}

static char *asset_crs(const scopes *s)
{
    char *crs = declared_crs(s->band);
    if (crs == NULL)
        crs = declared_crs(s->asset);
    return crs != NULL ? crs : declared_crs(s->properties);
}

static bool import_crs(OGRSpatialReferenceH crs, const char *text)
{
    if (!is_code(text) && *text != '{') {
        char *wkt = (char *)text;
        return OSRImportFromWkt(crs, &wkt) == OGRERR_NONE;
    }
    return OSRSetFromUserInput(crs, text) == OGRERR_NONE;
}

/* Tells whether two CRSs are one; SGC_UNSUPPORTED when that of the item is unknown. */
static sgc_status compare_crs(const char *theirs, const char *ours, bool *same, sgc_error *err)
{
    static const char *const options[] = {"CRITERION=EQUIVALENT_EXCEPT_AXIS_ORDER_GEOGCRS",
                                          "IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", NULL};
    *same = EQUAL(theirs, ours);
    if (*same)
        return SGC_OK;
    OGRSpatialReferenceH a = OSRNewSpatialReference(NULL), b = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    const bool known = import_crs(a, theirs);
    *same = known && OSRSetFromUserInput(b, ours) == OGRERR_NONE && OSRIsSameEx(a, b, options);
    sgc_quiet_end(&quiet);
    OSRDestroySpatialReference(a);
    OSRDestroySpatialReference(b);
    return known ? SGC_OK : sgc_fail(err, SGC_UNSUPPORTED, "its CRS %.60s is unknown", theirs);
}

static bool get_numbers(const cJSON *list, int count, double *numbers)
{
    for (int i = 0; i < count; i++) {
        const cJSON *number = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
            return false;
        numbers[i] = number->valuedouble;
    }
    return true;
}

/* The grid that an asset declares, if it does, without its CRS. */
static sgc_status declared_grid(const scopes *s, sgc_grid *grid, bool *has_grid, sgc_error *err)
{
    const cJSON *shape = field(s, "proj:shape"), *transform = field(s, "proj:transform");
    const int n = cJSON_GetArraySize(transform);
    double t[9] = {0, 0, 0, 0, 0, 0, 0, 0, 1}, size[2];
    *has_grid = shape != NULL && transform != NULL;
    if (!*has_grid)
        return SGC_OK;
    if ((n != 6 && n != 9) || !get_numbers(transform, n, t) || t[6] != 0 || t[7] != 0 ||
        t[8] != 1 || t[0] * t[4] == t[1] * t[3])
        return sgc_fail(err, SGC_CORRUPT, "its proj:transform is not that of a raster");
    if (cJSON_GetArraySize(shape) != 2 || !get_numbers(shape, 2, size) ||
        !(size[0] >= 1 && size[1] >= 1 && size[0] <= INT32_MAX && size[1] <= INT32_MAX))
        return sgc_fail(err, SGC_CORRUPT, "bad proj:shape");
    *grid = (sgc_grid){.transform = {t[2], t[0], t[1], t[5], t[3], t[4]},
                       .width = (int64_t)size[1],
                       .height = (int64_t)size[0]};
    return SGC_OK;
}

/* Where the pixels of `theirs`, in the same CRS, lie among those of `ours`; false when they are not
 * the same pixels. */
static bool same_pixels(const sgc_grid *theirs, const sgc_grid *ours, sgc_rect *rect)
{
    const double *t = theirs->transform, *g = ours->transform;
    const double column = (t[0] - g[0]) / g[1], row = (t[3] - g[3]) / g[5];
    if (!(fabs(t[1] / g[1] - 1) < 1e-9 && fabs(t[5] / g[5] - 1) < 1e-9) || t[2] != 0 || t[4] != 0 ||
        !(fabs(column - nearbyint(column)) < 0.01 && fabs(row - nearbyint(row)) < 0.01) ||
        !(fabs(column) < INT32_MAX && fabs(row) < INT32_MAX))
        return false;
    *rect = (sgc_rect){(int64_t)nearbyint(column), (int64_t)nearbyint(row), theirs->width,
                       theirs->height};
    return true;
}

/* The pixels of the cube that an asset covers; *exact when it has those very pixels. An item
 * without CRS is in that of the cube. */
static sgc_status asset_extent(const sgc_definition *d, const scopes *s, const sgc_grid *grid,
                               sgc_rect *rect, bool *exact, sgc_error *err)
{
    bool same = true;
    char *crs = asset_crs(s);
    sgc_status status = crs != NULL ? compare_crs(crs, d->crs, &same, err) : SGC_OK;
    *exact = status == SGC_OK && same && same_pixels(grid, &d->grid, rect);
    if (status == SGC_OK && !*exact)
        status = sgc_raster_extent(same ? NULL : crs, grid->transform, grid->width, grid->height,
                                   &d->grid, rect, err);
    CPLFree(crs);
    return status;
}

/* An area is sixty times as quick as GDAL's bounds, which know more of the ends of projections. */
static sgc_status lonlat_extent(const sgc_grid *grid, const double bounds[4], sgc_rect *rect,
                                sgc_error *err)
{
    const double transform[6] = {bounds[0], bounds[2] - bounds[0], 0, bounds[3],
                                 0,         bounds[1] - bounds[3]};
    sgc_area area;
    if (sgc_area_from_bounds(grid, NULL, bounds, SGC_AREA_STEPS, &area, NULL) != SGC_OK)
        return sgc_raster_extent("OGC:CRS84", transform, 1, 1, grid, rect, err);
    *rect = sgc_area_window(&area, grid);
    sgc_area_free(&area);
    return SGC_OK;
}

/* What an item covers that does not say which pixels it has: its bounding box, wider by what the
 * straight edges of a footprint may cut off. */
static sgc_status footprint_extent(const sgc_definition *d, const cJSON *item, sgc_rect *rect,
                                   sgc_error *err)
{
    const cJSON *bbox = sgc_stac_member(item, "bbox");
    const int n = cJSON_GetArraySize(bbox);
    double b[6];
    if ((n != 4 && n != 6) || !get_numbers(bbox, n, b))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "it has neither proj:shape and proj:transform nor a bbox: its pixels are "
                        "unknown");
    const double south = b[1], north = n == 4 ? b[3] : b[4];
    double west = b[0], east = n == 4 ? b[2] : b[3];
    if (!(fabs(west) <= 360 && fabs(east) <= 360 && south >= -90.1 && north <= 90.1 &&
          north >= south))
        return sgc_fail(err, SGC_CORRUPT, "its bbox is none in degrees");
    const double dx = fmax(0.05 * (east - west), 0.01), dy = fmax(0.05 * (north - south), 0.01);
    const bool crosses = west > east || west - dx < -180 || east + dx > 180;
    west = crosses ? -180 : west - dx;
    east = crosses ? 180 : east + dx;
    const double bounds[4] = {west, fmax(south - dy, -90), east, fmin(north + dy, 90)};
    return lonlat_extent(&d->grid, bounds, rect, err);
}

/* Bands of one asset, and often all assets, share a grid. */
static bool shares_grid(const scopes *a, const scopes *b)
{
    static const char *const keys[] = {"proj:shape", "proj:transform", "proj:code",
                                       "proj:epsg",  "proj:wkt2",      "proj:projjson"};
    bool shared = true;
    for (size_t i = 0; shared && i < sizeof keys / sizeof *keys; i++)
        shared = field(a, keys[i]) == field(b, keys[i]);
    return shared;
}

/* The grid of the first band's asset stands for the item's own when it has none of the assets. */
static sgc_status item_extent(const sgc_definition *d, const cJSON *item, sgc_patch *patch,
                              sgc_error *err)
{
    scopes last = {0};
    bool any = false;
    for (size_t b = 0; b <= d->band_count && !(b == d->band_count && any); b++) {
        const scopes s = b < d->band_count
                             ? scopes_of(item, &d->bands[b])
                             : (scopes){.properties = sgc_stac_member(item, "properties")};
        sgc_grid grid;
        sgc_rect extent;
        bool has_grid, exact = false;
        if (b < d->band_count && (s.asset == NULL || (any && shares_grid(&s, &last))))
            continue;
        SGC_TRY(declared_grid(&s, &grid, &has_grid, err));
        SGC_TRY(has_grid ? asset_extent(d, &s, &grid, &extent, &exact, err)
                         : footprint_extent(d, item, &extent, err));
        if (any && !sgc_rect_equal(extent, patch->rect))
            exact = false;
        patch->rect = any ? sgc_rect_unite(patch->rect, extent) : extent;
        patch->has_own_grid = patch->has_own_grid || !exact;
        patch->is_promised = has_grid && (!any || patch->is_promised);
        last = s;
        any = true;
    }
    return SGC_OK;
}

/* ---- hrefs and nodata ---- */

/* A number, or one of the words that JSON has no number for. */
static bool nodata_of(const cJSON *object, double *nodata)
{
    const cJSON *item = sgc_stac_member(object, "nodata");
    const char *text = cJSON_GetStringValue(item);
    if (cJSON_IsNumber(item))
        *nodata = item->valuedouble;
    else if (text != NULL && EQUALN(text, "nan", 3))
        *nodata = NAN;
    else if (text != NULL && (EQUALN(text, "inf", 3) || EQUALN(text, "-inf", 4)))
        *nodata = *text == '-' ? -INFINITY : INFINITY;
    else
        return false;
    return true;
}

/* Stands on the asset, in its "bands" or in its "raster:bands". NaN when nowhere. */
static double asset_nodata(const cJSON *asset, int source_band)
{
    double nodata = NAN;
    if (!nodata_of(band_entry(asset, "raster:bands", source_band), &nodata) &&
        !nodata_of(band_entry(asset, "bands", source_band), &nodata))
        (void)nodata_of(asset, &nodata);
    return nodata;
}

/* The address of the document itself: relative hrefs begin there. */
static const char *self_link(const cJSON *item, const char *url)
{
    const cJSON *link;
    cJSON_ArrayForEach(link, sgc_stac_member(item, "links"))
    {
        const char *rel = sgc_stac_text(link, "rel"), *href = sgc_stac_text(link, "href");
        if (rel != NULL && href != NULL && strcmp(rel, "self") == 0 && EQUALN(href, "http", 4))
            return href;
    }
    return url;
}

static sgc_status read_assets(const sgc_definition *d, const cJSON *item, const char *url,
                              bool prefer_s3, sgc_patch *patch, sgc_error *err)
{
    const char *base = self_link(item, url);
    patch->hrefs = calloc(d->band_count, sizeof *patch->hrefs);
    patch->nodata = calloc(d->band_count, sizeof *patch->nodata);
    if (patch->hrefs == NULL || patch->nodata == NULL)
        return sgc_fail_memory(err, d->band_count * sizeof *patch->hrefs, "a patch");
    for (size_t b = 0; b < d->band_count; b++) {
        const scopes s = scopes_of(item, &d->bands[b]);
        const char *region = cJSON_GetStringValue(field(&s, "storage:region"));
        patch->nodata[b] = asset_nodata(s.asset, d->bands[b].source_band);
        if (s.asset == NULL)
            continue;
        const sgc_status status =
            sgc_href_of_asset(s.asset, prefer_s3, region, base, &patch->hrefs[b], err);
        if (status != SGC_OK)
            return sgc_fail_in(err, status, "asset \"%s\"", d->bands[b].asset);
    }
    return SGC_OK;
}

sgc_status sgc_stac_item_read(const sgc_definition *definition, const cJSON *item, const char *url,
                              bool prefer_s3, sgc_patch *patch, sgc_error *err)
{
    const char *id = NULL;
    sgc_patch result = {0};
    SGC_TRY(sgc_stac_item_id(item, &id, err));
    if (!cJSON_IsObject(sgc_stac_member(item, "assets")))
        return sgc_fail(err, SGC_CORRUPT, "item %.200s has no assets", id);
    sgc_status status = item_extent(definition, item, &result, err);
    if (status == SGC_OK)
        status = read_assets(definition, item, url, prefer_s3, &result, err);
    if (status == SGC_OK && (result.id = strdup(id)) == NULL)
        status = sgc_fail_memory(err, strlen(id), "a patch");
    if (status != SGC_OK) {
        sgc_patch_clear(&result, definition->band_count);
        return sgc_fail_in(err, status, "item %.200s", id);
    }
    *patch = result;
    return SGC_OK;
}
