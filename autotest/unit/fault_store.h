/* An object store that passes everything on to another, except for one call, which fails. */
#ifndef FAULT_STORE_H
#define FAULT_STORE_H

#include "store/object_store.h"

typedef struct store_fault {
    size_t at; /* the number of the call, of any verb, from 1 on; 0: none fails */
    sgc_status status;
    bool is_done; /* it is done and only the answer is lost */
    bool has_happened;
    size_t calls;  /* so far */
    char key[128]; /* of the call that failed */
} store_fault;

/* Gives a decorator, which borrows both and cannot lock. Thread-safe as long as `fault` is only
 * changed while no thread uses it. */
sgc_object_store *fault_store_new(sgc_object_store *inner, store_fault *fault);

#endif
