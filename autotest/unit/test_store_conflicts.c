/* Every change against every other that was faster (format guide 15). */
#include "autotest/unit/store_testing.h"

#include <string.h>

#include "autotest/unit/store_model.h"

enum { MOST_CHANGES = 8, BASE = 1, OURS = 2, THEIRS = 3 };

static const sgc_split_rule rules[] = {{"y", 2}, {"x", 2}};

/* ---- the tree before ---- */

static const model_change base_changes[] = {
    PUT_GROUP("/", BASE), PUT_ARRAY("/a", BASE, 4, 4), SET("/a", 0, 0, 1),
    SET("/a", 1, 1, 2),   SET("/a", 3, 3, 3),          PUT_ARRAY("/n", BASE, 4, 4),
    SET("/n", 0, 0, 4),   PUT_GROUP("/g", BASE),       PUT_ARRAY("/g/c", BASE, 2, 2),
    SET("/g/c", 0, 0, 5), PUT_GROUP("/h", BASE),
};

/* ---- what both sides do: the numbers of documents and values of chunks are those of the side ----
 */

typedef struct transaction {
    const char *name;
    size_t count;
    model_change changes[MOST_CHANGES];
} transaction;

static const transaction transactions[] = {
    {"a: make group /t", 1, {PUT_GROUP("/t", 0)}},
    {"b: make array /t", 2, {PUT_ARRAY("/t", 0, 2, 2), SET("/t", 0, 0, 1)}},
    {"c: make group /g/n", 1, {PUT_GROUP("/g/n", 0)}},
    {"d: make array /h/n", 2, {PUT_ARRAY("/h/n", 0, 2, 2), SET("/h/n", 1, 1, 1)}},
    {"e: delete group /h", 1, {DELETE("/h")}},
    {"f: delete tree /g", 1, {DELETE("/g")}},
    {"g: delete array /a", 1, {DELETE("/a")}},
    {"h: update group /g", 1, {PUT_GROUP("/g", 0)}},
    {"i: update group /h", 1, {PUT_GROUP("/h", 0)}},
    {"j: update array /a", 1, {PUT_ARRAY("/a", 0, 4, 4)}},
    {"k: enlarge /a", 2, {PUT_ARRAY("/a", 0, 6, 4), SET("/a", 5, 0, 1)}},
    {"l: shrink /a", 1, {PUT_ARRAY("/a", 0, 2, 4)}},
    {"m: set /a[1,1]", 1, {SET("/a", 1, 1, 1)}},
    {"n: set /a[2,2]", 1, {SET("/a", 2, 2, 1)}},
    {"o: remove /a[1,1]", 1, {SET("/a", 1, 1, 0)}},
    {"p: make /a anew", 3, {DELETE("/a"), PUT_ARRAY("/a", 0, 4, 4), SET("/a", 1, 1, 1)}},
    {"q: make /g anew", 2, {DELETE("/g"), PUT_GROUP("/g", 0)}},
    {"r: make an array of /h", 2, {DELETE("/h"), PUT_ARRAY("/h", 0, 2, 2)}},
    {"s: set /g/c[0,0]", 1, {SET("/g/c", 0, 0, 1)}},
    {"t: update array /g/c", 1, {PUT_ARRAY("/g/c", 0, 2, 2)}},
    {"u: set /n[0,0]", 1, {SET("/n", 0, 0, 1)}},
    {"v: make and delete /t, set /n[1,1]", 1, {SET("/n", 1, 1, 1)}},
};

enum {
    COUNT = sizeof transactions / sizeof *transactions,
    UPDATE = 'j' - 'a',
    ENLARGE = 'k' - 'a',
    SHRINK = 'l' - 'a',
    SET_2_2 = 'n' - 'a',
    IN_VAIN = 'v' - 'a',
};

/* ---- what must come of it ---- */

static const struct outcome {
    char letter;
    bool is_asked;
    sgc_conflict_kind kind;
    const char *message;
} outcomes[] = {
    {'E', false, SGC_NEW_NODE_EXISTS, "others have made a node there"},
    {'P', false, SGC_NEW_NODE_WITHOUT_GROUP, "its group was deleted by others"},
    {'T', false, SGC_DELETE_OF_GROUP_WITH_NEW_NODES, "others have made nodes in the group"},
    {'J', true, SGC_JSON_DOUBLE_UPDATE, "others have changed its zarr.json too"},
    {'j', false, SGC_JSON_UPDATE_OF_DELETED, "deleted the node whose zarr.json is changed"},
    {'c', false, SGC_CHUNKS_OF_DELETED_ARRAY, "deleted the array whose chunks are changed"},
    {'u', true, SGC_CHUNKS_OF_UPDATED_ARRAY, "changed the zarr.json of the array"},
    {'C', true, SGC_CHUNK_DOUBLE_UPDATE, "others have changed the same chunk"},
    {'D', true, SGC_DELETE_OF_UPDATED, "changed the node that is deleted"},
    {'R', false, SGC_RESHAPE_OF_UPDATED_ARRAY, "chunks of the array that is reshaped"},
};

