/* The earthengine source: what it asks for, how answers become pixels, what refusals mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/earthengine.h"
#include "datasets/source.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPUTE_PIXELS "/v1/projects/example/image:computePixels"
#define SERVICE_ERROR(code, text) \
    "{\\\"error\\\": {\\\"code\\\": " #code ", \\\"message\\\": \\\"" text "\\\"}}"

static http_server server;

static int start(void **state)
{
    (void)state;
    GDALAllRegister();
    http_server_start(&server, "earthengine_server.py");
    return 0;
}

static int stop(void **state)
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

/* ---- definitions ---- */

/* Parses the definition of a grid in EPSG:4326 whose bands are `bands`, of one type, separated by
 * spaces. */
static sgc_status parse_definition(const char *grid, const char *bands, const char *type,
                                   const char *source, sgc_definition **out, sgc_error *err)
{
    char text[8192], list[6144] = "";
    char **names = CSLTokenizeString2(bands, " ", 0);
    for (int i = 0; names[i] != NULL; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list),
                 "%s{\"name\": \"%s\", \"data_type\": %s}", i > 0 ? ", " : "", names[i], type);
    CSLDestroy(names);
    snprintf(text, sizeof text,
             "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": "
             "\"EPSG:4326\", %s, \"bands\": [%s], \"source\": {\"kind\": \"earthengine\", %s}}",
             grid, list, source);
    return sgc_definition_parse(text, "x.json", NULL, out, err);
}

/* Gives it `count` yearly steps from 2019 on. */
static void set_years(sgc_definition *d, size_t count)
{
    static const int64_t starts[] = {1546300800, 1577836800, 1609459200, 1640995200, 1672531200};
    d->time.count = count;
    d->time.starts = (int64_t *)starts;
    d->time.ends = (int64_t *)starts + 1;
}

/* Gives a good definition. */
static sgc_definition *make_definition(const char *grid, const char *bands, const char *type,
                                       const char *source, size_t years)
{
    sgc_definition *d = NULL;
    sgc_error error = {""};
    if (parse_definition(grid, bands, type, source, &d, &error) != SGC_OK)
        fail_msg("%s", error.message);
    set_years(d, years);
    return d;
}

static void free_definition(sgc_definition *d)
{
    d->time = (sgc_time_axis){0};
    sgc_definition_free(d);
}

#define SMALL_GRID                                       \
    "\"proj:transform\": [0.25, 0, -10, 0, -0.25, 60], " \
    "\"proj:shape\": [80, 100], \"chunk_shape\": [32, 48]"
#define TREND "TCB_slope TCG_slope TCW_slope"
#define TREND_TYPE "\"uint8\", \"nodata\": 255"
#define TREND_SOURCE "\"asset\": \"projects/example/assets/trend\", \"sentinel\": -1"
#define FLOAT_TYPE "\"float32\""
#define ANNUAL_SOURCE "\"asset\": \"EXAMPLE/ANNUAL\", \"sentinel\": -9999"

/* ---- bodies ---- */

static cJSON *read_example(const char *name)
{
    const char *source = getenv("SGC_SOURCE_DIR");
    char path[512];
    GByte *data = NULL;
    snprintf(path, sizeof path, "%s/autotest/data/earthengine/%s", source == NULL ? "." : source,
             name);
    assert_true(VSIIngestFile(NULL, path, &data, NULL, -1));
    cJSON *json = cJSON_Parse((const char *)data);
    assert_non_null(json);
    VSIFree(data);
    return json;
}

/* As cJSON_Compare(), but numbers must be the same doubles. */
static void assert_json_equal(const cJSON *a, const cJSON *b, const char *where)
{
    if (a == NULL || b == NULL || a->type != b->type ||
        cJSON_GetArraySize(a) != cJSON_GetArraySize(b))
        fail_msg("%s differs in kind or size", where);
    if (cJSON_IsString(a))
        assert_string_equal(a->valuestring, b->valuestring);
    if (cJSON_IsNumber(a) && a->valuedouble != b->valuedouble)
        fail_msg("%s: %.17g is not %.17g", where, a->valuedouble, b->valuedouble);
    const cJSON *item;
    int i = 0;
    cJSON_ArrayForEach(item, a)
    {
        char inner[512];
        snprintf(inner, sizeof inner, "%.400s/%.50s", where, item->string ? item->string : "[]");
        assert_json_equal(item,
                          cJSON_IsObject(a) ? cJSON_GetObjectItemCaseSensitive(b, item->string)
                                            : cJSON_GetArrayItem(b, i++),
                          inner);
    }
}

