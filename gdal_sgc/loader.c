/* From chunks that are missing to a committed snapshot.
 *
 * The caller's thread plans, starts workers, reports progress and commits; workers take one chunk position
 * at a time, read the windows of all patches that meet it, compose, encode and write its objects. Other
 * processes on the disk do the same: a position whose lock they hold is left to them and looked at again
 * when nothing else is left to do, so processes with one window share its work. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_multiproc.h>
#include <cpl_string.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gdal_sgc/compose.h"
#include "gdal_sgc/cube_private.h"

enum {
    MOST_WORKERS = 64,
    BATCH_SECONDS = 10,
    BATCH_CHUNKS = 100, /* few enough that the commit can name its patches */
    TICK_MILLISECONDS = 100, /* between two looks at progress and cancellation */
    COMPLETE = 1,
    COMPLETE_FOR_NOW = 2, /* an asset was missing that may come (architecture 6.3) */
};

/* A chunk position and what became of it. A worker owns it until `done`, the committer afterwards. */
typedef struct task {
    sgc_position at;
    bool done;           /* guarded by the load's mutex */
    bool locked;         /* by this process, on disk */
    uint8_t complete;    /* what to record; 0: nothing, somebody else has it or it failed */
    sgc_chunk_ref *refs; /* one per band */
    sgc_buffer *inlined; /* one per band: what inline references borrow from */
    bool in_batch;       /* waits for the commit in hand */
    bool committed;
} task;

/* What a patch has cost since the last commit that names it. */
typedef struct patch_cost {
    sgc_fetch fetch;
    double seconds;
} patch_cost;

typedef struct load {
    sgc_cube *cube;
    size_t level;
    const sgc_policy *policy;
    sgc_patch_list patches;
    patch_cost *costs; /* one per patch; guarded by the mutex */
    char **configuration; /* of the caller's thread */
    unsigned encode_threads;
    atomic_bool stop; /* fetches end as soon as they can */
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t progress;
    task *tasks;
    size_t task_count, next, finished, running;
    sgc_status status; /* of the first failure */
    sgc_error error;
} load;

static bool stop_requested(void *user)
{
    return atomic_load(&((load *)user)->stop);
}

static const sgc_level *level_of(const load *l)
{
    return &l->cube->levels[l->level];
}

static size_t band_count(const load *l)
{
    return l->cube->definition->band_count;
}

static void add_milliseconds(struct timespec *t, long milliseconds)
{
    t->tv_sec += milliseconds / 1000;
    t->tv_nsec += milliseconds % 1000 * 1000000;
    if (t->tv_nsec >= 1000000000) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000;
    }
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* ---- filling one chunk ---- */

/* What one worker works with, allocated once. */
typedef struct workspace {
    load *load;
    unsigned char *chunk;  /* one encoded block of a channel, decoded */
    uint8_t *valid;        /* of the chunk */
    unsigned char *window; /* of one patch */
    uint8_t *window_valid;
} workspace;

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
static size_t workspace_size(const load *l)
{
    const size_t pixels = (size_t)(level_of(l)->chunk_width * level_of(l)->chunk_height);
    return pixels * 2 * (largest_item(l->cube->definition) + 1);
}

static sgc_status workspace_init(workspace *w, load *l, sgc_error *err)
{
    const size_t pixels = (size_t)(level_of(l)->chunk_width * level_of(l)->chunk_height);
    const size_t item = largest_item(l->cube->definition);
    *w = (workspace){.load = l,
                     .chunk = VSIMalloc2(pixels, item),
                     .valid = VSIMalloc(pixels),
                     .window = VSIMalloc2(pixels, item),
                     .window_valid = VSIMalloc(pixels)};
    if (w->chunk == NULL || w->valid == NULL || w->window == NULL || w->window_valid == NULL)
        return sgc_fail_memory(err, workspace_size(l), "a chunk");
    return SGC_OK;
}

static void workspace_free(workspace *w)
{
    VSIFree(w->chunk);
    VSIFree(w->valid);
    VSIFree(w->window);
    VSIFree(w->window_valid);
}

