#include "autotest/unit/verify_testing.h"

#include <stdlib.h>
#include <string.h>

#include "store/icechunk/metadata_file.h"

/* ---- defects as text ---- */

static void add_defect(void *user, const char *key, const char *message)
{
    assert_ok(sgc_buffer_print(user, &err, "%s: %s\n", key, message));
}

findings verify_with(sgc_repository *repository, bool decode_chunks)
{
    findings f = {0};
    const sgc_verify_options options = {
        .decode_chunks = decode_chunks, .fn = add_defect, .user = &f.text};
    assert_ok(sgc_buffer_print(&f.text, &err, "%s", ""));
    assert_ok(sgc_repository_verify(repository, &options, &f.result, &err));
    return f;
}

findings verify(place *p, bool decode_chunks)
{
    sgc_repository *repository = place_open(p);
    const findings f = verify_with(repository, decode_chunks);
    sgc_repository_free(repository);
    return f;
}

void assert_finding(const findings *f, const char *key, const char *part)
{
    const char *text = (const char *)f->text.data;
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        const size_t length = strcspn(line, "\n");
        char *copy = strndup(line, length);
        const bool found = strncmp(copy, key, strlen(key)) == 0 && copy[strlen(key)] == ':' &&
                           strstr(copy, part) != NULL;
        free(copy);
        if (found)
            return;
    }
    fail_msg("no \"%s: …%s\" among\n%s", key, part, text);
}

void free_findings(findings *f)
{
    sgc_buffer_free(&f->text);
}

/* There is this defect and no other, whether chunks are decoded or not. */
void check_one(place *p, const char *key, const char *part)
{
    for (int decode = 0; decode < 2; decode++) {
        findings f = verify(p, decode == 1);
        assert_finding(&f, key, part);
        if (f.result.defects != 1)
            fail_msg("more than \"%s: %s\":\n%s", key, part, (const char *)f.text.data);
        free_findings(&f);
    }
}

/* ---- a repository with all there is ---- */

enum { ZSTD_BYTES = 2000 };

static void put_zstd(sgc_session *session)
{
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .dimension_count = 1,
        .shape = {(uint64_t)2 * ZSTD_BYTES},
        .chunk_shape = {ZSTD_BYTES},
        .chunk_bytes = ZSTD_BYTES,
        .codecs = {.count = 1, .list = {{.kind = SGC_ZSTD, .level = 3, .checksum = true}}},
    };
    unsigned char values[ZSTD_BYTES];
    const uint32_t at[] = {1};
    uint64_t seed = 3;
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    for (size_t i = 0; i < ZSTD_BYTES; i++)
        values[i] = (unsigned char)random_below(&seed, 200);
    put_array(session, "/z", &metadata, "0");
    assert_ok(sgc_array_write_chunk(sgc_session_repository(session), &metadata, values, 1, &encoded,
                                    &ref, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_NATIVE);
    assert_ok(sgc_session_set_chunk(session, "/z", at, &ref, &err));
    sgc_buffer_free(&encoded);
}

scene begin(void **state)
{
    scene s = {.p = *state};
    sgc_repository *repository = place_create(s.p);
    s.root = tip_of(repository, "main");
    s.first = commit_arrays(repository);
    sgc_session *session = new_session(repository);
    put_zstd(session);
    set_value(session, "/g/native", 0, 0, 7);
    set_value(session, "/g/native", 1, 2, 8);
    set_value(session, "/scalar", 0, 0, 9);
    assert_ok(sgc_session_commit(session, "chunks", NULL, &s.second, &err));
    sgc_session_free(session);
    s.tip = commit_value(repository, "main", "/inline", 1, 0, 5);
    assert_ok(sgc_repository_create_ref(repository, SGC_REF_TAG, "t", &s.second, &err));
    sgc_repository_free(repository);
    check_clean(s.p);
    return s;
}

/* The manifest of the array at `path`, and its reference number `i`. */
sgc_object_id manifest_of(const scene *s, const char *path)
{
    sgc_snapshot *snapshot;
    assert_ok(sgc_snapshot_load(s->p->store, &s->tip, &snapshot, &err));
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    assert_non_null(node);
    assert_int_equal(node->manifest_count, 1);
    const sgc_object_id id = node->manifests[0].id;
    sgc_snapshot_unref(snapshot);
    return id;
}

