/* Files on a lattice, whose names follow from their place (datasets guide 6.4). */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/quiet.h"
#include "datasets/raster_file.h"
#include "datasets/template.h"

enum { DEFAULT_REQUESTS = 4, DENSIFY = 101, MOST_TILES = 1000000, FEWEST_DIGITS = 2 };

/* Tiles side by side, numbered eastward and northward. */
typedef struct lattice {
    const char *crs; /* NULL: the cube's */
    bool is_world;   /* in degrees: there is nothing beyond the poles and the antimeridian */
    double origin[2], size[2];
    int64_t first[2]; /* numbers of the tile at the origin */
} lattice;

/* Tiles from first to last, counted from the origin. */
typedef struct range {
    int64_t first, last;
} range;

typedef struct tiles_source {
    sgc_source base;
    const sgc_definition *definition;
    sgc_template *href;
    sgc_template *id; /* or NULL */
    int digits;       /* of numbers in ids that have no template */
    lattice lattice;
    int64_t buffer;   /* pixels of the cube by which files overlap their tiles */
    bool is_complete; /* no tile may be missing */
    sgc_http *http;
    sgc_remote_files *files;
} tiles_source;

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(member(object, key));
}

/* ---- the lattice ---- */

static sgc_rect whole_grid(const sgc_grid *grid)
{
    return (sgc_rect){0, 0, grid->width, grid->height};
}

/* The bounds of the rectangle on the lattice: left, bottom, right, top. Left is greater than right
 * across the antimeridian of a lattice in degrees. */
static sgc_status bounds_on_lattice(const tiles_source *s, sgc_rect rect, double bounds[4],
                                    sgc_error *err)
{
    const sgc_grid *grid = &s->definition->grid;
    const double *t = grid->transform;
    const double own[4] = {
        t[0] + (double)rect.x * t[1], t[3] + (double)(rect.y + rect.height) * t[5],
        t[0] + (double)(rect.x + rect.width) * t[1], t[3] + (double)rect.y * t[5]};
    memcpy(bounds, own, sizeof own);
    if (s->lattice.crs == NULL)
        return SGC_OK;
    OGRSpatialReferenceH from = OSRNewSpatialReference(NULL), to = OSRNewSpatialReference(NULL);
    OSRSetAxisMappingStrategy(from, OAMS_TRADITIONAL_GIS_ORDER);
    OSRSetAxisMappingStrategy(to, OAMS_TRADITIONAL_GIS_ORDER);
    sgc_quiet quiet = sgc_quiet_begin();
    OGRCoordinateTransformationH change = NULL;
    if (OSRSetFromUserInput(from, grid->crs) == OGRERR_NONE &&
        OSRSetFromUserInput(to, s->lattice.crs) == OGRERR_NONE)
        change = OCTNewCoordinateTransformation(from, to);
    const bool good =
        change != NULL && OCTTransformBounds(change, own[0], own[1], own[2], own[3], &bounds[0],
                                             &bounds[1], &bounds[2], &bounds[3], DENSIFY);
    OCTDestroyCoordinateTransformation(change);
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(to);
    sgc_quiet_end(&quiet);
    return good ? SGC_OK
                : sgc_fail(err, SGC_INVALID, "%s: /source/proj:code: no way from %.32s to %.32s",
                           s->definition->name, grid->crs, s->lattice.crs);
}

/* The tiles along an axis that meet an interval by more than what arithmetic leaves over. */
static sgc_status tiles_between(const lattice *l, int axis, double low, double high, range *out,
                                sgc_error *err)
{
    const double tolerance = 1e-9;
    const double first = floor((low - l->origin[axis]) / l->size[axis] + tolerance);
    const double last = ceil((high - l->origin[axis]) / l->size[axis] - tolerance) - 1;
    if (!(fabs(first) < 1e9 && fabs(last) < 1e9))
        return sgc_fail(err, SGC_INVALID, "tiles too small or too far away");
    *out = (range){(int64_t)first, (int64_t)last};
    return SGC_OK;
}

/* Rows of tiles, and one or two pieces of columns, that may have pixels of the rectangle. */
typedef struct cells {
    range rows, columns[2];
    int pieces;
} cells;

