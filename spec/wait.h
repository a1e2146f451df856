/* wait: how the specs wait for what other threads do. A bound is there to end a spec that waits in
 * vain, not to measure: it holds a sanitizer's time and that of a machine that stood still. */
#pragma once
#include "spec/spec.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { WAIT_MS = 60000 };

static inline void nap(void) {
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Does it become so? It is not looked at again once it was true. */
#define COMES(cond)                                                                                \
    __extension__({                                                                                \
        bool spec_so = false;                                                                      \
        for (int spec_i = 0; spec_i < WAIT_MS && !(spec_so = (cond)); spec_i++)                    \
            nap();                                                                                 \
        spec_so;                                                                                   \
    })

/* Does the count come to `least`? */
__attribute__((unused)) static bool wait_for(_Atomic uint64_t *what, uint64_t least) {
    if (COMES(atomic_load(what) >= least))
        return true;
    printf("waited in vain: %llu of %llu\n", (unsigned long long)atomic_load(what),
           (unsigned long long)least);
    return false;
}

/* A CHECK of what becomes true soon. It has to become true by itself: that something else was seen
 * does not say that this has happened too, if another thread does both. */
#define UNTIL(cond) CHECK(COMES(cond))
/* The same of two numbers: a miss tells both. */
#define UNTIL_INT(got, want)                                                                       \
    do {                                                                                           \
        (void)COMES((long long)(got) == (long long)(want));                                        \
        CHECK_INT(got, want);                                                                      \
    } while (0)
