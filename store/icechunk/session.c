#include "store/icechunk/session.h"

#include <stdlib.h>

#include "store/icechunk/clock.h"
#include "store/icechunk/message_pack.h"
#include "store/icechunk/metadata_file.h"
#include "store/icechunk/split.h"
#include "store/zarr/metadata.h"

/* Official writers refuse to commit on top of a snapshot this far in their future. */
static const uint64_t clock_tolerance = 600 * UINT64_C(1000000);

typedef struct chunk_change {
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    sgc_chunk_ref ref;
} chunk_change;

/* What this transaction does to one node. */
typedef struct change {
    sgc_node node; /* as it will be */
    bool is_new, has_new_json;
    chunk_change *chunks;
    size_t chunk_count, chunk_capacity;
} change;

struct sgc_session {
    sgc_repository *repository;
    char *branch;
    sgc_snapshot *base;
    sgc_arena arena;
    change *changes; /* by path */
    size_t change_count, change_capacity;
};

sgc_status sgc_session_new(sgc_repository *repository, const char *branch, sgc_session **out,
                           sgc_error *err)
{
    sgc_object_id tip;
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_BRANCH, branch, &tip, err));
    sgc_session *session = calloc(1, sizeof *session);
    if (session == NULL || (session->branch = strdup(branch)) == NULL) {
        free(session);
        return sgc_fail_memory(err, sizeof *session, "a session");
    }
    session->repository = repository;
    const sgc_status status = sgc_repository_snapshot(repository, &tip, &session->base, err);
    if (status != SGC_OK) {
        sgc_session_free(session);
        return status;
    }
    *out = session;
    return SGC_OK;
}

void sgc_session_free(sgc_session *session)
{
    if (session == NULL)
        return;
    for (size_t i = 0; i < session->change_count; i++)
        free(session->changes[i].chunks);
    free(session->changes);
    free(session->branch);
    sgc_snapshot_unref(session->base);
    sgc_arena_free(&session->arena);
    free(session);
}

sgc_snapshot *sgc_session_base(const sgc_session *session)
{
    return session->base;
}

