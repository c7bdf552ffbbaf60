/* Threads that read overlapping windows of one empty cube at once, each in its own way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <dirent.h>
#include <gdal.h>
#include <math.h>
#include <ogr_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autotest/unit/http_server_process.h"
#include "autotest/unit/store_testing.h"

/* A tile of the server is a chunk of the cube. Each window shares most of its chunks with the next.
 */
enum { CHUNK = 64, TILES = 9, SIDE = CHUNK * TILES, THREADS = 8, WINDOW = 224, PIECES = 4 };

static char *directory;
static http_server server;

static float value_at(int x, int y)
{
    return (float)((x * 7919 + y * 104729) % 65521);
}

static void write_tile(int row, int column)
{
    char path[128];
    float pixels[CHUNK * CHUNK];
    const int x0 = (column - 1) * CHUNK, y0 = SIDE - row * CHUNK;
    const double transform[] = {x0, 1, 0, SIDE - y0, 0, -1};
    for (int i = 0; i < CHUNK * CHUNK; i++)
        pixels[i] = value_at(x0 + i % CHUNK, y0 + i / CHUNK);
    snprintf(path, sizeof path, "%s/%02d_%02d.tif", server.directory, row, column);
    GDALDatasetH tile =
        GDALCreate(GDALGetDriverByName("GTiff"), path, CHUNK, CHUNK, 1, GDT_Float32, NULL);
    assert_non_null(tile);
    GDALSetGeoTransform(tile, (double *)transform);
    assert_int_equal(GDALDatasetRasterIO(tile, GF_Write, 0, 0, CHUNK, CHUNK, pixels, CHUNK, CHUNK,
                                         GDT_Float32, 1, NULL, 0, 0, 0),
                     CE_None);
    GDALClose(tile);
}

static void write_definition(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/grid.json", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"grid\", "
            "\"proj:code\": \"EPSG:3413\", \"proj:transform\": [1, 0, 0, 0, -1, %d], "
            "\"proj:shape\": [%d, %d], \"chunk_shape\": [%d, %d], "
            "\"bands\": [{\"name\": \"v\", \"data_type\": \"float32\"}], "
            "\"source\": {\"kind\": \"tiles\", "
            "\"href\": \"http://127.0.0.1:%u/{row|02}_{col|02}.tif\", "
            "\"tile\": {\"origin\": [0, 0], \"size\": [%d, %d], \"first\": [1, 1]}}}",
            SIDE, SIDE, SIDE, CHUNK, CHUNK, server.port, CHUNK, CHUNK);
    assert_int_equal(fclose(file), 0);
}

static int start_server(void **state)
{
    (void)state;
    http_server_start(&server, "http_server.py");
    for (int row = 1; row <= TILES; row++)
        for (int column = 1; column <= TILES; column++)
            write_tile(row, column);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    return 0;
}

static int make_directory(void **state)
{
    (void)state;
    http_server_reset(&server);
    directory = temporary_directory_new();
    write_definition();
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    temporary_directory_free(directory);
    return 0;
}

/* ---- reading ---- */

static GDALDatasetH open_grid(unsigned kinds, const char *options)
{
    char name[512];
    snprintf(name, sizeof name, "SGC:%s/cube,dataset=%s/grid.json,create=yes%s", directory,
             directory, options);
    return GDALOpenEx(name, kinds | GDAL_OF_VERBOSE_ERROR, NULL, NULL, NULL);
}

typedef struct reader {
    int number;
    const char *options; /* of the connection string */
    float pixels[WINDOW * WINDOW];
    CPLErr result;
    char error[256];
} reader;

static int window_x(const reader *r)
{
    return r->number * 48;
}

static int window_y(const reader *r)
{
    return r->number * 40;
}

