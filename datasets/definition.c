#include "datasets/definition.h"

#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/source.h"

/* Where in the document an error is: a JSON pointer. */
typedef struct place {
    const char *name; /* of the document */
    char pointer[160];
} place;

SGC_PRINTF(4, 5)
static sgc_status fail_at(const place *p, sgc_status status, sgc_error *err, const char *format,
                          ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sgc_fail(err, status, "%s: %s: %s", p->name, p->pointer, text);
}

static place child(const place *parent, const char *key)
{
    place result = {.name = parent->name};
    snprintf(result.pointer, sizeof result.pointer, "%.100s/%.50s", parent->pointer, key);
    return result;
}

static place element(const place *parent, int index)
{
    char key[16];
    snprintf(key, sizeof key, "%d", index);
    return child(parent, key);
}

/* ---- nearest words ---- */

static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1];
    const size_t n = strlen(b);
    if (n > LONGEST)
        return SIZE_MAX;
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            const int same = (a[i - 1] | 32) == (b[k - 1] | 32);
            size_t best = diagonal + (same ? 0 : 1);
            diagonal = row[k];
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[n];
}

const char *sgc_nearest_word(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    size_t smallest = strlen(word) / 2 + 1;
    for (; *candidates != NULL; candidates++) {
        const size_t distance = edit_distance(word, *candidates);
        if (distance < smallest) {
            smallest = distance;
            nearest = *candidates;
        }
    }
    return nearest;
}

/* ---- members ---- */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool listed(const char *key, const char *const *keys)
{
    while (*keys != NULL && strcmp(*keys, key) != 0)
        keys++;
    return *keys != NULL;
}

/* Unknown keys are errors, unless a foreign prefix marks them as somebody else's. */
static sgc_status check_keys(const cJSON *object, const char *const *known, const place *p,
                             sgc_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (listed(item->string, known))
            continue;
        static const char *const own_prefixes[] = {"proj:", "raster:", "sci:"};
        bool foreign = strchr(item->string, ':') != NULL;
        for (size_t i = 0; i < sizeof own_prefixes / sizeof *own_prefixes; i++)
            if (strncmp(item->string, own_prefixes[i], strlen(own_prefixes[i])) == 0)
                foreign = false;
        if (foreign)
            continue;
        const place at = child(p, item->string);
        const char *nearest = sgc_nearest_word(item->string, known);
        return nearest != NULL
                   ? fail_at(&at, SGC_INVALID, err, "unknown key (did you mean %s?)", nearest)
                   : fail_at(&at, SGC_INVALID, err, "unknown key");
    }
    return SGC_OK;
}

/* Gives a copy of a text member, or NULL when it is absent and not required. */
static sgc_status get_text(const cJSON *object, const char *key, bool required, const place *p,
                           char **out, sgc_error *err)
{
    const cJSON *item = member(object, key);
    const place at = child(p, key);
    if (item == NULL)
        return required ? fail_at(&at, SGC_INVALID, err, "required") : SGC_OK;
    if (!cJSON_IsString(item))
        return fail_at(&at, SGC_INVALID, err, "must be a text");
    *out = strdup(item->valuestring);
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(item->valuestring), key);
}

static sgc_status get_numbers(const cJSON *item, size_t count, const place *p, double *out,
                              sgc_error *err)
{
    if (!cJSON_IsArray(item) || (size_t)cJSON_GetArraySize(item) != count)
        return fail_at(p, SGC_INVALID, err, "must be a list of %zu numbers", count);
    const cJSON *number;
    cJSON_ArrayForEach(number, item)
    {
        if (!cJSON_IsNumber(number))
            return fail_at(p, SGC_INVALID, err, "must be a list of %zu numbers", count);
        *out++ = number->valuedouble;
    }
    return SGC_OK;
}

/* The position of a text member in `words`; `*out` keeps its default when the member is absent. */
static sgc_status get_choice(const cJSON *object, const char *key, const char *const *words,
                             const place *p, int *out, sgc_error *err)
{
    const cJSON *item = member(object, key);
    if (item == NULL)
        return SGC_OK;
    for (int i = 0; words[i] != NULL; i++) {
        if (cJSON_IsString(item) && strcmp(words[i], item->valuestring) == 0) {
            *out = i;
            return SGC_OK;
        }
    }
    const place at = child(p, key);
    return fail_at(&at, SGC_INVALID, err, "must be one of \"%s\", \"%s\", …", words[0], words[1]);
}

