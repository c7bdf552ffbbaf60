#include "autotest/unit/json_testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "autotest/unit/golden_configs.h"
#include "store/icechunk/config.h"
#include "store/icechunk/flex_buffers.h"

#define NONE UINT32_MAX

static sgc_config *from_yaml(const char *text)
{
    sgc_config *config;
    assert_ok(sgc_config_parse_yaml(text, strlen(text), &config, &err));
    return config;
}

static sgc_config *from_flex(sgc_buffer bytes)
{
    sgc_config *config;
    assert_ok(sgc_config_parse_flex(bytes.data, bytes.size, &config, &err));
    sgc_buffer_free(&bytes);
    return config;
}

/* The configuration of spec 2 that says `json`. */
static sgc_config *from_json(const char *json)
{
    sgc_buffer bytes = {0};
    assert_ok(sgc_flex_buffers_encode(span_of(json), &bytes, &err));
    return from_flex(bytes);
}

/* The windows of an array with dimensions time, y, x and one without a name. */
static void check_split(const sgc_config *config, const char *path, uint32_t time, uint32_t y,
                        uint32_t x, uint32_t unnamed)
{
    static const char *const names[] = {"time", "y", "x", NULL};
    const uint32_t expected[] = {time, y, x, unnamed};
    uint32_t lengths[4] = {0};
    sgc_config_split(config, path, 4, names, lengths);
    for (size_t d = 0; d < 4; d++)
        assert_int_equal(lengths[d], expected[d]);
}

/* A configuration whose only rule has the array condition `condition`, in flow style. */
static sgc_config *with_condition(const char *condition)
{
    char text[1000];
    snprintf(text, sizeof text,
             "manifest: {splitting: {split_sizes: [[%s, [{condition: Any, num_chunks: 7}]]]}}",
             condition);
    return from_yaml(text);
}

static void check_condition(const char *condition, const char *path, bool matches)
{
    sgc_config *config = with_condition(condition);
    const uint32_t length = matches ? 7 : NONE;
    assert_null(sgc_config_warning(config));
    assert_true(sgc_config_has_split_rules(config));
    check_split(config, path, length, length, length, length);
    sgc_config_free(config);
}

static void test_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "null",
                                        "{}",
                                        "# nothing\n",
                                        "manifest:\n",
                                        "manifest: {splitting: {split_sizes: []}}\nother: [1]\n"};
    for (size_t i = 0; i <= sizeof texts / sizeof *texts; i++) {
        sgc_config *config = i > 0 ? from_yaml(texts[i - 1]) : NULL;
        assert_int_equal(sgc_config_inline_threshold(config), 512);
        assert_int_equal(sgc_config_updates_per_file(config), 1000);
        assert_false(sgc_config_has_split_rules(config));
        assert_null(sgc_config_warning(config));
        check_split(config, "/a", NONE, NONE, NONE, NONE);
        sgc_config_free(config);
    }
}

/* config.yaml of the golden repository split-repo-v1. */
static const char split_repo_v1[] = "inline_chunk_threshold_bytes: 12\n"
                                    "get_partial_values_concurrency: null\n"
                                    "compression: null\n"
                                    "caching: null\n"
                                    "storage: null\n"
                                    "virtual_chunk_containers: null\n"
                                    "manifest:\n"
                                    "  preload: null\n"
                                    "  splitting:\n"
                                    "    split_sizes:\n"
                                    "    - - !name_matches\n"
                                    "        regex: split_*\n"
                                    "      - - condition: !Axis 0\n"
                                    "          num_chunks: 1\n"
                                    "        - condition: !DimensionName longitude\n"
                                    "          num_chunks: 1\n"
                                    "        - condition: Any\n"
                                    "          num_chunks: 3\n";

