/* What GDAL says to us is not for the user: we say it in our own words. */
#ifndef SGC_QUIET_H
#define SGC_QUIET_H

#include <cpl_error.h>

#include "store/error.h"

SGC_BEGIN_C

/* GDAL's last error on a thread. */
typedef struct sgc_quiet {
    CPLErr type;
    CPLErrorNum number;
    char *message;
} sgc_quiet;

/* From the first to the second, GDAL prints nothing on this thread, and its last error there is
 * that of the calls between them. Afterwards it is what it was before: GDAL's Python bindings raise
 * what they find there, whether the call that they made has succeeded or not. */
sgc_quiet sgc_quiet_begin(void);
void sgc_quiet_end(sgc_quiet *quiet);

SGC_END_C

#endif
