/* Cubes that somebody else has made, like the Python package: whether a definition describes them.
 */
#include <gdal.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/quiet.h"
#include "gdal_sgc/cube_private.h"

/* An array as it is checked. */
typedef struct stored {
    sgc_array *array;
    const sgc_array_metadata *metadata;
} stored;

static sgc_status open_array(sgc_repository *repository, sgc_snapshot *snapshot, const char *name,
                             stored *out, sgc_error *err)
{
    char path[SGC_PATH_SIZE];
    snprintf(path, sizeof path, "/%.250s", name);
    const sgc_status status = sgc_array_open(repository, snapshot, path, &out->array, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_INVALID, "it has no array \"%.64s\"", name);
    SGC_TRY(status);
    out->metadata = sgc_array_get_metadata(out->array);
    return SGC_OK;
}

/* ---- coordinates ---- */

static sgc_status read_double(const stored *axis, uint64_t at, double *value, sgc_error *err)
{
    const uint64_t one = 1;
    return sgc_array_read(axis->array, &at, &one, value, 1, err);
}

static sgc_status check_ends(const stored *axis, const char *name, int64_t count, double origin,
                             double step, sgc_error *err)
{
    const double tolerance = fabs(step) / 100;
    const double ends[] = {origin + step / 2, origin + step / 2 + step * (double)(count - 1)};
    double found[2];
    const sgc_array_metadata *m = axis->metadata;
    if (m->dimension_count != 1 || m->type != SGC_FLOAT64 || m->shape[0] != (uint64_t)count)
        return sgc_fail(err, SGC_INVALID, "its coordinate \"%s\" has not %lld float64 values", name,
                        (long long)count);
    SGC_TRY(read_double(axis, 0, &found[0], err));
    SGC_TRY(read_double(axis, (uint64_t)count - 1, &found[1], err));
    if (!(fabs(found[0] - ends[0]) <= tolerance && fabs(found[1] - ends[1]) <= tolerance))
        return sgc_fail(err, SGC_INVALID,
                        "its \"%s\" goes from %.17g to %.17g, not from %.17g to %.17g", name,
                        found[0], found[1], ends[0], ends[1]);
    return SGC_OK;
}

static sgc_status check_axis(sgc_repository *repository, sgc_snapshot *snapshot, const char *name,
                             int64_t count, double origin, double step, sgc_error *err)
{
    stored axis = {0};
    SGC_TRY(open_array(repository, snapshot, name, &axis, err));
    const sgc_status status = check_ends(&axis, name, count, origin, step, err);
    sgc_array_close(axis.array);
    return status;
}

static sgc_status compare_times(const int64_t *values, size_t count, const sgc_time_units *units,
                                const sgc_time_axis *axis, sgc_error *err)
{
    char theirs[SGC_TIME_SIZE], ours[SGC_TIME_SIZE];
    for (size_t i = 0; i < count; i++) {
        int64_t seconds;
        if (__builtin_mul_overflow(values[i], units->unit, &seconds) ||
            __builtin_add_overflow(seconds, units->reference, &seconds))
            return sgc_fail(err, SGC_CORRUPT, "its time step %zu is no time", i);
        if (seconds == axis->starts[i])
            continue;
        sgc_time_format(seconds, theirs);
        sgc_time_format(axis->starts[i], ours);
        return sgc_fail(err, SGC_INVALID, "its time step %zu is %s, not %s", i, theirs, ours);
    }
    return SGC_OK;
}

/* The steps that the cube has are the definition's first ones. */
static sgc_status check_stored_times(const stored *time, const sgc_node *node,
                                     const sgc_time_axis *axis, sgc_error *err)
{
    const sgc_array_metadata *m = time->metadata;
    sgc_time_units units;
    if (m->dimension_count != 1 || m->type != SGC_INT64 || m->shape[0] == 0 ||
        m->shape[0] > axis->count)
        return sgc_fail(err, SGC_INVALID, "its time axis has not 1 to %zu int64 values",
                        axis->count);
    SGC_TRY(sgc_layout_time_units(node, &units, err));
    int64_t *values = calloc(m->shape[0], sizeof *values);
    if (values == NULL)
        return sgc_fail_memory(err, m->shape[0] * sizeof *values, "time steps");
    const uint64_t start = 0;
    sgc_status status = sgc_array_read(time->array, &start, m->shape, values, 1, err);
    if (status == SGC_OK)
        status = compare_times(values, m->shape[0], &units, axis, err);
    free(values);
    return status;
}

