/* Repositories when memory runs out, at each allocation. */
#include "autotest/unit/store_testing.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "autotest/unit/allocation_faults.h"
#include "autotest/unit/fault_store.h"
#include "autotest/unit/store_scenarios.h"

/* Nothing here is about the disk. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

/* ---- zstd: the linker puts these before those of the library ---- */

ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_DStream *__real_ZSTD_createDStream(void);
size_t __real_ZSTD_compress2(ZSTD_CCtx *context, void *out, size_t room, const void *in,
                             size_t size);
size_t __real_ZSTD_decompress(void *out, size_t room, const void *in, size_t size);
size_t __real_ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *out, ZSTD_inBuffer *in);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DStream *__wrap_ZSTD_createDStream(void);
size_t __wrap_ZSTD_compress2(ZSTD_CCtx *context, void *out, size_t room, const void *in,
                             size_t size);
size_t __wrap_ZSTD_decompress(void *out, size_t room, const void *in, size_t size);
size_t __wrap_ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *out, ZSTD_inBuffer *in);

static const size_t zstd_no_memory = (size_t)-ZSTD_error_memory_allocation;

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    return allocation_fails() ? NULL : __real_ZSTD_createCCtx();
}

ZSTD_DStream *__wrap_ZSTD_createDStream(void)
{
    return allocation_fails() ? NULL : __real_ZSTD_createDStream();
}

size_t __wrap_ZSTD_compress2(ZSTD_CCtx *context, void *out, size_t room, const void *in,
                             size_t size)
{
    return allocation_fails() ? zstd_no_memory
                              : __real_ZSTD_compress2(context, out, room, in, size);
}

size_t __wrap_ZSTD_decompress(void *out, size_t room, const void *in, size_t size)
{
    return allocation_fails() ? zstd_no_memory : __real_ZSTD_decompress(out, room, in, size);
}

size_t __wrap_ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
    return allocation_fails() ? zstd_no_memory : __real_ZSTD_decompressStream(stream, out, in);
}

/* ---- places ---- */

static sgc_object_store *memory;
static store_fault no_fault;
static char *directory;

static sgc_object_store *open_memory(void *user)
{
    (void)user;
    return fault_store_new(memory, &no_fault);
}

static sgc_object_store *open_directory(void *user)
{
    (void)user;
    sgc_object_store *store = NULL;
    return sgc_object_store_local_new(directory, NULL, &store, NULL) == SGC_OK ? store : NULL;
}

static const scenario_place places[] = {{open_memory, NULL}, {open_directory, NULL}};

static void forget_blocks_read_so_far(void)
{
    sgc_block_cache_set_size(0);
    sgc_block_cache_set_size(1 << 20);
}

static void begin_trial(void)
{
    assert_ok(sgc_object_store_memory_new(&memory, &err));
    directory = temporary_directory_new();
    forget_blocks_read_so_far();
}

static void end_trial(void)
{
    sgc_object_store_free(memory);
    temporary_directory_free(directory);
}

static void check_status_of(sgc_status status, bool failed)
{
    if (!failed)
        assert_ok(status);
    else if (status != SGC_OK)
        assert_status(SGC_NO_MEMORY, status);
}

/* ---- changes ---- */

/* True when nothing failed. */
static bool try_change(const store_scenario *scenario, const scenario_place *place, size_t at,
                       bool lasting)
{
    begin_trial();
    scenario_prepare(scenario, place);
    allocations_begin(at, lasting);
    const sgc_status status = scenario_act(scenario, place, &err);
    const bool failed = allocations_end();
    check_status_of(status, failed);
    assert_int_equal(scenario_check(scenario, place),
                     status == SGC_OK ? SCENARIO_AFTER : SCENARIO_BEFORE);
    end_trial();
    return !failed;
}

static void try_changes(bool lasting)
{
    for (size_t i = 0; i < store_scenario_count; i++)
        for (size_t p = 0; p < 2; p++) {
            bool ended = false;
            for (size_t at = 1; !ended; at++) {
                note_trial("%s, place %zu, allocation %zu", store_scenarios[i].name, p, at);
                ended = try_change(&store_scenarios[i], &places[p], at, lasting);
            }
        }
    forget_trial();
}

static void test_changes(void **state)
{
    (void)state;
    try_changes(false);
}

static void test_changes_without_any_memory(void **state)
{
    (void)state;
    try_changes(true);
}

/* ---- objects ---- */

static sgc_status use_object(void *user, const char *key, const sgc_object_info *info,
                             sgc_error *error)
{
    sgc_object_store *store = user;
    sgc_object object = {0};
    const sgc_status status = store->get(store, key, 0, info->size, &object, error);
    sgc_object_clear(&object);
    return status;
}

static sgc_status use_verbs(sgc_object_store *store, sgc_error *error)
{
    const sgc_object one = {(unsigned char *)"1", 1};
    SGC_TRY(store->put(store, "x/a", "1", 1, SGC_PUT_ALWAYS, NULL, error));
    SGC_TRY(store->put(store, "x/a", "2", 1, SGC_PUT_IF_UNCHANGED, &one, error));
    SGC_TRY(store->put(store, "x/y/b", "3", 1, SGC_PUT_IF_ABSENT, NULL, error));
    SGC_TRY(store->copy(store, "x/a", "c", error));
    SGC_TRY(store->list(store, "", use_object, store, error));
    if (store->sweep != NULL)
        SGC_TRY(store->sweep(store, UINT64_MAX, false, NULL, NULL, error));
    return sgc_object_store_remove(store, "x/a", error);
}

