#include "datasets/source.h"

#include <stdlib.h>
#include <string.h>

sgc_status sgc_source_new(const sgc_definition *definition, const sgc_source_options *options,
                          sgc_source **out, sgc_error *err)
{
    const char *kind =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(definition->source, "kind"));
    if (strcmp(kind, "synthetic") == 0)
        return sgc_source_synthetic_new(definition, out, err);
    return sgc_source_stac_new(definition, options, out, err);
}

void sgc_source_free(sgc_source *source)
{
    if (source != NULL)
        source->free(source);
}

void sgc_patch_list_free(sgc_patch_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        sgc_patch *patch = &list->patches[i];
        free(patch->id);
        for (size_t b = 0; patch->hrefs != NULL && b < list->band_count; b++)
            free(patch->hrefs[b]);
        free(patch->hrefs);
    }
    free(list->patches);
    *list = (sgc_patch_list){0};
}
