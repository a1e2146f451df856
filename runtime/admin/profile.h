/* profile: where CPU time goes and who holds memory, in the format of the pprof tool.
 *
 * CPU: while a profile runs, the kernel's ITIMER_PROF sends SIGPROF after each 10 ms of CPU time
 * that the process used, to a thread that runs; the handler keeps its stack and the class of the
 * actor that ran. Heap: each thread notes the stack of one allocation in about 512 KiB, always;
 * freed ones go again. Not in sanitizer builds, whose allocator is not ours to take over. Memory
 * that the pool keeps is charged to who made it grow. */
#pragma once
#include "base/buf.h"

/* One at a time in the process. ERR_BUSY: one is running; ERR_IO: the system gives no timer. Any
 * thread. */
int profile_cpu_start(void);
/* Ends it and appends the profile; some milliseconds: not on a worker. The thread that started it,
 * or one that is ordered after it. */
void profile_cpu_end(buf_t *out);
/* Some milliseconds too; any thread. */
void profile_heap(buf_t *out);
