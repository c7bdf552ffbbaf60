#include "autotest/unit/store_testing.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "store/icechunk/envelope.h"

enum { HEADER = 39, VERSION_AT = 36, KIND_AT = 37, COMPRESSION_AT = 38 };

static const char hello[] = "hello, hello, hello, hello, hello";

static sgc_buffer wrap(const void *payload, size_t size)
{
    sgc_buffer file = {0};
    assert_ok(sgc_envelope_wrap(SGC_FILE_MANIFEST, 1, payload, size, &file, &err));
    return file;
}

/* Unwraps a copy without a byte behind it, so that sanitizers see a read too far. */
static sgc_status unwrap(const void *file, size_t size, sgc_buffer *payload)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    int version;
    memcpy(copy, file, size);
    const sgc_status status =
        sgc_envelope_unwrap(SGC_FILE_MANIFEST, copy, size, &version, payload, &err);
    free(copy);
    return status;
}

static void check_unwrap_fails(sgc_status expected, const sgc_buffer *file)
{
    sgc_buffer payload = {0};
    assert_status(expected, unwrap(file->data, file->size, &payload));
    sgc_buffer_free(&payload);
}

static void test_header(void **state)
{
    (void)state;
    static const unsigned char magic[] = "ICE\xf0\x9f\xa7\x8a"
                                         "CHUNK";
    sgc_buffer file = wrap(hello, sizeof hello);
    assert_memory_equal(file.data, magic, 12);
    assert_memory_equal(file.data + 12, "sgc-", 4);
    assert_int_equal(file.data[35], ' ');
    assert_null(memchr(file.data + 12, '\0', 24));
    assert_int_equal(file.data[VERSION_AT], 1);
    assert_int_equal(file.data[KIND_AT], SGC_FILE_MANIFEST);
    assert_int_equal(file.data[COMPRESSION_AT], 1);
    sgc_buffer_free(&file);
}

static void check_round_trip(const void *data, size_t size)
{
    sgc_buffer file = wrap(data, size), payload = {0};
    assert_ok(unwrap(file.data, file.size, &payload));
    assert_int_equal(payload.size, size);
    assert_memory_equal(payload.data, data, size);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
}

static void test_round_trip(void **state)
{
    (void)state;
    check_round_trip(hello, sizeof hello);
}

/* The multiples of zstd's output buffer are where streaming can go wrong. */
static void test_round_trip_of_large_payloads(void **state)
{
    (void)state;
    const size_t step = ZSTD_DStreamOutSize();
    unsigned char *data = malloc(3 * step + 1);
    uint64_t seed = 1;
    for (size_t i = 0; i < 3 * step + 1; i++)
        data[i] = (unsigned char)random_below(&seed, 256);
    check_round_trip(data, step);
    check_round_trip(data, 3 * step - 1);
    check_round_trip(data, 3 * step);
    check_round_trip(data, 3 * step + 1);
    free(data);
}

/* Official writers stream: their frames do not tell the size of the content. */
static void test_frame_without_content_size(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello), payload = {0};
    unsigned char frame[256];
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    const size_t size = ZSTD_compress2(context, frame, sizeof frame, hello, sizeof hello);
    ZSTD_freeCCtx(context);
    assert_true(ZSTD_getFrameContentSize(frame, size) == ZSTD_CONTENTSIZE_UNKNOWN);
    file.size = HEADER;
    assert_ok(sgc_buffer_append(&file, frame, size, &err));
    assert_ok(unwrap(file.data, file.size, &payload));
    assert_int_equal(payload.size, sizeof hello);
    assert_memory_equal(payload.data, hello, sizeof hello);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
}

static void test_version_is_told(void **state)
{
    (void)state;
    for (int written = 1; written <= 2; written++) {
        sgc_buffer file = {0}, payload = {0};
        int version = 0;
        assert_ok(sgc_envelope_wrap(SGC_FILE_SNAPSHOT, written, hello, sizeof hello, &file, &err));
        assert_ok(
            sgc_envelope_unwrap(SGC_FILE_SNAPSHOT, file.data, file.size, &version, &payload, &err));
        assert_int_equal(version, written);
        sgc_buffer_free(&payload);
        sgc_buffer_free(&file);
    }
}

static void test_every_truncation_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    while (file.size-- > 0)
        check_unwrap_fails(SGC_CORRUPT, &file);
    sgc_buffer_free(&file);
}

