/* Transactions: what a commit publishes, and what it must not. */
#include "autotest/unit/store_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/counting_store.h"
#include "store/clock.h"
#include "store/icechunk/envelope.h"

enum { SIDE = 10, WINDOW = 4 }; /* chunks */

static const sgc_split_rule rules[] = {{"y", WINDOW}, {"x", WINDOW}};
static const sgc_repository_options split_4_by_4 = {.split_rules = rules, .split_rule_count = 2};

static sgc_object_store *store;
static sgc_repository *repository;

static int set_up(void **state)
{
    (void)state;
    assert_ok(sgc_object_store_memory_new(&store, &err));
    assert_ok(sgc_repository_create(store, &split_4_by_4, &repository, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sgc_repository_free(repository);
    return 0;
}

/* A grid of SIDE x SIDE chunks of one byte each. */
static sgc_array_metadata grid(void)
{
    static char y[] = "y", x[] = "x";
    return (sgc_array_metadata){
        .type = SGC_UINT8,
        .dimension_count = 2,
        .shape = {SIDE, SIDE},
        .chunk_shape = {1, 1},
        .has_dimension_names = true,
        .dimension_names = {y, x},
    };
}

static void put_grid(sgc_session *session, const char *path)
{
    const sgc_array_metadata metadata = grid();
    put_array(session, path, &metadata, "0");
}

/* 0 removes the chunk. */
static void set_chunk(sgc_session *session, const char *path, uint32_t y, uint32_t x,
                      unsigned char value)
{
    const uint32_t at[] = {y, x};
    sgc_chunk_ref ref = {.kind = SGC_CHUNK_NONE};
    if (value != 0)
        ref = (sgc_chunk_ref){.kind = SGC_CHUNK_INLINE, .length = 1, .inline_data = &value};
    assert_ok(sgc_session_set_chunk(session, path, at, &ref, &err));
}

static void commit_chunk(uint32_t y, uint32_t x, unsigned char value)
{
    sgc_session *session = new_session(repository);
    set_chunk(session, "/a", y, x, value);
    commit(session);
}

static void create_grid(void)
{
    sgc_session *session = new_session(repository);
    put_grid(session, "/a");
    commit(session);
}

static const sgc_node *find(const sgc_snapshot *snapshot, const char *path)
{
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    assert_non_null(node);
    return node;
}

/* ---- nodes ---- */

static void test_committed_nodes_are_verbatim(void **state)
{
    (void)state;
    static const char group[] = "{ \"zarr_format\":3, \"node_type\":\"group\",\"n\":1.0e400 }\n";
    const sgc_array_metadata metadata = grid();
    sgc_buffer json = array_json(&metadata, "0");
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", group, strlen(group), &err));
    assert_ok(sgc_session_put_array(session, "/a", json.data, json.size, &err));
    commit(session);

    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_node *root = find(snapshot, "/"), *array = find(snapshot, "/a");
    assert_false(root->is_array);
    assert_int_equal(root->user_data_size, strlen(group));
    assert_memory_equal(root->user_data, group, strlen(group));
    assert_true(array->is_array);
    assert_int_equal(array->user_data_size, json.size);
    assert_memory_equal(array->user_data, json.data, json.size);
    assert_int_equal(array->dimension_count, 2);
    assert_string_equal(array->dimensions[1].name, "x");
    assert_int_equal(array->dimensions[1].num_chunks, SIDE);
    assert_int_equal(array->manifest_count, 0);
    sgc_snapshot_unref(snapshot);
    sgc_buffer_free(&json);
}

static void test_nodes_are_ordered_by_bytes(void **state)
{
    (void)state;
    static const char *const put[] = {"/", "/a", "/ab", "/a/b", "/a-b", "/a/b-c", "/a/b/c", "/B"};
    static const char *const stored[] = {"/",    "/B",     "/a",     "/a-b",
                                         "/a/b", "/a/b-c", "/a/b/c", "/ab"};
    sgc_session *session = new_session(repository);
    for (size_t i = 0; i < 8; i++)
        assert_ok(sgc_session_put_group(session, put[i], "{}", 2, &err));
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    assert_int_equal(data->node_count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(data->nodes[i].path, stored[i]);
        assert_ptr_equal(sgc_snapshot_find(snapshot, stored[i]), &data->nodes[i]);
    }
    sgc_snapshot_unref(snapshot);
}

static void test_nodes_are_added_between_old_ones(void **state)
{
    (void)state;
    static const char *const stored[] = {"/", "/a", "/a-b", "/a/b", "/b"};
    for (int round = 0; round < 2; round++) {
        sgc_session *session = new_session(repository);
        for (size_t i = 0; i < 5; i++)
            if (round == 1 ? i % 2 == 1 : i % 2 == 0 || i == 1)
                assert_ok(sgc_session_put_group(session, stored[i], "{}", 2, &err));
        commit(session);
    }
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    assert_int_equal(data->node_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(data->nodes[i].path, stored[i]);
    sgc_snapshot_unref(snapshot);
}

static void test_new_json_keeps_node_id_and_chunks(void **state)
{
    (void)state;
    create_grid();
    commit_chunk(1, 2, 3);
    sgc_snapshot *before = load_tip(repository);
    const sgc_array_metadata metadata = grid();
    sgc_buffer json = {0};
    assert_ok(sgc_array_metadata_print(&metadata, "0", "{\"new\":1}", &json, &err));
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_array(session, "/a", json.data, json.size, &err));
    commit(session);

    sgc_snapshot *after = load_tip(repository);
    const sgc_node *old = find(before, "/a"), *new = find(after, "/a");
    assert_memory_equal(&new->id, &old->id, sizeof new->id);
    assert_int_equal(new->user_data_size, json.size);
    assert_memory_equal(new->user_data, json.data, json.size);
    assert_int_equal(new->manifest_count, 1);
    assert_memory_equal(&new->manifests[0].id, &old->manifests[0].id, sizeof(sgc_object_id));
    assert_int_equal(read_cell(repository, after, 1, 2), 3);
    sgc_snapshot_unref(before);
    sgc_snapshot_unref(after);
    sgc_buffer_free(&json);
}

static void check_array_is_refused(const sgc_array_metadata *metadata)
{
    sgc_session *session = new_session(repository);
    sgc_buffer json = array_json(metadata, "0");
    assert_status(SGC_UNSUPPORTED,
                  sgc_session_put_array(session, "/a", json.data, json.size, &err));
    assert_message("/a");
    sgc_buffer_free(&json);
    sgc_session_free(session);
}

static void test_another_number_of_dimensions_is_refused(void **state)
{
    (void)state;
    create_grid();
    sgc_array_metadata metadata = grid();
    metadata.dimension_count = 1;
    check_array_is_refused(&metadata);
}

static void reshape(sgc_session *session, uint64_t height, uint64_t width)
{
    sgc_array_metadata metadata = grid();
    metadata.shape[0] = height;
    metadata.shape[1] = width;
    put_array(session, "/a", &metadata, "0");
}

static void test_an_array_grows(void **state)
{
    (void)state;
    create_grid();
    commit_chunk(9, 9, 7);
    sgc_session *session = new_session(repository);
    reshape(session, SIDE + 5, SIDE);
    set_chunk(session, "/a", SIDE + 4, 3, 8);
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 9, 9), 7);
    assert_int_equal(read_cell(repository, snapshot, SIDE + 4, 3), 8);
    assert_int_equal(find(snapshot, "/a")->dimensions[0].num_chunks, SIDE + 5);
    sgc_snapshot_unref(snapshot);
}

