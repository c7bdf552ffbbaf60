#include "store/icechunk/repo_info.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/clock.h"
#include "store/icechunk/envelope.h"

enum { SPEC_VERSION = 2, MOST_ATTEMPTS = 1000, BACKUP_SIZE = 64 };

/* Backups are named by the time until then, so that the newest is listed first. */
static const uint64_t year_3000 = UINT64_C(32503680000000); /* milliseconds */

static sgc_status decode(sgc_repo_info *info, sgc_error *err)
{
    sgc_buffer payload = {0};
    int version;
    sgc_status status = sgc_envelope_unwrap(SGC_FILE_REPO_INFO, info->file.data, info->file.size,
                                            &version, &payload, err);
    if (status == SGC_OK)
        status = sgc_repo_info_decode(payload.data, payload.size, &info->arena, &info->data, err);
    sgc_buffer_free(&payload);
    return status;
}

sgc_status sgc_repo_info_load(sgc_object_store *store, sgc_repo_info *out, sgc_error *err)
{
    sgc_repo_info info = {0};
    SGC_TRY(store->get(store, SGC_REPO_INFO_KEY, 0, SGC_TO_END, &info.file, err));
    const sgc_status status = decode(&info, err);
    if (status != SGC_OK) {
        sgc_repo_info_clear(&info);
        return sgc_fail_in(err, status, "%s/%s", store->name, SGC_REPO_INFO_KEY);
    }
    *out = info;
    return SGC_OK;
}

void sgc_repo_info_clear(sgc_repo_info *info)
{
    sgc_object_clear(&info->file);
    sgc_arena_free(&info->arena);
    *info = (sgc_repo_info){0};
}

/* ---- finding ---- */

static int compare_name(const void *name, const void *ref)
{
    return strcmp(name, ((const sgc_named_snapshot *)ref)->name);
}

sgc_named_snapshots sgc_repo_info_refs(const sgc_repo_info *info, sgc_ref_kind kind)
{
    const sgc_repo_info_data *data = &info->data;
    return kind == SGC_REF_BRANCH ? (sgc_named_snapshots){data->branches, data->branch_count}
                                  : (sgc_named_snapshots){data->tags, data->tag_count};
}

const sgc_named_snapshot *sgc_repo_info_find_ref(const sgc_repo_info *info, sgc_ref_kind kind,
                                                 const char *name)
{
    const sgc_named_snapshots refs = sgc_repo_info_refs(info, kind);
    return refs.count == 0
               ? NULL
               : bsearch(name, refs.items, refs.count, sizeof *refs.items, compare_name);
}

static int compare_id(const void *id, const void *entry)
{
    return sgc_object_id_compare(id, &((const sgc_snapshot_entry *)entry)->id);
}

const sgc_snapshot_entry *sgc_repo_info_find_snapshot(const sgc_repo_info *info,
                                                      const sgc_object_id *id)
{
    const sgc_repo_info_data *data = &info->data;
    return data->snapshot_count == 0 ? NULL
                                     : bsearch(id, data->snapshots, data->snapshot_count,
                                               sizeof *data->snapshots, compare_id);
}

/* ---- what is allowed ---- */

sgc_status sgc_repo_info_check_writable(const sgc_repo_info *info, const sgc_object_store *store,
                                        sgc_error *err)
{
    const sgc_repo_status *status = &info->data.status;
    if (info->data.has_unknown_fields)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%s/%s was written by a later version of Icechunk: change it with that",
                        store->name, SGC_REPO_INFO_KEY);
    if (status->availability == SGC_ONLINE)
        return SGC_OK;
    return sgc_fail(err, SGC_INVALID, "%s was set %s%s%s: it cannot be changed", store->name,
                    status->availability == SGC_READ_ONLY ? "read-only" : "offline",
                    status->reason != NULL ? ": " : "",
                    status->reason != NULL ? status->reason : "");
}

