#include "gdal_sgc/layout.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <inttypes.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/cf_attributes.h"
#include "gdal_sgc/root_attributes.h"
#include "gdal_sgc/time_axis.h"

enum { COORDINATE_LEVEL = 5, MANY_CHANNELS = 8 };

/* ---- levels ---- */

int64_t sgc_level_columns(const sgc_level *level)
{
    return (level->grid.width + level->chunk_width - 1) / level->chunk_width;
}

int64_t sgc_level_rows(const sgc_level *level)
{
    return (level->grid.height + level->chunk_height - 1) / level->chunk_height;
}

sgc_rect sgc_level_chunk_rect(const sgc_level *level, int64_t row, int64_t column)
{
    const sgc_rect whole = {0, 0, level->grid.width, level->grid.height};
    const sgc_rect chunk = {column * level->chunk_width, row * level->chunk_height,
                            level->chunk_width, level->chunk_height};
    return sgc_rect_intersect(whole, chunk);
}

sgc_rect sgc_level_chunks(const sgc_level *level, sgc_rect rect)
{
    const int64_t x = rect.x / level->chunk_width, y = rect.y / level->chunk_height;
    return (sgc_rect){x, y, (rect.x + rect.width - 1) / level->chunk_width - x + 1,
                      (rect.y + rect.height - 1) / level->chunk_height - y + 1};
}

size_t sgc_layout_steps(const sgc_definition *definition)
{
    return definition->time.count > 0 ? definition->time.count : 1;
}

size_t sgc_layout_levels(const sgc_definition *definition, int64_t chunk_width,
                         int64_t chunk_height, int64_t from, sgc_level levels[SGC_MOST_LEVELS])
{
    const int64_t step = definition->band_count > MANY_CHANNELS ? 4 : 2;
    const int64_t width = chunk_width >= 4 ? chunk_width / 4 : 1;
    const int64_t height = chunk_height >= 4 ? chunk_height / 4 : 1;
    levels[0] = (sgc_level){1, definition->grid, chunk_width, chunk_height};
    size_t count = 1;
    sgc_grid finer = definition->grid;
    for (int64_t factor = step;
         from > 0 && count < SGC_MOST_LEVELS && (finer.width > width || finer.height > height);
         factor *= step) {
        finer = sgc_grid_at_level(&definition->grid, factor);
        if (factor >= from)
            levels[count++] = (sgc_level){factor, finer, width, height};
    }
    return count;
}

void sgc_layout_split_rules(const sgc_definition *definition, const sgc_level *full,
                            sgc_split_rule rules[SGC_SPLIT_RULES])
{
    enum { SMALLEST = 16, LARGEST = 128, MOST_MANIFESTS = 100000 };
    const double nx = (double)sgc_level_columns(full), ny = (double)sgc_level_rows(full);
    const double arrays = (double)definition->band_count * (double)sgc_layout_steps(definition);
    uint32_t side = SMALLEST;
    while (side < LARGEST && arrays * ceil(ny / side) * ceil(nx / side) > MOST_MANIFESTS)
        side *= 2;
    rules[0] = (sgc_split_rule){"time", 1};
    rules[1] = (sgc_split_rule){"y", side};
    rules[2] = (sgc_split_rule){"x", side};
}

void sgc_layout_channel_path(const sgc_definition *definition, const sgc_level *level, size_t band,
                             char path[SGC_PATH_SIZE])
{
    const char *name = definition->bands[band].name;
    if (level->factor == 1)
        snprintf(path, SGC_PATH_SIZE, "/%.250s", name);
    else
        snprintf(path, SGC_PATH_SIZE, "/sgc/x%lld/%.250s", (long long)level->factor, name);
}

void sgc_layout_complete_path(const sgc_level *level, char path[SGC_PATH_SIZE])
{
    snprintf(path, SGC_PATH_SIZE, "/sgc/x%lld/complete", (long long)level->factor);
}

/* ---- documents ---- */

static sgc_status put_document(sgc_session *session, const char *path,
                               const sgc_array_metadata *metadata, const char *fill_value,
                               const cJSON *attributes, sgc_error *err)
{
    char *text = cJSON_PrintUnformatted(attributes);
    if (text == NULL)
        return sgc_fail_memory(err, 0, "attributes");
    sgc_buffer document = {0};
    sgc_status status = sgc_array_metadata_print(metadata, fill_value, text, &document, err);
    if (status == SGC_OK)
        status = sgc_session_put_array(session, path, document.data, document.size, err);
    sgc_buffer_free(&document);
    cJSON_free(text);
    return status;
}

