/* Finished chunks -> one commit, with the bookkeeping that belongs to them. */
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/http.h"
#include "gdal_sgc/load.h"
#include "gdal_sgc/root_attributes.h"
#include "store/clock.h"

/* The chunk positions that a patch meets at full resolution; empty outside the cube. */
static sgc_rect patch_chunks(const sgc_loading *l, const sgc_patch *patch)
{
    const sgc_level *level = sgc_loading_level(l);
    const sgc_rect whole = {0, 0, level->grid.width, level->grid.height};
    const sgc_rect inside = sgc_rect_intersect(whole, patch->rect);
    return sgc_rect_is_empty(inside) ? (sgc_rect){0} : sgc_level_chunks(level, inside);
}

/* What `complete` will say for a rectangle of positions at a time step. */
typedef struct step_batch {
    const sgc_step_patches *patches;
    sgc_rect changed; /* chunk positions around the batch's tasks; empty when it has none */
    sgc_rect chunks;  /* around them and all chunks of the patches that meet the batch */
    uint8_t *flags;   /* band x row x column of `chunks` */
} step_batch;

/* A batch on its way into a commit. */
typedef struct batch {
    sgc_loading *load;
    sgc_session *session;
    sgc_view *base;    /* of the session's snapshot */
    step_batch *steps; /* one per step of the load */
    size_t count;      /* tasks that this commit completes */
    sgc_buffer loaded; /* ids, quoted, comma-separated */
    sgc_buffer metadata;
    size_t patch_count;
} batch;

static uint8_t *flag_at(const step_batch *s, size_t band, int64_t row, int64_t column)
{
    const int64_t per_band = s->chunks.width * s->chunks.height;
    return s->flags + (int64_t)band * per_band + (row - s->chunks.y) * s->chunks.width +
           (column - s->chunks.x);
}

static bool patch_meets(sgc_rect chunks, const sgc_task *t)
{
    return t->at.column >= chunks.x && t->at.column < chunks.x + chunks.width &&
           t->at.row >= chunks.y && t->at.row < chunks.y + chunks.height;
}

static bool patch_meets_batch(const sgc_loading *l, size_t step, sgc_rect chunks)
{
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch && (size_t)l->tasks[i].at.step == step &&
            patch_meets(chunks, &l->tasks[i]))
            return true;
    return false;
}

static step_batch *step_of(const batch *b, const sgc_task *t)
{
    return &b->steps[sgc_loading_patches(b->load, (size_t)t->at.step) - b->load->steps];
}

static void find_extents(batch *b)
{
    const sgc_loading *l = b->load;
    for (size_t i = 0; i < l->step_count; i++)
        b->steps[i].patches = &l->steps[i];
    for (size_t i = 0; i < l->task_count; i++) {
        const sgc_position *at = &l->tasks[i].at;
        step_batch *s = step_of(b, &l->tasks[i]);
        if (l->tasks[i].in_batch)
            s->changed = sgc_rect_unite(s->changed, (sgc_rect){at->column, at->row, 1, 1});
    }
    for (size_t i = 0; i < l->step_count; i++) {
        step_batch *s = &b->steps[i];
        s->chunks = s->changed;
        for (size_t k = 0; l->level == 0 && k < s->patches->list.count; k++) {
            const sgc_rect chunks = patch_chunks(l, &s->patches->list.patches[k]);
            if (patch_meets_batch(l, s->patches->step, chunks))
                s->chunks = sgc_rect_unite(s->chunks, chunks);
        }
    }
}

/* Reads what is complete at the session's base around the batch. */
static sgc_status read_flags(batch *b, sgc_error *err)
{
    const size_t bands = sgc_loading_bands(b->load);
    b->steps = calloc(b->load->step_count, sizeof *b->steps);
    if (b->steps == NULL)
        return sgc_fail_memory(err, b->load->step_count * sizeof *b->steps, "a commit");
    find_extents(b);
    for (size_t i = 0; i < b->load->step_count; i++) {
        step_batch *s = &b->steps[i];
        if (sgc_rect_is_empty(s->changed))
            continue;
        s->flags = calloc(bands, (size_t)(s->chunks.width * s->chunks.height));
        if (s->flags == NULL)
            return sgc_fail_memory(err, bands, "a commit");
        const sgc_slice first = {0, s->patches->step};
        SGC_TRY(
            sgc_view_read_flags(b->base, b->load->level, first, bands, s->chunks, s->flags, err));
    }
    return SGC_OK;
}

