#include <cpl_hash_set.h>
#include <cpl_port.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/definition_private.h"
#include "datasets/template.h"

/* ---- addresses ---- */

/* Checks of one value, which stands at `at`. */
typedef sgc_status value_check(const cJSON *item, const sgc_place *at, sgc_error *err);

static sgc_status check_text(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return cJSON_IsString(item) && item->valuestring[0] != '\0'
               ? SGC_OK
               : sgc_fail_at(at, SGC_INVALID, err, "must be a text");
}

static sgc_status refuse_secret(bool is_secret, const sgc_place *at, sgc_error *err)
{
    return is_secret ? sgc_fail_at(at, SGC_INVALID, err,
                                   "credentials belong in configuration options: write "
                                   "{config:NAME}")
                     : SGC_OK;
}

/* The name of something GDAL opens. */
static sgc_status check_name(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    SGC_TRY(check_text(item, at, err));
    return refuse_secret(sgc_definition_has_secret(item->valuestring), at, err);
}

static sgc_status check_url(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    SGC_TRY(check_name(item, at, err));
    return EQUALN(item->valuestring, "http://", 7) || EQUALN(item->valuestring, "https://", 8)
               ? SGC_OK
               : sgc_fail_at(at, SGC_INVALID, err, "must begin with http:// or https://");
}

/* ---- other values ---- */

static sgc_status check_number(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return cJSON_IsNumber(item) && isfinite(item->valuedouble)
               ? SGC_OK
               : sgc_fail_at(at, SGC_INVALID, err, "must be a number");
}

static sgc_status check_bool(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return cJSON_IsBool(item) ? SGC_OK : sgc_fail_at(at, SGC_INVALID, err, "must be true or false");
}

static bool is_integer(const cJSON *item, double least, double most)
{
    return cJSON_IsNumber(item) && item->valuedouble >= least && item->valuedouble <= most &&
           item->valuedouble == floor(item->valuedouble);
}

static sgc_status check_count(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return is_integer(item, 0, 1e9) ? SGC_OK : sgc_fail_at(at, SGC_INVALID, err, "must be a count");
}

static sgc_status check_positive(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return is_integer(item, 1, 1e9) ? SGC_OK
                                    : sgc_fail_at(at, SGC_INVALID, err, "must be a count from 1");
}

/* Of items on a page; OGC API Features knows no larger pages. */
static sgc_status check_limit(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return is_integer(item, 1, 10000)
               ? SGC_OK
               : sgc_fail_at(at, SGC_INVALID, err, "must be a count from 1 to 10000");
}

static sgc_status check_object(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    return cJSON_IsObject(item) ? SGC_OK : sgc_fail_at(at, SGC_INVALID, err, "must be an object");
}

static sgc_status check_crs(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    char *crs = NULL;
    SGC_TRY(check_text(item, at, err));
    SGC_TRY(sgc_definition_read_crs(item->valuestring, at, &crs, err));
    free(crs);
    return SGC_OK;
}

static sgc_status check_statuses(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    const cJSON *status;
    bool good = cJSON_IsArray(item);
    cJSON_ArrayForEach(status, item) good = good && is_integer(status, 400, 599);
    return good ? SGC_OK
                : sgc_fail_at(at, SGC_INVALID, err, "must be a list of HTTP statuses like [403]");
}

static sgc_status check_headers(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    const cJSON *header;
    SGC_TRY(check_object(item, at, err));
    cJSON_ArrayForEach(header, item)
    {
        const sgc_place here = sgc_place_member(at, header->string);
        SGC_TRY(check_text(header, &here, err));
        if (strpbrk(header->valuestring, "\r\n") != NULL)
            return sgc_fail_at(&here, SGC_INVALID, err, "must be one line");
        SGC_TRY(refuse_secret(sgc_definition_is_secret(header->string, header->valuestring), &here,
                              err));
    }
    return SGC_OK;
}

static sgc_status check_open_options(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    const cJSON *option;
    size_t index = 0;
    bool good = cJSON_IsArray(item) || cJSON_IsObject(item);
    cJSON_ArrayForEach(option, item) good =
        good && cJSON_IsString(option) &&
        (cJSON_IsObject(item) || strchr(option->valuestring, '=') != NULL);
    if (!good)
        return sgc_fail_at(at, SGC_INVALID, err, "must be a list of texts like \"NAME=VALUE\"");
    cJSON_ArrayForEach(option, item)
    {
        const sgc_place here = option->string != NULL ? sgc_place_member(at, option->string)
                                                      : sgc_place_element(at, index++);
        SGC_TRY(refuse_secret(sgc_definition_has_secret(option->valuestring) ||
                                  (option->string != NULL &&
                                   sgc_definition_is_secret(option->string, option->valuestring)),
                              &here, err));
    }
    return SGC_OK;
}

