/* Definitions: what they mean, and what is refused, with which words and where (datasets guide 6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autotest/unit/definition_testing.h"

static void test_good_definition(void **state)
{
    (void)state;
    sgc_definition *d = parsed_definition(good_definition);
    assert_string_equal(d->id, "x");
    assert_string_equal(d->crs, "EPSG:3413");
    assert_int_equal(d->grid.width, 2000);
    assert_int_equal(d->grid.height, 1000);
    assert_int_equal(d->chunk_width, 200);
    assert_int_equal(d->chunk_height, 100);
    assert_int_equal(d->time.count, 0);
    assert_int_equal(d->composite, SGC_COMPOSITE_FIRST);
    assert_int_equal(d->resampling, SGC_RESAMPLE_NEAREST);
    assert_false(d->fill_channels);
    assert_null(d->warning);
    assert_true(isnan(d->bands[0].nodata));
    assert_string_equal(d->bands[0].asset, "dem");
    assert_int_equal(d->bands[0].source_band, 1);
    assert_int_equal(d->bands[0].resampling, SGC_RESAMPLE_AVERAGE);
    sgc_definition_free(d);
}

/* `good_definition` with one part replaced is refused with this message. */
typedef struct bad_case {
    const char *part, *by, *message;
} bad_case;

static void check_cases(const bad_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[DOCUMENT_SIZE];
        edit_definition(good_definition, cases[i].part, cases[i].by, text);
        assert_refused(text, NULL, cases[i].message);
    }
}
#define CHECK_CASES(cases) check_cases(cases, sizeof cases / sizeof *cases)

static void test_bad_documents(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {"{\"type\"", "{\n,\"type\"", "bad.json:2: not valid JSON, near column 2"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"id\": \"y\"", "/id: is there twice"},
        {"\"float32\"", "\"float32\", \"name\": \"b\"", "/bands/0/name: is there twice"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"title\": \"\xe9\"", "is not UTF-8"},
        {"\"type\": \"CubeDataset\", ", "", "/type: required"},
        {"\"CubeDataset\"", "\"Collection\"",
         "/type: \"Collection\" is not supported (this build reads \"CubeDataset\")"},
        {"\"version\": \"1\"", "\"version\": \"2\"",
         "/version: \"2\" is not supported (this build reads \"1\")"},
        {"\"version\": \"1\"", "\"version\": 1", "/version: must be the text \"1\""},
        {"\"chunk_shape\"", "\"chunk_size\"",
         "/chunk_size: unknown key (did you mean chunk_shape?)"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"proj:epsg\": 3413", "/proj:epsg: unknown key"},
        {"\"id\": \"x\"", "\"id\": \"../x\"", "/id: "},
        {"\"id\": \"x\"", "\"id\": \"x.json\"", "/id: must not look like the name of a file"},
        {"\"id\": \"x\", ", "", "/id: required"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"title\": 1", "/title: must be a text"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"sci:doi\": 1", "/sci:doi: must be a text"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"composite\": \"mean\"",
         "/composite: must be one of \"first\", \"last\", \"min\", \"max\""},
        {"\"id\": \"x\"", "\"id\": \"x\", \"fill\": \"some\"", "/fill: must be one of"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"resampling\": \"lanczos\"", "/resampling: must be"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"bytes_per_pixel\": 0", "/bytes_per_pixel: must be"},
    };
    CHECK_CASES(cases);
    assert_refused("[1]", NULL, "must be a JSON object");
}

