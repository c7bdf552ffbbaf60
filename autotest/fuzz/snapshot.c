#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/codec.h"

/* What only version 2 can say is refused, or lost. */
FUZZ_ROUND_TRIP(as_version_1, sgc_snapshot_data, sgc_snapshot_decode, sgc_snapshot_encode, 1, true)
FUZZ_ROUND_TRIP(as_version_2, sgc_snapshot_data, sgc_snapshot_decode, sgc_snapshot_encode, 2, false)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_version_1(data, size);
    as_version_2(data, size);
    return 0;
}
