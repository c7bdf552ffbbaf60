/* Drives the store by lines of JSON, for tests in other languages: each line of the input is a
 * request, {"do": command, …}, each line of the output its answer: what the command gives, or
 * {"error": status, "message": …}. Repositories and sessions are numbers. Documents (zarr.json,
 * metadata) are strings, so that their 64-bit integers stay exact; items of arrays are hexadecimal,
 * in the order of C and of this machine's bytes; times are microseconds since 1970. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/icechunk/diff.h"
#include "store/icechunk/maintenance.h"
#include "store/store.h"

enum { MOST_HANDLES = 64, MOST_RULES = 8 };

typedef struct tool {
    sgc_repository *repositories[MOST_HANDLES];
    sgc_session *sessions[MOST_HANDLES];
} tool;

/* One request. */
typedef struct call {
    tool *tool;
    const cJSON *request;
    cJSON *answer;
    sgc_repository *repository; /* those that the request names, or NULL */
    sgc_session *session;
} call;

/* ---- requests ---- */

static const cJSON *member(const cJSON *request, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(request, name);
}

/* The text of a member, or "". */
static const char *text(const cJSON *request, const char *name)
{
    const char *value = cJSON_GetStringValue(member(request, name));
    return value != NULL ? value : "";
}

static uint64_t number(const cJSON *request, const char *name)
{
    const double value = cJSON_GetNumberValue(member(request, name));
    return value >= 0 && value <= 9007199254740992.0 ? (uint64_t)value : 0;
}

static bool flag(const cJSON *request, const char *name)
{
    return cJSON_IsTrue(member(request, name));
}

static sgc_status get_id(const cJSON *request, const char *name, sgc_object_id *id, sgc_error *err)
{
    return sgc_object_id_parse(text(request, name), strlen(text(request, name)), id, err);
}

static void get_coordinates(const cJSON *request, uint32_t coordinates[SGC_MAX_DIMENSIONS])
{
    size_t d = 0;
    const cJSON *item;
    memset(coordinates, 0, SGC_MAX_DIMENSIONS * sizeof *coordinates);
    cJSON_ArrayForEach(item, member(request, "coordinates"))
    {
        if (d < SGC_MAX_DIMENSIONS)
            coordinates[d++] = (uint32_t)item->valuedouble;
    }
}

static sgc_ref_kind get_kind(const cJSON *request)
{
    return strcmp(text(request, "kind"), "tag") == 0 ? SGC_REF_TAG : SGC_REF_BRANCH;
}

/* Gives (free with free()) the bytes of a hexadecimal member. */
static sgc_status get_bytes(const cJSON *request, const char *name, unsigned char **out,
                            size_t *size, sgc_error *err)
{
    const char *digits = text(request, name);
    const size_t count = strlen(digits) / 2;
    unsigned char *bytes = malloc(count + 1);
    if (bytes == NULL)
        return sgc_fail_memory(err, count, "bytes");
    for (size_t i = 0; i < count; i++) {
        const char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    *out = bytes;
    *size = count;
    return SGC_OK;
}

/* ---- answers ---- */

static void add_id(cJSON *object, const char *name, const sgc_object_id *id)
{
    char digits[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, digits);
    cJSON_AddStringToObject(object, name, digits);
}

static void add_text(cJSON *object, const char *name, const void *data, size_t size)
{
    char *copy = strndup(data, size);
    cJSON_AddStringToObject(object, name, copy != NULL ? copy : "");
    free(copy);
}

static void add_bytes(cJSON *object, const char *name, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *copy = malloc(2 * size + 1);
    if (copy == NULL)
        return;
    for (size_t i = 0; i < size; i++) {
        copy[2 * i] = digits[bytes[i] >> 4];
        copy[2 * i + 1] = digits[bytes[i] & 15];
    }
    copy[2 * size] = '\0';
    cJSON_AddStringToObject(object, name, copy);
    free(copy);
}

static void add_number(cJSON *object, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(object, name, (double)value);
}

static cJSON *new_item(cJSON *list)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddItemToArray(list, item);
    return item;
}

