/* Copies of a snapshot in both versions. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/golden.h"
#include "store/icechunk/flex_buffers.h"
#include "store/icechunk/maintenance.h"

static place new_place(bool in_directory)
{
    place p = {0};
    if (in_directory) {
        p.directory = temporary_directory_new();
        assert_ok(sgc_object_store_local_new(p.directory, NULL, &p.store, &err));
    } else {
        assert_ok(sgc_object_store_memory_new(&p.store, &err));
    }
    return p;
}

static sgc_copy_result copy(sgc_repository *repository, const sgc_object_id *id, place *to)
{
    sgc_copy_result result;
    assert_ok(sgc_repository_copy(repository, id, to->store, 3, &result, &err));
    return result;
}

/* The copy is a repository with the snapshot `id` as it is in `from`, and behind it the root. */
static void check_copy(sgc_repository *from, const sgc_object_id *id, place *to)
{
    sgc_repository *copied = place_open(to);
    const sgc_object_id tip = tip_of(copied, "main");
    assert_int_equal(sgc_repository_spec_version(copied), sgc_repository_spec_version(from));
    assert_memory_equal(&tip, id, sizeof tip);
    char *values = describe_snapshot(from, id), *copied_values = describe_snapshot(copied, id);
    assert_string_equal(values, copied_values);
    check_sound(copied);
    free(values);
    free(copied_values);
    sgc_repository_free(copied);
}

static void check_history(place *to, const char *expected)
{
    sgc_repository *copied = place_open(to);
    const sgc_object_id tip = tip_of(copied, "main");
    char *history = describe_history(copied, &tip);
    assert_string_equal(history, expected);
    free(history);
    sgc_repository_free(copied);
}

/* ---- a repository with more than is to be copied ---- */

typedef struct scene {
    place *p;
    sgc_repository *repository;
    sgc_object_id root, first, second, third, other;
} scene;

static scene begin(void **state)
{
    scene s = {.p = *state};
    s.repository = place_create(s.p);
    s.root = tip_of(s.repository, "main");
    s.first = commit_arrays(s.repository);
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_BRANCH, "other", &s.first, &err));
    s.other = commit_value(s.repository, "other", "/g/native", 1, 1, 9);
    commit_value(s.repository, "main", "/g/native", 0, 0, 1);
    s.second = commit_value(s.repository, "main", "/g/native", 0, 1, 2);
    commit_value(s.repository, "main", "/inline", 2, 0, 3);
    s.third = commit_value(s.repository, "main", "/g/native", 0, 0, 4);
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_TAG, "t", &s.second, &err));
    return s;
}

static void end(scene *s)
{
    sgc_repository_free(s->repository);
}

static void check_counts(place *to, size_t snapshots, size_t logs, size_t manifests, size_t chunks)
{
    assert_int_equal(count_objects(to->store, "snapshots/"), snapshots);
    assert_int_equal(count_objects(to->store, "transactions/"), logs);
    assert_int_equal(count_objects(to->store, "manifests/"), manifests);
    assert_int_equal(count_objects(to->store, "chunks/"), chunks);
    assert_int_equal(count_objects(to->store, "overwritten/"), 0);
}

/* The branch, or the repo info, is not one of the objects. */
static void check_result(place *to, const sgc_copy_result *result)
{
    uint64_t bytes = 0;
    size_t objects = 0;
    contents all = contents_take(to);
    for (size_t i = 0; i < all.count; i++)
        if (strncmp(all.files[i].key, "refs/", 5) != 0 && strcmp(all.files[i].key, "repo") != 0) {
            objects++;
            bytes += all.files[i].object.size;
        }
    assert_int_equal(result->objects, objects);
    assert_true(result->bytes == bytes);
    contents_free(&all);
}

