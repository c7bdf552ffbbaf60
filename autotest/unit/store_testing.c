#include "autotest/unit/store_testing.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

sgc_error err;

void check_status(sgc_status expected, sgc_status actual, const char *call, const char *file,
                  int line)
{
    if (actual == expected)
        return;
    print_error("%s gives status %d, not %d: %s\n", call, (int)actual, (int)expected,
                actual != SGC_OK ? err.message : "");
    _fail(file, line);
}

void check_message(const char *part, const char *file, int line)
{
    if (strstr(err.message, part) != NULL)
        return;
    print_error("\"%s\" lacks \"%s\"\n", err.message, part);
    _fail(file, line);
}

static char trial[128];

void note_trial(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trial, sizeof trial, format, arguments);
    va_end(arguments);
}

void forget_trial(void)
{
    trial[0] = '\0';
}

int say_trial(void **state)
{
    (void)state;
    if (trial[0] != '\0')
        print_error("%s\n", trial);
    forget_trial();
    return 0;
}

char *temporary_directory_new(void)
{
    const char *parent = getenv("TMPDIR");
    char *path;
    assert_true(asprintf(&path, "%s/sgc-test-XXXXXX", parent != NULL ? parent : "/tmp") > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void temporary_directory_free(char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

char *test_directory;

int make_test_directory(void **state)
{
    (void)state;
    test_directory = temporary_directory_new();
    return 0;
}

int remove_test_directory(void **state)
{
    (void)state;
    temporary_directory_free(test_directory);
    return 0;
}

static sgc_status count_key(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *error)
{
    (void)key;
    (void)info;
    (void)error;
    ++*(size_t *)user;
    return SGC_OK;
}

size_t count_objects(sgc_object_store *store, const char *prefix)
{
    size_t count = 0;
    assert_ok(store->list(store, prefix, count_key, &count, &err));
    return count;
}

size_t count_staging_files(sgc_object_store *store)
{
    size_t count = 0;
    assert_ok(store->sweep(store, UINT64_MAX, true, count_key, &count, &err));
    return count;
}

uint32_t random_below(uint64_t *state, uint32_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % limit);
}

sgc_buffer array_json(const sgc_array_metadata *metadata, const char *fill_value)
{
    sgc_buffer json = {0};
    assert_ok(sgc_array_metadata_print(metadata, fill_value, "{}", &json, &err));
    return json;
}

void put_array(sgc_session *session, const char *path, const sgc_array_metadata *metadata,
               const char *fill_value)
{
    static const char group[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";
    sgc_buffer json = array_json(metadata, fill_value);
    assert_ok(sgc_session_put_group(session, "/", group, strlen(group), &err));
    assert_ok(sgc_session_put_array(session, path, json.data, json.size, &err));
    sgc_buffer_free(&json);
}

sgc_repository *new_repository(void)
{
    sgc_object_store *store;
    sgc_repository *repository;
    assert_ok(sgc_object_store_memory_new(&store, &err));
    assert_ok(sgc_repository_create(store, NULL, &repository, &err));
    return repository;
}

sgc_session *new_session(sgc_repository *repository)
{
    sgc_session *session;
    assert_ok(sgc_session_new(repository, "main", &session, &err));
    return session;
}

void commit(sgc_session *session)
{
    assert_ok(sgc_session_commit(session, "a commit", NULL, NULL, &err));
    sgc_session_free(session);
}

sgc_snapshot *load_tip(sgc_repository *repository)
{
    sgc_object_id id;
    sgc_snapshot *snapshot;
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, &err));
    assert_ok(sgc_repository_snapshot(repository, &id, &snapshot, &err));
    return snapshot;
}

static sgc_status count_commit(void *user, const sgc_commit_info *info, bool *more,
                               sgc_error *error)
{
    (void)info;
    (void)more;
    (void)error;
    ++*(size_t *)user;
    return SGC_OK;
}

size_t count_commits(sgc_repository *repository)
{
    sgc_object_id tip;
    size_t count = 0;
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, &err));
    assert_ok(sgc_repository_history(repository, &tip, count_commit, &count, &err));
    return count;
}

sgc_status take_ours(void *user, const sgc_conflict *conflict, sgc_merged *merged, sgc_error *error)
{
    (void)conflict;
    (void)error;
    if (user != NULL)
        ++*(size_t *)user;
    merged->resolution = SGC_OURS;
    return SGC_OK;
}

unsigned char read_cell(sgc_repository *repository, const sgc_snapshot *snapshot, uint32_t y,
                        uint32_t x)
{
    const uint32_t at[] = {y, x};
    const sgc_node *node = sgc_snapshot_find(snapshot, "/a");
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    assert_non_null(node);
    assert_ok(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot), node, at, &ref,
                                        &keep, &err));
    const unsigned char value = ref.kind == SGC_CHUNK_NONE ? 0 : ref.inline_data[0];
    sgc_manifest_unref(keep);
    return value;
}

static void print_defect(void *user, const char *key, const char *message)
{
    ++*(size_t *)user;
    print_error("%s: %s\n", key, message);
}

void check_sound(sgc_repository *repository)
{
    size_t printed = 0;
    const sgc_verify_options options = {
        .decode_chunks = true, .fn = print_defect, .user = &printed};
    sgc_verify_result result;
    assert_ok(sgc_repository_verify(repository, &options, &result, &err));
    assert_int_equal(result.defects, 0);
    assert_int_equal(printed, 0);
}
