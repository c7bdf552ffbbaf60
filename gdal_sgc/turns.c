/* The turns of workers, of all loads of a source: one that never answers holds up no other. */
#include <pthread.h>

#include "gdal_sgc/load.h"

enum { POLL_MILLISECONDS = 100 };

static struct {
    pthread_once_t once;
    pthread_mutex_t mutex; /* taken before a load's */
    pthread_cond_t ended;
    sgc_turn *first; /* waiting or given, in the order in which they came */
    sgc_fork_watch forks;
} turns = {.once = PTHREAD_ONCE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* The child has none of the workers. */
static void renew_in_child(void *object)
{
    (void)object;
    pthread_mutex_init(&turns.mutex, NULL);
    sgc_condition_init(&turns.ended);
    turns.first = NULL;
}

static void prepare(void)
{
    sgc_condition_init(&turns.ended);
    sgc_fork_watch_begin(&turns.forks, renew_in_child, NULL);
}

/* Whether those that came before leave a request of the source. */
static bool has_request(const sgc_turn *turn)
{
    unsigned before = 0;
    for (const sgc_turn *t = turns.first; t != turn; t = t->next)
        before += t->source == turn->source;
    return before < turn->source->max_requests;
}

/* One alone has room, however large it is; nobody has the room that an earlier one waits for. */
static bool has_room(const sgc_turn *turn)
{
    double used = 0;
    bool came_before = true;
    for (const sgc_turn *t = turns.first; t != NULL; t = t->next) {
        came_before &= t != turn;
        if (t != turn && t->source == turn->source && (came_before || t->given))
            used += t->bytes;
    }
    return used == 0 || used + turn->bytes <= turn->limit;
}

static void give_turns(void)
{
    for (sgc_turn *t = turns.first; t != NULL; t = t->next)
        t->given = t->given || (has_request(t) && has_room(t));
}

static void leave(sgc_turn *turn)
{
    sgc_turn **link = &turns.first;
    while (*link != NULL && *link != turn)
        link = &(*link)->next;
    if (*link != NULL)
        *link = turn->next;
    give_turns();
    pthread_cond_broadcast(&turns.ended);
}

static void come(sgc_turn *turn)
{
    sgc_turn **link = &turns.first;
    while (*link != NULL)
        link = &(*link)->next;
    *link = turn;
    give_turns();
}

bool sgc_turn_begin(sgc_turn *turn, sgc_loading *l)
{
    pthread_once(&turns.once, prepare);
    *turn = (sgc_turn){.source = l->source,
                       .bytes = l->worker_bytes,
                       .limit = (double)sgc_load_memory(),
                       .given = !l->may_wait || l->source->stays_on_thread};
    pthread_mutex_lock(&turns.mutex);
    come(turn);
    bool has_task;
    while ((has_task = sgc_loading_has_task(l)) && !turn->given)
        sgc_condition_wait(&turns.ended, &turns.mutex, POLL_MILLISECONDS);
    if (!has_task)
        leave(turn);
    pthread_mutex_unlock(&turns.mutex);
    return has_task;
}

void sgc_turn_end(sgc_turn *turn)
{
    pthread_mutex_lock(&turns.mutex);
    leave(turn);
    pthread_mutex_unlock(&turns.mutex);
}
