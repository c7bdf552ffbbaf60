/* Anything that GDAL opens, cut into the cube's chunks (datasets guide 6.4). */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "datasets/condition.h"
#include "datasets/gdal_array.h"
#include "datasets/quiet.h"
#include "datasets/raster_file.h"
#include "datasets/template.h"

#include "store/fork.h"

enum { DEFAULT_REQUESTS = 4, DEFAULT_RETRIES = 5, MOST_PATCHES = 4000000 };

/* An open raster. Two threads must not use one at a time, so that each read takes one out of the
 * pool, or opens another, and puts it back. */
typedef struct handle {
    GDALDatasetH file; /* the array's; NULL when the raster was opened by itself */
    GDALDatasetH raster;
    size_t band, step; /* of an array's slice */
    const char *crs;   /* where the raster has none; NULL: not known */
    struct handle *next;
} handle;

typedef struct gdal_source {
    sgc_source base;
    const sgc_definition *definition;
    const char *dataset, *dimension; /* NULL: no array */
    const char *crs;                 /* of a raster without one, or NULL */
    char *path; /* what `dataset` is when the text of the definition means another; else NULL */
    char **open_options;
    sgc_http *http; /* both NULL when GDAL opens the dataset by itself */
    sgc_remote_files *files;
    int retries;           /* of what GDAL fetches by itself */
    pthread_mutex_t mutex; /* guards the pool */
    handle *idle;          /* last used first */
    sgc_fork_watch forks;
} gdal_source;

/* ---- patches ---- */

static sgc_rect whole_grid(const sgc_grid *grid)
{
    return (sgc_rect){0, 0, grid->width, grid->height};
}

/* Gives an id, with the time step before it when the cube has several. */
static char *new_id(const gdal_source *s, size_t step, int64_t row, int64_t column)
{
    char *id;
    const int size = s->definition->time.count > 0
                         ? asprintf(&id, "%zu-%lld-%lld", step, (long long)row, (long long)column)
                         : asprintf(&id, "%lld-%lld", (long long)row, (long long)column);
    return size < 0 ? NULL : id;
}

/* Gives the cells of width x height pixels that meet `rect`. */
static sgc_status find_cells(const gdal_source *s, sgc_rect rect, size_t step, int64_t width,
                             int64_t height, sgc_patch_list *out, sgc_error *err)
{
    const sgc_rect whole = whole_grid(&s->definition->grid);
    const sgc_rect inside = sgc_rect_intersect(rect, whole);
    sgc_patch_list list = {.band_count = s->definition->band_count};
    const bool is_empty = sgc_rect_is_empty(inside);
    const int64_t row = inside.y / height, column = inside.x / width;
    const int64_t rows = is_empty ? 0 : (inside.y + inside.height - 1) / height - row + 1;
    const int64_t columns = is_empty ? 0 : (inside.x + inside.width - 1) / width - column + 1;
    if (rows * columns > MOST_PATCHES)
        return sgc_fail(err, SGC_INVALID, "%s: a window of %lld chunks: read a smaller one",
                        s->definition->id, (long long)(rows * columns));
    const size_t count = (size_t)(rows * columns);
    list.patches = calloc(count + 1, sizeof *list.patches);
    if (list.patches == NULL)
        return sgc_fail_memory(err, count * sizeof *list.patches, "patches");
    for (; list.count < count; list.count++) {
        const int64_t y = row + (int64_t)list.count / columns;
        const int64_t x = column + (int64_t)list.count % columns;
        sgc_patch *patch = &list.patches[list.count];
        *patch = (sgc_patch){
            .id = new_id(s, step, y, x),
            .rect = sgc_rect_intersect(whole, (sgc_rect){x * width, y * height, width, height}),
            .step = step};
        if (patch->id == NULL) {
            sgc_patch_list_free(&list);
            return sgc_fail_memory(err, 32, "a patch");
        }
    }
    sgc_patch_list_sort(&list);
    *out = list;
    return SGC_OK;
}

static sgc_status gdal_find(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                            sgc_patch_list *out, sgc_error *err)
{
    (void)cancel;
    const gdal_source *s = (const gdal_source *)self;
    return find_cells(s, rect, step, s->definition->chunk_width, s->definition->chunk_height, out,
                      err);
}

