/* Garbage collection in both versions (format guide 18.3). */
#include "autotest/unit/repository_testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "autotest/unit/golden.h"
#include "store/clock.h"
#include "store/icechunk/maintenance.h"

static const sgc_object_id garbage = {{0xee, 1}}, other_garbage = {{0x11, 1}};
static const char *const folders[] = {"snapshots", "transactions", "manifests", "chunks"};
enum { FOLDERS = 4 };

static sgc_garbage_result collect(place *p, uint64_t older_than, bool dry_run)
{
    sgc_repository *repository = place_open(p);
    const sgc_garbage_options options = {.older_than = older_than, .dry_run = dry_run};
    sgc_garbage_result result;
    assert_ok(sgc_repository_collect_garbage(repository, &options, &result, &err));
    sgc_repository_free(repository);
    return result;
}

static void check_result(const sgc_garbage_result *r, size_t snapshots, size_t logs,
                         size_t manifests, size_t chunks)
{
    assert_int_equal(r->snapshots, snapshots);
    assert_int_equal(r->transaction_logs, logs);
    assert_int_equal(r->manifests, manifests);
    assert_int_equal(r->chunks, chunks);
}

/* The bytes and number of what is gone. */
static uint64_t bytes_gone(const contents *before, const contents *after, size_t *count)
{
    uint64_t bytes = 0;
    *count = 0;
    for (size_t i = 0; i < before->count; i++)
        if (contents_find(after, before->files[i].key) == NULL) {
            bytes += before->files[i].object.size;
            *count += 1;
        }
    return bytes;
}

/* ---- a repository with garbage of all kinds ---- */

/* main: root - first - second - third, where branch "gone" had first - lost - lost_tip; what only
 * that needs is garbage. */
typedef struct scene {
    place *p;
    sgc_object_id root, first, second, third, lost, lost_tip;
} scene;

static scene begin(void **state)
{
    scene s = {.p = *state};
    sgc_repository *repository = place_create(s.p);
    s.root = tip_of(repository, "main");
    s.first = commit_arrays(repository);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_BRANCH, "gone", &s.first, &err));
    s.lost = commit_value(repository, "gone", "/g/native", 0, 0, 1);
    s.lost_tip = commit_value(repository, "gone", "/g/native", 0, 1, 2);
    s.second = commit_value(repository, "main", "/g/native", 1, 0, 3);
    s.third = commit_value(repository, "main", "/g/native", 1, 0, 4);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &s.second, &err));
    assert_ok(sgc_repository_delete_ref(repository, SGC_REF_BRANCH, "gone", &err));
    sgc_repository_free(repository);
    return s;
}

/* 2 lost commits, each with a log, a manifest and a chunk. */
static void test_what_nobody_needs_goes(void **state)
{
    scene s = begin(state);
    sgc_repository *repository = place_open(s.p);
    char *values = describe_refs(repository);
    contents before = contents_take(s.p);
    const sgc_garbage_result result = collect(s.p, UINT64_MAX, false);
    contents after = contents_take(s.p);
    size_t count;
    check_result(&result, 2, 2, 2, 2);
    assert_true(result.bytes == bytes_gone(&before, &after, &count));
    assert_int_equal(count, 8);
    assert_kept_contents(&after, &before, "chunks/");
    assert_kept_contents(&after, &before, "manifests/");
    assert_kept_contents(&after, &before, "snapshots/");
    assert_kept_contents(&after, &before, "transactions/");
    assert_kept_contents(&before, &after, "refs/");
    assert_kept_contents(&before, &after, "overwritten/");
    for (size_t i = 0; i < 2; i++) {
        assert_false(place_has(s.p, key_of("snapshots", i == 0 ? &s.lost : &s.lost_tip)));
        assert_false(place_has(s.p, key_of("transactions", i == 0 ? &s.lost : &s.lost_tip)));
    }
    contents_free(&before);
    contents_free(&after);
    check_clean(s.p);
    char *values_after = describe_refs(repository);
    assert_string_equal(values, values_after);
    free(values);
    free(values_after);
    const sgc_garbage_result again = collect(s.p, UINT64_MAX, false);
    check_result(&again, 0, 0, 0, 0);
    assert_int_equal(again.bytes, 0);
    commit_value(repository, "main", "/inline", 0, 0, 1);
    sgc_repository_free(repository);
}

