#include "datasets/source.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/configured.h"
#include "store/memory.h"

enum { DEFAULT_RETRIES = 5 };

static const struct {
    const char *kind;
    sgc_source_constructor *construct;
} kinds[] = {
    {"earthengine", sgc_source_earthengine_new},
    {"gdal", sgc_source_gdal_new},
    {"stac", sgc_source_stac_new},
    {"synthetic", sgc_source_synthetic_new},
    {"tiles", sgc_source_tiles_new},
};

sgc_status sgc_source_new(const sgc_definition *definition, const cJSON *json,
                          const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "kind"));
    for (size_t i = 0; kind != NULL && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].construct(definition, json, options, out, err);
    return sgc_fail(err, SGC_UNSUPPORTED, "%s: kind \"%.32s\" is not supported by this build",
                    definition->id, kind != NULL ? kind : "");
}

void sgc_source_free(sgc_source *source)
{
    if (source != NULL)
        source->free(source);
}

size_t sgc_load_memory(void)
{
    const double least = 1, most = 1 << 20;
    double mebibytes = 512;
    (void)sgc_configured_number("SGC_LOAD_MEMORY", DBL_MIN, &mebibytes);
    return (size_t)(fmin(fmax(mebibytes, least), most) * 1024 * 1024);
}

int sgc_source_number(const cJSON *object, const char *key, int smallest, int otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && item->valueint >= smallest ? item->valueint : otherwise;
}

const char *sgc_source_address(const char *name)
{
    static const char prefix[] = "/vsicurl/";
    const bool is_url = STARTS_WITH_CI(name, "http://") || STARTS_WITH_CI(name, "https://");
    const char *found = is_url ? NULL : strstr(name, prefix);
    return found != NULL ? found + strlen(prefix) : name;
}

/* ---- the client ---- */

enum { MOST_STATUSES = 32, MOST_ENDPOINTS = 8, ENDPOINT_SIZE = 256 };

/* The scheme and host of a URL, which may be a template. */
static void copy_origin(const char *url, char origin[ENDPOINT_SIZE])
{
    const char *host = strstr(url, "://");
    const size_t size =
        host != NULL ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#{") : strlen(url);
    snprintf(origin, ENDPOINT_SIZE, "%.*s/", size < ENDPOINT_SIZE ? (int)size : 0, url);
}

/* Whom a source's own headers are meant for: its endpoint, and another one in its place only if the
 * user trusts it. */
static void list_endpoints(const cJSON *json, const sgc_source_options *options,
                           char origins[MOST_ENDPOINTS][ENDPOINT_SIZE],
                           const char *list[MOST_ENDPOINTS + 1])
{
    static const char *const keys[] = {"api", "items", "href", "url", "dataset"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, keys[i]));
        if (url != NULL && strstr(url, "://") != NULL)
            copy_origin(sgc_source_address(url), origins[count++]);
    }
    if (options->url != NULL && sgc_http_is_trusted(sgc_source_address(options->url)))
        copy_origin(sgc_source_address(options->url), origins[count++]);
    for (size_t i = 0; i < count; i++)
        list[i] = origins[i];
    list[count] = NULL;
}

/* Gives "Name: value" for each header of the source (free with CSLDestroy()), or NULL. */
static char **list_headers(const cJSON *json)
{
    char **lines = NULL;
    const cJSON *header;
    cJSON_ArrayForEach(header, cJSON_GetObjectItemCaseSensitive(json, "headers"))
    {
        sgc_buffer line = {0};
        if (cJSON_IsString(header) && header->string != NULL &&
            sgc_buffer_print(&line, NULL, "%s: %s", header->string, header->valuestring) == SGC_OK)
            lines = CSLAddString(lines, (const char *)line.data);
        sgc_buffer_free(&line);
    }
    return lines;
}

static void list_statuses(const cJSON *json, int list[MOST_STATUSES + 1])
{
    size_t count = 0;
    const cJSON *status;
    cJSON_ArrayForEach(status, cJSON_GetObjectItemCaseSensitive(
                                   json, "missing_status")) if (status->valueint > 0 &&
                                                                count < MOST_STATUSES)
        list[count++] = status->valueint;
    list[count] = 0;
}

