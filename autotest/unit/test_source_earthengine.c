/* The earthengine source against a server that plays the service: pixels, requests, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/earthengine_testing.h"
#include "autotest/unit/http_server_process.h"
#include "datasets/registry.h"
#include "datasets/source.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPUTE_PIXELS "/v1/projects/example/image:computePixels"
#define SERVICE_ERROR(code, text) \
    "{\\\"error\\\": {\\\"code\\\": " #code ", \\\"message\\\": \\\"" text "\\\"}}"

static http_server server;

static int start_server(void **state)
{
    (void)state;
    GDALAllRegister();
    http_server_start(&server, "earthengine_server.py");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    GDALDestroyDriverManager();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    http_server_reset(&server);
    CPLSetConfigOption("EEDA_BEARER", "test-bearer");
    CPLSetConfigOption("SGC_PROJECT", "example");
    CPLSetConfigOption("SGC_TRUSTED_HOSTS", "a.example, 127.0.0.1");
    CPLSetConfigOption("GDAL_HTTP_RETRY_DELAY", "0.001");
    return 0;
}

/* ---- reading from the server ---- */

static sgc_source *open_source(const sgc_definition *d)
{
    const http_server_url url = http_server_address(&server, "");
    const sgc_source_options options = {.url = url.text};
    sgc_source *source = NULL;
    sgc_error error = {""};
    if (sgc_source_new(d, d->source, &options, &source, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return source;
}

/* The server's formula; -1 where it masks. */
static int formula(double x, double y, int band, int year)
{
    const int u = (int)floor(8 * x), v = (int)floor(8 * y);
    const int cell = (int)(floor(u / 16.0) + floor(v / 16.0));
    const int n = 7 * u + 13 * v + 31 * band + 17 * (year - 2000);
    return (cell % 5 + 5) % 5 == 0 ? -1 : (n % 251 + 251) % 251;
}

/* What one read has given. */
typedef struct pixels {
    void *data[3];
    uint8_t *valid[3];
    sgc_fetch fetch;
} pixels;

static sgc_status read_pixels(sgc_source *source, const sgc_patch *patch, const size_t *bands,
                              size_t count, int64_t factor, sgc_rect rect, pixels *out,
                              sgc_error *err)
{
    const size_t size = (size_t)(rect.width * rect.height);
    for (size_t i = 0; i < count; i++) {
        out->data[i] = malloc(size * 4);
        out->valid[i] = malloc(size);
        memset(out->valid[i], 77, size);
    }
    return source->read(source, patch, bands, count, factor, rect, out->data, out->valid,
                        &out->fetch, NULL, err);
}

static void free_pixels(pixels *p)
{
    for (int i = 0; i < 3; i++) {
        free(p->data[i]);
        free(p->valid[i]);
    }
    *p = (pixels){0};
}

/* Every uint8 pixel of a read is that of the formula, none where it masks or is off the Earth. */
static void check_bytes(const sgc_definition *d, const size_t *bands, size_t count, int64_t factor,
                        sgc_rect rect, const pixels *p)
{
    const double *t = d->grid.transform, f = (double)factor;
    for (size_t b = 0; b < count; b++) {
        for (int64_t i = 0; i < rect.width * rect.height; i++) {
            const double x = t[0] + ((double)(rect.x + i % rect.width) + 0.5) * f * t[1];
            const double y = t[3] + ((double)(rect.y + i / rect.width) + 0.5) * f * t[5];
            const bool is_there = fabs(x) <= 180 && fabs(y) <= 90;
            const int wanted = is_there ? formula(x, y, (int)bands[b], 2000) : -1;
            assert_int_equal(p->valid[b][i], wanted >= 0);
            if (wanted >= 0)
                assert_int_equal(((uint8_t *)p->data[b])[i], wanted);
        }
    }
}

static const size_t three[] = {0, 1, 2};

static void read_and_check(sgc_source *source, const sgc_definition *d, const sgc_patch *patch,
                           size_t count, int64_t factor, sgc_rect rect)
{
    pixels p = {0};
    sgc_error error = {""};
    if (read_pixels(source, patch, three, count, factor, rect, &p, &error) != SGC_OK)
        fail_msg("%s", error.message);
    check_bytes(d, three, count, factor, rect, &p);
    assert_true(p.fetch.bytes > 0);
    free_pixels(&p);
}

static sgc_patch_list find(sgc_source *source, sgc_rect rect, size_t step)
{
    sgc_patch_list list = {0};
    assert_int_equal(source->find(source, rect, step, NULL, &list, NULL), SGC_OK);
    return list;
}

static void check_found(sgc_source *source, sgc_rect rect, const char *ids)
{
    char text[512] = "";
    sgc_patch_list list = find(source, rect, 0);
    for (size_t i = 0; i < list.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? " " : "",
                 list.patches[i].id);
    assert_string_equal(text, ids);
    sgc_patch_list_free(&list);
}

static void test_patches_are_chunks(void **state)
{
    (void)state;
    sgc_definition *d = NULL;
    assert_int_equal(sgc_registry_find("TCTrend2024", NULL, &d, NULL), SGC_OK);
    sgc_source *source = open_source(d);
    assert_true(source->finds_alone && source->reads_together && source->has_levels);
    check_found(source, (sgc_rect){1224514, 89056, 3712, 3711}, "24-340 24-341 25-340 25-341");
    check_found(source, (sgc_rect){0, 82376, 1856, 1114}, "22-0 23-0");
    check_found(source, (sgc_rect){1333978, 82376, 1856, 1114}, "22-370 22-371 23-370 23-371");
    check_found(source, (sgc_rect){-50, -50, 60, 60}, "0-0");
    check_found(source, (sgc_rect){1335834, 0, 5, 5}, "");
    sgc_patch_list list = find(source, (sgc_rect){1335833, 667917, 1, 1}, 0);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.patches[0].id, "185-371");
    assert_true(
        sgc_rect_equal(list.patches[0].rect, (sgc_rect){371 * 3600, 185 * 3600, 234, 1918}));
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
    assert_int_equal(http_server_count(&server), 0);
}

static void test_every_pixel(void **state)
{
    (void)state;
    sgc_definition *d = make_definition(SMALL_GRID, TREND, TREND_TYPE, TREND_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, (sgc_rect){0, 0, 100, 80}, 0);
    assert_int_equal(list.count, 9);
    CPLSetThreadLocalConfigOption("SGC_TEST", "kept");
    for (size_t i = 0; i < list.count; i++)
        read_and_check(source, d, &list.patches[i], 3, 1, list.patches[i].rect);
    assert_int_equal(http_server_count(&server), 9);
    read_and_check(source, d, &list.patches[4], 2, 1, (sgc_rect){55, 40, 17, 9});
    char **configuration = CPLGetThreadLocalConfigOptions();
    assert_int_equal(CSLCount(configuration), 1);
    assert_string_equal(configuration[0], "SGC_TEST=kept");
    CSLDestroy(configuration);
    CPLSetThreadLocalConfigOption("SGC_TEST", NULL);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

static void test_levels_ask_coarse_grids(void **state)
{
    (void)state;
    sgc_definition *d = make_definition(SMALL_GRID, TREND, TREND_TYPE, TREND_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = {0};
    assert_int_equal(source->find_level(source, (sgc_rect){0, 0, 104, 80}, 0, NULL, &list, NULL),
                     SGC_OK);
    assert_int_equal(list.count, 1);
    for (int64_t factor = 2; factor <= 8; factor *= 2)
        read_and_check(source, d, &list.patches[0], 3, factor,
                       sgc_rect_at_level(&d->grid, list.patches[0].rect, factor));
    assert_int_equal(http_server_count(&server), 3);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

/* Defects 15 and 16 of the Python package: edges beyond ±180, rows beyond the poles. */
static void test_what_lies_off_the_earth_is_nodata(void **state)
{
    (void)state;
    sgc_definition *d =
        make_definition("\"proj:transform\": [1, 0, -181, 0, -1, 91], \"proj:shape\": [182, 362]",
                        "TCB_slope", TREND_TYPE, TREND_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, (sgc_rect){0, 0, 362, 182}, 0);
    assert_int_equal(list.count, 1);
    read_and_check(source, d, &list.patches[0], 1, 1, list.patches[0].rect);
    assert_int_equal(http_server_count(&server), 1);

    pixels p = {0};
    const sgc_rect polar = {3, 0, 5, 1};
    assert_int_equal(read_pixels(source, &list.patches[0], three, 1, 1, polar, &p, NULL), SGC_OK);
    check_bytes(d, three, 1, 1, polar, &p);
    assert_int_equal(p.fetch.bytes, 0);
    free_pixels(&p);
    assert_int_equal(http_server_count(&server), 1);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

/* ---- splitting ---- */

static const sgc_rect small_patch = {0, 0, 48, 32};

static void read_small(const char *source_keys)
{
    sgc_definition *d = make_definition(SMALL_GRID, TREND, TREND_TYPE, source_keys, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, small_patch, 0);
    assert_int_equal(list.count, 1);
    read_and_check(source, d, &list.patches[0], 3, 1, small_patch);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

static void test_requests_are_split_before(void **state)
{
    (void)state;
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS "\", \"max_request_bytes\": 4000}");
    read_small(TREND_SOURCE ", \"max_request_bytes\": 4000"); /* 9 rows of 48 x 9 bytes */
    assert_int_equal(http_server_count(&server), 4);
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS "\", \"max_request_bytes\": 200}");
    read_small(TREND_SOURCE ", \"max_request_bytes\": 200"); /* 22 columns of a row */
    assert_int_equal(http_server_count(&server), 96);
}

static void test_requests_are_halved_when_refused(void **state)
{
    (void)state;
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS "\", \"max_request_bytes\": 4000}");
    read_small(TREND_SOURCE);
    assert_int_equal(http_server_count(&server), 7);
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS "\", \"max_pixels\": 500}");
    read_small(TREND_SOURCE);
    assert_int_equal(http_server_count(&server), 7);
}

/* ---- collections ---- */

/* Reads float bands A00 and A02; `value` of the formula is expected. */
static void check_annual(sgc_source *source, const sgc_definition *d, size_t step,
                         double (*value)(double x, double y, int band))
{
    sgc_patch_list list = find(source, small_patch, step);
    static const size_t bands[] = {0, 2};
    pixels p = {0};
    sgc_error error = {""};
    if (read_pixels(source, &list.patches[0], bands, 2, 1, small_patch, &p, &error) != SGC_OK)
        fail_msg("%s", error.message);
    const double *t = d->grid.transform;
    for (size_t b = 0; b < 2; b++) {
        for (int64_t i = 0; i < small_patch.width * small_patch.height; i++) {
            const double x = t[0] + ((double)(i % small_patch.width) + 0.5) * t[1];
            const double y = t[3] + ((double)(i / small_patch.width) + 0.5) * t[5];
            const bool is_there = formula(x, y, 0, 2000) >= 0;
            assert_int_equal(p.valid[b][i], is_there);
            if (is_there)
                assert_true(((float *)p.data[b])[i] == value(x, y, (int)bands[b]));
        }
    }
    free_pixels(&p);
    sgc_patch_list_free(&list);
}

static double of_2019(double x, double y, int band)
{
    return formula(x, y, band, 2019) / 8.0 - 10;
}

static double of_2020(double x, double y, int band)
{
    return formula(x, y, band, 2020) / 8.0 - 10;
}

static double of_2022(double x, double y, int band)
{
    return formula(x, y, band, 2022) / 8.0 - 10;
}

static double of_the_middle(double x, double y, int band)
{
    const double a = of_2019(x, y, band), b = of_2020(x, y, band), c = of_2022(x, y, band);
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

static void test_time_steps(void **state)
{
    (void)state;
    sgc_definition *d = make_definition(SMALL_GRID, "A00 A01 A02", FLOAT_TYPE, ANNUAL_SOURCE, 4);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, (sgc_rect){50, 40, 1, 1}, 2);
    assert_string_equal(list.patches[0].id, "2-1-1");
    assert_int_equal(list.patches[0].step, 2);
    check_annual(source, d, 0, of_2019);
    check_annual(source, d, 1, of_2020);
    check_annual(source, d, 3, of_2022);

    pixels p = {0};
    sgc_error error = {""};
    assert_int_equal(
        read_pixels(source, &list.patches[0], three, 3, 1, (sgc_rect){50, 40, 9, 9}, &p, &error),
        SGC_NOT_FOUND);
    assert_non_null(strstr(error.message, "patch 2-1-1: the collection has no images"));
    free_pixels(&p);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

static void check_reducer(const char *keys, double (*value)(double x, double y, int band))
{
    sgc_definition *d = make_definition(SMALL_GRID, "A00 A01 A02", FLOAT_TYPE, keys, 0);
    sgc_source *source = open_source(d);
    check_annual(source, d, 0, value);
    sgc_source_free(source);
    sgc_definition_free(d);
}

static void test_reducers(void **state)
{
    (void)state;
    check_reducer(ANNUAL_SOURCE, of_2022);
    check_reducer(ANNUAL_SOURCE ", \"reducer\": \"mosaic\"", of_2022);
    check_reducer(ANNUAL_SOURCE ", \"reducer\": \"first\"", of_2019);
    check_reducer(ANNUAL_SOURCE ", \"reducer\": \"median\"", of_the_middle);
}

#define RELIEF_SOURCE                                                                          \
    "\"asset\": \"projects/example/assets/relief\", \"asset_type\": \"IMAGE\", \"sentinel\": " \
    "-32768"

static void test_single_image(void **state)
{
    (void)state;
    sgc_definition *d =
        make_definition(SMALL_GRID, "relief", "\"int16\", \"nodata\": -1", RELIEF_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, small_patch, 0);
    pixels p = {0};
    assert_int_equal(read_pixels(source, &list.patches[0], three, 1, 1, small_patch, &p, NULL),
                     SGC_OK);
    for (int64_t i = 0; i < 48 * 32; i++) {
        const int n = formula(-10 + (double)(i % 48) * 0.25 + 0.125,
                              60 - (double)(i / 48) * 0.25 - 0.125, 0, 2000);
        assert_int_equal(p.valid[0][i], n >= 0);
        if (n >= 0)
            assert_int_equal(((int16_t *)p.data[0])[i], n * 100 - 12000);
    }
    free_pixels(&p);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

/* ---- failures ---- */

/* Reading fails with `status` and says `message`. */
static void check_failure(const char *bands, const char *type, const char *keys, sgc_status status,
                          const char *message)
{
    sgc_definition *d = make_definition(SMALL_GRID, bands, type, keys, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, small_patch, 0);
    pixels p = {0};
    sgc_error error = {""};
    assert_int_equal(
        read_pixels(source, &list.patches[0], three, d->band_count, 1, small_patch, &p, &error),
        status);
    if (strstr(error.message, message) == NULL || strstr(error.message, "patch 0-0: ") == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    if (strstr(error.message, "test-bearer") != NULL)
        fail_msg("a secret in \"%s\"", error.message);
    free_pixels(&p);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

static void check_trend_failure(sgc_status status, const char *message)
{
    check_failure(TREND, TREND_TYPE, TREND_SOURCE, status, message);
}

static void test_permanent_refusals(void **state)
{
    (void)state;
    check_failure("a", TREND_TYPE, "\"asset\": \"users/example/missing\", \"sentinel\": -1",
                  SGC_NETWORK,
                  "ImageCollection asset 'users/example/missing' not found (does not exist or "
                  "caller does not have access).");
    assert_int_equal(http_server_count(&server), 1);
    check_failure("TCB_slope elevation", TREND_TYPE, TREND_SOURCE, SGC_NETWORK,
                  "Image.select: Pattern 'elevation' did not match any bands.");
    CPLSetConfigOption("SGC_PROJECT", "another");
    check_trend_failure(SGC_AUTH, "Permission 'earthengine.computations.create' denied");
    CPLSetConfigOption("SGC_PROJECT", NULL);
    check_trend_failure(SGC_AUTH, "set SGC_PROJECT or GOOGLE_CLOUD_PROJECT");
}

static void test_not_found_is_no_absence(void **state)
{
    (void)state;
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS
                               "\", \"status\": 404, \"body\": \"no such method\"}");
    check_trend_failure(SGC_NETWORK, "404: no such method");
}

static void test_values_beyond_the_type(void **state)
{
    (void)state;
    check_failure("relief", TREND_TYPE, RELIEF_SOURCE, SGC_CORRUPT, "which uint8 cannot hold");
}

static void test_credentials_go_to_trusted_hosts_only(void **state)
{
    (void)state;
    CPLSetConfigOption("SGC_TRUSTED_HOSTS", "127.0.0.10,example.org");
    check_trend_failure(SGC_AUTH, "name the host in SGC_TRUSTED_HOSTS");
    cJSON *log = http_server_log(&server);
    assert_int_equal(cJSON_GetArraySize(log), 1);
    const cJSON *headers = cJSON_GetObjectItem(cJSON_GetArrayItem(log, 0), "headers");
    assert_non_null(headers);
    assert_null(cJSON_GetObjectItem(headers, "Authorization"));
    cJSON_Delete(log);

    const http_server_url url = http_server_address(&server, "/v1alpha/");
    CPLSetConfigOption("EEDA_URL", url.text);
    read_small(TREND_SOURCE);
    CPLSetConfigOption("EEDA_URL", NULL);
}

static void test_transient_refusals(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 2, \"status\": 429, \"retry_after\": 0, "
        "\"body\": \"" SERVICE_ERROR(429, "Too Many Requests") "\"}",
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 2, \"status\": 503}",
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 2, \"reset\": true}",
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 2, \"truncate\": 100}",
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 1, \"status\": 200, \"content_type\": "
        "\"text/html\", \"body\": \"<html>Welcome</html>\"}",
        "{\"path\": \"" COMPUTE_PIXELS "\", \"times\": 1, \"spoil\": 12}",
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        http_server_reset(&server);
        http_server_fault(&server, faults[i]);
        read_small(TREND_SOURCE);
        assert_int_equal(http_server_count(&server), i < 4 ? 3 : 2);
    }
}

static void test_lasting_trouble(void **state)
{
    (void)state;
    CPLSetConfigOption("GDAL_HTTP_MAX_RETRY", "2");
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS
                               "\", \"status\": 429, \"body\": \"" SERVICE_ERROR(
                                   429, "Too Many Requests: slow down.") "\"}");
    check_trend_failure(SGC_NETWORK, "Too Many Requests: slow down.");
    assert_int_equal(http_server_count(&server), 3);
    CPLSetConfigOption("GDAL_HTTP_MAX_RETRY", NULL);
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS
                               "\", \"status\": 200, \"content_type\": \"text/html\", \"body\": "
                               "\"<html>Welcome</html>\"}");
    check_trend_failure(SGC_CORRUPT, "an answer of type text/html: the answer is no GeoTIFF file");
    assert_int_equal(http_server_count(&server), 2);
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"" COMPUTE_PIXELS "\", \"status\": 401}");
    check_trend_failure(SGC_AUTH, "401");
    assert_int_equal(http_server_count(&server), 1);
}

static bool yes(void *user)
{
    (void)user;
    return true;
}

static void test_cancelled(void **state)
{
    (void)state;
    sgc_definition *d = make_definition(SMALL_GRID, "TCB_slope", TREND_TYPE, TREND_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, small_patch, 0);
    uint8_t data[48 * 32], valid[48 * 32];
    void *const pixels_of[] = {data};
    uint8_t *const valid_of[] = {valid};
    const sgc_cancel cancel = {.requested = yes};
    sgc_fetch fetch;
    assert_int_equal(source->read(source, &list.patches[0], three, 1, 1, small_patch, pixels_of,
                                  valid_of, &fetch, &cancel, NULL),
                     SGC_CANCELLED);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    sgc_definition_free(d);
}

/* By the parser or by the source, with a pointer. */
static void test_definitions_refused(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
        size_t years;
    } cases[] = {
        {"\"sentinel\": -1", "/source/asset: required", 0},
        {"\"asset\": 7, \"sentinel\": -1", "/source/asset: must be a text", 0},
        {"\"asset\": \"a\"", "/source/sentinel: required", 0},
        {"\"asset\": \"a\", \"sentinel\": \"nan\"", "/source/sentinel: must be a number", 0},
        {TREND_SOURCE ", \"reducer\": \"mean\"", "/source/reducer: ", 0},
        {TREND_SOURCE ", \"asset_type\": \"FOLDER\"", "/source/asset_type: ", 0},
        {RELIEF_SOURCE ", \"reducer\": \"first\"", "/source/reducer: ", 0},
        {RELIEF_SOURCE, "/source/asset_type: a single image has no time steps", 2},
        {TREND_SOURCE ", \"date_property\": 7", "/source/date_property: ", 0},
        {TREND_SOURCE ", \"max_request_bytes\": 0", "/source/max_request_bytes: ", 0},
        {TREND_SOURCE ", \"max_request_bytes\": 1e9", "/source/max_request_bytes: ", 0},
        {TREND_SOURCE ", \"url\": \"ftp://a.example\"", "/source/url: ", 0},
        {TREND_SOURCE ", \"url\": \"https://me:secret@a.example\"", "/source/url: ", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sgc_source_options options = {0};
        sgc_definition *d = NULL;
        sgc_source *source = NULL;
        sgc_error error = {""};
        if (parse_definition(SMALL_GRID, "a", TREND_TYPE, cases[i].source, cases[i].years, &d,
                             &error) == SGC_OK) {
            assert_int_not_equal(sgc_source_new(d, d->source, &options, &source, &error), SGC_OK);
            assert_null(source);
            sgc_definition_free(d);
        }
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i].message);
        assert_null(strstr(error.message, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_patches_are_chunks, set_up),
        cmocka_unit_test_setup(test_every_pixel, set_up),
        cmocka_unit_test_setup(test_levels_ask_coarse_grids, set_up),
        cmocka_unit_test_setup(test_what_lies_off_the_earth_is_nodata, set_up),
        cmocka_unit_test_setup(test_requests_are_split_before, set_up),
        cmocka_unit_test_setup(test_requests_are_halved_when_refused, set_up),
        cmocka_unit_test_setup(test_time_steps, set_up),
        cmocka_unit_test_setup(test_reducers, set_up),
        cmocka_unit_test_setup(test_single_image, set_up),
        cmocka_unit_test_setup(test_permanent_refusals, set_up),
        cmocka_unit_test_setup(test_not_found_is_no_absence, set_up),
        cmocka_unit_test_setup(test_values_beyond_the_type, set_up),
        cmocka_unit_test_setup(test_credentials_go_to_trusted_hosts_only, set_up),
        cmocka_unit_test_setup(test_transient_refusals, set_up),
        cmocka_unit_test_setup(test_lasting_trouble, set_up),
        cmocka_unit_test_setup(test_cancelled, set_up),
        cmocka_unit_test_setup(test_definitions_refused, set_up),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
