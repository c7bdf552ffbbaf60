#include <stdlib.h>

#include "store/icechunk/session_private.h"
#include "store/zarr/metadata.h"

/* ---- the session ---- */

static sgc_status load_base(const sgc_session *session, sgc_snapshot **base, sgc_error *err)
{
    sgc_object_id tip;
    SGC_TRY(
        sgc_repository_resolve(session->repository, SGC_REF_BRANCH, session->branch, &tip, err));
    return sgc_repository_snapshot(session->repository, &tip, base, err);
}

static void init_locks(sgc_session *session)
{
    pthread_mutex_init(&session->mutex, NULL);
    for (size_t i = 0; i < SGC_CHUNK_LOCKS; i++)
        pthread_mutex_init(&session->chunk_locks[i], NULL);
}

static void destroy_locks(sgc_session *session)
{
    pthread_mutex_destroy(&session->mutex);
    for (size_t i = 0; i < SGC_CHUNK_LOCKS; i++)
        pthread_mutex_destroy(&session->chunk_locks[i]);
}

sgc_status sgc_session_new(sgc_repository *repository, const char *branch, sgc_session **out,
                           sgc_error *err)
{
    sgc_session *session = calloc(1, sizeof *session);
    if (session == NULL || (session->branch = strdup(branch)) == NULL) {
        free(session);
        return sgc_fail_memory(err, sizeof *session, "a session");
    }
    session->repository = repository;
    init_locks(session);
    const sgc_status status = load_base(session, &session->base, err);
    if (status != SGC_OK) {
        sgc_session_free(session);
        return status;
    }
    *out = session;
    return SGC_OK;
}

static void forget_chunks(sgc_node_change *c)
{
    sgc_chunk_map_free(&c->chunks);
    sgc_chunk_map_free(&c->written);
}

static void forget_changes(sgc_session *session)
{
    for (size_t i = 0; i < session->change_count; i++)
        forget_chunks(&session->changes[i]);
    session->change_count = 0;
    session->dependency_count = 0;
    session->is_committed = session->was_attempted = false;
    sgc_arena_free(&session->arena);
}

void sgc_session_free(sgc_session *session)
{
    if (session == NULL)
        return;
    forget_changes(session);
    free(session->changes);
    free(session->dependencies);
    sgc_snapshot_unref(session->base);
    destroy_locks(session);
    free(session->branch);
    free(session);
}

sgc_status sgc_session_restart(sgc_session *session, sgc_error *err)
{
    sgc_snapshot *base;
    SGC_TRY(load_base(session, &base, err));
    forget_changes(session);
    sgc_snapshot_unref(session->base);
    session->base = base;
    return SGC_OK;
}

sgc_status sgc_session_check_open(const sgc_session *session, sgc_error *err)
{
    return session->is_committed
               ? sgc_fail(err, SGC_INVALID, "the transaction was committed: restart it")
               : SGC_OK;
}

sgc_repository *sgc_session_repository(const sgc_session *session)
{
    return session->repository;
}

sgc_snapshot *sgc_session_base(const sgc_session *session)
{
    return session->base;
}

/* ---- the tree as it would be; callers hold the mutex ---- */

/* The position of the change of `path`, or where it belongs. */
static size_t change_position(const sgc_session *session, const char *path, bool *found)
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

sgc_node_change *sgc_session_find_change(const sgc_session *session, const char *path)
{
    bool found;
    const size_t at = change_position(session, path, &found);
    return found ? &session->changes[at] : NULL;
}

static const sgc_node *find_node(const sgc_session *session, const char *path)
{
    const sgc_node_change *c = sgc_session_find_change(session, path);
    if (c == NULL)
        return sgc_snapshot_find(session->base, path);
    return c->exists ? &c->node : NULL;
}

