/* What differs between two snapshots, in both versions. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/golden.h"
#include "store/icechunk/diff.h"

/* ---- differences as text ---- */

/* Appends one like "~ /a json (0 1) (2 3)\n"; "+" added, "-" removed, "~" modified. */
static sgc_status print_difference(void *user, const sgc_difference *d, sgc_error *error)
{
    sgc_buffer *text = user;
    SGC_TRY(sgc_buffer_print(text, error, "%c %s%s%s", "+-~"[d->kind], d -> path,
                             d -> is_array ? "" : "/", d->json_differs ? " json" : ""));
    for (size_t i = 0; i < d->chunk_count; i++) {
        SGC_TRY(sgc_buffer_print(text, error, " ("));
        for (size_t k = 0; k < d->dimension_count; k++)
            SGC_TRY(sgc_buffer_print(text, error, "%s%u", k > 0 ? " " : "",
                                     d->chunks[i * d->dimension_count + k]));
        SGC_TRY(sgc_buffer_print(text, error, ")"));
    }
    return sgc_buffer_print(text, error, "\n");
}

/* Gives (free with free()) the differences. */
static char *diff(sgc_repository *repository, const sgc_object_id *from, const sgc_object_id *to)
{
    sgc_snapshot *a, *b;
    sgc_buffer text = {0};
    assert_ok(sgc_repository_snapshot(repository, from, &a, &err));
    assert_ok(sgc_repository_snapshot(repository, to, &b, &err));
    assert_ok(sgc_buffer_print(&text, &err, "%s", ""));
    assert_ok(sgc_repository_diff(repository, a, b, print_difference, &text, &err));
    sgc_snapshot_unref(a);
    sgc_snapshot_unref(b);
    return (char *)text.data;
}

static void check_diff(sgc_repository *repository, const sgc_object_id *from,
                       const sgc_object_id *to, const char *expected)
{
    char *text = diff(repository, from, to);
    assert_string_equal(text, expected);
    free(text);
}

/* Also the other way round. */
static void check_both_ways(sgc_repository *repository, const sgc_object_id *from,
                            const sgc_object_id *to, const char *expected, const char *reverse)
{
    check_diff(repository, from, to, expected);
    check_diff(repository, to, from, reverse);
    check_diff(repository, from, from, "");
    check_diff(repository, to, to, "");
}

/* ---- single changes ---- */

static const char group[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";

static sgc_object_id finish(sgc_session *session)
{
    sgc_object_id id;
    assert_ok(sgc_session_commit(session, "m", NULL, &id, &err));
    sgc_session_free(session);
    return id;
}

static void test_nodes_added_and_removed(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id root = tip_of(repository, "main"), first = commit_arrays(repository);
    check_both_ways(repository, &root, &first, "+ //\n+ /g/\n+ /g/native\n+ /inline\n+ /scalar\n",
                    "- //\n- /g/\n- /g/native\n- /inline\n- /scalar\n");
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_delete(session, "/g", &err));
    assert_ok(sgc_session_put_group(session, "/g-new", group, strlen(group), &err));
    const sgc_object_id second = finish(session);
    check_both_ways(repository, &first, &second, "- /g/\n+ /g-new/\n- /g/native\n",
                    "+ /g/\n- /g-new/\n+ /g/native\n");
    sgc_repository_free(repository);
}

static void test_nodes_with_chunks(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id root = tip_of(repository, "main");
    commit_arrays(repository);
    commit_value(repository, "main", "/g/native", 1, 2, 7);
    const sgc_object_id tip = commit_value(repository, "main", "/g/native", 0, 1, 8);
    check_both_ways(repository, &root, &tip,
                    "+ //\n+ /g/\n+ /g/native (0 1) (1 2)\n+ /inline\n+ /scalar\n",
                    "- //\n- /g/\n- /g/native (0 1) (1 2)\n- /inline\n- /scalar\n");
    sgc_repository_free(repository);
}

static void test_json_differs(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id first = commit_arrays(repository);
    sgc_session *session = new_session(repository);
    sgc_node node;
    assert_ok(sgc_session_get_node(session, "/inline", &node, &err));
    const size_t size = node.user_data_size;
    char *spaced = malloc(size + 1);
    memcpy(spaced, node.user_data, size);
    spaced[size] = ' ';
    assert_ok(sgc_session_put_array(session, "/inline", spaced, size + 1, &err));
    assert_ok(sgc_session_put_group(session, "/g", "{}", 2, &err));
    const sgc_object_id second = finish(session);
    check_both_ways(repository, &first, &second, "~ /g/ json\n~ /inline json\n",
                    "~ /g/ json\n~ /inline json\n");
    free(spaced);
    sgc_repository_free(repository);
}