/* Those with odd numbers begin at the other end. */
static CPLErr read_pieces(const reader *r, GDALDatasetH cube, float *pixels)
{
    const int rows = WINDOW / PIECES;
    CPLErr result = CE_None;
    for (int i = 0; i < PIECES && result == CE_None; i++) {
        const int row = (r->number % 2 == 0 ? i : PIECES - 1 - i) * rows;
        result =
            GDALDatasetRasterIO(cube, GF_Read, window_x(r), window_y(r) + row, WINDOW, rows,
                                pixels + row * WINDOW, WINDOW, rows, GDT_Float32, 1, NULL, 0, 0, 0);
    }
    return result;
}

static void *read_window(void *user)
{
    reader *r = user;
    GDALDatasetH cube = open_grid(GDAL_OF_RASTER, r->options);
    r->result = cube != NULL ? read_pieces(r, cube, r->pixels) : CE_Failure;
    if (r->result != CE_None)
        snprintf(r->error, sizeof r->error, "%s", CPLGetLastErrorMsg());
    if (cube != NULL)
        GDALClose(cube);
    return NULL;
}

static void run_threads(reader *readers, void *(*const *work)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work[i], &readers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void assert_window(const reader *r)
{
    if (r->result != CE_None)
        fail_msg("thread %d: %s", r->number, r->error);
    for (int i = 0; i < WINDOW * WINDOW; i++)
        assert_float_equal(r->pixels[i],
                           value_at(window_x(r) + i % WINDOW, window_y(r) + i / WINDOW), 0);
}

/* ---- what became of it ---- */

static FILE *open_command(const char *arguments)
{
    char command[512];
    snprintf(command, sizeof command, "%s %s", getenv("SGC_COMMAND"), arguments);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    return output;
}

static void assert_verifies(void)
{
    char arguments[256], line[256];
    bool good = false;
    snprintf(arguments, sizeof arguments, "verify SGC:%s/cube --chunks", directory);
    FILE *output = open_command(arguments);
    while (fgets(line, sizeof line, output) != NULL)
        good = good || strstr(line, "no defects") != NULL;
    assert_int_equal(pclose(output), 0);
    assert_true(good);
}

/* What anybody has written, committed or not; all but pixels is small enough to lie in manifests.
 */
static int chunk_objects(void)
{
    char path[128];
    int count = 0;
    snprintf(path, sizeof path, "%s/cube/chunks", directory);
    DIR *entries = opendir(path);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

/* The chunks under all windows. */
static int chunks_wanted(const reader *readers)
{
    bool wanted[TILES][TILES] = {{false}};
    int count = 0;
    for (int i = 0; i < THREADS; i++) {
        const int x = window_x(&readers[i]), y = window_y(&readers[i]);
        for (int row = y / CHUNK; row <= (y + WINDOW - 1) / CHUNK; row++)
            for (int column = x / CHUNK; column <= (x + WINDOW - 1) / CHUNK; column++)
                wanted[row][column] = true;
    }
    for (int i = 0; i < TILES * TILES; i++)
        count += wanted[i / TILES][i % TILES];
    return count;
}

static bool is_same(const cJSON *a, const cJSON *b, const char *key)
{
    return cJSON_Compare(cJSON_GetObjectItem(a, key), cJSON_GetObjectItem(b, key), 1);
}

/* No part of a file twice. */
static void assert_each_part_is_asked_once(void)
{
    cJSON *log = http_server_log(&server);
    assert_true(cJSON_GetArraySize(log) > 0);
    for (const cJSON *a = log->child; a != NULL; a = a->next)
        for (const cJSON *b = a->next; b != NULL; b = b->next)
            if (is_same(a, b, "path") && is_same(a, b, "range"))
                fail_msg("%s was asked for twice",
                         cJSON_GetStringValue(cJSON_GetObjectItem(a, "path")));
    cJSON_Delete(log);
}

/* ---- all alike ---- */

static void fill_with(const char *const *options, reader *readers)
{
    void *(*work[THREADS])(void *);
    for (int i = 0; i < THREADS; i++) {
        readers[i].number = i;
        readers[i].options = options[i];
        work[i] = read_window;
    }
    run_threads(readers, work);
    for (int i = 0; i < THREADS; i++)
        assert_window(&readers[i]);
    assert_int_equal(chunk_objects(), chunks_wanted(readers));
    assert_verifies();
}

static reader *readers_new(void)
{
    reader *readers = calloc(THREADS, sizeof *readers);
    assert_non_null(readers);
    return readers;
}

static void test_one_cube_of_the_process(void **state)
{
    (void)state;
    static const char *const options[THREADS] = {"", "", "", "", "", "", "", ""};
    reader *readers = readers_new();
    fill_with(options, readers);
    assert_each_part_is_asked_once();
    free(readers);
}

/* Handles that differ in an option meet at the locks of the disk only. */
static void test_a_cube_for_each_thread(void **state)
{
    (void)state;
    static const char *const options[THREADS] = {
        ",max_requests=1", ",max_requests=2", ",max_requests=3", ",max_requests=4",
        ",max_requests=5", ",max_requests=6", ",max_requests=7", ",max_requests=8"};
    reader *readers = readers_new();
    fill_with(options, readers);
    free(readers);
}

/* ---- some at a slow file, others not ---- */

/* It lies in the windows of the readers 0 and 1 only. */
static const char slow_tile[] = "/09_01.tif";

static void hold_slow_tile(void)
{
    http_server_fault(&server, "{\"path\": \"/09_01.tif\", \"delay_ms\": 600000, \"times\": 1}");
}

static int count_requests(const char *path)
{
    int count = 0;
    cJSON *log = http_server_log(&server);
    for (const cJSON *entry = log->child; entry != NULL; entry = entry->next)
        count += strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(entry, "path")), path) == 0;
    cJSON_Delete(log);
    return count;
}

