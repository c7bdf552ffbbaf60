#include "datasets/registry.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/quiet.h"
#include "store/memory.h"

enum { LARGEST_FILE = 16 * 1024 * 1024 };

/* Names that datasets go by besides their own. */
static const char *const aliases[][2] = {
    {"TCTrend", "TCTrend2024"},
    {"AlphaEarth", "AlphaEarthEmbeddings"},
    {"CopernicusDEM", "CopernicusDEM30"},
    {"ESAWorldCover", "ESAWorldCover2021"},
};

/* ---- documents ---- */

static sgc_status read_text(const char *path, char **out, sgc_error *err)
{
    GByte *text = NULL;
    vsi_l_offset size = 0;
    sgc_quiet quiet = sgc_quiet_begin();
    const bool read = VSIIngestFile(NULL, path, &text, &size, LARGEST_FILE);
    sgc_quiet_end(&quiet);
    if (!read)
        return sgc_fail(err, SGC_NOT_FOUND, "cannot read the definition file %s", path);
    *out = (char *)text;
    return SGC_OK;
}

/* Gives the parameters, and for those that nobody gave what SGC_<PARAMETER> in the configuration
 * says; free with CSLDestroy(). */
static char **add_configured(const char *text, char *const *parameters)
{
    char **all = CSLDuplicate((char **)parameters);
    cJSON *json = cJSON_Parse(text);
    const cJSON *parameter;
    cJSON_ArrayForEach(parameter, cJSON_GetObjectItemCaseSensitive(json, "parameters"))
    {
        const char *name = parameter->string;
        const char *value =
            name != NULL ? CPLGetConfigOption(CPLSPrintf("SGC_%s", name), NULL) : NULL;
        if (value != NULL && CSLFetchNameValue(all, name) == NULL)
            all = CSLAddNameValue(all, name, value);
    }
    cJSON_Delete(json);
    return all;
}

/* `path` is that of the file; NULL: it is built in. */
static sgc_status parse(const char *text, const char *name, const char *path,
                        char *const *parameters, sgc_definition **out, sgc_error *err)
{
    sgc_definition *definition;
    char **all = add_configured(text, parameters);
    const sgc_status status = sgc_definition_parse(text, name, all, &definition, err);
    CSLDestroy(all);
    SGC_TRY(status);
    if (path != NULL && (definition->directory = strdup(CPLGetDirname(path))) == NULL) {
        sgc_definition_free(definition);
        return sgc_fail_memory(err, strlen(path), "a path");
    }
    *out = definition;
    return SGC_OK;
}

static sgc_status parse_file(const char *path, char *const *parameters, sgc_definition **out,
                             sgc_error *err)
{
    char *text = NULL;
    SGC_TRY(read_text(path, &text, err));
    const sgc_status status = parse(text, path, path, parameters, out, err);
    VSIFree(text);
    return status;
}

/* The text of a definition: built in, or `*file`, which is to be freed with VSIFree(). */
static sgc_status text_of(const sgc_known_dataset *known, const char **text, char **file,
                          sgc_error *err)
{
    *file = NULL;
    if (known->path != NULL) {
        SGC_TRY(read_text(known->path, file, err));
        *text = *file;
        return SGC_OK;
    }
    const sgc_builtin_definition *d = sgc_builtin_definitions;
    while (!EQUAL(d->id, known->name))
        d++;
    *text = d->text;
    return SGC_OK;
}

static sgc_status parse_known(const sgc_known_dataset *known, char *const *parameters,
                              sgc_definition **out, sgc_error *err)
{
    const char *text;
    char *file;
    SGC_TRY(text_of(known, &text, &file, err));
    const sgc_status status = parse(text, known->path != NULL ? known->path : known->name,
                                    known->path, parameters, out, err);
    VSIFree(file);
    return status;
}

/* Its JSON, or NULL; free with cJSON_Delete(). */
static cJSON *json_of(const sgc_known_dataset *known)
{
    const char *text;
    char *file;
    if (text_of(known, &text, &file, NULL) != SGC_OK)
        return NULL;
    cJSON *json = cJSON_Parse(text);
    VSIFree(file);
    return json;
}

/* ---- what there is ---- */

typedef struct collection {
    sgc_known_dataset *list;
    size_t count, capacity;
} collection;

