#include "store/zarr/codecs.h"

#define ZLIB_CONST
#include <blosc.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "store/zarr/blosc_frame.h"
#include "store/zarr/crc32c.h"
#include "store/zarr/transpose.h"

enum { CRC_SIZE = 4, GZIP_WINDOW = 16 + 15 };

typedef struct view {
    const unsigned char *data;
    size_t size;
} view;

static size_t most_encoded(const sgc_codec *codec, size_t size)
{
    enum { MOST_OVERHEAD = 64 * 1024 };
    const size_t extra = codec->kind == SGC_CRC32C ? CRC_SIZE : size / 8 + MOST_OVERHEAD;
    return size < UINT32_MAX - extra ? size + extra : UINT32_MAX;
}

size_t sgc_chunk_most_encoded(const sgc_array_metadata *metadata)
{
    size_t size = metadata->chunk_bytes;
    for (size_t i = 0; i < metadata->codecs.count; i++)
        size = most_encoded(&metadata->codecs.list[i], size);
    return size;
}

/* ---- encoding ---- */

static sgc_status encode_blosc(const sgc_codec *codec, view in, unsigned threads, sgc_buffer *out,
                               sgc_error *err)
{
    if (in.size > BLOSC_MAX_BUFFERSIZE)
        return sgc_fail(err, SGC_UNSUPPORTED, "blosc cannot take %zu bytes at once, only %d",
                        in.size, BLOSC_MAX_BUFFERSIZE);
    const size_t capacity = in.size + BLOSC_MAX_OVERHEAD;
    const int workers = threads < 1                   ? 1
                        : threads > BLOSC_MAX_THREADS ? BLOSC_MAX_THREADS
                                                      : (int)threads;
    const size_t type_size = codec->type_size > 0 ? codec->type_size : 1;
    SGC_TRY(sgc_buffer_reserve(out, capacity, err));
    const int written =
        blosc_compress_ctx(codec->level, codec->shuffle, type_size, in.size, in.data, out->data,
                           capacity, codec->compressor, codec->block_size, workers);
    if (written <= 0)
        return sgc_fail(err, SGC_UNSUPPORTED, "blosc with \"%s\" failed to compress a chunk",
                        codec->compressor);
    out->size = (size_t)written;
    return workers > 1 ? sgc_blosc_order_blocks(out->data, out->size, err) : SGC_OK;
}

static sgc_status encode_zstd(const sgc_codec *codec, view in, sgc_buffer *out, sgc_error *err)
{
    const size_t capacity = ZSTD_compressBound(in.size);
    SGC_TRY(sgc_buffer_reserve(out, capacity, err));
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        return sgc_fail_memory(err, 0, "zstd");
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, codec->level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, codec->checksum);
    const size_t written = ZSTD_compress2(context, out->data, capacity, in.data, in.size);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(written))
        return sgc_fail(err, SGC_NO_MEMORY, "zstd: %s", ZSTD_getErrorName(written));
    out->size = written;
    return SGC_OK;
}

