/* chat: what one socket or HTTP request does with messages: send, ack, sync, read, history, recall;
 * replay on connect, resend, the stream of pushes per conversation and its rules (PROTOCOL.md
 * sections 8, 9, 11). Runs in the connection's actor. */
#pragma once
#include "actors/conn.h"
#include "port/store.h"
#include "script/script.h"

/* Once, before runtime_start: looks up operations; sets up the conversations too
 * (conversation_setup). */
int chat_setup(runtime_t *rt, const conf_t *conf, store_t *store, script_t *script, char *fault,
               size_t room);

/* Frames message, ack, batch_ack, sync, read. false: not one of these types. */
bool chat_frame(conn_t *c, const frame_in_t *f);
/* Rows 41 to 44 and 64; answers by conn_http_ok / conn_http_error, now or later. */
void chat_http_send(conn_t *c);
void chat_http_complete(conn_t *c);                /* row 48: to the rules first */
void chat_http_completed(conn_t *c, slice_t json); /* what they said */
void chat_http_history(conn_t *c);
void chat_http_message(conn_t *c);
void chat_http_read(conn_t *c);
void chat_http_recall(conn_t *c);

void chat_welcomed(conn_t *c, bool replay); /* right after the welcome was queued and hub_join */
void chat_closed(conn_t *c);                /* frees c->chat; acks are kept */
void chat_room(conn_t *c);                  /* net's room callback */
/* A message with a verb of chat's (VERB_CHAT_*) for this connection. */
void chat_message(conn_t *c, msg_t *m);

/* In the user's inbox: writes the acks that a connection handed over (VERB_ACKED). */
void chat_save_acks(actor_t *inbox, const msg_t *m, uint32_t reply_verb);

/* A batch of committed messages of one conversation on its way to the sockets of this worker,
 * called by the hub: what is the same for all sockets is looked up once and counted once. Begin,
 * deliver to each, end, within one message of the hub. */
typedef struct chat_fanout {
    const struct fanout *f; /* both borrowed */
    block_t *frames;
    uint64_t now_ns;
    uint32_t queue_soft;
    uint32_t run_len; /* bytes of all frames, if they leave as one piece; else 0 */
    int64_t sender;   /* of all messages; 0: of several */
    uint32_t runs;    /* sockets that got the whole piece */
} chat_fanout_t;
void chat_fanout_begin(chat_fanout_t *x, actor_t *hub, const struct fanout *f, block_t *frames);
void chat_deliver(conn_t *c, chat_fanout_t *x);
void chat_fanout_end(const chat_fanout_t *x);
