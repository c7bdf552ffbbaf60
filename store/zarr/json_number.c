#include "store/zarr/json_number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sgc_status no_number(sgc_span text, sgc_error *err)
{
    return sgc_fail(err, SGC_CORRUPT, "\"%.*s\" is no number",
                    (int)(text.size < 32 ? text.size : 32), text.text);
}

/* Free with freelocale(). */
static sgc_status c_locale(locale_t *locale, sgc_error *err)
{
    *locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return *locale != (locale_t)0 ? SGC_OK : sgc_fail_memory(err, 0, "a locale");
}

sgc_status sgc_parse_double(sgc_span text, double *value, sgc_error *err)
{
    sgc_buffer copy = {0};
    SGC_TRY(sgc_buffer_reserve(&copy, text.size + 1, err));
    memcpy(copy.data, text.text, text.size);
    copy.data[text.size] = '\0';
    locale_t locale;
    sgc_status status = c_locale(&locale, err);
    if (status == SGC_OK) {
        char *end;
        const double parsed = strtod_l((char *)copy.data, &end, locale);
        freelocale(locale);
        if (text.size == 0 || end != (char *)copy.data + text.size)
            status = no_number(text, err);
        else
            *value = parsed;
    }
    sgc_buffer_free(&copy);
    return status;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* True when `text` has the form of a JSON number; *is_integer tells whether digits are all. */
static bool has_form(sgc_span text, bool *is_integer)
{
    if (text.size == 0)
        return false;
    const char *at = text.text, *end = at + text.size, *digits;
    at += at < end && *at == '-';
    digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at > digits + 1))
        return false;
    *is_integer = at == end;
    if (at < end && *at == '.') {
        digits = ++at;
        if ((at = skip_digits(at, end)) == digits)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = at;
        if ((at = skip_digits(at, end)) == digits)
            return false;
    }
    return at == end;
}

/* False when the integer does not fit in 64 bits, or is -0. */
static bool parse_integer(sgc_span text, sgc_number *number)
{
    const bool is_negative = *text.text == '-';
    const uint64_t limit = is_negative ? (uint64_t)1 << 63 : UINT64_MAX;
    uint64_t size = 0;
    for (size_t i = is_negative; i < text.size; i++) {
        const uint64_t digit = (uint64_t)(text.text[i] - '0');
        if (size > (limit - digit) / 10)
            return false;
        size = size * 10 + digit;
    }
    if (is_negative && size == 0)
        return false;
    *number = (sgc_number){.kind = is_negative ? SGC_NUMBER_NEGATIVE : SGC_NUMBER_UNSIGNED};
    if (is_negative)
        number->value.negative = -(int64_t)(size - 1) - 1;
    else
        number->value.positive = size;
    return true;
}

sgc_status sgc_json_number_parse(sgc_span value, sgc_number *number, sgc_error *err)
{
    bool is_integer;
    if (!has_form(value, &is_integer))
        return no_number(value, err);
    if (is_integer && parse_integer(value, number))
        return SGC_OK;
    double real;
    SGC_TRY(sgc_parse_double(value, &real, err));
    if (!isfinite(real))
        return sgc_fail(err, SGC_CORRUPT, "the number %.*s is too large",
                        (int)(value.size < 32 ? value.size : 32), value.text);
    *number = (sgc_number){.kind = SGC_NUMBER_DOUBLE, .value.real = real};
    return SGC_OK;
}

sgc_status sgc_json_print_double(sgc_buffer *out, double value, sgc_error *err)
{
    enum { SURE_DIGITS = 15, ENOUGH_DIGITS = 17 };
    if (!isfinite(value))
        return sgc_buffer_append(out, "null", 4, err);
    char text[40];
    locale_t locale;
    SGC_TRY(c_locale(&locale, err));
    const locale_t before = uselocale(locale);
    for (int digits = SURE_DIGITS; digits <= ENOUGH_DIGITS; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    uselocale(before);
    freelocale(locale);
    const bool looks_integral = strpbrk(text, ".e") == NULL;
    return sgc_buffer_print(out, err, "%s%s", text, looks_integral ? ".0" : "");
}
