#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/earthengine_testing.h"

#include <cpl_string.h>
#include <stdio.h>
#include <string.h>

/* The time axis of so many years from 2019 on. */
static void print_years(size_t count, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), size - strlen(text), "%s\"%zu-01-01\"%s",
                 i == 0 ? "\"time\": {\"values\": [" : ", ", 2019 + i,
                 i + 1 == count ? "]}, " : "");
}

sgc_status parse_definition(const char *grid, const char *bands, const char *type,
                            const char *source, size_t years, sgc_definition **out, sgc_error *err)
{
    char text[2048], list[1024] = "", time[256];
    char **names = CSLTokenizeString2(bands, " ", 0);
    for (int i = 0; names[i] != NULL; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list),
                 "%s{\"name\": \"%s\", \"data_type\": %s}", i > 0 ? ", " : "", names[i], type);
    CSLDestroy(names);
    print_years(years, time, sizeof time);
    snprintf(text, sizeof text,
             "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": "
             "\"EPSG:4326\", %s, %s\"bands\": [%s], \"source\": {\"kind\": \"earthengine\", %s}}",
             grid, time, list, source);
    return sgc_definition_parse(text, "x.json", NULL, out, err);
}

sgc_definition *make_definition(const char *grid, const char *bands, const char *type,
                                const char *source, size_t years)
{
    sgc_definition *d = NULL;
    sgc_error error = {""};
    if (parse_definition(grid, bands, type, source, years, &d, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return d;
}
