/* Parts of remote files, kept for whoever goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/part_cache.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 4, FILE_PARTS = 3, TAIL = 1000, FILE_SIZE = FILE_PARTS * SGC_PART_SIZE + TAIL };

static unsigned char file[FILE_SIZE];
static const sgc_file_version first = {FILE_SIZE, "first", ""}, second = {FILE_SIZE, "second", ""},
                              later = {FILE_SIZE, "first", "later"};

static sgc_part_cache *start(void)
{
    sgc_part_cache *cache;
    for (size_t i = 0; i < sizeof file; i++)
        file[i] = (unsigned char)(i * 7 + i / SGC_PART_SIZE);
    assert_int_equal(sgc_part_cache_new(PARTS * SGC_PART_SIZE, &cache, NULL), SGC_OK);
    return cache;
}

static void put(sgc_part_cache *cache, const char *url, size_t part, size_t size,
                const sgc_file_version *version)
{
    const size_t offset = part * SGC_PART_SIZE;
    sgc_part_cache_put(cache, url, version, offset, file + offset, size);
}

static size_t count(sgc_part_cache *cache, const char *url, uint64_t offset, size_t size)
{
    static unsigned char data[FILE_SIZE];
    const size_t n = sgc_part_cache_read(cache, url, NULL, offset, data, size, NULL);
    assert_memory_equal(data, file + offset, n);
    return n;
}

static void test_gives_what_was_put_to_the_end_of_the_part(void **state)
{
    (void)state;
    sgc_part_cache *cache = start();
    put(cache, "a", 0, 2 * SGC_PART_SIZE, &first);
    assert_int_equal(count(cache, "a", 10, 100), 100);
    assert_int_equal(count(cache, "a", SGC_PART_SIZE - 5, 100), 5);
    assert_int_equal(count(cache, "a", SGC_PART_SIZE, 2 * SGC_PART_SIZE), SGC_PART_SIZE);
    assert_int_equal(count(cache, "a", 2 * SGC_PART_SIZE, 1), 0);
    assert_int_equal(count(cache, "b", 10, 100), 0);
    sgc_part_cache_free(cache);
}

static void test_keeps_short_parts_at_the_end_of_the_file_only(void **state)
{
    (void)state;
    sgc_part_cache *cache = start();
    put(cache, "a", 0, SGC_PART_SIZE + TAIL, &first);
    assert_int_equal(count(cache, "a", SGC_PART_SIZE, TAIL), 0);
    put(cache, "a", FILE_PARTS, TAIL, &first);
    assert_int_equal(count(cache, "a", FILE_SIZE - 1, 100), 1);
    assert_int_equal(count(cache, "a", FILE_SIZE, 100), 0);
    sgc_part_cache_free(cache);
}

static void test_forgets_what_was_not_used_for_longest(void **state)
{
    (void)state;
    sgc_part_cache *cache = start();
    put(cache, "a", 0, 2 * SGC_PART_SIZE, &first);
    put(cache, "b", 0, 2 * SGC_PART_SIZE, &first);
    assert_int_equal(count(cache, "a", 0, 1), 1);
    put(cache, "c", 0, SGC_PART_SIZE, &first);
    assert_int_equal(count(cache, "a", 0, 1), 1);
    assert_int_equal(count(cache, "a", SGC_PART_SIZE, 1), 0);
    assert_int_equal(count(cache, "b", 0, 1), 1);
    put(cache, "b", 0, SGC_PART_SIZE, &first); /* again: nothing need go */
    assert_int_equal(count(cache, "a", 0, 1), 1);
    sgc_part_cache_free(cache);
}

static size_t count_version(sgc_part_cache *cache, const sgc_file_version *version, size_t part)
{
    unsigned char byte;
    return sgc_part_cache_read(cache, "a", version, part * SGC_PART_SIZE, &byte, 1, NULL);
}

static void test_gives_parts_of_the_wanted_version(void **state)
{
    (void)state;
    sgc_part_cache *cache = start();
    sgc_file_version version;
    unsigned char byte;
    put(cache, "a", 0, 2 * SGC_PART_SIZE, &first);
    put(cache, "b", 0, SGC_PART_SIZE, &first);
    put(cache, "a", 0, SGC_PART_SIZE, &second);
    assert_int_equal(sgc_part_cache_read(cache, "a", NULL, 0, &byte, 1, &version), 1);
    assert_string_equal(version.etag, "second");
    assert_int_equal(count_version(cache, &second, 0), 1);
    assert_int_equal(count_version(cache, &first, 1), 1);
    assert_int_equal(count_version(cache, &later, 1), 0);
    assert_int_equal(count_version(cache, &first, 1), 0); /* it has gone */
    assert_int_equal(count(cache, "b", 0, 1), 1);
    sgc_part_cache_free(cache);
}

static void test_forgets_a_file(void **state)
{
    (void)state;
    sgc_part_cache *cache = start();
    put(cache, "a", 0, 2 * SGC_PART_SIZE, &first);
    put(cache, "b", 0, SGC_PART_SIZE, &first);
    sgc_part_cache_forget(cache, "a");
    assert_int_equal(count(cache, "a", 0, 1), 0);
    assert_int_equal(count(cache, "a", SGC_PART_SIZE, 1), 0);
    assert_int_equal(count(cache, "b", 0, 1), 1);
    put(cache, "a", 0, 3 * SGC_PART_SIZE, &first);
    assert_int_equal(count(cache, "b", 0, 1), 1);
    sgc_part_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_what_was_put_to_the_end_of_the_part),
        cmocka_unit_test(test_keeps_short_parts_at_the_end_of_the_file_only),
        cmocka_unit_test(test_forgets_what_was_not_used_for_longest),
        cmocka_unit_test(test_gives_parts_of_the_wanted_version),
        cmocka_unit_test(test_forgets_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
