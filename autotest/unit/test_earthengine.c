/* Requests to Earth Engine, and how its answers become pixels: no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/earthengine_testing.h"
#include "autotest/unit/shared_data.h"
#include "datasets/earthengine.h"
#include "datasets/registry.h"

#include <cpl_string.h>
#include <cpl_vsi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int start_server(void **state)
{
    (void)state;
    GDALAllRegister();
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    GDALDestroyDriverManager();
    return 0;
}

/* ---- bodies ---- */

static cJSON *read_example(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "data/earthengine/%s", name);
    return shared_json(path);
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

static sgc_definition *find_definition(const char *id)
{
    sgc_definition *d = NULL;
    assert_int_equal(sgc_registry_find(id, NULL, &d, NULL), SGC_OK);
    return d;
}

static void test_bodies_of_tctrend(void **state)
{
    (void)state;
    cJSON *example = read_example("tctrend2024-patch-24-340.requests.json");
    sgc_definition *d = find_definition("TCTrend2024");
    planned p;
    make_plan(&p, d, 0, (sgc_rect){340 * 3600, 24 * 3600, 3600, 3600});
    assert_int_equal(p.plan.count, cJSON_GetArraySize(cJSON_GetObjectItem(example, "requests")));
    check_bodies(&p, example);
    free_plan(&p);
    sgc_definition_free(d);
    cJSON_Delete(example);
}

static void test_bodies_of_alphaearth(void **state)
{
    (void)state;
    sgc_definition *d = find_definition("AlphaEarthEmbeddings");
    cJSON *example = read_example("alphaearth-2020-patch-3-76-1020.request.json");
    planned p;
    make_plan(&p, d, 3, (sgc_rect){1020 * 3600, 76 * 3600, 3600, 3600});
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
    sgc_definition_free(d);
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
    sgc_definition_free(d);
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
    sgc_definition_free(d->definition);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_of_tctrend),
        cmocka_unit_test(test_bodies_of_alphaearth),
        cmocka_unit_test(test_plan_covers_every_pixel_once),
        cmocka_unit_test(test_smallest_sample_is_chosen),
        cmocka_unit_test(test_npy_byte_for_byte),
        cmocka_unit_test(test_npy_of_other_writers),
        cmocka_unit_test(test_damaged_npy),
        cmocka_unit_test(test_tiff_pixel_by_pixel),
        cmocka_unit_test(test_damaged_tiff),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
