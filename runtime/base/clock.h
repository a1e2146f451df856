/* clock: the only file that asks the system for time. Everything above takes time from its runtime,
 * which takes it from here or from a logical clock. Any thread. */
#pragma once
#include <stdint.h>

uint64_t clock_mono_ns(void);   /* CLOCK_MONOTONIC */
uint64_t clock_thread_ns(void); /* CPU time of the calling thread; a system call */
/* What another thread has used of a CPU: it gives its number, anyone asks by it. 0: it has ended.
 */
int clock_thread_id(void);
uint64_t clock_of_thread_ns(int id);
int64_t clock_wall_ms(void); /* unix time in ms */
uint64_t clock_ticks(void);  /* rdtsc where there is one, else mono: for accounts, a few ns */
double clock_ticks_per_us(void);
