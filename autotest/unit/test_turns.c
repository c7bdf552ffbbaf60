/* Turns of workers: what SGC_LOAD_MEMORY and a source bear holds for all loads of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cpl_conv.h>
#include <sched.h>

#include "gdal_sgc/load.h"

enum { LOADS = 3, WORKERS = 4, TASKS = 30, REQUESTS = 5, MEBIBYTE = 1024 * 1024 };

static atomic_int running, most_running;

static void load_init(sgc_loading *l, sgc_source *source, double bytes)
{
    *l = (sgc_loading){
        .source = source, .worker_bytes = bytes, .may_wait = true, .task_count = TASKS};
    pthread_mutex_init(&l->mutex, NULL);
}

static bool take_task(sgc_loading *l)
{
    pthread_mutex_lock(&l->mutex);
    const bool taken = l->next < l->task_count;
    l->next += taken;
    pthread_mutex_unlock(&l->mutex);
    return taken;
}

static void *work(void *user)
{
    sgc_turn turn;
    while (sgc_turn_begin(&turn, user)) {
        const int now = ++running;
        int most = most_running;
        while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
            ;
        take_task(user);
        for (int i = 0; i < 10; i++)
            sched_yield();
        running--;
        sgc_turn_end(&turn);
    }
    return NULL;
}

/* Says how many workers of all loads, each with a source of its own or all with one, ran at once.
 */
static int run_loads(sgc_source *sources, bool share, double bytes)
{
    sgc_loading loads[LOADS];
    pthread_t threads[LOADS][WORKERS];
    most_running = 0;
    for (int i = 0; i < LOADS; i++)
        load_init(&loads[i], &sources[share ? 0 : i], bytes);
    for (int i = 0; i < LOADS; i++)
        for (int k = 0; k < WORKERS; k++)
            assert_int_equal(pthread_create(&threads[i][k], NULL, work, &loads[i]), 0);
    for (int i = 0; i < LOADS; i++)
        for (int k = 0; k < WORKERS; k++)
            pthread_join(threads[i][k], NULL);
    for (int i = 0; i < LOADS; i++)
        assert_int_equal(loads[i].next, TASKS);
    assert_int_equal(running, 0);
    return most_running;
}

static void test_requests_of_a_source(void **state)
{
    (void)state;
    sgc_source sources[LOADS] = {
        {.max_requests = REQUESTS}, {.max_requests = REQUESTS}, {.max_requests = REQUESTS}};
    assert_in_range(run_loads(sources, true, 1), 1, REQUESTS);
}

static void test_memory_of_a_source(void **state)
{
    (void)state;
    sgc_source sources[LOADS] = {
        {.max_requests = REQUESTS}, {.max_requests = REQUESTS}, {.max_requests = REQUESTS}};
    assert_in_range(run_loads(sources, true, 0.4 * MEBIBYTE), 1, 2);
    assert_int_equal(run_loads(sources, true, 3 * MEBIBYTE), 1);
    assert_in_range(run_loads(sources, false, 3 * MEBIBYTE), 1, LOADS);
}

/* A server that never answers keeps its turns. */
static void test_sources_do_not_wait_for_each_other(void **state)
{
    (void)state;
    sgc_source silent = {.max_requests = 1}, other = {.max_requests = 1};
    sgc_loading loads[2];
    sgc_turn turns[2];
    load_init(&loads[0], &silent, 3 * MEBIBYTE);
    load_init(&loads[1], &other, 3 * MEBIBYTE);
    for (int i = 0; i < 2; i++)
        assert_true(sgc_turn_begin(&turns[i], &loads[i]));
    for (int i = 0; i < 2; i++)
        sgc_turn_end(&turns[i]);
}

static void test_loads_have_turns_at_once(void **state)
{
    (void)state;
    sgc_source source = {.max_requests = 2}, other = {.max_requests = 1};
    sgc_loading loads[3];
    sgc_turn turns[3];
    for (int i = 0; i < 3; i++) {
        load_init(&loads[i], i < 2 ? &source : &other, 0.3 * MEBIBYTE);
        assert_true(sgc_turn_begin(&turns[i], &loads[i]));
    }
    for (int i = 0; i < 3; i++)
        sgc_turn_end(&turns[i]);
}

/* Whoever must not wait does not, and counts. */
static void test_turn_without_waiting(void **state)
{
    (void)state;
    sgc_source source = {.max_requests = 1}, other = {.max_requests = 1, .stays_on_thread = true};
    sgc_loading first, nested, on_thread, ended;
    sgc_turn turns[3], none;
    load_init(&first, &source, 3 * MEBIBYTE);
    load_init(&nested, &source, 3 * MEBIBYTE);
    load_init(&on_thread, &other, 3 * MEBIBYTE);
    load_init(&ended, &source, 3 * MEBIBYTE);
    nested.may_wait = false;
    ended.stop = true;
    assert_true(sgc_turn_begin(&turns[0], &first));
    assert_true(sgc_turn_begin(&turns[1], &nested));
    assert_true(sgc_turn_begin(&turns[2], &on_thread));
    assert_false(sgc_turn_begin(&none, &ended));
    for (int i = 0; i < 3; i++)
        sgc_turn_end(&turns[i]);
    assert_true(sgc_turn_begin(&turns[0], &first));
    sgc_turn_end(&turns[0]);
}

int main(void)
{
    CPLSetConfigOption("SGC_LOAD_MEMORY", "1");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_of_a_source),
        cmocka_unit_test(test_memory_of_a_source),
        cmocka_unit_test(test_sources_do_not_wait_for_each_other),
        cmocka_unit_test(test_loads_have_turns_at_once),
        cmocka_unit_test(test_turn_without_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
