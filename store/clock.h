/* The time of day, as snapshots and objects record it. */
#ifndef SGC_CLOCK_H
#define SGC_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds since 1970-01-01 UTC. */
static inline uint64_t sgc_clock_now(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#endif
