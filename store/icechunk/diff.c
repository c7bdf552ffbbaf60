#include "store/icechunk/diff.h"

#include <stdlib.h>

#include "store/icechunk/id_set.h"

typedef struct side {
    const sgc_snapshot_data *snapshot;
    const sgc_node *node; /* an array, or NULL */
} side;

/* A reference that only one side's manifests have, or that both have in different manifests. */
typedef struct entry {
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    const sgc_chunk_ref *ref;
} entry;

typedef struct comparison {
    sgc_repository *repository;
    entry *entries;
    size_t entry_count, entry_capacity;
    sgc_manifest **loaded; /* what entries borrow from */
    size_t loaded_count, loaded_capacity;
    uint32_t *chunks;
    size_t chunk_count;
} comparison;

static void free_comparison(comparison *c)
{
    for (size_t i = 0; i < c->loaded_count; i++)
        sgc_manifest_unref(c->loaded[i]);
    free(c->loaded);
    free(c->entries);
    free(c->chunks);
}

static sgc_status add_entries(comparison *c, const sgc_node *node, const sgc_array_manifest *array,
                              sgc_error *err)
{
    const size_t n = node->dimension_count;
    if (array->count > 0 && array->dimension_count != n)
        return sgc_fail(err, SGC_CORRUPT, "%s: a manifest has other dimensions", node->path);
    for (size_t i = 0; i < array->count; i++) {
        entry *grown = sgc_list_grow(c->entries, c->entry_count, &c->entry_capacity, sizeof *grown);
        if (grown == NULL)
            return sgc_fail_memory(err, sizeof *grown, "a comparison");
        c->entries = grown;
        entry *made = &c->entries[c->entry_count++];
        *made = (entry){.ref = &array->refs[i]};
        if (n > 0)
            memcpy(made->coordinates, array->coordinates + i * n, n * sizeof *made->coordinates);
    }
    return SGC_OK;
}

static sgc_status add_manifest(comparison *c, const side *s, const sgc_object_id *id,
                               sgc_error *err)
{
    sgc_manifest **grown =
        sgc_list_grow(c->loaded, c->loaded_count, &c->loaded_capacity, sizeof *grown);
    sgc_manifest *manifest;
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a comparison");
    c->loaded = grown;
    SGC_TRY(sgc_repository_manifest(c->repository, s->snapshot, id, &manifest, err));
    c->loaded[c->loaded_count++] = manifest;
    const sgc_array_manifest *array = sgc_manifest_find_array(manifest, &s->node->id);
    return array != NULL ? add_entries(c, s->node, array, err) : SGC_OK;
}

/* Adds what the manifests of one side say that the other side does not have. */
static sgc_status add_side(comparison *c, const side *s, const side *other, sgc_error *err)
{
    sgc_id_set common = {0};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && other->node != NULL && i < other->node->manifest_count;
         i++)
        status = sgc_id_set_add(&common, &other->node->manifests[i].id, NULL, err);
    for (size_t i = 0; status == SGC_OK && s->node != NULL && i < s->node->manifest_count; i++)
        if (!sgc_id_set_has(&common, &s->node->manifests[i].id))
            status = add_manifest(c, s, &s->node->manifests[i].id, err);
    sgc_id_set_free(&common);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    const entry *left = a, *right = b;
    for (size_t d = 0; d < SGC_MAX_DIMENSIONS; d++)
        if (left->coordinates[d] != right->coordinates[d])
            return left->coordinates[d] < right->coordinates[d] ? -1 : 1;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_source(const sgc_ref_details *a, const sgc_ref_details *b)
{
    return same_text(a->location, b->location) && same_text(a->etag, b->etag) &&
           a->last_modified == b->last_modified;
}

