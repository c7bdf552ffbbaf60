/* FlexBuffers of small JSON values: metadata in files of spec 2, the configuration in the
 * repository info (format guide 6, 8.1). */
#ifndef SGC_FLEX_BUFFERS_H
#define SGC_FLEX_BUFFERS_H

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

/* Appends the JSON text `json`, the keys of its objects sorted. SGC_CORRUPT when it is no JSON,
 * nests deeper than SGC_VALUE_DEPTH, or has a key twice or with a NUL. */
SGC_CHECKED sgc_status sgc_flex_buffers_encode(sgc_span json, sgc_buffer *out, sgc_error *err);

/* Appends the value in `bytes` as JSON text. SGC_CORRUPT when an offset leaves the bytes, when
 * there is anything that JSON does not have (blobs), or when shared parts make the text a thousand
 * times as long as the bytes. Numbers that are not finite become null. */
SGC_CHECKED sgc_status sgc_flex_buffers_print(const void *bytes, size_t size, sgc_buffer *out,
                                              sgc_error *err);

SGC_END_C

#endif
