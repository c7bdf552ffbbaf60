/* Regions of arrays, compared with plain C arrays that hold the truth. */
#include "autotest/unit/array_testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fill values and their bits. */
static const struct {
    sgc_data_type type;
    const char *json;
    uint64_t bits;
} fills[] = {
    {SGC_BOOL, "true", 1},
    {SGC_BOOL, "false", 0},
    {SGC_INT8, "-128", 0x80},
    {SGC_UINT8, "255", 0xff},
    {SGC_INT16, "-32768", 0x8000},
    {SGC_UINT16, "65535", 0xffff},
    {SGC_INT32, "-2147483648", 0x80000000},
    {SGC_UINT32, "4294967295", 0xffffffff},
    {SGC_INT64, "-9223372036854775808", 0x8000000000000000},
    {SGC_INT64, "9223372036854775807", 0x7fffffffffffffff},
    {SGC_UINT64, "18446744073709551615", 0xffffffffffffffff},
    {SGC_FLOAT32, "\"NaN\"", 0x7fc00000},
    {SGC_FLOAT32, "0.5", 0x3f000000},
    {SGC_FLOAT32, "\"-Infinity\"", 0xff800000},
    {SGC_FLOAT32, "\"0x7fc00001\"", 0x7fc00001},
    {SGC_FLOAT64, "\"NaN\"", 0x7ff8000000000000},
    {SGC_FLOAT64, "-0.0", 0x8000000000000000},
    {SGC_FLOAT64, "\"Infinity\"", 0x7ff0000000000000},
    {SGC_FLOAT16, "\"NaN\"", 0x7e00},
    {SGC_FLOAT16, "-1.5", 0xbe00},
};

enum { FILLS = sizeof fills / sizeof *fills };

/* An array of up to three dimensions; the absent ones come first and have length 1. */
typedef struct cube {
    uint64_t shape[3], chunk[3];
    size_t absent, item;
    unsigned char *truth;
    sgc_array_metadata metadata; /* as given; not to be cleared */
    sgc_repository *repository;
    sgc_snapshot *snapshot;
    sgc_array *array;
} cube;

static size_t item_at(const cube *c, uint64_t z, uint64_t y, uint64_t x)
{
    return (size_t)((z * c->shape[1] + y) * c->shape[2] + x) * c->item;
}

/* Makes the values of one chunk, in the truth too. With `noise` they cannot be compressed. */
static void make_chunk(cube *c, const uint32_t at[3], uint64_t fill, bool noise, uint64_t *seed,
                       unsigned char *chunk)
{
    const bool is_bool = c->metadata.type == SGC_BOOL;
    for (uint64_t z = 0; z < c->chunk[0]; z++) {
        for (uint64_t y = 0; y < c->chunk[1]; y++) {
            for (uint64_t x = 0; x < c->chunk[2]; x++, chunk += c->item) {
                const uint64_t to[] = {at[0] * c->chunk[0] + z, at[1] * c->chunk[1] + y,
                                       at[2] * c->chunk[2] + x};
                memcpy(chunk, &fill, c->item);
                if (to[0] >= c->shape[0] || to[1] >= c->shape[1] || to[2] >= c->shape[2])
                    continue;
                for (size_t i = 0; i < c->item; i++)
                    if (noise || random_below(seed, 8) == 0)
                        chunk[i] = (unsigned char)random_below(seed, is_bool ? 2 : 256);
                memcpy(c->truth + item_at(c, to[0], to[1], to[2]), chunk, c->item);
            }
        }
    }
}

static void write_chunk(cube *c, sgc_session *session, const uint32_t at[3], const void *chunk)
{
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    assert_ok(sgc_array_write_chunk(c->repository, &c->metadata, chunk, 1, &encoded, &ref, &err));
    assert_ok(sgc_session_set_chunk(session, "/a", at + c->absent, &ref, &err));
    sgc_buffer_free(&encoded);
}

