#include "autotest/unit/json_testing.h"

#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

sgc_span span_of(const char *text)
{
    return (sgc_span){text, strlen(text)};
}

sgc_buffer from_hex(const char *hex)
{
    sgc_buffer bytes = {0};
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        const char digits[3] = {hex[0], hex[1], '\0'};
        char *end;
        const unsigned char byte = (unsigned char)strtoul(digits, &end, 16);
        assert_true(end == digits + 2);
        assert_ok(sgc_buffer_append(&bytes, &byte, 1, &err));
        hex += 2;
    }
    return bytes;
}

static void check_text(const sgc_buffer *actual, const char *expected)
{
    sgc_buffer text = {0};
    assert_ok(sgc_buffer_append(&text, actual->data, actual->size, &err));
    assert_ok(sgc_buffer_append(&text, "", 1, &err));
    assert_string_equal((char *)text.data, expected);
    sgc_buffer_free(&text);
}

/* ---- random values ---- */

static void add(sgc_buffer *out, const char *text)
{
    assert_ok(sgc_buffer_append(out, text, strlen(text), &err));
}

static const char *pick(uint64_t *seed, const char *const *list, size_t count)
{
    return list[random_below(seed, (uint32_t)count)];
}
#define PICK(seed, list) pick(seed, list, sizeof(list) / sizeof *(list))

static void add_letters(sgc_buffer *out, uint64_t *seed)
{
    static const char *const letters[] = {"a",
                                          "Z",
                                          "7",
                                          " ",
                                          "/",
                                          "\\\"",
                                          "\\\\",
                                          "\\u000a",
                                          "\\u001f",
                                          "\x7f",
                                          "\xc3\xa9",
                                          "\xe2\x82\xac",
                                          "\xf0\x9f\xa7\x8a",
                                          "\xef\xbf\xbf"};
    const uint32_t count =
        random_below(seed, 8) == 0 ? random_below(seed, 400) : random_below(seed, 10);
    for (uint32_t i = 0; i < count; i++)
        add(out, PICK(seed, letters));
}

static void add_number(sgc_buffer *out, uint64_t *seed)
{
    static const char *const numbers[] = {"0",
                                          "127",
                                          "128",
                                          "255",
                                          "256",
                                          "65535",
                                          "65536",
                                          "-1",
                                          "-32",
                                          "-33",
                                          "-128",
                                          "-129",
                                          "-32768",
                                          "-32769",
                                          "0.1",
                                          "1.0",
                                          "-2.5",
                                          "1e+300",
                                          "4.94065645841247e-324",
                                          "-0.0",
                                          "4294967295",
                                          "1e-07",
                                          "0.25",
                                          "4294967296",
                                          "123456.75",
                                          "-2147483648",
                                          "-2147483649",
                                          "3e+22",
                                          "9007199254740993",
                                          "18446744073709551615",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "1.7976931348623157e+308",
                                          "0.30000000000000004"};
    if (random_below(seed, 2) == 0) {
        add(out, PICK(seed, numbers));
        return;
    }
    const uint64_t high = random_below(seed, 1u << 31), low = random_below(seed, 1u << 31);
    const uint64_t bits = (high << 33 ^ low << 5) >> random_below(seed, 64);
    if (bits > 0 && bits < INT64_MAX && random_below(seed, 2) == 0)
        add(out, "-");
    assert_ok(sgc_buffer_print(out, &err, "%llu", (unsigned long long)bits));
}

static void add_value(sgc_buffer *out, uint64_t *seed, int depth);

static void add_collection(sgc_buffer *out, uint64_t *seed, bool is_object, int depth)
{
    const uint32_t count =
        random_below(seed, 16) == 0 ? random_below(seed, 40) : random_below(seed, 5);
    add(out, is_object ? "{" : "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            add(out, ",");
        if (is_object) {
            assert_ok(sgc_buffer_print(out, &err, "\"%02u", i));
            add_letters(out, seed);
            add(out, "\":");
        }
        add_value(out, seed, depth + 1);
    }
    add(out, is_object ? "}" : "]");
}

