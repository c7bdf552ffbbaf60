/* Memory that runs out: the n-th allocation fails.
 *
 * Counted are the allocations of the code that is linked statically (CMakeLists.txt), of C++ and of
 * cJSON; those inside other shared libraries are not. */
#ifndef ALLOCATION_FAULTS_H
#define ALLOCATION_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins to count; allocation number `at`, from 1 on, fails; if `lasting`, so do all after it. */
void allocations_begin(size_t at, bool lasting);

/* Ends it and says whether any has failed. */
bool allocations_end(void);

/* Counts an allocation; true, with errno, when it must fail. */
bool allocation_fails(void);

#ifdef __cplusplus
}
#endif

#endif
