#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/remote_file.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KB = 1024,
    CONTENT_SIZE = 20 * KB * KB, /* more than one request fetches */
    SIDE = 3131,                 /* of the COG, as an ArcticDEM tile */
};

static http_server server;
static unsigned char *content;
static float *relief;

/* What each test works with. */
static sgc_http *http;
static sgc_remote_files *files;

/* ---- the served files ---- */

static float *make_relief(void)
{
    float *pixels = malloc((size_t)SIDE * SIDE * sizeof *pixels);
    uint32_t random = 1;
    float height = 0;
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        random = random * 1664525 + 1013904223;
        height += (float)((int)(random >> 26) - 32) / 128;
        pixels[i] = height;
    }
    return pixels;
}

static void write_cog(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", server.directory, name);
    GDALDatasetH memory =
        GDALCreate(GDALGetDriverByName("MEM"), "", SIDE, SIDE, 1, GDT_Float32, NULL);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(memory, 1), GF_Write, 0, 0, SIDE, SIDE, relief,
                                  SIDE, SIDE, GDT_Float32, 0, 0),
                     CE_None);
    char **options = CSLSetNameValue(NULL, "COMPRESS", "DEFLATE");
    GDALDatasetH cog =
        GDALCreateCopy(GDALGetDriverByName("COG"), path, memory, FALSE, options, NULL, NULL);
    assert_non_null(cog);
    GDALClose(cog);
    GDALClose(memory);
    CSLDestroy(options);
}

static int start_server(void **state)
{
    (void)state;
    GDALAllRegister();
    content = malloc(CONTENT_SIZE);
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        content[i] = (unsigned char)(i * 7 + i / 251);
    relief = make_relief();
    http_server_start(&server, "http_server.py");
    write_cog("dem.tif");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    free(relief);
    free(content);
    GDALDestroyDriverManager();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    const sgc_http_options options = {.max_requests = 4, .retries = 2, .first_delay_ms = 1};
    http_server_reset(&server);
    http_server_write(&server, "a.bin", content, CONTENT_SIZE);
    assert_int_equal(sgc_http_new(&options, &http, NULL), SGC_OK);
    assert_int_equal(sgc_remote_files_new(http, &files, NULL), SGC_OK);
    CPLErrorReset();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sgc_remote_files_free(files);
    sgc_http_free(http);
    return 0;
}

/* ---- helpers ---- */

static char *make_name(const char *path)
{
    char *name;
    const http_server_url url = http_server_address(&server, path);
    assert_int_equal(sgc_remote_files_path(files, url.text, &name, NULL), SGC_OK);
    return name;
}

static VSILFILE *open_file(const char *path)
{
    char *name = make_name(path);
    VSILFILE *file = VSIFOpenL(name, "rb");
    free(name);
    return file;
}

static GDALDatasetH open_raster(const char *path)
{
    char *name = make_name(path);
    GDALDatasetH raster = GDALOpenEx(name, GDAL_OF_RASTER, NULL, NULL, NULL);
    free(name);
    return raster;
}

static void check_read(VSILFILE *file, size_t offset, size_t size)
{
    unsigned char *data = malloc(size);
    assert_int_equal(VSIFSeekL(file, offset, SEEK_SET), 0);
    assert_int_equal(VSIFReadL(data, 1, size, file), size);
    assert_memory_equal(data, content + offset, size);
    assert_int_equal(VSIFTellL(file), offset + size);
    assert_int_equal(VSIFEofL(file), 0);
    free(data);
}

static void check_window(GDALDatasetH raster, int x, int y, int width, int height)
{
    float *pixels = malloc((size_t)width * (size_t)height * sizeof *pixels);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(raster, 1), GF_Read, x, y, width, height,
                                  pixels, width, height, GDT_Float32, 0, 0),
                     CE_None);
    for (int row = 0; row < height; row++)
        assert_memory_equal(pixels + (size_t)row * (size_t)width,
                            relief + (size_t)(y + row) * SIDE + x, (size_t)width * sizeof *pixels);
    free(pixels);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", text, part);
}

/* ---- reading ---- */

