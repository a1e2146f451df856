/* chat_stream: what one socket has been given of one conversation and what it has acked: decides
 * for each message whether it is pushed, skipped, held back or announced by a resync
 * (PROTOCOL.md 9.4). Plain data without sockets or time of its own; chat owns and drives it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAT_STREAM_UNACKED 1000 /* so many pushes unacked: no more until an ack makes room */
#define CHAT_STREAM_ROUNDS  3    /* resends of the same messages */
#define CHAT_STREAM_SKIPS   32   /* ranges kept of what was not pushed */

/* Seqs above `floor` that are no pushes: own sends, or what was left to sync. */
typedef struct chat_stream_skip {
    int64_t from, to;
    bool own;
} chat_stream_skip_t;

typedef struct chat_stream {
    int64_t conversation;
    int64_t seen;  /* the highest seq dealt with: pushed, own, or left to sync; 0 = not started */
    int64_t floor; /* up to here nothing waits for an ack on this socket */
    int64_t acked; /* what the device is known to have acked */
    int64_t left;  /* up to here nothing is resent */
    int64_t from;  /* behind or stopped: the first seq that was not pushed */
    int64_t lost_from, lost_to; /* the first of any kind, and the highest push, that did not fit the
                                   list of those that wait; 0 = none */
    uint64_t last_ns;           /* of the last push or resend */
    chat_stream_skip_t *skips;  /* rising */
    uint16_t held_acks;         /* acks of own sends that wait for an earlier one */
    uint8_t skip_count, skip_cap;
    uint8_t attempt;  /* rounds of resends so far */
    bool behind;      /* the socket was slow: a resync is due once there is room */
    bool stopped;     /* CHAT_STREAM_UNACKED */
    bool own_news;    /* skips holds own sends that the store has not been told */
    bool replaying;   /* its replay is not over: pushes wait */
    bool lost_recall; /* recalls did not fit either */
    bool resending;   /* its messages are being read; false again: what is read is not wanted */
} chat_stream_t;

enum chat_stream_do {
    CHAT_STREAM_PUSH = 1,   /* push it */
    CHAT_STREAM_RESYNC = 2, /* first a resync with *from */
    CHAT_STREAM_ACKED = 4   /* `acked` has risen */
};

void chat_stream_free(chat_stream_t *s); /* its insides */

/* A message is there for this socket. own: its device sent it; slow: no push fits now. Gives a set
 * of enum chat_stream_do. */
int chat_stream_offer(chat_stream_t *s, int64_t seq, bool own, bool slow, int64_t *from);
/* Messages first..last of other devices are there, and pushes fit. true: all of them are to be
 * pushed and count as offered. false: each is offered by itself. */
bool chat_stream_offer_run(chat_stream_t *s, int64_t first, int64_t last);
/* The device says that it has everything up to seq (not above the conversation's latest). Gives
 * CHAT_STREAM_ACKED, CHAT_STREAM_RESYNC. */
int chat_stream_ack(chat_stream_t *s, int64_t seq, int64_t *from);
/* Everything between `seen` and `to` is left to sync. */
void chat_stream_leave(chat_stream_t *s, int64_t to);
/* The stream of a socket that has everything up to `start` and begins there. */
void chat_stream_start(chat_stream_t *s, int64_t start);

/* Pushes that were not acked. */
int64_t chat_stream_unacked(const chat_stream_t *s);
/* Is there something to resend? */
bool chat_stream_resends(const chat_stream_t *s);
/* The range that holds the `max` lowest of them, and at most `span` seqs. */
void chat_stream_resend_range(const chat_stream_t *s, int64_t max, int64_t span, int64_t *from,
                              int64_t *to);
/* Was this seq pushed here, is it unacked and may be resent? */
bool chat_stream_may_resend(const chat_stream_t *s, int64_t seq);
/* A round of resends is out. */
void chat_stream_resent(chat_stream_t *s);
