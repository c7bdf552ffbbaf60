/* Expiration in both versions (format guide 18.1, 18.2). */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/codec_testing.h"
#include "autotest/unit/golden.h"
#include "store/icechunk/maintenance.h"

enum { MOST_COMMITS = 16 };

static sgc_expire_result expire(place *p, const sgc_expire_options *options)
{
    sgc_repository *repository = place_open(p);
    sgc_expire_result result;
    assert_ok(sgc_repository_expire(repository, options, &result, &err));
    sgc_repository_free(repository);
    return result;
}

static void check_history(place *p, sgc_ref_kind kind, const char *name, const char *expected)
{
    sgc_repository *repository = place_open(p);
    sgc_object_id id;
    assert_ok(sgc_repository_resolve(repository, kind, name, &id, &err));
    char *history = describe_history(repository, &id);
    assert_string_equal(history, expected);
    free(history);
    sgc_repository_free(repository);
}

static void check_result(sgc_expire_result result, size_t snapshots, size_t branches, size_t tags)
{
    assert_int_equal(result.snapshots, snapshots);
    assert_int_equal(result.branches, branches);
    assert_int_equal(result.tags, tags);
}

/* ---- a line of commits ---- */

static const made_commit line[] = {
    {"root", -1, 10, NULL}, {"a", 0, 20, NULL}, {"b", 1, 30, NULL},
    {"c", 2, 40, NULL},     {"d", 3, 50, NULL},
};
static const made_ref line_refs[] = {{SGC_REF_BRANCH, "main", 4}};

