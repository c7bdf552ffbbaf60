#include "autotest/unit/codec_testing.h"
#include "autotest/unit/crafted_buffers.h"

#include <stdio.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

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

#define BYTES(text)                                     \
    {                                                   \
        (const unsigned char *)(text), sizeof(text) - 1 \
    }

/* A snapshot with one of everything. */
static const sgc_extent extents[] = {{0, 2}, {1, 3}};
static const sgc_manifest_ref manifests[] = {{{{1}}, extents}};
static const sgc_dimension dimensions[] = {{10, 4, 3, "y"}, {9, 3, 3, NULL}};
static const sgc_node nodes[] = {
    {.id = {{1}}, .path = "/", .user_data = (const unsigned char *)"{}", .user_data_size = 2},
    {.id = {{3}},
     .path = "/a",
     .user_data = (const unsigned char *)"{1}",
     .user_data_size = 3,
     .extra = BYTES("group")},
    {.id = {{2}},
     .path = "/a-b",
     .user_data = (const unsigned char *)"{22}",
     .user_data_size = 4,
     .is_array = true,
     .dimension_count = 2,
     .dimensions = dimensions,
     .has_dimension_names = true,
     .manifest_count = 1,
     .manifests = manifests,
     .extra = BYTES("array")},
    {.id = {{4}},
     .path = "/a/scalar",
     .user_data = (const unsigned char *)"{}",
     .user_data_size = 2,
     .is_array = true,
     .extra = BYTES("")},
};
static const sgc_manifest_file files[] = {
    {.id = {{1}}, .size_bytes = 1234567890123, .num_chunk_refs = 3},
    {.id = {{2}}, .size_bytes = 5, .num_chunk_refs = 4},
};
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
    .extra = BYTES("extra"),
};

/* What spec 2 keeps of it, and what it adds. */
static const sgc_dimension dimensions_v2[] = {{10, 0, 3, "y"}, {9, 0, 3, NULL}};
static const sgc_manifest_file files_v2[] = {
    {.id = {{1}}, .size_bytes = 1234567890123, .num_chunk_refs = 3, .extra = BYTES("file")},
    {.id = {{2}}, .size_bytes = 5, .num_chunk_refs = 4},
};

/* A manifest with one of everything. */
static const uint32_t coordinates[] = {0, 1, 0, 2, 1, 1, 1, 2, 1, 3};
static const sgc_ref_details plain_details = {.location = "s3://a/b"};
static const sgc_ref_details all_details = {
    .location = "vcc://c/d", .etag = "\"e\"", .last_modified = 77, .extra = BYTES("x")};
static const sgc_ref_details only_extra = {.extra = BYTES("y")};
static const sgc_chunk_ref refs[] = {
    {.kind = SGC_CHUNK_INLINE, .length = 3, .inline_data = (const unsigned char *)"abc"},
    {.kind = SGC_CHUNK_NATIVE, .id = {{5}}, .offset = 6, .length = 7},
    {.kind = SGC_CHUNK_VIRTUAL, .offset = 8, .length = 9, .details = &plain_details},
    {.kind = SGC_CHUNK_VIRTUAL, .length = 9, .details = &all_details},
    {.kind = SGC_CHUNK_NATIVE, .id = {{6}}, .length = 8, .details = &only_extra},
};
static const sgc_array_manifest arrays[] = {
    {{{1}}, 2, 5, coordinates, refs, BYTES("array")},
    {{{2}}, 0, 1, coordinates, refs, {0}},
};
static const sgc_manifest_data manifest = {
    .id = {{4, 5}}, .array_count = 2, .arrays = arrays, .extra = BYTES("manifest")};

/* A transaction log with one of everything but moves; its coordinates are in no order. */
static const sgc_node_id node_ids[] = {{{1}}, {{1, 2}}, {{3}}, {{4}}, {{5}}, {{6}}, {{7}}};
static const uint32_t unsorted[] = {3, 0, 1, 2, 1, 2};
static const sgc_updated_chunks updated_chunks[] = {
    {{{1}}, 2, 3, unsorted},
    {{{2}}, 0, 1, unsorted},
    {{{3}}, 0, 0, NULL},
};
static const sgc_transaction_log transaction_log = {
    .id = {{4, 5}},
    .new_groups = {2, node_ids},
    .new_arrays = {1, node_ids + 2},
    .deleted_groups = {1, node_ids + 3},
    .deleted_arrays = {2, node_ids + 3},
    .updated_arrays = {1, node_ids + 5},
    .updated_groups = {1, node_ids + 6},
    .updated_chunk_count = 3,
    .updated_chunks = updated_chunks,
};
static const sgc_moved_node moves[] = {{"/a", "/b", {{1}}, false}, {"/a/c", "/b/c", {{2}}, true}};

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

