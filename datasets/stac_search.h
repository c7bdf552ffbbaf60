/* Questions to a STAC API (datasets guide 3.1): what is asked, and all pages of the answer. */
#ifndef SGC_STAC_SEARCH_H
#define SGC_STAC_SEARCH_H

#include <cjson/cJSON.h>

#include "datasets/cancel.h"
#include "datasets/definition.h"
#include "datasets/http.h"
#include "store/error.h"

SGC_BEGIN_C

/* Gives (free with cJSON_Delete()) a search of a collection, in pages of `limit` items; `filter` is
 * CQL2-JSON or NULL. NULL when there is no memory. */
cJSON *sgc_stac_search_new(const char *collection, int limit, const cJSON *filter);

/* Adds the area around `rect`, full-resolution pixels of the grid. Footprints of items are drawn
 * with straight edges between their corners, which may cut off kilometres, so it is some wider. */
SGC_CHECKED sgc_status sgc_stac_search_set_area(cJSON *search, const sgc_grid *grid, sgc_rect rect,
                                                sgc_error *err);

/* Adds the interval of a time step; nothing when the axis has none. */
SGC_CHECKED sgc_status sgc_stac_search_set_step(cJSON *search, const sgc_time_axis *axis,
                                                size_t step, sgc_error *err);

/* Called with each item of an answer, a JSON value, and the address of the page it stands on. Says
 * in `wanted`, which is false, whether it is what was asked for. */
typedef sgc_status sgc_stac_take_item(void *user, const cJSON *item, const char *url, bool *wanted,
                                      sgc_error *err);

/* Posts `search` to `url` and follows the pages of the answer to their end: a page without next
 * link, an empty one when as many different items came as the service says that match, or a link
 * that was followed already. SGC_CORRUPT when the answers are no lists of items, when fewer came
 * than the service says or it says no number, or when there is no end: ten pages one after another
 * without anything new, ten thousand items without a wanted one, or more than the configuration
 * option SGC_SEARCH_SIZE allows (MiB, 1024). */
SGC_CHECKED sgc_status sgc_stac_search_run(sgc_http *http, const char *url, const cJSON *search,
                                           const sgc_cancel *cancel, sgc_stac_take_item *take,
                                           void *user, sgc_error *err);

/* Gives (free with cJSON_Delete()) the JSON object at `url`. */
SGC_CHECKED sgc_status sgc_stac_get(sgc_http *http, const char *url, const sgc_cancel *cancel,
                                    cJSON **out, sgc_error *err);

SGC_END_C

#endif