static void test_bad_grids(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {"\"proj:shape\": [1000, 2000], ", "",
         "/proj:transform: give proj:transform and proj:shape, or proj:bbox and resolution"},
        {"\"proj:shape\"", "\"resolution\": 1, \"proj:shape\"", "/proj:transform: give"},
        {"\"proj:shape\"", "\"proj:bbox\": [0, 0, 9, 9], \"resolution\": 1, \"proj:shape\"",
         "/proj:transform: give"},
        {"[32, 0, -4000096, 0, -32, 4100096]", "[32, 0, -4000096, 0, 32, 4100096]",
         "/proj:transform: only north-up grids (b = d = 0, a > 0, e < 0)"},
        {"[32, 0, -4000096, 0, -32, 4100096]", "[32, 1, -4000096, 0, -32, 4100096]",
         "/proj:transform: only north-up grids (b = d = 0, a > 0, e < 0)"},
        {"[32, 0, -4000096, 0, -32, 4100096]", "[32, 0, -4000096, 0, -32]",
         "/proj:transform: must be a list of 6 numbers"},
        {"[32, 0, -4000096, 0, -32, 4100096]", "[32, 0, 1e999, 0, -32, 4100096]",
         "/proj:transform: must be a list of 6 numbers"},
        {"[1000, 2000]", "[0, 2000]", "/proj:shape: must be two lengths"},
        {"[1000, 2000]", "[1000.5, 2000]", "/proj:shape: must be two lengths"},
        {"[1000, 2000]", "[1000, 3000000000]", "/proj:shape: must be two lengths"},
        {"[100, 200]", "[0, 200]", "/chunk_shape: "},
        {"[100, 200]", "[3600, 600000]", "/chunk_shape: "},
        {"[100, 200]", "[65536, 65536]", "/chunk_shape: 65536 x 65536 x 8 bytes exceeds 2 GiB"},
        {"EPSG:3413", "EPSG:99999", "/proj:code: unknown CRS \"EPSG:99999\""},
        {"EPSG:3413", "https://crs.example/", "/proj:code: unknown CRS"},
        {"\"proj:code\": \"EPSG:3413\", ", "", "/proj:code: required"},
    };
    CHECK_CASES(cases);
}

static void test_bad_bands(void **state)
{
    (void)state;
    static const char band[] = "{\"name\": \"dem\", \"data_type\": \"float32\"}";
    static const bad_case cases[] = {
        {"\"bands\": [{\"name\": \"dem\", \"data_type\": \"float32\"}], ", "", "/bands: required"},
        {"[{\"name\": \"dem\", \"data_type\": \"float32\"}]", "[]", "/bands: must be a list"},
        {band, "1", "/bands/0: must be an object"},
        {band,
         "{\"name\": \"a\", \"data_type\": \"bool\"}, {\"name\": \"b\", \"data_type\": "
         "\"uint8\", \"nodata\": -9999}",
         "/bands/1/nodata: -9999 does not fit uint8"},
        {band,
         "{\"name\": \"dem\", \"data_type\": \"bool\"}, {\"name\": \"dem\", \"data_type\": "
         "\"bool\"}",
         "/bands/1/name: \"dem\" is there twice"},
        {"\"float32\"", "\"uint8\"", "/bands/0/nodata: required"},
        {"\"float32\"", "\"uint8\", \"nodata\": 0.5", "/bands/0/nodata: 0.5 does not fit uint8"},
        {"\"float32\"", "\"uint8\", \"nodata\": \"nan\"", "/bands/0/nodata: must be a number"},
        {"\"float32\"", "\"float32\", \"nodata\": 1e39", "/bands/0/nodata: 1e+39 does not fit"},
        {"\"float32\"", "\"bool\", \"nodata\": 1", "/bands/0/nodata: 1 does not fit bool"},
        {"\"float32\"", "\"int64\", \"nodata\": 9223372036854775808",
         "/bands/0/nodata: 9223372036854775808 does not fit int64"},
        {"\"float32\"", "\"uint64\", \"nodata\": -1", "/bands/0/nodata: -1 does not fit uint64"},
        {"\"float32\"", "\"uint64\", \"nodata\": 18446744073709551616",
         "/bands/0/nodata: 18446744073709551616 does not fit uint64"},
        {"\"float32\"", "\"complex64\"", "/bands/0/data_type: data type \"complex64\" is not"},
        {"\"name\": \"dem\"", "\"name\": \"../dem\"", "/bands/0/name: letters"},
        {"\"name\": \"dem\"", "\"name\": \"x\"", "/bands/0/name: cubes use the name \"x\""},
        {"\"name\": \"dem\"", "\"title\": \"dem\"", "/bands/0/title: unknown key"},
        {"\"float32\"", "\"float32\", \"band\": 0", "/bands/0/band: must be an integer from 1"},
        {"\"float32\"", "\"float32\", \"band\": 1.5", "/bands/0/band: must be an integer"},
        {"\"float32\"", "\"float32\", \"source_nodata\": \"none\"", "/bands/0/source_nodata: must"},
        {"\"float32\"", "\"float32\", \"raster:scale\": 0", "/bands/0/raster:scale: must not be"},
        {"\"float32\"", "\"float32\", \"raster:bits\": 1", "/bands/0/raster:bits: unknown key"},
        {"\"float32\"", "\"float32\", \"statistics\": {\"minimum\": 1}",
         "/bands/0/statistics/maximum: required"},
        {"\"float32\"",
         "\"float32\", \"statistics\": {\"minimum\": 2, \"maximum\": 1, \"mean\": 1, \"stddev\": "
         "1}",
         "/bands/0/statistics: minimum must not be larger than maximum"},
        {"\"float32\"", "\"float32\", \"categories\": {\"1\": \"Sea\"}",
         "/bands/0/categories: only for integers"},
        {"\"float32\"", "\"uint8\", \"nodata\": 0, \"categories\": {\"256\": \"Sea\"}",
         "/bands/0/categories/256: the key must be a value of uint8"},
        {"\"float32\"", "\"uint8\", \"nodata\": 0, \"colors\": {\"1\": \"#12345\"}",
         "/bands/0/colors/1: must be a colour like \"#ffbb22\""},
        {"\"float32\"", "\"uint8\", \"nodata\": 0, \"colors\": {\"1\": \"#12345g\"}",
         "/bands/0/colors/1: must be a colour"},
    };
    CHECK_CASES(cases);
}

