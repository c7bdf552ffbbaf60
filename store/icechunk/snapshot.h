/* Snapshot files (format guide 10): the tree of nodes at one commit. */
#ifndef SGC_SNAPSHOT_H
#define SGC_SNAPSHOT_H

#include "store/icechunk/codec.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

/* A loaded snapshot: immutable, shared by counting, usable from any thread. */
typedef struct sgc_snapshot sgc_snapshot;

/* Gives the snapshot `id`; release with sgc_snapshot_unref(). */
SGC_CHECKED sgc_status sgc_snapshot_load(sgc_object_store *store, const sgc_object_id *id,
                                         sgc_snapshot **out, sgc_error *err);
sgc_snapshot *sgc_snapshot_ref(sgc_snapshot *snapshot);
void sgc_snapshot_unref(sgc_snapshot *snapshot);

/* What the file says; borrows. */
const sgc_snapshot_data *sgc_snapshot_get(const sgc_snapshot *snapshot);
/* The node at `path`, or NULL; borrows. */
const sgc_node *sgc_snapshot_find(const sgc_snapshot *snapshot, const char *path);
/* The stored size of the manifest `id`, or NULL if the snapshot does not list it; borrows. */
const sgc_manifest_file *sgc_snapshot_find_manifest(const sgc_snapshot_data *snapshot,
                                                    const sgc_object_id *id);

/* Writes the file of `data`; sgc_snapshot_store_new() only where there is none, else SGC_EXISTS. */
SGC_CHECKED sgc_status sgc_snapshot_store(sgc_object_store *store, const sgc_snapshot_data *data,
                                          sgc_error *err);
SGC_CHECKED sgc_status sgc_snapshot_store_new(sgc_object_store *store,
                                              const sgc_snapshot_data *data, sgc_error *err);

SGC_END_C

#endif
