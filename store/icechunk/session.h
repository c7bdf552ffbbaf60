/* A transaction on a branch (format guide 10–15).
 *
 * A session is pinned to the branch's tip at its start and collects changes in memory; chunk
 * objects are written beforehand. Commit publishes all changes at once or none. When somebody else
 * was faster, sgc_session_commit() says SGC_CONFLICT, and sgc_session_commit_rebased() carries the
 * changes over to the new tip, if they do not contradict. Chunk objects, and manifests that would
 * be the same again, are used again.
 *
 * Several threads may put groups, arrays and chunks into one session, so that one commit publishes
 * what all of them have done; only one may commit, rebase or free it, when the others are done. A
 * forked child must not use its parent's sessions. */
#ifndef SGC_SESSION_H
#define SGC_SESSION_H

#include "store/icechunk/repository.h"
#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_session sgc_session;

/* Gives a session on `branch`; release with sgc_session_free(). Borrows `repository`. */
SGC_CHECKED sgc_status sgc_session_new(sgc_repository *repository, const char *branch,
                                       sgc_session **out, sgc_error *err);
void sgc_session_free(sgc_session *session);

/* Forgets all changes and goes to the branch's tip. */
SGC_CHECKED sgc_status sgc_session_restart(sgc_session *session, sgc_error *err);

/* Borrows. */
sgc_repository *sgc_session_repository(const sgc_session *session);
/* The snapshot that the changes are relative to: of the session's start, or of its last rebase;
 * borrows until the next of them. */
sgc_snapshot *sgc_session_base(const sgc_session *session);

/* ---- changes ---- */

/* Creates the group or array at `path`, or replaces its zarr.json; copies. The parents must exist.
 * The shape of an array may change, chunks outside are dropped; the number of its dimensions, its
 * chunk shape, data type, codecs and fill value must stay: delete it first. */
SGC_CHECKED sgc_status sgc_session_put_group(sgc_session *session, const char *path,
                                             const void *json, size_t size, sgc_error *err);
SGC_CHECKED sgc_status sgc_session_put_array(sgc_session *session, const char *path,
                                             const void *json, size_t size, sgc_error *err);

/* Deletes the node at `path`, which is not the root, and all below it. */
SGC_CHECKED sgc_status sgc_session_delete(sgc_session *session, const char *path, sgc_error *err);

/* Sets the chunk at `coordinates` (one per dimension, inside the array) of the array at `path`, new
 * or old; SGC_CHUNK_NONE removes it. Copies. The last call for a chunk wins. */
SGC_CHECKED sgc_status sgc_session_set_chunk(sgc_session *session, const char *path,
                                             const uint32_t *coordinates, const sgc_chunk_ref *ref,
                                             sgc_error *err);

/* ---- what the tree would be ---- */

/* Gives the node at `path` as it would be committed, but for its manifests; what it points to is
 * borrowed until the session is restarted, rebased or freed. */
SGC_CHECKED sgc_status sgc_session_get_node(sgc_session *session, const char *path, sgc_node *node,
                                            sgc_error *err);

/* Finds the chunk as it would be committed, like sgc_repository_find_chunk(); an inline reference
 * without *keep borrows from the session. */
SGC_CHECKED sgc_status sgc_session_find_chunk(sgc_session *session, const char *path,
                                              const uint32_t *coordinates, sgc_chunk_ref *ref,
                                              sgc_manifest **keep, sgc_error *err);

/* Excludes others who lock the same chunk, so that a part of it can be read, changed and set. No
 * thread locks two. Gives what sgc_session_unlock_chunk() takes. */
size_t sgc_session_lock_chunk(sgc_session *session, const char *path, const uint32_t *coordinates,
                              size_t dimension_count);
void sgc_session_unlock_chunk(sgc_session *session, size_t lock);

/* ---- what the changes depend on ---- */

/* A rebase shall fail if others have changed the zarr.json of the existing node at `path`, deleted
 * it, or, with coordinates, changed that chunk: because the changes follow from what was read
 * there.
 */
SGC_CHECKED sgc_status sgc_session_depend_on(sgc_session *session, const char *path,
                                             const uint32_t *coordinates, sgc_error *err);

/* ---- committing ---- */

