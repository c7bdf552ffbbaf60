/* Expiration (format guide 18.1, 18.2). */
#include <stdlib.h>

#include "store/icechunk/id_set.h"
#include "store/icechunk/inheritance.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/release.h"
#include "store/icechunk/repository_private.h"

/* ---- spec 1: the oldest snapshot that stays is rewritten in place, its parent becomes the root
 * ---- */

typedef struct step {
    sgc_object_id id;
    uint64_t time;
} step;

/* The history of one reference, the tip first. */
typedef struct path {
    step *steps;
    size_t count, capacity;
} path;

typedef struct expiring {
    sgc_repository *repository;
    const sgc_expire_options *options;
    sgc_id_set expired;
    sgc_expire_result result;
} expiring;

static sgc_status add_step(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    (void)more;
    path *p = user;
    step *grown = sgc_list_grow(p->steps, p->count, &p->capacity, sizeof *grown);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a history");
    p->steps = grown;
    p->steps[p->count++] = (step){commit->id, commit->time};
    return SGC_OK;
}

static sgc_status add_heritage(const expiring *e, sgc_inheritance *heritage,
                               const sgc_object_id *id, sgc_error *err)
{
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(e->repository, id, &snapshot, err));
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    const sgc_status status = sgc_inheritance_add(heritage, data->metadata, data->metadata_count,
                                                  data->spec_version, err);
    sgc_snapshot_unref(snapshot);
    return status;
}

/* Lets the snapshot number `last` of the path inherit from those behind it, but for the root. */
static sgc_status inherit(const expiring *e, const path *p, size_t last, sgc_arena *arena,
                          sgc_snapshot_data *data, sgc_error *err)
{
    const sgc_expire_options *options = e->options;
    sgc_inheritance heritage;
    sgc_status status =
        sgc_inheritance_init(&heritage, options->inherited, options->inherited_count, err);
    for (size_t i = p->count - 1; status == SGC_OK && i-- > last;)
        status = add_heritage(e, &heritage, &p->steps[i].id, err);
    if (status == SGC_OK)
        status = sgc_inheritance_apply(&heritage, data->metadata, data->metadata_count,
                                       data->spec_version, arena, &data->metadata,
                                       &data->metadata_count, err);
    sgc_inheritance_free(&heritage);
    return status;
}

static sgc_status rewrite(const expiring *e, const path *p, size_t last, sgc_error *err)
{
    sgc_snapshot *snapshot;
    sgc_arena arena = {0};
    SGC_TRY(sgc_repository_snapshot(e->repository, &p->steps[last].id, &snapshot, err));
    sgc_snapshot_data data = *sgc_snapshot_get(snapshot);
    data.parent = p->steps[p->count - 1].id;
    sgc_status status = SGC_OK;
    if (e->options->inherited_count > 0)
        status = inherit(e, p, last, &arena, &data, err);
    if (status == SGC_OK)
        status = sgc_snapshot_store(e->repository->store, &data, err);
    sgc_arena_free(&arena);
    sgc_snapshot_unref(snapshot);
    return status;
}

static sgc_status collapse_path(expiring *e, const path *p, sgc_error *err)
{
    size_t last = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->steps[i].time >= e->options->older_than)
            last = i;
    if (last + 2 >= p->count)
        return SGC_OK;
    for (size_t i = last + 1; i + 1 < p->count; i++)
        SGC_TRY(sgc_id_set_add(&e->expired, &p->steps[i].id, NULL, err));
    return e->options->dry_run ? SGC_OK : rewrite(e, p, last, err);
}

static sgc_status delete_ref(expiring *e, sgc_ref_kind kind, const char *name, sgc_error *err)
{
    if (!e->options->dry_run)
        SGC_TRY(sgc_repository_delete_ref(e->repository, kind, name, err));
    *(kind == SGC_REF_TAG ? &e->result.tags : &e->result.branches) += 1;
    return SGC_OK;
}

static bool may_delete(const sgc_expire_options *options, sgc_ref_kind kind, const char *name)
{
    return kind == SGC_REF_TAG ? options->delete_tags
                               : options->delete_branches && strcmp(name, "main") != 0;
}

/* Also a reference to the root is deleted when it is old; in spec 2 it stays. The official library
 * does the same. */
static sgc_status expire_ref(expiring *e, sgc_ref_kind kind, const sgc_ref *ref, sgc_error *err)
{
    path p = {0};
    sgc_status status = sgc_repository_history(e->repository, &ref->snapshot, add_step, &p, err);
    if (status == SGC_OK)
        status = p.steps[0].time < e->options->older_than && may_delete(e->options, kind, ref->name)
                     ? delete_ref(e, kind, ref->name, err)
                     : collapse_path(e, &p, err);
    free(p.steps);
    return status == SGC_OK ? SGC_OK
                            : sgc_fail_in(err, status, "%s \"%s\"", sgc_ref_noun(kind), ref->name);
}