static sgc_buffer encode_log(const sgc_transaction_log *data)
{
    sgc_buffer payload = {0};
    assert_ok(sgc_transaction_log_encode(data, &payload, &err));
    return payload;
}

/* As spec 2 has it: give it four nodes. */
static sgc_snapshot_data snapshot_v2(sgc_node *four_nodes)
{
    sgc_snapshot_data data = snapshot;
    memcpy(four_nodes, nodes, sizeof nodes);
    four_nodes[2].dimensions = dimensions_v2;
    data.spec_version = 2;
    data.has_parent = false;
    data.parent = (sgc_object_id){{0}};
    data.nodes = four_nodes;
    data.manifest_files = files_v2;
    return data;
}

static sgc_transaction_log log_v2(void)
{
    sgc_transaction_log data = transaction_log;
    data.spec_version = 2;
    data.moved_node_count = 2;
    data.moved_nodes = moves;
    return data;
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
    assert_null(data.extra.data);
    sgc_arena_free(&arena);
}

static void test_payload_has_the_identifier(void **state)
{
    (void)state;
    sgc_buffer payloads[] = {encode_snapshot(&snapshot), encode_manifest(&manifest),
                             encode_log(&transaction_log)};
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(payloads[i].data + 4, "Ichk", 4);
        sgc_buffer_free(&payloads[i]);
    }
}

/* ---- round trips and slots ---- */