/* ---- repositories ---- */

static sgc_status keep_repository(call *c, sgc_repository *repository, sgc_error *err)
{
    for (size_t i = 0; i < MOST_HANDLES; i++) {
        if (c->tool->repositories[i] == NULL) {
            c->tool->repositories[i] = repository;
            add_number(c->answer, "repository", i);
            add_number(c->answer, "spec_version",
                       (uint64_t)sgc_repository_spec_version(repository));
            return SGC_OK;
        }
    }
    sgc_repository_free(repository);
    return sgc_fail(err, SGC_INVALID, "too many repositories");
}

typedef sgc_status (*begin_fn)(sgc_object_store *store, const sgc_repository_options *options,
                               sgc_repository **out, sgc_error *err);

static sgc_status begin(call *c, begin_fn fn, sgc_error *err)
{
    sgc_split_rule rules[MOST_RULES];
    sgc_repository_options options = {.split_rules = rules,
                                      .spec_version = (int)number(c->request, "spec_version")};
    const cJSON *rule;
    cJSON_ArrayForEach(rule, member(c->request, "split"))
    {
        if (options.split_rule_count < MOST_RULES)
            rules[options.split_rule_count++] =
                (sgc_split_rule){rule->string, (uint32_t)rule->valuedouble};
    }
    sgc_object_store *store;
    sgc_repository *repository;
    SGC_TRY(sgc_object_store_local_new(text(c->request, "place"), NULL, &store, err));
    const sgc_status status = fn(store, &options, &repository, err);
    if (status != SGC_OK) {
        sgc_object_store_free(store);
        return status;
    }
    return keep_repository(c, repository, err);
}

static sgc_status do_create(call *c, sgc_error *err)
{
    return begin(c, sgc_repository_create, err);
}

static sgc_status do_open(call *c, sgc_error *err)
{
    return begin(c, sgc_repository_open, err);
}

/* Ends its sessions too. */
static sgc_status do_close(call *c, sgc_error *err)
{
    (void)err;
    sgc_session **sessions = c->tool->sessions;
    for (size_t i = 0; i < MOST_HANDLES; i++) {
        if (sessions[i] != NULL && sgc_session_repository(sessions[i]) == c->repository) {
            sgc_session_free(sessions[i]);
            sessions[i] = NULL;
        }
    }
    sgc_repository_free(c->repository);
    c->tool->repositories[number(c->request, "repository")] = NULL;
    return SGC_OK;
}

/* ---- branches and tags ---- */

static void add_refs(cJSON *answer, const char *name, const sgc_ref *refs, size_t count)
{
    cJSON *object = cJSON_AddObjectToObject(answer, name);
    for (size_t i = 0; i < count; i++)
        add_id(object, refs[i].name, &refs[i].snapshot);
}

static sgc_status do_refs(call *c, sgc_error *err)
{
    sgc_ref_names names;
    SGC_TRY(sgc_repository_list_refs(c->repository, &names, err));
    add_refs(c->answer, "branches", names.branches, names.branch_count);
    add_refs(c->answer, "tags", names.tags, names.tag_count);
    cJSON *deleted = cJSON_AddArrayToObject(c->answer, "deleted_tags");
    for (size_t i = 0; i < names.deleted_tag_count; i++)
        cJSON_AddItemToArray(deleted, cJSON_CreateString(names.deleted_tags[i].name));
    sgc_ref_names_clear(&names);
    return SGC_OK;
}

static sgc_status do_create_ref(call *c, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(get_id(c->request, "snapshot", &id, err));
    return sgc_repository_create_ref(c->repository, get_kind(c->request), text(c->request, "name"),
                                     &id, err);
}

static sgc_status do_delete_ref(call *c, sgc_error *err)
{
    return sgc_repository_delete_ref(c->repository, get_kind(c->request), text(c->request, "name"),
                                     err);
}

static sgc_status do_reset_branch(call *c, sgc_error *err)
{
    sgc_object_id from, to;
    SGC_TRY(get_id(c->request, "from", &from, err));
    SGC_TRY(get_id(c->request, "to", &to, err));
    return sgc_repository_reset_branch(c->repository, text(c->request, "name"), &from, &to, err);
}