/* A chunk of a level may lie over thousands of chunks, but is one window of the raster. */
static sgc_status gdal_find_level(sgc_source *self, sgc_rect rect, size_t step,
                                  const sgc_cancel *cancel, sgc_patch_list *out, sgc_error *err)
{
    (void)cancel;
    const gdal_source *s = (const gdal_source *)self;
    const sgc_grid *grid = &s->definition->grid;
    return find_cells(s, rect, step, grid->width, grid->height, out, err);
}

/* ---- open rasters ---- */

static void handle_close(handle *h)
{
    if (h == NULL)
        return;
    GDALClose(h->raster);
    GDALClose(h->file);
    free(h);
}

static handle *take(gdal_source *s, size_t band, size_t step)
{
    handle *found = NULL;
    pthread_mutex_lock(&s->mutex);
    for (handle **link = &s->idle; *link != NULL; link = &(*link)->next) {
        if ((*link)->band == band && (*link)->step == step) {
            found = *link;
            *link = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return found;
}

/* Keeps as many as there may be requests. */
static void put_back(gdal_source *s, handle *h)
{
    pthread_mutex_lock(&s->mutex);
    h->next = s->idle;
    s->idle = h;
    handle **link = &s->idle;
    for (unsigned i = 0; i < s->base.max_requests && *link != NULL; i++)
        link = &(*link)->next;
    handle *surplus = *link;
    *link = NULL;
    pthread_mutex_unlock(&s->mutex);
    handle_close(surplus);
}

static bool has_secret(char *const *texts)
{
    bool found = false;
    for (; texts != NULL && *texts != NULL; texts++)
        found |= strstr(*texts, "{config:") != NULL;
    return found;
}

/* What GDAL says may hold the name and the options with their secrets. */
static sgc_status fail_open(const gdal_source *s, sgc_error *err)
{
    char said[300];
    const bool is_secret = strstr(s->dataset, "{config:") != NULL || has_secret(s->open_options);
    sgc_remote_last_message(said, sizeof said);
    return sgc_fail(err, strstr(s->dataset, "://") != NULL ? SGC_NETWORK : SGC_IO,
                    "%s: GDAL cannot open its dataset%s%s", s->definition->id,
                    is_secret ? "" : ": ", is_secret ? "" : said);
}

static sgc_status expand_options(const gdal_source *s, char ***out, sgc_error *err)
{
    char **options = NULL;
    for (int i = 0; i < CSLCount(s->open_options); i++) {
        char *text;
        const sgc_status status = sgc_config_expand(s->open_options[i], &text, err);
        if (status != SGC_OK) {
            CSLDestroy(options);
            return status;
        }
        options = CSLAddString(options, text);
        free(text);
    }
    *out = options;
    return SGC_OK;
}

static bool has_ending(const char *text, size_t size, const char *const *endings)
{
    for (; *endings != NULL; endings++) {
        const size_t length = strlen(*endings);
        if (size > length && EQUALN(text + size - length, *endings, length))
            return true;
    }
    return false;
}

/* The length of the URL in a name: it ends where its quotes or braces do, or behind an archive. */
static size_t url_size(const char *name, const char *url)
{
    static const char prefix[] = "/vsicurl/";
    static const char *const archives[] = {".zip", ".kmz", ".tar", ".tgz", ".tar.gz", NULL};
    const char *begin = url == name ? name : url - strlen(prefix);
    const char before = begin == name ? '\0' : begin[-1];
    const size_t size = strcspn(url, before == '"' ? "\"" : before == '{' ? "}" : "");
    for (size_t i = 0; i < size && url[i] != '?' && url[i] != '#'; i++)
        if (url[i] == '/' && has_ending(url, i, archives))
            return i;
    return size;
}

/* The URL of the one file on a web server that a name means, as it is, behind /vsicurl/ or inside
 * of an archive or of quotes, and its length; NULL when there is none, or when GDAL would derive
 * the names of more files from it. */
static const char *find_url(const char *name, size_t *size)
{
    static const char *const single[] = {".nc",  ".nc4", ".h5",  ".he5", ".hdf5", ".zip",
                                         ".kmz", ".tar", ".tgz", ".gz",  NULL};
    static const char *const tiffs[] = {".tif", ".tiff", NULL};
    const char *url = sgc_source_address(name);
    if (!STARTS_WITH_CI(url, "http://") && !STARTS_WITH_CI(url, "https://"))
        return NULL;
    *size = url_size(name, url);
    const size_t path_size = MIN(*size, strcspn(url, "?#"));
    const bool is_whole_name =
        url[*size] == '\0' && (url == name || STARTS_WITH(name, "/vsicurl/"));
    const bool is_one = has_ending(url, path_size, single) && url != name;
    return is_one || (is_whole_name && has_ending(url, path_size, tiffs)) ? url : NULL;
}

/* Gives (free with free()) the name with our name of the file at its URL. */
static sgc_status rename_file(const gdal_source *s, const char *name, const char *at, size_t size,
                              char **out, sgc_error *err)
{
    static const char prefix[] = "/vsicurl/";
    const size_t before = (size_t)(at - name) - (at != name ? strlen(prefix) : 0);
    char *url = strndup(at, size), *path = NULL;
    if (url == NULL)
        return sgc_fail_memory(err, size, "a URL");
    sgc_status status = sgc_remote_files_path(s->files, url, &path, err);
    if (status == SGC_OK && asprintf(out, "%.*s%s%s", (int)before, name, path, at + size) < 0)
        status = sgc_fail_memory(err, strlen(name), "a name");
    free(path);
    free(url);
    return status;
}

/* Gives (free with free()) the name under which GDAL opens the dataset. */
static sgc_status expand_name(const gdal_source *s, char **name, sgc_error *err)
{
    char *expanded;
    size_t size;
    SGC_TRY(sgc_config_expand(s->dataset, &expanded, err));
    const char *url = s->files != NULL ? find_url(expanded, &size) : NULL;
    if (url == NULL) {
        *name = expanded;
        return SGC_OK;
    }
    const sgc_status status = rename_file(s, expanded, url, size, name, err);
    free(expanded);
    return status;
}

static sgc_status open_file(const gdal_source *s, unsigned kind, GDALDatasetH *file, sgc_error *err)
{
    char *name, **options;
    SGC_TRY(expand_name(s, &name, err));
    sgc_status status = expand_options(s, &options, err);
    if (status == SGC_OK) {
        *file = GDALOpenEx(name, kind | GDAL_OF_INTERNAL | GDAL_OF_VERBOSE_ERROR, NULL,
                           (const char *const *)options, NULL);
        CSLDestroy(options);
        if (*file == NULL)
            status = fail_open(s, err);
    }
    free(name);
    return status;
}

static sgc_status check_driver(const gdal_source *s, GDALDatasetH file, sgc_error *err)
{
    GDALDriverH driver = GDALGetDatasetDriver(file);
    return driver == NULL || !EQUAL(GDALGetDriverShortName(driver), "SGC")
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID, "%s: a cube cannot be the source of a cube",
                          s->definition->id);
}

static sgc_status open_into(const gdal_source *s, handle *h, sgc_error *err)
{
    const sgc_time_axis *time = &s->definition->time;
    if (s->dimension == NULL) {
        SGC_TRY(open_file(s, GDAL_OF_RASTER, &h->raster, err));
        return check_driver(s, h->raster, err);
    }
    const sgc_band *band = &s->definition->bands[h->band];
    const sgc_gdal_slice slice = {.array = band->asset,
                                  .time_dimension = s->dimension,
                                  .time = time->starts[h->step],
                                  .band = band->source_band};
    SGC_TRY(open_file(s, GDAL_OF_MULTIDIM_RASTER, &h->file, err));
    const sgc_status status = sgc_gdal_array_open(h->file, &slice, &h->raster, err);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "%s", s->definition->id);
}