static void check_snapshot_comes_back(const sgc_snapshot_data *data)
{
    sgc_buffer payload = encode_snapshot(data);
    sgc_arena arena = {0};
    sgc_snapshot_data decoded;
    assert_ok(sgc_snapshot_decode(payload.data, payload.size, &arena, &decoded, &err));
    assert_same_snapshot(&decoded, data);
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_snapshot_of_spec_1(void **state)
{
    (void)state;
    check_snapshot_comes_back(&snapshot);
    sgc_buffer payload = encode_snapshot(&snapshot);
    const unsigned char *root = flat_root(&payload), *array = flat_item(root, 2, 2);
    assert_slots(root, "0 1 2 3 4 5 6 8");
    assert_slots(array, "0 1 2 3 4 5");
    assert_slots(flat_target(flat_field(array, 4)), "0 1 2");
    sgc_buffer_free(&payload);
}

static void test_snapshot_of_spec_2(void **state)
{
    (void)state;
    sgc_node four_nodes[4];
    const sgc_snapshot_data data = snapshot_v2(four_nodes);
    check_snapshot_comes_back(&data);
    sgc_buffer payload = encode_snapshot(&data);
    const unsigned char *root = flat_root(&payload), *array = flat_item(root, 2, 2);
    assert_slots(root, "0 2 3 4 5 6 7 8");
    assert_slots(flat_item(root, 7, 0), "0 1 2 3");
    assert_slots(flat_item(root, 7, 1), "0 1 2");
    array = flat_target(flat_field(array, 4));
    assert_slots(array, "0 1 2 3");
    assert_slots(flat_item(array, 3, 0), "0 1");
    sgc_buffer_free(&payload);
}

static void test_snapshot_without_extra_has_no_slot_for_it(void **state)
{
    (void)state;
    sgc_snapshot_data data = {.message = "", .flushed_at = 1};
    sgc_buffer payload = encode_snapshot(&data);
    assert_slots(flat_root(&payload), "0 2 3 4 5 6");
    sgc_buffer_free(&payload);
    data.spec_version = 2;
    payload = encode_snapshot(&data);
    assert_slots(flat_root(&payload), "0 2 3 4 5 6 7");
    sgc_buffer_free(&payload);
}

/* Chunk lengths stay behind; the parent is told by the repo info. */
static void test_snapshot_of_spec_1_becomes_one_of_spec_2(void **state)
{
    (void)state;
    sgc_snapshot_data data = snapshot, decoded;
    data.spec_version = 2;
    sgc_buffer payload = encode_snapshot(&data);
    sgc_arena arena = {0};
    assert_ok(sgc_snapshot_decode(payload.data, payload.size, &arena, &decoded, &err));
    assert_false(decoded.has_parent);
    assert_int_equal(decoded.nodes[2].dimensions[0].chunk_length, 0);
    assert_int_equal(decoded.nodes[2].dimensions[0].num_chunks, 3);
    assert_int_equal(decoded.manifest_file_count, 2);
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_manifest(void **state)
{
    (void)state;
    for (int spec_version = 1; spec_version <= 2; spec_version++) {
        sgc_manifest_data data = manifest, decoded;
        data.spec_version = spec_version;
        sgc_buffer payload = encode_manifest(&data);
        sgc_arena arena = {0};
        assert_ok(sgc_manifest_decode(payload.data, payload.size, &arena, &decoded, &err));
        assert_same_manifest(&decoded, &manifest);
        const unsigned char *root = flat_root(&payload), *array = flat_item(root, 1, 0);
        assert_slots(root, spec_version == 1 ? "0 1 4" : "0 1 3 4");
        if (spec_version == 2)
            assert_int_equal(*flat_field(root, 3), 0);
        assert_slots(array, "0 1 2");
        assert_slots(flat_item(array, 1, 0), "0 1");
        assert_slots(flat_item(array, 1, 1), "0 2 3 4");
        assert_slots(flat_item(array, 1, 2), "0 2 3 5");
        assert_slots(flat_item(array, 1, 3), "0 3 5 6 7 9");
        assert_slots(flat_item(array, 1, 4), "0 3 4 9");
        sgc_arena_free(&arena);
        sgc_buffer_free(&payload);
    }
}

static void check_log_comes_back(const sgc_transaction_log *data, const char *slots)
{
    sgc_buffer payload = encode_log(data);
    sgc_arena arena = {0};
    sgc_transaction_log decoded;
    assert_ok(sgc_transaction_log_decode(payload.data, payload.size, &arena, &decoded, &err));
    assert_same_log(&decoded, data);
    assert_slots(flat_root(&payload), slots);
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_transaction_log(void **state)
{
    (void)state;
    const sgc_transaction_log v2 = log_v2(), no_moves = {.spec_version = 2, .id = {{1}}};
    check_log_comes_back(&transaction_log, "0 1 2 3 4 5 6 7");
    check_log_comes_back(&v2, "0 1 2 3 4 5 6 7 8");
    check_log_comes_back(&no_moves, "0 1 2 3 4 5 6 7 8");
}

/* ---- compressed locations ---- */

/* Like those of an archive; enough of them to train a dictionary. */
static sgc_bytes train_dictionary(unsigned char *dictionary, size_t capacity)
{
    enum { COUNT = 1000 };
    char samples[COUNT * 64];
    size_t sizes[COUNT], used = 0;
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = (size_t)snprintf(samples + used, sizeof samples - used,
                                    "s3://bucket/year=%d/month=%02d/file-%06d.nc", 1900 + i % 100,
                                    i % 12, i * 7919);
        used += sizes[i];
    }
    const size_t size = ZDICT_trainFromBuffer(dictionary, capacity, samples, sizes, COUNT);
    assert_false(ZDICT_isError(size));
    return (sgc_bytes){dictionary, size};
}

static sgc_bytes compress(const char *text, size_t size, sgc_bytes dictionary, unsigned char *out,
                          size_t capacity)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    const size_t written = ZSTD_compress_usingDict(context, out, capacity, text, size,
                                                   dictionary.data, dictionary.size, 3);
    ZSTD_freeCCtx(context);
    assert_false(ZSTD_isError(written));
    return (sgc_bytes){out, written};
}

static sgc_status recode_location(int algorithm, sgc_bytes dictionary, sgc_bytes location)
{
    sgc_buffer payload = {0};
    crafted_location(algorithm, dictionary, location, &payload);
    const sgc_status status = recode_manifest(payload.data, payload.size);
    sgc_buffer_free(&payload);
    return status;
}

static void test_compressed_location(void **state)
{
    (void)state;
    static const char url[] = "s3://bucket/year=1950/month=07/file-123456.nc";
    unsigned char dictionary_bytes[2048], bytes[256];
    const sgc_bytes dictionary = train_dictionary(dictionary_bytes, sizeof dictionary_bytes);
    const sgc_bytes location = compress(url, strlen(url), dictionary, bytes, sizeof bytes);
    assert_true(location.size < strlen(url));
    sgc_buffer payload = {0}, again = {0};
    sgc_arena arena = {0};
    sgc_manifest_data data;
    crafted_location(-1, dictionary, location, &payload);
    assert_ok(sgc_manifest_decode(payload.data, payload.size, &arena, &data, &err));
    const sgc_chunk_ref *ref = &data.arrays[0].refs[0];
    assert_int_equal(ref->kind, SGC_CHUNK_VIRTUAL);
    assert_int_equal(ref->offset, 8);
    assert_int_equal(ref->length, 9);
    assert_string_equal(ref->details->location, url);
    assert_string_equal(ref->details->etag, "tag");
    assert_int_equal(ref->details->last_modified, 10);
    assert_null(ref->details->extra.data);
    assert_ok(sgc_manifest_encode(&data, &again, &err));
    assert_slots(flat_root(&again), "0 1");
    assert_slots(flat_item(flat_item(flat_root(&again), 1, 0), 1, 0), "0 2 3 5 6 7");
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&again);
}

