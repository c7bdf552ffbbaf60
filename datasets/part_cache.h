/* Parts of remote files in memory, so that reads which must end early can go on where they were.
 *
 * Files are cut into parts of SGC_PART_SIZE bytes; the last used ones are kept, for some minutes.
 * Thread-safe. */
#ifndef SGC_PART_CACHE_H
#define SGC_PART_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_PART_SIZE = 64 << 10 };

typedef struct sgc_part_cache sgc_part_cache;

/* What tells one state of a file from another: each is empty when the server does not say it. */
typedef struct sgc_file_version {
    uint64_t size;
    char etag[128];
    char last_modified[64];
} sgc_file_version;

/* Gives a cache of at most `bytes`, for at least one part; free with sgc_part_cache_free(). */
SGC_CHECKED sgc_status sgc_part_cache_new(size_t bytes, sgc_part_cache **out, sgc_error *err);
void sgc_part_cache_free(sgc_part_cache *cache);

/* Copies what is kept of a version of `url`, NULL meaning any, from byte `offset` on, at most
 * `size` bytes and to the end of the part; returns their number, 0 when they are not kept. `found`
 * gets their version and may be NULL. */
size_t sgc_part_cache_read(sgc_part_cache *cache, const char *url, const sgc_file_version *version,
                           uint64_t offset, void *data, size_t size, sgc_file_version *found);

/* Keeps bytes of `url` from `offset` on, a multiple of SGC_PART_SIZE; the last part may be short
 * where the file ends. They take the place of those of other versions. Without memory nothing is
 * kept. */
void sgc_part_cache_put(sgc_part_cache *cache, const char *url, const sgc_file_version *version,
                        uint64_t offset, const void *data, size_t size);

/* Forgets all parts of `url`. */
void sgc_part_cache_forget(sgc_part_cache *cache, const char *url);

SGC_END_C

#endif
