/* Rasters on other grids than the cube's: warped by GDAL. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal_utils.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/raster_private.h"

/* What pixels are warped as: a type with room for a value that stands for none, so that no value of
 * the raster has to give way. */
typedef struct working_type {
    GDALDataType type;
    double none;
} working_type;

static bool find_working_type(GDALDataType raster, GDALDataType band, working_type *out)
{
    const GDALDataType both = GDALDataTypeUnion(raster, band);
    const int size = GDALGetDataTypeSizeBytes(both);
    if (GDALDataTypeIsFloating(both))
        *out = (working_type){size <= 4 ? GDT_Float32 : GDT_Float64, (double)NAN};
    else if (size == 1)
        *out = (working_type){GDT_Int16, INT16_MIN};
    else if (size == 2)
        *out = (working_type){GDT_Int32, INT32_MIN};
    else
        *out = (working_type){GDT_Float64, (double)NAN};
    return size <= 4 || GDALDataTypeIsFloating(both);
}

/* Appends one word to a list of arguments, formatted in C's locale. */
CPL_PRINT_FUNC_FORMAT(2, 3)
static void add_word(char ***words, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    CPLvsnprintf(text, sizeof text, format, args);
    va_end(args);
    *words = CSLAddString(*words, text);
}

/* A band of a raster, in the words of gdal_translate. */
typedef struct band_name {
    char text[32];
} band_name;

static band_name name_of_band(const sgc_raster_place *p)
{
    band_name name;
    snprintf(name.text, sizeof name.text, "%d", p->number);
    return name;
}

static band_name name_of_mask(const sgc_raster_place *p)
{
    band_name name;
    if (p->mask_number > 0)
        snprintf(name.text, sizeof name.text, "%d", p->mask_number);
    else
        snprintf(name.text, sizeof name.text, "mask,%d", p->number);
    return name;
}

/* ---- how the raster's pixels lie to the window's ---- */

/* How many pixels of the raster, along its own axes, one of the window has; and how many pixels
 * without value are put around it. At its edges GDAL's averages count pixels that are not there,
 * and a raster of a few of the window's pixels is taken for one around the world. */
typedef struct proportion {
    double x, y;
    int pad_x, pad_y;
} proportion;

/* Both in degrees: a raster around the world continues where it ends. */
static bool is_around_the_world(const sgc_raster_place *p, OGRSpatialReferenceH crs)
{
    return crs != NULL && OSRIsGeographic(crs) &&
           fabs(GDALGetRasterXSize(p->raster) * p->transform[1]) * OSRGetAngularUnits(crs, NULL) >
               1.99 * M_PI;
}

/* Of a raster in another CRS: by the pixels of the cube that it covers. */
static void compare_extents(const sgc_raster_place *p, const sgc_raster_window *w,
                            OGRSpatialReferenceH crs, proportion *out)
{
    const int width = GDALGetRasterXSize(p->raster), height = GDALGetRasterYSize(p->raster);
    const sgc_grid *grid = &w->definition->grid;
    sgc_rect rect;
    char *wkt = NULL;
    const bool good =
        OSRExportToWkt(crs, &wkt) == OGRERR_NONE &&
        sgc_raster_extent(wkt, p->transform, width, height, grid, &rect, NULL) == SGC_OK &&
        !sgc_rect_is_empty(rect);
    CPLFree(wkt);
    if (!good)
        return;
    out->y = (double)height * (double)w->factor / (double)rect.height;
    /* All columns stand for a raster across the antimeridian, too. */
    out->x = rect.x == 0 && rect.width == grid->width
                 ? out->y
                 : (double)width * (double)w->factor / (double)rect.width;
}

/* The overview that is finer than the window, but no more than needed; -1: none is. */
static int choose_overview(const sgc_raster_place *p, const proportion *of)
{
    const double most = fmin(of->x, of->y) * 1.01;
    double best = 1;
    int chosen = -1;
    for (int i = 0; i < GDALGetOverviewCount(p->band); i++) {
        const double factor = (double)GDALGetRasterXSize(p->raster) /
                              GDALGetRasterBandXSize(GDALGetOverview(p->band, i));
        if (factor > best && factor <= most) {
            best = factor;
            chosen = i;
        }
    }
    return chosen;
}

/* Pixels of the raster on a side of one of the overview that is read. */
static int overview_factor(const sgc_raster_place *p, const proportion *of)
{
    const int overview = choose_overview(p, of);
    if (overview < 0)
        return 1;
    return (int)lround((double)GDALGetRasterXSize(p->raster) /
                       GDALGetRasterBandXSize(GDALGetOverview(p->band, overview)));
}

