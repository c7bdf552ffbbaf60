/* What a correct reader finds in the golden repositories. */
#include "autotest/unit/golden.h"
#include "autotest/unit/store_testing.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sgc_status open_golden(const char *name, sgc_repository **repository)
{
    char path[2048];
    sgc_object_store *store;
    snprintf(path, sizeof path, "%s/%s", golden_directory(), name);
    assert_ok(sgc_object_store_local_new(path, NULL, &store, &err));
    const sgc_status status = sgc_repository_open(store, NULL, repository, &err);
    if (status != SGC_OK)
        sgc_object_store_free(store);
    return status;
}

/* Calls `check` with each repository. */
static void for_each(void (*check)(sgc_repository *repository, const cJSON *expectation))
{
    int count = 0;
    const cJSON *expectation;
    cJSON_ArrayForEach(expectation, member(golden_expected(), "repositories"))
    {
        sgc_repository *repository;
        assert_ok(open_golden(expectation->string, &repository));
        check(repository, expectation);
        sgc_repository_free(repository);
        count++;
    }
    assert_int_equal(count, 9);
}

static sgc_object_id parse_id(const char *text)
{
    sgc_object_id id;
    assert_ok(sgc_object_id_parse(text, strlen(text), &id, &err));
    return id;
}

/* ---- versions, branches and tags ---- */

static void check_version(sgc_repository *repository, const cJSON *expectation)
{
    const int version = strcmp(member(expectation, "layout")->valuestring, "v1") == 0 ? 1 : 2;
    assert_int_equal(sgc_repository_spec_version(repository), version);
}

static void test_versions(void **state)
{
    (void)state;
    for_each(check_version);
}

/* EXPECTED.json has them by name. */
static void check_refs(sgc_repository *repository, sgc_ref_kind kind, const sgc_ref *refs,
                       size_t count, const cJSON *expected)
{
    size_t i = 0;
    const cJSON *ref;
    assert_int_equal(count, cJSON_GetArraySize(expected));
    cJSON_ArrayForEach(ref, expected)
    {
        sgc_object_id id;
        assert_string_equal(refs[i].name, ref->string);
        assert_id(&refs[i].snapshot, ref->valuestring);
        assert_ok(sgc_repository_resolve(repository, kind, ref->string, &id, &err));
        assert_id(&id, ref->valuestring);
        i++;
    }
}

static void check_deleted_tags(sgc_repository *repository, const sgc_ref *tags, size_t count,
                               const cJSON *expected)
{
    size_t i = 0;
    const cJSON *name;
    assert_int_equal(count, cJSON_GetArraySize(expected));
    cJSON_ArrayForEach(name, expected)
    {
        sgc_object_id id;
        assert_string_equal(tags[i++].name, name->valuestring);
        assert_status(SGC_NOT_FOUND, sgc_repository_resolve(repository, SGC_REF_TAG,
                                                            name->valuestring, &id, &err));
        assert_message(name->valuestring);
    }
}

static void check_names(sgc_repository *repository, const cJSON *expectation)
{
    sgc_ref_names names;
    assert_ok(sgc_repository_list_refs(repository, &names, &err));
    check_refs(repository, SGC_REF_BRANCH, names.branches, names.branch_count,
               member(expectation, "branches"));
    check_refs(repository, SGC_REF_TAG, names.tags, names.tag_count, member(expectation, "tags"));
    check_deleted_tags(repository, names.deleted_tags, names.deleted_tag_count,
                       member(expectation, "deleted_tags"));
    sgc_ref_names_clear(&names);
}

static void test_branches_and_tags(void **state)
{
    (void)state;
    for_each(check_names);
}

static sgc_status check_step(void *user, const sgc_commit_info *commit, bool *more,
                             sgc_error *error)
{
    (void)more;
    (void)error;
    const cJSON **step = user;
    assert_non_null(*step);
    assert_id(&commit->id, (*step)->valuestring);
    *step = (*step)->next;
    assert_int_equal(commit->has_parent, *step != NULL);
    if (*step != NULL)
        assert_id(&commit->parent, (*step)->valuestring);
    return SGC_OK;
}