/* What is exactly as old as the limit stays; so does the tip. */
static void test_a_line(void **state)
{
    const place *kind = *state;
    static const struct {
        uint64_t older_than;
        size_t expired;
        const char *history;
    } cases[] = {
        {0, 0, "d c b a root"}, {20, 0, "d c b a root"},   {21, 1, "d c b root"},
        {30, 1, "d c b root"},  {31, 2, "d c root"},       {50, 3, "d root"},
        {51, 3, "d root"},      {UINT64_MAX, 3, "d root"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        place p = {.version = kind->version};
        assert_ok(sgc_object_store_memory_new(&p.store, &err));
        make_history(&p, line, 5, line_refs, 1);
        const sgc_expire_options options = {.older_than = cases[i].older_than};
        check_result(expire(&p, &options), cases[i].expired, 0, 0);
        check_history(&p, SGC_REF_BRANCH, "main", cases[i].history);
        contents before = contents_take(&p);
        check_result(expire(&p, &options), 0, 0, 0);
        check_unchanged(&p, &before);
        place_clear(&p);
    }
}

static void test_no_object_is_removed(void **state)
{
    place *p = *state;
    make_history(p, line, 5, line_refs, 1);
    contents before = contents_take(p);
    expire(p, &(sgc_expire_options){.older_than = 35});
    contents after = contents_take(p);
    for (size_t i = 0; i < before.count; i++)
        assert_non_null(contents_find(&after, before.files[i].key));
    assert_same_contents(&before, &after, "transactions/");
    if (p->version == 2)
        assert_same_contents(&before, &after, "snapshots/");
    assert_int_equal(after.count, before.count + (p->version == 2));
    contents_free(&before);
    contents_free(&after);
}

static void test_dry_run(void **state)
{
    place *p = *state;
    static const made_ref refs[] = {{SGC_REF_BRANCH, "b", 2},
                                    {SGC_REF_BRANCH, "main", 4},
                                    {SGC_REF_TAG, "t", 1},
                                    {SGC_REF_TAG, "u", 3}};
    sgc_expire_options options = {
        .older_than = 35, .delete_branches = true, .delete_tags = true, .dry_run = true};
    make_history(p, line, 5, refs, 4);
    contents before = contents_take(p);
    const sgc_expire_result dry = expire(p, &options);
    check_unchanged(p, &before);
    options.dry_run = false;
    const sgc_expire_result wet = expire(p, &options);
    check_result(dry, 2, 1, 1);
    check_result(wet, 2, 1, 1);
}

/* ---- branches and tags ---- */

/* root - a - b - c - d main, c - e - f old, b - g tag */
static const made_commit tree[] = {
    {"root", -1, 10, NULL}, {"a", 0, 20, NULL}, {"b", 1, 30, NULL}, {"c", 2, 40, NULL},
    {"d", 3, 100, NULL},    {"e", 3, 50, NULL}, {"f", 5, 60, NULL}, {"g", 2, 35, NULL},
};
static const made_ref tree_refs[] = {{SGC_REF_BRANCH, "main", 4},
                                     {SGC_REF_BRANCH, "old", 6},
                                     {SGC_REF_TAG, "at-root", 0},
                                     {SGC_REF_TAG, "at-b", 2},
                                     {SGC_REF_TAG, "g", 7}};

/* The references of a tree by kind and name. */
static void make_tree(place *p)
{
    made_ref refs[5];
    memcpy(refs, tree_refs, sizeof refs);
    const made_ref at_b = refs[3];
    refs[3] = refs[2];
    refs[2] = at_b;
    make_history(p, tree, 8, refs, 5);
}

/* In version 2 a commit with a tag of its own stays in all histories, where its child does too. */
static void test_tips_stay(void **state)
{
    place *p = *state;
    const bool both = p->version == 2;
    make_tree(p);
    expire(p, &(sgc_expire_options){.older_than = 90});
    check_history(p, SGC_REF_BRANCH, "main", "d root");
    check_history(p, SGC_REF_BRANCH, "old", "f root");
    check_history(p, SGC_REF_TAG, "at-b", "b root");
    check_history(p, SGC_REF_TAG, "g", both ? "g b root" : "g root");
    check_history(p, SGC_REF_TAG, "at-root", "root");
}

static void test_shared_history(void **state)
{
    place *p = *state;
    const bool both = p->version == 2;
    make_tree(p);
    expire(p, &(sgc_expire_options){.older_than = 38});
    check_history(p, SGC_REF_BRANCH, "main", both ? "d c b root" : "d c root");
    check_history(p, SGC_REF_BRANCH, "old", both ? "f e c b root" : "f e c root");
    check_history(p, SGC_REF_TAG, "at-b", "b root");
    check_history(p, SGC_REF_TAG, "g", both ? "g b root" : "g root");
}

static void check_absent(place *p, sgc_ref_kind kind, const char *name)
{
    sgc_repository *repository = place_open(p);
    sgc_object_id id;
    assert_status(SGC_NOT_FOUND, sgc_repository_resolve(repository, kind, name, &id, &err));
    sgc_repository_free(repository);
}

static void test_expired_tags_are_deleted(void **state)
{
    place *p = *state;
    make_tree(p);
    const sgc_expire_options options = {.older_than = 35, .delete_tags = true};
    const sgc_expire_result result = expire(p, &options);
    /* As with the official library, the root protects its references in version 2 only. */
    assert_int_equal(result.tags, p->version == 2 ? 1 : 2);
    assert_int_equal(result.branches, 0);
    check_absent(p, SGC_REF_TAG, "at-b");
    check_history(p, SGC_REF_TAG, "g", "g root");
    if (p->version == 2)
        check_history(p, SGC_REF_TAG, "at-root", "root");
    else
        check_absent(p, SGC_REF_TAG, "at-root");
    check_history(p, SGC_REF_BRANCH, "main", "d c root");
    check_history(p, SGC_REF_BRANCH, "old", "f e c root");
    sgc_repository *repository = place_open(p);
    const sgc_object_id tip = tip_of(repository, "main");
    assert_status(SGC_EXISTS,
                  sgc_repository_create_ref(repository, SGC_REF_TAG, "at-b", &tip, &err));
    sgc_repository_free(repository);
}

static void test_expired_branches_are_deleted(void **state)
{
    place *p = *state;
    make_tree(p);
    const sgc_expire_options options = {.older_than = 1000, .delete_branches = true};
    const sgc_expire_result result = expire(p, &options);
    assert_int_equal(result.branches, 1);
    assert_int_equal(result.tags, 0);
    check_absent(p, SGC_REF_BRANCH, "old");
    check_history(p, SGC_REF_BRANCH, "main", "d root");
    check_history(p, SGC_REF_TAG, "g", p->version == 2 ? "g b root" : "g root");
}

/* ---- against a model ---- */

typedef struct model_ref {
    made_ref ref;
    bool deleted;
} model_ref;

typedef struct model {
    size_t count, ref_count;
    made_commit commits[MOST_COMMITS];
    int parents[MOST_COMMITS];
    bool gone[MOST_COMMITS]; /* version 2: not listed */
    size_t pruned_count[MOST_COMMITS];
    size_t pruned[MOST_COMMITS][4 * MOST_COMMITS]; /* version 2 */
    model_ref refs[8];
    size_t expired;
} model;

static bool goes(const model *m, const model_ref *r, const sgc_expire_options *options)
{
    const size_t tip = r->ref.commit;
    const bool may = r->ref.kind == SGC_REF_TAG
                         ? options->delete_tags
                         : options->delete_branches && strcmp(r->ref.name, "main") != 0;
    return may && m->commits[tip].time < options->older_than;
}

/* One reference after the other: the oldest on its way that is young enough, else its tip, gets the
 * root as parent. */
static void expire_model_1(model *m, const sgc_expire_options *options)
{
    bool expired[MOST_COMMITS] = {false};
    for (int kind = SGC_REF_TAG; kind >= SGC_REF_BRANCH; kind--)
        for (size_t r = 0; r < m->ref_count; r++) {
            if ((int)m->refs[r].ref.kind != kind || m->refs[r].deleted)
                continue;
            if (goes(m, &m->refs[r], options)) {
                m->refs[r].deleted = true;
                continue;
            }
            int edge = (int)m->refs[r].ref.commit, root = edge;
            for (int i = edge; i >= 0; i = m->parents[i]) {
                root = i;
                if (m->commits[i].time >= options->older_than)
                    edge = i;
            }
            if (edge == root)
                continue;
            for (int i = m->parents[edge]; i != root; i = m->parents[i])
                expired[i] = true;
            m->parents[edge] = root;
        }
    m->expired = 0;
    for (size_t i = 0; i < m->count; i++)
        m->expired += expired[i];
}

/* The numbers of all that lies between a commit and the root, the oldest first, each behind what
 * was pruned at it before. */
static void prune(model *m, const model *before, size_t i)
{
    size_t n = 0, chain[MOST_COMMITS], length = 0;
    int at = before->parents[i];
    for (; before->parents[at] >= 0; at = before->parents[at])
        chain[length++] = (size_t)at;
    while (length-- > 0) {
        for (size_t k = 0; k < before->pruned_count[chain[length]]; k++)
            m->pruned[i][n++] = before->pruned[chain[length]][k];
        m->pruned[i][n++] = chain[length];
    }
    for (size_t k = 0; k < before->pruned_count[i]; k++)
        m->pruned[i][n++] = before->pruned[i][k];
    m->pruned_count[i] = n;
    m->parents[i] = at;
}

static void expire_model_2(model *m, const sgc_expire_options *options)
{
    const model before = *m;
    bool tips[MOST_COMMITS] = {false};
    m->expired = 0;
    for (size_t r = 0; r < m->ref_count; r++) {
        const size_t tip = m->refs[r].ref.commit;
        tips[tip] |= !m->refs[r].deleted && (m->parents[tip] < 0 || !goes(m, &m->refs[r], options));
    }
    for (size_t r = 0; r < m->ref_count; r++)
        m->refs[r].deleted |= !tips[m->refs[r].ref.commit];
    for (size_t i = 0; i < m->count; i++)
        if (!m->gone[i] && m->parents[i] >= 0 && m->commits[i].time < options->older_than &&
            !tips[i]) {
            m->gone[i] = true;
            m->expired++;
        }
    for (size_t i = 0; i < m->count; i++)
        if (!m->gone[i] && m->parents[i] >= 0 && m->gone[m->parents[i]])
            prune(m, &before, i);
}

static void check_model_1(place *p, const model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        sgc_snapshot *snapshot;
        const sgc_object_id id = made_id(i);
        assert_ok(sgc_snapshot_load(p->store, &id, &snapshot, &err));
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        assert_int_equal(data->has_parent, m->parents[i] >= 0);
        const sgc_object_id parent = made_id((size_t)m->parents[i]);
        if (data->has_parent)
            assert_memory_equal(&data->parent, &parent, sizeof parent);
        sgc_snapshot_unref(snapshot);
    }
}

