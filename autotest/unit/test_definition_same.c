/* What may differ between the definition in a cube and the one it is loaded with (architecture
 * 6.16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "autotest/unit/definition_testing.h"

#define HEAD                                                                                  \
    "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"x\", \"proj:code\": "          \
    "\"EPSG:3413\", \"proj:transform\": [32, 0, -4000000, 0, -32, 4100000], \"proj:shape\": " \
    "[1000, 2000], \"time\": {\"values\": [\"2016\", \"2017\"]}, \"bands\": [{\"name\": "     \
    "\"dem\", \"data_type\": \"int16\", \"nodata\": -1, \"categories\": {\"1\": \"Sea\"}}], " \
    "\"levels\": [{\"from\": 8, \"source\": {\"kind\": \"gdal\", \"dataset\": \"coarse\"}}], "

static const char stac[] = HEAD
    "\"source\": {\"kind\": \"stac\", \"api\": \"https://a.example/\", \"collection\": \"c\", "
    "\"query\": {\"op\": \"<\"}, \"tile\": {\"origin\": [-4000000, 4000000], \"size\": [32000, "
    "32000]}, \"id\": \"{row}_{col}_{t_year}\"}}";
static const char tiles[] = HEAD
    "\"source\": {\"kind\": \"tiles\", \"href\": \"https://a.example/v1/{row}_{col}_{t_year}\", "
    "\"tile\": {\"origin\": [-4000000, 4000000], \"size\": [32000, 32000]}}}";
static const char gdal[] = HEAD "\"source\": {\"kind\": \"gdal\", \"dataset\": \"a\"}}";
static const char earthengine[] =
    HEAD "\"source\": {\"kind\": \"earthengine\", \"asset\": \"a\", \"sentinel\": -1}}";

/* Replaces a part of a document; `pointer` is what the refusal names, NULL where there is none. */
typedef struct change {
    const char *document, *part, *by, *pointer;
} change;

static void check_begun(const change *c, const int64_t *begun, size_t begun_count)
{
    char text[DOCUMENT_SIZE], wanted[160];
    sgc_error error = {""};
    edit_definition(c->document, c->part, c->by, text);
    sgc_definition *theirs = parsed_definition(c->document), *mine = parsed_definition(text);
    const sgc_status status = sgc_definition_check_same(theirs, mine, begun, begun_count, &error);
    snprintf(wanted, sizeof wanted, "(%s differs)", c->pointer != NULL ? c->pointer : "");
    if (c->pointer == NULL && status != SGC_OK)
        fail_msg("%s -> %s: %s", c->part, c->by, error.message);
    if (c->pointer != NULL && (status != SGC_INVALID || strstr(error.message, wanted) == NULL))
        fail_msg("%s -> %s: \"%s\" does not name %s", c->part, c->by, error.message, c->pointer);
    sgc_definition_free(theirs);
    sgc_definition_free(mine);
}

static void check(const change *c)
{
    check_begun(c, NULL, 0);
}

static void check_all(const change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(&changes[i]);
}
#define CHECK_ALL(changes) check_all(changes, sizeof changes / sizeof *changes)

#define WITH(key) "\"id\": \"x\"", "\"id\": \"x\", " key
#define IN_BAND(key) "\"nodata\": -1", "\"nodata\": -1, " key
#define IN_SOURCE(kind, key) "\"kind\": \"" kind "\"", "\"kind\": \"" kind "\", " key