static void check_golden_split(sgc_config *config)
{
    static const char *const names[] = {NULL, "latitude", "my longitude"};
    uint32_t lengths[3];
    assert_null(sgc_config_warning(config));
    assert_int_equal(sgc_config_inline_threshold(config), 12);
    assert_int_equal(sgc_config_updates_per_file(config), 1000);
    assert_true(sgc_config_has_split_rules(config));
    sgc_config_split(config, "/group1/split", 3, names, lengths);
    assert_int_equal(lengths[0], 1);
    assert_int_equal(lengths[1], 3);
    assert_int_equal(lengths[2], 1);
    sgc_config_split(config, "/group1/split", 3, NULL, lengths);
    assert_int_equal(lengths[0], 1);
    assert_int_equal(lengths[2], 3);
    sgc_config_split(config, "/split_/other", 3, names, lengths);
    assert_int_equal(lengths[0], NONE);
    sgc_config_free(config);
}

static void test_golden_configurations(void **state)
{
    (void)state;
    check_golden_split(from_yaml(split_repo_v1));
    check_golden_split(from_flex(from_hex(split_repo_v2_hex)));
    sgc_config *config = from_flex(from_hex(test_repo_v2_migrated_hex));
    assert_int_equal(sgc_config_inline_threshold(config), 12);
    assert_false(sgc_config_has_split_rules(config));
    assert_null(sgc_config_warning(config));
    sgc_config_free(config);
}

static void test_written_by_hand(void **state)
{
    (void)state;
    sgc_config *config = from_yaml("# our repository\n"
                                   "\"inline_chunk_threshold_bytes\": 0x400   # small\n"
                                   "num_updates_per_repo_info_file: 100\n"
                                   "manifest:\n"
                                   "    splitting:\n"
                                   "        split_sizes: [\n"
                                   "            [!path_matches {regex: '^/a/'}, &yx [\n"
                                   "                {condition: !DimensionName '^y$', "
                                   "num_chunks: 4},\n"
                                   "                {num_chunks: 8, condition: !DimensionName "
                                   "\"^x$\"}]],\n"
                                   "            [any_array, *yx],\n"
                                   "            [any_array, [{condition: Any, num_chunks: 9}]]]\n");
    assert_null(sgc_config_warning(config));
    assert_int_equal(sgc_config_inline_threshold(config), 1024);
    assert_int_equal(sgc_config_updates_per_file(config), 100);
    check_split(config, "/a/b", 9, 4, 8, 9);
    check_split(config, "/b", 9, 4, 8, 9);
    sgc_config_free(config);
}

/* The first rule that says something about a dimension has it; within a rule, the first condition.
 */
static void test_order_of_rules(void **state)
{
    (void)state;
    sgc_config *config = from_json(
        "{\"manifest\":{\"splitting\":{\"split_sizes\":["
        "[{\"name_matches\":{\"regex\":\"^b$\"}},[{\"condition\":{\"Axis\":1},\"num_chunks\":1}]],"
        "[\"any_array\",[{\"condition\":{\"DimensionName\":\"x\"},\"num_chunks\":2},"
        "{\"condition\":{\"Axis\":2},\"num_chunks\":3},"
        "{\"condition\":{\"DimensionName\":\"^(x|y)$\"},\"num_chunks\":4}]],"
        "[\"any_array\",[{\"condition\":\"Any\",\"num_chunks\":4294967295}]],"
        "[\"any_array\",[{\"condition\":\"Any\",\"num_chunks\":5}]]]}}}");
    check_split(config, "/a/b", NONE, 1, 2, NONE);
    check_split(config, "/b/a", NONE, 4, 2, NONE);
    sgc_config_free(config);
}

