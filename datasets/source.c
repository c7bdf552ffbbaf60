#include "datasets/source.h"

#include <cpl_conv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_RETRIES = 5 };

const sgc_source_kind sgc_source_kinds[] = {
    {"stac", sgc_source_stac_keys, sgc_source_stac_new},
    {"synthetic", sgc_source_synthetic_keys, sgc_source_synthetic_new},
    {NULL, NULL, NULL},
};

sgc_status sgc_source_new(const sgc_definition *definition, const cJSON *json,
                          const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "kind"));
    for (const sgc_source_kind *k = sgc_source_kinds; kind != NULL && k->kind != NULL; k++)
        if (strcmp(k->kind, kind) == 0)
            return k->construct(definition, json, options, out, err);
    return sgc_fail(err, SGC_UNSUPPORTED, "%s: kind \"%.32s\" is not supported by this build",
                    definition->id, kind != NULL ? kind : "");
}

void sgc_source_free(sgc_source *source)
{
    if (source != NULL)
        source->free(source);
}

static int number_of(const cJSON *object, const char *key, int otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && item->valueint > 0 ? item->valueint : otherwise;
}

/* GDAL's own options for retries hold here too. */
sgc_status sgc_source_new_client(const cJSON *json, const sgc_source_options *options,
                                 unsigned default_requests, sgc_http **http, unsigned *max_requests,
                                 sgc_error *err)
{
    const unsigned requests =
        options->max_requests > 0
            ? options->max_requests
            : (unsigned)number_of(json, "max_concurrency", (int)default_requests);
    const int retries = atoi(CPLGetConfigOption("GDAL_HTTP_MAX_RETRY", "-1"));
    const double delay = CPLAtof(CPLGetConfigOption("GDAL_HTTP_RETRY_DELAY", "0"));
    const sgc_http_options http_options = {
        .max_requests = requests,
        .retries = (unsigned)(retries >= 0 ? retries : number_of(json, "retries", DEFAULT_RETRIES)),
        .first_delay_ms = delay > 0 && delay < 3600 ? (unsigned)ceil(delay * 1000) : 0,
    };
    *max_requests = requests;
    return sgc_http_new(&http_options, http, err);
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
                      .has_own_grid = from->has_own_grid};
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
