/* first_read: what a node must know before it lets anybody in: which logins are revoked, which
 * users disabled. Read from the store one after the other, page by page, by the first worker's
 * sweeper (conn_live.c), in its turn; a read that fails is tried again, so that a store that is
 * slow to come does not end the node. Until both are there /readyz says not ready and nobody is let
 * in. */
#pragma once
#include "actors/edge.h"

enum {
    FIRST_READ_TRIES = 8,        /* of one read; then the node gives up */
    FIRST_READ_WAIT_MS = 100,    /* after the first one that failed; then twice as long each, .. */
    FIRST_READ_WAIT_MOST = 5000, /* .. up to this: 11 s in all, beside what the reads take */
    FIRST_READ_TIMEOUT_MS = 30000,
    FIRST_READ_PAGE = 100000 /* rows of one read: at most 3 MiB of the 16 that an answer may have */
};

typedef struct first_read { /* zeroed: nothing has been tried */
    uint32_t tries;         /* of the page that is under way */
    bool logins;            /* they are there */
    int64_t since, after;   /* the last row that is there: when it was revoked, its id */
} first_read_t;

void first_read_begin(first_read_t *r, actor_t *self, edge_t *e);
/* VERB_LOADED, VERB_LOADED_INACTIVE, VERB_LOAD_AGAIN. ERR_OK: it goes on or is done (e->loaded);
 * else why the last try failed: the caller ends the process. */
int first_read_message(first_read_t *r, actor_t *self, edge_t *e, const msg_t *m);
