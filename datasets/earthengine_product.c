#include <cpl_conv.h>
#include <cpl_string.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/earthengine.h"

enum { MOST_BYTES = 50331648 }; /* of one request, as the service accounts them */

/* Where errors in the definition are: "FILE: /source". */
typedef struct place {
    char text[160];
} place;

static place place_of(const sgc_definition *d, const cJSON *json)
{
    place p;
    snprintf(p.text, sizeof p.text, "%.100s: /source", d->name);
    for (size_t i = 0; i < d->level_count; i++)
        if (d->levels[i].source == json)
            snprintf(p.text, sizeof p.text, "%.100s: /levels/%zu/source", d->name, i);
    return p;
}

bool sgc_ee_is_endpoint(const char *url)
{
    return (EQUALN(url, "http://", 7) || EQUALN(url, "https://", 8)) && strpbrk(url, "?#@") == NULL;
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* A text member, or what stands for it when it is absent; NULL: it is required. */
static sgc_status get_text(const cJSON *json, const place *p, const char *key,
                           const char *otherwise, const char **out, sgc_error *err)
{
    const cJSON *item = member(json, key);
    *out = item != NULL ? cJSON_GetStringValue(item) : otherwise;
    if (*out != NULL && **out != '\0')
        return SGC_OK;
    return sgc_fail(err, SGC_INVALID, "%s/%s: %s", p->text, key,
                    item != NULL ? "must be a text" : "required");
}

/* The function of Earth Engine that makes one image of a collection. */
static sgc_status get_reducer(const cJSON *json, const place *p, const char **reducer,
                              sgc_error *err)
{
    static const char *const names[][2] = {{"mosaic", "ImageCollection.mosaic"},
                                           {"first", "Collection.first"},
                                           {"median", "reduce.median"}};
    const char *name;
    SGC_TRY(get_text(json, p, "reducer", "mosaic", &name, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i][0], name) == 0) {
            *reducer = names[i][1];
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_INVALID,
                    "%s/reducer: must be one of \"mosaic\", \"first\", \"median\"", p->text);
}

static sgc_status get_asset(const cJSON *json, const place *p, sgc_ee_product *product,
                            sgc_error *err)
{
    const char *type;
    SGC_TRY(get_text(json, p, "asset", NULL, &product->asset, err));
    SGC_TRY(get_text(json, p, "asset_type", "IMAGE_COLLECTION", &type, err));
    SGC_TRY(get_text(json, p, "date_property", "system:time_start", &product->date_property, err));
    if (strcmp(type, "IMAGE_COLLECTION") == 0)
        return get_reducer(json, p, &product->reducer, err);
    if (strcmp(type, "IMAGE") != 0)
        return sgc_fail(err, SGC_INVALID,
                        "%s/asset_type: must be \"IMAGE_COLLECTION\" or \"IMAGE\"", p->text);
    if (member(json, "reducer") != NULL || member(json, "date_property") != NULL)
        return sgc_fail(err, SGC_INVALID, "%s/%s: a single image has none", p->text,
                        member(json, "reducer") != NULL ? "reducer" : "date_property");
    if (product->definition->time.count > 0)
        return sgc_fail(err, SGC_INVALID, "%s/asset_type: a single image has no time steps",
                        p->text);
    return SGC_OK;
}

static sgc_status get_numbers(const cJSON *json, const place *p, sgc_ee_product *product,
                              sgc_error *err)
{
    const cJSON *sentinel = member(json, "sentinel"), *bytes = member(json, "max_request_bytes");
    if (!cJSON_IsNumber(sentinel) || !isfinite(sentinel->valuedouble))
        return sgc_fail(err, SGC_INVALID, "%s/sentinel: %s", p->text,
                        sentinel != NULL ? "must be a number"
                                         : "required: a number that no pixel has, for masked ones");
    product->sentinel = sentinel->valuedouble;
    if (bytes != NULL &&
        !(cJSON_IsNumber(bytes) && bytes->valuedouble >= 1 && bytes->valuedouble <= MOST_BYTES))
        return sgc_fail(err, SGC_INVALID, "%s/max_request_bytes: must be a number from 1 to %d",
                        p->text, MOST_BYTES);
    product->max_bytes = bytes != NULL ? (uint64_t)bytes->valuedouble : MOST_BYTES;
    return SGC_OK;
}

static sgc_status get_url(const cJSON *json, const place *p, sgc_ee_product *product,
                          sgc_error *err)
{
    if (member(json, "url") == NULL)
        return SGC_OK;
    SGC_TRY(get_text(json, p, "url", NULL, &product->url, err));
    if (sgc_ee_is_endpoint(product->url))
        return SGC_OK;
    return sgc_fail(err, SGC_INVALID, "%s/url: must be an http or https URL without user and query",
                    p->text);
}

/* Every band needs a type of pixels that Earth Engine has. */
static sgc_status check_bands(const sgc_ee_product *product, const place *p, sgc_error *err)
{
    for (size_t b = 0; b < product->definition->band_count; b++) {
        const sgc_ee_sample *sample;
        const sgc_status status = sgc_ee_find_sample(product, &b, 1, &sample, err);
        if (status != SGC_OK)
            return sgc_fail_in(err, status, "%s/sentinel", p->text);
    }
    return SGC_OK;
}

/* Codes go as they are; else Earth Engine wants WKT 1. */
static sgc_status init_crs(sgc_ee_product *product, sgc_error *err)
{
    static const char *const options[] = {"FORMAT=WKT1_GDAL", NULL};
    const char *text = product->definition->crs;
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    char *wkt = NULL;
    bool good = OSRSetFromUserInput(crs, text) == OGRERR_NONE;
    product->is_geographic = good && OSRIsGeographic(crs);
    if (good && !EQUALN(text, "EPSG:", 5)) {
        good = OSRExportToWktEx(crs, &wkt, options) == OGRERR_NONE &&
               (product->crs_wkt = strdup(wkt)) != NULL;
        CPLFree(wkt);
    }
    OSRDestroySpatialReference(crs);
    return good ? SGC_OK
                : sgc_fail(err, SGC_UNSUPPORTED, "%s: /proj:wkt2: Earth Engine cannot be told it",
                           product->definition->id);
}

sgc_status sgc_ee_product_init(sgc_ee_product *product, const sgc_definition *definition,
                               const cJSON *json, sgc_error *err)
{
    const place p = place_of(definition, json);
    *product = (sgc_ee_product){.definition = definition};
    SGC_TRY(get_asset(json, &p, product, err));
    SGC_TRY(get_numbers(json, &p, product, err));
    SGC_TRY(get_url(json, &p, product, err));
    SGC_TRY(check_bands(product, &p, err));
    return init_crs(product, err);
}

void sgc_ee_product_clear(sgc_ee_product *product)
{
    free(product->crs_wkt);
    *product = (sgc_ee_product){0};
}
