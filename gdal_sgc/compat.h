// Every difference between GDAL 3.6 and 3.13 that this driver meets, and nothing else.
#ifndef SGC_COMPAT_H
#define SGC_COMPAT_H

#include <gdal_priv.h>

#define SGC_GDAL_AT_LEAST(major, minor) (GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(major, minor, 0))

#if SGC_GDAL_AT_LEAST(3, 13)
#define SGC_METADATA CSLConstList // the result of GetMetadata()
#else
#define SGC_METADATA char **
#endif

#ifndef BANDMAP_TYPE
#define BANDMAP_TYPE int *
#endif

#endif
