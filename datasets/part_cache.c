#include "datasets/part_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/condition.h"
#include "datasets/hash.h"
#include "store/fork.h"

enum { MOST_AGE_MS = 10 * 60 * 1000 };

typedef struct part {
    struct part *chained;       /* in the bucket */
    struct part *newer, *older; /* in the order of use */
    char *url;
    uint64_t hash; /* of URL and offset */
    uint64_t offset, kept_ms;
    size_t size;
    sgc_file_version version;
    unsigned char data[];
} part;

struct sgc_part_cache {
    pthread_mutex_t mutex;
    part **buckets; /* as many as there may be parts */
    part *newest, *oldest;
    size_t count, most;
    sgc_fork_watch forks;
};

/* Neighbouring parts of a file lie in neighbouring buckets. */
static uint64_t hash(const char *url, uint64_t offset)
{
    return sgc_hash_text(url) + offset / SGC_PART_SIZE;
}

static void unlink_use(sgc_part_cache *cache, part *p)
{
    *(p->newer != NULL ? &p->newer->older : &cache->newest) = p->older;
    *(p->older != NULL ? &p->older->newer : &cache->oldest) = p->newer;
}

static void link_newest(sgc_part_cache *cache, part *p)
{
    p->newer = NULL;
    p->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = p;
    cache->newest = p;
}

static part *find_locked(const sgc_part_cache *cache, const char *url, uint64_t offset)
{
    const uint64_t h = hash(url, offset);
    part *p = cache->buckets[h % cache->most];
    while (p != NULL && (p->hash != h || p->offset != offset || strcmp(p->url, url) != 0))
        p = p->chained;
    return p;
}

static void drop_locked(sgc_part_cache *cache, part *p)
{
    part **link = &cache->buckets[p->hash % cache->most];
    while (*link != p)
        link = &(*link)->chained;
    *link = p->chained;
    unlink_use(cache, p);
    cache->count--;
    free(p->url);
    free(p);
}

static void keep_locked(sgc_part_cache *cache, part *p)
{
    part *old = find_locked(cache, p->url, p->offset);
    if (old == NULL && cache->count == cache->most)
        old = cache->oldest;
    if (old != NULL)
        drop_locked(cache, old);
    part **bucket = &cache->buckets[p->hash % cache->most];
    p->chained = *bucket;
    *bucket = p;
    link_newest(cache, p);
    cache->count++;
}

static bool is_same_version(const sgc_file_version *a, const sgc_file_version *b)
{
    return a->size == b->size && strcmp(a->etag, b->etag) == 0 &&
           strcmp(a->last_modified, b->last_modified) == 0;
}

/* Gives the part that begins at `offset`, or NULL; one of another version is of no use any more. */
static part *take_locked(sgc_part_cache *cache, const char *url, const sgc_file_version *version,
                         uint64_t offset)
{
    part *p = find_locked(cache, url, offset);
    if (p == NULL)
        return NULL;
    if (sgc_monotonic_ms() - p->kept_ms > MOST_AGE_MS ||
        (version != NULL && !is_same_version(&p->version, version))) {
        drop_locked(cache, p);
        return NULL;
    }
    unlink_use(cache, p);
    link_newest(cache, p);
    return p;
}

size_t sgc_part_cache_read(sgc_part_cache *cache, const char *url, const sgc_file_version *version,
                           uint64_t offset, void *data, size_t size, sgc_file_version *found)
{
    const size_t skip = (size_t)(offset % SGC_PART_SIZE);
    size_t n = 0;
    pthread_mutex_lock(&cache->mutex);
    const part *p = take_locked(cache, url, version, offset - skip);
    if (p != NULL && p->size > skip) {
        n = p->size - skip < size ? p->size - skip : size;
        memcpy(data, p->data + skip, n);
        if (found != NULL)
            *found = p->version;
    }
    pthread_mutex_unlock(&cache->mutex);
    return n;
}

static part *part_new(const char *url, const sgc_file_version *version, uint64_t offset,
                      const void *data, size_t size)
{
    part *p = malloc(sizeof *p + size);
    char *copy = strdup(url);
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        return NULL;
    }
    *p = (part){.url = copy,
                .hash = hash(url, offset),
                .offset = offset,
                .kept_ms = sgc_monotonic_ms(),
                .size = size,
                .version = *version};
    memcpy(p->data, data, size);
    return p;
}

void sgc_part_cache_put(sgc_part_cache *cache, const char *url, const sgc_file_version *version,
                        uint64_t offset, const void *data, size_t size)
{
    pthread_mutex_lock(&cache->mutex);
    for (size_t at = 0; at < size; at += SGC_PART_SIZE) {
        const size_t n = size - at < SGC_PART_SIZE ? size - at : SGC_PART_SIZE;
        const bool whole = n == SGC_PART_SIZE || offset + size == version->size;
        part *p =
            whole ? part_new(url, version, offset + at, (const unsigned char *)data + at, n) : NULL;
        if (p != NULL)
            keep_locked(cache, p);
    }
    pthread_mutex_unlock(&cache->mutex);
}

void sgc_part_cache_forget(sgc_part_cache *cache, const char *url)
{
    pthread_mutex_lock(&cache->mutex);
    for (part *p = cache->newest, *next; p != NULL; p = next) {
        next = p->older;
        if (strcmp(p->url, url) == 0)
            drop_locked(cache, p);
    }
    pthread_mutex_unlock(&cache->mutex);
}

/* The lists may have been in the middle of a change: the child begins with empty ones. */
static void renew_in_child(void *object)
{
    sgc_part_cache *cache = object;
    pthread_mutex_init(&cache->mutex, NULL);
    memset(cache->buckets, 0, cache->most * sizeof(part *));
    cache->newest = cache->oldest = NULL;
    cache->count = 0;
}

sgc_status sgc_part_cache_new(size_t bytes, sgc_part_cache **out, sgc_error *err)
{
    const size_t most = bytes / SGC_PART_SIZE > 0 ? bytes / SGC_PART_SIZE : 1;
    sgc_part_cache *cache = calloc(1, sizeof *cache);
    part **buckets = calloc(most, sizeof(part *));
    if (cache == NULL || buckets == NULL) {
        free(cache);
        free(buckets);
        return sgc_fail_memory(err, sizeof *cache + most * sizeof(part *), "a cache of files");
    }
    *cache = (sgc_part_cache){.buckets = buckets, .most = most};
    pthread_mutex_init(&cache->mutex, NULL);
    sgc_fork_watch_begin(&cache->forks, renew_in_child, cache);
    *out = cache;
    return SGC_OK;
}

void sgc_part_cache_free(sgc_part_cache *cache)
{
    if (cache == NULL)
        return;
    sgc_fork_watch_end(&cache->forks);
    while (cache->newest != NULL)
        drop_locked(cache, cache->newest);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->buckets);
    free(cache);
}
