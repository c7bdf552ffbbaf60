/* Transactions that are carried over to what others have committed meanwhile. What contradicts what
 * is in test_store_conflicts.c, what is done about it in test_store_merge.c. */
#include "autotest/unit/rebase_testing.h"

#include <stdio.h>
#include <string.h>

#include "autotest/unit/counting_store.h"
#include "autotest/unit/fault_store.h"
#include "store/clock.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/transaction_log.h"

/* ---- what others did cannot be known ---- */

/* A commit of another library. `node`, if not NULL, takes the place of the one at its path. */
static void commit_by_hand(sgc_transaction_log log, const sgc_node *node)
{
    sgc_snapshot *snapshot = tip();
    sgc_snapshot_data data = *sgc_snapshot_get(snapshot);
    sgc_object_store *store = sgc_repository_store(repository);
    sgc_arena arena = {0};
    const sgc_object_id parent = data.id;
    sgc_node *nodes = sgc_arena_copy(&arena, data.nodes, data.node_count * sizeof *nodes);
    for (size_t i = 0; i < data.node_count; i++)
        if (node != NULL && strcmp(nodes[i].path, node->path) == 0)
            nodes[i] = *node;
    data.nodes = nodes;
    data.has_parent = true;
    data.parent = parent;
    data.spec_version = log.spec_version = sgc_repository_spec_version(repository);
    assert_ok(sgc_clock_after(data.flushed_at, &data.flushed_at, &err));
    assert_ok(sgc_object_id_random(&data.id, &err));
    log.id = data.id;
    assert_ok(sgc_snapshot_store(store, &data, &err));
    assert_ok(sgc_transaction_log_store(store, &log, &err));
    assert_ok(sgc_repository_publish(repository, "main", &parent, &data, &err));
    sgc_arena_free(&arena);
    sgc_snapshot_unref(snapshot);
}

static const sgc_moved_node move = {"/g", "/moved", {{7}}, false};
static const sgc_transaction_log log_with_move = {.moved_node_count = 1, .moved_nodes = &move};

/* Whatever was changed, no commit is possible on top of what others have done. */
static void check_hopeless(sgc_session *session, const char *message)
{
    const sgc_object_id id = tip_id();
    assert_status(SGC_CONFLICT, sgc_session_rebase(session, NULL, &err));
    assert_message(message);
    assert_status(SGC_CONFLICT, commit_merged(session, NULL, NULL));
    assert_message(message);
    const sgc_object_id after = tip_id();
    assert_same_id(&after, &id);
}

static void test_moved_nodes(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    commit_by_hand(log_with_move, NULL);
    commit_change(CHANGE(SET, "/n", 1, 1, 9));
    check_hopeless(session, "moved");
    sgc_session_free(session);
}

static void format_log_key(const sgc_object_id *id, char key[64])
{
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    snprintf(key, 64, "transactions/%s", text);
}

static void remove_log(const sgc_object_id *id)
{
    char key[64];
    format_log_key(id, key);
    assert_ok(sgc_object_store_remove(memory, key, &err));
}

static void test_missing_log(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    commit_change(CHANGE(SET, "/n", 1, 1, 9));
    const sgc_object_id lost = tip_id();
    commit_change(CHANGE(SET, "/n", 2, 2, 9));
    remove_log(&lost);
    check_hopeless(session, "cannot tell what another commit has changed");
    sgc_session_free(session);
}

/* A log that is not readable is no conflict, but damage. */
static void test_damaged_log(void **state)
{
    (void)state;
    char key[64];
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    commit_change(CHANGE(SET, "/n", 1, 1, 9));
    const sgc_object_id id = tip_id();
    format_log_key(&id, key);
    assert_ok(memory->put(memory, key, "x", 1, SGC_PUT_ALWAYS, NULL, &err));
    assert_status(SGC_CORRUPT, commit_merged(session, NULL, NULL));
    assert_message(key);
    sgc_session_free(session);
}

