#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/definition_private.h"
#include "store/zarr/json_number.h"

/* ---- data types ---- */

typedef struct data_type {
    const char *name;
    GDALDataType type;
    double smallest, largest; /* of finite values */
} data_type;

static const data_type data_types[] = {
    {"bool", GDT_Byte, 0, 0},
#if GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(3, 7, 0)
    {"int8", GDT_Int8, -128, 127},
#endif
    {"uint8", GDT_Byte, 0, 255},
    {"int16", GDT_Int16, -32768, 32767},
    {"uint16", GDT_UInt16, 0, 65535},
    {"int32", GDT_Int32, -2147483648.0, 2147483647.0},
    {"uint32", GDT_UInt32, 0, 4294967295.0},
    {"int64", GDT_Int64, -0x1p63, 0x1p63},
    {"uint64", GDT_UInt64, 0, 0x1p64},
#if GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(3, 11, 0)
    {"float16", GDT_Float16, -65504, 65504},
#endif
    {"float32", GDT_Float32, -FLT_MAX, FLT_MAX},
    {"float64", GDT_Float64, -DBL_MAX, DBL_MAX},
};

static bool is_float(const sgc_band *band)
{
    return strncmp(band->data_type, "float", 5) == 0;
}

static sgc_status read_type(const sgc_place *at, sgc_band *band, const data_type **out,
                            sgc_error *err)
{
    const sgc_place here = sgc_place_member(at, "data_type");
    for (size_t i = 0; i < sizeof data_types / sizeof *data_types; i++) {
        if (strcmp(data_types[i].name, band->data_type) == 0) {
            band->type = data_types[i].type;
            band->is_bool = strcmp(band->data_type, "bool") == 0;
            *out = &data_types[i];
            return SGC_OK;
        }
    }
    /* Pixels in memory are what the array stores, so a wider type does not do. */
    if (strcmp(band->data_type, "int8") == 0 || strcmp(band->data_type, "float16") == 0)
        return sgc_fail_at(&here, SGC_UNSUPPORTED, err, "%s needs GDAL %s or later; this is %s",
                           band->data_type, band->data_type[0] == 'i' ? "3.7" : "3.11",
                           GDALVersionInfo("RELEASE_NAME"));
    return sgc_fail_at(&here, SGC_UNSUPPORTED, err, "data type \"%.32s\" is not supported",
                       band->data_type);
}

/* ---- nodata ---- */

static bool is_nan_text(const cJSON *item)
{
    return cJSON_IsString(item) && strcmp(item->valuestring, "nan") == 0;
}

/* The text of /bands/<index>/nodata, in which no digit is lost. */
static sgc_status find_nodata(const char *document, size_t index, sgc_span *value, sgc_error *err)
{
    sgc_span bands, band = {NULL, 0};
    size_t position = 0;
    SGC_TRY(sgc_json_find((sgc_span){document, strlen(document)}, "bands", &bands, err));
    for (size_t i = 0; i <= index; i++)
        SGC_TRY(sgc_json_next(bands, &position, &band, err));
    return sgc_json_find(band, "nodata", value, err);
}

static sgc_status read_long_nodata(const char *document, size_t index, const sgc_place *at,
                                   sgc_band *band, sgc_error *err)
{
    sgc_span text;
    sgc_number number;
    SGC_TRY(find_nodata(document, index, &text, err));
    SGC_TRY(sgc_json_number_parse(text, &number, err));
    const bool is_signed = band->type == GDT_Int64;
    const bool fits = number.kind == SGC_NUMBER_UNSIGNED
                          ? !is_signed || number.value.positive <= INT64_MAX
                          : number.kind == SGC_NUMBER_NEGATIVE && is_signed;
    if (!fits)
        return sgc_fail_at(at, SGC_INVALID, err, "%.*s does not fit %s",
                           (int)(text.size < 32 ? text.size : 32), text.text, band->data_type);
    band->nodata_bits = number.kind == SGC_NUMBER_UNSIGNED ? number.value.positive
                                                           : (uint64_t)number.value.negative;
    return SGC_OK;
}

/* What pixels of a band have for a number; not of 64 bits. */
static double as_stored(const sgc_band *band, double number)
{
    double item = 0;
    if (band->type == GDT_Float32)
        return (double)(float)number; /* the largest ones are often written with fewer digits */
    if (!is_float(band))
        return number;
    GDALCopyWords(&number, GDT_Float64, 0, &item, band->type, 0, 1);
    GDALCopyWords(&item, band->type, 0, &number, GDT_Float64, 0, 1);
    return number;
}

