/* Verification of chunks and manifests in both versions: each kind of damage is found and named. */
#include <string.h>

#include "autotest/unit/golden.h"
#include "autotest/unit/verify_testing.h"

/* ---- no defects ---- */

static void test_what_is_looked_at(void **state)
{
    scene s = begin(state);
    findings f = verify(s.p, true);
    assert_int_equal(f.result.snapshots, 4);
    assert_int_equal(f.result.manifests, 4);
    assert_int_equal(f.result.chunks, 3);
    assert_int_equal(f.result.virtual_chunks, 0);
    free_findings(&f);
    sgc_repository *repository = place_open(s.p);
    sgc_verify_result result;
    assert_ok(sgc_repository_verify(repository, &(sgc_verify_options){0}, &result, &err));
    assert_int_equal(result.defects, 0);
    sgc_repository_free(repository);
}

static void test_virtual_chunks_are_only_counted(void **state)
{
    scene s = begin(state);
    static const sgc_ref_details details = {.location = "s3://nowhere/x"};
    const sgc_chunk_ref ref = {.kind = SGC_CHUNK_VIRTUAL, .length = 1, .details = &details};
    const uint32_t at[] = {3};
    sgc_repository *repository = place_open(s.p);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_set_chunk(session, "/inline", at, &ref, &err));
    commit(session);
    findings f = verify(s.p, true);
    assert_int_equal(f.result.defects, 0);
    assert_int_equal(f.result.virtual_chunks, 1);
    free_findings(&f);
    sgc_repository_free(repository);
}

static void test_garbage_is_no_defect(void **state)
{
    scene s = begin(state);
    static const sgc_object_id garbage = {{0xee}};
    place_put(s.p, key_of("snapshots", &garbage), "x", 1);
    place_put(s.p, key_of("manifests", &garbage), "x", 1);
    place_put(s.p, key_of("chunks", &garbage), "x", 1);
    place_put(s.p, key_of("transactions", &garbage), "x", 1);
    place_put(s.p, "chunks/README", "x", 1);
    check_clean(s.p);
}

/* A chunk may be a part of an object. */
static void test_longer_objects_are_no_defect(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/z", 1, 0);
    resize_object(s.p, key_of("chunks", &chunk), 50);
    check_clean(s.p);
}

static void test_golden_repositories(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        place p;
        place_copy_golden(&p, golden_names[i]);
        check_clean(&p);
        findings f = verify(&p, false);
        assert_int_equal(f.result.virtual_chunks, i < 3);
        assert_true(f.result.snapshots >= 4);
        free_findings(&f);
        place_clear(&p);
    }
}

/* ---- chunks ---- */

static void test_a_lost_chunk(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/g/native", 1, 2);
    place_remove(s.p, key_of("chunks", &chunk));
    check_one(s.p, key_of("chunks", &chunk), "missing: /g/native");
}

static void test_a_short_chunk(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/g/native", 0, 0);
    resize_object(s.p, key_of("chunks", &chunk), -1);
    check_one(s.p, key_of("chunks", &chunk), "has 599 bytes: /g/native needs 600");
}

static void test_a_flipped_chunk(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/z", 1, 0);
    sgc_object object = place_get(s.p, key_of("chunks", &chunk));
    for (size_t at = 0; at < object.size; at += 97) {
        flip_byte(s.p, key_of("chunks", &chunk), at);
        findings f = verify(s.p, false);
        assert_int_equal(f.result.defects, 0);
        free_findings(&f);
        f = verify(s.p, true);
        assert_int_equal(f.result.defects, 1);
        assert_finding(&f, key_of("chunks", &chunk), "");
        free_findings(&f);
        place_put(s.p, key_of("chunks", &chunk), object.data, object.size);
    }
    sgc_object_clear(&object);
}

static void test_an_inline_chunk_of_a_wrong_size(void **state)
{
    scene s = begin(state);
    const sgc_chunk_ref ref = {
        .kind = SGC_CHUNK_INLINE, .length = 2, .inline_data = (const unsigned char *)"xy"};
    const uint32_t at[] = {3};
    sgc_repository *repository = place_open(s.p);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_set_chunk(session, "/inline", at, &ref, &err));
    assert_ok(sgc_session_commit(session, "m", NULL, &s.tip, &err));
    sgc_session_free(session);
    const sgc_object_id manifest = manifest_of(&s, "/inline");
    findings f = verify(s.p, true);
    assert_int_equal(f.result.defects, 1);
    assert_finding(&f, key_of("manifests", &manifest), "");
    free_findings(&f);
    sgc_repository_free(repository);
}

