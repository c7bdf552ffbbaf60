#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <string.h>

#include "datasets/definition_private.h"
#include "datasets/quiet.h"

enum { POINTER_SIZE = 160 };

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_crs(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    OGRSpatialReferenceH first = OSRNewSpatialReference(NULL);
    OGRSpatialReferenceH second = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    const bool same = OSRSetFromUserInput(first, a) == OGRERR_NONE &&
                      OSRSetFromUserInput(second, b) == OGRERR_NONE && OSRIsSame(first, second);
    sgc_quiet_end(&quiet);
    OSRDestroySpatialReference(first);
    OSRDestroySpatialReference(second);
    return same;
}

static const char *grid_difference(const sgc_definition *a, const sgc_definition *b)
{
    if (!same_crs(a->crs, b->crs))
        return "proj:code";
    for (int i = 0; i < 6; i++)
        if (a->grid.transform[i] != b->grid.transform[i])
            return "proj:transform";
    return a->grid.width == b->grid.width && a->grid.height == b->grid.height ? NULL : "proj:shape";
}

static const char *band_difference(const sgc_band *a, const sgc_band *b)
{
    if (strcmp(a->name, b->name) != 0)
        return "name";
    if (strcmp(a->data_type, b->data_type) != 0)
        return "data_type";
    if (!same_number(a->nodata, b->nodata) || a->nodata_bits != b->nodata_bits)
        return "nodata";
    if (strcmp(a->asset, b->asset) != 0)
        return "asset";
    if (a->source_band != b->source_band)
        return "band";
    if (a->has_source_nodata != b->has_source_nodata ||
        (a->has_source_nodata && !same_number(a->source_nodata, b->source_nodata)))
        return "source_nodata";
    if (a->has_scale != b->has_scale || a->scale != b->scale)
        return "raster:scale";
    if (a->offset != b->offset)
        return "raster:offset";
    return a->resampling == b->resampling ? NULL : "resampling";
}

static bool bands_differ(const sgc_definition *a, const sgc_definition *b,
                         char pointer[POINTER_SIZE])
{
    snprintf(pointer, POINTER_SIZE, "/bands");
    if (a->band_count != b->band_count)
        return true;
    for (size_t i = 0; i < a->band_count; i++) {
        const char *key = band_difference(&a->bands[i], &b->bands[i]);
        if (key != NULL) {
            snprintf(pointer, POINTER_SIZE, "/bands/%zu/%s", i, key);
            return true;
        }
    }
    return false;
}

/* Steps may be added; those that are there keep what they hold. */
static bool times_differ(const sgc_time_axis *theirs, const sgc_time_axis *mine)
{
    if (mine->count != theirs->count && !(theirs->is_growable && mine->count > theirs->count))
        return true;
    if ((mine->count > 0) != (theirs->count > 0) || mine->is_instant != theirs->is_instant)
        return true;
    for (size_t i = 0; i < theirs->count; i++)
        if (mine->starts[i] != theirs->starts[i] || mine->ends[i] != theirs->ends[i])
            return true;
    return false;
}

static bool sources_differ(const cJSON *theirs, const cJSON *mine, const char *at,
                           char pointer[POINTER_SIZE])
{
    const char *key = sgc_source_difference(theirs, mine);
    if (key != NULL)
        snprintf(pointer, POINTER_SIZE, "%s/%s", at, key);
    return key != NULL;
}

/* The source that a level is loaded from, and in *at where it stands. */
static const cJSON *source_of_level(const sgc_definition *d, int64_t factor, char at[64])
{
    const cJSON *source = d->source;
    snprintf(at, 64, "/source");
    for (size_t i = 0; i < d->level_count && d->levels[i].from <= factor; i++) {
        source = d->levels[i].source;
        snprintf(at, 64, "/levels/%zu/source", i);
    }
    return source;
}

static bool level_differs(const sgc_definition *theirs, const sgc_definition *mine, int64_t factor,
                          char pointer[POINTER_SIZE])
{
    char at_theirs[64], at[64];
    const cJSON *before = source_of_level(theirs, factor, at_theirs);
    return sources_differ(before, source_of_level(mine, factor, at), at, pointer);
}

/* Each source of levels that the cube knows must still be there; further ones are for levels that
 * it has not begun. */
static bool levels_differ(const sgc_definition *theirs, const sgc_definition *mine,
                          const int64_t *begun, size_t begun_count, char pointer[POINTER_SIZE])
{
    for (size_t i = 0; i < theirs->level_count; i++) {
        size_t k = 0;
        while (k < mine->level_count && mine->levels[k].from != theirs->levels[i].from)
            k++;
        char at[64];
        snprintf(at, sizeof at, "/levels/%zu/source", k);
        if (k == mine->level_count) {
            snprintf(pointer, POINTER_SIZE, "/levels");
            return true;
        }
        if (sources_differ(theirs->levels[i].source, mine->levels[k].source, at, pointer))
            return true;
    }
    for (size_t i = 0; i < begun_count; i++)
        if (level_differs(theirs, mine, begun[i], pointer))
            return true;
    return false;
}

/* Whether they differ in what holds for all levels; `may_lack` steps that were added to theirs. */
static bool differ(const sgc_definition *theirs, const sgc_definition *mine, bool may_lack,
                   char pointer[POINTER_SIZE])
{
    const char *key = strcmp(theirs->id, mine->id) != 0 ? "id" : grid_difference(theirs, mine);
    if (key == NULL && times_differ(&theirs->time, &mine->time) &&
        !(may_lack && !times_differ(&mine->time, &theirs->time)))
        key = "time";
    if (key == NULL && theirs->composite != mine->composite)
        key = "composite";
    if (key == NULL && theirs->resampling != mine->resampling)
        key = "resampling";
    if (key != NULL) {
        const bool follows = sgc_json_member(mine->json, "proj:bbox") != NULL &&
                             (strcmp(key, "proj:transform") == 0 || strcmp(key, "proj:shape") == 0);
        snprintf(pointer, POINTER_SIZE, "/%s%s", key,
                 follows ? ", which follows from proj:bbox and resolution," : "");
        return true;
    }
    return bands_differ(theirs, mine, pointer) ||
           sources_differ(theirs->source, mine->source, "/source", pointer);
}

static sgc_status fail_different(const sgc_definition *theirs, const char *pointer, sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID,
                    "the cube was made with another definition of \"%s\" (%s differs): it can be "
                    "read, but not loaded further",
                    theirs->id, pointer);
}

sgc_status sgc_definition_check_same(const sgc_definition *theirs, const sgc_definition *mine,
                                     const int64_t *begun, size_t begun_count, sgc_error *err)
{
    char pointer[POINTER_SIZE];
    return differ(theirs, mine, false, pointer) ||
                   levels_differ(theirs, mine, begun, begun_count, pointer)
               ? fail_different(theirs, pointer, err)
               : SGC_OK;
}

sgc_status sgc_definition_check_level(const sgc_definition *theirs, const sgc_definition *mine,
                                      int64_t factor, sgc_error *err)
{
    char pointer[POINTER_SIZE];
    return differ(theirs, mine, true, pointer) || level_differs(theirs, mine, factor, pointer)
               ? fail_different(theirs, pointer, err)
               : SGC_OK;
}
