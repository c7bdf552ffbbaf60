#include "autotest/unit/counting_malloc.h"

#include <stdatomic.h>

static atomic_size_t total;

void counting_malloc_reset(void)
{
    atomic_store(&total, 0);
}

size_t counting_malloc_total(void)
{
    return atomic_load(&total);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&total, size);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&total, count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    atomic_fetch_add(&total, size);
    return __real_realloc(old, size);
}
