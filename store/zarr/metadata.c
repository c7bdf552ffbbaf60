#include "store/zarr/metadata.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/zarr/json_text.h"

static const struct {
    const char *name;
    size_t size;
    bool is_signed, is_float;
} types[] = {
    [SGC_BOOL] = {"bool", 1, false, false},     [SGC_INT8] = {"int8", 1, true, false},
    [SGC_UINT8] = {"uint8", 1, false, false},   [SGC_INT16] = {"int16", 2, true, false},
    [SGC_UINT16] = {"uint16", 2, false, false}, [SGC_INT32] = {"int32", 4, true, false},
    [SGC_UINT32] = {"uint32", 4, false, false}, [SGC_INT64] = {"int64", 8, true, false},
    [SGC_UINT64] = {"uint64", 8, false, false}, [SGC_FLOAT32] = {"float32", 4, true, true},
    [SGC_FLOAT64] = {"float64", 8, true, true},
};

static const char *const shuffles[] = {"noshuffle", "shuffle", "bitshuffle"};

/* zarr-python refuses larger Blosc input; nothing we read or write comes near it. */
#define LARGEST_CHUNK ((size_t)INT32_MAX)

size_t sgc_data_type_size(sgc_data_type type)
{
    return types[type].size;
}

const char *sgc_data_type_name(sgc_data_type type)
{
    return types[type].name;
}

sgc_status sgc_data_type_parse(const char *name, sgc_data_type *type, sgc_error *err)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) {
            *type = (sgc_data_type)i;
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_UNSUPPORTED, "data type \"%.64s\" is not supported", name);
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(member(object, name));
    return text != NULL ? text : "";
}

static sgc_status parse_lengths(const cJSON *list, const char *what, uint64_t smallest,
                                uint64_t *lengths, size_t *count, sgc_error *err)
{
    const int n = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list))
        return sgc_fail(err, SGC_CORRUPT, "%s is no list", what);
    if (n > SGC_ZARR_MAX_DIMENSIONS)
        return sgc_fail(err, SGC_UNSUPPORTED, "%s has more than %d dimensions", what,
                        SGC_ZARR_MAX_DIMENSIONS);
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const double value = item->valuedouble;
        if (!cJSON_IsNumber(item) || !(value >= (double)smallest) || value > 9007199254740992.0 ||
            value != floor(value))
            return sgc_fail(err, SGC_CORRUPT, "%s has a bad length", what);
        lengths[i++] = (uint64_t)value;
    }
    *count = i;
    return SGC_OK;
}

static sgc_status parse_shapes(const cJSON *json, sgc_array_metadata *out, sgc_error *err)
{
    SGC_TRY(
        parse_lengths(member(json, "shape"), "shape", 0, out->shape, &out->dimension_count, err));
    const cJSON *grid = member(json, "chunk_grid");
    if (strcmp(text_member(grid, "name"), "regular") != 0)
        return sgc_fail(err, SGC_UNSUPPORTED, "chunk grid \"%.64s\" is not supported",
                        text_member(grid, "name"));
    size_t count = 0;
    SGC_TRY(parse_lengths(member(member(grid, "configuration"), "chunk_shape"), "chunk_shape", 1,
                          out->chunk_shape, &count, err));
    if (count != out->dimension_count)
        return sgc_fail(err, SGC_CORRUPT, "shape and chunk_shape differ in length");
    out->chunk_bytes = types[out->type].size;
    for (size_t d = 0; d < count; d++) {
        if (!sgc_multiply(out->chunk_bytes, out->chunk_shape[d], &out->chunk_bytes) ||
            out->chunk_bytes > LARGEST_CHUNK)
            return sgc_fail(err, SGC_UNSUPPORTED, "a chunk of more than 2 GiB");
        if (sgc_array_chunk_count(out, d) > UINT32_MAX)
            return sgc_fail(err, SGC_UNSUPPORTED, "more than 2^32 chunks along a dimension");
    }
    return SGC_OK;
}

