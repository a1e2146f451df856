/* chat_in: what the files of chat share. Everything runs in the connection's actor; chat_node_t is
 * read only after the start. */
#pragma once
#include "actors/chat.h"
#include "actors/chat_stream.h"
#include "actors/conversation.h"
#include "actors/edge.h"

enum chat_verb {
    VERB_CHAT_SENT = VERB_CHAT, /* the conversation's answer to a frame; cookie = token */
    VERB_CHAT_POSITION,         /* the same of a read; cookie = turn */
    VERB_CHAT_HTTP_SENT,        /* what an HTTP request waits for; cookie = serial */
    VERB_CHAT_HTTP_MESSAGE,
    VERB_CHAT_HTTP_POSITION,
    VERB_CHAT_HTTP_HISTORY,
    VERB_CHAT_HTTP_ONE,
    VERB_CHAT_HTTP_FACTS,
    VERB_CHAT_HTTP_MEDIA,
    VERB_CHAT_HTTP_RECALLED,
    VERB_CHAT_CLAIMS,     /* acks beyond what this socket knows */
    VERB_CHAT_SAVED,      /* acks are written */
    VERB_CHAT_SYNC,       /* the conversations of a sync */
    VERB_CHAT_SYNC_PAGE,  /* its messages and changes */
    VERB_CHAT_POINTS,     /* where the replay starts */
    VERB_CHAT_REPLAY,     /* messages of the replay */
    VERB_CHAT_RESEND,     /* messages to resend */
    VERB_CHAT_MEDIA,      /* the file of a message */
    VERB_CHAT_RESEND_DUE, /* timers */
    VERB_CHAT_SAVE_DUE,
    VERB_CHAT_REPLAY_DUE,
    VERB_CHAT_IGNORED
};

#define WAITS_MAX 256  /* requests of a socket without answer: then it is not read */
#define LATE_MAX  1024 /* pushes that wait for a replay or an earlier ack, per socket */

/* One per node. */
typedef struct chat_node {
    store_t *store;
    _Atomic uint32_t workers; /* that still run */
    int op_latest, op_before, op_after, op_now, op_one, op_sync_all, op_sync_some, op_ranges,
        op_recalls, op_changes, op_points, op_claim, op_seen, op_save, op_save_own, op_forget_acks,
        op_forget_devices, op_own_send, op_facts, op_readable;
    uint32_t queue_soft, resend_ms, replay_max, replay_total, devices;
} chat_node_t;

/* One per worker, LOCAL_CHAT. */
typedef struct chat_worker {
    chat_node_t *node;
    buf_t out;  /* the frame that is being made */
    buf_t list; /* JSON parameters and contents */
} chat_worker_t;

/* A message as its frame or body asks for it. */
typedef struct chat_draft {
    int64_t conversation, reply_to, type, file; /* file: types 2 to 5 */
    slice_t cid;
    bool no_file; /* the sender may not read it, or there is none */
} chat_draft_t;
/* One that waits for what the store says of its file. */
typedef struct chat_media {
    chat_draft_t draft;
    slice_t id;
    char text[]; /* frame id, client_msg_id */
} chat_media_t;

/* A send whose ack has not left. */
typedef struct chat_send {
    struct chat_send *next;
    uint64_t token, start_ns;
    int64_t conversation, id, seq, at_ms;
    bool done; /* the answer is known, an earlier one is not */
    uint8_t id_len, cid_len;
    char text[]; /* frame id, client_msg_id */
} chat_send_t;

/* A push that waits. */
typedef struct chat_late {
    struct chat_late *next;
    int64_t conversation, seq;
    block_t *block;
    uint64_t start_ns;
    uint32_t at, len;
    bool own, revoked;
} chat_late_t;

/* Acks by rising conversation. */
typedef struct chat_ack {
    int64_t conversation, seq;
} chat_ack_t;
typedef struct chat_acks {
    chat_ack_t *at;
    uint32_t count, cap;
} chat_acks_t;

/* A read frame without answer. */
typedef struct chat_read {
    struct chat_read *next;
    int64_t conversation;
    uint32_t turn;
    uint8_t id_len;
    char id[64];
} chat_read_t;

typedef struct chat {
    chat_stream_t *streams; /* by rising conversation */
    uint32_t stream_count, stream_cap;
    uint32_t behind; /* streams that wait for room */
    uint32_t waits;  /* requests without answer */
    uint32_t syncs;  /* not answered yet */
    uint64_t token;
    chat_send_t *send_first, *send_last;
    chat_read_t *reads;
    chat_late_t *late_first, *late_last;
    uint32_t late_count, late_bytes;
    chat_acks_t acks, saving;     /* to be written; at the store */
    chat_acks_t claims, claiming; /* beyond what this socket knows: to be asked about; asked */
    uint64_t save_timer, resend_timer;
    struct chat_sync *sync_first, *sync_last; /* the first is being answered */
    struct chat_replay *replay;
    chat_media_t *media;       /* the socket is not read meanwhile */
    struct chat_http *http;    /* what the open HTTP request has asked for */
    bool saved_once, at_store; /* acks have been written; are being written */
    bool resend_asked;         /* messages to resend are being read */
} chat_t;

static inline chat_worker_t *chat_here(const actor_t *self) {
    return actor_local(self, LOCAL_CHAT);
}
static inline chat_node_t *chat_node(const conn_t *c) {
    return chat_here(c->self)->node;
}
static inline bool chat_slow(const conn_t *c) {
    return net_queued(c->net) > chat_node(c)->queue_soft;
}
#define CHAT_NONE ((slice_t){NULL, 0})

