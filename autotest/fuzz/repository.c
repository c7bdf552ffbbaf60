/* A repository whose newest snapshot and one of its manifests somebody else made: two bytes say how
 * long the payload of the snapshot is, that of the manifest follows. Whatever they contain, each
 * operation ends, with success or an error. */
#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/metadata_file.h"
#include "store/store.h"

enum { LARGEST_CHUNK = 1024 * 1024, MOST_ARRAYS = 4, WINDOW = 3, MOST_WINDOW_DIMENSIONS = 4 };

static const char group_json[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";

/* Writes the manifest, of which `size` becomes the size. */
static sgc_status store_manifest(sgc_object_store *store, const sgc_manifest_data *manifest,
                                 uint64_t *size)
{
    sgc_buffer payload = {0};
    sgc_status status = sgc_manifest_encode(manifest, &payload, NULL);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(store, SGC_FILE_MANIFEST, &manifest->id, 1, &payload,
                                         SGC_PUT_ALWAYS, size, NULL);
    sgc_buffer_free(&payload);
    return status;
}

/* Writes both files so that the one fits the size that the other says. */
static sgc_status store_files(sgc_object_store *store, sgc_snapshot_data *snapshot,
                              const sgc_manifest_data *manifest, sgc_arena *arena)
{
    sgc_manifest_file *files = sgc_arena_copy(arena, snapshot->manifest_files,
                                              snapshot->manifest_file_count * sizeof *files);
    uint64_t size = 0;
    demand(files != NULL);
    SGC_TRY(store_manifest(store, manifest, &size));
    for (size_t i = 0; i < snapshot->manifest_file_count; i++)
        if (sgc_object_id_compare(&files[i].id, &manifest->id) == 0)
            files[i].size_bytes = size;
    snapshot->manifest_files = files;
    snapshot->spec_version = 1;
    return sgc_snapshot_store(store, snapshot, NULL);
}

static sgc_status put_files(sgc_object_store *store, const uint8_t *data, size_t size,
                            sgc_object_id *id)
{
    sgc_arena arena = {0};
    sgc_snapshot_data snapshot;
    sgc_manifest_data manifest;
    const size_t room = size < 2 ? 0 : size - 2, length = size < 2 ? 0 : data[0] + data[1] * 256u;
    sgc_status status = length <= room ? SGC_OK : SGC_INVALID;
    /* Copied, because decoders want aligned bytes. */
    void *copy = malloc(room + 1);
    demand(copy != NULL);
    if (status == SGC_OK) {
        memcpy(copy, data + 2, length);
        status = sgc_snapshot_decode(copy, length, &arena, &snapshot, NULL);
    }
    if (status == SGC_OK) {
        memcpy(copy, data + 2 + length, room - length);
        status = sgc_manifest_decode(copy, room - length, &arena, &manifest, NULL);
    }
    if (status == SGC_OK)
        status = store_files(store, &snapshot, &manifest, &arena);
    if (status == SGC_OK)
        *id = snapshot.id;
    free(copy);
    sgc_arena_free(&arena);
    return status;
}

/* ---- what is done with it ---- */

static void read_window(const sgc_array *array, bool at_end)
{
    static unsigned char window[WINDOW * WINDOW * WINDOW * WINDOW * SGC_MAX_ITEM_SIZE];
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    uint64_t start[SGC_ZARR_MAX_DIMENSIONS], count[SGC_ZARR_MAX_DIMENSIONS];
    for (size_t d = 0; d < metadata->dimension_count; d++) {
        const uint64_t length = metadata->shape[d];
        count[d] = d >= MOST_WINDOW_DIMENSIONS ? length > 0 : length < WINDOW ? length : WINDOW;
        start[d] = at_end ? length - count[d] : 0;
    }
    (void)!sgc_array_read(array, start, count, window, 1, NULL);
}

static bool has_small_chunks(const sgc_node *node)
{
    sgc_array_metadata metadata;
    if (sgc_array_metadata_parse((const char *)node->user_data, node->user_data_size, &metadata,
                                 NULL) != SGC_OK)
        return true; /* or none that can be decoded */
    const bool small = metadata.chunk_bytes <= LARGEST_CHUNK;
    sgc_array_metadata_clear(&metadata);
    return small;
}

/* Reads from the arrays, and says whether all have small chunks. */
static bool read_arrays(sgc_repository *repository, sgc_snapshot *snapshot)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    bool all_small = true;
    for (size_t i = 0, arrays = 0; i < data->node_count; i++) {
        sgc_array *array;
        const bool small = has_small_chunks(&data->nodes[i]);
        all_small = all_small && small;
        if (!small || arrays == MOST_ARRAYS ||
            sgc_array_open(repository, snapshot, data->nodes[i].path, &array, NULL) != SGC_OK)
            continue;
        arrays++;
        read_window(array, false);
        read_window(array, true);
        sgc_array_close(array);
    }
    return all_small;
}

