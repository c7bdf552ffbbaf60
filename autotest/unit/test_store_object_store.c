/* What every object store does, and what only the local one can get wrong. */
#include "autotest/unit/store_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/clock.h"

static sgc_object_store *store;
static char *directory; /* of the local store */

static int set_up_memory(void **state)
{
    (void)state;
    assert_ok(sgc_object_store_memory_new(&store, &err));
    return 0;
}

static sgc_object_store *open_local(const char *path)
{
    sgc_object_store *opened;
    assert_ok(sgc_object_store_local_new(path, NULL, &opened, &err));
    return opened;
}

static int set_up_local(void **state)
{
    (void)state;
    directory = temporary_directory_new();
    store = open_local(directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sgc_object_store_free(store);
    if (directory != NULL)
        temporary_directory_free(directory);
    directory = NULL;
    return 0;
}

static sgc_status put(const char *key, const char *text, sgc_put_condition condition,
                      const char *previous)
{
    sgc_object was = {0};
    if (previous != NULL)
        was = (sgc_object){(unsigned char *)previous, strlen(previous)};
    return store->put(store, key, text, strlen(text), condition, &was, &err);
}

static void check_content(const char *key, const char *text)
{
    sgc_object object = {0};
    assert_ok(store->get(store, key, 0, SGC_TO_END, &object, &err));
    assert_int_equal(object.size, strlen(text));
    assert_memory_equal(object.data, text, object.size);
    sgc_object_clear(&object);
}

static void check_missing(const char *key)
{
    sgc_object object = {0};
    assert_status(SGC_NOT_FOUND, store->get(store, key, 0, SGC_TO_END, &object, &err));
    assert_null(object.data);
}

/* ---- all stores ---- */

static void check_range(uint64_t offset, uint64_t length, const char *expected)
{
    sgc_object object = {0};
    assert_ok(store->get(store, "a", offset, length, &object, &err));
    assert_int_equal(object.size, strlen(expected));
    assert_memory_equal(object.data, expected, object.size);
    sgc_object_clear(&object);
}

static void test_get_of_ranges(void **state)
{
    (void)state;
    assert_ok(put("a", "0123456789", SGC_PUT_ALWAYS, NULL));
    check_range(0, SGC_TO_END, "0123456789");
    check_range(0, 10, "0123456789");
    check_range(3, 4, "3456");
    check_range(7, SGC_TO_END, "789");
    check_range(10, SGC_TO_END, "");
    check_range(10, 0, "");
}

static void check_range_is_corrupt(uint64_t offset, uint64_t length)
{
    sgc_object object = {0};
    assert_status(SGC_CORRUPT, store->get(store, "a", offset, length, &object, &err));
    assert_message("a");
    assert_null(object.data);
}

static void test_get_beyond_the_end(void **state)
{
    (void)state;
    assert_ok(put("a", "0123456789", SGC_PUT_ALWAYS, NULL));
    check_range_is_corrupt(0, 11);
    check_range_is_corrupt(10, 1);
    check_range_is_corrupt(11, 0);
    check_range_is_corrupt(11, SGC_TO_END);
    check_range_is_corrupt(5, UINT64_MAX - 1);
    check_range_is_corrupt(UINT64_MAX - 1, 5);
}

static void test_get_of_a_missing_object(void **state)
{
    (void)state;
    check_missing("a");
    check_missing("x/y/z");
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    check_missing("a/b");
    check_missing("aa");
}

static void test_empty_object(void **state)
{
    (void)state;
    assert_ok(put("a", "", SGC_PUT_ALWAYS, NULL));
    check_content("a", "");
}

static void test_put_always_replaces(void **state)
{
    (void)state;
    assert_ok(put("x/a", "old text", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("x/a", "new", SGC_PUT_ALWAYS, NULL));
    check_content("x/a", "new");
}

static void test_put_if_absent(void **state)
{
    (void)state;
    assert_ok(put("x/a", "first", SGC_PUT_IF_ABSENT, NULL));
    assert_status(SGC_EXISTS, put("x/a", "second", SGC_PUT_IF_ABSENT, NULL));
    check_content("x/a", "first");
}

static void test_put_if_absent_after_remove(void **state)
{
    (void)state;
    assert_ok(put("a", "first", SGC_PUT_IF_ABSENT, NULL));
    assert_ok(sgc_object_store_remove(store, "a", &err));
    assert_ok(put("a", "second", SGC_PUT_IF_ABSENT, NULL));
    check_content("a", "second");
}

static void test_put_if_unchanged(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "two", SGC_PUT_IF_UNCHANGED, "one"));
    check_content("a", "two");
}

