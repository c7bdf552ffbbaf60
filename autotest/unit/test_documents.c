/* The Zarr documents of cubes of the datasets that ship: those that the Python package writes
 * (datasets guide 1.4-1.6), field by field, but for what differs on purpose (architecture 6.1,
 * 6.9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/shared_data.h"
#include "datasets/registry.h"
#include "gdal_sgc/layout.h"

/* An empty cube in memory. */
typedef struct empty_cube {
    sgc_definition *definition;
    sgc_repository *repository;
    sgc_session *session;
} empty_cube;

/* Takes the definition. */
static void make_cube_of(sgc_definition *d, empty_cube *cube)
{
    sgc_object_store *store = NULL;
    sgc_level levels[SGC_MOST_LEVELS];
    sgc_error error = {""};
    cube->definition = d;
    assert_int_equal(sgc_object_store_memory_new(&store, NULL), SGC_OK);
    assert_int_equal(sgc_repository_create(store, NULL, &cube->repository, NULL), SGC_OK);
    assert_int_equal(sgc_session_new(cube->repository, "main", &cube->session, NULL), SGC_OK);
    sgc_layout_levels(d, d->chunk_width, d->chunk_height, 0, levels);
    if (sgc_layout_put_cube(cube->session, d, &levels[0], 5, &error) != SGC_OK)
        fail_msg("%s", error.message);
}

static void make_cube(const char *dataset, empty_cube *cube)
{
    sgc_definition *definition;
    sgc_error error = {""};
    if (sgc_registry_find(dataset, NULL, &definition, &error) != SGC_OK)
        fail_msg("%s", error.message);
    make_cube_of(definition, cube);
}

static void free_cube(empty_cube *cube)
{
    sgc_session_free(cube->session);
    sgc_repository_free(cube->repository);
    sgc_definition_free(cube->definition);
}

static cJSON *ours_of(const empty_cube *cube, const char *path)
{
    sgc_node node;
    assert_int_equal(sgc_session_get_node(cube->session, path, &node, NULL), SGC_OK);
    cJSON *json = cJSON_ParseWithLength((const char *)node.user_data, node.user_data_size);
    assert_non_null(json);
    return json;
}

/* What the package's development version has written, or skips the test. */
static cJSON *theirs_of(const char *directory, const char *node)
{
    char name[256];
    snprintf(name, sizeof name, "data/zarr/%s/%s/zarr.json", directory, node);
    return shared_json(name);
}

static void assert_equal_json(const char *path, const cJSON *theirs, const cJSON *ours)
{
    if (!cJSON_Compare(theirs, ours, 1))
        fail_msg("%s:\n%s\nexpected\n%s", path, cJSON_Print(ours), cJSON_Print(theirs));
}

static cJSON *attributes_of(cJSON *document)
{
    return cJSON_GetObjectItem(document, "attributes");
}

/* Makes of their document of a channel ours. */
static void change_channel(cJSON *document)
{
    cJSON *codec = cJSON_GetArrayItem(cJSON_GetObjectItem(document, "codecs"), 1);
    cJSON *configuration = cJSON_GetObjectItem(codec, "configuration");
    cJSON_ReplaceItemInObject(configuration, "clevel", cJSON_CreateNumber(5));
    cJSON_ReplaceItemInObject(configuration, "shuffle", cJSON_CreateString("bitshuffle"));
    cJSON_AddStringToObject(attributes_of(document), "grid_mapping", "spatial_ref");
    if (cJSON_GetObjectItem(attributes_of(document), "dtype") == NULL)
        return;
    cJSON_DeleteItemFromObject(attributes_of(document), "dtype");
    cJSON_ReplaceItemInObject(document, "data_type", cJSON_CreateString("bool"));
    cJSON_ReplaceItemInObject(document, "fill_value", cJSON_CreateFalse());
}

static void check_channel(const empty_cube *cube, const char *directory, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/%s", name);
    cJSON *theirs = theirs_of(directory, name), *ours = ours_of(cube, path);
    change_channel(theirs);
    assert_equal_json(path, theirs, ours);
    cJSON_Delete(theirs);
    cJSON_Delete(ours);
}

