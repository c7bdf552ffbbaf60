#include "gdal_sgc/patches.h"

#include <stdlib.h>
#include <string.h>

#include "datasets/http.h"
#include "gdal_sgc/cube_private.h"
#include "gdal_sgc/patch_log.h"

const char *sgc_patch_state_name(sgc_patch_state state)
{
    static const char *const names[] = {"absent", "partial", "loaded", "empty"};
    return names[state];
}

void sgc_known_patches_clear(sgc_known_patches *list)
{
    free(list->items);
    sgc_arena_free(&list->arena);
    *list = (sgc_known_patches){0};
}

/* What is asked, of one snapshot of a cube. */
typedef struct question {
    sgc_cube *cube;
    sgc_view *view; /* counted; NULL while the cube is not made, like the rest */
    const sgc_loaded_set *loaded;
    sgc_patch_log *log; /* counted */
    size_t level, step;
    bool without_absent;
    sgc_known_patches *out;
} question;

/* ---- the state of a patch ---- */

/* The chunks of the level that the patch meets; empty when it meets none. */
static sgc_rect chunks_of(const question *q, const sgc_patch *patch)
{
    const sgc_level *level = &q->cube->levels[q->level];
    const sgc_rect whole = {0, 0, level->grid.width, level->grid.height};
    const sgc_rect inside = sgc_rect_intersect(
        whole, sgc_rect_at_level(&q->cube->levels[0].grid, patch->rect, level->factor));
    return sgc_rect_is_empty(inside) ? (sgc_rect){0} : sgc_level_chunks(level, inside);
}

/* Whether anything may be noted of a rectangle of chunk positions, of any channel. */
static bool may_be_noted(const question *q, sgc_rect chunks)
{
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(&q->cube->levels[q->level], path);
    const sgc_node *node = sgc_snapshot_find(q->view->snapshot, path);
    if (node == NULL)
        return false;
    for (size_t i = 0; i < node->manifest_count; i++) {
        const sgc_rect noted =
            sgc_view_noted_rect(q->view, q->level, node->manifests[i].extents, q->step);
        if (!sgc_rect_is_empty(sgc_rect_intersect(noted, chunks)))
            return true;
    }
    return false;
}

/* Chunks, each channel counted. */
typedef struct chunk_counts {
    size_t total, complete;
    size_t for_now; /* of the complete ones */
} chunk_counts;

static sgc_status count_chunks(const question *q, sgc_rect chunks, chunk_counts *counts,
                               sgc_error *err)
{
    const size_t bands = q->cube->definition->band_count;
    const size_t total = bands * (size_t)(chunks.width * chunks.height);
    *counts = (chunk_counts){.total = total};
    if (!may_be_noted(q, chunks))
        return SGC_OK;
    uint8_t *flags = malloc(total);
    if (flags == NULL)
        return sgc_fail_memory(err, total, "the state of a patch");
    const sgc_status status =
        sgc_view_read_flags(q->view, q->level, (sgc_slice){0, q->step}, bands, chunks, flags, err);
    for (size_t i = 0; status == SGC_OK && i < total; i++) {
        counts->complete += sgc_flag_is_complete(flags[i]);
        counts->for_now += flags[i] == SGC_COMPLETE_FOR_NOW;
    }
    free(flags);
    return status;
}

/* Whether anything is stored under a patch, whoever has stored it. */
static sgc_status has_any_chunk(const question *q, sgc_rect chunks, bool *stored, sgc_error *err)
{
    *stored = false;
    for (int64_t r = chunks.y; !*stored && r < chunks.y + chunks.height; r++)
        for (int64_t c = chunks.x; !*stored && c < chunks.x + chunks.width; c++) {
            const sgc_position at = {(int32_t)r, (int32_t)c, (int32_t)q->step, 0};
            SGC_TRY(sgc_view_has_chunk(q->view, q->level, at, stored, err));
        }
    return SGC_OK;
}

/* Whether it is known exactly where the patch is: then it is by its chunks. An index tells it
 * roughly, until a commit names the patch. */
static bool is_placed(const question *q, const sgc_patch *patch)
{
    return sgc_cube_source(q->cube, q->level)->finds_alone ||
           sgc_patch_log_find(q->log, patch->id, q->step) != NULL;
}

/* Whether a patch that is only supposed was looked for and not there: no chunk of it is complete
 * but for now, and no commit names it. */
