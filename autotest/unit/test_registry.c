/* Datasets by name, the definitions that ship, and their parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cpl_conv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "autotest/unit/definition_testing.h"
#include "autotest/unit/store_testing.h"
#include "datasets/registry.h"
#include "datasets/source.h"

static sgc_definition *found(const char *name, char *const *parameters)
{
    sgc_definition *definition = NULL;
    sgc_error error = {""};
    if (sgc_registry_find(name, parameters, &definition, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return definition;
}

static void assert_not_found(const char *name, char *const *parameters, sgc_status status,
                             const char *message)
{
    sgc_definition *definition = NULL;
    sgc_error error = {""};
    assert_int_equal(sgc_registry_find(name, parameters, &definition, &error), status);
    if (strstr(error.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
}

static char zone_32n[] = "zone=32N";
static char *const zone[] = {zone_32n, NULL};

/* int8 needs a later GDAL than some that the driver is built with. */
static bool is_possible(const char *id)
{
    return strcmp(id, "AlphaEarthMosaic") != 0 || GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(3, 7, 0);
}

/* Each of its sources can be made. */
static void check_sources(const sgc_definition *d)
{
    const sgc_source_options options = {0};
    for (size_t i = 0; i <= d->level_count; i++) {
        const cJSON *json = i < d->level_count ? d->levels[i].source : d->source;
        sgc_source *source = NULL;
        sgc_error error = {""};
        if (sgc_source_new(d, json, &options, &source, &error) != SGC_OK)
            fail_msg("%s", error.message);
        sgc_source_free(source);
    }
}

/* Each is good, and so is what a cube keeps of it, which means the same. */
static void test_what_ships(void **state)
{
    (void)state;
    size_t count = 0;
    for (const sgc_builtin_definition *b = sgc_builtin_definitions; b->id != NULL; b++, count++) {
        char *const *parameters = strcmp(b->id, "Sentinel2") == 0 ? zone : NULL;
        if (!is_possible(b->id)) {
            assert_not_found(b->id, NULL, SGC_UNSUPPORTED, "int8 needs GDAL 3.7 or later");
            continue;
        }
        sgc_definition *d = found(b->id, parameters), *kept = NULL;
        sgc_error error = {""};
        assert_int_equal(strncmp(d->id, b->id, strlen(b->id)), 0);
        assert_non_null(d->title);
        assert_non_null(d->license);
        assert_null(d->warning);
        check_sources(d);
        for (size_t i = 0; i < d->band_count; i++)
            assert_true(d->bands[i].has_statistics || d->bands[i].is_bool ||
                        d->bands[i].category_count > 0);
        if (sgc_definition_parse(d->text, "cube", NULL, &kept, &error) != SGC_OK)
            fail_msg("%s", error.message);
        assert_string_equal(kept->id, d->id);
        assert_string_equal(kept->text, d->text);
        if (sgc_definition_check_same(kept, d, NULL, 0, &error) != SGC_OK)
            fail_msg("%s", error.message);
        sgc_definition_free(d);
        sgc_definition_free(kept);
    }
    assert_true(count >= 21);
}

static void check_dataset(const char *id, size_t steps, size_t bands, const char *first_band,
                          int64_t rows, int64_t columns)
{
    sgc_definition *d = found(id, NULL);
    assert_int_equal(d->time.count, steps);
    assert_int_equal(d->band_count, bands);
    assert_string_equal(d->bands[0].name, first_band);
    assert_int_equal(d->grid.height, rows);
    assert_int_equal(d->grid.width, columns);
    sgc_definition_free(d);
}

/* Datasets guide 1.2 and 5. */
static void test_grids_and_channels_of_what_ships(void **state)
{
    (void)state;
    check_dataset("ArcticDEM32m", 0, 2, "dem", 234381, 231256);
    check_dataset("ArcticDEM10m", 0, 2, "dem", 750020, 740020);
    check_dataset("ArcticDEM2m", 0, 2, "dem", 3750100, 3700100);
    check_dataset("TCTrend2019", 0, 3, "TCB_slope", 667918, 1335834);
    check_dataset("AlphaEarthEmbeddings", 8, 64, "A00", 2003752, 4007502);
    check_dataset("REMA32m", 0, 1, "dem", 187506, 187506);
    check_dataset("REMA10m", 0, 1, "dem", 600020, 600020);
    check_dataset("REMA2m", 0, 1, "dem", 3000100, 3000100);
    check_dataset("CopernicusDEM30", 0, 1, "dem", 648000, 1296000);
    check_dataset("CopernicusDEM90", 0, 1, "dem", 216000, 432000);
    check_dataset("ESAWorldCover2020", 0, 1, "map", 1728000, 4320000);
    check_dataset("HansenGFC", 0, 4, "treecover2000", 560000, 1440000);
    check_dataset("JRCGlobalSurfaceWater", 0, 6, "occurrence", 560000, 1440000);
    check_dataset("SRTMGL1", 0, 1, "dem", 417601, 1296000);
}