/* As the definition names it, or as CF's units of coordinates have it. */
static const char *presumed_crs(const gdal_source *s, const handle *h)
{
    if (s->crs != NULL)
        return s->crs;
    const bool in_degrees =
        s->dimension != NULL
            ? sgc_gdal_array_in_degrees(h->file, s->definition->bands[h->band].asset)
            : sgc_gdal_raster_in_degrees(h->raster);
    return in_degrees ? "EPSG:4326" : NULL;
}

static sgc_status handle_open(const gdal_source *s, size_t band, size_t step, handle **out,
                              sgc_error *err)
{
    handle *h = calloc(1, sizeof *h);
    if (h == NULL)
        return sgc_fail_memory(err, sizeof *h, "a raster");
    h->band = band;
    h->step = step;
    const sgc_status status = open_into(s, h, err);
    if (status != SGC_OK) {
        handle_close(h);
        return status;
    }
    if (GDALGetSpatialRef(h->raster) == NULL)
        h->crs = presumed_crs(s, h);
    *out = h;
    return SGC_OK;
}

/* For what GDAL itself fetches: without these it repeats nothing, and waits forever; and while it
 * waits nothing can stop it. */
typedef struct fetch_default {
    const char *name;
    char value[16];
    bool is_set;
} fetch_default;

