/* What our writer preserves of what it did not write, and what forbids it to change a repo info. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/codec_testing.h"
#include "autotest/unit/crafted_buffers.h"
#include "autotest/unit/golden.h"
#include "autotest/unit/verify_testing.h"
#include "store/icechunk/envelope.h"

/* ---- what must be preserved ---- */

/* Takes the newest operation back, which is a commit, in what was decoded. */
static void undo_commit(sgc_repo_info *info, const char *branch)
{
    sgc_repo_info_data *data = &info->data;
    const sgc_operation *newest = &data->operations[0];
    assert_int_equal(newest->kind, SGC_NEW_COMMIT);
    assert_string_equal(newest->name, branch);
    const sgc_snapshot_entry *made = sgc_repo_info_find_snapshot(info, &newest->snapshot);
    assert_non_null(made);
    const uint32_t at = (uint32_t)(made - data->snapshots), parent = (uint32_t)made->parent;
    sgc_snapshot_entry *entries =
        sgc_arena_alloc(&info->arena, data->snapshot_count, sizeof *entries);
    for (size_t i = 0, n = 0; i < data->snapshot_count; i++) {
        if (i == at)
            continue;
        entries[n] = data->snapshots[i];
        assert_int_not_equal(entries[n].parent, at);
        entries[n].parent -= entries[n].parent > (int32_t)at;
        n++;
    }
    sgc_named_snapshot *refs[] = {
        sgc_arena_copy(&info->arena, data->branches, data->branch_count * sizeof **refs),
        sgc_arena_copy(&info->arena, data->tags, data->tag_count * sizeof **refs)};
    for (size_t i = 0; i < data->branch_count; i++)
        if (strcmp(refs[0][i].name, branch) == 0) {
            assert_int_equal(refs[0][i].snapshot, at);
            refs[0][i].snapshot = parent;
        }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < (k == 0 ? data->branch_count : data->tag_count); i++)
            refs[k][i].snapshot -= refs[k][i].snapshot > at;
    sgc_operation *operations = sgc_arena_copy(&info->arena, data->operations + 1,
                                               (data->operation_count - 1) * sizeof *operations);
    operations[0].backup = NULL;
    data->snapshots = entries;
    data->snapshot_count--;
    data->branches = refs[0];
    data->tags = refs[1];
    data->operations = operations;
    data->operation_count--;
}

/* Checks what our commit to `branch` has left of the info before. */
static void check_preserved(place *p, const sgc_repo_info *before, const char *branch,
                            const sgc_object_id *committed)
{
    char key[128];
    sgc_repo_info after = load_info(p);
    assert_memory_equal(&after.data.operations[0].snapshot, committed, sizeof *committed);
    snprintf(key, sizeof key, "overwritten/%s", after.data.operations[1].backup);
    sgc_object backup = place_get(p, key);
    assert_int_equal(backup.size, before->file.size);
    assert_memory_equal(backup.data, before->file.data, backup.size);
    sgc_object_clear(&backup);
    undo_commit(&after, branch);
    assert_same_repo_info(&after.data, &before->data);
    sgc_repo_info_clear(&after);
}

/* Commits a new zarr.json of the root group, and another chunk of the first array there is. */
static sgc_object_id commit_something(sgc_repository *repository, const char *branch)
{
    static const char json[] =
        "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"new\":1}}";
    sgc_session *session;
    sgc_object_id id;
    uint32_t at[SGC_MAX_DIMENSIONS] = {0};
    const sgc_chunk_ref ref = {
        .kind = SGC_CHUNK_INLINE, .length = 3, .inline_data = (const unsigned char *)"new"};
    assert_ok(sgc_session_new(repository, branch, &session, &err));
    const sgc_snapshot_data *base = sgc_snapshot_get(sgc_session_base(session));
    assert_ok(sgc_session_put_group(session, "/", json, strlen(json), &err));
    size_t i = 0;
    while (!base->nodes[i].is_array || base->nodes[i].manifest_count == 0)
        i++;
    assert_ok(sgc_session_set_chunk(session, base->nodes[i].path, at, &ref, &err));
    assert_ok(sgc_session_commit(session, "ours", "{\"who\":\"we\"}", &id, &err));
    sgc_session_free(session);
    return id;
}