/* Writes three chunks of four. */
static void write_chunks(cube *c, sgc_session *session, uint64_t fill, bool noise, uint64_t *seed)
{
    unsigned char *chunk = malloc(c->metadata.chunk_bytes);
    uint32_t at[3], count[3];
    for (int d = 0; d < 3; d++)
        count[d] = (uint32_t)((c->shape[d] + c->chunk[d] - 1) / c->chunk[d]);
    for (at[0] = 0; at[0] < count[0]; at[0]++) {
        for (at[1] = 0; at[1] < count[1]; at[1]++) {
            for (at[2] = 0; at[2] < count[2]; at[2]++) {
                if (random_below(seed, 4) == 0)
                    continue;
                make_chunk(c, at, fill, noise, seed, chunk);
                write_chunk(c, session, at, chunk);
            }
        }
    }
    free(chunk);
}

static void init_shape(cube *c, size_t dimensions, const uint64_t *shape, const uint64_t *chunk)
{
    c->absent = 3 - dimensions;
    c->item = sgc_data_type_size(c->metadata.type);
    c->metadata.dimension_count = dimensions;
    c->metadata.chunk_bytes = c->item;
    for (size_t d = 0; d < 3; d++)
        c->shape[d] = c->chunk[d] = 1;
    for (size_t d = 0; d < dimensions; d++) {
        c->shape[c->absent + d] = c->metadata.shape[d] = shape[d];
        c->chunk[c->absent + d] = c->metadata.chunk_shape[d] = chunk[d];
        c->metadata.chunk_bytes *= (size_t)chunk[d];
    }
}

/* Where the codecs transpose, they do it all the way. */
static void reverse_axes(sgc_array_metadata *m)
{
    for (size_t d = 0; m->codecs.transposed && d < m->dimension_count; d++)
        m->codecs.order[d] = (uint8_t)(m->dimension_count - 1 - d);
    m->codecs.transposed = m->codecs.transposed && m->dimension_count > 1;
}

static void open_tip(cube *c)
{
    c->snapshot = load_tip(c->repository);
    assert_ok(sgc_array_open(c->repository, c->snapshot, "/a", &c->array, &err));
}

static void reopen(cube *c)
{
    sgc_array_close(c->array);
    sgc_snapshot_unref(c->snapshot);
    open_tip(c);
}

static cube new_cube(int fill, int codec, size_t dimensions, const uint64_t *shape,
                     const uint64_t *chunk, bool noise, uint64_t *seed)
{
    cube c = {.metadata = {.type = fills[fill].type, .codecs = codecs[codec]}};
    init_shape(&c, dimensions, shape, chunk);
    c.metadata.codecs.list[0].type_size = c.item;
    reverse_axes(&c.metadata);
    memcpy(c.metadata.fill_value, &fills[fill].bits, c.item);
    const size_t size = item_at(&c, c.shape[0], 0, 0);
    c.truth = malloc(size);
    for (size_t i = 0; i < size; i += c.item)
        memcpy(c.truth + i, &fills[fill].bits, c.item);
    c.repository = new_repository();
    sgc_session *session = new_session(c.repository);
    put_array(session, "/a", &c.metadata, fills[fill].json);
    write_chunks(&c, session, fills[fill].bits, noise, seed);
    commit(session);
    open_tip(&c);
    return c;
}

static void free_cube(cube *c)
{
    sgc_array_close(c->array);
    sgc_snapshot_unref(c->snapshot);
    sgc_repository_free(c->repository);
    free(c->truth);
}

/* True when the region of the truth is what was read. */
static bool is_region(const cube *c, const uint64_t start[3], const uint64_t count[3],
                      const unsigned char *values)
{
    const size_t row = (size_t)count[2] * c->item;
    for (uint64_t z = 0; z < count[0]; z++) {
        for (uint64_t y = 0; y < count[1]; y++, values += row)
            if (memcmp(values, c->truth + item_at(c, start[0] + z, start[1] + y, start[2]), row) !=
                0)
                return false;
    }
    return true;
}

/* Reads a region and gives whether it is right. */
static bool read_region(const cube *c, const uint64_t start[3], const uint64_t count[3],
                        unsigned threads)
{
    unsigned char *values = malloc((size_t)(count[0] * count[1] * count[2]) * c->item);
    const bool good = sgc_array_read(c->array, start + c->absent, count + c->absent, values,
                                     threads, NULL) == SGC_OK &&
                      is_region(c, start, count, values);
    free(values);
    return good;
}

