/* chat_sync: what the request of a sync (chat_sync.c) and the making of its answer (chat_part.c)
 * share. */
#pragma once
#include "actors/chat_in.h"

#define SYNC_MESSAGES     1000 /* per answer */
#define SYNC_BYTES        (1024 * 1024)
#define SYNC_CHANGES      1000
#define SYNC_CHANGES_EACH 200
#define SYNC_PAGE         250 /* messages read at once: a page ends with the conversation that fills it */

#define SYNC_SMALL 60 /* the same when texts are large */

/* What the client has of a conversation. */
typedef struct sync_point {
    int64_t conversation, point;
    uint32_t order;
    bool found; /* the user is a member */
} sync_point_t;
typedef struct sync_points {
    sync_point_t *at; /* rising */
    uint32_t count, cap;
} sync_points_t;

/* One conversation of the answer. */
typedef struct sync_row {
    int64_t conversation, latest, change, read_seq;
    int64_t point, last;              /* what the client has; with what it gets here */
    int64_t change_point;             /* `change` when it did not ask */
    uint16_t messages, changes;       /* to be loaded */
    uint32_t changes_at, changes_len; /* in chat_sync.changes_json */
} sync_row_t;

/* One sync_resp that is being filled. */
typedef struct part {
    buf_t messages, more, seqs, latest_changes, unread, reads, changes;
    uint32_t conversations;
    uint8_t id_len;
    char id[64];
} part_t;
void part_free(part_t *p);

typedef struct chat_sync {
    struct chat_sync *next;
    sync_points_t points, changes;
    int64_t limit;
    bool list_only, with_changes, with_messages;
    bool smaller;  /* SYNC_SMALL holds */
    bool full;     /* 1 MiB of messages: no more */
    uint32_t page; /* the first conversation that has not been asked for */
    uint32_t done; /* the first that is in no part */
    uint32_t row_count;
    sync_row_t *rows;
    uint64_t bytes;     /* of messages so far */
    buf_t changes_json; /* of all conversations */
    part_t part;
} chat_sync_t;

sync_point_t *sync_point(const sync_points_t *p, int64_t conversation);
/* Reads the rows of changes. */
void part_take_changes(chat_sync_t *s, store_rows_t *rows);
/* Puts conversations from s->done up to `end` into parts, with the messages of rows (NULL: none);
 * full parts leave. */
void part_rows(conn_t *c, chat_sync_t *s, uint32_t end, store_rows_t *rows);
/* The last part, with `denied`. */
void part_end(conn_t *c, chat_sync_t *s);