static void add_cost(load *l, const sgc_patch *patch, const sgc_fetch *fetch, double seconds)
{
    pthread_mutex_lock(&l->mutex);
    patch_cost *cost = &l->costs[patch - l->patches.patches];
    cost->fetch.bytes += fetch->bytes;
    if (cost->fetch.etag[0] == '\0')
        memcpy(cost->fetch.etag, fetch->etag, sizeof cost->fetch.etag);
    cost->seconds += seconds;
    pthread_mutex_unlock(&l->mutex);
}

/* Applies one patch to the canvas of one band. *absent is set when the patch has no such band. */
static sgc_status apply_patch(workspace *w, sgc_canvas *canvas, const sgc_patch *patch, size_t band,
                              bool *absent, sgc_error *err)
{
    load *l = w->load;
    const int64_t factor = level_of(l)->factor;
    const sgc_rect window =
        sgc_rect_intersect(canvas->rect, sgc_rect_at_level(patch->rect, factor));
    if (sgc_rect_is_empty(window) || sgc_canvas_is_full(canvas, window))
        return SGC_OK;
    const sgc_cancel cancel = {stop_requested, l};
    sgc_source *source = l->cube->source;
    sgc_fetch fetch = {0};
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const sgc_status status = source->read(source, patch, band, factor, window, w->window,
                                           w->window_valid, &fetch, &cancel, err);
    add_cost(l, patch, &fetch, seconds_since(&start));
    if (status == SGC_NOT_FOUND) {
        *absent = true;
        return SGC_OK;
    }
    SGC_TRY(status);
    sgc_canvas_apply(canvas, window, w->window, w->window_valid);
    return SGC_OK;
}

/* Composes, encodes and writes one channel of a chunk. */
static sgc_status fill_band(workspace *w, const sgc_view *view, task *t, size_t band,
                            uint8_t *complete, sgc_error *err)
{
    load *l = w->load;
    const sgc_level *level = level_of(l);
    const sgc_array_metadata *metadata =
        sgc_array_get_metadata(view->channels[l->level][band]);
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
        *complete = COMPLETE_FOR_NOW;
    const sgc_status status =
        sgc_array_write_chunk(l->cube->repository, metadata, w->chunk, l->encode_threads,
                              &t->inlined[band], &t->refs[band], err);
    if (t->refs[band].kind != SGC_CHUNK_INLINE)
        sgc_buffer_free(&t->inlined[band]);
    return status;
}

static sgc_status fill_chunk(workspace *w, const sgc_view *view, task *t, sgc_error *err)
{
    const size_t bands = band_count(w->load);
    t->refs = calloc(bands, sizeof *t->refs);
    t->inlined = calloc(bands, sizeof *t->inlined);
    if (t->refs == NULL || t->inlined == NULL)
        return sgc_fail_memory(err, bands * sizeof *t->refs, "a chunk");
    uint8_t complete = COMPLETE;
    for (size_t b = 0; b < bands; b++)
        SGC_TRY(fill_band(w, view, t, b, &complete, err));
    t->complete = complete;
    return SGC_OK;
}

/* ---- claims ---- */

/* The lock of a chunk position: its coordinates as bit fields, above the store's own locks. */
static int64_t lock_number(const load *l, sgc_position at)
{
    int64_t exponent = 0;
    while (level_of(l)->factor >> exponent > 1)
        exponent++;
    return INT64_C(1) << 62 | exponent << 56 | (int64_t)at.row << 28 | (int64_t)at.column;
}

static sgc_status claim(load *l, task *t, sgc_error *err)
{
    sgc_object_store *store = sgc_repository_store(l->cube->repository);
    if (store->lock == NULL) {
        t->locked = true;
        return SGC_OK;
    }
    return store->lock(store, lock_number(l, t->at), &t->locked, err);
}

static void release_claim(load *l, task *t)
{
    sgc_object_store *store = sgc_repository_store(l->cube->repository);
    if (t->locked && store->unlock != NULL)
        store->unlock(store, lock_number(l, t->at));
    t->locked = false;
}

/* ---- workers ---- */

static void fail_load(load *l, sgc_status status, const sgc_error *error)
{
    pthread_mutex_lock(&l->mutex);
    if (l->status == SGC_OK) {
        l->status = status;
        l->error = *error;
    }
    pthread_mutex_unlock(&l->mutex);
}

/* The next task, or NULL when there is none or the load has failed. */
static task *take_task(load *l)
{
    pthread_mutex_lock(&l->mutex);
    task *t = NULL;
    if (l->status == SGC_OK && !atomic_load(&l->stop) && l->next < l->task_count)
        t = &l->tasks[l->next++];
    pthread_mutex_unlock(&l->mutex);
    return t;
}

