/* A read of a part of a large chunk fetches the frame's header, its offsets and the blocks that it
 * needs, each byte once, and nothing else. */
#include "autotest/unit/store_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/counting_store.h"

enum { SIDE = 3600, HEADER = 16, DEFAULT_CACHE = 64 * 1024 * 1024 };

static float *values; /* SIDE x SIDE */
static sgc_object_store *inner, *store;
static sgc_repository *repository;
static sgc_snapshot *snapshot;
static sgc_array *array;

/* The chunk object, as the format of Blosc describes it. */
static sgc_object object;
static uint32_t block_size, block_count;

static uint32_t word_at(size_t offset)
{
    uint32_t word;
    memcpy(&word, object.data + offset, sizeof word);
    return word;
}

static sgc_array_metadata describe(uint64_t side, size_t wanted_block_size)
{
    return (sgc_array_metadata){
        .type = SGC_FLOAT32,
        .dimension_count = 2,
        .shape = {side, side},
        .chunk_shape = {side, side},
        .chunk_bytes = (size_t)(side * side) * 4,
        .codecs = {.count = 1,
                   .list = {{.kind = SGC_BLOSC,
                             .level = 1,
                             .compressor = "zstd",
                             .shuffle = 1,
                             .type_size = 4,
                             .block_size = wanted_block_size}}},
    };
}

static void write_chunk(size_t wanted_block_size)
{
    const sgc_array_metadata metadata = describe(SIDE, wanted_block_size);
    values = malloc(metadata.chunk_bytes);
    uint64_t seed = 1;
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        values[i] = (float)(i / 1000) + 0.25f * (float)random_below(&seed, 4);
    assert_ok(sgc_object_store_memory_new(&inner, &err));
    store = counting_store_new(inner);
    assert_ok(sgc_repository_create(store, NULL, &repository, &err));
    sgc_session *session = new_session(repository);
    put_array(session, "/dem", &metadata, "0");
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    const uint32_t origin[] = {0, 0};
    assert_ok(sgc_array_write_chunk(repository, &metadata, values, 1, &encoded, &ref, &err));
    assert_ok(sgc_session_set_chunk(session, "/dem", origin, &ref, &err));
    commit(session);
    object = (sgc_object){encoded.data, encoded.size};
    block_size = word_at(8);
    block_count = (word_at(4) - 1) / block_size + 1;
    snapshot = load_tip(repository);
    assert_ok(sgc_array_open(repository, snapshot, "/dem", &array, &err));
}

static int write_default_blocks(void **state)
{
    (void)state;
    write_chunk(0);
    return 0;
}

/* Several to a row, so that a tile needs some blocks of each row and no others. */
static int write_small_blocks(void **state)
{
    (void)state;
    write_chunk(4096);
    assert_true(block_size < 4 * SIDE / 2);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    sgc_array_close(array);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
    sgc_object_store_free(inner);
    sgc_object_clear(&object);
    free(values);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    sgc_block_cache_set_size(0);
    sgc_block_cache_set_size(DEFAULT_CACHE);
    counting_store_reset(store);
    return 0;
}

typedef struct window {
    uint64_t start[2], count[2];
} window;

static void read_window(const window *w, unsigned threads)
{
    float *out = malloc((size_t)(w->count[0] * w->count[1]) * sizeof *out);
    assert_ok(sgc_array_read(array, w->start, w->count, out, threads, &err));
    for (uint64_t y = 0; y < w->count[0]; y++)
        assert_memory_equal(out + y * w->count[1], values + (w->start[0] + y) * SIDE + w->start[1],
                            w->count[1] * sizeof *out);
    free(out);
}

/* True when the window has a byte of block `i`. */
static bool window_meets(const window *w, uint32_t i)
{
    const uint64_t from = (uint64_t)i * block_size, to = from + block_size;
    for (uint64_t y = w->start[0]; y < w->start[0] + w->count[0]; y++) {
        const uint64_t first = 4 * (y * SIDE + w->start[1]);
        if (first < to && from < first + 4 * w->count[1])
            return true;
    }
    return false;
}

/* Where block `i` ends: where the next one in the file begins. */
static uint32_t end_of_block(uint32_t i)
{
    const uint32_t start = word_at(HEADER + 4 * i);
    uint32_t end = (uint32_t)object.size;
    for (uint32_t k = 0; k < block_count; k++) {
        const uint32_t other = word_at(HEADER + 4 * k);
        if (other > start && other < end)
            end = other;
    }
    return end;
}

/* How often each byte of the object should be fetched: once or never. */
static unsigned char *expect_fetches(const window *w)
{
    unsigned char *expected = calloc(1, object.size);
    memset(expected, 1, HEADER + 4 * block_count);
    for (uint32_t i = 0; i < block_count; i++) {
        const uint32_t start = word_at(HEADER + 4 * i);
        if (window_meets(w, i))
            memset(expected + start, 1, end_of_block(i) - start);
    }
    return expected;
}

static void count_bytes(void *user, const counted_get *get)
{
    unsigned char *counts = user;
    assert_true(get->offset <= object.size && get->length <= object.size - get->offset);
    for (uint64_t i = 0; i < get->length; i++)
        counts[get->offset + i]++;
}