/* Of the four windows one stays, two lose some of their chunks, one all. */
static void test_an_array_shrinks(void **state)
{
    (void)state;
    create_grid();
    for (uint32_t y = 1; y < 8; y += 4)
        for (uint32_t x = 1; x < 8; x++)
            commit_chunk(y, x, (unsigned char)(y * SIDE + x));
    sgc_session *session = new_session(repository);
    set_chunk(session, "/a", 9, 9, 99); /* outside a moment later */
    reshape(session, 5, 6);
    commit(session);

    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_node *node = find(snapshot, "/a");
    for (size_t i = 0; i < node->manifest_count; i++) {
        assert_true(node->manifests[i].extents[0].to <= 5);
        assert_true(node->manifests[i].extents[1].to <= 6);
    }
    for (uint32_t x = 1; x < 6; x++)
        assert_int_equal(read_cell(repository, snapshot, 1, x), SIDE + x);
    sgc_snapshot_unref(snapshot);

    session = new_session(repository);
    reshape(session, SIDE, SIDE);
    commit(session);
    snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 1, 6), 0);
    assert_int_equal(read_cell(repository, snapshot, 9, 9), 0);
    sgc_snapshot_unref(snapshot);
}

/* What was cut off stays away, before the commit and after it, on whatever it is rebased. */
static void test_an_array_shrinks_and_grows_at_once(void **state)
{
    (void)state;
    static const uint32_t cut[] = {6, 6};
    create_grid();
    commit_chunk(4, 4, 1);
    commit_chunk(6, 6, 2);
    sgc_session *session = new_session(repository), *other = new_session(repository);
    reshape(session, 5, 5);
    reshape(session, SIDE, SIDE);
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    assert_ok(sgc_session_find_chunk(session, "/a", cut, &ref, &keep, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_NONE);

    assert_ok(sgc_session_put_group(other, "/other", "{}", 2, &err));
    commit(other);
    assert_ok(sgc_session_commit_rebased(session, "m", NULL, NULL, NULL, &err));
    sgc_session_free(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 4, 4), 1);
    assert_int_equal(read_cell(repository, snapshot, 6, 6), 0);
    sgc_snapshot_unref(snapshot);
}