static sgc_status parse_dimension_names(const cJSON *json, sgc_array_metadata *out, sgc_error *err)
{
    const cJSON *names = member(json, "dimension_names");
    if (names == NULL || cJSON_IsNull(names))
        return SGC_OK;
    if (!cJSON_IsArray(names) || (size_t)cJSON_GetArraySize(names) != out->dimension_count)
        return sgc_fail(err, SGC_CORRUPT, "dimension_names does not fit the shape");
    out->has_dimension_names = true;
    size_t i = 0;
    const cJSON *name;
    cJSON_ArrayForEach(name, names)
    {
        if (cJSON_IsString(name) && (out->dimension_names[i] = strdup(name->valuestring)) == NULL)
            return sgc_fail_memory(err, strlen(name->valuestring), "a name");
        i++;
    }
    return SGC_OK;
}

static sgc_status parse_blosc(const cJSON *configuration, sgc_array_metadata *out, sgc_error *err)
{
    sgc_codecs *codecs = &out->codecs;
    const char *compressor = text_member(configuration, "cname");
    const char *shuffle = text_member(configuration, "shuffle");
    const cJSON *level = member(configuration, "clevel");
    const cJSON *type_size = member(configuration, "typesize");
    const cJSON *block_size = member(configuration, "blocksize");
    if (*compressor == '\0' || strlen(compressor) >= sizeof codecs->compressor)
        return sgc_fail(err, SGC_CORRUPT, "blosc: bad cname");
    strcpy(codecs->compressor, compressor);
    codecs->shuffle = -1;
    for (int i = 0; i < 3; i++)
        if (strcmp(shuffles[i], shuffle) == 0)
            codecs->shuffle = i;
    if (codecs->shuffle < 0)
        return sgc_fail(err, SGC_CORRUPT, "blosc: bad shuffle \"%.32s\"", shuffle);
    if (!cJSON_IsNumber(level) || level->valuedouble < 0 || level->valuedouble > 9)
        return sgc_fail(err, SGC_CORRUPT, "blosc: bad clevel");
    codecs->level = level->valueint;
    codecs->type_size = types[out->type].size;
    if (cJSON_IsNumber(type_size) && type_size->valuedouble >= 1 && type_size->valuedouble <= 255)
        codecs->type_size = (size_t)type_size->valueint;
    if (cJSON_IsNumber(block_size) && block_size->valuedouble >= 0)
        codecs->block_size = (size_t)block_size->valueint;
    codecs->compression = SGC_BLOSC;
    return SGC_OK;
}

static sgc_status parse_codecs(const cJSON *json, sgc_array_metadata *out, sgc_error *err)
{
    bool bytes = false;
    const cJSON *codec;
    cJSON_ArrayForEach(codec, member(json, "codecs"))
    {
        const char *name = text_member(codec, "name");
        const cJSON *configuration = member(codec, "configuration");
        if (strcmp(name, "bytes") == 0 && !bytes) {
            bytes = true;
            out->codecs.big_endian = strcmp(text_member(configuration, "endian"), "big") == 0;
        } else if (strcmp(name, "blosc") == 0 && bytes && !out->codecs.compression) {
            SGC_TRY(parse_blosc(configuration, out, err));
        } else if (strcmp(name, "zstd") == 0 && bytes && !out->codecs.compression) {
            const cJSON *level = member(configuration, "level");
            out->codecs.compression = SGC_ZSTD;
            out->codecs.level = cJSON_IsNumber(level) ? level->valueint : 0;
            out->codecs.checksum = cJSON_IsTrue(member(configuration, "checksum"));
        } else {
            return sgc_fail(err, SGC_UNSUPPORTED, "codec \"%.64s\" is not supported here", name);
        }
    }
    if (!bytes)
        return sgc_fail(err, SGC_CORRUPT, "there is no codec \"bytes\"");
    if (out->codecs.big_endian && types[out->type].size > 1)
        return sgc_fail(err, SGC_UNSUPPORTED, "big-endian arrays are not supported");
    return SGC_OK;
}

/* A float is a number, a name, or the hexadecimal form of its bits. Not strtod(), which reads a
 * comma where the host's locale writes one. */
static bool parse_float(const cJSON *number, const char *text, size_t size, double *value,
                        uint64_t *bits)
{
    static const struct {
        const char *name;
        double value;
    } names[] = {{"\"NaN\"", NAN}, {"\"Infinity\"", INFINITY}, {"\"-Infinity\"", -INFINITY}};
    *bits = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (size == strlen(names[i].name) && memcmp(text, names[i].name, size) == 0) {
            *value = names[i].value;
            return true;
        }
    }
    char *end;
    if (size > 4 && memcmp(text, "\"0x", 3) == 0) {
        errno = 0;
        *bits = strtoull(text + 1, &end, 16);
        *value = 0;
        return errno == 0 && end == text + size - 1;
    }
    *value = cJSON_GetNumberValue(number);
    return cJSON_IsNumber(number);
}