static void test_the_same_json_again_is_no_difference(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id first = commit_arrays(repository);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/g", group, strlen(group), &err));
    const sgc_object_id second = finish(session);
    check_both_ways(repository, &first, &second, "", "");
    sgc_repository_free(repository);
}

static void test_chunks(void **state)
{
    sgc_repository *repository = place_create(*state);
    commit_arrays(repository);
    sgc_session *session = new_session(repository);
    set_value(session, "/inline", 0, 0, 1);
    set_value(session, "/inline", 1, 0, 1);
    set_value(session, "/inline", 2, 0, 1);
    set_value(session, "/g/native", 0, 0, 1);
    const sgc_object_id first = finish(session);
    session = new_session(repository);
    set_value(session, "/inline", 0, 0, 2);   /* another */
    set_value(session, "/inline", 1, 0, 0);   /* removed */
    set_value(session, "/inline", 2, 0, 1);   /* the same bytes, inline */
    set_value(session, "/inline", 3, 0, 3);   /* added */
    set_value(session, "/g/native", 0, 0, 1); /* the same bytes, another object */
    const sgc_object_id second = finish(session);
    check_both_ways(repository, &first, &second, "~ /g/native (0 0)\n~ /inline (0) (1) (3)\n",
                    "~ /g/native (0 0)\n~ /inline (0) (1) (3)\n");
    sgc_repository_free(repository);
}

static void test_virtual_chunks(void **state)
{
    static const sgc_ref_details details[] = {
        {.location = "s3://a/b"},
        {.location = "s3://a/c"},
        {.location = "s3://a/b", .etag = "x"},
        {.location = "s3://a/b", .etag = "y"},
        {.location = "s3://a/b", .last_modified = 7},
        {.location = "s3://a/b"},
    };
    enum { COUNT = sizeof details / sizeof *details };
    sgc_object_id ids[COUNT];
    sgc_repository *repository = place_create(*state);
    commit_arrays(repository);
    for (size_t i = 0; i < COUNT; i++) {
        const uint32_t at[] = {2};
        const sgc_chunk_ref ref = {
            .kind = SGC_CHUNK_VIRTUAL, .length = 1, .offset = 5, .details = &details[i]};
        sgc_session *session = new_session(repository);
        assert_ok(sgc_session_set_chunk(session, "/inline", at, &ref, &err));
        ids[i] = finish(session);
    }
    for (size_t i = 1; i < COUNT; i++)
        check_diff(repository, &ids[i - 1], &ids[i], "~ /inline (2)\n");
    check_diff(repository, &ids[0], &ids[COUNT - 1], "");
    sgc_repository_free(repository);
}

static void test_scalars(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id none = commit_arrays(repository);
    const sgc_object_id one = commit_value(repository, "main", "/scalar", 0, 0, 1);
    const sgc_object_id two = commit_value(repository, "main", "/scalar", 0, 0, 2);
    const sgc_object_id again = commit_value(repository, "main", "/scalar", 0, 0, 0);
    check_both_ways(repository, &none, &one, "~ /scalar ()\n", "~ /scalar ()\n");
    check_both_ways(repository, &one, &two, "~ /scalar ()\n", "~ /scalar ()\n");
    check_both_ways(repository, &two, &again, "~ /scalar ()\n", "~ /scalar ()\n");
    check_both_ways(repository, &none, &again, "", "");
    sgc_repository_free(repository);
}

static void test_recreated_nodes(void **state)
{
    sgc_repository *repository = place_create(*state);
    commit_arrays(repository);
    const sgc_object_id first = commit_value(repository, "main", "/inline", 1, 0, 1);
    sgc_session *session = new_session(repository);
    sgc_node node;
    assert_ok(sgc_session_get_node(session, "/inline", &node, &err));
    char *copy = strndup((const char *)node.user_data, node.user_data_size);
    assert_ok(sgc_session_delete(session, "/inline", &err));
    assert_ok(sgc_session_put_array(session, "/inline", copy, strlen(copy), &err));
    set_value(session, "/inline", 2, 0, 1);
    assert_ok(sgc_session_delete(session, "/scalar", &err));
    assert_ok(sgc_session_put_group(session, "/scalar", group, strlen(group), &err));
    const sgc_object_id second = finish(session);
    check_both_ways(repository, &first, &second,
                    "- /inline (1)\n+ /inline (2)\n- /scalar\n+ /scalar/\n",
                    "- /inline (2)\n+ /inline (1)\n- /scalar/\n+ /scalar\n");
    free(copy);
    sgc_repository_free(repository);
}