static void test_forgotten_snapshots_are_not_listed(void **state)
{
    scene s = begin(state);
    collect(s.p, UINT64_MAX, false);
    sgc_repo_info info = load_info(s.p);
    assert_int_equal(info.data.snapshot_count, 4);
    assert_null(sgc_repo_info_find_snapshot(&info, &s.lost));
    assert_null(sgc_repo_info_find_snapshot(&info, &s.lost_tip));
    assert_int_equal(info.data.operations[0].kind, SGC_GC_RAN);
    sgc_repo_info_clear(&info);
    sgc_repository *repository = place_open(s.p);
    assert_status(SGC_NOT_FOUND,
                  sgc_repository_create_ref(repository, SGC_REF_TAG, "late", &s.lost_tip, &err));
    sgc_repository_free(repository);
}

static void test_dry_run(void **state)
{
    scene s = begin(state);
    contents before = contents_take(s.p);
    const sgc_garbage_result dry = collect(s.p, UINT64_MAX, true);
    check_unchanged(s.p, &before);
    const sgc_garbage_result wet = collect(s.p, UINT64_MAX, false);
    check_result(&dry, 2, 2, 2, 2);
    assert_memory_equal(&dry, &wet, sizeof dry);
}

static void test_what_others_put_there_stays(void **state)
{
    scene s = begin(state);
    static const char *const keys[] = {"chunks/README",
                                       "chunks/1CECHNKREP0F1RSTCMT",
                                       "chunks/1CECHNKREP0F1RSTCMT0.bak",
                                       "chunks/sub/1CECHNKREP0F1RSTCMT0",
                                       "manifests/x",
                                       "snapshots/index",
                                       "transactions/log",
                                       "overwritten/1CECHNKREP0F1RSTCMT0",
                                       "attributes/1CECHNKREP0F1RSTCMT0",
                                       "README"};
    enum { KEYS = sizeof keys / sizeof *keys };
    for (size_t i = 0; i < KEYS; i++)
        place_put(s.p, keys[i], "x", 1);
    collect(s.p, UINT64_MAX, false);
    for (size_t i = 0; i < KEYS; i++)
        assert_true(place_has(s.p, keys[i]));
}

/* After an expiration the old snapshots have no names any more, but in version 2 their logs are
 * still needed. */
static void test_after_an_expiration(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    sgc_expire_result expired;
    commit_arrays(repository);
    for (unsigned char value = 1; value <= 4; value++)
        commit_value(repository, "main", "/g/native", 0, 0, value);
    assert_ok(sgc_repository_expire(repository, &(sgc_expire_options){.older_than = UINT64_MAX},
                                    &expired, &err));
    assert_int_equal(expired.snapshots, 4);
    char *values = describe_refs(repository);
    const sgc_garbage_result result = collect(p, UINT64_MAX, false);
    check_result(&result, 4, p->version == 1 ? 4 : 0, 3, 3);
    check_clean(p);
    char *values_after = describe_refs(repository);
    assert_string_equal(values, values_after);
    free(values);
    free(values_after);
    sgc_repository_free(repository);
}

/* ---- ages ---- */

static void set_age(place *p, const char *key, uint64_t modified)
{
    char path[1024];
    const struct timespec time = {.tv_sec = (time_t)(modified / 1000000),
                                  .tv_nsec = (long)(modified % 1000000) * 1000};
    snprintf(path, sizeof path, "%s/%s", p->directory, key);
    assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[]){time, time}, 0), 0);
}

static void set_all_ages(place *p, uint64_t modified)
{
    contents all = contents_take(p);
    for (size_t i = 0; i < all.count; i++)
        set_age(p, all.files[i].key, modified);
    contents_free(&all);
}

enum { LIMIT = 2000000000 }; /* microseconds */

