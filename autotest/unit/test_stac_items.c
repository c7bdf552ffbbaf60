/* Items of STAC catalogues as patches: real documents, and damaged ones (datasets guide 3.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/stac_testing.h"
#include "datasets/stac_href.h"
#include "datasets/stac_items.h"

#include <cpl_conv.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page_url[] = "https://stac.example/api/v1/search";
static const double arctic[6] = {-4000096, 32, 0, 4100096, 0, -32};
static const double antarctic[6] = {-3000096, 32, 0, 3000096, 0, -32};

static const sgc_definition *arctic_cube(void)
{
    static const char *const assets[] = {"dem", "datamask", "absent", NULL};
    return stac_definition("EPSG:3413", arctic, 231256, 234381, assets);
}

static void assert_rect(sgc_rect rect, int64_t x, int64_t y, int64_t width, int64_t height)
{
    assert_int_equal(rect.x, x);
    assert_int_equal(rect.y, y);
    assert_int_equal(rect.width, width);
    assert_int_equal(rect.height, height);
}

static sgc_patch read_item(const sgc_definition *d, const cJSON *item)
{
    sgc_patch patch;
    sgc_error error = {""};
    if (sgc_stac_item_read(d, item, page_url, false, &patch, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return patch;
}

/* Tile (row, column) begins at column 3125 (c - 1), row 3125 (81 - r) (datasets guide 3.3). */
static void test_mosaic_item(void **state)
{
    (void)state;
    const sgc_definition *d = arctic_cube();
    cJSON *item = stac_document("pgc-constructed/67_33_32m_v4.1.json");
    sgc_patch patch = read_item(d, item);
    assert_string_equal(patch.id, "67_33_32m_v4.1");
    assert_rect(patch.rect, 3125 * 32, 3125 * 14, 3131, 3131);
    assert_false(patch.has_own_grid);
    assert_string_equal(patch.hrefs[0],
                        "https://pgc-opendata-dems.s3.us-west-2.amazonaws.com/arcticdem/mosaics/"
                        "v4.1/32m/67_33/67_33_32m_v4.1_dem.tif");
    assert_null(patch.hrefs[2]);
    assert_true(patch.nodata[0] == -9999);
    assert_true(patch.nodata[1] == 0);
    assert_true(isnan(patch.nodata[2]));
    sgc_patch_clear(&patch, d->band_count);
    cJSON_Delete(item);
}

static void test_s3_alternate(void **state)
{
    (void)state;
    const sgc_definition *d = arctic_cube();
    cJSON *item = stac_document("pgc-constructed/67_33_32m_v4.1.json");
    sgc_patch patch;
    assert_int_equal(sgc_stac_item_read(d, item, page_url, true, &patch, NULL), SGC_OK);
    assert_string_equal(patch.hrefs[0],
                        "https://pgc-opendata-dems.s3.amazonaws.com/arcticdem/mosaics/v4.1/32m/"
                        "67_33/67_33_32m_v4.1_dem.tif");
    sgc_patch_clear(&patch, d->band_count);
    cJSON_Delete(item);
}

/* The real mosaic items of REMA, which have lost their assets on the way to us. */
static void test_rema_features(void **state)
{
    (void)state;
    static const char *const assets[] = {"dem", NULL};
    const sgc_definition *d = stac_definition("EPSG:3031", antarctic, 187506, 187506, assets);
    cJSON *collection = stac_document("pgc/rema-mosaics-v2.0-32m-features.geojson");
    cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, stac_at(collection, "features", NULL))
    {
        int row, column;
        cJSON_AddObjectToObject(item, "assets");
        sgc_patch patch = read_item(d, item);
        assert_int_equal(sscanf(patch.id, "%d_%d", &row, &column), 2);
        assert_rect(patch.rect, 3125 * (column - 1), 3125 * (60 - row), 3131, 3131);
        assert_null(patch.hrefs[0]);
        sgc_patch_clear(&patch, 1);
        count++;
    }
    assert_int_equal(count, 5);
    cJSON_Delete(collection);
}

