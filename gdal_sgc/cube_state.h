/* What is in a cube, asked without a request. All functions are thread-safe. */
#ifndef SGC_CUBE_STATE_H
#define SGC_CUBE_STATE_H

#include "gdal_sgc/cube.h"

#include "store/error.h"

SGC_BEGIN_C

/* Of a chunk of one channel at one time step. */
typedef enum sgc_chunk_state {
    SGC_CHUNK_MISSING,     /* not complete */
    SGC_CHUNK_HAS_NO_DATA, /* complete, and nothing but nodata */
    SGC_CHUNK_HAS_DATA,    /* complete, and stored */
} sgc_chunk_state;

/* Says the state of each chunk of a slice in `chunks` (columns, rows of the level), row by row:
 * chunks.width * chunks.height items. `view` may be NULL. */
SGC_CHECKED sgc_status sgc_view_chunk_states(const sgc_view *view, size_t level, sgc_slice slice,
                                             sgc_rect chunks, uint8_t *states, sgc_error *err);

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
