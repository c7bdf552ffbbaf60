#include "datasets/definition.h"

#include <cpl_hash_set.h>
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/definition_private.h"

static sgc_status check_marker(const sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    static const struct {
        const char *key, *value;
    } markers[] = {{"type", "CubeDataset"}, {"version", "1"}};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *item = sgc_json_member(d->json, markers[i].key);
        const sgc_place at = sgc_place_member(root, markers[i].key);
        if (item == NULL)
            return sgc_fail_at(&at, SGC_INVALID, err, "required");
        if (!cJSON_IsString(item))
            return sgc_fail_at(&at, SGC_INVALID, err, "must be the text \"%s\"", markers[i].value);
        if (strcmp(item->valuestring, markers[i].value) != 0)
            return sgc_fail_at(&at, SGC_INVALID, err,
                               "\"%.32s\" is not supported (this build reads \"%s\")",
                               item->valuestring, markers[i].value);
    }
    return SGC_OK;
}

static sgc_status check_all_keys(const sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    static const char *const keys[] = {
        "type",         "version",     "id",        "title",           "description", "license",
        "attribution",  "proj:code",   "proj:wkt2", "proj:transform",  "proj:shape",  "proj:bbox",
        "resolution",   "chunk_shape", "time",      "bands",           "source",      "composite",
        "resampling",   "fill",        "levels",    "bytes_per_pixel", "parameters",  "sci:doi",
        "sci:citation", NULL};
    return sgc_json_check_keys(d->json, keys, root, err);
}

static sgc_status check_id(const char *id, const sgc_place *root, sgc_error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const sgc_place at = sgc_place_member(root, "id");
    const size_t length = strlen(id);
    if (length > 5 && strcmp(id + length - 5, ".json") == 0)
        return sgc_fail_at(&at, SGC_INVALID, err, "must not look like the name of a file");
    if (*id == '\0' || *id == '.' || strspn(id, letters) != strlen(id))
        return sgc_fail_at(&at, SGC_INVALID, err, "letters, digits, '.', '_' and '-' only");
    return SGC_OK;
}

static sgc_status read_texts(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    static const char *const others[] = {"description", "sci:doi", "sci:citation"};
    SGC_TRY(sgc_json_get_text(d->json, "id", true, root, &d->id, err));
    SGC_TRY(check_id(d->id, root, err));
    SGC_TRY(sgc_json_get_text(d->json, "title", false, root, &d->title, err));
    SGC_TRY(sgc_json_get_text(d->json, "license", false, root, &d->license, err));
    SGC_TRY(sgc_json_get_text(d->json, "attribution", false, root, &d->attribution, err));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const cJSON *item = sgc_json_member(d->json, others[i]);
        const sgc_place at = sgc_place_member(root, others[i]);
        if (item != NULL && !cJSON_IsString(item))
            return sgc_fail_at(&at, SGC_INVALID, err, "must be a text");
    }
    return SGC_OK;
}

/* How pixels come together. */
static sgc_status read_rules(sgc_definition *d, const sgc_place *root, sgc_error *err)
{
    static const char *const composites[] = {"first", "last", "min", "max", NULL};
    static const char *const fills[] = {"all", "channels", NULL};
    const sgc_place at = sgc_place_member(root, "bytes_per_pixel");
    int composite = SGC_COMPOSITE_FIRST, resampling = SGC_RESAMPLE_NEAREST, fill = 0;
    SGC_TRY(sgc_json_get_choice(d->json, "composite", composites, root, &composite, err));
    SGC_TRY(
        sgc_json_get_choice(d->json, "resampling", sgc_resampling_words, root, &resampling, err));
    SGC_TRY(sgc_json_get_choice(d->json, "fill", fills, root, &fill, err));
    SGC_TRY(sgc_json_get_number(d->json, "bytes_per_pixel", root, &d->bytes_per_pixel, err));
    if (sgc_json_member(d->json, "bytes_per_pixel") != NULL && !(d->bytes_per_pixel > 0))
        return sgc_fail_at(&at, SGC_INVALID, err, "must be positive");
    d->composite = (sgc_composite)composite;
    d->resampling = (sgc_resampling)resampling;
    d->fill_channels = fill == 1;
    return SGC_OK;
}

static sgc_status read_all(sgc_definition *d, char *const *parameters, const char *name,
                           sgc_error *err)
{
    const sgc_place root = {.document = name};
    SGC_TRY(check_marker(d, &root, err));
    SGC_TRY(check_all_keys(d, &root, err));
    SGC_TRY(sgc_definition_read_parameters(d, parameters, &root, err));
    SGC_TRY(read_texts(d, &root, err));
    SGC_TRY(sgc_definition_read_grid(d, &root, err));
    SGC_TRY(sgc_definition_read_time(d, &root, err));
    SGC_TRY(sgc_definition_read_bands(d, &root, err));
    SGC_TRY(read_rules(d, &root, err));
    return sgc_definition_read_sources(d, &root, err);
}

