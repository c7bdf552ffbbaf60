#include "store/zarr/json_text.h"

#include <errno.h>
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
    while (s->at < s->end && *s->at != '"')
        s->at += *s->at == '\\' ? 2 : 1;
    if (s->at >= s->end)
        return false;
    s->at++;
    return true;
}

static bool skip_scalar(scanner *s)
{
    const char *start = s->at;
    while (s->at < s->end && strchr(",]} \t\r\n", *s->at) == NULL)
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

static sgc_status malformed(sgc_error *err)
{
    return sgc_fail(err, SGC_CORRUPT, "malformed JSON");
}

/* cJSON says no more than that it failed; malloc() says why. */
sgc_status sgc_json_parse(sgc_span text, cJSON **tree, sgc_error *err)
{
    errno = 0;
    cJSON *parsed = cJSON_ParseWithLength(text.text, text.size);
    if (parsed == NULL)
        return errno == ENOMEM ? sgc_fail_memory(err, text.size, "JSON") : malformed(err);
    *tree = parsed;
    return SGC_OK;
}

sgc_status sgc_json_find(sgc_span object, const char *key, sgc_span *value, sgc_error *err)
{
    scanner s = {object.text, object.text + object.size};
    if (!accept(&s, '{'))
        return malformed(err);
    for (bool more = !accept(&s, '}'); more;) {
        skip_space(&s);
        const char *name = s.at + 1;
        if (!skip_string(&s))
            return malformed(err);
        const size_t length = (size_t)(s.at - 1 - name);
        if (!accept(&s, ':'))
            return malformed(err);
        skip_space(&s);
        const char *start = s.at;
        if (!skip_value(&s))
            return malformed(err);
        if (length == strlen(key) && memcmp(name, key, length) == 0) {
            *value = (sgc_span){start, (size_t)(s.at - start)};
            return SGC_OK;
        }
        more = accept(&s, ',');
        if (!more && !accept(&s, '}'))
            return malformed(err);
    }
    return sgc_fail(err, SGC_NOT_FOUND, "there is no \"%s\"", key);
}

sgc_status sgc_json_next(sgc_span array, size_t *position, sgc_span *element, sgc_error *err)
{
    scanner s = {array.text + *position, array.text + array.size};
    if (*position == 0 && !accept(&s, '['))
        return malformed(err);
    if (accept(&s, ']'))
        return sgc_fail(err, SGC_NOT_FOUND, "there are no more elements");
    if (*position > 0 && !accept(&s, ','))
        return malformed(err);
    skip_space(&s);
    const char *start = s.at;
    if (!skip_value(&s))
        return malformed(err);
    *element = (sgc_span){start, (size_t)(s.at - start)};
    *position = (size_t)(s.at - array.text);
    return SGC_OK;
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
    SGC_TRY(sgc_buffer_append(out, "\"", 1, err));
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            SGC_TRY(sgc_buffer_print(out, err, "\\%c", c));
        else if (c < 0x20)
            SGC_TRY(sgc_buffer_print(out, err, "\\u%04x", c));
        else
            SGC_TRY(sgc_buffer_append(out, text, 1, err));
    }
    return sgc_buffer_append(out, "\"", 1, err);
}