static sgc_status read_nodata(const cJSON *json, const char *document, size_t index,
                              const sgc_place *at, const data_type *type, sgc_band *band,
                              sgc_error *err)
{
    const cJSON *item = sgc_json_member(json, "nodata");
    const sgc_place here = sgc_place_member(at, "nodata");
    band->nodata = is_float(band) ? (double)NAN : 0;
    if (item == NULL)
        return is_float(band) || band->is_bool ? SGC_OK
                                               : sgc_fail_at(&here, SGC_INVALID, err, "required");
    if (is_nan_text(item) && is_float(band))
        return SGC_OK;
    if (!cJSON_IsNumber(item))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be a number of %s%s", band->data_type,
                           is_float(band) ? " or \"nan\"" : "");
    const double value = as_stored(band, item->valuedouble);
    if (!(value >= type->smallest && value <= type->largest) ||
        (!is_float(band) && value != floor(value)))
        return sgc_fail_at(&here, SGC_INVALID, err, "%g does not fit %s", item->valuedouble,
                           band->data_type);
    band->nodata = value;
    return band->type == GDT_Int64 || band->type == GDT_UInt64
               ? read_long_nodata(document, index, &here, band, err)
               : SGC_OK;
}

static sgc_status read_source_nodata(const cJSON *json, const sgc_place *at, sgc_band *band,
                                     sgc_error *err)
{
    const cJSON *item = sgc_json_member(json, "source_nodata");
    const sgc_place here = sgc_place_member(at, "source_nodata");
    if (item == NULL)
        return SGC_OK;
    if (!cJSON_IsNumber(item) && !is_nan_text(item))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be a number or \"nan\"");
    band->has_source_nodata = true;
    band->source_nodata = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    return SGC_OK;
}

void sgc_band_fill_nodata(const sgc_band *band, void *items, size_t count)
{
    const size_t size = (size_t)GDALGetDataTypeSizeBytes(band->type);
    char *out = items;
    uint64_t item = band->nodata_bits;
    if (count == 0)
        return;
    if (band->type != GDT_Int64 && band->type != GDT_UInt64)
        GDALCopyWords(&band->nodata, GDT_Float64, 0, &item, band->type, 0, 1);
    memcpy(out, &item, size);
    for (size_t done = 1; done < count; done *= 2)
        memcpy(out + done * size, out, size * (done < count - done ? done : count - done));
}

/* ---- what values mean ---- */

static sgc_status read_statistics(const cJSON *json, const sgc_place *at, sgc_band *band,
                                  sgc_error *err)
{
    static const char *const keys[] = {"minimum", "maximum", "mean", "stddev", NULL};
    double *const values[] = {&band->minimum, &band->maximum, &band->mean, &band->stddev};
    const cJSON *item = sgc_json_member(json, "statistics");
    const sgc_place here = sgc_place_member(at, "statistics");
    if (item == NULL)
        return SGC_OK;
    if (!cJSON_IsObject(item))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be an object");
    SGC_TRY(sgc_json_check_keys(item, keys, &here, err));
    for (int i = 0; i < 4; i++) {
        const sgc_place value = sgc_place_member(&here, keys[i]);
        if (sgc_json_member(item, keys[i]) == NULL)
            return sgc_fail_at(&value, SGC_INVALID, err, "required");
        SGC_TRY(sgc_json_get_number(item, keys[i], &here, values[i], err));
    }
    if (band->minimum > band->maximum)
        return sgc_fail_at(&here, SGC_INVALID, err, "minimum must not be larger than maximum");
    if (band->stddev < 0)
        return sgc_fail_at(&here, SGC_INVALID, err, "stddev must not be negative");
    band->has_statistics = true;
    return SGC_OK;
}

static sgc_status read_packing(const cJSON *json, const sgc_place *at, sgc_band *band,
                               sgc_error *err)
{
    const sgc_place here = sgc_place_member(at, "raster:scale");
    band->has_scale = sgc_json_member(json, "raster:scale") != NULL ||
                      sgc_json_member(json, "raster:offset") != NULL;
    band->scale = 1;
    SGC_TRY(sgc_json_get_number(json, "raster:scale", at, &band->scale, err));
    SGC_TRY(sgc_json_get_number(json, "raster:offset", at, &band->offset, err));
    return band->scale != 0 ? SGC_OK : sgc_fail_at(&here, SGC_INVALID, err, "must not be zero");
}

