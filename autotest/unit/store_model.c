#include "autotest/unit/store_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/store_testing.h"
#include "store/icechunk/diff.h"
#include "store/icechunk/transaction_log.h"

enum { NATIVE_HEIGHT = 20, NATIVE_WIDTH = 30, NATIVE_BYTES = NATIVE_HEIGHT * NATIVE_WIDTH };

/* ---- the model ---- */

model_node *model_find(model *m, const char *path)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->nodes[i].path, path) == 0)
            return &m->nodes[i];
    return NULL;
}

bool model_is_below(const char *path, const char *top)
{
    const size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool delete_tree(model *m, const char *path)
{
    const size_t before = m->count;
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!model_is_below(m->nodes[i].path, path))
            m->nodes[n++] = m->nodes[i];
    m->count = n;
    return n < before;
}

static void put_node(model *m, const model_change *change)
{
    model_node *node = model_find(m, change->path);
    if (node == NULL) {
        assert_true(m->count < MODEL_MOST_NODES);
        node = &m->nodes[m->count++];
        *node = (model_node){.is_array = change->verb == MODEL_ARRAY};
        strcpy(node->path, change->path);
    }
    assert_int_equal(node->is_array, change->verb == MODEL_ARRAY);
    node->number = change->number;
    node->height = change->height;
    node->width = change->width;
    for (uint32_t y = 0; y < MODEL_SIDE; y++)
        for (uint32_t x = 0; x < MODEL_SIDE; x++)
            if (y >= node->height || x >= node->width)
                node->chunks[y][x] = 0;
}

static bool set_chunk(model *m, const model_change *change)
{
    model_node *node = model_find(m, change->path);
    const bool has_place = node != NULL && change->y < node->height && change->x < node->width;
    if (has_place)
        node->chunks[change->y][change->x] = change->value;
    return has_place;
}

bool model_apply(model *m, const model_change *change)
{
    switch (change->verb) {
    case MODEL_DELETE:
        return delete_tree(m, change->path);
    case MODEL_SET:
        return set_chunk(m, change);
    default:
        put_node(m, change);
        return true;
    }
}

/* ---- documents and chunks ---- */

static bool is_native(const char *path)
{
    return path[strlen(path) - 1] == 'n';
}

void model_print_json(const model_change *change, sgc_buffer *json)
{
    char attributes[32];
    snprintf(attributes, sizeof attributes, "{\"n\":%u}", change->number);
    if (change->verb == MODEL_GROUP) {
        assert_ok(sgc_buffer_print(json, &err,
                                   "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":%s}",
                                   attributes));
        return;
    }
    static char y[] = "y", x[] = "x";
    const uint64_t height = is_native(change->path) ? NATIVE_HEIGHT : 1;
    const uint64_t width = is_native(change->path) ? NATIVE_WIDTH : 1;
    const sgc_array_metadata metadata = {
        .type = SGC_UINT8,
        .dimension_count = 2,
        .shape = {change->height * height, change->width * width},
        .chunk_shape = {height, width},
        .has_dimension_names = true,
        .dimension_names = {y, x},
    };
    assert_ok(sgc_array_metadata_print(&metadata, "0", attributes, json, &err));
}

sgc_chunk_ref model_write_chunk(sgc_repository *repository, const char *path,
                                const unsigned char *value)
{
    unsigned char bytes[NATIVE_BYTES];
    sgc_chunk_ref ref = {.kind = SGC_CHUNK_NONE};
    memset(bytes, *value, sizeof bytes);
    if (*value != 0 && is_native(path))
        assert_ok(sgc_repository_write_chunk(repository, bytes, sizeof bytes, &ref, &err));
    else if (*value != 0)
        ref = (sgc_chunk_ref){.kind = SGC_CHUNK_INLINE, .length = 1, .inline_data = value};
    return ref;
}

