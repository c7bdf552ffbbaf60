/* Single chunks: what is stored of them, damage to it, and references to what is stored. */
#include "autotest/unit/array_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/counting_malloc.h"
#include "store/zarr/codecs.h"

/* ---- writing ---- */

static sgc_chunk_ref write_floats(const float *values, const char *fill_value)
{
    sgc_array_metadata metadata = {.type = SGC_FLOAT32,
                                   .dimension_count = 1,
                                   .shape = {4},
                                   .chunk_shape = {4},
                                   .chunk_bytes = 16};
    const float fill = strtof(fill_value, NULL);
    memcpy(metadata.fill_value, &fill, sizeof fill);
    sgc_repository *repository = new_repository();
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    assert_ok(sgc_array_write_chunk(repository, &metadata, values, 1, &encoded, &ref, &err));
    sgc_buffer_free(&encoded);
    sgc_repository_free(repository);
    return ref;
}

static void test_chunk_of_fill_values_is_not_stored(void **state)
{
    (void)state;
    const float same[] = {7, 7, 7, 7}, last[] = {7, 7, 7, 8}, first[] = {8, 7, 7, 7};
    assert_int_equal(write_floats(same, "7").kind, SGC_CHUNK_NONE);
    assert_int_equal(write_floats(last, "7").kind, SGC_CHUNK_INLINE);
    assert_int_equal(write_floats(first, "7").kind, SGC_CHUNK_INLINE);
    assert_int_equal(write_floats(same, "8").kind, SGC_CHUNK_INLINE);
}

static void test_negative_zero_is_not_the_fill_value_zero(void **state)
{
    (void)state;
    const float zeros[] = {-0.0f, -0.0f, -0.0f, -0.0f};
    assert_int_equal(write_floats(zeros, "0").kind, SGC_CHUNK_INLINE);
}

static void check_write(size_t size, sgc_chunk_kind kind, size_t objects)
{
    static const unsigned char data[1024];
    sgc_repository *repository = new_repository();
    sgc_chunk_ref ref;
    assert_ok(sgc_repository_write_chunk(repository, data, size, &ref, &err));
    assert_int_equal(ref.kind, kind);
    assert_int_equal(ref.offset, 0);
    assert_int_equal(ref.length, size);
    assert_int_equal(count_objects(sgc_repository_store(repository), "chunks/"), objects);
    sgc_repository_free(repository);
}

static void test_small_chunks_are_inline(void **state)
{
    (void)state;
    check_write(1, SGC_CHUNK_INLINE, 0);
    check_write(512, SGC_CHUNK_INLINE, 0);
    check_write(513, SGC_CHUNK_NATIVE, 1);
}

static void test_chunk_of_no_bytes_is_refused(void **state)
{
    (void)state;
    sgc_repository *repository = new_repository();
    sgc_chunk_ref ref;
    assert_status(SGC_INVALID, sgc_repository_write_chunk(repository, "", 0, &ref, &err));
    sgc_repository_free(repository);
}

static void test_unknown_compressor_is_unsupported(void **state)
{
    (void)state;
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .chunk_bytes = 1,
        .codecs = {.count = 1,
                   .list = {{.kind = SGC_BLOSC, .compressor = "none", .type_size = 1}}}};
    sgc_buffer out = {0};
    assert_status(SGC_UNSUPPORTED, sgc_chunk_encode(&metadata, "x", 1, &out, &err));
    assert_message("none");
    sgc_buffer_free(&out);
}

/* ---- damaged chunk objects ---- */

/* One native chunk, to be damaged. */
typedef struct victim {
    sgc_repository *repository;
    sgc_object_store *store;
    sgc_snapshot *snapshot;
    sgc_array *array;
    float values[1000];
    sgc_chunk_ref ref;
    char id[SGC_OBJECT_ID_TEXT + 1], key[64];
    sgc_object object;
} victim;

