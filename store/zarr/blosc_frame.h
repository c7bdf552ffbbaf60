/* The parts of a Blosc frame, which the library takes whole only. */
#ifndef SGC_BLOSC_FRAME_H
#define SGC_BLOSC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_BLOSC_HEADER = 16 };

/* A frame is a header, the offsets of its blocks, and the blocks, which decode independently.
 */
typedef struct sgc_blosc_frame {
    uint8_t header[SGC_BLOSC_HEADER];
    uint32_t decoded_size, encoded_size, block_size, block_count;
    bool stored; /* blocks are plain bytes, there are no offsets */
} sgc_blosc_frame;

/* Checks the header of a frame of `size` bytes that decodes to at most `most`. */
SGC_CHECKED sgc_status sgc_blosc_parse(const uint8_t *header, uint64_t size, size_t most,
                                       sgc_blosc_frame *frame, sgc_error *err);

/* Says where the blocks of a frame that is not stored end, from its offsets; both lists have
 * block_count items, relative to the frame. Blocks may stand in any order. */
SGC_CHECKED sgc_status sgc_blosc_find_ends(const sgc_blosc_frame *frame, const uint32_t *starts,
                                           uint32_t *ends, sgc_error *err);

/* Decodes one block from its own bytes: `decoded` holds frame->block_size bytes. The last block may
 * be shorter than that. */
SGC_CHECKED sgc_status sgc_blosc_decode_block(const sgc_blosc_frame *frame, uint32_t index,
                                              const void *encoded, size_t size, void *decoded,
                                              sgc_error *err);

/* Threads write the blocks of a frame as they finish. Puts those of a frame that Blosc has just
 * made into their own order, so that equal chunks are equal bytes. */
SGC_CHECKED sgc_status sgc_blosc_order_blocks(unsigned char *encoded, size_t size, sgc_error *err);

/* The decoded size of block `index`. */
static inline uint32_t sgc_blosc_block_size(const sgc_blosc_frame *frame, uint32_t index)
{
    const uint32_t left = frame->decoded_size - index * frame->block_size;
    return left < frame->block_size ? left : frame->block_size;
}

SGC_END_C

#endif