/* A URL of one file, in which nothing stands but secrets, and those only in the query. */
static sgc_status check_file_url(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    unsigned used = 0;
    sgc_error reason;
    SGC_TRY(check_url(item, at, err));
    if (sgc_template_check(item->valuestring, &used, &reason) != SGC_OK)
        return sgc_fail_at(at, SGC_INVALID, err, "%s", reason.message);
    return used == 0 ? SGC_OK : sgc_fail_at(at, SGC_INVALID, err, "has no fields to be filled");
}

static sgc_status check_index(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    static const char *const keys[] = {"href", "member", "id_column", NULL};
    SGC_TRY(check_object(item, at, err));
    SGC_TRY(sgc_json_check_keys(item, keys, at, err));
    for (int i = 0; keys[i] != NULL; i++) {
        const cJSON *value = sgc_json_member(item, keys[i]);
        const sgc_place here = sgc_place_member(at, keys[i]);
        if (value == NULL && i == 0)
            return sgc_fail_at(&here, SGC_INVALID, err, "required");
        if (value != NULL)
            SGC_TRY(i == 0 ? check_file_url(value, &here, err) : check_text(value, &here, err));
    }
    return SGC_OK;
}

static sgc_status check_tile(const cJSON *item, const sgc_place *at, sgc_error *err)
{
    static const char *const keys[] = {"origin", "size", "first", NULL};
    SGC_TRY(check_object(item, at, err));
    SGC_TRY(sgc_json_check_keys(item, keys, at, err));
    for (int i = 0; keys[i] != NULL; i++) {
        double pair[2] = {1, 1};
        const cJSON *value = sgc_json_member(item, keys[i]);
        const sgc_place here = sgc_place_member(at, keys[i]);
        if (value == NULL && strcmp(keys[i], "first") != 0)
            return sgc_fail_at(&here, SGC_INVALID, err, "required");
        if (value != NULL)
            SGC_TRY(sgc_json_get_numbers(value, 2, &here, pair, err));
        if (strcmp(keys[i], "size") == 0 && !(pair[0] > 0 && pair[1] > 0))
            return sgc_fail_at(&here, SGC_INVALID, err, "must be positive");
        if (strcmp(keys[i], "first") == 0 &&
            (pair[0] != floor(pair[0]) || pair[1] != floor(pair[1]) || fabs(pair[0]) > 1e9 ||
             fabs(pair[1]) > 1e9))
            return sgc_fail_at(&here, SGC_INVALID, err, "must be two integers");
    }
    return SGC_OK;
}

/* ---- keys ---- */

/* What of a key must be the same in two definitions of one product. */
typedef enum sameness {
    MAY_DIFFER,
    SAME,
    SAME_PATH, /* of a URL: all but its host */
} sameness;

typedef struct key {
    const char *kind; /* "": all kinds */
    const char *name;
    value_check *check;
    const char *words[4]; /* of a text: what it may be; else none */
    sameness same;
} key;