static void test_reset_branch(void **state)
{
    (void)state;
    const sgc_object_id old = tip_id();
    commit_change(CHANGE(SET, "/n", 1, 1, 9));
    const sgc_object_id base = tip_id();
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    assert_ok(sgc_repository_reset_branch(repository, "main", &base, &old, &err));
    check_hopeless(session, "was reset");
    commit_change(CHANGE(SET, "/n", 2, 2, 9));
    check_hopeless(session, "was reset");
    assert_ok(sgc_session_restart(session, &err));
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    assert_ok(commit_merged(session, NULL, NULL));
    sgc_session_free(session);
}

static uint64_t tip_time(void)
{
    sgc_snapshot *snapshot = tip();
    const uint64_t time = sgc_snapshot_get(snapshot)->flushed_at;
    sgc_snapshot_unref(snapshot);
    return time;
}

/* Takes all but the tip and the root out of the history. */
static void expire(void)
{
    const sgc_expire_options options = {.older_than = tip_time()};
    sgc_expire_result result;
    assert_ok(sgc_repository_expire(repository, &options, &result, &err));
    assert_true(result.snapshots > 0);
}

static void test_expired_base(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    commit_change(CHANGE(SET, "/n", 1, 1, 9));
    commit_change(CHANGE(SET, "/n", 2, 2, 9));
    expire();
    check_hopeless(session, "its history expired");
    sgc_session_free(session);
}

static void test_deleted_branch(void **state)
{
    (void)state;
    const sgc_object_id id = tip_id();
    sgc_session *session;
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, "b", &id, &err));
    assert_ok(sgc_session_new(repository, "b", &session, &err));
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_BRANCH, "b", &err));
    assert_status(SGC_NOT_FOUND, commit_merged(session, NULL, NULL));
    assert_message("\"b\"");
    sgc_session_free(session);
}

/* Gives a session of somebody who began on the root, before all commits. */
static sgc_session *begin_on_root(void)
{
    const int version = sgc_repository_spec_version(repository);
    sgc_repository_free(repository);
    sgc_object_store_free(memory);
    create_repository(version);
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(PUT_GROUP, "/", 1));
    return session;
}

static void test_pruned_logs(void **state)
{
    (void)state;
    sgc_session *session = begin_on_root();
    commit_by_hand(log_with_move, NULL);
    const sgc_object_id pruned = tip_id();
    commit_by_hand((sgc_transaction_log){0}, NULL);
    expire();
    check_hopeless(session, "moved");
    remove_log(&pruned);
    check_hopeless(session, "cannot tell");
    sgc_session_free(session);
}

static void test_expired_commits_above_the_root(void **state)
{
    (void)state;
    sgc_session *session = begin_on_root();
    commit_by_hand((sgc_transaction_log){0}, NULL);
    commit_by_hand((sgc_transaction_log){0}, NULL);
    expire();
    model expected = {0};
    assert_ok(commit_merged(session, NULL, NULL));
    apply_change(&expected, CHANGE(PUT_GROUP, "/", 1));
    check_tip(&expected);
    sgc_session_free(session);
}

/* ---- commits of other libraries ---- */

/* An array that is named without chunks was not changed. */
static void test_empty_list_of_chunks(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(DELETE, "/a"));
    do_change(session, CHANGE(SET, "/n", 1, 1, 9));
    sgc_updated_chunks lists[] = {{.node = model_find(&before, "/a")->id},
                                  {.node = model_find(&before, "/n")->id}};
    if (sgc_node_id_compare(&lists[0].node, &lists[1].node) > 0) {
        const sgc_updated_chunks first = lists[0];
        lists[0] = lists[1];
        lists[1] = first;
    }
    commit_by_hand((sgc_transaction_log){.updated_chunk_count = 2, .updated_chunks = lists}, NULL);
    model expected = before;
    apply_change(&expected, CHANGE(DELETE, "/a"));
    apply_change(&expected, CHANGE(SET, "/n", 1, 1, 9));
    assert_ok(commit_merged(session, NULL, NULL));
    check_tip(&expected);
    sgc_session_free(session);
}