static sgc_status find_cells(const tiles_source *s, sgc_rect rect, cells *out, sgc_error *err)
{
    const lattice *l = &s->lattice;
    const sgc_rect wide = {rect.x - s->buffer, rect.y - s->buffer, rect.width + 2 * s->buffer,
                           rect.height + 2 * s->buffer};
    double b[4];
    SGC_TRY(bounds_on_lattice(s, wide, b, err));
    SGC_TRY(tiles_between(l, 1, b[1], b[3], &out->rows, err));
    out->pieces = b[0] <= b[2] ? 1 : 2;
    if (out->pieces == 1)
        return tiles_between(l, 0, b[0], b[2], &out->columns[0], err);
    SGC_TRY(tiles_between(l, 0, b[0], 180, &out->columns[0], err));
    return tiles_between(l, 0, -180, b[2], &out->columns[1], err);
}

static int64_t length(range r)
{
    return r.last >= r.first ? r.last - r.first + 1 : 0;
}

static int64_t count_cells(const cells *c)
{
    return length(c->rows) * (length(c->columns[0]) + (c->pieces > 1 ? length(c->columns[1]) : 0));
}

/* ---- tiles ---- */

static sgc_template_values values_of(const tiles_source *s, int64_t column, int64_t row,
                                     size_t step)
{
    const lattice *l = &s->lattice;
    const sgc_time_axis *time = &s->definition->time;
    sgc_template_values v = {
        .x_min = l->origin[0] + (double)column * l->size[0],
        .x_max = l->origin[0] + (double)(column + 1) * l->size[0],
        .y_min = l->origin[1] + (double)row * l->size[1],
        .y_max = l->origin[1] + (double)(row + 1) * l->size[1],
        .col = column + l->first[0],
        .row = row + l->first[1],
    };
    if (step < time->count) {
        v.t_start = time->starts[step];
        v.t_end = time->ends[step];
    }
    return v;
}

static bool is_nowhere(const lattice *l, const sgc_template_values *v)
{
    return l->is_world &&
           (v->x_min >= 180 || v->x_max <= -180 || v->y_min >= 90 || v->y_max <= -90);
}

/* Full-resolution pixels of the cube that the tile's file may have. */
static sgc_status extent_of(const tiles_source *s, const sgc_template_values *v, sgc_rect *rect,
                            sgc_error *err)
{
    const double t[6] = {v->x_min, v->x_max - v->x_min, 0, v->y_max, 0, v->y_min - v->y_max};
    SGC_TRY(sgc_raster_extent(s->lattice.crs, t, 1, 1, &s->definition->grid, rect, err));
    rect->x -= s->buffer;
    rect->y -= s->buffer;
    rect->width += 2 * s->buffer;
    rect->height += 2 * s->buffer;
    return SGC_OK;
}

/* The moment at which a time step begins, as part of an id; nothing in a static cube. */
static void print_step(const sgc_definition *d, size_t step, char text[32])
{
    text[0] = '\0';
    if (step >= d->time.count)
        return;
    const time_t start = (time_t)d->time.starts[step];
    struct tm calendar = {0};
    gmtime_r(&start, &calendar);
    strftime(text, 32, start % 86400 == 0 ? "_%Y-%m-%d" : "_%Y-%m-%dT%H%M%S", &calendar);
}

static sgc_status id_of(const tiles_source *s, const sgc_template_values *v, size_t step, char **id,
                        sgc_error *err)
{
    char time[32], *place = NULL;
    print_step(s->definition, step, time);
    if (s->id != NULL) {
        SGC_TRY(sgc_template_expand(s->id, v, &place, err));
        if ((sgc_template_fields(s->id) & SGC_FIELDS_TIME) != 0)
            time[0] = '\0';
    }
    const int size = place != NULL ? asprintf(id, "%s%s", place, time)
                                   : asprintf(id, "%0*lld_%0*lld%s", s->digits, (long long)v->row,
                                              s->digits, (long long)v->col, time);
    free(place);
    if (size < 0)
        *id = NULL;
    return size < 0 ? sgc_fail_memory(err, sizeof time, "a patch") : SGC_OK;
}