static const char *const golden_2[] = {"test-repo-v2", "test-repo-v2-migrated", "split-repo-v2",
                                       "expire-repo-v2-by-2.0.5"};

static void test_commits_preserve_what_others_wrote(void **state)
{
    (void)state;
    static const char *const folders[] = {"snapshots/", "manifests/", "chunks/", "transactions/",
                                          "overwritten/"};
    for (size_t i = 0; i < 4; i++) {
        place p;
        place_copy_golden(&p, golden_2[i]);
        contents files_before = contents_take(&p);
        sgc_repo_info before = load_info(&p);
        sgc_repository *repository = place_open(&p);
        const sgc_object_id id = commit_something(repository, "main");
        check_preserved(&p, &before, "main", &id);
        contents files_after = contents_take(&p);
        for (size_t k = 0; k < 5; k++)
            assert_kept_contents(&files_before, &files_after, folders[k]);
        /* One snapshot, log, manifest and backup at least. */
        assert_true(files_after.count >= files_before.count + 4);
        contents_free(&files_before);
        contents_free(&files_after);
        sgc_repo_info_clear(&before);
        sgc_repository_free(repository);
        place_clear(&p);
    }
}

/* Everything there is in the format, but not in the golden repositories. */
static void make_rich(place *p)
{
    static const made_commit commits[] = {
        {"root", -1, 10, NULL}, {"a", 0, 20, "{\"n\":1}"}, {"b", 1, 30, NULL}};
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 2}, {SGC_REF_TAG, "t", 1}};
    static const sgc_metadata_item items[] = {{"k", (const unsigned char *)"\x01\x04\x01", 3}};
    static const sgc_object_id pruned[] = {{{9}}, {{8}}};
    static const char *const deleted[] = {"u", "v"};
    static const uint16_t enabled[] = {3, 77}, disabled[] = {5, 500};
    static const sgc_operation operations[] = {
        {.kind = SGC_FEATURE_FLAG_CHANGED, .time = 98, .flag = 5, .flag_is_set = true},
        {.kind = SGC_REPO_STATUS_CHANGED,
         .time = 97,
         .backup = "repo.2.A",
         .status = {.availability = SGC_READ_ONLY, .set_at = 96, .reason = "moving"}},
        {.kind = SGC_COMMIT_AMENDED,
         .time = 95,
         .name = "main",
         .previous = {{7}},
         .snapshot = {{3, 1}}},
        {.kind = SGC_REPO_MIGRATED, .time = 84, .from_version = 1, .to_version = 2},
        {.kind = SGC_REPO_INITIALIZED, .time = 83, .backup = "repo.1.B"},
    };
    make_history(p, commits, 3, refs, 2);
    sgc_repo_info info = load_info(p);
    sgc_snapshot_entry *entries =
        sgc_arena_copy(&info.arena, info.data.snapshots, 3 * sizeof *entries);
    entries[1].pruned_logs = pruned;
    entries[1].pruned_log_count = 2;
    info.data.snapshots = entries;
    info.data.metadata = items;
    info.data.metadata_count = 1;
    info.data.deleted_tags = deleted;
    info.data.deleted_tag_count = 2;
    info.data.has_enabled_flags = info.data.has_disabled_flags = true;
    info.data.enabled_flags = enabled;
    info.data.disabled_flags = disabled;
    info.data.enabled_flag_count = info.data.disabled_flag_count = 2;
    info.data.operations = operations;
    info.data.operation_count = sizeof operations / sizeof *operations;
    info.data.previous_file = "repo.0.C";
    info.data.extra = (sgc_bytes){(const unsigned char *)"extra", 5};
    info.data.status.reason = "back again";
    put_info(p, &info.data);
    sgc_repo_info_clear(&info);
}

static void test_commits_preserve_all_the_format_has(void **state)
{
    place *p = *state;
    sgc_object_id id;
    make_rich(p);
    sgc_repo_info before = load_info(p);
    sgc_repository *repository = place_open(p);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_ok(sgc_session_commit(session, "ours", NULL, &id, &err));
    check_preserved(p, &before, "main", &id);
    sgc_session_free(session);
    sgc_repo_info_clear(&before);
    sgc_repository_free(repository);
}

