/* zarr.json of arrays. */
#include "autotest/unit/store_testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/zarr/fill_value.h"

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
    assert_false(m.codecs.transposed);
    assert_int_equal(m.codecs.count, 1);
    assert_int_equal(m.codecs.list[0].kind, SGC_BLOSC);
    assert_string_equal(m.codecs.list[0].compressor, "zstd");
    assert_int_equal(m.codecs.list[0].level, 5);
    assert_int_equal(m.codecs.list[0].shuffle, 2);
    assert_int_equal(m.codecs.list[0].type_size, 4);
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
        {"\"float32\"", "\"string\"", "string"},
        {"\"float32\"", "{\"name\": \"numpy.datetime64\", \"configuration\": {}}",
         "numpy.datetime64"},
        {"\"regular\"", "\"rectilinear\"", "rectilinear"},
        {"\"separator\": \"/\"", "\"separator\": \".\"", "chunk_key_encoding"},
        {"\"default\"", "\"v2\"", "chunk_key_encoding"},
        {"\"zarr_format\": 3", "\"zarr_format\": 2", "zarr_format"},
        {"[5, 4]", "[50000, 50000]", "2 GiB"},
        {"\"cname\": \"zstd\"", "\"cname\": \"lzma\"", "lzma"},
        {"\"cname\": \"zstd\"", "\"cname\": \"\"", "no compressor \"\""},
        {"\"storage_transformers\": []", "\"storage_transformers\": [{\"name\": \"cipher\"}]",
         "cipher"},
        {"\"attributes\"", "\"consolidated\": 1, \"attributes\"", "consolidated"},
        {"\"attributes\"", "\"extra\": {\"must_understand\": true}, \"attributes\"", "extra"},
        {"\"attributes\"", "\"extra\": {\"name\": \"x\"}, \"attributes\"", "extra"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        check_refused(SGC_UNSUPPORTED, edits[i][0], edits[i][1], edits[i][2]);
}

static void test_what_need_not_be_understood(void **state)
{
    (void)state;
    sgc_array_metadata m = parse(
        "\"attributes\"", "\"extra\": {\"must_understand\": false, \"a\": 1}, \"attributes\"");
    sgc_array_metadata_clear(&m);
}

static void test_extensions_may_be_bare_names(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"{\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}}", "\"default\""},
        {"\"float32\"", "{\"name\": \"float32\"}"},
        {"{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}", "\"bytes\""},
        {", \"storage_transformers\": []", ""},
        {"\"dimension_names\": [\"y\", null], ", ""},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        sgc_array_metadata m = parse(edits[i][0], edits[i][1]);
        assert_int_equal(m.type, SGC_FLOAT32);
        assert_false(m.codecs.big_endian);
        sgc_array_metadata_clear(&m);
    }
}

static void test_what_is_corrupt(void **state)
{
    (void)state;
    static const char *const edits[][3] = {
        {"{\"shape\"", "\"shape\"", "malformed"},
        {"\"y\"", "\"\xe9\"", "malformed"},
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
        {"\"clevel\": 5", "\"clevel\": 4.5", "clevel"},
        {"\"clevel\": 5", "\"clevel\": \"5\"", "clevel"},
        {"\"cname\": \"zstd\"", "\"cname\": 1", "cname"},
        {"\"typesize\": 4", "\"typesize\": -4", "typesize"},
        {"\"blocksize\": 0", "\"blocksize\": null", "blocksize"},
        {"\"little\"", "\"middle\"", "endian"},
        {"\"codecs\"", "\"coders\"", "codecs"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        check_refused(SGC_CORRUPT, edits[i][0], edits[i][1], edits[i][2]);
}

/* ---- codecs ---- */

/* Gives what comes of the array of 2 x 3 x 4 items of `type` with these codecs. */
static sgc_status parse_codecs(const char *type, const char *codecs, sgc_array_metadata *metadata)
{
    char *text;
    assert_true(asprintf(&text,
                         "{\"shape\":[2,3,4],\"data_type\":\"%s\",\"chunk_grid\":{\"name\":"
                         "\"regular\",\"configuration\":{\"chunk_shape\":[2,3,4]}},"
                         "\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":0,"
                         "\"codecs\":%s,\"zarr_format\":3,\"node_type\":\"array\"}",
                         type, codecs) > 0);
    const sgc_status status = sgc_array_metadata_parse(text, strlen(text), metadata, &err);
    free(text);
    return status;
}

#define BYTES "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define TRANSPOSE(order) "{\"name\":\"transpose\",\"configuration\":{\"order\":" order "}}"

static void test_endianness(void **state)
{
    (void)state;
    static const struct {
        const char *codecs;
        bool big;
    } cases[] = {
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}]", true},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}]", false},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":null}}]", false},
        {"[{\"name\":\"bytes\",\"configuration\":{}}]", false},
        {"[{\"name\":\"bytes\"}]", false},
        {"[\"bytes\"]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_array_metadata m;
        assert_ok(parse_codecs("int16", cases[i].codecs, &m));
        assert_int_equal(m.codecs.big_endian, cases[i].big);
        assert_int_equal(m.codecs.count, 0);
    }
}

