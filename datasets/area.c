#include "datasets/area.h"

#include <cpl_error.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/quiet.h"

/* ---- polygons ---- */

/* True when a horizontal line from the point crosses the ring an odd number of times. */
static bool ring_surrounds(const sgc_ring *ring, double x, double y)
{
    bool inside = false;
    for (size_t i = 0, k = ring->count - 1; i < ring->count; k = i++) {
        const double *a = ring->points[i], *b = ring->points[k];
        if ((a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
            inside = !inside;
    }
    return inside;
}

/* Cuts the part [*from, *to] of a line to where start + t * step <= limit. */
static void cut(double start, double step, double limit, double *from, double *to)
{
    if (step == 0 && start > limit)
        *from = INFINITY;
    else if (step > 0)
        *to = fmin(*to, (limit - start) / step);
    else if (step < 0)
        *from = fmax(*from, (limit - start) / step);
}

/* True when the line from `a` to `b` and the rectangle have a point in common. */
static bool line_meets(const double a[2], const double b[2], const double low[2],
                       const double high[2])
{
    double from = 0, to = 1;
    for (int axis = 0; axis < 2; axis++) {
        const double step = b[axis] - a[axis];
        cut(a[axis], step, high[axis], &from, &to);
        cut(-a[axis], -step, -low[axis], &from, &to);
    }
    return from <= to;
}

bool sgc_area_meets(const sgc_area *area, sgc_rect rect)
{
    const double low[2] = {(double)rect.x, (double)rect.y};
    const double high[2] = {(double)(rect.x + rect.width), (double)(rect.y + rect.height)};
    bool inside = false;
    if (sgc_rect_is_empty(rect))
        return false;
    for (size_t r = 0; r < area->count; r++) {
        const sgc_ring *ring = &area->rings[r];
        for (size_t i = 0, k = ring->count - 1; i < ring->count; k = i++)
            if (line_meets(ring->points[k], ring->points[i], low, high))
                return true;
        inside ^= ring_surrounds(ring, low[0], low[1]);
    }
    return inside;
}

sgc_rect sgc_area_window(const sgc_area *area, const sgc_grid *grid)
{
    const sgc_rect whole = {0, 0, grid->width, grid->height};
    sgc_rect window = {0};
    for (size_t r = 0; r < area->count; r++) {
        double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
        for (size_t i = 0; i < area->rings[r].count; i++) {
            for (int axis = 0; axis < 2; axis++) {
                /* Rings may reach far outside; a little is enough. */
                const double most = (double)INT32_MAX * 2;
                const double at = fmax(-most, fmin(most, area->rings[r].points[i][axis]));
                low[axis] = fmin(low[axis], at);
                high[axis] = fmax(high[axis], at);
            }
        }
        const int64_t x = (int64_t)floor(low[0]), y = (int64_t)floor(low[1]);
        const sgc_rect ring = {x, y, (int64_t)ceil(high[0]) - x, (int64_t)ceil(high[1]) - y};
        window = sgc_rect_unite(window, sgc_rect_intersect(whole, ring));
    }
    return window;
}

void sgc_area_free(sgc_area *area)
{
    for (size_t r = 0; r < area->count; r++)
        free(area->rings[r].points);
    free(area->rings);
    *area = (sgc_area){0};
}

/* ---- from one CRS to another ---- */

/* What turns rings of a CRS into rings of pixels. */
typedef struct projector {
    const sgc_grid *grid;
    OGRCoordinateTransformationH forward;  /* to the grid's CRS */
    OGRCoordinateTransformationH backward; /* from longitude and latitude to the area's CRS */
    bool from_degrees, to_degrees;
    int steps;
} projector;

static sgc_status allocate_ring(sgc_ring *ring, size_t count, sgc_error *err)
{
    ring->points = calloc(count, sizeof *ring->points);
    ring->count = 0;
    return ring->points != NULL ? SGC_OK
                                : sgc_fail_memory(err, count * sizeof *ring->points, "an area");
}

static void add_point(sgc_ring *ring, double x, double y)
{
    ring->points[ring->count][0] = x;
    ring->points[ring->count][1] = y;
    ring->count++;
}

/* Cuts each edge into pieces; leaves room for three points more. */
static sgc_status densify(const sgc_ring *ring, int steps, sgc_ring *out, sgc_error *err)
{
    SGC_TRY(allocate_ring(out, ring->count * (size_t)steps + 3, err));
    for (size_t i = 0; i < ring->count; i++) {
        const double *a = ring->points[i], *b = ring->points[(i + 1) % ring->count];
        for (int step = 0; step < steps; step++) {
            const double t = (double)step / steps;
            add_point(out, a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]));
        }
    }
    return SGC_OK;
}

