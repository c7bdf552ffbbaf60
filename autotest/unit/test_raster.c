/* From rasters to pixels of the cube: what is copied, what is resampled, what has a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/raster_file.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cube of one band with 10 m pixels, and a raster of the same CRS, 40 x 30 pixels large. */
enum { WIDTH = 40, HEIGHT = 30, CUBE_SIDE = 1000, COLUMN = 100, ROW = 200 };

static sgc_band band;
static sgc_definition definition;
static sgc_patch patch;

static const char wgs84[] = "EPSG:4326", polar[] = "EPSG:3413";

static int set_up(void **state)
{
    (void)state;
    static char name[] = "band", id[] = "tile", crs[] = "EPSG:3413";
    band = (sgc_band){.name = name, .data_type = name, .type = GDT_Float32, .source_band = 1};
    definition = (sgc_definition){
        .crs = crs,
        .grid = {crs, {-50000, 10, 0, 80000, 0, -10}, CUBE_SIDE, CUBE_SIDE},
        .band_count = 1,
        .bands = &band,
    };
    patch = (sgc_patch){.id = id, .rect = {COLUMN, ROW, WIDTH, HEIGHT}};
    CPLErrorReset();
    return 0;
}

static void set_crs(GDALDatasetH raster, const char *text)
{
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    assert_int_equal(OSRSetFromUserInput(crs, text), OGRERR_NONE);
    assert_int_equal(GDALSetSpatialRef(raster, crs), CE_None);
    OSRDestroySpatialReference(crs);
}

static GDALDatasetH new_raster(int width, int height, int bands, GDALDataType type,
                               const double transform[6], const char *crs)
{
    double t[6];
    memcpy(t, transform, sizeof t);
    GDALDatasetH raster =
        GDALCreate(GDALGetDriverByName("MEM"), "", width, height, bands, type, NULL);
    assert_int_equal(GDALSetGeoTransform(raster, t), CE_None);
    if (crs != NULL)
        set_crs(raster, crs);
    return raster;
}

static const double on_lattice[] = {-50000 + COLUMN * 10, 10, 0, 80000 - ROW * 10, 0, -10};

static GDALDatasetH new_tile(GDALDataType type, int bands)
{
    return new_raster(WIDTH, HEIGHT, bands, type, on_lattice, polar);
}

/* Writes doubles, row by row. */
static void put(GDALRasterBandH to, const double *values)
{
    const int width = GDALGetRasterBandXSize(to), height = GDALGetRasterBandYSize(to);
    assert_int_equal(GDALRasterIO(to, GF_Write, 0, 0, width, height, (void *)values, width, height,
                                  GDT_Float64, 0, 0),
                     CE_None);
}

static void fill(GDALDatasetH raster, int number, double (*value)(int x, int y))
{
    const int width = GDALGetRasterXSize(raster), height = GDALGetRasterYSize(raster);
    double *values = malloc((size_t)width * (size_t)height * sizeof *values);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            values[y * width + x] = value(x, y);
    put(GDALGetRasterBand(raster, number), values);
    free(values);
}

static double count_up(int x, int y)
{
    return (y * WIDTH + x) % 251;
}

static const sgc_cancel *cancel; /* of the next reads */

/* What was read, as doubles; NaN where there is no value. */
typedef struct answer {
    sgc_status status;
    sgc_error error;
    double *values;
} answer;

static answer read_at(GDALDatasetH raster, sgc_rect rect, int64_t factor, bool any_place)
{
    const sgc_raster_window window = {.definition = &definition,
                                      .factor = factor,
                                      .rect = rect,
                                      .patch = &patch,
                                      .any_place = any_place,
                                      .cancel = cancel};
    const size_t count = (size_t)(rect.width * rect.height);
    const int size = GDALGetDataTypeSizeBytes(band.type);
    void *pixels = calloc(count, (size_t)size);
    uint8_t *valid = malloc(count);
    memset(valid, 2, count);
    answer a = {.error = {""}, .values = malloc(count * sizeof *a.values)};
    a.status = sgc_raster_read(raster, &window, pixels, valid, &a.error);
    GDALCopyWords(pixels, band.type, size, a.values, GDT_Float64, sizeof *a.values, (int)count);
    for (size_t i = 0; a.status == SGC_OK && i < count; i++) {
        assert_in_range(valid[i], 0, 1);
        if (!valid[i])
            a.values[i] = (double)NAN;
    }
    free(pixels);
    free(valid);
    return a;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Reads and compares with `expected(x, y)`, pixels of the level. */
static void check(GDALDatasetH raster, sgc_rect rect, int64_t factor, bool any_place,
                  double (*expected)(int x, int y))
{
    answer a = read_at(raster, rect, factor, any_place);
    if (a.status != SGC_OK)
        fail_msg("%s", a.error.message);
    for (int64_t y = 0; y < rect.height; y++)
        for (int64_t x = 0; x < rect.width; x++) {
            const double want = expected((int)(rect.x + x), (int)(rect.y + y));
            const double got = a.values[y * rect.width + x];
            if (!same(got, want))
                fail_msg("pixel %d, %d: %.17g instead of %.17g", (int)(rect.x + x),
                         (int)(rect.y + y), got, want);
        }
    free(a.values);
}

static void check_refused(GDALDatasetH raster, sgc_rect rect, int64_t factor, bool any_place,
                          sgc_status status, const char *words)
{
    answer a = read_at(raster, rect, factor, any_place);
    assert_int_equal(a.status, status);
    if (strstr(a.error.message, words) == NULL || strstr(a.error.message, "tile") == NULL)
        fail_msg("\"%s\" does not say \"%s\"", a.error.message, words);
    free(a.values);
}

static bool in_tile(int x, int y)
{
    return x >= COLUMN && x < COLUMN + WIDTH && y >= ROW && y < ROW + HEIGHT;
}

static double expect_tile(int x, int y)
{
    return in_tile(x, y) ? count_up(x - COLUMN, y - ROW) : (double)NAN;
}

static const sgc_rect whole_tile = {COLUMN, ROW, WIDTH, HEIGHT};
static const sgc_rect around_tile = {COLUMN - 3, ROW - 5, WIDTH + 7, HEIGHT + 11};

/* ---- the cube's own pixels ---- */

static const GDALDataType all_types[] = {GDT_Byte,   GDT_UInt16, GDT_Int16,   GDT_UInt32, GDT_Int32,
                                         GDT_UInt64, GDT_Int64,  GDT_Float32, GDT_Float64};
enum { TYPES = sizeof all_types / sizeof *all_types };

static void test_same_pixels_of_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        band.type = all_types[i];
        GDALDatasetH tile = new_tile(all_types[i], 1);
        fill(tile, 1, count_up);
        check(tile, whole_tile, 1, false, expect_tile);
        check(tile, (sgc_rect){COLUMN + 3, ROW + 7, 5, 11}, 1, false, expect_tile);
        check(tile, around_tile, 1, true, expect_tile);
        check(tile, (sgc_rect){0, 0, 20, 20}, 1, true, expect_tile);
        GDALClose(tile);
    }
}

