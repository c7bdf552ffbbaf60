/* Many writers on one directory: processes and threads, killed and stopped ones, and those that
 * fork. */
#include "autotest/unit/store_testing.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotest/unit/store_model.h"

enum {
    WRITERS = 8,
    THREADS = 4,
    MANY = TIMES(50, 10), /* commits of each writer */
    FEW = TIMES(20, 6),
    KILLS = TIMES(24, 6),
    ROWS = 64,
    COLUMNS = 512,
    COUNTERS = 3,
    NATIVE_ITEMS = 150, /* of 4 bytes: too many to stand in a manifest */
    SECONDS = 120,      /* until a test that hangs is ended */
};

/* ---- a repository in a directory: a grid "/a" of chunks of one byte, and counters: "/c" of small
 * chunks and "/n" of chunk objects ---- */

static char *directory;
static int version;
static unsigned commits; /* of each writer */

/* No assertions: it is for children too. */
static sgc_status open_repository(sgc_repository **repository, sgc_error *error)
{
    sgc_object_store *store;
    SGC_TRY(sgc_object_store_local_new(directory, NULL, &store, error));
    const sgc_status status = sgc_repository_open(store, NULL, repository, error);
    if (status != SGC_OK)
        sgc_object_store_free(store);
    return status;
}

static sgc_repository *repository_opened(void)
{
    sgc_repository *repository;
    assert_ok(open_repository(&repository, &err));
    return repository;
}

static void create_repository(void)
{
    static char y[] = "y", x[] = "x";
    static const sgc_split_rule rules[] = {{"y", 4}, {"x", 16}};
    const sgc_repository_options options = {rules, 2, version};
    const sgc_array_metadata grid = {
        .type = SGC_UINT8,
        .dimension_count = 2,
        .shape = {ROWS, COLUMNS},
        .chunk_shape = {1, 1},
        .has_dimension_names = true,
        .dimension_names = {y, x},
    };
    sgc_array_metadata counters = {
        .type = SGC_UINT32, .dimension_count = 1, .shape = {COUNTERS}, .chunk_shape = {1}};
    sgc_object_store *store;
    sgc_repository *repository;
    assert_ok(sgc_object_store_local_new(directory, NULL, &store, &err));
    assert_ok(sgc_repository_create(store, &options, &repository, &err));
    sgc_session *session = new_session(repository);
    put_array(session, "/a", &grid, "0");
    put_array(session, "/c", &counters, "0");
    counters.shape[0] = (uint64_t)COUNTERS * NATIVE_ITEMS;
    counters.chunk_shape[0] = NATIVE_ITEMS;
    put_array(session, "/n", &counters, "0");
    commit(session);
    sgc_repository_free(repository);
}

static int set_up(void **state)
{
    version = *(const int *)*state;
    commits = FEW;
    alarm(SECONDS);
    directory = temporary_directory_new();
    create_repository();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temporary_directory_free(directory);
    alarm(0);
    return 0;
}

/* ---- commits; no assertions, for they are made in children and threads ---- */

static unsigned char value_of(unsigned writer, unsigned number)
{
    return (unsigned char)(1 + (writer * 31 + number * 7) % 250);
}

static sgc_status set_cell(sgc_session *session, unsigned row, unsigned column, sgc_error *error)
{
    const uint32_t at[] = {row, column};
    const unsigned char value = value_of(row, column);
    const sgc_chunk_ref ref = {.kind = SGC_CHUNK_INLINE, .length = 1, .inline_data = &value};
    return sgc_session_set_chunk(session, "/a", at, &ref, error);
}

/* Commits number `number` of `writer`: the cell in that row and column. */
static sgc_status commit_cell(sgc_repository *repository, unsigned writer, unsigned number,
                              sgc_object_id *id, sgc_error *error)
{
    char message[32];
    sgc_session *session;
    snprintf(message, sizeof message, "%u %u", writer, number);
    SGC_TRY(sgc_session_new(repository, "main", &session, error));
    sgc_status status = set_cell(session, writer, number, error);
    if (status == SGC_OK)
        status = sgc_session_commit_rebased(session, message, NULL, NULL, id, error);
    sgc_session_free(session);
    return status;
}

static sgc_status commit_cells(sgc_repository *repository, unsigned writer, sgc_error *error)
{
    for (unsigned i = 0; i < commits; i++)
        SGC_TRY(commit_cell(repository, writer, i, NULL, error));
    return SGC_OK;
}

