/* From chunks that are missing to a committed snapshot.
 *
 * The caller's thread plans, starts workers, reports progress and commits; workers take one
 * position at a time, read the windows of all patches that meet it, compose, encode and write its
 * objects. Other threads of the process and other processes on the disk do the same: a position
 * that they have claimed is left to them and looked at again when nothing else is left to do, so
 * that those with one window share its work (claims.h).
 */
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

#include "datasets/configured.h"
#include "datasets/http.h"
#include "datasets/quiet.h"
#include "gdal_sgc/load.h"

enum {
    MOST_WORKERS = 64,
    BATCH_SECONDS = 10,
    BATCH_CHUNKS = 100,      /* few enough that the commit can name its patches */
    TICK_MILLISECONDS = 100, /* between two looks at progress and cancellation */
};

static const double AWAITED_SECONDS = 0.5; /* between commits of what somebody waits for */

static void fail_load(sgc_loading *l, sgc_status status, const sgc_error *error)
{
    pthread_mutex_lock(&l->mutex);
    if (l->status == SGC_OK) {
        l->status = status;
        l->error = *error;
    }
    pthread_mutex_unlock(&l->mutex);
}

/* ---- the caller's thread ---- */

/* Reports progress; a wish to stop and the deadline end all fetches. */
static void tick(sgc_loading *l)
{
    sgc_error error;
    if (atomic_load(&l->stop))
        return;
    pthread_mutex_lock(&l->mutex);
    const double fraction = (double)sgc_loading_done_locked(l) / (double)l->position_count;
    pthread_mutex_unlock(&l->mutex);
    sgc_load_report_tick(l);
    const sgc_status status = sgc_policy_check(l->policy, fraction, &error);
    clock_gettime(CLOCK_MONOTONIC, &l->last_look);
    if (status == SGC_OK)
        return;
    fail_load(l, status, &error);
    atomic_store(&l->stop, true);
}

static void commit(sgc_loading *l)
{
    sgc_error error = {""};
    const sgc_status status = sgc_commit_finished(l, &error);
    clock_gettime(CLOCK_MONOTONIC, &l->last_commit);
    if (status != SGC_OK)
        fail_load(l, status, &error);
}

static double batch_seconds(void)
{
    double seconds = BATCH_SECONDS;
    (void)sgc_configured_number("SGC_COMMIT_INTERVAL", 0, &seconds);
    return seconds;
}

/* Whether somebody waits for one of so many chunks that are finished and not committed, which are
 * among the last ones. The mutex is held. */
static bool is_awaited(const sgc_loading *l, size_t finished)
{
    for (size_t i = l->next; i > 0 && finished > 0; i--) {
        const sgc_task *t = &l->tasks[i - 1];
        if (!t->done || t->complete == 0 || t->committed)
            continue;
        if (t->claim.wanted)
            return true;
        finished--;
    }
    return false;
}

/* What the caller's thread does now and then while tasks run. */
static void look_around(sgc_loading *l)
{
    tick(l);
    pthread_mutex_lock(&l->mutex);
    const size_t finished = l->filled - l->committed;
    const bool may_hurry = sgc_seconds_since(&l->last_commit) >= AWAITED_SECONDS;
    const bool is_batch = finished >= BATCH_CHUNKS || (may_hurry && is_awaited(l, finished));
    const bool goes_on = l->status == SGC_OK;
    pthread_mutex_unlock(&l->mutex);
    if (goes_on && (is_batch || sgc_seconds_since(&l->last_commit) >= batch_seconds()))
        commit(l);
}

/* Where the caller's thread is the one that reads, it looks around from there. */
bool sgc_loading_stops(void *user)
{
    sgc_loading *l = user;
    if (l->source->stays_on_thread && pthread_equal(l->thread, pthread_self()) &&
        sgc_seconds_since(&l->last_look) * 1000 >= TICK_MILLISECONDS)
        tick(l);
    return atomic_load(&l->stop);
}

/* ---- workers ---- */

/* Whether there is a next task and the load goes on. The mutex is held. */
static bool has_task_locked(const sgc_loading *l)
{
    return l->status == SGC_OK && !atomic_load(&l->stop) && l->next < l->task_count;
}

bool sgc_loading_has_task(sgc_loading *l)
{
    pthread_mutex_lock(&l->mutex);
    const bool has_task = has_task_locked(l);
    pthread_mutex_unlock(&l->mutex);
    return has_task;
}