static sgc_status hrefs_of(const tiles_source *s, sgc_template_values *v, sgc_patch *patch,
                           sgc_error *err)
{
    const sgc_definition *d = s->definition;
    patch->hrefs = calloc(d->band_count, sizeof *patch->hrefs);
    if (patch->hrefs == NULL)
        return sgc_fail_memory(err, d->band_count * sizeof *patch->hrefs, "a patch");
    v->id = patch->id;
    for (size_t b = 0; b < d->band_count; b++) {
        v->asset = d->bands[b].asset;
        SGC_TRY(sgc_template_expand(s->href, v, &patch->hrefs[b], err));
    }
    return SGC_OK;
}

/* Appends the tile to a list with room for it when its pixels meet `rect`. */
static sgc_status add_tile(const tiles_source *s, int64_t column, int64_t row, sgc_rect rect,
                           size_t step, sgc_patch_list *list, sgc_error *err)
{
    sgc_template_values v = values_of(s, column, row, step);
    sgc_rect extent;
    if (is_nowhere(&s->lattice, &v))
        return SGC_OK;
    SGC_TRY(extent_of(s, &v, &extent, err));
    if (sgc_rect_is_empty(sgc_rect_intersect(extent, rect)))
        return SGC_OK;
    sgc_patch *patch = &list->patches[list->count++];
    *patch = (sgc_patch){.rect = extent, .step = step};
    SGC_TRY(id_of(s, &v, step, &patch->id, err));
    return hrefs_of(s, &v, patch, err);
}

static sgc_status add_tiles(const tiles_source *s, const cells *c, sgc_rect rect, size_t step,
                            sgc_patch_list *list, sgc_error *err)
{
    for (int piece = 0; piece < c->pieces; piece++)
        for (int64_t row = c->rows.first; row <= c->rows.last; row++)
            for (int64_t x = c->columns[piece].first; x <= c->columns[piece].last; x++)
                SGC_TRY(add_tile(s, x, row, rect, step, list, err));
    return SGC_OK;
}

static sgc_status tiles_find(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                             sgc_patch_list *out, sgc_error *err)
{
    (void)cancel;
    const tiles_source *s = (const tiles_source *)self;
    const sgc_rect inside = sgc_rect_intersect(rect, whole_grid(&s->definition->grid));
    sgc_patch_list list = {.band_count = s->definition->band_count};
    cells c = {0};
    SGC_TRY(find_cells(s, inside, &c, err));
    const int64_t count = count_cells(&c);
    if (count > MOST_TILES)
        return sgc_fail(err, SGC_INVALID,
                        "%s: a window of %lld tiles, more than %d: read a smaller one, or give the "
                        "definition coarser \"levels\"",
                        s->definition->id, (long long)count, MOST_TILES);
    list.patches = calloc((size_t)count + 1, sizeof *list.patches);
    if (list.patches == NULL)
        return sgc_fail_memory(err, (size_t)count * sizeof *list.patches, "patches");
    const sgc_status status = add_tiles(s, &c, inside, step, &list, err);
    if (status != SGC_OK) {
        sgc_patch_list_free(&list);
        return sgc_fail_in(err, status, "the tiles of %s", s->definition->id);
    }
    sgc_patch_list_sort(&list);
    *out = list;
    return SGC_OK;
}

/* What the files of other tiles do not reach: `extent` without the buffers of both. */
static sgc_rect inner_part(const tiles_source *s, sgc_rect extent)
{
    const int64_t margin = 2 * s->buffer;
    return (sgc_rect){extent.x + margin, extent.y + margin, extent.width - 2 * margin,
                      extent.height - 2 * margin};
}

static sgc_status tiles_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                             size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                             uint8_t *const *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                             sgc_error *err)
{
    (void)count;
    const tiles_source *s = (const tiles_source *)self;
    const sgc_raster_window window = {.definition = s->definition,
                                      .band = bands[0],
                                      .factor = factor,
                                      .rect = rect,
                                      .patch = patch,
                                      .any_place = true,
                                      .home = inner_part(s, patch->rect),
                                      .home_name = "its tile",
                                      .crs = s->lattice.crs != NULL ? s->lattice.crs
                                                                    : s->definition->crs};
    *fetch = (sgc_fetch){0};
    const sgc_status status = sgc_raster_fetch(s->files, patch->hrefs[bands[0]], &window, pixels[0],
                                               valid[0], fetch, cancel, err);
    return status == SGC_NOT_FOUND && s->is_complete ? SGC_NETWORK : status;
}