/* Some library has put another document over that of "/a" without deleting it first. */
static void put_other_layout(const sgc_array_metadata *metadata, size_t dimension_count)
{
    sgc_snapshot *snapshot = tip();
    sgc_node node = *sgc_snapshot_find(snapshot, "/a");
    sgc_buffer json = array_json(metadata, "0");
    node.user_data = json.data;
    node.user_data_size = json.size;
    node.dimension_count = dimension_count;
    commit_by_hand((sgc_transaction_log){.updated_arrays = {1, &node.id}}, &node);
    sgc_buffer_free(&json);
    sgc_snapshot_unref(snapshot);
}

/* No answer could save the chunks. */
static void check_other_layout(model_change ours, const sgc_array_metadata *metadata)
{
    size_t asked = 0;
    const sgc_merge merge = {take_ours, &asked};
    sgc_session *session = new_session(repository);
    model_do(session, &ours);
    put_other_layout(metadata, metadata->dimension_count);
    assert_status(SGC_CONFLICT, commit_merged(session, &merge, NULL));
    assert_message("/a");
    assert_int_equal(asked, 0);
    sgc_session_free(session);
}

static const sgc_array_metadata other_type = {
    .type = SGC_INT16, .dimension_count = 2, .shape = {6, 6}, .chunk_shape = {1, 1}};
static const sgc_array_metadata one_dimension = {
    .type = SGC_UINT8, .dimension_count = 1, .shape = {6}, .chunk_shape = {1}};

static void test_chunks_of_another_type(void **state)
{
    (void)state;
    check_other_layout(CHANGE(SET, "/a", 1, 1, 9), &other_type);
}

static void test_document_of_another_type(void **state)
{
    (void)state;
    check_other_layout(CHANGE(PUT_ARRAY, "/a", 9, 6, 6), &other_type);
}

static void test_chunks_of_other_dimensions(void **state)
{
    (void)state;
    check_other_layout(CHANGE(SET, "/a", 1, 1, 9), &one_dimension);
}

static void test_document_of_other_dimensions(void **state)
{
    (void)state;
    check_other_layout(CHANGE(PUT_ARRAY, "/a", 9, 5, 6), &one_dimension);
}

/* A node and its document that contradict each other. */
static void test_node_with_other_dimensions_than_its_document(void **state)
{
    (void)state;
    put_other_layout(&one_dimension, 2);
    sgc_buffer json = array_json(&one_dimension, "1");
    sgc_session *session = new_session(repository);
    assert_status(SGC_CORRUPT, sgc_session_put_array(session, "/a", json.data, json.size, &err));
    assert_message("/a");
    sgc_buffer_free(&json);
    sgc_session_free(session);
}

/* ---- what changes follow from ---- */

/* A transaction that depends on something, and others' change. */
static void check_dependency(const char *path, const uint32_t *at, model_change other,
                             sgc_status expected)
{
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/n", 3, 3, 9));
    assert_ok(sgc_session_depend_on(session, path, at, &err));
    commit_changes(&other, 1);
    assert_status(expected, commit_merged(session, NULL, NULL));
    if (expected != SGC_OK)
        assert_message("depends on");
    sgc_session_free(session);
}