/* The position of the change of `path`, or where it belongs. */
static size_t find_change(const sgc_session *session, const char *path, bool *found)
{
    size_t low = 0, high = session->change_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(session->changes[middle].node.path, path);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static bool node_exists(const sgc_session *session, const char *path, bool *is_array)
{
    bool found;
    const size_t at = find_change(session, path, &found);
    const sgc_node *node =
        found ? &session->changes[at].node : sgc_snapshot_find(session->base, path);
    *is_array = node != NULL && node->is_array;
    return node != NULL;
}

static sgc_status check_path(const sgc_session *session, const char *path, sgc_error *err)
{
    const size_t length = strlen(path);
    const char *name = strrchr(path, '/');
    if (path[0] != '/' || (length > 1 && path[length - 1] == '/') || strstr(path, "//") != NULL ||
        strcmp(name, "/.") == 0 || strcmp(name, "/..") == 0)
        return sgc_fail(err, SGC_INVALID, "\"%s\" is not the path of a node", path);
    if (length == 1)
        return SGC_OK;
    char *parent = strdup(path);
    if (parent == NULL)
        return sgc_fail_memory(err, length, "a path");
    char *slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    bool is_array;
    const bool good = node_exists(session, parent, &is_array) && !is_array;
    const sgc_status status =
        good ? SGC_OK : sgc_fail(err, SGC_INVALID, "%s: %s is not a group", path, parent);
    free(parent);
    return status;
}

/* The change of an existing node, or a new one. */
static sgc_status get_change(sgc_session *session, const char *path, bool may_create, change **out,
                             sgc_error *err)
{
    bool found;
    const size_t at = find_change(session, path, &found);
    if (found) {
        *out = &session->changes[at];
        return SGC_OK;
    }
    const sgc_node *old = sgc_snapshot_find(session->base, path);
    if (old == NULL && !may_create)
        return sgc_fail(err, SGC_NOT_FOUND, "there is no array %s", path);
    change made = {.is_new = old == NULL};
    if (old != NULL) {
        made.node = *old;
    } else {
        SGC_TRY(check_path(session, path, err));
        SGC_TRY(sgc_node_id_random(&made.node.id, err));
        made.node.path = sgc_arena_string(&session->arena, path, strlen(path));
        if (made.node.path == NULL)
            return sgc_fail_memory(err, strlen(path), "a path");
    }
    change *changes = sgc_list_grow(session->changes, session->change_count,
                                    &session->change_capacity, sizeof *changes);
    if (changes == NULL)
        return sgc_fail_memory(err, sizeof *changes, "a transaction");
    session->changes = changes;
    memmove(session->changes + at + 1, session->changes + at,
            (session->change_count - at) * sizeof *session->changes);
    session->changes[at] = made;
    session->change_count++;
    *out = &session->changes[at];
    return SGC_OK;
}

static sgc_status set_json(sgc_session *session, change *c, const void *json, size_t size,
                           sgc_error *err)
{
    const unsigned char *copy = sgc_arena_copy(&session->arena, json, size);
    if (copy == NULL)
        return sgc_fail_memory(err, size, "zarr.json");
    c->node.user_data = copy;
    c->node.user_data_size = size;
    c->has_new_json = true;
    return SGC_OK;
}

sgc_status sgc_session_put_group(sgc_session *session, const char *path, const void *json,
                                 size_t size, sgc_error *err)
{
    change *c;
    SGC_TRY(get_change(session, path, true, &c, err));
    if (c->node.is_array)
        return sgc_fail(err, SGC_INVALID, "%s is an array, not a group", path);
    return set_json(session, c, json, size, err);
}

static sgc_status set_dimensions(sgc_session *session, const sgc_array_metadata *metadata,
                                 sgc_node *node, sgc_error *err)
{
    const size_t count = metadata->dimension_count;
    sgc_dimension *dimensions = sgc_arena_alloc(&session->arena, count, sizeof *dimensions);
    if (dimensions == NULL)
        return sgc_fail_memory(err, count * sizeof *dimensions, "an array");
    for (size_t d = 0; d < count; d++) {
        dimensions[d] = (sgc_dimension){
            .array_length = metadata->shape[d],
            .chunk_length = metadata->chunk_shape[d],
            .num_chunks = (uint32_t)sgc_array_chunk_count(metadata, d),
        };
        const char *name = metadata->dimension_names[d];
        if (name != NULL &&
            (dimensions[d].name = sgc_arena_string(&session->arena, name, strlen(name))) == NULL)
            return sgc_fail_memory(err, strlen(name), "a name");
    }
    node->is_array = true;
    node->dimension_count = count;
    node->dimensions = dimensions;
    node->has_dimension_names = metadata->has_dimension_names;
    return SGC_OK;
}

/* The references of `node`, unless it is quite new, must keep their meaning. */
static sgc_status check_same_layout(const sgc_node *node, const sgc_array_metadata *metadata,
                                    sgc_error *err)
{
    if (node->user_data == NULL)
        return SGC_OK;
    if (!node->is_array)
        return sgc_fail(err, SGC_INVALID, "%s is a group, not an array", node->path);
    sgc_array_metadata old;
    const sgc_status status =
        sgc_array_metadata_parse((const char *)node->user_data, node->user_data_size, &old, err);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "%s", node->path);
    const bool same = old.type == metadata->type &&
                      old.dimension_count == metadata->dimension_count &&
                      memcmp(old.shape, metadata->shape, sizeof old.shape) == 0 &&
                      memcmp(old.chunk_shape, metadata->chunk_shape, sizeof old.chunk_shape) == 0;
    sgc_array_metadata_clear(&old);
    return same ? SGC_OK
                : sgc_fail(err, SGC_UNSUPPORTED,
                           "%s: shape, chunks and data type of an array cannot change", node->path);
}

