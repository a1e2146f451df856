/* pool: memory in size classes with a cache per thread, so that a message allocated in one worker
 * and freed in another costs no lock and goes back to where it is needed. Out of memory ends the
 * process with a log line. Any thread. The size is given back at free: there is no header. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Gives `size` bytes, not zeroed, aligned to 16. Above POOL_MAX it is plain malloc. */
#define POOL_MAX 65536
void *pool_alloc(size_t size);
void *pool_zalloc(size_t size);
/* Takes p (NULL is fine); size is the one that was asked for. */
void pool_free(void *p, size_t size);
/* Gives the calling thread's cache back; a thread calls it before it ends. */
void pool_thread_end(void);
/* Bytes handed out now and bytes held in caches, over all threads; approximate while they run. */
void pool_usage(uint64_t *used, uint64_t *cached);