static sgc_status put_group(sgc_session *session, const char *path, const char *attributes,
                            sgc_error *err)
{
    sgc_buffer document = {0};
    sgc_status status = sgc_buffer_print(
        &document, err, "{\"attributes\": %s, \"zarr_format\": 3, \"node_type\": \"group\"}",
        attributes);
    if (status == SGC_OK)
        status = sgc_session_put_group(session, path, document.data, document.size, err);
    sgc_buffer_free(&document);
    return status;
}

/* The base64 of a little-endian double NaN: how xarray spells _FillValue in Zarr v3. */
static const char nan_fill[] = "AAAAAAAA+H8=";

static const char *fill_text(const sgc_band *band, char buffer[32])
{
    if (band->is_bool)
        return "false";
    if (isnan(band->nodata))
        return "\"NaN\"";
    if (band->type == GDT_Int64)
        snprintf(buffer, 32, "%" PRId64, (int64_t)band->nodata_bits);
    else if (band->type == GDT_UInt64)
        snprintf(buffer, 32, "%" PRIu64, band->nodata_bits);
    else
        CPLsnprintf(buffer, 32, "%.17g", band->nodata);
    return buffer;
}

/* The values of the categories that have names, and the names. */
static void add_flags(cJSON *attributes, const sgc_band *band)
{
    cJSON *values = cJSON_AddArrayToObject(attributes, "flag_values");
    for (size_t i = 0; i < band->category_count; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, band->categories[i].value);
        if (band->categories[i].name != NULL)
            cJSON_AddItemToArray(values, cJSON_CreateRaw(text));
    }
    cJSON_AddStringToObject(attributes, "flag_meanings", band->flag_meanings);
}

cJSON *sgc_layout_channel_attributes(const sgc_band *band)
{
    cJSON *attributes = band->attributes != NULL ? cJSON_Parse(band->attributes) : NULL;
    if (attributes == NULL) {
        attributes = cJSON_CreateObject();
        if (band->description != NULL)
            cJSON_AddStringToObject(attributes, "long_name", band->description);
        if (band->unit != NULL)
            cJSON_AddStringToObject(attributes, "units", band->unit);
        if (band->has_scale) {
            sgc_cf_add_number(attributes, "scale_factor", band->scale);
            sgc_cf_add_number(attributes, "add_offset", band->offset);
        }
        if (band->flag_meanings != NULL)
            add_flags(attributes, band);
    }
    if (isnan(band->nodata))
        cJSON_AddStringToObject(attributes, "_FillValue", nan_fill);
    cJSON_AddStringToObject(attributes, "grid_mapping", "spatial_ref");
    return attributes;
}

/* Describes an array of rows and columns, with a time axis where the cube has one, behind as many
 * dimensions as it has already. */
static void add_dimensions(sgc_array_metadata *metadata, const sgc_definition *definition,
                           size_t steps, const uint64_t shape[2], const uint64_t chunk[2])
{
    static char time[] = "time", y[] = "y", x[] = "x";
    const struct {
        char *name;
        uint64_t length, chunk;
    } dimensions[] = {{time, steps, 1}, {y, shape[0], chunk[0]}, {x, shape[1], chunk[1]}};
    for (size_t i = definition->time.count > 0 ? 0 : 1; i < 3; i++) {
        const size_t d = metadata->dimension_count++;
        metadata->shape[d] = dimensions[i].length;
        metadata->chunk_shape[d] = dimensions[i].chunk;
        metadata->dimension_names[d] = dimensions[i].name;
    }
    metadata->has_dimension_names = true;
}

static sgc_status put_channel(sgc_session *session, const sgc_definition *definition,
                              const sgc_level *level, size_t b, size_t steps, int compression_level,
                              sgc_error *err)
{
    const sgc_band *band = &definition->bands[b];
    const uint64_t shape[] = {(uint64_t)level->grid.height, (uint64_t)level->grid.width};
    const uint64_t chunk[] = {(uint64_t)level->chunk_height, (uint64_t)level->chunk_width};
    sgc_array_metadata metadata = {
        .codecs = {.count = 1,
                   .list = {{.kind = SGC_BLOSC,
                             .level = compression_level,
                             .compressor = "zstd",
                             .shuffle = 2}}},
    };
    add_dimensions(&metadata, definition, steps, shape, chunk);
    SGC_TRY(sgc_data_type_parse(band->data_type, &metadata.type, err));
    metadata.codecs.list[0].type_size = sgc_data_type_size(metadata.type);
    char path[SGC_PATH_SIZE], fill[32];
    sgc_layout_channel_path(definition, level, b, path);
    cJSON *attributes = sgc_layout_channel_attributes(band);
    const sgc_status status =
        put_document(session, path, &metadata, fill_text(band, fill), attributes, err);
    cJSON_Delete(attributes);
    return status;
}

