/* Opening cubes, and the registry of those that are open. */
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/configured.h"
#include "datasets/registry.h"
#include "gdal_sgc/cube_private.h"
#include "gdal_sgc/patch_log.h"
#include "gdal_sgc/root_attributes.h"

static struct {
    pthread_mutex_t mutex;
    sgc_cube *cubes;
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The child has none of the threads that held mutexes or were loading. */
static void renew_in_child(void *object)
{
    sgc_cube *cube = object;
    pthread_mutex_init(&registry.mutex, NULL);
    pthread_mutex_init(&cube->mutex, NULL);
    pthread_mutex_init(&cube->refreshing, NULL);
    pthread_mutex_init(&cube->patch_log_mutex, NULL);
    sgc_condition_init(&cube->released);
    cube->claims = NULL;
}

static void free_cube(sgc_cube *cube)
{
    if (cube == NULL)
        return;
    sgc_fork_watch_end(&cube->forks);
    sgc_view_unref(cube->view);
    sgc_patch_log_unref(cube->patch_log);
    sgc_source_free(cube->source);
    for (size_t i = 0; cube->level_sources != NULL && i < cube->definition->level_count; i++)
        sgc_source_free(cube->level_sources[i]);
    free(cube->level_sources);
    sgc_repository_free(cube->repository);
    sgc_object_store_free(cube->store);
    sgc_definition_free(cube->definition);
    pthread_mutex_destroy(&cube->mutex);
    pthread_mutex_destroy(&cube->refreshing);
    pthread_mutex_destroy(&cube->patch_log_mutex);
    pthread_cond_destroy(&cube->released);
    free(cube->key);
    free(cube->place);
    free(cube->ref);
    free(cube->source_url);
    free(cube->project);
    free(cube);
}

/* Whoever has edited a definition gets a cube of his own. */
static char *make_key(const sgc_connection *c)
{
    sgc_buffer key = {0};
    sgc_definition *definition = NULL;
    const bool named = c->dataset != NULL &&
                       sgc_connection_find_definition(c, c->dataset, &definition, NULL) == SGC_OK;
    sgc_status status = sgc_buffer_print(
        &key, NULL, "%s\n%d %s\n%s\n%s\n%s\n%d %u %lld %d %d %d", c->place, c->ref_choice, c->ref,
        c->dataset != NULL ? c->dataset : "", c->source_url != NULL ? c->source_url : "",
        c->project != NULL ? c->project : "", c->create, c->max_requests, (long long)c->chunk_size,
        c->compression_level, c->spec_version, c->locking);
    for (int i = 0; status == SGC_OK && i < CSLCount(c->parameters); i++)
        status = sgc_buffer_print(&key, NULL, "\n%s", c->parameters[i]);
    if (status == SGC_OK && named)
        status = sgc_buffer_print(&key, NULL, "\n%s", definition->text);
    sgc_definition_free(definition);
    if (status != SGC_OK)
        sgc_buffer_free(&key);
    return (char *)key.data;
}

/* A cube may be made in a place that is empty, or where somebody began to make one and was killed.
 */
static sgc_status check_empty(const sgc_cube *cube, const sgc_connection *c, sgc_error *err)
{
    sgc_status status = sgc_repository_check_unused(cube->store, err);
    if (status == SGC_INVALID)
        status = sgc_fail_in(err, status, "not a cube");
    else if (status == SGC_OK && !c->create)
        status = sgc_fail(err, SGC_NOT_FOUND, "%s holds no cube; to make one, add %screate=yes",
                          cube->place, c->dataset != NULL ? "" : "dataset=… and ");
    return status == SGC_OK || !c->hides_dataset
               ? status
               : sgc_fail_in(err, status,
                             "a directory hides the dataset of that name; rename it, or open the "
                             "dataset from another one");
}

/* A cube of somebody else's making says nothing about its dataset: the user does. */
static sgc_status use_named_definition(sgc_cube *cube, sgc_snapshot *snapshot,
                                       const sgc_connection *c, sgc_error *err)
{
    if (c->dataset == NULL)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%s is an Icechunk repository that SGC has not made: name the definition "
                        "of its grid with DATASET",
                        cube->place);
    SGC_TRY(sgc_connection_find_definition(c, c->dataset, &cube->definition, err));
    const sgc_status status = sgc_adopt_check(cube->repository, snapshot, cube->definition, err);
    return status == SGC_OK
               ? SGC_OK
               : sgc_fail_in(err, status, "the Icechunk repository %s is not what \"%s\" describes",
                             cube->place, cube->definition->id);
}

