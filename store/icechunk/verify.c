/* Verification: everything that branches and tags need is looked at, each object once. */
#include <stdio.h>
#include <stdlib.h>

#include "store/icechunk/id_set.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/metadata_file.h"
#include "store/icechunk/refs.h"
#include "store/icechunk/repository_private.h"
#include "store/icechunk/transaction_log.h"
#include "store/zarr/codecs.h"

enum { CHUNK_KEY = 40 };

/* The stored objects of one kind, by id. */
typedef struct stored_object {
    sgc_object_id id;
    uint64_t size;
} stored_object;

typedef struct stored_objects {
    stored_object *items;
    size_t count, capacity;
} stored_objects;

typedef struct verification {
    sgc_repository *repository;
    const sgc_verify_options *options;
    sgc_ref_kind kind;
    sgc_object_id *tips; /* of all branches and tags */
    size_t tip_count, tip_capacity;
    stored_objects manifests, chunks;
    sgc_id_set snapshots_seen, manifests_seen, chunks_seen;
    sgc_id_set descriptions_seen; /* what snapshots say of manifests */
    const char *key;              /* of what is being looked at */
    sgc_object_id next;           /* the snapshot that comes next in a history */
    uint64_t newer;               /* time of the child of the snapshot being looked at */
    bool has_newer;
    sgc_verify_result result;
} verification;

static void report(verification *v, const char *key, const char *format, ...) SGC_PRINTF(3, 4);

static void report(verification *v, const char *key, const char *format, ...)
{
    sgc_error text;
    va_list args;
    va_start(args, format);
    vsnprintf(text.message, sizeof text.message, format, args);
    va_end(args);
    v->result.defects++;
    if (v->options->fn != NULL)
        v->options->fn(v->options->user, key, text.message);
}

/* Turns a failure to read an object into a defect; others, like a lack of memory, stay failures. */
static sgc_status report_failure(verification *v, const char *key, sgc_status status,
                                 const sgc_error *failure, sgc_error *err)
{
    switch (status) {
    case SGC_OK:
        return SGC_OK;
    case SGC_NOT_FOUND:
    case SGC_CORRUPT:
    case SGC_UNSUPPORTED:
        report(v, key, "%s", failure->message);
        return SGC_OK;
    default:
        return sgc_fail(err, status, "%s", failure->message);
    }
}

/* ---- what is stored ---- */

static sgc_status add_object(void *user, const char *key, const sgc_object_info *info,
                             sgc_error *err)
{
    stored_objects *list = user;
    stored_object object = {.size = info->size};
    const char *name = strchr(key, '/');
    if (name == NULL || sgc_object_id_parse(name + 1, strlen(name + 1), &object.id, NULL) != SGC_OK)
        return SGC_OK;
    stored_object *grown = sgc_list_grow(list->items, list->count, &list->capacity, sizeof *grown);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a list of objects");
    list->items = grown;
    list->items[list->count++] = object;
    return SGC_OK;
}

static int compare_objects(const void *a, const void *b)
{
    return sgc_object_id_compare(a, b); /* the id comes first */
}

static sgc_status list_objects(verification *v, const char *prefix, stored_objects *list,
                               sgc_error *err)
{
    sgc_object_store *store = v->repository->store;
    SGC_TRY(store->list(store, prefix, add_object, list, err));
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_objects);
    return SGC_OK;
}

static const stored_object *find_object(const stored_objects *list, const sgc_object_id *id)
{
    return list->count == 0
               ? NULL
               : bsearch(id, list->items, list->count, sizeof *list->items, compare_objects);
}

/* ---- chunks ---- */

