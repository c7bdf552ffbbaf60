/* Attributes of the CF conventions as the Python package writes them. */
#ifndef SGC_CF_ATTRIBUTES_H
#define SGC_CF_ATTRIBUTES_H

#include <cjson/cJSON.h>
#include <ogr_srs_api.h>

#include "store/error.h"

SGC_BEGIN_C

/* Adds a finite number, to the last bit, and never without a point. */
void sgc_cf_add_number(cJSON *object, const char *key, double value);

/* Adds what says which CRS and which geotransform (GDAL's) a grid has, as pyproj's to_cf() and
 * odc-geo write it. */
void sgc_cf_add_crs(cJSON *attributes, OGRSpatialReferenceH crs, const double transform[6]);

SGC_END_C

#endif