static void test_classes_of_worldcover(void **state)
{
    (void)state;
    static const int values[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100};
    sgc_definition *d = found("ESAWorldCover", NULL);
    const sgc_band *band = &d->bands[0];
    assert_string_equal(d->id, "ESAWorldCover2021");
    assert_int_equal(band->category_count, 11);
    for (size_t i = 0; i < 11; i++) {
        assert_int_equal(band->categories[i].value, values[i]);
        assert_true(band->categories[i].has_color);
    }
    assert_string_equal(band->categories[9].name, "Mangroves");
    assert_memory_equal(band->categories[9].color, "\x00\xcf\x75", 3);
    sgc_definition_free(d);
}

static void test_names(void **state)
{
    (void)state;
    sgc_definition *d = found("ARCTICDEM32M", NULL);
    assert_string_equal(d->id, "ArcticDEM32m");
    sgc_definition_free(d);
    d = found("tctrend", NULL);
    assert_string_equal(d->id, "TCTrend2024");
    sgc_definition_free(d);
    assert_not_found("arcticdem32", NULL, SGC_NOT_FOUND, "did you mean ArcticDEM32m?");
    assert_not_found("zzzzzzzzzzzzzzzz", NULL, SGC_NOT_FOUND, "known are AlphaEarthEmbeddings, ");
    assert_not_found("/no/such/file.json", NULL, SGC_NOT_FOUND, "/no/such/file.json");
}

static void test_parameters(void **state)
{
    (void)state;
    static char south[] = "ZONE=7s", none[] = "zone=61N", other[] = "orbit=3";
    char *const in_south[] = {south, NULL}, *const in_none[] = {none, NULL};
    char *const unknown[] = {zone_32n, other, NULL};
    sgc_definition *d = found("Sentinel2", zone);
    assert_string_equal(d->id, "Sentinel2-32N");
    assert_string_equal(d->crs, "EPSG:32632");
    assert_string_equal(d->parameters[0], "zone=32N");
    assert_null(d->parameters[1]);
    assert_non_null(strstr(d->title, "zone 32N"));
    sgc_definition_free(d);
    d = found("Sentinel2", in_south);
    assert_string_equal(d->id, "Sentinel2-7S");
    assert_string_equal(d->crs, "EPSG:32707");
    sgc_definition_free(d);
    assert_not_found("Sentinel2", NULL, SGC_INVALID,
                     "/parameters/zone: the parameter zone is needed");
    assert_not_found("Sentinel2", in_none, SGC_INVALID, "61N is not one of 1N, 2N, 3N");
    assert_not_found("Sentinel2", unknown, SGC_INVALID,
                     "there is no parameter orbit (there are: zone)");
    assert_not_found("ArcticDEM32m", zone, SGC_INVALID,
                     "there is no parameter zone (there are none)");
}

/* A cube says what its id has become: that finds the definition again. */
static void test_names_that_parameters_made(void **state)
{
    (void)state;
    sgc_definition *d = found("sentinel2-32n", NULL);
    assert_string_equal(d->id, "Sentinel2-32N");
    sgc_definition_free(d);
    d = found("Sentinel2-32N", zone);
    assert_string_equal(d->id, "Sentinel2-32N");
    sgc_definition_free(d);
    assert_not_found("Sentinel2-61N", NULL, SGC_NOT_FOUND, "unknown dataset \"Sentinel2-61N\"");
    assert_not_found("Sentinel2-33N", zone, SGC_NOT_FOUND, "unknown dataset \"Sentinel2-33N\"");
}

#define PARAMETERS(text) "\"id\": \"x\"", "\"id\": \"x-{v}\", \"parameters\": {" text "}"

static void test_patterns_and_defaults(void **state)
{
    (void)state;
    static char good[] = "v=2021", bad[] = "v=2021b", sly[] = "v=20../";
    char *const as_good[] = {good, NULL}, *const as_bad[] = {bad, NULL};
    char *const as_sly[] = {sly, NULL};
    char text[DOCUMENT_SIZE], other[DOCUMENT_SIZE];
    edit_definition(good_definition,
                    PARAMETERS("\"v\": {\"pattern\": \"20..|all\", \"default\": \"2020\"}"), text);
    edit_definition(text, "\"collection\": \"c\"", "\"collection\": \"c-{v}-{v}{w}\"", other);
    sgc_definition *d = parsed_definition(other);
    assert_string_equal(d->id, "x-2020");
    sgc_definition_free(d);
    d = NULL;
    assert_int_equal(sgc_definition_parse(other, "x", as_good, &d, NULL), SGC_OK);
    assert_string_equal(d->id, "x-2021");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(d->source, "collection")),
                        "c-2021-2021{w}");
    assert_non_null(
        strstr(d->text, "\"parameters\":{\"v\":{\"values\":[\"2021\"],\"default\":\"2021\"}}"));
    assert_non_null(strstr(d->text, "\"id\":\"x-{v}\""));
    sgc_definition_free(d);
    assert_refused(other, as_bad, "/parameters/v: 2021b does not match 20..|all");
    assert_refused(other, as_sly, "/parameters/v: 20../ does not match 20..|all");
}