/* Publishes, if the branch is still at the base; else SGC_CONFLICT. `metadata` is a JSON object, or
 * NULL. `id`, if not NULL, receives the new snapshot. An empty transaction is SGC_INVALID, and so
 * is one that was committed: after success the session can only be restarted or freed. */
SGC_CHECKED sgc_status sgc_session_commit(sgc_session *session, const char *message,
                                          const char *metadata, sgc_object_id *id, sgc_error *err);

/* What others have done that our changes contradict (format guide 15; the last five are ours). */
typedef enum sgc_conflict_kind {
    SGC_MOVED_NODES,
    SGC_NEW_NODE_EXISTS,
    SGC_NEW_NODE_WITHOUT_GROUP, /* its parent was deleted, or is an array */
    SGC_JSON_DOUBLE_UPDATE,
    SGC_JSON_UPDATE_OF_DELETED,
    SGC_CHUNKS_OF_DELETED_ARRAY,
    SGC_CHUNKS_OF_UPDATED_ARRAY, /* of its zarr.json; ours that have no place in it are dropped */
    SGC_CHUNK_DOUBLE_UPDATE,
    SGC_DELETE_OF_UPDATED, /* zarr.json or chunks */
    SGC_DELETE_OF_GROUP_WITH_NEW_NODES,
    SGC_RESHAPE_OF_UPDATED_ARRAY, /* its chunks; also by a decision for ours or merged */
    SGC_DEPENDENCY_CHANGED,
} sgc_conflict_kind;

typedef struct sgc_conflict {
    sgc_conflict_kind kind;
    const char *path;
    bool is_array;
    /* SGC_CHUNK_DOUBLE_UPDATE: */
    size_t dimension_count;
    const uint32_t *coordinates;
    const sgc_chunk_ref *our_chunk, *their_chunk;
    /* SGC_JSON_DOUBLE_UPDATE: */
    sgc_span our_json, their_json, base_json;
    sgc_snapshot *theirs; /* the tip that our changes shall go upon */
} sgc_conflict;

typedef enum sgc_resolution {
    SGC_UNRESOLVED,
    SGC_OURS,
    SGC_THEIRS, /* our change is dropped */
    SGC_MERGED, /* what the callback gives is put instead of ours */
} sgc_resolution;

typedef struct sgc_merged {
    sgc_resolution resolution;
    sgc_buffer json;     /* SGC_JSON_DOUBLE_UPDATE: takes */
    sgc_chunk_ref chunk; /* SGC_CHUNK_DOUBLE_UPDATE: copied */
} sgc_merged;

/* Decides a conflict of these kinds, or leaves it: SGC_JSON_DOUBLE_UPDATE, SGC_CHUNK_DOUBLE_UPDATE,
 * SGC_CHUNKS_OF_UPDATED_ARRAY and SGC_DELETE_OF_UPDATED (ours or unresolved). It is not asked about
 * others, which are final; nor where others have changed the dimensions, chunk shape or data type
 * of an array. It may read the repository, not change the session, and commit nothing there: it is
 * called while the writers' queue is held. Called again, with the same or other conflicts, when
 * somebody is faster meanwhile. */
typedef sgc_status (*sgc_merge_fn)(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                                   sgc_error *err);

typedef struct sgc_merge {
    sgc_merge_fn decide;
    void *user;
} sgc_merge;

/* Carries the changes over to the branch's tip. SGC_CONFLICT when they contradict what others have
 * committed since the base, or when the branch was reset. After any failure the session is as it
 * was. `merge` may be NULL. When a commit that failed, its answer lost, turns out to have been
 * published, the session counts as committed. */
SGC_CHECKED sgc_status sgc_session_rebase(sgc_session *session, const sgc_merge *merge,
                                          sgc_error *err);

/* Commits as sgc_session_commit() does, rebasing as often as somebody else is faster. Where others
 * have done all there was to do, `id` receives their snapshot. After a failure whose outcome nobody
 * knows, like SGC_NETWORK or SGC_IO, it can be called again: nothing is committed twice. */
SGC_CHECKED sgc_status sgc_session_commit_rebased(sgc_session *session, const char *message,
                                                  const char *metadata, const sgc_merge *merge,
                                                  sgc_object_id *id, sgc_error *err);

SGC_END_C

#endif