/* ---- what must be there afterwards ---- */

typedef struct history {
    size_t count;
    unsigned char seen[ROWS][COLUMNS]; /* commits of cells */
} history;

static sgc_status note_commit(void *user, const sgc_commit_info *commit, bool *more,
                              sgc_error *error)
{
    (void)more;
    (void)error;
    history *h = user;
    unsigned writer, number;
    h->count++;
    if (sscanf(commit->message, "%u %u", &writer, &number) == 2 && writer < ROWS &&
        number < COLUMNS)
        h->seen[writer][number]++;
    return SGC_OK;
}

static void read_history(sgc_repository *repository, history *h)
{
    sgc_object_id tip;
    *h = (history){0};
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, &err));
    assert_ok(sgc_repository_history(repository, &tip, note_commit, h, &err));
}

/* The cells of exactly those commits are there. */
static void check_cells(sgc_repository *repository, const history *h)
{
    sgc_snapshot *snapshot = load_tip(repository);
    for (unsigned row = 0; row < ROWS; row++) {
        for (unsigned column = 0; column < COLUMNS; column++) {
            const unsigned char expected = h->seen[row][column] > 0 ? value_of(row, column) : 0;
            assert_int_equal(read_cell(repository, snapshot, row, column), expected);
        }
    }
    sgc_snapshot_unref(snapshot);
}

/* All commits of `writers` are there, each once, and nothing else. */
static void check_commits(unsigned writers)
{
    static history h;
    sgc_repository *repository = repository_opened();
    read_history(repository, &h);
    assert_int_equal(h.count, 2 + writers * commits);
    for (unsigned w = 0; w < writers; w++)
        for (unsigned i = 0; i < commits; i++)
            assert_int_equal(h.seen[w][i], 1);
    check_cells(repository, &h);
    check_sound(repository);
    const size_t snapshots = count_objects(sgc_repository_store(repository), "snapshots/");
    print_message("%zu of %u attempts to commit were in vain\n", snapshots - h.count,
                  writers * commits);
    sgc_repository_free(repository);
}

/* ---- processes ---- */

/* Gates open when their owner closes them. */
typedef struct gate {
    int reader, writer;
} gate;

static gate gate_new(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    return (gate){ends[0], ends[1]};
}

static void gate_open(gate *g)
{
    close(g->writer);
    g->writer = -1;
}

static void gate_free(gate *g)
{
    if (g->writer >= 0)
        close(g->writer);
    close(g->reader);
}

static bool gate_is_open(const gate *g)
{
    struct pollfd poll_fd = {.fd = g->reader, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void gate_wait(const gate *g)
{
    char byte;
    while (read(g->reader, &byte, 1) > 0)
        ;
}

typedef sgc_status (*child_fn)(unsigned number, sgc_error *error);

static gate start_gate, stop_gate;

/* Starts a process that does `fn` once the gate is open. */
static pid_t start(child_fn fn, unsigned number)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    sgc_error error = {""};
    alarm(SECONDS);
    close(start_gate.writer);
    close(stop_gate.writer);
    gate_wait(&start_gate);
    const sgc_status status = fn(number, &error);
    if (status != SGC_OK)
        fprintf(stderr, "process %u: %s\n", number, error.message);
    _exit(status == SGC_OK ? 0 : 1);
}

static void wait_for(pid_t child)
{
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void make_gates(void)
{
    start_gate = gate_new();
    stop_gate = gate_new();
}

static void free_gates(void)
{
    gate_free(&start_gate);
    gate_free(&stop_gate);
}

/* Lets so many processes do `fn` at the same time. */
static void run_processes(child_fn fn, unsigned count)
{
    pid_t children[WRITERS];
    make_gates();
    for (unsigned i = 0; i < count; i++)
        children[i] = start(fn, i);
    gate_open(&start_gate);
    for (unsigned i = 0; i < count; i++)
        wait_for(children[i]);
    free_gates();
}

static sgc_status write_cells(unsigned number, sgc_error *error)
{
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    const sgc_status status = commit_cells(repository, number, error);
    sgc_repository_free(repository);
    return status;
}

static void test_processes(void **state)
{
    (void)state;
    commits = MANY;
    run_processes(write_cells, WRITERS);
    check_commits(WRITERS);
}

/* ---- counters that several writers count up ---- */

static sgc_status decode_counter(sgc_repository *repository, const sgc_chunk_ref *ref,
                                 uint32_t *value, sgc_error *error)
{
    sgc_object bytes = {0};
    *value = 0;
    if (ref->kind == SGC_CHUNK_NONE)
        return SGC_OK;
    SGC_TRY(sgc_repository_read_chunk(repository, ref, 0, ref->length, &bytes, error));
    memcpy(value, bytes.data, sizeof *value);
    sgc_object_clear(&bytes);
    return SGC_OK;
}

/* `bytes` is what an inline reference borrows. */
static sgc_status encode_counter(sgc_repository *repository, const char *path, uint32_t value,
                                 uint32_t bytes[NATIVE_ITEMS], sgc_chunk_ref *ref, sgc_error *error)
{
    memset(bytes, 0, NATIVE_ITEMS * sizeof *bytes);
    bytes[0] = value;
    const size_t count = strcmp(path, "/n") == 0 ? NATIVE_ITEMS : 1;
    return sgc_repository_write_chunk(repository, bytes, count * sizeof *bytes, ref, error);
}

static sgc_status read_counter(sgc_repository *repository, sgc_snapshot *snapshot, const char *path,
                               uint32_t counter, uint32_t *value, sgc_error *error)
{
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    SGC_TRY(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot),
                                      sgc_snapshot_find(snapshot, path), &counter, &ref, &keep,
                                      error));
    const sgc_status status = decode_counter(repository, &ref, value, error);
    sgc_manifest_unref(keep);
    return status;
}

