#include <cpl_port.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/definition_private.h"
#include "store/icechunk/pattern.h"
#include "store/memory.h"
#include "store/zarr/json_number.h"

enum { MOST_PARAMETERS = 32, LONGEST_VALUE = 64, LIST_SIZE = 384 };

/* ---- what is allowed ---- */

/* Values become part of ids, addresses and file names. */
static bool is_plain(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t length = strlen(text);
    return length > 0 && length <= LONGEST_VALUE && strspn(text, letters) == length;
}

static sgc_status check_parameter(const cJSON *parameter, const sgc_place *at, sgc_error *err)
{
    static const char *const keys[] = {"values", "pattern", "default", NULL};
    const cJSON *values = sgc_json_member(parameter, "values"), *item;
    const sgc_place at_values = sgc_place_member(at, "values");
    static const char *const fields[] = {"x_min", "x_max",  "y_min",   "y_max", "col",
                                         "row",   "t_year", "t_month", "t_day", "t_end_year",
                                         "id",    "asset",  NULL};
    if (!is_plain(parameter->string) || sgc_is_listed(parameter->string, fields))
        return sgc_fail_at(
            at, SGC_INVALID, err,
            "a name is letters, digits, '.', '_' and '-', and no field of templates");
    if (!cJSON_IsObject(parameter))
        return sgc_fail_at(at, SGC_INVALID, err, "must be an object");
    SGC_TRY(sgc_json_check_keys(parameter, keys, at, err));
    if ((values != NULL) == (sgc_json_member(parameter, "pattern") != NULL))
        return sgc_fail_at(at, SGC_INVALID, err, "give values or pattern");
    if (values != NULL && (!cJSON_IsArray(values) || values->child == NULL))
        return sgc_fail_at(&at_values, SGC_INVALID, err, "must be a list of texts");
    cJSON_ArrayForEach(item, values)
    {
        if (!cJSON_IsString(item) || !is_plain(item->valuestring))
            return sgc_fail_at(&at_values, SGC_INVALID, err,
                               "must be a list of texts of letters, digits, '.', '_' and '-'");
    }
    return SGC_OK;
}

/* Lists texts, or the names of members, as far as there is room. */
static void list_words(const cJSON *items, bool names, char list[LIST_SIZE])
{
    static const char more[] = ", …";
    size_t length = 0;
    const cJSON *item;
    list[0] = '\0';
    cJSON_ArrayForEach(item, items)
    {
        const char *word = names ? item->string : item->valuestring;
        const size_t room = LIST_SIZE - length - sizeof more;
        if (strlen(word) + strlen(", ") > room) {
            strcpy(list + length, more);
            return;
        }
        length += (size_t)snprintf(list + length, LIST_SIZE - length, "%s%s",
                                   length > 0 ? ", " : "", word);
    }
}

/* The spelling of the definition for `value`, as the list has it in any case. */
static sgc_status match_values(const cJSON *parameter, const char *value, const sgc_place *at,
                               const char **out, sgc_error *err)
{
    const cJSON *values = sgc_json_member(parameter, "values"), *item;
    cJSON_ArrayForEach(item, values)
    {
        if (EQUAL(item->valuestring, value)) {
            *out = item->valuestring;
            return SGC_OK;
        }
    }
    char list[LIST_SIZE];
    list_words(values, false, list);
    return sgc_fail_at(at, SGC_INVALID, err, "%.64s is not one of %s", value, list);
}

static sgc_status match_pattern(const cJSON *parameter, const char *value, const sgc_place *at,
                                const char **out, sgc_error *err)
{
    const char *text = cJSON_GetStringValue(sgc_json_member(parameter, "pattern"));
    const sgc_place here = sgc_place_member(at, "pattern");
    sgc_buffer whole = {0};
    sgc_pattern *pattern = NULL;
    sgc_error reason;
    if (text == NULL)
        return sgc_fail_at(&here, SGC_INVALID, err, "must be a text");
    SGC_TRY(sgc_buffer_print(&whole, err, "^(?:%s)$", text));
    const sgc_status status =
        sgc_pattern_new((sgc_span){(const char *)whole.data, whole.size}, &pattern, &reason);
    sgc_buffer_free(&whole);
    if (status != SGC_OK)
        return sgc_fail_at(&here, status, err, "%s", reason.message);
    const bool matches = is_plain(value) && sgc_pattern_matches(pattern, value);
    sgc_pattern_free(pattern);
    if (!matches)
        return sgc_fail_at(at, SGC_INVALID, err, "%.64s does not match %.64s", value, text);
    *out = value;
    return SGC_OK;
}

