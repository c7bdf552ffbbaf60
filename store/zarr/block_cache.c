#include "store/zarr/block_cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "store/fork.h"

enum { BUCKETS = 4096, DEFAULT_SIZE = 64 * 1024 * 1024 };

typedef struct entry {
    sgc_block_key key;
    sgc_block *block;
    struct entry *chained;       /* in the bucket */
    struct entry *newer, *older; /* in the order of use */
} entry;

static struct {
    pthread_mutex_t mutex;
    size_t limit, bytes;
    entry *buckets[BUCKETS];
    entry *newest, *oldest;
    sgc_fork_watch forks;
} cache = {.mutex = PTHREAD_MUTEX_INITIALIZER, .limit = DEFAULT_SIZE};

/* The lists may have been in the middle of a change: the child begins with an empty cache. */
static void renew_in_child(void *object)
{
    (void)object;
    pthread_mutex_init(&cache.mutex, NULL);
    memset(cache.buckets, 0, sizeof cache.buckets);
    cache.newest = cache.oldest = NULL;
    cache.bytes = 0;
}

static void watch_forks(void)
{
    sgc_fork_watch_begin(&cache.forks, renew_in_child, NULL);
}

sgc_block *sgc_block_new(size_t size)
{
    if (size > SIZE_MAX - sizeof(sgc_block))
        return NULL;
    sgc_block *block = malloc(sizeof *block + size);
    if (block != NULL) {
        block->size = size;
        block->references = 1;
        block->data = (unsigned char *)(block + 1);
    }
    return block;
}

static void unref_locked(sgc_block *block)
{
    if (--block->references == 0)
        free(block);
}

void sgc_block_unref(sgc_block *block)
{
    if (block == NULL)
        return;
    pthread_mutex_lock(&cache.mutex);
    unref_locked(block);
    pthread_mutex_unlock(&cache.mutex);
}

static bool equal(const sgc_block_key *a, const sgc_block_key *b)
{
    return a->place == b->place && a->index == b->index && a->form == b->form &&
           a->offset == b->offset && sgc_object_id_compare(&a->chunk, &b->chunk) == 0;
}

/* Ids are random: any of their bytes spread well. */
static entry **bucket_of(const sgc_block_key *key)
{
    uint32_t random;
    memcpy(&random, key->chunk.bytes, sizeof random);
    return &cache.buckets[(random + key->index * 2654435761u + key->offset) % BUCKETS];
}

static void unlink_use(entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &cache.newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &cache.oldest) = e->newer;
}

static void link_newest(entry *e)
{
    e->newer = NULL;
    e->older = cache.newest;
    *(cache.newest != NULL ? &cache.newest->newer : &cache.oldest) = e;
    cache.newest = e;
}

static entry *find(const sgc_block_key *key)
{
    entry *e = *bucket_of(key);
    while (e != NULL && !equal(&e->key, key))
        e = e->chained;
    return e;
}

static void shrink(size_t limit)
{
    while (cache.bytes > limit) {
        entry *e = cache.oldest;
        entry **link = bucket_of(&e->key);
        while (*link != e)
            link = &(*link)->chained;
        *link = e->chained;
        unlink_use(e);
        cache.bytes -= e->block->size;
        unref_locked(e->block);
        free(e);
    }
}

sgc_block *sgc_block_cache_get(const sgc_block_key *key)
{
    sgc_block *block = NULL;
    pthread_mutex_lock(&cache.mutex);
    entry *e = find(key);
    if (e != NULL) {
        unlink_use(e);
        link_newest(e);
        block = e->block;
        block->references++;
    }
    pthread_mutex_unlock(&cache.mutex);
    return block;
}

void sgc_block_cache_put(const sgc_block_key *key, sgc_block *block)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    entry *made = malloc(sizeof *made);
    pthread_mutex_lock(&cache.mutex);
    if (made == NULL || block->size > cache.limit || find(key) != NULL) {
        free(made);
    } else {
        shrink(cache.limit - block->size);
        entry **bucket = bucket_of(key);
        *made = (entry){.key = *key, .block = block, .chained = *bucket};
        *bucket = made;
        link_newest(made);
        cache.bytes += block->size;
        block->references++;
    }
    pthread_mutex_unlock(&cache.mutex);
}

void sgc_block_cache_set_size(size_t bytes)
{
    pthread_mutex_lock(&cache.mutex);
    cache.limit = bytes;
    shrink(bytes);
    pthread_mutex_unlock(&cache.mutex);
}