static void check_random_regions(const cube *c, int regions, uint64_t *seed)
{
    static const uint64_t origin[3] = {0};
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        assert_true(read_region(c, origin, c->shape, threads));
        for (int i = 0; i < regions; i++) {
            uint64_t start[3], count[3];
            for (int d = 0; d < 3; d++) {
                start[d] = random_below(seed, (uint32_t)c->shape[d]);
                count[d] = 1 + random_below(seed, (uint32_t)(c->shape[d] - start[d]));
            }
            assert_true(read_region(c, start, count, threads));
        }
    }
}

/* ---- reading ---- */

static void test_each_type_with_each_codec(void **state)
{
    (void)state;
    static const uint64_t shape[] = {37, 41}, chunk[] = {16, 15};
    uint64_t seed = 1;
    for (int fill = 0; fill < FILLS; fill++) {
        for (int codec = 0; codec < CODECS; codec++) {
            cube c = new_cube(fill, codec, 2, shape, chunk, false, &seed);
            check_random_regions(&c, 3, &seed);
            free_cube(&c);
        }
    }
}

/* Blosc stores what it cannot compress. */
static void test_noise_with_each_codec(void **state)
{
    (void)state;
    static const uint64_t shape[] = {37, 41}, chunk[] = {16, 15};
    uint64_t seed = 2;
    for (int codec = 0; codec < CODECS; codec++) {
        cube c = new_cube(11, codec, 2, shape, chunk, true, &seed);
        check_random_regions(&c, 3, &seed);
        free_cube(&c);
    }
}

static cube random_cube(uint64_t *seed)
{
    static const uint32_t longest[] = {2000, 70, 20};
    const size_t dimensions = 1 + random_below(seed, 3);
    uint64_t shape[3], chunk[3];
    for (size_t d = 0; d < dimensions; d++) {
        shape[d] = 1 + random_below(seed, longest[dimensions - 1]);
        chunk[d] = 1 + random_below(seed, (uint32_t)shape[d] + 3);
        if (shape[d] / chunk[d] > 8)
            chunk[d] = shape[d] / 8;
    }
    return new_cube((int)random_below(seed, FILLS), (int)random_below(seed, CODECS), dimensions,
                    shape, chunk, random_below(seed, 4) == 0, seed);
}

static void test_random_shapes(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int i = 0; i < 100; i++) {
        cube c = random_cube(&seed);
        check_random_regions(&c, 5, &seed);
        free_cube(&c);
    }
}

static void test_cache_size_makes_no_difference(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 300, 1000, 5000};
    uint64_t seed = 4;
    for (int i = 0; i < 20; i++) {
        cube c = random_cube(&seed);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            sgc_block_cache_set_size(sizes[k]);
            check_random_regions(&c, 3, &seed);
        }
        free_cube(&c);
    }
}

static cube native_cube(uint64_t *seed, bool noise)
{
    static const uint64_t shape[] = {60, 60}, chunk[] = {30, 30};
    return new_cube(11, 4, 2, shape, chunk, noise, seed);
}

typedef struct reader {
    const cube *c;
    uint64_t seed;
    bool good;
} reader;

static void *read_randomly(void *user)
{
    reader *r = user;
    r->good = true;
    for (int i = 0; i < 50; i++) {
        const uint64_t start[] = {0, random_below(&r->seed, 30), random_below(&r->seed, 30)};
        const uint64_t count[] = {1, 1 + random_below(&r->seed, 30),
                                  1 + random_below(&r->seed, 30)};
        r->good = read_region(r->c, start, count, 2) && r->good;
    }
    return NULL;
}

static void test_many_threads_share_an_array(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    uint64_t seed = 5;
    cube c = native_cube(&seed, false);
    pthread_t threads[THREADS];
    reader readers[THREADS];
    sgc_block_cache_set_size(3000); /* blocks come and go */
    for (unsigned i = 0; i < THREADS; i++) {
        readers[i] = (reader){.c = &c, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_randomly, &readers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].good);
    }
    free_cube(&c);
}