static sgc_status check_time(sgc_repository *repository, sgc_snapshot *snapshot,
                             const sgc_time_axis *axis, sgc_error *err)
{
    stored time = {0};
    const sgc_node *node = sgc_snapshot_find(snapshot, "/time");
    if (axis->count == 0)
        return node == NULL ? SGC_OK : sgc_fail(err, SGC_INVALID, "it has a time axis");
    SGC_TRY(open_array(repository, snapshot, "time", &time, err));
    const sgc_status status = check_stored_times(&time, node, axis, err);
    sgc_array_close(time.array);
    return status;
}

/* ---- CRS ---- */

static const char *text_attribute(const cJSON *document, const char *key)
{
    const cJSON *attributes = cJSON_GetObjectItemCaseSensitive(document, "attributes");
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(attributes, key));
}

static bool is_same_crs(const char *theirs, const char *ours)
{
    OGRSpatialReferenceH a = OSRNewSpatialReference(NULL), b = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    const bool same = OSRSetFromUserInput(a, theirs) == OGRERR_NONE &&
                      OSRSetFromUserInput(b, ours) == OGRERR_NONE && OSRIsSame(a, b);
    sgc_quiet_end(&quiet);
    OSRDestroySpatialReference(a);
    OSRDestroySpatialReference(b);
    return same;
}

/* What says the CRS: the attributes of the scalar spatial_ref, else of x. Without any, the
 * definition says it. */
static sgc_status check_crs(const sgc_snapshot *snapshot, const sgc_definition *definition,
                            sgc_error *err)
{
    static const char *const places[][2] = {
        {"/spatial_ref", "crs_wkt"}, {"/spatial_ref", "spatial_ref"}, {"/x", "crs"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const sgc_node *node = sgc_snapshot_find(snapshot, places[i][0]);
        if (node == NULL)
            continue;
        cJSON *json = cJSON_ParseWithLength((const char *)node->user_data, node->user_data_size);
        const char *crs = text_attribute(json, places[i][1]);
        const bool said = crs != NULL, same = said && is_same_crs(crs, definition->crs);
        cJSON_Delete(json);
        if (said)
            return same ? SGC_OK
                        : sgc_fail(err, SGC_INVALID, "its CRS is not %.64s", definition->crs);
    }
    return SGC_OK;
}

/* ---- channels ---- */

/* What is not stored must mean the same. */
static sgc_status check_fill(const stored *channel, const sgc_band *band, sgc_error *err)
{
    unsigned char item[SGC_MAX_ITEM_SIZE];
    double fill;
    sgc_array_fill(channel->metadata, item, 1);
    GDALCopyWords(item, band->type, 0, &fill, GDT_Float64, 0, 1);
    return fill == band->nodata || (isnan(fill) && isnan(band->nodata))
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID, "the fill value of its \"%.64s\" is %g, not %g",
                          band->name, fill, band->nodata);
}

static sgc_status check_channel(sgc_repository *repository, sgc_snapshot *snapshot,
                                const sgc_band *band, sgc_error *err)
{
    stored channel = {0};
    SGC_TRY(open_array(repository, snapshot, band->name, &channel, err));
    const sgc_data_type type = channel.metadata->type;
    const bool fits = strcmp(sgc_data_type_name(type), band->data_type) == 0 ||
                      (band->is_bool && type == SGC_INT8);
    const sgc_status status = fits
                                  ? check_fill(&channel, band, err)
                                  : sgc_fail(err, SGC_INVALID, "its \"%.64s\" is %s, not %s",
                                             band->name, sgc_data_type_name(type), band->data_type);
    sgc_array_close(channel.array);
    return status;
}

sgc_status sgc_adopt_check(sgc_repository *repository, sgc_snapshot *snapshot,
                           const sgc_definition *definition, sgc_error *err)
{
    const sgc_grid *grid = &definition->grid;
    for (size_t b = 0; b < definition->band_count; b++)
        SGC_TRY(check_channel(repository, snapshot, &definition->bands[b], err));
    SGC_TRY(check_crs(snapshot, definition, err));
    SGC_TRY(check_axis(repository, snapshot, "x", grid->width, grid->transform[0],
                       grid->transform[1], err));
    SGC_TRY(check_axis(repository, snapshot, "y", grid->height, grid->transform[3],
                       grid->transform[5], err));
    return check_time(repository, snapshot, &definition->time, err);
}
