/* The time axis of a cube as users name its steps, and as Zarr stores it (CF conventions). */
#ifndef SGC_TIME_AXIS_H
#define SGC_TIME_AXIS_H

#include "datasets/definition.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_TIME_SIZE = 32 };

/* Writes a time, seconds since 1970, as 2017-01-01 or 2017-01-01T12:00:00Z. */
void sgc_time_format(int64_t seconds, char text[SGC_TIME_SIZE]);

/* Finds the consecutive steps that `text` names: by an ISO date or the beginning of one (2020 and
 * 2020-07 are all steps that start in them, or the one whose interval they lie in), by #index from
 * 0 on, or from/to, both included; a time of day may say its zone (+02:00), else it is UTC.
 * SGC_INVALID names the nearest steps when there is none. */
SGC_CHECKED sgc_status sgc_time_axis_find(const sgc_time_axis *axis, const char *text,
                                          size_t *first, size_t *count, sgc_error *err);

/* The first step that starts at `time`, seconds since 1970, or later; `count` when none does. */
size_t sgc_time_axis_from(const sgc_time_axis *axis, int64_t time);

/* How stored numbers mean times: reference + number x unit. */
typedef struct sgc_time_units {
    int64_t reference; /* seconds since 1970 */
    int64_t unit;      /* seconds */
} sgc_time_units;

/* The units that xarray chooses: the coarsest that keep all steps integers, since the first. */
sgc_time_units sgc_time_units_choose(const sgc_time_axis *axis);

enum { SGC_TIME_UNITS_SIZE = 64 };
/* Writes them like "days since 2017-01-01 00:00:00". */
void sgc_time_units_format(const sgc_time_units *units, char text[SGC_TIME_UNITS_SIZE]);
/* Reads them; SGC_UNSUPPORTED for others than days, hours, minutes and seconds. */
SGC_CHECKED sgc_status sgc_time_units_parse(const char *text, sgc_time_units *units,
                                            sgc_error *err);

SGC_END_C

#endif
