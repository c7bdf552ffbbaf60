#include "store/icechunk/yaml_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "store/zarr/json_number.h"

enum {
    LARGEST_YAML = 1024 * 1024,
    LARGEST_JSON = 4 * 1024 * 1024, /* after anchors are expanded */
    MOST_ANCHORS = 1000,
};

/* A node that aliases may repeat: its text in the output. */
typedef struct anchor {
    const char *name;
    size_t start, end;
} anchor;

typedef struct walker {
    yaml_parser_t parser;
    sgc_buffer *out;
    size_t start; /* of our text in `out` */
    anchor *anchors;
    size_t anchor_count, anchor_capacity;
    sgc_arena names;
    sgc_error *err;
} walker;

static sgc_status corrupt(walker *w, const yaml_event_t *event, const char *what)
{
    return sgc_fail(w->err, SGC_CORRUPT, "line %zu: %s", event->start_mark.line + 1, what);
}

/* Gives the next event; free with yaml_event_delete(). */
static sgc_status next_event(walker *w, yaml_event_t *event)
{
    if (yaml_parser_parse(&w->parser, event))
        return SGC_OK;
    const yaml_parser_t *parser = &w->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return sgc_fail_memory(w->err, LARGEST_YAML, "YAML");
    const bool is_byte = parser->error == YAML_READER_ERROR;
    const size_t line = is_byte ? parser->mark.line : parser->problem_mark.line;
    return sgc_fail(w->err, SGC_CORRUPT, "line %zu: %s", line + 1,
                    parser->problem != NULL ? parser->problem : "not YAML");
}

static sgc_status append(walker *w, sgc_span text)
{
    if (w->out->size - w->start + text.size > LARGEST_JSON)
        return sgc_fail(w->err, SGC_CORRUPT, "more than %d bytes", LARGEST_JSON);
    return sgc_buffer_append(w->out, text.text, text.size, w->err);
}

static sgc_status append_text(walker *w, const char *text)
{
    return append(w, (sgc_span){text, strlen(text)});
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words != NULL && strcmp(*words, text) != 0)
        words++;
    return *words != NULL;
}

/* Prints 0x1f, 0o17 and 0b1; false when `text` is none of them. */
static bool print_based_integer(const char *text, char *out, size_t size)
{
    static const struct {
        const char *prefix, *digits;
        int base;
    } forms[] = {{"0x", "0123456789abcdefABCDEF", 16}, {"0o", "01234567", 8}, {"0b", "01", 2}};
    const bool is_negative = *text == '-';
    text += *text == '-' || *text == '+';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strncmp(text, forms[i].prefix, 2) != 0)
            continue;
        const char *digits = text + 2;
        errno = 0;
        const unsigned long long value = strtoull(digits, NULL, forms[i].base);
        snprintf(out, size, "%s%llu", is_negative ? "-" : "", value);
        return *digits != '\0' && digits[strspn(digits, forms[i].digits)] == '\0' && errno == 0;
    }
    return false;
}

/* True when `text` is what YAML takes for a decimal number and JSON may not: 1. or .5 */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    return strspn(text, "0123456789.eE+-") == strlen(text) && strchr("eE+-", *text) == NULL &&
           strspn(text, "0123456789") != strlen(text);
}

/* Appends a scalar without quotes as the type that it looks like. */
static sgc_status put_plain(walker *w, const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    if (is_one_of(text, nulls))
        return append_text(w, "null");
    if (is_one_of(text, trues))
        return append_text(w, "true");
    if (is_one_of(text, falses))
        return append_text(w, "false");
    const char *digits = text + (*text == '+' && text[1] != '-');
    sgc_number number;
    double real;
    char integer[32];
    if (sgc_json_number_parse((sgc_span){digits, strlen(digits)}, &number, NULL) == SGC_OK)
        return append_text(w, digits);
    if (print_based_integer(text, integer, sizeof integer))
        return append_text(w, integer);
    if (is_float(text) && sgc_parse_double((sgc_span){text, strlen(text)}, &real, NULL) == SGC_OK)
        return sgc_json_print_double(w->out, real, w->err);
    const char *special = text + (*text == '-' || *text == '+');
    if (strcasecmp(special, ".inf") == 0 || strcasecmp(special, ".nan") == 0)
        return append_text(w, "null");
    return sgc_json_quote(w->out, text, w->err);
}

static sgc_status put_scalar(walker *w, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    const bool is_text = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                         (tag != NULL && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0));
    const sgc_span span = {text, event->data.scalar.length};
    if (is_text || strlen(text) != span.size)
        return sgc_json_quote_span(w->out, span, w->err);
    return put_plain(w, text);
}

/* ---- nodes ---- */

static sgc_status put_alias(walker *w, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = w->anchor_count; i > 0; i--) {
        const anchor *a = &w->anchors[i - 1];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->end == 0)
            return corrupt(w, event, "an alias inside its own anchor");
        const size_t size = a->end - a->start;
        SGC_TRY(sgc_buffer_reserve(w->out, size, w->err));
        return append(w, (sgc_span){(const char *)w->out->data + a->start, size});
    }
    return corrupt(w, event, "an alias without an anchor");
}

