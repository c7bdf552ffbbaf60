/* Branches, tags and history of a repository, whichever version it has. */
#include <stdlib.h>

#include "store/icechunk/metadata_items.h"
#include "store/icechunk/repo_info.h"
#include "store/icechunk/repository_private.h"

/* ---- resolving and listing ---- */

static sgc_status resolve_1(sgc_repository *repository, sgc_ref_kind kind, const char *name,
                            sgc_object_id *id, sgc_error *err)
{
    sgc_error absent = {""};
    const sgc_status status = sgc_ref_read(repository->store, kind, name, id, &absent);
    if (status == SGC_NOT_FOUND)
        SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    return status == SGC_OK ? SGC_OK : sgc_fail(err, status, "%s", absent.message);
}

sgc_status sgc_repository_resolve(sgc_repository *repository, sgc_ref_kind kind, const char *name,
                                  sgc_object_id *id, sgc_error *err)
{
    if (repository->spec_version == 1)
        return resolve_1(repository, kind, name, id, err);
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(repository->store, &info, err));
    const sgc_named_snapshot *ref = sgc_repo_info_find_ref(&info, kind, name);
    if (ref != NULL)
        *id = info.data.snapshots[ref->snapshot].id;
    sgc_repo_info_clear(&info);
    return ref != NULL ? SGC_OK
                       : sgc_fail(err, SGC_NOT_FOUND, "%s has no %s \"%s\"",
                                  repository->store->name, sgc_ref_noun(kind), name);
}

/* A list of references that grows in malloc'ed memory, and its names in an arena. */
typedef struct ref_collector {
    sgc_arena *arena;
    sgc_ref *refs;
    size_t count, capacity;
} ref_collector;

static sgc_status collect(ref_collector *c, const char *name, const sgc_object_id *snapshot,
                          sgc_error *err)
{
    sgc_ref *refs = sgc_list_grow(c->refs, c->count, &c->capacity, sizeof *refs);
    const char *copy = sgc_arena_string(c->arena, name, strlen(name));
    if (refs != NULL)
        c->refs = refs;
    if (refs == NULL || copy == NULL)
        return sgc_fail_memory(err, strlen(name), "a list of references");
    c->refs[c->count] = (sgc_ref){.name = copy};
    if (snapshot != NULL)
        c->refs[c->count].snapshot = *snapshot;
    c->count++;
    return SGC_OK;
}

static int compare_refs(const void *a, const void *b)
{
    return strcmp(((const sgc_ref *)a)->name, ((const sgc_ref *)b)->name);
}

/* Moves the list into the arena, sorted. */
static sgc_status finish(ref_collector *c, const sgc_ref **list, size_t *count, sgc_error *err)
{
    if (c->count > 0)
        qsort(c->refs, c->count, sizeof *c->refs, compare_refs);
    *list = sgc_arena_copy(c->arena, c->refs, c->count * sizeof *c->refs);
    *count = c->count;
    free(c->refs);
    *c = (ref_collector){.arena = c->arena};
    return *list != NULL ? SGC_OK : sgc_fail_memory(err, 0, "a list of references");
}

typedef struct listing {
    sgc_object_store *store;
    sgc_ref_kind kind;
    ref_collector live, deleted;
} listing;

static sgc_status list_name(void *user, const char *name, bool deleted, sgc_error *err)
{
    listing *l = user;
    sgc_object_id id;
    if (deleted)
        return collect(&l->deleted, name, NULL, err);
    const sgc_status status = sgc_ref_read(l->store, l->kind, name, &id, err);
    if (status == SGC_NOT_FOUND)
        return SGC_OK; /* removed meanwhile */
    SGC_TRY(status);
    return collect(&l->live, name, &id, err);
}

static sgc_status list_kind(sgc_object_store *store, sgc_ref_kind kind, sgc_ref_names *out,
                            sgc_error *err)
{
    listing l = {store, kind, {.arena = &out->arena}, {.arena = &out->arena}};
    const bool branch = kind == SGC_REF_BRANCH;
    sgc_status status = sgc_ref_list(store, kind, list_name, &l, err);
    if (status == SGC_OK)
        status = finish(&l.live, branch ? &out->branches : &out->tags,
                        branch ? &out->branch_count : &out->tag_count, err);
    if (status == SGC_OK && !branch)
        status = finish(&l.deleted, &out->deleted_tags, &out->deleted_tag_count, err);
    free(l.live.refs);
    free(l.deleted.refs);
    return status;
}

