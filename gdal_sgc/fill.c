/* Filling chunks: the windows of all patches that meet them, composed, encoded and written. */
#include <cpl_vsi.h>
#include <math.h>
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
    const double planes = (double)sgc_load_memory() / plane_size(l);
    const size_t bands = l->source->reads_together ? sgc_loading_unit_bands(l) : 1;
    l->bands_at_once = planes >= (double)bands ? bands : planes >= 1 ? (size_t)planes : 1;
    l->worker_bytes = plane_size(l) * (double)l->bands_at_once;
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

static void add_cost(sgc_loading *l, sgc_patch_cost *cost, const sgc_fetch *fetch, double seconds,
                     sgc_status status)
{
    pthread_mutex_lock(&l->mutex);
    cost->was_present = cost->was_present || status == SGC_OK;
    cost->was_absent = cost->was_absent || status == SGC_NOT_FOUND;
    cost->fetch.bytes += fetch->bytes;
    cost->all_bytes += fetch->bytes;
    cost->all_seconds += seconds;
    l->bytes += fetch->bytes;
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
    const sgc_cancel cancel = {.requested = sgc_loading_stops,
                               .user = l,
                               .deadline_ms = l->policy->deadline_ms,
                               .keeps = l->policy->deadline_ms > 0};
    sgc_fetch fetch = {0};
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const sgc_status status =
        l->source->read(l->source, patch, w->bands, w->open_count, sgc_loading_level(l)->factor,
                        window, w->pixels, w->valid, &fetch, &cancel, err);
    add_cost(l, cost, &fetch, sgc_seconds_since(&start), status);
    return status;
}