static void test_orders(void **state)
{
    (void)state;
    static const struct {
        const char *codecs;
        bool transposed;
        uint8_t order[3];
    } cases[] = {
        {"[" BYTES "]", false, {0, 1, 2}},
        {"[" TRANSPOSE("[2,0,1]") "," BYTES "]", true, {2, 0, 1}},
        {"[" TRANSPOSE("[0,1,2]") "," BYTES "]", false, {0, 1, 2}},
        {"[" TRANSPOSE("\"C\"") "," BYTES "]", false, {0, 1, 2}},
        {"[" TRANSPOSE("\"F\"") "," BYTES "]", true, {2, 1, 0}},
        {"[" TRANSPOSE("[1,2,0]") "," TRANSPOSE("[1,0,2]") "," BYTES "]", true, {2, 1, 0}},
        {"[" TRANSPOSE("[1,2,0]") "," TRANSPOSE("[2,0,1]") "," BYTES "]", false, {0, 1, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_array_metadata m;
        assert_ok(parse_codecs("int16", cases[i].codecs, &m));
        assert_int_equal(m.codecs.transposed, cases[i].transposed);
        assert_memory_equal(m.codecs.order, cases[i].order, 3);
    }
}

static void test_defaults_of_codecs(void **state)
{
    (void)state;
    sgc_array_metadata m;
    assert_ok(parse_codecs("int16", "[\"bytes\",\"blosc\",\"zstd\",\"gzip\",\"crc32c\"]", &m));
    const sgc_codec *list = m.codecs.list;
    assert_int_equal(m.codecs.count, 4);
    assert_int_equal(list[0].kind, SGC_BLOSC);
    assert_string_equal(list[0].compressor, "zstd");
    assert_int_equal(list[0].level, 5);
    assert_int_equal(list[0].shuffle, 1);
    assert_int_equal(list[0].type_size, 2);
    assert_int_equal(list[1].kind, SGC_ZSTD);
    assert_int_equal(list[1].level, 0);
    assert_false(list[1].checksum);
    assert_int_equal(list[2].kind, SGC_GZIP);
    assert_int_equal(list[2].level, 5);
    assert_int_equal(list[3].kind, SGC_CRC32C);
    assert_ok(parse_codecs("int8", "[\"bytes\",\"blosc\"]", &m));
    assert_int_equal(m.codecs.list[0].shuffle, 2);
}

static void test_print_of_all_codecs(void **state)
{
    (void)state;
    static const char codecs[] =
        "[{\"name\": \"transpose\", \"configuration\": {\"order\": [2, 0, 1]}}, "
        "{\"name\": \"bytes\", \"configuration\": {\"endian\": \"big\"}}, "
        "{\"name\": \"gzip\", \"configuration\": {\"level\": 7}}, {\"name\": \"crc32c\"}, "
        "{\"name\": \"zstd\", \"configuration\": {\"level\": -3, \"checksum\": true}}, "
        "{\"name\": \"blosc\", \"configuration\": {\"typesize\": 8, \"cname\": \"lz4hc\", "
        "\"clevel\": 9, \"shuffle\": \"noshuffle\", \"blocksize\": 512}}]";
    sgc_array_metadata m;
    sgc_buffer out = {0};
    assert_ok(parse_codecs("float16", codecs, &m));
    assert_ok(sgc_array_metadata_print(&m, "0", "{}", &out, &err));
    assert_non_null(strstr((const char *)out.data, codecs));
    sgc_buffer_free(&out);
}

static void test_unsupported_codecs_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[1,1,1]}}]",
         "\"sharding_indexed\" is not supported: this library cannot read the array"},
        {"[" BYTES ",{\"name\":\"numcodecs.zlib\"}]", "numcodecs.zlib"},
        {"[{\"name\":\"numcodecs.delta\"}," BYTES "]", "numcodecs.delta"},
        {"[\"vlen-utf8\"]", "vlen-utf8"},
        {"[" BYTES ",{\"name\":\"lzma\",\"must_understand\":false}]", "lzma"},
        {"[" BYTES ",{}]", "codec \"\""},
        {"[" BYTES ",1]", "codec \"\""},
        {"[" BYTES ",\"gzip\",\"gzip\",\"gzip\",\"gzip\",\"gzip\",\"gzip\",\"gzip\",\"gzip\","
         "\"gzip\"]",
         "more than 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_array_metadata m;
        assert_status(SGC_UNSUPPORTED, parse_codecs("int16", cases[i][0], &m));
        assert_message(cases[i][1]);
    }
}