static void tiles_free(sgc_source *self)
{
    tiles_source *s = (tiles_source *)self;
    sgc_remote_files_free(s->files);
    sgc_http_free(s->http);
    sgc_template_free(s->href);
    sgc_template_free(s->id);
    free(s);
}

/* ---- the definition ---- */

static sgc_status fail_at(const tiles_source *s, const char *pointer, const char *reason,
                          sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID, "%s: /source%s: %s", s->definition->name, pointer, reason);
}

static bool read_pair(const cJSON *list, double pair[2])
{
    for (int i = 0; i < 2; i++) {
        const cJSON *number = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
            return false;
        pair[i] = number->valuedouble;
    }
    return cJSON_GetArraySize(list) == 2;
}

static sgc_status read_lattice(tiles_source *s, const cJSON *json, sgc_error *err)
{
    lattice *l = &s->lattice;
    const cJSON *tile = member(json, "tile"), *first = member(tile, "first");
    double numbers[2] = {1, 1};
    if (!read_pair(member(tile, "origin"), l->origin) ||
        !read_pair(member(tile, "size"), l->size) || !(l->size[0] > 0 && l->size[1] > 0))
        return fail_at(s, "/tile", "needs \"origin\": [x, y] and \"size\": [dx, dy]", err);
    if (first != NULL && !read_pair(first, numbers))
        return fail_at(s, "/tile/first", "must be two integers", err);
    for (int i = 0; i < 2; i++) {
        if (numbers[i] != floor(numbers[i]) || fabs(numbers[i]) > 1e9)
            return fail_at(s, "/tile/first", "must be two integers", err);
        l->first[i] = (int64_t)numbers[i];
    }
    l->crs = text_of(json, "proj:code");
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    const bool known =
        OSRSetFromUserInput(crs, l->crs != NULL ? l->crs : s->definition->crs) == OGRERR_NONE;
    sgc_quiet_end(&quiet);
    l->is_world = known && OSRIsGeographic(crs);
    OSRDestroySpatialReference(crs);
    return known ? SGC_OK : fail_at(s, "/proj:code", "unknown CRS", err);
}

static bool is_web_url(const char *url)
{
    return EQUALN(url, "http://", 7) || EQUALN(url, "https://", 8);
}

/* The path of a web URL, with what follows. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return host + strcspn(host, "/?#");
}

static bool has_user(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return memchr(host, '@', (size_t)(path_of(url) - host)) != NULL;
}

/* Gives the template of the files' URLs, at another endpoint of the service if the user names one.
 */
static sgc_status choose_href(const tiles_source *s, const cJSON *json, const char *endpoint,
                              char **out, sgc_error *err)
{
    const char *href = text_of(json, "href");
    if (href == NULL || !is_web_url(href))
        return fail_at(s, "/href", "must begin with http:// or https://", err);
    if (has_user(href))
        return fail_at(s, "/href", "credentials belong in configuration options", err);
    if (endpoint == NULL) {
        *out = strdup(href);
    } else {
        if (!is_web_url(endpoint) || strpbrk(endpoint, "?#{}") != NULL)
            return sgc_fail(err, SGC_INVALID,
                            "the endpoint of %s must be an http or https URL without query, like "
                            "https://host/",
                            s->definition->id);
        size_t size = strlen(endpoint);
        while (endpoint[size - 1] == '/')
            size--;
        if (asprintf(out, "%.*s%s", (int)size, endpoint, path_of(href)) < 0)
            *out = NULL;
    }
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(href), "a URL");
}

