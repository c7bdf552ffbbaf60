#include "store/icechunk/manifest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/fork.h"
#include "store/icechunk/metadata_file.h"

enum { SMALLEST_FILE = 40, LARGEST_COUNT = 10 * 1000 * 1000, BUCKETS = 4096 };

struct sgc_manifest {
    atomic_uint references;
    sgc_arena arena;
    sgc_manifest_data data;
};

static sgc_manifest *manifest_ref(sgc_manifest *manifest)
{
    atomic_fetch_add(&manifest->references, 1);
    return manifest;
}

void sgc_manifest_unref(sgc_manifest *manifest)
{
    if (manifest != NULL && atomic_fetch_sub(&manifest->references, 1) == 1) {
        sgc_arena_free(&manifest->arena);
        free(manifest);
    }
}

const sgc_manifest_data *sgc_manifest_get(const sgc_manifest *manifest)
{
    return &manifest->data;
}

static int compare_array(const void *node, const void *array)
{
    return sgc_node_id_compare(node, &((const sgc_array_manifest *)array)->node);
}

const sgc_array_manifest *sgc_manifest_find_array(const sgc_manifest *manifest,
                                                  const sgc_node_id *node)
{
    const sgc_manifest_data *data = &manifest->data;
    return data->array_count == 0 ? NULL
                                  : bsearch(node, data->arrays, data->array_count,
                                            sizeof *data->arrays, compare_array);
}

const sgc_chunk_ref *sgc_manifest_find_ref(const sgc_array_manifest *array,
                                           const uint32_t *coordinates)
{
    size_t low = 0, high = array->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const uint32_t *at = array->coordinates + middle * array->dimension_count;
        size_t d = 0;
        while (d < array->dimension_count && at[d] == coordinates[d])
            d++;
        if (d == array->dimension_count)
            return &array->refs[middle];
        if (at[d] < coordinates[d])
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static sgc_status decode(const sgc_buffer *payload, const sgc_object_id *id, sgc_manifest *manifest,
                         sgc_error *err)
{
    SGC_TRY(
        sgc_manifest_decode(payload->data, payload->size, &manifest->arena, &manifest->data, err));
    return sgc_object_id_compare(&manifest->data.id, id) == 0
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "the file holds another manifest");
}

static sgc_status read_and_decode(sgc_object_store *store, const sgc_manifest_file *file,
                                  sgc_manifest *manifest, sgc_error *err)
{
    if (file->size_bytes < SMALLEST_FILE || file->size_bytes == SGC_TO_END) {
        sgc_fail(err, SGC_CORRUPT, "cannot have %llu bytes", (unsigned long long)file->size_bytes);
        return sgc_metadata_file_fail(store, SGC_FILE_MANIFEST, &file->id, SGC_CORRUPT, err);
    }
    sgc_buffer payload = {0};
    int version;
    sgc_status status = sgc_metadata_file_read(store, SGC_FILE_MANIFEST, &file->id,
                                               file->size_bytes, &version, &payload, err);
    if (status == SGC_OK) {
        status = decode(&payload, &file->id, manifest, err);
        if (status != SGC_OK)
            sgc_metadata_file_fail(store, SGC_FILE_MANIFEST, &file->id, status, err);
    }
    sgc_buffer_free(&payload);
    return status;
}

static sgc_status load(sgc_object_store *store, const sgc_manifest_file *file, sgc_manifest **out,
                       sgc_error *err)
{
    sgc_manifest *manifest = calloc(1, sizeof *manifest);
    if (manifest == NULL)
        return sgc_fail_memory(err, sizeof *manifest, "a manifest");
    atomic_init(&manifest->references, 1);
    const sgc_status status = read_and_decode(store, file, manifest, err);
    if (status != SGC_OK) {
        sgc_manifest_unref(manifest);
        return status;
    }
    *out = manifest;
    return SGC_OK;
}

typedef struct cached {
    struct cached *next;          /* in its bucket */
    struct cached *newer, *older; /* by their last use */
    sgc_manifest *manifest;
} cached;

struct sgc_manifest_cache {
    sgc_object_store *store;
    size_t max_bytes, bytes;
    pthread_mutex_t mutex;
    cached *buckets[BUCKETS]; /* by id */
    cached *newest, *oldest;
    sgc_fork_watch forks;
};

static void forget_all(sgc_manifest_cache *cache)
{
    memset(cache->buckets, 0, sizeof cache->buckets);
    cache->newest = cache->oldest = NULL;
    cache->bytes = 0;
}

