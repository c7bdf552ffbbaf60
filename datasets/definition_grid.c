#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/definition_private.h"
#include "datasets/quiet.h"

/* ---- CRS ---- */

/* "EPSG:n" of the projected or geographic CRS that the registry calls `name`, else empty. */
static void find_by_name(const char *name, char code[32])
{
    int count = 0;
    OSRCRSInfo **list = OSRGetCRSInfoListFromDatabase("EPSG", NULL, &count);
    code[0] = '\0';
    for (int i = 0; i < count && code[0] == '\0'; i++)
        if (list[i]->pszName != NULL && strcmp(list[i]->pszName, name) == 0 &&
            (list[i]->eType == OSR_CRS_TYPE_PROJECTED ||
             list[i]->eType == OSR_CRS_TYPE_GEOGRAPHIC_2D))
            snprintf(code, 32, "EPSG:%.20s", list[i]->pszCode);
    OSRDestroyCRSInfoList(list);
}

/* True for AUTHORITY:CODE and WKT, which name no file and no address. */
static bool is_self_contained(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const size_t authority = strspn(text, letters);
    if (text[authority] == ':')
        return text[authority + 1 + strspn(text + authority + 1, letters)] == '\0';
    return text[authority] == '[';
}

sgc_status sgc_definition_read_crs(const char *text, const sgc_place *at, char **out,
                                   sgc_error *err)
{
    char code[32] = "";
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    sgc_quiet quiet = sgc_quiet_begin();
    if (!is_self_contained(text))
        find_by_name(text, code);
    const char *known = code[0] != '\0' ? code : text;
    const bool good = is_self_contained(known) && OSRSetFromUserInput(crs, known) == OGRERR_NONE;
    sgc_quiet_end(&quiet);
    OSRDestroySpatialReference(crs);
    if (!good)
        return sgc_fail_at(at, SGC_INVALID, err, "unknown CRS \"%.64s\"", text);
    *out = strdup(known);
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(known), "a CRS");
}

static sgc_status read_crs(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    const char *key = sgc_json_member(d->json, "proj:code") != NULL ||
                              sgc_json_member(d->json, "proj:wkt2") == NULL
                          ? "proj:code"
                          : "proj:wkt2";
    const sgc_place at = sgc_place_member(root, key);
    char *text = NULL;
    SGC_TRY(sgc_json_get_text(d->json, key, true, root, &text, err));
    const sgc_status status = sgc_definition_read_crs(text, &at, &d->crs, err);
    free(text);
    d->grid.crs = d->crs;
    return status;
}

/* ---- grid ---- */

static sgc_status read_transform(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    double t[6], s[2];
    sgc_place at = sgc_place_member(root, "proj:transform");
    SGC_TRY(sgc_json_get_numbers(sgc_json_member(d->json, "proj:transform"), 6, &at, t, err));
    if (t[1] != 0 || t[3] != 0 || !(t[0] > 0) || !(t[4] < 0))
        return sgc_fail_at(&at, SGC_INVALID, err, "only north-up grids (b = d = 0, a > 0, e < 0)");
    const double geotransform[6] = {t[2], t[0], 0, t[5], 0, t[4]};
    memcpy(d->grid.transform, geotransform, sizeof geotransform);
    at = sgc_place_member(root, "proj:shape");
    SGC_TRY(sgc_json_get_numbers(sgc_json_member(d->json, "proj:shape"), 2, &at, s, err));
    for (int i = 0; i < 2; i++)
        if (!(s[i] >= 1 && s[i] <= INT32_MAX && s[i] == floor(s[i])))
            return sgc_fail_at(&at, SGC_INVALID, err, "must be two lengths from 1 to %d",
                               INT32_MAX);
    d->grid.height = (int64_t)s[0];
    d->grid.width = (int64_t)s[1];
    return SGC_OK;
}

static sgc_status read_bbox(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    double box[4], r[2];
    const sgc_place at = sgc_place_member(root, "proj:bbox");
    const sgc_place at_resolution = sgc_place_member(root, "resolution");
    SGC_TRY(sgc_json_get_numbers(sgc_json_member(d->json, "proj:bbox"), 4, &at, box, err));
    if (!(box[0] < box[2] && box[1] < box[3]))
        return sgc_fail_at(&at, SGC_INVALID, err,
                           "must be [left, bottom, right, top], left < right and bottom < top");
    const cJSON *resolution = sgc_json_member(d->json, "resolution");
    if (cJSON_IsNumber(resolution))
        r[0] = r[1] = resolution->valuedouble;
    else if (sgc_json_get_numbers(resolution, 2, &at_resolution, r, NULL) != SGC_OK)
        return sgc_fail_at(&at_resolution, SGC_INVALID, err, "must be a number or a list of two");
    if (!(r[0] > 0 && r[1] > 0 && isfinite(r[0]) && isfinite(r[1])))
        return sgc_fail_at(&at_resolution, SGC_INVALID, err, "must be positive");
    sgc_error reason;
    if (sgc_grid_from_bbox(box, r, &d->grid, &reason) != SGC_OK)
        return sgc_fail_at(&at, SGC_INVALID, err, "%s", reason.message);
    if (d->grid.width < 2 || d->grid.height < 2)
        return sgc_fail_at(&at, SGC_INVALID, err,
                           "a grid of %lld x %lld pixels: proj:bbox and resolution must both be in "
                           "units of the CRS (for such a grid, give proj:transform and proj:shape)",
                           (long long)d->grid.width, (long long)d->grid.height);
    return SGC_OK;
}

static sgc_status read_chunks(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    double shape[2] = {3600, 3600};
    const sgc_place at = sgc_place_member(root, "chunk_shape");
    const cJSON *item = sgc_json_member(d->json, "chunk_shape");
    if (item != NULL)
        SGC_TRY(sgc_json_get_numbers(item, 2, &at, shape, err));
    for (int i = 0; i < 2; i++)
        if (!(shape[i] >= 4 && shape[i] <= 65536) || shape[i] != floor(shape[i]))
            return sgc_fail_at(&at, SGC_INVALID, err, "must be two lengths from 4 to 65536");
    if (shape[0] * shape[1] * 8 > INT32_MAX)
        return sgc_fail_at(&at, SGC_INVALID, err, "%.0f x %.0f x 8 bytes exceeds 2 GiB", shape[0],
                           shape[1]);
    d->chunk_height = (int64_t)shape[0];
    d->chunk_width = (int64_t)shape[1];
    return SGC_OK;
}

sgc_status sgc_definition_read_grid(sgc_definition *definition, const sgc_place *root,
                                    sgc_error *err)
{
    const cJSON *json = definition->json;
    const sgc_place at = sgc_place_member(root, "proj:transform");
    const int parts_of_transform = (sgc_json_member(json, "proj:transform") != NULL) +
                                   (sgc_json_member(json, "proj:shape") != NULL);
    const int parts_of_bbox = (sgc_json_member(json, "proj:bbox") != NULL) +
                              (sgc_json_member(json, "resolution") != NULL);
    if (parts_of_transform + parts_of_bbox != 2 || parts_of_transform == 1)
        return sgc_fail_at(&at, SGC_INVALID, err,
                           "give proj:transform and proj:shape, or proj:bbox and resolution");
    SGC_TRY(read_crs(definition, root, err));
    SGC_TRY(parts_of_transform == 2 ? read_transform(definition, root, err)
                                    : read_bbox(definition, root, err));
    return read_chunks(definition, root, err);
}