static void test_another_chunk_shape_is_refused(void **state)
{
    (void)state;
    create_grid();
    sgc_array_metadata metadata = grid();
    metadata.chunk_shape[0] = 2;
    check_array_is_refused(&metadata);
}

static void test_another_data_type_is_refused(void **state)
{
    (void)state;
    create_grid();
    sgc_array_metadata metadata = grid();
    metadata.type = SGC_INT8;
    check_array_is_refused(&metadata);
}

/* Chunks that are the fill value are not stored: they would become something else. */
static void test_another_fill_value_is_refused(void **state)
{
    (void)state;
    create_grid();
    const sgc_array_metadata metadata = grid();
    sgc_session *session = new_session(repository);
    sgc_buffer json = array_json(&metadata, "7");
    assert_status(SGC_UNSUPPORTED,
                  sgc_session_put_array(session, "/a", json.data, json.size, &err));
    assert_message("fill value");
    sgc_buffer_free(&json);
    sgc_session_free(session);
}

static void test_new_dimension_names(void **state)
{
    (void)state;
    static char name[] = "time";
    create_grid();
    sgc_array_metadata metadata = grid();
    metadata.dimension_names[0] = name;
    sgc_session *session = new_session(repository);
    put_array(session, "/a", &metadata, "0");
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_string_equal(find(snapshot, "/a")->dimensions[0].name, "time");
    sgc_snapshot_unref(snapshot);
}

static void test_a_node_keeps_its_kind(void **state)
{
    (void)state;
    create_grid();
    sgc_session *session = new_session(repository);
    const sgc_array_metadata metadata = grid();
    sgc_buffer json = array_json(&metadata, "0");
    assert_status(SGC_INVALID, sgc_session_put_group(session, "/a", "{}", 2, &err));
    assert_status(SGC_INVALID, sgc_session_put_array(session, "/", json.data, json.size, &err));
    sgc_session_free(session);
    sgc_buffer_free(&json);
}

static void test_a_new_node_keeps_its_kind(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    const sgc_array_metadata metadata = grid();
    sgc_buffer json = array_json(&metadata, "0");
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_ok(sgc_session_put_group(session, "/g", "{}", 2, &err));
    assert_ok(sgc_session_put_group(session, "/g/h", "{}", 2, &err));
    assert_status(SGC_INVALID, sgc_session_put_array(session, "/g", json.data, json.size, &err));
    assert_ok(sgc_session_put_array(session, "/a", json.data, json.size, &err));
    assert_status(SGC_INVALID, sgc_session_put_group(session, "/a", "{}", 2, &err));
    sgc_session_free(session);
    sgc_buffer_free(&json);
}

static void test_a_new_array_can_shrink(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    put_grid(session, "/a");
    set_chunk(session, "/a", 9, 9, 1);
    set_chunk(session, "/a", 4, 9, 2);
    reshape(session, 5, SIDE);
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(find(snapshot, "/a")->manifest_count, 1);
    assert_int_equal(read_cell(repository, snapshot, 4, 9), 2);
    sgc_snapshot_unref(snapshot);
}

