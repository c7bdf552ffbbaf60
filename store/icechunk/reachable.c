#include "store/icechunk/reachable.h"

void sgc_reachable_free(sgc_reachable *reachable)
{
    sgc_id_set_free(&reachable->snapshots);
    sgc_id_set_free(&reachable->transaction_logs);
    sgc_id_set_free(&reachable->manifests);
    sgc_id_set_free(&reachable->chunks);
}

static sgc_status add_commit(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    sgc_reachable *reachable = user;
    SGC_TRY(sgc_id_set_add(&reachable->transaction_logs, &commit->id, NULL, err));
    for (size_t i = 0; i < commit->pruned_log_count; i++)
        SGC_TRY(sgc_id_set_add(&reachable->transaction_logs, &commit->pruned_logs[i], NULL, err));
    /* What lies behind a known snapshot is known. */
    return sgc_id_set_add(&reachable->snapshots, &commit->id, more, err);
}

sgc_status sgc_reachable_add_history(sgc_reachable *reachable, sgc_repository *repository,
                                     const sgc_object_id *from, sgc_error *err)
{
    return sgc_repository_history(repository, from, add_commit, reachable, err);
}

static sgc_status add_chunks(sgc_reachable *reachable, const sgc_manifest *manifest, sgc_error *err)
{
    const sgc_manifest_data *data = sgc_manifest_get(manifest);
    for (size_t i = 0; i < data->array_count; i++)
        for (size_t k = 0; k < data->arrays[i].count; k++)
            if (data->arrays[i].refs[k].kind == SGC_CHUNK_NATIVE)
                SGC_TRY(sgc_id_set_add(&reachable->chunks, &data->arrays[i].refs[k].id, NULL, err));
    return SGC_OK;
}

static sgc_status add_manifest(sgc_reachable *reachable, sgc_repository *repository,
                               const sgc_snapshot_data *snapshot, const sgc_object_id *id,
                               sgc_error *err)
{
    bool added;
    sgc_manifest *manifest;
    SGC_TRY(sgc_id_set_add(&reachable->manifests, id, &added, err));
    if (!added)
        return SGC_OK;
    SGC_TRY(sgc_repository_manifest(repository, snapshot, id, &manifest, err));
    const sgc_status status = add_chunks(reachable, manifest, err);
    sgc_manifest_unref(manifest);
    return status;
}

/* What the nodes name should be what the snapshot lists; what is named only, cannot be read. */
static sgc_status add_manifests(sgc_reachable *reachable, sgc_repository *repository,
                                const sgc_snapshot_data *snapshot, sgc_error *err)
{
    for (size_t i = 0; i < snapshot->manifest_file_count; i++)
        SGC_TRY(
            add_manifest(reachable, repository, snapshot, &snapshot->manifest_files[i].id, err));
    for (size_t i = 0; i < snapshot->node_count; i++)
        for (size_t k = 0; k < snapshot->nodes[i].manifest_count; k++)
            SGC_TRY(add_manifest(reachable, repository, snapshot,
                                 &snapshot->nodes[i].manifests[k].id, err));
    return SGC_OK;
}

sgc_status sgc_reachable_add_content(sgc_reachable *reachable, sgc_repository *repository,
                                     const sgc_object_id *id, sgc_error *err)
{
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(repository, id, &snapshot, err));
    const sgc_status status = add_manifests(reachable, repository, sgc_snapshot_get(snapshot), err);
    sgc_snapshot_unref(snapshot);
    return status;
}
