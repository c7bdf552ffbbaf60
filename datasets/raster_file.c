#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_vsi.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/quiet.h"
#include "datasets/raster_private.h"
#include "datasets/template.h"

#define MULTI_RANGE_OPTION "GDAL_MAX_RAW_BLOCK_CACHE_SIZE"
#define MULTI_RANGE_BYTES "64000000"

/* In pixels, between places that count as one. */
#define LARGEST_SHIFT 0.01

enum { DENSIFY = 101 };

/* ---- where a raster is ---- */

static OGRSpatialReferenceH new_crs(const char *text)
{
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    OSRSetAxisMappingStrategy(crs, OAMS_TRADITIONAL_GIS_ORDER);
    if (OSRSetFromUserInput(crs, text) == OGRERR_NONE)
        return crs;
    OSRDestroySpatialReference(crs);
    return NULL;
}

/* GeoTIFF keys know less of axes than the registry, so that a polar CRS may come back with others:
 * as PROJ's text, which has none, they are equal. */
static bool is_same_projection(OGRSpatialReferenceH a, OGRSpatialReferenceH b)
{
    char *text_a = NULL, *text_b = NULL;
    const bool same = OSRIsSameGeogCS(a, b) && OSRExportToProj4(a, &text_a) == OGRERR_NONE &&
                      OSRExportToProj4(b, &text_b) == OGRERR_NONE && *text_a != '\0' &&
                      strcmp(text_a, text_b) == 0;
    CPLFree(text_a);
    CPLFree(text_b);
    return same;
}

static bool is_same_crs(OGRSpatialReferenceH raster, OGRSpatialReferenceH cube)
{
    static const char *const options[] = {"IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", NULL};
    OGRSpatialReferenceH flat = OSRClone(raster);
    OSRStripVertical(flat);
    const bool same = OSRIsSameEx(flat, cube, options) || is_same_projection(flat, cube);
    OSRDestroySpatialReference(flat);
    return same;
}

/* The integer next to a position in pixels, if it is next to one. */
static bool snap(double position, int64_t *pixel)
{
    const double nearest = nearbyint(position);
    if (!(fabs(position) < INT32_MAX) || fabs(position - nearest) > LARGEST_SHIFT)
        return false;
    *pixel = (int64_t)nearest;
    return true;
}

/* Both ends of the raster must lie on the cube's pixel edges, with as many pixels between them. */
static void find_lattice(sgc_raster_place *p, const sgc_grid *grid)
{
    const int width = GDALGetRasterXSize(p->raster), height = GDALGetRasterYSize(p->raster);
    const double *t = p->transform, *g = grid->transform;
    int64_t left, right, first, last;
    if (t[2] != 0 || t[4] != 0 || !snap((t[0] - g[0]) / g[1], &left) ||
        !snap((t[0] + width * t[1] - g[0]) / g[1], &right) || !snap((t[3] - g[3]) / g[5], &first) ||
        !snap((t[3] + height * t[5] - g[3]) / g[5], &last))
        return;
    p->is_south_up = first > last;
    p->is_on_lattice = right - left == width && llabs(last - first) == height;
    p->rect = (sgc_rect){left, p->is_south_up ? last : first, width, height};
}

/* A promised file has the pixels of its patch, and if it says where it is, it is there. */
static sgc_status check_promise(sgc_raster_place *p, const sgc_patch *patch, sgc_error *err)
{
    if (GDALGetRasterXSize(p->raster) != patch->rect.width ||
        GDALGetRasterYSize(p->raster) != patch->rect.height)
        return sgc_fail(err, SGC_CORRUPT,
                        "patch %s: its file has %d x %d pixels, but its item promises %lld x %lld",
                        patch->id, GDALGetRasterXSize(p->raster), GDALGetRasterYSize(p->raster),
                        (long long)patch->rect.width, (long long)patch->rect.height);
    if (p->has_transform &&
        (!p->is_on_lattice || p->is_south_up || !sgc_rect_equal(p->rect, patch->rect)))
        return sgc_fail(err, SGC_CORRUPT,
                        "patch %s: its file lies elsewhere than its item promises", patch->id);
    p->has_cube_crs = true;
    p->is_on_lattice = true;
    p->rect = patch->rect;
    return SGC_OK;
}

