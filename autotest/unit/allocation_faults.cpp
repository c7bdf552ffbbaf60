#include "autotest/unit/allocation_faults.h"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace
{

std::atomic<bool> counting{false}, lasting{false}, has_failed{false};
std::atomic<size_t> calls{0}, fatal{0};

} // namespace

void allocations_begin(size_t at, bool is_lasting)
{
    calls = 0;
    fatal = at;
    lasting = is_lasting;
    has_failed = false;
    counting = true;
}

bool allocations_end(void)
{
    counting = false;
    return has_failed;
}

bool allocation_fails(void)
{
    if (!counting)
        return false;
    const size_t number = ++calls;
    if (number != fatal && !(lasting && number > fatal))
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

/* ---- C: the linker puts these before those of the C library ---- */

extern "C" {

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? nullptr : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return allocation_fails() ? nullptr : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return allocation_fails() ? nullptr : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return allocation_fails() ? nullptr : __real_strndup(text, size);
}

/* Leaves behind what must not be used, as the C library may. */
int __wrap_asprintf(char **text, const char *format, ...)
{
    if (allocation_fails()) {
        *text = reinterpret_cast<char *>(1);
        return -1;
    }
    va_list args;
    va_start(args, format);
    const int length = vasprintf(text, format, args);
    va_end(args);
    return length;
}

} // extern "C"

/* ---- C++ ---- */

void *operator new(size_t size)
{
    void *memory = allocation_fails() ? nullptr : std::malloc(size > 0 ? size : 1);
    if (memory == nullptr)
        throw std::bad_alloc();
    return memory;
}

void *operator new[](size_t size)
{
    return operator new(size);
}

void operator delete(void *memory) noexcept
{
    std::free(memory);
}

void operator delete[](void *memory) noexcept
{
    std::free(memory);
}

void operator delete(void *memory, size_t) noexcept
{
    std::free(memory);
}

void operator delete[](void *memory, size_t) noexcept
{
    std::free(memory);
}
