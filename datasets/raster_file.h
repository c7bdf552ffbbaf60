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
    bool any_place;         /* the raster may have any grid; else it must have the very pixels of
                               patch->rect */
    sgc_rect home; /* of any_place: full-resolution pixels that the raster must touch, unless it
                      lies in patch->rect; empty: it may lie anywhere */
    const char *home_name; /* then: what that is, for messages */
    const char *crs; /* of any_place: that of a raster without one of its own; NULL: the cube's, if
                        it has the cube's pixels */
    int source_band; /* of the raster, from 1; 0: as the definition says */
    const sgc_cancel *cancel; /* ends sgc_raster_read(); may be NULL */
} sgc_raster_window;

/* Reads the window from an open raster: `pixels` of the band's type, and for each in `valid` 1
 * where the raster has a value, else 0. There is none outside the raster, where its nodata value
 * (or the band's "source_nodata"), mask or alpha says so, and beyond the poles.
 *
 * Pixels that are the cube's own, whatever part of them the raster has, are copied bit by bit.
 * Others are warped: with the definition's "resampling" at full resolution, with the band's at a
 * level, from the overview that fits. Integers of 64 bits are only copied: at a level, where the
 * band wants the nearest, those at the centres of its pixels. Only what lies under the window is
 * read.
 *
 * SGC_CANCELLED when the window's `cancel` says so, SGC_CORRUPT when the raster cannot be read, has
 * no such band, lies elsewhere than promised, or has a value that the band's type cannot hold;
 * SGC_INVALID when it is not at home, has no CRS that is known, or scales what a band of floats
 * takes as it comes; SGC_UNSUPPORTED for complex types and for 64-bit integers that would have to
 * be warped. */
SGC_CHECKED sgc_status sgc_raster_read(GDALDatasetH raster, const sgc_raster_window *window,
                                       void *pixels, uint8_t *valid, sgc_error *err);

/* The same from the GeoTIFF at `href`, whose bytes it fetches; what does not decode is fetched once
 * more. {config:NAME} in `href` is expanded. Adds to `fetch`. SGC_NOT_FOUND when there is no such
 * file. */
SGC_CHECKED sgc_status sgc_raster_fetch(const sgc_remote_files *files, const char *href,
                                        const sgc_raster_window *window, void *pixels,
                                        uint8_t *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                                        sgc_error *err);

/* The full-resolution pixels of `cube` that a raster may cover: one of `width` x `height` pixels in
 * `crs` (anything OSRSetFromUserInput() knows; NULL: the cube's) whose GDAL geotransform is
 * `transform`. Outward, with densified edges; all columns of a cube in degrees when the raster
 * crosses the antimeridian. May reach outside the cube. SGC_INVALID when the CRS is unknown or
 * cannot be transformed. */
SGC_CHECKED sgc_status sgc_raster_extent(const char *crs, const double transform[6], int64_t width,
                                         int64_t height, const sgc_grid *cube, sgc_rect *rect,
                                         sgc_error *err);

SGC_END_C

#endif
