/* Codec pipelines: chunks to bytes and back. */
#ifndef SGC_CODECS_H
#define SGC_CODECS_H

#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* Puts the encoded form of a whole chunk of metadata->chunk_bytes into the empty buffer `out`. It
 * does not depend on the number of threads. */
SGC_CHECKED sgc_status sgc_chunk_encode(const sgc_array_metadata *metadata, const void *chunk,
                                        unsigned threads, sgc_buffer *out, sgc_error *err);

/* Decodes a whole chunk into `chunk`, metadata->chunk_bytes long. SGC_CORRUPT unless it is exactly
 * that. What stands between two codecs is bounded as sgc_chunk_most_encoded() says. */
SGC_CHECKED sgc_status sgc_chunk_decode(const sgc_array_metadata *metadata, const void *encoded,
                                        size_t size, void *chunk, sgc_error *err);

/* The encoded form of a chunk is refused when it is longer: crc32c adds its 4 bytes, every other
 * codec at most an eighth of what it is given and 64 KiB, and nothing reaches 4 GiB. */
size_t sgc_chunk_most_encoded(const sgc_array_metadata *metadata);

SGC_END_C

#endif