enum { FETCH_DEFAULTS = 6, MOST_RETRIES = 4, LONGEST_TIMEOUT = 86400 };

/* Sets what the user has not, for the calling thread. GDAL's pauses begin with its delay and more
 * than double: all retries take half a minute. A user's time without limit means a silent server.
 * With a deadline one request ends when that does. */
static void begin_defaults(const gdal_source *s, const sgc_cancel *cancel,
                           fetch_default defaults[FETCH_DEFAULTS])
{
    static const char *const names[FETCH_DEFAULTS] = {
        "GDAL_HTTP_CONNECTTIMEOUT", "GDAL_HTTP_LOW_SPEED_TIME", "GDAL_HTTP_LOW_SPEED_LIMIT",
        "GDAL_HTTP_RETRY_DELAY",    "GDAL_HTTP_MAX_RETRY",      "GDAL_HTTP_TIMEOUT"};
    const uint64_t now = sgc_monotonic_ms(), end = cancel != NULL ? cancel->deadline_ms : 0;
    const uint64_t left_s = end > now ? (end - now + 999) / 1000 : 1;
    const int values[FETCH_DEFAULTS] = {
        30,
        30,
        CPLGetConfigOption("GDAL_HTTP_LOW_SPEED_TIME", NULL) != NULL ? 1 : 1000,
        1,
        end > 0 ? MIN(s->retries, 1) : MIN(s->retries, MOST_RETRIES),
        end > 0 ? (int)MIN(left_s, LONGEST_TIMEOUT) : 0,
    };
    for (int i = 0; i < FETCH_DEFAULTS; i++) {
        fetch_default *d = &defaults[i];
        *d = (fetch_default){.name = names[i]};
        snprintf(d->value, sizeof d->value, "%d", values[i]);
        d->is_set = CPLGetConfigOption(d->name, NULL) == NULL;
        if (d->is_set)
            CPLSetThreadLocalConfigOption(d->name, d->value);
    }
}

static void end_defaults(const fetch_default defaults[FETCH_DEFAULTS])
{
    for (int i = 0; i < FETCH_DEFAULTS; i++)
        if (defaults[i].is_set)
            CPLSetThreadLocalConfigOption(defaults[i].name, NULL);
}

/* Reads from an idle raster, or from a new one. One that has failed is not used again. */
static sgc_status read_raster(gdal_source *s, size_t band, size_t step,
                              const sgc_raster_window *window, void *pixels, uint8_t *valid,
                              sgc_error *err)
{
    handle *h = take(s, band, step);
    if (h == NULL)
        SGC_TRY(handle_open(s, band, step, &h, err));
    sgc_raster_window placed = *window;
    placed.crs = h->crs;
    const sgc_status status = sgc_raster_read(h->raster, &placed, pixels, valid, err);
    if (status == SGC_OK)
        put_back(s, h);
    else
        handle_close(h);
    return status;
}

/* What the requests inside have met says more than what GDAL has made of it. A dataset that is gone
 * is no patch without data. */
static sgc_status end_call(const gdal_source *s, sgc_remote_call *call, sgc_status status,
                           sgc_fetch *fetch, sgc_error *err)
{
    sgc_error reason = {""};
    const sgc_status remote = sgc_remote_call_end(call, &reason);
    fetch->bytes = call->bytes_received;
    memcpy(fetch->etag, call->etag, sizeof fetch->etag);
    if (remote == SGC_OK)
        return status;
    return sgc_fail(err, remote == SGC_NOT_FOUND ? SGC_NETWORK : remote, "%s: %s",
                    s->definition->id, reason.message);
}