static void test_regions_outside_the_array_are_refused(void **state)
{
    (void)state;
    static const uint64_t wrong[][2] = {
        {60, 1}, {0, 61}, {59, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
    uint64_t seed = 6;
    unsigned char values[4];
    cube c = native_cube(&seed, false);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const uint64_t start[] = {0, wrong[i][0]}, count[] = {1, wrong[i][1]};
        assert_status(SGC_INVALID, sgc_array_read(c.array, start, count, values, 1, &err));
        assert_message("/a");
    }
    free_cube(&c);
}

static void test_empty_region(void **state)
{
    (void)state;
    static const uint64_t start[] = {60, 3}, count[] = {0, 5}, outside[] = {0, 61};
    uint64_t seed = 7;
    cube c = native_cube(&seed, false);
    assert_ok(sgc_array_read(c.array, start, count, NULL, 1, &err));
    assert_status(SGC_INVALID, sgc_array_read(c.array, start, outside, NULL, 1, &err));
    free_cube(&c);
}

static void test_has_chunk(void **state)
{
    (void)state;
    static const uint64_t shape[] = {8}, chunk[] = {4};
    uint64_t seed = 8;
    cube c = new_cube(11, 0, 1, shape, chunk, false, &seed);
    const uint32_t first = 0, second = 1;
    const float values[] = {1, 2, 3, 4};
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE},
                        some = {.kind = SGC_CHUNK_INLINE,
                                .length = sizeof values,
                                .inline_data = (const unsigned char *)values};
    sgc_session *session = new_session(c.repository);
    assert_ok(sgc_session_set_chunk(session, "/a", &first, &some, &err));
    assert_ok(sgc_session_set_chunk(session, "/a", &second, &none, &err));
    commit(session);
    reopen(&c);
    bool stored;
    assert_ok(sgc_array_has_chunk(c.array, &first, &stored, &err));
    assert_true(stored);
    assert_ok(sgc_array_has_chunk(c.array, &second, &stored, &err));
    assert_false(stored);
    free_cube(&c);
}

static void test_only_arrays_are_opened(void **state)
{
    (void)state;
    uint64_t seed = 9;
    sgc_array *array;
    cube c = native_cube(&seed, false);
    assert_status(SGC_NOT_FOUND, sgc_array_open(c.repository, c.snapshot, "/", &array, &err));
    assert_status(SGC_NOT_FOUND, sgc_array_open(c.repository, c.snapshot, "/b", &array, &err));
    assert_message("/b");
    free_cube(&c);
}

/* ---- writing regions ---- */

static void random_region(const cube *c, uint64_t *seed, uint64_t start[3], uint64_t count[3])
{
    for (int d = 0; d < 3; d++) {
        start[d] = random_below(seed, (uint32_t)c->shape[d]);
        count[d] = 1 + random_below(seed, (uint32_t)(c->shape[d] - start[d]));
    }
}

/* Makes new values for a region, in the truth and in the buffer that is given. */
static unsigned char *change_region(const cube *c, const uint64_t start[3], const uint64_t count[3],
                                    uint64_t *seed)
{
    const bool is_fill = random_below(seed, 4) == 0;
    unsigned char *values = malloc((size_t)(count[0] * count[1] * count[2]) * c->item),
                  *at = values;
    for (uint64_t z = 0; z < count[0]; z++) {
        for (uint64_t y = 0; y < count[1]; y++) {
            for (uint64_t x = 0; x < count[2]; x++, at += c->item) {
                memcpy(at, c->metadata.fill_value, c->item);
                for (size_t i = 0; !is_fill && i < c->item; i++)
                    at[i] = (unsigned char)random_below(seed, 2);
                memcpy(c->truth + item_at(c, start[0] + z, start[1] + y, start[2] + x), at,
                       c->item);
            }
        }
    }
    return values;
}

static void write_region(const cube *c, sgc_session *session, const uint64_t start[3],
                         const uint64_t count[3], unsigned threads, uint64_t *seed)
{
    unsigned char *values = change_region(c, start, count, seed);
    assert_ok(sgc_array_write(session, "/a", start + c->absent, count + c->absent, values, threads,
                              &err));
    free(values);
}

static void check_writes(cube *c, uint64_t *seed)
{
    static const uint64_t origin[3] = {0};
    for (int commits = 0; commits < 2; commits++) {
        sgc_session *session = new_session(c->repository);
        for (int i = 0; i < 5; i++) {
            uint64_t start[3], count[3];
            random_region(c, seed, start, count);
            write_region(c, session, start, count, 1 + random_below(seed, 4), seed);
        }
        commit(session);
        reopen(c);
        assert_true(read_region(c, origin, c->shape, 1));
    }
}