static const key keys[] = {
    {"", "kind", check_text, {NULL}, SAME},
    {"", "max_concurrency", check_positive, {NULL}, MAY_DIFFER},
    {"", "retries", check_count, {NULL}, MAY_DIFFER},
    {"", "headers", check_headers, {NULL}, MAY_DIFFER},
    {"", "missing_status", check_statuses, {NULL}, MAY_DIFFER},
    {"", "access", check_text, {"ranges", "whole"}, MAY_DIFFER},

    {"stac", "api", check_url, {NULL}, MAY_DIFFER},
    {"stac", "collection", check_text, {NULL}, SAME},
    {"stac", "query", check_object, {NULL}, SAME},
    {"stac", "items", check_url, {NULL}, MAY_DIFFER},
    {"stac", "index", check_index, {NULL}, MAY_DIFFER},
    {"stac", "tile", check_tile, {NULL}, MAY_DIFFER},
    {"stac", "id", check_text, {NULL}, MAY_DIFFER},
    {"stac", "buffer", check_count, {NULL}, MAY_DIFFER},
    {"stac", "limit", check_limit, {NULL}, MAY_DIFFER},
    {"stac", "href", check_text, {"https", "s3"}, MAY_DIFFER},
    {"stac", "sign", check_text, {"none", "planetary-computer"}, MAY_DIFFER},

    {"tiles", "href", check_url, {NULL}, SAME_PATH},
    {"tiles", "tile", check_tile, {NULL}, SAME},
    {"tiles", "id", check_text, {NULL}, SAME},
    {"tiles", "proj:code", check_crs, {NULL}, SAME},
    {"tiles", "buffer", check_count, {NULL}, SAME},
    {"tiles", "missing", check_text, {"empty", "error"}, MAY_DIFFER},

    {"gdal", "dataset", check_name, {NULL}, SAME},
    {"gdal", "open_options", check_open_options, {NULL}, SAME},
    {"gdal", "dimension", check_text, {NULL}, SAME},
    {"gdal", "proj:code", check_crs, {NULL}, SAME},
    {"gdal", "buffer", check_count, {NULL}, SAME},

    {"earthengine", "asset", check_text, {NULL}, SAME},
    {"earthengine", "asset_type", check_text, {"IMAGE_COLLECTION", "IMAGE"}, SAME},
    {"earthengine", "reducer", check_text, {"mosaic", "first", "median"}, SAME},
    {"earthengine", "date_property", check_text, {NULL}, SAME},
    {"earthengine", "sentinel", check_number, {NULL}, SAME},
    {"earthengine", "buffer", check_count, {NULL}, SAME},
    {"earthengine", "max_request_bytes", check_positive, {NULL}, MAY_DIFFER},
    {"earthengine", "url", check_url, {NULL}, MAY_DIFFER},

    {"synthetic", "offset", check_number, {NULL}, SAME},
    {"synthetic", "levels", check_bool, {NULL}, SAME},
};
enum { KEYS = sizeof keys / sizeof *keys };

static const char *const kinds[] = {"stac", "tiles", "gdal", "earthengine", "synthetic", NULL};

static bool belongs_to(const key *k, const char *kind)
{
    return k->kind[0] == '\0' || strcmp(k->kind, kind) == 0;
}

/* Refuses keys that nobody knows, and those of another kind. */
static sgc_status check_keys(const cJSON *source, const char *kind, const sgc_place *at,
                             sgc_error *err)
{
    const char *known[KEYS + 1] = {NULL}, *foreign[KEYS + 1] = {NULL};
    size_t known_count = 0, foreign_count = 0;
    for (size_t i = 0; i < KEYS; i++) {
        if (belongs_to(&keys[i], kind))
            known[known_count++] = keys[i].name;
        else
            foreign[foreign_count++] = keys[i].name;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, source)
    {
        const sgc_place here = sgc_place_member(at, item->string);
        if (!sgc_is_listed(item->string, known) && sgc_is_listed(item->string, foreign))
            return sgc_fail_at(&here, SGC_INVALID, err, "not allowed for kind \"%s\"", kind);
    }
    return sgc_json_check_keys(source, known, at, err);
}

static sgc_status check_values(const cJSON *source, const char *kind, const sgc_place *at,
                               sgc_error *err)
{
    for (const key *k = keys; k < keys + KEYS; k++) {
        const cJSON *item = sgc_json_member(source, k->name);
        const sgc_place here = sgc_place_member(at, k->name);
        int choice = 0;
        if (item == NULL || !belongs_to(k, kind))
            continue;
        SGC_TRY(k->check(item, &here, err));
        if (k->words[0] != NULL)
            SGC_TRY(sgc_json_get_choice(source, k->name, k->words, at, &choice, err));
    }
    return SGC_OK;
}

/* ---- lattices ---- */

typedef struct lattice {
    double origin[2], size[2];
    bool is_other_crs;
} lattice;

static lattice read_lattice(const cJSON *source)
{
    const cJSON *tile = sgc_json_member(source, "tile");
    lattice l = {.is_other_crs = sgc_json_member(source, "proj:code") != NULL};
    for (int i = 0; i < 2; i++) {
        l.origin[i] = cJSON_GetArrayItem(sgc_json_member(tile, "origin"), i)->valuedouble;
        l.size[i] = cJSON_GetArrayItem(sgc_json_member(tile, "size"), i)->valuedouble;
    }
    return l;
}

