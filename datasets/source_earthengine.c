/* Images of Google Earth Engine, computed on exactly the cube's grid (datasets guide 4). */
#include <cpl_conv.h>
#include <cpl_string.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/earthengine.h"
#include "datasets/google_credentials.h"
#include "datasets/source.h"

#include "store/parallel.h"

#define DEFAULT_URL "https://earthengine-highvolume.googleapis.com"
#define LONGEST_SILENCE_OPTION "GDAL_HTTP_LOW_SPEED_TIME"
#define LONGEST_SILENCE_S "300"

enum { DEFAULT_REQUESTS = 20 };

typedef struct earthengine_source {
    sgc_source base;
    sgc_ee_product product;
    char *url;            /* without a final slash or version */
    bool has_credentials; /* are sent there */
    char *project;        /* that pays, if the user has named one; or NULL */
    sgc_http *http;
} earthengine_source;

/* ---- patches ---- */

/* The grid's chunk in a row and column. */
static sgc_rect chunk_rect(const sgc_definition *d, int64_t row, int64_t column)
{
    const sgc_rect whole = {0, 0, d->grid.width, d->grid.height};
    const sgc_rect chunk = {column * d->chunk_width, row * d->chunk_height, d->chunk_width,
                            d->chunk_height};
    return sgc_rect_intersect(whole, chunk);
}

static sgc_status init_patch(const sgc_definition *d, int64_t row, int64_t column, size_t step,
                             sgc_patch *patch, sgc_error *err)
{
    char id[80];
    if (d->time.count > 0)
        snprintf(id, sizeof id, "%zu-%lld-%lld", step, (long long)row, (long long)column);
    else
        snprintf(id, sizeof id, "%lld-%lld", (long long)row, (long long)column);
    *patch = (sgc_patch){.id = strdup(id), .rect = chunk_rect(d, row, column), .step = step};
    return patch->id != NULL ? SGC_OK : sgc_fail_memory(err, strlen(id), "a patch");
}

static sgc_status earthengine_find(sgc_source *self, sgc_rect rect, size_t step,
                                   const sgc_cancel *cancel, sgc_patch_list *out, sgc_error *err)
{
    (void)cancel;
    const sgc_definition *d = ((earthengine_source *)self)->product.definition;
    rect = sgc_rect_intersect(rect, (sgc_rect){0, 0, d->grid.width, d->grid.height});
    sgc_patch_list list = {.band_count = d->band_count};
    if (sgc_rect_is_empty(rect)) {
        *out = list;
        return SGC_OK;
    }
    const int64_t first_row = rect.y / d->chunk_height, first_column = rect.x / d->chunk_width;
    const int64_t last_row = (rect.y + rect.height - 1) / d->chunk_height;
    const int64_t last_column = (rect.x + rect.width - 1) / d->chunk_width;
    const size_t most =
        (size_t)(last_row - first_row + 1) * (size_t)(last_column - first_column + 1);
    list.patches = calloc(most, sizeof *list.patches);
    if (list.patches == NULL)
        return sgc_fail_memory(err, most * sizeof *list.patches, "patches");
    sgc_status status = SGC_OK;
    for (int64_t row = first_row; row <= last_row; row++)
        for (int64_t column = first_column; status == SGC_OK && column <= last_column; column++)
            status = init_patch(d, row, column, step, &list.patches[list.count++], err);
    if (status != SGC_OK) {
        sgc_patch_list_free(&list);
        return status;
    }
    sgc_patch_list_sort(&list);
    *out = list;
    return SGC_OK;
}

/* A coarse pixel covers many chunks; one request may well bring them all. */
static sgc_status earthengine_find_level(sgc_source *self, sgc_rect rect, size_t step,
                                         const sgc_cancel *cancel, sgc_patch_list *out,
                                         sgc_error *err)
{
    (void)rect;
    (void)cancel;
    const sgc_definition *d = ((earthengine_source *)self)->product.definition;
    sgc_patch *patch = calloc(1, sizeof *patch);
    if (patch == NULL)
        return sgc_fail_memory(err, sizeof *patch, "a patch");
    *patch = (sgc_patch){
        .id = strdup("all"), .rect = {0, 0, d->grid.width, d->grid.height}, .step = step};
    if (patch->id == NULL) {
        free(patch);
        return sgc_fail_memory(err, sizeof "all", "a patch");
    }
    *out = (sgc_patch_list){.patches = patch, .count = 1, .band_count = d->band_count};
    return SGC_OK;
}