typedef struct thread_reader {
    reader *reader;
    pthread_t thread;
    atomic_bool stop, ended; /* stop: its progress function ends the read */
} thread_reader;

static int go_on(double fraction, const char *message, void *user)
{
    (void)fraction;
    (void)message;
    return !((thread_reader *)user)->stop;
}

static CPLErr read_with_progress(reader *r, GDALProgressFunc progress, void *user)
{
    GDALRasterIOExtraArg extra;
    INIT_RASTERIO_EXTRA_ARG(extra);
    extra.pfnProgress = progress;
    extra.pProgressData = user;
    GDALDatasetH cube = open_grid(GDAL_OF_RASTER, r->options);
    if (cube == NULL)
        return CE_Failure;
    const CPLErr result =
        GDALDatasetRasterIOEx(cube, GF_Read, window_x(r), window_y(r), WINDOW, WINDOW, r->pixels,
                              WINDOW, WINDOW, GDT_Float32, 1, NULL, 0, 0, 0, &extra);
    GDALClose(cube);
    return result;
}

static void *read_until_stopped(void *user)
{
    thread_reader *t = user;
    CPLPushErrorHandler(CPLQuietErrorHandler);
    t->reader->result = read_with_progress(t->reader, go_on, t);
    snprintf(t->reader->error, sizeof t->reader->error, "%s", CPLGetLastErrorMsg());
    CPLPopErrorHandler();
    t->ended = true;
    return NULL;
}

