#include "datasets/condition.h"

#include <time.h>

uint64_t sgc_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void sgc_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void sgc_condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, unsigned milliseconds)
{
    const uint64_t until = sgc_monotonic_ms() + milliseconds;
    const struct timespec end = {.tv_sec = (time_t)(until / 1000),
                                 .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_cond_timedwait(condition, mutex, &end);
}