/* Remembers that the node whose text begins here has a name. */
static sgc_status open_anchor(walker *w, const yaml_event_t *event, const char *name)
{
    if (w->anchor_count == MOST_ANCHORS)
        return corrupt(w, event, "too many anchors");
    anchor *anchors =
        sgc_list_grow(w->anchors, w->anchor_count, &w->anchor_capacity, sizeof *anchors);
    if (anchors == NULL)
        return sgc_fail_memory(w->err, sizeof *anchors, "YAML");
    w->anchors = anchors;
    const char *copy = sgc_arena_string(&w->names, name, strlen(name));
    if (copy == NULL)
        return sgc_fail_memory(w->err, strlen(name), "YAML");
    anchors[w->anchor_count++] = (anchor){copy, w->out->size, 0};
    return SGC_OK;
}

static sgc_status put_node(walker *w, const yaml_event_t *event, int depth);

/* A key, and its value with `colon` before it; or an element. */
static sgc_status put_item(walker *w, const yaml_event_t *event, bool is_pair, int depth)
{
    if (!is_pair)
        return put_node(w, event, depth);
    if (event->type != YAML_SCALAR_EVENT)
        return corrupt(w, event, "a key that is no scalar");
    const sgc_span key = {(const char *)event->data.scalar.value, event->data.scalar.length};
    SGC_TRY(sgc_json_quote_span(w->out, key, w->err));
    SGC_TRY(append_text(w, ":"));
    yaml_event_t value;
    SGC_TRY(next_event(w, &value));
    const sgc_status status = put_node(w, &value, depth);
    yaml_event_delete(&value);
    return status;
}

static sgc_status put_collection(walker *w, bool is_mapping, int depth)
{
    const yaml_event_type_t last = is_mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    SGC_TRY(append_text(w, is_mapping ? "{" : "["));
    for (bool more = true, is_first = true; more; is_first = false) {
        yaml_event_t event;
        SGC_TRY(next_event(w, &event));
        more = event.type != last;
        sgc_status status = SGC_OK;
        if (more && !is_first)
            status = append_text(w, ",");
        if (more && status == SGC_OK)
            status = put_item(w, &event, is_mapping, depth + 1);
        yaml_event_delete(&event);
        SGC_TRY(status);
    }
    return append_text(w, is_mapping ? "}" : "]");
}

static sgc_status put_content(walker *w, const yaml_event_t *event, int depth)
{
    if (depth > SGC_VALUE_DEPTH)
        return corrupt(w, event, "values nest too deep");
    if (event->type == YAML_SCALAR_EVENT)
        return put_scalar(w, event);
    return put_collection(w, event->type == YAML_MAPPING_START_EVENT, depth);
}

/* The tag of a node if it is the document's own, without its "!". */
static const char *own_tag(const yaml_char_t *tag)
{
    return tag != NULL && tag[0] == '!' && tag[1] != '\0' ? (const char *)tag + 1 : NULL;
}

static sgc_status put_node(walker *w, const yaml_event_t *event, int depth)
{
    if (event->type == YAML_ALIAS_EVENT)
        return put_alias(w, event);
    const bool is_scalar = event->type == YAML_SCALAR_EVENT;
    const bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *name = is_scalar    ? event->data.scalar.anchor
                              : is_mapping ? event->data.mapping_start.anchor
                                           : event->data.sequence_start.anchor;
    const char *tag = own_tag(is_scalar    ? event->data.scalar.tag
                              : is_mapping ? event->data.mapping_start.tag
                                           : event->data.sequence_start.tag);
    const size_t index = w->anchor_count;
    if (name != NULL)
        SGC_TRY(open_anchor(w, event, (const char *)name));
    if (tag != NULL) {
        SGC_TRY(append_text(w, "{"));
        SGC_TRY(sgc_json_quote(w->out, tag, w->err));
        SGC_TRY(append_text(w, ":"));
    }
    SGC_TRY(put_content(w, event, depth + (tag != NULL)));
    if (tag != NULL)
        SGC_TRY(append_text(w, "}"));
    if (name != NULL)
        w->anchors[index].end = w->out->size;
    return SGC_OK;
}

/* Appends what the stream holds: one document or none. */
static sgc_status put_stream(walker *w)
{
    sgc_status status = SGC_OK;
    size_t documents = 0;
    for (bool more = true; more && status == SGC_OK;) {
        yaml_event_t event;
        SGC_TRY(next_event(w, &event));
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (documents++ > 0)
                status = corrupt(w, &event, "a second document");
            break;
        case YAML_STREAM_END_EVENT:
            more = false;
            break;
        default:
            status = put_node(w, &event, 0);
            break;
        }
        yaml_event_delete(&event);
    }
    return status == SGC_OK && documents == 0 ? append_text(w, "null") : status;
}

sgc_status sgc_yaml_print_json(sgc_span yaml, sgc_buffer *out, sgc_error *err)
{
    if (yaml.size > LARGEST_YAML)
        return sgc_fail(err, SGC_CORRUPT, "more than %d bytes", LARGEST_YAML);
    walker w = {.out = out, .start = out->size, .err = err};
    if (!yaml_parser_initialize(&w.parser))
        return sgc_fail_memory(err, sizeof w.parser, "YAML");
    yaml_parser_set_input_string(&w.parser, (const unsigned char *)yaml.text, yaml.size);
    const sgc_status status = put_stream(&w);
    yaml_parser_delete(&w.parser);
    sgc_arena_free(&w.names);
    free(w.anchors);
    if (status != SGC_OK)
        out->size = w.start;
    return status;
}
