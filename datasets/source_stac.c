/* Items of a STAC API whose assets are cloud-optimised GeoTIFFs (datasets guide 3). */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <gdal.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/raster_file.h"

enum { DEFAULT_LIMIT = 100, DEFAULT_REQUESTS = 4, MOST_PAGES = 10000 };

enum { LARGEST_PAGE = 64 * 1024 * 1024 };

const char *const sgc_source_stac_keys[] = {"api", "collection", "limit", "href", NULL};

typedef struct stac_source {
    sgc_source base;
    const sgc_definition *definition;
    char *search;    /* URL */
    char shown[256]; /* the same without secrets, for messages */
    const char *collection;
    int limit;
    sgc_http *http;
    sgc_remote_files *files;
} stac_source;

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(member(object, key));
}

static int number_of(const cJSON *object, const char *key, int otherwise)
{
    const cJSON *item = member(object, key);
    return cJSON_IsNumber(item) && item->valueint > 0 ? item->valueint : otherwise;
}

/* ---- search ---- */

static cJSON *ring(double west, double south, double east, double north)
{
    const double x[] = {west, east, east, west, west}, y[] = {south, south, north, north, south};
    cJSON *points = cJSON_CreateArray();
    for (int i = 0; i < 5; i++)
        cJSON_AddItemToArray(points, cJSON_CreateDoubleArray((const double[]){x[i], y[i]}, 2));
    cJSON *rings = cJSON_CreateArray();
    cJSON_AddItemToArray(rings, points);
    return rings;
}

/* The rectangle around a place in degrees. Footprints of items are drawn with straight edges
 * between their corners, which cut up to some kilometres off the true outline, so the area is
 * widened; what does not meet the wanted pixels is dropped by its own grid afterwards. */
static cJSON *search_area(const double bounds[4])
{
    enum { METRES_PER_DEGREE = 111000, WIDENING = 5000 };
    const double margin = (double)WIDENING / METRES_PER_DEGREE;
    const double south = fmax(bounds[1] - margin, -90), north = fmin(bounds[3] + margin, 90);
    const double nearest_pole = fmax(fabs(south), fabs(north)) * M_PI / 180;
    const double shrink = fmax(cos(nearest_pole), 1e-6);
    double west = bounds[0] - margin / shrink, east = bounds[2] + margin / shrink;
    const double width = east - west + (bounds[0] > bounds[2] ? 360 : 0);
    cJSON *area = cJSON_CreateObject();
    if (width >= 360) {
        west = -180;
        east = 180;
    } else {
        if (west < -180)
            west += 360;
        if (east > 180)
            east -= 360;
    }
    if (west <= east) {
        cJSON_AddStringToObject(area, "type", "Polygon");
        cJSON_AddItemToObject(area, "coordinates", ring(west, south, east, north));
    } else {
        cJSON *polygons = cJSON_AddArrayToObject(area, "coordinates");
        cJSON_AddStringToObject(area, "type", "MultiPolygon");
        cJSON_AddItemToArray(polygons, ring(west, south, 180, north));
        cJSON_AddItemToArray(polygons, ring(-180, south, east, north));
    }
    return area;
}

static sgc_status search_body(const stac_source *source, sgc_rect rect, cJSON **body,
                              sgc_error *err)
{
    double bounds[4];
    SGC_TRY(sgc_grid_lonlat_bounds(&source->definition->grid, rect, bounds, err));
    cJSON *result = cJSON_CreateObject();
    cJSON *collections = cJSON_AddArrayToObject(result, "collections");
    cJSON_AddItemToArray(collections, cJSON_CreateString(source->collection));
    cJSON_AddItemToObject(result, "intersects", search_area(bounds));
    if (cJSON_AddNumberToObject(result, "limit", source->limit) == NULL) {
        cJSON_Delete(result);
        return sgc_fail_memory(err, 0, "a search");
    }
    *body = result;
    return SGC_OK;
}

