/* What keeps a repository small and sound: expiration, garbage collection, verification, and copies
 * of a snapshot (format guide 18). Each may run while others read and commit. */
#ifndef SGC_MAINTENANCE_H
#define SGC_MAINTENANCE_H

#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

/* ---- expiration ---- */

typedef struct sgc_expire_options {
    uint64_t older_than; /* microseconds since 1970: what is older expires */
    /* Whose tip expires. "main" stays, and in version 2 whatever shares its tip with a reference
     * that stays. */
    bool delete_branches, delete_tags;
    /* Members of commit metadata that the oldest commit that is kept inherits from those that
     * expire below it: lists are joined, the oldest first, and numbers added. */
    const char *const *inherited;
    size_t inherited_count;
    bool dry_run; /* only count */
} sgc_expire_options;

typedef struct sgc_expire_result {
    /* Version 1: that some branch or tag that stays does not see any more. Version 2: that are not
     * listed any more. */
    size_t snapshots;
    size_t branches, tags;
} sgc_expire_result;

/* Takes the snapshots that are older than a time out of the history of all branches and tags,
 * except for their tips and the root. No object is removed: that is for
 * sgc_repository_collect_garbage(). Where tags may not be deleted, wanting that is SGC_INVALID. */
SGC_CHECKED sgc_status sgc_repository_expire(sgc_repository *repository,
                                             const sgc_expire_options *options,
                                             sgc_expire_result *result, sgc_error *err);

/* ---- garbage collection ---- */

typedef struct sgc_garbage_options {
    /* Microseconds since 1970: younger objects are never touched, for they may belong to a
     * transaction that has not been committed. It must lie further back than any may last, and the
     * clock of a disk may lag some milliseconds. */
    uint64_t older_than;
    bool dry_run; /* only count */
} sgc_garbage_options;

typedef struct sgc_garbage_result {
    size_t snapshots, transaction_logs, manifests, chunks;
    size_t leftovers; /* of interrupted puts, older than a day */
    uint64_t bytes;   /* of all these */
} sgc_garbage_result;

/* Removes the objects that no branch and no tag needs; in version 2 snapshots that are listed are
 * needed, too, while they or their files are young. When anything they need cannot be read, it
 * removes nothing. SGC_INVALID and SGC_UNSUPPORTED where a repository may only be read, except for
 * a dry run; SGC_CONFLICT when others do not stop changing it. In version 1 nothing
 * protects an old snapshot without a name that gets one in the moment before it is removed. */
SGC_CHECKED sgc_status sgc_repository_collect_garbage(sgc_repository *repository,
                                                      const sgc_garbage_options *options,
                                                      sgc_garbage_result *result, sgc_error *err);

/* ---- verification ---- */

/* Called for each defect, with the key of the object concerned (of a damaged branch or tag: its
 * name) and a sentence. */
typedef void (*sgc_defect_fn)(void *user, const char *key, const char *message);

typedef struct sgc_verify_options {
    bool decode_chunks; /* read and decode every chunk too, not only look for its object */
    sgc_defect_fn fn;
    void *user;
} sgc_verify_options;

typedef struct sgc_verify_result {
    size_t snapshots, manifests, chunks; /* looked at, each once */
    size_t virtual_chunks;               /* not looked at */
    size_t defects;
} sgc_verify_result;

/* Checks everything that branches and tags need: that it is there and decodes, that sizes, extents,
 * counts, orders and times are as the format demands. All defects are reported; only what keeps
 * from looking further, like a server that does not answer, is a failure. */
SGC_CHECKED sgc_status sgc_repository_verify(sgc_repository *repository,
                                             const sgc_verify_options *options,
                                             sgc_verify_result *result, sgc_error *err);

/* ---- copies ---- */

typedef struct sgc_copy_result {
    size_t objects; /* copied; the others were there already */
    uint64_t bytes;
} sgc_copy_result;

/* Makes a repository of the same version in `to`, which holds none, with the snapshot `id` as the
 * tip of branch "main", behind it only the root. The branch comes last; after a failure the call
 * can be repeated and goes on where it was. Up to `threads` objects are copied at once. */
SGC_CHECKED sgc_status sgc_repository_copy(sgc_repository *repository, const sgc_object_id *id,
                                           sgc_object_store *to, unsigned threads,
                                           sgc_copy_result *result, sgc_error *err);

SGC_END_C

#endif
