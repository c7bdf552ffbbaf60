#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/clock.h"
#include "store/icechunk/flex_buffers.h"
#include "store/icechunk/repo_info.h"
#include "store/icechunk/repository_private.h"
#include "store/icechunk/transaction_log.h"

enum {
    MANIFEST_CACHE_BYTES = 64 * 1024 * 1024,
    KEY_SIZE = 64,
    LONGEST_RULE_NAME = 63,
    QUEUE_LOCK = 1, /* 0 is the store's own */
    QUEUE_ATTEMPTS = 200,
};

static const sgc_object_id root_id = {
    {0x0b, 0x1c, 0xc8, 0xd6, 0x78, 0x75, 0x80, 0xf0, 0xe3, 0x3a, 0x65, 0x34}};

/* ---- rules for splitting ---- */

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
    sgc_config *made;
    for (size_t i = 0; i < count; i++)
        if (!is_plain(rules[i].dimension) || rules[i].chunks == 0)
            return sgc_fail(err, SGC_INVALID, "bad rule for splitting manifests: \"%.64s\" by %u",
                            rules[i].dimension, rules[i].chunks);
    SGC_TRY(sgc_config_new(rules, count, &made, err));
    sgc_config_free(repository->rules);
    repository->rules = made;
    return SGC_OK;
}

void sgc_repository_split(const sgc_repository *repository, const sgc_node *array,
                          uint32_t lengths[SGC_MAX_DIMENSIONS])
{
    const sgc_config *config =
        sgc_config_has_split_rules(repository->config) ? repository->config : repository->rules;
    const char *names[SGC_MAX_DIMENSIONS];
    for (size_t d = 0; d < array->dimension_count; d++)
        names[d] = array->dimensions[d].name;
    sgc_config_split(config, array->path, array->dimension_count, names, lengths);
}

/* ---- opening and creating ---- */

/* A thread that held the mutex is not in the child. */
static void renew_in_child(void *object)
{
    sgc_repository *repository = object;
    pthread_mutex_init(&repository->queue, NULL);
    repository->queue_locked = false;
}

static uint64_t hash(const char *text)
{
    uint64_t number = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++)
        number = (number ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return number;
}

/* The repository does not own the store yet. */
static sgc_status make(sgc_object_store *store, const sgc_repository_options *options,
                       sgc_repository **out, sgc_error *err)
{
    sgc_repository *repository = calloc(1, sizeof *repository);
    if (repository == NULL)
        return sgc_fail_memory(err, sizeof *repository, "a repository");
    repository->place = hash(store->name);
    pthread_mutex_init(&repository->queue, NULL);
    sgc_fork_watch_begin(&repository->forks, renew_in_child, repository);
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

void sgc_repository_free(sgc_repository *repository)
{
    if (repository == NULL)
        return;
    sgc_fork_watch_end(&repository->forks);
    sgc_manifest_cache_free(repository->manifests);
    sgc_object_store_free(repository->store);
    sgc_config_free(repository->config);
    sgc_config_free(repository->rules);
    pthread_mutex_destroy(&repository->queue);
    free(repository);
}

sgc_status sgc_repository_check_not_migrated(sgc_object_store *store, sgc_error *err)
{
    sgc_object info = {0};
    const sgc_status status = store->get(store, SGC_REPO_INFO_KEY, 0, 0, &info, err);
    sgc_object_clear(&info);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%s was migrated to Icechunk version 2 meanwhile: open it again",
                        store->name);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

static sgc_status read_config_1(sgc_object_store *store, sgc_config **config, sgc_error *err)
{
    sgc_object file = {0};
    const sgc_status found = store->get(store, "config.yaml", 0, SGC_TO_END, &file, err);
    if (found != SGC_OK)
        return found == SGC_NOT_FOUND ? SGC_OK : found;
    const sgc_status status = sgc_config_parse_yaml(file.data, file.size, config, err);
    sgc_object_clear(&file);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "%s/config.yaml", store->name);
}

static sgc_status detect_1(sgc_object_store *store, sgc_config **config, sgc_error *err)
{
    sgc_object_id tip;
    SGC_TRY(sgc_ref_read(store, SGC_REF_BRANCH, "main", &tip, err));
    return config != NULL ? read_config_1(store, config, err) : SGC_OK;
}

sgc_status sgc_repository_detect(sgc_object_store *store, int *spec_version, sgc_config **config,
                                 sgc_error *err)
{
    sgc_repo_info info;
    sgc_config *found = NULL;
    sgc_status status = sgc_repo_info_load(store, &info, err);
    const bool is_2 = status == SGC_OK;
    if (status == SGC_NOT_FOUND) {
        status = detect_1(store, config != NULL ? &found : NULL, err);
    } else if (is_2) {
        const sgc_bytes bytes = info.data.config;
        if (config != NULL && bytes.data != NULL)
            status = sgc_config_parse_flex(bytes.data, bytes.size, &found, err);
        sgc_repo_info_clear(&info);
    }
    SGC_TRY(status);
    *spec_version = is_2 ? 2 : 1;
    if (config != NULL)
        *config = found;
    return SGC_OK;
}