static void test_bad_paths_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"",     "g",    "/g/", "//",    "//g", "/no/x",
                                        "/a/x", "/g/.", "/..", "/g//x", "/."};
    sgc_session *session = new_session(repository);
    put_grid(session, "/a");
    assert_ok(sgc_session_put_group(session, "/g", "{}", 2, &err));
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (sgc_session_put_group(session, paths[i], "{}", 2, &err) != SGC_INVALID)
            fail_msg("%s", paths[i]);
    sgc_session_free(session);
}

static void test_node_ids_differ(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    put_grid(session, "/a");
    put_grid(session, "/b");
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_memory_not_equal(&find(snapshot, "/a")->id, &find(snapshot, "/b")->id,
                            sizeof(sgc_node_id));
    sgc_snapshot_unref(snapshot);
}

/* ---- snapshots ---- */

static void test_history(void **state)
{
    (void)state;
    enum { COMMITS = 5 };
    sgc_object_id ids[COMMITS];
    for (int i = 0; i < COMMITS; i++) {
        char message[32];
        sgc_session *session = new_session(repository);
        snprintf(message, sizeof message, "commit %d", i);
        assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
        assert_ok(sgc_session_commit(session, message, NULL, &ids[i], &err));
        sgc_session_free(session);
    }
    sgc_snapshot *child = load_tip(repository);
    for (int i = COMMITS; i-- > 0;) {
        const sgc_snapshot_data *data = sgc_snapshot_get(child);
        char message[32];
        sgc_snapshot *parent;
        snprintf(message, sizeof message, "commit %d", i);
        assert_memory_equal(&data->id, &ids[i], sizeof data->id);
        assert_string_equal(data->message, message);
        assert_true(data->has_parent);
        assert_ok(sgc_repository_snapshot(repository, &data->parent, &parent, &err));
        assert_true(sgc_snapshot_get(parent)->flushed_at < data->flushed_at);
        sgc_snapshot_unref(child);
        child = parent;
    }
    assert_false(sgc_snapshot_get(child)->has_parent);
    sgc_snapshot_unref(child);
}

static void test_every_commit_has_a_log(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    sgc_object_id id;
    char text[SGC_OBJECT_ID_TEXT + 1], key[64];
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_ok(sgc_session_commit(session, "m", NULL, &id, &err));
    sgc_session_free(session);
    sgc_object_id_format(&id, text);
    snprintf(key, sizeof key, "transactions/%s", text);
    sgc_object file = {0};
    sgc_buffer payload = {0};
    int version;
    assert_ok(store->get(store, key, 0, SGC_TO_END, &file, &err));
    assert_ok(sgc_envelope_unwrap(SGC_FILE_TRANSACTION_LOG, file.data, file.size, &version,
                                  &payload, &err));
    sgc_buffer_free(&payload);
    sgc_object_clear(&file);
}

static void test_metadata_is_sorted(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_ok(
        sgc_session_commit(session, "m", "{\"b\":\"x\",\"B\":true,\"a\":[1,null]}", NULL, &err));
    sgc_session_free(session);
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    static const struct {
        const char *name, *value; /* MessagePack */
    } items[] = {{"B", "\xc3"}, {"a", "\x92\x01\xc0"}, {"b", "\xa1x"}};
    assert_int_equal(data->metadata_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(data->metadata[i].name, items[i].name);
        assert_int_equal(data->metadata[i].value_size, strlen(items[i].value));
        assert_memory_equal(data->metadata[i].value, items[i].value, strlen(items[i].value));
    }
    sgc_snapshot_unref(snapshot);
}

static void test_metadata_must_be_an_object(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "[]", "1", "{", "{} {}", "{\"a\":01}", "{\"a\\u0000\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sgc_session *session = new_session(repository);
        assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
        assert_status(SGC_INVALID, sgc_session_commit(session, "m", texts[i], NULL, &err));
        sgc_session_free(session);
    }
}