static bool same_ref(const sgc_chunk_ref *a, const sgc_chunk_ref *b)
{
    if (a->kind != b->kind || a->length != b->length)
        return false;
    if (a->kind == SGC_CHUNK_INLINE)
        return memcmp(a->inline_data, b->inline_data, (size_t)a->length) == 0;
    if (a->offset != b->offset)
        return false;
    return a->kind == SGC_CHUNK_VIRTUAL ? same_source(a->details, b->details)
                                        : sgc_object_id_compare(&a->id, &b->id) == 0;
}

/* Two equal entries that follow each other are one chunk at both sides. */
static sgc_status list_chunks(comparison *c, size_t dimension_count, sgc_error *err)
{
    const size_t width = dimension_count * sizeof *c->chunks;
    size_t size;
    if (!sgc_multiply(c->entry_count, width, &size))
        return sgc_fail_memory(err, SIZE_MAX, "a comparison");
    c->chunks = malloc(size > 0 ? size : 1);
    if (c->chunks == NULL)
        return sgc_fail_memory(err, size, "a comparison");
    if (c->entry_count > 0)
        qsort(c->entries, c->entry_count, sizeof *c->entries, compare_entries);
    for (size_t i = 0, next; i < c->entry_count; i = next) {
        const entry *e = &c->entries[i];
        const bool pair = i + 1 < c->entry_count && compare_entries(e, e + 1) == 0;
        next = i + 1 + pair;
        if (pair && same_ref(e[0].ref, e[1].ref))
            continue;
        if (width > 0)
            memcpy(c->chunks + c->chunk_count * dimension_count, e->coordinates, width);
        c->chunk_count++;
    }
    return SGC_OK;
}

/* Reports one node; either side's may be NULL. */
static sgc_status report(sgc_repository *repository, side from, side to, sgc_difference_fn fn,
                         void *user, sgc_error *err)
{
    const sgc_node *node = to.node != NULL ? to.node : from.node;
    sgc_difference d = {
        .kind = from.node == NULL ? SGC_ADDED
                : to.node == NULL ? SGC_REMOVED
                                  : SGC_MODIFIED,
        .path = node->path,
        .is_array = node->is_array,
        .dimension_count = node->dimension_count,
    };
    d.json_differs =
        d.kind == SGC_MODIFIED &&
        (from.node->user_data_size != to.node->user_data_size ||
         memcmp(from.node->user_data, to.node->user_data, to.node->user_data_size) != 0);
    comparison c = {.repository = repository};
    sgc_status status = add_side(&c, &from, &to, err);
    if (status == SGC_OK)
        status = add_side(&c, &to, &from, err);
    if (status == SGC_OK)
        status = list_chunks(&c, node->dimension_count, err);
    d.chunks = c.chunks;
    d.chunk_count = c.chunk_count;
    if (status == SGC_OK && (d.kind != SGC_MODIFIED || d.json_differs || d.chunk_count > 0))
        status = fn(user, &d, err);
    free_comparison(&c);
    return status;
}

sgc_status sgc_repository_diff(sgc_repository *repository, sgc_snapshot *from, sgc_snapshot *to,
                               sgc_difference_fn fn, void *user, sgc_error *err)
{
    const sgc_snapshot_data *a = sgc_snapshot_get(from), *b = sgc_snapshot_get(to);
    for (size_t i = 0, k = 0; i < a->node_count || k < b->node_count;) {
        const sgc_node *old = i < a->node_count ? &a->nodes[i] : NULL;
        const sgc_node *new = k < b->node_count ? &b->nodes[k] : NULL;
        const int order = old == NULL ? 1 : new == NULL ? -1 : strcmp(old->path, new->path);
        const bool same = order == 0 && sgc_node_id_compare(&old->id, &new->id) == 0;
        if (same) {
            SGC_TRY(report(repository, (side){a, old}, (side){b, new}, fn, user, err));
        } else {
            if (order <= 0)
                SGC_TRY(report(repository, (side){a, old}, (side){b, NULL}, fn, user, err));
            if (order >= 0)
                SGC_TRY(report(repository, (side){a, NULL}, (side){b, new}, fn, user, err));
        }
        i += order <= 0;
        k += order >= 0;
    }
    return SGC_OK;
}
