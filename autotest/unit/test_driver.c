/* The plugin inside GDAL, through GDAL's C API, where the sanitizers can see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <gdal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_testing.h"

enum { CHUNK = 64, SIDE = 512, WINDOW_X = 48000, WINDOW_Y = 43200, THREADS = 8 };

static GDALDatasetH open_cube(void)
{
    char name[256];
    snprintf(name, sizeof name, "SGC:%s/cube,dataset=Demo,create=yes,chunk_size=%d", test_directory,
             CHUNK);
    GDALDatasetH cube = GDALOpenEx(name, GDAL_OF_RASTER | GDAL_OF_VERBOSE_ERROR, NULL, NULL, NULL);
    assert_non_null(cube);
    return cube;
}

static CPLErr read_square(GDALDatasetH cube, int x, int y, int side, float *pixels)
{
    return GDALDatasetRasterIO(cube, GF_Read, x, y, side, side, pixels, side, side, GDT_Float32, 1,
                               NULL, 0, 0, 0);
}

/* ---- threads ---- */

typedef struct reader {
    int number;
    float *pixels; /* SIDE x SIDE */
    CPLErr result;
} reader;

static int offset_of(int number)
{
    return number * CHUNK / 2;
}

static void *read_with_own_handle(void *user)
{
    reader *r = user;
    char name[256];
    snprintf(name, sizeof name, "SGC:%s/cube,dataset=Demo,create=yes,chunk_size=%d", test_directory,
             CHUNK);
    GDALDatasetH cube = GDALOpen(name, GA_ReadOnly);
    r->result = cube == NULL
                    ? CE_Failure
                    : read_square(cube, WINDOW_X + offset_of(r->number), WINDOW_Y, SIDE, r->pixels);
    if (cube != NULL)
        GDALClose(cube);
    return NULL;
}

/* The chunks that all commits together say they have loaded. */
static int chunks_in_history(void)
{
    char command[512], line[256];
    snprintf(command, sizeof command, "%s log SGC:%s/cube", getenv("SGC_COMMAND"), test_directory);
    FILE *log = popen(command, "r");
    int sum = 0;
    while (fgets(line, sizeof line, log) != NULL) {
        const char *load = strstr(line, "Load ");
        sum += load != NULL ? atoi(load + 5) : 0;
    }
    assert_int_equal(pclose(log), 0);
    return sum;
}

static void test_threads_fill_each_chunk_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    reader readers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (reader){i, malloc(sizeof(float) * SIDE * SIDE), CE_None};
        assert_int_equal(pthread_create(&threads[i], NULL, read_with_own_handle, &readers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    const int width = SIDE + offset_of(THREADS - 1);
    float *whole = malloc(sizeof(float) * (size_t)(width * SIDE));
    GDALDatasetH cube = open_cube();
    assert_int_equal(GDALDatasetRasterIO(cube, GF_Read, WINDOW_X, WINDOW_Y, width, SIDE, whole,
                                         width, SIDE, GDT_Float32, 1, NULL, 0, 0, 0),
                     CE_None);
    GDALClose(cube);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].result, CE_None);
        for (int row = 0; row < SIDE; row++)
            assert_memory_equal(readers[i].pixels + row * SIDE, whole + row * width + offset_of(i),
                                sizeof(float) * SIDE);
        free(readers[i].pixels);
    }
    free(whole);
    const int columns = (width + CHUNK - 1) / CHUNK, rows = SIDE / CHUNK;
    assert_int_equal(chunks_in_history(), columns * rows);
}

/* ---- a time axis ---- */

enum { STEPS = 3, BANDS = 2, PART = 3 * CHUNK };

