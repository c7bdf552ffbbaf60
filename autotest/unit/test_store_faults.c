/* Repositories in a store that fails, at each call of a change. */
#include "autotest/unit/store_testing.h"

#include <stdlib.h>
#include <string.h>

#include "autotest/unit/fault_store.h"
#include "autotest/unit/store_scenarios.h"

static sgc_object_store *memory;
static store_fault fault;

static sgc_object_store *open_faulty(void *user)
{
    (void)user;
    return fault_store_new(memory, &fault);
}

static const scenario_place place = {open_faulty, NULL};

static void begin_trial(const store_scenario *scenario)
{
    assert_ok(sgc_object_store_memory_new(&memory, &err));
    fault = (store_fault){0};
    scenario_prepare(scenario, &place);
}

static void end_trial(void)
{
    sgc_object_store_free(memory);
}

/* Whoever failed says what it was about. */
static void check_failure(sgc_status status, const store_fault *planned)
{
    assert_int_equal(status, planned->status);
    assert_message(fault.key);
    assert_message("no luck");
}

/* ---- all at once ---- */

/* True when nothing failed. */
static bool try_one(const store_scenario *scenario, const store_fault *planned)
{
    begin_trial(scenario);
    fault = *planned;
    const sgc_status status = scenario_act(scenario, &place, &err);
    const bool untouched = !fault.has_happened;
    if (status != SGC_OK)
        check_failure(status, planned);
    fault.at = 0;
    const scenario_state state = scenario_check(scenario, &place);
    if (status == SGC_OK)
        assert_int_equal(state, SCENARIO_AFTER);
    if (status != SGC_OK && !planned->is_done)
        assert_int_equal(state, SCENARIO_BEFORE);
    end_trial();
    return untouched;
}

/* ---- the change alone, on one handle, while somebody reads ---- */

typedef struct reader {
    sgc_repository *repository;
    sgc_snapshot *snapshot;
} reader;

static reader begin_reading(void)
{
    reader r;
    sgc_object_store *store = fault_store_new(memory, &fault);
    assert_ok(sgc_repository_open(store, NULL, &r.repository, &err));
    r.snapshot = load_tip(r.repository);
    return r;
}

static void end_reading(reader *r)
{
    sgc_snapshot_unref(r->snapshot);
    sgc_repository_free(r->repository);
}

static bool try_on_one_handle(const store_scenario *scenario, const store_fault *planned)
{
    begin_trial(scenario);
    reader r = begin_reading();
    sgc_repository *repository;
    assert_ok(sgc_repository_open(open_faulty(NULL), scenario->options, &repository, &err));
    fault = *planned;
    const sgc_status status = scenario->act(repository, &err);
    const bool untouched = !fault.has_happened;
    if (status != SGC_OK)
        check_failure(status, planned);
    fault.at = 0;
    scenario_read_snapshot(r.repository, r.snapshot);
    if (scenario->look(repository) == SCENARIO_BEFORE)
        assert_ok(scenario->act(repository, &err));
    assert_int_equal(scenario->look(repository), SCENARIO_AFTER);
    scenario_read_snapshot(r.repository, r.snapshot);
    sgc_repository_free(repository);
    end_reading(&r);
    assert_int_equal(scenario_check(scenario, &place), SCENARIO_AFTER);
    end_trial();
    return untouched;
}

/* ---- each call ---- */

static void try_each(bool (*try)(const store_scenario *, const store_fault *),
                     const store_scenario *scenario, sgc_status status, bool is_done)
{
    store_fault planned = {.status = status, .is_done = is_done};
    bool ended = false;
    for (planned.at = 1; !ended; planned.at++) {
        note_trial("%s, status %d%s at call %zu", scenario->name, (int)status,
                   is_done ? ", done," : "", planned.at);
        ended = try(scenario, &planned);
    }
    forget_trial();
    assert_true(planned.at > 3); /* something was tried */
}

static void try_all(sgc_status status, bool is_done)
{
    for (size_t i = 0; i < store_scenario_count; i++) {
        try_each(try_one, &store_scenarios[i], status, is_done);
        if (store_scenarios[i].act != NULL)
            try_each(try_on_one_handle, &store_scenarios[i], status, is_done);
    }
}

static void test_system_errors(void **state)
{
    (void)state;
    try_all(SGC_IO, false);
}

static void test_network_errors(void **state)
{
    (void)state;
    try_all(SGC_NETWORK, false);
}

static void test_refusals(void **state)
{
    (void)state;
    try_all(SGC_AUTH, false);
}

static void test_lost_answers(void **state)
{
    (void)state;
    try_all(SGC_NETWORK, true);
}

/* ---- reading ---- */

/* The next attempt on the same handle succeeds. */
static bool try_to_read(size_t at, uint64_t expected)
{
    sgc_repository *repository;
    uint64_t digest;
    assert_ok(sgc_repository_open(open_faulty(NULL), NULL, &repository, &err));
    const store_fault planned = {.at = at, .status = SGC_NETWORK};
    fault = planned;
    const sgc_status status = scenario_read_all(repository, &digest, &err);
    const bool untouched = !fault.has_happened;
    if (!untouched)
        check_failure(status, &planned);
    fault.at = 0;
    assert_ok(scenario_read_all(repository, &digest, &err));
    assert_int_equal(digest, expected);
    sgc_repository_free(repository);
    return untouched;
}

static void test_faults_of_reads(void **state)
{
    (void)state;
    begin_trial(store_scenario_tag);
    assert_ok(scenario_act(store_scenario_tag, &place, &err));
    sgc_repository *repository;
    uint64_t digest;
    assert_ok(sgc_repository_open(open_faulty(NULL), NULL, &repository, &err));
    assert_ok(scenario_read_all(repository, &digest, &err));
    sgc_repository_free(repository);
    bool ended = false;
    for (size_t at = 1; !ended; at++)
        ended = try_to_read(at, digest);
    end_trial();
}

#define TEST(test) cmocka_unit_test_teardown(test, say_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_system_errors), TEST(test_network_errors),  TEST(test_refusals),
        TEST(test_lost_answers),  TEST(test_faults_of_reads),
    };
    return cmocka_run_group_tests(tests, forget_blocks, NULL);
}
