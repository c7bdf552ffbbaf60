#include "autotest/unit/store_testing.h"

#include <string.h>

static sgc_span span(const char *text)
{
    return (sgc_span){text, strlen(text)};
}

static void check_find(const char *object, const char *key, const char *expected)
{
    sgc_span value;
    assert_ok(sgc_json_find(span(object), key, &value, &err));
    assert_int_equal(value.size, strlen(expected));
    assert_memory_equal(value.text, expected, value.size);
}

static void check_replace(const char *object, const char *key, const char *value,
                          const char *expected)
{
    sgc_buffer out = {0};
    assert_ok(sgc_json_replace(span(object), key, span(value), &out, &err));
    assert_ok(sgc_buffer_append(&out, "", 1, &err));
    assert_string_equal((char *)out.data, expected);
    sgc_buffer_free(&out);
}

static void test_find_each_kind_of_value(void **state)
{
    (void)state;
    static const char object[] = " { \"a\" : -1.5e3 ,\"b\":\"x\",\n\"c\":[1,[2]], \"d\":{\"e\":{}},"
                                 "\"f\":true,\"g\":null\t}";
    check_find(object, "a", "-1.5e3");
    check_find(object, "b", "\"x\"");
    check_find(object, "c", "[1,[2]]");
    check_find(object, "d", "{\"e\":{}}");
    check_find(object, "f", "true");
    check_find(object, "g", "null");
}

static void test_find_takes_the_outer_key(void **state)
{
    (void)state;
    check_find("{\"x\":{\"key\":1},\"y\":[{\"key\":2}],\"z\":\"key\",\"key\":3}", "key", "3");
}

static void test_find_needs_the_whole_key(void **state)
{
    (void)state;
    check_find("{\"ke\":1,\"keys\":2,\"\":3,\"key\":4}", "key", "4");
    check_find("{\"ke\":1,\"keys\":2,\"\":3,\"key\":4}", "", "3");
}

static void test_find_is_not_misled_by_strings(void **state)
{
    (void)state;
    check_find("{\"a\":\"}]{[,:\",\"b\":\"\\\"}\",\"c\\\\\":\"\\\\\",\"d\":[\"]\"],\"key\":1}",
               "key", "1");
}

static void check_absent(const char *object)
{
    sgc_span value;
    assert_status(SGC_NOT_FOUND, sgc_json_find(span(object), "key", &value, &err));
}

static void test_absent_key(void **state)
{
    (void)state;
    check_absent("{}");
    check_absent(" {\n} ");
    check_absent("{\"a\":{\"key\":1},\"b\":\"key\"}");
}

static void test_malformed_objects(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "1",
        "\"key\"",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":[1",
        "{\"a\":\"x",
        "{\"a\":\"\\",
        "{\"a\":\"\\\"",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":]}",
        "{,}",
        "{\"a\":1,}",
        "{\"a\":1 \"key\":2}",
        "{,\"key\":2}",
        "{\"a\":1,,\"key\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sgc_span value;
        if (sgc_json_find(span(texts[i]), "key", &value, &err) != SGC_CORRUPT)
            fail_msg("%s", texts[i]);
    }
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    static char text[100000];
    sgc_span value;
    memset(text, '[', sizeof text);
    memcpy(text, "{\"a\":", 5);
    assert_status(SGC_CORRUPT, sgc_json_find((sgc_span){text, sizeof text}, "key", &value, &err));
}

static void test_next(void **state)
{
    (void)state;
    static const char *const expected[] = {"1", "\"]\"", "[2,3]", "{\"a\":[]}", "null"};
    const sgc_span array = span("[ 1, \"]\" ,[2,3],{\"a\":[]},\nnull ]");
    size_t position = 0;
    sgc_span element;
    for (size_t i = 0; i < 5; i++) {
        assert_ok(sgc_json_next(array, &position, &element, &err));
        assert_int_equal(element.size, strlen(expected[i]));
        assert_memory_equal(element.text, expected[i], element.size);
    }
    assert_status(SGC_NOT_FOUND, sgc_json_next(array, &position, &element, &err));
}