#define IN_SOURCE(text) "\"collection\": \"c\"", "\"collection\": \"c\", " text
#define SOURCE "{\"kind\": \"stac\", \"api\": \"https://a.example/\", \"collection\": \"c\"}"
#define TILES(url, more)                             \
    SOURCE, "{\"kind\": \"tiles\", \"href\": \"" url \
            "\", \"tile\": {\"origin\": [-4000096, 4068096], \"size\": [3200, 3200]}" more "}"

static void test_bad_sources(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {"\"source\": " SOURCE, "\"foo:source\": 1", "/source: required"},
        {SOURCE, "1", "/source: must be an object"},
        {"\"kind\": \"stac\", ", "", "/source/kind: required"},
        {"\"stac\"", "\"magic\"", "/source/kind: kind \"magic\" is not supported (known are stac"},
        {"\"collection\"", "\"colection\"",
         "/source/colection: unknown key (did you mean collection?)"},
        {IN_SOURCE("\"href\": \"ftp\""), "/source/href: must be one of \"https\", \"s3\""},
        {IN_SOURCE("\"asset\": \"a\""), "/source/asset: not allowed for kind \"stac\""},
        {IN_SOURCE("\"tile\": {\"origin\": [0, 0], \"size\": [1, 1]}"), "/source/id: required"},
        {IN_SOURCE("\"limit\": 0"), "/source/limit: must be a count from 1"},
        {IN_SOURCE("\"missing_status\": [200]"), "/source/missing_status: must be a list"},
        {IN_SOURCE("\"retries\": -1"), "/source/retries: must be a count"},
        {IN_SOURCE("\"items\": \"https://a.example/items/\""), "/source/items: does not use id"},
        {IN_SOURCE("\"index\": {\"member\": \"a\"}"), "/source/index/href: required"},
        {IN_SOURCE("\"index\": {\"href\": \"https://a.example/{config:KEY}/i.gpkg\"}"),
         "/source/index/href: "},
        {IN_SOURCE("\"index\": {\"href\": \"https://a.example/{col}.gpkg\"}"),
         "/source/index/href: has no fields"},
        {", \"collection\": \"c\"", "", "/source/collection: required"},
        {"\"api\": \"https://a.example/\", ", "", "/source/api: required"},
        {"https://a.example/", "ftp://a.example/", "/source/api: must begin with http://"},
        {"https://a.example/", "https://me:pass@a.example/",
         "/source/api: credentials belong in configuration options"},
        {"https://a.example/", "https://a.example/?a=b&token=abc",
         "/source/api: credentials belong in configuration options"},
        {IN_SOURCE("\"headers\": {\"Authorization\": \"Bearer abc\"}"),
         "/source/headers/Authorization: credentials belong in configuration options"},
        {IN_SOURCE("\"limit\": 10001"), "/source/limit: must be a count from 1 to 10000"},
        {IN_SOURCE("\"headers\": {\"X-Note\": \"a\\nb\"}"), "/source/headers/X-Note: must be one"},
        {TILES("https://a.example/{y_min}.tif", ""), "/source/href: does not use x_min/x_max/col"},
        {TILES("https://a.example/{col}.tif", ""), "/source/href: does not use y_min/y_max/row"},
        {TILES("https://a.example/{col}_{line}.tif", ""), "/source/href: "},
        {TILES("https://a.example/{col}_{row}_{t_year}.tif", ""),
         "/source/href: uses times, but the cube has no time axis"},
        {TILES("https://a.example/{col}_{row}.tif", ", \"id\": \"{col}_{id}\""),
         "/source/id: {id} and {asset} have no value here"},
        {TILES("https://a.example/{col}_{row}.tif", ", \"missing\": \"never\""),
         "/source/missing: must be one of"},
        {TILES("https://a.example/{col}_{row}.tif", ", \"proj:code\": \"EPSG:99999\""),
         "/source/proj:code: unknown CRS"},
        {SOURCE,
         "{\"kind\": \"tiles\", \"href\": \"https://a.example/\", \"tile\": {\"origin\": [0, 0]}}",
         "/source/tile/size: required"},
        {SOURCE, "{\"kind\": \"tiles\", \"href\": \"https://a.example/\"}",
         "/source/tile: required"},
        {SOURCE, "{\"kind\": \"gdal\"}", "/source/dataset: required"},
        {SOURCE, "{\"kind\": \"gdal\", \"dataset\": \"/vsicurl/https://me:pass@a.example/b\"}",
         "/source/dataset: credentials belong in configuration options"},
        {SOURCE, "{\"kind\": \"earthengine\"}", "/source/asset: required"},
        {SOURCE, "{\"kind\": \"earthengine\", \"asset\": \"a\", \"reducer\": \"mean\"}",
         "/source/reducer: must be one of"},
        {SOURCE, "{\"kind\": \"synthetic\", \"collection\": \"c\"}",
         "/source/collection: not allowed for kind \"synthetic\""},
    };
    CHECK_CASES(cases);
}

