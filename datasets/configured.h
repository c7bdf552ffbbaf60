/* Numbers in GDAL's configuration. */
#ifndef SGC_CONFIGURED_H
#define SGC_CONFIGURED_H

#include <stdbool.h>

#include "store/error.h"

SGC_BEGIN_C

/* Gives the number of at least `least` that the configuration option `name` has; leaves *out as it
 * is where there is none. False where its value is something else. Thread-safe. */
bool sgc_configured_number(const char *name, double least, double *out);

SGC_END_C

#endif