/* What reading all bands of a patch would ask for. */
typedef struct planned {
    sgc_ee_product product;
    sgc_ee_window window;
    sgc_rect patch;
    sgc_ee_plan plan;
    size_t bands[64];
} planned;

static void make_plan(planned *p, const sgc_definition *d, size_t step, sgc_rect patch)
{
    *p = (planned){.patch = patch};
    assert_int_equal(sgc_ee_product_init(&p->product, d, d->source, NULL), SGC_OK);
    for (size_t i = 0; i < d->band_count; i++)
        p->bands[i] = i;
    p->window = (sgc_ee_window){.bands = p->bands, .count = d->band_count, .step = step};
    assert_int_equal(
        sgc_ee_find_sample(&p->product, p->bands, d->band_count, &p->window.sample, NULL), SGC_OK);
    assert_int_equal(sgc_ee_plan_parts(patch, d->band_count, p->window.sample, p->product.max_bytes,
                                       &p->plan, NULL),
                     SGC_OK);
}

static void free_plan(planned *p)
{
    free(p->plan.parts);
    sgc_ee_product_clear(&p->product);
}

static cJSON *body_of(planned *p, size_t index)
{
    const sgc_rect rect = p->plan.parts[index].rect;
    sgc_ee_place(&p->product.definition->grid, p->patch, rect, &p->window);
    char *text = sgc_ee_print_request(&p->product, &p->window);
    cJSON *body = cJSON_Parse(text);
    assert_non_null(body);
    cJSON_free(text);
    return body;
}

/* The bodies of a plan's first requests are those of the example, but for its client's tag. */
static void check_bodies(planned *p, const cJSON *example)
{
    const cJSON *requests = cJSON_GetObjectItem(example, "requests");
    cJSON *wanted;
    size_t i = 0;
    cJSON_ArrayForEach(wanted, requests)
    {
        cJSON *body = body_of(p, i++);
        cJSON_DeleteItemFromObject(wanted, "workloadTag");
        assert_json_equal(body, wanted, "body");
        cJSON_Delete(body);
    }
    const sgc_rect first = p->plan.parts[0].rect;
    const double bytes = (double)first.width * (double)first.height * (double)p->window.count *
                         (double)(p->window.sample->size + 1);
    assert_true(bytes == cJSON_GetObjectItem(example, "request_bytes_accounted")->valuedouble);
}

static sgc_definition *tctrend(void)
{
    return make_definition(
        "\"proj:transform\": [0.00026949458523585647, 0, -180.00001488697754, 0, "
        "-0.00026949458523585647, 90.00014219078139], \"proj:shape\": [667918, 1335834]",
        TREND, "\"uint8\", \"nodata\": 0",
        "\"asset\": \"projects/ee-ingmarnitze/assets/TCTrend_SR_2005-2024_TCVIS\", "
        "\"sentinel\": -1",
        0);
}

static void test_bodies_of_tctrend(void **state)
{
    (void)state;
    cJSON *example = read_example("tctrend2024-patch-24-340.requests.json");
    sgc_definition *d = tctrend();
    planned p;
    make_plan(&p, d, 0, (sgc_rect){340 * 3600, 24 * 3600, 3600, 3600});
    assert_int_equal(p.plan.count, cJSON_GetArraySize(cJSON_GetObjectItem(example, "requests")));
    check_bodies(&p, example);
    free_plan(&p);
    free_definition(d);
    cJSON_Delete(example);
}

