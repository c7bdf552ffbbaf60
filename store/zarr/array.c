#include "store/zarr/array.h"

#include <stdlib.h>
#include <string.h>

#include "store/parallel.h"
#include "store/zarr/block_cache.h"
#include "store/zarr/blosc_frame.h"
#include "store/zarr/codecs.h"
#include "store/zarr/region.h"

enum {
    FRAME_INDEX = UINT32_MAX,       /* the cache entry of a chunk's frame */
    WHOLE_CHUNK = UINT32_MAX - 1,   /* and of a chunk that was decoded whole */
    SMALLEST_BLOCK = 128,           /* Blosc makes no smaller ones where it makes several */
    RUN_BYTES = 1024 * 1024,        /* decoded bytes that one task handles */
    LARGEST_REGION_CHUNKS = 1 << 20 /* guards against absurd requests */
};

struct sgc_array {
    sgc_repository *repository;
    sgc_snapshot *snapshot;
    const sgc_node *node; /* borrowed from the snapshot */
    sgc_array_metadata metadata;
    uint32_t form; /* of its decoded chunks, for the cache */
};

/* A number that tells apart arrays that would decode the same object differently. Only metadata
 * that was changed in place gets that far; what would then be unsafe is checked as well. */
static uint32_t form_of(const sgc_array_metadata *m)
{
    const sgc_codecs *codecs = &m->codecs;
    uint32_t form = (uint32_t)sgc_data_type_size(m->type) << 1 | codecs->big_endian;
    for (size_t d = 0; codecs->transposed && d < m->dimension_count; d++)
        form = (form ^ codecs->order[d]) * 16777619u ^ (uint32_t)m->chunk_shape[d];
    for (size_t i = 0; i < codecs->count; i++)
        form = (form ^ (uint32_t)codecs->list[i].kind) * 16777619u;
    return form;
}

sgc_status sgc_array_metadata_read(const sgc_node *node, sgc_array_metadata *out, sgc_error *err)
{
    if (!node->is_array)
        return sgc_fail(err, SGC_NOT_FOUND, "it is a group, not an array");
    sgc_array_metadata metadata;
    SGC_TRY(sgc_array_metadata_parse((const char *)node->user_data, node->user_data_size, &metadata,
                                     err));
    if (metadata.dimension_count != node->dimension_count) {
        sgc_array_metadata_clear(&metadata);
        return sgc_fail(err, SGC_CORRUPT, "it has two different shapes");
    }
    *out = metadata;
    return SGC_OK;
}

static sgc_status name_array(const sgc_repository *repository, const char *path, sgc_status status,
                             sgc_error *err)
{
    return sgc_fail_in(err, status, "%s: array %s", sgc_repository_store(repository)->name, path);
}

sgc_status sgc_array_open(sgc_repository *repository, sgc_snapshot *snapshot, const char *path,
                          sgc_array **out, sgc_error *err)
{
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    if (node == NULL)
        return sgc_fail(err, SGC_NOT_FOUND, "%s has no array %s",
                        sgc_repository_store(repository)->name, path);
    sgc_array *array = calloc(1, sizeof *array);
    if (array == NULL)
        return sgc_fail_memory(err, sizeof *array, "an array");
    const sgc_status status = sgc_array_metadata_read(node, &array->metadata, err);
    if (status != SGC_OK) {
        free(array);
        return name_array(repository, path, status, err);
    }
    array->repository = repository;
    array->snapshot = sgc_snapshot_ref(snapshot);
    array->node = node;
    array->form = form_of(&array->metadata);
    *out = array;
    return SGC_OK;
}

void sgc_array_close(sgc_array *array)
{
    if (array == NULL)
        return;
    sgc_array_metadata_clear(&array->metadata);
    sgc_snapshot_unref(array->snapshot);
    free(array);
}

const sgc_array_metadata *sgc_array_get_metadata(const sgc_array *array)
{
    return &array->metadata;
}

/* ---- one chunk ---- */

/* A Blosc frame and where its blocks end, as one immutable cache entry. */
typedef struct frame_index {
    sgc_blosc_frame frame;
    uint32_t starts[]; /* block_count offsets, then ends */
} frame_index;