/* A file elsewhere than its item says would be looked for where it is not, and be no data. */
static sgc_status check_extent(const sgc_raster_place *p, const sgc_raster_window *w,
                               sgc_error *err)
{
    const int width = GDALGetRasterXSize(p->raster), height = GDALGetRasterYSize(p->raster);
    const sgc_rect promised = w->patch->rect;
    char *crs = NULL;
    sgc_rect rect;
    if (!p->has_cube_crs && OSRExportToWkt(p->crs, &crs) != OGRERR_NONE)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its file has no usable CRS", w->patch->id);
    const sgc_status status =
        sgc_raster_extent(crs, p->transform, width, height, &w->definition->grid, &rect, err);
    CPLFree(crs);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "patch %s: its file", w->patch->id);
    /* Some items mean the corners of pixels where others mean their centres. */
    const int64_t x = 2 + 2 * rect.width / width, y = 2 + 2 * rect.height / height;
    const sgc_rect wide = {promised.x - x, promised.y - y, promised.width + 2 * x,
                           promised.height + 2 * y};
    return sgc_rect_contains(wide, rect)
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT,
                          "patch %s: its file reaches beyond what proj:shape and proj:transform of "
                          "its item promise",
                          w->patch->id);
}

static sgc_status fail_crs(const char *crs, sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID, "unknown CRS \"%.64s\"", crs);
}

static sgc_status change_bounds(const char *from_name, const char *to_name, double bounds[4],
                                sgc_error *err)
{
    OGRSpatialReferenceH from = new_crs(from_name), to = new_crs(to_name);
    OGRCoordinateTransformationH change = NULL;
    sgc_status status = SGC_OK;
    if (from == NULL || to == NULL)
        status = fail_crs(from == NULL ? from_name : to_name, err);
    else if (!is_same_crs(from, to)) {
        double b[4];
        change = OCTNewCoordinateTransformation(from, to);
        if (change == NULL || !OCTTransformBounds(change, bounds[0], bounds[1], bounds[2],
                                                  bounds[3], &b[0], &b[1], &b[2], &b[3], DENSIFY))
            status = sgc_fail(err, SGC_INVALID, "no way from %.32s to %.32s: %s", from_name,
                              to_name, CPLGetLastErrorMsg());
        else
            memcpy(bounds, b, sizeof b);
    }
    OCTDestroyCoordinateTransformation(change);
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(to);
    return status;
}

/* Left, bottom, right, top. */
typedef struct box {
    double edges[4];
} box;

static box bounds_of(const double t[6], int64_t width, int64_t height)
{
    box b = {{INFINITY, INFINITY, -INFINITY, -INFINITY}};
    for (int corner = 0; corner < 4; corner++) {
        const double column = corner % 2 ? (double)width : 0, row = corner / 2 ? (double)height : 0;
        const double x = t[0] + column * t[1] + row * t[2], y = t[3] + column * t[4] + row * t[5];
        b.edges[0] = fmin(b.edges[0], x);
        b.edges[1] = fmin(b.edges[1], y);
        b.edges[2] = fmax(b.edges[2], x);
        b.edges[3] = fmax(b.edges[3], y);
    }
    return b;
}

static box bounds_of_home(const sgc_raster_window *w)
{
    double t[6];
    memcpy(t, w->definition->grid.transform, sizeof t);
    t[0] += (double)w->home.x * t[1];
    t[3] += (double)w->home.y * t[5];
    return bounds_of(t, w->home.width, w->home.height);
}

/* What begins right of where it ends crosses the antimeridian. */
static bool is_apart(const box *a, const box *b, double shift)
{
    const double *p = a->edges, *q = b->edges;
    const bool crosses = p[0] > p[2] || q[0] > q[2];
    return p[1] >= q[3] || p[3] <= q[1] ||
           (!crosses && (p[0] >= q[2] + shift || p[2] <= q[0] + shift));
}

/* Seen from the cube, a raster that has a pole in it may seem to be a line, so that both must be
 * apart as the other sees them; what cannot be transformed is not known to be. */
