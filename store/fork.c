#include "store/fork.h"

#include <pthread.h>
#include <stddef.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sgc_fork_watch *first;

static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&mutex, NULL);
    for (const sgc_fork_watch *watch = first; watch != NULL; watch = watch->next)
        watch->in_child(watch->object);
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void sgc_fork_watch_begin(sgc_fork_watch *watch, void (*in_child)(void *object), void *object)
{
    pthread_once(&once, install);
    pthread_mutex_lock(&mutex);
    *watch = (sgc_fork_watch){in_child, object, first};
    first = watch;
    pthread_mutex_unlock(&mutex);
}

void sgc_fork_watch_end(sgc_fork_watch *watch)
{
    pthread_mutex_lock(&mutex);
    sgc_fork_watch **link = &first;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    pthread_mutex_unlock(&mutex);
}
