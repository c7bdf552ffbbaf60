/* Metadata of snapshots: JSON outside, MessagePack or FlexBuffers items in the files (format guide
 * 6). */
#ifndef SGC_METADATA_ITEMS_H
#define SGC_METADATA_ITEMS_H

#include "store/icechunk/codec.h"

#include "store/error.h"

SGC_BEGIN_C

/* Gives, in `arena`, the members of the JSON object `json`, by name. NULL means none. SGC_INVALID
 * when it is no JSON object. */
SGC_CHECKED sgc_status sgc_metadata_items_encode(const char *json, int spec_version,
                                                 sgc_arena *arena, const sgc_metadata_item **items,
                                                 size_t *count, sgc_error *err);

/* Appends the JSON object of the items; a NUL that the size does not count follows it. */
SGC_CHECKED sgc_status sgc_metadata_items_print(const sgc_metadata_item *items, size_t count,
                                                int spec_version, sgc_buffer *out, sgc_error *err);

SGC_END_C

#endif
