#include "autotest/unit/repository_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/golden.h"
#include "store/icechunk/envelope.h"
#include "store/icechunk/metadata_items.h"
#include "store/icechunk/transaction_log.h"

static const char group_json[] = "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{}}";

/* ---- places ---- */

place_kind place_kinds[4] = {{1, false}, {2, false}, {1, true}, {2, true}};

int place_set_up(void **state)
{
    const place_kind *kind = *state;
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->version = kind->version;
    if (kind->is_directory) {
        p->directory = temporary_directory_new();
        assert_ok(sgc_object_store_local_new(p->directory, NULL, &p->store, &err));
    } else {
        assert_ok(sgc_object_store_memory_new(&p->store, &err));
    }
    *state = p;
    return 0;
}

void place_clear(place *p)
{
    sgc_object_store_free(p->store);
    if (p->directory != NULL)
        temporary_directory_free(p->directory);
    *p = (place){0};
}

int place_tear_down(void **state)
{
    place_clear(*state);
    free(*state);
    return 0;
}

sgc_repository *place_create(place *p)
{
    sgc_repository *repository;
    const sgc_repository_options options = {.spec_version = p->version};
    assert_ok(
        sgc_repository_create(hook_store_new(p->store, NULL, NULL), &options, &repository, &err));
    return repository;
}

sgc_repository *place_open_hooked(place *p, store_hook hook, void *user)
{
    sgc_repository *repository;
    assert_ok(sgc_repository_open(hook_store_new(p->store, hook, user), NULL, &repository, &err));
    return repository;
}

sgc_repository *place_open(place *p)
{
    return place_open_hooked(p, NULL, NULL);
}

void place_copy_golden(place *p, const char *name)
{
    char command[4096];
    golden_expected();
    *p = (place){.directory = temporary_directory_new()};
    snprintf(command, sizeof command,
             "cp -R --preserve=timestamps '%s/%s/.' '%s' && chmod -R u+w '%s'", golden_directory(),
             name, p->directory, p->directory);
    assert_int_equal(system(command), 0);
    assert_ok(sgc_object_store_local_new(p->directory, NULL, &p->store, &err));
    sgc_repository *repository = place_open(p);
    p->version = sgc_repository_spec_version(repository);
    sgc_repository_free(repository);
}

sgc_object place_get(place *p, const char *key)
{
    sgc_object object = {0};
    assert_ok(p->store->get(p->store, key, 0, SGC_TO_END, &object, &err));
    return object;
}

void place_put(place *p, const char *key, const void *data, size_t size)
{
    assert_ok(p->store->put(p->store, key, data, size, SGC_PUT_ALWAYS, NULL, &err));
}

bool place_has(place *p, const char *key)
{
    sgc_object object = {0};
    const sgc_status status = p->store->get(p->store, key, 0, SGC_TO_END, &object, &err);
    assert_true(status == SGC_OK || status == SGC_NOT_FOUND);
    sgc_object_clear(&object);
    return status == SGC_OK;
}

void check_clean(place *p)
{
    sgc_repository *repository = place_open(p);
    check_sound(repository);
    sgc_repository_free(repository);
}

void place_remove(place *p, const char *key)
{
    assert_true(place_has(p, key));
    assert_ok(sgc_object_store_remove(p->store, key, &err));
}

const char *key_of(const char *folder, const sgc_object_id *id)
{
    static char keys[4][64];
    static unsigned next;
    char *key = keys[next++ % 4], text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    snprintf(key, sizeof keys[0], "%s/%s", folder, text);
    return key;
}

/* ---- all objects of a place ---- */

typedef struct taking {
    place *p;
    contents c;
} taking;

static sgc_status take_file(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *error)
{
    (void)info;
    (void)error;
    taking *t = user;
    contents *c = &t->c;
    c->files = sgc_list_grow(c->files, c->count, &c->capacity, sizeof *c->files);
    assert_non_null(c->files);
    c->files[c->count++] = (stored_file){strdup(key), place_get(t->p, key)};
    return SGC_OK;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const stored_file *)a)->key, ((const stored_file *)b)->key);
}

contents contents_take(place *p)
{
    taking t = {.p = p};
    assert_ok(p->store->list(p->store, "", take_file, &t, &err));
    if (t.c.count > 0)
        qsort(t.c.files, t.c.count, sizeof *t.c.files, compare_files);
    return t.c;
}