/* One page: a request with `body` (NULL for GET) to `url`. */
static sgc_status fetch_page(const stac_source *source, const char *url, const cJSON *body,
                             const sgc_cancel *cancel, cJSON **page, sgc_error *err)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/geo+json, application/json", NULL};
    char *text = body != NULL ? cJSON_PrintUnformatted(body) : NULL;
    if (body != NULL && text == NULL)
        return sgc_fail_memory(err, 0, "a search");
    const sgc_http_request request = {
        .method = body != NULL ? "POST" : "GET",
        .url = url,
        .headers = body != NULL ? headers : headers + 1,
        .body = text,
        .body_size = text != NULL ? strlen(text) : 0,
        .max_size = LARGEST_PAGE,
    };
    sgc_http_response response = {0};
    const sgc_status status = sgc_http_perform(source->http, &request, cancel, &response, err);
    cJSON_free(text);
    SGC_TRY(status);
    cJSON *json = cJSON_ParseWithLength((const char *)response.data, response.size);
    sgc_http_response_clear(&response);
    if (cJSON_IsArray(member(json, "features"))) {
        *page = json;
        return SGC_OK;
    }
    cJSON_Delete(json);
    return sgc_fail(err, SGC_CORRUPT,
                    "%s answered a search with something that is no list of items", source->shown);
}

/* The link to the next page, or NULL (datasets guide 3.1). */
static const cJSON *next_link(const cJSON *page)
{
    const cJSON *link;
    cJSON_ArrayForEach(link, member(page, "links"))
    {
        const char *rel = text_of(link, "rel");
        if (rel != NULL && strcmp(rel, "next") == 0 && text_of(link, "href") != NULL)
            return link;
    }
    return NULL;
}

/* The body that asks for the next page: the link's, merged over the last one only if it says so. */
static cJSON *next_body(const cJSON *link, const cJSON *last)
{
    const cJSON *body = member(link, "body");
    if (!cJSON_IsTrue(member(link, "merge")))
        return cJSON_Duplicate(body != NULL ? body : last, 1);
    cJSON *merged = cJSON_Duplicate(last, 1);
    const cJSON *item;
    cJSON_ArrayForEach(item, body)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(merged, item->string);
        cJSON_AddItemToObject(merged, item->string, cJSON_Duplicate(item, 1));
    }
    return merged;
}

/* ---- items ---- */

/* The item's grid as pixels of the cube's grid; SGC_UNSUPPORTED unless they are the same pixels. */
static sgc_status item_rect(const stac_source *source, const cJSON *properties, const cJSON *asset,
                            const char *id, sgc_rect *rect, sgc_error *err)
{
    const cJSON *shape = member(asset, "proj:shape"), *transform = member(asset, "proj:transform");
    if (shape == NULL)
        shape = member(properties, "proj:shape");
    if (transform == NULL)
        transform = member(properties, "proj:transform");
    const int n = cJSON_GetArraySize(transform);
    if (cJSON_GetArraySize(shape) != 2 || (n != 6 && n != 9))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "item %s has no proj:shape and proj:transform: its pixels are unknown", id);
    double t[6], s[2];
    for (int i = 0; i < 6; i++)
        t[i] = cJSON_GetArrayItem(transform, i)->valuedouble;
    for (int i = 0; i < 2; i++)
        s[i] = cJSON_GetArrayItem(shape, i)->valuedouble;
    const double *g = source->definition->grid.transform;
    const double column = (t[2] - g[0]) / g[1], row = (t[5] - g[3]) / g[5];
    if (fabs(t[0] / g[1] - 1) > 1e-9 || fabs(t[4] / g[5] - 1) > 1e-9 || t[1] != 0 || t[3] != 0 ||
        fabs(column - nearbyint(column)) > 0.01 || fabs(row - nearbyint(row)) > 0.01 ||
        !(fabs(column) < INT32_MAX && fabs(row) < INT32_MAX))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "item %s has other pixels than the cube; this build does not resample", id);
    if (!(s[0] >= 1 && s[1] >= 1 && s[0] <= INT32_MAX && s[1] <= INT32_MAX))
        return sgc_fail(err, SGC_CORRUPT, "item %s: bad proj:shape", id);
    *rect = (sgc_rect){(int64_t)nearbyint(column), (int64_t)nearbyint(row), (int64_t)s[1],
                       (int64_t)s[0]};
    return SGC_OK;
}