sgc_status sgc_session_put_array(sgc_session *session, const char *path, const void *json,
                                 size_t size, sgc_error *err)
{
    sgc_array_metadata metadata;
    SGC_TRY(sgc_array_metadata_parse(json, size, &metadata, err));
    change *c;
    sgc_status status = get_change(session, path, true, &c, err);
    if (status == SGC_OK)
        status = check_same_layout(&c->node, &metadata, err);
    if (status == SGC_OK)
        status = set_dimensions(session, &metadata, &c->node, err);
    if (status == SGC_OK)
        status = set_json(session, c, json, size, err);
    sgc_array_metadata_clear(&metadata);
    return status;
}

sgc_status sgc_session_set_chunk(sgc_session *session, const char *path,
                                 const uint32_t *coordinates, const sgc_chunk_ref *ref,
                                 sgc_error *err)
{
    change *c;
    SGC_TRY(get_change(session, path, false, &c, err));
    if (!c->node.is_array)
        return sgc_fail(err, SGC_INVALID, "%s is a group: it has no chunks", path);
    chunk_change made = {.ref = *ref};
    for (size_t d = 0; d < c->node.dimension_count; d++) {
        if (coordinates[d] >= c->node.dimensions[d].num_chunks)
            return sgc_fail(err, SGC_INVALID, "%s: a chunk outside the array", path);
        made.coordinates[d] = coordinates[d];
    }
    if (ref->kind == SGC_CHUNK_INLINE) {
        made.ref.inline_data =
            sgc_arena_copy(&session->arena, ref->inline_data, (size_t)ref->length);
        if (made.ref.inline_data == NULL)
            return sgc_fail_memory(err, ref->length, "a chunk");
    }
    chunk_change *chunks =
        sgc_list_grow(c->chunks, c->chunk_count, &c->chunk_capacity, sizeof *chunks);
    if (chunks == NULL)
        return sgc_fail_memory(err, sizeof *chunks, "a transaction");
    c->chunks = chunks;
    c->chunks[c->chunk_count++] = made;
    return SGC_OK;
}

/* ---- commit ---- */

/* All of the new snapshot that has to be built, in one arena. */
typedef struct building {
    sgc_session *session;
    sgc_arena arena;
    sgc_snapshot_data snapshot;
    sgc_manifest_file *new_files;
    size_t new_file_count;
} building;

/* Divides the references of one array into manifests and writes those that changed. */
static sgc_status write_manifests(building *b, change *c, sgc_error *err)
{
    sgc_split split;
    sgc_split_init(&split, b->session->repository, &c->node);
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < c->chunk_count; i++)
        status = sgc_split_change(&split, c->chunks[i].coordinates, &c->chunks[i].ref, err);
    if (status == SGC_OK)
        status = sgc_split_write(&split, sgc_snapshot_get(b->session->base), &b->arena, err);
    if (status == SGC_OK) {
        c->node.manifests = split.manifests;
        c->node.manifest_count = split.manifest_count;
        const size_t total = b->new_file_count + split.file_count;
        sgc_manifest_file *files = sgc_arena_alloc(&b->arena, total, sizeof *files);
        if (files == NULL) {
            status = sgc_fail_memory(err, total * sizeof *files, "a commit");
        } else {
            if (b->new_file_count > 0)
                memcpy(files, b->new_files, b->new_file_count * sizeof *files);
            if (split.file_count > 0)
                memcpy(files + b->new_file_count, split.files, split.file_count * sizeof *files);
            b->new_files = files;
            b->new_file_count = total;
        }
    }
    sgc_split_free(&split);
    return status;
}