/* By content: neither the same size nor a moment's distance makes objects equal. */
static void test_put_if_unchanged_of_a_changed_object(void **state)
{
    (void)state;
    static const char *const others[] = {"two", "on", "ones", ""};
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_status(SGC_CONFLICT, put("a", "new", SGC_PUT_IF_UNCHANGED, others[i]));
    check_content("a", "one");
}

static void test_put_if_unchanged_of_the_same_content_again(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "two", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "new", SGC_PUT_IF_UNCHANGED, "one"));
}

static void test_put_if_unchanged_of_a_missing_object(void **state)
{
    (void)state;
    assert_status(SGC_CONFLICT, put("a", "new", SGC_PUT_IF_UNCHANGED, "one"));
    check_missing("a");
}

static void test_remove(void **state)
{
    (void)state;
    assert_ok(put("x/a", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("x/b", "2", SGC_PUT_ALWAYS, NULL));
    assert_ok(sgc_object_store_remove(store, "x/a", &err));
    check_missing("x/a");
    check_content("x/b", "2");
}

static void test_remove_of_a_missing_object(void **state)
{
    (void)state;
    assert_ok(sgc_object_store_remove(store, "a", &err));
    assert_ok(sgc_object_store_remove(store, "x/y", &err));
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct listing {
    char *keys[16];
    size_t count;
} listing;

static sgc_status collect(void *user, const char *key, const sgc_object_info *info,
                          sgc_error *error)
{
    (void)info;
    (void)error;
    listing *l = user;
    assert_true(l->count < 16);
    l->keys[l->count++] = strdup(key);
    return SGC_OK;
}

/* `expected` are the keys in order, each followed by a space. */
static void check_keys(listing *l, const char *expected)
{
    char keys[256] = "";
    qsort(l->keys, l->count, sizeof *l->keys, compare_keys);
    for (size_t i = 0; i < l->count; i++) {
        strcat(strcat(keys, l->keys[i]), " ");
        free(l->keys[i]);
    }
    assert_string_equal(keys, expected);
}

static void check_list(const char *prefix, const char *expected)
{
    listing l = {.count = 0};
    assert_ok(store->list(store, prefix, collect, &l, &err));
    check_keys(&l, expected);
}

static void test_list(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "x/a", "x/y/b", "x-y/c", "xy", "x/a.deleted"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_ok(put(keys[i], "1", SGC_PUT_ALWAYS, NULL));
    check_list("", "b x-y/c x/a x/a.deleted x/y/b xy ");
    check_list("x/", "x/a x/a.deleted x/y/b ");
    check_list("x/y/", "x/y/b ");
}

static void test_list_of_a_missing_place(void **state)
{
    (void)state;
    check_list("", "");
    check_list("x/y/", "");
}

static sgc_status copy_info(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *error)
{
    (void)key;
    (void)error;
    *(sgc_object_info *)user = *info;
    return SGC_OK;
}

static sgc_object_info info_of(const char *prefix)
{
    sgc_object_info info = {0};
    assert_ok(store->list(store, prefix, copy_info, &info, &err));
    return info;
}

/* A file system's clock may lag a little behind. */
static void test_list_tells_size_and_time(void **state)
{
    (void)state;
    enum { LAG = 60 * 1000000 };
    const uint64_t before = sgc_clock_now();
    assert_ok(put("x/a", "0123456789", SGC_PUT_ALWAYS, NULL));
    const sgc_object_info info = info_of("x/");
    assert_int_equal(info.size, 10);
    assert_in_range(info.modified, before - LAG, sgc_clock_now() + LAG);
    assert_ok(put("x/a", "0", SGC_PUT_ALWAYS, NULL));
    assert_int_equal(info_of("x/").size, 1);
    assert_true(info_of("x/").modified >= info.modified);
}

static sgc_status stop_at_second(void *user, const char *key, const sgc_object_info *info,
                                 sgc_error *error)
{
    (void)key;
    (void)info;
    return ++*(int *)user == 2 ? sgc_fail(error, SGC_CANCELLED, "enough") : SGC_OK;
}

static void test_list_ends_when_it_is_told(void **state)
{
    (void)state;
    int calls = 0;
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("b", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("c", "1", SGC_PUT_ALWAYS, NULL));
    assert_status(SGC_CANCELLED, store->list(store, "", stop_at_second, &calls, &err));
    assert_message("enough");
    assert_int_equal(calls, 2);
}

static sgc_status remove_listed(void *user, const char *key, const sgc_object_info *info,
                                sgc_error *error)
{
    (void)user;
    (void)info;
    return sgc_object_store_remove(store, key, error);
}

static void test_list_allows_removal(void **state)
{
    (void)state;
    assert_ok(put("x/a", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("x/b", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(store->list(store, "", remove_listed, NULL, &err));
    check_list("", "");
}

static void test_copy(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(store->copy(store, "a", "x/y/b", &err));
    check_content("x/y/b", "one");
    check_list("", "a x/y/b ");
}

static void test_copy_is_independent(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(store->copy(store, "a", "b", &err));
    assert_ok(put("a", "two", SGC_PUT_ALWAYS, NULL));
    check_content("b", "one");
    assert_ok(put("a", "three", SGC_PUT_IF_UNCHANGED, "two"));
    check_content("b", "one");
    assert_ok(put("b", "four", SGC_PUT_ALWAYS, NULL));
    check_content("a", "three");
    assert_ok(sgc_object_store_remove(store, "a", &err));
    check_content("b", "four");
}

static void test_copy_over_an_object(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("b", "two", SGC_PUT_ALWAYS, NULL));
    assert_status(SGC_EXISTS, store->copy(store, "a", "b", &err));
    assert_message("b exists");
    check_content("b", "two");
}

static void test_copy_of_a_missing_object(void **state)
{
    (void)state;
    assert_status(SGC_NOT_FOUND, store->copy(store, "a", "b", &err));
    assert_message("a does not exist");
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    assert_status(SGC_NOT_FOUND, store->copy(store, "a/b", "b", &err));
    check_missing("b");
}

/* ---- races ---- */

enum { THREADS = 8, PROCESSES = 4, ATTEMPTS = 25 };

/* Runs `work` in THREADS threads at once on this handle and gives the sum of its results. */
static int sum_of_threads(void *(*work)(void *user))
{
    pthread_t threads[THREADS];
    int results[THREADS] = {0}, sum = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &results[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += results[i];
    }
    return sum;
}

/* Runs `work` in PROCESSES processes at once, each with a handle of its own. */
static int sum_of_processes(void *(*work)(void *user))
{
    pid_t children[PROCESSES];
    int gate[2], sum = 0;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char byte;
            int result = 0;
            close(gate[1]);
            if (sgc_object_store_local_new(directory, NULL, &store, NULL) != SGC_OK ||
                read(gate[0], &byte, 1) != 0)
                _exit(255);
            work(&result);
            _exit(result);
        }
    }
    close(gate[0]);
    close(gate[1]); /* opens the gate */
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
        sum += WEXITSTATUS(status);
    }
    return sum;
}

/* Counts the objects that this racer was the one to create. */
static void *create_objects(void *won)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "x/%d", i);
        if (store->put(store, key, "1", 1, SGC_PUT_IF_ABSENT, NULL, NULL) == SGC_OK)
            ++*(int *)won;
    }
    return NULL;
}