static bool parse_fill_float(sgc_data_type type, const cJSON *number, const char *text, size_t size,
                             unsigned char *out)
{
    double value;
    uint64_t bits;
    if (!parse_float(number, text, size, &value, &bits))
        return false;
    if (type == SGC_FLOAT64) {
        if (bits == 0)
            memcpy(out, &value, sizeof value);
        else
            memcpy(out, &bits, sizeof bits);
        return true;
    }
    const float single = (float)value;
    const uint32_t low = (uint32_t)bits;
    if (bits == 0)
        memcpy(out, &single, sizeof single);
    else
        memcpy(out, &low, sizeof low);
    return bits <= UINT32_MAX;
}

static bool parse_fill_integer(sgc_data_type type, const char *text, size_t size,
                               unsigned char *out)
{
    const unsigned width = (unsigned)types[type].size * 8;
    char *end;
    errno = 0;
    if (types[type].is_signed) {
        const long long value = strtoll(text, &end, 10);
        const long long limit = (long long)(UINT64_MAX >> 1 >> (64 - width));
        if (value > limit || value < -limit - 1)
            return false;
        memcpy(out, &value, types[type].size); /* the low bytes come first */
    } else {
        const unsigned long long value = strtoull(text, &end, 10);
        if (*text == '-' || value > UINT64_MAX >> (64 - width))
            return false;
        memcpy(out, &value, types[type].size);
    }
    return errno == 0 && end == text + size;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this library needs a little-endian machine"
#endif

static sgc_status parse_fill_value(const cJSON *json, sgc_span document, sgc_array_metadata *out,
                                   sgc_error *err)
{
    sgc_span span;
    char text[64];
    if (sgc_json_find(document, "fill_value", &span, NULL) != SGC_OK)
        return sgc_fail(err, SGC_CORRUPT, "there is no fill_value");
    bool good = span.size < sizeof text;
    if (good) {
        memcpy(text, span.text, span.size);
        text[span.size] = '\0';
        if (out->type == SGC_BOOL) {
            out->fill_value[0] = strcmp(text, "true") == 0;
            good = out->fill_value[0] || strcmp(text, "false") == 0;
        } else if (types[out->type].is_float) {
            good = parse_fill_float(out->type, member(json, "fill_value"), text, span.size,
                                    out->fill_value);
        } else {
            good = parse_fill_integer(out->type, text, span.size, out->fill_value);
        }
    }
    return good
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "fill_value %.*s does not fit %s",
                          (int)(span.size < 64 ? span.size : 64), span.text, types[out->type].name);
}

static sgc_status parse(const cJSON *json, sgc_span document, sgc_array_metadata *out,
                        sgc_error *err)
{
    const cJSON *format = member(json, "zarr_format");
    if (!cJSON_IsNumber(format) || format->valueint != 3)
        return sgc_fail(err, SGC_UNSUPPORTED, "zarr_format is not 3");
    if (strcmp(text_member(json, "node_type"), "array") != 0)
        return sgc_fail(err, SGC_CORRUPT, "node_type is not \"array\"");
    const cJSON *encoding = member(json, "chunk_key_encoding");
    const char *separator = text_member(member(encoding, "configuration"), "separator");
    if (strcmp(text_member(encoding, "name"), "default") != 0 ||
        (*separator != '\0' && strcmp(separator, "/") != 0))
        return sgc_fail(err, SGC_UNSUPPORTED, "chunk_key_encoding is not \"default\" with \"/\"");
    SGC_TRY(sgc_data_type_parse(text_member(json, "data_type"), &out->type, err));
    SGC_TRY(parse_shapes(json, out, err));
    SGC_TRY(parse_dimension_names(json, out, err));
    SGC_TRY(parse_codecs(json, out, err));
    return parse_fill_value(json, document, out, err);
}