static void check_model_2(place *p, const model *m)
{
    sgc_repo_info info = load_info(p);
    size_t listed = 0;
    for (size_t i = 0; i < m->count; i++) {
        const sgc_object_id id = made_id(i);
        const sgc_snapshot_entry *entry = sgc_repo_info_find_snapshot(&info, &id);
        assert_int_equal(entry == NULL, m->gone[i]);
        if (entry == NULL)
            continue;
        listed++;
        assert_int_equal(entry->parent >= 0, m->parents[i] >= 0);
        const sgc_object_id parent = made_id((size_t)m->parents[i]);
        if (entry->parent >= 0)
            assert_memory_equal(&info.data.snapshots[entry->parent].id, &parent, sizeof parent);
        assert_int_equal(entry->pruned_log_count, m->pruned_count[i]);
        for (size_t k = 0; k < entry->pruned_log_count; k++) {
            const sgc_object_id log = made_id(m->pruned[i][k]);
            assert_memory_equal(&entry->pruned_logs[k], &log, sizeof log);
        }
    }
    assert_int_equal(info.data.snapshot_count, listed);
    sgc_repo_info_clear(&info);
}

static void check_model_refs(place *p, const model *m)
{
    sgc_repository *repository = place_open(p);
    for (size_t r = 0; r < m->ref_count; r++) {
        const made_ref *ref = &m->refs[r].ref;
        const sgc_object_id expected = made_id(ref->commit);
        sgc_object_id id;
        assert_status(m->refs[r].deleted ? SGC_NOT_FOUND : SGC_OK,
                      sgc_repository_resolve(repository, ref->kind, ref->name, &id, &err));
        if (!m->refs[r].deleted)
            assert_memory_equal(&id, &expected, sizeof id);
    }
    sgc_repository_free(repository);
}

