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
        "{\"a\":y{}",
        "{\"a\":1[2]}",
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

static void check_span(sgc_span actual, const char *expected)
{
    assert_int_equal(actual.size, strlen(expected));
    assert_memory_equal(actual.text, expected, actual.size);
}

static void test_next_pair(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"\"a\"", "1"}, {"\"b,}\\\"\"", "[2,{}]"}, {"\"\"", "{\"c\":3}"}};
    const sgc_span object = span(" { \"a\":1 , \"b,}\\\"\" : [2,{}],\"\":{\"c\":3} } ");
    size_t position = 0;
    sgc_span key, value;
    for (size_t i = 0; i < 3; i++) {
        assert_ok(sgc_json_next_pair(object, &position, &key, &value, &err));
        check_span(key, expected[i][0]);
        check_span(value, expected[i][1]);
    }
    assert_status(SGC_NOT_FOUND, sgc_json_next_pair(object, &position, &key, &value, &err));
}

static void test_count(void **state)
{
    (void)state;
    size_t count;
    assert_ok(sgc_json_count(span("[]"), &count, &err));
    assert_int_equal(count, 0);
    assert_ok(sgc_json_count(span("[1,[2,3]]"), &count, &err));
    assert_int_equal(count, 2);
    assert_ok(sgc_json_count(span("{\"a\":1,\"b\":[2,3],\"c\":{}}"), &count, &err));
    assert_int_equal(count, 3);
    assert_status(SGC_CORRUPT, sgc_json_count(span("[1,"), &count, &err));
    assert_status(SGC_CORRUPT, sgc_json_count(span("{\"a\":1,}"), &count, &err));
}

static void test_whole(void **state)
{
    (void)state;
    sgc_span value;
    assert_ok(sgc_json_whole(span(" \n{\"a\":[1]}\t"), &value, &err));
    check_span(value, "{\"a\":[1]}");
    static const char *const texts[] = {"", " ", "1 2", "{}}", "[1", "\"a"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (sgc_json_whole(span(texts[i]), &value, &err) != SGC_CORRUPT)
            fail_msg("%s", texts[i]);
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        sgc_json_kind kind;
    } values[] = {{"null", SGC_JSON_NULL},    {"true", SGC_JSON_TRUE}, {"false", SGC_JSON_FALSE},
                  {"\"a\"", SGC_JSON_STRING}, {"[]", SGC_JSON_ARRAY},  {"{}", SGC_JSON_OBJECT},
                  {"-1", SGC_JSON_NUMBER},    {"nul", SGC_JSON_NUMBER}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(sgc_json_kind_of(span(values[i].text)), values[i].kind);
}

static void check_unquote(const char *string, const char *expected, size_t size)
{
    sgc_buffer out = {0};
    assert_ok(sgc_json_unquote(span(string), &out, &err));
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, expected, size + 1);
    sgc_buffer_free(&out);
}

static void test_unquote(void **state)
{
    (void)state;
    check_unquote("\"\"", "", 0);
    check_unquote("\"a\xc3\xa9\"", "a\xc3\xa9", 3);
    check_unquote("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    check_unquote("\"\\u0041\\u00e9\\u20AC\\uffff\"", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf", 9);
    check_unquote("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    check_unquote("\"a\\u0000b\"", "a\0b", 3);
}

static void test_unquote_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\"",
        "a",
        "\"a\"b",
        "\"a\nb\"",
        "\"\\a\"",
        "\"\\u123\"",
        "\"\\u123g\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\xff\"",
    };
    sgc_buffer out = {0};
    assert_ok(sgc_buffer_append(&out, "before", 6, &err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (sgc_json_unquote(span(texts[i]), &out, &err) != SGC_CORRUPT)
            fail_msg("%s", texts[i]);
    assert_int_equal(out.size, 6);
    sgc_buffer_free(&out);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a\x7f", "\xc2\x80\xdf\xbf",
                                       "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xc2\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe1\x80",
                                      "\xe1\x80\x41",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf1\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(sgc_is_utf8(span(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sgc_is_utf8(span(bad[i])));
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

static void test_quote_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    sgc_buffer out = {0};
    assert_ok(sgc_json_quote(&out, "a\xe9z\xe2\x82", &err));
    assert_ok(sgc_buffer_append(&out, "", 1, &err));
    assert_string_equal((char *)out.data, "\"a\\ufffdz\\ufffd\\ufffd\"");
    sgc_buffer_free(&out);
}

static void test_quote_a_nul(void **state)
{
    (void)state;
    sgc_buffer out = {0};
    assert_ok(sgc_json_quote_span(&out, (sgc_span){"a\0b", 3}, &err));
    assert_int_equal(out.size, 10);
    assert_memory_equal(out.data, "\"a\\u0000b\"", 10);
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
        cmocka_unit_test(test_next_pair),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_unquote),
        cmocka_unit_test(test_unquote_refuses),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_replace_keeps_all_other_bytes),
        cmocka_unit_test(test_replace_takes_the_outer_key),
        cmocka_unit_test(test_replace_adds_an_absent_key),
        cmocka_unit_test(test_replace_adds_to_an_empty_object),
        cmocka_unit_test(test_replace_quotes_an_added_key),
        cmocka_unit_test(test_replace_in_malformed_text),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_quote_replaces_what_is_not_utf8),
        cmocka_unit_test(test_quote_a_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
