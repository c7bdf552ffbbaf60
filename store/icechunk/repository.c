#include "store/icechunk/repository.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/icechunk/clock.h"

enum {
    MANIFEST_CACHE_BYTES = 64 * 1024 * 1024,
    INLINE_THRESHOLD = 512,
    KEY_SIZE = 64,
    LONGEST_RULE_NAME = 63,
};

static const sgc_object_id root_id = {
    {0x0b, 0x1c, 0xc8, 0xd6, 0x78, 0x75, 0x80, 0xf0, 0xe3, 0x3a, 0x65, 0x34}};

typedef struct split_rule {
    char dimension[LONGEST_RULE_NAME + 1];
    uint32_t chunks;
} split_rule;

struct sgc_repository {
    sgc_object_store *store;
    sgc_manifest_cache *manifests;
    split_rule *rules;
    size_t rule_count;
};

/* A name goes into YAML and a regular expression as it is. */
static bool is_plain(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const size_t length = strlen(name);
    return length > 0 && length <= LONGEST_RULE_NAME && strspn(name, letters) == length;
}

sgc_status sgc_repository_set_split_rules(sgc_repository *repository, const sgc_split_rule *rules,
                                          size_t count, sgc_error *err)
{
    split_rule *copies = calloc(count + 1, sizeof *copies);
    if (copies == NULL)
        return sgc_fail_memory(err, count * sizeof *copies, "rules");
    for (size_t i = 0; i < count; i++) {
        if (!is_plain(rules[i].dimension) || rules[i].chunks == 0) {
            free(copies);
            return sgc_fail(err, SGC_INVALID, "bad rule for splitting manifests: \"%.64s\" by %u",
                            rules[i].dimension, rules[i].chunks);
        }
        strcpy(copies[i].dimension, rules[i].dimension);
        copies[i].chunks = rules[i].chunks;
    }
    free(repository->rules);
    repository->rules = copies;
    repository->rule_count = count;
    return SGC_OK;
}

/* The repository does not own the store yet. */
static sgc_status make(sgc_object_store *store, const sgc_repository_options *options,
                       sgc_repository **out, sgc_error *err)
{
    sgc_repository *repository = calloc(1, sizeof *repository);
    if (repository == NULL)
        return sgc_fail_memory(err, sizeof *repository, "a repository");
    sgc_status status = SGC_OK;
    if (options != NULL)
        status = sgc_repository_set_split_rules(repository, options->split_rules,
                                                options->split_rule_count, err);
    if (status == SGC_OK)
        status = sgc_manifest_cache_new(store, MANIFEST_CACHE_BYTES, &repository->manifests, err);
    if (status != SGC_OK) {
        sgc_repository_free(repository);
        return status;
    }
    *out = repository;
    return SGC_OK;
}

sgc_status sgc_repository_check_version(sgc_object_store *store, sgc_error *err)
{
    sgc_object info = {0};
    const sgc_status status = store->get(store, "repo", 0, SGC_TO_END, &info, err);
    sgc_object_clear(&info);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%s is an Icechunk repository of version 2; this build reads version 1",
                        store->name);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

sgc_status sgc_repository_open(sgc_object_store *store, const sgc_repository_options *options,
                               sgc_repository **out, sgc_error *err)
{
    SGC_TRY(sgc_repository_check_version(store, err));
    sgc_object_id tip;
    SGC_TRY(sgc_ref_read(store, SGC_REF_BRANCH, "main", &tip, err));
    sgc_repository *repository;
    SGC_TRY(make(store, options, &repository, err));
    repository->store = store;
    *out = repository;
    return SGC_OK;
}

static sgc_status write_root_snapshot(sgc_object_store *store, sgc_error *err)
{
    static const unsigned char message_pack_true = 0xc3;
    const sgc_metadata_item is_root = {"__root", &message_pack_true, 1};
    const sgc_snapshot_data root = {
        .id = root_id,
        .flushed_at = sgc_clock_now(),
        .message = "Repository initialized",
        .metadata_count = 1,
        .metadata = &is_root,
    };
    return sgc_snapshot_store(store, &root, err);
}

