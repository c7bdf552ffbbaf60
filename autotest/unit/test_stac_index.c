/* Index files: fetched once, kept, asked for by their ETag, mended when damaged (datasets guide
 * 3.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/stac_index.h"
#include "datasets/stac_json.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static http_server server;
static sgc_http *http;
static char cache[64];

/* 100 x 100 pixels of 0.1 degrees. */
static const sgc_grid grid = {
    .crs = "EPSG:4326", .transform = {0, 0.1, 0, 10, 0, -0.1}, .width = 100, .height = 100};

static int start_server(void **state)
{
    (void)state;
    const sgc_http_options options = {.max_requests = 8, .retries = 1, .first_delay_ms = 1};
    GDALAllRegister();
    http_server_start(&server, "http_server.py");
    strcpy(cache, "/tmp/sgc-index-XXXXXX");
    assert_non_null(mkdtemp(cache));
    return sgc_http_new(&options, &http, NULL) == SGC_OK ? 0 : -1;
}

static int stop_server(void **state)
{
    (void)state;
    sgc_http_free(http);
    http_server_stop(&server);
    VSIRmdirRecursive(cache);
    return 0;
}

static int renew(void **state)
{
    (void)state;
    char path[128];
    http_server_reset(&server);
    VSIRmdirRecursive(cache);
    snprintf(path, sizeof path, "%s/deeper", cache);
    CPLSetConfigOption("SGC_INDEX_CACHE", path); /* does not exist yet */
    return 0;
}

#define FEATURE(id, ring)                                                                     \
    "{\"type\": \"Feature\", \"properties\": {\"dem_id\": " id "}, \"geometry\": {\"type\": " \
    "\"Polygon\", \"coordinates\": [[" ring "]]}}"
#define BOX(w, s, e, n) \
    "[" #w "," #s "],[" #e "," #s "],[" #e "," #n "],[" #w "," #n "],[" #w "," #s "]"

#define ROW(id, more) "{\"type\": \"Feature\", \"properties\": {\"dem_id\": \"" id "\"" more "}"
#define LIST(rows) "{\"type\": \"FeatureCollection\", \"features\": [" rows "]}"

/* Tiles a and b side by side, c far off; d in two pieces. */
/* clang-format off */
static const char collection[] = LIST(
    FEATURE("\"b\"", BOX(5, 5, 10, 10)) ", " FEATURE("\"a\"", BOX(0, 5, 5, 10)) ", "
    FEATURE("\"c\"", BOX(120, -80, 130, -70)) ", "
    ROW("d", "") ", \"geometry\": {\"type\": \"MultiPolygon\", \"coordinates\": "
    "[[[" BOX(0, 0, 2, 2) "]], [[" BOX(8, 0, 10, 2) "]]]}}");
/* clang-format on */

static sgc_status load(const char *path, const char *member, const char *column,
                       sgc_stac_index **index, sgc_error *err)
{
    const http_server_url url = http_server_address(&server, path);
    return sgc_stac_index_load(http, url.text, member, column, &grid, NULL, index, err);
}

static sgc_status take(void *user, const char *id, sgc_rect extent, sgc_error *err)
{
    char *text = user;
    (void)err;
    assert_false(sgc_rect_is_empty(extent));
    strcat(strcat(text, id), " ");
    return SGC_OK;
}

static void assert_selects(const sgc_stac_index *index, sgc_rect rect, const char *ids)
{
    char text[128] = "";
    assert_int_equal(sgc_stac_index_select(index, rect, take, text, NULL), SGC_OK);
    assert_string_equal(text, ids);
}