static void test_copies(void **state)
{
    scene s = begin(state);
    const size_t root_logs = s.p->version == 2;
    const struct {
        const sgc_object_id *id;
        const char *history;
        size_t manifests, chunks;
    } cases[] = {
        {&s.third, "value 4 Repository initialized", 2, 2},
        {&s.second, "value 2 Repository initialized", 1, 2},
        {&s.other, "value 9 Repository initialized", 1, 1},
        {&s.first, "arrays Repository initialized", 0, 0},
    };
    contents before = contents_take(s.p);
    for (size_t i = 0; i < 8; i++) {
        place to = new_place(i % 2 == 1);
        const sgc_copy_result result = copy(s.repository, cases[i / 2].id, &to);
        check_copy(s.repository, cases[i / 2].id, &to);
        check_history(&to, cases[i / 2].history);
        check_counts(&to, 2, 1 + root_logs, cases[i / 2].manifests, cases[i / 2].chunks);
        check_result(&to, &result);
        place_clear(&to);
    }
    check_unchanged(s.p, &before);
    end(&s);
}

static void test_a_copy_of_the_root(void **state)
{
    scene s = begin(state);
    place to = new_place(false);
    const sgc_copy_result result = copy(s.repository, &s.root, &to);
    check_copy(s.repository, &s.root, &to);
    check_history(&to, "Repository initialized");
    check_counts(&to, 1, s.p->version == 2, 0, 0);
    check_result(&to, &result);
    place_clear(&to);
    end(&s);
}

static void test_life_goes_on_in_a_copy(void **state)
{
    scene s = begin(state);
    place to = new_place(true);
    copy(s.repository, &s.second, &to);
    sgc_repository *copied = place_open(&to);
    commit_value(copied, "main", "/g/native", 1, 2, 7);
    const sgc_object_id tip = commit_value(copied, "main", "/scalar", 0, 0, 8);
    assert_ok(sgc_repository_create_ref(copied, SGC_REF_TAG, "t", &tip, &err));
    char *history = describe_history(copied, &tip);
    assert_string_equal(history, "value 8 value 7 value 2 Repository initialized");
    free(history);
    check_sound(copied);
    sgc_repository_free(copied);
    place_clear(&to);
    end(&s);
}

/* A snapshot with transaction logs of expired ones. */
static void test_a_copy_after_an_expiration(void **state)
{
    scene s = begin(state);
    place to = new_place(false);
    sgc_expire_result expired;
    assert_ok(sgc_repository_expire(s.repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                    &expired, &err));
    copy(s.repository, &s.third, &to);
    check_copy(s.repository, &s.third, &to);
    check_counts(&to, 2, 1 + (s.p->version == 2), 2, 2);
    place_clear(&to);
    end(&s);
}

/* ---- what belongs to the repository ---- */

static void test_the_rules_are_copied(void **state)
{
    place *p = *state;
    static const sgc_split_rule rules[] = {{"x", 5}};
    static const sgc_dimension x = {.name = "x"};
    static const sgc_node array = {
        .path = "/a", .is_array = true, .dimension_count = 1, .dimensions = &x};
    const sgc_repository_options options = {
        .split_rules = rules, .split_rule_count = 1, .spec_version = p->version};
    sgc_repository *repository;
    assert_ok(
        sgc_repository_create(hook_store_new(p->store, NULL, NULL), &options, &repository, &err));
    const sgc_object_id tip = commit_arrays(repository);
    place to = new_place(false);
    const sgc_copy_result result = copy(repository, &tip, &to);
    check_result(&to, &result);
    sgc_repository *copied = place_open(&to);
    uint32_t lengths[SGC_MAX_DIMENSIONS];
    sgc_repository_split(copied, &array, lengths);
    assert_int_equal(lengths[0], 5);
    sgc_repository_free(copied);
    sgc_repository_free(repository);
    place_clear(&to);
}

