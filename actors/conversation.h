/* conversation: one keyed actor per conversation (KIND_CONVERSATION, key = its id): members, next
 * seq, who may send, idempotency, group commit of its batch, fan-out, recall, read positions
 * (PROTOCOL.md sections 9, 11). chat and the API for scripts talk to it by the messages below; it
 * answers each request once. In an answer with an error the data is the text for the client,
 * NUL-terminated, or empty (the code's own text). */
#pragma once
#include "actors/verbs.h"
#include "base/conf.h"
#include "port/store.h"
#include "script/script.h"
#include <stdatomic.h>

/* Before runtime_start: operations, policies, registers KIND_CONVERSATION. */
int conversation_setup(runtime_t *rt, const conf_t *conf, store_t *store, script_t *script,
                       char *fault, size_t room);

/* VERB_SEND, a request. Checked by the sender: form and lengths (9.1), content is the ready JSON of
 * `content`. Not checked: everything else (repeat, membership, mutes, blocklist, reply_to). bytes:
 * client_msg_id, device, content. */
typedef struct conversation_send {
    int64_t user, reply_to;
    actor_ref_t conn;  /* the socket it came from; ACTOR_NONE: HTTP */
    uint64_t token;    /* the sender's word for it: comes back in the fan-out */
    uint64_t start_ns; /* when it arrived, for push_seconds */
    uint32_t content_type, cid_len, device_len, content_len;
    bool unruled; /* from the server itself: a member's, but past the send rules (call records) */
    bool no_file; /* the file it names is not there: refused, unless it is a repeat */
    char bytes[];
} conversation_send_t;
/* Its answer. A repeat has what is stored; the message itself may have been recalled since. */
typedef struct conversation_sent {
    int64_t id, seq, at_ms;
    bool repeat;
} conversation_sent_t;

/* VERB_READ, a request; answer: conversation_position_t. read_seq beyond the end is clamped, a
 * lower one changes nothing. */
typedef struct conversation_read {
    int64_t user, read_seq;
    uint32_t device_len;
    char device[];
} conversation_read_t;
typedef struct conversation_position {
    int64_t read_seq, unread;
} conversation_position_t;

/* VERB_RECALL, a request: the facts of the message as the caller has read them from the store.
 * Answer: the change. */
typedef struct conversation_recall {
    int64_t user, message_id, seq, sender, at_ms;
    uint32_t content_type, device_len;
    char device[];
} conversation_recall_t;
typedef struct conversation_recalled {
    int64_t change;
} conversation_recalled_t;

/* VERB_CHANGED, a request without data: answered when the changed facts have been read.
 * VERB_CHANGING, without data and answer, before the write: whatever becomes of the change and of
 * who makes it (its outcome unknown, its script killed, its VERB_CHANGED refused), the facts are
 * read again within CONVERSATION_DOUBT_MS. */
enum { CONVERSATION_DOUBT_MS = 10000 };

/* --- fan-out: VERB_FANOUT from a conversation to each hub with receivers. The body is one block
 * with the ready frames (heads included). Between a conversation and a hub nothing is lost or
 * overtaken; seqs of FANOUT_MESSAGES rise by one over all of them. --- */
typedef struct members {
    _Atomic uint32_t refs;
    uint32_t count;
    int64_t users[]; /* rising */
} members_t;
members_t *members_ref(members_t *m);
void members_unref(members_t *m); /* NULL is fine */

typedef enum fanout_kind { FANOUT_MESSAGES, FANOUT_REVOKED } fanout_kind_t;
typedef struct fanout_item {
    int64_t seq, message_id, sender, at_ms;
    actor_ref_t conn; /* the socket it came from and its word for it: chat acks there, if the answer
                         has not come yet, before it goes on */
    uint64_t token;
    uint32_t at, len;               /* its frame in the block */
    uint32_t device_at, device_len; /* acting device (of user `actor`), in the data behind the
                                       items; len 0 = unknown */
} fanout_item_t;
typedef struct fanout {
    int64_t conversation;
    int64_t actor;     /* FANOUT_REVOKED: who recalled */
    int64_t change;    /* FANOUT_REVOKED */
    uint64_t start_ns; /* arrival of the oldest */
    members_t *members;
    fanout_kind_t kind;
    uint32_t count;
    fanout_item_t items[];
} fanout_t;
/* Whose device acted: the sender's, or of a recall that of `actor`. */
static inline slice_t fanout_device(const fanout_t *f, uint32_t i) {
    return (slice_t){(const char *)(f->items + f->count) + f->items[i].device_at,
                     f->items[i].device_len};
}

/* The wire forms of a message, made in one place. content: JSON. Both append without a trailing
 * comma. */
typedef struct message_row {
    int64_t id, conversation, seq, sender, at_ms, reply_to;
    uint32_t content_type;
    bool recalled;
    slice_t client_msg_id, content;
} message_row_t;
void message_push_json(buf_t *b, const message_row_t *m); /* PushMessage, an object */
void message_item_json(buf_t *b, const message_row_t *m); /* MessageItem (REST), an object */
/* The data of message_revoked, an object. */
void message_revoked_json(buf_t *b, const message_row_t *m, int64_t change, int64_t operator_id,
                          int64_t at_ms);