/* Room on both sides of an axis, of whole pixels of the overview: else GDAL moves what it reads of
 * it by up to one. */
static int padding(double proportion_along, int size, int whole)
{
    enum { MOST = 1 << 28 };
    const double wanted = ceil(2 * proportion_along) + 2;
    const int pad = wanted < MOST ? (int)wanted : MOST;
    return size < INT32_MAX - 4 * MOST && whole <= pad ? (pad + whole - 1) / whole * whole : 0;
}

static proportion find_proportion(const sgc_raster_place *p, const sgc_raster_window *w)
{
    const double *t = p->transform, *g = w->definition->grid.transform, f = (double)w->factor;
    proportion out = {.x = 1, .y = 1};
    if (!p->has_transform) {
        out.x = out.y = f;
    } else if (p->has_cube_crs) {
        out.x = f * g[1] / hypot(t[1], t[4]);
        out.y = f * -g[5] / hypot(t[2], t[5]);
    } else {
        compare_extents(p, w, p->crs, &out);
    }
    const int whole = overview_factor(p, &out);
    out.pad_y = padding(out.y, GDALGetRasterYSize(p->raster), whole);
    out.pad_x = !p->has_cube_crs && is_around_the_world(p, p->crs)
                    ? 0
                    : padding(out.x, GDALGetRasterXSize(p->raster), whole);
    return out;
}

/* ---- views ---- */

static void add_place(char ***words, const sgc_raster_place *p, const sgc_raster_window *w,
                      const proportion *of)
{
    const double *g = w->definition->grid.transform;
    const sgc_rect r = {p->rect.x - of->pad_x, p->rect.y - of->pad_y, p->rect.width + 2 * of->pad_x,
                        p->rect.height + 2 * of->pad_y};
    add_word(words, "-srcwin");
    add_word(words, "%d", -of->pad_x);
    add_word(words, "%d", -of->pad_y);
    add_word(words, "%d", GDALGetRasterXSize(p->raster) + 2 * of->pad_x);
    add_word(words, "%d", GDALGetRasterYSize(p->raster) + 2 * of->pad_y);
    if (p->has_cube_crs || p->named_crs != NULL) {
        add_word(words, "-a_srs");
        *words = CSLAddString(*words, p->has_cube_crs ? w->definition->crs : p->named_crs);
    }
    if (!p->has_transform) {
        add_word(words, "-a_ullr");
        add_word(words, "%.17g", g[0] + (double)r.x * g[1]);
        add_word(words, "%.17g", g[3] + (double)r.y * g[5]);
        add_word(words, "%.17g", g[0] + (double)(r.x + r.width) * g[1]);
        add_word(words, "%.17g", g[3] + (double)(r.y + r.height) * g[5]);
    }
}

/* What a view shows. */
typedef struct view_of {
    const char *band;
    const char *mask;  /* or NULL */
    GDALDataType type; /* GDT_Unknown: its own */
    sgc_nodata nodata;
} view_of;

/* Gives one band alone, where it belongs and with room around it; NULL on failure. */
static GDALDatasetH new_view(const sgc_raster_place *p, const sgc_raster_window *w,
                             const proportion *proportions, const view_of *what)
{
    char **words = NULL;
    add_word(&words, "-of");
    add_word(&words, "VRT");
    add_word(&words, "-b");
    add_word(&words, "%s", what->band);
    add_word(&words, "-mask");
    add_word(&words, "%s", what->mask != NULL ? what->mask : "none");
    add_word(&words, "-a_nodata");
    const double nodata = (double)what->nodata.value;
    add_word(&words, !what->nodata.exists ? "none" : isnan(nodata) ? "nan" : "%.17g", nodata);
    if (what->type != GDT_Unknown) {
        add_word(&words, "-ot");
        add_word(&words, "%s", GDALGetDataTypeName(what->type));
    }
    add_place(&words, p, w, proportions);
    GDALTranslateOptions *options = GDALTranslateOptionsNew(words, NULL);
    CSLDestroy(words);
    GDALDatasetH view = options != NULL ? GDALTranslate("", p->raster, options, NULL) : NULL;
    GDALTranslateOptionsFree(options);
    return view;
}

static sgc_status fail_warp(const sgc_raster_window *w, sgc_error *err)
{
    return sgc_raster_fail(w, "resampled", err);
}