/* ---- grid ---- */

static sgc_status parse_crs(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    const bool is_code = member(json, "proj:code") != NULL;
    const char *key = is_code ? "proj:code" : "proj:wkt2";
    SGC_TRY(get_text(json, key, false, p, &d->crs, err));
    const place at = child(p, "proj:code");
    if (d->crs == NULL)
        return fail_at(&at, SGC_INVALID, err, "required");
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    const bool known = OSRSetFromUserInput(crs, d->crs) == OGRERR_NONE;
    CPLPopErrorHandler();
    OSRDestroySpatialReference(crs);
    if (!known)
        return fail_at(&at, SGC_INVALID, err, "unknown CRS \"%.64s\"", d->crs);
    d->grid.crs = d->crs;
    return SGC_OK;
}

static sgc_status parse_transform(const cJSON *transform, const cJSON *shape, const place *p,
                                  sgc_grid *grid, sgc_error *err)
{
    double t[6], s[2];
    place at = child(p, "proj:transform");
    SGC_TRY(get_numbers(transform, 6, &at, t, err));
    if (t[1] != 0 || t[3] != 0 || !(t[0] > 0) || !(t[4] < 0))
        return fail_at(&at, SGC_INVALID, err, "only north-up grids (b = d = 0, a > 0, e < 0)");
    const double geotransform[6] = {t[2], t[0], 0, t[5], 0, t[4]};
    memcpy(grid->transform, geotransform, sizeof geotransform);
    at = child(p, "proj:shape");
    SGC_TRY(get_numbers(shape, 2, &at, s, err));
    if (!(s[0] >= 1 && s[1] >= 1 && s[0] <= INT32_MAX && s[1] <= INT32_MAX))
        return fail_at(&at, SGC_INVALID, err, "must be two lengths from 1 to %d", INT32_MAX);
    grid->height = (int64_t)s[0];
    grid->width = (int64_t)s[1];
    return SGC_OK;
}

static sgc_status parse_bbox(const cJSON *bbox, const cJSON *resolution, const place *p,
                             sgc_grid *grid, sgc_error *err)
{
    double box[4], r[2];
    place at = child(p, "proj:bbox");
    SGC_TRY(get_numbers(bbox, 4, &at, box, err));
    at = child(p, "resolution");
    if (cJSON_IsNumber(resolution))
        r[0] = r[1] = resolution->valuedouble;
    else
        SGC_TRY(get_numbers(resolution, 2, &at, r, err));
    if (!(r[0] > 0 && r[1] > 0))
        return fail_at(&at, SGC_INVALID, err, "must be positive");
    const sgc_status status = sgc_grid_from_bbox(box, r, grid, err);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "%s: /proj:bbox", p->name);
}

static sgc_status parse_grid(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    const cJSON *transform = member(json, "proj:transform"), *shape = member(json, "proj:shape");
    const cJSON *bbox = member(json, "proj:bbox"), *resolution = member(json, "resolution");
    const bool by_transform = transform != NULL && shape != NULL;
    const bool by_bbox = bbox != NULL && resolution != NULL;
    const place at = child(p, "proj:transform");
    if (by_transform == by_bbox)
        return fail_at(&at, SGC_INVALID, err,
                       "give proj:transform and proj:shape, or proj:bbox and resolution");
    SGC_TRY(parse_crs(json, p, d, err));
    return by_transform ? parse_transform(transform, shape, p, &d->grid, err)
                        : parse_bbox(bbox, resolution, p, &d->grid, err);
}

static sgc_status parse_chunks(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    double shape[2] = {3600, 3600};
    const place at = child(p, "chunk_shape");
    const cJSON *item = member(json, "chunk_shape");
    if (item != NULL)
        SGC_TRY(get_numbers(item, 2, &at, shape, err));
    for (int i = 0; i < 2; i++)
        if (!(shape[i] >= 4 && shape[i] <= 65536) || shape[i] != floor(shape[i]))
            return fail_at(&at, SGC_INVALID, err, "must be two lengths from 4 to 65536");
    if (shape[0] * shape[1] * 8 > INT32_MAX)
        return fail_at(&at, SGC_INVALID, err, "%.0f x %.0f x 8 bytes exceeds 2 GiB", shape[0],
                       shape[1]);
    d->chunk_height = (int64_t)shape[0];
    d->chunk_width = (int64_t)shape[1];
    return SGC_OK;
}