/* Whoever held the claim before may have completed the chunk. */
static sgc_status is_still_missing(load *l, const task *t, bool *missing, sgc_error *err)
{
    SGC_TRY(sgc_cube_refresh(l->cube, err));
    sgc_view *view;
    sgc_position *positions;
    size_t count;
    sgc_cube_view(l->cube, &view);
    const sgc_status status =
        sgc_view_incomplete(l->cube, view, l->level, (sgc_rect){t->at.column, t->at.row, 1, 1},
                            &positions, &count, err);
    sgc_view_unref(view);
    SGC_TRY(status);
    free(positions);
    *missing = count > 0;
    return SGC_OK;
}

static sgc_status run_task(workspace *w, const sgc_view *view, task *t, sgc_error *err)
{
    bool missing;
    SGC_TRY(claim(w->load, t, err));
    if (!t->locked)
        return SGC_OK;
    SGC_TRY(is_still_missing(w->load, t, &missing, err));
    return missing ? fill_chunk(w, view, t, err) : SGC_OK;
}

static void run_tasks(load *l)
{
    sgc_error error = {""};
    workspace w;
    sgc_view *view;
    sgc_cube_view(l->cube, &view);
    sgc_status status = workspace_init(&w, l, &error);
    task *t;
    while (status == SGC_OK && (t = take_task(l)) != NULL) {
        status = run_task(&w, view, t, &error);
        pthread_mutex_lock(&l->mutex);
        t->done = true;
        l->finished++;
        pthread_cond_signal(&l->progress);
        pthread_mutex_unlock(&l->mutex);
    }
    if (status != SGC_OK)
        fail_load(l, status, &error);
    workspace_free(&w);
    sgc_view_unref(view);
}