/* Decodes one chunk. `metadata` is NULL where this library cannot. */
static sgc_status decode_chunk(verification *v, const sgc_array_metadata *metadata, const char *key,
                               const sgc_chunk_ref *ref, sgc_error *err)
{
    if (metadata == NULL)
        return SGC_OK;
    sgc_object encoded = {0};
    sgc_error failure = {""};
    unsigned char *chunk = malloc(metadata->chunk_bytes);
    if (chunk == NULL)
        return sgc_fail_memory(err, metadata->chunk_bytes, "a chunk");
    sgc_status status =
        sgc_repository_read_chunk(v->repository, ref, 0, ref->length, &encoded, &failure);
    if (status == SGC_OK)
        status = sgc_chunk_decode(metadata, encoded.data, encoded.size, chunk, &failure);
    sgc_object_clear(&encoded);
    free(chunk);
    return report_failure(v, key, status, &failure, err);
}

/* False, reported, when the object of a chunk is not there or too short. */
static bool check_object(verification *v, const sgc_node *node, const sgc_chunk_ref *ref,
                         const char *key)
{
    const stored_object *object = find_object(&v->chunks, &ref->id);
    if (object == NULL) {
        report(v, key, "is missing: %s needs it", node->path);
        return false;
    }
    if (ref->offset <= object->size && ref->length <= object->size - ref->offset)
        return true;
    report(v, key, "has %llu bytes: %s needs %llu from byte %llu on",
           (unsigned long long)object->size, node->path, (unsigned long long)ref->length,
           (unsigned long long)ref->offset);
    return false;
}

static sgc_status check_ref(verification *v, const sgc_node *node,
                            const sgc_array_metadata *metadata, const sgc_chunk_ref *ref,
                            sgc_error *err)
{
    if (ref->kind == SGC_CHUNK_VIRTUAL) {
        v->result.virtual_chunks++;
        return SGC_OK;
    }
    if (ref->length == 0) {
        report(v, v->key, "%s: a reference to 0 bytes", node->path);
        return SGC_OK;
    }
    if (ref->kind == SGC_CHUNK_INLINE)
        return decode_chunk(v, metadata, v->key, ref, err);
    /* Many manifests name one chunk; mostly it is the whole of an object. */
    bool first;
    sgc_object_id name = ref->id;
    for (size_t i = 0; i < 8; i++)
        name.bytes[i] ^= (uint8_t)((ref->offset ^ ref->length << 32) >> 8 * i);
    SGC_TRY(sgc_id_set_add(&v->chunks_seen, &name, &first, err));
    if (!first)
        return SGC_OK;
    char key[CHUNK_KEY] = "chunks/";
    sgc_object_id_format(&ref->id, key + strlen(key));
    v->result.chunks++;
    return check_object(v, node, ref, key) ? decode_chunk(v, metadata, key, ref, err) : SGC_OK;
}

/* ---- manifests ---- */

/* The smallest box around the references of an array. */
static void bounding_box(const sgc_array_manifest *array, sgc_extent *box)
{
    for (size_t i = 0; i < array->count; i++) {
        for (size_t d = 0; d < array->dimension_count; d++) {
            const uint32_t c = array->coordinates[i * array->dimension_count + d];
            if (i == 0 || c < box[d].from)
                box[d].from = c;
            if (i == 0 || c >= box[d].to)
                box[d].to = c + 1;
        }
    }
}

static void check_extents(verification *v, const sgc_node *node, const sgc_manifest_ref *ref,
                          const sgc_array_manifest *array)
{
    sgc_extent box[SGC_MAX_DIMENSIONS];
    bounding_box(array, box);
    if (memcmp(box, ref->extents, array->dimension_count * sizeof *box) != 0)
        report(v, v->key, "the extents that %s gives it are not those of its references",
               node->path);
}

/* The references of an array that the manifest holds; each once. */
static sgc_status check_refs(verification *v, const sgc_node *node, const sgc_array_manifest *array,
                             sgc_error *err)
{
    sgc_array_metadata metadata;
    const bool decodes = v->options->decode_chunks &&
                         sgc_array_metadata_parse((const char *)node->user_data,
                                                  node->user_data_size, &metadata, NULL) == SGC_OK;
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < array->count; i++)
        status = check_ref(v, node, decodes ? &metadata : NULL, &array->refs[i], err);
    if (decodes)
        sgc_array_metadata_clear(&metadata);
    return status;
}