static void test_stat(void **state)
{
    (void)state;
    char *name = make_name("/a.bin");
    VSIStatBufL stat;
    assert_int_equal(VSIStatL(name, &stat), 0);
    assert_int_equal(stat.st_size, CONTENT_SIZE);
    assert_true(VSI_ISREG(stat.st_mode));
    free(name);
    VSIFCloseL(open_file("/a.bin"));
    assert_int_equal(http_server_count(&server), 1);
}

static void test_small_reads_share_requests(void **state)
{
    (void)state;
    VSILFILE *file = open_file("/a.bin");
    for (size_t offset = 0; offset < 32 * KB; offset += 1000)
        check_read(file, offset, 100);
    assert_int_equal(http_server_count(&server), 1);
    check_read(file, 1000000, 10);
    assert_int_equal(http_server_count(&server), 2);
    check_read(file, 1000000 + 32 * KB - 10, 10);
    check_read(file, 20, 10);
    assert_int_equal(http_server_count(&server), 2);
    VSIFCloseL(file);
}

static void test_read_across_buffers(void **state)
{
    (void)state;
    VSILFILE *file = open_file("/a.bin");
    check_read(file, 32 * KB - 10, 20);
    check_read(file, 64 * KB - 10, 20);
    check_read(file, 32 * KB - 10, 100 * KB);
    check_read(file, CONTENT_SIZE - 10, 10);
    VSIFCloseL(file);
}

static void test_large_reads_go_straight(void **state)
{
    (void)state;
    VSILFILE *file = open_file("/a.bin");
    check_read(file, 100000, 3 * KB * KB);
    assert_int_equal(http_server_count(&server), 2);
    check_read(file, 0, CONTENT_SIZE);
    assert_int_equal(http_server_count(&server), 4);
    VSIFCloseL(file);
}

static void test_end_of_file(void **state)
{
    (void)state;
    unsigned char data[100];
    VSILFILE *file = open_file("/a.bin");
    assert_int_equal(VSIFSeekL(file, 0, SEEK_END), 0);
    assert_int_equal(VSIFTellL(file), CONTENT_SIZE);
    assert_int_equal(VSIFSeekL(file, CONTENT_SIZE - 50, SEEK_SET), 0);
    assert_int_equal(VSIFReadL(data, 20, 5, file), 2);
    assert_true(VSIFEofL(file));
    assert_int_equal(VSIFReadL(data, 1, 1, file), 0);
    assert_int_equal(VSIFSeekL(file, 10, SEEK_CUR), 0);
    assert_false(VSIFEofL(file));
    assert_int_equal(VSIFReadL(data, 1, 1, file), 0);
    assert_int_equal(VSIFReadL(data, SIZE_MAX, 2, file), 0);
    VSIFCloseL(file);
}

static void test_ranges_are_merged(void **state)
{
    (void)state;
    static const vsi_l_offset offsets[] = {9000000, 500000, 10, 560000, 520000, 505000};
    static const size_t sizes[] = {50000, 10000, 20, 100, 30000, 10000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    void *data[COUNT];
    for (int i = 0; i < COUNT; i++)
        data[i] = malloc(sizes[i]);
    VSILFILE *file = open_file("/a.bin");
    assert_int_equal(VSIFReadMultiRangeL(COUNT, data, offsets, sizes, file), 0);
    for (int i = 0; i < COUNT; i++)
        assert_memory_equal(data[i], content + offsets[i], sizes[i]);
    /* The head, its neighbours from 500000 on, the far one. */
    assert_int_equal(http_server_count(&server), 3);
    VSIFCloseL(file);
    for (int i = 0; i < COUNT; i++)
        free(data[i]);
}

static void test_merged_request_is_bounded(void **state)
{
    (void)state;
    enum { PART = 6 * KB * KB };
    const vsi_l_offset offsets[] = {100000, 100001 + PART, 100002 + 2 * PART};
    const size_t sizes[] = {PART, PART, PART};
    void *data[] = {malloc(PART), malloc(PART), malloc(PART)};
    VSILFILE *file = open_file("/a.bin");
    assert_int_equal(VSIFReadMultiRangeL(3, data, offsets, sizes, file), 0);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(data[i], content + offsets[i], PART);
        free(data[i]);
    }
    assert_int_equal(http_server_count(&server), 3);
    VSIFCloseL(file);
}

