/* The operations log of version 2 and its backups, under the hands of our writer. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/codec_testing.h"
#include "autotest/unit/golden.h"
#include "store/clock.h"
#include "store/icechunk/envelope.h"
#include "store/icechunk/flex_buffers.h"
#include "store/icechunk/maintenance.h"
#include "store/parallel.h"

/* ---- the operations log ---- */

/* The version that was replaced, kept as `backup`. */
static sgc_repo_info load_backup(place *p, const char *backup)
{
    char key[128];
    sgc_buffer payload = {0};
    sgc_repo_info info = {0};
    int version;
    snprintf(key, sizeof key, "overwritten/%s", backup);
    info.file = place_get(p, key);
    assert_ok(sgc_envelope_unwrap(SGC_FILE_REPO_INFO, info.file.data, info.file.size, &version,
                                  &payload, &err));
    assert_int_equal(version, 2);
    assert_ok(sgc_repo_info_decode(payload.data, payload.size, &info.arena, &info.data, &err));
    sgc_buffer_free(&payload);
    return info;
}

/* Like "repo.30728015042536.PTXGHH5DYGZ1JY7JBK70", of the time between. */
static void check_backup_name(const char *name, uint64_t earliest, uint64_t latest)
{
    unsigned long long until_3000;
    sgc_object_id id;
    assert_int_equal(strlen(name), 5 + 14 + 1 + SGC_OBJECT_ID_TEXT);
    assert_int_equal(sscanf(name, "repo.%14llu.", &until_3000), 1);
    assert_int_equal(name[19], '.');
    assert_ok(sgc_object_id_parse(name + 20, SGC_OBJECT_ID_TEXT, &id, &err));
    const uint64_t made = UINT64_C(32503680000000) - until_3000;
    assert_true(made >= earliest / 1000 && made <= latest / 1000);
}

/* Checks the log that goes on through earlier files (format guide 8.2); gives its length. */
static size_t check_log(place *p, uint64_t earliest, uint64_t latest)
{
    sgc_repo_info info = load_info(p);
    size_t count = 0;
    uint64_t later = UINT64_MAX;
    for (bool more = true; more;) {
        const sgc_repo_info_data *data = &info.data;
        assert_null(data->operations[0].backup);
        for (size_t i = 0; i < data->operation_count; i++) {
            const sgc_operation *operation = &data->operations[i];
            assert_true(operation->time < later);
            later = operation->time;
            count++;
            if (operation->backup == NULL)
                continue;
            check_backup_name(operation->backup, earliest, latest);
            sgc_repo_info before = load_backup(p, operation->backup);
            sgc_operation as_newest = *operation;
            as_newest.backup = NULL;
            assert_same_operation(&before.data.operations[0], &as_newest);
            sgc_repo_info_clear(&before);
        }
        more = data->previous_file != NULL;
        if (more) {
            /* It begins with what comes next. */
            sgc_repo_info next = load_backup(p, data->previous_file);
            sgc_repo_info_clear(&info);
            info = next;
        }
    }
    sgc_repo_info_clear(&info);
    return count;
}

static void check_kinds(place *p, const sgc_operation *expected, size_t count)
{
    sgc_repo_info info = load_info(p);
    assert_int_equal(info.data.operation_count, count);
    for (size_t i = 0; i < count; i++) {
        sgc_operation operation = info.data.operations[i];
        assert_int_equal(operation.backup == NULL, i == 0);
        operation.time = 0;
        operation.backup = NULL;
        assert_same_operation(&operation, &expected[i]);
    }
    sgc_repo_info_clear(&info);
}

static void test_each_change_is_logged(void **state)
{
    place *p = *state;
    const uint64_t before = sgc_clock_now();
    sgc_repository *repository = place_create(p);
    const sgc_object_id root = tip_of(repository, "main"), first = commit_arrays(repository);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &first, &err));
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, "b", &first, &err));
    const sgc_object_id second = commit_value(repository, "b", "/inline", 0, 0, 1);
    const sgc_object_id third = commit_value(repository, "main", "/inline", 0, 0, 2);
    assert_ok(sgc_repository_reset_branch(repository, "main", &third, &root, &err));
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_TAG, "t", &err));
    sgc_expire_result expired;
    sgc_garbage_result garbage;
    assert_ok(sgc_repository_expire(repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                    &expired, &err));
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_BRANCH, "b", &err));
    assert_ok(sgc_repository_collect_garbage(
        repository, &(sgc_garbage_options){.older_than = UINT64_MAX}, &garbage, &err));
    const sgc_operation expected[] = {
        {.kind = SGC_GC_RAN},
        {.kind = SGC_BRANCH_DELETED, .name = "b", .previous = second},
        {.kind = SGC_EXPIRATION_RAN},
        {.kind = SGC_TAG_DELETED, .name = "t", .previous = first},
        {.kind = SGC_BRANCH_RESET, .name = "main", .previous = third},
        {.kind = SGC_NEW_COMMIT, .name = "main", .snapshot = third},
        {.kind = SGC_NEW_COMMIT, .name = "b", .snapshot = second},
        {.kind = SGC_BRANCH_CREATED, .name = "b"},
        {.kind = SGC_TAG_CREATED, .name = "t"},
        {.kind = SGC_NEW_COMMIT, .name = "main", .snapshot = first},
        {.kind = SGC_REPO_INITIALIZED},
    };
    enum { COUNT = sizeof expected / sizeof *expected };
    check_kinds(p, expected, COUNT);
    assert_int_equal(check_log(p, before, sgc_clock_now()), COUNT);
    assert_int_equal(count_objects(p->store, "overwritten/"), COUNT - 1);
    sgc_repository_free(repository);
}

