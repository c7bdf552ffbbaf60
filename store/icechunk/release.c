#include "store/icechunk/release.h"

#include <stdlib.h>

#include "store/icechunk/inheritance.h"

/* The snapshots between a kept one and its root that go, the nearest first. */
typedef struct collapse {
    const sgc_snapshot_entry *const *entries;
    size_t count;
    int32_t root;
} collapse;

/* Everything below a snapshot that goes is taken out of the way, kept or not: only the root stays
 * behind it. */
static sgc_status find_collapse(sgc_repo_info *info, const sgc_snapshot_entry *kept, collapse *out,
                                sgc_error *err)
{
    const sgc_snapshot_entry *all = info->data.snapshots;
    size_t count = 0;
    int32_t root = kept->parent;
    for (; all[root].parent >= 0; root = all[root].parent)
        count++;
    const sgc_snapshot_entry **entries = sgc_arena_alloc(&info->arena, count, sizeof *entries);
    if (entries == NULL)
        return sgc_fail_memory(err, count * sizeof *entries, "the repo info");
    int32_t at = kept->parent;
    for (size_t i = 0; i < count; i++, at = all[at].parent)
        entries[i] = &all[at];
    *out = (collapse){entries, count, root};
    return SGC_OK;
}

/* For each ancestor that goes, the oldest first: its own list and its id; then the snapshot's list.
 */
static sgc_status collect_logs(sgc_repo_info *info, sgc_snapshot_entry *kept, const collapse *c,
                               sgc_error *err)
{
    size_t count = kept->pruned_log_count + c->count;
    for (size_t i = 0; i < c->count; i++)
        count += c->entries[i]->pruned_log_count;
    sgc_object_id *ids = sgc_arena_alloc(&info->arena, count, sizeof *ids);
    if (ids == NULL)
        return sgc_fail_memory(err, count * sizeof *ids, "the repo info");
    size_t n = 0;
    for (size_t i = c->count; i-- > 0;) {
        for (size_t k = 0; k < c->entries[i]->pruned_log_count; k++)
            ids[n++] = c->entries[i]->pruned_logs[k];
        ids[n++] = c->entries[i]->id;
    }
    for (size_t k = 0; k < kept->pruned_log_count; k++)
        ids[n++] = kept->pruned_logs[k];
    kept->pruned_logs = ids;
    kept->pruned_log_count = n;
    return SGC_OK;
}

static sgc_status take_over(const collapse *c, const sgc_snapshot_entry *kept,
                            sgc_inheritance *heritage, sgc_error *err)
{
    for (size_t i = c->count; i-- > 0;)
        SGC_TRY(sgc_inheritance_add(heritage, c->entries[i]->metadata,
                                    c->entries[i]->metadata_count, 2, err));
    return sgc_inheritance_add(heritage, kept->metadata, kept->metadata_count, 2, err);
}

static sgc_status inherit(sgc_repo_info *info, sgc_snapshot_entry *kept, const collapse *c,
                          const char *const *names, size_t count, sgc_error *err)
{
    sgc_inheritance heritage;
    sgc_status status = sgc_inheritance_init(&heritage, names, count, err);
    if (status == SGC_OK)
        status = take_over(c, kept, &heritage, err);
    if (status == SGC_OK)
        status = sgc_inheritance_apply(&heritage, kept->metadata, kept->metadata_count, 2,
                                       &info->arena, &kept->metadata, &kept->metadata_count, err);
    sgc_inheritance_free(&heritage);
    return status;
}

sgc_status sgc_repo_info_release(sgc_repo_info *info, const bool *keep,
                                 const char *const *inherited, size_t inherited_count,
                                 sgc_error *err)
{
    const size_t count = info->data.snapshot_count;
    const sgc_snapshot_entry *old = info->data.snapshots;
    sgc_snapshot_entry *entries = sgc_arena_copy(&info->arena, old, count * sizeof *entries);
    if (entries == NULL)
        return sgc_fail_memory(err, count * sizeof *entries, "the repo info");
    for (size_t i = 0; i < count; i++) {
        collapse c = {0};
        if (!keep[i] || entries[i].parent < 0 || keep[entries[i].parent])
            continue;
        SGC_TRY(find_collapse(info, &entries[i], &c, err));
        SGC_TRY(collect_logs(info, &entries[i], &c, err));
        if (inherited_count > 0)
            SGC_TRY(inherit(info, &entries[i], &c, inherited, inherited_count, err));
        entries[i].parent = c.root;
    }
    info->data.snapshots = entries;
    return sgc_repo_info_filter_snapshots(info, keep, err);
}