/* The rules, where official writers look for them (format guide 7.3, 12). */
static sgc_status write_config(const sgc_repository *repository, sgc_error *err)
{
    if (repository->rule_count == 0)
        return SGC_OK;
    const size_t count = repository->rule_count;
    sgc_split_rule *rules = calloc(count, sizeof *rules);
    if (rules == NULL)
        return sgc_fail_memory(err, count * sizeof *rules, "rules");
    for (size_t i = 0; i < count; i++)
        rules[i] = (sgc_split_rule){repository->rules[i].dimension, repository->rules[i].chunks};
    sgc_buffer text = {0};
    sgc_status status = sgc_config_print_yaml(rules, count, &text, err);
    free(rules);
    sgc_object_store *store = repository->store;
    if (status == SGC_OK)
        status =
            store->put(store, "config.yaml", text.data, text.size, SGC_PUT_IF_ABSENT, NULL, err);
    sgc_buffer_free(&text);
    return status == SGC_EXISTS ? SGC_OK : status;
}

/* The branch comes last: it is what makes the repository exist. The root snapshot has a well-known
 * id, and two creators write the same one but for its time. */
static sgc_status initialise(sgc_repository *repository, sgc_error *err)
{
    sgc_object_id tip;
    const sgc_status status = sgc_ref_read(repository->store, SGC_REF_BRANCH, "main", &tip, err);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_EXISTS, "%s is a repository already", repository->store->name);
    if (status != SGC_NOT_FOUND)
        return status;
    SGC_TRY(write_root_snapshot(repository->store, err));
    SGC_TRY(write_config(repository, err));
    return sgc_branch_create(repository->store, "main", &root_id, err);
}

sgc_status sgc_repository_create(sgc_object_store *store, const sgc_repository_options *options,
                                 sgc_repository **out, sgc_error *err)
{
    SGC_TRY(sgc_repository_check_version(store, err));
    sgc_repository *repository;
    SGC_TRY(make(store, options, &repository, err));
    repository->store = store;
    const sgc_status status = initialise(repository, err);
    if (status != SGC_OK) {
        repository->store = NULL;
        sgc_repository_free(repository);
        return status;
    }
    *out = repository;
    return SGC_OK;
}

void sgc_repository_free(sgc_repository *repository)
{
    if (repository == NULL)
        return;
    sgc_manifest_cache_free(repository->manifests);
    sgc_object_store_free(repository->store);
    free(repository->rules);
    free(repository);
}

sgc_object_store *sgc_repository_store(const sgc_repository *repository)
{
    return repository->store;
}

uint32_t sgc_repository_split(const sgc_repository *repository, const char *name)
{
    for (size_t i = 0; name != NULL && i < repository->rule_count; i++)
        if (strcmp(repository->rules[i].dimension, name) == 0)
            return repository->rules[i].chunks;
    return UINT32_MAX;
}

sgc_status sgc_repository_resolve(sgc_repository *repository, sgc_ref_kind kind, const char *name,
                                  sgc_object_id *id, sgc_error *err)
{
    return sgc_ref_read(repository->store, kind, name, id, err);
}

sgc_status sgc_repository_snapshot(sgc_repository *repository, const sgc_object_id *id,
                                   sgc_snapshot **out, sgc_error *err)
{
    return sgc_snapshot_load(repository->store, id, out, err);
}

sgc_status sgc_repository_manifest(sgc_repository *repository, const sgc_snapshot_data *snapshot,
                                   const sgc_object_id *id, sgc_manifest **out, sgc_error *err)
{
    const sgc_manifest_file *file = sgc_snapshot_find_manifest(snapshot, id);
    if (file == NULL)
        return sgc_fail(err, SGC_CORRUPT, "%s: a node names a manifest that its snapshot does not",
                        repository->store->name);
    return sgc_manifest_cache_get(repository->manifests, file, out, err);
}

static bool contains(const sgc_manifest_ref *manifest, const uint32_t *coordinates, size_t count)
{
    for (size_t d = 0; d < count; d++)
        if (coordinates[d] < manifest->extents[d].from || coordinates[d] >= manifest->extents[d].to)
            return false;
    return true;
}

