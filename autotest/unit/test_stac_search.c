/* Searches of STAC APIs: what is asked, and all pages of the answers (datasets guide 3.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "autotest/unit/stac_testing.h"
#include "datasets/stac_json.h"
#include "datasets/stac_search.h"

#include <cpl_conv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static http_server server;
static sgc_http *http;

static int start_server(void **state)
{
    (void)state;
    const sgc_http_options options = {.max_requests = 2, .retries = 1, .first_delay_ms = 1};
    http_server_start(&server, "http_server.py");
    return sgc_http_new(&options, &http, NULL) == SGC_OK ? 0 : -1;
}

static int stop_server(void **state)
{
    (void)state;
    sgc_http_free(http);
    http_server_stop(&server);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    http_server_reset(&server);
    return 0;
}

/* ---- what is asked ---- */

static cJSON *area_of(const char *crs, const double transform[6], sgc_rect rect)
{
    const sgc_grid grid = {.crs = crs,
                           .transform = {transform[0], transform[1], transform[2], transform[3],
                                         transform[4], transform[5]},
                           .width = 1000000,
                           .height = 1000000};
    cJSON *search = sgc_stac_search_new("c", 100, NULL);
    assert_int_equal(sgc_stac_search_set_area(search, &grid, rect, NULL), SGC_OK);
    cJSON *area = cJSON_DetachItemFromObject(search, "intersects");
    assert_non_null(area);
    cJSON_Delete(search);
    return area;
}

/* West, south, east, north of a ring that is a box. */
static void assert_box(const cJSON *ring, double west, double south, double east, double north)
{
    const double wanted[4] = {west, south, east, north};
    double box[4] = {1e9, 1e9, -1e9, -1e9};
    const cJSON *point;
    cJSON_ArrayForEach(point, ring)
    {
        const double x = cJSON_GetArrayItem(point, 0)->valuedouble;
        const double y = cJSON_GetArrayItem(point, 1)->valuedouble;
        box[0] = x < box[0] ? x : box[0];
        box[1] = y < box[1] ? y : box[1];
        box[2] = x > box[2] ? x : box[2];
        box[3] = y > box[3] ? y : box[3];
    }
    for (int i = 0; i < 4; i++)
        assert_float_equal(box[i], wanted[i], 0.1);
}

static const double degrees[6] = {-180, 0.01, 0, 90, 0, -0.01};
static const double arctic[6] = {-4000096, 32, 0, 4100096, 0, -32};

static void test_area(void **state)
{
    (void)state;
    cJSON *area = area_of("EPSG:4326", degrees, (sgc_rect){19000, 3900, 100, 100});
    assert_string_equal(sgc_stac_text(area, "type"), "Polygon");
    assert_box(stac_at(area, "coordinates", "0", NULL), 10, 50, 11, 51);
    cJSON_Delete(area);
}

static void test_area_across_the_antimeridian(void **state)
{
    (void)state;
    /* 180° E is at 45° left of the upward axis in EPSG:3413: x < 0, y > 0, equal. */
    cJSON *area = area_of("EPSG:3413", arctic, (sgc_rect){62503, 65628, 3125, 3125});
    assert_string_equal(sgc_stac_text(area, "type"), "MultiPolygon");
    assert_int_equal(cJSON_GetArraySize(stac_at(area, "coordinates", NULL)), 2);
    assert_box(stac_at(area, "coordinates", "0", "0", NULL), 178.42, 64.27, 180, 65.6);
    assert_box(stac_at(area, "coordinates", "1", "0", NULL), -180, 64.27, -178.42, 65.6);
    cJSON_Delete(area);
}

static void test_area_with_the_pole(void **state)
{
    (void)state;
    cJSON *area = area_of("EPSG:3413", arctic, (sgc_rect){123440, 126565, 3125, 3125});
    assert_string_equal(sgc_stac_text(area, "type"), "Polygon");
    assert_box(stac_at(area, "coordinates", "0", NULL), -180, 89.3, 180, 90);
    cJSON_Delete(area);
}

