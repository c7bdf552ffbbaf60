/* What differs between two snapshots of a repository. */
#ifndef SGC_DIFF_H
#define SGC_DIFF_H

#include "store/icechunk/repository.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_difference_kind { SGC_ADDED, SGC_REMOVED, SGC_MODIFIED } sgc_difference_kind;

/* About one node. One that was deleted and made again is removed, then added. */
typedef struct sgc_difference {
    sgc_difference_kind kind;
    const char *path;
    bool is_array;
    bool json_differs; /* of modified ones */
    size_t dimension_count;
    size_t chunk_count;
    const uint32_t *chunks; /* chunk_count x dimension_count: those with another reference, or with
                               one on one side only; in lexicographic order */
} sgc_difference;

typedef sgc_status (*sgc_difference_fn)(void *user, const sgc_difference *difference,
                                        sgc_error *err);

/* Calls `fn` for each node that differs, by path. The snapshots are compared themselves, not by the
 * logs of the commits between them: they may be of different branches. Only manifests that one side
 * alone has are read. */
SGC_CHECKED sgc_status sgc_repository_diff(sgc_repository *repository, sgc_snapshot *from,
                                           sgc_snapshot *to, sgc_difference_fn fn, void *user,
                                           sgc_error *err);

SGC_END_C

#endif