#define GDAL_SOURCE(more) SOURCE, "{\"kind\": \"gdal\", " more "}"
#define WITH_SECRET(text) IN_SOURCE("\"index\": {\"href\": \"https://a.example/i.gpkg?" text "\"}")
#define BELONG ": credentials belong in configuration options: write {config:NAME}"

/* Secrets in plain text, by the names that services have for them; no message quotes one. */
static void test_secrets_in_plain_text(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {WITH_SECRET("subscription-key=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("Subscription-Key=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("a=b&sas=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("code=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("AWSAccessKeyId=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("X-Amz-Security-Token=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("X-Amz-Credential=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("X-Goog-Signature=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("%74oken=s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("a={config:A}&token=s3cret"), "/source/index/href" BELONG},
        {IN_SOURCE("\"headers\": {\"Ocp-Apim-Subscription-Key\": \"s3cret\"}"),
         "/source/headers/Ocp-Apim-Subscription-Key" BELONG},
        {IN_SOURCE("\"headers\": {\"COOKIE\": \"s3cret\"}"), "/source/headers/COOKIE" BELONG},
        {IN_SOURCE("\"headers\": {\"X-Auth\": \"s3cret {config:A}\"}"),
         "/source/headers/X-Auth" BELONG},
        {IN_SOURCE("\"headers\": {\"X-Auth\": \"{config:A} s3cret\"}"),
         "/source/headers/X-Auth" BELONG},
        {IN_SOURCE("\"headers\": {\"X-Auth\": \"Bearer {config:A}s3cret\"}"),
         "/source/headers/X-Auth" BELONG},
        {IN_SOURCE("\"headers\": {\"X-Auth\": \"{config:A}:s3cret\"}"),
         "/source/headers/X-Auth" BELONG},
        {WITH_SECRET("token={config:A}s3cret"), "/source/index/href" BELONG},
        {WITH_SECRET("token={config:A}:s3cret&a=b"), "/source/index/href" BELONG},
        {GDAL_SOURCE("\"dataset\": \"PG:host=a user=b password=s3cret\""),
         "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"PG:host=a Password = 's3cret'\""), "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"ODBC:a;UID=b;PWD=s3cret\""), "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"<GDAL_WMS><UserPwd>s3cret</UserPwd></GDAL_WMS>\""),
         "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"/vsicurl?url=https%3A%2F%2Fa%2Fb%3Ftoken%3Ds3cret\""),
         "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"/vsicurl?header.Authorization=Bearer s3cret&url=a\""),
         "/source/dataset" BELONG},
        {GDAL_SOURCE("\"dataset\": \"a\", \"open_options\": [\"A=b\", \"API_KEY=s3cret\"]"),
         "/source/open_options/1" BELONG},
        {GDAL_SOURCE("\"dataset\": \"a\", \"open_options\": {\"UserPwd\": \"s3cret\"}"),
         "/source/open_options/UserPwd" BELONG},
        {GDAL_SOURCE("\"dataset\": \"a\", \"open_options\": {\"URL\": \"https://b?key=s3cret\"}"),
         "/source/open_options/URL" BELONG},
    };
    CHECK_CASES(cases);
}

