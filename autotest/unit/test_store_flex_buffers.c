#include "autotest/unit/json_testing.h"

#include <stdio.h>
#include <string.h>

#include "autotest/unit/golden_configs.h"
#include "store/icechunk/flex_buffers.h"

/* The worked example of format guide 6. */
static const char example_hex[] = "69735f726f6f7400 01 09 010101 01 68 02 24 01";

static void test_worked_example(void **state)
{
    (void)state;
    check_encodes(sgc_flex_buffers_encode, "{\"is_root\":true}", example_hex);
    check_prints(sgc_flex_buffers_print, example_hex, "{\"is_root\":true}");
}

static void test_golden_configurations(void **state)
{
    (void)state;
    check_prints(sgc_flex_buffers_print, split_repo_v2_hex, split_repo_v2_json);
    check_prints(sgc_flex_buffers_print, test_repo_v2_migrated_hex, test_repo_v2_migrated_json);
}

/* Written out by hand after the table in format guide 6: the value, a bar, the root slot with its
 * type and width. */
static void test_print_each_type(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"00 00 01", "null"},
        {"ff 04 01", "-1"},
        {"0080 05 02", "-32768"},
        {"00000080 06 04", "-2147483648"},
        {"0000000000000080 07 08", "-9223372036854775808"},
        {"ff 08 01", "255"},
        {"2c01 09 02", "300"},
        {"ffffffff 0a 04", "4294967295"},
        {"ffffffffffffffff 0b 08", "18446744073709551615"},
        {"0000c03f 0e 04", "1.5"},
        {"9a9999999999b93f 0f 08", "0.1"},
        {"00 68 01", "false"},
        {"0001 68 02", "true"},
        /* keys and strings */
        {"6100 02 10 01", "\"a\""},
        {"01 6100 02 14 01", "\"a\""},
        {"0100 6100 02 15 01", "\"a\""},
        {"02 0022 00 03 14 01", "\"\\u0000\\\"\""},
        {"00 00 01 14 01", "\"\""},
        /* indirect numbers */
        {"d4fe 02 19 01", "-300"},
        {"2c01 02 1d 01", "300"},
        {"0000c03f 04 22 01", "1.5"},
        {"9a9999999999b93f 08 23 01", "0.1"},
        /* typed vectors */
        {"02 ff01 02 2c 01", "[-1,1]"},
        {"02 ff01 02 30 01", "[255,1]"},
        {"0100 2c01 02 31 01", "[300]"},
        {"01000000 0000c03f 04 36 01", "[1.5]"},
        {"02 0100 02 90 01", "[true,false]"},
        {"61006200 02 0504 02 38 01", "[\"a\",\"b\"]"},
        {"016100 01 03 01 3c 01", "[\"a\"]"},
        {"00 00 2c 01", "[]"},
        /* fixed typed vectors */
        {"ff01 02 40 01", "[-1,1]"},
        {"ff01 02 44 01", "[255,1]"},
        {"0000c03f000000c0 08 4a 01", "[1.5,-2.0]"},
        {"ff0102 03 4c 01", "[-1,1,2]"},
        {"ff0102 03 50 01", "[255,1,2]"},
        {"0000c03f000000c000000000 0c 56 01", "[1.5,-2.0,0.0]"},
        {"ff010203 04 58 01", "[-1,1,2,3]"},
        {"ff010203 04 5c 01", "[255,1,2,3]"},
        {"0000c03f000000c0000000000000803f 10 62 01", "[1.5,-2.0,0.0,1.0]"},
        /* vectors: slots, then their types */
        {"03 00ff01 000468 06 28 01", "[null,-1,true]"},
        {"01 6100 01 03 14 02 28 01", "[\"a\"]"},
        {"00 00 28 01", "[]"},
        /* maps: the keys' distance and width, a length, slots, types; wider values than keys */
        {"62006100 02 0306 0201 02 0506 0808 04 24 01", "{\"a\":5,\"b\":6}"},
        {"6100 01 03 0100 0100 0100 2c01 09 03 25 01", "{\"a\":300}"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_prints(sgc_flex_buffers_print, forms[i][0], forms[i][1]);
}

static void test_numbers_that_json_lacks_are_null(void **state)
{
    (void)state;
    check_prints(sgc_flex_buffers_print, "0000807f 0e 04", "null");
    check_prints(sgc_flex_buffers_print, "000000000000f8ff 0f 08", "null");
}

static void test_values_that_json_lacks(void **state)
{
    (void)state;
    check_corrupt(sgc_flex_buffers_print, "01 00 01 64 01", "blob");
    check_corrupt(sgc_flex_buffers_print, "00 0c 01", "32 bits");
    check_corrupt(sgc_flex_buffers_print, "003c 0d 02", "32 bits");
    for (unsigned type = 27; type < 64; type++) {
        char hex[16];
        snprintf(hex, sizeof hex, "0000 00 %02x 01", type << 2);
        if (type != 36)
            check_corrupt(sgc_flex_buffers_print, hex, "unknown type");
    }
}

static void test_malformed_bytes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "3 bytes"},
        {"04 01", "3 bytes"},
        {"00 04 00", "width"},
        {"00 04 03", "width"},
        {"00 04 02", "width"},
        {"0000000000000000 04 10", "width"},
        {"02 10 01", "offset"},
        {"ffffffffffffffff 13 08", "offset"},
        {"61 01 10 01", "key without"}, /* its NUL would be behind the end */
        {"ff 61 01 14 01", "string leaves"},
        {"00 14 01", "length is missing"},
        {"01 ff 00 02 14 01", "UTF-8"},
        {"ff00 02 10 01", "UTF-8"},
        {"00 19 02", "width"},
        {"00 1b 01", "number leaves"},
        {"09 00 01 2c 01", "length leaves"},
        {"ffffffffffffffff 00 01 2f 01", "length leaves"},
        {"00 5c 01", "vector leaves"},
        {"04 00 01 28 01", "types"},
        {"00 00 24 01", "keys"},
        {"000000 00 24 01", "width"},
        {"00 00 03 00 00 24 01", "width"},
        {"61 00 01 02 01 01 00 00 24 01", "differ"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_corrupt(sgc_flex_buffers_print, cases[i][0], cases[i][1]);
}

