#include "datasets/calendar.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECONDS_PER_DAY = 24 * 3600, LONGEST_COUNT = 1000000 };

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Says whether `text` looks like `shape`, in which 0 stands for any digit. */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape != '\0'; text++, shape++)
        if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
            return false;
    return *text == '\0';
}

sgc_status sgc_calendar_parse(const char *text, int64_t *time, sgc_error *err)
{
    static const char *const shapes[] = {"0000",
                                         "0000-00",
                                         "0000-00-00",
                                         "0000-00-00T00:00",
                                         "0000-00-00T00:00Z",
                                         "0000-00-00T00:00:00",
                                         "0000-00-00T00:00:00Z"};
    int year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0;
    bool good = false;
    for (size_t i = 0; !good && i < sizeof shapes / sizeof *shapes; i++)
        good = has_shape(text, shapes[i]);
    if (good)
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second);
    if (!good || year < 1 || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 59)
        return sgc_fail(err, SGC_INVALID,
                        "\"%.40s\" is no time: write it like 2026-03-01 or 2026-03-01T12:00:00Z",
                        text);
    struct tm date = {.tm_year = year - 1900,
                      .tm_mon = month - 1,
                      .tm_mday = day,
                      .tm_hour = hour,
                      .tm_min = minute,
                      .tm_sec = second};
    *time = timegm(&date);
    return SGC_OK;
}

sgc_status sgc_duration_parse(const char *text, sgc_duration *duration, sgc_error *err)
{
    static const struct {
        const char *before, *behind;
        sgc_duration unit;
    } kinds[] = {{"P", "Y", {12, 0}},
                 {"P", "M", {1, 0}},
                 {"P", "D", {0, SECONDS_PER_DAY}},
                 {"PT", "H", {0, 3600}}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t start = strlen(kinds[i].before);
        if (strncmp(text, kinds[i].before, start) != 0 || text[start] < '0' || text[start] > '9')
            continue;
        char *end;
        const long count = strtol(text + start, &end, 10);
        if (strcmp(end, kinds[i].behind) != 0 || count < 1 || count > LONGEST_COUNT)
            continue;
        *duration = (sgc_duration){kinds[i].unit.months * count, kinds[i].unit.seconds * count};
        return SGC_OK;
    }
    return sgc_fail(err, SGC_INVALID, "must be a positive duration like P1Y, P1M, P1D or PT1H");
}

int64_t sgc_calendar_add(int64_t time, sgc_duration duration, int64_t count)
{
    if (duration.months == 0)
        return time + duration.seconds * count;
    struct tm date;
    const time_t start = time;
    gmtime_r(&start, &date);
    const int64_t months = date.tm_year * (int64_t)12 + date.tm_mon + duration.months * count;
    const int year = (int)(months / 12 - (months % 12 < 0));
    const int month = (int)(months - year * (int64_t)12);
    const int last = days_of_month(year + 1900, month + 1);
    date.tm_year = year;
    date.tm_mon = month;
    if (date.tm_mday > last)
        date.tm_mday = last;
    return timegm(&date);
}

sgc_duration sgc_calendar_between(int64_t start, int64_t end)
{
    struct tm from, to;
    const time_t start_time = start, end_time = end;
    gmtime_r(&start_time, &from);
    gmtime_r(&end_time, &to);
    const sgc_duration months = {
        (to.tm_year - from.tm_year) * (int64_t)12 + to.tm_mon - from.tm_mon, 0};
    if (months.months != 0 && sgc_calendar_add(start, months, 1) == end)
        return months;
    return (sgc_duration){0, end - start};
}
