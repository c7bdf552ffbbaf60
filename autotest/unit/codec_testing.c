#include "autotest/unit/codec_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparisons ---- */

void assert_same_bytes(sgc_bytes a, sgc_bytes b)
{
    assert_int_equal(a.data == NULL, b.data == NULL);
    assert_int_equal(a.size, b.size);
    if (a.size > 0)
        assert_memory_equal(a.data, b.data, a.size);
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_string_equal(a, b);
}

static void assert_same_list(const void *a, size_t a_count, const void *b, size_t b_count,
                             size_t item_size)
{
    assert_int_equal(a_count, b_count);
    if (a_count > 0)
        assert_memory_equal(a, b, a_count * item_size);
}

static void assert_same_metadata(const sgc_metadata_item *a, size_t a_count,
                                 const sgc_metadata_item *b, size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_string_equal(a[i].name, b[i].name);
        assert_same_list(a[i].value, a[i].value_size, b[i].value, b[i].value_size, 1);
    }
}

static void assert_same_array(const sgc_node *a, const sgc_node *b)
{
    assert_int_equal(a->dimension_count, b->dimension_count);
    assert_int_equal(a->has_dimension_names, b->has_dimension_names);
    for (size_t i = 0; i < a->dimension_count; i++) {
        const sgc_dimension *d = &a->dimensions[i], *e = &b->dimensions[i];
        assert_int_equal(d->array_length, e->array_length);
        assert_int_equal(d->chunk_length, e->chunk_length);
        assert_int_equal(d->num_chunks, e->num_chunks);
        assert_same_text(d->name, e->name);
    }
    assert_int_equal(a->manifest_count, b->manifest_count);
    for (size_t i = 0; i < a->manifest_count; i++) {
        assert_memory_equal(&a->manifests[i].id, &b->manifests[i].id, sizeof(sgc_object_id));
        assert_same_list(a->manifests[i].extents, a->dimension_count, b->manifests[i].extents,
                         b->dimension_count, sizeof(sgc_extent));
    }
}

static void assert_same_node(const sgc_node *a, const sgc_node *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_string_equal(a->path, b->path);
    assert_same_list(a->user_data, a->user_data_size, b->user_data, b->user_data_size, 1);
    assert_same_bytes(a->extra, b->extra);
    assert_int_equal(a->is_array, b->is_array);
    assert_same_array(a, b);
}

void assert_same_snapshot(const sgc_snapshot_data *a, const sgc_snapshot_data *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->has_parent, b->has_parent);
    assert_memory_equal(&a->parent, &b->parent, sizeof a->parent);
    assert_int_equal(a->flushed_at, b->flushed_at);
    assert_string_equal(a->message, b->message);
    assert_same_metadata(a->metadata, a->metadata_count, b->metadata, b->metadata_count);
    assert_int_equal(a->node_count, b->node_count);
    for (size_t i = 0; i < a->node_count; i++)
        assert_same_node(&a->nodes[i], &b->nodes[i]);
    assert_int_equal(a->manifest_file_count, b->manifest_file_count);
    for (size_t i = 0; i < a->manifest_file_count; i++) {
        const sgc_manifest_file *f = &a->manifest_files[i], *g = &b->manifest_files[i];
        assert_memory_equal(&f->id, &g->id, sizeof f->id);
        assert_int_equal(f->size_bytes, g->size_bytes);
        assert_int_equal(f->num_chunk_refs, g->num_chunk_refs);
        assert_same_bytes(f->extra, g->extra);
    }
    assert_same_bytes(a->extra, b->extra);
}

static void assert_same_ref(const sgc_chunk_ref *a, const sgc_chunk_ref *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->length, b->length);
    if (a->kind == SGC_CHUNK_INLINE && a->length > 0)
        assert_memory_equal(a->inline_data, b->inline_data, a->length);
    assert_int_equal(a->details == NULL, b->details == NULL);
    if (a->details != NULL) {
        assert_same_text(a->details->location, b->details->location);
        assert_same_text(a->details->etag, b->details->etag);
        assert_int_equal(a->details->last_modified, b->details->last_modified);
        assert_same_bytes(a->details->extra, b->details->extra);
    }
}

void assert_same_manifest(const sgc_manifest_data *a, const sgc_manifest_data *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->array_count, b->array_count);
    for (size_t i = 0; i < a->array_count; i++) {
        const sgc_array_manifest *m = &a->arrays[i], *n = &b->arrays[i];
        assert_memory_equal(&m->node, &n->node, sizeof m->node);
        assert_int_equal(m->dimension_count, n->dimension_count);
        assert_same_list(m->coordinates, m->count * m->dimension_count, n->coordinates,
                         n->count * n->dimension_count, sizeof *m->coordinates);
        assert_int_equal(m->count, n->count);
        for (size_t k = 0; k < m->count; k++)
            assert_same_ref(&m->refs[k], &n->refs[k]);
        assert_same_bytes(m->extra, n->extra);
    }
    assert_same_bytes(a->extra, b->extra);
}

