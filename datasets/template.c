#include "datasets/template.h"

#include <cpl_conv.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/memory.h"

#define CONFIG_PREFIX "{config:"

enum { LONGEST_NUMBER = 20 };

typedef enum hemisphere {
    HEMISPHERE_NONE,
    HEMISPHERE_BEFORE, /* the digits */
    HEMISPHERE_BEHIND,
} hemisphere;

/* A literal text, or a field. */
typedef struct part {
    const char *text; /* of a literal; lies in the template's own copy */
    size_t size;
    unsigned field; /* 0 for a literal */
    int width;      /* digits at least */
    hemisphere hemisphere;
    char positive, negative; /* its letters */
} part;

struct sgc_template {
    char *text;
    part *parts;
    size_t count;
    unsigned fields;
};

static const struct {
    const char *name;
    unsigned field;
} known_fields[] = {
    {"x_min", SGC_FIELD_X_MIN},   {"x_max", SGC_FIELD_X_MAX},
    {"y_min", SGC_FIELD_Y_MIN},   {"y_max", SGC_FIELD_Y_MAX},
    {"col", SGC_FIELD_COL},       {"row", SGC_FIELD_ROW},
    {"t_year", SGC_FIELD_T_YEAR}, {"t_month", SGC_FIELD_T_MONTH},
    {"t_day", SGC_FIELD_T_DAY},   {"t_end_year", SGC_FIELD_T_END_YEAR},
    {"id", SGC_FIELD_ID},         {"asset", SGC_FIELD_ASSET},
};

static const unsigned text_fields = SGC_FIELD_ID | SGC_FIELD_ASSET;

/* ---- parsing ---- */

static unsigned find_field(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof known_fields / sizeof *known_fields; i++)
        if (strlen(known_fields[i].name) == size && strncmp(known_fields[i].name, name, size) == 0)
            return known_fields[i].field;
    return 0;
}

/* Two letters for the sign of a field along that axis. */
static bool parse_hemisphere(const char **at, part *p, hemisphere where)
{
    const bool is_y = strncmp(*at, "NS", 2) == 0, is_x = strncmp(*at, "EW", 2) == 0;
    if (!is_x && !is_y)
        return true;
    const unsigned axis = is_y ? SGC_FIELDS_Y : SGC_FIELDS_X;
    if ((p->field & axis) == 0 || p->hemisphere != HEMISPHERE_NONE)
        return false;
    p->hemisphere = where;
    p->positive = (*at)[0];
    p->negative = (*at)[1];
    *at += 2;
    return true;
}

/* A format: letters, a zero and the number of digits, letters. */
static bool parse_format(const char *at, const char *end, part *p)
{
    if ((p->field & text_fields) != 0 || !parse_hemisphere(&at, p, HEMISPHERE_BEFORE) ||
        *at++ != '0')
        return false;
    for (; isdigit((unsigned char)*at) && p->width <= LONGEST_NUMBER; at++)
        p->width = p->width * 10 + (*at - '0');
    return p->width <= LONGEST_NUMBER && end - at <= 2 &&
           parse_hemisphere(&at, p, HEMISPHERE_BEHIND) && at == end;
}

static sgc_status fail_at(const sgc_template *self, const char *at, const char *what,
                          sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID, "character %td, \"%.*s\": %s", at - self->text + 1,
                    (int)(strcspn(at, "}") + 1), at, what);
}

/* The place that begins at `at`, from its brace to the partner at `end`. */
static sgc_status parse_place(sgc_template *self, const char *at, const char *end, sgc_error *err)
{
    const size_t size = strcspn(at + 1, "|}");
    part p = {.field = find_field(at + 1, size)};
    if (p.field == 0)
        return fail_at(self, at, "no such field", err);
    if (at[1 + size] == '|' && !parse_format(at + size + 2, end, &p))
        return fail_at(self, at, "no such format for this field", err);
    self->fields |= p.field;
    self->parts[self->count++] = p;
    return SGC_OK;
}