static sgc_status copy_named(const sgc_repo_info *info, const sgc_named_snapshot *named,
                             size_t named_count, sgc_arena *arena, const sgc_ref **list,
                             size_t *count, sgc_error *err)
{
    ref_collector c = {.arena = arena};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < named_count; i++)
        status = collect(&c, named[i].name, &info->data.snapshots[named[i].snapshot].id, err);
    if (status == SGC_OK)
        status = finish(&c, list, count, err);
    free(c.refs);
    return status;
}

static sgc_status copy_deleted(const sgc_repo_info *info, sgc_ref_names *out, sgc_error *err)
{
    ref_collector c = {.arena = &out->arena};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < info->data.deleted_tag_count; i++)
        status = collect(&c, info->data.deleted_tags[i], NULL, err);
    if (status == SGC_OK)
        status = finish(&c, &out->deleted_tags, &out->deleted_tag_count, err);
    free(c.refs);
    return status;
}

static sgc_status list_2(sgc_object_store *store, sgc_ref_names *out, sgc_error *err)
{
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(store, &info, err));
    sgc_status status = copy_named(&info, info.data.branches, info.data.branch_count, &out->arena,
                                   &out->branches, &out->branch_count, err);
    if (status == SGC_OK)
        status = copy_named(&info, info.data.tags, info.data.tag_count, &out->arena, &out->tags,
                            &out->tag_count, err);
    if (status == SGC_OK)
        status = copy_deleted(&info, out, err);
    sgc_repo_info_clear(&info);
    return status;
}

static bool has_main(const sgc_ref_names *names)
{
    for (size_t i = 0; i < names->branch_count; i++)
        if (strcmp(names->branches[i].name, "main") == 0)
            return true;
    return false;
}

/* A migration removes branch "main" first, then the others: what is left would be half the truth.
 */
static sgc_status list_1(sgc_object_store *store, sgc_ref_names *out, sgc_error *err)
{
    SGC_TRY(list_kind(store, SGC_REF_BRANCH, out, err));
    SGC_TRY(list_kind(store, SGC_REF_TAG, out, err));
    return has_main(out) ? SGC_OK : sgc_repository_check_not_migrated(store, err);
}

sgc_status sgc_repository_list_refs(sgc_repository *repository, sgc_ref_names *out, sgc_error *err)
{
    sgc_object_store *store = repository->store;
    sgc_ref_names names = {0};
    const sgc_status status =
        repository->spec_version == 2 ? list_2(store, &names, err) : list_1(store, &names, err);
    if (status != SGC_OK) {
        sgc_ref_names_clear(&names);
        return status;
    }
    *out = names;
    return SGC_OK;
}

void sgc_ref_names_clear(sgc_ref_names *names)
{
    sgc_arena_free(&names->arena);
    *names = (sgc_ref_names){0};
}

/* ---- changes in spec 2 repositories ---- */

/* What a change of the repo info is about; each function uses some of it. */
typedef struct ref_change {
    const sgc_repository *repository;
    sgc_ref_kind kind;
    const char *name;
    const sgc_object_id *from, *to;
    const sgc_snapshot_data *snapshot; /* of a commit */
} ref_change;

static sgc_status update(sgc_repository *repository, sgc_repo_info_change change, ref_change *what,
                         sgc_error *err)
{
    what->repository = repository;
    return sgc_repo_info_update(repository->store, sgc_config_updates_per_file(repository->config),
                                change, what, err);
}

/* The index of a snapshot that must be listed. */
static sgc_status find_index(const ref_change *c, const sgc_repo_info *info,
                             const sgc_object_id *id, uint32_t *index, sgc_error *err)
{
    const sgc_snapshot_entry *entry = sgc_repo_info_find_snapshot(info, id);
    if (entry == NULL) {
        char text[SGC_OBJECT_ID_TEXT + 1];
        sgc_object_id_format(id, text);
        return sgc_fail(err, SGC_NOT_FOUND, "%s has no snapshot %s", c->repository->store->name,
                        text);
    }
    *index = (uint32_t)(entry - info->data.snapshots);
    return SGC_OK;
}

