/* Views: what a cube holds at one snapshot. */
#include <gdal.h>
#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/cube_private.h"
#include "store/clock.h"

static bool is_temporal(const sgc_cube *cube)
{
    return cube->definition->time.count > 0;
}

static sgc_status open_level(sgc_view *view, sgc_repository *repository, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    if (sgc_snapshot_find(view->snapshot, path) != NULL)
        SGC_TRY(sgc_array_open(repository, view->snapshot, path, &view->complete[l], err));
    else if (l > 0)
        return SGC_OK;
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

/* Whether an array has those leading dimensions, the cube's time axis if it has one, and rows and
 * columns; *steps, 0 before the first array, must be the same for all. */
static bool has_shape(const sgc_cube *cube, const sgc_array *array, size_t leading,
                      const uint64_t shape[3], size_t *steps)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    const size_t first = leading + is_temporal(cube);
    if (m->dimension_count != first + 2 || (leading > 0 && m->shape[0] != shape[0]) ||
        m->shape[first] != shape[1] || m->shape[first + 1] != shape[2])
        return false;
    const size_t found = is_temporal(cube) ? m->shape[leading] : 1;
    if (*steps == 0)
        *steps = found;
    return found > 0 && found == *steps;
}

static bool has_chunks(const sgc_cube *cube, const sgc_level *level, const sgc_array *array)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    const size_t first = is_temporal(cube);
    return (first == 0 || m->chunk_shape[0] == 1) &&
           m->chunk_shape[first] == (uint64_t)level->chunk_height &&
           m->chunk_shape[first + 1] == (uint64_t)level->chunk_width;
}

/* Of bool there is an older form (datasets guide 1.4). */
static bool has_type(const sgc_band *band, const sgc_array *array)
{
    const sgc_data_type type = sgc_array_get_metadata(array)->type;
    return strcmp(sgc_data_type_name(type), band->data_type) == 0 ||
           (band->is_bool && type == SGC_INT8);
}

static bool has_complete(const sgc_cube *cube, const sgc_level *level, const sgc_array *array,
                         size_t *steps)
{
    const uint64_t shape[] = {cube->definition->band_count, (uint64_t)sgc_level_rows(level),
                              (uint64_t)sgc_level_columns(level)};
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    return has_shape(cube, array, 1, shape, steps) && m->type == SGC_UINT8 &&
           m->chunk_shape[0] == 1 && (!is_temporal(cube) || m->chunk_shape[1] == 1);
}

