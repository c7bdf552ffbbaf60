/* Grids: where pixels are. Rectangles of pixels are half-open and may reach outside their grid. */
#ifndef SGC_GRID_H
#define SGC_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_rect {
    int64_t x, y, width, height; /* columns, rows; empty when width or height <= 0 */
} sgc_rect;

typedef struct sgc_grid {
    const char *crs;     /* anything OSRSetFromUserInput() knows; borrows from the definition */
    double transform[6]; /* GDAL's geotransform of pixel corners; north-up */
    int64_t width, height;
} sgc_grid;

static inline bool sgc_rect_is_empty(sgc_rect r)
{
    return r.width <= 0 || r.height <= 0;
}

static inline bool sgc_rect_equal(sgc_rect a, sgc_rect b)
{
    return a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height;
}

/* True when `inner` is not empty and lies in `outer`. */
static inline bool sgc_rect_contains(sgc_rect outer, sgc_rect inner)
{
    return !sgc_rect_is_empty(inner) && inner.x >= outer.x && inner.y >= outer.y &&
           inner.x + inner.width <= outer.x + outer.width &&
           inner.y + inner.height <= outer.y + outer.height;
}

/* The common part; empty when there is none. */
sgc_rect sgc_rect_intersect(sgc_rect a, sgc_rect b);
/* The smallest rectangle around both; an empty one does not count. */
sgc_rect sgc_rect_unite(sgc_rect a, sgc_rect b);

/* The pixels of the grid's level `factor` whose centres lie in `rect`, a rectangle of its
 * full-resolution pixels. Pixels that the grid's end cuts have the centre of what is left. */
sgc_rect sgc_rect_at_level(const sgc_grid *grid, sgc_rect rect, int64_t factor);

/* The full-resolution pixels of the grid under `rect`, pixels of its level `factor`. */
sgc_rect sgc_rect_under_level(const sgc_grid *grid, sgc_rect rect, int64_t factor);

/* Splits `rect`, pixels of the grid's level `factor`, into those that are whole and those that the
 * grid's end cuts, so that the pixels of each of `parts` have one size; gives how many there are,
 * none of them empty. */
size_t sgc_rect_split_cut(const sgc_grid *grid, sgc_rect rect, int64_t factor, sgc_rect parts[4]);

/* The grid reduced by `factor`, same origin; the last row and column may reach beyond the full
 * grid. */
sgc_grid sgc_grid_at_level(const sgc_grid *full, int64_t factor);

/* The grid around `bbox` (left, bottom, right, top) with pixel edges at multiples of the
 * resolution, to the last bit as odc-geo derives it (datasets guide 1.1). */
SGC_CHECKED sgc_status sgc_grid_from_bbox(const double bbox[4], const double resolution[2],
                                          sgc_grid *grid, sgc_error *err);

/* The bounds of `rect` in degrees, edges densified: west, south, east, north. West is greater than
 * east when the antimeridian is crossed; a pole inside yields all longitudes. */
SGC_CHECKED sgc_status sgc_grid_lonlat_bounds(const sgc_grid *grid, sgc_rect rect, double bounds[4],
                                              sgc_error *err);

SGC_END_C

#endif
