#include "store/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *sgc_list_grow(void *items, size_t count, size_t *capacity, size_t item_size)
{
    enum { FIRST_CAPACITY = 16 };
    if (count < *capacity)
        return items;
    const size_t wanted = *capacity > 0 ? *capacity * 2 : FIRST_CAPACITY;
    size_t bytes;
    void *grown = sgc_multiply(wanted, item_size, &bytes) ? realloc(items, bytes) : NULL;
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

sgc_status sgc_buffer_reserve(sgc_buffer *buffer, size_t extra, sgc_error *err)
{
    if (extra <= buffer->capacity - buffer->size)
        return SGC_OK;
    size_t wanted;
    if (__builtin_add_overflow(buffer->size, extra, &wanted))
        return sgc_fail_memory(err, SIZE_MAX, "a buffer");
    size_t capacity = buffer->capacity > SIZE_MAX / 2 ? SIZE_MAX : buffer->capacity * 2;
    if (capacity < wanted)
        capacity = wanted;
    unsigned char *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return sgc_fail_memory(err, capacity, "a buffer");
    buffer->data = data;
    buffer->capacity = capacity;
    return SGC_OK;
}

sgc_status sgc_buffer_append(sgc_buffer *buffer, const void *data, size_t size, sgc_error *err)
{
    if (size == 0)
        return SGC_OK;
    SGC_TRY(sgc_buffer_reserve(buffer, size, err));
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return SGC_OK;
}

sgc_status sgc_buffer_print(sgc_buffer *buffer, sgc_error *err, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    sgc_status status = length < 0 ? sgc_fail(err, SGC_INVALID, "cannot format a text")
                                   : sgc_buffer_reserve(buffer, (size_t)length + 1, err);
    if (status == SGC_OK) {
        vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
    }
    va_end(again);
    return status;
}

void sgc_buffer_free(sgc_buffer *buffer)
{
    free(buffer->data);
    *buffer = (sgc_buffer){0};
}

struct sgc_arena_block {
    struct sgc_arena_block *next;
    size_t used, capacity;
    _Alignas(max_align_t) unsigned char data[];
};

enum { ARENA_BLOCK = 16 * 1024 };

void *sgc_arena_alloc(sgc_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!sgc_multiply(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct sgc_arena_block *block = arena->blocks;
    if (block == NULL || block->capacity - block->used < bytes) {
        const size_t capacity = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
        block = calloc(1, sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        block->capacity = capacity;
        arena->held += sizeof *block + capacity;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = block->data + block->used;
    block->used += bytes;
    arena->total += bytes;
    return result;
}

void *sgc_arena_copy(sgc_arena *arena, const void *data, size_t size)
{
    void *copy = sgc_arena_alloc(arena, size, 1);
    if (copy != NULL && size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *sgc_arena_string(sgc_arena *arena, const char *text, size_t length)
{
    char *copy = length == SIZE_MAX ? NULL : sgc_arena_alloc(arena, length + 1, 1);
    if (copy != NULL && length > 0)
        memcpy(copy, text, length);
    return copy;
}

sgc_status sgc_arena_keep(sgc_arena *arena, const char *text, const char **out, sgc_error *err)
{
    *out = text != NULL ? sgc_arena_string(arena, text, strlen(text)) : NULL;
    return text == NULL || *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(text), "a text");
}

void sgc_arena_free(sgc_arena *arena)
{
    while (arena->blocks != NULL) {
        struct sgc_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->total = arena->held = 0;
}
