/* Conditions that are waited for a moment at a time, so that who waits hears of a wish to stop. */
#ifndef SGC_CONDITION_H
#define SGC_CONDITION_H

#include <pthread.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* Milliseconds of a clock that nobody sets. */
uint64_t sgc_monotonic_ms(void);

/* Makes a condition for sgc_condition_wait(); also anew, in a forked child. */
void sgc_condition_init(pthread_cond_t *condition);

/* Waits so many milliseconds at most; like all such waits it may end early. */
void sgc_condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, unsigned milliseconds);

SGC_END_C

#endif
