/* What branches and tags need. */
#ifndef SGC_REACHABLE_H
#define SGC_REACHABLE_H

#include "store/icechunk/id_set.h"
#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

/* Zero-initialise; release with sgc_reachable_free(). */
typedef struct sgc_reachable {
    sgc_id_set snapshots, transaction_logs, manifests, chunks;
} sgc_reachable;

void sgc_reachable_free(sgc_reachable *reachable);

/* Adds the snapshots from `from` to the root, and the ids of their logs. */
SGC_CHECKED sgc_status sgc_reachable_add_history(sgc_reachable *reachable,
                                                 sgc_repository *repository,
                                                 const sgc_object_id *from, sgc_error *err);

/* Adds the manifests of the snapshot `id`, which are read, and the native chunks in them. */
SGC_CHECKED sgc_status sgc_reachable_add_content(sgc_reachable *reachable,
                                                 sgc_repository *repository,
                                                 const sgc_object_id *id, sgc_error *err);

SGC_END_C

#endif
