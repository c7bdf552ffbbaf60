/* Decoded blocks of chunks, process-wide, shared by all repositories.
 *
 * Chunk objects never change and their ids are unique, so an entry is never stale. The longest
 * unused entries go first. Thread-safe. */
#ifndef SGC_BLOCK_CACHE_H
#define SGC_BLOCK_CACHE_H

#include "store/icechunk/object_id.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_block_key {
    uint64_t place; /* of the repository: a copy of it may have other bytes under the same id */
    sgc_object_id chunk;
    uint32_t index;  /* of the block in the chunk */
    uint32_t form;   /* how the chunk was decoded; 0 where there is but one way */
    uint64_t offset; /* of the chunk in its object */
} sgc_block_key;

/* Bytes, immutable once they are in the cache, shared by counting. */
typedef struct sgc_block {
    size_t size;
    size_t references;   /* guarded by the cache */
    unsigned char *data; /* stands behind this struct */
} sgc_block;

/* Gives a block to be filled, or NULL without memory; release with sgc_block_unref(). */
sgc_block *sgc_block_new(size_t size);
void sgc_block_unref(sgc_block *block);

/* Gives the block, or NULL. */
sgc_block *sgc_block_cache_get(const sgc_block_key *key);
/* Keeps another reference to `block`, if there is room for it. */
void sgc_block_cache_put(const sgc_block_key *key, sgc_block *block);

/* Sets the size in bytes; 0 forgets everything. The default is 64 MiB. */
void sgc_block_cache_set_size(size_t bytes);

SGC_END_C

#endif
