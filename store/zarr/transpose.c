#include "store/zarr/transpose.h"

#include <string.h>

/* The axes of what is stored, with the step of each in the two orders, in items. */
typedef struct axes {
    size_t count;
    size_t length[SGC_ZARR_MAX_DIMENSIONS];
    size_t chunk_step[SGC_ZARR_MAX_DIMENSIONS];
    size_t stored_step[SGC_ZARR_MAX_DIMENSIONS];
} axes;

static axes axes_of(const sgc_array_metadata *m)
{
    size_t steps[SGC_ZARR_MAX_DIMENSIONS], step = 1;
    axes a = {.count = m->dimension_count};
    for (size_t d = m->dimension_count; d-- > 0; step *= (size_t)m->chunk_shape[d])
        steps[d] = step;
    step = 1;
    for (size_t i = m->dimension_count; i-- > 0; step *= a.length[i]) {
        const size_t d = m->codecs.order[i];
        a.length[i] = (size_t)m->chunk_shape[d];
        a.chunk_step[i] = steps[d];
        a.stored_step[i] = step;
    }
    return a;
}

static void copy_item(unsigned char *to, const unsigned char *from, size_t size)
{
    switch (size) {
    case 1:
        *to = *from;
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, 8);
    }
}

typedef struct copying {
    const axes *axes;
    const size_t *from_step, *to_step;
    const unsigned char *from;
    unsigned char *to;
    size_t item;
} copying;

/* Copies the plane of two axes at the given offsets, in tiles, so that the lines of memory that are
 * written item by item stay at hand. */
static void copy_plane(const copying *c, size_t i, size_t j, size_t from, size_t to)
{
    enum { TILE = 32 };
    const size_t rows = c->axes->length[i], columns = c->axes->length[j];
    for (size_t tile_y = 0; tile_y < rows; tile_y += TILE) {
        const size_t end_y = rows - tile_y < TILE ? rows : tile_y + TILE;
        for (size_t tile_x = 0; tile_x < columns; tile_x += TILE) {
            const size_t end_x = columns - tile_x < TILE ? columns : tile_x + TILE;
            for (size_t y = tile_y; y < end_y; y++)
                for (size_t x = tile_x; x < end_x; x++)
                    copy_item(c->to + (to + y * c->to_step[i] + x * c->to_step[j]) * c->item,
                              c->from +
                                  (from + y * c->from_step[i] + x * c->from_step[j]) * c->item,
                              c->item);
        }
    }
}

/* The planes lie along the two axes that are contiguous in one order and in the other. */
static void copy_planes(const copying *c)
{
    const axes *a = c->axes;
    const size_t row = a->count - 1;
    size_t column = 0, at[SGC_ZARR_MAX_DIMENSIONS] = {0};
    for (size_t d = 0; d < a->count; d++)
        if (a->chunk_step[d] == 1 && a->length[d] > 1)
            column = d;
    for (bool more = true; more;) {
        size_t from = 0, to = 0;
        for (size_t d = 0; d < a->count; d++) {
            from += at[d] * c->from_step[d];
            to += at[d] * c->to_step[d];
        }
        if (row == column)
            memcpy(c->to + to * c->item, c->from + from * c->item, a->length[row] * c->item);
        else
            copy_plane(c, column, row, from, to);
        more = false;
        for (size_t d = a->count; d-- > 0 && !more;) {
            if (d == row || d == column)
                continue;
            more = ++at[d] < a->length[d];
            if (!more)
                at[d] = 0;
        }
    }
}

void sgc_transpose(const sgc_array_metadata *metadata, const void *chunk, void *stored)
{
    const axes a = axes_of(metadata);
    copy_planes(&(copying){&a, a.chunk_step, a.stored_step, chunk, stored,
                           sgc_data_type_size(metadata->type)});
}

void sgc_transpose_back(const sgc_array_metadata *metadata, const void *stored, void *chunk)
{
    const axes a = axes_of(metadata);
    copy_planes(&(copying){&a, a.stored_step, a.chunk_step, stored, chunk,
                           sgc_data_type_size(metadata->type)});
}

static void swap_pairs(unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i += 2) {
        uint16_t item;
        memcpy(&item, data + i, sizeof item);
        item = __builtin_bswap16(item);
        memcpy(data + i, &item, sizeof item);
    }
}

static void swap_quads(unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i += 4) {
        uint32_t item;
        memcpy(&item, data + i, sizeof item);
        item = __builtin_bswap32(item);
        memcpy(data + i, &item, sizeof item);
    }
}

static void swap_octets(unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t item;
        memcpy(&item, data + i, sizeof item);
        item = __builtin_bswap64(item);
        memcpy(data + i, &item, sizeof item);
    }
}

void sgc_swap_bytes(void *data, size_t size, size_t item_size)
{
    if (item_size == 2)
        swap_pairs(data, size);
    else if (item_size == 4)
        swap_quads(data, size);
    else
        swap_octets(data, size);
}