static void test_no_secrets(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {WITH_SECRET("token={config:A}&Sas={config:B}"), NULL},
        {WITH_SECRET("collection=a&tokyo=b&codec=c&keys=d&design=e"), NULL},
        {IN_SOURCE("\"headers\": {\"Authorization\": \"Bearer {config:A}\", \"X-Monkeys\": "
                   "\"1\", \"X-Api-Key\": \"{config:B}\"}"),
         NULL},
        {GDAL_SOURCE("\"dataset\": \"PG:host=a user=b password='{config:A}'\""), NULL},
        {GDAL_SOURCE("\"dataset\": \"<GDAL_WMS><UserPwd>{config:A}</UserPwd></GDAL_WMS>\""), NULL},
        {GDAL_SOURCE("\"dataset\": \"a\", \"open_options\": [\"API_KEY={config:A}\", "
                     "\"OVERVIEW_LEVEL=0\"]"),
         NULL},
        {GDAL_SOURCE("\"dataset\": \"a\", \"open_options\": {\"UserPwd\": \"{config:A}\"}"), NULL},
        {GDAL_SOURCE(
             "\"dataset\": \"a\", \"open_options\": {\"UserPwd\": \"{config:A}:{config:B}\"}"),
         NULL},
        {GDAL_SOURCE("\"dataset\": \"PG:password={config:A}{config:B} dbname='b'\""), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DOCUMENT_SIZE];
        edit_definition(good_definition, cases[i].part, cases[i].by, text);
        sgc_definition_free(parsed_definition(text));
    }
}

static void test_times_need_templates_that_use_them(void **state)
{
    (void)state;
    char timed[DOCUMENT_SIZE], text[DOCUMENT_SIZE];
    edit_definition(good_definition, "\"id\": \"x\"",
                    "\"id\": \"x\", \"time\": {\"values\": [\"2020\", \"2021\"]}", timed);
    edit_definition(timed, TILES("https://a.example/{col}_{row}.tif", ""), text);
    assert_refused(text, NULL, "/source/href: does not use t_year/t_month/t_day");
    edit_definition(timed, TILES("https://a.example/{col}_{row}_{t_year}.tif", ""), text);
    sgc_definition_free(parsed_definition(text));
}