/* True when the grid meets several tiles along an axis (0: x, 1: y). */
static bool has_several_tiles(const lattice *l, const sgc_grid *grid, int axis)
{
    const double *t = grid->transform, tolerance = 1e-9;
    const double x = t[0] + (double)grid->width * t[1], y = t[3] + (double)grid->height * t[5];
    const double low = axis == 0 ? t[0] : y, high = axis == 0 ? x : t[3];
    const double first = floor((low - l->origin[axis]) / l->size[axis] + tolerance);
    const double last = ceil((high - l->origin[axis]) / l->size[axis] - tolerance) - 1;
    return l->is_other_crs || last > first;
}

static bool is_whole(double value)
{
    return fabs(value - nearbyint(value)) < 0.001;
}

static bool is_on_grid(const lattice *l, const sgc_grid *grid)
{
    const double *t = grid->transform;
    return !l->is_other_crs && is_whole((l->origin[0] - t[0]) / t[1]) &&
           is_whole((l->origin[1] - t[3]) / t[5]) && is_whole(l->size[0] / t[1]) &&
           is_whole(l->size[1] / t[5]);
}

static sgc_status warn(sgc_definition *definition, const sgc_place *at, sgc_error *err)
{
    static const char text[] = "tiles will be resampled: their edges are no edges of pixels";
    char message[512];
    if (definition->warning != NULL)
        return SGC_OK;
    snprintf(message, sizeof message, "%.200s: %.160s: %s", at->document, at->pointer, text);
    definition->warning = strdup(message);
    return definition->warning != NULL ? SGC_OK : sgc_fail_memory(err, sizeof message, "a text");
}

/* ---- templates ---- */

/* Gives (free with free()) the name that a template makes of a time step, whatever the tile. */
static sgc_status name_of_step(const sgc_template *template, const sgc_time_axis *axis, size_t step,
                               char **name, sgc_error *err)
{
    const sgc_template_values values = {
        .t_start = axis->starts[step], .t_end = axis->ends[step], .id = "", .asset = ""};
    return sgc_template_expand(template, &values, name, err);
}

static sgc_status add_step(const sgc_template *template, const sgc_time_axis *axis, size_t step,
                           CPLHashSet *names, const sgc_place *at, sgc_error *err)
{
    char *name = NULL, text[32] = "";
    SGC_TRY(name_of_step(template, axis, step, &name, err));
    const bool is_new = CPLHashSetLookup(names, name) == NULL;
    if (is_new) {
        CPLHashSetInsert(names, name);
        return SGC_OK;
    }
    free(name);
    const time_t start = (time_t)axis->starts[step];
    struct tm parts = {0};
    gmtime_r(&start, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return sgc_fail_at(at, SGC_INVALID, err,
                       "does not tell the time step %s from another: use t_year, t_month and t_day "
                       "as fine as the steps are",
                       text);
}

/* Steps of one name would be taken for one. */
static sgc_status check_steps(const sgc_time_axis *axis, const char *text, const sgc_place *at,
                              sgc_error *err)
{
    sgc_template *template;
    SGC_TRY(sgc_template_new(text, &template, err));
    CPLHashSet *names = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free);
    sgc_status status = SGC_OK;
    for (size_t step = 0; status == SGC_OK && step < axis->count; step++)
        status = add_step(template, axis, step, names, at, err);
    CPLHashSetDestroy(names);
    sgc_template_free(template);
    return status;
}

/* A template must tell apart what is not the same, by fields that have a value there. */
static sgc_status check_template(const sgc_definition *definition, const cJSON *source,
                                 const char *name, const sgc_place *at, sgc_error *err)
{
    const char *text = cJSON_GetStringValue(sgc_json_member(source, name));
    const sgc_place here = sgc_place_member(at, name);
    const lattice l = read_lattice(source);
    unsigned used = 0;
    sgc_error reason;
    if (sgc_template_check(text, &used, &reason) != SGC_OK)
        return sgc_fail_at(&here, SGC_INVALID, err, "%s", reason.message);
    if ((used & (SGC_FIELD_ID | SGC_FIELD_ASSET)) != 0 && strcmp(name, "id") == 0)
        return sgc_fail_at(&here, SGC_INVALID, err, "{id} and {asset} have no value here");
    if ((used & SGC_FIELDS_X) == 0 && has_several_tiles(&l, &definition->grid, 0))
        return sgc_fail_at(&here, SGC_INVALID, err, "does not use x_min/x_max/col");
    if ((used & SGC_FIELDS_Y) == 0 && has_several_tiles(&l, &definition->grid, 1))
        return sgc_fail_at(&here, SGC_INVALID, err, "does not use y_min/y_max/row");
    if ((used & SGC_FIELDS_TIME) != 0 && definition->time.count == 0)
        return sgc_fail_at(&here, SGC_INVALID, err, "uses times, but the cube has no time axis");
    if ((used & SGC_FIELDS_TIME) == 0 && definition->time.count > 1)
        return sgc_fail_at(&here, SGC_INVALID, err, "does not use t_year/t_month/t_day");
    return (used & SGC_FIELDS_TIME) != 0 ? check_steps(&definition->time, text, &here, err)
                                         : SGC_OK;
}