/* What can be told without the file. */
static bool check_size(verification *v, const sgc_manifest_file *file)
{
    const stored_object *object = find_object(&v->manifests, &file->id);
    if (object == NULL)
        report(v, v->key, "is missing");
    else if (object->size != file->size_bytes)
        report(v, v->key, "has %llu bytes, not %llu as its snapshot says",
               (unsigned long long)object->size, (unsigned long long)file->size_bytes);
    return object != NULL && object->size == file->size_bytes;
}

static void check_count(verification *v, const sgc_manifest_file *file,
                        const sgc_manifest_data *data)
{
    size_t count = 0;
    for (size_t i = 0; i < data->array_count; i++)
        count += data->arrays[i].count;
    if (count != file->num_chunk_refs)
        report(v, v->key, "has %zu references, not %u as its snapshot says", count,
               file->num_chunk_refs);
}

/* All that a snapshot says of a manifest, as one number. */
static uint64_t describe(const sgc_node *node, const sgc_manifest_ref *ref,
                         const sgc_manifest_file *file)
{
    static const uint64_t prime = UINT64_C(0x100000001b3);
    uint64_t number = (file->size_bytes * prime ^ file->num_chunk_refs) * prime;
    for (size_t d = 0; d < node->dimension_count; d++)
        number = (number ^ ref->extents[d].from ^ (uint64_t)ref->extents[d].to << 32) * prime;
    return number;
}

/* Says whether this was said of that array in that manifest for the first time. Ids are random:
 * what is mixed into one is as good a name. */
static sgc_status see(verification *v, const sgc_manifest_ref *ref, const sgc_node *node,
                      uint64_t what, bool *first, sgc_error *err)
{
    sgc_object_id name = ref->id;
    for (size_t i = 0; i < sizeof node->id.bytes; i++)
        name.bytes[i] ^= (uint8_t)(node->id.bytes[i] ^ what >> 8 * i);
    return sgc_id_set_add(&v->descriptions_seen, &name, first, err);
}

static sgc_status check_array(verification *v, const sgc_node *node, const sgc_manifest_ref *ref,
                              const sgc_manifest *manifest, sgc_error *err)
{
    bool first;
    const sgc_array_manifest *array = sgc_manifest_find_array(manifest, &node->id);
    if (array == NULL || array->count == 0) {
        report(v, v->key, "has no references of %s, which names it", node->path);
        return SGC_OK;
    }
    if (array->dimension_count != node->dimension_count) {
        report(v, v->key, "has references of %zu dimensions; %s has %zu", array->dimension_count,
               node->path, node->dimension_count);
        return SGC_OK;
    }
    check_extents(v, node, ref, array);
    SGC_TRY(see(v, ref, node, 0, &first, err));
    return first ? check_refs(v, node, array, err) : SGC_OK;
}

static sgc_status check_content(verification *v, const sgc_snapshot_data *snapshot,
                                const sgc_node *node, const sgc_manifest_ref *ref,
                                const sgc_manifest_file *file, sgc_error *err)
{
    sgc_manifest *manifest;
    sgc_error failure = {""};
    if (!check_size(v, file))
        return SGC_OK;
    const sgc_status status =
        sgc_repository_manifest(v->repository, snapshot, &ref->id, &manifest, &failure);
    if (status != SGC_OK)
        return report_failure(v, v->key, status, &failure, err);
    check_count(v, file, sgc_manifest_get(manifest));
    const sgc_status checked = check_array(v, node, ref, manifest, err);
    sgc_manifest_unref(manifest);
    return checked;
}