/* ---- requests ---- */

/* One read, of which each request brings a part. */
typedef struct reading {
    const earthengine_source *source;
    const sgc_patch *patch;
    const size_t *bands;
    size_t count;
    sgc_grid grid;  /* of the level */
    sgc_rect whole; /* the patch, in pixels of that grid */
    sgc_rect rect;  /* what the caller wants */
    void *const *pixels;
    uint8_t *const *valid;
    const sgc_cancel *cancel;
    char **configuration; /* of each thread */
    const sgc_ee_sample *sample;
    sgc_ee_plan plan;
    pthread_mutex_t mutex; /* guards the rest */
    uint64_t bytes;
} reading;

static sgc_ee_window window_of(const reading *r, const sgc_ee_part *p)
{
    sgc_ee_window window = {
        .bands = r->bands + p->first_band,
        .count = p->band_count,
        .step = r->patch->step,
        .sample = r->sample,
    };
    sgc_ee_place(&r->grid, r->whole, p->rect, &window);
    return window;
}

static sgc_status make_url(const earthengine_source *source, const char *project,
                           const char *method, char **url, sgc_error *err)
{
    static const char project_letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:";
    if (project == NULL)
        return sgc_fail(err, SGC_AUTH,
                        "Earth Engine wants to know a Google Cloud project that may use it: set "
                        "SGC_PROJECT or GOOGLE_CLOUD_PROJECT, or let the credentials' file name "
                        "one");
    if (project[strspn(project, project_letters)] != '\0')
        return sgc_fail(err, SGC_INVALID, "\"%.60s\" is no id of a Google Cloud project", project);
    const int length = asprintf(url, "%s/v1/projects/%s/%s", source->url, project, method);
    return length >= 0 ? SGC_OK : sgc_fail_memory(err, 0, "a URL");
}

/* A message of its own for what only the user can mend. */
static sgc_status explain_refusal(const earthengine_source *source, int answered, sgc_status status,
                                  sgc_error *err)
{
    sgc_error said = err != NULL ? *err : (sgc_error){""};
    if (status == SGC_AUTH && !source->has_credentials)
        return sgc_fail(err, status,
                        "%.800s (no credentials are sent there; to send them, name the host in "
                        "SGC_TRUSTED_HOSTS)",
                        said.message);
    /* The service always exists; only what the source finds out to be absent is. */
    return status == SGC_NOT_FOUND && answered == 404 ? SGC_NETWORK : status;
}

/* Gives a header (free with free()), or NULL when there is no memory. */
static char *make_header(const char *name, const char *value)
{
    char *header = NULL;
    return asprintf(&header, "%s %s", name, value) >= 0 ? header : NULL;
}

/* Posts `body` once, with `token` if there is one. */
static sgc_status post_once(const reading *r, const sgc_google_credentials *c, const char *token,
                            const char *method, const char *body, int *answered,
                            sgc_http_response *response, sgc_error *err)
{
    char *url = NULL, *token_header = NULL, *project_header = NULL;
    SGC_TRY(make_url(r->source, c->project, method, &url, err));
    const char *headers[] = {"Content-Type: application/json", NULL, NULL, NULL};
    bool good = true;
    if (token != NULL) {
        headers[1] = token_header = make_header("Authorization: Bearer", token);
        good = token_header != NULL;
    }
    if (token != NULL && c->kind == SGC_GOOGLE_USER) {
        headers[2] = project_header = make_header("X-Goog-User-Project:", c->project);
        good &= project_header != NULL;
    }
    const sgc_http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = body,
        .body_size = strlen(body),
        .answered = answered,
    };
    const sgc_status status =
        good ? sgc_http_perform(r->source->http, &request, r->cancel, response, err)
             : sgc_fail_memory(err, 0, "the headers of a request");
    free(url);
    free(token_header);
    free(project_header);
    return status;
}

