/* What the parts of a load share: planning and workers (loader.c), filling one chunk (fill.c),
 * committing (committer.c). */
#ifndef SGC_LOAD_H
#define SGC_LOAD_H

#include <time.h>

#include "gdal_sgc/cube_private.h"

SGC_BEGIN_C

/* What `complete` says about a chunk besides 0 (architecture 6.3). */
enum {
    SGC_COMPLETE = 1,
    SGC_COMPLETE_FOR_NOW = 2, /* an asset was missing that may come */
};

/* A chunk position and what became of it. A worker owns it until `done`, the committer afterwards.
 */
typedef struct sgc_task {
    sgc_position at;
    bool done;           /* guarded by the load's mutex */
    bool locked;         /* by this process, on disk */
    uint8_t complete;    /* what to record; 0: nothing, somebody else has it or it failed */
    sgc_chunk_ref *refs; /* one per band */
    sgc_buffer *inlined; /* one per band: what inline references borrow from */
    bool in_batch;       /* waits for the commit in hand */
    bool committed;
} sgc_task;

/* What a patch has cost since the last commit that names it. */
typedef struct sgc_patch_cost {
    sgc_fetch fetch;
    double seconds;
} sgc_patch_cost;

typedef struct sgc_loading {
    sgc_cube *cube;
    size_t level;
    const sgc_policy *policy;
    sgc_patch_list patches;
    sgc_patch_cost *costs; /* one per patch; guarded by the mutex */
    char **configuration;  /* of the caller's thread */
    unsigned encode_threads;
    atomic_bool stop;      /* fetches end as soon as they can */
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t progress;
    sgc_task *tasks;
    size_t task_count, next, finished, running;
    sgc_status status; /* of the first failure */
    sgc_error error;
} sgc_loading;

static inline const sgc_level *sgc_loading_level(const sgc_loading *l)
{
    return &l->cube->levels[l->level];
}

static inline size_t sgc_loading_bands(const sgc_loading *l)
{
    return l->cube->definition->band_count;
}

/* Seconds of monotonic time since `start`. */
static inline double sgc_seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* For the source: whether fetches shall end; `user` is the load. */
bool sgc_loading_stops(void *user);

/* ---- fill.c ---- */

/* What one worker works with, allocated once. */
typedef struct sgc_workspace {
    sgc_loading *load;
    unsigned char *chunk;  /* one encoded block of a channel, decoded */
    uint8_t *valid;        /* of the chunk */
    unsigned char *window; /* of one patch */
    uint8_t *window_valid;
} sgc_workspace;

/* Bytes that a worker needs. */
size_t sgc_workspace_size(const sgc_loading *l);
/* Must be freed in any case. */
SGC_CHECKED sgc_status sgc_workspace_init(sgc_workspace *w, sgc_loading *l, sgc_error *err);
void sgc_workspace_free(sgc_workspace *w);

/* Composes, encodes and writes all channels of a task's chunk. */
SGC_CHECKED sgc_status sgc_fill_chunk(sgc_workspace *w, const sgc_view *view, sgc_task *t,
                                      sgc_error *err);

/* ---- committer.c ---- */

/* How many tasks are finished and not committed. */
size_t sgc_count_finished(sgc_loading *l);

/* Commits what is finished and gives up its claims. The caller is the thread that loads. */
SGC_CHECKED sgc_status sgc_commit_finished(sgc_loading *l, sgc_error *err);

/* ---- loader.c ---- */

void sgc_release_claim(sgc_loading *l, sgc_task *t);

SGC_END_C

#endif
