/* post: requests to other servers (SMS gateways, hooks): HTTP POST by libcurl, on post.threads
 * threads behind a bounded queue, each with a deadline. No redirects, no proxies, certificates are
 * checked. Scripts reach it as http.post. */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

#define POST_URL_MAX     2048
#define POST_HEADERS_MAX 8192
#define POST_BODY_MAX    65536
#define POST_ANSWER_MAX  65536 /* a longer answer is a failure */

typedef struct post post_t;
post_t *post_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
/* Requests under way are given up within about a second, new ones are ERR_GONE. Before
 * runtime_stop; any thread; NULL is fine. */
void post_stop(post_t *p);
void post_close(post_t *p); /* after runtime_stop; NULL is fine */

/* headers: lines "Name: value", each with its '\n'. Reply: ERR_OK, post_answer_t and the answer's
 * body (NULL: empty), whatever its status; ERR_IO: no answer, data is why, NUL-terminated;
 * ERR_TIMEOUT; ERR_BUSY: queue full. The request's copy is wiped after use: it may hold secrets. */
typedef struct post_answer {
    int32_t status;
} post_answer_t;
void post_send(post_t *p, actor_t *self, slice_t url, slice_t headers, slice_t body,
               uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie);