static sgc_status require(const cJSON *source, const char *name, const sgc_place *at,
                          sgc_error *err)
{
    const sgc_place here = sgc_place_member(at, name);
    return sgc_json_member(source, name) != NULL ? SGC_OK
                                                 : sgc_fail_at(&here, SGC_INVALID, err, "required");
}

static sgc_status check_lattice(sgc_definition *definition, const cJSON *source,
                                const sgc_place *at, sgc_error *err)
{
    const sgc_place here = sgc_place_member(at, "tile");
    const lattice l = read_lattice(source);
    return is_on_grid(&l, &definition->grid) ? SGC_OK : warn(definition, &here, err);
}

/* ---- kinds ---- */

static sgc_status check_items(const cJSON *source, const sgc_place *at, sgc_error *err)
{
    const char *text = cJSON_GetStringValue(sgc_json_member(source, "items"));
    const sgc_place here = sgc_place_member(at, "items");
    unsigned used = 0;
    sgc_error reason;
    if (text == NULL)
        return SGC_OK;
    if (sgc_template_check(text, &used, &reason) != SGC_OK)
        return sgc_fail_at(&here, SGC_INVALID, err, "%s", reason.message);
    return (used & SGC_FIELD_ID) != 0 ? SGC_OK
                                      : sgc_fail_at(&here, SGC_INVALID, err, "does not use id");
}

static sgc_status check_stac(sgc_definition *definition, const cJSON *source, const sgc_place *at,
                             sgc_error *err)
{
    const bool has_items = sgc_json_member(source, "items") != NULL;
    const bool has_lattice = sgc_json_member(source, "tile") != NULL;
    const bool has_index = sgc_json_member(source, "index") != NULL;
    if (!has_items || !(has_lattice || has_index)) {
        SGC_TRY(require(source, "api", at, err));
        SGC_TRY(require(source, "collection", at, err));
    }
    SGC_TRY(check_items(source, at, err));
    if (has_lattice != (sgc_json_member(source, "id") != NULL))
        return require(source, has_lattice ? "id" : "tile", at, err);
    return has_lattice ? check_template(definition, source, "id", at, err) : SGC_OK;
}

static sgc_status check_tiles(sgc_definition *definition, const cJSON *source, const sgc_place *at,
                              sgc_error *err)
{
    SGC_TRY(require(source, "href", at, err));
    SGC_TRY(require(source, "tile", at, err));
    SGC_TRY(check_template(definition, source, "href", at, err));
    if (sgc_json_member(source, "id") != NULL)
        SGC_TRY(check_template(definition, source, "id", at, err));
    return check_lattice(definition, source, at, err);
}

static sgc_status check_source(sgc_definition *definition, const cJSON *source, const sgc_place *at,
                               sgc_error *err)
{
    const sgc_place at_kind = sgc_place_member(at, "kind");
    SGC_TRY(check_object(source, at, err));
    SGC_TRY(require(source, "kind", at, err));
    const char *kind = cJSON_GetStringValue(sgc_json_member(source, "kind"));
    if (kind == NULL || !sgc_is_listed(kind, kinds))
        return sgc_fail_at(&at_kind, SGC_UNSUPPORTED, err,
                           "kind \"%.32s\" is not supported (known are stac, tiles, gdal, "
                           "earthengine, synthetic)",
                           kind != NULL ? kind : "");
    SGC_TRY(check_keys(source, kind, at, err));
    SGC_TRY(check_values(source, kind, at, err));
    if (strcmp(kind, "stac") == 0)
        return check_stac(definition, source, at, err);
    if (strcmp(kind, "tiles") == 0)
        return check_tiles(definition, source, at, err);
    if (strcmp(kind, "gdal") == 0)
        return require(source, "dataset", at, err);
    if (strcmp(kind, "earthengine") == 0)
        return require(source, "asset", at, err);
    return SGC_OK;
}

