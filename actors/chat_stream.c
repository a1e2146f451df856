/* chat_stream: see chat_stream.h. */
#include "actors/chat_stream.h"
#include "base/pool.h"
#include <string.h>

static int64_t higher(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void chat_stream_free(chat_stream_t *s) {
    pool_free(s->skips, s->skip_cap * sizeof *s->skips);
    s->skips = NULL;
    s->skip_count = s->skip_cap = 0;
}

/* --- ranges that are no pushes --- */

static void drop_lowest(chat_stream_t *s, uint8_t n) {
    s->skip_count -= n;
    memmove(s->skips, s->skips + n, s->skip_count * sizeof *s->skips);
}

/* What lies below the floor is over. */
static void trim(chat_stream_t *s) {
    uint8_t n = 0;
    while (n < s->skip_count && s->skips[n].to <= s->floor)
        n++;
    if (n)
        drop_lowest(s, n);
    if (s->skip_count && s->skips[0].from <= s->floor)
        s->skips[0].from = s->floor + 1;
    if (s->skip_count == 0)
        chat_stream_free(s);
}

/* Room for one more. At the limit the lowest range goes, and all below it is left to sync. */
static void make_room(chat_stream_t *s) {
    if (s->skip_count == CHAT_STREAM_SKIPS) {
        s->floor = higher(s->floor, s->skips[0].to);
        drop_lowest(s, 1);
    }
    if (s->skip_count < s->skip_cap)
        return;
    uint8_t cap = (uint8_t)(s->skip_cap ? s->skip_cap * 2 : 2);
    chat_stream_skip_t *grown = pool_alloc(cap * sizeof *grown);
    if (s->skip_count)
        memcpy(grown, s->skips, s->skip_count * sizeof *grown);
    pool_free(s->skips, s->skip_cap * sizeof *grown);
    s->skips = grown;
    s->skip_cap = cap;
}

static void skip(chat_stream_t *s, int64_t from, int64_t to, bool own) {
    chat_stream_skip_t *last = s->skip_count ? &s->skips[s->skip_count - 1] : NULL;
    from = higher(from, s->floor + 1);
    if (from > to)
        return;
    if (last && last->own == own && last->to + 1 == from) {
        last->to = to;
        return;
    }
    make_room(s);
    s->skips[s->skip_count++] = (chat_stream_skip_t){from, to, own};
}

/* Own sends count as acked once everything below is. */
static bool advance(chat_stream_t *s) {
    int64_t before = s->acked;
    for (uint8_t i = 0; i < s->skip_count; i++) {
        const chat_stream_skip_t *k = &s->skips[i];
        if (!k->own || k->from > s->acked + 1)
            break;
        s->acked = higher(s->acked, k->to);
    }
    s->floor = higher(s->floor, s->acked);
    trim(s);
    return s->acked > before;
}

/* --- messages --- */

void chat_stream_start(chat_stream_t *s, int64_t start) {
    s->seen = start;
    s->floor = higher(s->acked, start);
}

int64_t chat_stream_unacked(const chat_stream_t *s) {
    int64_t n = s->seen - s->floor;
    for (uint8_t i = 0; i < s->skip_count; i++)
        n -= s->skips[i].to - s->skips[i].from + 1;
    return n > 0 ? n : 0;
}

void chat_stream_leave(chat_stream_t *s, int64_t to) {
    if (to <= s->seen)
        return;
    skip(s, s->seen + 1, to, false);
    s->seen = to;
}

static int own_send(chat_stream_t *s, int64_t seq, int did) {
    skip(s, seq, seq, true);
    s->seen = seq;
    if (advance(s))
        return did | CHAT_STREAM_ACKED;
    s->own_news = true;
    return did;
}

/* 1,000 are unacked: this one and what follows is left to sync. */
static int stop(chat_stream_t *s, int64_t first, int64_t seq, int64_t *from) {
    s->stopped = true;
    s->from = *from = first;
    chat_stream_leave(s, seq);
    return CHAT_STREAM_RESYNC;
}

/* What is pushed or acked while messages are read for a resend ends that round. */
static void begin_anew(chat_stream_t *s) {
    s->attempt = 0;
    s->resending = false;
}

int chat_stream_offer(chat_stream_t *s, int64_t seq, bool own, bool slow, int64_t *from) {
    int did = 0;
    if (s->seen == 0)
        chat_stream_start(s, seq - 1);
    if (seq <= s->seen)
        return 0;
    int64_t first = s->seen + 1;
    if (seq <= s->acked) { /* acked before it came */
        s->seen = seq;
        return 0;
    }
    chat_stream_leave(s, seq - 1);
    if (slow && !own && !s->stopped && !s->behind) {
        s->behind = true;
        s->from = first;
    }
    bool quiet = s->stopped || s->behind; /* the resync to come tells of the gap */
    if (first < seq && !quiet) {
        *from = first;
        did = CHAT_STREAM_RESYNC;
    }
    if (own)
        return own_send(s, seq, did);
    if (quiet) {
        chat_stream_leave(s, seq);
        return 0;
    }
    if (chat_stream_unacked(s) >= CHAT_STREAM_UNACKED)
        return stop(s, first, seq, from);
    s->seen = seq;
    begin_anew(s);
    return did | CHAT_STREAM_PUSH;
}

bool chat_stream_offer_run(chat_stream_t *s, int64_t first, int64_t last) {
    if (s->seen == 0)
        chat_stream_start(s, first - 1);
    if (first != s->seen + 1 || first <= s->acked || s->behind || s->stopped ||
        chat_stream_unacked(s) + (last - first) >= CHAT_STREAM_UNACKED)
        return false;
    s->seen = last;
    begin_anew(s);
    return true;
}

int chat_stream_ack(chat_stream_t *s, int64_t seq, int64_t *from) {
    int did = 0;
    if (seq <= s->acked)
        return 0;
    s->acked = seq;
    begin_anew(s);
    s->floor = higher(s->floor, seq);
    trim(s);
    advance(s);
    did = CHAT_STREAM_ACKED;
    if (s->stopped && chat_stream_unacked(s) < CHAT_STREAM_UNACKED) {
        s->stopped = false;
        *from = s->from;
        did |= CHAT_STREAM_RESYNC;
    }
    return did;
}

/* --- resends --- */

static int64_t resend_floor(const chat_stream_t *s) {
    return higher(s->floor, s->left);
}

static const chat_stream_skip_t *skip_at(const chat_stream_t *s, int64_t seq) {
    for (uint8_t i = 0; i < s->skip_count; i++)
        if (s->skips[i].from <= seq && seq <= s->skips[i].to)
            return &s->skips[i];
    return NULL;
}

/* The lowest seq from `at` on that is no skip. */
static int64_t next_push(const chat_stream_t *s, int64_t at) {
    const chat_stream_skip_t *k;
    while ((k = skip_at(s, at)) != NULL)
        at = k->to + 1;
    return at;
}

bool chat_stream_resends(const chat_stream_t *s) {
    return s->seen > resend_floor(s) && next_push(s, resend_floor(s) + 1) <= s->seen;
}

void chat_stream_resend_range(const chat_stream_t *s, int64_t max, int64_t span, int64_t *from,
                              int64_t *to) {
    int64_t at = *from = next_push(s, resend_floor(s) + 1);
    *to = at;
    for (int64_t n = 0; n < max && at <= s->seen && at < *from + span; n++) {
        *to = at;
        at = next_push(s, at + 1);
    }
}

bool chat_stream_may_resend(const chat_stream_t *s, int64_t seq) {
    return seq > resend_floor(s) && seq <= s->seen && !skip_at(s, seq);
}

void chat_stream_resent(chat_stream_t *s) {
    if (++s->attempt < CHAT_STREAM_ROUNDS)
        return;
    s->attempt = 0;
    s->left = s->seen;
}