static void test_floats_are_copied_bit_by_bit(void **state)
{
    (void)state;
    static float pixels[WIDTH * HEIGHT], back[WIDTH * HEIGHT];
    uint8_t valid[WIDTH * HEIGHT];
    uint32_t random = 7;
    for (size_t i = 0; i < WIDTH * HEIGHT; i++) {
        random = random * 1664525 + 1013904223;
        const uint32_t bits = random & 0xbfffffff; /* neither infinite nor NaN, denormals too */
        memcpy(&pixels[i], &bits, sizeof bits);
    }
    pixels[0] = -0.0F;
    GDALDatasetH tile = new_tile(GDT_Float32, 1);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(tile, 1), GF_Write, 0, 0, WIDTH, HEIGHT, pixels,
                                  WIDTH, HEIGHT, GDT_Float32, 0, 0),
                     CE_None);
    definition.resampling = SGC_RESAMPLE_CUBIC;
    const sgc_raster_window window = {.definition = &definition,
                                      .factor = 1,
                                      .rect = whole_tile,
                                      .patch = &patch,
                                      .any_place = true};
    assert_int_equal(sgc_raster_read(tile, &window, back, valid, NULL), SGC_OK);
    assert_memory_equal(back, pixels, sizeof pixels);
    for (size_t i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal(valid[i], 1);
    GDALClose(tile);
}

static double count_from_below(int x, int y)
{
    return count_up(x, HEIGHT - 1 - y);
}

static void test_south_up_rasters(void **state)
{
    (void)state;
    const double south_up[] = {on_lattice[0], 10, 0, on_lattice[3] - HEIGHT * 10, 0, 10};
    band.type = GDT_Byte;
    GDALDatasetH tile = new_raster(WIDTH, HEIGHT, 1, GDT_Byte, south_up, polar);
    fill(tile, 1, count_from_below);
    check(tile, around_tile, 1, true, expect_tile);
    check(tile, (sgc_rect){COLUMN + 3, ROW + 7, 5, 11}, 1, true, expect_tile);
    check_refused(tile, whole_tile, 1, false, SGC_CORRUPT, "lies elsewhere");
    GDALClose(tile);
}

static double expect_mean_of_south_up(int x, int y)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += expect_tile(2 * x + i % 2, 2 * y + i / 2);
    return sum / 4;
}

static void test_levels_of_south_up_rasters(void **state)
{
    (void)state;
    const double south_up[] = {on_lattice[0], 10, 0, on_lattice[3] - HEIGHT * 10, 0, 10};
    GDALDatasetH tile = new_raster(WIDTH, HEIGHT, 1, GDT_Float32, south_up, polar);
    fill(tile, 1, count_from_below);
    band.resampling = SGC_RESAMPLE_AVERAGE;
    check(tile, (sgc_rect){COLUMN / 2, ROW / 2, WIDTH / 2, HEIGHT / 2}, 2, true,
          expect_mean_of_south_up);
    GDALClose(tile);
}

static void test_raster_without_crs_is_in_the_cubes(void **state)
{
    (void)state;
    GDALDatasetH tile = new_raster(WIDTH, HEIGHT, 1, GDT_Float32, on_lattice, NULL);
    fill(tile, 1, count_up);
    check(tile, around_tile, 1, true, expect_tile);
    GDALClose(tile);
}

static void test_the_same_crs_in_other_words(void **state)
{
    (void)state;
    static const char *const words[] = {
        "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +x_0=0 +y_0=0 +datum=WGS84 +units=m",
        "EPSG:3413+3855",
    };
    for (size_t i = 0; i < 2; i++) {
        GDALDatasetH tile = new_raster(WIDTH, HEIGHT, 1, GDT_Float32, on_lattice, words[i]);
        fill(tile, 1, count_up);
        check(tile, around_tile, 1, true, expect_tile);
        GDALClose(tile);
    }
}

/* ---- what has a value ---- */

static double expect_tile_without_17(int x, int y)
{
    const double value = expect_tile(x, y);
    return value == 17 ? (double)NAN : value;
}