static void check_ancestry(sgc_repository *repository, const cJSON *expectation)
{
    const cJSON *branch;
    cJSON_ArrayForEach(branch, member(expectation, "ancestry_of_branches"))
    {
        const cJSON *step = branch->child;
        const sgc_object_id tip = parse_id(step->valuestring);
        assert_ok(sgc_repository_history(repository, &tip, check_step, &step, &err));
        assert_null(step);
    }
}

static void test_ancestry(void **state)
{
    (void)state;
    for_each(check_ancestry);
}

/* ---- snapshots ---- */

static void for_each_snapshot(sgc_repository *repository, const cJSON *expectation,
                              void (*check)(sgc_repository *repository,
                                            const sgc_snapshot_data *data, const cJSON *expected))
{
    const cJSON *item;
    cJSON_ArrayForEach(item, member(expectation, "snapshots"))
    {
        const sgc_object_id id = parse_id(item->string);
        sgc_snapshot *snapshot;
        assert_ok(sgc_repository_snapshot(repository, &id, &snapshot, &err));
        check(repository, sgc_snapshot_get(snapshot), item);
        sgc_snapshot_unref(snapshot);
    }
}

/* An id, or null. */
static void assert_parent(bool has_parent, const sgc_object_id *parent, const cJSON *expected)
{
    assert_int_equal(has_parent, cJSON_IsString(expected));
    if (has_parent)
        assert_id(parent, expected->valuestring);
}

static void check_file(sgc_repository *repository, const sgc_snapshot_data *data,
                       const cJSON *expected)
{
    (void)repository;
    assert_id(&data->id, expected->string);
    assert_int_equal(data->spec_version, member(expected, "file_header_spec")->valueint);
    assert_string_equal(data->message, member(expected, "message")->valuestring);
    assert_true((double)data->flushed_at == member(expected, "flushed_at_us")->valuedouble);
    assert_int_equal(data->node_count, member(expected, "num_nodes")->valueint);
    assert_int_equal(data->metadata_count, cJSON_GetArraySize(member(expected, "metadata")));
    assert_parent(data->has_parent, &data->parent, member(expected, "parent_in_snapshot_file"));
}

static void check_files(sgc_repository *repository, const cJSON *expectation)
{
    for_each_snapshot(repository, expectation, check_file);
}

static void test_snapshots(void **state)
{
    (void)state;
    for_each(check_files);
}

static sgc_status check_commit(void *user, const sgc_commit_info *commit, bool *more,
                               sgc_error *error)
{
    (void)error;
    const cJSON *expected = user, *log = member(expected, "pruned_ancestor_tx_logs");
    sgc_buffer json = {0};
    *more = false;
    assert_id(&commit->id, expected->string);
    assert_string_equal(commit->message, member(expected, "message")->valuestring);
    assert_true((double)commit->time == member(expected, "flushed_at_us")->valuedouble);
    assert_parent(commit->has_parent, &commit->parent, member(expected, "parent"));
    assert_int_equal(commit->pruned_log_count, cJSON_IsArray(log) ? cJSON_GetArraySize(log) : 0);
    assert_ok(sgc_commit_print_metadata(commit, &json, &err));
    cJSON *metadata = cJSON_Parse((const char *)json.data);
    assert_true(cJSON_Compare(metadata, member(expected, "metadata"), true));
    cJSON_Delete(metadata);
    sgc_buffer_free(&json);
    return SGC_OK;
}

/* What the history says of each, where it knows it. */
static void check_as_commit(sgc_repository *repository, const sgc_snapshot_data *data,
                            const cJSON *expected)
{
    const cJSON *listed = member(expected, "in_repo_info");
    const sgc_status status =
        sgc_repository_history(repository, &data->id, check_commit, (void *)expected, &err);
    assert_int_equal(status, cJSON_IsFalse(listed) ? SGC_NOT_FOUND : SGC_OK);
}

static void check_as_commits(sgc_repository *repository, const cJSON *expectation)
{
    for_each_snapshot(repository, expectation, check_as_commit);
}

static void test_commits(void **state)
{
    (void)state;
    for_each(check_as_commits);
}

static bool has_string(const cJSON *list, const char *text)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list) if (strcmp(item->valuestring, text) == 0) return true;
    return false;
}

