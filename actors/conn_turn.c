/* conn_turn: notifies leave in the order of their requests (PROTOCOL.md section 7.7), though some
 * are known at once (ack, auth) and others wait for an actor or the store (read, presence_sub).
 * Nothing is kept while nothing waits. Inside the connection's actor. */
#include "actors/edge.h"

#define TURNS_MAX 256 /* the socket is not read while so many wait */

typedef struct conn_turn {
    struct conn_turn *next;
    uint32_t number; /* 0: an answer that is ready */
    uint32_t len;
    char *frame; /* NULL: not answered yet, or given up */
    bool over;
} turn_t;

static turn_t *add(conn_t *c) {
    conn_edge_t *x = conn_edge(c);
    turn_t *t = pool_zalloc(sizeof *t);
    if (x->turn_first)
        x->turn_last->next = t;
    else
        x->turn_first = t;
    x->turn_last = t;
    if (++x->turn_count >= TURNS_MAX)
        conn_pause(c, PAUSE_ANSWERS);
    return t;
}

static void keep(turn_t *t, slice_t frame) {
    t->frame = pool_alloc(frame.len);
    memcpy(t->frame, frame.at, frame.len);
    t->len = (uint32_t)frame.len;
    t->over = true;
}

static void drop_first(conn_edge_t *x) {
    turn_t *t = x->turn_first;
    x->turn_first = t->next;
    x->turn_count--;
    pool_free(t->frame, t->len);
    pool_free(t, sizeof *t);
}

static void send_now(conn_t *c, slice_t frame) {
    stat_add(STAT_OUT_NOTIFY, 1);
    conn_text(c, frame);
}

/* What is known from the front on leaves. */
static void send_known(conn_t *c) {
    conn_edge_t *x = c->edge;
    while (x->turn_first && x->turn_first->over) {
        turn_t *t = x->turn_first;
        if (t->frame)
            send_now(c, (slice_t){t->frame, t->len});
        drop_first(x);
    }
    if (x->turn_count < TURNS_MAX / 2)
        conn_resume(c, PAUSE_ANSWERS);
}

void turn_send(conn_t *c, slice_t frame) {
    if (!c->edge || !c->edge->turn_first)
        send_now(c, frame);
    else
        keep(add(c), frame);
}

void conn_notify_ok(conn_t *c, slice_t id, slice_t extra) {
    turn_send(c, frame_notify(c, id, extra));
}

uint32_t conn_notify_later(conn_t *c) {
    turn_t *t = add(c);
    if (++c->edge->turns == 0)
        c->edge->turns = 1;
    return t->number = c->edge->turns;
}

static turn_t *find(conn_t *c, uint32_t turn) {
    turn_t *t = c->edge ? c->edge->turn_first : NULL;
    while (t && t->number != turn)
        t = t->next;
    return t;
}

void conn_notify_turn(conn_t *c, uint32_t turn, slice_t id, slice_t extra) {
    turn_t *t = find(c, turn);
    if (!t)
        return;
    keep(t, frame_notify(c, id, extra));
    send_known(c);
}

void conn_notify_over(conn_t *c, uint32_t turn) {
    turn_t *t = find(c, turn);
    if (!t)
        return;
    t->over = true;
    send_known(c);
}

void turns_free(conn_t *c) {
    while (c->edge->turn_first)
        drop_first(c->edge);
}