/* Only what is older goes. */
static void test_the_limit_is_strict(void **state)
{
    place *p = *state;
    sgc_repository_free(place_create(p));
    set_all_ages(p, LIMIT - 5);
    for (size_t f = 0; f < FOLDERS; f++) {
        place_put(p, key_of(folders[f], &garbage), "xyz", 3);
        set_age(p, key_of(folders[f], &garbage), LIMIT);
        place_put(p, key_of(folders[f], &other_garbage), "uvwxyz", 6);
        set_age(p, key_of(folders[f], &other_garbage), LIMIT - 1);
    }
    for (int dry_run = 1; dry_run >= 0; dry_run--) {
        const sgc_garbage_result result = collect(p, LIMIT, dry_run == 1);
        check_result(&result, 1, 1, 1, 1);
        assert_int_equal(result.bytes, 24);
    }
    for (size_t f = 0; f < FOLDERS; f++) {
        assert_true(place_has(p, key_of(folders[f], &garbage)));
        assert_false(place_has(p, key_of(folders[f], &other_garbage)));
    }
    const sgc_garbage_result rest = collect(p, LIMIT + 1, false);
    check_result(&rest, 1, 1, 1, 1);
    assert_int_equal(rest.bytes, 12);
}

/* What is needed stays, however old it is. */
static void test_old_objects_that_are_needed(void **state)
{
    scene s = begin(state);
    set_all_ages(s.p, 1000000);
    sgc_repository *repository = place_open(s.p);
    char *values = describe_refs(repository);
    collect(s.p, UINT64_MAX, false);
    check_clean(s.p);
    char *values_after = describe_refs(repository);
    assert_string_equal(values, values_after);
    free(values);
    free(values_after);
    sgc_repository_free(repository);
}

/* Its ancestor goes, whose chunk it has too. A snapshot that version 2 lists is whole as long as it
 * is young, by its file or by its own word, and so is the history that it keeps. */
static void check_young(scene *s, uint64_t older_than)
{
    const sgc_garbage_result result = collect(s->p, older_than, false);
    check_result(&result, 1, 0, 1, 0);
    sgc_repository *repository = place_open(s->p);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "late", &s->lost_tip, &err));
    char *history = describe_history(repository, &s->lost_tip);
    assert_string_equal(history, "value 2 Repository initialized");
    check_clean(s->p);
    sgc_repo_info info = load_info(s->p);
    const sgc_snapshot_entry *entry = sgc_repo_info_find_snapshot(&info, &s->lost_tip);
    assert_int_equal(entry->pruned_log_count, 2);
    assert_memory_equal(&entry->pruned_logs[0], &s->first, sizeof s->first);
    assert_memory_equal(&entry->pruned_logs[1], &s->lost, sizeof s->lost);
    sgc_repo_info_clear(&info);
    free(history);
    sgc_repository_free(repository);
}

static void test_a_listed_snapshot_with_a_young_file(void **state)
{
    scene s = begin(state);
    set_all_ages(s.p, 1000000);
    sgc_repository *repository = place_open(s.p);
    set_age(s.p, key_of("snapshots", &s.lost_tip), sgc_clock_now() + 100 * UINT64_C(1000000));
    check_young(&s, sgc_clock_now() + 50 * UINT64_C(1000000));
    sgc_repository_free(repository);
}

static void test_a_listed_snapshot_with_a_young_time(void **state)
{
    scene s = begin(state);
    set_all_ages(s.p, 1000000);
    sgc_repo_info info = load_info(s.p);
    const uint64_t time = sgc_repo_info_find_snapshot(&info, &s.lost_tip)->flushed_at;
    sgc_repo_info_clear(&info);
    check_young(&s, time);
}

/* ---- what interrupted puts have left ---- */

static void leave(place *p, const char *name, uint64_t age_in_hours)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", p->directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite("12345", 1, 5, file), 5);
    fclose(file);
    set_age(p, name, sgc_clock_now() - age_in_hours * 3600 * UINT64_C(1000000));
}

static bool is_left(place *p, const char *name)
{
    struct stat info;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", p->directory, name);
    return stat(path, &info) == 0;
}