static void test_settings_are_copied(void **state)
{
    scene s = begin(state);
    static const char config[] = "{\"inline_chunk_threshold_bytes\":7}";
    static const uint16_t disabled[] = {5};
    static const sgc_metadata_item items[] = {{"k", (const unsigned char *)"\x01\x04\x01", 3}};
    sgc_buffer flex = {0};
    assert_ok(sgc_flex_buffers_encode((sgc_span){config, strlen(config)}, &flex, &err));
    sgc_repo_info info = load_info(s.p);
    info.data.config = (sgc_bytes){flex.data, flex.size};
    info.data.disabled_flags = disabled;
    info.data.disabled_flag_count = 1;
    info.data.has_disabled_flags = true;
    info.data.metadata = items;
    info.data.metadata_count = 1;
    info.data.status.availability = SGC_READ_ONLY;
    info.data.status.reason = "it moves";
    put_info(s.p, &info.data);
    sgc_repo_info_clear(&info);
    place to = new_place(false);
    copy(s.repository, &s.second, &to);
    info = load_info(&to);
    assert_int_equal(info.data.config.size, flex.size);
    assert_memory_equal(info.data.config.data, flex.data, flex.size);
    assert_int_equal(info.data.disabled_flag_count, 1);
    assert_int_equal(info.data.metadata_count, 1);
    assert_int_equal(info.data.status.availability, SGC_ONLINE);
    assert_null(info.data.status.reason);
    assert_int_equal(info.data.branch_count, 1);
    assert_int_equal(info.data.tag_count + info.data.deleted_tag_count, 0);
    assert_int_equal(info.data.snapshot_count, 2);
    assert_int_equal(info.data.operation_count, 1);
    assert_int_equal(info.data.operations[0].kind, SGC_REPO_INITIALIZED);
    assert_null(info.data.operations[0].backup);
    assert_null(info.data.previous_file);
    sgc_repo_info_clear(&info);
    sgc_buffer_free(&flex);
    place_clear(&to);
    end(&s);
}

/* ---- what is refused ---- */

static void test_a_place_with_a_repository(void **state)
{
    scene s = begin(state);
    for (int version = 1; version <= 2; version++) {
        place to = new_place(false);
        sgc_copy_result result;
        to.version = version;
        sgc_repository_free(place_create(&to));
        contents before = contents_take(&to);
        assert_status(SGC_EXISTS,
                      sgc_repository_copy(s.repository, &s.second, to.store, 1, &result, &err));
        check_unchanged(&to, &before);
        place_clear(&to);
    }
    end(&s);
}

static void test_a_copy_of_nothing(void **state)
{
    scene s = begin(state);
    place to = new_place(false);
    sgc_copy_result result;
    const sgc_object_id nothing = {{1, 2, 3}};
    assert_status(SGC_NOT_FOUND,
                  sgc_repository_copy(s.repository, &nothing, to.store, 1, &result, &err));
    assert_int_equal(count_objects(to.store, ""), 0);
    place_clear(&to);
    end(&s);
}

static void assert_no_repository(place *to)
{
    sgc_repository *repository;
    assert_status(SGC_NOT_FOUND, sgc_repository_open(to->store, NULL, &repository, &err));
}

static void test_a_damaged_source(void **state)
{
    scene s = begin(state);
    contents all = contents_take(s.p);
    for (size_t i = 0; i < all.count; i++) {
        const char *key = all.files[i].key;
        if (strncmp(key, "chunks/", 7) != 0 && strncmp(key, "manifests/", 10) != 0)
            continue;
        place to = new_place(false);
        sgc_copy_result result;
        sgc_repository *fresh = place_open(s.p);
        place_remove(s.p, key);
        const sgc_status status = sgc_repository_copy(fresh, &s.third, to.store, 2, &result, &err);
        if (status != SGC_OK) {
            assert_int_equal(status, SGC_NOT_FOUND);
            assert_message(key);
            assert_no_repository(&to);
        } else {
            check_copy(fresh, &s.third, &to);
        }
        place_put(s.p, key, all.files[i].object.data, all.files[i].object.size);
        sgc_repository_free(fresh);
        place_clear(&to);
    }
    contents_free(&all);
    end(&s);
}

/* ---- interruptions ---- */

typedef struct fault {
    int at, calls;
} fault;

static sgc_status fail_once(void *user, const char *verb, const char *key, sgc_error *error)
{
    fault *f = user;
    return ++f->calls == f->at ? sgc_fail(error, SGC_NETWORK, "%s %s: no luck", verb, key) : SGC_OK;
}

