/* Garbage collection (format guide 18.3). */
#include <stdlib.h>

#include "store/clock.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/reachable.h"
#include "store/icechunk/release.h"
#include "store/icechunk/repository_private.h"

enum { MOST_ATTEMPTS = 10, REMOVED_AT_ONCE = 1000, KEY_SIZE = 40 };

typedef struct collection {
    sgc_repository *repository;
    const sgc_garbage_options *options;
    sgc_reachable keep;
    sgc_id_set young; /* snapshots whose files are too young to go */
    const sgc_id_set *kept;
    size_t *count;          /* of what is being listed */
    char (*keys)[KEY_SIZE]; /* about to be removed */
    size_t key_count;
    sgc_garbage_result result;
} collection;

/* The id in a key like "chunks/<id>"; false for names that are no ids, which are left alone. */
static bool parse_key(const char *key, sgc_object_id *id)
{
    const char *name = strchr(key, '/');
    return name != NULL && sgc_object_id_parse(name + 1, strlen(name + 1), id, NULL) == SGC_OK;
}

/* ---- what is needed ---- */

static sgc_status add_tips(collection *c, const sgc_ref *refs, size_t count, sgc_error *err)
{
    for (size_t i = 0; i < count; i++)
        SGC_TRY(sgc_reachable_add_history(&c->keep, c->repository, &refs[i].snapshot, err));
    return SGC_OK;
}

static sgc_status add_young(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *err)
{
    collection *c = user;
    sgc_object_id id;
    return info->modified >= c->options->older_than && parse_key(key, &id)
               ? sgc_id_set_add(&c->young, &id, NULL, err)
               : SGC_OK;
}

/* Snapshots that the repo info lists and no branch sees stay while they are young: they may be
 * about to get a name. */
static sgc_status add_listed(collection *c, sgc_error *err)
{
    sgc_object_store *store = c->repository->store;
    sgc_repo_info info;
    SGC_TRY(store->list(store, "snapshots/", add_young, c, err));
    SGC_TRY(sgc_repo_info_load(store, &info, err));
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < info.data.snapshot_count; i++) {
        const sgc_snapshot_entry *entry = &info.data.snapshots[i];
        if (!sgc_id_set_has(&c->young, &entry->id))
            continue;
        status = sgc_id_set_add(&c->keep.snapshots, &entry->id, NULL, err);
        if (status == SGC_OK)
            status = sgc_id_set_add(&c->keep.transaction_logs, &entry->id, NULL, err);
        for (size_t k = 0; status == SGC_OK && k < entry->pruned_log_count; k++)
            status = sgc_id_set_add(&c->keep.transaction_logs, &entry->pruned_logs[k], NULL, err);
    }
    sgc_repo_info_clear(&info);
    return status;
}

static sgc_status add_contents(collection *c, sgc_error *err)
{
    for (size_t i = 0; i < c->keep.snapshots.slot_count; i++)
        if (c->keep.snapshots.used[i])
            SGC_TRY(
                sgc_reachable_add_content(&c->keep, c->repository, &c->keep.snapshots.ids[i], err));
    return SGC_OK;
}