static void test_range_beyond_the_end_fails(void **state)
{
    (void)state;
    unsigned char byte;
    void *data[] = {&byte, &byte};
    const vsi_l_offset offsets[] = {CONTENT_SIZE, UINT64_MAX};
    const size_t sizes[] = {1, 1};
    VSILFILE *file = open_file("/a.bin");
    assert_int_equal(VSIFReadMultiRangeL(1, data, offsets, sizes, file), -1);
    assert_int_equal(VSIFReadMultiRangeL(1, data, offsets + 1, sizes, file), -1);
    assert_int_equal(http_server_count(&server), 1);
    VSIFCloseL(file);
}

static void test_reopening_costs_no_request(void **state)
{
    (void)state;
    VSILFILE *first = open_file("/a.bin"), *second = open_file("/a.bin");
    VSIFCloseL(first);
    check_read(second, 100, 1000);
    VSIFCloseL(second);
    VSIFCloseL(open_file("/a.bin"));
    assert_int_equal(http_server_count(&server), 1);
}

/* For servers without ranges: one request a file, whatever is read of it. */
static void test_files_fetched_whole(void **state)
{
    (void)state;
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"ignore_range\": true}");
    sgc_remote_files_fetch_whole(files);
    for (int i = 0; i < 2; i++) {
        VSILFILE *file = open_file("/a.bin");
        assert_non_null(file);
        check_read(file, CONTENT_SIZE - 100, 100);
        check_read(file, 0, CONTENT_SIZE);
        VSIFCloseL(file);
    }
    cJSON *log = http_server_log(&server);
    assert_int_equal(cJSON_GetArraySize(log), 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(log, 0), "range")));
    cJSON_Delete(log);
}

static void test_few_whole_files_are_kept(void **state)
{
    (void)state;
    sgc_remote_files_fetch_whole(files);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5; i++) {
            char name[16], path[17];
            snprintf(name, sizeof name, "w%d.bin", i);
            snprintf(path, sizeof path, "/%s", name);
            if (round == 0)
                http_server_write(&server, name, content, 1000);
            VSILFILE *file = open_file(path);
            check_read(file, 900, 100);
            VSIFCloseL(file);
        }
    assert_int_equal(http_server_count(&server), 10); /* four of the five are kept */
}

static void *read_whole(void *user)
{
    (void)user;
    VSILFILE *file = open_file("/a.bin");
    unsigned char byte;
    const size_t n = VSIFReadL(&byte, 1, 1, file);
    VSIFCloseL(file);
    return n == 1 ? file : NULL;
}

static void test_threads_share_one_fetch_of_a_whole_file(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    sgc_remote_files_fetch_whole(files);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_whole, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
    assert_int_equal(http_server_count(&server), 1);
}

static void test_least_used_head_is_dropped(void **state)
{
    (void)state;
    char path[32];
    http_server_write(&server, "small.bin", content, 100);
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "/small.bin?%d", i);
        VSIFCloseL(open_file(path));
    }
    VSIFCloseL(open_file("/small.bin?0"));
    assert_int_equal(http_server_count(&server), 64);
    VSIFCloseL(open_file("/small.bin?64"));
    VSIFCloseL(open_file("/small.bin?0"));
    assert_int_equal(http_server_count(&server), 65);
    VSIFCloseL(open_file("/small.bin?1"));
    assert_int_equal(http_server_count(&server), 66);
}

/* ---- rasters ---- */

static void test_cog_takes_few_requests(void **state)
{
    (void)state;
    char *name = make_name("/dem.tif");
    assert_true(VSIHasOptimizedReadMultiRange(name));
    free(name);
    GDALDatasetH raster = open_raster("/dem.tif");
    assert_non_null(raster);
    assert_int_equal(http_server_count(&server), 1);
    /* 3 × 3 tiles: one request for each row of tiles. */
    check_window(raster, 600, 600, 900, 900);
    assert_in_range(http_server_count(&server), 2, 4);
    GDALClose(raster);

    /* GDAL gathers ranges up to this size, by default 10 MB, and reads the rest tile by tile. */
    CPLSetThreadLocalConfigOption("GDAL_MAX_RAW_BLOCK_CACHE_SIZE", "100000000");
    http_server_reset(&server);
    raster = open_raster("/dem.tif");
    assert_int_equal(http_server_count(&server), 0);
    check_window(raster, 0, 0, SIDE, SIDE);
    assert_in_range(http_server_count(&server), 1, 2);
    GDALClose(raster);
    CPLSetThreadLocalConfigOption("GDAL_MAX_RAW_BLOCK_CACHE_SIZE", NULL);
}

