// Every difference between GDAL 3.6 and 3.13 that this driver meets, and nothing else.
#ifndef SGC_COMPAT_H
#define SGC_COMPAT_H

#include <gdal_priv.h>
#include <ogrsf_frmts.h>

#define SGC_GDAL_AT_LEAST(major, minor) (GDAL_VERSION_NUM >= GDAL_COMPUTE_VERSION(major, minor, 0))

#if SGC_GDAL_AT_LEAST(3, 13)
#define SGC_OPTIONS CSLConstList // of AdviseRead()
#else
#define SGC_OPTIONS char **
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