/* ---- the document ---- */

/* Line and column of a place in the text, both from 1. */
typedef struct text_place {
    unsigned line, column;
} text_place;

static text_place place_of(const char *text, const char *at)
{
    text_place place = {1, 1};
    for (; text < at && *text != '\0'; text++) {
        place.column = *text == '\n' ? 1 : place.column + 1;
        place.line += *text == '\n';
    }
    return place;
}

/* Of two members of one name it would be a matter of luck which one counts. */
static sgc_status check_twice(const cJSON *json, const sgc_place *at, sgc_error *err)
{
    CPLHashSet *names = CPLHashSetNew(CPLHashSetHashStr, CPLHashSetEqualStr, NULL);
    sgc_status status = SGC_OK;
    size_t index = 0;
    for (cJSON *item = json->child; status == SGC_OK && item != NULL; item = item->next, index++) {
        const sgc_place here = item->string != NULL ? sgc_place_member(at, item->string)
                                                    : sgc_place_element(at, index);
        if (item->string != NULL && CPLHashSetLookup(names, item->string) != NULL)
            status = sgc_fail_at(&here, SGC_INVALID, err, "is there twice");
        else if (item->string != NULL)
            CPLHashSetInsert(names, item->string);
        if (status == SGC_OK && item->child != NULL)
            status = check_twice(item, &here, err);
    }
    CPLHashSetDestroy(names);
    return status;
}

static sgc_status parse_json(const char *text, const char *name, cJSON **out, sgc_error *err)
{
    const char *end = NULL;
    if (!CPLIsUTF8(text, -1))
        return sgc_fail(err, SGC_INVALID, "%s: is not UTF-8", name);
    cJSON *json = cJSON_ParseWithOpts(text, &end, 1);
    if (cJSON_IsObject(json)) {
        *out = json;
        return SGC_OK;
    }
    const bool parsed = json != NULL;
    cJSON_Delete(json);
    if (parsed)
        return sgc_fail(err, SGC_INVALID, "%s: must be a JSON object", name);
    const text_place at = place_of(text, end);
    return sgc_fail(err, SGC_INVALID, "%s:%u: not valid JSON, near column %u", name, at.line,
                    at.column);
}

sgc_status sgc_definition_parse(const char *text, const char *name, char *const *parameters,
                                sgc_definition **out, sgc_error *err)
{
    const sgc_place root = {.document = name};
    sgc_definition *definition = calloc(1, sizeof *definition);
    if (definition == NULL || (definition->text = strdup(text)) == NULL ||
        (definition->name = strdup(name)) == NULL) {
        sgc_definition_free(definition);
        return sgc_fail_memory(err, strlen(text), "a definition");
    }
    cJSON_Minify(definition->text); /* unlike printing anew, this keeps every digit */
    sgc_status status = parse_json(text, name, &definition->json, err);
    if (status == SGC_OK)
        status = check_twice(definition->json, &root, err);
    if (status == SGC_OK)
        status = read_all(definition, parameters, name, err);
    if (status != SGC_OK) {
        sgc_definition_free(definition);
        return status;
    }
    *out = definition;
    return SGC_OK;
}

static void free_band(sgc_band *band)
{
    free(band->name);
    free(band->data_type);
    free(band->unit);
    free(band->description);
    free(band->asset);
    cJSON_free(band->attributes);
    for (size_t i = 0; i < band->category_count; i++)
        free(band->categories[i].name);
    free(band->categories);
    free(band->flag_meanings);
}

void sgc_definition_free(sgc_definition *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->band_count; i++)
        free_band(&d->bands[i]);
    free(d->bands);
    free(d->name);
    free(d->id);
    free(d->title);
    free(d->license);
    free(d->attribution);
    free(d->crs);
    free(d->time.starts);
    free(d->time.ends);
    free(d->levels);
    for (char **parameter = d->parameters; parameter != NULL && *parameter != NULL; parameter++)
        free(*parameter);
    free(d->parameters);
    free(d->directory);
    free(d->warning);
    cJSON_Delete(d->json);
    free(d->text);
    free(d);
}

double sgc_definition_bytes_per_pixel(const sgc_definition *definition, size_t first, size_t count)
{
    double sum = 0;
    for (size_t i = first; i < first + count; i++)
        sum += definition->bytes_per_pixel > 0
                   ? definition->bytes_per_pixel
                   : 0.4 * GDALGetDataTypeSizeBytes(definition->bands[i].type);
    return sum;
}
