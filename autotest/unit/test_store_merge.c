/* Conflicts that somebody decides: the questions, the answers and what comes of them. */
#include "autotest/unit/rebase_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- questions and answers ---- */

/* Answers one conflict, and notes it. */
typedef struct answer {
    sgc_resolution resolution;
    unsigned char value; /* of a merged chunk */
    model_change json;   /* of a merged document */
    sgc_status failure;
    size_t count;
    sgc_conflict_kind kind;
    char path[MODEL_PATH];
    uint32_t at[2];
    unsigned char ours, theirs; /* values of chunks */
    sgc_buffer our_json, their_json, base_json;
    sgc_object_id tip;
} answer;

static void note_chunk(answer *a, const sgc_conflict *conflict)
{
    assert_int_equal(conflict->dimension_count, 2);
    memcpy(a->at, conflict->coordinates, sizeof a->at);
    a->ours = model_read_chunk(repository, conflict->path, conflict->our_chunk);
    a->theirs = model_read_chunk(repository, conflict->path, conflict->their_chunk);
}

static void note_json(answer *a, const sgc_conflict *conflict)
{
    const sgc_span spans[] = {conflict->our_json, conflict->their_json, conflict->base_json};
    sgc_buffer *const buffers[] = {&a->our_json, &a->their_json, &a->base_json};
    for (size_t i = 0; i < 3; i++) {
        buffers[i]->size = 0;
        assert_ok(sgc_buffer_append(buffers[i], spans[i].text, spans[i].size, &err));
    }
}

static sgc_status give_answer(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                              sgc_error *error)
{
    answer *a = user;
    a->count++;
    a->kind = conflict->kind;
    a->tip = sgc_snapshot_get(conflict->theirs)->id;
    snprintf(a->path, sizeof a->path, "%s", conflict->path);
    const model_node *node = model_find(&before, conflict->path);
    assert_int_equal(conflict->is_array, node != NULL && node->is_array);
    if (conflict->kind == SGC_CHUNK_DOUBLE_UPDATE) {
        note_chunk(a, conflict);
        merged->chunk = model_write_chunk(repository, conflict->path, &a->value);
    }
    if (conflict->kind == SGC_JSON_DOUBLE_UPDATE) {
        note_json(a, conflict);
        if (a->json.path[0] != '\0')
            model_print_json(&a->json, &merged->json);
    }
    merged->resolution = a->resolution;
    return a->failure == SGC_OK ? SGC_OK : sgc_fail(error, a->failure, "no idea");
}

static void forget(answer *a)
{
    sgc_buffer_free(&a->our_json);
    sgc_buffer_free(&a->their_json);
    sgc_buffer_free(&a->base_json);
}

static void check_json_is(const sgc_buffer *json, model_change put)
{
    sgc_buffer expected = {0};
    model_print_json(&put, &expected);
    assert_int_equal(json->size, expected.size);
    assert_memory_equal(json->data, expected.data, json->size);
    sgc_buffer_free(&expected);
}

/* Both sides set a chunk twice, in the array `path`; what comes of it is `expected`. */
static void merge_chunks(const char *path, sgc_resolution resolution, unsigned char value,
                         unsigned char expected)
{
    answer a = {.resolution = resolution, .value = value};
    const sgc_merge merge = {give_answer, &a};
    model_change ours[] = {SET("", 1, 2, 10), SET("", 3, 3, 11)};
    model_change theirs[] = {SET("", 1, 2, 20), SET("", 0, 1, 21)};
    sgc_session *session = new_session(repository);
    model wanted = before;
    for (size_t i = 0; i < 2; i++) {
        strcpy(ours[i].path, path);
        strcpy(theirs[i].path, path);
        model_do(session, &ours[i]);
        commit_changes(&theirs[i], 1);
        model_apply(&wanted, &ours[i]);
        model_apply(&wanted, &theirs[i]);
    }
    theirs[0].value = 22;
    commit_changes(theirs, 1);
    const sgc_object_id other = tip_id();
    assert_ok(commit_merged(session, &merge, NULL));
    model_find(&wanted, path)->chunks[1][2] = expected;
    check_tip(&wanted);
    model_check_log(repository, ours, 2);
    check_sound(repository);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.kind, SGC_CHUNK_DOUBLE_UPDATE);
    assert_string_equal(a.path, path);
    assert_int_equal(a.at[0], 1);
    assert_int_equal(a.at[1], 2);
    assert_int_equal(a.ours, 10);
    assert_int_equal(a.theirs, 22);
    assert_same_id(&a.tip, &other);
    sgc_session_free(session);
}