/* Times mostly grow, as they should. */
static void make_random(model *m, uint64_t *seed)
{
    static const char *const names[] = {"a", "b", "main", "s", "t"};
    *m = (model){.count = 2 + random_below(seed, MOST_COMMITS - 2), .ref_count = 5};
    for (size_t i = 0; i < m->count; i++) {
        const int parent = i == 0 ? -1 : (int)random_below(seed, (uint32_t)i);
        const bool wrong = random_below(seed, 10) == 0;
        const uint64_t least = parent >= 0 && !wrong ? m->commits[parent].time : 0;
        m->commits[i] = (made_commit){"x", parent, least + 1 + random_below(seed, 20), NULL};
        m->parents[i] = parent;
    }
    for (size_t r = 0; r < m->ref_count; r++)
        m->refs[r] = (model_ref){{r < 3 ? SGC_REF_BRANCH : SGC_REF_TAG, names[r],
                                  random_below(seed, (uint32_t)m->count)},
                                 false};
}

static void try_random(int version, uint64_t *seed)
{
    static model m;
    place p = {.version = version};
    made_ref refs[8];
    make_random(&m, seed);
    assert_ok(sgc_object_store_memory_new(&p.store, &err));
    for (size_t r = 0; r < m.ref_count; r++)
        refs[r] = m.refs[r].ref;
    make_history(&p, m.commits, m.count, refs, m.ref_count);
    for (int round = 0; round < 3; round++) {
        size_t before[2] = {0}, deleted[2] = {0};
        for (size_t r = 0; r < m.ref_count; r++)
            before[refs[r].kind] += m.refs[r].deleted;
        const sgc_expire_options options = {
            .older_than = random_below(seed, 60) + (uint64_t)round * 20,
            .delete_branches = random_below(seed, 2) == 0,
            .delete_tags = random_below(seed, 2) == 0,
        };
        if (version == 1)
            expire_model_1(&m, &options);
        else
            expire_model_2(&m, &options);
        for (size_t r = 0; r < m.ref_count; r++)
            deleted[refs[r].kind] += m.refs[r].deleted;
        check_result(expire(&p, &options), m.expired,
                     deleted[SGC_REF_BRANCH] - before[SGC_REF_BRANCH],
                     deleted[SGC_REF_TAG] - before[SGC_REF_TAG]);
        check_model_refs(&p, &m);
        if (version == 1)
            check_model_1(&p, &m);
        else
            check_model_2(&p, &m);
    }
    place_clear(&p);
}

