/* Garbage collection (format guide 18.3). */
#include <stdlib.h>

#include "store/clock.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/metadata_file.h"
#include "store/icechunk/reachable.h"
#include "store/icechunk/release.h"
#include "store/icechunk/repository_private.h"

enum { MOST_ATTEMPTS = 10, REMOVED_AT_ONCE = 1000 };

/* The file of a snapshot. */
typedef struct stored_snapshot {
    sgc_object_id id;
    sgc_object_info info;
} stored_snapshot;

typedef struct collection {
    sgc_repository *repository;
    const sgc_garbage_options *options;
    stored_snapshot *snapshots;
    size_t snapshot_count, snapshot_capacity;
    sgc_reachable keep;             /* more and more of it, while others commit */
    sgc_id_set read;                /* snapshots whose contents are in it */
    const sgc_id_set *kept;         /* of what is being listed */
    size_t *count;                  /* the same */
    char (*keys)[SGC_METADATA_KEY]; /* about to be removed */
    size_t key_count;
    sgc_garbage_result result;
} collection;

/* The id in a key like "chunks/<id>"; false for names that are no ids, which are left alone. */
static bool parse_key(const char *key, sgc_object_id *id)
{
    const char *name = strchr(key, '/');
    return name != NULL && sgc_object_id_parse(name + 1, strlen(name + 1), id, NULL) == SGC_OK;
}

static bool is_young(const collection *c, uint64_t time)
{
    return time >= c->options->older_than;
}

/* ---- what is needed ---- */

static sgc_status add_snapshot(void *user, const char *key, const sgc_object_info *info,
                               sgc_error *err)
{
    collection *c = user;
    stored_snapshot found = {.info = *info};
    if (!parse_key(key, &found.id))
        return SGC_OK;
    stored_snapshot *grown =
        sgc_list_grow(c->snapshots, c->snapshot_count, &c->snapshot_capacity, sizeof *grown);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a list of snapshots");
    c->snapshots = grown;
    c->snapshots[c->snapshot_count++] = found;
    return SGC_OK;
}

static sgc_status add_tips(collection *c, const sgc_ref *refs, size_t count, sgc_error *err)
{
    for (size_t i = 0; i < count; i++)
        SGC_TRY(sgc_reachable_add_history(&c->keep, c->repository, &refs[i].snapshot, err));
    return SGC_OK;
}

/* Keeps a listed snapshot and, for it may become its parent, the root; and all logs behind it,
 * which it takes over when its ancestors go. */
static sgc_status add_entry(collection *c, const sgc_repo_info_data *info,
                            const sgc_snapshot_entry *entry, sgc_error *err)
{
    SGC_TRY(sgc_id_set_add(&c->keep.snapshots, &entry->id, NULL, err));
    for (;; entry = &info->snapshots[entry->parent]) {
        SGC_TRY(sgc_id_set_add(&c->keep.transaction_logs, &entry->id, NULL, err));
        for (size_t i = 0; i < entry->pruned_log_count; i++)
            SGC_TRY(sgc_id_set_add(&c->keep.transaction_logs, &entry->pruned_logs[i], NULL, err));
        if (entry->parent < 0)
            return sgc_id_set_add(&c->keep.snapshots, &entry->id, NULL, err);
    }
}

static sgc_status add_entries(collection *c, const sgc_repo_info_data *info,
                              const sgc_id_set *young, sgc_error *err)
{
    for (size_t i = 0; i < info->snapshot_count; i++) {
        const sgc_snapshot_entry *entry = &info->snapshots[i];
        if (is_young(c, entry->flushed_at) || sgc_id_set_has(young, &entry->id))
            SGC_TRY(add_entry(c, info, entry, err));
    }
    return SGC_OK;
}

/* Snapshots that the repo info lists and no branch sees stay while they are young: they may be
 * about to get a name. */
static sgc_status add_listed(collection *c, sgc_error *err)
{
    sgc_repo_info info;
    sgc_id_set young = {0};
    SGC_TRY(sgc_repo_info_load(c->repository->store, &info, err));
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < c->snapshot_count; i++)
        if (is_young(c, c->snapshots[i].info.modified))
            status = sgc_id_set_add(&young, &c->snapshots[i].id, NULL, err);
    if (status == SGC_OK)
        status = add_entries(c, &info.data, &young, err);
    sgc_id_set_free(&young);
    sgc_repo_info_clear(&info);
    return status;
}

static sgc_status add_contents(collection *c, sgc_error *err)
{
    for (size_t i = 0; i < c->keep.snapshots.slot_count; i++) {
        const sgc_object_id *id = &c->keep.snapshots.ids[i];
        if (!c->keep.snapshots.used[i] || sgc_id_set_has(&c->read, id))
            continue;
        SGC_TRY(sgc_reachable_add_content(&c->keep, c->repository, id, err));
        SGC_TRY(sgc_id_set_add(&c->read, id, NULL, err));
    }
    return SGC_OK;
}

