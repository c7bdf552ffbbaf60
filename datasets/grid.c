#include "datasets/grid.h"

#include <cpl_error.h>
#include <math.h>
#include <ogr_srs_api.h>

#include "datasets/quiet.h"

enum { DENSIFY = 21 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

sgc_rect sgc_rect_intersect(sgc_rect a, sgc_rect b)
{
    const int64_t x = larger(a.x, b.x), y = larger(a.y, b.y);
    return (sgc_rect){x, y, smaller(a.x + a.width, b.x + b.width) - x,
                      smaller(a.y + a.height, b.y + b.height) - y};
}

sgc_rect sgc_rect_unite(sgc_rect a, sgc_rect b)
{
    if (sgc_rect_is_empty(a))
        return b;
    if (sgc_rect_is_empty(b))
        return a;
    const int64_t x = smaller(a.x, b.x), y = smaller(a.y, b.y);
    return (sgc_rect){x, y, larger(a.x + a.width, b.x + b.width) - x,
                      larger(a.y + a.height, b.y + b.height) - y};
}

/* The first pixel of a level whose centre is at or behind the edge `full` of full-resolution
 * pixels: the smallest i with (i + 1/2) * factor >= full; where `size` pixels end within i, its
 * centre is (i * factor + size) / 2. */
static int64_t edge_at_level(int64_t full, int64_t size, int64_t factor)
{
    const int64_t doubled = 2 * full - factor, step = 2 * factor;
    const int64_t edge = doubled >= 0 ? (doubled + step - 1) / step : -(-doubled / step);
    const int64_t whole = size / factor;
    const bool is_cut = whole * factor < size && 2 * full > whole * factor + size;
    return is_cut ? larger(edge, whole + 1) : edge;
}

sgc_rect sgc_rect_at_level(const sgc_grid *grid, sgc_rect rect, int64_t factor)
{
    const int64_t x = edge_at_level(rect.x, grid->width, factor);
    const int64_t y = edge_at_level(rect.y, grid->height, factor);
    return (sgc_rect){x, y, edge_at_level(rect.x + rect.width, grid->width, factor) - x,
                      edge_at_level(rect.y + rect.height, grid->height, factor) - y};
}

sgc_rect sgc_rect_under_level(const sgc_grid *grid, sgc_rect rect, int64_t factor)
{
    const sgc_rect whole = {0, 0, grid->width, grid->height};
    const sgc_rect under = {rect.x * factor, rect.y * factor, rect.width * factor,
                            rect.height * factor};
    return sgc_rect_intersect(under, whole);
}

size_t sgc_rect_split_cut(const sgc_grid *grid, sgc_rect rect, int64_t factor, sgc_rect parts[4])
{
    const sgc_rect whole = {0, 0, grid->width / factor, grid->height / factor};
    const int64_t right = rect.x + rect.width, bottom = rect.y + rect.height;
    const int64_t columns[] = {rect.x, larger(rect.x, smaller(right, whole.width)), right};
    const int64_t rows[] = {rect.y, larger(rect.y, smaller(bottom, whole.height)), bottom};
    size_t count = 0;
    for (int i = 0; i < 4; i++) {
        const int column = i % 2, row = i / 2;
        const sgc_rect part = {columns[column], rows[row], columns[column + 1] - columns[column],
                               rows[row + 1] - rows[row]};
        if (!sgc_rect_is_empty(part))
            parts[count++] = part;
    }
    return count;
}

sgc_grid sgc_grid_at_level(const sgc_grid *full, int64_t factor)
{
    sgc_grid level = *full;
    level.transform[1] *= (double)factor;
    level.transform[5] *= (double)factor;
    level.width = (full->width + factor - 1) / factor;
    level.height = (full->height + factor - 1) / factor;
    return level;
}

static double snap(double value)
{
    const double nearest = nearbyint(value);
    return fabs(value - nearest) < 0.01 ? nearest : value;
}

sgc_status sgc_grid_from_bbox(const double bbox[4], const double resolution[2], sgc_grid *grid,
                              sgc_error *err)
{
    const double rx = resolution[0], ry = resolution[1];
    const double i0 = floor(snap(bbox[0] / rx)), i1 = ceil(snap(bbox[2] / rx));
    const double j0 = floor(snap(bbox[1] / ry)), j1 = ceil(snap(bbox[3] / ry));
    const double nx = i1 - i0, ny = j1 - j0;
    if (!(nx >= 1 && ny >= 1 && nx <= INT32_MAX && ny <= INT32_MAX))
        return sgc_fail(err, SGC_INVALID, "a grid of %g x %g pixels", nx, ny);
    grid->transform[0] = i0 * rx;
    grid->transform[1] = rx;
    grid->transform[2] = 0;
    grid->transform[3] = j0 * ry + ny * ry;
    grid->transform[4] = 0;
    grid->transform[5] = -ry;
    grid->width = (int64_t)nx;
    grid->height = (int64_t)ny;
    return SGC_OK;
}

static sgc_status transform_bounds(OGRSpatialReferenceH from, OGRSpatialReferenceH to,
                                   const double in[4], double out[4], sgc_error *err)
{
    OSRSetAxisMappingStrategy(from, OAMS_TRADITIONAL_GIS_ORDER);
    OSRSetAxisMappingStrategy(to, OAMS_TRADITIONAL_GIS_ORDER);
    OGRCoordinateTransformationH transformation = OCTNewCoordinateTransformation(from, to);
    int good = transformation != NULL;
    if (good)
        good = OCTTransformBounds(transformation, in[0], in[1], in[2], in[3], &out[0], &out[1],
                                  &out[2], &out[3], DENSIFY);
    OCTDestroyCoordinateTransformation(transformation);
    return good ? SGC_OK
                : sgc_fail(err, SGC_INVALID, "cannot transform to longitude and latitude: %s",
                           CPLGetLastErrorMsg());
}

sgc_status sgc_grid_lonlat_bounds(const sgc_grid *grid, sgc_rect rect, double bounds[4],
                                  sgc_error *err)
{
    const double *t = grid->transform;
    const double in[4] = {
        t[0] + (double)rect.x * t[1], t[3] + (double)(rect.y + rect.height) * t[5],
        t[0] + (double)(rect.x + rect.width) * t[1], t[3] + (double)rect.y * t[5]};
    OGRSpatialReferenceH from = OSRNewSpatialReference(NULL), to = OSRNewSpatialReference(NULL);
    double out[4];
    sgc_status status = SGC_OK;
    sgc_quiet quiet = sgc_quiet_begin();
    if (OSRSetFromUserInput(from, grid->crs) != OGRERR_NONE ||
        OSRImportFromEPSG(to, 4326) != OGRERR_NONE)
        status = sgc_fail(err, SGC_INVALID, "unknown CRS \"%s\"", grid->crs);
    else
        status = transform_bounds(from, to, in, out, err);
    sgc_quiet_end(&quiet);
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(to);
    for (int i = 0; status == SGC_OK && i < 4; i++)
        bounds[i] = out[i];
    return status;
}
