/* What a map shows where chunks are missing: the pixels of coarser levels. */
#include <cpl_vsi.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/cube_private.h"

/* The pixels of a level that is `ratio` times coarser under `rect`. */
static sgc_rect cover(sgc_rect rect, int64_t ratio)
{
    const int64_t x = rect.x / ratio, y = rect.y / ratio;
    return (sgc_rect){x, y, (rect.x + rect.width - 1) / ratio + 1 - x,
                      (rect.y + rect.height - 1) / ratio + 1 - y};
}

/* Finds the finest level coarser than `level` that is complete under `rect`; 0: there is none. */
static sgc_status find_coarser(const sgc_cube *cube, const sgc_view *view, size_t level,
                               sgc_slice slice, sgc_rect rect, size_t *found, sgc_error *err)
{
    *found = 0;
    for (size_t l = level + 1; *found == 0 && l < cube->level_count; l++) {
        const int64_t ratio = cube->levels[l].factor / cube->levels[level].factor;
        const sgc_window window = {l, cover(rect, ratio), &slice, 1};
        sgc_position *positions;
        size_t count;
        SGC_TRY(sgc_view_incomplete(cube, view, &window, &positions, &count, err));
        free(positions);
        if (count == 0)
            *found = l;
    }
    return SGC_OK;
}

/* Repeats the pixels of `coarse` over those of `part`, which lies in `rect`, the pixels of
 * `buffer`. */
static void repeat(const uint8_t *coarse, sgc_rect cover, int64_t ratio, sgc_rect part,
                   sgc_rect rect, uint8_t *buffer, size_t size)
{
    for (int64_t y = part.y; y < part.y + part.height; y++) {
        const uint8_t *from = coarse + (size_t)((y / ratio - cover.y) * cover.width) * size;
        uint8_t *to = buffer + (size_t)((y - rect.y) * rect.width + part.x - rect.x) * size;
        for (int64_t x = part.x; x < part.x + part.width; x++, to += size)
            memcpy(to, from + (size_t)(x / ratio - cover.x) * size, size);
    }
}

static sgc_status fill_gap(const sgc_cube *cube, const sgc_view *view, size_t level,
                           sgc_slice slice, sgc_rect gap, sgc_rect rect, void *buffer,
                           unsigned num_threads, sgc_error *err)
{
    size_t coarser;
    SGC_TRY(find_coarser(cube, view, level, slice, gap, &coarser, err));
    if (coarser == 0)
        return SGC_OK;
    const int64_t ratio = cube->levels[coarser].factor / cube->levels[level].factor;
    const sgc_rect under = cover(gap, ratio);
    const size_t size = (size_t)GDALGetDataTypeSizeBytes(cube->definition->bands[slice.band].type);
    uint8_t *pixels = VSIMalloc3((size_t)under.width, (size_t)under.height, size);
    sgc_status status =
        pixels != NULL
            ? sgc_cube_read(cube, view, coarser, slice, under, pixels, num_threads, err)
            : sgc_fail_memory(err, (size_t)(under.width * under.height) * size, "a window");
    if (status == SGC_OK)
        repeat(pixels, under, ratio, gap, rect, buffer, size);
    VSIFree(pixels);
    return status;
}

sgc_status sgc_cube_fill_gaps(const sgc_cube *cube, const sgc_view *view, size_t level,
                              sgc_slice slice, sgc_rect rect, void *buffer, unsigned num_threads,
                              sgc_error *err)
{
    const sgc_window window = {level, rect, &slice, 1};
    sgc_position *gaps;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, &window, &gaps, &count, err));
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < count; i++) {
        const sgc_rect gap = sgc_rect_intersect(
            rect, sgc_level_chunk_rect(&cube->levels[level], gaps[i].row, gaps[i].column));
        status = fill_gap(cube, view, level, slice, gap, rect, buffer, num_threads, err);
    }
    free(gaps);
    return status;
}
