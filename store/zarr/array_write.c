#include <stdlib.h>
#include <string.h>

#include "store/parallel.h"
#include "store/zarr/array.h"
#include "store/zarr/codecs.h"
#include "store/zarr/region.h"

void sgc_array_fill(const sgc_array_metadata *metadata, void *buffer, size_t count)
{
    const size_t size = sgc_data_type_size(metadata->type);
    unsigned char *out = buffer;
    if (count == 0)
        return;
    memcpy(out, metadata->fill_value, size);
    for (size_t done = size, total = count * size; done < total;) {
        const size_t n = done < total - done ? done : total - done;
        memcpy(out + done, out, n);
        done += n;
    }
}

/* A chunk repeats the fill value when its first item is it and each item equals the one before. */
static bool all_fill(const sgc_array_metadata *m, const unsigned char *chunk)
{
    const size_t size = sgc_data_type_size(m->type);
    return memcmp(chunk, m->fill_value, size) == 0 &&
           memcmp(chunk, chunk + size, m->chunk_bytes - size) == 0;
}

sgc_status sgc_array_write_chunk(sgc_repository *repository, const sgc_array_metadata *metadata,
                                 const void *chunk, unsigned threads, sgc_buffer *encoded,
                                 sgc_chunk_ref *ref, sgc_error *err)
{
    if (all_fill(metadata, chunk)) {
        *ref = (sgc_chunk_ref){.kind = SGC_CHUNK_NONE};
        return SGC_OK;
    }
    SGC_TRY(sgc_chunk_encode(metadata, chunk, threads, encoded, err));
    return sgc_repository_write_chunk(repository, encoded->data, encoded->size, ref, err);
}

/* ---- regions ---- */

typedef struct writing {
    sgc_session *session;
    const char *path;
    const sgc_array_metadata *metadata;
    const uint64_t *start, *count;
    const unsigned char *buffer;
    sgc_chunk_range range;
    unsigned encode_threads;
} writing;

/* True when the region has all that the array has of the chunk. */
static bool covers(const sgc_array_metadata *m, const uint32_t *coordinates, const sgc_region *r)
{
    for (size_t d = 0; d < m->dimension_count; d++) {
        const uint64_t left = m->shape[d] - coordinates[d] * m->chunk_shape[d];
        if (r->count[d] < left && r->count[d] < m->chunk_shape[d])
            return false;
    }
    return true;
}

/* Gives what is around the region in its chunk. */
static sgc_status load_rest(const writing *w, const uint32_t *coordinates, const sgc_region *region,
                            unsigned char *chunk, sgc_error *err)
{
    const sgc_array_metadata *m = w->metadata;
    if (region->run_count * region->run_bytes == m->chunk_bytes)
        return SGC_OK;
    sgc_chunk_ref ref = {.kind = SGC_CHUNK_NONE};
    sgc_manifest *keep = NULL;
    if (!covers(m, coordinates, region))
        SGC_TRY(sgc_session_find_chunk(w->session, w->path, coordinates, &ref, &keep, err));
    const sgc_status status =
        sgc_array_read_chunk(sgc_session_repository(w->session), m, &ref, chunk, err);
    sgc_manifest_unref(keep);
    return status;
}

static sgc_status put_chunk(const writing *w, const uint32_t *coordinates, unsigned char *chunk,
                            sgc_error *err)
{
    sgc_region region;
    sgc_region_init(&region, w->metadata, coordinates, w->start, w->count);
    SGC_TRY(load_rest(w, coordinates, &region, chunk, err));
    sgc_region_write(&region, w->buffer, chunk);
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    sgc_status status = sgc_array_write_chunk(sgc_session_repository(w->session), w->metadata,
                                              chunk, w->encode_threads, &encoded, &ref, err);
    if (status == SGC_OK)
        status = sgc_session_set_chunk(w->session, w->path, coordinates, &ref, err);
    sgc_buffer_free(&encoded);
    return status;
}

/* Nobody else writes the chunk between its being read and its being put. */
static sgc_status write_one(void *user, size_t index, sgc_error *err)
{
    const writing *w = user;
    uint32_t coordinates[SGC_ZARR_MAX_DIMENSIONS] = {0};
    sgc_chunk_range_at(&w->range, index, coordinates);
    unsigned char *chunk = malloc(w->metadata->chunk_bytes);
    if (chunk == NULL)
        return sgc_fail_memory(err, w->metadata->chunk_bytes, "a chunk");
    const size_t lock =
        sgc_session_lock_chunk(w->session, w->path, coordinates, w->range.dimension_count);
    const sgc_status status = put_chunk(w, coordinates, chunk, err);
    sgc_session_unlock_chunk(w->session, lock);
    free(chunk);
    return status;
}

static sgc_status write_all(writing *w, unsigned threads, sgc_error *err)
{
    SGC_TRY(sgc_chunk_range_init(&w->range, w->metadata, w->start, w->count, err));
    const size_t chunks = w->range.total;
    /* Blosc has threads of its own for those that would be idle. */
    w->encode_threads = chunks > 0 && threads > chunks ? (unsigned)(threads / chunks) : 1;
    return sgc_parallel_for(chunks, threads, write_one, w, err);
}

sgc_status sgc_array_write(sgc_session *session, const char *path, const uint64_t *start,
                           const uint64_t *count, const void *buffer, unsigned threads,
                           sgc_error *err)
{
    sgc_node node;
    sgc_array_metadata metadata = {0};
    SGC_TRY(sgc_session_get_node(session, path, &node, err));
    sgc_status status = sgc_array_metadata_read(&node, &metadata, err);
    if (status == SGC_OK) {
        writing w = {.session = session,
                     .path = path,
                     .metadata = &metadata,
                     .start = start,
                     .count = count,
                     .buffer = buffer};
        status = write_all(&w, threads, err);
        sgc_array_metadata_clear(&metadata);
    }
    if (status == SGC_OK)
        return SGC_OK;
    const char *place = sgc_repository_store(sgc_session_repository(session))->name;
    return sgc_fail_in(err, status, "%s: array %s", place, path);
}
