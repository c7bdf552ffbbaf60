/* The regular expressions of a configuration (format guide 12).
 *
 * PCRE2 knows the syntax of the library's own (Rust's crate regex) but for rare corners, and its
 * limits make hostile ones harmless; the C library's regcomp() can take minutes for 15 characters.
 */
#ifndef SGC_PATTERN_H
#define SGC_PATTERN_H

#include <stdbool.h>

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

/* Immutable; any number of threads may match at a time. */
typedef struct sgc_pattern sgc_pattern;

/* Gives (free with sgc_pattern_free()) the regular expression `text`. SGC_UNSUPPORTED when it is
 * none. */
SGC_CHECKED sgc_status sgc_pattern_new(sgc_span text, sgc_pattern **out, sgc_error *err);
void sgc_pattern_free(sgc_pattern *pattern);

/* True when a part of `text` matches; false also when that is too costly to tell. */
bool sgc_pattern_matches(const sgc_pattern *pattern, const char *text);

SGC_END_C

#endif
