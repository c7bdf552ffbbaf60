#include "gdal_sgc/descriptor.h"

#include <cjson/cJSON.h>
#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/json_member.h"
#include "datasets/quiet.h"
#include "gdal_sgc/connection.h"

enum { MOST_BYTES = 1024 * 1024 };

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), n = strlen(end);
    return length > n && EQUAL(text + length - n, end);
}

bool sgc_descriptor_is_named(const char *path)
{
    return ends_with(path, "." SGC_DESCRIPTOR_EXTENSION);
}

/* Whether a text of a JSON document has a NUL, at which our strings would end. */
static bool has_nul(const char *text, size_t size)
{
    if (memchr(text, '\0', size) != NULL)
        return true;
    for (const char *c = strchr(text, '\\'); c != NULL && c[1] != '\0'; c = strchr(c + 2, '\\'))
        if (strncmp(c + 1, "u0000", 5) == 0)
            return true;
    return false;
}

/* Gives the JSON object in the file. */
static sgc_status read_object(const char *path, cJSON **out, sgc_error *err)
{
    GByte *text = NULL;
    vsi_l_offset size = 0;
    sgc_quiet quiet = sgc_quiet_begin();
    const bool read = VSIIngestFile(NULL, path, &text, &size, MOST_BYTES) != FALSE;
    sgc_quiet_end(&quiet);
    if (!read)
        return sgc_fail(err, SGC_IO, "cannot be read, or has more than %d bytes", MOST_BYTES);
    const bool nul = has_nul((const char *)text, (size_t)size);
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)text, (size_t)size + 1, NULL, 1);
    VSIFree(text);
    if (json != NULL && nul) {
        cJSON_Delete(json);
        return sgc_fail(err, SGC_INVALID, "must have no character of code 0");
    }
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return sgc_fail(err, SGC_INVALID,
                        "must be a JSON object like {\"place\": \"cube.icechunk\"}");
    }
    *out = json;
    return SGC_OK;
}

static sgc_status check_keys(const cJSON *json, const sgc_place *at, sgc_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        const sgc_place here = sgc_place_member(at, item->string);
        if (strcmp(item->string, "place") != 0 && strcmp(item->string, "dataset") != 0 &&
            strcmp(item->string, "options") != 0)
            return sgc_fail_at(&here, SGC_INVALID, err,
                               "unknown key (known are place, dataset, options)");
    }
    return SGC_OK;
}

/* Appends a path that may be relative to the file's directory. */
static sgc_status print_path(const char *file, const char *path, sgc_buffer *out, sgc_error *err)
{
    const char *slash = strrchr(file, '/');
    sgc_buffer directory = {0};
    if (path[0] == '/' || STARTS_WITH(path, "mem:") || strstr(path, "://") != NULL)
        return sgc_connection_encode(path, out, err);
    sgc_status status =
        slash != NULL ? sgc_buffer_print(&directory, err, "%.*s", (int)(slash + 1 - file), file)
                      : sgc_buffer_print(&directory, err, "./");
    if (status == SGC_OK)
        status = sgc_connection_encode((const char *)directory.data, out, err);
    sgc_buffer_free(&directory);
    return status == SGC_OK ? sgc_connection_encode(path, out, err) : status;
}

/* A definition file lies beside the file that names it, an id nowhere. */
static sgc_status print_dataset(const char *file, const char *dataset, sgc_buffer *out,
                                sgc_error *err)
{
    return ends_with(dataset, ".json") ? print_path(file, dataset, out, err)
                                       : sgc_connection_encode(dataset, out, err);
}

static bool is_word(const char *key)
{
    const size_t length = strlen(key);
    return length > 0 &&
           strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static sgc_status print_option(const cJSON *option, const sgc_place *at, sgc_buffer *out,
                               sgc_error *err)
{
    if (!is_word(option->string))
        return sgc_fail_at(at, SGC_INVALID, err, "is no name of an option");
    if (EQUAL(option->string, "DATASET"))
        return sgc_fail_at(at, SGC_INVALID, err, "stands beside \"options\", not in it");
    SGC_TRY(sgc_buffer_print(out, err, ",%s=", option->string));
    if (cJSON_IsString(option))
        return sgc_connection_encode(option->valuestring, out, err);
    if (cJSON_IsBool(option))
        return sgc_buffer_print(out, err, cJSON_IsTrue(option) ? "YES" : "NO");
    if (!cJSON_IsNumber(option))
        return sgc_fail_at(at, SGC_INVALID, err, "must be a text, a number, true or false");
    char *number = cJSON_PrintUnformatted(option);
    const sgc_status status = number != NULL ? sgc_buffer_print(out, err, "%s", number)
                                             : sgc_fail_memory(err, 0, "an option");
    cJSON_free(number);
    return status;
}

static sgc_status print_options(const cJSON *options, const sgc_place *at, sgc_buffer *out,
                                sgc_error *err)
{
    const cJSON *option;
    if (options != NULL && !cJSON_IsObject(options))
        return sgc_fail_at(at, SGC_INVALID, err, "must be an object like {\"time\": \"2020\"}");
    cJSON_ArrayForEach(option, options)
    {
        const sgc_place here = sgc_place_member(at, option->string);
        SGC_TRY(print_option(option, &here, out, err));
    }
    return SGC_OK;
}

/* Appends the string; `place` and `dataset` may be NULL. */
static sgc_status print_name(const char *file, const char *place, const char *dataset,
                             sgc_buffer *out, sgc_error *err)
{
    if (place == NULL && dataset == NULL)
        return sgc_fail(err, SGC_INVALID, "%s: needs \"place\" or \"dataset\"", file);
    SGC_TRY(sgc_buffer_print(out, err, SGC_PREFIX));
    if (place == NULL)
        return print_dataset(file, dataset, out, err);
    SGC_TRY(print_path(file, place, out, err));
    if (dataset == NULL)
        return SGC_OK;
    SGC_TRY(sgc_buffer_print(out, err, ",dataset="));
    return print_dataset(file, dataset, out, err);
}

static sgc_status translate(const char *file, const cJSON *json, sgc_buffer *out, sgc_error *err)
{
    const sgc_place root = {.document = file}, options = sgc_place_member(&root, "options");
    char *place = NULL, *dataset = NULL;
    SGC_TRY(check_keys(json, &root, err));
    sgc_status status = sgc_json_get_text(json, "place", false, &root, &place, err);
    if (status == SGC_OK)
        status = sgc_json_get_text(json, "dataset", false, &root, &dataset, err);
    if (status == SGC_OK)
        status = print_name(file, place, dataset, out, err);
    if (status == SGC_OK)
        status = print_options(sgc_json_member(json, "options"), &options, out, err);
    free(place);
    free(dataset);
    return status;
}

/* A link stands for the file that it leads to, as GDAL's VRT driver has it; free with free(). */
static char *real_file(const char *path)
{
    struct stat info;
    const bool is_link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    char *real = is_link ? realpath(path, NULL) : NULL;
    return real != NULL ? real : strdup(path);
}

sgc_status sgc_descriptor_read(const char *path, sgc_buffer *name, sgc_error *err)
{
    cJSON *json = NULL;
    const sgc_status read = read_object(path, &json, err);
    if (read != SGC_OK)
        return sgc_fail_in(err, read, "%.300s", path);
    char *file = real_file(path);
    const sgc_status status = file != NULL ? translate(file, json, name, err)
                                           : sgc_fail_memory(err, strlen(path), "a name");
    free(file);
    cJSON_Delete(json);
    return status;
}