/* Counts the times that this racer incremented the number in the object "n". */
static void *increment(void *won)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        sgc_object was = {0};
        char text[16] = "";
        if (store->get(store, "n", 0, SGC_TO_END, &was, NULL) != SGC_OK)
            return NULL;
        memcpy(text, was.data, was.size);
        snprintf(text, sizeof text, "%d", atoi(text) + 1);
        if (store->put(store, "n", text, strlen(text), SGC_PUT_IF_UNCHANGED, &was, NULL) == SGC_OK)
            ++*(int *)won;
        sgc_object_clear(&was);
    }
    return NULL;
}

static void test_one_of_many_threads_creates(void **state)
{
    (void)state;
    assert_int_equal(sum_of_threads(create_objects), ATTEMPTS);
}

static void check_no_update_is_lost(int (*run)(void *(*work)(void *user)))
{
    char expected[16];
    assert_ok(put("n", "0", SGC_PUT_ALWAYS, NULL));
    const int sum = run(increment);
    assert_true(sum > 0);
    snprintf(expected, sizeof expected, "%d", sum);
    check_content("n", expected);
}

static void test_threads_lose_no_update(void **state)
{
    (void)state;
    check_no_update_is_lost(sum_of_threads);
}

static void test_one_of_many_processes_creates(void **state)
{
    (void)state;
    assert_int_equal(sum_of_processes(create_objects), ATTEMPTS);
}