static bool is_elsewhere(const sgc_raster_place *p, const sgc_raster_window *w, const char *crs)
{
    const int width = GDALGetRasterXSize(p->raster), height = GDALGetRasterYSize(p->raster);
    const sgc_grid *grid = &w->definition->grid;
    const box own = bounds_of(p->transform, width, height);
    box home = bounds_of_home(w);
    sgc_rect rect;
    const sgc_status status =
        sgc_raster_extent(crs, p->transform, width, height, grid, &rect, NULL);
    if (status == SGC_OK && (!sgc_rect_is_empty(sgc_rect_intersect(rect, w->home)) ||
                             sgc_rect_contains(w->patch->rect, rect)))
        return false;
    if (crs == NULL)
        return status == SGC_OK;
    const double turn = OSRIsGeographic(p->crs) ? 2 * M_PI / OSRGetAngularUnits(p->crs, NULL) : 0;
    return change_bounds(grid->crs, crs, home.edges, NULL) == SGC_OK && is_apart(&own, &home, 0) &&
           is_apart(&own, &home, turn) && is_apart(&own, &home, -turn);
}

typedef struct place_name {
    char text[160];
} place_name;

static place_name name_of_place(const box *b, OGRSpatialReferenceH crs)
{
    const double *e = b->edges;
    const char *authority = OSRGetAuthorityName(crs, NULL), *code = OSRGetAuthorityCode(crs, NULL);
    const bool has_code = authority != NULL && code != NULL;
    place_name name;
    snprintf(name.text, sizeof name.text, "[%.9g, %.9g, %.9g, %.9g] of %.20s%s%.32s", e[0], e[1],
             e[2], e[3], has_code ? authority : "", has_code ? ":" : "",
             has_code ? code : OSRGetName(crs));
    return name;
}

/* A file that is not where the definition has it would be no data everywhere. */
static sgc_status check_home(const sgc_raster_place *p, const sgc_raster_window *w,
                             OGRSpatialReferenceH cube, sgc_error *err)
{
    char *crs = NULL;
    if (sgc_rect_is_empty(w->home) ||
        (!p->has_cube_crs && OSRExportToWkt(p->crs, &crs) != OGRERR_NONE))
        return SGC_OK;
    const bool elsewhere = is_elsewhere(p, w, crs);
    CPLFree(crs);
    if (!elsewhere)
        return SGC_OK;
    const box own =
        bounds_of(p->transform, GDALGetRasterXSize(p->raster), GDALGetRasterYSize(p->raster));
    const box home = bounds_of_home(w);
    const place_name there = name_of_place(&own, p->crs != NULL ? p->crs : cube);
    const place_name here = name_of_place(&home, cube);
    return sgc_fail(err, SGC_INVALID,
                    "patch %s: its file lies at %s, but %s at %s: see proj:code, the grid and "
                    "/source of the definition",
                    w->patch->id, there.text, w->home_name, here.text);
}

static sgc_status check_crs(const sgc_raster_place *p, const sgc_raster_window *w, sgc_error *err)
{
    return p->crs != NULL || p->is_on_lattice
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID,
                          "patch %s: its file has no CRS, and other pixels than the cube: name its "
                          "CRS with \"proj:code\" in /source of the definition",
                          w->patch->id);
}

static sgc_status find_place(sgc_raster_place *p, const sgc_raster_window *w,
                             OGRSpatialReferenceH cube, sgc_error *err)
{
    p->has_transform = GDALGetGeoTransform(p->raster, p->transform) == CE_None;
    if (p->has_transform)
        find_lattice(p, &w->definition->grid);
    if (!w->any_place)
        return check_promise(p, w->patch, err);
    if (!p->has_transform)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its file does not say where it lies",
                        w->patch->id);
    SGC_TRY(check_crs(p, w, err));
    p->has_cube_crs = p->crs == NULL || is_same_crs(p->crs, cube);
    p->is_on_lattice = p->is_on_lattice && p->has_cube_crs;
    return w->patch->is_promised ? check_extent(p, w, err) : check_home(p, w, cube, err);
}

/* ---- the wanted band ---- */

/* What the service says counts where the file says nothing. */
static sgc_nodata nodata_of(GDALRasterBandH source, const sgc_raster_window *w)
{
    const sgc_band *band = &w->definition->bands[w->band];
    int exists = 0;
    if (band->has_source_nodata)
        return (sgc_nodata){true, band->source_nodata};
    long double value;
    switch (GDALGetRasterDataType(source)) {
    case GDT_Int64:
        value = GDALGetRasterNoDataValueAsInt64(source, &exists);
        break;
    case GDT_UInt64:
        value = GDALGetRasterNoDataValueAsUInt64(source, &exists);
        break;
    default:
        value = GDALGetRasterNoDataValue(source, &exists);
    }
    if (!exists && w->patch->nodata != NULL && !isnan(w->patch->nodata[w->band]))
        return (sgc_nodata){true, w->patch->nodata[w->band]};
    return (sgc_nodata){exists != 0, value};
}

