/* Errors as values.
 *
 * Every function that can fail returns an sgc_status and takes a caller-owned sgc_error, last, that
 * may be NULL. On failure its message says what, where and what to do; out-parameters are
 * untouched. On success the error is untouched. Nothing is global, so errors are as thread-safe as
 * their owners.
 *
 * Words of ownership, used verbatim in all headers: *borrows* (valid while the parent lives),
 * *takes*, *gives* (free with the named function), *copies*. */
#ifndef SGC_ERROR_H
#define SGC_ERROR_H

#include <stdarg.h>

/* Around the declarations of every header. */
#ifdef __cplusplus
#define SGC_BEGIN_C extern "C" {
#define SGC_END_C }
#else
#define SGC_BEGIN_C
#define SGC_END_C
#endif

SGC_BEGIN_C

typedef enum sgc_status {
    SGC_OK = 0,
    SGC_NOT_FOUND,   /* the thing does not exist */
    SGC_EXISTS,      /* it exists already and must not */
    SGC_CONFLICT,    /* somebody else changed it first; look again and retry */
    SGC_CORRUPT,     /* stored or received bytes are not what the format demands */
    SGC_UNSUPPORTED, /* valid, but not something this build can do */
    SGC_AUTH,        /* refused: credentials missing, wrong or insufficient */
    SGC_NETWORK,     /* a server did not answer well, after all retries */
    SGC_BUDGET,      /* a limit set by the user would be exceeded */
    SGC_CANCELLED,   /* the user asked to stop */
    SGC_NO_MEMORY,
    SGC_IO,      /* the operating system refused: disk full, no permission */
    SGC_INVALID, /* the caller's input is wrong */
} sgc_status;

typedef struct sgc_error {
    char message[1024]; /* UTF-8, NUL-terminated, one line */
} sgc_error;

#if defined(__GNUC__)
#define SGC_CHECKED __attribute__((warn_unused_result))
#define SGC_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define SGC_CHECKED
#define SGC_PRINTF(text, first)
#endif

/* Writes the message and returns `status`, so that a failure is one statement. */
sgc_status sgc_fail(sgc_error *err, sgc_status status, const char *format, ...) SGC_PRINTF(3, 4);

/* Puts "text: " in front of a message that a callee wrote, and returns `status`. */
sgc_status sgc_fail_in(sgc_error *err, sgc_status status, const char *format, ...) SGC_PRINTF(3, 4);

/* The failure of an allocation of `size` bytes for `what`. */
sgc_status sgc_fail_memory(sgc_error *err, unsigned long long size, const char *what);

/* Returns from the calling function when `call` fails. */
#define SGC_TRY(call)                       \
    do {                                    \
        const sgc_status sgc_try_ = (call); \
        if (sgc_try_ != SGC_OK)             \
            return sgc_try_;                \
    } while (0)

SGC_END_C

#endif
