#include "gdal_sgc/cube_state.h"

#include <ctype.h>
#include <stdio.h>

#include "gdal_sgc/cube_private.h"

/* Around the stored chunks of a slice, as far as the snapshot tells. */
static sgc_rect stored_extent(const sgc_view *view, size_t level, sgc_slice slice)
{
    char path[SGC_PATH_SIZE];
    sgc_rect all = {0};
    sgc_layout_channel_path(view->cube->definition, &view->cube->levels[level], slice.band, path);
    const sgc_node *node = sgc_snapshot_find(view->snapshot, path);
    for (size_t m = 0; node != NULL && m < node->manifest_count; m++)
        all = sgc_rect_unite(
            all, sgc_cube_manifest_rect(view->cube, node->manifests[m].extents, slice.step));
    return all;
}

/* The state of a chunk whose flag is `flag`. Python has not noted anywhere else than in the list of
 * patches what it has filled. */
static sgc_status find_state(const sgc_view *view, size_t level, size_t band, sgc_position at,
                             uint8_t flag, bool may_be_listed, uint8_t *state, sgc_error *err)
{
    sgc_chunk_ref ref;
    sgc_manifest *keep;
    bool complete = sgc_flag_is_complete(flag);
    *state = SGC_CHUNK_MISSING;
    if (!complete && (flag != 0 || !may_be_listed))
        return SGC_OK;
    SGC_TRY(sgc_view_find_chunk(view, level, band, at, &ref, &keep, err));
    const bool stored = ref.kind != SGC_CHUNK_NONE;
    sgc_manifest_unref(keep);
    if (!complete && stored)
        SGC_TRY(sgc_view_is_listed(view, at, &complete, err));
    if (complete)
        *state = stored ? SGC_CHUNK_HAS_DATA : SGC_CHUNK_HAS_NO_DATA;
    return SGC_OK;
}

sgc_status sgc_view_chunk_states(const sgc_view *view, size_t level, sgc_slice slice,
                                 sgc_rect chunks, uint8_t *states, sgc_error *err)
{
    const size_t count = (size_t)(chunks.width * chunks.height);
    SGC_TRY(sgc_view_read_flags(view, level, slice, 1, chunks, states, err));
    if (view == NULL)
        return SGC_OK;
    const bool lists = level == 0 && view->cube->source->finds_alone;
    const sgc_rect stored = lists ? stored_extent(view, level, slice) : (sgc_rect){0};
    for (size_t i = 0; i < count; i++) {
        const sgc_rect chunk = {chunks.x + (int64_t)i % chunks.width,
                                chunks.y + (int64_t)i / chunks.width, 1, 1};
        const sgc_position at = {(int32_t)chunk.y, (int32_t)chunk.x, (int32_t)slice.step,
                                 (int32_t)slice.band};
        SGC_TRY(find_state(view, level, slice.band, at, states[i], sgc_rect_contains(stored, chunk),
                           &states[i], err));
    }
    return SGC_OK;
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
