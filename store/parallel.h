/* A loop on several threads that do not outlive it. */
#ifndef SGC_PARALLEL_H
#define SGC_PARALLEL_H

#include <stddef.h>

#include "store/error.h"

SGC_BEGIN_C

/* Calls fn(user, i) once for each i below `count`, from up to `threads` threads, the caller's among
 * them. After a failure no new index is begun; the failure of the lowest index is returned. */
SGC_CHECKED sgc_status sgc_parallel_for(size_t count, unsigned threads,
                                        sgc_status (*fn)(void *user, size_t index, sgc_error *err),
                                        void *user, sgc_error *err);

SGC_END_C

#endif
