/* Commit: from collected changes to files, and their publication (format guide 10–14). */
#include <stdlib.h>

#include "store/clock.h"
#include "store/icechunk/metadata_items.h"
#include "store/icechunk/session_private.h"
#include "store/icechunk/transaction_log.h"

/* All of the new snapshot that has to be built, in one arena. */
typedef struct building {
    sgc_session *session;
    const sgc_snapshot_data *base;
    sgc_arena arena;
    sgc_node *nodes; /* as they will be, one for each change of the session */
    sgc_snapshot_data snapshot;
    sgc_manifest_file *new_files; /* malloc'ed */
    size_t new_file_count, new_file_capacity;
} building;

/* ---- manifests ---- */

static sgc_status add_files(building *b, const sgc_split *split, sgc_error *err)
{
    for (size_t i = 0; i < split->file_count; i++) {
        sgc_manifest_file *grown =
            sgc_list_grow(b->new_files, b->new_file_count, &b->new_file_capacity, sizeof *grown);
        if (grown == NULL)
            return sgc_fail_memory(err, sizeof *grown, "a commit");
        b->new_files = grown;
        b->new_files[b->new_file_count++] = split->files[i];
    }
    return SGC_OK;
}

static sgc_status split_changes(building *b, sgc_node_change *c, sgc_split *split, sgc_error *err)
{
    SGC_TRY(sgc_split_init(split, b->session->repository, &c->node, c->kept, &c->written, err));
    for (size_t i = 0; i < c->chunks.count; i++)
        SGC_TRY(
            sgc_split_change(split, c->chunks.items[i].coordinates, &c->chunks.items[i].ref, err));
    SGC_TRY(sgc_split_write(split, b->base, &b->arena, err));
    return add_files(b, split, err);
}

/* Divides the references of one array into manifests and writes those that changed. */
static sgc_status write_manifests(building *b, sgc_node_change *c, sgc_node *node, sgc_error *err)
{
    sgc_split split = {0};
    const sgc_status status = split_changes(b, c, &split, err);
    if (status == SGC_OK) {
        node->manifests = split.manifests;
        node->manifest_count = split.manifest_count;
    }
    sgc_split_free(&split);
    return status;
}

static sgc_status build_nodes(building *b, sgc_error *err)
{
    const sgc_session *session = b->session;
    b->nodes = sgc_arena_alloc(&b->arena, session->change_count, sizeof *b->nodes);
    if (b->nodes == NULL)
        return sgc_fail_memory(err, session->change_count * sizeof *b->nodes, "a commit");
    for (size_t i = 0; i < session->change_count; i++) {
        sgc_node_change *c = &session->changes[i];
        b->nodes[i] = c->node;
        if (c->exists && (c->chunks.count > 0 || c->is_reshaped))
            SGC_TRY(write_manifests(b, c, &b->nodes[i], err));
    }
    return SGC_OK;
}

/* ---- the snapshot ---- */

/* Both lists are sorted by path. */
static sgc_status merge_nodes(building *b, sgc_error *err)
{
    const sgc_session *session = b->session;
    const sgc_snapshot_data *base = b->base;
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
            continue;
        }
        if (session->changes[k].exists)
            nodes[n++] = b->nodes[k];
        i += order == 0;
        k++;
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
            const sgc_manifest_file *file = sgc_snapshot_find_manifest(b->base, id);
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

/* ---- the transaction log ---- */

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

static sgc_status log_chunks(building *b, const sgc_node_change *c, sgc_updated_chunks *out,
                             sgc_error *err)
{
    size_t dimensions = c->node.dimension_count;
    const size_t width = dimensions * sizeof(uint32_t);
    uint32_t *list = sgc_arena_alloc(&b->arena, c->chunks.count, width);
    if (list == NULL)
        return sgc_fail_memory(err, c->chunks.count * width, "a transaction log");
    for (size_t i = 0; width > 0 && i < c->chunks.count; i++)
        memcpy(list + i * dimensions, c->chunks.items[i].coordinates, width);
    if (width > 0)
        qsort_r(list, c->chunks.count, width, compare_coordinates, &dimensions);
    *out = (sgc_updated_chunks){c->node.id, dimensions, c->chunks.count, list};
    return SGC_OK;
}

/* The lists of ids of a log, for groups and arrays. */
typedef struct id_lists {
    sgc_node_id *ids[2];
    size_t counts[2];
} id_lists;

static sgc_status make_lists(building *b, id_lists *lists, sgc_error *err)
{
    const size_t n = b->session->change_count;
    for (int kind = 0; kind < 2; kind++) {
        lists->ids[kind] = sgc_arena_alloc(&b->arena, n, sizeof **lists->ids);
        lists->counts[kind] = 0;
        if (lists->ids[kind] == NULL)
            return sgc_fail_memory(err, n * sizeof **lists->ids, "a transaction log");
    }
    return SGC_OK;
}

static void add_id(id_lists *lists, const sgc_node *node)
{
    lists->ids[node->is_array][lists->counts[node->is_array]++] = node->id;
}

static sgc_node_ids sorted(const id_lists *lists, bool is_array)
{
    qsort(lists->ids[is_array], lists->counts[is_array], sizeof **lists->ids, compare_node_ids);
    return (sgc_node_ids){lists->counts[is_array], lists->ids[is_array]};
}

