/* hub_in: what hub.c and hub_push.c share. */
#pragma once
#include "actors/hub.h"
#include "base/hash.h"

/* Where a user has sockets. */
typedef struct place {
    uint64_t workers;
    uint32_t sockets, closing; /* closing: of them; the peer has not closed its side yet */
} place_t;

typedef struct hub {
    hub_table_t *table;
    map_t *users; /* user -> first connection; its worker's thread only */
    actor_ref_t ref;
    uint32_t worker;
} hub_t;

struct hub_table {
    shared_map_t *places;
    uint32_t queue_soft, queue_hard, count;
    hub_t hubs[64];
};

hub_table_t *hub_all(void);
place_t hub_place(int64_t user);

/* VERB_DELIVER; the body is the frame. only: to the sockets of `device` and no others, through
 * their connections' mailboxes, so that it does not overtake an answer. */
typedef struct deliver {
    int64_t skip_user;
    uint32_t count, stat; /* stat_id of the frame's type */
    bool hint, only;
    uint8_t device_len;
    char device[64];
    int64_t users[];
} deliver_t;

/* VERB_KICK. user 0: whoever has the login. */
typedef struct kick {
    int64_t fam, user;
    uint16_t code;
    uint8_t device_len;
    char device[64];
} kick_t;