static sgc_status check_item_crs(const stac_source *source, const cJSON *properties, const char *id,
                                 sgc_error *err)
{
    char text[32];
    const char *code = text_of(properties, "proj:code");
    const cJSON *epsg = member(properties, "proj:epsg");
    if (code == NULL && cJSON_IsNumber(epsg)) {
        snprintf(text, sizeof text, "EPSG:%d", epsg->valueint);
        code = text;
    }
    if (code == NULL || EQUAL(code, source->definition->crs))
        return SGC_OK;
    return sgc_fail(err, SGC_UNSUPPORTED,
                    "item %s is in %.32s, the cube in %.32s; this build does "
                    "not reproject",
                    id, code, source->definition->crs);
}

static sgc_status copy_hrefs(const stac_source *source, const cJSON *assets, sgc_patch *patch,
                             sgc_error *err)
{
    const sgc_definition *d = source->definition;
    patch->hrefs = calloc(d->band_count, sizeof *patch->hrefs);
    if (patch->hrefs == NULL)
        return sgc_fail_memory(err, d->band_count * sizeof *patch->hrefs, "a patch");
    for (size_t b = 0; b < d->band_count; b++) {
        const cJSON *asset = member(assets, d->bands[b].asset);
        const char *href = text_of(asset, "href");
        if (asset != NULL && href == NULL)
            return sgc_fail(err, SGC_CORRUPT, "item %s: its asset \"%s\" has no href", patch->id,
                            d->bands[b].asset);
        if (href != NULL && (patch->hrefs[b] = strdup(href)) == NULL)
            return sgc_fail_memory(err, strlen(href), "a patch");
    }
    return SGC_OK;
}

/* Appends the item to the list when its pixels meet `rect`. */
static sgc_status add_item(const stac_source *source, const cJSON *item, sgc_rect rect,
                           sgc_patch_list *list, sgc_error *err)
{
    const char *id = text_of(item, "id");
    const cJSON *properties = member(item, "properties"), *assets = member(item, "assets");
    if (id == NULL || *id == '\0' || !cJSON_IsObject(assets))
        return sgc_fail(err, SGC_CORRUPT, "%s answered with an item without id or assets",
                        source->shown);
    SGC_TRY(check_item_crs(source, properties, id, err));
    sgc_rect extent;
    SGC_TRY(item_rect(source, properties, member(assets, source->definition->bands[0].asset), id,
                      &extent, err));
    if (sgc_rect_is_empty(sgc_rect_intersect(extent, rect)))
        return SGC_OK;
    sgc_patch *patches = realloc(list->patches, (list->count + 1) * sizeof *patches);
    if (patches == NULL)
        return sgc_fail_memory(err, (list->count + 1) * sizeof *patches, "patches");
    list->patches = patches;
    sgc_patch *patch = &patches[list->count++];
    *patch = (sgc_patch){.id = strdup(id), .rect = extent};
    if (patch->id == NULL)
        return sgc_fail_memory(err, strlen(id), "a patch");
    return copy_hrefs(source, assets, patch, err);
}

static sgc_status add_page(const stac_source *source, const cJSON *page, sgc_rect rect,
                           sgc_patch_list *list, sgc_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, member(page, "features"))
        SGC_TRY(add_item(source, item, rect, list, err));
    return SGC_OK;
}

static bool same_request(const cJSON *link, const char *url, const cJSON *next, const cJSON *body)
{
    return strcmp(text_of(link, "href"), url) == 0 && cJSON_Compare(next, body, 1);
}

/* Follows the pages from the first one on; takes `body`. */
static sgc_status search_pages(const stac_source *source, cJSON *body, sgc_rect rect,
                               const sgc_cancel *cancel, sgc_patch_list *list, sgc_error *err)
{
    sgc_status status = SGC_OK;
    char *url = strdup(source->search);
    cJSON *page = NULL;
    for (int pages = 0; status == SGC_OK && url != NULL; pages++) {
        cJSON_Delete(page);
        page = NULL;
        status = pages < MOST_PAGES
                     ? fetch_page(source, url, body, cancel, &page, err)
                     : sgc_fail(err, SGC_CORRUPT, "%s answers with endless pages", source->shown);
        if (status == SGC_OK)
            status = add_page(source, page, rect, list, err);
        if (status != SGC_OK)
            break;
        const cJSON *link = next_link(page);
        if (link == NULL || cJSON_GetArraySize(member(page, "features")) == 0)
            break;
        const char *method = text_of(link, "method");
        cJSON *next = method != NULL && EQUAL(method, "POST") ? next_body(link, body) : NULL;
        if (same_request(link, url, next, body)) {
            cJSON_Delete(next);
            break;
        }
        cJSON_Delete(body);
        body = next;
        free(url);
        url = strdup(text_of(link, "href"));
    }
    if (status == SGC_OK && url == NULL)
        status = sgc_fail_memory(err, 0, "a search");
    cJSON_Delete(page);
    cJSON_Delete(body);
    free(url);
    return status;
}

