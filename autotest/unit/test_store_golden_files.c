/* The files of the golden repositories, one by one: what they say, and that they can be written
 * again. */
#include "autotest/unit/codec_testing.h"
#include "autotest/unit/golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/icechunk/envelope.h"

/* ---- reading ---- */

static sgc_buffer read_payload(const char *path, sgc_file_kind kind, int *spec_version)
{
    enum { MOST = 1 << 20 };
    sgc_buffer payload = {0};
    unsigned char *data = malloc(MOST);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        print_error("%s cannot be opened\n", path);
    assert_non_null(file);
    const size_t size = fread(data, 1, MOST, file);
    fclose(file);
    assert_ok(sgc_envelope_unwrap(kind, data, size, spec_version, &payload, &err));
    free(data);
    return payload;
}

/* A decoded file; free the arena. */
typedef struct decoded_file {
    sgc_arena arena;
    union {
        sgc_snapshot_data snapshot;
        sgc_manifest_data manifest;
        sgc_transaction_log log;
        sgc_repo_info_data repo;
    };
} decoded_file;

static void decode(const sgc_buffer *payload, sgc_file_kind kind, decoded_file *file)
{
    const void *data = payload->data;
    const size_t size = payload->size;
    *file = (decoded_file){0};
    if (kind == SGC_FILE_SNAPSHOT)
        assert_ok(sgc_snapshot_decode(data, size, &file->arena, &file->snapshot, &err));
    else if (kind == SGC_FILE_MANIFEST)
        assert_ok(sgc_manifest_decode(data, size, &file->arena, &file->manifest, &err));
    else if (kind == SGC_FILE_TRANSACTION_LOG)
        assert_ok(sgc_transaction_log_decode(data, size, &file->arena, &file->log, &err));
    else
        assert_ok(sgc_repo_info_decode(data, size, &file->arena, &file->repo, &err));
}

static int read_file(const char *path, sgc_file_kind kind, decoded_file *file)
{
    int spec_version;
    sgc_buffer payload = read_payload(path, kind, &spec_version);
    decode(&payload, kind, file);
    sgc_buffer_free(&payload);
    return spec_version;
}

/* `path` has room for it. */
enum { LONGEST_PATH = 2048 };
static void file_path(char *path, const char *repository, const char *folder, const char *name)
{
    snprintf(path, LONGEST_PATH, "%s/%s/%s/%s", golden_directory(), repository, folder, name);
}

static const cJSON *repositories(void)
{
    return member(golden_expected(), "repositories");
}

/* ---- each file can be written again ---- */

static sgc_buffer encode(decoded_file *file, sgc_file_kind kind, int spec_version)
{
    sgc_buffer payload = {0};
    if (kind == SGC_FILE_SNAPSHOT) {
        file->snapshot.spec_version = spec_version;
        assert_ok(sgc_snapshot_encode(&file->snapshot, &payload, &err));
    } else if (kind == SGC_FILE_MANIFEST) {
        file->manifest.spec_version = spec_version;
        assert_ok(sgc_manifest_encode(&file->manifest, &payload, &err));
    } else if (kind == SGC_FILE_TRANSACTION_LOG) {
        file->log.spec_version = spec_version;
        assert_ok(sgc_transaction_log_encode(&file->log, &payload, &err));
    } else {
        assert_ok(sgc_repo_info_encode(&file->repo, &payload, &err));
    }
    return payload;
}

static void assert_same(const decoded_file *a, const decoded_file *b, sgc_file_kind kind)
{
    if (kind == SGC_FILE_SNAPSHOT)
        assert_same_snapshot(&a->snapshot, &b->snapshot);
    else if (kind == SGC_FILE_MANIFEST)
        assert_same_manifest(&a->manifest, &b->manifest);
    else if (kind == SGC_FILE_TRANSACTION_LOG)
        assert_same_log(&a->log, &b->log);
    else
        assert_same_repo_info(&a->repo, &b->repo);
}

