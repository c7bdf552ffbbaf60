#include "store/zarr/json_tree.h"

#include <errno.h>

/* cJSON says no more than that it failed; malloc() says why. */
sgc_status sgc_json_parse(sgc_span text, cJSON **tree, sgc_error *err)
{
    errno = 0;
    cJSON *parsed = cJSON_ParseWithLength(text.text, text.size);
    if (parsed == NULL)
        return errno == ENOMEM ? sgc_fail_memory(err, text.size, "JSON")
                               : sgc_fail(err, SGC_CORRUPT, "malformed JSON");
    *tree = parsed;
    return SGC_OK;
}
