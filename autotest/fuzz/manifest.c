#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/codec.h"

FUZZ_ROUND_TRIP(as_version_1, sgc_manifest_data, sgc_manifest_decode, sgc_manifest_encode, 1, false)
FUZZ_ROUND_TRIP(as_version_2, sgc_manifest_data, sgc_manifest_decode, sgc_manifest_encode, 2, false)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_version_1(data, size);
    as_version_2(data, size);
    return 0;
}