static sgc_status put_complete(sgc_session *session, const sgc_definition *definition,
                               const sgc_level *level, size_t steps, sgc_error *err)
{
    static char name_channel[] = "channel";
    static const uint64_t chunk[] = {SGC_COMPLETE_CHUNK, SGC_COMPLETE_CHUNK};
    const uint64_t shape[] = {(uint64_t)sgc_level_rows(level), (uint64_t)sgc_level_columns(level)};
    sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .dimension_count = 1,
        .shape = {definition->band_count},
        .chunk_shape = {1},
        .dimension_names = {name_channel},
        .codecs = {.count = 1, .list = {{.kind = SGC_ZSTD, .level = 3, .checksum = true}}},
    };
    add_dimensions(&metadata, definition, steps, shape, chunk);
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    cJSON *attributes = cJSON_CreateObject();
    const sgc_status status = put_document(session, path, &metadata, "0", attributes, err);
    cJSON_Delete(attributes);
    return status;
}

static sgc_status put_level_group(sgc_session *session, const sgc_level *level, sgc_error *err)
{
    char path[SGC_PATH_SIZE];
    snprintf(path, sizeof path, "/sgc/x%lld", (long long)level->factor);
    return put_group(session, path, "{}", err);
}

/* ---- coordinates ---- */

/* Writes the whole of a small array. */
static sgc_status put_values(sgc_session *session, const char *path,
                             const sgc_array_metadata *metadata, const void *values, sgc_error *err)
{
    const uint64_t origin[SGC_ZARR_MAX_DIMENSIONS] = {0};
    return sgc_array_write(session, path, origin, metadata->shape, values, 1, err);
}

/* Puts a coordinate of 8-byte items, one chunk. */
static sgc_status put_coordinate(sgc_session *session, char *name, sgc_data_type type, size_t count,
                                 const void *values, const char *fill_value,
                                 const cJSON *attributes, sgc_error *err)
{
    sgc_array_metadata metadata = {
        .type = type,
        .dimension_count = 1,
        .shape = {count},
        .chunk_shape = {count},
        .has_dimension_names = true,
        .dimension_names = {name},
        .codecs = {.count = 1,
                   .list = {{.kind = SGC_BLOSC,
                             .level = COORDINATE_LEVEL,
                             .compressor = "zstd",
                             .shuffle = 1,
                             .type_size = 8}}},
    };
    char path[8];
    snprintf(path, sizeof path, "/%s", name);
    SGC_TRY(put_document(session, path, &metadata, fill_value, attributes, err));
    return put_values(session, path, &metadata, values, err);
}

/* Pixel centres, in exactly the arithmetic of datasets guide 1.1. */
static sgc_status put_axis(sgc_session *session, char *name, int64_t count, double origin,
                           double step, const char *units, const char *crs, sgc_error *err)
{
    const size_t n = (size_t)count;
    double *values = malloc(n * sizeof *values);
    if (values == NULL)
        return sgc_fail_memory(err, n * sizeof *values, "coordinates");
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)i * step + (origin + step / 2);
    cJSON *attributes = cJSON_CreateObject();
    cJSON_AddStringToObject(attributes, "units", units);
    sgc_cf_add_number(attributes, "resolution", step);
    cJSON_AddStringToObject(attributes, "crs", crs);
    cJSON_AddStringToObject(attributes, "_FillValue", nan_fill);
    const sgc_status status =
        put_coordinate(session, name, SGC_FLOAT64, n, values, "\"NaN\"", attributes, err);
    cJSON_Delete(attributes);
    free(values);
    return status;
}

static sgc_status put_time(sgc_session *session, const sgc_time_axis *axis, sgc_error *err)
{
    static char name[] = "time";
    if (axis->count == 0)
        return SGC_OK;
    const sgc_time_units units = sgc_time_units_choose(axis);
    char text[SGC_TIME_UNITS_SIZE];
    sgc_time_units_format(&units, text);
    int64_t *values = malloc(axis->count * sizeof *values);
    if (values == NULL)
        return sgc_fail_memory(err, axis->count * sizeof *values, "time steps");
    for (size_t i = 0; i < axis->count; i++)
        values[i] = (axis->starts[i] - units.reference) / units.unit;
    cJSON *attributes = cJSON_CreateObject();
    cJSON_AddStringToObject(attributes, "units", text);
    cJSON_AddStringToObject(attributes, "calendar", "proleptic_gregorian");
    const sgc_status status =
        put_coordinate(session, name, SGC_INT64, axis->count, values, "0", attributes, err);
    cJSON_Delete(attributes);
    free(values);
    return status;
}

