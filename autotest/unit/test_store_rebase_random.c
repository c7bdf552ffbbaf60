/* Transactions of several writers at random. A model makes the changes of those that succeed one
 * after the other; the repository must be the same. */
#include "autotest/unit/store_testing.h"

#include <stdio.h>
#include <string.h>

#include "autotest/unit/store_model.h"

enum { MOST_WRITERS = 4, MOST_CHANGES = 64, ACTIONS = 120 };

static const sgc_split_rule rules[] = {{"y", 2}, {"x", 3}};

static const char *const paths[] = {"/",    "/a",   "/b",   "/n",     "/g",    "/g/a",
                                    "/g/n", "/g/h", "/g-h", "/g/h/a", "/g/h/n"};
enum { PATHS = sizeof paths / sizeof *paths };

static const model_change first_changes[] = {
    PUT_GROUP("/", 1),      PUT_ARRAY("/a", 2, 4, 4), PUT_ARRAY("/n", 3, 3, 5),
    PUT_GROUP("/g", 4),     PUT_GROUP("/g/h", 5),     PUT_ARRAY("/g/h/a", 6, 6, 6),
    SET("/a", 1, 1, 9),     SET("/a", 3, 3, 9),       SET("/n", 2, 4, 9),
    SET("/g/h/a", 5, 5, 9),
};

typedef struct writer {
    sgc_session *session;
    model base;
    size_t count;
    model_change changes[MOST_CHANGES];
    unsigned touched;        /* what it changes */
    unsigned others_touched; /* since the base */
} writer;

typedef struct world {
    uint64_t random;
    unsigned next_number; /* of documents, which all differ */
    sgc_repository *repository;
    model tip;
    size_t writer_count;
    writer writers[MOST_WRITERS];
    unsigned merged, refused; /* transactions that were not on the tip */
} world;

static uint32_t below(world *w, uint32_t limit)
{
    return random_below(&w->random, limit);
}

/* ---- one transaction ---- */

/* A bit for each thing below the root, and one for the root itself. */
static unsigned bit_of(const char *path)
{
    static const char *const tops[] = {"/a", "/b", "/n", "/g", "/g-h"};
    unsigned bit = 0;
    while (bit < sizeof tops / sizeof *tops && !model_is_below(path, tops[bit]))
        bit++;
    return 1u << bit;
}

static model view_of(const writer *t)
{
    model m = t->base;
    for (size_t i = 0; i < t->count; i++)
        model_apply(&m, &t->changes[i]);
    return m;
}

static void begin(world *w, writer *t)
{
    t->session = new_session(w->repository);
    t->base = w->tip;
    t->count = 0;
    t->touched = t->others_touched = 0;
}

/* What was done below a deleted node did not happen, and a node that came and went neither. */
static void forget_below(writer *t, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++)
        if (!model_is_below(t->changes[i].path, path))
            t->changes[n++] = t->changes[i];
    t->count = n;
}

static void add(writer *t, const model_change *change)
{
    t->changes[t->count++] = *change;
    t->touched |= bit_of(change->path);
}

/* The chunks that were set before go behind the document, unless it has no place for them: what is
 * set in a transaction stays set although others have made the array smaller before. */
static void add_document(writer *t, const model_change *change)
{
    model_change chunks[MOST_CHANGES];
    size_t n = 0, chunk_count = 0;
    for (size_t i = 0; i < t->count; i++) {
        const model_change *c = &t->changes[i];
        if (c->verb != MODEL_SET || strcmp(c->path, change->path) != 0)
            t->changes[n++] = *c;
        else if (c->y < change->height && c->x < change->width)
            chunks[chunk_count++] = *c;
    }
    t->count = n;
    add(t, change);
    for (size_t i = 0; i < chunk_count; i++)
        add(t, &chunks[i]);
}

static bool has_group_above(model *m, const char *path)
{
    char parent[MODEL_PATH];
    const size_t length = (size_t)(strrchr(path, '/') - path);
    snprintf(parent, sizeof parent, "%.*s", length > 0 ? (int)length : 1, path);
    const model_node *node = model_find(m, parent);
    return node != NULL && !node->is_array;
}

static void put(world *w, writer *t, model *view, const char *path)
{
    const model_node *node = model_find(view, path);
    if (node == NULL && !has_group_above(view, path))
        return;
    const char last = path[strlen(path) - 1];
    const bool is_array = node != NULL ? node->is_array : last != 'h' && below(w, 4) > 0;
    model_change change = {.verb = is_array ? MODEL_ARRAY : MODEL_GROUP};
    strcpy(change.path, path);
    change.number = w->next_number++;
    if (is_array) {
        const bool reshaped = node == NULL || below(w, 2) == 0;
        change.height = reshaped ? 1 + below(w, MODEL_SIDE) : node->height;
        change.width = reshaped ? 1 + below(w, MODEL_SIDE) : node->width;
    }
    model_do(t->session, &change);
    add_document(t, &change);
}

static void set(world *w, writer *t, model *view, const char *path)
{
    const model_node *node = model_find(view, path);
    if (node == NULL || !node->is_array)
        return;
    model_change change = SET("", below(w, node->height), below(w, node->width),
                              (unsigned char)(below(w, 4) == 0 ? 0 : 1 + below(w, 250)));
    strcpy(change.path, path);
    model_do(t->session, &change);
    add(t, &change);
}

static void delete (writer *t, model *view, const char *path)
{
    if (path[1] == '\0' || model_find(view, path) == NULL)
        return;
    model_change change = DELETE("");
    strcpy(change.path, path);
    model_do(t->session, &change);
    forget_below(t, path);
    if (model_find(&t->base, path) != NULL)
        add(t, &change);
}