/* ---- bands ---- */

static const struct {
    const char *name;
    GDALDataType type;
    double smallest, largest; /* of integers */
} data_types[] = {
    {"bool", GDT_Byte, 0, 0},
    {"uint8", GDT_Byte, 0, 255},
    {"int16", GDT_Int16, -32768, 32767},
    {"uint16", GDT_UInt16, 0, 65535},
    {"int32", GDT_Int32, -2147483648.0, 2147483647.0},
    {"uint32", GDT_UInt32, 0, 4294967295.0},
    {"float32", GDT_Float32, -INFINITY, INFINITY},
    {"float64", GDT_Float64, -INFINITY, INFINITY},
};

static sgc_status parse_type(const place *p, sgc_band *band, double *smallest, double *largest,
                             sgc_error *err)
{
    const place at = child(p, "data_type");
    for (size_t i = 0; i < sizeof data_types / sizeof *data_types; i++) {
        if (strcmp(data_types[i].name, band->data_type) == 0) {
            band->type = data_types[i].type;
            band->is_bool = i == 0;
            *smallest = data_types[i].smallest;
            *largest = data_types[i].largest;
            return SGC_OK;
        }
    }
    return fail_at(&at, SGC_UNSUPPORTED, err, "data type \"%.32s\" is not supported",
                   band->data_type);
}

static sgc_status parse_nodata(const cJSON *json, const place *p, sgc_band *band, double smallest,
                               double largest, sgc_error *err)
{
    const cJSON *item = member(json, "nodata");
    const place at = child(p, "nodata");
    const bool is_float = band->type == GDT_Float32 || band->type == GDT_Float64;
    const bool is_nan = cJSON_IsString(item) && strcmp(item->valuestring, "nan") == 0;
    band->nodata = is_float ? (double)NAN : 0;
    if (item == NULL)
        return is_float || band->is_bool ? SGC_OK : fail_at(&at, SGC_INVALID, err, "required");
    if (is_nan && is_float)
        return SGC_OK;
    const double value = item->valuedouble;
    if (!cJSON_IsNumber(item) || value < smallest || value > largest ||
        (!is_float && value != floor(value)))
        return fail_at(&at, SGC_INVALID, err, "%g does not fit %s", value, band->data_type);
    band->nodata = value;
    return SGC_OK;
}

static sgc_status parse_statistics(const cJSON *json, const place *p, sgc_band *band,
                                   sgc_error *err)
{
    const cJSON *item = member(json, "statistics");
    if (item == NULL)
        return SGC_OK;
    const place at = child(p, "statistics");
    static const char *const keys[] = {"minimum", "maximum", "mean", "stddev", NULL};
    double *const values[] = {&band->minimum, &band->maximum, &band->mean, &band->stddev};
    SGC_TRY(check_keys(item, keys, &at, err));
    for (int i = 0; i < 4; i++) {
        const cJSON *number = member(item, keys[i]);
        if (!cJSON_IsNumber(number))
            return fail_at(&at, SGC_INVALID, err, "%s must be a number", keys[i]);
        *values[i] = number->valuedouble;
    }
    band->has_statistics = true;
    return SGC_OK;
}

static sgc_status parse_packing(const cJSON *json, const place *p, sgc_band *band, sgc_error *err)
{
    const cJSON *scale = member(json, "raster:scale"), *offset = member(json, "raster:offset");
    const place at = child(p, "raster:scale");
    if ((scale != NULL && !cJSON_IsNumber(scale)) || (offset != NULL && !cJSON_IsNumber(offset)))
        return fail_at(&at, SGC_INVALID, err, "scale and offset must be numbers");
    band->has_scale = scale != NULL || offset != NULL;
    band->scale = scale != NULL ? scale->valuedouble : 1;
    band->offset = offset != NULL ? offset->valuedouble : 0;
    return SGC_OK;
}