void contents_free(contents *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->files[i].key);
        sgc_object_clear(&c->files[i].object);
    }
    free(c->files);
    *c = (contents){0};
}

const sgc_object *contents_find(const contents *c, const char *key)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->files[i].key, key) == 0)
            return &c->files[i].object;
    return NULL;
}

void assert_kept_contents(const contents *before, const contents *after, const char *prefix)
{
    for (size_t i = 0; i < before->count; i++) {
        const stored_file *file = &before->files[i];
        if (strncmp(file->key, prefix, strlen(prefix)) != 0)
            continue;
        const sgc_object *now = contents_find(after, file->key);
        if (now == NULL || now->size != file->object.size ||
            memcmp(now->data, file->object.data, now->size) != 0)
            fail_msg("%s is %s", file->key, now == NULL ? "gone" : "another");
    }
}

void assert_same_contents(const contents *before, const contents *after, const char *prefix)
{
    assert_kept_contents(before, after, prefix);
    for (size_t i = 0; i < after->count; i++)
        if (strncmp(after->files[i].key, prefix, strlen(prefix)) == 0 &&
            contents_find(before, after->files[i].key) == NULL)
            fail_msg("%s is new", after->files[i].key);
}

void check_unchanged(place *p, contents *before)
{
    contents after = contents_take(p);
    assert_same_contents(before, &after, "");
    contents_free(&after);
    contents_free(before);
}

/* ---- repositories with something in them ---- */

static const struct {
    const char *path;
    size_t dimension_count;
    uint64_t shape[2], chunk_shape[2];
} arrays[] = {
    {"/inline", 1, {4}, {1}}, {"/g/native", 2, {60, 60}, {30, 20}}, {"/scalar", 0, {0}, {0}}};
enum { ARRAYS = sizeof arrays / sizeof *arrays };

static sgc_array_metadata metadata_of(size_t array)
{
    sgc_array_metadata metadata = {.type = SGC_UINT8,
                                   .dimension_count = arrays[array].dimension_count};
    for (size_t d = 0; d < metadata.dimension_count; d++) {
        metadata.shape[d] = arrays[array].shape[d];
        metadata.chunk_shape[d] = arrays[array].chunk_shape[d];
    }
    return metadata;
}

sgc_object_id commit_arrays(sgc_repository *repository)
{
    sgc_object_id id;
    sgc_session *session = new_session(repository);
    for (size_t i = 0; i < ARRAYS; i++) {
        const sgc_array_metadata metadata = metadata_of(i);
        if (i == 1)
            assert_ok(sgc_session_put_group(session, "/g", group_json, strlen(group_json), &err));
        put_array(session, arrays[i].path, &metadata, "0");
    }
    assert_ok(sgc_session_commit(session, "arrays", NULL, &id, &err));
    sgc_session_free(session);
    return id;
}

void set_value(sgc_session *session, const char *path, uint32_t y, uint32_t x, unsigned char value)
{
    sgc_node node;
    sgc_array_metadata metadata;
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    const uint32_t at[] = {y, x};
    assert_ok(sgc_session_get_node(session, path, &node, &err));
    assert_ok(sgc_array_metadata_parse((const char *)node.user_data, node.user_data_size, &metadata,
                                       &err));
    unsigned char *chunk = malloc(metadata.chunk_bytes);
    memset(chunk, value, metadata.chunk_bytes);
    assert_ok(sgc_array_write_chunk(sgc_session_repository(session), &metadata, chunk, 1, &encoded,
                                    &ref, &err));
    assert_ok(sgc_session_set_chunk(session, path, at, &ref, &err));
    sgc_buffer_free(&encoded);
    free(chunk);
    sgc_array_metadata_clear(&metadata);
}

sgc_object_id commit_value(sgc_repository *repository, const char *branch, const char *path,
                           uint32_t y, uint32_t x, unsigned char value)
{
    sgc_object_id id;
    sgc_session *session;
    char message[32];
    assert_ok(sgc_session_new(repository, branch, &session, &err));
    set_value(session, path, y, x, value);
    snprintf(message, sizeof message, "value %u", value);
    assert_ok(sgc_session_commit(session, message, NULL, &id, &err));
    sgc_session_free(session);
    return id;
}