/* Adds a dataset unless one of that name is there. */
static sgc_status add(collection *all, const char *name, const char *path, sgc_error *err)
{
    for (size_t i = 0; i < all->count; i++)
        if (EQUAL(all->list[i].name, name))
            return SGC_OK;
    sgc_known_dataset *grown =
        sgc_list_grow(all->list, all->count, &all->capacity, sizeof *all->list);
    if (grown == NULL)
        return sgc_fail_memory(err, sizeof *all->list, "the list of datasets");
    all->list = grown;
    const sgc_known_dataset known = {.name = strdup(name),
                                     .path = path != NULL ? strdup(path) : NULL};
    if (known.name == NULL || (path != NULL && known.path == NULL)) {
        free(known.name);
        free(known.path);
        return sgc_fail_memory(err, strlen(name), "the list of datasets");
    }
    all->list[all->count++] = known;
    return SGC_OK;
}

static sgc_status add_directory(collection *all, const char *directory, sgc_error *err)
{
    char **files = VSIReadDir(directory);
    sgc_status status = SGC_OK;
    for (int i = 0; i < CSLCount(files) && status == SGC_OK; i++) {
        char *dot = strrchr(files[i], '.');
        if (dot == NULL || dot == files[i] || !EQUAL(dot, ".json"))
            continue;
        char *path = CPLStrdup(CPLFormFilename(directory, files[i], NULL));
        *dot = '\0';
        status = add(all, files[i], path, err);
        CPLFree(path);
    }
    CSLDestroy(files);
    return status;
}

static sgc_status collect(collection *all, sgc_error *err)
{
    char **directories = CSLTokenizeString2(CPLGetConfigOption("SGC_DATASETS_PATH", ""), ":", 0);
    sgc_status status = SGC_OK;
    for (int i = 0; i < CSLCount(directories) && status == SGC_OK; i++)
        status = add_directory(all, directories[i], err);
    CSLDestroy(directories);
    if (status == SGC_OK)
        status = add_directory(all, SGC_DATASETS_DIR, err);
    for (const sgc_builtin_definition *d = sgc_builtin_definitions;
         d->id != NULL && status == SGC_OK; d++)
        status = add(all, d->id, NULL, err);
    if (status == SGC_OK)
        return SGC_OK;
    sgc_registry_list_free(all->list, all->count);
    return status;
}

void sgc_registry_list_free(sgc_known_dataset *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].title);
        free(list[i].defect);
        free(list[i].path);
    }
    free(list);
}

static char *title_of(const sgc_known_dataset *known)
{
    cJSON *json = json_of(known);
    const char *title = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "title"));
    char *copy = title != NULL ? strdup(title) : NULL;
    cJSON_Delete(json);
    return copy;
}

/* Gives a value for each parameter that has no default; free with CSLDestroy(). False when it takes
 * a user to find one. */
static bool sample_parameters(const cJSON *json, char ***out)
{
    char **list = NULL;
    const cJSON *parameter;
    cJSON_ArrayForEach(parameter, cJSON_GetObjectItemCaseSensitive(json, "parameters"))
    {
        const cJSON *values = cJSON_GetObjectItemCaseSensitive(parameter, "values");
        const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(values, 0));
        if (cJSON_HasObjectItem(parameter, "default"))
            continue;
        if (first == NULL) {
            CSLDestroy(list);
            return false;
        }
        list = CSLAddNameValue(list, parameter->string, first);
    }
    *out = list;
    return true;
}

static char *defect_of(const sgc_known_dataset *known)
{
    cJSON *json = json_of(known);
    char **parameters = NULL, *defect = NULL;
    sgc_definition *definition = NULL;
    sgc_error error = {""};
    if (sample_parameters(json, &parameters) &&
        parse_known(known, parameters, &definition, &error) != SGC_OK)
        defect = strdup(error.message);
    sgc_definition_free(definition);
    CSLDestroy(parameters);
    cJSON_Delete(json);
    return defect;
}

static int compare_names(const void *a, const void *b)
{
    return STRCASECMP(((const sgc_known_dataset *)a)->name, ((const sgc_known_dataset *)b)->name);
}

sgc_status sgc_registry_list(sgc_known_dataset **out, size_t *count, sgc_error *err)
{
    collection all = {0};
    SGC_TRY(collect(&all, err));
    qsort(all.list, all.count, sizeof *all.list, compare_names);
    for (size_t i = 0; i < all.count; i++) {
        all.list[i].title = title_of(&all.list[i]);
        all.list[i].defect = defect_of(&all.list[i]);
    }
    *out = all.list;
    *count = all.count;
    return SGC_OK;
}

