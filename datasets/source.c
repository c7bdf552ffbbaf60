#include "datasets/source.h"

#include <cpl_conv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_RETRIES = 5 };

const sgc_source_kind sgc_source_kinds[] = {
    {"stac", sgc_source_stac_keys, sgc_source_stac_new},
    {"earthengine", sgc_source_earthengine_keys, sgc_source_earthengine_new},
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

void sgc_patch_list_free(sgc_patch_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        sgc_patch *patch = &list->patches[i];
        free(patch->id);
        for (size_t b = 0; patch->hrefs != NULL && b < list->band_count; b++)
            free(patch->hrefs[b]);
        free(patch->hrefs);
    }
    free(list->patches);
    *list = (sgc_patch_list){0};
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
