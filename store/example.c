/* example DIRECTORY: what a program does with the store, from an empty directory to the history.
 * README.md says how to build it against the installed library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <store/store.h>

enum { ROWS = 100, COLUMNS = 200 };

/* A repository holds a tree of groups and arrays. Each of them is described by its zarr.json. */
static const char group_json[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";
static const char array_json[] =
    "{\"zarr_format\":3,\"node_type\":\"array\",\"data_type\":\"float32\",\"fill_value\":\"NaN\","
    "\"shape\":[100,200],\"dimension_names\":[\"y\",\"x\"],"
    "\"chunk_grid\":{\"name\":\"regular\",\"configuration\":{\"chunk_shape\":[100,50]}},"
    "\"chunk_key_encoding\":{\"name\":\"default\",\"configuration\":{\"separator\":\"/\"}},"
    "\"codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}},"
    "{\"name\":\"zstd\",\"configuration\":{\"level\":3,\"checksum\":false}}],"
    "\"attributes\":{\"units\":\"m\"}}";

/* Changes are collected in a session; nobody sees them before its commit. Functions that can fail
 * return an sgc_status; SGC_TRY hands a failure on to the caller. */
static sgc_status make_changes(sgc_session *session, sgc_error *err)
{
    static float items[ROWS][COLUMNS];
    const uint64_t start[] = {0, 0}, count[] = {ROWS, COLUMNS};
    for (size_t y = 0; y < ROWS; y++)
        for (size_t x = 0; x < COLUMNS; x++)
            items[y][x] = (float)(1000 * y + x);
    SGC_TRY(sgc_session_put_group(session, "/", group_json, strlen(group_json), err));
    SGC_TRY(sgc_session_put_group(session, "/terrain", group_json, strlen(group_json), err));
    SGC_TRY(sgc_session_put_array(session, "/terrain/height", array_json, strlen(array_json), err));
    return sgc_array_write(session, "/terrain/height", start, count, items, 2, err);
}

static sgc_status fill(sgc_repository *repository, sgc_error *err)
{
    sgc_session *session;
    sgc_object_id id;
    SGC_TRY(sgc_session_new(repository, "main", &session, err));
    sgc_status status = make_changes(session, err);
    if (status == SGC_OK)
        status = sgc_session_commit(session, "The first heights", "{\"by\":\"me\"}", &id, err);
    sgc_session_free(session);
    SGC_TRY(status);
    return sgc_repository_create_ref(repository, SGC_REF_TAG, "v1", &id, err);
}

/* Any window can be read; of the chunks only those that it meets are. */
static sgc_status print_window(sgc_repository *repository, sgc_snapshot *snapshot, sgc_error *err)
{
    const uint64_t start[] = {49, 98}, count[] = {2, 4};
    float window[2][4];
    sgc_array *array;
    SGC_TRY(sgc_array_open(repository, snapshot, "/terrain/height", &array, err));
    const sgc_status status = sgc_array_read(array, start, count, window, 1, err);
    sgc_array_close(array);
    for (size_t y = 0; y < 2 && status == SGC_OK; y++)
        printf("%g %g %g %g\n", window[y][0], window[y][1], window[y][2], window[y][3]);
    return status;
}

static sgc_status print_commit(void *user, const sgc_commit_info *commit, bool *more,
                               sgc_error *err)
{
    (void)user, (void)more, (void)err;
    char id[SGC_OBJECT_ID_TEXT + 1], date[32];
    const time_t seconds = (time_t)(commit->time / 1000000);
    sgc_object_id_format(&commit->id, id);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime(&seconds));
    printf("%s %s %s\n", id, date, commit->message);
    return SGC_OK;
}

static sgc_status show(sgc_repository *repository, sgc_error *err)
{
    sgc_object_id id;
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_TAG, "v1", &id, err));
    SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, err));
    const sgc_status status = print_window(repository, snapshot, err);
    sgc_snapshot_unref(snapshot);
    SGC_TRY(status);
    return sgc_repository_history(repository, &id, print_commit, NULL, err);
}

typedef sgc_status (*open_fn)(sgc_object_store *, const sgc_repository_options *, sgc_repository **,
                              sgc_error *);

/* A repository is in an object store, here a directory, and owns it from when it is open. */
static sgc_status with_repository(const char *directory, open_fn open,
                                  sgc_status (*use)(sgc_repository *, sgc_error *), sgc_error *err)
{
    sgc_object_store *store;
    sgc_repository *repository;
    SGC_TRY(sgc_object_store_local_new(directory, NULL, &store, err));
    sgc_status status = open(store, NULL, &repository, err);
    if (status != SGC_OK) {
        sgc_object_store_free(store);
        return status;
    }
    status = use(repository, err);
    sgc_repository_free(repository);
    return status;
}

int main(int argc, char **argv)
{
    sgc_error err;
    if (argc == 2 && with_repository(argv[1], sgc_repository_create, fill, &err) == SGC_OK &&
        with_repository(argv[1], sgc_repository_open, show, &err) == SGC_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s\n", argc == 2 ? err.message : "usage: example DIRECTORY");
    return EXIT_FAILURE;
}
