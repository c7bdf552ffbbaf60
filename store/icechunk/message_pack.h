/* MessagePack of small JSON values: metadata in files of spec 1 (format guide 6). */
#ifndef SGC_MESSAGE_PACK_H
#define SGC_MESSAGE_PACK_H

#include "store/zarr/json_text.h"

#include "store/error.h"

SGC_BEGIN_C

/* Appends the JSON text `json`, each value in its shortest form. SGC_CORRUPT when it is no JSON or
 * nests deeper than SGC_VALUE_DEPTH. */
SGC_CHECKED sgc_status sgc_message_pack_encode(sgc_span json, sgc_buffer *out, sgc_error *err);

/* Appends the value in `bytes` as JSON text. SGC_CORRUPT when there is more or less than one value,
 * or anything that JSON does not have: bin, ext, keys that are no strings. Numbers that are not
 * finite become null. */
SGC_CHECKED sgc_status sgc_message_pack_print(const void *bytes, size_t size, sgc_buffer *out,
                                              sgc_error *err);

SGC_END_C

#endif
