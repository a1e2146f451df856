/* bucket: see bucket.h. */
#include "base/bucket.h"

#define SECOND 1000000000ull
#define MS     1000000ull

uint32_t bucket_take(uint64_t *full_ns, conf_rate_t rate, uint64_t now_ns) {
    if (rate.per_s == 0)
        return 0;
    uint64_t step = SECOND / rate.per_s;
    uint64_t slack = step * (rate.burst > 1 ? rate.burst - 1 : 0);
    uint64_t full = *full_ns > now_ns ? *full_ns : now_ns;
    if (full - now_ns > slack) {
        uint64_t wait = full - now_ns - slack;
        return (uint32_t)((wait + MS - 1) / MS);
    }
    *full_ns = full + step;
    return 0;
}
