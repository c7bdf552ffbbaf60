#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/codec.h"

/* Not written are files of later versions, and what the official library does not bear. */
FUZZ_ROUND_TRIP(round_trip, sgc_repo_info_data, sgc_repo_info_decode, sgc_repo_info_encode, 2, true)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip(data, size);
    return 0;
}