/* Runs `work` as the caller's thread would: with its configuration, but silent. */
static void *run_worker(load *l, void (*work)(load *))
{
    CPLSetThreadLocalConfigOptions((const char *const *)l->configuration);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    work(l);
    CPLPopErrorHandler();
    pthread_mutex_lock(&l->mutex);
    l->running--;
    pthread_cond_signal(&l->progress);
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

static void *fill_worker(void *user)
{
    return run_worker(user, run_tasks);
}

static unsigned worker_count(const load *l)
{
    const double memory = CPLAtof(CPLGetConfigOption("SGC_LOAD_MEMORY", "512")) * 1024 * 1024;
    double count = memory / (double)workspace_size(l);
    if (count > l->cube->source->max_requests)
        count = l->cube->source->max_requests;
    if (count > (double)l->task_count)
        count = (double)l->task_count;
    return count < 1 ? 1 : count > MOST_WORKERS ? MOST_WORKERS : (unsigned)count;
}

/* ---- committing ---- */

/* The rectangle of chunk positions that a patch meets at full resolution; empty outside the cube. */
static sgc_rect patch_chunks(const load *l, const sgc_patch *patch)
{
    const sgc_level *level = level_of(l);
    const sgc_rect whole = {0, 0, level->grid.width, level->grid.height};
    const sgc_rect inside = sgc_rect_intersect(whole, patch->rect);
    return sgc_rect_is_empty(inside) ? (sgc_rect){0} : sgc_level_chunks(level, inside);
}

/* A batch on its way into a commit: what `complete` will say for a rectangle of positions. */
typedef struct batch {
    load *load;
    sgc_session *session;
    sgc_view *base;  /* of the session's snapshot */
    sgc_rect changed; /* chunk positions around the batch's tasks */
    sgc_rect chunks;  /* around them and all chunks of the patches that meet the batch */
    uint8_t *flags;  /* band x row x column */
    size_t count;    /* tasks that this commit completes */
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

static bool patch_meets(sgc_rect chunks, const task *t)
{
    return t->at.column >= chunks.x && t->at.column < chunks.x + chunks.width &&
           t->at.row >= chunks.y && t->at.row < chunks.y + chunks.height;
}

static bool patch_meets_batch(const load *l, sgc_rect chunks)
{
    for (size_t i = 0; i < l->task_count; i++)
        if (l->tasks[i].in_batch && patch_meets(chunks, &l->tasks[i]))
            return true;
    return false;
}

static void find_extents(batch *b)
{
    const load *l = b->load;
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
    const size_t bands = band_count(b->load);
    find_extents(b);
    b->flags = calloc(bands, (size_t)(b->chunks.width * b->chunks.height));
    if (b->flags == NULL)
        return sgc_fail_memory(err, bands, "a commit");
    const uint64_t start[] = {0, (uint64_t)b->chunks.y, (uint64_t)b->chunks.x};
    const uint64_t count[] = {bands, (uint64_t)b->chunks.height, (uint64_t)b->chunks.width};
    return sgc_array_read(b->base->complete[b->load->level], start, count, b->flags, 1, err);
}

/* Puts one finished chunk, unless somebody else has completed it first. */
static sgc_status put_task(batch *b, const task *t, sgc_error *err)
{
    const load *l = b->load;
    const uint32_t coordinates[] = {(uint32_t)t->at.row, (uint32_t)t->at.column};
    bool put = false;
    for (size_t band = 0; band < band_count(l); band++) {
        uint8_t *flag = flag_at(b, band, t->at.row, t->at.column);
        if (*flag == COMPLETE)
            continue;
        char path[SGC_PATH_SIZE];
        sgc_layout_channel_path(l->cube->definition, level_of(l), band, path);
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
    const sgc_rect common = sgc_rect_intersect(
        b->changed, (sgc_rect){(int64_t)start[2], (int64_t)start[1], (int64_t)count[2],
                              (int64_t)count[1]});
    for (int64_t r = common.y; status == SGC_OK && r < common.y + common.height; r++)
        memcpy(chunk + (r - (int64_t)start[1]) * (int64_t)width + (common.x - (int64_t)start[2]),
               flag_at(b, band, r, common.x), (size_t)common.width);
    if (status == SGC_OK)
        status = sgc_array_write_chunk(b->load->cube->repository, m, chunk, 1, &encoded, &ref, err);
    if (status == SGC_OK) {
        char path[SGC_PATH_SIZE];
        const uint32_t coordinates[] = {band, row, column};
        sgc_layout_complete_path(level_of(b->load), path);
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
    for (size_t band = 0; band < band_count(b->load); band++)
        for (int64_t r = b->changed.y / height; r * height < b->changed.y + b->changed.height; r++)
            for (int64_t c = b->changed.x / width; c * width < b->changed.x + b->changed.width; c++)
                SGC_TRY(put_flags_chunk(b, (uint32_t)band, (uint32_t)r, (uint32_t)c, err));
    return SGC_OK;
}

static bool all_complete(const batch *b, sgc_rect chunks)
{
    for (size_t band = 0; band < band_count(b->load); band++)
        for (int64_t r = chunks.y; r < chunks.y + chunks.height; r++)
            for (int64_t c = chunks.x; c < chunks.x + chunks.width; c++)
                if (*flag_at(b, band, r, c) == 0)
                    return false;
    return true;
}

/* Names a patch in the commit's metadata. */
static sgc_status describe_patch(batch *b, const sgc_patch *patch, sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(&b->metadata, err, "%s{\"id\":", b->patch_count++ > 0 ? "," : ""));
    SGC_TRY(sgc_json_quote(&b->metadata, patch->id, err));
    if (patch->hrefs != NULL && patch->hrefs[0] != NULL) {
        SGC_TRY(sgc_buffer_print(&b->metadata, err, ",\"href\":"));
        SGC_TRY(sgc_json_quote(&b->metadata, patch->hrefs[0], err));
    }
    pthread_mutex_lock(&b->load->mutex);
    const patch_cost cost = b->load->costs[patch - b->load->patches.patches];
    pthread_mutex_unlock(&b->load->mutex);
    if (cost.fetch.etag[0] != '\0') {
        SGC_TRY(sgc_buffer_print(&b->metadata, err, ",\"etag\":"));
        SGC_TRY(sgc_json_quote(&b->metadata, cost.fetch.etag, err));
    }
    char seconds[32];
    CPLsnprintf(seconds, sizeof seconds, "%.3f", cost.seconds);
    return sgc_buffer_print(&b->metadata, err, ",\"bytes\":%llu,\"seconds\":%s}",
                            (unsigned long long)cost.fetch.bytes, seconds);
}

/* Adds the patches all of whose chunks are complete now to the list in the root attributes, and names
 * those that this batch used. */
static sgc_status put_patches(batch *b, sgc_error *err)
{
    const load *l = b->load;
    const sgc_node *root = sgc_snapshot_find(sgc_session_base(b->session), "/");
    SGC_TRY(sgc_buffer_print(&b->metadata, err, "{\"sgc_patches\":["));
    for (size_t i = 0; l->level == 0 && i < l->patches.count; i++) {
        const sgc_patch *patch = &l->patches.patches[i];
        const sgc_rect chunks = patch_chunks(l, patch);
        bool loaded;
        if (!patch_meets_batch(l, chunks))
            continue;
        SGC_TRY(describe_patch(b, patch, err));
        SGC_TRY(sgc_layout_is_loaded(root, patch->id, &loaded, err));
        if (loaded || !all_complete(b, chunks))
            continue;
        if (b->loaded.size > 0)
            SGC_TRY(sgc_buffer_append(&b->loaded, ", ", 2, err));
        SGC_TRY(sgc_json_quote(&b->loaded, patch->id, err));
    }
    SGC_TRY(sgc_buffer_print(&b->metadata, err, "]}%c", '\0'));
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
    load *l = b->load;
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
    const load *l = b->load;
    char message[160];
    if (l->level == 0)
        snprintf(message, sizeof message, "Load %zu chunk%s from %zu patch%s", b->count,
                 b->count == 1 ? "" : "s", b->patch_count, b->patch_count == 1 ? "" : "es");
    else
        snprintf(message, sizeof message, "Load %zu chunk%s of level %lld", b->count,
                 b->count == 1 ? "" : "s", (long long)level_of(l)->factor);
    return sgc_session_commit(b->session, message, (const char *)b->metadata.data, NULL, err);
}

/* One attempt; SGC_CONFLICT when the branch moved meanwhile. */
static sgc_status try_commit(load *l, sgc_error *err)
{
    batch b = {.load = l};
    SGC_TRY(sgc_session_new(l->cube->repository, l->cube->ref, &b.session, err));
    sgc_status status = sgc_view_of(l->cube, sgc_session_base(b.session), &b.base, err);
    if (status == SGC_OK && b.base->complete[l->level] == NULL)
        status = sgc_fail(err, SGC_CONFLICT, "%s: the branch was reset while loading",
                          l->cube->place);
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

static void pause_randomly(int attempt)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const long most = attempt < 6 ? 2L << attempt : 128;
    const long pause = 1 + now.tv_nsec / 64 % most; /* milliseconds; jitter from the clock */
    nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
}

/* How many tasks are finished and not committed. */
static size_t count_finished(load *l)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->task_count; i++)
        n += l->tasks[i].done && l->tasks[i].complete != 0 && !l->tasks[i].committed;
    pthread_mutex_unlock(&l->mutex);
    return n;
}

/* Takes the finished tasks into the batch and says how many there are. */
static size_t collect_batch(load *l)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->task_count; i++) {
        task *t = &l->tasks[i];
        t->in_batch = t->done && t->complete != 0 && !t->committed;
        n += t->in_batch;
    }
    pthread_mutex_unlock(&l->mutex);
    return n;
}

