/* Shared by the files that read rasters. */
#ifndef SGC_RASTER_PRIVATE_H
#define SGC_RASTER_PRIVATE_H

#include <ogr_srs_api.h>

#include "datasets/pixels.h"
#include "datasets/raster_file.h"

/* An open raster, its wanted band, and where it is. */
typedef struct sgc_raster_place {
    GDALDatasetH raster;
    GDALRasterBandH band;
    int number; /* of the band */
    GDALDataType type;
    sgc_nodata nodata;
    bool has_transform;
    double transform[6];
    OGRSpatialReferenceH crs; /* NULL: the cube's */
    const char *named_crs;    /* the same where the raster itself has none, else NULL */
    bool has_cube_crs;
    GDALRasterBandH mask; /* besides nodata; NULL: none */
    int mask_number;      /* when it is one of the raster's own bands, else 0 */
    bool is_on_lattice;   /* its pixels are full-resolution pixels of the cube */
    bool is_south_up;
    sgc_rect rect; /* then: which; south-up: turned */
} sgc_raster_place;

/* A GDALProgressFunc; `window` is an sgc_raster_window. */
int sgc_raster_goes_on(double fraction, const char *message, void *window);

/* What GDAL's failure means: SGC_CANCELLED, or SGC_CORRUPT with what GDAL says after `what`. */
sgc_status sgc_raster_fail(const sgc_raster_window *window, const char *what, sgc_error *err);

/* Warps the raster to the window, as sgc_raster_read() says. */
sgc_status sgc_raster_warp(const sgc_raster_place *place, const sgc_raster_window *window,
                           void *pixels, uint8_t *valid, sgc_error *err);

/* Marks `count` pixels and converts them to the band's type; in place when they have it and `from`
 * is `pixels`. SGC_CORRUPT when the type cannot hold a valid one within `tolerance`. */
sgc_status sgc_raster_put_row(const sgc_raster_window *window, GDALDataType from_type,
                              const void *from, size_t count, sgc_nodata nodata, double tolerance,
                              void *pixels, uint8_t *valid, sgc_error *err);

#endif