/* Reads the definition that the cube carries. SGC_NOT_FOUND when it carries none. */
static sgc_status read_definition(sgc_cube *cube, const sgc_snapshot *snapshot,
                                  sgc_definition **out, sgc_error *err)
{
    sgc_span span;
    SGC_TRY(sgc_root_find_definition(sgc_snapshot_find(snapshot, "/"), &span, err));
    char *text = strndup(span.text, span.size);
    if (text == NULL)
        return sgc_fail_memory(err, span.size, "a definition");
    const sgc_status status = sgc_definition_parse(text, cube->place, NULL, out, err);
    free(text);
    return status;
}

/* Lists the factors of the levels that the cube has, and says how many they are. */
static size_t list_begun(const sgc_snapshot *snapshot, int64_t factors[SGC_MOST_LEVELS])
{
    size_t count = 0;
    for (int i = 1; i < SGC_MOST_LEVELS; i++) {
        const sgc_level level = {.factor = INT64_C(1) << i};
        char path[SGC_PATH_SIZE];
        sgc_layout_complete_path(&level, path);
        if (sgc_snapshot_find(snapshot, path) != NULL)
            factors[count++] = level.factor;
    }
    return count;
}

bool sgc_snapshot_holds_data(const sgc_snapshot *snapshot, const sgc_definition *definition)
{
    const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
    const sgc_level full = {.factor = 1};
    char path[SGC_PATH_SIZE];
    for (size_t b = 0; b < definition->band_count; b++) {
        sgc_layout_channel_path(definition, &full, b, path);
        const sgc_node *channel = sgc_snapshot_find(snapshot, path);
        if (channel != NULL && channel->manifest_count > 0)
            return true;
    }
    for (size_t i = 0; i < data->node_count; i++) {
        const sgc_node *node = &data->nodes[i];
        if (strncmp(node->path, "/sgc/", 5) == 0 && node->manifest_count > 0 &&
            strcmp(strrchr(node->path, '/'), "/complete") != 0)
            return true;
    }
    return false;
}

/* Says why the cube is not loaded further, and what may be done about it. */
static void refuse_loading(sgc_cube *cube, const sgc_snapshot *snapshot, const sgc_error *reason)
{
    const bool holds_data = sgc_snapshot_holds_data(snapshot, cube->definition);
    sgc_fail(&cube->no_load, SGC_INVALID, "%s: %s%s%s", cube->place, reason->message,
             holds_data ? "; for this one, name another place"
                        : "; it holds no data yet: to begin anew, remove ",
             holds_data ? "" : cube->place);
}

/* Uses what the user has installed or named; what the cube says about itself decides layout, never
 * where to connect (architecture 6.16). Takes `theirs`. */
static sgc_status choose_definition(sgc_cube *cube, const sgc_snapshot *snapshot,
                                    sgc_definition *theirs, const sgc_connection *c, sgc_error *err)
{
    sgc_definition *mine;
    const char *dataset = c->dataset;
    cube->definition = theirs;
    const char *name = dataset != NULL ? dataset : theirs->id;
    sgc_error *reason = dataset != NULL ? err : NULL;
    const sgc_status found = c->parameters == NULL
                                 ? sgc_registry_find(name, theirs->parameters, &mine, reason)
                                 : sgc_connection_find_definition(c, name, &mine, reason);
    if (found != SGC_OK && dataset != NULL)
        return found;
    if (found != SGC_OK) {
        sgc_fail(&cube->no_load, SGC_INVALID,
                 "the dataset \"%s\" is not known here: name its definition file with DATASET to "
                 "download",
                 theirs->id);
        return SGC_OK;
    }
    if (strcmp(mine->id, theirs->id) != 0) {
        const sgc_status status =
            sgc_fail(err, SGC_INVALID, "%s holds the dataset \"%s\", not \"%s\"", cube->place,
                     theirs->id, mine->id);
        sgc_definition_free(mine);
        return status;
    }
    int64_t begun[SGC_MOST_LEVELS];
    const size_t begun_count = list_begun(snapshot, begun);
    sgc_error different = {""};
    if (sgc_definition_check_same(theirs, mine, begun, begun_count, &different) != SGC_OK) {
        refuse_loading(cube, snapshot, &different);
        sgc_definition_free(mine);
        return SGC_OK;
    }
    cube->definition = mine;
    sgc_definition_free(theirs);
    return SGC_OK;
}

