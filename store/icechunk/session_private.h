/* What the files about sessions share: session.c collects changes, commit.c publishes them,
 * rebase.c carries them over to a new tip. */
#ifndef SGC_SESSION_PRIVATE_H
#define SGC_SESSION_PRIVATE_H

#include <pthread.h>

#include "store/icechunk/chunk_map.h"
#include "store/icechunk/session.h"
#include "store/icechunk/split.h"

SGC_BEGIN_C

/* What this transaction does to the node at one path. */
typedef struct sgc_node_change {
    sgc_node node;       /* as it will be, if it exists then; the path is the session's */
    const sgc_node *old; /* in the base, or NULL; borrows */
    bool exists;         /* there is a node afterwards */
    bool replaces;       /* `old` is deleted, whatever comes in its place */
    bool has_new_json;
    bool is_reshaped;
    uint32_t kept[SGC_MAX_DIMENSIONS]; /* of the old chunks: those that no shape so far has dropped,
                                          as many along each dimension */
    sgc_chunk_map chunks;
    sgc_chunk_map written; /* manifests, by attempts to commit so far (split.h) */
} sgc_node_change;

typedef struct sgc_dependency {
    sgc_node_id node;
    const char *path;
    bool has_coordinates;
    size_t dimension_count;
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
} sgc_dependency;

enum { SGC_CHUNK_LOCKS = 64 };

struct sgc_session {
    sgc_repository *repository;
    char *branch;
    sgc_snapshot *base;
    pthread_mutex_t chunk_locks[SGC_CHUNK_LOCKS]; /* taken before the mutex */
    pthread_mutex_t mutex;                        /* guards the rest */
    sgc_arena arena;
    sgc_node_change *changes; /* by path */
    size_t change_count, change_capacity;
    sgc_dependency *dependencies;
    size_t dependency_count, dependency_capacity;
    bool is_committed;
    bool was_attempted; /* to publish `attempt`: perhaps with success, whatever the answer was */
    sgc_object_id attempt;
};

/* True for a chunk of the array. */
static inline bool sgc_node_contains(const sgc_node *array, const uint32_t *coordinates)
{
    for (size_t d = 0; d < array->dimension_count; d++)
        if (coordinates[d] >= array->dimensions[d].num_chunks)
            return false;
    return true;
}

static inline bool sgc_node_same_shape(const sgc_node *a, const sgc_node *b)
{
    for (size_t d = 0; d < a->dimension_count; d++)
        if (a->dimensions[d].array_length != b->dimensions[d].array_length)
            return false;
    return true;
}

/* Chunks of the base outside of `shape` are dropped. */
static inline void sgc_node_change_drop(sgc_node_change *change, const sgc_node *shape)
{
    for (size_t d = 0; d < shape->dimension_count; d++)
        if (change->kept[d] > shape->dimensions[d].num_chunks)
            change->kept[d] = shape->dimensions[d].num_chunks;
}

/* All chunks of the base are kept. */
static inline void sgc_node_change_keep(sgc_node_change *change, const sgc_node *old)
{
    for (size_t d = 0; d < old->dimension_count; d++)
        change->kept[d] = old->dimensions[d].num_chunks;
}

/* True for a node that the base does not have. */
static inline bool sgc_node_change_is_new(const sgc_node_change *change)
{
    return change->exists && (change->old == NULL || change->replaces);
}

/* True for a path where a node of the base is deleted and none made. One where a node was made and
 * deleted again, or could not be made, has a change too, which says nothing. */
static inline bool sgc_node_change_is_deletion(const sgc_node_change *change)
{
    return !change->exists && change->replaces;
}

/* The change of `path`, or NULL. */
sgc_node_change *sgc_session_find_change(const sgc_session *session, const char *path);

/* SGC_INVALID when it was committed. */
SGC_CHECKED sgc_status sgc_session_check_open(const sgc_session *session, sgc_error *err);

/* True when the chunks of two arrays mean the same: dimensions, chunk shape, data type and
 * codecs. False
 * also where that cannot be told. */
bool sgc_node_same_layout(const sgc_node *a, const sgc_node *b);

/* Makes `made` of `node` and the zarr.json `json`, which is copied. The layout must stay. */
SGC_CHECKED sgc_status sgc_session_renew_node(sgc_session *session, const sgc_node *node,
                                              sgc_span json, sgc_node *made, sgc_error *err);

/* Checks and copies the reference of a chunk of the array at `path`. */
SGC_CHECKED sgc_status sgc_session_copy_chunk(sgc_session *session, const char *path,
                                              const sgc_chunk_ref *ref, sgc_chunk_ref *copy,
                                              sgc_error *err);

SGC_END_C

#endif
