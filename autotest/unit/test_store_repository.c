/* Repositories of both versions: creation, detection, branches and tags, history. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/codec_testing.h"
#include "autotest/unit/golden.h"
#include "store/clock.h"
#include "store/icechunk/envelope.h"
#include "store/icechunk/maintenance.h"
#include "store/parallel.h"

static const char root_text[] = "1CECHNKREP0F1RSTCMT0";
static const char root_key[] = "snapshots/1CECHNKREP0F1RSTCMT0";
static const sgc_object_id nowhere = {{1, 2, 3}};

/* ---- what creation writes (format guide 9) ---- */

static sgc_buffer payload_of(place *p, const char *key, sgc_file_kind kind)
{
    sgc_object file = place_get(p, key);
    sgc_buffer payload = {0};
    int version;
    assert_ok(sgc_envelope_unwrap(kind, file.data, file.size, &version, &payload, &err));
    assert_int_equal(version, p->version);
    sgc_object_clear(&file);
    return payload;
}

static void test_new_repository_of_version_1(void **state)
{
    place *p = *state;
    static const char ref[] = "{\"snapshot\":\"1CECHNKREP0F1RSTCMT0\"}";
    sgc_repository_free(place_create(p));
    assert_int_equal(count_objects(p->store, ""), 2);
    sgc_object file = place_get(p, "refs/branch.main/ref.json");
    assert_int_equal(file.size, strlen(ref));
    assert_memory_equal(file.data, ref, file.size);
    sgc_object_clear(&file);
    sgc_buffer payload = payload_of(p, root_key, SGC_FILE_SNAPSHOT);
    assert_slots(flat_root(&payload), "0 2 3 4 5 6");
    sgc_buffer_free(&payload);
}

static void test_new_repository_of_version_2(void **state)
{
    place *p = *state;
    sgc_repository_free(place_create(p));
    assert_int_equal(count_objects(p->store, ""), 3);
    sgc_buffer payload = payload_of(p, root_key, SGC_FILE_SNAPSHOT);
    assert_slots(flat_root(&payload), "0 2 3 4 5 6 7");
    sgc_buffer_free(&payload);
    payload = payload_of(p, "transactions/1CECHNKREP0F1RSTCMT0", SGC_FILE_TRANSACTION_LOG);
    assert_slots(flat_root(&payload), "0 1 2 3 4 5 6 7 8");
    sgc_buffer_free(&payload);
    payload = payload_of(p, "repo", SGC_FILE_REPO_INFO);
    assert_slots(flat_root(&payload), "0 1 2 3 4 5 6 7");
    sgc_buffer_free(&payload);
}

