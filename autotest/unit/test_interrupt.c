/* Ctrl-C while a read loads: noted first, then the host's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gdal_sgc/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t heard;

static void hear(int signal)
{
    (void)signal;
    heard = heard + 1;
}

static void become_host(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGINT, &action, NULL), 0);
    heard = 0;
}

static void assert_host_is_back(void)
{
    struct sigaction now;
    assert_int_equal(sigaction(SIGINT, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, hear);
}

static void test_reaches_the_host_at_the_end(void **state)
{
    (void)state;
    become_host(hear);
    sgc_interrupt_begin();
    assert_false(sgc_interrupt_came());
    raise(SIGINT);
    assert_true(sgc_interrupt_came());
    assert_int_equal(heard, 0);
    sgc_interrupt_end();
    assert_int_equal(heard, 1);
    assert_false(sgc_interrupt_came());
    assert_host_is_back();
}

static void test_second_reaches_the_host_at_once(void **state)
{
    (void)state;
    become_host(hear);
    sgc_interrupt_begin();
    raise(SIGINT);
    raise(SIGINT);
    assert_int_equal(heard, 1);
    assert_host_is_back();
    sgc_interrupt_end();
    assert_int_equal(heard, 1);
}

static void test_outermost_of_nested_ones_counts(void **state)
{
    (void)state;
    become_host(hear);
    sgc_interrupt_begin();
    sgc_interrupt_begin();
    raise(SIGINT);
    sgc_interrupt_end();
    assert_true(sgc_interrupt_came());
    assert_int_equal(heard, 0);
    sgc_interrupt_end();
    assert_int_equal(heard, 1);
    assert_host_is_back();
}

static void test_nothing_came(void **state)
{
    (void)state;
    become_host(hear);
    sgc_interrupt_begin();
    sgc_interrupt_end();
    assert_int_equal(heard, 0);
    assert_host_is_back();
}

static void test_ignored_stays_ignored(void **state)
{
    (void)state;
    become_host(SIG_IGN);
    sgc_interrupt_begin();
    raise(SIGINT);
    assert_false(sgc_interrupt_came());
    sgc_interrupt_end();
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    assert_true(now.sa_handler == SIG_IGN);
}

static void *load_on_another_thread(void *user)
{
    bool *came = user;
    sgc_interrupt_begin();
    pthread_kill(pthread_self(), SIGINT);
    *came = sgc_interrupt_came();
    sgc_interrupt_end();
    return NULL;
}

static void test_other_threads_leave_it_alone(void **state)
{
    (void)state;
    pthread_t thread;
    bool came = true;
    become_host(hear);
    assert_int_equal(pthread_create(&thread, NULL, load_on_another_thread, &came), 0);
    pthread_join(thread, NULL);
    assert_false(came);
    assert_int_equal(heard, 1);
    assert_host_is_back();
}

static bool host_is_back(void)
{
    struct sigaction now;
    return sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == hear;
}

/* The child has but this thread, and it loads on its own. */
static void *fork_meanwhile(void *user)
{
    const pid_t child = fork();
    if (child == 0) {
        bool good = host_is_back();
        sgc_interrupt_begin();
        good = good && !sgc_interrupt_came() && !host_is_back();
        sgc_interrupt_end();
        _exit(good && host_is_back() ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, user, 0), child);
    return NULL;
}

static void test_children_of_other_threads_have_the_host_s(void **state)
{
    (void)state;
    pthread_t thread;
    int status = -1;
    become_host(hear);
    sgc_interrupt_begin();
    assert_int_equal(pthread_create(&thread, NULL, fork_meanwhile, &status), 0);
    pthread_join(thread, NULL);
    sgc_interrupt_end();
    assert_int_equal(status, 0);
    assert_int_equal(heard, 0);
    assert_host_is_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reaches_the_host_at_the_end),
        cmocka_unit_test(test_second_reaches_the_host_at_once),
        cmocka_unit_test(test_outermost_of_nested_ones_counts),
        cmocka_unit_test(test_nothing_came),
        cmocka_unit_test(test_ignored_stays_ignored),
        cmocka_unit_test(test_other_threads_leave_it_alone),
        cmocka_unit_test(test_children_of_other_threads_have_the_host_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
