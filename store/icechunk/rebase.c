/* Rebase: from the changes of a session on one snapshot to the same changes on a later one (format
 * guide 15). What others have committed in between is taken together: the logs of all their commits
 * are united, and our changes are held against these and against the new tip's tree. */
#include <stdlib.h>

#include "store/icechunk/session_private.h"
#include "store/icechunk/transaction_log.h"

/* ---- what others have done ---- */

typedef struct id_set {
    sgc_node_id *ids; /* sorted when all are in */
    size_t count, capacity;
} id_set;

typedef struct others {
    sgc_session *session;
    sgc_arena arena; /* of the logs */
    id_set made, deleted, updated;
    sgc_updated_chunks *chunks; /* by node */
    size_t chunk_list_count, chunk_list_capacity;
    bool moved_nodes, found_base;
    bool found_attempt; /* of ours: it was published, although its answer was lost */
    sgc_snapshot *tip;
} others;

static int compare_ids(const void *a, const void *b)
{
    return sgc_node_id_compare(a, b);
}

static sgc_status add_ids(id_set *set, const sgc_node_ids *ids, sgc_error *err)
{
    for (size_t i = 0; i < ids->count; i++) {
        sgc_node_id *grown = sgc_list_grow(set->ids, set->count, &set->capacity, sizeof *grown);
        if (grown == NULL)
            return sgc_fail_memory(err, sizeof *grown, "a rebase");
        set->ids = grown;
        set->ids[set->count++] = ids->ids[i];
    }
    return SGC_OK;
}

static void sort_ids(id_set *set)
{
    if (set->count > 0)
        qsort(set->ids, set->count, sizeof *set->ids, compare_ids);
}

static bool has_id(const id_set *set, const sgc_node_id *id)
{
    return set->count > 0 &&
           bsearch(id, set->ids, set->count, sizeof *set->ids, compare_ids) != NULL;
}

static int compare_chunk_lists(const void *a, const void *b)
{
    return sgc_node_id_compare(&((const sgc_updated_chunks *)a)->node,
                               &((const sgc_updated_chunks *)b)->node);
}

static sgc_status add_chunk_lists(others *o, const sgc_transaction_log *log, sgc_error *err)
{
    for (size_t i = 0; i < log->updated_chunk_count; i++) {
        if (log->updated_chunks[i].count == 0)
            continue;
        sgc_updated_chunks *grown =
            sgc_list_grow(o->chunks, o->chunk_list_count, &o->chunk_list_capacity, sizeof *grown);
        if (grown == NULL)
            return sgc_fail_memory(err, sizeof *grown, "a rebase");
        o->chunks = grown;
        o->chunks[o->chunk_list_count++] = log->updated_chunks[i];
    }
    return SGC_OK;
}