/* The category of `value`, made where there is none yet. */
static sgc_category *category_of(sgc_band *band, int64_t value)
{
    size_t i = 0;
    while (i < band->category_count && band->categories[i].value < value)
        i++;
    if (i < band->category_count && band->categories[i].value == value)
        return &band->categories[i];
    memmove(&band->categories[i + 1], &band->categories[i],
            (band->category_count - i) * sizeof *band->categories);
    band->categories[i] = (sgc_category){.value = value};
    band->category_count++;
    return &band->categories[i];
}

static bool parse_color(const char *text, uint8_t color[3])
{
    unsigned value;
    if (text == NULL || strlen(text) != 7 || text[0] != '#' ||
        strspn(text + 1, "0123456789abcdefABCDEF") != 6 || sscanf(text + 1, "%6x", &value) != 1)
        return false;
    for (int i = 0; i < 3; i++)
        color[i] = (uint8_t)(value >> (16 - 8 * i));
    return true;
}

static sgc_status set_category(const cJSON *item, bool is_color, sgc_category *category,
                               const sgc_place *at, sgc_error *err)
{
    const char *text = cJSON_GetStringValue(item);
    if (is_color) {
        category->has_color = parse_color(text, category->color);
        return category->has_color
                   ? SGC_OK
                   : sgc_fail_at(at, SGC_INVALID, err, "must be a colour like \"#ffbb22\"");
    }
    if (text == NULL || category->name != NULL)
        return sgc_fail_at(at, SGC_INVALID, err, "must be a text, once for each value");
    if (text[0] == '\0')
        return SGC_OK;
    category->name = strdup(text);
    return category->name != NULL ? SGC_OK : sgc_fail_memory(err, strlen(text), "a category");
}

/* "categories" or "colors": {"value": …}. There is room for all. */
static sgc_status read_values(const cJSON *object, bool is_color, const sgc_place *at,
                              const data_type *type, sgc_band *band, sgc_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        char *end;
        const sgc_place here = sgc_place_member(at, item->string);
        const long long value = strtoll(item->string, &end, 10);
        if (end == item->string || *end != '\0' || (double)value < type->smallest ||
            (double)value > (band->is_bool ? 1 : type->largest))
            return sgc_fail_at(&here, SGC_INVALID, err, "the key must be a value of %s",
                               band->data_type);
        SGC_TRY(set_category(item, is_color, category_of(band, value), &here, err));
    }
    return SGC_OK;
}

/* Blanks separate words: within a name they become '_'. */
static sgc_status write_meanings(sgc_band *band, sgc_error *err)
{
    size_t size = 0;
    for (size_t i = 0; i < band->category_count; i++)
        size += band->categories[i].name != NULL ? strlen(band->categories[i].name) + 1 : 0;
    if (size == 0)
        return SGC_OK;
    char *out = band->flag_meanings = malloc(size);
    if (out == NULL)
        return sgc_fail_memory(err, size, "categories");
    for (size_t i = 0; i < band->category_count; i++) {
        const char *name = band->categories[i].name;
        if (name == NULL)
            continue;
        for (; *name != '\0'; name++)
            *out++ = strchr(" \t\r\n", *name) != NULL ? '_' : *name;
        *out++ = ' ';
    }
    out[-1] = '\0';
    return SGC_OK;
}

static sgc_status read_categories(const cJSON *json, const sgc_place *at, const data_type *type,
                                  sgc_band *band, sgc_error *err)
{
    enum { MOST_CATEGORIES = 4096 };
    static const char *const keys[] = {"categories", "colors"};
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        const cJSON *object = sgc_json_member(json, keys[i]);
        const sgc_place here = sgc_place_member(at, keys[i]);
        if (object == NULL)
            continue;
        const int n = cJSON_GetArraySize(object);
        if (!cJSON_IsObject(object) || n > MOST_CATEGORIES)
            return sgc_fail_at(&here, SGC_INVALID, err, "must be an object of at most %d values",
                               MOST_CATEGORIES);
        if (is_float(band))
            return sgc_fail_at(&here, SGC_INVALID, err, "only for integers, not for %s",
                               band->data_type);
        count += (size_t)n;
    }
    if (count > 0 && (band->categories = calloc(count, sizeof *band->categories)) == NULL)
        return sgc_fail_memory(err, count * sizeof *band->categories, "categories");
    for (int i = 0; i < 2; i++) {
        const sgc_place here = sgc_place_member(at, keys[i]);
        SGC_TRY(read_values(sgc_json_member(json, keys[i]), i == 1, &here, type, band, err));
    }
    return write_meanings(band, err);
}

/* ---- bands ---- */

