/* The regular expressions of a configuration (format guide 12). */
#ifndef SGC_PATTERN_H
#define SGC_PATTERN_H

#include <stdbool.h>

#include "store/error.h"

SGC_BEGIN_C

/* Immutable; any number of threads may match at a time. */
typedef struct sgc_pattern sgc_pattern;

/* Gives (free with sgc_pattern_free()) the expression `text`, which is in the syntax of Rust's
 * crate regex. SGC_UNSUPPORTED when that means something else to the C library, or would be costly.
 */
SGC_CHECKED sgc_status sgc_pattern_new(const char *text, sgc_pattern **out, sgc_error *err);
void sgc_pattern_free(sgc_pattern *pattern);

/* True when some part of `text` matches. */
bool sgc_pattern_matches(const sgc_pattern *pattern, const char *text);

SGC_END_C

#endif