/* Damaged bytes of a file must not be had from memory again. */
static void forget_file(const gdal_source *s)
{
    char *name;
    sgc_error ignored;
    if (expand_name(s, &name, &ignored) != SGC_OK)
        return;
    sgc_remote_forget(name);
    free(name);
}

static sgc_status gdal_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                            size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                            uint8_t *const *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                            sgc_error *err)
{
    (void)count;
    gdal_source *s = (gdal_source *)self;
    const bool is_array = s->dimension != NULL;
    const size_t band = is_array ? bands[0] : 0, step = is_array ? patch->step : 0;
    const sgc_raster_window window = {.definition = s->definition,
                                      .band = bands[0],
                                      .factor = factor,
                                      .rect = rect,
                                      .patch = patch,
                                      .any_place = true,
                                      .home = whole_grid(&s->definition->grid),
                                      .home_name = "the cube",
                                      .source_band = is_array ? 1 : 0,
                                      .cancel = cancel};
    fetch_default defaults[FETCH_DEFAULTS] = {{0}};
    sgc_remote_call call;
    *fetch = (sgc_fetch){0};
    if (s->files == NULL)
        begin_defaults(s, cancel, defaults);
    sgc_quiet quiet = sgc_quiet_begin();
    sgc_remote_call_begin(&call, cancel);
    sgc_status status = read_raster(s, band, step, &window, pixels[0], valid[0], err);
    if (status != SGC_OK)
        VSICurlClearCache(); /* which would remember that a server was busy as "no such file" */
    status = end_call(s, &call, status, fetch, err);
    if (status == SGC_CORRUPT)
        forget_file(s);
    sgc_quiet_end(&quiet);
    end_defaults(defaults);
    return status;
}

/* ---- the source ---- */

static void gdal_free(sgc_source *self)
{
    gdal_source *s = (gdal_source *)self;
    sgc_fork_watch_end(&s->forks);
    while (s->idle != NULL) {
        handle *h = s->idle;
        s->idle = h->next;
        handle_close(h);
    }
    sgc_remote_files_free(s->files);
    sgc_http_free(s->http);
    pthread_mutex_destroy(&s->mutex);
    CSLDestroy(s->open_options);
    CPLFree(s->path);
    free(s);
}

/* Open files share their positions with the parent's: the child opens its own. */
static void renew_in_child(void *object)
{
    gdal_source *s = object;
    pthread_mutex_init(&s->mutex, NULL);
    s->idle = NULL;
}

static sgc_status fail_at(const gdal_source *s, const char *pointer, const char *reason,
                          sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID, "%s: /source%s: %s", s->definition->name, pointer, reason);
}

/* NAME=VALUE of each member of an object, or the texts of a list. */
static char **list_options(const cJSON *json)
{
    char **list = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsString(item))
            continue;
        list = item->string != NULL ? CSLAddNameValue(list, item->string, item->valuestring)
                                    : CSLAddString(list, item->valuestring);
    }
    return list;
}

/* True when options with secrets must not go to the endpoint that the user names instead. */
static bool would_betray(const gdal_source *s, const char *endpoint)
{
    return endpoint != NULL && has_secret(s->open_options) &&
           !sgc_http_is_trusted(sgc_source_address(endpoint));
}

/* True for names of formats whose drivers may read on any thread. Others, netCDF and HDF5 among
 * them, have one lock for the whole process, which whoever writes such a file holds while he reads.
 */
static bool reads_on_any_thread(const char *name)
{
    static const char *const extensions[] = {"tif", "tiff", "vrt", "zarr", "jp2",
                                             "img", "hgt",  "png", "jpg",  "jpeg"};
    char *path = CPLStrdup(name);
    path[strcspn(path, "?#")] = '\0';
    bool found = STARTS_WITH_CI(name, "ZARR:");
    for (size_t i = 0; !found && i < sizeof extensions / sizeof *extensions; i++)
        found = EQUAL(CPLGetExtension(path), extensions[i]);
    CPLFree(path);
    return found;
}