static const char *datetime_of(const sgc_time_axis *axis, size_t step)
{
    static char text[128];
    cJSON *search = sgc_stac_search_new("c", 100, NULL);
    assert_int_equal(sgc_stac_search_set_step(search, axis, step, NULL), SGC_OK);
    const char *datetime = sgc_stac_text(search, "datetime");
    snprintf(text, sizeof text, "%s", datetime != NULL ? datetime : "none");
    cJSON_Delete(search);
    return text;
}

static void test_time(void **state)
{
    (void)state;
    int64_t starts[] = {1577836800, 1609459200}, ends[] = {1609459200, INT64_MAX};
    const sgc_time_axis axis = {.count = 2, .starts = starts, .ends = ends};
    const sgc_time_axis instant = {
        .count = 2, .starts = starts, .ends = starts, .is_instant = true};
    const sgc_time_axis none = {0};
    assert_string_equal(datetime_of(&axis, 0), "2020-01-01T00:00:00Z/2021-01-01T00:00:00Z");
    assert_string_equal(datetime_of(&axis, 1), "2021-01-01T00:00:00Z/..");
    assert_string_equal(datetime_of(&instant, 1), "2021-01-01T00:00:00Z");
    assert_string_equal(datetime_of(&none, 0), "none");
}

static void test_body(void **state)
{
    (void)state;
    cJSON *filter =
        cJSON_Parse("{\"op\": \"<\", \"args\": [{\"property\": \"eo:cloud_cover\"}, 10]}");
    cJSON *wanted = cJSON_Parse(
        "{\"collections\": [\"c\"], \"limit\": 7, \"filter-lang\": \"cql2-json\", \"filter\": "
        "{\"op\": \"<\", \"args\": [{\"property\": \"eo:cloud_cover\"}, 10]}}");
    cJSON *search = sgc_stac_search_new("c", 7, filter);
    assert_true(cJSON_Compare(search, wanted, 1));
    cJSON_Delete(search);
    cJSON_Delete(wanted);
    cJSON_Delete(filter);
}

/* ---- pages ---- */

/* The ids that a search brings. */
typedef struct ids {
    char text[4096];
    int count;
} ids;

/* Items called "far…" are not wanted. */
static sgc_status take(void *user, const cJSON *item, const char *url, bool *wanted, sgc_error *err)
{
    ids *found = user;
    assert_false(*wanted);
    *wanted = strncmp(sgc_stac_text(item, "id"), "far", 3) != 0;
    (void)err;
    assert_non_null(strstr(url, "http://127.0.0.1:"));
    const size_t length = strlen(found->text);
    snprintf(found->text + length, sizeof found->text - length, "%s ", sgc_stac_text(item, "id"));
    found->count++;
    return SGC_OK;
}

static sgc_status search(const cJSON *body, ids *found, sgc_error *err)
{
    const http_server_url url = http_server_address(&server, "/search");
    *found = (ids){0};
    return sgc_stac_search_run(http, url.text, body, NULL, take, found, err);
}

/* The next request for `path` is answered with `text`. */
static void answer(const char *path, const char *text, int status, const char *type)
{
    cJSON *fault = cJSON_CreateObject();
    cJSON_AddStringToObject(fault, "path", path);
    cJSON_AddNumberToObject(fault, "times", 1);
    cJSON_AddNumberToObject(fault, "status", status);
    cJSON_AddStringToObject(fault, "body", text);
    cJSON_AddStringToObject(fault, "content_type", type);
    char *json = cJSON_PrintUnformatted(fault);
    http_server_fault(&server, json);
    cJSON_free(json);
    cJSON_Delete(fault);
}

static void answer_page(const char *path, const char *features, const char *link)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"type\": \"FeatureCollection\", \"features\": [%s], \"links\": [%s]}", features,
             link);
    answer(path, text, 200, "application/geo+json");
}

/* Gives the request, an object of the server's log; its body parsed as "json". */
static cJSON *request_at(cJSON *log, int i)
{
    cJSON *entry = cJSON_GetArrayItem(log, i);
    assert_non_null(entry);
    cJSON_AddItemToObject(entry, "json", cJSON_Parse(sgc_stac_text(entry, "body")));
    return entry;
}

