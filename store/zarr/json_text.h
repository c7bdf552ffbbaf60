/* Reading JSON texts, and editing those that somebody else wrote: one value is replaced, every
 * other byte stays, so that numbers and unknown members are not damaged by being parsed and printed
 * anew. */
#ifndef SGC_JSON_TEXT_H
#define SGC_JSON_TEXT_H

#include <cjson/cJSON.h>

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

/* A part of a text; borrows. */
typedef struct sgc_span {
    const char *text;
    size_t size;
} sgc_span;

/* Gives the tree of `text`; free with cJSON_Delete(). SGC_CORRUPT when the text is malformed. */
SGC_CHECKED sgc_status sgc_json_parse(sgc_span text, cJSON **tree, sgc_error *err);

/* Finds the value of `key` in the JSON object `object`. SGC_NOT_FOUND when there is no such key,
 * SGC_CORRUPT when the text up to there is no JSON object. Keys with escapes never match. */
SGC_CHECKED sgc_status sgc_json_find(sgc_span object, const char *key, sgc_span *value,
                                     sgc_error *err);

/* Finds the next element of the JSON array `array`; *position starts at 0. SGC_NOT_FOUND after the
 * last. */
SGC_CHECKED sgc_status sgc_json_next(sgc_span array, size_t *position, sgc_span *element,
                                     sgc_error *err);

/* Appends `object` with the value of `key` replaced by the JSON text `value`, or with the pair
 * added at the end when the key is not there. */
SGC_CHECKED sgc_status sgc_json_replace(sgc_span object, const char *key, sgc_span value,
                                        sgc_buffer *out, sgc_error *err);

/* Appends `text` as a JSON string, quotes included. */
SGC_CHECKED sgc_status sgc_json_quote(sgc_buffer *out, const char *text, sgc_error *err);

SGC_END_C

#endif
