/* Areas of interest on grids: the selection examples of datasets guide 2.1, the antimeridian and
 * the poles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/area.h"

static const sgc_grid arctic_32m = {
    "EPSG:3413", {-4000096, 32, 0, 4100096, 0, -32}, 231256, 234381};
static const sgc_grid arctic_10m = {
    "EPSG:3413", {-4000100, 10, 0, 4100100, 0, -10}, 740020, 750020};
static const sgc_grid arctic_2m = {"EPSG:3413", {-4000100, 2, 0, 4100100, 0, -2}, 3700100, 3750100};
static const sgc_grid world_30m = {
    "EPSG:4326",
    {-180.00001488697754, 0.00026949458523585647, 0, 90.00014219078139, 0, -0.00026949458523585647},
    1335834,
    667918};
static const sgc_grid world_10m = {
    "EPSG:4326",
    {-180.00001486302838, 8.98315284e-05, 0, 90.0000523472784, 0, -8.98315284e-05},
    4007502,
    2003752};

static sgc_area area_of(const sgc_grid *grid, const char *crs, const double bounds[4], int steps)
{
    sgc_area area = {0};
    sgc_error error = {""};
    if (sgc_area_from_bounds(grid, crs, bounds, steps, &area, &error) != SGC_OK)
        fail_msg("%s", error.message);
    return area;
}

/* ---- windows ---- */

/* The package takes the corners alone. */
static void check_window(const sgc_grid *grid, const double bounds[4], int64_t top, int64_t bottom,
                         int64_t left, int64_t right)
{
    sgc_area corners = area_of(grid, NULL, bounds, 1);
    sgc_area edges = area_of(grid, NULL, bounds, SGC_AREA_STEPS);
    const sgc_rect window = sgc_area_window(&corners, grid);
    assert_int_equal(window.y, top);
    assert_int_equal(window.y + window.height, bottom);
    assert_int_equal(window.x, left);
    assert_int_equal(window.x + window.width, right);
    assert_true(sgc_rect_contains(sgc_area_window(&edges, grid), window));
    sgc_area_free(&corners);
    sgc_area_free(&edges);
}

static void test_windows_of_the_package(void **state)
{
    (void)state;
    check_window(&arctic_32m, (double[]){150, 65, 151, 65.5}, 45111, 47215, 101313, 103218);
    check_window(&arctic_2m, (double[]){150, 65, 150.1, 65.1}, 721782, 727881, 1641824, 1645610);
    check_window(&world_30m, (double[]){150, 65, 151, 66}, 89056, 92767, 1224514, 1228226);
}

/* ---- patches ---- */

/* Lists the tiles of the lattice of ArcticDEM (datasets guide 3.3) that meet the area. */
static void list_tiles(const sgc_grid *grid, const sgc_area *area, double size, double buffer,
                       char out[256])
{
    const double *t = grid->transform;
    const int sides = (int)(100000 / size);
    out[0] = '\0';
    for (int row = 1; row <= 81 * sides; row++) {
        for (int col = 1; col <= 74 * sides; col++) {
            const double west = -4000000 + (col - 1) * size, south = -4000000 + (row - 1) * size;
            const sgc_rect rect = {(int64_t)((west - buffer - t[0]) / t[1]),
                                   (int64_t)((south + size + buffer - t[3]) / t[5]),
                                   (int64_t)((size + 2 * buffer) / t[1]),
                                   (int64_t)((size + 2 * buffer) / t[1])};
            if (!sgc_area_meets(area, rect))
                continue;
            const size_t end = strlen(out);
            if (sides == 1)
                snprintf(out + end, 256 - end, "%02d_%02d ", row, col);
            else
                snprintf(out + end, 256 - end, "%02d_%02d_%d_%d ", (row + 1) / 2, (col + 1) / 2,
                         2 - row % 2, 2 - col % 2);
        }
    }
}

static void check_tiles(const sgc_grid *grid, const double bounds[4], double size, double buffer,
                        const char *wanted)
{
    char list[256];
    sgc_area area = area_of(grid, NULL, bounds, SGC_AREA_STEPS);
    list_tiles(grid, &area, size, buffer, list);
    assert_string_equal(list, wanted);
    sgc_area_free(&area);
}

