/* Finished chunks -> one commit, with the bookkeeping that belongs to them. */
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/http.h"
#include "gdal_sgc/load.h"
#include "store/clock.h"

/* The chunk positions that a patch meets at full resolution; empty outside the cube. */
static sgc_rect patch_chunks(const sgc_loading *l, const sgc_patch *patch)
{
    const sgc_level *level = sgc_loading_level(l);
    const sgc_rect whole = {0, 0, level->grid.width, level->grid.height};
    const sgc_rect inside = sgc_rect_intersect(whole, patch->rect);
    return sgc_rect_is_empty(inside) ? (sgc_rect){0} : sgc_level_chunks(level, inside);
}

/* A batch on its way into a commit: what `complete` will say for a rectangle of positions. */
typedef struct batch {
    sgc_loading *load;
    sgc_session *session;
    sgc_view *base;    /* of the session's snapshot */
    sgc_rect changed;  /* chunk positions around the batch's tasks */
    sgc_rect chunks;   /* around them and all chunks of the patches that meet the batch */
    uint8_t *flags;    /* band x row x column */
    size_t count;      /* tasks that this commit completes */
    sgc_buffer loaded; /* ids, quoted, comma-separated */
    sgc_buffer metadata;
    size_t patch_count;
} batch;

static uint8_t *flag_at(const batch *b, size_t band, int64_t row, int64_t column)
{
    const int64_t per_band = b->chunks.width * b->chunks.height;
    return b->flags + (int64_t)band * per_band + (row - b->chunks.y) * b->chunks.width +
           (column - b->chunks.x);
}

static bool patch_meets(sgc_rect chunks, const sgc_task *t)
{
    return t->at.column >= chunks.x && t->at.column < chunks.x + chunks.width &&
           t->at.row >= chunks.y && t->at.row < chunks.y + chunks.height;
}

static bool patch_meets_batch(const sgc_loading *l, sgc_rect chunks)
{
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch && patch_meets(chunks, &l->tasks[i]))
            return true;
    return false;
}

static void find_extents(batch *b)
{
    const sgc_loading *l = b->load;
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch)
            b->changed = sgc_rect_unite(
                b->changed, (sgc_rect){l->tasks[i].at.column, l->tasks[i].at.row, 1, 1});
    b->chunks = b->changed;
    for (size_t i = 0; l->level == 0 && i < l->patches.count; i++) {
        const sgc_rect chunks = patch_chunks(l, &l->patches.patches[i]);
        if (patch_meets_batch(l, chunks))
            b->chunks = sgc_rect_unite(b->chunks, chunks);
    }
}

/* Reads what is complete at the session's base around the batch. */
static sgc_status read_flags(batch *b, sgc_error *err)
{
    const size_t bands = sgc_loading_bands(b->load);
    find_extents(b);
    b->flags = calloc(bands, (size_t)(b->chunks.width * b->chunks.height));
    if (b->flags == NULL)
        return sgc_fail_memory(err, bands, "a commit");
    const uint64_t start[] = {0, (uint64_t)b->chunks.y, (uint64_t)b->chunks.x};
    const uint64_t count[] = {bands, (uint64_t)b->chunks.height, (uint64_t)b->chunks.width};
    return sgc_array_read(b->base->complete[b->load->level], start, count, b->flags, 1, err);
}

/* Puts one finished chunk, unless somebody else has completed it first. */
static sgc_status put_task(batch *b, const sgc_task *t, sgc_error *err)
{
    const sgc_loading *l = b->load;
    const uint32_t coordinates[] = {(uint32_t)t->at.row, (uint32_t)t->at.column};
    bool put = false;
    for (size_t band = 0; band < sgc_loading_bands(l); band++) {
        uint8_t *flag = flag_at(b, band, t->at.row, t->at.column);
        if (*flag == SGC_COMPLETE)
            continue;
        char path[SGC_PATH_SIZE];
        sgc_layout_channel_path(l->cube->definition, sgc_loading_level(l), band, path);
        SGC_TRY(sgc_session_set_chunk(b->session, path, coordinates, &t->refs[band], err));
        *flag = t->complete;
        put = true;
    }
    b->count += put;
    return SGC_OK;
}

