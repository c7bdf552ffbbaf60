/* An object store that passes everything on to another and keeps a log of the gets and puts. */
#ifndef COUNTING_STORE_H
#define COUNTING_STORE_H

#include "store/object_store.h"

typedef struct counted_get {
    char key[128];
    uint64_t offset, length; /* as asked for; length may be SGC_TO_END */
} counted_get;

/* Gives a decorator, which borrows `inner` and cannot lock. */
sgc_object_store *counting_store_new(sgc_object_store *inner);

/* The gets since the last reset whose keys begin with `prefix`: calls fn for each and returns their
 * number. `fn` may be NULL. Only while no other thread uses the store. */
size_t counting_store_gets(const sgc_object_store *store, const char *prefix,
                           void (*fn)(void *user, const counted_get *get), void *user);
/* The number of puts since the last reset of keys that begin with `prefix`, likewise. */
size_t counting_store_puts(const sgc_object_store *store, const char *prefix);
void counting_store_reset(sgc_object_store *store);

#endif
