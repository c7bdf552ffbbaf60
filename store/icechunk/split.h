/* The references of one array, divided into manifests (format guide 12).
 *
 * Only the windows with changed chunks are read and written; manifests inside other windows are
 * kept as they are. A manifest that crosses windows (from a writer without our rules) is divided
 * when its array is touched. */
#ifndef SGC_SPLIT_H
#define SGC_SPLIT_H

#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_split_entry {
    uint64_t window;
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    bool is_change; /* wins over what is stored */
    size_t order;   /* of changes: the last one wins */
    sgc_chunk_ref ref;
} sgc_split_entry;

typedef struct sgc_split {
    sgc_repository *repository;
    const sgc_node *node;
    uint64_t window_length[SGC_MAX_DIMENSIONS]; /* chunks */
    uint64_t window_count[SGC_MAX_DIMENSIONS];
    sgc_split_entry *entries;
    size_t count, capacity;
    sgc_manifest **loaded; /* what entries borrow from */
    size_t loaded_count;
    /* The result, in the arena of sgc_split_write(). */
    sgc_manifest_ref *manifests;
    size_t manifest_count;
    sgc_manifest_file *files; /* new ones */
    size_t file_count;
} sgc_split;

/* Borrows both arguments. Release with sgc_split_free(). */
void sgc_split_init(sgc_split *split, sgc_repository *repository, const sgc_node *node);
void sgc_split_free(sgc_split *split);

/* Borrows what `ref` borrows. */
SGC_CHECKED sgc_status sgc_split_change(sgc_split *split, const uint32_t *coordinates,
                                        const sgc_chunk_ref *ref, sgc_error *err);

/* Writes the manifests of the windows with changes. */
SGC_CHECKED sgc_status sgc_split_write(sgc_split *split, const sgc_snapshot_data *base,
                                       sgc_arena *arena, sgc_error *err);

SGC_END_C

#endif
