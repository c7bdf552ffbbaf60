/* What the parts of a load share: planning and workers (loader.c), filling one chunk (fill.c),
 * committing (committer.c). */
#ifndef SGC_LOAD_H
#define SGC_LOAD_H

#include <time.h>

#include "gdal_sgc/claims.h"
#include "gdal_sgc/compose.h"
#include "gdal_sgc/cube_private.h"

SGC_BEGIN_C

/* A position and what became of it. A worker owns it until `done`, the committer afterwards.
 */
typedef struct sgc_task {
    sgc_position at;
    bool done; /* guarded by the load's mutex */
    sgc_claim claim;
    uint8_t complete;    /* what to record; 0: nothing, somebody else has it or it failed */
    sgc_view *view;      /* what it was filled on; counted */
    sgc_chunk_ref *refs; /* one per band of the position */
    bool *kept;          /* likewise: what is stored stays */
    sgc_buffer *inlined; /* likewise: what inline references borrow from */
    bool in_batch;       /* waits for the commit in hand */
    bool committed;
} sgc_task;

/* What is known of a patch, and what it has cost since the last commit that names it. */
typedef struct sgc_patch_cost {
    bool was_absent;  /* it was only supposed, or has no such band */
    bool was_present; /* some of it was read */
    sgc_fetch fetch;
    double seconds;
    uint64_t all_bytes; /* of the whole load */
    double all_seconds;
    size_t chunks_left; /* that it meets and this load has not finished; for the log */
} sgc_patch_cost;

/* The patches of a time step that meet a load. */
typedef struct sgc_step_patches {
    size_t step;
    sgc_rect extent; /* around the step's chunks: pixels of the level */
    sgc_patch_list list;
    sgc_patch_cost *costs; /* one per patch; guarded by the mutex */
} sgc_step_patches;

/* What a load says (load_report.c). */
typedef struct sgc_load_report {
    struct timespec start;
    bool says_lines;  /* on the terminal */
    double next_line; /* seconds after the start */
    int log;          /* descriptor; -1: none */
    atomic_bool log_failed;
} sgc_load_report;

typedef struct sgc_loading {
    sgc_cube *cube;
    size_t level;
    const sgc_policy *policy;
    sgc_source *source;
    sgc_step_patches *steps; /* ascending */
    size_t step_count;
    size_t bands_at_once; /* that a worker composes */
    double worker_bytes;  /* that it needs for them */
    bool may_wait;        /* for a turn (turns.c) */
    pthread_t thread;     /* the caller's */
    char **configuration; /* of that thread */
    unsigned encode_threads;
    atomic_bool stop;      /* fetches end as soon as they can */
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t progress;
    sgc_task *tasks;
    size_t task_count, next, running;
    size_t filled, committed; /* of the tasks */
    size_t position_count;    /* that the load began with */
    uint64_t bytes;           /* received */
    sgc_load_report report;
    struct timespec last_look, last_commit; /* the caller's thread's own */
    sgc_status status;                      /* of the first failure */
    sgc_error error;
} sgc_loading;

static inline const sgc_level *sgc_loading_level(const sgc_loading *l)
{
    return &l->cube->levels[l->level];
}

/* Of the whole cube. */
static inline size_t sgc_loading_bands(const sgc_loading *l)
{
    return l->cube->definition->band_count;
}

static inline size_t sgc_loading_unit_bands(const sgc_loading *l)
{
    return sgc_cube_unit_bands(l->cube);
}

/* The patches of one of the load's time steps. */
sgc_step_patches *sgc_loading_patches(const sgc_loading *l, size_t step);

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

/* A channel of a chunk under composition. */
typedef struct sgc_plane {
    size_t band;
    sgc_canvas canvas;
    uint8_t *window; /* of one patch */
    uint8_t *window_valid;
    bool absent;     /* a patch has no such band */
    bool changed;    /* a patch was applied */
    bool has_listed; /* what is listed as loaded is in what was stored */
} sgc_plane;

/* What one worker works with, in its turn. */
typedef struct sgc_workspace {
    sgc_loading *load;
    sgc_plane *planes; /* load->bands_at_once, like all that follow */
    sgc_plane **open;  /* those that the patch in hand may change */
    size_t open_count;
    size_t *bands; /* of the open ones, for the source */
    void **pixels;
    uint8_t **valid;
} sgc_workspace;

/* Decides how many bands a worker composes at once, and says for how many workers of this load
 * alone SGC_LOAD_MEMORY would do, at least 1. */
double sgc_plan_memory(sgc_loading *l);
/* Must be freed in any case. */
SGC_CHECKED sgc_status sgc_workspace_init(sgc_workspace *w, sgc_loading *l, sgc_error *err);
void sgc_workspace_free(sgc_workspace *w);

/* Composes, encodes and writes the chunks of a task's bands, on the task's view. */
SGC_CHECKED sgc_status sgc_fill_chunk(sgc_workspace *w, sgc_task *t, sgc_error *err);

/* Writes a chunk of what `theirs` has where it has a value, else of what `ours` has. `encoded` and
 * `out` are as in sgc_array_write_chunk(). */
SGC_CHECKED sgc_status sgc_merge_chunks(const sgc_loading *l, const sgc_view *view, size_t band,
                                        const sgc_chunk_ref *theirs, const sgc_chunk_ref *ours,
                                        sgc_buffer *encoded, sgc_chunk_ref *out, sgc_error *err);

/* ---- turns.c ---- */

/* What a worker fills one chunk in: a share of SGC_LOAD_MEMORY and one of the requests that the
 * source bears, which all loads from the source have in common. Turns are given in the order in
 * which workers come. Who has one waits for no claim and for no other turn, so that it ends. */
typedef struct sgc_turn {
    const sgc_source *source;
    double bytes, limit;
    bool given;
    struct sgc_turn *next; /* that came later */
} sgc_turn;

/* Waits for a turn; false, without one, when there is no task for it any more. Where the source
 * stays on its thread, and in the middle of another load of the caller's thread, a turn is given at
 * once: whoever has the others might wait for that thread. */
bool sgc_turn_begin(sgc_turn *turn, sgc_loading *l);
void sgc_turn_end(sgc_turn *turn);

/* ---- committer.c ---- */

/* Commits what is finished and gives up its claims. The caller is the thread that loads. */
SGC_CHECKED sgc_status sgc_commit_finished(sgc_loading *l, sgc_error *err);

/* Appends a patch as a JSON object: its id, where it lies, where it comes from, and its cost. */
SGC_CHECKED sgc_status sgc_print_patch(sgc_buffer *out, const sgc_time_axis *axis,
                                       const sgc_patch *patch, const sgc_patch_cost *cost,
                                       uint64_t bytes, double seconds, sgc_error *err);

/* ---- load_report.c ---- */

/* Between begin and end the caller's thread ticks, and workers tell which tasks they have finished.
 * The end says what could not be said before, and whether the load failed. */
void sgc_load_report_begin(sgc_loading *l);
void sgc_load_report_plan(sgc_loading *l); /* once the patches are known */
void sgc_load_report_tick(sgc_loading *l);
void sgc_load_report_task(sgc_loading *l, const sgc_task *t);
void sgc_load_report_end(sgc_loading *l, sgc_status status, const sgc_error *error);

/* ---- loader.c ---- */

/* How many of the load's positions are filled; the mutex is held. */
static inline size_t sgc_loading_done_locked(const sgc_loading *l)
{
    return l->position_count - l->task_count + l->filled;
}

/* Whether a task is left that nobody has taken, and the load goes on. */
bool sgc_loading_has_task(sgc_loading *l);

SGC_END_C

#endif