static sgc_status read_texts(const cJSON *json, const sgc_place *at, sgc_band *band, sgc_error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    SGC_TRY(sgc_json_get_text(json, "name", true, at, &band->name, err));
    SGC_TRY(sgc_json_get_text(json, "data_type", true, at, &band->data_type, err));
    SGC_TRY(sgc_json_get_text(json, "unit", false, at, &band->unit, err));
    SGC_TRY(sgc_json_get_text(json, "description", false, at, &band->description, err));
    SGC_TRY(sgc_json_get_text(json, "asset", false, at, &band->asset, err));
    if (band->asset == NULL && (band->asset = strdup(band->name)) == NULL)
        return sgc_fail_memory(err, strlen(band->name), "a band");
    const sgc_place here = sgc_place_member(at, "name");
    if (band->name[0] == '\0' || band->name[0] == '.' ||
        strspn(band->name, letters) != strlen(band->name))
        return sgc_fail_at(&here, SGC_INVALID, err, "letters, digits, '_', '-' and '.' only");
    static const char *const taken[] = {"x", "y", "time", "spatial_ref", "sgc", "zarr.json", NULL};
    if (sgc_is_listed(band->name, taken))
        return sgc_fail_at(&here, SGC_INVALID, err, "cubes use the name \"%s\" themselves",
                           band->name);
    const cJSON *attributes = sgc_json_member(json, "zarr:attributes");
    if (cJSON_IsObject(attributes) &&
        (band->attributes = cJSON_PrintUnformatted(attributes)) == NULL)
        return sgc_fail_memory(err, 0, "a band");
    return SGC_OK;
}

static sgc_status read_band(const cJSON *json, const char *document, size_t index,
                            const sgc_place *at, sgc_band *band, sgc_error *err)
{
    static const char *const keys[] = {"name",        "data_type",    "nodata",     "unit",
                                       "description", "raster:scale", "asset",      "raster:offset",
                                       "band",        "resampling",   "statistics", "source_nodata",
                                       "colors",      "categories",   NULL};
    enum { MOST_SOURCE_BANDS = 65535 };
    const data_type *type = NULL;
    if (!cJSON_IsObject(json))
        return sgc_fail_at(at, SGC_INVALID, err, "must be an object");
    SGC_TRY(sgc_json_check_keys(json, keys, at, err));
    SGC_TRY(read_texts(json, at, band, err));
    SGC_TRY(read_type(at, band, &type, err));
    SGC_TRY(read_nodata(json, document, index, at, type, band, err));
    SGC_TRY(read_source_nodata(json, at, band, err));
    SGC_TRY(read_packing(json, at, band, err));
    SGC_TRY(read_statistics(json, at, band, err));
    SGC_TRY(read_categories(json, at, type, band, err));
    band->source_band = 1;
    SGC_TRY(sgc_json_get_integer(json, "band", 1, MOST_SOURCE_BANDS, at, &band->source_band, err));
    const bool is_copied = band->is_bool || sgc_json_member(json, "categories") != NULL ||
                           band->type == GDT_Int64 || band->type == GDT_UInt64;
    int resampling = is_copied ? SGC_RESAMPLE_NEAREST : SGC_RESAMPLE_AVERAGE;
    SGC_TRY(sgc_json_get_choice(json, "resampling", sgc_resampling_words, at, &resampling, err));
    band->resampling = (sgc_resampling)resampling;
    return SGC_OK;
}

sgc_status sgc_definition_read_bands(sgc_definition *definition, const sgc_place *root,
                                     sgc_error *err)
{
    enum { MOST_BANDS = 4096 };
    const cJSON *list = sgc_json_member(definition->json, "bands");
    const sgc_place at = sgc_place_member(root, "bands");
    if (list == NULL)
        return sgc_fail_at(&at, SGC_INVALID, err, "required");
    const int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count < 1 || count > MOST_BANDS)
        return sgc_fail_at(&at, SGC_INVALID, err, "must be a list of 1 to %d bands", MOST_BANDS);
    definition->bands = calloc((size_t)count, sizeof *definition->bands);
    if (definition->bands == NULL)
        return sgc_fail_memory(err, (size_t)count * sizeof *definition->bands, "bands");
    definition->band_count = (size_t)count;
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        sgc_band *band = &definition->bands[i];
        const sgc_place here = sgc_place_element(&at, i);
        const sgc_place name = sgc_place_member(&here, "name");
        SGC_TRY(read_band(item, definition->text, i, &here, band, err));
        for (size_t k = 0; k < i; k++)
            if (strcmp(definition->bands[k].name, band->name) == 0)
                return sgc_fail_at(&name, SGC_INVALID, err, "\"%.64s\" is there twice", band->name);
        i++;
    }
    return SGC_OK;
}
