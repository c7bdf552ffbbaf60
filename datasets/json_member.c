#include "datasets/json_member.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/nearest_word.h"

sgc_place sgc_place_member(const sgc_place *parent, const char *key)
{
    sgc_place result = {.document = parent->document};
    snprintf(result.pointer, sizeof result.pointer, "%.100s/%.50s", parent->pointer, key);
    return result;
}

sgc_place sgc_place_element(const sgc_place *parent, size_t index)
{
    char key[24];
    snprintf(key, sizeof key, "%zu", index);
    return sgc_place_member(parent, key);
}

sgc_status sgc_fail_at(const sgc_place *at, sgc_status status, sgc_error *err, const char *format,
                       ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sgc_fail(err, status, "%s: %s: %s", at->document, at->pointer, text);
}

const cJSON *sgc_json_member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

bool sgc_is_listed(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

static bool is_foreign(const char *key)
{
    static const char *const own_prefixes[] = {"proj:", "raster:", "sci:"};
    for (size_t i = 0; i < sizeof own_prefixes / sizeof *own_prefixes; i++)
        if (strncmp(key, own_prefixes[i], strlen(own_prefixes[i])) == 0)
            return false;
    return strchr(key, ':') != NULL;
}

sgc_status sgc_json_check_keys(const cJSON *object, const char *const *known, const sgc_place *at,
                               sgc_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (sgc_is_listed(item->string, known) || is_foreign(item->string))
            continue;
        const sgc_place here = sgc_place_member(at, item->string);
        const char *nearest = sgc_nearest_word(item->string, known);
        return nearest != NULL
                   ? sgc_fail_at(&here, SGC_INVALID, err, "unknown key (did you mean %s?)", nearest)
                   : sgc_fail_at(&here, SGC_INVALID, err, "unknown key");
    }
    return SGC_OK;
}

sgc_status sgc_json_get_text(const cJSON *object, const char *key, bool required,
                             const sgc_place *at, char **out, sgc_error *err)
{
    const cJSON *item = sgc_json_member(object, key);
    const sgc_place here = sgc_place_member(at, key);
    if (item == NULL)
        return required ? sgc_fail_at(&here, SGC_INVALID, err, "required") : SGC_OK;
    if (!cJSON_IsString(item))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be a text");
    *out = strdup(item->valuestring);
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(item->valuestring), key);
}

sgc_status sgc_json_get_number(const cJSON *object, const char *key, const sgc_place *at,
                               double *out, sgc_error *err)
{
    const cJSON *item = sgc_json_member(object, key);
    const sgc_place here = sgc_place_member(at, key);
    if (item == NULL)
        return SGC_OK;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be a number");
    *out = item->valuedouble;
    return SGC_OK;
}

sgc_status sgc_json_get_integer(const cJSON *object, const char *key, int least, int most,
                                const sgc_place *at, int *out, sgc_error *err)
{
    double value = *out;
    const sgc_place here = sgc_place_member(at, key);
    if (sgc_json_get_number(object, key, at, &value, NULL) != SGC_OK || value < least ||
        value > most || value != floor(value))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be an integer from %d to %d", least,
                           most);
    *out = (int)value;
    return SGC_OK;
}

sgc_status sgc_json_get_bool(const cJSON *object, const char *key, const sgc_place *at, bool *out,
                             sgc_error *err)
{
    const cJSON *item = sgc_json_member(object, key);
    const sgc_place here = sgc_place_member(at, key);
    if (item == NULL)
        return SGC_OK;
    if (!cJSON_IsBool(item))
        return sgc_fail_at(&here, SGC_INVALID, err, "must be true or false");
    *out = cJSON_IsTrue(item);
    return SGC_OK;
}

sgc_status sgc_json_get_choice(const cJSON *object, const char *key, const char *const *words,
                               const sgc_place *at, int *out, sgc_error *err)
{
    const cJSON *item = sgc_json_member(object, key);
    const sgc_place here = sgc_place_member(at, key);
    char list[256] = "";
    for (int i = 0; item != NULL && words[i] != NULL; i++) {
        if (cJSON_IsString(item) && strcmp(words[i], item->valuestring) == 0) {
            *out = i;
            return SGC_OK;
        }
        const size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
    }
    return item == NULL ? SGC_OK : sgc_fail_at(&here, SGC_INVALID, err, "must be one of %s", list);
}

sgc_status sgc_json_get_numbers(const cJSON *item, size_t count, const sgc_place *at, double *out,
                                sgc_error *err)
{
    bool good = cJSON_IsArray(item) && (size_t)cJSON_GetArraySize(item) == count;
    const cJSON *number = good ? item->child : NULL;
    for (size_t i = 0; good && i < count; i++, number = number->next)
        good = cJSON_IsNumber(number) && isfinite(number->valuedouble);
    if (!good)
        return sgc_fail_at(at, SGC_INVALID, err, "must be a list of %zu numbers", count);
    for (number = item->child; number != NULL; number = number->next)
        *out++ = number->valuedouble;
    return SGC_OK;
}
