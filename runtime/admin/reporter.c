/* reporter: see reporter.h. While a CPU profile runs it waits by a timer, so it serves others and
 * can be stopped at any time. */
#include "admin/reporter.h"
#include "admin/metrics.h"
#include "admin/profile.h"
#include "base/err.h"

enum { REPORT_OVER = MSG_USER + 50 };

typedef struct reporter {
    msg_t *asked; /* the kept request of the profile that runs */
} reporter_t;

static void answer(actor_t *self, msg_t *request, buf_t *report) {
    msg_t *reply = msg_new(request->verb, 0);
    reply->body = block_from_buf(report);
    actor_reply(self, request, ERR_OK, reply);
}

static void begin(actor_t *self, reporter_t *r, msg_t *m) {
    uint32_t seconds = msg_data(m, report_cpu_t)->seconds;
    bool fits = seconds >= 1 && seconds <= REPORT_MAX_S;
    int err = fits ? profile_cpu_start() : ERR_BAD_REQUEST;
    if (err != ERR_OK) {
        actor_reply(self, m, err, NULL);
        return;
    }
    actor_keep(self, m);
    r->asked = m;
    actor_after(self, seconds * 1000, REPORT_OVER, 0);
}

static void over(actor_t *self, reporter_t *r) {
    buf_t out = {0};
    profile_cpu_end(&out);
    answer(self, r->asked, &out);
    r->asked = NULL;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    buf_t out = {0};
    switch (m->verb) {
    case REPORT_CPU:
        begin(self, state, m);
        break;
    case REPORT_HEAP:
        profile_heap(&out);
        answer(self, m, &out);
        break;
    case REPORT_ACTORS:
        metrics_actors(actor_runtime(self), &out);
        answer(self, m, &out);
        break;
    case REPORT_OVER:
        over(self, state);
        break;
    default:
        break;
    }
}

/* The runtime answers the kept request. */
static void ended(actor_t *self, void *state, int reason) {
    (void)self, (void)reason;
    reporter_t *r = state;
    buf_t out = {0};
    if (r->asked)
        profile_cpu_end(&out);
    buf_free(&out);
}

const actor_class_t reporter_class = {
    .name = "reporter",
    .place = ACTOR_THREAD,
    .restart = ACTOR_ON_CRASH,
    .restarts = 1000, /* nobody's chat hangs on it: no reason to stop the node */
    .state_size = sizeof(reporter_t),
    .max_msgs = 16,
    .handle = handle,
    .ended = ended,
};
