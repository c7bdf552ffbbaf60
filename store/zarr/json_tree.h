/* JSON as cJSON has it: for documents whose numbers doubles can hold. */
#ifndef SGC_JSON_TREE_H
#define SGC_JSON_TREE_H

#include <cjson/cJSON.h>

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

/* Gives the tree of `text`; free with cJSON_Delete(). SGC_CORRUPT when the text is malformed. */
SGC_CHECKED sgc_status sgc_json_parse(sgc_span text, cJSON **tree, sgc_error *err);

SGC_END_C

#endif