/* ---- snapshots ---- */

static sgc_status get_snapshot(const call *c, const char *name, sgc_snapshot **out, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(get_id(c->request, name, &id, err));
    return sgc_repository_snapshot(c->repository, &id, out, err);
}

static sgc_status add_commit(void *user, const sgc_commit_info *commit, bool *more, sgc_error *err)
{
    (void)more;
    cJSON *item = new_item(user);
    sgc_buffer metadata = {0};
    SGC_TRY(sgc_commit_print_metadata(commit, &metadata, err));
    add_id(item, "id", &commit->id);
    if (commit->has_parent)
        add_id(item, "parent", &commit->parent);
    add_number(item, "time", commit->time);
    cJSON_AddStringToObject(item, "message", commit->message);
    add_text(item, "metadata", metadata.data, metadata.size);
    add_number(item, "pruned_logs", commit->pruned_log_count);
    sgc_buffer_free(&metadata);
    return SGC_OK;
}

static sgc_status do_history(call *c, sgc_error *err)
{
    sgc_object_id from;
    SGC_TRY(get_id(c->request, "from", &from, err));
    return sgc_repository_history(c->repository, &from, add_commit,
                                  cJSON_AddArrayToObject(c->answer, "commits"), err);
}

static sgc_status do_nodes(call *c, sgc_error *err)
{
    sgc_snapshot *snapshot;
    SGC_TRY(get_snapshot(c, "snapshot", &snapshot, err));
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    cJSON *list = cJSON_AddArrayToObject(c->answer, "nodes");
    for (size_t i = 0; i < data->node_count; i++) {
        cJSON *item = new_item(list);
        cJSON_AddStringToObject(item, "path", data->nodes[i].path);
        cJSON_AddBoolToObject(item, "is_array", data->nodes[i].is_array);
        add_text(item, "json", data->nodes[i].user_data, data->nodes[i].user_data_size);
    }
    sgc_snapshot_unref(snapshot);
    return SGC_OK;
}

static sgc_status read_array(const sgc_array *array, cJSON *answer, sgc_error *err)
{
    static const uint64_t start[SGC_MAX_DIMENSIONS];
    const sgc_array_metadata *metadata = sgc_array_get_metadata(array);
    size_t size = sgc_data_type_size(metadata->type);
    for (size_t d = 0; d < metadata->dimension_count; d++)
        if (!sgc_multiply(size, metadata->shape[d], &size))
            return sgc_fail_memory(err, SIZE_MAX, "an array");
    unsigned char *items = malloc(size > 0 ? size : 1);
    if (items == NULL)
        return sgc_fail_memory(err, size, "an array");
    const sgc_status status = sgc_array_read(array, start, metadata->shape, items, 2, err);
    if (status == SGC_OK)
        add_bytes(answer, "data", items, size);
    free(items);
    return status;
}

static sgc_status do_read(call *c, sgc_error *err)
{
    sgc_snapshot *snapshot;
    sgc_array *array;
    SGC_TRY(get_snapshot(c, "snapshot", &snapshot, err));
    sgc_status status =
        sgc_array_open(c->repository, snapshot, text(c->request, "path"), &array, err);
    sgc_snapshot_unref(snapshot);
    SGC_TRY(status);
    status = read_array(array, c->answer, err);
    sgc_array_close(array);
    return status;
}

static sgc_status add_difference(void *user, const sgc_difference *difference, sgc_error *err)
{
    (void)err;
    static const char *const kinds[] = {
        [SGC_ADDED] = "added", [SGC_REMOVED] = "removed", [SGC_MODIFIED] = "modified"};
    cJSON *item = new_item(user);
    cJSON_AddStringToObject(item, "kind", kinds[difference->kind]);
    cJSON_AddStringToObject(item, "path", difference->path);
    cJSON_AddBoolToObject(item, "is_array", difference->is_array);
    cJSON_AddBoolToObject(item, "json_differs", difference->json_differs);
    cJSON *chunks = cJSON_AddArrayToObject(item, "chunks");
    const size_t n = difference->dimension_count;
    for (size_t i = 0; i < difference->chunk_count; i++) {
        cJSON *chunk = cJSON_CreateArray();
        cJSON_AddItemToArray(chunks, chunk);
        for (size_t d = 0; d < n; d++)
            cJSON_AddItemToArray(chunk, cJSON_CreateNumber(difference->chunks[i * n + d]));
    }
    return SGC_OK;
}