static void test_processes_lose_no_update(void **state)
{
    (void)state;
    check_no_update_is_lost(sum_of_processes);
}

/* ---- the local store ---- */

static char *path_of(const char *name)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static void write_file(const char *name)
{
    char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    free(path);
}

static void test_list_hides_staging_files(void **state)
{
    (void)state;
    assert_ok(put("x/a", "1", SGC_PUT_ALWAYS, NULL));
    write_file("x/a#1");
    write_file("x/a#20260730");
    write_file(".lock#0");
    write_file("x/b#");
    write_file("x/c#1a");
    check_list("", "x/a x/b# x/c#1a ");
}

static void test_hidden_names(void **state)
{
    (void)state;
    assert_true(sgc_object_store_name_is_hidden("ref.json#1"));
    assert_true(sgc_object_store_name_is_hidden("a#b#0123456789"));
    assert_false(sgc_object_store_name_is_hidden("a"));
    assert_false(sgc_object_store_name_is_hidden("a#"));
    assert_false(sgc_object_store_name_is_hidden("a#1b"));
    assert_false(sgc_object_store_name_is_hidden("1"));
}

static void test_reading_creates_nothing(void **state)
{
    (void)state;
    char *path = path_of("not/yet");
    sgc_object_store_free(store);
    store = open_local(path);
    check_missing("a");
    check_list("", "");
    assert_ok(sgc_object_store_remove(store, "a", &err));
    free(path);
    path = path_of("not");
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void test_first_put_makes_the_directory(void **state)
{
    (void)state;
    char *path = path_of("not/yet/");
    sgc_object_store_free(store);
    store = open_local(path);
    free(path);
    assert_ok(put("x/y/a", "1", SGC_PUT_IF_ABSENT, NULL));
    path = path_of("not/yet/x/y/a");
    assert_int_equal(access(path, F_OK), 0);
    free(path);
}

static void set_time(const char *name, time_t seconds)
{
    char *path = path_of(name);
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds, .tv_nsec = 7000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void test_time_of_a_file(void **state)
{
    (void)state;
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    set_time("a", 1000);
    assert_int_equal(info_of("").modified, UINT64_C(1000000007));
    set_time("a", -5);
    assert_int_equal(info_of("").modified, 0);
}

static void test_list_of_what_cannot_be_read(void **state)
{
    (void)state;
    char *path = path_of("loop");
    assert_int_equal(symlink("loop", path), 0);
    free(path);
    listing l = {.count = 0};
    assert_status(SGC_IO, store->list(store, "", collect, &l, &err));
    assert_message("cannot list");
}

/* The number of files below the directory, staging files included, the lock file not. */
static int count_files(void)
{
    char command[512], text[16] = "";
    snprintf(command, sizeof command, "find '%s' -type f ! -name .lock#0 | wc -l", directory);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof text, pipe));
    assert_int_equal(pclose(pipe), 0);
    return atoi(text);
}

static void check_swept(uint64_t before, bool dry_run, const char *expected)
{
    listing l = {.count = 0};
    assert_ok(store->sweep(store, before, dry_run, collect, &l, &err));
    check_keys(&l, expected);
}

