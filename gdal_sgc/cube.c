#include "gdal_sgc/cube.h"

#include <cpl_string.h>
#include <gdal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gdal_sgc/claims.h"
#include "gdal_sgc/cube_private.h"
#include "gdal_sgc/interrupt.h"

enum { SMALLEST_ESTIMATE = 64 * 1024 };

const sgc_definition *sgc_cube_definition(const sgc_cube *cube)
{
    return cube->definition;
}

const char *sgc_cube_place(const sgc_cube *cube)
{
    return cube->place;
}

bool sgc_cube_can_load(const sgc_cube *cube)
{
    return cube->no_load.message[0] == '\0';
}

const char *sgc_cube_why_no_load(const sgc_cube *cube)
{
    return cube->no_load.message;
}

size_t sgc_cube_level_count(const sgc_cube *cube)
{
    return cube->level_count;
}

const sgc_level *sgc_cube_level(const sgc_cube *cube, size_t level)
{
    return &cube->levels[level];
}

/* ---- the tip ---- */

void sgc_cube_view(sgc_cube *cube, sgc_view **out)
{
    pthread_mutex_lock(&cube->mutex);
    *out = cube->view != NULL ? sgc_view_ref(cube->view) : NULL;
    pthread_mutex_unlock(&cube->mutex);
}

/* The repository, which never changes once it is there; NULL before. */
static sgc_repository *repository_of(sgc_cube *cube)
{
    pthread_mutex_lock(&cube->mutex);
    sgc_repository *repository = cube->repository;
    pthread_mutex_unlock(&cube->mutex);
    return repository;
}

sgc_status sgc_cube_resolve(const sgc_cube *cube, sgc_repository *repository, sgc_object_id *id,
                            sgc_error *err)
{
    return sgc_ref_choice_resolve(cube->ref_choice, cube->ref, cube->as_of, repository, id, err);
}

static sgc_status adopt_tip(sgc_cube *cube, sgc_repository *repository, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(sgc_cube_resolve(cube, repository, &id, err));
    pthread_mutex_lock(&cube->mutex);
    const bool current =
        cube->view != NULL &&
        sgc_object_id_compare(&sgc_snapshot_get(cube->view->snapshot)->id, &id) == 0;
    pthread_mutex_unlock(&cube->mutex);
    if (current)
        return SGC_OK;
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, err));
    if (sgc_snapshot_find(snapshot, "/") == NULL) {
        sgc_snapshot_unref(snapshot); /* made by somebody who has not put the cube into it yet */
        return SGC_OK;
    }
    sgc_view *view;
    SGC_TRY(sgc_view_new(cube, repository, snapshot, &view, err));
    pthread_mutex_lock(&cube->mutex);
    sgc_view *old = cube->view;
    cube->view = view;
    pthread_mutex_unlock(&cube->mutex);
    sgc_view_unref(old);
    return SGC_OK;
}

/* One thread at a time looks up and adopts, so that an older tip never takes the place of a newer.
 */
sgc_status sgc_cube_refresh(sgc_cube *cube, sgc_error *err)
{
    sgc_repository *repository = repository_of(cube);
    if (repository == NULL)
        return SGC_OK;
    pthread_mutex_lock(&cube->refreshing);
    const sgc_status status = adopt_tip(cube, repository, err);
    pthread_mutex_unlock(&cube->refreshing);
    return status;
}

void sgc_cube_snapshot(sgc_cube *cube, char text[SGC_OBJECT_ID_TEXT + 1])
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    text[0] = '\0';
    if (view != NULL)
        sgc_object_id_format(&sgc_snapshot_get(view->snapshot)->id, text);
    sgc_view_unref(view);
}

/* ---- making ---- */