sgc_object_id chunk_of(const scene *s, const char *path, uint32_t y, uint32_t x)
{
    const uint32_t at[] = {y, x};
    sgc_repository *repository = place_open(s->p);
    sgc_session *session = new_session(repository);
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    assert_ok(sgc_session_find_chunk(session, path, at, &ref, &keep, &err));
    assert_int_equal(ref.kind, SGC_CHUNK_NATIVE);
    sgc_manifest_unref(keep);
    sgc_session_free(session);
    sgc_repository_free(repository);
    return ref.id;
}

/* Cuts an object short, or makes it longer. */
void resize_object(place *p, const char *key, int bytes)
{
    sgc_object object = place_get(p, key);
    unsigned char *data = calloc(1, object.size + 100);
    memcpy(data, object.data, object.size);
    place_put(p, key, data, object.size + (size_t)bytes);
    free(data);
    sgc_object_clear(&object);
}

void flip_byte(place *p, const char *key, size_t at)
{
    sgc_object object = place_get(p, key);
    assert_true(at < object.size);
    object.data[at] ^= 0x10;
    place_put(p, key, object.data, object.size);
    sgc_object_clear(&object);
}

const char *edited_path;

/* Gives the node at edited_path, to be changed. */
sgc_node *edit_node(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *nodes = sgc_arena_copy(arena, data->nodes, data->node_count * sizeof *nodes);
    data->nodes = nodes;
    size_t i = 0;
    while (strcmp(nodes[i].path, edited_path) != 0)
        assert_true(++i < data->node_count);
    return &nodes[i];
}

/* Gives what the list says of the first manifest of that node. */
sgc_manifest_file *edit_file(sgc_snapshot_data *data, sgc_arena *arena)
{
    const sgc_node *node = edit_node(data, arena);
    sgc_manifest_file *files =
        sgc_arena_copy(arena, data->manifest_files, data->manifest_file_count * sizeof *files);
    data->manifest_files = files;
    return files + (sgc_snapshot_find_manifest(data, &node->manifests[0].id) - files);
}

static uint64_t new_size;

static void set_size(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_file(data, arena)->size_bytes = new_size;
}

void change_manifest(const scene *s, const sgc_object_id *id,
                     void (*change)(sgc_manifest_data *data, sgc_array_manifest *array,
                                    sgc_arena *arena))
{
    sgc_buffer payload = {0};
    sgc_arena arena = {0};
    sgc_manifest_data data;
    int version;
    assert_ok(sgc_metadata_file_read(s->p->store, SGC_FILE_MANIFEST, id, SGC_TO_END, &version,
                                     &payload, &err));
    assert_ok(sgc_manifest_decode(payload.data, payload.size, &arena, &data, &err));
    assert_int_equal(data.array_count, 1);
    sgc_array_manifest array = data.arrays[0];
    change(&data, &array, &arena);
    data.arrays = &array;
    data.spec_version = version;
    sgc_buffer_free(&payload);
    assert_ok(sgc_manifest_encode(&data, &payload, &err));
    assert_ok(sgc_metadata_file_write(s->p->store, SGC_FILE_MANIFEST, id, version, &payload,
                                      SGC_PUT_ALWAYS, &new_size, &err));
    sgc_buffer_free(&payload);
    sgc_arena_free(&arena);
    rewrite_snapshot(s->p, &s->tip, set_size);
    rewrite_snapshot(s->p, &s->second, set_size);
}

void count_one_more(sgc_snapshot_data *data, sgc_arena *arena)
{
    edit_file(data, arena)->num_chunk_refs++;
}

void lengthen(sgc_snapshot_data *data, sgc_arena *arena)
{
    sgc_node *node = edit_node(data, arena);
    sgc_dimension *dimensions =
        sgc_arena_copy(arena, node->dimensions, node->dimension_count * sizeof *dimensions);
    dimensions[1].array_length++;
    node->dimensions = dimensions;
}