/* GDAL takes an alpha band for a mask beside one or three others only. */
static void find_mask(sgc_raster_place *p)
{
    const int flags = GDALGetMaskFlags(p->band), last = GDALGetRasterCount(p->raster);
    GDALRasterBandH last_band = GDALGetRasterBand(p->raster, last);
    if ((flags & (GMF_ALL_VALID | GMF_NODATA)) == 0) {
        p->mask = GDALGetMaskBand(p->band);
    } else if (last != p->number && GDALGetRasterColorInterpretation(last_band) == GCI_AlphaBand) {
        p->mask = last_band;
        p->mask_number = last;
    }
}

/* How GDAL before 3.7 shows bytes with a sign. */
static bool has_signed_bytes(GDALRasterBandH band)
{
    const char *type = GDALGetMetadataItem(band, "PIXELTYPE", "IMAGE_STRUCTURE");
    return type != NULL && EQUAL(type, "SIGNEDBYTE");
}

/* GDAL decodes blocks as a whole, of all bands where their values alternate. */
static sgc_status check_block(const sgc_raster_place *p, const sgc_raster_window *w,
                              GDALRasterBandH band, sgc_error *err)
{
    const char *interleaving = GDALGetMetadataItem(p->raster, "INTERLEAVE", "IMAGE_STRUCTURE");
    const bool alternate = interleaving != NULL && EQUAL(interleaving, "PIXEL");
    const size_t room = sgc_load_memory();
    int width, height;
    GDALGetBlockSize(band, &width, &height);
    const double size = (double)width * height * GDALGetDataTypeSizeBytes(p->type) *
                        (alternate ? GDALGetRasterCount(p->raster) : 1);
    if (size <= (double)room)
        return SGC_OK;
    return sgc_fail(err, SGC_UNSUPPORTED,
                    "patch %s: its file has blocks of %d x %d pixels, and each needs %.0f MiB at "
                    "once, more than the %zu MiB of SGC_LOAD_MEMORY: raise that, or use a file "
                    "with smaller tiles",
                    w->patch->id, width, height, ceil(size / (1 << 20)), room >> 20);
}

/* Of what is read: overviews take the place of the band for levels. */
static sgc_status check_blocks(const sgc_raster_place *p, const sgc_raster_window *w,
                               sgc_error *err)
{
    const int overviews = w->factor > 1 ? GDALGetOverviewCount(p->band) : 0;
    for (int i = 0; i < overviews; i++)
        SGC_TRY(check_block(p, w, GDALGetOverview(p->band, i), err));
    return overviews > 0 ? SGC_OK : check_block(p, w, p->band, err);
}

/* Floats that are packed numbers are a mistake, unless the definition says so. */
static sgc_status check_scale(const sgc_raster_place *p, const sgc_raster_window *w, sgc_error *err)
{
    const sgc_band *band = &w->definition->bands[w->band];
    int has_scale = 0, has_offset = 0;
    double scale = GDALGetRasterScale(p->band, &has_scale);
    double offset = GDALGetRasterOffset(p->band, &has_offset);
    scale = has_scale ? scale : 1;
    offset = has_offset ? offset : 0;
    if (band->has_scale || !GDALDataTypeIsFloating(band->type) || (scale == 1 && offset == 0))
        return SGC_OK;
    return sgc_fail(err, SGC_INVALID,
                    "patch %s: its file has the scale %.15g and the offset %.15g, band \"%s\" has "
                    "none: values are stored as they come, so give the band \"raster:scale\": "
                    "%.15g and \"raster:offset\": %.15g (or 1 and 0 to leave them alone)",
                    w->patch->id, scale, offset, band->name, scale, offset);
}