static sgc_status read_template(const tiles_source *s, const char *text, const char *pointer,
                                unsigned forbidden, sgc_template **out, sgc_error *err)
{
    sgc_error reason;
    if (sgc_template_new(text, out, &reason) != SGC_OK)
        return fail_at(s, pointer, reason.message, err);
    if (s->definition->time.count == 0)
        forbidden |= SGC_FIELDS_TIME;
    return (sgc_template_fields(*out) & forbidden) == 0
               ? SGC_OK
               : fail_at(s, pointer, "uses a field that has no value here", err);
}

static sgc_status read_templates(tiles_source *s, const cJSON *json, const char *endpoint,
                                 sgc_error *err)
{
    char *href = NULL;
    const char *id = text_of(json, "id");
    SGC_TRY(choose_href(s, json, endpoint, &href, err));
    const sgc_status status = read_template(s, href, "/href", 0, &s->href, err);
    free(href);
    SGC_TRY(status);
    return id == NULL ? SGC_OK
                      : read_template(s, id, "/id", SGC_FIELD_ID | SGC_FIELD_ASSET, &s->id, err);
}

/* Tiles in degrees are looked for where they are, between 180 degrees west and east. */
static sgc_status check_world(const tiles_source *s, sgc_error *err)
{
    const sgc_grid *grid = &s->definition->grid;
    const double *t = grid->transform;
    const bool fits = t[0] > -181 && t[0] + (double)grid->width * t[1] < 181;
    return fits || !s->lattice.is_world || s->lattice.crs != NULL
               ? SGC_OK
               : fail_at(s, "/tile", "a cube of tiles in degrees must lie between -180 and 180",
                         err);
}

/* As many digits as the numbers of all tiles of the cube need. */
static sgc_status count_digits(tiles_source *s, sgc_error *err)
{
    cells c = {0};
    SGC_TRY(find_cells(s, whole_grid(&s->definition->grid), &c, err));
    int64_t largest = 0;
    for (int piece = 0; piece < c.pieces; piece++) {
        const int64_t numbers[] = {c.rows.first + s->lattice.first[1],
                                   c.rows.last + s->lattice.first[1],
                                   c.columns[piece].first + s->lattice.first[0],
                                   c.columns[piece].last + s->lattice.first[0]};
        for (int i = 0; i < 4; i++)
            largest = llabs(numbers[i]) > largest ? llabs(numbers[i]) : largest;
    }
    for (s->digits = 1; largest >= 10; largest /= 10)
        s->digits++;
    if (s->digits < FEWEST_DIGITS)
        s->digits = FEWEST_DIGITS;
    return SGC_OK;
}

static sgc_status configure(tiles_source *s, const cJSON *json, const sgc_source_options *options,
                            sgc_error *err)
{
    const cJSON *buffer = member(json, "buffer");
    const char *missing = text_of(json, "missing"), *access = text_of(json, "access");
    if (buffer != NULL && !(cJSON_IsNumber(buffer) && buffer->valueint >= 0))
        return fail_at(s, "/buffer", "must be a count of pixels", err);
    s->buffer = buffer != NULL ? buffer->valueint : 0;
    s->is_complete = missing != NULL && strcmp(missing, "error") == 0;
    SGC_TRY(read_lattice(s, json, err));
    SGC_TRY(check_world(s, err));
    SGC_TRY(read_templates(s, json, options->url, err));
    SGC_TRY(count_digits(s, err));
    SGC_TRY(sgc_source_new_client(json, options, DEFAULT_REQUESTS, &s->http, &s->base.max_requests,
                                  err));
    SGC_TRY(sgc_remote_files_new(s->http, &s->files, err));
    if (access != NULL && strcmp(access, "whole") == 0)
        sgc_remote_files_fetch_whole(s->files);
    return SGC_OK;
}

sgc_status sgc_source_tiles_new(const sgc_definition *definition, const cJSON *json,
                                const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    tiles_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return sgc_fail_memory(err, sizeof *s, "a source");
    s->definition = definition;
    s->base = (sgc_source){.find = tiles_find,
                           .read = tiles_read,
                           .free = tiles_free,
                           .has_levels = true,
                           .finds_alone = true};
    const sgc_status status = configure(s, json, options, err);
    if (status != SGC_OK)
        tiles_free(&s->base);
    else
        *out = &s->base;
    return status;
}
