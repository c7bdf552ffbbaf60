/* Sets of object ids. */
#ifndef SGC_ID_SET_H
#define SGC_ID_SET_H

#include <stdbool.h>

#include "store/icechunk/object_id.h"

#include "store/error.h"

SGC_BEGIN_C

/* Zero-initialise; release with sgc_id_set_free(). */
typedef struct sgc_id_set {
    sgc_object_id *ids;
    bool *used;
    size_t count, slot_count;
    uint64_t seed; /* of the hashes: hostile ids must not meet in one slot */
} sgc_id_set;

void sgc_id_set_free(sgc_id_set *set);
bool sgc_id_set_has(const sgc_id_set *set, const sgc_object_id *id);

/* Adds `id` and says in *added, which may be NULL, whether it is new. */
SGC_CHECKED sgc_status sgc_id_set_add(sgc_id_set *set, const sgc_object_id *id, bool *added,
                                      sgc_error *err);

SGC_END_C

#endif