static victim new_victim(int codec, bool noise)
{
    victim v = {.repository = new_repository()};
    sgc_array_metadata metadata = {.type = SGC_FLOAT32,
                                   .dimension_count = 1,
                                   .shape = {1000},
                                   .chunk_shape = {1000},
                                   .codecs = codecs[codec],
                                   .chunk_bytes = sizeof v.values};
    const uint32_t origin = 0;
    uint64_t seed = 1;
    metadata.codecs.list[0].type_size = sizeof *v.values;
    for (int i = 0; i < 1000; i++) {
        const uint32_t bits = random_below(&seed, 1u << 31) * (noise ? 3 : 65536);
        memcpy(&v.values[i], &bits, sizeof bits);
    }
    sgc_buffer encoded = {0};
    assert_ok(sgc_array_write_chunk(v.repository, &metadata, v.values, 1, &encoded, &v.ref, &err));
    assert_int_equal(v.ref.kind, SGC_CHUNK_NATIVE);
    sgc_buffer_free(&encoded);
    sgc_session *session = new_session(v.repository);
    put_array(session, "/a", &metadata, "0");
    assert_ok(sgc_session_set_chunk(session, "/a", &origin, &v.ref, &err));
    commit(session);
    v.snapshot = load_tip(v.repository);
    assert_ok(sgc_array_open(v.repository, v.snapshot, "/a", &v.array, &err));
    v.store = sgc_repository_store(v.repository);
    sgc_object_id_format(&v.ref.id, v.id);
    snprintf(v.key, sizeof v.key, "chunks/%s", v.id);
    assert_ok(v.store->get(v.store, v.key, 0, SGC_TO_END, &v.object, &err));
    sgc_block_cache_set_size(0);
    return v;
}

static void free_victim(victim *v)
{
    sgc_object_clear(&v->object);
    sgc_array_close(v->array);
    sgc_snapshot_unref(v->snapshot);
    sgc_repository_free(v->repository);
}

/* Reads everything with the first `size` bytes of v->object in place. */
static sgc_status read_victim(victim *v, size_t size)
{
    static const uint64_t start = 0, count = 1000;
    float values[1000];
    assert_ok(v->store->put(v->store, v->key, v->object.data, size, SGC_PUT_ALWAYS, NULL, &err));
    const sgc_status status = sgc_array_read(v->array, &start, &count, values, 1, &err);
    if (status == SGC_CORRUPT)
        assert_message(v->id);
    return status;
}

static void check_truncations(int codec, bool noise)
{
    victim v = new_victim(codec, noise);
    assert_ok(read_victim(&v, v.object.size));
    for (size_t size = 0; size < v.object.size; size++)
        assert_status(SGC_CORRUPT, read_victim(&v, size));
    free_victim(&v);
}

static void test_truncated_chunks(void **state)
{
    (void)state;
    check_truncations(0, false);
    check_truncations(1, false);
    check_truncations(4, false);
    check_truncations(4, true);
    for (int codec = 12; codec < CODECS; codec++)
        check_truncations(codec, false);
}

/* Flips every so many bits of bytes [from, to); what comes of each is CORRUPT, or OK where that is
 * allowed. */
static void check_flips(victim *v, size_t from, size_t to, size_t step, bool may_succeed)
{
    for (size_t bit = 8 * from; bit < 8 * to; bit += step) {
        v->object.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        const sgc_status status = read_victim(v, v->object.size);
        v->object.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (!(may_succeed && status == SGC_OK))
            assert_status(SGC_CORRUPT, status);
    }
}

static void test_damaged_sizes_of_a_blosc_frame(void **state)
{
    (void)state;
    victim v = new_victim(4, false);
    check_flips(&v, 4, 8, 1, false);   /* decoded */
    check_flips(&v, 12, 16, 1, false); /* encoded */
    free_victim(&v);
}

/* No checksum protects a frame: damage may go unnoticed, but nothing worse. */
static void check_flips_everywhere(int codec, bool noise)
{
    victim v = new_victim(codec, noise);
    check_flips(&v, 0, 100, 1, true); /* header, offsets */
    check_flips(&v, 100, v.object.size, 9, true);
    free_victim(&v);
}

static void test_damaged_blosc_frame(void **state)
{
    (void)state;
    check_flips_everywhere(4, false);
}

static void test_damaged_stored_blosc_frame(void **state)
{
    (void)state;
    check_flips_everywhere(4, true);
}

static void test_damaged_lz4_blocks(void **state)
{
    (void)state;
    check_flips_everywhere(8, false);
}

static void test_damaged_blosclz_blocks(void **state)
{
    (void)state;
    check_flips_everywhere(10, false);
}

static void test_damaged_zstd_frame(void **state)
{
    (void)state;
    check_flips_everywhere(1, false);
}

static void test_other_damaged_pipelines(void **state)
{
    (void)state;
    for (int codec = 12; codec < CODECS; codec++)
        check_flips_everywhere(codec, false);
}