static void test_parameters_of_grids(void **state)
{
    (void)state;
    char text[DOCUMENT_SIZE], other[DOCUMENT_SIZE];
    edit_definition(good_definition,
                    "\"proj:transform\": [32, 0, -4000096, 0, -32, 4100096], \"proj:shape\": "
                    "[1000, 2000]",
                    "\"proj:bbox\": [0, 0, 600, 300], \"resolution\": \"{v}\"", text);
    edit_definition(text, PARAMETERS("\"v\": {\"values\": [\"10\", \"20\"], \"default\": \"20\"}"),
                    other);
    sgc_definition *d = parsed_definition(other);
    assert_int_equal(d->grid.width, 30);
    assert_string_equal(d->id, "x-20");
    sgc_definition_free(d);
}

static void test_bad_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *part, *by, *message;
    } cases[] = {
        {PARAMETERS("\"v\": 1"), "/parameters/v: must be an object"},
        {PARAMETERS("\"v\": {}"), "/parameters/v: give values or pattern"},
        {PARAMETERS("\"v\": {\"values\": []}"), "/parameters/v/values: must be a list"},
        {PARAMETERS("\"v\": {\"values\": [\"a/b\"]}"), "/parameters/v/values: must be a list"},
        {PARAMETERS("\"v\": {\"values\": [\"a\"], \"default\": \"b\"}"),
         "/parameters/v: b is not one of a"},
        {PARAMETERS("\"v\": {\"values\": [\"a\"], \"choice\": 1}"), "/parameters/v/choice: unkn"},
        {PARAMETERS("\"v\": {\"pattern\": \"(\", \"default\": \"b\"}"), "/parameters/v/pattern: "},
        {PARAMETERS("\"x_min\": {\"values\": [\"a\"]}"), "/parameters/x_min: a name is letters"},
        {"\"id\": \"x\"", "\"id\": \"x\", \"parameters\": []", "/parameters: must be an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DOCUMENT_SIZE];
        edit_definition(good_definition, cases[i].part, cases[i].by, text);
        assert_refused(text, NULL, cases[i].message);
    }
}

/* ---- directories ---- */

static void write_definition(const char *directory, const char *file, const char *id)
{
    char path[256], by[64], text[DOCUMENT_SIZE];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    snprintf(by, sizeof by, "\"id\": \"%s\", \"title\": \"Mine\"", id);
    edit_definition(good_definition, "\"id\": \"x\"", by, text);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* Directories of the user's come first, the earlier before the later, a file before an alias. */
static void test_directories(void **state)
{
    (void)state;
    char *directory = temporary_directory_new();
    char first[200], both[512];
    snprintf(first, sizeof first, "%s/first", directory);
    snprintf(both, sizeof both, "/no/such/directory:%s:%s", first, directory);
    assert_int_equal(mkdir(first, 0777), 0);
    write_definition(first, "Mine.json", "Mine-1");
    write_definition(directory, "mine.json", "Mine-2");
    write_definition(directory, "TCTrend.json", "TCTrend");
    write_definition(directory, "demo.JSON", "Demo");
    CPLSetThreadLocalConfigOption("SGC_DATASETS_PATH", both);
    static const char *const cases[][2] = {
        {"mine", "Mine-1"}, {"tctrend", "TCTrend"}, {"tctrend2019", "TCTrend2019"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_definition *d = found(cases[i][0], NULL);
        assert_string_equal(d->id, cases[i][1]);
        sgc_definition_free(d);
    }
    sgc_known_dataset *list = NULL;
    size_t count = 0, mine = 0;
    assert_int_equal(sgc_registry_list(&list, &count, NULL), SGC_OK);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || strcasecmp(list[i - 1].name, list[i].name) < 0);
        assert_non_null(list[i].title);
        mine += strcmp(list[i].title, "Mine") == 0;
    }
    assert_int_equal(mine, 3); /* Mine, TCTrend and Demo */
    size_t shipped = 0;
    while (sgc_builtin_definitions[shipped].id != NULL)
        shipped++;
    assert_true(count >= shipped + 2); /* Demo is there once */
    sgc_registry_list_free(list, count);
    CPLSetThreadLocalConfigOption("SGC_DATASETS_PATH", NULL);
    temporary_directory_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_ships),
        cmocka_unit_test(test_grids_and_channels_of_what_ships),
        cmocka_unit_test(test_classes_of_worldcover),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_names_that_parameters_made),
        cmocka_unit_test(test_patterns_and_defaults),
        cmocka_unit_test(test_parameters_of_grids),
        cmocka_unit_test(test_bad_parameters),
        cmocka_unit_test(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