static void test_array_conditions(void **state)
{
    (void)state;
    check_condition("any_array", "/a", true);
    check_condition("!any_array", "/a", true);
    check_condition("!name_matches {regex: b}", "/a/abc", true);
    check_condition("!name_matches {regex: ^b}", "/a/abc", false);
    check_condition("!name_matches {regex: a}", "/a/b", false);
    check_condition("!name_matches {regex: ^$}", "/", true);
    check_condition("!path_matches {regex: a/b}", "/x/a/b/c", true);
    check_condition("!path_matches {regex: ^a}", "/a", false);
    check_condition("!path_matches {regex: ^/a$}", "/a", true);
    check_condition("!name_matches {regex: 2020}", "/t2020", true); /* a number in YAML */
    check_condition("!or [!name_matches {regex: a}, !name_matches {regex: b}]", "/b", true);
    check_condition("!or [!name_matches {regex: a}, !name_matches {regex: b}]", "/c", false);
    check_condition("!and [!name_matches {regex: a}, !name_matches {regex: b}]", "/ab", true);
    check_condition("!and [!name_matches {regex: a}, !name_matches {regex: b}]", "/b", false);
    check_condition("!or []", "/a", false);
    check_condition("!and []", "/a", true);
    check_condition("!or [!and [any_array, !name_matches {regex: x}], !path_matches {regex: y}]",
                    "/y/z", true);
}

/* As Rust's crate regex has them. */
static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"^(lat|lon)$", "lon", true},
        {"^(lat|lon)$", "lone", false},
        {"^band_\\d{2,3}$", "band_12", true},
        {"^band_\\d{2,3}$", "band_1", false},
        {"(?:ab)+?c", "xababc", true},
        {"(?i)TEMP", "temperature", true},
        {"[\\w.-]+$", "a.b-c", true},
        {"^[^\\d]$", "7", false},
        {"^.$", "\xc3\xa9", true},
        {"a$", "a\n", false},
        {"\\bt\\b", "at t", true},
        {"", "anything", true},
        {"\\Aa\\z", "a", true},
        {"^\\p{L}+$", "\xc3\xa9t\xc3\xa9", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char condition[100], path[100];
        snprintf(condition, sizeof condition, "!name_matches {regex: '%s'}", cases[i].pattern);
        snprintf(path, sizeof path, "/%s", cases[i].name);
        check_condition(condition, path, cases[i].matches);
    }
}

/* A rule with such a condition is left out, with a warning. */
static void check_unusable(const char *condition, const char *warning)
{
    sgc_config *config = with_condition(condition);
    assert_non_null(sgc_config_warning(config));
    if (strstr(sgc_config_warning(config), warning) == NULL)
        fail_msg("%s: %s", condition, sgc_config_warning(config));
    assert_false(sgc_config_has_split_rules(config));
    check_split(config, "/aaa", NONE, NONE, NONE, NONE);
    sgc_config_free(config);
}

static void test_unusable_conditions(void **state)
{
    (void)state;
    check_unusable("!name_matches {regex: '(a'}", "(a");
    check_unusable("!name_matches {regex: '*a'}", "*a");
    check_unusable("!name_matches {regex: '(((a{1000}){1000}){1000})'}", "too large");
    check_unusable("!name_matches {}", "pattern");
    check_unusable("!name_matches {regex: [a]}", "pattern");
    check_unusable("!name_matches a", "mapping");
    check_unusable("!younger_than 5", "younger_than");
    check_unusable("everything", "everything");
    check_unusable("3", "condition");
    check_unusable("{}", "condition");
}

/* Parts that cannot be used match nothing; the others still count. */
static void test_unusable_parts(void **state)
{
    (void)state;
    sgc_config *config = with_condition("!or [!new 1, !name_matches {regex: a}]");
    assert_non_null(sgc_config_warning(config));
    check_split(config, "/a", 7, 7, 7, 7);
    check_split(config, "/b", NONE, NONE, NONE, NONE);
    sgc_config_free(config);
    config = with_condition("!and [!new 1, any_array]");
    check_split(config, "/a", NONE, NONE, NONE, NONE);
    sgc_config_free(config);
}

static void test_conditions_nest_only_so_deep(void **state)
{
    (void)state;
    char condition[500] = "";
    for (int i = 0; i < 30; i++)
        strcat(condition, "!or [");
    strcat(condition, "any_array");
    for (int i = 0; i < 30; i++)
        strcat(condition, "]");
    sgc_config *config = with_condition(condition);
    assert_non_null(sgc_config_warning(config));
    check_split(config, "/a", NONE, NONE, NONE, NONE);
    sgc_config_free(config);
}

