/* zarr.json of arrays. */
#include "autotest/unit/store_testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char example[] =
    "{\"shape\": [12, 4], \"data_type\": \"float32\", \"chunk_grid\": {\"name\": \"regular\", "
    "\"configuration\": {\"chunk_shape\": [5, 4]}}, \"chunk_key_encoding\": {\"name\": "
    "\"default\", \"configuration\": {\"separator\": \"/\"}}, \"fill_value\": \"NaN\", "
    "\"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}, {\"name\": "
    "\"blosc\", \"configuration\": {\"typesize\": 4, \"cname\": \"zstd\", \"clevel\": 5, "
    "\"shuffle\": \"bitshuffle\", \"blocksize\": 0}}], \"attributes\": {}, \"dimension_names\": "
    "[\"y\", null], \"zarr_format\": 3, \"node_type\": \"array\", \"storage_transformers\": []}";

/* Gives the example with `from` replaced; without `from`, unchanged. */
static char *edit(const char *from, const char *to)
{
    char *text;
    const char *at = from != NULL ? strstr(example, from) : example;
    assert_non_null(at);
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - example), example, to,
                         at + (from != NULL ? strlen(from) : 0)) > 0);
    return text;
}

static sgc_array_metadata parse(const char *from, const char *to)
{
    sgc_array_metadata metadata;
    char *text = edit(from, to);
    assert_ok(sgc_array_metadata_parse(text, strlen(text), &metadata, &err));
    free(text);
    return metadata;
}

static void check_refused(sgc_status expected, const char *from, const char *to, const char *part)
{
    sgc_array_metadata metadata;
    char *text = edit(from, to);
    assert_status(expected, sgc_array_metadata_parse(text, strlen(text), &metadata, &err));
    assert_message(part);
    free(text);
}

static void test_parse(void **state)
{
    (void)state;
    sgc_array_metadata m = parse(NULL, "");
    float fill;
    memcpy(&fill, m.fill_value, sizeof fill);
    assert_int_equal(m.type, SGC_FLOAT32);
    assert_int_equal(m.dimension_count, 2);
    assert_int_equal(m.shape[0], 12);
    assert_int_equal(m.chunk_shape[0], 5);
    assert_int_equal(m.chunk_bytes, 80);
    assert_int_equal(sgc_array_chunk_count(&m, 0), 3);
    assert_int_equal(sgc_array_chunk_count(&m, 1), 1);
    assert_true(isnan(fill));
    assert_true(m.has_dimension_names);
    assert_string_equal(m.dimension_names[0], "y");
    assert_null(m.dimension_names[1]);
    assert_int_equal(m.codecs.compression, SGC_BLOSC);
    assert_string_equal(m.codecs.compressor, "zstd");
    assert_int_equal(m.codecs.level, 5);
    assert_int_equal(m.codecs.shuffle, 2);
    assert_int_equal(m.codecs.type_size, 4);
    sgc_array_metadata_clear(&m);
}

static void test_print_is_what_was_parsed(void **state)
{
    (void)state;
    sgc_array_metadata m = parse(NULL, "");
    sgc_buffer out = {0};
    assert_ok(sgc_array_metadata_print(&m, "\"NaN\"", "{}", &out, &err));
    assert_int_equal(out.size, strlen(example));
    assert_memory_equal(out.data, example, out.size);
    sgc_buffer_free(&out);
    sgc_array_metadata_clear(&m);
}

static void test_types(void **state)
{
    (void)state;
    for (int i = SGC_BOOL; i <= SGC_FLOAT64; i++) {
        sgc_data_type type;
        assert_ok(sgc_data_type_parse(sgc_data_type_name((sgc_data_type)i), &type, &err));
        assert_int_equal(type, i);
    }
}

