/* chat: what the parts of the messaging mode share: the users and chats of one process. */
#pragma once
#include "wsbench.h"

#define AHEAD   8192 /* seqs that may arrive before a missing one */
#define PENDING 4096 /* unanswered messages of one sender */

typedef struct chat {
    int64_t id;
    int64_t first;  /* latest seq when the run began */
    int64_t latest; /* highest seq that was acknowledged to one of us */
    int64_t acked;  /* messages of ours that were */
    bool open;      /* one was refused or not answered: it may be stored or not */
} chat_t;

typedef struct user {
    client_t ws;   /* must be first: events give it */
    client_t http; /* via http: the sender's own connection */
    uint32_t number;
    int64_t id;
    char *token;
    chat_t *chat;
    bool sender, up;
    uint32_t tries;
    uint64_t retry_ns; /* when it connects again; 0 = not now */
    /* what this device has seen of its chat */
    int64_t have; /* every seq up to here */
    int64_t last_push;
    uint64_t ahead[AHEAD / 64];
    uint32_t unacked_pushes;
    /* what it has sent */
    uint64_t sent, answered;
    uint64_t due_ns[PENDING]; /* when message n was due (open loop) or left (closed) */
    uint64_t next_due_ns;
    bool http_busy, syncing, more;
} user_t;

typedef struct run {
    job_t *job;
    user_t *users;
    chat_t *chats;
    uint32_t count, chat_count;
    json_doc_t *doc;
    char *payload;
    uint64_t nonce;   /* of this run, in every client_msg_id */
    bool sending;     /* closed loop: an answer is followed by the next message */
    uint64_t stop_ns; /* open loop: what is due later is not sent */
} run_t;
extern run_t run;

/* setup.c: logins and chats by HTTP; ends the process's part by job_fail if it cannot. */
void setup_users(void);
void setup_chats(void);

/* seqs.c: the record of seqs of one device. */
bool seqs_mark(user_t *u, int64_t seq); /* false: it was there already */
bool seqs_seen(const user_t *u, int64_t seq);
int64_t seqs_missing(const user_t *u); /* up to the chat's latest */

/* sender.c */
void sender_start(user_t *u, uint64_t now);
void sender_due(uint64_t now);               /* open loop: sends what is due */
uint64_t sender_behind(const user_t *u);     /* open loop: what was due and is not sent yet */
void refusal(const user_t *u, slice_t what); /* notes the first, tells each if verbose */
void sender_answer(user_t *u, slice_t client_msg_id, int64_t seq, bool refused); /* ack or error */
void sender_http_answer(client_t *c, int status, char *body, size_t len);
uint64_t text_hash(const char *at, size_t len);
