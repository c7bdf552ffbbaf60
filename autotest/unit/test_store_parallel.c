#include "autotest/unit/store_testing.h"

#include <sched.h>
#include <stdatomic.h>

#include "store/parallel.h"

enum { COUNT = 1000 };

static atomic_int calls[COUNT];

static sgc_status count_call(void *user, size_t index, sgc_error *error)
{
    (void)user;
    (void)error;
    atomic_fetch_add(&calls[index], 1);
    return SGC_OK;
}

static void check_each_index_once(unsigned threads)
{
    for (int i = 0; i < COUNT; i++)
        atomic_store(&calls[i], 0);
    assert_ok(sgc_parallel_for(COUNT, threads, count_call, NULL, &err));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(atomic_load(&calls[i]), 1);
}

static void test_each_index_once(void **state)
{
    (void)state;
    check_each_index_once(0);
    check_each_index_once(1);
    check_each_index_once(4);
    check_each_index_once(1000);
}

static void test_no_index(void **state)
{
    (void)state;
    assert_ok(sgc_parallel_for(0, 4, NULL, NULL, &err));
}

static sgc_status fail_from(void *user, size_t index, sgc_error *error)
{
    const size_t first = *(const size_t *)user;
    return index >= first ? sgc_fail(error, SGC_IO, "index %zu", index) : SGC_OK;
}

static void test_the_lowest_failure_is_told(void **state)
{
    (void)state;
    size_t first = 17;
    for (unsigned threads = 1; threads <= 8; threads++) {
        assert_status(SGC_IO, sgc_parallel_for(COUNT, threads, fail_from, &first, &err));
        assert_string_equal(err.message, "index 17");
    }
}

/* Indices 0 and 1 are both begun before either fails. */
static sgc_status fail_together(void *user, size_t index, sgc_error *error)
{
    atomic_int *begun = user;
    atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 2)
        sched_yield();
    return sgc_fail(error, SGC_IO, "index %zu", index);
}

static void test_the_lowest_of_two_failures_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        atomic_int begun = 0;
        assert_status(SGC_IO, sgc_parallel_for(2, 2, fail_together, &begun, &err));
        assert_string_equal(err.message, "index 0");
    }
}

static sgc_status count_and_fail(void *user, size_t index, sgc_error *error)
{
    (void)index;
    atomic_fetch_add((atomic_int *)user, 1);
    return sgc_fail(error, SGC_IO, "failed");
}

static void test_nothing_is_begun_after_a_failure(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    atomic_int count = 0;
    assert_status(SGC_IO, sgc_parallel_for(COUNT, THREADS, count_and_fail, &count, &err));
    assert_in_range(atomic_load(&count), 1, THREADS);
}

static void test_error_may_be_null(void **state)
{
    (void)state;
    size_t first = 0;
    assert_int_equal(sgc_parallel_for(COUNT, 4, fail_from, &first, NULL), SGC_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_index_once),
        cmocka_unit_test(test_no_index),
        cmocka_unit_test(test_the_lowest_failure_is_told),
        cmocka_unit_test(test_the_lowest_of_two_failures_is_told),
        cmocka_unit_test(test_nothing_is_begun_after_a_failure),
        cmocka_unit_test(test_error_may_be_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