/* ---- what is chosen ---- */

/* The value of NAME=VALUE, or NULL. */
static const char *value_of(char *const *parameters, const char *name)
{
    const size_t length = strlen(name);
    for (; parameters != NULL && *parameters != NULL; parameters++)
        if (EQUALN(*parameters, name, length) && (*parameters)[length] == '=')
            return *parameters + length + 1;
    return NULL;
}

static sgc_status check_names(const cJSON *declared, char *const *parameters, const sgc_place *root,
                              sgc_error *err)
{
    const sgc_place at = sgc_place_member(root, "parameters");
    for (; parameters != NULL && *parameters != NULL; parameters++) {
        const size_t length = strcspn(*parameters, "=");
        const cJSON *item = declared != NULL ? declared->child : NULL;
        while (item != NULL &&
               !(strlen(item->string) == length && EQUALN(item->string, *parameters, length)))
            item = item->next;
        if (item != NULL)
            continue;
        char list[LIST_SIZE];
        list_words(declared, true, list);
        return sgc_fail_at(&at, SGC_INVALID, err, "there is no parameter %.*s (there %s%s)",
                           (int)length, *parameters, declared != NULL ? "are: " : "are none", list);
    }
    return SGC_OK;
}

static sgc_status choose(const cJSON *parameter, char *const *parameters, const sgc_place *at,
                         const char **out, sgc_error *err)
{
    const cJSON *fallback = sgc_json_member(parameter, "default");
    const char *value = value_of(parameters, parameter->string);
    if (fallback != NULL && !cJSON_IsString(fallback))
        return sgc_fail_at(at, SGC_INVALID, err, "default must be a text");
    if (value == NULL && fallback == NULL)
        return sgc_fail_at(at, SGC_INVALID, err, "the parameter %s is needed: %s=…",
                           parameter->string, parameter->string);
    if (value == NULL)
        value = fallback->valuestring;
    return sgc_json_member(parameter, "values") != NULL
               ? match_values(parameter, value, at, out, err)
               : match_pattern(parameter, value, at, out, err);
}

/* ---- filling in ---- */

/* Replaces each "{name}" in `*text`, which was malloc'ed, as cJSON does. */
static sgc_status fill_text(char **text, const char *name, const char *value, sgc_error *err)
{
    sgc_buffer out = {0};
    const size_t length = strlen(name);
    const char *from = *text, *brace = from;
    sgc_status status = SGC_OK;
    while (status == SGC_OK && (brace = strchr(brace, '{')) != NULL) {
        if (strncmp(brace + 1, name, length) != 0 || brace[1 + length] != '}') {
            brace++;
            continue;
        }
        status = sgc_buffer_print(&out, err, "%.*s%s", (int)(brace - from), from, value);
        brace += length + 2;
        from = brace;
    }
    if (from == *text || status != SGC_OK) {
        sgc_buffer_free(&out);
        return status;
    }
    status = sgc_buffer_print(&out, err, "%s", from);
    if (status == SGC_OK) {
        cJSON_free(*text);
        *text = (char *)out.data;
        return SGC_OK;
    }
    sgc_buffer_free(&out);
    return status;
}

static sgc_status fill_all(cJSON *item, const char *name, const char *value, sgc_error *err)
{
    if (cJSON_IsString(item))
        return fill_text(&item->valuestring, name, value, err);
    for (cJSON *child = item->child; child != NULL; child = child->next)
        SGC_TRY(fill_all(child, name, value, err));
    return SGC_OK;
}

/* Texts of the grid that a parameter made a number of become that number. */
static void make_numbers(cJSON *item)
{
    double value;
    for (cJSON *child = item->child; child != NULL; child = child->next)
        make_numbers(child);
    if (!cJSON_IsString(item) ||
        sgc_parse_double((sgc_span){item->valuestring, strlen(item->valuestring)}, &value, NULL) !=
            SGC_OK)
        return;
    cJSON_free(item->valuestring);
    item->valuestring = NULL;
    item->type = cJSON_Number;
    cJSON_SetNumberHelper(item, value);
}

