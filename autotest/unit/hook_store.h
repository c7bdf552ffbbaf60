/* An object store that passes everything on to another, and calls the test before. */
#ifndef HOOK_STORE_H
#define HOOK_STORE_H

#include "store/object_store.h"

/* Called before each verb with its name, like "get", and the key (of copies: where to; of sweeps:
 * ""). What is not SGC_OK is the answer in place of the other store's. */
typedef sgc_status (*store_hook)(void *user, const char *verb, const char *key, sgc_error *err);

/* Gives a decorator, which borrows `inner`; `hook` may be NULL. As thread-safe as the hook. */
sgc_object_store *hook_store_new(sgc_object_store *inner, store_hook hook, void *user);

#endif