/* The lists may have been in the middle of a change: the child begins with empty ones. */
static void renew_in_child(void *object)
{
    sgc_manifest_cache *cache = object;
    pthread_mutex_init(&cache->mutex, NULL);
    forget_all(cache);
}

sgc_status sgc_manifest_cache_new(sgc_object_store *store, size_t max_bytes,
                                  sgc_manifest_cache **out, sgc_error *err)
{
    sgc_manifest_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return sgc_fail_memory(err, sizeof *cache, "a cache");
    cache->store = store;
    cache->max_bytes = max_bytes;
    pthread_mutex_init(&cache->mutex, NULL);
    sgc_fork_watch_begin(&cache->forks, renew_in_child, cache);
    *out = cache;
    return SGC_OK;
}

/* The link to the entry of the manifest `id`, or to the end of the bucket where it belongs. */
static cached **find(sgc_manifest_cache *cache, const sgc_object_id *id)
{
    cached **link = &cache->buckets[(id->bytes[0] << 8 | id->bytes[1]) % BUCKETS];
    while (*link != NULL && sgc_object_id_compare(&(*link)->manifest->data.id, id) != 0)
        link = &(*link)->next;
    return link;
}

static void unlink_use(sgc_manifest_cache *cache, const cached *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void link_newest(sgc_manifest_cache *cache, cached *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void drop_oldest(sgc_manifest_cache *cache)
{
    cached *entry = cache->oldest;
    *find(cache, &entry->manifest->data.id) = entry->next;
    unlink_use(cache, entry);
    cache->bytes -= entry->manifest->arena.held;
    sgc_manifest_unref(entry->manifest);
    free(entry);
}

void sgc_manifest_cache_free(sgc_manifest_cache *cache)
{
    if (cache == NULL)
        return;
    sgc_fork_watch_end(&cache->forks);
    while (cache->oldest != NULL)
        drop_oldest(cache);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* A counted reference to the cached manifest `id`, which becomes the newest; NULL if absent. */
static sgc_manifest *lookup(sgc_manifest_cache *cache, const sgc_object_id *id)
{
    cached *entry = *find(cache, id);
    if (entry == NULL)
        return NULL;
    unlink_use(cache, entry);
    link_newest(cache, entry);
    return manifest_ref(entry->manifest);
}

/* Keeps `manifest`, which is not there, if that can be done: a cache may forget. */
static void insert(sgc_manifest_cache *cache, sgc_manifest *manifest)
{
    cached *entry = malloc(sizeof *entry);
    if (entry == NULL)
        return;
    *entry = (cached){.manifest = manifest_ref(manifest)};
    *find(cache, &manifest->data.id) = entry;
    link_newest(cache, entry);
    cache->bytes += manifest->arena.held;
    while (cache->bytes > cache->max_bytes)
        drop_oldest(cache);
}

sgc_status sgc_manifest_cache_get(sgc_manifest_cache *cache, const sgc_manifest_file *file,
                                  sgc_manifest **out, sgc_error *err)
{
    pthread_mutex_lock(&cache->mutex);
    sgc_manifest *manifest = lookup(cache, &file->id);
    pthread_mutex_unlock(&cache->mutex);
    if (manifest == NULL) {
        SGC_TRY(load(cache->store, file, &manifest, err));
        pthread_mutex_lock(&cache->mutex);
        sgc_manifest *other = lookup(cache, &file->id);
        if (other == NULL)
            insert(cache, manifest);
        sgc_manifest_unref(other);
        pthread_mutex_unlock(&cache->mutex);
    }
    *out = manifest;
    return SGC_OK;
}

sgc_status sgc_manifest_store(sgc_object_store *store, sgc_manifest_data *data,
                              sgc_manifest_file *file, sgc_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < data->array_count; i++)
        count += data->arrays[i].count;
    if (count == 0 || count > LARGEST_COUNT)
        return sgc_fail(err, SGC_UNSUPPORTED, "a manifest of %zu references", count);
    SGC_TRY(sgc_object_id_random(&data->id, err));
    sgc_buffer payload = {0};
    uint64_t size;
    sgc_status status = sgc_manifest_encode(data, &payload, err);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(store, SGC_FILE_MANIFEST, &data->id, data->spec_version,
                                         &payload, SGC_PUT_ALWAYS, &size, err);
    if (status == SGC_OK)
        *file = (sgc_manifest_file){
            .id = data->id, .size_bytes = size, .num_chunk_refs = (uint32_t)count};
    sgc_buffer_free(&payload);
    return status;
}