static sgc_status set_counter(sgc_session *session, const char *path, uint32_t counter,
                              uint32_t value, sgc_error *error)
{
    uint32_t bytes[NATIVE_ITEMS];
    sgc_chunk_ref ref;
    SGC_TRY(encode_counter(sgc_session_repository(session), path, value, bytes, &ref, error));
    return sgc_session_set_chunk(session, path, &counter, &ref, error);
}

typedef struct counting {
    sgc_session *session;
    uint32_t bytes[NATIVE_ITEMS]; /* of the merged chunk */
} counting;

/* Theirs, and what we have counted. */
static sgc_status merge_counter(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                                sgc_error *error)
{
    counting *c = user;
    sgc_repository *repository = sgc_session_repository(c->session);
    uint32_t base, ours, theirs;
    if (conflict->kind != SGC_CHUNK_DOUBLE_UPDATE)
        return sgc_fail(error, SGC_INVALID, "another conflict");
    SGC_TRY(read_counter(repository, sgc_session_base(c->session), conflict->path,
                         conflict->coordinates[0], &base, error));
    SGC_TRY(decode_counter(repository, conflict->our_chunk, &ours, error));
    SGC_TRY(decode_counter(repository, conflict->their_chunk, &theirs, error));
    merged->resolution = SGC_MERGED;
    return encode_counter(repository, conflict->path, theirs + ours - base, c->bytes,
                          &merged->chunk, error);
}

static sgc_status count_up(counting *c, const char *path, uint32_t counter, sgc_error *error)
{
    uint32_t value;
    SGC_TRY(read_counter(sgc_session_repository(c->session), sgc_session_base(c->session), path,
                         counter, &value, error));
    return set_counter(c->session, path, counter, value + 1, error);
}

static sgc_status commit_counts(sgc_repository *repository, uint64_t *random, sgc_error *error)
{
    counting c;
    const sgc_merge merge = {merge_counter, &c};
    const uint32_t counter = random_below(random, COUNTERS);
    SGC_TRY(sgc_session_new(repository, "main", &c.session, error));
    sgc_status status = count_up(&c, "/c", counter, error);
    if (status == SGC_OK)
        status = count_up(&c, "/n", counter, error);
    if (status == SGC_OK)
        status = sgc_session_commit_rebased(c.session, "count", NULL, &merge, NULL, error);
    sgc_session_free(c.session);
    return status;
}

static sgc_status write_counts(unsigned number, sgc_error *error)
{
    uint64_t random = number;
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    sgc_status status = SGC_OK;
    for (unsigned i = 0; status == SGC_OK && i < commits; i++)
        status = commit_counts(repository, &random, error);
    sgc_repository_free(repository);
    return status;
}