/* 2 m pixels in a cube of 32 m: they are warped, and what they may cover encloses them. */
static void test_strip_item_with_pixels_of_its_own(void **state)
{
    (void)state;
    static const char *const assets[] = {"dem", "mask", NULL};
    const sgc_definition *d = stac_definition("EPSG:3031", antarctic, 187506, 187506, assets);
    cJSON *item = stac_document("pgc/item-rema-strips-s2s041-2m.json");
    sgc_patch patch = read_item(d, item);
    assert_true(patch.has_own_grid);
    const double left = (-2522370.0 + 3000096) / 32, right = left + 55962 * 2 / 32.0;
    const double top = (3000096 - 1396178.0) / 32, bottom = top + 36755 * 2 / 32.0;
    assert_true((double)patch.rect.x <= left && (double)patch.rect.x > left - 3);
    assert_true((double)patch.rect.y <= top && (double)patch.rect.y > top - 3);
    const double end = (double)(patch.rect.x + patch.rect.width);
    const double last = (double)(patch.rect.y + patch.rect.height);
    assert_true(end >= right && end < right + 3);
    assert_true(last >= bottom && last < bottom + 3);
    assert_true(patch.nodata[0] == -9999);
    assert_true(patch.nodata[1] == 0);
    sgc_patch_clear(&patch, d->band_count);
    cJSON_Delete(item);
}

/* proj:epsg on the item, proj:shape and proj:transform on each asset, nodata in raster:bands. */
static void test_sentinel_2(void **state)
{
    (void)state;
    static const double utm[6] = {300000, 10, 0, 4600020, 0, -10};
    static const char *const reds[] = {"red", NULL}, *const both[] = {"red", "swir16", NULL};
    const sgc_definition *d = stac_definition("EPSG:32613", utm, 50000, 50000, reds);
    cJSON *page = stac_document("earth-search/v1-search-s2-l2a+landsat-page1.json");
    cJSON *item = stac_at(page, "response", "body", "features", "0", NULL);
    sgc_patch patch = read_item(d, item);
    assert_rect(patch.rect, 9996, 10002, 10980, 10980);
    assert_false(patch.has_own_grid);
    assert_true(patch.nodata[0] == 0);
    sgc_patch_clear(&patch, 1);

    d = stac_definition("EPSG:32613", utm, 50000, 50000, both);
    patch = read_item(d, item);
    assert_true(patch.has_own_grid && patch.is_promised);
    assert_true(sgc_rect_contains(patch.rect, (sgc_rect){9996, 10002, 10980, 10980}));
    sgc_patch_clear(&patch, 2);
    cJSON_Delete(page);
}

static void test_planetary_computer(void **state)
{
    (void)state;
    static const double utm[6] = {600000, 0.6, 0, 4900002, 0, -0.6};
    static const char *const assets[] = {"image", NULL};
    const sgc_definition *d = stac_definition("EPSG:26918", utm, 200000, 200000, assets);
    cJSON *page = stac_document("planetary-computer/v1-search-naip-page2.json");
    cJSON *item = stac_at(page, "response", "body", "features", "0", NULL);
    sgc_patch patch = read_item(d, item);
    assert_rect(patch.rect, 75095, 43535, 9546, 12662);
    assert_false(patch.has_own_grid);
    assert_string_equal(patch.hrefs[0],
                        "https://naipeuwest.blob.core.windows.net/naip/v002/vt/2021/"
                        "vt_060cm_2021/43073/m_4307307_ne_18_060_20211029.tif");
    sgc_patch_clear(&patch, 1);
    cJSON_Delete(page);
}

/* ---- variants of one small item ---- */

static const char small[] =
    "{\"id\": \"a\", \"bbox\": [10, 50, 11, 51], \"properties\": {\"datetime\": null, "
    "\"start_datetime\": \"2020-01-01T00:00:00Z\", \"end_datetime\": \"2020-12-31T23:59:59Z\", "
    "\"proj:code\": \"EPSG:3413\", \"proj:shape\": [20, 10], "
    "\"proj:transform\": [32, 0, -4000096, 0, -32, 4100096]}, "
    "\"links\": [{\"rel\": \"self\", \"href\": \"https://b.example/c/d/item.json\"}], "
    "\"assets\": {\"dem\": {\"href\": \"https://b.example/dem.tif\"}}}";