/* "metre" is written for both axes, where the package leaves that of x out. */
static void check_axis(const empty_cube *cube, const char *directory, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/%s", name);
    cJSON *theirs = theirs_of(directory, name), *ours = ours_of(cube, path);
    const cJSON *units = cJSON_GetObjectItem(attributes_of(theirs), "units");
    if (units != NULL && strcmp(units->valuestring, "") == 0)
        cJSON_ReplaceItemInObject(attributes_of(theirs), "units", cJSON_CreateString("metre"));
    assert_equal_json(path, theirs, ours);
    cJSON_Delete(theirs);
    cJSON_Delete(ours);
}

static OGRSpatialReferenceH take_crs(cJSON *attributes, const char *key)
{
    cJSON *text = cJSON_DetachItemFromObject(attributes, key);
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    assert_non_null(text);
    assert_int_equal(OSRSetFromUserInput(crs, text->valuestring), OGRERR_NONE);
    cJSON_Delete(text);
    return crs;
}

/* How a CRS is spelled depends on the version of PROJ's database. */
static void check_crs(const empty_cube *cube, const char *directory)
{
    static const char *const keys[] = {"spatial_ref", "crs_wkt"};
    cJSON *theirs = theirs_of(directory, "spatial_ref"), *ours = ours_of(cube, "/spatial_ref");
    for (size_t i = 0; i < 2; i++) {
        OGRSpatialReferenceH a = take_crs(attributes_of(theirs), keys[i]);
        OGRSpatialReferenceH b = take_crs(attributes_of(ours), keys[i]);
        assert_true(OSRIsSame(a, b));
        assert_string_equal(OSRGetAuthorityCode(b, NULL), OSRGetAuthorityCode(a, NULL));
        OSRDestroySpatialReference(a);
        OSRDestroySpatialReference(b);
    }
    assert_equal_json("/spatial_ref", theirs, ours);
    cJSON_Delete(theirs);
    cJSON_Delete(ours);
}

/* All that is ours is in one attribute. */
static void check_root(const empty_cube *cube, const char *directory)
{
    cJSON *theirs = theirs_of(directory, "."), *ours = ours_of(cube, "/");
    cJSON *about = cJSON_DetachItemFromObject(attributes_of(ours), "sgc");
    cJSON *definition = cJSON_Parse(cube->definition->text);
    assert_equal_json("/", theirs, ours);
    assert_equal_json("definition", definition, cJSON_GetObjectItem(about, "definition"));
    cJSON_Delete(theirs);
    cJSON_Delete(ours);
    cJSON_Delete(about);
    cJSON_Delete(definition);
}

static void test_arcticdem(void **state)
{
    (void)state;
    static const char directory[] = "metadata-arcticdem32m";
    cJSON_Delete(theirs_of(directory, "."));
    empty_cube cube;
    make_cube("ArcticDEM32m", &cube);
    check_root(&cube, directory);
    check_channel(&cube, directory, "dem");
    check_channel(&cube, directory, "datamask");
    check_axis(&cube, directory, "x");
    check_axis(&cube, directory, "y");
    check_crs(&cube, directory);
    free_cube(&cube);
}

static void test_tctrend(void **state)
{
    (void)state;
    static const char directory[] = "metadata-tctrend";
    cJSON_Delete(theirs_of(directory, "."));
    empty_cube cube;
    make_cube("TCTrend", &cube);
    check_root(&cube, directory);
    check_channel(&cube, directory, "TCB_slope");
    check_axis(&cube, directory, "x");
    check_axis(&cube, directory, "y");
    check_crs(&cube, directory);
    free_cube(&cube);
}

static void test_alphaearth(void **state)
{
    (void)state;
    static const char directory[] = "metadata-alphaearth";
    cJSON_Delete(theirs_of(directory, "."));
    empty_cube cube;
    make_cube("AlphaEarthEmbeddings", &cube);
    check_root(&cube, directory);
    check_channel(&cube, directory, "A00");
    check_axis(&cube, directory, "time");
    check_crs(&cube, directory);
    free_cube(&cube);
}