static sgc_status transform(OGRCoordinateTransformationH to, sgc_ring *ring, sgc_error *err)
{
    const double farthest = 1e10; /* metres; projections come back with more near singular points */
    for (size_t i = 0; i < ring->count; i++) {
        double *p = ring->points[i];
        int good = 0;
        if (!OCTTransformEx(to, 1, &p[0], &p[1], NULL, &good) || !good ||
            !(fabs(p[0]) < farthest && fabs(p[1]) < farthest))
            return sgc_fail(err, SGC_INVALID,
                            "the area reaches where the cube's CRS is not defined: choose a "
                            "smaller one");
    }
    return SGC_OK;
}

/* Makes longitudes continuous, and returns what is left over after one round: 0, or 360 or -360
 * around a pole. */
static double unwrap(sgc_ring *ring)
{
    double turns = 0;
    const double first = ring->points[0][0];
    double before = first;
    for (size_t i = 1; i <= ring->count; i++) {
        double *lon = i < ring->count ? &ring->points[i][0] : NULL;
        const double raw = lon != NULL ? *lon : first;
        turns -= 360 * nearbyint((raw + turns - before) / 360);
        before = raw + turns;
        if (lon != NULL)
            *lon = before;
    }
    return turns;
}

/* A ring around a pole becomes one along it. */
static void close_at_pole(const projector *p, const sgc_ring *source, double turns, sgc_ring *ring)
{
    double x = 0, y = 90;
    int good = 0;
    const bool is_north =
        OCTTransformEx(p->backward, 1, &x, &y, NULL, &good) && good && ring_surrounds(source, x, y);
    const double pole = is_north ? 90 : -90;
    const double lon = ring->points[0][0], lat = ring->points[0][1];
    add_point(ring, lon + turns, lat);
    add_point(ring, lon + turns, pole);
    add_point(ring, lon, pole);
}

static sgc_status add_pixels(const sgc_grid *grid, const sgc_ring *ring, double shift,
                             sgc_area *out, sgc_error *err)
{
    sgc_ring *rings = realloc(out->rings, (out->count + 1) * sizeof *rings);
    if (rings == NULL)
        return sgc_fail_memory(err, (out->count + 1) * sizeof *rings, "an area");
    out->rings = rings;
    sgc_ring *pixels = &rings[out->count];
    SGC_TRY(allocate_ring(pixels, ring->count, err));
    const double *t = grid->transform;
    for (size_t i = 0; i < ring->count; i++)
        add_point(pixels, (ring->points[i][0] + shift - t[0]) / t[1],
                  (ring->points[i][1] - t[3]) / t[5]);
    out->count++;
    return SGC_OK;
}

/* Adds the ring wherever it lies on a grid in degrees, turned by 360 or not. Grids begin a little
 * before 180 degrees west when pixels do not divide the circle: that is no reason to go round. */