typedef struct chunk_job {
    uint32_t coordinates[SGC_ZARR_MAX_DIMENSIONS];
    sgc_region region;
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    sgc_block *index; /* frame_index; NULL for chunks that are read whole */
} chunk_job;

/* Blocks [first, end) of one chunk. */
typedef struct block_run {
    const chunk_job *job;
    uint32_t first, end;
} block_run;

typedef struct reading {
    const sgc_array *array;
    unsigned char *buffer;
    chunk_job *jobs;
    size_t job_count;
    block_run *runs;
    size_t run_count;
} reading;

static const frame_index *index_of(const chunk_job *job)
{
    return (const frame_index *)(const void *)job->index->data;
}

/* Of blocks and frames, which are the same to every reader. */
static sgc_block_key key_of(const sgc_array *array, const chunk_job *job, uint32_t block)
{
    return (sgc_block_key){.place = sgc_repository_place(array->repository),
                           .chunk = job->ref.id,
                           .index = block,
                           .offset = job->ref.offset};
}

/* Objects never change and have names of their own; inline chunks have none, and are decoded block
 * by block each time. */
static sgc_block *get_block(const sgc_array *array, const chunk_job *job, uint32_t block)
{
    const sgc_block_key key = key_of(array, job, block);
    return job->ref.kind == SGC_CHUNK_NATIVE ? sgc_block_cache_get(&key) : NULL;
}

static void keep_block(const sgc_array *array, const chunk_job *job, uint32_t index,
                       sgc_block *block)
{
    const sgc_block_key key = key_of(array, job, index);
    if (job->ref.kind == SGC_CHUNK_NATIVE)
        sgc_block_cache_put(&key, block);
}

/* True where the Blosc frame holds the items as they are. */
static bool reads_blocks(const sgc_array_metadata *m)
{
    const sgc_codecs *codecs = &m->codecs;
    return codecs->count == 1 && codecs->list[0].kind == SGC_BLOSC && !codecs->transposed &&
           (!codecs->big_endian || sgc_data_type_size(m->type) == 1);
}

static sgc_status check_length(const sgc_array_metadata *m, const sgc_chunk_ref *ref,
                               sgc_error *err)
{
    return ref->length <= sgc_chunk_most_encoded(m)
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "%llu bytes are too many for a chunk of %zu",
                          (unsigned long long)ref->length, m->chunk_bytes);
}

static sgc_status read_offsets(sgc_repository *repository, const chunk_job *job, frame_index *index,
                               sgc_error *err)
{
    const uint32_t n = index->frame.block_count;
    if (index->frame.stored) {
        for (uint32_t i = 0; i < n; i++) {
            index->starts[i] = SGC_BLOSC_HEADER + i * index->frame.block_size;
            index->starts[n + i] = index->starts[i] + sgc_blosc_block_size(&index->frame, i);
        }
        return SGC_OK;
    }
    sgc_object offsets = {0};
    SGC_TRY(sgc_repository_read_chunk(repository, &job->ref, SGC_BLOSC_HEADER, (uint64_t)n * 4,
                                      &offsets, err));
    memcpy(index->starts, offsets.data, offsets.size);
    sgc_object_clear(&offsets);
    return sgc_blosc_find_ends(&index->frame, index->starts, index->starts + n, err);
}

static sgc_status read_frame(const sgc_array *array, const chunk_job *job, sgc_blosc_frame *frame,
                             sgc_error *err)
{
    const sgc_array_metadata *m = &array->metadata;
    sgc_object header = {0};
    SGC_TRY(check_length(m, &job->ref, err));
    SGC_TRY(
        sgc_repository_read_chunk(array->repository, &job->ref, 0, SGC_BLOSC_HEADER, &header, err));
    const sgc_status status =
        sgc_blosc_parse(header.data, job->ref.length, m->chunk_bytes, frame, err);
    sgc_object_clear(&header);
    return status;
}

/* Gives the frame of a Blosc chunk, from its header and its offsets and nothing else of the object;
 * NULL where its blocks are not worth it. */
