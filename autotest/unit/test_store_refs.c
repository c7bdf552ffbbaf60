/* Branches and tags in repositories of both versions. */
#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sgc_object_id nowhere = {{1, 2, 3}};

/* A repository with two commits after the root, at its place. */
typedef struct scene {
    place *p;
    sgc_repository *repository;
    sgc_object_id root, first, second;
} scene;

static scene begin(void **state)
{
    scene s = {.p = *state};
    s.repository = place_create(s.p);
    s.root = tip_of(s.repository, "main");
    s.first = commit_arrays(s.repository);
    s.second = commit_value(s.repository, "main", "/inline", 1, 0, 5);
    return s;
}

static void end(scene *s)
{
    sgc_repository_free(s->repository);
}

static const sgc_ref_kind kinds[] = {SGC_REF_BRANCH, SGC_REF_TAG};

/* NULL: there is none, and the message says so. */
static void check_ref(const scene *s, sgc_ref_kind kind, const char *name,
                      const sgc_object_id *expected)
{
    sgc_object_id id;
    const sgc_status status = sgc_repository_resolve(s->repository, kind, name, &id, &err);
    assert_status(expected != NULL ? SGC_OK : SGC_NOT_FOUND, status);
    if (expected != NULL)
        assert_memory_equal(&id, expected, sizeof id);
    else
        assert_message(name);
}

/* The names, like "a main|t|dead". */
static void check_names(sgc_repository *repository, const char *expected)
{
    sgc_ref_names names;
    sgc_buffer text = {0};
    assert_ok(sgc_repository_list_refs(repository, &names, &err));
    const struct {
        const sgc_ref *refs;
        size_t count;
    } lists[] = {{names.branches, names.branch_count},
                 {names.tags, names.tag_count},
                 {names.deleted_tags, names.deleted_tag_count}};
    for (size_t k = 0; k < 3; k++) {
        assert_ok(sgc_buffer_print(&text, &err, "%s", k > 0 ? "|" : ""));
        for (size_t i = 0; i < lists[k].count; i++)
            assert_ok(
                sgc_buffer_print(&text, &err, "%s%s", i > 0 ? " " : "", lists[k].refs[i].name));
    }
    assert_string_equal((const char *)text.data, expected);
    sgc_buffer_free(&text);
    sgc_ref_names_clear(&names);
}

/* Makes `call`, which must fail and change nothing that anybody could see. */
#define assert_refused(status, call)           \
    do {                                       \
        contents before_ = contents_take(s.p); \
        assert_status(status, call);           \
        check_unchanged(s.p, &before_);        \
    } while (0)

/* ---- making ---- */

static void test_create(void **state)
{
    scene s = begin(state);
    for (size_t k = 0; k < 2; k++) {
        assert_ok(sgc_repository_create_ref(s.repository, kinds[k], "x", &s.first, &err));
        assert_ok(sgc_repository_create_ref(s.repository, kinds[k], "w", &s.second, &err));
        check_ref(&s, kinds[k], "x", &s.first);
        check_ref(&s, kinds[k], "w", &s.second);
        assert_refused(SGC_EXISTS,
                       sgc_repository_create_ref(s.repository, kinds[k], "x", &s.second, &err));
        assert_message("\"x\"");
    }
    check_names(s.repository, "main w x|w x|");
    const sgc_object_id third = commit_value(s.repository, "x", "/inline", 2, 0, 6);
    check_ref(&s, SGC_REF_BRANCH, "x", &third);
    check_ref(&s, SGC_REF_TAG, "x", &s.first);
    check_ref(&s, SGC_REF_BRANCH, "main", &s.second);
    end(&s);
}

static void test_create_at_nothing(void **state)
{
    scene s = begin(state);
    for (size_t k = 0; k < 2; k++)
        assert_refused(SGC_NOT_FOUND,
                       sgc_repository_create_ref(s.repository, kinds[k], "x", &nowhere, &err));
    end(&s);
}