/* Gives `small` with one part replaced. */
static cJSON *edited(const char *part, const char *by)
{
    char text[4096];
    const char *at = strstr(small, part);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - small), small, by, at + strlen(part));
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    return json;
}

#define SHAPE "\"proj:shape\": [20, 10]"
#define TRANSFORM "[32, 0, -4000096, 0, -32, 4100096]"
#define CODE "\"proj:code\": \"EPSG:3413\""
#define ASSET "{\"href\": \"https://b.example/dem.tif\"}"

static void test_forms_of_the_same_grid(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {TRANSFORM, "[32, 0, -4000096, 0, -32, 4100096, 0, 0, 1]"},
        {CODE, "\"proj:epsg\": 3413"},
        {CODE, "\"proj:code\": null, \"proj:epsg\": 3413"},
        {CODE, "\"x\": 1"},
        {SHAPE, "\"proj:shape\": [1, 1]"},
        {ASSET, "{\"href\": \"https://b.example/dem.tif\", \"proj:shape\": [20, 10], "
                "\"proj:transform\": " TRANSFORM "}"},
        {ASSET,
         "{\"href\": \"https://b.example/dem.tif\", \"bands\": [{\"proj:shape\": [20, 10]}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sgc_definition *d = arctic_cube();
        cJSON *item = edited(cases[i][0], cases[i][1]);
        sgc_patch patch = read_item(d, item);
        const bool is_small = strcmp(cases[i][0], SHAPE) == 0;
        assert_rect(patch.rect, 0, 0, is_small ? 1 : 10, is_small ? 1 : 20);
        assert_false(patch.has_own_grid);
        sgc_patch_clear(&patch, d->band_count);
        cJSON_Delete(item);
    }
}

/* A CRS may be written out; it is compared for its meaning. */
static void test_written_out_crs(void **state)
{
    (void)state;
    const sgc_definition *d = arctic_cube();
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    assert_int_equal(OSRImportFromEPSG(crs, 3413), OGRERR_NONE);
    char *wkt = NULL, *json = NULL;
    const char *const format[] = {"FORMAT=WKT2_2019", NULL};
    assert_int_equal(OSRExportToWktEx(crs, &wkt, format), OGRERR_NONE);
    assert_int_equal(OSRExportToPROJJSON(crs, &json, NULL), OGRERR_NONE);
    for (int i = 0; i < 2; i++) {
        cJSON *item = edited(CODE, "\"x\": 1");
        cJSON *properties = stac_at(item, "properties", NULL);
        if (i == 0)
            cJSON_AddStringToObject(properties, "proj:wkt2", wkt);
        else
            cJSON_AddItemToObject(properties, "proj:projjson", cJSON_Parse(json));
        sgc_patch patch = read_item(d, item);
        assert_rect(patch.rect, 0, 0, 10, 20);
        assert_false(patch.has_own_grid);
        sgc_patch_clear(&patch, d->band_count);
        cJSON_Delete(item);
    }
    CPLFree(wkt);
    CPLFree(json);
    OSRDestroySpatialReference(crs);
}

/* The asset's grid wins over the item's. */
static void test_asset_overrides_item(void **state)
{
    (void)state;
    const sgc_definition *d = arctic_cube();
    cJSON *item = edited(ASSET, "{\"href\": \"https://b.example/dem.tif\", \"proj:shape\": [5, 6], "
                                "\"proj:transform\": [32, 0, -4000000, 0, -32, 4100000]}");
    sgc_patch patch = read_item(d, item);
    assert_rect(patch.rect, 3, 3, 6, 5);
    sgc_patch_clear(&patch, d->band_count);
    cJSON_Delete(item);
}