static sgc_status make_files(gdal_source *s, const cJSON *json, const sgc_source_options *options,
                             sgc_error *err)
{
    SGC_TRY(sgc_source_new_client(json, options, DEFAULT_REQUESTS, &s->http, &s->base.max_requests,
                                  err));
    SGC_TRY(sgc_remote_files_new(s->http, &s->files, err));
    sgc_remote_files_have_sidecars(s->files);
    return SGC_OK;
}

/* Gives (free with CPLFree()) the path beside the definition's file that a relative name means when
 * there is such a file; else NULL. */
static char *path_beside(const sgc_definition *definition, const char *name)
{
    VSIStatBufL info;
    if (definition->directory == NULL || !CPLIsFilenameRelative(name))
        return NULL;
    char *path = CPLStrdup(CPLFormFilename(definition->directory, name, NULL));
    if (VSIStatExL(path, &info, VSI_STAT_EXISTS_FLAG) == 0)
        return path;
    CPLFree(path);
    return NULL;
}

/* GDAL does not open files by a plain address; but what has a query may be that of a service. */
static bool is_plain_address(const gdal_source *s, const char *name)
{
    size_t size;
    return (STARTS_WITH_CI(name, "http://") || STARTS_WITH_CI(name, "https://")) &&
           find_url(name, &size) == NULL && (s->dimension != NULL || strchr(name, '?') == NULL);
}

static sgc_status configure(gdal_source *s, const cJSON *json, const sgc_source_options *options,
                            sgc_error *err)
{
    s->dataset = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "dataset"));
    s->dimension = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "dimension"));
    s->crs = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "proj:code"));
    if (options->url != NULL)
        s->dataset = options->url;
    else if (s->dataset != NULL && (s->path = path_beside(s->definition, s->dataset)) != NULL)
        s->dataset = s->path;
    if (s->dataset == NULL || *s->dataset == '\0')
        return fail_at(s, "/dataset", "required", err);
    if (is_plain_address(s, s->dataset))
        s->dataset = s->path = CPLStrdup(CPLSPrintf("/vsicurl/%s", s->dataset));
    if (EQUALN(s->dataset, "SGC:", 4))
        return fail_at(s, "/dataset", "a cube cannot be the source of a cube", err);
    if (s->dimension == NULL && s->definition->time.count > 1)
        return fail_at(s, "/dimension", "required: which dimension is the cube's time", err);
    if (s->dimension != NULL && s->definition->time.count == 0)
        return fail_at(s, "/dimension", "the cube has no time axis", err);
    if (s->dimension != NULL &&
        (EQUALN(s->dataset, "NETCDF:", 7) || EQUALN(s->dataset, "HDF5:", 5)))
        return fail_at(s, "/dataset",
                       "give the plain file name, and the array as \"asset\" of the band", err);
    s->open_options = list_options(cJSON_GetObjectItemCaseSensitive(json, "open_options"));
    if (would_betray(s, options->url))
        return sgc_fail(err, SGC_AUTH,
                        "%s: the secret in /source/open_options is not sent to another endpoint: "
                        "name its host in SGC_TRUSTED_HOSTS if you trust it",
                        s->definition->id);
    s->retries = sgc_source_number(json, "retries", 0, DEFAULT_RETRIES);
    s->base.stays_on_thread = !reads_on_any_thread(s->dataset);
    size_t size;
    const int requests = sgc_source_number(json, "max_concurrency", 1, DEFAULT_REQUESTS);
    s->base.max_requests = options->max_requests > 0 ? options->max_requests : (unsigned)requests;
    return find_url(s->dataset, &size) != NULL ? make_files(s, json, options, err) : SGC_OK;
}

sgc_status sgc_source_gdal_new(const sgc_definition *definition, const cJSON *json,
                               const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    gdal_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return sgc_fail_memory(err, sizeof *s, "a source");
    s->definition = definition;
    s->base = (sgc_source){.find = gdal_find,
                           .find_level = gdal_find_level,
                           .read = gdal_read,
                           .free = gdal_free,
                           .has_levels = true,
                           .finds_alone = true};
    pthread_mutex_init(&s->mutex, NULL);
    sgc_fork_watch_begin(&s->forks, renew_in_child, s);
    const sgc_status status = configure(s, json, options, err);
    if (status != SGC_OK)
        gdal_free(&s->base);
    else
        *out = &s->base;
    return status;
}