/* GDAL's own options for retries hold here too. */
sgc_status sgc_source_new_client(const cJSON *json, const sgc_source_options *options,
                                 unsigned default_requests, sgc_http **http, unsigned *max_requests,
                                 sgc_error *err)
{
    const unsigned requests =
        options->max_requests > 0
            ? options->max_requests
            : (unsigned)sgc_source_number(json, "max_concurrency", 1, (int)default_requests);
    const int retries = atoi(CPLGetConfigOption("GDAL_HTTP_MAX_RETRY", "-1"));
    const double delay = CPLAtof(CPLGetConfigOption("GDAL_HTTP_RETRY_DELAY", "0"));
    char origins[MOST_ENDPOINTS][ENDPOINT_SIZE];
    const char *endpoints[MOST_ENDPOINTS + 1];
    int missing[MOST_STATUSES + 1];
    list_endpoints(json, options, origins, endpoints);
    list_statuses(json, missing);
    char **headers = list_headers(json);
    const sgc_http_options http_options = {
        .headers = (const char *const *)headers,
        .header_urls = endpoints,
        .missing_statuses = missing,
        .max_requests = requests,
        .retries =
            (unsigned)(retries >= 0 ? retries
                                    : sgc_source_number(json, "retries", 0, DEFAULT_RETRIES)),
        .first_delay_ms = delay > 0 && delay < 3600 ? (unsigned)ceil(delay * 1000) : 0,
    };
    *max_requests = requests;
    const sgc_status status = sgc_http_new(&http_options, http, err);
    CSLDestroy(headers);
    return status;
}

const char *sgc_patch_first_href(const sgc_patch *patch, size_t band_count)
{
    for (size_t b = 0; patch->hrefs != NULL && b < band_count; b++)
        if (patch->hrefs[b] != NULL)
            return patch->hrefs[b];
    return NULL;
}

void sgc_patch_clear(sgc_patch *patch, size_t band_count)
{
    free(patch->id);
    for (size_t b = 0; patch->hrefs != NULL && b < band_count; b++)
        free(patch->hrefs[b]);
    free(patch->hrefs);
    free(patch->nodata);
    *patch = (sgc_patch){0};
}

void sgc_patch_list_free(sgc_patch_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        sgc_patch_clear(&list->patches[i], list->band_count);
    free(list->patches);
    *list = (sgc_patch_list){0};
}

static char **copy_hrefs(char *const *hrefs, size_t count)
{
    char **copy = calloc(count, sizeof *copy);
    for (size_t b = 0; copy != NULL && b < count; b++)
        if (hrefs[b] != NULL && (copy[b] = strdup(hrefs[b])) == NULL) {
            while (b-- > 0)
                free(copy[b]);
            free(copy);
            return NULL;
        }
    return copy;
}

static bool copy_patch(const sgc_patch *from, size_t band_count, sgc_patch *to)
{
    *to = (sgc_patch){.id = strdup(from->id),
                      .rect = from->rect,
                      .step = from->step,
                      .first_step = from->first_step,
                      .step_count = from->step_count,
                      .has_own_grid = from->has_own_grid,
                      .is_promised = from->is_promised};
    if (from->hrefs != NULL)
        to->hrefs = copy_hrefs(from->hrefs, band_count);
    if (from->nodata != NULL && (to->nodata = calloc(band_count, sizeof *to->nodata)) != NULL)
        memcpy(to->nodata, from->nodata, band_count * sizeof *to->nodata);
    return to->id != NULL && (to->hrefs != NULL) == (from->hrefs != NULL) &&
           (to->nodata != NULL) == (from->nodata != NULL);
}

sgc_status sgc_patch_list_add(sgc_patch_list *list, const sgc_patch *patch, sgc_error *err)
{
    sgc_patch copy;
    const bool copied = copy_patch(patch, list->band_count, &copy);
    const size_t size = (list->count + 1) * sizeof *list->patches;
    sgc_patch *patches = copied ? realloc(list->patches, size) : NULL;
    if (patches == NULL) {
        sgc_patch_clear(&copy, list->band_count);
        return sgc_fail_memory(err, size, "patches");
    }
    list->patches = patches;
    list->patches[list->count++] = copy;
    return SGC_OK;
}

static int compare_patches(const void *a, const void *b)
{
    return strcmp(((const sgc_patch *)a)->id, ((const sgc_patch *)b)->id);
}

void sgc_patch_list_sort(sgc_patch_list *list)
{
    if (list->count == 0)
        return;
    qsort(list->patches, list->count, sizeof *list->patches, compare_patches);
    sgc_patch_list dropped = {.band_count = list->band_count,
                              .patches = calloc(list->count, sizeof *list->patches)};
    if (dropped.patches == NULL)
        return; /* applying a patch twice changes nothing */
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (n > 0 && strcmp(list->patches[n - 1].id, list->patches[i].id) == 0)
            dropped.patches[dropped.count++] = list->patches[i];
        else
            list->patches[n++] = list->patches[i];
    }
    list->count = n;
    sgc_patch_list_free(&dropped);
}
