#include "autotest/fuzz/chunk_kinds.h"
#include "autotest/fuzz/fuzz.h"

#include "store/zarr/blosc_frame.h"
#include "store/zarr/codecs.h"
#include "store/zarr/json_text.h"

/* The bytes of block `index`, as if it were the last in the file. */
static sgc_span find_block(const sgc_blosc_frame *frame, uint32_t index, const uint8_t *encoded,
                           size_t size)
{
    uint32_t start = SGC_BLOSC_HEADER + index * frame->block_size;
    if (!frame->stored)
        memcpy(&start, encoded + SGC_BLOSC_HEADER + (size_t)index * 4, sizeof start);
    if (start > size)
        return (sgc_span){0};
    const size_t left = size - start, wanted = sgc_blosc_block_size(frame, index);
    return (sgc_span){(const char *)encoded + start,
                      frame->stored && left > wanted ? wanted : left};
}

/* A block that decodes alone is as in `chunk`, which is NULL when the frame does not decode. */
static void check_block(const sgc_blosc_frame *frame, uint32_t index, sgc_span block,
                        const uint8_t *chunk)
{
    static uint8_t *region;
    uint8_t *decoded = fenced(&region, frame->block_size);
    if (sgc_blosc_decode_block(frame, index, block.text, block.size, decoded, NULL) == SGC_OK)
        demand(chunk == NULL || memcmp(decoded, chunk + (size_t)index * frame->block_size,
                                       sgc_blosc_block_size(frame, index)) == 0);
}

static void check_blocks(const sgc_array_metadata *metadata, const uint8_t *encoded, size_t size,
                         const uint8_t *chunk)
{
    enum { MOST_BLOCKS = 64 };
    sgc_blosc_frame frame;
    const sgc_codecs *codecs = &metadata->codecs;
    if (codecs->count != 1 || codecs->list[0].kind != SGC_BLOSC || codecs->transposed ||
        codecs->big_endian || size < SGC_BLOSC_HEADER ||
        sgc_blosc_parse(encoded, size, metadata->chunk_bytes, &frame, NULL) != SGC_OK ||
        frame.decoded_size != metadata->chunk_bytes)
        return;
    for (uint32_t i = 0; i < frame.block_count && i < MOST_BLOCKS; i++) {
        const sgc_span block = find_block(&frame, i, encoded, size);
        if (block.text != NULL)
            check_block(&frame, i, block, chunk);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sgc_array_metadata *metadata = size > 0 ? chunk_kind(data[0]) : NULL;
    if (metadata == NULL)
        return -1;
    static uint8_t *region;
    uint8_t *chunk = fenced(&region, metadata->chunk_bytes);
    const uint8_t *encoded = fenced_copy(data + 1, size - 1);
    const sgc_status status = sgc_chunk_decode(metadata, encoded, size - 1, chunk, NULL);
    check_blocks(metadata, encoded, size - 1, status == SGC_OK ? chunk : NULL);
    return 0;
}