sgc_status sgc_repository_open(sgc_object_store *store, const sgc_repository_options *options,
                               sgc_repository **out, sgc_error *err)
{
    int spec_version;
    sgc_config *config = NULL;
    SGC_TRY(sgc_repository_detect(store, &spec_version, &config, err));
    sgc_repository *repository;
    const sgc_status status = make(store, options, &repository, err);
    if (status != SGC_OK) {
        sgc_config_free(config);
        return status;
    }
    repository->store = store;
    repository->spec_version = spec_version;
    repository->config = config;
    *out = repository;
    return SGC_OK;
}

/* All roots have one well-known id, and are the same but for their times: whoever comes second, or
 * goes on after a creation that was interrupted, takes the root that is there. */
static sgc_status store_root(sgc_object_store *store, sgc_snapshot_data *root, sgc_error *err)
{
    sgc_snapshot *there;
    const sgc_status status = sgc_snapshot_store_new(store, root, err);
    if (status != SGC_EXISTS)
        return status;
    SGC_TRY(sgc_snapshot_load(store, &root->id, &there, err));
    const bool same_version = sgc_snapshot_get(there)->spec_version == root->spec_version;
    if (same_version)
        root->flushed_at = sgc_snapshot_get(there)->flushed_at;
    sgc_snapshot_unref(there);
    return same_version ? SGC_OK : sgc_snapshot_store(store, root, err);
}

/* The branch comes last: it is what makes the repository exist. */
static sgc_status initialise_1(sgc_object_store *store, const sgc_split_rule *rules, size_t count,
                               sgc_error *err)
{
    static const unsigned char message_pack_true = 0xc3;
    const sgc_metadata_item is_root = {"__root", &message_pack_true, 1};
    sgc_snapshot_data root = {
        .spec_version = 1,
        .id = root_id,
        .flushed_at = sgc_clock_now(),
        .message = "Repository initialized",
        .metadata_count = 1,
        .metadata = &is_root,
    };
    sgc_buffer config = {0};
    SGC_TRY(store_root(store, &root, err));
    sgc_status status = SGC_OK;
    if (count > 0)
        status = sgc_config_print_yaml(rules, count, &config, err);
    if (config.size > 0 && status == SGC_OK)
        status = store->put(store, "config.yaml", config.data, config.size, SGC_PUT_IF_ABSENT, NULL,
                            err);
    sgc_buffer_free(&config);
    if (status != SGC_OK && status != SGC_EXISTS)
        return status;
    return sgc_ref_create(store, SGC_REF_BRANCH, "main", &root_id, err);
}

static sgc_status write_root_2(sgc_object_store *store, const sgc_metadata_item *is_root,
                               sgc_bytes config, sgc_error *err)
{
    sgc_snapshot_data snapshot = {
        .spec_version = 2,
        .id = root_id,
        .flushed_at = sgc_clock_now(),
        .message = "Repository initialized",
        .metadata_count = 1,
        .metadata = is_root,
    };
    const sgc_transaction_log log = {.spec_version = 2, .id = root_id};
    SGC_TRY(store_root(store, &snapshot, err));
    SGC_TRY(sgc_transaction_log_store(store, &log, err));
    const sgc_snapshot_entry entry = {
        .id = root_id,
        .parent = -1,
        .flushed_at = snapshot.flushed_at,
        .message = snapshot.message,
        .has_metadata = true,
        .metadata_count = 1,
        .metadata = is_root,
    };
    return sgc_repo_info_create(store, &entry, config, err);
}

static sgc_status initialise_2(sgc_object_store *store, const sgc_split_rule *rules, size_t count,
                               sgc_error *err)
{
    static const char root_json[] = "{\"is_root\":true}";
    sgc_buffer is_root = {0}, config = {0};
    sgc_status status =
        sgc_flex_buffers_encode((sgc_span){root_json, sizeof root_json - 1}, &is_root, err);
    if (status == SGC_OK && count > 0)
        status = sgc_config_print_flex(rules, count, &config, err);
    const sgc_metadata_item item = {"__icechunk", is_root.data, is_root.size};
    if (status == SGC_OK)
        status = write_root_2(store, &item, (sgc_bytes){config.data, config.size}, err);
    sgc_buffer_free(&is_root);
    sgc_buffer_free(&config);
    return status;
}

