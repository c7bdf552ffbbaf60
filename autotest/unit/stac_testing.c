#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/shared_data.h"
#include "autotest/unit/stac_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const sgc_definition *stac_definition(const char *crs, const double transform[6], int64_t width,
                                      int64_t height, const char *const *assets)
{
    static sgc_definition definition;
    static sgc_band bands[4];
    static char type[] = "float32", id[] = "test";
    memset(bands, 0, sizeof bands);
    size_t count = 0;
    for (; assets[count] != NULL; count++)
        bands[count] = (sgc_band){.name = (char *)assets[count],
                                  .data_type = type,
                                  .type = GDT_Float32,
                                  .asset = (char *)assets[count],
                                  .source_band = 1};
    definition = (sgc_definition){
        .id = id,
        .crs = (char *)crs,
        .grid = {.crs = crs, .width = width, .height = height},
        .band_count = count,
        .bands = bands,
    };
    memcpy(definition.grid.transform, transform, sizeof definition.grid.transform);
    return &definition;
}

cJSON *stac_document(const char *path)
{
    char name[256];
    snprintf(name, sizeof name, "data/stac/%s", path);
    return shared_json(name);
}

cJSON *stac_at(cJSON *json, ...)
{
    va_list keys;
    va_start(keys, json);
    for (const char *key; (key = va_arg(keys, const char *)) != NULL;) {
        json = *key >= '0' && *key <= '9' ? cJSON_GetArrayItem(json, atoi(key))
                                          : cJSON_GetObjectItemCaseSensitive(json, key);
        assert_non_null(json);
    }
    va_end(keys);
    return json;
}