sgc_status sgc_repo_info_check_flag(const sgc_repo_info *info, uint16_t flag,
                                    const sgc_object_store *store, sgc_error *err)
{
    for (size_t i = 0; i < info->data.disabled_flag_count; i++)
        if (info->data.disabled_flags[i] == flag)
            return sgc_fail(err, SGC_INVALID,
                            "%s does not allow to change tags: its feature flag %u is off",
                            store->name, flag);
    return SGC_OK;
}

/* ---- changing ---- */

/* Gives `list` with room for one item at `at`, and the rest behind it. */
static void *insert(sgc_arena *arena, const void *list, size_t count, size_t at, size_t size,
                    const void *item)
{
    char *copy = sgc_arena_alloc(arena, count + 1, size);
    if (copy == NULL)
        return NULL;
    if (at > 0)
        memcpy(copy, list, at * size);
    memcpy(copy + at * size, item, size);
    if (count > at)
        memcpy(copy + (at + 1) * size, (const char *)list + at * size, (count - at) * size);
    return copy;
}

static sgc_status no_memory(const sgc_repo_info *info, sgc_error *err)
{
    return sgc_fail_memory(err, info->file.size, "the repo info");
}

/* Replaces the list of branches or tags. */
static sgc_status set_refs(sgc_repo_info *info, sgc_ref_kind kind, const sgc_named_snapshot *list,
                           size_t count, sgc_error *err)
{
    if (list == NULL)
        return no_memory(info, err);
    if (kind == SGC_REF_BRANCH) {
        info->data.branches = list;
        info->data.branch_count = count;
    } else {
        info->data.tags = list;
        info->data.tag_count = count;
    }
    return SGC_OK;
}

sgc_status sgc_repo_info_put_ref(sgc_repo_info *info, sgc_ref_kind kind, const char *name,
                                 uint32_t snapshot, sgc_error *err)
{
    const sgc_named_snapshots old = sgc_repo_info_refs(info, kind);
    const sgc_named_snapshot *found = sgc_repo_info_find_ref(info, kind, name);
    const sgc_named_snapshot made = {name, snapshot};
    if (found != NULL) {
        sgc_named_snapshot *list =
            sgc_arena_copy(&info->arena, old.items, old.count * sizeof *list);
        if (list != NULL)
            list[found - old.items].snapshot = snapshot;
        return set_refs(info, kind, list, old.count, err);
    }
    size_t at = 0;
    while (at < old.count && strcmp(old.items[at].name, name) < 0)
        at++;
    return set_refs(info, kind, insert(&info->arena, old.items, old.count, at, sizeof made, &made),
                    old.count + 1, err);
}

static sgc_status bury_tag(sgc_repo_info *info, const char *name, sgc_error *err)
{
    sgc_repo_info_data *data = &info->data;
    size_t at = 0;
    while (at < data->deleted_tag_count && strcmp(data->deleted_tags[at], name) < 0)
        at++;
    const char *const *list =
        insert(&info->arena, data->deleted_tags, data->deleted_tag_count, at, sizeof name, &name);
    if (list == NULL)
        return no_memory(info, err);
    data->deleted_tags = list;
    data->deleted_tag_count++;
    return SGC_OK;
}

sgc_status sgc_repo_info_drop_ref(sgc_repo_info *info, sgc_ref_kind kind, const char *name,
                                  sgc_error *err)
{
    const sgc_named_snapshots old = sgc_repo_info_refs(info, kind);
    sgc_named_snapshot *list = sgc_arena_alloc(&info->arena, old.count, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < old.count; i++)
        if (strcmp(old.items[i].name, name) != 0)
            list[n++] = old.items[i];
    SGC_TRY(set_refs(info, kind, list, n, err));
    return kind == SGC_REF_TAG ? bury_tag(info, name, err) : SGC_OK;
}

/* Renumbers what names snapshots by index; `map` gives the new index of each old one. */
static sgc_status renumber_refs(sgc_repo_info *info, const uint32_t *map, sgc_error *err)
{
    for (int k = 0; k < 2; k++) {
        const sgc_ref_kind kind = k == 0 ? SGC_REF_BRANCH : SGC_REF_TAG;
        const sgc_named_snapshots old = sgc_repo_info_refs(info, kind);
        sgc_named_snapshot *list =
            sgc_arena_copy(&info->arena, old.items, old.count * sizeof *list);
        for (size_t i = 0; list != NULL && i < old.count; i++)
            list[i].snapshot = map[list[i].snapshot];
        SGC_TRY(set_refs(info, kind, list, old.count, err));
    }
    return SGC_OK;
}