sgc_status sgc_repository_find_chunk(sgc_repository *repository, const sgc_snapshot_data *snapshot,
                                     const sgc_node *node, const uint32_t *coordinates,
                                     sgc_chunk_ref *ref, sgc_manifest **keep, sgc_error *err)
{
    size_t i = 0;
    while (i < node->manifest_count &&
           !contains(&node->manifests[i], coordinates, node->dimension_count))
        i++;
    *keep = NULL;
    *ref = (sgc_chunk_ref){.kind = SGC_CHUNK_NONE};
    if (i == node->manifest_count)
        return SGC_OK;
    sgc_manifest *manifest;
    SGC_TRY(sgc_repository_manifest(repository, snapshot, &node->manifests[i].id, &manifest, err));
    const sgc_array_manifest *array = sgc_manifest_find_array(manifest, &node->id);
    if (array == NULL || (array->count > 0 && array->dimension_count != node->dimension_count)) {
        sgc_manifest_unref(manifest);
        return sgc_fail(err, SGC_CORRUPT, "%s: a manifest of %s is about another array",
                        repository->store->name, node->path);
    }
    const sgc_chunk_ref *found =
        array->count > 0 ? sgc_manifest_find_ref(array, coordinates) : NULL;
    if (found == NULL) {
        sgc_manifest_unref(manifest);
        return SGC_OK;
    }
    *ref = *found;
    *keep = manifest;
    return SGC_OK;
}

sgc_status sgc_repository_read_chunk(sgc_repository *repository, const sgc_chunk_ref *ref,
                                     uint64_t offset, uint64_t length, sgc_object *out,
                                     sgc_error *err)
{
    if (offset > ref->length || length > ref->length - offset)
        return sgc_fail(err, SGC_CORRUPT, "a chunk of %llu bytes is too short",
                        (unsigned long long)ref->length);
    if (ref->kind == SGC_CHUNK_INLINE) {
        unsigned char *data = malloc(length > 0 ? (size_t)length : 1);
        if (data == NULL)
            return sgc_fail_memory(err, length, "a chunk");
        memcpy(data, ref->inline_data + offset, (size_t)length);
        *out = (sgc_object){data, (size_t)length};
        return SGC_OK;
    }
    if (ref->kind != SGC_CHUNK_NATIVE || ref->offset > UINT64_MAX - offset)
        return sgc_fail(err, SGC_UNSUPPORTED, "virtual chunk references are not supported");
    char text[SGC_OBJECT_ID_TEXT + 1], key[KEY_SIZE];
    sgc_object_id_format(&ref->id, text);
    snprintf(key, sizeof key, "chunks/%s", text);
    sgc_object_store *store = repository->store;
    const sgc_status status = store->get(store, key, ref->offset + offset, length, out, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_CORRUPT,
                        "%s/%s is gone: its snapshot may have been expired and its garbage "
                        "collected; open the cube again",
                        store->name, key);
    return status;
}

sgc_status sgc_repository_write_chunk(sgc_repository *repository, const void *data, size_t size,
                                      sgc_chunk_ref *ref, sgc_error *err)
{
    if (size == 0)
        return sgc_fail(err, SGC_INVALID, "a chunk of 0 bytes");
    if (size <= INLINE_THRESHOLD) {
        *ref = (sgc_chunk_ref){.kind = SGC_CHUNK_INLINE, .length = size, .inline_data = data};
        return SGC_OK;
    }
    sgc_chunk_ref result = {.kind = SGC_CHUNK_NATIVE, .length = size};
    SGC_TRY(sgc_object_id_random(&result.id, err));
    char text[SGC_OBJECT_ID_TEXT + 1], key[KEY_SIZE];
    sgc_object_id_format(&result.id, text);
    snprintf(key, sizeof key, "chunks/%s", text);
    sgc_object_store *store = repository->store;
    SGC_TRY(store->put(store, key, data, size, SGC_PUT_ALWAYS, NULL, err));
    *ref = result;
    return SGC_OK;
}
