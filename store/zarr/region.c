#include "store/zarr/region.h"

#include <string.h>

#include "store/zarr/array.h"

sgc_status sgc_chunk_range_init(sgc_chunk_range *range, const sgc_array_metadata *m,
                                const uint64_t *start, const uint64_t *count, sgc_error *err)
{
    sgc_chunk_range result = {.dimension_count = m->dimension_count, .total = 1};
    size_t bytes = sgc_data_type_size(m->type);
    bool empty = false, fits = true;
    for (size_t d = 0; d < m->dimension_count; d++) {
        if (count[d] > m->shape[d] || start[d] > m->shape[d] - count[d])
            return sgc_fail(err, SGC_INVALID, "a region outside the array");
        if (count[d] == 0) {
            empty = true;
            continue;
        }
        result.first[d] = (uint32_t)(start[d] / m->chunk_shape[d]);
        result.count[d] = (start[d] + count[d] - 1) / m->chunk_shape[d] - result.first[d] + 1;
        fits = fits && sgc_multiply(bytes, count[d], &bytes) &&
               sgc_multiply(result.total, result.count[d], &result.total);
    }
    if (empty)
        result.total = 0;
    else if (!fits)
        return sgc_fail(err, SGC_INVALID, "a region larger than memory");
    *range = result;
    return SGC_OK;
}

void sgc_chunk_range_at(const sgc_chunk_range *range, size_t index, uint32_t *coordinates)
{
    for (size_t d = range->dimension_count; d-- > 0;) {
        coordinates[d] = range->first[d] + (uint32_t)(index % range->count[d]);
        index /= range->count[d];
    }
}

void sgc_region_init(sgc_region *region, const sgc_array_metadata *m, const uint32_t *coordinates,
                     const uint64_t *start, const uint64_t *count)
{
    const size_t n = m->dimension_count, item = sgc_data_type_size(m->type);
    sgc_region r = {.dimension_count = n, .item_size = item, .run_count = 1, .run_bytes = item};
    uint64_t chunk_stride = item, buffer_stride = item;
    for (size_t d = n; d-- > 0;) {
        const uint64_t chunk_start = coordinates[d] * m->chunk_shape[d];
        const uint64_t chunk_end = chunk_start + m->chunk_shape[d];
        const uint64_t from = start[d] > chunk_start ? start[d] : chunk_start;
        const uint64_t to = start[d] + count[d] < chunk_end ? start[d] + count[d] : chunk_end;
        r.count[d] = to - from;
        r.chunk_stride[d] = chunk_stride;
        r.buffer_stride[d] = buffer_stride;
        r.chunk_offset += (from - chunk_start) * chunk_stride;
        r.buffer_offset += (from - start[d]) * buffer_stride;
        chunk_stride *= m->chunk_shape[d];
        buffer_stride *= count[d];
        if (d == n - 1)
            r.run_bytes *= r.count[d];
        else
            r.run_count *= r.count[d];
    }
    *region = r;
}

static uint64_t run_offset(const sgc_region *r, uint64_t index, const uint64_t *stride)
{
    uint64_t offset = 0;
    for (size_t d = r->dimension_count; d-- > 1;) {
        offset += index % r->count[d - 1] * stride[d - 1];
        index /= r->count[d - 1];
    }
    return offset;
}

static uint64_t run_in_chunk(const sgc_region *r, uint64_t index)
{
    return r->chunk_offset + run_offset(r, index, r->chunk_stride);
}

static uint64_t run_in_buffer(const sgc_region *r, uint64_t index)
{
    return r->buffer_offset + run_offset(r, index, r->buffer_stride);
}

/* The first run that ends behind byte `from` of the chunk. */
static uint64_t first_run(const sgc_region *r, uint64_t from)
{
    uint64_t low = 0, high = r->run_count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (run_in_chunk(r, middle) + r->run_bytes <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t sgc_region_end(const sgc_region *r)
{
    return run_in_chunk(r, r->run_count - 1) + r->run_bytes;
}

bool sgc_region_meets(const sgc_region *r, uint64_t from, uint64_t to)
{
    const uint64_t run = first_run(r, from);
    return run < r->run_count && run_in_chunk(r, run) < to;
}

void sgc_region_read(const sgc_region *r, uint64_t from, uint64_t to, const unsigned char *decoded,
                     unsigned char *buffer)
{
    for (uint64_t run = first_run(r, from); run < r->run_count; run++) {
        const uint64_t start = run_in_chunk(r, run);
        if (start >= to)
            break;
        const uint64_t first = start > from ? start : from;
        const uint64_t end = start + r->run_bytes < to ? start + r->run_bytes : to;
        memcpy(buffer + run_in_buffer(r, run) + (first - start), decoded + (first - from),
               (size_t)(end - first));
    }
}

void sgc_region_write(const sgc_region *r, const unsigned char *buffer, unsigned char *chunk)
{
    for (uint64_t run = 0; run < r->run_count; run++)
        memcpy(chunk + run_in_chunk(r, run), buffer + run_in_buffer(r, run), (size_t)r->run_bytes);
}

void sgc_region_fill(const sgc_region *r, const sgc_array_metadata *metadata, unsigned char *buffer)
{
    for (uint64_t run = 0; run < r->run_count; run++)
        sgc_array_fill(metadata, buffer + run_in_buffer(r, run),
                       (size_t)(r->run_bytes / r->item_size));
}