static void test_dependencies(void **state)
{
    static const uint32_t at[] = {0, 0};
    static const struct {
        const char *path;
        bool is_chunk;
        model_change other;
        sgc_status expected;
    } cases[] = {
        {"/a", true, SET("/a", 0, 0, 8), SGC_CONFLICT},
        {"/a", true, SET("/a", 0, 0, 0), SGC_CONFLICT},
        {"/a", true, SET("/a", 0, 1, 8), SGC_OK},
        {"/a", true, SET("/n", 0, 0, 8), SGC_OK},
        {"/a", true, PUT_ARRAY("/a", 8, 6, 6), SGC_CONFLICT},
        {"/a", true, DELETE("/a"), SGC_CONFLICT},
        {"/a", false, SET("/a", 0, 0, 8), SGC_OK},
        {"/a", false, PUT_ARRAY("/a", 8, 6, 6), SGC_CONFLICT},
        {"/a", false, DELETE("/a"), SGC_CONFLICT},
        {"/g", false, PUT_GROUP("/g", 8), SGC_CONFLICT},
        {"/g", false, DELETE("/g"), SGC_CONFLICT},
        {"/g", false, PUT_GROUP("/g/new", 8), SGC_OK},
        {"/", false, PUT_GROUP("/g", 8), SGC_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_dependency(cases[i].path, cases[i].is_chunk ? at : NULL, cases[i].other,
                         cases[i].expected);
        rebase_tear_down(state);
        rebase_set_up(state);
    }
}

/* What was checked once need not be checked again, but all that comes later must. */
static void test_dependencies_outlive_a_rebase(void **state)
{
    (void)state;
    static const uint32_t at[] = {0, 0};
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/n", 3, 3, 9));
    assert_ok(sgc_session_depend_on(session, "/a", at, &err));
    commit_change(CHANGE(SET, "/a", 1, 1, 8));
    assert_ok(sgc_session_rebase(session, NULL, &err));
    commit_change(CHANGE(SET, "/a", 0, 0, 8));
    assert_status(SGC_CONFLICT, commit_merged(session, NULL, NULL));
    assert_ok(sgc_session_restart(session, &err));
    do_change(session, CHANGE(SET, "/n", 3, 3, 9));
    commit_change(CHANGE(SET, "/a", 0, 0, 7));
    assert_ok(commit_merged(session, NULL, NULL));
    sgc_session_free(session);
}

static void test_dependencies_on_what_is_not_there(void **state)
{
    (void)state;
    static const uint32_t outside[] = {0, 6}, inside[] = {0, 0};
    sgc_session *session = new_session(repository);
    assert_status(SGC_NOT_FOUND, sgc_session_depend_on(session, "/no", NULL, &err));
    assert_status(SGC_INVALID, sgc_session_depend_on(session, "/a", outside, &err));
    assert_status(SGC_INVALID, sgc_session_depend_on(session, "/g", inside, &err));
    sgc_session_free(session);
}

/* ---- what was written for nothing is used again ---- */

static size_t count_puts(const char *prefix)
{
    return counting_store_puts(sgc_repository_store(repository), prefix);
}

static void forget_puts(void)
{
    counting_store_reset(sgc_repository_store(repository));
}

/* Four windows of "/n", each with one chunk. */
static void set_four_windows(sgc_session *session)
{
    for (uint32_t i = 0; i < 4; i++)
        do_change(session, CHANGE(SET, "/n", 2 * (i / 2) + 1, 2 * (i % 2) + 1, 9));
}

static void test_manifests_are_used_again(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    set_four_windows(session);
    commit_change(CHANGE(SET, "/a", 1, 1, 9));
    forget_puts();
    assert_status(SGC_CONFLICT, sgc_session_commit(session, "m", NULL, NULL, &err));
    assert_int_equal(count_puts("manifests/"), 4);
    forget_puts();
    assert_ok(commit_merged(session, NULL, NULL));
    assert_int_equal(count_puts("manifests/"), 0);
    assert_int_equal(count_puts("chunks/"), 0);
    assert_int_equal(count_puts("snapshots/"), 1);
    assert_int_equal(count_puts("transactions/"), 1);
    check_sound(repository);
    sgc_session_free(session);
}

static void test_only_the_touched_window_is_written_again(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    set_four_windows(session);
    sgc_chunk_ref ours, committed;
    sgc_manifest *keep;
    const uint32_t at[] = {3, 3};
    assert_ok(sgc_session_find_chunk(session, "/n", at, &ours, &keep, &err));
    commit_change(CHANGE(SET, "/n", 2, 3, 8)); /* in the window of [3,3] */
    assert_status(SGC_CONFLICT, sgc_session_commit(session, "m", NULL, NULL, &err));
    forget_puts();
    assert_ok(commit_merged(session, NULL, NULL));
    assert_int_equal(count_puts("manifests/"), 1);
    assert_int_equal(count_puts("chunks/"), 0);

    model expected = before;
    for (uint32_t i = 0; i < 4; i++)
        apply_change(&expected, CHANGE(SET, "/n", 2 * (i / 2) + 1, 2 * (i % 2) + 1, 9));
    apply_change(&expected, CHANGE(SET, "/n", 2, 3, 8));
    check_tip(&expected);
    sgc_snapshot *snapshot = tip();
    assert_ok(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot),
                                        sgc_snapshot_find(snapshot, "/n"), at, &committed, &keep,
                                        &err));
    assert_same_id(&committed.id, &ours.id);
    sgc_manifest_unref(keep);
    sgc_snapshot_unref(snapshot);
    check_sound(repository);
    sgc_session_free(session);
}