static void test_what_may_differ(void **state)
{
    (void)state;
    static const change changes[] = {
        {stac, WITH("\"title\": \"X\""), NULL},
        {stac, WITH("\"license\": \"MIT\", \"sci:doi\": \"10/1\", \"acme:note\": 1"), NULL},
        {stac, WITH("\"bytes_per_pixel\": 3"), NULL},
        {stac, WITH("\"fill\": \"channels\""), NULL},
        {stac, WITH("\"composite\": \"first\""), NULL},
        {stac, IN_BAND("\"unit\": \"m\", \"description\": \"D\""), NULL},
        {stac, IN_BAND("\"asset\": \"dem\", \"band\": 1"), NULL},
        {stac, IN_BAND("\"colors\": {\"1\": \"#000000\"}"), NULL},
        {stac, "\"Sea\"", "\"Ocean\"", NULL},
        {stac, "\"EPSG:3413\"", "\"WGS 84 / NSIDC Sea Ice Polar Stereographic North\"", NULL},
        {stac,
         "\"proj:transform\": [32, 0, -4000000, 0, -32, 4100000], \"proj:shape\": [1000, 2000]",
         "\"proj:bbox\": [-4000000, 4068000, -3936000, 4100000], \"resolution\": 32", NULL},
        {stac, "https://a.example/", "https://b.example/api/", NULL},
        {stac, "[32000, 32000]", "[16000, 16000]", NULL},
        {stac, "{row}_{col}_", "{col}_{row}_", NULL},
        {stac, IN_SOURCE("stac", "\"items\": \"https://a.example/{id}\""), NULL},
        {stac, IN_SOURCE("stac", "\"index\": {\"href\": \"https://a.example/\"}"), NULL},
        {stac, IN_SOURCE("stac", "\"limit\": 5, \"retries\": 1, \"max_concurrency\": 2"), NULL},
        {stac, IN_SOURCE("stac", "\"headers\": {\"A\": \"b\"}, \"missing_status\": [403]"), NULL},
        {stac, IN_SOURCE("stac", "\"href\": \"s3\", \"sign\": \"none\""), NULL},
        {tiles, "https://a.example/", "https://mirror.example/", NULL},
        {tiles, IN_SOURCE("tiles", "\"missing\": \"error\", \"access\": \"whole\""), NULL},
        {earthengine, IN_SOURCE("earthengine", "\"url\": \"https://b.example/\""), NULL},
        {earthengine, IN_SOURCE("earthengine", "\"max_request_bytes\": 1000000"), NULL},
        {stac, "[\"2016\", \"2017\"]", "[\"2016\", \"2017\", \"2018\"]", NULL},
        {stac, "\"levels\": [",
         "\"levels\": [{\"from\": 4, \"source\": {\"kind\": \"gdal\", "
         "\"dataset\": \"b\"}}, ",
         NULL},
    };
    CHECK_ALL(changes);
}

static void test_what_mixes_products(void **state)
{
    (void)state;
    static const change changes[] = {
        {stac, "\"id\": \"x\"", "\"id\": \"y\"", "/id"},
        /* The step 2017 would end elsewhere. */
        {stac, "[\"2016\", \"2017\"]", "[\"2016\", \"2017\", \"2018-07\"]", "/time"},
        {stac, "EPSG:3413", "EPSG:3995", "/proj:code"},
        {stac, "-4000000, 0, -32", "-4000032, 0, -32", "/proj:transform"},
        {stac, "[1000, 2000]", "[1001, 2000]", "/proj:shape"},
        {stac, WITH("\"composite\": \"last\""), "/composite"},
        {stac, WITH("\"resampling\": \"cubic\""), "/resampling"},
        {stac, "\"name\": \"dem\"", "\"name\": \"ortho\", \"asset\": \"dem\"", "/bands/0/name"},
        {stac, "\"int16\"", "\"int32\"", "/bands/0/data_type"},
        {stac, "\"nodata\": -1", "\"nodata\": -2", "/bands/0/nodata"},
        {stac, IN_BAND("\"asset\": \"ortho\""), "/bands/0/asset"},
        {stac, IN_BAND("\"band\": 2"), "/bands/0/band"},
        {stac, IN_BAND("\"source_nodata\": 0"), "/bands/0/source_nodata"},
        {stac, IN_BAND("\"raster:scale\": 0.1"), "/bands/0/raster:scale"},
        {stac, IN_BAND("\"resampling\": \"average\""), "/bands/0/resampling"},
        {stac, "}}], \"levels\"", "}}, {\"name\": \"b\", \"data_type\": \"bool\"}], \"levels\"",
         "/bands"},
        {stac, "[\"2016\", \"2017\"]", "[\"2015\", \"2016\"]", "/time"},
        {stac, "[\"2016\", \"2017\"]", "[\"2016\"], \"step\": \"P1Y\"", "/time"},
        {stac, "[\"2016\", \"2017\"]", "[\"2016\", \"2017\"], \"cell\": \"instant\"", "/time"},
        {stac, "\"collection\": \"c\"", "\"collection\": \"d\"", "/source/collection"},
        {stac, "{\"op\": \"<\"}", "{\"op\": \">\"}", "/source/query"},
        {tiles, "/v1/", "/v2/", "/source/href"},
        {tiles, "[32000, 32000]", "[16000, 16000]", "/source/tile"},
        {tiles, IN_SOURCE("tiles", "\"buffer\": 1"), "/source/buffer"},
        {gdal, "\"dataset\": \"a\"", "\"dataset\": \"b\"", "/source/dataset"},
        {gdal, "\"dataset\": \"a\"", "\"dataset\": \"a\", \"dimension\": \"t\"",
         "/source/dimension"},
        {earthengine, "\"asset\": \"a\"", "\"asset\": \"b\"", "/source/asset"},
        {earthengine, "\"sentinel\": -1", "\"sentinel\": 0", "/source/sentinel"},
        {earthengine, IN_SOURCE("earthengine", "\"reducer\": \"median\""), "/source/reducer"},
        {gdal, "\"source\": {\"kind\": \"gdal\", \"dataset\": \"a\"}",
         "\"source\": {\"kind\": \"synthetic\"}", "/source/kind"},
        {stac, "\"coarse\"", "\"other\"", "/levels/0/source/dataset"},
        {stac, "\"from\": 8", "\"from\": 16", "/levels"},
    };
    CHECK_ALL(changes);
}

