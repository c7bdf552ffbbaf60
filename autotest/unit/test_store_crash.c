/* The local store and repositories in it when the disk fails, the process dies or the power goes,
 * at each system call that changes the disk. */
#include "autotest/unit/store_testing.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotest/unit/power_loss.h"
#include "autotest/unit/store_scenarios.h"

/* Each trial has a directory of its own: "place" is what is tested. */
static char *directory, *place_path, *spare;

static char *path_in(const char *parent, const char *name)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", parent, name) > 0);
    return path;
}

static void begin_trial(void)
{
    directory = temporary_directory_new();
    place_path = path_in(directory, "place");
    spare = path_in(directory, "spare");
    assert_int_equal(mkdir(spare, 0777), 0);
}

static void end_trial(void)
{
    temporary_directory_free(directory);
    free(place_path);
    free(spare);
}

static sgc_object_store *open_path(void *path)
{
    sgc_object_store *store = NULL;
    return sgc_object_store_local_new(path, NULL, &store, NULL) == SGC_OK ? store : NULL;
}

/* ---- repositories ---- */

typedef struct mode {
    const char *name;
    disk_event event;
    int code;
    power_loss loss;
} mode;

/* What the child says. */
enum { FAILED = 1, UNTOUCHED = 2, AT_UNLINK = 4 };

static int run_child(const store_scenario *scenario, const scenario_place *place,
                     const disk_plan *plan)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        disk_begin(plan, spare);
        const sgc_status status = scenario_act(scenario, place, NULL);
        const char *victim = disk_end();
        _exit((status != SGC_OK ? FAILED : 0) | (victim == NULL ? UNTOUCHED : 0) |
              (victim != NULL && strcmp(victim, "unlink") == 0 ? AT_UNLINK : 0));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static size_t template_length;

static int copy_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    char *copy = path_in(place_path, path + template_length);
    const int result = kind == FTW_D ? mkdir(copy, 0777) : link(path, copy);
    free(copy);
    return result;
}

/* Copies the prepared repository, which may be none. Its files are never written again. */
static void copy_template(const char *template)
{
    template_length = strlen(template);
    if (access(template, F_OK) == 0)
        assert_int_equal(nftw(template, copy_entry, 16, FTW_PHYS), 0);
}

/* An answer that was given holds, what was refused or interrupted has happened wholly or not at
 * all, and an error leaves no rubbish. */
static void check_outcome(const store_scenario *scenario, const scenario_place *place,
                          const disk_plan *plan, int outcome)
{
    const bool crashed = outcome == DISK_CRASHED;
    sgc_object_store *store = open_path(place_path);
    if (!crashed && plan->loss == LOSE_NOTHING && (outcome & AT_UNLINK) == 0)
        assert_int_equal(count_staging_files(store), 0);
    const scenario_state state = scenario_check(scenario, place);
    if (!crashed && (outcome & FAILED) == 0)
        assert_int_equal(state, SCENARIO_AFTER);
    assert_ok(store->sweep(store, UINT64_MAX, false, NULL, NULL, &err));
    sgc_object_store_free(store);
    assert_int_equal(scenario_look(scenario, place), SCENARIO_AFTER);
}

/* True when the event came after the end. */
static bool try_one(const store_scenario *scenario, const char *template, const disk_plan *plan)
{
    begin_trial();
    const scenario_place place = {open_path, place_path};
    copy_template(template);
    const int outcome = run_child(scenario, &place, plan);
    const bool untouched = outcome != DISK_CRASHED && (outcome & UNTOUCHED) != 0;
    if (untouched || plan->event == DISK_SHORT_WRITE)
        assert_int_equal(outcome & FAILED, 0);
    check_outcome(scenario, &place, plan, outcome);
    end_trial();
    return untouched;
}

static void check_scenario(const store_scenario *scenario, const mode *m)
{
    char *parent = temporary_directory_new();
    char *template = path_in(parent, "template");
    scenario_prepare(scenario, &(scenario_place){open_path, template});
    disk_plan plan = {1, m->event, m->code, m->loss};
    for (bool ended = false; !ended; plan.at++) {
        note_trial("%s, %s at call %u", scenario->name, m->name, plan.at);
        ended = try_one(scenario, template, &plan);
    }
    forget_trial();
    /* Something was tried, where there is anything. */
    assert_true(plan.at > 2 || (m->event == DISK_SHORT_WRITE && scenario->writes_nothing));
    free(template);
    temporary_directory_free(parent);
}