/* The caller holds `refreshing`. */
static sgc_status make_repository(sgc_cube *cube, sgc_error *err)
{
    if (cube->repository != NULL)
        return SGC_OK;
    sgc_split_rule rules[SGC_SPLIT_RULES];
    sgc_layout_split_rules(cube->definition, &cube->levels[0], rules);
    const sgc_repository_options options = {.split_rules = rules,
                                            .split_rule_count = SGC_SPLIT_RULES,
                                            .spec_version = cube->spec_version};
    sgc_repository *repository;
    sgc_status status = sgc_repository_create(cube->store, &options, &repository, err);
    if (status == SGC_EXISTS)
        status = sgc_repository_open(cube->store, &options, &repository, err);
    SGC_TRY(status);
    pthread_mutex_lock(&cube->mutex);
    cube->repository = repository;
    cube->store = NULL;
    pthread_mutex_unlock(&cube->mutex);
    return SGC_OK;
}

static bool level_exists(const sgc_snapshot *snapshot, const sgc_level *level)
{
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    return sgc_snapshot_find(snapshot, path) != NULL;
}

enum { MESSAGE_SIZE = 64 };

static void say(char message[MESSAGE_SIZE], const char *text)
{
    if (message[0] == '\0')
        snprintf(message, MESSAGE_SIZE, "%s", text);
}

/* Puts the nodes that are missing into the session; the message says what, if anything. */
static sgc_status put_structure(sgc_cube *cube, sgc_session *session, size_t l, size_t steps,
                                char message[MESSAGE_SIZE], sgc_error *err)
{
    const sgc_snapshot *base = sgc_session_base(session);
    const sgc_definition *d = cube->definition;
    const sgc_level *full = &cube->levels[0], *level = &cube->levels[l];
    size_t stored = sgc_layout_steps(d);
    if (sgc_snapshot_find(base, "/") == NULL) {
        say(message, "Initialize empty datacube");
        SGC_TRY(sgc_layout_put_cube(session, d, full, cube->compression_level, err));
    } else {
        SGC_TRY(sgc_cube_check_definition(cube, base, l, err));
        stored = sgc_layout_stored_steps(base, d);
        if (!level_exists(base, full)) {
            say(message, "Note what is complete");
            SGC_TRY(sgc_layout_adopt(session, d, full, stored, err));
        }
    }
    if (stored < steps) {
        say(message, "Append time steps");
        SGC_TRY(sgc_layout_append_steps(session, d, cube->levels, cube->level_count, stored, steps,
                                        err));
        stored = steps;
    }
    if (l > 0 && !level_exists(base, level)) {
        char text[MESSAGE_SIZE];
        snprintf(text, sizeof text, "Add level %lld", (long long)level->factor);
        say(message, text);
        SGC_TRY(sgc_layout_put_level(session, d, level, stored, cube->compression_level, err));
    }
    return SGC_OK;
}

/* One attempt to commit the missing nodes. */
static sgc_status commit_structure(sgc_cube *cube, size_t l, size_t steps, sgc_error *err)
{
    sgc_session *session;
    char message[MESSAGE_SIZE] = "";
    SGC_TRY(sgc_session_new(cube->repository, cube->ref, &session, err));
    sgc_status status = put_structure(cube, session, l, steps, message, err);
    if (status == SGC_OK && message[0] != '\0')
        status = sgc_session_commit(session, message, NULL, NULL, err);
    sgc_session_free(session);
    return status;
}

sgc_status sgc_cube_make_structure(sgc_cube *cube, size_t level, size_t steps, sgc_error *err)
{
    sgc_status status;
    do
        status = commit_structure(cube, level, steps, err);
    while (status == SGC_CONFLICT); /* whoever was first has brought us nearer to the goal */
    return status;
}