static void test_bodies_of_alphaearth(void **state)
{
    (void)state;
    char bands[512] = "";
    for (int i = 0; i < 64; i++)
        snprintf(bands + strlen(bands), sizeof bands - strlen(bands), " A%02d", i);
    sgc_definition *d = make_definition(
        "\"proj:transform\": [8.98315284e-05, 0, -180.00001486302838, 0, -8.98315284e-05, "
        "90.0000523472784], \"proj:shape\": [2003752, 4007502]",
        bands, FLOAT_TYPE,
        "\"asset\": \"GOOGLE/SATELLITE_EMBEDDING/V1/ANNUAL\", \"sentinel\": -9999", 4);
    cJSON *example = read_example("alphaearth-2020-patch-3-76-1020.request.json");
    planned p;
    make_plan(&p, d, 1, (sgc_rect){1020 * 3600, 76 * 3600, 3600, 3600});
    assert_int_equal(p.plan.count, cJSON_GetObjectItem(example, "requests_per_patch")->valueint);
    check_bodies(&p, example);

    cJSON *last = body_of(&p, 83);
    const cJSON *grid = cJSON_GetObjectItem(last, "grid");
    const cJSON *height = cJSON_GetObjectItem(cJSON_GetObjectItem(grid, "dimensions"), "height");
    const cJSON *y =
        cJSON_GetObjectItem(cJSON_GetObjectItem(grid, "affineTransform"), "translateY");
    assert_int_equal(height->valueint, 3600 - 83 * 43);
    assert_true(y->valuedouble == 65.4221461770384 + 83 * 43 * -8.98315284e-05);
    cJSON_Delete(last);
    free_plan(&p);
    free_definition(d);
    cJSON_Delete(example);
}

static void test_plan_covers_every_pixel_once(void **state)
{
    (void)state;
    static const sgc_ee_sample sample = {.size = 2};
    static const struct {
        int64_t width, height;
        size_t bands;
        uint64_t max_bytes;
    } cases[] = {{100, 70, 3, 50331648}, {100, 70, 3, 9 * 350},    {100, 70, 3, 9 * 33},
                 {100, 70, 3, 9},        {40000, 3, 1, 50331648},  {7, 5, 2500, 50331648},
                 {1, 40000, 1, 1},       {100, 70, 2000, 1024 * 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const sgc_rect rect = {11, 13, cases[c].width, cases[c].height};
        sgc_ee_plan plan;
        assert_int_equal(
            sgc_ee_plan_parts(rect, cases[c].bands, &sample, cases[c].max_bytes, &plan, NULL),
            SGC_OK);
        uint64_t covered = 0;
        for (size_t i = 0; i < plan.count; i++) {
            const sgc_ee_part *part = &plan.parts[i];
            const uint64_t pixels = (uint64_t)(part->rect.width * part->rect.height);
            assert_true(sgc_rect_contains(rect, part->rect));
            assert_true(part->rect.width <= 32768 && part->rect.height <= 32768);
            assert_true(part->band_count <= 1024);
            assert_true(pixels == 1 || pixels * part->band_count * 3 <= cases[c].max_bytes);
            covered += pixels * part->band_count;
            for (size_t k = 0; k < i && plan.count < 500; k++)
                assert_true(plan.parts[k].first_band != part->first_band ||
                            sgc_rect_is_empty(sgc_rect_intersect(plan.parts[k].rect, part->rect)));
        }
        assert_int_equal(covered, (uint64_t)(rect.width * rect.height) * cases[c].bands);
        free(plan.parts);
    }
}

static void check_sample(const char *type, const char *sentinel, const char *cast)
{
    char source[128];
    snprintf(source, sizeof source, "\"asset\": \"a\", \"sentinel\": %s", sentinel);
    sgc_definition *d = make_definition(SMALL_GRID, "a", type, source, 0);
    sgc_ee_product product;
    const sgc_ee_sample *sample = NULL;
    const size_t band = 0;
    assert_int_equal(sgc_ee_product_init(&product, d, d->source, NULL), SGC_OK);
    assert_int_equal(sgc_ee_find_sample(&product, &band, 1, &sample, NULL), SGC_OK);
    assert_string_equal(sample->cast, cast);
    sgc_ee_product_clear(&product);
    free_definition(d);
}

static void test_smallest_sample_is_chosen(void **state)
{
    (void)state;
    check_sample("\"uint8\", \"nodata\": 0", "0", "Image.toUint8");
    check_sample("\"uint8\", \"nodata\": 0", "-1", "Image.toInt16");
    check_sample("\"uint8\", \"nodata\": 0", "40000", "Image.toUint16");
    check_sample("\"uint8\", \"nodata\": 0", "0.5", "Image.toFloat");
    check_sample("\"bool\"", "255", "Image.toUint8");
    check_sample("\"int16\", \"nodata\": 0", "-32768", "Image.toInt16");
    check_sample("\"int16\", \"nodata\": 0", "-32769", "Image.toInt32");
    check_sample("\"uint16\", \"nodata\": 0", "-1", "Image.toInt32");
    check_sample("\"uint32\", \"nodata\": 0", "-1", "Image.toDouble");
    check_sample("\"int32\", \"nodata\": 0", "4e9", "Image.toDouble");
    check_sample("\"float32\"", "-9999", "Image.toFloat");
    check_sample("\"float32\"", "0.1", "Image.toDouble");
    check_sample("\"float64\"", "-9999", "Image.toDouble");
}

/* ---- answers ---- */

enum { W = 3, H = 2 };

/* A window of W x H pixels of all bands of a definition, and room for them. */
typedef struct decoding {
    sgc_definition *definition;
    planned planned;
    unsigned char pixels[2][(W + 1) * (H + 1) * 8];
    uint8_t valid[2][(W + 1) * (H + 1)];
} decoding;

static void begin_decoding(decoding *d, const char *type, const char *source)
{
    d->definition = make_definition(SMALL_GRID, "a b", type, source, 0);
    make_plan(&d->planned, d->definition, 0, (sgc_rect){0, 0, W, H});
    d->planned.window.width = W;
    d->planned.window.height = H;
    memset(d->pixels, 77, sizeof d->pixels);
    memset(d->valid, 77, sizeof d->valid);
}

static void end_decoding(decoding *d)
{
    free_plan(&d->planned);
    free_definition(d->definition);
}

/* Into arrays of (W + 1) x (H + 1), one column and one row in. Damage must not be read beyond. */
static sgc_status decode(decoding *d, const void *data, size_t size, sgc_error *err)
{
    unsigned char *copy = malloc(size + 1);
    memcpy(copy, data, size);
    unsigned char *exact = realloc(copy, size > 0 ? size : 1);
    void *const pixels[] = {d->pixels[0], d->pixels[1]};
    uint8_t *const valid[] = {d->valid[0], d->valid[1]};
    const sgc_ee_target target = {pixels, valid, W + 2, W + 1};
    const sgc_status status =
        sgc_ee_decode(&d->planned.product, &d->planned.window, exact, size, &target, err);
    free(exact);
    return status;
}

static size_t make_npy(unsigned char *file, const char *header, const void *samples, size_t size)
{
    const size_t length = strlen(header);
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (unsigned char)length;
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + 10, header, length);
    memcpy(file + 10 + length, samples, size);
    return 10 + length + size;
}

