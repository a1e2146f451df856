/* seqs: which seqs of its chat a device has seen: all up to `have`, and a window of bits above. */
#include "chat.h"

static bool bit(const user_t *u, int64_t seq) {
    uint64_t at = (uint64_t)seq % AHEAD;
    return u->ahead[at / 64] >> (at % 64) & 1;
}

static void set(user_t *u, int64_t seq, bool on) {
    uint64_t at = (uint64_t)seq % AHEAD, mask = 1ull << (at % 64);
    u->ahead[at / 64] = on ? u->ahead[at / 64] | mask : u->ahead[at / 64] & ~mask;
}

bool seqs_seen(const user_t *u, int64_t seq) {
    return seq <= u->have || (seq <= u->have + AHEAD && bit(u, seq));
}

bool seqs_mark(user_t *u, int64_t seq) {
    if (seqs_seen(u, seq))
        return false;
    if (seq > u->have + AHEAD)
        return true; /* too far ahead to note: sync finds it later */
    set(u, seq, true);
    while (bit(u, u->have + 1)) {
        u->have++;
        set(u, u->have, false);
    }
    return true;
}

int64_t seqs_missing(const user_t *u) {
    int64_t missing = 0;
    for (int64_t seq = u->have + 1; seq <= u->chat->latest; seq++)
        missing += !seqs_seen(u, seq);
    return missing;
}