/* Those the official library writes in files of that version. */
static const char *slots_of(const decoded_file *file, sgc_file_kind kind, int spec_version)
{
    if (kind == SGC_FILE_SNAPSHOT && spec_version == 1)
        return file->snapshot.has_parent ? "0 1 2 3 4 5 6" : "0 2 3 4 5 6";
    if (kind == SGC_FILE_SNAPSHOT)
        return "0 2 3 4 5 6 7";
    if (kind == SGC_FILE_MANIFEST)
        return spec_version == 1 ? "0 1" : "0 1 3";
    if (kind == SGC_FILE_TRANSACTION_LOG)
        return spec_version == 1 ? "0 1 2 3 4 5 6 7" : "0 1 2 3 4 5 6 7 8";
    return file->repo.config.data != NULL ? "0 1 2 3 4 5 6 7 9" : "0 1 2 3 4 5 6 7";
}

static void check_comes_back(const char *path, sgc_file_kind kind)
{
    decoded_file file, again;
    int spec_version;
    sgc_buffer original = read_payload(path, kind, &spec_version);
    decode(&original, kind, &file);
    sgc_buffer payload = encode(&file, kind, spec_version);
    decode(&payload, kind, &again);
    assert_same(&file, &again, kind);
    assert_slots(flat_root(&payload), slots_of(&file, kind, spec_version));
    if (spec_version == 2) /* 2.x writes its slots in files of spec 1, too */
        assert_slots(flat_root(&original), slots_of(&file, kind, spec_version));
    sgc_buffer_free(&original);
    sgc_buffer_free(&payload);
    sgc_arena_free(&file.arena);
    sgc_arena_free(&again.arena);
}

/* Checks all files of a folder, which has `expected`. */
static void check_folder(const char *repository, const char *folder, sgc_file_kind kind,
                         int expected)
{
    char path[LONGEST_PATH];
    file_path(path, repository, folder, "");
    DIR *directory = opendir(path);
    assert_non_null(directory);
    int count = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (entry->d_name[0] == '.')
            continue;
        file_path(path, repository, folder, entry->d_name);
        check_comes_back(path, kind);
        count++;
    }
    closedir(directory);
    assert_int_equal(count, expected);
}

static void test_snapshots_come_back(void **state)
{
    (void)state;
    const cJSON *repository;
    cJSON_ArrayForEach(repository, repositories())
        check_folder(repository->string, "snapshots", SGC_FILE_SNAPSHOT,
                     cJSON_GetArraySize(member(repository, "snapshots")));
}

static void test_manifests_come_back(void **state)
{
    (void)state;
    const cJSON *repository;
    cJSON_ArrayForEach(repository, repositories())
        check_folder(repository->string, "manifests", SGC_FILE_MANIFEST,
                     member(repository, "num_manifest_files_on_disk")->valueint);
}

static void test_transaction_logs_come_back(void **state)
{
    (void)state;
    const cJSON *repository, *snapshot;
    cJSON_ArrayForEach(repository, repositories())
    {
        int expected =
            cJSON_GetArraySize(member(repository, "transaction_files_without_snapshot_file"));
        cJSON_ArrayForEach(snapshot, member(repository, "snapshots")) expected +=
            cJSON_IsObject(member(snapshot, "transaction_log"));
        check_folder(repository->string, "transactions", SGC_FILE_TRANSACTION_LOG, expected);
    }
}

static void test_repo_infos_come_back(void **state)
{
    (void)state;
    int count = 0, with_backups = 0;
    const cJSON *repository;
    cJSON_ArrayForEach(repository, repositories())
    {
        if (strcmp(member(repository, "layout")->valuestring, "v2") != 0)
            continue;
        char path[LONGEST_PATH];
        file_path(path, repository->string, ".", "repo");
        check_comes_back(path, SGC_FILE_REPO_INFO);
        count++;
        const cJSON *backups = member(repository, "overwritten");
        if (backups == NULL)
            continue;
        check_folder(repository->string, "overwritten", SGC_FILE_REPO_INFO,
                     cJSON_GetArraySize(backups));
        with_backups++;
    }
    assert_int_equal(count, 4);
    assert_int_equal(with_backups, 3);
}

/* ---- snapshots ---- */

static void check_manifest_files(const sgc_snapshot_data *data, const cJSON *list)
{
    assert_int_equal(data->manifest_file_count, cJSON_GetArraySize(list));
    size_t i = 0;
    const cJSON *file;
    cJSON_ArrayForEach(file, list)
    {
        const sgc_manifest_file *found = &data->manifest_files[i++];
        assert_id(&found->id, member(file, "id")->valuestring);
        assert_int_equal(found->size_bytes, member(file, "size_bytes")->valueint);
        assert_int_equal(found->num_chunk_refs, member(file, "num_chunk_refs")->valueint);
    }
}