static void test_crc32c_finds_all_damage(void **state)
{
    (void)state;
    static const int checked[] = {13, 14, 18};
    for (int i = 0; i < 3; i++) {
        victim v = new_victim(checked[i], false);
        check_flips(&v, 0, v.object.size, 5, false);
        free_victim(&v);
    }
}

static void test_checksum_finds_all_damage_of_the_content(void **state)
{
    (void)state;
    victim v = new_victim(2, true);
    check_flips(&v, v.object.size - 200, v.object.size, 1, false);
    free_victim(&v);
}

/* Inline chunks are decoded whole, from memory: a wrong size must not lead out of it. */
static sgc_status decode_whole(const victim *v, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1); /* so that sanitizers see a read too far */
    float values[1000];
    memcpy(copy, v->object.data, size);
    const sgc_status status =
        sgc_chunk_decode(sgc_array_get_metadata(v->array), copy, size, values, &err);
    free(copy);
    return status;
}

static void check_whole(int codec, bool noise)
{
    victim v = new_victim(codec, noise);
    assert_ok(decode_whole(&v, v.object.size));
    for (size_t size = 0; size < v.object.size; size++)
        assert_status(SGC_CORRUPT, decode_whole(&v, size));
    for (size_t bit = 0; bit < 8 * v.object.size; bit += bit < 800 ? 1 : 9) {
        v.object.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        const sgc_status status = decode_whole(&v, v.object.size);
        v.object.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_true(status == SGC_OK || status == SGC_CORRUPT);
    }
    free_victim(&v);
}

static void test_damaged_chunks_in_memory(void **state)
{
    (void)state;
    check_whole(0, false);
    check_whole(1, false);
    check_whole(4, false);
    check_whole(4, true);
    check_whole(8, false);
    check_whole(10, false);
}

static void test_missing_chunk_object(void **state)
{
    (void)state;
    static const uint64_t start = 0, count = 1;
    float value;
    victim v = new_victim(4, false);
    assert_ok(sgc_object_store_remove(v.store, v.key, &err));
    assert_status(SGC_CORRUPT, sgc_array_read(v.array, &start, &count, &value, 1, &err));
    assert_message(v.id);
    free_victim(&v);
}

static void test_whole_chunks_are_not_read(void **state)
{
    (void)state;
    static const uint64_t start = 0, all = 1000, some = 999;
    victim v = new_victim(4, false);
    sgc_session *session = new_session(v.repository);
    assert_ok(sgc_object_store_remove(v.store, v.key, &err));
    assert_ok(sgc_array_write(session, "/a", &start, &all, v.values, 1, &err));
    sgc_session_free(session);
    session = new_session(v.repository);
    assert_status(SGC_CORRUPT, sgc_array_write(session, "/a", &start, &some, v.values, 1, &err));
    assert_message("/a");
    assert_message(v.id);
    sgc_session_free(session);
    free_victim(&v);
}

/* ---- unusual references ---- */

/* Makes `ref` the victim's chunk. */
static void set_ref(victim *v, const sgc_chunk_ref *ref)
{
    const uint32_t origin = 0;
    sgc_session *session = new_session(v->repository);
    assert_ok(sgc_session_set_chunk(session, "/a", &origin, ref, &err));
    commit(session);
    sgc_array_close(v->array);
    sgc_snapshot_unref(v->snapshot);
    v->snapshot = load_tip(v->repository);
    assert_ok(sgc_array_open(v->repository, v->snapshot, "/a", &v->array, &err));
}

/* Two chunks in one object take turns at being the victim's. */
static void check_packed(int codec)
{
    static const uint64_t start = 10, count = 980;
    float values[1000], other[1000];
    victim v = new_victim(codec, false);
    for (int i = 0; i < 1000; i++)
        other[i] = v.values[999 - i];
    sgc_buffer second = {0}, packed = {0};
    assert_ok(sgc_chunk_encode(sgc_array_get_metadata(v.array), other, 1, &second, &err));
    assert_ok(sgc_buffer_append(&packed, v.object.data, v.object.size, &err));
    assert_ok(sgc_buffer_append(&packed, second.data, second.size, &err));
    sgc_chunk_ref refs[2];
    assert_ok(sgc_repository_write_chunk(v.repository, packed.data, packed.size, &refs[0], &err));
    refs[1] = refs[0];
    refs[0].length = refs[1].offset = v.object.size;
    refs[1].length = second.size;
    sgc_block_cache_set_size(DEFAULT_CACHE);
    for (int i = 0; i < 2; i++) {
        set_ref(&v, &refs[i]);
        assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
        assert_memory_equal(values, (i == 0 ? v.values : other) + start, count * sizeof *values);
    }
    sgc_buffer_free(&second);
    sgc_buffer_free(&packed);
    free_victim(&v);
}