static cJSON *simple(void)
{
    return cJSON_Parse("{\"collections\": [\"c\"], \"limit\": 2}");
}

/* Real exchanges: what was asked for page 2 then is asked now. */
static void play_back(const char *first, const char *second, const char *host, int count)
{
    cJSON *pages[2] = {stac_document(first), stac_document(second)};
    ids found;
    sgc_error error = {""};
    char local[64];
    snprintf(local, sizeof local, "http://127.0.0.1:%u", server.port);
    for (int i = 0; i < 2; i++) {
        cJSON *link, *body = stac_at(pages[i], "response", "body", NULL);
        cJSON_ArrayForEach(link, stac_at(body, "links", NULL))
        {
            const char *rel = sgc_stac_text(link, "rel");
            assert_non_null(strstr(sgc_stac_text(link, "href"), host));
            if (i == 0 && strcmp(rel, "next") == 0)
                cJSON_ReplaceItemInObject(link, "href", cJSON_CreateString("/search"));
            else if (strcmp(rel, "next") == 0) /* the recording ends here */
                cJSON_ReplaceItemInObject(link, "rel", cJSON_CreateString("more"));
        }
        char *text = cJSON_PrintUnformatted(body);
        answer("/search", text, 200, "application/geo+json");
        cJSON_free(text);
    }
    cJSON *body = stac_at(pages[0], "request", "body", NULL);
    if (search(body, &found, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(found.count, count);
    cJSON *log = http_server_log(&server);
    assert_int_equal(cJSON_GetArraySize(log), 2);
    for (int i = 0; i < 2; i++) {
        const cJSON *asked = request_at(log, i);
        assert_string_equal(sgc_stac_text(asked, "method"), "POST");
        assert_true(cJSON_Compare(sgc_stac_member(asked, "json"),
                                  stac_at(pages[i], "request", "body", NULL), 1));
        cJSON_Delete(pages[i]);
    }
    cJSON_Delete(log);
}

static void test_planetary_computer(void **state)
{
    (void)state;
    play_back("planetary-computer/v1-search-naip-page1.json",
              "planetary-computer/v1-search-naip-page2.json", "planetarycomputer.microsoft.com",
              20);
}

static void test_earth_search(void **state)
{
    (void)state;
    play_back("earth-search/v1-search-s2-l2a+landsat-page1.json",
              "earth-search/v1-search-s2-l2a+landsat-page2-empty.json",
              "earth-search.aws.element84.com", 2);
}

#define POST_LINK "{\"rel\": \"next\", \"method\": \"POST\", \"href\": \"/search\", "

static void test_merged_body(void **state)
{
    (void)state;
    ids found;
    answer_page("/search", "{\"id\": \"a\"}",
                POST_LINK "\"merge\": true, \"body\": {\"next\": \"t\"}}");
    answer_page("/search", "{\"id\": \"b\"}", "");
    cJSON *body = simple();
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    assert_string_equal(found.text, "a b ");
    cJSON *log = http_server_log(&server), *asked = request_at(log, 1);
    cJSON_AddStringToObject(body, "next", "t");
    assert_true(cJSON_Compare(sgc_stac_member(asked, "json"), body, 1));
    cJSON_Delete(log);
    cJSON_Delete(body);
}

/* A link may ask for headers; what is no header is not sent. */
static void test_get_links_and_headers(void **state)
{
    (void)state;
    ids found;
    answer_page("/search", "{\"id\": \"a\"}",
                "{\"rel\": \"prev\", \"href\": \"/no\"}, "
                "{\"rel\": \"next\", \"href\": \"page/2?token=x\", \"headers\": "
                "{\"X-Page\": \"two\", \"X-List\": [\"l\"], \"Bad\": \"a\\r\\nX-Evil: 1\", "
                "\"No header\": \"x\", \"X-Number\": 1}}");
    answer_page("/page/2", "{\"id\": \"b\"}", "");
    cJSON *body = simple();
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    cJSON_Delete(body);
    assert_string_equal(found.text, "a b ");
    cJSON *log = http_server_log(&server), *asked = request_at(log, 1);
    assert_string_equal(sgc_stac_text(asked, "method"), "GET");
    assert_string_equal(sgc_stac_text(asked, "path"), "/page/2?token=x");
    cJSON *headers = stac_at(asked, "headers", NULL);
    assert_string_equal(sgc_stac_text(headers, "X-Page"), "two");
    assert_string_equal(sgc_stac_text(headers, "X-List"), "l");
    assert_null(sgc_stac_member(headers, "X-Evil"));
    assert_null(sgc_stac_member(headers, "Bad"));
    cJSON_Delete(log);
}

/* More may come after an empty page, unless all that the service counts has come. */
static void test_empty_pages(void **state)
{
    (void)state;
    ids found;
    cJSON *body = simple();
    answer_page("/search", "", POST_LINK "\"body\": {\"token\": \"t\"}}");
    answer_page("/search", "{\"id\": \"a\"}", "");
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    assert_string_equal(found.text, "a ");

    http_server_reset(&server);
    answer("/search",
           "{\"features\": [], \"numberMatched\": 0, \"links\": [" POST_LINK
           "\"body\": {\"token\": \"t\"}}]}",
           200, "application/json");
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    cJSON_Delete(body);
    assert_int_equal(found.count, 0);
    assert_int_equal(http_server_count(&server), 1);
}

/* Pages that lead back: to the first, to themselves, round three of them. */
static void test_cycles_end(void **state)
{
    (void)state;
    ids found;
    cJSON *body = simple();
    answer_page("/search", "{\"id\": \"a\"}",
                POST_LINK "\"body\": {\"collections\": [\"c\"], \"limit\": 2}}");
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    assert_string_equal(found.text, "a ");

    http_server_reset(&server);
    answer_page("/search", "{\"id\": \"a\"}", "{\"rel\": \"next\", \"href\": \"/2\"}");
    answer_page("/2", "{\"id\": \"b\"}", "{\"rel\": \"next\", \"href\": \"/3\"}");
    answer_page("/3", "{\"id\": \"c\"}, {\"id\": \"a\"}", "{\"rel\": \"next\", \"href\": \"/2\"}");
    assert_int_equal(search(body, &found, NULL), SGC_OK);
    cJSON_Delete(body);
    assert_string_equal(found.text, "a b c ");
    assert_int_equal(http_server_count(&server), 3);
}

/* There are 50 pages with `count` items, which are called `id`, a format. */
static sgc_status search_many_pages(const char *id, int count, ids *found, sgc_error *err)
{
    char *page = malloc((size_t)count * 64 + 512);
    assert_non_null(page);
    for (int i = 0; i < 50; i++) {
        char name[32], *end = page + sprintf(page, "{\"features\": [");
        for (int n = i * count; n < (i + 1) * count; n++) {
            snprintf(name, sizeof name, id, n);
            end += sprintf(end, "%s{\"id\": \"%s\"}", n > i * count ? ", " : "", name);
        }
        end += sprintf(end, "], \"links\": [");
        if (i < 49)
            end += sprintf(end, POST_LINK "\"body\": {\"token\": \"%d\"}}", i);
        strcpy(end, "]}");
        answer("/search", page, 200, "application/json");
    }
    free(page);
    cJSON *body = simple();
    const sgc_status status = search(body, found, err);
    cJSON_Delete(body);
    return status;
}

/* The same item again and again, nothing, and always new ones that nobody wants. */
static void test_endless_pages_fail(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int count;
    } pages[] = {{"a", 1}, {"", 0}, {"far %d", 1000}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        ids found;
        sgc_error error = {""};
        http_server_reset(&server);
        assert_int_equal(search_many_pages(pages[i].name, pages[i].count, &found, &error),
                         SGC_CORRUPT);
        assert_non_null(strstr(error.message, "endless"));
        assert_true(http_server_count(&server) < 20);
    }
}

/* Also when what is wanted stands behind much that is not. */
static void test_many_pages(void **state)
{
    (void)state;
    ids found;
    assert_int_equal(search_many_pages("near %d", 1, &found, NULL), SGC_OK);
    assert_int_equal(found.count, 50);
    http_server_reset(&server);
    assert_int_equal(search_many_pages("far %d", 1, &found, NULL), SGC_OK);
    assert_int_equal(found.count, 50);
}

static void test_bytes_of_all_pages_are_bounded(void **state)
{
    (void)state;
    ids found;
    sgc_error error = {""};
    CPLSetThreadLocalConfigOption("SGC_SEARCH_SIZE", "0.002");
    assert_int_equal(search_many_pages("near %d", 1, &found, &error), SGC_CORRUPT);
    CPLSetThreadLocalConfigOption("SGC_SEARCH_SIZE", NULL);
    assert_non_null(strstr(error.message, "SGC_SEARCH_SIZE"));
    assert_in_range(http_server_count(&server), 2, 49);
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        sgc_status expected;
    } cases[] = {
        {"<html>Please log in</html>", 200, SGC_CORRUPT},
        {"{\"type\": \"FeatureCollection\"}", 200, SGC_CORRUPT},
        {"{\"features\": {\"a\": 1}}", 200, SGC_CORRUPT},
        {"[]", 200, SGC_CORRUPT},
        {"{\"features\": [", 200, SGC_CORRUPT},
        {"{\"features\": [], \"numberMatched\": 1}", 200, SGC_CORRUPT},
        {"{\"features\": [{\"id\": \"a\"}], \"context\": {\"matched\": 2}}", 200, SGC_CORRUPT},
        {"{\"features\": [{\"id\": \"a\"}, {\"id\": \"a\"}], \"numberMatched\": 2}", 200,
         SGC_CORRUPT},
        {"{\"features\": [], \"numberMatched\": \"5\"}", 200, SGC_CORRUPT},
        {"{\"features\": [], \"numberMatched\": -1}", 200, SGC_CORRUPT},
        {"{\"features\": [], \"numberMatched\": 1e400}", 200, SGC_CORRUPT},
        {"{\"features\": [], \"numberMatched\": []}", 200, SGC_CORRUPT},
        {"{\"features\": [], \"numberReturned\": 1}", 200, SGC_CORRUPT},
        {"{\"features\": [], \"context\": {\"returned\": true}}", 200, SGC_CORRUPT},
        {"{\"code\": \"NotFoundError\", \"description\": \"no such collection\"}", 404,
         SGC_NOT_FOUND},
        {"{\"description\": \"bad CQL2\"}", 400, SGC_NETWORK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ids found;
        sgc_error error = {""};
        http_server_reset(&server);
        answer("/search", cases[i].text, cases[i].status, "application/json");
        cJSON *body = simple();
        assert_int_equal(search(body, &found, &error), cases[i].expected);
        cJSON_Delete(body);
        assert_non_null(strstr(error.message, "/search"));
        assert_int_equal(http_server_count(&server), 1);
    }
}

/* The same number stands on each page. */
static void test_items_that_a_service_keeps_to_itself(void **state)
{
    (void)state;
    static const char counted[] = "{\"features\": [%s], \"numberMatched\": %d, \"links\": [%s]}";
    for (int matched = 3; matched <= 4; matched++) {
        char text[512];
        ids found;
        sgc_error error = {""};
        http_server_reset(&server);
        snprintf(text, sizeof text, counted, "{\"id\": \"a\"}, {\"id\": \"b\"}", matched,
                 "{\"rel\": \"next\", \"href\": \"/2\"}");
        answer("/search", text, 200, "application/geo+json");
        snprintf(text, sizeof text, counted, "{\"id\": \"c\"}", matched, "");
        answer("/2", text, 200, "application/geo+json");
        cJSON *body = simple();
        assert_int_equal(search(body, &found, &error), matched == 3 ? SGC_OK : SGC_CORRUPT);
        cJSON_Delete(body);
        assert_int_equal(found.count, 3);
        assert_true(matched == 3 || strstr(error.message, "4 items match") != NULL);
    }
}

/* GeoServer does not know at times; pgstac remembers for a day. */
static void test_counts_that_say_little(void **state)
{
    (void)state;
    static const char *const counts[] = {"null", "\"unknown\"", "0"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char text[128];
        ids found;
        http_server_reset(&server);
        snprintf(text, sizeof text, "{\"features\": [{\"id\": \"a\"}], \"numberMatched\": %s}",
                 counts[i]);
        answer("/search", text, 200, "application/json");
        cJSON *body = simple();
        assert_int_equal(search(body, &found, NULL), SGC_OK);
        cJSON_Delete(body);
        assert_int_equal(found.count, 1);
    }
}

/* A service that ignores which page is asked for. */
static void test_page_that_comes_again(void **state)
{
    (void)state;
    static const char page[] =
        "{\"features\": [{\"id\": \"a\"}], \"numberMatched\": 2, \"links\": [" POST_LINK
        "\"merge\": true, \"body\": {\"token\": \"2\"}}]}";
    ids found;
    sgc_error error = {""};
    answer("/search", page, 200, "application/json");
    answer("/search", page, 200, "application/json");
    cJSON *body = simple();
    assert_int_equal(search(body, &found, &error), SGC_CORRUPT);
    cJSON_Delete(body);
    assert_non_null(strstr(error.message, "2 items match a search, and gave 1 of them"));
}

static void test_error_document_says_why(void **state)
{
    (void)state;
    ids found;
    sgc_error error = {""};
    answer("/search", "{\"code\": \"TooBusy\", \"description\": \"try t0ken later\"}", 200,
           "application/json");
    cJSON *body = simple();
    CPLSetThreadLocalConfigOption("GDAL_HTTP_BEARER", "t0ken");
    assert_int_equal(search(body, &found, &error), SGC_CORRUPT);
    CPLSetThreadLocalConfigOption("GDAL_HTTP_BEARER", NULL);
    cJSON_Delete(body);
    assert_non_null(strstr(error.message, "no list of items: try *** later"));
}

static void test_links_of_wrong_types(void **state)
{
    (void)state;
    static const char *const links[] = {
        "7, null, \"next\", {\"rel\": 1, \"href\": \"/2\"}, {\"rel\": \"next\"}",
        "{\"rel\": \"next\", \"href\": 7}",
        "{\"rel\": \"next\", \"href\": \"\"}",
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        ids found;
        http_server_reset(&server);
        answer_page("/search", "{\"id\": \"a\"}", links[i]);
        cJSON *body = simple();
        assert_int_equal(search(body, &found, NULL), SGC_OK);
        cJSON_Delete(body);
        assert_int_equal(found.count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_area),
        cmocka_unit_test(test_area_across_the_antimeridian),
        cmocka_unit_test(test_area_with_the_pole),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_body),
        cmocka_unit_test_teardown(test_planetary_computer, forget),
        cmocka_unit_test_teardown(test_earth_search, forget),
        cmocka_unit_test_teardown(test_merged_body, forget),
        cmocka_unit_test_teardown(test_get_links_and_headers, forget),
        cmocka_unit_test_teardown(test_empty_pages, forget),
        cmocka_unit_test_teardown(test_cycles_end, forget),
        cmocka_unit_test_teardown(test_endless_pages_fail, forget),
        cmocka_unit_test_teardown(test_many_pages, forget),
        cmocka_unit_test_teardown(test_bytes_of_all_pages_are_bounded, forget),
        cmocka_unit_test_teardown(test_answers_that_are_none, forget),
        cmocka_unit_test_teardown(test_items_that_a_service_keeps_to_itself, forget),
        cmocka_unit_test_teardown(test_counts_that_say_little, forget),
        cmocka_unit_test_teardown(test_page_that_comes_again, forget),
        cmocka_unit_test_teardown(test_error_document_says_why, forget),
        cmocka_unit_test_teardown(test_links_of_wrong_types, forget),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
