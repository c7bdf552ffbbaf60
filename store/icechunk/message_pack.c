#include "store/icechunk/message_pack.h"

#include <string.h>

#include "store/zarr/json_number.h"

/* ---- encoding ---- */

/* Appends `tag` and the low `width` bytes of `value`, most significant first. */
static sgc_status put(sgc_buffer *out, unsigned tag, uint64_t value, unsigned width, sgc_error *err)
{
    unsigned char bytes[9] = {(unsigned char)tag};
    for (unsigned i = 0; i < width; i++)
        bytes[1 + i] = (unsigned char)(value >> 8 * (width - 1 - i));
    return sgc_buffer_append(out, bytes, 1 + width, err);
}

/* The kinds of values with a length: their tags for lengths up to `fix_limit`, of 8, 16 and 32
 * bits. */
typedef struct sized_tags {
    unsigned fix, fix_limit, tag8, tag16, tag32;
} sized_tags;

static const sized_tags string_tags = {0xa0, 31, 0xd9, 0xda, 0xdb};
static const sized_tags array_tags = {0x90, 15, 0, 0xdc, 0xdd};
static const sized_tags map_tags = {0x80, 15, 0, 0xde, 0xdf};

static sgc_status put_length(sgc_buffer *out, const sized_tags *tags, size_t length, sgc_error *err)
{
    if (length <= tags->fix_limit)
        return put(out, tags->fix | (unsigned)length, 0, 0, err);
    if (length <= UINT8_MAX && tags->tag8 != 0)
        return put(out, tags->tag8, length, 1, err);
    if (length <= UINT16_MAX)
        return put(out, tags->tag16, length, 2, err);
    if (length > UINT32_MAX)
        return sgc_fail(err, SGC_UNSUPPORTED, "a value of more than 4 GiB");
    return put(out, tags->tag32, length, 4, err);
}

static sgc_status put_string(sgc_buffer *out, sgc_span quoted, sgc_error *err)
{
    sgc_buffer text = {0};
    sgc_status status = sgc_json_unquote(quoted, &text, err);
    if (status == SGC_OK)
        status = put_length(out, &string_tags, text.size, err);
    if (status == SGC_OK)
        status = sgc_buffer_append(out, text.data, text.size, err);
    sgc_buffer_free(&text);
    return status;
}

/* Tags of integers are followed by those of twice the width. */
static sgc_status put_unsigned(sgc_buffer *out, uint64_t value, sgc_error *err)
{
    if (value < 0x80)
        return put(out, (unsigned)value, 0, 0, err);
    const unsigned step = value <= UINT8_MAX    ? 0
                          : value <= UINT16_MAX ? 1
                          : value <= UINT32_MAX ? 2
                                                : 3;
    return put(out, 0xcc + step, value, 1u << step, err);
}

static sgc_status put_negative(sgc_buffer *out, int64_t value, sgc_error *err)
{
    if (value >= -32)
        return put(out, (unsigned)value & 0xff, 0, 0, err);
    const unsigned step = value >= INT8_MIN    ? 0
                          : value >= INT16_MIN ? 1
                          : value >= INT32_MIN ? 2
                                               : 3;
    return put(out, 0xd0 + step, (uint64_t)value, 1u << step, err);
}

static sgc_status put_number(sgc_buffer *out, sgc_span text, sgc_error *err)
{
    sgc_number number;
    SGC_TRY(sgc_json_number_parse(text, &number, err));
    if (number.kind == SGC_NUMBER_UNSIGNED)
        return put_unsigned(out, number.value.positive, err);
    if (number.kind == SGC_NUMBER_NEGATIVE)
        return put_negative(out, number.value.negative, err);
    uint64_t bits = 0;
    memcpy(&bits, &number.value.real, sizeof bits);
    return put(out, 0xcb, bits, 8, err);
}

static sgc_status too_deep(sgc_error *err)
{
    return sgc_fail(err, SGC_CORRUPT, "values nest deeper than %d", SGC_VALUE_DEPTH);
}

static sgc_status put_value(sgc_buffer *out, sgc_span json, int depth, sgc_error *err);

