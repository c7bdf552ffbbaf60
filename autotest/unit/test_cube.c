/* What a cube leaves in its repository, seen through the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <cpl_conv.h>
#include <gdal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_testing.h"
#include "gdal_sgc/cube.h"

static const sgc_slice first_slice = {0, 0};

/* Opens the cube, sees to it that `rect` is complete, and closes it. */
static void load(const char *options, sgc_rect rect)
{
    char name[512];
    sgc_connection *connection = NULL;
    sgc_cube *cube = NULL;
    sgc_error error = {""};
    snprintf(name, sizeof name, "SGC:%s/cube,create=yes,%s", test_directory, options);
    if (sgc_connection_parse(name, NULL, &connection, &error) != SGC_OK ||
        sgc_cube_open(connection, &cube, &error) != SGC_OK)
        fail_msg("%s", error.message);
    const sgc_policy policy = {.download = true, .max_bytes = UINT64_MAX, .num_threads = 1};
    sgc_ensured ensured = {0};
    const sgc_window window = {0, rect, &first_slice, 1};
    if (sgc_cube_ensure(cube, &window, &policy, &ensured, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_view_unref(ensured.view);
    sgc_cube_unref(cube);
    sgc_connection_free(connection);
}

/* Opens the repository that was left, at the tip of "main". */
static void open_left(sgc_repository **repository, sgc_snapshot **snapshot)
{
    char path[128];
    sgc_object_store *store = NULL;
    sgc_object_id tip;
    snprintf(path, sizeof path, "%s/cube", test_directory);
    assert_int_equal(sgc_object_store_local_new(path, NULL, &store, NULL), SGC_OK);
    assert_int_equal(sgc_repository_open(store, NULL, repository, NULL), SGC_OK);
    assert_int_equal(sgc_repository_resolve(*repository, SGC_REF_BRANCH, "main", &tip, NULL),
                     SGC_OK);
    assert_int_equal(sgc_repository_snapshot(*repository, &tip, snapshot, NULL), SGC_OK);
}

static size_t manifests_of(const char *path)
{
    sgc_repository *repository = NULL;
    sgc_snapshot *snapshot = NULL;
    open_left(&repository, &snapshot);
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    assert_non_null(node);
    const size_t count = node->manifest_count;
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
    return count;
}

/* 6250 x 6250 chunks of 16 pixels: windows of 64 chunks, 1024 pixels. */
static void test_manifests_stay_split_when_a_cube_is_opened_again(void **state)
{
    (void)state;
    const char *options = "dataset=Demo,chunk_size=16";
    load(options, (sgc_rect){48000, 43200, 16, 16});
    assert_int_equal(manifests_of("/elevation"), 1);
    load(options, (sgc_rect){52000, 43200, 16, 16});
    assert_int_equal(manifests_of("/elevation"), 2);
    load(options, (sgc_rect){48000, 47300, 32, 16});
    assert_int_equal(manifests_of("/elevation"), 3);
    load(options, (sgc_rect){48016, 43200, 16, 16});
    assert_int_equal(manifests_of("/elevation"), 3);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Resolutions that 15 digits nearly describe must not lose their last bits. */
static void test_grid_is_kept_to_the_last_digit(void **state)
{
    (void)state;
    static const char definition[] =
        "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"fine\", \"proj:code\": "
        "\"EPSG:4326\", \"proj:transform\": [0.00026949458523585647, 0, -180.00001488697754, 0, "
        "-0.00026949458523585647, 90.00014219078139], \"proj:shape\": [1000, 1000], "
        "\"chunk_shape\": [100, 100], \"bands\": [{\"name\": \"h\", \"data_type\": \"float32\"}], "
        "\"source\": {\"kind\": \"synthetic\"}}";
    char path[128], options[256];
    snprintf(path, sizeof path, "%s/fine.json", test_directory);
    write_file(path, definition);
    snprintf(options, sizeof options, "dataset=%s", path);
    load(options, (sgc_rect){0, 0, 100, 100});

    sgc_repository *repository = NULL;
    sgc_snapshot *snapshot = NULL;
    open_left(&repository, &snapshot);
    const sgc_node *crs = sgc_snapshot_find(snapshot, "/spatial_ref");
    const sgc_node *root = sgc_snapshot_find(snapshot, "/");
    const sgc_node *x = sgc_snapshot_find(snapshot, "/x");
    static const char geotransform[] =
        "-180.00001488697754 0.00026949458523585647 0.0 90.00014219078139 0.0 "
        "-0.00026949458523585647";
    assert_non_null(
        memmem(crs->user_data, crs->user_data_size, geotransform, strlen(geotransform)));
    static const char resolution[] = "\"resolution\":0.00026949458523585647";
    assert_non_null(memmem(x->user_data, x->user_data_size, resolution, strlen(resolution)));
    static const char transform[] = "[0.00026949458523585647,0,-180.00001488697754,0,";
    assert_non_null(memmem(root->user_data, root->user_data_size, transform, strlen(transform)));
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

/* A reset while a cube is open takes away what was loaded; the next read loads it again. */
static void test_reset_under_an_open_cube(void **state)
{
    (void)state;
    char name[512];
    sgc_connection *connection = NULL;
    sgc_cube *cube = NULL;
    sgc_ensured ensured = {0};
    const sgc_window window = {0, {48000, 43200, 16, 16}, &first_slice, 1};
    const sgc_window next_window = {0, {48016, 43200, 16, 16}, &first_slice, 1};
    const sgc_policy policy = {.download = true, .max_bytes = UINT64_MAX, .num_threads = 1};
    snprintf(name, sizeof name, "SGC:%s/cube,create=yes,dataset=Demo,chunk_size=16",
             test_directory);
    assert_int_equal(sgc_connection_parse(name, NULL, &connection, NULL), SGC_OK);
    assert_int_equal(sgc_cube_open(connection, &cube, NULL), SGC_OK);
    assert_int_equal(sgc_cube_ensure(cube, &window, &policy, &ensured, NULL), SGC_OK);
    sgc_view_unref(ensured.view);

    sgc_repository *repository = NULL;
    sgc_snapshot *snapshot = NULL;
    open_left(&repository, &snapshot);
    const sgc_snapshot_data *tip = sgc_snapshot_get(snapshot);
    sgc_snapshot *parent = NULL;
    assert_int_equal(sgc_repository_snapshot(repository, &tip->parent, &parent, NULL), SGC_OK);
    const sgc_object_id root = sgc_snapshot_get(parent)->parent; /* before the cube was made */
    assert_int_equal(
        sgc_branch_move(sgc_repository_store(repository), "main", &tip->id, &root, NULL), SGC_OK);
    sgc_snapshot_unref(parent);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);

    sgc_error error = {""};
    if (sgc_cube_ensure(cube, &next_window, &policy, &ensured, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_view_unref(ensured.view);
    sgc_missing missing = {0};
    assert_int_equal(sgc_cube_missing(cube, &next_window, &missing, NULL), SGC_OK);
    assert_int_equal(missing.chunks, 0);
    assert_int_equal(sgc_cube_missing(cube, &window, &missing, NULL), SGC_OK);
    assert_int_equal(missing.chunks, 1);
    sgc_cube_unref(cube);
    sgc_connection_free(connection);
}

/* ---- time ---- */

static uint64_t seconds_ahead;

uint64_t __real_sgc_clock_now(void);
uint64_t __wrap_sgc_clock_now(void);

uint64_t __wrap_sgc_clock_now(void)
{
    return __real_sgc_clock_now() + seconds_ahead * 1000000;
}

static uint64_t missing_of(sgc_cube *cube, const sgc_window *window)
{
    sgc_missing missing = {0};
    assert_int_equal(sgc_cube_missing(cube, window, &missing, NULL), SGC_OK);
    return missing.chunks;
}

static void ensure(sgc_cube *cube, const sgc_window *window, bool download)
{
    sgc_error error = {""};
    sgc_ensured ensured = {0};
    const sgc_policy policy = {.download = download, .max_bytes = UINT64_MAX, .num_threads = 1};
    if (sgc_cube_ensure(cube, window, &policy, &ensured, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(ensured.missing_chunks, 0);
    sgc_view_unref(ensured.view);
}

/* What was loaded of a step that ran is asked for again once it has ended: not before, not where
 * nothing may be downloaded, and not for ever. */
static void test_step_that_ends(void **state)
{
    (void)state;
    static const uint64_t millennium = UINT64_C(1000) * 366 * 86400;
    static const char definition[] =
        "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"running\", \"proj:code\": "
        "\"EPSG:3413\", \"proj:transform\": [40, 0, -2000000, 0, -40, 2000000], \"proj:shape\": "
        "[100000, 100000], \"chunk_shape\": [16, 16], \"time\": {\"values\": [\"2020-01-01\", "
        "\"2900-01-01\"]}, \"bands\": [{\"name\": \"h\", \"data_type\": \"float32\"}], "
        "\"source\": {\"kind\": \"synthetic\"}}";
    char path[128], name[512];
    sgc_connection *connection = NULL;
    sgc_cube *cube = NULL;
    const sgc_window window = {0, {48000, 43200, 16, 16}, &first_slice, 1};
    snprintf(path, sizeof path, "%s/running.json", test_directory);
    write_file(path, definition);
    snprintf(name, sizeof name, "SGC:%s/cube,create=yes,dataset=%s", test_directory, path);
    assert_int_equal(sgc_connection_parse(name, NULL, &connection, NULL), SGC_OK);
    assert_int_equal(sgc_cube_open(connection, &cube, NULL), SGC_OK);
    ensure(cube, &window, true);
    assert_int_equal(missing_of(cube, &window), 0);
    seconds_ahead = millennium;
    assert_int_equal(missing_of(cube, &window), 1);
    ensure(cube, &window, false);
    assert_int_equal(missing_of(cube, &window), 1);
    ensure(cube, &window, true);
    assert_int_equal(missing_of(cube, &window), 0);
    seconds_ahead = 0;
    sgc_cube_unref(cube);
    sgc_connection_free(connection);
}

/* ---- layout ---- */

static const char alphaearth[] =
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"AlphaEarthEmbeddings\", "
    "\"proj:code\": \"EPSG:4326\", \"proj:bbox\": [-180, -90, 180, 90], \"resolution\": "
    "8.98315284e-05, \"fill\": \"channels\", \"time\": {\"values\": [\"2017-01-01\", "
    "\"2018-01-01\", \"2019-01-01\", \"2020-01-01\", \"2021-01-01\", \"2022-01-01\", "
    "\"2023-01-01\", \"2024-01-01\"]}, \"bands\": [{\"name\": \"A00\", \"data_type\": "
    "\"float32\", \"zarr:attributes\": {\"long_name\": \"AlphaEarth Embedding Band 0\", "
    "\"data_source\": \"ee:GOOGLE/SATELLITE_EMBEDDING/V1/ANNUAL\"}}], \"source\": {\"kind\": "
    "\"synthetic\"}}";

/* Gives a session on an empty repository in memory. */
static sgc_session *open_session(sgc_repository **repository)
{
    sgc_object_store *store = NULL;
    sgc_session *session = NULL;
    assert_int_equal(sgc_object_store_memory_new(&store, NULL), SGC_OK);
    assert_int_equal(sgc_repository_create(store, NULL, repository, NULL), SGC_OK);
    assert_int_equal(sgc_session_new(*repository, "main", &session, NULL), SGC_OK);
    return session;
}

/* Beyond what the Python package makes; that is compared in test_documents.c. */
static void test_arrays_of_a_time_axis(void **state)
{
    (void)state;
    sgc_definition *d = NULL;
    sgc_repository *repository = NULL;
    sgc_level levels[SGC_MOST_LEVELS];
    sgc_error error = {""};
    if (sgc_definition_parse(alphaearth, "test", NULL, &d, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_layout_levels(d, d->chunk_width, d->chunk_height, 1, levels);
    sgc_session *session = open_session(&repository);
    if (sgc_layout_put_cube(session, d, &levels[0], 5, &error) != SGC_OK ||
        sgc_layout_put_level(session, d, &levels[2], 8, 5, &error) != SGC_OK)
        fail_msg("%s", error.message);

    sgc_node node;
    sgc_array_metadata m;
    assert_int_equal(sgc_session_get_node(session, "/sgc/x1/complete", &node, NULL), SGC_OK);
    assert_int_equal(sgc_array_metadata_read(&node, &m, NULL), SGC_OK);
    static const uint64_t shape[] = {1, 8, 557, 1114}, chunk[] = {1, 1, 64, 64};
    static const char *const names[] = {"channel", "time", "y", "x"};
    assert_int_equal(m.dimension_count, 4);
    assert_memory_equal(m.shape, shape, sizeof shape);
    assert_memory_equal(m.chunk_shape, chunk, sizeof chunk);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(m.dimension_names[i], names[i]);
    sgc_array_metadata_clear(&m);
    assert_int_equal(sgc_session_get_node(session, "/sgc/x4/A00", &node, NULL), SGC_OK);
    assert_int_equal(sgc_array_metadata_read(&node, &m, NULL), SGC_OK);
    static const uint64_t coarse[] = {8, 500938, 1001876}, coarse_chunk[] = {1, 900, 900};
    assert_memory_equal(m.shape, coarse, sizeof coarse);
    assert_memory_equal(m.chunk_shape, coarse_chunk, sizeof coarse_chunk);
    sgc_array_metadata_clear(&m);
    sgc_session_free(session);
    sgc_repository_free(repository);
    sgc_definition_free(d);
}

/* Levels of a definition begin where the first of its sources does. */
static void test_levels(void **state)
{
    (void)state;
    sgc_definition *d = NULL;
    sgc_level levels[SGC_MOST_LEVELS];
    assert_int_equal(sgc_definition_parse(alphaearth, "test", NULL, &d, NULL), SGC_OK);
    assert_int_equal(sgc_layout_levels(d, 3600, 3600, 0, levels), 1);
    assert_int_equal(sgc_layout_levels(d, 3600, 3600, 1, levels), 14);
    assert_int_equal(levels[13].factor, 8192);
    assert_int_equal(sgc_layout_levels(d, 3600, 3600, 2000, levels), 4);
    assert_int_equal(levels[1].factor, 2048);
    assert_int_equal(levels[1].grid.width, (d->grid.width + 2047) / 2048);
    sgc_split_rule rules[SGC_SPLIT_RULES];
    sgc_layout_split_rules(d, &levels[0], rules);
    assert_string_equal(rules[0].dimension, "time");
    assert_int_equal(rules[0].chunks, 1);
    assert_int_equal(rules[1].chunks, 16); /* 8 steps x 35 x 70 windows */
    sgc_definition_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_manifests_stay_split_when_a_cube_is_opened_again,
                                        make_test_directory, remove_test_directory),
        cmocka_unit_test_setup_teardown(test_reset_under_an_open_cube, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_step_that_ends, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test(test_arrays_of_a_time_axis),
        cmocka_unit_test(test_levels),
        cmocka_unit_test_setup_teardown(test_grid_is_kept_to_the_last_digit, make_test_directory,
                                        remove_test_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