/* Each listed manifest is there, but for those of a snapshot that nobody needs. */
static void check_manifests(sgc_repository *repository, const sgc_snapshot_data *data,
                            const cJSON *expected)
{
    const cJSON *file, *list = member(expected, "manifest_files");
    const cJSON *missing = member(expected, "manifest_files_missing_on_disk");
    size_t i = 0;
    assert_int_equal(data->manifest_file_count, cJSON_GetArraySize(list));
    cJSON_ArrayForEach(file, list)
    {
        const char *id = member(file, "id")->valuestring;
        const sgc_manifest_file *found = &data->manifest_files[i++];
        sgc_manifest *manifest = NULL;
        assert_id(&found->id, id);
        assert_ptr_equal(sgc_snapshot_find_manifest(data, &found->id), found);
        assert_int_equal(found->size_bytes, member(file, "size_bytes")->valueint);
        assert_int_equal(found->num_chunk_refs, member(file, "num_chunk_refs")->valueint);
        assert_status(has_string(missing, id) ? SGC_NOT_FOUND : SGC_OK,
                      sgc_repository_manifest(repository, data, &found->id, &manifest, &err));
        sgc_manifest_unref(manifest);
    }
}

static void check_manifest_lists(sgc_repository *repository, const cJSON *expectation)
{
    for_each_snapshot(repository, expectation, check_manifests);
    assert_int_equal(count_objects(sgc_repository_store(repository), "manifests/"),
                     member(expectation, "num_manifest_files_on_disk")->valueint);
    assert_int_equal(count_objects(sgc_repository_store(repository), "chunks/"),
                     member(expectation, "num_chunk_files_on_disk")->valueint);
}

static void test_manifest_lists(void **state)
{
    (void)state;
    for_each(check_manifest_lists);
}

/* ---- nodes and arrays at the tips of branches ---- */

static void check_sha256(const void *data, size_t size, const char *digest)
{
    char *directory = temporary_directory_new(), command[1024], text[128] = "";
    snprintf(command, sizeof command, "cat > '%s/data'", directory);
    FILE *pipe = popen(command, "w");
    assert_non_null(pipe);
    assert_int_equal(fwrite(data, 1, size, pipe), size);
    assert_int_equal(pclose(pipe), 0);
    snprintf(command, sizeof command, "sha256sum '%s/data'", directory);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof text, pipe));
    assert_int_equal(pclose(pipe), 0);
    text[64] = '\0';
    assert_string_equal(text, digest);
    temporary_directory_free(directory);
}

/* Calls `check` with each node at the tip of each branch and the snapshot it is in. */
static void for_each_node(sgc_repository *repository, const cJSON *expectation,
                          void (*check)(sgc_repository *repository, sgc_snapshot *snapshot,
                                        const sgc_node *node, const cJSON *expected_node))
{
    const cJSON *tip, *node;
    cJSON_ArrayForEach(tip, member(expectation, "branch_tips"))
    {
        const sgc_object_id id = parse_id(member(tip, "snapshot")->valuestring);
        sgc_snapshot *snapshot;
        assert_ok(sgc_repository_snapshot(repository, &id, &snapshot, &err));
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        size_t i = 0;
        assert_int_equal(data->node_count, cJSON_GetArraySize(member(tip, "nodes")));
        cJSON_ArrayForEach(node, member(tip, "nodes"))
            check(repository, snapshot, &data->nodes[i++], node);
        sgc_snapshot_unref(snapshot);
    }
}

static void check_node(sgc_repository *repository, sgc_snapshot *snapshot, const sgc_node *node,
                       const cJSON *expectation)
{
    (void)repository;
    assert_node_id(&node->id, member(expectation, "node_id")->valuestring);
    assert_string_equal(node->path, member(expectation, "path")->valuestring);
    assert_int_equal(node->is_array,
                     strcmp(member(expectation, "kind")->valuestring, "array") == 0);
    assert_ptr_equal(sgc_snapshot_find(snapshot, node->path), node);
    assert_int_equal(node->user_data_size, member(expectation, "user_data_len")->valueint);
    check_sha256(node->user_data, node->user_data_size,
                 member(expectation, "user_data_sha256")->valuestring);
}

