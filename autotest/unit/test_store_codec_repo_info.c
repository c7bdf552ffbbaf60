#include "autotest/unit/codec_testing.h"
#include "autotest/unit/crafted_buffers.h"

#include <string.h>

#define BYTES(text)                                     \
    {                                                   \
        (const unsigned char *)(text), sizeof(text) - 1 \
    }

/* A repo info with one of everything. */
static const sgc_metadata_item items[] = {{"k", (const unsigned char *)"\x01\x04\x01", 3},
                                          {"l", (const unsigned char *)"\x00\x00\x01", 3}};
static const sgc_object_id pruned[] = {{{9}}, {{8}}};
static const sgc_snapshot_entry snapshots[] = {
    {.id = {{1}}, .parent = 2, .flushed_at = 30, .message = "third", .has_metadata = true},
    {.id = {{2}},
     .parent = -1,
     .flushed_at = 10,
     .message = "Repository initialized",
     .has_metadata = true,
     .metadata_count = 2,
     .metadata = items},
    {.id = {{3}},
     .parent = 1,
     .flushed_at = 20,
     .message = "",
     .pruned_log_count = 2,
     .pruned_logs = pruned},
    {.id = {{3, 1}}, .parent = 0, .flushed_at = 40, .message = "\xc3\xa9"},
};
static const sgc_named_snapshot branches[] = {{"a", 1}, {"a/b", 3}, {"main", 3}};
static const sgc_named_snapshot tags[] = {{"v1", 0}, {"v2", 3}};
static const char *const deleted_tags[] = {"v0", "v0.1"};
static const uint16_t enabled[] = {3}, disabled[] = {4, 500};
static const sgc_operation operations[] = {
    {.kind = SGC_REPO_STATUS_CHANGED,
     .time = 99,
     .status = {.availability = SGC_READ_ONLY, .set_at = 98, .reason = "moving"}},
    {.kind = SGC_FEATURE_FLAG_CHANGED,
     .time = 98,
     .backup = "repo.2.A",
     .flag = 4,
     .flag_is_set = true},
    {.kind = SGC_FEATURE_FLAG_CHANGED, .time = 97, .flag = 500, .flag_value = true},
    {.kind = SGC_EXPIRATION_RAN, .time = 96},
    {.kind = SGC_GC_RAN, .time = 95},
    {.kind = SGC_NEW_DETACHED_SNAPSHOT, .time = 94, .snapshot = {{3, 1}}},
    {.kind = SGC_COMMIT_AMENDED,
     .time = 93,
     .name = "main",
     .previous = {{7}},
     .snapshot = {{3, 1}}},
    {.kind = SGC_NEW_COMMIT, .time = 92, .name = "main", .snapshot = {{3}}},
    {.kind = SGC_BRANCH_RESET, .time = 91, .name = "a", .previous = {{5}}},
    {.kind = SGC_BRANCH_DELETED, .time = 90, .name = "b", .previous = {{6}}},
    {.kind = SGC_BRANCH_CREATED, .time = 89, .name = "a"},
    {.kind = SGC_TAG_DELETED, .time = 88, .name = "v0", .previous = {{2}}},
    {.kind = SGC_TAG_CREATED, .time = 87, .name = "v0"},
    {.kind = SGC_METADATA_CHANGED, .time = 86},
    {.kind = SGC_CONFIG_CHANGED, .time = 85},
    {.kind = SGC_REPO_MIGRATED, .time = 84, .from_version = 1, .to_version = 2},
    {.kind = SGC_REPO_INITIALIZED, .time = 83, .backup = "repo.1.B"},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };
static const sgc_repo_info_data full = {
    .spec_version = 2,
    .tag_count = 2,
    .branch_count = 3,
    .deleted_tag_count = 2,
    .snapshot_count = 4,
    .tags = tags,
    .branches = branches,
    .deleted_tags = deleted_tags,
    .snapshots = snapshots,
    .status = {.availability = SGC_OFFLINE, .set_at = 50, .reason = "why not"},
    .has_metadata = true,
    .metadata_count = 2,
    .metadata = items,
    .operation_count = OPERATIONS,
    .operations = operations,
    .previous_file = "repo.0.C",
    .config = BYTES("config"),
    .has_enabled_flags = true,
    .has_disabled_flags = true,
    .enabled_flag_count = 1,
    .disabled_flag_count = 2,
    .enabled_flags = enabled,
    .disabled_flags = disabled,
    .extra = BYTES("extra"),
};