/* Who begins a level of another source notes the sources of all levels (sgc_layout_put_level). */
sgc_status sgc_cube_check_definition(sgc_cube *cube, const sgc_snapshot *snapshot, size_t level,
                                     sgc_error *err)
{
    const sgc_definition *mine = cube->definition;
    const int64_t factor = cube->levels[level].factor;
    sgc_definition *theirs;
    int64_t begun[SGC_MOST_LEVELS];
    const size_t count = list_begun(snapshot, begun);
    bool is_begun = factor == 1;
    for (size_t i = 0; i < count; i++)
        is_begun |= begun[i] == factor;
    const sgc_status found = read_definition(cube, snapshot, &theirs, err);
    if (found == SGC_NOT_FOUND)
        return SGC_OK;
    SGC_TRY(found);
    const sgc_status status = is_begun || mine->level_count == 0
                                  ? sgc_definition_check_level(theirs, mine, factor, err)
                                  : sgc_definition_check_same(theirs, mine, begun, count, err);
    sgc_definition_free(theirs);
    return status == SGC_OK
               ? SGC_OK
               : sgc_fail_in(err, status, "%s: level %lld", cube->place, (long long)factor);
}

sgc_source *sgc_cube_source(const sgc_cube *cube, size_t level)
{
    const sgc_definition *d = cube->definition;
    const int64_t factor = cube->levels[level].factor;
    sgc_source *source = cube->source;
    for (size_t i = 0; factor > 1 && i < d->level_count && d->levels[i].from <= factor; i++)
        source = cube->level_sources[i];
    return source;
}

/* The factor from which on there are levels; 0: there are none. */
static int64_t first_factor(const sgc_cube *cube)
{
    if (cube->source->has_levels)
        return 1;
    return cube->definition->level_count > 0 ? cube->definition->levels[0].from : 0;
}

/* SOURCE_URL is another endpoint of the same service: of sources of another kind it says nothing.
 */
static sgc_status open_source(const sgc_cube *cube, const cJSON *json, sgc_source **out,
                              sgc_error *err)
{
    const sgc_definition *d = cube->definition;
    const bool same = cJSON_Compare(cJSON_GetObjectItemCaseSensitive(json, "kind"),
                                    cJSON_GetObjectItemCaseSensitive(d->source, "kind"), 1);
    const sgc_source_options options = {.url = same ? cube->source_url : NULL,
                                        .project = cube->project,
                                        .max_requests = cube->max_requests};
    return sgc_source_new(d, json, &options, out, err);
}

static sgc_status open_sources(sgc_cube *cube, sgc_error *err)
{
    const sgc_definition *d = cube->definition;
    SGC_TRY(open_source(cube, d->source, &cube->source, err));
    cube->level_sources = calloc(d->level_count + 1, sizeof *cube->level_sources);
    if (cube->level_sources == NULL)
        return sgc_fail_memory(err, d->level_count * sizeof *cube->level_sources, "sources");
    for (size_t i = 0; i < d->level_count; i++)
        SGC_TRY(open_source(cube, d->levels[i].source, &cube->level_sources[i], err));
    return SGC_OK;
}

static sgc_status set_levels(sgc_cube *cube, int64_t chunk_width, int64_t chunk_height,
                             sgc_error *err)
{
    SGC_TRY(open_sources(cube, err));
    cube->level_count = sgc_layout_levels(cube->definition, chunk_width, chunk_height,
                                          first_factor(cube), cube->levels);
    return SGC_OK;
}

/* The chunks of the cube as it was made. */
static sgc_status stored_chunks(const sgc_cube *cube, const sgc_snapshot *snapshot, int64_t *width,
                                int64_t *height, sgc_error *err)
{
    char path[SGC_PATH_SIZE];
    snprintf(path, sizeof path, "/%.250s", cube->definition->bands[0].name);
    const sgc_node *node = sgc_snapshot_find(snapshot, path);
    sgc_array_metadata metadata;
    if (node == NULL || !node->is_array)
        return sgc_fail(err, SGC_CORRUPT, "%s has no array %s", cube->place, path);
    const sgc_status status = sgc_array_metadata_parse((const char *)node->user_data,
                                                       node->user_data_size, &metadata, err);
    if (status != SGC_OK)
        return sgc_fail_in(err, status, "%s: array %s", cube->place, path);
    const size_t y = cube->definition->time.count > 0 ? 1 : 0;
    const bool good = metadata.dimension_count == y + 2;
    if (good) {
        *height = (int64_t)metadata.chunk_shape[y];
        *width = (int64_t)metadata.chunk_shape[y + 1];
    }
    sgc_array_metadata_clear(&metadata);
    return good ? SGC_OK
                : sgc_fail(err, SGC_CORRUPT, "%s: array %s has not %zu dimensions", cube->place,
                           path, y + 2);
}