static void check_nodes(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_node);
}

static void test_nodes(void **state)
{
    (void)state;
    for_each(check_nodes);
}

static int item_value(const cJSON *list, int i)
{
    return cJSON_GetArrayItem(list, i)->valueint;
}

/* Files of spec 1 store the length of chunks, those of spec 2 their number; we know both, or that
 * and zarr.json. */
static void check_dimension(const sgc_dimension *dimension, const cJSON *entry, int length,
                            int chunk_length)
{
    const cJSON *stored_length = member(entry, "chunk_length");
    const cJSON *stored_number = member(entry, "num_chunks");
    const int number = (length + chunk_length - 1) / chunk_length;
    assert_int_equal(dimension->array_length, member(entry, "array_length")->valueint);
    assert_int_equal(dimension->array_length, length);
    assert_int_equal(dimension->chunk_length, stored_length != NULL ? stored_length->valueint : 0);
    assert_int_equal(dimension->num_chunks,
                     stored_number != NULL ? stored_number->valueint : number);
    assert_int_equal(dimension->num_chunks, number);
}

static void check_dimensions(sgc_repository *repository, sgc_snapshot *snapshot,
                             const sgc_node *node, const cJSON *expectation)
{
    (void)repository;
    (void)snapshot;
    const cJSON *entries = member(expectation, "shape_entries");
    const cJSON *names = member(expectation, "dimension_names");
    if (!node->is_array)
        return;
    assert_int_equal(node->dimension_count, cJSON_GetArraySize(entries));
    assert_int_equal(node->has_dimension_names, cJSON_IsArray(names));
    for (int d = 0; d < (int)node->dimension_count; d++) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(names, d));
        check_dimension(&node->dimensions[d], cJSON_GetArrayItem(entries, d),
                        item_value(member(expectation, "shape"), d),
                        item_value(member(expectation, "chunk_shape"), d));
        assert_int_equal(node->dimensions[d].name == NULL, name == NULL);
        if (name != NULL)
            assert_string_equal(node->dimensions[d].name, name);
    }
}

static void check_all_dimensions(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_dimensions);
}

static void test_dimensions(void **state)
{
    (void)state;
    for_each(check_all_dimensions);
}

static void check_extents(sgc_repository *repository, sgc_snapshot *snapshot, const sgc_node *node,
                          const cJSON *expectation)
{
    (void)repository;
    (void)snapshot;
    const cJSON *item, *list = member(expectation, "manifests");
    size_t i = 0;
    assert_int_equal(node->manifest_count, node->is_array ? cJSON_GetArraySize(list) : 0);
    cJSON_ArrayForEach(item, list)
    {
        const sgc_manifest_ref *ref = &node->manifests[i++];
        assert_id(&ref->id, member(item, "id")->valuestring);
        for (int d = 0; d < (int)node->dimension_count; d++) {
            const cJSON *extent = cJSON_GetArrayItem(member(item, "extents"), d);
            assert_int_equal(ref->extents[d].from, item_value(extent, 0));
            assert_int_equal(ref->extents[d].to, item_value(extent, 1));
        }
    }
}

static void check_all_extents(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_extents);
}

static void test_extents(void **state)
{
    (void)state;
    for_each(check_all_extents);
}

/* ---- chunks ---- */

static void check_virtual(sgc_repository *repository, const sgc_chunk_ref *ref,
                          const cJSON *expectation)
{
    sgc_object data;
    const char *location = member(expectation, "location")->valuestring;
    assert_string_equal(ref->details->location, location);
    assert_int_equal(ref->offset, member(expectation, "offset")->valueint);
    assert_int_equal(ref->length, member(expectation, "length")->valueint);
    assert_null(ref->details->etag);
    assert_true(ref->details->last_modified == member(expectation, "last_modified")->valuedouble);
    assert_status(SGC_UNSUPPORTED,
                  sgc_repository_read_chunk(repository, ref, 0, ref->length, &data, &err));
    assert_message(location);
}

