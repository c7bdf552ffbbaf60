#include "autotest/unit/store_testing.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/zarr/json_number.h"

static sgc_number parse(const char *text)
{
    sgc_number number;
    assert_ok(sgc_json_number_parse((sgc_span){text, strlen(text)}, &number, &err));
    return number;
}

static void check_double(const char *text, double expected)
{
    const sgc_number number = parse(text);
    assert_int_equal(number.kind, SGC_NUMBER_DOUBLE);
    assert_memory_equal(&number.value.real, &expected, sizeof expected);
}

static void test_integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } positive[] = {{"0", 0},
                    {"9007199254740993", 9007199254740993},
                    {"9223372036854775808", (uint64_t)1 << 63},
                    {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++) {
        const sgc_number number = parse(positive[i].text);
        assert_int_equal(number.kind, SGC_NUMBER_UNSIGNED);
        assert_true(number.value.positive == positive[i].value);
    }
    assert_int_equal(parse("-1").kind, SGC_NUMBER_NEGATIVE);
    assert_true(parse("-1").value.negative == -1);
    assert_true(parse("-9223372036854775808").value.negative == INT64_MIN);
}

static void test_others_are_doubles(void **state)
{
    (void)state;
    check_double("-0", -0.0);
    check_double("1.0", 1);
    check_double("1e3", 1000);
    check_double("1E-2", 0.01);
    check_double("18446744073709551616", 18446744073709551616.0);
    check_double("-9223372036854775809", -9223372036854775808.0);
    check_double("0.1000000000000000055511151231257827021181583404541015625", 0.1);
    check_double("5e-324", 5e-324);
}

static void test_what_is_no_number(void **state)
{
    (void)state;
    static const char *const texts[] = {"",    "-",   "+1",   "01",  "-01",   "1.",    ".5",
                                        "1e",  "1e+", "1.e1", "0x1", "1 ",    " 1",    "NaN",
                                        "--1", "1-",  "inf",  "1,5", "1e999", "-1e999"};
    sgc_number number;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (sgc_json_number_parse((sgc_span){texts[i], strlen(texts[i])}, &number, &err) !=
            SGC_CORRUPT)
            fail_msg("%s", texts[i]);
    assert_status(SGC_CORRUPT, sgc_json_number_parse((sgc_span){NULL, 0}, &number, &err));
}

/* Only the span counts. */
static void test_text_goes_on(void **state)
{
    (void)state;
    sgc_number number;
    assert_ok(sgc_json_number_parse((sgc_span){"1234", 2}, &number, &err));
    assert_int_equal(number.value.positive, 12);
    assert_ok(sgc_json_number_parse((sgc_span){"1.56", 3}, &number, &err));
    assert_true(number.value.real == 1.5);
}

static void check_print(double value, const char *expected)
{
    sgc_buffer out = {0};
    assert_ok(sgc_json_print_double(&out, value, &err));
    assert_ok(sgc_buffer_append(&out, "", 1, &err));
    assert_string_equal((char *)out.data, expected);
    sgc_buffer_free(&out);
}

static void test_print(void **state)
{
    (void)state;
    check_print(0, "0.0");
    check_print(-0.0, "-0.0");
    check_print(100, "100.0");
    check_print(0.1, "0.1");
    check_print(0.1 + 0.2, "0.30000000000000004");
    check_print(1e22, "1e+22");
    check_print(18446744073709551616.0, "1.8446744073709552e+19");
    check_print(NAN, "null");
    check_print(INFINITY, "null");
    check_print(-INFINITY, "null");
}

static void test_print_and_parse(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = (uint64_t)random_below(&seed, UINT32_MAX) << 33 ^
                              random_below(&seed, UINT32_MAX) ^
                              (uint64_t)random_below(&seed, UINT32_MAX) << 15;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        sgc_buffer text = {0};
        sgc_number number;
        assert_ok(sgc_json_print_double(&text, value, &err));
        assert_ok(sgc_json_number_parse((sgc_span){(char *)text.data, text.size}, &number, &err));
        assert_int_equal(number.kind, SGC_NUMBER_DOUBLE);
        assert_memory_equal(&number.value.real, &value, sizeof value);
        sgc_buffer_free(&text);
    }
}

static void test_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *found = NULL;
    for (size_t i = 0; found == NULL && i < sizeof names / sizeof *names; i++)
        found = setlocale(LC_ALL, names[i]);
    if (found == NULL)
        skip(); /* no locale here writes a comma */
    check_print(1.5, "1.5");
    check_double("1.5", 1.5);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_others_are_doubles),
        cmocka_unit_test(test_what_is_no_number),
        cmocka_unit_test(test_text_goes_on),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_print_and_parse),
        cmocka_unit_test(test_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
