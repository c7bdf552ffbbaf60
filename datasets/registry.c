#include "datasets/registry.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 16 * 1024 * 1024 };

static sgc_status parse_file(const char *path, sgc_definition **out, sgc_error *err)
{
    GByte *text = NULL;
    vsi_l_offset size = 0;
    CPLPushErrorHandler(CPLQuietErrorHandler);
    const bool read = VSIIngestFile(NULL, path, &text, &size, LARGEST_FILE);
    CPLPopErrorHandler();
    if (!read)
        return sgc_fail(err, SGC_NOT_FOUND, "cannot read the definition file %s", path);
    const sgc_status status = sgc_definition_parse((const char *)text, path, out, err);
    VSIFree(text);
    return status;
}

/* Looks for <id>.json, in any case, in the directories of SGC_DATASETS_PATH. */
static sgc_status find_file(const char *id, sgc_definition **out, sgc_error *err)
{
    char **directories = CSLTokenizeString2(CPLGetConfigOption("SGC_DATASETS_PATH", ""), ":", 0);
    sgc_status status = SGC_NOT_FOUND;
    for (int i = 0; i < CSLCount(directories) && status == SGC_NOT_FOUND; i++) {
        char **files = VSIReadDir(directories[i]);
        for (int k = 0; k < CSLCount(files) && status == SGC_NOT_FOUND; k++) {
            const char *dot = strrchr(files[k], '.');
            if (dot != NULL && EQUAL(dot, ".json") && strlen(id) == (size_t)(dot - files[k]) &&
                EQUALN(files[k], id, strlen(id)))
                status = parse_file(CPLFormFilename(directories[i], files[k], NULL), out, err);
        }
        CSLDestroy(files);
    }
    CSLDestroy(directories);
    return status;
}

static sgc_status fail_unknown(const char *name, sgc_error *err)
{
    enum { MOST = 256 };
    const char *ids[MOST + 1] = {NULL};
    char list[512] = "";
    for (size_t i = 0; i < MOST && sgc_builtin_definitions[i].id != NULL; i++) {
        ids[i] = sgc_builtin_definitions[i].id;
        if (strlen(list) + strlen(ids[i]) + 3 < sizeof list) {
            strcat(list, i == 0 ? "" : ", ");
            strcat(list, ids[i]);
        }
    }
    const char *nearest = sgc_nearest_word(name, ids);
    return nearest != NULL
               ? sgc_fail(err, SGC_NOT_FOUND,
                          "unknown dataset \"%.64s\" (did you mean %s? Known are %s)", name,
                          nearest, list)
               : sgc_fail(err, SGC_NOT_FOUND,
                          "unknown dataset \"%.64s\" (known are %s; a file is named by a path, an "
                          "existing cube too: ./%.64s)",
                          name, list, name);
}

sgc_status sgc_registry_find(const char *name, sgc_definition **out, sgc_error *err)
{
    const size_t length = strlen(name);
    if (strchr(name, '/') != NULL || (length > 5 && EQUAL(name + length - 5, ".json")))
        return parse_file(name, out, err);
    const sgc_status status = find_file(name, out, err);
    if (status != SGC_NOT_FOUND)
        return status;
    for (const sgc_builtin_definition *d = sgc_builtin_definitions; d->id != NULL; d++)
        if (EQUAL(d->id, name))
            return sgc_definition_parse(d->text, d->id, out, err);
    return fail_unknown(name, err);
}