static sgc_status use_store(bool local, sgc_error *error)
{
    sgc_object_store *store;
    SGC_TRY(local ? sgc_object_store_local_new(directory, NULL, &store, error)
                  : sgc_object_store_memory_new(&store, error));
    const sgc_status status = use_verbs(store, error);
    sgc_object_store_free(store);
    return status;
}

static sgc_status fail_listed(void *user, const char *key, const sgc_object_info *info,
                              sgc_error *error)
{
    (void)user;
    (void)info;
    return sgc_fail(error, SGC_EXISTS, "%s is left behind", key);
}

static void test_stores(void **state)
{
    (void)state;
    for (int local = 0; local < 2; local++) {
        bool ended = false;
        for (size_t at = 1; !ended; at++) {
            begin_trial();
            allocations_begin(at, false);
            const sgc_status status = use_store(local, &err);
            ended = !allocations_end();
            check_status_of(status, !ended);
            sgc_object_store *store = open_directory(NULL);
            assert_ok(store->sweep(store, UINT64_MAX, true, fail_listed, NULL, &err));
            sgc_object_store_free(store);
            end_trial();
        }
    }
}

/* ---- reading ---- */

static sgc_status open_and_read(const scenario_place *place, uint64_t *digest, sgc_error *error)
{
    sgc_object_store *store = place->open(place->user);
    if (store == NULL)
        return sgc_fail(error, SGC_NO_MEMORY, "no store");
    sgc_repository *repository;
    sgc_status status = sgc_repository_open(store, NULL, &repository, error);
    if (status != SGC_OK) {
        sgc_object_store_free(store);
        return status;
    }
    status = scenario_read_all(repository, digest, error);
    sgc_repository_free(repository);
    return status;
}

static void check_reads(const scenario_place *place, bool lasting)
{
    uint64_t expected, digest;
    begin_trial();
    scenario_prepare(store_scenario_tag, place);
    assert_ok(scenario_act(store_scenario_tag, place, &err));
    assert_ok(open_and_read(place, &expected, &err));
    bool ended = false;
    for (size_t at = 1; !ended; at++) {
        note_trial("reading, allocation %zu", at);
        forget_blocks_read_so_far();
        allocations_begin(at, lasting);
        const sgc_status status = open_and_read(place, &digest, &err);
        ended = !allocations_end();
        check_status_of(status, !ended);
        if (status == SGC_OK)
            assert_int_equal(digest, expected);
        assert_ok(open_and_read(place, &digest, &err));
        assert_int_equal(digest, expected);
    }
    forget_trial();
    end_trial();
}

static void test_reads(void **state)
{
    (void)state;
    for (size_t p = 0; p < 2; p++)
        check_reads(&places[p], false);
}

static void test_reads_without_any_memory(void **state)
{
    (void)state;
    for (size_t p = 0; p < 2; p++)
        check_reads(&places[p], true);
}

/* ---- a session goes on ---- */

/* Texts too long for the memory that the session has already. */
enum { TEXT_SIZE = 20000 };

static sgc_status put_group(sgc_session *session)
{
    static char text[TEXT_SIZE + 1];
    snprintf(text, sizeof text, "%-*s", TEXT_SIZE, "{}");
    return sgc_session_put_group(session, "/g", text, TEXT_SIZE, &err);
}

static sgc_status put_new_array(sgc_session *session)
{
    static char text[TEXT_SIZE + 1];
    static const char json[] =
        "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[4],\"data_type\":\"float32\","
        "\"chunk_grid\":{\"name\":\"regular\",\"configuration\":{\"chunk_shape\":[2]}},"
        "\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":0.5,"
        "\"codecs\":[{\"name\":\"bytes\"}],\"dimension_names\":[\"x\"]}";
    snprintf(text, sizeof text, "%-*s", TEXT_SIZE, json);
    return sgc_session_put_array(session, "/g", text, TEXT_SIZE, &err);
}

/* Whoever goes on after a failure commits what succeeded, and no half of the rest. */
static void check_session(sgc_status (*put)(sgc_session *session))
{
    begin_trial();
    bool ended = false;
    for (size_t at = 1; !ended; at++) {
        sgc_repository *repository = new_repository();
        sgc_session *session = new_session(repository);
        assert_ok(sgc_session_put_group(session, "/", "{}", 2, &err));
        allocations_begin(at, false);
        const sgc_status status = put(session);
        ended = !allocations_end();
        check_status_of(status, !ended);
        commit(session);
        sgc_snapshot *snapshot = load_tip(repository);
        const sgc_node *node = sgc_snapshot_find(snapshot, "/g");
        assert_true((status == SGC_OK) == (node != NULL));
        assert_true(node == NULL || node->user_data_size > 0);
        sgc_snapshot_unref(snapshot);
        sgc_repository_free(repository);
    }
    end_trial();
}

static void test_session_after_a_failure(void **state)
{
    (void)state;
    check_session(put_group);
    check_session(put_new_array);
}

static void *json_malloc(size_t size)
{
    return malloc(size); /* ours */
}

static int use_our_memory(void **state)
{
    (void)state;
    cJSON_InitHooks(&(cJSON_Hooks){json_malloc, free});
    return 0;
}

#define TEST(test) cmocka_unit_test_teardown(test, say_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stores),
        TEST(test_changes),
        TEST(test_changes_without_any_memory),
        TEST(test_reads),
        TEST(test_reads_without_any_memory),
        TEST(test_session_after_a_failure),
    };
    return cmocka_run_group_tests(tests, use_our_memory, NULL);
}
