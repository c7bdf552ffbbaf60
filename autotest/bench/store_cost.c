/* What it costs to commit one chunk to a repository of many, and to open it and read one.
 *
 *   store_cost make PLACE SIDE ARRAYS STEPS SPLIT    arrays of STEPS x SIDE x SIDE chunk references
 *   store_cost measure PLACE TIMES                   prints medians, as JSON
 *
 * SPLIT is 0 (one manifest an array, as the official library does by default) or 1 (as cubes do).
 * The root group has a list of one patch id per ten references, which each commit makes longer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gdal_sgc/root_attributes.h"
#include "store/store.h"

enum { CHUNK = 64, REFS_PER_PATCH = 10, MOST_TIMES = 101 };

typedef struct shape {
    uint32_t arrays, steps, side;
} shape;

static sgc_error error;

static void check(sgc_status status)
{
    if (status == SGC_OK)
        return;
    fprintf(stderr, "store_cost: %s\n", error.message);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- counting what is written ---- */

static sgc_status (*plain_put)(sgc_object_store *self, const char *key, const void *data,
                               size_t size, sgc_put_condition condition, const sgc_object *previous,
                               sgc_error *err);
static size_t bytes_put;

static sgc_status counting_put(sgc_object_store *self, const char *key, const void *data,
                               size_t size, sgc_put_condition condition, const sgc_object *previous,
                               sgc_error *err)
{
    bytes_put += size;
    return plain_put(self, key, data, size, condition, previous, err);
}

static sgc_repository *open_repository(const char *place)
{
    sgc_object_store *store;
    sgc_repository *repository;
    check(sgc_object_store_local_new(place, NULL, &store, &error));
    plain_put = store->put;
    store->put = counting_put;
    check(sgc_repository_open(store, NULL, &repository, &error));
    return repository;
}

/* ---- making ---- */

static void array_path(uint32_t array, char path[32])
{
    snprintf(path, 32, "/a%u", array);
}

static void put_array(sgc_session *session, const shape *s, uint32_t array)
{
    static char time_name[] = "time", y[] = "y", x[] = "x";
    char path[32];
    sgc_buffer json = {0};
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .dimension_count = 3,
        .shape = {s->steps, (uint64_t)s->side * CHUNK, (uint64_t)s->side * CHUNK},
        .chunk_shape = {1, CHUNK, CHUNK},
        .has_dimension_names = true,
        .dimension_names = {time_name, y, x},
    };
    array_path(array, path);
    check(sgc_array_metadata_print(&metadata, "0", "{}", &json, &error));
    check(sgc_session_put_array(session, path, json.data, json.size, &error));
    sgc_buffer_free(&json);
}

static void set_refs(sgc_session *session, const shape *s, uint32_t array)
{
    char path[32];
    array_path(array, path);
    for (uint32_t t = 0; t < s->steps; t++)
        for (uint32_t row = 0; row < s->side; row++)
            for (uint32_t column = 0; column < s->side; column++) {
                const uint32_t at[] = {t, row, column};
                sgc_chunk_ref ref = {.kind = SGC_CHUNK_NATIVE, .length = CHUNK * CHUNK};
                check(sgc_object_id_random(&ref.id, &error));
                check(sgc_session_set_chunk(session, path, at, &ref, &error));
            }
}

static void put_root(sgc_session *session, uint64_t refs)
{
    sgc_buffer json = {0};
    check(sgc_buffer_print(&json, &error,
                           "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": "
                           "{\"loaded_patches\": ["));
    for (uint64_t i = 0; i < refs / REFS_PER_PATCH; i++)
        check(sgc_buffer_print(&json, &error, "%s\"%03llu_%03llu_10m_v4.1\"", i > 0 ? ", " : "",
                               (unsigned long long)i / 1000, (unsigned long long)i % 1000));
    check(sgc_buffer_print(&json, &error, "]}}"));
    check(sgc_session_put_group(session, "/", json.data, json.size, &error));
    sgc_buffer_free(&json);
}