/* The bytes are those of the official library. */
static void test_the_root_snapshot(void **state)
{
    place *p = *state;
    static const unsigned char flex[] = {0x69, 0x73, 0x5f, 0x72, 0x6f, 0x6f, 0x74, 0x00, 0x01,
                                         0x09, 0x01, 0x01, 0x01, 0x01, 0x68, 0x02, 0x24, 0x01};
    const uint64_t before = sgc_clock_now();
    sgc_repository *repository = place_create(p);
    const uint64_t after = sgc_clock_now();
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(&data->id, text);
    assert_string_equal(text, root_text);
    assert_string_equal(data->message, "Repository initialized");
    assert_false(data->has_parent);
    assert_int_equal(data->node_count, 0);
    assert_int_equal(data->manifest_file_count, 0);
    assert_true(before <= data->flushed_at && data->flushed_at <= after);
    assert_int_equal(data->metadata_count, 1);
    const sgc_metadata_item *item = &data->metadata[0];
    assert_string_equal(item->name, p->version == 1 ? "__root" : "__icechunk");
    assert_int_equal(item->value_size, p->version == 1 ? 1 : sizeof flex);
    assert_memory_equal(item->value, p->version == 1 ? (const unsigned char[]){0xc3} : flex,
                        item->value_size);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

static void test_the_new_repo_info(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    sgc_snapshot *snapshot = load_tip(repository);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    sgc_repo_info info = load_info(p);
    assert_int_equal(info.data.spec_version, 2);
    assert_int_equal(info.data.branch_count, 1);
    assert_string_equal(info.data.branches[0].name, "main");
    assert_int_equal(info.data.tag_count + info.data.deleted_tag_count, 0);
    assert_int_equal(info.data.snapshot_count, 1);
    const sgc_snapshot_entry *root = &info.data.snapshots[0];
    assert_memory_equal(&root->id, &data->id, sizeof root->id);
    assert_int_equal(root->parent, -1);
    assert_true(root->flushed_at == data->flushed_at);
    assert_string_equal(root->message, data->message);
    assert_int_equal(root->metadata_count, 1);
    assert_string_equal(root->metadata[0].name, data->metadata[0].name);
    assert_int_equal(root->metadata[0].value_size, data->metadata[0].value_size);
    assert_memory_equal(root->metadata[0].value, data->metadata[0].value,
                        data->metadata[0].value_size);
    assert_int_equal(root->pruned_log_count, 0);
    assert_int_equal(info.data.status.availability, SGC_ONLINE);
    assert_true(info.data.status.set_at == data->flushed_at);
    assert_int_equal(info.data.operation_count, 1);
    assert_int_equal(info.data.operations[0].kind, SGC_REPO_INITIALIZED);
    assert_true(info.data.operations[0].time == data->flushed_at);
    assert_null(info.data.operations[0].backup);
    assert_null(info.data.previous_file);
    assert_null(info.data.config.data);
    assert_int_equal(info.data.enabled_flag_count + info.data.disabled_flag_count, 0);
    sgc_repo_info_clear(&info);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

static void check_split(const sgc_repository *repository)
{
    static const sgc_dimension dimensions[] = {{.name = "y"}, {.name = "z"}, {.name = "x"}};
    static const sgc_node node = {
        .path = "/a", .is_array = true, .dimension_count = 3, .dimensions = dimensions};
    uint32_t lengths[SGC_MAX_DIMENSIONS];
    sgc_repository_split(repository, &node, lengths);
    assert_int_equal(lengths[0], 4);
    assert_true(lengths[1] == UINT32_MAX);
    assert_int_equal(lengths[2], 7);
}

static void test_rules_are_stored(void **state)
{
    place *p = *state;
    static const sgc_split_rule rules[] = {{"y", 4}, {"x", 7}}, others[] = {{"y", 1}, {"z", 1}};
    sgc_repository_options options = {
        .split_rules = rules, .split_rule_count = 2, .spec_version = p->version};
    sgc_repository *repository;
    assert_ok(
        sgc_repository_create(hook_store_new(p->store, NULL, NULL), &options, &repository, &err));
    check_split(repository);
    sgc_repository_free(repository);
    options.split_rules = others;
    assert_ok(
        sgc_repository_open(hook_store_new(p->store, NULL, NULL), &options, &repository, &err));
    check_split(repository);
    sgc_repository_free(repository);
    assert_true(place_has(p, "config.yaml") == (p->version == 1));
}

static void test_there_is_no_version_3(void **state)
{
    place *p = *state;
    for (int version = -1; version <= 3; version += 4) {
        const sgc_repository_options options = {.spec_version = version};
        sgc_repository *repository;
        assert_status(SGC_INVALID, sgc_repository_create(p->store, &options, &repository, &err));
        assert_message(version == 3 ? "3" : "-1");
    }
    assert_int_equal(count_objects(p->store, ""), 0);
}

static void test_version_1_is_the_default(void **state)
{
    place *p = *state;
    for (int i = 0; i < 2; i++) {
        const sgc_repository_options options = {0};
        sgc_object_store *store;
        sgc_repository *repository;
        assert_ok(sgc_object_store_memory_new(&store, &err));
        assert_ok(sgc_repository_create(store, i == 0 ? NULL : &options, &repository, &err));
        assert_int_equal(sgc_repository_spec_version(repository), 1);
        sgc_repository_free(repository);
    }
    assert_int_equal(count_objects(p->store, ""), 0);
}

/* ---- several creators ---- */

static sgc_status create_again(place *p, int version)
{
    sgc_repository *repository;
    const sgc_repository_options options = {.spec_version = version};
    sgc_object_store *store = hook_store_new(p->store, NULL, NULL);
    const sgc_status status = sgc_repository_create(store, &options, &repository, &err);
    if (status != SGC_OK)
        sgc_object_store_free(store);
    else
        sgc_repository_free(repository);
    return status;
}

static void test_create_twice(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    commit_arrays(repository);
    contents before = contents_take(p);
    for (int version = 1; version <= 2; version++) {
        assert_status(SGC_EXISTS, create_again(p, version));
        assert_message("is a repository already");
    }
    check_unchanged(p, &before);
    sgc_repository_free(repository);
}

/* Before the put number `at`, another creator makes the whole repository, and a commit. */
typedef struct rival {
    place *p;
    int puts, at;
    sgc_object_id committed;
} rival;

static sgc_status overtake(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)key;
    (void)error;
    rival *r = user;
    if (strcmp(verb, "put") != 0 || ++r->puts != r->at)
        return SGC_OK;
    sgc_repository *repository = place_create(r->p);
    r->committed = commit_arrays(repository);
    sgc_repository_free(repository);
    return SGC_OK;
}

static void test_a_creator_that_is_overtaken(void **state)
{
    place *p = *state;
    for (int at = 1;; at++) {
        place other = {.version = p->version};
        rival r = {.p = &other, .at = at};
        sgc_repository *repository;
        const sgc_repository_options options = {.spec_version = p->version};
        assert_ok(sgc_object_store_memory_new(&other.store, &err));
        sgc_object_store *store = hook_store_new(other.store, overtake, &r);
        const sgc_status status = sgc_repository_create(store, &options, &repository, &err);
        if (r.puts < at) {
            assert_ok(status);
            sgc_repository_free(repository);
            place_clear(&other);
            assert_true(at >= 3);
            break;
        }
        assert_status(SGC_EXISTS, status);
        sgc_object_store_free(store);
        repository = place_open(&other);
        const sgc_object_id tip = tip_of(repository, "main");
        assert_memory_equal(&tip, &r.committed, sizeof tip);
        check_clean(&other);
        sgc_repository_free(repository);
        place_clear(&other);
    }
}

enum { CREATORS = 8 };

typedef struct creation_race {
    place *p;
    sgc_status statuses[CREATORS];
} creation_race;

static sgc_status race_to_create(void *user, size_t index, sgc_error *error)
{
    (void)error;
    creation_race *race = user;
    sgc_repository *repository;
    const sgc_repository_options options = {.spec_version = race->p->version};
    sgc_object_store *store = hook_store_new(race->p->store, NULL, NULL);
    race->statuses[index] = sgc_repository_create(store, &options, &repository, NULL);
    if (race->statuses[index] == SGC_OK)
        sgc_repository_free(repository);
    else
        sgc_object_store_free(store);
    return SGC_OK;
}

static void test_racing_creators(void **state)
{
    creation_race race = {.p = *state};
    int winners = 0;
    assert_ok(sgc_parallel_for(CREATORS, CREATORS, race_to_create, &race, &err));
    for (size_t i = 0; i < CREATORS; i++) {
        assert_true(race.statuses[i] == SGC_OK || race.statuses[i] == SGC_EXISTS);
        winners += race.statuses[i] == SGC_OK;
    }
    assert_int_equal(winners, 1);
    check_clean(race.p);
}

/* A creator that died before it was done has left a root, which may be of another version. */
static void test_creation_over_leftovers(void **state)
{
    place *p = *state;
    for (int version = 1; version <= 2; version++) {
        place other = {.version = version};
        assert_ok(sgc_object_store_memory_new(&other.store, &err));
        sgc_repository_free(place_create(&other));
        place_remove(&other, version == 1 ? "refs/branch.main/ref.json" : "repo");
        other.version = p->version;
        sgc_repository *repository = place_create(&other);
        commit_arrays(repository);
        sgc_repository_free(repository);
        sgc_buffer payload = payload_of(&other, root_key, SGC_FILE_SNAPSHOT);
        sgc_buffer_free(&payload);
        check_clean(&other);
        place_clear(&other);
    }
}

/* ---- detection ---- */

static void test_open_of_nothing(void **state)
{
    place *p = *state;
    sgc_repository *repository;
    place_put(p, "snapshots/1CECHNKREP0F1RSTCMT0", "", 0);
    place_put(p, "refs/branch.other/ref.json", "{\"snapshot\":\"1CECHNKREP0F1RSTCMT0\"}", 35);
    assert_status(SGC_NOT_FOUND, sgc_repository_open(p->store, NULL, &repository, &err));
}

static void test_open_of_either_version(void **state)
{
    place *p = *state;
    sgc_repository_free(place_create(p));
    sgc_repository *repository = place_open(p);
    assert_int_equal(sgc_repository_spec_version(repository), p->version);
    sgc_repository_free(repository);
}

/* The official library writes `repo` first and removes refs/ then. */
static void make_half_migrated(place *p)
{
    char path[2048];
    sgc_object_store *migrated;
    sgc_object info = {0};
    place_copy_golden(p, "test-repo-v1");
    snprintf(path, sizeof path, "%s/test-repo-v2-migrated", golden_directory());
    assert_ok(sgc_object_store_local_new(path, NULL, &migrated, &err));
    assert_ok(migrated->get(migrated, "repo", 0, SGC_TO_END, &info, &err));
    place_put(p, "repo", info.data, info.size);
    sgc_object_clear(&info);
    sgc_object_store_free(migrated);
}

static void test_half_migrated_is_version_2(void **state)
{
    (void)state;
    place p;
    make_half_migrated(&p);
    sgc_repository *repository = place_open(&p);
    assert_int_equal(sgc_repository_spec_version(repository), 2);
    const sgc_object_id tip = tip_of(repository, "main");
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "new", &tip, &err));
    assert_false(place_has(&p, "refs/tag.new/ref.json"));
    sgc_repository_free(repository);
    place_clear(&p);
}