static void test_nodata_of_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        band.type = all_types[i];
        band.has_source_nodata = false;
        GDALDatasetH tile = new_tile(all_types[i], 1);
        fill(tile, 1, count_up);
        if (all_types[i] == GDT_Int64)
            GDALSetRasterNoDataValueAsInt64(GDALGetRasterBand(tile, 1), 17);
        else if (all_types[i] == GDT_UInt64)
            GDALSetRasterNoDataValueAsUInt64(GDALGetRasterBand(tile, 1), 17);
        else
            GDALSetRasterNoDataValue(GDALGetRasterBand(tile, 1), 17);
        check(tile, around_tile, 1, true, expect_tile_without_17);
        band.has_source_nodata = true;
        band.source_nodata = 255; /* not there: the definition overrides the file */
        check(tile, around_tile, 1, true, expect_tile);
        GDALClose(tile);
    }
}

/* What the item says counts where neither the definition nor the file says anything. */
static void test_nodata_of_the_item(void **state)
{
    (void)state;
    double nodata = 17;
    GDALDatasetH tile = new_tile(GDT_Float32, 1);
    fill(tile, 1, count_up);
    patch.nodata = &nodata;
    check(tile, whole_tile, 1, false, expect_tile_without_17);
    const double none = NAN;
    patch.nodata = (double *)&none;
    check(tile, whole_tile, 1, false, expect_tile);
    patch.nodata = &nodata;
    GDALSetRasterNoDataValue(GDALGetRasterBand(tile, 1), 255);
    check(tile, whole_tile, 1, false, expect_tile);
    nodata = 255;
    GDALSetRasterNoDataValue(GDALGetRasterBand(tile, 1), 17);
    check(tile, whole_tile, 1, false, expect_tile_without_17);
    GDALClose(tile);
}

/* -9999 clamped to the range of uint8 would be 0. */
static void test_nodata_that_no_pixel_can_have(void **state)
{
    (void)state;
    band.type = GDT_Byte;
    band.has_source_nodata = true;
    band.source_nodata = -9999;
    GDALDatasetH tile = new_tile(GDT_Byte, 1);
    fill(tile, 1, count_up);
    check(tile, whole_tile, 1, false, expect_tile);
    const double shifted[] = {on_lattice[0] + 1, 10, 0, on_lattice[3] + 1, 0, -10};
    assert_int_equal(GDALSetGeoTransform(tile, (double *)shifted), CE_None);
    check(tile, whole_tile, 1, true, expect_tile);
    GDALClose(tile);
}

static double left_half(int x, int y)
{
    (void)y;
    return x < WIDTH / 2 ? 255 : 0;
}

static double expect_left_half(int x, int y)
{
    return x < COLUMN + WIDTH / 2 ? expect_tile(x, y) : (double)NAN;
}

static void test_mask_band(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Float32, 2);
    assert_int_equal(GDALCreateDatasetMaskBand(tile, GMF_PER_DATASET), CE_None);
    fill(tile, 2, count_up);
    static double mask[WIDTH * HEIGHT];
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        mask[i] = left_half(i % WIDTH, i / WIDTH);
    put(GDALGetMaskBand(GDALGetRasterBand(tile, 1)), mask);
    band.source_band = 2;
    check(tile, around_tile, 1, true, expect_left_half);
    GDALClose(tile);
}

/* Means of 4 x 4 pixels where some are transparent; pixels under a level's are all in the tile. */
static double expect_mean_of_left_half(int x, int y)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < 16; i++) {
        const double value = expect_left_half(4 * x + i % 4, 4 * y + i / 4);
        sum += isnan(value) ? 0 : value;
        n += !isnan(value);
    }
    return n == 0 ? (double)NAN : (double)(float)(sum / n);
}

static void test_alpha(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Byte, 3);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(tile, 3), GCI_AlphaBand);
    fill(tile, 2, count_up);
    fill(tile, 3, left_half);
    band.source_band = 2;
    check(tile, around_tile, 1, true, expect_left_half);
    /* An edge of the mask inside of the pixels of the level. */
    band.resampling = SGC_RESAMPLE_AVERAGE;
    const sgc_rect level = {COLUMN / 4, ROW / 4, WIDTH / 4, 7};
    check(tile, level, 4, true, expect_mean_of_left_half);
    GDALClose(tile);
}

static void test_mask_and_nodata_both_count(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Byte, 2);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(tile, 2), GCI_AlphaBand);
    fill(tile, 1, count_up);
    fill(tile, 2, left_half);
    band.has_source_nodata = true;
    band.source_nodata = 17;
    const double half_pixel[] = {on_lattice[0] + 5, 10, 0, on_lattice[3] - 5, 0, -10};
    for (int i = 0; i < 2; i++) {
        answer a = read_at(tile, whole_tile, 1, true);
        assert_int_equal(a.status, SGC_OK);
        bool seen = false;
        for (int k = 0; k < WIDTH * HEIGHT; k++) {
            seen |= !isnan(a.values[k]);
            assert_true(a.values[k] != 17);
            assert_true(k % WIDTH <= WIDTH / 2 || isnan(a.values[k]));
        }
        assert_true(seen);
        free(a.values);
        assert_int_equal(GDALSetGeoTransform(tile, (double *)half_pixel), CE_None);
    }
    GDALClose(tile);
}

static void test_bool_is_0_or_1(void **state)
{
    (void)state;
    band.type = GDT_Byte;
    band.is_bool = true;
    band.has_source_nodata = true;
    band.source_nodata = 0;
    GDALDatasetH tile = new_tile(GDT_Byte, 1);
    fill(tile, 1, left_half);
    answer a = read_at(tile, whole_tile, 1, false);
    assert_int_equal(a.status, SGC_OK);
    for (int k = 0; k < WIDTH * HEIGHT; k++)
        assert_true(k % WIDTH < WIDTH / 2 ? a.values[k] == 1 : isnan(a.values[k]));
    free(a.values);
    GDALClose(tile);
}

