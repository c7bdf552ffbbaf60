/* Transactions when there is no memory: whichever allocation fails, a call does all or nothing. */
#include "autotest/unit/store_testing.h"

#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_model.h"

/* ---- allocations that fail ---- */

static size_t countdown; /* of allocations until one fails; 0: none does */
static size_t failures;  /* so far */

static bool fails(void)
{
    const bool now = countdown > 0 && --countdown == 0;
    failures += now;
    return now;
}

#define WRAP(type, name, parameters, arguments)          \
    type __real_##name parameters;                       \
    type __wrap_##name parameters;                       \
    type __wrap_##name parameters                        \
    {                                                    \
        return fails() ? NULL : __real_##name arguments; \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))

/* These rarely need any, so each use of them fails too. */
WRAP(void *, sgc_list_grow, (void *items, size_t count, size_t *capacity, size_t size),
     (items, count, capacity, size))
WRAP(void *, sgc_arena_alloc, (sgc_arena * arena, size_t count, size_t size), (arena, count, size))
WRAP(void *, sgc_arena_copy, (sgc_arena * arena, const void *data, size_t size),
     (arena, data, size))
WRAP(char *, sgc_arena_string, (sgc_arena * arena, const char *text, size_t length),
     (arena, text, length))

/* ---- one transaction ---- */

static const model_change base_changes[] = {
    PUT_GROUP("/", 1),  PUT_ARRAY("/a", 1, 6, 6), SET("/a", 0, 0, 1),
    SET("/a", 5, 5, 2), PUT_ARRAY("/n", 1, 4, 4), SET("/n", 3, 3, 3),
    PUT_GROUP("/g", 1), PUT_GROUP("/g/h", 1),     PUT_ARRAY("/o", 1, 2, 2),
};

static const model_change our_changes[] = {
    SET("/a", 1, 1, 9),
    SET("/a", 5, 1, 9),
    PUT_ARRAY("/n", 9, 2, 2),
    PUT_ARRAY("/n", 8, 4, 4),
    SET("/n", 3, 0, 9),
    PUT_GROUP("/g", 9),
    DELETE("/g"),
    PUT_GROUP("/g", 8),
    PUT_GROUP("/", 9),
    PUT_GROUP("/t", 9),
    PUT_ARRAY("/t/u", 9, 3, 3),
    SET("/t/u", 2, 2, 9),
    SET("/a", 0, 0, 0),
    DELETE("/t/u"),
    PUT_ARRAY("/t/u", 7, 3, 3),
    SET("/t/u", 1, 1, 8),
};

static const model_change their_changes[] = {
    SET("/a", 1, 1, 7),
    SET("/a", 4, 4, 7),
    PUT_GROUP("/", 7),
    PUT_GROUP("/z", 7),
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

typedef struct trial {
    sgc_repository *repository;
    sgc_session *session;
    model mine, theirs; /* the tree as the session would make it; the tip */
    const model_change *change;
    sgc_buffer json; /* of the change */
    sgc_chunk_ref chunk;
    sgc_object_id id;
} trial;

/* Makes a call with the allocation number `at` failing. True when there is no such allocation. */
static bool try_call(trial *t, sgc_status (*call)(trial *t), size_t at, sgc_status *status)
{
    countdown = at;
    *status = call(t);
    const bool was_last = countdown > 0;
    countdown = 0;
    if (*status != SGC_OK)
        assert_status(SGC_NO_MEMORY, *status);
    return was_last;
}

/* Makes a call again and again, with one allocation after the other failing; in between nothing has
 * happened. */
static void survive(trial *t, sgc_status (*call)(trial *t))
{
    sgc_status status = SGC_NO_MEMORY;
    for (size_t at = 1; status != SGC_OK; at++) {
        try_call(t, call, at, &status);
        if (status != SGC_OK)
            model_check_session(&t->mine, t->session);
    }
}

static sgc_status call_change(trial *t)
{
    const model_change *c = t->change;
    const uint32_t at[] = {c->y, c->x};
    switch (c->verb) {
    case MODEL_GROUP:
        return sgc_session_put_group(t->session, c->path, t->json.data, t->json.size, &err);
    case MODEL_ARRAY:
        return sgc_session_put_array(t->session, c->path, t->json.data, t->json.size, &err);
    case MODEL_DELETE:
        return sgc_session_delete(t->session, c->path, &err);
    default:
        return sgc_session_set_chunk(t->session, c->path, at, &t->chunk, &err);
    }
}

static sgc_status call_depend(trial *t)
{
    return sgc_session_depend_on(t->session, "/o", NULL, &err);
}

static sgc_status merge_all(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                            sgc_error *error)
{
    static const unsigned char value = 77;
    static const model_change root = PUT_GROUP("/", 77);
    (void)error;
    merged->resolution = SGC_MERGED;
    const size_t saved = countdown; /* the answer is not what is tested */
    countdown = 0;
    if (conflict->kind == SGC_CHUNK_DOUBLE_UPDATE)
        merged->chunk = model_write_chunk(user, conflict->path, &value);
    else
        model_print_json(&root, &merged->json);
    countdown = saved;
    return SGC_OK;
}

static sgc_status call_commit(trial *t)
{
    const sgc_merge merge = {merge_all, t->repository};
    return sgc_session_commit_rebased(t->session, "m", NULL, &merge, &t->id, &err);
}

/* ---- the tests ---- */

static void make_repository(trial *t, int version)
{
    static const sgc_split_rule rules[] = {{"y", 2}, {"x", 2}};
    const sgc_repository_options options = {rules, 2, version};
    sgc_object_store *store;
    assert_ok(sgc_object_store_memory_new(&store, &err));
    assert_ok(sgc_repository_create(store, &options, &t->repository, &err));
    sgc_session *session = new_session(t->repository);
    for (size_t i = 0; i < COUNT(base_changes); i++) {
        model_do(session, &base_changes[i]);
        model_apply(&t->mine, &base_changes[i]);
    }
    commit(session);
    t->session = new_session(t->repository);
    t->theirs = t->mine;
}

static void change_all(trial *t, bool fail)
{
    for (size_t i = 0; i < COUNT(our_changes); i++) {
        t->change = &our_changes[i];
        t->json.size = 0;
        if (t->change->verb == MODEL_SET)
            t->chunk = model_write_chunk(t->repository, t->change->path, &t->change->value);
        else if (t->change->verb != MODEL_DELETE)
            model_print_json(t->change, &t->json);
        if (fail)
            survive(t, call_change);
        else
            assert_ok(call_change(t));
        model_apply(&t->mine, t->change);
    }
    model_check_session(&t->mine, t->session);
}

static void let_others_commit(trial *t)
{
    sgc_session *session = new_session(t->repository);
    for (size_t i = 0; i < COUNT(their_changes); i++) {
        model_do(session, &their_changes[i]);
        model_apply(&t->theirs, &their_changes[i]);
    }
    commit(session);
}

/* What both sides do, and what was answered. */
static model expected_after(const trial *t)
{
    static const model_change answers[] = {SET("/a", 1, 1, 77), PUT_GROUP("/", 77)};
    model m = t->theirs;
    for (size_t i = 0; i < COUNT(our_changes); i++)
        model_apply(&m, &our_changes[i]);
    for (size_t i = 0; i < COUNT(answers); i++)
        model_apply(&m, &answers[i]);
    return m;
}

static void check_result(trial *t)
{
    sgc_snapshot *tip = load_tip(t->repository);
    model_check(&t->mine, t->repository, tip);
    assert_memory_equal(&sgc_snapshot_get(tip)->id, &t->id, sizeof t->id);
    sgc_snapshot_unref(tip);
    assert_int_equal(count_commits(t->repository), 4);
    check_sound(t->repository);
}

static void end_trial(trial *t)
{
    sgc_session_free(t->session);
    sgc_repository_free(t->repository);
    sgc_buffer_free(&t->json);
}

static void test_changes(void **state)
{
    trial t = {0};
    make_repository(&t, *(const int *)*state);
    failures = 0;
    change_all(&t, true);
    survive(&t, call_depend);
    assert_true(failures > 50);
    let_others_commit(&t);
    const model expected = expected_after(&t);
    assert_ok(call_commit(&t));
    t.mine = expected;
    check_result(&t);
    end_trial(&t);
}

/* True when there is no allocation number `at`. */
static bool try_commit(int version, size_t at)
{
    trial t = {0};
    sgc_status status;
    make_repository(&t, version);
    change_all(&t, false);
    let_others_commit(&t);
    const model expected = expected_after(&t);
    const sgc_snapshot *base = sgc_session_base(t.session);
    const bool was_last = try_call(&t, call_commit, at, &status);
    if (sgc_session_base(t.session) != base) /* it was carried over */
        t.mine = expected;
    if (status != SGC_OK) {
        model_check_session(&t.mine, t.session);
        assert_ok(call_commit(&t));
    }
    t.mine = expected;
    check_result(&t);
    end_trial(&t);
    return was_last;
}

static void test_commits(void **state)
{
    size_t at = 1;
    while (!try_commit(*(const int *)*state, at))
        at++;
    assert_true(at > 100);
}

int main(void)
{
    static int versions[] = {1, 2};
    const struct CMUnitTest tests[] = {
        {"test_changes (version 1)", test_changes, NULL, NULL, versions},
        {"test_changes (version 2)", test_changes, NULL, NULL, versions + 1},
        {"test_commits (version 1)", test_commits, NULL, NULL, versions},
        {"test_commits (version 2)", test_commits, NULL, NULL, versions + 1},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
