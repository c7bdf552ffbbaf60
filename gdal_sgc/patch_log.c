#include "gdal_sgc/patch_log.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/calendar.h"
#include "gdal_sgc/time_axis.h"

struct sgc_patch_log {
    atomic_uint references;
    sgc_object_id tip;
    size_t count, capacity;
    sgc_patch_record *records; /* by id and step, each once */
    sgc_arena arena;           /* of their texts */
};

sgc_patch_log *sgc_patch_log_ref(sgc_patch_log *log)
{
    atomic_fetch_add(&log->references, 1);
    return log;
}

void sgc_patch_log_unref(sgc_patch_log *log)
{
    if (log == NULL || atomic_fetch_sub(&log->references, 1) != 1)
        return;
    free(log->records);
    sgc_arena_free(&log->arena);
    free(log);
}

const sgc_object_id *sgc_patch_log_tip(const sgc_patch_log *log)
{
    return &log->tip;
}

size_t sgc_patch_log_count(const sgc_patch_log *log)
{
    return log->count;
}

const sgc_patch_record *sgc_patch_log_get(const sgc_patch_log *log, size_t index)
{
    return &log->records[index];
}

/* ---- reading ---- */

/* A walk through the history. */
typedef struct walk {
    sgc_patch_log *log;
    const sgc_patch_log *known; /* of an ancestor, perhaps; NULL: of none */
    bool met;                   /* it is that of an ancestor */
    const sgc_time_axis *axis;
} walk;

/* Adds a copy of the record. */
static sgc_status add_record(sgc_patch_log *log, const sgc_patch_record *record, sgc_error *err)
{
    sgc_patch_record *grown =
        sgc_list_grow(log->records, log->count, &log->capacity, sizeof *log->records);
    if (grown == NULL)
        return sgc_fail_memory(err, log->count * sizeof *log->records, "patches");
    log->records = grown;
    sgc_patch_record *copy = &log->records[log->count];
    *copy = *record;
    SGC_TRY(sgc_arena_keep(&log->arena, record->id, &copy->id, err));
    SGC_TRY(sgc_arena_keep(&log->arena, record->href, &copy->href, err));
    SGC_TRY(sgc_arena_keep(&log->arena, record->etag, &copy->etag, err));
    log->count++;
    return SGC_OK;
}

/* The step that begins at a time; SGC_ANY_STEP when none does. */
static int64_t find_step(const sgc_time_axis *axis, const char *text)
{
    int64_t time;
    if (text == NULL || sgc_calendar_parse(text, &time, NULL) != SGC_OK)
        return SGC_ANY_STEP;
    const size_t step = sgc_time_axis_from(axis, time);
    return step < axis->count && axis->starts[step] == time ? (int64_t)step : SGC_ANY_STEP;
}

/* Empty when the list is no rectangle. */
static sgc_rect read_rect(const cJSON *list)
{
    enum { LARGEST = 1 << 30 };
    int64_t values[4];
    if (cJSON_GetArraySize(list) != 4)
        return (sgc_rect){0};
    for (int i = 0; i < 4; i++) {
        const double value = cJSON_GetNumberValue(cJSON_GetArrayItem(list, i));
        if (!(fabs(value) <= LARGEST))
            return (sgc_rect){0};
        values[i] = (int64_t)value;
    }
    return (sgc_rect){values[0], values[1], values[2], values[3]};
}

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* What is no patch has been written by somebody else. */
static sgc_status read_patch(const walk *w, const sgc_commit_info *commit, const cJSON *json,
                             sgc_error *err)
{
    const double bytes = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "bytes"));
    const sgc_patch_record record = {
        .id = text_of(json, "id"),
        .step = w->axis->count > 0 ? find_step(w->axis, text_of(json, "time")) : 0,
        .rect = read_rect(cJSON_GetObjectItemCaseSensitive(json, "rect")),
        .href = text_of(json, "href"),
        .etag = text_of(json, "etag"),
        .bytes = bytes >= 0 && bytes < 1e18 ? (uint64_t)bytes : 0,
        .snapshot = commit->id,
        .time = commit->time,
    };
    return record.id != NULL ? add_record(w->log, &record, err) : SGC_OK;
}

