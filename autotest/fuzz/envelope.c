#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/envelope.h"

enum { LARGEST_TO_WRAP = 64 * 1024 };

static void wrap_again(sgc_file_kind kind, int version, const sgc_buffer *payload)
{
    sgc_buffer file = {0}, again = {0};
    int found = 0;
    demand(sgc_envelope_wrap(kind, version, payload->data, payload->size, &file, NULL) == SGC_OK);
    demand(sgc_envelope_unwrap(kind, file.data, file.size, &found, &again, NULL) == SGC_OK);
    demand(found == version && same_bytes(payload, &again));
    sgc_buffer_free(&file);
    sgc_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const sgc_file_kind kinds[] = {SGC_FILE_SNAPSHOT, SGC_FILE_MANIFEST,
                                          SGC_FILE_TRANSACTION_LOG, SGC_FILE_REPO_INFO};
    const uint8_t *file = fenced_copy(data, size);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        sgc_buffer payload = {0};
        int version = 0;
        if (sgc_envelope_unwrap(kinds[i], file, size, &version, &payload, NULL) == SGC_OK &&
            payload.size <= LARGEST_TO_WRAP)
            wrap_again(kinds[i], version, &payload);
        sgc_buffer_free(&payload);
    }
    return 0;
}