static void test_wrong_codecs_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "bytes"},
        {"{}", "codecs"},
        {"\"bytes\"", "codecs"},
        {"[\"gzip\"]", "gzip"},
        {"[\"crc32c\"," BYTES "]", "crc32c"},
        {"[" BYTES "," BYTES "]", "bytes"},
        {"[" BYTES "," TRANSPOSE("[0,1,2]") "]", "transpose"},
        {"[" TRANSPOSE("[0,1]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,2,3]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,3]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,-1]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,1.5]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,1]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("[0,1,\"2\"]") "," BYTES "]", "order"},
        {"[" TRANSPOSE("\"K\"") "," BYTES "]", "order"},
        {"[" TRANSPOSE("1") "," BYTES "]", "order"},
        {"[\"transpose\"," BYTES "]", "order"},
        {"[" BYTES ",{\"name\":\"gzip\",\"configuration\":{\"level\":10}}]", "level"},
        {"[" BYTES ",{\"name\":\"gzip\",\"configuration\":{\"level\":-1}}]", "level"},
        {"[" BYTES ",{\"name\":\"zstd\",\"configuration\":{\"level\":23}}]", "level"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_array_metadata m;
        assert_status(SGC_CORRUPT, parse_codecs("int16", cases[i][0], &m));
        assert_message(cases[i][1]);
    }
}

/* ---- fill values ---- */

static sgc_status parse_fill(const char *type, const char *fill, sgc_array_metadata *metadata)
{
    char *text;
    assert_true(asprintf(&text,
                         "{\"shape\":[],\"data_type\":\"%s\",\"chunk_grid\":{\"name\":"
                         "\"regular\",\"configuration\":{\"chunk_shape\":[]}},"
                         "\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":%s,"
                         "\"codecs\":[{\"name\":\"bytes\"}],\"zarr_format\":3,"
                         "\"node_type\":\"array\"}",
                         type, fill) > 0);
    const sgc_status status = sgc_array_metadata_parse(text, strlen(text), metadata, &err);
    free(text);
    return status;
}