/* Many snapshots say the same of a manifest: it is looked at once for each thing they say. */
static sgc_status check_manifest(verification *v, const sgc_snapshot_data *snapshot,
                                 const sgc_node *node, const sgc_manifest_ref *ref, sgc_error *err)
{
    bool first;
    const sgc_manifest_file *file = sgc_snapshot_find_manifest(snapshot, &ref->id);
    if (file == NULL)
        return SGC_OK; /* check_listing() has seen that */
    SGC_TRY(sgc_id_set_add(&v->manifests_seen, &ref->id, &first, err));
    v->result.manifests += first;
    SGC_TRY(see(v, ref, node, describe(node, ref, file), &first, err));
    if (!first)
        return SGC_OK;
    char key[SGC_METADATA_KEY];
    const char *outer = v->key;
    sgc_metadata_file_key(SGC_FILE_MANIFEST, &ref->id, key);
    v->key = key;
    const sgc_status status = check_content(v, snapshot, node, ref, file, err);
    v->key = outer;
    return status;
}

/* ---- nodes ---- */

static bool overlap(const sgc_manifest_ref *a, const sgc_manifest_ref *b, size_t dimension_count)
{
    for (size_t d = 0; d < dimension_count; d++)
        if (a->extents[d].to <= b->extents[d].from || b->extents[d].to <= a->extents[d].from)
            return false;
    return true;
}

static int compare_first_extents(const void *a, const void *b)
{
    const sgc_manifest_ref *left = a, *right = b;
    return left->extents[0].from < right->extents[0].from
               ? -1
               : left->extents[0].from > right->extents[0].from;
}

/* Sorted along the first dimension, a manifest can only overlap those that begin before it ends. */
static sgc_status check_disjoint(verification *v, const sgc_node *node, sgc_error *err)
{
    const size_t count = node->manifest_count, n = node->dimension_count;
    if (count < 2)
        return SGC_OK;
    if (n == 0) {
        report(v, v->key, "%s has several manifests for its one chunk", node->path);
        return SGC_OK;
    }
    sgc_manifest_ref *sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL)
        return sgc_fail_memory(err, count * sizeof *sorted, "a verification");
    memcpy(sorted, node->manifests, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_first_extents);
    bool disjoint = true;
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count && sorted[k].extents[0].from < sorted[i].extents[0].to;
             k++)
            disjoint = disjoint && !overlap(&sorted[i], &sorted[k], n);
    free(sorted);
    if (!disjoint)
        report(v, v->key, "two manifests of %s overlap", node->path);
    return SGC_OK;
}

static sgc_status check_shape(verification *v, const sgc_node *node, sgc_error *err)
{
    sgc_array_metadata metadata;
    sgc_error failure = {""};
    const sgc_status status = sgc_array_metadata_parse((const char *)node->user_data,
                                                       node->user_data_size, &metadata, &failure);
    if (status == SGC_UNSUPPORTED)
        return SGC_OK; /* not our business */
    if (status != SGC_OK) {
        report(v, v->key, "%s: %s", node->path, failure.message);
        return status == SGC_NO_MEMORY ? sgc_fail(err, status, "%s", failure.message) : SGC_OK;
    }
    bool same = metadata.dimension_count == node->dimension_count;
    for (size_t d = 0; same && d < node->dimension_count; d++)
        same = metadata.shape[d] == node->dimensions[d].array_length &&
               sgc_array_chunk_count(&metadata, d) == node->dimensions[d].num_chunks;
    if (!same)
        report(v, v->key, "%s has another shape than its zarr.json", node->path);
    sgc_array_metadata_clear(&metadata);
    return SGC_OK;
}

static void check_group_above(verification *v, const sgc_snapshot *snapshot, const sgc_node *node)
{
    char parent[1024];
    const size_t length = (size_t)(strrchr(node->path, '/') - node->path);
    if (strcmp(node->path, "/") == 0 || length >= sizeof parent)
        return;
    snprintf(parent, sizeof parent, "%.*s", length > 0 ? (int)length : 1, node->path);
    const sgc_node *above = sgc_snapshot_find(snapshot, parent);
    if (above == NULL || above->is_array)
        report(v, v->key, "%s lies in no group", node->path);
}

