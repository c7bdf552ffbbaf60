#include "autotest/unit/fault_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct fault_store {
    sgc_object_store base;
    sgc_object_store *inner;
    store_fault *fault;
    pthread_mutex_t mutex; /* guards the fault */
} fault_store;

/* Counts a call; true when it must fail. */
static bool fails(fault_store *store, const char *key)
{
    store_fault *fault = store->fault;
    pthread_mutex_lock(&store->mutex);
    const bool now = ++fault->calls == fault->at;
    if (now) {
        fault->has_happened = true;
        snprintf(fault->key, sizeof fault->key, "%s", key);
    }
    pthread_mutex_unlock(&store->mutex);
    return now;
}

static sgc_status fail(const fault_store *store, const char *verb, const char *key, sgc_error *err)
{
    return sgc_fail(err, store->fault->status, "cannot %s %s/%s: no luck", verb, store->base.name,
                    key);
}

static sgc_status fault_get(sgc_object_store *self, const char *key, uint64_t offset,
                            uint64_t length, sgc_object *out, sgc_error *err)
{
    fault_store *store = (fault_store *)self;
    return fails(store, key) ? fail(store, "get", key, err)
                             : store->inner->get(store->inner, key, offset, length, out, err);
}

static sgc_status fault_put(sgc_object_store *self, const char *key, const void *data, size_t size,
                            sgc_put_condition condition, const sgc_object *previous, sgc_error *err)
{
    fault_store *store = (fault_store *)self;
    const bool failing = fails(store, key);
    sgc_status status = SGC_OK;
    if (!failing || store->fault->is_done)
        status = store->inner->put(store->inner, key, data, size, condition, previous, err);
    return failing ? fail(store, "put", key, err) : status;
}

static sgc_status fault_copy(sgc_object_store *self, const char *from, const char *to,
                             sgc_error *err)
{
    fault_store *store = (fault_store *)self;
    const bool failing = fails(store, to);
    sgc_status status = SGC_OK;
    if (!failing || store->fault->is_done)
        status = store->inner->copy(store->inner, from, to, err);
    return failing ? fail(store, "copy to", to, err) : status;
}

static sgc_status fault_remove(sgc_object_store *self, const char *const *keys, size_t count,
                               sgc_error *err)
{
    const char *key = count > 0 ? keys[0] : "";
    fault_store *store = (fault_store *)self;
    const bool failing = fails(store, key);
    sgc_status status = SGC_OK;
    if (!failing || store->fault->is_done)
        status = store->inner->remove(store->inner, keys, count, err);
    return failing ? fail(store, "remove", key, err) : status;
}

/* A listing whose end is lost has told what it had. */
static sgc_status fault_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn, void *user,
                             sgc_error *err)
{
    fault_store *store = (fault_store *)self;
    const bool failing = fails(store, prefix);
    sgc_status status = SGC_OK;
    if (!failing || store->fault->is_done)
        status = store->inner->list(store->inner, prefix, fn, user, err);
    return failing ? fail(store, "list", prefix, err) : status;
}

static void fault_free(sgc_object_store *self)
{
    pthread_mutex_destroy(&((fault_store *)self)->mutex);
    free(self);
}

sgc_object_store *fault_store_new(sgc_object_store *inner, store_fault *fault)
{
    fault_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->mutex, NULL);
    store->inner = inner;
    store->fault = fault;
    store->base = (sgc_object_store){
        .get = fault_get,
        .put = fault_put,
        .copy = fault_copy,
        .remove = fault_remove,
        .list = fault_list,
        .free = fault_free,
        .name = inner->name,
    };
    return &store->base;
}