static void test_random_trees(void **state)
{
    const place *p = *state;
    uint64_t seed = 5;
    for (int i = 0; i < 200; i++)
        try_random(p->version, &seed);
}

/* ---- what a rewritten snapshot keeps ---- */

/* With nodes and chunks, which expiration must not touch. */
static void test_all_but_the_parent_stays(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    commit_arrays(repository);
    commit_value(repository, "main", "/inline", 0, 0, 1);
    const sgc_object_id kept = commit_value(repository, "main", "/g/native", 0, 0, 2);
    const sgc_object_id tip = commit_value(repository, "main", "/scalar", 0, 0, 3);
    sgc_snapshot *before, *after;
    assert_ok(sgc_repository_snapshot(repository, &kept, &before, &err));
    char *values = describe_refs(repository);
    const sgc_expire_options options = {.older_than = sgc_snapshot_get(before)->flushed_at};
    assert_int_equal(expire(p, &options).snapshots, 2);
    assert_ok(sgc_repository_snapshot(repository, &kept, &after, &err));
    sgc_snapshot_data data = *sgc_snapshot_get(after);
    if (p->version == 1)
        data.parent = sgc_snapshot_get(before)->parent;
    assert_same_snapshot(&data, sgc_snapshot_get(before));
    char *history = describe_history(repository, &tip), *values_after = describe_refs(repository);
    assert_string_equal(history, "value 3 value 2 Repository initialized");
    assert_string_equal(values, values_after);
    commit_value(repository, "main", "/inline", 1, 0, 1);
    free(history);
    free(values);
    free(values_after);
    sgc_snapshot_unref(before);
    sgc_snapshot_unref(after);
    sgc_repository_free(repository);
}

/* ---- metadata that is inherited ---- */

static const made_commit heritage[] = {
    {"root", -1, 10, "{\"list\":[\"root\"],\"n\":100}"},
    {"a", 0, 20, "{\"list\":[\"a1\",{\"a\":2}],\"n\":1,\"by\":\"a\",\"x\":0.5}"},
    {"b", 1, 30, "{\"list\":[],\"n\":2,\"other\":[1]}"},
    {"c", 2, 40, "{\"n\":4,\"by\":\"c\",\"x\":0.25}"},
    {"d", 3, 50, "{\"by\":\"d\",\"list\":[\"d1\"]}"},
};
static const char *const inherited[] = {"list", "n", "x", "nothing", "by"};

static sgc_status print_metadata(void *user, const sgc_commit_info *commit, bool *more,
                                 sgc_error *error)
{
    *more = false;
    return sgc_commit_print_metadata(commit, user, error);
}

