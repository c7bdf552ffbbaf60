/* Rows of pixels of any real type: which have a value, and as pixels of another type. */
#ifndef SGC_PIXELS_H
#define SGC_PIXELS_H

#include <gdal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* The value that stands for none. Wide enough for 64-bit integers; NaN never has a value anyway. */
typedef struct sgc_nodata {
    bool exists;
    long double value;
} sgc_nodata;

/* True when a pixel of the type can have this value. */
bool sgc_nodata_fits(sgc_nodata nodata, GDALDataType type);

/* Sets valid[i] to 1 where pixel i is neither `nodata` nor NaN, else to 0. Real types only. */
void sgc_pixels_mark(GDALDataType type, const void *pixels, size_t count, sgc_nodata nodata,
                     uint8_t *valid);

/* Moves values beyond the range of the integer type `range` to its ends; not NaN, nor `except`. */
void sgc_pixels_clamp(GDALDataType type, void *pixels, size_t count, GDALDataType range,
                      sgc_nodata except);

/* Makes pixels of `to` of those of `from`, which must not overlap. Floating point numbers are
 * rounded to the nearest of the type. *bad is the first valid value that `to` cannot hold within
 * `tolerance` (integers only), and then the result is false. */
bool sgc_pixels_convert(GDALDataType from_type, const void *from, GDALDataType to_type, void *to,
                        size_t count, const uint8_t *valid, double tolerance, double *bad);

SGC_END_C

#endif