/* Both lists are sorted by path. */
static sgc_status merge_nodes(building *b, sgc_error *err)
{
    const sgc_session *session = b->session;
    const sgc_snapshot_data *base = sgc_snapshot_get(session->base);
    sgc_node *nodes =
        sgc_arena_alloc(&b->arena, base->node_count + session->change_count, sizeof *nodes);
    if (nodes == NULL)
        return sgc_fail_memory(err, base->node_count * sizeof *nodes, "a commit");
    size_t n = 0, i = 0, k = 0;
    while (i < base->node_count || k < session->change_count) {
        const int order = i == base->node_count ? 1
                          : k == session->change_count
                              ? -1
                              : strcmp(base->nodes[i].path, session->changes[k].node.path);
        if (order < 0) {
            nodes[n++] = base->nodes[i++];
        } else {
            nodes[n++] = session->changes[k++].node;
            i += order == 0;
        }
    }
    b->snapshot.nodes = nodes;
    b->snapshot.node_count = n;
    return SGC_OK;
}

static int compare_files(const void *a, const void *b)
{
    return sgc_object_id_compare(&((const sgc_manifest_file *)a)->id,
                                 &((const sgc_manifest_file *)b)->id);
}

/* Lists exactly the manifests that the nodes name, each once, by id. */
static sgc_status list_manifests(building *b, sgc_error *err)
{
    const sgc_snapshot_data *base = sgc_snapshot_get(b->session->base);
    size_t most = 0, n = 0;
    for (size_t i = 0; i < b->snapshot.node_count; i++)
        most += b->snapshot.nodes[i].manifest_count;
    sgc_manifest_file *files = sgc_arena_alloc(&b->arena, most, sizeof *files);
    if (files == NULL)
        return sgc_fail_memory(err, most * sizeof *files, "a commit");
    if (b->new_file_count > 0)
        qsort(b->new_files, b->new_file_count, sizeof *b->new_files, compare_files);
    const sgc_snapshot_data made = {.manifest_files = b->new_files,
                                    .manifest_file_count = b->new_file_count};
    for (size_t i = 0; i < b->snapshot.node_count; i++) {
        const sgc_node *node = &b->snapshot.nodes[i];
        for (size_t k = 0; k < node->manifest_count; k++) {
            const sgc_object_id *id = &node->manifests[k].id;
            const sgc_manifest_file *file = sgc_snapshot_find_manifest(base, id);
            if (file == NULL)
                file = sgc_snapshot_find_manifest(&made, id);
            if (file == NULL)
                return sgc_fail(err, SGC_CORRUPT,
                                "%s: a node names a manifest that its snapshot does not",
                                node->path);
            files[n++] = *file;
        }
    }
    if (n > 0)
        qsort(files, n, sizeof *files, compare_files);
    size_t unique = 0;
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || sgc_object_id_compare(&files[unique - 1].id, &files[i].id) != 0)
            files[unique++] = files[i];
    b->snapshot.manifest_files = files;
    b->snapshot.manifest_file_count = unique;
    return SGC_OK;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const sgc_metadata_item *)a)->name, ((const sgc_metadata_item *)b)->name);
}

static sgc_status encode_item(building *b, sgc_span key, sgc_span json, sgc_metadata_item *item,
                              sgc_error *err)
{
    sgc_buffer name = {0}, value = {0};
    sgc_status status = sgc_json_unquote(key, &name, err);
    if (status == SGC_OK)
        status = sgc_message_pack_encode(json, &value, err);
    if (status == SGC_OK) {
        *item = (sgc_metadata_item){sgc_arena_string(&b->arena, (const char *)name.data, name.size),
                                    sgc_arena_copy(&b->arena, value.data, value.size), value.size};
        if (item->name == NULL || item->value == NULL)
            status = sgc_fail_memory(err, name.size + value.size, "metadata");
        else if (strlen(item->name) != name.size)
            status = sgc_fail(err, SGC_CORRUPT, "a name contains a NUL");
    }
    sgc_buffer_free(&name);
    sgc_buffer_free(&value);
    return status;
}

