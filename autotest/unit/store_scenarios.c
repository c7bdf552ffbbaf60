#include "autotest/unit/store_scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_testing.h"
#include "store/icechunk/transaction_log.h"

enum { SIDE = 4, CHUNKS = SIDE * SIDE, WINDOW = 2 }; /* chunks */

static const sgc_split_rule rules[] = {{"y", WINDOW}, {"x", WINDOW}};
static const sgc_repository_options split_2_by_2 = {.split_rules = rules, .split_rule_count = 2};
static const sgc_repository_options version_2 = {
    .split_rules = rules, .split_rule_count = 2, .spec_version = 2};

static const char group_json[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";

/* ---- two arrays: small chunks stand in the manifests, large ones are objects of several blocks */

static const char *const array_paths[] = {"/inline", "/native"};

static sgc_array_metadata metadata_of(size_t array)
{
    static char y[] = "y", x[] = "x";
    const uint64_t chunk_side = array == 0 ? 2 : 32;
    sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .dimension_count = 2,
        .shape = {SIDE * chunk_side, SIDE * chunk_side},
        .chunk_shape = {chunk_side, chunk_side},
        .has_dimension_names = true,
        .dimension_names = {y, x},
        .chunk_bytes = (size_t)chunk_side * chunk_side,
    };
    metadata.codecs = (sgc_codecs){.count = 1};
    if (array == 0)
        metadata.codecs.list[0] = (sgc_codec){.kind = SGC_ZSTD, .level = 1, .checksum = true};
    else
        metadata.codecs.list[0] = (sgc_codec){
            .kind = SGC_BLOSC, .level = 1, .compressor = "lz4", .type_size = 1, .block_size = 256};
    return metadata;
}

/* Bytes that do not compress; version 0 is the fill value. */
static unsigned char value_of(unsigned version, size_t array, size_t chunk, size_t byte)
{
    uint64_t x = version * UINT64_C(1000003) + array * 10007 + chunk * 101 + byte * 2654435761;
    x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return version == 0 ? 0 : (unsigned char)(x >> 56);
}

/* The commit of chunks replaces, adds and removes some, and leaves one window alone. */
static unsigned version_of(scenario_state state, size_t chunk)
{
    static const unsigned versions[2][CHUNKS] = {
        {1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
        {2, 1, 1, 1, 1, 2, 2, 1, 1, 1, 0, 1, 1, 1, 1, 2},
    };
    return versions[state][chunk];
}

static sgc_status put_nodes(sgc_session *session, sgc_error *error)
{
    SGC_TRY(sgc_session_put_group(session, "/", group_json, strlen(group_json), error));
    SGC_TRY(sgc_session_put_group(session, "/g", group_json, strlen(group_json), error));
    sgc_status status = SGC_OK;
    for (size_t a = 0; status == SGC_OK && a < 2; a++) {
        const sgc_array_metadata metadata = metadata_of(a);
        sgc_buffer json = {0};
        status = sgc_array_metadata_print(&metadata, "0", "{\"n\": 1}", &json, error);
        if (status == SGC_OK)
            status = sgc_session_put_array(session, array_paths[a], json.data, json.size, error);
        sgc_buffer_free(&json);
    }
    return status;
}

static sgc_status set_chunk(sgc_repository *repository, sgc_session *session, size_t array,
                            size_t chunk, unsigned version, sgc_error *error)
{
    const sgc_array_metadata metadata = metadata_of(array);
    const uint32_t at[] = {(uint32_t)chunk / SIDE, (uint32_t)chunk % SIDE};
    unsigned char decoded[32 * 32];
    for (size_t i = 0; i < metadata.chunk_bytes; i++)
        decoded[i] = value_of(version, array, chunk, i);
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    sgc_status status =
        sgc_array_write_chunk(repository, &metadata, decoded, 1, &encoded, &ref, error);
    if (status == SGC_OK)
        status = sgc_session_set_chunk(session, array_paths[array], at, &ref, error);
    sgc_buffer_free(&encoded);
    return status;
}

static sgc_status set_chunks(sgc_repository *repository, sgc_session *session, scenario_state state,
                             sgc_error *error)
{
    for (size_t a = 0; a < 2; a++)
        for (size_t c = 0; c < CHUNKS; c++)
            if (state == SCENARIO_BEFORE || version_of(state, c) != version_of(SCENARIO_BEFORE, c))
                SGC_TRY(set_chunk(repository, session, a, c, version_of(state, c), error));
    return SGC_OK;
}

/* Reads the whole array. */
static unsigned char *read_array(sgc_repository *repository, sgc_snapshot *snapshot,
                                 const char *path, size_t *size)
{
    sgc_array *array;
    assert_ok(sgc_array_open(repository, snapshot, path, &array, &err));
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    const uint64_t start[2] = {0};
    *size = (size_t)(metadata->shape[0] * metadata->shape[1]);
    unsigned char *pixels = malloc(*size);
    assert_non_null(pixels);
    assert_ok(sgc_array_read(array, start, metadata->shape, pixels, 1, &err));
    sgc_array_close(array);
    return pixels;
}

static bool array_is(const unsigned char *pixels, size_t array, scenario_state state)
{
    const size_t chunk_side = (size_t)metadata_of(array).chunk_shape[0], side = SIDE * chunk_side;
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++) {
            const size_t chunk = y / chunk_side * SIDE + x / chunk_side;
            const size_t byte = y % chunk_side * chunk_side + x % chunk_side;
            if (pixels[y * side + x] != value_of(version_of(state, chunk), array, chunk, byte))
                return false;
        }
    return true;
}

