/* Members of commit metadata that survive the commits that had them. */
#ifndef SGC_INHERITANCE_H
#define SGC_INHERITANCE_H

#include "store/icechunk/codec.h"

#include "store/error.h"

SGC_BEGIN_C

/* Of numbers. */
typedef struct sgc_sum {
    bool exists, is_real;
    int64_t integer; /* unless it is real */
    double real;
} sgc_sum;

typedef struct sgc_inheritance {
    const char *const *names;
    size_t count;
    sgc_buffer *lists; /* elements, comma-separated; empty if there are none */
    sgc_sum *sums;
} sgc_inheritance;

/* Borrows `names`. Release with sgc_inheritance_free(), also after a failure. */
SGC_CHECKED sgc_status sgc_inheritance_init(sgc_inheritance *inheritance, const char *const *names,
                                            size_t count, sgc_error *err);
void sgc_inheritance_free(sgc_inheritance *inheritance);

/* Takes over from the metadata of one commit; the oldest comes first. */
SGC_CHECKED sgc_status sgc_inheritance_add(sgc_inheritance *inheritance,
                                           const sgc_metadata_item *items, size_t count,
                                           int spec_version, sgc_error *err);

/* Gives, in `arena`, the items with the named members replaced by what was taken over, their own
 * share included if it was added. */
SGC_CHECKED sgc_status sgc_inheritance_apply(const sgc_inheritance *inheritance,
                                             const sgc_metadata_item *items, size_t count,
                                             int spec_version, sgc_arena *arena,
                                             const sgc_metadata_item **out, size_t *out_count,
                                             sgc_error *err);

SGC_END_C

#endif