static void test_tiles_of_arcticdem(void **state)
{
    (void)state;
    check_tiles(&arctic_32m, (double[]){150, 65, 151, 65.5}, 100000, 96, "66_33 67_33 67_34 ");
    check_tiles(&arctic_2m, (double[]){150, 65, 150.1, 65.1}, 50000, 100, "67_33_1_2 67_33_2_2 ");
    check_tiles(&arctic_10m, (double[]){-180, 67.5, -179.5, 67.8}, 100000, 100, "58_23 ");
    check_tiles(&arctic_10m, (double[]){179.5, 67.5, 180, 67.8}, 100000, 100, "58_23 ");
    check_tiles(&arctic_10m, (double[]){179.5, 67.5, -179.5, 67.8}, 100000, 100, "58_23 ");
}

/* Lists the chunks of 3600 x 3600 pixels that meet the area, as row-column. */
static void check_chunks(const sgc_grid *grid, const double bounds[4], const char *wanted)
{
    enum { CHUNK = 3600 };
    char list[256] = "";
    sgc_area area = area_of(grid, NULL, bounds, SGC_AREA_STEPS);
    const sgc_rect window = sgc_area_window(&area, grid);
    for (int64_t row = window.y / CHUNK; row * CHUNK < window.y + window.height; row++) {
        for (int64_t col = window.x / CHUNK; col * CHUNK < window.x + window.width; col++) {
            const sgc_rect chunk = {col * CHUNK, row * CHUNK, CHUNK, CHUNK};
            const size_t end = strlen(list);
            if (sgc_area_meets(&area, chunk))
                snprintf(list + end, sizeof list - end, "%d-%d ", (int)row, (int)col);
        }
    }
    assert_string_equal(list, wanted);
    sgc_area_free(&area);
}

static void test_chunks_of_the_world(void **state)
{
    (void)state;
    check_chunks(&world_30m, (double[]){150, 65, 151, 66}, "24-340 24-341 25-340 25-341 ");
    check_chunks(&world_30m, (double[]){-180, 67.5, -179.5, 67.8}, "22-0 23-0 ");
    check_chunks(&world_30m, (double[]){179.5, 67.5, 180, 67.8}, "22-370 22-371 23-370 23-371 ");
    check_chunks(&world_30m, (double[]){179.5, 67.5, -179.5, 67.8},
                 "22-0 22-370 22-371 23-0 23-370 23-371 ");
    check_chunks(&world_10m, (double[]){150, 65, 150.1, 65.1}, "76-1020 77-1020 ");
}

/* ---- other ways around ---- */

/* Every pixel of a coarse grid in degrees lies in the area of a polar rectangle as the projection
 * says. Pixels through which an edge runs may do either. */
static void check_polar(const double bounds[4])
{
    const sgc_grid degrees = {"EPSG:4326", {-180, 1, 0, 90, 0, -1}, 360, 180};
    sgc_area area = area_of(&degrees, "EPSG:3413", bounds, SGC_AREA_STEPS);
    int inside = 0;
    for (int row = 0; row < 60; row++) {
        for (int col = 0; col < 360; col++) {
            /* The polar stereographic projection of a sphere is near enough at a pixel's size. */
            const double lat = 89.5 - row, lon = -179.5 + col;
            const double r = 2 * 6378137.0 * 0.97 * tan((90 - lat) * M_PI / 360);
            const double x = r * sin((lon + 45) * M_PI / 180);
            const double y = -r * cos((lon + 45) * M_PI / 180);
            const double margin = 200000;
            const sgc_rect pixel = {col, row, 1, 1};
            if (x > bounds[0] + margin && x < bounds[2] - margin && y > bounds[1] + margin &&
                y < bounds[3] - margin) {
                assert_true(sgc_area_meets(&area, pixel));
                inside++;
            }
            if (x < bounds[0] - margin || x > bounds[2] + margin || y < bounds[1] - margin ||
                y > bounds[3] + margin)
                assert_false(sgc_area_meets(&area, pixel));
        }
    }
    assert_true(inside > 50);
    sgc_area_free(&area);
}

static void test_polar_windows_on_a_grid_in_degrees(void **state)
{
    (void)state;
    check_polar((double[]){-1000000, -1000000, 1000000, 1000000}); /* around the pole */
    check_polar((double[]){-2000000, 500000, -500000, 2000000});   /* across 180 degrees */
    check_polar((double[]){500000, -2000000, 2000000, -500000});   /* neither */
}