static uint64_t fill_bits(const char *type, const char *fill)
{
    sgc_array_metadata m;
    uint64_t bits = 0;
    if (parse_fill(type, fill, &m) != SGC_OK)
        fail_msg("%s does not take %s: %s", type, fill, err.message);
    memcpy(&bits, m.fill_value, sizeof m.fill_value);
    return bits;
}

static void check_fill_refused(const char *type, const char *fill)
{
    sgc_array_metadata metadata;
    if (parse_fill(type, fill, &metadata) != SGC_CORRUPT)
        fail_msg("%s takes %s", type, fill);
    assert_message("fill_value");
}

/* As zarr-python has them, which rounds long numbers with a point though. */
static void test_fill_values(void **state)
{
    (void)state;
    static const struct {
        const char *type, *fill;
        uint64_t bits;
    } cases[] = {
        {"bool", "true", 1},
        {"bool", "false", 0},
        {"int8", "-128", 0x80},
        {"int8", "127", 0x7f},
        {"uint8", "255", 0xff},
        {"uint8", "-0", 0},
        {"uint8", "0.0", 0},
        {"int16", "-32768", 0x8000},
        {"int16", "-3.2768e4", 0x8000},
        {"uint16", "65535", 0xffff},
        {"int32", "-2147483648", 0x80000000},
        {"int32", "1.0", 1},
        {"int32", "-1.0", 0xffffffff},
        {"int32", "1e3", 1000},
        {"int32", "1E+3", 1000},
        {"int32", "12000e-3", 12},
        {"int32", "0.00012e5", 12},
        {"int32", "0e99999999999999999999", 0},
        {"uint32", "4294967295", 0xffffffff},
        {"int64", "-9223372036854775808", 0x8000000000000000},
        {"int64", "9223372036854775807", 0x7fffffffffffffff},
        {"int64", "9007199254740993", 9007199254740993},
        {"int64", "-9007199254740993.0", 0 - UINT64_C(9007199254740993)},
        {"uint64", "18446744073709551615", UINT64_MAX},
        {"uint64", "1.8446744073709551615e19", UINT64_MAX},
        {"uint64", "18446744073709551614", UINT64_MAX - 1},
        {"float16", "0", 0},
        {"float16", "-0.0", 0x8000},
        {"float16", "1", 0x3c00},
        {"float16", "-2", 0xc000},
        {"float16", "65504", 0x7bff},
        {"float16", "65519.99", 0x7bff},
        {"float16", "65520", 0x7c00},
        {"float16", "1e39", 0x7c00},
        {"float16", "-1e999", 0xfc00},
        {"float16", "0.1", 0x2e66},
        {"float16", "3.14159265358979", 0x4248},
        {"float16", "6.103515625e-05", 0x0400},
        {"float16", "6.0975551605224609e-05", 0x03ff},
        {"float16", "5.9604644775390625e-08", 1},
        {"float16", "2.98023223876953125e-08", 0},
        {"float16", "2.9802322387695316e-08", 1},
        {"float16", "1e-320", 0},
        {"float16", "\"NaN\"", 0x7e00},
        {"float16", "\"Infinity\"", 0x7c00},
        {"float16", "\"-Infinity\"", 0xfc00},
        {"float16", "\"0x7e01\"", 0x7e01},
        {"float16", "\"0x0\"", 0},
        {"float32", "0.5", 0x3f000000},
        {"float32", "16777217", 0x4b800000},
        {"float32", "1e39", 0x7f800000},
        {"float32", "\"NaN\"", 0x7fc00000},
        {"float32", "\"Infinity\"", 0x7f800000},
        {"float32", "\"-Infinity\"", 0xff800000},
        {"float32", "\"0x7fc00001\"", 0x7fc00001},
        {"float32", "\"0x7FCABCDE\"", 0x7fcabcde},
        {"float32", "\"0x00000000\"", 0},
        {"float64", "-0.0", 0x8000000000000000},
        {"float64", "0.1", 0x3fb999999999999a},
        {"float64", "5e-324", 1},
        {"float64", "1.7976931348623157e308", 0x7fefffffffffffff},
        {"float64", "\"NaN\"", 0x7ff8000000000000},
        {"float64", "\"Infinity\"", 0x7ff0000000000000},
        {"float64", "\"-Infinity\"", 0xfff0000000000000},
        {"float64", "\"0xfff8000000000001\"", 0xfff8000000000001},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (fill_bits(cases[i].type, cases[i].fill) != cases[i].bits)
            fail_msg("%s makes %llx of %s", cases[i].type,
                     (unsigned long long)fill_bits(cases[i].type, cases[i].fill), cases[i].fill);
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
        {"uint64", "18446744073709551615.5"},
        {"uint64", "1e20"},
        {"uint64", "1e99999999999999999999"},
        {"uint64", "-1"},
        {"int32", "1.5"},
        {"int32", "1e-1"},
        {"int32", "\"1\""},
        {"int32", "true"},
        {"int32", "null"},
        {"int32", "[1]"},
        {"bool", "1"},
        {"bool", "\"true\""},
        {"float16", "\"0x17e00\""},
        {"float16", "\"AH4=\""},
        {"float32", "\"0x07fc00000\""},
        {"float32", "\"0x\""},
        {"float32", "\"0x7g\""},
        {"float32", "\"0x-1\""},
        {"float32", "\"0X7fc00000\""},
        {"float32", "\"7fc00000\""},
        {"float32", "\"AADAfw==\""},
        {"float32", "\"-NaN\""},
        {"float32", "\"1.5\""},
        {"float32", "\"\""},
        {"float32", "true"},
        {"float32", "null"},
        {"float64", "\"0x10000000000000000\""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        check_fill_refused(pairs[i][0], pairs[i][1]);
}

/* The value of a finite half. */
static double half_value(unsigned half)
{
    const int exponent = (int)(half >> 10 & 31);
    const double fraction = half & 1023;
    const double size =
        exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return (half & 0x8000) != 0 ? -size : size;
}

static unsigned half_fill(const char *json)
{
    uint16_t half;
    unsigned char bytes[SGC_MAX_ITEM_SIZE];
    assert_ok(sgc_fill_value_parse(SGC_FLOAT16, (sgc_span){json, strlen(json)}, bytes, &err));
    memcpy(&half, bytes, sizeof half);
    return half;
}

static unsigned nearest_half(double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    return half_fill(text);
}

/* Each half, and what lies halfway to the next one and a little beside that. */
static void test_all_halves(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 0x7c00; half++) {
        const double low = half_value(half), high = half_value(half + 1);
        const double middle = (low + high) / 2;
        assert_int_equal(nearest_half(low), half);
        assert_int_equal(nearest_half(middle), half % 2 == 0 ? half : half + 1);
        assert_int_equal(nearest_half(nextafter(middle, 0)), half);
        assert_int_equal(nearest_half(nextafter(middle, high)), half + 1);
        assert_int_equal(nearest_half(half_value(half | 0x8000)), half | 0x8000);
        assert_int_equal(nearest_half(-middle), (half % 2 == 0 ? half : half + 1) | 0x8000);
    }
}

static void test_all_halves_by_their_bits(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 0x10000; half++) {
        char text[16];
        snprintf(text, sizeof text, "\"0x%04x\"", half);
        assert_int_equal(half_fill(text), half);
    }
}

/* ---- damage ---- */

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
        cmocka_unit_test(test_what_need_not_be_understood),
        cmocka_unit_test(test_extensions_may_be_bare_names),
        cmocka_unit_test(test_what_is_corrupt),
        cmocka_unit_test(test_endianness),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_defaults_of_codecs),
        cmocka_unit_test(test_print_of_all_codecs),
        cmocka_unit_test(test_unsupported_codecs_are_named),
        cmocka_unit_test(test_wrong_codecs_are_named),
        cmocka_unit_test(test_fill_values),
        cmocka_unit_test(test_fill_values_that_do_not_fit),
        cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_all_halves_by_their_bits),
        cmocka_unit_test(test_every_truncation_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