static void leave_staging_files(void)
{
    assert_ok(put("x/y/a", "1", SGC_PUT_IF_ABSENT, NULL));
    write_file("a#1");
    write_file("x/y/a#20260730");
    write_file("x/new#2");
    write_file("x/b#");
    write_file("x/.lock#0");
    set_time("a#1", 1000);
    set_time("x/y/a#20260730", 1000);
    set_time("x/y/a", 1000);
    set_time("x/b#", 1000);
    set_time("x/.lock#0", 1000);
    set_time(".lock#0", 1000);
    set_time("x/new#2", 2000);
}

static void test_sweep(void **state)
{
    (void)state;
    leave_staging_files();
    check_swept(UINT64_C(1000000000), false, "");
    check_swept(UINT64_C(2000000000), true, "a#1 x/.lock#0 x/y/a#20260730 ");
    check_swept(UINT64_C(2000000000), false, "a#1 x/.lock#0 x/y/a#20260730 ");
    check_swept(UINT64_C(2000000000), false, "");
    check_list("", "x/b# x/y/a ");
    assert_int_equal(count_files(), 3);
    assert_ok(store->sweep(store, UINT64_MAX, false, NULL, NULL, &err));
    assert_int_equal(count_files(), 2);
}

static void test_sweep_ends_when_it_is_told(void **state)
{
    (void)state;
    leave_staging_files();
    int calls = 0;
    assert_status(SGC_CANCELLED,
                  store->sweep(store, UINT64_MAX, false, stop_at_second, &calls, &err));
    assert_int_equal(count_staging_files(store), 3);
}

static void test_sweep_of_a_missing_place(void **state)
{
    (void)state;
    char *path = path_of("not/yet");
    sgc_object_store_free(store);
    store = open_local(path);
    free(path);
    check_swept(UINT64_MAX, false, "");
}

static void test_no_staging_file_stays(void **state)
{
    (void)state;
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "2", SGC_PUT_ALWAYS, NULL));
    assert_ok(put("a", "3", SGC_PUT_IF_UNCHANGED, "2"));
    assert_ok(put("b", "1", SGC_PUT_IF_ABSENT, NULL));
    assert_status(SGC_EXISTS, put("b", "2", SGC_PUT_IF_ABSENT, NULL));
    assert_status(SGC_CONFLICT, put("b", "2", SGC_PUT_IF_UNCHANGED, "x"));
    assert_int_equal(count_files(), 2);
}

static void test_foreign_staging_file_is_no_obstacle(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "a#%ld%d", (long)getpid(), i);
        write_file(name);
    }
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    check_content("a", "1");
    assert_int_equal(count_files(), 4);
}

static void check_put_fails(const char *key, const char *part)
{
    static const sgc_put_condition conditions[] = {SGC_PUT_ALWAYS, SGC_PUT_IF_ABSENT,
                                                   SGC_PUT_IF_UNCHANGED};
    for (int i = 0; i < 3; i++) {
        assert_status(SGC_IO, put(key, "1", conditions[i], "1"));
        assert_message(part);
    }
}

static void test_put_below_a_file(void **state)
{
    (void)state;
    assert_ok(put("file", "1", SGC_PUT_ALWAYS, NULL));
    check_put_fails("file/a", "/file");
    check_put_fails("file/x/a", "/file");
    check_content("file", "1");
    assert_int_equal(count_files(), 1);
}

static void test_put_where_nothing_can_be_made(void **state)
{
    (void)state;
    sgc_object_store_free(store);
    store = open_local("/proc/sgc");
    check_put_fails("a", "/proc/sgc");
}

static void test_put_over_a_directory(void **state)
{
    (void)state;
    assert_ok(put("x/a", "1", SGC_PUT_ALWAYS, NULL));
    assert_status(SGC_IO, put("x", "1", SGC_PUT_ALWAYS, NULL));
    assert_message("/x");
    assert_int_equal(count_files(), 1);
}

/* ---- failing and recorded system calls: the linker puts these before those of the C library ----
 */

static atomic_bool disk_is_full;
static atomic_int link_error; /* errno of each link, or 0 */
static atomic_bool recording;
static char record[4096]; /* "mkdir x;sync x;rename x/a;", relative to `directory` */

