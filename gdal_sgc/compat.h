// Every difference between GDAL 3.6 and 3.13 that this driver meets, and nothing else.
#ifndef SGC_COMPAT_H
#define SGC_COMPAT_H

#include <gdal_priv.h>
#include <ogrsf_frmts.h>

#define SGC_GDAL_AT_LEAST(major, minor) (GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(major, minor, 0))

#if SGC_GDAL_AT_LEAST(3, 13)
#define SGC_OPTIONS CSLConstList  // of AdviseRead()
#define SGC_METADATA CSLConstList // of GetMetadata()
#else
#define SGC_OPTIONS char **
#define SGC_METADATA char **
#endif

// ComputeStatistics() has further options: what declares them, and what hands them on.
#if SGC_GDAL_AT_LEAST(3, 14)
#define SGC_STATISTICS_OPTIONS , CSLConstList statisticsOptions
#define SGC_GIVEN_STATISTICS_OPTIONS , statisticsOptions
#else
#define SGC_STATISTICS_OPTIONS
#define SGC_GIVEN_STATISTICS_OPTIONS
#endif

#if SGC_GDAL_AT_LEAST(3, 12)
#define SGC_CONST_LAYER const // of what tells about layers, and what it gives
#else
#define SGC_CONST_LAYER
#endif

#ifndef BANDMAP_TYPE
#define BANDMAP_TYPE int *
#endif

#endif