static sgc_status do_diff(call *c, sgc_error *err)
{
    sgc_snapshot *from, *to;
    SGC_TRY(get_snapshot(c, "from", &from, err));
    sgc_status status = get_snapshot(c, "to", &to, err);
    if (status == SGC_OK) {
        status = sgc_repository_diff(c->repository, from, to, add_difference,
                                     cJSON_AddArrayToObject(c->answer, "nodes"), err);
        sgc_snapshot_unref(to);
    }
    sgc_snapshot_unref(from);
    return status;
}

/* ---- sessions ---- */

static sgc_status do_session(call *c, sgc_error *err)
{
    sgc_session **sessions = c->tool->sessions;
    size_t n = 0;
    while (n < MOST_HANDLES && sessions[n] != NULL)
        n++;
    if (n == MOST_HANDLES)
        return sgc_fail(err, SGC_INVALID, "too many sessions");
    SGC_TRY(sgc_session_new(c->repository, text(c->request, "branch"), &sessions[n], err));
    add_number(c->answer, "session", n);
    return SGC_OK;
}

static sgc_status do_end_session(call *c, sgc_error *err)
{
    (void)err;
    sgc_session_free(c->session);
    c->tool->sessions[number(c->request, "session")] = NULL;
    return SGC_OK;
}

static sgc_status do_put_group(call *c, sgc_error *err)
{
    const char *json = text(c->request, "json");
    return sgc_session_put_group(c->session, text(c->request, "path"), json, strlen(json), err);
}

static sgc_status do_put_array(call *c, sgc_error *err)
{
    const char *json = text(c->request, "json");
    return sgc_session_put_array(c->session, text(c->request, "path"), json, strlen(json), err);
}

static sgc_status do_delete(call *c, sgc_error *err)
{
    return sgc_session_delete(c->session, text(c->request, "path"), err);
}

static sgc_status do_find_json(call *c, sgc_error *err)
{
    sgc_node node;
    SGC_TRY(sgc_session_get_node(c->session, text(c->request, "path"), &node, err));
    add_text(c->answer, "json", (const char *)node.user_data, node.user_data_size);
    return SGC_OK;
}

static sgc_status encode_and_set(sgc_session *session, const cJSON *request,
                                 const sgc_array_metadata *metadata, const void *items,
                                 sgc_error *err)
{
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    sgc_buffer encoded = {0};
    sgc_chunk_ref ref;
    get_coordinates(request, coordinates);
    sgc_status status = sgc_array_write_chunk(sgc_session_repository(session), metadata, items, 1,
                                              &encoded, &ref, err);
    if (status == SGC_OK)
        status = sgc_session_set_chunk(session, text(request, "path"), coordinates, &ref, err);
    sgc_buffer_free(&encoded);
    return status;
}

/* The chunk with these items, as large as all chunks of the array. */
static sgc_status do_set_chunk(call *c, sgc_error *err)
{
    sgc_node node;
    sgc_array_metadata metadata;
    unsigned char *items = NULL;
    size_t size = 0;
    SGC_TRY(sgc_session_get_node(c->session, text(c->request, "path"), &node, err));
    SGC_TRY(sgc_array_metadata_parse((const char *)node.user_data, node.user_data_size, &metadata,
                                     err));
    sgc_status status = get_bytes(c->request, "data", &items, &size, err);
    if (status == SGC_OK && size != metadata.chunk_bytes)
        status =
            sgc_fail(err, SGC_INVALID, "a chunk of %zu bytes, not %zu", size, metadata.chunk_bytes);
    if (status == SGC_OK)
        status = encode_and_set(c->session, c->request, &metadata, items, err);
    free(items);
    sgc_array_metadata_clear(&metadata);
    return status;
}