static void add_value(sgc_buffer *out, uint64_t *seed, int depth)
{
    static const char *const words[] = {"null", "true", "false"};
    const uint32_t kind = random_below(seed, depth < 5 ? 7 : 3);
    if (kind == 0) {
        add(out, PICK(seed, words));
    } else if (kind == 1) {
        add(out, "\"");
        add_letters(out, seed);
        add(out, "\"");
    } else if (kind == 2) {
        add_number(out, seed);
    } else {
        add_collection(out, seed, kind < 5, depth);
    }
}

sgc_buffer random_json(uint64_t seed)
{
    sgc_buffer json = {0};
    add_value(&json, &seed, 0);
    return json;
}

/* ---- checks ---- */

void check_encodes(json_encoder *encode, const char *json, const char *hex)
{
    sgc_buffer expected = from_hex(hex), actual = {0};
    assert_ok(encode(span_of(json), &actual, &err));
    if (actual.size != expected.size || memcmp(actual.data, expected.data, actual.size) != 0)
        fail_msg("%s", json);
    sgc_buffer_free(&actual);
    sgc_buffer_free(&expected);
}

void check_refuses(json_encoder *encode, const char *json)
{
    sgc_buffer out = {0};
    add(&out, "before");
    if (encode(span_of(json), &out, &err) != SGC_CORRUPT)
        fail_msg("%s", json);
    check_text(&out, "before");
    sgc_buffer_free(&out);
}

void check_prints(json_printer *print, const char *hex, const char *json)
{
    sgc_buffer bytes = from_hex(hex), text = {0};
    assert_ok(print(bytes.data, bytes.size, &text, &err));
    check_text(&text, json);
    sgc_buffer_free(&text);
    sgc_buffer_free(&bytes);
}

void check_corrupt(json_printer *print, const char *hex, const char *message)
{
    sgc_buffer bytes = from_hex(hex), out = {0};
    add(&out, "before");
    if (print(bytes.data, bytes.size, &out, &err) != SGC_CORRUPT)
        fail_msg("%s", hex);
    assert_message(message);
    check_text(&out, "before");
    sgc_buffer_free(&out);
    sgc_buffer_free(&bytes);
}

void check_round_trips(json_encoder *encode, json_printer *print)
{
    for (uint64_t seed = 0; seed < 500; seed++) {
        sgc_buffer json = random_json(seed), bytes = {0}, again = {0};
        assert_ok(encode((sgc_span){(char *)json.data, json.size}, &bytes, &err));
        assert_ok(print(bytes.data, bytes.size, &again, &err));
        size_t same = 0;
        while (same < json.size && same < again.size && json.data[same] == again.data[same])
            same++;
        if (same < json.size || same < again.size)
            fail_msg("seed %d: %.*s became %.*s", (int)seed, (int)(json.size - same),
                     json.data + same, (int)(again.size - same), again.data + same);
        sgc_buffer_free(&again);
        sgc_buffer_free(&bytes);
        sgc_buffer_free(&json);
    }
}

/* The bytes are in an allocation of their own, so that a step over their end shows. */
static void check_one(json_printer *print, const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    sgc_buffer text = {0};
    const sgc_status status = print(copy, size, &text, &err);
    if (status == SGC_OK) {
        const char *end = NULL;
        assert_ok(sgc_buffer_append(&text, "", 1, &err));
        cJSON *json = cJSON_ParseWithOpts((char *)text.data, &end, true);
        if (json == NULL)
            fail_msg("no JSON: %s", (char *)text.data);
        cJSON_Delete(json);
    } else {
        assert_int_equal(status, SGC_CORRUPT);
        assert_int_equal(text.size, 0);
    }
    sgc_buffer_free(&text);
    free(copy);
}

void check_garbled(json_printer *print, sgc_span bytes, bool thorough)
{
    unsigned char *garbled = malloc(bytes.size);
    assert_non_null(garbled);
    memcpy(garbled, bytes.text, bytes.size);
    for (size_t size = 0; size < bytes.size; size++) {
        check_one(print, garbled, size);
        check_one(print, garbled + size, bytes.size - size);
    }
    for (size_t i = 0; i < bytes.size; i++) {
        const unsigned char before = garbled[i];
        for (unsigned value = 0; value < 256; value += thorough ? 1 : 15) {
            garbled[i] = (unsigned char)(before + value);
            check_one(print, garbled, bytes.size);
        }
        garbled[i] = before;
    }
    free(garbled);
}