/* Writes one chunk of the array of what is complete, with the batch's flags in it. */
static sgc_status put_flags_chunk(batch *b, uint32_t band, uint32_t row, uint32_t column,
                                  sgc_error *err)
{
    const sgc_array *array = b->base->complete[b->load->level];
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    const uint64_t height = m->chunk_shape[1], width = m->chunk_shape[2];
    const uint64_t start[] = {band, row * height, column * width};
    uint64_t count[] = {1, height, width};
    for (int d = 1; d < 3; d++)
        if (count[d] > m->shape[d] - start[d])
            count[d] = m->shape[d] - start[d];
    uint8_t *chunk = calloc(1, m->chunk_bytes), *inside = malloc(count[1] * count[2]);
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    sgc_status status = chunk != NULL && inside != NULL
                            ? sgc_array_read(array, start, count, inside, 1, err)
                            : sgc_fail_memory(err, m->chunk_bytes, "a commit");
    for (uint64_t r = 0; status == SGC_OK && r < count[1]; r++)
        memcpy(chunk + r * width, inside + r * count[2], count[2]);
    const sgc_rect common =
        sgc_rect_intersect(b->changed, (sgc_rect){(int64_t)start[2], (int64_t)start[1],
                                                  (int64_t)count[2], (int64_t)count[1]});
    for (int64_t r = common.y; status == SGC_OK && r < common.y + common.height; r++)
        memcpy(chunk + (r - (int64_t)start[1]) * (int64_t)width + (common.x - (int64_t)start[2]),
               flag_at(b, band, r, common.x), (size_t)common.width);
    if (status == SGC_OK)
        status = sgc_array_write_chunk(b->load->cube->repository, m, chunk, 1, &encoded, &ref, err);
    if (status == SGC_OK) {
        char path[SGC_PATH_SIZE];
        const uint32_t coordinates[] = {band, row, column};
        sgc_layout_complete_path(sgc_loading_level(b->load), path);
        status = sgc_session_set_chunk(b->session, path, coordinates, &ref, err);
    }
    sgc_buffer_free(&encoded);
    free(chunk);
    free(inside);
    return status;
}

static sgc_status put_flags(batch *b, sgc_error *err)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(b->base->complete[b->load->level]);
    const int64_t height = (int64_t)m->chunk_shape[1], width = (int64_t)m->chunk_shape[2];
    for (size_t band = 0; band < sgc_loading_bands(b->load); band++)
        for (int64_t r = b->changed.y / height; r * height < b->changed.y + b->changed.height; r++)
            for (int64_t c = b->changed.x / width; c * width < b->changed.x + b->changed.width; c++)
                SGC_TRY(put_flags_chunk(b, (uint32_t)band, (uint32_t)r, (uint32_t)c, err));
    return SGC_OK;
}

static bool all_complete(const batch *b, sgc_rect chunks)
{
    for (size_t band = 0; band < sgc_loading_bands(b->load); band++)
        for (int64_t r = chunks.y; r < chunks.y + chunks.height; r++)
            for (int64_t c = chunks.x; c < chunks.x + chunks.width; c++)
                if (*flag_at(b, band, r, c) == 0)
                    return false;
    return true;
}

static sgc_patch_cost cost_of(const batch *b, const sgc_patch *patch)
{
    pthread_mutex_lock(&b->load->mutex);
    const sgc_patch_cost cost = b->load->costs[patch - b->load->patches.patches];
    pthread_mutex_unlock(&b->load->mutex);
    return cost;
}

