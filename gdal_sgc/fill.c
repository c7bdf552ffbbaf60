/* Filling chunks: the windows of all patches that meet them, composed, encoded and written. */
#include <cpl_conv.h>
#include <cpl_vsi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/load.h"

/* ---- memory ---- */

static size_t item_size(const sgc_loading *l, size_t band)
{
    return (size_t)GDALGetDataTypeSizeBytes(l->cube->definition->bands[band].type);
}

static size_t largest_item(const sgc_loading *l)
{
    size_t largest = 1;
    for (size_t b = 0; b < sgc_loading_bands(l); b++)
        largest = item_size(l, b) > largest ? item_size(l, b) : largest;
    return largest;
}

static size_t chunk_pixels(const sgc_loading *l)
{
    const sgc_level *level = sgc_loading_level(l);
    return (size_t)(level->chunk_width * level->chunk_height);
}

/* Bytes for one band: a chunk and a window, each of pixels and validities. */
static double plane_size(const sgc_loading *l)
{
    return (double)chunk_pixels(l) * 2 * (double)(largest_item(l) + 1);
}

double sgc_plan_memory(sgc_loading *l)
{
    const double memory = CPLAtof(CPLGetConfigOption("SGC_LOAD_MEMORY", "512")) * 1024 * 1024;
    const double planes = memory / plane_size(l);
    const size_t bands = l->source->reads_together ? sgc_loading_unit_bands(l) : 1;
    l->bands_at_once = planes >= (double)bands ? bands : planes >= 1 ? (size_t)planes : 1;
    const double workers = planes / (double)l->bands_at_once;
    return workers >= 1 ? workers : 1;
}

static sgc_status init_plane(const sgc_loading *l, sgc_plane *plane, sgc_error *err)
{
    const size_t pixels = chunk_pixels(l), item = largest_item(l);
    plane->canvas.pixels = VSIMalloc2(pixels, item);
    plane->canvas.valid = VSIMalloc(pixels);
    plane->window = VSIMalloc2(pixels, item);
    plane->window_valid = VSIMalloc(pixels);
    return plane->canvas.pixels != NULL && plane->canvas.valid != NULL && plane->window != NULL &&
                   plane->window_valid != NULL
               ? SGC_OK
               : sgc_fail_memory(err, (size_t)plane_size(l), "a chunk");
}

sgc_status sgc_workspace_init(sgc_workspace *w, sgc_loading *l, sgc_error *err)
{
    const size_t n = l->bands_at_once;
    *w = (sgc_workspace){.load = l,
                         .planes = calloc(n, sizeof *w->planes),
                         .open = calloc(n, sizeof *w->open),
                         .bands = calloc(n, sizeof *w->bands),
                         .pixels = calloc(n, sizeof *w->pixels),
                         .valid = calloc(n, sizeof *w->valid)};
    if (w->planes == NULL || w->open == NULL || w->bands == NULL || w->pixels == NULL ||
        w->valid == NULL)
        return sgc_fail_memory(err, n * sizeof *w->planes, "a chunk");
    for (size_t i = 0; i < n; i++)
        SGC_TRY(init_plane(l, &w->planes[i], err));
    return SGC_OK;
}

void sgc_workspace_free(sgc_workspace *w)
{
    for (size_t i = 0; w->planes != NULL && i < w->load->bands_at_once; i++) {
        VSIFree(w->planes[i].canvas.pixels);
        VSIFree(w->planes[i].canvas.valid);
        VSIFree(w->planes[i].window);
        VSIFree(w->planes[i].window_valid);
    }
    free(w->planes);
    free(w->open);
    free(w->bands);
    free(w->pixels);
    free(w->valid);
}

/* ---- patches ---- */

static void add_cost(sgc_loading *l, sgc_patch_cost *cost, const sgc_fetch *fetch, double seconds)
{
    pthread_mutex_lock(&l->mutex);
    cost->fetch.bytes += fetch->bytes;
    if (cost->fetch.etag[0] == '\0')
        memcpy(cost->fetch.etag, fetch->etag, sizeof cost->fetch.etag);
    if (cost->fetch.href[0] == '\0')
        memcpy(cost->fetch.href, fetch->href, sizeof cost->fetch.href);
    cost->seconds += seconds;
    pthread_mutex_unlock(&l->mutex);
}

/* Reads a window of a patch into those of the open planes. */
static sgc_status read_window(sgc_workspace *w, const sgc_patch *patch, sgc_patch_cost *cost,
                              sgc_rect window, sgc_error *err)
{
    sgc_loading *l = w->load;
    for (size_t i = 0; i < w->open_count; i++) {
        w->bands[i] = w->open[i]->band;
        w->pixels[i] = w->open[i]->window;
        w->valid[i] = w->open[i]->window_valid;
    }
    const sgc_cancel cancel = {sgc_loading_stops, l};
    sgc_fetch fetch = {0};
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const sgc_status status =
        l->source->read(l->source, patch, w->bands, w->open_count, sgc_loading_level(l)->factor,
                        window, w->pixels, w->valid, &fetch, &cancel, err);
    add_cost(l, cost, &fetch, sgc_seconds_since(&start));
    return status;
}