/* A flip is refused, or it changes nothing of what is read. */
static void test_no_flipped_bit_changes_the_payload(void **state)
{
    (void)state;
    unsigned char data[2000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * i / 7);
    sgc_buffer file = wrap(data, sizeof data);
    size_t refused = 0;
    for (size_t bit = (size_t)HEADER * 8; bit < file.size * 8; bit++) {
        sgc_buffer payload = {0};
        file.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (unwrap(file.data, file.size, &payload) == SGC_OK) {
            assert_int_equal(payload.size, sizeof data);
            assert_memory_equal(payload.data, data, sizeof data);
        } else {
            refused++;
        }
        file.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        sgc_buffer_free(&payload);
    }
    assert_true(refused > (file.size - HEADER) * 7);
    sgc_buffer_free(&file);
}

static void test_trailing_byte_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    assert_ok(sgc_buffer_append(&file, "", 1, &err));
    check_unwrap_fails(SGC_CORRUPT, &file);
    sgc_buffer_free(&file);
}

static void test_second_frame_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello), other = wrap(hello, sizeof hello);
    assert_ok(sgc_buffer_append(&file, other.data + HEADER, other.size - HEADER, &err));
    check_unwrap_fails(SGC_CORRUPT, &file);
    sgc_buffer_free(&other);
    sgc_buffer_free(&file);
}

static void test_wrong_kind_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    file.data[KIND_AT] = SGC_FILE_SNAPSHOT;
    check_unwrap_fails(SGC_CORRUPT, &file);
    sgc_buffer_free(&file);
}

static void test_unknown_version_is_unsupported(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    file.data[VERSION_AT] = 3;
    check_unwrap_fails(SGC_UNSUPPORTED, &file);
    sgc_buffer_free(&file);
}

static void test_unknown_compression_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    file.data[COMPRESSION_AT] = 2;
    check_unwrap_fails(SGC_CORRUPT, &file);
    sgc_buffer_free(&file);
}

static void test_wrong_magic_is_corrupt(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello);
    for (size_t i = 0; i < 12; i++) {
        file.data[i] ^= 1;
        check_unwrap_fails(SGC_CORRUPT, &file);
        file.data[i] ^= 1;
    }
    sgc_buffer_free(&file);
}

/* A frame of `count` blocks that say "128 KiB of zeros" in 4 bytes each. */
static void append_blocks_of_zeros(sgc_buffer *file, size_t count)
{
    static const unsigned char frame_header[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58};
    assert_ok(sgc_buffer_append(file, frame_header, sizeof frame_header, &err));
    for (size_t i = 1; i <= count; i++) {
        const unsigned char block[] = {i < count ? 0x02 : 0x03, 0x00, 0x10, 0x00};
        assert_ok(sgc_buffer_append(file, block, sizeof block, &err));
    }
}

static void test_small_file_does_not_take_much_memory(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello), payload = {0};
    file.size = HEADER;
    append_blocks_of_zeros(&file, 4096);
    assert_status(SGC_CORRUPT, unwrap(file.data, file.size, &payload));
    assert_in_range(payload.capacity, 0, 200 * 1024 * 1024);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
}

static void test_repetitive_payload(void **state)
{
    (void)state;
    sgc_buffer file = wrap(hello, sizeof hello), payload = {0};
    file.size = HEADER;
    append_blocks_of_zeros(&file, 256);
    assert_ok(unwrap(file.data, file.size, &payload));
    assert_int_equal(payload.size, 32 * 1024 * 1024);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_large_payloads),
        cmocka_unit_test(test_frame_without_content_size),
        cmocka_unit_test(test_version_is_told),
        cmocka_unit_test(test_every_truncation_is_corrupt),
        cmocka_unit_test(test_no_flipped_bit_changes_the_payload),
        cmocka_unit_test(test_trailing_byte_is_corrupt),
        cmocka_unit_test(test_second_frame_is_corrupt),
        cmocka_unit_test(test_wrong_kind_is_corrupt),
        cmocka_unit_test(test_unknown_version_is_unsupported),
        cmocka_unit_test(test_unknown_compression_is_corrupt),
        cmocka_unit_test(test_wrong_magic_is_corrupt),
        cmocka_unit_test(test_small_file_does_not_take_much_memory),
        cmocka_unit_test(test_repetitive_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
