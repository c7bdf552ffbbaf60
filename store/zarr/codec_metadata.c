#include "store/zarr/codec_metadata.h"

#include <blosc.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static const char *const shuffles[] = {"noshuffle", "shuffle", "bitshuffle"};

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *sgc_extension_name(const cJSON *extension)
{
    const char *name = cJSON_GetStringValue(extension);
    if (name == NULL)
        name = cJSON_GetStringValue(member(extension, "name"));
    return name != NULL ? name : "";
}

/* ---- configurations ---- */

/* What a codec's configuration says, for messages with the codec's name. */
typedef struct configuration {
    const char *codec;
    const cJSON *json; /* NULL: nothing */
} configuration;

/* Leaves *value alone where there is no such member. */
static sgc_status read_integer(const configuration *c, const char *name, int smallest, int largest,
                               int *value, sgc_error *err)
{
    const cJSON *json = member(c->json, name);
    if (json == NULL)
        return SGC_OK;
    const double number = json->valuedouble;
    if (!cJSON_IsNumber(json) || !(number >= smallest && number <= largest) ||
        number != floor(number))
        return sgc_fail(err, SGC_CORRUPT, "codec \"%s\": bad %s", c->codec, name);
    *value = (int)number;
    return SGC_OK;
}

/* A text that is none of `choices` is SGC_CORRUPT. */
static sgc_status read_choice(const configuration *c, const char *name, const char *const *choices,
                              int count, int *value, sgc_error *err)
{
    const cJSON *json = member(c->json, name);
    if (json == NULL || cJSON_IsNull(json))
        return SGC_OK;
    const char *text = cJSON_GetStringValue(json);
    for (int i = 0; text != NULL && i < count; i++) {
        if (strcmp(choices[i], text) == 0) {
            *value = i;
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_CORRUPT, "codec \"%s\": bad %s \"%.32s\"", c->codec, name,
                    text != NULL ? text : "");
}

static sgc_status read_compressor(const configuration *c, sgc_codec *codec, sgc_error *err)
{
    const cJSON *json = member(c->json, "cname");
    const char *name = json == NULL ? "zstd" : cJSON_GetStringValue(json);
    if (name == NULL)
        return sgc_fail(err, SGC_CORRUPT, "codec \"blosc\": bad cname");
    if (strlen(name) >= sizeof codec->compressor || blosc_compname_to_compcode(name) < 0)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "codec \"blosc\": this library has no compressor \"%.64s\", only %s", name,
                        blosc_list_compressors());
    strcpy(codec->compressor, name);
    return SGC_OK;
}

static sgc_status parse_blosc(const configuration *c, size_t item_size, sgc_codec *codec,
                              sgc_error *err)
{
    int type_size = 0, block_size = 0;
    codec->level = 5;
    codec->shuffle = item_size == 1 ? 2 : 1;
    SGC_TRY(read_compressor(c, codec, err));
    SGC_TRY(read_choice(c, "shuffle", shuffles, 3, &codec->shuffle, err));
    SGC_TRY(read_integer(c, "clevel", 0, 9, &codec->level, err));
    SGC_TRY(read_integer(c, "typesize", 0, INT_MAX, &type_size, err));
    SGC_TRY(read_integer(c, "blocksize", 0, INT_MAX, &block_size, err));
    codec->type_size = type_size > 0 ? (size_t)type_size : item_size;
    codec->block_size = (size_t)block_size;
    return SGC_OK;
}

static sgc_status parse_zstd(const configuration *c, size_t item_size, sgc_codec *codec,
                             sgc_error *err)
{
    (void)item_size;
    codec->checksum = cJSON_IsTrue(member(c->json, "checksum"));
    return read_integer(c, "level", -131072, 22, &codec->level, err);
}

static sgc_status parse_gzip(const configuration *c, size_t item_size, sgc_codec *codec,
                             sgc_error *err)
{
    (void)item_size;
    codec->level = 5;
    return read_integer(c, "level", 0, 9, &codec->level, err);
}

