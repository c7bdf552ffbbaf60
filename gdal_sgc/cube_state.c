#include "gdal_sgc/cube_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "gdal_sgc/cube_private.h"

enum { BLOCK = SGC_COMPLETE_CHUNK };

/* The chunks that are asked about, and where any of them may be complete. */
typedef struct visit {
    const sgc_view *view;
    size_t level;
    sgc_slice slice;
    sgc_rect chunks;
    bool may_be_listed; /* as complete, by what is stored: Python has noted nothing else */
    sgc_rect *areas;    /* columns and rows of blocks; they may overlap */
    size_t area_count;
    sgc_chunk_visitor *visitor;
    void *user;
} visit;

static sgc_status may_be_listed(const sgc_view *view, size_t level, bool *may, sgc_error *err)
{
    const sgc_loaded_set *loaded;
    *may = false;
    if (level > 0 || !view->cube->source->finds_alone)
        return SGC_OK;
    SGC_TRY(sgc_view_loaded(view, &loaded, err));
    *may = view->complete[0] == NULL || !sgc_loaded_set_is_empty(loaded);
    return SGC_OK;
}

/* Adds the blocks that meet `chunks`. */
static void add_area(visit *v, sgc_rect chunks)
{
    const sgc_rect r = sgc_rect_intersect(chunks, v->chunks);
    if (sgc_rect_is_empty(r))
        return;
    const int64_t x = r.x / BLOCK, y = r.y / BLOCK;
    v->areas[v->area_count++] =
        (sgc_rect){x, y, (r.x + r.width - 1) / BLOCK - x + 1, (r.y + r.height - 1) / BLOCK - y + 1};
}

/* Finds where something is noted, or stored where that may suffice, as far as the snapshot tells.
 */
static sgc_status find_areas(visit *v, sgc_error *err)
{
    const sgc_cube *cube = v->view->cube;
    const sgc_level *level = &cube->levels[v->level];
    char path[SGC_PATH_SIZE];
    sgc_layout_complete_path(level, path);
    const sgc_node *noted = sgc_snapshot_find(v->view->snapshot, path);
    sgc_layout_channel_path(cube->definition, level, v->slice.band, path);
    const sgc_node *stored = v->may_be_listed ? sgc_snapshot_find(v->view->snapshot, path) : NULL;
    const size_t noted_count = noted != NULL ? noted->manifest_count : 0;
    const size_t stored_count = stored != NULL ? stored->manifest_count : 0;
    v->areas = calloc(noted_count + stored_count + 1, sizeof *v->areas);
    if (v->areas == NULL)
        return sgc_fail_memory(err, (noted_count + stored_count) * sizeof *v->areas,
                               "a list of chunks");
    for (size_t m = 0; m < noted_count; m++) {
        const sgc_extent *extents = noted->manifests[m].extents;
        if (v->slice.band >= extents[0].from && v->slice.band < extents[0].to)
            add_area(v, sgc_view_noted_rect(v->view, v->level, extents, v->slice.step));
    }
    for (size_t m = 0; m < stored_count; m++)
        add_area(v, sgc_cube_manifest_rect(cube, stored->manifests[m].extents, v->slice.step));
    return SGC_OK;
}

static sgc_status visit_chunk(const visit *v, sgc_position at, uint8_t flag, sgc_error *err)
{
    bool complete = sgc_flag_is_complete(flag), stored;
    if (!complete && (flag != 0 || !v->may_be_listed))
        return SGC_OK;
    const sgc_coordinates c = sgc_cube_coordinates(v->view->cube, at);
    SGC_TRY(
        sgc_array_has_chunk(v->view->channels[v->level][v->slice.band], c.values, &stored, err));
    if (!complete && stored)
        SGC_TRY(sgc_view_is_listed(v->view, at, &complete, err));
    if (complete)
        v->visitor(v->user,
                   sgc_level_chunk_rect(&v->view->cube->levels[v->level], at.row, at.column),
                   stored);
    return SGC_OK;
}

static sgc_status visit_block(const visit *v, int64_t x, int64_t y, sgc_error *err)
{
    uint8_t flags[BLOCK * BLOCK];
    const sgc_rect block =
        sgc_rect_intersect(v->chunks, (sgc_rect){x * BLOCK, y * BLOCK, BLOCK, BLOCK});
    SGC_TRY(sgc_view_read_flags(v->view, v->level, v->slice, 1, block, flags, err));
    for (int64_t i = 0; i < block.width * block.height; i++) {
        const sgc_position at = {(int32_t)(block.y + i / block.width),
                                 (int32_t)(block.x + i % block.width), (int32_t)v->slice.step,
                                 (int32_t)v->slice.band};
        SGC_TRY(visit_chunk(v, at, flags[i], err));
    }
    return SGC_OK;
}

static bool was_visited(const visit *v, size_t area, int64_t x, int64_t y)
{
    for (size_t i = 0; i < area; i++)
        if (sgc_rect_contains(v->areas[i], (sgc_rect){x, y, 1, 1}))
            return true;
    return false;
}

static sgc_status visit_area(const visit *v, size_t area, sgc_error *err)
{
    const sgc_rect r = v->areas[area];
    for (int64_t y = r.y; y < r.y + r.height; y++)
        for (int64_t x = r.x; x < r.x + r.width; x++)
            if (!was_visited(v, area, x, y))
                SGC_TRY(visit_block(v, x, y, err));
    return SGC_OK;
}

sgc_status sgc_view_visit_complete(const sgc_view *view, size_t level, sgc_slice slice,
                                   sgc_rect chunks, sgc_chunk_visitor *visitor, void *user,
                                   sgc_error *err)
{
    if (!sgc_view_has_level(view, level) || slice.step >= view->steps[level])
        return SGC_OK;
    visit v = {.view = view,
               .level = level,
               .slice = slice,
               .chunks = chunks,
               .visitor = visitor,
               .user = user};
    SGC_TRY(may_be_listed(view, level, &v.may_be_listed, err));
    sgc_status status = find_areas(&v, err);
    for (size_t i = 0; i < v.area_count && status == SGC_OK; i++)
        status = visit_area(&v, i, err);
    free(v.areas);
    return status;
}

bool sgc_view_has_level(const sgc_view *view, size_t level)
{
    return view != NULL && view->channels[level] != NULL;
}

sgc_status sgc_view_count_loaded(const sgc_view *view, size_t *count, sgc_error *err)
{
    const sgc_loaded_set *set;
    *count = 0;
    if (view == NULL)
        return SGC_OK;
    SGC_TRY(sgc_view_loaded(view, &set, err));
    *count = sgc_loaded_set_count(set);
    return SGC_OK;
}

static const char *compressor_of(const sgc_codec *codec)
{
    switch (codec->kind) {
    case SGC_BLOSC:
        return codec->level > 0 ? codec->compressor : NULL;
    case SGC_ZSTD:
        return "zstd";
    case SGC_GZIP:
        return "gzip";
    case SGC_CRC32C:
        return NULL;
    }
    return NULL;
}

void sgc_view_compression(const sgc_view *view, size_t band, char text[SGC_COMPRESSION_SIZE])
{
    const char *name = view == NULL ? "zstd" : NULL;
    if (sgc_view_has_level(view, 0)) {
        const sgc_codecs *codecs = &sgc_array_get_metadata(view->channels[0][band])->codecs;
        for (size_t i = 0; name == NULL && i < codecs->count; i++)
            name = compressor_of(&codecs->list[i]);
    }
    snprintf(text, SGC_COMPRESSION_SIZE, "%s", name != NULL ? name : "");
    for (char *c = text; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
}
