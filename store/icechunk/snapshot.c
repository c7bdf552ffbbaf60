#include "store/icechunk/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "store/icechunk/metadata_file.h"

struct sgc_snapshot {
    atomic_uint references;
    sgc_arena arena;
    sgc_snapshot_data data;
};

static sgc_status decode(const sgc_buffer *payload, const sgc_object_id *id, sgc_snapshot *snapshot,
                         sgc_error *err)
{
    SGC_TRY(
        sgc_snapshot_decode(payload->data, payload->size, &snapshot->arena, &snapshot->data, err));
    return sgc_object_id_compare(&snapshot->data.id, id) == 0
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "the file holds another snapshot");
}

sgc_status sgc_snapshot_load(sgc_object_store *store, const sgc_object_id *id, sgc_snapshot **out,
                             sgc_error *err)
{
    sgc_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return sgc_fail_memory(err, sizeof *snapshot, "a snapshot");
    atomic_init(&snapshot->references, 1);
    sgc_buffer payload = {0};
    int version;
    sgc_status status =
        sgc_metadata_file_read(store, SGC_FILE_SNAPSHOT, id, SGC_TO_END, &version, &payload, err);
    if (status == SGC_OK) {
        status = decode(&payload, id, snapshot, err);
        if (status == SGC_OK)
            snapshot->data.spec_version = version;
        else
            sgc_metadata_file_fail(store, SGC_FILE_SNAPSHOT, id, status, err);
    }
    sgc_buffer_free(&payload);
    if (status != SGC_OK) {
        sgc_snapshot_unref(snapshot);
        return status;
    }
    *out = snapshot;
    return SGC_OK;
}

sgc_snapshot *sgc_snapshot_ref(sgc_snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

void sgc_snapshot_unref(sgc_snapshot *snapshot)
{
    if (snapshot != NULL && atomic_fetch_sub(&snapshot->references, 1) == 1) {
        sgc_arena_free(&snapshot->arena);
        free(snapshot);
    }
}

const sgc_snapshot_data *sgc_snapshot_get(const sgc_snapshot *snapshot)
{
    return &snapshot->data;
}

static int compare_path(const void *path, const void *node)
{
    return strcmp(path, ((const sgc_node *)node)->path);
}

const sgc_node *sgc_snapshot_find(const sgc_snapshot *snapshot, const char *path)
{
    const sgc_snapshot_data *data = &snapshot->data;
    return data->node_count == 0
               ? NULL
               : bsearch(path, data->nodes, data->node_count, sizeof *data->nodes, compare_path);
}

static int compare_manifest_id(const void *id, const void *file)
{
    return sgc_object_id_compare(id, &((const sgc_manifest_file *)file)->id);
}

const sgc_manifest_file *sgc_snapshot_find_manifest(const sgc_snapshot_data *snapshot,
                                                    const sgc_object_id *id)
{
    return snapshot->manifest_file_count == 0
               ? NULL
               : bsearch(id, snapshot->manifest_files, snapshot->manifest_file_count,
                         sizeof *snapshot->manifest_files, compare_manifest_id);
}

static sgc_status put(sgc_object_store *store, const sgc_snapshot_data *data,
                      sgc_put_condition condition, sgc_error *err)
{
    sgc_buffer payload = {0};
    sgc_status status = sgc_snapshot_encode(data, &payload, err);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(store, SGC_FILE_SNAPSHOT, &data->id, data->spec_version,
                                         &payload, condition, NULL, err);
    sgc_buffer_free(&payload);
    return status;
}

sgc_status sgc_snapshot_store(sgc_object_store *store, const sgc_snapshot_data *data,
                              sgc_error *err)
{
    return put(store, data, SGC_PUT_ALWAYS, err);
}

sgc_status sgc_snapshot_store_new(sgc_object_store *store, const sgc_snapshot_data *data,
                                  sgc_error *err)
{
    return put(store, data, SGC_PUT_IF_ABSENT, err);
}
