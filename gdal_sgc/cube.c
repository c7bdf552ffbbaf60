#include "gdal_sgc/cube.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/registry.h"
#include "gdal_sgc/cube_private.h"

enum { POLL_MILLISECONDS = 100, SMALLEST_ESTIMATE = 64 * 1024 };

/* ---- views ---- */

static sgc_status open_level(sgc_view *view, sgc_repository *repository, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    if (sgc_snapshot_find(view->snapshot, path) == NULL)
        return SGC_OK;
    SGC_TRY(sgc_array_open(repository, view->snapshot, path, &view->complete[l], err));
    const size_t bands = cube->definition->band_count;
    view->channels[l] = calloc(bands, sizeof(sgc_array *));
    if (view->channels[l] == NULL)
        return sgc_fail_memory(err, bands * sizeof(sgc_array *), "a cube");
    for (size_t b = 0; b < bands; b++) {
        sgc_layout_channel_path(cube->definition, level, b, path);
        SGC_TRY(sgc_array_open(repository, view->snapshot, path, &view->channels[l][b], err));
    }
    return SGC_OK;
}

static bool has_shape(const sgc_array *array, const uint64_t *shape, size_t count)
{
    const sgc_array_metadata *m = sgc_array_get_metadata(array);
    return m->dimension_count == count && memcmp(m->shape, shape, count * sizeof *shape) == 0;
}

/* A cube must be what its definition says before any of its sizes is relied on. */
static sgc_status check_level(const sgc_view *view, size_t l, sgc_error *err)
{
    const sgc_cube *cube = view->cube;
    const sgc_level *level = &cube->levels[l];
    if (view->complete[l] == NULL)
        return SGC_OK;
    const uint64_t positions[] = {cube->definition->band_count, (uint64_t)sgc_level_rows(level),
                                  (uint64_t)sgc_level_columns(level)};
    const uint64_t pixels[] = {(uint64_t)level->grid.height, (uint64_t)level->grid.width};
    bool good = has_shape(view->complete[l], positions, 3) &&
                sgc_array_get_metadata(view->complete[l])->type == SGC_UINT8;
    for (size_t b = 0; b < cube->definition->band_count; b++) {
        const sgc_array_metadata *m = sgc_array_get_metadata(view->channels[l][b]);
        good = good && has_shape(view->channels[l][b], pixels, 2) &&
               strcmp(sgc_data_type_name(m->type), cube->definition->bands[b].data_type) == 0 &&
               m->chunk_shape[0] == (uint64_t)level->chunk_height &&
               m->chunk_shape[1] == (uint64_t)level->chunk_width;
    }
    return good ? SGC_OK
                : sgc_fail(err, SGC_CORRUPT, "%s: the arrays of level %lld are not those of its definition",
                           cube->place, (long long)level->factor);
}

sgc_view *sgc_view_ref(sgc_view *view)
{
    atomic_fetch_add(&view->references, 1);
    return view;
}

void sgc_view_unref(sgc_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) != 1)
        return;
    for (size_t l = 0; l < SGC_MOST_LEVELS; l++) {
        for (size_t b = 0; view->channels[l] != NULL && b < view->cube->definition->band_count; b++)
            sgc_array_close(view->channels[l][b]);
        free(view->channels[l]);
        sgc_array_close(view->complete[l]);
    }
    sgc_snapshot_unref(view->snapshot);
    free(view);
}

/* Takes `snapshot`. */
static sgc_status make_view(sgc_cube *cube, sgc_repository *repository, sgc_snapshot *snapshot,
                            sgc_view **out, sgc_error *err)
{
    sgc_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        sgc_snapshot_unref(snapshot);
        return sgc_fail_memory(err, sizeof *view, "a cube");
    }
    atomic_init(&view->references, 1);
    view->cube = cube;
    view->snapshot = snapshot;
    sgc_status status = SGC_OK;
    for (size_t l = 0; status == SGC_OK && l < cube->level_count; l++) {
        status = open_level(view, repository, l, err);
        if (status == SGC_OK)
            status = check_level(view, l, err);
    }
    if (status != SGC_OK) {
        sgc_view_unref(view);
        return status;
    }
    *out = view;
    return SGC_OK;
}

