/* post: see post.h. The threads are thread actors with a curl handle each, which keeps its
 * connections open for the next request. */
#include "port/post.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/stat.h"
#include <curl/curl.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS_MAX 16

enum { POST_SEND = MSG_USER };

typedef struct post_thread {
    post_t *post;
    actor_ref_t ref;
    _Atomic uint32_t queued;
} post_thread_t;

typedef struct post_request { /* behind it url, headers and body, each with a 0 */
    post_thread_t *thread;    /* that counts it; NULL: counted out */
    uint32_t url_len, headers_len, body_len;
} post_request_t;

struct post {
    runtime_t *rt;
    uint32_t count, queue, longest_ms;
    _Atomic uint32_t queued; /* over all threads */
    _Atomic bool stopping;
    post_thread_t threads[THREADS_MAX];
};

typedef struct worker {
    post_thread_t *thread;
    CURL *curl;
} worker_t;

/* --- one request, in its thread --- */

typedef struct answer {
    const post_t *post;
    buf_t body;
    bool too_long;
} answer_t;

static size_t take_body(char *at, size_t one, size_t n, void *arg) {
    answer_t *a = arg;
    size_t len = one * n;
    a->too_long = a->body.len + len > POST_ANSWER_MAX;
    if (a->too_long)
        return 0;
    buf_add(&a->body, at, len);
    return len;
}

static int should_end(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const answer_t *x = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load_explicit(&x->post->stopping, memory_order_relaxed);
}

static struct curl_slist *header_list(char *lines) {
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no wait for a 100 */
    char *rest = lines;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            list = curl_slist_append(list, line);
    return list;
}

static void set_up(CURL *curl, const char *url, const char *body, uint32_t body_len,
                   const struct curl_slist *headers, answer_t *a, long timeout_ms) {
    curl_easy_reset(curl); /* connections stay */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "parley/" PARLEY_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body_len);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, should_end);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, a);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static msg_t *why(const answer_t *a, CURLcode code) {
    const char *text = a->too_long ? "the answer is too long" : curl_easy_strerror(code);
    return msg_of(0, text, strlen(text) + 1);
}

static int perform(const worker_t *w, msg_t *m, uint32_t timeout_ms, msg_t **reply) {
    const post_request_t *r = (const post_request_t *)m->data;
    char *url = (char *)(m->data + sizeof *r), *headers = url + r->url_len + 1;
    const char *body = headers + r->headers_len + 1;
    answer_t a = {.post = w->thread->post};
    struct curl_slist *list = header_list(headers);
    set_up(w->curl, url, body, r->body_len, list, &a, (long)timeout_ms);
    CURLcode code = curl_easy_perform(w->curl);
    long status = 0;
    curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    int err = code == CURLE_OK ? ERR_OK : code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO;
    post_answer_t head = {(int32_t)status};
    *reply = err == ERR_OK ? msg_of(0, &head, sizeof head) : why(&a, code);
    if (err == ERR_OK && a.body.len)
        (*reply)->body = block_from_buf(&a.body);
    buf_free(&a.body);
    return err;
}

static void count_out(post_request_t *r) {
    if (!r->thread)
        return;
    atomic_fetch_sub_explicit(&r->thread->queued, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&r->thread->post->queued, 1, memory_order_relaxed);
    r->thread = NULL;
}

static void answer(actor_t *self, worker_t *w, msg_t *m) {
    const post_t *p = w->thread->post;
    uint64_t now = runtime_fresh_ns(p->rt);
    uint64_t left = m->deadline_ns > now ? (m->deadline_ns - now) / 1000000 : 0;
    msg_t *reply = NULL;
    int err = ERR_TIMEOUT;
    if (!w->curl)
        w->curl = curl_easy_init();
    if (atomic_load_explicit(&p->stopping, memory_order_relaxed))
        err = ERR_GONE;
    else if (!w->curl)
        err = ERR_BUSY;
    else if (left > 0)
        err = perform(w, m, left < p->longest_ms ? (uint32_t)left : p->longest_ms, &reply);
    stat_add(err == ERR_OK ? STAT_POST_OK : STAT_POST_FAILED, 1);
    count_out((post_request_t *)m->data);
    actor_reply(self, m, err, reply);
}