static sgc_status ignore_difference(void *user, const sgc_difference *difference, sgc_error *err)
{
    (void)err;
    demand(difference->path != NULL);
    *(size_t *)user += difference->chunk_count;
    return SGC_OK;
}

static void compare(sgc_repository *repository, sgc_snapshot *snapshot)
{
    sgc_object_id root;
    sgc_snapshot *empty;
    size_t chunks = 0;
    demand(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &root, NULL) == SGC_OK);
    demand(sgc_repository_snapshot(repository, &root, &empty, NULL) == SGC_OK);
    (void)!sgc_repository_diff(repository, empty, snapshot, ignore_difference, &chunks, NULL);
    (void)!sgc_repository_diff(repository, snapshot, empty, ignore_difference, &chunks, NULL);
    sgc_snapshot_unref(empty);
}

/* Changes the first array, and the root. */
static void change(sgc_repository *repository, const sgc_snapshot *snapshot)
{
    static const uint32_t coordinates[SGC_MAX_DIMENSIONS];
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    const sgc_chunk_ref ref = {
        .kind = SGC_CHUNK_INLINE, .length = 1, .inline_data = (const unsigned char *)"x"};
    sgc_session *session;
    size_t i = 0;
    if (sgc_session_new(repository, "other", &session, NULL) != SGC_OK)
        return;
    while (i < data->node_count && !data->nodes[i].is_array)
        i++;
    if (i < data->node_count)
        (void)!sgc_session_set_chunk(session, data->nodes[i].path, coordinates, &ref, NULL);
    (void)!sgc_session_put_group(session, "/", group_json, strlen(group_json), NULL);
    (void)!sgc_session_commit(session, "a change", NULL, NULL, NULL);
    sgc_session_free(session);
}

static sgc_status count_commit(void *user, const sgc_commit_info *commit, bool *more,
                               sgc_error *err)
{
    (void)more, (void)err;
    sgc_buffer json = {0};
    (void)!sgc_commit_print_metadata(commit, &json, NULL);
    sgc_buffer_free(&json);
    ++*(size_t *)user;
    return SGC_OK;
}

static void maintain(sgc_repository *repository, bool decode_chunks)
{
    const sgc_verify_options verify = {.decode_chunks = decode_chunks};
    const sgc_expire_options expire = {.older_than = UINT64_MAX};
    const sgc_garbage_options garbage = {.older_than = 1};
    sgc_verify_result verified;
    sgc_expire_result expired;
    sgc_garbage_result collected;
    (void)!sgc_repository_verify(repository, &verify, &verified, NULL);
    (void)!sgc_repository_expire(repository, &expire, &expired, NULL);
    (void)!sgc_repository_collect_garbage(repository, &garbage, &collected, NULL);
}

static void use(sgc_repository *repository, const sgc_object_id *id)
{
    sgc_snapshot *snapshot;
    size_t commits = 0;
    if (sgc_repository_create_ref(repository, SGC_REF_BRANCH, "other", id, NULL) != SGC_OK ||
        sgc_repository_snapshot(repository, id, &snapshot, NULL) != SGC_OK)
        return;
    const bool all_small = read_arrays(repository, snapshot);
    compare(repository, snapshot);
    change(repository, snapshot);
    sgc_snapshot_unref(snapshot);
    (void)!sgc_repository_history(repository, id, count_commit, &commits, NULL);
    maintain(repository, all_small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sgc_object_store *store;
    sgc_repository *repository;
    sgc_object_id id;
    sgc_block_cache_set_size(0);
    demand(sgc_object_store_memory_new(&store, NULL) == SGC_OK);
    demand(sgc_repository_create(store, NULL, &repository, NULL) == SGC_OK);
    const sgc_status status = put_files(store, data, size, &id);
    if (status == SGC_OK)
        use(repository, &id);
    sgc_repository_free(repository);
    return status == SGC_OK ? 0 : -1;
}
