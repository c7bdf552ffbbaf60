/* The time axis of a definition (datasets guide 6.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "autotest/unit/definition_testing.h"
#include "datasets/calendar.h"

static void with_time(const char *time, char out[DOCUMENT_SIZE])
{
    char by[1024];
    snprintf(by, sizeof by, "\"id\": \"x\", \"time\": %s", time);
    edit_definition(good_definition, "\"id\": \"x\"", by, out);
}

/* The axis has `count` steps, from `first` to the step `last` that ends at `end`. */
static void check_axis(const char *time, size_t count, const char *first, const char *last,
                       const char *end)
{
    char text[DOCUMENT_SIZE];
    int64_t from, to, behind;
    with_time(time, text);
    sgc_definition *d = parsed_definition(text);
    assert_int_equal(sgc_calendar_parse(first, &from, NULL), SGC_OK);
    assert_int_equal(sgc_calendar_parse(last, &to, NULL), SGC_OK);
    assert_int_equal(sgc_calendar_parse(end, &behind, NULL), SGC_OK);
    assert_int_equal(d->time.count, count);
    assert_int_equal(d->time.starts[0], from);
    assert_int_equal(d->time.starts[count - 1], to);
    assert_int_equal(d->time.ends[count - 1], behind);
    for (size_t i = 0; i + 1 < count; i++)
        assert_int_equal(d->time.ends[i],
                         d->time.is_instant ? d->time.starts[i] : d->time.starts[i + 1]);
    sgc_definition_free(d);
}

static void test_axes_by_step(void **state)
{
    (void)state;
    check_axis("{\"start\": \"2017-01-01\", \"end\": \"2025-01-01\", \"step\": \"P1Y\"}", 9,
               "2017-01-01", "2025-01-01", "2026-01-01");
    check_axis("{\"start\": \"2020-02-29\", \"end\": \"2024-02-29\", \"step\": \"P1Y\"}", 5,
               "2020-02-29", "2024-02-29", "2025-02-28");
    check_axis("{\"start\": \"2021-01-31\", \"end\": \"2021-04-30\", \"step\": \"P1M\"}", 4,
               "2021-01-31", "2021-04-30", "2021-05-31");
    check_axis("{\"start\": \"2023-12-30\", \"end\": \"2024-03-01\", \"step\": \"P2D\"}", 32,
               "2023-12-30", "2024-03-01", "2024-03-03");
    check_axis("{\"start\": \"1959-12-31T18:00\", \"end\": \"1960-01-01T05:59:59Z\", \"step\": "
               "\"PT6H\"}",
               2, "1959-12-31T18:00", "1960-01-01", "1960-01-01T06:00");
    check_axis("{\"start\": \"1940\", \"end\": \"1940\", \"step\": \"P10Y\"}", 1, "1940", "1940",
               "1950");
}

static void test_axes_by_values(void **state)
{
    (void)state;
    check_axis("{\"values\": [\"2016\", \"2018\", \"2020\"]}", 3, "2016", "2020", "2022");
    check_axis("{\"values\": [\"2021-11-15\", \"2021-12-15\"]}", 2, "2021-11-15", "2021-12-15",
               "2022-01-15");
    check_axis("{\"values\": [\"2021-01-01\", \"2021-01-11\"]}", 2, "2021-01-01", "2021-01-11",
               "2021-01-21");
    check_axis("{\"values\": [\"2021-01-01\"], \"step\": \"P3M\"}", 1, "2021-01-01", "2021-01-01",
               "2021-04-01");
    check_axis("{\"values\": [\"2021-01-01\"], \"cell\": \"instant\"}", 1, "2021-01-01",
               "2021-01-01", "2021-01-01");
    check_axis("{\"values\": [\"2021-01-01\", \"2021-01-09\"], \"cell\": \"instant\"}", 2,
               "2021-01-01", "2021-01-09", "2021-01-09");
}

static void test_growable(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE];
    with_time("{\"values\": [\"2016\", \"2018\"]}", text);
    sgc_definition *d = parsed_definition(text);
    assert_true(d->time.is_growable);
    sgc_definition_free(d);
    with_time("{\"values\": [\"2016\", \"2018\"], \"growable\": false}", text);
    d = parsed_definition(text);
    assert_false(d->time.is_growable);
    sgc_definition_free(d);
}