#define FLOAT_HEADER \
    "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2, 3), }     \n"

static const float npy_samples[] = {1.5F, -2, -9999, 4, 0.1F, -9999, 1e-30F, 8, NAN, 10, 1e30F, 12};

static void test_npy_byte_for_byte(void **state)
{
    (void)state;
    unsigned char file[512];
    const size_t size = make_npy(file, FLOAT_HEADER, npy_samples, sizeof npy_samples);
    decoding d;
    begin_decoding(&d, FLOAT_TYPE, ANNUAL_SOURCE);
    assert_int_equal(decode(&d, file, size, NULL), SGC_OK);
    for (size_t band = 0; band < 2; band++) {
        for (size_t i = 0; i < W * H; i++) {
            const size_t at = W + 2 + i / W * (W + 1) + i % W;
            const float wanted = npy_samples[2 * i + band];
            float pixel;
            memcpy(&pixel, d.pixels[band] + 4 * at, 4);
            const bool is_valid = wanted != -9999 && !isnan(wanted);
            assert_int_equal(d.valid[band][at], is_valid);
            if (is_valid)
                assert_memory_equal(&pixel, &wanted, 4);
        }
        /* What lies outside the window is as it was. */
        for (size_t at = 0; at < W + 2; at++)
            assert_int_equal(d.valid[band][at], 77);
    }
    end_decoding(&d);
}

