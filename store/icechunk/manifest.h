/* Manifest files (format guide 11): where the chunks of a window of an array are. */
#ifndef SGC_MANIFEST_H
#define SGC_MANIFEST_H

#include "store/icechunk/codec.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

/* A loaded manifest: immutable, shared by counting, usable from any thread. */
typedef struct sgc_manifest sgc_manifest;

void sgc_manifest_unref(sgc_manifest *manifest);
/* What the file says; borrows. */
const sgc_manifest_data *sgc_manifest_get(const sgc_manifest *manifest);
/* The part about the array `node`, or NULL; borrows. */
const sgc_array_manifest *sgc_manifest_find_array(const sgc_manifest *manifest,
                                                  const sgc_node_id *node);
/* The reference of the chunk at `coordinates`, or NULL; borrows. */
const sgc_chunk_ref *sgc_manifest_find_ref(const sgc_array_manifest *array,
                                           const uint32_t *coordinates);

/* Loaded manifests of one store, kept within `max_bytes`, the longest unused go first. Thread-safe.
 */
typedef struct sgc_manifest_cache sgc_manifest_cache;

SGC_CHECKED sgc_status sgc_manifest_cache_new(sgc_object_store *store, size_t max_bytes,
                                              sgc_manifest_cache **out, sgc_error *err);
void sgc_manifest_cache_free(sgc_manifest_cache *cache);

/* Gives (release with sgc_manifest_unref()) the manifest described by `file`. */
SGC_CHECKED sgc_status sgc_manifest_cache_get(sgc_manifest_cache *cache,
                                              const sgc_manifest_file *file, sgc_manifest **out,
                                              sgc_error *err);

/* Writes the file of `data` under a fresh id, which it sets, and describes it. */
SGC_CHECKED sgc_status sgc_manifest_store(sgc_object_store *store, sgc_manifest_data *data,
                                          sgc_manifest_file *file, sgc_error *err);

SGC_END_C

#endif