int __real_fsync(int fd);
int __real_mkdir(const char *path, mode_t mode);
int __real_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
ssize_t __real_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rename(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *data, size_t size);

/* Staging files are recorded without their number. */
static int recorded(int result, const char *verb, const char *path)
{
    const size_t root = strlen(directory), used = strlen(record);
    if (result != 0 || !atomic_load(&recording) || strncmp(path, directory, root) != 0)
        return result;
    const char *name = strcmp(path, directory) == 0 ? "/" : path + root;
    snprintf(record + used, sizeof record - used, "%s %.*s;", verb,
             (int)strcspn(name, "0123456789"), name);
    return result;
}

int __wrap_fsync(int fd)
{
    char link_path[64], path[1024];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link_path, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return recorded(__real_fsync(fd), "sync", path);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return recorded(__real_mkdir(path, mode), "mkdir", path);
}

int __wrap_rename(const char *from, const char *to)
{
    return recorded(__real_rename(from, to), "rename", to);
}

int __wrap_link(const char *from, const char *to)
{
    const int code = atomic_load(&link_error);
    if (code == 0)
        return recorded(__real_link(from, to), "link", to);
    errno = code;
    return -1;
}

/* A full disk takes some bytes before it refuses more. */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (!atomic_load(&disk_is_full))
        return __real_write(fd, data, size);
    if (size > 3)
        return __real_write(fd, data, 3);
    errno = ENOSPC;
    return -1;
}

static void check_record(const char *key, sgc_put_condition condition, const char *previous,
                         const char *expected)
{
    record[0] = '\0';
    atomic_store(&recording, true);
    const sgc_status status = put(key, "1", condition, previous);
    atomic_store(&recording, false);
    assert_ok(status);
    assert_string_equal(record, expected);
}

/* Content, then name, then directory. */
static void test_puts_are_durable(void **state)
{
    (void)state;
    check_record("a", SGC_PUT_ALWAYS, NULL, "sync /a#;rename /a;sync /;");
    check_record("a", SGC_PUT_IF_UNCHANGED, "1", "sync /a#;rename /a;sync /;");
    check_record("b", SGC_PUT_IF_ABSENT, NULL, "sync /b#;link /b;sync /;");
}

static void test_new_directories_are_durable(void **state)
{
    (void)state;
    check_record("x/a", SGC_PUT_ALWAYS, NULL, "mkdir /x;sync /;sync /x/a#;rename /x/a;sync /x;");
    check_record("x/y/z/a", SGC_PUT_ALWAYS, NULL,
                 "mkdir /x/y;sync /x;mkdir /x/y/z;sync /x/y;sync /x/y/z/a#;rename /x/y/z/a;"
                 "sync /x/y/z;");
}

/* Its maker may not have come to that yet. */
static void test_names_of_existing_directories_are_durable(void **state)
{
    (void)state;
    char *path = path_of("x");
    assert_int_equal(mkdir(path, 0777), 0);
    free(path);
    path = path_of("x/y");
    assert_int_equal(mkdir(path, 0777), 0);
    free(path);
    check_record("x/y/a", SGC_PUT_ALWAYS, NULL,
                 "sync /;sync /x;sync /x/y/a#;rename /x/y/a;sync /x/y;");
    check_record("x/y/b", SGC_PUT_ALWAYS, NULL, "sync /x/y/b#;rename /x/y/b;sync /x/y;");
    check_record("x/a", SGC_PUT_ALWAYS, NULL, "sync /x/a#;rename /x/a;sync /x;");
}

static void test_put_into_a_removed_place(void **state)
{
    (void)state;
    assert_ok(put("x/a", "1", SGC_PUT_ALWAYS, NULL));
    temporary_directory_free(path_of("x"));
    check_record("x/b", SGC_PUT_ALWAYS, NULL, "mkdir /x;sync /;sync /x/b#;rename /x/b;sync /x;");
}

static void test_many_directories(void **state)
{
    (void)state;
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "x/%d/a", i);
        assert_ok(put(key, key, SGC_PUT_ALWAYS, NULL));
    }
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "x/%d/a", i);
        check_content(key, key);
    }
}

