/* The time of day, as commits and objects record it. */
#ifndef SGC_CLOCK_H
#define SGC_CLOCK_H

#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* Microseconds since 1970-01-01 UTC. */
uint64_t sgc_clock_now(void);

/* A time after `previous`: now, or the next microsecond where the clocks of writers differ. When
 * `previous` is more than ten minutes ahead: SGC_INVALID, as official writers refuse it too. */
SGC_CHECKED sgc_status sgc_clock_after(uint64_t previous, uint64_t *time, sgc_error *err);

/* Sleeps before another attempt at what somebody else was faster with: at random, and longer at
 * later attempts, up to an eighth of a second. */
void sgc_clock_pause(unsigned attempt);

SGC_END_C

#endif
