/* Steps as users name them, and as Zarr stores them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gdal_sgc/time_axis.h"

enum { DAY = 86400, MOST = 16 };

/* 1 January of 2017 … 2024, as days since 1970. */
static const int64_t january[] = {17167, 17532, 17897, 18262, 18628, 18993, 19358, 19723, 20089};

typedef struct axis_storage {
    int64_t starts[MOST], ends[MOST];
    sgc_time_axis axis;
} axis_storage;

static sgc_time_axis *years(axis_storage *s, bool is_instant)
{
    for (size_t i = 0; i < 8; i++) {
        s->starts[i] = january[i] * DAY;
        s->ends[i] = is_instant ? s->starts[i] : january[i + 1] * DAY;
    }
    s->axis = (sgc_time_axis){8, s->starts, s->ends, is_instant, true};
    return &s->axis;
}

/* Noons of 10, 11, 12, 20 January and 5 February 2020. */
static sgc_time_axis *noons(axis_storage *s)
{
    static const int64_t days[] = {18271, 18272, 18273, 18281, 18297};
    for (size_t i = 0; i < 5; i++)
        s->starts[i] = s->ends[i] = days[i] * DAY + DAY / 2;
    s->axis = (sgc_time_axis){5, s->starts, s->ends, true, true};
    return &s->axis;
}

static void assert_finds(const sgc_time_axis *axis, const char *text, size_t first, size_t count)
{
    size_t found = 99, found_count = 99;
    sgc_error error = {""};
    if (sgc_time_axis_find(axis, text, &found, &found_count, &error) != SGC_OK)
        fail_msg("%s: %s", text, error.message);
    if (found != first || found_count != count)
        fail_msg("%s: %zu steps from %zu", text, found_count, found);
}

static void assert_refuses(const sgc_time_axis *axis, const char *text, const char *part)
{
    size_t first = 99, count = 99;
    sgc_error error = {""};
    assert_int_equal(sgc_time_axis_find(axis, text, &first, &count, &error), SGC_INVALID);
    if (strstr(error.message, part) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", text, error.message, part);
    assert_int_equal(first, 99);
}

static void test_years(void **state)
{
    (void)state;
    axis_storage s;
    const sgc_time_axis *axis = years(&s, false);
    assert_finds(axis, "2017", 0, 1);
    assert_finds(axis, "2020-01-01", 3, 1);
    assert_finds(axis, "2020-01-01T00:00:00Z", 3, 1);
    assert_finds(axis, "2018/2020", 1, 3);
    assert_finds(axis, "2017-01-01/2024-01-01", 0, 8);
    assert_finds(axis, "2018-06/2020-03", 2, 2);
    assert_finds(axis, "#0", 0, 1);
    assert_finds(axis, "#7", 7, 1);
    assert_finds(axis, "#1/2020", 1, 3);
}

/* A date within an interval is that interval's, never the nearest start's. */
static void test_dates_within_intervals(void **state)
{
    (void)state;
    axis_storage s;
    const sgc_time_axis *axis = years(&s, false);
    assert_finds(axis, "2020-07-02", 3, 1);
    assert_finds(axis, "2024-12-31T23:59:59Z", 7, 1);
    assert_refuses(years(&s, true), "2020-07-02", "2020-01-01 and 2021-01-01");
}

static void test_dates_outside(void **state)
{
    (void)state;
    axis_storage s;
    const sgc_time_axis *axis = years(&s, false);
    assert_refuses(axis, "1990-01-01", "the nearest is 2017-01-01");
    assert_refuses(axis, "2016", "the nearest is 2017-01-01");
    assert_refuses(axis, "2025", "the nearest is 2024-01-01");
    assert_refuses(axis, "2016/2018", "the nearest is 2017-01-01");
    assert_refuses(axis, "2018/2025", "the nearest is 2024-01-01");
    assert_refuses(axis, "2020/2018", "before the start");
    assert_refuses(axis, "#8", "#0 to #7");
}

static void test_what_is_no_time(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",  "now", "20",  "2020-", "2020-1", "2020-13", "2020-02-30",   "2020x",
        "#", "#x",  "#-1", "2020/", "/2020",  "202001",  "2020-07-01T25"};
    axis_storage s;
    const sgc_time_axis *axis = years(&s, false);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refuses(axis, texts[i], "must be a date");
}

static void test_instants(void **state)
{
    (void)state;
    axis_storage s;
    const sgc_time_axis *axis = noons(&s);
    assert_finds(axis, "2020", 0, 5);
    assert_finds(axis, "2020-01", 0, 4);
    assert_finds(axis, "2020-01-11", 1, 1);
    assert_finds(axis, "2020-01-20T12", 3, 1);
    assert_finds(axis, "2020-01-11/2020-01-25", 1, 3);
    assert_refuses(axis, "2020-01-15", "2020-01-12T12:00:00Z and 2020-01-20T12:00:00Z");
    assert_refuses(axis, "2020-01-11T13", "the nearest are");
}

static void test_zones(void **state)
{
    (void)state;
    axis_storage s;
    const sgc_time_axis *axis = noons(&s);
    assert_finds(axis, "2020-01-20T14:00:00+02:00", 3, 1);
    assert_finds(axis, "2020-01-20T08:30-03:30", 3, 1);
    assert_refuses(axis, "2020-01-20T12:00:00+02:00", "the nearest are");
    assert_refuses(axis, "2020-01-20+02:00", "must be a date");
    assert_refuses(axis, "2020-01-20T12+0200", "must be a date");
    assert_refuses(axis, "2020-01-20T12+24:00", "must be a date");
    assert_refuses(axis, "2020-01-20T12+02:00Z", "must be a date");
    assert_finds(years(&s, false), "2020-01-01T00:30:00+01:00", 2, 1);
}

static void test_units(void **state)
{
    (void)state;
    axis_storage s;
    char text[SGC_TIME_UNITS_SIZE];
    sgc_time_units units = sgc_time_units_choose(years(&s, false)), read;
    sgc_time_units_format(&units, text);
    assert_string_equal(text, "days since 2017-01-01 00:00:00");
    assert_int_equal(sgc_time_units_parse(text, &read, NULL), SGC_OK);
    assert_int_equal(read.reference, january[0] * DAY);
    assert_int_equal(read.unit, DAY);

    s.starts[3] += 3600;
    units = sgc_time_units_choose(&s.axis);
    sgc_time_units_format(&units, text);
    assert_string_equal(text, "hours since 2017-01-01 00:00:00");
    s.starts[4] += 1;
    units = sgc_time_units_choose(&s.axis);
    assert_int_equal(units.unit, 1);

    units = sgc_time_units_choose(noons(&s));
    sgc_time_units_format(&units, text);
    assert_string_equal(text, "days since 2020-01-10 12:00:00");
    assert_int_equal(sgc_time_units_parse("days since 2017-01-01", &read, NULL), SGC_OK);
    assert_int_equal(sgc_time_units_parse("weeks since 2017-01-01", &read, NULL), SGC_UNSUPPORTED);
    assert_int_equal(sgc_time_units_parse("days", &read, NULL), SGC_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_years),         cmocka_unit_test(test_dates_within_intervals),
        cmocka_unit_test(test_dates_outside), cmocka_unit_test(test_what_is_no_time),
        cmocka_unit_test(test_instants),      cmocka_unit_test(test_zones),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