static bool same_chunk(const sgc_chunk_ref *a, const sgc_chunk_ref *b)
{
    if (a->kind != b->kind || a->length != b->length || a->offset != b->offset)
        return false;
    return a->kind == SGC_CHUNK_INLINE ? memcmp(a->inline_data, b->inline_data, a->length) == 0
                                       : sgc_object_id_compare(&a->id, &b->id) == 0;
}

/* Finds what somebody has stored of a band since the task was filled; SGC_CHUNK_NONE: nothing. */
static sgc_status find_theirs(const batch *b, const sgc_task *t, size_t band, sgc_chunk_ref *theirs,
                              sgc_manifest **keep, sgc_error *err)
{
    const size_t level = b->load->level;
    sgc_chunk_ref before;
    sgc_manifest *keep_before;
    SGC_TRY(sgc_view_find_chunk(b->base, level, band, t->at, theirs, keep, err));
    if (theirs->kind == SGC_CHUNK_NONE)
        return SGC_OK;
    const sgc_status status =
        sgc_view_find_chunk(t->view, level, band, t->at, &before, &keep_before, err);
    if (status != SGC_OK) {
        sgc_manifest_unref(*keep);
        return status;
    }
    if (same_chunk(theirs, &before))
        theirs->kind = SGC_CHUNK_NONE;
    sgc_manifest_unref(keep_before);
    return SGC_OK;
}

/* Puts a finished chunk; what somebody has stored meanwhile goes over it. */
static sgc_status put_chunk(batch *b, const sgc_task *t, size_t band, sgc_error *err)
{
    const sgc_loading *l = b->load;
    const size_t i = band - (size_t)t->at.band;
    const sgc_coordinates at = sgc_cube_coordinates(l->cube, t->at);
    char path[SGC_PATH_SIZE];
    sgc_chunk_ref theirs, merged;
    sgc_manifest *keep;
    sgc_buffer encoded = {0};
    if (t->kept[i])
        return SGC_OK;
    sgc_layout_channel_path(l->cube->definition, sgc_loading_level(l), band, path);
    SGC_TRY(find_theirs(b, t, band, &theirs, &keep, err));
    const bool merge = theirs.kind != SGC_CHUNK_NONE;
    sgc_status status =
        merge ? sgc_merge_chunks(l, b->base, band, &theirs, &t->refs[i], &encoded, &merged, err)
              : SGC_OK;
    if (status == SGC_OK)
        status =
            sgc_session_set_chunk(b->session, path, at.values, merge ? &merged : &t->refs[i], err);
    sgc_buffer_free(&encoded);
    sgc_manifest_unref(keep);
    return status;
}

/* Puts the finished chunks of a task, unless somebody else has completed them first. */
static sgc_status put_task(batch *b, const sgc_task *t, sgc_error *err)
{
    const step_batch *s = step_of(b, t);
    bool put = false;
    for (size_t i = 0; i < sgc_loading_unit_bands(b->load); i++) {
        const size_t band = (size_t)t->at.band + i;
        uint8_t *flag = flag_at(s, band, t->at.row, t->at.column);
        if (*flag == SGC_COMPLETE)
            continue;
        SGC_TRY(put_chunk(b, t, band, err));
        *flag = t->complete;
        put = true;
    }
    b->count += put;
    return SGC_OK;
}

/* Writes one chunk of the array of what is complete, whose first row and column are those of
 * `block`, with the batch's flags in it. */