static void check_metadata(place *p, size_t commit, const char *expected)
{
    const sgc_object_id id = made_id(commit);
    sgc_buffer json = {0};
    sgc_repository *repository = place_open(p);
    assert_ok(sgc_repository_history(repository, &id, print_metadata, &json, &err));
    assert_string_equal((const char *)json.data, expected);
    sgc_buffer_free(&json);
    sgc_repository_free(repository);
}

static void test_inherited_metadata(void **state)
{
    place *p = *state;
    sgc_expire_options options = {.older_than = 35, .inherited = inherited, .inherited_count = 5};
    make_history(p, heritage, 5, line_refs, 1);
    expire(p, &options);
    check_metadata(p, 3, "{\"by\":\"c\",\"list\":[\"a1\",{\"a\":2}],\"n\":7,\"x\":0.75}");
    check_metadata(p, 4, heritage[4].metadata);
    options.older_than = 45;
    expire(p, &options);
    check_metadata(p, 4, "{\"by\":\"d\",\"list\":[\"a1\",{\"a\":2},\"d1\"],\"n\":7,\"x\":0.75}");
    check_metadata(p, 0, heritage[0].metadata);
}

/* Integers stay exact while they can. */
static void check_sum(int version, const char *a, const char *b, const char *expected)
{
    static const char *const names[] = {"n"};
    char metadata[2][64];
    made_commit commits[4];
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 3}};
    place p = {.version = version};
    assert_ok(sgc_object_store_memory_new(&p.store, &err));
    memcpy(commits, line, sizeof commits);
    snprintf(metadata[0], sizeof metadata[0], "{\"n\":%s}", a);
    snprintf(metadata[1], sizeof metadata[1], "{\"n\":%s}", b);
    commits[1].metadata = metadata[0];
    commits[2].metadata = metadata[1];
    make_history(&p, commits, 4, refs, 1);
    expire(&p, &(sgc_expire_options){.older_than = 40, .inherited = names, .inherited_count = 1});
    check_metadata(&p, 3, expected);
    place_clear(&p);
}

static void test_sums(void **state)
{
    const place *p = *state;
    check_sum(p->version, "9007199254740993", "-2", "{\"n\":9007199254740991}");
    check_sum(p->version, "9223372036854775806", "1", "{\"n\":9223372036854775807}");
    check_sum(p->version, "18446744073709551615", "1", "{\"n\":1.8446744073709552e+19}");
    check_sum(p->version, "1", "0.5", "{\"n\":1.5}");
    check_sum(p->version, "0", "0", "{\"n\":0}");
}

static void test_nothing_is_inherited_unasked(void **state)
{
    place *p = *state;
    make_history(p, heritage, 5, line_refs, 1);
    expire(p, &(sgc_expire_options){.older_than = 45});
    check_metadata(p, 4, heritage[4].metadata);
}

/* Both branches and the tag between lose the same ancestors. */
static void test_all_heirs_inherit(void **state)
{
    place *p = *state;
    static const made_commit commits[] = {
        {"root", -1, 10, NULL},      {"a", 0, 20, "{\"l\":[1]}"}, {"b", 1, 30, "{\"l\":[2]}"},
        {"c", 2, 40, "{\"l\":[3]}"}, {"d", 3, 50, NULL},          {"e", 3, 60, "{\"l\":[5]}"},
    };
    static const made_ref refs[] = {
        {SGC_REF_BRANCH, "main", 4}, {SGC_REF_BRANCH, "other", 5}, {SGC_REF_TAG, "t", 2}};
    static const char *const names[] = {"l"};
    const sgc_expire_options options = {.older_than = 45, .inherited = names, .inherited_count = 1};
    make_history(p, commits, 6, refs, 3);
    expire(p, &options);
    check_metadata(p, 2, "{\"l\":[1,2]}");
    check_metadata(p, 4, "{\"l\":[1,2,3]}");
    check_metadata(p, 5, "{\"l\":[1,2,3,5]}");
    check_history(p, SGC_REF_TAG, "t", "b root");
}

/* ---- others at the same time, and damage ---- */

typedef struct visitor {
    place *p;
    bool done;
} visitor;

