#include "datasets/stac_search.h"

#include <cpl_conv.h>
#include <cpl_hash_set.h>
#include <cpl_string.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/stac_href.h"
#include "datasets/stac_json.h"

enum {
    MOST_PAGES = 10000,
    MOST_IDLE_PAGES = 10,    /* one after another that bring nothing new */
    MOST_IDLE_ITEMS = 10000, /* one after another that are not wanted */
    MOST_HEADERS = 8,        /* of a link */
    LARGEST_PAGE = 64 * 1024 * 1024,
};

/* ---- what is asked ---- */

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

static double wrap(double longitude)
{
    return longitude < -180 ? longitude + 360 : longitude > 180 ? longitude - 360 : longitude;
}

/* The rectangle around a place in degrees, west > east when it crosses the antimeridian, widened;
 * cut in two at the antimeridian. */
static cJSON *search_area(const double bounds[4])
{
    enum { METRES_PER_DEGREE = 111000, WIDENING = 5000 };
    const double margin = (double)WIDENING / METRES_PER_DEGREE;
    const double south = fmax(bounds[1] - margin, -90), north = fmin(bounds[3] + margin, 90);
    const double nearest_pole = fmax(fabs(south), fabs(north)) * M_PI / 180;
    const double shrink = fmax(cos(nearest_pole), 1e-6);
    double west = bounds[0] - margin / shrink, east = bounds[2] + margin / shrink;
    const bool all_around = east - west + (bounds[0] > bounds[2] ? 360 : 0) >= 360;
    west = all_around ? -180 : wrap(west);
    east = all_around ? 180 : wrap(east);
    cJSON *area = cJSON_CreateObject();
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

cJSON *sgc_stac_search_new(const char *collection, int limit, const cJSON *filter)
{
    cJSON *search = cJSON_CreateObject();
    cJSON *collections = cJSON_AddArrayToObject(search, "collections");
    cJSON_AddItemToArray(collections, cJSON_CreateString(collection));
    if (filter != NULL) {
        cJSON_AddStringToObject(search, "filter-lang", "cql2-json");
        cJSON_AddItemToObject(search, "filter", cJSON_Duplicate(filter, 1));
    }
    if (cJSON_AddNumberToObject(search, "limit", limit) == NULL) {
        cJSON_Delete(search);
        return NULL;
    }
    return search;
}

sgc_status sgc_stac_search_set_area(cJSON *search, const sgc_grid *grid, sgc_rect rect,
                                    sgc_error *err)
{
    double bounds[4];
    SGC_TRY(sgc_grid_lonlat_bounds(grid, rect, bounds, err));
    if (!cJSON_AddItemToObject(search, "intersects", search_area(bounds)))
        return sgc_fail_memory(err, 0, "a search");
    return SGC_OK;
}

/* ".." for a moment beyond the years that RFC 3339 can write. */
static void print_time(int64_t seconds, char text[32])
{
    const int64_t year_0 = -62167219200, year_10000 = 253402300800;
    const time_t moment = (time_t)seconds;
    struct tm parts;
    if (seconds < year_0 || seconds >= year_10000 || gmtime_r(&moment, &parts) == NULL)
        strcpy(text, "..");
    else
        snprintf(text, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", (parts.tm_year + 1900) % 10000,
                 parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

sgc_status sgc_stac_search_set_step(cJSON *search, const sgc_time_axis *axis, size_t step,
                                    sgc_error *err)
{
    char start[32], end[32], text[80];
    if (axis->count == 0)
        return SGC_OK;
    print_time(axis->starts[step], start);
    print_time(axis->ends[step], end);
    if (axis->is_instant)
        snprintf(text, sizeof text, "%s", start);
    else
        snprintf(text, sizeof text, "%s/%s", start, end);
    if (cJSON_AddStringToObject(search, "datetime", text) == NULL)
        return sgc_fail_memory(err, sizeof text, "a search");
    return SGC_OK;
}

/* ---- requests ---- */

/* One page of a search. */
typedef struct page_request {
    char *url;
    cJSON *body;   /* NULL: a GET */
    char *headers; /* those that the link asks for: "Name: value\n…" */
} page_request;

static void clear_request(page_request *request)
{
    free(request->url);
    free(request->headers);
    cJSON_Delete(request->body);
    *request = (page_request){0};
}

static sgc_status fetch_json(sgc_http *http, const sgc_http_request *request,
                             const sgc_cancel *cancel, cJSON **out, size_t *size, sgc_error *err)
{
    sgc_http_response response = {0};
    SGC_TRY(sgc_http_perform(http, request, cancel, &response, err));
    cJSON *json = cJSON_ParseWithLength((const char *)response.data, response.size);
    *size = response.size;
    sgc_http_response_clear(&response);
    if (!cJSON_IsObject(json)) {
        char shown[256];
        cJSON_Delete(json);
        sgc_http_redact(request->url, shown, sizeof shown);
        return sgc_fail(err, SGC_CORRUPT, "%s answered with something that is no JSON object",
                        shown);
    }
    *out = json;
    return SGC_OK;
}

sgc_status sgc_stac_get(sgc_http *http, const char *url, const sgc_cancel *cancel, cJSON **out,
                        sgc_error *err)
{
    static const char *const headers[] = {"Accept: application/geo+json, application/json", NULL};
    const sgc_http_request request = {
        .method = "GET", .url = url, .headers = headers, .max_size = LARGEST_PAGE};
    size_t size = 0;
    return fetch_json(http, &request, cancel, out, &size, err);
}

static sgc_status fetch_page(sgc_http *http, const page_request *page, const sgc_cancel *cancel,
                             cJSON **out, size_t *size, sgc_error *err)
{
    const char *headers[MOST_HEADERS + 3] = {"Accept: application/geo+json, application/json"};
    char **asked = CSLTokenizeString2(page->headers != NULL ? page->headers : "", "\n", 0);
    size_t n = 1;
    if (page->body != NULL)
        headers[n++] = "Content-Type: application/json";
    for (int i = 0; i < CSLCount(asked) && i < MOST_HEADERS; i++)
        headers[n++] = asked[i];
    char *text = page->body != NULL ? cJSON_PrintUnformatted(page->body) : NULL;
    const sgc_http_request request = {
        .method = page->body != NULL ? "POST" : "GET",
        .url = page->url,
        .headers = headers,
        .body = text,
        .body_size = text != NULL ? strlen(text) : 0,
        .max_size = LARGEST_PAGE,
    };
    const sgc_status status = page->body != NULL && text == NULL
                                  ? sgc_fail_memory(err, 0, "a search")
                                  : fetch_json(http, &request, cancel, out, size, err);
    cJSON_free(text);
    CSLDestroy(asked);
    return status;
}

/* ---- pages ---- */

/* The link to the next page, or NULL. */
static const cJSON *next_link(const cJSON *page)
{
    const cJSON *link;
    cJSON_ArrayForEach(link, sgc_stac_member(page, "links"))
    {
        const char *rel = sgc_stac_text(link, "rel");
        if (rel != NULL && strcmp(rel, "next") == 0 && sgc_stac_text(link, "href") != NULL)
            return link;
    }
    return NULL;
}

/* The body that asks for the next page: the link's, merged over the last one only if it says so. */
static cJSON *next_body(const cJSON *link, const cJSON *last)
{
    const cJSON *body = sgc_stac_member(link, "body");
    if (!cJSON_IsTrue(sgc_stac_member(link, "merge")) || last == NULL)
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

static bool is_token(const char *name)
{
    return *name != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789-_") == strlen(name);
}

/* The headers that a link asks for, as "Name: value\n…"; NULL when there are none. */
static char *next_headers(const cJSON *link)
{
    char *all = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, sgc_stac_member(link, "headers"))
    {
        const cJSON *first = cJSON_IsArray(item) ? item->child : item;
        const char *value = cJSON_GetStringValue(first);
        char *longer;
        if (value == NULL || !is_token(item->string) || strpbrk(value, "\r\n") != NULL ||
            asprintf(&longer, "%s%s: %s\n", all != NULL ? all : "", item->string, value) < 0)
            continue;
        free(all);
        all = longer;
    }
    return all;
}

static sgc_status next_request(const cJSON *link, const page_request *last, page_request *next,
                               sgc_error *err)
{
    const char *method = sgc_stac_text(link, "method");
    const bool is_post = method != NULL && EQUAL(method, "POST");
    SGC_TRY(sgc_href_resolve(last->url, sgc_stac_text(link, "href"), &next->url, err));
    next->headers = next_headers(link);
    next->body = is_post ? next_body(link, last->body) : NULL;
    if (is_post && next->body == NULL)
        next->body = cJSON_CreateObject();
    return SGC_OK;
}

/* What has been seen of one search. */
typedef struct progress {
    CPLHashSet *requests, *ids;
    int pages, idle_pages, idle_items;
    uint64_t bytes;
    int items;      /* different ones, of all pages */
    double matched; /* how many the service says that there are; negative: it does not say */
} progress;

/* True, and then `text` belongs to the set, when it was not there. */
static bool is_new(CPLHashSet *set, char *text)
{
    if (text != NULL && CPLHashSetLookup(set, text) == NULL)
        return CPLHashSetInsert(set, text), true;
    free(text);
    return false;
}

static bool is_new_request(progress *seen, const page_request *request)
{
    char *body = request->body != NULL ? cJSON_PrintUnformatted(request->body) : NULL;
    char *text;
    const bool good = asprintf(&text, "%s %s", request->url, body != NULL ? body : "") >= 0;
    cJSON_free(body);
    return is_new(seen->requests, good ? text : NULL);
}

static sgc_status take_new_item(const cJSON *item, const char *url, progress *seen,
                                sgc_stac_take_item *take, void *user, sgc_error *err)
{
    bool wanted = false;
    SGC_TRY(take(user, item, url, &wanted, err));
    seen->items++;
    seen->idle_items = wanted ? 0 : seen->idle_items + 1;
    return SGC_OK;
}

static bool is_endless(const progress *seen)
{
    return seen->pages >= MOST_PAGES || seen->idle_pages >= MOST_IDLE_PAGES ||
           seen->idle_items >= MOST_IDLE_ITEMS;
}

static sgc_status take_page(const sgc_http *http, const cJSON *page, const char *url,
                            progress *seen, sgc_stac_take_item *take, void *user, sgc_error *err)
{
    const cJSON *features = sgc_stac_member(page, "features"), *item;
    const int before = seen->items;
    char shown[256];
    sgc_http_redact(url, shown, sizeof shown);
    if (!cJSON_IsArray(features)) {
        const char *reason = sgc_stac_text(page, "description");
        char quoted[200];
        sgc_http_quote(http, url, reason != NULL ? reason : "", quoted, sizeof quoted);
        return sgc_fail(err, SGC_CORRUPT,
                        "%s answered a search with something that is no list of items%s%s", shown,
                        quoted[0] != '\0' ? ": " : "", quoted);
    }
    cJSON_ArrayForEach(item, features)
    {
        const char *id = sgc_stac_text(item, "id");
        if (id == NULL || is_new(seen->ids, strdup(id)))
            SGC_TRY(take_new_item(item, url, seen, take, user, err));
    }
    seen->idle_pages = seen->items > before ? 0 : seen->idle_pages + 1;
    seen->pages++;
    return is_endless(seen) ? sgc_fail(err, SGC_CORRUPT, "%s answers with endless pages", shown)
                            : SGC_OK;
}

static sgc_status count_bytes(progress *seen, size_t size, const char *url, sgc_error *err)
{
    const double most = CPLAtof(CPLGetConfigOption("SGC_SEARCH_SIZE", "1024"));
    char shown[256];
    seen->bytes += size;
    if ((double)seen->bytes <= most * 1024 * 1024)
        return SGC_OK;
    sgc_http_redact(url, shown, sizeof shown);
    return sgc_fail(err, SGC_CORRUPT,
                    "%s answers a search with more than %.0f MiB: read a smaller window, or raise "
                    "SGC_SEARCH_SIZE",
                    shown, most);
}

/* Gives the count that a page has under `key` or, as before version 1.0 of APIs, in "context" under
 * `old_key`; negative when it does not say. */
static sgc_status read_count(const cJSON *page, const char *key, const char *old_key,
                             const char *url, double *count, sgc_error *err)
{
    const cJSON *told = sgc_stac_member(page, key);
    char shown[256];
    if (told == NULL)
        told = sgc_stac_member(sgc_stac_member(page, "context"), old_key);
    const char *word = cJSON_GetStringValue(told);
    *count = -1;
    if (told == NULL || (word != NULL && strcmp(word, "unknown") == 0)) /* as GeoServer has it */
        return SGC_OK;
    *count = told->valuedouble;
    if (cJSON_IsNumber(told) && isfinite(*count) && *count >= 0)
        return SGC_OK;
    sgc_http_redact(url, shown, sizeof shown);
    return sgc_fail(err, SGC_CORRUPT,
                    "%s answers a search with a \"%s\" that is no count: nobody can tell whether "
                    "all items came; ask its operator",
                    shown, key);
}

/* Items that a page withholds must not be taken for none. A count may be too small: pgstac
 * remembers it for a day, and Elasticsearch stops to count at 10000. */
static sgc_status check_page(const cJSON *page, const char *url, progress *seen, sgc_error *err)
{
    const int size = cJSON_GetArraySize(sgc_stac_member(page, "features"));
    char shown[256];
    double matched, returned;
    SGC_TRY(read_count(page, "numberMatched", "matched", url, &matched, err));
    SGC_TRY(read_count(page, "numberReturned", "returned", url, &returned, err));
    if (matched >= 0)
        seen->matched = matched;
    if (returned <= size)
        return SGC_OK;
    sgc_http_redact(url, shown, sizeof shown);
    return sgc_fail(err, SGC_CORRUPT,
                    "%s says that a page has %.0f items, and it has %d: ask its operator", shown,
                    returned, size);
}

/* The same for all pages. */
static sgc_status check_all(const progress *seen, const char *url, sgc_error *err)
{
    char shown[256];
    if (seen->matched <= seen->items)
        return SGC_OK;
    sgc_http_redact(url, shown, sizeof shown);
    return sgc_fail(err, SGC_CORRUPT,
                    "%s says that %.0f items match a search, and gave %d of them without a link "
                    "to more: ask its operator, or set \"limit\" in /source of the definition",
                    shown, seen->matched, seen->items);
}

/* Whether an empty page is the last although it has a link: all that there is has come. */
static bool is_end(const cJSON *page, const progress *seen)
{
    return cJSON_GetArraySize(sgc_stac_member(page, "features")) == 0 && seen->matched >= 0 &&
           seen->matched <= seen->items;
}

/* Fetches and takes the page of `request`, and makes `request` that of the next one; its URL is
 * NULL after the last. */
static sgc_status run_page(sgc_http *http, page_request *request, progress *seen,
                           const sgc_cancel *cancel, sgc_stac_take_item *take, void *user,
                           sgc_error *err)
{
    cJSON *page = NULL;
    page_request next = {0};
    size_t size = 0;
    SGC_TRY(fetch_page(http, request, cancel, &page, &size, err));
    sgc_status status = count_bytes(seen, size, request->url, err);
    if (status == SGC_OK)
        status = take_page(http, page, request->url, seen, take, user, err);
    if (status == SGC_OK)
        status = check_page(page, request->url, seen, err);
    const cJSON *link = next_link(page);
    if (status == SGC_OK && link != NULL && !is_end(page, seen))
        status = next_request(link, request, &next, err);
    cJSON_Delete(page);
    if (next.url != NULL && !is_new_request(seen, &next))
        clear_request(&next);
    if (status == SGC_OK && next.url == NULL)
        status = check_all(seen, request->url, err);
    clear_request(request);
    *request = next;
    return status;
}

sgc_status sgc_stac_search_run(sgc_http *http, const char *url, const cJSON *search,
                               const sgc_cancel *cancel, sgc_stac_take_item *take, void *user,
                               sgc_error *err)
{
    page_request request = {.url = strdup(url), .body = cJSON_Duplicate(search, 1)};
    progress seen = {
        .requests = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free),
        .ids = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, free),
        .matched = -1,
    };
    sgc_status status = SGC_OK;
    if (request.url == NULL || request.body == NULL)
        status = sgc_fail_memory(err, strlen(url), "a search");
    else
        is_new_request(&seen, &request);
    while (status == SGC_OK && request.url != NULL)
        status = run_page(http, &request, &seen, cancel, take, user, err);
    clear_request(&request);
    CPLHashSetDestroy(seen.requests);
    CPLHashSetDestroy(seen.ids);
    return status;
}