static sgc_status find_band(sgc_raster_place *p, const sgc_raster_window *w, sgc_error *err)
{
    const sgc_band *band = &w->definition->bands[w->band];
    p->number = w->source_band > 0 ? w->source_band : band->source_band;
    if (GDALGetRasterCount(p->raster) < p->number)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its file has no band %d", w->patch->id,
                        p->number);
    p->band = GDALGetRasterBand(p->raster, p->number);
    p->type = GDALGetRasterDataType(p->band);
    if (GDALDataTypeIsComplex(p->type))
        return sgc_fail(err, SGC_UNSUPPORTED, "patch %s: its file has complex numbers",
                        w->patch->id);
    if (p->type == GDT_Byte && has_signed_bytes(p->band))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "patch %s: its file has signed bytes: they need GDAL 3.7 or later",
                        w->patch->id);
    SGC_TRY(check_blocks(p, w, err));
    SGC_TRY(check_scale(p, w, err));
    p->nodata = nodata_of(p->band, w);
    find_mask(p);
    return SGC_OK;
}

/* ---- pixels ---- */

sgc_status sgc_raster_put_row(const sgc_raster_window *w, GDALDataType from_type, const void *from,
                              size_t count, sgc_nodata nodata, double tolerance, void *pixels,
                              uint8_t *valid, sgc_error *err)
{
    enum { EXACT_IN_FLOAT32 = 1 << 24 };
    const sgc_band *band = &w->definition->bands[w->band];
    double bad;
    sgc_pixels_mark(from_type, from, count, nodata, valid);
    if (from != pixels &&
        !sgc_pixels_convert(from_type, from, band->type, pixels, count, valid, tolerance, &bad))
        return sgc_fail(
            err, SGC_CORRUPT,
            "patch %s: its file has the value %g, which the %s of band \"%s\" cannot "
            "hold: use a wider one, like %s, or name the value in \"source_nodata\" if it "
            "stands for nothing",
            w->patch->id, bad, band->data_type, band->name,
            fabs(bad) <= EXACT_IN_FLOAT32 ? "float32" : "float64");
    uint8_t *truth = pixels;
    for (size_t i = 0; band->is_bool && i < count; i++)
        truth[i] = truth[i] != 0;
    return SGC_OK;
}

sgc_status sgc_raster_fail(const sgc_raster_window *w, const char *what, sgc_error *err)
{
    char said[512];
    if (sgc_cancel_requested(w->cancel))
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    sgc_remote_last_message(said, sizeof said);
    return sgc_fail(err, SGC_CORRUPT, "patch %s: its file cannot be %s%s%s", w->patch->id, what,
                    said[0] != '\0' ? ": " : "", said);
}

int sgc_raster_goes_on(double fraction, const char *message, void *window)
{
    (void)fraction;
    (void)message;
    return !sgc_cancel_requested(((const sgc_raster_window *)window)->cancel);
}

/* A part of the raster's own pixels as they come. */
typedef struct part {
    sgc_rect wanted; /* of the cube */
    char *pixels;
    size_t line;   /* bytes from row to row, from north to south or back */
    uint8_t *mask; /* or NULL */
} part;

static CPLErr read_part(GDALRasterBandH band, const sgc_raster_place *p, const sgc_raster_window *w,
                        sgc_rect wanted, GDALDataType type, void *pixels, size_t line)
{
    GDALRasterIOExtraArg extra;
    INIT_RASTERIO_EXTRA_ARG(extra);
    extra.pfnProgress = sgc_raster_goes_on;
    extra.pProgressData = (void *)w;
    const int64_t x = wanted.x - p->rect.x, y = wanted.y - p->rect.y;
    const int64_t first = p->is_south_up ? p->rect.height - y - wanted.height : y;
    return GDALRasterIOEx(band, GF_Read, (int)x, (int)first, (int)wanted.width, (int)wanted.height,
                          pixels, (int)wanted.width, (int)wanted.height, type, 0, (GSpacing)line,
                          &extra);
}

/* Puts the part into the window, row by row. */
static sgc_status put_part(const sgc_raster_place *p, const sgc_raster_window *w, const part *from,
                           void *pixels, uint8_t *valid, sgc_error *err)
{
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(w->definition->bands[w->band].type);
    const size_t width = (size_t)from->wanted.width, height = (size_t)from->wanted.height;
    const size_t skipped =
        (size_t)((from->wanted.y - w->rect.y) * w->rect.width + (from->wanted.x - w->rect.x));
    for (size_t row = 0; row < height; row++) {
        const size_t source = p->is_south_up ? height - 1 - row : row;
        const size_t at = skipped + row * (size_t)w->rect.width;
        SGC_TRY(sgc_raster_put_row(w, p->type, from->pixels + source * from->line, width, p->nodata,
                                   0, (char *)pixels + at * item, valid + at, err));
        for (size_t i = 0; from->mask != NULL && i < width; i++)
            valid[at + i] = valid[at + i] && from->mask[source * width + i] != 0;
    }
    return SGC_OK;
}