static void add_extras(sgc_manifest_data *data, sgc_array_manifest *array, sgc_arena *arena)
{
    (void)arena;
    data->extra = (sgc_bytes){(const unsigned char *)"manifest", 8};
    array->extra = (sgc_bytes){(const unsigned char *)"array", 5};
}

/* Whether a manifest gets other references or loses some, whatever later versions say of it and
 * its array is in its successor. */
static void test_commits_preserve_extras_of_manifests(void **state)
{
    scene s = begin(state);
    edited_path = "/g/native";
    const sgc_object_id before = manifest_of(&s, edited_path);
    change_manifest(&s, &before, add_extras);
    sgc_repository *repository = place_open(s.p);
    for (unsigned char value = 0; value < 3; value++) {
        s.tip = commit_value(repository, "main", edited_path, 0, 0, value);
        const sgc_object_id after = manifest_of(&s, edited_path);
        assert_memory_not_equal(&after, &before, sizeof after);
        sgc_snapshot *snapshot;
        sgc_manifest *manifest;
        assert_ok(sgc_repository_snapshot(repository, &s.tip, &snapshot, &err));
        assert_ok(sgc_repository_manifest(repository, sgc_snapshot_get(snapshot), &after, &manifest,
                                          &err));
        const sgc_manifest_data *data = sgc_manifest_get(manifest);
        assert_same_bytes(data->extra, (sgc_bytes){(const unsigned char *)"manifest", 8});
        assert_same_bytes(data->arrays[0].extra, (sgc_bytes){(const unsigned char *)"array", 5});
        sgc_manifest_unref(manifest);
        sgc_snapshot_unref(snapshot);
    }
    sgc_repository_free(repository);
}

/* ---- what forbids changes ---- */

static void disable(place *p, const uint16_t *flags, size_t count)
{
    sgc_repo_info info = load_info(p);
    info.data.has_disabled_flags = true;
    info.data.disabled_flags = flags;
    info.data.disabled_flag_count = count;
    put_info(p, &info.data);
    sgc_repo_info_clear(&info);
}

/* Some later flag, and of ours only `flag`. */
static void check_flag(place *p, uint16_t flag)
{
    const uint16_t flags[] = {flag, 1000};
    disable(p, flags, 2);
    sgc_repository *repository = place_open(p);
    const sgc_object_id tip = tip_of(repository, "main");
    char old_tag[16], new_tag[16];
    snprintf(old_tag, sizeof old_tag, "old%d", flag);
    snprintf(new_tag, sizeof new_tag, "new%d", flag);
    assert_status(flag == 4 ? SGC_INVALID : SGC_OK,
                  sgc_repository_create_ref(repository, SGC_REF_TAG, new_tag, &tip, &err));
    if (flag == 4)
        assert_message("feature flag 4");
    assert_status(flag == 5 ? SGC_INVALID : SGC_OK,
                  sgc_repository_delete_ref(repository, SGC_REF_TAG, old_tag, &err));
    if (flag == 5)
        assert_message("feature flag 5");
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, new_tag, &tip, &err));
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_BRANCH, new_tag, &err));
    commit_value(repository, "main", "/inline", 0, 0, (unsigned char)flag);
    sgc_repo_info info = load_info(p);
    assert_int_equal(info.data.disabled_flag_count, 2);
    sgc_repo_info_clear(&info);
    sgc_repository_free(repository);
}

static void test_flags_that_forbid_tags(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    const sgc_object_id tip = commit_arrays(repository);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "old3", &tip, &err));
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "old4", &tip, &err));
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "old5", &tip, &err));
    sgc_repository_free(repository);
    check_flag(p, 3);
    check_flag(p, 4);
    check_flag(p, 5);
}

