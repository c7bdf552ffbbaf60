#include "autotest/unit/hook_store.h"

#include <stdlib.h>

typedef struct hook_store {
    sgc_object_store base;
    sgc_object_store *inner;
    store_hook hook;
    void *user;
} hook_store;

static sgc_status call_hook(hook_store *store, const char *verb, const char *key, sgc_error *err)
{
    return store->hook != NULL ? store->hook(store->user, verb, key, err) : SGC_OK;
}

static sgc_status hook_get(sgc_object_store *self, const char *key, uint64_t offset,
                           uint64_t length, sgc_object *out, sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    SGC_TRY(call_hook(store, "get", key, err));
    return store->inner->get(store->inner, key, offset, length, out, err);
}

static sgc_status hook_put(sgc_object_store *self, const char *key, const void *data, size_t size,
                           sgc_put_condition condition, const sgc_object *previous, sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    SGC_TRY(call_hook(store, "put", key, err));
    return store->inner->put(store->inner, key, data, size, condition, previous, err);
}

static sgc_status hook_copy(sgc_object_store *self, const char *from, const char *to,
                            sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    SGC_TRY(call_hook(store, "copy", to, err));
    return store->inner->copy(store->inner, from, to, err);
}

static sgc_status hook_remove(sgc_object_store *self, const char *const *keys, size_t count,
                              sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    for (size_t i = 0; i < count; i++)
        SGC_TRY(call_hook(store, "remove", keys[i], err));
    return store->inner->remove(store->inner, keys, count, err);
}

static sgc_status hook_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn, void *user,
                            sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    SGC_TRY(call_hook(store, "list", prefix, err));
    return store->inner->list(store->inner, prefix, fn, user, err);
}

static sgc_status hook_sweep(sgc_object_store *self, uint64_t before, bool dry_run, sgc_list_fn fn,
                             void *user, sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    SGC_TRY(call_hook(store, "sweep", "", err));
    return store->inner->sweep(store->inner, before, dry_run, fn, user, err);
}

static sgc_status hook_lock(sgc_object_store *self, int64_t offset, bool *taken, sgc_error *err)
{
    hook_store *store = (hook_store *)self;
    return store->inner->lock(store->inner, offset, taken, err);
}

static void hook_unlock(sgc_object_store *self, int64_t offset)
{
    hook_store *store = (hook_store *)self;
    store->inner->unlock(store->inner, offset);
}

static void hook_free(sgc_object_store *self)
{
    free(self);
}

sgc_object_store *hook_store_new(sgc_object_store *inner, store_hook hook, void *user)
{
    hook_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->inner = inner;
    store->hook = hook;
    store->user = user;
    store->base = (sgc_object_store){
        .get = hook_get,
        .put = hook_put,
        .copy = hook_copy,
        .remove = hook_remove,
        .list = hook_list,
        .sweep = inner->sweep != NULL ? hook_sweep : NULL,
        .lock = inner->lock != NULL ? hook_lock : NULL,
        .unlock = inner->unlock != NULL ? hook_unlock : NULL,
        .free = hook_free,
        .name = inner->name,
    };
    return &store->base;
}