static void test_bad_compressed_locations(void **state)
{
    (void)state;
    static const sgc_bytes absent = {0}, no_frame = BYTES("s3://a"),
                           no_dictionary = BYTES("\x37\xa4\x30\xec");
    static char longest[1025];
    unsigned char dictionary_bytes[2048], bytes[256];
    const sgc_bytes dictionary = train_dictionary(dictionary_bytes, sizeof dictionary_bytes);
    sgc_bytes location = compress("s3://a", 6, dictionary, bytes, sizeof bytes);
    assert_ok(recode_location(1, dictionary, location));
    assert_status(SGC_CORRUPT, recode_location(1, absent, location));
    assert_status(SGC_CORRUPT, recode_location(0, dictionary, location));
    assert_status(SGC_CORRUPT, recode_location(1, no_dictionary, location));
    assert_status(SGC_CORRUPT, recode_location(1, dictionary, no_frame));
    assert_status(SGC_UNSUPPORTED, recode_location(2, dictionary, location));
    location.size--;
    assert_status(SGC_CORRUPT, recode_location(1, dictionary, location));
    memset(longest, 'x', sizeof longest);
    location = compress(longest, sizeof longest - 1, dictionary, bytes, sizeof bytes);
    assert_ok(recode_location(1, dictionary, location));
    location = compress(longest, sizeof longest, dictionary, bytes, sizeof bytes);
    assert_status(SGC_CORRUPT, recode_location(1, dictionary, location));
    location = compress("s3://a\0b", 8, dictionary, bytes, sizeof bytes);
    assert_status(SGC_CORRUPT, recode_location(1, dictionary, location));
}

/* ---- what is not written ---- */

static void check_reference_is_not_written(const sgc_chunk_ref *ref)
{
    const sgc_array_manifest array = {{{1}}, 2, 1, coordinates, ref, {0}};
    const sgc_manifest_data data = {.array_count = 1, .arrays = &array};
    sgc_buffer payload = {0};
    assert_status(SGC_INVALID, sgc_manifest_encode(&data, &payload, &err));
    assert_int_equal(payload.size, 0);
}

static void test_references_to_nothing_are_not_written(void **state)
{
    (void)state;
    const sgc_chunk_ref bad[] = {
        {.kind = SGC_CHUNK_NONE},
        {.kind = SGC_CHUNK_VIRTUAL, .length = 1},
        {.kind = SGC_CHUNK_VIRTUAL, .length = 1, .details = &only_extra},
    };
    for (int i = 0; i < 3; i++)
        check_reference_is_not_written(&bad[i]);
}

static void test_spec_1_has_no_moves(void **state)
{
    (void)state;
    sgc_transaction_log data = log_v2();
    sgc_buffer payload = {0};
    data.spec_version = 1;
    assert_status(SGC_INVALID, sgc_transaction_log_encode(&data, &payload, &err));
    assert_int_equal(payload.size, 0);
}