static void check_metadata_names(const sgc_metadata_item *items, size_t count,
                                 const cJSON *expected)
{
    assert_int_equal(count, cJSON_GetArraySize(expected));
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, expected) assert_string_equal(items[i++].name, item->string);
}

static void check_snapshot(const char *repository, const cJSON *expected)
{
    char path[LONGEST_PATH];
    decoded_file file;
    file_path(path, repository, "snapshots", expected->string);
    assert_int_equal(read_file(path, SGC_FILE_SNAPSHOT, &file),
                     member(expected, "file_header_spec")->valueint);
    const sgc_snapshot_data *data = &file.snapshot;
    const cJSON *parent = member(expected, "parent_in_snapshot_file");
    assert_id(&data->id, expected->string);
    assert_string_equal(data->message, member(expected, "message")->valuestring);
    assert_true((double)data->flushed_at == member(expected, "flushed_at_us")->valuedouble);
    assert_int_equal(data->has_parent, cJSON_IsString(parent));
    if (data->has_parent)
        assert_id(&data->parent, parent->valuestring);
    assert_int_equal(data->node_count, member(expected, "num_nodes")->valueint);
    check_metadata_names(data->metadata, data->metadata_count, member(expected, "metadata"));
    check_manifest_files(data, member(expected, "manifest_files"));
    sgc_arena_free(&file.arena);
}

static void test_snapshots(void **state)
{
    (void)state;
    const cJSON *repository, *snapshot;
    cJSON_ArrayForEach(repository, repositories())
        cJSON_ArrayForEach(snapshot, member(repository, "snapshots"))
            check_snapshot(repository->string, snapshot);
}

static void check_shape(const sgc_node *node, const cJSON *expected)
{
    const cJSON *entry, *manifest;
    size_t d = 0, m = 0;
    assert_int_equal(node->dimension_count, cJSON_GetArraySize(member(expected, "shape_entries")));
    cJSON_ArrayForEach(entry, member(expected, "shape_entries"))
    {
        const sgc_dimension *dimension = &node->dimensions[d++];
        const cJSON *chunks = member(entry, "num_chunks");
        assert_int_equal(dimension->array_length, member(entry, "array_length")->valueint);
        if (chunks != NULL)
            assert_int_equal(dimension->num_chunks, chunks->valueint);
        else
            assert_int_equal(dimension->chunk_length, member(entry, "chunk_length")->valueint);
    }
    assert_int_equal(node->manifest_count, cJSON_GetArraySize(member(expected, "manifests")));
    cJSON_ArrayForEach(manifest, member(expected, "manifests"))
    {
        const sgc_manifest_ref *ref = &node->manifests[m++];
        assert_id(&ref->id, member(manifest, "id")->valuestring);
        d = 0;
        cJSON_ArrayForEach(entry, member(manifest, "extents"))
        {
            assert_int_equal(ref->extents[d].from, cJSON_GetArrayItem(entry, 0)->valueint);
            assert_int_equal(ref->extents[d++].to, cJSON_GetArrayItem(entry, 1)->valueint);
        }
        assert_int_equal(d, node->dimension_count);
    }
}

static int check_nodes(const char *repository, const cJSON *tip)
{
    char path[LONGEST_PATH];
    decoded_file file;
    int arrays = 0;
    size_t i = 0;
    const cJSON *expected;
    file_path(path, repository, "snapshots", member(tip, "snapshot")->valuestring);
    read_file(path, SGC_FILE_SNAPSHOT, &file);
    assert_int_equal(file.snapshot.node_count, cJSON_GetArraySize(member(tip, "nodes")));
    cJSON_ArrayForEach(expected, member(tip, "nodes"))
    {
        const sgc_node *node = &file.snapshot.nodes[i++];
        assert_string_equal(node->path, member(expected, "path")->valuestring);
        assert_int_equal(node->user_data_size, member(expected, "user_data_len")->valueint);
        assert_int_equal(node->is_array,
                         strcmp(member(expected, "kind")->valuestring, "array") == 0);
        if (node->is_array) {
            check_shape(node, expected);
            arrays++;
        }
    }
    sgc_arena_free(&file.arena);
    return arrays;
}

