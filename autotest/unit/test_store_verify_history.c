/* Verification of snapshots, logs and names in both versions: each kind of damage is found and
 * named. */
#include <string.h>

#include "autotest/unit/verify_testing.h"

/* ---- nodes ---- */

static void move_node(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_node(data, arena)->path = "/h/native";
}

static void move_node_into_array(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_node(data, arena)->path = "/inline/native";
}

static void move_root(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_node(data, arena)->path = "/.";
}

static void test_nodes_without_group(void **state)
{
    scene s = begin(state);
    edited_path = "/scalar"; /* stands between /inline and /z */
    sgc_object file = place_get(s.p, key_of("snapshots", &s.tip));
    rewrite_snapshot(s.p, &s.tip, move_node_into_array);
    check_one(s.p, key_of("snapshots", &s.tip), "/inline/native lies in no group");
    place_put(s.p, key_of("snapshots", &s.tip), file.data, file.size);
    edited_path = "/g/native";
    rewrite_snapshot(s.p, &s.tip, move_node);
    check_one(s.p, key_of("snapshots", &s.tip), "/h/native lies in no group");
    place_put(s.p, key_of("snapshots", &s.tip), file.data, file.size);
    edited_path = "/";
    rewrite_snapshot(s.p, &s.tip, move_root);
    findings f = verify(s.p, false);
    assert_int_equal(f.result.defects, 5);
    free_findings(&f);
    sgc_object_clear(&file);
}

static void break_json(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *node = edit_node(data, arena);
    node->user_data = (const unsigned char *)"{";
    node->user_data_size = 1;
}

static void test_another_shape_than_zarr_json(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    rewrite_snapshot(s.p, &s.tip, lengthen);
    check_one(s.p, key_of("snapshots", &s.tip), "/g/native has another shape");
}

static void test_a_broken_zarr_json(void **state)
{
    scene s = begin(state);
    edited_path = "/inline";
    rewrite_snapshot(s.p, &s.tip, break_json);
    check_one(s.p, key_of("snapshots", &s.tip), "/inline");
}

/* ---- histories ---- */

static void test_lost_snapshots(void **state)
{
    scene s = begin(state);
    const sgc_object_id *const ids[] = {&s.tip, &s.second, &s.first, &s.root};
    for (size_t i = 0; i < 4; i++) {
        sgc_object file = place_get(s.p, key_of("snapshots", ids[i]));
        place_remove(s.p, key_of("snapshots", ids[i]));
        findings f = verify(s.p, true);
        assert_true(f.result.defects >= 1 && f.result.defects <= 2);
        assert_finding(&f, key_of("snapshots", ids[i]), "does not exist");
        free_findings(&f);
        place_put(s.p, key_of("snapshots", ids[i]), file.data, file.size);
        sgc_object_clear(&file);
    }
    check_clean(s.p);
}

static void test_damaged_snapshots(void **state)
{
    scene s = begin(state);
    flip_byte(s.p, key_of("snapshots", &s.tip), 3);
    findings f = verify(s.p, true);
    assert_finding(&f, key_of("snapshots", &s.tip), "");
    assert_int_equal(f.result.defects, 1);
    free_findings(&f);
}

static void test_lost_logs(void **state)
{
    scene s = begin(state);
    const sgc_object_id *const ids[] = {&s.tip, &s.second, &s.first, &s.root};
    for (size_t i = 0; i < (s.p->version == 2 ? 4 : 3); i++) {
        sgc_object file = place_get(s.p, key_of("transactions", ids[i]));
        place_remove(s.p, key_of("transactions", ids[i]));
        check_one(s.p, key_of("transactions", ids[i]), "does not exist");
        place_put(s.p, key_of("transactions", ids[i]), file.data, file.size);
        flip_byte(s.p, key_of("transactions", ids[i]), 3);
        check_one(s.p, key_of("transactions", ids[i]), "");
        place_put(s.p, key_of("transactions", ids[i]), file.data, file.size);
        sgc_object_clear(&file);
    }
}

static void test_a_lost_pruned_log(void **state)
{
    scene s = begin(state);
    sgc_repository *repository = place_open(s.p);
    sgc_expire_result result;
    assert_ok(sgc_repository_expire(repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                    &result, &err));
    sgc_repository_free(repository);
    check_clean(s.p);
    place_remove(s.p, key_of("transactions", &s.first));
    check_one(s.p, key_of("transactions", &s.first), "does not exist");
}

static void test_times_that_do_not_grow(void **state)
{
    place *p = *state;
    static const made_commit commits[] = {{"root", -1, 10, NULL},
                                          {"a", 0, 20, NULL},
                                          {"b", 1, 20, NULL},
                                          {"c", 2, 15, NULL},
                                          {"d", 1, 21, NULL}};
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 3}, {SGC_REF_BRANCH, "x", 4}};
    make_history(p, commits, 5, refs, 2);
    findings f = verify(p, false);
    const sgc_object_id a = made_id(1), b = made_id(2);
    assert_int_equal(f.result.defects, 2);
    assert_finding(&f, key_of("snapshots", &a), "not older");
    assert_finding(&f, key_of("snapshots", &b), "not older");
    free_findings(&f);
}

static void set_root_parent(sgc_snapshot_data *data, sgc_arena *arena)
{
    (void)arena;
    data->has_parent = true;
    data->parent = made_id(2);
}