/* What has one name for two steps would be loaded for one of them and shown for both. */
static void test_templates_as_fine_as_the_steps(void **state)
{
    (void)state;
#define MONTHS(from, to) "\"start\": \"" from "\", \"end\": \"" to "\", \"step\": \"P1M\""
    static const struct {
        const char *axis, *source, *tiles, *refusal;
    } cases[] = {
        {MONTHS("2020-01", "2021-03"), TILES("https://a.example/{col}_{row}_{t_year}", ""),
         "/source/href: does not tell the time step 2020-02-01T00:00:00Z from another"},
        {MONTHS("2020-01", "2021-03"), TILES("https://a.example/{col}_{row}_{t_month}", ""),
         "/source/href: does not tell the time step 2021-01-01T00:00:00Z from another"},
        {MONTHS("2020-01", "2020-03"),
         TILES("https://a.example/{col}_{row}_{t_month}", ", \"id\": \"{t_year}_{col}_{row}\""),
         "/source/id: does not tell the time step 2020-02-01T00:00:00Z from another"},
        {"\"values\": [\"2020-01-01\", \"2020-01-01T12:00:00Z\"]",
         TILES("https://a.example/{col}_{row}_{t_year}-{t_month}-{t_day}", ""),
         "/source/href: does not tell the time step 2020-01-01T12:00:00Z from another"},
        {MONTHS("2020-01", "2021-03"), TILES("https://a.example/{col}_{row}_{t_year}{t_month}", ""),
         NULL},
        {MONTHS("2020-01", "2020-12"), TILES("https://a.example/{col}_{row}_{t_month}", ""), NULL},
        {"\"start\": \"2020-02-20\", \"end\": \"2020-03-10\", \"step\": \"P1D\"",
         TILES("https://a.example/{col}_{row}_{t_year}-{t_month}-{t_day}", ""), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char time[256], timed[DOCUMENT_SIZE], text[DOCUMENT_SIZE];
        snprintf(time, sizeof time, "\"id\": \"x\", \"time\": {%s}", cases[i].axis);
        edit_definition(good_definition, "\"id\": \"x\"", time, timed);
        edit_definition(timed, cases[i].source, cases[i].tiles, text);
        if (cases[i].refusal != NULL)
            assert_refused(text, NULL, cases[i].refusal);
        else
            sgc_definition_free(parsed_definition(text));
    }
}

/* One tile for the whole grid needs no fields; one off the grid's lattice is a warning. */
static void test_lattices(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE], other[DOCUMENT_SIZE];
    edit_definition(good_definition, TILES("https://a.example/one.tif", ""), text);
    edit_definition(text, "[3200, 3200]", "[64000, 32000]", other);
    sgc_definition *d = parsed_definition(other);
    assert_null(d->warning);
    sgc_definition_free(d);
    edit_definition(good_definition, TILES("https://a.example/{col}_{row}.tif", ""), text);
    edit_definition(text, "[-4000096,", "[-4000090,", other);
    d = parsed_definition(other);
    assert_non_null(strstr(d->warning, "good.json: /source/tile: tiles will be resampled"));
    sgc_definition_free(d);
}

static void test_levels(void **state)
{
    (void)state;
#define LEVELS(text) "\"id\": \"x\"", "\"id\": \"x\", \"levels\": [" text "]"
    static const bad_case cases[] = {
        {LEVELS("{\"source\": " SOURCE "}"), "/levels/0/from: required"},
        {LEVELS("{\"from\": 3, \"source\": " SOURCE "}"), "/levels/0/from: must be a power of two"},
        {LEVELS("{\"from\": 1, \"source\": " SOURCE "}"), "/levels/0/from: must be a power of two"},
        {LEVELS("{\"from\": 2}"), "/levels/0/source: required"},
        {LEVELS("{\"from\": 2, \"source\": {\"kind\": \"gdal\"}}"),
         "/levels/0/source/dataset: required"},
        {LEVELS("{\"from\": 4, \"source\": " SOURCE "}, {\"from\": 4, \"source\": " SOURCE "}"),
         "/levels/1/from: must be larger than the one before"},
        {LEVELS("{\"from\": 4, \"factor\": 4, \"source\": " SOURCE "}"), "/levels/0/factor: "},
    };
    CHECK_CASES(cases);
    char text[DOCUMENT_SIZE];
    edit_definition(
        good_definition,
        LEVELS("{\"from\": 2, \"source\": " SOURCE "}, {\"from\": 8, \"source\": " SOURCE "}"),
        text);
    sgc_definition *d = parsed_definition(text);
    assert_int_equal(d->level_count, 2);
    assert_int_equal(d->levels[1].from, 8);
    assert_string_equal(
        cJSON_GetStringValue(cJSON_GetObjectItem(d->levels[1].source, "collection")), "c");
    sgc_definition_free(d);
}

/* The nodata value of a band of such a type. */
static void check_nodata(const char *type, const char *nodata, const void *wanted, size_t size)
{
    char text[DOCUMENT_SIZE], by[128];
    unsigned char items[5 * 8];
    snprintf(by, sizeof by, "\"%s\", \"nodata\": %s", type, nodata);
    edit_definition(good_definition, "\"float32\"", by, text);
    sgc_definition *d = parsed_definition(text);
    assert_int_equal(GDALGetDataTypeSizeBytes(d->bands[0].type), size);
    sgc_band_fill_nodata(&d->bands[0], items, 5);
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(items + i * size, wanted, size);
    double value;
    GDALCopyWords(wanted, d->bands[0].type, 0, &value, GDT_Float64, 0, 1);
    assert_true(d->bands[0].nodata == value);
    sgc_definition_free(d);
}