static sgc_status open_made(sgc_cube *cube, sgc_snapshot *snapshot, const sgc_connection *c,
                            sgc_error *err)
{
    sgc_definition *theirs;
    int64_t width, height;
    const sgc_status found = read_definition(cube, snapshot, &theirs, err);
    if (found == SGC_NOT_FOUND)
        SGC_TRY(use_named_definition(cube, snapshot, c, err));
    else if (found == SGC_OK)
        SGC_TRY(choose_definition(cube, snapshot, theirs, c, err));
    else
        return found;
    SGC_TRY(stored_chunks(cube, snapshot, &width, &height, err));
    /* Sources whose patches are chunks mean those that the cube has. */
    cube->definition->chunk_width = width;
    cube->definition->chunk_height = height;
    SGC_TRY(set_levels(cube, width, height, err));
    sgc_split_rule rules[SGC_SPLIT_RULES];
    sgc_layout_split_rules(cube->definition, &cube->levels[0], rules);
    SGC_TRY(sgc_repository_set_split_rules(cube->repository, rules, SGC_SPLIT_RULES, err));
    return sgc_view_new(cube, cube->repository, sgc_snapshot_ref(snapshot), &cube->view, err);
}

static sgc_status open_empty(sgc_cube *cube, const sgc_connection *c, sgc_error *err)
{
    if (c->ref_choice != SGC_CHOOSE_BRANCH || strcmp(c->ref, "main") != 0)
        return sgc_fail(err, SGC_NOT_FOUND, "%s is empty: it has no \"%s\" yet", c->place, c->ref);
    if (c->dataset == NULL)
        return sgc_fail(err, SGC_INVALID,
                        "%s is empty: say what it shall hold, like dataset=ArcticDEM32m", c->place);
    SGC_TRY(sgc_connection_find_definition(c, c->dataset, &cube->definition, err));
    if (c->chunk_size > 0)
        cube->definition->chunk_width = cube->definition->chunk_height = c->chunk_size;
    return set_levels(cube, cube->definition->chunk_width, cube->definition->chunk_height, err);
}

static sgc_status open_store(const sgc_connection *c, sgc_object_store **out, sgc_error *err)
{
    if (strncmp(c->place, "mem:", 4) == 0)
        return sgc_object_store_memory_new(out, err);
    const sgc_local_options options = {.no_locking = !c->locking};
    return sgc_object_store_local_new(c->place, &options, out, err);
}

sgc_status sgc_connection_open_repository(const sgc_connection *connection, sgc_repository **out,
                                          sgc_error *err)
{
    sgc_object_store *store;
    if (connection->dataset == NULL) /* else they have been checked */
        SGC_TRY(sgc_connection_check_parameters(connection, NULL, err));
    SGC_TRY(open_store(connection, &store, err));
    const sgc_status status = sgc_repository_open(store, NULL, out, err);
    if (status == SGC_OK)
        return SGC_OK;
    sgc_object_store_free(store);
    return status == SGC_NOT_FOUND
               ? sgc_fail(err, status, "%s holds no repository", connection->place)
               : status;
}

sgc_status sgc_ref_choice_resolve(sgc_ref_choice choice, const char *ref, uint64_t as_of,
                                  sgc_repository *repository, sgc_object_id *id, sgc_error *err)
{
    sgc_object_id tip;
    switch (choice) {
    case SGC_CHOOSE_SNAPSHOT:
        return sgc_object_id_parse(ref, strlen(ref), id, err);
    case SGC_CHOOSE_TAG:
        return sgc_repository_resolve(repository, SGC_REF_TAG, ref, id, err);
    case SGC_CHOOSE_BRANCH:
        return sgc_repository_resolve(repository, SGC_REF_BRANCH, ref, id, err);
    case SGC_CHOOSE_AS_OF:
        break;
    }
    SGC_TRY(sgc_repository_resolve(repository, SGC_REF_BRANCH, "main", &tip, err));
    return sgc_repository_as_of(repository, &tip, as_of, id, err);
}

