/* What is in a cube, asked without a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gdal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_testing.h"
#include "gdal_sgc/cube_state.h"

/* A strip of the imaginary terrain, or all of it; in chunks of 100 pixels. */
static const char strip[] =
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"strip\", \"proj:code\": "
    "\"EPSG:3413\", \"proj:transform\": [40, 0, -2000000, 0, -40, 2000000], \"proj:shape\": [100, "
    "20000], \"bands\": [{\"name\": \"elevation\", \"data_type\": \"float32\"}], \"source\": "
    "{\"kind\": \"synthetic\"}}";

static sgc_cube *open_cube(bool whole)
{
    char name[512], path[128];
    sgc_connection *connection = NULL;
    sgc_cube *cube = NULL;
    sgc_error error = {""};
    snprintf(path, sizeof path, "%s/strip.json", test_directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(strip, file) >= 0);
    assert_int_equal(fclose(file), 0);
    snprintf(name, sizeof name, "SGC:%s/cube,create=yes,chunk_size=100,dataset=%s", test_directory,
             whole ? "Demo" : path);
    if (sgc_connection_parse(name, NULL, &connection, &error) != SGC_OK ||
        sgc_cube_open(connection, &cube, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_connection_free(connection);
    return cube;
}

static void load(sgc_cube *cube, size_t level, sgc_rect rect)
{
    const sgc_slice slice = {0, 0};
    const sgc_policy policy = {.download = true, .max_bytes = UINT64_MAX, .num_threads = 1};
    const sgc_window window = {level, rect, &slice, 1};
    sgc_ensured ensured = {0};
    sgc_error error = {""};
    if (sgc_cube_ensure(cube, &window, &policy, &ensured, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_view_unref(ensured.view);
}

/* Chunks of 100 pixels, a character each: '?' missing, '.' without data, '#' with. */
typedef struct states {
    sgc_rect chunks; /* columns, rows */
    char text[64];
} states;

static void note_chunk(void *user, sgc_rect pixels, bool has_data)
{
    states *s = user;
    const sgc_rect chunk = {pixels.x / 100, pixels.y / 100, 1, 1};
    assert_true(sgc_rect_contains(s->chunks, chunk));
    char *c = &s->text[(chunk.y - s->chunks.y) * s->chunks.width + chunk.x - s->chunks.x];
    assert_int_equal(*c, '?'); /* once */
    *c = has_data ? '#' : '.';
}

static const char *states_of(sgc_cube *cube, size_t level, sgc_rect chunks)
{
    static states s;
    const size_t count = (size_t)(chunks.width * chunks.height);
    sgc_view *view;
    s = (states){.chunks = chunks};
    assert_true(count < sizeof s.text);
    memset(s.text, '?', count);
    sgc_cube_view(cube, &view);
    assert_int_equal(
        sgc_view_visit_complete(view, level, (sgc_slice){0, 0}, chunks, note_chunk, &s, NULL),
        SGC_OK);
    sgc_view_unref(view);
    return s.text;
}

/* The terrain has a patch every 2500 pixels; that of (26000, 16000) is not there. */
static void test_states(void **state)
{
    (void)state;
    sgc_cube *cube = open_cube(true);
    sgc_view *view;
    assert_string_equal(states_of(cube, 0, (sgc_rect){259, 159, 3, 2}), "??????");
    load(cube, 0, (sgc_rect){26000, 16000, 100, 100});
    load(cube, 0, (sgc_rect){48000, 43200, 150, 100});
    assert_string_equal(states_of(cube, 0, (sgc_rect){259, 159, 3, 2}), "????.?");
    assert_string_equal(states_of(cube, 0, (sgc_rect){479, 432, 4, 2}), "?##?????");
    sgc_cube_view(cube, &view);
    assert_true(sgc_view_has_level(view, 0));
    assert_false(sgc_view_has_level(view, 1));
    sgc_view_unref(view);
    load(cube, 1, (sgc_rect){24000, 21600, 10, 10});
    sgc_cube_view(cube, &view);
    assert_true(sgc_view_has_level(view, 1));
    sgc_view_unref(view);
    sgc_cube_unref(cube);
}

/* A session on the cube that was left, to be ended with finish(). */
static sgc_session *open_session(sgc_repository **repository)
{
    char path[128];
    sgc_object_store *store = NULL;
    sgc_session *session = NULL;
    snprintf(path, sizeof path, "%s/cube", test_directory);
    assert_int_equal(sgc_object_store_local_new(path, NULL, &store, NULL), SGC_OK);
    assert_int_equal(sgc_repository_open(store, NULL, repository, NULL), SGC_OK);
    assert_int_equal(sgc_session_new(*repository, "main", &session, NULL), SGC_OK);
    return session;
}

static void finish(sgc_session *session, sgc_repository *repository)
{
    assert_int_equal(sgc_session_commit(session, "change", NULL, NULL, NULL), SGC_OK);
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static size_t count_loaded(sgc_cube *cube)
{
    size_t count = 99;
    sgc_view *view;
    sgc_cube_view(cube, &view);
    assert_int_equal(sgc_view_count_loaded(view, &count, NULL), SGC_OK);
    sgc_view_unref(view);
    return count;
}

/* Python notes nothing but which patches it has loaded. The first one reaches from pixel 0 to 2600,
 * its neighbour begins at 2400. */
static void test_states_of_a_cube_without_notes(void **state)
{
    (void)state;
    sgc_repository *repository = NULL;
    sgc_cube *cube = open_cube(false);
    assert_int_equal(count_loaded(cube), 0);
    load(cube, 0, (sgc_rect){0, 0, 2600, 100});
    assert_int_equal(count_loaded(cube), 1);
    assert_string_equal(states_of(cube, 0, (sgc_rect){22, 0, 5, 1}), "####?");
    sgc_cube_unref(cube);
    sgc_session *session = open_session(&repository);
    assert_int_equal(sgc_session_delete(session, "/sgc", NULL), SGC_OK);
    finish(session, repository);
    cube = open_cube(false);
    assert_int_equal(count_loaded(cube), 1);
    assert_string_equal(states_of(cube, 0, (sgc_rect){22, 0, 5, 1}), "##???");
    sgc_cube_unref(cube);
}

/* Gives the channel's chunks those codecs, as another program may have made them. */
static void set_codecs(const sgc_codecs *codecs)
{
    sgc_repository *repository = NULL;
    sgc_session *session = open_session(&repository);
    sgc_node node;
    sgc_array_metadata metadata;
    sgc_buffer document = {0};
    assert_int_equal(sgc_session_get_node(session, "/elevation", &node, NULL), SGC_OK);
    assert_int_equal(sgc_array_metadata_read(&node, &metadata, NULL), SGC_OK);
    metadata.codecs = *codecs;
    assert_int_equal(sgc_array_metadata_print(&metadata, "\"NaN\"", "{}", &document, NULL), SGC_OK);
    assert_int_equal(sgc_session_delete(session, "/elevation", NULL), SGC_OK);
    assert_int_equal(
        sgc_session_put_array(session, "/elevation", document.data, document.size, NULL), SGC_OK);
    sgc_buffer_free(&document);
    sgc_array_metadata_clear(&metadata);
    finish(session, repository);
}

static void expect_compression(const char *expected)
{
    char text[SGC_COMPRESSION_SIZE];
    sgc_cube *cube = open_cube(false);
    sgc_view *view;
    sgc_cube_view(cube, &view);
    sgc_view_compression(view, 0, text);
    assert_string_equal(text, expected);
    sgc_view_unref(view);
    sgc_cube_unref(cube);
}

static void test_compression(void **state)
{
    (void)state;
    expect_compression("ZSTD"); /* as it will be made */
    sgc_cube *cube = open_cube(false);
    load(cube, 1, (sgc_rect){0, 0, 10, 10});
    sgc_cube_unref(cube);
    expect_compression("ZSTD");
    static const struct {
        const char *expected;
        sgc_codecs codecs;
    } cases[] = {
        {"LZ4",
         {.count = 2,
          .list = {{.kind = SGC_CRC32C},
                   {.kind = SGC_BLOSC, .level = 5, .compressor = "lz4", .type_size = 4}}}},
        {"", {.count = 1, .list = {{.kind = SGC_BLOSC, .compressor = "zstd", .type_size = 4}}}},
        {"ZSTD", {.count = 1, .list = {{.kind = SGC_ZSTD, .level = 3}}}},
        {"GZIP", {.count = 1, .list = {{.kind = SGC_GZIP, .level = 3}}}},
        {"", {.count = 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_codecs(&cases[i].codecs);
        expect_compression(cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, make_test_directory, remove_test_directory),
        cmocka_unit_test_setup_teardown(test_states_of_a_cube_without_notes, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_compression, make_test_directory,
                                        remove_test_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