static void test_nodata_is_exact(void **state)
{
    (void)state;
    check_nodata("uint8", "255", &(uint8_t){255}, 1);
    check_nodata("int16", "-32768", &(int16_t){-32768}, 2);
    check_nodata("uint16", "65535", &(uint16_t){65535}, 2);
    check_nodata("int32", "-2147483648", &(int32_t){INT32_MIN}, 4);
    check_nodata("uint32", "4294967295", &(uint32_t){UINT32_MAX}, 4);
    check_nodata("int64", "-9223372036854775807", &(int64_t){-INT64_MAX}, 8);
    check_nodata("int64", "9007199254740993", &(int64_t){9007199254740993}, 8);
    check_nodata("uint64", "18446744073709551615", &(uint64_t){UINT64_MAX}, 8);
    check_nodata("float32", "-9999", &(float){-9999}, 4);
    check_nodata("float32", "0.1", &(float){0.1F}, 4);
    check_nodata("float32", "-3.4028235e+38", &(float){-FLT_MAX}, 4);
    check_nodata("float64", "1e300", &(double){1e300}, 8);
}

static void test_types_that_need_a_later_gdal(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int version;
        const char *message;
    } types[] = {{"int8", GDAL_COMPUTE_VERSION(3, 7, 0), "int8 needs GDAL 3.7 or later"},
                 {"float16", GDAL_COMPUTE_VERSION(3, 11, 0), "float16 needs GDAL 3.11 or later"}};
    for (size_t i = 0; i < 2; i++) {
        char text[DOCUMENT_SIZE], by[64];
        snprintf(by, sizeof by, "\"%s\", \"nodata\": -128", types[i].type);
        edit_definition(good_definition, "\"float32\"", by, text);
        if (GDAL_VERSION_NUM < types[i].version)
            assert_refused(text, NULL, types[i].message);
        else
            sgc_definition_free(parsed_definition(text));
    }
}

static void test_categories(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE];
    edit_definition(good_definition, "\"float32\"",
                    "\"int16\", \"nodata\": 0, \"categories\": {\"20\": \"Sea\", \"-1\": "
                    "\"Land\"}, \"colors\": {\"20\": \"#0064C8\", \"3\": \"#fae6a0\"}",
                    text);
    sgc_definition *d = parsed_definition(text);
    const sgc_band *band = &d->bands[0];
    assert_int_equal(band->category_count, 3);
    assert_int_equal(band->categories[0].value, -1);
    assert_string_equal(band->categories[0].name, "Land");
    assert_false(band->categories[0].has_color);
    assert_int_equal(band->categories[1].value, 3);
    assert_null(band->categories[1].name);
    assert_string_equal(band->categories[2].name, "Sea");
    assert_memory_equal(band->categories[2].color, "\x00\x64\xc8", 3);
    assert_int_equal(band->resampling, SGC_RESAMPLE_NEAREST);
    sgc_definition_free(d);
}

static void test_wide_integers_are_copied(void **state)
{
    (void)state;
    static const char *const types[] = {"\"int64\", \"nodata\": 0", "\"uint64\", \"nodata\": 0"};
    for (size_t i = 0; i < 2; i++) {
        char text[DOCUMENT_SIZE];
        edit_definition(good_definition, "\"float32\"", types[i], text);
        sgc_definition *d = parsed_definition(text);
        assert_int_equal(d->bands[0].resampling, SGC_RESAMPLE_NEAREST);
        sgc_definition_free(d);
    }
}

static void test_keys_of_bands_and_rules(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE], other[DOCUMENT_SIZE];
    edit_definition(good_definition, "\"float32\"",
                    "\"float32\", \"unit\": \"m\", \"description\": \"D\", \"asset\": \"a\", "
                    "\"band\": 3, \"source_nodata\": \"nan\", \"raster:scale\": 0.5, "
                    "\"raster:offset\": -1, \"resampling\": \"mode\", \"statistics\": "
                    "{\"minimum\": 1, \"maximum\": 4, \"mean\": 2, \"stddev\": 3}",
                    text);
    edit_definition(text, "\"id\": \"x\"",
                    "\"id\": \"x\", \"composite\": \"max\", \"resampling\": \"cubic\", \"fill\": "
                    "\"channels\", \"bytes_per_pixel\": 1.5, \"license\": \"MIT\"",
                    other);
    sgc_definition *d = parsed_definition(other);
    const sgc_band *band = &d->bands[0];
    assert_string_equal(band->asset, "a");
    assert_string_equal(band->unit, "m");
    assert_int_equal(band->source_band, 3);
    assert_true(band->has_source_nodata && isnan(band->source_nodata));
    assert_true(band->has_scale && band->scale == 0.5 && band->offset == -1);
    assert_int_equal(band->resampling, SGC_RESAMPLE_MODE);
    assert_true(band->has_statistics && band->minimum == 1 && band->stddev == 3);
    assert_int_equal(d->composite, SGC_COMPOSITE_MAX);
    assert_int_equal(d->resampling, SGC_RESAMPLE_CUBIC);
    assert_true(d->fill_channels);
    assert_true(sgc_definition_bytes_per_pixel(d, 0, d->band_count) == 1.5);
    assert_string_equal(d->license, "MIT");
    sgc_definition_free(d);
}