/* A cube must be what its definition says before any of its sizes is relied on. */
static sgc_status check_level(sgc_view *view, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    if (view->channels[l] == NULL)
        return SGC_OK;
    const uint64_t pixels[] = {0, (uint64_t)level->grid.height, (uint64_t)level->grid.width};
    bool good =
        view->complete[l] == NULL || has_complete(cube, level, view->complete[l], &view->steps[l]);
    for (size_t b = 0; b < cube->definition->band_count; b++) {
        const sgc_array *array = view->channels[l][b];
        good = good && has_shape(cube, array, 0, pixels, &view->steps[l]) &&
               has_chunks(cube, level, array) && has_type(&cube->definition->bands[b], array);
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
    sgc_loaded_set_free(atomic_load(&view->loaded));
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

sgc_status sgc_cube_read(const sgc_cube *cube, const sgc_view *view, size_t level, sgc_slice slice,
                         sgc_rect rect, void *buffer, unsigned num_threads, sgc_error *err)
{
    const uint64_t start[] = {slice.step, (uint64_t)rect.y, (uint64_t)rect.x};
    const uint64_t count[] = {1, (uint64_t)rect.height, (uint64_t)rect.width};
    const size_t first = is_temporal(cube) ? 0 : 1;
    if (view != NULL && view->channels[level] != NULL && slice.step < view->steps[level])
        return sgc_array_read(view->channels[level][slice.band], start + first, count + first,
                              buffer, num_threads, err);
    sgc_band_fill_nodata(&cube->definition->bands[slice.band], buffer,
                         (size_t)rect.width * (size_t)rect.height);
    return SGC_OK;
}

/* ---- chunks ---- */

sgc_coordinates sgc_cube_coordinates(const sgc_cube *cube, sgc_position at)
{
    sgc_coordinates c = {.count = 0};
    if (is_temporal(cube))
        c.values[c.count++] = (uint32_t)at.step;
    c.values[c.count++] = (uint32_t)at.row;
    c.values[c.count++] = (uint32_t)at.column;
    return c;
}

sgc_status sgc_view_find_chunk(const sgc_view *view, size_t level, size_t band, sgc_position at,
                               sgc_chunk_ref *ref, sgc_manifest **keep, sgc_error *err)
{
    char path[SGC_PATH_SIZE];
    *ref = (sgc_chunk_ref){.kind = SGC_CHUNK_NONE};
    *keep = NULL;
    if (view == NULL || view->channels[level] == NULL || (size_t)at.step >= view->steps[level])
        return SGC_OK;
    const sgc_coordinates c = sgc_cube_coordinates(view->cube, at);
    sgc_layout_channel_path(view->cube->definition, &view->cube->levels[level], band, path);
    return sgc_repository_find_chunk(view->cube->repository, sgc_snapshot_get(view->snapshot),
                                     sgc_snapshot_find(view->snapshot, path), c.values, ref, keep,
                                     err);
}

sgc_rect sgc_cube_manifest_rect(const sgc_cube *cube, const sgc_extent *extents, size_t step)
{
    if (is_temporal(cube)) {
        if (step < extents->from || step >= extents->to)
            return (sgc_rect){0};
        extents++;
    }
    return (sgc_rect){extents[1].from, extents[0].from, extents[1].to - extents[1].from,
                      extents[0].to - extents[0].from};
}

sgc_rect sgc_view_noted_rect(const sgc_view *view, size_t level, const sgc_extent *extents,
                             size_t step)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(view->complete[level]);
    const sgc_rect rect = sgc_cube_manifest_rect(view->cube, extents + 1, step);
    /* No level has more chunks; 32 bits each do not overflow. */
    const uint64_t *shape = &m->chunk_shape[m->dimension_count - 2];
    const int64_t height = (int64_t)(shape[0] < INT32_MAX ? shape[0] : INT32_MAX);
    const int64_t width = (int64_t)(shape[1] < INT32_MAX ? shape[1] : INT32_MAX);
    return (sgc_rect){rect.x * width, rect.y * height, rect.width * width, rect.height * height};
}

sgc_status sgc_view_has_chunk(const sgc_view *view, size_t level, sgc_position at, bool *stored,
                              sgc_error *err)
{
    *stored = false;
    for (size_t i = 0; view != NULL && !*stored && i < sgc_cube_unit_bands(view->cube); i++) {
        sgc_chunk_ref ref;
        sgc_manifest *keep;
        SGC_TRY(sgc_view_find_chunk(view, level, (size_t)at.band + i, at, &ref, &keep, err));
        *stored = ref.kind != SGC_CHUNK_NONE;
        sgc_manifest_unref(keep);
    }
    return SGC_OK;
}

/* ---- what is complete ---- */

sgc_status sgc_view_loaded(const sgc_view *view, const sgc_loaded_set **out, sgc_error *err)
{
    _Atomic(sgc_loaded_set *) *place = (_Atomic(sgc_loaded_set *) *)&view->loaded;
    sgc_loaded_set *set = atomic_load(place), *made;
    if (set == NULL) {
        SGC_TRY(sgc_loaded_set_new(sgc_snapshot_find(view->snapshot, "/"), &made, err));
        if (atomic_compare_exchange_strong(place, &set, made))
            set = made;
        else
            sgc_loaded_set_free(made); /* another thread was first */
    }
    *out = set;
    return SGC_OK;
}

sgc_status sgc_view_is_listed(const sgc_view *view, sgc_position at, bool *listed, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_loaded_set *set;
    sgc_patch_list patches;
    SGC_TRY(sgc_view_loaded(view, &set, err));
    const bool is_ours = view->complete[0] != NULL;
    *listed = false;
    if (is_ours && sgc_loaded_set_is_empty(set))
        return SGC_OK;
    const sgc_rect rect = sgc_level_chunk_rect(&cube->levels[0], at.row, at.column);
    SGC_TRY(cube->source->find(cube->source, rect, (size_t)at.step, NULL, &patches, err));
    *listed = patches.count > 0 || !is_ours;
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && *listed && i < patches.count; i++)
        status = sgc_loaded_set_find(set, patches.patches[i].id, listed, err);
    sgc_patch_list_free(&patches);
    return status;
}

