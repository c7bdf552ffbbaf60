/* Grids to the last bit (datasets guide 1.1, 1.2) and the arithmetic of levels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/grid.h"

static void check_grid(const double bbox[4], double resolution, int64_t rows, int64_t columns,
                       double x0, double y0)
{
    const double both[] = {resolution, resolution};
    sgc_grid grid = {0};
    sgc_error error = {""};
    assert_int_equal(sgc_grid_from_bbox(bbox, both, &grid, &error), SGC_OK);
    assert_int_equal(grid.height, rows);
    assert_int_equal(grid.width, columns);
    assert_true(grid.transform[0] == x0);
    assert_true(grid.transform[3] == y0);
    assert_true(grid.transform[1] == resolution);
    assert_true(grid.transform[5] == -resolution);
}

static void test_grids_of_known_datasets(void **state)
{
    (void)state;
    const double arctic[] = {-4000096, -3400096, 3400096, 4100096};
    const double fine[] = {-4000100, -3400100, 3400100, 4100100};
    const double world[] = {-180, -90, 180, 90};
    check_grid(arctic, 32, 234381, 231256, -4000096, 4100096);
    check_grid(fine, 10, 750020, 740020, -4000100, 4100100);
    check_grid(fine, 2, 3750100, 3700100, -4000100, 4100100);
    check_grid(world, 0.00026949458523585647, 667918, 1335834, -180.00001488697754,
               90.00014219078139);
    check_grid(world, 8.98315284e-05, 2003752, 4007502, -180.00001486302838, 90.0000523472784);
}

static void test_absurd_grids_are_refused(void **state)
{
    (void)state;
    const double world[] = {-180, -90, 180, 90}, inverted[] = {10, 10, 0, 0};
    const double tiny[] = {1e-9, 1e-9}, one[] = {1, 1};
    sgc_grid grid;
    assert_int_equal(sgc_grid_from_bbox(world, tiny, &grid, NULL), SGC_INVALID);
    assert_int_equal(sgc_grid_from_bbox(inverted, one, &grid, NULL), SGC_INVALID);
}

/* The pixels of a level whose centres lie in [from, to), by trying them all. */
static void check_level(int64_t size, int64_t from, int64_t to, int64_t factor)
{
    const sgc_grid grid = {.width = size, .height = size};
    const sgc_rect rect = {from, from, to - from, to - from};
    const sgc_rect level = sgc_rect_at_level(&grid, rect, factor);
    for (int64_t i = -100; i < (size + factor - 1) / factor; i++) {
        const int64_t end = (i + 1) * factor;
        const double centre = (double)(i * factor + (end < size ? end : size)) / 2;
        const bool inside = centre >= (double)from && centre < (double)to;
        assert_int_equal(i >= level.x && i < level.x + level.width, inside);
        assert_int_equal(i >= level.y && i < level.y + level.height, inside);
    }
}

static void test_rectangles_at_levels(void **state)
{
    (void)state;
    for (int64_t factor = 1; factor <= 16; factor *= 2)
        for (int64_t from = -40; from < 40; from += 3)
            for (int64_t to = from; to < from + 50; to++)
                for (int64_t size = 5; size <= 96; size += 13)
                    check_level(size, from, to, factor);
}

/* Of every window of a level, each pixel is in one part, with all that share its size. */
static void check_split(const sgc_grid *grid, sgc_rect rect, int64_t factor)
{
    sgc_rect parts[4];
    const size_t count = sgc_rect_split_cut(grid, rect, factor, parts);
    int64_t area = 0;
    for (size_t i = 0; i < count; i++) {
        const sgc_rect part = parts[i], under = sgc_rect_under_level(grid, part, factor);
        assert_true(sgc_rect_contains(rect, part));
        area += part.width * part.height;
        assert_true(under.width == part.width * factor || part.width == 1);
        assert_true(under.height == part.height * factor || part.height == 1);
        for (size_t k = 0; k < i; k++)
            assert_true(sgc_rect_is_empty(sgc_rect_intersect(part, parts[k])));
    }
    assert_int_equal(area, rect.width * rect.height);
}

static void test_pixels_that_the_end_cuts_are_parts_of_their_own(void **state)
{
    (void)state;
    const sgc_grid grid = {.width = 13, .height = 16};
    for (int64_t factor = 1; factor <= 16; factor *= 2) {
        const sgc_grid level = sgc_grid_at_level(&grid, factor);
        for (int64_t x = 0; x < level.width; x++)
            for (int64_t y = 0; y < level.height; y++)
                check_split(&grid, (sgc_rect){x, y, level.width - x, level.height - y}, factor);
    }
    sgc_rect parts[4];
    assert_int_equal(sgc_rect_split_cut(&grid, (sgc_rect){0, 0, 4, 4}, 4, parts), 2);
    assert_int_equal(sgc_rect_split_cut(&grid, (sgc_rect){0, 0, 3, 4}, 4, parts), 1);
    assert_int_equal(sgc_rect_split_cut(&grid, (sgc_rect){0, 0, 1, 1}, 16, parts), 1);
}

static void test_bounds_across_the_antimeridian_and_the_pole(void **state)
{
    (void)state;
    const sgc_grid arctic = {"EPSG:3413", {-4000096, 32, 0, 4100096, 0, -32}, 231256, 234381};
    double bounds[4];
    sgc_error error = {""};
    /* The pole is at the origin of the projection. */
    const sgc_rect pole = {124000, 127000, 2000, 2000};
    assert_int_equal(sgc_grid_lonlat_bounds(&arctic, pole, bounds, &error), SGC_OK);
    assert_true(bounds[0] == -180 && bounds[2] == 180 && bounds[3] == 90);
    /* 180 degrees lies at 45 degrees to the axes, up and to the left. */
    const sgc_rect dateline = {75000, 78128, 1000, 1000};
    assert_int_equal(sgc_grid_lonlat_bounds(&arctic, dateline, bounds, &error), SGC_OK);
    assert_true(bounds[0] > bounds[2]);
    const sgc_rect siberia = {101313, 45111, 1905, 2104};
    assert_int_equal(sgc_grid_lonlat_bounds(&arctic, siberia, bounds, &error), SGC_OK);
    assert_true(bounds[0] < 150 && bounds[2] > 151 && bounds[1] < 65 && bounds[3] > 65.5);
    assert_true(bounds[2] - bounds[0] < 4 && bounds[3] - bounds[1] < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids_of_known_datasets),
        cmocka_unit_test(test_absurd_grids_are_refused),
        cmocka_unit_test(test_rectangles_at_levels),
        cmocka_unit_test(test_pixels_that_the_end_cuts_are_parts_of_their_own),
        cmocka_unit_test(test_bounds_across_the_antimeridian_and_the_pole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