static sgc_status put_axes(sgc_session *session, const sgc_definition *definition, bool geographic,
                           sgc_error *err)
{
    static char name_x[] = "x", name_y[] = "y";
    const sgc_grid *grid = &definition->grid;
    SGC_TRY(put_axis(session, name_x, grid->width, grid->transform[0], grid->transform[1],
                     geographic ? "degrees_east" : "metre", definition->crs, err));
    return put_axis(session, name_y, grid->height, grid->transform[3], grid->transform[5],
                    geographic ? "degrees_north" : "metre", definition->crs, err);
}

/* ---- CRS ---- */

static sgc_status put_crs(sgc_session *session, const sgc_definition *definition,
                          OGRSpatialReferenceH crs, sgc_error *err)
{
    const sgc_array_metadata metadata = {
        .type = SGC_INT32,
        .codecs = {.count = 1, .list = {{.kind = SGC_ZSTD}}},
    };
    const char *code = OSRGetAuthorityCode(crs, NULL);
    const int32_t value = code != NULL ? atoi(code) : 0;
    cJSON *attributes = cJSON_CreateObject();
    sgc_cf_add_crs(attributes, crs, definition->grid.transform);
    sgc_status status = put_document(session, "/spatial_ref", &metadata, "0", attributes, err);
    if (status == SGC_OK)
        status = put_values(session, "/spatial_ref", &metadata, &value, err);
    cJSON_Delete(attributes);
    return status;
}

/* ---- the cube ---- */

static sgc_status put_root(sgc_session *session, const sgc_definition *definition, sgc_error *err)
{
    char *text = sgc_root_attributes_new(definition);
    if (text == NULL)
        return sgc_fail_memory(err, 0, "attributes");
    const sgc_status status = put_group(session, "/", text, err);
    cJSON_free(text);
    return status;
}

sgc_status sgc_layout_put_cube(sgc_session *session, const sgc_definition *definition,
                               const sgc_level *full, int compression_level, sgc_error *err)
{
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    sgc_status status = OSRSetFromUserInput(crs, definition->crs) == OGRERR_NONE
                            ? put_root(session, definition, err)
                            : sgc_fail(err, SGC_INVALID, "unknown CRS \"%s\"", definition->crs);
    const size_t steps = sgc_layout_steps(definition);
    for (size_t b = 0; status == SGC_OK && b < definition->band_count; b++)
        status = put_channel(session, definition, full, b, steps, compression_level, err);
    if (status == SGC_OK)
        status = put_axes(session, definition, OSRIsGeographic(crs), err);
    if (status == SGC_OK)
        status = put_time(session, &definition->time, err);
    if (status == SGC_OK)
        status = put_crs(session, definition, crs, err);
    if (status == SGC_OK)
        status = put_group(session, "/sgc", "{}", err);
    if (status == SGC_OK)
        status = put_level_group(session, full, err);
    if (status == SGC_OK)
        status = put_complete(session, definition, full, steps, err);
    OSRDestroySpatialReference(crs);
    return status;
}

/* ---- cubes that are there ---- */

sgc_status sgc_layout_put_level(sgc_session *session, const sgc_definition *definition,
                                const sgc_level *level, size_t steps, int compression_level,
                                sgc_error *err)
{
    SGC_TRY(sgc_root_put_levels(session, definition, err));
    SGC_TRY(put_level_group(session, level, err));
    for (size_t b = 0; b < definition->band_count; b++)
        SGC_TRY(put_channel(session, definition, level, b, steps, compression_level, err));
    return put_complete(session, definition, level, steps, err);
}

sgc_status sgc_layout_adopt(sgc_session *session, const sgc_definition *definition,
                            const sgc_level *full, size_t steps, sgc_error *err)
{
    SGC_TRY(sgc_root_put_definition(session, definition, err));
    SGC_TRY(put_group(session, "/sgc", "{}", err));
    SGC_TRY(put_level_group(session, full, err));
    return put_complete(session, definition, full, steps, err);
}

size_t sgc_layout_stored_steps(const sgc_snapshot *snapshot, const sgc_definition *definition)
{
    const sgc_node *time = sgc_snapshot_find(snapshot, "/time");
    sgc_array_metadata metadata;
    if (definition->time.count == 0 || time == NULL ||
        sgc_array_metadata_read(time, &metadata, NULL) != SGC_OK)
        return definition->time.count == 0 ? 1 : 0;
    const size_t steps = metadata.dimension_count == 1 ? metadata.shape[0] : 0;
    sgc_array_metadata_clear(&metadata);
    return steps;
}