static sgc_status parse_band(const cJSON *json, const place *p, sgc_band *band, sgc_error *err)
{
    static const char *const keys[] = {
        "name",         "data_type",     "nodata", "unit", "description",
        "raster:scale", "raster:offset", "asset",  "band", "source_nodata",
        "resampling",   "statistics",    NULL};
    if (!cJSON_IsObject(json))
        return fail_at(p, SGC_INVALID, err, "must be an object");
    SGC_TRY(check_keys(json, keys, p, err));
    SGC_TRY(get_text(json, "name", true, p, &band->name, err));
    SGC_TRY(get_text(json, "data_type", true, p, &band->data_type, err));
    SGC_TRY(get_text(json, "unit", false, p, &band->unit, err));
    SGC_TRY(get_text(json, "description", false, p, &band->description, err));
    SGC_TRY(get_text(json, "asset", false, p, &band->asset, err));
    if (band->asset == NULL && (band->asset = strdup(band->name)) == NULL)
        return sgc_fail_memory(err, strlen(band->name), "a band");
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    const place at_name = child(p, "name");
    if (band->name[0] == '\0' || band->name[0] == '.' ||
        strspn(band->name, letters) != strlen(band->name))
        return fail_at(&at_name, SGC_INVALID, err, "letters, digits, '_', '-' and '.' only");
    double smallest = 0, largest = 0;
    SGC_TRY(parse_type(p, band, &smallest, &largest, err));
    SGC_TRY(parse_nodata(json, p, band, smallest, largest, err));
    SGC_TRY(parse_packing(json, p, band, err));
    SGC_TRY(parse_statistics(json, p, band, err));
    const cJSON *number = member(json, "band");
    const place at_band = child(p, "band");
    band->source_band = number != NULL ? number->valueint : 1;
    if (number != NULL && (!cJSON_IsNumber(number) || number->valueint < 1))
        return fail_at(&at_band, SGC_INVALID, err, "must be a number from 1");
    const cJSON *nodata = member(json, "source_nodata");
    band->has_source_nodata = cJSON_IsNumber(nodata);
    band->source_nodata = band->has_source_nodata ? nodata->valuedouble : 0;
    const cJSON *attributes = member(json, "zarr:attributes");
    if (cJSON_IsObject(attributes) &&
        (band->attributes = cJSON_PrintUnformatted(attributes)) == NULL)
        return sgc_fail_memory(err, 0, "a band");
    return SGC_OK;
}

static sgc_status parse_bands(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    enum { MOST_BANDS = 4096 };
    const cJSON *list = member(json, "bands");
    const place at = child(p, "bands");
    if (list == NULL)
        return fail_at(&at, SGC_INVALID, err, "required");
    const int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count < 1 || count > MOST_BANDS)
        return fail_at(&at, SGC_INVALID, err, "must be a list of 1 to %d bands", MOST_BANDS);
    d->bands = calloc((size_t)count, sizeof *d->bands);
    if (d->bands == NULL)
        return sgc_fail_memory(err, (size_t)count * sizeof *d->bands, "bands");
    d->band_count = (size_t)count;
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const place here = element(&at, i);
        SGC_TRY(parse_band(item, &here, &d->bands[i], err));
        for (int k = 0; k < i; k++) {
            const place name = child(&here, "name");
            if (strcmp(d->bands[k].name, d->bands[i].name) == 0)
                return fail_at(&name, SGC_INVALID, err, "\"%.64s\" is there twice",
                               d->bands[i].name);
        }
        i++;
    }
    return SGC_OK;
}

/* ---- source ---- */

/* The keys of all kinds, and those of one. */
static sgc_status check_source_keys(const cJSON *source, const char *const *keys, const place *p,
                                    sgc_error *err)
{
    enum { MOST_KEYS = 32 };
    const char *known[MOST_KEYS + 1] = {"kind",    "max_concurrency", "retries", "buffer",
                                        "headers", "missing_status",  "access"};
    size_t n = 7;
    for (; *keys != NULL && n < MOST_KEYS; keys++)
        known[n++] = *keys;
    return check_keys(source, known, p, err);
}

static sgc_status parse_source(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    const cJSON *source = member(json, "source");
    const place at = child(p, "source"), at_kind = child(&at, "kind");
    if (!cJSON_IsObject(source))
        return fail_at(&at, SGC_INVALID, err, source == NULL ? "required" : "must be an object");
    const char *kind = cJSON_GetStringValue(member(source, "kind"));
    if (kind == NULL)
        return fail_at(&at_kind, SGC_INVALID, err, "required");
    d->source = cJSON_Duplicate(source, 1);
    if (d->source == NULL)
        return sgc_fail_memory(err, 0, "a definition");
    for (const sgc_source_kind *k = sgc_source_kinds; k->kind != NULL; k++)
        if (strcmp(k->kind, kind) == 0)
            return check_source_keys(source, k->keys, &at, err);
    return fail_at(&at_kind, SGC_UNSUPPORTED, err, "kind \"%.32s\" is not supported by this build",
                   kind);
}