static void check_no_sidecars(const char *read_dir)
{
    http_server_reset(&server);
    CPLSetThreadLocalConfigOption("GDAL_DISABLE_READDIR_ON_OPEN", read_dir);
    sgc_remote_call call;
    sgc_remote_call_begin(&call, NULL);
    GDALDatasetH raster = open_raster("/dem.tif");
    assert_non_null(raster);
    double transform[6];
    GDALGetGeoTransform(raster, transform);
    GDALGetMetadata(raster, "RPC");
    GDALGetMaskFlags(GDALGetRasterBand(raster, 1));
    GDALGetOverviewCount(GDALGetRasterBand(raster, 1));
    CSLDestroy(GDALGetFileList(raster));
    GDALClose(raster);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
    cJSON *log = http_server_log(&server);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, log)
        assert_string_equal(cJSON_GetObjectItem(entry, "path")->valuestring, "/dem.tif");
    cJSON_Delete(log);
    CPLSetThreadLocalConfigOption("GDAL_DISABLE_READDIR_ON_OPEN", NULL);
}

static void test_no_sidecars_are_looked_for(void **state)
{
    (void)state;
    check_no_sidecars(NULL);
    check_no_sidecars("TRUE");
    check_no_sidecars("EMPTY_DIR");
    char *name = make_name("/dem.tif");
    char **siblings = VSISiblingFiles(name), **listed = VSIReadDir(name);
    assert_non_null(siblings);
    assert_null(siblings[0]);
    assert_int_equal(CSLCount(listed), 0);
    CSLDestroy(siblings);
    CSLDestroy(listed);
    free(name);
}

static void *read_raster(void *user)
{
    const int *corner = user;
    sgc_remote_call call;
    sgc_remote_call_begin(&call, NULL);
    GDALDatasetH raster = open_raster("/dem.tif");
    float pixels[64 * 64];
    const bool good = raster != NULL &&
                      GDALRasterIO(GDALGetRasterBand(raster, 1), GF_Read, *corner, *corner, 64, 64,
                                   pixels, 64, 64, GDT_Float32, 0, 0) == CE_None &&
                      pixels[0] == relief[(size_t)*corner * SIDE + (size_t)*corner];
    if (raster != NULL)
        GDALClose(raster);
    return sgc_remote_call_end(&call, NULL) == SGC_OK && good ? user : NULL;
}

/* Whether there is a file whose name is that of `path` and `ending`, and what the call says of it.
 */
static bool has_derived(const char *path, const char *ending, sgc_status *failure)
{
    sgc_remote_call call;
    VSIStatBufL stat;
    char *name = make_name(path), *derived;
    assert_true(asprintf(&derived, "%s%s", name, ending) > 0);
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"/a.bin.msk\", \"status\": 403}");
    http_server_fault(&server, "{\"path\": \"/a.bin.ovr\", \"status\": 503}");
    sgc_remote_call_begin(&call, NULL);
    const bool found = VSIStatL(derived, &stat) == 0;
    *failure = sgc_remote_call_end(&call, NULL);
    free(name);
    free(derived);
    return found;
}

/* Of families that have them. */
static void test_sidecars(void **state)
{
    (void)state;
    sgc_status failure;
    http_server_write(&server, "a.bin.aux.xml", content, 100);
    assert_false(has_derived("/a.bin", ".aux.xml", &failure));
    assert_int_equal(http_server_count(&server), 0);
    sgc_remote_files_have_sidecars(files);
    assert_true(has_derived("/a.bin", ".aux.xml", &failure));
    assert_int_equal(failure, SGC_OK);
    assert_false(has_derived("/a.bin", ".tfw", &failure));
    assert_int_equal(http_server_count(&server), 1);
    assert_int_equal(failure, SGC_OK);
    assert_false(has_derived("/a.bin", ".msk", &failure));
    assert_int_equal(failure, SGC_OK);
    assert_false(has_derived("/a.bin", ".ovr", &failure));
    assert_int_equal(failure, SGC_NETWORK);
    assert_false(has_derived("/a.bin", ".IMD", &failure));
    assert_false(has_derived("/a.bin?token=1", ".aux.xml", &failure));
    assert_int_equal(http_server_count(&server), 0);
}

