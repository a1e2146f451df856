/* pool: memory in size classes with a cache per thread, so that a message allocated in one worker
 * and freed in another costs no lock and goes back to where it is needed. Out of memory ends the
 * process with a log line. Any thread. The size is given back at free: there is no header. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Gives `size` bytes, not zeroed, aligned to 16. Above POOL_MAX it is plain malloc. */
#define POOL_MAX 65536
void *pool_alloc(size_t size);
void *pool_zalloc(size_t size);
/* Takes p (NULL is fine); size is the one that was asked for. */
void pool_free(void *p, size_t size);
/* For an array that doubles: takes `at`, *cap items of `size` bytes that are all in use, and gives
 * one with room for more (`first` when there was none); *cap is set. */
static inline void *pool_grow(void *at, uint32_t *cap, size_t size, uint32_t first) {
    uint32_t more = *cap ? *cap * 2 : first;
    void *grown = pool_alloc(more * size);
    if (at)
        memcpy(grown, at, *cap * size);
    pool_free(at, *cap * size);
    *cap = more;
    return grown;
}
/* Gives the calling thread's cache back; a thread calls it before it ends. */
void pool_thread_end(void);
/* Bytes handed out now and bytes held in caches, over all threads; approximate while they run. */
void pool_usage(uint64_t *used, uint64_t *cached);
