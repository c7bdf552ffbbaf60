/* YAML as JSON text: config.yaml in the form that the configuration of spec 2 has (format guide
 * 7.3, 8.1). */
#ifndef SGC_YAML_TEXT_H
#define SGC_YAML_TEXT_H

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

/* Appends the one document in `yaml` as JSON text; an empty one is null. A tag of the document's
 * own becomes an object of one member: `!Axis 0` is {"Axis":0}. Anchors are expanded; merge keys
 * mean nothing. SGC_CORRUPT, naming the line, when it is no YAML, has keys that are no scalars,
 * nests deeper than SGC_VALUE_DEPTH, or is larger than any configuration. */
SGC_CHECKED sgc_status sgc_yaml_print_json(sgc_span yaml, sgc_buffer *out, sgc_error *err);

SGC_END_C

#endif
