/* Which patches a rectangle has: by a search of the API, by an index file, or by a tile lattice. */
#include <cpl_hash_set.h>
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/stac_index.h"
#include "datasets/stac_json.h"
#include "datasets/stac_private.h"
#include "datasets/stac_search.h"

enum {
    MOST_PATCHES = 2000, /* of a search that is remembered */
    INDEX_KEPT_S = 3600, /* before its ETag is asked for again */
};

void sgc_stac_list_free(void *value)
{
    sgc_patch_list_free(value);
    free(value);
}

/* ---- find: index ---- */

/* What the index supposes. */
typedef struct supposition {
    sgc_patch_list list; /* ids and bounds */
    CPLHashSet *ids;
} supposition;

static sgc_status suppose(void *user, const char *id, sgc_rect extent, sgc_error *err)
{
    supposition *s = user;
    if (CPLHashSetLookup(s->ids, id) != NULL)
        return SGC_OK;
    char *copy = strdup(id);
    if (copy == NULL)
        return sgc_fail_memory(err, strlen(id), "an id");
    CPLHashSetInsert(s->ids, copy);
    const sgc_patch patch = {.id = copy, .rect = extent};
    return sgc_patch_list_add(&s->list, &patch, err);
}

static sgc_status load_index(void *user, const char *key, const sgc_cancel *cancel, void **value,
                             double *seconds, sgc_error *err)
{
    const sgc_stac_source *source = user;
    sgc_stac_index *index = NULL;
    char *url;
    SGC_TRY(sgc_config_expand(key, &url, err));
    const sgc_status status =
        sgc_stac_index_load(source->http, url, source->index_member, source->id_column,
                            &source->definition->grid, cancel, &index, err);
    free(url);
    SGC_TRY(status);
    *value = index;
    *seconds = INDEX_KEPT_S;
    return SGC_OK;
}

/* Asks for the documents of the supposed items that are not at hand, many at a time if the service
 * can. */
static sgc_status fetch_documents(sgc_stac_source *source, const sgc_patch_list *supposed,
                                  const sgc_cancel *cancel, sgc_error *err)
{
    char **ids = calloc((size_t)source->limit, sizeof *ids);
    sgc_status status =
        ids != NULL ? SGC_OK : sgc_fail_memory(err, (size_t)source->limit * sizeof *ids, "ids");
    int count = 0;
    for (size_t i = 0; status == SGC_OK && i < supposed->count; i++) {
        if (!sgc_memo_has(source->documents, supposed->patches[i].id))
            ids[count++] = supposed->patches[i].id;
        if (count == source->limit || (i + 1 == supposed->count && count > 0)) {
            status = sgc_stac_fetch_ids(source, ids, count, cancel, err);
            count = 0;
        }
    }
    free(ids);
    return status;
}

/* Adds the item behind a supposed patch to the list when it meets `rect`; the supposed one itself
 * when there is none, so that reading it tells. */
static sgc_status add_supposed(sgc_stac_source *source, const sgc_patch *supposed, sgc_rect rect,
                               size_t step, const sgc_cancel *cancel, sgc_patch_list *list,
                               sgc_error *err)
{
    sgc_memo_entry *entry;
    bool is_in = true;
    SGC_TRY(sgc_memo_get(source->documents, supposed->id, sgc_stac_fetch_item, source, cancel,
                         &entry, NULL, err));
    const sgc_stac_item *item = sgc_memo_value(entry);
    const sgc_patch *patch = item->exists ? &item->patch : supposed;
    sgc_status status = SGC_OK;
    if (item->exists) {
        status = sgc_stac_times_in_step(&item->times, &source->definition->time, step, &is_in, err);
        if (status != SGC_OK)
            status = sgc_fail_in(err, status, "item %.200s", supposed->id);
    }
    if (status == SGC_OK && is_in && !sgc_rect_is_empty(sgc_rect_intersect(patch->rect, rect)))
        status = sgc_patch_list_add(list, patch, err);
    sgc_memo_release(source->documents, entry);
    return status;
}

static sgc_status find_in_index(sgc_stac_source *source, sgc_rect rect, size_t step,
                                const sgc_cancel *cancel, sgc_patch_list *list, sgc_error *err)
{
    sgc_memo_entry *entry;
    SGC_TRY(sgc_memo_get(source->indexes, source->index, load_index, source, cancel, &entry, NULL,
                         err));
    supposition supposed = {
        .list = {.band_count = list->band_count},
        .ids = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free),
    };
    sgc_status status = sgc_stac_index_select(sgc_memo_value(entry), rect, suppose, &supposed, err);
    sgc_memo_release(source->indexes, entry);
    if (status == SGC_OK && source->search != NULL)
        status = fetch_documents(source, &supposed.list, cancel, err);
    for (size_t i = 0; status == SGC_OK && i < supposed.list.count; i++)
        status = add_supposed(source, &supposed.list.patches[i], rect, step, cancel, list, err);
    sgc_patch_list_free(&supposed.list);
    CPLHashSetDestroy(supposed.ids);
    return status;
}

