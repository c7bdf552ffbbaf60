/* Items of a STAC catalogue whose assets are cloud-optimised GeoTIFFs (datasets guide 3).
 *
 * The patches of a rectangle come from a search of the API, from an index file, or from a tile
 * lattice that supposes ids; the last two fetch the documents of items by id, the lattice only when
 * a patch is read. */
#include <cpl_hash_set.h>
#include <cpl_string.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/memo.h"
#include "datasets/raster_file.h"
#include "datasets/stac_href.h"
#include "datasets/stac_index.h"
#include "datasets/stac_items.h"
#include "datasets/stac_json.h"
#include "datasets/stac_search.h"
#include "datasets/stac_sign.h"
#include "datasets/template.h"

enum {
    DEFAULT_LIMIT = 100,
    DEFAULT_REQUESTS = 4,
    MOST_SEARCHES = 64,
    MOST_PATCHES = 2000, /* of a search that is remembered */
    MOST_ITEMS = 8192,
    KEPT_S = 300,        /* how long an answer is believed */
    INDEX_KEPT_S = 3600, /* before its ETag is asked for again */
};

typedef struct stac_source {
    sgc_source base;
    const sgc_definition *definition;
    char *search;        /* URL, or NULL */
    sgc_template *items; /* URL of the document of an item, or NULL */
    const char *collection;
    const cJSON *query;
    int limit;
    bool prefer_s3;
    sgc_source *lattice; /* supposes tiles, or NULL */
    cJSON *lattice_json; /* its definition */
    char *index;         /* URL, or NULL */
    const char *index_member, *id_column;
    sgc_http *http;
    sgc_remote_files *files;
    sgc_signer *signer;  /* NULL: addresses are good as they are */
    sgc_memo *searches;  /* sgc_patch_list by rectangle and step */
    sgc_memo *documents; /* stac_item by id */
    sgc_memo *indexes;   /* sgc_stac_index, one */
    sgc_memo *kept;      /* likewise, as it was last time */
    atomic_bool asked_for_collection;
} stac_source;

/* What the service has said about an id. */
typedef struct stac_item {
    bool exists;
    sgc_patch patch;
    sgc_stac_times times;
    size_t band_count;
} stac_item;

static void free_item(void *value)
{
    stac_item *item = value;
    sgc_patch_clear(&item->patch, item->band_count);
    free(item);
}

static void free_list(void *value)
{
    sgc_patch_list_free(value);
    free(value);
}

static void free_index(void *value)
{
    sgc_stac_index_free(value);
}

/* ---- the documents of items ---- */

/* Gives what `json` (NULL: there is no such item), found at `url`, says. */
static sgc_status new_item(const stac_source *source, const cJSON *json, const char *url,
                           stac_item **out, sgc_error *err)
{
    stac_item *item = calloc(1, sizeof *item);
    if (item == NULL)
        return sgc_fail_memory(err, sizeof *item, "an item");
    item->band_count = source->definition->band_count;
    item->exists = json != NULL;
    if (json != NULL) {
        const sgc_status status =
            sgc_stac_item_read(source->definition, json, url, source->prefer_s3, &item->patch, err);
        if (status != SGC_OK) {
            free_item(item);
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

static sgc_status item_url(const stac_source *source, const char *id, char **url, sgc_error *err)
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

static sgc_status fetch_item(void *user, const char *key, const sgc_cancel *cancel, void **value,
                             double *seconds, sgc_error *err)
{
    const stac_source *source = user;
    char *url;
    cJSON *json = NULL;
    stac_item *item = NULL;
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
    *seconds = KEPT_S;
    return SGC_OK;
}

/* A search by ids. */
typedef struct id_search {
    const stac_source *source;
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
    stac_item *item = NULL;
    SGC_TRY(new_item(search->source, json, url, &item, err));
    char *id = strdup(item->patch.id);
    *wanted = is_asked_for(search, item->patch.id);
    sgc_memo_put(search->source->documents, item->patch.id, item, KEPT_S);
    if (id == NULL)
        return sgc_fail_memory(err, 0, "an id");
    CPLHashSetInsert(search->found, id);
    return SGC_OK;
}

/* Asks for up to `limit` ids in one search; those that do not come do not exist. */
static sgc_status fetch_ids(stac_source *source, char **ids, int count, const sgc_cancel *cancel,
                            sgc_error *err)
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
        stac_item *absent = NULL;
        if (CPLHashSetLookup(by_ids.found, ids[i]) != NULL)
            continue;
        status = new_item(source, NULL, NULL, &absent, err);
        if (status == SGC_OK)
            sgc_memo_put(source->documents, ids[i], absent, KEPT_S);
    }
    CPLHashSetDestroy(by_ids.found);
    return status;
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
    const stac_source *source = user;
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
static sgc_status fetch_documents(stac_source *source, const sgc_patch_list *supposed,
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
            status = fetch_ids(source, ids, count, cancel, err);
            count = 0;
        }
    }
    free(ids);
    return status;
}