/* Puts a commit on top whose time is so many seconds ahead of the clock. */
static uint64_t commit_in_the_future(unsigned seconds)
{
    sgc_snapshot *tip = load_tip(repository);
    sgc_snapshot_data data = *sgc_snapshot_get(tip);
    data.has_parent = true;
    data.parent = data.id;
    data.flushed_at = sgc_clock_now() + seconds * UINT64_C(1000000);
    assert_ok(sgc_object_id_random(&data.id, &err));
    assert_ok(sgc_snapshot_store(store, &data, &err));
    assert_ok(sgc_branch_move(store, "main", &data.parent, &data.id, &err));
    sgc_snapshot_unref(tip);
    return data.flushed_at;
}

static void test_time_grows_where_clocks_differ(void **state)
{
    (void)state;
    const uint64_t parent = commit_in_the_future(500);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_true(sgc_snapshot_get(snapshot)->flushed_at > parent);
    sgc_snapshot_unref(snapshot);
}

static void test_parent_in_the_far_future_is_refused(void **state)
{
    (void)state;
    commit_in_the_future(100000);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_status(SGC_INVALID, sgc_session_commit(session, "m", NULL, NULL, &err));
    assert_message("clock");
    sgc_session_free(session);
}

static void test_empty_commit_is_refused(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    assert_status(SGC_INVALID, sgc_session_commit(session, "m", NULL, NULL, &err));
    sgc_session_free(session);
}

static void test_commit_of_refused_changes_is_refused(void **state)
{
    (void)state;
    create_grid();
    const uint32_t outside[] = {0, SIDE};
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    sgc_session *session = new_session(repository);
    assert_status(SGC_INVALID, sgc_session_set_chunk(session, "/a", outside, &none, &err));
    assert_status(SGC_INVALID, sgc_session_put_group(session, "/a", "{}", 2, &err));
    assert_status(SGC_INVALID, sgc_session_commit(session, "m", NULL, NULL, &err));
    sgc_session_free(session);
}

/* ---- conflicts ---- */

static void test_moved_branch_is_a_conflict(void **state)
{
    (void)state;
    create_grid();
    sgc_session *first = new_session(repository), *second = new_session(repository);
    set_chunk(first, "/a", 1, 1, 1);
    set_chunk(second, "/a", 2, 2, 2);
    commit(first);
    sgc_object_id untouched = {{1}};
    assert_status(SGC_CONFLICT, sgc_session_commit(second, "m", NULL, &untouched, &err));
    assert_message("main");
    assert_int_equal(untouched.bytes[0], 1);
    sgc_session_free(second);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 1, 1), 1);
    assert_int_equal(read_cell(repository, snapshot, 2, 2), 0);
    sgc_snapshot_unref(snapshot);
}

static void test_retry_after_a_conflict(void **state)
{
    (void)state;
    create_grid();
    sgc_session *loser = new_session(repository);
    commit_chunk(1, 1, 1);
    set_chunk(loser, "/a", 2, 2, 2);
    assert_status(SGC_CONFLICT, sgc_session_commit(loser, "m", NULL, NULL, &err));
    sgc_session_free(loser);
    commit_chunk(2, 2, 2);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 1, 1), 1);
    assert_int_equal(read_cell(repository, snapshot, 2, 2), 2);
    sgc_snapshot_unref(snapshot);
}

static void test_commit_into_a_migrated_repository_is_refused(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_ok(store->put(store, "repo", "x", 1, SGC_PUT_ALWAYS, NULL, &err));
    assert_status(SGC_UNSUPPORTED, sgc_session_commit(session, "m", NULL, NULL, &err));
    sgc_session_free(session);
}

static void test_session_on_an_absent_branch(void **state)
{
    (void)state;
    sgc_session *session;
    assert_status(SGC_NOT_FOUND, sgc_session_new(repository, "absent", &session, &err));
    assert_message("absent");
}

static void test_a_session_sees_its_base_only(void **state)
{
    (void)state;
    create_grid();
    sgc_session *session = new_session(repository);
    commit_chunk(1, 1, 1);
    assert_int_equal(read_cell(repository, sgc_session_base(session), 1, 1), 0);
    sgc_session_free(session);
}

/* ---- chunks ---- */

static void check_chunk_is_refused(const char *path, uint32_t y, uint32_t x, sgc_status expected)
{
    const uint32_t at[] = {y, x};
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    sgc_session *session = new_session(repository);
    assert_status(expected, sgc_session_set_chunk(session, path, at, &none, &err));
    assert_message(path);
    sgc_session_free(session);
}

