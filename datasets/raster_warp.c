/* Rasters on other grids than the cube's: warped by GDAL. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal_utils.h>
#include <math.h>
#include <stdlib.h>

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

static char **view_arguments(const sgc_raster_place *p, const sgc_raster_window *w)
{
    char **words = NULL;
    add_word(&words, "-of");
    add_word(&words, "VRT");
    add_word(&words, "-b");
    add_word(&words, "%d", p->number);
    add_word(&words, "-mask");
    add_word(&words, p->has_mask ? "mask,%d" : "none", p->number);
    add_word(&words, "-a_nodata");
    /* A value that no pixel can have would be moved into the type's range. */
    add_word(&words, sgc_nodata_fits(p->nodata, p->type) ? "%.17g" : "none",
             (double)p->nodata.value);
    if (p->has_cube_crs) {
        add_word(&words, "-a_srs");
        words = CSLAddString(words, w->definition->crs);
    }
    if (!p->has_transform) {
        const double *g = w->definition->grid.transform;
        const sgc_rect r = p->rect;
        add_word(&words, "-a_ullr");
        add_word(&words, "%.17g", g[0] + (double)r.x * g[1]);
        add_word(&words, "%.17g", g[3] + (double)r.y * g[5]);
        add_word(&words, "%.17g", g[0] + (double)(r.x + r.width) * g[1]);
        add_word(&words, "%.17g", g[3] + (double)(r.y + r.height) * g[5]);
    }
    return words;
}

/* Gives the wanted band alone, with its validity and its place; NULL on failure. */
static GDALDatasetH new_view(const sgc_raster_place *p, const sgc_raster_window *w)
{
    char **words = view_arguments(p, w);
    GDALTranslateOptions *options = GDALTranslateOptionsNew(words, NULL);
    CSLDestroy(words);
    GDALDatasetH view = options != NULL ? GDALTranslate("", p->raster, options, NULL) : NULL;
    GDALTranslateOptionsFree(options);
    return view;
}

/* Gives a raster in memory that is the window, without any value; NULL on failure. */
static GDALDatasetH new_window(const sgc_raster_window *w, working_type work)
{
    const sgc_grid level = sgc_grid_at_level(&w->definition->grid, w->factor);
    double t[6];
    for (int i = 0; i < 6; i++)
        t[i] = level.transform[i];
    t[0] += (double)w->rect.x * t[1];
    t[3] += (double)w->rect.y * t[5];
    GDALDatasetH window = GDALCreate(GDALGetDriverByName("MEM"), "", (int)w->rect.width,
                                     (int)w->rect.height, 1, work.type, NULL);
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    OSRSetAxisMappingStrategy(crs, OAMS_TRADITIONAL_GIS_ORDER);
    const bool good =
        window != NULL && OSRSetFromUserInput(crs, w->definition->crs) == OGRERR_NONE &&
        GDALSetGeoTransform(window, t) == CE_None && GDALSetSpatialRef(window, crs) == CE_None &&
        GDALSetRasterNoDataValue(GDALGetRasterBand(window, 1), work.none) == CE_None;
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

static bool warp(GDALDatasetH from, GDALDatasetH to, sgc_resampling resampling, working_type work)
{
    static const char *const names[] = {
        [SGC_RESAMPLE_NEAREST] = "near", [SGC_RESAMPLE_BILINEAR] = "bilinear",
        [SGC_RESAMPLE_CUBIC] = "cubic",  [SGC_RESAMPLE_AVERAGE] = "average",
        [SGC_RESAMPLE_MODE] = "mode",
    };
    char **words = NULL;
    add_word(&words, "-r");
    add_word(&words, "%s", names[resampling]);
    add_word(&words, "-ovr");
    add_word(&words, "AUTO");
    /* In pixels; the default of an eighth would move edges that can be seen. */
    add_word(&words, "-et");
    add_word(&words, "0.01");
    add_word(&words, "-dstnodata");
    add_word(&words, "%.17g", work.none);
    add_word(&words, "-wo");
    add_word(&words, "INIT_DEST=NO_DATA");
    GDALWarpAppOptions *options = GDALWarpAppOptionsNew(words, NULL);
    CSLDestroy(words);
    int misused = FALSE;
    const bool good = options != NULL && GDALWarp(NULL, to, 1, &from, options, &misused) != NULL;
    GDALWarpAppOptionsFree(options);
    return good;
}

static sgc_status take_rows(GDALDatasetH from, const sgc_raster_window *w, working_type work,
                            void *pixels, uint8_t *valid, sgc_error *err)
{
    const size_t width = (size_t)w->rect.width;
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(w->definition->bands[w->band].type);
    void *row = VSIMalloc2(width, (size_t)GDALGetDataTypeSizeBytes(work.type));
    sgc_status status = row != NULL ? SGC_OK : sgc_fail_memory(err, width, "a row");
    for (int64_t j = 0; status == SGC_OK && j < w->rect.height; j++) {
        const size_t at = (size_t)j * width;
        if (GDALRasterIO(GDALGetRasterBand(from, 1), GF_Read, 0, (int)j, (int)width, 1, row,
                         (int)width, 1, work.type, 0, 0) != CE_None)
            status = sgc_fail(err, SGC_IO, "patch %s: %s", w->patch->id, CPLGetLastErrorMsg());
        else
            status = sgc_raster_put_row(w, work.type, row, width,
                                        (sgc_nodata){!isnan(work.none), work.none}, 0.5,
                                        (char *)pixels + at * item, valid + at, err);
    }
    VSIFree(row);
    return status;
}

sgc_status sgc_raster_warp(const sgc_raster_place *p, const sgc_raster_window *w, void *pixels,
                           uint8_t *valid, sgc_error *err)
{
    working_type work;
    if (!find_working_type(p->type, w->definition->bands[w->band].type, &work))
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "patch %s: 64-bit integers cannot be resampled; give the cube the grid of "
                        "its files, and use no levels",
                        w->patch->id);
    GDALDatasetH view = new_view(p, w);
    GDALDatasetH window = view != NULL ? new_window(w, work) : NULL;
    const bool good = window != NULL && warp(view, window, resampling_of(w), work);
    const sgc_status status =
        good ? take_rows(window, w, work, pixels, valid, err)
             : sgc_fail(err, SGC_CORRUPT, "patch %s: its file cannot be resampled: %s",
                        w->patch->id, CPLGetLastErrorMsg());
    GDALClose(window);
    GDALClose(view);
    return status;
}