static bool was_absent(const question *q, const sgc_patch *patch, chunk_counts counts)
{
    return q->level == 0 && q->cube->source->finds_alone && counts.for_now == counts.complete &&
           sgc_patch_log_find(q->log, patch->id, q->step) == NULL;
}

/* Patches that have no pixels are completed and not listed as loaded (committer.c). An id may serve
 * several time steps: then the list does not tell which of them is loaded. */
static sgc_status find_state(const question *q, const sgc_patch *patch, sgc_rect chunks,
                             sgc_patch_state *state, sgc_error *err)
{
    bool listed = false;
    chunk_counts counts;
    *state = SGC_PATCH_ABSENT;
    if (q->view == NULL)
        return SGC_OK;
    if (q->level == 0)
        SGC_TRY(sgc_loaded_set_find(q->loaded, patch->id, &listed, err));
    SGC_TRY(count_chunks(q, chunks, &counts, err));
    if (counts.complete == counts.total)
        *state = listed || q->level > 0 ? SGC_PATCH_LOADED : SGC_PATCH_EMPTY;
    else if (listed && q->cube->definition->time.count == 0)
        *state = SGC_PATCH_LOADED;
    else if (counts.complete > 0 && was_absent(q, patch, counts))
        *state = SGC_PATCH_EMPTY;
    else if (counts.complete > 0)
        *state = is_placed(q, patch) ? SGC_PATCH_PARTIAL : SGC_PATCH_ABSENT;
    else if (listed) {
        bool stored;
        SGC_TRY(has_any_chunk(q, chunks, &stored, err));
        *state = stored ? SGC_PATCH_LOADED : SGC_PATCH_ABSENT;
    }
    return SGC_OK;
}

/* ---- the list ---- */

/* Adds a copy. */
static sgc_status add_known(sgc_known_patches *list, const sgc_known_patch *patch, sgc_error *err)
{
    sgc_known_patch *grown =
        sgc_list_grow(list->items, list->count, &list->capacity, sizeof *list->items);
    if (grown == NULL)
        return sgc_fail_memory(err, list->count * sizeof *list->items, "a list of patches");
    list->items = grown;
    sgc_known_patch *copy = &list->items[list->count];
    *copy = *patch;
    SGC_TRY(sgc_arena_keep(&list->arena, patch->id, &copy->id, err));
    SGC_TRY(sgc_arena_keep(&list->arena, patch->href, &copy->href, err));
    SGC_TRY(sgc_arena_keep(&list->arena, patch->etag, &copy->etag, err));
    list->count++;
    return SGC_OK;
}

/* Adds what the commits say about a patch. Those of levels name none. */
static void take_record(const question *q, sgc_known_patch *known)
{
    const sgc_patch_record *record =
        q->log != NULL && q->level == 0 && known->state != SGC_PATCH_ABSENT
            ? sgc_patch_log_find(q->log, known->id, q->step)
            : NULL;
    if (record == NULL)
        return;
    known->has_commit = true;
    known->snapshot = record->snapshot;
    known->time = record->time;
    known->bytes = record->bytes;
    known->etag = record->etag;
    if (record->href != NULL)
        known->href = record->href;
}

static sgc_status add_patch(const question *q, const sgc_patch *patch, size_t band_count,
                            sgc_error *err)
{
    char href[512];
    const char *url = sgc_patch_first_href(patch, band_count);
    const sgc_rect chunks = chunks_of(q, patch);
    if (sgc_rect_is_empty(chunks))
        return SGC_OK;
    if (url != NULL)
        sgc_http_redact(url, href, sizeof href);
    sgc_known_patch known = {
        .id = patch->id,
        .level = q->level,
        .has_step = true,
        .step = q->step,
        .rect = patch->rect,
        .href = url != NULL ? href : NULL,
    };
    SGC_TRY(find_state(q, patch, chunks, &known.state, err));
    if (q->without_absent && known.state == SGC_PATCH_ABSENT)
        return SGC_OK;
    take_record(q, &known);
    return add_known(q->out, &known, err);
}

/* ---- where patches are ---- */

static bool is_of_step(const sgc_patch_record *record, size_t step)
{
    return record->step == SGC_ANY_STEP || (size_t)record->step == step;
}

