/* What the fuzz targets share. Each is a program of its own that libFuzzer calls with bytes: memory
 * errors, leaks, undefined behaviour, slowness and large allocations are findings by themselves. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding unless `condition` holds. */
#define demand(condition)                                                             \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* Memory that ends where none is: what libraries without sanitizers read or write behind it is a
 * finding too. *region begins as NULL and is used by one call after the other. */
static inline uint8_t *fenced(uint8_t **region, size_t size)
{
    enum { LARGEST = 1024 * 1024 };
    if (*region == NULL) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        *region =
            mmap(NULL, LARGEST + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        demand(*region != MAP_FAILED && mprotect(*region + LARGEST, page, PROT_NONE) == 0);
    }
    demand(size <= LARGEST);
    return *region + LARGEST - size;
}

static inline const uint8_t *fenced_copy(const uint8_t *data, size_t size)
{
    static uint8_t *region;
    uint8_t *copy = fenced(&region, size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static inline bool same_bytes(const sgc_buffer *a, const sgc_buffer *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Defines `name`: what `decode` takes for a `type` is encoded, as `version` of the format, and
 * decodes and encodes to the same again. With `may_refuse` there is no demand that it can be
 * encoded and decoded. */
#define FUZZ_ROUND_TRIP(name, type, decode, encode, version, may_refuse)                        \
    static void name(const uint8_t *data, size_t size)                                          \
    {                                                                                           \
        sgc_arena arena = {0};                                                                  \
        sgc_buffer first = {0}, second = {0};                                                   \
        type decoded;                                                                           \
        if (decode(data, size, &arena, &decoded, NULL) == SGC_OK) {                             \
            decoded.spec_version = version;                                                     \
            const bool good = encode(&decoded, &first, NULL) == SGC_OK &&                       \
                              decode(first.data, first.size, &arena, &decoded, NULL) == SGC_OK; \
            demand(good || (may_refuse));                                                       \
            decoded.spec_version = version;                                                     \
            demand(!good || encode(&decoded, &second, NULL) == SGC_OK);                         \
            demand(!good || same_bytes(&first, &second));                                       \
        }                                                                                       \
        sgc_buffer_free(&first);                                                                \
        sgc_buffer_free(&second);                                                               \
        sgc_arena_free(&arena);                                                                 \
    }

#endif