static sgc_status find_needed(collection *c, const sgc_ref_names *names, sgc_error *err)
{
    sgc_object_store *store = c->repository->store;
    c->snapshot_count = 0;
    SGC_TRY(store->list(store, "snapshots/", add_snapshot, c, err));
    SGC_TRY(add_tips(c, names->tags, names->tag_count, err));
    SGC_TRY(add_tips(c, names->branches, names->branch_count, err));
    if (c->repository->spec_version == 2)
        SGC_TRY(add_listed(c, err));
    return add_contents(c, err);
}

static bool same_refs(const sgc_ref *a, size_t a_count, const sgc_ref *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i].name, b[i].name) != 0 ||
            sgc_object_id_compare(&a[i].snapshot, &b[i].snapshot) != 0)
            return false;
    return true;
}

static sgc_status fail_changed(const collection *c, sgc_error *err)
{
    return sgc_fail(err, SGC_CONFLICT, "%s is changed all the time: try again later",
                    c->repository->store->name);
}

static sgc_status check_same_refs(const collection *c, const sgc_ref_names *before, sgc_error *err)
{
    sgc_ref_names now;
    SGC_TRY(sgc_repository_list_refs(c->repository, &now, err));
    const bool same =
        same_refs(before->branches, before->branch_count, now.branches, now.branch_count) &&
        same_refs(before->tags, before->tag_count, now.tags, now.tag_count);
    sgc_ref_names_clear(&now);
    return same ? SGC_OK : fail_changed(c, err);
}

/* ---- the repo info forgets the snapshots before they go ---- */

/* Says which snapshots of the info stay; gives the number of others. */
static size_t choose_kept(const collection *c, const sgc_repo_info *info, bool *keep)
{
    size_t dropped = 0;
    for (size_t i = 0; i < info->data.snapshot_count; i++) {
        const sgc_snapshot_entry *entry = &info->data.snapshots[i];
        keep[i] = is_young(c, entry->flushed_at) || sgc_id_set_has(&c->keep.snapshots, &entry->id);
        dropped += !keep[i];
    }
    return dropped;
}

/* What came while we looked must not need what goes. */
static sgc_status check_nothing_new(const collection *c, const sgc_repo_info *info,
                                    const bool *keep, sgc_error *err)
{
    const sgc_repo_info_data *data = &info->data;
    bool lost = false;
    for (size_t i = 0; i < data->branch_count; i++)
        lost = lost || !keep[data->branches[i].snapshot];
    for (size_t i = 0; i < data->tag_count; i++)
        lost = lost || !keep[data->tags[i].snapshot];
    for (size_t i = 0; i < data->snapshot_count; i++)
        lost = lost ||
               (keep[i] && data->snapshots[i].parent >= 0 && !keep[data->snapshots[i].parent] &&
                !sgc_id_set_has(&c->keep.snapshots, &data->snapshots[i].id));
    return lost ? fail_changed(c, err) : SGC_OK;
}

static sgc_status forget_snapshots(void *user, sgc_repo_info *info, sgc_operation *operation,
                                   sgc_error *err)
{
    const collection *c = user;
    bool *keep = sgc_arena_alloc(&info->arena, info->data.snapshot_count, sizeof *keep);
    if (keep == NULL)
        return sgc_fail_memory(err, info->data.snapshot_count, "the repo info");
    choose_kept(c, info, keep);
    SGC_TRY(check_nothing_new(c, info, keep, err));
    operation->kind = SGC_GC_RAN;
    return sgc_repo_info_release(info, keep, NULL, 0, err);
}

/* Says whether there is something to forget, and that it may be. */
static sgc_status check_info(const collection *c, bool *any, sgc_error *err)
{
    sgc_object_store *store = c->repository->store;
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(store, &info, err));
    bool *keep = sgc_arena_alloc(&info.arena, info.data.snapshot_count, sizeof *keep);
    sgc_status status = sgc_repo_info_check_writable(&info, store, err);
    if (status == SGC_OK && keep == NULL)
        status = sgc_fail_memory(err, info.data.snapshot_count, "the repo info");
    if (status == SGC_OK)
        *any = choose_kept(c, &info, keep) > 0;
    sgc_repo_info_clear(&info);
    return status;
}

static sgc_status update_info(collection *c, sgc_error *err)
{
    bool any;
    SGC_TRY(check_info(c, &any, err));
    return any ? sgc_repo_info_update(c->repository->store,
                                      sgc_config_updates_per_file(c->repository->config),
                                      forget_snapshots, c, err)
               : SGC_OK;
}

/* Finds what is needed, and lets go of the rest. SGC_CONFLICT when somebody changed something
 * meanwhile. */
