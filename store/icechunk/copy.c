/* Copies of one snapshot (format guide 9, 18.1): what it needs, its own file with the root as
 * parent, and at last the branch. */
#include <pthread.h>
#include <stdlib.h>

#include "store/clock.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/metadata_file.h"
#include "store/icechunk/reachable.h"
#include "store/icechunk/release.h"
#include "store/icechunk/repository_private.h"
#include "store/parallel.h"

typedef struct copied_object {
    char key[SGC_METADATA_KEY];
} copied_object;

typedef struct copying {
    sgc_object_store *from, *to;
    copied_object *objects;
    size_t count, capacity;
    sgc_id_set there[2];   /* manifests and chunks that `to` has */
    pthread_mutex_t mutex; /* guards the result */
    sgc_copy_result result;
} copying;

/* ---- objects ---- */

static sgc_status add_there(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *err)
{
    (void)info; /* puts are whole or not at all */
    sgc_object_id id;
    const char *name = strchr(key, '/');
    return name != NULL && sgc_object_id_parse(name + 1, strlen(name + 1), &id, NULL) == SGC_OK
               ? sgc_id_set_add(user, &id, NULL, err)
               : SGC_OK;
}

static sgc_status add_objects(copying *c, const char *prefix, const sgc_id_set *wanted,
                              sgc_id_set *there, sgc_error *err)
{
    SGC_TRY(c->to->list(c->to, prefix, add_there, there, err));
    for (size_t i = 0; i < wanted->slot_count; i++) {
        if (!wanted->used[i] || sgc_id_set_has(there, &wanted->ids[i]))
            continue;
        copied_object *grown = sgc_list_grow(c->objects, c->count, &c->capacity, sizeof *grown);
        if (grown == NULL)
            return sgc_fail_memory(err, sizeof *grown, "a copy");
        c->objects = grown;
        char *key = c->objects[c->count++].key;
        strcpy(key, prefix);
        sgc_object_id_format(&wanted->ids[i], key + strlen(key));
    }
    return SGC_OK;
}

static void count_copied(copying *c, uint64_t size)
{
    pthread_mutex_lock(&c->mutex);
    c->result.objects++;
    c->result.bytes += size;
    pthread_mutex_unlock(&c->mutex);
}

static sgc_status copy_key(copying *c, const char *key, sgc_error *err)
{
    sgc_object object = {0};
    SGC_TRY(c->from->get(c->from, key, 0, SGC_TO_END, &object, err));
    const size_t size = object.size;
    const sgc_status status = c->to->put(c->to, key, object.data, size, SGC_PUT_ALWAYS, NULL, err);
    sgc_object_clear(&object);
    if (status == SGC_OK)
        count_copied(c, size);
    return status;
}

static sgc_status copy_object(void *user, size_t index, sgc_error *err)
{
    copying *c = user;
    return copy_key(c, c->objects[index].key, err);
}

/* ---- the history: the root and the snapshot ---- */

static sgc_status copy_file(copying *c, sgc_file_kind kind, const sgc_object_id *id, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(kind, id, key);
    return copy_key(c, key, err);
}

/* The root of a spec 1 repository has no log. */
static sgc_status copy_log(copying *c, const sgc_object_id *id, sgc_error *err)
{
    const sgc_status status = copy_file(c, SGC_FILE_TRANSACTION_LOG, id, err);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

static sgc_status find_root(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    (void)more;
    (void)err;
    *(sgc_object_id *)user = commit->id;
    return SGC_OK;
}

/* The snapshot with the root as parent, which spec 2 says elsewhere. */
static sgc_status copy_snapshot(copying *c, const sgc_snapshot_data *snapshot,
                                const sgc_object_id *root, sgc_error *err)
{
    SGC_TRY(copy_log(c, &snapshot->id, err));
    if (!snapshot->has_parent)
        return copy_file(c, SGC_FILE_SNAPSHOT, &snapshot->id, err);
    sgc_snapshot_data data = *snapshot;
    sgc_buffer payload = {0};
    uint64_t size = 0;
    data.parent = *root;
    sgc_status status = sgc_snapshot_encode(&data, &payload, err);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(c->to, SGC_FILE_SNAPSHOT, &data.id, data.spec_version,
                                         &payload, SGC_PUT_ALWAYS, &size, err);
    if (status == SGC_OK)
        count_copied(c, size);
    sgc_buffer_free(&payload);
    return status;
}

static sgc_status publish_1(copying *c, const sgc_object_id *id, sgc_error *err)
{
    const sgc_status config = copy_key(c, "config.yaml", err);
    if (config != SGC_OK && config != SGC_NOT_FOUND)
        return config;
    return sgc_ref_create(c->to, SGC_REF_BRANCH, "main", id, err);
}

/* They are not copied: no transaction in the copy can have begun before the snapshot. */
static sgc_status forget_pruned_logs(sgc_repo_info *info, sgc_error *err)
{
    const size_t count = info->data.snapshot_count;
    sgc_snapshot_entry *entries =
        sgc_arena_copy(&info->arena, info->data.snapshots, count * sizeof *entries);
    if (entries == NULL)
        return sgc_fail_memory(err, count * sizeof *entries, "the repo info");
    for (size_t i = 0; i < count; i++)
        entries[i].pruned_log_count = 0;
    info->data.snapshots = entries;
    return SGC_OK;
}

/* The repo info with nothing but the snapshot, the root and the settings. */
static sgc_status reduce_info(sgc_repo_info *info, const sgc_object_id *id, sgc_error *err)
{
    const size_t count = info->data.snapshot_count;
    bool *keep = sgc_arena_alloc(&info->arena, count, sizeof *keep);
    sgc_operation *made = sgc_arena_alloc(&info->arena, 1, sizeof *made);
    if (keep == NULL || made == NULL)
        return sgc_fail_memory(err, count, "the repo info");
    const sgc_snapshot_entry *root = sgc_repo_info_find_snapshot(info, id);
    if (root == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "the snapshot was removed while it was copied");
    while (root->parent >= 0)
        root = &info->data.snapshots[root->parent];
    for (size_t i = 0; i < count; i++)
        keep[i] = &info->data.snapshots[i] == root ||
                  sgc_object_id_compare(&info->data.snapshots[i].id, id) == 0;
    info->data.tag_count = info->data.branch_count = info->data.deleted_tag_count = 0;
    SGC_TRY(sgc_repo_info_release(info, keep, NULL, 0, err));
    SGC_TRY(forget_pruned_logs(info, err));
    *made = (sgc_operation){.kind = SGC_REPO_INITIALIZED, .time = sgc_clock_now()};
    info->data.operations = made;
    info->data.operation_count = 1;
    info->data.previous_file = NULL;
    info->data.status = (sgc_repo_status){.availability = SGC_ONLINE, .set_at = made->time};
    const uint32_t index = (uint32_t)(sgc_repo_info_find_snapshot(info, id) - info->data.snapshots);
    return sgc_repo_info_put_ref(info, SGC_REF_BRANCH, "main", index, err);
}

static sgc_status publish_2(copying *c, const sgc_object_id *id, sgc_error *err)
{
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(c->from, &info, err));
    sgc_status status = reduce_info(&info, id, err);
    if (status == SGC_OK)
        status = sgc_repo_info_store_new(c->to, &info.data, err);
    sgc_repo_info_clear(&info);
    return status;
}