unsigned char model_read_chunk(sgc_repository *repository, const char *path,
                               const sgc_chunk_ref *ref)
{
    sgc_object bytes = {0};
    if (ref->kind == SGC_CHUNK_NONE)
        return 0;
    assert_int_equal(ref->length, is_native(path) ? NATIVE_BYTES : 1);
    assert_ok(sgc_repository_read_chunk(repository, ref, 0, ref->length, &bytes, &err));
    const unsigned char value = bytes.data[0];
    for (size_t i = 1; i < bytes.size; i++)
        assert_int_equal(bytes.data[i], value);
    sgc_object_clear(&bytes);
    assert_int_not_equal(value, 0);
    return value;
}

static void do_put(sgc_session *session, const model_change *change)
{
    sgc_buffer json = {0};
    model_print_json(change, &json);
    if (change->verb == MODEL_GROUP)
        assert_ok(sgc_session_put_group(session, change->path, json.data, json.size, &err));
    else
        assert_ok(sgc_session_put_array(session, change->path, json.data, json.size, &err));
    sgc_buffer_free(&json);
}

void model_do(sgc_session *session, const model_change *change)
{
    const uint32_t at[] = {change->y, change->x};
    sgc_chunk_ref ref;
    switch (change->verb) {
    case MODEL_GROUP:
    case MODEL_ARRAY:
        do_put(session, change);
        break;
    case MODEL_DELETE:
        assert_ok(sgc_session_delete(session, change->path, &err));
        break;
    case MODEL_SET:
        ref = model_write_chunk(sgc_session_repository(session), change->path, &change->value);
        assert_ok(sgc_session_set_chunk(session, change->path, at, &ref, &err));
        break;
    }
}

/* ---- checking a tree ---- */

static void check_json(const model_node *node, const void *data, size_t size)
{
    model_change put = {.verb = node->is_array ? MODEL_ARRAY : MODEL_GROUP,
                        .number = node->number,
                        .height = node->height,
                        .width = node->width};
    strcpy(put.path, node->path);
    sgc_buffer json = {0};
    model_print_json(&put, &json);
    if (size != json.size || memcmp(data, json.data, size) != 0)
        fail_msg("%s is %.*s", node->path, (int)size, (const char *)data);
    sgc_buffer_free(&json);
}

static unsigned char stored_value(sgc_repository *repository, const sgc_snapshot *snapshot,
                                  const sgc_node *node, uint32_t y, uint32_t x)
{
    const uint32_t at[] = {y, x};
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    assert_ok(sgc_repository_find_chunk(repository, sgc_snapshot_get(snapshot), node, at, &ref,
                                        &keep, &err));
    const unsigned char value = model_read_chunk(repository, node->path, &ref);
    sgc_manifest_unref(keep);
    return value;
}

static void check_array(const model_node *expected, sgc_repository *repository,
                        const sgc_snapshot *snapshot, const sgc_node *node)
{
    assert_int_equal(node->dimension_count, 2);
    assert_int_equal(node->dimensions[0].num_chunks, expected->height);
    assert_int_equal(node->dimensions[1].num_chunks, expected->width);
    for (uint32_t y = 0; y < expected->height; y++)
        for (uint32_t x = 0; x < expected->width; x++)
            if (stored_value(repository, snapshot, node, y, x) != expected->chunks[y][x])
                fail_msg("%s[%u,%u] is %d, not %d", node->path, y, x,
                         stored_value(repository, snapshot, node, y, x), expected->chunks[y][x]);
}

/* A node keeps its id, and nobody else has it. */
static void check_id(model *m, model_node *expected, const sgc_node *node)
{
    if (expected->has_id)
        assert_memory_equal(&expected->id, &node->id, sizeof node->id);
    for (size_t i = 0; i < m->count; i++)
        if (&m->nodes[i] != expected && m->nodes[i].has_id)
            assert_memory_not_equal(&m->nodes[i].id, &node->id, sizeof node->id);
    expected->has_id = true;
    expected->id = node->id;
}