/* Adds what the commits tell of a rectangle of full-resolution pixels. */
static sgc_status find_in_log(const question *q, sgc_rect rect, sgc_patch_list *list,
                              sgc_error *err)
{
    for (size_t i = 0; q->log != NULL && i < sgc_patch_log_count(q->log); i++) {
        const sgc_patch_record *record = sgc_patch_log_get(q->log, i);
        const sgc_patch patch = {.id = (char *)record->id, .rect = record->rect, .step = q->step};
        if (is_of_step(record, q->step) &&
            !sgc_rect_is_empty(sgc_rect_intersect(record->rect, rect)))
            SGC_TRY(sgc_patch_list_add(list, &patch, err));
    }
    return SGC_OK;
}

/* Adds what an index tells that the commits do not. */
static sgc_status find_in_index(const question *q, sgc_source *source, sgc_rect rect,
                                sgc_patch_list *list, sgc_error *err)
{
    sgc_patch_list known;
    sgc_status status = SGC_OK;
    if (source->find_known == NULL)
        return SGC_OK;
    SGC_TRY(source->find_known(source, rect, q->step, &known, err));
    for (size_t i = 0; status == SGC_OK && i < known.count; i++) {
        const sgc_patch_record *record =
            q->log != NULL ? sgc_patch_log_find(q->log, known.patches[i].id, q->step) : NULL;
        if (record == NULL || sgc_rect_is_empty(record->rect))
            status = sgc_patch_list_add(list, &known.patches[i], err);
    }
    sgc_patch_list_free(&known);
    return status;
}

/* Of another product than that of full resolution, no commit names the patches. */
static sgc_status find_noted_places(const question *q, sgc_source *source, sgc_rect rect,
                                    sgc_patch_list *out, sgc_error *err)
{
    sgc_patch_list list = {.band_count = q->cube->definition->band_count};
    sgc_status status = source == q->cube->source ? find_in_log(q, rect, &list, err) : SGC_OK;
    if (status == SGC_OK)
        status = find_in_index(q, source, rect, &list, err);
    if (status != SGC_OK) {
        sgc_patch_list_free(&list);
        return status;
    }
    sgc_patch_list_sort(&list);
    *out = list;
    return SGC_OK;
}

static sgc_status find_places(const question *q, sgc_rect rect, sgc_patch_list *out, sgc_error *err)
{
    const int64_t f = q->cube->levels[q->level].factor;
    const sgc_rect full = {rect.x * f, rect.y * f, rect.width * f, rect.height * f};
    sgc_source *source = sgc_cube_source(q->cube, q->level);
    if (source->finds_alone)
        return (f > 1 && source->find_level != NULL ? source->find_level : source->find)(
            source, full, q->step, NULL, out, err);
    return find_noted_places(q, source, full, out, err);
}

static sgc_status find_in_rect(const question *q, sgc_rect rect, sgc_error *err)
{
    sgc_patch_list list;
    SGC_TRY(find_places(q, rect, &list, err));
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < list.count; i++)
        status = add_patch(q, &list.patches[i], list.band_count, err);
    sgc_patch_list_free(&list);
    return status;
}

/* ---- all that is in the cube ---- */

/* The positions around those of `block` of which something is noted; empty: of none. */
static sgc_rect find_noted(const uint8_t *flags, size_t bands, sgc_rect block)
{
    const int64_t per_band = block.width * block.height;
    sgc_rect noted = {0};
    for (int64_t i = 0; i < (int64_t)bands * per_band; i++)
        if (flags[i] != 0)
            noted = sgc_rect_unite(noted, (sgc_rect){block.x + i % per_band % block.width,
                                                     block.y + i % per_band / block.width, 1, 1});
    return noted;
}

/* Adds the patches that meet what is noted in a block. */
static sgc_status add_block(const question *q, sgc_rect block, sgc_error *err)
{
    const sgc_level *level = &q->cube->levels[q->level];
    const size_t bands = q->cube->definition->band_count;
    uint8_t *flags = calloc(bands, (size_t)(block.width * block.height));
    if (flags == NULL)
        return sgc_fail_memory(err, bands * (size_t)(block.width * block.height), "patches");
    const sgc_slice first = {0, q->step};
    const sgc_status status =
        sgc_view_read_flags(q->view, q->level, first, bands, block, flags, err);
    const sgc_rect noted = find_noted(flags, bands, block);
    free(flags);
    SGC_TRY(status);
    if (sgc_rect_is_empty(noted))
        return SGC_OK;
    const sgc_rect top_left = sgc_level_chunk_rect(level, noted.y, noted.x);
    const sgc_rect bottom_right =
        sgc_level_chunk_rect(level, noted.y + noted.height - 1, noted.x + noted.width - 1);
    return find_in_rect(q, sgc_rect_unite(top_left, bottom_right), err);
}