/* ---- creation ---- */

static scenario_state look_for_repository(sgc_repository *repository)
{
    (void)repository;
    return SCENARIO_AFTER;
}

/* ---- a commit of arrays ---- */

static sgc_status finish(sgc_session *session, sgc_status status, const char *message,
                         sgc_error *error)
{
    if (status == SGC_OK)
        status = sgc_session_commit(session, message, "{\"by\": \"test\", \"n\": 1}", NULL, error);
    sgc_session_free(session);
    return status;
}

static sgc_status commit_arrays(sgc_repository *repository, sgc_error *error)
{
    sgc_session *session;
    SGC_TRY(sgc_session_new(repository, "main", &session, error));
    return finish(session, put_nodes(session, error), "arrays", error);
}

static scenario_state look_for_arrays(sgc_repository *repository)
{
    sgc_snapshot *snapshot = load_tip(repository);
    const bool after = sgc_snapshot_get(snapshot)->node_count > 0;
    if (after) {
        assert_non_null(sgc_snapshot_find(snapshot, "/"));
        assert_non_null(sgc_snapshot_find(snapshot, "/g"));
        for (size_t a = 0; a < 2; a++) {
            size_t size;
            unsigned char *pixels = read_array(repository, snapshot, array_paths[a], &size);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(pixels[i], 0);
            free(pixels);
        }
    }
    sgc_snapshot_unref(snapshot);
    return after ? SCENARIO_AFTER : SCENARIO_BEFORE;
}

/* ---- a commit of chunks ---- */

static void prepare_chunks(sgc_repository *repository)
{
    sgc_session *session = new_session(repository);
    assert_ok(put_nodes(session, &err));
    assert_ok(set_chunks(repository, session, SCENARIO_BEFORE, &err));
    commit(session);
}

static sgc_status commit_chunks(sgc_repository *repository, sgc_error *error)
{
    sgc_session *session;
    SGC_TRY(sgc_session_new(repository, "main", &session, error));
    return finish(session, set_chunks(repository, session, SCENARIO_AFTER, error), "chunks", error);
}

static scenario_state look_for_chunks(sgc_repository *repository)
{
    scenario_state states[2];
    sgc_snapshot *snapshot = load_tip(repository);
    for (size_t a = 0; a < 2; a++) {
        size_t size;
        unsigned char *pixels = read_array(repository, snapshot, array_paths[a], &size);
        const bool before = array_is(pixels, a, SCENARIO_BEFORE);
        assert_true(before || array_is(pixels, a, SCENARIO_AFTER));
        states[a] = before ? SCENARIO_BEFORE : SCENARIO_AFTER;
        free(pixels);
    }
    assert_int_equal(states[0], states[1]);
    sgc_snapshot_unref(snapshot);
    return states[0];
}

/* ---- branches and tags ---- */

static const char branch_name[] = "other", tag_name[] = "release";

static scenario_state look_for_ref(sgc_repository *repository, sgc_ref_kind kind, const char *name)
{
    sgc_object_id id;
    const sgc_status status = sgc_repository_resolve(repository, kind, name, &id, &err);
    if (status == SGC_NOT_FOUND)
        return SCENARIO_BEFORE;
    assert_ok(status);
    sgc_snapshot *snapshot;
    assert_ok(sgc_repository_snapshot(repository, &id, &snapshot, &err));
    assert_string_equal(sgc_snapshot_get(snapshot)->message, "a commit");
    sgc_snapshot_unref(snapshot);
    return SCENARIO_AFTER;
}

static sgc_status create_ref(sgc_repository *repository, sgc_ref_kind kind, const char *name,
                             sgc_error *error)
{
    sgc_object_id tip;
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, error));
    return sgc_repository_create_ref(repository, kind, name, &tip, error);
}

static sgc_status create_branch(sgc_repository *repository, sgc_error *error)
{
    return create_ref(repository, SGC_REF_BRANCH, branch_name, error);
}

static scenario_state look_for_branch(sgc_repository *repository)
{
    return look_for_ref(repository, SGC_REF_BRANCH, branch_name);
}

