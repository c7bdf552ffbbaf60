/* zarr.json of arrays (Zarr version 3): parsed, checked, and written as zarr-python does. */
#ifndef SGC_ZARR_METADATA_H
#define SGC_ZARR_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_ZARR_MAX_DIMENSIONS = 16, SGC_MAX_ITEM_SIZE = 8, SGC_MAX_CODECS = 8 };

typedef enum sgc_data_type {
    SGC_BOOL, /* one byte, 0 or 1 */
    SGC_INT8,
    SGC_UINT8,
    SGC_INT16,
    SGC_UINT16,
    SGC_INT32,
    SGC_UINT32,
    SGC_INT64,
    SGC_UINT64,
    SGC_FLOAT16,
    SGC_FLOAT32,
    SGC_FLOAT64,
} sgc_data_type;

/* Bytes of one item, 1 … 8. */
size_t sgc_data_type_size(sgc_data_type type);
/* Zarr's name, like "float32"; static. */
const char *sgc_data_type_name(sgc_data_type type);
/* SGC_UNSUPPORTED names the type. */
SGC_CHECKED sgc_status sgc_data_type_parse(const char *name, sgc_data_type *type, sgc_error *err);

/* Codecs from bytes to bytes. */
typedef enum sgc_codec_kind { SGC_BLOSC, SGC_ZSTD, SGC_GZIP, SGC_CRC32C } sgc_codec_kind;

typedef struct sgc_codec {
    sgc_codec_kind kind;
    int level;           /* blosc, gzip: 0 … 9; zstd */
    char compressor[16]; /* blosc: "zstd", "lz4" … */
    int shuffle;         /* blosc: 0 none, 1 bytes, 2 bits */
    size_t type_size;    /* blosc; 0: 1 */
    size_t block_size;   /* blosc; 0: chosen by the library */
    bool checksum;       /* zstd */
} sgc_codec;

/* A pipeline, in the order of encoding: the axes are transposed, items become bytes, and `count`
 * codecs follow. All zero: the items as they are, little endian. */
typedef struct sgc_codecs {
    bool big_endian;                        /* of items longer than a byte */
    bool transposed;                        /* of two axes or more */
    uint8_t order[SGC_ZARR_MAX_DIMENSIONS]; /* axis i of what is stored is axis order[i] */
    size_t count;
    sgc_codec list[SGC_MAX_CODECS];
} sgc_codecs;

typedef struct sgc_array_metadata {
    sgc_data_type type;
    size_t dimension_count;
    uint64_t shape[SGC_ZARR_MAX_DIMENSIONS];
    uint64_t chunk_shape[SGC_ZARR_MAX_DIMENSIONS];
    unsigned char fill_value[SGC_MAX_ITEM_SIZE]; /* in the machine's byte order */
    bool has_dimension_names;
    char *dimension_names[SGC_ZARR_MAX_DIMENSIONS]; /* NULL: unnamed; owned */
    sgc_codecs codecs;
    size_t chunk_bytes; /* of a decoded chunk; never 0, never overflows */
} sgc_array_metadata;

/* SGC_CORRUPT for what is no array's metadata, SGC_UNSUPPORTED for what this library cannot do,
 * each naming the member. Unknown members are ignored only where they say "must_understand": false.
 * Release with sgc_array_metadata_clear(). */
SGC_CHECKED sgc_status sgc_array_metadata_parse(const char *json, size_t size,
                                                sgc_array_metadata *out, sgc_error *err);
void sgc_array_metadata_clear(sgc_array_metadata *metadata);

/* True when chunks that were written with the one can be read with the other: those that are not
 * stored, because they are the fill value, among them. */
bool sgc_array_metadata_same_chunks(const sgc_array_metadata *a, const sgc_array_metadata *b);

/* Appends the document. `fill_value` and `attributes` are JSON texts. */
SGC_CHECKED sgc_status sgc_array_metadata_print(const sgc_array_metadata *metadata,
                                                const char *fill_value, const char *attributes,
                                                sgc_buffer *out, sgc_error *err);

/* The number of chunks along dimension `d`. */
static inline uint64_t sgc_array_chunk_count(const sgc_array_metadata *metadata, size_t d)
{
    const uint64_t chunk = metadata->chunk_shape[d];
    return metadata->shape[d] / chunk + (metadata->shape[d] % chunk != 0);
}

SGC_END_C

#endif