static void test_bad_axes(void **state)
{
    (void)state;
    static const struct {
        const char *time, *message;
    } cases[] = {
        {"1", "/time: must be an object"},
        {"{}", "/time: give values, or start, end and step"},
        {"{\"values\": [\"2016\"], \"start\": \"2016\"}", "/time: give values, or start"},
        {"{\"from\": \"2016\"}", "/time/from: unknown key"},
        {"{\"values\": []}", "/time/values: must be a list"},
        {"{\"values\": [\"2016\", \"2015\"]}", "/time/values/1: must be later than the one before"},
        {"{\"values\": [\"2016\", \"2016-01-01\"]}", "/time/values/1: must be later"},
        {"{\"values\": [\"2016\", 2017]}", "/time/values/1: must be a time like"},
        {"{\"values\": [\"2016-02-30\", \"2017\"]}", "/time/values/0: \"2016-02-30\" is no time"},
        {"{\"values\": [\"2015-02-29\", \"2017\"]}", "/time/values/0: \"2015-02-29\" is no time"},
        {"{\"values\": [\"2016-13\", \"2017\"]}", "/time/values/0: \"2016-13\" is no time"},
        {"{\"values\": [\"2016-1-1\", \"2017\"]}", "/time/values/0: \"2016-1-1\" is no time"},
        {"{\"values\": [\"2016\"]}", "/time/step: required"},
        {"{\"start\": \"2016\", \"end\": \"2017\"}", "/time/step: required"},
        {"{\"start\": \"2016\", \"step\": \"P1Y\"}", "/time/end: required"},
        {"{\"start\": \"2016\", \"end\": \"2015\", \"step\": \"P1Y\"}", "/time/end: must not lie"},
        {"{\"start\": \"2016\", \"end\": \"2017\", \"step\": \"P0D\"}",
         "/time/step: must be a positive duration"},
        {"{\"start\": \"2016\", \"end\": \"2017\", \"step\": \"-P1D\"}",
         "/time/step: must be a positive duration"},
        {"{\"start\": \"2016\", \"end\": \"2017\", \"step\": \"P1H\"}",
         "/time/step: must be a positive duration"},
        {"{\"start\": \"2016\", \"end\": \"2017\", \"step\": \"P1Y2M\"}",
         "/time/step: must be a positive duration"},
        {"{\"start\": \"2016\", \"end\": \"2017\", \"step\": 1}",
         "/time/step: must be a positive duration"},
        {"{\"start\": \"1000\", \"end\": \"2017\", \"step\": \"PT1H\"}",
         "/time/step: gives more than 1000000 steps"},
        {"{\"values\": [\"2016\", \"2018\"], \"cell\": \"month\"}", "/time/cell: must be one of"},
        {"{\"values\": [\"2016\", \"2018\"], \"growable\": 1}", "/time/growable: must be true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DOCUMENT_SIZE];
        with_time(cases[i].time, text);
        assert_refused(text, NULL, cases[i].message);
    }
}

static void test_calendar(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } times[] = {{"1970", 0},
                 {"1970-01-02", 86400},
                 {"1969-12-31T23:59:59Z", -1},
                 {"2000-03-01", 951868800},
                 {"0001-01-01", -62135596800},
                 {"9999-12-31T23:59", 253402300740}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t time = -1;
        assert_int_equal(sgc_calendar_parse(times[i].text, &time, NULL), SGC_OK);
        assert_int_equal(time, times[i].seconds);
    }
    const sgc_duration month = {1, 0};
    assert_int_equal(sgc_calendar_add(951868800, month, -1), 949363200); /* 2000-02-01 */
    assert_int_equal(sgc_calendar_add(-1, month, -12), -31536001);       /* a year before */
    assert_int_equal(sgc_calendar_add(951782400, (sgc_duration){12, 0}, 1), 983318400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axes_by_step), cmocka_unit_test(test_axes_by_values),
        cmocka_unit_test(test_growable),     cmocka_unit_test(test_bad_axes),
        cmocka_unit_test(test_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
