#include "autotest/fuzz/fuzz.h"

#include "store/zarr/json_text.h"
#include "store/zarr/metadata.h"

/* Prints with the fill value that `json` has. */
static sgc_buffer print(const sgc_array_metadata *metadata, const char *json, size_t size)
{
    sgc_span span;
    sgc_buffer fill_value = {0}, out = {0};
    demand(sgc_json_find((sgc_span){json, size}, "fill_value", &span, NULL) == SGC_OK);
    demand(sgc_buffer_print(&fill_value, NULL, "%.*s", (int)span.size, span.text) == SGC_OK);
    demand(sgc_array_metadata_print(metadata, (char *)fill_value.data, "{}", &out, NULL) == SGC_OK);
    sgc_buffer_free(&fill_value);
    return out;
}

/* What is understood is printed, understood again, and printed the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)fenced_copy(data, size);
    sgc_array_metadata first, second;
    if (sgc_array_metadata_parse(json, size, &first, NULL) != SGC_OK)
        return 0;
    sgc_buffer once = print(&first, json, size);
    demand(sgc_array_metadata_parse((char *)once.data, once.size, &second, NULL) == SGC_OK);
    sgc_buffer twice = print(&second, (char *)once.data, once.size);
    demand(same_bytes(&once, &twice));
    demand(first.chunk_bytes == second.chunk_bytes);
    demand(memcmp(first.fill_value, second.fill_value, sizeof first.fill_value) == 0);
    sgc_array_metadata_clear(&first);
    sgc_array_metadata_clear(&second);
    sgc_buffer_free(&once);
    sgc_buffer_free(&twice);
    return 0;
}