static void prepare_branch(sgc_repository *repository)
{
    prepare_chunks(repository);
    assert_ok(create_branch(repository, &err));
}

static sgc_status delete_branch(sgc_repository *repository, sgc_error *error)
{
    return sgc_repository_delete_ref(repository, SGC_REF_BRANCH, branch_name, error);
}

static scenario_state look_for_no_branch(sgc_repository *repository)
{
    return look_for_branch(repository) == SCENARIO_BEFORE ? SCENARIO_AFTER : SCENARIO_BEFORE;
}

static sgc_status create_tag(sgc_repository *repository, sgc_error *error)
{
    return create_ref(repository, SGC_REF_TAG, tag_name, error);
}

static scenario_state look_for_tag(sgc_repository *repository)
{
    return look_for_ref(repository, SGC_REF_TAG, tag_name);
}

/* ---- all ---- */

int forget_blocks(void **state)
{
    (void)state;
    sgc_block_cache_set_size(0);
    return 0;
}

const store_scenario store_scenarios[] = {
    {"creation", &split_2_by_2, NULL, NULL, look_for_repository, false},
    {"commit of arrays", &split_2_by_2, NULL, commit_arrays, look_for_arrays, false},
    {"commit of chunks", &split_2_by_2, prepare_chunks, commit_chunks, look_for_chunks, false},
    {"creation, version 2", &version_2, NULL, NULL, look_for_repository, false},
    {"commit of chunks, version 2", &version_2, prepare_chunks, commit_chunks, look_for_chunks,
     false},
    {"branch, version 2", &version_2, prepare_chunks, create_branch, look_for_branch, false},
    {"branch", NULL, prepare_chunks, create_branch, look_for_branch, false},
    {"branch deleted", NULL, prepare_branch, delete_branch, look_for_no_branch, true},
    {"tag", NULL, prepare_chunks, create_tag, look_for_tag, false},
};
const size_t store_scenario_count = sizeof store_scenarios / sizeof *store_scenarios;
const store_scenario *const store_scenario_tag =
    &store_scenarios[sizeof store_scenarios / sizeof *store_scenarios - 1];

static sgc_status open_repository(const store_scenario *scenario, const scenario_place *place,
                                  bool create, sgc_repository **repository, sgc_error *error)
{
    sgc_object_store *store = place->open(place->user);
    if (store == NULL)
        return sgc_fail(error, SGC_NO_MEMORY, "no store");
    const sgc_status status = (create ? sgc_repository_create : sgc_repository_open)(
        store, scenario->options, repository, error);
    if (status != SGC_OK)
        sgc_object_store_free(store);
    return status;
}

void scenario_prepare(const store_scenario *scenario, const scenario_place *place)
{
    if (scenario->act == NULL)
        return;
    sgc_repository *repository;
    assert_ok(open_repository(scenario, place, true, &repository, &err));
    if (scenario->prepare != NULL)
        scenario->prepare(repository);
    sgc_repository_free(repository);
}

sgc_status scenario_act(const store_scenario *scenario, const scenario_place *place,
                        sgc_error *error)
{
    sgc_repository *repository;
    SGC_TRY(open_repository(scenario, place, scenario->act == NULL, &repository, error));
    const sgc_status status = scenario->act != NULL ? scenario->act(repository, error) : SGC_OK;
    sgc_repository_free(repository);
    return status;
}

void scenario_read_snapshot(sgc_repository *repository, sgc_snapshot *snapshot)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    for (size_t i = 0; i < data->manifest_file_count; i++) {
        sgc_manifest *manifest;
        assert_ok(sgc_repository_manifest(repository, data, &data->manifest_files[i].id, &manifest,
                                          &err));
        sgc_manifest_unref(manifest);
    }
    for (size_t i = 0; i < data->node_count; i++)
        if (data->nodes[i].is_array) {
            size_t size;
            free(read_array(repository, snapshot, data->nodes[i].path, &size));
        }
}

static sgc_status read_commit(void *user, const sgc_commit_info *commit, bool *more,
                              sgc_error *error)
{
    (void)more;
    sgc_repository *repository = user;
    sgc_snapshot *snapshot;
    sgc_arena arena = {0};
    sgc_transaction_log log;
    SGC_TRY(sgc_repository_snapshot(repository, &commit->id, &snapshot, error));
    scenario_read_snapshot(repository, snapshot);
    sgc_snapshot_unref(snapshot);
    if (commit->has_parent)
        assert_ok(sgc_transaction_log_load(sgc_repository_store(repository), &commit->id, &arena,
                                           &log, &err));
    sgc_arena_free(&arena);
    return SGC_OK;
}

/* Reads the snapshot `id` and its ancestors. */
static void read_history(sgc_repository *repository, sgc_object_id id)
{
    assert_ok(sgc_repository_history(repository, &id, read_commit, repository, &err));
}