/* ---- types ---- */

static void test_narrower_types_are_widened(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Int16, 1);
    fill(tile, 1, count_up);
    GDALSetRasterNoDataValue(GDALGetRasterBand(tile, 1), 17);
    band.type = GDT_Float32;
    check(tile, around_tile, 1, true, expect_tile_without_17);
    band.type = GDT_Int32;
    check(tile, around_tile, 1, true, expect_tile_without_17);
    /* A nodata value may lie outside the band's type. */
    band.type = GDT_Byte;
    check(tile, around_tile, 1, true, expect_tile_without_17);
    GDALClose(tile);
}

static double one_of_300(int x, int y)
{
    return x == 5 && y == 6 ? 300 : 1;
}

static double one_of_a_half(int x, int y)
{
    return x == 5 && y == 6 ? 0.5 : 1;
}

static void test_value_that_the_type_cannot_hold(void **state)
{
    (void)state;
    band.type = GDT_Byte;
    GDALDatasetH tile = new_tile(GDT_Float32, 1);
    fill(tile, 1, one_of_300);
    check_refused(tile, whole_tile, 1, false, SGC_CORRUPT, "the value 300");
    fill(tile, 1, one_of_a_half);
    check_refused(tile, whole_tile, 1, false, SGC_CORRUPT, "the value 0.5");
    GDALClose(tile);
}

static void test_complex_numbers_are_refused(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_CFloat32, 1);
    check_refused(tile, whole_tile, 1, false, SGC_UNSUPPORTED, "complex");
    GDALClose(tile);
}

static void test_signed_bytes_are_not_taken_for_others(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Byte, 1);
    GDALSetMetadataItem(GDALGetRasterBand(tile, 1), "PIXELTYPE", "SIGNEDBYTE", "IMAGE_STRUCTURE");
    check_refused(tile, whole_tile, 1, false, SGC_UNSUPPORTED, "signed bytes");
    GDALClose(tile);
}

/* Two pixels of the cube for each of the raster, and values at the ends of each type: none may be
 * taken for "no value". */
static void test_no_value_gives_way_to_a_sentinel(void **state)
{
    (void)state;
    static const struct {
        GDALDataType type;
        double values[4];
    } cases[] = {
        {GDT_Byte, {0, 1, 254, 255}},
        {GDT_UInt16, {0, 1, 65534, 65535}},
        {GDT_Int16, {-32768, -32767, 32766, 32767}},
        {GDT_UInt32, {0, 1, 4294967294.0, 4294967295.0}},
        {GDT_Int32, {-2147483648.0, -2147483647, 2147483646, 2147483647}},
        {GDT_Float32, {-3.4028234663852886e+38, -32768, 0, 3.4028234663852886e+38}},
        {GDT_Float64, {-1.7976931348623157e+308, -32768, 0, 1e300}},
    };
    const double coarse[] = {on_lattice[0], 20, 0, on_lattice[3], 0, -20};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        band.type = cases[i].type;
        GDALDatasetH tile = new_raster(2, 2, 1, cases[i].type, coarse, polar);
        put(GDALGetRasterBand(tile, 1), cases[i].values);
        answer a = read_at(tile, (sgc_rect){COLUMN, ROW, 4, 4}, 1, true);
        assert_int_equal(a.status, SGC_OK);
        for (int k = 0; k < 16; k++)
            assert_true(a.values[k] == cases[i].values[k / 8 * 2 + k % 4 / 2]);
        free(a.values);
        GDALClose(tile);
    }
}

static void test_wide_integers_are_not_resampled(void **state)
{
    (void)state;
    band.type = GDT_Int64;
    band.resampling = SGC_RESAMPLE_AVERAGE;
    GDALDatasetH tile = new_tile(GDT_Int64, 1);
    check_refused(tile, (sgc_rect){0, 0, 10, 10}, 2, false, SGC_UNSUPPORTED, "64-bit");
    GDALClose(tile);
}

/* A window of level 4 that begins before the raster, whose edges are no edges of the level. */
static void test_wide_integers_of_levels_are_picked(void **state)
{
    (void)state;
    enum { SIDE = 14, FACTOR = 4, NONE = 7, ODD = 3 };
    const int64_t far = INT64_C(1) << 62; /* where doubles are 1024 apart */
    const double moved[] = {on_lattice[0] + 10 * ODD, 10, 0, on_lattice[3], 0, -10};
    band.type = GDT_Int64;
    GDALDatasetH tile = new_raster(WIDTH, HEIGHT, 1, GDT_Int64, moved, polar);
    int64_t values[HEIGHT][WIDTH], pixels[SIDE][SIDE];
    uint8_t valid[SIDE][SIDE];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            values[y][x] = far + y * WIDTH + x;
    GDALRasterBandH of = GDALGetRasterBand(tile, 1);
    assert_int_equal(GDALSetRasterNoDataValueAsInt64(of, far + 6 * WIDTH + NONE), CE_None);
    assert_int_equal(
        GDALRasterIO(of, GF_Write, 0, 0, WIDTH, HEIGHT, values, WIDTH, HEIGHT, GDT_Int64, 0, 0),
        CE_None);
    const sgc_raster_window window = {
        .definition = &definition,
        .factor = FACTOR,
        .rect = {COLUMN / FACTOR - 1, ROW / FACTOR - 1, SIDE, SIDE},
        .patch = &patch,
        .any_place = true,
    };
    sgc_error error = {""};
    if (sgc_raster_read(tile, &window, pixels, &valid[0][0], &error) != SGC_OK)
        fail_msg("%s", error.message);
    for (int j = 0; j < SIDE; j++) {
        for (int i = 0; i < SIDE; i++) {
            const int x = (i - 1) * FACTOR + 2 - ODD, y = (j - 1) * FACTOR + 2;
            const bool has = x >= 0 && x < WIDTH && y >= 0 && y < HEIGHT && !(y == 6 && x == NONE);
            assert_int_equal(valid[j][i], has);
            assert_true(!has || pixels[j][i] == far + y * WIDTH + x);
        }
    }
    GDALClose(tile);
}