static void test_a_handle_from_before_a_migration(void **state)
{
    place *p = *state;
    sgc_object_id tip;
    sgc_repository *repository = place_create(p);
    const sgc_object_id first = commit_arrays(repository);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, "b", &first, &err));
    sgc_session *session = new_session(repository);
    set_value(session, "/inline", 0, 0, 1);
    place_put(p, "repo", "x", 1);
    contents before = contents_take(p);
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &first, &err));
    assert_message("migrated");
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_delete_ref(repository, SGC_REF_BRANCH, "b", &err));
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_reset_branch(repository, "b", &first, &first, &err));
    assert_status(SGC_UNSUPPORTED, sgc_session_commit(session, "m", NULL, &tip, &err));
    assert_message("migrated");
    sgc_expire_result expired;
    sgc_garbage_result garbage;
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_expire(repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                        &expired, &err));
    assert_status(SGC_UNSUPPORTED, sgc_repository_collect_garbage(
                                       repository, &(sgc_garbage_options){.older_than = UINT64_MAX},
                                       &garbage, &err));
    contents after = contents_take(p);
    assert_same_contents(&before, &after, "refs/");
    assert_kept_contents(&before, &after, "");
    contents_free(&before);
    contents_free(&after);
    place_remove(p, "refs/branch.main/ref.json");
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, &err));
    assert_message("migrated");
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static void test_a_damaged_info_is_no_version_1(void **state)
{
    place *p = *state;
    sgc_repository *repository;
    sgc_repository_free(place_create(p));
    place_put(p, "repo", "x", 1);
    assert_status(SGC_CORRUPT, sgc_repository_open(p->store, NULL, &repository, &err));
    assert_message("repo");
    assert_status(SGC_CORRUPT, create_again(p, 1));
}