/* Interrupted at the call number `at` of one side and begun anew. False: there is no such call. */
static bool interrupt(scene *s, bool at_source, int at)
{
    place to = new_place(false);
    fault f = {0};
    sgc_copy_result result = {0}, rest;
    sgc_repository *from = at_source ? place_open_hooked(s->p, fail_once, &f) : place_open(s->p);
    sgc_object_store *store =
        at_source ? hook_store_new(to.store, NULL, NULL) : hook_store_new(to.store, fail_once, &f);
    f = (fault){.at = at};
    const sgc_status status = sgc_repository_copy(from, &s->third, store, 1, &result, &err);
    const bool failed = f.calls >= at;
    if (failed) {
        assert_status(SGC_NETWORK, status);
        assert_message("no luck");
        assert_no_repository(&to);
        const size_t there =
            count_objects(to.store, "chunks/") + count_objects(to.store, "manifests/");
        rest = copy(s->repository, &s->third, &to);
        /* Besides those there are two snapshots and their logs. */
        assert_int_equal(rest.objects, 4 - there + 3 + (s->p->version == 2));
    } else {
        assert_ok(status);
    }
    check_copy(s->repository, &s->third, &to);
    check_counts(&to, 2, 1 + (s->p->version == 2), 2, 2);
    sgc_object_store_free(store);
    sgc_repository_free(from);
    place_clear(&to);
    return failed;
}

static void test_interrupted_copies(void **state)
{
    scene s = begin(state);
    for (int at_source = 0; at_source < 2; at_source++) {
        int at = 1;
        while (interrupt(&s, at_source == 1, at))
            at++;
        assert_true(at > 8);
    }
    end(&s);
}

/* Somebody else takes the snapshot away while it is copied. */
typedef struct thief {
    place *p;
    int at, gets;
} thief;

static sgc_status steal(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)error;
    thief *t = user;
    if (strcmp(verb, "get") != 0 || strcmp(key, "repo") != 0 || ++t->gets != t->at)
        return SGC_OK;
    sgc_garbage_result result;
    sgc_repository *repository = place_open(t->p);
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_BRANCH, "other", &err));
    assert_ok(sgc_repository_collect_garbage(
        repository, &(sgc_garbage_options){.older_than = UINT64_MAX}, &result, &err));
    sgc_repository_free(repository);
    return SGC_OK;
}

static void test_a_snapshot_that_goes_meanwhile(void **state)
{
    (void)state;
    for (int at = 2;; at++) {
        place p = {.version = 2}, to = new_place(false), *pointer = &p;
        assert_ok(sgc_object_store_memory_new(&p.store, &err));
        scene s = begin((void **)&pointer);
        thief t = {.p = &p, .at = at};
        sgc_copy_result result;
        sgc_repository *repository = place_open_hooked(&p, steal, &t);
        const sgc_status status =
            sgc_repository_copy(repository, &s.other, to.store, 1, &result, &err);
        assert_int_equal(status, t.gets >= at ? SGC_NOT_FOUND : SGC_OK);
        if (status != SGC_OK)
            assert_no_repository(&to);
        const bool done = t.gets < at;
        sgc_repository_free(repository);
        end(&s);
        place_clear(&p);
        place_clear(&to);
        if (done) {
            assert_true(at > 3);
            break;
        }
    }
}

/* ---- repositories of others ---- */

static void test_golden_repositories(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        place p;
        sgc_ref_names refs;
        place_copy_golden(&p, golden_names[i]);
        sgc_repository *repository = place_open(&p);
        assert_ok(sgc_repository_list_refs(repository, &refs, &err));
        for (size_t k = 0; k < refs.branch_count; k++) {
            place to = new_place(k == 0);
            copy(repository, &refs.branches[k].snapshot, &to);
            check_copy(repository, &refs.branches[k].snapshot, &to);
            check_counts(&to, 2, count_objects(to.store, "transactions/"),
                         count_objects(to.store, "manifests/"), count_objects(to.store, "chunks/"));
            place_clear(&to);
        }
        sgc_ref_names_clear(&refs);
        sgc_repository_free(repository);
        place_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(test_copies),
        IN_MEMORY(test_a_copy_of_the_root),
        EVERYWHERE(test_life_goes_on_in_a_copy),
        IN_MEMORY(test_a_copy_after_an_expiration),
        IN_MEMORY(test_the_rules_are_copied),
        IN_VERSION(2, test_settings_are_copied),
        IN_MEMORY(test_a_place_with_a_repository),
        IN_MEMORY(test_a_copy_of_nothing),
        IN_MEMORY(test_a_damaged_source),
        IN_MEMORY(test_interrupted_copies),
        cmocka_unit_test(test_a_snapshot_that_goes_meanwhile),
        cmocka_unit_test(test_golden_repositories),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