void model_check(model *m, sgc_repository *repository, sgc_snapshot *snapshot)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    for (size_t i = 0; i < m->count; i++) {
        model_node *expected = &m->nodes[i];
        const sgc_node *node = sgc_snapshot_find(snapshot, expected->path);
        if (node == NULL)
            fail_msg("%s is missing", expected->path);
        assert_int_equal(node->is_array, expected->is_array);
        check_json(expected, node->user_data, node->user_data_size);
        check_id(m, expected, node);
        if (node->is_array)
            check_array(expected, repository, snapshot, node);
    }
    assert_int_equal(data->node_count, m->count);
}

void model_check_session(const model *m, sgc_session *session)
{
    for (size_t i = 0; i < m->count; i++) {
        const model_node *expected = &m->nodes[i];
        sgc_node node;
        assert_ok(sgc_session_get_node(session, expected->path, &node, &err));
        check_json(expected, (const char *)node.user_data, node.user_data_size);
        for (uint32_t y = 0; y < expected->height; y++) {
            for (uint32_t x = 0; x < expected->width; x++) {
                const uint32_t at[] = {y, x};
                sgc_chunk_ref ref;
                sgc_manifest *keep;
                assert_ok(sgc_session_find_chunk(session, expected->path, at, &ref, &keep, &err));
                assert_int_equal(
                    model_read_chunk(sgc_session_repository(session), expected->path, &ref),
                    expected->chunks[y][x]);
                sgc_manifest_unref(keep);
            }
        }
    }
}

/* ---- checking a log ---- */

typedef struct log_check {
    sgc_repository *repository;
    const sgc_transaction_log *log;
    sgc_snapshot *parent, *child;
    const model_change *changes;
    size_t change_count;
} log_check;

static bool has_id(const sgc_node_ids *ids, const sgc_node_id *id)
{
    size_t found = 0;
    for (size_t i = 0; i < ids->count; i++)
        found += sgc_node_id_compare(&ids->ids[i], id) == 0;
    assert_true(found <= 1);
    return found == 1;
}

static const sgc_node *find_by_id(const sgc_snapshot *snapshot, const sgc_node_id *id)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    for (size_t i = 0; i < data->node_count; i++)
        if (sgc_node_id_compare(&data->nodes[i].id, id) == 0)
            return &data->nodes[i];
    return NULL;
}

/* Checks that those nodes of one snapshot stand in a list that `is_listed` says, and no others. */
static void check_ids(const log_check *c, const sgc_snapshot *snapshot, const sgc_node_ids lists[2],
                      bool (*is_listed)(const log_check *c, const sgc_node *node))
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    size_t count = 0;
    for (size_t i = 0; i < data->node_count; i++) {
        const sgc_node *node = &data->nodes[i];
        const bool listed = is_listed(c, node);
        assert_int_equal(has_id(&lists[node->is_array], &node->id), listed);
        count += listed;
    }
    assert_int_equal(lists[0].count + lists[1].count, count);
}

static bool is_new(const log_check *c, const sgc_node *node)
{
    return find_by_id(c->parent, &node->id) == NULL;
}

static bool is_deleted(const log_check *c, const sgc_node *node)
{
    return find_by_id(c->child, &node->id) == NULL;
}

static bool is_updated(const log_check *c, const sgc_node *node)
{
    const sgc_node *old = find_by_id(c->parent, &node->id);
    return old != NULL && (old->user_data_size != node->user_data_size ||
                           memcmp(old->user_data, node->user_data, node->user_data_size) != 0);
}

static bool lists_chunk(const log_check *c, const sgc_node_id *id, const uint32_t *at)
{
    for (size_t i = 0; i < c->log->updated_chunk_count; i++) {
        const sgc_updated_chunks *list = &c->log->updated_chunks[i];
        for (size_t k = 0; k < list->count && sgc_node_id_compare(&list->node, id) == 0; k++)
            if (memcmp(list->coordinates + 2 * k, at, 2 * sizeof *at) == 0)
                return true;
    }
    return false;
}