static sgc_status put_collection(sgc_buffer *out, sgc_span json, bool is_object, int depth,
                                 sgc_error *err)
{
    size_t count, position = 0;
    if (depth == SGC_VALUE_DEPTH)
        return too_deep(err);
    SGC_TRY(sgc_json_count(json, &count, err));
    SGC_TRY(put_length(out, is_object ? &map_tags : &array_tags, count, err));
    for (size_t i = 0; i < count; i++) {
        sgc_span key, value;
        if (is_object) {
            SGC_TRY(sgc_json_next_pair(json, &position, &key, &value, err));
            SGC_TRY(put_string(out, key, err));
        } else {
            SGC_TRY(sgc_json_next(json, &position, &value, err));
        }
        SGC_TRY(put_value(out, value, depth + 1, err));
    }
    return SGC_OK;
}

static sgc_status put_value(sgc_buffer *out, sgc_span json, int depth, sgc_error *err)
{
    const sgc_json_kind kind = sgc_json_kind_of(json);
    switch (kind) {
    case SGC_JSON_NULL:
        return put(out, 0xc0, 0, 0, err);
    case SGC_JSON_FALSE:
        return put(out, 0xc2, 0, 0, err);
    case SGC_JSON_TRUE:
        return put(out, 0xc3, 0, 0, err);
    case SGC_JSON_STRING:
        return put_string(out, json, err);
    case SGC_JSON_ARRAY:
    case SGC_JSON_OBJECT:
        return put_collection(out, json, kind == SGC_JSON_OBJECT, depth, err);
    case SGC_JSON_NUMBER:
        break;
    }
    return put_number(out, json, err);
}

sgc_status sgc_message_pack_encode(sgc_span json, sgc_buffer *out, sgc_error *err)
{
    const size_t start = out->size;
    sgc_span value;
    sgc_status status = sgc_json_whole(json, &value, err);
    if (status == SGC_OK)
        status = put_value(out, value, 0, err);
    if (status != SGC_OK)
        out->size = start;
    return status;
}

/* ---- printing ---- */

typedef struct reader {
    const unsigned char *at, *end;
} reader;

static sgc_status corrupt(sgc_error *err, const char *what)
{
    return sgc_fail(err, SGC_CORRUPT, "MessagePack: %s", what);
}

/* Reads an integer of `width` bytes. */
static sgc_status take(reader *r, unsigned width, uint64_t *value, sgc_error *err)
{
    if ((size_t)(r->end - r->at) < width)
        return corrupt(err, "the value is cut short");
    *value = 0;
    for (unsigned i = 0; i < width; i++)
        *value = *value << 8 | *r->at++;
    return SGC_OK;
}

static sgc_status print_string(reader *r, uint64_t size, sgc_buffer *out, sgc_error *err)
{
    if ((size_t)(r->end - r->at) < size)
        return corrupt(err, "a string is cut short");
    const sgc_span text = {(const char *)r->at, (size_t)size};
    r->at += size;
    return sgc_is_utf8(text) ? sgc_json_quote_span(out, text, err)
                             : corrupt(err, "a string is not UTF-8");
}

static sgc_status print_unsigned(reader *r, unsigned width, sgc_buffer *out, sgc_error *err)
{
    uint64_t value = 0;
    SGC_TRY(take(r, width, &value, err));
    return sgc_buffer_print(out, err, "%llu", (unsigned long long)value);
}

static sgc_status print_signed(reader *r, unsigned width, sgc_buffer *out, sgc_error *err)
{
    uint64_t bits = 0;
    SGC_TRY(take(r, width, &bits, err));
    const uint64_t sign = (uint64_t)1 << (8 * width - 1);
    const int64_t value = (int64_t)((bits ^ sign) - sign);
    return sgc_buffer_print(out, err, "%lld", (long long)value);
}

static sgc_status print_float(reader *r, unsigned width, sgc_buffer *out, sgc_error *err)
{
    uint64_t bits = 0;
    SGC_TRY(take(r, width, &bits, err));
    const uint32_t low = (uint32_t)bits;
    float single;
    double value;
    memcpy(&single, &low, sizeof single);
    memcpy(&value, &bits, sizeof value);
    return sgc_json_print_double(out, width == sizeof single ? (double)single : value, err);
}