static void test_nodata_has_three_places(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        double nodata;
    } cases[] = {
        {"\"nodata\": -9999", -9999},
        {"\"bands\": [{\"nodata\": 7}]", 7},
        {"\"raster:bands\": [{\"nodata\": 0}]", 0},
        {"\"raster:bands\": [{\"nodata\": \"-inf\"}]", -INFINITY},
        {"\"raster:bands\": [{\"nodata\": \"nan\"}]", NAN},
        {"\"raster:bands\": [], \"bands\": {}, \"nodata\": null", NAN},
        {"\"title\": \"none\"", NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char asset[256];
        const sgc_definition *d = arctic_cube();
        snprintf(asset, sizeof asset, "{\"href\": \"https://b.example/dem.tif\", %s}",
                 cases[i].fields);
        cJSON *item = edited(ASSET, asset);
        sgc_patch patch = read_item(d, item);
        if (isnan(cases[i].nodata))
            assert_true(isnan(patch.nodata[0]));
        else
            assert_true(patch.nodata[0] == cases[i].nodata);
        sgc_patch_clear(&patch, d->band_count);
        cJSON_Delete(item);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"./x/dem.tif", "https://b.example/c/d/x/dem.tif"},
        {"../dem.tif?a=b", "https://b.example/c/dem.tif?a=b"},
        {"/dem.tif", "https://b.example/dem.tif"},
        {"//z.example/dem.tif", "https://z.example/dem.tif"},
        {"s3://bucket/k/dem.tif", "https://bucket.s3.amazonaws.com/k/dem.tif"},
        {"s3://my.bucket/k/dem.tif", "https://s3.amazonaws.com/my.bucket/k/dem.tif"},
        {"gs://bucket/k/dem.tif", "https://storage.googleapis.com/bucket/k/dem.tif"},
        {"https://b.example/{config:AWS_SECRET_ACCESS_KEY}.tif",
         "https://b.example/%7Bconfig:AWS_SECRET_ACCESS_KEY%7D.tif"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char asset[256];
        const sgc_definition *d = arctic_cube();
        snprintf(asset, sizeof asset, "{\"href\": \"%s\"}", cases[i][0]);
        cJSON *item = edited(ASSET, asset);
        sgc_patch patch = read_item(d, item);
        assert_string_equal(patch.hrefs[0], cases[i][1]);
        sgc_patch_clear(&patch, d->band_count);
        cJSON_Delete(item);
    }
}

static void test_s3_endpoint_of_the_user(void **state)
{
    (void)state;
    const sgc_definition *d = arctic_cube();
    cJSON *item = edited(ASSET, "{\"href\": \"s3://bucket/k/dem.tif\", "
                                "\"storage:region\": \"eu-central-1\"}");
    sgc_patch patch = read_item(d, item);
    assert_string_equal(patch.hrefs[0], "https://bucket.s3.eu-central-1.amazonaws.com/k/dem.tif");
    sgc_patch_clear(&patch, d->band_count);
    CPLSetThreadLocalConfigOption("AWS_S3_ENDPOINT", "127.0.0.1:9000");
    CPLSetThreadLocalConfigOption("AWS_HTTPS", "NO");
    CPLSetThreadLocalConfigOption("AWS_VIRTUAL_HOSTING", "NO");
    patch = read_item(d, item);
    assert_string_equal(patch.hrefs[0], "http://127.0.0.1:9000/bucket/k/dem.tif");
    sgc_patch_clear(&patch, d->band_count);
    CPLSetThreadLocalConfigOption("AWS_S3_ENDPOINT", NULL);
    CPLSetThreadLocalConfigOption("AWS_HTTPS", NULL);
    CPLSetThreadLocalConfigOption("AWS_VIRTUAL_HOSTING", NULL);
    cJSON_Delete(item);
}

/* Without pixels of its own in the document, an item covers at most what is around its bbox, also
 * where that crosses the antimeridian. */
