/* Which part of which chunk a region of an array is. */
#ifndef SGC_REGION_H
#define SGC_REGION_H

#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* The chunks that meet a region: a block of chunk positions, numbered in C order. */
typedef struct sgc_chunk_range {
    size_t dimension_count;
    uint32_t first[SGC_ZARR_MAX_DIMENSIONS];
    uint64_t count[SGC_ZARR_MAX_DIMENSIONS];
    size_t total; /* 0: the region is empty */
} sgc_chunk_range;

/* SGC_INVALID when [start, start + count) leaves the array, or is more than memory can hold. */
SGC_CHECKED sgc_status sgc_chunk_range_init(sgc_chunk_range *range,
                                            const sgc_array_metadata *metadata,
                                            const uint64_t *start, const uint64_t *count,
                                            sgc_error *err);
/* The coordinates of chunk `index` below range->total. */
void sgc_chunk_range_at(const sgc_chunk_range *range, size_t index, uint32_t *coordinates);

/* The common part of one chunk and a region that meets it: runs of consecutive items, in ascending
 * order both in the chunk and in the buffer of the region, which is in C order without gaps. */
typedef struct sgc_region {
    size_t dimension_count;
    size_t item_size;
    uint64_t count[SGC_ZARR_MAX_DIMENSIONS];         /* items along each dimension */
    uint64_t chunk_stride[SGC_ZARR_MAX_DIMENSIONS];  /* bytes */
    uint64_t buffer_stride[SGC_ZARR_MAX_DIMENSIONS]; /* bytes */
    uint64_t chunk_offset, buffer_offset;            /* bytes, of the first item */
    uint64_t run_count, run_bytes;
} sgc_region;

void sgc_region_init(sgc_region *region, const sgc_array_metadata *metadata,
                     const uint32_t *coordinates, const uint64_t *start, const uint64_t *count);

/* Where in the chunk the region ends, in bytes. */
uint64_t sgc_region_end(const sgc_region *region);
/* True when the region has any of the bytes [from, to) of the chunk. */
bool sgc_region_meets(const sgc_region *region, uint64_t from, uint64_t to);

/* Copies what the region has of the bytes [from, to) of the chunk, which are `decoded`. */
void sgc_region_read(const sgc_region *region, uint64_t from, uint64_t to,
                     const unsigned char *decoded, unsigned char *buffer);
/* Copies the region into the whole chunk. */
void sgc_region_write(const sgc_region *region, const unsigned char *buffer, unsigned char *chunk);
/* Puts the fill value into the region. */
void sgc_region_fill(const sgc_region *region, const sgc_array_metadata *metadata,
                     unsigned char *buffer);

SGC_END_C

#endif