/* A search that would not end is none. */
static void test_costly_patterns(void **state)
{
    (void)state;
    sgc_config *config = with_condition("!name_matches {regex: '^(([a-z])+.)+[A-Z]([a-z])+$'}");
    check_split(config, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                NONE, NONE, NONE, NONE);
    sgc_config_free(config);
}

/* A configuration with one rule for dimensions and, behind it, another. */
static sgc_config *with_dimension_rule(const char *rule)
{
    char text[1000];
    snprintf(text, sizeof text,
             "manifest: {splitting: {split_sizes: [[any_array, [%s, {condition: !Axis 0, "
             "num_chunks: 7}]]]}}",
             rule);
    return from_yaml(text);
}

static void test_unusable_dimension_rules(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "{condition: Any, num_chunks: 0}",
        "{condition: Any, num_chunks: -3}",
        "{condition: Any, num_chunks: 1.5}",
        "{condition: Any, num_chunks: '3'}",
        "{condition: Any, num_chunks: }",
        "{condition: Any}",
        "{num_chunks: 3}",
        "{condition: !Axis -1, num_chunks: 3}",
        "{condition: !Axis zero, num_chunks: 3}",
        "{condition: !DimensionName '(', num_chunks: 3}",
        "{condition: !DimensionName {}, num_chunks: 3}",
        "{condition: !Age 3, num_chunks: 3}",
        "Any",
        "[]",
        "null",
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        sgc_config *config = with_dimension_rule(rules[i]);
        if (sgc_config_warning(config) == NULL)
            fail_msg("%s", rules[i]);
        check_split(config, "/a", 7, NONE, NONE, NONE);
        sgc_config_free(config);
    }
}

static void test_large_windows_are_cut(void **state)
{
    (void)state;
    sgc_config *config = with_dimension_rule("{condition: Any, num_chunks: 18446744073709551615}");
    check_split(config, "/a", NONE, NONE, NONE, NONE);
    assert_null(sgc_config_warning(config));
    sgc_config_free(config);
}

static void test_axes_beyond_the_array(void **state)
{
    (void)state;
    sgc_config *config =
        with_dimension_rule("{condition: !Axis 18446744073709551615, num_chunks: 3}");
    check_split(config, "/a", 7, NONE, NONE, NONE);
    sgc_config_split(config, "/scalar", 0, NULL, NULL);
    sgc_config_free(config);
}

static void test_numbers_out_of_range(void **state)
{
    (void)state;
    sgc_config *config = from_yaml("inline_chunk_threshold_bytes: 100000\n"
                                   "num_updates_per_repo_info_file: 0\n");
    assert_int_equal(sgc_config_inline_threshold(config), 65535);
    assert_int_equal(sgc_config_updates_per_file(config), 1);
    sgc_config_free(config);
    config = from_yaml("inline_chunk_threshold_bytes: 0\n");
    assert_int_equal(sgc_config_inline_threshold(config), 0);
    sgc_config_free(config);
}

static void test_values_of_a_wrong_type_are_ignored(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "inline_chunk_threshold_bytes: many",
        "num_updates_per_repo_info_file: [1]",
        "inline_chunk_threshold_bytes: -1",
        "manifest: 3",
        "manifest: {splitting: [3]}",
        "manifest: {splitting: {split_sizes: {a: b}}}",
        "manifest: {splitting: {split_sizes: [any_array]}}",
        "manifest: {splitting: {split_sizes: [[any_array]]}}",
        "manifest: {splitting: {split_sizes: [[any_array, {}]]}}",
        "manifest: {splitting: {split_sizes: [[any_array, [], []]]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sgc_config *config = from_yaml(texts[i]);
        if (sgc_config_warning(config) == NULL)
            fail_msg("%s", texts[i]);
        assert_int_equal(sgc_config_inline_threshold(config), 512);
        assert_int_equal(sgc_config_updates_per_file(config), 1000);
        assert_false(sgc_config_has_split_rules(config));
        sgc_config_free(config);
    }
}

