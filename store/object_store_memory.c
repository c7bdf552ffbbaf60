/* Objects in memory, for tests and for cubes that nobody wants to keep. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/clock.h"
#include "store/fork.h"
#include "store/memory.h"
#include "store/object_store.h"

typedef struct entry {
    char *key;
    sgc_object object;
    uint64_t modified;
} entry;

typedef struct memory_store {
    sgc_object_store base;
    pthread_mutex_t mutex;
    entry *entries; /* sorted by key */
    size_t count, capacity;
    sgc_fork_watch forks;
} memory_store;

static void renew_in_child(void *object)
{
    pthread_mutex_init(&((memory_store *)object)->mutex, NULL);
}

/* The position of `key`, or where it would be inserted. */
static size_t find(const memory_store *store, const char *key, bool *found)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(store->entries[middle].key, key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static sgc_status copy_range(const sgc_object *object, const char *key, uint64_t offset,
                             uint64_t length, sgc_object *out, sgc_error *err)
{
    if (length == SGC_TO_END && offset <= object->size)
        length = object->size - offset;
    if (offset > object->size || length > object->size - offset)
        return sgc_fail(err, SGC_CORRUPT, "%s: has %zu bytes, not the wanted range", key,
                        object->size);
    unsigned char *data = malloc(length > 0 ? (size_t)length : 1);
    if (data == NULL)
        return sgc_fail_memory(err, length, key);
    memcpy(data, object->data + offset, (size_t)length);
    *out = (sgc_object){data, (size_t)length};
    return SGC_OK;
}

static sgc_status memory_get(sgc_object_store *self, const char *key, uint64_t offset,
                             uint64_t length, sgc_object *out, sgc_error *err)
{
    memory_store *store = (memory_store *)self;
    pthread_mutex_lock(&store->mutex);
    bool found;
    const size_t at = find(store, key, &found);
    const sgc_status status =
        found ? copy_range(&store->entries[at].object, key, offset, length, out, err)
              : sgc_fail(err, SGC_NOT_FOUND, "%s does not exist", key);
    pthread_mutex_unlock(&store->mutex);
    return status;
}

static bool same(const sgc_object *a, const sgc_object *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Takes `data`. */
static sgc_status insert(memory_store *store, size_t at, const char *key, unsigned char *data,
                         size_t size, sgc_error *err)
{
    entry *entries = sgc_list_grow(store->entries, store->count, &store->capacity, sizeof *entries);
    if (entries == NULL) {
        free(data);
        return sgc_fail_memory(err, sizeof *entries, "an object store");
    }
    store->entries = entries;
    char *name = strdup(key);
    if (name == NULL) {
        free(data);
        return sgc_fail_memory(err, strlen(key), "a key");
    }
    memmove(store->entries + at + 1, store->entries + at,
            (store->count - at) * sizeof *store->entries);
    store->entries[at] = (entry){name, {data, size}, sgc_clock_now()};
    store->count++;
    return SGC_OK;
}

static sgc_status put_locked(memory_store *store, const char *key, unsigned char *data, size_t size,
                             sgc_put_condition condition, const sgc_object *previous,
                             sgc_error *err)
{
    bool found;
    const size_t at = find(store, key, &found);
    sgc_status status = SGC_OK;
    if (condition == SGC_PUT_IF_ABSENT && found)
        status = sgc_fail(err, SGC_EXISTS, "%s exists already", key);
    else if (condition == SGC_PUT_IF_UNCHANGED &&
             !(found && same(&store->entries[at].object, previous)))
        status = sgc_fail(err, SGC_CONFLICT, "%s was changed by somebody else", key);
    if (status != SGC_OK) {
        free(data);
        return status;
    }
    if (!found)
        return insert(store, at, key, data, size, err);
    free(store->entries[at].object.data);
    store->entries[at].object = (sgc_object){data, size};
    store->entries[at].modified = sgc_clock_now();
    return SGC_OK;
}

static sgc_status memory_put(sgc_object_store *self, const char *key, const void *data, size_t size,
                             sgc_put_condition condition, const sgc_object *previous,
                             sgc_error *err)
{
    memory_store *store = (memory_store *)self;
    unsigned char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return sgc_fail_memory(err, size, key);
    if (size > 0)
        memcpy(copy, data, size);
    pthread_mutex_lock(&store->mutex);
    const sgc_status status = put_locked(store, key, copy, size, condition, previous, err);
    pthread_mutex_unlock(&store->mutex);
    return status;
}

static sgc_status copy_locked(memory_store *store, const char *from, const char *to, sgc_error *err)
{
    bool found;
    const size_t at = find(store, from, &found);
    if (!found)
        return sgc_fail(err, SGC_NOT_FOUND, "%s does not exist", from);
    sgc_object copy = {0};
    SGC_TRY(copy_range(&store->entries[at].object, from, 0, SGC_TO_END, &copy, err));
    return put_locked(store, to, copy.data, copy.size, SGC_PUT_IF_ABSENT, NULL, err);
}

static sgc_status memory_copy(sgc_object_store *self, const char *from, const char *to,
                              sgc_error *err)
{
    memory_store *store = (memory_store *)self;
    pthread_mutex_lock(&store->mutex);
    const sgc_status status = copy_locked(store, from, to, err);
    pthread_mutex_unlock(&store->mutex);
    return status;
}

static void remove_entry(memory_store *store, const char *key)
{
    bool found;
    const size_t at = find(store, key, &found);
    if (!found)
        return;
    free(store->entries[at].key);
    free(store->entries[at].object.data);
    store->count--;
    memmove(store->entries + at, store->entries + at + 1,
            (store->count - at) * sizeof *store->entries);
}

static sgc_status memory_remove(sgc_object_store *self, const char *const *keys, size_t count,
                                sgc_error *err)
{
    (void)err;
    memory_store *store = (memory_store *)self;
    pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; i < count; i++)
        remove_entry(store, keys[i]);
    pthread_mutex_unlock(&store->mutex);
    return SGC_OK;
}

/* Copies the keys first, each behind what is known of it: `fn` may call the store. */
static sgc_status memory_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn,
                              void *user, sgc_error *err)
{
    memory_store *store = (memory_store *)self;
    sgc_object_info info;
    sgc_buffer found_ones = {0};
    sgc_status status = SGC_OK;
    pthread_mutex_lock(&store->mutex);
    bool found;
    for (size_t i = find(store, prefix, &found); status == SGC_OK && i < store->count; i++) {
        const entry *e = &store->entries[i];
        if (strncmp(e->key, prefix, strlen(prefix)) != 0)
            break;
        info = (sgc_object_info){e->object.size, e->modified};
        status = sgc_buffer_append(&found_ones, &info, sizeof info, err);
        if (status == SGC_OK)
            status = sgc_buffer_append(&found_ones, e->key, strlen(e->key) + 1, err);
    }
    pthread_mutex_unlock(&store->mutex);
    for (size_t at = 0; status == SGC_OK && at < found_ones.size;) {
        memcpy(&info, found_ones.data + at, sizeof info);
        const char *key = (const char *)found_ones.data + at + sizeof info;
        status = fn(user, key, &info, err);
        at += sizeof info + strlen(key) + 1;
    }
    sgc_buffer_free(&found_ones);
    return status;
}

static void memory_free(sgc_object_store *self)
{
    memory_store *store = (memory_store *)self;
    sgc_fork_watch_end(&store->forks);
    for (size_t i = 0; i < store->count; i++) {
        free(store->entries[i].key);
        free(store->entries[i].object.data);
    }
    free(store->entries);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

sgc_status sgc_object_store_memory_new(sgc_object_store **out, sgc_error *err)
{
    memory_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return sgc_fail_memory(err, sizeof *store, "an object store");
    pthread_mutex_init(&store->mutex, NULL);
    store->base = (sgc_object_store){
        .get = memory_get,
        .put = memory_put,
        .copy = memory_copy,
        .remove = memory_remove,
        .list = memory_list,
        .free = memory_free,
        .name = "mem:",
    };
    sgc_fork_watch_begin(&store->forks, renew_in_child, store);
    *out = &store->base;
    return SGC_OK;
}
