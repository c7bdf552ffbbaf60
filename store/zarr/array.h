/* Reading regions of an array at one snapshot, and writing its chunks.
 *
 * An array handle is immutable: any number of threads may read through it at once. */
#ifndef SGC_ARRAY_H
#define SGC_ARRAY_H

#include "store/icechunk/repository.h"
#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_array sgc_array;

/* Gives the array at `path`; release with sgc_array_close(). Borrows `repository`, counts a
 * reference to `snapshot`. SGC_NOT_FOUND when there is no such array. */
SGC_CHECKED sgc_status sgc_array_open(sgc_repository *repository, sgc_snapshot *snapshot,
                                      const char *path, sgc_array **out, sgc_error *err);
void sgc_array_close(sgc_array *array);

/* Borrows. */
const sgc_array_metadata *sgc_array_get_metadata(const sgc_array *array);

/* Reads `count` items along each dimension from `start` into `buffer`, in C order without gaps.
 * Chunks that are not stored read as the fill value. Only the Blosc blocks that the region meets
 * are fetched and decoded, by up to `threads` threads. SGC_INVALID when the region leaves the
 * array. */
SGC_CHECKED sgc_status sgc_array_read(const sgc_array *array, const uint64_t *start,
                                      const uint64_t *count, void *buffer, unsigned threads,
                                      sgc_error *err);

/* Says whether a chunk is stored. */
SGC_CHECKED sgc_status sgc_array_has_chunk(const sgc_array *array, const uint32_t *coordinates,
                                           bool *stored, sgc_error *err);

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
