/* What is in a cube, asked without a request. All functions are thread-safe. */
#ifndef SGC_CUBE_STATE_H
#define SGC_CUBE_STATE_H

#include "gdal_sgc/cube.h"

#include "store/error.h"

SGC_BEGIN_C

/* Told of a chunk: its pixels, cut at the level's edge, and whether any of it is stored; if not, it
 * is nodata all over. */
typedef void sgc_chunk_visitor(void *user, sgc_rect pixels, bool has_data);

/* Visits each complete chunk of a slice in `chunks` (columns, rows of the level; inside it) once.
 * Time and memory depend on what is in the cube, not on the size of the level. `view` may be NULL.
 */
SGC_CHECKED sgc_status sgc_view_visit_complete(const sgc_view *view, size_t level, sgc_slice slice,
                                               sgc_rect chunks, sgc_chunk_visitor *visitor,
                                               void *user, sgc_error *err);

/* Whether somebody has begun to load the level. `view` may be NULL. */
bool sgc_view_has_level(const sgc_view *view, size_t level);

/* How many patches are listed as loaded. `view` may be NULL. */
SGC_CHECKED sgc_status sgc_view_count_loaded(const sgc_view *view, size_t *count, sgc_error *err);

enum { SGC_COMPRESSION_SIZE = 16 };
/* What the chunks of a channel are compressed with, like "ZSTD"; "" for nothing. `view` may be
 * NULL: what they will be compressed with. */
void sgc_view_compression(const sgc_view *view, size_t band, char text[SGC_COMPRESSION_SIZE]);

SGC_END_C

#endif
