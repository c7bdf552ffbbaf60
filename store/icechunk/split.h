/* The references of one array, divided into manifests (format guide 12).
 *
 * Only the windows with changed chunks are read and written; manifests inside other windows are
 * kept as they are. A manifest that crosses windows (from a writer without our rules) is divided
 * when its array is touched. The `extra` fields of a manifest stay with the chunks it described; a
 * window to which several manifests contribute takes those of one of them. */
#ifndef SGC_SPLIT_H
#define SGC_SPLIT_H

#include "store/icechunk/chunk_map.h"
#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_split_entry {
    uint64_t window;
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    bool is_change; /* wins over what is stored */
    sgc_chunk_ref ref;
    const sgc_manifest *source; /* where the chunk was stored; NULL: nowhere */
} sgc_split_entry;

typedef struct sgc_split {
    sgc_repository *repository;
    const sgc_node *node;
    const uint32_t *kept;
    sgc_chunk_map *written;
    uint32_t window_length[SGC_MAX_DIMENSIONS]; /* chunks */
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

/* Borrows its arguments. Stored references are taken over below kept[d] in each dimension.
 * `written` holds the manifests that attempts to commit this array have written, perhaps in vain,
 * by the coordinates of their first reference: the `id` there is the manifest's, `length` its bytes
 * and `offset` the number of its references. They are used again where they would be the same, and
 * what is written is added. Release with sgc_split_free(), also after a failure. */
SGC_CHECKED sgc_status sgc_split_init(sgc_split *split, sgc_repository *repository,
                                      const sgc_node *node, const uint32_t *kept,
                                      sgc_chunk_map *written, sgc_error *err);
void sgc_split_free(sgc_split *split);

/* At most once for each chunk. Borrows what `ref` borrows. */
SGC_CHECKED sgc_status sgc_split_change(sgc_split *split, const uint32_t *coordinates,
                                        const sgc_chunk_ref *ref, sgc_error *err);

/* Writes the manifests of the windows with changes, and of those of which not all is kept. */
SGC_CHECKED sgc_status sgc_split_write(sgc_split *split, const sgc_snapshot_data *base,
                                       sgc_arena *arena, sgc_error *err);

SGC_END_C

#endif