static void add_literal(sgc_template *self, const char *text, size_t size)
{
    if (size > 0)
        self->parts[self->count++] = (part){.text = text, .size = size};
}

static bool is_secret(const char *at)
{
    return strncmp(at, CONFIG_PREFIX, strlen(CONFIG_PREFIX)) == 0;
}

/* Messages show all of a URL but its query. */
static bool would_be_shown(const char *text, const char *at)
{
    const char *query = strchr(text, '?');
    return strstr(text, "://") != NULL && (query == NULL || at < query);
}

static sgc_status parse(sgc_template *self, sgc_error *err)
{
    const char *literal = self->text;
    for (const char *at = literal; *(at += strcspn(at, "{}")) != '\0';) {
        const char *end = strpbrk(at + 1, "{}");
        if (*at == '}' || end == NULL || *end == '{')
            return fail_at(self, at, "a brace without partner", err);
        if (is_secret(at) && would_be_shown(self->text, at))
            return fail_at(self, at, "a secret may only stand in the query of a URL", err);
        if (!is_secret(at)) {
            add_literal(self, literal, (size_t)(at - literal));
            SGC_TRY(parse_place(self, at, end, err));
            literal = end + 1;
        }
        at = end + 1;
    }
    add_literal(self, literal, strlen(literal));
    return SGC_OK;
}

sgc_status sgc_template_new(const char *text, sgc_template **out, sgc_error *err)
{
    size_t most = 1; /* a field and a literal for each brace, and the rest */
    for (const char *c = text; *c != '\0'; c++)
        most += *c == '{' ? 2 : 0;
    sgc_template *self = calloc(1, sizeof *self);
    if (self == NULL || (self->text = strdup(text)) == NULL ||
        (self->parts = calloc(most, sizeof *self->parts)) == NULL) {
        sgc_template_free(self);
        return sgc_fail_memory(err, strlen(text) + most * sizeof(part), "a template");
    }
    const sgc_status status = parse(self, err);
    if (status != SGC_OK)
        sgc_template_free(self);
    else
        *out = self;
    return status;
}

void sgc_template_free(sgc_template *self)
{
    if (self == NULL)
        return;
    free(self->parts);
    free(self->text);
    free(self);
}

unsigned sgc_template_fields(const sgc_template *self)
{
    return self->fields;
}

sgc_status sgc_template_check(const char *text, unsigned *fields_used, sgc_error *err)
{
    sgc_template *parsed;
    SGC_TRY(sgc_template_new(text, &parsed, err));
    *fields_used = parsed->fields;
    sgc_template_free(parsed);
    return SGC_OK;
}

/* ---- expanding ---- */

/* Edges are sums and products of doubles, so that what is an integer may be a little beside it. */
static sgc_status edge_number(double edge, int64_t *number, sgc_error *err)
{
    const double nearest = nearbyint(edge);
    if (!(fabs(edge) <= 1e15) || fabs(edge - nearest) > 1e-6)
        return sgc_fail(err, SGC_INVALID,
                        "a tile has an edge at %.15g, which is no integer and cannot be part of "
                        "its name: use col and row",
                        edge);
    *number = (int64_t)nearest;
    return SGC_OK;
}

static struct tm calendar(int64_t seconds)
{
    const time_t t = (time_t)seconds;
    struct tm result = {0};
    gmtime_r(&t, &result);
    return result;
}

static sgc_status field_number(unsigned field, const sgc_template_values *v, int64_t *number,
                               sgc_error *err)
{
    switch (field) {
    case SGC_FIELD_X_MIN:
        return edge_number(v->x_min, number, err);
    case SGC_FIELD_X_MAX:
        return edge_number(v->x_max, number, err);
    case SGC_FIELD_Y_MIN:
        return edge_number(v->y_min, number, err);
    case SGC_FIELD_Y_MAX:
        return edge_number(v->y_max, number, err);
    case SGC_FIELD_COL:
        *number = v->col;
        return SGC_OK;
    case SGC_FIELD_ROW:
        *number = v->row;
        return SGC_OK;
    case SGC_FIELD_T_YEAR:
        *number = calendar(v->t_start).tm_year + 1900;
        return SGC_OK;
    case SGC_FIELD_T_MONTH:
        *number = calendar(v->t_start).tm_mon + 1;
        return SGC_OK;
    case SGC_FIELD_T_DAY:
        *number = calendar(v->t_start).tm_mday;
        return SGC_OK;
    default:
        *number = calendar(v->t_end).tm_year + 1900;
        return SGC_OK;
    }
}