#define MERGE_CHUNKS(test, ...)    \
    static void test(void **state) \
    {                              \
        (void)state;               \
        merge_chunks(__VA_ARGS__); \
    }
MERGE_CHUNKS(test_our_chunk, "/a", SGC_OURS, 0, 10)
MERGE_CHUNKS(test_our_chunk_object, "/n", SGC_OURS, 0, 10)
MERGE_CHUNKS(test_their_chunk, "/a", SGC_THEIRS, 0, 22)
MERGE_CHUNKS(test_their_chunk_object, "/n", SGC_THEIRS, 0, 22)
MERGE_CHUNKS(test_merged_chunk, "/a", SGC_MERGED, 32, 32)
MERGE_CHUNKS(test_merged_chunk_object, "/n", SGC_MERGED, 32, 32)
MERGE_CHUNKS(test_merged_chunk_that_is_removed, "/n", SGC_MERGED, 0, 0)

/* Both sides put the document of `path`. */
static void merge_json(model_change ours, model_change theirs, model_change merged,
                       sgc_resolution resolution, model_change expected)
{
    answer a = {.resolution = resolution, .json = merged};
    const sgc_merge merge = {give_answer, &a};
    const model_change chunk = SET("/a", 2, 2, 40);
    sgc_session *session = new_session(repository);
    model_do(session, &ours);
    model_do(session, &chunk);
    commit_changes(&theirs, 1);
    assert_ok(commit_merged(session, &merge, NULL));
    model wanted = before;
    model_apply(&wanted, &theirs);
    model_apply(&wanted, &expected);
    model_apply(&wanted, &chunk);
    check_tip(&wanted);
    model_check_log(repository, &chunk, 1);
    check_sound(repository);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.kind, SGC_JSON_DOUBLE_UPDATE);
    check_json_is(&a.our_json, ours);
    check_json_is(&a.their_json, theirs);
    const model_node *base = model_find(&before, ours.path);
    model_change old = ours;
    old.number = base->number;
    old.height = base->height;
    old.width = base->width;
    check_json_is(&a.base_json, old);
    sgc_session_free(session);
    forget(&a);
}

static void test_documents_of_a_group(void **state)
{
    const model_change ours = PUT_GROUP("/g", 2), theirs = PUT_GROUP("/g", 3),
                       merged = PUT_GROUP("/g", 4);
    merge_json(ours, theirs, (model_change){0}, SGC_OURS, ours);
    rebase_tear_down(state);
    rebase_set_up(state);
    merge_json(ours, theirs, (model_change){0}, SGC_THEIRS, theirs);
    rebase_tear_down(state);
    rebase_set_up(state);
    merge_json(ours, theirs, merged, SGC_MERGED, merged);
}

/* Whoever wins, chunks outside of any of the shapes are lost, and those of all shapes stay. */
static void test_documents_of_an_array(void **state)
{
    const model_change ours = PUT_ARRAY("/a", 2, 4, 6), theirs = PUT_ARRAY("/a", 3, 6, 4),
                       merged = PUT_ARRAY("/a", 4, 5, 5);
    merge_json(ours, theirs, (model_change){0}, SGC_OURS, ours);
    rebase_tear_down(state);
    rebase_set_up(state);
    merge_json(ours, theirs, (model_change){0}, SGC_THEIRS, theirs);
    rebase_tear_down(state);
    rebase_set_up(state);
    merge_json(ours, theirs, merged, SGC_MERGED, merged);
}

/* A merged document may drop chunks that both documents had, and ours with them. */
static void test_merged_document_makes_an_array_smaller(void **state)
{
    (void)state;
    const model_change ours = PUT_ARRAY("/a", 2, 6, 6), theirs = PUT_ARRAY("/a", 3, 6, 6),
                       merged = PUT_ARRAY("/a", 4, 2, 2);
    merge_json(ours, theirs, merged, SGC_MERGED, merged);
}

static void check_answer_is_refused(answer *a, sgc_status expected, const char *message,
                                    const model_change *ours, size_t count)
{
    const sgc_merge merge = {give_answer, a};
    model mine = before;
    sgc_session *session = new_session(repository);
    for (size_t i = 0; i < count; i++) {
        model_change other = ours[i];
        model_do(session, &ours[i]);
        model_apply(&mine, &ours[i]);
        other.number += 50;
        other.value = (unsigned char)(other.value + 50);
        other.verb = other.verb == MODEL_DELETE ? MODEL_GROUP : other.verb;
        commit_changes(&other, 1);
    }
    const sgc_object_id id = tip_id();
    const sgc_snapshot *base = sgc_session_base(session);
    for (size_t i = 0; i < 2; i++) {
        assert_status(expected, commit_merged(session, &merge, NULL));
        assert_message(message);
        assert_ptr_equal(sgc_session_base(session), base);
        model_check_session(&mine, session);
    }
    const sgc_object_id after = tip_id();
    assert_same_id(&after, &id);
    sgc_session_free(session);
    forget(a);
}