/* Says whether the tip has all nodes of a level, made with our definition. */
static sgc_status find_structure(sgc_cube *cube, size_t l, size_t steps, bool *found,
                                 sgc_error *err)
{
    sgc_session *session;
    SGC_TRY(sgc_session_new(cube->repository, cube->ref, &session, err));
    const sgc_snapshot *tip = sgc_session_base(session);
    *found = sgc_snapshot_find(tip, "/") != NULL && level_exists(tip, &cube->levels[0]) &&
             level_exists(tip, &cube->levels[l]) &&
             sgc_layout_stored_steps(tip, cube->definition) >= steps;
    const sgc_status status = *found ? sgc_cube_check_definition(cube, tip, l, err) : SGC_OK;
    sgc_session_free(session);
    return status;
}

/* Threads make nodes one after the other, so that they are written once. */
static sgc_status make_structure_in_queue(sgc_cube *cube, size_t level, size_t steps,
                                          sgc_error *err)
{
    sgc_repository_queue_begin(cube->repository);
    const sgc_status status = sgc_cube_make_structure(cube, level, steps, err);
    sgc_repository_queue_end(cube->repository);
    return status;
}

sgc_status sgc_cube_prepare(sgc_cube *cube, size_t level, size_t steps, sgc_error *err)
{
    bool found;
    pthread_mutex_lock(&cube->refreshing);
    const sgc_status status = make_repository(cube, err);
    pthread_mutex_unlock(&cube->refreshing);
    SGC_TRY(status);
    SGC_TRY(find_structure(cube, level, steps, &found, err));
    if (!found)
        SGC_TRY(make_structure_in_queue(cube, level, steps, err));
    return sgc_cube_refresh(cube, err);
}

/* ---- what is missing ---- */

static double estimate_pixels(double pixels, double bytes_per_pixel)
{
    return fmax(pixels * bytes_per_pixel, SMALLEST_ESTIMATE);
}

/* What a chunk of a level costs because of the number of its patches: of each, the smallest
 * overview of its file. 0 where levels have patches of their own, or patches cannot be known
 * without a request. */
static double estimate_patches(const sgc_level *level, sgc_rect chunk, sgc_source *source,
                               size_t step, double bytes_per_pixel)
{
    enum { SMALLEST_OVERVIEW = 512 * 512 }; /* where the overviews of a COG end */
    const int64_t f = level->factor;
    const sgc_rect full = {chunk.x * f, chunk.y * f, chunk.width * f, chunk.height * f};
    sgc_patch_list list = {0};
    sgc_error ignored; /* it is said when patches are found to be loaded */
    double bytes = 0;
    if (f == 1 || !source->finds_alone || source->find_level != NULL ||
        source->find(source, full, step, NULL, &list, &ignored) != SGC_OK)
        return 0;
    for (size_t i = 0; i < list.count; i++) {
        const sgc_rect rect = list.patches[i].rect;
        bytes += estimate_pixels(fmin((double)rect.width * (double)rect.height, SMALLEST_OVERVIEW),
                                 bytes_per_pixel);
    }
    sgc_patch_list_free(&list);
    return bytes;
}

static uint64_t estimate(const sgc_cube *cube, size_t level, const sgc_position *positions,
                         size_t count)
{
    double bytes = 0;
    sgc_source *source = sgc_cube_source(cube, level);
    for (size_t i = 0; i < count; i++) {
        const sgc_position at = positions[i];
        const sgc_rect chunk = sgc_level_chunk_rect(&cube->levels[level], at.row, at.column);
        const double bytes_per_pixel = sgc_definition_bytes_per_pixel(
            cube->definition, (size_t)at.band, sgc_cube_unit_bands(cube));
        bytes += fmax(estimate_pixels((double)chunk.width * (double)chunk.height, bytes_per_pixel),
                      estimate_patches(&cube->levels[level], chunk, source, (size_t)at.step,
                                       bytes_per_pixel));
    }
    return (uint64_t)bytes;
}

