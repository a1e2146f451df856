/* wait: how the specs of the scheduler wait for a count that other threads move. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline void nap(void) {
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* true: it has come to `least` within 20 s, a sanitizer's and a busy machine's time included. */
static inline bool wait_for(_Atomic uint64_t *what, uint64_t least) {
    for (int i = 0; i < 20000 && atomic_load(what) < least; i++)
        nap();
    return atomic_load(what) >= least;
}