static void test_nodes(void **state)
{
    (void)state;
    int arrays = 0;
    const cJSON *repository, *tip;
    cJSON_ArrayForEach(repository, repositories())
        cJSON_ArrayForEach(tip, member(repository, "branch_tips")) arrays +=
        check_nodes(repository->string, tip);
    assert_true(arrays > 0);
}

/* ---- transaction logs ---- */

static void check_ids(const sgc_node_ids *ids, const cJSON *expected)
{
    assert_int_equal(ids->count, cJSON_GetArraySize(expected));
    size_t i = 0;
    const cJSON *id;
    cJSON_ArrayForEach(id, expected) assert_node_id(&ids->ids[i++], id->valuestring);
}

/* Gives the number of chunks. */
static size_t check_updated_chunks(const sgc_updated_chunks *updated, const cJSON *expected)
{
    const cJSON *chunk, *coordinate;
    const uint32_t *next = updated->coordinates;
    assert_node_id(&updated->node, expected->string);
    assert_int_equal(updated->count, cJSON_GetArraySize(expected));
    cJSON_ArrayForEach(chunk, expected)
    {
        assert_int_equal(updated->dimension_count, cJSON_GetArraySize(chunk));
        cJSON_ArrayForEach(coordinate, chunk) assert_int_equal(*next++, coordinate->valueint);
    }
    return updated->count;
}

static size_t check_log(const char *repository, const char *id, const cJSON *expected)
{
    char path[LONGEST_PATH];
    decoded_file file;
    file_path(path, repository, "transactions", id);
    read_file(path, SGC_FILE_TRANSACTION_LOG, &file);
    const sgc_transaction_log *log = &file.log;
    assert_id(&log->id, id);
    check_ids(&log->new_groups, member(expected, "new_groups"));
    check_ids(&log->new_arrays, member(expected, "new_arrays"));
    check_ids(&log->deleted_groups, member(expected, "deleted_groups"));
    check_ids(&log->deleted_arrays, member(expected, "deleted_arrays"));
    check_ids(&log->updated_arrays, member(expected, "updated_arrays"));
    check_ids(&log->updated_groups, member(expected, "updated_groups"));
    size_t i = 0, chunks = 0;
    const cJSON *updated, *list = member(expected, "updated_chunks");
    assert_int_equal(log->updated_chunk_count, cJSON_GetArraySize(list));
    cJSON_ArrayForEach(updated, list) chunks +=
        check_updated_chunks(&log->updated_chunks[i++], updated);
    assert_int_equal(log->moved_node_count, cJSON_GetArraySize(member(expected, "moved_nodes")));
    sgc_arena_free(&file.arena);
    return chunks;
}

static void test_transaction_logs(void **state)
{
    (void)state;
    size_t chunks = 0;
    const cJSON *repository, *snapshot;
    cJSON_ArrayForEach(repository, repositories())
    {
        cJSON_ArrayForEach(snapshot, member(repository, "snapshots"))
        {
            const cJSON *log = member(snapshot, "transaction_log");
            if (cJSON_IsObject(log))
                chunks += check_log(repository->string, snapshot->string, log);
        }
    }
    assert_true(chunks > 0);
}

/* ---- repo infos ---- */

/* Calls `check` with each repository of spec 2 and its repo info. */
static void for_each_repo_info(void (*check)(const sgc_repo_info_data *info,
                                             const cJSON *repository))
{
    int count = 0;
    const cJSON *repository;
    cJSON_ArrayForEach(repository, repositories())
    {
        if (strcmp(member(repository, "layout")->valuestring, "v2") != 0)
            continue;
        char path[LONGEST_PATH];
        decoded_file file;
        file_path(path, repository->string, ".", "repo");
        assert_int_equal(read_file(path, SGC_FILE_REPO_INFO, &file), 2);
        check(&file.repo, repository);
        sgc_arena_free(&file.arena);
        count++;
    }
    assert_int_equal(count, 4);
}