static void test_npy_of_other_writers(void **state)
{
    (void)state;
    unsigned char file[512];
    decoding d;
    begin_decoding(&d, FLOAT_TYPE, ANNUAL_SOURCE);
    size_t size =
        make_npy(file, "{'descr':[('a','<f4'),('b','<f4')],'fortran_order':False,'shape':(2,3),}",
                 npy_samples, sizeof npy_samples);
    assert_int_equal(decode(&d, file, size, NULL), SGC_OK);
    size = make_npy(file, "12" FLOAT_HEADER, npy_samples, sizeof npy_samples);
    file[6] = 2;
    memcpy(file + 8, (unsigned char[]){(unsigned char)strlen(FLOAT_HEADER), 0, 0, 0}, 4);
    assert_int_equal(decode(&d, file, size, NULL), SGC_OK);
    end_decoding(&d);
}

static void test_damaged_npy(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{'descr': [('b', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'descr': [('a', '>f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': True, 'shape': (2, 3), }\n",
        "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (3, 2), }\n",
        "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2, 3), ",
        "",
    };
    unsigned char file[512];
    decoding d;
    begin_decoding(&d, FLOAT_TYPE, ANNUAL_SOURCE);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const size_t size = make_npy(file, headers[i], npy_samples, sizeof npy_samples);
        assert_int_equal(decode(&d, file, size, NULL), SGC_CORRUPT);
    }
    const size_t size = make_npy(file, FLOAT_HEADER, npy_samples, sizeof npy_samples);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(decode(&d, file, cut, NULL), SGC_CORRUPT);
    assert_int_equal(decode(&d, file, size + 1, NULL), SGC_CORRUPT);
    for (size_t i = 0; i < size - sizeof npy_samples; i++) {
        if (i == 7)
            continue; /* the minor version has no meaning */
        file[i] ^= 0x81;
        assert_int_equal(decode(&d, file, size, NULL), SGC_CORRUPT);
        file[i] ^= 0x81;
    }
    assert_int_equal(decode(&d, file, size, NULL), SGC_OK);
    end_decoding(&d);
}

/* Gives a GeoTIFF of int16 samples, all bands of pixel 0, then of pixel 1, and so on. */
static GByte *make_tiff(int width, int height, int bands, GDALDataType type, const int16_t *samples,
                        vsi_l_offset *size)
{
    char **options = CSLSetNameValue(NULL, "COMPRESS", "LZW");
    GDALDatasetH tiff = GDALCreate(GDALGetDriverByName("GTiff"), "/vsimem/answer.tif", width,
                                   height, bands, type, options);
    CSLDestroy(options);
    for (int b = 0; b < bands; b++)
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(tiff, b + 1), GF_Write, 0, 0, width, height,
                                      (void *)(samples + b), width, height, GDT_Int16, 2 * bands,
                                      2 * bands * width),
                         CE_None);
    GDALClose(tiff);
    return VSIGetMemFileBuffer("/vsimem/answer.tif", size, TRUE);
}

static const int16_t tiff_samples[] = {0, 255, -1, 7, 8, -1, 100, 101, 102, 103, 254, -1};

static void test_tiff_pixel_by_pixel(void **state)
{
    (void)state;
    vsi_l_offset size;
    GByte *file = make_tiff(W, H, 2, GDT_Int16, tiff_samples, &size);
    decoding d;
    begin_decoding(&d, "\"uint8\", \"nodata\": 9", "\"asset\": \"a\", \"sentinel\": -1");
    assert_int_equal(decode(&d, file, (size_t)size, NULL), SGC_OK);
    for (size_t band = 0; band < 2; band++) {
        for (size_t i = 0; i < W * H; i++) {
            const size_t at = W + 2 + i / W * (W + 1) + i % W;
            const int wanted = tiff_samples[2 * i + band];
            assert_int_equal(d.valid[band][at], wanted != -1);
            if (wanted != -1)
                assert_int_equal(d.pixels[band][at], wanted);
        }
    }
    end_decoding(&d);
    VSIFree(file);
}