static void test_good_names(void **state)
{
    static const char *const names[] = {"a", "A",     "v1.0.0-rc.1_x", "...",     "-",
                                        "0", "main.", "refs",          "branch.x"};
    scene s = begin(state);
    char longest[201] = "";
    memset(longest, 'n', 200);
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            assert_ok(sgc_repository_create_ref(s.repository, kinds[k], names[i], &s.first, &err));
            check_ref(&s, kinds[k], names[i], &s.first);
        }
        assert_ok(sgc_repository_create_ref(s.repository, kinds[k], longest, &s.first, &err));
        check_ref(&s, kinds[k], longest, &s.first);
    }
    sgc_ref_names listed;
    assert_ok(sgc_repository_list_refs(s.repository, &listed, &err));
    assert_int_equal(listed.branch_count, 11);
    assert_int_equal(listed.tag_count, 10);
    for (size_t i = 1; i < listed.branch_count; i++)
        assert_true(strcmp(listed.branches[i - 1].name, listed.branches[i].name) < 0);
    sgc_ref_names_clear(&listed);
    end(&s);
}

static void test_bad_names(void **state)
{
    static const char *const names[] = {"",     ".",   "..",  "a/b",   "/",
                                        "a b",  "a#1", "a%",  "a:",    "\xc3\xa9",
                                        "a\nb", "*",   "a\\", "a\x7f", "\x01"};
    scene s = begin(state);
    char too_long[202] = "";
    memset(too_long, 'n', 201);
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            assert_refused(SGC_INVALID, sgc_repository_create_ref(s.repository, kinds[k], names[i],
                                                                  &s.first, &err));
        assert_message(k == 0 ? "branch" : "tag");
        assert_refused(SGC_INVALID,
                       sgc_repository_create_ref(s.repository, kinds[k], too_long, &s.first, &err));
    }
    end(&s);
}

/* ---- what is not there ---- */

static void test_absent_names(void **state)
{
    static const char *const names[] = {"nope", "Main", "mai", "main ", "a/b", "a%23"};
    scene s = begin(state);
    sgc_object_id id;
    sgc_session *session;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            check_ref(&s, kinds[k], names[i], NULL);
            assert_message(k == 0 ? "branch" : "tag");
            assert_message(s.p->store->name);
            assert_refused(SGC_NOT_FOUND,
                           sgc_repository_delete_ref(s.repository, kinds[k], names[i], &err));
            assert_message(names[i]);
        }
    assert_status(SGC_NOT_FOUND,
                  sgc_repository_resolve(s.repository, SGC_REF_TAG, "main", &id, &err));
    assert_refused(SGC_NOT_FOUND,
                   sgc_repository_reset_branch(s.repository, "nope", &s.second, &s.first, &err));
    assert_message("no branch \"nope\"");
    assert_status(SGC_NOT_FOUND, sgc_session_new(s.repository, "nope", &session, &err));
    assert_message("no branch \"nope\"");
    end(&s);
}

/* ---- deleting ---- */

static void test_delete_branch(void **state)
{
    scene s = begin(state);
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_BRANCH, "x", &s.first, &err));
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_BRANCH, "x", &err));
    check_ref(&s, SGC_REF_BRANCH, "x", NULL);
    check_names(s.repository, "main||");
    assert_refused(SGC_NOT_FOUND,
                   sgc_repository_delete_ref(s.repository, SGC_REF_BRANCH, "x", &err));
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_BRANCH, "x", &s.second, &err));
    check_ref(&s, SGC_REF_BRANCH, "x", &s.second);
    end(&s);
}

static void test_main_stays(void **state)
{
    scene s = begin(state);
    assert_refused(SGC_INVALID,
                   sgc_repository_delete_ref(s.repository, SGC_REF_BRANCH, "main", &err));
    assert_message("main");
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_TAG, "main", &s.first, &err));
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "main", &err));
    check_names(s.repository, "main||main");
    end(&s);
}

static void test_a_deleted_tag_is_deleted_for_ever(void **state)
{
    scene s = begin(state);
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_TAG, "t", &s.first, &err));
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_TAG, "s", &s.first, &err));
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "t", &err));
    check_ref(&s, SGC_REF_TAG, "t", NULL);
    check_names(s.repository, "main|s|t");
    assert_refused(SGC_NOT_FOUND, sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "t", &err));
    assert_refused(SGC_EXISTS,
                   sgc_repository_create_ref(s.repository, SGC_REF_TAG, "t", &s.first, &err));
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_BRANCH, "t", &s.first, &err));
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "s", &err));
    check_names(s.repository, "main t||s t");
    end(&s);
}