void sgc_cube_view(sgc_cube *cube, sgc_view **out)
{
    pthread_mutex_lock(&cube->mutex);
    *out = cube->view != NULL ? sgc_view_ref(cube->view) : NULL;
    pthread_mutex_unlock(&cube->mutex);
}

sgc_status sgc_view_of(sgc_cube *cube, sgc_snapshot *snapshot, sgc_view **out, sgc_error *err)
{
    return make_view(cube, cube->repository, sgc_snapshot_ref(snapshot), out, err);
}

/* The repository, which never changes once it is there; NULL before. */
static sgc_repository *repository_of(sgc_cube *cube)
{
    pthread_mutex_lock(&cube->mutex);
    sgc_repository *repository = cube->repository;
    pthread_mutex_unlock(&cube->mutex);
    return repository;
}

static sgc_status resolve(const sgc_cube *cube, sgc_repository *repository, sgc_object_id *id,
                          sgc_error *err)
{
    if (cube->ref_choice == SGC_CHOOSE_SNAPSHOT)
        return sgc_object_id_parse(cube->ref, strlen(cube->ref), id, err);
    return sgc_repository_resolve(repository,
                                  cube->ref_choice == SGC_CHOOSE_TAG ? SGC_REF_TAG : SGC_REF_BRANCH,
                                  cube->ref, id, err);
}

static sgc_status adopt_tip(sgc_cube *cube, sgc_repository *repository, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(resolve(cube, repository, &id, err));
    pthread_mutex_lock(&cube->mutex);
    const bool current =
        cube->view != NULL &&
        sgc_object_id_compare(&sgc_snapshot_get(cube->view->snapshot)->id, &id) == 0;
    pthread_mutex_unlock(&cube->mutex);
    if (current)
        return SGC_OK;
    sgc_snapshot *snapshot;
    SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, err));
    if (sgc_snapshot_find(snapshot, "/") == NULL) {
        sgc_snapshot_unref(snapshot); /* made by somebody who has not put the cube into it yet */
        return SGC_OK;
    }
    sgc_view *view;
    SGC_TRY(make_view(cube, repository, snapshot, &view, err));
    pthread_mutex_lock(&cube->mutex);
    sgc_view *old = cube->view;
    cube->view = view;
    pthread_mutex_unlock(&cube->mutex);
    sgc_view_unref(old);
    return SGC_OK;
}

/* One thread at a time looks up and adopts, so that an older tip never takes the place of a newer. */
sgc_status sgc_cube_refresh(sgc_cube *cube, sgc_error *err)
{
    sgc_repository *repository = repository_of(cube);
    if (repository == NULL)
        return SGC_OK;
    pthread_mutex_lock(&cube->refreshing);
    const sgc_status status = adopt_tip(cube, repository, err);
    pthread_mutex_unlock(&cube->refreshing);
    return status;
}

void sgc_cube_snapshot(sgc_cube *cube, char text[SGC_OBJECT_ID_TEXT + 1])
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    text[0] = '\0';
    if (view != NULL)
        sgc_object_id_format(&sgc_snapshot_get(view->snapshot)->id, text);
    sgc_view_unref(view);
}

/* What a level or a cube holds that nobody has loaded yet. */
static void fill_nodata(const sgc_band *band, sgc_rect rect, void *buffer)
{
    const int size = GDALGetDataTypeSizeBytes(band->type);
    for (int64_t row = 0; row < rect.height; row++)
        GDALCopyWords(&band->nodata, GDT_Float64, 0, (char *)buffer + row * rect.width * size,
                      band->type, size, (int)rect.width);
}

