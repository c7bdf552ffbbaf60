#include "store/icechunk/split.h"

#include <stdlib.h>

sgc_status sgc_split_init(sgc_split *split, sgc_repository *repository, const sgc_node *node,
                          const uint32_t *kept, sgc_chunk_map *written, sgc_error *err)
{
    *split = (sgc_split){.repository = repository, .node = node, .kept = kept, .written = written};
    sgc_repository_split(repository, node, split->window_length);
    size_t windows = 1;
    for (size_t d = 0; d < node->dimension_count; d++) {
        split->window_count[d] = node->dimensions[d].num_chunks / split->window_length[d] + 1;
        if (!sgc_multiply(windows, split->window_count[d], &windows))
            return sgc_fail(err, SGC_UNSUPPORTED, "%s: too many manifests: divide it less",
                            node->path);
    }
    return SGC_OK;
}

void sgc_split_free(sgc_split *split)
{
    for (size_t i = 0; i < split->loaded_count; i++)
        sgc_manifest_unref(split->loaded[i]);
    free(split->loaded);
    free(split->entries);
    *split = (sgc_split){0};
}

/* Windows are numbered in row-major order. */
static uint64_t window_of(const sgc_split *split, const uint32_t *coordinates)
{
    uint64_t window = 0;
    for (size_t d = 0; d < split->node->dimension_count; d++)
        window = window * split->window_count[d] + coordinates[d] / split->window_length[d];
    return window;
}

static sgc_status add(sgc_split *split, const sgc_split_entry *entry, sgc_error *err)
{
    sgc_split_entry *entries =
        sgc_list_grow(split->entries, split->count, &split->capacity, sizeof *entries);
    if (entries == NULL)
        return sgc_fail_memory(err, sizeof *entries, "a manifest");
    split->entries = entries;
    split->entries[split->count++] = *entry;
    return SGC_OK;
}

sgc_status sgc_split_change(sgc_split *split, const uint32_t *coordinates, const sgc_chunk_ref *ref,
                            sgc_error *err)
{
    sgc_split_entry entry = {
        .window = window_of(split, coordinates), .is_change = true, .ref = *ref};
    memcpy(entry.coordinates, coordinates,
           split->node->dimension_count * sizeof *entry.coordinates);
    return add(split, &entry, err);
}

/* False for what the array has lost by shrinking, now or earlier (format guide 11). */
static bool is_kept(const sgc_split *split, const uint32_t *coordinates)
{
    for (size_t d = 0; d < split->node->dimension_count; d++)
        if (coordinates[d] >= split->kept[d])
            return false;
    return true;
}

/* Adds all references of a stored manifest that are kept. */
static sgc_status add_stored(sgc_split *split, const sgc_snapshot_data *base,
                             const sgc_manifest_ref *stored, sgc_error *err)
{
    sgc_manifest **loaded =
        realloc(split->loaded, (split->loaded_count + 1) * sizeof *split->loaded);
    if (loaded == NULL)
        return sgc_fail_memory(err, sizeof *loaded, "a manifest");
    split->loaded = loaded;
    sgc_manifest *manifest;
    SGC_TRY(sgc_repository_manifest(split->repository, base, &stored->id, &manifest, err));
    split->loaded[split->loaded_count++] = manifest;
    const sgc_array_manifest *array = sgc_manifest_find_array(manifest, &split->node->id);
    const size_t dimensions = split->node->dimension_count;
    if (array == NULL || array->count == 0)
        return SGC_OK;
    if (array->dimension_count != dimensions)
        return sgc_fail(err, SGC_CORRUPT, "%s: a manifest has other dimensions", split->node->path);
    for (size_t i = 0; i < array->count; i++) {
        const uint32_t *coordinates = array->coordinates + i * dimensions;
        if (!is_kept(split, coordinates))
            continue;
        sgc_split_entry entry = {
            .window = window_of(split, coordinates), .ref = array->refs[i], .source = manifest};
        memcpy(entry.coordinates, coordinates, dimensions * sizeof *coordinates);
        SGC_TRY(add(split, &entry, err));
    }
    return SGC_OK;
}

