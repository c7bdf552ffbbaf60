/* Filling one chunk: the windows of all patches that meet it, composed, encoded and written. */
#include <cpl_vsi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/compose.h"
#include "gdal_sgc/load.h"

static size_t largest_item(const sgc_definition *definition)
{
    size_t largest = 1;
    for (size_t b = 0; b < definition->band_count; b++) {
        const size_t size = (size_t)GDALGetDataTypeSizeBytes(definition->bands[b].type);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Bytes a worker needs. */
size_t sgc_workspace_size(const sgc_loading *l)
{
    const size_t pixels =
        (size_t)(sgc_loading_level(l)->chunk_width * sgc_loading_level(l)->chunk_height);
    return pixels * 2 * (largest_item(l->cube->definition) + 1);
}

sgc_status sgc_workspace_init(sgc_workspace *w, sgc_loading *l, sgc_error *err)
{
    const size_t pixels =
        (size_t)(sgc_loading_level(l)->chunk_width * sgc_loading_level(l)->chunk_height);
    const size_t item = largest_item(l->cube->definition);
    *w = (sgc_workspace){.load = l,
                         .chunk = VSIMalloc2(pixels, item),
                         .valid = VSIMalloc(pixels),
                         .window = VSIMalloc2(pixels, item),
                         .window_valid = VSIMalloc(pixels)};
    if (w->chunk == NULL || w->valid == NULL || w->window == NULL || w->window_valid == NULL)
        return sgc_fail_memory(err, sgc_workspace_size(l), "a chunk");
    return SGC_OK;
}

void sgc_workspace_free(sgc_workspace *w)
{
    VSIFree(w->chunk);
    VSIFree(w->valid);
    VSIFree(w->window);
    VSIFree(w->window_valid);
}

static void add_cost(sgc_loading *l, const sgc_patch *patch, const sgc_fetch *fetch, double seconds)
{
    pthread_mutex_lock(&l->mutex);
    sgc_patch_cost *cost = &l->costs[patch - l->patches.patches];
    cost->fetch.bytes += fetch->bytes;
    if (cost->fetch.etag[0] == '\0')
        memcpy(cost->fetch.etag, fetch->etag, sizeof cost->fetch.etag);
    cost->seconds += seconds;
    pthread_mutex_unlock(&l->mutex);
}

/* Applies one patch to the canvas of one band. *absent is set when the patch has no such band. */
static sgc_status apply_patch(sgc_workspace *w, sgc_canvas *canvas, const sgc_patch *patch,
                              size_t band, bool *absent, sgc_error *err)
{
    sgc_loading *l = w->load;
    const int64_t factor = sgc_loading_level(l)->factor;
    const sgc_rect window =
        sgc_rect_intersect(canvas->rect, sgc_rect_at_level(patch->rect, factor));
    if (sgc_rect_is_empty(window) || sgc_canvas_is_full(canvas, window))
        return SGC_OK;
    const sgc_cancel cancel = {sgc_loading_stops, l};
    sgc_source *source = l->cube->source;
    sgc_fetch fetch = {0};
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    void *const pixels[] = {w->window};
    const sgc_status status = source->read(source, patch, &band, 1, factor, window, pixels,
                                           &w->window_valid, &fetch, &cancel, err);
    add_cost(l, patch, &fetch, sgc_seconds_since(&start));
    if (status == SGC_NOT_FOUND) {
        *absent = true;
        return SGC_OK;
    }
    SGC_TRY(status);
    sgc_canvas_apply(canvas, window, w->window, w->window_valid);
    return SGC_OK;
}

/* Composes, encodes and writes one channel of a chunk. */
static sgc_status fill_band(sgc_workspace *w, const sgc_view *view, sgc_task *t, size_t band,
                            uint8_t *complete, sgc_error *err)
{
    sgc_loading *l = w->load;
    const sgc_level *level = sgc_loading_level(l);
    const sgc_array_metadata *metadata = sgc_array_get_metadata(view->channels[l->level][band]);
    sgc_canvas canvas = {
        .rect = sgc_level_chunk_rect(level, t->at.row, t->at.column),
        .stride = level->chunk_width,
        .type = l->cube->definition->bands[band].type,
        .pixels = w->chunk,
        .valid = w->valid,
        .rule = l->cube->definition->composite,
    };
    sgc_array_fill(metadata, w->chunk, (size_t)(level->chunk_width * level->chunk_height));
    memset(w->valid, 0, (size_t)(canvas.rect.width * canvas.rect.height));
    bool absent = false;
    for (size_t i = 0; i < l->patches.count; i++)
        SGC_TRY(apply_patch(w, &canvas, &l->patches.patches[i], band, &absent, err));
    if (atomic_load(&l->stop))
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    if (absent)
        *complete = SGC_COMPLETE_FOR_NOW;
    const sgc_status status =
        sgc_array_write_chunk(l->cube->repository, metadata, w->chunk, l->encode_threads,
                              &t->inlined[band], &t->refs[band], err);
    if (t->refs[band].kind != SGC_CHUNK_INLINE)
        sgc_buffer_free(&t->inlined[band]);
    return status;
}

sgc_status sgc_fill_chunk(sgc_workspace *w, const sgc_view *view, sgc_task *t, sgc_error *err)
{
    const size_t bands = sgc_loading_bands(w->load);
    t->refs = calloc(bands, sizeof *t->refs);
    t->inlined = calloc(bands, sizeof *t->inlined);
    if (t->refs == NULL || t->inlined == NULL)
        return sgc_fail_memory(err, bands * sizeof *t->refs, "a chunk");
    uint8_t complete = SGC_COMPLETE;
    for (size_t b = 0; b < bands; b++)
        SGC_TRY(fill_band(w, view, t, b, &complete, err));
    t->complete = complete;
    return SGC_OK;
}
