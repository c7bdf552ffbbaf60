/* The documents of items by their ids. */
#include <cpl_hash_set.h>
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/stac_json.h"
#include "datasets/stac_private.h"
#include "datasets/stac_search.h"

void sgc_stac_item_free(void *value)
{
    sgc_stac_item *item = value;
    sgc_patch_clear(&item->patch, item->band_count);
    free(item);
}

/* Gives what `json` (NULL: there is no such item), found at `url`, says. */
static sgc_status new_item(const sgc_stac_source *source, const cJSON *json, const char *url,
                           sgc_stac_item **out, sgc_error *err)
{
    sgc_stac_item *item = calloc(1, sizeof *item);
    if (item == NULL)
        return sgc_fail_memory(err, sizeof *item, "an item");
    item->band_count = source->definition->band_count;
    item->exists = json != NULL;
    if (json != NULL) {
        const sgc_status status =
            sgc_stac_item_read(source->definition, json, url, source->prefer_s3, &item->patch, err);
        if (status != SGC_OK) {
            sgc_stac_item_free(item);
            return status;
        }
        item->times = sgc_stac_item_times(json);
        sgc_stac_set_steps(&item->times, &source->definition->time, &item->patch);
    }
    *out = item;
    return SGC_OK;
}

static sgc_status check_id(const cJSON *json, const char *wanted, sgc_error *err)
{
    const char *id = NULL;
    SGC_TRY(sgc_stac_item_id(json, &id, err));
    return strcmp(id, wanted) == 0
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "its document is that of item %.200s", id);
}

static sgc_status item_url(const sgc_stac_source *source, const char *id, char **url,
                           sgc_error *err)
{
    char *escaped = CPLEscapeString(id, -1, CPLES_URL), *text = NULL;
    const sgc_template_values values = {.id = escaped};
    sgc_status status = sgc_template_expand(source->items, &values, &text, err);
    CPLFree(escaped);
    SGC_TRY(status);
    status = sgc_config_expand(text, url, err);
    free(text);
    return status;
}

sgc_status sgc_stac_fetch_item(void *user, const char *key, const sgc_cancel *cancel, void **value,
                               double *seconds, sgc_error *err)
{
    const sgc_stac_source *source = user;
    char *url;
    cJSON *json = NULL;
    sgc_stac_item *item = NULL;
    SGC_TRY(item_url(source, key, &url, err));
    sgc_status status = sgc_stac_get(source->http, url, cancel, &json, err);
    if (status == SGC_OK)
        status = check_id(json, key, err);
    if (status == SGC_OK || status == SGC_NOT_FOUND)
        status = new_item(source, json, url, &item, err);
    cJSON_Delete(json);
    free(url);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "patch %s", key);
    *value = item;
    *seconds = SGC_STAC_KEPT_S;
    return SGC_OK;
}

/* A search by ids. */
typedef struct id_search {
    const sgc_stac_source *source;
    char *const *ids; /* `count` that are asked for */
    int count;
    CPLHashSet *found; /* of those that came */
} id_search;

static bool is_asked_for(const id_search *search, const char *id)
{
    int i = 0;
    while (i < search->count && strcmp(search->ids[i], id) != 0)
        i++;
    return i < search->count;
}

static sgc_status keep_item(void *user, const cJSON *json, const char *url, bool *wanted,
                            sgc_error *err)
{
    const id_search *search = user;
    sgc_stac_item *item = NULL;
    SGC_TRY(new_item(search->source, json, url, &item, err));
    char *id = strdup(item->patch.id);
    *wanted = is_asked_for(search, item->patch.id);
    sgc_memo_put(search->source->documents, item->patch.id, item, SGC_STAC_KEPT_S);
    if (id == NULL)
        return sgc_fail_memory(err, 0, "an id");
    CPLHashSetInsert(search->found, id);
    return SGC_OK;
}

/* Asks for up to `limit` ids in one search; those that do not come do not exist. */
sgc_status sgc_stac_fetch_ids(sgc_stac_source *source, char **ids, int count,
                              const sgc_cancel *cancel, sgc_error *err)
{
    cJSON *search = sgc_stac_search_new(source->collection, source->limit, NULL);
    cJSON *list = cJSON_CreateStringArray((const char *const *)ids, count);
    sgc_status status = SGC_OK;
    if (!cJSON_AddItemToObject(search, "ids", list)) {
        cJSON_Delete(list);
        status = sgc_fail_memory(err, 0, "a search");
    }
    id_search by_ids = {source, ids, count,
                        CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free)};
    if (status == SGC_OK)
        status = sgc_stac_search_run(source->http, source->search, search, cancel, keep_item,
                                     &by_ids, err);
    cJSON_Delete(search);
    for (int i = 0; status == SGC_OK && i < count; i++) {
        sgc_stac_item *absent = NULL;
        if (CPLHashSetLookup(by_ids.found, ids[i]) != NULL)
            continue;
        status = new_item(source, NULL, NULL, &absent, err);
        if (status == SGC_OK)
            sgc_memo_put(source->documents, ids[i], absent, SGC_STAC_KEPT_S);
    }
    CPLHashSetDestroy(by_ids.found);
    return status;
}