static void test_footprint(void **state)
{
    (void)state;
    static const double world[6] = {-180, 0.01, 0, 90, 0, -0.01};
    static const char *const assets[] = {"dem", NULL};
    const sgc_definition *d = stac_definition("EPSG:4326", world, 36000, 18000, assets);
    cJSON *item = edited(SHAPE, "\"x\": 1");
    sgc_patch patch = read_item(d, item);
    assert_true(patch.has_own_grid);
    assert_true(sgc_rect_contains(patch.rect, (sgc_rect){19000, 3900, 100, 100}));
    assert_true(sgc_rect_contains((sgc_rect){18980, 3880, 140, 140}, patch.rect));
    sgc_patch_clear(&patch, 1);
    cJSON_Delete(item);

    item = edited(SHAPE, "\"x\": 1");
    cJSON_ReplaceItemInObject(item, "bbox", cJSON_Parse("[179, 50, 0, -179, 51, 9]"));
    patch = read_item(d, item);
    assert_true(sgc_rect_contains(patch.rect, (sgc_rect){35900, 3900, 100, 100}));
    assert_true(sgc_rect_contains(patch.rect, (sgc_rect){0, 3900, 100, 100}));
    sgc_patch_clear(&patch, 1);
    cJSON_Delete(item);
}

static void test_damaged_documents(void **state)
{
    (void)state;
    static const struct {
        const char *part, *by;
        sgc_status status;
        const char *message;
    } cases[] = {
        {"\"id\": \"a\"", "\"id\": 7", SGC_CORRUPT, "an item has no id"},
        {"\"id\": \"a\"", "\"id\": \"\"", SGC_CORRUPT, "an item has no id"},
        {"\"assets\"", "\"asset\"", SGC_CORRUPT, "item a has no assets"},
        {ASSET, "{\"title\": \"x\"}", SGC_CORRUPT, "asset \"dem\": it has no href"},
        {ASSET, "\"https://b.example/dem.tif\"", SGC_CORRUPT, "asset \"dem\": it has no href"},
        {ASSET, "{\"href\": [1]}", SGC_CORRUPT, "asset \"dem\": it has no href"},
        {ASSET, "{\"href\": \"file:///etc/passwd\"}", SGC_UNSUPPORTED, "neither https nor s3"},
        {ASSET, "{\"href\": \"ftp://b.example/dem.tif\"}", SGC_UNSUPPORTED, "neither https nor s3"},
        {TRANSFORM, "[32, 0, -4000096, 0, -32]", SGC_CORRUPT, "proj:transform"},
        {TRANSFORM, "[32, 0, \"x\", 0, -32, 4100096]", SGC_CORRUPT, "proj:transform"},
        {TRANSFORM, "[0, 0, -4000096, 0, 0, 4100096]", SGC_CORRUPT, "proj:transform"},
        {TRANSFORM, "[1e999, 0, -4000096, 0, -32, 4100096]", SGC_CORRUPT, "proj:transform"},
        {TRANSFORM, "[32, 0, -4000096, 0, -32, 4100096, 0, 1, 1]", SGC_CORRUPT, "proj:transform"},
        {TRANSFORM, "7", SGC_CORRUPT, "proj:transform"},
        {SHAPE, "\"proj:shape\": [0, 10]", SGC_CORRUPT, "bad proj:shape"},
        {SHAPE, "\"proj:shape\": [-1, 10]", SGC_CORRUPT, "bad proj:shape"},
        {SHAPE, "\"proj:shape\": [20, 1e300]", SGC_CORRUPT, "bad proj:shape"},
        {SHAPE, "\"proj:shape\": [20]", SGC_CORRUPT, "bad proj:shape"},
        {SHAPE, "\"proj:shape\": \"20x10\"", SGC_CORRUPT, "bad proj:shape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sgc_definition *d = arctic_cube();
        sgc_patch patch = {0};
        sgc_error error = {""};
        cJSON *item = edited(cases[i].part, cases[i].by);
        const sgc_status status = sgc_stac_item_read(d, item, page_url, false, &patch, &error);
        if (status != cases[i].status || strstr(error.message, cases[i].message) == NULL)
            fail_msg("case %zu: status %d, \"%s\"", i, (int)status, error.message);
        assert_null(patch.id);
        cJSON_Delete(item);
    }
}

/* Puts something else in the place of the n-th value of a document; false when it has fewer. */
static bool replace_value(cJSON *parent, int *n, const char *by)
{
    for (cJSON *child = parent->child; child != NULL; child = child->next) {
        if ((*n)-- == 0) {
            cJSON *other = cJSON_Parse(by);
            if (cJSON_IsObject(parent))
                cJSON_ReplaceItemInObjectCaseSensitive(parent, child->string, other);
            else
                cJSON_ReplaceItemViaPointer(parent, child, other);
            return true;
        }
        if (replace_value(child, n, by))
            return true;
    }
    return false;
}

/* Each value of a real document is each kind of nonsense in turn: a patch or a message comes out.
 */
static void test_any_value_may_be_wrong(void **state)
{
    (void)state;
    static const char *const nonsense[] = {"null",  "true",   "-1",   "1e308", "\"\"",
                                           "\"x\"", "[null]", "[[]]", "{}",    "{\"href\": {}}"};
    const sgc_definition *d = arctic_cube();
    cJSON *item = stac_document("pgc-constructed/67_33_32m_v4.1.json");
    int tried = 0, refused = 0;
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        for (int n = 0;; n++) {
            cJSON *copy = cJSON_Duplicate(item, 1);
            int left = n;
            const bool replaced = replace_value(copy, &left, nonsense[i]);
            sgc_patch patch = {0};
            sgc_error error = {""};
            if (replaced &&
                sgc_stac_item_read(d, copy, page_url, i % 2 == 0, &patch, &error) == SGC_OK) {
                assert_non_null(patch.id);
                sgc_patch_clear(&patch, d->band_count);
            } else if (replaced) {
                assert_true(error.message[0] != '\0');
                refused++;
            }
            sgc_stac_item_times(copy);
            cJSON_Delete(copy);
            tried += replaced;
            if (!replaced)
                break;
        }
    }
    cJSON_Delete(item);
    assert_true(tried > 1000 && refused > 50);
}