/* Reads and puts the part; what needs no conversion is read into its place. */
static sgc_status copy_part(const sgc_raster_place *p, const sgc_raster_window *w, part *from,
                            void *pixels, uint8_t *valid, sgc_error *err)
{
    const sgc_rect wanted = from->wanted;
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(p->type);
    const size_t count = (size_t)wanted.width * (size_t)wanted.height;
    const bool in_place = p->type == w->definition->bands[w->band].type && !p->is_south_up;
    char *room = in_place ? NULL : VSIMalloc2(count, item);
    from->mask = p->mask != NULL ? VSIMalloc(count) : NULL;
    from->line = (size_t)(in_place ? w->rect.width : wanted.width) * item;
    from->pixels = in_place ? (char *)pixels + (size_t)(wanted.y - w->rect.y) * from->line +
                                  (size_t)(wanted.x - w->rect.x) * item
                            : room;
    sgc_status status = SGC_OK;
    if (from->pixels == NULL || (p->mask != NULL && from->mask == NULL))
        status = sgc_fail_memory(err, count * (item + 1), "a window of a file");
    else if (read_part(p->band, p, w, wanted, p->type, from->pixels, from->line) != CE_None ||
             (p->mask != NULL && read_part(p->mask, p, w, wanted, GDT_Byte, from->mask,
                                           (size_t)wanted.width) != CE_None))
        status = sgc_raster_fail(w, "read", err);
    if (status == SGC_OK)
        status = put_part(p, w, from, pixels, valid, err);
    VSIFree(room);
    VSIFree(from->mask);
    return status;
}

static sgc_status copy_window(const sgc_raster_place *p, const sgc_raster_window *w, void *pixels,
                              uint8_t *valid, sgc_error *err)
{
    part from = {.wanted = sgc_rect_intersect(w->rect, p->rect)};
    if (!sgc_rect_equal(from.wanted, w->rect))
        memset(valid, 0, (size_t)w->rect.width * (size_t)w->rect.height);
    return sgc_rect_is_empty(from.wanted) ? SGC_OK : copy_part(p, w, &from, pixels, valid, err);
}

/* Whether pixels are integers of 64 bits, which GDAL's warper would round, and are there as they
 * are wanted. */
static bool are_picked(const sgc_raster_place *p, const sgc_raster_window *w)
{
    const sgc_band *band = &w->definition->bands[w->band];
    const GDALDataType both = GDALDataTypeUnion(p->type, band->type);
    return p->is_on_lattice && band->resampling == SGC_RESAMPLE_NEAREST &&
           GDALDataTypeIsInteger(both) && GDALGetDataTypeSizeBytes(both) == 8;
}

/* The full-resolution pixel at the centre of a level's; the last one ends where the grid does. */
static int64_t centre_of_pixel(int64_t pixel, int64_t factor, int64_t size)
{
    const int64_t begin = pixel * factor, end = begin + factor;
    return (begin + (begin < size && size < end ? size : end)) / 2;
}

/* Gives a level the full-resolution pixels at the centres of its own, bit by bit: of the four that
 * meet there the one to the south-east, as GDAL does. */
static sgc_status pick_pixels(const sgc_raster_place *p, const sgc_raster_window *w, char *pixels,
                              uint8_t *valid, sgc_error *err)
{
    const int64_t f = w->factor;
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(w->definition->bands[w->band].type);
    const size_t width = (size_t)w->rect.width, span = width * (size_t)f;
    sgc_raster_window full = *w;
    full.factor = 1;
    char *row = VSIMalloc2(span, item);
    uint8_t *has = VSIMalloc(span);
    sgc_status status =
        row != NULL && has != NULL ? SGC_OK : sgc_fail_memory(err, span * (item + 1), "a row");
    const sgc_grid *grid = &w->definition->grid;
    for (int64_t j = 0; status == SGC_OK && j < w->rect.height; j++) {
        const int64_t y = centre_of_pixel(w->rect.y + j, f, grid->height);
        full.rect = (sgc_rect){w->rect.x * f, y, (int64_t)span, 1};
        status = copy_window(p, &full, row, has, err);
        for (size_t i = 0; status == SGC_OK && i < width; i++) {
            const int64_t x = centre_of_pixel(w->rect.x + (int64_t)i, f, grid->width);
            const size_t from = (size_t)(x - full.rect.x), to = (size_t)j * width + i;
            memcpy(pixels + to * item, row + from * item, item);
            valid[to] = has[from];
        }
    }
    VSIFree(row);
    VSIFree(has);
    return status;
}