/* ---- sessions that live long ---- */

static void test_rebase_without_changes(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    commit_change(CHANGE(SET, "/a", 1, 1, 9));
    assert_ok(sgc_session_rebase(session, NULL, &err));
    model expected = before;
    apply_change(&expected, CHANGE(SET, "/a", 1, 1, 9));
    model_check_session(&expected, session);
    assert_status(SGC_INVALID, commit_merged(session, NULL, NULL));
    assert_message("nothing to commit");
    sgc_session_free(session);
}

/* All kinds of changes, and after each commit of others the tree is that of both. */
static void test_many_rebases(void **state)
{
    (void)state;
    const model_change ours[] = {
        SET("/a", 1, 1, 9), PUT_ARRAY("/n", 9, 6, 4), SET("/n", 5, 0, 9),
        DELETE("/g"),       PUT_ARRAY("/g", 9, 2, 2), SET("/g", 1, 1, 9),
        PUT_GROUP("/t", 9), PUT_GROUP("/t/u", 9),
    };
    const size_t count = sizeof ours / sizeof *ours;
    model theirs = before;
    sgc_session *session = new_session(repository);
    for (size_t i = 0; i < count; i++)
        model_do(session, &ours[i]);
    for (unsigned round = 0; round < 6; round++) {
        const model_change other[] = {SET("/a", round, 5, 7), PUT_GROUP("/", 20 + round),
                                      PUT_ARRAY("/o", 20 + round, round + 1, 2)};
        commit_changes(other, 3);
        for (size_t i = 0; i < 3; i++)
            model_apply(&theirs, &other[i]);
        assert_ok(sgc_session_rebase(session, NULL, &err));
        model both = theirs;
        for (size_t i = 0; i < count; i++)
            model_apply(&both, &ours[i]);
        model_check_session(&both, session);
    }
    assert_ok(sgc_session_commit(session, "m", NULL, NULL, &err));
    for (size_t i = 0; i < count; i++)
        model_apply(&theirs, &ours[i]);
    check_tip(&theirs);
    model_check_log(repository, ours, count);
    check_sound(repository);
    sgc_session_free(session);
}

/* What could not be made, by us, is no reason to delete what others have made there. */
static void test_refused_put_leaves_no_trace(void **state)
{
    (void)state;
    const model_change other = PUT_GROUP("/t", 9);
    const sgc_array_metadata metadata = {.type = SGC_UINT8};
    sgc_buffer json = array_json(&metadata, "0");
    sgc_session *session = new_session(repository);
    assert_status(SGC_INVALID, sgc_session_put_array(session, "/t/u", json.data, json.size, &err));
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    do_change(session, CHANGE(PUT_GROUP, "/t", 8));
    do_change(session, CHANGE(DELETE, "/t"));
    commit_changes(&other, 1);
    assert_ok(sgc_session_rebase(session, NULL, &err));
    model expected = before;
    model_apply(&expected, &other);
    apply_change(&expected, CHANGE(SET, "/a", 1, 1, 9));
    model_check_session(&expected, session);
    do_change(session, CHANGE(PUT_GROUP, "/t/u", 9));
    apply_change(&expected, CHANGE(PUT_GROUP, "/t/u", 9));
    assert_ok(commit_merged(session, NULL, NULL));
    check_tip(&expected);
    sgc_buffer_free(&json);
    sgc_session_free(session);
}

