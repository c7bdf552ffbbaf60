/* JSON as text. A value is found and read where it stands, so that 64-bit integers stay exact; one
 * value of a document that somebody else wrote is replaced and every other byte stays. */
#ifndef SGC_JSON_TEXT_H
#define SGC_JSON_TEXT_H

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

/* A part of a text; borrows. */
typedef struct sgc_span {
    const char *text;
    size_t size;
} sgc_span;

bool sgc_span_is(sgc_span span, const char *text);

/* How deep the small values of a repository (metadata, configuration) may nest. */
enum { SGC_VALUE_DEPTH = 100 };

/* Finds the one value that `text` is, without the white space around it. SGC_CORRUPT when there is
 * more or less than one. */
SGC_CHECKED sgc_status sgc_json_whole(sgc_span text, sgc_span *value, sgc_error *err);

typedef enum sgc_json_kind {
    SGC_JSON_NULL,
    SGC_JSON_FALSE,
    SGC_JSON_TRUE,
    SGC_JSON_NUMBER,
    SGC_JSON_STRING,
    SGC_JSON_ARRAY,
    SGC_JSON_OBJECT,
} sgc_json_kind;

/* What the value looks like. What is nothing else may be a number: sgc_json_number_parse() tells.
 */
sgc_json_kind sgc_json_kind_of(sgc_span value);

/* Finds the value of `key` in the JSON object `object`. SGC_NOT_FOUND when there is no such key,
 * SGC_CORRUPT when the text up to there is no JSON object. Keys with escapes never match. */
SGC_CHECKED sgc_status sgc_json_find(sgc_span object, const char *key, sgc_span *value,
                                     sgc_error *err);

/* Finds the next element of the JSON array `array`; *position starts at 0. SGC_NOT_FOUND after the
 * last. */
SGC_CHECKED sgc_status sgc_json_next(sgc_span array, size_t *position, sgc_span *element,
                                     sgc_error *err);

/* Finds the next pair of the JSON object `object`, likewise; `key` is a JSON string. */
SGC_CHECKED sgc_status sgc_json_next_pair(sgc_span object, size_t *position, sgc_span *key,
                                          sgc_span *value, sgc_error *err);

/* Counts the elements of a JSON array or the pairs of a JSON object. */
SGC_CHECKED sgc_status sgc_json_count(sgc_span collection, size_t *count, sgc_error *err);

/* Appends `object` with the value of `key` replaced by the JSON text `value`, or with the pair
 * added at the end when the key is not there. */
SGC_CHECKED sgc_status sgc_json_replace(sgc_span object, const char *key, sgc_span value,
                                        sgc_buffer *out, sgc_error *err);

/* Appends `text` as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD. */
SGC_CHECKED sgc_status sgc_json_quote(sgc_buffer *out, const char *text, sgc_error *err);
SGC_CHECKED sgc_status sgc_json_quote_span(sgc_buffer *out, sgc_span text, sgc_error *err);

/* Appends the UTF-8 text that the JSON string `string` means; a NUL that `size` does not count
 * follows it. SGC_CORRUPT when it is no JSON string, has half a surrogate pair or is not UTF-8. */
SGC_CHECKED sgc_status sgc_json_unquote(sgc_span string, sgc_buffer *out, sgc_error *err);

bool sgc_is_utf8(sgc_span text);

SGC_END_C

#endif