/* The header's time stays 0. */
static sgc_status encode_gzip(const sgc_codec *codec, view in, sgc_buffer *out, sgc_error *err)
{
    enum { DEFAULT_MEMORY = 8 };
    z_stream stream = {0};
    if (deflateInit2(&stream, codec->level, Z_DEFLATED, GZIP_WINDOW, DEFAULT_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return sgc_fail_memory(err, 0, "zlib");
    const size_t capacity = deflateBound(&stream, in.size);
    sgc_status status = sgc_buffer_reserve(out, capacity, err);
    if (status == SGC_OK) {
        stream.next_in = in.data;
        stream.avail_in = (uInt)in.size;
        stream.next_out = out->data;
        stream.avail_out = capacity < UINT32_MAX ? (uInt)capacity : UINT32_MAX;
        if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
            out->size = stream.total_out;
        else
            status = sgc_fail(err, SGC_UNSUPPORTED, "gzip cannot take %zu bytes at once", in.size);
    }
    deflateEnd(&stream);
    return status;
}

static sgc_status append_crc32c(view in, sgc_buffer *out, sgc_error *err)
{
    const uint32_t crc = sgc_crc32c(in.data, in.size);
    SGC_TRY(sgc_buffer_reserve(out, in.size + CRC_SIZE, err));
    SGC_TRY(sgc_buffer_append(out, in.data, in.size, err));
    return sgc_buffer_append(out, &crc, CRC_SIZE, err);
}

static sgc_status encode(const sgc_codec *codec, view in, unsigned threads, sgc_buffer *out,
                         sgc_error *err)
{
    switch (codec->kind) {
    case SGC_BLOSC:
        return encode_blosc(codec, in, threads, out, err);
    case SGC_ZSTD:
        return encode_zstd(codec, in, out, err);
    case SGC_GZIP:
        return encode_gzip(codec, in, out, err);
    case SGC_CRC32C:
        break;
    }
    return append_crc32c(in, out, err);
}

static sgc_status encode_bytes(const sgc_codecs *codecs, view in, unsigned threads, sgc_buffer *out,
                               sgc_error *err)
{
    if (codecs->count == 0)
        return sgc_buffer_append(out, in.data, in.size, err);
    sgc_buffer between = {0};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < codecs->count; i++) {
        sgc_buffer next = {0};
        const bool is_last = i + 1 == codecs->count;
        status = encode(&codecs->list[i], in, threads, is_last ? out : &next, err);
        sgc_buffer_free(&between);
        between = next;
        in = (view){between.data, between.size};
    }
    sgc_buffer_free(&between);
    return status;
}

static bool is_swapped(const sgc_array_metadata *metadata)
{
    return metadata->codecs.big_endian && sgc_data_type_size(metadata->type) > 1;
}

sgc_status sgc_chunk_encode(const sgc_array_metadata *metadata, const void *chunk, unsigned threads,
                            sgc_buffer *out, sgc_error *err)
{
    const size_t size = metadata->chunk_bytes;
    const sgc_codecs *codecs = &metadata->codecs;
    if (!codecs->transposed && !is_swapped(metadata))
        return encode_bytes(codecs, (view){chunk, size}, threads, out, err);
    unsigned char *stored = malloc(size);
    if (stored == NULL)
        return sgc_fail_memory(err, size, "a chunk");
    if (codecs->transposed)
        sgc_transpose(metadata, chunk, stored);
    else
        memcpy(stored, chunk, size);
    if (is_swapped(metadata))
        sgc_swap_bytes(stored, size, sgc_data_type_size(metadata->type));
    const sgc_status status = encode_bytes(codecs, (view){stored, size}, threads, out, err);
    free(stored);
    return status;
}

/* ---- decoding ---- */

/* Room for what a codec decodes, and how much of it is used. */
typedef struct room {
    unsigned char *data;
    size_t capacity, size;
} room;

static sgc_status decode_blosc(view in, room *out, sgc_error *err)
{
    sgc_blosc_frame frame;
    if (in.size < SGC_BLOSC_HEADER)
        return sgc_fail(err, SGC_CORRUPT, "a Blosc frame of %zu bytes", in.size);
    SGC_TRY(sgc_blosc_parse(in.data, in.size, out->capacity, &frame, err));
    const int n = blosc_decompress_ctx(in.data, out->data, out->capacity, 1);
    if (n < 0 || (uint32_t)n != frame.decoded_size)
        return sgc_fail(err, SGC_CORRUPT, "a damaged Blosc frame");
    out->size = (size_t)n;
    return SGC_OK;
}

static sgc_status decode_zstd(view in, room *out, sgc_error *err)
{
    const size_t n = ZSTD_decompress(out->data, out->capacity, in.data, in.size);
    if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return sgc_fail_memory(err, in.size, "zstd");
    if (ZSTD_isError(n))
        return sgc_fail(err, SGC_CORRUPT, "a damaged zstd frame: %s", ZSTD_getErrorName(n));
    out->size = n;
    return SGC_OK;
}

/* One gzip member or several, and nothing behind them. */
static sgc_status decode_gzip(view in, room *out, sgc_error *err)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return sgc_fail_memory(err, 0, "zlib");
    stream.next_in = in.data;
    stream.avail_in = (uInt)in.size;
    stream.next_out = out->data;
    stream.avail_out = (uInt)out->capacity;
    int result = inflate(&stream, Z_FINISH);
    while (result == Z_STREAM_END && stream.avail_in > 0) {
        inflateReset(&stream);
        result = inflate(&stream, Z_FINISH);
    }
    inflateEnd(&stream);
    if (result == Z_MEM_ERROR)
        return sgc_fail_memory(err, 0, "zlib");
    if (result != Z_STREAM_END)
        return sgc_fail(err, SGC_CORRUPT, "a gzip stream that is damaged or too long");
    out->size = out->capacity - stream.avail_out;
    return SGC_OK;
}