static void test_random_regions_are_written(void **state)
{
    (void)state;
    uint64_t seed = 10;
    for (int i = 0; i < 150; i++) {
        cube c = random_cube(&seed);
        check_writes(&c, &seed);
        free_cube(&c);
    }
}

static void test_each_pipeline_is_written(void **state)
{
    (void)state;
    static const uint64_t shape[] = {37, 41}, chunk[] = {16, 15};
    uint64_t seed = 11;
    for (int codec = 0; codec < CODECS; codec++) {
        cube c = new_cube((int)random_below(&seed, FILLS), codec, 2, shape, chunk, false, &seed);
        check_writes(&c, &seed);
        free_cube(&c);
    }
}

/* The stored bytes of the chunk, as long as they are inline. */
static const unsigned char *own_chunk(sgc_session *session, uint32_t at, sgc_chunk_ref *ref)
{
    sgc_manifest *keep;
    assert_ok(sgc_session_find_chunk(session, "/a", &at, ref, &keep, &err));
    assert_null(keep);
    return ref->inline_data;
}

/* As zarr-python pads them. */
static void test_chunks_at_the_edge_are_padded_with_the_fill_value(void **state)
{
    (void)state;
    static const uint64_t start = 0, count = 6;
    static const unsigned char values[] = {1, 2, 3, 4, 5, 6}, last[] = {5, 6, 9, 9};
    sgc_array_metadata m = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {6}, .chunk_shape = {4}};
    sgc_repository *repository = new_repository();
    sgc_session *session = new_session(repository);
    sgc_chunk_ref ref;
    put_array(session, "/a", &m, "9");
    assert_ok(sgc_array_write(session, "/a", &start, &count, values, 1, &err));
    const unsigned char *stored = own_chunk(session, 1, &ref);
    assert_int_equal(ref.kind, SGC_CHUNK_INLINE);
    assert_int_equal(ref.length, 4);
    assert_memory_equal(stored, last, 4);
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static void test_padding_does_not_keep_a_chunk_from_being_the_fill_value(void **state)
{
    (void)state;
    static const uint64_t start = 4, count = 2;
    static const unsigned char nines[] = {9, 9};
    sgc_array_metadata m = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {6}, .chunk_shape = {4}};
    sgc_repository *repository = new_repository();
    sgc_session *session = new_session(repository);
    sgc_chunk_ref ref;
    put_array(session, "/a", &m, "9");
    assert_ok(sgc_array_write(session, "/a", &start, &count, nines, 1, &err));
    own_chunk(session, 1, &ref);
    assert_int_equal(ref.kind, SGC_CHUNK_NONE);
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static void test_whole_chunks_at_the_edge_are_not_read(void **state)
{
    (void)state;
    static const uint64_t start = 4, all = 2, some = 1;
    static const unsigned char values[] = {1, 2};
    const uint32_t last = 1;
    const sgc_chunk_ref damaged = {.kind = SGC_CHUNK_INLINE, .length = 2, .inline_data = values};
    const sgc_array_metadata m = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {6}, .chunk_shape = {4}};
    sgc_repository *repository = new_repository();
    sgc_session *session = new_session(repository);
    put_array(session, "/a", &m, "0");
    assert_ok(sgc_session_set_chunk(session, "/a", &last, &damaged, &err));
    assert_status(SGC_CORRUPT, sgc_array_write(session, "/a", &start, &some, values, 1, &err));
    assert_ok(sgc_array_write(session, "/a", &start, &all, values, 1, &err));
    sgc_session_free(session);
    sgc_repository_free(repository);
}