sgc_status sgc_array_metadata_parse(const char *json, size_t size, sgc_array_metadata *out,
                                    sgc_error *err)
{
    cJSON *tree = NULL;
    sgc_array_metadata result = {0};
    const sgc_span document = {json, size};
    sgc_status status = sgc_json_parse(document, &tree, err);
    if (status == SGC_OK)
        status = cJSON_IsObject(tree) ? parse(tree, document, &result, err)
                                      : sgc_fail(err, SGC_CORRUPT, "malformed: no JSON object");
    cJSON_Delete(tree);
    if (status != SGC_OK) {
        sgc_array_metadata_clear(&result);
        return sgc_fail_in(err, status, "zarr.json");
    }
    *out = result;
    return SGC_OK;
}

void sgc_array_metadata_clear(sgc_array_metadata *metadata)
{
    for (size_t d = 0; d < SGC_ZARR_MAX_DIMENSIONS; d++)
        free(metadata->dimension_names[d]);
    *metadata = (sgc_array_metadata){0};
}

static sgc_status print_lengths(const uint64_t *lengths, size_t count, sgc_buffer *out,
                                sgc_error *err)
{
    SGC_TRY(sgc_buffer_append(out, "[", 1, err));
    for (size_t d = 0; d < count; d++)
        SGC_TRY(sgc_buffer_print(out, err, "%s%llu", d > 0 ? ", " : "",
                                 (unsigned long long)lengths[d]));
    return sgc_buffer_append(out, "]", 1, err);
}

static sgc_status print_codecs(const sgc_array_metadata *m, sgc_buffer *out, sgc_error *err)
{
    const sgc_codecs *codecs = &m->codecs;
    SGC_TRY(sgc_buffer_print(
        out, err, "[{\"name\": \"bytes\"%s}",
        types[m->type].size > 1 ? ", \"configuration\": {\"endian\": \"little\"}" : ""));
    if (codecs->compression == SGC_BLOSC)
        SGC_TRY(sgc_buffer_print(out, err,
                                 ", {\"name\": \"blosc\", \"configuration\": {\"typesize\": %zu, "
                                 "\"cname\": \"%s\", \"clevel\": %d, \"shuffle\": \"%s\", "
                                 "\"blocksize\": %zu}}",
                                 codecs->type_size, codecs->compressor, codecs->level,
                                 shuffles[codecs->shuffle], codecs->block_size));
    if (codecs->compression == SGC_ZSTD)
        SGC_TRY(sgc_buffer_print(out, err,
                                 ", {\"name\": \"zstd\", \"configuration\": {\"level\": %d, "
                                 "\"checksum\": %s}}",
                                 codecs->level, codecs->checksum ? "true" : "false"));
    return sgc_buffer_append(out, "]", 1, err);
}

sgc_status sgc_array_metadata_print(const sgc_array_metadata *m, const char *fill_value,
                                    const char *attributes, sgc_buffer *out, sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(out, err, "{\"shape\": "));
    SGC_TRY(print_lengths(m->shape, m->dimension_count, out, err));
    SGC_TRY(sgc_buffer_print(out, err,
                             ", \"data_type\": \"%s\", \"chunk_grid\": {\"name\": \"regular\", "
                             "\"configuration\": {\"chunk_shape\": ",
                             types[m->type].name));
    SGC_TRY(print_lengths(m->chunk_shape, m->dimension_count, out, err));
    SGC_TRY(sgc_buffer_print(out, err,
                             "}}, \"chunk_key_encoding\": {\"name\": \"default\", "
                             "\"configuration\": {\"separator\": \"/\"}}, \"fill_value\": %s, "
                             "\"codecs\": ",
                             fill_value));
    SGC_TRY(print_codecs(m, out, err));
    SGC_TRY(sgc_buffer_print(out, err, ", \"attributes\": %s", attributes));
    for (size_t d = 0; m->has_dimension_names && d < m->dimension_count; d++) {
        SGC_TRY(sgc_buffer_print(out, err, "%s", d == 0 ? ", \"dimension_names\": [" : ", "));
        if (m->dimension_names[d] == NULL)
            SGC_TRY(sgc_buffer_print(out, err, "null"));
        else
            SGC_TRY(sgc_json_quote(out, m->dimension_names[d], err));
        if (d + 1 == m->dimension_count)
            SGC_TRY(sgc_buffer_print(out, err, "]"));
    }
    return sgc_buffer_print(out, err,
                            ", \"zarr_format\": 3, \"node_type\": \"array\", "
                            "\"storage_transformers\": []}");
}
