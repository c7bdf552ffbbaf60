/* Codec pipelines: chunks to bytes and back, and the parts of a Blosc frame. */
#ifndef SGC_CODECS_H
#define SGC_CODECS_H

#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* Puts the encoded form of a whole chunk of metadata->chunk_bytes into the empty buffer `out`. */
SGC_CHECKED sgc_status sgc_chunk_encode(const sgc_array_metadata *metadata, const void *chunk,
                                        unsigned threads, sgc_buffer *out, sgc_error *err);

/* Decodes a whole chunk into `chunk`, metadata->chunk_bytes long. SGC_CORRUPT unless it is exactly
 * that. What stands between two codecs is bounded as sgc_chunk_most_encoded() says. */
SGC_CHECKED sgc_status sgc_chunk_decode(const sgc_array_metadata *metadata, const void *encoded,
                                        size_t size, void *chunk, sgc_error *err);

/* The encoded form of a chunk is refused when it is longer: crc32c adds its 4 bytes, every other
 * codec at most an eighth of what it is given and 64 KiB, and nothing reaches 4 GiB. */
size_t sgc_chunk_most_encoded(const sgc_array_metadata *metadata);

enum { SGC_BLOSC_HEADER = 16 };

/* A Blosc frame is a header, the offsets of its blocks, and the blocks, which decode independently.
 */
typedef struct sgc_blosc_frame {
    uint8_t header[SGC_BLOSC_HEADER];
    uint32_t decoded_size, encoded_size, block_size, block_count;
    bool stored; /* blocks are plain bytes, there are no offsets */
} sgc_blosc_frame;

/* Checks the header of a frame of `size` bytes that decodes to at most `most`. */
SGC_CHECKED sgc_status sgc_blosc_parse(const uint8_t *header, uint64_t size, size_t most,
                                       sgc_blosc_frame *frame, sgc_error *err);

/* Decodes one block from its own bytes: `decoded` holds frame->block_size bytes. The last block may
 * be shorter than that. */
SGC_CHECKED sgc_status sgc_blosc_decode_block(const sgc_blosc_frame *frame, uint32_t index,
                                              const void *encoded, size_t size, void *decoded,
                                              sgc_error *err);

/* The decoded size of block `index`. */
static inline uint32_t sgc_blosc_block_size(const sgc_blosc_frame *frame, uint32_t index)
{
    const uint32_t left = frame->decoded_size - index * frame->block_size;
    return left < frame->block_size ? left : frame->block_size;
}

SGC_END_C

#endif