static void test_chunks_outside_the_array_are_refused(void **state)
{
    (void)state;
    create_grid();
    check_chunk_is_refused("/a", SIDE, 0, SGC_INVALID);
    check_chunk_is_refused("/a", 0, SIDE, SGC_INVALID);
    check_chunk_is_refused("/a", UINT32_MAX, 0, SGC_INVALID);
}

static void test_chunks_of_no_array_are_refused(void **state)
{
    (void)state;
    create_grid();
    check_chunk_is_refused("/", 0, 0, SGC_INVALID);
    check_chunk_is_refused("/b", 0, 0, SGC_NOT_FOUND);
}

static void test_the_last_change_of_a_chunk_wins(void **state)
{
    (void)state;
    create_grid();
    sgc_session *session = new_session(repository);
    set_chunk(session, "/a", 1, 1, 5);
    set_chunk(session, "/a", 2, 2, 6);
    set_chunk(session, "/a", 1, 1, 7);
    set_chunk(session, "/a", 2, 2, 0);
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 1, 1), 7);
    assert_int_equal(read_cell(repository, snapshot, 2, 2), 0);
    sgc_snapshot_unref(snapshot);
}

static void test_array_of_no_dimensions(void **state)
{
    (void)state;
    const sgc_array_metadata metadata = {.type = SGC_UINT8};
    const unsigned char value = 5;
    const sgc_chunk_ref ref = {.kind = SGC_CHUNK_INLINE, .length = 1, .inline_data = &value};
    sgc_session *session = new_session(repository);
    put_array(session, "/a", &metadata, "0");
    assert_ok(sgc_session_set_chunk(session, "/a", NULL, &ref, &err));
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    assert_int_equal(read_cell(repository, snapshot, 0, 0), 5);
    sgc_snapshot_unref(snapshot);
}

/* ---- manifests ---- */

typedef unsigned char truth[SIDE][SIDE];

static bool extents_meet(const sgc_manifest_ref *a, const sgc_manifest_ref *b)
{
    for (int d = 0; d < 2; d++)
        if (a->extents[d].to <= b->extents[d].from || b->extents[d].to <= a->extents[d].from)
            return false;
    return true;
}

/* Moves the references of one manifest from `left` to here, and checks its box. */
static uint32_t check_manifest(const sgc_snapshot *snapshot, const sgc_node *node,
                               const sgc_manifest_ref *ref, truth left)
{
    sgc_manifest *manifest;
    assert_ok(
        sgc_repository_manifest(repository, sgc_snapshot_get(snapshot), &ref->id, &manifest, &err));
    const sgc_array_manifest *array = sgc_manifest_find_array(manifest, &node->id);
    assert_non_null(array);
    assert_true(array->count > 0);
    sgc_extent box[2] = {{UINT32_MAX, 0}, {UINT32_MAX, 0}};
    for (size_t i = 0; i < array->count; i++) {
        const uint32_t *at = array->coordinates + 2 * i;
        assert_true(at[0] < SIDE && at[1] < SIDE);
        assert_int_equal(array->refs[i].kind, SGC_CHUNK_INLINE);
        assert_int_equal(array->refs[i].inline_data[0], left[at[0]][at[1]]);
        left[at[0]][at[1]] = 0;
        for (int d = 0; d < 2; d++) {
            box[d].from = at[d] < box[d].from ? at[d] : box[d].from;
            box[d].to = at[d] + 1 > box[d].to ? at[d] + 1 : box[d].to;
        }
    }
    assert_memory_equal(ref->extents, box, sizeof box);
    const uint32_t count = (uint32_t)array->count;
    sgc_manifest_unref(manifest);
    return count;
}

static uint64_t stored_size(const sgc_object_id *manifest)
{
    char text[SGC_OBJECT_ID_TEXT + 1], key[64];
    sgc_object file = {0};
    sgc_object_id_format(manifest, text);
    snprintf(key, sizeof key, "manifests/%s", text);
    assert_ok(store->get(store, key, 0, SGC_TO_END, &file, &err));
    const uint64_t size = file.size;
    sgc_object_clear(&file);
    return size;
}

/* The tip's array "/a" has exactly the chunks of `expected`, in manifests as the format wants them.
 */