/* Applies one patch to those of the planes that it may change. */
static sgc_status apply_patch(sgc_workspace *w, const sgc_patch *patch, sgc_patch_cost *cost,
                              size_t count, sgc_error *err)
{
    sgc_loading *l = w->load;
    const sgc_rect window = sgc_rect_intersect(
        w->planes[0].canvas.rect,
        sgc_rect_at_level(&l->cube->definition->grid, patch->rect, sgc_loading_level(l)->factor));
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
        plane->changed = plane->changed || status == SGC_OK;
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

/* Whether an item of an array is a value: not what stands for nothing. */
static bool is_value(const sgc_array_metadata *m, GDALDataType type, const unsigned char *item,
                     size_t size)
{
    double value;
    if (memcmp(item, m->fill_value, size) == 0)
        return false;
    if (type != GDT_Float32 && type != GDT_Float64)
        return true;
    GDALCopyWords(item, type, 0, &value, GDT_Float64, 0, 1);
    return !isnan(value);
}

/* Fixes the pixels that somebody has stored. */
static void fix_stored(const sgc_array_metadata *m, sgc_canvas *canvas)
{
    const size_t size = (size_t)GDALGetDataTypeSizeBytes(canvas->type);
    for (int64_t row = 0; row < canvas->rect.height; row++) {
        const unsigned char *item = canvas->pixels + (size_t)(row * canvas->stride) * size;
        uint8_t *valid = canvas->valid + row * canvas->rect.width;
        for (int64_t i = 0; i < canvas->rect.width; i++, item += size)
            valid[i] = is_value(m, canvas->type, item, size) ? SGC_PIXEL_FIXED : 0;
    }
}

/* Begins with the pixels that somebody has stored who does not note what is complete: they come
 * first (architecture 6.3). */
static sgc_status begin_with_stored(const sgc_loading *l, const sgc_task *t, sgc_plane *plane,
                                    sgc_error *err)
{
    const sgc_rect chunk = {t->at.column, t->at.row, 1, 1};
    uint8_t flag;
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    SGC_TRY(sgc_view_read_flags(t->view, l->level, (sgc_slice){plane->band, (size_t)t->at.step}, 1,
                                chunk, &flag, err));
    if (flag != 0)
        return SGC_OK;
    SGC_TRY(sgc_view_find_chunk(t->view, l->level, plane->band, t->at, &ref, &keep, err));
    plane->has_listed = l->cube->definition->time.count == 0 || ref.kind != SGC_CHUNK_NONE;
    sgc_status status = SGC_OK;
    if (ref.kind != SGC_CHUNK_NONE) {
        const sgc_array_metadata *m = metadata_of(l, t->view, plane->band);
        status = sgc_array_read_chunk(l->cube->repository, m, &ref, plane->canvas.pixels, err);
        if (status == SGC_OK)
            fix_stored(m, &plane->canvas);
    }
    sgc_manifest_unref(keep);
    return status;
}

static sgc_status begin_plane(const sgc_loading *l, const sgc_task *t, size_t band,
                              sgc_plane *plane, sgc_error *err)
{
    const sgc_level *level = sgc_loading_level(l);
    sgc_canvas *canvas = &plane->canvas;
    plane->band = band;
    plane->absent = plane->changed = plane->has_listed = false;
    canvas->rect = sgc_level_chunk_rect(level, t->at.row, t->at.column);
    canvas->stride = level->chunk_width;
    canvas->type = l->cube->definition->bands[band].type;
    canvas->rule = l->cube->definition->composite;
    sgc_array_fill(metadata_of(l, t->view, band), canvas->pixels, chunk_pixels(l));
    memset(canvas->valid, 0, (size_t)(canvas->rect.width * canvas->rect.height));
    return begin_with_stored(l, t, plane, err);
}

static sgc_status write_plane(const sgc_loading *l, sgc_task *t, const sgc_plane *plane,
                              sgc_error *err)
{
    const size_t i = plane->band - (size_t)t->at.band;
    t->kept[i] = !plane->changed;
    if (t->kept[i])
        return SGC_OK;
    const sgc_status status = sgc_array_write_chunk(
        l->cube->repository, metadata_of(l, t->view, plane->band), plane->canvas.pixels,
        l->encode_threads, &t->inlined[i], &t->refs[i], err);
    if (t->refs[i].kind != SGC_CHUNK_INLINE)
        sgc_buffer_free(&t->inlined[i]);
    return status;
}

/* Whether somebody has applied the patch to all chunks it meets. */
static sgc_status is_loaded(const sgc_loading *l, const sgc_view *view, const sgc_patch *patch,
                            bool *loaded, sgc_error *err)
{
    const sgc_loaded_set *set;
    *loaded = false;
    if (l->level > 0)
        return SGC_OK;
    SGC_TRY(sgc_view_loaded(view, &set, err));
    return sgc_loaded_set_find(set, patch->id, loaded, err);
}

static sgc_status apply_patches(sgc_workspace *w, const sgc_task *t, size_t count, sgc_error *err)
{
    const sgc_step_patches *patches = sgc_loading_patches(w->load, (size_t)t->at.step);
    size_t listed_count = 0;
    for (size_t i = 0; i < count; i++)
        listed_count += w->planes[i].has_listed;
    for (size_t i = 0; i < patches->list.count; i++) {
        const sgc_patch *patch = &patches->list.patches[i];
        bool loaded = false;
        if (listed_count == count)
            SGC_TRY(is_loaded(w->load, t->view, patch, &loaded, err));
        if (!loaded)
            SGC_TRY(apply_patch(w, patch, &patches->costs[i], count, err));
    }
    return SGC_OK;
}

/* Composes, encodes and writes `count` bands from `first` on. */
static sgc_status fill_bands(sgc_workspace *w, sgc_task *t, size_t first, size_t count,
                             uint8_t *complete, sgc_error *err)
{
    const sgc_loading *l = w->load;
    for (size_t i = 0; i < count; i++)
        SGC_TRY(begin_plane(l, t, first + i, &w->planes[i], err));
    SGC_TRY(apply_patches(w, t, count, err));
    if (atomic_load(&l->stop))
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    for (size_t i = 0; i < count; i++) {
        if (w->planes[i].absent && *complete == SGC_COMPLETE)
            *complete = SGC_COMPLETE_FOR_NOW;
        SGC_TRY(write_plane(l, t, &w->planes[i], err));
    }
    return SGC_OK;
}

sgc_status sgc_fill_chunk(sgc_workspace *w, sgc_task *t, sgc_error *err)
{
    const size_t bands = sgc_loading_unit_bands(w->load), at_once = w->load->bands_at_once;
    t->refs = calloc(bands, sizeof *t->refs);
    t->inlined = calloc(bands, sizeof *t->inlined);
    t->kept = calloc(bands, sizeof *t->kept);
    if (t->refs == NULL || t->inlined == NULL || t->kept == NULL)
        return sgc_fail_memory(err, bands * sizeof *t->refs, "a chunk");
    uint8_t complete = sgc_cube_step_runs(w->load->cube, (size_t)t->at.step)
                           ? SGC_COMPLETE_UNTIL_END
                           : SGC_COMPLETE;
    for (size_t b = 0; b < bands; b += at_once) {
        const size_t count = bands - b < at_once ? bands - b : at_once;
        SGC_TRY(fill_bands(w, t, (size_t)t->at.band + b, count, &complete, err));
    }
    t->complete = complete;
    return SGC_OK;
}

/* ---- merging ---- */

sgc_status sgc_merge_chunks(const sgc_loading *l, const sgc_view *view, size_t band,
                            const sgc_chunk_ref *theirs, const sgc_chunk_ref *ours,
                            sgc_buffer *encoded, sgc_chunk_ref *out, sgc_error *err)
{
    const sgc_array_metadata *m = metadata_of(l, view, band);
    const GDALDataType type = l->cube->definition->bands[band].type;
    const size_t size = sgc_data_type_size(m->type);
    unsigned char *merged = VSIMalloc(m->chunk_bytes), *over = VSIMalloc(m->chunk_bytes);
    sgc_status status = merged != NULL && over != NULL
                            ? sgc_array_read_chunk(l->cube->repository, m, ours, merged, err)
                            : sgc_fail_memory(err, m->chunk_bytes, "a chunk");
    if (status == SGC_OK)
        status = sgc_array_read_chunk(l->cube->repository, m, theirs, over, err);
    for (size_t at = 0; status == SGC_OK && at < m->chunk_bytes; at += size)
        if (is_value(m, type, over + at, size))
            memcpy(merged + at, over + at, size);
    if (status == SGC_OK)
        status = sgc_array_write_chunk(l->cube->repository, m, merged, 1, encoded, out, err);
    VSIFree(merged);
    VSIFree(over);
    return status;
}