static void test_copies_are_durable(void **state)
{
    (void)state;
    assert_ok(put("a", "1", SGC_PUT_ALWAYS, NULL));
    record[0] = '\0';
    atomic_store(&recording, true);
    const sgc_status status = store->copy(store, "a", "x/b", &err);
    atomic_store(&recording, false);
    assert_ok(status);
    assert_string_equal(record, "mkdir /x;sync /;link /x/b;sync /x;");
}

static void test_without_hard_links(void **state)
{
    (void)state;
    static const int codes[] = {EPERM, EOPNOTSUPP, EMLINK};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        atomic_store(&link_error, codes[i]);
        const sgc_status created = put("a", "one", SGC_PUT_IF_ABSENT, NULL);
        const sgc_status copied = store->copy(store, "a", "x/b", &err);
        const sgc_status created_again = put("a", "two", SGC_PUT_IF_ABSENT, NULL);
        const sgc_status copied_again = store->copy(store, "a", "x/b", &err);
        const sgc_status nothing_copied = store->copy(store, "none", "c", &err);
        atomic_store(&link_error, 0);
        assert_ok(created);
        assert_ok(copied);
        assert_status(SGC_EXISTS, created_again);
        assert_status(SGC_EXISTS, copied_again);
        assert_status(SGC_NOT_FOUND, nothing_copied);
        check_content("a", "one");
        check_content("x/b", "one");
        assert_int_equal(count_files(), 2);
        assert_ok(sgc_object_store_remove(store, "a", &err));
        assert_ok(sgc_object_store_remove(store, "x/b", &err));
    }
}

static void test_full_disk(void **state)
{
    (void)state;
    assert_ok(put("a", "one", SGC_PUT_ALWAYS, NULL));
    atomic_store(&disk_is_full, true);
    const sgc_status always = put("a", "four", SGC_PUT_ALWAYS, NULL);
    const sgc_status unchanged = put("a", "four", SGC_PUT_IF_UNCHANGED, "one");
    const sgc_status absent = put("b", "four", SGC_PUT_IF_ABSENT, NULL);
    atomic_store(&disk_is_full, false);
    assert_status(SGC_IO, always);
    assert_status(SGC_IO, unchanged);
    assert_status(SGC_IO, absent);
    assert_message("/b: No space left on device; free some space");
    check_content("a", "one");
    check_missing("b");
    assert_int_equal(count_files(), 1);
}

/* ---- locks ---- */

static bool lock(sgc_object_store *handle, int64_t number)
{
    bool taken = false;
    assert_ok(handle->lock(handle, number, &taken, &err));
    return taken;
}

static void test_lock_excludes_other_handles(void **state)
{
    (void)state;
    sgc_object_store *other = open_local(directory);
    assert_true(lock(store, 7));
    assert_false(lock(other, 7));
    store->unlock(store, 7);
    assert_true(lock(other, 7));
    assert_false(lock(store, 7));
    sgc_object_store_free(other);
}

static void test_locks_are_independent(void **state)
{
    (void)state;
    sgc_object_store *other = open_local(directory);
    assert_true(lock(store, 1));
    assert_true(lock(other, 2));
    assert_true(lock(store, INT64_MAX));
    assert_false(lock(other, INT64_MAX));
    store->unlock(store, 1);
    assert_false(lock(store, 2));
    sgc_object_store_free(other);
}

static void test_closing_releases_locks(void **state)
{
    (void)state;
    sgc_object_store *other = open_local(directory);
    assert_true(lock(other, 7));
    assert_false(lock(store, 7));
    sgc_object_store_free(other);
    assert_true(lock(store, 7));
}

static void test_unlock_without_lock(void **state)
{
    (void)state;
    sgc_object_store *other = open_local(directory);
    store->unlock(store, 7);
    assert_true(lock(store, 7));
    other->unlock(other, 7);
    assert_false(lock(other, 7));
    sgc_object_store_free(other);
}

static void test_locks_do_not_stop_puts(void **state)
{
    (void)state;
    sgc_object_store *other = open_local(directory);
    assert_true(lock(other, 1));
    assert_ok(put("a", "1", SGC_PUT_IF_ABSENT, NULL));
    assert_ok(put("a", "2", SGC_PUT_IF_UNCHANGED, "1"));
    sgc_object_store_free(other);
}