static void check_layout(truth expected)
{
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    const sgc_node *node = find(snapshot, "/a");
    truth left, nothing = {{0}};
    memcpy(left, expected, sizeof left);
    assert_int_equal(data->manifest_file_count, node->manifest_count);
    for (size_t i = 0; i < node->manifest_count; i++) {
        const sgc_manifest_ref *ref = &node->manifests[i];
        const uint32_t count = check_manifest(snapshot, node, ref, left);
        for (int d = 0; d < 2; d++)
            assert_int_equal(ref->extents[d].from / WINDOW, (ref->extents[d].to - 1) / WINDOW);
        for (size_t k = 0; k < i; k++)
            assert_false(extents_meet(ref, &node->manifests[k]));
        const sgc_manifest_file *file = sgc_snapshot_find_manifest(data, &ref->id);
        assert_non_null(file);
        assert_int_equal(file->num_chunk_refs, count);
        assert_int_equal(file->size_bytes, stored_size(&ref->id));
    }
    assert_memory_equal(left, nothing, sizeof left);
    sgc_snapshot_unref(snapshot);
}

static void test_random_commits(void **state)
{
    (void)state;
    enum { COMMITS = 40, MOST_CHANGES = 12 };
    truth expected = {{0}};
    uint64_t seed = 1;
    create_grid();
    for (int i = 0; i < COMMITS; i++) {
        sgc_session *session = new_session(repository);
        for (uint32_t n = 1 + random_below(&seed, MOST_CHANGES); n > 0; n--) {
            const uint32_t y = random_below(&seed, SIDE), x = random_below(&seed, SIDE);
            expected[y][x] =
                random_below(&seed, 3) == 0 ? 0 : (unsigned char)(1 + random_below(&seed, 255));
            set_chunk(session, "/a", y, x, expected[y][x]);
        }
        commit(session);
        check_layout(expected);
    }
}

/* The manifest with the chunk, or NULL. */
static const sgc_object_id *manifest_of(const sgc_snapshot *snapshot, uint32_t y, uint32_t x)
{
    const sgc_node *node = find(snapshot, "/a");
    for (size_t i = 0; i < node->manifest_count; i++) {
        const sgc_extent *box = node->manifests[i].extents;
        if (y >= box[0].from && y < box[0].to && x >= box[1].from && x < box[1].to)
            return &node->manifests[i].id;
    }
    return NULL;
}

static void test_untouched_windows_keep_their_manifests(void **state)
{
    (void)state;
    create_grid();
    commit_chunk(0, 0, 1);
    commit_chunk(0, 4, 2);
    commit_chunk(9, 9, 3);
    sgc_snapshot *before = load_tip(repository);
    commit_chunk(3, 7, 4); /* in the window of (0, 4) */
    sgc_snapshot *after = load_tip(repository);
    const size_t size = sizeof(sgc_object_id);
    assert_memory_equal(manifest_of(after, 0, 0), manifest_of(before, 0, 0), size);
    assert_memory_equal(manifest_of(after, 9, 9), manifest_of(before, 9, 9), size);
    assert_memory_not_equal(manifest_of(after, 0, 4), manifest_of(before, 0, 4), size);
    assert_memory_equal(manifest_of(after, 3, 7), manifest_of(after, 0, 4), size);
    sgc_snapshot_unref(before);
    sgc_snapshot_unref(after);
}

static void test_untouched_arrays_keep_their_manifests(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    put_grid(session, "/a");
    put_grid(session, "/b");
    set_chunk(session, "/a", 1, 1, 1);
    set_chunk(session, "/b", 1, 1, 2);
    commit(session);
    sgc_snapshot *before = load_tip(repository);
    session = new_session(repository);
    set_chunk(session, "/b", 1, 1, 3);
    commit(session);
    sgc_snapshot *after = load_tip(repository);
    assert_memory_equal(manifest_of(after, 1, 1), manifest_of(before, 1, 1), sizeof(sgc_object_id));
    assert_int_equal(sgc_snapshot_get(after)->manifest_file_count, 2);
    sgc_snapshot_unref(before);
    sgc_snapshot_unref(after);
}

static void test_empty_manifests_are_never_written(void **state)
{
    (void)state;
    truth nothing = {{0}};
    create_grid();
    commit_chunk(1, 1, 1);
    commit_chunk(1, 1, 0);
    commit_chunk(2, 2, 0);
    assert_int_equal(count_objects(store, "manifests/"), 1);
    check_layout(nothing);
}

