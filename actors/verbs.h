/* verbs: the message verbs of parley's own actors, the kinds of keyed actors, the well-known names
 * and the worker-local slots. */
#pragma once
#include "sched/msg.h"

enum actor_kind { KIND_CONVERSATION = 1, KIND_INBOX = 2 };
enum local_slot { LOCAL_HUB = 0, LOCAL_POLICY = 1, LOCAL_NET = 2, LOCAL_APP = 3, LOCAL_CHAT = 4 };

enum verb {
    /* to a conversation actor (key = conversation id) */
    VERB_SEND = MSG_USER, /* request: store a message */
    VERB_RECALL,          /* request */
    VERB_READ,            /* request: move a read position */
    VERB_CHANGING,        /* from group/contact rules: they are about to change facts */
    VERB_CHANGED, /* from group/contact rules: facts changed in the store: read them again, then
                     push */
    /* to an inbox actor (key = user id) */
    VERB_ATTACH, /* request from conn: a device connects */
    VERB_DETACH,
    VERB_ACKED,     /* a conn hands over the acks of its device; saved by the inbox */
    VERB_NOTIFY,    /* a ready frame for a user's devices */
    VERB_SUBSCRIBE, /* presence */
    VERB_UNSUBSCRIBE,
    /* to a hub (one per worker, pinned) */
    VERB_FANOUT, /* messages of one conversation to everybody on this worker who should have them */
    VERB_DELIVER, /* a ready frame to named users' sockets on this worker */
    VERB_KICK,    /* close sockets of a user, device or login */
    VERB_CONNS,   /* request of the console: list sockets (console_conn.h) */
    /* to a conn */
    VERB_REPLY, /* any answer a conn waits for; the cookie says which */
    VERB_TICK,
    VERB_PRESENCE,
    VERB_SAVE, /* request of the inbox: hand over the acks of your device now */
    /* the edge's own answers and timers (edge.h) */
    VERB_EDGE = MSG_USER + 100,
    /* everything from here on that reaches a conn goes to chat_message */
    VERB_CHAT = MSG_USER + 200
};