/* Gives a raster in memory that is the part of the window, without any value; NULL on failure. */
static GDALDatasetH new_window(const sgc_raster_window *w, sgc_rect part, working_type work)
{
    const sgc_grid *grid = &w->definition->grid;
    const sgc_rect full = sgc_rect_under_level(grid, part, w->factor);
    double t[6];
    memcpy(t, grid->transform, sizeof t);
    t[0] += (double)full.x * t[1];
    t[3] += (double)full.y * t[5];
    t[1] *= (double)full.width / (double)part.width;
    t[5] *= (double)full.height / (double)part.height;
    GDALDatasetH window = GDALCreate(GDALGetDriverByName("MEM"), "", (int)part.width,
                                     (int)part.height, 1, work.type, NULL);
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    OSRSetAxisMappingStrategy(crs, OAMS_TRADITIONAL_GIS_ORDER);
    const bool good =
        window != NULL && OSRSetFromUserInput(crs, w->definition->crs) == OGRERR_NONE &&
        GDALSetGeoTransform(window, t) == CE_None && GDALSetSpatialRef(window, crs) == CE_None &&
        GDALSetRasterNoDataValue(GDALGetRasterBand(window, 1), work.none) == CE_None &&
        GDALFillRaster(GDALGetRasterBand(window, 1), work.none, 0) == CE_None;
    OSRDestroySpatialReference(crs);
    if (good)
        return window;
    GDALClose(window);
    return NULL;
}

static sgc_resampling resampling_of(const sgc_raster_window *w)
{
    return w->factor == 1 ? w->definition->resampling : w->definition->bands[w->band].resampling;
}

/* How a view is warped. */
typedef struct warping {
    sgc_resampling resampling;
    int overview; /* or -1 */
    working_type work;
} warping;

static bool warp(const sgc_raster_window *w, GDALDatasetH from, GDALDatasetH to, const warping *how)
{
    static const char *const names[] = {
        [SGC_RESAMPLE_NEAREST] = "near", [SGC_RESAMPLE_BILINEAR] = "bilinear",
        [SGC_RESAMPLE_CUBIC] = "cubic",  [SGC_RESAMPLE_AVERAGE] = "average",
        [SGC_RESAMPLE_MODE] = "mode",
    };
    char **words = NULL;
    add_word(&words, "-r");
    add_word(&words, "%s", names[how->resampling]);
    add_word(&words, "-ovr");
    add_word(&words, how->overview < 0 ? "NONE" : "%d", how->overview);
    /* In pixels; the default of an eighth would move edges that can be seen. */
    add_word(&words, "-et");
    add_word(&words, "0.01");
    add_word(&words, "-dstnodata");
    add_word(&words, "%.17g", how->work.none);
    add_word(&words, "-wo");
    add_word(&words, "INIT_DEST=NO_DATA");
    GDALWarpAppOptions *options = GDALWarpAppOptionsNew(words, NULL);
    CSLDestroy(words);
    if (options != NULL)
        GDALWarpAppOptionsSetProgress(options, sgc_raster_goes_on, (void *)w);
    int misused = FALSE;
    const bool good = options != NULL && GDALWarp(NULL, to, 1, &from, options, &misused) != NULL;
    GDALWarpAppOptionsFree(options);
    return good;
}

static bool paste(GDALDatasetH from, GDALDatasetH to, int x, int y, working_type work)
{
    const int width = GDALGetRasterXSize(from), height = GDALGetRasterYSize(from);
    void *pixels =
        VSIMalloc3((size_t)width, (size_t)height, (size_t)GDALGetDataTypeSizeBytes(work.type));
    const bool good = pixels != NULL &&
                      GDALRasterIO(GDALGetRasterBand(from, 1), GF_Read, 0, 0, width, height, pixels,
                                   width, height, work.type, 0, 0) == CE_None &&
                      GDALRasterIO(GDALGetRasterBand(to, 1), GF_Write, x, y, width, height, pixels,
                                   width, height, work.type, 0, 0) == CE_None;
    VSIFree(pixels);
    return good;
}

static bool warp_part(const sgc_raster_window *w, sgc_rect part, GDALDatasetH from, GDALDatasetH to,
                      const warping *how)
{
    GDALDatasetH window = new_window(w, part, how->work);
    const bool good =
        window != NULL && warp(w, from, window, how) &&
        paste(window, to, (int)(part.x - w->rect.x), (int)(part.y - w->rect.y), how->work);
    GDALClose(window);
    return good;
}

/* Gives the window in memory; NULL on failure. Pixels of a level that the grid's end cuts stand for
 * what is left of them: the middle of a whole one may lie outside. */
static GDALDatasetH warp_window(const sgc_raster_window *w, GDALDatasetH from, const warping *how)
{
    sgc_rect parts[4];
    const size_t count = sgc_rect_split_cut(&w->definition->grid, w->rect, w->factor, parts);
    GDALDatasetH window = from != NULL ? new_window(w, w->rect, how->work) : NULL;
    bool good = window != NULL;
    if (count == 1)
        good = good && warp(w, from, window, how);
    for (size_t i = 0; count > 1 && good && i < count; i++)
        good = warp_part(w, parts[i], from, window, how);
    if (good)
        return window;
    GDALClose(window);
    return NULL;
}