static sgc_status find_needed(collection *c, const sgc_ref_names *names, sgc_error *err)
{
    sgc_reachable_free(&c->keep);
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

/* Looks until the branches and tags are the same before and after. */
static sgc_status find_all_needed(collection *c, sgc_error *err)
{
    sgc_ref_names names, after;
    SGC_TRY(sgc_repository_list_refs(c->repository, &names, err));
    sgc_status status = SGC_OK;
    bool settled = false;
    for (int i = 0; status == SGC_OK && !settled && i < MOST_ATTEMPTS; i++) {
        status = find_needed(c, &names, err);
        if (status == SGC_OK)
            status = sgc_repository_list_refs(c->repository, &after, err);
        if (status != SGC_OK)
            break;
        settled =
            same_refs(names.branches, names.branch_count, after.branches, after.branch_count) &&
            same_refs(names.tags, names.tag_count, after.tags, after.tag_count);
        sgc_ref_names_clear(&names);
        names = after;
    }
    sgc_ref_names_clear(&names);
    if (status == SGC_OK && !settled)
        return sgc_fail(err, SGC_CONFLICT, "%s is changed all the time: try again later",
                        c->repository->store->name);
    return status;
}

/* ---- what goes ---- */

/* Says which snapshots of the info stay; gives the number of others. */
static size_t choose_kept(const collection *c, const sgc_repo_info *info, bool *keep)
{
    size_t dropped = 0;
    for (size_t i = 0; i < info->data.snapshot_count; i++) {
        const sgc_snapshot_entry *entry = &info->data.snapshots[i];
        keep[i] = entry->flushed_at >= c->options->older_than ||
                  sgc_id_set_has(&c->keep.snapshots, &entry->id);
        dropped += !keep[i];
    }
    return dropped;
}

/* What came while we looked must not need what goes. */
static sgc_status check_nothing_new(const collection *c, const sgc_repo_info *info,
                                    const bool *keep, sgc_error *err)
{
    const sgc_repo_info_data *data = &info->data;
    bool new = false;
    for (size_t i = 0; i < data->branch_count; i++)
        new = new || !keep[data->branches[i].snapshot];
    for (size_t i = 0; i < data->tag_count; i++)
        new = new || !keep[data->tags[i].snapshot];
    for (size_t i = 0; i < data->snapshot_count; i++)
        new =
            new || (keep[i] && data->snapshots[i].parent >= 0 && !keep[data->snapshots[i].parent] &&
                    !sgc_id_set_has(&c->keep.snapshots, &data->snapshots[i].id));
    return new ? sgc_fail(err, SGC_CONFLICT, "%s was changed meanwhile: try again",
                          c->repository->store->name)
               : SGC_OK;
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

/* In spec 2 the repo info forgets the snapshots before they go. */
static sgc_status update_info(collection *c, sgc_error *err)
{
    sgc_object_store *store = c->repository->store;
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(store, &info, err));
    bool *keep = sgc_arena_alloc(&info.arena, info.data.snapshot_count, sizeof *keep);
    const size_t dropped = keep != NULL ? choose_kept(c, &info, keep) : 0;
    sgc_repo_info_clear(&info);
    if (keep == NULL)
        return sgc_fail_memory(err, 0, "the repo info");
    return dropped == 0
               ? SGC_OK
               : sgc_repo_info_update(store, sgc_config_updates_per_file(c->repository->config),
                                      forget_snapshots, c, err);
}

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
    if (info->modified >= c->options->older_than || !parse_key(key, &id) ||
        sgc_id_set_has(c->kept, &id) || strlen(key) >= KEY_SIZE)
        return SGC_OK;
    *c->count += 1;
    c->result.bytes += info->size;
    strcpy(c->keys[c->key_count++], key);
    return c->key_count < REMOVED_AT_ONCE ? SGC_OK : remove_keys(c, err);
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
    static const uint64_t day = 24 * 3600 * UINT64_C(1000000);
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
    } kinds[] = {{"snapshots/", &c->keep.snapshots, &c->result.snapshots},
                 {"transactions/", &c->keep.transaction_logs, &c->result.transaction_logs},
                 {"manifests/", &c->keep.manifests, &c->result.manifests},
                 {"chunks/", &c->keep.chunks, &c->result.chunks}};
    sgc_object_store *store = c->repository->store;
    if (c->repository->spec_version == 2 && !c->options->dry_run)
        SGC_TRY(update_info(c, err));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        c->kept = kinds[i].kept;
        c->count = kinds[i].count;
        SGC_TRY(store->list(store, kinds[i].prefix, remove_unless_kept, c, err));
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
        status = find_all_needed(&c, err);
    if (status == SGC_OK)
        status = remove_garbage(&c, err);
    if (status == SGC_OK)
        *result = c.result;
    sgc_reachable_free(&c.keep);
    sgc_id_set_free(&c.young);
    free(c.keys);
    return status;
}