/* ---- the document ---- */

static sgc_status check_marker(const cJSON *json, const place *p, sgc_error *err)
{
    static const struct {
        const char *key, *value;
    } markers[] = {{"type", "CubeDataset"}, {"version", "1"}};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *item = member(json, markers[i].key);
        const place at = child(p, markers[i].key);
        if (item == NULL)
            return fail_at(&at, SGC_INVALID, err, "required");
        if (!cJSON_IsString(item) || strcmp(item->valuestring, markers[i].value) != 0)
            return fail_at(&at, SGC_INVALID, err,
                           "\"%.32s\" is not supported (this build reads \"%s\")",
                           cJSON_IsString(item) ? item->valuestring : "…", markers[i].value);
    }
    return SGC_OK;
}

static sgc_status check_id(const place *p, const char *id, sgc_error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const place at = child(p, "id");
    const size_t length = strlen(id);
    if (length > 5 && strcmp(id + length - 5, ".json") == 0)
        return fail_at(&at, SGC_INVALID, err, "must not look like the name of a file");
    if (*id == '\0' || *id == '.' || strspn(id, letters) != strlen(id))
        return fail_at(&at, SGC_INVALID, err, "letters, digits, '.', '_' and '-' only");
    return SGC_OK;
}

/* What the format has and this build cannot do yet is refused, not ignored. */
static sgc_status check_unsupported(const cJSON *json, const place *p, sgc_error *err)
{
    static const char *const keys[] = {"time", "levels", "parameters"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const place at = child(p, keys[i]);
        if (member(json, keys[i]) != NULL)
            return fail_at(&at, SGC_UNSUPPORTED, err, "not supported by this build");
    }
    const cJSON *fill = member(json, "fill");
    const place at = child(p, "fill");
    if (fill != NULL && !(cJSON_IsString(fill) && strcmp(fill->valuestring, "all") == 0))
        return fail_at(&at, SGC_UNSUPPORTED, err, "only \"all\" is supported by this build");
    return SGC_OK;
}

static sgc_status parse(const cJSON *json, const place *p, sgc_definition *d, sgc_error *err)
{
    static const char *const keys[] = {
        "type",         "version",     "id",        "title",           "description", "license",
        "attribution",  "proj:code",   "proj:wkt2", "proj:transform",  "proj:shape",  "proj:bbox",
        "resolution",   "chunk_shape", "time",      "bands",           "source",      "composite",
        "resampling",   "fill",        "levels",    "bytes_per_pixel", "parameters",  "sci:doi",
        "sci:citation", NULL};
    static const char *const composites[] = {"first", "last", "min", "max", NULL};
    SGC_TRY(check_marker(json, p, err));
    SGC_TRY(check_keys(json, keys, p, err));
    SGC_TRY(check_unsupported(json, p, err));
    SGC_TRY(get_text(json, "id", true, p, &d->id, err));
    SGC_TRY(check_id(p, d->id, err));
    SGC_TRY(get_text(json, "title", false, p, &d->title, err));
    SGC_TRY(get_text(json, "license", false, p, &d->license, err));
    SGC_TRY(get_text(json, "attribution", false, p, &d->attribution, err));
    SGC_TRY(parse_grid(json, p, d, err));
    SGC_TRY(parse_chunks(json, p, d, err));
    SGC_TRY(parse_bands(json, p, d, err));
    SGC_TRY(parse_source(json, p, d, err));
    int composite = SGC_COMPOSITE_FIRST;
    SGC_TRY(get_choice(json, "composite", composites, p, &composite, err));
    d->composite = (sgc_composite)composite;
    const cJSON *bytes = member(json, "bytes_per_pixel");
    const place at = child(p, "bytes_per_pixel");
    if (bytes != NULL && (!cJSON_IsNumber(bytes) || !(bytes->valuedouble > 0)))
        return fail_at(&at, SGC_INVALID, err, "must be a positive number");
    d->bytes_per_pixel = bytes != NULL ? bytes->valuedouble : 0;
    return SGC_OK;
}

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at && *text != '\0'; text++)
        line += *text == '\n';
    return line;
}