/* Adds what is in the cube of the question's level and step. */
static sgc_status add_present(const question *q, sgc_error *err)
{
    const sgc_level *level = &q->cube->levels[q->level];
    const sgc_array *array = q->view->complete[q->level];
    if (array == NULL || q->step >= q->view->steps[q->level])
        return SGC_OK;
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    const int64_t height = (int64_t)m->chunk_shape[m->dimension_count - 2];
    const int64_t width = (int64_t)m->chunk_shape[m->dimension_count - 1];
    const sgc_rect whole = {0, 0, sgc_level_columns(level), sgc_level_rows(level)};
    for (int64_t r = 0; r * height < whole.height; r++) {
        for (int64_t c = 0; c * width < whole.width; c++) {
            const sgc_rect block =
                sgc_rect_intersect(whole, (sgc_rect){c * width, r * height, width, height});
            if (may_be_noted(q, block))
                SGC_TRY(add_block(q, block, err));
        }
    }
    return SGC_OK;
}

/* ---- all that there are ---- */

/* How many strips a cube is searched in, so that no list becomes longer than it must. */
static int64_t strips_of(const sgc_cube *cube)
{
    enum { STRIPS = 64 };
    return cube->source->finds_alone ? STRIPS : 1;
}

/* A strip of the cube at full resolution; may be empty. */
static sgc_rect strip_of(const sgc_cube *cube, int64_t index)
{
    const sgc_grid *grid = &cube->definition->grid;
    const int64_t strips = strips_of(cube), height = (grid->height + strips - 1) / strips;
    return sgc_rect_intersect((sgc_rect){0, 0, grid->width, grid->height},
                              (sgc_rect){0, index * height, grid->width, height});
}

/* Each patch begins in one strip. */
static bool begins_in(sgc_rect strip, const sgc_patch *patch)
{
    const int64_t top = patch->rect.y > 0 ? patch->rect.y : 0;
    return top >= strip.y && top < strip.y + strip.height;
}

/* Goes through the patches of full resolution of a step. Counts, and adds them if `add`; ends when
 * there are more than `most`. */
static sgc_status walk_all(const question *q, size_t most, bool add, size_t *count, sgc_error *err)
{
    sgc_status status = SGC_OK;
    for (int64_t i = 0; status == SGC_OK && i < strips_of(q->cube) && *count <= most; i++) {
        const sgc_rect strip = strip_of(q->cube, i);
        sgc_patch_list list;
        if (sgc_rect_is_empty(strip))
            continue;
        SGC_TRY(find_places(q, strip, &list, err));
        for (size_t k = 0; status == SGC_OK && k < list.count; k++) {
            if (!begins_in(strip, &list.patches[k]))
                continue;
            ++*count;
            if (add)
                status = add_patch(q, &list.patches[k], list.band_count, err);
        }
        sgc_patch_list_free(&list);
    }
    return status;
}

static sgc_status add_all(question *q, size_t first, size_t count, size_t most, sgc_error *err)
{
    size_t found = 0;
    q->level = 0;
    q->without_absent = false;
    for (size_t step = first; step < first + count && found <= most; step++) {
        q->step = step;
        SGC_TRY(walk_all(q, most, false, &found, err));
    }
    q->out->lacks_absent = found > most;
    for (size_t step = first; step < first + count && !q->out->lacks_absent; step++) {
        q->step = step;
        found = 0;
        SGC_TRY(walk_all(q, most, true, &found, err));
    }
    return SGC_OK;
}

/* ---- what nobody knows a place of ---- */

