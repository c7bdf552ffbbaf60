/* Kinds `tiles` and `gdal`: which patches, called what, from where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/raster_file.h"
#include "datasets/registry.h"
#include "datasets/source.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The cube of ArcticDEM32m, with two bands. */
static sgc_band bands[2];
static sgc_definition definition;
static int64_t starts[3] = {1483228800, 1514764800, 1546300800}; /* 2017, 2018, 2019 */
static int64_t ends[3] = {1514764800, 1546300800, 1577836800};

static int set_up(void **state)
{
    (void)state;
    static char dem[] = "dem", mask[] = "datamask", id[] = "x", type[] = "float32";
    static char crs[] = "EPSG:3413";
    bands[0] = (sgc_band){
        .name = dem, .asset = dem, .data_type = type, .type = GDT_Float32, .source_band = 1};
    bands[1] = (sgc_band){
        .name = mask, .asset = mask, .data_type = type, .type = GDT_Float32, .source_band = 1};
    definition = (sgc_definition){
        .id = id,
        .crs = crs,
        .grid = {crs, {-4000096, 32, 0, 4100096, 0, -32}, 231256, 234381},
        .chunk_width = 3600,
        .chunk_height = 3600,
        .band_count = 2,
        .bands = bands,
    };
    return 0;
}

static void set_world(double x0, double y0, double r, int64_t width, int64_t height)
{
    static char crs[] = "EPSG:4326";
    definition.crs = crs;
    definition.grid = (sgc_grid){crs, {x0, r, 0, y0, 0, -r}, width, height};
}

static void set_time(void)
{
    definition.time = (sgc_time_axis){.count = 3, .starts = starts, .ends = ends};
}

/* A source and the JSON it borrows. */
typedef struct made {
    cJSON *json;
    sgc_source *source;
} made;

static sgc_status try_make(const char *json, const char *url, made *out, sgc_error *err)
{
    const sgc_source_options options = {.url = url};
    out->json = cJSON_Parse(json);
    out->source = NULL;
    assert_non_null(out->json);
    return sgc_source_new(&definition, out->json, &options, &out->source, err);
}