/* The least there can be. */
static const sgc_snapshot_entry root = {.id = {{1}}, .parent = -1, .flushed_at = 1, .message = ""};
static const sgc_named_snapshot main_branch = {"main", 0};
static const sgc_operation initialized = {.kind = SGC_REPO_INITIALIZED, .time = 2};
static const sgc_repo_info_data least = {
    .spec_version = 2,
    .branch_count = 1,
    .branches = &main_branch,
    .snapshot_count = 1,
    .snapshots = &root,
    .status = {.set_at = 1},
    .operation_count = 1,
    .operations = &initialized,
};

static sgc_buffer encode(const sgc_repo_info_data *info)
{
    sgc_buffer payload = {0};
    assert_ok(sgc_repo_info_encode(info, &payload, &err));
    return payload;
}

static sgc_buffer craft(const sgc_repo_info_data *info, crafted_flaw flaw)
{
    sgc_buffer payload = {0};
    crafted_repo(info, flaw, &payload);
    return payload;
}

/* Frees the payload. */
static void check_decodes_to(sgc_buffer payload, const sgc_repo_info_data *info)
{
    sgc_arena arena = {0};
    sgc_repo_info_data decoded;
    assert_ok(sgc_repo_info_decode(payload.data, payload.size, &arena, &decoded, &err));
    assert_same_repo_info(&decoded, info);
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void check_comes_back(const sgc_repo_info_data *info)
{
    check_decodes_to(encode(info), info);
    check_decodes_to(craft(info, CRAFTED_FLAWLESS), info);
}

static void test_everything_comes_back(void **state)
{
    (void)state;
    check_comes_back(&full);
}

static void test_absent_things_stay_absent(void **state)
{
    (void)state;
    check_comes_back(&least);
}

static void test_empty_things_stay_empty(void **state)
{
    (void)state;
    sgc_repo_info_data info = least;
    sgc_snapshot_entry entry = root;
    entry.has_metadata = true;
    info.snapshots = &entry;
    info.has_metadata = info.has_enabled_flags = info.has_disabled_flags = true;
    info.config = info.extra = (sgc_bytes)BYTES("");
    check_comes_back(&info);
}

static void test_flags_are_told_apart(void **state)
{
    (void)state;
    sgc_repo_info_data info = least;
    info.has_disabled_flags = true;
    info.disabled_flag_count = 2;
    info.disabled_flags = disabled;
    check_comes_back(&info);
}

static void check_slots(const sgc_repo_info_data *info, const char *slots, const char *snapshot,
                        const char *status)
{
    sgc_buffer payload = encode(info);
    const unsigned char *table = flat_root(&payload);
    assert_slots(table, slots);
    assert_slots(flat_item(table, 2, 0), info->branches[0].snapshot == 0 ? "0" : "0 1");
    assert_slots(flat_item(table, 4, 0), snapshot);
    assert_slots(flat_target(flat_field(table, 5)), status);
    sgc_buffer_free(&payload);
}

/* An absent parent_offset would name snapshot 0. */
static void test_slots(void **state)
{
    (void)state;
    check_slots(&least, "0 1 2 3 4 5 7", "0 1 2 3", "1");
    check_slots(&full, "0 1 2 3 4 5 6 7 8 9 10 11 12", "0 1 2 3 4", "0 1 2");
}

static void test_slots_of_operations(void **state)
{
    (void)state;
    static const char *const slots[] = {"0",   "0 2", "0 1", "",  "", "0", "0 1 2", "0 1", "0 1",
                                        "0 1", "0",   "0 1", "0", "", "",  "0 1",   ""};
    sgc_buffer payload = encode(&full);
    const unsigned char *table = flat_root(&payload);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        const unsigned char *update = flat_item(table, 7, i);
        assert_slots(update, operations[i].backup != NULL ? "0 1 2 3" : "0 1 2");
        assert_int_equal(*flat_field(update, 0), operations[i].kind);
        assert_slots(flat_target(flat_field(update, 1)), slots[i]);
    }
    sgc_buffer_free(&payload);
}