static void assert_loads(const char *path, const char *member)
{
    sgc_stac_index *index;
    sgc_error error = {""};
    if (load(path, member, "dem_id", &index, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_selects(index, (sgc_rect){0, 0, 100, 100}, "b a d d ");
    sgc_stac_index_free(index);
}

/* What does not say where it is would never be found. */
static void test_rows_without_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        LIST(FEATURE("\"a\"", BOX(0, 0, 1, 1)) ", " ROW("e", "") ", \"geometry\": null}"),
        LIST(ROW("e", "") ", \"geometry\": {\"type\": \"Polygon\", \"coordinates\": []}}"),
        LIST(ROW("e", "") ", \"geometry\": {\"type\": \"MultiPolygon\", \"coordinates\": []}}"),
        LIST(ROW("e", ", \"bbox\": [0, 5, 2, 1]") ", \"geometry\": null}"),
        LIST(FEATURE("\"e\"", "[NaN, 0], [1, 0], [1, 1], [NaN, 0]")),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgc_stac_index *index = NULL;
        sgc_error error = {""};
        renew(NULL);
        http_server_write(&server, "index.geojson", bad[i], strlen(bad[i]));
        assert_int_equal(load("/index.geojson", NULL, "dem_id", &index, &error), SGC_CORRUPT);
        if (strstr(error.message, "index.geojson") == NULL ||
            strstr(error.message, i == 0 ? "row 1, item e" : "row 0, item e") == NULL)
            fail_msg("%s", error.message);
    }
}

static void test_rows_without_item(void **state)
{
    (void)state;
    static const char *const bad[] = {
        LIST(FEATURE("\"a\"", BOX(0, 0, 1, 1)) ", " FEATURE("null", BOX(1, 0, 2, 1))),
        LIST(FEATURE("\"a\"", BOX(0, 0, 1, 1)) ", " FEATURE("\"\"", BOX(1, 0, 2, 1))),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgc_stac_index *index = NULL;
        sgc_error error = {""};
        renew(NULL);
        http_server_write(&server, "index.geojson", bad[i], strlen(bad[i]));
        assert_int_equal(load("/index.geojson", NULL, "dem_id", &index, &error), SGC_CORRUPT);
        if (strstr(error.message, "index.geojson: its row 1 ") == NULL ||
            strstr(error.message, "\"dem_id\"") == NULL)
            fail_msg("%s", error.message);
    }
}

