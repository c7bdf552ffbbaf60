#include "store/zarr/fill_value.h"

#include <math.h>
#include <string.h>

#include "store/zarr/json_tree.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this library needs a little-endian machine"
#endif

static bool is_text(sgc_span json, const char *text)
{
    return json.size == strlen(text) && memcmp(json.text, text, json.size) == 0;
}

static bool parse_bool(sgc_span json, unsigned char *out)
{
    *out = is_text(json, "true");
    return *out != 0 || is_text(json, "false");
}

/* ---- integers ---- */

/* The text of a number, taken apart. */
typedef struct decimal {
    bool negative;
    const char *digits; /* with a point among them, maybe */
    size_t size;
    long exponent;
    long point; /* so many digits stand before it, once the exponent has moved it */
} decimal;

static bool split_decimal(sgc_span json, decimal *d)
{
    enum { LARGEST_EXPONENT = 1000000 };
    const char *at = json.text, *end = json.text + json.size;
    *d = (decimal){.negative = at < end && *at == '-'};
    at += d->negative;
    d->digits = at;
    bool has_point = false;
    for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !has_point)); at++) {
        has_point = has_point || *at == '.';
        d->point += !has_point;
    }
    d->size = (size_t)(at - d->digits);
    if (d->size == 0 || at == end)
        return d->size > 0;
    if (*at != 'e' && *at != 'E')
        return false;
    at++;
    const bool down = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    if (at == end)
        return false;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (d->exponent < LARGEST_EXPONENT)
            d->exponent = d->exponent * 10 + (*at - '0');
    d->point += down ? -d->exponent : d->exponent;
    return at == end;
}

/* False unless the number is whole and fits. */
static bool parse_magnitude(const decimal *d, uint64_t *magnitude)
{
    long place = 0;
    *magnitude = 0;
    for (size_t i = 0; i < d->size; i++) {
        if (d->digits[i] == '.')
            continue;
        const unsigned digit = (unsigned)(d->digits[i] - '0');
        if (place++ >= d->point) {
            if (digit != 0)
                return false;
        } else if (__builtin_mul_overflow(*magnitude, 10u, magnitude) ||
                   __builtin_add_overflow(*magnitude, digit, magnitude)) {
            return false;
        }
    }
    for (; *magnitude != 0 && place < d->point; place++)
        if (__builtin_mul_overflow(*magnitude, 10u, magnitude))
            return false;
    return true;
}

static bool parse_integer(sgc_data_type type, sgc_span json, unsigned char *out)
{
    decimal d;
    uint64_t magnitude;
    if (!split_decimal(json, &d) || !parse_magnitude(&d, &magnitude))
        return false;
    const bool is_signed =
        type == SGC_INT8 || type == SGC_INT16 || type == SGC_INT32 || type == SGC_INT64;
    const size_t size = sgc_data_type_size(type);
    const uint64_t largest = UINT64_MAX >> (64 - 8 * size) >> is_signed;
    if (magnitude > largest + (d.negative && is_signed) || (d.negative && !is_signed && magnitude))
        return false;
    const uint64_t value = d.negative ? 0 - magnitude : magnitude;
    memcpy(out, &value, size); /* the low bytes come first */
    return true;
}

/* ---- floats ---- */

/* To the nearest half, ties to even. */
static uint16_t half_of(double value)
{
    enum { BIAS = 1023, SPECIAL = 1024, LARGEST = 15, SMALLEST_NORMAL = -14, SMALLEST = -24 };
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const unsigned sign = (unsigned)(bits >> 48 & 0x8000);
    const int exponent = (int)(bits >> 52 & 0x7ff) - BIAS;
    uint64_t fraction = bits & (UINT64_MAX >> 12);
    if (exponent == SPECIAL && fraction != 0)
        return (uint16_t)(sign | 0x7e00);
    if (exponent > LARGEST)
        return (uint16_t)(sign | 0x7c00);
    if (exponent < SMALLEST - 1)
        return (uint16_t)sign;
    fraction |= UINT64_C(1) << 52;
    /* In units of the half's last place; a carry goes into its exponent, as it should. */
    const bool normal = exponent >= SMALLEST_NORMAL;
    const int shift = normal ? 42 : 52 + SMALLEST - exponent;
    const uint64_t odd = fraction >> shift & 1;
    const uint64_t units = (fraction + (UINT64_C(1) << (shift - 1)) - 1 + odd) >> shift;
    const unsigned below = normal ? (unsigned)(exponent - SMALLEST_NORMAL) << 10 : 0;
    return (uint16_t)(sign | (below + (unsigned)units));
}

static void put_float(sgc_data_type type, double value, unsigned char *out)
{
    const uint16_t half = half_of(value);
    const float single = (float)value;
    if (type == SGC_FLOAT16)
        memcpy(out, &half, sizeof half);
    else if (type == SGC_FLOAT32)
        memcpy(out, &single, sizeof single);
    else
        memcpy(out, &value, sizeof value);
}

/* The bits of a float of `size` bytes, like "0x7fc00000". */
static bool parse_bits(sgc_span json, size_t size, unsigned char *out)
{
    static const char before[] = "\"0x", digits[] = "0123456789abcdef0123456789ABCDEF";
    const size_t prefix = sizeof before - 1;
    if (json.size < prefix + 2 || json.size > prefix + 2 * size + 1 ||
        memcmp(json.text, before, prefix) != 0 || json.text[json.size - 1] != '"')
        return false;
    uint64_t bits = 0;
    for (size_t i = prefix; i < json.size - 1; i++) {
        const char *digit = memchr(digits, json.text[i], sizeof digits - 1);
        if (digit == NULL)
            return false;
        bits = bits << 4 | (uint64_t)(digit - digits) % 16;
    }
    memcpy(out, &bits, size);
    return true;
}

static sgc_status parse_float(sgc_data_type type, sgc_span json, unsigned char *out, bool *good,
                              sgc_error *err)
{
    static const struct {
        const char *name;
        double value;
    } names[] = {{"\"NaN\"", NAN}, {"\"Infinity\"", INFINITY}, {"\"-Infinity\"", -INFINITY}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is_text(json, names[i].name)) {
            put_float(type, names[i].value, out);
            *good = true;
            return SGC_OK;
        }
    }
    *good = parse_bits(json, sgc_data_type_size(type), out);
    if (*good)
        return SGC_OK;
    /* Not strtod(), which reads a comma where the host's locale writes one. */
    cJSON *number = NULL;
    if (sgc_json_parse(json, &number, err) == SGC_NO_MEMORY)
        return SGC_NO_MEMORY;
    *good = cJSON_IsNumber(number);
    if (*good)
        put_float(type, number->valuedouble, out);
    cJSON_Delete(number);
    return SGC_OK;
}

sgc_status sgc_fill_value_parse(sgc_data_type type, sgc_span json, unsigned char *out,
                                sgc_error *err)
{
    unsigned char value[SGC_MAX_ITEM_SIZE];
    bool good;
    if (type == SGC_BOOL)
        good = parse_bool(json, value);
    else if (type == SGC_FLOAT16 || type == SGC_FLOAT32 || type == SGC_FLOAT64)
        SGC_TRY(parse_float(type, json, value, &good, err));
    else
        good = parse_integer(type, json, value);
    if (!good)
        return sgc_fail(err, SGC_CORRUPT, "fill_value %.*s does not fit %s",
                        (int)(json.size < 64 ? json.size : 64), json.text,
                        sgc_data_type_name(type));
    memcpy(out, value, sgc_data_type_size(type));
    return SGC_OK;
}