static void check_counts(uint32_t expected)
{
    static const char *const paths[] = {"/c", "/n"};
    static history h;
    sgc_repository *repository = repository_opened();
    sgc_snapshot *snapshot = load_tip(repository);
    for (size_t p = 0; p < 2; p++) {
        uint32_t sum = 0, value = 0;
        for (uint32_t i = 0; i < COUNTERS; i++) {
            assert_ok(read_counter(repository, snapshot, paths[p], i, &value, &err));
            sum += value;
        }
        assert_int_equal(sum, expected);
    }
    read_history(repository, &h);
    assert_int_equal(h.count, 2 + expected);
    check_sound(repository);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

static void test_processes_that_count(void **state)
{
    (void)state;
    run_processes(write_counts, WRITERS);
    check_counts(WRITERS * commits);
}

/* ---- threads ---- */

typedef struct worker {
    pthread_t thread;
    sgc_status (*fn)(struct worker *w);
    unsigned number;
    pthread_barrier_t *barrier;
    sgc_repository *repository;
    sgc_session *session; /* that all share */
    sgc_status status;
    sgc_error error;
} worker;

static void *work(void *user)
{
    worker *w = user;
    pthread_barrier_wait(w->barrier);
    w->status = w->fn(w);
    return NULL;
}

/* Lets threads do `fn` at the same time. Without a handle on the repository each opens its own. */
static void run_threads(sgc_status (*fn)(worker *w), sgc_repository *shared, sgc_session *session)
{
    worker workers[THREADS];
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.fn = fn, .number = i, .barrier = &barrier, .session = session};
        workers[i].repository = shared != NULL ? shared : repository_opened();
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        if (workers[i].status != SGC_OK)
            print_error("thread %u: %s\n", i, workers[i].error.message);
        assert_int_equal(workers[i].status, SGC_OK);
        if (shared == NULL)
            sgc_repository_free(workers[i].repository);
    }
    pthread_barrier_destroy(&barrier);
}

static sgc_status write_cells_in_thread(worker *w)
{
    return commit_cells(w->repository, w->number, &w->error);
}

static void test_threads_on_one_handle(void **state)
{
    (void)state;
    sgc_repository *repository = repository_opened();
    run_threads(write_cells_in_thread, repository, NULL);
    sgc_repository_free(repository);
    check_commits(THREADS);
}

static void test_threads_on_handles_of_their_own(void **state)
{
    (void)state;
    run_threads(write_cells_in_thread, NULL, NULL);
    check_commits(THREADS);
}

static sgc_status write_counts_in_thread(worker *w)
{
    uint64_t random = w->number;
    for (unsigned i = 0; i < commits; i++)
        SGC_TRY(commit_counts(w->repository, &random, &w->error));
    return SGC_OK;
}

static void test_threads_that_count(void **state)
{
    (void)state;
    sgc_repository *repository = repository_opened();
    run_threads(write_counts_in_thread, repository, NULL);
    sgc_repository_free(repository);
    check_counts(THREADS * commits);
}

/* ---- a transaction that several threads fill ---- */

enum { CELLS = 300 };

static sgc_status find_cell(sgc_session *session, unsigned row, unsigned column, sgc_error *error)
{
    const uint32_t at[] = {row, column};
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    SGC_TRY(sgc_session_find_chunk(session, "/a", at, &ref, &keep, error));
    const bool same = ref.kind == SGC_CHUNK_INLINE && ref.inline_data[0] == value_of(row, column);
    sgc_manifest_unref(keep);
    return same ? SGC_OK : sgc_fail(error, SGC_INVALID, "a cell is another");
}