/* Tags that expire are deleted: that is forbidden too. */
static void test_flags_that_forbid_tags_to_expire(void **state)
{
    place *p = *state;
    static const made_commit commits[] = {
        {"root", -1, 10, NULL}, {"a", 0, 20, NULL}, {"b", 1, 30, NULL}};
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 2}, {SGC_REF_TAG, "t", 1}};
    static const uint16_t flags[] = {5};
    make_history(p, commits, 3, refs, 2);
    disable(p, flags, 1);
    sgc_repository *repository = place_open(p);
    sgc_expire_result result;
    const sgc_expire_options options = {.older_than = 25, .delete_tags = true};
    assert_status(SGC_INVALID, sgc_repository_expire(repository, &options, &result, &err));
    assert_message("feature flag 5");
    assert_ok(
        sgc_repository_expire(repository, &(sgc_expire_options){.older_than = 25}, &result, &err));
    sgc_repository_free(repository);
}

/* Nothing may be changed, all may be read. `a` and `b` are commits. */
static void check_frozen(place *p, const sgc_object_id *a, const sgc_object_id *b,
                         sgc_status status, const char *reason)
{
    sgc_repository *repository = place_open(p);
    sgc_session *session = new_session(repository);
    sgc_expire_result expired;
    sgc_garbage_result garbage;
    sgc_object_id id;
    sgc_expire_options expire = {.older_than = UINT64_MAX, .delete_tags = true};
    sgc_garbage_options collect = {.older_than = UINT64_MAX};
    contents before = contents_take(p);
    assert_status(status, sgc_repository_create_ref(repository, SGC_REF_TAG, "new", a, &err));
    assert_message(reason);
    assert_status(status, sgc_repository_create_ref(repository, SGC_REF_BRANCH, "new", a, &err));
    assert_status(status, sgc_repository_delete_ref(repository, SGC_REF_TAG, "t", &err));
    assert_status(status, sgc_repository_reset_branch(repository, "main", b, a, &err));
    assert_message(reason);
    assert_status(status, sgc_repository_expire(repository, &expire, &expired, &err));
    assert_message(reason);
    assert_status(status, sgc_repository_collect_garbage(repository, &collect, &garbage, &err));
    assert_message(reason);
    expire.dry_run = collect.dry_run = true;
    assert_ok(sgc_repository_expire(repository, &expire, &expired, &err));
    assert_ok(sgc_repository_collect_garbage(repository, &collect, &garbage, &err));
    assert_ok(sgc_repository_resolve(repository, SGC_REF_TAG, "t", &id, &err));
    char *history = describe_history(repository, b), *refs = describe_refs(repository);
    assert_string_equal(history, "b a root");
    contents after = contents_take(p);
    assert_same_contents(&before, &after, "");
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_status(status, sgc_session_commit(session, "m", NULL, &id, &err));
    assert_message(reason);
    id = tip_of(repository, "main");
    assert_memory_equal(&id, b, sizeof id);
    free(history);
    free(refs);
    contents_free(&before);
    contents_free(&after);
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static const sgc_object_id garbage_id = {{0xee}};

static void test_read_only_repositories(void **state)
{
    place *p = *state;
    static const struct {
        uint8_t availability;
        const char *reason, *message;
    } cases[] = {{SGC_READ_ONLY, "moving to x", "read-only: moving to x"},
                 {SGC_READ_ONLY, NULL, "read-only: it cannot"},
                 {SGC_OFFLINE, "audit", "offline: audit"},
                 {7, "later", "later"}};
    make_rich(p);
    place_put(p, key_of("chunks", &garbage_id), "x", 1);
    const sgc_object_id a = made_id(1), b = made_id(2);
    for (size_t i = 0; i < 4; i++) {
        sgc_repo_info info = load_info(p);
        info.data.has_disabled_flags = false;
        info.data.disabled_flag_count = 0;
        info.data.status =
            (sgc_repo_status){.availability = cases[i].availability, .reason = cases[i].reason};
        put_info(p, &info.data);
        sgc_repo_info_clear(&info);
        check_frozen(p, &a, &b, SGC_INVALID, cases[i].message);
    }
}

static void test_what_a_later_version_wrote_is_only_read(void **state)
{
    place *p = *state;
    const sgc_object_id a = made_id(1), b = made_id(2);
    make_rich(p);
    place_put(p, key_of("chunks", &garbage_id), "x", 1);
    sgc_repo_info info = load_info(p);
    info.data.has_disabled_flags = false;
    info.data.disabled_flag_count = 0;
    for (int flaw = CRAFTED_LATER_REPO; flaw <= CRAFTED_UNKNOWN_KIND; flaw++) {
        sgc_buffer payload = {0}, file = {0};
        crafted_repo(&info.data, (crafted_flaw)flaw, &payload);
        assert_ok(
            sgc_envelope_wrap(SGC_FILE_REPO_INFO, 2, payload.data, payload.size, &file, &err));
        place_put(p, "repo", file.data, file.size);
        sgc_buffer_free(&payload);
        sgc_buffer_free(&file);
        check_frozen(p, &a, &b, SGC_UNSUPPORTED, "later version of Icechunk");
    }
    sgc_repo_info_clear(&info);
}

/* ---- after a migration ---- */

/* New commits stand upon snapshots, manifests and chunks that have version 1. */
static void test_commits_after_a_migration(void **state)
{
    (void)state;
    place p;
    place_copy_golden(&p, "test-repo-v2-migrated");
    sgc_repository *repository = place_open(&p);
    const sgc_object_id before = tip_of(repository, "my-branch");
    char *values_before = describe_snapshot(repository, &before);
    sgc_session *session;
    sgc_object_id id;
    assert_ok(sgc_session_new(repository, "my-branch", &session, &err));
    const uint32_t at[] = {3};
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    assert_ok(sgc_session_set_chunk(session, "/group1/small_chunks", at, &none, &err));
    assert_ok(sgc_session_put_group(session, "/new", "{}", 2, &err));
    assert_ok(sgc_session_commit(session, "ours", NULL, &id, &err));
    sgc_session_free(session);
    char *values_after = describe_snapshot(repository, &before);
    assert_string_equal(values_before, values_after);
    free(values_before);
    free(values_after);
    sgc_snapshot *old, *new;
    assert_ok(sgc_repository_snapshot(repository, &before, &old, &err));
    assert_ok(sgc_repository_snapshot(repository, &id, &new, &err));
    const sgc_snapshot_data *a = sgc_snapshot_get(old), *b = sgc_snapshot_get(new);
    assert_int_equal(a->spec_version, 1);
    assert_int_equal(b->spec_version, 2);
    assert_int_equal(b->node_count, a->node_count + 1);
    for (size_t i = 0; i < a->node_count; i++) {
        const sgc_node *node = sgc_snapshot_find(new, a->nodes[i].path);
        assert_non_null(node);
        assert_int_equal(node->user_data_size, a->nodes[i].user_data_size);
        assert_memory_equal(node->user_data, a->nodes[i].user_data, node->user_data_size);
        for (size_t d = 0; d < node->dimension_count; d++) {
            assert_true(node->dimensions[d].array_length == a->nodes[i].dimensions[d].array_length);
            assert_int_equal(node->dimensions[d].num_chunks, a->nodes[i].dimensions[d].num_chunks);
        }
        if (node->is_array && strcmp(node->path, "/group1/small_chunks") != 0)
            assert_memory_equal(&node->manifests[0].id, &a->nodes[i].manifests[0].id,
                                node->manifest_count > 0 ? sizeof(sgc_object_id) : 0);
    }
    sgc_snapshot_unref(old);
    sgc_snapshot_unref(new);
    assert_ok(sgc_session_new(repository, "my-branch", &session, &err));
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    for (uint32_t i = 0; i < 5; i++) {
        assert_ok(sgc_session_find_chunk(session, "/group1/small_chunks", &i, &ref, &keep, &err));
        assert_int_equal(ref.kind, i < 3 ? SGC_CHUNK_INLINE : SGC_CHUNK_NONE);
        sgc_manifest_unref(keep);
    }
    sgc_session_free(session);
    sgc_repository_free(repository);
    place_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_preserve_what_others_wrote),
        IN_VERSION(2, test_commits_preserve_all_the_format_has),
        IN_MEMORY(test_commits_preserve_extras_of_manifests),
        IN_VERSION(2, test_flags_that_forbid_tags),
        IN_VERSION(2, test_flags_that_forbid_tags_to_expire),
        IN_VERSION(2, test_read_only_repositories),
        IN_VERSION(2, test_what_a_later_version_wrote_is_only_read),
        cmocka_unit_test(test_commits_after_a_migration),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