static void test_without_locking_every_lock_is_granted(void **state)
{
    (void)state;
    const sgc_local_options options = {.no_locking = true};
    sgc_object_store *unlocked;
    assert_ok(sgc_object_store_local_new(directory, &options, &unlocked, &err));
    assert_true(lock(store, 7));
    assert_true(lock(unlocked, 7));
    sgc_object_store_free(unlocked);
}

/* A process that takes lock 7 and ends only by being killed. */
static pid_t start_owner(void)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sgc_object_store *own;
        bool taken = false;
        if (sgc_object_store_local_new(directory, NULL, &own, NULL) == SGC_OK &&
            own->lock(own, 7, &taken, NULL) == SGC_OK && taken)
            byte = 1;
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(byte, 1);
    return child;
}

static void test_death_releases_locks(void **state)
{
    (void)state;
    const pid_t owner = start_owner();
    const bool taken_before = lock(store, 7);
    assert_int_equal(kill(owner, SIGKILL), 0);
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    assert_false(taken_before);
    assert_true(lock(store, 7));
}

#define BOTH(test)                                             \
    {#test " (memory)", test, set_up_memory, tear_down, NULL}, \
    {                                                          \
#test " (local)", test, set_up_local, tear_down, NULL  \
    }
#define LOCAL(test) cmocka_unit_test_setup_teardown(test, set_up_local, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_get_of_ranges),
        BOTH(test_get_beyond_the_end),
        BOTH(test_get_of_a_missing_object),
        BOTH(test_empty_object),
        BOTH(test_put_always_replaces),
        BOTH(test_put_if_absent),
        BOTH(test_put_if_absent_after_remove),
        BOTH(test_put_if_unchanged),
        BOTH(test_put_if_unchanged_of_a_changed_object),
        BOTH(test_put_if_unchanged_of_the_same_content_again),
        BOTH(test_put_if_unchanged_of_a_missing_object),
        BOTH(test_remove),
        BOTH(test_remove_of_a_missing_object),
        BOTH(test_list),
        BOTH(test_list_of_a_missing_place),
        BOTH(test_list_ends_when_it_is_told),
        BOTH(test_list_allows_removal),
        BOTH(test_list_tells_size_and_time),
        BOTH(test_copy),
        BOTH(test_copy_is_independent),
        BOTH(test_copy_over_an_object),
        BOTH(test_copy_of_a_missing_object),
        BOTH(test_one_of_many_threads_creates),
        BOTH(test_threads_lose_no_update),
        LOCAL(test_one_of_many_processes_creates),
        LOCAL(test_processes_lose_no_update),
        LOCAL(test_list_hides_staging_files),
        LOCAL(test_hidden_names),
        LOCAL(test_time_of_a_file),
        LOCAL(test_list_of_what_cannot_be_read),
        LOCAL(test_sweep),
        LOCAL(test_sweep_ends_when_it_is_told),
        LOCAL(test_sweep_of_a_missing_place),
        LOCAL(test_reading_creates_nothing),
        LOCAL(test_first_put_makes_the_directory),
        LOCAL(test_no_staging_file_stays),
        LOCAL(test_foreign_staging_file_is_no_obstacle),
        LOCAL(test_put_below_a_file),
        LOCAL(test_put_where_nothing_can_be_made),
        LOCAL(test_put_over_a_directory),
        LOCAL(test_puts_are_durable),
        LOCAL(test_new_directories_are_durable),
        LOCAL(test_names_of_existing_directories_are_durable),
        LOCAL(test_put_into_a_removed_place),
        LOCAL(test_many_directories),
        LOCAL(test_copies_are_durable),
        LOCAL(test_without_hard_links),
        LOCAL(test_full_disk),
        LOCAL(test_lock_excludes_other_handles),
        LOCAL(test_locks_are_independent),
        LOCAL(test_closing_releases_locks),
        LOCAL(test_unlock_without_lock),
        LOCAL(test_locks_do_not_stop_puts),
        LOCAL(test_without_locking_every_lock_is_granted),
        LOCAL(test_death_releases_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