/* ---- later versions ---- */

static void test_fields_of_later_versions(void **state)
{
    (void)state;
    for (unsigned flaw = CRAFTED_LATER_REPO; flaw <= CRAFTED_LAST_LATER; flaw++) {
        sgc_buffer payload = craft(&full, flaw), again = {0};
        sgc_arena arena = {0};
        sgc_repo_info_data decoded;
        assert_ok(sgc_repo_info_decode(payload.data, payload.size, &arena, &decoded, &err));
        assert_true(decoded.has_unknown_fields);
        assert_status(SGC_UNSUPPORTED, sgc_repo_info_encode(&decoded, &again, &err));
        assert_message("written by a later version of Icechunk");
        assert_int_equal(again.size, 0);
        decoded.has_unknown_fields = false;
        assert_same_repo_info(&decoded, &full);
        sgc_arena_free(&arena);
        sgc_buffer_free(&payload);
    }
}

/* Each kind of operation may have grown. */
static void test_operations_of_later_versions(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATIONS; i++) {
        sgc_repo_info_data info = least;
        info.operations = &operations[i];
        for (int flaw = 0; flaw <= 1; flaw++) {
            sgc_buffer payload =
                craft(&info, flaw == 1 ? CRAFTED_LATER_OPERATION : CRAFTED_FLAWLESS);
            info.has_unknown_fields = flaw == 1;
            check_decodes_to(payload, &info);
        }
    }
}

static void test_later_spec_version(void **state)
{
    (void)state;
    sgc_repo_info_data info = full;
    info.spec_version = 3;
    sgc_buffer payload = craft(&info, CRAFTED_FLAWLESS);
    info.has_unknown_fields = true;
    check_decodes_to(payload, &info);
}

static void test_operation_of_unknown_kind_is_left_out(void **state)
{
    (void)state;
    sgc_repo_info_data info = full;
    info.operation_count--;
    info.has_unknown_fields = true;
    check_decodes_to(craft(&full, CRAFTED_UNKNOWN_KIND), &info);
    info = least;
    info.operation_count = 0;
    info.has_unknown_fields = true;
    check_decodes_to(craft(&least, CRAFTED_UNKNOWN_KIND), &info);
}

static void test_unknown_availability_is_kept(void **state)
{
    (void)state;
    sgc_repo_info_data info = full;
    info.status.availability = 200;
    check_comes_back(&info);
}

/* ---- violations ---- */

/* Neither read nor written. */
static void check_is_refused(const sgc_repo_info_data *info, const char *message)
{
    sgc_buffer payload = craft(info, CRAFTED_FLAWLESS), written = {0};
    assert_status(SGC_CORRUPT, recode_repo_info(payload.data, payload.size));
    assert_message(message);
    assert_status(SGC_INVALID, sgc_repo_info_encode(info, &written, &err));
    assert_message(message);
    assert_int_equal(written.size, 0);
    sgc_buffer_free(&payload);
}

static void check_snapshots_are_refused(const sgc_snapshot_entry *entries, size_t count,
                                        const char *message)
{
    sgc_repo_info_data info = least;
    info.snapshots = entries;
    info.snapshot_count = count;
    check_is_refused(&info, message);
}

static void test_snapshots_out_of_order(void **state)
{
    (void)state;
    const sgc_snapshot_entry swapped[] = {{.id = {{2}}, .parent = -1, .message = ""},
                                          {.id = {{1}}, .parent = -1, .message = ""}};
    const sgc_snapshot_entry twice[] = {swapped[0], swapped[0]};
    check_snapshots_are_refused(swapped, 2, "snapshots out of order");
    check_snapshots_are_refused(twice, 2, "snapshots out of order");
}

static void test_parents_that_do_not_exist(void **state)
{
    (void)state;
    static const int32_t parents[] = {-2, 1, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        sgc_snapshot_entry entry = root;
        entry.parent = parents[i];
        check_snapshots_are_refused(&entry, 1, "parent is missing");
    }
}