/* Moves the tag's commit to safety, just before the expiration is published. */
static sgc_status make_tag(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)key;
    visitor *v = user;
    if (strcmp(verb, "copy") != 0 || v->done)
        return SGC_OK;
    v->done = true;
    sgc_repository *repository = place_open(v->p);
    const sgc_object_id id = made_id(1);
    const sgc_status status = sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &id, error);
    sgc_repository_free(repository);
    return status;
}

static void test_a_tag_made_meanwhile(void **state)
{
    place *p = *state;
    visitor v = {p, false};
    sgc_expire_result result;
    make_history(p, line, 5, line_refs, 1);
    sgc_repository *repository = place_open_hooked(p, make_tag, &v);
    assert_ok(
        sgc_repository_expire(repository, &(sgc_expire_options){.older_than = 35}, &result, &err));
    assert_true(v.done);
    check_result(result, 1, 0, 0);
    check_history(p, SGC_REF_TAG, "t", "a root");
    check_history(p, SGC_REF_BRANCH, "main", "d c root");
    sgc_repository_free(repository);
}

static void test_a_lost_ancestor(void **state)
{
    place *p = *state;
    const sgc_object_id lost = made_id(1);
    sgc_expire_result result;
    make_history(p, line, 5, line_refs, 1);
    place_remove(p, key_of("snapshots", &lost));
    contents before = contents_take(p);
    sgc_repository *repository = place_open(p);
    assert_status(
        SGC_NOT_FOUND,
        sgc_repository_expire(repository, &(sgc_expire_options){.older_than = 35}, &result, &err));
    assert_message("main");
    assert_message(key_of("snapshots", &lost));
    check_unchanged(p, &before);
    sgc_repository_free(repository);
}

/* ---- repositories of others ---- */

/* The official library has expired these; what is younger than the limit then is still there. */
static void test_golden_expirations(void **state)
{
    (void)state;
    for (size_t i = GOLDEN_EXPIRED; i < GOLDEN_COUNT; i++) {
        place p;
        place_copy_golden(&p, golden_names[i]);
        contents before = contents_take(&p);
        const sgc_expire_options options = {.older_than = UINT64_C(1781109725000000)};
        check_result(expire(&p, &options), 0, 0, 0);
        check_unchanged(&p, &before);
        place_clear(&p);
    }
}

static void test_golden_repositories_expire(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOLDEN_EXPIRED; i++) {
        place p;
        place_copy_golden(&p, golden_names[i]);
        sgc_repository *repository = place_open(&p);
        char *before = describe_refs(repository);
        assert_true(expire(&p, &(sgc_expire_options){.older_than = UINT64_MAX}).snapshots > 0);
        char *after = describe_refs(repository);
        assert_string_equal(before, after);
        const sgc_object_id tip = tip_of(repository, "main");
        char *history = describe_history(repository, &tip);
        assert_non_null(strstr(history, " Repository initialized"));
        check_sound(repository);
        free(before);
        free(after);
        free(history);
        sgc_repository_free(repository);
        place_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_a_line),
        EVERYWHERE(test_no_object_is_removed),
        EVERYWHERE(test_dry_run),
        IN_MEMORY(test_tips_stay),
        IN_MEMORY(test_shared_history),
        EVERYWHERE(test_expired_tags_are_deleted),
        EVERYWHERE(test_expired_branches_are_deleted),
        IN_MEMORY(test_random_trees),
        EVERYWHERE(test_all_but_the_parent_stays),
        IN_MEMORY(test_inherited_metadata),
        IN_MEMORY(test_sums),
        IN_MEMORY(test_nothing_is_inherited_unasked),
        IN_MEMORY(test_all_heirs_inherit),
        IN_VERSION(2, test_a_tag_made_meanwhile),
        IN_VERSION(1, test_a_lost_ancestor),
        cmocka_unit_test(test_golden_expirations),
        cmocka_unit_test(test_golden_repositories_expire),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