static void test_writes_that_are_refused(void **state)
{
    (void)state;
    static const uint64_t wrong[][2] = {
        {60, 1}, {0, 61}, {59, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
    static const uint64_t origin[2] = {0}, none[] = {0, 1}, one[] = {1, 1};
    static const unsigned char values[4];
    uint64_t seed = 12;
    cube c = native_cube(&seed, false);
    sgc_session *session = new_session(c.repository);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const uint64_t start[] = {0, wrong[i][0]}, count[] = {1, wrong[i][1]};
        assert_status(SGC_INVALID, sgc_array_write(session, "/a", start, count, values, 1, &err));
        assert_message("/a");
    }
    assert_status(SGC_NOT_FOUND, sgc_array_write(session, "/b", origin, one, values, 1, &err));
    assert_message("/b");
    assert_status(SGC_NOT_FOUND, sgc_array_write(session, "/", origin, one, values, 1, &err));
    assert_ok(sgc_array_write(session, "/a", origin, none, NULL, 1, &err));
    assert_status(SGC_INVALID, sgc_session_commit(session, "nothing", NULL, NULL, &err));
    sgc_session_free(session);
    free_cube(&c);
}

/* ---- several threads write ---- */

enum { WRITERS = 4, WRITTEN_SIDE = 40 };

typedef struct writer {
    sgc_session *session;
    const uint32_t *truth; /* WRITTEN_SIDE x WRITTEN_SIDE */
    uint64_t column;       /* the first of its columns */
    bool good;
} writer;

/* Each writer has every fourth column, so all of them meet in all chunks. */
static void *write_columns(void *user)
{
    writer *w = user;
    w->good = true;
    for (uint64_t x = w->column; x < WRITTEN_SIDE; x += WRITERS) {
        const uint64_t start[] = {0, x}, count[] = {WRITTEN_SIDE, 1};
        uint32_t values[WRITTEN_SIDE];
        for (int y = 0; y < WRITTEN_SIDE; y++)
            values[y] = w->truth[(uint64_t)y * WRITTEN_SIDE + x];
        w->good =
            sgc_array_write(w->session, "/a", start, count, values, 2, NULL) == SGC_OK && w->good;
    }
    return NULL;
}

static void check_concurrent_writes(int codec)
{
    static const uint64_t origin[2] = {0};
    sgc_array_metadata m = {.type = SGC_UINT32,
                            .dimension_count = 2,
                            .shape = {WRITTEN_SIDE, WRITTEN_SIDE},
                            .chunk_shape = {25, 25},
                            .codecs = codecs[codec]};
    uint32_t truth[WRITTEN_SIDE * WRITTEN_SIDE], found[WRITTEN_SIDE * WRITTEN_SIDE];
    uint64_t seed = 13;
    for (size_t i = 0; i < sizeof truth / sizeof *truth; i++)
        truth[i] = random_below(&seed, UINT32_MAX);
    cube c = {.repository = new_repository()};
    sgc_session *session = new_session(c.repository);
    put_array(session, "/a", &m, "0");
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.session = session, .truth = truth, .column = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_columns, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(writers[i].good);
    }
    commit(session);
    open_tip(&c);
    assert_ok(sgc_array_read(c.array, origin, m.shape, found, 1, &err));
    assert_memory_equal(found, truth, sizeof truth);
    free_cube(&c);
}

static void test_threads_write_parts_of_the_same_chunks(void **state)
{
    (void)state;
    check_concurrent_writes(0);
    check_concurrent_writes(5);
    check_concurrent_writes(14);
}

static void *write_array(void *user)
{
    static const uint64_t start = 0, count = 100;
    const writer *w = user;
    unsigned char values[100];
    char path[8];
    memset(values, (int)w->column + 1, sizeof values);
    snprintf(path, sizeof path, "/a%d", (int)w->column);
    ((writer *)user)->good =
        sgc_array_write(w->session, path, &start, &count, values, 1, NULL) == SGC_OK;
    return NULL;
}

/* Each makes the session's list of changed arrays longer. */
static void test_threads_write_different_arrays(void **state)
{
    (void)state;
    enum { ARRAYS = 20 };
    static const uint64_t start = 0, count = 100;
    const sgc_array_metadata m = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {100}, .chunk_shape = {30}};
    sgc_repository *repository = new_repository();
    sgc_session *session = new_session(repository);
    char path[8];
    for (int i = 0; i < ARRAYS; i++) {
        snprintf(path, sizeof path, "/a%d", i);
        put_array(session, path, &m, "0");
    }
    commit(session);
    session = new_session(repository);
    pthread_t threads[ARRAYS];
    writer writers[ARRAYS];
    for (unsigned i = 0; i < ARRAYS; i++) {
        writers[i] = (writer){.session = session, .column = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_array, &writers[i]), 0);
    }
    for (int i = 0; i < ARRAYS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(writers[i].good);
    }
    commit(session);
    sgc_snapshot *snapshot = load_tip(repository);
    for (int i = 0; i < ARRAYS; i++) {
        unsigned char values[100], expected[100];
        sgc_array *array;
        snprintf(path, sizeof path, "/a%d", i);
        memset(expected, i + 1, sizeof expected);
        assert_ok(sgc_array_open(repository, snapshot, path, &array, &err));
        assert_ok(sgc_array_read(array, &start, &count, values, 1, &err));
        assert_memory_equal(values, expected, sizeof values);
        sgc_array_close(array);
    }
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