static sgc_status put_flags_chunk(batch *b, const step_batch *s, size_t band, sgc_rect block,
                                  sgc_error *err)
{
    const size_t l = b->load->level, step = s->patches->step;
    const sgc_array_metadata *m = sgc_array_get_metadata(b->base->complete[l]);
    const sgc_level *level = sgc_loading_level(b->load);
    const sgc_rect whole = {0, 0, sgc_level_columns(level), sgc_level_rows(level)};
    const sgc_rect inside = sgc_rect_intersect(whole, block);
    uint8_t *chunk = calloc(1, m->chunk_bytes);
    uint8_t *flags = calloc((size_t)inside.width, (size_t)inside.height);
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    sgc_status status =
        chunk != NULL && flags != NULL
            ? sgc_view_read_flags(b->base, l, (sgc_slice){band, step}, 1, inside, flags, err)
            : sgc_fail_memory(err, m->chunk_bytes, "a commit");
    for (int64_t r = 0; status == SGC_OK && r < inside.height; r++)
        memcpy(chunk + r * block.width, flags + r * inside.width, (size_t)inside.width);
    const sgc_rect common = sgc_rect_intersect(s->changed, inside);
    for (int64_t r = common.y; status == SGC_OK && r < common.y + common.height; r++)
        memcpy(chunk + (r - block.y) * block.width + (common.x - block.x),
               flag_at(s, band, r, common.x), (size_t)common.width);
    if (status == SGC_OK)
        status = sgc_array_write_chunk(b->load->cube->repository, m, chunk, 1, &encoded, &ref, err);
    if (status == SGC_OK) {
        char path[SGC_PATH_SIZE];
        const sgc_position at = {.row = (int32_t)(block.y / block.height),
                                 .column = (int32_t)(block.x / block.width),
                                 .step = (int32_t)step};
        const sgc_coordinates inner = sgc_cube_coordinates(b->load->cube, at);
        uint32_t coordinates[4] = {(uint32_t)band};
        memcpy(coordinates + 1, inner.values, inner.count * sizeof *coordinates);
        sgc_layout_complete_path(level, path);
        status = sgc_session_set_chunk(b->session, path, coordinates, &ref, err);
    }
    sgc_buffer_free(&encoded);
    free(chunk);
    free(flags);
    return status;
}

static bool batch_has_band(const sgc_loading *l, size_t step, size_t band)
{
    for (size_t i = 0; i < l->task_count; i++) {
        const sgc_position *at = &l->tasks[i].at;
        if (l->tasks[i].in_batch && (size_t)at->step == step && band >= (size_t)at->band &&
            band < (size_t)at->band + sgc_loading_unit_bands(l))
            return true;
    }
    return false;
}

static sgc_status put_flags(batch *b, const step_batch *s, size_t band, sgc_error *err)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(b->base->complete[b->load->level]);
    const int64_t height = (int64_t)m->chunk_shape[m->dimension_count - 2];
    const int64_t width = (int64_t)m->chunk_shape[m->dimension_count - 1];
    for (int64_t r = s->changed.y / height; r * height < s->changed.y + s->changed.height; r++)
        for (int64_t c = s->changed.x / width; c * width < s->changed.x + s->changed.width; c++)
            SGC_TRY(
                put_flags_chunk(b, s, band, (sgc_rect){c * width, r * height, width, height}, err));
    return SGC_OK;
}

static bool all_complete(const batch *b, const step_batch *s, sgc_rect chunks)
{
    for (size_t band = 0; band < sgc_loading_bands(b->load); band++)
        for (int64_t r = chunks.y; r < chunks.y + chunks.height; r++)
            for (int64_t c = chunks.x; c < chunks.x + chunks.width; c++)
                if (!sgc_flag_is_complete(*flag_at(s, band, r, c)))
                    return false;
    return true;
}

/* The batch's flags of a time step, or NULL when it does not have those of all the chunks. */
static const step_batch *flags_of(const batch *b, size_t step, sgc_rect chunks)
{
    const sgc_step_patches *patches = sgc_loading_patches(b->load, step);
    const step_batch *s = patches != NULL ? &b->steps[patches - b->load->steps] : NULL;
    return s != NULL && sgc_rect_contains(s->chunks, chunks) ? s : NULL;
}

