#include "store/zarr/json_text.h"

#include <stdbool.h>
#include <string.h>

enum { DEEPEST = 1000 };

typedef struct scanner {
    const char *at, *end;
} scanner;

static void skip_space(scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* Consumes `c` after white space. */
static bool accept(scanner *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool skip_string(scanner *s)
{
    if (!accept(s, '"'))
        return false;
    while (s->at < s->end) {
        const char *quote = memchr(s->at, '"', (size_t)(s->end - s->at));
        if (quote == NULL)
            return false;
        const char *escape = memchr(s->at, '\\', (size_t)(quote - s->at));
        s->at = escape == NULL ? quote + 1 : escape + 2;
        if (escape == NULL)
            return true;
    }
    return false;
}

static bool skip_scalar(scanner *s)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    const char *start = s->at;
    while (s->at < s->end && memchr(letters, *s->at, sizeof letters - 1) != NULL)
        s->at++;
    return s->at > start;
}

/* Skips one value; brackets are counted, strings are skipped whole. */
static bool skip_value(scanner *s)
{
    size_t depth = 0;
    do {
        skip_space(s);
        if (s->at == s->end)
            return false;
        const char c = *s->at;
        if (c == '"') {
            if (!skip_string(s))
                return false;
        } else if (c == '{' || c == '[') {
            s->at++;
            if (++depth > DEEPEST)
                return false;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            s->at++;
            depth--;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            s->at++;
        } else if (!skip_scalar(s)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

bool sgc_span_is(sgc_span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.text, text, span.size) == 0;
}

static sgc_status malformed(sgc_error *err)
{
    return sgc_fail(err, SGC_CORRUPT, "malformed JSON");
}

sgc_status sgc_json_whole(sgc_span text, sgc_span *value, sgc_error *err)
{
    scanner s = {text.text, text.text + text.size};
    skip_space(&s);
    const char *start = s.at;
    if (!skip_value(&s))
        return malformed(err);
    const char *end = s.at;
    skip_space(&s);
    if (s.at < s.end)
        return malformed(err);
    *value = (sgc_span){start, (size_t)(end - start)};
    return SGC_OK;
}

sgc_json_kind sgc_json_kind_of(sgc_span value)
{
    static const struct {
        const char *text;
        sgc_json_kind kind;
    } words[] = {{"null", SGC_JSON_NULL}, {"false", SGC_JSON_FALSE}, {"true", SGC_JSON_TRUE}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sgc_span_is(value, words[i].text))
            return words[i].kind;
    const char first = value.size > 0 ? *value.text : '\0';
    return first == '{'   ? SGC_JSON_OBJECT
           : first == '[' ? SGC_JSON_ARRAY
           : first == '"' ? SGC_JSON_STRING
                          : SGC_JSON_NUMBER;
}

/* Skips what stands before the next item of a collection, or gives SGC_NOT_FOUND at its end. */
static sgc_status next_item(scanner *s, bool is_first, char open, char close, sgc_error *err)
{
    if (is_first && !accept(s, open))
        return malformed(err);
    if (accept(s, close))
        return sgc_fail(err, SGC_NOT_FOUND, "there are no more elements");
    if (!is_first && !accept(s, ','))
        return malformed(err);
    skip_space(s);
    return SGC_OK;
}

sgc_status sgc_json_next(sgc_span array, size_t *position, sgc_span *element, sgc_error *err)
{
    scanner s = {array.text + *position, array.text + array.size};
    SGC_TRY(next_item(&s, *position == 0, '[', ']', err));
    const char *start = s.at;
    if (!skip_value(&s))
        return malformed(err);
    *element = (sgc_span){start, (size_t)(s.at - start)};
    *position = (size_t)(s.at - array.text);
    return SGC_OK;
}

sgc_status sgc_json_next_pair(sgc_span object, size_t *position, sgc_span *key, sgc_span *value,
                              sgc_error *err)
{
    scanner s = {object.text + *position, object.text + object.size};
    SGC_TRY(next_item(&s, *position == 0, '{', '}', err));
    const char *name = s.at;
    if (!skip_string(&s))
        return malformed(err);
    const size_t length = (size_t)(s.at - name);
    if (!accept(&s, ':'))
        return malformed(err);
    skip_space(&s);
    const char *start = s.at;
    if (!skip_value(&s))
        return malformed(err);
    *key = (sgc_span){name, length};
    *value = (sgc_span){start, (size_t)(s.at - start)};
    *position = (size_t)(s.at - object.text);
    return SGC_OK;
}

sgc_status sgc_json_count(sgc_span collection, size_t *count, sgc_error *err)
{
    const bool is_object = sgc_json_kind_of(collection) == SGC_JSON_OBJECT;
    size_t position = 0, n = 0;
    sgc_span key, value;
    sgc_status status;
    while ((status = is_object ? sgc_json_next_pair(collection, &position, &key, &value, err)
                               : sgc_json_next(collection, &position, &value, err)) == SGC_OK)
        n++;
    if (status != SGC_NOT_FOUND)
        return status;
    *count = n;
    return SGC_OK;
}

sgc_status sgc_json_find(sgc_span object, const char *key, sgc_span *value, sgc_error *err)
{
    size_t position = 0;
    sgc_span name = {NULL, 0}, found;
    sgc_status status;
    while ((status = sgc_json_next_pair(object, &position, &name, &found, err)) == SGC_OK) {
        if (sgc_span_is((sgc_span){name.text + 1, name.size - 2}, key)) {
            *value = found;
            return SGC_OK;
        }
    }
    return status == SGC_NOT_FOUND ? sgc_fail(err, status, "there is no \"%s\"", key) : status;
}

static sgc_status append_pair(sgc_span object, const char *key, sgc_span value, sgc_buffer *out,
                              sgc_error *err)
{
    scanner s = {object.text, object.text + object.size};
    if (!skip_value(&s))
        return malformed(err);
    const char *close = s.at - 1, *last = close;
    while (strchr(" \t\r\n", last[-1]) != NULL)
        last--;
    const bool empty = last[-1] == '{';
    SGC_TRY(sgc_buffer_append(out, object.text, (size_t)(last - object.text), err));
    SGC_TRY(sgc_buffer_print(out, err, "%s", empty ? "" : ","));
    SGC_TRY(sgc_json_quote(out, key, err));
    SGC_TRY(sgc_buffer_append(out, ":", 1, err));
    SGC_TRY(sgc_buffer_append(out, value.text, value.size, err));
    return sgc_buffer_append(out, last, (size_t)(object.text + object.size - last), err);
}

sgc_status sgc_json_replace(sgc_span object, const char *key, sgc_span value, sgc_buffer *out,
                            sgc_error *err)
{
    sgc_span old;
    const sgc_status status = sgc_json_find(object, key, &old, err);
    if (status == SGC_NOT_FOUND)
        return append_pair(object, key, value, out, err);
    SGC_TRY(status);
    const size_t before = (size_t)(old.text - object.text);
    SGC_TRY(sgc_buffer_append(out, object.text, before, err));
    SGC_TRY(sgc_buffer_append(out, value.text, value.size, err));
    return sgc_buffer_append(out, old.text + old.size, object.size - before - old.size, err);
}

sgc_status sgc_json_quote(sgc_buffer *out, const char *text, sgc_error *err)
{
    return sgc_json_quote_span(out, (sgc_span){text, strlen(text)}, err);
}

/* The bytes of the UTF-8 character at `text`, which is before `end`; 0 when it is none. */
static size_t character_length(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char lead = *at;
    if (lead < 0x80)
        return 1;
    const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - text) < length)
        return 0;
    /* The second byte excludes longer forms than needed, surrogates and what is beyond U+10FFFF. */
    const unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (at[i] >> 6 != 2)
            return 0;
    return length;
}

sgc_status sgc_json_quote_span(sgc_buffer *out, sgc_span text, sgc_error *err)
{
    const char *end = text.text + text.size;
    SGC_TRY(sgc_buffer_append(out, "\"", 1, err));
    for (const char *at = text.text; at < end;) {
        const unsigned char c = (unsigned char)*at;
        const size_t length = character_length(at, end);
        if (length == 0)
            SGC_TRY(sgc_buffer_print(out, err, "\\ufffd"));
        else if (c == '"' || c == '\\')
            SGC_TRY(sgc_buffer_print(out, err, "\\%c", c));
        else if (c < 0x20)
            SGC_TRY(sgc_buffer_print(out, err, "\\u%04x", c));
        else
            SGC_TRY(sgc_buffer_append(out, at, length, err));
        at += length > 0 ? length : 1;
    }
    return sgc_buffer_append(out, "\"", 1, err);
}

/* The four digits of a \u escape. */
static bool read_unit(scanner *s, uint32_t *unit)
{
    if (s->end - s->at < 4)
        return false;
    *unit = 0;
    for (const char *end = s->at + 4; s->at < end; s->at++) {
        static const char digits[] = "0123456789abcdef";
        const char c = *s->at >= 'A' && *s->at <= 'F' ? (char)(*s->at + 'a' - 'A') : *s->at;
        const char *digit = memchr(digits, c, sizeof digits - 1);
        if (digit == NULL)
            return false;
        *unit = *unit * 16 + (uint32_t)(digit - digits);
    }
    return true;
}

/* Behind "\u": one code point, from one unit or a pair of surrogates. */
static bool read_code_point(scanner *s, uint32_t *code)
{
    uint32_t low;
    if (!read_unit(s, code) || *code >> 10 == 0xdc00 >> 10)
        return false;
    if (*code >> 10 != 0xd800 >> 10)
        return true;
    if (s->end - s->at < 2 || memcmp(s->at, "\\u", 2) != 0)
        return false;
    s->at += 2;
    if (!read_unit(s, &low) || low >> 10 != 0xdc00 >> 10)
        return false;
    *code = 0x10000 + ((*code & 0x3ff) << 10 | (low & 0x3ff));
    return true;
}

static size_t encode_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(leads[more] | code >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (code >> 6 * (more - i) & 0x3f));
    return 1 + more;
}

