/* Members of a JSON document that somebody writes by hand: what is wrong is said with the place
 * where it stands. */
#ifndef SGC_JSON_MEMBER_H
#define SGC_JSON_MEMBER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/error.h"

SGC_BEGIN_C

/* Where in a document something is: a JSON pointer. */
typedef struct sgc_place {
    const char *document; /* its name; borrows */
    char pointer[160];
} sgc_place;

/* The place of a member of the object, or of an element of the list, at `parent`. */
sgc_place sgc_place_member(const sgc_place *parent, const char *key);
sgc_place sgc_place_element(const sgc_place *parent, size_t index);

/* As sgc_fail(), with the document and the pointer before the message. */
sgc_status sgc_fail_at(const sgc_place *at, sgc_status status, sgc_error *err, const char *format,
                       ...) SGC_PRINTF(4, 5);

/* All functions below take an object that stands at `at`. */

/* NULL when there is none. */
const cJSON *sgc_json_member(const cJSON *object, const char *key);

/* True when `word` is in the NULL-terminated list. */
bool sgc_is_listed(const char *word, const char *const *words);

/* SGC_INVALID for the first key that is not `known`, unless a prefix of somebody else's stands
 * before it. */
SGC_CHECKED sgc_status sgc_json_check_keys(const cJSON *object, const char *const *known,
                                           const sgc_place *at, sgc_error *err);

/* Gives (free with free()) a copy of a text; leaves `*out` where there is none that must be. */
SGC_CHECKED sgc_status sgc_json_get_text(const cJSON *object, const char *key, bool required,
                                         const sgc_place *at, char **out, sgc_error *err);

/* The values that stay as they are when the member is absent: a finite number, an integer in
 * [least, most], true or false, and the position of a text in `words` (NULL-terminated). */
SGC_CHECKED sgc_status sgc_json_get_number(const cJSON *object, const char *key,
                                           const sgc_place *at, double *out, sgc_error *err);
SGC_CHECKED sgc_status sgc_json_get_integer(const cJSON *object, const char *key, int least,
                                            int most, const sgc_place *at, int *out,
                                            sgc_error *err);
SGC_CHECKED sgc_status sgc_json_get_bool(const cJSON *object, const char *key, const sgc_place *at,
                                         bool *out, sgc_error *err);
SGC_CHECKED sgc_status sgc_json_get_choice(const cJSON *object, const char *key,
                                           const char *const *words, const sgc_place *at, int *out,
                                           sgc_error *err);

/* Reads `count` finite numbers from the list `item`, which stands at `at` itself. */
SGC_CHECKED sgc_status sgc_json_get_numbers(const cJSON *item, size_t count, const sgc_place *at,
                                            double *out, sgc_error *err);

SGC_END_C

#endif