static sgc_status check_crc32c(view *in, sgc_error *err)
{
    uint32_t stored;
    if (in->size < CRC_SIZE)
        return sgc_fail(err, SGC_CORRUPT, "%zu bytes are too short for a checksum", in->size);
    in->size -= CRC_SIZE;
    memcpy(&stored, in->data + in->size, CRC_SIZE);
    const uint32_t crc = sgc_crc32c(in->data, in->size);
    return stored == crc
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "the checksum crc32c is %08x, not %08x", crc, stored);
}

static sgc_status decode(const sgc_codec *codec, view in, room *out, sgc_error *err)
{
    switch (codec->kind) {
    case SGC_BLOSC:
        return decode_blosc(in, out, err);
    case SGC_ZSTD:
        return decode_zstd(in, out, err);
    default:
        return decode_gzip(in, out, err);
    }
}

/* Decodes `in` by the codecs up to number `i`; the last result goes to `chunk`. */
static sgc_status decode_bytes(const sgc_codecs *codecs, view in, unsigned char *chunk,
                               size_t chunk_size, sgc_error *err)
{
    size_t most[SGC_MAX_CODECS + 1] = {chunk_size};
    for (size_t i = 0; i < codecs->count; i++)
        most[i + 1] = most_encoded(&codecs->list[i], most[i]);
    if (in.size > most[codecs->count])
        return sgc_fail(err, SGC_CORRUPT, "%zu bytes are too long for an encoded chunk of %zu",
                        in.size, chunk_size);
    unsigned char *between = NULL;
    sgc_status status = SGC_OK;
    for (size_t i = codecs->count; status == SGC_OK && i-- > 0;) {
        const sgc_codec *codec = &codecs->list[i];
        if (codec->kind == SGC_CRC32C) {
            status = check_crc32c(&in, err);
            continue;
        }
        room out = {i == 0 ? chunk : malloc(most[i]), most[i], 0};
        status = out.data != NULL ? decode(codec, in, &out, err)
                                  : sgc_fail_memory(err, most[i], "a chunk");
        free(between);
        between = i == 0 ? NULL : out.data;
        in = (view){out.data, out.size};
    }
    if (status == SGC_OK && in.size != chunk_size)
        status =
            sgc_fail(err, SGC_CORRUPT, "a chunk of %zu bytes instead of %zu", in.size, chunk_size);
    if (status == SGC_OK && in.data != chunk)
        memcpy(chunk, in.data, chunk_size);
    free(between);
    return status;
}

sgc_status sgc_chunk_decode(const sgc_array_metadata *metadata, const void *encoded, size_t size,
                            void *chunk, sgc_error *err)
{
    const size_t chunk_size = metadata->chunk_bytes;
    const bool transposed = metadata->codecs.transposed;
    unsigned char *stored = transposed ? malloc(chunk_size) : chunk;
    if (stored == NULL)
        return sgc_fail_memory(err, chunk_size, "a chunk");
    const sgc_status status =
        decode_bytes(&metadata->codecs, (view){encoded, size}, stored, chunk_size, err);
    if (status == SGC_OK && is_swapped(metadata))
        sgc_swap_bytes(stored, chunk_size, sgc_data_type_size(metadata->type));
    if (status == SGC_OK && transposed)
        sgc_transpose_back(metadata, stored, chunk);
    if (transposed)
        free(stored);
    return status;
}
