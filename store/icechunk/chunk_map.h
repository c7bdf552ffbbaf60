/* The changed chunks of one array: coordinates -> reference, in the order of the first change. */
#ifndef SGC_CHUNK_MAP_H
#define SGC_CHUNK_MAP_H

#include "store/icechunk/codec.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_chunk_change {
    uint32_t coordinates[SGC_MAX_DIMENSIONS]; /* unused ones are 0 */
    sgc_chunk_ref ref;                        /* SGC_CHUNK_NONE: removed */
    bool is_dropped;                          /* by sgc_chunk_map_filter()'s caller */
} sgc_chunk_change;

/* Zero-initialise; release with sgc_chunk_map_free(). */
typedef struct sgc_chunk_map {
    sgc_chunk_change *items;
    size_t count, capacity;
    size_t *slots; /* a hash table of positions + 1 */
    size_t slot_count;
} sgc_chunk_map;

void sgc_chunk_map_free(sgc_chunk_map *map);

/* The change of the chunk at `coordinates`, which are one per dimension, or NULL; borrows until the
 * next change of the map. */
sgc_chunk_change *sgc_chunk_map_find(const sgc_chunk_map *map, const uint32_t *coordinates,
                                     size_t dimension_count);

/* Sets it; borrows what `ref` borrows. */
SGC_CHECKED sgc_status sgc_chunk_map_put(sgc_chunk_map *map, const uint32_t *coordinates,
                                         size_t dimension_count, const sgc_chunk_ref *ref,
                                         sgc_error *err);

/* Forgets all changes for which `keep` is false. */
void sgc_chunk_map_filter(sgc_chunk_map *map,
                          bool (*keep)(const void *user, const sgc_chunk_change *change),
                          const void *user);

SGC_END_C

#endif