/* Applies one patch to those of the planes that it may change. */
static sgc_status apply_patch(sgc_workspace *w, const sgc_patch *patch, sgc_patch_cost *cost,
                              size_t count, sgc_error *err)
{
    sgc_loading *l = w->load;
    const sgc_rect window = sgc_rect_intersect(
        w->planes[0].canvas.rect, sgc_rect_at_level(patch->rect, sgc_loading_level(l)->factor));
    if (sgc_rect_is_empty(window))
        return SGC_OK;
    w->open_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!sgc_canvas_is_full(&w->planes[i].canvas, window))
            w->open[w->open_count++] = &w->planes[i];
    if (w->open_count == 0)
        return SGC_OK;
    const sgc_status status = read_window(w, patch, cost, window, err);
    if (status != SGC_OK && status != SGC_NOT_FOUND)
        return status;
    for (size_t i = 0; i < w->open_count; i++) {
        sgc_plane *plane = w->open[i];
        if (status == SGC_NOT_FOUND)
            plane->absent = true;
        else
            sgc_canvas_apply(&plane->canvas, window, plane->window, plane->window_valid);
    }
    return SGC_OK;
}

/* ---- chunks ---- */

static const sgc_array_metadata *metadata_of(const sgc_loading *l, const sgc_view *view,
                                             size_t band)
{
    return sgc_array_get_metadata(view->channels[l->level][band]);
}

static void begin_plane(const sgc_loading *l, const sgc_view *view, const sgc_task *t, size_t band,
                        sgc_plane *plane)
{
    const sgc_level *level = sgc_loading_level(l);
    sgc_canvas *canvas = &plane->canvas;
    plane->band = band;
    plane->absent = false;
    canvas->rect = sgc_level_chunk_rect(level, t->at.row, t->at.column);
    canvas->stride = level->chunk_width;
    canvas->type = l->cube->definition->bands[band].type;
    canvas->rule = l->cube->definition->composite;
    sgc_array_fill(metadata_of(l, view, band), canvas->pixels, chunk_pixels(l));
    memset(canvas->valid, 0, (size_t)(canvas->rect.width * canvas->rect.height));
}

static sgc_status write_plane(const sgc_loading *l, const sgc_view *view, sgc_task *t,
                              const sgc_plane *plane, sgc_error *err)
{
    const size_t i = plane->band - (size_t)t->at.band;
    const sgc_status status = sgc_array_write_chunk(
        l->cube->repository, metadata_of(l, view, plane->band), plane->canvas.pixels,
        l->encode_threads, &t->inlined[i], &t->refs[i], err);
    if (t->refs[i].kind != SGC_CHUNK_INLINE)
        sgc_buffer_free(&t->inlined[i]);
    return status;
}

/* Composes, encodes and writes `count` bands from `first` on. */
static sgc_status fill_bands(sgc_workspace *w, const sgc_view *view, sgc_task *t, size_t first,
                             size_t count, uint8_t *complete, sgc_error *err)
{
    sgc_loading *l = w->load;
    const sgc_step_patches *patches = sgc_loading_patches(l, (size_t)t->at.step);
    for (size_t i = 0; i < count; i++)
        begin_plane(l, view, t, first + i, &w->planes[i]);
    for (size_t i = 0; i < patches->list.count; i++)
        SGC_TRY(apply_patch(w, &patches->list.patches[i], &patches->costs[i], count, err));
    if (atomic_load(&l->stop))
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    for (size_t i = 0; i < count; i++) {
        if (w->planes[i].absent)
            *complete = SGC_COMPLETE_FOR_NOW;
        SGC_TRY(write_plane(l, view, t, &w->planes[i], err));
    }
    return SGC_OK;
}

sgc_status sgc_fill_chunk(sgc_workspace *w, const sgc_view *view, sgc_task *t, sgc_error *err)
{
    const size_t bands = sgc_loading_unit_bands(w->load), at_once = w->load->bands_at_once;
    t->refs = calloc(bands, sizeof *t->refs);
    t->inlined = calloc(bands, sizeof *t->inlined);
    if (t->refs == NULL || t->inlined == NULL)
        return sgc_fail_memory(err, bands * sizeof *t->refs, "a chunk");
    uint8_t complete = SGC_COMPLETE;
    for (size_t b = 0; b < bands; b += at_once) {
        const size_t count = bands - b < at_once ? bands - b : at_once;
        SGC_TRY(fill_bands(w, view, t, (size_t)t->at.band + b, count, &complete, err));
    }
    t->complete = complete;
    return SGC_OK;
}