static void test_a_circle(void **state)
{
    place *p = *state;
    static const made_commit commits[] = {
        {"root", -1, 10, NULL}, {"a", 0, 20, NULL}, {"b", 1, 30, NULL}};
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 2}};
    make_history(p, commits, 3, refs, 1);
    const sgc_object_id root = made_id(0);
    rewrite_snapshot(p, &root, set_root_parent);
    findings f = verify(p, false);
    assert_true(f.result.defects >= 1);
    free_findings(&f);
}

static void test_an_info_that_says_something_else(void **state)
{
    scene s = begin(state);
    for (int what = 0; what < 2; what++) {
        sgc_repo_info info = load_info(s.p);
        sgc_object before = place_get(s.p, "repo");
        sgc_snapshot_entry *entries = sgc_arena_copy(&info.arena, info.data.snapshots,
                                                     info.data.snapshot_count * sizeof *entries);
        sgc_snapshot_entry *entry =
            entries + (sgc_repo_info_find_snapshot(&info, &s.tip) - info.data.snapshots);
        if (what == 0)
            entry->message = "another";
        else
            entry->flushed_at++;
        info.data.snapshots = entries;
        put_info(s.p, &info.data);
        check_one(s.p, key_of("snapshots", &s.tip), "repo info");
        place_put(s.p, "repo", before.data, before.size);
        sgc_object_clear(&before);
        sgc_repo_info_clear(&info);
    }
}

static void test_damaged_refs(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/z", 1, 0);
    place_put(s.p, "refs/tag.a/ref.json", "{}", 2);
    place_put(s.p, "refs/branch.b/ref.json", "", 0);
    place_remove(s.p, key_of("chunks", &chunk));
    findings f = verify(s.p, false);
    assert_int_equal(f.result.defects, 3);
    assert_finding(&f, "refs/tag.a/ref.json", "snapshot");
    assert_finding(&f, "refs/branch.b/ref.json", "");
    assert_finding(&f, key_of("chunks", &chunk), "missing");
    free_findings(&f);
}

/* ---- several, and others at work ---- */

static void test_all_defects_are_reported(void **state)
{
    scene s = begin(state);
    const sgc_object_id chunk = chunk_of(&s, "/g/native", 0, 0);
    const sgc_object_id other = chunk_of(&s, "/g/native", 1, 2);
    const sgc_object_id manifest = manifest_of(&s, "/z");
    edited_path = "/inline";
    rewrite_snapshot(s.p, &s.tip, count_one_more);
    edited_path = "/g/native";
    rewrite_snapshot(s.p, &s.first, lengthen);
    place_remove(s.p, key_of("chunks", &chunk));
    resize_object(s.p, key_of("chunks", &other), -100);
    place_remove(s.p, key_of("manifests", &manifest));
    place_remove(s.p, key_of("transactions", &s.second));
    findings f = verify(s.p, true);
    assert_int_equal(f.result.defects, 6);
    const sgc_object_id counted = manifest_of(&s, "/inline");
    assert_finding(&f, key_of("chunks", &chunk), "missing");
    assert_finding(&f, key_of("chunks", &other), "500");
    assert_finding(&f, key_of("manifests", &manifest), "missing");
    assert_finding(&f, key_of("manifests", &counted), "references");
    assert_finding(&f, key_of("snapshots", &s.first), "/g/native");
    assert_finding(&f, key_of("transactions", &s.second), "");
    free_findings(&f);
}

/* Commits at each listing, as somebody else might. */
static sgc_status commit_meanwhile(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)key;
    (void)error;
    static unsigned char value = 1;
    if (strcmp(verb, "list") != 0)
        return SGC_OK;
    sgc_repository *repository = place_open(user);
    commit_value(repository, "main", "/g/native", 0, 1, ++value);
    sgc_repository_free(repository);
    return SGC_OK;
}

static void test_commits_meanwhile_are_no_defects(void **state)
{
    scene s = begin(state);
    sgc_repository *repository = place_open_hooked(s.p, commit_meanwhile, s.p);
    findings f = verify_with(repository, true);
    assert_string_equal((const char *)f.text.data, "");
    free_findings(&f);
    sgc_repository_free(repository);
}

static sgc_status fail_manifests(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)user;
    return strncmp(verb, "get", 3) == 0 && strncmp(key, "manifests/", 10) == 0
               ? sgc_fail(error, SGC_NETWORK, "%s: no answer", key)
               : SGC_OK;
}

/* It is not known then whether there are defects. */
static void test_a_store_that_fails(void **state)
{
    scene s = begin(state);
    sgc_verify_result result;
    sgc_repository *repository = place_open_hooked(s.p, fail_manifests, NULL);
    assert_status(SGC_NETWORK,
                  sgc_repository_verify(repository, &(sgc_verify_options){0}, &result, &err));
    assert_message("no answer");
    sgc_repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_nodes_without_group),
        IN_MEMORY(test_another_shape_than_zarr_json),
        IN_MEMORY(test_a_broken_zarr_json),
        EVERYWHERE(test_lost_snapshots),
        IN_MEMORY(test_damaged_snapshots),
        EVERYWHERE(test_lost_logs),
        IN_VERSION(2, test_a_lost_pruned_log),
        IN_MEMORY(test_times_that_do_not_grow),
        IN_VERSION(1, test_a_circle),
        IN_VERSION(2, test_an_info_that_says_something_else),
        IN_VERSION(1, test_damaged_refs),
        IN_MEMORY(test_all_defects_are_reported),
        IN_MEMORY(test_commits_meanwhile_are_no_defects),
        IN_MEMORY(test_a_store_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
