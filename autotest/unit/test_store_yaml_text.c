#include "autotest/unit/json_testing.h"

#include <string.h>

#include "store/icechunk/yaml_text.h"

static void check(const char *yaml, const char *json)
{
    sgc_buffer text = {0};
    assert_ok(sgc_yaml_print_json(span_of(yaml), &text, &err));
    assert_ok(sgc_buffer_append(&text, "", 1, &err));
    assert_string_equal((char *)text.data, json);
    sgc_buffer_free(&text);
}

static sgc_status print_yaml(const void *bytes, size_t size, sgc_buffer *out, sgc_error *error)
{
    return sgc_yaml_print_json((sgc_span){bytes, size}, out, error);
}

static void check_bad(const char *yaml, const char *message)
{
    sgc_buffer text = {0};
    assert_status(SGC_CORRUPT, sgc_yaml_print_json(span_of(yaml), &text, &err));
    assert_message(message);
    assert_int_equal(text.size, 0);
    sgc_buffer_free(&text);
}

static void test_scalars(void **state)
{
    (void)state;
    static const char *const scalars[][2] = {
        {"", "null"},
        {"~", "null"},
        {"null", "null"},
        {"Null", "null"},
        {"true", "true"},
        {"True", "true"},
        {"FALSE", "false"},
        {"yes", "\"yes\""},
        {"on", "\"on\""},
        {"0", "0"},
        {"-1", "-1"},
        {"+1", "1"},
        {"18446744073709551615", "18446744073709551615"},
        {"0x1f", "31"},
        {"-0x10", "-16"},
        {"0o17", "15"},
        {"0b101", "5"},
        {"0x", "\"0x\""},
        {"0xg", "\"0xg\""},
        {"0x11111111111111111", "\"0x11111111111111111\""},
        {"007", "\"007\""},
        {"1_000", "\"1_000\""},
        {"1.5", "1.5"},
        {"1e3", "1e3"},
        {".5", "0.5"},
        {"+1.", "1.0"},
        {"01.5", "1.5"},
        {".inf", "null"},
        {"-.INF", "null"},
        {".NaN", "null"},
        {"1.2.3", "\"1.2.3\""},
        {"1-2", "\"1-2\""},
        {"+-1", "\"+-1\""},
        {"-", "[null]"},
        {".", "\".\""},
        {"e5", "\"e5\""},
        {"nan", "\"nan\""},
        {"inf", "\"inf\""},
        {"s3://a-b/c", "\"s3://a-b/c\""},
        {"a b # comment", "\"a b\""},
        {"'1'", "\"1\""},
        {"\"true\"", "\"true\""},
        {"''", "\"\""},
        {"'it''s'", "\"it's\""},
        {"\"\\x41\\u20AC\\0\\n\"", "\"A\xe2\x82\xac\\u0000\\u000a\""},
        {"|\n  1\n  2\n", "\"1\\u000a2\\u000a\""},
        {">-\n  1\n  2\n", "\"1 2\""},
        {"!!str 1", "\"1\""},
        {"! 1", "\"1\""},
        {"!!int 1", "1"},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        check(scalars[i][0], scalars[i][1]);
}

static void test_collections(void **state)
{
    (void)state;
    check("a: 1\nb:\n- x\n- y: [1, {z: }]\n  w: {}\nc:\n",
          "{\"a\":1,\"b\":[\"x\",{\"y\":[1,{\"z\":null}],\"w\":{}}],\"c\":null}");
    check("{a: [], 'b c': {d: e}, 1: 2, ~: 3}", "{\"a\":[],\"b c\":{\"d\":\"e\"},\"1\":2,\"~\":3}");
    check("- - 1\n  - 2\n- []\n", "[[1,2],[]]");
    check("--- # a document\na: 1\n...\n", "{\"a\":1}");
    check("\xef\xbb\xbf"
          "a: 1",
          "{\"a\":1}");
}

static void test_an_empty_stream_is_null(void **state)
{
    (void)state;
    check("", "null");
    check("# nothing\n\n", "null");
    check("---\n", "null");
}

static void test_tags_of_its_own(void **state)
{
    (void)state;
    check("!Axis 0", "{\"Axis\":0}");
    check("!DimensionName ^y$", "{\"DimensionName\":\"^y$\"}");
    check("!name_matches\n  regex: a.*\n", "{\"name_matches\":{\"regex\":\"a.*\"}}");
    check("!or [any_array, !path_matches {regex: '/a'}]",
          "{\"or\":[\"any_array\",{\"path_matches\":{\"regex\":\"/a\"}}]}");
    check("a: !gcs\nb: !azure {}\nc: !local ''\nd: !!map {}\n",
          "{\"a\":{\"gcs\":null},\"b\":{\"azure\":{}},\"c\":{\"local\":\"\"},\"d\":{}}");
}

static void test_anchors(void **state)
{
    (void)state;
    check("a: &x [1, &y {b: 2}]\nc: *x\nd: *y\n",
          "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"d\":{\"b\":2}}");
    check("- &x 1\n- *x\n- &x 2\n- *x\n", "[1,1,2,2]");
    check("- &x !Axis 1\n- *x\n", "[{\"Axis\":1},{\"Axis\":1}]");
    check_bad("- *x\n", "line 1: an alias without an anchor");
    check_bad("a: 1\nb: &x [*x]\n", "line 2: an alias inside its own anchor");
    check_bad("- &x a\n- {*x : 1}\n", "key");
}

static void test_anchors_do_not_explode(void **state)
{
    (void)state;
    sgc_buffer yaml = {0};
    assert_ok(sgc_buffer_print(&yaml, &err, "- &a0 lol\n"));
    for (int i = 0; i < 30; i++) {
        assert_ok(sgc_buffer_print(&yaml, &err, "- &a%d [", i + 1));
        for (int k = 0; k < 9; k++)
            assert_ok(sgc_buffer_print(&yaml, &err, "*a%d, ", i));
        assert_ok(sgc_buffer_print(&yaml, &err, "]\n"));
    }
    check_bad((char *)yaml.data, "bytes");
    sgc_buffer_free(&yaml);
    for (int i = 0; i < 2000; i++)
        assert_ok(sgc_buffer_print(&yaml, &err, "- &a%d 1\n", i));
    check_bad((char *)yaml.data, "line 1001: too many anchors");
    sgc_buffer_free(&yaml);
}

static void test_what_is_no_yaml(void **state)
{
    (void)state;
    check_bad("a: 1\nb: c: d\n", "line 2");
    check_bad("a: [1,\n\n", "line 3");
    check_bad("a: 1\n b: 2\n", "line 2");
    check_bad("\"a\n", "line");
    check_bad("a: \xff\n", "line 1");
    check_bad("a: \x01\n", "line 1");
    check_bad("a: @b\n", "line 1");
    check_bad("[1]: 2\n", "line 1: a key");
    check_bad("a: 1\n---\nb: 2\n", "line 2: a second document");
    check_bad("!x!y 1", "line 1");
}

static void test_depth(void **state)
{
    (void)state;
    char yaml[2000];
    memset(yaml, '[', 100);
    strcpy(yaml + 100, "1");
    memset(yaml + 101, ']', 100);
    yaml[201] = '\0';
    check(yaml, yaml);
    memset(yaml, '[', sizeof yaml - 1);
    yaml[sizeof yaml - 1] = '\0';
    check_bad(yaml, "deep");
}

static void test_size(void **state)
{
    (void)state;
    static char yaml[1024 * 1024 + 2];
    memset(yaml, ' ', sizeof yaml - 1);
    check_bad(yaml, "bytes");
}

static void test_garbled_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "manifest:\n  splitting:\n    split_sizes:\n    - - !name_matches\n        regex: a\n"
        "      - - condition: !Axis 0\n          num_chunks: 1\n",
        "{a: &x [1, 'b', \"\\x41\"], c: *x, d: !e {f: |\n   g\n}}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_garbled(print_yaml, span_of(texts[i]), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_collections),
        cmocka_unit_test(test_an_empty_stream_is_null),
        cmocka_unit_test(test_tags_of_its_own),
        cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_anchors_do_not_explode),
        cmocka_unit_test(test_what_is_no_yaml),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_garbled_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