static void test_threads(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    pthread_t threads[COUNT];
    int corners[COUNT];
    for (int i = 0; i < COUNT; i++) {
        corners[i] = i * 500;
        assert_int_equal(pthread_create(&threads[i], NULL, read_raster, &corners[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &corners[i]);
    }
}

/* ---- failures ---- */

static void check_open_fails(const char *path, sgc_status expected, const char *message)
{
    sgc_remote_call call;
    sgc_error err = {"untouched"};
    sgc_remote_call_begin(&call, NULL);
    assert_null(open_file(path));
    assert_int_equal(sgc_remote_call_end(&call, &err), expected);
    assert_contains(err.message, message);
    assert_int_equal(CPLGetLastErrorType(), CE_None);
}

static void test_failures_are_kept_in_the_call(void **state)
{
    (void)state;
    check_open_fails("/absent.tif", SGC_NOT_FOUND, "/absent.tif: not found");
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"status\": 403, \"body\": \"expired\"}");
    check_open_fails("/a.bin?key=secret", SGC_AUTH, "/a.bin: access refused with status 403: exp");
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"status\": 503}");
    check_open_fails("/a.bin", SGC_NETWORK, "attempt 3");
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"ignore_range\": true, \"chunked\": true}");
    check_open_fails("/a.bin", SGC_UNSUPPORTED, "does not tell the size");
}

static void test_failure_outside_of_calls_is_silent(void **state)
{
    (void)state;
    assert_null(open_file("/absent.tif"));
    assert_int_equal(CPLGetLastErrorType(), CE_None);
}

static void test_after_a_failure_nothing_is_asked(void **state)
{
    (void)state;
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"status\": 503}");
    sgc_remote_call call;
    sgc_error err;
    sgc_remote_call_begin(&call, NULL);
    assert_null(open_file("/a.bin"));
    assert_int_equal(http_server_count(&server), 3);
    assert_null(open_file("/a.bin"));
    assert_null(open_file("/dem.tif"));
    assert_int_equal(http_server_count(&server), 3);
    assert_int_equal(sgc_remote_call_end(&call, &err), SGC_NETWORK);
    assert_contains(err.message, "/a.bin");

    http_server_reset(&server);
    sgc_remote_call_begin(&call, NULL);
    VSILFILE *file = open_file("/a.bin");
    assert_non_null(file);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&call, &err), SGC_OK);
}

static void test_calls_nest(void **state)
{
    (void)state;
    sgc_remote_call outer, inner;
    sgc_remote_call_begin(&outer, NULL);
    sgc_remote_call_begin(&inner, NULL);
    assert_null(open_file("/absent.tif"));
    assert_int_equal(sgc_remote_call_end(&inner, NULL), SGC_NOT_FOUND);
    VSILFILE *file = open_file("/a.bin");
    assert_non_null(file);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&outer, NULL), SGC_OK);
}

static void test_failed_read_is_short(void **state)
{
    (void)state;
    VSILFILE *file = open_file("/a.bin");
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"status\": 503}");
    unsigned char *data = malloc(200 * KB);
    void *parts[] = {data, data + 100};
    const vsi_l_offset offsets[] = {1000000, 1001000};
    const size_t sizes[] = {100, 100};
    sgc_remote_call call;
    sgc_remote_call_begin(&call, NULL);
    assert_int_equal(VSIFReadL(data, 1, 200 * KB, file), 32 * KB);
    assert_false(VSIFEofL(file));
    assert_int_equal(VSIFReadMultiRangeL(2, parts, offsets, sizes, file), -1);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_NETWORK);
    assert_int_equal(CPLGetLastErrorType(), CE_None);
    assert_int_equal(http_server_count(&server), 4);
    VSIFCloseL(file);
    free(data);
}

static bool always(void *user)
{
    (void)user;
    return true;
}

static void test_cancel(void **state)
{
    (void)state;
    const sgc_cancel cancel = {.requested = always};
    sgc_remote_call call;
    sgc_remote_call_begin(&call, &cancel);
    assert_null(open_file("/a.bin"));
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_CANCELLED);
    assert_int_equal(http_server_count(&server), 0);
}