static void check_refs(const sgc_repo_info_data *info, const sgc_named_snapshot *refs, size_t count,
                       const cJSON *expected)
{
    assert_int_equal(count, cJSON_GetArraySize(expected));
    for (size_t i = 0; i < count; i++) {
        const cJSON *id = member(expected, refs[i].name);
        assert_non_null(id);
        assert_id(&info->snapshots[refs[i].snapshot].id, id->valuestring);
    }
}

static void check_names(const sgc_repo_info_data *info, const cJSON *repository)
{
    check_refs(info, info->branches, info->branch_count, member(repository, "branches"));
    check_refs(info, info->tags, info->tag_count, member(repository, "tags"));
    size_t i = 0;
    const cJSON *name, *deleted = member(repository, "deleted_tags");
    assert_int_equal(info->deleted_tag_count, cJSON_GetArraySize(deleted));
    cJSON_ArrayForEach(name, deleted)
        assert_string_equal(info->deleted_tags[i++], name->valuestring);
}

static void test_branches_and_tags(void **state)
{
    (void)state;
    for_each_repo_info(check_names);
}

/* What the repo info says of a snapshot is what the snapshot itself says. */
static void check_entry(const sgc_snapshot_entry *entry, const char *repository,
                        const cJSON *expected)
{
    char path[LONGEST_PATH];
    decoded_file file;
    file_path(path, repository, "snapshots", expected->string);
    const int spec_version = read_file(path, SGC_FILE_SNAPSHOT, &file);
    assert_string_equal(entry->message, file.snapshot.message);
    assert_int_equal(entry->flushed_at, file.snapshot.flushed_at);
    assert_true(entry->has_metadata);
    check_metadata_names(entry->metadata, entry->metadata_count, member(expected, "metadata"));
    for (size_t i = 0; spec_version == 2 && i < entry->metadata_count; i++)
        assert_same_bytes(
            (sgc_bytes){entry->metadata[i].value, entry->metadata[i].value_size},
            (sgc_bytes){file.snapshot.metadata[i].value, file.snapshot.metadata[i].value_size});
    assert_true(cJSON_IsNull(member(expected, "pruned_ancestor_tx_logs")));
    assert_int_equal(entry->pruned_log_count, 0);
    sgc_arena_free(&file.arena);
}

static void check_entries(const sgc_repo_info_data *info, const cJSON *repository)
{
    const cJSON *expected = member(repository, "repo_info"), *id;
    const cJSON *parents = member(expected, "parent_offsets");
    int i = 0;
    assert_int_equal(info->snapshot_count, cJSON_GetArraySize(member(expected, "snapshot_order")));
    cJSON_ArrayForEach(id, member(expected, "snapshot_order"))
    {
        const sgc_snapshot_entry *entry = &info->snapshots[i];
        assert_id(&entry->id, id->valuestring);
        assert_int_equal(entry->parent, cJSON_GetArrayItem(parents, i)->valueint);
        check_entry(entry, repository->string,
                    member(member(repository, "snapshots"), id->valuestring));
        i++;
    }
}

static void test_snapshot_entries(void **state)
{
    (void)state;
    for_each_repo_info(check_entries);
}

/* Of a text like 2026-06-10T16:42:06.301795+00:00. */
static uint64_t microseconds(const char *text)
{
    struct tm t = {0};
    char fraction[8] = "";
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S.", &t);
    assert_non_null(rest);
    memcpy(fraction, rest, 6);
    return (uint64_t)timegm(&t) * 1000000 + strtoul(fraction, NULL, 10);
}

static void check_text(const char *text, const cJSON *expected)
{
    assert_int_equal(text != NULL, cJSON_IsString(expected));
    if (text != NULL)
        assert_string_equal(text, expected->valuestring);
}

static void check_rest(const sgc_repo_info_data *info, const cJSON *repository)
{
    const cJSON *expected = member(repository, "repo_info"), *status = member(expected, "status");
    assert_int_equal(info->spec_version, member(expected, "spec_version")->valueint);
    assert_int_equal(info->status.availability, member(status, "availability")->valueint);
    assert_int_equal(info->status.set_at, microseconds(member(status, "set_at")->valuestring));
    check_text(info->status.reason, member(status, "reason"));
    assert_true(info->has_metadata);
    check_metadata_names(info->metadata, info->metadata_count, member(expected, "metadata"));
    assert_int_equal(info->config.size > 0, cJSON_IsTrue(member(expected, "config_present")));
    assert_int_equal(info->has_enabled_flags,
                     !cJSON_IsNull(member(expected, "enabled_feature_flags")));
    assert_int_equal(info->has_disabled_flags,
                     !cJSON_IsNull(member(expected, "disabled_feature_flags")));
    check_text(info->previous_file, member(expected, "repo_before_updates"));
    assert_null(info->extra.data);
    assert_false(info->has_unknown_fields);
}