/* Commits what is finished and gives up its claims. */
static sgc_status commit_finished(load *l, sgc_error *err)
{
    enum { ATTEMPTS = 1000 };
    if (collect_batch(l) == 0)
        return SGC_OK;
    sgc_status status = SGC_CONFLICT;
    for (int attempt = 0; status == SGC_CONFLICT && attempt < ATTEMPTS; attempt++) {
        if (attempt > 0)
            pause_randomly(attempt);
        status = try_commit(l, err);
    }
    SGC_TRY(status);
    for (size_t i = 0; i < l->task_count; i++) {
        task *t = &l->tasks[i];
        if (!t->in_batch)
            continue;
        t->committed = true;
        release_claim(l, t);
        for (size_t b = 0; b < band_count(l); b++)
            sgc_buffer_free(&t->inlined[b]);
    }
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->patches.count; i++)
        if (patch_meets_batch(l, patch_chunks(l, &l->patches.patches[i])))
            l->costs[i] = (patch_cost){0};
    pthread_mutex_unlock(&l->mutex);
    return sgc_cube_refresh(l->cube, err);
}

/* ---- the load ---- */

/* Starts the workers; they keep away from the host's signals. */
static sgc_status start_workers(load *l, unsigned count, void *(*fn)(void *), pthread_t *threads,
                                unsigned *started, sgc_error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->running = count;
    *started = 0;
    while (*started < count && pthread_create(&threads[*started], NULL, fn, l) == 0)
        (*started)++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_mutex_lock(&l->mutex);
    l->running -= count - *started;
    pthread_mutex_unlock(&l->mutex);
    return *started > 0 ? SGC_OK : sgc_fail(err, SGC_NO_MEMORY, "cannot start a thread");
}