static void test_axes_that_do_not_grow(void **state)
{
    (void)state;
    char fixed[DOCUMENT_SIZE];
    edit_definition(stac, "[\"2016\", \"2017\"]", "[\"2016\", \"2017\"], \"growable\": false",
                    fixed);
    const change grown = {fixed, "[\"2016\", \"2017\"]", "[\"2016\", \"2017\", \"2018\"]", "/time"};
    check(&grown);
}

/* Without a collection, the template of the items is what names the product. */
static void test_catalogues_without_collection(void **state)
{
    (void)state;
    static const char document[] = HEAD
        "\"source\": {\"kind\": \"stac\", \"items\": \"https://a.example/v1/{id}\", \"index\": "
        "{\"href\": \"https://a.example/index\"}}}";
    static const change changes[] = {
        {document, "https://a.example/v1/", "https://b.example/v1/", NULL},
        {document, "https://a.example/v1/", "https://a.example/v2/", "/source/items"},
    };
    CHECK_ALL(changes);
}

/* A level that the cube has begun stays with its source. */
static void test_levels_that_are_begun(void **state)
{
    (void)state;
    static const int64_t begun[] = {4, 16};
    static const char by[] =
        "\"levels\": [{\"from\": 2, \"source\": {\"kind\": \"gdal\", \"dataset\": \"b\"}}, ";
    static const char finer[] = "\"dataset\": \"coarse\"}}, {\"from\": 16, \"source\": {\"kind\": "
                                "\"gdal\", \"dataset\": \"b\"}}";
    static const change changed = {gdal, "\"levels\": [", by, "/levels/0/source/dataset"};
    static const change later = {gdal, "\"dataset\": \"coarse\"}}", finer,
                                 "/levels/1/source/dataset"};
    static const change added = {gdal, "\"levels\": [", by, NULL};
    static const change of_the_same = {
        gdal, "\"levels\": [",
        "\"levels\": [{\"from\": 2, \"source\": {\"kind\": \"gdal\", \"dataset\": \"a\"}}, ", NULL};
    check_begun(&changed, begun, 1);
    check_begun(&later, begun, 2);
    check_begun(&added, begun + 1, 1);
    check_begun(&of_the_same, begun, 2);
}

/* Others than the one that is loaded may have other sources. */
static void test_one_level(void **state)
{
    (void)state;
    char edited[DOCUMENT_SIZE];
    sgc_definition *theirs, *mine;
    edit_definition(gdal, "\"dataset\": \"coarse\"", "\"dataset\": \"other\"", edited);
    assert_int_equal(sgc_definition_parse(gdal, "test", NULL, &theirs, NULL), SGC_OK);
    assert_int_equal(sgc_definition_parse(edited, "test", NULL, &mine, NULL), SGC_OK);
    assert_int_equal(sgc_definition_check_level(theirs, mine, 1, NULL), SGC_OK);
    assert_int_equal(sgc_definition_check_level(theirs, mine, theirs->levels[0].from / 2, NULL),
                     SGC_OK);
    assert_int_equal(sgc_definition_check_level(theirs, mine, theirs->levels[0].from, NULL),
                     SGC_INVALID);
    sgc_definition_free(theirs);
    sgc_definition_free(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_may_differ),
        cmocka_unit_test(test_what_mixes_products),
        cmocka_unit_test(test_axes_that_do_not_grow),
        cmocka_unit_test(test_catalogues_without_collection),
        cmocka_unit_test(test_levels_that_are_begun),
        cmocka_unit_test(test_one_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