static void test_a_damaged_config(void **state)
{
    place *p = *state;
    sgc_repository *repository;
    sgc_repository_free(place_create(p));
    place_put(p, "config.yaml", "a: [", 4);
    assert_status(SGC_CORRUPT, sgc_repository_open(p->store, NULL, &repository, &err));
    assert_message("config.yaml");
}

/* ---- history ---- */

static const made_commit line[] = {
    {"root", -1, 10, NULL}, {"a", 0, 20, "{\"n\":1}"},
    {"b", 1, 30, NULL},     {"c", 2, 40, "{\"k\":[1,{\"x\":null}],\"n\":2.5}"},
    {"side", 1, 35, NULL},
};
static const made_ref line_refs[] = {{SGC_REF_BRANCH, "main", 3}, {SGC_REF_BRANCH, "other", 4}};

static sgc_repository *make_line(place *p)
{
    make_history(p, line, 5, line_refs, 2);
    return place_open(p);
}

static sgc_status check_line(void *user, const sgc_commit_info *commit, bool *more,
                             sgc_error *error)
{
    (void)more;
    size_t *next = user;
    sgc_buffer json = {0};
    const made_commit *made = &line[*next];
    const sgc_object_id id = made_id(*next);
    assert_memory_equal(&commit->id, &id, sizeof id);
    assert_string_equal(commit->message, made->message);
    assert_true(commit->time == made->time);
    assert_int_equal(commit->has_parent, made->parent >= 0);
    SGC_TRY(sgc_commit_print_metadata(commit, &json, error));
    assert_string_equal((const char *)json.data, made->metadata != NULL ? made->metadata : "{}");
    sgc_buffer_free(&json);
    if (made->parent >= 0) {
        const sgc_object_id parent = made_id((size_t)made->parent);
        assert_memory_equal(&commit->parent, &parent, sizeof parent);
        *next = (size_t)made->parent;
    }
    return SGC_OK;
}