static void handle_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (m[i]->verb == POST_SEND)
            answer(self, state, m[i]);
}

static int init(actor_t *self, void *state, const void *arg) {
    (void)self;
    ((worker_t *)state)->thread = (post_thread_t *)arg;
    return ERR_OK;
}

static void ended(actor_t *self, void *state, int reason) {
    worker_t *w = state;
    (void)self, (void)reason;
    if (w->curl)
        curl_easy_cleanup(w->curl);
}

static const actor_class_t thread_class = {.name = "post",
                                           .place = ACTOR_THREAD,
                                           .restart = ACTOR_ON_CRASH,
                                           .restarts = 1000, /* no reason to stop the node */
                                           .state_size = sizeof(worker_t),
                                           .max_msgs = UINT32_MAX / 2, /* the front counts */
                                           .max_bytes = UINT32_MAX,
                                           .batch = 1,
                                           .init = init,
                                           .handle_batch = handle_batch,
                                           .ended = ended};

/* --- open, stop, close --- */

post_t *post_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* before any of its threads */
        snprintf(fault, room, "post: libcurl does not start");
        return NULL;
    }
    post_t *p = pool_zalloc(sizeof *p);
    p->rt = rt;
    p->queue = (uint32_t)conf_int(conf, "post.queue");
    p->count = (uint32_t)conf_int(conf, "post.threads");
    p->longest_ms = (uint32_t)conf_int(conf, "post.timeout");
    for (uint32_t i = 0; i < p->count; i++) {
        p->threads[i].post = p;
        p->threads[i].ref = actor_spawn(rt, NULL, &thread_class, 0, -1, &p->threads[i]);
        if (actor_ref_eq(p->threads[i].ref, ACTOR_NONE)) {
            snprintf(fault, room, "post: no room for its threads (actors.max)");
            post_close(p);
            return NULL;
        }
    }
    return p;
}

void post_stop(post_t *p) {
    if (p)
        atomic_store(&p->stopping, true);
}

void post_close(post_t *p) {
    pool_free(p, p ? sizeof *p : 0);
}

/* --- requests --- */

/* However it ends, also by the runtime at its deadline. */
static void end(msg_t *m) {
    count_out((post_request_t *)m->data);
    sodium_memzero(m->data, m->size);
}

static char *copy(char *to, slice_t s) {
    if (s.len)
        memcpy(to, s.at, s.len);
    to[s.len] = 0;
    return to + s.len + 1;
}

static post_thread_t *pick(post_t *p) {
    post_thread_t *best = &p->threads[0];
    for (uint32_t i = 1; i < p->count; i++)
        if (atomic_load_explicit(&p->threads[i].queued, memory_order_relaxed) <
            atomic_load_explicit(&best->queued, memory_order_relaxed))
            best = &p->threads[i];
    return best;
}

void post_send(post_t *p, actor_t *self, slice_t url, slice_t headers, slice_t body,
               uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    if (atomic_fetch_add_explicit(&p->queued, 1, memory_order_relaxed) >= p->queue) {
        atomic_fetch_sub_explicit(&p->queued, 1, memory_order_relaxed);
        stat_add(STAT_POST_BUSY, 1);
        actor_refuse(self, ERR_BUSY, reply_verb, cookie);
        return;
    }
    post_thread_t *t = pick(p);
    atomic_fetch_add_explicit(&t->queued, 1, memory_order_relaxed);
    post_request_t r = {t, (uint32_t)url.len, (uint32_t)headers.len, (uint32_t)body.len};
    msg_t *m = msg_new(POST_SEND, sizeof r + url.len + headers.len + body.len + 3);
    memcpy(m->data, &r, sizeof r);
    copy(copy(copy(m->data + sizeof r, url), headers), body);
    m->drop = end;
    actor_request(self, t->ref, m, timeout_ms, reply_verb, cookie);
}