static sgc_status decide(collection *c, sgc_error *err)
{
    sgc_ref_names names;
    SGC_TRY(sgc_repository_list_refs(c->repository, &names, err));
    sgc_status status = find_needed(c, &names, err);
    if (status == SGC_OK)
        status = check_same_refs(c, &names, err);
    sgc_ref_names_clear(&names);
    if (status == SGC_OK && c->repository->spec_version == 2 && !c->options->dry_run)
        status = update_info(c, err);
    return status;
}

/* ---- what goes ---- */

static sgc_status remove_keys(collection *c, sgc_error *err)
{
    const char *keys[REMOVED_AT_ONCE];
    for (size_t i = 0; i < c->key_count; i++)
        keys[i] = c->keys[i];
    sgc_object_store *store = c->repository->store;
    const size_t count = c->options->dry_run ? 0 : c->key_count;
    c->key_count = 0;
    return count > 0 ? store->remove(store, keys, count, err) : SGC_OK;
}

static sgc_status remove_unless_kept(void *user, const char *key, const sgc_object_info *info,
                                     sgc_error *err)
{
    collection *c = user;
    sgc_object_id id;
    if (is_young(c, info->modified) || !parse_key(key, &id) || sgc_id_set_has(c->kept, &id) ||
        strlen(key) >= SGC_METADATA_KEY)
        return SGC_OK;
    *c->count += 1;
    c->result.bytes += info->size;
    strcpy(c->keys[c->key_count++], key);
    return c->key_count < REMOVED_AT_ONCE ? SGC_OK : remove_keys(c, err);
}

/* Those that were there before the branches and tags were looked at for the last time: what none
 * saw then cannot get a name any more once it is gone. */
static sgc_status remove_snapshots(collection *c, sgc_error *err)
{
    for (size_t i = 0; i < c->snapshot_count; i++) {
        char key[SGC_METADATA_KEY];
        sgc_metadata_file_key(SGC_FILE_SNAPSHOT, &c->snapshots[i].id, key);
        SGC_TRY(remove_unless_kept(c, key, &c->snapshots[i].info, err));
    }
    return SGC_OK;
}

static sgc_status count_leftover(void *user, const char *key, const sgc_object_info *info,
                                 sgc_error *err)
{
    (void)key;
    (void)err;
    collection *c = user;
    c->result.leftovers++;
    c->result.bytes += info->size;
    return SGC_OK;
}

static sgc_status sweep(collection *c, sgc_error *err)
{
    static const uint64_t day = UINT64_C(24) * 3600 * 1000000;
    sgc_object_store *store = c->repository->store;
    const uint64_t yesterday = sgc_clock_now() - day;
    const uint64_t before = c->options->older_than < yesterday ? c->options->older_than : yesterday;
    if (store->sweep == NULL)
        return SGC_OK;
    return store->sweep(store, before, c->options->dry_run, count_leftover, c, err);
}

static sgc_status remove_garbage(collection *c, sgc_error *err)
{
    const struct {
        const char *prefix;
        const sgc_id_set *kept;
        size_t *count;
    } kinds[] = {{NULL, &c->keep.snapshots, &c->result.snapshots},
                 {"transactions/", &c->keep.transaction_logs, &c->result.transaction_logs},
                 {"manifests/", &c->keep.manifests, &c->result.manifests},
                 {"chunks/", &c->keep.chunks, &c->result.chunks}};
    sgc_object_store *store = c->repository->store;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        c->kept = kinds[i].kept;
        c->count = kinds[i].count;
        SGC_TRY(kinds[i].prefix == NULL
                    ? remove_snapshots(c, err)
                    : store->list(store, kinds[i].prefix, remove_unless_kept, c, err));
        SGC_TRY(remove_keys(c, err));
    }
    return sweep(c, err);
}

sgc_status sgc_repository_collect_garbage(sgc_repository *repository,
                                          const sgc_garbage_options *options,
                                          sgc_garbage_result *result, sgc_error *err)
{
    collection c = {.repository = repository,
                    .options = options,
                    .keys = malloc(REMOVED_AT_ONCE * sizeof *c.keys)};
    if (c.keys == NULL)
        return sgc_fail_memory(err, REMOVED_AT_ONCE * sizeof *c.keys, "a list of objects");
    sgc_status status = repository->spec_version == 1
                            ? sgc_repository_check_not_migrated(repository->store, err)
                            : SGC_OK;
    if (status == SGC_OK)
        status = SGC_CONFLICT;
    for (int i = 0; status == SGC_CONFLICT && i < MOST_ATTEMPTS; i++)
        status = decide(&c, err);
    if (status == SGC_OK)
        status = remove_garbage(&c, err);
    if (status == SGC_OK)
        *result = c.result;
    sgc_reachable_free(&c.keep);
    sgc_id_set_free(&c.read);
    free(c.snapshots);
    free(c.keys);
    return status;
}