/* ---- levels ---- */

static sgc_status read_level(sgc_definition *definition, const cJSON *json, size_t index,
                             const sgc_place *at, sgc_error *err)
{
    static const char *const level_keys[] = {"from", "source", NULL};
    enum { LARGEST_FACTOR = 1 << 30 };
    const sgc_place at_from = sgc_place_member(at, "from");
    const sgc_place at_source = sgc_place_member(at, "source");
    int from = 0;
    SGC_TRY(check_object(json, at, err));
    SGC_TRY(sgc_json_check_keys(json, level_keys, at, err));
    SGC_TRY(require(json, "from", at, err));
    if (sgc_json_get_integer(json, "from", 2, LARGEST_FACTOR, at, &from, NULL) != SGC_OK ||
        (from & (from - 1)) != 0)
        return sgc_fail_at(&at_from, SGC_INVALID, err, "must be a power of two from 2");
    if (index > 0 && from <= definition->levels[index - 1].from)
        return sgc_fail_at(&at_from, SGC_INVALID, err, "must be larger than the one before");
    SGC_TRY(require(json, "source", at, err));
    definition->levels[index].from = from;
    definition->levels[index].source = sgc_json_member(json, "source");
    return check_source(definition, definition->levels[index].source, &at_source, err);
}

static sgc_status read_levels(sgc_definition *definition, const sgc_place *root, sgc_error *err)
{
    enum { MOST_LEVELS = 32 };
    const cJSON *list = sgc_json_member(definition->json, "levels"), *item;
    const sgc_place at = sgc_place_member(root, "levels");
    const int count = cJSON_GetArraySize(list);
    if (list == NULL)
        return SGC_OK;
    if (!cJSON_IsArray(list) || count > MOST_LEVELS)
        return sgc_fail_at(&at, SGC_INVALID, err, "must be a list of at most %d levels",
                           MOST_LEVELS);
    definition->levels = calloc((size_t)count + 1, sizeof *definition->levels);
    if (definition->levels == NULL)
        return sgc_fail_memory(err, (size_t)count * sizeof *definition->levels, "levels");
    cJSON_ArrayForEach(item, list)
    {
        const sgc_place here = sgc_place_element(&at, definition->level_count);
        SGC_TRY(read_level(definition, item, definition->level_count, &here, err));
        definition->level_count++;
    }
    return SGC_OK;
}

sgc_status sgc_definition_read_sources(sgc_definition *definition, const sgc_place *root,
                                       sgc_error *err)
{
    const sgc_place at = sgc_place_member(root, "source");
    SGC_TRY(require(definition->json, "source", root, err));
    definition->source = sgc_json_member(definition->json, "source");
    SGC_TRY(check_source(definition, definition->source, &at, err));
    return read_levels(definition, root, err);
}

/* ---- two sources of one product ---- */

static const char *path_of(const cJSON *url)
{
    const char *text = cJSON_GetStringValue(url);
    const char *host = text != NULL ? strstr(text, "://") : NULL;
    return host != NULL ? host + 3 + strcspn(host + 3, "/") : text;
}

static bool is_same(const cJSON *a, const cJSON *b, sameness wanted)
{
    if (a == NULL || b == NULL || wanted == MAY_DIFFER)
        return a == b || wanted == MAY_DIFFER;
    return wanted == SAME_PATH ? strcmp(path_of(a), path_of(b)) == 0 : cJSON_Compare(a, b, 1);
}

const char *sgc_source_difference(const cJSON *theirs, const cJSON *mine)
{
    const char *kind = cJSON_GetStringValue(sgc_json_member(mine, "kind"));
    const bool has_collection = sgc_json_member(mine, "collection") != NULL;
    for (const key *k = keys; k < keys + KEYS; k++) {
        /* Without a collection, the template of the items is what names the product. */
        const bool names_product = strcmp(k->name, "items") == 0 && !has_collection;
        if (belongs_to(k, kind) &&
            !is_same(sgc_json_member(theirs, k->name), sgc_json_member(mine, k->name),
                     names_product ? SAME_PATH : k->same))
            return k->name;
    }
    return NULL;
}