static sgc_status load_kept_index(void *user, const char *key, const sgc_cancel *cancel,
                                  void **value, double *seconds, sgc_error *err)
{
    const sgc_stac_source *source = user;
    sgc_stac_index *index = NULL;
    char *url;
    (void)cancel;
    SGC_TRY(sgc_config_expand(key, &url, err));
    const sgc_status status = sgc_stac_index_load_kept(url, source->index_member, source->id_column,
                                                       &source->definition->grid, &index, err);
    free(url);
    SGC_TRY(status);
    *value = index;
    *seconds = SGC_STAC_KEPT_S;
    return SGC_OK;
}

/* An index does not tell of which time step an item is. One that cannot be read is fetched anew
 * when something is loaded; until then it tells nothing. */
sgc_status sgc_stac_find_known(sgc_source *self, sgc_rect rect, size_t step, sgc_patch_list *out,
                               sgc_error *err)
{
    sgc_stac_source *source = (sgc_stac_source *)self;
    supposition known = {.list = {.band_count = source->definition->band_count}};
    sgc_memo_entry *entry;
    (void)step;
    if (source->index != NULL && source->definition->time.count == 0 &&
        sgc_memo_get(source->kept, source->index, load_kept_index, source, NULL, &entry, NULL,
                     NULL) == SGC_OK) {
        known.ids = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free);
        const sgc_status status =
            sgc_stac_index_select(sgc_memo_value(entry), rect, suppose, &known, err);
        sgc_memo_release(source->kept, entry);
        CPLHashSetDestroy(known.ids);
        if (status != SGC_OK) {
            sgc_patch_list_free(&known.list);
            return status;
        }
    }
    sgc_patch_list_sort(&known.list);
    *out = known.list;
    return SGC_OK;
}

/* ---- find: lattice ---- */

/* Which files the patches have is known when their items are. */
static sgc_status find_on_lattice(sgc_stac_source *source, sgc_rect rect, size_t step,
                                  const sgc_cancel *cancel, sgc_patch_list *out, sgc_error *err)
{
    SGC_TRY(source->lattice->find(source->lattice, rect, step, cancel, out, err));
    for (size_t i = 0; i < out->count; i++) {
        sgc_patch *patch = &out->patches[i];
        for (size_t b = 0; patch->hrefs != NULL && b < out->band_count; b++)
            free(patch->hrefs[b]);
        free(patch->hrefs);
        patch->hrefs = NULL;
    }
    return SGC_OK;
}

/* ---- find: search ---- */

typedef struct finding {
    sgc_stac_source *source;
    sgc_rect rect;
    size_t step;
    sgc_patch_list *list;
    char assets[256]; /* names of those of an item, quoted */
} finding;

static void list_assets(const cJSON *json, char list[256])
{
    const cJSON *asset;
    size_t length = 0;
    list[0] = '\0';
    cJSON_ArrayForEach(asset, sgc_stac_member(json, "assets"))
    {
        const size_t more = strlen(asset->string) + strlen(", \"\"");
        if (length + more < 256)
            length += (size_t)snprintf(list + length, 256 - length, "%s\"%s\"",
                                       length > 0 ? ", " : "", asset->string);
    }
}

/* A single item may lack an asset; where all lack all, the definition names none that exist. */
static sgc_status check_assets(const finding *f, sgc_error *err)
{
    const sgc_definition *d = f->source->definition;
    for (size_t i = 0; i < f->list->count; i++)
        if (sgc_patch_first_href(&f->list->patches[i], d->band_count) != NULL)
            return SGC_OK;
    return f->list->count == 0
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID,
                          "no item has an asset \"%s\", or that of another band: see \"asset\" in "
                          "/bands of the definition (they have %s)",
                          d->bands[0].asset, f->assets[0] != '\0' ? f->assets : "none");
}

static sgc_status take_item(void *user, const cJSON *json, const char *url, bool *wanted,
                            sgc_error *err)
{
    finding *f = user;
    const sgc_definition *d = f->source->definition;
    const sgc_stac_times times = sgc_stac_item_times(json);
    const char *id = NULL;
    bool is_in;
    SGC_TRY(sgc_stac_item_id(json, &id, err));
    const sgc_status timed = sgc_stac_times_in_step(&times, &d->time, f->step, &is_in, err);
    if (timed != SGC_OK)
        return sgc_fail_in(err, timed, "item %.200s", id);
    if (!is_in)
        return SGC_OK;
    sgc_patch patch;
    sgc_status status = sgc_stac_item_read(d, json, url, f->source->prefer_s3, &patch, err);
    SGC_TRY(status);
    sgc_stac_set_steps(&times, &d->time, &patch);
    *wanted = !sgc_rect_is_empty(sgc_rect_intersect(patch.rect, f->rect));
    if (*wanted)
        status = sgc_patch_list_add(f->list, &patch, err);
    list_assets(json, f->assets);
    sgc_patch_clear(&patch, d->band_count);
    return status;
}