static void test_tombstones_have_the_official_bytes(void **state)
{
    scene s = begin(state);
    assert_ok(sgc_repository_create_ref(s.repository, SGC_REF_TAG, "t", &s.first, &err));
    sgc_object before = place_get(s.p, "refs/tag.t/ref.json");
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "t", &err));
    sgc_object after = place_get(s.p, "refs/tag.t/ref.json");
    assert_int_equal(before.size, 35);
    assert_int_equal(after.size, 35);
    assert_memory_equal(before.data, after.data, 35);
    sgc_object_clear(&before);
    sgc_object_clear(&after);
    after = place_get(s.p, "refs/tag.t/ref.json.deleted");
    assert_int_equal(after.size, 0);
    sgc_object_clear(&after);
    end(&s);
}

/* ---- moving ---- */

static void test_reset(void **state)
{
    scene s = begin(state);
    assert_ok(sgc_repository_reset_branch(s.repository, "main", &s.second, &s.root, &err));
    check_ref(&s, SGC_REF_BRANCH, "main", &s.root);
    assert_ok(sgc_repository_reset_branch(s.repository, "main", &s.root, &s.second, &err));
    check_ref(&s, SGC_REF_BRANCH, "main", &s.second);
    char *history = describe_history(s.repository, &s.second);
    assert_string_equal(history, "value 5 arrays Repository initialized");
    free(history);
    end(&s);
}

static void test_reset_of_a_branch_that_moved(void **state)
{
    scene s = begin(state);
    assert_refused(SGC_CONFLICT,
                   sgc_repository_reset_branch(s.repository, "main", &s.first, &s.root, &err));
    assert_message("main");
    end(&s);
}

static void test_reset_to_nothing(void **state)
{
    scene s = begin(state);
    assert_refused(SGC_NOT_FOUND,
                   sgc_repository_reset_branch(s.repository, "main", &s.second, &nowhere, &err));
    end(&s);
}

/* ---- who comes right behind a commit ---- */

/* Acts when our commit has been published, before we look at the branch again. */
typedef struct follower {
    place *p;
    const char *key; /* of the branch */
    void (*act)(place *p);
    bool armed, done;
} follower;

static sgc_status follow(void *user, const char *verb, const char *key, sgc_error *error)
{
    (void)error;
    follower *f = user;
    if (strcmp(key, f->key) != 0 || f->done)
        return SGC_OK;
    if (strcmp(verb, "put") == 0)
        f->armed = true;
    if (strcmp(verb, "get") != 0 || !f->armed)
        return SGC_OK;
    f->done = true;
    f->act(f->p);
    return SGC_OK;
}

static sgc_status commit_followed(scene *s, void (*act)(place *p))
{
    follower f = {.p = s->p, .act = act};
    f.key = s->p->version == 1 ? "refs/branch.main/ref.json" : "repo";
    sgc_repository *repository = place_open_hooked(s->p, follow, &f);
    sgc_session *session = new_session(repository);
    set_value(session, "/inline", 3, 0, 3);
    const sgc_status status = sgc_session_commit(session, "followed", NULL, NULL, &err);
    assert_true(f.done);
    sgc_session_free(session);
    sgc_repository_free(repository);
    return status;
}

static void commit_on_top(place *p)
{
    sgc_repository *repository = place_open(p);
    commit_value(repository, "main", "/inline", 0, 0, 8);
    sgc_repository_free(repository);
}

static void test_a_commit_on_top_of_ours(void **state)
{
    scene s = begin(state);
    assert_ok(commit_followed(&s, commit_on_top));
    const sgc_object_id tip = tip_of(s.repository, "main");
    char *history = describe_history(s.repository, &tip);
    assert_string_equal(history, "value 8 followed value 5 arrays Repository initialized");
    free(history);
    end(&s);
}