/* What the package gives channels of which no document is at hand (datasets guide 1.3). */
static void check_attribute(const empty_cube *cube, const char *path, const char *key,
                            const char *value)
{
    cJSON *document = ours_of(cube, path);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(attributes_of(document), key)),
                        value);
    cJSON_Delete(document);
}

static void test_attributes_of_channels(void **state)
{
    (void)state;
    empty_cube cube;
    static const char *const trends[] = {"TCTrend2019", "TCTrend2020", "TCTrend2022",
                                         "TCTrend2024"};
    for (size_t i = 0; i < 4; i++) {
        make_cube(trends[i], &cube);
        check_attribute(&cube, "/TCG_slope", "long_name", "Tasseled Cap Greenness Trend");
        check_attribute(&cube, "/TCW_slope", "long_name", "Tasseled Cap Wetness Trend");
        check_attribute(&cube, "/TCW_slope", "data_source",
                        "ee:ingmarnitze/TCTrend_SR_2000-2019_TCVIS");
        free_cube(&cube);
    }
    make_cube("AlphaEarthEmbeddings", &cube);
    for (int band = 0; band < 64; band++) {
        char path[8], name[40];
        snprintf(path, sizeof path, "/A%02d", band);
        snprintf(name, sizeof name, "AlphaEarth Embedding Band %d", band);
        check_attribute(&cube, path, "long_name", name);
    }
    free_cube(&cube);
}

/* What values mean, in the attributes that CF has for it. */
static void test_categories(void **state)
{
    (void)state;
    empty_cube cube;
    make_cube("HansenGFC", &cube);
    cJSON *document = ours_of(&cube, "/datamask"), *values = cJSON_Parse("[0, 1, 2]");
    assert_equal_json("flag_values", values,
                      cJSON_GetObjectItem(attributes_of(document), "flag_values"));
    check_attribute(&cube, "/datamask", "flag_meanings", "No_data Land Water");
    cJSON_Delete(values);
    cJSON_Delete(document);
    document = ours_of(&cube, "/treecover2000");
    assert_null(cJSON_GetObjectItem(attributes_of(document), "flag_values"));
    cJSON_Delete(document);
    free_cube(&cube);
}

/* None of them fits a double. */
static void test_fill_values_of_64_bits(void **state)
{
    (void)state;
    static const char text[] =
        "{\"type\": \"CubeDataset\", \"version\": \"1\", \"id\": \"counts\", "
        "\"proj:code\": \"EPSG:3413\", \"proj:bbox\": [0, 0, 100, 100], \"resolution\": 1, "
        "\"chunk_shape\": [100, 100], \"source\": {\"kind\": \"synthetic\"}, \"bands\": ["
        "{\"name\": \"a\", \"data_type\": \"int64\", \"nodata\": -9007199254740993}, "
        "{\"name\": \"b\", \"data_type\": \"int64\", \"nodata\": -9223372036854775808}, "
        "{\"name\": \"c\", \"data_type\": \"uint64\", \"nodata\": 18446744073709551615}]}";
    static const char *const fills[][2] = {{"/a", "\"fill_value\": -9007199254740993,"},
                                           {"/b", "\"fill_value\": -9223372036854775808,"},
                                           {"/c", "\"fill_value\": 18446744073709551615,"}};
    sgc_definition *definition;
    sgc_error error = {""};
    if (sgc_definition_parse(text, "test", NULL, &definition, &error) != SGC_OK)
        fail_msg("%s", error.message);
    empty_cube cube;
    make_cube_of(definition, &cube);
    for (size_t i = 0; i < 3; i++) {
        sgc_node node;
        assert_int_equal(sgc_session_get_node(cube.session, fills[i][0], &node, NULL), SGC_OK);
        assert_non_null(
            memmem(node.user_data, node.user_data_size, fills[i][1], strlen(fills[i][1])));
    }
    free_cube(&cube);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill_values_of_64_bits),
        cmocka_unit_test(test_categories),
        cmocka_unit_test(test_arcticdem),
        cmocka_unit_test(test_tctrend),
        cmocka_unit_test(test_alphaearth),
        cmocka_unit_test(test_attributes_of_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