/* Services find nothing in a collection that they do not have: the first empty answer makes us ask
 * for it. What else is said of it than that it does not exist is no failure. */
static sgc_status check_collection(sgc_stac_source *source, const sgc_cancel *cancel,
                                   sgc_error *err)
{
    int answered = 0;
    char *url = NULL;
    sgc_error ignored;
    sgc_http_response response = {0};
    if (source->search == NULL || atomic_load(&source->asked_for_collection))
        return SGC_OK;
    const int length = (int)(strlen(source->search) - strlen("search"));
    if (asprintf(&url, "%.*scollections/%s", length, source->search, source->collection) < 0)
        return sgc_fail_memory(err, strlen(source->search), "a URL");
    const sgc_http_request request = {.method = "GET", .url = url, .answered = &answered};
    if (sgc_http_perform(source->http, &request, cancel, &response, &ignored) == SGC_OK)
        sgc_http_response_clear(&response);
    free(url);
    if (answered == 404)
        return sgc_fail(err, SGC_INVALID,
                        "%s: /source/collection: the service has no collection \"%.200s\"",
                        source->definition->name, source->collection);
    if (answered != 0)
        atomic_store(&source->asked_for_collection, true);
    return SGC_OK;
}

static sgc_status find_by_search(finding *f, const sgc_cancel *cancel, sgc_error *err)
{
    sgc_stac_source *source = f->source;
    const sgc_definition *d = source->definition;
    cJSON *search = sgc_stac_search_new(source->collection, source->limit, source->query);
    if (search == NULL)
        return sgc_fail_memory(err, 0, "a search");
    sgc_status status = sgc_stac_search_set_area(search, &d->grid, f->rect, err);
    if (status == SGC_OK)
        status = sgc_stac_search_set_step(search, &d->time, f->step, err);
    if (status == SGC_OK)
        status =
            sgc_stac_search_run(source->http, source->search, search, cancel, take_item, f, err);
    cJSON_Delete(search);
    if (status == SGC_OK && f->list->count == 0)
        status = check_collection(source, cancel, err);
    return status == SGC_OK ? check_assets(f, err) : status;
}

/* ---- find ---- */

static sgc_status make_list(void *user, const char *key, const sgc_cancel *cancel, void **value,
                            double *seconds, sgc_error *err)
{
    finding *f = user;
    (void)key;
    f->list = calloc(1, sizeof *f->list);
    if (f->list == NULL)
        return sgc_fail_memory(err, sizeof *f->list, "patches");
    f->list->band_count = f->source->definition->band_count;
    const sgc_status status = f->source->index != NULL
                                  ? find_in_index(f->source, f->rect, f->step, cancel, f->list, err)
                                  : find_by_search(f, cancel, err);
    if (status != SGC_OK) {
        sgc_stac_list_free(f->list);
        return status;
    }
    sgc_patch_list_sort(f->list);
    *value = f->list;
    *seconds = f->list->count <= MOST_PATCHES ? SGC_STAC_KEPT_S : 0;
    return SGC_OK;
}

static sgc_status copy_list(const sgc_patch_list *from, size_t step, sgc_patch_list *out,
                            sgc_error *err)
{
    sgc_patch_list list = {.band_count = from->band_count};
    for (size_t i = 0; i < from->count; i++) {
        const sgc_status status = sgc_patch_list_add(&list, &from->patches[i], err);
        if (status != SGC_OK) {
            sgc_patch_list_free(&list);
            return status;
        }
        list.patches[i].step = step;
    }
    *out = list;
    return SGC_OK;
}

sgc_status sgc_stac_find(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                         sgc_patch_list *out, sgc_error *err)
{
    sgc_stac_source *source = (sgc_stac_source *)self;
    const sgc_grid *grid = &source->definition->grid;
    finding f = {
        .source = source,
        .rect = sgc_rect_intersect(rect, (sgc_rect){0, 0, grid->width, grid->height}),
        .step = step,
    };
    char key[128];
    sgc_memo_entry *entry;
    if (sgc_rect_is_empty(f.rect)) {
        *out = (sgc_patch_list){.band_count = source->definition->band_count};
        return SGC_OK;
    }
    if (source->lattice != NULL)
        return find_on_lattice(source, f.rect, step, cancel, out, err);
    snprintf(key, sizeof key, "%zu %lld %lld %lld %lld", step, (long long)f.rect.x,
             (long long)f.rect.y, (long long)f.rect.width, (long long)f.rect.height);
    sgc_status status =
        sgc_memo_get(source->searches, key, make_list, &f, cancel, &entry, NULL, err);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "searching for patches of %s", source->definition->id);
    status = copy_list(sgc_memo_value(entry), step, out, err);
    sgc_memo_release(source->searches, entry);
    return status;
}