static void test_unreadable_configurations(void **state)
{
    (void)state;
    sgc_config *config = NULL;
    static const char broken[] = "a: 1\nmanifest: [\n";
    assert_status(SGC_CORRUPT, sgc_config_parse_yaml(broken, strlen(broken), &config, &err));
    assert_message("config.yaml: line 3");
    assert_status(SGC_CORRUPT, sgc_config_parse_yaml("[1]", 3, &config, &err));
    assert_message("config.yaml: not a mapping");
    assert_status(SGC_CORRUPT, sgc_config_parse_yaml("text", 4, &config, &err));
    assert_status(SGC_CORRUPT, sgc_config_parse_flex("", 0, &config, &err));
    assert_message("configuration");
    assert_status(SGC_CORRUPT, sgc_config_parse_flex("\x05\x08\x01", 3, &config, &err));
    assert_message("not a mapping");
    assert_null(config);
}

static void test_too_many_patterns(void **state)
{
    (void)state;
    sgc_buffer yaml = {0};
    assert_ok(sgc_buffer_print(&yaml, &err, "manifest: {splitting: {split_sizes: ["));
    for (int i = 0; i < 300; i++)
        assert_ok(sgc_buffer_print(&yaml, &err,
                                   "[!name_matches {regex: ^a%d$}, [{condition: Any, num_chunks: "
                                   "2}]], ",
                                   i));
    assert_ok(sgc_buffer_print(&yaml, &err, "]}}"));
    sgc_config *config = from_yaml((char *)yaml.data);
    assert_non_null(sgc_config_warning(config));
    check_split(config, "/a0", 2, 2, 2, 2);
    check_split(config, "/a299", NONE, NONE, NONE, NONE);
    sgc_config_free(config);
    sgc_buffer_free(&yaml);
}

/* ---- our rules ---- */

static const sgc_split_rule our_rules[] = {{"time", 1}, {"y", 16}, {"x", 4294967295}};

static void check_our_rules(sgc_config *config)
{
    assert_null(sgc_config_warning(config));
    assert_true(sgc_config_has_split_rules(config));
    assert_int_equal(sgc_config_inline_threshold(config), 512);
    check_split(config, "/a", 1, 16, NONE, NONE);
    sgc_config_free(config);
}

static void test_our_rules(void **state)
{
    (void)state;
    sgc_config *config;
    assert_ok(sgc_config_new(our_rules, 3, &config, &err));
    check_our_rules(config);
}

static void test_our_rules_as_yaml(void **state)
{
    (void)state;
    sgc_buffer text = {0};
    assert_ok(sgc_config_print_yaml(our_rules, 3, &text, &err));
    assert_string_equal((char *)text.data, "manifest:\n"
                                           "  preload: null\n"
                                           "  splitting:\n"
                                           "    split_sizes:\n"
                                           "    - - any_array\n"
                                           "      - - condition: !DimensionName ^time$\n"
                                           "          num_chunks: 1\n"
                                           "        - condition: !DimensionName ^y$\n"
                                           "          num_chunks: 16\n"
                                           "        - condition: !DimensionName ^x$\n"
                                           "          num_chunks: 4294967295\n");
    check_our_rules(from_yaml((char *)text.data));
    sgc_buffer_free(&text);
}

static void test_our_rules_as_flex_buffers(void **state)
{
    (void)state;
    sgc_buffer bytes = {0}, json = {0};
    assert_ok(sgc_config_print_flex(our_rules, 2, &bytes, &err));
    assert_ok(sgc_flex_buffers_print(bytes.data, bytes.size, &json, &err));
    assert_ok(sgc_buffer_append(&json, "", 1, &err));
    assert_string_equal(
        (char *)json.data,
        "{\"manifest\":{\"preload\":null,\"splitting\":{\"split_sizes\":[[\"any_array\","
        "[{\"condition\":{\"DimensionName\":\"^time$\"},\"num_chunks\":1},"
        "{\"condition\":{\"DimensionName\":\"^y$\"},\"num_chunks\":16}]]]}}}");
    sgc_buffer_free(&json);
    check_our_rules(from_flex(bytes));
}