static void test_one_big_manifest_is_split_when_touched(void **state)
{
    (void)state;
    /* Another writer, who does not know the rules. */
    sgc_repository *plain, *ruled = repository;
    assert_ok(sgc_object_store_remove(store, "config.yaml", &err));
    assert_ok(sgc_repository_open(counting_store_new(store), NULL, &plain, &err));
    truth expected = {{0}};
    sgc_session *session = new_session(plain);
    put_grid(session, "/a");
    for (uint32_t y = 0; y < SIDE; y += 3) {
        for (uint32_t x = 0; x < SIDE; x += 2) {
            expected[y][x] = (unsigned char)(1 + y * SIDE + x);
            set_chunk(session, "/a", y, x, expected[y][x]);
        }
    }
    commit(session);
    sgc_repository_free(plain);
    sgc_snapshot *snapshot = load_tip(ruled);
    assert_int_equal(find(snapshot, "/a")->manifest_count, 1);
    sgc_snapshot_unref(snapshot);

    expected[5][5] = 200;
    commit_chunk(5, 5, 200);
    check_layout(expected);
    snapshot = load_tip(ruled);
    assert_int_equal(find(snapshot, "/a")->manifest_count, 9);
    sgc_snapshot_unref(snapshot);
}

static void test_rules_are_stored_for_other_writers(void **state)
{
    (void)state;
    static const char expected[] = "manifest:\n"
                                   "  preload: null\n"
                                   "  splitting:\n"
                                   "    split_sizes:\n"
                                   "    - - any_array\n"
                                   "      - - condition: !DimensionName ^y$\n"
                                   "          num_chunks: 4\n"
                                   "        - condition: !DimensionName ^x$\n"
                                   "          num_chunks: 4\n";
    sgc_object config = {0};
    assert_ok(store->get(store, "config.yaml", 0, SGC_TO_END, &config, &err));
    assert_int_equal(config.size, strlen(expected));
    assert_memory_equal(config.data, expected, config.size);
    sgc_object_clear(&config);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_committed_nodes_are_verbatim),
        TEST(test_nodes_are_ordered_by_bytes),
        TEST(test_nodes_are_added_between_old_ones),
        TEST(test_new_json_keeps_node_id_and_chunks),
        TEST(test_another_number_of_dimensions_is_refused),
        TEST(test_an_array_grows),
        TEST(test_an_array_shrinks),
        TEST(test_an_array_shrinks_and_grows_at_once),
        TEST(test_another_chunk_shape_is_refused),
        TEST(test_another_data_type_is_refused),
        TEST(test_another_fill_value_is_refused),
        TEST(test_new_dimension_names),
        TEST(test_a_node_keeps_its_kind),
        TEST(test_a_new_node_keeps_its_kind),
        TEST(test_a_new_array_can_shrink),
        TEST(test_bad_paths_are_refused),
        TEST(test_node_ids_differ),
        TEST(test_history),
        TEST(test_every_commit_has_a_log),
        TEST(test_metadata_is_sorted),
        TEST(test_metadata_must_be_an_object),
        TEST(test_time_grows_where_clocks_differ),
        TEST(test_parent_in_the_far_future_is_refused),
        TEST(test_empty_commit_is_refused),
        TEST(test_commit_of_refused_changes_is_refused),
        TEST(test_moved_branch_is_a_conflict),
        TEST(test_retry_after_a_conflict),
        TEST(test_commit_into_a_migrated_repository_is_refused),
        TEST(test_session_on_an_absent_branch),
        TEST(test_a_session_sees_its_base_only),
        TEST(test_chunks_outside_the_array_are_refused),
        TEST(test_chunks_of_no_array_are_refused),
        TEST(test_the_last_change_of_a_chunk_wins),
        TEST(test_array_of_no_dimensions),
        TEST(test_random_commits),
        TEST(test_untouched_windows_keep_their_manifests),
        TEST(test_untouched_arrays_keep_their_manifests),
        TEST(test_empty_manifests_are_never_written),
        TEST(test_one_big_manifest_is_split_when_touched),
        TEST(test_rules_are_stored_for_other_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
