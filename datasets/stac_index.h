/* Lists of a collection's items that a provider publishes as one file: GeoParquet, GeoJSON,
 * GeoPackage or shapefile, often in a zip (datasets guide 3.4).
 *
 * The file is kept in a directory of the user's cache, $XDG_CACHE_HOME/sgc or ~/.cache/sgc, or
 * where the configuration option SGC_INDEX_CACHE says, and asked for again only by its ETag.
 * Processes may share the directory: a file there never changes, a small document beside it,
 * replaced atomically, tells which one is the newest. */
#ifndef SGC_STAC_INDEX_H
#define SGC_STAC_INDEX_H

#include "datasets/cancel.h"
#include "datasets/grid.h"
#include "datasets/http.h"
#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_stac_index sgc_stac_index;

/* Gives (free with sgc_stac_index_free()) the index at `href`: the ids in the column `id_column`
 * and where on `grid` their footprints lie. `member` is the name of a file in a zip, wherever it
 * lies in there, or NULL. SGC_UNSUPPORTED when this GDAL cannot read such a file, SGC_CORRUPT when
 * it is damaged also after it was fetched anew. */
SGC_CHECKED sgc_status sgc_stac_index_load(sgc_http *http, const char *href, const char *member,
                                           const char *id_column, const sgc_grid *grid,
                                           const sgc_cancel *cancel, sgc_stac_index **out,
                                           sgc_error *err);
/* The same from the copy that is kept, whatever its age. SGC_NOT_FOUND when there is none. */
SGC_CHECKED sgc_status sgc_stac_index_load_kept(const char *href, const char *member,
                                                const char *id_column, const sgc_grid *grid,
                                                sgc_stac_index **out, sgc_error *err);
void sgc_stac_index_free(sgc_stac_index *index);

/* Whether this GDAL can read a file of such a name; of a zip, it may. */
bool sgc_stac_index_is_readable(const char *name);

/* Calls `take` with all items that may meet `rect`, pixels of the grid, and what pixels they may
 * cover; since footprints are not exact, with some near by, too. An item may come more than once.
 */
typedef sgc_status sgc_stac_take_id(void *user, const char *id, sgc_rect extent, sgc_error *err);
sgc_status sgc_stac_index_select(const sgc_stac_index *index, sgc_rect rect, sgc_stac_take_id *take,
                                 void *user, sgc_error *err);

SGC_END_C

#endif