static void reshape(sgc_session *session, const char *path, uint64_t length)
{
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {length}, .chunk_shape = {1}};
    put_array(session, path, &metadata, "0");
}

static void test_reshaped_arrays(void **state)
{
    sgc_repository *repository = place_create(*state);
    commit_arrays(repository);
    commit_value(repository, "main", "/inline", 1, 0, 1);
    const sgc_object_id first = commit_value(repository, "main", "/inline", 3, 0, 1);
    sgc_session *session = new_session(repository);
    reshape(session, "/inline", 2);
    const sgc_object_id smaller = finish(session);
    check_both_ways(repository, &first, &smaller, "~ /inline json (3)\n", "~ /inline json (3)\n");
    session = new_session(repository);
    reshape(session, "/inline", 9);
    set_value(session, "/inline", 8, 0, 1);
    const sgc_object_id larger = finish(session);
    check_both_ways(repository, &smaller, &larger, "~ /inline json (8)\n", "~ /inline json (8)\n");
    check_both_ways(repository, &first, &larger, "~ /inline json (3) (8)\n",
                    "~ /inline json (3) (8)\n");
    sgc_repository_free(repository);
}

/* ---- what is no difference ---- */

/* A writer with other rules divides the references anew when it touches one. */
static void test_divided_manifests(void **state)
{
    place *p = *state;
    static const sgc_split_rule rules[] = {{"x", 2}};
    static char x[] = "x";
    const sgc_repository_options options = {.split_rules = rules, .split_rule_count = 1};
    const sgc_array_metadata metadata = {.type = SGC_UINT8,
                                         .dimension_count = 1,
                                         .shape = {9},
                                         .chunk_shape = {1},
                                         .has_dimension_names = true,
                                         .dimension_names = {x}};
    sgc_repository *plain = place_create(p), *ruled;
    sgc_session *session = new_session(plain);
    put_array(session, "/a", &metadata, "0");
    for (uint32_t i = 0; i < 9; i++)
        set_value(session, "/a", i, 0, 1);
    const sgc_object_id whole = finish(session);
    assert_ok(sgc_repository_open(hook_store_new(p->store, NULL, NULL), &options, &ruled, &err));
    const sgc_object_id divided = commit_value(ruled, "main", "/a", 4, 0, 1);
    sgc_snapshot *snapshot = load_tip(plain);
    assert_int_equal(sgc_snapshot_find(snapshot, "/a")->manifest_count, 5);
    sgc_snapshot_unref(snapshot);
    check_both_ways(plain, &whole, &divided, "", "");
    const sgc_object_id changed = commit_value(ruled, "main", "/a", 8, 0, 2);
    check_both_ways(plain, &whole, &changed, "~ /a (8)\n", "~ /a (8)\n");
    check_both_ways(plain, &divided, &changed, "~ /a (8)\n", "~ /a (8)\n");
    sgc_repository_free(ruled);
    sgc_repository_free(plain);
}

static void test_across_branches(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id first = commit_arrays(repository);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, "b", &first, &err));
    commit_value(repository, "main", "/inline", 0, 0, 1);
    const sgc_object_id ours = commit_value(repository, "main", "/inline", 1, 0, 1);
    commit_value(repository, "b", "/inline", 1, 0, 1);
    const sgc_object_id theirs = commit_value(repository, "b", "/inline", 2, 0, 2);
    check_both_ways(repository, &ours, &theirs, "~ /inline (0) (2)\n", "~ /inline (0) (2)\n");
    sgc_repository_free(repository);
}

typedef struct watch {
    size_t gets;
} watch;

static sgc_status count_manifests(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)error;
    watch *w = user;
    w->gets += strcmp(verb, "get") == 0 && strncmp(key, "manifests/", 10) == 0;
    return SGC_OK;
}