static void test_no_rules(void **state)
{
    (void)state;
    sgc_buffer yaml = {0}, flex = {0};
    sgc_config *config;
    assert_ok(sgc_config_print_yaml(NULL, 0, &yaml, &err));
    assert_ok(sgc_config_print_flex(NULL, 0, &flex, &err));
    assert_ok(sgc_config_new(NULL, 0, &config, &err));
    sgc_config *const configs[] = {config, from_yaml((char *)yaml.data), from_flex(flex)};
    for (size_t i = 0; i < 3; i++) {
        assert_false(sgc_config_has_split_rules(configs[i]));
        assert_null(sgc_config_warning(configs[i]));
        sgc_config_free(configs[i]);
    }
    sgc_buffer_free(&yaml);
}

/* ---- bad bytes, threads ---- */

/* As a printer, for check_garbled(): prints nothing but null. */
static sgc_status parse_and_ask(sgc_status (*parse)(const void *, size_t, sgc_config **,
                                                    sgc_error *),
                                const void *bytes, size_t size, sgc_buffer *out, sgc_error *error)
{
    static const char *const names[] = {"latitude", NULL};
    sgc_config *config;
    uint32_t lengths[2];
    SGC_TRY(parse(bytes, size, &config, error));
    sgc_config_split(config, "/group1/split", 2, names, lengths);
    sgc_config_free(config);
    return lengths[0] > 0 && lengths[1] > 0 ? sgc_buffer_print(out, error, "null")
                                            : sgc_buffer_print(out, error, "a window of 0 chunks");
}

static sgc_status ask_yaml(const void *bytes, size_t size, sgc_buffer *out, sgc_error *error)
{
    return parse_and_ask(sgc_config_parse_yaml, bytes, size, out, error);
}

static sgc_status ask_flex(const void *bytes, size_t size, sgc_buffer *out, sgc_error *error)
{
    return parse_and_ask(sgc_config_parse_flex, bytes, size, out, error);
}

static void test_garbled_bytes(void **state)
{
    (void)state;
    check_garbled(ask_yaml, span_of(split_repo_v1), false);
    sgc_buffer bytes = from_hex(split_repo_v2_hex);
    check_garbled(ask_flex, (sgc_span){(char *)bytes.data, bytes.size}, false);
    sgc_buffer_free(&bytes);
}

static void *ask_often(void *config)
{
    static const char *const names[] = {"latitude", "my longitude"};
    uint32_t lengths[2];
    uintptr_t wrong = 0;
    for (int i = 0; i < 1000; i++) {
        sgc_config_split(config, "/group1/split", 2, names, lengths);
        wrong += lengths[0] != 1 || lengths[1] != 1;
    }
    return (void *)wrong;
}

static void test_threads(void **state)
{
    (void)state;
    sgc_config *config = from_yaml(split_repo_v1);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, config), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    sgc_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_golden_configurations),
        cmocka_unit_test(test_written_by_hand),
        cmocka_unit_test(test_order_of_rules),
        cmocka_unit_test(test_array_conditions),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_unusable_conditions),
        cmocka_unit_test(test_unusable_parts),
        cmocka_unit_test(test_conditions_nest_only_so_deep),
        cmocka_unit_test(test_costly_patterns),
        cmocka_unit_test(test_unusable_dimension_rules),
        cmocka_unit_test(test_large_windows_are_cut),
        cmocka_unit_test(test_axes_beyond_the_array),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_values_of_a_wrong_type_are_ignored),
        cmocka_unit_test(test_unreadable_configurations),
        cmocka_unit_test(test_too_many_patterns),
        cmocka_unit_test(test_our_rules),
        cmocka_unit_test(test_our_rules_as_yaml),
        cmocka_unit_test(test_our_rules_as_flex_buffers),
        cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_garbled_bytes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
