#include "datasets/part_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/fork.h"

typedef struct part {
    struct part *next; /* was used before this one */
    char *url;
    uint64_t offset;
    size_t size;
    sgc_file_version version;
    unsigned char data[];
} part;

struct sgc_part_cache {
    pthread_mutex_t mutex;
    part *first;
    size_t count, most;
    sgc_fork_watch forks;
};

static void part_free(part *p)
{
    if (p != NULL)
        free(p->url);
    free(p);
}

/* Takes the part that `link` leads to out of the list. */
static part *take_locked(sgc_part_cache *cache, part **link)
{
    part *p = *link;
    *link = p->next;
    cache->count--;
    return p;
}

static void put_first_locked(sgc_part_cache *cache, part *p)
{
    p->next = cache->first;
    cache->first = p;
    cache->count++;
}

static bool is_same_version(const sgc_file_version *a, const sgc_file_version *b)
{
    return a->size == b->size && strcmp(a->etag, b->etag) == 0;
}

static void drop_other_versions_locked(sgc_part_cache *cache, const char *url,
                                       const sgc_file_version *version)
{
    part **link = &cache->first;
    while (*link != NULL)
        if (strcmp((*link)->url, url) == 0 && !is_same_version(&(*link)->version, version))
            part_free(take_locked(cache, link));
        else
            link = &(*link)->next;
}

static part **find_locked(sgc_part_cache *cache, const char *url, uint64_t offset)
{
    part **link = &cache->first;
    while (*link != NULL && ((*link)->offset != offset || strcmp((*link)->url, url) != 0))
        link = &(*link)->next;
    return link;
}

static void drop_oldest_locked(sgc_part_cache *cache)
{
    part **link = &cache->first;
    while ((*link)->next != NULL)
        link = &(*link)->next;
    part_free(take_locked(cache, link));
}

size_t sgc_part_cache_read(sgc_part_cache *cache, const char *url, uint64_t offset, void *data,
                           size_t size, sgc_file_version *version)
{
    const uint64_t skip = offset % SGC_PART_SIZE;
    size_t n = 0;
    pthread_mutex_lock(&cache->mutex);
    part **link = find_locked(cache, url, offset - skip);
    if (*link != NULL && (*link)->size > skip) {
        part *p = take_locked(cache, link);
        put_first_locked(cache, p);
        n = p->size - skip < size ? p->size - (size_t)skip : size;
        memcpy(data, p->data + skip, n);
        *version = p->version;
    }
    pthread_mutex_unlock(&cache->mutex);
    return n;
}

static part *part_new(const char *url, uint64_t offset, const void *data, size_t size,
                      const sgc_file_version *version)
{
    part *p = malloc(sizeof *p + size);
    char *copy = strdup(url);
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        return NULL;
    }
    *p = (part){.url = copy, .offset = offset, .size = size, .version = *version};
    memcpy(p->data, data, size);
    return p;
}

static void keep_locked(sgc_part_cache *cache, part *p)
{
    part **old = find_locked(cache, p->url, p->offset);
    if (*old != NULL)
        part_free(take_locked(cache, old));
    else if (cache->count == cache->most)
        drop_oldest_locked(cache);
    put_first_locked(cache, p);
}

void sgc_part_cache_put(sgc_part_cache *cache, const char *url, uint64_t offset, const void *data,
                        size_t size, const sgc_file_version *version)
{
    pthread_mutex_lock(&cache->mutex);
    drop_other_versions_locked(cache, url, version);
    for (size_t at = 0; at < size; at += SGC_PART_SIZE) {
        const size_t n = size - at < SGC_PART_SIZE ? size - at : SGC_PART_SIZE;
        const bool whole = n == SGC_PART_SIZE || offset + size == version->size;
        part *p =
            whole ? part_new(url, offset + at, (const unsigned char *)data + at, n, version) : NULL;
        if (p != NULL)
            keep_locked(cache, p);
    }
    pthread_mutex_unlock(&cache->mutex);
}

/* The list may have been in the middle of a change: the child begins with an empty one. */
static void renew_in_child(void *object)
{
    sgc_part_cache *cache = object;
    pthread_mutex_init(&cache->mutex, NULL);
    cache->first = NULL;
    cache->count = 0;
}

sgc_status sgc_part_cache_new(size_t bytes, sgc_part_cache **out, sgc_error *err)
{
    sgc_part_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return sgc_fail_memory(err, sizeof *cache, "a cache of files");
    cache->most = bytes / SGC_PART_SIZE > 0 ? bytes / SGC_PART_SIZE : 1;
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
    while (cache->first != NULL)
        part_free(take_locked(cache, &cache->first));
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}