/* Those of both sides need not be read. */
static void test_common_manifests_are_not_read(void **state)
{
    place *p = *state;
    watch w = {0};
    sgc_repository *repository = place_create(p);
    commit_arrays(repository);
    commit_value(repository, "main", "/inline", 0, 0, 1);
    const sgc_object_id first = commit_value(repository, "main", "/scalar", 0, 0, 1);
    const sgc_object_id second = commit_value(repository, "main", "/g/native", 0, 0, 1);
    sgc_repository_free(repository);
    repository = place_open_hooked(p, count_manifests, &w);
    check_diff(repository, &first, &second, "~ /g/native (0 0)\n");
    assert_int_equal(w.gets, 1);
    sgc_repository_free(repository);
}

static void test_a_lost_manifest(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    const sgc_object_id first = commit_arrays(repository);
    const sgc_object_id second = commit_value(repository, "main", "/scalar", 0, 0, 1);
    sgc_snapshot *a, *b;
    sgc_buffer text = {0};
    assert_ok(sgc_repository_snapshot(repository, &first, &a, &err));
    assert_ok(sgc_repository_snapshot(repository, &second, &b, &err));
    place_remove(p, key_of("manifests", &sgc_snapshot_get(b)->manifest_files[0].id));
    assert_status(SGC_NOT_FOUND,
                  sgc_repository_diff(repository, a, b, print_difference, &text, &err));
    sgc_buffer_free(&text);
    sgc_snapshot_unref(a);
    sgc_snapshot_unref(b);
    sgc_repository_free(repository);
}

static sgc_status refuse(void *user, const sgc_difference *difference, sgc_error *error)
{
    (void)difference;
    return ++*(int *)user == 2 ? sgc_fail(error, SGC_CANCELLED, "enough") : SGC_OK;
}

static void test_a_caller_that_has_enough(void **state)
{
    sgc_repository *repository = place_create(*state);
    const sgc_object_id root = tip_of(repository, "main"), first = commit_arrays(repository);
    sgc_snapshot *a, *b;
    int calls = 0;
    assert_ok(sgc_repository_snapshot(repository, &root, &a, &err));
    assert_ok(sgc_repository_snapshot(repository, &first, &b, &err));
    assert_status(SGC_CANCELLED, sgc_repository_diff(repository, a, b, refuse, &calls, &err));
    assert_int_equal(calls, 2);
    sgc_snapshot_unref(a);
    sgc_snapshot_unref(b);
    sgc_repository_free(repository);
}

/* ---- random histories ---- */

enum { ARRAYS = 3, CHUNKS = 5, COMMITS = 40 };

/* An array as it is in one commit; generation 0: there is none. */
typedef struct model_array {
    unsigned generation, json, chunks[CHUNKS];
} model_array;

typedef struct model {
    sgc_object_id id;
    model_array arrays[ARRAYS];
} model;

static void print_chunks(sgc_buffer *text, const model_array *a, const model_array *b)
{
    for (size_t i = 0; i < CHUNKS; i++)
        if ((a != NULL ? a->chunks[i] : 0) != (b != NULL ? b->chunks[i] : 0))
            assert_ok(sgc_buffer_print(text, &err, " (%zu)", i));
    assert_ok(sgc_buffer_print(text, &err, "\n"));
}

static void print_expected(sgc_buffer *text, size_t i, const model_array *a, const model_array *b)
{
    const bool same = a->generation == b->generation;
    if (!same && a->generation > 0) {
        assert_ok(sgc_buffer_print(text, &err, "- /a%zu", i));
        print_chunks(text, a, NULL);
    }
    if (!same && b->generation > 0) {
        assert_ok(sgc_buffer_print(text, &err, "+ /a%zu", i));
        print_chunks(text, NULL, b);
    }
    if (same && memcmp(a, b, sizeof *a) != 0) {
        assert_ok(sgc_buffer_print(text, &err, "~ /a%zu%s", i, a->json != b->json ? " json" : ""));
        print_chunks(text, a, b);
    }
}

static void put_model_array(sgc_session *session, size_t i, unsigned json)
{
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {CHUNKS}, .chunk_shape = {1}};
    char path[32], attributes[32];
    sgc_buffer text = {0};
    snprintf(path, sizeof path, "/a%zu", i);
    snprintf(attributes, sizeof attributes, "{\"v\":%u}", json);
    assert_ok(sgc_array_metadata_print(&metadata, "0", attributes, &text, &err));
    assert_ok(sgc_session_put_array(session, path, text.data, text.size, &err));
    sgc_buffer_free(&text);
}