static void test_failing_answer(void **state)
{
    (void)state;
    const model_change ours[] = {SET("/a", 1, 1, 9), PUT_GROUP("/g", 9)};
    answer a = {.resolution = SGC_OURS, .failure = SGC_CANCELLED};
    check_answer_is_refused(&a, SGC_CANCELLED, "no idea", ours, 2);
    assert_int_equal(a.count, 2);
}

static void test_failing_answer_with_a_document(void **state)
{
    (void)state;
    const model_change ours[] = {PUT_GROUP("/g", 9)};
    answer a = {.resolution = SGC_MERGED, .json = PUT_GROUP("/g", 8), .failure = SGC_NETWORK};
    check_answer_is_refused(&a, SGC_NETWORK, "no idea", ours, 1);
}

static void test_answers_that_are_not_allowed(void **state)
{
    (void)state;
    const model_change ours[] = {DELETE("/g")};
    answer theirs = {.resolution = SGC_THEIRS}, merged = {.resolution = SGC_MERGED};
    check_answer_is_refused(&theirs, SGC_CONFLICT, "changed the node that is deleted", ours, 1);
    assert_int_equal(theirs.kind, SGC_DELETE_OF_UPDATED);
    check_answer_is_refused(&merged, SGC_CONFLICT, "changed the node that is deleted", ours, 1);
}

/* The first answer is good, the second is not: the first has not been followed either. */
static void test_merged_document_that_is_no_array(void **state)
{
    (void)state;
    const model_change ours[] = {SET("/a", 1, 1, 9), PUT_GROUP("/g", 9), PUT_ARRAY("/n", 9, 4, 4)};
    answer a = {.resolution = SGC_MERGED, .value = 99, .json = PUT_GROUP("/g", 8)};
    check_answer_is_refused(&a, SGC_CORRUPT, "", ours, 3);
    assert_int_equal(a.count, 6);
}

static void test_merged_document_of_another_layout(void **state)
{
    (void)state;
    const model_change ours[] = {PUT_ARRAY("/a", 9, 6, 6)};
    answer a = {.resolution = SGC_MERGED, .json = PUT_ARRAY("/n", 8, 4, 4)};
    check_answer_is_refused(&a, SGC_UNSUPPORTED, "/a", ours, 1);
}

static sgc_status merge_nothing(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                                sgc_error *error)
{
    (void)user;
    (void)conflict;
    (void)error;
    *merged = (sgc_merged){.resolution = SGC_MERGED, .chunk = {.kind = SGC_CHUNK_INLINE}};
    return SGC_OK;
}

static void test_merged_chunk_of_0_bytes(void **state)
{
    (void)state;
    const sgc_merge merge = {merge_nothing, NULL};
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 1, 1, 9));
    commit_change(CHANGE(SET, "/a", 1, 1, 8));
    assert_status(SGC_INVALID, commit_merged(session, &merge, NULL));
    assert_message("0 bytes");
    sgc_session_free(session);
}

/* As many references as before, at the same places: but not the same. */
static void test_manifests_that_say_something_else_are_not_used_again(void **state)
{
    (void)state;
    answer a = {.resolution = SGC_MERGED, .value = 32};
    const sgc_merge merge = {give_answer, &a};
    sgc_session *session = new_session(repository);
    do_change(session, CHANGE(SET, "/a", 2, 3, 9));
    commit_change(CHANGE(SET, "/a", 2, 3, 8));
    assert_status(SGC_CONFLICT, sgc_session_commit(session, "m", NULL, NULL, &err));
    assert_ok(commit_merged(session, &merge, NULL));
    model expected = before;
    apply_change(&expected, CHANGE(SET, "/a", 2, 3, 32));
    check_tip(&expected);
    sgc_session_free(session);
}

/* ---- a growing list, as in the root attributes of a cube ---- */

static sgc_span find_items(sgc_span json)
{
    sgc_span items;
    assert_ok(sgc_json_find(json, "items", &items, &err));
    return items;
}