static void check_mode(disk_event event, int code, power_loss loss, const char *name)
{
    const mode m = {name, event, code, loss};
    for (size_t i = 0; i < store_scenario_count; i++)
        check_scenario(&store_scenarios[i], &m);
}

static void test_crashes(void **state)
{
    (void)state;
    check_mode(DISK_CRASH, 0, LOSE_NOTHING, "crash");
}

static void test_power_losses(void **state)
{
    (void)state;
    check_mode(DISK_CRASH, 0, LOSE_NAMES_AND_CONTENTS, "power loss, empty files");
}

static void test_power_losses_that_leave_garbage(void **state)
{
    (void)state;
    check_mode(DISK_CRASH, 0, LOSE_NAMES_KEEP_GARBAGE, "power loss, garbage");
}

static void test_power_losses_that_leave_names(void **state)
{
    (void)state;
    check_mode(DISK_CRASH, 0, LOSE_CONTENTS, "power loss, garbage under good names");
}

static void test_errors(void **state)
{
    (void)state;
    check_mode(DISK_ERROR, EIO, LOSE_NOTHING, "input/output error");
}

static void test_errors_before_a_power_loss(void **state)
{
    (void)state;
    check_mode(DISK_ERROR, EIO, LOSE_NAMES_AND_CONTENTS, "error, then power loss");
}

static void test_full_disks(void **state)
{
    (void)state;
    check_mode(DISK_FULL, 0, LOSE_NOTHING, "full disk");
}

static void test_short_writes(void **state)
{
    (void)state;
    check_mode(DISK_SHORT_WRITE, 0, LOSE_NOTHING, "short write");
}

/* ---- objects ---- */

typedef struct change {
    const char *name;
    sgc_status (*make)(sgc_object_store *store, sgc_error *error);
    const char *key, *before, *after; /* before: NULL when there is no such object */
} change;

static sgc_status put(sgc_object_store *store, const char *key, const char *text,
                      sgc_put_condition condition, sgc_error *error)
{
    const sgc_object old = {(unsigned char *)"old", 3};
    return store->put(store, key, text, strlen(text), condition, &old, error);
}

static sgc_status replace(sgc_object_store *store, sgc_error *error)
{
    return put(store, "x/old", "new text", SGC_PUT_ALWAYS, error);
}

static sgc_status add(sgc_object_store *store, sgc_error *error)
{
    return put(store, "x/y/new", "new text", SGC_PUT_ALWAYS, error);
}

static sgc_status add_if_absent(sgc_object_store *store, sgc_error *error)
{
    return put(store, "x/new", "new text", SGC_PUT_IF_ABSENT, error);
}

static sgc_status replace_if_unchanged(sgc_object_store *store, sgc_error *error)
{
    return put(store, "x/old", "new text", SGC_PUT_IF_UNCHANGED, error);
}

static sgc_status copy(sgc_object_store *store, sgc_error *error)
{
    return store->copy(store, "x/old", "z/copy", error);
}

static const change changes[] = {
    {"put over", replace, "x/old", "old", "new text"},
    {"put", add, "x/y/new", NULL, "new text"},
    {"put if absent", add_if_absent, "x/new", NULL, "new text"},
    {"put if unchanged", replace_if_unchanged, "x/old", "old", "new text"},
    {"copy", copy, "z/copy", NULL, "old"},
};

static bool holds(sgc_object_store *store, const char *key, const char *text)
{
    sgc_object object = {0};
    const sgc_status status = store->get(store, key, 0, SGC_TO_END, &object, &err);
    if (status != SGC_NOT_FOUND)
        assert_ok(status);
    const bool same = text == NULL ? status == SGC_NOT_FOUND
                                   : status == SGC_OK && object.size == strlen(text) &&
                                         memcmp(object.data, text, object.size) == 0;
    sgc_object_clear(&object);
    return same;
}

/* Only what makes the new name durable may fail after the change. */
static void check_refusal(sgc_object_store *store, const change *c, int code, const char *victim)
{
    assert_message(strerror(code));
    assert_message(place_path);
    assert_string_not_equal(victim, "close");
    if (strcmp(victim, "unlink") != 0)
        assert_int_equal(count_staging_files(store), 0);
    if (strcmp(victim, "fsync") != 0)
        assert_true(holds(store, c->key, c->before));
}