static sgc_status read_commit(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    walk *w = user;
    w->met = w->known != NULL && sgc_object_id_compare(&commit->id, &w->known->tip) == 0;
    *more = !w->met;
    if (w->met || commit->metadata_count == 0)
        return SGC_OK;
    sgc_buffer text = {0};
    SGC_TRY(sgc_commit_print_metadata(commit, &text, err));
    cJSON *json = cJSON_ParseWithLength((const char *)text.data, text.size);
    sgc_buffer_free(&text);
    sgc_status status = SGC_OK;
    const cJSON *patch;
    cJSON_ArrayForEach(patch, cJSON_GetObjectItemCaseSensitive(json, "sgc_patches"))
    {
        if (status == SGC_OK)
            status = read_patch(w, commit, patch, err);
    }
    cJSON_Delete(json);
    return status;
}

/* ---- order ---- */

static int compare_keys(const sgc_patch_record *a, const sgc_patch_record *b)
{
    const int order = strcmp(a->id, b->id);
    return order != 0 ? order : (a->step > b->step) - (a->step < b->step);
}

/* The newest first among those of one patch. */
static int compare_records(const void *a, const void *b)
{
    const sgc_patch_record *l = a, *r = b;
    const int order = compare_keys(l, r);
    return order != 0 ? order : (l->time < r->time) - (l->time > r->time);
}

/* Makes one record of those of one patch. */
static void merge_records(sgc_patch_log *log)
{
    size_t n = 0;
    if (log->count > 0)
        qsort(log->records, log->count, sizeof *log->records, compare_records);
    for (size_t i = 0; i < log->count; i++) {
        const sgc_patch_record *older = &log->records[i];
        sgc_patch_record *newest = n > 0 ? &log->records[n - 1] : NULL;
        if (newest == NULL || compare_keys(newest, older) != 0) {
            log->records[n++] = *older;
            continue;
        }
        newest->bytes += older->bytes;
        if (sgc_rect_is_empty(newest->rect))
            newest->rect = older->rect;
        if (newest->href == NULL)
            newest->href = older->href;
        if (newest->etag == NULL)
            newest->etag = older->etag;
    }
    log->count = n;
}

static sgc_status fill(walk *w, sgc_repository *repository, sgc_error *err)
{
    SGC_TRY(sgc_repository_history(repository, &w->log->tip, read_commit, w, err));
    for (size_t i = 0; w->met && i < w->known->count; i++)
        SGC_TRY(add_record(w->log, &w->known->records[i], err));
    merge_records(w->log);
    return SGC_OK;
}

sgc_status sgc_patch_log_new(sgc_repository *repository, const sgc_object_id *tip,
                             const sgc_time_axis *axis, const sgc_patch_log *known,
                             sgc_patch_log **out, sgc_error *err)
{
    sgc_patch_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return sgc_fail_memory(err, sizeof *log, "patches");
    atomic_init(&log->references, 1);
    log->tip = *tip;
    walk w = {.log = log, .known = known, .axis = axis};
    const sgc_status status = fill(&w, repository, err);
    if (status != SGC_OK) {
        sgc_patch_log_unref(log);
        return status;
    }
    *out = log;
    return SGC_OK;
}

/* ---- finding ---- */

/* The first record that is not before the key. */
static size_t lower_bound(const sgc_patch_log *log, const sgc_patch_record *key)
{
    size_t low = 0, high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_keys(&log->records[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const sgc_patch_record *find_exactly(const sgc_patch_log *log, const char *id, int64_t step)
{
    const sgc_patch_record key = {.id = id, .step = step};
    const size_t at = lower_bound(log, &key);
    return at < log->count && compare_keys(&log->records[at], &key) == 0 ? &log->records[at] : NULL;
}

const sgc_patch_record *sgc_patch_log_find(const sgc_patch_log *log, const char *id, size_t step)
{
    const sgc_patch_record *record = find_exactly(log, id, (int64_t)step);
    return record != NULL ? record : find_exactly(log, id, SGC_ANY_STEP);
}