static sgc_status append_number(const part *p, const sgc_template_values *values, sgc_buffer *out,
                                sgc_error *err)
{
    int64_t number = 0;
    SGC_TRY(field_number(p->field, values, &number, err));
    if (p->hemisphere == HEMISPHERE_NONE)
        return sgc_buffer_print(out, err, "%0*" PRId64, p->width, number);
    const char letter[] = {number < 0 ? p->negative : p->positive, '\0'};
    const bool before = p->hemisphere == HEMISPHERE_BEFORE;
    return sgc_buffer_print(out, err, "%s%0*" PRId64 "%s", before ? letter : "", p->width,
                            number < 0 ? -number : number, before ? "" : letter);
}

static sgc_status append_part(const part *p, const sgc_template_values *values, sgc_buffer *out,
                              sgc_error *err)
{
    if (p->field == 0)
        return sgc_buffer_append(out, p->text, p->size, err);
    if ((p->field & text_fields) == 0)
        return append_number(p, values, out, err);
    const char *text = p->field == SGC_FIELD_ID ? values->id : values->asset;
    return sgc_buffer_append(out, text, strlen(text), err);
}

/* Gives the buffer's text when `status` is good, else frees it. */
static sgc_status finish(sgc_status status, sgc_buffer *buffer, char **out, sgc_error *err)
{
    if (status == SGC_OK)
        status = sgc_buffer_append(buffer, "", 1, err);
    if (status != SGC_OK)
        sgc_buffer_free(buffer);
    else
        *out = (char *)buffer->data;
    return status;
}

sgc_status sgc_template_expand(const sgc_template *self, const sgc_template_values *values,
                               char **out, sgc_error *err)
{
    sgc_buffer text = {0};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < self->count; i++)
        status = append_part(&self->parts[i], values, &text, err);
    return finish(status, &text, out, err);
}

/* ---- secrets ---- */

static sgc_status append_option(const char *name, size_t size, sgc_buffer *out, sgc_error *err)
{
    char key[128];
    if (size == 0 || size >= sizeof key)
        return sgc_fail(err, SGC_INVALID,
                        "{config:…}: the name of a configuration option is "
                        "missing or too long");
    snprintf(key, sizeof key, "%.*s", (int)size, name);
    const char *value = CPLGetConfigOption(key, NULL);
    if (value == NULL)
        return sgc_fail(err, SGC_INVALID, "the dataset needs the configuration option %s: set it",
                        key);
    if (strpbrk(value, "\r\n") != NULL)
        return sgc_fail(err, SGC_INVALID, "the configuration option %s must be one line", key);
    return sgc_buffer_append(out, value, strlen(value), err);
}

static sgc_status append_expanded(const char *text, sgc_buffer *out, sgc_error *err)
{
    for (;;) {
        const char *place = strstr(text, CONFIG_PREFIX);
        const char *end = place != NULL ? strchr(place, '}') : NULL;
        if (end == NULL)
            return sgc_buffer_append(out, text, strlen(text), err);
        const char *name = place + strlen(CONFIG_PREFIX);
        SGC_TRY(sgc_buffer_append(out, text, (size_t)(place - text), err));
        SGC_TRY(append_option(name, (size_t)(end - name), out, err));
        text = end + 1;
    }
}

sgc_status sgc_config_expand(const char *text, char **out, sgc_error *err)
{
    sgc_buffer expanded = {0};
    return finish(append_expanded(text, &expanded, err), &expanded, out, err);
}