/* As an official writer on a local disk does, who did not see us. */
static void move_to_root(place *p)
{
    sgc_repository *repository = place_open(p);
    const sgc_object_id tip = tip_of(repository, "main"),
                        root = {{0x0b, 0x1c, 0xc8, 0xd6, 0x78, 0x75, 0x80, 0xf0, 0xe3, 0x3a, 0x65,
                                 0x34}};
    assert_ok(sgc_repository_reset_branch(repository, "main", &tip, &root, &err));
    sgc_repository_free(repository);
}

static void test_a_commit_that_was_lost(void **state)
{
    scene s = begin(state);
    assert_status(SGC_CONFLICT, commit_followed(&s, move_to_root));
    assert_message("moved by somebody else");
    end(&s);
}

/* ---- what others write below refs/ (version 1) ---- */

static void put_ref(scene *s, const char *key, const sgc_object_id *id)
{
    char body[128], text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    snprintf(body, sizeof body, " { \"more\" : [1],\n \"snapshot\" : \"%s\" }\n", text);
    place_put(s->p, key, body, strlen(body));
}

/* As the official library encodes them on disks, and as it does not on S3. */
static void test_names_of_others(void **state)
{
    scene s = begin(state);
    static const struct {
        const char *folder, *name;
    } names[] = {{"a%23b", "a#b"},
                 {"caf%C3%A9", "caf\xc3\xa9"},
                 {"it works!", "it works!"},
                 {"100%25", "100%"},
                 {"%2A", "*"},
                 {"a:b", "a:b"},
                 {"%E2%82%AC%23", "\xe2\x82\xac#"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[128];
        snprintf(key, sizeof key, "refs/branch.%s/ref.json", names[i].folder);
        put_ref(&s, key, &s.first);
        snprintf(key, sizeof key, "refs/tag.%s/ref.json", names[i].folder);
        put_ref(&s, key, &s.first);
        check_ref(&s, SGC_REF_BRANCH, names[i].name, &s.first);
        check_ref(&s, SGC_REF_TAG, names[i].name, &s.first);
    }
    check_names(s.repository, "* 100% a#b a:b caf\xc3\xa9 it works! main \xe2\x82\xac#|"
                              "* 100% a#b a:b caf\xc3\xa9 it works! \xe2\x82\xac#|");
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_TAG, "a#b", &err));
    assert_true(place_has(s.p, "refs/tag.a%23b/ref.json.deleted"));
    assert_ok(sgc_repository_delete_ref(s.repository, SGC_REF_BRANCH, "a#b", &err));
    assert_false(place_has(s.p, "refs/branch.a%23b/ref.json"));
    assert_ok(sgc_repository_reset_branch(s.repository, "caf\xc3\xa9", &s.first, &s.second, &err));
    check_ref(&s, SGC_REF_BRANCH, "caf\xc3\xa9", &s.second);
    check_names(s.repository, "* 100% a:b caf\xc3\xa9 it works! main \xe2\x82\xac#|"
                              "* 100% a:b caf\xc3\xa9 it works! \xe2\x82\xac#|a#b");
    end(&s);
}

/* Whatever the name is: a snapshot that a reference names must not be taken for garbage. */
static void test_odd_names_are_listed_too(void **state)
{
    scene s = begin(state);
    char key[512] = "refs/branch.", *long_name = key + strlen(key);
    static const char *const names[] = {"a%2fb", "x%00y", "low%c3%a9", "cut%2", "%zz"};
    memset(long_name, 'n', 240);
    strcpy(long_name + 240, "/ref.json");
    put_ref(&s, key, &s.first);
    long_name[240] = '\0';
    check_ref(&s, SGC_REF_BRANCH, long_name, &s.first);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char odd[64];
        snprintf(odd, sizeof odd, "refs/branch.%s/ref.json", names[i]);
        put_ref(&s, odd, &s.first);
    }
    sgc_ref_names listed;
    assert_ok(sgc_repository_list_refs(s.repository, &listed, &err));
    assert_int_equal(listed.branch_count, 2 + sizeof names / sizeof *names);
    for (size_t i = 0; i < listed.branch_count; i++)
        check_ref(&s, SGC_REF_BRANCH, listed.branches[i].name, &listed.branches[i].snapshot);
    sgc_ref_names_clear(&listed);
    end(&s);
}