static void test_what_is_refused_is_not_logged(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    const sgc_object_id root = tip_of(repository, "main");
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &root, &err));
    contents before = contents_take(p);
    assert_status(SGC_EXISTS, sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &root, &err));
    assert_status(SGC_NOT_FOUND, sgc_repository_delete_ref(repository, SGC_REF_TAG, "u", &err));
    sgc_expire_result expired;
    sgc_garbage_result garbage;
    assert_ok(sgc_repository_expire(repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                    &expired, &err));
    assert_ok(sgc_repository_collect_garbage(
        repository, &(sgc_garbage_options){.older_than = UINT64_MAX}, &garbage, &err));
    check_unchanged(p, &before);
    sgc_repository_free(repository);
}

/* ---- long logs ---- */

static void limit_log(place *p, unsigned most)
{
    char json[64];
    sgc_buffer config = {0};
    snprintf(json, sizeof json, "{\"num_updates_per_repo_info_file\":%u}", most);
    assert_ok(sgc_flex_buffers_encode((sgc_span){json, strlen(json)}, &config, &err));
    sgc_repo_info info = load_info(p);
    info.data.config = (sgc_bytes){config.data, config.size};
    put_info(p, &info.data);
    sgc_repo_info_clear(&info);
    sgc_buffer_free(&config);
}

static void create_tag(sgc_repository *repository, unsigned number)
{
    char name[32];
    const sgc_object_id tip = tip_of(repository, "main");
    snprintf(name, sizeof name, "t%u", number);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, name, &tip, &err));
}

static void test_a_long_log_goes_on_in_earlier_files(void **state)
{
    (void)state;
    for (unsigned most = 1; most <= 4; most++) {
        place other = {.version = 2};
        const uint64_t before = sgc_clock_now();
        assert_ok(sgc_object_store_memory_new(&other.store, &err));
        sgc_repository_free(place_create(&other));
        limit_log(&other, most);
        sgc_repository *repository = place_open(&other);
        for (unsigned n = 2; n <= 12; n++) {
            create_tag(repository, n);
            sgc_repo_info info = load_info(&other);
            assert_int_equal(info.data.operation_count, n < most ? n : most);
            assert_int_equal(info.data.previous_file != NULL, n > most);
            sgc_repo_info_clear(&info);
            assert_int_equal(check_log(&other, before, sgc_clock_now()), n);
        }
        sgc_repository_free(repository);
        place_clear(&other);
    }
}

/* A log of a migration has no backups: it is only cut where there is one. */
static void test_a_long_log_of_a_migration(void **state)
{
    (void)state;
    place p;
    const uint64_t before = sgc_clock_now();
    place_copy_golden(&p, "test-repo-v2-migrated");
    limit_log(&p, 3);
    sgc_repository *repository = place_open(&p);
    static const size_t counts[] = {13, 14, 3, 3};
    for (unsigned n = 0; n < 4; n++) {
        create_tag(repository, n);
        sgc_repo_info info = load_info(&p);
        assert_int_equal(info.data.operation_count, counts[n]);
        sgc_repo_info_clear(&info);
        assert_int_equal(check_log(&p, before, sgc_clock_now()), 13 + n);
    }
    sgc_repository_free(repository);
    place_clear(&p);
}

static void test_1000_operations_by_default(void **state)
{
    place *p = *state;
    enum { MANY = 1000 };
    char(*names)[16] = calloc(MANY, sizeof *names);
    sgc_operation *operations = calloc(MANY, sizeof *operations);
    sgc_repository *repository = place_create(p);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "repo.%u", i);
        operations[i] = (sgc_operation){
            .kind = SGC_GC_RAN, .time = 5000 - i, .backup = i > 0 ? names[i] : NULL};
    }
    sgc_repo_info info = load_info(p);
    info.data.operations = operations;
    info.data.operation_count = MANY;
    info.data.previous_file = "repo.old";
    put_info(p, &info.data);
    sgc_repo_info_clear(&info);
    create_tag(repository, 1);
    info = load_info(p);
    assert_int_equal(info.data.operation_count, MANY);
    assert_string_equal(info.data.previous_file, "repo.999");
    assert_string_equal(info.data.operations[MANY - 1].backup, "repo.998");
    sgc_repo_info_clear(&info);
    sgc_repository_free(repository);
    free(operations);
    free(names);
}

