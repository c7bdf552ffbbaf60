#include "store/error.h"

#include <stdio.h>
#include <string.h>

sgc_status sgc_fail(sgc_error *err, sgc_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

sgc_status sgc_fail_in(sgc_error *err, sgc_status status, const char *format, ...)
{
    if (err != NULL) {
        sgc_error inner = *err;
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->message) {
            const size_t room = sizeof err->message - (size_t)n;
            snprintf(err->message + n, room, ": %.*s", (int)room, inner.message);
        }
    }
    return status;
}

sgc_status sgc_fail_memory(sgc_error *err, unsigned long long size, const char *what)
{
    return sgc_fail(err, SGC_NO_MEMORY, "cannot allocate %llu bytes for %s", size, what);
}
