/* Answers kept for a while: made once, shared, forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/memo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How values are made, and what became of them. */
typedef struct maker {
    atomic_int made, freed, failures; /* of the first calls, so many fail */
    atomic_bool may_go, is_making;
    sgc_status failure;
    double seconds;
} maker;

static maker m;

static void free_value(void *value)
{
    m.freed++;
    free(value);
}

static sgc_status make(void *user, const char *key, const sgc_cancel *cancel, void **value,
                       double *seconds, sgc_error *err)
{
    (void)cancel;
    assert_ptr_equal(user, &m);
    m.is_making = true;
    while (!m.may_go)
        usleep(1000);
    const int number = ++m.made;
    if (number <= m.failures)
        return sgc_fail(err, m.failure, "failure %d", number);
    char text[64];
    snprintf(text, sizeof text, "%s %d", key, number);
    *value = strdup(text);
    *seconds = m.seconds;
    return SGC_OK;
}

static sgc_memo *start(size_t capacity, double seconds)
{
    sgc_memo *memo;
    m = (maker){.may_go = true, .failure = SGC_NETWORK, .seconds = seconds};
    assert_int_equal(sgc_memo_new(capacity, free_value, &memo, NULL), SGC_OK);
    return memo;
}

static sgc_memo_entry *get(sgc_memo *memo, const char *key, const char *value)
{
    sgc_memo_entry *entry;
    assert_int_equal(sgc_memo_get(memo, key, make, &m, NULL, &entry, NULL, NULL), SGC_OK);
    assert_string_equal(sgc_memo_value(entry), value);
    return entry;
}

static void look(sgc_memo *memo, const char *key, const char *value)
{
    sgc_memo_release(memo, get(memo, key, value));
}

static void finish(sgc_memo *memo)
{
    sgc_memo_free(memo);
    assert_int_equal(m.freed, m.made - m.failures);
}

static void test_made_once(void **state)
{
    (void)state;
    sgc_memo *memo = start(10, 1000);
    look(memo, "a", "a 1");
    look(memo, "b", "b 2");
    look(memo, "a", "a 1");
    assert_true(sgc_memo_has(memo, "b"));
    assert_false(sgc_memo_has(memo, "c"));
    finish(memo);
}

static void test_failures_are_not_kept(void **state)
{
    (void)state;
    sgc_memo *memo = start(10, 1000);
    sgc_memo_entry *entry;
    sgc_error error = {""};
    m.failures = 1;
    assert_int_equal(sgc_memo_get(memo, "a", make, &m, NULL, &entry, NULL, &error), SGC_NETWORK);
    assert_string_equal(error.message, "failure 1");
    look(memo, "a", "a 2");
    finish(memo);
}

static void test_no_time_to_keep(void **state)
{
    (void)state;
    sgc_memo *memo = start(10, 0);
    look(memo, "a", "a 1");
    look(memo, "a", "a 2");
    finish(memo);
}

/* What is in use stays good for its user, whatever becomes of it. */
static void test_forgotten_and_evicted(void **state)
{
    (void)state;
    sgc_memo *memo = start(2, 1000);
    sgc_memo_entry *used = get(memo, "a", "a 1");
    sgc_memo_forget(memo, used);
    look(memo, "a", "a 2");
    assert_string_equal(sgc_memo_value(used), "a 1");
    look(memo, "b", "b 3");
    look(memo, "c", "c 4"); /* no room: the oldest goes */
    look(memo, "b", "b 3");
    look(memo, "a", "a 5");
    sgc_memo_release(memo, used);
    finish(memo);
}

static void test_put(void **state)
{
    (void)state;
    sgc_memo *memo = start(10, 1000);
    sgc_memo_put(memo, "a", strdup("given"), 1000);
    look(memo, "a", "given");
    sgc_memo_put(memo, "a", strdup("again"), 1000);
    look(memo, "a", "given");
    m.made = 2; /* given ones count, too */
    finish(memo);
}

static void *look_many_times(void *memo)
{
    char key[2] = "a";
    for (int i = 0; i < 300; i++) {
        sgc_memo_entry *entry;
        key[0] = (char)('a' + i % 5);
        if (sgc_memo_get(memo, key, make, &m, NULL, &entry, NULL, NULL) != SGC_OK)
            return memo;
        const bool good = strncmp(sgc_memo_value(entry), key, 1) == 0;
        if (i % 7 == 0)
            sgc_memo_forget(memo, entry);
        sgc_memo_release(memo, entry);
        if (!good)
            return memo;
    }
    return NULL;
}