static sgc_status is_step_loaded(const batch *b, size_t step, sgc_rect chunks, bool *loaded,
                                 sgc_error *err)
{
    const size_t bands = sgc_loading_bands(b->load);
    const step_batch *s = flags_of(b, step, chunks);
    if (s != NULL) {
        *loaded = all_complete(b, s, chunks);
        return SGC_OK;
    }
    const step_batch stored = {.chunks = chunks,
                               .flags = calloc(bands, (size_t)(chunks.width * chunks.height))};
    if (stored.flags == NULL)
        return sgc_fail_memory(err, bands, "a commit");
    const sgc_status status = sgc_view_read_flags(b->base, b->load->level, (sgc_slice){0, step},
                                                  bands, chunks, stored.flags, err);
    *loaded = status == SGC_OK && all_complete(b, &stored, chunks);
    free(stored.flags);
    return status;
}

/* Whether all chunks of a patch are complete, in each time step that it is of. */
static sgc_status is_loaded(const batch *b, const sgc_patch *patch, sgc_rect chunks, bool *loaded,
                            sgc_error *err)
{
    const bool has_steps = patch->step_count > 0;
    const size_t first = has_steps ? patch->first_step : patch->step;
    const size_t end = first + (has_steps ? patch->step_count : 1);
    *loaded = true;
    for (size_t step = first; *loaded && step < end; step++)
        SGC_TRY(is_step_loaded(b, step, chunks, loaded, err));
    return SGC_OK;
}

static sgc_patch_cost cost_of(const batch *b, const step_batch *s, size_t patch)
{
    pthread_mutex_lock(&b->load->mutex);
    const sgc_patch_cost cost = s->patches->costs[patch];
    pthread_mutex_unlock(&b->load->mutex);
    return cost;
}

/* Where a patch is, and of which time step, for those who cannot ask its source (patch_log.c). */
static sgc_status print_place(sgc_buffer *out, const sgc_time_axis *axis, const sgc_patch *patch,
                              sgc_error *err)
{
    char time[SGC_TIME_SIZE];
    SGC_TRY(sgc_buffer_print(out, err, ",\"rect\":[%lld,%lld,%lld,%lld]", (long long)patch->rect.x,
                             (long long)patch->rect.y, (long long)patch->rect.width,
                             (long long)patch->rect.height));
    if (patch->step >= axis->count)
        return SGC_OK;
    sgc_time_format(axis->starts[patch->step], time);
    return sgc_buffer_print(out, err, ",\"time\":\"%s\"", time);
}

sgc_status sgc_print_patch(sgc_buffer *out, const sgc_time_axis *axis, const sgc_patch *patch,
                           const sgc_patch_cost *cost, uint64_t bytes, double seconds,
                           sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(out, err, "{\"id\":"));
    SGC_TRY(sgc_json_quote(out, patch->id, err));
    SGC_TRY(print_place(out, axis, patch, err));
    char href[512] = ""; /* without what may be secret in it */
    if (patch->hrefs != NULL && patch->hrefs[0] != NULL)
        sgc_http_redact(patch->hrefs[0], href, sizeof href);
    else
        snprintf(href, sizeof href, "%s", cost->fetch.href);
    if (href[0] != '\0') {
        SGC_TRY(sgc_buffer_print(out, err, ",\"href\":"));
        SGC_TRY(sgc_json_quote(out, href, err));
    }
    if (cost->fetch.etag[0] != '\0') {
        SGC_TRY(sgc_buffer_print(out, err, ",\"etag\":"));
        SGC_TRY(sgc_json_quote(out, cost->fetch.etag, err));
    }
    char text[32];
    CPLsnprintf(text, sizeof text, "%.3f", seconds);
    return sgc_buffer_print(out, err, ",\"bytes\":%llu,\"seconds\":%s}", (unsigned long long)bytes,
                            text);
}

/* Names a patch in the commit's metadata. */
static sgc_status name_patch(batch *b, const sgc_patch *patch, const sgc_patch_cost *cost,
                             sgc_error *err)
{
    if (b->patch_count > 0)
        SGC_TRY(sgc_buffer_append(&b->metadata, ",", 1, err));
    return sgc_print_patch(&b->metadata, &b->load->cube->definition->time, patch, cost,
                           cost->fetch.bytes, cost->seconds, err);
}