/* ---- manifests ---- */

static void test_a_lost_manifest(void **state)
{
    scene s = begin(state);
    const sgc_object_id manifest = manifest_of(&s, "/g/native");
    sgc_repository *repository = place_open(s.p);
    findings f = verify_with(repository, true);
    free_findings(&f);
    place_remove(s.p, key_of("manifests", &manifest));
    check_one(s.p, key_of("manifests", &manifest), "missing");
    f = verify_with(repository, true); /* which has it in its cache */
    assert_int_equal(f.result.defects, 1);
    free_findings(&f);
    sgc_repository_free(repository);
}

static void test_manifests_of_a_wrong_size(void **state)
{
    scene s = begin(state);
    const sgc_object_id manifest = manifest_of(&s, "/g/native");
    resize_object(s.p, key_of("manifests", &manifest), 1);
    check_one(s.p, key_of("manifests", &manifest), "as its snapshot says");
    resize_object(s.p, key_of("manifests", &manifest), -2);
    check_one(s.p, key_of("manifests", &manifest), "as its snapshot says");
}

static void test_a_flipped_manifest(void **state)
{
    scene s = begin(state);
    const sgc_object_id manifest = manifest_of(&s, "/g/native");
    flip_byte(s.p, key_of("manifests", &manifest), 37); /* the kind of file */
    check_one(s.p, key_of("manifests", &manifest), "");
}

/* Manifests and logs know their names. */
static void test_files_under_wrong_names(void **state)
{
    scene s = begin(state);
    sgc_object file = place_get(s.p, key_of("transactions", &s.first));
    place_put(s.p, key_of("transactions", &s.second), file.data, file.size);
    check_one(s.p, key_of("transactions", &s.second), "another transaction log");
    sgc_object_clear(&file);
}

/* ---- what a snapshot says ---- */

static void make_one_longer(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_file(data, arena)->size_bytes++;
}

static void loosen_extents(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *node = edit_node(data, arena);
    sgc_manifest_ref *refs =
        sgc_arena_copy(arena, node->manifests, node->manifest_count * sizeof *refs);
    sgc_extent *extents =
        sgc_arena_copy(arena, refs[0].extents, node->dimension_count * sizeof *extents);
    extents[node->dimension_count - 1].to++;
    refs[0].extents = extents;
    node->manifests = refs;
}

/* What one snapshot says wrongly is found wherever it is in the history, though all snapshots
 * share the manifest. */
static void check_wrong_description(void **state,
                                    void (*change)(sgc_snapshot_data *data, sgc_arena *arena),
                                    const char *part)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id manifest = manifest_of(&s, edited_path);
    const sgc_object_id *const ids[] = {&s.tip, &s.second};
    for (size_t i = 0; i < 2; i++) {
        sgc_object file = place_get(s.p, key_of("snapshots", ids[i]));
        rewrite_snapshot(s.p, ids[i], change);
        check_one(s.p, key_of("manifests", &manifest), part);
        place_put(s.p, key_of("snapshots", ids[i]), file.data, file.size);
        sgc_object_clear(&file);
    }
}

static void test_a_wrong_count(void **state)
{
    check_wrong_description(state, count_one_more, "has 2 references, not 3");
}

static void test_a_wrong_size(void **state)
{
    check_wrong_description(state, make_one_longer, "as its snapshot says");
}

static void test_loose_extents(void **state)
{
    check_wrong_description(state, loosen_extents, "/g/native");
}

/* Of a manifest that is of one array all the same. */
static void name_twice(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *node = edit_node(data, arena);
    sgc_manifest_ref *refs = sgc_arena_alloc(arena, 2, sizeof *refs);
    refs[0] = refs[1] = node->manifests[0];
    node->manifests = refs;
    node->manifest_count = 2;
}

static void test_overlapping_manifests(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    rewrite_snapshot(s.p, &s.tip, name_twice);
    check_one(s.p, key_of("snapshots", &s.tip), "two manifests of /g/native overlap");
}

static void test_two_manifests_of_a_scalar(void **state)
{
    scene s = begin(state);
    edited_path = "/scalar";
    rewrite_snapshot(s.p, &s.tip, name_twice);
    check_one(s.p, key_of("snapshots", &s.tip), "/scalar has several manifests");
}