/* Whether a position is complete as of when it was loaded, though its time step has ended since. */
static sgc_status was_complete(const sgc_view *view, size_t level, sgc_position at, bool *complete,
                               sgc_error *err)
{
    const sgc_slice unit = {(size_t)at.band, (size_t)at.step};
    const size_t bands = sgc_cube_unit_bands(view->cube);
    uint8_t *flags = calloc(bands, 1);
    if (flags == NULL)
        return sgc_fail_memory(err, bands, "a list of chunks");
    const sgc_status status = sgc_view_read_flags(view, level, unit, bands,
                                                  (sgc_rect){at.column, at.row, 1, 1}, flags, err);
    *complete = true;
    for (size_t b = 0; b < bands; b++)
        *complete = *complete && sgc_flag_is_complete(flags[b]);
    free(flags);
    return status;
}

/* Whether a position that lacks a flag, or whose flag is out of date, may be served without a
 * request: because it was complete once, because all its patches are listed, or as it is stored if
 * nobody can tell, which is counted (architecture 6.3). */
static sgc_status may_serve(const sgc_view *view, size_t level, sgc_position at, bool *serve,
                            uint64_t *unverified, sgc_error *err)
{
    *serve = false;
    if (view == NULL)
        return SGC_OK;
    SGC_TRY(was_complete(view, level, at, serve, err));
    if (*serve || level > 0)
        return SGC_OK;
    if (view->cube->source->finds_alone)
        return sgc_view_is_listed(view, at, serve, err);
    SGC_TRY(sgc_view_has_chunk(view, level, at, serve, err));
    *unverified += *serve;
    return SGC_OK;
}

static sgc_status drop_served(const sgc_view *view, size_t level, sgc_position *positions,
                              size_t *count, uint64_t *unverified, sgc_error *err)
{
    size_t n = 0;
    *unverified = 0;
    for (size_t i = 0; i < *count; i++) {
        bool serve;
        SGC_TRY(may_serve(view, level, positions[i], &serve, unverified, err));
        if (!serve)
            positions[n++] = positions[i];
    }
    *count = n;
    return SGC_OK;
}

/* With `unverified`, because no request may be made, what can be served without one is not missing.
 */
static sgc_status count_missing(const sgc_cube *cube, const sgc_view *view,
                                const sgc_window *window, uint64_t *chunks, uint64_t *unverified,
                                sgc_error *err)
{
    sgc_position *positions;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, window, &positions, &count, err));
    const sgc_status status =
        unverified != NULL ? drop_served(view, window->level, positions, &count, unverified, err)
                           : SGC_OK;
    if (status == SGC_OK)
        *chunks = count;
    free(positions);
    return status;
}

static sgc_status measure_missing(const sgc_cube *cube, const sgc_view *view,
                                  const sgc_window *window, sgc_missing *out, sgc_error *err)
{
    sgc_position *positions;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, window, &positions, &count, err));
    *out = (sgc_missing){count, estimate(cube, window->level, positions, count)};
    free(positions);
    return SGC_OK;
}

sgc_status sgc_cube_count_missing(sgc_cube *cube, const sgc_window *window, uint64_t *chunks,
                                  sgc_error *err)
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    const sgc_status status = count_missing(cube, view, window, chunks, NULL, err);
    sgc_view_unref(view);
    return status;
}

sgc_status sgc_cube_missing(sgc_cube *cube, const sgc_window *window, sgc_missing *out,
                            sgc_error *err)
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    const sgc_status status = measure_missing(cube, view, window, out, err);
    sgc_view_unref(view);
    return status;
}

/* ---- ensure ---- */

static bool is_over(const sgc_policy *policy)
{
    return policy->deadline_ms > 0 && sgc_monotonic_ms() >= policy->deadline_ms;
}

sgc_status sgc_policy_check(const sgc_policy *policy, double fraction, sgc_error *err)
{
    const sgc_progress *progress = policy->progress;
    if (sgc_interrupt_came())
        return sgc_fail(err, SGC_CANCELLED, "interrupted; what was finished is in the cube");
    if (progress != NULL && !progress->report(progress->user, fraction))
        return sgc_fail(err, SGC_CANCELLED, "cancelled; what was finished is in the cube");
    return is_over(policy) ? sgc_fail(err, SGC_BUDGET, "TIMEOUT is over") : SGC_OK;
}