/* Replaces "parameters" in the kept text by `narrowed`. */
static sgc_status keep(sgc_definition *definition, const sgc_buffer *narrowed, sgc_error *err)
{
    sgc_buffer out = {0};
    const sgc_span document = {definition->text, strlen(definition->text)};
    const sgc_span value = {(const char *)narrowed->data, narrowed->size};
    sgc_status status = sgc_json_replace(document, "parameters", value, &out, err);
    if (status == SGC_OK)
        status = sgc_buffer_append(&out, "", 1, err);
    if (status != SGC_OK) {
        sgc_buffer_free(&out);
        return status;
    }
    free(definition->text);
    definition->text = (char *)out.data;
    return SGC_OK;
}

/* Chooses, fills in, and appends to `narrowed` the pair of one parameter. */
static sgc_status read_parameter(sgc_definition *definition, const cJSON *parameter,
                                 char *const *parameters, const sgc_place *at, size_t index,
                                 sgc_buffer *narrowed, sgc_error *err)
{
    const char *value = NULL;
    SGC_TRY(check_parameter(parameter, at, err));
    SGC_TRY(choose(parameter, parameters, at, &value, err));
    SGC_TRY(sgc_buffer_print(narrowed, err, "%s\"%s\":{\"values\":[\"%s\"],\"default\":\"%s\"}",
                             index > 0 ? "," : "", parameter->string, value, value));
    sgc_buffer pair = {0};
    SGC_TRY(sgc_buffer_print(&pair, err, "%s=%s", parameter->string, value));
    definition->parameters[index] = (char *)pair.data;
    for (cJSON *member = definition->json->child; member != NULL; member = member->next)
        if (strcmp(member->string, "parameters") != 0)
            SGC_TRY(fill_all(member, parameter->string, value, err));
    return SGC_OK;
}

static sgc_status read_all(sgc_definition *definition, const cJSON *declared,
                           char *const *parameters, const sgc_place *at, sgc_buffer *narrowed,
                           sgc_error *err)
{
    size_t index = 0;
    const cJSON *parameter;
    SGC_TRY(sgc_buffer_print(narrowed, err, "{"));
    cJSON_ArrayForEach(parameter, declared)
    {
        const sgc_place here = sgc_place_member(at, parameter->string);
        SGC_TRY(read_parameter(definition, parameter, parameters, &here, index++, narrowed, err));
    }
    SGC_TRY(sgc_buffer_print(narrowed, err, "}"));
    return keep(definition, narrowed, err);
}

sgc_status sgc_definition_read_parameters(sgc_definition *definition, char *const *parameters,
                                          const sgc_place *root, sgc_error *err)
{
    static const char *const grid[] = {"proj:transform", "proj:shape", "proj:bbox", "resolution"};
    const cJSON *declared = sgc_json_member(definition->json, "parameters");
    const sgc_place at = sgc_place_member(root, "parameters");
    const int count = cJSON_GetArraySize(declared);
    if (declared != NULL && (!cJSON_IsObject(declared) || count > MOST_PARAMETERS))
        return sgc_fail_at(&at, SGC_INVALID, err, "must be an object of at most %d parameters",
                           MOST_PARAMETERS);
    SGC_TRY(check_names(declared, parameters, root, err));
    if (count == 0)
        return SGC_OK;
    definition->parameters = calloc((size_t)count + 1, sizeof *definition->parameters);
    if (definition->parameters == NULL)
        return sgc_fail_memory(err, (size_t)count * sizeof *definition->parameters, "parameters");
    sgc_buffer narrowed = {0};
    const sgc_status status = read_all(definition, declared, parameters, &at, &narrowed, err);
    sgc_buffer_free(&narrowed);
    for (size_t i = 0; status == SGC_OK && i < sizeof grid / sizeof *grid; i++) {
        cJSON *item = cJSON_GetObjectItemCaseSensitive(definition->json, grid[i]);
        if (item != NULL)
            make_numbers(item);
    }
    return status;
}
