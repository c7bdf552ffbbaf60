#include "autotest/unit/shared_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

const char *shared_path(const char *name)
{
    static char path[1024];
    const char *source = getenv("SGC_SOURCE_DIR"), *shared = getenv("SGC_SHARED");
    if (shared != NULL)
        snprintf(path, sizeof path, "%s/%s", shared, name);
    else
        snprintf(path, sizeof path, "%s/../shared/%s", source != NULL ? source : ".", name);
    return path;
}

cJSON *shared_json(const char *name)
{
    static char text[1 << 20];
    FILE *file = fopen(shared_path(name), "rb");
    if (file == NULL) {
        print_message("%s is missing: the test is skipped\n", shared_path(name));
        skip();
    }
    const size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    cJSON *json = cJSON_ParseWithLength(text, size);
    assert_non_null(json);
    return json;
}
