/* Which patches there are and what is in a cube of them, on a strip of the imaginary terrain: eight
 * patches and a bit, one every 2500 pixels and 2700 wide, called 00_00, 00_01 and so on. */
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
#include "gdal_sgc/patches.h"

enum { PITCH = 2500, MARGIN = 100, HEIGHT = 100, WIDTH = 20000 };

static const char strip[] =
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"strip\", \"proj:code\": "
    "\"EPSG:3413\", \"proj:transform\": [40, 0, -2000000, 0, -40, 2000000], \"proj:shape\": [100, "
    "20000], \"chunk_shape\": [100, 100], \"bands\": [{\"name\": \"h\", \"data_type\": "
    "\"float32\"}], \"source\": {\"kind\": \"synthetic\"}}";

static sgc_cube *open_cube(const char *options)
{
    char path[128], name[512];
    sgc_connection *connection = NULL;
    sgc_cube *cube = NULL;
    sgc_error error = {""};
    snprintf(path, sizeof path, "%s/strip.json", test_directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(strip, file) >= 0);
    assert_int_equal(fclose(file), 0);
    snprintf(name, sizeof name, "SGC:%s/cube,create=yes,dataset=%s%s", test_directory, path,
             options);
    if (sgc_connection_parse(name, NULL, &connection, &error) != SGC_OK ||
        sgc_cube_open(connection, &cube, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_connection_free(connection);
    return cube;
}

static void load(sgc_cube *cube, size_t level, sgc_rect rect)
{
    const sgc_policy policy = {.download = true, .max_bytes = UINT64_MAX, .num_threads = 1};
    const sgc_slice slice = {0, 0};
    const sgc_window window = {level, rect, &slice, 1};
    sgc_ensured ensured = {0};
    sgc_error error = {""};
    if (sgc_cube_ensure(cube, &window, &policy, &ensured, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_view_unref(ensured.view);
}

static sgc_known_patches find(sgc_cube *cube, size_t level, sgc_rect rect)
{
    sgc_known_patches list = {0};
    sgc_error error = {""};
    if (sgc_cube_find_patches(cube, level, 0, rect, &list, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return list;
}

static const sgc_known_patch *patch_of(const sgc_known_patches *list, int column)
{
    char id[16];
    snprintf(id, sizeof id, "00_%02d", column);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    fail_msg("there is no %s", id);
    return NULL;
}

static const sgc_rect everything = {0, 0, WIDTH, HEIGHT};

/* The pixels of a patch. */
static sgc_rect pixels_of(int column)
{
    return (sgc_rect){column * PITCH - MARGIN, 0, PITCH + 2 * MARGIN, HEIGHT};
}

/* A tenth of a patch, in its middle. */
static sgc_rect part_of(int column)
{
    return (sgc_rect){column * PITCH + PITCH / 2, 0, PITCH / 10, HEIGHT};
}

static void test_states(void **state)
{
    (void)state;
    sgc_cube *cube = open_cube("");
    sgc_known_patches before = find(cube, 0, everything);
    assert_int_equal(before.count, 9);
    for (size_t i = 0; i < before.count; i++) {
        assert_int_equal(before.items[i].state, SGC_PATCH_ABSENT);
        assert_false(before.items[i].has_commit);
    }
    sgc_known_patches_clear(&before);

    load(cube, 0, pixels_of(2)); /* and the margins of its neighbours */
    load(cube, 0, part_of(5));
    sgc_known_patches after = find(cube, 0, everything);
    static const sgc_patch_state states[] = {
        SGC_PATCH_ABSENT,  SGC_PATCH_PARTIAL, SGC_PATCH_LOADED, SGC_PATCH_PARTIAL, SGC_PATCH_ABSENT,
        SGC_PATCH_PARTIAL, SGC_PATCH_ABSENT,  SGC_PATCH_ABSENT, SGC_PATCH_ABSENT};
    assert_int_equal(after.count, 9);
    for (int column = 0; column < 9; column++) {
        const sgc_known_patch *patch = patch_of(&after, column);
        assert_int_equal(patch->state, states[column]);
        assert_int_equal(patch->has_commit, states[column] != SGC_PATCH_ABSENT);
        assert_true(patch->has_step && patch->step == 0 && patch->level == 0);
        assert_true(sgc_rect_contains(patch->rect, part_of(column)) || column == 8);
    }
    sgc_known_patches_clear(&after);
    sgc_known_patches one = find(cube, 0, part_of(5));
    assert_int_equal(one.count, 1);
    assert_string_equal(one.items[0].id, "00_05");
    sgc_known_patches_clear(&one);
    sgc_cube_unref(cube);
}

static void assert_last_commit(sgc_cube *cube, int column, bool is_it)
{
    char tip[SGC_OBJECT_ID_TEXT + 1], id[SGC_OBJECT_ID_TEXT + 1];
    sgc_known_patches list = find(cube, 0, everything);
    const sgc_known_patch *patch = patch_of(&list, column);
    assert_true(patch->has_commit);
    sgc_cube_snapshot(cube, tip);
    sgc_object_id_format(&patch->snapshot, id);
    assert_int_equal(strcmp(tip, id) == 0, is_it);
    sgc_known_patches_clear(&list);
}

/* Whoever asks between the loads, or only after the last one, is told the same. */
static void test_the_newest_commit_counts(void **state)
{
    (void)state;
    sgc_cube *cube = open_cube("");
    load(cube, 0, part_of(1));
    assert_last_commit(cube, 1, true);
    load(cube, 0, part_of(3));
    assert_last_commit(cube, 1, false);
    assert_last_commit(cube, 3, true);
    load(cube, 0, pixels_of(1));
    for (int i = 0; i < 2; i++) {
        assert_last_commit(cube, 1, true);
        assert_last_commit(cube, 2, true);
        assert_last_commit(cube, 3, false);
        sgc_cube_unref(cube);
        cube = open_cube("");
    }
    sgc_cube_unref(cube);
}

/* Version 2 of Icechunk has no room for the names of patches in each commit. */
static void test_states_without_commits(void **state)
{
    (void)state;
    sgc_cube *cube = open_cube(",spec_version=2");
    load(cube, 0, pixels_of(2));
    sgc_known_patches list = find(cube, 0, everything);
    assert_int_equal(patch_of(&list, 2)->state, SGC_PATCH_LOADED);
    assert_int_equal(patch_of(&list, 3)->state, SGC_PATCH_PARTIAL);
    assert_false(patch_of(&list, 2)->has_commit);
    sgc_known_patches_clear(&list);
    sgc_cube_unref(cube);
}

/* A level is loaded for itself. */
static void test_levels(void **state)
{
    (void)state;
    sgc_cube *cube = open_cube("");
    const sgc_rect all = {0, 0, WIDTH / 2, HEIGHT / 2};
    load(cube, 1, (sgc_rect){1500, 0, 50, 50});
    load(cube, 1, (sgc_rect){7500 / 2 - 50, 0, 2700 / 2, 50});
    sgc_known_patches coarse = find(cube, 1, all), full = find(cube, 0, everything);
    assert_int_equal(patch_of(&coarse, 1)->level, 1);
    assert_int_equal(patch_of(&coarse, 0)->state, SGC_PATCH_ABSENT);
    assert_int_equal(patch_of(&coarse, 1)->state, SGC_PATCH_PARTIAL);
    assert_int_equal(patch_of(&coarse, 3)->state, SGC_PATCH_LOADED);
    assert_int_equal(patch_of(&full, 3)->state, SGC_PATCH_ABSENT);
    sgc_known_patches_clear(&coarse);
    sgc_known_patches_clear(&full);
    sgc_cube_unref(cube);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, make_test_directory, remove_test_directory),
        cmocka_unit_test_setup_teardown(test_the_newest_commit_counts, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_states_without_commits, make_test_directory,
                                        remove_test_directory),
        cmocka_unit_test_setup_teardown(test_levels, make_test_directory, remove_test_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