static sgc_status add_log(others *o, const sgc_object_id *id, sgc_error *err)
{
    sgc_transaction_log log;
    sgc_object_store *store = sgc_repository_store(o->session->repository);
    const sgc_status status = sgc_transaction_log_load(store, id, &o->arena, &log, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail_in(err, SGC_CONFLICT, "cannot tell what another commit has changed");
    SGC_TRY(status);
    o->moved_nodes = o->moved_nodes || log.moved_node_count > 0;
    SGC_TRY(add_ids(&o->made, &log.new_groups, err));
    SGC_TRY(add_ids(&o->made, &log.new_arrays, err));
    SGC_TRY(add_ids(&o->deleted, &log.deleted_groups, err));
    SGC_TRY(add_ids(&o->deleted, &log.deleted_arrays, err));
    SGC_TRY(add_ids(&o->updated, &log.updated_groups, err));
    SGC_TRY(add_ids(&o->updated, &log.updated_arrays, err));
    return add_chunk_lists(o, &log, err);
}

static sgc_status add_commit(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    others *o = user;
    const sgc_session *session = o->session;
    o->found_base = sgc_object_id_compare(&commit->id, &sgc_snapshot_get(session->base)->id) == 0;
    o->found_attempt =
        session->was_attempted && sgc_object_id_compare(&commit->id, &session->attempt) == 0;
    *more = !o->found_base && !o->found_attempt;
    if (!*more)
        return SGC_OK;
    for (size_t i = 0; i < commit->pruned_log_count; i++)
        SGC_TRY(add_log(o, &commit->pruned_logs[i], err));
    return commit->has_parent ? add_log(o, &commit->id, err) : SGC_OK;
}

static void free_others(others *o)
{
    free(o->made.ids);
    free(o->deleted.ids);
    free(o->updated.ids);
    free(o->chunks);
    sgc_arena_free(&o->arena);
    sgc_snapshot_unref(o->tip);
}

static sgc_status collect_others(others *o, const sgc_object_id *tip, sgc_error *err)
{
    sgc_repository *repository = o->session->repository;
    SGC_TRY(sgc_repository_history(repository, tip, add_commit, o, err));
    if (o->found_attempt)
        return SGC_OK;
    if (!o->found_base)
        return sgc_fail(err, SGC_CONFLICT,
                        "%s: branch \"%s\" was reset, or its history expired, since the "
                        "transaction began",
                        sgc_repository_store(repository)->name, o->session->branch);
    sort_ids(&o->made);
    sort_ids(&o->deleted);
    sort_ids(&o->updated);
    if (o->chunk_list_count > 0)
        qsort(o->chunks, o->chunk_list_count, sizeof *o->chunks, compare_chunk_lists);
    return sgc_repository_snapshot(repository, tip, &o->tip, err);
}

/* The lists of chunks that others changed in the array `node`: from *first on, as many as are
 * returned. */
static size_t find_chunk_lists(const others *o, const sgc_node_id *node, size_t *first)
{
    size_t low = 0, high = o->chunk_list_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sgc_node_id_compare(&o->chunks[middle].node, node) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    while (high < o->chunk_list_count && sgc_node_id_compare(&o->chunks[high].node, node) == 0)
        high++;
    return high - low;
}

static bool has_chunks_of(const others *o, const sgc_node_id *node)
{
    size_t first;
    return find_chunk_lists(o, node, &first) > 0;
}

/* ---- deciding ---- */

/* What the caller has decided about one change of the session. */
typedef struct decision {
    bool drops_json;
    bool has_node; /* with the zarr.json that was decided for */
    sgc_node node;
    sgc_chunk_map chunks; /* as they shall be, or is_dropped; the session has what they refer to */
} decision;

typedef struct rebase {
    sgc_session *session;
    const sgc_merge *merge;
    others others;
    decision *decisions; /* one for each change of the session */
} rebase;

static const char *const reasons[] = {
    [SGC_MOVED_NODES] = "nodes were moved by others",
    [SGC_NEW_NODE_EXISTS] = "others have made a node there",
    [SGC_NEW_NODE_WITHOUT_GROUP] = "its group was deleted by others, or is an array now",
    [SGC_JSON_DOUBLE_UPDATE] = "others have changed its zarr.json too",
    [SGC_JSON_UPDATE_OF_DELETED] = "others have deleted the node whose zarr.json is changed",
    [SGC_CHUNKS_OF_DELETED_ARRAY] = "others have deleted the array whose chunks are changed",
    [SGC_CHUNKS_OF_UPDATED_ARRAY] = "others have changed the zarr.json of the array",
    [SGC_CHUNK_DOUBLE_UPDATE] = "others have changed the same chunk",
    [SGC_DELETE_OF_UPDATED] = "others have changed the node that is deleted",
    [SGC_DELETE_OF_GROUP_WITH_NEW_NODES] = "others have made nodes in the group that is deleted",
    [SGC_RESHAPE_OF_UPDATED_ARRAY] = "others have changed chunks of the array that is reshaped",
    [SGC_DEPENDENCY_CHANGED] = "others have changed what the transaction depends on",
};

static bool can_be_decided(sgc_conflict_kind kind, sgc_resolution resolution)
{
    switch (kind) {
    case SGC_JSON_DOUBLE_UPDATE:
    case SGC_CHUNK_DOUBLE_UPDATE:
        return true;
    case SGC_CHUNKS_OF_UPDATED_ARRAY:
    case SGC_DELETE_OF_UPDATED:
        return resolution == SGC_OURS;
    default:
        return false;
    }
}

static sgc_status contradiction(const rebase *r, const char *path, sgc_conflict_kind kind,
                                sgc_error *err)
{
    return sgc_fail(err, SGC_CONFLICT, "%s: %s: %s",
                    sgc_repository_store(r->session->repository)->name, path, reasons[kind]);
}

/* Lets the caller decide a conflict of the session's change number `at`. Gives merged->json. */
static sgc_status ask(const rebase *r, size_t at, sgc_conflict *conflict, sgc_merged *merged,
                      sgc_error *err)
{
    const sgc_node *node = &r->session->changes[at].node;
    conflict->path = node->path;
    conflict->is_array = node->is_array;
    conflict->theirs = r->others.tip;
    if (r->merge != NULL)
        SGC_TRY(r->merge->decide(r->merge->user, conflict, merged, err));
    return merged->resolution != SGC_UNRESOLVED &&
                   can_be_decided(conflict->kind, merged->resolution)
               ? SGC_OK
               : contradiction(r, node->path, conflict->kind, err);
}

/* For conflicts in which ours wins, or nobody. */
static sgc_status refuse(const rebase *r, size_t at, sgc_conflict_kind kind, sgc_error *err)
{
    if (!can_be_decided(kind, SGC_OURS))
        return contradiction(r, r->session->changes[at].node.path, kind, err);
    sgc_conflict conflict = {.kind = kind};
    sgc_merged merged = {0};
    const sgc_status status = ask(r, at, &conflict, &merged, err);
    sgc_buffer_free(&merged.json);
    return status;
}

/* ---- the checks, one for each thing a change can do ---- */

/* The node at `path` once everything is done, or NULL. */
static const sgc_node *find_after(const rebase *r, const char *path)
{
    const sgc_node_change *c = sgc_session_find_change(r->session, path);
    if (c != NULL && sgc_node_change_is_new(c))
        return &c->node;
    return c != NULL && !c->exists ? NULL : sgc_snapshot_find(r->others.tip, path);
}

static sgc_status check_group_above(const rebase *r, size_t at, sgc_error *err)
{
    const char *path = r->session->changes[at].node.path;
    if (strcmp(path, "/") == 0)
        return SGC_OK;
    const size_t length = (size_t)(strrchr(path, '/') - path);
    char *parent = strndup(path, length > 0 ? length : 1);
    if (parent == NULL)
        return sgc_fail_memory(err, length, "a path");
    const sgc_node *node = find_after(r, parent);
    free(parent);
    return node != NULL && !node->is_array ? SGC_OK
                                           : refuse(r, at, SGC_NEW_NODE_WITHOUT_GROUP, err);
}

static sgc_status check_new(const rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_node *theirs = sgc_snapshot_find(r->others.tip, c->node.path);
    /* A node that we delete first may be there; check_delete() looks whether it is still ours. */
    if (theirs != NULL && !c->replaces)
        SGC_TRY(refuse(r, at, SGC_NEW_NODE_EXISTS, err));
    return check_group_above(r, at, err);
}

static sgc_status check_delete(const rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_node *theirs = sgc_snapshot_find(r->others.tip, c->old->path);
    if (theirs != NULL && sgc_node_id_compare(&theirs->id, &c->old->id) != 0)
        return refuse(r, at, SGC_NEW_NODE_EXISTS, err);
    if (has_id(&r->others.updated, &c->old->id) || has_chunks_of(&r->others, &c->old->id))
        return refuse(r, at, SGC_DELETE_OF_UPDATED, err);
    return SGC_OK;
}

/* Nodes that others have put into a group that we delete. */
static sgc_status check_deleted_tree(const rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_snapshot_data *tip = sgc_snapshot_get(r->others.tip);
    const size_t length = strlen(c->old->path);
    for (size_t i = 0; i < tip->node_count; i++) {
        const sgc_node *node = &tip->nodes[i];
        if (strncmp(node->path, c->old->path, length) == 0 && node->path[length] == '/' &&
            has_id(&r->others.made, &node->id))
            return refuse(r, at, SGC_DELETE_OF_GROUP_WITH_NEW_NODES, err);
    }
    return SGC_OK;
}

/* The node of the tip that a change of an existing node is about; NULL when others have deleted it,
 * even if there is a new one. */
static const sgc_node *find_theirs(const rebase *r, const sgc_node_change *c)
{
    const sgc_node *theirs = sgc_snapshot_find(r->others.tip, c->node.path);
    const bool same = theirs != NULL && sgc_node_id_compare(&theirs->id, &c->node.id) == 0 &&
                      theirs->is_array == c->node.is_array &&
                      theirs->dimension_count == c->node.dimension_count;
    return same ? theirs : NULL;
}

static sgc_span json_of(const sgc_node *node)
{
    return (sgc_span){(const char *)node->user_data, node->user_data_size};
}

/* Decides whose zarr.json, upon their node, it shall be. */
static sgc_status decide_json(rebase *r, size_t at, const sgc_node *theirs, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    decision *d = &r->decisions[at];
    sgc_conflict conflict = {.kind = SGC_JSON_DOUBLE_UPDATE,
                             .our_json = json_of(&c->node),
                             .their_json = json_of(theirs),
                             .base_json = json_of(c->old)};
    if (c->node.is_array && !sgc_node_same_layout(&c->node, theirs))
        return contradiction(r, c->node.path, conflict.kind, err);
    sgc_merged merged = {0};
    sgc_status status = ask(r, at, &conflict, &merged, err);
    const sgc_span json = merged.resolution == SGC_MERGED
                              ? (sgc_span){(const char *)merged.json.data, merged.json.size}
                              : conflict.our_json;
    d->drops_json = merged.resolution == SGC_THEIRS;
    if (status == SGC_OK && !d->drops_json) {
        status = sgc_session_renew_node(r->session, theirs, json, &d->node, err);
        d->has_node = status == SGC_OK;
    }
    sgc_buffer_free(&merged.json);
    return status;
}

static sgc_status check_json(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const decision *d = &r->decisions[at];
    const sgc_node *theirs = find_theirs(r, c);
    if (theirs == NULL)
        return refuse(r, at, SGC_JSON_UPDATE_OF_DELETED, err);
    const bool has_chunks = has_chunks_of(&r->others, &c->node.id);
    if (c->is_reshaped && has_chunks)
        return refuse(r, at, SGC_RESHAPE_OF_UPDATED_ARRAY, err);
    if (!has_id(&r->others.updated, &c->node.id))
        return SGC_OK;
    SGC_TRY(decide_json(r, at, theirs, err));
    return has_chunks && d->has_node && !sgc_node_same_shape(&d->node, theirs)
               ? refuse(r, at, SGC_RESHAPE_OF_UPDATED_ARRAY, err)
               : SGC_OK;
}

/* Remembers what shall become of a chunk. */
static sgc_status decide_chunk_as(rebase *r, size_t at, const sgc_conflict *conflict,
                                  const sgc_merged *merged, sgc_error *err)
{
    sgc_chunk_map *chunks = &r->decisions[at].chunks;
    sgc_chunk_ref ref = *conflict->our_chunk;
    if (merged->resolution == SGC_MERGED)
        SGC_TRY(sgc_session_copy_chunk(r->session, conflict->path, &merged->chunk, &ref, err));
    SGC_TRY(sgc_chunk_map_put(chunks, conflict->coordinates, conflict->dimension_count, &ref, err));
    sgc_chunk_map_find(chunks, conflict->coordinates, conflict->dimension_count)->is_dropped =
        merged->resolution == SGC_THEIRS;
    return SGC_OK;
}

static sgc_status decide_chunk(rebase *r, size_t at, const sgc_chunk_change *ours, sgc_error *err)
{
    const sgc_node *theirs = find_theirs(r, &r->session->changes[at]);
    sgc_chunk_ref their_chunk;
    sgc_manifest *keep;
    SGC_TRY(sgc_repository_find_chunk(r->session->repository, sgc_snapshot_get(r->others.tip),
                                      theirs, ours->coordinates, &their_chunk, &keep, err));
    sgc_conflict conflict = {.kind = SGC_CHUNK_DOUBLE_UPDATE,
                             .dimension_count = theirs->dimension_count,
                             .coordinates = ours->coordinates,
                             .our_chunk = &ours->ref,
                             .their_chunk = &their_chunk};
    sgc_merged merged = {0};
    sgc_status status = ask(r, at, &conflict, &merged, err);
    if (status == SGC_OK)
        status = decide_chunk_as(r, at, &conflict, &merged, err);
    sgc_buffer_free(&merged.json);
    sgc_manifest_unref(keep);
    return status;
}

/* One list of chunks that others have changed. */
static sgc_status check_chunk_list(rebase *r, size_t at, const sgc_updated_chunks *list,
                                   sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const size_t n = list->dimension_count;
    if (n != c->node.dimension_count)
        return sgc_fail(err, SGC_CORRUPT, "%s: a transaction log has other dimensions",
                        c->node.path);
    for (size_t i = 0; i < list->count; i++) {
        const uint32_t *coordinates = list->coordinates + i * n;
        const sgc_chunk_change *ours = sgc_chunk_map_find(&c->chunks, coordinates, n);
        if (ours != NULL && sgc_chunk_map_find(&r->decisions[at].chunks, coordinates, n) == NULL)
            SGC_TRY(decide_chunk(r, at, ours, err));
    }
    return SGC_OK;
}

static sgc_status check_chunks(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_node *theirs = find_theirs(r, c);
    if (theirs == NULL)
        return refuse(r, at, SGC_CHUNKS_OF_DELETED_ARRAY, err);
    if (has_id(&r->others.updated, &c->node.id) && !c->has_new_json) {
        if (!sgc_node_same_layout(&c->node, theirs))
            return contradiction(r, c->node.path, SGC_CHUNKS_OF_UPDATED_ARRAY, err);
        SGC_TRY(refuse(r, at, SGC_CHUNKS_OF_UPDATED_ARRAY, err));
    }
    size_t first;
    const size_t count = find_chunk_lists(&r->others, &c->node.id, &first);
    for (size_t i = first; i < first + count; i++)
        SGC_TRY(check_chunk_list(r, at, &r->others.chunks[i], err));
    return SGC_OK;
}

static sgc_status check_change(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    if (c->replaces)
        SGC_TRY(check_delete(r, at, err));
    if (c->replaces && !c->old->is_array)
        SGC_TRY(check_deleted_tree(r, at, err));
    if (sgc_node_change_is_new(c))
        return check_new(r, at, err);
    if (!c->exists)
        return SGC_OK;
    if (c->has_new_json)
        SGC_TRY(check_json(r, at, err));
    return c->chunks.count > 0 ? check_chunks(r, at, err) : SGC_OK;
}

static bool touches(const others *o, const sgc_dependency *d)
{
    size_t first;
    if (has_id(&o->deleted, &d->node) || has_id(&o->updated, &d->node))
        return true;
    const size_t count = d->has_coordinates ? find_chunk_lists(o, &d->node, &first) : 0;
    for (size_t i = 0; i < count; i++) {
        const sgc_updated_chunks *list = &o->chunks[first + i];
        const size_t n = list->dimension_count;
        for (size_t k = 0; n == d->dimension_count && k < list->count; k++)
            if (memcmp(list->coordinates + k * n, d->coordinates, n * sizeof *d->coordinates) == 0)
                return true;
    }
    return false;
}

static sgc_status check_all(rebase *r, sgc_error *err)
{
    const sgc_session *session = r->session;
    if (r->others.moved_nodes)
        return sgc_fail(err, SGC_CONFLICT, "%s: %s",
                        sgc_repository_store(session->repository)->name, reasons[SGC_MOVED_NODES]);
    for (size_t i = 0; i < session->dependency_count; i++)
        if (touches(&r->others, &session->dependencies[i]))
            return contradiction(r, session->dependencies[i].path, SGC_DEPENDENCY_CHANGED, err);
    for (size_t i = 0; i < session->change_count; i++)
        SGC_TRY(check_change(r, i, err));
    return SGC_OK;
}

/* ---- carrying over: cannot fail ---- */

/* True for a change that stays, and has its place in the array. */
static bool is_kept(const void *node, const sgc_chunk_change *change)
{
    return !change->is_dropped && sgc_node_contains(node, change->coordinates);
}

static void apply(sgc_node_change *c, const decision *d)
{
    c->has_new_json = c->has_new_json && !d->drops_json;
    for (size_t i = 0; i < d->chunks.count; i++) {
        const sgc_chunk_change *decided = &d->chunks.items[i];
        sgc_chunk_change *ours =
            sgc_chunk_map_find(&c->chunks, decided->coordinates, SGC_MAX_DIMENSIONS);
        ours->ref = decided->ref;
        ours->is_dropped = decided->is_dropped;
    }
}

/* Our zarr.json over the rest of their node. */
static sgc_node join(const sgc_node_change *c, const decision *d)
{
    sgc_node node = *c->old;
    if (c->has_new_json) {
        const sgc_node *document = d->has_node ? &d->node : &c->node;
        node.user_data = document->user_data;
        node.user_data_size = document->user_data_size;
        node.dimensions = document->dimensions;
        node.has_dimension_names = document->has_dimension_names;
    }
    node.path = c->node.path;
    return node;
}

static void carry_shape_over(sgc_node_change *c)
{
    c->is_reshaped = c->is_reshaped && c->has_new_json;
    if (c->is_reshaped)
        sgc_node_change_drop(c, c->old);
    else
        sgc_node_change_keep(c, c->old);
    c->is_reshaped = c->is_reshaped || !sgc_node_same_shape(&c->node, c->old);
    sgc_node_change_drop(c, &c->node);
    sgc_chunk_map_filter(&c->chunks, is_kept, &c->node);
}

/* Makes a change relative to the new base. */
static void carry_over(sgc_node_change *c, const decision *d, sgc_snapshot *tip)
{
    const bool is_whole = sgc_node_change_is_new(c) || sgc_node_change_is_deletion(c);
    c->old = sgc_snapshot_find(tip, c->node.path);
    c->replaces = c->replaces && c->old != NULL;
    if (is_whole)
        return;
    c->exists = c->old != NULL; /* what others have deleted has no change, else it would conflict */
    if (!c->exists)
        return;
    apply(c, d);
    c->node = join(c, d);
    carry_shape_over(c);
}

static void carry_all_over(rebase *r)
{
    sgc_session *session = r->session;
    for (size_t i = 0; i < session->change_count; i++)
        carry_over(&session->changes[i], &r->decisions[i], r->others.tip);
    sgc_snapshot *before = session->base;
    session->base = r->others.tip;
    r->others.tip = before;
}

static sgc_status rebase_onto(rebase *r, const sgc_object_id *tip, sgc_error *err)
{
    sgc_session *session = r->session;
    SGC_TRY(collect_others(&r->others, tip, err));
    session->is_committed = r->others.found_attempt;
    if (session->is_committed)
        return SGC_OK;
    SGC_TRY(check_all(r, err));
    carry_all_over(r);
    return SGC_OK;
}

sgc_status sgc_session_rebase(sgc_session *session, const sgc_merge *merge, sgc_error *err)
{
    sgc_object_id tip;
    SGC_TRY(sgc_session_check_open(session, err));
    SGC_TRY(
        sgc_repository_resolve(session->repository, SGC_REF_BRANCH, session->branch, &tip, err));
    if (sgc_object_id_compare(&tip, &sgc_snapshot_get(session->base)->id) == 0)
        return SGC_OK;
    const size_t count = session->change_count;
    rebase r = {.session = session, .merge = merge, .others = {.session = session}};
    r.decisions = calloc(count > 0 ? count : 1, sizeof *r.decisions);
    if (r.decisions == NULL)
        return sgc_fail_memory(err, count * sizeof *r.decisions, "a rebase");
    const sgc_status status = rebase_onto(&r, &tip, err);
    for (size_t i = 0; i < count; i++)
        sgc_chunk_map_free(&r.decisions[i].chunks);
    free(r.decisions);
    free_others(&r.others);
    return status;
}
