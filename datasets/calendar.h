/* Dates and durations of ISO 8601, in the proleptic Gregorian calendar and UTC. */
#ifndef SGC_CALENDAR_H
#define SGC_CALENDAR_H

#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* Either of both is zero. */
typedef struct sgc_duration {
    int64_t months;
    int64_t seconds;
} sgc_duration;

/* Reads YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss][Z] as seconds since 1970. SGC_INVALID
 * for anything else and for days that do not exist. */
SGC_CHECKED sgc_status sgc_calendar_parse(const char *text, int64_t *time, sgc_error *err);

/* Reads PnY, PnM, PnD or PTnH. SGC_INVALID for anything else and for zero. */
SGC_CHECKED sgc_status sgc_duration_parse(const char *text, sgc_duration *duration, sgc_error *err);

/* `time` and `count` durations. A day that its month does not have becomes the last it has. */
int64_t sgc_calendar_add(int64_t time, sgc_duration duration, int64_t count);

/* The duration from `start` to `end`: in months where that is a whole number of them. */
sgc_duration sgc_calendar_between(int64_t start, int64_t end);

SGC_END_C

#endif