static sgc_status encode_items(building *b, sgc_span object, sgc_error *err)
{
    size_t count, position = 0;
    SGC_TRY(sgc_json_whole(object, &object, err));
    if (sgc_json_kind_of(object) != SGC_JSON_OBJECT)
        return sgc_fail(err, SGC_CORRUPT, "not a JSON object");
    SGC_TRY(sgc_json_count(object, &count, err));
    sgc_metadata_item *items = sgc_arena_alloc(&b->arena, count, sizeof *items);
    if (items == NULL)
        return sgc_fail_memory(err, count * sizeof *items, "metadata");
    for (size_t i = 0; i < count; i++) {
        sgc_span key, value;
        SGC_TRY(sgc_json_next_pair(object, &position, &key, &value, err));
        SGC_TRY(encode_item(b, key, value, &items[i], err));
    }
    if (count > 0)
        qsort(items, count, sizeof *items, compare_items);
    b->snapshot.metadata = items;
    b->snapshot.metadata_count = count;
    return SGC_OK;
}

static sgc_status encode_metadata(building *b, const char *metadata, sgc_error *err)
{
    if (metadata == NULL)
        return SGC_OK;
    const sgc_status status = encode_items(b, (sgc_span){metadata, strlen(metadata)}, err);
    return status == SGC_CORRUPT ? sgc_fail_in(err, SGC_INVALID, "metadata") : status;
}

/* Strictly later than the parent, whatever the clocks say (format guide 10). */
static sgc_status set_time(building *b, sgc_error *err)
{
    const sgc_snapshot_data *base = sgc_snapshot_get(b->session->base);
    const uint64_t now = sgc_clock_now();
    if (base->flushed_at > now + clock_tolerance)
        return sgc_fail(err, SGC_INVALID,
                        "the last commit of branch \"%s\" lies %llu s in the future: set this "
                        "machine's clock",
                        b->session->branch,
                        (unsigned long long)((base->flushed_at - now) / 1000000));
    b->snapshot.flushed_at = now > base->flushed_at ? now : base->flushed_at + 1;
    return SGC_OK;
}

static int compare_node_ids(const void *a, const void *b)
{
    return sgc_node_id_compare(a, b);
}

static int compare_updated(const void *a, const void *b)
{
    return sgc_node_id_compare(&((const sgc_updated_chunks *)a)->node,
                               &((const sgc_updated_chunks *)b)->node);
}

static int compare_coordinates(const void *a, const void *b, void *count)
{
    const uint32_t *left = a, *right = b;
    for (size_t d = 0; d < *(const size_t *)count; d++)
        if (left[d] != right[d])
            return left[d] < right[d] ? -1 : 1;
    return 0;
}

static sgc_status log_chunks(building *b, const change *c, sgc_updated_chunks *out, sgc_error *err)
{
    size_t dimensions = c->node.dimension_count;
    const size_t width = dimensions * sizeof(uint32_t);
    uint32_t *list = sgc_arena_alloc(&b->arena, c->chunk_count, width);
    if (list == NULL)
        return sgc_fail_memory(err, c->chunk_count * width, "a transaction log");
    for (size_t i = 0; i < c->chunk_count; i++)
        memcpy(list + i * dimensions, c->chunks[i].coordinates, width);
    size_t n = c->chunk_count;
    if (dimensions > 0) {
        qsort_r(list, n, width, compare_coordinates, &dimensions);
        size_t unique = 0;
        for (size_t i = 0; i < n; i++)
            if (unique == 0 || compare_coordinates(list + (unique - 1) * dimensions,
                                                   list + i * dimensions, &dimensions) != 0)
                memmove(list + unique++ * dimensions, list + i * dimensions, width);
        n = unique;
    }
    *out = (sgc_updated_chunks){c->node.id, dimensions, n, list};
    return SGC_OK;
}