static void test_leftovers(void **state)
{
    place *p = *state;
    sgc_repository *repository = place_create(p);
    commit_arrays(repository);
    leave(p, "snapshots/1CECHNKREP0F1RSTCMT0#123", 25);
    leave(p, "repo#1", 48);
    leave(p, "transactions/x#77", 23);
    leave(p, "chunky#", 48);
    const bool had_lock = is_left(p, ".lock#0");
    for (int dry_run = 1; dry_run >= 0; dry_run--) {
        const sgc_garbage_result result = collect(p, UINT64_MAX, dry_run == 1);
        check_result(&result, 0, 0, 0, 0);
        assert_int_equal(result.leftovers, 2);
        assert_int_equal(result.bytes, 10);
        assert_int_equal(is_left(p, "repo#1"), dry_run == 1);
    }
    assert_false(is_left(p, "snapshots/1CECHNKREP0F1RSTCMT0#123"));
    assert_true(is_left(p, "transactions/x#77"));
    assert_true(is_left(p, "chunky#"));
    assert_int_equal(is_left(p, ".lock#0"), had_lock);
    leave(p, "repo#1", 48);
    const sgc_garbage_result result =
        collect(p, sgc_clock_now() - UINT64_C(72) * 3600 * 1000000, false);
    assert_int_equal(result.leftovers, 0);
    sgc_repository_free(repository);
}

/* ---- damage ---- */

/* Without knowing what is needed nothing is removed. */
static void check_nothing_goes(place *p)
{
    sgc_repository *repository = place_open(p);
    sgc_garbage_result result;
    contents before = contents_take(p);
    for (int dry_run = 0; dry_run < 2; dry_run++) {
        const sgc_garbage_options options = {.older_than = UINT64_MAX, .dry_run = dry_run == 1};
        const sgc_status status =
            sgc_repository_collect_garbage(repository, &options, &result, &err);
        assert_true(status == SGC_CORRUPT || status == SGC_NOT_FOUND);
    }
    check_unchanged(p, &before);
    sgc_repository_free(repository);
}

static sgc_object_id a_manifest_of(const scene *s, const sgc_object_id *snapshot_id)
{
    sgc_snapshot *snapshot;
    assert_ok(sgc_snapshot_load(s->p->store, snapshot_id, &snapshot, &err));
    const sgc_object_id id = sgc_snapshot_get(snapshot)->manifest_files[0].id;
    sgc_snapshot_unref(snapshot);
    return id;
}

static void test_damage_stops_the_collection(void **state)
{
    scene s = begin(state);
    const sgc_object_id manifest = a_manifest_of(&s, &s.second);
    const char *const keys[] = {
        s.p->version == 1 ? "refs/tag.t/ref.json" : "repo",
        "snapshots/1CECHNKREP0F1RSTCMT0",
        key_of("snapshots", &s.second),
        key_of("manifests", &manifest),
    };
    for (size_t i = 0; i < 4; i++) {
        if (i == 0 && s.p->version == 2)
            continue; /* it cannot even be opened */
        sgc_object file = place_get(s.p, keys[i]);
        place_put(s.p, keys[i], file.data, file.size - 1);
        check_nothing_goes(s.p);
        if (i > 0) {
            place_remove(s.p, keys[i]);
            check_nothing_goes(s.p);
        }
        place_put(s.p, keys[i], file.data, file.size);
        sgc_object_clear(&file);
    }
    const sgc_garbage_result result = collect(s.p, UINT64_MAX, false);
    check_result(&result, 2, 2, 2, 2);
}

static void forget_manifests(sgc_snapshot_data *data, sgc_arena *arena)
{
    (void)arena;
    data->manifest_file_count = 0;
}

/* That cannot be read by the book, but all of it is there. */
static void test_an_unlisted_manifest_stops_the_collection(void **state)
{
    scene s = begin(state);
    rewrite_snapshot(s.p, &s.second, forget_manifests);
    check_nothing_goes(s.p);
}

/* ---- others at the same time ---- */

static void forget_names(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *nodes = sgc_arena_copy(arena, data->nodes, data->node_count * sizeof *nodes);
    for (size_t i = 0; i < data->node_count; i++)
        nodes[i].manifest_count = 0;
    data->nodes = nodes;
}

