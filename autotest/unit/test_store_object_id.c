#include "autotest/unit/store_testing.h"

#include <string.h>

static const struct {
    sgc_object_id id;
    const char *text;
} known[] = {
    {{{0x0b, 0x1c, 0xc8, 0xd6, 0x78, 0x75, 0x80, 0xf0, 0xe3, 0x3a, 0x65, 0x34}},
     "1CECHNKREP0F1RSTCMT0"},
    {{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b}},
     "000G40R40M30E209185G"},
};

enum { KNOWN = sizeof known / sizeof *known };

static void test_known_ids_are_formatted(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        char text[SGC_OBJECT_ID_TEXT + 1];
        sgc_object_id_format(&known[i].id, text);
        assert_string_equal(text, known[i].text);
    }
}

static void test_known_texts_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        sgc_object_id id;
        assert_ok(sgc_object_id_parse(known[i].text, SGC_OBJECT_ID_TEXT, &id, &err));
        assert_memory_equal(&id, &known[i].id, sizeof id);
    }
}

/* Every single bit has its place in the text. */
static void test_each_bit_survives_a_round_trip(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 96; bit++) {
        sgc_object_id id = {{0}}, back;
        char text[SGC_OBJECT_ID_TEXT + 1];
        id.bytes[bit / 8] = (uint8_t)(1u << bit % 8);
        sgc_object_id_format(&id, text);
        assert_ok(sgc_object_id_parse(text, strlen(text), &back, &err));
        assert_memory_equal(&back, &id, sizeof id);
    }
}

static void test_lower_case_and_aliases(void **state)
{
    (void)state;
    static const char *const texts[] = {"1cechnkrep0f1rstcmt0", "ICECHNKREPOFLRSTCMTO",
                                        "icechnkrepoflrstcmto", "LCECHNKREP0FIRSTCMT0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sgc_object_id id;
        assert_ok(sgc_object_id_parse(texts[i], SGC_OBJECT_ID_TEXT, &id, &err));
        assert_memory_equal(&id, &known[0].id, sizeof id);
    }
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    sgc_object_id id;
    for (size_t length = 0; length < 2 * SGC_OBJECT_ID_TEXT; length++)
        if (length != SGC_OBJECT_ID_TEXT)
            assert_status(
                SGC_INVALID,
                sgc_object_id_parse("1CECHNKREP0F1RSTCMT01CECHNKREP0F1RSTCMT0", length, &id, &err));
}

static void test_other_characters_are_refused(void **state)
{
    (void)state;
    static const char others[] = "Uu-_ */#.\n@[`{\x7f\xc3"; /* and the NUL */
    for (size_t at = 0; at < SGC_OBJECT_ID_TEXT; at++) {
        for (size_t i = 0; i < sizeof others; i++) {
            char text[SGC_OBJECT_ID_TEXT + 1];
            sgc_object_id id = known[1].id;
            strcpy(text, known[0].text);
            text[at] = others[i];
            assert_status(SGC_INVALID, sgc_object_id_parse(text, SGC_OBJECT_ID_TEXT, &id, &err));
            assert_memory_equal(&id, &known[1].id, sizeof id);
        }
    }
}

static void test_order_is_that_of_unsigned_bytes(void **state)
{
    (void)state;
    const sgc_object_id low = {{0x7f, 0xff}}, high = {{0x80}};
    assert_true(sgc_object_id_compare(&low, &high) < 0);
    assert_true(sgc_object_id_compare(&high, &low) > 0);
    assert_int_equal(sgc_object_id_compare(&low, &low), 0);
}

static void test_random_ids_differ(void **state)
{
    (void)state;
    sgc_object_id objects[2];
    sgc_node_id nodes[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(sgc_object_id_random(&objects[i], &err));
        assert_ok(sgc_node_id_random(&nodes[i], &err));
    }
    assert_memory_not_equal(&objects[0], &objects[1], sizeof *objects);
    assert_memory_not_equal(&nodes[0], &nodes[1], sizeof *nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_ids_are_formatted),
        cmocka_unit_test(test_known_texts_are_parsed),
        cmocka_unit_test(test_each_bit_survives_a_round_trip),
        cmocka_unit_test(test_lower_case_and_aliases),
        cmocka_unit_test(test_other_lengths_are_refused),
        cmocka_unit_test(test_other_characters_are_refused),
        cmocka_unit_test(test_order_is_that_of_unsigned_bytes),
        cmocka_unit_test(test_random_ids_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