static sgc_status load_index(const sgc_array *array, const chunk_job *job, sgc_block **out,
                             sgc_error *err)
{
    if ((*out = get_block(array, job, FRAME_INDEX)) != NULL)
        return SGC_OK;
    sgc_blosc_frame frame;
    SGC_TRY(read_frame(array, job, &frame, err));
    if (frame.block_size < SMALLEST_BLOCK && frame.block_count > 1)
        return SGC_OK;
    const size_t size = sizeof(frame_index) + (size_t)frame.block_count * 2 * sizeof(uint32_t);
    sgc_block *block = sgc_block_new(size);
    if (block == NULL)
        return sgc_fail_memory(err, size, "a Blosc frame");
    frame_index *index = (frame_index *)(void *)block->data;
    index->frame = frame;
    const sgc_status status = read_offsets(array->repository, job, index, err);
    if (status != SGC_OK) {
        sgc_block_unref(block);
        return status;
    }
    keep_block(array, job, FRAME_INDEX, block);
    *out = block;
    return SGC_OK;
}

static sgc_status name_chunk(const sgc_chunk_ref *ref, sgc_status status, sgc_error *err)
{
    char id[SGC_OBJECT_ID_TEXT + 1] = "(not an object)";
    if (ref->kind == SGC_CHUNK_NATIVE)
        sgc_object_id_format(&ref->id, id);
    return sgc_fail_in(err, status, "chunk %s", id);
}

/* As above, of a frame that is known to hold the chunk. */
static sgc_status find_index(const sgc_array *array, chunk_job *job, sgc_error *err)
{
    const size_t size = array->metadata.chunk_bytes;
    sgc_status status = load_index(array, job, &job->index, err);
    if (status == SGC_OK && job->index != NULL && index_of(job)->frame.decoded_size != size)
        status = sgc_fail(err, SGC_CORRUPT, "a Blosc frame of %u bytes for a chunk of %zu",
                          index_of(job)->frame.decoded_size, size);
    return status == SGC_OK ? SGC_OK : name_chunk(&job->ref, status, err);
}

static sgc_status fetch_and_decode(sgc_repository *repository, const sgc_array_metadata *metadata,
                                   const sgc_chunk_ref *ref, void *chunk, sgc_error *err)
{
    sgc_object encoded = {0};
    SGC_TRY(check_length(metadata, ref, err));
    SGC_TRY(sgc_repository_read_chunk(repository, ref, 0, ref->length, &encoded, err));
    const sgc_status status = sgc_chunk_decode(metadata, encoded.data, encoded.size, chunk, err);
    sgc_object_clear(&encoded);
    return status;
}

sgc_status sgc_array_read_chunk(sgc_repository *repository, const sgc_array_metadata *metadata,
                                const sgc_chunk_ref *ref, void *chunk, sgc_error *err)
{
    if (ref->kind == SGC_CHUNK_NONE) {
        sgc_array_fill(metadata, chunk, metadata->chunk_bytes / sgc_data_type_size(metadata->type));
        return SGC_OK;
    }
    const sgc_status status = fetch_and_decode(repository, metadata, ref, chunk, err);
    return status == SGC_OK ? SGC_OK : name_chunk(ref, status, err);
}

/* Gives the decoded chunk. Native chunks are kept in the cache. */
static sgc_status load_whole(const sgc_array *array, const chunk_job *job, sgc_block **out,
                             sgc_error *err)
{
    const size_t size = array->metadata.chunk_bytes;
    const bool cached = job->ref.kind == SGC_CHUNK_NATIVE;
    sgc_block_key key = key_of(array, job, WHOLE_CHUNK);
    key.form = array->form;
    sgc_block *block = cached ? sgc_block_cache_get(&key) : NULL;
    if (block != NULL && block->size == size) {
        *out = block;
        return SGC_OK;
    }
    sgc_block_unref(block);
    block = sgc_block_new(size);
    if (block == NULL)
        return sgc_fail_memory(err, size, "a chunk");
    const sgc_status status =
        sgc_array_read_chunk(array->repository, &array->metadata, &job->ref, block->data, err);
    if (status != SGC_OK) {
        sgc_block_unref(block);
        return status;
    }
    if (cached)
        sgc_block_cache_put(&key, block);
    *out = block;
    return SGC_OK;
}

static sgc_status read_whole(const reading *r, const chunk_job *job, sgc_error *err)
{
    sgc_block *block = NULL;
    SGC_TRY(load_whole(r->array, job, &block, err));
    sgc_region_read(&job->region, 0, block->size, block->data, r->buffer);
    sgc_block_unref(block);
    return SGC_OK;
}