static sgc_status do_delete_chunk(call *c, sgc_error *err)
{
    uint32_t coordinates[SGC_MAX_DIMENSIONS];
    const sgc_chunk_ref none = {.kind = SGC_CHUNK_NONE};
    get_coordinates(c->request, coordinates);
    return sgc_session_set_chunk(c->session, text(c->request, "path"), coordinates, &none, err);
}

/* Decides as the official library's BasicConflictSolver does: *(sgc_resolution *)user is about
 * chunks, and a node that others have changed may be deleted. */
static sgc_status decide(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                         sgc_error *err)
{
    (void)err;
    if (conflict->kind == SGC_CHUNK_DOUBLE_UPDATE)
        merged->resolution = *(const sgc_resolution *)user;
    if (conflict->kind == SGC_DELETE_OF_UPDATED)
        merged->resolution = SGC_OURS;
    return SGC_OK;
}

/* "rebase": "no" (the default), "detect", or whose chunks win: "ours", "theirs". */
static sgc_status do_commit(call *c, sgc_error *err)
{
    sgc_object_id id;
    const char *rebase = text(c->request, "rebase"), *message = text(c->request, "message");
    const char *metadata = cJSON_GetStringValue(member(c->request, "metadata"));
    sgc_resolution chunks = strcmp(rebase, "theirs") == 0 ? SGC_THEIRS : SGC_OURS;
    const sgc_merge basic = {decide, &chunks};
    const sgc_merge *merge = strcmp(rebase, "detect") == 0 ? NULL : &basic;
    if (*rebase == '\0' || strcmp(rebase, "no") == 0)
        SGC_TRY(sgc_session_commit(c->session, message, metadata, &id, err));
    else
        SGC_TRY(sgc_session_commit_rebased(c->session, message, metadata, merge, &id, err));
    add_id(c->answer, "snapshot", &id);
    return SGC_OK;
}

/* ---- maintenance ---- */

static sgc_status do_expire(call *c, sgc_error *err)
{
    sgc_expire_result result;
    const sgc_expire_options options = {.older_than = number(c->request, "older_than"),
                                        .delete_branches = flag(c->request, "delete_branches"),
                                        .delete_tags = flag(c->request, "delete_tags")};
    SGC_TRY(sgc_repository_expire(c->repository, &options, &result, err));
    add_number(c->answer, "snapshots", result.snapshots);
    add_number(c->answer, "branches", result.branches);
    add_number(c->answer, "tags", result.tags);
    return SGC_OK;
}

static sgc_status do_collect_garbage(call *c, sgc_error *err)
{
    sgc_garbage_result result;
    const sgc_garbage_options options = {.older_than = number(c->request, "older_than")};
    SGC_TRY(sgc_repository_collect_garbage(c->repository, &options, &result, err));
    add_number(c->answer, "snapshots", result.snapshots);
    add_number(c->answer, "transaction_logs", result.transaction_logs);
    add_number(c->answer, "manifests", result.manifests);
    add_number(c->answer, "chunks", result.chunks);
    return SGC_OK;
}

static void add_defect(void *user, const char *key, const char *message)
{
    cJSON *item = new_item(user);
    cJSON_AddStringToObject(item, "key", key);
    cJSON_AddStringToObject(item, "message", message);
}

static sgc_status do_verify(call *c, sgc_error *err)
{
    sgc_verify_result result;
    const sgc_verify_options options = {.decode_chunks = true,
                                        .fn = add_defect,
                                        .user = cJSON_AddArrayToObject(c->answer, "defects")};
    return sgc_repository_verify(c->repository, &options, &result, err);
}

/* Whether arrays with this zarr.json can be read and written. */
static sgc_status do_check(call *c, sgc_error *err)
{
    sgc_array_metadata metadata;
    const char *json = text(c->request, "json");
    SGC_TRY(sgc_array_metadata_parse(json, strlen(json), &metadata, err));
    sgc_array_metadata_clear(&metadata);
    return SGC_OK;
}