/* The reference, which must exist. */
static sgc_status find_ref(const ref_change *c, const sgc_repo_info *info,
                           const sgc_named_snapshot **ref, sgc_error *err)
{
    *ref = sgc_repo_info_find_ref(info, c->kind, c->name);
    return *ref != NULL ? SGC_OK
                        : sgc_fail(err, SGC_NOT_FOUND, "%s has no %s \"%s\"",
                                   c->repository->store->name, sgc_ref_noun(c->kind), c->name);
}

/* The branch, which must be at c->from. */
static sgc_status find_branch_at(const ref_change *c, const sgc_repo_info *info,
                                 const sgc_named_snapshot **ref, sgc_error *err)
{
    SGC_TRY(find_ref(c, info, ref, err));
    return sgc_object_id_compare(&info->data.snapshots[(*ref)->snapshot].id, c->from) == 0
               ? SGC_OK
               : sgc_fail(err, SGC_CONFLICT, "%s: branch \"%s\" was moved by somebody else",
                          c->repository->store->name, c->name);
}

static sgc_status check_flag(const ref_change *c, const sgc_repo_info *info, uint16_t flag,
                             sgc_error *err)
{
    return c->kind == SGC_REF_TAG ? sgc_repo_info_check_flag(info, flag, c->repository->store, err)
                                  : SGC_OK;
}

static bool was_tag(const sgc_repo_info *info, const char *name)
{
    for (size_t i = 0; i < info->data.deleted_tag_count; i++)
        if (strcmp(info->data.deleted_tags[i], name) == 0)
            return true;
    return false;
}

static sgc_status create_ref(void *user, sgc_repo_info *info, sgc_operation *operation,
                             sgc_error *err)
{
    const ref_change *c = user;
    uint32_t index = 0;
    SGC_TRY(check_flag(c, info, SGC_FLAG_CREATE_TAG, err));
    if (sgc_repo_info_find_ref(info, c->kind, c->name) != NULL ||
        (c->kind == SGC_REF_TAG && was_tag(info, c->name)))
        return sgc_fail(err, SGC_EXISTS, "%s has, or had, a %s \"%s\" already",
                        c->repository->store->name, sgc_ref_noun(c->kind), c->name);
    SGC_TRY(find_index(c, info, c->to, &index, err));
    operation->kind = c->kind == SGC_REF_TAG ? SGC_TAG_CREATED : SGC_BRANCH_CREATED;
    operation->name = c->name;
    return sgc_repo_info_put_ref(info, c->kind, c->name, index, err);
}

static sgc_status delete_ref(void *user, sgc_repo_info *info, sgc_operation *operation,
                             sgc_error *err)
{
    const ref_change *c = user;
    const sgc_named_snapshot *ref;
    SGC_TRY(check_flag(c, info, SGC_FLAG_DELETE_TAG, err));
    SGC_TRY(find_ref(c, info, &ref, err));
    operation->kind = c->kind == SGC_REF_TAG ? SGC_TAG_DELETED : SGC_BRANCH_DELETED;
    operation->name = c->name;
    operation->previous = info->data.snapshots[ref->snapshot].id;
    return sgc_repo_info_drop_ref(info, c->kind, c->name, err);
}

static sgc_status reset_branch(void *user, sgc_repo_info *info, sgc_operation *operation,
                               sgc_error *err)
{
    const ref_change *c = user;
    const sgc_named_snapshot *ref;
    uint32_t index = 0;
    SGC_TRY(find_branch_at(c, info, &ref, err));
    SGC_TRY(find_index(c, info, c->to, &index, err));
    operation->kind = SGC_BRANCH_RESET;
    operation->name = c->name;
    operation->previous = *c->from;
    return sgc_repo_info_put_ref(info, SGC_REF_BRANCH, c->name, index, err);
}

static sgc_status add_commit(void *user, sgc_repo_info *info, sgc_operation *operation,
                             sgc_error *err)
{
    const ref_change *c = user;
    const sgc_named_snapshot *ref;
    uint32_t index = 0;
    SGC_TRY(find_branch_at(c, info, &ref, err));
    const sgc_snapshot_entry entry = {
        .id = c->snapshot->id,
        .parent = (int32_t)ref->snapshot,
        .flushed_at = c->snapshot->flushed_at,
        .message = c->snapshot->message,
        .has_metadata = true,
        .metadata_count = c->snapshot->metadata_count,
        .metadata = c->snapshot->metadata,
    };
    operation->kind = SGC_NEW_COMMIT;
    operation->name = c->name;
    operation->snapshot = c->snapshot->id;
    SGC_TRY(sgc_repo_info_add_snapshot(info, &entry, &index, err));
    return sgc_repo_info_put_ref(info, SGC_REF_BRANCH, c->name, index, err);
}

