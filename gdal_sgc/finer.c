/* What a level is computed of where its chunks are missing and may not be downloaded: the pixels of
 * finer levels. */
#include <stdlib.h>

#include "gdal_sgc/cube_private.h"

/* How far beyond a pixel GDAL's kernels reach, in such pixels. */
static int64_t radius_of(sgc_resampling resampling)
{
    return resampling == SGC_RESAMPLE_BILINEAR ? 1 : resampling == SGC_RESAMPLE_CUBIC ? 2 : 0;
}

sgc_rect sgc_cube_rect_at_finer(const sgc_cube *cube, const sgc_window *window, size_t finer)
{
    const sgc_grid *grid = &cube->levels[finer].grid;
    const int64_t ratio = cube->levels[window->level].factor / cube->levels[finer].factor;
    const int64_t reach = radius_of(cube->definition->bands[window->slices[0].band].resampling);
    const sgc_rect rect = window->rect;
    const sgc_rect wide = {rect.x - reach, rect.y - reach, rect.width + 2 * reach,
                           rect.height + 2 * reach};
    return sgc_rect_under_level(grid, wide, ratio);
}

/* The window of the level `finer` that one is computed of. */
static sgc_window at_finer(const sgc_cube *cube, const sgc_window *window, size_t finer)
{
    const sgc_rect rect = sgc_cube_rect_at_finer(cube, window, finer);
    return (sgc_window){finer, rect, window->slices, 1};
}

static sgc_status is_complete(const sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                              bool *complete, sgc_error *err)
{
    sgc_position *missing;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, window, &missing, &count, err));
    free(missing);
    *complete = count == 0;
    return SGC_OK;
}

/* Whether each chunk is complete, or the next finer pixels under it are available in turn. */
static sgc_status is_available(const sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                               bool *available, sgc_error *err)
{
    const sgc_level *level = &cube->levels[window->level];
    sgc_position *missing;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, window, &missing, &count, err));
    sgc_status status = SGC_OK;
    *available = count == 0 || window->level > 0;
    for (size_t i = 0; status == SGC_OK && *available && i < count; i++) {
        const sgc_rect chunk = sgc_level_chunk_rect(level, missing[i].row, missing[i].column);
        sgc_window gap = *window;
        gap.rect = sgc_rect_intersect(window->rect, chunk);
        const sgc_window under = at_finer(cube, &gap, window->level - 1);
        status = is_available(cube, view, &under, available, err);
    }
    free(missing);
    return status;
}

sgc_status sgc_cube_can_compute(sgc_cube *cube, const sgc_window *window, bool *can, sgc_error *err)
{
    bool complete;
    sgc_view *view;
    sgc_cube_view(cube, &view);
    *can = false;
    sgc_status status = is_complete(cube, view, window, &complete, err);
    if (status == SGC_OK && !complete)
        status = is_available(cube, view, window, can, err);
    sgc_view_unref(view);
    return status;
}

sgc_status sgc_cube_find_finer(sgc_cube *cube, const sgc_window *window, size_t *level,
                               sgc_error *err)
{
    bool complete;
    sgc_view *view;
    sgc_cube_view(cube, &view);
    *level = window->level;
    sgc_status status = is_complete(cube, view, window, &complete, err);
    for (size_t l = window->level; status == SGC_OK && !complete && l > 0; l--) {
        const sgc_window under = at_finer(cube, window, l - 1);
        *level = l - 1;
        status = is_complete(cube, view, &under, &complete, err);
    }
    if (status == SGC_OK && !complete && window->level > 0)
        *level = window->level - 1;
    sgc_view_unref(view);
    return status;
}
