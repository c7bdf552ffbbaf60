#include <stdlib.h>
#include <string.h>

#include "datasets/calendar.h"
#include "datasets/definition_private.h"

enum { MOST_STEPS = 1000000 };

static sgc_status read_time(const cJSON *item, const sgc_place *at, int64_t *time, sgc_error *err)
{
    sgc_error reason;
    if (item == NULL)
        return sgc_fail_at(at, SGC_INVALID, err, "required");
    if (!cJSON_IsString(item))
        return sgc_fail_at(at, SGC_INVALID, err, "must be a time like \"2026-03-01\"");
    return sgc_calendar_parse(item->valuestring, time, &reason) == SGC_OK
               ? SGC_OK
               : sgc_fail_at(at, SGC_INVALID, err, "%s", reason.message);
}

static sgc_status read_step(const cJSON *json, const sgc_place *at, sgc_duration *step,
                            sgc_error *err)
{
    const char *text = cJSON_GetStringValue(sgc_json_member(json, "step"));
    const sgc_place here = sgc_place_member(at, "step");
    sgc_error reason;
    if (sgc_json_member(json, "step") == NULL)
        return sgc_fail_at(&here, SGC_INVALID, err, "required");
    if (sgc_duration_parse(text != NULL ? text : "", step, &reason) != SGC_OK)
        return sgc_fail_at(&here, SGC_INVALID, err, "%s", reason.message);
    return SGC_OK;
}

static sgc_status allocate(sgc_time_axis *axis, size_t count, sgc_error *err)
{
    axis->starts = malloc(count * sizeof *axis->starts);
    axis->ends = malloc(count * sizeof *axis->ends);
    axis->count = count;
    return axis->starts != NULL && axis->ends != NULL
               ? SGC_OK
               : sgc_fail_memory(err, 2 * count * sizeof *axis->starts, "a time axis");
}

static sgc_status read_values(const cJSON *values, const sgc_place *at, sgc_time_axis *axis,
                              sgc_error *err)
{
    const int count = cJSON_GetArraySize(values);
    if (!cJSON_IsArray(values) || count < 1 || count > MOST_STEPS)
        return sgc_fail_at(at, SGC_INVALID, err, "must be a list of 1 to %d times", MOST_STEPS);
    SGC_TRY(allocate(axis, (size_t)count, err));
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, values)
    {
        const sgc_place here = sgc_place_element(at, i);
        SGC_TRY(read_time(item, &here, &axis->starts[i], err));
        if (i > 0 && axis->starts[i] <= axis->starts[i - 1])
            return sgc_fail_at(&here, SGC_INVALID, err, "must be later than the one before");
        i++;
    }
    return SGC_OK;
}

static sgc_status read_range(const cJSON *json, const sgc_place *at, sgc_time_axis *axis,
                             int64_t *last_end, sgc_error *err)
{
    sgc_duration step;
    const sgc_place at_start = sgc_place_member(at, "start"), at_end = sgc_place_member(at, "end");
    const sgc_place at_step = sgc_place_member(at, "step");
    int64_t start = 0, end = 0;
    SGC_TRY(read_step(json, at, &step, err));
    SGC_TRY(read_time(sgc_json_member(json, "start"), &at_start, &start, err));
    SGC_TRY(read_time(sgc_json_member(json, "end"), &at_end, &end, err));
    if (end < start)
        return sgc_fail_at(&at_end, SGC_INVALID, err, "must not lie before start");
    size_t count = 1;
    while (count <= MOST_STEPS && sgc_calendar_add(start, step, (int64_t)count) <= end)
        count++;
    if (count > MOST_STEPS)
        return sgc_fail_at(&at_step, SGC_INVALID, err, "gives more than %d steps", MOST_STEPS);
    SGC_TRY(allocate(axis, count, err));
    for (size_t i = 0; i < count; i++)
        axis->starts[i] = sgc_calendar_add(start, step, (int64_t)i);
    *last_end = sgc_calendar_add(start, step, (int64_t)count);
    return SGC_OK;
}

/* Each interval ends where the next begins, the last at `end`. */
static void set_ends(sgc_time_axis *axis, int64_t end)
{
    for (size_t i = 0; i < axis->count; i++) {
        const int64_t next = i + 1 < axis->count ? axis->starts[i + 1] : end;
        axis->ends[i] = axis->is_instant ? axis->starts[i] : next;
    }
}

/* The interval that begins with the last value is as long as "step" says, or the one before. */
static sgc_status read_last_end(const cJSON *json, const sgc_place *at, const sgc_time_axis *axis,
                                int64_t *end, sgc_error *err)
{
    const size_t n = axis->count;
    sgc_duration step = {0, 0};
    if (sgc_json_member(json, "step") != NULL || (n == 1 && !axis->is_instant))
        SGC_TRY(read_step(json, at, &step, err));
    else if (n > 1)
        step = sgc_calendar_between(axis->starts[n - 2], axis->starts[n - 1]);
    *end = sgc_calendar_add(axis->starts[n - 1], step, 1);
    return SGC_OK;
}

sgc_status sgc_definition_read_time(sgc_definition *definition, const sgc_place *root,
                                    sgc_error *err)
{
    static const char *const keys[] = {"values", "start", "end", "step", "cell", "growable", NULL};
    static const char *const cells[] = {"interval", "instant", NULL};
    const cJSON *json = sgc_json_member(definition->json, "time");
    const sgc_place at = sgc_place_member(root, "time");
    sgc_time_axis *axis = &definition->time;
    if (json == NULL)
        return SGC_OK;
    if (!cJSON_IsObject(json))
        return sgc_fail_at(&at, SGC_INVALID, err, "must be an object");
    SGC_TRY(sgc_json_check_keys(json, keys, &at, err));
    int cell = 0;
    SGC_TRY(sgc_json_get_choice(json, "cell", cells, &at, &cell, err));
    axis->is_instant = cell == 1;
    axis->is_growable = true;
    SGC_TRY(sgc_json_get_bool(json, "growable", &at, &axis->is_growable, err));
    const cJSON *values = sgc_json_member(json, "values");
    const bool has_range =
        sgc_json_member(json, "start") != NULL || sgc_json_member(json, "end") != NULL;
    if ((values != NULL) == has_range)
        return sgc_fail_at(&at, SGC_INVALID, err, "give values, or start, end and step");
    const sgc_place at_values = sgc_place_member(&at, "values");
    int64_t end = 0;
    if (values != NULL) {
        SGC_TRY(read_values(values, &at_values, axis, err));
        SGC_TRY(read_last_end(json, &at, axis, &end, err));
    } else {
        SGC_TRY(read_range(json, &at, axis, &end, err));
    }
    set_ends(axis, end);
    return SGC_OK;
}