sgc_status sgc_connection_resolve(const sgc_connection *connection, sgc_repository *repository,
                                  sgc_object_id *id, sgc_error *err)
{
    return sgc_ref_choice_resolve(connection->ref_choice, connection->ref, connection->as_of,
                                  repository, id, err);
}

static sgc_status open_cube(sgc_cube *cube, const sgc_connection *c, sgc_error *err)
{
    SGC_TRY(open_store(c, &cube->store, err));
    sgc_status status = sgc_repository_open(cube->store, NULL, &cube->repository, err);
    if (status == SGC_NOT_FOUND) {
        status = check_empty(cube, c, err);
        if (status == SGC_OK)
            return open_empty(cube, c, err);
        /* It may be somebody's who has begun to make it since. */
        if (status == SGC_INVALID &&
            sgc_repository_open(cube->store, NULL, &cube->repository, NULL) == SGC_OK)
            status = SGC_OK;
    }
    SGC_TRY(status);
    cube->store = NULL;
    sgc_object_id id;
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_cube_resolve(cube, cube->repository, &id, err));
    status = sgc_repository_snapshot(cube->repository, &id, &snapshot, err);
    if (status == SGC_NOT_FOUND && c->ref_choice == SGC_CHOOSE_SNAPSHOT)
        return sgc_fail(err, status, "%s has no snapshot \"%s\"; sgc log lists them", cube->place,
                        cube->ref);
    SGC_TRY(status);
    /* A root snapshot has no nodes: somebody made the repository and was killed before the cube. */
    const bool made = sgc_snapshot_get(snapshot)->node_count > 0;
    if (made)
        status = open_made(cube, snapshot, c, err);
    else if (c->ref_choice != SGC_CHOOSE_BRANCH)
        status =
            sgc_fail(err, SGC_NOT_FOUND,
                     "%s shows nothing at \"%s\": it was empty then, or its history has expired",
                     cube->place, cube->ref);
    else if (c->create)
        status = open_empty(cube, c, err);
    else
        status = sgc_fail(err, SGC_NOT_FOUND,
                          "%s holds an empty repository; to make a cube of it, add dataset=… and "
                          "create=yes",
                          cube->place);
    sgc_snapshot_unref(snapshot);
    return status;
}

static sgc_status new_cube(const sgc_connection *c, const char *key, sgc_cube **out, sgc_error *err)
{
    sgc_cube *cube = calloc(1, sizeof *cube);
    if (cube == NULL)
        return sgc_fail_memory(err, sizeof *cube, "a cube");
    pthread_mutex_init(&cube->mutex, NULL);
    pthread_mutex_init(&cube->refreshing, NULL);
    pthread_mutex_init(&cube->patch_log_mutex, NULL);
    sgc_condition_init(&cube->released);
    sgc_fork_watch_begin(&cube->forks, renew_in_child, cube);
    cube->references = 1;
    cube->ref_choice = c->ref_choice;
    cube->as_of = c->as_of;
    cube->spec_version = c->spec_version;
    cube->max_requests = c->max_requests;
    cube->compression_level = c->compression_level;
    cube->key = strdup(key);
    cube->place = strdup(c->place);
    cube->ref = strdup(c->ref);
    cube->source_url = c->source_url != NULL ? strdup(c->source_url) : NULL;
    cube->project = c->project != NULL ? strdup(c->project) : NULL;
    sgc_status status = SGC_OK;
    if (cube->key == NULL || cube->place == NULL || cube->ref == NULL ||
        (c->source_url != NULL && cube->source_url == NULL) ||
        (c->project != NULL && cube->project == NULL))
        status = sgc_fail_memory(err, strlen(key), "a cube");
    if (status == SGC_OK)
        status = open_cube(cube, c, err);
    if (status == SGC_OK)
        status = sgc_connection_check_parameters(c, cube->definition, err);
    if (status != SGC_OK) {
        free_cube(cube);
        return status;
    }
    *out = cube;
    return SGC_OK;
}

/* A counted reference to the open cube of that key, or NULL. The registry's mutex is held. */
static sgc_cube *find_open(const char *key)
{
    sgc_cube *cube = registry.cubes;
    while (cube != NULL && strcmp(cube->key, key) != 0)
        cube = cube->next;
    if (cube != NULL)
        cube->references++;
    return cube;
}

