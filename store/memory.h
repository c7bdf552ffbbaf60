/* Memory the store works with: checked sizes, growing byte buffers, arenas. */
#ifndef SGC_MEMORY_H
#define SGC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* *product = a * b; false, with *product untouched, when that overflows. */
static inline bool sgc_multiply(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* Makes room for one more item in a malloc'ed list of `count` items and returns where the list is
 * now; NULL, with the list as it was, when there is no memory. */
void *sgc_list_grow(void *items, size_t count, size_t *capacity, size_t item_size);

/* Bytes that grow. Zero-initialise; release with sgc_buffer_free(). */
typedef struct sgc_buffer {
    unsigned char *data;
    size_t size;
    size_t capacity;
} sgc_buffer;

/* Makes room for `extra` bytes behind `size`. */
SGC_CHECKED sgc_status sgc_buffer_reserve(sgc_buffer *buffer, size_t extra, sgc_error *err);
SGC_CHECKED sgc_status sgc_buffer_append(sgc_buffer *buffer, const void *data, size_t size,
                                         sgc_error *err);
/* Appends text; a NUL that `size` does not count follows it. */
SGC_CHECKED sgc_status sgc_buffer_print(sgc_buffer *buffer, sgc_error *err, const char *format, ...)
    SGC_PRINTF(3, 4);
void sgc_buffer_free(sgc_buffer *buffer);

/* Many small allocations with one lifetime. Zero-initialise; release with sgc_arena_free(). Not
 * thread-safe. */
typedef struct sgc_arena {
    struct sgc_arena_block *blocks;
    size_t total; /* bytes handed out */
    size_t held;  /* bytes taken for that */
} sgc_arena;

/* NULL when there is no memory. Zeroed, aligned for any type; borrows from the arena. */
void *sgc_arena_alloc(sgc_arena *arena, size_t count, size_t size);
void *sgc_arena_copy(sgc_arena *arena, const void *data, size_t size);
/* As above, with a NUL behind. */
char *sgc_arena_string(sgc_arena *arena, const char *text, size_t length);
/* Gives a copy of a text that may be NULL, which stays NULL. */
SGC_CHECKED sgc_status sgc_arena_keep(sgc_arena *arena, const char *text, const char **out,
                                      sgc_error *err);
void sgc_arena_free(sgc_arena *arena);

SGC_END_C

#endif
