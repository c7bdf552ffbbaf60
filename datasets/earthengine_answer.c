#include <cpl_error.h>
#include <cpl_vsi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/earthengine.h"
#include "datasets/pixels.h"
#include "datasets/quiet.h"

#include "store/memory.h"

/* Samples of one band: row by row, `line` bytes from row to row. */
typedef struct plane {
    const unsigned char *samples;
    size_t pixel, line;
} plane;

/* ---- from samples to pixels ---- */

/* Puts a row of samples, side by side, where it goes. */
static sgc_status put_row(const sgc_ee_product *product, const sgc_ee_window *w, size_t index,
                          const void *samples, void *pixels, uint8_t *valid, sgc_error *err)
{
    const sgc_band *band = &product->definition->bands[w->bands[index]];
    const sgc_nodata nodata = {true, product->sentinel};
    const size_t count = (size_t)w->width;
    double bad;
    sgc_pixels_mark(w->sample->type, samples, count, nodata, valid);
    if (!sgc_pixels_convert(w->sample->type, samples, band->type, pixels, count, valid, 0.5, &bad))
        return sgc_fail(err, SGC_CORRUPT,
                        "band \"%s\" has the value %.17g, which %s cannot hold: its data_type in "
                        "the definition is too small",
                        band->asset, bad, band->data_type);
    uint8_t *truth = pixels;
    for (size_t i = 0; band->is_bool && i < count; i++)
        truth[i] = truth[i] != 0;
    return SGC_OK;
}

static sgc_status copy_plane(const sgc_ee_product *product, const sgc_ee_window *w, size_t index,
                             const plane *from, void *row, const sgc_ee_target *target,
                             sgc_error *err)
{
    const GDALDataType type = product->definition->bands[w->bands[index]].type;
    const size_t item = (size_t)GDALGetDataTypeSizeBytes(type);
    for (int64_t r = 0; r < w->height; r++) {
        const size_t at = target->offset + (size_t)r * target->stride;
        GDALCopyWords64(from->samples + (size_t)r * from->line, w->sample->type, (int)from->pixel,
                        row, w->sample->type, (int)w->sample->size, w->width);
        SGC_TRY(put_row(product, w, index, row, (char *)target->pixels[index] + at * item,
                        target->valid[index] + at, err));
    }
    return SGC_OK;
}

/* ---- NPY ---- */

/* The header that a structured array of the window must have, without spaces: NumPy's writers agree
 * on all but those. */
static sgc_status expected_header(const sgc_ee_product *product, const sgc_ee_window *w,
                                  sgc_buffer *text, sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(text, err, "{'descr':["));
    for (size_t i = 0; i < w->count; i++)
        SGC_TRY(sgc_buffer_print(text, err, "%s('%s','%s')", i > 0 ? "," : "",
                                 product->definition->bands[w->bands[i]].asset, w->sample->numpy));
    return sgc_buffer_print(text, err, "],'fortran_order':False,'shape':(%lld,%lld),}",
                            (long long)w->height, (long long)w->width);
}

static bool same_without_spaces(const unsigned char *text, size_t size, const char *expected)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ' || text[i] == '\n')
            continue;
        while (*expected == ' ')
            expected++;
        if (text[i] != (unsigned char)*expected++)
            return false;
    }
    return *expected == '\0';
}

/* The part of an NPY behind its magic, by version: where its header begins, and its length. */
static bool find_header(const unsigned char *data, size_t size, size_t *start, size_t *length)
{
    if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0 || data[6] < 1 || data[6] > 3)
        return false;
    *start = data[6] == 1 ? 10 : 12;
    *length = (size_t)(data[8] | data[9] << 8);
    if (data[6] > 1)
        *length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    return *length <= size - *start;
}

static sgc_status decode_npy(const sgc_ee_product *product, const sgc_ee_window *w,
                             const unsigned char *data, size_t size, void *row,
                             const sgc_ee_target *target, sgc_error *err)
{
    size_t start, length;
    if (!find_header(data, size, &start, &length))
        return sgc_fail(err, SGC_CORRUPT, "the answer is no NPY file");
    sgc_buffer expected = {0};
    sgc_status status = expected_header(product, w, &expected, err);
    if (status == SGC_OK && !same_without_spaces(data + start, length, (char *)expected.data))
        status = sgc_fail(err, SGC_CORRUPT,
                          "the answer holds other bands, types or sizes than asked for");
    sgc_buffer_free(&expected);
    SGC_TRY(status);
    const size_t pixel = w->count * w->sample->size, line = pixel * (size_t)w->width;
    const unsigned char *samples = data + start + length;
    if (size - start - length != line * (size_t)w->height)
        return sgc_fail(err, SGC_CORRUPT, "the answer has %zu bytes of pixels, not %zu",
                        size - start - length, line * (size_t)w->height);
    for (size_t i = 0; i < w->count; i++) {
        const plane from = {samples + i * w->sample->size, pixel, line};
        SGC_TRY(copy_plane(product, w, i, &from, row, target, err));
    }
    return SGC_OK;
}