static sgc_status check_key(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *err)
{
    (void)info;
    static const char *const known[] = {"config.yaml", "snapshots/1CECHNKREP0F1RSTCMT0",
                                        "transactions/1CECHNKREP0F1RSTCMT0"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(key, known[i]) == 0)
            return SGC_OK;
    return sgc_fail(err, SGC_INVALID,
                    "%s is not empty, it has %s: name another place, or restore what is missing",
                    ((const sgc_object_store *)user)->name, key);
}

sgc_status sgc_repository_check_unused(sgc_object_store *store, sgc_error *err)
{
    return store->list(store, "", check_key, store, err);
}

static sgc_status check_absent(sgc_object_store *store, sgc_error *err)
{
    int spec_version;
    const sgc_status status = sgc_repository_detect(store, &spec_version, NULL, err);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_EXISTS, "%s is a repository already", store->name);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

/* What is not there at first and then is not the only thing there: somebody makes one now. */
static sgc_status check_free(sgc_object_store *store, sgc_error *err)
{
    SGC_TRY(check_absent(store, err));
    const sgc_status status = sgc_repository_check_unused(store, err);
    if (status == SGC_INVALID && check_absent(store, NULL) == SGC_EXISTS)
        return sgc_fail(err, SGC_EXISTS, "%s is a repository already", store->name);
    return status;
}

static sgc_status initialise(sgc_repository *repository, const sgc_repository_options *options,
                             sgc_error *err)
{
    const sgc_split_rule *rules = options != NULL ? options->split_rules : NULL;
    const size_t count = options != NULL ? options->split_rule_count : 0;
    SGC_TRY(check_free(repository->store, err));
    return repository->spec_version == 2 ? initialise_2(repository->store, rules, count, err)
                                         : initialise_1(repository->store, rules, count, err);
}

sgc_status sgc_repository_create(sgc_object_store *store, const sgc_repository_options *options,
                                 sgc_repository **out, sgc_error *err)
{
    const int wanted = options != NULL && options->spec_version != 0 ? options->spec_version : 1;
    if (wanted != 1 && wanted != 2)
        return sgc_fail(err, SGC_INVALID, "Icechunk has versions 1 and 2, not %d", wanted);
    sgc_repository *repository;
    SGC_TRY(make(store, options, &repository, err));
    repository->store = store;
    repository->spec_version = wanted;
    const sgc_status status = initialise(repository, options, err);
    if (status != SGC_OK) {
        repository->store = NULL;
        sgc_repository_free(repository);
        return status;
    }
    *out = repository;
    return SGC_OK;
}

uint64_t sgc_repository_place(const sgc_repository *repository)
{
    return repository->place;
}

int sgc_repository_spec_version(const sgc_repository *repository)
{
    return repository->spec_version;
}

sgc_object_store *sgc_repository_store(const sgc_repository *repository)
{
    return repository->store;
}

/* ---- the queue of committers ---- */

void sgc_repository_queue_begin(sgc_repository *repository)
{
    sgc_object_store *store = repository->store;
    pthread_mutex_lock(&repository->queue);
    if (store->lock == NULL)
        return;
    for (unsigned i = 0; !repository->queue_locked && i < QUEUE_ATTEMPTS; i++) {
        if (i > 0)
            sgc_clock_pause(i < 4 ? i : 4);
        if (store->lock(store, QUEUE_LOCK, &repository->queue_locked, NULL) != SGC_OK)
            break; /* publishing will say what is wrong */
    }
}

void sgc_repository_queue_end(sgc_repository *repository)
{
    sgc_object_store *store = repository->store;
    if (repository->queue_locked)
        store->unlock(store, QUEUE_LOCK);
    repository->queue_locked = false;
    pthread_mutex_unlock(&repository->queue);
}

/* ---- manifests and chunks ---- */

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
    if (ref->kind != SGC_CHUNK_NATIVE)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "the chunk is bytes of %s: such virtual references cannot be read",
                        ref->details != NULL ? ref->details->location : "another file");
    if (ref->offset > UINT64_MAX - offset)
        return sgc_fail(err, SGC_CORRUPT, "a chunk at an absurd offset");
    char text[SGC_OBJECT_ID_TEXT + 1], key[KEY_SIZE];
    sgc_object_id_format(&ref->id, text);
    snprintf(key, sizeof key, "chunks/%s", text);
    sgc_object_store *store = repository->store;
    const sgc_status status = store->get(store, key, ref->offset + offset, length, out, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_CORRUPT,
                        "%s/%s is gone: open it again, in case its snapshot has expired; if that "
                        "does not help, it is damaged, and \"sgc verify\" says how much",
                        store->name, key);
    return status;
}

sgc_status sgc_repository_write_chunk(sgc_repository *repository, const void *data, size_t size,
                                      sgc_chunk_ref *ref, sgc_error *err)
{
    if (size == 0)
        return sgc_fail(err, SGC_INVALID, "a chunk of 0 bytes");
    if (size <= sgc_config_inline_threshold(repository->config)) {
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