static void test_item_without_place(void **state)
{
    (void)state;
    static const char *const boxes[] = {"null",
                                        "7",
                                        "[10, 50, 11]",
                                        "[10, 50, \"x\", 51]",
                                        "[10, 50, 11, 91000]",
                                        "[1e999, 50, 11, 51]"};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        sgc_patch patch;
        sgc_error error = {""};
        cJSON *item = edited(SHAPE, "\"x\": 1");
        cJSON_ReplaceItemInObject(item, "bbox", cJSON_Parse(boxes[i]));
        assert_int_not_equal(
            sgc_stac_item_read(arctic_cube(), item, page_url, false, &patch, &error), SGC_OK);
        assert_non_null(strstr(error.message, "item a: it"));
        cJSON_Delete(item);
    }
}

/* A CRS must not make us open files or connect anywhere. */
static void test_unknown_crs(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\"proj:code\": \"EPSG:99999\"",
        "\"proj:wkt2\": \"PROJCRS[nonsense]\"",
        "\"proj:projjson\": {\"type\": \"ProjectedCRS\"}",
        "\"proj:epsg\": 99999999",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_patch patch;
        sgc_error error = {""};
        cJSON *item = edited(CODE, cases[i]);
        assert_int_equal(sgc_stac_item_read(arctic_cube(), item, page_url, false, &patch, &error),
                         SGC_UNSUPPORTED);
        assert_non_null(strstr(error.message, "CRS"));
        cJSON_Delete(item);
    }
}

/* ---- time ---- */

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2023-08-05T16:22:56Z", 1691252576},
        {"2023-10-08T18:02:55.276000Z", 1696788175},
        {"2023-08-05T18:22:56+02:00", 1691252576},
        {"2020-02-29", 1582934400},
    };
    int64_t seconds;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(sgc_stac_parse_time(cases[i].text, &seconds));
        assert_int_equal(seconds, cases[i].seconds);
    }
    assert_false(sgc_stac_parse_time("yesterday", &seconds));
    assert_false(sgc_stac_parse_time("", &seconds));
    assert_false(sgc_stac_parse_time(NULL, &seconds));
}