/* A group, an array in it, and cells of the array that all fill. */
static sgc_status fill(worker *w)
{
    static const char json[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";
    char path[32];
    sgc_node found;
    for (unsigned i = 0; i < CELLS; i++) {
        snprintf(path, sizeof path, "/g%u-%u", i, w->number);
        if (i % 10 == 0)
            SGC_TRY(sgc_session_put_group(w->session, path, json, strlen(json), &w->error));
        if (i % 20 == 0)
            SGC_TRY(sgc_session_get_node(w->session, path, &found, &w->error));
        if (i % 30 == 0)
            SGC_TRY(sgc_session_delete(w->session, path, &w->error));
        SGC_TRY(set_cell(w->session, w->number, i, &w->error));
        SGC_TRY(find_cell(w->session, w->number, i, &w->error));
    }
    return SGC_OK;
}

static void test_threads_that_share_a_session(void **state)
{
    (void)state;
    static history h;
    sgc_repository *repository = repository_opened();
    sgc_session *session = new_session(repository);
    run_threads(fill, repository, session);
    commit(session);
    read_history(repository, &h);
    assert_int_equal(h.count, 3);
    for (unsigned w = 0; w < THREADS; w++)
        for (unsigned i = 0; i < CELLS; i++)
            h.seen[w][i] = 1;
    check_cells(repository, &h);
    sgc_snapshot *snapshot = load_tip(repository);
    for (unsigned w = 0; w < THREADS; w++) {
        for (unsigned i = 0; i < CELLS; i += 10) {
            char path[32];
            snprintf(path, sizeof path, "/g%u-%u", i, w);
            assert_int_equal(sgc_snapshot_find(snapshot, path) != NULL, i % 30 != 0);
        }
    }
    check_sound(repository);
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
}

/* ---- writers that are killed ---- */

typedef struct receipt {
    unsigned writer, number;
    sgc_object_id id;
} receipt;

static int receipts[2]; /* a pipe */

static sgc_status acknowledge(unsigned writer, unsigned number, const sgc_object_id *id,
                              sgc_error *error)
{
    const receipt r = {writer, number, *id};
    return write(receipts[1], &r, sizeof r) == sizeof r
               ? SGC_OK
               : sgc_fail(error, SGC_IO, "cannot tell of a commit");
}

/* Commits until the stop gate opens. */
static sgc_status write_until_stopped(unsigned number, sgc_error *error)
{
    sgc_repository *repository;
    sgc_object_id id;
    SGC_TRY(open_repository(&repository, error));
    sgc_status status = SGC_OK;
    for (unsigned i = 0; status == SGC_OK && i < COLUMNS && !gate_is_open(&stop_gate); i++) {
        status = commit_cell(repository, number, i, &id, error);
        if (status == SGC_OK)
            status = acknowledge(number, i, &id, error);
    }
    sgc_repository_free(repository);
    return status;
}

static void kill_child(pid_t child)
{
    int how;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
}

/* What was acknowledged. */
typedef struct acknowledged {
    size_t count;
    receipt items[ROWS * COLUMNS];
} acknowledged;

static bool read_receipt(acknowledged *a)
{
    receipt *r = &a->items[a->count];
    const ssize_t size = read(receipts[0], r, sizeof *r);
    if (size == 0)
        return false;
    assert_int_equal(size, sizeof *r);
    a->count++;
    return true;
}

static void check_acknowledged(sgc_repository *repository, const acknowledged *a, const history *h)
{
    for (size_t i = 0; i < a->count; i++)
        assert_int_equal(h->seen[a->items[i].writer][a->items[i].number], 1);
    for (unsigned row = 0; row < ROWS; row++)
        for (unsigned column = 0; column < COLUMNS; column++)
            assert_true(h->seen[row][column] <= 1);
    /* A writer that is killed may have published without being able to tell. */
    assert_true(h->count >= 2 + a->count);
    assert_true(h->count <= 2 + a->count + KILLS);
    check_cells(repository, h);
}

/* Whatever is visible is whole. */
static sgc_status check_object(void *user, const char *key, const sgc_object_info *info,
                               sgc_error *error)
{
    (void)info;
    sgc_object_id id;
    const char *name = strrchr(key, '/');
    sgc_snapshot *snapshot;
    if (strncmp(key, "overwritten/repo.", 17) == 0 || strcmp(key, "repo") == 0 ||
        strcmp(key, "config.yaml") == 0 || strcmp(key, "refs/branch.main/ref.json") == 0)
        return SGC_OK;
    assert_non_null(name);
    SGC_TRY(sgc_object_id_parse(name + 1, strlen(name + 1), &id, error));
    if (strncmp(key, "snapshots/", 10) == 0) {
        SGC_TRY(sgc_repository_snapshot(user, &id, &snapshot, error));
        sgc_snapshot_unref(snapshot);
    }
    return SGC_OK;
}

static void check_objects(sgc_repository *repository)
{
    sgc_object_store *store = sgc_repository_store(repository);
    assert_ok(store->list(store, "", check_object, repository, &err));
    const size_t leftovers = count_staging_files(store);
    assert_true(leftovers <= (size_t)2 * KILLS);
    print_message("%zu staging files were left\n", leftovers);
}

static void test_killed_writers(void **state)
{
    (void)state;
    enum { ALIVE = 4 };
    static acknowledged a;
    static history h;
    pid_t children[ALIVE];
    unsigned next = 0;
    uint64_t random = (uint64_t)version;
    a.count = 0;
    make_gates();
    assert_int_equal(pipe(receipts), 0);
    for (unsigned i = 0; i < ALIVE; i++)
        children[i] = start(write_until_stopped, next++);
    gate_open(&start_gate);
    for (unsigned k = 0; k < KILLS; k++) {
        for (uint32_t n = 1 + random_below(&random, 10); n > 0; n--)
            assert_true(read_receipt(&a));
        const uint32_t victim = random_below(&random, ALIVE);
        kill_child(children[victim]);
        children[victim] = start(write_until_stopped, next++);
    }
    assert_true(next <= ROWS);
    gate_open(&stop_gate);
    close(receipts[1]);
    while (read_receipt(&a))
        ;
    for (unsigned i = 0; i < ALIVE; i++)
        wait_for(children[i]);
    close(receipts[0]);
    free_gates();

    sgc_repository *repository = repository_opened();
    read_history(repository, &h);
    check_acknowledged(repository, &a, &h);
    check_sound(repository);
    check_objects(repository);
    assert_ok(commit_cell(repository, ROWS - 1, 0, NULL, &err));
    sgc_repository_free(repository);
}

/* ---- writers that fork ---- */

static sgc_repository *inherited;

static sgc_status write_cells_by_inheritance(unsigned number, sgc_error *error)
{
    return commit_cells(inherited, number, error);
}

static void test_writers_that_fork(void **state)
{
    (void)state;
    inherited = repository_opened();
    make_gates();
    assert_ok(commit_cells(inherited, 0, &err)); /* files are open, locks were taken */
    const pid_t first = start(write_cells_by_inheritance, 1);
    const pid_t second = start(write_cells_by_inheritance, 2);
    gate_open(&start_gate);
    assert_ok(commit_cells(inherited, 3, &err));
    wait_for(first);
    wait_for(second);
    free_gates();
    sgc_repository_free(inherited);
    check_commits(4);
}

/* Takes the writers' queue, forks and dies; the child lives on until the stop gate opens. */
static sgc_status die_in_the_queue(unsigned number, sgc_error *error)
{
    (void)number;
    int is_ready[2];
    char byte = 0;
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    sgc_repository_queue_begin(repository);
    if (pipe(is_ready) != 0)
        return sgc_fail(error, SGC_IO, "no pipe");
    const pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        if (write(is_ready[1], &byte, 1) == 1)
            gate_wait(&stop_gate);
        _exit(0);
    }
    return child > 0 && read(is_ready[0], &byte, 1) == 1 ? SGC_OK
                                                         : sgc_fail(error, SGC_IO, "cannot fork");
}