/* True when a segment between slashes is nothing, "." or "..". */
static bool has_bad_segment(const char *path)
{
    for (const char *at = path; *at != '\0';) {
        const size_t length = strcspn(++at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return true;
        at += length;
    }
    return false;
}

static sgc_status check_parent(const sgc_session *session, const char *path, sgc_error *err)
{
    const size_t length = (size_t)(strrchr(path, '/') - path);
    char *parent = strndup(path, length > 0 ? length : 1);
    if (parent == NULL)
        return sgc_fail_memory(err, length, "a path");
    const sgc_node *node = find_node(session, parent);
    const sgc_status status =
        node != NULL && !node->is_array
            ? SGC_OK
            : sgc_fail(err, SGC_INVALID, "%s: %s is not a group", path, parent);
    free(parent);
    return status;
}

static sgc_status check_path(const sgc_session *session, const char *path, sgc_error *err)
{
    if (strcmp(path, "/") == 0)
        return SGC_OK;
    if (path[0] != '/' || has_bad_segment(path))
        return sgc_fail(err, SGC_INVALID, "\"%s\" is not the path of a node", path);
    return check_parent(session, path, err);
}

/* ---- changes; callers hold the mutex ---- */

/* What was attempted to be committed before is not all any more. */
static sgc_status begin_change(sgc_session *session, sgc_error *err)
{
    pthread_mutex_lock(&session->mutex);
    session->was_attempted = false;
    const sgc_status status = sgc_session_check_open(session, err);
    if (status != SGC_OK)
        pthread_mutex_unlock(&session->mutex);
    return status;
}

/* Makes room for a change of `path`, which has none, and gives it. */
static sgc_status add_change(sgc_session *session, const sgc_node_change *made,
                             sgc_node_change **out, sgc_error *err)
{
    bool found;
    const size_t at = change_position(session, made->node.path, &found);
    sgc_node_change *changes = sgc_list_grow(session->changes, session->change_count,
                                             &session->change_capacity, sizeof *changes);
    if (changes == NULL)
        return sgc_fail_memory(err, sizeof *changes, "a transaction");
    session->changes = changes;
    memmove(changes + at + 1, changes + at, (session->change_count - at) * sizeof *changes);
    changes[at] = *made;
    session->change_count++;
    *out = &changes[at];
    return SGC_OK;
}

/* Begins the change of the node `old` of the base. */
static sgc_status change_old(sgc_session *session, const sgc_node *old, sgc_node_change **out,
                             sgc_error *err)
{
    sgc_node_change made = {.node = *old, .old = old, .exists = true};
    sgc_node_change_keep(&made, old);
    made.node.path = sgc_arena_string(&session->arena, old->path, strlen(old->path));
    if (made.node.path == NULL)
        return sgc_fail_memory(err, strlen(old->path), "a path");
    return add_change(session, &made, out, err);
}

/* The change of a node that exists, if any is begun or can be: else *out is NULL. */
static sgc_status change_existing(sgc_session *session, const char *path, sgc_node_change **out,
                                  sgc_error *err)
{
    *out = sgc_session_find_change(session, path);
    if (*out != NULL) {
        *out = (*out)->exists ? *out : NULL;
        return SGC_OK;
    }
    const sgc_node *old = sgc_snapshot_find(session->base, path);
    return old != NULL ? change_old(session, old, out, err) : SGC_OK;
}

/* Begins a node at a path where there is none. */
static sgc_status change_new(sgc_session *session, const char *path, sgc_node_change **out,
                             sgc_error *err)
{
    sgc_node node = {0};
    SGC_TRY(check_path(session, path, err));
    SGC_TRY(sgc_node_id_random(&node.id, err));
    sgc_node_change *deleted = sgc_session_find_change(session, path);
    if (deleted != NULL) {
        node.path = deleted->node.path;
        deleted->node = node;
        deleted->exists = true;
        deleted->has_new_json = false;
        *out = deleted;
        return SGC_OK;
    }
    node.path = sgc_arena_string(&session->arena, path, strlen(path));
    if (node.path == NULL)
        return sgc_fail_memory(err, strlen(path), "a path");
    const sgc_node_change made = {.node = node, .exists = true};
    return add_change(session, &made, out, err);
}

static sgc_status change_or_new(sgc_session *session, const char *path, sgc_node_change **out,
                                sgc_error *err)
{
    SGC_TRY(change_existing(session, path, out, err));
    return *out != NULL ? SGC_OK : change_new(session, path, out, err);
}

static sgc_status set_json(sgc_session *session, const void *json, size_t size, sgc_node *node,
                           sgc_error *err)
{
    const unsigned char *copy = sgc_arena_copy(&session->arena, json, size);
    if (copy == NULL)
        return sgc_fail_memory(err, size, "zarr.json");
    node->user_data = copy;
    node->user_data_size = size;
    return SGC_OK;
}

/* A node whose zarr.json could not be put does not exist. */
static sgc_status finish_put(sgc_session *session, const char *path, sgc_status status)
{
    sgc_node_change *c = sgc_session_find_change(session, path);
    if (status != SGC_OK && c != NULL && c->node.user_data == NULL)
        c->exists = false;
    return status;
}

static sgc_status put_group(sgc_session *session, const char *path, const void *json, size_t size,
                            sgc_error *err)
{
    sgc_node_change *c;
    SGC_TRY(change_or_new(session, path, &c, err));
    if (c->node.is_array)
        return sgc_fail(err, SGC_INVALID, "%s is an array, not a group", path);
    SGC_TRY(set_json(session, json, size, &c->node, err));
    c->has_new_json = true;
    return SGC_OK;
}

sgc_status sgc_session_put_group(sgc_session *session, const char *path, const void *json,
                                 size_t size, sgc_error *err)
{
    SGC_TRY(begin_change(session, err));
    const sgc_status status = finish_put(session, path, put_group(session, path, json, size, err));
    pthread_mutex_unlock(&session->mutex);
    return status;
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

static sgc_status parse_json(const sgc_node *node, sgc_array_metadata *metadata, sgc_error *err)
{
    SGC_TRY(sgc_array_metadata_parse((const char *)node->user_data, node->user_data_size, metadata,
                                     err));
    if (metadata->dimension_count == node->dimension_count)
        return SGC_OK;
    sgc_array_metadata_clear(metadata);
    return sgc_fail(err, SGC_CORRUPT, "has other dimensions than its zarr.json");
}

bool sgc_node_same_layout(const sgc_node *a, const sgc_node *b)
{
    sgc_array_metadata left, right;
    if (parse_json(a, &left, NULL) != SGC_OK)
        return false;
    bool same = false;
    if (parse_json(b, &right, NULL) == SGC_OK) {
        same = sgc_array_metadata_same_chunks(&left, &right);
        sgc_array_metadata_clear(&right);
    }
    sgc_array_metadata_clear(&left);
    return same;
}

/* The chunks of `node`, unless it is quite new, must keep their meaning. */
static sgc_status check_layout(const sgc_node *node, const sgc_array_metadata *metadata,
                               sgc_error *err)
{
    if (node->user_data == NULL)
        return SGC_OK;
    if (!node->is_array)
        return sgc_fail(err, SGC_INVALID, "%s is a group, not an array", node->path);
    sgc_array_metadata old;
    const sgc_status status = parse_json(node, &old, err);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "%s", node->path);
    const bool same = sgc_array_metadata_same_chunks(&old, metadata);
    sgc_array_metadata_clear(&old);
    return same ? SGC_OK
                : sgc_fail(err, SGC_UNSUPPORTED,
                           "%s: dimensions, chunks, data type, codecs and fill value of an array "
                           "cannot change; "
                           "delete it first",
                           node->path);
}

static sgc_status renew_array(sgc_session *session, const sgc_node *node,
                              const sgc_array_metadata *metadata, const void *json, size_t size,
                              sgc_node *made, sgc_error *err)
{
    SGC_TRY(check_layout(node, metadata, err));
    sgc_node result = *node;
    SGC_TRY(set_dimensions(session, metadata, &result, err));
    SGC_TRY(set_json(session, json, size, &result, err));
    *made = result;
    return SGC_OK;
}

sgc_status sgc_session_renew_node(sgc_session *session, const sgc_node *node, sgc_span json,
                                  sgc_node *made, sgc_error *err)
{
    if (!node->is_array) {
        *made = *node;
        return set_json(session, json.text, json.size, made, err);
    }
    sgc_array_metadata metadata;
    SGC_TRY(sgc_array_metadata_parse(json.text, json.size, &metadata, err));
    const sgc_status status =
        renew_array(session, node, &metadata, json.text, json.size, made, err);
    sgc_array_metadata_clear(&metadata);
    return status;
}

static bool stays_inside(const void *node, const sgc_chunk_change *change)
{
    return sgc_node_contains(node, change->coordinates);
}

static void reshape(sgc_node_change *c)
{
    c->is_reshaped = true;
    sgc_node_change_drop(c, &c->node);
    sgc_chunk_map_filter(&c->chunks, stays_inside, &c->node);
}

static sgc_status put_array(sgc_session *session, const char *path,
                            const sgc_array_metadata *metadata, const void *json, size_t size,
                            sgc_error *err)
{
    sgc_node_change *c;
    sgc_node made;
    SGC_TRY(change_or_new(session, path, &c, err));
    SGC_TRY(renew_array(session, &c->node, metadata, json, size, &made, err));
    const bool reshaped = !sgc_node_same_shape(&c->node, &made);
    c->node = made;
    c->has_new_json = true;
    if (reshaped)
        reshape(c);
    return SGC_OK;
}

sgc_status sgc_session_put_array(sgc_session *session, const char *path, const void *json,
                                 size_t size, sgc_error *err)
{
    sgc_array_metadata metadata;
    SGC_TRY(sgc_array_metadata_parse(json, size, &metadata, err));
    sgc_status status = begin_change(session, err);
    if (status == SGC_OK) {
        status = finish_put(session, path, put_array(session, path, &metadata, json, size, err));
        pthread_mutex_unlock(&session->mutex);
    }
    sgc_array_metadata_clear(&metadata);
    return status;
}

static bool is_below(const char *path, const char *group)
{
    const size_t length = strlen(group);
    return strncmp(path, group, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void delete_change(sgc_node_change *c)
{
    c->exists = false;
    c->replaces = c->old != NULL;
    c->has_new_json = c->is_reshaped = false;
    forget_chunks(c);
}

static sgc_status delete_tree(sgc_session *session, const char *path, sgc_error *err)
{
    const sgc_snapshot_data *base = sgc_snapshot_get(session->base);
    if (strcmp(path, "/") == 0)
        return sgc_fail(err, SGC_INVALID, "the root group cannot be deleted");
    if (find_node(session, path) == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "there is no node %s", path);
    for (size_t i = 0; i < base->node_count; i++) {
        sgc_node_change *c;
        if (is_below(base->nodes[i].path, path))
            SGC_TRY(change_existing(session, base->nodes[i].path, &c, err));
    }
    for (size_t i = 0; i < session->change_count; i++)
        if (session->changes[i].exists && is_below(session->changes[i].node.path, path))
            delete_change(&session->changes[i]);
    return SGC_OK;
}

sgc_status sgc_session_delete(sgc_session *session, const char *path, sgc_error *err)
{
    SGC_TRY(begin_change(session, err));
    const sgc_status status = delete_tree(session, path, err);
    pthread_mutex_unlock(&session->mutex);
    return status;
}

/* Both are false, or NULL, when there is no memory. */
static bool copy_text(sgc_arena *arena, const char **text)
{
    if (*text == NULL)
        return true;
    *text = sgc_arena_string(arena, *text, strlen(*text));
    return *text != NULL;
}

static const sgc_ref_details *copy_details(sgc_arena *arena, const sgc_ref_details *details)
{
    sgc_ref_details *copy = sgc_arena_copy(arena, details, sizeof *details);
    if (copy == NULL || !copy_text(arena, &copy->location) || !copy_text(arena, &copy->etag))
        return NULL;
    if (copy->extra.data == NULL)
        return copy;
    copy->extra.data = sgc_arena_copy(arena, copy->extra.data, copy->extra.size);
    return copy->extra.data != NULL ? copy : NULL;
}

sgc_status sgc_session_copy_chunk(sgc_session *session, const char *path, const sgc_chunk_ref *ref,
                                  sgc_chunk_ref *copy, sgc_error *err)
{
    if (ref->kind != SGC_CHUNK_NONE && ref->length == 0)
        return sgc_fail(err, SGC_INVALID, "%s: a chunk of 0 bytes", path);
    sgc_chunk_ref result = *ref;
    if (ref->kind == SGC_CHUNK_INLINE) {
        result.inline_data = sgc_arena_copy(&session->arena, ref->inline_data, (size_t)ref->length);
        if (result.inline_data == NULL)
            return sgc_fail_memory(err, ref->length, "a chunk");
    }
    if (ref->details != NULL) {
        result.details = copy_details(&session->arena, ref->details);
        if (result.details == NULL)
            return sgc_fail_memory(err, sizeof *ref->details, "a chunk");
    }
    *copy = result;
    return SGC_OK;
}

static sgc_status no_array(const char *path, sgc_error *err)
{
    return sgc_fail(err, SGC_NOT_FOUND, "there is no array %s", path);
}

static sgc_status set_chunk(sgc_session *session, const char *path, const uint32_t *coordinates,
                            const sgc_chunk_ref *ref, sgc_error *err)
{
    sgc_node_change *c;
    SGC_TRY(change_existing(session, path, &c, err));
    if (c == NULL)
        return no_array(path, err);
    if (!c->node.is_array)
        return sgc_fail(err, SGC_INVALID, "%s is a group: it has no chunks", path);
    if (!sgc_node_contains(&c->node, coordinates))
        return sgc_fail(err, SGC_INVALID, "%s: a chunk outside the array", path);
    sgc_chunk_ref copy;
    SGC_TRY(sgc_session_copy_chunk(session, path, ref, &copy, err));
    return sgc_chunk_map_put(&c->chunks, coordinates, c->node.dimension_count, &copy, err);
}

sgc_status sgc_session_set_chunk(sgc_session *session, const char *path,
                                 const uint32_t *coordinates, const sgc_chunk_ref *ref,
                                 sgc_error *err)
{
    SGC_TRY(begin_change(session, err));
    const sgc_status status = set_chunk(session, path, coordinates, ref, err);
    pthread_mutex_unlock(&session->mutex);
    return status;
}

/* ---- looking ---- */

sgc_status sgc_session_get_node(sgc_session *session, const char *path, sgc_node *node,
                                sgc_error *err)
{
    pthread_mutex_lock(&session->mutex);
    const sgc_node *found = find_node(session, path);
    if (found != NULL)
        *node = *found;
    pthread_mutex_unlock(&session->mutex);
    return found != NULL ? SGC_OK : sgc_fail(err, SGC_NOT_FOUND, "there is no node %s", path);
}

size_t sgc_session_lock_chunk(sgc_session *session, const char *path, const uint32_t *coordinates,
                              size_t dimension_count)
{
    uint32_t hash = 0;
    for (; *path != '\0'; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    for (size_t d = 0; d < dimension_count; d++)
        hash = (hash ^ coordinates[d]) * 16777619u;
    const size_t lock = (hash ^ hash >> 16) % SGC_CHUNK_LOCKS;
    pthread_mutex_lock(&session->chunk_locks[lock]);
    return lock;
}

void sgc_session_unlock_chunk(sgc_session *session, size_t lock)
{
    pthread_mutex_unlock(&session->chunk_locks[lock]);
}

static bool is_kept(const sgc_node_change *c, const uint32_t *coordinates)
{
    for (size_t d = 0; d < c->node.dimension_count; d++)
        if (coordinates[d] >= c->kept[d])
            return false;
    return true;
}

/* True, with the reference, where the transaction itself says what the chunk is. */
static bool find_changed_chunk(sgc_session *session, const char *path, const uint32_t *coordinates,
                               sgc_chunk_ref *ref)
{
    const sgc_node_change *c = sgc_session_find_change(session, path);
    if (c == NULL)
        return false;
    const sgc_chunk_change *chunk =
        sgc_chunk_map_find(&c->chunks, coordinates, c->node.dimension_count);
    if (chunk != NULL)
        *ref = chunk->ref;
    else
        *ref = (sgc_chunk_ref){.kind = SGC_CHUNK_NONE};
    return chunk != NULL || c->old == NULL || c->replaces || !is_kept(c, coordinates);
}

sgc_status sgc_session_find_chunk(sgc_session *session, const char *path,
                                  const uint32_t *coordinates, sgc_chunk_ref *ref,
                                  sgc_manifest **keep, sgc_error *err)
{
    sgc_chunk_ref found;
    pthread_mutex_lock(&session->mutex);
    const sgc_node *node = find_node(session, path);
    const bool exists = node != NULL && node->is_array && sgc_node_contains(node, coordinates);
    const bool changed = exists && find_changed_chunk(session, path, coordinates, &found);
    pthread_mutex_unlock(&session->mutex);
    if (node == NULL)
        return no_array(path, err);
    if (!exists)
        return sgc_fail(err, SGC_INVALID, "%s: there is no such chunk", path);
    if (changed) {
        *ref = found;
        *keep = NULL;
        return SGC_OK;
    }
    return sgc_repository_find_chunk(session->repository, sgc_snapshot_get(session->base),
                                     sgc_snapshot_find(session->base, path), coordinates, ref, keep,
                                     err);
}

static sgc_status depend_on(sgc_session *session, const char *path, const uint32_t *coordinates,
                            sgc_error *err)
{
    const sgc_node *node = sgc_snapshot_find(session->base, path);
    if (node == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "there is no node %s", path);
    if (coordinates != NULL && !(node->is_array && sgc_node_contains(node, coordinates)))
        return sgc_fail(err, SGC_INVALID, "%s has no such chunk", path);
    sgc_dependency *list = sgc_list_grow(session->dependencies, session->dependency_count,
                                         &session->dependency_capacity, sizeof *list);
    const char *copy = sgc_arena_string(&session->arena, path, strlen(path));
    if (list != NULL)
        session->dependencies = list;
    if (list == NULL || copy == NULL)
        return sgc_fail_memory(err, sizeof *list, "a transaction");
    sgc_dependency *made = &list[session->dependency_count++];
    *made = (sgc_dependency){.node = node->id, .path = copy};
    if (coordinates != NULL) {
        made->has_coordinates = true;
        made->dimension_count = node->dimension_count;
        memcpy(made->coordinates, coordinates, node->dimension_count * sizeof *coordinates);
    }
    return SGC_OK;
}

sgc_status sgc_session_depend_on(sgc_session *session, const char *path,
                                 const uint32_t *coordinates, sgc_error *err)
{
    pthread_mutex_lock(&session->mutex);
    const sgc_status status = depend_on(session, path, coordinates, err);
    pthread_mutex_unlock(&session->mutex);
    return status;
}