static void test_foreign_entries_are_passed_over(void **state)
{
    scene s = begin(state);
    static const char *const keys[] = {
        "refs/README",         "refs/heads/main/ref.json", "refs/branch./ref.json",
        "refs/branch.x/other", "refs/branch.y/z/ref.json", "refs/tag.z/ref.json.deleted",
        "refs/branch",         "refs/tags.t/ref.json",     "refs/branch.main/ref.json.deleted"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        place_put(s.p, keys[i], "?", 1);
    check_names(s.repository, "main||");
    check_ref(&s, SGC_REF_BRANCH, "main", &s.second);
    check_ref(&s, SGC_REF_BRANCH, "y/z", NULL);
    check_ref(&s, SGC_REF_BRANCH, "", NULL);
    commit_value(s.repository, "main", "/inline", 0, 0, 1);
    end(&s);
}

/* It would be dead at once. */
static void test_no_tag_under_a_stray_tombstone(void **state)
{
    scene s = begin(state);
    place_put(s.p, "refs/tag.z/ref.json.deleted", "", 0);
    assert_refused(SGC_EXISTS,
                   sgc_repository_create_ref(s.repository, SGC_REF_TAG, "z", &s.first, &err));
    end(&s);
}

static void test_damaged_refs(void **state)
{
    static const char *const bodies[] = {"", "{}", "{\"snapshot\":1}", "{\"snapshot\":\"1CECH\"}",
                                         "{\"snapshot\":\"1CECHNKREP0F1RSTCMT0\""};
    scene s = begin(state);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        sgc_object_id id;
        sgc_ref_names names;
        place_put(s.p, "refs/branch.main/ref.json", bodies[i], strlen(bodies[i]));
        assert_status(SGC_CORRUPT,
                      sgc_repository_resolve(s.repository, SGC_REF_BRANCH, "main", &id, &err));
        assert_message("refs/branch.main/ref.json");
        assert_status(SGC_CORRUPT, sgc_repository_list_refs(s.repository, &names, &err));
        assert_refused(SGC_CORRUPT, sgc_repository_reset_branch(s.repository, "main", &s.second,
                                                                &s.first, &err));
    }
    end(&s);
}

/* A file under another's name is as bad as a damaged one. */
static void test_snapshot_under_a_wrong_name(void **state)
{
    scene s = begin(state);
    sgc_object file = place_get(s.p, key_of("snapshots", &s.first));
    place_put(s.p, key_of("snapshots", &nowhere), file.data, file.size);
    assert_refused(SGC_CORRUPT,
                   sgc_repository_create_ref(s.repository, SGC_REF_TAG, "t", &nowhere, &err));
    assert_message(key_of("snapshots", &nowhere));
    sgc_object_clear(&file);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(test_create),
        IN_MEMORY(test_create_at_nothing),
        EVERYWHERE(test_good_names),
        IN_MEMORY(test_bad_names),
        EVERYWHERE(test_absent_names),
        EVERYWHERE(test_delete_branch),
        IN_MEMORY(test_main_stays),
        EVERYWHERE(test_a_deleted_tag_is_deleted_for_ever),
        IN_VERSION(1, test_tombstones_have_the_official_bytes),
        EVERYWHERE(test_reset),
        EVERYWHERE(test_reset_of_a_branch_that_moved),
        IN_MEMORY(test_reset_to_nothing),
        IN_MEMORY(test_a_commit_on_top_of_ours),
        IN_MEMORY(test_a_commit_that_was_lost),
        IN_VERSION(1, test_names_of_others),
        IN_DIRECTORY_OF_VERSION(1, test_names_of_others),
        IN_VERSION(1, test_odd_names_are_listed_too),
        IN_DIRECTORY_OF_VERSION(1, test_odd_names_are_listed_too),
        IN_DIRECTORY_OF_VERSION(1, test_foreign_entries_are_passed_over),
        IN_VERSION(1, test_no_tag_under_a_stray_tombstone),
        IN_VERSION(1, test_damaged_refs),
        IN_MEMORY(test_snapshot_under_a_wrong_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
