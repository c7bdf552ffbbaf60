#include "autotest/unit/definition_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

const char good_definition[] =
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": \"EPSG:3413\", "
    "\"proj:transform\": [32, 0, -4000096, 0, -32, 4100096], \"proj:shape\": [1000, 2000], "
    "\"chunk_shape\": [100, 200], \"bands\": [{\"name\": \"dem\", \"data_type\": \"float32\"}], "
    "\"source\": {\"kind\": \"stac\", \"api\": \"https://a.example/\", \"collection\": \"c\"}}";

void edit_definition(const char *document, const char *part, const char *by,
                     char out[DOCUMENT_SIZE])
{
    const char *at = strstr(document, part);
    assert_non_null(at);
    const int size = snprintf(out, DOCUMENT_SIZE, "%.*s%s%s", (int)(at - document), document, by,
                              at + strlen(part));
    assert_true(size < DOCUMENT_SIZE);
}

sgc_definition *parsed_definition(const char *text)
{
    sgc_definition *definition = NULL;
    sgc_error error = {""};
    if (sgc_definition_parse(text, "good.json", NULL, &definition, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return definition;
}

void assert_refused(const char *text, char *const *parameters, const char *message)
{
    sgc_definition *definition = NULL;
    sgc_error error = {""};
    assert_int_not_equal(sgc_definition_parse(text, "bad.json", parameters, &definition, &error),
                         SGC_OK);
    assert_null(definition);
    if (strncmp(error.message, "bad.json:", 9) != 0 || strstr(error.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    assert_null(strstr(error.message, "s3cret"));
}
