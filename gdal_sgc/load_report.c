/* What a load says besides GDAL's progress: a line on the terminal now and then, a line a patch in
 * a log. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gdal_sgc/connection.h"
#include "gdal_sgc/load.h"
#include "store/clock.h"

/* ---- the terminal ---- */

enum { QUIET_SECONDS = 3, SECONDS_BETWEEN_LINES = 5 };

static bool wants_lines(void)
{
    const char *choice = CPLGetConfigOption("SGC_PROGRESS", "AUTO");
    return sgc_is_yes_or_no(choice) ? CPLTestBool(choice) : isatty(STDERR_FILENO) != 0;
}

void sgc_load_report_tick(sgc_loading *l)
{
    sgc_load_report *r = &l->report;
    const double seconds = sgc_seconds_since(&r->start);
    if (!r->says_lines || seconds < r->next_line)
        return;
    r->next_line = seconds + SECONDS_BETWEEN_LINES;
    pthread_mutex_lock(&l->mutex);
    const size_t done = sgc_loading_done_locked(l);
    const uint64_t bytes = l->bytes;
    pthread_mutex_unlock(&l->mutex);
    char received[32];
    sgc_format_bytes(bytes, received);
    fprintf(stderr, "SGC: %s: %zu of %zu chunks, %s in %.0f s\n", l->cube->definition->id, done,
            l->position_count, received, seconds);
}

/* ---- the log ---- */

/* Appends a line in one write, so that those of several programs do not mix. */
static void write_line(sgc_load_report *r, const sgc_buffer *line)
{
    if (write(r->log, line->data, line->size) != (ssize_t)line->size)
        r->log_failed = true;
}

static sgc_status begin_line(const sgc_loading *l, sgc_buffer *line)
{
    const time_t now = (time_t)(sgc_clock_now() / 1000000);
    struct tm utc;
    char time[32];
    gmtime_r(&now, &utc);
    strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &utc);
    SGC_TRY(sgc_buffer_print(line, NULL, "{\"time\":\"%s\",\"cube\":", time));
    SGC_TRY(sgc_json_quote(line, l->cube->place, NULL));
    return sgc_buffer_print(line, NULL, ",\"level\":%lld,",
                            (long long)sgc_loading_level(l)->factor);
}

static sgc_status print_line(const sgc_loading *l, const sgc_step_patches *step, size_t patch,
                             const sgc_patch_cost *cost, const char *state, sgc_buffer *line)
{
    const sgc_time_axis *axis = &l->cube->definition->time;
    SGC_TRY(begin_line(l, line));
    if (axis->count > 0) {
        char start[SGC_TIME_SIZE];
        sgc_time_format(axis->starts[step->step], start);
        SGC_TRY(sgc_buffer_print(line, NULL, "\"time_step\":\"%s\",", start));
    }
    SGC_TRY(sgc_buffer_print(line, NULL, "\"state\":\"%s\",\"patch\":", state));
    SGC_TRY(sgc_print_patch(line, axis, &step->list.patches[patch], cost, cost->all_bytes,
                            cost->all_seconds, NULL));
    return sgc_buffer_print(line, NULL, "}\n");
}

static void log_patch(sgc_loading *l, const sgc_step_patches *step, size_t patch,
                      const sgc_patch_cost *cost, const char *state)
{
    sgc_buffer line = {0};
    if (!cost->was_present && !cost->was_absent)
        return; /* nothing was asked of it */
    if (print_line(l, step, patch, cost, cost->was_present ? state : "absent", &line) == SGC_OK)
        write_line(&l->report, &line);
    sgc_buffer_free(&line);
}

/* Counts a finished chunk of a patch; true after the last one, with what the patch has cost. */
static bool finish_chunk(sgc_loading *l, sgc_patch_cost *of_patch, sgc_patch_cost *cost)
{
    pthread_mutex_lock(&l->mutex);
    const bool last = of_patch->chunks_left > 0 && --of_patch->chunks_left == 0;
    *cost = *of_patch;
    pthread_mutex_unlock(&l->mutex);
    return last;
}

static bool meets(const sgc_loading *l, const sgc_task *t, const sgc_patch *patch)
{
    const sgc_level *level = sgc_loading_level(l);
    return !sgc_rect_is_empty(sgc_rect_intersect(
        sgc_level_chunk_rect(level, t->at.row, t->at.column),
        sgc_rect_at_level(&l->cube->definition->grid, patch->rect, level->factor)));
}

void sgc_load_report_plan(sgc_loading *l)
{
    for (size_t i = 0; l->report.log >= 0 && i < l->task_count; i++) {
        sgc_step_patches *step = sgc_loading_patches(l, (size_t)l->tasks[i].at.step);
        for (size_t k = 0; k < step->list.count; k++)
            step->costs[k].chunks_left += meets(l, &l->tasks[i], &step->list.patches[k]);
    }
}

void sgc_load_report_task(sgc_loading *l, const sgc_task *t)
{
    if (l->report.log < 0 || t->complete == 0)
        return;
    sgc_step_patches *step = sgc_loading_patches(l, (size_t)t->at.step);
    for (size_t k = 0; k < step->list.count; k++) {
        sgc_patch_cost cost;
        if (meets(l, t, &step->list.patches[k]) && finish_chunk(l, &step->costs[k], &cost))
            log_patch(l, step, k, &cost, "loaded");
    }
}

/* The patches of chunks that another process has filled, or nobody. No worker is left. */
static void log_rest(sgc_loading *l, const char *state)
{
    for (size_t i = 0; i < l->step_count; i++)
        for (size_t k = 0; l->steps[i].costs != NULL && k < l->steps[i].list.count; k++)
            if (l->steps[i].costs[k].chunks_left > 0)
                log_patch(l, &l->steps[i], k, &l->steps[i].costs[k], state);
}

static void log_failure(sgc_loading *l, const sgc_error *error)
{
    sgc_buffer line = {0};
    sgc_status status = begin_line(l, &line);
    if (status == SGC_OK)
        status = sgc_buffer_print(&line, NULL, "\"error\":");
    if (status == SGC_OK)
        status = sgc_json_quote(&line, error->message, NULL);
    if (status == SGC_OK)
        status = sgc_buffer_print(&line, NULL, "}\n");
    if (status == SGC_OK)
        write_line(&l->report, &line);
    sgc_buffer_free(&line);
}

/* ---- begin and end ---- */

void sgc_load_report_begin(sgc_loading *l)
{
    const char *path = CPLGetConfigOption("SGC_LOG", NULL);
    l->report =
        (sgc_load_report){.says_lines = wants_lines(), .next_line = QUIET_SECONDS, .log = -1};
    clock_gettime(CLOCK_MONOTONIC, &l->report.start);
    if (path == NULL || path[0] == '\0')
        return;
    /* A pipe that nobody reads must not stop the load. */
    l->report.log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (l->report.log < 0)
        CPLError(CE_Warning, CPLE_OpenFailed, "SGC: SGC_LOG=%s: %s", path, strerror(errno));
}

void sgc_load_report_end(sgc_loading *l, sgc_status status, const sgc_error *error)
{
    if (l->report.log < 0)
        return;
    log_rest(l, status == SGC_OK ? "loaded" : "partial");
    if (status != SGC_OK)
        log_failure(l, error);
    close(l->report.log);
    if (l->report.log_failed)
        CPLError(CE_Warning, CPLE_FileIO, "SGC: SGC_LOG: the log could not be written");
}