static void test_what_is_unsupported(void **state)
{
    (void)state;
    static const char *const edits[][3] = {
        {"\"float32\"", "\"complex64\"", "complex64"},
        {"\"float32\"", "\"float16\"", "float16"},
        {"\"regular\"", "\"rectilinear\"", "rectilinear"},
        {"\"separator\": \"/\"", "\"separator\": \".\"", "chunk_key_encoding"},
        {"\"default\"", "\"v2\"", "chunk_key_encoding"},
        {"\"zarr_format\": 3", "\"zarr_format\": 2", "zarr_format"},
        {"\"blosc\"", "\"gzip\"", "gzip"},
        {"\"little\"", "\"big\"", "big-endian"},
        {"[5, 4]", "[50000, 50000]", "2 GiB"},
        {"{\"name\": \"bytes\"", "{\"name\": \"transpose\"}, {\"name\": \"bytes\"", "transpose"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        check_refused(SGC_UNSUPPORTED, edits[i][0], edits[i][1], edits[i][2]);
}

static void test_what_is_corrupt(void **state)
{
    (void)state;
    static const char *const edits[][3] = {
        {"{\"shape\"", "\"shape\"", "malformed"},
        {"\"node_type\": \"array\"", "\"node_type\": \"group\"", "node_type"},
        {"[12, 4]", "[12]", "differ in length"},
        {"[12, 4]", "[12, -4]", "shape"},
        {"[12, 4]", "[12, 4.5]", "shape"},
        {"[12, 4]", "[12, \"4\"]", "shape"},
        {"[12, 4]", "12", "shape"},
        {"[5, 4]", "[5, 0]", "chunk_shape"},
        {"\"fill_value\"", "\"fillvalue\"", "fill_value"},
        {"\"NaN\"", "\"nan\"", "fill_value"},
        {"\"NaN\"", "null", "fill_value"},
        {"\"NaN\"", "\"0x100000000\"", "fill_value"},
        {"[\"y\", null]", "[\"y\"]", "dimension_names"},
        {"\"bitshuffle\"", "\"byteshuffle\"", "shuffle"},
        {"\"clevel\": 5", "\"clevel\": 10", "clevel"},
        {"\"cname\": \"zstd\"", "\"cname\": \"\"", "cname"},
        {"\"codecs\"", "\"coders\"", "bytes"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        check_refused(SGC_CORRUPT, edits[i][0], edits[i][1], edits[i][2]);
}

static void check_fill_refused(const char *type, const char *fill)
{
    char *text;
    sgc_array_metadata metadata;
    assert_true(asprintf(&text,
                         "{\"shape\":[],\"data_type\":\"%s\",\"chunk_grid\":{\"name\":"
                         "\"regular\",\"configuration\":{\"chunk_shape\":[]}},"
                         "\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":%s,"
                         "\"codecs\":[{\"name\":\"bytes\"}],\"zarr_format\":3,"
                         "\"node_type\":\"array\"}",
                         type, fill) > 0);
    if (sgc_array_metadata_parse(text, strlen(text), &metadata, &err) != SGC_CORRUPT)
        fail_msg("%s takes %s", type, fill);
    assert_message("fill_value");
    free(text);
}

static void test_fill_values_that_do_not_fit(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"int8", "128"},
        {"int8", "-129"},
        {"uint8", "256"},
        {"uint8", "-1"},
        {"int16", "32768"},
        {"uint16", "65536"},
        {"int32", "2147483648"},
        {"uint32", "4294967296"},
        {"int64", "9223372036854775808"},
        {"int64", "-9223372036854775809"},
        {"uint64", "18446744073709551616"},
        {"uint64", "-1"},
        {"int32", "1.5"},
        {"int32", "\"1\""},
        {"int32", "true"},
        {"bool", "1"},
        {"float64", "\"0x10000000000000000\""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        check_fill_refused(pairs[i][0], pairs[i][1]);
}

static void test_every_truncation_is_corrupt(void **state)
{
    (void)state;
    for (size_t size = 0; size < strlen(example); size++) {
        sgc_array_metadata metadata;
        char *text = malloc(size > 0 ? size : 1); /* so that sanitizers see a read too far */
        memcpy(text, example, size);
        assert_status(SGC_CORRUPT, sgc_array_metadata_parse(text, size, &metadata, &err));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_print_is_what_was_parsed),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_what_is_unsupported),
        cmocka_unit_test(test_what_is_corrupt),
        cmocka_unit_test(test_fill_values_that_do_not_fit),
        cmocka_unit_test(test_every_truncation_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
