/* What an item of a STAC catalogue, version 1.0 or 1.1, says about its pixels (datasets guide 3.2).
 */
#ifndef SGC_STAC_ITEMS_H
#define SGC_STAC_ITEMS_H

#include <cjson/cJSON.h>

#include "datasets/definition.h"
#include "datasets/source.h"
#include "store/error.h"

SGC_BEGIN_C

/* Gives the id; SGC_CORRUPT when there is none. Borrows from the item. */
SGC_CHECKED sgc_status sgc_stac_item_id(const cJSON *item, const char **id, sgc_error *err);

/* Gives the patch (clear with sgc_patch_clear()) that an item found in the document at `url` is:
 * the union of the grids of the bands' assets as pixels of the cube, their hrefs as http(s) URLs
 * and nodata values; the time step is 0. With `prefer_s3` the alternate hrefs "s3" count.
 * SGC_CORRUPT for what is missing or makes no sense, SGC_UNSUPPORTED for pixels that cannot become
 * those of the cube. */
SGC_CHECKED sgc_status sgc_stac_item_read(const sgc_definition *definition, const cJSON *item,
                                          const char *url, bool prefer_s3, sgc_patch *patch,
                                          sgc_error *err);

/* When an item is of, seconds since 1970, UTC: its datetime, or, when that is null, its
 * start_datetime and end_datetime. */
typedef struct sgc_stac_times {
    bool has_any;
    int64_t start, end;
} sgc_stac_times;

sgc_stac_times sgc_stac_item_times(const cJSON *item);

/* Tells whether an item belongs to a time step: it begins in the step's half-open interval, or
 * meets its instant. Always true for static cubes. SGC_CORRUPT when it has no time. */
SGC_CHECKED sgc_status sgc_stac_times_in_step(const sgc_stac_times *times,
                                              const sgc_time_axis *axis, size_t step, bool *is_in,
                                              sgc_error *err);

/* Notes in the patch of an item the steps that it belongs to: an item may meet several instants. */
void sgc_stac_set_steps(const sgc_stac_times *times, const sgc_time_axis *axis, sgc_patch *patch);

/* Gives the seconds since 1970 that an RFC 3339 text means; false when it is none. */
bool sgc_stac_parse_time(const char *text, int64_t *seconds);

SGC_END_C

#endif
