/* Definitions: what is refused, with which words and where; what may differ (datasets guide 6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/registry.h"
#include "datasets/source.h"

static const char good[] =
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": \"EPSG:3413\", "
    "\"proj:transform\": [32, 0, -4000096, 0, -32, 4100096], \"proj:shape\": [1000, 2000], "
    "\"chunk_shape\": [100, 200], \"bands\": [{\"name\": \"dem\", \"data_type\": \"float32\"}], "
    "\"source\": {\"kind\": \"stac\", \"api\": \"https://a.example/\", \"collection\": \"c\"}}";

/* Gives `good` with one part replaced. */
static void edit(const char *part, const char *by, char out[2048])
{
    const char *at = strstr(good, part);
    assert_non_null(at);
    snprintf(out, 2048, "%.*s%s%s", (int)(at - good), good, by, at + strlen(part));
}

static void test_good_definition(void **state)
{
    (void)state;
    sgc_definition *d = NULL;
    sgc_error error = {""};
    assert_int_equal(sgc_definition_parse(good, "good.json", &d, &error), SGC_OK);
    assert_string_equal(d->id, "x");
    assert_int_equal(d->grid.width, 2000);
    assert_int_equal(d->grid.height, 1000);
    assert_int_equal(d->chunk_width, 200);
    assert_int_equal(d->chunk_height, 100);
    assert_true(isnan(d->bands[0].nodata));
    assert_string_equal(d->bands[0].asset, "dem");
    assert_int_equal(d->composite, SGC_COMPOSITE_FIRST);
    sgc_definition_free(d);
}

static void test_refused_with_pointer(void **state)
{
    (void)state;
    static const struct {
        const char *part, *by, *message;
    } cases[] = {
        {"\"version\": \"1\"", "\"version\": \"2\"",
         "/version: \"2\" is not supported (this build reads \"1\")"},
        {"\"bands\": [{\"name\": \"dem\", \"data_type\": \"float32\"}], ", "", "/bands: required"},
        {"\"chunk_shape\"", "\"chunk_size\"",
         "/chunk_size: unknown key (did you mean chunk_shape?)"},
        {"\"proj:shape\": [1000, 2000], ", "",
         "/proj:transform: give proj:transform and proj:shape, or proj:bbox and resolution"},
        {"[32, 0, -4000096, 0, -32, 4100096]", "[32, 0, -4000096, 0, 32, 4100096]",
         "/proj:transform: only north-up grids (b = d = 0, a > 0, e < 0)"},
        {"[100, 200]", "[3600, 600000]", "/chunk_shape: "},
        {"[100, 200]", "[65536, 65536]", "/chunk_shape: 65536 x 65536 x 8 bytes exceeds 2 GiB"},
        {"EPSG:3413", "EPSG:99999", "/proj:code: unknown CRS \"EPSG:99999\""},
        {"\"float32\"", "\"uint8\", \"nodata\": -9999",
         "/bands/0/nodata: -9999 does not fit uint8"},
        {"\"float32\"", "\"uint8\"", "/bands/0/nodata: required"},
        {"\"float32\"", "\"complex64\"", "/bands/0/data_type: "},
        {"{\"name\": \"dem\", \"data_type\": \"float32\"}",
         "{\"name\": \"dem\", \"data_type\": \"float32\"}, {\"name\": \"dem\", \"data_type\": "
         "\"float32\"}",
         "/bands/1/name: \"dem\" is there twice"},
        {"\"name\": \"dem\"", "\"name\": \"../dem\"", "/bands/0/name: "},
        {"\"collection\"", "\"asset_type\"", "/source/asset_type: unknown key"},
        {"\"stac\"", "\"magic\"", "/source/kind: kind \"magic\""},
        {"\"id\": \"x\"", "\"id\": \"x\", \"time\": {}", "/time: not supported by this build"},
        {"\"id\": \"x\"", "\"id\": \"../x\"", "/id: "},
        {"{\"type\"", "{\n,\"type\"", "bad.json:2: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        sgc_definition *d = NULL;
        sgc_error error = {""};
        edit(cases[i].part, cases[i].by, text);
        assert_int_not_equal(sgc_definition_parse(text, "bad.json", &d, &error), SGC_OK);
        assert_null(d);
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i].message);
        assert_int_equal(strncmp(error.message, "bad.json", 8), 0);
    }
}

static void test_foreign_prefixes_are_kept(void **state)
{
    (void)state;
    char text[2048];
    sgc_definition *d = NULL;
    edit("\"id\": \"x\"", "\"id\": \"x\", \"acme:note\": {\"a\": [1]}", text);
    assert_int_equal(sgc_definition_parse(text, "x", &d, NULL), SGC_OK);
    assert_non_null(strstr(d->text, "\"acme:note\":{\"a\":[1]}"));
    sgc_definition_free(d);
}

static void check_same(const char *part, const char *by, sgc_status wanted)
{
    char text[2048];
    sgc_definition *theirs, *mine;
    sgc_error error = {""};
    edit(part, by, text);
    assert_int_equal(sgc_definition_parse(good, "x", &theirs, NULL), SGC_OK);
    assert_int_equal(sgc_definition_parse(text, "x", &mine, NULL), SGC_OK);
    assert_int_equal(sgc_definition_check_same(theirs, mine, &error), wanted);
    assert_int_equal(sgc_definition_check_same(mine, theirs, NULL), wanted);
    sgc_definition_free(theirs);
    sgc_definition_free(mine);
}

static void test_what_may_differ(void **state)
{
    (void)state;
    check_same("https://a.example/", "https://b.example/", SGC_OK);
    check_same("\"id\": \"x\"", "\"id\": \"x\", \"title\": \"X\"", SGC_OK);
    check_same("\"collection\": \"c\"", "\"collection\": \"d\"", SGC_INVALID);
    check_same("\"data_type\": \"float32\"", "\"data_type\": \"float64\"", SGC_INVALID);
    check_same("\"data_type\": \"float32\"", "\"data_type\": \"float32\", \"source_nodata\": -1",
               SGC_INVALID);
    check_same("[1000, 2000]", "[1001, 2000]", SGC_INVALID);
}

static void test_builtin_definitions_are_good(void **state)
{
    (void)state;
    size_t count = 0;
    for (const sgc_builtin_definition *b = sgc_builtin_definitions; b->id != NULL; b++, count++) {
        sgc_definition *d = NULL;
        sgc_source *source = NULL;
        sgc_error error = {""};
        if (sgc_registry_find(b->id, &d, &error) != SGC_OK)
            fail_msg("%s", error.message);
        assert_string_equal(d->id, b->id);
        const sgc_source_options options = {0};
        assert_int_equal(sgc_source_new(d, d->source, &options, &source, &error), SGC_OK);
        sgc_source_free(source);
        sgc_definition_free(d);
    }
    assert_true(count >= 2);
}

static void test_unknown_dataset_names_the_nearest(void **state)
{
    (void)state;
    sgc_definition *d = NULL;
    sgc_error error = {""};
    assert_int_equal(sgc_registry_find("arcticdem32", &d, &error), SGC_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean ArcticDEM32m?"));
    assert_int_equal(sgc_registry_find("ARCTICDEM32M", &d, &error), SGC_OK);
    sgc_definition_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_definition),
        cmocka_unit_test(test_refused_with_pointer),
        cmocka_unit_test(test_foreign_prefixes_are_kept),
        cmocka_unit_test(test_what_may_differ),
        cmocka_unit_test(test_builtin_definitions_are_good),
        cmocka_unit_test(test_unknown_dataset_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
