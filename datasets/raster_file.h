/* Rasters as sources of pixels on the cube's grid: files on web servers, or anything GDAL opens. */
#ifndef SGC_RASTER_FILE_H
#define SGC_RASTER_FILE_H

#include <gdal.h>

#include "datasets/remote_file.h"
#include "datasets/source.h"

#include "store/error.h"

SGC_BEGIN_C

/* Which pixels are wanted. */
typedef struct sgc_raster_window {
    const sgc_definition *definition;
    size_t band;
    int64_t factor;         /* of the level */
    sgc_rect rect;          /* pixels of the level's grid */
    const sgc_patch *patch; /* whose file it is, for messages */
} sgc_raster_window;

/* Reads the window from an open raster: `pixels` of the band's type, and for each in `valid` 1
 * where the raster has a value (its nodata value, mask and alpha count, and "source_nodata"), else
 * 0. SGC_CORRUPT when the raster cannot be read. */
SGC_CHECKED sgc_status sgc_raster_read(GDALDatasetH raster, const sgc_raster_window *window,
                                       void *pixels, uint8_t *valid, sgc_error *err);

/* The same from the GeoTIFF at `href`, whose bytes it fetches; what does not decode is fetched once
 * more. Adds to `fetch`. SGC_NOT_FOUND when there is no such file. */
SGC_CHECKED sgc_status sgc_raster_fetch(const sgc_remote_files *files, const char *href,
                                        const sgc_raster_window *window, void *pixels,
                                        uint8_t *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                                        sgc_error *err);

SGC_END_C

#endif