static void wait_for_request(const char *path)
{
    while (count_requests(path) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static void start_reader(thread_reader *t, reader *r)
{
    t->reader = r;
    assert_int_equal(pthread_create(&t->thread, NULL, read_until_stopped, t), 0);
}

/* A thread that waits for the server with the slow tile. */
static void start_slow_reader(thread_reader *t, reader *r)
{
    hold_slow_tile();
    start_reader(t, r);
    wait_for_request(slow_tile);
}

static void assert_reads(reader *r)
{
    read_window(r);
    assert_window(r);
}

static void assert_fails(reader *r, const char *message)
{
    CPLPushErrorHandler(CPLQuietErrorHandler);
    read_window(r);
    CPLPopErrorHandler();
    assert_int_equal(r->result, CE_Failure);
    assert_non_null(strstr(r->error, message));
}

/* Number i has the i-th window. */
static reader *numbered_readers_new(void)
{
    reader *readers = readers_new();
    for (int i = 0; i < THREADS; i++) {
        readers[i].number = i;
        readers[i].options = "";
    }
    return readers;
}

/* Those who want other chunks, or what it has finished, go past a thread that waits for a slow
 * server; those who want its chunk wait with a patience of their own. */
static void test_nobody_waits_for_chunks_of_others(void **state)
{
    (void)state;
    reader *readers = numbered_readers_new();
    thread_reader slow = {0}, waiting = {0};
    CPLSetConfigOption("SGC_COMMIT_INTERVAL", "600");
    start_slow_reader(&slow, &readers[0]);
    readers[7].options = readers[2].options = ",timeout=60";
    assert_reads(&readers[7]);
    assert_reads(&readers[2]); /* in the middle of the slow one's window */
    readers[6].options = ",download=view,timeout=60";
    assert_reads(&readers[6]);
    readers[1].options = ",timeout=0.01";
    assert_fails(&readers[1], "TIMEOUT");
    readers[1].options = "";
    start_reader(&waiting, &readers[1]);
    waiting.stop = true;
    pthread_join(waiting.thread, NULL);
    assert_int_equal(readers[1].result, CE_Failure);
    assert_non_null(strstr(readers[1].error, "cancelled"));
    assert_false(slow.ended);
    assert_each_part_is_asked_once();
    http_server_reset(&server);
    pthread_join(slow.thread, NULL);
    CPLSetConfigOption("SGC_COMMIT_INTERVAL", NULL);
    assert_window(&readers[0]);
    assert_verifies();
    free(readers);
}

/* Whoever waits for a chunk whose load is cancelled loads it. */
static void test_waiting_thread_takes_over(void **state)
{
    (void)state;
    reader *readers = numbered_readers_new();
    thread_reader slow = {0}, waiting = {0};
    start_slow_reader(&slow, &readers[0]);
    start_reader(&waiting, &readers[1]);
    wait_for_request("/05_05.tif"); /* which is in that window only */
    slow.stop = true;
    pthread_join(slow.thread, NULL);
    pthread_join(waiting.thread, NULL);
    assert_non_null(strstr(readers[0].error, "cancelled"));
    assert_window(&readers[1]);
    assert_verifies();
    free(readers);
}

/* ---- each in its own way ---- */

/* What a map does that may not wait: there may be nothing yet where something will be. */
static void *glance(void *user)
{
    reader *r = user;
    CPLPushErrorHandler(CPLQuietErrorHandler);
    read_window(r);
    CPLPopErrorHandler();
    return NULL;
}

static int stop_at_second_call(double fraction, const char *message, void *user)
{
    (void)fraction;
    (void)message;
    return ++*(int *)user < 2;
}

/* Cancels, and then wants it after all. */
static void *cancel_first(void *user)
{
    reader *r = user;
    int calls = 0;
    CPLPushErrorHandler(CPLQuietErrorHandler);
    r->result = read_with_progress(r, stop_at_second_call, &calls);
    CPLPopErrorHandler();
    return read_window(r);
}

/* As GDAL's cache of blocks does, first. */
static void *read_through_blocks(void *user)
{
    reader *r = user;
    int width, height;
    GDALDatasetH cube = open_grid(GDAL_OF_RASTER, r->options);
    GDALRasterBandH band = GDALGetRasterBand(cube, 1);
    GDALGetBlockSize(band, &width, &height);
    float *block = malloc(sizeof *block * (size_t)width * (size_t)height);
    r->result = GDALReadBlock(band, window_x(r) / width, window_y(r) / height, block);
    free(block);
    GDALClose(cube);
    return r->result == CE_None ? read_window(r) : NULL;
}

static int count_features(OGRLayerH layer)
{
    int count = 0;
    OGR_L_ResetReading(layer);
    for (OGRFeatureH feature; (feature = OGR_L_GetNextFeature(layer)) != NULL; count++)
        OGR_F_Destroy(feature);
    return count;
}

/* Looks again and again at what is in the cube, between two pieces. */
static void *look_on(void *user)
{
    reader *r = user;
    for (int i = 0; i < 10 && r->result == CE_None; i++) {
        GDALDatasetH cube = open_grid(GDAL_OF_RASTER | GDAL_OF_VECTOR, r->options);
        const bool seen = cube != NULL &&
                          count_features(GDALDatasetGetLayer(cube, 0)) == TILES * TILES &&
                          CSLFetchNameValue(GDALGetMetadata(cube, "SGC"), "CHUNKS") != NULL &&
                          GDALGetMetadataItem(cube, "Window_0_0_300_300", "SGC") != NULL;
        if (!seen) {
            snprintf(r->error, sizeof r->error, "look %d: %.200s", i, CPLGetLastErrorMsg());
            r->result = CE_Failure;
        }
        if (cube != NULL)
            GDALClose(cube);
    }
    return r->result == CE_None ? read_window(r) : NULL;
}

static void *read_array(void *user)
{
    reader *r = user;
    const GUInt64 first[] = {(GUInt64)window_y(r), (GUInt64)window_x(r)};
    const size_t count[] = {WINDOW, WINDOW};
    GDALDatasetH cube = open_grid(GDAL_OF_MULTIDIM_RASTER, r->options);
    GDALGroupH root = GDALDatasetGetRootGroup(cube);
    GDALMDArrayH array = GDALGroupOpenMDArray(root, "v", NULL);
    GDALExtendedDataTypeH type = GDALExtendedDataTypeCreate(GDT_Float32);
    r->result = GDALMDArrayRead(array, first, count, NULL, NULL, type, r->pixels, r->pixels,
                                sizeof r->pixels)
                    ? CE_None
                    : CE_Failure;
    GDALExtendedDataTypeRelease(type);
    GDALMDArrayRelease(array);
    GDALGroupRelease(root);
    GDALClose(cube);
    return NULL;
}

/* Where anything is, it is right. */
static void assert_glimpse(const reader *r)
{
    for (int i = 0; r->result == CE_None && i < WINDOW * WINDOW; i++)
        if (!isnan(r->pixels[i]))
            assert_float_equal(r->pixels[i],
                               value_at(window_x(r) + i % WINDOW, window_y(r) + i / WINDOW), 0);
    if (r->result != CE_None)
        assert_non_null(strstr(r->error, "TIMEOUT"));
}

static void assert_log(const char *path)
{
    char line[4096];
    int loaded = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        cJSON *json = cJSON_Parse(line);
        const char *state = cJSON_GetStringValue(cJSON_GetObjectItem(json, "state"));
        assert_non_null(json);
        loaded += state != NULL && strcmp(state, "loaded") == 0;
        cJSON_Delete(json);
    }
    fclose(file);
    assert_true(loaded > 0);
}

/* Some answers take so long that those who do not wait give up. */
static void delay_answers(void)
{
    for (int i = 1; i <= TILES; i++) {
        char fault[128];
        snprintf(fault, sizeof fault,
                 "{\"path\": \"/%02d_%02d.tif\", \"delay_ms\": 200, \"times\": 1}", TILES + 1 - i,
                 i);
        http_server_fault(&server, fault);
    }
}

static void test_each_in_its_own_way(void **state)
{
    (void)state;
    static void *(*const work[THREADS])(void *) = {
        read_window, glance, cancel_first, glance,
        look_on,     glance, read_array,   read_through_blocks};
    static const char hasty[] = ",download=view,timeout=0.1,on_missing=nodata",
                      strict[] = ",timeout=0.05";
    static const char *const options[THREADS] = {"", hasty, "", strict, "", hasty, "", ""};
    char log[128];
    reader *readers = readers_new();
    snprintf(log, sizeof log, "%s/log", directory);
    CPLSetConfigOption("SGC_LOG", log);
    delay_answers();
    for (int i = 0; i < THREADS; i++) {
        readers[i].number = i;
        readers[i].options = options[i];
    }
    run_threads(readers, work);
    CPLSetConfigOption("SGC_LOG", NULL);
    for (int i = 0; i < THREADS; i++)
        if (work[i] == glance)
            assert_glimpse(&readers[i]);
        else
            assert_window(&readers[i]);
    for (int i = 0; i < THREADS; i++) {
        readers[i].options = "";
        read_window(&readers[i]);
        assert_window(&readers[i]);
    }
    assert_int_equal(chunk_objects(), chunks_wanted(readers));
    assert_verifies();
    assert_log(log);
    free(readers);
}

/* ---- reading while a read reports ---- */

typedef struct nested_read {
    GDALDatasetH cube;
    bool is_done;
    CPLErr result;
    char error[256];
} nested_read;

/* Reads the same window when some of its chunks are loaded and not committed. */
static int read_meanwhile(double fraction, const char *message, void *user)
{
    nested_read *n = user;
    (void)message;
    if (n->is_done || fraction <= 0 || fraction > 0.9)
        return TRUE;
    float *pixels = malloc(sizeof(float) * WINDOW * WINDOW);
    n->is_done = true;
    CPLPushErrorHandler(CPLQuietErrorHandler);
    n->result = GDALDatasetRasterIO(n->cube, GF_Read, 0, 0, WINDOW, WINDOW, pixels, WINDOW, WINDOW,
                                    GDT_Float32, 1, NULL, 0, 0, 0);
    snprintf(n->error, sizeof n->error, "%s", CPLGetLastErrorMsg());
    CPLPopErrorHandler();
    CPLErrorReset();
    free(pixels);
    return TRUE;
}

/* Reads a window, and in the middle of that from `nested`, which it closes. */
static nested_read read_nested(GDALDatasetH nested)
{
    reader *r = readers_new();
    nested_read result = {.cube = nested};
    GDALDatasetH cube = open_grid(GDAL_OF_RASTER, "");
    GDALRasterIOExtraArg extra;
    INIT_RASTERIO_EXTRA_ARG(extra);
    extra.pfnProgress = read_meanwhile;
    extra.pProgressData = &result;
    delay_answers();
    r->result = GDALDatasetRasterIOEx(cube, GF_Read, 0, 0, WINDOW, WINDOW, r->pixels, WINDOW,
                                      WINDOW, GDT_Float32, 1, NULL, 0, 0, 0, &extra);
    assert_window(r);
    assert_true(result.is_done);
    GDALClose(cube);
    GDALClose(nested);
    free(r);
    return result;
}

static void assert_refused(const nested_read *nested)
{
    assert_int_equal(nested->result, CE_Failure);
    assert_non_null(strstr(nested->error, "middle of a load"));
}

static void test_progress_waits_for_no_load(void **state)
{
    (void)state;
    const nested_read nested = read_nested(open_grid(GDAL_OF_RASTER, ""));
    assert_refused(&nested);
}

/* To the process that is another cube, but the chunks on the disk are the same. */
static void test_progress_waits_for_no_claim(void **state)
{
    (void)state;
    const nested_read nested = read_nested(open_grid(GDAL_OF_RASTER, ",max_requests=3"));
    assert_refused(&nested);
}

static void test_progress_loads_from_another_cube(void **state)
{
    (void)state;
    char name[512];
    snprintf(name, sizeof name, "SGC:%s/other,dataset=%s/grid.json,create=yes", directory,
             directory);
    const nested_read nested = read_nested(GDALOpen(name, GA_ReadOnly));
    assert_int_equal(nested.result, CE_None);
}

int main(void)
{
    GDALAllRegister();
    if (GDALGetDriverByName("SGC") == NULL) {
        fprintf(stderr, "GDAL has not loaded the plugin from GDAL_DRIVER_PATH\n");
        return 1;
    }
    CPLSetConfigOption("GDAL_HTTP_RETRY_DELAY", "0.01");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_cube_of_the_process, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_a_cube_for_each_thread, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_chunks_of_others, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_waiting_thread_takes_over, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_each_in_its_own_way, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_progress_waits_for_no_load, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_progress_waits_for_no_claim, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_progress_loads_from_another_cube, make_directory,
                                        remove_directory),
    };
    const int failed = cmocka_run_group_tests(tests, start_server, stop_server);
    GDALDestroyDriverManager();
    return failed;
}
