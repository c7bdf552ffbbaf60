#include "store/icechunk/envelope.h"

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#ifndef SGC_VERSION
#define SGC_VERSION "0"
#endif

enum {
    HEADER_SIZE = 39,
    MAGIC_SIZE = 12,
    WRITER_SIZE = 24,
    COMPRESSION_ZSTD = 1,
    ZSTD_LEVEL = 3,
    LARGE_PAYLOAD = 1024 * 1024, /* is compressed quicker */
    ZSTD_LEVEL_LARGE = 1,
    LARGEST_PAYLOAD = INT32_MAX,
    /* A small file that becomes more than this many times as large, and so much more, is no
     * metadata but an attack on our memory. */
    LARGEST_RATIO = 1000,
    SURELY_GOOD_PAYLOAD = 64 * 1024 * 1024,
};

static const unsigned char magic[MAGIC_SIZE] = {0x49, 0x43, 0x45, 0xF0, 0x9F, 0xA7,
                                                0x8A, 0x43, 0x48, 0x55, 0x4E, 0x4B};
static const char writer[] = "sgc-" SGC_VERSION;
_Static_assert(sizeof writer - 1 <= WRITER_SIZE, "the writer's name does not fit the header");

sgc_status sgc_envelope_wrap(sgc_file_kind kind, int spec_version, const void *payload, size_t size,
                             sgc_buffer *file, sgc_error *err)
{
    const size_t bound = ZSTD_compressBound(size);
    SGC_TRY(sgc_buffer_reserve(file, HEADER_SIZE + bound, err));
    unsigned char *header = file->data;
    memcpy(header, magic, MAGIC_SIZE);
    memset(header + MAGIC_SIZE, ' ', WRITER_SIZE);
    memcpy(header + MAGIC_SIZE, writer, sizeof writer - 1);
    header[36] = (unsigned char)spec_version;
    header[37] = (unsigned char)kind;
    header[38] = COMPRESSION_ZSTD;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        return sgc_fail_memory(err, 0, "zstd");
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                           size < LARGE_PAYLOAD ? ZSTD_LEVEL : ZSTD_LEVEL_LARGE);
    /* Every reader checks it, and a flipped bit is not taken for other metadata. */
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    const size_t written = ZSTD_compress2(context, header + HEADER_SIZE, bound, payload, size);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(written))
        return sgc_fail(err, SGC_NO_MEMORY, "cannot compress: %s", ZSTD_getErrorName(written));
    file->size = HEADER_SIZE + written;
    return SGC_OK;
}

static size_t largest_payload(size_t frame_size)
{
    return frame_size > (LARGEST_PAYLOAD - SURELY_GOOD_PAYLOAD) / LARGEST_RATIO
               ? LARGEST_PAYLOAD
               : SURELY_GOOD_PAYLOAD + frame_size * LARGEST_RATIO;
}

static sgc_status decompress(ZSTD_DStream *stream, const unsigned char *data, size_t size,
                             sgc_buffer *payload, sgc_error *err)
{
    ZSTD_inBuffer in = {data, size, 0};
    const size_t largest = largest_payload(size);
    for (;;) {
        SGC_TRY(sgc_buffer_reserve(payload, ZSTD_DStreamOutSize(), err));
        ZSTD_outBuffer out = {payload->data + payload->size, payload->capacity - payload->size, 0};
        const size_t left = ZSTD_decompressStream(stream, &out, &in);
        if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
            return sgc_fail_memory(err, size, "zstd");
        if (ZSTD_isError(left))
            return sgc_fail(err, SGC_CORRUPT, "bad zstd frame: %s", ZSTD_getErrorName(left));
        payload->size += out.pos;
        if (payload->size > largest)
            return sgc_fail(err, SGC_CORRUPT, "the payload of %zu bytes exceeds %zu bytes", size,
                            largest);
        if (left == 0)
            break;
        if (in.pos == in.size && out.pos < out.size)
            return sgc_fail(err, SGC_CORRUPT, "the zstd frame is cut short");
    }
    return in.pos == in.size ? SGC_OK
                             : sgc_fail(err, SGC_CORRUPT, "bytes stand behind the zstd frame");
}

sgc_status sgc_envelope_unwrap(sgc_file_kind kind, const void *file, size_t size, int *spec_version,
                               sgc_buffer *payload, sgc_error *err)
{
    const unsigned char *header = file;
    if (size <= HEADER_SIZE || memcmp(header, magic, MAGIC_SIZE) != 0)
        return sgc_fail(err, SGC_CORRUPT, "not an Icechunk file");
    if (header[36] != 1 && header[36] != 2)
        return sgc_fail(err, SGC_UNSUPPORTED, "Icechunk version %d is not supported", header[36]);
    if (header[37] != kind)
        return sgc_fail(err, SGC_CORRUPT, "an Icechunk file of kind %d where kind %d is expected",
                        header[37], (int)kind);
    if (header[38] != COMPRESSION_ZSTD)
        return sgc_fail(err, SGC_CORRUPT, "unknown compression %d", header[38]);
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL)
        return sgc_fail_memory(err, 0, "a zstd stream");
    const sgc_status status =
        decompress(stream, header + HEADER_SIZE, size - HEADER_SIZE, payload, err);
    ZSTD_freeDStream(stream);
    if (status == SGC_OK)
        *spec_version = header[36];
    return status;
}
