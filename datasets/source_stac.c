/* Items of a STAC catalogue whose assets are cloud-optimised GeoTIFFs (datasets guide 3).
 *
 * The patches of a rectangle come from a search of the API, from an index file, or from a tile
 * lattice that supposes ids; the last two fetch the documents of items by id, the lattice only when
 * a patch is read. */
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/raster_file.h"
#include "datasets/stac_href.h"
#include "datasets/stac_index.h"
#include "datasets/stac_json.h"
#include "datasets/stac_private.h"

enum {
    DEFAULT_LIMIT = 100,
    DEFAULT_REQUESTS = 4,
    MOST_SEARCHES = 64,
    MOST_ITEMS = 8192,
};

static void free_index(void *value)
{
    sgc_stac_index_free(value);
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
static sgc_status fetch_signed(sgc_stac_source *source, const char *href, const reading *r,
                               bool *stale, const sgc_cancel *cancel, sgc_error *err)
{
    sgc_signed_url url;
    SGC_TRY(sgc_signer_sign(source->signer, href, cancel, &url, err));
    const sgc_status status = sgc_raster_fetch(source->files, url.url, &r->window, r->pixels,
                                               r->valid, r->fetch, cancel, err);
    *stale = status == SGC_AUTH && url.token != NULL && !url.is_fresh;
    sgc_signer_release(source->signer, &url, *stale);
    return status;
}

static sgc_status fetch_pixels(sgc_stac_source *source, const char *href, const reading *r,
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
static sgc_status read_known(sgc_stac_source *source, const sgc_patch *patch, reading *r,
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
static sgc_status read_supposed(sgc_stac_source *source, const sgc_patch *patch, reading *r,
                                const sgc_cancel *cancel, sgc_error *err)
{
    sgc_memo_entry *entry;
    SGC_TRY(sgc_memo_get(source->documents, patch->id, sgc_stac_fetch_item, source, cancel, &entry,
                         NULL, err));
    const sgc_stac_item *item = sgc_memo_value(entry);
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
    sgc_stac_source *source = (sgc_stac_source *)self;
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
    sgc_stac_source *source = (sgc_stac_source *)self;
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

static sgc_status set_api(sgc_stac_source *source, const cJSON *json, const char *api,
                          sgc_error *err)
{
    const char *separator = api[strlen(api) - 1] == '/' ? "" : "/";
    source->collection = sgc_stac_text(json, "collection");
    if (asprintf(&source->search, "%s%ssearch", api, separator) >= 0)
        return SGC_OK;
    source->search = NULL;
    return sgc_fail_memory(err, strlen(api), "a URL");
}

/* A source of tiles that is asked for their ids and places only. */
static sgc_status set_lattice(sgc_stac_source *source, const cJSON *json, sgc_error *err)
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
static sgc_status set_items(sgc_stac_source *source, const cJSON *json,
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
static sgc_status set_index(sgc_stac_source *source, const cJSON *json,
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

static sgc_status set_client(sgc_stac_source *source, const cJSON *json,
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
    SGC_TRY(sgc_memo_new(MOST_SEARCHES, sgc_stac_list_free, &source->searches, err));
    SGC_TRY(sgc_memo_new(MOST_ITEMS, sgc_stac_item_free, &source->documents, err));
    SGC_TRY(sgc_memo_new(1, free_index, &source->indexes, err));
    return sgc_memo_new(1, free_index, &source->kept, err);
}

static sgc_status set_all(sgc_stac_source *source, const cJSON *json,
                          const sgc_source_options *options, sgc_error *err)
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
    sgc_stac_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    source->base = (sgc_source){.find = sgc_stac_find,
                                .find_known = sgc_stac_find_known,
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
