#include "autotest/unit/store_testing.h"

#include <stdlib.h>
#include <string.h>

#include "store/icechunk/codec.h"

/* The root snapshot of expire-repo-v1-by-1.1.21 (format guide, appendix A). */
_Alignas(8) static const unsigned char root_payload[160] = {
    0x20, 0x00, 0x00, 0x00, 0x49, 0x63, 0x68, 0x6b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x12, 0x00,
    0x2c, 0x00, 0x04, 0x00, 0x00, 0x00, 0x10, 0x00, 0x20, 0x00, 0x14, 0x00, 0x18, 0x00, 0x1c, 0x00,
    0x12, 0x00, 0x00, 0x00, 0x0b, 0x1c, 0xc8, 0xd6, 0x78, 0x75, 0x80, 0xf0, 0xe3, 0x3a, 0x65, 0x34,
    0x1c, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x34, 0x00, 0x00, 0x00, 0x60, 0x00, 0x00, 0x00,
    0x34, 0x89, 0x82, 0xec, 0xe8, 0x53, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x16, 0x00, 0x00, 0x00, 0x52, 0x65, 0x70, 0x6f, 0x73, 0x69, 0x74, 0x6f, 0x72, 0x79, 0x20, 0x69,
    0x6e, 0x69, 0x74, 0x69, 0x61, 0x6c, 0x69, 0x7a, 0x65, 0x64, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x0c, 0x00, 0x00, 0x00, 0x08, 0x00, 0x0c, 0x00, 0x04, 0x00, 0x08, 0x00, 0x08, 0x00, 0x00, 0x00,
    0x10, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xc3, 0x00, 0x00, 0x00,
    0x06, 0x00, 0x00, 0x00, 0x5f, 0x5f, 0x72, 0x6f, 0x6f, 0x74, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

/* A snapshot with one of everything. */
static const sgc_extent extents[] = {{0, 2}, {1, 3}};
static const sgc_manifest_ref manifests[] = {{{{1}}, extents}};
static const sgc_dimension dimensions[] = {{10, 4, 3, "y"}, {9, 3, 3, NULL}};
static const sgc_node nodes[] = {
    {.id = {{1}}, .path = "/", .user_data = (const unsigned char *)"{}", .user_data_size = 2},
    {.id = {{3}}, .path = "/a", .user_data = (const unsigned char *)"{1}", .user_data_size = 3},
    {.id = {{2}},
     .path = "/a-b",
     .user_data = (const unsigned char *)"{22}",
     .user_data_size = 4,
     .is_array = true,
     .dimension_count = 2,
     .dimensions = dimensions,
     .has_dimension_names = true,
     .manifest_count = 1,
     .manifests = manifests},
    {.id = {{4}},
     .path = "/a/scalar",
     .user_data = (const unsigned char *)"{}",
     .user_data_size = 2,
     .is_array = true},
};
static const sgc_manifest_file files[] = {{{{1}}, 1234567890123, 3}, {{{2}}, 5, 4}};
static const sgc_metadata_item items[] = {{"k", (const unsigned char *)"\xa1x", 2},
                                          {"l", (const unsigned char *)"\x01", 1}};
static const sgc_snapshot_data snapshot = {
    .id = {{9, 8, 7}},
    .has_parent = true,
    .parent = {{7, 8, 9}},
    .flushed_at = 1781109725759796,
    .message = "message \xc3\xa9",
    .metadata_count = 2,
    .metadata = items,
    .node_count = 4,
    .nodes = nodes,
    .manifest_file_count = 2,
    .manifest_files = files,
};

/* A manifest with one of everything. */
static const uint32_t coordinates[] = {0, 1, 0, 2, 1, 1};
static const sgc_chunk_ref refs[] = {
    {.kind = SGC_CHUNK_INLINE, .length = 3, .inline_data = (const unsigned char *)"abc"},
    {.kind = SGC_CHUNK_NATIVE, .id = {{5}}, .offset = 6, .length = 7},
    {.kind = SGC_CHUNK_VIRTUAL, .offset = 8, .length = 9, .location = "s3://a/b"},
};
static const sgc_array_manifest arrays[] = {
    {{{1}}, 2, 3, coordinates, refs},
    {{{2}}, 0, 1, coordinates, refs},
};
static const sgc_manifest_data manifest = {{{4, 5}}, 2, arrays};

typedef sgc_status decode_fn(const void *buffer, size_t size);

/* What the decoders give is walked so that sanitizers see a dangling pointer. */
static void walk_bytes(const void *data, size_t size)
{
    volatile unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += ((const unsigned char *)data)[i];
}

static void walk_node(const sgc_node *node)
{
    walk_bytes(node->path, strlen(node->path));
    walk_bytes(node->user_data, node->user_data_size);
    walk_bytes(node->dimensions, node->dimension_count * sizeof *node->dimensions);
    for (size_t d = 0; d < node->dimension_count; d++)
        if (node->dimensions[d].name != NULL)
            walk_bytes(node->dimensions[d].name, strlen(node->dimensions[d].name));
    for (size_t i = 0; i < node->manifest_count; i++)
        walk_bytes(node->manifests[i].extents, node->dimension_count * sizeof(sgc_extent));
}

static sgc_status walk_snapshot(const void *buffer, size_t size)
{
    sgc_arena arena = {0};
    sgc_snapshot_data data;
    const sgc_status status = sgc_snapshot_decode(buffer, size, &arena, &data, &err);
    if (status == SGC_OK) {
        walk_bytes(data.message, strlen(data.message));
        for (size_t i = 0; i < data.metadata_count; i++) {
            walk_bytes(data.metadata[i].name, strlen(data.metadata[i].name));
            walk_bytes(data.metadata[i].value, data.metadata[i].value_size);
        }
        for (size_t i = 0; i < data.node_count; i++)
            walk_node(&data.nodes[i]);
        walk_bytes(data.manifest_files, data.manifest_file_count * sizeof *data.manifest_files);
    }
    sgc_arena_free(&arena);
    return status;
}

static sgc_status walk_manifest(const void *buffer, size_t size)
{
    sgc_arena arena = {0};
    sgc_manifest_data data;
    const sgc_status status = sgc_manifest_decode(buffer, size, &arena, &data, &err);
    for (size_t i = 0; status == SGC_OK && i < data.array_count; i++) {
        const sgc_array_manifest *array = &data.arrays[i];
        walk_bytes(array->coordinates,
                   array->count * array->dimension_count * sizeof *array->coordinates);
        for (size_t k = 0; k < array->count; k++) {
            if (array->refs[k].kind == SGC_CHUNK_INLINE)
                walk_bytes(array->refs[k].inline_data, array->refs[k].length);
            if (array->refs[k].location != NULL)
                walk_bytes(array->refs[k].location, strlen(array->refs[k].location));
        }
    }
    sgc_arena_free(&arena);
    return status;
}

static sgc_buffer encode_snapshot(const sgc_snapshot_data *data)
{
    sgc_buffer payload = {0};
    assert_ok(sgc_snapshot_encode(data, &payload, &err));
    return payload;
}

static sgc_buffer encode_manifest(const sgc_manifest_data *data)
{
    sgc_buffer payload = {0};
    assert_ok(sgc_manifest_encode(data, &payload, &err));
    return payload;
}

static void test_root_snapshot_of_the_official_library(void **state)
{
    (void)state;
    sgc_arena arena = {0};
    sgc_snapshot_data data;
    char id[SGC_OBJECT_ID_TEXT + 1];
    assert_ok(sgc_snapshot_decode(root_payload, sizeof root_payload, &arena, &data, &err));
    sgc_object_id_format(&data.id, id);
    assert_string_equal(id, "1CECHNKREP0F1RSTCMT0");
    assert_false(data.has_parent);
    assert_true(data.flushed_at == 1781109725759796);
    assert_string_equal(data.message, "Repository initialized");
    assert_int_equal(data.node_count, 0);
    assert_int_equal(data.manifest_file_count, 0);
    assert_int_equal(data.metadata_count, 1);
    assert_string_equal(data.metadata[0].name, "__root");
    assert_int_equal(data.metadata[0].value_size, 1);
    assert_int_equal(data.metadata[0].value[0], 0xc3);
    sgc_arena_free(&arena);
}

static void test_payload_has_the_identifier(void **state)
{
    (void)state;
    sgc_buffer payloads[] = {encode_snapshot(&snapshot), encode_manifest(&manifest), {0}};
    const sgc_transaction_log log = {.id = {{1}}};
    assert_ok(sgc_transaction_log_encode(&log, &payloads[2], &err));
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(payloads[i].data + 4, "Ichk", 4);
        sgc_buffer_free(&payloads[i]);
    }
}