static sgc_status parse_crc32c(const configuration *c, size_t item_size, sgc_codec *codec,
                               sgc_error *err)
{
    (void)c;
    (void)item_size;
    (void)codec;
    (void)err;
    return SGC_OK;
}

static const struct {
    const char *name;
    sgc_status (*parse)(const configuration *c, size_t item_size, sgc_codec *codec, sgc_error *err);
} kinds[] = {
    [SGC_BLOSC] = {"blosc", parse_blosc},
    [SGC_ZSTD] = {"zstd", parse_zstd},
    [SGC_GZIP] = {"gzip", parse_gzip},
    [SGC_CRC32C] = {"crc32c", parse_crc32c},
};

/* ---- transpose ---- */

/* The old texts "C" and "F", or a permutation of the axes. */
static sgc_status parse_order(const cJSON *json, size_t count, uint8_t *order, sgc_error *err)
{
    const char *text = cJSON_GetStringValue(json);
    const bool same = text != NULL && strcmp(text, "C") == 0;
    if (same || (text != NULL && strcmp(text, "F") == 0)) {
        for (size_t i = 0; i < count; i++)
            order[i] = (uint8_t)(same ? i : count - 1 - i);
        return SGC_OK;
    }
    bool good = cJSON_IsArray(json) && (size_t)cJSON_GetArraySize(json) == count;
    bool seen[SGC_ZARR_MAX_DIMENSIONS] = {false};
    size_t n = 0;
    const cJSON *axis;
    cJSON_ArrayForEach(axis, json)
    {
        const double number = axis->valuedouble;
        good = good && cJSON_IsNumber(axis) && number >= 0 && number < (double)count &&
               number == floor(number) && !seen[(size_t)number];
        if (!good)
            return sgc_fail(err, SGC_CORRUPT, "codec \"transpose\": bad order");
        order[n++] = (uint8_t)number;
        seen[(size_t)number] = true;
    }
    return good ? SGC_OK : sgc_fail(err, SGC_CORRUPT, "codec \"transpose\": bad order");
}

/* Transposes what is transposed already. */
static sgc_status add_transpose(const cJSON *order, size_t count, sgc_codecs *out, sgc_error *err)
{
    uint8_t next[SGC_ZARR_MAX_DIMENSIONS] = {0}, composed[SGC_ZARR_MAX_DIMENSIONS] = {0};
    SGC_TRY(parse_order(order, count, next, err));
    out->transposed = false;
    for (size_t i = 0; i < count; i++) {
        composed[i] = out->order[next[i]];
        out->transposed = out->transposed || composed[i] != i;
    }
    memcpy(out->order, composed, sizeof composed);
    return SGC_OK;
}

/* ---- the list ---- */

static int find_kind(const char *name)
{
    for (int kind = 0; kind < (int)(sizeof kinds / sizeof *kinds); kind++)
        if (strcmp(kinds[kind].name, name) == 0)
            return kind;
    return -1;
}

static sgc_status add_codec(const configuration *c, size_t item_size, sgc_codecs *out,
                            sgc_error *err)
{
    const int kind = find_kind(c->codec);
    if (kind < 0)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "codec \"%.64s\" is not supported: this library cannot read the array",
                        c->codec);
    if (out->count == SGC_MAX_CODECS)
        return sgc_fail(err, SGC_UNSUPPORTED, "more than %d codecs behind \"bytes\"",
                        SGC_MAX_CODECS);
    sgc_codec codec = {.kind = (sgc_codec_kind)kind};
    SGC_TRY(kinds[kind].parse(c, item_size, &codec, err));
    out->list[out->count++] = codec;
    return SGC_OK;
}

static sgc_status add_bytes(const configuration *c, sgc_codecs *out, sgc_error *err)
{
    static const char *const orders[] = {"little", "big"};
    int order = 0;
    SGC_TRY(read_choice(c, "endian", orders, 2, &order, err));
    out->big_endian = order == 1;
    return SGC_OK;
}