static sgc_status check_node(verification *v, const sgc_snapshot *snapshot, const sgc_node *node,
                             sgc_error *err)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    check_group_above(v, snapshot, node);
    if (!node->is_array)
        return SGC_OK;
    SGC_TRY(check_shape(v, node, err));
    SGC_TRY(check_disjoint(v, node, err));
    for (size_t i = 0; i < node->manifest_count; i++)
        SGC_TRY(check_manifest(v, data, node, &node->manifests[i], err));
    return SGC_OK;
}

/* ---- snapshots ---- */

static void report_listing(verification *v, const sgc_object_id *id, const char *what)
{
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(SGC_FILE_MANIFEST, id, key);
    report(v, v->key, "%s %s", key, what);
}

/* The listed manifests must be exactly those that nodes name. */
static sgc_status check_listing(verification *v, const sgc_snapshot_data *data, sgc_error *err)
{
    sgc_id_set named = {0};
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < data->node_count; i++) {
        const sgc_node *node = &data->nodes[i];
        for (size_t k = 0; status == SGC_OK && k < node->manifest_count; k++) {
            const sgc_object_id *id = &node->manifests[k].id;
            status = sgc_id_set_add(&named, id, NULL, err);
            if (status == SGC_OK && sgc_snapshot_find_manifest(data, id) == NULL)
                report_listing(v, id, "is named by a node, but not listed");
        }
    }
    for (size_t i = 0; status == SGC_OK && i < data->manifest_file_count; i++)
        if (!sgc_id_set_has(&named, &data->manifest_files[i].id))
            report_listing(v, &data->manifest_files[i].id, "is listed, but no node names it");
    sgc_id_set_free(&named);
    return status;
}

static sgc_status check_log(verification *v, const sgc_object_id *id, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_arena arena = {0};
    sgc_transaction_log log;
    sgc_error failure = {""};
    sgc_metadata_file_key(SGC_FILE_TRANSACTION_LOG, id, key);
    const sgc_status status =
        sgc_transaction_log_load(v->repository->store, id, &arena, &log, &failure);
    sgc_arena_free(&arena);
    return report_failure(v, key, status, &failure, err);
}

static sgc_status check_nodes(verification *v, const sgc_snapshot *snapshot, sgc_error *err)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    SGC_TRY(check_listing(v, data, err));
    for (size_t i = 0; i < data->node_count; i++)
        SGC_TRY(check_node(v, snapshot, &data->nodes[i], err));
    return SGC_OK;
}

/* *needs_log becomes true for a root that has one: those of version 2, not those that were
 * migrated.
 */
static sgc_status check_snapshot(verification *v, const sgc_commit_info *commit, bool *needs_log,
                                 sgc_error *err)
{
    sgc_snapshot *snapshot;
    sgc_error failure = {""};
    const sgc_status status =
        sgc_repository_snapshot(v->repository, &commit->id, &snapshot, &failure);
    if (status != SGC_OK)
        return report_failure(v, v->key, status, &failure, err);
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    if (data->flushed_at != commit->time || strcmp(data->message, commit->message) != 0)
        report(v, v->key, "the repo info says something else about it");
    *needs_log = *needs_log || data->spec_version == 2;
    const sgc_status checked = check_nodes(v, snapshot, err);
    sgc_snapshot_unref(snapshot);
    return checked;
}

static sgc_status check_commit(void *user, const sgc_commit_info *commit, bool *more,
                               sgc_error *err)
{
    verification *v = user;
    bool needs_log = commit->has_parent;
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(SGC_FILE_SNAPSHOT, &commit->id, key);
    if (v->has_newer && commit->time >= v->newer)
        report(v, key, "is not older than the commit that follows it");
    v->newer = commit->time;
    v->has_newer = true;
    v->next = commit->parent;
    SGC_TRY(sgc_id_set_add(&v->snapshots_seen, &commit->id, more, err));
    if (!*more)
        return SGC_OK;
    v->result.snapshots++;
    v->key = key;
    SGC_TRY(check_snapshot(v, commit, &needs_log, err));
    if (needs_log)
        SGC_TRY(check_log(v, &commit->id, err));
    for (size_t i = 0; i < commit->pruned_log_count; i++)
        SGC_TRY(check_log(v, &commit->pruned_logs[i], err));
    return SGC_OK;
}