static void test_listed_manifests_stay(void **state)
{
    scene s = begin(state);
    const sgc_object_id manifest = a_manifest_of(&s, &s.second);
    rewrite_snapshot(s.p, &s.second, forget_names);
    rewrite_snapshot(s.p, &s.third, forget_names);
    collect(s.p, UINT64_MAX, false);
    assert_true(place_has(s.p, key_of("manifests", &manifest)));
}

/* Does something before the call number `at` of those with `verb` and a key that begins with `key`.
 */
typedef struct intruder {
    scene *s;
    const char *verb, *key;
    int at, calls;
    sgc_status (*act)(scene *s, sgc_error *error);
    sgc_status status; /* of the act */
} intruder;

static sgc_status intrude(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)error;
    intruder *i = user;
    if (strcmp(verb, i->verb) == 0 && strncmp(key, i->key, strlen(i->key)) == 0 &&
        ++i->calls == i->at)
        i->status = i->act(i->s, NULL);
    return SGC_OK;
}

static sgc_status name_lost_tip(scene *s, sgc_ref_kind kind, sgc_error *error)
{
    sgc_repository *repository;
    SGC_TRY(sgc_repository_open(hook_store_new(s->p->store, NULL, NULL), NULL, &repository, error));
    const sgc_status status =
        sgc_repository_create_ref(repository, kind, "late", &s->lost_tip, error);
    sgc_repository_free(repository);
    return status;
}

static sgc_status tag_lost_tip(scene *s, sgc_error *error)
{
    return name_lost_tip(s, SGC_REF_TAG, error);
}

static sgc_status branch_from_lost_tip(scene *s, sgc_error *error)
{
    return name_lost_tip(s, SGC_REF_BRANCH, error);
}

static sgc_status commit_more(scene *s, sgc_error *error)
{
    (void)error;
    static unsigned char value = 100;
    sgc_repository *repository = place_open(s->p);
    commit_value(repository, "main", "/g/native", 0, 2, ++value);
    sgc_repository_free(repository);
    return SGC_OK;
}

/* Lets somebody act at each call of a collection; gives how often the act was in vain. */
static int intrude_everywhere(void **state, const char *verb, const char *key,
                              sgc_status (*act)(scene *s, sgc_error *error))
{
    const place *kind = *state;
    int in_vain = 0;
    for (int at = 1;; at++) {
        place p = {.version = kind->version};
        place *pointer = &p;
        assert_ok(sgc_object_store_memory_new(&p.store, &err));
        scene s = begin((void **)&pointer);
        intruder i = {.s = &s, .verb = verb, .key = key, .at = at, .act = act};
        sgc_repository *repository = place_open_hooked(&p, intrude, &i);
        sgc_garbage_result result;
        const sgc_garbage_options options = {.older_than = sgc_clock_now()};
        i.calls = 0;
        assert_ok(sgc_repository_collect_garbage(repository, &options, &result, &err));
        check_clean(&p);
        in_vain += i.status != SGC_OK;
        assert_true(i.status == SGC_OK || i.status == SGC_NOT_FOUND);
        sgc_repository_free(repository);
        place_clear(&p);
        if (i.calls < at)
            return at > 1 ? in_vain : -1;
    }
}

/* Whoever gets a name for a snapshot has all of it; who comes too late gets none. */
static void check_names_made_meanwhile(void **state, sgc_status (*act)(scene *s, sgc_error *error))
{
    const place *p = *state;
    assert_int_equal(intrude_everywhere(state, "list", "snapshots/", act), 0);
    assert_int_equal(intrude_everywhere(state, "list", "transactions/", act), 1);
    assert_int_equal(intrude_everywhere(state, "list", "chunks/", act), 1);
    assert_int_equal(intrude_everywhere(state, "get", "manifests/", act), 0);
    if (p->version == 2)
        assert_int_equal(intrude_everywhere(state, "put", "repo", act), 0);
}

static void test_a_tag_made_meanwhile(void **state)
{
    check_names_made_meanwhile(state, tag_lost_tip);
}

/* Tags are what is looked at last; nothing protects what comes later than that. */
static void test_a_tag_made_while_tags_are_listed(void **state)
{
    assert_int_equal(intrude_everywhere(state, "list", "refs/", tag_lost_tip), 0);
}

static void test_a_branch_made_meanwhile(void **state)
{
    check_names_made_meanwhile(state, branch_from_lost_tip);
}

