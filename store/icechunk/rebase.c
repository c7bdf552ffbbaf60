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
    if (sgc_object_id_compare(&commit->id, &sgc_snapshot_get(o->session->base)->id) == 0) {
        o->found_base = true;
        *more = false;
        return SGC_OK;
    }
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

/* What the caller has decided. */
typedef struct decision {
    size_t change;
    bool about_chunk;
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    sgc_resolution resolution;
    sgc_buffer json;
    sgc_chunk_ref chunk; /* what an inline one refers to is in the session's arena */
} decision;

typedef struct rebase {
    sgc_session *session;
    const sgc_merge *merge;
    others others;
    decision *decisions;
    size_t decision_count, decision_capacity;
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

static sgc_status remember(rebase *r, const decision *made, sgc_error *err)
{
    decision *grown =
        sgc_list_grow(r->decisions, r->decision_count, &r->decision_capacity, sizeof *grown);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a rebase");
    r->decisions = grown;
    r->decisions[r->decision_count++] = *made;
    return SGC_OK;
}

/* What an inline chunk refers to must outlive the callback that gave it. */
static sgc_status copy_chunk(rebase *r, sgc_chunk_ref *chunk, sgc_error *err)
{
    if (chunk->kind != SGC_CHUNK_INLINE)
        return SGC_OK;
    chunk->inline_data =
        sgc_arena_copy(&r->session->arena, chunk->inline_data, (size_t)chunk->length);
    return chunk->inline_data != NULL ? SGC_OK : sgc_fail_memory(err, chunk->length, "a chunk");
}

static sgc_status ask(rebase *r, const sgc_conflict *conflict, sgc_merged *merged, sgc_error *err)
{
    if (r->merge != NULL && can_be_decided(conflict->kind, SGC_OURS))
        SGC_TRY(r->merge->decide(r->merge->user, conflict, merged, err));
    if (merged->resolution != SGC_UNRESOLVED && can_be_decided(conflict->kind, merged->resolution))
        return SGC_OK;
    return sgc_fail(err, SGC_CONFLICT, "%s: %s: %s",
                    sgc_repository_store(r->session->repository)->name, conflict->path,
                    reasons[conflict->kind]);
}

/* Lets the caller decide a conflict of the session's change number `at`, and remembers it. */
static sgc_status decide(rebase *r, size_t at, sgc_conflict *conflict, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    sgc_merged merged = {0};
    conflict->path = c->node.path;
    conflict->is_array = c->node.is_array;
    conflict->theirs = r->others.tip;
    sgc_status status = ask(r, conflict, &merged, err);
    decision made = {.change = at,
                     .about_chunk = conflict->kind == SGC_CHUNK_DOUBLE_UPDATE,
                     .resolution = merged.resolution,
                     .json = merged.json,
                     .chunk = merged.chunk};
    if (made.about_chunk)
        memcpy(made.coordinates, conflict->coordinates,
               conflict->dimension_count * sizeof *made.coordinates);
    if (status == SGC_OK && made.about_chunk && made.resolution == SGC_MERGED)
        status = copy_chunk(r, &made.chunk, err);
    if (status == SGC_OK)
        status = remember(r, &made, err);
    if (status != SGC_OK)
        sgc_buffer_free(&merged.json);
    return status;
}

static sgc_status refuse(rebase *r, size_t at, sgc_conflict_kind kind, sgc_error *err)
{
    sgc_conflict conflict = {.kind = kind};
    return decide(r, at, &conflict, err);
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

static sgc_status check_group_above(rebase *r, size_t at, sgc_error *err)
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

static sgc_status check_new(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_node *theirs = sgc_snapshot_find(r->others.tip, c->node.path);
    /* A node that we delete first may be there; check_delete() looks whether it is still ours. */
    if (theirs != NULL && !c->replaces)
        SGC_TRY(refuse(r, at, SGC_NEW_NODE_EXISTS, err));
    return check_group_above(r, at, err);
}

static sgc_status check_delete(rebase *r, size_t at, sgc_error *err)
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
static sgc_status check_deleted_tree(rebase *r, size_t at, sgc_error *err)
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
    return theirs != NULL && sgc_node_id_compare(&theirs->id, &c->node.id) == 0 ? theirs : NULL;
}

static sgc_span json_of(const sgc_node *node)
{
    return (sgc_span){(const char *)node->user_data, node->user_data_size};
}

static sgc_status check_json(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    const sgc_node *theirs = find_theirs(r, c);
    if (theirs == NULL)
        return refuse(r, at, SGC_JSON_UPDATE_OF_DELETED, err);
    if (c->is_reshaped && has_chunks_of(&r->others, &c->node.id))
        SGC_TRY(refuse(r, at, SGC_RESHAPE_OF_UPDATED_ARRAY, err));
    if (!has_id(&r->others.updated, &c->node.id))
        return SGC_OK;
    sgc_conflict conflict = {.kind = SGC_JSON_DOUBLE_UPDATE,
                             .our_json = json_of(&c->node),
                             .their_json = json_of(theirs),
                             .base_json = json_of(c->old)};
    return decide(r, at, &conflict, err);
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
    const sgc_status status = decide(r, at, &conflict, err);
    sgc_manifest_unref(keep);
    return status;
}

static bool is_decided(const rebase *r, size_t at, const sgc_chunk_change *chunk)
{
    for (size_t i = r->decision_count; i-- > 0 && r->decisions[i].change == at;)
        if (r->decisions[i].about_chunk &&
            memcmp(r->decisions[i].coordinates, chunk->coordinates, sizeof chunk->coordinates) == 0)
            return true;
    return false;
}

static sgc_status check_chunks(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    if (find_theirs(r, c) == NULL)
        return refuse(r, at, SGC_CHUNKS_OF_DELETED_ARRAY, err);
    if (has_id(&r->others.updated, &c->node.id) && !c->has_new_json)
        SGC_TRY(refuse(r, at, SGC_CHUNKS_OF_UPDATED_ARRAY, err));
    size_t first;
    const size_t count = find_chunk_lists(&r->others, &c->node.id, &first);
    for (size_t i = first; i < first + count; i++) {
        const sgc_updated_chunks *list = &r->others.chunks[i];
        if (list->dimension_count != c->node.dimension_count)
            return sgc_fail(err, SGC_CORRUPT, "%s: a transaction log has other dimensions",
                            c->node.path);
        for (size_t k = 0; k < list->count; k++) {
            const sgc_chunk_change *ours = sgc_chunk_map_find(
                &c->chunks, list->coordinates + k * list->dimension_count, list->dimension_count);
            if (ours != NULL && !is_decided(r, at, ours))
                SGC_TRY(decide_chunk(r, at, ours, err));
        }
    }
    return SGC_OK;
}

static sgc_status check_change(rebase *r, size_t at, sgc_error *err)
{
    const sgc_node_change *c = &r->session->changes[at];
    if (c->replaces) {
        SGC_TRY(check_delete(r, at, err));
        SGC_TRY(check_deleted_tree(r, at, err));
    }
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
    const char *name = sgc_repository_store(session->repository)->name;
    if (r->others.moved_nodes)
        return sgc_fail(err, SGC_CONFLICT, "%s: %s", name, reasons[SGC_MOVED_NODES]);
    for (size_t i = 0; i < session->dependency_count; i++)
        if (touches(&r->others, &session->dependencies[i]))
            return sgc_fail(err, SGC_CONFLICT, "%s: %s: %s", name, session->dependencies[i].path,
                            reasons[SGC_DEPENDENCY_CHANGED]);
    for (size_t i = 0; i < session->change_count; i++)
        SGC_TRY(check_change(r, i, err));
    return SGC_OK;
}

/* ---- carrying over ---- */

/* True for a change that stays, and has its place in the array. */
static bool is_kept(const void *node, const sgc_chunk_change *change)
{
    return !change->is_dropped && sgc_node_contains(node, change->coordinates);
}

/* Merged documents go where a fresh one goes: through the functions that check it. */
static sgc_status put_merged(sgc_session *session, const decision *d, sgc_error *err)
{
    const sgc_node *node = &session->changes[d->change].node;
    return node->is_array
               ? sgc_session_put_array(session, node->path, d->json.data, d->json.size, err)
               : sgc_session_put_group(session, node->path, d->json.data, d->json.size, err);
}

/* What can fail comes first. */
static sgc_status apply_merged_json(rebase *r, sgc_error *err)
{
    for (size_t i = 0; i < r->decision_count; i++)
        if (!r->decisions[i].about_chunk && r->decisions[i].resolution == SGC_MERGED)
            SGC_TRY(put_merged(r->session, &r->decisions[i], err));
    return SGC_OK;
}

static void apply_to_chunk(sgc_node_change *c, const decision *d)
{
    sgc_chunk_change *chunk =
        sgc_chunk_map_find(&c->chunks, d->coordinates, c->node.dimension_count);
    if (chunk == NULL)
        return; /* a merged document has made the array smaller */
    chunk->is_dropped = d->resolution == SGC_THEIRS;
    if (d->resolution == SGC_MERGED)
        chunk->ref = d->chunk;
}

static void apply_decisions(rebase *r)
{
    for (size_t i = 0; i < r->decision_count; i++) {
        const decision *d = &r->decisions[i];
        sgc_node_change *c = &r->session->changes[d->change];
        if (d->about_chunk)
            apply_to_chunk(c, d);
        else if (d->resolution == SGC_THEIRS)
            c->has_new_json = false;
    }
}

static bool same_shape(const sgc_node *a, const sgc_node *b)
{
    for (size_t d = 0; d < a->dimension_count; d++)
        if (a->dimensions[d].array_length != b->dimensions[d].array_length)
            return false;
    return true;
}

/* Our zarr.json over the rest of their node. */
static sgc_node join(const sgc_node *ours, const sgc_node *theirs, bool has_new_json)
{
    sgc_node node = *theirs;
    node.path = ours->path;
    if (has_new_json) {
        node.user_data = ours->user_data;
        node.user_data_size = ours->user_data_size;
        node.dimensions = ours->dimensions;
        node.has_dimension_names = ours->has_dimension_names;
    }
    return node;
}

/* Of what is stored now only that is kept which no shape on the way has cut off. */
static void cut_stored(sgc_node_change *c)
{
    for (size_t d = 0; d < c->node.dimension_count; d++) {
        const uint32_t left = c->is_reshaped ? c->kept[d] : c->node.dimensions[d].num_chunks;
        const uint32_t stored = c->old->dimensions[d].num_chunks;
        c->kept[d] = stored < left ? stored : left;
    }
    c->is_reshaped = c->is_reshaped || !same_shape(&c->node, c->old);
}

/* Makes a change relative to the new base. */
static void carry_over(sgc_node_change *c, sgc_snapshot *tip)
{
    const bool is_whole = c->exists ? sgc_node_change_is_new(c) : c->replaces;
    c->old = sgc_snapshot_find(tip, c->node.path);
    c->replaces = c->replaces && c->old != NULL;
    if (is_whole)
        return;
    /* Nothing was changed in it, else it would be a conflict; or it came and went, and the node
     * that others have made there stays. */
    c->exists = c->old != NULL;
    if (!c->exists)
        return;
    c->node = join(&c->node, c->old, c->has_new_json);
    if (c->has_new_json)
        cut_stored(c);
    else
        c->is_reshaped = false;
    sgc_chunk_map_filter(&c->chunks, is_kept, &c->node);
}

static sgc_status carry_all_over(rebase *r, sgc_error *err)
{
    sgc_session *session = r->session;
    SGC_TRY(apply_merged_json(r, err));
    apply_decisions(r);
    for (size_t i = 0; i < session->change_count; i++)
        carry_over(&session->changes[i], r->others.tip);
    sgc_snapshot *before = session->base;
    session->base = r->others.tip;
    r->others.tip = before;
    return SGC_OK;
}

static sgc_status rebase_onto(rebase *r, const sgc_object_id *tip, sgc_error *err)
{
    SGC_TRY(collect_others(&r->others, tip, err));
    SGC_TRY(check_all(r, err));
    return carry_all_over(r, err);
}

sgc_status sgc_session_rebase(sgc_session *session, const sgc_merge *merge, sgc_error *err)
{
    sgc_object_id tip;
    SGC_TRY(
        sgc_repository_resolve(session->repository, SGC_REF_BRANCH, session->branch, &tip, err));
    if (sgc_object_id_compare(&tip, &sgc_snapshot_get(session->base)->id) == 0)
        return SGC_OK;
    rebase r = {.session = session, .merge = merge, .others = {.session = session}};
    const sgc_status status = rebase_onto(&r, &tip, err);
    for (size_t i = 0; i < r.decision_count; i++)
        sgc_buffer_free(&r.decisions[i].json);
    free(r.decisions);
    free_others(&r.others);
    return status;
}
