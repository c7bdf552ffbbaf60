#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/message_pack.h"

/* What prints as JSON is encoded and prints the same again. */
static void print(const uint8_t *data, size_t size)
{
    sgc_buffer json = {0}, bytes = {0}, again = {0};
    if (sgc_message_pack_print(data, size, &json, NULL) == SGC_OK) {
        const sgc_span text = {(char *)json.data, json.size};
        demand(sgc_message_pack_encode(text, &bytes, NULL) == SGC_OK);
        demand(sgc_message_pack_print(bytes.data, bytes.size, &again, NULL) == SGC_OK);
        demand(same_bytes(&json, &again));
    }
    sgc_buffer_free(&json);
    sgc_buffer_free(&bytes);
    sgc_buffer_free(&again);
}

/* What is encoded prints as JSON that is encoded the same. */
static void encode(const uint8_t *data, size_t size)
{
    sgc_buffer bytes = {0}, json = {0}, again = {0};
    if (sgc_message_pack_encode((sgc_span){(const char *)data, size}, &bytes, NULL) == SGC_OK) {
        demand(sgc_message_pack_print(bytes.data, bytes.size, &json, NULL) == SGC_OK);
        const sgc_span text = {(char *)json.data, json.size};
        demand(sgc_message_pack_encode(text, &again, NULL) == SGC_OK);
        demand(same_bytes(&bytes, &again));
    }
    sgc_buffer_free(&json);
    sgc_buffer_free(&bytes);
    sgc_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    print(data, size);
    encode(data, size);
    return 0;
}
