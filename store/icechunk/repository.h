/* Icechunk repositories of spec 1 and 2 (format guide 2, 7, 8, 9, 19).
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
    /* Copied. A new repository stores them for all its writers; in an old one its own rules win. */
    const sgc_split_rule *split_rules;
    size_t split_rule_count;
    int spec_version; /* of a new repository: 1 or 2; 0 means 1 */
} sgc_repository_options;

/* Opens what is there, of either version. SGC_NOT_FOUND when `store` holds no repository. Takes
 * `store` on success. `options` may be NULL. */
SGC_CHECKED sgc_status sgc_repository_open(sgc_object_store *store,
                                           const sgc_repository_options *options,
                                           sgc_repository **out, sgc_error *err);

/* Writes the initial snapshot, branch "main" and the rules, and opens the result. SGC_EXISTS when
 * somebody else was first: open theirs. Takes `store` on success. */
SGC_CHECKED sgc_status sgc_repository_create(sgc_object_store *store,
                                             const sgc_repository_options *options,
                                             sgc_repository **out, sgc_error *err);
/* SGC_INVALID, naming an object, unless `store` holds nothing but what an interrupted creation has
 * left: whatever else is there belongs to somebody, perhaps to a repository that has lost its
 * branches. Creation checks it too. */
SGC_CHECKED sgc_status sgc_repository_check_unused(sgc_object_store *store, sgc_error *err);
void sgc_repository_free(sgc_repository *repository);

/* Replaces the rules of the options; copies. To be called before other threads know the repository.
 */
SGC_CHECKED sgc_status sgc_repository_set_split_rules(sgc_repository *repository,
                                                      const sgc_split_rule *rules, size_t count,
                                                      sgc_error *err);

/* A number for the place, the same for all handles on it. */
uint64_t sgc_repository_place(const sgc_repository *repository);
/* 1 or 2. */
int sgc_repository_spec_version(const sgc_repository *repository);
/* Borrows. */
sgc_object_store *sgc_repository_store(const sgc_repository *repository);
/* The window lengths, in chunks, for the dimensions of an array; UINT32_MAX where it is not
 * divided. */
void sgc_repository_split(const sgc_repository *repository, const sgc_node *array,
                          uint32_t lengths[SGC_MAX_DIMENSIONS]);

/* ---- branches and tags ---- */

/* The snapshot that a branch or tag names; SGC_NOT_FOUND if there is none. */
SGC_CHECKED sgc_status sgc_repository_resolve(sgc_repository *repository, sgc_ref_kind kind,
                                              const char *name, sgc_object_id *id, sgc_error *err);

typedef struct sgc_ref {
    const char *name;
    sgc_object_id snapshot; /* not of deleted tags */
} sgc_ref;

typedef struct sgc_ref_names {
    size_t branch_count, tag_count, deleted_tag_count;
    const sgc_ref *branches, *tags, *deleted_tags; /* by name */
    sgc_arena arena;
} sgc_ref_names;

/* Lists all of them; release with sgc_ref_names_clear(). */
SGC_CHECKED sgc_status sgc_repository_list_refs(sgc_repository *repository, sgc_ref_names *out,
                                                sgc_error *err);
void sgc_ref_names_clear(sgc_ref_names *names);

/* Makes a branch or tag at an existing snapshot. SGC_EXISTS if there is one, or was a tag;
 * SGC_INVALID for other names than those of letters, digits, '.', '_' and '-'. */
SGC_CHECKED sgc_status sgc_repository_create_ref(sgc_repository *repository, sgc_ref_kind kind,
                                                 const char *name, const sgc_object_id *snapshot,
                                                 sgc_error *err);

/* SGC_NOT_FOUND if there is none. Branch "main" stays: SGC_INVALID. */
SGC_CHECKED sgc_status sgc_repository_delete_ref(sgc_repository *repository, sgc_ref_kind kind,
                                                 const char *name, sgc_error *err);

/* Moves a branch from `from` to any existing snapshot. SGC_CONFLICT if it is not at `from`. */
SGC_CHECKED sgc_status sgc_repository_reset_branch(sgc_repository *repository, const char *name,
                                                   const sgc_object_id *from,
                                                   const sgc_object_id *to, sgc_error *err);

/* ---- snapshots ---- */

/* Gives a snapshot; release with sgc_snapshot_unref(). */
SGC_CHECKED sgc_status sgc_repository_snapshot(sgc_repository *repository, const sgc_object_id *id,
                                               sgc_snapshot **out, sgc_error *err);

/* What the history says of a snapshot; borrows from the walk. */
typedef struct sgc_commit_info {
    sgc_object_id id;
    bool has_parent;
    sgc_object_id parent;
    uint64_t time; /* microseconds since 1970 */
    const char *message;
    size_t metadata_count;
    const sgc_metadata_item *metadata;
    int metadata_version;    /* 1: values are MessagePack, 2: FlexBuffers */
    size_t pruned_log_count; /* transaction logs of ancestors that were expired, oldest first */
    const sgc_object_id *pruned_logs;
} sgc_commit_info;

/* Called for each snapshot of a walk; clears *more to end it. */
typedef sgc_status (*sgc_commit_fn)(void *user, const sgc_commit_info *commit, bool *more,
                                    sgc_error *err);

/* Walks from the snapshot `from` to the root. */
SGC_CHECKED sgc_status sgc_repository_history(sgc_repository *repository, const sgc_object_id *from,
                                              sgc_commit_fn fn, void *user, sgc_error *err);

/* Appends the metadata of a commit as a JSON object. */
SGC_CHECKED sgc_status sgc_commit_print_metadata(const sgc_commit_info *commit, sgc_buffer *out,
                                                 sgc_error *err);

/* The newest snapshot among `from` and its ancestors that is not younger than `time`, microseconds
 * since 1970; SGC_NOT_FOUND when all are. */
SGC_CHECKED sgc_status sgc_repository_as_of(sgc_repository *repository, const sgc_object_id *from,
                                            uint64_t time, sgc_object_id *id, sgc_error *err);

/* ---- manifests and chunks ---- */

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

/* Reads bytes [offset, offset + length) of the encoded chunk `ref`. SGC_UNSUPPORTED, with the
 * location, for a virtual one. */
SGC_CHECKED sgc_status sgc_repository_read_chunk(sgc_repository *repository,
                                                 const sgc_chunk_ref *ref, uint64_t offset,
                                                 uint64_t length, sgc_object *out, sgc_error *err);

/* Writes a new chunk object and describes it; small ones (up to 512 bytes, if the repository's
 * configuration does not say otherwise) become inline references, which borrow `data`. Size 0 is
 * SGC_INVALID. */
SGC_CHECKED sgc_status sgc_repository_write_chunk(sgc_repository *repository, const void *data,
                                                  size_t size, sgc_chunk_ref *ref, sgc_error *err);

/* ---- committing ---- */

/* Writers that begin here, and end there, commit one after the other, so that none has to begin
 * anew: threads of this handle and, where the location can lock, all processes. Only politeness:
 * nothing is wrong without it, and after a while a writer goes on whatever the others do. */
void sgc_repository_queue_begin(sgc_repository *repository);
void sgc_repository_queue_end(sgc_repository *repository);

/* Moves `branch` from the snapshot `parent` to `snapshot`, whose files are stored. SGC_CONFLICT if
 * the branch is not at `parent`. */
SGC_CHECKED sgc_status sgc_repository_publish(sgc_repository *repository, const char *branch,
                                              const sgc_object_id *parent,
                                              const sgc_snapshot_data *snapshot, sgc_error *err);

SGC_END_C

#endif