/* Behind a backslash: what the escape stands for, in UTF-8. */
static bool read_escape(scanner *s, char *out, size_t *size)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char c = *s->at++;
    const char *name = memchr(names, c, sizeof names - 1);
    uint32_t code;
    if (name != NULL)
        code = (unsigned char)values[name - names];
    else if (c != 'u' || !read_code_point(s, &code))
        return false;
    *size = encode_utf8(code, out);
    return true;
}

static sgc_status unquote(sgc_span string, sgc_buffer *out, sgc_error *err)
{
    scanner s = {string.text, string.text + string.size};
    if (!skip_string(&s) || s.at != s.end)
        return malformed(err);
    s = (scanner){string.text + 1, s.end - 1};
    while (s.at < s.end) {
        const char *start = s.at;
        while (s.at < s.end && *s.at != '\\' && (unsigned char)*s.at >= 0x20)
            s.at++;
        SGC_TRY(sgc_buffer_append(out, start, (size_t)(s.at - start), err));
        if (s.at == s.end)
            break;
        char text[4];
        size_t size;
        if (*s.at++ != '\\' || !read_escape(&s, text, &size))
            return malformed(err);
        SGC_TRY(sgc_buffer_append(out, text, size, err));
    }
    return sgc_buffer_print(out, err, "%s", "");
}

sgc_status sgc_json_unquote(sgc_span string, sgc_buffer *out, sgc_error *err)
{
    const size_t start = out->size;
    sgc_status status = unquote(string, out, err);
    if (status == SGC_OK &&
        !sgc_is_utf8((sgc_span){(const char *)out->data + start, out->size - start}))
        status = sgc_fail(err, SGC_CORRUPT, "a text is not UTF-8");
    if (status != SGC_OK)
        out->size = start;
    return status;
}

bool sgc_is_utf8(sgc_span text)
{
    const char *end = text.text + text.size;
    for (size_t length; text.text < end; text.text += length)
        if ((length = character_length(text.text, end)) == 0)
            return false;
    return true;
}