static bool has_id(const sgc_known_patches *list, size_t count, const char *id)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(list->items[middle].id, id);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Adds what is listed as loaded and lies nowhere. The list is sorted. */
static sgc_status add_unplaced(question *q, sgc_error *err)
{
    const size_t placed = q->out->count;
    const bool is_static = q->cube->definition->time.count == 0;
    sgc_buffer id = {0};
    sgc_status status = SGC_OK;
    q->level = q->step = 0;
    for (size_t i = 0; status == SGC_OK && i < sgc_loaded_set_count(q->loaded); i++) {
        id.size = 0;
        status = sgc_loaded_set_id(q->loaded, i, &id, err);
        if (status != SGC_OK || has_id(q->out, placed, (const char *)id.data))
            continue;
        sgc_known_patch known = {
            .id = (const char *)id.data, .has_step = is_static, .state = SGC_PATCH_LOADED};
        take_record(q, &known);
        status = add_known(q->out, &known, err);
    }
    sgc_buffer_free(&id);
    return status;
}

static int compare_patches(const void *a, const void *b)
{
    const sgc_known_patch *l = a, *r = b;
    const int order = strcmp(l->id, r->id);
    if (order != 0)
        return order;
    if (l->level != r->level)
        return l->level < r->level ? -1 : 1;
    return (l->step > r->step) - (l->step < r->step);
}

static void sort(sgc_known_patches *list)
{
    size_t n = 0;
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_patches);
    for (size_t i = 0; i < list->count; i++)
        if (n == 0 || compare_patches(&list->items[n - 1], &list->items[i]) != 0)
            list->items[n++] = list->items[i];
    list->count = n;
}

static sgc_status list_all(question *q, size_t first, size_t count, size_t most, sgc_error *err)
{
    q->without_absent = true;
    for (q->level = 0; q->view != NULL && q->level < q->cube->level_count; q->level++)
        for (q->step = first; q->step < first + count; q->step++)
            SGC_TRY(add_present(q, err));
    SGC_TRY(add_all(q, first, count, most, err));
    sort(q->out);
    if (q->view != NULL && count == sgc_layout_steps(q->cube->definition))
        SGC_TRY(add_unplaced(q, err));
    sort(q->out);
    return SGC_OK;
}

/* ---- asking ---- */

/* Gives the log of the view's snapshot, which the cube keeps. */
static sgc_status find_log(sgc_cube *cube, const sgc_view *view, sgc_patch_log **out,
                           sgc_error *err)
{
    const sgc_object_id *tip = &sgc_snapshot_get(view->snapshot)->id;
    sgc_status status = SGC_OK;
    pthread_mutex_lock(&cube->patch_log_mutex);
    sgc_patch_log *known = cube->patch_log, *log;
    if (known == NULL || sgc_object_id_compare(sgc_patch_log_tip(known), tip) != 0) {
        status =
            sgc_patch_log_new(cube->repository, tip, &cube->definition->time, known, &log, err);
        if (status == SGC_OK) {
            cube->patch_log = log;
            sgc_patch_log_unref(known);
        }
    }
    if (status == SGC_OK)
        *out = sgc_patch_log_ref(cube->patch_log);
    pthread_mutex_unlock(&cube->patch_log_mutex);
    return status;
}

/* Gives the current view of the cube and what belongs to it; to be finished in any case. */
static sgc_status begin(question *q, sgc_error *err)
{
    sgc_cube_view(q->cube, &q->view);
    if (q->view == NULL)
        return SGC_OK;
    SGC_TRY(sgc_view_loaded(q->view, &q->loaded, err));
    return find_log(q->cube, q->view, &q->log, err);
}

/* Ends the question and gives its answer. */
static sgc_status finish(question *q, sgc_status status, sgc_known_patches *out)
{
    sgc_patch_log_unref(q->log);
    sgc_view_unref(q->view);
    if (status == SGC_OK)
        *out = *q->out;
    else
        sgc_known_patches_clear(q->out);
    return status;
}

sgc_status sgc_cube_find_patches(sgc_cube *cube, size_t level, size_t step, sgc_rect rect,
                                 sgc_known_patches *out, sgc_error *err)
{
    sgc_known_patches list = {0};
    question q = {.cube = cube, .level = level, .step = step, .out = &list};
    sgc_status status = begin(&q, err);
    if (status == SGC_OK)
        status = find_in_rect(&q, rect, err);
    return finish(&q, status, out);
}

sgc_status sgc_cube_list_patches(sgc_cube *cube, size_t first, size_t count, size_t most,
                                 sgc_known_patches *out, sgc_error *err)
{
    sgc_known_patches list = {0};
    question q = {.cube = cube, .out = &list};
    sgc_status status = begin(&q, err);
    if (status == SGC_OK)
        status = list_all(&q, first, count, most, err);
    return finish(&q, status, out);
}