static void test_locks_are_not_inherited(void **state)
{
    (void)state;
    enum { QUEUE = 1 };
    sgc_repository *repository = repository_opened();
    sgc_object_store *store = sgc_repository_store(repository);
    bool taken = false;
    make_gates();
    const pid_t parent = start(die_in_the_queue, 0);
    gate_open(&start_gate);
    wait_for(parent);
    assert_ok(store->lock(store, QUEUE, &taken, &err));
    assert_true(taken);
    store->unlock(store, QUEUE);
    gate_open(&stop_gate);
    free_gates();
    sgc_repository_free(repository);
}

/* ---- a writer that is stopped while it is first in the queue ---- */

static sgc_status stop_in_the_queue(unsigned number, sgc_error *error)
{
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    sgc_repository_queue_begin(repository);
    raise(SIGSTOP);
    sgc_repository_queue_end(repository);
    const sgc_status status = commit_cell(repository, number, 0, NULL, error);
    sgc_repository_free(repository);
    return status;
}

static void test_stopped_writer(void **state)
{
    (void)state;
    static history h;
    int how;
    make_gates();
    const pid_t stopped = start(stop_in_the_queue, 0);
    gate_open(&start_gate);
    assert_int_equal(waitpid(stopped, &how, WUNTRACED), stopped);
    assert_true(WIFSTOPPED(how));
    sgc_repository *repository = repository_opened();
    assert_ok(commit_cell(repository, 1, 0, NULL, &err));
    assert_int_equal(kill(stopped, SIGCONT), 0);
    wait_for(stopped);
    read_history(repository, &h);
    assert_int_equal(h.seen[0][0], 1);
    assert_int_equal(h.seen[1][0], 1);
    check_cells(repository, &h);
    sgc_repository_free(repository);
    free_gates();
}

