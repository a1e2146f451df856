/* crypt: see crypt.h. Here: the hashing threads, which are thread actors, and their queue; the
 * Argon2id work is in crypt_argon.c, the small functions in crypt_small.c. */
#include "port/crypt.h"
#include "base/err.h"
#include "base/pool.h"
#include "port/crypt_in.h"
#include <sodium.h>
#include <stdatomic.h>

#define THREADS_MAX 64

enum { CRYPT_HASH = MSG_USER, CRYPT_VERIFY };
typedef struct crypt_thread {
    crypt_t *crypt;
    actor_ref_t ref;
    _Atomic uint32_t queued;
} crypt_thread_t;

typedef struct crypt_request { /* behind it password and hash */
    crypt_thread_t *thread;    /* that counts it among those that wait; NULL: counted out */
    uint32_t password_len, hash_len;
} crypt_request_t;

struct crypt {
    runtime_t *rt;
    argon_t argon;
    uint32_t count, queue;
    _Atomic uint32_t queued; /* over all threads */
    crypt_thread_t threads[THREADS_MAX];
};

/* --- a thread --- */
static int note_thread(actor_t *self, void *state, const void *arg) {
    (void)self;
    *(crypt_thread_t **)state = (crypt_thread_t *)arg;
    return ERR_OK;
}

static int work(const crypt_t *c, const msg_t *m, msg_t **reply) {
    const crypt_request_t *r = (const crypt_request_t *)m->data;
    slice_t password = {(const char *)(r + 1), r->password_len};
    slice_t hash = {password.at + password.len, r->hash_len};
    char text[ARGON_TEXT];
    if (m->verb == CRYPT_VERIFY)
        return argon_verify(&c->argon, password, hash);
    int err = argon_hash(&c->argon, password, text);
    if (err == ERR_OK) {
        *reply = msg_new(0, 0);
        (*reply)->body = block_of(text, strlen(text));
    }
    return err;
}

static void count_out(crypt_request_t *r) {
    if (!r->thread)
        return;
    atomic_fetch_sub_explicit(&r->thread->queued, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&r->thread->crypt->queued, 1, memory_order_relaxed);
    r->thread = NULL;
}

static void answer(actor_t *self, crypt_thread_t *t, msg_t *m) {
    msg_t *reply = NULL;
    bool late = m->deadline_ns && runtime_fresh_ns(t->crypt->rt) >= m->deadline_ns;
    int err = late ? ERR_TIMEOUT : work(t->crypt, m, &reply);
    count_out(msg_data(m, crypt_request_t));
    actor_reply(self, m, err, reply);
}

static void handle_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (m[i]->verb == CRYPT_HASH || m[i]->verb == CRYPT_VERIFY)
            answer(self, *(crypt_thread_t **)state, m[i]);
}

static const actor_class_t thread_class = {.name = "crypt",
                                           .place = ACTOR_THREAD,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = sizeof(crypt_thread_t *),
                                           .max_msgs = UINT32_MAX / 2, /* the front counts */
                                           .max_bytes = UINT32_MAX,
                                           .batch = 1,
                                           .init = note_thread,
                                           .handle_batch = handle_batch};

/* --- open, close --- */
static argon_t argon_of(const conf_t *conf) {
    return (argon_t){(uint64_t)conf_int(conf, "crypt.ops"), (size_t)conf_int(conf, "crypt.memory")};
}

crypt_t *crypt_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    if (sodium_init() < 0) {
        snprintf(fault, room, "crypt: libsodium does not start");
        return NULL;
    }
    crypt_t *c = pool_zalloc(sizeof *c);
    c->rt = rt;
    c->queue = (uint32_t)conf_int(conf, "crypt.queue");
    c->count = (uint32_t)conf_int(conf, "crypt.threads");
    c->argon = argon_of(conf);
    for (uint32_t i = 0; i < c->count; i++) {
        c->threads[i].crypt = c;
        c->threads[i].ref = actor_spawn(rt, NULL, &thread_class, 0, -1, &c->threads[i]);
        if (actor_ref_eq(c->threads[i].ref, ACTOR_NONE)) {
            snprintf(fault, room, "crypt: no room for its threads (actors.max)");
            crypt_close(c);
            return NULL;
        }
    }
    return c;
}

void crypt_close(crypt_t *c) {
    pool_free(c, c ? sizeof *c : 0);
}

/* --- requests --- */

/* However it ends, also by the runtime at its deadline: counted out, the password wiped. */
static void end(msg_t *m) {
    count_out(msg_data(m, crypt_request_t));
    sodium_memzero(m->data, m->size);
}

static crypt_thread_t *pick(crypt_t *c) {
    crypt_thread_t *best = &c->threads[0];
    for (uint32_t i = 1; i < c->count; i++)
        if (atomic_load_explicit(&c->threads[i].queued, memory_order_relaxed) <
            atomic_load_explicit(&best->queued, memory_order_relaxed))
            best = &c->threads[i];
    return best;
}

static msg_t *message(crypt_thread_t *t, uint32_t verb, slice_t password, slice_t hash) {
    crypt_request_t r = {t, (uint32_t)password.len, (uint32_t)hash.len};
    msg_t *m = msg_new(verb, sizeof r + password.len + hash.len);
    memcpy(m->data, &r, sizeof r);
    if (password.len)
        memcpy(m->data + sizeof r, password.at, password.len);
    if (hash.len)
        memcpy(m->data + sizeof r + password.len, hash.at, hash.len);
    m->drop = end;
    return m;
}

static void ask(crypt_t *c, actor_t *self, uint32_t verb, slice_t password, slice_t hash,
                uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    if (atomic_fetch_add_explicit(&c->queued, 1, memory_order_relaxed) >= c->queue) {
        atomic_fetch_sub_explicit(&c->queued, 1, memory_order_relaxed);
        actor_refuse(self, ERR_BUSY, reply_verb, cookie);
        return;
    }
    crypt_thread_t *t = pick(c);
    atomic_fetch_add_explicit(&t->queued, 1, memory_order_relaxed);
    actor_request(self, t->ref, message(t, verb, password, hash), timeout_ms, reply_verb, cookie);
}

void crypt_hash(crypt_t *c, actor_t *self, slice_t password, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie) {
    ask(c, self, CRYPT_HASH, password, SLICE(""), timeout_ms, reply_verb, cookie);
}

void crypt_verify(crypt_t *c, actor_t *self, slice_t password, slice_t hash, uint32_t timeout_ms,
                  uint32_t reply_verb, uint64_t cookie) {
    ask(c, self, CRYPT_VERIFY, password, hash, timeout_ms, reply_verb, cookie);
}

/* --- in place --- */
int crypt_hash_here(const conf_t *conf, slice_t password, char hash[128]) {
    argon_t a = argon_of(conf);
    return argon_hash(&a, password, hash);
}

int crypt_verify_here(const conf_t *conf, slice_t password, slice_t hash) {
    argon_t a = argon_of(conf);
    return argon_verify(&a, password, hash);
}