static void test_committed_session(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    assert_ok(commit_merged(session, NULL, NULL));
    const sgc_object_id id = tip_id();
    const uint32_t at[] = {2, 2};
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    assert_status(SGC_INVALID, sgc_session_set_chunk(session, "/a", at, &none, &err));
    assert_message("restart");
    assert_status(SGC_INVALID, sgc_session_delete(session, "/a", &err));
    assert_status(SGC_INVALID, sgc_session_put_group(session, "/", "{}", 2, &err));
    assert_status(SGC_INVALID, sgc_session_commit(session, "m", NULL, NULL, &err));
    assert_status(SGC_INVALID, commit_merged(session, NULL, NULL));
    assert_status(SGC_INVALID, sgc_session_rebase(session, NULL, &err));
    const sgc_object_id after = tip_id();
    assert_same_id(&after, &id);
    assert_ok(sgc_session_restart(session, &err));
    do_change(session, CHANGE(SET, "/a", 2, 2, 9));
    assert_ok(commit_merged(session, NULL, NULL));
    model expected = before;
    apply_change(&expected, CHANGE(SET, "/a", 1, 1, 9));
    apply_change(&expected, CHANGE(SET, "/a", 2, 2, 9));
    check_tip(&expected);
    sgc_session_free(session);
}

/* ---- lost answers ---- */

static store_fault fault;

/* Opens the repository over a store whose answers get lost. */
static sgc_repository *open_faulty(void)
{
    sgc_repository *faulty;
    fault = (store_fault){0};
    assert_ok(sgc_repository_open(fault_store_new(memory, &fault), NULL, &faulty, &err));
    return faulty;
}

/* Lets the call that publishes the commit of `session` be done but not answered. */
static void lose_answer(sgc_session *session)
{
    const char *ref =
        sgc_repository_spec_version(repository) == 2 ? "repo" : "refs/branch.main/ref.json";
    const sgc_object_id id = tip_id();
    sgc_object_id after = id;
    for (size_t call = 1; sgc_object_id_compare(&after, &id) == 0; call++) {
        fault = (store_fault){.at = call, .status = SGC_NETWORK, .is_done = true};
        assert_status(SGC_NETWORK,
                      sgc_session_commit_rebased(session, "m", NULL, NULL, NULL, &err));
        after = tip_id();
    }
    assert_string_equal(fault.key, ref);
    fault = (store_fault){0};
}

static void test_lost_answer(void **state)
{
    (void)state;
    for (int others = 0; others < 2; others++) {
        sgc_repository *faulty = open_faulty();
        sgc_session *session = new_session(faulty);
        do_change(session, CHANGE(SET, "/a", 1, (uint32_t)others, 9));
        lose_answer(session);
        const sgc_object_id published = tip_id();
        if (others > 0)
            commit_change(CHANGE(SET, "/a", 1, 1, 8)); /* a conflict, were it one of others */
        const size_t count = count_commits(repository);
        sgc_object_id id;
        assert_ok(sgc_session_commit_rebased(session, "m", NULL, NULL, &id, &err));
        assert_same_id(&id, &published);
        assert_int_equal(count_commits(repository), count);
        sgc_session_free(session);
        sgc_repository_free(faulty);
    }
    check_sound(repository);
}

/* What was changed after a commit of which nobody knows whether it happened is not lost in
 * silence. */
static void test_changes_after_a_lost_answer(void **state)
{
    (void)state;
    sgc_repository *faulty = open_faulty();
    sgc_session *session = new_session(faulty);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    lose_answer(session);
    do_change(session, CHANGE(SET, "/a", 2, 2, 9));
    assert_status(SGC_CONFLICT, sgc_session_commit_rebased(session, "m", NULL, NULL, NULL, &err));
    sgc_session_free(session);
    sgc_repository_free(faulty);
}

/* ---- shapes ---- */