/* ---- other grids ---- */

static double expect_mean(int x, int y)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += count_up(2 * x - COLUMN + i % 2, 2 * y - ROW + i / 2);
    return sum / 4;
}

static double expect_corner(int x, int y)
{
    /* The centre lies on a corner; the pixel to the south-east is GDAL's choice. */
    return count_up(2 * x - COLUMN + 1, 2 * y - ROW + 1);
}

static void test_levels_use_the_bands_resampling(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Float32, 1);
    fill(tile, 1, count_up);
    const sgc_rect level = {COLUMN / 2, ROW / 2, WIDTH / 2, HEIGHT / 2};
    definition.resampling = SGC_RESAMPLE_CUBIC;
    band.resampling = SGC_RESAMPLE_AVERAGE;
    check(tile, level, 2, false, expect_mean);
    band.resampling = SGC_RESAMPLE_NEAREST;
    check(tile, level, 2, false, expect_corner);
    GDALClose(tile);
}

static double ramp(int x, int y)
{
    return 8 * x + 16 * y;
}

static double expect_ramp(int x, int y)
{
    /* Centres of the raster's pixels, twice as large, are at odd pixel edges of the cube. */
    return 8 * ((x - COLUMN + 0.5) / 2 - 0.5) + 16 * ((y - ROW + 0.5) / 2 - 0.5);
}

static void test_full_resolution_uses_the_definitions_resampling(void **state)
{
    (void)state;
    const double coarse[] = {on_lattice[0], 20, 0, on_lattice[3], 0, -20};
    GDALDatasetH tile = new_raster(WIDTH / 2, HEIGHT / 2, 1, GDT_Float32, coarse, polar);
    fill(tile, 1, ramp);
    definition.resampling = SGC_RESAMPLE_BILINEAR;
    band.resampling = SGC_RESAMPLE_NEAREST;
    check(tile, (sgc_rect){COLUMN + 2, ROW + 2, WIDTH - 4, HEIGHT - 4}, 1, true, expect_ramp);
    GDALClose(tile);
}

static double two_halves(int x, int y)
{
    (void)y;
    return x < WIDTH / 4 ? 0 : 255;
}

/* Cubic convolution overshoots beside an edge. */
static void test_cubic_stays_in_the_range_of_the_type(void **state)
{
    (void)state;
    const double coarse[] = {on_lattice[0], 20, 0, on_lattice[3], 0, -20};
    GDALDatasetH tile = new_raster(WIDTH / 2, HEIGHT / 2, 1, GDT_Byte, coarse, polar);
    const sgc_rect inside = {COLUMN + 4, ROW + 4, WIDTH - 8, HEIGHT - 8};
    fill(tile, 1, two_halves);
    definition.resampling = SGC_RESAMPLE_CUBIC;
    band.type = GDT_Byte;
    answer a = read_at(tile, inside, 1, true);
    if (a.status != SGC_OK)
        fail_msg("%s", a.error.message);
    assert_true(a.values[0] == 0);
    assert_true(a.values[inside.width * inside.height - 1] == 255);
    free(a.values);
    band.type = GDT_Float32; /* of the file's values none are beyond */
    a = read_at(tile, inside, 1, true);
    for (int64_t i = 0; i < inside.width * inside.height; i++)
        assert_true(a.values[i] >= 0 && a.values[i] <= 255);
    free(a.values);
    GDALClose(tile);
}

static double identify(int x, int y)
{
    return 1 + y * 100 + x;
}

/* A cube in degrees and a raster of UTM zone 60, 10 km around the antimeridian: every pixel on both
 * sides is the one that PROJ finds under its centre. */
static void check_antimeridian(double west, bool *seen)
{
    enum { SIDE = 60 };
    const double utm[] = {631000, 200, 0, 7230000, 0, -200};
    static char crs[] = "EPSG:4326";
    definition.crs = crs;
    definition.grid = (sgc_grid){crs, {west, 0.004, 0, 65.15, 0, -0.002}, 2 * SIDE, SIDE};
    band.type = GDT_UInt16;
    GDALDatasetH raster = new_raster(100, 100, 1, GDT_UInt16, utm, "EPSG:32660");
    fill(raster, 1, identify);
    OGRSpatialReferenceH from = OSRNewSpatialReference(NULL), to = OSRNewSpatialReference(NULL);
    OSRSetFromUserInput(from, wgs84);
    OSRSetFromUserInput(to, "EPSG:32660");
    OSRSetAxisMappingStrategy(from, OAMS_TRADITIONAL_GIS_ORDER);
    OGRCoordinateTransformationH change = OCTNewCoordinateTransformation(from, to);
    answer a = read_at(raster, (sgc_rect){0, 0, 2 * SIDE, SIDE}, 1, true);
    assert_int_equal(a.status, SGC_OK);
    for (int k = 0; k < 2 * SIDE * SIDE; k++) {
        double x = west + (k % (2 * SIDE) + 0.5) * 0.004,
               y = 65.15 - (k / (2 * SIDE) + 0.5) * 0.002;
        assert_true(OCTTransform(change, 1, &x, &y, NULL));
        const double column = (x - utm[0]) / 200, row = (utm[3] - y) / 200;
        /* Nearer to an edge than GDAL's approximation is exact, either side is good. */
        if (fabs(column - nearbyint(column)) < 0.02 || fabs(row - nearbyint(row)) < 0.02)
            continue;
        const bool inside = column >= 0 && column < 100 && row >= 0 && row < 100;
        const double want = inside ? identify((int)column, (int)row) : (double)NAN;
        if (!same(a.values[k], want))
            fail_msg("pixel %d, %d: %g instead of %g", k % (2 * SIDE), k / (2 * SIDE), a.values[k],
                     want);
        *seen |= inside;
    }
    free(a.values);
    OCTDestroyCoordinateTransformation(change);
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(to);
    GDALClose(raster);
}