/* Waits a moment for workers; true while any runs. */
static bool wait_for_workers(load *l, double *fraction)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    add_milliseconds(&until, TICK_MILLISECONDS);
    pthread_mutex_lock(&l->mutex);
    if (l->running > 0)
        pthread_cond_timedwait(&l->progress, &l->mutex, &until);
    const bool running = l->running > 0;
    *fraction = (double)l->finished / (double)l->task_count;
    pthread_mutex_unlock(&l->mutex);
    return running;
}

/* Reports progress; a wish to stop ends all fetches. */
static void tick(load *l, double fraction)
{
    const sgc_progress *progress = l->policy->progress;
    if (progress == NULL || progress->report(progress->user, fraction) || atomic_load(&l->stop))
        return;
    const sgc_error error = {"cancelled; what was finished is in the cube"};
    fail_load(l, SGC_CANCELLED, &error);
    atomic_store(&l->stop, true);
}

static double batch_seconds(void)
{
    char fallback[16];
    snprintf(fallback, sizeof fallback, "%d", BATCH_SECONDS);
    return CPLAtof(CPLGetConfigOption("SGC_COMMIT_INTERVAL", fallback));
}

/* Runs workers over all tasks that are not done, and commits on the way. */
static void run_round(load *l)
{
    pthread_t threads[MOST_WORKERS];
    unsigned started = 0;
    sgc_error error = {""};
    struct timespec last_commit;
    clock_gettime(CLOCK_MONOTONIC, &last_commit);
    l->next = l->finished = 0;
    const unsigned count = worker_count(l), cpus = l->policy->num_threads;
    l->encode_threads = cpus > count ? cpus / count : 1;
    sgc_status status = start_workers(l, count, fill_worker, threads, &started, &error);
    double fraction;
    while (wait_for_workers(l, &fraction)) {
        tick(l, fraction);
        if (status == SGC_OK && (seconds_since(&last_commit) >= batch_seconds() ||
                                 count_finished(l) >= BATCH_CHUNKS)) {
            status = commit_finished(l, &error);
            clock_gettime(CLOCK_MONOTONIC, &last_commit);
            if (status != SGC_OK)
                fail_load(l, status, &error);
        }
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (status == SGC_OK)
        status = commit_finished(l, &error);
    if (status != SGC_OK)
        fail_load(l, status, &error);
}

/* Keeps the tasks that somebody else had claimed and has not completed, and says how many. */
static sgc_status keep_unfinished(load *l, sgc_error *err)
{
    SGC_TRY(sgc_cube_refresh(l->cube, err));
    size_t n = 0;
    for (size_t i = 0; i < l->task_count; i++) {
        task *t = &l->tasks[i];
        bool missing = false;
        if (!t->committed)
            SGC_TRY(is_still_missing(l, t, &missing, err));
        if (missing) {
            const task kept = {.at = t->at};
            l->tasks[n++] = kept;
        }
    }
    l->task_count = n;
    return SGC_OK;
}

static void clear_tasks(load *l)
{
    for (size_t i = 0; i < l->task_count; i++) {
        task *t = &l->tasks[i];
        release_claim(l, t);
        for (size_t b = 0; t->inlined != NULL && b < band_count(l); b++)
            sgc_buffer_free(&t->inlined[b]);
        free(t->inlined);
        free(t->refs);
        t->inlined = NULL;
        t->refs = NULL;
    }
}

/* Round after round, until other processes have finished what they had claimed. */
static sgc_status run_rounds(load *l, sgc_error *err)
{
    while (l->task_count > 0) {
        run_round(l);
        clear_tasks(l);
        if (l->status != SGC_OK)
            return sgc_fail(err, l->status, "%s", l->error.message);
        SGC_TRY(keep_unfinished(l, err));
        if (l->task_count > 0) {
            tick(l, 0);
            nanosleep(&(struct timespec){.tv_nsec = TICK_MILLISECONDS * 1000000L}, NULL);
        }
    }
    return SGC_OK;
}

/* Nearest to the middle of what is wanted first. */
static int compare_distance(const void *a, const void *b, void *user)
{
    const sgc_position *left = &((const task *)a)->at, *right = &((const task *)b)->at;
    const double *middle = user;
    const double lr = left->row - middle[0], lc = left->column - middle[1];
    const double rr = right->row - middle[0], rc = right->column - middle[1];
    const double l = lr * lr + lc * lc, r = rr * rr + rc * rc;
    if (l != r)
        return l < r ? -1 : 1;
    return left->row != right->row ? (left->row < right->row ? -1 : 1)
                                   : (left->column > right->column) - (left->column < right->column);
}

static sgc_status plan_tasks(load *l, const sgc_position *positions, size_t count, sgc_rect wanted,
                             sgc_error *err)
{
    const sgc_level *level = level_of(l);
    l->tasks = calloc(count, sizeof *l->tasks);
    if (l->tasks == NULL)
        return sgc_fail_memory(err, count * sizeof *l->tasks, "a load");
    l->task_count = count;
    for (size_t i = 0; i < count; i++)
        l->tasks[i].at = positions[i];
    double middle[] = {
        ((double)wanted.y + (double)wanted.height / 2) / (double)level->chunk_height - 0.5,
        ((double)wanted.x + (double)wanted.width / 2) / (double)level->chunk_width - 0.5};
    qsort_r(l->tasks, count, sizeof *l->tasks, compare_distance, middle);
    return SGC_OK;
}

/* Finds the patches of all tasks at once. */
static void find_patches(load *l)
{
    const sgc_level *level = level_of(l);
    const int64_t f = level->factor;
    sgc_rect extent = {0};
    for (size_t i = 0; i < l->task_count; i++)
        extent = sgc_rect_unite(
            extent, sgc_level_chunk_rect(level, l->tasks[i].at.row, l->tasks[i].at.column));
    const sgc_rect full = {extent.x * f, extent.y * f, extent.width * f, extent.height * f};
    const sgc_cancel cancel = {stop_requested, l};
    sgc_source *source = l->cube->source;
    sgc_error error = {""};
    sgc_status status = source->find(source, full, &cancel, &l->patches, &error);
    if (status == SGC_OK) {
        l->costs = calloc(l->patches.count + 1, sizeof *l->costs);
        if (l->costs == NULL)
            status = sgc_fail_memory(&error, l->patches.count * sizeof *l->costs, "patches");
    }
    if (status != SGC_OK)
        fail_load(l, status, &error);
}

static void *find_worker(void *user)
{
    return run_worker(user, find_patches);
}

/* On a thread of its own, so that the caller's can report progress and hear of a wish to stop. */
static sgc_status find(load *l, sgc_error *err)
{
    pthread_t thread;
    unsigned started;
    double fraction;
    SGC_TRY(start_workers(l, 1, find_worker, &thread, &started, err));
    while (wait_for_workers(l, &fraction))
        tick(l, 0);
    pthread_join(thread, NULL);
    return l->status == SGC_OK ? SGC_OK : sgc_fail(err, l->status, "%s", l->error.message);
}

sgc_status sgc_load(sgc_cube *cube, size_t level, const sgc_position *positions, size_t count,
                    sgc_rect wanted, const sgc_policy *policy, sgc_error *err)
{
    SGC_TRY(sgc_cube_prepare(cube, level, err));
    load l = {.cube = cube,
              .level = level,
              .policy = policy,
              .configuration = CPLGetThreadLocalConfigOptions()};
    pthread_mutex_init(&l.mutex, NULL);
    pthread_cond_init(&l.progress, NULL);
    sgc_status status = plan_tasks(&l, positions, count, wanted, err);
    if (status == SGC_OK)
        status = find(&l, err);
    if (status == SGC_OK)
        status = run_rounds(&l, err);
    clear_tasks(&l);
    free(l.tasks);
    sgc_patch_list_free(&l.patches);
    free(l.costs);
    CSLDestroy(l.configuration);
    pthread_cond_destroy(&l.progress);
    pthread_mutex_destroy(&l.mutex);
    return status;
}
