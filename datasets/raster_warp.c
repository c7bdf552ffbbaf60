/* Rasters on other grids than the cube's: warped by GDAL. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal_utils.h>
#include <math.h>
#include <stdio.h>
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

static void add_place(char ***words, const sgc_raster_place *p, const sgc_raster_window *w)
{
    const double *g = w->definition->grid.transform;
    const sgc_rect r = p->rect;
    if (p->has_cube_crs) {
        add_word(words, "-a_srs");
        *words = CSLAddString(*words, w->definition->crs);
    }
    if (!p->has_transform) {
        add_word(words, "-a_ullr");
        add_word(words, "%.17g", g[0] + (double)r.x * g[1]);
        add_word(words, "%.17g", g[3] + (double)r.y * g[5]);
        add_word(words, "%.17g", g[0] + (double)(r.x + r.width) * g[1]);
        add_word(words, "%.17g", g[3] + (double)(r.y + r.height) * g[5]);
    }
}

/* Gives one band alone, where it belongs, with its mask (NULL: none) or its nodata value; NULL on
 * failure. */
static GDALDatasetH new_view(const sgc_raster_place *p, const sgc_raster_window *w,
                             const char *band, const char *mask, sgc_nodata nodata)
{
    char **words = NULL;
    add_word(&words, "-of");
    add_word(&words, "VRT");
    add_word(&words, "-b");
    add_word(&words, "%s", band);
    add_word(&words, "-mask");
    add_word(&words, "%s", mask != NULL ? mask : "none");
    add_word(&words, "-a_nodata");
    add_word(&words, nodata.exists ? "%.17g" : "none", (double)nodata.value);
    add_place(&words, p, w);
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

static sgc_status fail_warp(const sgc_raster_window *w, sgc_error *err)
{
    return sgc_fail(err, SGC_CORRUPT, "patch %s: its file cannot be resampled: %s", w->patch->id,
                    CPLGetLastErrorMsg());
}

/* GDAL's warper forgets the mask of what has a nodata value: it is warped by itself. */
static sgc_status drop_masked(const sgc_raster_place *p, const sgc_raster_window *w, uint8_t *valid,
                              sgc_error *err)
{
    const working_type work = {GDT_Byte, 0};
    const int width = (int)w->rect.width, height = (int)w->rect.height;
    const size_t count = (size_t)width * (size_t)height;
    uint8_t *mask = VSIMalloc(count);
    GDALDatasetH view = new_view(p, w, name_of_mask(p).text, NULL, (sgc_nodata){0});
    GDALDatasetH window = view != NULL ? new_window(w, work) : NULL;
    const bool good = mask != NULL && window != NULL &&
                      warp(view, window, SGC_RESAMPLE_NEAREST, work) &&
                      GDALRasterIO(GDALGetRasterBand(window, 1), GF_Read, 0, 0, width, height, mask,
                                   width, height, GDT_Byte, 0, 0) == CE_None;
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
                        "patch %s: 64-bit integers cannot be resampled; give the cube the grid of "
                        "its files, and use no levels",
                        w->patch->id);
    const sgc_nodata nodata = usable_nodata(p);
    const band_name mask = name_of_mask(p);
    const bool has_mask = p->mask != NULL;
    GDALDatasetH view =
        new_view(p, w, name_of_band(p).text, has_mask && !nodata.exists ? mask.text : NULL, nodata);
    GDALDatasetH window = view != NULL ? new_window(w, work) : NULL;
    sgc_status status = window != NULL && warp(view, window, resampling_of(w), work)
                            ? take_rows(window, w, work, pixels, valid, err)
                            : fail_warp(w, err);
    GDALClose(window);
    GDALClose(view);
    if (status == SGC_OK && has_mask && nodata.exists)
        status = drop_masked(p, w, valid, err);
    return status;
}