sgc_status sgc_definition_parse(const char *text, const char *name, sgc_definition **out,
                                sgc_error *err)
{
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithOpts(text, &end, 1);
    if (!cJSON_IsObject(json)) {
        const bool parsed = json != NULL;
        cJSON_Delete(json);
        return parsed
                   ? sgc_fail(err, SGC_INVALID, "%s: must be a JSON object", name)
                   : sgc_fail(err, SGC_INVALID, "%s:%u: not valid JSON", name, line_of(text, end));
    }
    sgc_definition *definition = calloc(1, sizeof *definition);
    const place root = {.name = name};
    sgc_status status = SGC_OK;
    if (definition == NULL || (definition->text = strdup(text)) == NULL)
        status = sgc_fail_memory(err, strlen(text), "a definition");
    if (status == SGC_OK) {
        cJSON_Minify(definition->text); /* unlike printing anew, this keeps every digit */
        status = parse(json, &root, definition, err);
    }
    cJSON_Delete(json);
    if (status != SGC_OK) {
        sgc_definition_free(definition);
        return status;
    }
    *out = definition;
    return SGC_OK;
}

void sgc_definition_free(sgc_definition *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->band_count; i++) {
        free(d->bands[i].name);
        free(d->bands[i].data_type);
        free(d->bands[i].unit);
        free(d->bands[i].description);
        free(d->bands[i].asset);
        cJSON_free(d->bands[i].attributes);
    }
    free(d->bands);
    free(d->id);
    free(d->title);
    free(d->license);
    free(d->attribution);
    free(d->crs);
    cJSON_Delete(d->source);
    free(d->text);
    free(d);
}

/* Members that may differ between the definition in a cube and the one in use: texts and endpoints.
 */
static const char *const free_keys[] = {"title",
                                        "description",
                                        "license",
                                        "attribution",
                                        "statistics",
                                        "sci:doi",
                                        "sci:citation",
                                        "bytes_per_pixel",
                                        "zarr:attributes",
                                        "unit",
                                        "api",
                                        "items",
                                        "index",
                                        "limit",
                                        "max_concurrency",
                                        "retries",
                                        "headers",
                                        "chunk_shape",
                                        NULL};

/* The pointer of the first difference that matters, or NULL. */
static const char *difference(const cJSON *a, const cJSON *b, const char *pointer,
                              char buffer[static 160])
{
    if (!cJSON_IsObject(a) && !cJSON_IsArray(a))
        return cJSON_Compare(a, b, 1) ? NULL : pointer;
    if (b == NULL || (a->type & 0xff) != (b->type & 0xff) ||
        (cJSON_IsArray(a) && cJSON_GetArraySize(a) != cJSON_GetArraySize(b)))
        return pointer;
    int index = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, a)
    {
        char key[160], inner[160];
        const cJSON *other =
            cJSON_IsObject(a) ? member(b, item->string) : cJSON_GetArrayItem(b, index);
        if (cJSON_IsObject(a))
            snprintf(key, sizeof key, "%.90s/%.60s", pointer, item->string);
        else
            snprintf(key, sizeof key, "%.90s/%d", pointer, index);
        index++;
        if (cJSON_IsObject(a) && listed(item->string, free_keys))
            continue;
        const char *found = difference(item, other, key, inner);
        if (found != NULL) {
            snprintf(buffer, 160, "%s", found);
            return buffer;
        }
    }
    return NULL;
}

sgc_status sgc_definition_check_same(const sgc_definition *theirs, const sgc_definition *mine,
                                     sgc_error *err)
{
    cJSON *a = cJSON_Parse(theirs->text), *b = cJSON_Parse(mine->text);
    char buffer[160];
    const char *pointer = difference(a, b, "", buffer);
    if (pointer == NULL)
        pointer = difference(b, a, "", buffer);
    const sgc_status status =
        pointer == NULL
            ? SGC_OK
            : sgc_fail(
                  err, SGC_INVALID,
                  "the cube was made with another definition of \"%s\" (%s differs): it can be "
                  "read, but not loaded further",
                  theirs->id, pointer);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return status;
}

double sgc_definition_bytes_per_pixel(const sgc_definition *definition)
{
    double sum = 0;
    for (size_t i = 0; i < definition->band_count; i++)
        sum += definition->bytes_per_pixel > 0
                   ? definition->bytes_per_pixel
                   : 0.4 * GDALGetDataTypeSizeBytes(definition->bands[i].type);
    return sum;
}