/* ---- changes ---- */

/* A snapshot that a reference shall name must be there. */
static sgc_status check_snapshot(sgc_repository *repository, const sgc_object_id *id,
                                 sgc_error *err)
{
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(repository, id, &snapshot, err));
    sgc_snapshot_unref(snapshot);
    return SGC_OK;
}

sgc_status sgc_repository_create_ref(sgc_repository *repository, sgc_ref_kind kind,
                                     const char *name, const sgc_object_id *snapshot,
                                     sgc_error *err)
{
    SGC_TRY(sgc_ref_check_name(kind, name, err));
    SGC_TRY(check_snapshot(repository, snapshot, err));
    ref_change c = {.kind = kind, .name = name, .to = snapshot};
    if (repository->spec_version == 2)
        return update(repository, create_ref, &c, err);
    SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    return sgc_ref_create(repository->store, kind, name, snapshot, err);
}

sgc_status sgc_repository_delete_ref(sgc_repository *repository, sgc_ref_kind kind,
                                     const char *name, sgc_error *err)
{
    if (kind == SGC_REF_BRANCH && strcmp(name, "main") == 0)
        return sgc_fail(err, SGC_INVALID, "%s: branch \"main\" cannot be deleted",
                        repository->store->name);
    ref_change c = {.kind = kind, .name = name};
    if (repository->spec_version == 2)
        return update(repository, delete_ref, &c, err);
    SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    return sgc_ref_delete(repository->store, kind, name, err);
}

sgc_status sgc_repository_reset_branch(sgc_repository *repository, const char *name,
                                       const sgc_object_id *from, const sgc_object_id *to,
                                       sgc_error *err)
{
    SGC_TRY(check_snapshot(repository, to, err));
    ref_change c = {.kind = SGC_REF_BRANCH, .name = name, .from = from, .to = to};
    if (repository->spec_version == 2)
        return update(repository, reset_branch, &c, err);
    SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    return sgc_branch_move(repository->store, name, from, to, err);
}

static sgc_status publish_1(sgc_repository *repository, const char *branch,
                            const sgc_object_id *parent, const sgc_object_id *id, sgc_error *err)
{
    SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    return sgc_branch_move(repository->store, branch, parent, id, err);
}

/* A walk for one commit. */
typedef struct search {
    uint64_t time;
    sgc_object_id id;
    bool found;
} search;

static sgc_status find_commit(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    (void)err;
    search *s = user;
    s->found = sgc_object_id_compare(&commit->id, &s->id) == 0;
    *more = !s->found;
    return SGC_OK;
}

/* Official writers on a local disk move branches without a lock (format guide 16.2): a commit that
 * the branch has forgotten at once was lost to one of them. Only what is sure to be lost is; when
 * nothing can be read now, the commit still stands. */
static bool was_lost(sgc_repository *repository, const char *branch, const sgc_object_id *id)
{
    search s = {.id = *id};
    sgc_object_id tip;
    if (sgc_repository_resolve(repository, SGC_REF_BRANCH, branch, &tip, NULL) != SGC_OK ||
        sgc_object_id_compare(&tip, id) == 0)
        return false;
    return sgc_repository_history(repository, &tip, find_commit, &s, NULL) == SGC_OK && !s.found;
}

sgc_status sgc_repository_publish(sgc_repository *repository, const char *branch,
                                  const sgc_object_id *parent, const sgc_snapshot_data *snapshot,
                                  sgc_error *err)
{
    ref_change c = {.kind = SGC_REF_BRANCH, .name = branch, .from = parent, .snapshot = snapshot};
    SGC_TRY(repository->spec_version == 2
                ? update(repository, add_commit, &c, err)
                : publish_1(repository, branch, parent, &snapshot->id, err));
    return was_lost(repository, branch, &snapshot->id)
               ? sgc_fail(err, SGC_CONFLICT, "%s: branch \"%s\" was moved by somebody else",
                          repository->store->name, branch)
               : SGC_OK;
}