static void test_raster_across_the_antimeridian(void **state)
{
    (void)state;
    bool west_seen = false, east_seen = false, across_seen = false;
    check_antimeridian(-180, &west_seen);
    check_antimeridian(180 - 2 * 60 * 0.004, &east_seen);
    check_antimeridian(180 - 60 * 0.004, &across_seen);
    assert_true(west_seen && east_seen && across_seen);
}

static double expect_beyond_pole(int x, int y)
{
    (void)x;
    return y == 0 || y == 18 ? (double)NAN : 1;
}

static double one(int x, int y)
{
    (void)x;
    (void)y;
    return 1;
}

/* The centres of the first and last row lie a hair beyond the poles, as in the global cubes. */
static void test_rows_beyond_the_poles_have_no_value(void **state)
{
    (void)state;
    static char crs[] = "EPSG:4326";
    const double t[] = {-180, 10, 0, 95.0001, 0, -10.00001};
    definition.crs = crs;
    definition.grid = (sgc_grid){crs, {-180, 10, 0, 95.0001, 0, -10.00001}, 36, 19};
    GDALDatasetH raster = new_raster(36, 19, 1, GDT_Float32, t, wgs84);
    fill(raster, 1, one);
    check(raster, (sgc_rect){0, 0, 36, 19}, 1, true, expect_beyond_pole);
    GDALClose(raster);
}

static void test_file_is_where_it_was_promised(void **state)
{
    (void)state;
    GDALDatasetH tile = new_tile(GDT_Float32, 1);
    patch.rect.x++;
    check_refused(tile, patch.rect, 1, false, SGC_CORRUPT, "lies elsewhere");
    patch.rect = (sgc_rect){COLUMN, ROW, WIDTH, HEIGHT + 1};
    check_refused(tile, whole_tile, 1, false, SGC_CORRUPT, "40 x 30");
    patch.rect = whole_tile;
    band.source_band = 2;
    check_refused(tile, whole_tile, 1, false, SGC_CORRUPT, "no band 2");
    GDALClose(tile);
}

/* Also where it has pixels of its own: in the cube's CRS, or in another. */
static void test_file_with_its_own_grid_is_where_it_was_promised(void **state)
{
    (void)state;
    static const double coarse[] = {-50000 + COLUMN * 10, 20, 0, 80000 - ROW * 10, 0, -20};
    const char *const crss[] = {polar, "EPSG:3411"};
    for (int i = 0; i < 2; i++) {
        GDALDatasetH tile = new_raster(WIDTH / 2, HEIGHT / 2, 1, GDT_Float32, coarse, crss[i]);
        fill(tile, 1, one);
        patch.has_own_grid = patch.is_promised = true;
        assert_int_equal(sgc_raster_extent(i == 0 ? NULL : crss[i], coarse, WIDTH / 2, HEIGHT / 2,
                                           &definition.grid, &patch.rect, NULL),
                         SGC_OK);
        answer a = read_at(tile, patch.rect, 1, true);
        assert_int_equal(a.status, SGC_OK);
        free(a.values);
        patch.rect.x += 20;
        check_refused(tile, whole_tile, 1, true, SGC_CORRUPT, "promise");
        check_refused(tile, (sgc_rect){COLUMN / 8, ROW / 8, 2, 2}, 8, true, SGC_CORRUPT, "promise");
        patch.rect.x -= 20;
        patch.rect.height /= 2;
        check_refused(tile, whole_tile, 1, true, SGC_CORRUPT, "promise");
        patch.is_promised = false; /* a footprint may be smaller */
        a = read_at(tile, whole_tile, 1, true);
        assert_int_equal(a.status, SGC_OK);
        free(a.values);
        GDALClose(tile);
    }
}

/* A promised file need not say where it is, neither for its own pixels nor for a level. */
static void test_promised_file_without_place(void **state)
{
    (void)state;
    GDALDatasetH tile =
        GDALCreate(GDALGetDriverByName("MEM"), "", WIDTH, HEIGHT, 1, GDT_Float32, NULL);
    fill(tile, 1, count_up);
    band.resampling = SGC_RESAMPLE_AVERAGE;
    check(tile, whole_tile, 1, false, expect_tile);
    check(tile, (sgc_rect){COLUMN / 2, ROW / 2, WIDTH / 2, HEIGHT / 2}, 2, false, expect_mean);
    check_refused(tile, whole_tile, 1, true, SGC_CORRUPT, "does not say where");
    GDALClose(tile);
}

/* ---- extents ---- */