sgc_object_id tip_of(sgc_repository *repository, const char *branch)
{
    sgc_object_id id;
    assert_ok(sgc_repository_resolve(repository, SGC_REF_BRANCH, branch, &id, &err));
    return id;
}

/* FNV-1a. */
static uint64_t hash_of(const void *data, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void describe_values(sgc_repository *repository, sgc_snapshot *snapshot, const char *path,
                            sgc_buffer *text)
{
    const uint64_t start[SGC_ZARR_MAX_DIMENSIONS] = {0};
    sgc_array *array;
    assert_ok(sgc_array_open(repository, snapshot, path, &array, &err));
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    size_t size = sgc_data_type_size(metadata->type);
    for (size_t d = 0; d < metadata->dimension_count; d++)
        size *= (size_t)metadata->shape[d];
    void *values = malloc(size + 1);
    const sgc_status status = sgc_array_read(array, start, metadata->shape, values, 1, &err);
    if (status == SGC_UNSUPPORTED)
        assert_ok(sgc_buffer_print(text, &err, " virtual"));
    else
        assert_ok(status);
    if (status == SGC_OK)
        assert_ok(
            sgc_buffer_print(text, &err, " %016llx", (unsigned long long)hash_of(values, size)));
    free(values);
    sgc_array_close(array);
}

static void describe(sgc_repository *repository, const sgc_object_id *id, sgc_buffer *text)
{
    sgc_snapshot *snapshot;
    assert_ok(sgc_repository_snapshot(repository, id, &snapshot, &err));
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    for (size_t i = 0; i < data->node_count; i++) {
        const sgc_node *node = &data->nodes[i];
        assert_ok(
            sgc_buffer_print(text, &err, "%s %016llx", node->path,
                             (unsigned long long)hash_of(node->user_data, node->user_data_size)));
        if (node->is_array)
            describe_values(repository, snapshot, node->path, text);
        assert_ok(sgc_buffer_print(text, &err, "\n"));
    }
    assert_ok(sgc_buffer_print(text, &err, "."));
    sgc_snapshot_unref(snapshot);
}

char *describe_snapshot(sgc_repository *repository, const sgc_object_id *id)
{
    sgc_buffer text = {0};
    describe(repository, id, &text);
    return (char *)text.data;
}

char *describe_refs(sgc_repository *repository)
{
    sgc_ref_names names;
    sgc_buffer text = {0};
    assert_ok(sgc_repository_list_refs(repository, &names, &err));
    for (size_t i = 0; i < names.branch_count + names.tag_count; i++) {
        const bool is_branch = i < names.branch_count;
        const sgc_ref *ref = is_branch ? &names.branches[i] : &names.tags[i - names.branch_count];
        assert_ok(
            sgc_buffer_print(&text, &err, "%s %s:\n", is_branch ? "branch" : "tag", ref->name));
        describe(repository, &ref->snapshot, &text);
    }
    sgc_ref_names_clear(&names);
    return (char *)text.data;
}

static sgc_status add_message(void *user, const sgc_commit_info *commit, bool *more,
                              sgc_error *error)
{
    (void)more;
    sgc_buffer *text = user;
    return sgc_buffer_print(text, error, "%s%s", text->size > 0 ? " " : "", commit->message);
}

char *describe_history(sgc_repository *repository, const sgc_object_id *from)
{
    sgc_buffer text = {0};
    assert_ok(sgc_repository_history(repository, from, add_message, &text, &err));
    return (char *)text.data;
}

sgc_repo_info load_info(place *p)
{
    sgc_repo_info info;
    assert_ok(sgc_repo_info_load(p->store, &info, &err));
    return info;
}

void put_info(place *p, const sgc_repo_info_data *data)
{
    sgc_buffer payload = {0}, file = {0};
    assert_ok(sgc_repo_info_encode(data, &payload, &err));
    assert_ok(sgc_envelope_wrap(SGC_FILE_REPO_INFO, 2, payload.data, payload.size, &file, &err));
    place_put(p, "repo", file.data, file.size);
    sgc_buffer_free(&payload);
    sgc_buffer_free(&file);
}

void rewrite_snapshot(place *p, const sgc_object_id *id,
                      void (*change)(sgc_snapshot_data *data, sgc_arena *arena))
{
    sgc_snapshot *snapshot;
    sgc_arena arena = {0};
    assert_ok(sgc_snapshot_load(p->store, id, &snapshot, &err));
    sgc_snapshot_data data = *sgc_snapshot_get(snapshot);
    change(&data, &arena);
    assert_ok(sgc_snapshot_store(p->store, &data, &err));
    sgc_snapshot_unref(snapshot);
    sgc_arena_free(&arena);
}

/* ---- histories by hand ---- */

sgc_object_id made_id(size_t i)
{
    return (sgc_object_id){{(uint8_t)(i * 149 + 77), (uint8_t)(i >> 8), (uint8_t)i, 1}};
}

static void make_files(place *p, const made_commit *commit, size_t i,
                       const sgc_metadata_item *items, size_t item_count)
{
    const sgc_snapshot_data data = {
        .spec_version = p->version,
        .id = made_id(i),
        .has_parent = commit->parent >= 0,
        .parent = made_id((size_t)commit->parent),
        .flushed_at = commit->time,
        .message = commit->message,
        .metadata_count = item_count,
        .metadata = items,
    };
    const sgc_transaction_log log = {.spec_version = p->version, .id = data.id};
    assert_ok(sgc_snapshot_store(p->store, &data, &err));
    if (p->version == 2 || data.has_parent)
        assert_ok(sgc_transaction_log_store(p->store, &log, &err));
}

static uint32_t index_of(const sgc_snapshot_entry *entries, size_t count, size_t commit)
{
    const sgc_object_id id = made_id(commit);
    uint32_t i = 0;
    while (i < count && sgc_object_id_compare(&entries[i].id, &id) != 0)
        i++;
    assert_true(i < count);
    return i;
}

static int compare_entries(const void *a, const void *b)
{
    return sgc_object_id_compare(&((const sgc_snapshot_entry *)a)->id,
                                 &((const sgc_snapshot_entry *)b)->id);
}

/* The entries' parents are numbers of commits before, indexes after. */
static void make_info(place *p, sgc_snapshot_entry *entries, size_t count, const made_ref *refs,
                      size_t ref_count)
{
    enum { MOST = 64 };
    static const sgc_operation first = {.kind = SGC_REPO_INITIALIZED, .time = 1};
    sgc_named_snapshot branches[MOST], tags[MOST];
    sgc_repo_info_data data = {
        .spec_version = 2,
        .branches = branches,
        .tags = tags,
        .snapshot_count = count,
        .snapshots = entries,
        .status = {.set_at = 1},
        .has_metadata = true,
        .operation_count = 1,
        .operations = &first,
    };
    assert_true(ref_count <= MOST);
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++)
        if (entries[i].parent >= 0)
            entries[i].parent = (int32_t)index_of(entries, count, (size_t)entries[i].parent);
    for (size_t i = 0; i < ref_count; i++) {
        const sgc_named_snapshot made = {refs[i].name, index_of(entries, count, refs[i].commit)};
        if (refs[i].kind == SGC_REF_BRANCH)
            branches[data.branch_count++] = made;
        else
            tags[data.tag_count++] = made;
    }
    assert_ok(sgc_repo_info_store_new(p->store, &data, &err));
}

void make_history(place *p, const made_commit *commits, size_t count, const made_ref *refs,
                  size_t ref_count)
{
    sgc_arena arena = {0};
    sgc_snapshot_entry *entries = sgc_arena_alloc(&arena, count, sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        const made_commit *commit = &commits[i];
        sgc_snapshot_entry *entry = &entries[i];
        *entry = (sgc_snapshot_entry){.id = made_id(i),
                                      .parent = commit->parent,
                                      .flushed_at = commit->time,
                                      .message = commit->message,
                                      .has_metadata = true};
        assert_ok(sgc_metadata_items_encode(commit->metadata, p->version, &arena, &entry->metadata,
                                            &entry->metadata_count, &err));
        make_files(p, commit, i, entry->metadata, entry->metadata_count);
    }
    if (p->version == 2)
        make_info(p, entries, count, refs, ref_count);
    else
        for (size_t i = 0; i < ref_count; i++)
            assert_ok(sgc_ref_create(p->store, refs[i].kind, refs[i].name,
                                     &entries[refs[i].commit].id, &err));
    sgc_arena_free(&arena);
}