static void test_writing_is_refused(void **state)
{
    (void)state;
    static const char *const modes[] = {"wb", "w", "rb+", "r+", "ab"};
    char *name = make_name("/a.bin");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        assert_null(VSIFOpenL(name, modes[i]));
    assert_int_not_equal(VSIUnlink(name), 0);
    assert_int_equal(http_server_count(&server), 0);
    free(name);
}

static void test_name_of_a_closed_source(void **state)
{
    (void)state;
    sgc_remote_files *closed;
    char *name;
    const http_server_url url = http_server_address(&server, "/a.bin?key=secret");
    assert_int_equal(sgc_remote_files_new(http, &closed, NULL), SGC_OK);
    assert_int_equal(sgc_remote_files_path(closed, url.text, &name, NULL), SGC_OK);
    sgc_remote_files_free(closed);
    sgc_remote_call call;
    sgc_error err;
    sgc_remote_call_begin(&call, NULL);
    assert_null(VSIFOpenL(name, "rb"));
    assert_int_equal(sgc_remote_call_end(&call, &err), SGC_INVALID);
    assert_contains(err.message, "/a.bin: its source is closed");
    assert_int_equal(http_server_count(&server), 0);
    free(name);
}

static void test_names_made_elsewhere_are_no_files(void **state)
{
    (void)state;
    static const char *const names[] = {
        "/vsisgc", "/vsisgc/", "/vsisgc/1", "/vsisgc/1-", "/vsisgc/1-0/http://127.0.0.1/a.tif",
    };
    VSIStatBufL stat;
    sgc_remote_call call;
    sgc_remote_call_begin(&call, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(VSIStatL(names[i], &stat), -1);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
}

static bool never(void *user)
{
    (void)user;
    return false;
}

static const sgc_cancel keeping = {.requested = never, .keeps = true};

/* Opens the file anew, with nothing but parts in memory, and reads some bytes of it. */
static void read_anew(const char *path, size_t offset, size_t size)
{
    sgc_remote_call call;
    for (int i = 0; i < 65; i++) { /* other heads take the place of this one's */
        char other[32];
        snprintf(other, sizeof other, "/small.bin?%d", i);
        VSIFCloseL(open_file(other));
    }
    http_server_reset(&server);
    sgc_remote_call_begin(&call, &keeping);
    VSILFILE *file = open_file(path);
    assert_non_null(file);
    check_read(file, offset, size);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
}

static void test_parts_are_kept_where_versions_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool keeps;
    } cases[] = {
        {"{\"ETag\": \"\\\"a\\\"\"}", true},
        {"{\"ETag\": \"\", \"Last-Modified\": \"Sun, 06 Nov 1994 08:49:37 GMT\"}", true},
        {"{\"ETag\": \"W/\\\"a\\\"\"}", false},
        {"{\"ETag\": \"\"}", false},
    };
    http_server_write(&server, "small.bin", content, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[32], fault[256];
        snprintf(path, sizeof path, "/a.bin?%zu", i);
        snprintf(fault, sizeof fault, "{\"path\": \"/a.bin\", \"headers\": %s}", cases[i].headers);
        sgc_remote_call call;
        http_server_reset(&server);
        http_server_fault(&server, fault);
        sgc_remote_call_begin(&call, &keeping);
        VSILFILE *file = open_file(path);
        check_read(file, 1000000, 300 * KB);
        VSIFCloseL(file);
        assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
        read_anew(path, 1000000, 300 * KB);
        assert_int_equal(http_server_count(&server), cases[i].keeps ? 0 : 2);
    }
}

/* Of one that has taken its place since nothing is mixed with them. */
static void test_kept_parts_of_a_file_that_was_replaced(void **state)
{
    (void)state;
    sgc_remote_call call;
    unsigned char byte;
    http_server_write(&server, "small.bin", content, 100);
    http_server_write(&server, "changing.bin", content, 400 * KB);
    sgc_remote_call_begin(&call, &keeping);
    VSILFILE *file = open_file("/changing.bin");
    check_read(file, 100 * KB, 10);
    http_server_write(&server, "changing.bin", content + 1, 400 * KB);
    check_read(file, 100 * KB + 1, 10); /* kept */
    assert_int_equal(VSIFSeekL(file, 300 * KB, SEEK_SET), 0);
    assert_int_equal(VSIFReadL(&byte, 1, 1, file), 0);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_CORRUPT);
    sgc_remote_call_begin(&call, &keeping);
    file = open_file("/changing.bin");
    assert_int_equal(VSIFSeekL(file, 100 * KB, SEEK_SET), 0);
    assert_int_equal(VSIFReadL(&byte, 1, 1, file), 1);
    assert_int_equal(byte, content[100 * KB + 1]);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
}