static void test_chunks_packed_in_one_object(void **state)
{
    (void)state;
    check_packed(0);
    check_packed(1);
    check_packed(4);
    check_packed(14);
}

static void test_chunk_longer_than_any_encoded_one(void **state)
{
    (void)state;
    static const uint64_t start = 0, count = 1;
    static const int kinds[] = {0, 1, 4, 12, 14};
    float value;
    for (int i = 0; i < 5; i++) {
        victim v = new_victim(kinds[i], false);
        sgc_chunk_ref ref = v.ref;
        ref.length = UINT64_C(1) << 40;
        set_ref(&v, &ref);
        assert_status(SGC_CORRUPT, sgc_array_read(v.array, &start, &count, &value, 1, &err));
        assert_message("too many");
        free_victim(&v);
    }
}

/* Blosc itself makes no blocks like these. */
static void test_frame_of_tiny_blocks(void **state)
{
    (void)state;
    enum { HEADER = 16, ITEMS = 1000, SIZE = 4 * ITEMS, LITTLE_MEMORY = 5 * SIZE };
    static const uint64_t start = 0, count = ITEMS;
    unsigned char frame[HEADER + SIZE] = {2, 1, 2, 4};
    const uint32_t sizes[] = {SIZE, 1, sizeof frame};
    float values[ITEMS];
    sgc_chunk_ref ref;
    victim v = new_victim(4, false);
    memcpy(frame + 4, sizes, sizeof sizes);
    memcpy(frame + HEADER, v.values, SIZE);
    assert_ok(sgc_repository_write_chunk(v.repository, frame, sizeof frame, &ref, &err));
    set_ref(&v, &ref);
    sgc_block_cache_set_size(DEFAULT_CACHE);
    bool stored; /* and its manifest loaded */
    assert_ok(sgc_array_has_chunk(v.array, &(uint32_t){0}, &stored, &err));
    for (int i = 0; i < 2; i++) {
        counting_malloc_reset();
        assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
        assert_true(counting_malloc_total() < LITTLE_MEMORY);
        assert_memory_equal(values, v.values, SIZE);
    }
    free_victim(&v);
}

/* ---- one object, read in different ways ---- */

/* Gives an array whose only chunk is the object of the victim's. */
static sgc_array *share_object(victim *v, sgc_array_metadata *m)
{
    const uint32_t origin = 0;
    sgc_array *array;
    sgc_session *session = new_session(v->repository);
    put_array(session, "/b", m, "0");
    assert_ok(sgc_session_set_chunk(session, "/b", &origin, &v->ref, &err));
    commit(session);
    sgc_snapshot *snapshot = load_tip(v->repository);
    assert_ok(sgc_array_open(v->repository, snapshot, "/b", &array, &err));
    sgc_snapshot_unref(snapshot);
    sgc_block_cache_set_size(DEFAULT_CACHE);
    return array;
}

/* The same bytes are a Blosc frame to one array and plain bytes to another. */
static void check_shared_object(bool plain_first)
{
    static const uint64_t start = 0, count = 1000;
    victim v = new_victim(4, false);
    sgc_array_metadata plain = {.type = SGC_UINT8,
                                .dimension_count = 1,
                                .shape = {v.object.size},
                                .chunk_shape = {v.object.size}};
    sgc_array *array = share_object(&v, &plain);
    unsigned char *bytes = malloc(v.object.size);
    float values[1000];
    for (int i = 0; i < 2; i++) {
        if (plain_first == (i == 0))
            assert_ok(sgc_array_read(array, &start, plain.shape, bytes, 1, &err));
        else
            assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
    }
    assert_memory_equal(bytes, v.object.data, v.object.size);
    assert_memory_equal(values, v.values, sizeof values);
    free(bytes);
    sgc_array_close(array);
    free_victim(&v);
}

static sgc_repository *open_place(const char *path, bool create)
{
    sgc_object_store *store;
    sgc_repository *repository;
    assert_ok(sgc_object_store_local_new(path, NULL, &store, &err));
    assert_ok(
        (create ? sgc_repository_create : sgc_repository_open)(store, NULL, &repository, &err));
    return repository;
}