static sgc_status add_around(const sgc_grid *grid, const sgc_ring *ring, sgc_area *out,
                             sgc_error *err)
{
    const double edge = 180 * nearbyint(grid->transform[0] / 180);
    const double west = fabs(grid->transform[0] - edge) < 0.01 ? edge : grid->transform[0];
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < ring->count; i++) {
        low = fmin(low, ring->points[i][0]);
        high = fmax(high, ring->points[i][0]);
    }
    for (int turn = -1; turn <= 1; turn++)
        if (turn == 0 || (high + 360 * turn > west && low + 360 * turn < west + 360))
            SGC_TRY(add_pixels(grid, ring, 360 * turn, out, err));
    return SGC_OK;
}

static sgc_status project(const projector *p, const sgc_ring *source, sgc_ring *ring, sgc_area *out,
                          sgc_error *err)
{
    SGC_TRY(transform(p->forward, ring, err));
    if (p->to_degrees && !p->from_degrees) {
        const double turns = unwrap(ring);
        if (turns != 0)
            close_at_pole(p, source, turns, ring);
    }
    return p->to_degrees ? add_around(p->grid, ring, out, err)
                         : add_pixels(p->grid, ring, 0, out, err);
}

static sgc_status add_ring(const projector *p, const sgc_ring *source, sgc_area *out,
                           sgc_error *err)
{
    sgc_ring ring = {0};
    if (source->count < 3)
        return SGC_OK;
    sgc_status status = densify(source, p->steps, &ring, err);
    if (status == SGC_OK)
        status = project(p, source, &ring, out, err);
    free(ring.points);
    return status;
}

/* ---- geometries ---- */

static sgc_status add_line(const projector *p, OGRGeometryH line, sgc_area *out, sgc_error *err)
{
    int count = OGR_G_GetPointCount(line);
    sgc_ring ring;
    if (count > 1 && OGR_G_GetX(line, 0) == OGR_G_GetX(line, count - 1) &&
        OGR_G_GetY(line, 0) == OGR_G_GetY(line, count - 1))
        count--; /* rings close by themselves */
    if (count < 3)
        return SGC_OK;
    SGC_TRY(allocate_ring(&ring, (size_t)count, err));
    for (int i = 0; i < count; i++)
        add_point(&ring, OGR_G_GetX(line, i), OGR_G_GetY(line, i));
    const sgc_status status = add_ring(p, &ring, out, err);
    free(ring.points);
    return status;
}

static sgc_status add_geometry(const projector *p, OGRGeometryH geometry, int depth, sgc_area *out,
                               sgc_error *err)
{
    enum { DEEPEST = 32 };
    const int parts = OGR_G_GetGeometryCount(geometry);
    const bool is_polygon = wkbFlatten(OGR_G_GetGeometryType(geometry)) == wkbPolygon;
    if (depth > DEEPEST)
        return sgc_fail(err, SGC_INVALID, "the geometry nests too deep");
    for (int i = 0; i < parts; i++) {
        OGRGeometryH part = OGR_G_GetGeometryRef(geometry, i);
        SGC_TRY(is_polygon ? add_line(p, part, out, err)
                           : add_geometry(p, part, depth + 1, out, err));
    }
    return SGC_OK;
}

/* Makes a projector and adds the geometry with it. `from` is turned to x before y. */
static sgc_status add_all(const sgc_grid *grid, OGRSpatialReferenceH from, OGRGeometryH geometry,
                          int steps, sgc_area *out, sgc_error *err)
{
    OGRSpatialReferenceH to = OSRNewSpatialReference(NULL), degrees = OSRNewSpatialReference(NULL);
    sgc_status status = SGC_OK;
    if (OSRSetFromUserInput(to, grid->crs) != OGRERR_NONE ||
        OSRImportFromEPSG(degrees, 4326) != OGRERR_NONE)
        status = sgc_fail(err, SGC_INVALID, "unknown CRS \"%.64s\"", grid->crs);
    OSRSetAxisMappingStrategy(from, OAMS_TRADITIONAL_GIS_ORDER);
    OSRSetAxisMappingStrategy(to, OAMS_TRADITIONAL_GIS_ORDER);
    OSRSetAxisMappingStrategy(degrees, OAMS_TRADITIONAL_GIS_ORDER);
    projector p = {.grid = grid,
                   .from_degrees = OSRIsGeographic(from),
                   .to_degrees = OSRIsGeographic(to),
                   .steps = steps > 0 ? steps : 1};
    if (status == SGC_OK) {
        p.forward = OCTNewCoordinateTransformation(from, to);
        p.backward = OCTNewCoordinateTransformation(degrees, from);
        status = p.forward != NULL && p.backward != NULL
                     ? add_geometry(&p, geometry, 0, out, err)
                     : sgc_fail(err, SGC_INVALID, "the area cannot be transformed to \"%.64s\"",
                                grid->crs);
    }
    OCTDestroyCoordinateTransformation(p.forward);
    OCTDestroyCoordinateTransformation(p.backward);
    OSRDestroySpatialReference(to);
    OSRDestroySpatialReference(degrees);
    return status;
}