static void test_small_file_takes_one_request(void **state)
{
    (void)state;
    sgc_remote_call call;
    http_server_write(&server, "small.bin", content, 10 * KB);
    sgc_remote_call_begin(&call, &keeping);
    VSILFILE *file = open_file("/small.bin");
    check_read(file, 5 * KB, 5 * KB);
    VSIFCloseL(file);
    assert_int_equal(sgc_remote_call_end(&call, NULL), SGC_OK);
    assert_int_equal(http_server_count(&server), 1);
}

static void check_changed(size_t new_size)
{
    unsigned char byte;
    sgc_remote_call call;
    sgc_error err;
    http_server_write(&server, "changing.bin", content, 200 * KB);
    VSILFILE *file = open_file("/changing.bin");
    assert_non_null(file);
    http_server_write(&server, "changing.bin", content + 1, new_size);
    sgc_remote_call_begin(&call, NULL);
    assert_int_equal(VSIFSeekL(file, 100 * KB, SEEK_SET), 0);
    assert_int_equal(VSIFReadL(&byte, 1, 1, file), 0);
    assert_int_equal(sgc_remote_call_end(&call, &err), SGC_CORRUPT);
    assert_contains(err.message, "/changing.bin: changed while it was read");
    VSIFCloseL(file);

    file = open_file("/changing.bin");
    assert_int_equal(VSIFReadL(&byte, 1, 1, file), 1);
    assert_int_equal(byte, content[1]);
    VSIFCloseL(file);
}

static void test_file_changes_while_it_is_read(void **state)
{
    (void)state;
    check_changed(200 * KB);
    check_changed(300 * KB);
    check_changed(110 * KB);
    check_changed(50 * KB);
}

/* What GDAL says about a file must not tell the secrets in its address. */
static void test_messages_without_secrets(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/vsisgc/1-ab/https://u:PASSWORD@h/d/a.tif?st=2026-01-01T00:00:00Z&sig=TOKEN: no TIFF",
         "https://h/d/a.tif: no TIFF"},
        {"a.tif?sig=TOKEN, band 1: IReadBlock failed at X offset 0",
         "a.tif, band 1: IReadBlock failed at X offset 0"},
        {"`/vsisgc/1-ab/https://h/a.tif?sig=TOKEN' not recognized",
         "`https://h/a.tif' not recognized"},
        {"a.tif?sig=TOKEN", "a.tif"},
        {"`/vsizip//vsicurl/http://u:P@SSWORD@h:8/a.zip/x.tif' does not exist",
         "`/vsizip//vsicurl/http://h:8/a.zip/x.tif' does not exist"},
        {"http://user@h/a@b and https://h/?q=TOKEN#x", "http://h/a@b and https://h/"},
        {"nothing secret, 1:2", "nothing secret, 1:2"},
        {"", ""},
    };
    CPLPushErrorHandler(CPLQuietErrorHandler);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        CPLError(CE_Failure, CPLE_AppDefined, "%s", cases[i][0]);
        sgc_remote_last_message(text, sizeof text);
        assert_string_equal(text, cases[i][1]);
        char little[8];
        sgc_remote_last_message(little, sizeof little);
        assert_true(strlen(little) < sizeof little);
    }
    CPLPopErrorHandler();
    CPLErrorReset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_without_secrets),
        cmocka_unit_test_setup_teardown(test_stat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_reads_share_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_across_buffers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_reads_go_straight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ranges_are_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merged_request_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_range_beyond_the_end_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reopening_costs_no_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_least_used_head_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cog_takes_few_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_sidecars_are_looked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sidecars, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures_are_kept_in_the_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failure_outside_of_calls_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_a_failure_nothing_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_nest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_read_is_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writing_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_of_a_closed_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_made_elsewhere_are_no_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_changes_while_it_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts_are_kept_where_versions_are_told_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_kept_parts_of_a_file_that_was_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_small_file_takes_one_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_fetched_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_whole_files_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_share_one_fetch_of_a_whole_file, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