static void forget_file(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_manifest_file *file = edit_file(data, arena);
    const size_t at = (size_t)(file - data->manifest_files);
    memmove(file, file + 1, (data->manifest_file_count - at - 1) * sizeof *file);
    data->manifest_file_count--;
}

static void forget_node_manifest(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_node(data, arena)->manifest_count = 0;
}

static void test_an_unlisted_manifest(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id manifest = manifest_of(&s, edited_path);
    rewrite_snapshot(s.p, &s.tip, forget_file);
    check_one(s.p, key_of("snapshots", &s.tip), key_of("manifests", &manifest));
    check_one(s.p, key_of("snapshots", &s.tip), "not listed");
}

static void test_a_surplus_manifest(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id manifest = manifest_of(&s, edited_path);
    rewrite_snapshot(s.p, &s.tip, forget_node_manifest);
    check_one(s.p, key_of("snapshots", &s.tip), key_of("manifests", &manifest));
    check_one(s.p, key_of("snapshots", &s.tip), "no node names it");
}

/* "/inline" names the manifest of "/z", which has as many dimensions. */
static void confuse_manifests(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *node = edit_node(data, arena);
    const sgc_node *other = &data->nodes[data->node_count - 1];
    assert_string_equal(other->path, "/z");
    node->manifests = other->manifests;
    node->manifest_count = 1;
}

static void test_a_manifest_of_another_array(void **state)
{
    scene s = begin(state);
    const sgc_object_id wrong = manifest_of(&s, "/z"), lost = manifest_of(&s, "/inline");
    edited_path = "/inline";
    rewrite_snapshot(s.p, &s.tip, confuse_manifests);
    findings f = verify(s.p, true);
    assert_int_equal(f.result.defects, 2);
    assert_finding(&f, key_of("manifests", &wrong), "no references of /inline");
    assert_finding(&f, key_of("snapshots", &s.tip), key_of("manifests", &lost));
    free_findings(&f);
}

/* ---- references ---- */

/* Gives the first reference of the array, to be changed. */
static sgc_chunk_ref *edit_ref(sgc_array_manifest *array, sgc_arena *arena)
{
    sgc_chunk_ref *refs = sgc_arena_copy(arena, array->refs, array->count * sizeof *refs);
    array->refs = refs;
    return refs;
}

static void make_empty(sgc_manifest_data *data, sgc_array_manifest *array, sgc_arena *arena)
{
    (void)data;
    edit_ref(array, arena)->length = 0;
}

static void test_a_reference_to_nothing(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id manifest = manifest_of(&s, edited_path);
    change_manifest(&s, &manifest, make_empty);
    check_one(s.p, key_of("manifests", &manifest), "/g/native: a reference to 0 bytes");
}

static void move_behind_end(sgc_manifest_data *data, sgc_array_manifest *array, sgc_arena *arena)
{
    (void)data;
    edit_ref(array, arena)->offset = 1;
}

static void test_a_reference_behind_the_end(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id manifest = manifest_of(&s, edited_path);
    const sgc_object_id chunk = chunk_of(&s, "/g/native", 0, 0);
    change_manifest(&s, &manifest, move_behind_end);
    check_one(s.p, key_of("chunks", &chunk), "needs 600 from byte 1 on");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(test_what_is_looked_at),
        IN_MEMORY(test_virtual_chunks_are_only_counted),
        EVERYWHERE(test_garbage_is_no_defect),
        IN_MEMORY(test_longer_objects_are_no_defect),
        cmocka_unit_test(test_golden_repositories),
        EVERYWHERE(test_a_lost_chunk),
        IN_MEMORY(test_a_short_chunk),
        IN_MEMORY(test_a_flipped_chunk),
        IN_MEMORY(test_an_inline_chunk_of_a_wrong_size),
        EVERYWHERE(test_a_lost_manifest),
        EVERYWHERE(test_manifests_of_a_wrong_size),
        IN_MEMORY(test_a_flipped_manifest),
        IN_MEMORY(test_files_under_wrong_names),
        IN_MEMORY(test_a_wrong_count),
        IN_MEMORY(test_a_wrong_size),
        IN_MEMORY(test_loose_extents),
        IN_MEMORY(test_overlapping_manifests),
        IN_MEMORY(test_two_manifests_of_a_scalar),
        IN_MEMORY(test_an_unlisted_manifest),
        IN_MEMORY(test_a_surplus_manifest),
        IN_MEMORY(test_a_manifest_of_another_array),
        IN_MEMORY(test_a_reference_to_nothing),
        IN_MEMORY(test_a_reference_behind_the_end),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