sgc_status sgc_cube_read(const sgc_cube *cube, const sgc_view *view, size_t level, size_t band,
                         sgc_rect rect, void *buffer, unsigned num_threads, sgc_error *err)
{
    const uint64_t start[] = {(uint64_t)rect.y, (uint64_t)rect.x};
    const uint64_t count[] = {(uint64_t)rect.height, (uint64_t)rect.width};
    if (view != NULL && view->channels[level] != NULL)
        return sgc_array_read(view->channels[level][band], start, count, buffer, num_threads, err);
    fill_nodata(&cube->definition->bands[band], rect, buffer);
    return SGC_OK;
}

/* ---- opening ---- */

static struct {
    pthread_mutex_t mutex;
    sgc_cube *cubes;
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void free_cube(sgc_cube *cube)
{
    if (cube == NULL)
        return;
    sgc_view_unref(cube->view);
    sgc_source_free(cube->source);
    sgc_repository_free(cube->repository);
    sgc_object_store_free(cube->store);
    sgc_definition_free(cube->definition);
    pthread_mutex_destroy(&cube->mutex);
    pthread_mutex_destroy(&cube->refreshing);
    pthread_cond_destroy(&cube->loaded);
    free(cube->key);
    free(cube->place);
    free(cube->ref);
    free(cube->source_url);
    free(cube);
}

static char *make_key(const sgc_connection *c)
{
    sgc_buffer key = {0};
    if (sgc_buffer_print(&key, NULL, "%s\n%d %s\n%s\n%s\n%d %u %lld %d %d", c->place, c->ref_choice,
                         c->ref, c->dataset != NULL ? c->dataset : "",
                         c->source_url != NULL ? c->source_url : "", c->create, c->max_requests,
                         (long long)c->chunk_size, c->compression_level, c->locking) != SGC_OK)
        sgc_buffer_free(&key);
    return (char *)key.data;
}

/* The first key of a listing that a repository would not have. */
static sgc_status check_listed(void *user, const char *key, sgc_error *err)
{
    (void)user;
    static const char *const known[] = {"config.yaml", "snapshots/", "transactions/",
                                        "manifests/",  "chunks/",    "refs/"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(key, known[i], strlen(known[i])) == 0)
            return SGC_OK;
    return sgc_fail(err, SGC_INVALID, "%s", key);
}

/* A cube may be made in a place that is empty, or where somebody began to make one and was killed. */
static sgc_status check_empty(const sgc_cube *cube, bool create, sgc_error *err)
{
    sgc_error found = {""};
    const sgc_status status = cube->store->list(cube->store, "", check_listed, NULL, &found);
    if (status == SGC_INVALID)
        return sgc_fail(err, status,
                        "%s is not a cube, and not empty (it has %s): name another place",
                        cube->place, found.message);
    if (status != SGC_OK)
        return sgc_fail(err, status, "%s", found.message);
    return create ? SGC_OK
                  : sgc_fail(err, SGC_NOT_FOUND,
                             "%s holds no cube; to make one, add dataset=… and create=yes",
                             cube->place);
}

/* Reads the definition that the cube carries. */
static sgc_status read_definition(sgc_cube *cube, const sgc_snapshot *snapshot,
                                  sgc_definition **out, sgc_error *err)
{
    const sgc_node *root = sgc_snapshot_find(snapshot, "/");
    sgc_span span;
    const sgc_status found = sgc_layout_find_definition(root, &span, err);
    if (found == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%s is an Icechunk repository, but SGC has not made it: this build cannot "
                        "open it as a cube",
                        cube->place);
    SGC_TRY(found);
    char *text = strndup(span.text, span.size);
    if (text == NULL)
        return sgc_fail_memory(err, span.size, "a definition");
    const sgc_status status = sgc_definition_parse(text, cube->place, out, err);
    free(text);
    return status;
}

/* Uses what the user has installed or named; what the cube says about itself decides layout, never where
 * to connect (architecture 6.16). Takes `theirs`. */
static sgc_status choose_definition(sgc_cube *cube, sgc_definition *theirs, const char *dataset,
                                    sgc_error *err)
{
    sgc_definition *mine;
    cube->definition = theirs;
    const sgc_status found =
        sgc_registry_find(dataset != NULL ? dataset : theirs->id, &mine, dataset != NULL ? err : NULL);
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
    if (sgc_definition_check_same(theirs, mine, &cube->no_load) != SGC_OK) {
        sgc_definition_free(mine);
        return SGC_OK;
    }
    cube->definition = mine;
    sgc_definition_free(theirs);
    return SGC_OK;
}

static sgc_status set_levels(sgc_cube *cube, int64_t chunk_width, int64_t chunk_height,
                             sgc_error *err)
{
    sgc_source *probe;
    const sgc_source_options options = {.url = cube->source_url,
                                        .max_requests = cube->max_requests};
    SGC_TRY(sgc_source_new(cube->definition, &options, &probe, err));
    cube->source = probe;
    cube->level_count = sgc_layout_levels(cube->definition, chunk_width, chunk_height,
                                          probe->has_levels, cube->levels);
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
    const bool good = metadata.dimension_count == 2;
    *height = (int64_t)metadata.chunk_shape[0];
    *width = (int64_t)metadata.chunk_shape[1];
    sgc_array_metadata_clear(&metadata);
    return good ? SGC_OK
                : sgc_fail(err, SGC_CORRUPT, "%s: array %s is not two-dimensional", cube->place,
                           path);
}

static sgc_status open_made(sgc_cube *cube, sgc_snapshot *snapshot, const char *dataset,
                            sgc_error *err)
{
    sgc_definition *theirs;
    int64_t width, height;
    SGC_TRY(read_definition(cube, snapshot, &theirs, err));
    SGC_TRY(choose_definition(cube, theirs, dataset, err));
    SGC_TRY(stored_chunks(cube, snapshot, &width, &height, err));
    SGC_TRY(set_levels(cube, width, height, err));
    return make_view(cube, cube->repository, sgc_snapshot_ref(snapshot), &cube->view, err);
}

static sgc_status open_empty(sgc_cube *cube, const sgc_connection *c, sgc_error *err)
{
    if (c->ref_choice != SGC_CHOOSE_BRANCH || strcmp(c->ref, "main") != 0)
        return sgc_fail(err, SGC_NOT_FOUND, "%s is empty: it has no \"%s\" yet", c->place, c->ref);
    if (c->dataset == NULL)
        return sgc_fail(err, SGC_INVALID,
                        "%s is empty: say what it shall hold, like dataset=ArcticDEM32m", c->place);
    SGC_TRY(sgc_registry_find(c->dataset, &cube->definition, err));
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

static sgc_status open_cube(sgc_cube *cube, const sgc_connection *c, sgc_error *err)
{
    SGC_TRY(open_store(c, &cube->store, err));
    sgc_status status = sgc_repository_open(cube->store, NULL, &cube->repository, err);
    if (status == SGC_NOT_FOUND) {
        SGC_TRY(check_empty(cube, c->create, err));
        return open_empty(cube, c, err);
    }
    SGC_TRY(status);
    cube->store = NULL;
    sgc_object_id id;
    sgc_snapshot *snapshot;
    SGC_TRY(resolve(cube, cube->repository, &id, err));
    SGC_TRY(sgc_repository_snapshot(cube->repository, &id, &snapshot, err));
    /* A root snapshot has no nodes: somebody made the repository and was killed before the cube. */
    const bool made = sgc_snapshot_get(snapshot)->node_count > 0;
    if (made)
        status = open_made(cube, snapshot, c->dataset, err);
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
    pthread_cond_init(&cube->loaded, NULL);
    cube->references = 1;
    cube->ref_choice = c->ref_choice;
    cube->max_requests = c->max_requests;
    cube->compression_level = c->compression_level;
    cube->key = strdup(key);
    cube->place = strdup(c->place);
    cube->ref = strdup(c->ref);
    cube->source_url = c->source_url != NULL ? strdup(c->source_url) : NULL;
    sgc_status status = SGC_OK;
    if (cube->key == NULL || cube->place == NULL || cube->ref == NULL ||
        (c->source_url != NULL && cube->source_url == NULL))
        status = sgc_fail_memory(err, strlen(key), "a cube");
    if (status == SGC_OK)
        status = open_cube(cube, c, err);
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
    const char *chosen = CPLGetConfigOption("SGC_CACHE_SIZE", NULL);
    const double by_default = fmin((double)CPLGetUsablePhysicalRAM() / SHARE / MEBIBYTE,
                                   MOST_BY_DEFAULT);
    const double size = chosen != NULL ? CPLAtof(chosen) : by_default;
    sgc_block_cache_set_size(size > 0 ? (size_t)(size * MEBIBYTE) : 0);
}

sgc_status sgc_cube_open(const sgc_connection *connection, sgc_cube **out, sgc_error *err)
{
    size_block_cache();
    char *key = make_key(connection);
    if (key == NULL)
        return sgc_fail_memory(err, 0, "a cube");
    pthread_mutex_lock(&registry.mutex);
    sgc_cube *cube = find_open(key);
    pthread_mutex_unlock(&registry.mutex);
    sgc_status status = SGC_OK;
    if (cube != NULL) {
        status = sgc_cube_refresh(cube, err);
        if (status != SGC_OK)
            sgc_cube_unref(cube);
    } else {
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
    if (last) {
        sgc_cube **link = &registry.cubes;
        while (*link != cube)
            link = &(*link)->next;
        *link = cube->next;
    }
    pthread_mutex_unlock(&registry.mutex);
    if (last)
        free_cube(cube);
}

const sgc_definition *sgc_cube_definition(const sgc_cube *cube)
{
    return cube->definition;
}

const char *sgc_cube_place(const sgc_cube *cube)
{
    return cube->place;
}

size_t sgc_cube_level_count(const sgc_cube *cube)
{
    return cube->level_count;
}

const sgc_level *sgc_cube_level(const sgc_cube *cube, size_t level)
{
    return &cube->levels[level];
}

/* ---- making ---- */

static sgc_status make_repository(sgc_cube *cube, sgc_error *err)
{
    if (cube->repository != NULL)
        return SGC_OK;
    const uint32_t side = sgc_layout_split(cube->definition, &cube->levels[0]);
    const sgc_split_rule rules[] = {{"time", 1}, {"y", side}, {"x", side}};
    const sgc_repository_options options = {rules, 3};
    sgc_repository *repository;
    sgc_status status = sgc_repository_create(cube->store, &options, &repository, err);
    if (status == SGC_EXISTS)
        status = sgc_repository_open(cube->store, &options, &repository, err);
    SGC_TRY(status);
    pthread_mutex_lock(&cube->mutex);
    cube->repository = repository;
    cube->store = NULL;
    pthread_mutex_unlock(&cube->mutex);
    return SGC_OK;
}

static bool level_exists(const sgc_snapshot *snapshot, const sgc_level *level)
{
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    return sgc_snapshot_find(snapshot, path) != NULL;
}

/* One attempt to commit the missing nodes. */
static sgc_status commit_structure(sgc_cube *cube, size_t l, sgc_error *err)
{
    const sgc_level *level = &cube->levels[l];
    sgc_session *session;
    SGC_TRY(sgc_session_new(cube->repository, cube->ref, &session, err));
    const sgc_snapshot *base = sgc_session_base(session);
    const char *message = NULL;
    char text[64];
    sgc_status status = SGC_OK;
    if (sgc_snapshot_find(base, "/") == NULL) {
        message = "Initialize empty datacube";
        status = sgc_layout_put_cube(cube->repository, session, cube->definition, &cube->levels[0],
                                     cube->compression_level, err);
    }
    if (status == SGC_OK && l > 0 && !level_exists(base, level)) {
        snprintf(text, sizeof text, "Add level %lld", (long long)level->factor);
        message = message != NULL ? message : text;
        status = sgc_layout_put_level(session, cube->definition, level, cube->compression_level,
                                      err);
    }
    if (status == SGC_OK && message != NULL)
        status = sgc_session_commit(session, message, NULL, NULL, err);
    sgc_session_free(session);
    return status;
}

sgc_status sgc_cube_prepare(sgc_cube *cube, size_t level, sgc_error *err)
{
    SGC_TRY(make_repository(cube, err));
    sgc_status status;
    do
        status = commit_structure(cube, level, err);
    while (status == SGC_CONFLICT); /* whoever was first has brought us nearer to the goal */
    SGC_TRY(status);
    return sgc_cube_refresh(cube, err);
}

/* ---- what is complete ---- */

sgc_status sgc_view_incomplete(const sgc_cube *cube, const sgc_view *view, size_t level,
                               sgc_rect chunks, sgc_position **positions, size_t *count,
                               sgc_error *err)
{
    const size_t bands = cube->definition->band_count;
    const size_t per_band = (size_t)(chunks.width * chunks.height);
    uint8_t *flags = calloc(bands, per_band);
    sgc_position *list = malloc(per_band * sizeof *list);
    sgc_status status = flags != NULL && list != NULL
                            ? SGC_OK
                            : sgc_fail_memory(err, bands * per_band, "a list of chunks");
    if (status == SGC_OK && view != NULL && view->complete[level] != NULL) {
        const uint64_t start[] = {0, (uint64_t)chunks.y, (uint64_t)chunks.x};
        const uint64_t size[] = {bands, (uint64_t)chunks.height, (uint64_t)chunks.width};
        status = sgc_array_read(view->complete[level], start, size, flags, 1, err);
    }
    size_t n = 0;
    for (size_t i = 0; status == SGC_OK && i < per_band; i++) {
        bool complete = true;
        for (size_t b = 0; b < bands; b++)
            complete = complete && flags[b * per_band + i] != 0;
        if (!complete)
            list[n++] = (sgc_position){(int32_t)(chunks.y + (int64_t)i / chunks.width),
                                       (int32_t)(chunks.x + (int64_t)i % chunks.width)};
    }
    free(flags);
    if (status != SGC_OK) {
        free(list);
        return status;
    }
    *positions = list;
    *count = n;
    return SGC_OK;
}

static uint64_t estimate(const sgc_cube *cube, size_t level, const sgc_position *positions,
                         size_t count)
{
    const double per_pixel = sgc_definition_bytes_per_pixel(cube->definition);
    double bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const sgc_rect chunk =
            sgc_level_chunk_rect(&cube->levels[level], positions[i].row, positions[i].column);
        const double one = (double)chunk.width * (double)chunk.height * per_pixel;
        bytes += one > SMALLEST_ESTIMATE ? one : SMALLEST_ESTIMATE;
    }
    return (uint64_t)bytes;
}

static sgc_status view_missing(const sgc_cube *cube, const sgc_view *view, size_t level,
                               sgc_rect rect, sgc_missing *out, sgc_error *err)
{
    sgc_position *positions;
    size_t count;
    SGC_TRY(sgc_view_incomplete(cube, view, level, sgc_level_chunks(&cube->levels[level], rect),
                                &positions, &count, err));
    *out = (sgc_missing){count, estimate(cube, level, positions, count)};
    free(positions);
    return SGC_OK;
}

sgc_status sgc_cube_missing(sgc_cube *cube, size_t level, sgc_rect rect, sgc_missing *out,
                            sgc_error *err)
{
    sgc_view *view;
    sgc_cube_view(cube, &view);
    const sgc_status status = view_missing(cube, view, level, rect, out, err);
    sgc_view_unref(view);
    return status;
}

/* ---- ensure ---- */

static bool wants_to_stop(const sgc_policy *policy)
{
    return policy->progress != NULL && !policy->progress->report(policy->progress->user, 0);
}

/* Waits until this thread is the one that loads. */
static sgc_status begin_loading(sgc_cube *cube, const sgc_policy *policy, sgc_error *err)
{
    for (;;) {
        pthread_mutex_lock(&cube->mutex);
        if (cube->loading) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += POLL_MILLISECONDS * 1000000L;
            if (until.tv_nsec >= 1000000000L) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000L;
            }
            pthread_cond_timedwait(&cube->loaded, &cube->mutex, &until);
        }
        const bool ours = !cube->loading;
        if (ours)
            cube->loading = true;
        pthread_mutex_unlock(&cube->mutex);
        if (ours)
            return SGC_OK;
        if (wants_to_stop(policy))
            return sgc_fail(err, SGC_CANCELLED, "cancelled while another thread was loading");
    }
}