static void test_circles_of_parents(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    static const int32_t circles[][COUNT] = {
        {0, -1, -1, -1, -1, -1}, /* its own parent */
        {1, 0, -1, -1, -1, -1},  /* two */
        {-1, 0, 1, 5, 3, 4},     /* three, beside a line */
        {1, 2, 3, 4, 5, 1},      /* with a tail */
        {-1, -1, -1, -1, -1, 5},
    };
    static const int32_t trees[][COUNT] = {
        {-1, 0, 1, 2, 3, 4}, {1, 2, 3, 4, 5, -1}, {-1, 0, 0, 1, 1, 2}, {-1, -1, -1, -1, -1, -1}};
    sgc_snapshot_entry entries[COUNT];
    sgc_repo_info_data info = least;
    info.snapshots = entries;
    info.snapshot_count = COUNT;
    for (int i = 0; i < COUNT; i++)
        entries[i] = (sgc_snapshot_entry){.id = {{(uint8_t)i}}, .message = ""};
    for (size_t k = 0; k < sizeof circles / sizeof *circles; k++) {
        for (int i = 0; i < COUNT; i++)
            entries[i].parent = circles[k][i];
        check_is_refused(&info, "its own ancestor");
    }
    for (size_t k = 0; k < sizeof trees / sizeof *trees; k++) {
        for (int i = 0; i < COUNT; i++)
            entries[i].parent = trees[k][i];
        check_comes_back(&info);
    }
}

static void check_refs_are_refused(const sgc_named_snapshot *refs, size_t count,
                                   const char *message)
{
    sgc_repo_info_data info = full;
    info.branches = refs;
    info.branch_count = count;
    check_is_refused(&info, message);
    info = full;
    info.tags = refs;
    info.tag_count = count;
    check_is_refused(&info, message);
}

static void test_branches_and_tags(void **state)
{
    (void)state;
    static const sgc_named_snapshot swapped[] = {{"main", 0}, {"a", 0}},
                                    twice[] = {{"a", 0}, {"a", 0}},
                                    signedness[] = {{"\xc3\xa9", 0}, {"main", 0}},
                                    outside[] = {{"a", 0}, {"main", 4}};
    check_refs_are_refused(swapped, 2, "out of order");
    check_refs_are_refused(twice, 2, "out of order");
    check_refs_are_refused(signedness, 2, "out of order");
    check_refs_are_refused(outside, 2, "without snapshot");
}

static void test_branch_main_is_missing(void **state)
{
    (void)state;
    sgc_repo_info_data info = full;
    info.branch_count = 2;
    check_is_refused(&info, "no branch main");
    info.branch_count = 0;
    check_is_refused(&info, "no branch main");
}

static void test_deleted_tags_out_of_order(void **state)
{
    (void)state;
    static const char *const swapped[] = {"v1", "v0"};
    sgc_repo_info_data info = full;
    info.deleted_tags = swapped;
    check_is_refused(&info, "deleted tags out of order");
}

static void test_flags_out_of_order(void **state)
{
    (void)state;
    static const uint16_t swapped[] = {500, 4}, twice[] = {4, 4};
    sgc_repo_info_data info = full;
    info.disabled_flags = swapped;
    check_is_refused(&info, "flags out of order");
    info = full;
    info.enabled_flags = twice;
    info.enabled_flag_count = 2;
    check_is_refused(&info, "flags out of order");
}

static void test_no_operation(void **state)
{
    (void)state;
    sgc_repo_info_data info = full;
    info.operation_count = 0;
    check_is_refused(&info, "no operation");
}

static void check_is_corrupt(crafted_flaw flaw, const char *message)
{
    sgc_buffer payload = craft(&full, flaw);
    assert_status(SGC_CORRUPT, recode_repo_info(payload.data, payload.size));
    assert_message(message);
    sgc_buffer_free(&payload);
}

static void test_operations_without_their_parts(void **state)
{
    (void)state;
    check_is_corrupt(CRAFTED_NO_KIND, "without kind");
    check_is_corrupt(CRAFTED_NO_STATUS, "without status");
    for (int i = 0; i < OPERATIONS; i++) {
        sgc_operation op = operations[i];
        sgc_repo_info_data info = least;
        op.name = NULL;
        op.backup = NULL;
        info.operations = &op;
        if (operations[i].name == NULL)
            continue;
        sgc_buffer payload = craft(&info, CRAFTED_FLAWLESS), written = {0};
        assert_status(SGC_CORRUPT, recode_repo_info(payload.data, payload.size));
        assert_status(SGC_INVALID, sgc_repo_info_encode(&info, &written, &err));
        sgc_buffer_free(&payload);
    }
}