/* ---- clocks ---- */

static void set_newest_time(place *p, uint64_t time)
{
    sgc_repo_info info = load_info(p);
    sgc_operation *operations = sgc_arena_copy(&info.arena, info.data.operations,
                                               info.data.operation_count * sizeof *operations);
    operations[0].time = time;
    info.data.operations = operations;
    put_info(p, &info.data);
    sgc_repo_info_clear(&info);
}

static void test_times_grow_where_clocks_differ(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    const uint64_t ahead = sgc_clock_now() + 300 * UINT64_C(1000000);
    set_newest_time(p, ahead);
    create_tag(repository, 1);
    create_tag(repository, 2);
    sgc_repo_info info = load_info(p);
    assert_true(info.data.operations[0].time == ahead + 2);
    assert_true(info.data.operations[1].time == ahead + 1);
    sgc_repo_info_clear(&info);
    sgc_repository_free(repository);
}

static void test_a_log_of_the_far_future(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    const sgc_object_id root = tip_of(repository, "main");
    set_newest_time(p, sgc_clock_now() + 3600 * UINT64_C(1000000));
    contents before = contents_take(p);
    assert_status(SGC_INVALID,
                  sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &root, &err));
    assert_message("clock");
    check_unchanged(p, &before);
    sgc_repository_free(repository);
}

/* ---- several writers ---- */

enum { THREADS = 4, TAGS_EACH = 5 };

static sgc_status create_tags(void *user, size_t thread, sgc_error *error)
{
    place *p = user;
    sgc_repository *repository;
    SGC_TRY(sgc_repository_open(hook_store_new(p->store, NULL, NULL), NULL, &repository, error));
    sgc_object_id tip;
    sgc_status status = sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, error);
    for (int i = 0; status == SGC_OK && i < TAGS_EACH; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%zu-%d", thread, i);
        status = sgc_repository_create_ref(repository, SGC_REF_TAG, name, &tip, error);
    }
    sgc_repository_free(repository);
    return status;
}

static void test_no_change_is_lost(void **state)
{
    place *p = *state;
    const uint64_t before = sgc_clock_now();
    sgc_repository_free(place_create(p));
    assert_ok(sgc_parallel_for(THREADS, THREADS, create_tags, p, &err));
    sgc_repo_info info = load_info(p);
    assert_int_equal(info.data.tag_count, THREADS * TAGS_EACH);
    sgc_repo_info_clear(&info);
    assert_int_equal(check_log(p, before, sgc_clock_now()), 1 + THREADS * TAGS_EACH);
}

/* Somebody else is faster the first times. */
typedef struct faster {
    place *p;
    unsigned times;
} faster;

static sgc_status be_faster(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)key;
    (void)error;
    faster *f = user;
    if (strcmp(verb, "copy") != 0 || f->times == 0)
        return SGC_OK;
    sgc_repository *repository = place_open(f->p);
    create_tag(repository, f->times--);
    sgc_repository_free(repository);
    return SGC_OK;
}

static void test_a_lost_race_is_run_again(void **state)
{
    place *p = *state;
    const uint64_t before = sgc_clock_now();
    faster f = {p, 3};
    sgc_repository_free(place_create(p));
    sgc_repository *repository = place_open_hooked(p, be_faster, &f);
    create_tag(repository, 9);
    assert_int_equal(f.times, 0);
    sgc_repo_info info = load_info(p);
    assert_int_equal(info.data.tag_count, 4);
    sgc_repo_info_clear(&info);
    assert_int_equal(check_log(p, before, sgc_clock_now()), 5);
    sgc_repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_VERSION(2, test_each_change_is_logged),
        IN_DIRECTORY_OF_VERSION(2, test_each_change_is_logged),
        IN_VERSION(2, test_what_is_refused_is_not_logged),
        cmocka_unit_test(test_a_long_log_goes_on_in_earlier_files),
        cmocka_unit_test(test_a_long_log_of_a_migration),
        IN_VERSION(2, test_1000_operations_by_default),
        IN_VERSION(2, test_times_grow_where_clocks_differ),
        IN_VERSION(2, test_a_log_of_the_far_future),
        IN_VERSION(2, test_no_change_is_lost),
        IN_DIRECTORY_OF_VERSION(2, test_no_change_is_lost),
        IN_VERSION(2, test_a_lost_race_is_run_again),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