static void check_fetches(const window *w, unsigned threads)
{
    unsigned char *expected = expect_fetches(w), *fetched = calloc(1, object.size);
    read_window(w, threads);
    assert_true(counting_store_gets(store, "chunks/", count_bytes, fetched) > 0);
    assert_memory_equal(fetched, expected, object.size);
    free(expected);
    free(fetched);
}

static const window rows = {{1000, 0}, {256, SIDE}};

static void test_the_chunk_has_many_blocks(void **state)
{
    (void)state;
    assert_int_equal(word_at(4), SIDE * SIDE * 4);
    assert_int_equal(word_at(12), object.size);
    assert_int_equal(object.data[2] & 2, 0); /* not stored */
    assert_true(block_count >= 20);
}

static void test_rows(void **state)
{
    (void)state;
    check_fetches(&rows, 1);
}

static void test_rows_with_threads(void **state)
{
    (void)state;
    check_fetches(&rows, 4);
}

static void test_first_and_last_row(void **state)
{
    (void)state;
    check_fetches(&(window){{0, 0}, {1, SIDE}}, 1);
    forget(state);
    check_fetches(&(window){{SIDE - 1, 0}, {1, SIDE}}, 1);
}

static void test_tile(void **state)
{
    (void)state;
    check_fetches(&(window){{3000, 1700}, {256, 256}}, 1);
}

static void test_one_value(void **state)
{
    (void)state;
    check_fetches(&(window){{1800, 1800}, {1, 1}}, 1);
}

static void test_second_read_fetches_nothing(void **state)
{
    (void)state;
    read_window(&rows, 1);
    counting_store_reset(store);
    read_window(&rows, 1);
    assert_int_equal(counting_store_gets(store, "chunks/", NULL, NULL), 0);
}

static void test_neighbour_fetches_only_new_blocks(void **state)
{
    (void)state;
    const window both = {{1000, 0}, {512, SIDE}}, second = {{1256, 0}, {256, SIDE}};
    unsigned char *expected = expect_fetches(&both), *fetched = calloc(1, object.size);
    read_window(&rows, 1);
    read_window(&second, 1);
    counting_store_gets(store, "chunks/", count_bytes, fetched);
    assert_memory_equal(fetched, expected, object.size);
    free(expected);
    free(fetched);
}

static void test_one_request_for_neighbouring_blocks(void **state)
{
    (void)state;
    read_window(&(window){{1000, 0}, {20, SIDE}}, 1); /* less than 1 MiB decoded */
    assert_in_range(counting_store_gets(store, "chunks/", NULL, NULL), 3, 4);
}

/* What is damaged in another block is not noticed. */
static void test_inline_chunk_is_decoded_in_part(void **state)
{
    (void)state;
    enum { SMALL = 500, BLOCKS = 4 };
    const sgc_array_metadata m = describe(SMALL, SMALL * SMALL * sizeof(float) / BLOCKS);
    const uint32_t origin[] = {0, 0};
    const uint64_t first[] = {0, 0}, last[] = {SMALL - 1, 0}, row[] = {1, SMALL};
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    sgc_repository *other = new_repository();
    sgc_session *session = new_session(other);
    float *fives = malloc(m.chunk_bytes), *out = malloc(SMALL * sizeof *out);
    for (size_t i = 0; i < (size_t)SMALL * SMALL; i++)
        fives[i] = 5;
    put_array(session, "/dem", &m, "0");
    assert_ok(sgc_array_write_chunk(other, &m, fives, 1, &encoded, &ref, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_INLINE);
    uint32_t start; /* of the last block */
    memcpy(&start, encoded.data + HEADER + 4 * (BLOCKS - 1), sizeof start);
    memset(encoded.data + start + 4, 0, 8);
    assert_ok(sgc_session_set_chunk(session, "/dem", origin, &ref, &err));
    commit(session);
    sgc_snapshot *tip = load_tip(other);
    sgc_array *opened;
    assert_ok(sgc_array_open(other, tip, "/dem", &opened, &err));
    assert_ok(sgc_array_read(opened, first, row, out, 1, &err));
    assert_memory_equal(out, fives, SMALL * sizeof *out);
    assert_status(SGC_CORRUPT, sgc_array_read(opened, last, row, out, 1, &err));
    sgc_array_close(opened);
    sgc_snapshot_unref(tip);
    sgc_repository_free(other);
    sgc_buffer_free(&encoded);
    free(fives);
    free(out);
}

#define TEST(test) cmocka_unit_test_setup(test, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_chunk_has_many_blocks),
        TEST(test_rows),
        TEST(test_rows_with_threads),
        TEST(test_first_and_last_row),
        TEST(test_tile),
        TEST(test_one_value),
        TEST(test_second_read_fetches_nothing),
        TEST(test_neighbour_fetches_only_new_blocks),
        TEST(test_one_request_for_neighbouring_blocks),
    };
    const struct CMUnitTest inlined[] = {cmocka_unit_test(test_inline_chunk_is_decoded_in_part)};
    return cmocka_run_group_tests_name("inline", inlined, NULL, NULL) +
           cmocka_run_group_tests_name("default blocks", tests, write_default_blocks, free_all) +
           cmocka_run_group_tests_name("small blocks", tests, write_small_blocks, free_all);
}