sgc_status sgc_repo_info_add_snapshot(sgc_repo_info *info, const sgc_snapshot_entry *entry,
                                      uint32_t *index, sgc_error *err)
{
    sgc_repo_info_data *data = &info->data;
    const size_t count = data->snapshot_count;
    size_t at = 0;
    while (at < count && sgc_object_id_compare(&data->snapshots[at].id, &entry->id) < 0)
        at++;
    if (at < count && sgc_object_id_compare(&data->snapshots[at].id, &entry->id) == 0)
        return sgc_fail(err, SGC_EXISTS, "the snapshot is listed already");
    uint32_t *map = sgc_arena_alloc(&info->arena, count, sizeof *map);
    sgc_snapshot_entry *list =
        insert(&info->arena, data->snapshots, count, at, sizeof *list, entry);
    if (map == NULL || list == NULL)
        return no_memory(info, err);
    for (size_t i = 0; i < count; i++)
        map[i] = (uint32_t)(i < at ? i : i + 1);
    for (size_t i = 0; i <= count; i++)
        if (list[i].parent >= 0)
            list[i].parent = (int32_t)map[list[i].parent];
    SGC_TRY(renumber_refs(info, map, err));
    data->snapshots = list;
    data->snapshot_count = count + 1;
    *index = (uint32_t)at;
    return SGC_OK;
}

sgc_status sgc_repo_info_filter_snapshots(sgc_repo_info *info, const bool *keep, sgc_error *err)
{
    sgc_repo_info_data *data = &info->data;
    const size_t count = data->snapshot_count;
    uint32_t *map = sgc_arena_alloc(&info->arena, count, sizeof *map);
    sgc_snapshot_entry *list = sgc_arena_alloc(&info->arena, count, sizeof *list);
    if (map == NULL || list == NULL)
        return no_memory(info, err);
    uint32_t n = 0;
    for (size_t i = 0; i < count; i++) {
        map[i] = n;
        if (keep[i])
            list[n++] = data->snapshots[i];
    }
    for (size_t i = 0; i < n; i++)
        if (list[i].parent >= 0)
            list[i].parent = (int32_t)map[list[i].parent];
    SGC_TRY(renumber_refs(info, map, err));
    data->snapshots = list;
    data->snapshot_count = n;
    return SGC_OK;
}

/* ---- publishing ---- */

static sgc_status wrap(const sgc_repo_info_data *data, sgc_buffer *file, sgc_error *err)
{
    sgc_buffer payload = {0};
    sgc_status status = sgc_repo_info_encode(data, &payload, err);
    if (status == SGC_OK)
        status = sgc_envelope_wrap(SGC_FILE_REPO_INFO, SPEC_VERSION, payload.data, payload.size,
                                   file, err);
    sgc_buffer_free(&payload);
    return status;
}

/* Puts `made` in front of the log. Where that gets too long, the rest is left to the backup of the
 * version in which it was the newest. */
static sgc_status log_operation(sgc_repo_info *info, const sgc_operation *made, const char *backup,
                                uint32_t most, sgc_error *err)
{
    sgc_repo_info_data *data = &info->data;
    sgc_operation *list =
        insert(&info->arena, data->operations, data->operation_count, 0, sizeof *list, made);
    if (list == NULL)
        return no_memory(info, err);
    size_t n = data->operation_count + 1;
    if (n > 1)
        list[1].backup = backup;
    for (size_t i = most > 0 ? most : 1; i < n; i++) {
        if (list[i].backup != NULL) {
            data->previous_file = list[i].backup;
            n = i;
        }
    }
    data->operations = list;
    data->operation_count = n;
    return SGC_OK;
}