static void test_commits_meanwhile(void **state)
{
    assert_int_equal(intrude_everywhere(state, "list", "", commit_more), 0);
    assert_int_equal(intrude_everywhere(state, "get", "", commit_more), 0);
}

/* A transaction that began before, and whose objects are younger than the limit. */
static void test_a_transaction_that_ends_after_the_collection(void **state)
{
    scene s = begin(state);
    uint64_t start = sgc_clock_now();
    if (s.p->directory != NULL) { /* whose clock is coarse */
        set_all_ages(s.p, 1000000);
        start -= 1000000;
    }
    sgc_repository *repository = place_open(s.p);
    sgc_session *session = new_session(repository);
    set_value(session, "/g/native", 0, 2, 77);
    set_value(session, "/inline", 0, 0, 7);
    const sgc_garbage_result result = collect(s.p, start, false);
    if (s.p->directory == NULL) /* else version 2 calls the garbage young, too */
        check_result(&result, 2, 2, 2, 2);
    commit(session);
    check_clean(s.p);
    session = new_session(repository);
    const uint32_t at[] = {0, 2};
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    sgc_object chunk;
    assert_ok(sgc_session_find_chunk(session, "/g/native", at, &ref, &keep, &err));
    assert_ok(sgc_repository_read_chunk(repository, &ref, 0, ref.length, &chunk, &err));
    assert_int_equal(chunk.data[0], 77);
    sgc_object_clear(&chunk);
    sgc_manifest_unref(keep);
    sgc_session_free(session);
    sgc_repository_free(repository);
}

/* ---- repositories of others ---- */

static void test_golden_repositories(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t snapshots, logs, manifests, chunks;
    } cases[] = {
        {"test-repo-v1", 0, 0, 0, 0},
        {"test-repo-v2", 0, 0, 0, 0},
        {"test-repo-v2-migrated", 0, 0, 0, 0},
        {"split-repo-v1", 0, 0, 0, 0},
        {"split-repo-v2", 0, 0, 0, 0},
        {"expire-repo-v1-by-1.1.21", 1, 0, 0, 0}, /* guide 18.3 (c) */
        {"expire-repo-v1-by-2.0.5", 1, 0, 0, 0},
        {"expire-repo-v1-by-working-copy", 1, 0, 0, 0},
        {"expire-repo-v2-by-2.0.5", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        place p;
        place_copy_golden(&p, cases[i].name);
        sgc_repository *repository = place_open(&p);
        char *values = describe_refs(repository);
        const sgc_garbage_result result = collect(&p, UINT64_MAX, false);
        check_result(&result, cases[i].snapshots, cases[i].logs, cases[i].manifests,
                     cases[i].chunks);
        char *values_after = describe_refs(repository);
        assert_string_equal(values, values_after);
        check_clean(&p);
        free(values);
        free(values_after);
        sgc_repository_free(repository);
        place_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(test_what_nobody_needs_goes),
        IN_VERSION(2, test_forgotten_snapshots_are_not_listed),
        EVERYWHERE(test_dry_run),
        EVERYWHERE(test_what_others_put_there_stays),
        EVERYWHERE(test_after_an_expiration),
        IN_DIRECTORY(test_the_limit_is_strict),
        IN_DIRECTORY(test_old_objects_that_are_needed),
        IN_DIRECTORY_OF_VERSION(2, test_a_listed_snapshot_with_a_young_file),
        IN_DIRECTORY_OF_VERSION(2, test_a_listed_snapshot_with_a_young_time),
        IN_DIRECTORY(test_leftovers),
        EVERYWHERE(test_damage_stops_the_collection),
        IN_MEMORY(test_an_unlisted_manifest_stops_the_collection),
        IN_MEMORY(test_listed_manifests_stay),
        IN_MEMORY(test_a_tag_made_meanwhile),
        IN_MEMORY(test_a_branch_made_meanwhile),
        IN_VERSION(1, test_a_tag_made_while_tags_are_listed),
        IN_MEMORY(test_commits_meanwhile),
        EVERYWHERE(test_a_transaction_that_ends_after_the_collection),
        cmocka_unit_test(test_golden_repositories),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