static void test_history(void **state)
{
    sgc_repository *repository = make_line(*state);
    for (size_t from = 0; from < 5; from++) {
        size_t next = from;
        const sgc_object_id id = made_id(from);
        assert_ok(sgc_repository_history(repository, &id, check_line, &next, &err));
        assert_int_equal(next, 0);
    }
    sgc_repository_free(repository);
}

typedef struct stopping {
    int calls, most;
    sgc_status status;
} stopping;

static sgc_status stop_early(void *user, const sgc_commit_info *commit, bool *more,
                             sgc_error *error)
{
    (void)commit;
    stopping *s = user;
    *more = ++s->calls < s->most;
    return *more ? SGC_OK : sgc_fail(error, s->status, "enough");
}

static void test_a_walk_that_ends_early(void **state)
{
    sgc_repository *repository = make_line(*state);
    const sgc_object_id tip = made_id(3);
    stopping s = {.most = 2, .status = SGC_OK};
    assert_ok(sgc_repository_history(repository, &tip, stop_early, &s, &err));
    assert_int_equal(s.calls, 2);
    s = (stopping){.most = 3, .status = SGC_BUDGET};
    assert_status(SGC_BUDGET, sgc_repository_history(repository, &tip, stop_early, &s, &err));
    assert_message("enough");
    assert_int_equal(s.calls, 3);
    sgc_repository_free(repository);
}

static void test_history_of_nothing(void **state)
{
    sgc_repository *repository = make_line(*state);
    stopping s = {.most = 2};
    assert_status(SGC_NOT_FOUND,
                  sgc_repository_history(repository, &nowhere, stop_early, &s, &err));
    assert_message("04106000000000000000");
    assert_int_equal(s.calls, 0);
    sgc_repository_free(repository);
}

static void test_a_lost_ancestor(void **state)
{
    place *p = *state;
    sgc_repository *repository = make_line(p);
    const sgc_object_id tip = made_id(3), lost = made_id(1);
    stopping s = {.most = 10};
    place_remove(p, key_of("snapshots", &lost));
    assert_status(SGC_NOT_FOUND, sgc_repository_history(repository, &tip, stop_early, &s, &err));
    assert_message(key_of("snapshots", &lost));
    assert_int_equal(s.calls, 2);
    sgc_repository_free(repository);
}

