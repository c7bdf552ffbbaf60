/* The cache of manifests: what is kept, and what goes first. */
#include "autotest/unit/store_testing.h"

#include <string.h>

#include "autotest/unit/counting_store.h"

enum { MANIFESTS = 40, REFS = 100 };

static sgc_object_store *memory, *store;
static sgc_manifest_file files[MANIFESTS];

/* Manifests of one size, each with its number in its references. */
static void store_manifest(uint32_t number)
{
    uint32_t coordinates[REFS];
    sgc_chunk_ref refs[REFS];
    for (uint32_t i = 0; i < REFS; i++) {
        coordinates[i] = i;
        refs[i] = (sgc_chunk_ref){.kind = SGC_CHUNK_NATIVE, .offset = number, .length = 1000};
    }
    const sgc_array_manifest array = {{{1}}, 1, REFS, coordinates, refs, {0}};
    sgc_manifest_data data = {.spec_version = 1, .array_count = 1, .arrays = &array};
    assert_ok(sgc_manifest_store(memory, &data, &files[number], &err));
}

static int set_up(void **state)
{
    (void)state;
    assert_ok(sgc_object_store_memory_new(&memory, &err));
    store = counting_store_new(memory);
    for (uint32_t i = 0; i < MANIFESTS; i++)
        store_manifest(i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sgc_object_store_free(store);
    sgc_object_store_free(memory);
    return 0;
}

static sgc_manifest_cache *new_cache(size_t bytes)
{
    sgc_manifest_cache *cache;
    assert_ok(sgc_manifest_cache_new(store, bytes, &cache, &err));
    return cache;
}

/* Gets a manifest and says whether it had to be read. */
static bool is_read(sgc_manifest_cache *cache, uint32_t number)
{
    sgc_manifest *manifest;
    counting_store_reset(store);
    assert_ok(sgc_manifest_cache_get(cache, &files[number], &manifest, &err));
    assert_int_equal(sgc_manifest_get(manifest)->arrays[0].refs[REFS - 1].offset, number);
    sgc_manifest_unref(manifest);
    return counting_store_gets(store, "manifests/", NULL, NULL) > 0;
}

/* How many of these manifests fit into a cache. */
static uint32_t room(size_t bytes)
{
    sgc_manifest_cache *cache = new_cache(bytes);
    for (uint32_t i = 0; i < MANIFESTS; i++)
        assert_true(is_read(cache, i));
    uint32_t n = 0;
    while (n < MANIFESTS && !is_read(cache, MANIFESTS - 1 - n))
        n++;
    sgc_manifest_cache_free(cache);
    return n;
}

static void test_all_are_kept(void **state)
{
    (void)state;
    assert_int_equal(room(10000000), MANIFESTS);
}

static void test_none_is_kept(void **state)
{
    (void)state;
    assert_int_equal(room(0), 0);
    assert_int_equal(room(100), 0);
}

/* Against a list of numbers, the last used one first. */
static void test_the_longest_unused_goes_first(void **state)
{
    (void)state;
    const size_t bytes = 100000;
    const uint32_t kept = room(bytes);
    assert_true(kept > 3 && kept < MANIFESTS - 3);
    uint32_t used[MANIFESTS], count = 0;
    uint64_t random = 1;
    sgc_manifest_cache *cache = new_cache(bytes);
    for (int i = 0; i < 2000; i++) {
        const uint32_t number = random_below(&random, MANIFESTS);
        uint32_t at = 0;
        while (at < count && used[at] != number)
            at++;
        assert_int_equal(is_read(cache, number), at == count);
        count += at == count && count < kept;
        at = at < count ? at : count - 1;
        memmove(used + 1, used, at * sizeof *used);
        used[0] = number;
    }
    sgc_manifest_cache_free(cache);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_are_kept),
        TEST(test_none_is_kept),
        TEST(test_the_longest_unused_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
