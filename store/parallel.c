#include "store/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOST_THREADS = 64 };

typedef struct loop {
    size_t count;
    sgc_status (*fn)(void *user, size_t index, sgc_error *err);
    void *user;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t mutex; /* guards the rest */
    size_t failed_index;
    sgc_status status;
    sgc_error error;
} loop;

static void *run(void *user)
{
    loop *l = user;
    while (!atomic_load(&l->failed)) {
        const size_t index = atomic_fetch_add(&l->next, 1);
        if (index >= l->count)
            break;
        sgc_error error = {""};
        const sgc_status status = l->fn(l->user, index, &error);
        if (status == SGC_OK)
            continue;
        pthread_mutex_lock(&l->mutex);
        if (index < l->failed_index) {
            l->failed_index = index;
            l->status = status;
            l->error = error;
        }
        pthread_mutex_unlock(&l->mutex);
        atomic_store(&l->failed, true);
    }
    return NULL;
}

sgc_status sgc_parallel_for(size_t count, unsigned threads,
                            sgc_status (*fn)(void *user, size_t index, sgc_error *err), void *user,
                            sgc_error *err)
{
    loop l = {.count = count, .fn = fn, .user = user, .failed_index = SIZE_MAX};
    pthread_mutex_init(&l.mutex, NULL);
    pthread_t workers[MOST_THREADS];
    unsigned started = 0;
    while (started < MOST_THREADS && started + 1 < threads && started + 1 < count &&
           pthread_create(&workers[started], NULL, run, &l) == 0)
        started++;
    run(&l);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i], NULL);
    pthread_mutex_destroy(&l.mutex);
    return l.status == SGC_OK ? SGC_OK : sgc_fail(err, l.status, "%s", l.error.message);
}
