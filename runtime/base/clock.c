/* clock: see clock.h. Any thread. */
#include "base/clock.h"
#include <pthread.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

uint64_t clock_mono_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int clock_thread_id(void) {
    clockid_t id;
    return pthread_getcpuclockid(pthread_self(), &id) ? 0 : (int)id;
}

uint64_t clock_of_thread_ns(int id) {
    struct timespec t;
    if (id == 0 || clock_gettime((clockid_t)id, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int64_t clock_wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#if defined(__x86_64__)
#define CALIBRATE_NS 2000000u /* shorter than this the two clocks cannot be compared well */

static uint64_t start_ticks, start_ns;
static double per_us;
static pthread_once_t calibrated = PTHREAD_ONCE_INIT;

/* Both clocks at one moment: again when the thread was held up between them. */
static void read_both(uint64_t *ns, uint64_t *ticks) {
    enum { TRIES = 100, MOMENT_NS = 1000 };
    for (int i = 0; i < TRIES; i++) {
        *ns = clock_mono_ns();
        *ticks = __rdtsc();
        if (clock_mono_ns() - *ns < MOMENT_NS)
            return;
    }
}

__attribute__((constructor)) static void start(void) {
    read_both(&start_ns, &start_ticks);
}

/* Usually the process is older than 2 ms by now and nothing is waited for. */
static void calibrate(void) {
    uint64_t now, ticks;
    do
        read_both(&now, &ticks);
    while (now - start_ns < CALIBRATE_NS);
    per_us = (double)(ticks - start_ticks) * 1000.0 / (double)(now - start_ns);
}

uint64_t clock_ticks(void) {
    return __rdtsc();
}

double clock_ticks_per_us(void) {
    pthread_once(&calibrated, calibrate);
    return per_us;
}
#else
uint64_t clock_ticks(void) {
    return clock_mono_ns();
}

double clock_ticks_per_us(void) {
    return 1000.0;
}
#endif