static sgc_status stac_find(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                            sgc_patch_list *out, sgc_error *err)
{
    (void)step;
    stac_source *source = (stac_source *)self;
    cJSON *body = NULL;
    SGC_TRY(search_body(source, rect, &body, err));
    sgc_patch_list list = {.band_count = source->definition->band_count};
    const sgc_status status = search_pages(source, body, rect, cancel, &list, err);
    if (status != SGC_OK) {
        sgc_patch_list_free(&list);
        return sgc_fail_in(err, status, "searching for patches of %s", source->definition->id);
    }
    sgc_patch_list_sort(&list);
    *out = list;
    return SGC_OK;
}

static sgc_status stac_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                            size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                            uint8_t *const *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                            sgc_error *err)
{
    stac_source *source = (stac_source *)self;
    const sgc_raster_window window = {.definition = source->definition,
                                      .band = bands[0],
                                      .factor = factor,
                                      .rect = rect,
                                      .patch = patch};
    const char *href = patch->hrefs[bands[0]];
    (void)count;
    *fetch = (sgc_fetch){0};
    if (factor != 1)
        return sgc_fail(err, SGC_UNSUPPORTED, "this source has full resolution only");
    if (href == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "patch %s has no asset \"%s\"", patch->id,
                        source->definition->bands[bands[0]].asset);
    const sgc_status status =
        sgc_raster_fetch(source->files, href, &window, pixels[0], valid[0], fetch, cancel, err);
    /* The item promised the file: its absence is an error, not "no data" (architecture 6.2). */
    return status == SGC_NOT_FOUND ? SGC_NETWORK : status;
}

static void stac_free(sgc_source *self)
{
    stac_source *source = (stac_source *)self;
    sgc_remote_files_free(source->files);
    sgc_http_free(source->http);
    free(source->search);
    free(source);
}

sgc_status sgc_source_stac_new(const sgc_definition *definition, const cJSON *json,
                               const sgc_source_options *options, sgc_source **out, sgc_error *err)
{
    const char *api = options->url != NULL ? options->url : text_of(json, "api");
    const char *collection = text_of(json, "collection");
    if (api == NULL || collection == NULL)
        return sgc_fail(err, SGC_INVALID, "%s: /source: kind \"stac\" needs api and collection",
                        definition->id);
    if (!EQUALN(api, "http://", 7) && !EQUALN(api, "https://", 8))
        return sgc_fail(err, SGC_INVALID,
                        "the endpoint of %s must be an http or https URL, like "
                        "https://host/api/v1/",
                        definition->id);
    if (strpbrk(api, "?#") != NULL)
        return sgc_fail(err, SGC_INVALID, "the endpoint of %s must be a URL without query",
                        definition->id);
    stac_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    source->base = (sgc_source){.find = stac_find, .read = stac_read, .free = stac_free};
    source->definition = definition;
    source->collection = collection;
    sgc_http_redact(api, source->shown, sizeof source->shown);
    source->limit = number_of(json, "limit", DEFAULT_LIMIT);
    const size_t length = strlen(api);
    sgc_status status = SGC_OK;
    if (asprintf(&source->search, "%s%ssearch", api, api[length - 1] == '/' ? "" : "/") < 0) {
        source->search = NULL;
        status = sgc_fail_memory(err, length, "a URL");
    }
    if (status == SGC_OK)
        status = sgc_source_new_client(json, options, DEFAULT_REQUESTS, &source->http,
                                       &source->base.max_requests, err);
    if (status == SGC_OK)
        status = sgc_remote_files_new(source->http, &source->files, err);
    if (status != SGC_OK) {
        stac_free(&source->base);
        return status;
    }
    *out = &source->base;
    return SGC_OK;
}
