/* Areas of interest on a grid: polygons that come from other CRSs. */
#ifndef SGC_AREA_H
#define SGC_AREA_H

#include <ogr_api.h>

#include "datasets/grid.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_ring {
    size_t count;
    double (*points)[2]; /* columns and rows, full-resolution pixels; closed by itself */
} sgc_ring;

/* What an odd number of rings surrounds. Free with sgc_area_free(). */
typedef struct sgc_area {
    size_t count;
    sgc_ring *rings;
} sgc_area;

enum { SGC_AREA_STEPS = 64 }; /* pieces that an edge is cut into before it is transformed */

/* Gives the area that a rectangle (left, bottom, right, top) of a CRS is on the grid. NULL stands
 * for longitude and latitude; where left > right there, the rectangle crosses 180 degrees. Each
 * edge is cut into `steps` pieces. Poles inside and areas across 180 degrees are right whatever the
 * CRS of the grid; parts outside the grid are kept. SGC_INVALID when the area reaches where the
 * grid's CRS is not defined. */
SGC_CHECKED sgc_status sgc_area_from_bounds(const sgc_grid *grid, const char *crs,
                                            const double bounds[4], int steps, sgc_area *out,
                                            sgc_error *err);

/* The same of all polygons in a geometry; its own CRS counts, longitude and latitude if it has
 * none. */
SGC_CHECKED sgc_status sgc_area_from_geometry(const sgc_grid *grid, OGRGeometryH geometry,
                                              int steps, sgc_area *out, sgc_error *err);

void sgc_area_free(sgc_area *area);

/* The smallest rectangle of whole pixels around the area, cut at the grid's edges. */
sgc_rect sgc_area_window(const sgc_area *area, const sgc_grid *grid);

/* True when the area and the rectangle have at least a point in common. */
bool sgc_area_meets(const sgc_area *area, sgc_rect rect);

SGC_END_C

#endif