/* Adds the item behind a supposed patch to the list when it meets `rect`; the supposed one itself
 * when there is none, so that reading it tells. */
static sgc_status add_supposed(stac_source *source, const sgc_patch *supposed, sgc_rect rect,
                               size_t step, const sgc_cancel *cancel, sgc_patch_list *list,
                               sgc_error *err)
{
    sgc_memo_entry *entry;
    bool is_in = true;
    SGC_TRY(sgc_memo_get(source->documents, supposed->id, fetch_item, source, cancel, &entry, NULL,
                         err));
    const stac_item *item = sgc_memo_value(entry);
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

static sgc_status find_in_index(stac_source *source, sgc_rect rect, size_t step,
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
    const stac_source *source = user;
    sgc_stac_index *index = NULL;
    char *url;
    (void)cancel;
    SGC_TRY(sgc_config_expand(key, &url, err));
    const sgc_status status = sgc_stac_index_load_kept(url, source->index_member, source->id_column,
                                                       &source->definition->grid, &index, err);
    free(url);
    SGC_TRY(status);
    *value = index;
    *seconds = KEPT_S;
    return SGC_OK;
}

/* An index does not tell of which time step an item is. One that cannot be read is fetched anew
 * when something is loaded; until then it tells nothing. */
static sgc_status stac_find_known(sgc_source *self, sgc_rect rect, size_t step, sgc_patch_list *out,
                                  sgc_error *err)
{
    stac_source *source = (stac_source *)self;
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
static sgc_status find_on_lattice(stac_source *source, sgc_rect rect, size_t step,
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
    stac_source *source;
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
static sgc_status check_collection(stac_source *source, const sgc_cancel *cancel, sgc_error *err)
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
    stac_source *source = f->source;
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
        free_list(f->list);
        return status;
    }
    sgc_patch_list_sort(f->list);
    *value = f->list;
    *seconds = f->list->count <= MOST_PATCHES ? KEPT_S : 0;
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

static sgc_status stac_find(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                            sgc_patch_list *out, sgc_error *err)
{
    stac_source *source = (stac_source *)self;
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

/* ---- read ---- */

/* Where and how the pixels of one read are wanted. */
typedef struct reading {
    sgc_raster_window window;
    void *pixels;
    uint8_t *valid;
    sgc_fetch *fetch;
} reading;

/* One attempt with a token; `*stale` when it was refused and had been kept from before. */
static sgc_status fetch_signed(stac_source *source, const char *href, const reading *r, bool *stale,
                               const sgc_cancel *cancel, sgc_error *err)
{
    sgc_signed_url url;
    SGC_TRY(sgc_signer_sign(source->signer, href, cancel, &url, err));
    const sgc_status status = sgc_raster_fetch(source->files, url.url, &r->window, r->pixels,
                                               r->valid, r->fetch, cancel, err);
    *stale = status == SGC_AUTH && url.token != NULL && !url.is_fresh;
    sgc_signer_release(source->signer, &url, *stale);
    return status;
}

static sgc_status fetch_pixels(stac_source *source, const char *href, const reading *r,
                               const sgc_cancel *cancel, sgc_error *err)
{
    if (source->signer == NULL)
        return sgc_raster_fetch(source->files, href, &r->window, r->pixels, r->valid, r->fetch,
                                cancel, err);
    bool stale = false;
    sgc_status status = fetch_signed(source, href, r, &stale, cancel, err);
    if (stale)
        status = fetch_signed(source, href, r, &stale, cancel, err);
    return status;
}

/* Reads from a patch whose item is known. */
static sgc_status read_known(stac_source *source, const sgc_patch *patch, reading *r,
                             const sgc_cancel *cancel, sgc_error *err)
{
    const size_t band = r->window.band;
    if (patch->hrefs[band] == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "patch %s has no asset \"%s\"", patch->id,
                        source->definition->bands[band].asset);
    r->window.patch = patch;
    r->window.any_place = patch->has_own_grid;
    r->window.home = patch->rect;
    r->window.home_name = "its item";
    r->window.crs = source->definition->crs;
    const sgc_status status = fetch_pixels(source, patch->hrefs[band], r, cancel, err);
    /* The item promised the file: its absence is an error, not "no data" (architecture 6.2). */
    return status == SGC_NOT_FOUND ? SGC_NETWORK : status;
}

/* Reads from a patch that a lattice or an index supposed. */
static sgc_status read_supposed(stac_source *source, const sgc_patch *patch, reading *r,
                                const sgc_cancel *cancel, sgc_error *err)
{
    sgc_memo_entry *entry;
    SGC_TRY(
        sgc_memo_get(source->documents, patch->id, fetch_item, source, cancel, &entry, NULL, err));
    const stac_item *item = sgc_memo_value(entry);
    sgc_status status;
    if (!item->exists && source->lattice == NULL)
        status = sgc_fail(err, SGC_NETWORK,
                          "the index has item %s, but the service does not: see \"index\" in "
                          "/source of the definition, and its \"id_column\"",
                          patch->id);
    else if (!item->exists)
        status = sgc_fail(err, SGC_NOT_FOUND, "there is no item %s", patch->id);
    else if (source->lattice != NULL && !sgc_rect_contains(patch->rect, item->patch.rect))
        status = sgc_fail(err, SGC_INVALID,
                          "patch %s: its item reaches beyond its tile: see \"buffer\" and \"tile\" "
                          "in /source of the definition",
                          patch->id);
    else
        status = read_known(source, &item->patch, r, cancel, err);
    const char *href = item->exists ? item->patch.hrefs[r->window.band] : NULL;
    if (href != NULL)
        sgc_http_redact(href, r->fetch->href, sizeof r->fetch->href);
    sgc_memo_release(source->documents, entry);
    return status;
}

static sgc_status stac_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                            size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                            uint8_t *const *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                            sgc_error *err)
{
    stac_source *source = (stac_source *)self;
    reading r = {
        .window = {.definition = source->definition,
                   .band = bands[0],
                   .factor = factor,
                   .rect = rect},
        .pixels = pixels[0],
        .valid = valid[0],
        .fetch = fetch,
    };
    (void)count;
    *fetch = (sgc_fetch){0};
    return patch->hrefs != NULL ? read_known(source, patch, &r, cancel, err)
                                : read_supposed(source, patch, &r, cancel, err);
}

/* ---- construction ---- */

static void stac_free(sgc_source *self)
{
    stac_source *source = (stac_source *)self;
    sgc_memo_free(source->searches);
    sgc_memo_free(source->documents);
    sgc_memo_free(source->indexes);
    sgc_memo_free(source->kept);
    sgc_source_free(source->lattice);
    cJSON_Delete(source->lattice_json);
    sgc_signer_free(source->signer);
    sgc_remote_files_free(source->files);
    sgc_http_free(source->http);
    sgc_template_free(source->items);
    free(source->search);
    free(source->index);
    free(source);
}

static sgc_status check_endpoint(const sgc_definition *definition, const char *url, sgc_error *err)
{
    if (!EQUALN(url, "http://", 7) && !EQUALN(url, "https://", 8))
        return sgc_fail(err, SGC_INVALID,
                        "the endpoint of %s must be an http or https URL, like "
                        "https://host/api/v1/",
                        definition->id);
    if (strpbrk(url, "?#") != NULL)
        return sgc_fail(err, SGC_INVALID, "the endpoint of %s must be a URL without query",
                        definition->id);
    return SGC_OK;
}

/* The URL of a file of the service, at the user's endpoint if there is one. */
static sgc_status place_url(const cJSON *json, const sgc_source_options *options, const char *url,
                            char **out, sgc_error *err)
{
    if (options->url != NULL && strstr(url, "{config:") != NULL &&
        !sgc_http_is_trusted(options->url))
        return sgc_fail(err, SGC_AUTH,
                        "the secret in a URL of /source is not sent to another endpoint: name its "
                        "host in SGC_TRUSTED_HOSTS if you trust it");
    if (options->url != NULL)
        return sgc_href_rebase(url, sgc_stac_text(json, "api"), options->url, out, err);
    *out = strdup(url);
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(url), "a URL");
}

static sgc_status set_api(stac_source *source, const cJSON *json, const char *api, sgc_error *err)
{
    const char *separator = api[strlen(api) - 1] == '/' ? "" : "/";
    source->collection = sgc_stac_text(json, "collection");
    if (asprintf(&source->search, "%s%ssearch", api, separator) >= 0)
        return SGC_OK;
    source->search = NULL;
    return sgc_fail_memory(err, strlen(api), "a URL");
}

/* A source of tiles that is asked for their ids and places only. */
static sgc_status set_lattice(stac_source *source, const cJSON *json, sgc_error *err)
{
    static const char *const keys[] = {"tile", "id", "buffer"};
    static const sgc_source_options options = {0};
    sgc_template *id;
    if (sgc_stac_member(json, "tile") == NULL)
        return SGC_OK;
    SGC_TRY(sgc_template_new(sgc_stac_text(json, "id"), &id, err));
    const bool has_time = (sgc_template_fields(id) & SGC_FIELDS_TIME) != 0;
    sgc_template_free(id);
    if (source->definition->time.count > 0 && !has_time)
        return sgc_fail(err, SGC_INVALID, "%s: /source/id: does not use the time, like {t_year}",
                        source->definition->id);
    source->lattice_json = cJSON_CreateObject();
    cJSON_AddStringToObject(source->lattice_json, "href", "https://item/{id}");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (sgc_stac_member(json, keys[i]) != NULL)
            cJSON_AddItemToObject(source->lattice_json, keys[i],
                                  cJSON_Duplicate(sgc_stac_member(json, keys[i]), 1));
    source->base.finds_alone = true;
    return sgc_source_tiles_new(source->definition, source->lattice_json, &options,
                                &source->lattice, err);
}

/* How the document of an item is found: as the definition says, or as APIs have it. */
static sgc_status set_items(stac_source *source, const cJSON *json,
                            const sgc_source_options *options, sgc_error *err)
{
    const char *items = sgc_stac_text(json, "items");
    char *url = NULL;
    if (items != NULL) {
        SGC_TRY(place_url(json, options, items, &url, err));
    } else {
        const int length = (int)(strlen(source->search) - strlen("search"));
        if (asprintf(&url, "%.*scollections/%s/items/{id}", length, source->search,
                     source->collection) < 0)
            return sgc_fail_memory(err, strlen(source->search), "a URL");
    }
    sgc_status status = sgc_template_new(url, &source->items, err);
    if (status == SGC_OK && sgc_template_fields(source->items) != SGC_FIELD_ID)
        status = sgc_fail(err, SGC_INVALID, "it must have the place {id} and no other");
    status = status == SGC_OK
                 ? set_lattice(source, json, err)
                 : sgc_fail_in(err, status, "%s: /source/items", source->definition->name);
    free(url);
    return status;
}

/* Without a driver for the index, the API tells the same, and only the API knows queries. */
static sgc_status set_index(stac_source *source, const cJSON *json,
                            const sgc_source_options *options, sgc_error *err)
{
    const cJSON *index = sgc_stac_member(json, "index");
    if (index == NULL)
        return SGC_OK;
    const char *href = sgc_stac_text(index, "href");
    source->index_member = sgc_stac_text(index, "member");
    source->id_column = sgc_stac_text(index, "id_column");
    if (source->id_column == NULL)
        source->id_column = "id";
    const char *name = source->index_member != NULL ? source->index_member : href;
    if (source->search != NULL && (source->query != NULL || !sgc_stac_index_is_readable(name)))
        return SGC_OK;
    return place_url(json, options, href, &source->index, err);
}

static sgc_status set_client(stac_source *source, const cJSON *json,
                             const sgc_source_options *options, sgc_error *err)
{
    const char *sign = sgc_stac_text(json, "sign");
    SGC_TRY(sgc_source_new_client(json, options, DEFAULT_REQUESTS, &source->http,
                                  &source->base.max_requests, err));
    SGC_TRY(sgc_remote_files_new(source->http, &source->files, err));
    const bool signs = sign != NULL && strcmp(sign, "none") != 0;
    if (signs && sgc_stac_text(json, "collection") == NULL)
        return sgc_fail(err, SGC_INVALID, "%s: /source/collection: its token is asked for",
                        source->definition->id);
    if (signs)
        SGC_TRY(
            sgc_signer_new(source->http, sgc_stac_text(json, "collection"), &source->signer, err));
    SGC_TRY(sgc_memo_new(MOST_SEARCHES, free_list, &source->searches, err));
    SGC_TRY(sgc_memo_new(MOST_ITEMS, free_item, &source->documents, err));
    SGC_TRY(sgc_memo_new(1, free_index, &source->indexes, err));
    return sgc_memo_new(1, free_index, &source->kept, err);
}

static sgc_status set_all(stac_source *source, const cJSON *json, const sgc_source_options *options,
                          sgc_error *err)
{
    const char *api = sgc_stac_text(json, "api"), *href = sgc_stac_text(json, "href");
    source->query = sgc_stac_member(json, "query");
    source->prefer_s3 = href != NULL && strcmp(href, "s3") == 0;
    source->limit = sgc_source_number(json, "limit", 1, DEFAULT_LIMIT);
    if (options->url != NULL)
        SGC_TRY(check_endpoint(source->definition, options->url, err));
    if (api != NULL && sgc_stac_text(json, "collection") != NULL) {
        SGC_TRY(check_endpoint(source->definition, api, err));
        SGC_TRY(set_api(source, json, options->url != NULL ? options->url : api, err));
    }
    if (source->query != NULL && (source->search == NULL || sgc_stac_member(json, "tile") != NULL))
        return sgc_fail(err, SGC_INVALID,
                        "%s: /source/query: goes with a search of the API, not with tiles or items",
                        source->definition->id);
    SGC_TRY(set_items(source, json, options, err));
    SGC_TRY(set_index(source, json, options, err));
    return set_client(source, json, options, err);
}

sgc_status sgc_source_stac_new(const sgc_definition *definition, const cJSON *json,
                               const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    stac_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    source->base = (sgc_source){.find = stac_find,
                                .find_known = stac_find_known,
                                .read = stac_read,
                                .free = stac_free,
                                .has_levels = true};
    source->definition = definition;
    const sgc_status status = set_all(source, json, options, err);
    if (status != SGC_OK) {
        stac_free(&source->base);
        return status;
    }
    *out = &source->base;
    return SGC_OK;
}
