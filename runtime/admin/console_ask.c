/* console_ask: questions to actors. The relay is a thread actor: it runs although all workers are
 * busy, makes the request, and the runtime's own deadline answers it when nobody else does. Its
 * handler runs in the relay's thread; what it brings goes over the console's one lock into a list,
 * and the loop is woken. */
#include "admin/console_in.h"

enum { VERB_ASK = MSG_USER, VERB_ANSWER };

typedef struct question { /* behind it the copy of arg */
    console_ask_t ask;
    uint64_t id, until_ns;
    uint32_t timeout_ms;
    _Alignas(16) char arg[];
} question_t;

/* --- in the relay's thread --- */

static void arrive(console_t *c, uint64_t id, int err, msg_t *reply) {
    arrival_t *a = pool_zalloc(sizeof *a);
    *a = (arrival_t){.id = id, .err = err, .reply = reply};
    pthread_mutex_lock(&c->lock);
    bool deaf = c->deaf;
    if (!deaf) {
        a->next = c->arrivals;
        c->arrivals = a;
        uv_async_send(&c->async); /* under the lock: the loop cannot end before it */
    }
    pthread_mutex_unlock(&c->lock);
    if (!deaf)
        return;
    msg_free(reply);
    pool_free(a, sizeof *a);
}

static void ask_now(actor_t *self, console_t *c, const msg_t *m) {
    const question_t *q = (const question_t *)m->data;
    if (runtime_fresh_ns(c->rt) >= q->until_ns)
        arrive(c, q->id, ERR_TIMEOUT, NULL);
    else
        q->ask(self, VERB_ANSWER, q->id, q->arg, q->timeout_ms);
}

void console_asked(actor_t *self, uint32_t verb, uint64_t cookie) {
    msg_t *m = msg_new(verb, 0);
    m->cookie = cookie;
    actor_send(self, actor_self(self), m);
}

/* A message of its own for the console's thread: the runtime still looks at m when the handler is
 * over. What m's data owns moves along. */
static msg_t *take_over(msg_t *m) {
    msg_t *own = msg_of(m->verb, m->data, m->size);
    own->err = m->err;
    own->cookie = m->cookie;
    own->body = m->body ? block_ref(m->body) : NULL;
    own->drop = m->drop;
    m->drop = NULL;
    return own;
}

static void relay_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    console_t *c = *(console_t **)state;
    for (size_t i = 0; i < n; i++) {
        if (m[i]->verb == VERB_ASK) {
            ask_now(self, c, m[i]);
        } else if (m[i]->verb == VERB_ANSWER) {
            arrive(c, m[i]->cookie, m[i]->err, take_over(m[i]));
        }
    }
}

static int relay_init(actor_t *self, void *state, const void *arg) {
    (void)self;
    *(console_t **)state = (console_t *)arg;
    return ERR_OK;
}

static const actor_class_t relay_class = {.name = "console",
                                          .place = ACTOR_THREAD,
                                          .restart = ACTOR_ON_CRASH,
                                          .state_size = sizeof(console_t *),
                                          .init = relay_init,
                                          .handle_batch = relay_batch};

bool ask_setup(console_t *c) {
    c->relay = actor_spawn(c->rt, NULL, &relay_class, 0, -1, c);
    return !actor_ref_eq(c->relay, ACTOR_NONE);
}

/* --- in the console's thread --- */

static ask_t *take(console_t *c, uint64_t id) {
    for (ask_t **at = &c->asks; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            ask_t *a = *at;
            *at = a->next;
            return a;
        }
    return NULL;
}

static void deliver(console_t *c, uint64_t id, int err, const msg_t *reply) {
    ask_t *a = take(c, id);
    if (!a)
        return; /* its operator has left, or it was given up */
    console_call_t *call = a->call;
    console_answered_t answered = a->answered;
    pool_free(a, sizeof *a);
    call->open--;
    console_call_enter(call, answered, err, reply);
}

void ask_arrived(console_t *c) {
    pthread_mutex_lock(&c->lock);
    arrival_t *all = c->arrivals, *oldest = NULL;
    c->arrivals = NULL;
    pthread_mutex_unlock(&c->lock);
    while (all) {
        arrival_t *next = all->next;
        all->next = oldest;
        oldest = all;
        all = next;
    }
    while (oldest) {
        arrival_t *a = oldest;
        oldest = a->next;
        deliver(c, a->id, a->err, a->reply);
        msg_free(a->reply);
        pool_free(a, sizeof *a);
    }
}

/* The runtime answers every request; this is for an ask that made none, and a relay that hangs. */
void ask_tick(console_t *c) {
    uint64_t now = console_now(c);
    for (ask_t *a = c->asks; a;) {
        if (a->until_ms + LATE_MS > now) {
            a = a->next;
            continue;
        }
        deliver(c, a->id, ERR_TIMEOUT, NULL);
        a = c->asks; /* the call may have changed the list */
    }
}

void ask_forget(console_t *c, const console_call_t *call) {
    for (ask_t **at = &c->asks; *at;) {
        ask_t *a = *at;
        if (a->call != call) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        pool_free(a, sizeof *a);
    }
}

void ask_close(console_t *c) {
    pthread_mutex_lock(&c->lock);
    c->deaf = true;
    pthread_mutex_unlock(&c->lock);
    ask_arrived(c);
}

static msg_t *question(console_ask_t ask, uint64_t id, const void *arg, size_t size,
                       uint64_t now_ns, uint32_t timeout_ms) {
    msg_t *m = msg_new(VERB_ASK, sizeof(question_t) + size);
    question_t *q = (question_t *)m->data;
    *q = (question_t){.ask = ask,
                      .id = id,
                      .until_ns = now_ns + (uint64_t)timeout_ms * 1000000,
                      .timeout_ms = timeout_ms};
    if (size)
        memcpy(q->arg, arg, size);
    return m;
}

void console_ask(console_call_t *call, console_ask_t ask, console_answered_t answered,
                 const void *arg, size_t size, uint32_t timeout_ms) {
    console_t *c = call->console;
    ask_t *a = pool_zalloc(sizeof *a);
    *a = (ask_t){.next = c->asks,
                 .id = ++c->ask_id,
                 .until_ms = console_now(c) + timeout_ms,
                 .call = call,
                 .answered = answered};
    c->asks = a;
    call->open++;
    int err = ERR_BUSY;
    if (call->open <= CONSOLE_ASKS)
        err = runtime_send(c->rt, c->relay,
                           question(ask, a->id, arg, size, runtime_fresh_ns(c->rt), timeout_ms));
    if (err != ERR_OK) /* as any answer: later, from the loop */
        arrive(c, a->id, ERR_BUSY, NULL);
}