/* Names a patch in the commit's metadata. */
static sgc_status describe_patch(batch *b, const sgc_patch *patch, const sgc_patch_cost *cost,
                                 sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(&b->metadata, err, "%s{\"id\":", b->patch_count > 0 ? "," : ""));
    SGC_TRY(sgc_json_quote(&b->metadata, patch->id, err));
    if (patch->hrefs != NULL && patch->hrefs[0] != NULL) {
        SGC_TRY(sgc_buffer_print(&b->metadata, err, ",\"href\":"));
        char href[512]; /* without what may be secret in it */
        sgc_http_redact(patch->hrefs[0], href, sizeof href);
        SGC_TRY(sgc_json_quote(&b->metadata, href, err));
    }
    if (cost->fetch.etag[0] != '\0') {
        SGC_TRY(sgc_buffer_print(&b->metadata, err, ",\"etag\":"));
        SGC_TRY(sgc_json_quote(&b->metadata, cost->fetch.etag, err));
    }
    char seconds[32];
    CPLsnprintf(seconds, sizeof seconds, "%.3f", cost->seconds);
    return sgc_buffer_print(&b->metadata, err, ",\"bytes\":%llu,\"seconds\":%s}",
                            (unsigned long long)cost->fetch.bytes, seconds);
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
    for (size_t i = 0; l->level == 0 && i < l->patches.count; i++) {
        const sgc_patch *patch = &l->patches.patches[i];
        const sgc_rect chunks = patch_chunks(l, patch);
        bool loaded;
        if (!patch_meets_batch(l, chunks))
            continue;
        const sgc_patch_cost cost = cost_of(b, patch);
        if (named)
            SGC_TRY(describe_patch(b, patch, &cost, err));
        bytes += cost.fetch.bytes;
        b->patch_count++;
        SGC_TRY(sgc_layout_is_loaded(root, patch->id, &loaded, err));
        if (loaded || !all_complete(b, chunks))
            continue;
        if (b->loaded.size > 0)
            SGC_TRY(sgc_buffer_append(&b->loaded, ", ", 2, err));
        SGC_TRY(sgc_json_quote(&b->loaded, patch->id, err));
    }
    SGC_TRY(named
                ? sgc_buffer_print(&b->metadata, err, "]}")
                : sgc_buffer_print(&b->metadata, err, "\"sgc_patch_count\":%zu,\"sgc_bytes\":%llu}",
                                   b->patch_count, (unsigned long long)bytes));
    if (b->loaded.size == 0)
        return SGC_OK;
    sgc_buffer document = {0};
    sgc_status status = sgc_layout_add_loaded(
        root, (sgc_span){(const char *)b->loaded.data, b->loaded.size}, &document, err);
    if (status == SGC_OK)
        status = sgc_session_put_group(b->session, "/", document.data, document.size, err);
    sgc_buffer_free(&document);
    return status;
}

static sgc_status fill_session(batch *b, sgc_error *err)
{
    sgc_loading *l = b->load;
    SGC_TRY(read_flags(b, err));
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch)
            SGC_TRY(put_task(b, &l->tasks[i], err));
    if (b->count == 0)
        return SGC_OK;
    SGC_TRY(put_flags(b, err));
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

/* One attempt; SGC_CONFLICT when the branch moved meanwhile. */
static sgc_status try_commit(sgc_loading *l, sgc_error *err)
{
    batch b = {.load = l};
    SGC_TRY(sgc_session_new(l->cube->repository, l->cube->ref, &b.session, err));
    sgc_status status = sgc_view_new(l->cube, l->cube->repository,
                                     sgc_snapshot_ref(sgc_session_base(b.session)), &b.base, err);
    if (status == SGC_OK && b.base->complete[l->level] == NULL) {
        /* The branch was reset to before this level was made. */
        status = sgc_cube_prepare(l->cube, l->level, err);
        if (status == SGC_OK)
            status = sgc_fail(err, SGC_CONFLICT, "%s: the branch was reset", l->cube->place);
    }
    if (status == SGC_OK)
        status = fill_session(&b, err);
    if (status == SGC_OK && b.count > 0)
        status = commit_session(&b, err);
    sgc_view_unref(b.base);
    sgc_session_free(b.session);
    sgc_buffer_free(&b.loaded);
    sgc_buffer_free(&b.metadata);
    free(b.flags);
    return status;
}

/* How many tasks are finished and not committed. */
size_t sgc_count_finished(sgc_loading *l)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->task_count; i++)
        n += l->tasks[i].done && l->tasks[i].complete != 0 && !l->tasks[i].committed;
    pthread_mutex_unlock(&l->mutex);
    return n;
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

/* Commits what is finished and gives up its claims. */
sgc_status sgc_commit_finished(sgc_loading *l, sgc_error *err)
{
    enum { ATTEMPTS = 1000 };
    if (collect_batch(l) == 0)
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
        sgc_release_claim(l, t);
        for (size_t b = 0; b < sgc_loading_bands(l); b++)
            sgc_buffer_free(&t->inlined[b]);
    }
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->patches.count; i++)
        if (patch_meets_batch(l, patch_chunks(l, &l->patches.patches[i])))
            l->costs[i] = (sgc_patch_cost){0};
    pthread_mutex_unlock(&l->mutex);
    return sgc_cube_refresh(l->cube, err);
}