/* ---- GeoTIFF ---- */

static sgc_status check_raster(GDALDatasetH raster, const sgc_ee_window *w, sgc_error *err)
{
    if (GDALGetRasterXSize(raster) == w->width && GDALGetRasterYSize(raster) == w->height &&
        GDALGetRasterCount(raster) == (int)w->count &&
        GDALGetRasterDataType(GDALGetRasterBand(raster, 1)) == w->sample->type)
        return SGC_OK;
    return sgc_fail(
        err, SGC_CORRUPT,
        "the answer has %d x %d pixels, %d bands of %s; asked for were %lld x %lld, "
        "%zu of %s",
        GDALGetRasterXSize(raster), GDALGetRasterYSize(raster), GDALGetRasterCount(raster),
        GDALGetDataTypeName(GDALGetRasterDataType(GDALGetRasterBand(raster, 1))),
        (long long)w->width, (long long)w->height, w->count, GDALGetDataTypeName(w->sample->type));
}

static sgc_status read_raster(GDALDatasetH raster, const sgc_ee_product *product,
                              const sgc_ee_window *w, void *row, const sgc_ee_target *target,
                              sgc_error *err)
{
    SGC_TRY(check_raster(raster, w, err));
    const size_t line = w->sample->size * (size_t)w->width;
    unsigned char *samples = VSIMalloc2(line, (size_t)w->height);
    if (samples == NULL)
        return sgc_fail_memory(err, line * (size_t)w->height, "an answer");
    const plane from = {samples, w->sample->size, line};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < w->count; i++) {
        if (GDALRasterIO(GDALGetRasterBand(raster, (int)i + 1), GF_Read, 0, 0, (int)w->width,
                         (int)w->height, samples, (int)w->width, (int)w->height, w->sample->type, 0,
                         0) != CE_None)
            status = sgc_fail(err, SGC_CORRUPT, "the answer: %s", CPLGetLastErrorMsg());
        else
            status = copy_plane(product, w, i, &from, row, target, err);
    }
    VSIFree(samples);
    return status;
}

static sgc_status open_and_read(const sgc_ee_product *product, const sgc_ee_window *w,
                                unsigned char *data, size_t size, void *row,
                                const sgc_ee_target *target, sgc_error *err)
{
    static const char *const drivers[] = {"GTiff", NULL}, *const no_siblings[] = {"", NULL};
    char name[64];
    snprintf(name, sizeof name, "/vsimem/sgc-earthengine-%p.tif", (void *)data);
    VSILFILE *file = VSIFileFromMemBuffer(name, data, size, FALSE);
    if (file == NULL)
        return sgc_fail_memory(err, size, "an answer");
    VSIFCloseL(file);
    GDALDatasetH raster =
        GDALOpenEx(name, GDAL_OF_RASTER | GDAL_OF_INTERNAL, drivers, NULL, no_siblings);
    sgc_status status = raster != NULL
                            ? read_raster(raster, product, w, row, target, err)
                            : sgc_fail(err, SGC_CORRUPT, "the answer is no GeoTIFF file");
    GDALClose(raster);
    VSIUnlink(name);
    return status;
}

static sgc_status decode_tiff(const sgc_ee_product *product, const sgc_ee_window *w,
                              unsigned char *data, size_t size, void *row,
                              const sgc_ee_target *target, sgc_error *err)
{
    sgc_quiet quiet = sgc_quiet_begin();
    const sgc_status status = open_and_read(product, w, data, size, row, target, err);
    sgc_quiet_end(&quiet);
    return status;
}

sgc_status sgc_ee_decode(const sgc_ee_product *product, const sgc_ee_window *window,
                         unsigned char *data, size_t size, const sgc_ee_target *target,
                         sgc_error *err)
{
    const size_t line = (size_t)window->width * window->sample->size;
    void *row = malloc(line);
    if (row == NULL)
        return sgc_fail_memory(err, line, "a row");
    const sgc_status status = window->sample->is_float
                                  ? decode_npy(product, window, data, size, row, target, err)
                                  : decode_tiff(product, window, data, size, row, target, err);
    free(row);
    return status;
}