/* Posts `body`, a second time with a new token when the first is refused. */
static sgc_status post_as(const reading *r, const sgc_google_credentials *c, const char *method,
                          const char *body, int *answered, sgc_http_response *response,
                          sgc_error *err)
{
    if (!r->source->has_credentials)
        return post_once(r, c, NULL, method, body, answered, response, err);
    char *token = NULL, *fresh = NULL;
    SGC_TRY(sgc_google_get_token(c, r->source->http, NULL, r->cancel, &token, err));
    sgc_status status = post_once(r, c, token, method, body, answered, response, err);
    if (*answered == 401 &&
        sgc_google_get_token(c, r->source->http, token, r->cancel, &fresh, NULL) == SGC_OK &&
        strcmp(token, fresh) != 0)
        status = post_once(r, c, fresh, method, body, answered, response, err);
    free(token);
    free(fresh);
    return status;
}

/* Posts the body of a request, which it frees; *answered is the status of the answer. */
static sgc_status post(reading *r, const char *method, char *body, int *answered,
                       sgc_http_response *response, sgc_error *err)
{
    *answered = 0;
    if (body == NULL)
        return sgc_fail_memory(err, 0, "a request");
    sgc_google_credentials credentials;
    sgc_status status = sgc_google_credentials_find(r->source->project, &credentials, err);
    if (status == SGC_OK) {
        status = post_as(r, &credentials, method, body, answered, response, err);
        sgc_google_credentials_clear(&credentials);
        status = explain_refusal(r->source, *answered, status, err);
    }
    cJSON_free(body);
    if (status == SGC_OK) {
        pthread_mutex_lock(&r->mutex);
        r->bytes += response->size;
        pthread_mutex_unlock(&r->mutex);
    }
    return status;
}

/* ---- what a refusal means ---- */

static bool is_too_much(int answered, const char *message)
{
    return answered == 400 && (strstr(message, "Total request size") != NULL ||
                               strstr(message, "User memory limit exceeded") != NULL);
}

/* What the service says about an image without bands, as is made of no images. It may also be that
 * a band is called otherwise. */
static bool may_be_empty(int answered, const char *message)
{
    static const char *const words[] = {"did not match any bands", "an Image with no bands",
                                        "may not be null"};
    bool said = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        said |= strstr(message, words[i]) != NULL;
    return answered == 400 && said;
}

/* True when the collection has no image at this time step. */
static sgc_status is_empty(reading *r, bool *empty, sgc_error *err)
{
    int answered;
    sgc_http_response response = {0};
    *empty = false;
    SGC_TRY(post(r, "value:compute",
                 sgc_ee_print_count_request(&r->source->product, r->patch->step), &answered,
                 &response, err));
    cJSON *json = cJSON_ParseWithLength((const char *)response.data, response.size);
    sgc_http_response_clear(&response);
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(json, "result");
    *empty = cJSON_IsNumber(count) && count->valuedouble == 0;
    cJSON_Delete(json);
    return SGC_OK;
}

/* Gives a refusal its class: SGC_NOT_FOUND when there are no images to compute from. */
static sgc_status classify(reading *r, int answered, sgc_status status, sgc_error *err)
{
    if (r->source->product.reducer == NULL || !may_be_empty(answered, err->message))
        return status;
    bool empty;
    sgc_error refusal = *err;
    SGC_TRY(is_empty(r, &empty, err));
    if (empty)
        return sgc_fail(err, SGC_NOT_FOUND, "the collection has no images");
    *err = refusal;
    return status;
}

/* ---- reading ---- */