static void end_loading(sgc_cube *cube)
{
    pthread_mutex_lock(&cube->mutex);
    cube->loading = false;
    pthread_cond_broadcast(&cube->loaded);
    pthread_mutex_unlock(&cube->mutex);
}

static void format_bytes(uint64_t bytes, char text[32])
{
    if (bytes >= 1000000000)
        CPLsnprintf(text, 32, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        CPLsnprintf(text, 32, "%.1f MB", (double)bytes / 1e6);
    else
        CPLsnprintf(text, 32, "%.1f kB", (double)bytes / 1e3);
}

static sgc_status check_budget(uint64_t chunks, uint64_t bytes, uint64_t allowed, sgc_error *err)
{
    if (bytes <= allowed)
        return SGC_OK;
    char needed[32], left[32];
    format_bytes(bytes, needed);
    format_bytes(allowed, left);
    return sgc_fail(err, SGC_BUDGET,
                    "this read needs %llu chunk%s (about %s) that are not in the cube, and "
                    "MAX_DOWNLOAD leaves %s: raise MAX_DOWNLOAD, read a smaller window, or read at "
                    "a coarser resolution",
                    (unsigned long long)chunks, chunks == 1 ? "" : "s", needed, left);
}

/* The window to load for a read of `rect` in an announced window: `rect`, as wide as announced, and on
 * downwards until there is enough to do for all workers. */
static sgc_rect load_ahead(const sgc_level *level, sgc_rect rect, sgc_rect announced)
{
    enum { ENOUGH_CHUNKS = 16 };
    const sgc_rect across = sgc_level_chunks(level, announced), first = sgc_level_chunks(level, rect);
    int64_t rows = first.height;
    while (rows * across.width < ENOUGH_CHUNKS && first.y + rows < across.y + across.height)
        rows++;
    const sgc_rect band = {announced.x, rect.y, announced.width,
                           (first.y + rows) * level->chunk_height - rect.y};
    return sgc_rect_intersect(band, announced);
}

static sgc_status load_missing(sgc_cube *cube, size_t level, sgc_rect rect,
                               const sgc_policy *policy, uint64_t *bytes, sgc_error *err)
{
    const bool known = sgc_rect_contains(policy->announced, rect);
    const sgc_rect budgeted = known ? policy->announced : rect;
    const sgc_rect window =
        known ? load_ahead(&cube->levels[level], rect, policy->announced) : rect;
    sgc_missing all = {0};
    sgc_view *view;
    sgc_position *positions = NULL;
    size_t count = 0;
    sgc_cube_view(cube, &view);
    sgc_status status = view_missing(cube, view, level, budgeted, &all, err);
    if (status == SGC_OK)
        status = check_budget(all.chunks, all.bytes, policy->max_bytes, err);
    if (status == SGC_OK)
        status = sgc_view_incomplete(cube, view, level,
                                     sgc_level_chunks(&cube->levels[level], window), &positions,
                                     &count, err);
    sgc_view_unref(view);
    SGC_TRY(status);
    *bytes += estimate(cube, level, positions, count);
    if (count > 0)
        status = sgc_load(cube, level, positions, count, rect, policy, err);
    free(positions);
    return status;
}

/* The branch is looked up first: another process may have loaded the chunks already. */
static sgc_status download(sgc_cube *cube, size_t level, sgc_rect rect, const sgc_policy *policy,
                           uint64_t *bytes, sgc_error *err)
{
    if (cube->no_load.message[0] != '\0')
        return sgc_fail(err, SGC_INVALID, "%s", cube->no_load.message);
    SGC_TRY(begin_loading(cube, policy, err));
    sgc_status status = sgc_cube_refresh(cube, err);
    if (status == SGC_OK)
        status = load_missing(cube, level, rect, policy, bytes, err);
    end_loading(cube);
    return status;
}

static sgc_status fail_missing(const sgc_cube *cube, uint64_t chunks, sgc_error *err)
{
    return sgc_fail(err, SGC_BUDGET,
                    "%llu chunk%s of this window %s not in the cube %s and DOWNLOAD=NO forbids to "
                    "get %s: allow it with DOWNLOAD=YES, or see nodata there with "
                    "ON_MISSING=NODATA",
                    (unsigned long long)chunks, chunks == 1 ? "" : "s", chunks == 1 ? "is" : "are",
                    cube->place, chunks == 1 ? "it" : "them");
}

sgc_status sgc_cube_ensure(sgc_cube *cube, size_t level, sgc_rect rect, const sgc_policy *policy,
                           sgc_ensured *out, sgc_error *err)
{
    enum { ATTEMPTS = 3 }; /* somebody may reset the branch under our feet */
    sgc_ensured result = {0};
    sgc_missing missing;
    for (int attempt = 0;; attempt++) {
        sgc_cube_view(cube, &result.view);
        sgc_status status = view_missing(cube, result.view, level, rect, &missing, err);
        if (status == SGC_OK && (missing.chunks == 0 || !policy->download))
            break;
        sgc_view_unref(result.view);
        if (status == SGC_OK && attempt == ATTEMPTS)
            status = sgc_fail(err, SGC_CONFLICT, "%s: what was loaded is gone again: somebody "
                              "resets the branch \"%s\"", cube->place, cube->ref);
        if (status == SGC_OK)
            status = download(cube, level, rect, policy, &result.estimated_bytes, err);
        SGC_TRY(status);
    }
    if (missing.chunks > 0 && !policy->missing_is_nodata) {
        sgc_view_unref(result.view);
        return fail_missing(cube, missing.chunks, err);
    }
    result.missing_chunks = missing.chunks;
    *out = result;
    return SGC_OK;
}

/* ---- history ---- */

sgc_status sgc_cube_history(sgc_cube *cube, bool (*fn)(void *user, const sgc_commit_info *commit),
                            void *user, sgc_error *err)
{
    sgc_repository *repository = repository_of(cube);
    if (repository == NULL)
        return SGC_OK;
    sgc_object_id id;
    SGC_TRY(resolve(cube, repository, &id, err));
    for (bool more = true; more;) {
        sgc_snapshot *snapshot;
        SGC_TRY(sgc_repository_snapshot(repository, &id, &snapshot, err));
        const sgc_snapshot_data *data = sgc_snapshot_get(snapshot);
        const sgc_commit_info commit = {data->id, data->flushed_at, data->message};
        more = fn(user, &commit) && data->has_parent;
        id = data->parent;
        sgc_snapshot_unref(snapshot);
    }
    return SGC_OK;
}
