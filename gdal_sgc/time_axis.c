#include "gdal_sgc/time_axis.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static void print_time(int64_t seconds, const char *format, char *text, size_t size)
{
    const time_t time = (time_t)seconds;
    struct tm utc;
    if (gmtime_r(&time, &utc) == NULL || strftime(text, size, format, &utc) == 0)
        snprintf(text, size, "%lld s", (long long)seconds);
}

void sgc_time_format(int64_t seconds, char text[SGC_TIME_SIZE])
{
    print_time(seconds, seconds % DAY == 0 ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%SZ", text,
               SGC_TIME_SIZE);
}

/* ---- what a user names ---- */

/* A half-open interval of seconds. */
typedef struct span {
    int64_t start, end;
} span;

/* Reads `digits` digits after one of `separators` (none before the first field). */
static bool read_field(const char **text, const char *separators, int digits, int *value)
{
    const char *at = *text;
    if (*separators != '\0' && (*at == '\0' || strchr(separators, *at++) == NULL))
        return false;
    *value = 0;
    for (int i = 0; i < digits; i++, at++) {
        if (!isdigit((unsigned char)*at))
            return false;
        *value = *value * 10 + (*at - '0');
    }
    *text = at;
    return true;
}

/* Reads how far a clock is ahead of UTC: hours and minutes. */
static bool read_zone(const char **text, int64_t *seconds)
{
    const int sign = **text == '-' ? -1 : 1;
    int hours, minutes;
    if (!read_field(text, "+-", 2, &hours) || !read_field(text, ":", 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *seconds = sign * (3600 * hours + 60 * minutes);
    return true;
}

/* The interval that an ISO date, or the beginning of one, means. */
static bool parse_date(const char *text, span *out)
{
    enum { YEAR_FIELD, MONTH_FIELD, DAY_FIELD, FIELDS = 6 };
    static const char *const separators[FIELDS] = {"", "-", "-", "T ", ":", ":"};
    int fields[FIELDS] = {0, 1, 1, 0, 0, 0}, count = 0;
    while (count < FIELDS &&
           read_field(&text, separators[count], count == YEAR_FIELD ? 4 : 2, &fields[count]))
        count++;
    int64_t ahead = 0;
    if (*text == 'Z')
        text++;
    else if (count > DAY_FIELD + 1 && *text != '\0' && !read_zone(&text, &ahead))
        return false;
    if (count == 0 || *text != '\0')
        return false;
    struct tm date = {.tm_year = fields[YEAR_FIELD] - 1900,
                      .tm_mon = fields[MONTH_FIELD] - 1,
                      .tm_mday = fields[DAY_FIELD],
                      .tm_hour = fields[3],
                      .tm_min = fields[4],
                      .tm_sec = fields[5]};
    struct tm same = date;
    out->start = timegm(&same) - ahead;
    if (same.tm_mon != date.tm_mon || same.tm_mday != date.tm_mday ||
        same.tm_hour != date.tm_hour || same.tm_min != date.tm_min || same.tm_sec != date.tm_sec)
        return false; /* there is no 30 February */
    int *const last[FIELDS] = {&date.tm_year, &date.tm_mon, &date.tm_mday,
                               &date.tm_hour, &date.tm_min, &date.tm_sec};
    ++*last[count - 1];
    out->end = timegm(&date) - ahead;
    return true;
}

/* An index like #3; -1 if `text` is none. */
static int64_t parse_index(const char *text)
{
    char *end;
    if (text[0] != '#' || !isdigit((unsigned char)text[1]))
        return -1;
    const long long index = strtoll(text + 1, &end, 10);
    return *end == '\0' ? index : -1;
}

size_t sgc_time_axis_from(const sgc_time_axis *axis, int64_t time)
{
    size_t low = 0, high = axis->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (axis->starts[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static sgc_status fail_outside(const sgc_time_axis *axis, const char *text, int64_t time,
                               sgc_error *err)
{
    char before[SGC_TIME_SIZE], after[SGC_TIME_SIZE], first[SGC_TIME_SIZE], last[SGC_TIME_SIZE];
    const size_t next = sgc_time_axis_from(axis, time);
    sgc_time_format(axis->starts[next > 0 ? next - 1 : 0], before);
    sgc_time_format(axis->starts[next < axis->count ? next : axis->count - 1], after);
    sgc_time_format(axis->starts[0], first);
    sgc_time_format(axis->starts[axis->count - 1], last);
    if (strcmp(before, after) == 0)
        return sgc_fail(err, SGC_INVALID,
                        "TIME=%.64s: there is no such time step; the nearest is %s (of %zu, from "
                        "%s to %s)",
                        text, before, axis->count, first, last);
    return sgc_fail(err, SGC_INVALID,
                    "TIME=%.64s: there is no such time step; the nearest are %s and %s (of %zu, "
                    "from %s to %s)",
                    text, before, after, axis->count, first, last);
}

/* The date or index `text` as an interval, which meets the axis; `whole` is what the user wrote. */
static sgc_status resolve(const sgc_time_axis *axis, const char *text, const char *whole, span *out,
                          sgc_error *err)
{
    const int64_t index = parse_index(text);
    const size_t last = axis->count - 1;
    if (index > (int64_t)last)
        return sgc_fail(err, SGC_INVALID, "TIME=%.64s: there are %zu time steps, #0 to #%zu", whole,
                        axis->count, last);
    if (index >= 0) {
        *out = (span){axis->starts[index], axis->starts[index] + 1};
        return SGC_OK;
    }
    if (!parse_date(text, out))
        return sgc_fail(err, SGC_INVALID,
                        "TIME=%.64s: must be a date like 2020, 2020-07 or 2020-07-01T12:00:00Z, an "
                        "index like #3, or two of them like 2018/2020",
                        whole);
    const int64_t end = axis->is_instant ? axis->starts[last] + 1 : axis->ends[last];
    return out->end > axis->starts[0] && out->start < end
               ? SGC_OK
               : fail_outside(axis, whole, out->start, err);
}

sgc_status sgc_time_axis_find(const sgc_time_axis *axis, const char *text, size_t *first,
                              size_t *count, sgc_error *err)
{
    enum { LONGEST = 64 };
    char from[LONGEST];
    const char *slash = strchr(text, '/');
    const size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    snprintf(from, sizeof from, "%.*s", (int)(length < LONGEST ? length : LONGEST - 1), text);
    span start, end;
    SGC_TRY(resolve(axis, from, text, &start, err));
    SGC_TRY(resolve(axis, slash != NULL ? slash + 1 : from, text, &end, err));
    if (end.start < start.start)
        return sgc_fail(err, SGC_INVALID, "TIME=%.64s: the end lies before the start", text);
    size_t begin = sgc_time_axis_from(axis, start.start), stop = sgc_time_axis_from(axis, end.end);
    if (begin == stop && begin > 0 && !axis->is_instant && end.end <= axis->ends[begin - 1])
        begin--; /* within one step */
    if (begin >= stop)
        return fail_outside(axis, text, start.start, err);
    *first = begin;
    *count = stop - begin;
    return SGC_OK;
}

/* ---- what Zarr stores ---- */

static const struct {
    const char *name;
    int64_t seconds;
} units_known[] = {{"days", DAY}, {"hours", HOUR}, {"minutes", MINUTE}, {"seconds", 1}};
enum { UNITS = sizeof units_known / sizeof *units_known };

static bool keeps_integers(const sgc_time_axis *axis, int64_t unit)
{
    for (size_t i = 1; i < axis->count; i++)
        if ((axis->starts[i] - axis->starts[0]) % unit != 0)
            return false;
    return true;
}

sgc_time_units sgc_time_units_choose(const sgc_time_axis *axis)
{
    size_t u = 0;
    while (u + 1 < UNITS && !keeps_integers(axis, units_known[u].seconds))
        u++;
    return (sgc_time_units){axis->starts[0], units_known[u].seconds};
}

void sgc_time_units_format(const sgc_time_units *units, char text[SGC_TIME_UNITS_SIZE])
{
    char reference[SGC_TIME_SIZE];
    size_t u = 0;
    while (u + 1 < UNITS && units_known[u].seconds != units->unit)
        u++;
    print_time(units->reference, "%Y-%m-%d %H:%M:%S", reference, sizeof reference);
    snprintf(text, SGC_TIME_UNITS_SIZE, "%s since %s", units_known[u].name, reference);
}

sgc_status sgc_time_units_parse(const char *text, sgc_time_units *units, sgc_error *err)
{
    static const char since[] = " since ";
    const char *at = strstr(text, since);
    span reference;
    for (size_t u = 0; at != NULL && u < UNITS; u++) {
        const char *name = units_known[u].name;
        if (strlen(name) == (size_t)(at - text) && strncmp(text, name, strlen(name)) == 0 &&
            parse_date(at + strlen(since), &reference)) {
            *units = (sgc_time_units){reference.start, units_known[u].seconds};
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_UNSUPPORTED, "times in \"%.64s\" are not supported", text);
}