static void check_extent(const char *crs, const double t[6], int64_t width, int64_t height,
                         sgc_rect expected)
{
    sgc_rect rect;
    sgc_error error = {""};
    if (sgc_raster_extent(crs, t, width, height, &definition.grid, &rect, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(rect.x, expected.x);
    assert_int_equal(rect.y, expected.y);
    assert_int_equal(rect.width, expected.width);
    assert_int_equal(rect.height, expected.height);
}

static void test_extents_in_the_cubes_crs(void **state)
{
    (void)state;
    const double south_up[] = {on_lattice[0], 10, 0, on_lattice[3] - HEIGHT * 10, 0, 10};
    const double between[] = {on_lattice[0] + 4, 10, 0, on_lattice[3] - 4, 0, -10};
    check_extent(NULL, on_lattice, WIDTH, HEIGHT, whole_tile);
    check_extent(polar, on_lattice, WIDTH, HEIGHT, whole_tile);
    check_extent(polar, south_up, WIDTH, HEIGHT, whole_tile);
    check_extent(polar, between, WIDTH, HEIGHT, (sgc_rect){COLUMN, ROW, WIDTH + 1, HEIGHT + 1});
}

/* Every pixel of the outline lies in the extent, and the extent touches it on all sides. */
static void test_extents_in_another_crs(void **state)
{
    (void)state;
    static char crs[] = "EPSG:4326";
    definition.grid = (sgc_grid){crs, {-180, 0.01, 0, 90, 0, -0.01}, 36000, 18000};
    const double t[] = {600000, 1000, 0, 8000000, 0, -1000};
    sgc_rect rect;
    assert_int_equal(sgc_raster_extent("EPSG:32633", t, 300, 400, &definition.grid, &rect, NULL),
                     SGC_OK);
    OGRSpatialReferenceH from = OSRNewSpatialReference(NULL), to = OSRNewSpatialReference(NULL);
    OSRSetFromUserInput(from, "EPSG:32633");
    OSRSetFromUserInput(to, wgs84);
    OSRSetAxisMappingStrategy(to, OAMS_TRADITIONAL_GIS_ORDER);
    OGRCoordinateTransformationH change = OCTNewCoordinateTransformation(from, to);
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i <= 300; i++)
        for (int j = 0; j <= 400; j++) {
            double x = t[0] + i * 1000.0, y = t[3] - j * 1000.0;
            assert_true(OCTTransform(change, 1, &x, &y, NULL));
            left = fmin(left, (x + 180) / 0.01);
            right = fmax(right, (x + 180) / 0.01);
            top = fmin(top, (90 - y) / 0.01);
            bottom = fmax(bottom, (90 - y) / 0.01);
        }
    assert_int_equal(rect.x, (int64_t)floor(left));
    assert_int_equal(rect.y, (int64_t)floor(top));
    assert_int_equal(rect.x + rect.width, (int64_t)ceil(right));
    assert_int_equal(rect.y + rect.height, (int64_t)ceil(bottom));
    OCTDestroyCoordinateTransformation(change);
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(to);

    const double across[] = {631000, 200, 0, 7230000, 0, -200};
    assert_int_equal(
        sgc_raster_extent("EPSG:32660", across, 100, 100, &definition.grid, &rect, NULL), SGC_OK);
    assert_int_equal(rect.x, 0);
    assert_int_equal(rect.width, 36000);
    assert_in_range(rect.height, 15, 40);
}

static void test_extents_that_cannot_be(void **state)
{
    (void)state;
    sgc_rect rect;
    sgc_error error = {""};
    assert_int_equal(
        sgc_raster_extent("EPSG:99999", on_lattice, 1, 1, &definition.grid, &rect, &error),
        SGC_INVALID);
    assert_non_null(strstr(error.message, "EPSG:99999"));
    const double far[] = {1e300, 10, 0, 0, 0, -10};
    assert_int_equal(sgc_raster_extent(NULL, far, 1, 1, &definition.grid, &rect, NULL),
                     SGC_INVALID);
}

/* ---- what is fetched ---- */

enum { COG_SIDE = 4096 };

static double noise(int x, int y)
{
    uint32_t h = (uint32_t)(y * COG_SIDE + x) * 2654435761U;
    h = (h ^ h >> 15) * 2246822519U;
    return (h ^ h >> 13) & 0xff;
}

static void write_cog(const http_server *server, const char *name)
{
    const double t[] = {-50000, 10, 0, 80000, 0, -10};
    char path[128];
    snprintf(path, sizeof path, "%s/%s", server->directory, name);
    GDALDatasetH memory = new_raster(COG_SIDE, COG_SIDE, 2, GDT_Byte, t, polar);
    fill(memory, 1, noise);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(memory, 2), GCI_AlphaBand);
    fill(memory, 2, one);
    char **options = CSLSetNameValue(NULL, "COMPRESS", "DEFLATE");
    options = CSLSetNameValue(options, "OVERVIEW_RESAMPLING", "NEAREST");
    GDALDatasetH cog =
        GDALCreateCopy(GDALGetDriverByName("COG"), path, memory, FALSE, options, NULL, NULL);
    assert_non_null(cog);
    GDALClose(cog);
    GDALClose(memory);
    CSLDestroy(options);
}

