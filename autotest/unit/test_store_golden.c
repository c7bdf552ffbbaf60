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

/* Calls `check` with each repository of spec 1. */
static void for_each_v1(void (*check)(sgc_repository *repository, const cJSON *expectation))
{
    int count = 0;
    const cJSON *expectation;
    cJSON_ArrayForEach(expectation, member(golden_expected(), "repositories"))
    {
        if (strcmp(member(expectation, "layout")->valuestring, "v1") != 0)
            continue;
        sgc_repository *repository;
        assert_ok(open_golden(expectation->string, &repository));
        check(repository, expectation);
        sgc_repository_free(repository);
        count++;
    }
    assert_int_equal(count, 5);
}

static void check_refs(sgc_repository *repository, sgc_ref_kind kind, const cJSON *refs)
{
    const cJSON *ref;
    cJSON_ArrayForEach(ref, refs)
    {
        sgc_object_id id;
        char text[SGC_OBJECT_ID_TEXT + 1];
        assert_ok(sgc_repository_resolve(repository, kind, ref->string, &id, &err));
        sgc_object_id_format(&id, text);
        assert_string_equal(text, ref->valuestring);
    }
}

static void check_branches(sgc_repository *repository, const cJSON *expectation)
{
    check_refs(repository, SGC_REF_BRANCH, member(expectation, "branches"));
}

static void test_branches(void **state)
{
    (void)state;
    for_each_v1(check_branches);
}

static void check_tags(sgc_repository *repository, const cJSON *expectation)
{
    check_refs(repository, SGC_REF_TAG, member(expectation, "tags"));
}

static void test_tags(void **state)
{
    (void)state;
    for_each_v1(check_tags);
}

static void check_deleted_tags(sgc_repository *repository, const cJSON *expectation)
{
    sgc_object_id id;
    const cJSON *name;
    cJSON_ArrayForEach(name, member(expectation, "deleted_tags"))
        assert_status(SGC_NOT_FOUND, sgc_repository_resolve(repository, SGC_REF_TAG,
                                                            name->valuestring, &id, &err));
}

static void test_deleted_tags(void **state)
{
    (void)state;
    for_each_v1(check_deleted_tags);
}

static sgc_snapshot *load(sgc_repository *repository, const char *text)
{
    sgc_object_id id;
    sgc_snapshot *snapshot;
    assert_ok(sgc_object_id_parse(text, strlen(text), &id, &err));
    assert_ok(sgc_repository_snapshot(repository, &id, &snapshot, &err));
    return snapshot;
}

static void check_snapshots(sgc_repository *repository, const cJSON *expectation)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, member(expectation, "snapshots"))
    {
        sgc_snapshot *snapshot = load(repository, item->string);
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        const cJSON *parent = member(item, "parent_in_snapshot_file");
        char text[SGC_OBJECT_ID_TEXT + 1];
        assert_string_equal(data->message, member(item, "message")->valuestring);
        assert_true((double)data->flushed_at == member(item, "flushed_at_us")->valuedouble);
        assert_int_equal(data->node_count, member(item, "num_nodes")->valueint);
        assert_int_equal(data->metadata_count, cJSON_GetArraySize(member(item, "metadata")));
        assert_int_equal(data->has_parent, cJSON_IsString(parent));
        if (data->has_parent) {
            sgc_object_id_format(&data->parent, text);
            assert_string_equal(text, parent->valuestring);
        }
        sgc_snapshot_unref(snapshot);
    }
}

static void test_snapshots(void **state)
{
    (void)state;
    for_each_v1(check_snapshots);
}

static void check_manifest_lists(sgc_repository *repository, const cJSON *expectation)
{
    const cJSON *item, *file;
    cJSON_ArrayForEach(item, member(expectation, "snapshots"))
    {
        sgc_snapshot *snapshot = load(repository, item->string);
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        const cJSON *list = member(item, "manifest_files");
        assert_int_equal(data->manifest_file_count, cJSON_GetArraySize(list));
        cJSON_ArrayForEach(file, list)
        {
            sgc_object_id id;
            const char *text = member(file, "id")->valuestring;
            assert_ok(sgc_object_id_parse(text, strlen(text), &id, &err));
            const sgc_manifest_file *found = sgc_snapshot_find_manifest(data, &id);
            assert_non_null(found);
            assert_int_equal(found->size_bytes, member(file, "size_bytes")->valueint);
            assert_int_equal(found->num_chunk_refs, member(file, "num_chunk_refs")->valueint);
        }
        sgc_snapshot_unref(snapshot);
    }
}

static void test_manifest_lists(void **state)
{
    (void)state;
    for_each_v1(check_manifest_lists);
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
        sgc_snapshot *snapshot = load(repository, member(tip, "snapshot")->valuestring);
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
    for_each_v1(check_nodes);
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
        const cJSON *entry = cJSON_GetArrayItem(entries, d);
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(names, d));
        const sgc_dimension *dimension = &node->dimensions[d];
        assert_int_equal(dimension->array_length, member(entry, "array_length")->valueint);
        assert_int_equal(dimension->chunk_length, member(entry, "chunk_length")->valueint);
        assert_int_equal(dimension->name == NULL, name == NULL);
        if (name != NULL)
            assert_string_equal(dimension->name, name);
    }
}

static void check_all_dimensions(sgc_repository *repository, const cJSON *expectation)
{
    for_each_node(repository, expectation, check_dimensions);
}

static void test_dimensions(void **state)
{
    (void)state;
    for_each_v1(check_all_dimensions);
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
    for_each_v1(check_all_values);
}

/* ---- other layouts ---- */

static void test_spec_2_is_unsupported(void **state)
{
    (void)state;
    int count = 0;
    const cJSON *expectation;
    cJSON_ArrayForEach(expectation, member(golden_expected(), "repositories"))
    {
        if (strcmp(member(expectation, "layout")->valuestring, "v1") == 0)
            continue;
        sgc_repository *repository;
        assert_status(SGC_UNSUPPORTED, open_golden(expectation->string, &repository));
        assert_message("version 2");
        assert_message(expectation->string);
        count++;
    }
    assert_int_equal(count, 4);
}

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
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_deleted_tags),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_manifest_lists),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_spec_2_is_unsupported),
        cmocka_unit_test(test_a_directory_without_repository),
    };
    return cmocka_run_group_tests(tests, golden_set_up, golden_tear_down);
}
