/* Numbers of JSON texts: 64-bit integers stay exact, the host's locale does not matter. */
#ifndef SGC_JSON_NUMBER_H
#define SGC_JSON_NUMBER_H

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_number_kind {
    SGC_NUMBER_UNSIGNED, /* an integer in [0, 2^64) */
    SGC_NUMBER_NEGATIVE, /* an integer in [-2^63, 0) */
    SGC_NUMBER_DOUBLE,   /* all others: 1.0, 1e3, -0, 2^64 */
} sgc_number_kind;

typedef struct sgc_number {
    sgc_number_kind kind;
    union {
        uint64_t positive;
        int64_t negative;
        double real;
    } value;
} sgc_number;

/* SGC_CORRUPT when `value` is not what JSON calls a number, or one beyond the doubles. */
SGC_CHECKED sgc_status sgc_json_number_parse(sgc_span value, sgc_number *number, sgc_error *err);

/* Appends a text that reads as `value`, to the bit, and as no integer; null when it is not finite.
 */
SGC_CHECKED sgc_status sgc_json_print_double(sgc_buffer *out, double value, sgc_error *err);

/* Reads the whole of `text` as strtod() does in the C locale. */
SGC_CHECKED sgc_status sgc_parse_double(sgc_span text, double *value, sgc_error *err);

SGC_END_C

#endif
