/* pool_plain: the pool of sanitizer builds: plain malloc and free, so that a use after free, a
 * double free and a race on freed memory are seen where they happen; and a free with another size
 * than was asked for ends the process. Any thread. */
#include "base/log.h"
#include "base/pool.h"
#include "base/pool_mode.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if POOL_PLAIN
#include <malloc.h>

static _Atomic int64_t used;

void *pool_alloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p)
        log_die("pool", "out of memory: %zu bytes", size);
    atomic_fetch_add_explicit(&used, (int64_t)size, memory_order_relaxed);
    return p;
}

void *pool_zalloc(size_t size) {
    return memset(pool_alloc(size), 0, size);
}

void pool_free(void *p, size_t size) {
    if (!p)
        return;
    /* the sanitizers tell exactly what was asked for */
    size_t asked = malloc_usable_size(p);
    if (asked != (size ? size : 1))
        log_die("pool", "a block of %zu bytes is freed as one of %zu", asked, size);
    atomic_fetch_sub_explicit(&used, (int64_t)size, memory_order_relaxed);
    free(p);
}

void pool_thread_end(void) {
}

void pool_usage(uint64_t *used_out, uint64_t *cached) {
    *used_out = (uint64_t)atomic_load_explicit(&used, memory_order_relaxed);
    *cached = 0;
}
#endif
