#include "store/zarr/metadata.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/zarr/codec_metadata.h"
#include "store/zarr/fill_value.h"
#include "store/zarr/json_tree.h"

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [SGC_BOOL] = {"bool", 1},       [SGC_INT8] = {"int8", 1},       [SGC_UINT8] = {"uint8", 1},
    [SGC_INT16] = {"int16", 2},     [SGC_UINT16] = {"uint16", 2},   [SGC_INT32] = {"int32", 4},
    [SGC_UINT32] = {"uint32", 4},   [SGC_INT64] = {"int64", 8},     [SGC_UINT64] = {"uint64", 8},
    [SGC_FLOAT16] = {"float16", 2}, [SGC_FLOAT32] = {"float32", 4}, [SGC_FLOAT64] = {"float64", 8},
};

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
    if (strcmp(sgc_extension_name(grid), "regular") != 0)
        return sgc_fail(err, SGC_UNSUPPORTED, "chunk grid \"%.64s\" is not supported",
                        sgc_extension_name(grid));
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

static sgc_status parse_fill_value(sgc_span document, sgc_array_metadata *out, sgc_error *err)
{
    sgc_span json;
    if (sgc_json_find(document, "fill_value", &json, NULL) != SGC_OK)
        return sgc_fail(err, SGC_CORRUPT, "there is no fill_value");
    return sgc_fill_value_parse(out->type, json, out->fill_value, err);
}

static sgc_status check_chunk_keys(const cJSON *encoding, sgc_error *err)
{
    const char *separator = text_member(member(encoding, "configuration"), "separator");
    if (strcmp(sgc_extension_name(encoding), "default") != 0 ||
        (*separator != '\0' && strcmp(separator, "/") != 0))
        return sgc_fail(err, SGC_UNSUPPORTED, "chunk_key_encoding is not \"default\" with \"/\"");
    return SGC_OK;
}

/* What we do not know may change the meaning of the rest, unless it says that it does not. */
static sgc_status check_members(const cJSON *json, sgc_error *err)
{
    static const char *const known[] = {"zarr_format",     "node_type",           "shape",
                                        "data_type",       "chunk_grid",          "fill_value",
                                        "dimension_names", "chunk_key_encoding",  "codecs",
                                        "attributes",      "storage_transformers"};
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        bool good = cJSON_IsFalse(member(item, "must_understand"));
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            good = good || strcmp(known[i], item->string) == 0;
        if (!good)
            return sgc_fail(err, SGC_UNSUPPORTED, "the member \"%.64s\" is not supported",
                            item->string);
    }
    const cJSON *transformers = member(json, "storage_transformers");
    if (cJSON_GetArraySize(transformers) > 0)
        return sgc_fail(err, SGC_UNSUPPORTED, "storage transformer \"%.64s\" is not supported",
                        sgc_extension_name(transformers->child));
    return SGC_OK;
}

static sgc_status parse(const cJSON *json, sgc_span document, sgc_array_metadata *out,
                        sgc_error *err)
{
    const cJSON *format = member(json, "zarr_format");
    if (!cJSON_IsNumber(format) || format->valueint != 3)
        return sgc_fail(err, SGC_UNSUPPORTED, "zarr_format is not 3");
    if (strcmp(text_member(json, "node_type"), "array") != 0)
        return sgc_fail(err, SGC_CORRUPT, "node_type is not \"array\"");
    SGC_TRY(check_chunk_keys(member(json, "chunk_key_encoding"), err));
    SGC_TRY(sgc_data_type_parse(sgc_extension_name(member(json, "data_type")), &out->type, err));
    SGC_TRY(parse_shapes(json, out, err));
    SGC_TRY(parse_dimension_names(json, out, err));
    SGC_TRY(sgc_codecs_parse(member(json, "codecs"), out->type, out->dimension_count, &out->codecs,
                             err));
    SGC_TRY(parse_fill_value(document, out, err));
    return check_members(json, err);
}

sgc_status sgc_array_metadata_parse(const char *json, size_t size, sgc_array_metadata *out,
                                    sgc_error *err)
{
    cJSON *tree = NULL;
    sgc_array_metadata result = {0};
    if (!sgc_is_utf8((sgc_span){json, size}))
        return sgc_fail(err, SGC_CORRUPT, "zarr.json: malformed: not UTF-8");
    sgc_status status = sgc_json_parse((sgc_span){json, size}, &tree, err);
    if (status == SGC_OK)
        status = cJSON_IsObject(tree) ? parse(tree, (sgc_span){json, size}, &result, err)
                                      : sgc_fail(err, SGC_CORRUPT, "malformed: no JSON object");
    cJSON_Delete(tree);
    if (status != SGC_OK) {
        sgc_array_metadata_clear(&result);
        return sgc_fail_in(err, status, "zarr.json");
    }
    *out = result;
    return SGC_OK;
}

/* Levels and the like do not matter to who decodes. */
static bool same_codecs(const sgc_codecs *a, const sgc_codecs *b)
{
    if (a->big_endian != b->big_endian || a->transposed != b->transposed || a->count != b->count ||
        memcmp(a->order, b->order, sizeof a->order) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i].kind != b->list[i].kind)
            return false;
    return true;
}

bool sgc_array_metadata_same_chunks(const sgc_array_metadata *a, const sgc_array_metadata *b)
{
    return a->type == b->type && a->dimension_count == b->dimension_count &&
           memcmp(a->chunk_shape, b->chunk_shape, sizeof a->chunk_shape) == 0 &&
           memcmp(a->fill_value, b->fill_value, sizeof a->fill_value) == 0 &&
           same_codecs(&a->codecs, &b->codecs);
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
    SGC_TRY(sgc_codecs_print(m, out, err));
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