static void read_all_refs(sgc_repository *repository)
{
    static const struct {
        sgc_ref_kind kind;
        const char *name;
    } refs[] = {{SGC_REF_BRANCH, "main"}, {SGC_REF_BRANCH, branch_name}, {SGC_REF_TAG, tag_name}};
    for (size_t i = 0; i < 3; i++) {
        sgc_object_id id;
        const sgc_status status =
            sgc_repository_resolve(repository, refs[i].kind, refs[i].name, &id, &err);
        if (i > 0 && status == SGC_NOT_FOUND)
            continue;
        assert_ok(status);
        read_history(repository, id);
    }
}

scenario_state scenario_look(const store_scenario *scenario, const scenario_place *place)
{
    sgc_repository *repository;
    const sgc_status status = open_repository(scenario, place, false, &repository, &err);
    if (scenario->act == NULL && status == SGC_NOT_FOUND)
        return SCENARIO_BEFORE;
    assert_ok(status);
    read_all_refs(repository);
    const scenario_state state = scenario->look(repository);
    sgc_repository_free(repository);
    return state;
}

static void commit_further(const store_scenario *scenario, const scenario_place *place)
{
    sgc_repository *repository;
    assert_ok(open_repository(scenario, place, false, &repository, &err));
    sgc_session *session = new_session(repository);
    assert_ok(sgc_session_put_group(session, "/", group_json, strlen(group_json), &err));
    assert_ok(sgc_session_put_group(session, "/further", group_json, strlen(group_json), &err));
    commit(session);
    sgc_repository_free(repository);
}

scenario_state scenario_check(const store_scenario *scenario, const scenario_place *place)
{
    const scenario_state state = scenario_look(scenario, place);
    if (state == SCENARIO_BEFORE) {
        assert_ok(scenario_act(scenario, place, &err));
        assert_int_equal(scenario_look(scenario, place), SCENARIO_AFTER);
    }
    commit_further(scenario, place);
    assert_int_equal(scenario_look(scenario, place), SCENARIO_AFTER);
    return state;
}

/* ---- reading without assertions ---- */

static void add_to_digest(uint64_t *digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *digest = (*digest ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
}

static sgc_status read_in_two(const sgc_array *array, uint64_t *digest, sgc_error *error)
{
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    const uint64_t half = metadata->shape[0] / 2;
    const size_t size = (size_t)(half * metadata->shape[1]);
    unsigned char *pixels = malloc(size);
    if (pixels == NULL)
        return sgc_fail_memory(error, size, "pixels");
    sgc_status status = SGC_OK;
    for (uint64_t y = 0; status == SGC_OK && y < metadata->shape[0]; y += half) {
        status = sgc_array_read(array, (uint64_t[]){y, 0}, (uint64_t[]){half, metadata->shape[1]},
                                pixels, 1, error);
        add_to_digest(digest, pixels, size);
    }
    free(pixels);
    return status;
}

static sgc_status read_array_again(sgc_repository *repository, sgc_snapshot *snapshot,
                                   const char *path, uint64_t *digest, sgc_error *error)
{
    static const uint32_t at[] = {1, 1};
    sgc_array *array;
    bool stored = false;
    SGC_TRY(sgc_array_open(repository, snapshot, path, &array, error));
    sgc_status status = sgc_array_has_chunk(array, at, &stored, error);
    add_to_digest(digest, &stored, sizeof stored);
    if (status == SGC_OK)
        status = read_in_two(array, digest, error);
    sgc_array_close(array);
    return status;
}

static sgc_status use_snapshot(sgc_repository *repository, sgc_object_id *id, bool *more,
                               uint64_t *digest, sgc_error *error)
{
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(repository, id, &snapshot, error));
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < data->node_count; i++)
        if (data->nodes[i].is_array)
            status = read_array_again(repository, snapshot, data->nodes[i].path, digest, error);
    add_to_digest(digest, id, sizeof *id);
    *more = data->has_parent;
    *id = data->parent;
    sgc_snapshot_unref(snapshot);
    return status;
}

static sgc_status add_key(void *user, const char *key, const sgc_object_info *info,
                          sgc_error *error)
{
    (void)error;
    add_to_digest(user, key, strlen(key));
    add_to_digest(user, &info->size, sizeof info->size);
    return SGC_OK;
}

sgc_status scenario_read_all(sgc_repository *repository, uint64_t *digest, sgc_error *error)
{
    sgc_object_store *store = sgc_repository_store(repository);
    sgc_object_id id;
    *digest = 0;
    SGC_TRY(store->list(store, "refs/", add_key, digest, error));
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_TAG, tag_name, &id, error));
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &id, error));
    for (bool more = true; more;)
        SGC_TRY(use_snapshot(repository, &id, &more, digest, error));
    return SGC_OK;
}