/* A cube's grid may begin a little beyond a pole. */
static void drop_beyond_poles(const sgc_raster_window *w, OGRSpatialReferenceH crs, uint8_t *valid)
{
    if (!OSRIsGeographic(crs))
        return;
    const sgc_grid level = sgc_grid_at_level(&w->definition->grid, w->factor);
    const double pole = M_PI / 2 / OSRGetAngularUnits(crs, NULL) + 1e-9;
    for (int64_t j = 0; j < w->rect.height; j++) {
        const double latitude =
            level.transform[3] + ((double)(w->rect.y + j) + 0.5) * level.transform[5];
        if (fabs(latitude) > pole)
            memset(valid + j * w->rect.width, 0, (size_t)w->rect.width);
    }
}

static sgc_status read_place(sgc_raster_place *p, const sgc_raster_window *w,
                             OGRSpatialReferenceH cube, void *pixels, uint8_t *valid,
                             sgc_error *err)
{
    SGC_TRY(find_band(p, w, err));
    SGC_TRY(find_place(p, w, cube, err));
    if (w->factor == 1 && p->is_on_lattice)
        SGC_TRY(copy_window(p, w, pixels, valid, err));
    else if (are_picked(p, w))
        SGC_TRY(pick_pixels(p, w, pixels, valid, err));
    else
        SGC_TRY(sgc_raster_warp(p, w, pixels, valid, err));
    drop_beyond_poles(w, cube, valid);
    return SGC_OK;
}

static sgc_status read_window(GDALDatasetH raster, const sgc_raster_window *w,
                              OGRSpatialReferenceH cube, void *pixels, uint8_t *valid,
                              sgc_error *err)
{
    sgc_raster_place place = {.raster = raster, .crs = GDALGetSpatialRef(raster)};
    if (place.crs != NULL || w->crs == NULL)
        return read_place(&place, w, cube, pixels, valid, err);
    place.named_crs = w->crs;
    place.crs = new_crs(w->crs);
    if (place.crs == NULL)
        return fail_crs(w->crs, err);
    const sgc_status status = read_place(&place, w, cube, pixels, valid, err);
    OSRDestroySpatialReference(place.crs);
    return status;
}

sgc_status sgc_raster_read(GDALDatasetH raster, const sgc_raster_window *w, void *pixels,
                           uint8_t *valid, sgc_error *err)
{
    sgc_quiet quiet = sgc_quiet_begin();
    OGRSpatialReferenceH crs = new_crs(w->definition->crs);
    const sgc_status status = crs != NULL ? read_window(raster, w, crs, pixels, valid, err)
                                          : fail_crs(w->definition->crs, err);
    OSRDestroySpatialReference(crs);
    sgc_quiet_end(&quiet);
    return status;
}

/* ---- extents ---- */

static bool is_pixel(double position)
{
    return fabs(position) < INT32_MAX;
}

/* Pixels outward, but for what arithmetic leaves over. */
static sgc_status outward(const double bounds[4], const sgc_grid *cube, sgc_rect *rect,
                          sgc_error *err)
{
    const double *g = cube->transform;
    const double left = floor((bounds[0] - g[0]) / g[1] + LARGEST_SHIFT);
    const double right = ceil((bounds[2] - g[0]) / g[1] - LARGEST_SHIFT);
    const double top = floor((bounds[3] - g[3]) / g[5] + LARGEST_SHIFT);
    const double bottom = ceil((bounds[1] - g[3]) / g[5] - LARGEST_SHIFT);
    if (!is_pixel(left) || !is_pixel(right) || !is_pixel(top) || !is_pixel(bottom))
        return sgc_fail(err, SGC_INVALID, "a raster too far from the cube");
    *rect =
        (sgc_rect){(int64_t)left, (int64_t)top, (int64_t)(right - left), (int64_t)(bottom - top)};
    if (bounds[0] > bounds[2]) { /* across the antimeridian */
        rect->x = 0;
        rect->width = cube->width;
    }
    return SGC_OK;
}