/* ---- finding one ---- */

static const sgc_known_dataset *look_up(const collection *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (EQUAL(all->list[i].name, name))
            return &all->list[i];
    return NULL;
}

/* The dataset in a file of another name. */
static const sgc_known_dataset *look_up_id(const collection *all, const char *id)
{
    const sgc_known_dataset *found = NULL;
    for (size_t i = 0; found == NULL && i < all->count; i++) {
        cJSON *json = all->list[i].path != NULL ? json_of(&all->list[i]) : NULL;
        const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "id"));
        if (own != NULL && EQUAL(own, id))
            found = &all->list[i];
        cJSON_Delete(json);
    }
    return found;
}

static const char *resolve_alias(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (EQUAL(aliases[i][0], name))
            return aliases[i][1];
    return name;
}

/* Gives PARAMETER=rest, when the definition has one parameter; free with CSLDestroy(). */
static char **parameter_of(const sgc_known_dataset *known, const char *rest)
{
    cJSON *json = json_of(known);
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(json, "parameters");
    char **parameters = NULL;
    if (cJSON_IsObject(all) && cJSON_GetArraySize(all) == 1)
        parameters = CSLAddString(NULL, CPLSPrintf("%s=%s", all->child->string, rest));
    cJSON_Delete(json);
    return parameters;
}

/* Finds an id that a template has made: with `parameters`, or else the one that the end of an id
 * like Name-value says. */
static sgc_status find_by_filled_id(const collection *all, const char *id, char *const *parameters,
                                    sgc_definition **out)
{
    for (size_t i = 0; i < all->count; i++) {
        const sgc_known_dataset *known = &all->list[i];
        const size_t length = strlen(known->name);
        sgc_definition *filled = NULL;
        if (!EQUALN(known->name, id, length) || id[length] == '\0')
            continue;
        char **last = parameters == NULL ? parameter_of(known, id + length + 1) : NULL;
        const bool found =
            parse_known(known, parameters != NULL ? parameters : last, &filled, NULL) == SGC_OK &&
            EQUAL(filled->id, id);
        CSLDestroy(last);
        if (found) {
            *out = filled;
            return SGC_OK;
        }
        sgc_definition_free(filled);
    }
    return SGC_NOT_FOUND;
}

static sgc_status fail_unknown(const collection *all, const char *name, sgc_error *err)
{
    enum { MOST = 256 };
    const char *names[MOST + 1] = {NULL};
    char list[640] = "";
    for (size_t i = 0; i < MOST && i < all->count; i++) {
        names[i] = all->list[i].name;
        if (strlen(list) + strlen(names[i]) + 3 < sizeof list) {
            strcat(list, i == 0 ? "" : ", ");
            strcat(list, names[i]);
        }
    }
    const char *nearest = sgc_nearest_word(name, names);
    return nearest != NULL
               ? sgc_fail(err, SGC_NOT_FOUND,
                          "unknown dataset \"%.64s\" (did you mean %s? Known are %s)", name,
                          nearest, list)
               : sgc_fail(err, SGC_NOT_FOUND,
                          "unknown dataset \"%.64s\" (known are %s; a file is named by a path, an "
                          "existing cube too: ./%.64s)",
                          name, list, name);
}

bool sgc_registry_is_path(const char *name)
{
    const size_t length = strlen(name);
    return strchr(name, '/') != NULL || (length > 5 && EQUAL(name + length - 5, ".json"));
}

sgc_status sgc_registry_find(const char *name, char *const *parameters, sgc_definition **out,
                             sgc_error *err)
{
    collection all = {0};
    if (sgc_registry_is_path(name))
        return parse_file(name, parameters, out, err);
    SGC_TRY(collect(&all, err));
    const sgc_known_dataset *known = look_up(&all, name);
    if (known == NULL)
        known = look_up_id(&all, name);
    if (known == NULL)
        known = look_up(&all, resolve_alias(name));
    sgc_status status = SGC_NOT_FOUND;
    if (known != NULL)
        status = parse_known(known, parameters, out, err);
    else if (find_by_filled_id(&all, name, parameters, out) == SGC_OK)
        status = SGC_OK;
    else
        status = fail_unknown(&all, name, err);
    sgc_registry_list_free(all.list, all.count);
    return status;
}
