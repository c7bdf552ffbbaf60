#include "gdal_sgc/time_text.h"

#include <ogr_core.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/clock.h"

enum { SECOND = 1000000 }; /* microseconds */

sgc_status sgc_time_parse(const char *text, uint64_t *time, sgc_error *err)
{
    enum { UTC_FLAG = 100, QUARTER = 15 * 60 };
    OGRField field;
    if (strlen(text) < sizeof "2026-03-01" - 1 || !OGRParseDate(text, &field, 0))
        return sgc_fail(err, SGC_INVALID,
                        "\"%.64s\" is no time: write it like 2026-03-01T12:00:00Z", text);
    struct tm date = {.tm_year = field.Date.Year - 1900,
                      .tm_mon = field.Date.Month - 1,
                      .tm_mday = field.Date.Day,
                      .tm_hour = field.Date.Hour,
                      .tm_min = field.Date.Minute};
    int64_t seconds = timegm(&date);
    if (field.Date.TZFlag > 1)
        seconds -= (field.Date.TZFlag - UTC_FLAG) * QUARTER;
    if (seconds < 0)
        return sgc_fail(err, SGC_INVALID, "%.64s lies before 1970", text);
    *time = (uint64_t)seconds * SECOND + (uint64_t)((double)field.Date.Second * SECOND);
    return SGC_OK;
}

sgc_status sgc_age_parse(const char *text, uint64_t *time, sgc_error *err)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'d', 24 * 3600}, {'h', 3600}, {'m', 60}};
    char *end;
    const unsigned long long count = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const uint64_t now = sgc_clock_now(), unit = units[i].seconds * SECOND;
        if (*text < '0' || *text > '9' || end[0] != units[i].unit || end[1] != '\0')
            continue;
        *time = count < now / unit ? now - count * unit : 0;
        return SGC_OK;
    }
    if (sgc_time_parse(text, time, NULL) == SGC_OK)
        return SGC_OK;
    return sgc_fail(err, SGC_INVALID,
                    "\"%.64s\" is no time and no age: write it like 2026-03-01, "
                    "2026-03-01T12:00:00Z, 30d, 12h or 10m",
                    text);
}
