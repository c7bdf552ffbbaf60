#include "store/icechunk/snapshot.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/icechunk/envelope.h"

enum { SPEC_VERSION = 1, KEY_SIZE = 64 };

struct sgc_snapshot {
    atomic_uint references;
    sgc_arena arena;
    sgc_snapshot_data data;
};

static void format_key(const sgc_object_id *id, char key[KEY_SIZE])
{
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    snprintf(key, KEY_SIZE, "snapshots/%s", text);
}

static sgc_status decode(const sgc_object *file, sgc_snapshot *snapshot, sgc_error *err)
{
    sgc_buffer payload = {0};
    int version;
    sgc_status status = sgc_envelope_unwrap(SGC_FILE_SNAPSHOT, file->data, file->size, &version,
                                            &payload, err);
    if (status == SGC_OK)
        status = sgc_snapshot_decode(payload.data, payload.size, &snapshot->arena, &snapshot->data,
                                     err);
    sgc_buffer_free(&payload);
    return status;
}

sgc_status sgc_snapshot_load(sgc_object_store *store, const sgc_object_id *id, sgc_snapshot **out,
                             sgc_error *err)
{
    char key[KEY_SIZE];
    format_key(id, key);
    sgc_object file = {0};
    SGC_TRY(store->get(store, key, 0, SGC_TO_END, &file, err));
    sgc_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        sgc_object_clear(&file);
        return sgc_fail_memory(err, sizeof *snapshot, "a snapshot");
    }
    atomic_init(&snapshot->references, 1);
    sgc_status status = decode(&file, snapshot, err);
    sgc_object_clear(&file);
    if (status == SGC_OK && sgc_object_id_compare(&snapshot->data.id, id) != 0)
        status = sgc_fail(err, SGC_CORRUPT, "the file holds another snapshot");
    if (status != SGC_OK) {
        sgc_snapshot_unref(snapshot);
        return sgc_fail_in(err, status, "%s/%s", store->name, key);
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
    return data->node_count == 0 ? NULL
                                 : bsearch(path, data->nodes, data->node_count,
                                           sizeof *data->nodes, compare_path);
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

sgc_status sgc_snapshot_store(sgc_object_store *store, const sgc_snapshot_data *data,
                              sgc_error *err)
{
    sgc_buffer payload = {0}, file = {0};
    sgc_status status = sgc_snapshot_encode(data, &payload, err);
    if (status == SGC_OK)
        status = sgc_envelope_wrap(SGC_FILE_SNAPSHOT, SPEC_VERSION, payload.data, payload.size,
                                   &file, err);
    if (status == SGC_OK) {
        char key[KEY_SIZE];
        format_key(&data->id, key);
        status = store->put(store, key, file.data, file.size, SGC_PUT_ALWAYS, NULL, err);
    }
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
    return status;
}
