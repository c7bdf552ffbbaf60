/* Two-dimensional slices of the arrays that GDAL finds in Zarr, netCDF and the like. */
#ifndef SGC_GDAL_ARRAY_H
#define SGC_GDAL_ARRAY_H

#include <gdal.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_gdal_slice {
    const char *array;          /* its name, or path from the root group */
    const char *time_dimension; /* of the array; has an indexing variable */
    int64_t time;               /* coordinate of the slice: seconds since 1970, UTC */
    int band; /* from 1, of the one other dimension besides time, y and x, if there is one */
} sgc_gdal_slice;

/* Gives the slice as a raster of one band (close it before `file`). Coordinates of time are in CF's
 * units, "days since …", or without units years. SGC_NOT_FOUND when none of them is `time`,
 * SGC_INVALID when the file has no such array or dimension, SGC_UNSUPPORTED when times are kept in
 * another calendar, SGC_IO when they cannot be read. */
SGC_CHECKED sgc_status sgc_gdal_array_open(GDALDatasetH file, const sgc_gdal_slice *slice,
                                           GDALDatasetH *raster, sgc_error *err);

/* True when CF's units of the array's coordinates, or what the raster tells of them, are degrees
 * north and east. */
bool sgc_gdal_array_in_degrees(GDALDatasetH file, const char *array);
bool sgc_gdal_raster_in_degrees(GDALDatasetH raster);

SGC_END_C

#endif
