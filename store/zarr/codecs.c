#include "store/zarr/codecs.h"

#include <blosc.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

static sgc_status encode_blosc(const sgc_array_metadata *metadata, const void *chunk,
                               unsigned threads, sgc_buffer *out, sgc_error *err)
{
    const sgc_codecs *codecs = &metadata->codecs;
    const size_t capacity = metadata->chunk_bytes + BLOSC_MAX_OVERHEAD;
    SGC_TRY(sgc_buffer_reserve(out, capacity, err));
    const int written = blosc_compress_ctx(codecs->level, codecs->shuffle, codecs->type_size,
                                           metadata->chunk_bytes, chunk, out->data, capacity,
                                           codecs->compressor, codecs->block_size, (int)threads);
    if (written <= 0)
        return sgc_fail(err, SGC_UNSUPPORTED, "blosc with \"%s\" failed to compress a chunk",
                        codecs->compressor);
    out->size = (size_t)written;
    return SGC_OK;
}

static sgc_status encode_zstd(const sgc_array_metadata *metadata, const void *chunk,
                              sgc_buffer *out, sgc_error *err)
{
    const size_t capacity = ZSTD_compressBound(metadata->chunk_bytes);
    SGC_TRY(sgc_buffer_reserve(out, capacity, err));
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        return sgc_fail_memory(err, 0, "zstd");
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, metadata->codecs.level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, metadata->codecs.checksum);
    const size_t written =
        ZSTD_compress2(context, out->data, capacity, chunk, metadata->chunk_bytes);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(written))
        return sgc_fail(err, SGC_NO_MEMORY, "zstd: %s", ZSTD_getErrorName(written));
    out->size = written;
    return SGC_OK;
}

sgc_status sgc_chunk_encode(const sgc_array_metadata *metadata, const void *chunk, unsigned threads,
                            sgc_buffer *out, sgc_error *err)
{
    switch (metadata->codecs.compression) {
    case SGC_BLOSC:
        return encode_blosc(metadata, chunk, threads, out, err);
    case SGC_ZSTD:
        return encode_zstd(metadata, chunk, out, err);
    case SGC_NO_COMPRESSION:
        break;
    }
    return sgc_buffer_append(out, chunk, metadata->chunk_bytes, err);
}

static sgc_status decode_blosc(const sgc_array_metadata *metadata, const void *encoded, size_t size,
                               void *chunk, sgc_error *err)
{
    sgc_blosc_frame frame;
    if (size < SGC_BLOSC_HEADER)
        return sgc_fail(err, SGC_CORRUPT, "a Blosc frame of %zu bytes", size);
    SGC_TRY(sgc_blosc_parse(metadata, encoded, size, &frame, err));
    const int n = blosc_decompress_ctx(encoded, chunk, metadata->chunk_bytes, 1);
    return n == (int)metadata->chunk_bytes ? SGC_OK
                                           : sgc_fail(err, SGC_CORRUPT, "a damaged Blosc frame");
}

static sgc_status decode_zstd(const sgc_array_metadata *metadata, const void *encoded, size_t size,
                              void *chunk, sgc_error *err)
{
    const size_t n = ZSTD_decompress(chunk, metadata->chunk_bytes, encoded, size);
    if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return sgc_fail_memory(err, metadata->chunk_bytes, "zstd");
    if (ZSTD_isError(n))
        return sgc_fail(err, SGC_CORRUPT, "a damaged zstd frame: %s", ZSTD_getErrorName(n));
    return n == metadata->chunk_bytes
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "a chunk of %zu bytes instead of %zu", n,
                          metadata->chunk_bytes);
}

sgc_status sgc_chunk_decode(const sgc_array_metadata *metadata, const void *encoded, size_t size,
                            void *chunk, sgc_error *err)
{
    switch (metadata->codecs.compression) {
    case SGC_BLOSC:
        return decode_blosc(metadata, encoded, size, chunk, err);
    case SGC_ZSTD:
        return decode_zstd(metadata, encoded, size, chunk, err);
    case SGC_NO_COMPRESSION:
        break;
    }
    if (size != metadata->chunk_bytes)
        return sgc_fail(err, SGC_CORRUPT, "a chunk of %zu bytes instead of %zu", size,
                        metadata->chunk_bytes);
    memcpy(chunk, encoded, size);
    return SGC_OK;
}

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

sgc_status sgc_blosc_parse(const sgc_array_metadata *metadata, const uint8_t *header, uint64_t size,
                           sgc_blosc_frame *frame, sgc_error *err)
{
    sgc_blosc_frame result = {
        .decoded_size = read32(header + DECODED_AT),
        .encoded_size = read32(header + ENCODED_AT),
        .block_size = read32(header + BLOCK_AT),
        .stored = (header[FLAGS_AT] & FLAG_STORED) != 0,
    };
    memcpy(result.header, header, SGC_BLOSC_HEADER);
    if (result.decoded_size != metadata->chunk_bytes || result.encoded_size != size ||
        result.block_size == 0 || result.block_size > result.decoded_size)
        return sgc_fail(
            err, SGC_CORRUPT,
            "a Blosc frame of %llu bytes claims %u bytes for a chunk of %u in blocks of "
            "%u; the chunk has %zu",
            (unsigned long long)size, result.encoded_size, result.decoded_size, result.block_size,
            metadata->chunk_bytes);
    result.block_count = (result.decoded_size - 1) / result.block_size + 1;
    const uint64_t smallest = SGC_BLOSC_HEADER + (result.stored ? (uint64_t)result.decoded_size
                                                                : (uint64_t)result.block_count * 4);
    if (size < smallest)
        return sgc_fail(err, SGC_CORRUPT, "a Blosc frame that is cut short");
    *frame = result;
    return SGC_OK;
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
