/* buf, block: see buf.h. Memory comes from the pool; a buf's owner is one thread, a block's count
 * is atomic. */
#include "base/buf.h"
#include "base/log.h"
#include "base/pool.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#define BUF_MIN 64u
#define BUF_MAX (1u << 30) /* far above every limit of conf: reaching it is a bug of ours */

void buf_free(buf_t *b) {
    pool_free(b->at, b->cap);
    *b = (buf_t){0};
}

void buf_grow(buf_t *b, size_t extra) {
    if (extra > BUF_MAX - b->len)
        log_die("buf", "a buffer of %u bytes asks for %zu more", b->len, extra);
    uint32_t cap = b->cap ? b->cap : BUF_MIN;
    while (cap < b->len + extra)
        cap *= 2;
    char *at = pool_alloc(cap);
    if (b->len)
        memcpy(at, b->at, b->len);
    pool_free(b->at, b->cap);
    b->at = at;
    b->cap = cap;
}

/* Two digits a division. */
void buf_add_int(buf_t *b, int64_t n) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    while (rest >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + rest % 100 * 2, 2);
        rest /= 100;
    }
    if (rest >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + rest * 2, 2);
    } else {
        digits[--at] = (char)('0' + rest);
    }
    if (n < 0)
        buf_add_char(b, '-');
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_addf(buf_t *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *at = buf_room(b, 1);
    size_t room = b->cap - b->len;
    int len = vsnprintf(at, room, format, args);
    if (len < 0)
        log_die("buf", "bad format '%s'", format);
    if ((size_t)len >= room)
        vsnprintf(buf_room(b, (size_t)len + 1), (size_t)len + 1, format, again);
    b->len += (uint32_t)len;
    va_end(again);
    va_end(args);
}

void buf_drop(buf_t *b, size_t n) {
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    if (n == 0)
        return;
    b->len -= (uint32_t)n;
    memmove(b->at, b->at + n, b->len);
}

block_t *block_new(size_t cap) {
    if (cap > BUF_MAX)
        log_die("buf", "a block of %zu bytes", cap);
    block_t *b = pool_alloc(sizeof *b + cap);
    atomic_init(&b->refs, 1);
    b->len = 0;
    b->cap = (uint32_t)cap;
    return b;
}

block_t *block_of(const void *at, size_t len) {
    block_t *b = block_new(len);
    if (len)
        memcpy(b->data, at, len);
    b->len = (uint32_t)len;
    return b;
}

block_t *block_from_buf(buf_t *b) {
    block_t *block = block_of(b->at, b->len);
    buf_free(b);
    return block;
}

block_t *block_ref(block_t *b) {
    /* relaxed: who copies a reference already has one, so the count cannot reach 0 meanwhile */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void block_unref(block_t *b) {
    if (!b)
        return;
    /* release: our reads of the bytes stay before the drop; acquire, for the last one: the free
     * stays behind everybody else's */
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        pool_free(b, sizeof *b + b->cap);
}