static void *look_once(void *memo)
{
    sgc_memo_entry *entry;
    if (sgc_memo_get(memo, "a", make, &m, NULL, &entry, NULL, NULL) != SGC_OK)
        return memo;
    sgc_memo_release(memo, entry);
    return NULL;
}

static void run_threads(void *(*work)(void *), sgc_memo *memo, bool lets_go)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, memo), 0);
    if (lets_go) {
        usleep(20000);
        m.may_go = true;
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

/* Those who come while it is made wait for it, also when it may not be kept. */
static void test_made_once_for_all_who_wait(void **state)
{
    (void)state;
    sgc_memo *memo = start(10, 1000);
    m.may_go = false;
    run_threads(look_once, memo, true);
    assert_int_equal(m.made, 1);
    finish(memo);
}

static void test_many_threads(void **state)
{
    (void)state;
    sgc_memo *memo = start(3, 1000);
    run_threads(look_many_times, memo, false);
    finish(memo);
}

/* One who waits: `looked` when it sees that the value is not there yet. */
typedef struct waiter {
    sgc_memo *memo;
    atomic_int looked;
    sgc_status status;
    sgc_error error;
} waiter;

static bool note_look(void *user)
{
    ((waiter *)user)->looked++;
    return false;
}

static void *wait_for_value(void *user)
{
    waiter *w = user;
    const sgc_cancel cancel = {.requested = note_look, .user = w};
    sgc_memo_entry *entry;
    w->status = sgc_memo_get(w->memo, "a", make, &m, &cancel, &entry, NULL, &w->error);
    if (w->status == SGC_OK)
        sgc_memo_release(w->memo, entry);
    return NULL;
}

/* The first attempt ends in `failure` while others wait for it. */
static void fail_before_waiters(sgc_memo *memo, sgc_status failure, waiter *waiters, int count)
{
    pthread_t threads[8], first;
    waiter maker_itself = {.memo = memo};
    m.may_go = false;
    m.failures = 1;
    m.failure = failure;
    assert_int_equal(pthread_create(&first, NULL, wait_for_value, &maker_itself), 0);
    while (!m.is_making)
        usleep(1000);
    for (int i = 0; i < count; i++) {
        waiters[i] = (waiter){.memo = memo};
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_value, &waiters[i]), 0);
        while (waiters[i].looked == 0)
            usleep(1000);
    }
    m.may_go = true;
    pthread_join(first, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(maker_itself.status, failure);
}

/* An attempt has its retries; those who waited for it do not go through them once more. */
static void test_failure_is_shared(void **state)
{
    (void)state;
    waiter waiters[3];
    sgc_memo *memo = start(10, 1000);
    fail_before_waiters(memo, SGC_AUTH, waiters, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiters[i].status, SGC_AUTH);
        assert_string_equal(waiters[i].error.message, "failure 1");
    }
    assert_int_equal(m.made, 1);
    look(memo, "a", "a 2");
    finish(memo);
}

/* That one wants to stop is nothing to the others. */
static void test_wish_to_stop_is_not_shared(void **state)
{
    (void)state;
    waiter waiters[3];
    sgc_memo *memo = start(10, 1000);
    fail_before_waiters(memo, SGC_CANCELLED, waiters, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(waiters[i].status, SGC_OK);
    assert_int_equal(m.made, 2);
    finish(memo);
}

static bool stop_at_once(void *user)
{
    (void)user;
    return true;
}

/* Who waits need not wait to the end. */
static void test_cancelled(void **state)
{
    (void)state;
    const sgc_cancel cancel = {.requested = stop_at_once};
    sgc_memo *memo = start(10, 1000);
    sgc_memo_entry *entry;
    pthread_t thread;
    m.may_go = false;
    assert_int_equal(pthread_create(&thread, NULL, look_once, memo), 0);
    while (!m.is_making)
        usleep(1000);
    assert_int_equal(sgc_memo_get(memo, "a", make, &m, &cancel, &entry, NULL, NULL), SGC_CANCELLED);
    m.may_go = true;
    pthread_join(thread, NULL);
    finish(memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_failures_are_not_kept),
        cmocka_unit_test(test_no_time_to_keep),
        cmocka_unit_test(test_forgotten_and_evicted),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_made_once_for_all_who_wait),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_failure_is_shared),
        cmocka_unit_test(test_wish_to_stop_is_not_shared),
        cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
