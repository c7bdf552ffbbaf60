#include "autotest/unit/json_testing.h"

#include <stdlib.h>
#include <string.h>

#include "store/icechunk/message_pack.h"

/* Of the MessagePack specification: each form, at both of its ends. */
static const struct {
    const char *json, *hex;
} vectors[] = {
    {"null", "c0"},
    {"false", "c2"},
    {"true", "c3"},
    {"0", "00"},
    {"127", "7f"},
    {"128", "cc80"},
    {"255", "ccff"},
    {"256", "cd0100"},
    {"65535", "cdffff"},
    {"65536", "ce00010000"},
    {"4294967295", "ceffffffff"},
    {"4294967296", "cf0000000100000000"},
    {"9007199254740993", "cf0020000000000001"},
    {"18446744073709551615", "cfffffffffffffffff"},
    {"-1", "ff"},
    {"-32", "e0"},
    {"-33", "d0df"},
    {"-128", "d080"},
    {"-129", "d1ff7f"},
    {"-32768", "d18000"},
    {"-32769", "d2ffff7fff"},
    {"-2147483648", "d280000000"},
    {"-2147483649", "d3ffffffff7fffffff"},
    {"-9223372036854775808", "d38000000000000000"},
    {"1.5", "cb3ff8000000000000"},
    {"-0.0", "cb8000000000000000"},
    {"0.1", "cb3fb999999999999a"},
    {"1.0", "cb3ff0000000000000"},
    {"\"\"", "a0"},
    {"\"a\\\"\xc3\xa9\"", "a4 61 22 c3a9"},
    {"\"\\u0000\"", "a1 00"},
    {"[]", "90"},
    {"[1,[null]]", "92 01 91 c0"},
    {"{}", "80"},
    {"{\"is_root\":true}", "81 a7 69735f726f6f74 c3"}, /* format guide 6 */
    {"{\"b\":1,\"a\":{\"\":-1}}", "82 a1 62 01 a1 61 81 a0 ff"},
};

static void test_encode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_encodes(sgc_message_pack_encode, vectors[i].json, vectors[i].hex);
}

static void test_print(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_prints(sgc_message_pack_print, vectors[i].hex, vectors[i].json);
}

/* Encodes `count` times `item` between `open` and `close` and checks the first bytes. */
static void check_length(const char *open, const char *item, const char *close, size_t count,
                         const char *separator, const char *hex)
{
    sgc_buffer json = {0}, bytes = {0}, again = {0}, head = from_hex(hex);
    assert_ok(sgc_buffer_print(&json, &err, "%s", open));
    for (size_t i = 0; i < count; i++)
        assert_ok(sgc_buffer_print(&json, &err, "%s%s", i > 0 ? separator : "", item));
    assert_ok(sgc_buffer_print(&json, &err, "%s", close));
    assert_ok(sgc_message_pack_encode((sgc_span){(char *)json.data, json.size}, &bytes, &err));
    assert_true(bytes.size > head.size);
    assert_memory_equal(bytes.data, head.data, head.size);
    assert_ok(sgc_message_pack_print(bytes.data, bytes.size, &again, &err));
    assert_int_equal(again.size, json.size);
    assert_memory_equal(again.data, json.data, json.size);
    sgc_buffer_free(&head);
    sgc_buffer_free(&again);
    sgc_buffer_free(&bytes);
    sgc_buffer_free(&json);
}

static void test_lengths(void **state)
{
    (void)state;
    check_length("\"", "x", "\"", 31, "", "bf78");
    check_length("\"", "x", "\"", 32, "", "d92078");
    check_length("\"", "x", "\"", 255, "", "d9ff78");
    check_length("\"", "x", "\"", 256, "", "da010078");
    check_length("\"", "x", "\"", 65535, "", "daffff78");
    check_length("\"", "x", "\"", 65536, "", "db0001000078");
    check_length("[", "1", "]", 15, ",", "9f01");
    check_length("[", "1", "]", 16, ",", "dc001001");
    check_length("[", "1", "]", 65535, ",", "dcffff01");
    check_length("[", "1", "]", 65536, ",", "dd0001000001");
    check_length("{", "\"k\":1", "}", 15, ",", "8fa16b01");
    check_length("{", "\"k\":1", "}", 16, ",", "de0010a16b01");
    check_length("{", "\"k\":1", "}", 65535, ",", "deffffa16b01");
    check_length("{", "\"k\":1", "}", 65536, ",", "df00010000a16b01");
}

/* What we do not write. */
static void test_print_longer_forms(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"cc01", "1"},
        {"cd0001", "1"},
        {"ce00000001", "1"},
        {"cf0000000000000001", "1"},
        {"d0ff", "-1"},
        {"d07f", "127"},
        {"d1ffff", "-1"},
        {"d2ffffffff", "-1"},
        {"d3ffffffffffffffff", "-1"},
        {"d37fffffffffffffff", "9223372036854775807"},
        {"d900", "\"\""},
        {"da000161", "\"a\""},
        {"db0000000161", "\"a\""},
        {"dc0000", "[]"},
        {"dd0000000101", "[1]"},
        {"de0000", "{}"},
        {"df00000001d9016101", "{\"a\":1}"},
        {"81da00016101", "{\"a\":1}"},
        {"81db000000016101", "{\"a\":1}"},
        {"ca3fc00000", "1.5"},
        {"ca3dcccccd", "0.10000000149011612"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_prints(sgc_message_pack_print, forms[i][0], forms[i][1]);
}