static void test_the_cap_around_the_pole(void **state)
{
    (void)state;
    sgc_area cap = area_of(&arctic_32m, NULL, (double[]){-180, 80, 180, 90}, SGC_AREA_STEPS);
    const sgc_rect window = sgc_area_window(&cap, &arctic_32m);
    const int64_t pole_x = 4000096 / 32, pole_y = 4100096 / 32;
    assert_true(sgc_area_meets(&cap, (sgc_rect){pole_x + 10, pole_y + 10, 1, 1}));
    assert_false(sgc_area_meets(&cap, (sgc_rect){pole_x + 40000, pole_y, 1, 1}));
    /* 80 degrees north is 1085920 m from the pole. */
    assert_true(fabs((double)window.width * 32 - 2 * 1085920.0) < 100);
    assert_true(llabs(window.x + window.width / 2 - pole_x) < 3);
    assert_true(llabs(window.y + window.height / 2 - pole_y) < 3);
    sgc_area_free(&cap);
}

static void test_geometries(void **state)
{
    (void)state;
    static char text[] = "MULTIPOLYGON (((10 10,20 10,20 20,10 20,10 10),(14 14,16 14,16 16,14 "
                         "16,14 14)),((170 0,190 0,190 5,170 5,170 0)))";
    const sgc_grid degrees = {"EPSG:4326", {-180, 1, 0, 90, 0, -1}, 360, 180};
    char *at = text;
    OGRGeometryH geometry = NULL;
    sgc_area area = {0};
    assert_int_equal(OGR_G_CreateFromWkt(&at, NULL, &geometry), OGRERR_NONE);
    assert_int_equal(sgc_area_from_geometry(&degrees, geometry, 4, &area, NULL), SGC_OK);
    OGR_G_DestroyGeometry(geometry);
    assert_true(sgc_area_meets(&area, (sgc_rect){192, 78, 1, 1}));  /* 12 E, 12 N */
    assert_false(sgc_area_meets(&area, (sgc_rect){195, 75, 0, 1})); /* empty */
    assert_true(sgc_area_meets(&area, (sgc_rect){190, 70, 30, 15}));
    assert_false(sgc_area_meets(&area, (sgc_rect){210, 78, 1, 1})); /* 30 E */
    assert_true(sgc_area_meets(&area, (sgc_rect){355, 87, 1, 1}));  /* 175 E */
    assert_true(sgc_area_meets(&area, (sgc_rect){5, 87, 1, 1}));    /* 175 W */
    assert_false(sgc_area_meets(&area, (sgc_rect){12, 87, 1, 1}));  /* 168 W */
    sgc_area_free(&area);
}

static void test_holes(void **state)
{
    (void)state;
    static char text[] = "POLYGON ((0 0,30 0,30 30,0 30,0 0),(10 10,20 10,20 20,10 20,10 10))";
    const sgc_grid degrees = {"EPSG:4326", {-180, 1, 0, 90, 0, -1}, 360, 180};
    char *at = text;
    OGRGeometryH geometry = NULL;
    sgc_area area = {0};
    assert_int_equal(OGR_G_CreateFromWkt(&at, NULL, &geometry), OGRERR_NONE);
    assert_int_equal(sgc_area_from_geometry(&degrees, geometry, 1, &area, NULL), SGC_OK);
    OGR_G_DestroyGeometry(geometry);
    assert_false(sgc_area_meets(&area, (sgc_rect){194, 74, 2, 2}));
    assert_true(sgc_area_meets(&area, (sgc_rect){185, 74, 2, 2}));
    assert_true(sgc_area_meets(&area, (sgc_rect){194, 74, 10, 2})); /* over the hole's edge */
    sgc_area_free(&area);
}

static void test_areas_that_cannot_be(void **state)
{
    (void)state;
    sgc_area area = {0};
    sgc_error error = {""};
    assert_int_equal(
        sgc_area_from_bounds(&arctic_32m, NULL, (double[]){0, 70, 0, 80}, 4, &area, &error),
        SGC_INVALID);
    assert_non_null(strstr(error.message, "is empty"));
    assert_int_equal(
        sgc_area_from_bounds(&arctic_32m, NULL, (double[]){0, -90, 10, 80}, 4, &area, &error),
        SGC_INVALID);
    assert_non_null(strstr(error.message, "CRS is not defined"));
    assert_int_equal(
        sgc_area_from_bounds(&arctic_32m, "EPSG:99999", (double[]){0, 0, 1, 1}, 4, &area, &error),
        SGC_INVALID);
    assert_non_null(strstr(error.message, "unknown CRS"));
    assert_null(area.rings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_of_the_package),
        cmocka_unit_test(test_tiles_of_arcticdem),
        cmocka_unit_test(test_chunks_of_the_world),
        cmocka_unit_test(test_polar_windows_on_a_grid_in_degrees),
        cmocka_unit_test(test_the_cap_around_the_pole),
        cmocka_unit_test(test_geometries),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_areas_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
