/* Reading regions of an array at one snapshot, and writing them in a session.
 *
 * An array handle is immutable: any number of threads may read through it at once.
 *
 * All chunks of an array have the same shape. One at the array's edge is stored whole: what lies
 * beyond the edge has the fill value when we write it, and is ignored when we read it. An array of
 * no dimensions has one item and one chunk; one with a dimension of length 0 has none. */
#ifndef SGC_ARRAY_H
#define SGC_ARRAY_H

#include "store/icechunk/repository.h"
#include "store/icechunk/session.h"
#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_array sgc_array;

/* Gives the array at `path`; release with sgc_array_close(). Borrows `repository`, counts a
 * reference to `snapshot`. SGC_NOT_FOUND when there is no such array. */
SGC_CHECKED sgc_status sgc_array_open(sgc_repository *repository, sgc_snapshot *snapshot,
                                      const char *path, sgc_array **out, sgc_error *err);
void sgc_array_close(sgc_array *array);

/* Reads the zarr.json of `node`; release with sgc_array_metadata_clear(). SGC_NOT_FOUND when it is
 * no array. */
SGC_CHECKED sgc_status sgc_array_metadata_read(const sgc_node *node, sgc_array_metadata *out,
                                               sgc_error *err);

/* Borrows. */
const sgc_array_metadata *sgc_array_get_metadata(const sgc_array *array);

/* Reads `count` items along each dimension from `start` into `buffer`, in C order without gaps.
 * Chunks that are not stored read as the fill value. Up to `threads` threads fetch and decode the
 * chunks that the region meets; where Blosc is the only codec and changes nothing but the size,
 * only the blocks that it meets. SGC_INVALID when the region leaves the array. */
SGC_CHECKED sgc_status sgc_array_read(const sgc_array *array, const uint64_t *start,
                                      const uint64_t *count, void *buffer, unsigned threads,
                                      sgc_error *err);

/* Says whether a chunk is stored. */
SGC_CHECKED sgc_status sgc_array_has_chunk(const sgc_array *array, const uint32_t *coordinates,
                                           bool *stored, sgc_error *err);

/* Writes `count` items along each dimension from `start` on, in C order without gaps, into the
 * array at `path`, old or new, as part of the session: nothing is published before its commit.
 * Chunks of which the region has only a part are read, in the state the session has them in, and
 * written anew, so regions of whole chunks are cheaper. A chunk that becomes the fill value
 * everywhere is not stored. Up to `threads` threads work on the chunks.
 *
 * May be called from several threads for one session, even for the same chunk: no item is lost,
 * and where regions overlap each item is that of one of the calls. SGC_INVALID when the region
 * leaves the array; nothing is written then. After another failure some chunks are. */
SGC_CHECKED sgc_status sgc_array_write(sgc_session *session, const char *path,
                                       const uint64_t *start, const uint64_t *count,
                                       const void *buffer, unsigned threads, sgc_error *err);

/* Fetches and decodes a whole chunk of metadata->chunk_bytes; SGC_CHUNK_NONE is the fill value. */
SGC_CHECKED sgc_status sgc_array_read_chunk(sgc_repository *repository,
                                            const sgc_array_metadata *metadata,
                                            const sgc_chunk_ref *ref, void *chunk, sgc_error *err);

/* Encodes a whole chunk (metadata->chunk_bytes; padded at the array's edge) and writes its object.
 * ref->kind is SGC_CHUNK_NONE when the chunk is the fill value everywhere. An inline reference
 * borrows from `encoded`, which starts empty and is freed by the caller. */
SGC_CHECKED sgc_status sgc_array_write_chunk(sgc_repository *repository,
                                             const sgc_array_metadata *metadata, const void *chunk,
                                             unsigned threads, sgc_buffer *encoded,
                                             sgc_chunk_ref *ref, sgc_error *err);

/* Fills `buffer` with `count` fill values. */
void sgc_array_fill(const sgc_array_metadata *metadata, void *buffer, size_t count);

SGC_END_C

#endif
