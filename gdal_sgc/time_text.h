/* Times that users type. */
#ifndef SGC_TIME_TEXT_H
#define SGC_TIME_TEXT_H

#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* Reads a time like 2026-03-01 or 2026-03-01T12:00:00Z, UTC unless it says otherwise, as
 * microseconds since 1970. */
SGC_CHECKED sgc_status sgc_time_parse(const char *text, uint64_t *time, sgc_error *err);

/* Reads a time as above, or an age like 30d, 12h or 10m as the time so long ago. */
SGC_CHECKED sgc_status sgc_age_parse(const char *text, uint64_t *time, sgc_error *err);

SGC_END_C

#endif