static void check_tiff_refused(int width, int height, int bands, GDALDataType type, int16_t first,
                               const char *message)
{
    int16_t samples[64];
    for (int i = 0; i < 64; i++)
        samples[i] = first;
    vsi_l_offset size;
    sgc_error error = {""};
    GByte *file = make_tiff(width, height, bands, type, samples, &size);
    decoding d;
    begin_decoding(&d, "\"uint8\", \"nodata\": 9", "\"asset\": \"a\", \"sentinel\": -1");
    assert_int_equal(decode(&d, file, (size_t)size, &error), SGC_CORRUPT);
    if (strstr(error.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    end_decoding(&d);
    VSIFree(file);
}

static void test_damaged_tiff(void **state)
{
    (void)state;
    check_tiff_refused(W + 1, H, 2, GDT_Int16, 1, "4 x 2 pixels");
    check_tiff_refused(W, H + 1, 2, GDT_Int16, 1, "3 x 3 pixels");
    check_tiff_refused(W, H, 3, GDT_Int16, 1, "3 bands");
    check_tiff_refused(W, H, 2, GDT_Float32, 1, "Float32");
    check_tiff_refused(W, H, 2, GDT_Int16, 256, "256, which uint8 cannot hold");
    check_tiff_refused(W, H, 2, GDT_Int16, -2, "-2, which uint8 cannot hold");

    vsi_l_offset size;
    GByte *file = make_tiff(W, H, 2, GDT_Int16, tiff_samples, &size);
    decoding d;
    begin_decoding(&d, "\"uint8\", \"nodata\": 9", "\"asset\": \"a\", \"sentinel\": -1");
    for (size_t cut = 0; cut < 150; cut++)
        assert_int_equal(decode(&d, file, cut, NULL), SGC_CORRUPT);
    assert_int_equal(decode(&d, "<html></html>", 13, NULL), SGC_CORRUPT);
    end_decoding(&d);
    VSIFree(file);
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
    sgc_definition *d = tctrend();
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
    free_definition(d);
    assert_int_equal(http_server_count(&server), 0);
}

static void test_every_pixel(void **state)
{
    (void)state;
    sgc_definition *d = make_definition(SMALL_GRID, TREND, TREND_TYPE, TREND_SOURCE, 0);
    sgc_source *source = open_source(d);
    sgc_patch_list list = find(source, (sgc_rect){0, 0, 100, 80}, 0);
    assert_int_equal(list.count, 9);
    for (size_t i = 0; i < list.count; i++)
        read_and_check(source, d, &list.patches[i], 3, 1, list.patches[i].rect);
    assert_int_equal(http_server_count(&server), 9);
    read_and_check(source, d, &list.patches[4], 2, 1, (sgc_rect){55, 40, 17, 9});
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    free_definition(d);
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
                       sgc_rect_at_level(list.patches[0].rect, factor));
    assert_int_equal(http_server_count(&server), 3);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    free_definition(d);
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
    free_definition(d);
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
    free_definition(d);
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
    free_definition(d);
}

static void check_reducer(const char *keys, double (*value)(double x, double y, int band))
{
    sgc_definition *d = make_definition(SMALL_GRID, "A00 A01 A02", FLOAT_TYPE, keys, 0);
    sgc_source *source = open_source(d);
    check_annual(source, d, 0, value);
    sgc_source_free(source);
    free_definition(d);
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
    free_definition(d);
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
    free_definition(d);
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
    const sgc_cancel cancel = {yes, NULL};
    sgc_fetch fetch;
    assert_int_equal(source->read(source, &list.patches[0], three, 1, 1, small_patch, pixels_of,
                                  valid_of, &fetch, &cancel, NULL),
                     SGC_CANCELLED);
    sgc_patch_list_free(&list);
    sgc_source_free(source);
    free_definition(d);
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
        if (parse_definition(SMALL_GRID, "a", TREND_TYPE, cases[i].source, &d, &error) == SGC_OK) {
            set_years(d, cases[i].years);
            assert_int_not_equal(sgc_source_new(d, d->source, &options, &source, &error), SGC_OK);
            assert_null(source);
            free_definition(d);
        }
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i].message);
        assert_null(strstr(error.message, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bodies_of_tctrend, set_up),
        cmocka_unit_test_setup(test_bodies_of_alphaearth, set_up),
        cmocka_unit_test_setup(test_plan_covers_every_pixel_once, set_up),
        cmocka_unit_test_setup(test_smallest_sample_is_chosen, set_up),
        cmocka_unit_test_setup(test_npy_byte_for_byte, set_up),
        cmocka_unit_test_setup(test_npy_of_other_writers, set_up),
        cmocka_unit_test_setup(test_damaged_npy, set_up),
        cmocka_unit_test_setup(test_tiff_pixel_by_pixel, set_up),
        cmocka_unit_test_setup(test_damaged_tiff, set_up),
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
    return cmocka_run_group_tests(tests, start, stop);
}