static void test_text_is_utf8(void **state)
{
    (void)state;
    /* cut, a lone continuation, too long a form, a surrogate, beyond Unicode, Latin-1 */
    static const char *const bad[] = {
        "a\xc3", "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "caf\xe9 au lait"};
    sgc_snapshot_data data = snapshot;
    data.message = "\xf0\x9f\xa7\x8a \xe2\x82\xac \xc3\xa9 \x7f";
    check_snapshot_comes_back(&data);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgc_buffer payload = {0};
        data.message = bad[i];
        assert_status(SGC_INVALID, sgc_snapshot_encode(&data, &payload, &err));
        assert_int_equal(payload.size, 0);
    }
    data.message = NULL;
    sgc_buffer payload = encode_snapshot(&snapshot);
    assert_status(SGC_INVALID, sgc_snapshot_encode(&data, &payload, &err));
    unsigned char *accent = memmem(payload.data, payload.size, "\xc3\xa9", 2);
    assert_non_null(accent);
    accent[1] = 'x';
    assert_status(SGC_CORRUPT, recode_snapshot(payload.data, payload.size));
    assert_message("UTF-8");
    sgc_buffer_free(&payload);
}

/* ---- violations ---- */

static void check_snapshot_is_corrupt(const sgc_snapshot_data *data)
{
    sgc_buffer payload = encode_snapshot(data);
    assert_status(SGC_CORRUPT, recode_snapshot(payload.data, payload.size));
    sgc_buffer_free(&payload);
}

static void check_manifest_is_corrupt(const sgc_manifest_data *data)
{
    sgc_buffer payload = encode_manifest(data);
    assert_status(SGC_CORRUPT, recode_manifest(payload.data, payload.size));
    sgc_buffer_free(&payload);
}

static void check_log_is_corrupt(const sgc_transaction_log *data)
{
    sgc_buffer payload = encode_log(data);
    assert_status(SGC_CORRUPT, recode_log(payload.data, payload.size));
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
    sgc_array_manifest array = {{{1}}, 2, 2, swapped, refs, {0}};
    const sgc_manifest_data data = {.array_count = 1, .arrays = &array};
    check_manifest_is_corrupt(&data);
    array.coordinates = twice;
    check_manifest_is_corrupt(&data);
}

static void test_arrays_out_of_order(void **state)
{
    (void)state;
    const sgc_array_manifest swapped[] = {arrays[1], arrays[0]};
    const sgc_manifest_data data = {.array_count = 2, .arrays = swapped};
    check_manifest_is_corrupt(&data);
}

static void test_lists_of_a_log_out_of_order(void **state)
{
    (void)state;
    static const sgc_node_id swapped[] = {{{2}}, {{1}}}, twice[] = {{{1}}, {{1}}};
    const sgc_updated_chunks swapped_chunks[] = {updated_chunks[1], updated_chunks[0]};
    sgc_node_ids *lists[6];
    for (int i = 0; i < 6; i++) {
        sgc_transaction_log data = transaction_log;
        lists[0] = &data.new_groups, lists[1] = &data.new_arrays;
        lists[2] = &data.deleted_groups, lists[3] = &data.deleted_arrays;
        lists[4] = &data.updated_groups, lists[5] = &data.updated_arrays;
        *lists[i] = (sgc_node_ids){2, swapped};
        check_log_is_corrupt(&data);
        lists[i]->ids = twice;
        check_log_is_corrupt(&data);
    }
    sgc_transaction_log data = transaction_log;
    data.updated_chunks = swapped_chunks;
    data.updated_chunk_count = 2;
    check_log_is_corrupt(&data);
}

/* The kind of a group is 0, which writers leave out. */
static void test_incomplete_moves(void **state)
{
    (void)state;
    for (unsigned slots = 0; slots < 16; slots++) {
        sgc_buffer payload = {0};
        crafted_move(slots, 1, &payload);
        assert_status((slots & 7) == 7 ? SGC_OK : SGC_CORRUPT,
                      recode_log(payload.data, payload.size));
        sgc_buffer_free(&payload);
    }
    sgc_buffer payload = {0};
    crafted_move(15, 2, &payload);
    assert_status(SGC_CORRUPT, recode_log(payload.data, payload.size));
    sgc_buffer_free(&payload);
}

/* ---- much out of little ---- */

/* A decoder may take 64 times the size of a buffer, and a little. */
static size_t most_memory(const sgc_buffer *payload)
{
    return 64 * payload->size + ((size_t)1 << 20) + 64;
}

