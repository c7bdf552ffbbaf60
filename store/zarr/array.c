#include "store/zarr/array.h"

#include <stdlib.h>
#include <string.h>

#include "store/parallel.h"
#include "store/zarr/block_cache.h"
#include "store/zarr/codecs.h"

enum {
    FRAME_INDEX = UINT32_MAX,       /* the cache entry of a chunk's frame */
    RUN_BYTES = 1024 * 1024,        /* decoded bytes that one task handles */
    LARGEST_REGION_CHUNKS = 1 << 20 /* guards against absurd requests */
};

struct sgc_array {
    sgc_repository *repository;
    sgc_snapshot *snapshot;
    const sgc_node *node; /* borrowed from the snapshot */
    sgc_array_metadata metadata;
};

sgc_status sgc_array_open(sgc_repository *repository, sgc_snapshot *snapshot, const char *path,
                          sgc_array **out, sgc_error *err)
{
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    if (node == NULL || !node->is_array)
        return sgc_fail(err, SGC_NOT_FOUND, "%s has no array %s",
                        sgc_repository_store(repository)->name, path);
    sgc_array *array = calloc(1, sizeof *array);
    if (array == NULL)
        return sgc_fail_memory(err, sizeof *array, "an array");
    const sgc_status status = sgc_array_metadata_parse((const char *)node->user_data,
                                                       node->user_data_size, &array->metadata, err);
    if (status != SGC_OK) {
        free(array);
        return sgc_fail_in(err, status, "%s: array %s", sgc_repository_store(repository)->name,
                           path);
    }
    if (array->metadata.dimension_count != node->dimension_count) {
        sgc_array_metadata_clear(&array->metadata);
        free(array);
        return sgc_fail(err, SGC_CORRUPT, "%s: array %s has two different shapes",
                        sgc_repository_store(repository)->name, path);
    }
    array->repository = repository;
    array->snapshot = sgc_snapshot_ref(snapshot);
    array->node = node;
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

/* ---- regions ---- */

/* The part of one chunk that a read wants: runs of consecutive items, in ascending order both in
 * the chunk and in the output. */
typedef struct region {
    size_t dimension_count;
    size_t item_size;
    uint64_t count[SGC_ZARR_MAX_DIMENSIONS];        /* items wanted along each dimension */
    uint64_t chunk_stride[SGC_ZARR_MAX_DIMENSIONS]; /* bytes */
    uint64_t out_stride[SGC_ZARR_MAX_DIMENSIONS];   /* bytes */
    uint64_t chunk_offset;                          /* bytes, of the first item */
    unsigned char *out;                             /* of the first item */
    uint64_t run_count, run_bytes;
} region;

static uint64_t run_offset(const region *r, uint64_t index, const uint64_t *stride)
{
    uint64_t offset = 0;
    for (size_t d = r->dimension_count; d-- > 1;) {
        offset += index % r->count[d - 1] * stride[d - 1];
        index /= r->count[d - 1];
    }
    return offset;
}

/* The first run that ends behind byte `from` of the chunk. */
static uint64_t first_run(const region *r, uint64_t from)
{
    uint64_t low = 0, high = r->run_count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (r->chunk_offset + run_offset(r, middle, r->chunk_stride) + r->run_bytes <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* True when the region wants any of the bytes [from, to) of the chunk. */
static bool meets(const region *r, uint64_t from, uint64_t to)
{
    const uint64_t run = first_run(r, from);
    return run < r->run_count && r->chunk_offset + run_offset(r, run, r->chunk_stride) < to;
}

/* Copies what the region wants of the decoded bytes [from, to) of the chunk. */
static void copy_out(const region *r, uint64_t from, uint64_t to, const unsigned char *decoded)
{
    for (uint64_t run = first_run(r, from); run < r->run_count; run++) {
        const uint64_t start = r->chunk_offset + run_offset(r, run, r->chunk_stride);
        if (start >= to)
            break;
        const uint64_t first = start > from ? start : from;
        const uint64_t end = start + r->run_bytes < to ? start + r->run_bytes : to;
        memcpy(r->out + run_offset(r, run, r->out_stride) + (first - start),
               decoded + (first - from), (size_t)(end - first));
    }
}

static void fill_out(const region *r, const sgc_array_metadata *metadata)
{
    for (uint64_t run = 0; run < r->run_count; run++)
        sgc_array_fill(metadata, r->out + run_offset(r, run, r->out_stride),
                       (size_t)(r->run_bytes / r->item_size));
}

/* ---- one chunk ---- */

/* A Blosc frame and where its blocks end, as one immutable cache entry. */
typedef struct frame_index {
    sgc_blosc_frame frame;
    uint32_t starts[]; /* block_count offsets, then ends */
} frame_index;

typedef struct chunk_job {
    uint32_t coordinates[SGC_ZARR_MAX_DIMENSIONS];
    region region;
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    sgc_block *index; /* frame_index; NULL for chunks that are decoded whole */
} chunk_job;

/* Blocks [first, end) of one chunk. */
typedef struct block_run {
    const chunk_job *job;
    uint32_t first, end;
} block_run;

typedef struct reading {
    const sgc_array *array;
    chunk_job *jobs;
    size_t job_count;
    block_run *runs;
    size_t run_count;
} reading;

static const frame_index *index_of(const chunk_job *job)
{
    return (const frame_index *)(const void *)job->index->data;
}

static sgc_block_key key_of(const chunk_job *job, uint32_t block)
{
    return (sgc_block_key){.chunk = job->ref.id, .index = block, .offset = job->ref.offset};
}

static int compare_offsets(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* Blocks may stand in any order: each ends where the next one in the file begins. */
static sgc_status find_ends(frame_index *index, sgc_error *err)
{
    const uint32_t n = index->frame.block_count;
    const uint32_t smallest = SGC_BLOSC_HEADER + 4 * n;
    uint32_t *ends = index->starts + n, *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL)
        return sgc_fail_memory(err, n * sizeof *sorted, "a Blosc frame");
    memcpy(sorted, index->starts, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_offsets);
    sgc_status status = SGC_OK;
    for (uint32_t i = 0; i < n && status == SGC_OK; i++) {
        const uint32_t *at = bsearch(&index->starts[i], sorted, n, sizeof *sorted, compare_offsets);
        const size_t next = (size_t)(at - sorted) + 1;
        ends[i] = next < n ? sorted[next] : index->frame.encoded_size;
        if (index->starts[i] < smallest || ends[i] <= index->starts[i] ||
            ends[i] > index->frame.encoded_size)
            status = sgc_fail(err, SGC_CORRUPT, "a Blosc frame with bad offsets");
    }
    free(sorted);
    return status;
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
    return find_ends(index, err);
}

/* Finds the frame of a Blosc chunk: its header and its offsets, nothing else of the object. */
static sgc_status load_index(const sgc_array *array, chunk_job *job, sgc_error *err)
{
    const sgc_block_key key = key_of(job, FRAME_INDEX);
    job->index = sgc_block_cache_get(&key);
    if (job->index != NULL)
        return SGC_OK;
    sgc_object header = {0};
    SGC_TRY(
        sgc_repository_read_chunk(array->repository, &job->ref, 0, SGC_BLOSC_HEADER, &header, err));
    sgc_blosc_frame frame;
    const sgc_status parsed =
        sgc_blosc_parse(&array->metadata, header.data, job->ref.length, &frame, err);
    sgc_object_clear(&header);
    SGC_TRY(parsed);
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
    sgc_block_cache_put(&key, block);
    job->index = block;
    return SGC_OK;
}

/* Gives the decoded chunk. Native chunks are kept in the cache as their block 0. */
static sgc_status load_whole(const sgc_array *array, const chunk_job *job, sgc_block **out,
                             sgc_error *err)
{
    const sgc_block_key key = key_of(job, 0);
    const bool cached = job->ref.kind == SGC_CHUNK_NATIVE;
    if (cached && (*out = sgc_block_cache_get(&key)) != NULL)
        return SGC_OK;
    sgc_block *block = sgc_block_new(array->metadata.chunk_bytes);
    if (block == NULL)
        return sgc_fail_memory(err, array->metadata.chunk_bytes, "a chunk");
    sgc_object encoded = {0};
    sgc_status status =
        sgc_repository_read_chunk(array->repository, &job->ref, 0, job->ref.length, &encoded, err);
    if (status == SGC_OK)
        status = sgc_chunk_decode(&array->metadata, encoded.data, encoded.size, block->data, err);
    sgc_object_clear(&encoded);
    if (status != SGC_OK) {
        sgc_block_unref(block);
        return status;
    }
    if (cached)
        sgc_block_cache_put(&key, block);
    *out = block;
    return SGC_OK;
}

static sgc_status read_whole(const sgc_array *array, const chunk_job *job, sgc_error *err)
{
    sgc_block *block;
    SGC_TRY(load_whole(array, job, &block, err));
    copy_out(&job->region, 0, array->metadata.chunk_bytes, block->data);
    sgc_block_unref(block);
    return SGC_OK;
}

static sgc_status name_chunk(const sgc_array *array, const chunk_job *job, sgc_status status,
                             sgc_error *err)
{
    char id[SGC_OBJECT_ID_TEXT + 1] = "(not an object)";
    if (job->ref.kind == SGC_CHUNK_NATIVE)
        sgc_object_id_format(&job->ref.id, id);
    return sgc_fail_in(err, status, "%s: array %s, chunk %s",
                       sgc_repository_store(array->repository)->name, array->node->path, id);
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
        fill_out(&job->region, &array->metadata);
        return SGC_OK;
    }
    sgc_status status;
    if (job->ref.kind == SGC_CHUNK_NATIVE && array->metadata.codecs.compression == SGC_BLOSC)
        status = load_index(array, job, err);
    else
        status = read_whole(array, job, err);
    return status == SGC_OK ? SGC_OK : name_chunk(array, job, status, err);
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

static void copy_block(const chunk_job *job, uint32_t i, const sgc_block *block)
{
    const sgc_blosc_frame *frame = &index_of(job)->frame;
    const uint64_t from = (uint64_t)i * frame->block_size;
    copy_out(&job->region, from, from + sgc_blosc_block_size(frame, i), block->data);
}

/* Fetches, decodes, keeps and copies the blocks [first, end), which follow each other in the
 * object. */
static sgc_status read_missing(const sgc_array *array, const chunk_job *job, uint32_t first,
                               uint32_t end, sgc_error *err)
{
    const frame_index *index = index_of(job);
    const uint32_t base = index->starts[first];
    const uint32_t size = index->starts[index->frame.block_count + end - 1] - base;
    sgc_object encoded = {0};
    SGC_TRY(sgc_repository_read_chunk(array->repository, &job->ref, base, size, &encoded, err));
    sgc_status status = SGC_OK;
    for (uint32_t i = first; status == SGC_OK && i < end; i++) {
        sgc_block *block = NULL;
        status = decode_block(job, i, &encoded, base, &block, err);
        if (status == SGC_OK) {
            copy_block(job, i, block);
            const sgc_block_key key = key_of(job, i);
            sgc_block_cache_put(&key, block);
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
            const sgc_block_key key = key_of(job, i);
            wanted = meets(&job->region, from, from + block_size);
            block = wanted ? sgc_block_cache_get(&key) : NULL;
        }
        const bool fetch = wanted && block == NULL;
        if (missing > 0 && (!fetch || !follows(index, i))) {
            const sgc_status status = read_missing(r->array, job, i - missing, i, err);
            if (status != SGC_OK) {
                sgc_block_unref(block);
                return name_chunk(r->array, job, status, err);
            }
            missing = 0;
        }
        missing += fetch;
        if (block != NULL)
            copy_block(job, i, block);
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
            const region *g = &job->region;
            const uint64_t last =
                g->chunk_offset + run_offset(g, g->run_count - 1, g->chunk_stride) + g->run_bytes;
            const uint32_t end = (uint32_t)((last - 1) / block) + 1;
            const uint32_t step = block < RUN_BYTES ? RUN_BYTES / block : 1;
            for (uint32_t first = (uint32_t)(g->chunk_offset / block); first < end; first += step) {
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

/* The region of the chunk at `coordinates` in a read of [start, start + count) into `buffer`. */
static void init_region(const sgc_array_metadata *m, const uint32_t *coordinates,
                        const uint64_t *start, const uint64_t *count, unsigned char *buffer,
                        region *r)
{
    const size_t n = m->dimension_count;
    *r = (region){.dimension_count = n, .item_size = sgc_data_type_size(m->type), .run_count = 1};
    uint64_t chunk_stride = r->item_size, out_stride = r->item_size;
    r->out = buffer;
    r->run_bytes = r->item_size;
    for (size_t d = n; d-- > 0;) {
        const uint64_t chunk_start = coordinates[d] * m->chunk_shape[d];
        const uint64_t chunk_end = chunk_start + m->chunk_shape[d];
        const uint64_t from = start[d] > chunk_start ? start[d] : chunk_start;
        const uint64_t to = start[d] + count[d] < chunk_end ? start[d] + count[d] : chunk_end;
        r->count[d] = to - from;
        r->chunk_stride[d] = chunk_stride;
        r->out_stride[d] = out_stride;
        r->chunk_offset += (from - chunk_start) * chunk_stride;
        r->out += (from - start[d]) * out_stride;
        chunk_stride *= m->chunk_shape[d];
        out_stride *= count[d];
        if (d == n - 1)
            r->run_bytes *= r->count[d];
        else
            r->run_count *= r->count[d];
    }
}

static sgc_status plan_jobs(reading *r, const uint64_t *start, const uint64_t *count, void *buffer,
                            sgc_error *err)
{
    const sgc_array_metadata *m = &r->array->metadata;
    uint32_t first[SGC_ZARR_MAX_DIMENSIONS] = {0}, last[SGC_ZARR_MAX_DIMENSIONS];
    size_t total = 1;
    for (size_t d = 0; d < m->dimension_count; d++) {
        first[d] = (uint32_t)(start[d] / m->chunk_shape[d]);
        last[d] = (uint32_t)((start[d] + count[d] - 1) / m->chunk_shape[d]);
        if (!sgc_multiply(total, (size_t)(last[d] - first[d]) + 1, &total) ||
            total > LARGEST_REGION_CHUNKS)
            return sgc_fail(err, SGC_INVALID, "%s: a read of too many chunks at once",
                            r->array->node->path);
    }
    r->jobs = calloc(total, sizeof *r->jobs);
    if (r->jobs == NULL)
        return sgc_fail_memory(err, total * sizeof *r->jobs, "a read");
    r->job_count = total;
    uint32_t at[SGC_ZARR_MAX_DIMENSIONS];
    memcpy(at, first, sizeof at);
    for (size_t i = 0; i < total; i++) {
        memcpy(r->jobs[i].coordinates, at, sizeof at);
        init_region(m, at, start, count, buffer, &r->jobs[i].region);
        for (size_t d = m->dimension_count; d-- > 0 && ++at[d] > last[d];)
            at[d] = first[d];
    }
    return SGC_OK;
}

static sgc_status read_planned(reading *r, const uint64_t *start, const uint64_t *count,
                               void *buffer, unsigned threads, sgc_error *err)
{
    SGC_TRY(plan_jobs(r, start, count, buffer, err));
    SGC_TRY(sgc_parallel_for(r->job_count, threads, prepare, r, err));
    SGC_TRY(plan_runs(r, err));
    return sgc_parallel_for(r->run_count, threads, read_run, r, err);
}

sgc_status sgc_array_read(const sgc_array *array, const uint64_t *start, const uint64_t *count,
                          void *buffer, unsigned threads, sgc_error *err)
{
    const sgc_array_metadata *m = &array->metadata;
    for (size_t d = 0; d < m->dimension_count; d++) {
        if (count[d] > m->shape[d] || start[d] > m->shape[d] - count[d])
            return sgc_fail(err, SGC_INVALID, "%s: a read outside the array", array->node->path);
        if (count[d] == 0)
            return SGC_OK;
    }
    reading r = {.array = array};
    const sgc_status status = read_planned(&r, start, count, buffer, threads, err);
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