sgc_status sgc_codecs_parse(const cJSON *list, sgc_data_type type, size_t dimension_count,
                            sgc_codecs *out, sgc_error *err)
{
    sgc_codecs result = {0};
    if (!cJSON_IsArray(list))
        return sgc_fail(err, SGC_CORRUPT, "codecs is no list");
    for (size_t i = 0; i < dimension_count; i++)
        result.order[i] = (uint8_t)i;
    bool bytes = false;
    const cJSON *codec;
    cJSON_ArrayForEach(codec, list)
    {
        const configuration c = {sgc_extension_name(codec), member(codec, "configuration")};
        const bool is_bytes = strcmp(c.codec, "bytes") == 0;
        const bool is_transpose = strcmp(c.codec, "transpose") == 0;
        if (bytes ? is_bytes || is_transpose : find_kind(c.codec) >= 0)
            return sgc_fail(err, SGC_CORRUPT, "codec \"%s\" stands on the wrong side of \"bytes\"",
                            c.codec);
        bytes = bytes || is_bytes;
        if (is_bytes)
            SGC_TRY(add_bytes(&c, &result, err));
        else if (is_transpose)
            SGC_TRY(add_transpose(member(c.json, "order"), dimension_count, &result, err));
        else
            SGC_TRY(add_codec(&c, sgc_data_type_size(type), &result, err));
    }
    if (!bytes)
        return sgc_fail(err, SGC_CORRUPT, "there is no codec \"bytes\"");
    *out = result;
    return SGC_OK;
}

/* ---- printing ---- */

static sgc_status print_codec(const sgc_codec *codec, sgc_buffer *out, sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(out, err, ", {\"name\": \"%s\"", kinds[codec->kind].name));
    switch (codec->kind) {
    case SGC_BLOSC:
        SGC_TRY(sgc_buffer_print(out, err,
                                 ", \"configuration\": {\"typesize\": %zu, \"cname\": \"%s\", "
                                 "\"clevel\": %d, \"shuffle\": \"%s\", \"blocksize\": %zu}",
                                 codec->type_size, codec->compressor, codec->level,
                                 shuffles[codec->shuffle], codec->block_size));
        break;
    case SGC_ZSTD:
        SGC_TRY(sgc_buffer_print(out, err, ", \"configuration\": {\"level\": %d, \"checksum\": %s}",
                                 codec->level, codec->checksum ? "true" : "false"));
        break;
    case SGC_GZIP:
        SGC_TRY(sgc_buffer_print(out, err, ", \"configuration\": {\"level\": %d}", codec->level));
        break;
    case SGC_CRC32C:
        break;
    }
    return sgc_buffer_append(out, "}", 1, err);
}

sgc_status sgc_codecs_print(const sgc_array_metadata *metadata, sgc_buffer *out, sgc_error *err)
{
    const sgc_codecs *codecs = &metadata->codecs;
    SGC_TRY(sgc_buffer_append(out, "[", 1, err));
    for (size_t d = 0; codecs->transposed && d < metadata->dimension_count; d++) {
        static const char before[] = "{\"name\": \"transpose\", \"configuration\": {\"order\": [";
        SGC_TRY(sgc_buffer_print(out, err, "%s%d", d == 0 ? before : ", ", codecs->order[d]));
        if (d + 1 == metadata->dimension_count)
            SGC_TRY(sgc_buffer_print(out, err, "]}}, "));
    }
    SGC_TRY(sgc_buffer_print(out, err, "{\"name\": \"bytes\""));
    if (sgc_data_type_size(metadata->type) > 1)
        SGC_TRY(sgc_buffer_print(out, err, ", \"configuration\": {\"endian\": \"%s\"}",
                                 codecs->big_endian ? "big" : "little"));
    SGC_TRY(sgc_buffer_append(out, "}", 1, err));
    for (size_t i = 0; i < codecs->count; i++)
        SGC_TRY(print_codec(&codecs->list[i], out, err));
    return sgc_buffer_append(out, "]", 1, err);
}