/* A vector whose only element is itself. */
static void test_endless_value(void **state)
{
    (void)state;
    check_corrupt(sgc_flex_buffers_print, "01 00 28 02 28 01", "100");
}

/* Each vector has 8 times the one before it. */
static void test_shared_parts_do_not_explode(void **state)
{
    (void)state;
    sgc_buffer bytes = {0}, text = {0};
    assert_ok(sgc_buffer_append(&bytes, "\0", 1, &err)); /* the length of an empty vector */
    size_t target = 1;
    for (int level = 0; level < 20; level++) {
        const unsigned char length = 8;
        assert_ok(sgc_buffer_append(&bytes, &length, 1, &err));
        const size_t first = bytes.size;
        for (size_t i = 0; i < length; i++) {
            const unsigned char offset = (unsigned char)(first + i - target);
            assert_ok(sgc_buffer_append(&bytes, &offset, 1, &err));
        }
        for (size_t i = 0; i < length; i++)
            assert_ok(sgc_buffer_append(&bytes, "\x28", 1, &err));
        target = first;
    }
    const unsigned char root[] = {(unsigned char)(bytes.size - target), 0x28, 1};
    assert_ok(sgc_buffer_append(&bytes, root, sizeof root, &err));
    assert_status(SGC_CORRUPT, sgc_flex_buffers_print(bytes.data, bytes.size, &text, &err));
    assert_message("shared");
    assert_true(text.capacity / 2000 < bytes.size);
    sgc_buffer_free(&text);
    sgc_buffer_free(&bytes);
}

/* Encodes `json` and prints it again. */
static void check_becomes(const char *json, const char *expected)
{
    sgc_buffer bytes = {0}, text = {0};
    assert_ok(sgc_flex_buffers_encode(span_of(json), &bytes, &err));
    assert_ok(sgc_flex_buffers_print(bytes.data, bytes.size, &text, &err));
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
    sgc_buffer_free(&text);
    sgc_buffer_free(&bytes);
}

static void test_keys_are_sorted(void **state)
{
    (void)state;
    check_becomes("{\"b\":1,\"\xc3\xa9\":2,\"B\":3,\"ab\":4,\"a\":{\"d\":5,\"\":6}}",
                  "{\"B\":3,\"a\":{\"\":6,\"d\":5},\"ab\":4,\"b\":1,\"\xc3\xa9\":2}");
}

static void test_encode_takes_any_json(void **state)
{
    (void)state;
    check_becomes(" [ 1e0 ,\"\\u20AC\\/\", {} ] ", "[1.0,\"\xe2\x82\xac/\",{}]");
}

static void test_encode_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {"",    "nul",        "1 2",          "[1,]",
                                        "[1}", "{\"a\":1,}", "\"\\ud800\"",  "\"\xff\"",
                                        "01",  "1e999",      "{\"a\":[01]}", "{\"a\\u0000b\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refuses(sgc_flex_buffers_encode, texts[i]);
    check_refuses(sgc_flex_buffers_encode, "[{\"a\":1,\"b\":2,\"a\":3}]");
    assert_message("twice");
}

static void test_depth(void **state)
{
    (void)state;
    char json[2 * 101 + 1];
    memset(json, '[', 100);
    memset(json + 100, ']', 100);
    json[200] = '\0';
    check_becomes(json, json);
    memset(json, '[', 101);
    memset(json + 101, ']', 101);
    json[202] = '\0';
    check_refuses(sgc_flex_buffers_encode, json);
    assert_message("100");
}

static void test_round_trips(void **state)
{
    (void)state;
    check_round_trips(sgc_flex_buffers_encode, sgc_flex_buffers_print);
}

static void test_garbled_bytes(void **state)
{
    (void)state;
    static const char *const small[] = {example_hex,
                                        "6100 01 03 0100 0100 0100 2c01 09 03 25 01",
                                        "61006200 02 0504 02 38 01",
                                        "03 00ff01 000468 06 28 01",
                                        "0000c03f000000c0000000000000803f 10 62 01",
                                        "9a9999999999b93f 08 23 01"};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        sgc_buffer bytes = from_hex(small[i]);
        check_garbled(sgc_flex_buffers_print, (sgc_span){(char *)bytes.data, bytes.size}, true);
        sgc_buffer_free(&bytes);
    }
    sgc_buffer golden = from_hex(split_repo_v2_hex);
    check_garbled(sgc_flex_buffers_print, (sgc_span){(char *)golden.data, golden.size}, false);
    sgc_buffer_free(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_golden_configurations),
        cmocka_unit_test(test_print_each_type),
        cmocka_unit_test(test_numbers_that_json_lacks_are_null),
        cmocka_unit_test(test_values_that_json_lacks),
        cmocka_unit_test(test_malformed_bytes),
        cmocka_unit_test(test_endless_value),
        cmocka_unit_test(test_shared_parts_do_not_explode),
        cmocka_unit_test(test_keys_are_sorted),
        cmocka_unit_test(test_encode_takes_any_json),
        cmocka_unit_test(test_encode_refuses),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_garbled_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