static void test_next_of_an_empty_array(void **state)
{
    (void)state;
    size_t position = 0;
    sgc_span element;
    assert_status(SGC_NOT_FOUND, sgc_json_next(span(" [ ] "), &position, &element, &err));
}

/* Calls sgc_json_next() to the end and gives its last status. */
static sgc_status walk(const char *array)
{
    size_t position = 0;
    sgc_span element;
    sgc_status status;
    do
        status = sgc_json_next(span(array), &position, &element, &err);
    while (status == SGC_OK);
    return status;
}

static void test_malformed_arrays(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      "{}",     "1",    "[",    "[1",   "[1,",
                                        "[1 2]", "[1,,2]", "[,1]", "[1,]", "[\"a]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (walk(texts[i]) != SGC_CORRUPT)
            fail_msg("%s", texts[i]);
}

static void test_replace_keeps_all_other_bytes(void **state)
{
    (void)state;
    check_replace(" {\n \"big\" : 18446744073709551615,\t\"a\":[ 1 ] , \"f\":1.0E+2 }\n", "a", "{}",
                  " {\n \"big\" : 18446744073709551615,\t\"a\":{} , \"f\":1.0E+2 }\n");
}

static void test_replace_takes_the_outer_key(void **state)
{
    (void)state;
    check_replace("{\"x\":{\"key\":1},\"key\":{\"key\":2}}", "key", "3",
                  "{\"x\":{\"key\":1},\"key\":3}");
}

static void test_replace_adds_an_absent_key(void **state)
{
    (void)state;
    check_replace("{\"a\": 1\n}\n", "b", "2", "{\"a\": 1,\"b\":2\n}\n");
    check_replace("{\"a\":\"}\"}", "b", "2", "{\"a\":\"}\",\"b\":2}");
}

static void test_replace_adds_to_an_empty_object(void **state)
{
    (void)state;
    check_replace("{}", "b", "2", "{\"b\":2}");
    check_replace("{ }", "b", "2", "{\"b\":2 }");
}

static void test_replace_quotes_an_added_key(void **state)
{
    (void)state;
    check_replace("{}", "a\"b\\c", "2", "{\"a\\\"b\\\\c\":2}");
}

static void test_replace_in_malformed_text(void **state)
{
    (void)state;
    sgc_buffer out = {0};
    assert_status(SGC_CORRUPT, sgc_json_replace(span("{\"a\":1,}"), "b", span("2"), &out, &err));
    assert_status(SGC_CORRUPT, sgc_json_replace(span("[]"), "b", span("2"), &out, &err));
    sgc_buffer_free(&out);
}

static void test_quote(void **state)
{
    (void)state;
    sgc_buffer out = {0};
    assert_ok(sgc_json_quote(&out, "a\"\\\n\x01\x1f/\xc3\xa9", &err));
    assert_ok(sgc_buffer_append(&out, "", 1, &err));
    assert_string_equal((char *)out.data, "\"a\\\"\\\\\\u000a\\u0001\\u001f/\xc3\xa9\"");
    sgc_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_each_kind_of_value),
        cmocka_unit_test(test_find_takes_the_outer_key),
        cmocka_unit_test(test_find_needs_the_whole_key),
        cmocka_unit_test(test_find_is_not_misled_by_strings),
        cmocka_unit_test(test_absent_key),
        cmocka_unit_test(test_malformed_objects),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_next_of_an_empty_array),
        cmocka_unit_test(test_malformed_arrays),
        cmocka_unit_test(test_replace_keeps_all_other_bytes),
        cmocka_unit_test(test_replace_takes_the_outer_key),
        cmocka_unit_test(test_replace_adds_an_absent_key),
        cmocka_unit_test(test_replace_adds_to_an_empty_object),
        cmocka_unit_test(test_replace_quotes_an_added_key),
        cmocka_unit_test(test_replace_in_malformed_text),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