static void check_shapes(const model_change *changes, size_t count)
{
    sgc_session *session = new_session(repository);
    model expected = before;
    for (size_t i = 0; i < count; i++) {
        model_do(session, &changes[i]);
        model_apply(&expected, &changes[i]);
        model_check_session(&expected, session);
    }
    commit_change(CHANGE(PUT_GROUP, "/", 50));
    apply_change(&expected, CHANGE(PUT_GROUP, "/", 50));
    assert_ok(sgc_session_rebase(session, NULL, &err));
    model_check_session(&expected, session);
    assert_ok(sgc_session_commit(session, "m", NULL, NULL, &err));
    check_tip(&expected);
    model_check_log(repository, changes, count);
    check_sound(repository);
    sgc_session_free(session);
}

static void test_array_that_shrinks_and_grows_again(void **state)
{
    (void)state;
    const model_change changes[] = {
        SET("/a", 4, 4, 9),
        PUT_ARRAY("/a", 2, 3, 6),
        PUT_ARRAY("/a", 3, 6, 6),
        SET("/a", 5, 0, 9),
    };
    check_shapes(changes, 4);
}

static void test_new_array_that_shrinks_and_grows_again(void **state)
{
    (void)state;
    const model_change changes[] = {
        PUT_ARRAY("/t", 2, 6, 6), SET("/t", 5, 5, 9),       SET("/t", 0, 0, 9),
        PUT_ARRAY("/t", 3, 1, 1), PUT_ARRAY("/t", 4, 6, 6),
    };
    check_shapes(changes, 5);
}

static void test_array_without_chunks_changes_its_shape(void **state)
{
    (void)state;
    commit_change(CHANGE(SET, "/n", 0, 0, 0));
    model_find(&before, "/n")->chunks[0][0] = 0;
    const model_change changes[] = {PUT_ARRAY("/n", 2, 2, 2)};
    check_shapes(changes, 1);
}

/* Other libraries may leave references behind when an array shrinks (format guide 11): as here, to
 * 3 x 3 chunks. */
static void shrink_by_hand(void)
{
    sgc_snapshot *snapshot = tip();
    sgc_node node = *sgc_snapshot_find(snapshot, "/a");
    sgc_buffer json = {0};
    model_print_json(&CHANGE(PUT_ARRAY, "/a", 2, 3, 3), &json);
    sgc_dimension dimensions[] = {node.dimensions[0], node.dimensions[1]};
    for (size_t d = 0; d < 2; d++)
        dimensions[d].array_length = dimensions[d].num_chunks = 3;
    node.user_data = json.data;
    node.user_data_size = json.size;
    node.dimensions = dimensions;
    commit_by_hand((sgc_transaction_log){.updated_arrays = {1, &node.id}}, &node);
    sgc_buffer_free(&json);
    sgc_snapshot_unref(snapshot);
}

static void test_leftovers_of_a_shrunk_array(void **state)
{
    (void)state;
    shrink_by_hand();
    commit_change(CHANGE(PUT_ARRAY, "/a", 3, 6, 6));
    model expected = before;
    apply_change(&expected, CHANGE(PUT_ARRAY, "/a", 2, 3, 3));
    apply_change(&expected, CHANGE(PUT_ARRAY, "/a", 3, 6, 6));
    check_tip(&expected);
}

static void test_leftovers_of_others_under_our_shape(void **state)
{
    (void)state;
    size_t asked = 0;
    const sgc_merge merge = {take_ours, &asked};
    commit_change(CHANGE(SET, "/a", 4, 4, 9));
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(PUT_ARRAY, "/a", 3, 5, 5));
    shrink_by_hand();
    assert_ok(commit_merged(session, &merge, NULL));
    model expected = before;
    apply_change(&expected, CHANGE(PUT_ARRAY, "/a", 2, 3, 3));
    apply_change(&expected, CHANGE(PUT_ARRAY, "/a", 3, 5, 5));
    check_tip(&expected);
    sgc_session_free(session);
}

/* ---- references ---- */

