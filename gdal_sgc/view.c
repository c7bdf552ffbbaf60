/* Views: what a cube holds at one snapshot. */
#include <gdal.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/cube_private.h"

static sgc_status open_level(sgc_view *view, sgc_repository *repository, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    if (sgc_snapshot_find(view->snapshot, path) == NULL)
        return SGC_OK;
    SGC_TRY(sgc_array_open(repository, view->snapshot, path, &view->complete[l], err));
    const size_t bands = cube->definition->band_count;
    view->channels[l] = calloc(bands, sizeof(sgc_array *));
    if (view->channels[l] == NULL)
        return sgc_fail_memory(err, bands * sizeof(sgc_array *), "a cube");
    for (size_t b = 0; b < bands; b++) {
        sgc_layout_channel_path(cube->definition, level, b, path);
        SGC_TRY(sgc_array_open(repository, view->snapshot, path, &view->channels[l][b], err));
    }
    return SGC_OK;
}

static bool has_shape(const sgc_array *array, const uint64_t *shape, size_t count)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    return m->dimension_count == count && memcmp(m->shape, shape, count * sizeof *shape) == 0;
}

/* A cube must be what its definition says before any of its sizes is relied on. */
static sgc_status check_level(const sgc_view *view, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    if (view->complete[l] == NULL)
        return SGC_OK;
    const uint64_t positions[] = {cube->definition->band_count, (uint64_t)sgc_level_rows(level),
                                  (uint64_t)sgc_level_columns(level)};
    const uint64_t pixels[] = {(uint64_t)level->grid.height, (uint64_t)level->grid.width};
    bool good = has_shape(view->complete[l], positions, 3) &&
                sgc_array_get_metadata(view->complete[l])->type == SGC_UINT8 &&
                sgc_array_get_metadata(view->complete[l])->chunk_shape[0] == 1;
    for (size_t b = 0; b < cube->definition->band_count; b++) {
        const sgc_array_metadata *m = sgc_array_get_metadata(view->channels[l][b]);
        good = good && has_shape(view->channels[l][b], pixels, 2) &&
               strcmp(sgc_data_type_name(m->type), cube->definition->bands[b].data_type) == 0 &&
               m->chunk_shape[0] == (uint64_t)level->chunk_height &&
               m->chunk_shape[1] == (uint64_t)level->chunk_width;
    }
    return good ? SGC_OK
                : sgc_fail(err, SGC_CORRUPT,
                           "%s: the arrays of level %lld are not those of its definition",
                           cube->place, (long long)level->factor);
}

sgc_view *sgc_view_ref(sgc_view *view)
{
    atomic_fetch_add(&view->references, 1);
    return view;
}

void sgc_view_unref(sgc_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) != 1)
        return;
    for (size_t l = 0; l < SGC_MOST_LEVELS; l++) {
        for (size_t b = 0; view->channels[l] != NULL && b < view->cube->definition->band_count; b++)
            sgc_array_close(view->channels[l][b]);
        free(view->channels[l]);
        sgc_array_close(view->complete[l]);
    }
    sgc_snapshot_unref(view->snapshot);
    free(view);
}

/* Takes `snapshot`. */
sgc_status sgc_view_new(sgc_cube *cube, sgc_repository *repository, sgc_snapshot *snapshot,
                        sgc_view **out, sgc_error *err)
{
    sgc_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        sgc_snapshot_unref(snapshot);
        return sgc_fail_memory(err, sizeof *view, "a cube");
    }
    atomic_init(&view->references, 1);
    view->cube = cube;
    view->snapshot = snapshot;
    sgc_status status = SGC_OK;
    for (size_t l = 0; status == SGC_OK && l < cube->level_count; l++) {
        status = open_level(view, repository, l, err);
        if (status == SGC_OK)
            status = check_level(view, l, err);
    }
    if (status != SGC_OK) {
        sgc_view_unref(view);
        return status;
    }
    *out = view;
    return SGC_OK;
}

/* What a level or a cube holds that nobody has loaded yet. */
static void fill_nodata(const sgc_band *band, sgc_rect rect, void *buffer)
{
    const int size = GDALGetDataTypeSizeBytes(band->type);
    for (int64_t row = 0; row < rect.height; row++)
        GDALCopyWords(&band->nodata, GDT_Float64, 0, (char *)buffer + row * rect.width * size,
                      band->type, size, (int)rect.width);
}

sgc_status sgc_cube_read(const sgc_cube *cube, const sgc_view *view, size_t level, size_t band,
                         sgc_rect rect, void *buffer, unsigned num_threads, sgc_error *err)
{
    const uint64_t start[] = {(uint64_t)rect.y, (uint64_t)rect.x};
    const uint64_t count[] = {(uint64_t)rect.height, (uint64_t)rect.width};
    if (view != NULL && view->channels[level] != NULL)
        return sgc_array_read(view->channels[level][band], start, count, buffer, num_threads, err);
    fill_nodata(&cube->definition->bands[band], rect, buffer);
    return SGC_OK;
}

sgc_status sgc_view_incomplete(const sgc_cube *cube, const sgc_view *view, size_t level,
                               sgc_rect chunks, sgc_position **positions, size_t *count,
                               sgc_error *err)
{
    const size_t bands = cube->definition->band_count;
    const size_t per_band = (size_t)(chunks.width * chunks.height);
    uint8_t *flags = calloc(bands, per_band);
    sgc_position *list = malloc(per_band * sizeof *list);
    sgc_status status = flags != NULL && list != NULL
                            ? SGC_OK
                            : sgc_fail_memory(err, bands * per_band, "a list of chunks");
    if (status == SGC_OK && view != NULL && view->complete[level] != NULL) {
        const uint64_t start[] = {0, (uint64_t)chunks.y, (uint64_t)chunks.x};
        const uint64_t size[] = {bands, (uint64_t)chunks.height, (uint64_t)chunks.width};
        status = sgc_array_read(view->complete[level], start, size, flags, 1, err);
    }
    size_t n = 0;
    for (size_t i = 0; status == SGC_OK && i < per_band; i++) {
        bool complete = true;
        for (size_t b = 0; b < bands; b++)
            complete = complete && flags[b * per_band + i] != 0;
        if (!complete)
            list[n++] = (sgc_position){(int32_t)(chunks.y + (int64_t)i / chunks.width),
                                       (int32_t)(chunks.x + (int64_t)i % chunks.width)};
    }
    free(flags);
    if (status != SGC_OK) {
        free(list);
        return status;
    }
    *positions = list;
    *count = n;
    return SGC_OK;
}