static void test_rows_with_a_bbox_alone(void **state)
{
    (void)state;
    static const char boxes[] = LIST(
        ROW("e", ", \"bbox\": [2, 0, 4, 8]") ", \"geometry\": null}, " /* the other crosses 180 */
        ROW("f", ", \"bbox\": [170, 0, -170, 8]") ", \"geometry\": null}");
    sgc_stac_index *index = NULL;
    sgc_error error = {""};
    http_server_write(&server, "index.geojson", boxes, strlen(boxes));
    if (load("/index.geojson", NULL, "dem_id", &index, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_selects(index, (sgc_rect){30, 50, 1, 1}, "e ");
    assert_selects(index, (sgc_rect){60, 50, 1, 1}, "");
    assert_selects(index, (sgc_rect){-1750, 50, 1, 1}, "f ");
    assert_selects(index, (sgc_rect){1750, 50, 1, 1}, "f ");
    sgc_stac_index_free(index);
}

static void publish(const char *name)
{
    http_server_write(&server, name, collection, strlen(collection));
}

static void test_selection(void **state)
{
    (void)state;
    sgc_stac_index *index;
    publish("index.geojson");
    assert_int_equal(load("/index.geojson", NULL, "dem_id", &index, NULL), SGC_OK);
    assert_selects(index, (sgc_rect){10, 10, 5, 5}, "a ");
    assert_selects(index, (sgc_rect){80, 90, 5, 5}, "d ");
    assert_selects(index, (sgc_rect){40, 70, 20, 10}, "");
    assert_selects(index, (sgc_rect){1210, 850, 10, 10}, "c ");
    sgc_stac_index_free(index);
}

static void test_copy_that_is_kept(void **state)
{
    (void)state;
    sgc_stac_index *index;
    const http_server_url url = http_server_address(&server, "/index.geojson");
    publish("index.geojson");
    assert_int_equal(sgc_stac_index_load_kept(url.text, NULL, "dem_id", &grid, &index, NULL),
                     SGC_NOT_FOUND);
    assert_loads("/index.geojson", NULL);
    assert_int_equal(sgc_stac_index_load_kept(url.text, NULL, "dem_id", &grid, &index, NULL),
                     SGC_OK);
    assert_selects(index, (sgc_rect){10, 10, 5, 5}, "a ");
    sgc_stac_index_free(index);
    cJSON *log = http_server_log(&server);
    assert_int_equal(cJSON_GetArraySize(log), 1);
    cJSON_Delete(log);
}

/* Fetched once; then only asked about; fetched again when it has changed. */
static void test_etag(void **state)
{
    (void)state;
    publish("index.geojson");
    for (int i = 0; i < 3; i++)
        assert_loads("/index.geojson", NULL);
    cJSON *log = http_server_log(&server), *entry;
    int status[3], i = 0;
    assert_int_equal(cJSON_GetArraySize(log), 3);
    cJSON_ArrayForEach(entry, log) status[i++] = sgc_stac_member(entry, "status")->valueint;
    cJSON_Delete(log);
    assert_true(status[0] == 200 && status[1] == 304 && status[2] == 304);

    sgc_stac_index *index;
    const char *changed = "{\"type\": \"FeatureCollection\", \"features\": [" FEATURE(
        "\"new\"", BOX(0, 0, 1, 1)) "]}";
    http_server_write(&server, "index.geojson", changed, strlen(changed));
    assert_int_equal(load("/index.geojson", NULL, "dem_id", &index, NULL), SGC_OK);
    assert_selects(index, (sgc_rect){0, 0, 100, 100}, "new ");
    sgc_stac_index_free(index);
    char **names = VSIReadDir(CPLGetConfigOption("SGC_INDEX_CACHE", NULL));
    int files = 0;
    for (int n = 0; n < CSLCount(names); n++)
        files += names[n][0] != '.';
    CSLDestroy(names);
    assert_int_equal(files, 2); /* the old one is gone */
}

/* The file with the suffix, in the cache. */
static void cached(const char *suffix, char path[512])
{
    const char *directory = CPLGetConfigOption("SGC_INDEX_CACHE", NULL);
    char **names = VSIReadDir(directory);
    path[0] = '\0';
    for (int i = 0; i < CSLCount(names); i++)
        if (EQUAL(CPLGetExtension(names[i]), suffix))
            snprintf(path, 512, "%s/%s", directory, names[i]);
    CSLDestroy(names);
    assert_true(path[0] != '\0');
}

/* Whatever happens to the files, the index is whole again. */
static void test_damaged_copies(void **state)
{
    (void)state;
    publish("index.geojson");
    assert_loads("/index.geojson", NULL);
    for (int i = 0; i < 5; i++) {
        char path[512];
        cached(i < 3 ? "geojson" : "json", path);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        if (i == 0 || i == 3)
            assert_int_equal(ftruncate(fileno(file), 20), 0);
        else if (i == 1)
            fputc('x', file);
        fclose(file);
        if (i == 2 || i == 4)
            assert_int_equal(unlink(path), 0);
        http_server_reset(&server);
        assert_loads("/index.geojson", NULL);
        cJSON *log = http_server_log(&server);
        assert_int_equal(cJSON_GetArraySize(log), 1);
        assert_int_equal(sgc_stac_member(log->child, "status")->valueint, 200);
        cJSON_Delete(log);
    }
}

static void add_to_zip(const char *zip, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "/vsizip/%s/%s", zip, name);
    VSILFILE *file = VSIFOpenL(path, "wb");
    assert_non_null(file);
    assert_int_equal(VSIFWriteL(text, 1, strlen(text), file), strlen(text));
    VSIFCloseL(file);
}

static void test_member_of_a_zip(void **state)
{
    (void)state;
    char zip[512];
    snprintf(zip, sizeof zip, "%s/index.zip", server.directory);
    add_to_zip(zip, "ArcticDEM/readme.txt", "read me");
    add_to_zip(zip, "ArcticDEM/Index_10m.geojson", "{}");
    add_to_zip(zip, "ArcticDEM/Index_32m.geojson", collection);
    assert_loads("/index.zip", "Index_32m.geojson");
    assert_loads("/index.zip", "ArcticDEM/Index_32m.geojson");
    sgc_stac_index *index;
    sgc_error error = {""};
    assert_int_equal(load("/index.zip", "Index_2m.geojson", "dem_id", &index, &error), SGC_CORRUPT);
    assert_non_null(strstr(error.message, "Index_2m.geojson"));
}

/* A GeoPackage in the cube's own CRS: what a provider would publish. */
static void test_geopackage(void **state)
{
    (void)state;
    char path[512];
    if (GDALGetDriverByName("GPKG") == NULL)
        skip();
    snprintf(path, sizeof path, "%s/index.gpkg", server.directory);
    GDALDatasetH from = GDALOpenEx(collection, GDAL_OF_VECTOR, NULL, NULL, NULL);
    assert_non_null(from);
    GDALDatasetH to = GDALCreate(GDALGetDriverByName("GPKG"), path, 0, 0, 0, GDT_Unknown, NULL);
    assert_non_null(to);
    assert_non_null(GDALDatasetCopyLayer(to, GDALDatasetGetLayer(from, 0), "tiles", NULL));
    GDALClose(from);
    GDALClose(to);
    sgc_stac_index *index;
    sgc_error error = {""};
    if (load("/index.gpkg", NULL, "dem_id", &index, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_selects(index, (sgc_rect){0, 0, 10, 10}, "a ");
    sgc_stac_index_free(index);
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *path, *content, *column;
        sgc_status status;
        const char *message;
    } cases[] = {
        {"/index.geojson", "<html>Please log in</html>", "dem_id", SGC_CORRUPT, "index.geojson"},
        {"/index.geojson", collection, "tile_id", SGC_INVALID, "no column \"tile_id\""},
        {"/index.zip", "no zip", "dem_id", SGC_CORRUPT, "is no zip"},
        {"/index.txt", "text", "dem_id", SGC_UNSUPPORTED, "format"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_stac_index *index;
        sgc_error error = {""};
        http_server_write(&server, cases[i].path + 1, cases[i].content, strlen(cases[i].content));
        assert_int_equal(load(cases[i].path, NULL, cases[i].column, &index, &error),
                         cases[i].status);
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i].message);
        assert_non_null(strstr(error.message, "http://127.0.0.1"));
    }
}

static void test_missing_driver(void **state)
{
    (void)state;
    sgc_stac_index *index;
    sgc_error error = {""};
    GDALDriverH driver = GDALGetDriverByName("Parquet");
    if (driver != NULL)
        GDALDeregisterDriver(driver);
    assert_false(sgc_stac_index_is_readable("Index_32m.parquet"));
    assert_true(sgc_stac_index_is_readable("https://a.example/Index.geojson?key=x"));
    assert_true(sgc_stac_index_is_readable("https://a.example/Index.zip"));
    http_server_write(&server, "index.parquet", "PAR1", 4);
    assert_int_equal(load("/index.parquet", NULL, "dem_id", &index, &error), SGC_UNSUPPORTED);
    assert_non_null(strstr(error.message, "Parquet"));
    assert_non_null(strstr(error.message, "install"));
    if (driver != NULL)
        GDALRegisterDriver(driver);
}

static void *load_again_and_again(void *user)
{
    int *failures = user;
    for (int i = 0; i < 10; i++) {
        sgc_stac_index *index;
        if (load("/index.geojson", NULL, "dem_id", &index, NULL) == SGC_OK)
            sgc_stac_index_free(index);
        else
            ++*failures;
    }
    return NULL;
}

/* Many at once, while the file changes and copies vanish. */
static void test_many_at_once(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    int failures[THREADS] = {0};
    publish("index.geojson");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_again_and_again, &failures[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

static void test_directory_that_cannot_be_made(void **state)
{
    (void)state;
    sgc_stac_index *index;
    sgc_error error = {""};
    CPLSetConfigOption("SGC_INDEX_CACHE", "/dev/null/cache");
    assert_int_equal(load("/index.geojson", NULL, "dem_id", &index, &error), SGC_IO);
    assert_non_null(strstr(error.message, "SGC_INDEX_CACHE"));
    assert_int_equal(http_server_count(&server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rows_without_place, renew),
        cmocka_unit_test_setup(test_rows_without_item, renew),
        cmocka_unit_test_setup(test_rows_with_a_bbox_alone, renew),
        cmocka_unit_test_setup(test_selection, renew),
        cmocka_unit_test_setup(test_copy_that_is_kept, renew),
        cmocka_unit_test_setup(test_etag, renew),
        cmocka_unit_test_setup(test_damaged_copies, renew),
        cmocka_unit_test_setup(test_member_of_a_zip, renew),
        cmocka_unit_test_setup(test_geopackage, renew),
        cmocka_unit_test_setup(test_what_cannot_be_read, renew),
        cmocka_unit_test_setup(test_missing_driver, renew),
        cmocka_unit_test_setup(test_many_at_once, renew),
        cmocka_unit_test_setup(test_directory_that_cannot_be_made, renew),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