static void check_is_only_read(const sgc_repo_info_data *info)
{
    sgc_buffer written = {0};
    check_decodes_to(craft(info, CRAFTED_FLAWLESS), info);
    assert_status(SGC_INVALID, sgc_repo_info_encode(info, &written, &err));
    assert_message("newest operation");
    assert_int_equal(written.size, 0);
}

/* The official library ends with an error, or at once, when it is to add to such a list. */
static void test_newest_operation(void **state)
{
    (void)state;
    sgc_operation two[] = {initialized, initialized};
    sgc_repo_info_data info = least;
    info.operations = two;
    info.operation_count = 2;
    check_is_only_read(&info);
    two[0].time = two[1].time - 1;
    check_is_only_read(&info);
    two[0].time = two[1].time + 1;
    check_comes_back(&info);
    two[0].backup = "repo.1.A";
    check_is_only_read(&info);
}

/* Others made them so, and nobody can mend them. */
static void test_older_operations_are_kept_as_they_are(void **state)
{
    (void)state;
    sgc_operation three[] = {initialized, initialized, initialized};
    sgc_repo_info_data info = least;
    info.operations = three;
    info.operation_count = 3;
    three[0].time = 9;
    check_comes_back(&info);
}

static void test_unknown_kind_is_not_written(void **state)
{
    (void)state;
    static const int kinds[] = {0, SGC_LAST_OPERATION + 1};
    for (int i = 0; i < 2; i++) {
        sgc_operation op = initialized;
        sgc_repo_info_data info = least;
        sgc_buffer written = {0};
        op.kind = (sgc_operation_kind)kinds[i];
        info.operations = &op;
        assert_status(SGC_INVALID, sgc_repo_info_encode(&info, &written, &err));
        assert_int_equal(written.size, 0);
    }
}

static void test_other_versions_are_not_written(void **state)
{
    (void)state;
    static const uint8_t versions[] = {0, 1, 3};
    for (int i = 0; i < 3; i++) {
        sgc_repo_info_data info = least;
        sgc_buffer written = {0};
        info.spec_version = versions[i];
        assert_status(SGC_INVALID, sgc_repo_info_encode(&info, &written, &err));
        assert_int_equal(written.size, 0);
    }
}

/* ---- damage ---- */

static void damage(sgc_buffer payload)
{
    damage_everywhere(recode_repo_info, &payload);
    sgc_buffer_free(&payload);
}

static void test_damage(void **state)
{
    (void)state;
    damage(encode(&full));
    damage(encode(&least));
}

static void test_damaged_later_versions(void **state)
{
    (void)state;
    damage(craft(&least, CRAFTED_LATER_OPERATION));
    damage(craft(&full, CRAFTED_UNKNOWN_KIND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_absent_things_stay_absent),
        cmocka_unit_test(test_empty_things_stay_empty),
        cmocka_unit_test(test_flags_are_told_apart),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_slots_of_operations),
        cmocka_unit_test(test_fields_of_later_versions),
        cmocka_unit_test(test_operations_of_later_versions),
        cmocka_unit_test(test_later_spec_version),
        cmocka_unit_test(test_operation_of_unknown_kind_is_left_out),
        cmocka_unit_test(test_unknown_availability_is_kept),
        cmocka_unit_test(test_snapshots_out_of_order),
        cmocka_unit_test(test_parents_that_do_not_exist),
        cmocka_unit_test(test_circles_of_parents),
        cmocka_unit_test(test_branches_and_tags),
        cmocka_unit_test(test_branch_main_is_missing),
        cmocka_unit_test(test_deleted_tags_out_of_order),
        cmocka_unit_test(test_flags_out_of_order),
        cmocka_unit_test(test_no_operation),
        cmocka_unit_test(test_operations_without_their_parts),
        cmocka_unit_test(test_newest_operation),
        cmocka_unit_test(test_older_operations_are_kept_as_they_are),
        cmocka_unit_test(test_unknown_kind_is_not_written),
        cmocka_unit_test(test_other_versions_are_not_written),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damaged_later_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
