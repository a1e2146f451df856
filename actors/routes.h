/* routes: the table of PROTOCOL.md section 6: which path and method is answered where, by whom, who
 * may ask. The matcher knows nothing of connections. Constant data, any thread. */
#pragma once
#include "base/slice.h"
#include "net/http.h"
#include <stdint.h>

enum listener { LISTEN_HTTP = 0, LISTEN_WS = 1 };
enum { ON_HTTP = 1 << LISTEN_HTTP, ON_WS = 1 << LISTEN_WS };

typedef enum route_auth { AUTH_NONE, AUTH_TOKEN, AUTH_GUARD, AUTH_LINK } route_auth_t;

/* Who answers: a Lua service, or one of our own C functions (conn_http.c knows them). */
typedef enum route_run {
    RUN_LUA,
    RUN_SEND,
    RUN_HISTORY,
    RUN_MESSAGE,
    RUN_READ,
    RUN_RECALL,
    RUN_PRESENCE,
    RUN_COMPLETE, /* a Lua verb, then a send */
    RUN_FILE,
    RUN_BLOB, /* a file's bytes, in or out */
    RUN_HEALTH,
    RUN_READY,
    RUN_STATS,
    RUN_METRICS,
    RUN_DEBUG,
    RUN_OPENAPI,
    RUN_SWAGGER,
    RUN_SOCKET,
    RUN_ECHO
} route_run_t;

/* What serialises the requests of a Lua verb. */
typedef enum route_key {
    KEY_USER,         /* the caller */
    KEY_NAME,         /* the user name in the body */
    KEY_PHONE,        /* the phone in the body */
    KEY_LOGIN,        /* the login of the refresh token in the body */
    KEY_PAIR_TARGET,  /* caller and body target_user_id */
    KEY_PAIR_USER,    /* caller and body user_id */
    KEY_PAIR_PATH,    /* caller and the id in the path */
    KEY_CONVERSATION, /* the id in the path */
    KEY_FILE,         /* the file in the path, else in the body: large ones hold up no others */
    KEY_NEW           /* row 23: the pair of a single chat, else the caller */
} route_key_t;

enum route_flag {
    ROUTE_BARE = 1,   /* the body of the answer is what Lua returned, no envelope */
    ROUTE_ETAG = 2,   /* the answer has an ETag and may be cached privately */
    ROUTE_LOGIN = 4,  /* counts against limits.auth_addr */
    ROUTE_FREE = 8,   /* no address limit (operations) */
    ROUTE_BELOW = 16, /* and everything below the path */
};

typedef struct route {
    uint8_t row; /* of section 6; 0 = none */
    uint8_t listeners;
    uint8_t method; /* http_method_t */
    uint8_t auth, run, key, flags;
    const char *path; /* segments; {id} takes any */
    const char *service, *verb;
    const char *id_text[2]; /* the text of a bad id, in order of the segments */
    const char *title;      /* for the API page */
    const char *body; /* keys of the request body or query, for the API page: "name:type?" separated
                         by blanks */
    const char *data; /* the name of what stands under data, for the API page */
    const char *errors; /* error codes of its own, separated by blanks, for the API page */
} route_t;

#define ROUTE_IDS 2
typedef struct route_match {
    const route_t *route;   /* NULL: none of this method */
    bool known;             /* the path exists: 405 if route is NULL */
    slice_t ids[ROUTE_IDS]; /* the segments that stand for {..} */
    char allow[64];         /* methods of the path, when it is known and route is NULL */
} route_match_t;

/* path begins with '/', is decoded and has no query. HEAD finds GET. */
void routes_match(uint8_t listener, http_method_t method, slice_t path, route_match_t *out);
/* Paths that no static file may take: /api, /ws and so on and everything below. */
bool routes_reserved(slice_t path);

const route_t *routes_all(size_t *count);
const char *routes_method(uint8_t method);