static void assert_same_ids(const sgc_node_ids *a, const sgc_node_ids *b)
{
    assert_same_list(a->ids, a->count, b->ids, b->count, sizeof *a->ids);
}

void assert_same_log(const sgc_transaction_log *a, const sgc_transaction_log *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_same_ids(&a->new_groups, &b->new_groups);
    assert_same_ids(&a->new_arrays, &b->new_arrays);
    assert_same_ids(&a->deleted_groups, &b->deleted_groups);
    assert_same_ids(&a->deleted_arrays, &b->deleted_arrays);
    assert_same_ids(&a->updated_arrays, &b->updated_arrays);
    assert_same_ids(&a->updated_groups, &b->updated_groups);
    assert_int_equal(a->updated_chunk_count, b->updated_chunk_count);
    for (size_t i = 0; i < a->updated_chunk_count; i++) {
        const sgc_updated_chunks *u = &a->updated_chunks[i], *v = &b->updated_chunks[i];
        assert_memory_equal(&u->node, &v->node, sizeof u->node);
        assert_int_equal(u->count, v->count);
        assert_same_list(u->coordinates, u->count * u->dimension_count, v->coordinates,
                         v->count * v->dimension_count, sizeof *u->coordinates);
    }
    assert_int_equal(a->moved_node_count, b->moved_node_count);
    for (size_t i = 0; i < a->moved_node_count; i++) {
        assert_string_equal(a->moved_nodes[i].from, b->moved_nodes[i].from);
        assert_string_equal(a->moved_nodes[i].to, b->moved_nodes[i].to);
        assert_memory_equal(&a->moved_nodes[i].id, &b->moved_nodes[i].id, sizeof(sgc_node_id));
        assert_int_equal(a->moved_nodes[i].is_array, b->moved_nodes[i].is_array);
    }
}

static void assert_same_refs(const sgc_named_snapshot *a, size_t a_count,
                             const sgc_named_snapshot *b, size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_string_equal(a[i].name, b[i].name);
        assert_int_equal(a[i].snapshot, b[i].snapshot);
    }
}

static void assert_same_entry(const sgc_snapshot_entry *a, const sgc_snapshot_entry *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->parent, b->parent);
    assert_int_equal(a->flushed_at, b->flushed_at);
    assert_string_equal(a->message, b->message);
    assert_int_equal(a->has_metadata, b->has_metadata);
    assert_same_metadata(a->metadata, a->metadata_count, b->metadata, b->metadata_count);
    assert_same_list(a->pruned_logs, a->pruned_log_count, b->pruned_logs, b->pruned_log_count,
                     sizeof *a->pruned_logs);
}

static void assert_same_status(const sgc_repo_status *a, const sgc_repo_status *b)
{
    assert_int_equal(a->availability, b->availability);
    assert_int_equal(a->set_at, b->set_at);
    assert_same_text(a->reason, b->reason);
}

void assert_same_operation(const sgc_operation *a, const sgc_operation *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->time, b->time);
    assert_same_text(a->backup, b->backup);
    assert_same_text(a->name, b->name);
    assert_memory_equal(&a->previous, &b->previous, sizeof a->previous);
    assert_memory_equal(&a->snapshot, &b->snapshot, sizeof a->snapshot);
    assert_int_equal(a->from_version, b->from_version);
    assert_int_equal(a->to_version, b->to_version);
    assert_int_equal(a->flag, b->flag);
    assert_int_equal(a->flag_value, b->flag_value);
    assert_int_equal(a->flag_is_set, b->flag_is_set);
    assert_same_status(&a->status, &b->status);
}

void assert_same_repo_info(const sgc_repo_info_data *a, const sgc_repo_info_data *b)
{
    assert_int_equal(a->spec_version, b->spec_version);
    assert_same_refs(a->tags, a->tag_count, b->tags, b->tag_count);
    assert_same_refs(a->branches, a->branch_count, b->branches, b->branch_count);
    assert_int_equal(a->deleted_tag_count, b->deleted_tag_count);
    for (size_t i = 0; i < a->deleted_tag_count; i++)
        assert_string_equal(a->deleted_tags[i], b->deleted_tags[i]);
    assert_int_equal(a->snapshot_count, b->snapshot_count);
    for (size_t i = 0; i < a->snapshot_count; i++)
        assert_same_entry(&a->snapshots[i], &b->snapshots[i]);
    assert_same_status(&a->status, &b->status);
    assert_int_equal(a->has_metadata, b->has_metadata);
    assert_same_metadata(a->metadata, a->metadata_count, b->metadata, b->metadata_count);
    assert_int_equal(a->operation_count, b->operation_count);
    for (size_t i = 0; i < a->operation_count; i++)
        assert_same_operation(&a->operations[i], &b->operations[i]);
    assert_same_text(a->previous_file, b->previous_file);
    assert_same_bytes(a->config, b->config);
    assert_int_equal(a->has_enabled_flags, b->has_enabled_flags);
    assert_int_equal(a->has_disabled_flags, b->has_disabled_flags);
    assert_same_list(a->enabled_flags, a->enabled_flag_count, b->enabled_flags,
                     b->enabled_flag_count, sizeof *a->enabled_flags);
    assert_same_list(a->disabled_flags, a->disabled_flag_count, b->disabled_flags,
                     b->disabled_flag_count, sizeof *a->disabled_flags);
    assert_same_bytes(a->extra, b->extra);
    assert_int_equal(a->has_unknown_fields, b->has_unknown_fields);
}