static made make(const char *json, const char *url)
{
    made m;
    sgc_error error = {""};
    if (try_make(json, url, &m, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return m;
}

static void drop(made *m)
{
    sgc_source_free(m->source);
    cJSON_Delete(m->json);
}

static sgc_patch_list find(const made *m, sgc_rect rect, size_t step)
{
    sgc_patch_list list = {0};
    sgc_error error = {""};
    if (m->source->find(m->source, rect, step, NULL, &list, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return list;
}

/* The ids of the patches, with spaces between. */
static void assert_ids(const made *m, sgc_rect rect, size_t step, const char *expected)
{
    sgc_patch_list list = find(m, rect, step);
    char text[1024] = "";
    for (size_t i = 0; i < list.count; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, list.patches[i].id);
        assert_int_equal(list.patches[i].step, step);
    }
    assert_string_equal(text, expected);
    sgc_patch_list_free(&list);
}

static void assert_rect(sgc_rect rect, int64_t x, int64_t y, int64_t width, int64_t height)
{
    assert_int_equal(rect.x, x);
    assert_int_equal(rect.y, y);
    assert_int_equal(rect.width, width);
    assert_int_equal(rect.height, height);
}

static void check_refused(const char *json, const char *url, const char *words)
{
    made m;
    sgc_error error = {""};
    assert_int_equal(try_make(json, url, &m, &error), SGC_INVALID);
    if (strstr(error.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    cJSON_Delete(m.json);
}

/* ---- tiles ---- */

#define ARCTIC_TILE                                                                            \
    "\"buffer\": 3, \"tile\": {\"origin\": [-4000000, -4000000], \"size\": [100000, 100000], " \
    "\"first\": [1, 1]}"
#define ARCTIC                           \
    "{\"kind\": \"tiles\", " ARCTIC_TILE \
    ", \"href\": \"https://h.example/a/{row|02}_{col|02}_{asset}.tif\"}"

/* The numbers of the guide, 3.3: tile (r, c) starts at column 3125 (c - 1), row 3125 (81 - r). */
static void test_tiles_of_the_arctic_lattice(void **state)
{
    (void)state;
    made m = make(ARCTIC, NULL);
    assert_true(m.source->finds_alone && m.source->has_levels);
    sgc_patch_list list = find(&m, (sgc_rect){101000, 47500, 64, 64}, 0);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.patches[0].id, "66_33");
    assert_rect(list.patches[0].rect, 3125 * 32, 3125 * 15, 3131, 3131);
    assert_string_equal(list.patches[0].hrefs[0], "https://h.example/a/66_33_dem.tif");
    assert_string_equal(list.patches[0].hrefs[1], "https://h.example/a/66_33_datamask.tif");
    sgc_patch_list_free(&list);

    /* The chunks of the example in test_arcticdem.py. */
    assert_ids(&m, (sgc_rect){100800, 43200, 3600, 7200}, 0,
               "65_33 65_34 66_33 66_34 67_33 67_34 68_33 68_34");
    /* Six pixels are of both neighbours. */
    const int64_t edge = 3125 * 33;
    assert_ids(&m, (sgc_rect){edge - 1, 47500, 1, 1}, 0, "66_33");
    assert_ids(&m, (sgc_rect){edge, 47500, 1, 1}, 0, "66_33 66_34");
    assert_ids(&m, (sgc_rect){edge + 5, 47500, 1, 1}, 0, "66_33 66_34");
    assert_ids(&m, (sgc_rect){edge + 6, 47500, 1, 1}, 0, "66_34");
    /* Outside of the cube there is nothing. */
    assert_ids(&m, (sgc_rect){-100, -100, 50, 50}, 0, "");
    drop(&m);
}

static void test_ids_by_template_and_by_time(void **state)
{
    (void)state;
    set_time();
    made m = make("{\"kind\": \"tiles\", " ARCTIC_TILE
                  ", \"href\": \"https://h.example/{t_year}/{t_end_year}{t_month|02}{t_day|02}/"
                  "{id}.tif\", \"id\": \"{row|02}-{col|02}\"}",
                  NULL);
    sgc_patch_list list = find(&m, (sgc_rect){101000, 47500, 64, 64}, 1);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.patches[0].id, "66-33_2018-01-01");
    assert_string_equal(list.patches[0].hrefs[0],
                        "https://h.example/2018/20190101/66-33_2018-01-01.tif");
    sgc_patch_list_free(&list);
    drop(&m);
    m = make("{\"kind\": \"tiles\", " ARCTIC_TILE
             ", \"href\": \"https://h.example/{row}_{col}_{t_year}.tif\", \"id\": "
             "\"{t_year}/{row}_{col}\"}",
             NULL);
    assert_ids(&m, (sgc_rect){101000, 47500, 64, 64}, 2, "2019/66_33");
    drop(&m);
    m = make("{\"kind\": \"tiles\", " ARCTIC_TILE
             ", \"href\": \"https://h.example/{row}_{col}_{t_year}.tif\"}",
             NULL);
    starts[2] += 6 * 3600;
    assert_ids(&m, (sgc_rect){101000, 47500, 64, 64}, 2, "66_33_2019-01-01T060000");
    starts[2] -= 6 * 3600;
    drop(&m);
}

/* Numbers of tiles have as many digits as the largest: byte order is the order of places. */
static void test_ids_have_leading_zeros(void **state)
{
    (void)state;
    set_world(-180, 84, 1.0 / 120, 43200, 17280);
    made m = make("{\"kind\": \"tiles\", \"tile\": {\"origin\": [-180, -90], \"size\": [1, 1]}, "
                  "\"href\": \"https://h.example/{y_min|NS02}{x_min|EW003}.tif\"}",
                  NULL);
    sgc_patch_list list = find(&m, (sgc_rect){0, 120 * 100, 10, 10}, 0);
    assert_string_equal(list.patches[0].id, "074_001");
    assert_string_equal(list.patches[0].hrefs[0], "https://h.example/S17W180.tif");
    sgc_patch_list_free(&list);
    drop(&m);
}

/* The global grids begin and end a hair beyond the antimeridian and the poles: no tile is there. */
static void test_there_is_no_tile_beyond_the_world(void **state)
{
    (void)state;
    set_world(-180.00001488697754, 90.00014219078139, 0.00026949458523585647, 1335834, 667918);
    made m = make("{\"kind\": \"tiles\", \"tile\": {\"origin\": [-180, -90], \"size\": [3, 3], "
                  "\"first\": [0, 0]}, \"href\": \"https://h.example/{y_min}_{x_min}.tif\"}",
                  NULL);
    assert_ids(&m, (sgc_rect){0, 0, 10, 10}, 0, "059_000");
    assert_ids(&m, (sgc_rect){1335834 - 10, 667918 - 10, 10, 10}, 0, "000_119");
    drop(&m);
}

/* A polar cube over a lattice in degrees: tiles on both sides of the antimeridian, all around the
 * pole. */
static void test_lattice_in_degrees_under_a_polar_cube(void **state)
{
    (void)state;
    definition.grid.transform[0] = -4000000;
    definition.grid.transform[1] = 1000;
    definition.grid.transform[3] = 4000000;
    definition.grid.transform[5] = -1000;
    definition.grid.width = definition.grid.height = 8000;
    made m = make("{\"kind\": \"tiles\", \"proj:code\": \"EPSG:4326\", \"tile\": {\"origin\": "
                  "[-180, -90], \"size\": [30, 10], \"first\": [0, 0]}, \"href\": "
                  "\"https://h.example/{row}_{col}.tif\"}",
                  NULL);
    /* The pole is in the middle: all twelve tiles north of 80 degrees. */
    sgc_patch_list list = find(&m, (sgc_rect){3990, 3990, 20, 20}, 0);
    assert_int_equal(list.count, 12);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(strncmp(list.patches[i].id, "17_", 3), 0);
    sgc_patch_list_free(&list);
    /* 180 degrees east is 135 degrees anticlockwise of "down" on this map: up and to the left. */
    list = find(&m, (sgc_rect){4000 - 1000, 4000 - 1000, 20, 20}, 0);
    bool east = false, west = false;
    for (size_t i = 0; i < list.count; i++) {
        east |= strstr(list.patches[i].id, "_11") != NULL;
        west |= strstr(list.patches[i].id, "_00") != NULL;
    }
    assert_true(east && west);
    sgc_patch_list_free(&list);
    drop(&m);
}

static void test_another_endpoint(void **state)
{
    (void)state;
    made m = make(ARCTIC, "http://127.0.0.1:80/copy/");
    sgc_patch_list list = find(&m, (sgc_rect){101000, 47500, 64, 64}, 0);
    assert_string_equal(list.patches[0].hrefs[0], "http://127.0.0.1:80/copy/a/66_33_dem.tif");
    sgc_patch_list_free(&list);
    drop(&m);
    check_refused(ARCTIC, "file:///tmp", "http or https");
    check_refused(ARCTIC, "https://h.example/?key=TOPSECRET", "without query");
}

static void test_tiles_that_cannot_be(void **state)
{
    (void)state;
    check_refused("{\"kind\": \"tiles\", \"href\": \"https://h/{row}{col}\"}", NULL,
                  "/source/tile");
    check_refused("{\"kind\": \"tiles\", " ARCTIC_TILE "}", NULL, "/source/href");
    check_refused("{\"kind\": \"tiles\", \"href\": \"https://h/{rwo}{col}\", " ARCTIC_TILE "}",
                  NULL, "/source/href: character 11");
    check_refused(
        "{\"kind\": \"tiles\", \"href\": \"https://h/{row}{col}\", \"id\": \"{id}\", " ARCTIC_TILE
        "}",
        NULL, "/source/id");
    check_refused("{\"kind\": \"tiles\", \"href\": \"https://h/{t_year}{row}{col}\", " ARCTIC_TILE
                  "}",
                  NULL, "/source/href");
    check_refused("{\"kind\": \"tiles\", \"href\": \"https://h/{row}{col}\", \"proj:code\": "
                  "\"EPSG:99999\", " ARCTIC_TILE "}",
                  NULL, "/source/proj:code");
}

static void test_degrees_from_0_to_360_are_refused(void **state)
{
    (void)state;
    set_world(0, 90, 1, 360, 180);
    check_refused("{\"kind\": \"tiles\", \"tile\": {\"origin\": [-180, -90], \"size\": [3, 3]}, "
                  "\"href\": \"https://h.example/{y_min}_{x_min}.tif\"}",
                  NULL, "between -180 and 180");
}

/* An edge that is no integer cannot be part of a name. */
static void test_edges_that_are_no_integers(void **state)
{
    (void)state;
    set_world(-180, 84, 1.0 / 120, 43200, 17280);
    made m =
        make("{\"kind\": \"tiles\", \"tile\": {\"origin\": [-180, -90], \"size\": [0.5, 0.5]}, "
             "\"href\": \"https://h.example/{y_min}_{x_min}.tif\"}",
             NULL);
    sgc_patch_list list = {0};
    sgc_error error = {""};
    assert_int_equal(m.source->find(m.source, (sgc_rect){60, 0, 10, 10}, 0, NULL, &list, &error),
                     SGC_INVALID);
    assert_non_null(strstr(error.message, "83.5"));
    drop(&m);
}

/* ---- datasets that ship ---- */

/* The source of a dataset that ships; drop it before its definition. */
static sgc_source *ship(const char *name, sgc_definition **shipped)
{
    const sgc_source_options options = {0};
    sgc_source *source = NULL;
    sgc_error error = {""};
    if (sgc_registry_find(name, NULL, shipped, &error) != SGC_OK ||
        sgc_source_new(*shipped, (*shipped)->source, &options, &source, &error) != SGC_OK)
        fail_msg("%s: %s", name, error.message);
    return source;
}

/* The one patch at a place in degrees. */
static sgc_patch_list find_place(sgc_source *source, const sgc_definition *shipped, double lon,
                                 double lat)
{
    const double *t = shipped->grid.transform;
    const sgc_rect pixel = {(int64_t)((lon - t[0]) / t[1]), (int64_t)((lat - t[3]) / t[5]), 1, 1};
    sgc_patch_list list = {0};
    assert_int_equal(source->find(source, pixel, 0, NULL, &list, NULL), SGC_OK);
    assert_int_equal(list.count, 1);
    return list;
}

/* The names are those of the guide, section 5. */
static void test_shipped_tiles_have_the_names_of_their_services(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double lon, lat;
        const char *first_band;
    } cases[] = {
        {"CopernicusDEM30", -114.5, 53.5,
         "https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com/"
         "Copernicus_DSM_COG_10_N53_00_W115_00_DEM/Copernicus_DSM_COG_10_N53_00_W115_00_DEM.tif"},
        {"CopernicusDEM30", 0.5, -0.5,
         "https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com/"
         "Copernicus_DSM_COG_10_S01_00_E000_00_DEM/Copernicus_DSM_COG_10_S01_00_E000_00_DEM.tif"},
        {"CopernicusDEM90", -179.5, -89.5,
         "https://copernicus-dem-90m.s3.eu-central-1.amazonaws.com/"
         "Copernicus_DSM_COG_30_S90_00_W180_00_DEM/Copernicus_DSM_COG_30_S90_00_W180_00_DEM.tif"},
        {"ESAWorldCover2021", 7, 1,
         "https://esa-worldcover.s3.eu-central-1.amazonaws.com/v200/2021/map/"
         "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"},
        {"ESAWorldCover2020", -60, -1,
         "https://esa-worldcover.s3.eu-central-1.amazonaws.com/v100/2020/map/"
         "ESA_WorldCover_10m_2020_v100_S03W060_Map.tif"},
        {"HansenGFC", 15, 45,
         "https://storage.googleapis.com/earthenginepartners-hansen/GFC-2024-v1.12/"
         "Hansen_GFC-2024-v1.12_treecover2000_50N_010E.tif"},
        {"HansenGFC", -5, -5,
         "https://storage.googleapis.com/earthenginepartners-hansen/GFC-2024-v1.12/"
         "Hansen_GFC-2024-v1.12_treecover2000_00N_010W.tif"},
        {"JRCGlobalSurfaceWater", 35, -5,
         "https://storage.googleapis.com/global-surface-water/downloads2021/occurrence/"
         "occurrence_30E_0Nv1_4_2021.tif"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_definition *shipped;
        sgc_source *source = ship(cases[i].name, &shipped);
        sgc_patch_list list = find_place(source, shipped, cases[i].lon, cases[i].lat);
        assert_string_equal(list.patches[0].hrefs[0], cases[i].first_band);
        sgc_patch_list_free(&list);
        sgc_source_free(source);
        sgc_definition_free(shipped);
    }
}

/* Files of Copernicus begin half a pixel of their own before their degree; pixels get wider toward
 * the poles (guide, 5). */
static void test_shipped_tiles_hold_their_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double lon, lat, transform[6];
        int64_t columns, rows;
    } cases[] = {
        {"CopernicusDEM30",
         -114.5,
         53.5,
         {-115.00020833333333, 1.0 / 2400, 0, 54.00013888888889, 0, -1.0 / 3600},
         2400,
         3600},
        {"CopernicusDEM30",
         -179.5,
         -89.5,
         {-180.0013888888889, 1.0 / 360, 0, -88.99986111111112, 0, -1.0 / 3600},
         360,
         3600},
        {"ESAWorldCover2021", 7, 1, {6, 1.0 / 12000, 0, 3, 0, -1.0 / 12000}, 36000, 36000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_definition *shipped;
        sgc_source *source = ship(cases[i].name, &shipped);
        sgc_patch_list list = find_place(source, shipped, cases[i].lon, cases[i].lat);
        const sgc_rect whole = {0, 0, shipped->grid.width, shipped->grid.height};
        sgc_rect file;
        assert_int_equal(sgc_raster_extent("EPSG:4326", cases[i].transform, cases[i].columns,
                                           cases[i].rows, &shipped->grid, &file, NULL),
                         SGC_OK);
        assert_true(sgc_rect_contains(list.patches[0].rect, sgc_rect_intersect(file, whole)));
        sgc_patch_list_free(&list);
        sgc_source_free(source);
        sgc_definition_free(shipped);
    }
}

/* ---- gdal ---- */

static void test_patches_of_kind_gdal_are_chunks(void **state)
{
    (void)state;
    made m = make("{\"kind\": \"gdal\", \"dataset\": \"/nowhere.tif\"}", NULL);
    sgc_patch_list list = find(&m, (sgc_rect){3599, 3600, 2, 10}, 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.patches[0].id, "1-0");
    assert_rect(list.patches[0].rect, 0, 3600, 3600, 3600);
    assert_string_equal(list.patches[1].id, "1-1");
    sgc_patch_list_free(&list);
    /* The last chunks end where the cube does. */
    list = find(&m, (sgc_rect){231255, 234380, 100000, 100000}, 0);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.patches[0].id, "65-64");
    assert_rect(list.patches[0].rect, 230400, 234000, 856, 381);
    sgc_patch_list_free(&list);
    assert_ids(&m, (sgc_rect){-10, -10, 5, 5}, 0, "");
    drop(&m);
}

/* A level's chunk is one window of the raster, however many chunks lie under it. */
static void test_levels_of_kind_gdal_are_one_patch(void **state)
{
    (void)state;
    made m = make("{\"kind\": \"gdal\", \"dataset\": \"/nowhere.tif\"}", NULL);
    sgc_patch_list list = {0};
    assert_int_equal(
        m.source->find_level(m.source, (sgc_rect){0, 0, 231256, 234381}, 0, NULL, &list, NULL),
        SGC_OK);
    assert_int_equal(list.count, 1);
    /* The last pixels of a level reach beyond the grid, by up to half of one. */
    for (int64_t factor = 2; factor <= 512; factor *= 2) {
        const sgc_grid level = sgc_grid_at_level(&definition.grid, factor);
        const sgc_rect all = {0, 0, level.width, level.height};
        assert_true(sgc_rect_contains(
            sgc_rect_at_level(&definition.grid, list.patches[0].rect, factor), all));
    }
    sgc_patch_list_free(&list);
    drop(&m);
}

static void test_rasters_that_cannot_be(void **state)
{
    (void)state;
    check_refused("{\"kind\": \"gdal\"}", NULL, "/source/dataset: required");
    check_refused("{\"kind\": \"gdal\", \"dataset\": \"sgc:./cube\"}", NULL, "source of a cube");
    check_refused("{\"kind\": \"gdal\", \"dataset\": \"a.nc\", \"dimension\": \"time\"}", NULL,
                  "/source/dimension");
    set_time();
    check_refused("{\"kind\": \"gdal\", \"dataset\": \"a.tif\"}", NULL, "/source/dimension");
}

/* ---- arrays with a time axis ---- */

enum { SIDE = 8, STEPS = 3 };

/* What GDAL's own requests go by while the source opens its dataset. */
static char seen_options[200];

static void print_options(char text[200])
{
    static const char *const names[] = {"GDAL_HTTP_MAX_RETRY",      "GDAL_HTTP_CONNECTTIMEOUT",
                                        "GDAL_HTTP_LOW_SPEED_TIME", "GDAL_HTTP_LOW_SPEED_LIMIT",
                                        "GDAL_HTTP_RETRY_DELAY",    "GDAL_HTTP_TIMEOUT"};
    text[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        strcat(text, CPLGetConfigOption(names[i], "-"));
        strcat(text, " ");
    }
}

static void *see_options(void *user, const char *name, const char *access)
{
    (void)user;
    (void)name;
    (void)access;
    print_options(seen_options);
    return NULL;
}

static bool never(void *user)
{
    (void)user;
    return false;
}

/* With a deadline nothing is asked for that would last beyond it. */
static void test_limits_of_gdals_own_requests(void **state)
{
    (void)state;
    VSIFilesystemPluginCallbacksStruct *callbacks = VSIAllocFilesystemPluginCallbacksStruct();
    callbacks->open = see_options;
    assert_int_equal(VSIInstallPluginHandler("/vsisee/", callbacks), 0);
    VSIFreeFilesystemPluginCallbacksStruct(callbacks);
    made m = make("{\"kind\": \"gdal\", \"dataset\": \"/vsisee/a\", \"retries\": 30}", NULL);
    sgc_patch_list list = find(&m, (sgc_rect){0, 0, 1, 1}, 0);
    const size_t band = 0;
    float pixel;
    uint8_t valid;
    void *pixels = &pixel;
    uint8_t *valids = &valid;
    sgc_fetch fetch;
    const sgc_cancel soon = {.requested = never, .deadline_ms = 1},
                     late = {.requested = never, .deadline_ms = UINT64_MAX};
    const struct {
        const sgc_cancel *cancel;
        const char *slow, *expected, *afterwards;
    } cases[] = {
        {NULL, NULL, "4 30 30 1000 1 0 ", "- - - - - - "},
        {NULL, "7", "4 30 7 1 1 0 ", "- - 7 - - - "},
        {&soon, NULL, "1 30 30 1000 1 1 ", "- - - - - - "},
        {&late, NULL, "1 30 30 1000 1 86400 ", "- - - - - - "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CPLSetThreadLocalConfigOption("GDAL_HTTP_LOW_SPEED_TIME", cases[i].slow);
        assert_int_equal(m.source->read(m.source, &list.patches[0], &band, 1, 1,
                                        (sgc_rect){0, 0, 1, 1}, &pixels, &valids, &fetch,
                                        cases[i].cancel, NULL),
                         SGC_IO);
        assert_string_equal(seen_options, cases[i].expected);
        print_options(seen_options);
        assert_string_equal(seen_options, cases[i].afterwards);
    }
    CPLSetThreadLocalConfigOption("GDAL_HTTP_LOW_SPEED_TIME", NULL);
    sgc_patch_list_free(&list);
    drop(&m);
}

static char directory[] = "/tmp/sgc_test_XXXXXX";

static void put_numbers(GDALMDArrayH array, size_t dimensions, const size_t *counts,
                        const double *values)
{
    const GUInt64 start[4] = {0};
    size_t total = 1;
    for (size_t i = 0; i < dimensions; i++)
        total *= counts[i];
    GDALExtendedDataTypeH type = GDALExtendedDataTypeCreate(GDT_Float64);
    assert_true(GDALMDArrayWrite(array, start, counts, NULL, NULL, type, values, values,
                                 total * sizeof *values));
    GDALExtendedDataTypeRelease(type);
}

/* netCDF knows by the name which variable a dimension has, Zarr must be told. */
static GDALDimensionH add_axis(GDALGroupH group, bool is_told, const char *name, const char *type,
                               size_t count, const double *values, const char *unit)
{
    GDALDimensionH dimension = GDALGroupCreateDimension(group, name, type, NULL, count, NULL);
    GDALExtendedDataTypeH number = GDALExtendedDataTypeCreate(GDT_Float64);
    GDALMDArrayH variable = GDALGroupCreateMDArray(group, name, 1, &dimension, number, NULL);
    assert_non_null(variable);
    if (unit != NULL)
        assert_true(GDALMDArraySetUnit(variable, unit));
    put_numbers(variable, 1, &count, values);
    if (is_told)
        assert_true(GDALDimensionSetIndexingVariable(dimension, variable));
    GDALMDArrayRelease(variable);
    GDALExtendedDataTypeRelease(number);
    return dimension;
}

/* What the array "dem" holds at a place; -1 is its nodata value. */
static double value_at(size_t step, size_t row, size_t column)
{
    return row == 2 && column == 3 ? -1 : (double)(1000 * step + 10 * row + column);
}

/* Writes an array [time, y, x] in one-degree pixels, north-up from (10, 60). */
static void write_array(const char *driver, const char *path, const double *times, const char *unit)
{
    double x[SIDE], y[SIDE], values[STEPS * SIDE * SIDE];
    for (size_t i = 0; i < SIDE; i++) {
        x[i] = 10.5 + (double)i;
        y[i] = 59.5 - (double)i;
    }
    for (size_t i = 0; i < STEPS * SIDE * SIDE; i++)
        values[i] = value_at(i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
    GDALDatasetH file = GDALCreateMultiDimensional(GDALGetDriverByName(driver), path, NULL, NULL);
    assert_non_null(file);
    GDALGroupH root = GDALDatasetGetRootGroup(file);
    const bool is_zarr = strcmp(driver, "Zarr") == 0;
    GDALDimensionH dimensions[3] = {
        add_axis(root, is_zarr, "time", "TEMPORAL", STEPS, times, unit),
        add_axis(root, is_zarr, "y", "HORIZONTAL_Y", SIDE, y, NULL),
        add_axis(root, is_zarr, "x", "HORIZONTAL_X", SIDE, x, NULL),
    };
    GDALExtendedDataTypeH type = GDALExtendedDataTypeCreate(GDT_Float32);
    GDALMDArrayH array = GDALGroupCreateMDArray(root, "dem", 3, dimensions, type, NULL);
    const size_t counts[] = {STEPS, SIDE, SIDE};
    assert_true(GDALMDArraySetNoDataValueAsDouble(array, -1));
    put_numbers(array, 3, counts, values);
    GDALMDArrayRelease(array);
    GDALExtendedDataTypeRelease(type);
    for (int i = 0; i < 3; i++)
        GDALDimensionRelease(dimensions[i]);
    GDALGroupRelease(root);
    GDALClose(file);
}

static sgc_status read_step(const made *m, size_t step, float pixels[SIDE * SIDE],
                            uint8_t valid[SIDE * SIDE], sgc_error *err)
{
    sgc_patch_list list = find(m, (sgc_rect){0, 0, SIDE, SIDE}, step);
    assert_int_equal(list.count, 1);
    void *const targets[] = {pixels};
    sgc_fetch fetch;
    const size_t band = 0;
    const sgc_status status =
        m->source->read(m->source, &list.patches[0], &band, 1, 1, (sgc_rect){0, 0, SIDE, SIDE},
                        targets, &valid, &fetch, NULL, err);
    sgc_patch_list_free(&list);
    return status;
}

static void check_step(const made *m, size_t step, size_t expected)
{
    float pixels[SIDE * SIDE];
    uint8_t valid[SIDE * SIDE];
    sgc_error error = {""};
    if (read_step(m, step, pixels, valid, &error) != SGC_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        const double value = value_at(expected, i / SIDE, i % SIDE);
        assert_int_equal(valid[i], value != -1);
        assert_true(!valid[i] || (double)pixels[i] == value);
    }
}

static made make_array(const char *path)
{
    char json[512];
    set_world(10, 60, 1, SIDE, SIDE);
    set_time();
    snprintf(json, sizeof json,
             "{\"kind\": \"gdal\", \"dataset\": \"%s\", \"dimension\": \"time\"}", path);
    return make(json, NULL);
}

static void check_array(const char *driver, const char *name, const double *times, const char *unit)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (GDALGetDriverByName(driver) == NULL)
        skip();
    write_array(driver, path, times, unit);
    made m = make_array(path);
    for (int round = 0; round < 2; round++) /* anew, and from the pool */
        for (size_t step = 0; step < STEPS; step++)
            check_step(&m, step, step);
    assert_ids(&m, (sgc_rect){0, 0, 1, 1}, 2, "2-0-0");
    drop(&m);
}

static const double days[STEPS] = {0, 365, 730};

static void test_steps_of_a_netcdf_file(void **state)
{
    (void)state;
    check_array("netCDF", "a.nc", days, "days since 2017-01-01 00:00:00");
}

static void test_steps_of_a_zarr_array(void **state)
{
    (void)state;
    const double hours[STEPS] = {24 * 365 - 6, 24 * 730 - 6, 24 * 1095 - 6};
    check_array("Zarr", "a.zarr", hours, "hours since 2016-01-02T06:00:00Z");
}

static void test_coordinates_that_are_years(void **state)
{
    (void)state;
    const double years[STEPS] = {2017, 2018, 2019};
    check_array("Zarr", "years.zarr", years, NULL);
}

static void test_step_that_is_not_there(void **state)
{
    (void)state;
    float pixels[SIDE * SIDE];
    uint8_t valid[SIDE * SIDE];
    char path[128];
    snprintf(path, sizeof path, "%s/short.zarr", directory);
    const double later[STEPS] = {0, 366, 730};
    write_array("Zarr", path, later, "days since 2017-01-01");
    made m = make_array(path);
    check_step(&m, 0, 0);
    sgc_error error = {""};
    assert_int_equal(read_step(&m, 1, pixels, valid, &error), SGC_NOT_FOUND);
    check_step(&m, 2, 2);
    drop(&m);
}

static void check_array_fails(const char *name, const char *unit, sgc_status status,
                              const char *words)
{
    float pixels[SIDE * SIDE];
    uint8_t valid[SIDE * SIDE];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    write_array("Zarr", path, days, unit);
    made m = make_array(path);
    sgc_error error = {""};
    assert_int_equal(read_step(&m, 0, pixels, valid, &error), status);
    if (strstr(error.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    drop(&m);
}

static void test_arrays_that_cannot_be_read(void **state)
{
    (void)state;
    static char other[] = "other";
    check_array_fails("months.zarr", "months since 2017-01-01", SGC_UNSUPPORTED, "months");
    bands[0].asset = other;
    check_array_fails("name.zarr", "days since 2017-01-01", SGC_INVALID, "no array \"other\"");
}

static int start_server(void **state)
{
    (void)state;
    GDALAllRegister();
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int stop_server(void **state)
{
    (void)state;
    VSIRmdirRecursive(directory);
    GDALDestroyDriverManager();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tiles_of_the_arctic_lattice, set_up),
        cmocka_unit_test_setup(test_ids_by_template_and_by_time, set_up),
        cmocka_unit_test_setup(test_ids_have_leading_zeros, set_up),
        cmocka_unit_test_setup(test_there_is_no_tile_beyond_the_world, set_up),
        cmocka_unit_test_setup(test_lattice_in_degrees_under_a_polar_cube, set_up),
        cmocka_unit_test_setup(test_another_endpoint, set_up),
        cmocka_unit_test_setup(test_tiles_that_cannot_be, set_up),
        cmocka_unit_test_setup(test_degrees_from_0_to_360_are_refused, set_up),
        cmocka_unit_test_setup(test_shipped_tiles_have_the_names_of_their_services, set_up),
        cmocka_unit_test_setup(test_shipped_tiles_hold_their_files, set_up),
        cmocka_unit_test_setup(test_edges_that_are_no_integers, set_up),
        cmocka_unit_test_setup(test_patches_of_kind_gdal_are_chunks, set_up),
        cmocka_unit_test_setup(test_levels_of_kind_gdal_are_one_patch, set_up),
        cmocka_unit_test_setup(test_rasters_that_cannot_be, set_up),
        cmocka_unit_test_setup(test_limits_of_gdals_own_requests, set_up),
        cmocka_unit_test_setup(test_steps_of_a_netcdf_file, set_up),
        cmocka_unit_test_setup(test_steps_of_a_zarr_array, set_up),
        cmocka_unit_test_setup(test_coordinates_that_are_years, set_up),
        cmocka_unit_test_setup(test_step_that_is_not_there, set_up),
        cmocka_unit_test_setup(test_arrays_that_cannot_be_read, set_up),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