static sgc_status expire_refs(expiring *e, const sgc_ref_names *names, sgc_error *err)
{
    for (size_t i = 0; i < names->tag_count; i++)
        SGC_TRY(expire_ref(e, SGC_REF_TAG, &names->tags[i], err));
    for (size_t i = 0; i < names->branch_count; i++)
        SGC_TRY(expire_ref(e, SGC_REF_BRANCH, &names->branches[i], err));
    return SGC_OK;
}

static sgc_status expire_1(sgc_repository *repository, const sgc_expire_options *options,
                           sgc_expire_result *result, sgc_error *err)
{
    sgc_ref_names names;
    expiring e = {.repository = repository, .options = options};
    SGC_TRY(sgc_repository_check_not_migrated(repository->store, err));
    SGC_TRY(sgc_repository_list_refs(repository, &names, err));
    const sgc_status status = expire_refs(&e, &names, err);
    if (status == SGC_OK) {
        e.result.snapshots = e.expired.count;
        *result = e.result;
    }
    sgc_id_set_free(&e.expired);
    sgc_ref_names_clear(&names);
    return status;
}

/* ---- spec 2: the repo info forgets them ---- */

typedef struct expiration {
    const sgc_object_store *store;
    const sgc_expire_options *options;
    sgc_expire_result result;
} expiration;

/* Sets keep[i] where a reference that must stay points to. */
static void keep_tips(const sgc_repo_info *info, sgc_ref_kind kind,
                      const sgc_expire_options *options, bool *keep)
{
    const sgc_named_snapshots refs = sgc_repo_info_refs(info, kind);
    for (size_t i = 0; i < refs.count; i++) {
        const sgc_snapshot_entry *tip = &info->data.snapshots[refs.items[i].snapshot];
        if (tip->flushed_at >= options->older_than || tip->parent < 0 ||
            !may_delete(options, kind, refs.items[i].name))
            keep[refs.items[i].snapshot] = true;
    }
}

/* Removes the references whose tip is not kept. One that shares its tip with a reference that stays
 * does no harm, and stays too, as with the official library. */
static sgc_status drop_refs(sgc_repo_info *info, sgc_ref_kind kind, const expiration *e,
                            const bool *keep, size_t *dropped, sgc_error *err)
{
    const sgc_named_snapshots refs = sgc_repo_info_refs(info, kind);
    for (size_t i = 0; i < refs.count; i++) {
        if (keep[refs.items[i].snapshot])
            continue;
        if (kind == SGC_REF_TAG)
            SGC_TRY(sgc_repo_info_check_flag(info, SGC_FLAG_DELETE_TAG, e->store, err));
        SGC_TRY(sgc_repo_info_drop_ref(info, kind, refs.items[i].name, err));
        *dropped += 1;
    }
    return SGC_OK;
}

/* Applies the expiration to an info, and says what it did. */
static sgc_status expire_info(sgc_repo_info *info, expiration *e, sgc_error *err)
{
    const sgc_expire_options *options = e->options;
    const size_t count = info->data.snapshot_count;
    bool *keep = sgc_arena_alloc(&info->arena, count, sizeof *keep);
    if (keep == NULL)
        return sgc_fail_memory(err, count, "the repo info");
    e->result = (sgc_expire_result){0};
    keep_tips(info, SGC_REF_TAG, options, keep);
    keep_tips(info, SGC_REF_BRANCH, options, keep);
    SGC_TRY(drop_refs(info, SGC_REF_TAG, e, keep, &e->result.tags, err));
    SGC_TRY(drop_refs(info, SGC_REF_BRANCH, e, keep, &e->result.branches, err));
    for (size_t i = 0; i < count; i++) {
        const sgc_snapshot_entry *entry = &info->data.snapshots[i];
        keep[i] = keep[i] || entry->parent < 0 || entry->flushed_at >= options->older_than;
        e->result.snapshots += !keep[i];
    }
    return sgc_repo_info_release(info, keep, options->inherited, options->inherited_count, err);
}

static sgc_status change_info(void *user, sgc_repo_info *info, sgc_operation *operation,
                              sgc_error *err)
{
    operation->kind = SGC_EXPIRATION_RAN;
    return expire_info(info, user, err);
}

static sgc_status expire_2(sgc_repository *repository, const sgc_expire_options *options,
                           sgc_expire_result *result, sgc_error *err)
{
    expiration e = {.store = repository->store, .options = options};
    sgc_repo_info info;
    SGC_TRY(sgc_repo_info_load(repository->store, &info, err));
    sgc_status status = expire_info(&info, &e, err);
    sgc_repo_info_clear(&info);
    const bool any = e.result.snapshots + e.result.branches + e.result.tags > 0;
    if (status == SGC_OK && any && !options->dry_run)
        status =
            sgc_repo_info_update(repository->store, sgc_config_updates_per_file(repository->config),
                                 change_info, &e, err);
    if (status == SGC_OK)
        *result = e.result;
    return status;
}

sgc_status sgc_repository_expire(sgc_repository *repository, const sgc_expire_options *options,
                                 sgc_expire_result *result, sgc_error *err)
{
    return repository->spec_version == 2 ? expire_2(repository, options, result, err)
                                         : expire_1(repository, options, result, err);
}
