/* clock: the system's time. */
#include "base/clock.h"
#include "spec/spec.h"
#include <time.h>

SPEC("never goes back") {
    uint64_t last = clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_mono_ns();
        CHECK(now >= last);
        last = now;
    }
}

SPEC("tells unix time in ms") {
    int64_t s = time(NULL);
    CHECK(clock_wall_ms() >= s * 1000);
    CHECK(clock_wall_ms() < (s + 60) * 1000);
}

SPEC("ticks at the rate it tells") {
    double per_us = clock_ticks_per_us();
    CHECK(per_us >= 1);
    bool right = false;
    for (int i = 0; i < 20 && !right; i++) { /* again when it was held up between the two */
        uint64_t ns = clock_mono_ns(), ticks = clock_ticks();
        while (clock_mono_ns() - ns < 5000000)
            continue;
        double us = (double)(clock_mono_ns() - ns) / 1000,
               by_ticks = (double)(clock_ticks() - ticks) / per_us;
        right = by_ticks > us * 0.9 && by_ticks < us * 1.1;
    }
    CHECK(right);
}

SPEC_MAIN