/* ---- readers ---- */

/* Sets the first two counters of both arrays to one number. */
static sgc_status commit_alike(sgc_repository *repository, uint32_t number, sgc_error *error)
{
    const sgc_merge merge = {take_ours, NULL};
    sgc_session *session;
    SGC_TRY(sgc_session_new(repository, "main", &session, error));
    sgc_status status = SGC_OK;
    for (uint32_t i = 0; status == SGC_OK && i < 4; i++)
        status = set_counter(session, i < 2 ? "/c" : "/n", i % 2, number, error);
    if (status == SGC_OK)
        status = sgc_session_commit_rebased(session, "alike", NULL, &merge, NULL, error);
    sgc_session_free(session);
    return status;
}

static sgc_status write_alike(unsigned number, sgc_error *error)
{
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    sgc_status status = SGC_OK;
    for (unsigned i = 0; status == SGC_OK && i < commits; i++)
        status = commit_alike(repository, 1 + i * WRITERS + number, error);
    sgc_repository_free(repository);
    return status;
}

static sgc_status read_alike(sgc_repository *repository, sgc_snapshot *snapshot, uint32_t *number,
                             sgc_error *error)
{
    SGC_TRY(read_counter(repository, snapshot, "/c", 0, number, error));
    for (uint32_t i = 1; i < 4; i++) {
        uint32_t other;
        SGC_TRY(read_counter(repository, snapshot, i < 2 ? "/c" : "/n", i % 2, &other, error));
        if (other != *number)
            return sgc_fail(error, SGC_INVALID, "%u beside %u", *number, other);
    }
    return SGC_OK;
}

/* Looks at the tip twice, some time apart. */
static sgc_status read_tip(sgc_repository *repository, sgc_snapshot **previous, uint32_t *number,
                           sgc_error *error)
{
    sgc_object_id id;
    sgc_snapshot *snapshot;
    uint32_t again;
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, error));
    SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, error));
    sgc_status status = SGC_OK;
    if (*previous != NULL)
        status = read_alike(repository, *previous, &again, error);
    if (status == SGC_OK && *previous != NULL && again != *number)
        status = sgc_fail(error, SGC_INVALID, "a snapshot has changed");
    sgc_snapshot_unref(*previous);
    *previous = snapshot;
    return status == SGC_OK ? read_alike(repository, snapshot, number, error) : status;
}

static sgc_status read_until_stopped(unsigned number, sgc_error *error)
{
    (void)number;
    uint32_t value = 0;
    sgc_snapshot *snapshot = NULL;
    sgc_repository *repository;
    SGC_TRY(open_repository(&repository, error));
    sgc_status status = SGC_OK;
    do {
        status = read_tip(repository, &snapshot, &value, error);
    } while (status == SGC_OK && !gate_is_open(&stop_gate));
    sgc_snapshot_unref(snapshot);
    sgc_repository_free(repository);
    return status;
}

static void test_readers(void **state)
{
    (void)state;
    enum { READERS = 2, THEIR_WRITERS = 3 };
    pid_t readers[READERS], writers[THEIR_WRITERS];
    make_gates();
    for (unsigned i = 0; i < READERS; i++)
        readers[i] = start(read_until_stopped, i);
    for (unsigned i = 0; i < THEIR_WRITERS; i++)
        writers[i] = start(write_alike, i);
    gate_open(&start_gate);
    for (unsigned i = 0; i < THEIR_WRITERS; i++)
        wait_for(writers[i]);
    gate_open(&stop_gate);
    for (unsigned i = 0; i < READERS; i++)
        wait_for(readers[i]);
    free_gates();
    sgc_repository *repository = repository_opened();
    check_sound(repository);
    sgc_repository_free(repository);
}

static int versions[] = {1, 2};

#define BOTH(test)                                                  \
    {#test " (version 1)", test, set_up, tear_down, versions},      \
    {                                                               \
#test " (version 2)", test, set_up, tear_down, versions + 1 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_processes),
        BOTH(test_processes_that_count),
        BOTH(test_threads_on_one_handle),
        BOTH(test_threads_on_handles_of_their_own),
        BOTH(test_threads_that_count),
        BOTH(test_threads_that_share_a_session),
        BOTH(test_killed_writers),
        BOTH(test_writers_that_fork),
        BOTH(test_locks_are_not_inherited),
        BOTH(test_stopped_writer),
        BOTH(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
