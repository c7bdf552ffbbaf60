#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/config.h"
#include "store/icechunk/flex_buffers.h"

/* JSON that can be encoded prints (with its keys sorted) as JSON that is printed the same again. */
static void encode(const void *data, size_t size)
{
    sgc_buffer bytes = {0}, sorted = {0}, again = {0}, same = {0};
    if (sgc_flex_buffers_encode((sgc_span){data, size}, &bytes, NULL) == SGC_OK) {
        demand(sgc_flex_buffers_print(bytes.data, bytes.size, &sorted, NULL) == SGC_OK);
        const sgc_span text = {(char *)sorted.data, sorted.size};
        demand(sgc_flex_buffers_encode(text, &again, NULL) == SGC_OK);
        demand(sgc_flex_buffers_print(again.data, again.size, &same, NULL) == SGC_OK);
        demand(same_bytes(&sorted, &same));
    }
    sgc_buffer_free(&bytes);
    sgc_buffer_free(&sorted);
    sgc_buffer_free(&again);
    sgc_buffer_free(&same);
}

static void print(const uint8_t *data, size_t size)
{
    sgc_buffer json = {0};
    if (sgc_flex_buffers_print(data, size, &json, NULL) == SGC_OK) {
        sgc_span value;
        demand(sgc_json_whole((sgc_span){(char *)json.data, json.size}, &value, NULL) == SGC_OK);
        encode(json.data, json.size);
    }
    sgc_buffer_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sgc_config *config = NULL;
    print(data, size);
    encode(data, size);
    if (sgc_config_parse_flex(data, size, &config, NULL) == SGC_OK)
        sgc_config_free(config);
    return 0;
}