/* Rows are ours, columns theirs. '.': both get their way, '=': nothing is left to do. */
static const char *const table[] = {
    /*   abcdefghijklmnopqrstuv */
    /*a*/ "EE....................",
    /*b*/ "EE....................",
    /*c*/ "..E..P................",
    /*d*/ "...EP............P....",
    /*e*/ "...T=...D........E....",
    /*f*/ "..T..=.D........E.DD..",
    /*g*/ "......=..DDDDDDE......",
    /*h*/ ".....j.J........j.....",
    /*i*/ "....j...J........j....",
    /*j*/ "......j..JJJ...j......",
    /*k*/ "......j..JRJRRRj......",
    /*l*/ "......j..JRJRRRj......",
    /*m*/ "......c..uuuC.Cc......",
    /*n*/ "......c..uuu.C.c......",
    /*o*/ "......c..uuuC.Cc......",
    /*p*/ ".........DDDDDDE......",
    /*q*/ "..T....D........E.DD..",
    /*r*/ "...T....D........E....",
    /*s*/ ".....c..........c.Cu..",
    /*t*/ ".....j..........j..J..",
    /*u*/ "....................C.",
    /*v*/ ".....................C",
};

static const struct outcome *find_outcome(char letter)
{
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (outcomes[i].letter == letter)
            return &outcomes[i];
    return NULL;
}

/* What comes of it when all questions are answered alike. */
static char answered(size_t ours, size_t theirs, sgc_resolution answer)
{
    const char letter = table[ours][theirs];
    if (answer == SGC_THEIRS && strchr("JC", letter) != NULL)
        return '=';
    if (answer != SGC_OURS || strchr("JCuD", letter) == NULL)
        return letter;
    if (ours == UPDATE && theirs == ENLARGE)
        return 'R'; /* their new chunks would have no place */
    return ours == SET_2_2 && theirs == SHRINK ? '=' : '.'; /* ours has none */
}

/* ---- one pair ---- */

typedef struct question {
    sgc_resolution answer;
    size_t count;
    sgc_conflict_kind kind;
} question;

static sgc_status answer(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                         sgc_error *error)
{
    (void)error;
    question *q = user;
    q->count++;
    q->kind = conflict->kind;
    merged->resolution = q->answer;
    return SGC_OK;
}

typedef struct pair {
    sgc_repository *repository;
    model base, after; /* without and with what they did */
    sgc_object_id tip;
    transaction mine;
    sgc_session *session;
    question question;
    sgc_merge merge;
} pair;

static transaction of_side(size_t number, unsigned side)
{
    transaction t = transactions[number];
    for (size_t i = 0; i < t.count; i++) {
        t.changes[i].number = side;
        t.changes[i].value = (unsigned char)(t.changes[i].value * side * 10);
    }
    return t;
}

static void do_all(sgc_session *session, const transaction *t)
{
    if (t->name == transactions[IN_VAIN].name) {
        model_do(session, &(model_change)PUT_GROUP("/t", OURS));
        model_do(session, &(model_change)DELETE("/t"));
    }
    for (size_t i = 0; i < t->count; i++)
        model_do(session, &t->changes[i]);
}

static void apply_all(model *m, const transaction *t)
{
    for (size_t i = 0; i < t->count; i++)
        model_apply(m, &t->changes[i]);
}

static sgc_object_id tip_of(sgc_repository *repository)
{
    sgc_object_id id;
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, &err));
    return id;
}

static void check_tip(pair *p, model *expected)
{
    sgc_snapshot *snapshot = load_tip(p->repository);
    model_check(expected, p->repository, snapshot);
    sgc_snapshot_unref(snapshot);
}

static void make_base(pair *p)
{
    sgc_session *session = new_session(p->repository);
    for (size_t i = 0; i < sizeof base_changes / sizeof *base_changes; i++) {
        model_do(session, &base_changes[i]);
        model_apply(&p->base, &base_changes[i]);
    }
    commit(session);
    check_tip(p, &p->base);
}

static void begin_pair(pair *p, int version, size_t ours, size_t theirs, sgc_resolution reply)
{
    const sgc_repository_options options = {rules, 2, version};
    const transaction other = of_side(theirs, THEIRS);
    sgc_object_store *store;
    *p = (pair){.question = {.answer = reply}, .mine = of_side(ours, OURS)};
    p->merge = (sgc_merge){answer, &p->question};
    assert_ok(sgc_object_store_memory_new(&store, &err));
    assert_ok(sgc_repository_create(store, &options, &p->repository, &err));
    make_base(p);
    p->session = new_session(p->repository);
    sgc_session *faster = new_session(p->repository);
    do_all(faster, &other);
    commit(faster);
    p->after = p->base;
    apply_all(&p->after, &other);
    check_tip(p, &p->after);
    model_check_log(p->repository, other.changes, other.count);
    p->tip = tip_of(p->repository);
    do_all(p->session, &p->mine);
}