static sgc_status area_of(const sgc_grid *grid, OGRSpatialReferenceH from, OGRGeometryH geometry,
                          int steps, sgc_area *out, sgc_error *err)
{
    sgc_area area = {0};
    sgc_quiet quiet = sgc_quiet_begin();
    const sgc_status status = add_all(grid, from, geometry, steps, &area, err);
    sgc_quiet_end(&quiet);
    if (status == SGC_OK)
        *out = area;
    else
        sgc_area_free(&area);
    return status;
}

sgc_status sgc_area_from_geometry(const sgc_grid *grid, OGRGeometryH geometry, int steps,
                                  sgc_area *out, sgc_error *err)
{
    OGRSpatialReferenceH own = OGR_G_GetSpatialReference(geometry);
    OGRSpatialReferenceH from = own != NULL ? OSRClone(own) : OSRNewSpatialReference(NULL);
    if (own == NULL)
        OSRImportFromEPSG(from, 4326);
    OGRGeometryH linear = OGR_G_GetLinearGeometry(geometry, 0, NULL);
    const sgc_status status = area_of(grid, from, linear, steps, out, err);
    OGR_G_DestroyGeometry(linear);
    OSRDestroySpatialReference(from);
    return status;
}

static OGRGeometryH rectangle_new(const double bounds[4], double right)
{
    OGRGeometryH polygon = OGR_G_CreateGeometry(wkbPolygon);
    OGRGeometryH ring = OGR_G_CreateGeometry(wkbLinearRing);
    OGR_G_AddPoint_2D(ring, bounds[0], bounds[1]);
    OGR_G_AddPoint_2D(ring, right, bounds[1]);
    OGR_G_AddPoint_2D(ring, right, bounds[3]);
    OGR_G_AddPoint_2D(ring, bounds[0], bounds[3]);
    OGR_G_CloseRings(ring);
    OGR_G_AddGeometryDirectly(polygon, ring);
    return polygon;
}

sgc_status sgc_area_from_bounds(const sgc_grid *grid, const char *crs, const double bounds[4],
                                int steps, sgc_area *out, sgc_error *err)
{
    const bool crosses = crs == NULL && bounds[0] > bounds[2];
    const double right = bounds[2] + (crosses ? 360 : 0);
    if (!(right > bounds[0] && bounds[3] > bounds[1]))
        return sgc_fail(err, SGC_INVALID, "the area %g %g %g %g is empty", bounds[0], bounds[1],
                        bounds[2], bounds[3]);
    OGRSpatialReferenceH from = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    const bool known = OSRSetFromUserInput(from, crs != NULL ? crs : "EPSG:4326") == OGRERR_NONE;
    sgc_quiet_end(&quiet);
    OGRGeometryH rectangle = rectangle_new(bounds, right);
    const sgc_status status = known ? area_of(grid, from, rectangle, steps, out, err)
                                    : sgc_fail(err, SGC_INVALID, "unknown CRS \"%.64s\"", crs);
    OGR_G_DestroyGeometry(rectangle);
    OSRDestroySpatialReference(from);
    return status;
}