static sgc_status decode(const reading *r, const sgc_ee_part *p, sgc_http_response *response,
                         sgc_error *err)
{
    const sgc_ee_window window = window_of(r, p);
    const sgc_ee_target target = {
        .pixels = r->pixels + p->first_band,
        .valid = r->valid + p->first_band,
        .offset = (size_t)((p->rect.y - r->rect.y) * r->rect.width + (p->rect.x - r->rect.x)),
        .stride = (size_t)r->rect.width,
    };
    const sgc_status status =
        sgc_ee_decode(&r->source->product, &window, response->data, response->size, &target, err);
    if (status == SGC_CORRUPT && response->content_type[0] != '\0')
        return sgc_fail_in(err, status, "an answer of type %.60s", response->content_type);
    return status;
}

static sgc_status fetch(reading *r, const sgc_ee_part *p, int *answered, sgc_error *err)
{
    const sgc_ee_window window = window_of(r, p);
    sgc_http_response response = {0};
    SGC_TRY(post(r, "image:computePixels", sgc_ee_print_request(&r->source->product, &window),
                 answered, &response, err));
    const sgc_status status = decode(r, p, &response, err);
    sgc_http_response_clear(&response);
    return status;
}

static sgc_status read_part(reading *r, const sgc_ee_part *p, sgc_error *err)
{
    int answered;
    sgc_ee_part halves[2];
    sgc_error own = {""};
    sgc_status status = fetch(r, p, &answered, &own);
    /* Bytes that do not decode may have been damaged on their way. */
    if (status == SGC_CORRUPT)
        status = fetch(r, p, &answered, &own);
    if (status != SGC_OK && is_too_much(answered, own.message) && sgc_ee_halve(p, halves)) {
        SGC_TRY(read_part(r, &halves[0], err));
        return read_part(r, &halves[1], err);
    }
    if (status != SGC_OK)
        status = classify(r, answered, status, &own);
    return status == SGC_OK ? SGC_OK : sgc_fail(err, status, "%s", own.message);
}

static sgc_status read_part_at(void *user, size_t index, sgc_error *err)
{
    reading *r = user;
    CPLSetThreadLocalConfigOptions((const char *const *)r->configuration);
    return read_part(r, &r->plan.parts[index], err);
}

/* The caller's pixels that nobody is asked for are no values. */
static void clear_outside(const reading *r, sgc_rect rect)
{
    if (sgc_rect_equal(rect, r->rect))
        return;
    for (size_t i = 0; i < r->count; i++)
        memset(r->valid[i], 0, (size_t)(r->rect.width * r->rect.height));
}

/* The configuration of the caller's thread. The service is silent while it computes, for up to five
 * minutes. */
static char **copy_configuration(void)
{
    char **configuration = CPLGetThreadLocalConfigOptions();
    return CPLGetConfigOption(LONGEST_SILENCE_OPTION, NULL) != NULL
               ? configuration
               : CSLSetNameValue(configuration, LONGEST_SILENCE_OPTION, LONGEST_SILENCE_S);
}

/* All answers together are about as large as what the caller has made room for, so they may come at
 * the same time. */
static sgc_status read_parts(reading *r, sgc_rect rect, sgc_error *err)
{
    SGC_TRY(
        sgc_ee_plan_parts(rect, r->count, r->sample, r->source->product.max_bytes, &r->plan, err));
    char **before = CPLGetThreadLocalConfigOptions();
    r->configuration = copy_configuration();
    const sgc_status status =
        sgc_parallel_for(r->plan.count, r->source->base.max_requests, read_part_at, r, err);
    CPLSetThreadLocalConfigOptions((const char *const *)before);
    CSLDestroy(r->configuration);
    CSLDestroy(before);
    return status;
}

