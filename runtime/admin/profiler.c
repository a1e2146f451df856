/* profiler: the actor of profile.h. It has a thread of its own because naming addresses reads the
 * program's file. While a CPU profile runs it waits by a timer, so it can be stopped at any time.
 */
#include "admin/profile.h"
#include "base/err.h"

enum { PROFILER_OVER = PROFILE_HEAP + 1 };

typedef struct profiler {
    msg_t *asked; /* the kept request of the profile that runs */
} profiler_t;

static void answer(actor_t *self, msg_t *request, buf_t *profile) {
    msg_t *reply = msg_new(request->verb, 0);
    reply->body = block_from_buf(profile);
    actor_reply(self, request, ERR_OK, reply);
}

static void begin(actor_t *self, profiler_t *p, msg_t *m) {
    uint32_t seconds = msg_data(m, profile_wish_t)->seconds;
    bool fits = seconds >= 1 && seconds <= PROFILE_MAX_S;
    int err = fits ? profile_cpu_start() : ERR_BAD_REQUEST;
    if (err != ERR_OK) {
        actor_reply(self, m, err, NULL);
        return;
    }
    actor_keep(self, m);
    p->asked = m;
    actor_after(self, seconds * 1000, PROFILER_OVER, 0);
}

static void over(actor_t *self, profiler_t *p) {
    buf_t out = {0};
    profile_cpu_end(&out);
    answer(self, p->asked, &out);
    p->asked = NULL;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    buf_t out = {0};
    switch (m->verb) {
    case PROFILE_CPU:
        begin(self, state, m);
        break;
    case PROFILE_HEAP:
        profile_heap(&out);
        answer(self, m, &out);
        break;
    case PROFILER_OVER:
        over(self, state);
        break;
    default:
        break;
    }
}

/* The runtime answers the kept request. */
static void ended(actor_t *self, void *state, int reason) {
    (void)self, (void)reason;
    profiler_t *p = state;
    buf_t out = {0};
    if (p->asked)
        profile_cpu_end(&out);
    buf_free(&out);
}

const actor_class_t profiler_class = {
    .name = "profiler",
    .place = ACTOR_THREAD,
    .restart = ACTOR_ON_CRASH,
    .state_size = sizeof(profiler_t),
    .max_msgs = 16,
    .handle = handle,
    .ended = ended,
};