static void write_years(void)
{
    static const char definition[] =
        "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"years\", \"proj:code\": "
        "\"EPSG:3413\", \"proj:transform\": [40, 0, -2000000, 0, -40, 2000000], \"proj:shape\": "
        "[100000, 100000], \"chunk_shape\": [64, 64], \"fill\": \"channels\", \"time\": "
        "{\"values\": "
        "[\"2017-01-01\", \"2018-01-01\", \"2019-01-01\"]}, \"bands\": [{\"name\": \"a\", "
        "\"data_type\": \"float32\"}, {\"name\": \"b\", \"data_type\": \"float32\"}], \"source\": "
        "{\"kind\": \"synthetic\"}}";
    char path[128];
    snprintf(path, sizeof path, "%s/years.json", test_directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(definition, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static GDALDatasetH open_years(void)
{
    char name[512];
    snprintf(name, sizeof name, "SGC:%s/cube,dataset=%s/years.json,create=yes,time=2017/2019",
             test_directory, test_directory);
    return GDALOpenEx(name, GDAL_OF_RASTER | GDAL_OF_VERBOSE_ERROR, NULL, NULL, NULL);
}

/* Each thread begins at another band. */
static void *read_bands(void *user)
{
    reader *r = user;
    GDALDatasetH cube = open_years();
    r->result = cube == NULL ? CE_Failure : CE_None;
    for (int i = 0; r->result == CE_None && i < STEPS * BANDS; i++) {
        const int band = (r->number + i) % (STEPS * BANDS);
        r->result =
            GDALRasterIO(GDALGetRasterBand(cube, band + 1), GF_Read, WINDOW_X, WINDOW_Y, PART, PART,
                         r->pixels + band * PART * PART, PART, PART, GDT_Float32, 0, 0);
    }
    if (cube != NULL)
        GDALClose(cube);
    return NULL;
}

static void test_threads_fill_each_step_and_channel_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    reader readers[THREADS];
    write_years();
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (reader){i, malloc(sizeof(float) * STEPS * BANDS * PART * PART), CE_None};
        assert_int_equal(pthread_create(&threads[i], NULL, read_bands, &readers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const float *first = readers[0].pixels;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].result, CE_None);
        assert_memory_equal(readers[i].pixels, first, sizeof(float) * STEPS * BANDS * PART * PART);
    }
    /* Each step lies 16 m above the one before, each band 1 m. */
    for (int band = 1; band < STEPS * BANDS; band++)
        assert_float_equal(first[band * PART * PART] - first[0],
                           16.0f * (float)(band / BANDS) + (float)(band % BANDS), 0);
    for (int i = 0; i < THREADS; i++)
        free(readers[i].pixels);
    assert_int_equal(chunks_in_history(), STEPS * BANDS * 9);
}

/* ---- cancelling ---- */

static int stop_at_once(double fraction, const char *message, void *user)
{
    (void)fraction;
    (void)message;
    ++*(int *)user;
    return FALSE;
}

static void test_progress_ends_a_read(void **state)
{
    (void)state;
    GDALDatasetH cube = open_cube();
    int calls = 0;
    GDALRasterIOExtraArg extra;
    INIT_RASTERIO_EXTRA_ARG(extra);
    extra.pfnProgress = stop_at_once;
    extra.pProgressData = &calls;
    float *pixels = malloc(sizeof(float) * 2048 * 2048);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    const CPLErr result =
        GDALDatasetRasterIOEx(cube, GF_Read, WINDOW_X, WINDOW_Y, 2048, 2048, pixels, 2048, 2048,
                              GDT_Float32, 1, NULL, 0, 0, 0, &extra);
    CPLPopErrorHandler();
    assert_int_equal(result, CE_Failure);
    assert_int_equal(CPLGetLastErrorNo(), CPLE_UserInterrupt);
    assert_true(calls > 0);
    free(pixels);
    /* Nothing is blocked: the same handle reads on. */
    float square[CHUNK * CHUNK];
    assert_int_equal(read_square(cube, WINDOW_X, WINDOW_Y, CHUNK, square), CE_None);
    GDALClose(cube);
}

/* As of any other format, also of a raster that has no bands: the steps are its subdatasets. */
static void test_read_of_no_bands(void **state)
{
    (void)state;
    write_years();
    char name[512];
    snprintf(name, sizeof name, "SGC:%s/cube,dataset=%s/years.json,create=yes", test_directory,
             test_directory);
    GDALDatasetH cubes[] = {open_years(), GDALOpen(name, GA_ReadOnly)};
    assert_int_equal(GDALGetRasterCount(cubes[0]), STEPS * BANDS);
    assert_int_equal(GDALGetRasterCount(cubes[1]), 0);
    for (int i = 0; i < 2; i++) {
        float pixel = 7;
        int map[] = {12345};
        assert_int_equal(GDALDatasetRasterIO(cubes[i], GF_Read, 0, 0, 1, 1, &pixel, 1, 1,
                                             GDT_Float32, 0, i == 0 ? map : NULL, 0, 0, 0),
                         CE_None);
        assert_float_equal(pixel, 7, 0);
        GDALClose(cubes[i]);
    }
}

static void test_memory_cube(void **state)
{
    (void)state;
    GDALDatasetH cube = GDALOpen("SGC:mem:a,dataset=Demo,create=yes,chunk_size=64", GA_ReadOnly);
    assert_non_null(cube);
    float first[100 * 100], second[100 * 100];
    assert_int_equal(read_square(cube, WINDOW_X, WINDOW_Y, 100, first), CE_None);
    assert_int_equal(read_square(cube, WINDOW_X, WINDOW_Y, 100, second), CE_None);
    assert_memory_equal(first, second, sizeof first);
    GDALClose(cube);
}

int main(void)
{
    GDALAllRegister();
    if (GDALGetDriverByName("SGC") == NULL) {
        fprintf(stderr, "GDAL has not loaded the plugin from GDAL_DRIVER_PATH\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads_fill_each_chunk_once, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_threads_fill_each_step_and_channel_once,
                                        make_test_directory, remove_test_directory),
        cmocka_unit_test_setup_teardown(test_progress_ends_a_read, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_read_of_no_bands, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test(test_memory_cube),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    GDALDestroyDriverManager();
    return failed;
}
