/* What the commits of a cube say about the patches they loaded (architecture 6.7). */
#ifndef SGC_PATCH_LOG_H
#define SGC_PATCH_LOG_H

#include "datasets/definition.h"
#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_ANY_STEP = -1 }; /* commits of older versions do not tell */

/* All of this borrows from the log. */
typedef struct sgc_patch_record {
    const char *id;
    int64_t step;           /* of the time axis, or SGC_ANY_STEP */
    sgc_rect rect;          /* full-resolution pixels; empty: not told */
    const char *href;       /* without secrets; NULL: not told; so are those that follow */
    const char *etag;       /* of the newest commit */
    uint64_t bytes;         /* received, by all commits */
    sgc_object_id snapshot; /* the newest that names the patch */
    uint64_t time;          /* of that, microseconds since 1970 */
} sgc_patch_record;

/* Immutable, shared by counting, usable from any thread. */
typedef struct sgc_patch_log sgc_patch_log;

/* Gives what the snapshot `tip` and its ancestors say; release with sgc_patch_log_unref(). `axis`
 * is that of the cube. What `known`, the log of another snapshot or NULL, tells of ancestors is not
 * read again. */
SGC_CHECKED sgc_status sgc_patch_log_new(sgc_repository *repository, const sgc_object_id *tip,
                                         const sgc_time_axis *axis, const sgc_patch_log *known,
                                         sgc_patch_log **out, sgc_error *err);
sgc_patch_log *sgc_patch_log_ref(sgc_patch_log *log);
void sgc_patch_log_unref(sgc_patch_log *log);

const sgc_object_id *sgc_patch_log_tip(const sgc_patch_log *log);

/* The records, by id and step. */
size_t sgc_patch_log_count(const sgc_patch_log *log);
const sgc_patch_record *sgc_patch_log_get(const sgc_patch_log *log, size_t index);

/* The record of a patch, or NULL. */
const sgc_patch_record *sgc_patch_log_find(const sgc_patch_log *log, const char *id, size_t step);

SGC_END_C

#endif