sgc_status sgc_raster_extent(const char *crs, const double transform[6], int64_t width,
                             int64_t height, const sgc_grid *cube, sgc_rect *rect, sgc_error *err)
{
    box b = bounds_of(transform, width, height);
    if (crs != NULL) {
        sgc_quiet quiet = sgc_quiet_begin();
        const sgc_status status = change_bounds(crs, cube->crs, b.edges, err);
        sgc_quiet_end(&quiet);
        SGC_TRY(status);
    }
    return outward(b.edges, cube, rect, err);
}

/* ---- files on web servers ---- */

/* Says which file GDAL cannot open, and what the server calls it: a page for people, say. */
static sgc_status fail_to_open(const char *url, const sgc_remote_call *call,
                               const sgc_raster_window *window, sgc_error *err)
{
    char shown[256], said[512];
    const bool has_type = call->content_type[0] != '\0';
    sgc_http_redact(url, shown, sizeof shown);
    sgc_remote_last_message(said, sizeof said);
    return sgc_fail(err, SGC_CORRUPT, "patch %s: its file %s%s%.60s%s is not a GeoTIFF%s%s",
                    window->patch->id, shown, has_type ? " (type " : "", call->content_type,
                    has_type ? ")" : "", *said != '\0' ? ": " : "", said);
}

static sgc_status open_and_read(const char *path, const char *url, const sgc_remote_call *call,
                                const sgc_raster_window *window, void *pixels, uint8_t *valid,
                                sgc_error *err)
{
    const char *const drivers[] = {"GTiff", NULL};
    const char *const no_siblings[] = {"", NULL};
    /* GDAL asks for so many compressed bytes at once, and beyond that for one tile after another.
     */
    if (CPLGetConfigOption(MULTI_RANGE_OPTION, NULL) == NULL)
        CPLSetThreadLocalConfigOption(MULTI_RANGE_OPTION, MULTI_RANGE_BYTES);
    GDALDatasetH file =
        GDALOpenEx(path, GDAL_OF_RASTER | GDAL_OF_INTERNAL, drivers, NULL, no_siblings);
    if (file == NULL)
        return fail_to_open(url, call, window, err);
    const sgc_status status = sgc_raster_read(file, window, pixels, valid, err);
    GDALClose(file);
    return status;
}

/* One attempt to read a window of a file. What does not decode may have been damaged on its way, or
 * replaced in mid-read: whoever tries again must not have it from memory. */
static sgc_status fetch_once(const char *path, const char *url, const sgc_raster_window *window,
                             void *pixels, uint8_t *valid, sgc_fetch *fetch, sgc_error *err)
{
    sgc_remote_call call;
    sgc_error remote_error = {""};
    sgc_quiet quiet = sgc_quiet_begin();
    sgc_remote_call_begin(&call, window->cancel);
    const sgc_status status = open_and_read(path, url, &call, window, pixels, valid, err);
    const sgc_status remote = sgc_remote_call_end(&call, &remote_error);
    sgc_quiet_end(&quiet);
    fetch->bytes += call.bytes_received;
    memcpy(fetch->etag, call.etag, sizeof fetch->etag);
    if (remote != SGC_OK)
        return sgc_fail(err, remote, "patch %s: %s", window->patch->id, remote_error.message);
    if (status == SGC_CORRUPT)
        sgc_remote_forget(path);
    return status;
}

sgc_status sgc_raster_fetch(const sgc_remote_files *files, const char *href,
                            const sgc_raster_window *window, void *pixels, uint8_t *valid,
                            sgc_fetch *fetch, const sgc_cancel *cancel, sgc_error *err)
{
    char *url, *path;
    SGC_TRY(sgc_config_expand(href, &url, err));
    sgc_status status = sgc_remote_files_path(files, url, &path, err);
    free(url);
    SGC_TRY(status);
    sgc_raster_window cancellable = *window;
    cancellable.cancel = cancel;
    status = fetch_once(path, href, &cancellable, pixels, valid, fetch, err);
    if (status == SGC_CORRUPT) {
        status = fetch_once(path, href, &cancellable, pixels, valid, fetch, err);
        if (status == SGC_NOT_FOUND)
            status = sgc_fail(err, SGC_NETWORK, "patch %s: its file went away while it was read",
                              window->patch->id);
    }
    free(path);
    return status;
}