bool sgc_cube_step_runs(const sgc_cube *cube, size_t step)
{
    const sgc_time_axis *axis = &cube->definition->time;
    return step < axis->count && !axis->is_instant &&
           axis->ends[step] > (int64_t)(sgc_clock_now() / 1000000);
}

size_t sgc_cube_unit_bands(const sgc_cube *cube)
{
    return cube->definition->fill_channels ? 1 : cube->definition->band_count;
}

sgc_status sgc_view_read_flags(const sgc_view *view, size_t level, sgc_slice slice, size_t bands,
                               sgc_rect chunks, uint8_t *flags, sgc_error *err)
{
    if (view == NULL || view->complete[level] == NULL || slice.step >= view->steps[level]) {
        memset(flags, 0, bands * (size_t)(chunks.width * chunks.height));
        return SGC_OK;
    }
    uint64_t start[4] = {slice.band}, count[4] = {bands};
    size_t d = 1;
    if (is_temporal(view->cube)) {
        start[d] = slice.step;
        count[d++] = 1;
    }
    start[d] = (uint64_t)chunks.y;
    count[d++] = (uint64_t)chunks.height;
    start[d] = (uint64_t)chunks.x;
    count[d] = (uint64_t)chunks.width;
    return sgc_array_read(view->complete[level], start, count, flags, 1, err);
}

static int compare_slices(const void *a, const void *b)
{
    const sgc_slice *l = a, *r = b;
    if (l->step != r->step)
        return l->step < r->step ? -1 : 1;
    return (l->band > r->band) - (l->band < r->band);
}

/* Gives (free with free()) what is loaded together for the window's slices: each once, by its first
 * band. */
static sgc_status list_units(const sgc_cube *cube, const sgc_window *window, sgc_slice **out,
                             size_t *count, sgc_error *err)
{
    sgc_slice *units = malloc((window->slice_count + 1) * sizeof *units);
    if (units == NULL)
        return sgc_fail_memory(err, window->slice_count * sizeof *units, "a list of chunks");
    for (size_t i = 0; i < window->slice_count; i++) {
        units[i] = window->slices[i];
        units[i].band -= units[i].band % sgc_cube_unit_bands(cube);
    }
    qsort(units, window->slice_count, sizeof *units, compare_slices);
    size_t n = 0;
    for (size_t i = 0; i < window->slice_count; i++)
        if (n == 0 || compare_slices(&units[n - 1], &units[i]) != 0)
            units[n++] = units[i];
    *out = units;
    *count = n;
    return SGC_OK;
}

typedef struct position_list {
    sgc_position *items;
    size_t count, capacity;
} position_list;

static sgc_status add_position(position_list *list, sgc_position at, sgc_error *err)
{
    sgc_position *grown =
        sgc_list_grow(list->items, list->count, &list->capacity, sizeof *list->items);
    if (grown == NULL)
        return sgc_fail_memory(err, list->count * sizeof *list->items, "a list of chunks");
    list->items = grown;
    list->items[list->count++] = at;
    return SGC_OK;
}

/* As sgc_view_is_listed(), but where we note what is complete, and nothing is stored, quickly: that
 * is how nearly all positions are that nobody has loaded. */
static sgc_status is_stored_and_listed(const sgc_view *view, sgc_position at, bool *listed,
                                       sgc_error *err)
{
    *listed = view->complete[0] == NULL;
    if (!*listed)
        SGC_TRY(sgc_view_has_chunk(view, 0, at, listed, err));
    return *listed ? sgc_view_is_listed(view, at, listed, err) : SGC_OK;
}