static sgc_status spoil(void *user, const char *key, const sgc_object_info *info, sgc_error *error)
{
    sgc_object_store *store = user;
    unsigned char *bytes = calloc(1, info->size);
    const sgc_status status =
        store->put(store, key, bytes, info->size, SGC_PUT_ALWAYS, NULL, error);
    free(bytes);
    return status;
}

static unsigned char first_item(sgc_repository *repository)
{
    static const uint64_t start = 0, count = 1;
    unsigned char item = 99;
    sgc_array *array;
    sgc_snapshot *snapshot = load_tip(repository);
    assert_ok(sgc_array_open(repository, snapshot, "/a", &array, &err));
    assert_ok(sgc_array_read(array, &start, &count, &item, 1, &err));
    sgc_array_close(array);
    sgc_snapshot_unref(snapshot);
    return item;
}

/* A copy of a repository has the same ids, and perhaps other bytes under them. */
static void test_a_damaged_copy_does_not_show_in_the_original(void **state)
{
    (void)state;
    enum { ITEMS = 1000 };
    static const uint64_t start = 0, count = ITEMS;
    char *directory = temporary_directory_new(), path[512], other[512], command[1200];
    snprintf(path, sizeof path, "%s/original", directory);
    snprintf(other, sizeof other, "%s/copy", directory);
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8, .dimension_count = 1, .shape = {ITEMS}, .chunk_shape = {ITEMS}};
    unsigned char items[ITEMS];
    memset(items, 7, sizeof items);
    sgc_repository *original = open_place(path, true);
    sgc_session *session = new_session(original);
    put_array(session, "/a", &metadata, "255");
    assert_ok(sgc_array_write(session, "/a", &start, &count, items, 1, &err));
    commit(session);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", path, other);
    assert_int_equal(system(command), 0);
    sgc_repository *copy = open_place(other, false);
    sgc_object_store *store = sgc_repository_store(copy);
    assert_ok(store->list(store, "chunks/", spoil, store, &err));

    sgc_block_cache_set_size(DEFAULT_CACHE);
    assert_int_equal(first_item(copy), 0);
    assert_int_equal(first_item(original), 7);
    sgc_repository_free(original);
    sgc_repository_free(copy);
    temporary_directory_free(directory);
}

static void test_one_object_in_two_arrays(void **state)
{
    (void)state;
    check_shared_object(false);
    check_shared_object(true);
}

/* The cache has what the other array has read, which is too short. */
static void check_shorter_object(int codec)
{
    static const uint64_t start = 0, count = 1000;
    float values[2000];
    victim v = new_victim(codec, false);
    sgc_array_metadata longer = *sgc_array_get_metadata(v.array);
    longer.shape[0] = longer.chunk_shape[0] = 2000;
    sgc_array *array = share_object(&v, &longer);
    assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
    assert_status(SGC_CORRUPT, sgc_array_read(array, &start, longer.shape, values, 1, &err));
    assert_message("4000 bytes");
    sgc_array_close(array);
    free_victim(&v);
}

static void test_one_object_in_arrays_of_different_chunks(void **state)
{
    (void)state;
    check_shorter_object(1);
    check_shorter_object(4);
}

static void test_metadata_changed_under_a_chunk(void **state)
{
    (void)state;
    static const uint64_t start = 0, count = 1000;
    float values[1000];
    victim v = new_victim(1, false);
    sgc_block_cache_set_size(DEFAULT_CACHE);
    assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
    sgc_array_metadata changed = *sgc_array_get_metadata(v.array);
    changed.codecs.big_endian = true;
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    const uint32_t first = 0;
    sgc_session *session = new_session(v.repository);
    assert_ok(sgc_session_find_chunk(session, "/a", &first, &ref, &keep, &err));
    assert_ok(sgc_session_delete(session, "/a", &err));
    put_array(session, "/a", &changed, "0");
    assert_ok(sgc_session_set_chunk(session, "/a", &first, &ref, &err));
    commit(session);
    sgc_manifest_unref(keep);
    sgc_array_close(v.array);
    sgc_snapshot_unref(v.snapshot);
    v.snapshot = load_tip(v.repository);
    assert_ok(sgc_array_open(v.repository, v.snapshot, "/a", &v.array, &err));
    assert_ok(sgc_array_read(v.array, &start, &count, values, 1, &err));
    const unsigned char *right = (const unsigned char *)v.values,
                        *swapped = (const unsigned char *)values;
    for (size_t i = 0; i < sizeof values; i++)
        assert_int_equal(swapped[i ^ 3], right[i]);
    free_victim(&v);
}