/* ---- all of it ---- */

static sgc_status check_key(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *err)
{
    (void)info;
    static const char *const known[] = {"config.yaml", "snapshots/", "transactions/", "manifests/",
                                        "chunks/"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(key, known[i], strlen(known[i])) == 0)
            return SGC_OK;
    return sgc_fail(err, SGC_INVALID, "%s is not empty, it has %s: name another place",
                    ((const sgc_object_store *)user)->name, key);
}

/* Nothing but the leftovers of an earlier attempt may be there. */
static sgc_status check_no_repository(sgc_object_store *to, sgc_error *err)
{
    int spec_version;
    const sgc_status status = sgc_repository_detect(to, &spec_version, NULL, err);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_EXISTS, "%s is a repository already", to->name);
    return status == SGC_NOT_FOUND ? to->list(to, "", check_key, to, err) : status;
}

static sgc_status copy_all(copying *c, sgc_repository *repository, const sgc_reachable *wanted,
                           const sgc_snapshot_data *snapshot, unsigned threads, sgc_error *err)
{
    sgc_object_id root;
    SGC_TRY(sgc_repository_history(repository, &snapshot->id, find_root, &root, err));
    SGC_TRY(add_objects(c, "chunks/", &wanted->chunks, &c->there[0], err));
    SGC_TRY(add_objects(c, "manifests/", &wanted->manifests, &c->there[1], err));
    SGC_TRY(sgc_parallel_for(c->count, threads, copy_object, c, err));
    if (sgc_object_id_compare(&root, &snapshot->id) != 0) {
        SGC_TRY(copy_file(c, SGC_FILE_SNAPSHOT, &root, err));
        SGC_TRY(copy_log(c, &root, err));
    }
    SGC_TRY(copy_snapshot(c, snapshot, &root, err));
    return repository->spec_version == 2 ? publish_2(c, &snapshot->id, err)
                                         : publish_1(c, &snapshot->id, err);
}

static sgc_status copy_wanted(copying *c, sgc_repository *repository, const sgc_object_id *id,
                              unsigned threads, sgc_error *err)
{
    sgc_reachable wanted = {0};
    sgc_snapshot *snapshot = NULL;
    sgc_status status = sgc_reachable_add_content(&wanted, repository, id, err);
    if (status == SGC_OK)
        status = sgc_repository_snapshot(repository, id, &snapshot, err);
    if (status == SGC_OK)
        status = copy_all(c, repository, &wanted, sgc_snapshot_get(snapshot), threads, err);
    sgc_snapshot_unref(snapshot);
    sgc_reachable_free(&wanted);
    return status;
}

sgc_status sgc_repository_copy(sgc_repository *repository, const sgc_object_id *id,
                               sgc_object_store *to, unsigned threads, sgc_copy_result *result,
                               sgc_error *err)
{
    SGC_TRY(check_no_repository(to, err));
    copying c = {.from = repository->store, .to = to};
    pthread_mutex_init(&c.mutex, NULL);
    const sgc_status status = copy_wanted(&c, repository, id, threads, err);
    if (status == SGC_OK)
        *result = c.result;
    pthread_mutex_destroy(&c.mutex);
    sgc_id_set_free(&c.there[0]);
    sgc_id_set_free(&c.there[1]);
    free(c.objects);
    return status;
}