/* Adds the positions of a unit that lack a flag; `flags` is scratch: unit's band x row x column. */
static sgc_status add_incomplete(const sgc_cube *cube, const sgc_view *view, size_t level,
                                 sgc_slice unit, sgc_rect chunks, uint8_t *flags,
                                 position_list *list, sgc_error *err)
{
    const size_t bands = sgc_cube_unit_bands(cube);
    const size_t per_band = (size_t)(chunks.width * chunks.height);
    const bool runs = sgc_cube_step_runs(cube, unit.step);
    const bool may_be_listed = level == 0 && view != NULL && cube->source->finds_alone;
    SGC_TRY(sgc_view_read_flags(view, level, unit, bands, chunks, flags, err));
    for (size_t i = 0; i < per_band; i++) {
        bool complete = true, is_ours = false;
        for (size_t b = 0; b < bands; b++) {
            const uint8_t flag = flags[b * per_band + i];
            complete =
                complete && sgc_flag_is_complete(flag) && (runs || flag != SGC_COMPLETE_UNTIL_END);
            is_ours = is_ours || flag != 0;
        }
        const sgc_position at = {(int32_t)(chunks.y + (int64_t)i / chunks.width),
                                 (int32_t)(chunks.x + (int64_t)i % chunks.width),
                                 (int32_t)unit.step, (int32_t)unit.band};
        if (!complete && !is_ours && may_be_listed)
            SGC_TRY(is_stored_and_listed(view, at, &complete, err));
        if (!complete)
            SGC_TRY(add_position(list, at, err));
    }
    return SGC_OK;
}

sgc_status sgc_view_incomplete(const sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                               sgc_position **positions, size_t *count, sgc_error *err)
{
    const sgc_rect chunks = sgc_level_chunks(&cube->levels[window->level], window->rect);
    const size_t bands = sgc_cube_unit_bands(cube);
    const size_t per_band = (size_t)(chunks.width * chunks.height);
    position_list list = {0};
    sgc_slice *units = NULL;
    size_t unit_count = 0;
    uint8_t *flags = calloc(bands, per_band);
    sgc_status status = flags != NULL ? list_units(cube, window, &units, &unit_count, err)
                                      : sgc_fail_memory(err, bands * per_band, "a list of chunks");
    for (size_t i = 0; status == SGC_OK && i < unit_count; i++)
        status = add_incomplete(cube, view, window->level, units[i], chunks, flags, &list, err);
    free(flags);
    free(units);
    if (status != SGC_OK) {
        free(list.items);
        return status;
    }
    *positions = list.items;
    *count = list.count;
    return SGC_OK;
}

sgc_status sgc_view_lacks(const sgc_cube *cube, const sgc_view *view, size_t level, sgc_position at,
                          bool *missing, sgc_error *err)
{
    const sgc_slice slice = {(size_t)at.band, (size_t)at.step};
    const sgc_window window = {level, sgc_level_chunk_rect(&cube->levels[level], at.row, at.column),
                               &slice, 1};
    sgc_position *positions;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, &window, &positions, &count, err));
    free(positions);
    *missing = count > 0;
    return SGC_OK;
}

/* ---- which steps there are ---- */

size_t sgc_cube_steps(sgc_cube *cube)
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    const size_t known = sgc_layout_steps(cube->definition);
    const size_t steps = view != NULL ? view->steps[0] : known;
    sgc_view_unref(view);
    return steps < known ? steps : known; /* somebody with a newer definition may have appended */
}

static void mark_steps(const sgc_snapshot *snapshot, const char *path, size_t dimension,
                       size_t steps, bool *has_data)
{
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    for (size_t m = 0; node != NULL && m < node->manifest_count; m++) {
        const sgc_extent *extent = &node->manifests[m].extents[dimension];
        for (size_t step = extent->from; step < extent->to && step < steps; step++)
            has_data[step] = true;
    }
}

void sgc_cube_find_steps_with_data(sgc_cube *cube, bool *has_data)
{
    sgc_view *view;
    char path[SGC_PATH_SIZE];
    const size_t steps = sgc_layout_steps(cube->definition);
    memset(has_data, 0, steps * sizeof *has_data);
    sgc_cube_view(cube, &view);
    for (size_t l = 0; view != NULL && l < cube->level_count; l++) {
        for (size_t b = 0; view->channels[l] != NULL && b < cube->definition->band_count; b++) {
            sgc_layout_channel_path(cube->definition, &cube->levels[l], b, path);
            mark_steps(view->snapshot, path, 0, steps, has_data);
        }
    }
    sgc_view_unref(view);
}