/* ---- history ---- */

/* Notices a circle of parents, which only a damaged repository has: the commit at each power of two
 * is remembered, and must not come again. */
typedef struct circle_guard {
    sgc_object_id remembered;
    uint64_t steps, next;
} circle_guard;

static sgc_status check_no_circle(circle_guard *guard, const sgc_object_id *id, sgc_error *err)
{
    if (guard->steps > 0 && sgc_object_id_compare(&guard->remembered, id) == 0)
        return sgc_fail(err, SGC_CORRUPT, "the history is a circle");
    if (guard->steps++ == guard->next) {
        guard->remembered = *id;
        guard->next = guard->next * 2 + 1;
    }
    return SGC_OK;
}

static sgc_status walk_1(sgc_repository *repository, sgc_object_id id, sgc_commit_fn fn, void *user,
                         sgc_error *err)
{
    circle_guard guard = {0};
    sgc_status status = SGC_OK;
    for (bool more = true; more && status == SGC_OK;) {
        sgc_snapshot *snapshot;
        SGC_TRY(check_no_circle(&guard, &id, err));
        SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, err));
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        const sgc_commit_info commit = {
            .id = id,
            .has_parent = data->has_parent,
            .parent = data->parent,
            .time = data->flushed_at,
            .message = data->message,
            .metadata_count = data->metadata_count,
            .metadata = data->metadata,
            .metadata_version = data->spec_version,
        };
        status = fn(user, &commit, &more, err);
        more = more && commit.has_parent;
        id = commit.parent;
        sgc_snapshot_unref(snapshot);
    }
    return status;
}

static sgc_status walk_2(const sgc_repo_info *info, const sgc_object_id *from, sgc_commit_fn fn,
                         void *user, sgc_error *err)
{
    const sgc_snapshot_entry *entry = sgc_repo_info_find_snapshot(info, from);
    if (entry == NULL) {
        char text[SGC_OBJECT_ID_TEXT + 1];
        sgc_object_id_format(from, text);
        return sgc_fail(err, SGC_NOT_FOUND, "there is no snapshot %s", text);
    }
    for (bool more = true; more && entry != NULL;) {
        const sgc_snapshot_entry *parent =
            entry->parent < 0 ? NULL : &info->data.snapshots[entry->parent];
        const sgc_commit_info commit = {
            .id = entry->id,
            .has_parent = parent != NULL,
            .parent = parent != NULL ? parent->id : (sgc_object_id){{0}},
            .time = entry->flushed_at,
            .message = entry->message,
            .metadata_count = entry->metadata_count,
            .metadata = entry->metadata,
            .metadata_version = 2,
            .pruned_log_count = entry->pruned_log_count,
            .pruned_logs = entry->pruned_logs,
        };
        SGC_TRY(fn(user, &commit, &more, err));
        entry = parent;
    }
    return SGC_OK;
}

sgc_status sgc_repository_history(sgc_repository *repository, const sgc_object_id *from,
                                  sgc_commit_fn fn, void *user, sgc_error *err)
{
    if (repository->spec_version == 1)
        return walk_1(repository, *from, fn, user, err);
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(repository->store, &info, err));
    const sgc_status status = walk_2(&info, from, fn, user, err);
    sgc_repo_info_clear(&info);
    return status;
}

sgc_status sgc_commit_print_metadata(const sgc_commit_info *commit, sgc_buffer *out, sgc_error *err)
{
    return sgc_metadata_items_print(commit->metadata, commit->metadata_count,
                                    commit->metadata_version, out, err);
}

static sgc_status find_as_of(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    (void)err;
    search *s = user;
    s->found = commit->time <= s->time;
    s->id = commit->id;
    *more = !s->found;
    return SGC_OK;
}

sgc_status sgc_repository_as_of(sgc_repository *repository, const sgc_object_id *from,
                                uint64_t time, sgc_object_id *id, sgc_error *err)
{
    search s = {.time = time};
    SGC_TRY(sgc_repository_history(repository, from, find_as_of, &s, err));
    if (!s.found)
        return sgc_fail(err, SGC_NOT_FOUND, "%s has no snapshot that is so old",
                        repository->store->name);
    *id = s.id;
    return SGC_OK;
}