/* Changes the length of one dimension of an array; every other byte of its document stays. */
static sgc_status resize(sgc_session *session, const char *path, size_t dimension, size_t length,
                         sgc_error *err)
{
    sgc_node node;
    sgc_array_metadata metadata;
    sgc_buffer shape = {0}, document = {0};
    SGC_TRY(sgc_session_get_node(session, path, &node, err));
    SGC_TRY(sgc_array_metadata_read(&node, &metadata, err));
    metadata.shape[dimension] = length;
    sgc_status status = sgc_buffer_print(&shape, err, "[");
    for (size_t d = 0; status == SGC_OK && d < metadata.dimension_count; d++)
        status = sgc_buffer_print(&shape, err, "%s%llu", d > 0 ? ", " : "",
                                  (unsigned long long)metadata.shape[d]);
    if (status == SGC_OK)
        status = sgc_buffer_print(&shape, err, "]");
    if (status == SGC_OK)
        status =
            sgc_json_replace((sgc_span){(const char *)node.user_data, node.user_data_size}, "shape",
                             (sgc_span){(const char *)shape.data, shape.size}, &document, err);
    if (status == SGC_OK)
        status = sgc_session_put_array(session, path, document.data, document.size, err);
    sgc_buffer_free(&shape);
    sgc_buffer_free(&document);
    sgc_array_metadata_clear(&metadata);
    return status;
}

sgc_status sgc_layout_time_units(const sgc_node *time, sgc_time_units *units, sgc_error *err)
{
    cJSON *json = cJSON_ParseWithLength((const char *)time->user_data, time->user_data_size);
    const cJSON *attributes = cJSON_GetObjectItemCaseSensitive(json, "attributes");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(attributes, "units"));
    const char *calendar =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(attributes, "calendar"));
    const bool known = calendar == NULL || strcmp(calendar, "proleptic_gregorian") == 0 ||
                       strcmp(calendar, "standard") == 0 || strcmp(calendar, "gregorian") == 0;
    const sgc_status status =
        known ? sgc_time_units_parse(text != NULL ? text : "", units, err)
              : sgc_fail(err, SGC_UNSUPPORTED, "calendar \"%.32s\" is not supported", calendar);
    cJSON_Delete(json);
    return status;
}

/* Writes the steps from `first` to `end` in the units that the axis has. */
static sgc_status append_times(sgc_session *session, const sgc_time_axis *axis, size_t first,
                               size_t end, sgc_error *err)
{
    sgc_node time;
    sgc_time_units units;
    SGC_TRY(sgc_session_get_node(session, "/time", &time, err));
    SGC_TRY(sgc_layout_time_units(&time, &units, err));
    const uint64_t start[] = {first}, count[] = {end - first};
    int64_t *values = malloc((end - first) * sizeof *values);
    if (values == NULL)
        return sgc_fail_memory(err, (end - first) * sizeof *values, "time steps");
    sgc_status status = resize(session, "/time", 0, end, err);
    for (size_t i = first; status == SGC_OK && i < end; i++) {
        const int64_t seconds = axis->starts[i] - units.reference;
        char text[SGC_TIME_SIZE];
        sgc_time_format(axis->starts[i], text);
        values[i - first] = seconds / units.unit;
        if (seconds % units.unit != 0)
            status = sgc_fail(err, SGC_UNSUPPORTED,
                              "the cube counts time in units of %lld s, in which %s is no integer: "
                              "the step cannot be appended",
                              (long long)units.unit, text);
    }
    if (status == SGC_OK)
        status = sgc_array_write(session, "/time", start, count, values, 1, err);
    free(values);
    return status;
}

sgc_status sgc_layout_append_steps(sgc_session *session, const sgc_definition *definition,
                                   const sgc_level *levels, size_t level_count, size_t from,
                                   size_t steps, sgc_error *err)
{
    char path[SGC_PATH_SIZE];
    sgc_node node;
    SGC_TRY(sgc_root_put_definition(session, definition, err));
    SGC_TRY(append_times(session, &definition->time, from, steps, err));
    for (size_t l = 0; l < level_count; l++) {
        sgc_layout_complete_path(&levels[l], path);
        if (sgc_session_get_node(session, path, &node, NULL) != SGC_OK)
            continue; /* not made yet */
        SGC_TRY(resize(session, path, 1, steps, err));
        for (size_t b = 0; b < definition->band_count; b++) {
            sgc_layout_channel_path(definition, &levels[l], b, path);
            SGC_TRY(resize(session, path, 0, steps, err));
        }
    }
    return SGC_OK;
}