static sgc_status earthengine_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                                   size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                                   uint8_t *const *valid, sgc_fetch *fetched,
                                   const sgc_cancel *cancel, sgc_error *err)
{
    const earthengine_source *source = (earthengine_source *)self;
    reading r = {
        .source = source,
        .patch = patch,
        .bands = bands,
        .count = count,
        .grid = sgc_grid_at_level(&source->product.definition->grid, factor),
        .whole = sgc_rect_at_level(&source->product.definition->grid, patch->rect, factor),
        .rect = rect,
        .pixels = pixels,
        .valid = valid,
        .cancel = cancel,
    };
    SGC_TRY(sgc_ee_find_sample(&source->product, bands, count, &r.sample, err));
    const sgc_rect asked =
        source->product.is_geographic ? sgc_ee_clamp_to_earth(&r.grid, rect) : rect;
    clear_outside(&r, asked);
    sgc_status status = SGC_OK;
    pthread_mutex_init(&r.mutex, NULL);
    if (!sgc_rect_is_empty(asked))
        status = read_parts(&r, asked, err);
    pthread_mutex_destroy(&r.mutex);
    free(r.plan.parts);
    *fetched = (sgc_fetch){.bytes = r.bytes};
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "patch %s", patch->id);
}

/* ---- the endpoint ---- */

static bool is_googles(const char *url)
{
    static const char domain[] = ".googleapis.com";
    if (!EQUALN(url, "https://", 8))
        return false;
    const char *host = url + 8;
    const size_t length = strcspn(host, ":/"), tail = sizeof domain - 1;
    return length > tail && EQUALN(host + length - tail, domain, tail);
}

/* The user's credentials go to Google, and to hosts that the user has named for that. */
static bool is_trusted(const char *url)
{
    const char *named = CPLGetConfigOption("EEDA_URL", NULL);
    return is_googles(url) || sgc_http_is_trusted(url) ||
           (named != NULL && sgc_http_is_same_origin(url, named));
}

/* Cuts off a final slash, and the version that EEDA_URL may have. */
static void cut_version(char *url)
{
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        url[--length] = '\0';
    char *last = strrchr(url, '/');
    if (last != NULL && strncmp(last, "/v1", 3) == 0)
        *last = '\0';
}

static sgc_status init_url(const sgc_source_options *options, earthengine_source *source,
                           sgc_error *err)
{
    const char *url = options->url;
    if (url == NULL)
        url = source->product.url;
    if (url == NULL)
        url = CPLGetConfigOption("EEDA_URL", DEFAULT_URL);
    if (!sgc_ee_is_endpoint(url))
        return sgc_fail(err, SGC_INVALID,
                        "the endpoint of %s must be an http or https URL without user and query, "
                        "like " DEFAULT_URL,
                        source->product.definition->id);
    source->url = strdup(url);
    if (source->url == NULL)
        return sgc_fail_memory(err, strlen(url), "a URL");
    cut_version(source->url);
    source->has_credentials = is_trusted(source->url);
    return SGC_OK;
}

/* ---- the source ---- */

static void earthengine_free(sgc_source *self)
{
    earthengine_source *source = (earthengine_source *)self;
    sgc_http_free(source->http);
    sgc_ee_product_clear(&source->product);
    free(source->url);
    free(source->project);
    free(source);
}

static sgc_status init(const sgc_definition *definition, const cJSON *json,
                       const sgc_source_options *options, earthengine_source *source,
                       sgc_error *err)
{
    SGC_TRY(sgc_ee_product_init(&source->product, definition, json, err));
    SGC_TRY(init_url(options, source, err));
    const char *project = options->project;
    if (project != NULL && *project != '\0' && (source->project = strdup(project)) == NULL)
        return sgc_fail_memory(err, strlen(project), "a project");
    return sgc_source_new_client(json, options, DEFAULT_REQUESTS, &source->http,
                                 &source->base.max_requests, err);
}

sgc_status sgc_source_earthengine_new(const sgc_definition *definition, const cJSON *json,
                                      const sgc_source_options *options, sgc_source **out,
                                      sgc_error *err)
{
    earthengine_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    source->base = (sgc_source){
        .find = earthengine_find,
        .find_level = earthengine_find_level,
        .read = earthengine_read,
        .free = earthengine_free,
        .has_levels = true,
        .reads_together = true,
        .finds_alone = true,
    };
    const sgc_status status = init(definition, json, options, source, err);
    if (status != SGC_OK) {
        earthengine_free(&source->base);
        return status;
    }
    *out = &source->base;
    return SGC_OK;
}