/* Adds a patch, which several steps may have, to those that are loaded. */
static sgc_status list_patch(batch *b, const char *id, sgc_error *err)
{
    sgc_buffer quoted = {0};
    sgc_status status = sgc_json_quote(&quoted, id, err);
    const bool is_new = status == SGC_OK &&
                        (b->loaded.size == 0 ||
                         memmem(b->loaded.data, b->loaded.size, quoted.data, quoted.size) == NULL);
    if (is_new && b->loaded.size > 0)
        status = sgc_buffer_append(&b->loaded, ", ", 2, err);
    if (is_new && status == SGC_OK)
        status = sgc_buffer_append(&b->loaded, quoted.data, quoted.size, err);
    sgc_buffer_free(&quoted);
    return status;
}

/* Notes a patch: that it is loaded, if all of its chunks are complete now, and in the commit's
 * metadata that this batch used it. */
static sgc_status put_patch(batch *b, const step_batch *s, size_t index, const sgc_node *root,
                            bool named, uint64_t *bytes, sgc_error *err)
{
    const sgc_patch *patch = &s->patches->list.patches[index];
    const sgc_rect chunks = patch_chunks(b->load, patch);
    bool loaded;
    if (!patch_meets_batch(b->load, s->patches->step, chunks))
        return SGC_OK;
    const sgc_patch_cost cost = cost_of(b, s, index);
    if (cost.was_absent && !cost.was_present)
        return SGC_OK; /* there may be such a patch one day, which is not loaded then */
    if (named)
        SGC_TRY(name_patch(b, patch, &cost, err));
    *bytes += cost.fetch.bytes;
    b->patch_count++;
    bool listed;
    SGC_TRY(sgc_root_is_loaded(root, patch->id, &listed, err));
    if (listed)
        return SGC_OK;
    SGC_TRY(is_loaded(b, patch, chunks, &loaded, err));
    return loaded ? list_patch(b, patch->id, err) : SGC_OK;
}

/* Adds the patches all of whose chunks are complete now to the list in the root attributes, and
 * names those that this batch used. */
static sgc_status put_patches(batch *b, sgc_error *err)
{
    const sgc_loading *l = b->load;
    const sgc_node *root = sgc_snapshot_find(sgc_session_base(b->session), "/");
    /* Spec 2 repeats the metadata of all commits in one object: there it must be short. */
    const bool named = sgc_repository_spec_version(l->cube->repository) == 1;
    uint64_t bytes = 0;
    SGC_TRY(sgc_buffer_print(&b->metadata, err, named ? "{\"sgc_patches\":[" : "{"));
    for (size_t i = 0; l->level == 0 && i < l->step_count; i++)
        for (size_t k = 0; k < b->steps[i].patches->list.count; k++)
            SGC_TRY(put_patch(b, &b->steps[i], k, root, named, &bytes, err));
    SGC_TRY(named
                ? sgc_buffer_print(&b->metadata, err, "]}")
                : sgc_buffer_print(&b->metadata, err, "\"sgc_patch_count\":%zu,\"sgc_bytes\":%llu}",
                                   b->patch_count, (unsigned long long)bytes));
    if (b->loaded.size == 0)
        return SGC_OK;
    sgc_buffer document = {0};
    sgc_status status = sgc_root_add_loaded(
        root, (sgc_span){(const char *)b->loaded.data, b->loaded.size}, &document, err);
    if (status == SGC_OK)
        status = sgc_session_put_group(b->session, "/", document.data, document.size, err);
    sgc_buffer_free(&document);
    return status;
}

static sgc_status fill_session(batch *b, sgc_error *err)
{
    const sgc_loading *l = b->load;
    SGC_TRY(read_flags(b, err));
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch)
            SGC_TRY(put_task(b, &l->tasks[i], err));
    if (b->count == 0)
        return SGC_OK;
    for (size_t i = 0; i < l->step_count; i++)
        for (size_t band = 0; band < sgc_loading_bands(l); band++)
            if (batch_has_band(l, l->steps[i].step, band))
                SGC_TRY(put_flags(b, &b->steps[i], band, err));
    return put_patches(b, err);
}

