/* What a forked child must make anew: mutexes that threads held which it does not have, connections
 * and locks that still belong to its parent. */
#ifndef SGC_FORK_H
#define SGC_FORK_H

#include "store/error.h"

SGC_BEGIN_C

/* Embedded in the object concerned. */
typedef struct sgc_fork_watch {
    void (*in_child)(
        void *object); /* called in each child, before anything else of ours runs there */
    void *object;
    struct sgc_fork_watch *next;
} sgc_fork_watch;

/* Begins and ends to call watch->in_child(object) in forked children. Borrows `watch` in between.
 * Thread-safe. */
void sgc_fork_watch_begin(sgc_fork_watch *watch, void (*in_child)(void *object), void *object);
void sgc_fork_watch_end(sgc_fork_watch *watch);

SGC_END_C

#endif