/* First pass: where the chunk is; small ones are read at once. */
static sgc_status prepare(void *user, size_t at, sgc_error *err)
{
    reading *r = user;
    const sgc_array *array = r->array;
    chunk_job *job = &r->jobs[at];
    SGC_TRY(sgc_repository_find_chunk(array->repository, sgc_snapshot_get(array->snapshot),
                                      array->node, job->coordinates, &job->ref, &job->keep, err));
    if (job->ref.kind == SGC_CHUNK_NONE) {
        sgc_region_fill(&job->region, &array->metadata, r->buffer);
        return SGC_OK;
    }
    sgc_status status = SGC_OK;
    const bool is_ours = job->ref.kind == SGC_CHUNK_NATIVE || job->ref.kind == SGC_CHUNK_INLINE;
    if (is_ours && reads_blocks(&array->metadata))
        status = find_index(array, job, err);
    if (status == SGC_OK && job->index == NULL)
        status = read_whole(r, job, err);
    return status == SGC_OK ? SGC_OK
                            : name_array(array->repository, array->node->path, status, err);
}

/* Decodes block `i` from `encoded`, the bytes of the object from offset `base` on. */
static sgc_status decode_block(const chunk_job *job, uint32_t i, const sgc_object *encoded,
                               uint32_t base, sgc_block **out, sgc_error *err)
{
    const frame_index *index = index_of(job);
    const uint32_t n = index->frame.block_count;
    sgc_block *block = sgc_block_new(index->frame.block_size);
    if (block == NULL)
        return sgc_fail_memory(err, index->frame.block_size, "a block");
    const sgc_status status =
        sgc_blosc_decode_block(&index->frame, i, encoded->data + (index->starts[i] - base),
                               index->starts[n + i] - index->starts[i], block->data, err);
    if (status != SGC_OK) {
        sgc_block_unref(block);
        return status;
    }
    *out = block;
    return SGC_OK;
}

static void copy_block(const reading *r, const chunk_job *job, uint32_t i, const sgc_block *block)
{
    const sgc_blosc_frame *frame = &index_of(job)->frame;
    const uint64_t from = (uint64_t)i * frame->block_size;
    sgc_region_read(&job->region, from, from + sgc_blosc_block_size(frame, i), block->data,
                    r->buffer);
}

/* Fetches, decodes, keeps and copies the blocks [first, end), which follow each other in the
 * object. */
static sgc_status read_missing(const reading *r, const chunk_job *job, uint32_t first, uint32_t end,
                               sgc_error *err)
{
    const frame_index *index = index_of(job);
    const uint32_t base = index->starts[first];
    const uint32_t size = index->starts[index->frame.block_count + end - 1] - base;
    sgc_object encoded = {0};
    SGC_TRY(sgc_repository_read_chunk(r->array->repository, &job->ref, base, size, &encoded, err));
    sgc_status status = SGC_OK;
    for (uint32_t i = first; status == SGC_OK && i < end; i++) {
        sgc_block *block = NULL;
        status = decode_block(job, i, &encoded, base, &block, err);
        if (status == SGC_OK) {
            copy_block(r, job, i, block);
            keep_block(r->array, job, i, block);
            sgc_block_unref(block);
        }
    }
    sgc_object_clear(&encoded);
    return status;
}

static bool follows(const frame_index *index, uint32_t i)
{
    return index->starts[i] == index->starts[index->frame.block_count + i - 1];
}

/* Second pass: one run of blocks. Neighbours that are not in the cache are fetched in one piece. */
static sgc_status read_run(void *user, size_t at, sgc_error *err)
{
    const reading *r = user;
    const block_run *run = &r->runs[at];
    const chunk_job *job = run->job;
    const frame_index *index = index_of(job);
    const uint32_t block_size = index->frame.block_size;
    uint32_t missing = 0;
    for (uint32_t i = run->first; i <= run->end; i++) {
        sgc_block *block = NULL;
        bool wanted = false;
        if (i < run->end) {
            const uint64_t from = (uint64_t)i * block_size;
            wanted = sgc_region_meets(&job->region, from, from + block_size);
            block = wanted ? get_block(r->array, job, i) : NULL;
        }
        const bool fetch = wanted && block == NULL;
        if (missing > 0 && (!fetch || !follows(index, i))) {
            const sgc_status status = read_missing(r, job, i - missing, i, err);
            if (status != SGC_OK) {
                sgc_block_unref(block);
                return name_array(r->array->repository, r->array->node->path,
                                  name_chunk(&job->ref, status, err), err);
            }
            missing = 0;
        }
        missing += fetch;
        if (block != NULL)
            copy_block(r, job, i, block);
        sgc_block_unref(block);
    }
    return SGC_OK;
}