static sgc_status check_history(verification *v, const sgc_object_id *tip, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_error failure = {""};
    v->has_newer = false;
    v->next = *tip;
    const sgc_status status = sgc_repository_history(v->repository, tip, check_commit, v, &failure);
    if (status == SGC_OK)
        return SGC_OK;
    sgc_metadata_file_key(SGC_FILE_SNAPSHOT, &v->next, key);
    return report_failure(v, key, status, &failure, err);
}

/* ---- branches and tags ---- */

static sgc_status add_tip(verification *v, const sgc_object_id *tip, sgc_error *err)
{
    sgc_object_id *grown = sgc_list_grow(v->tips, v->tip_count, &v->tip_capacity, sizeof *grown);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *grown, "a list of branches and tags");
    v->tips = grown;
    v->tips[v->tip_count++] = *tip;
    return SGC_OK;
}

/* Damaged ones, which are files of their own in version 1, are passed over. */
static sgc_status add_ref_1(void *user, const char *name, bool deleted, sgc_error *err)
{
    verification *v = user;
    sgc_object_id tip;
    sgc_error failure = {""};
    if (deleted)
        return SGC_OK;
    const sgc_status status = sgc_ref_read(v->repository->store, v->kind, name, &tip, &failure);
    if (status == SGC_OK)
        return add_tip(v, &tip, err);
    char key[256];
    snprintf(key, sizeof key, "refs/%s.%s/ref.json", sgc_ref_noun(v->kind), name);
    return status == SGC_NOT_FOUND ? SGC_OK : report_failure(v, key, status, &failure, err);
}

static sgc_status find_tips_1(verification *v, sgc_error *err)
{
    v->kind = SGC_REF_BRANCH;
    SGC_TRY(sgc_ref_list(v->repository->store, v->kind, add_ref_1, v, err));
    v->kind = SGC_REF_TAG;
    return sgc_ref_list(v->repository->store, v->kind, add_ref_1, v, err);
}

static sgc_status find_tips_2(verification *v, sgc_error *err)
{
    sgc_ref_names names;
    SGC_TRY(sgc_repository_list_refs(v->repository, &names, err));
    sgc_status status = SGC_OK;
    for (size_t i = 0; status == SGC_OK && i < names.branch_count; i++)
        status = add_tip(v, &names.branches[i].snapshot, err);
    for (size_t i = 0; status == SGC_OK && i < names.tag_count; i++)
        status = add_tip(v, &names.tags[i].snapshot, err);
    sgc_ref_names_clear(&names);
    return status;
}

/* The names are looked up first: all they need is there already. */
static sgc_status check_all(verification *v, sgc_error *err)
{
    SGC_TRY(v->repository->spec_version == 2 ? find_tips_2(v, err) : find_tips_1(v, err));
    SGC_TRY(list_objects(v, "manifests/", &v->manifests, err));
    SGC_TRY(list_objects(v, "chunks/", &v->chunks, err));
    for (size_t i = 0; i < v->tip_count; i++)
        SGC_TRY(check_history(v, &v->tips[i], err));
    return SGC_OK;
}

sgc_status sgc_repository_verify(sgc_repository *repository, const sgc_verify_options *options,
                                 sgc_verify_result *result, sgc_error *err)
{
    verification v = {.repository = repository, .options = options};
    const sgc_status status = check_all(&v, err);
    if (status == SGC_OK)
        *result = v.result;
    free(v.tips);
    free(v.manifests.items);
    free(v.chunks.items);
    sgc_id_set_free(&v.snapshots_seen);
    sgc_id_set_free(&v.manifests_seen);
    sgc_id_set_free(&v.descriptions_seen);
    sgc_id_set_free(&v.chunks_seen);
    return status;
}
