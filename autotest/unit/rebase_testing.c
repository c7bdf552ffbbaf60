#include "autotest/unit/rebase_testing.h"

#include "autotest/unit/counting_store.h"

sgc_object_store *memory;
sgc_repository *repository;
model before;
int rebase_versions[] = {1, 2};

void create_repository(int version)
{
    static const sgc_split_rule rules[] = {{"y", 2}, {"x", 2}};
    const sgc_repository_options options = {rules, 2, version};
    assert_ok(sgc_object_store_memory_new(&memory, &err));
    assert_ok(sgc_repository_create(counting_store_new(memory), &options, &repository, &err));
}

sgc_snapshot *tip(void)
{
    return load_tip(repository);
}

sgc_object_id tip_id(void)
{
    sgc_object_id id;
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, &err));
    return id;
}

void assert_same_id(const sgc_object_id *a, const sgc_object_id *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

void check_tip(model *expected)
{
    sgc_snapshot *snapshot = tip();
    model_check(expected, repository, snapshot);
    sgc_snapshot_unref(snapshot);
}

void commit_changes(const model_change *changes, size_t count)
{
    sgc_session *session = new_session(repository);
    for (size_t i = 0; i < count; i++)
        model_do(session, &changes[i]);
    commit(session);
}

void commit_change(model_change change)
{
    commit_changes(&change, 1);
}

void do_change(sgc_session *session, model_change change)
{
    model_do(session, &change);
}

void apply_change(model *m, model_change change)
{
    model_apply(m, &change);
}

static void make_base(void)
{
    static const model_change changes[] = {
        PUT_GROUP("/", 1),        PUT_ARRAY("/a", 1, 6, 6), SET("/a", 0, 0, 1), SET("/a", 5, 5, 2),
        PUT_ARRAY("/n", 1, 4, 4), SET("/n", 0, 0, 3),       PUT_GROUP("/g", 1),
    };
    const size_t count = sizeof changes / sizeof *changes;
    before = (model){0};
    for (size_t i = 0; i < count; i++)
        model_apply(&before, &changes[i]);
    commit_changes(changes, count);
    check_tip(&before);
}

int rebase_set_up(void **state)
{
    create_repository(*(const int *)*state);
    make_base();
    return 0;
}

int rebase_tear_down(void **state)
{
    (void)state;
    sgc_repository_free(repository);
    sgc_object_store_free(memory);
    return 0;
}

sgc_status commit_merged(sgc_session *session, const sgc_merge *merge, sgc_object_id *id)
{
    return sgc_session_commit_rebased(session, "merged", NULL, merge, id, &err);
}