/* Divides the blocks between a region's first and last byte into runs. */
static sgc_status plan_runs(reading *r, sgc_error *err)
{
    for (int pass = 0; pass < 2; pass++) {
        size_t n = 0;
        for (size_t i = 0; i < r->job_count; i++) {
            const chunk_job *job = &r->jobs[i];
            if (job->index == NULL)
                continue;
            const uint32_t block = index_of(job)->frame.block_size;
            const uint32_t end = (uint32_t)((sgc_region_end(&job->region) - 1) / block) + 1;
            const uint32_t step = block < RUN_BYTES ? RUN_BYTES / block : 1;
            for (uint32_t first = (uint32_t)(job->region.chunk_offset / block); first < end;
                 first += step) {
                if (pass == 1)
                    r->runs[n] = (block_run){job, first, end - first < step ? end : first + step};
                n++;
            }
        }
        if (pass == 0 && (r->runs = calloc(n > 0 ? n : 1, sizeof *r->runs)) == NULL)
            return sgc_fail_memory(err, n * sizeof *r->runs, "a read");
        r->run_count = n;
    }
    return SGC_OK;
}

/* ---- the whole read ---- */

static sgc_status plan_jobs(reading *r, const uint64_t *start, const uint64_t *count,
                            sgc_error *err)
{
    const sgc_array_metadata *m = &r->array->metadata;
    sgc_chunk_range range;
    SGC_TRY(sgc_chunk_range_init(&range, m, start, count, err));
    if (range.total > LARGEST_REGION_CHUNKS)
        return sgc_fail(err, SGC_INVALID, "a read of too many chunks at once");
    r->jobs = calloc(range.total > 0 ? range.total : 1, sizeof *r->jobs);
    if (r->jobs == NULL)
        return sgc_fail_memory(err, range.total * sizeof *r->jobs, "a read");
    r->job_count = range.total;
    for (size_t i = 0; i < range.total; i++) {
        sgc_chunk_range_at(&range, i, r->jobs[i].coordinates);
        sgc_region_init(&r->jobs[i].region, m, r->jobs[i].coordinates, start, count);
    }
    return SGC_OK;
}

static sgc_status read_planned(reading *r, unsigned threads, sgc_error *err)
{
    SGC_TRY(sgc_parallel_for(r->job_count, threads, prepare, r, err));
    SGC_TRY(plan_runs(r, err));
    return sgc_parallel_for(r->run_count, threads, read_run, r, err);
}

sgc_status sgc_array_read(const sgc_array *array, const uint64_t *start, const uint64_t *count,
                          void *buffer, unsigned threads, sgc_error *err)
{
    reading r = {.array = array, .buffer = buffer};
    sgc_status status = plan_jobs(&r, start, count, err);
    if (status != SGC_OK)
        return name_array(array->repository, array->node->path, status, err);
    status = read_planned(&r, threads, err);
    for (size_t i = 0; i < r.job_count; i++) {
        sgc_manifest_unref(r.jobs[i].keep);
        sgc_block_unref(r.jobs[i].index);
    }
    free(r.jobs);
    free(r.runs);
    return status;
}

sgc_status sgc_array_has_chunk(const sgc_array *array, const uint32_t *coordinates, bool *stored,
                               sgc_error *err)
{
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    SGC_TRY(sgc_repository_find_chunk(array->repository, sgc_snapshot_get(array->snapshot),
                                      array->node, coordinates, &ref, &keep, err));
    sgc_manifest_unref(keep);
    *stored = ref.kind != SGC_CHUNK_NONE;
    return SGC_OK;
}