static void check_references_that_share(uint32_t count, size_t size, sgc_status expected)
{
    sgc_buffer payload = {0};
    sgc_arena arena = {0};
    sgc_manifest_data data;
    crafted_shared_inline(count, size, &payload);
    assert_status(expected, sgc_manifest_decode(payload.data, payload.size, &arena, &data, &err));
    assert_true(arena.total <= most_memory(&payload));
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_references_that_share_their_data(void **state)
{
    (void)state;
    check_references_that_share(20000, 512, SGC_OK);
    check_references_that_share(20000, 64 << 10, SGC_CORRUPT);
    assert_message("too many times");
}

static void check_nodes_that_share(uint32_t count, size_t size, sgc_status expected)
{
    sgc_buffer payload = {0};
    sgc_arena arena = {0};
    sgc_snapshot_data data;
    crafted_shared_document(count, size, &payload);
    assert_status(expected, sgc_snapshot_decode(payload.data, payload.size, &arena, &data, &err));
    assert_true(arena.total <= most_memory(&payload));
    sgc_arena_free(&arena);
    sgc_buffer_free(&payload);
}

static void test_nodes_that_share_their_document(void **state)
{
    (void)state;
    check_nodes_that_share(500, 1024, SGC_OK);
    check_nodes_that_share(20000, 64 << 10, SGC_CORRUPT);
    assert_message("too many times");
}

/* 25 million visits in 40 kB: refused by the verifier, not for the order it would find later. */
static void test_tables_that_share_tables(void **state)
{
    (void)state;
    sgc_buffer payload = {0};
    crafted_shared_tables(5000, &payload);
    assert_status(SGC_CORRUPT, recode_log(payload.data, payload.size));
    assert_message("not a valid FlatBuffers buffer");
    sgc_buffer_free(&payload);
}

/* ---- damage ---- */

static void damage(recode_fn *recode, sgc_buffer payload)
{
    damage_everywhere(recode, &payload);
    sgc_buffer_free(&payload);
}

static void test_damaged_snapshots(void **state)
{
    (void)state;
    sgc_node four_nodes[4];
    const sgc_snapshot_data v2 = snapshot_v2(four_nodes);
    damage(recode_snapshot, encode_snapshot(&snapshot));
    damage(recode_snapshot, encode_snapshot(&v2));
}

static void test_damaged_manifests(void **state)
{
    (void)state;
    sgc_manifest_data v2 = manifest;
    v2.spec_version = 2;
    damage(recode_manifest, encode_manifest(&manifest));
    damage(recode_manifest, encode_manifest(&v2));
}

static void test_damaged_compressed_location(void **state)
{
    (void)state;
    unsigned char dictionary_bytes[512], bytes[256];
    const sgc_bytes dictionary = train_dictionary(dictionary_bytes, sizeof dictionary_bytes);
    const sgc_bytes location = compress("s3://bucket/x", 13, dictionary, bytes, sizeof bytes);
    sgc_buffer payload = {0};
    crafted_location(1, dictionary, location, &payload);
    damage(recode_manifest, payload);
}

static void test_damaged_logs(void **state)
{
    (void)state;
    const sgc_transaction_log v2 = log_v2();
    damage(recode_log, encode_log(&transaction_log));
    damage(recode_log, encode_log(&v2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_snapshot_of_the_official_library),
        cmocka_unit_test(test_payload_has_the_identifier),
        cmocka_unit_test(test_snapshot_of_spec_1),
        cmocka_unit_test(test_snapshot_of_spec_2),
        cmocka_unit_test(test_snapshot_without_extra_has_no_slot_for_it),
        cmocka_unit_test(test_snapshot_of_spec_1_becomes_one_of_spec_2),
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_transaction_log),
        cmocka_unit_test(test_compressed_location),
        cmocka_unit_test(test_bad_compressed_locations),
        cmocka_unit_test(test_references_to_nothing_are_not_written),
        cmocka_unit_test(test_spec_1_has_no_moves),
        cmocka_unit_test(test_text_is_utf8),
        cmocka_unit_test(test_nodes_out_of_order),
        cmocka_unit_test(test_relative_path),
        cmocka_unit_test(test_chunks_of_length_0),
        cmocka_unit_test(test_manifest_files_out_of_order),
        cmocka_unit_test(test_references_out_of_order),
        cmocka_unit_test(test_arrays_out_of_order),
        cmocka_unit_test(test_lists_of_a_log_out_of_order),
        cmocka_unit_test(test_incomplete_moves),
        cmocka_unit_test(test_references_that_share_their_data),
        cmocka_unit_test(test_nodes_that_share_their_document),
        cmocka_unit_test(test_tables_that_share_tables),
        cmocka_unit_test(test_damaged_snapshots),
        cmocka_unit_test(test_damaged_manifests),
        cmocka_unit_test(test_damaged_compressed_location),
        cmocka_unit_test(test_damaged_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
