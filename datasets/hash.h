/* FNV-1a: quick, the same on every machine, and no defence against anybody. */
#ifndef SGC_HASH_H
#define SGC_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sgc_hash(const void *data, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static inline uint64_t sgc_hash_text(const char *text)
{
    return sgc_hash(text, strlen(text));
}

#endif