static void make(const char *place, const shape *s, bool split)
{
    uint32_t window = 16;
    while (window < 128 && s->arrays * s->steps * pow(ceil(s->side / (double)window), 2) > 100000)
        window *= 2;
    const sgc_split_rule rules[] = {{"time", 1}, {"y", window}, {"x", window}};
    const sgc_repository_options options = {.split_rules = rules,
                                            .split_rule_count = split ? 3 : 0};
    sgc_object_store *store;
    sgc_repository *repository;
    sgc_session *session;
    check(sgc_object_store_local_new(place, NULL, &store, &error));
    check(sgc_repository_create(store, &options, &repository, &error));
    check(sgc_session_new(repository, "main", &session, &error));
    put_root(session, (uint64_t)s->arrays * s->steps * s->side * s->side);
    for (uint32_t array = 0; array < s->arrays; array++) {
        put_array(session, s, array);
        set_refs(session, s, array);
    }
    check(sgc_session_commit(session, "all", NULL, NULL, &error));
    sgc_session_free(session);
    sgc_repository_free(repository);
}

/* ---- measuring ---- */

static void commit_one(sgc_repository *repository, uint32_t step)
{
    unsigned char chunk[CHUNK * CHUNK];
    char id[64];
    sgc_session *session;
    sgc_chunk_ref ref;
    sgc_buffer root = {0};
    for (size_t i = 0; i < sizeof chunk; i++)
        chunk[i] = (unsigned char)(i * 31 + step);
    const uint32_t at[] = {0, 1, 1};
    check(sgc_session_new(repository, "main", &session, &error));
    check(sgc_repository_write_chunk(repository, chunk, sizeof chunk, &ref, &error));
    check(sgc_session_set_chunk(session, "/a0", at, &ref, &error));
    const int length = snprintf(id, sizeof id, "\"new_%u_10m_v4.1\"", step);
    check(sgc_root_add_loaded(sgc_snapshot_find(sgc_session_base(session), "/"),
                              (sgc_span){id, (size_t)length}, &root, &error));
    check(sgc_session_put_group(session, "/", root.data, root.size, &error));
    check(sgc_session_commit(session, "one chunk", NULL, NULL, &error));
    sgc_buffer_free(&root);
    sgc_session_free(session);
}

static void read_one(const char *place)
{
    static unsigned char chunk[CHUNK * CHUNK];
    sgc_repository *repository = open_repository(place);
    sgc_object_id id;
    sgc_snapshot *snapshot;
    sgc_array *array;
    const uint64_t start[] = {0, CHUNK, CHUNK}, count[] = {1, CHUNK, CHUNK};
    check(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, &error));
    check(sgc_repository_snapshot(repository, &id, &snapshot, &error));
    check(sgc_array_open(repository, snapshot, "/a0", &array, &error));
    check(sgc_array_read(array, start, count, chunk, 1, &error));
    sgc_array_close(array);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void measure(const char *place, size_t times)
{
    double commits[MOST_TIMES], reads[MOST_TIMES];
    sgc_repository *repository = open_repository(place);
    for (size_t i = 0; i < times; i++) {
        bytes_put = 0;
        const double start = now();
        commit_one(repository, (uint32_t)i);
        commits[i] = now() - start;
    }
    sgc_repository_free(repository);
    for (size_t i = 0; i < times; i++) {
        const double start = now();
        read_one(place);
        reads[i] = now() - start;
    }
    printf("{\"commit\": %.6f, \"read\": %.6f, \"bytes\": %zu}\n", median(commits, times),
           median(reads, times), bytes_put);
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "make") == 0) {
        const shape s = {(uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]), (uint32_t)atoi(argv[3])};
        make(argv[2], &s, atoi(argv[6]) != 0);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "measure") == 0 && atoi(argv[3]) <= MOST_TIMES) {
        measure(argv[2], (size_t)atoi(argv[3]));
        return 0;
    }
    fprintf(stderr, "usage: store_cost make PLACE SIDE ARRAYS STEPS SPLIT\n"
                    "       store_cost measure PLACE TIMES\n");
    return 2;
}