static uint64_t fetched(sgc_remote_files *files, const char *url, sgc_rect rect, int64_t factor)
{
    const sgc_raster_window window = {.definition = &definition,
                                      .factor = factor,
                                      .rect = rect,
                                      .patch = &patch,
                                      .any_place = true};
    const size_t count = (size_t)(rect.width * rect.height);
    uint8_t *pixels = malloc(count), *valid = malloc(count);
    sgc_fetch fetch = {0};
    sgc_error error = {""};
    if (sgc_raster_fetch(files, url, &window, pixels, valid, &fetch, NULL, &error) != SGC_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(valid[i], 1);
    if (factor == 1)
        for (size_t i = 0; i < count; i++)
            assert_int_equal(pixels[i], (int)noise((int)(rect.x + (int64_t)i % rect.width),
                                                   (int)(rect.y + (int64_t)i / rect.width)));
    free(pixels);
    free(valid);
    return fetch.bytes;
}

/* The file has 16 MB of pixels that do not compress. */
static void test_only_what_lies_under_a_window_is_fetched(void **state)
{
    (void)state;
    http_server server;
    http_server_start(&server, "http_server.py");
    write_cog(&server, "cog.tif");
    sgc_http *http;
    sgc_remote_files *files;
    const sgc_http_options options = {.max_requests = 2};
    assert_int_equal(sgc_http_new(&options, &http, NULL), SGC_OK);
    assert_int_equal(sgc_remote_files_new(http, &files, NULL), SGC_OK);
    definition.grid.width = definition.grid.height = COG_SIDE;
    band.type = GDT_Byte;
    const http_server_url url = http_server_address(&server, "/cog.tif");
    assert_in_range(fetched(files, url.text, (sgc_rect){1100, 2100, 300, 300}, 1), 200000, 1000000);
    assert_in_range(fetched(files, url.text, (sgc_rect){0, 0, 256, 256}, 16), 200000, 400000);
    assert_in_range(fetched(files, url.text, (sgc_rect){300, 300, 128, 128}, 2), 50000, 600000);
    sgc_remote_files_free(files);
    sgc_http_free(http);
    http_server_stop(&server);
}

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

static bool stop_at_once(void *user)
{
    (void)user;
    return true;
}

/* Copied as it is, and resampled; GDAL reads files, unlike memory, in parts. */
static void test_reading_ends_when_its_user_wants(void **state)
{
    (void)state;
    const sgc_cancel stop = {.requested = stop_at_once};
    GDALDatasetH tile = new_tile(GDT_Byte, 1);
    fill(tile, 1, count_up);
    GDALDatasetH file = GDALCreateCopy(GDALGetDriverByName("GTiff"), "/vsimem/tile.tif", tile,
                                       FALSE, NULL, NULL, NULL);
    for (int64_t factor = 1; factor <= 2; factor++) {
        cancel = &stop;
        answer a =
            read_at(file, sgc_rect_at_level(&definition.grid, whole_tile, factor), factor, true);
        cancel = NULL;
        assert_int_equal(a.status, SGC_CANCELLED);
        free(a.values);
    }
    check(file, whole_tile, 1, true, expect_tile);
    GDALClose(file);
    GDALClose(tile);
    VSIUnlink("/vsimem/tile.tif");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_same_pixels_of_every_type, set_up),
        cmocka_unit_test_setup(test_floats_are_copied_bit_by_bit, set_up),
        cmocka_unit_test_setup(test_south_up_rasters, set_up),
        cmocka_unit_test_setup(test_levels_of_south_up_rasters, set_up),
        cmocka_unit_test_setup(test_raster_without_crs_is_in_the_cubes, set_up),
        cmocka_unit_test_setup(test_the_same_crs_in_other_words, set_up),
        cmocka_unit_test_setup(test_nodata_of_every_type, set_up),
        cmocka_unit_test_setup(test_nodata_of_the_item, set_up),
        cmocka_unit_test_setup(test_nodata_that_no_pixel_can_have, set_up),
        cmocka_unit_test_setup(test_mask_band, set_up),
        cmocka_unit_test_setup(test_alpha, set_up),
        cmocka_unit_test_setup(test_mask_and_nodata_both_count, set_up),
        cmocka_unit_test_setup(test_bool_is_0_or_1, set_up),
        cmocka_unit_test_setup(test_narrower_types_are_widened, set_up),
        cmocka_unit_test_setup(test_value_that_the_type_cannot_hold, set_up),
        cmocka_unit_test_setup(test_complex_numbers_are_refused, set_up),
        cmocka_unit_test_setup(test_signed_bytes_are_not_taken_for_others, set_up),
        cmocka_unit_test_setup(test_no_value_gives_way_to_a_sentinel, set_up),
        cmocka_unit_test_setup(test_wide_integers_are_not_resampled, set_up),
        cmocka_unit_test_setup(test_wide_integers_of_levels_are_picked, set_up),
        cmocka_unit_test_setup(test_levels_use_the_bands_resampling, set_up),
        cmocka_unit_test_setup(test_reading_ends_when_its_user_wants, set_up),
        cmocka_unit_test_setup(test_full_resolution_uses_the_definitions_resampling, set_up),
        cmocka_unit_test_setup(test_cubic_stays_in_the_range_of_the_type, set_up),
        cmocka_unit_test_setup(test_raster_across_the_antimeridian, set_up),
        cmocka_unit_test_setup(test_rows_beyond_the_poles_have_no_value, set_up),
        cmocka_unit_test_setup(test_file_is_where_it_was_promised, set_up),
        cmocka_unit_test_setup(test_file_with_its_own_grid_is_where_it_was_promised, set_up),
        cmocka_unit_test_setup(test_promised_file_without_place, set_up),
        cmocka_unit_test_setup(test_extents_in_the_cubes_crs, set_up),
        cmocka_unit_test_setup(test_extents_in_another_crs, set_up),
        cmocka_unit_test_setup(test_extents_that_cannot_be, set_up),
        cmocka_unit_test_setup(test_only_what_lies_under_a_window_is_fetched, set_up),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