static sgc_status take_rows(const sgc_raster_place *p, GDALDatasetH from,
                            const sgc_raster_window *w, working_type work, void *pixels,
                            uint8_t *valid, sgc_error *err)
{
    const sgc_nodata none = {!isnan(work.none), work.none};
    const bool overshoots =
        resampling_of(w) == SGC_RESAMPLE_CUBIC && !GDALDataTypeIsFloating(p->type);
    const size_t width = (size_t)w->rect.width;
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(w->definition->bands[w->band].type);
    void *row = VSIMalloc2(width, (size_t)GDALGetDataTypeSizeBytes(work.type));
    sgc_status status = row != NULL ? SGC_OK : sgc_fail_memory(err, width, "a row");
    for (int64_t j = 0; status == SGC_OK && j < w->rect.height; j++) {
        const size_t at = (size_t)j * width;
        if (GDALRasterIO(GDALGetRasterBand(from, 1), GF_Read, 0, (int)j, (int)width, 1, row,
                         (int)width, 1, work.type, 0, 0) != CE_None)
            status = fail_warp(w, err);
        if (status == SGC_OK && overshoots)
            sgc_pixels_clamp(work.type, row, width, p->type, none);
        if (status == SGC_OK)
            status = sgc_raster_put_row(w, work.type, row, width, none, 0.5,
                                        (char *)pixels + at * item, valid + at, err);
    }
    VSIFree(row);
    return status;
}

/* GDAL's warper forgets the mask of what has a nodata value: it is warped by itself. */
static sgc_status drop_masked(const sgc_raster_place *p, const sgc_raster_window *w,
                              const proportion *proportions, uint8_t *valid, sgc_error *err)
{
    const working_type work = {GDT_Byte, 0};
    const int width = (int)w->rect.width, height = (int)w->rect.height;
    const size_t count = (size_t)width * (size_t)height;
    const band_name name = name_of_mask(p);
    const view_of what = {.band = name.text};
    uint8_t *mask = VSIMalloc(count);
    GDALDatasetH view = new_view(p, w, proportions, &what);
    const warping how = {SGC_RESAMPLE_NEAREST, choose_overview(p, proportions), work};
    GDALDatasetH window = mask != NULL ? warp_window(w, view, &how) : NULL;
    const bool good =
        window != NULL && GDALRasterIO(GDALGetRasterBand(window, 1), GF_Read, 0, 0, width, height,
                                       mask, width, height, GDT_Byte, 0, 0) == CE_None;
    for (size_t i = 0; good && i < count; i++)
        valid[i] = valid[i] && mask[i] != 0;
    GDALClose(window);
    GDALClose(view);
    VSIFree(mask);
    return good ? SGC_OK : fail_warp(w, err);
}

/* A nodata value that no pixel can have would be moved into the type's range. */
static sgc_nodata usable_nodata(const sgc_raster_place *p)
{
    return sgc_nodata_fits(p->nodata, p->type) ? p->nodata : (sgc_nodata){0};
}

sgc_status sgc_raster_warp(const sgc_raster_place *p, const sgc_raster_window *w, void *pixels,
                           uint8_t *valid, sgc_error *err)
{
    working_type work;
    if (!find_working_type(p->type, w->definition->bands[w->band].type, &work))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "patch %s: 64-bit integers cannot be resampled: give the cube the grid of "
                        "its files, and band \"%s\" the resampling \"nearest\"",
                        w->patch->id, w->definition->bands[w->band].name);
    const proportion proportions = find_proportion(p, w);
    const band_name band = name_of_band(p), mask = name_of_mask(p);
    view_of what = {.band = band.text, .nodata = usable_nodata(p)};
    const bool drops = p->mask != NULL && what.nodata.exists;
    if (p->mask != NULL && !drops) {
        what.mask = mask.text;
    } else if (!what.nodata.exists) {
        what.type = work.type;
        what.nodata = (sgc_nodata){true, work.none};
    }
    GDALDatasetH view = new_view(p, w, &proportions, &what);
    const warping how = {resampling_of(w), choose_overview(p, &proportions), work};
    GDALDatasetH window = warp_window(w, view, &how);
    sgc_status status =
        window != NULL ? take_rows(p, window, w, work, pixels, valid, err) : fail_warp(w, err);
    GDALClose(window);
    GDALClose(view);
    if (status == SGC_OK && drops)
        status = drop_masked(p, w, &proportions, valid, err);
    return status;
}
