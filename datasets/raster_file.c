#include "datasets/raster_file.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_vsi.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MULTI_RANGE_OPTION "GDAL_MAX_RAW_BLOCK_CACHE_SIZE"
#define MULTI_RANGE_BYTES "64000000"

/* A file may say where it is; then it must be where its item promises. */
static sgc_status check_place(GDALDatasetH file, const sgc_patch *patch, const sgc_grid *grid,
                              sgc_error *err)
{
    double t[6];
    if (GDALGetGeoTransform(file, t) != CE_None)
        return SGC_OK;
    const double *g = grid->transform;
    const double column = (t[0] - g[0]) / g[1], row = (t[3] - g[3]) / g[5];
    if (fabs(column - (double)patch->rect.x) < 0.01 && fabs(row - (double)patch->rect.y) < 0.01 &&
        fabs(t[1] / g[1] - 1) < 1e-6 && fabs(t[5] / g[5] - 1) < 1e-6)
        return SGC_OK;
    return sgc_fail(err, SGC_CORRUPT, "patch %s: its file lies elsewhere than its item promises",
                    patch->id);
}

static sgc_status check_file(GDALDatasetH file, const sgc_patch *patch, const sgc_band *band,
                             const sgc_grid *grid, sgc_error *err)
{
    if (GDALGetRasterCount(file) < band->source_band)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its file has no band %d", patch->id,
                        band->source_band);
    if (GDALGetRasterXSize(file) != patch->rect.width ||
        GDALGetRasterYSize(file) != patch->rect.height)
        return sgc_fail(err, SGC_CORRUPT,
                        "patch %s: its file has %d x %d pixels, but its item promises %lld x %lld",
                        patch->id, GDALGetRasterXSize(file), GDALGetRasterYSize(file),
                        (long long)patch->rect.width, (long long)patch->rect.height);
    return check_place(file, patch, grid, err);
}

/* valid[i] = pixel i of the band's type is neither `nodata` nor NaN. */
static void mark_valid(const sgc_band *band, const void *pixels, size_t count, bool has_nodata,
                       double nodata, uint8_t *valid)
{
    const int size = GDALGetDataTypeSizeBytes(band->type);
    for (size_t i = 0; i < count; i++) {
        double value;
        GDALCopyWords((const char *)pixels + i * (size_t)size, band->type, 0, &value, GDT_Float64,
                      0, 1);
        valid[i] = !isnan(value) && !(has_nodata && value == nodata);
    }
}

/* The same for the type that dominates, in a loop the compiler can vectorise. */
static void mark_valid_float(const float *pixels, size_t count, bool has_nodata, double nodata,
                             uint8_t *valid)
{
    const float bad = has_nodata ? (float)nodata : NAN;
    for (size_t i = 0; i < count; i++)
        valid[i] = !(pixels[i] == bad || pixels[i] != pixels[i]);
}

/* Where the file carries a mask of its own (a mask band, alpha), it counts too. */
static CPLErr apply_mask(GDALRasterBandH source, sgc_rect window, uint8_t *valid)
{
    if ((GDALGetMaskFlags(source) & (GMF_ALL_VALID | GMF_NODATA)) != 0)
        return CE_None;
    const size_t count = (size_t)(window.width * window.height);
    uint8_t *mask = VSIMalloc(count);
    if (mask == NULL)
        return CE_Failure;
    const CPLErr result = GDALRasterIO(GDALGetMaskBand(source), GF_Read, (int)window.x,
                                       (int)window.y, (int)window.width, (int)window.height, mask,
                                       (int)window.width, (int)window.height, GDT_Byte, 0, 0);
    for (size_t i = 0; result == CE_None && i < count; i++)
        valid[i] = valid[i] && mask[i] != 0;
    VSIFree(mask);
    return result;
}

sgc_status sgc_raster_read(GDALDatasetH raster, const sgc_raster_window *w, void *pixels,
                           uint8_t *valid, sgc_error *err)
{
    const sgc_band *band = &w->definition->bands[w->band];
    const sgc_rect window = {w->rect.x - w->patch->rect.x, w->rect.y - w->patch->rect.y,
                             w->rect.width, w->rect.height};
    SGC_TRY(check_file(raster, w->patch, band, &w->definition->grid, err));
    GDALRasterBandH source = GDALGetRasterBand(raster, band->source_band);
    const size_t count = (size_t)(window.width * window.height);
    if (GDALRasterIO(source, GF_Read, (int)window.x, (int)window.y, (int)window.width,
                     (int)window.height, pixels, (int)window.width, (int)window.height, band->type,
                     0, 0) != CE_None)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: %s", w->patch->id, CPLGetLastErrorMsg());
    int has_nodata = 0;
    double nodata = GDALGetRasterNoDataValue(source, &has_nodata);
    if (band->has_source_nodata) {
        has_nodata = 1;
        nodata = band->source_nodata;
    }
    if (band->type == GDT_Float32)
        mark_valid_float(pixels, count, has_nodata, nodata, valid);
    else
        mark_valid(band, pixels, count, has_nodata, nodata, valid);
    if (apply_mask(source, window, valid) != CE_None)
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its mask: %s", w->patch->id,
                        CPLGetLastErrorMsg());
    return SGC_OK;
}

static sgc_status open_and_read(const char *path, const sgc_raster_window *window, void *pixels,
                                uint8_t *valid, sgc_error *err)
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
        return sgc_fail(err, SGC_CORRUPT, "patch %s: its file is not a GeoTIFF%s%s",
                        window->patch->id, *CPLGetLastErrorMsg() != '\0' ? ": " : "",
                        CPLGetLastErrorMsg());
    const sgc_status status = sgc_raster_read(file, window, pixels, valid, err);
    GDALClose(file);
    return status;
}

/* One attempt to read a window of a file. */
static sgc_status fetch_once(const char *path, const sgc_raster_window *window, void *pixels,
                             uint8_t *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                             sgc_error *err)
{
    sgc_remote_call call;
    sgc_error remote_error = {""};
    CPLPushErrorHandler(CPLQuietErrorHandler);
    CPLErrorReset();
    sgc_remote_call_begin(&call, cancel);
    const sgc_status status = open_and_read(path, window, pixels, valid, err);
    const sgc_status remote = sgc_remote_call_end(&call, &remote_error);
    CPLPopErrorHandler();
    fetch->bytes += call.bytes_received;
    memcpy(fetch->etag, call.etag, sizeof fetch->etag);
    return remote == SGC_OK
               ? status
               : sgc_fail(err, remote, "patch %s: %s", window->patch->id, remote_error.message);
}

sgc_status sgc_raster_fetch(const sgc_remote_files *files, const char *href,
                            const sgc_raster_window *window, void *pixels, uint8_t *valid,
                            sgc_fetch *fetch, const sgc_cancel *cancel, sgc_error *err)
{
    char *path;
    SGC_TRY(sgc_remote_files_path(files, href, &path, err));
    sgc_status status = fetch_once(path, window, pixels, valid, fetch, cancel, err);
    /* Bytes that do not decode may have been damaged on their way, or replaced in mid-read. */
    if (status == SGC_CORRUPT)
        status = fetch_once(path, window, pixels, valid, fetch, cancel, err);
    free(path);
    return status;
}