static void test_status_config_and_flags(void **state)
{
    (void)state;
    for_each_repo_info(check_rest);
}

static void check_operation(const sgc_operation *op, const cJSON *expected)
{
    static const char *const kinds[] = {
        "",
        "RepoInitialized",
        "RepoMigrated",
        "ConfigChanged",
        "",
        "TagCreated",
        "TagDeleted",
        "BranchCreated",
        "",
        "",
        "NewCommit",
        "",
        "",
        "GCRan",
        "ExpirationRan",
        "",
        "",
    };
    static const sgc_object_id no_id;
    const cJSON *name = member(expected, "name"), *branch = member(expected, "branch");
    const cJSON *from = member(expected, "from"), *to = member(expected, "to");
    const cJSON *previous = member(expected, "previous"), *new = member(expected, "new");
    assert_string_equal(kinds[op->kind], member(expected, "type")->valuestring);
    assert_true((double)op->time == member(expected, "updated_at_us")->valuedouble);
    check_text(op->backup, member(expected, "backup_path"));
    check_text(op->name, name != NULL ? name : branch);
    assert_int_equal(op->from_version, from != NULL ? from->valueint : 0);
    assert_int_equal(op->to_version, to != NULL ? to->valueint : 0);
    if (previous != NULL)
        assert_id(&op->previous, previous->valuestring);
    else
        assert_memory_equal(&op->previous, &no_id, sizeof no_id);
    if (new != NULL)
        assert_id(&op->snapshot, new->valuestring);
    else
        assert_memory_equal(&op->snapshot, &no_id, sizeof no_id);
}

static void check_operations(const sgc_repo_info_data *info, const cJSON *repository)
{
    const cJSON *list = member(member(repository, "repo_info"), "latest_updates"), *operation;
    size_t i = 0;
    assert_int_equal(info->operation_count, cJSON_GetArraySize(list));
    cJSON_ArrayForEach(operation, list) check_operation(&info->operations[i++], operation);
}

static void test_operations(void **state)
{
    (void)state;
    for_each_repo_info(check_operations);
}

/* The backup of operation `first` is the file in which it was the newest (format guide 8.2). */
static void check_backup(const sgc_repo_info_data *info, size_t first, const char *repository)
{
    char path[LONGEST_PATH];
    decoded_file file;
    file_path(path, repository, "overwritten", info->operations[first].backup);
    read_file(path, SGC_FILE_REPO_INFO, &file);
    assert_int_equal(file.repo.operation_count, info->operation_count - first);
    for (size_t i = 0; i < file.repo.operation_count; i++) {
        const sgc_operation *op = &file.repo.operations[i], *same = &info->operations[first + i];
        assert_int_equal(op->kind, same->kind);
        assert_int_equal(op->time, same->time);
        if (i == 0)
            assert_null(op->backup);
        else
            assert_string_equal(op->backup, same->backup);
    }
    sgc_arena_free(&file.arena);
}

static void check_backups(const sgc_repo_info_data *info, const cJSON *repository)
{
    int count = 0;
    for (size_t i = 0; i < info->operation_count; i++)
        if (info->operations[i].backup != NULL) {
            check_backup(info, i, repository->string);
            count++;
        }
    assert_int_equal(count, cJSON_GetArraySize(member(repository, "overwritten")));
}

static void test_backups(void **state)
{
    (void)state;
    for_each_repo_info(check_backups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_come_back),
        cmocka_unit_test(test_manifests_come_back),
        cmocka_unit_test(test_transaction_logs_come_back),
        cmocka_unit_test(test_repo_infos_come_back),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_transaction_logs),
        cmocka_unit_test(test_branches_and_tags),
        cmocka_unit_test(test_snapshot_entries),
        cmocka_unit_test(test_status_config_and_flags),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_backups),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
