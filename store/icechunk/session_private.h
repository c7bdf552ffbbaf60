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
    /* Of reshaped arrays: stored chunks from here on are gone, though the array may have grown
     * again since. */
    uint32_t kept[SGC_MAX_DIMENSIONS];
    sgc_chunk_map chunks;
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
    sgc_written_manifests written; /* by attempts to commit so far */
};

/* True for a chunk of the array. */
static inline bool sgc_node_contains(const sgc_node *array, const uint32_t *coordinates)
{
    for (size_t d = 0; d < array->dimension_count; d++)
        if (coordinates[d] >= array->dimensions[d].num_chunks)
            return false;
    return true;
}

/* True for a node that the base does not have. */
static inline bool sgc_node_change_is_new(const sgc_node_change *change)
{
    return change->exists && (change->old == NULL || change->replaces);
}

/* The change of `path`, or NULL. */
sgc_node_change *sgc_session_find_change(const sgc_session *session, const char *path);

SGC_END_C

#endif
