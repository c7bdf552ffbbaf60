#include "autotest/unit/counting_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GETS = 4096, MOST_PUTS = 4096 };

typedef struct counting_store {
    sgc_object_store base;
    sgc_object_store *inner;
    pthread_mutex_t mutex; /* guards the rest */
    size_t count;
    counted_get gets[MOST_GETS];
    size_t put_count;
    char puts[MOST_PUTS][sizeof((counted_get){0}.key)];
} counting_store;

static sgc_object_store *inner_of(sgc_object_store *self)
{
    return ((counting_store *)self)->inner;
}

static sgc_status counting_get(sgc_object_store *self, const char *key, uint64_t offset,
                               uint64_t length, sgc_object *out, sgc_error *err)
{
    counting_store *store = (counting_store *)self;
    pthread_mutex_lock(&store->mutex);
    const bool full = store->count == MOST_GETS;
    if (!full) {
        counted_get *get = &store->gets[store->count++];
        snprintf(get->key, sizeof get->key, "%s", key);
        get->offset = offset;
        get->length = length;
    }
    pthread_mutex_unlock(&store->mutex);
    if (full)
        return sgc_fail(err, SGC_INVALID, "the log of gets is full");
    return store->inner->get(store->inner, key, offset, length, out, err);
}

static sgc_status counting_put(sgc_object_store *self, const char *key, const void *data,
                               size_t size, sgc_put_condition condition, const sgc_object *previous,
                               sgc_error *err)
{
    counting_store *store = (counting_store *)self;
    sgc_object_store *inner = store->inner;
    pthread_mutex_lock(&store->mutex);
    const bool full = store->put_count == MOST_PUTS;
    if (!full)
        snprintf(store->puts[store->put_count++], sizeof *store->puts, "%s", key);
    pthread_mutex_unlock(&store->mutex);
    if (full)
        return sgc_fail(err, SGC_INVALID, "the log of puts is full");
    return inner->put(inner, key, data, size, condition, previous, err);
}

static sgc_status counting_copy(sgc_object_store *self, const char *from, const char *to,
                                sgc_error *err)
{
    sgc_object_store *inner = inner_of(self);
    return inner->copy(inner, from, to, err);
}

static sgc_status counting_remove(sgc_object_store *self, const char *const *keys, size_t count,
                                  sgc_error *err)
{
    sgc_object_store *inner = inner_of(self);
    return inner->remove(inner, keys, count, err);
}

static sgc_status counting_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn,
                                void *user, sgc_error *err)
{
    sgc_object_store *inner = inner_of(self);
    return inner->list(inner, prefix, fn, user, err);
}

static void counting_free(sgc_object_store *self)
{
    pthread_mutex_destroy(&((counting_store *)self)->mutex);
    free(self);
}

sgc_object_store *counting_store_new(sgc_object_store *inner)
{
    counting_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    pthread_mutex_init(&store->mutex, NULL);
    store->inner = inner;
    store->base = (sgc_object_store){
        .get = counting_get,
        .put = counting_put,
        .copy = counting_copy,
        .remove = counting_remove,
        .list = counting_list,
        .free = counting_free,
        .name = inner->name,
    };
    return &store->base;
}

size_t counting_store_gets(const sgc_object_store *store, const char *prefix,
                           void (*fn)(void *user, const counted_get *get), void *user)
{
    const counting_store *counting = (const counting_store *)store;
    size_t n = 0;
    for (size_t i = 0; i < counting->count; i++) {
        if (strncmp(counting->gets[i].key, prefix, strlen(prefix)) != 0)
            continue;
        n++;
        if (fn != NULL)
            fn(user, &counting->gets[i]);
    }
    return n;
}

size_t counting_store_puts(const sgc_object_store *store, const char *prefix)
{
    const counting_store *counting = (const counting_store *)store;
    size_t n = 0;
    for (size_t i = 0; i < counting->put_count; i++)
        n += strncmp(counting->puts[i], prefix, strlen(prefix)) == 0;
    return n;
}

void counting_store_reset(sgc_object_store *store)
{
    counting_store *counting = (counting_store *)store;
    counting->count = counting->put_count = 0;
}