/* --- chat.c --- */
chat_t *chat_of(conn_t *c);  /* made if there is none */
void chat_forget(conn_t *c); /* gives the state back if nothing is in it */
void chat_wait(conn_t *c);   /* one more request without answer */
void chat_answered(conn_t *c);
/* An empty frame {"type":..,"id":.. in the worker's `out`, and its end. */
buf_t *chat_open(conn_t *c, const char *type, slice_t id);
/* An answer's own text, or NULL. */
const char *chat_text(const msg_t *m);
/* The columns of a message. */
void chat_row(slice_t *row, message_row_t *m);
/* ,[a,b] or ,[a,b,c] into a JSON list that begins with '['. */
void chat_list_add(buf_t *list, int64_t a, int64_t b, int64_t c);

/* --- chat_send.c --- */
void send_frame_message(conn_t *c, const frame_in_t *f);
/* The ready content stands in the worker's list. */
void send_frame_draft(conn_t *c, slice_t id, const chat_draft_t *d);
void send_http_draft(conn_t *c, const chat_draft_t *d);
/* What all messages have; type 1 if absent. */
int draft_read_head(const json_doc_t *doc, json_at_t data, chat_draft_t *d);
void send_answer(conn_t *c, const msg_t *m);
/* A fan-out holds this socket's own message: its ack goes first. */
void send_seen(conn_t *c, int64_t conversation, const fanout_item_t *item);
void send_free(chat_t *ch);

/* --- chat_media.c --- */
void media_frame(conn_t *c, const frame_in_t *f, const chat_draft_t *d);
void media_frame_row(conn_t *c, const msg_t *m);
void media_free(chat_t *ch);
void media_http(conn_t *c, const chat_draft_t *d);
void media_http_row(conn_t *c, const msg_t *m);

/* --- chat_deliver.c --- */
chat_stream_t *stream_find(chat_t *ch, int64_t conversation);
chat_stream_t *stream_make(chat_t *ch, int64_t conversation);
void stream_resync(conn_t *c, int64_t conversation, int64_t from);
/* What waited for this conversation goes on. */
void late_flush(conn_t *c, int64_t conversation);
void late_free(chat_t *ch);
void deliver_room(conn_t *c);
/* One message read from the store, as push of this type with attempt (0: none); a recalled one is
 * followed by its message_revoked. row: what follows the message's columns. */
void push_row(conn_t *c, const char *type, const message_row_t *m, slice_t *row, int attempt);

/* --- chat_ack.c --- */
void ack_frame(conn_t *c, const frame_in_t *f);
void ack_batch(conn_t *c, const frame_in_t *f);
void ack_claimed(conn_t *c, const msg_t *m);
/* The device has acked up to seq, which is not above the latest. */
void ack_apply(conn_t *c, int64_t conversation, int64_t seq);
void ack_note(conn_t *c, int64_t conversation, int64_t seq); /* to be written */
void ack_arm(conn_t *c); /* something is to be written within 5 s */
void ack_due(conn_t *c);
void ack_saved(conn_t *c, const msg_t *m);
/* Hands all that is not written to the inbox. */
void ack_hand_over(conn_t *c);
void ack_free(chat_t *ch);

/* --- chat_resend.c --- */
void resend_arm(conn_t *c);
void resend_due(conn_t *c);
void resend_rows(conn_t *c, const msg_t *m);

/* --- chat_replay.c --- */
void replay_start(conn_t *c);
void replay_points(conn_t *c, const msg_t *m);
void replay_rows(conn_t *c, const msg_t *m);
void replay_go(conn_t *c);
/* Do pushes of this conversation wait? */
bool replay_holds(const chat_t *ch, const chat_stream_t *s);
void replay_free(chat_t *ch);

/* --- chat_sync.c --- */
void sync_frame(conn_t *c, const frame_in_t *f);
void sync_state(conn_t *c, const msg_t *m);
void sync_page(conn_t *c, const msg_t *m);
void sync_free(chat_t *ch);

/* --- chat_read.c --- */
void read_frame(conn_t *c, const frame_in_t *f);
void read_position(conn_t *c, const msg_t *m);
void read_free(chat_t *ch);

/* --- chat_http.c: what an HTTP request has asked for, one at a time per connection --- */
typedef struct chat_http {
    uint32_t serial, size;
    int64_t id, conversation, seq, reply_to; /* id: of the message */
    uint64_t start_ns;
    int64_t limit, content_type;
    bool after;
    uint8_t cid_len;
    uint32_t content_len;
    char text[]; /* client_msg_id, content */
} chat_http_t;
/* Replaces what an earlier request left; NULL: the answer is for one that is over. */
chat_http_t *http_asks(conn_t *c, size_t text);
chat_http_t *http_asked(conn_t *c, uint64_t serial);
void http_done(conn_t *c); /* answered */
void http_forget(chat_t *ch);
/* The conversation's error as the answer. */
void http_refused(conn_t *c, const msg_t *m);
void http_message(conn_t *c, const message_row_t *row); /* answers with a MessageItem */
/* The same with what the store's answer holds; err and fault when it holds none. */
void http_message_row(conn_t *c, const msg_t *m, int err, const char *fault);
/* The whole body as an object in the worker's document; 0: it is none. */
json_at_t http_object(conn_t *c);
uint32_t http_timeout(const conn_t *c);

/* --- chat_send.c, chat_read.c, chat_history.c, chat_recall.c: answers for HTTP --- */
void send_http_answer(conn_t *c, const msg_t *m);
void send_http_row(conn_t *c, const msg_t *m);
void read_http_answer(conn_t *c, const msg_t *m);
void history_rows(conn_t *c, const msg_t *m);
void message_row(conn_t *c, const msg_t *m);
void recall_facts(conn_t *c, const msg_t *m);
void recall_answer(conn_t *c, const msg_t *m);
