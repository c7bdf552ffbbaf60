/* Members of documents that services send: whatever is not as expected counts as absent. */
#ifndef SGC_STAC_JSON_H
#define SGC_STAC_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* NULL also when the member is null. */
static inline const cJSON *sgc_stac_member(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

/* NULL also when it is empty. */
static inline const char *sgc_stac_text(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text != NULL && *text != '\0' ? text : NULL;
}

#endif