/* One into another file. Its texts are gone with the next one. */
static sgc_chunk_ref other_file(uint32_t number)
{
    static char location[32], etag[32];
    static unsigned char extra[4];
    static sgc_ref_details details = {location, etag, 0, {extra, sizeof extra}};
    snprintf(location, sizeof location, "https://example.org/%u", number);
    snprintf(etag, sizeof etag, "tag %u", number);
    memset(extra, (int)number, sizeof extra);
    return (sgc_chunk_ref){
        .kind = SGC_CHUNK_VIRTUAL, .offset = 7, .length = 600, .details = &details};
}

static void check_other_file(uint32_t number)
{
    const uint32_t at[] = {0, number};
    const sgc_chunk_ref expected = other_file(number);
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    sgc_snapshot *snapshot = tip();
    assert_ok(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot),
                                        sgc_snapshot_find(snapshot, "/n"), at, &ref, &keep, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_VIRTUAL);
    assert_string_equal(ref.details->location, expected.details->location);
    assert_string_equal(ref.details->etag, expected.details->etag);
    assert_int_equal(ref.details->extra.size, 4);
    assert_memory_equal(ref.details->extra.data, expected.details->extra.data, 4);
    assert_int_equal(ref.offset, 7);
    assert_int_equal(ref.length, 600);
    sgc_manifest_unref(keep);
    sgc_snapshot_unref(snapshot);
}

static void test_references_are_copied(void **state)
{
    (void)state;
    sgc_session *session = new_session(repository);
    for (uint32_t x = 1; x < 4; x++) {
        const uint32_t at[] = {0, x};
        const sgc_chunk_ref ref = other_file(x);
        assert_ok(sgc_session_set_chunk(session, "/n", at, &ref, &err));
    }
    commit(session);
    for (uint32_t x = 1; x < 4; x++)
        check_other_file(x);
}

static sgc_status merge_to_other_file(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                                      sgc_error *error)
{
    (void)user;
    (void)error;
    *merged = (sgc_merged){SGC_MERGED, {0}, other_file(conflict->coordinates[1])};
    return SGC_OK;
}

static void test_merged_references_are_copied(void **state)
{
    (void)state;
    const sgc_merge merge = {merge_to_other_file, NULL};
    sgc_session *session = new_session(repository);
    for (uint32_t x = 1; x < 4; x++) {
        do_change(session, CHANGE(SET, "/n", 0, x, 9));
        commit_change(CHANGE(SET, "/n", 0, x, 8));
    }
    assert_ok(commit_merged(session, &merge, NULL));
    for (uint32_t x = 1; x < 4; x++)
        check_other_file(x);
    sgc_session_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERSION_2(test_moved_nodes),
        BOTH(test_missing_log),
        BOTH(test_damaged_log),
        BOTH(test_reset_branch),
        BOTH(test_expired_base),
        BOTH(test_deleted_branch),
        VERSION_2(test_pruned_logs),
        BOTH(test_expired_commits_above_the_root),
        BOTH(test_empty_list_of_chunks),
        BOTH(test_chunks_of_another_type),
        BOTH(test_document_of_another_type),
        BOTH(test_chunks_of_other_dimensions),
        BOTH(test_document_of_other_dimensions),
        BOTH(test_node_with_other_dimensions_than_its_document),
        BOTH(test_dependencies),
        BOTH(test_dependencies_outlive_a_rebase),
        BOTH(test_dependencies_on_what_is_not_there),
        BOTH(test_manifests_are_used_again),
        BOTH(test_only_the_touched_window_is_written_again),
        BOTH(test_rebase_without_changes),
        BOTH(test_many_rebases),
        BOTH(test_refused_put_leaves_no_trace),
        BOTH(test_committed_session),
        BOTH(test_lost_answer),
        BOTH(test_changes_after_a_lost_answer),
        BOTH(test_array_that_shrinks_and_grows_again),
        BOTH(test_new_array_that_shrinks_and_grows_again),
        BOTH(test_array_without_chunks_changes_its_shape),
        BOTH(test_leftovers_of_a_shrunk_array),
        BOTH(test_leftovers_of_others_under_our_shape),
        BOTH(test_references_are_copied),
        BOTH(test_merged_references_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