static bool try_change(const change *c, int code, unsigned at)
{
    begin_trial();
    sgc_object_store *store = open_path(place_path);
    assert_ok(put(store, "x/old", "old", SGC_PUT_ALWAYS, &err));
    const disk_plan plan = {.at = at, .event = DISK_ERROR, .code = code};
    disk_begin(&plan, spare);
    const sgc_status status = c->make(store, &err);
    const char *victim = disk_end();
    if (status == SGC_OK) {
        assert_true(holds(store, c->key, c->after));
    } else {
        assert_status(SGC_IO, status);
        assert_non_null(victim);
        check_refusal(store, c, code, victim);
        if (holds(store, c->key, c->before))
            assert_ok(c->make(store, &err));
        assert_true(holds(store, c->key, c->after));
    }
    assert_true(holds(store, "x/old", strcmp(c->key, "x/old") == 0 ? c->after : "old"));
    sgc_object_store_free(store);
    end_trial();
    return victim == NULL;
}

static void test_changes_that_are_refused(void **state)
{
    (void)state;
    static const int codes[] = {EIO, ENOSPC, EDQUOT, EROFS, EACCES, EMFILE};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
            bool ended = false;
            for (unsigned at = 1; !ended; at++) {
                note_trial("%s, %s at call %u", changes[i].name, strerror(codes[k]), at);
                ended = try_change(&changes[i], codes[k], at);
            }
        }
    forget_trial();
}

/* A signal at any call that can be repeated is nobody's business. */
static void test_interrupted_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        unsigned at = 1;
        for (const char *victim = ""; victim != NULL; at++) {
            begin_trial();
            sgc_object_store *store = open_path(place_path);
            assert_ok(put(store, "x/old", "old", SGC_PUT_ALWAYS, &err));
            const disk_plan plan = {.at = at, .event = DISK_ERROR, .code = EINTR};
            disk_begin(&plan, spare);
            const sgc_status status = changes[i].make(store, &err);
            victim = disk_end();
            note_trial("%s, signal at call %u", changes[i].name, at);
            if (victim == NULL || strcmp(victim, "write") == 0 || strcmp(victim, "fsync") == 0 ||
                strncmp(victim, "open", 4) == 0 || strcmp(victim, "close") == 0)
                assert_ok(status);
            sgc_object_store_free(store);
            end_trial();
        }
    }
    forget_trial();
}

/* Another process made the directories a moment ago, and has not synced them. */
static void test_names_of_foreign_directories_are_durable(void **state)
{
    (void)state;
    begin_trial();
    sgc_object_store *store = open_path(place_path);
    char *x = path_in(place_path, "x"), *y = path_in(x, "y");
    const disk_plan plan = {.loss = LOSE_NAMES_AND_CONTENTS};
    disk_begin(&plan, spare);
    const bool made = mkdir(place_path, 0777) == 0 && mkdir(x, 0777) == 0 && mkdir(y, 0777) == 0;
    const sgc_status first = put(store, "x/y/a", "1", SGC_PUT_ALWAYS, &err);
    const sgc_status second = put(store, "x/y/b", "2", SGC_PUT_IF_ABSENT, &err);
    disk_end();
    assert_true(made);
    assert_ok(first);
    assert_ok(second);
    assert_true(holds(store, "x/y/a", "1"));
    assert_true(holds(store, "x/y/b", "2"));
    sgc_object_store_free(store);
    free(x);
    free(y);
    end_trial();
}

/* The simulation itself. */
static void test_what_is_not_synced_is_lost(void **state)
{
    (void)state;
    begin_trial();
    sgc_object_store *store = open_path(place_path);
    assert_ok(put(store, "a", "old", SGC_PUT_ALWAYS, &err));
    char *a = path_in(place_path, "a"), *b = path_in(place_path, "b");
    const disk_plan plan = {.loss = LOSE_NAMES_AND_CONTENTS};
    disk_begin(&plan, spare);
    const bool changed = rename(a, b) == 0 && link(b, a) == 0 && unlink(a) == 0;
    disk_end();
    assert_true(changed);
    assert_true(holds(store, "a", "old"));
    assert_true(holds(store, "b", NULL));
    sgc_object_store_free(store);
    free(a);
    free(b);
    end_trial();
}

#define TEST(test) cmocka_unit_test_teardown(test, say_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_not_synced_is_lost),
        TEST(test_changes_that_are_refused),
        TEST(test_interrupted_calls),
        TEST(test_names_of_foreign_directories_are_durable),
        TEST(test_crashes),
        TEST(test_power_losses),
        TEST(test_power_losses_that_leave_garbage),
        TEST(test_power_losses_that_leave_names),
        TEST(test_errors),
        TEST(test_errors_before_a_power_loss),
        TEST(test_full_disks),
        TEST(test_short_writes),
    };
    return cmocka_run_group_tests(tests, forget_blocks, NULL);
}
