#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/earthengine_testing.h"

#include <cpl_string.h>
#include <stdio.h>
#include <string.h>

sgc_status parse_definition(const char *grid, const char *bands, const char *type,
                            const char *source, sgc_definition **out, sgc_error *err)
{
    char text[8192], list[6144] = "";
    char **names = CSLTokenizeString2(bands, " ", 0);
    for (int i = 0; names[i] != NULL; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list),
                 "%s{\"name\": \"%s\", \"data_type\": %s}", i > 0 ? ", " : "", names[i], type);
    CSLDestroy(names);
    snprintf(text, sizeof text,
             "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": "
             "\"EPSG:4326\", %s, \"bands\": [%s], \"source\": {\"kind\": \"earthengine\", %s}}",
             grid, list, source);
    return sgc_definition_parse(text, "x.json", NULL, out, err);
}

void set_years(sgc_definition *d, size_t count)
{
    static const int64_t starts[] = {1546300800, 1577836800, 1609459200, 1640995200, 1672531200};
    d->time.count = count;
    d->time.starts = (int64_t *)starts;
    d->time.ends = (int64_t *)starts + 1;
}

sgc_definition *make_definition(const char *grid, const char *bands, const char *type,
                                const char *source, size_t years)
{
    sgc_definition *d = NULL;
    sgc_error error = {""};
    if (parse_definition(grid, bands, type, source, &d, &error) != SGC_OK)
        fail_msg("%s", error.message);
    set_years(d, years);
    return d;
}

void free_definition(sgc_definition *d)
{
    d->time = (sgc_time_axis){0};
    sgc_definition_free(d);
}

sgc_definition *make_tctrend(void)
{
    return make_definition(
        "\"proj:transform\": [0.00026949458523585647, 0, -180.00001488697754, 0, "
        "-0.00026949458523585647, 90.00014219078139], \"proj:shape\": [667918, 1335834]",
        TREND, "\"uint8\", \"nodata\": 0",
        "\"asset\": \"projects/ee-ingmarnitze/assets/TCTrend_SR_2005-2024_TCVIS\", "
        "\"sentinel\": -1",
        0);
}