/* Enters `made`, unless another thread was first: then `made` is dropped. */
static sgc_cube *enter(sgc_cube *made)
{
    pthread_mutex_lock(&registry.mutex);
    sgc_cube *cube = find_open(made->key);
    if (cube == NULL) {
        made->next = registry.cubes;
        registry.cubes = made;
    }
    pthread_mutex_unlock(&registry.mutex);
    if (cube == NULL)
        return made;
    free_cube(made);
    return cube;
}

/* The cache of decoded blocks is one for all cubes; whoever opens one may change its size. */
static void size_block_cache(void)
{
    enum { SHARE = 20, MEBIBYTE = 1024 * 1024, MOST_BY_DEFAULT = 512 };
    double size = fmin((double)CPLGetUsablePhysicalRAM() / SHARE / MEBIBYTE, MOST_BY_DEFAULT);
    (void)sgc_configured_number("SGC_CACHE_SIZE", 0, &size);
    sgc_block_cache_set_size((size_t)(size * MEBIBYTE));
}

/* Says once of each option that its value is none. */
static void check_configuration(void)
{
    static const struct {
        const char *name, *must_be;
        double least;
    } numbers[] = {{"SGC_CACHE_SIZE", "a number of MiB", 0},
                   {"SGC_LOAD_MEMORY", "a number of MiB above 0", DBL_MIN},
                   {"SGC_COMMIT_INTERVAL", "a number of seconds", 0}};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    static atomic_bool said[COUNT + 1];
    double number;
    for (size_t i = 0; i < COUNT; i++)
        if (!sgc_configured_number(numbers[i].name, numbers[i].least, &number) &&
            !atomic_exchange(&said[i], true))
            CPLError(CE_Warning, CPLE_AppDefined,
                     "SGC: %s=%.64s: must be %s; the default is used instead", numbers[i].name,
                     CPLGetConfigOption(numbers[i].name, ""), numbers[i].must_be);
    const char *progress = CPLGetConfigOption("SGC_PROGRESS", "AUTO");
    if (!EQUAL(progress, "AUTO") && !sgc_is_yes_or_no(progress) &&
        !atomic_exchange(&said[COUNT], true))
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: SGC_PROGRESS=%.64s: must be YES, NO or AUTO; AUTO is used instead",
                 progress);
}

/* Takes a cube out of the registry, if it is still there. The registry's mutex is held. */
static void leave(sgc_cube *cube)
{
    sgc_cube **link = &registry.cubes;
    while (*link != NULL && *link != cube)
        link = &(*link)->next;
    if (*link == cube)
        *link = cube->next;
}

/* Gives the open cube of that key, or NULL: there is none, or what it showed is not there any more,
 * and whoever opens now begins anew. */
static sgc_status reuse(const char *key, sgc_cube **out, sgc_error *err)
{
    pthread_mutex_lock(&registry.mutex);
    sgc_cube *cube = find_open(key);
    pthread_mutex_unlock(&registry.mutex);
    const sgc_status status = cube != NULL ? sgc_cube_refresh(cube, err) : SGC_OK;
    *out = status == SGC_OK ? cube : NULL;
    if (status == SGC_OK)
        return SGC_OK;
    if (status == SGC_NOT_FOUND) {
        pthread_mutex_lock(&registry.mutex);
        leave(cube);
        pthread_mutex_unlock(&registry.mutex);
    }
    sgc_cube_unref(cube);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

sgc_status sgc_cube_open(const sgc_connection *connection, sgc_cube **out, sgc_error *err)
{
    check_configuration();
    size_block_cache();
    char *key = make_key(connection);
    if (key == NULL)
        return sgc_fail_memory(err, 0, "a cube");
    sgc_cube *cube;
    sgc_status status = reuse(key, &cube, err);
    if (status == SGC_OK && cube == NULL) {
        status = new_cube(connection, key, &cube, err);
        if (status == SGC_OK)
            cube = enter(cube);
    }
    free(key);
    if (status == SGC_OK)
        *out = cube;
    return status;
}

void sgc_cube_unref(sgc_cube *cube)
{
    if (cube == NULL)
        return;
    pthread_mutex_lock(&registry.mutex);
    const bool last = --cube->references == 0;
    if (last)
        leave(cube);
    pthread_mutex_unlock(&registry.mutex);
    if (last)
        free_cube(cube);
}