static void check_array(const sgc_node *node)
{
    assert_true(node->is_array);
    assert_int_equal(node->dimension_count, 2);
    assert_true(node->has_dimension_names);
    assert_string_equal(node->dimensions[0].name, "y");
    assert_null(node->dimensions[1].name);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(node->dimensions[d].array_length, dimensions[d].array_length);
        assert_int_equal(node->dimensions[d].chunk_length, dimensions[d].chunk_length);
        assert_int_equal(node->dimensions[d].num_chunks, dimensions[d].num_chunks);
    }
    assert_int_equal(node->manifest_count, 1);
    assert_memory_equal(&node->manifests[0].id, &manifests[0].id, sizeof(sgc_object_id));
    assert_memory_equal(node->manifests[0].extents, extents, sizeof extents);
}

static void test_snapshot_round_trip(void **state)
{
    (void)state;
    sgc_buffer payload = encode_snapshot(&snapshot);
    sgc_arena arena = {0};
    sgc_snapshot_data data;
    assert_ok(sgc_snapshot_decode(payload.data, payload.size, &arena, &data, &err));
    assert_memory_equal(&data.id, &snapshot.id, sizeof data.id);
    assert_true(data.has_parent);
    assert_memory_equal(&data.parent, &snapshot.parent, sizeof data.parent);
    assert_true(data.flushed_at == snapshot.flushed_at);
    assert_string_equal(data.message, snapshot.message);
    assert_int_equal(data.metadata_count, 2);
    assert_string_equal(data.metadata[1].name, "l");
    assert_int_equal(data.metadata[0].value_size, 2);
    assert_memory_equal(data.metadata[0].value, "\xa1x", 2);
    assert_int_equal(data.node_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(&data.nodes[i].id, &nodes[i].id, sizeof(sgc_node_id));
        assert_string_equal(data.nodes[i].path, nodes[i].path);
        assert_int_equal(data.nodes[i].user_data_size, nodes[i].user_data_size);
        assert_memory_equal(data.nodes[i].user_data, nodes[i].user_data, nodes[i].user_data_size);
    }
    assert_false(data.nodes[1].is_array);
    check_array(&data.nodes[2]);
    assert_true(data.nodes[3].is_array);
    assert_int_equal(data.nodes[3].dimension_count, 0);
    assert_false(data.nodes[3].has_dimension_names);
    assert_int_equal(data.manifest_file_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(&data.manifest_files[i].id, &files[i].id, sizeof(sgc_object_id));
        assert_true(data.manifest_files[i].size_bytes == files[i].size_bytes);
        assert_int_equal(data.manifest_files[i].num_chunk_refs, files[i].num_chunk_refs);
    }
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_manifest_round_trip(void **state)
{
    (void)state;
    sgc_buffer payload = encode_manifest(&manifest);
    sgc_arena arena = {0};
    sgc_manifest_data data;
    assert_ok(sgc_manifest_decode(payload.data, payload.size, &arena, &data, &err));
    assert_memory_equal(&data.id, &manifest.id, sizeof data.id);
    assert_int_equal(data.array_count, 2);
    const sgc_array_manifest *array = &data.arrays[0];
    assert_memory_equal(&array->node, &arrays[0].node, sizeof array->node);
    assert_int_equal(array->dimension_count, 2);
    assert_int_equal(array->count, 3);
    assert_memory_equal(array->coordinates, coordinates, sizeof coordinates);
    assert_int_equal(array->refs[0].kind, SGC_CHUNK_INLINE);
    assert_int_equal(array->refs[0].length, 3);
    assert_memory_equal(array->refs[0].inline_data, "abc", 3);
    assert_int_equal(array->refs[1].kind, SGC_CHUNK_NATIVE);
    assert_memory_equal(&array->refs[1].id, &refs[1].id, sizeof(sgc_object_id));
    assert_int_equal(array->refs[1].offset, 6);
    assert_int_equal(array->refs[1].length, 7);
    assert_int_equal(array->refs[2].kind, SGC_CHUNK_VIRTUAL);
    assert_string_equal(array->refs[2].location, "s3://a/b");
    assert_int_equal(data.arrays[1].dimension_count, 0);
    assert_int_equal(data.arrays[1].count, 1);
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_reference_to_nothing_is_not_written(void **state)
{
    (void)state;
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    const sgc_array_manifest array = {{{1}}, 2, 1, coordinates, &none};
    const sgc_manifest_data data = {{{1}}, 1, &array};
    sgc_buffer payload = {0};
    assert_status(SGC_INVALID, sgc_manifest_encode(&data, &payload, &err));
    assert_int_equal(payload.size, 0);
}

/* ---- violations ---- */

static void check_snapshot_is_corrupt(const sgc_snapshot_data *data)
{
    sgc_buffer payload = encode_snapshot(data);
    assert_status(SGC_CORRUPT, walk_snapshot(payload.data, payload.size));
    sgc_buffer_free(&payload);
}

static void check_manifest_is_corrupt(const sgc_manifest_data *data)
{
    sgc_buffer payload = encode_manifest(data);
    assert_status(SGC_CORRUPT, walk_manifest(payload.data, payload.size));
    sgc_buffer_free(&payload);
}

static void test_nodes_out_of_order(void **state)
{
    (void)state;
    const sgc_node swapped[] = {nodes[0], nodes[2], nodes[1]}, twice[] = {nodes[0], nodes[0]};
    sgc_snapshot_data data = snapshot;
    data.nodes = swapped;
    data.node_count = 3;
    check_snapshot_is_corrupt(&data);
    data.nodes = twice;
    data.node_count = 2;
    check_snapshot_is_corrupt(&data);
}

static void test_relative_path(void **state)
{
    (void)state;
    sgc_node node = nodes[0];
    sgc_snapshot_data data = snapshot;
    node.path = "a";
    data.nodes = &node;
    data.node_count = 1;
    check_snapshot_is_corrupt(&data);
}

static void test_chunks_of_length_0(void **state)
{
    (void)state;
    const sgc_dimension empty_chunks[] = {{10, 0, 0, NULL}, {9, 3, 3, NULL}};
    sgc_node node = nodes[2];
    sgc_snapshot_data data = snapshot;
    node.dimensions = empty_chunks;
    data.nodes = &node;
    data.node_count = 1;
    check_snapshot_is_corrupt(&data);
}

static void test_manifest_files_out_of_order(void **state)
{
    (void)state;
    const sgc_manifest_file swapped[] = {files[1], files[0]};
    sgc_snapshot_data data = snapshot;
    data.manifest_files = swapped;
    check_snapshot_is_corrupt(&data);
}

static void test_references_out_of_order(void **state)
{
    (void)state;
    const uint32_t swapped[] = {0, 2, 0, 1}, twice[] = {0, 1, 0, 1};
    sgc_array_manifest array = {{{1}}, 2, 2, swapped, refs};
    const sgc_manifest_data data = {{{1}}, 1, &array};
    check_manifest_is_corrupt(&data);
    array.coordinates = twice;
    check_manifest_is_corrupt(&data);
}

static void test_arrays_out_of_order(void **state)
{
    (void)state;
    const sgc_array_manifest swapped[] = {arrays[1], arrays[0]};
    const sgc_manifest_data data = {{{1}}, 2, swapped};
    check_manifest_is_corrupt(&data);
}

/* ---- damage ---- */

/* Damage may go unnoticed, but nothing worse; `damaged` has no byte behind it. */
static void check_damaged(decode_fn *decode, const unsigned char *damaged, size_t size)
{
    const sgc_status status = decode(damaged, size);
    assert_true(status == SGC_OK || status == SGC_CORRUPT || status == SGC_UNSUPPORTED);
}

static void flip_all_bits(decode_fn *decode, sgc_buffer payload)
{
    unsigned char *damaged = malloc(payload.size);
    memcpy(damaged, payload.data, payload.size);
    for (size_t bit = 0; bit < 8 * payload.size; bit++) {
        damaged[bit / 8] ^= (unsigned char)(1u << bit % 8);
        check_damaged(decode, damaged, payload.size);
        damaged[bit / 8] = payload.data[bit / 8];
    }
    free(damaged);
    sgc_buffer_free(&payload);
}

static void cut_everywhere(decode_fn *decode, sgc_buffer payload)
{
    for (size_t size = 0; size < payload.size; size++) {
        unsigned char *damaged = malloc(size > 0 ? size : 1);
        memcpy(damaged, payload.data, size);
        check_damaged(decode, damaged, size);
        free(damaged);
    }
    sgc_buffer_free(&payload);
}

static void test_flipped_bits_of_a_snapshot(void **state)
{
    (void)state;
    flip_all_bits(walk_snapshot, encode_snapshot(&snapshot));
}

static void test_flipped_bits_of_a_manifest(void **state)
{
    (void)state;
    flip_all_bits(walk_manifest, encode_manifest(&manifest));
}

static void test_cut_snapshot(void **state)
{
    (void)state;
    cut_everywhere(walk_snapshot, encode_snapshot(&snapshot));
}

static void test_cut_manifest(void **state)
{
    (void)state;
    cut_everywhere(walk_manifest, encode_manifest(&manifest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_snapshot_of_the_official_library),
        cmocka_unit_test(test_payload_has_the_identifier),
        cmocka_unit_test(test_snapshot_round_trip),
        cmocka_unit_test(test_manifest_round_trip),
        cmocka_unit_test(test_reference_to_nothing_is_not_written),
        cmocka_unit_test(test_nodes_out_of_order),
        cmocka_unit_test(test_relative_path),
        cmocka_unit_test(test_chunks_of_length_0),
        cmocka_unit_test(test_manifest_files_out_of_order),
        cmocka_unit_test(test_references_out_of_order),
        cmocka_unit_test(test_arrays_out_of_order),
        cmocka_unit_test(test_flipped_bits_of_a_snapshot),
        cmocka_unit_test(test_flipped_bits_of_a_manifest),
        cmocka_unit_test(test_cut_snapshot),
        cmocka_unit_test(test_cut_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
