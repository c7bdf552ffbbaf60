#include "store/zarr/blosc_frame.h"

#include <blosc.h>
#include <stdlib.h>
#include <string.h>

/* The header: version, version of the compressor, flags, type size, then three sizes. */
enum { FLAGS_AT = 2, DECODED_AT = 4, BLOCK_AT = 8, ENCODED_AT = 12, FLAG_STORED = 2 };

static uint32_t read32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void write32(uint8_t *bytes, uint32_t value)
{
    memcpy(bytes, &value, sizeof value);
}

sgc_status sgc_blosc_parse(const uint8_t *header, uint64_t size, size_t most,
                           sgc_blosc_frame *frame, sgc_error *err)
{
    sgc_blosc_frame result = {
        .decoded_size = read32(header + DECODED_AT),
        .encoded_size = read32(header + ENCODED_AT),
        .block_size = read32(header + BLOCK_AT),
        .stored = (header[FLAGS_AT] & FLAG_STORED) != 0,
    };
    memcpy(result.header, header, SGC_BLOSC_HEADER);
    if (result.decoded_size > most || result.encoded_size != size || result.block_size == 0 ||
        result.block_size > result.decoded_size)
        return sgc_fail(err, SGC_CORRUPT,
                        "a Blosc frame of %llu bytes claims %u bytes for %u in blocks of %u; it "
                        "may hold %zu",
                        (unsigned long long)size, result.encoded_size, result.decoded_size,
                        result.block_size, most);
    result.block_count = (result.decoded_size - 1) / result.block_size + 1;
    const uint64_t smallest = SGC_BLOSC_HEADER + (result.stored ? (uint64_t)result.decoded_size
                                                                : (uint64_t)result.block_count * 4);
    if (size < smallest)
        return sgc_fail(err, SGC_CORRUPT, "a Blosc frame that is cut short");
    *frame = result;
    return SGC_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* Each block ends where the next one in the file begins. */
sgc_status sgc_blosc_find_ends(const sgc_blosc_frame *frame, const uint32_t *starts, uint32_t *ends,
                               sgc_error *err)
{
    const uint32_t n = frame->block_count, smallest = SGC_BLOSC_HEADER + 4 * n;
    uint32_t *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL)
        return sgc_fail_memory(err, n * sizeof *sorted, "a Blosc frame");
    memcpy(sorted, starts, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_offsets);
    sgc_status status = SGC_OK;
    for (uint32_t i = 0; i < n && status == SGC_OK; i++) {
        const uint32_t *at = bsearch(&starts[i], sorted, n, sizeof *sorted, compare_offsets);
        const size_t next = (size_t)(at - sorted) + 1;
        ends[i] = next < n ? sorted[next] : frame->encoded_size;
        if (starts[i] < smallest || ends[i] <= starts[i] || ends[i] > frame->encoded_size)
            status = sgc_fail(err, SGC_CORRUPT, "a Blosc frame with bad offsets");
    }
    free(sorted);
    return status;
}

/* The library decodes whole frames only, so the block becomes a frame of one block. It keeps the
 * block size of its old frame: by that Blosc knows a last block that is not full. */
sgc_status sgc_blosc_decode_block(const sgc_blosc_frame *frame, uint32_t index, const void *encoded,
                                  size_t size, void *decoded, sgc_error *err)
{
    enum { PREFIX = SGC_BLOSC_HEADER + 4 };
    const uint32_t wanted = sgc_blosc_block_size(frame, index);
    if (frame->stored) {
        if (size != wanted)
            return sgc_fail(err, SGC_CORRUPT, "a stored Blosc block of %zu bytes", size);
        memcpy(decoded, encoded, size);
        return SGC_OK;
    }
    if (size > INT32_MAX - PREFIX)
        return sgc_fail(err, SGC_CORRUPT, "a Blosc block of %zu bytes", size);
    uint8_t *single = malloc(PREFIX + size);
    if (single == NULL)
        return sgc_fail_memory(err, PREFIX + size, "a Blosc block");
    memcpy(single, frame->header, SGC_BLOSC_HEADER);
    write32(single + DECODED_AT, wanted);
    write32(single + ENCODED_AT, (uint32_t)(PREFIX + size));
    write32(single + SGC_BLOSC_HEADER, PREFIX);
    memcpy(single + PREFIX, encoded, size);
    const int n = blosc_decompress_ctx(single, decoded, frame->block_size, 1);
    free(single);
    return n == (int)wanted ? SGC_OK : sgc_fail(err, SGC_CORRUPT, "a damaged Blosc block");
}

sgc_status sgc_blosc_order_blocks(unsigned char *encoded, size_t size, sgc_error *err)
{
    sgc_blosc_frame frame;
    SGC_TRY(sgc_blosc_parse(encoded, size, UINT32_MAX, &frame, err));
    const size_t count = frame.stored ? 0 : frame.block_count, table = count * sizeof(uint32_t);
    if (count < 2)
        return SGC_OK;
    uint32_t *starts = malloc(table), *ends = malloc(table);
    unsigned char *ordered = malloc(size);
    sgc_status status = starts != NULL && ends != NULL && ordered != NULL
                            ? SGC_OK
                            : sgc_fail_memory(err, size, "a Blosc frame");
    if (status == SGC_OK) {
        memcpy(starts, encoded + SGC_BLOSC_HEADER, table);
        status = sgc_blosc_find_ends(&frame, starts, ends, err);
    }
    uint32_t at = (uint32_t)(SGC_BLOSC_HEADER + table);
    for (size_t i = 0; status == SGC_OK && i < count; i++) {
        memcpy(ordered + at, encoded + starts[i], ends[i] - starts[i]);
        write32(ordered + SGC_BLOSC_HEADER + i * sizeof at, at);
        at += ends[i] - starts[i];
    }
    if (status == SGC_OK)
        memcpy(encoded + SGC_BLOSC_HEADER, ordered + SGC_BLOSC_HEADER, at - SGC_BLOSC_HEADER);
    free(starts);
    free(ends);
    free(ordered);
    return status;
}