/* ---- unusual shapes ---- */

/* Writes all of a new array of bytes, reads it and an item in its middle. */
static void check_shape(size_t dimensions, const uint64_t *shape, const uint64_t *chunk)
{
    static const uint64_t origin[SGC_ZARR_MAX_DIMENSIONS] = {0};
    sgc_array_metadata m = {.type = SGC_UINT8,
                            .dimension_count = dimensions,
                            .codecs = {.count = 1, .list = {BLOSC_CODEC("lz4", 0)}}};
    size_t size = 1;
    for (size_t d = 0; d < dimensions; d++) {
        m.shape[d] = shape[d];
        m.chunk_shape[d] = chunk[d];
        size *= (size_t)shape[d];
    }
    unsigned char *values = malloc(size + 1), *found = malloc(size + 1);
    uint64_t seed = 14, at[SGC_ZARR_MAX_DIMENSIONS], one[SGC_ZARR_MAX_DIMENSIONS], index = 0;
    for (size_t i = 0; i < size; i++)
        values[i] = (unsigned char)random_below(&seed, 256);
    cube c = {.repository = new_repository()};
    sgc_session *session = new_session(c.repository);
    put_array(session, "/a", &m, "0");
    assert_ok(sgc_array_write(session, "/a", origin, m.shape, values, 2, &err));
    commit(session);
    open_tip(&c);
    assert_ok(sgc_array_read(c.array, origin, m.shape, found, 2, &err));
    assert_memory_equal(found, values, size);
    for (size_t d = 0; d < dimensions; d++) {
        at[d] = shape[d] / 2;
        one[d] = 1;
        index = index * shape[d] + at[d];
    }
    assert_status(size > 0 ? SGC_OK : SGC_INVALID,
                  sgc_array_read(c.array, at, one, found, 1, &err));
    assert_int_equal(found[0], size > 0 ? values[index] : found[0]);
    free(values);
    free(found);
    free_cube(&c);
}

static void test_array_of_no_dimensions(void **state)
{
    (void)state;
    check_shape(0, NULL, NULL);
}

static void test_dimensions_of_length_0(void **state)
{
    (void)state;
    check_shape(1, (uint64_t[]){0}, (uint64_t[]){1});
    check_shape(2, (uint64_t[]){0, 7}, (uint64_t[]){3, 4});
    check_shape(2, (uint64_t[]){7, 0}, (uint64_t[]){3, 4});
}

static void test_16_dimensions(void **state)
{
    (void)state;
    static const uint64_t shape[] = {1, 2, 1, 2, 3, 1, 2, 2, 1, 3, 2, 1, 2, 2, 1, 5},
                          chunk[] = {1, 1, 2, 2, 2, 1, 3, 1, 1, 2, 2, 1, 2, 1, 1, 2};
    check_shape(16, shape, chunk);
}

#define TEST(test) cmocka_unit_test_setup(test, empty_block_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_type_with_each_codec),
        TEST(test_noise_with_each_codec),
        TEST(test_random_shapes),
        TEST(test_cache_size_makes_no_difference),
        TEST(test_many_threads_share_an_array),
        TEST(test_regions_outside_the_array_are_refused),
        TEST(test_empty_region),
        TEST(test_has_chunk),
        TEST(test_only_arrays_are_opened),
        TEST(test_random_regions_are_written),
        TEST(test_each_pipeline_is_written),
        TEST(test_chunks_at_the_edge_are_padded_with_the_fill_value),
        TEST(test_padding_does_not_keep_a_chunk_from_being_the_fill_value),
        TEST(test_whole_chunks_at_the_edge_are_not_read),
        TEST(test_writes_that_are_refused),
        TEST(test_threads_write_parts_of_the_same_chunks),
        TEST(test_threads_write_different_arrays),
        TEST(test_array_of_no_dimensions),
        TEST(test_dimensions_of_length_0),
        TEST(test_16_dimensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