/* True, with its number, when a stored manifest lies in one window and is kept wholly. */
static bool single_window(const sgc_split *split, const sgc_manifest_ref *stored, uint64_t *window)
{
    uint32_t first[SGC_MAX_DIMENSIONS];
    for (size_t d = 0; d < split->node->dimension_count; d++) {
        const sgc_extent extent = stored->extents[d];
        if (extent.to <= extent.from || extent.to > split->kept[d] ||
            extent.from / split->window_length[d] != (extent.to - 1) / split->window_length[d])
            return false;
        first[d] = extent.from;
    }
    *window = window_of(split, first);
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Gives the sorted windows of all entries so far. */
static sgc_status touched_windows(const sgc_split *split, sgc_arena *arena, uint64_t **windows,
                                  sgc_error *err)
{
    *windows = sgc_arena_alloc(arena, split->count, sizeof **windows);
    if (*windows == NULL)
        return sgc_fail_memory(err, split->count * sizeof **windows, "a manifest");
    for (size_t i = 0; i < split->count; i++)
        (*windows)[i] = split->entries[i].window;
    qsort(*windows, split->count, sizeof **windows, compare_numbers);
    return SGC_OK;
}

/* Keeps the stored manifests of untouched windows and adds the references of all others. */
static sgc_status gather(sgc_split *split, const sgc_snapshot_data *base, sgc_arena *arena,
                         sgc_error *err)
{
    const sgc_node *node = split->node;
    uint64_t window, *touched;
    for (size_t i = 0; i < node->manifest_count; i++)
        if (!single_window(split, &node->manifests[i], &window))
            SGC_TRY(add_stored(split, base, &node->manifests[i], err));
    SGC_TRY(touched_windows(split, arena, &touched, err));
    const size_t touched_count = split->count;
    for (size_t i = 0; i < node->manifest_count; i++) {
        if (!single_window(split, &node->manifests[i], &window))
            continue;
        if (bsearch(&window, touched, touched_count, sizeof *touched, compare_numbers) != NULL)
            SGC_TRY(add_stored(split, base, &node->manifests[i], err));
        else
            split->manifests[split->manifest_count++] = node->manifests[i];
    }
    return SGC_OK;
}

/* By window, then coordinates; of one chunk, what wins comes last. */
static int compare_entries(const void *a, const void *b, void *dimension_count)
{
    const sgc_split_entry *left = a, *right = b;
    if (left->window != right->window)
        return left->window < right->window ? -1 : 1;
    for (size_t d = 0; d < *(const size_t *)dimension_count; d++)
        if (left->coordinates[d] != right->coordinates[d])
            return left->coordinates[d] < right->coordinates[d] ? -1 : 1;
    return left->is_change - right->is_change;
}

static bool same_chunk(const sgc_split *split, const sgc_split_entry *a, const sgc_split_entry *b)
{
    return memcmp(a->coordinates, b->coordinates,
                  split->node->dimension_count * sizeof *a->coordinates) == 0;
}

/* Removes what is overridden and what is deleted. */
static void reduce(sgc_split *split)
{
    size_t n = 0;
    for (size_t i = 0; i < split->count; i++) {
        sgc_split_entry *entry = &split->entries[i];
        if (i + 1 < split->count && same_chunk(split, entry, entry + 1))
            entry[1].source = entry->source;
        else if (entry->ref.kind != SGC_CHUNK_NONE)
            split->entries[n++] = *entry;
    }
    split->count = n;
}

static bool same_ref(const sgc_chunk_ref *a, const sgc_chunk_ref *b)
{
    if (a->kind != b->kind || a->length != b->length || a->details != NULL || b->details != NULL)
        return false;
    return a->kind == SGC_CHUNK_INLINE
               ? memcmp(a->inline_data, b->inline_data, (size_t)a->length) == 0
               : a->offset == b->offset && sgc_object_id_compare(&a->id, &b->id) == 0;
}

static bool same_bytes(sgc_bytes a, sgc_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_array(const sgc_array_manifest *a, const sgc_array_manifest *b)
{
    if (a == NULL || a->count != b->count || a->dimension_count != b->dimension_count ||
        !same_bytes(a->extra, b->extra) ||
        memcmp(a->coordinates, b->coordinates,
               a->count * a->dimension_count * sizeof *a->coordinates) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_ref(&a->refs[i], &b->refs[i]))
            return false;
    return true;
}

/* True when the manifest `file` can be read and says the same as `data`, which has one array. */
static bool says(const sgc_split *split, const sgc_manifest_file *file,
                 const sgc_manifest_data *data)
{
    const sgc_snapshot_data listing = {.manifest_files = file, .manifest_file_count = 1};
    sgc_manifest *manifest;
    if (sgc_repository_manifest(split->repository, &listing, &file->id, &manifest, NULL) != SGC_OK)
        return false;
    const bool same =
        same_array(sgc_manifest_find_array(manifest, &data->arrays->node), data->arrays) &&
        same_bytes(sgc_manifest_get(manifest)->extra, data->extra);
    sgc_manifest_unref(manifest);
    return same;
}

/* True, with the manifest, when an attempt before has written it already. */
static bool find_written(const sgc_split *split, const sgc_manifest_data *data,
                         sgc_manifest_file *file)
{
    const sgc_array_manifest *array = data->arrays;
    const sgc_chunk_change *w =
        sgc_chunk_map_find(split->written, array->coordinates, array->dimension_count);
    if (w == NULL || w->ref.offset != array->count)
        return false;
    *file = (sgc_manifest_file){
        .id = w->ref.id, .size_bytes = w->ref.length, .num_chunk_refs = (uint32_t)w->ref.offset};
    return says(split, file, data);
}

/* Writes a manifest of `array`, which takes the place of `source` (NULL: of none). */
static sgc_status store_manifest(sgc_split *split, sgc_array_manifest *array,
                                 const sgc_manifest *source, sgc_manifest_file *file,
                                 sgc_error *err)
{
    sgc_manifest_data data = {.spec_version = sgc_repository_spec_version(split->repository),
                              .array_count = 1,
                              .arrays = array};
    if (source != NULL) {
        array->extra = sgc_manifest_find_array(source, &array->node)->extra;
        data.extra = sgc_manifest_get(source)->extra;
    }
    if (find_written(split, &data, file))
        return SGC_OK;
    SGC_TRY(sgc_manifest_store(sgc_repository_store(split->repository), &data, file, err));
    const sgc_chunk_ref written = {
        .id = file->id, .length = file->size_bytes, .offset = file->num_chunk_refs};
    return sgc_chunk_map_put(split->written, array->coordinates, array->dimension_count, &written,
                             err);
}

/* Writes one manifest of `count` entries that share a window. */
static sgc_status write_window(sgc_split *split, const sgc_split_entry *entries, size_t count,
                               sgc_arena *arena, sgc_error *err)
{
    const size_t dimensions = split->node->dimension_count;
    uint32_t *coordinates = sgc_arena_alloc(arena, count, dimensions * sizeof *coordinates);
    sgc_chunk_ref *refs = sgc_arena_alloc(arena, count, sizeof *refs);
    sgc_extent *extents = sgc_arena_alloc(arena, dimensions, sizeof *extents);
    if (coordinates == NULL || refs == NULL || extents == NULL)
        return sgc_fail_memory(err, count * sizeof *refs, "a manifest");
    const sgc_manifest *source = NULL;
    for (size_t i = 0; i < count; i++) {
        refs[i] = entries[i].ref;
        if (source == NULL)
            source = entries[i].source;
        for (size_t d = 0; d < dimensions; d++) {
            const uint32_t c = entries[i].coordinates[d];
            coordinates[i * dimensions + d] = c;
            if (i == 0 || c < extents[d].from)
                extents[d].from = c;
            if (i == 0 || c + 1 > extents[d].to)
                extents[d].to = c + 1;
        }
    }
    sgc_array_manifest array = {split->node->id, dimensions, count, coordinates, refs, {0}};
    sgc_manifest_file *file = &split->files[split->file_count];
    SGC_TRY(store_manifest(split, &array, source, file, err));
    split->file_count++;
    split->manifests[split->manifest_count++] = (sgc_manifest_ref){file->id, extents};
    return SGC_OK;
}

sgc_status sgc_split_write(sgc_split *split, const sgc_snapshot_data *base, sgc_arena *arena,
                           sgc_error *err)
{
    const size_t stored = split->node->manifest_count;
    split->manifests = sgc_arena_alloc(arena, stored, sizeof *split->manifests);
    if (split->manifests == NULL)
        return sgc_fail_memory(err, stored * sizeof *split->manifests, "a commit");
    SGC_TRY(gather(split, base, arena, err));
    size_t dimensions = split->node->dimension_count;
    if (split->count > 0)
        qsort_r(split->entries, split->count, sizeof *split->entries, compare_entries, &dimensions);
    reduce(split);

    /* There are at most as many new manifests as entries. */
    const size_t most = split->manifest_count + split->count;
    sgc_manifest_ref *manifests = sgc_arena_alloc(arena, most, sizeof *manifests);
    split->files = sgc_arena_alloc(arena, split->count, sizeof *split->files);
    if (manifests == NULL || split->files == NULL)
        return sgc_fail_memory(err, most * sizeof *manifests, "a commit");
    if (split->manifest_count > 0)
        memcpy(manifests, split->manifests, split->manifest_count * sizeof *manifests);
    split->manifests = manifests;
    for (size_t start = 0, end; start < split->count; start = end) {
        for (end = start + 1;
             end < split->count && split->entries[end].window == split->entries[start].window;)
            end++;
        SGC_TRY(write_window(split, split->entries + start, end - start, arena, err));
    }
    return SGC_OK;
}