static bool was_set(const log_check *c, const char *path, const uint32_t *at)
{
    for (size_t i = 0; i < c->change_count; i++)
        if (c->changes[i].verb == MODEL_SET && strcmp(c->changes[i].path, path) == 0 &&
            c->changes[i].y == at[0] && c->changes[i].x == at[1])
            return true;
    return false;
}

/* Whatever is listed was set, in order, in an array that is there. */
static void check_listed_chunks(const log_check *c)
{
    for (size_t i = 0; i < c->log->updated_chunk_count; i++) {
        const sgc_updated_chunks *list = &c->log->updated_chunks[i];
        const sgc_node *node = find_by_id(c->child, &list->node);
        assert_non_null(node);
        assert_true(list->count > 0);
        for (size_t k = 0; k < list->count; k++) {
            const uint32_t *at = list->coordinates + 2 * k;
            assert_true(was_set(c, node->path, at));
            assert_true(at[0] < node->dimensions[0].num_chunks);
            assert_true(at[1] < node->dimensions[1].num_chunks);
            if (k > 0)
                assert_true(at[-2] < at[0] || (at[-2] == at[0] && at[-1] < at[1]));
        }
    }
}

/* Whatever differs is listed, but for what an array has lost with its old shape. */
static sgc_status check_difference(void *user, const sgc_difference *d, sgc_error *error)
{
    (void)error;
    const log_check *c = user;
    if (d->kind == SGC_REMOVED)
        return SGC_OK;
    const sgc_node *node = sgc_snapshot_find(c->child, d->path);
    for (size_t i = 0; i < d->chunk_count; i++) {
        const uint32_t *at = d->chunks + 2 * i;
        const bool is_lost =
            d->json_differs && stored_value(c->repository, c->child, node, at[0], at[1]) == 0;
        if (!is_lost && !lists_chunk(c, &node->id, at))
            fail_msg("%s[%u,%u] is not in the log", d->path, at[0], at[1]);
    }
    return SGC_OK;
}

static sgc_status find_parent(void *user, const sgc_commit_info *commit, bool *more,
                              sgc_error *error)
{
    (void)error;
    assert_true(commit->has_parent);
    *(sgc_object_id *)user = commit->parent;
    *more = false;
    return SGC_OK;
}

void model_check_log(sgc_repository *repository, const model_change *changes, size_t count)
{
    sgc_arena arena = {0};
    sgc_transaction_log log;
    log_check c = {repository, &log, NULL, load_tip(repository), changes, count};
    const sgc_object_id *id = &sgc_snapshot_get(c.child)->id;
    sgc_object_id parent;
    assert_ok(sgc_repository_history(repository, id, find_parent, &parent, &err));
    assert_ok(sgc_repository_snapshot(repository, &parent, &c.parent, &err));
    assert_ok(sgc_transaction_log_load(sgc_repository_store(repository), id, &arena, &log, &err));
    const sgc_node_ids made[] = {log.new_groups, log.new_arrays};
    const sgc_node_ids deleted[] = {log.deleted_groups, log.deleted_arrays};
    const sgc_node_ids updated[] = {log.updated_groups, log.updated_arrays};
    check_ids(&c, c.child, made, is_new);
    check_ids(&c, c.parent, deleted, is_deleted);
    check_ids(&c, c.child, updated, is_updated);
    check_listed_chunks(&c);
    assert_ok(sgc_repository_diff(repository, c.parent, c.child, check_difference, &c, &err));
    assert_int_equal(log.moved_node_count, 0);
    sgc_arena_free(&arena);
    sgc_snapshot_unref(c.parent);
    sgc_snapshot_unref(c.child);
}