/* ---- decoding and encoding ---- */

#define DEFINE_RECODE(name, data_type, decode, encode)                       \
    sgc_status name(const void *buffer, size_t size)                         \
    {                                                                        \
        sgc_arena arena = {0};                                               \
        sgc_buffer again = {0};                                              \
        data_type data;                                                      \
        const sgc_status status = decode(buffer, size, &arena, &data, &err); \
        if (status == SGC_OK) {                                              \
            data.spec_version = 2;                                           \
            assert_int_not_equal(encode(&data, &again, NULL), SGC_CORRUPT);  \
        }                                                                    \
        sgc_buffer_free(&again);                                             \
        sgc_arena_free(&arena);                                              \
        return status;                                                       \
    }

DEFINE_RECODE(recode_snapshot, sgc_snapshot_data, sgc_snapshot_decode, sgc_snapshot_encode)
DEFINE_RECODE(recode_manifest, sgc_manifest_data, sgc_manifest_decode, sgc_manifest_encode)
DEFINE_RECODE(recode_log, sgc_transaction_log, sgc_transaction_log_decode,
              sgc_transaction_log_encode)
DEFINE_RECODE(recode_repo_info, sgc_repo_info_data, sgc_repo_info_decode, sgc_repo_info_encode)

/* ---- damage ---- */

static void recode_damaged(recode_fn *recode, const unsigned char *damaged, size_t size)
{
    const sgc_status status = recode(damaged, size);
    assert_true(status == SGC_OK || status == SGC_CORRUPT || status == SGC_UNSUPPORTED);
}

static void damage_byte(recode_fn *recode, unsigned char *damaged, size_t size, size_t at)
{
    const unsigned char byte = damaged[at];
    const unsigned char others[] = {0, 0xff, (unsigned char)(byte + 1), (unsigned char)(byte - 1)};
    for (unsigned bit = 0; bit < 8; bit++) {
        damaged[at] = (unsigned char)(byte ^ 1u << bit);
        recode_damaged(recode, damaged, size);
    }
    for (size_t i = 0; i < sizeof others; i++) {
        damaged[at] = others[i];
        recode_damaged(recode, damaged, size);
    }
    damaged[at] = byte;
}

/* What is decoded is exactly as large as what was allocated. */
static unsigned char *copy(const unsigned char *data, size_t size)
{
    unsigned char *result = malloc(size > 0 ? size : 1);
    memcpy(result, data, size);
    return result;
}

void damage_everywhere(recode_fn *recode, const sgc_buffer *payload)
{
    assert_ok(recode(payload->data, payload->size));
    unsigned char *damaged = copy(payload->data, payload->size);
    for (size_t at = 0; at < payload->size; at++)
        damage_byte(recode, damaged, payload->size, at);
    free(damaged);
    for (size_t size = 0; size < payload->size; size++) {
        damaged = copy(payload->data, size);
        recode_damaged(recode, damaged, size);
        free(damaged);
    }
}

/* ---- FlatBuffers by hand ---- */

const unsigned char *flat_target(const unsigned char *offset)
{
    uint32_t distance;
    memcpy(&distance, offset, sizeof distance);
    return offset + distance;
}

const unsigned char *flat_root(const sgc_buffer *payload)
{
    return flat_target(payload->data);
}

const unsigned char *flat_field(const unsigned char *table, size_t slot)
{
    int32_t back;
    uint16_t size, at = 0;
    memcpy(&back, table, sizeof back);
    const unsigned char *vtable = table - back;
    memcpy(&size, vtable, sizeof size);
    if (4 + 2 * slot < size)
        memcpy(&at, vtable + 4 + 2 * slot, sizeof at);
    return at != 0 ? table + at : NULL;
}

const unsigned char *flat_item(const unsigned char *table, size_t slot, size_t i)
{
    return flat_target(flat_target(flat_field(table, slot)) + 4 + 4 * i);
}

void assert_slots(const unsigned char *table, const char *slots)
{
    enum { MOST = 20 };
    char found[3 * MOST] = "";
    for (unsigned slot = 0; slot < MOST; slot++)
        if (flat_field(table, slot) != NULL)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%u",
                     found[0] != '\0' ? " " : "", slot);
    assert_string_equal(found, slots);
}