/* Under way on this thread: more than one where a progress function or an error handler reads. */
typedef struct load {
    const sgc_cube *cube;
    const struct load *outer;
} load;
static _Thread_local const load *loads;

static sgc_status fail_nested(sgc_error *err)
{
    return sgc_fail(err, SGC_BUDGET,
                    "a progress function or error handler that is called in the middle of a load "
                    "cannot load from the same cube, nor wait for chunks that are being loaded: "
                    "read when that has ended, or what is in the cube with DOWNLOAD=NO");
}

sgc_status sgc_check_may_wait(sgc_error *err)
{
    return loads == NULL || loads->outer == NULL ? SGC_OK : fail_nested(err);
}

/* A source need not bear that a thread which waits for it asks it for more. */
static sgc_status check_nesting(const sgc_cube *cube, sgc_error *err)
{
    const load *l = loads;
    while (l != NULL && l->cube != cube)
        l = l->outer;
    return l == NULL ? SGC_OK : fail_nested(err);
}

void sgc_format_bytes(uint64_t bytes, char text[32])
{
    if (bytes >= 1000000000)
        CPLsnprintf(text, 32, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        CPLsnprintf(text, 32, "%.1f MB", (double)bytes / 1e6);
    else
        CPLsnprintf(text, 32, "%.1f kB", (double)bytes / 1e3);
}

static sgc_status check_budget(size_t level, const sgc_missing *missing, uint64_t allowed,
                               sgc_error *err)
{
    if (missing->bytes <= allowed)
        return SGC_OK;
    char needed[32], left[32];
    sgc_format_bytes(missing->bytes, needed);
    sgc_format_bytes(allowed, left);
    const bool is_level = level > 0;
    return sgc_fail(err, SGC_BUDGET,
                    "this read needs %llu chunk%s%s (about %s%s) that are not in the cube, and "
                    "MAX_DOWNLOAD leaves %s: raise MAX_DOWNLOAD or read a smaller window%s",
                    (unsigned long long)missing->chunks, missing->chunks == 1 ? "" : "s",
                    is_level ? " of an overview" : "", needed,
                    is_level ? ", a part of every file below" : "", left,
                    is_level ? "" : ", or read at a coarser resolution");
}

sgc_status sgc_cube_check_budget(sgc_cube *cube, const sgc_window *window, uint64_t max_bytes,
                                 sgc_error *err)
{
    sgc_missing missing;
    SGC_TRY(sgc_cube_missing(cube, window, &missing, err));
    return check_budget(window->level, &missing, max_bytes, err);
}

/* The window to load for a read of `rect`: as wide as what lies ahead, and on downwards in it until
 * there is enough to do for all workers. */
static sgc_rect load_ahead(const sgc_level *level, sgc_rect rect, sgc_rect ahead)
{
    enum { ENOUGH_CHUNKS = 16 };
    const sgc_rect across = sgc_level_chunks(level, ahead), first = sgc_level_chunks(level, rect);
    int64_t rows = first.height;
    while (rows * across.width < ENOUGH_CHUNKS && first.y + rows < across.y + across.height)
        rows++;
    const sgc_rect band = {ahead.x, rect.y, ahead.width,
                           (first.y + rows) * level->chunk_height - rect.y};
    return sgc_rect_intersect(band, ahead);
}

/* How many of the positions, from the first on, `allowed` bytes bear. */
static size_t count_affordable(const sgc_cube *cube, size_t level, const sgc_position *positions,
                               size_t count, uint64_t allowed)
{
    size_t n = 0;
    for (uint64_t bytes = 0; n < count; n++) {
        bytes += estimate(cube, level, &positions[n], 1);
        if (bytes > allowed)
            break;
    }
    return n;
}

/* What a read of a window has to load, and what of the window other threads load. */
typedef struct load_plan {
    sgc_position *positions; /* in the order in which they are loaded; free with free() */
    size_t count;
    const sgc_position *others; /* in flight; borrows */
    size_t other_count;
    sgc_missing all; /* what the budget is compared with: without what is in flight */
} load_plan;

/* As sgc_view_incomplete(); the first `count` positions are not in flight, the rest is. */
static sgc_status list_missing(sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                               sgc_position **positions, size_t *count, size_t *all, sgc_error *err)
{
    SGC_TRY(sgc_view_incomplete(cube, view, window, positions, all, err));
    *count = sgc_claims_move_last(cube, window->level, *positions, *all);
    return SGC_OK;
}

static sgc_status measure_plan(sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                               sgc_missing *out, sgc_error *err)
{
    sgc_position *positions;
    size_t count, all;
    SGC_TRY(list_missing(cube, view, window, &positions, &count, &all, err));
    *out = (sgc_missing){count, estimate(cube, window->level, positions, count)};
    free(positions);
    return SGC_OK;
}

/* Lists what is missing in `window`, and in `wider` what is loaded with it. */
static sgc_status list_plan(sgc_cube *cube, const sgc_view *view, const sgc_window *window,
                            const sgc_window *wider, load_plan *plan, sgc_error *err)
{
    const sgc_level *level = &cube->levels[window->level];
    const sgc_rect chunks = sgc_level_chunks(level, window->rect);
    size_t all;
    SGC_TRY(list_missing(cube, view, wider, &plan->positions, &plan->count, &all, err));
    sgc_position *others = plan->positions + plan->count;
    for (size_t i = plan->count; i < all; i++) {
        const sgc_position at = plan->positions[i];
        if (sgc_rect_contains(chunks, (sgc_rect){at.column, at.row, 1, 1}))
            others[plan->other_count++] = at;
    }
    plan->others = others;
    sgc_sort_positions(level, window->rect, plan->positions, plan->count);
    return SGC_OK;
}

static sgc_status plan_load(sgc_cube *cube, const sgc_window *window, const sgc_policy *policy,
                            load_plan *plan, sgc_error *err)
{
    const sgc_level *level = &cube->levels[window->level];
    const bool goes_ahead = !policy->in_part && sgc_rect_contains(policy->ahead, window->rect);
    sgc_view *view;
    sgc_window wider = *window;
    *plan = (load_plan){0};
    if (goes_ahead)
        wider.rect = load_ahead(level, window->rect, policy->ahead);
    sgc_cube_view(cube, &view);
    sgc_status status = measure_plan(cube, view, &wider, &plan->all, err);
    if (status == SGC_OK && goes_ahead && plan->all.bytes > policy->max_bytes) {
        wider.rect = window->rect;
        status = measure_plan(cube, view, &wider, &plan->all, err);
    }
    if (status == SGC_OK && !policy->in_part)
        status = check_budget(window->level, &plan->all, policy->max_bytes, err);
    if (status == SGC_OK)
        status = list_plan(cube, view, window, &wider, plan, err);
    sgc_view_unref(view);
    SGC_TRY(status);
    if (plan->all.bytes > policy->max_bytes)
        plan->count =
            count_affordable(cube, window->level, plan->positions, plan->count, policy->max_bytes);
    return SGC_OK;
}

/* What a plan that was to cost `estimated` bytes has cost, though its load failed: the chunks that
 * are finished, or what was received, for those that are not. */
static uint64_t count_failed(sgc_cube *cube, size_t level, const load_plan *plan,
                             uint64_t estimated, uint64_t received)
{
    uint64_t finished = 0;
    sgc_view *view;
    sgc_cube_view(cube, &view);
    for (size_t i = 0; i < plan->count; i++) {
        bool missing;
        if (sgc_view_lacks(cube, view, level, plan->positions[i], &missing, NULL) != SGC_OK ||
            !missing)
            finished += estimate(cube, level, &plan->positions[i], 1);
    }
    sgc_view_unref(view);
    const uint64_t spent = received > finished ? received : finished;
    return spent < estimated ? spent : estimated;
}

/* Loads what a plan has. *began is false when other threads were faster. */
static sgc_status load_plan_now(sgc_cube *cube, size_t level, const sgc_policy *policy,
                                const load_plan *plan, sgc_ensured *result, bool *began,
                                sgc_error *err)
{
    uint64_t received = 0;
    const uint64_t estimated = estimate(cube, level, plan->positions, plan->count);
    const sgc_status status = sgc_load(cube, level, plan->positions, plan->count, policy,
                                       &result->absences, &received, began, err);
    if (status != SGC_OK)
        *policy->downloaded += count_failed(cube, level, plan, estimated, received);
    else if (*began)
        *policy->downloaded += estimated;
    return status;
}

/* Loads what no other thread does, or waits a moment for those. *again: the window wants another
 * look. */
static sgc_status run_plan(sgc_cube *cube, size_t level, const sgc_policy *policy,
                           const load_plan *plan, sgc_ensured *result, bool *again, sgc_error *err)
{
    bool began = true;
    *again = plan->other_count > 0;
    if (*again)
        SGC_TRY(sgc_check_may_wait(err));
    if (*again && plan->count == 0) {
        sgc_claims_wait(cube, level, plan->others, plan->other_count);
        return sgc_policy_check(policy, 0, err);
    }
    if (plan->count > 0)
        SGC_TRY(load_plan_now(cube, level, policy, plan, result, &began, err));
    *again = *again || !began;
    return SGC_OK;
}

static sgc_status load_missing(sgc_cube *cube, const sgc_window *window, const sgc_policy *policy,
                               sgc_ensured *result, bool *again, sgc_error *err)
{
    load_plan plan;
    SGC_TRY(plan_load(cube, window, policy, &plan, err));
    const sgc_status status = run_plan(cube, window->level, policy, &plan, result, again, err);
    free(plan.positions);
    return status != SGC_OK ? status
                            : check_budget(window->level, &plan.all, policy->max_bytes, err);
}

/* What lies ahead of a window is no reason for its read to fail. */
static sgc_status load_with_ahead(sgc_cube *cube, const sgc_window *window,
                                  const sgc_policy *policy, sgc_ensured *result, bool *again,
                                  sgc_error *err)
{
    const uint64_t before = *policy->downloaded;
    const sgc_status status = load_missing(cube, window, policy, result, again, err);
    if (status == SGC_OK || status == SGC_CANCELLED || sgc_rect_is_empty(policy->ahead) ||
        is_over(policy))
        return status;
    const uint64_t spent = *policy->downloaded - before;
    sgc_policy alone = *policy;
    alone.ahead = (sgc_rect){0};
    alone.max_bytes -= spent < alone.max_bytes ? spent : alone.max_bytes;
    return load_missing(cube, window, &alone, result, again, err);
}

/* The deadline has passed; which is no failure when all of the window was finished by then. */
static sgc_status end_late(sgc_cube *cube, const sgc_window *window, sgc_error *err)
{
    sgc_missing left;
    char bytes[32];
    SGC_TRY(sgc_cube_missing(cube, window, &left, err));
    if (left.chunks == 0)
        return SGC_OK;
    sgc_format_bytes(left.bytes, bytes);
    return sgc_fail(
        err, SGC_BUDGET,
        "TIMEOUT ended this read with %llu chunk%s of its window (about %s) still "
        "missing; what was finished is in the cube: read again to go on, raise TIMEOUT, "
        "or see nodata there with ON_MISSING=NODATA",
        (unsigned long long)left.chunks, left.chunks == 1 ? "" : "s", bytes);
}

/* Until nothing of the window is missing, nor loaded by other threads. The branch is looked up
 * first: another process may have loaded the chunks already. */
static sgc_status load_window(sgc_cube *cube, const sgc_window *window, const sgc_policy *policy,
                              sgc_ensured *result, sgc_error *err)
{
    uint64_t spent = 0;
    sgc_status status = SGC_OK;
    for (bool again = true; status == SGC_OK && again;) {
        sgc_policy left = *policy;
        left.max_bytes = policy->max_bytes > spent ? policy->max_bytes - spent : 0;
        left.downloaded = &spent;
        status = sgc_cube_refresh(cube, err);
        if (status == SGC_OK)
            status = load_with_ahead(cube, window, &left, result, &again, err);
    }
    if (policy->downloaded != NULL)
        *policy->downloaded += spent;
    return status;
}

static sgc_status download(sgc_cube *cube, const sgc_window *window, const sgc_policy *policy,
                           sgc_ensured *result, sgc_error *err)
{
    if (!sgc_cube_can_load(cube))
        return sgc_fail(err, SGC_INVALID, "%s", cube->no_load.message);
    if (is_over(policy))
        return end_late(cube, window, err);
    SGC_TRY(check_nesting(cube, err));
    const load this = {cube, loads};
    loads = &this;
    sgc_interrupt_begin();
    const sgc_status status = load_window(cube, window, policy, result, err);
    sgc_interrupt_end();
    loads = this.outer;
    return status == SGC_BUDGET && is_over(policy) ? end_late(cube, window, err) : status;
}

static sgc_status fail_missing(const sgc_cube *cube, uint64_t chunks, sgc_error *err)
{
    const bool one = chunks == 1;
    const char *reason =
        cube->ref_choice == SGC_CHOOSE_BRANCH
            ? "DOWNLOAD=NO forbids to get more: allow it with DOWNLOAD=YES"
            : "a tag, snapshot or time never gets more: open the branch to DOWNLOAD";
    return sgc_fail(
        err, SGC_BUDGET,
        "%llu chunk%s of this window %s not in the cube %s, and %s, or see nodata there "
        "with ON_MISSING=NODATA",
        (unsigned long long)chunks, one ? "" : "s", one ? "is" : "are", cube->place, reason);
}

sgc_status sgc_cube_ensure(sgc_cube *cube, const sgc_window *window, const sgc_policy *policy,
                           sgc_ensured *out, sgc_error *err)
{
    enum { ATTEMPTS = 3 }; /* somebody may reset the branch under our feet */
    const bool can_load = sgc_cube_can_load(cube);
    sgc_ensured result = {0};
    uint64_t missing = 0;
    bool downloads = policy->download;
    for (int attempt = 0;; attempt++) {
        sgc_cube_view(cube, &result.view);
        sgc_status status =
            count_missing(cube, result.view, window, &missing,
                          downloads && can_load ? NULL : &result.unverified_chunks, err);
        if (status == SGC_OK && (missing == 0 || !downloads))
            break;
        sgc_view_unref(result.view);
        if (status == SGC_OK && attempt == ATTEMPTS)
            status = sgc_fail(err, SGC_CONFLICT,
                              "%s: what was loaded is gone again: somebody "
                              "resets the branch \"%s\"",
                              cube->place, cube->ref);
        if (status == SGC_OK)
            status = download(cube, window, policy, &result, err);
        if (status == SGC_BUDGET && policy->missing_is_nodata)
            downloads = false; /* no more than there is */
        else
            SGC_TRY(status);
    }
    if (missing > 0 && !policy->missing_is_nodata) {
        sgc_view_unref(result.view);
        return fail_missing(cube, missing, err);
    }
    result.missing_chunks = missing;
    *out = result;
    return SGC_OK;
}