/* One change of one array, in the session and in the model. */
static void change_array(sgc_session *session, model_array *array, size_t i, unsigned *fresh,
                         uint64_t *seed)
{
    char path[32];
    snprintf(path, sizeof path, "/a%zu", i);
    const uint32_t what = random_below(seed, 10);
    if (array->generation == 0 || what == 0) {
        if (array->generation > 0)
            assert_ok(sgc_session_delete(session, path, &err));
        *array = (model_array){.generation = ++*fresh, .json = 1};
        put_model_array(session, i, 1);
    } else if (what == 1) {
        assert_ok(sgc_session_delete(session, path, &err));
        *array = (model_array){0};
    } else if (what < 4) {
        array->json = 1 + random_below(seed, 2);
        put_model_array(session, i, array->json);
    } else {
        const uint32_t at = random_below(seed, CHUNKS), value = random_below(seed, 3);
        array->chunks[at] = value;
        set_value(session, path, at, 0, (unsigned char)value);
    }
}

static void test_random_histories(void **state)
{
    static model commits[COMMITS];
    uint64_t seed = 17;
    unsigned fresh = 0;
    sgc_repository *repository = place_create(*state);
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", group, strlen(group), &err));
    commits[0] = (model){.id = finish(session)};
    for (size_t n = 1; n < COMMITS; n++) {
        commits[n] = commits[n - 1];
        session = new_session(repository);
        assert_ok(sgc_session_put_group(session, "/", group, strlen(group), &err));
        for (uint32_t k = random_below(&seed, 4); k-- > 0;) {
            const size_t i = random_below(&seed, ARRAYS);
            change_array(session, &commits[n].arrays[i], i, &fresh, &seed);
        }
        commits[n].id = finish(session);
    }
    for (size_t a = 0; a < COMMITS; a++)
        for (size_t b = 0; b < COMMITS; b++) {
            sgc_buffer expected = {0};
            assert_ok(sgc_buffer_print(&expected, &err, "%s", ""));
            for (size_t i = 0; i < ARRAYS; i++)
                print_expected(&expected, i, &commits[a].arrays[i], &commits[b].arrays[i]);
            check_diff(repository, &commits[a].id, &commits[b].id, (const char *)expected.data);
            sgc_buffer_free(&expected);
        }
    sgc_repository_free(repository);
}

/* ---- repositories of others ---- */

/* The logs of their commits say what changed: our comparison finds the same. */
static void test_golden_commits(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to, *expected;
    } cases[] = {
        {"test-repo-v1", "7XAF0Q905SH4938DN9CG", "NXH3M0HJ7EEJ0699DPP0",
         "~ /group1/big_chunks (0 0)\n"},
        {"test-repo-v2-migrated", "7XAF0Q905SH4938DN9CG", "NXH3M0HJ7EEJ0699DPP0",
         "~ /group1/big_chunks (0 0)\n"},
        {"test-repo-v1", "NXH3M0HJ7EEJ0699DPP0", "4QF8JA0YPDN51MHSSYVG",
         "~ /group1/small_chunks (4)\n"},
        {"test-repo-v1", "4QF8JA0YPDN51MHSSYVG", "XDZ162T1TYBEJMK99NPG",
         "+ /group2/\n+ /group2/group3/\n+ /group2/group3/group4/\n+ "
         "/group2/group3/group4/group5/\n"
         "+ /group2/group3/group4/group5/inner\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        place p;
        sgc_object_id from, to;
        place_copy_golden(&p, cases[i].name);
        sgc_repository *repository = place_open(&p);
        assert_ok(sgc_object_id_parse(cases[i].from, strlen(cases[i].from), &from, &err));
        assert_ok(sgc_object_id_parse(cases[i].to, strlen(cases[i].to), &to, &err));
        check_diff(repository, &from, &to, cases[i].expected);
        sgc_repository_free(repository);
        place_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_nodes_added_and_removed),
        IN_MEMORY(test_nodes_with_chunks),
        IN_MEMORY(test_json_differs),
        IN_MEMORY(test_the_same_json_again_is_no_difference),
        IN_MEMORY(test_chunks),
        IN_MEMORY(test_virtual_chunks),
        IN_MEMORY(test_scalars),
        IN_MEMORY(test_recreated_nodes),
        IN_MEMORY(test_reshaped_arrays),
        EVERYWHERE(test_divided_manifests),
        IN_MEMORY(test_across_branches),
        IN_MEMORY(test_common_manifests_are_not_read),
        IN_MEMORY(test_a_lost_manifest),
        IN_MEMORY(test_a_caller_that_has_enough),
        EVERYWHERE(test_random_histories),
        cmocka_unit_test(test_golden_commits),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