/* Counts the chunks of a node by kind; those of a virtual one are next in `virtual_refs`. */
static void count_kinds(sgc_repository *repository, sgc_snapshot *snapshot, const sgc_node *node,
                        const cJSON *virtual_refs, int counts[4])
{
    const cJSON *next = virtual_refs != NULL ? virtual_refs->child : NULL;
    uint32_t at[SGC_MAX_DIMENSIONS] = {0};
    for (size_t d = 0; d != SIZE_MAX;) {
        sgc_chunk_ref ref;
        sgc_manifest *keep;
        assert_ok(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot), node, at, &ref,
                                            &keep, &err));
        counts[ref.kind]++;
        if (ref.kind == SGC_CHUNK_VIRTUAL) {
            assert_non_null(next);
            check_virtual(repository, &ref, next);
            next = next->next;
        }
        sgc_manifest_unref(keep);
        for (d = node->dimension_count - 1;
             d != SIZE_MAX && ++at[d] == node->dimensions[d].num_chunks; d--)
            at[d] = 0;
    }
    assert_null(next);
}

static int count_of(const cJSON *counts, const char *kind)
{
    const cJSON *count = member(counts, kind);
    return count != NULL ? count->valueint : 0;
}

static void check_kinds(sgc_repository *repository, sgc_snapshot *snapshot, const sgc_node *node,
                        const cJSON *expectation)
{
    const cJSON *expected = member(expectation, "chunk_refs");
    int counts[4] = {0};
    if (!node->is_array)
        return;
    count_kinds(repository, snapshot, node, member(expectation, "virtual_refs"), counts);
    assert_int_equal(counts[SGC_CHUNK_INLINE], count_of(expected, "inline"));
    assert_int_equal(counts[SGC_CHUNK_NATIVE], count_of(expected, "native"));
    assert_int_equal(counts[SGC_CHUNK_VIRTUAL], count_of(expected, "virtual"));
    assert_int_equal(counts[SGC_CHUNK_INLINE] + counts[SGC_CHUNK_NATIVE] +
                         counts[SGC_CHUNK_VIRTUAL],
                     count_of(expected, "total"));
}

static void check_all_kinds(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_kinds);
}

static void test_kinds_of_chunks(void **state)
{
    (void)state;
    for_each(check_all_kinds);
}

/* An array with a virtual chunk cannot be read as a whole; there are no other obstacles. */
static void check_values(sgc_repository *repository, sgc_snapshot *snapshot, const sgc_node *node,
                         const cJSON *expectation)
{
    if (!node->is_array)
        return;
    sgc_array *array;
    assert_ok(sgc_array_open(repository, snapshot, node->path, &array, &err));
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    assert_string_equal(sgc_data_type_name(metadata->type),
                        member(expectation, "dtype")->valuestring);
    size_t size = sgc_data_type_size(metadata->type);
    for (size_t d = 0; d < metadata->dimension_count; d++)
        size *= (size_t)metadata->shape[d];
    const uint64_t start[SGC_ZARR_MAX_DIMENSIONS] = {0};
    void *values = malloc(size);
    if (member(expectation, "virtual_chunks_not_decoded")->valueint > 0) {
        assert_status(SGC_UNSUPPORTED,
                      sgc_array_read(array, start, metadata->shape, values, 1, &err));
        assert_message("virtual");
        assert_message(node->path);
    } else {
        assert_ok(sgc_array_read(array, start, metadata->shape, values, 1, &err));
        check_sha256(values, size, member(expectation, "array_sha256")->valuestring);
    }
    free(values);
    sgc_array_close(array);
}

static void check_all_values(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_values);
}

static void test_values(void **state)
{
    (void)state;
    for_each(check_all_values);
}

/* ---- other layouts ---- */

static void test_a_directory_without_repository(void **state)
{
    (void)state;
    golden_expected();
    sgc_repository *repository;
    assert_status(SGC_NOT_FOUND, open_golden(".", &repository));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions), cmocka_unit_test(test_branches_and_tags),
        cmocka_unit_test(test_ancestry), cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_commits),  cmocka_unit_test(test_manifest_lists),
        cmocka_unit_test(test_nodes),    cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_extents),  cmocka_unit_test(test_kinds_of_chunks),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_a_directory_without_repository),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