/* The next task, or NULL. */
static sgc_task *take_task(sgc_loading *l)
{
    pthread_mutex_lock(&l->mutex);
    sgc_task *t = has_task_locked(l) ? &l->tasks[l->next++] : NULL;
    pthread_mutex_unlock(&l->mutex);
    return t;
}

static sgc_status fill_task(sgc_loading *l, sgc_task *t, sgc_error *err)
{
    sgc_workspace w;
    sgc_status status = sgc_workspace_init(&w, l, err);
    if (status == SGC_OK)
        status = sgc_fill_chunk(&w, t, err);
    sgc_workspace_free(&w);
    return status;
}

/* Whoever held the claim before may have completed the position: looks at the tip. `prepared` is a
 * view that has the arrays; the tip has none where the branch was reset meanwhile. */
static sgc_status run_task(sgc_loading *l, sgc_view *prepared, sgc_task *t, sgc_error *err)
{
    bool missing;
    SGC_TRY(sgc_claim_take(l->cube, l->level, t->at, &t->claim, err));
    if (!t->claim.taken)
        return SGC_OK;
    SGC_TRY(sgc_cube_refresh(l->cube, err));
    sgc_cube_view(l->cube, &t->view);
    if (t->view == NULL || t->view->channels[l->level] == NULL) {
        sgc_view_unref(t->view);
        t->view = sgc_view_ref(prepared);
    }
    SGC_TRY(sgc_view_lacks(l->cube, t->view, l->level, t->at, &missing, err));
    return missing ? fill_task(l, t, err) : SGC_OK;
}

/* Runs the next task, in a turn of the calling worker. */
static sgc_status run_next(sgc_loading *l, sgc_view *prepared, sgc_error *err)
{
    sgc_task *t = take_task(l);
    if (t == NULL)
        return SGC_OK;
    const sgc_status status = run_task(l, prepared, t, err);
    sgc_load_report_task(l, t);
    pthread_mutex_lock(&l->mutex);
    t->done = true;
    l->filled += t->complete != 0;
    pthread_cond_signal(&l->progress);
    pthread_mutex_unlock(&l->mutex);
    return status;
}

static void run_tasks(sgc_loading *l)
{
    sgc_view *prepared;
    sgc_turn turn;
    sgc_cube_view(l->cube, &prepared);
    while (sgc_turn_begin(&turn, l)) {
        sgc_error error = {""};
        const sgc_status status = run_next(l, prepared, &error);
        if (status != SGC_OK)
            fail_load(l, status, &error);
        sgc_turn_end(&turn);
        if (l->source->stays_on_thread)
            look_around(l);
    }
    sgc_view_unref(prepared);
}