/* Appends to `out` the elements of `list` that are not in `without`. */
static void append_new_items(sgc_span list, sgc_span without, sgc_buffer *out)
{
    size_t position = 0;
    sgc_span item, other;
    while (sgc_json_next(list, &position, &item, NULL) == SGC_OK) {
        bool found = false;
        size_t at = 0;
        while (!found && sgc_json_next(without, &at, &other, NULL) == SGC_OK)
            found = other.size == item.size && memcmp(other.text, item.text, item.size) == 0;
        if (!found)
            assert_ok(sgc_buffer_print(out, &err, "%s%.*s", out->size > 1 ? "," : "",
                                       (int)item.size, item.text));
    }
}

static sgc_status merge_items(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                              sgc_error *error)
{
    (void)user;
    assert_int_equal(conflict->kind, SGC_JSON_DOUBLE_UPDATE);
    sgc_buffer items = {0};
    const sgc_span none = {"[]", 2}, base = find_items(conflict->base_json);
    SGC_TRY(sgc_buffer_print(&items, error, "["));
    append_new_items(find_items(conflict->their_json), none, &items);
    append_new_items(find_items(conflict->our_json), base, &items);
    SGC_TRY(sgc_buffer_print(&items, error, "]"));
    const sgc_status status =
        sgc_json_replace(conflict->their_json, "items",
                         (sgc_span){(const char *)items.data, items.size}, &merged->json, error);
    sgc_buffer_free(&items);
    merged->resolution = SGC_MERGED;
    return status;
}

static void put_item(sgc_session *session, unsigned item)
{
    sgc_node root;
    sgc_buffer items = {0}, made = {0};
    assert_ok(sgc_session_get_node(session, "/", &root, &err));
    const sgc_span json = {(const char *)root.user_data, root.user_data_size};
    const sgc_span old = find_items(json);
    assert_ok(sgc_buffer_print(&items, &err, "%.*s%s%u]", (int)old.size - 1, old.text,
                               old.size > 2 ? "," : "", item));
    assert_ok(sgc_json_replace(json, "items", (sgc_span){(const char *)items.data, items.size},
                               &made, &err));
    assert_ok(sgc_session_put_group(session, "/", made.data, made.size, &err));
    sgc_buffer_free(&items);
    sgc_buffer_free(&made);
}

static void test_growing_list(void **state)
{
    (void)state;
    enum { WRITERS = 4, ITEMS = 25 };
    static const char first[] = "{\"items\":[],\"other\":1e400}";
    const sgc_merge merge = {merge_items, NULL};
    sgc_session *sessions[WRITERS];
    bool found[WRITERS * ITEMS] = {false};
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", first, strlen(first), &err));
    commit(session);
    for (unsigned i = 0; i < WRITERS; i++)
        sessions[i] = new_session(repository);
    for (unsigned item = 0; item < ITEMS; item++) {
        for (unsigned i = 0; i < WRITERS; i++) {
            put_item(sessions[i], item * WRITERS + i);
            if ((item + i) % 3 == 2) { /* several items in one commit, too */
                assert_ok(commit_merged(sessions[i], &merge, NULL));
                assert_ok(sgc_session_restart(sessions[i], &err));
            }
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        put_item(sessions[i], 1000);
        assert_ok(commit_merged(sessions[i], &merge, NULL));
        sgc_session_free(sessions[i]);
    }
    session = new_session(repository);
    sgc_span item;
    sgc_node root;
    size_t position = 0, count = 0;
    assert_ok(sgc_session_get_node(session, "/", &root, &err));
    const sgc_span items =
        find_items((sgc_span){(const char *)root.user_data, root.user_data_size});
    for (; sgc_json_next(items, &position, &item, NULL) == SGC_OK; count++) {
        const unsigned long number = strtoul(item.text, NULL, 10);
        if (number < 1000) {
            assert_false(found[number]);
            found[number] = true;
        }
    }
    assert_int_equal(count, WRITERS * ITEMS + WRITERS);
    sgc_session_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_our_chunk),
        BOTH(test_our_chunk_object),
        BOTH(test_their_chunk),
        BOTH(test_their_chunk_object),
        BOTH(test_merged_chunk),
        BOTH(test_merged_chunk_object),
        BOTH(test_merged_chunk_that_is_removed),
        BOTH(test_documents_of_a_group),
        BOTH(test_documents_of_an_array),
        BOTH(test_merged_document_makes_an_array_smaller),
        BOTH(test_failing_answer),
        BOTH(test_failing_answer_with_a_document),
        BOTH(test_answers_that_are_not_allowed),
        BOTH(test_merged_document_that_is_no_array),
        BOTH(test_merged_document_of_another_layout),
        BOTH(test_merged_chunk_of_0_bytes),
        BOTH(test_growing_list),
        BOTH(test_manifests_that_say_something_else_are_not_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