/* What the session did, in the words of format guide 13. */
static sgc_status write_log(building *b, sgc_error *err)
{
    const sgc_session *session = b->session;
    const size_t n = session->change_count;
    id_lists made, deleted, updated;
    SGC_TRY(make_lists(b, &made, err));
    SGC_TRY(make_lists(b, &deleted, err));
    SGC_TRY(make_lists(b, &updated, err));
    sgc_updated_chunks *chunks = sgc_arena_alloc(&b->arena, n, sizeof *chunks);
    if (chunks == NULL)
        return sgc_fail_memory(err, n * sizeof *chunks, "a transaction log");
    size_t chunk_lists = 0;
    for (size_t i = 0; i < n; i++) {
        const sgc_node_change *c = &session->changes[i];
        if (c->replaces)
            add_id(&deleted, c->old);
        if (sgc_node_change_is_new(c))
            add_id(&made, &c->node);
        else if (c->has_new_json)
            add_id(&updated, &c->node);
        if (c->chunks.count > 0)
            SGC_TRY(log_chunks(b, c, &chunks[chunk_lists++], err));
    }
    if (chunk_lists > 0)
        qsort(chunks, chunk_lists, sizeof *chunks, compare_updated);
    const sgc_transaction_log log = {
        .spec_version = b->snapshot.spec_version,
        .id = b->snapshot.id,
        .new_groups = sorted(&made, false),
        .new_arrays = sorted(&made, true),
        .deleted_groups = sorted(&deleted, false),
        .deleted_arrays = sorted(&deleted, true),
        .updated_groups = sorted(&updated, false),
        .updated_arrays = sorted(&updated, true),
        .updated_chunk_count = chunk_lists,
        .updated_chunks = chunks,
    };
    return sgc_transaction_log_store(sgc_repository_store(session->repository), &log, err);
}

/* ---- the commit ---- */

static sgc_status build_and_publish(building *b, const char *metadata, sgc_error *err)
{
    sgc_session *session = b->session;
    sgc_snapshot_data *made = &b->snapshot;
    SGC_TRY(sgc_object_id_random(&made->id, err));
    SGC_TRY(build_nodes(b, err));
    SGC_TRY(merge_nodes(b, err));
    SGC_TRY(list_manifests(b, err));
    SGC_TRY(sgc_metadata_items_encode(metadata, made->spec_version, &b->arena, &made->metadata,
                                      &made->metadata_count, err));
    SGC_TRY(sgc_clock_after(b->base->flushed_at, &made->flushed_at, err));
    SGC_TRY(sgc_snapshot_store(sgc_repository_store(session->repository), made, err));
    SGC_TRY(write_log(b, err));
    session->was_attempted = true;
    session->attempt = made->id;
    return sgc_repository_publish(session->repository, session->branch, &b->base->id, made, err);
}

/* False also after changes that were refused, and for nodes that came and went. */
static bool has_changes(const sgc_session *session)
{
    for (size_t i = 0; i < session->change_count; i++) {
        const sgc_node_change *c = &session->changes[i];
        if (c->has_new_json || c->replaces || c->chunks.count > 0)
            return true;
    }
    return false;
}

static sgc_status check_ready(const sgc_session *session, sgc_error *err)
{
    SGC_TRY(sgc_session_check_open(session, err));
    return has_changes(session) ? SGC_OK : sgc_fail(err, SGC_INVALID, "nothing to commit");
}

sgc_status sgc_session_commit(sgc_session *session, const char *message, const char *metadata,
                              sgc_object_id *id, sgc_error *err)
{
    SGC_TRY(check_ready(session, err));
    building b = {
        .session = session,
        .base = sgc_snapshot_get(session->base),
        .snapshot = {.spec_version = sgc_repository_spec_version(session->repository),
                     .has_parent = true,
                     .parent = sgc_snapshot_get(session->base)->id,
                     .message = message},
    };
    const sgc_status status = build_and_publish(&b, metadata, err);
    session->is_committed = status == SGC_OK;
    if (status == SGC_OK && id != NULL)
        *id = b.snapshot.id;
    free(b.new_files);
    sgc_arena_free(&b.arena);
    return status;
}

/* One attempt; *contradicts when another would be in vain. */
static sgc_status rebase_and_commit(sgc_session *session, const char *message, const char *metadata,
                                    const sgc_merge *merge, bool *contradicts, sgc_object_id *id,
                                    sgc_error *err)
{
    const sgc_status status = sgc_session_rebase(session, merge, err);
    *contradicts = status != SGC_OK;
    SGC_TRY(status);
    if (!session->is_committed && has_changes(session))
        return sgc_session_commit(session, message, metadata, id, err);
    if (id != NULL)
        *id = session->is_committed ? session->attempt : sgc_snapshot_get(session->base)->id;
    return SGC_OK;
}

sgc_status sgc_session_commit_rebased(sgc_session *session, const char *message,
                                      const char *metadata, const sgc_merge *merge,
                                      sgc_object_id *id, sgc_error *err)
{
    enum { ATTEMPTS = 1000 };
    bool contradicts = false;
    SGC_TRY(check_ready(session, err));
    sgc_status status = SGC_CONFLICT;
    for (unsigned i = 0; status == SGC_CONFLICT && !contradicts && i < ATTEMPTS; i++) {
        if (i > 0)
            sgc_clock_pause(i);
        sgc_repository_queue_begin(session->repository);
        status = rebase_and_commit(session, message, metadata, merge, &contradicts, id, err);
        sgc_repository_queue_end(session->repository);
    }
    return status;
}