/* Runs `work` as the caller's thread would: with its configuration, but silent. */
static void *run_worker(sgc_loading *l, void (*work)(sgc_loading *))
{
    CPLSetThreadLocalConfigOptions((const char *const *)l->configuration);
    sgc_quiet quiet = sgc_quiet_begin();
    work(l);
    sgc_quiet_end(&quiet);
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

static unsigned worker_count(sgc_loading *l, double count, size_t tasks)
{
    if (count > l->source->max_requests)
        count = l->source->max_requests;
    if (count > (double)tasks)
        count = (double)tasks;
    return count < 1 ? 1 : count > MOST_WORKERS ? MOST_WORKERS : (unsigned)count;
}

/* ---- the load ---- */

/* Starts the workers; they keep away from the host's signals. */
static sgc_status start_workers(sgc_loading *l, unsigned count, void *(*fn)(void *),
                                pthread_t *threads, unsigned *started, sgc_error *err)
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
static bool wait_for_workers(sgc_loading *l)
{
    pthread_mutex_lock(&l->mutex);
    if (l->running > 0)
        sgc_condition_wait(&l->progress, &l->mutex, TICK_MILLISECONDS);
    const bool running = l->running > 0;
    pthread_mutex_unlock(&l->mutex);
    return running;
}

/* Works on this thread, silently; what GDAL has said to it before stays its last word. */
static void work_here(sgc_loading *l, void (*work)(sgc_loading *))
{
    sgc_quiet quiet = sgc_quiet_begin();
    work(l);
    sgc_quiet_end(&quiet);
}

/* Works on `count` threads, while the caller's does `meanwhile`. */
static sgc_status work_on_threads(sgc_loading *l, unsigned count, void *(*work)(void *),
                                  void (*meanwhile)(sgc_loading *), sgc_error *err)
{
    pthread_t threads[MOST_WORKERS];
    unsigned started;
    const sgc_status status = start_workers(l, count, work, threads, &started, err);
    while (wait_for_workers(l))
        meanwhile(l);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return status;
}

/* Runs all tasks that are not done, and commits on the way. */
static void run_round(sgc_loading *l)
{
    sgc_error error = {""};
    sgc_status status = SGC_OK;
    const unsigned count = worker_count(l, sgc_plan_memory(l), l->task_count),
                   cpus = l->policy->num_threads;
    l->next = 0;
    clock_gettime(CLOCK_MONOTONIC, &l->last_commit);
    l->encode_threads = cpus > count ? cpus / count : 1;
    if (l->source->stays_on_thread)
        work_here(l, run_tasks);
    else
        status = work_on_threads(l, count, fill_worker, look_around, &error);
    if (status != SGC_OK)
        fail_load(l, status, &error);
    commit(l);
}

/* Keeps the tasks that somebody else had claimed and has not completed, and says how many. */
static sgc_status keep_unfinished(sgc_loading *l, sgc_error *err)
{
    SGC_TRY(sgc_cube_refresh(l->cube, err));
    sgc_view *view;
    sgc_status status = SGC_OK;
    size_t n = 0;
    sgc_cube_view(l->cube, &view);
    for (size_t i = 0; status == SGC_OK && i < l->task_count; i++) {
        sgc_task *t = &l->tasks[i];
        bool missing = false;
        if (!t->committed)
            status = sgc_view_lacks(l->cube, view, l->level, t->at, &missing, err);
        if (missing) {
            const sgc_task kept = {.at = t->at};
            l->tasks[n++] = kept;
        }
    }
    sgc_view_unref(view);
    l->task_count = n;
    l->filled = l->committed = 0;
    return status;
}

/* Forgets what a task holds. */
static void clear_task(sgc_loading *l, sgc_task *t)
{
    sgc_claim_release(l->cube, &t->claim);
    for (size_t b = 0; t->inlined != NULL && b < sgc_loading_unit_bands(l); b++)
        sgc_buffer_free(&t->inlined[b]);
    free(t->inlined);
    free(t->refs);
    free(t->kept);
    sgc_view_unref(t->view);
    t->inlined = NULL;
    t->refs = NULL;
    t->kept = NULL;
    t->view = NULL;
}

static void clear_tasks(sgc_loading *l)
{
    for (size_t i = 0; i < l->task_count; i++)
        clear_task(l, &l->tasks[i]);
}

/* Round after round, until others have finished what they had claimed. */
static sgc_status run_rounds(sgc_loading *l, sgc_error *err)
{
    while (l->task_count > 0) {
        run_round(l);
        clear_tasks(l);
        if (l->status != SGC_OK)
            return sgc_fail(err, l->status, "%s", l->error.message);
        SGC_TRY(keep_unfinished(l, err));
        if (l->task_count > 0) {
            SGC_TRY(sgc_check_may_wait(err));
            tick(l);
            nanosleep(&(struct timespec){.tv_nsec = TICK_MILLISECONDS * 1000000L}, NULL);
        }
    }
    return SGC_OK;
}

/* Nearest to the middle of what is wanted first. */
static int compare_distance(const void *a, const void *b, void *user)
{
    const sgc_position *left = a, *right = b;
    const double *middle = user;
    const double lr = left->row - middle[0], lc = left->column - middle[1];
    const double rr = right->row - middle[0], rc = right->column - middle[1];
    const double l = lr * lr + lc * lc, r = rr * rr + rc * rc;
    if (l != r)
        return l < r ? -1 : 1;
    const int32_t differences[] = {left->row - right->row, left->column - right->column,
                                   left->step - right->step, left->band - right->band};
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
        if (differences[i] != 0)
            return differences[i];
    return 0;
}

void sgc_sort_positions(const sgc_level *level, sgc_rect wanted, sgc_position *positions,
                        size_t count)
{
    double middle[] = {
        ((double)wanted.y + (double)wanted.height / 2) / (double)level->chunk_height - 0.5,
        ((double)wanted.x + (double)wanted.width / 2) / (double)level->chunk_width - 0.5};
    if (count > 0) /* else there is no list */
        qsort_r(positions, count, sizeof *positions, compare_distance, middle);
}

static sgc_status plan_tasks(sgc_loading *l, const sgc_position *positions, size_t count,
                             sgc_error *err)
{
    l->tasks = calloc(count, sizeof *l->tasks);
    if (l->tasks == NULL)
        return sgc_fail_memory(err, count * sizeof *l->tasks, "a load");
    l->task_count = l->position_count = count;
    for (size_t i = 0; i < count; i++)
        l->tasks[i].at = positions[i];
    return SGC_OK;
}

/* Claims what workers begin with, before patches are looked for: whoever wants the same waits, and
 * need not ask for them too. */
static sgc_status claim_first(sgc_loading *l, sgc_error *err)
{
    const unsigned count = worker_count(l, sgc_plan_memory(l), l->task_count);
    for (unsigned i = 0; i < count; i++)
        SGC_TRY(sgc_claim_take(l->cube, l->level, l->tasks[i].at, &l->tasks[i].claim, err));
    return SGC_OK;
}

/* Whether anything is left to this load: a position that is not complete by now and that no other
 * load of the process has claimed meanwhile. */
static sgc_status find_work(sgc_loading *l, bool *found, sgc_error *err)
{
    sgc_view *view;
    sgc_status status = sgc_cube_refresh(l->cube, err);
    *found = false;
    sgc_cube_view(l->cube, &view);
    for (size_t i = 0; status == SGC_OK && !*found && i < l->task_count; i++) {
        sgc_task *t = &l->tasks[i];
        if (t->claim.taken || !sgc_claims_has(l->cube, l->level, t->at))
            status = sgc_view_lacks(l->cube, view, l->level, t->at, found, err);
    }
    sgc_view_unref(view);
    return status;
}

/* ---- patches ---- */

static int compare_steps(const void *a, const void *b)
{
    const size_t l = ((const sgc_step_patches *)a)->step, r = ((const sgc_step_patches *)b)->step;
    return (l > r) - (l < r);
}

sgc_step_patches *sgc_loading_patches(const sgc_loading *l, size_t step)
{
    const sgc_step_patches key = {.step = step};
    return bsearch(&key, l->steps, l->step_count, sizeof key, compare_steps);
}

/* Lists the time steps of the tasks, each with the extent of its chunks. */
static sgc_status plan_steps(sgc_loading *l, sgc_error *err)
{
    l->steps = calloc(l->task_count, sizeof *l->steps);
    if (l->steps == NULL)
        return sgc_fail_memory(err, l->task_count * sizeof *l->steps, "a load");
    for (size_t i = 0; i < l->task_count; i++) {
        const sgc_position *at = &l->tasks[i].at;
        l->steps[i].step = (size_t)at->step;
        l->steps[i].extent = sgc_level_chunk_rect(sgc_loading_level(l), at->row, at->column);
    }
    qsort(l->steps, l->task_count, sizeof *l->steps, compare_steps);
    for (size_t i = 0; i < l->task_count; i++) {
        sgc_step_patches *last = &l->steps[l->step_count > 0 ? l->step_count - 1 : 0];
        if (l->step_count > 0 && last->step == l->steps[i].step)
            last->extent = sgc_rect_unite(last->extent, l->steps[i].extent);
        else
            l->steps[l->step_count++] = l->steps[i];
    }
    return SGC_OK;
}

static sgc_status find_of_step(sgc_loading *l, sgc_step_patches *patches, sgc_error *err)
{
    const int64_t f = sgc_loading_level(l)->factor;
    const sgc_rect extent = patches->extent;
    const sgc_rect full = {extent.x * f, extent.y * f, extent.width * f, extent.height * f};
    const sgc_cancel cancel = {.requested = sgc_loading_stops, .user = l};
    sgc_source *source = l->source;
    SGC_TRY((f > 1 && source->find_level != NULL ? source->find_level : source->find)(
        source, full, patches->step, &cancel, &patches->list, err));
    patches->costs = calloc(patches->list.count + 1, sizeof *patches->costs);
    return patches->costs != NULL ? SGC_OK : sgc_fail_memory(err, patches->list.count, "patches");
}

/* The next step to find patches of, or NULL when there is none or the load has failed. */
static sgc_step_patches *take_step(sgc_loading *l)
{
    pthread_mutex_lock(&l->mutex);
    sgc_step_patches *patches = NULL;
    if (l->status == SGC_OK && !atomic_load(&l->stop) && l->next < l->step_count)
        patches = &l->steps[l->next++];
    pthread_mutex_unlock(&l->mutex);
    return patches;
}

static void find_patches(sgc_loading *l)
{
    sgc_error error = {""};
    sgc_step_patches *patches;
    sgc_status status = SGC_OK;
    while (status == SGC_OK && (patches = take_step(l)) != NULL)
        status = find_of_step(l, patches, &error);
    if (status != SGC_OK)
        fail_load(l, status, &error);
}

static void *find_worker(void *user)
{
    return run_worker(user, find_patches);
}

/* On threads of their own, if it may be, so that the caller's can report progress and hear of a
 * wish to stop. */
static sgc_status find(sgc_loading *l, sgc_error *err)
{
    SGC_TRY(plan_steps(l, err));
    l->next = 0;
    if (l->source->stays_on_thread)
        work_here(l, find_patches);
    else
        SGC_TRY(work_on_threads(l, worker_count(l, MOST_WORKERS, l->step_count), find_worker, tick,
                                err));
    return l->status == SGC_OK ? SGC_OK : sgc_fail(err, l->status, "%s", l->error.message);
}

static void free_patches(sgc_loading *l)
{
    for (size_t i = 0; i < l->step_count; i++) {
        sgc_patch_list_free(&l->steps[i].list);
        free(l->steps[i].costs);
    }
    free(l->steps);
}

static void name_file(const sgc_patch *patch, size_t bands, const sgc_patch_cost *cost, char *text,
                      size_t size)
{
    const char *href = sgc_patch_first_href(patch, bands);
    if (href != NULL)
        sgc_http_redact(href, text, size);
    else
        snprintf(text, size, "%s", cost->fetch.href[0] != '\0' ? cost->fetch.href : patch->id);
}

/* Says which patches were not there, if none was. All workers have ended. */
static sgc_absences find_absences(const sgc_loading *l)
{
    sgc_absences found = {0};
    sgc_view *view;
    sgc_cube_view(l->cube, &view);
    const bool holds_data =
        view == NULL || sgc_snapshot_holds_data(view->snapshot, l->cube->definition);
    sgc_view_unref(view);
    for (size_t i = 0; !holds_data && i < l->step_count; i++)
        for (size_t k = 0; k < l->steps[i].list.count; k++) {
            const sgc_step_patches *step = &l->steps[i];
            if (step->costs[k].was_present)
                return (sgc_absences){0};
            if (step->costs[k].was_absent && found.count++ == 0)
                name_file(&step->list.patches[k], step->list.band_count, &step->costs[k],
                          found.first, sizeof found.first);
        }
    return found;
}

static size_t steps_needed(const sgc_position *positions, size_t count)
{
    int32_t last = 0;
    for (size_t i = 0; i < count; i++)
        last = positions[i].step > last ? positions[i].step : last;
    return (size_t)last + 1;
}

static sgc_status run_load(sgc_loading *l, bool *began, sgc_error *err)
{
    SGC_TRY(claim_first(l, err));
    SGC_TRY(find_work(l, began, err));
    if (!*began)
        return SGC_OK;
    SGC_TRY(find(l, err));
    sgc_load_report_plan(l);
    return run_rounds(l, err);
}

sgc_status sgc_load(sgc_cube *cube, size_t level, const sgc_position *positions, size_t count,
                    const sgc_policy *policy, sgc_absences *absences, uint64_t *received,
                    bool *began, sgc_error *err)
{
    SGC_TRY(sgc_cube_prepare(cube, level, steps_needed(positions, count), err));
    sgc_loading l = {.cube = cube,
                     .level = level,
                     .policy = policy,
                     .source = sgc_cube_source(cube, level),
                     .thread = pthread_self(),
                     .may_wait = sgc_check_may_wait(NULL) == SGC_OK,
                     .configuration = CPLGetThreadLocalConfigOptions()};
    pthread_mutex_init(&l.mutex, NULL);
    sgc_condition_init(&l.progress);
    sgc_error error = {""};
    sgc_load_report_begin(&l);
    sgc_status status = plan_tasks(&l, positions, count, &error);
    if (status == SGC_OK)
        status = run_load(&l, began, &error);
    sgc_load_report_end(&l, status, &error);
    if (status == SGC_OK && *began)
        *absences = find_absences(&l);
    *received = l.bytes;
    clear_tasks(&l);
    free(l.tasks);
    free_patches(&l);
    CSLDestroy(l.configuration);
    pthread_cond_destroy(&l.progress);
    pthread_mutex_destroy(&l.mutex);
    return status == SGC_OK ? SGC_OK : sgc_fail(err, status, "%s", error.message);
}