/* ---- the loop ---- */

typedef enum needs { NOTHING, REPOSITORY, SESSION } needs;

static const struct command {
    const char *name;
    needs needs;
    sgc_status (*run)(call *c, sgc_error *err);
} commands[] = {
    {"create", NOTHING, do_create},
    {"open", NOTHING, do_open},
    {"close", REPOSITORY, do_close},
    {"refs", REPOSITORY, do_refs},
    {"create_ref", REPOSITORY, do_create_ref},
    {"delete_ref", REPOSITORY, do_delete_ref},
    {"reset_branch", REPOSITORY, do_reset_branch},
    {"history", REPOSITORY, do_history},
    {"nodes", REPOSITORY, do_nodes},
    {"read", REPOSITORY, do_read},
    {"diff", REPOSITORY, do_diff},
    {"session", REPOSITORY, do_session},
    {"end_session", SESSION, do_end_session},
    {"put_group", SESSION, do_put_group},
    {"put_array", SESSION, do_put_array},
    {"delete", SESSION, do_delete},
    {"find_json", SESSION, do_find_json},
    {"set_chunk", SESSION, do_set_chunk},
    {"delete_chunk", SESSION, do_delete_chunk},
    {"commit", SESSION, do_commit},
    {"expire", REPOSITORY, do_expire},
    {"collect_garbage", REPOSITORY, do_collect_garbage},
    {"verify", REPOSITORY, do_verify},
    {"check", NOTHING, do_check},
};

static const char *const status_names[] = {
    [SGC_OK] = "ok",
    [SGC_NOT_FOUND] = "not found",
    [SGC_EXISTS] = "exists",
    [SGC_CONFLICT] = "conflict",
    [SGC_CORRUPT] = "corrupt",
    [SGC_UNSUPPORTED] = "unsupported",
    [SGC_AUTH] = "auth",
    [SGC_NETWORK] = "network",
    [SGC_BUDGET] = "budget",
    [SGC_CANCELLED] = "cancelled",
    [SGC_NO_MEMORY] = "no memory",
    [SGC_IO] = "io",
    [SGC_INVALID] = "invalid",
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static sgc_status run(call *c, sgc_error *err)
{
    const struct command *command = find_command(text(c->request, "do"));
    const uint64_t repository = number(c->request, "repository");
    const uint64_t session = number(c->request, "session");
    if (command == NULL)
        return sgc_fail(err, SGC_INVALID, "no such command");
    if (command->needs == REPOSITORY && repository < MOST_HANDLES)
        c->repository = c->tool->repositories[repository];
    if (command->needs == SESSION && session < MOST_HANDLES)
        c->session = c->tool->sessions[session];
    if (command->needs != NOTHING && c->repository == NULL && c->session == NULL)
        return sgc_fail(err, SGC_INVALID, "no such repository or session");
    return command->run(c, err);
}

static void answer_line(tool *t, const char *line)
{
    sgc_error err = {""};
    cJSON *request = cJSON_Parse(line), *answer = cJSON_CreateObject();
    call c = {.tool = t, .request = request, .answer = answer};
    const sgc_status status = run(&c, &err);
    if (status != SGC_OK) {
        cJSON_AddStringToObject(answer, "error", status_names[status]);
        cJSON_AddStringToObject(answer, "message", err.message);
    }
    char *printed = cJSON_PrintUnformatted(answer);
    puts(printed != NULL ? printed : "{\"error\": \"no memory\"}");
    fflush(stdout);
    cJSON_free(printed);
    cJSON_Delete(answer);
    cJSON_Delete(request);
}

int main(void)
{
    tool t = {0};
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0)
        answer_line(&t, line);
    free(line);
    for (size_t i = 0; i < MOST_HANDLES; i++)
        sgc_session_free(t.sessions[i]);
    for (size_t i = 0; i < MOST_HANDLES; i++)
        sgc_repository_free(t.repositories[i]);
    return 0;
}