static void test_foreign_prefixes_are_kept(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE];
    edit_definition(good_definition, "\"id\": \"x\"", "\"id\": \"x\", \"acme:note\": {\"a\": [1]}",
                    text);
    sgc_definition *d = parsed_definition(text);
    assert_non_null(strstr(d->text, "\"acme:note\":{\"a\":[1]}"));
    sgc_definition_free(d);
}

static void test_crs_by_name_and_by_wkt(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE];
    edit_definition(good_definition, "EPSG:3413", "WGS 84 / UTM zone 32N", text);
    sgc_definition *d = parsed_definition(text);
    assert_string_equal(d->crs, "EPSG:32632");
    sgc_definition_free(d);
    edit_definition(good_definition, "\"proj:code\": \"EPSG:3413\"",
                    "\"proj:wkt2\": \"GEOGCRS[\\\"a\\\",DATUM[\\\"b\\\",ELLIPSOID[\\\"c\\\","
                    "6378137,298.25]],CS[ellipsoidal,2],AXIS[\\\"lat\\\",north],"
                    "AXIS[\\\"lon\\\",east],UNIT[\\\"degree\\\",0.0174532925199433]]\"",
                    text);
    d = parsed_definition(text);
    assert_int_equal(strncmp(d->crs, "GEOGCRS[", 8), 0);
    sgc_definition_free(d);
}

/* The grid of a bounding box, which test_grid compares bit for bit, is the grid of the cube. */
static void test_grid_by_bbox(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE];
    edit_definition(good_definition,
                    "\"proj:transform\": [32, 0, -4000096, 0, -32, 4100096], \"proj:shape\": "
                    "[1000, 2000]",
                    "\"proj:bbox\": [-180, -90, 180, 90], \"resolution\": 8.98315284e-05", text);
    sgc_definition *d = parsed_definition(text);
    assert_int_equal(d->grid.height, 2003752);
    assert_int_equal(d->grid.width, 4007502);
    assert_true(d->grid.transform[0] == -180.00001486302838);
    assert_true(d->grid.transform[3] == 90.0000523472784);
    sgc_definition_free(d);
    char other[DOCUMENT_SIZE];
    edit_definition(text, "8.98315284e-05", "[0.5, 0.25]", other);
    d = parsed_definition(other);
    assert_int_equal(d->grid.height, 720);
    assert_int_equal(d->grid.width, 720);
    sgc_definition_free(d);
    edit_definition(text, "8.98315284e-05", "0", other);
    assert_refused(other, NULL, "/resolution: must be positive");
    edit_definition(text, "[-180, -90, 180, 90]", "[180, -90, -180, 90]", other);
    assert_refused(other, NULL, "/proj:bbox: must be [left, bottom, right, top]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_definition),
        cmocka_unit_test(test_bad_documents),
        cmocka_unit_test(test_bad_grids),
        cmocka_unit_test(test_bad_bands),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_secrets_in_plain_text),
        cmocka_unit_test(test_no_secrets),
        cmocka_unit_test(test_times_need_templates_that_use_them),
        cmocka_unit_test(test_templates_as_fine_as_the_steps),
        cmocka_unit_test(test_lattices),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_nodata_is_exact),
        cmocka_unit_test(test_types_that_need_a_later_gdal),
        cmocka_unit_test(test_categories),
        cmocka_unit_test(test_wide_integers_are_copied),
        cmocka_unit_test(test_keys_of_bands_and_rules),
        cmocka_unit_test(test_foreign_prefixes_are_kept),
        cmocka_unit_test(test_crs_by_name_and_by_wkt),
        cmocka_unit_test(test_grid_by_bbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