static void change_something(world *w, writer *t)
{
    if (t->count == MOST_CHANGES)
        return;
    model view = view_of(t);
    const char *path = paths[below(w, PATHS)];
    const uint32_t verb = below(w, 10);
    if (verb < 2)
        put(w, t, &view, path);
    else if (verb < 3)
        delete (t, &view, path);
    else
        set(w, t, &view, path);
}

/* ---- the ends of transactions ---- */

static sgc_object_id tip_of(const world *w)
{
    sgc_object_id id;
    assert_ok(sgc_repository_resolve(w->repository, SGC_REF_BRANCH, "main", &id, &err));
    return id;
}

static void check_tip(world *w)
{
    sgc_snapshot *snapshot = load_tip(w->repository);
    model_check(&w->tip, w->repository, snapshot);
    sgc_snapshot_unref(snapshot);
}

static void check_intact(const writer *t)
{
    const model view = view_of(t);
    model_check_session(&view, t->session);
}

static void note_success(world *w, writer *t, bool published)
{
    for (size_t i = 0; i < t->count; i++)
        model_apply(&w->tip, &t->changes[i]);
    check_tip(w);
    if (published)
        model_check_log(w->repository, t->changes, t->count);
    for (size_t i = 0; i < w->writer_count; i++)
        w->writers[i].others_touched |= t->touched;
    sgc_session_free(t->session);
    begin(w, t);
}

static void try_commit(world *w, writer *t)
{
    static const sgc_merge ours = {take_ours, NULL};
    const sgc_object_id before = tip_of(w);
    const bool is_moved =
        sgc_object_id_compare(&before, &sgc_snapshot_get(sgc_session_base(t->session))->id) != 0;
    const bool is_plain = below(w, 4) == 0;
    sgc_object_id id;
    const sgc_status status =
        is_plain ? sgc_session_commit(t->session, "m", NULL, &id, &err)
                 : sgc_session_commit_rebased(t->session, "m", NULL,
                                              below(w, 2) == 0 ? &ours : NULL, &id, &err);
    if (t->count == 0) {
        assert_int_equal(status, SGC_INVALID);
    } else if (status == SGC_OK) {
        assert_true(!is_plain || !is_moved);
        w->merged += is_moved;
        note_success(w, t, sgc_object_id_compare(&id, &before) != 0);
    } else {
        const sgc_object_id after = tip_of(w);
        assert_int_equal(status, SGC_CONFLICT);
        assert_true(is_moved);
        assert_true(is_plain || (t->touched & t->others_touched) != 0);
        assert_memory_equal(&after, &before, sizeof before);
        check_intact(t);
        w->refused++;
    }
}

/* A change that has become nothing stays nothing. */
static void try_rebase(world *w, writer *t)
{
    static const sgc_merge ours = {take_ours, NULL};
    if (sgc_session_rebase(t->session, below(w, 2) == 0 ? &ours : NULL, &err) == SGC_OK) {
        model view = w->tip;
        size_t n = 0;
        for (size_t i = 0; i < t->count; i++)
            if (model_apply(&view, &t->changes[i]))
                t->changes[n++] = t->changes[i];
        t->count = n;
        t->base = w->tip;
        t->others_touched = 0;
    } else {
        assert_true((t->touched & t->others_touched) != 0);
    }
    check_intact(t);
}

static void restart(world *w, writer *t)
{
    assert_ok(sgc_session_restart(t->session, &err));
    t->base = w->tip;
    t->count = 0;
    t->touched = t->others_touched = 0;
    check_intact(t);
}

static void act(world *w)
{
    writer *t = &w->writers[below(w, (uint32_t)w->writer_count)];
    const uint32_t action = below(w, 20);
    if (action < 14)
        change_something(w, t);
    else if (action < 17)
        try_commit(w, t);
    else if (action < 19)
        try_rebase(w, t);
    else
        restart(w, t);
}

/* ---- one world for each seed ---- */

static void create(world *w, int version)
{
    const sgc_repository_options options = {rules, 2, version};
    sgc_object_store *store;
    assert_ok(sgc_object_store_memory_new(&store, &err));
    assert_ok(sgc_repository_create(store, &options, &w->repository, &err));
    sgc_session *session = new_session(w->repository);
    for (size_t i = 0; i < sizeof first_changes / sizeof *first_changes; i++) {
        model_do(session, &first_changes[i]);
        model_apply(&w->tip, &first_changes[i]);
    }
    commit(session);
    check_tip(w);
}

static void try_seed(uint64_t seed, int version, unsigned *merged, unsigned *refused)
{
    static world w;
    w = (world){.random = seed, .next_number = 100};
    note_trial("seed %u of version %d", (unsigned)seed, version);
    create(&w, version);
    w.writer_count = 2 + below(&w, MOST_WRITERS - 1);
    for (size_t i = 0; i < w.writer_count; i++)
        begin(&w, &w.writers[i]);
    for (int i = 0; i < ACTIONS; i++)
        act(&w);
    for (size_t i = 0; i < w.writer_count; i++)
        sgc_session_free(w.writers[i].session);
    check_sound(w.repository);
    sgc_repository_free(w.repository);
    *merged += w.merged;
    *refused += w.refused;
    forget_trial();
}

static void try_seeds(int version)
{
    enum { SEEDS = TIMES(300, 40) };
    unsigned merged = 0, refused = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        try_seed(seed, version, &merged, &refused);
    print_message("%u transactions were rebased, %u refused\n", merged, refused);
    assert_true(merged > SEEDS);
    assert_true(refused > SEEDS);
}

static void test_version_1(void **state)
{
    (void)state;
    try_seeds(1);
}

static void test_version_2(void **state)
{
    (void)state;
    try_seeds(2);
}

#define TEST(test) cmocka_unit_test_teardown(test, say_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_version_1), TEST(test_version_2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
