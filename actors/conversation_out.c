/* conversation_out: from a conversation to the hubs. A fan-out is one block of ready frames and one
 * message per worker that has receivers. Each hub gets all fan-outs in order: what a full hub
 * refuses is kept here, with everything behind it for that hub, and goes again after some
 * milliseconds. */
#include "actors/conversation_in.h"
#include "actors/hub.h"
#include "net/frame.h"
#include <assert.h>

enum { RESEND_MS = 5, MANY_MEMBERS = 1024, HEAD = 4, FRAME_GUESS = 320 };

/* --- members --- */

members_t *members_ref(members_t *m) {
    /* Relaxed: who takes a reference has one already. */
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void members_unref(members_t *m) {
    /* acq_rel: the last one frees what the others have read. */
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        pool_free(m, sizeof *m + m->count * sizeof m->users[0]);
}

/* --- building --- */

static fanout_t *head_of(const fan_t *f) {
    return (fanout_t *)f->out->data;
}

fanout_t *fan_begin(fan_t *f, const conv_t *c, fanout_kind_t kind, uint32_t count,
                    uint32_t device_bytes) {
    size_t size = sizeof(fanout_t) + count * sizeof(fanout_item_t) + device_bytes;
    *f = (fan_t){.out = pool_alloc(sizeof *f->out + size)};
    *f->out = (outgoing_t){.size = (uint32_t)size};
    fanout_t *head = head_of(f);
    *head = (fanout_t){
        .conversation = c->id, .members = members_ref(c->members), .kind = kind, .count = count};
    memset(head->items, 0, count * sizeof head->items[0]);
    head->count = 0; /* as they are added */
    f->devices = count * (uint32_t)sizeof(fanout_item_t);
    buf_room(&f->frames, (size_t)count * FRAME_GUESS);
    return head;
}

/* The data behind the items begins where the last item ends: all `count` items are added before the
 * fan-out is sent. */
fanout_item_t *fan_item(fan_t *f, const message_row_t *row, slice_t device) {
    fanout_t *head = head_of(f);
    fanout_item_t *item = &head->items[head->count++];
    *item = (fanout_item_t){.seq = row->seq,
                            .message_id = row->id,
                            .sender = row->sender,
                            .at_ms = row->at_ms,
                            .device_len = (uint32_t)device.len};
    if (device.len)
        memcpy((char *)head->items + f->devices, device.at, device.len);
    item->device_at = f->devices; /* from the first item; made relative to the data in fan_send */
    f->devices += (uint32_t)device.len;
    return item;
}

/* Room for the usual head; a payload that needs another one is moved. */
static void open_frame(fan_t *f, const char *text, size_t len) {
    f->start = f->frames.len;
    buf_room(&f->frames, HEAD);
    f->frames.len += HEAD;
    buf_add(&f->frames, text, len);
}

static void close_frame(fan_t *f, fanout_item_t *item) {
    char head[14];
    buf_add_char(&f->frames, '}');
    uint32_t payload = f->frames.len - f->start - HEAD;
    uint32_t n = (uint32_t)frame_write_head(head, WS_TEXT, true, payload, NULL);
    if (n != HEAD) {
        buf_room(&f->frames, sizeof head);
        char *at = f->frames.at + f->start;
        memmove(at + n, at + HEAD, payload);
        f->frames.len = f->start + n + payload;
    }
    memcpy(f->frames.at + f->start, head, n);
    item->at = f->start;
    item->len = n + payload;
}

void fan_messages_frame(fan_t *f, fanout_item_t *item, const message_row_t *row) {
    static const char text[] = "{\"type\":\"new_message\",\"data\":";
    open_frame(f, text, sizeof text - 1);
    message_push_json(&f->frames, row);
    close_frame(f, item);
}

void fan_revoked_frame(fan_t *f, fanout_item_t *item, const message_row_t *row, int64_t at_ms) {
    static const char text[] = "{\"type\":\"message_revoked\",\"data\":";
    open_frame(f, text, sizeof text - 1);
    message_revoked_json(&f->frames, row, head_of(f)->change, head_of(f)->actor, at_ms);
    close_frame(f, item);
}

/* --- sending --- */

static uint64_t all_workers(const conv_t *c) {
    uint32_t n = runtime_workers(actor_runtime(c->self));
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Workers with sockets of members. A large group has some everywhere: not worth the look-ups. */
static uint64_t receivers(const conv_t *c, const members_t *m) {
    uint64_t all = all_workers(c), found = 0;
    if (m->count > MANY_MEMBERS)
        return all;
    for (uint32_t i = 0; i < m->count && found != all; i++)
        found |= hub_workers(m->users[i]);
    return found;
}

static void free_outgoing(outgoing_t *o) {
    members_unref(((fanout_t *)o->data)->members);
    block_unref(o->frames);
    pool_free(o, sizeof *o + o->size);
}

static void drop_fanout(msg_t *m) {
    members_unref(((fanout_t *)m->data)->members);
}

static int send_to(conv_t *c, const outgoing_t *o, uint32_t worker) {
    msg_t *m = msg_of(VERB_FANOUT, o->data, o->size);
    members_ref(((const fanout_t *)o->data)->members);
    m->drop = drop_fanout;
    m->body = block_ref(o->frames);
    return actor_send(c->self, hub_ref(worker), m);
}

/* Hubs in *blocked have refused something older. */
static void push_out(conv_t *c, outgoing_t *o, uint64_t *blocked) {
    for (uint64_t left = o->workers & ~*blocked; left; left &= left - 1) {
        uint64_t bit = left & -left;
        if (send_to(c, o, (uint32_t)__builtin_ctzll(left)) == ERR_FULL)
            *blocked |= bit;
        else
            o->workers &= ~bit; /* GONE: the node stops */
    }
}

void conv_resend(conv_t *c) {
    uint64_t blocked = 0;
    outgoing_t **at = &c->out_first, *o;
    while ((o = *at)) {
        push_out(c, o, &blocked);
        if (o->workers) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        c->out_count--;
        free_outgoing(o);
    }
    c->out_last = at;
    if (c->out_first && !c->resend_timer)
        c->resend_timer = actor_after(c->self, RESEND_MS, VERB_CONV_RESEND, 0);
}

void fan_send(fan_t *f, conv_t *c) {
    fanout_t *head = head_of(f);
    outgoing_t *o = f->out;
    for (uint32_t i = 0; i < head->count; i++)
        head->items[i].device_at -= head->count * (uint32_t)sizeof(fanout_item_t);
    assert(sizeof(fanout_t) + f->devices <= o->size);
    o->workers = receivers(c, head->members);
    o->frames = block_from_buf(&f->frames);
    buf_free(&f->frames);
    *c->out_last = o;
    c->out_last = &o->next;
    c->out_count++;
    if (!c->resend_timer) /* else it waits its turn */
        conv_resend(c);
}

void conv_out_free(conv_t *c) {
    while (c->out_first) {
        outgoing_t *o = c->out_first;
        c->out_first = o->next;
        free_outgoing(o);
    }
}