static void test_numbers_that_json_lacks_are_null(void **state)
{
    (void)state;
    static const char *const forms[] = {"ca7fc00000", "caff800000", "cb7ff8000000000000",
                                        "cb7ff0000000000000", "cbfff0000000000000"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_prints(sgc_message_pack_print, forms[i], "null");
}

static void test_values_that_json_lacks(void **state)
{
    (void)state;
    static const char *const bins[] = {"c40100", "c5000100", "c60000000100", "81a161c400"};
    for (size_t i = 0; i < sizeof bins / sizeof *bins; i++)
        check_corrupt(sgc_message_pack_print, bins[i], "bin");
    static const char *const exts[] = {"c7000100", "c80000", "c9", "d40000",
                                       "d5",       "d6",     "d7", "d8"};
    for (size_t i = 0; i < sizeof exts / sizeof *exts; i++)
        check_corrupt(sgc_message_pack_print, exts[i], "ext");
    check_corrupt(sgc_message_pack_print, "c1", "c1");
}

static void test_malformed_bytes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "cut short"},           {"c0c0", "follow"},          {"9101c0", "follow"},
        {"92 01", "cut short"},      {"a261", "cut short"},       {"dbffffffff", "cut short"},
        {"ddffffffff", "cut short"}, {"dfffffffff", "cut short"}, {"8101c0", "key"},
        {"81c0c0", "key"},           {"8190c0", "key"},           {"81ccffc0", "key"},
        {"a1ff", "UTF-8"},           {"a2c080", "UTF-8"},         {"a3eda080", "UTF-8"},
        {"81a1ff01", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_corrupt(sgc_message_pack_print, cases[i][0], cases[i][1]);
}

static void test_encode_refuses_what_is_not_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "True",
        "1 2",
        "[1",
        "[1,]",
        "[1 2]",
        "[,]",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":}",
        "{1:2}",
        "{\"a\":1,}",
        "[1}",
        "{\"a\":1]",
        "]",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "-",
        "0x10",
        "1e999",
        "NaN",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\xff\"",
        "\"a\" 1",
        "\"\\ud800\\u0041\"",
        "{\"\xff\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refuses(sgc_message_pack_encode, texts[i]);
}

static void test_encode_takes_any_json(void **state)
{
    (void)state;
    check_encodes(sgc_message_pack_encode, " { \"a\" :\t[ 1 ,\n2 ] } ", "81 a1 61 92 01 02");
    check_encodes(sgc_message_pack_encode, "1e0", "cb3ff0000000000000");
    check_encodes(sgc_message_pack_encode, "18446744073709551616", "cb43f0000000000000");
    check_encodes(sgc_message_pack_encode, "-9223372036854775809", "cbc3e0000000000000");
    check_encodes(sgc_message_pack_encode, "\"\\u20AC\\ud83e\\uDDCA\\/\\b\\f\\n\\r\\t\"",
                  "ad e282ac f09fa78a 2f 08 0c 0a 0d 09");
}

/* Gives (free()) `depth` times `open`, then as often `close`, around `inner`. */
static char *nested(const char *open, const char *inner, const char *close, size_t depth)
{
    sgc_buffer text = {0};
    for (size_t i = 0; i < depth; i++)
        assert_ok(sgc_buffer_print(&text, &err, "%s", open));
    assert_ok(sgc_buffer_print(&text, &err, "%s", inner));
    for (size_t i = 0; i < depth; i++)
        assert_ok(sgc_buffer_print(&text, &err, "%s", close));
    return (char *)text.data;
}

static void test_depth(void **state)
{
    (void)state;
    char *json = nested("[", "[]", "]", 99), *hex = nested("91", "90", "", 99);
    check_encodes(sgc_message_pack_encode, json, hex);
    check_prints(sgc_message_pack_print, hex, json);
    free(json);
    free(hex);
    json = nested("[", "[]", "]", 100);
    hex = nested("91", "90", "", 100);
    check_refuses(sgc_message_pack_encode, json);
    assert_message("100");
    check_corrupt(sgc_message_pack_print, hex, "100");
    free(json);
    free(hex);
    json = nested("{\"a\":", "1", "}", 100000);
    hex = nested("81a161", "01", "", 100000);
    check_refuses(sgc_message_pack_encode, json);
    check_corrupt(sgc_message_pack_print, hex, "100");
    free(json);
    free(hex);
}

static void test_round_trips(void **state)
{
    (void)state;
    check_round_trips(sgc_message_pack_encode, sgc_message_pack_print);
}

static void test_garbled_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        sgc_buffer bytes = from_hex(vectors[i].hex);
        check_garbled(sgc_message_pack_print, (sgc_span){(char *)bytes.data, bytes.size}, true);
        sgc_buffer_free(&bytes);
    }
    for (uint64_t seed = 0; seed < 30; seed++) {
        sgc_buffer json = random_json(seed), bytes = {0};
        assert_ok(sgc_message_pack_encode((sgc_span){(char *)json.data, json.size}, &bytes, &err));
        if (bytes.size < 1000)
            check_garbled(sgc_message_pack_print, (sgc_span){(char *)bytes.data, bytes.size},
                          false);
        sgc_buffer_free(&bytes);
        sgc_buffer_free(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_print_longer_forms),
        cmocka_unit_test(test_numbers_that_json_lacks_are_null),
        cmocka_unit_test(test_values_that_json_lacks),
        cmocka_unit_test(test_malformed_bytes),
        cmocka_unit_test(test_encode_refuses_what_is_not_json),
        cmocka_unit_test(test_encode_takes_any_json),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_garbled_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