static void walk_circle(int version, int tail, int length)
{
    place p = {.version = version};
    assert_ok(sgc_object_store_memory_new(&p.store, &err));
    sgc_repository_free(place_create(&p));
    for (int i = 0; i < tail + length; i++) {
        const bool closes = i + 1 == tail + length;
        const sgc_snapshot_data data = {
            .spec_version = 1,
            .id = made_id((size_t)i),
            .has_parent = true,
            .parent = made_id((size_t)(closes ? tail : i + 1)),
            .message = "",
        };
        assert_ok(sgc_snapshot_store(p.store, &data, &err));
    }
    sgc_repository *repository = place_open(&p);
    const sgc_object_id from = made_id(0);
    sgc_object_id id;
    stopping s = {.most = 100000};
    assert_status(SGC_CORRUPT, sgc_repository_history(repository, &from, stop_early, &s, &err));
    assert_message("circle");
    assert_true(s.calls >= tail + length && s.calls <= 4 * (tail + length) + 2);
    s = (stopping){.most = 1};
    assert_status(SGC_OK, sgc_repository_history(repository, &from, stop_early, &s, &err));
    assert_ok(sgc_repository_as_of(repository, &from, 0, &id, &err));
    sgc_repository_free(repository);
    place_clear(&p);
}

static void test_a_circle_of_parents(void **state)
{
    (void)state;
    for (int tail = 0; tail < 6; tail++)
        for (int length = 1; length < 6; length++)
            walk_circle(1, tail, length);
}

static void check_as_of(sgc_repository *repository, size_t from, uint64_t time, int expected)
{
    const sgc_object_id tip = made_id(from), found = made_id((size_t)expected);
    sgc_object_id id = nowhere;
    const sgc_status status = sgc_repository_as_of(repository, &tip, time, &id, &err);
    assert_status(expected >= 0 ? SGC_OK : SGC_NOT_FOUND, status);
    assert_memory_equal(&id, expected >= 0 ? &found : &nowhere, sizeof id);
}

static void test_as_of(void **state)
{
    sgc_repository *repository = make_line(*state);
    check_as_of(repository, 3, 0, -1);
    check_as_of(repository, 3, 9, -1);
    check_as_of(repository, 3, 10, 0);
    check_as_of(repository, 3, 19, 0);
    check_as_of(repository, 3, 20, 1);
    check_as_of(repository, 3, 35, 2);
    check_as_of(repository, 3, 39, 2);
    check_as_of(repository, 3, 40, 3);
    check_as_of(repository, 3, UINT64_MAX, 3);
    check_as_of(repository, 4, 34, 1);
    check_as_of(repository, 4, 35, 4);
    check_as_of(repository, 0, 40, 0);
    sgc_repository_free(repository);
}

/* The first from the tip on counts, even where clocks went backwards. */
static void test_as_of_with_wrong_clocks(void **state)
{
    static const made_commit commits[] = {
        {"root", -1, 10, NULL}, {"a", 0, 50, NULL}, {"b", 1, 30, NULL}, {"c", 2, 40, NULL}};
    static const made_ref refs[] = {{SGC_REF_BRANCH, "main", 3}};
    make_history(*state, commits, 4, refs, 1);
    sgc_repository *repository = place_open(*state);
    check_as_of(repository, 3, 60, 3);
    check_as_of(repository, 3, 39, 2);
    check_as_of(repository, 3, 29, 0);
    sgc_repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_VERSION(1, test_new_repository_of_version_1),
        IN_VERSION(2, test_new_repository_of_version_2),
        EVERYWHERE(test_the_root_snapshot),
        IN_VERSION(2, test_the_new_repo_info),
        IN_MEMORY(test_rules_are_stored),
        IN_VERSION(1, test_there_is_no_version_3),
        IN_VERSION(1, test_version_1_is_the_default),
        IN_MEMORY(test_create_twice),
        IN_MEMORY(test_a_creator_that_is_overtaken),
        EVERYWHERE(test_racing_creators),
        IN_MEMORY(test_creation_over_leftovers),
        IN_VERSION(1, test_open_of_nothing),
        EVERYWHERE(test_open_of_either_version),
        cmocka_unit_test(test_half_migrated_is_version_2),
        IN_VERSION(1, test_a_handle_from_before_a_migration),
        IN_MEMORY(test_a_damaged_info_is_no_version_1),
        IN_VERSION(1, test_a_damaged_config),
        IN_MEMORY(test_history),
        IN_MEMORY(test_a_walk_that_ends_early),
        IN_MEMORY(test_history_of_nothing),
        IN_VERSION(1, test_a_lost_ancestor),
        cmocka_unit_test(test_a_circle_of_parents),
        IN_MEMORY(test_as_of),
        IN_MEMORY(test_as_of_with_wrong_clocks),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