static void end_pair(pair *p)
{
    check_sound(p->repository);
    sgc_session_free(p->session);
    sgc_repository_free(p->repository);
}

static void check_merged(pair *p)
{
    sgc_object_id id;
    assert_ok(sgc_session_commit_rebased(p->session, "ours", NULL, &p->merge, &id, &err));
    const sgc_object_id tip = tip_of(p->repository);
    assert_memory_equal(&id, &tip, sizeof id);
    apply_all(&p->after, &p->mine);
    check_tip(p, &p->after);
    model_check_log(p->repository, p->mine.changes, p->mine.count);
    assert_int_equal(count_objects(sgc_repository_store(p->repository), "snapshots/"), 4);
}

static void check_nothing_left(pair *p)
{
    sgc_object_id id;
    assert_ok(sgc_session_commit_rebased(p->session, "ours", NULL, &p->merge, &id, &err));
    assert_memory_equal(&id, &p->tip, sizeof id);
    check_tip(p, &p->after);
    assert_int_equal(count_objects(sgc_repository_store(p->repository), "snapshots/"), 3);
}

/* Nothing is published and the transaction is what it was, as often as it is tried; it can be
 * begun anew. */
static void check_refused(pair *p, const struct outcome *expected)
{
    const sgc_snapshot *base = sgc_session_base(p->session);
    sgc_object_id tip, id = {{0}};
    model mine = p->base;
    apply_all(&mine, &p->mine);
    for (int i = 0; i < 2; i++) {
        assert_status(SGC_CONFLICT,
                      sgc_session_commit_rebased(p->session, "m", NULL, &p->merge, &id, &err));
        assert_message(expected->message);
        assert_int_equal(id.bytes[0], 0);
        model_check_session(&mine, p->session);
        assert_ptr_equal(sgc_session_base(p->session), base);
    }
    assert_status(SGC_CONFLICT, sgc_session_commit(p->session, "m", NULL, NULL, &err));
    tip = tip_of(p->repository);
    assert_memory_equal(&tip, &p->tip, sizeof tip);

    const model_change other = PUT_GROUP("/z", OURS);
    assert_ok(sgc_session_restart(p->session, &err));
    model_check_session(&p->after, p->session);
    model_do(p->session, &other);
    assert_ok(sgc_session_commit(p->session, "another", NULL, NULL, &err));
    model_apply(&p->after, &other);
    check_tip(p, &p->after);
}

static void try_pair(int version, size_t ours, size_t theirs, sgc_resolution reply)
{
    const char letter = answered(ours, theirs, reply), first = table[ours][theirs];
    const struct outcome *asked = find_outcome(first);
    pair p;
    note_trial("%s; they: %s; answer %d", transactions[ours].name, transactions[theirs].name,
               (int)reply);
    begin_pair(&p, version, ours, theirs, reply);
    if (letter == '.')
        check_merged(&p);
    else if (letter == '=')
        check_nothing_left(&p);
    else
        check_refused(&p, find_outcome(letter));
    assert_int_equal(p.question.count > 0, asked != NULL && asked->is_asked);
    if (p.question.count > 0)
        assert_int_equal(p.question.kind, asked->kind);
    end_pair(&p);
    forget_trial();
}

static void try_all(int version, sgc_resolution reply)
{
    for (size_t ours = 0; ours < COUNT; ours++) {
        assert_int_equal(strlen(table[ours]), COUNT);
        for (size_t theirs = 0; theirs < COUNT; theirs++)
            if (reply == SGC_UNRESOLVED || strchr("JCuD", table[ours][theirs]) != NULL)
                try_pair(version, ours, theirs, reply);
    }
}

static void test_unanswered(void **state)
{
    try_all(*(const int *)*state, SGC_UNRESOLVED);
}

static void test_ours(void **state)
{
    try_all(*(const int *)*state, SGC_OURS);
}

static void test_theirs(void **state)
{
    try_all(*(const int *)*state, SGC_THEIRS);
}

#define BOTH(test)                                                \
    {#test " (version 1)", test, NULL, say_trial, versions},      \
    {                                                             \
#test " (version 2)", test, NULL, say_trial, versions + 1 \
    }

int main(void)
{
    static int versions[] = {1, 2};
    const struct CMUnitTest tests[] = {
        BOTH(test_unanswered),
        BOTH(test_ours),
        BOTH(test_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