static void test_virtual_chunk_is_unsupported(void **state)
{
    (void)state;
    static const uint64_t start = 0, count = 1;
    float value;
    const sgc_ref_details details = {.location = "s3://a/b"};
    const sgc_chunk_ref ref = {.kind = SGC_CHUNK_VIRTUAL, .length = 9, .details = &details};
    victim v = new_victim(4, false);
    set_ref(&v, &ref);
    assert_status(SGC_UNSUPPORTED, sgc_array_read(v.array, &start, &count, &value, 1, &err));
    assert_message("/a");
    assert_message("virtual");
    free_victim(&v);
}

/* ---- what the session shows ---- */

static void test_session_shows_its_own_chunks_first(void **state)
{
    (void)state;
    victim v = new_victim(0, false);
    const uint32_t origin = 0, outside = 1;
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    sgc_session *session = new_session(v.repository);
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    assert_ok(sgc_session_find_chunk(session, "/a", &origin, &ref, &keep, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_NATIVE);
    assert_memory_equal(&ref.id, &v.ref.id, sizeof ref.id);
    sgc_manifest_unref(keep);
    assert_ok(sgc_session_set_chunk(session, "/a", &origin, &none, &err));
    assert_ok(sgc_session_find_chunk(session, "/a", &origin, &ref, &keep, &err));
    assert_null(keep);
    assert_int_equal(ref.kind, SGC_CHUNK_NONE);
    assert_status(SGC_INVALID, sgc_session_find_chunk(session, "/a", &outside, &ref, &keep, &err));
    assert_status(SGC_INVALID, sgc_session_find_chunk(session, "/", &origin, &ref, &keep, &err));
    assert_status(SGC_NOT_FOUND, sgc_session_find_chunk(session, "/b", &origin, &ref, &keep, &err));
    sgc_session_free(session);
    free_victim(&v);
}

static void test_session_shows_its_own_nodes_first(void **state)
{
    (void)state;
    static const char group[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";
    victim v = new_victim(0, false);
    sgc_session *session = new_session(v.repository);
    sgc_node node;
    assert_ok(sgc_session_get_node(session, "/a", &node, &err));
    assert_true(node.is_array);
    assert_status(SGC_NOT_FOUND, sgc_session_get_node(session, "/g", &node, &err));
    assert_ok(sgc_session_put_group(session, "/g", group, strlen(group), &err));
    assert_ok(sgc_session_get_node(session, "/g", &node, &err));
    assert_string_equal(node.path, "/g");
    sgc_session_free(session);
    free_victim(&v);
}

#define TEST(test) cmocka_unit_test_setup(test, empty_block_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_chunk_of_fill_values_is_not_stored),
        TEST(test_negative_zero_is_not_the_fill_value_zero),
        TEST(test_small_chunks_are_inline),
        TEST(test_chunk_of_no_bytes_is_refused),
        TEST(test_unknown_compressor_is_unsupported),
        TEST(test_truncated_chunks),
        TEST(test_damaged_sizes_of_a_blosc_frame),
        TEST(test_damaged_blosc_frame),
        TEST(test_damaged_stored_blosc_frame),
        TEST(test_damaged_lz4_blocks),
        TEST(test_damaged_blosclz_blocks),
        TEST(test_damaged_zstd_frame),
        TEST(test_other_damaged_pipelines),
        TEST(test_crc32c_finds_all_damage),
        TEST(test_checksum_finds_all_damage_of_the_content),
        TEST(test_damaged_chunks_in_memory),
        TEST(test_missing_chunk_object),
        TEST(test_whole_chunks_are_not_read),
        TEST(test_chunks_packed_in_one_object),
        TEST(test_chunk_longer_than_any_encoded_one),
        TEST(test_frame_of_tiny_blocks),
        TEST(test_a_damaged_copy_does_not_show_in_the_original),
        TEST(test_one_object_in_two_arrays),
        TEST(test_one_object_in_arrays_of_different_chunks),
        TEST(test_metadata_changed_under_a_chunk),
        TEST(test_virtual_chunk_is_unsupported),
        TEST(test_session_shows_its_own_chunks_first),
        TEST(test_session_shows_its_own_nodes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
