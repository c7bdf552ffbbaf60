/* How a long operation learns that its user wants it to stop. */
#ifndef SGC_CANCEL_H
#define SGC_CANCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sgc_cancel {
    bool (*requested)(void *user); /* called from any thread, often; must be cheap and lock-free */
    void *user;
    uint64_t deadline_ms; /* when it ends by itself, by sgc_monotonic_ms(); 0: not known */
    bool keeps; /* a deadline may end it, and it will be tried again: what is received is kept */
} sgc_cancel;

/* True when `cancel` is not NULL and its user wants to stop. */
static inline bool sgc_cancel_requested(const sgc_cancel *cancel)
{
    return cancel != NULL && cancel->requested(cancel->user);
}

#endif
