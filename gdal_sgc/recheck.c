/* Asking the source again: chunks that are complete for now become missing (architecture 6.3). */
#include <stdio.h>
#include <stdlib.h>

#include "gdal_sgc/load.h"
#include "store/clock.h"

typedef struct recheck {
    sgc_repository *repository;
    sgc_session *session;
    size_t count; /* of chunks that were complete for now */
} recheck;

static bool is_bookkeeping(const sgc_node *node)
{
    long long factor;
    int end = 0;
    return node->is_array && sscanf(node->path, "/sgc/x%lld/complete%n", &factor, &end) == 1 &&
           node->path[end] == '\0' && end > 0;
}

/* Changes the flags of one chunk of the bookkeeping. */
static sgc_status recheck_region(recheck *r, const sgc_array *array, const char *path,
                                 const uint64_t *start, const uint64_t *size, uint8_t *flags,
                                 sgc_error *err)
{
    const size_t dimensions = sgc_array_get_metadata(array)->dimension_count;
    size_t items = 1, changed = 0;
    for (size_t d = 0; d < dimensions; d++)
        items *= (size_t)size[d];
    SGC_TRY(sgc_array_read(array, start, size, flags, 1, err));
    for (size_t i = 0; i < items; i++) {
        if (flags[i] != SGC_COMPLETE_FOR_NOW && flags[i] != SGC_COMPLETE_UNTIL_END)
            continue;
        flags[i] = SGC_ASK_AGAIN;
        changed++;
    }
    r->count += changed;
    return changed > 0 ? sgc_array_write(r->session, path, start, size, flags, 1, err) : SGC_OK;
}

/* Goes to the next chunk in row-major order; false after the last one. */
static bool next_chunk(const sgc_array_metadata *m, uint32_t *chunk)
{
    for (size_t d = m->dimension_count; d-- > 0;) {
        if (++chunk[d] < sgc_array_chunk_count(m, d))
            return true;
        chunk[d] = 0;
    }
    return false;
}

static sgc_status recheck_stored(recheck *r, const sgc_array *array, const char *path,
                                 uint8_t *flags, sgc_error *err)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    uint32_t chunk[SGC_ZARR_MAX_DIMENSIONS] = {0};
    do {
        bool stored;
        uint64_t start[SGC_ZARR_MAX_DIMENSIONS], size[SGC_ZARR_MAX_DIMENSIONS];
        for (size_t d = 0; d < m->dimension_count; d++) {
            start[d] = chunk[d] * m->chunk_shape[d];
            size[d] = m->shape[d] - start[d] < m->chunk_shape[d] ? m->shape[d] - start[d]
                                                                 : m->chunk_shape[d];
        }
        SGC_TRY(sgc_array_has_chunk(array, chunk, &stored, err));
        if (stored)
            SGC_TRY(recheck_region(r, array, path, start, size, flags, err));
    } while (next_chunk(m, chunk));
    return SGC_OK;
}

static sgc_status recheck_array(recheck *r, const char *path, sgc_error *err)
{
    sgc_array *array;
    SGC_TRY(sgc_array_open(r->repository, sgc_session_base(r->session), path, &array, err));
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    uint8_t *flags = malloc(m->chunk_bytes);
    sgc_status status = flags == NULL ? sgc_fail_memory(err, m->chunk_bytes, "a chunk")
                        : m->type != SGC_UINT8
                            ? sgc_fail(err, SGC_CORRUPT, "%s is no array of uint8", path)
                            : recheck_stored(r, array, path, flags, err);
    free(flags);
    sgc_array_close(array);
    return status;
}

static sgc_status recheck_once(recheck *r, sgc_error *err)
{
    const sgc_snapshot_data *base = sgc_snapshot_get(sgc_session_base(r->session));
    r->count = 0;
    for (size_t i = 0; i < base->node_count; i++)
        if (is_bookkeeping(&base->nodes[i]))
            SGC_TRY(recheck_array(r, base->nodes[i].path, err));
    char message[64];
    snprintf(message, sizeof message, "Ask for %zu chunk%s again", r->count,
             r->count == 1 ? "" : "s");
    return r->count > 0 ? sgc_session_commit(r->session, message, NULL, NULL, err) : SGC_OK;
}

sgc_status sgc_repository_recheck(sgc_repository *repository, const char *branch, size_t *count,
                                  sgc_error *err)
{
    enum { ATTEMPTS = 100 };
    recheck r = {.repository = repository};
    SGC_TRY(sgc_session_new(repository, branch, &r.session, err));
    sgc_status status = recheck_once(&r, err);
    for (unsigned attempt = 1; status == SGC_CONFLICT && attempt < ATTEMPTS; attempt++) {
        sgc_clock_pause(attempt);
        status = sgc_session_restart(r.session, err);
        if (status == SGC_OK)
            status = recheck_once(&r, err);
    }
    sgc_session_free(r.session);
    if (status == SGC_OK)
        *count = r.count;
    return status;
}