static sgc_status commit_session(batch *b, sgc_error *err)
{
    const sgc_loading *l = b->load;
    char message[160];
    if (l->level == 0)
        snprintf(message, sizeof message, "Load %zu chunk%s from %zu patch%s", b->count,
                 b->count == 1 ? "" : "s", b->patch_count, b->patch_count == 1 ? "" : "es");
    else
        snprintf(message, sizeof message, "Load %zu chunk%s of level %lld", b->count,
                 b->count == 1 ? "" : "s", (long long)sgc_loading_level(l)->factor);
    return sgc_session_commit(b->session, message, (const char *)b->metadata.data, NULL, err);
}

static size_t steps_of_batch(const sgc_loading *l)
{
    return l->steps[l->step_count - 1].step + 1;
}

static void clear_batch(batch *b)
{
    for (size_t i = 0; b->steps != NULL && i < b->load->step_count; i++)
        free(b->steps[i].flags);
    free(b->steps);
    sgc_view_unref(b->base);
    sgc_session_free(b->session);
    sgc_buffer_free(&b->loaded);
    sgc_buffer_free(&b->metadata);
}

/* One attempt; SGC_CONFLICT when the branch moved meanwhile. */
static sgc_status try_commit(sgc_loading *l, sgc_error *err)
{
    batch b = {.load = l};
    SGC_TRY(sgc_session_new(l->cube->repository, l->cube->ref, &b.session, err));
    sgc_status status = sgc_view_new(l->cube, l->cube->repository,
                                     sgc_snapshot_ref(sgc_session_base(b.session)), &b.base, err);
    if (status == SGC_OK &&
        (b.base->complete[l->level] == NULL || b.base->steps[l->level] < steps_of_batch(l))) {
        /* The branch was reset to before this level, or this time step, was made. */
        status = sgc_cube_make_structure(l->cube, l->level, steps_of_batch(l), err);
        if (status == SGC_OK)
            status = sgc_fail(err, SGC_CONFLICT, "%s: the branch was reset", l->cube->place);
    }
    if (status == SGC_OK)
        status = fill_session(&b, err);
    if (status == SGC_OK && b.count > 0)
        status = commit_session(&b, err);
    clear_batch(&b);
    return status;
}

/* Takes the finished tasks into the batch and says how many there are. */
static size_t collect_batch(sgc_loading *l)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->task_count; i++) {
        sgc_task *t = &l->tasks[i];
        t->in_batch = t->done && t->complete != 0 && !t->committed;
        n += t->in_batch;
    }
    pthread_mutex_unlock(&l->mutex);
    return n;
}

/* Forgets what the patches that a batch has named have cost. The load's mutex is held. */
static void forget_costs(const sgc_loading *l, sgc_step_patches *patches)
{
    for (size_t i = 0; i < patches->list.count; i++)
        if (patch_meets_batch(l, patches->step, patch_chunks(l, &patches->list.patches[i]))) {
            patches->costs[i].fetch = (sgc_fetch){0};
            patches->costs[i].seconds = 0;
        }
}

/* Commits what is finished and gives up its claims. */
sgc_status sgc_commit_finished(sgc_loading *l, sgc_error *err)
{
    enum { ATTEMPTS = 1000 };
    const size_t count = collect_batch(l);
    if (count == 0)
        return SGC_OK;
    sgc_status status = SGC_CONFLICT;
    for (unsigned attempt = 0; status == SGC_CONFLICT && attempt < ATTEMPTS; attempt++) {
        if (attempt > 0)
            sgc_clock_pause(attempt);
        sgc_repository_queue_begin(l->cube->repository);
        status = try_commit(l, err);
        sgc_repository_queue_end(l->cube->repository);
    }
    SGC_TRY(status);
    for (size_t i = 0; i < l->task_count; i++) {
        sgc_task *t = &l->tasks[i];
        if (!t->in_batch)
            continue;
        t->committed = true;
        sgc_claim_release(l->cube, &t->claim);
        for (size_t b = 0; b < sgc_loading_unit_bands(l); b++)
            sgc_buffer_free(&t->inlined[b]);
    }
    pthread_mutex_lock(&l->mutex);
    l->committed += count;
    for (size_t i = 0; i < l->step_count; i++)
        forget_costs(l, &l->steps[i]);
    pthread_mutex_unlock(&l->mutex);
    return sgc_cube_refresh(l->cube, err);
}
