#include "store/clock.h"

#include <sys/random.h>
#include <time.h>

uint64_t sgc_clock_now(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

sgc_status sgc_clock_after(uint64_t previous, uint64_t *time, sgc_error *err)
{
    static const uint64_t tolerance = 600 * UINT64_C(1000000);
    const uint64_t now = sgc_clock_now();
    if (previous > now + tolerance)
        return sgc_fail(err, SGC_INVALID,
                        "the last change of the repository lies %llu s in the future: set this "
                        "machine's clock",
                        (unsigned long long)((previous - now) / 1000000));
    *time = now > previous ? now : previous + 1;
    return SGC_OK;
}

void sgc_clock_pause(unsigned attempt)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint32_t)sgc_clock_now();
    const uint32_t most = attempt < 6 ? 2u << attempt : 128; /* milliseconds */
    const uint32_t pause = 1 + random % most;
    nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
}
