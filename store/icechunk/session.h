/* A transaction on a branch (format guide 10–14).
 *
 * A session is pinned to the branch's tip at its start and collects changes in memory; chunk
 * objects are written beforehand with sgc_repository_write_chunk(). Commit publishes all changes at
 * once or none. A lost race is SGC_CONFLICT: start a new session on the new tip, look at what the
 * other side did, and put what is still wanted; the chunk objects can be used again.
 *
 * Functions that say so may be called from several threads for one session, at the same time as
 * each other; all others only while no other thread uses the session. */
#ifndef SGC_SESSION_H
#define SGC_SESSION_H

#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_session sgc_session;

/* Gives a session on `branch`; release with sgc_session_free(). Borrows `repository`. */
SGC_CHECKED sgc_status sgc_session_new(sgc_repository *repository, const char *branch,
                                       sgc_session **out, sgc_error *err);
void sgc_session_free(sgc_session *session);

/* The snapshot the session started from; borrows. */
sgc_snapshot *sgc_session_base(const sgc_session *session);

/* Creates the group or array at `path`, or replaces its zarr.json; copies. The parents must exist.
 * Shape, chunk shape and data type of an array must stay. */
SGC_CHECKED sgc_status sgc_session_put_group(sgc_session *session, const char *path,
                                             const void *json, size_t size, sgc_error *err);
SGC_CHECKED sgc_status sgc_session_put_array(sgc_session *session, const char *path,
                                             const void *json, size_t size, sgc_error *err);

/* Sets the chunk at `coordinates` (one per dimension, inside the array) of the array at `path`, new
 * or old; SGC_CHUNK_NONE removes it. Copies. The last call for a chunk wins. From several threads.
 */
SGC_CHECKED sgc_status sgc_session_set_chunk(sgc_session *session, const char *path,
                                             const uint32_t *coordinates, const sgc_chunk_ref *ref,
                                             sgc_error *err);

/* Publishes. `metadata` is a JSON object, or NULL. `id`, if not NULL, receives the new snapshot. An
 * empty transaction is SGC_INVALID. After it the session can only be freed. */
SGC_CHECKED sgc_status sgc_session_commit(sgc_session *session, const char *message,
                                          const char *metadata, sgc_object_id *id, sgc_error *err);

/* ---- the session's own view, from several threads ---- */

/* Borrows. */
sgc_repository *sgc_session_repository(const sgc_session *session);

/* Gives the node at `path` as it will be; what it points to is borrowed. */
SGC_CHECKED sgc_status sgc_session_get_node(sgc_session *session, const char *path, sgc_node *node,
                                            sgc_error *err);

/* Finds the chunk at `coordinates` of the array at `path`: the session's own, else that of the base
 * snapshot, as sgc_repository_find_chunk() does. */
SGC_CHECKED sgc_status sgc_session_find_chunk(sgc_session *session, const char *path,
                                              const uint32_t *coordinates, sgc_chunk_ref *ref,
                                              sgc_manifest **keep, sgc_error *err);

/* Locks the chunk (and some others) against other callers of this function, and gives what is to be
 * unlocked. A thread holds one lock at a time. */
size_t sgc_session_lock_chunk(sgc_session *session, const char *path, const uint32_t *coordinates,
                              size_t dimension_count);
void sgc_session_unlock_chunk(sgc_session *session, size_t lock);

SGC_END_C

#endif