/* What the session did, in the words of format guide 13. */
static sgc_status write_log(building *b, sgc_error *err)
{
    const sgc_session *session = b->session;
    const size_t n = session->change_count;
    sgc_node_id *ids = sgc_arena_alloc(&b->arena, 4 * n, sizeof *ids);
    sgc_updated_chunks *chunks = sgc_arena_alloc(&b->arena, n, sizeof *chunks);
    if (ids == NULL || chunks == NULL)
        return sgc_fail_memory(err, 4 * n * sizeof *ids, "a transaction log");
    sgc_node_id *lists[4] = {ids, ids + n, ids + 2 * n, ids + 3 * n};
    size_t counts[4] = {0}, chunk_lists = 0;
    for (size_t i = 0; i < n; i++) {
        const change *c = &session->changes[i];
        const size_t kind = (c->is_new ? 0u : 2u) + (c->node.is_array ? 1u : 0u);
        if (c->is_new || c->has_new_json)
            lists[kind][counts[kind]++] = c->node.id;
        if (c->chunk_count > 0)
            SGC_TRY(log_chunks(b, c, &chunks[chunk_lists++], err));
    }
    for (size_t k = 0; k < 4; k++)
        qsort(lists[k], counts[k], sizeof *ids, compare_node_ids);
    qsort(chunks, chunk_lists, sizeof *chunks, compare_updated);
    const sgc_transaction_log log = {
        .id = b->snapshot.id,
        .new_groups = {counts[0], lists[0]},
        .new_arrays = {counts[1], lists[1]},
        .updated_groups = {counts[2], lists[2]},
        .updated_arrays = {counts[3], lists[3]},
        .updated_chunk_count = chunk_lists,
        .updated_chunks = chunks,
    };
    sgc_buffer payload = {0};
    sgc_status status = sgc_transaction_log_encode(&log, &payload, err);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(sgc_repository_store(session->repository),
                                         SGC_FILE_TRANSACTION_LOG, &log.id, &payload, NULL, err);
    sgc_buffer_free(&payload);
    return status;
}

static sgc_status build_and_publish(building *b, const char *metadata, sgc_error *err)
{
    sgc_session *session = b->session;
    sgc_object_store *store = sgc_repository_store(session->repository);
    for (size_t i = 0; i < session->change_count; i++)
        if (session->changes[i].chunk_count > 0)
            SGC_TRY(write_manifests(b, &session->changes[i], err));
    SGC_TRY(merge_nodes(b, err));
    SGC_TRY(list_manifests(b, err));
    SGC_TRY(encode_metadata(b, metadata, err));
    SGC_TRY(set_time(b, err));
    SGC_TRY(sgc_snapshot_store(store, &b->snapshot, err));
    SGC_TRY(write_log(b, err));
    SGC_TRY(sgc_repository_check_version(store, err));
    return sgc_branch_move(store, session->branch, &b->snapshot.parent, &b->snapshot.id, err);
}

/* False also after changes that were refused. */
static bool has_changes(const sgc_session *session)
{
    for (size_t i = 0; i < session->change_count; i++)
        if (session->changes[i].has_new_json || session->changes[i].chunk_count > 0)
            return true;
    return false;
}

sgc_status sgc_session_commit(sgc_session *session, const char *message, const char *metadata,
                              sgc_object_id *id, sgc_error *err)
{
    if (!has_changes(session))
        return sgc_fail(err, SGC_INVALID, "nothing to commit");
    building b = {
        .session = session,
        .snapshot = {.has_parent = true,
                     .parent = sgc_snapshot_get(session->base)->id,
                     .message = message},
    };
    sgc_status status = sgc_object_id_random(&b.snapshot.id, err);
    if (status == SGC_OK)
        status = build_and_publish(&b, metadata, err);
    if (status == SGC_OK && id != NULL)
        *id = b.snapshot.id;
    sgc_arena_free(&b.arena);
    return status;
}
