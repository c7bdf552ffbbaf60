#include "store/icechunk/message_pack.h"

#include <math.h>
#include <string.h>

/* Appends `tag` and the low `width` bytes of `value`, most significant first. */
static sgc_status put(sgc_buffer *out, unsigned tag, uint64_t value, unsigned width, sgc_error *err)
{
    unsigned char bytes[9] = {(unsigned char)tag};
    for (unsigned i = 0; i < width; i++)
        bytes[1 + i] = (unsigned char)(value >> 8 * (width - 1 - i));
    return sgc_buffer_append(out, bytes, 1 + width, err);
}

/* A length with its tag: `fix` with up to `fix_limit` entries, else tags for 16 and 32 bits. */
static sgc_status put_length(sgc_buffer *out, unsigned fix, size_t fix_limit, unsigned tag16,
                             unsigned tag32, size_t length, sgc_error *err)
{
    if (length <= fix_limit)
        return put(out, fix | (unsigned)length, 0, 0, err);
    return length <= UINT16_MAX ? put(out, tag16, length, 2, err) : put(out, tag32, length, 4, err);
}

static sgc_status put_text(sgc_buffer *out, const char *text, sgc_error *err)
{
    SGC_TRY(put_length(out, 0xa0, 31, 0xda, 0xdb, strlen(text), err));
    return sgc_buffer_append(out, text, strlen(text), err);
}

static sgc_status put_number(sgc_buffer *out, double number, sgc_error *err)
{
    if (number == floor(number) && fabs(number) <= 9007199254740992.0) {
        if (number >= 0 && number < 128)
            return put(out, (unsigned)number, 0, 0, err);
        return number >= 0 ? put(out, 0xcf, (uint64_t)number, 8, err)
                           : put(out, 0xd3, (uint64_t)(int64_t)number, 8, err);
    }
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return put(out, 0xcb, bits, 8, err);
}

sgc_status sgc_message_pack_encode(const cJSON *value, sgc_buffer *out, sgc_error *err)
{
    if (cJSON_IsBool(value))
        return put(out, cJSON_IsTrue(value) ? 0xc3 : 0xc2, 0, 0, err);
    if (cJSON_IsNumber(value))
        return put_number(out, value->valuedouble, err);
    if (cJSON_IsString(value))
        return put_text(out, value->valuestring, err);
    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return put(out, 0xc0, 0, 0, err);
    const bool is_object = cJSON_IsObject(value);
    const size_t count = (size_t)cJSON_GetArraySize(value);
    SGC_TRY(is_object ? put_length(out, 0x80, 15, 0xde, 0xdf, count, err)
                      : put_length(out, 0x90, 15, 0xdc, 0xdd, count, err));
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        if (is_object)
            SGC_TRY(put_text(out, item->string, err));
        SGC_TRY(sgc_message_pack_encode(item, out, err));
    }
    return SGC_OK;
}
