/* MessagePack of small JSON values: commit metadata of spec 1 files (format guide 6). */
#ifndef SGC_MESSAGE_PACK_H
#define SGC_MESSAGE_PACK_H

#include <cjson/cJSON.h>

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

SGC_CHECKED sgc_status sgc_message_pack_encode(const cJSON *value, sgc_buffer *out, sgc_error *err);

SGC_END_C

#endif