/* Reads the tag of a string and its length. */
static sgc_status take_string_length(reader *r, uint64_t *size, sgc_error *err)
{
    uint64_t tag = 0;
    SGC_TRY(take(r, 1, &tag, err));
    if (tag >> 5 == string_tags.fix >> 5) {
        *size = tag & string_tags.fix_limit;
        return SGC_OK;
    }
    if (tag < string_tags.tag8 || tag > string_tags.tag32)
        return corrupt(err, "a key is no string");
    return take(r, 1u << (tag - string_tags.tag8), size, err);
}

static sgc_status print_value(reader *r, sgc_buffer *out, int depth, sgc_error *err);

static sgc_status print_collection(reader *r, uint64_t count, bool is_map, sgc_buffer *out,
                                   int depth, sgc_error *err)
{
    if (depth == SGC_VALUE_DEPTH)
        return too_deep(err);
    SGC_TRY(sgc_buffer_append(out, is_map ? "{" : "[", 1, err));
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            SGC_TRY(sgc_buffer_append(out, ",", 1, err));
        if (is_map) {
            uint64_t size = 0;
            SGC_TRY(take_string_length(r, &size, err));
            SGC_TRY(print_string(r, size, out, err));
            SGC_TRY(sgc_buffer_append(out, ":", 1, err));
        }
        SGC_TRY(print_value(r, out, depth + 1, err));
    }
    return sgc_buffer_append(out, is_map ? "}" : "]", 1, err);
}

/* The tags from 0xc0 to 0xdf, which are followed by lengths or values. */
static sgc_status print_tagged(reader *r, unsigned tag, sgc_buffer *out, int depth, sgc_error *err)
{
    uint64_t size = 0;
    switch (tag) {
    case 0xc0:
        return sgc_buffer_append(out, "null", 4, err);
    case 0xc2:
        return sgc_buffer_append(out, "false", 5, err);
    case 0xc3:
        return sgc_buffer_append(out, "true", 4, err);
    case 0xca:
    case 0xcb:
        return print_float(r, 4u << (tag - 0xca), out, err);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return print_unsigned(r, 1u << (tag - 0xcc), out, err);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return print_signed(r, 1u << (tag - 0xd0), out, err);
    case 0xd9:
    case 0xda:
    case 0xdb:
        SGC_TRY(take(r, 1u << (tag - 0xd9), &size, err));
        return print_string(r, size, out, err);
    case 0xdc:
    case 0xdd:
        SGC_TRY(take(r, 2u << (tag - 0xdc), &size, err));
        return print_collection(r, size, false, out, depth, err);
    case 0xde:
    case 0xdf:
        SGC_TRY(take(r, 2u << (tag - 0xde), &size, err));
        return print_collection(r, size, true, out, depth, err);
    case 0xc1:
        return corrupt(err, "tag c1 means nothing");
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return corrupt(err, "bin values are not allowed in metadata");
    default:
        return corrupt(err, "ext values are not allowed in metadata");
    }
}

static sgc_status print_value(reader *r, sgc_buffer *out, int depth, sgc_error *err)
{
    uint64_t tag = 0;
    SGC_TRY(take(r, 1, &tag, err));
    if (tag < 0x80)
        return sgc_buffer_print(out, err, "%u", (unsigned)tag);
    if (tag >= 0xe0)
        return sgc_buffer_print(out, err, "%d", (int)tag - 0x100);
    if (tag < 0xa0)
        return print_collection(r, tag & 15, tag < 0x90, out, depth, err);
    if (tag < 0xc0)
        return print_string(r, tag & 31, out, err);
    return print_tagged(r, (unsigned)tag, out, depth, err);
}

sgc_status sgc_message_pack_print(const void *bytes, size_t size, sgc_buffer *out, sgc_error *err)
{
    const size_t start = out->size;
    reader r = {bytes, (const unsigned char *)bytes + size};
    sgc_status status = print_value(&r, out, 0, err);
    if (status == SGC_OK && r.at != r.end)
        status = corrupt(err, "bytes follow the value");
    if (status != SGC_OK)
        out->size = start;
    return status;
}