static sgc_status name_backup(char backup[BACKUP_SIZE], sgc_error *err)
{
    sgc_object_id id;
    char text[SGC_OBJECT_ID_TEXT + 1];
    SGC_TRY(sgc_object_id_random(&id, err));
    sgc_object_id_format(&id, text);
    snprintf(backup, BACKUP_SIZE, "repo.%014llu.%s",
             (unsigned long long)(year_3000 - sgc_clock_now() / 1000), text);
    return SGC_OK;
}

static sgc_status publish(sgc_object_store *store, const sgc_repo_info *info, const char *backup,
                          sgc_error *err)
{
    sgc_buffer file = {0};
    char key[BACKUP_SIZE + 16];
    snprintf(key, sizeof key, "overwritten/%s", backup);
    sgc_status status = wrap(&info->data, &file, err);
    if (status == SGC_OK)
        status = store->copy(store, SGC_REPO_INFO_KEY, key, err);
    if (status == SGC_OK)
        status = store->put(store, SGC_REPO_INFO_KEY, file.data, file.size, SGC_PUT_IF_UNCHANGED,
                            &info->file, err);
    sgc_buffer_free(&file);
    return status;
}

static sgc_status try_update(sgc_object_store *store, sgc_repo_info *info, uint32_t most,
                             sgc_repo_info_change change, void *user, sgc_error *err)
{
    char backup[BACKUP_SIZE];
    sgc_operation operation = {0};
    SGC_TRY(sgc_repo_info_check_writable(info, store, err));
    SGC_TRY(change(user, info, &operation, err));
    SGC_TRY(sgc_clock_after(info->data.operations[0].time, &operation.time, err));
    SGC_TRY(name_backup(backup, err));
    SGC_TRY(log_operation(info, &operation, backup, most, err));
    return publish(store, info, backup, err);
}

/* SGC_CONFLICT of the change itself is final; of publishing it means that somebody was faster. */
typedef struct guarded_change {
    sgc_repo_info_change change;
    void *user;
    bool failed;
} guarded_change;

static sgc_status call_change(void *user, sgc_repo_info *info, sgc_operation *operation,
                              sgc_error *err)
{
    guarded_change *guarded = user;
    const sgc_status status = guarded->change(guarded->user, info, operation, err);
    guarded->failed = status != SGC_OK;
    return status;
}

sgc_status sgc_repo_info_update(sgc_object_store *store, uint32_t updates_per_file,
                                sgc_repo_info_change change, void *user, sgc_error *err)
{
    guarded_change guarded = {.change = change, .user = user};
    sgc_status status = SGC_CONFLICT;
    for (unsigned i = 0; status == SGC_CONFLICT && !guarded.failed && i < MOST_ATTEMPTS; i++) {
        sgc_repo_info info;
        if (i > 0)
            sgc_clock_pause(i);
        SGC_TRY(sgc_repo_info_load(store, &info, err));
        status = try_update(store, &info, updates_per_file, call_change, &guarded, err);
        sgc_repo_info_clear(&info);
    }
    return status;
}

sgc_status sgc_repo_info_store_new(sgc_object_store *store, const sgc_repo_info_data *data,
                                   sgc_error *err)
{
    sgc_buffer file = {0};
    sgc_status status = wrap(data, &file, err);
    if (status == SGC_OK)
        status = store->put(store, SGC_REPO_INFO_KEY, file.data, file.size, SGC_PUT_IF_ABSENT, NULL,
                            err);
    sgc_buffer_free(&file);
    return status;
}

sgc_status sgc_repo_info_create(sgc_object_store *store, const sgc_snapshot_entry *root,
                                sgc_bytes config, sgc_error *err)
{
    const sgc_named_snapshot branch = {"main", 0};
    const sgc_operation initialised = {.kind = SGC_REPO_INITIALIZED, .time = root->flushed_at};
    const sgc_repo_info_data data = {
        .spec_version = SPEC_VERSION,
        .branch_count = 1,
        .branches = &branch,
        .snapshot_count = 1,
        .snapshots = root,
        .status = {.availability = SGC_ONLINE, .set_at = root->flushed_at},
        .has_metadata = true,
        .operation_count = 1,
        .operations = &initialised,
        .config = config,
    };
    return sgc_repo_info_store_new(store, &data, err);
}
