/* The member "codecs" of zarr.json. */
#ifndef SGC_CODEC_METADATA_H
#define SGC_CODEC_METADATA_H

#include <cjson/cJSON.h>

#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* The name of an extension: it stands alone, or in an object beside its configuration. "" where
 * there is none; borrows. */
const char *sgc_extension_name(const cJSON *extension);

/* Reads the pipeline of an array of items of `type` with `dimension_count` axes. Where a
 * configuration says nothing, it is as zarr-python has it. SGC_UNSUPPORTED names the codec. */
SGC_CHECKED sgc_status sgc_codecs_parse(const cJSON *list, sgc_data_type type,
                                        size_t dimension_count, sgc_codecs *out, sgc_error *err);

/* Appends the list. */
SGC_CHECKED sgc_status sgc_codecs_print(const sgc_array_metadata *metadata, sgc_buffer *out,
                                        sgc_error *err);

SGC_END_C

#endif
