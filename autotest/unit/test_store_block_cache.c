#include "autotest/unit/store_testing.h"

#include <string.h>

enum { SIZE = 100 };

static const sgc_block_key first = {.chunk = {{1}}}, second = {.chunk = {{2}}},
                           third = {.chunk = {{3}}};

static int set_up(void **state)
{
    (void)state;
    sgc_block_cache_set_size(0);
    sgc_block_cache_set_size(2 * SIZE);
    return 0;
}

static void put(const sgc_block_key *key, int value)
{
    sgc_block *block = sgc_block_new(SIZE);
    assert_non_null(block);
    memset(block->data, value, SIZE);
    sgc_block_cache_put(key, block);
    sgc_block_unref(block);
}

/* The value of the block, or -1. */
static int get(const sgc_block_key *key)
{
    sgc_block *block = sgc_block_cache_get(key);
    const int value = block != NULL ? block->data[SIZE - 1] : -1;
    sgc_block_unref(block);
    return value;
}

static void test_get_what_was_put(void **state)
{
    (void)state;
    assert_int_equal(get(&first), -1);
    put(&first, 1);
    put(&second, 2);
    assert_int_equal(get(&first), 1);
    assert_int_equal(get(&second), 2);
}

/* All parts of a key count, whatever they have in common. */
static void test_keys_differ_in_each_part(void **state)
{
    (void)state;
    put(&first, 1);
    for (uint32_t i = 1; i <= 100000; i++) {
        assert_int_equal(get(&(sgc_block_key){.chunk = first.chunk, .index = i}), -1);
        assert_int_equal(get(&(sgc_block_key){.chunk = first.chunk, .form = i}), -1);
        assert_int_equal(get(&(sgc_block_key){.chunk = first.chunk, .offset = i}), -1);
        sgc_block_key other = first;
        memcpy(other.chunk.bytes + 8, &i, sizeof i);
        assert_int_equal(get(&other), -1);
    }
}

static void test_the_longest_unused_goes_first(void **state)
{
    (void)state;
    put(&first, 1);
    put(&second, 2);
    assert_int_equal(get(&first), 1);
    put(&third, 3);
    assert_int_equal(get(&first), 1);
    assert_int_equal(get(&second), -1);
    assert_int_equal(get(&third), 3);
}

static void test_a_block_larger_than_the_cache_is_not_kept(void **state)
{
    (void)state;
    sgc_block_cache_set_size(SIZE - 1);
    put(&first, 1);
    assert_int_equal(get(&first), -1);
}

static void test_smaller_size_forgets(void **state)
{
    (void)state;
    put(&first, 1);
    put(&second, 2);
    sgc_block_cache_set_size(SIZE);
    assert_int_equal(get(&first), -1);
    assert_int_equal(get(&second), 2);
    sgc_block_cache_set_size(0);
    assert_int_equal(get(&second), -1);
}

static void test_the_first_block_of_a_key_stays(void **state)
{
    (void)state;
    put(&first, 1);
    put(&first, 2);
    put(&second, 3);
    assert_int_equal(get(&first), 1);
    assert_int_equal(get(&second), 3);
}

static void test_a_block_in_use_outlives_the_cache(void **state)
{
    (void)state;
    put(&first, 1);
    sgc_block *block = sgc_block_cache_get(&first);
    sgc_block_cache_set_size(0);
    assert_int_equal(block->data[SIZE - 1], 1);
    sgc_block_unref(block);
}

static int forget(void **state)
{
    (void)state;
    sgc_block_cache_set_size(0);
    return 0;
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get_what_was_put),
        TEST(test_keys_differ_in_each_part),
        TEST(test_the_longest_unused_goes_first),
        TEST(test_a_block_larger_than_the_cache_is_not_kept),
        TEST(test_smaller_size_forgets),
        TEST(test_the_first_block_of_a_key_stays),
        TEST(test_a_block_in_use_outlives_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
