/* Icechunk repositories, spec 1 (format guide 2, 7, 9, 19).
 *
 * A repository is opened over an object store and shared by any number of threads. Reading pins a
 * snapshot, which never changes; writing goes through a session (session.h). */
#ifndef SGC_REPOSITORY_H
#define SGC_REPOSITORY_H

#include "store/icechunk/config.h"
#include "store/icechunk/manifest.h"
#include "store/icechunk/refs.h"
#include "store/icechunk/snapshot.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_repository sgc_repository;

typedef struct sgc_repository_options {
    const sgc_split_rule *split_rules; /* copied; names of letters, digits and '_' */
    size_t split_rule_count;
} sgc_repository_options;

/* SGC_NOT_FOUND when `store` holds no repository, SGC_UNSUPPORTED when it holds one of spec 2.
 * Takes `store` on success. `options` may be NULL. */
SGC_CHECKED sgc_status sgc_repository_open(sgc_object_store *store,
                                           const sgc_repository_options *options,
                                           sgc_repository **out, sgc_error *err);

/* Writes the initial snapshot, branch "main" and the rules, and opens the result. SGC_EXISTS when
 * somebody else was first: open theirs. Takes `store` on success. */
SGC_CHECKED sgc_status sgc_repository_create(sgc_object_store *store,
                                             const sgc_repository_options *options,
                                             sgc_repository **out, sgc_error *err);
/* SGC_UNSUPPORTED when `store` holds a repository of spec 2, perhaps since a migration a moment
 * ago. */
SGC_CHECKED sgc_status sgc_repository_check_version(sgc_object_store *store, sgc_error *err);
void sgc_repository_free(sgc_repository *repository);

/* Replaces the rules; copies. To be called before other threads know the repository. */
SGC_CHECKED sgc_status sgc_repository_set_split_rules(sgc_repository *repository,
                                                      const sgc_split_rule *rules, size_t count,
                                                      sgc_error *err);

sgc_object_store *sgc_repository_store(const sgc_repository *repository);
/* The window length for dimension `name`, or UINT32_MAX. */
uint32_t sgc_repository_split(const sgc_repository *repository, const char *name);

/* The snapshot that a branch or tag names. */
SGC_CHECKED sgc_status sgc_repository_resolve(sgc_repository *repository, sgc_ref_kind kind,
                                              const char *name, sgc_object_id *id, sgc_error *err);

/* Gives a snapshot; release with sgc_snapshot_unref(). */
SGC_CHECKED sgc_status sgc_repository_snapshot(sgc_repository *repository, const sgc_object_id *id,
                                               sgc_snapshot **out, sgc_error *err);

/* Gives the manifest a node of `snapshot` refers to. */
SGC_CHECKED sgc_status sgc_repository_manifest(sgc_repository *repository,
                                               const sgc_snapshot_data *snapshot,
                                               const sgc_object_id *id, sgc_manifest **out,
                                               sgc_error *err);

/* Finds the chunk of `node` at `coordinates`: ref->kind is SGC_CHUNK_NONE when it is not stored.
 * When *keep becomes non-NULL, `ref` borrows from it; release it with sgc_manifest_unref(). */
SGC_CHECKED sgc_status sgc_repository_find_chunk(sgc_repository *repository,
                                                 const sgc_snapshot_data *snapshot,
                                                 const sgc_node *node, const uint32_t *coordinates,
                                                 sgc_chunk_ref *ref, sgc_manifest **keep,
                                                 sgc_error *err);

/* Reads bytes [offset, offset + length) of the encoded chunk `ref`, which is inline or native. */
SGC_CHECKED sgc_status sgc_repository_read_chunk(sgc_repository *repository,
                                                 const sgc_chunk_ref *ref, uint64_t offset,
                                                 uint64_t length, sgc_object *out, sgc_error *err);

/* Writes a new chunk object and describes it; sizes up to 512 become inline references, which
 * borrow `data`. Size 0 is SGC_INVALID. */
SGC_CHECKED sgc_status sgc_repository_write_chunk(sgc_repository *repository, const void *data,
                                                  size_t size, sgc_chunk_ref *ref, sgc_error *err);

SGC_END_C

#endif