static bool in_step(const char *properties, const sgc_time_axis *axis, size_t step)
{
    char text[512];
    bool is_in = false;
    snprintf(text, sizeof text, "{\"properties\": {%s}}", properties);
    cJSON *item = cJSON_Parse(text);
    const sgc_stac_times times = sgc_stac_item_times(item);
    cJSON_Delete(item);
    assert_int_equal(sgc_stac_times_in_step(&times, axis, step, &is_in, NULL), SGC_OK);
    return is_in;
}

/* An item that ends with a step, or begins with the next, is of one step only (defect 13). */
static void test_half_open_steps(void **state)
{
    (void)state;
    int64_t starts[] = {1577836800, 1609459200}, ends[] = {1609459200, 1640995200};
    const sgc_time_axis axis = {.count = 2, .starts = starts, .ends = ends};
    static const char first[] = "\"datetime\": \"2020-12-31T23:59:59Z\"",
                      second[] = "\"datetime\": \"2021-01-01T00:00:00Z\"",
                      year[] = "\"datetime\": null, \"start_datetime\": \"2020-01-01T00:00:00Z\", "
                               "\"end_datetime\": \"2021-01-01T00:00:00Z\"";
    assert_true(in_step(first, &axis, 0) && !in_step(first, &axis, 1));
    assert_true(!in_step(second, &axis, 0) && in_step(second, &axis, 1));
    assert_true(in_step(year, &axis, 0) && !in_step(year, &axis, 1));

    const sgc_time_axis instant = {.count = 1, .starts = ends, .ends = ends, .is_instant = true};
    assert_true(in_step(second, &instant, 0) && !in_step(first, &instant, 0));
    assert_true(in_step(year, &instant, 0));

    const sgc_time_axis none = {0};
    assert_true(in_step("\"x\": 1", &none, 0));
    const sgc_stac_times timeless = {0};
    bool is_in;
    assert_int_equal(sgc_stac_times_in_step(&timeless, &axis, 0, &is_in, NULL), SGC_CORRUPT);
}

/* ---- endpoints ---- */

static void test_rebase(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"https://a.example/api/v1/collections/c", "https://a.example/api/v1/", "http://h:1/x/",
         "http://h:1/x/collections/c"},
        {"https://a.example/api/v1/collections/c", "https://a.example/api/v1", "http://h:1/x",
         "http://h:1/x/collections/c"},
        {"https://b.example/index.zip", "https://a.example/api/v1/", "http://h:1/x/",
         "http://h:1/index.zip"},
        {"https://b.example/index.zip", NULL, "http://h:1", "http://h:1/index.zip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *url;
        assert_int_equal(sgc_href_rebase(cases[i][0], cases[i][1], cases[i][2], &url, NULL),
                         SGC_OK);
        assert_string_equal(url, cases[i][3]);
        free(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mosaic_item),
        cmocka_unit_test(test_s3_alternate),
        cmocka_unit_test(test_rema_features),
        cmocka_unit_test(test_strip_item_with_pixels_of_its_own),
        cmocka_unit_test(test_sentinel_2),
        cmocka_unit_test(test_planetary_computer),
        cmocka_unit_test(test_forms_of_the_same_grid),
        cmocka_unit_test(test_written_out_crs),
        cmocka_unit_test(test_asset_overrides_item),
        cmocka_unit_test(test_nodata_has_three_places),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_s3_endpoint_of_the_user),
        cmocka_unit_test(test_footprint),
        cmocka_unit_test(test_damaged_documents),
        cmocka_unit_test(test_any_value_may_be_wrong),
        cmocka_unit_test(test_item_without_place),
        cmocka_unit_test(test_unknown_crs),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_half_open_steps),
        cmocka_unit_test(test_rebase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
