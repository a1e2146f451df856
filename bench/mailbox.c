/* mailbox: what a message between two C actors costs: ping-pong of two actors, a ring of 1,000, 8
 * pairs on two threads; beside a bare mailbox program (two threads, a malloc'd message, one atomic
 * list, no limits, deadlines or accounts) in the same run. */
#include "base/clock.h"
#include "base/err.h"
#include "sched/runtime.h"
#include "sched/sched.h"
#include <stdio.h>
#include <unistd.h>

enum { BALL = MSG_USER, PEER };

typedef struct player {
    actor_ref_t to;
} player_t;

static _Atomic uint32_t finished;

/* A ball carries how many throws are left. */
static void play(actor_t *self, void *state, msg_t *m) {
    player_t *p = state;
    if (m->verb == PEER)
        p->to = *msg_data(m, actor_ref_t);
    else if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    else if (m->verb == BALL) {
        uint64_t left = *msg_data(m, uint64_t);
        if (left == 0)
            atomic_fetch_add(&finished, 1);
        else
            actor_send(self, p->to, msg_of(BALL, &(uint64_t){left - 1}, 8));
    }
}
static const actor_class_t player = {
    .name = "player", .state_size = sizeof(player_t), .handle = play};

static void wait_finished(uint32_t n) {
    while (atomic_load(&finished) < n)
        usleep(200);
}

/* rings of `size` actors, each with `balls` under way; gives ns a message of all. */
static double rings(uint32_t workers, uint32_t count, uint32_t size, uint32_t balls,
                    uint64_t throws) {
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = workers});
    actor_ref_t *refs = calloc((size_t)count * size, sizeof *refs);
    for (uint32_t r = 0; r < count; r++) {
        for (uint32_t i = 0; i < size; i++)
            refs[r * size + i] = actor_spawn(rt, NULL, &player, 0, (int)(r % workers), NULL);
        for (uint32_t i = 0; i < size; i++)
            runtime_send(rt, refs[r * size + i],
                         msg_of(PEER, &refs[r * size + (i + 1) % size], sizeof *refs));
    }
    finished = 0;
    runtime_start(rt);
    uint64_t start = clock_mono_ns();
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t b = 0; b < balls; b++)
            runtime_send(rt, refs[r * size + b % size], msg_of(BALL, &throws, 8));
    wait_finished(count * balls);
    double ns = (double)(clock_mono_ns() - start) / (double)(count * balls * throws);
    free(refs);
    runtime_stop(rt, 1000);
    runtime_free(rt);
    return ns;
}

/* --- bare --- */
typedef struct bare {
    struct bare *next;
    uint64_t left;
} bare_t;
typedef struct box {
    _Atomic(bare_t *) top;
    _Atomic uint64_t done;
} box_t;

static void bare_push(box_t *b, bare_t *m) {
    bare_t *top = atomic_load_explicit(&b->top, memory_order_relaxed);
    do
        m->next = top;
    while (!atomic_compare_exchange_weak_explicit(&b->top, &top, m, memory_order_release,
                                                  memory_order_relaxed));
}

/* pairs of boxes in one thread: take, free, send to the other */
static void bare_pairs(box_t *boxes, uint32_t pairs, uint64_t throws) {
    for (uint32_t i = 0; i < pairs; i++) {
        bare_t *m = malloc(128);
        m->left = throws;
        bare_push(&boxes[2 * i], m);
    }
    for (uint32_t open = pairs; open;)
        for (uint32_t i = 0; i < 2 * pairs; i++) {
            bare_t *m = atomic_exchange_explicit(&boxes[i].top, NULL, memory_order_acquire);
            if (!m)
                continue;
            uint64_t left = m->left;
            free(m);
            if (left == 0) {
                open--;
                continue;
            }
            m = malloc(128);
            m->left = left - 1;
            bare_push(&boxes[i ^ 1], m);
        }
}

typedef struct bare_job {
    box_t boxes[16];
    uint32_t pairs;
    uint64_t throws;
} bare_job_t;

static void *bare_thread(void *arg) {
    bare_job_t *j = arg;
    bare_pairs(j->boxes, j->pairs, j->throws);
    return NULL;
}

static double bare(uint32_t threads, uint32_t pairs, uint64_t throws) {
    bare_job_t *jobs = calloc(threads, sizeof *jobs);
    pthread_t t[8];
    uint64_t start = clock_mono_ns();
    for (uint32_t i = 0; i < threads; i++) {
        jobs[i].pairs = pairs / threads;
        jobs[i].throws = throws;
        pthread_create(&t[i], NULL, bare_thread, &jobs[i]);
    }
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    double ns = (double)(clock_mono_ns() - start) / (double)(pairs * throws);
    free(jobs);
    return ns;
}

int main(void) {
    double bare1 = bare(1, 1, 5000000), bare2 = bare(2, 8, 3000000);
    double ping = rings(1, 1, 2, 1, 5000000), ring = rings(1, 1, 1000, 1, 3000000);
    double busy = rings(1, 1, 1000, 1000, 3000), pairs = rings(2, 8, 2, 1, 3000000);
    printf("bare, one thread           %6.1f ns/message\n", bare1);
    printf("bare, 8 pairs, two threads %6.1f ns/message\n", bare2);
    printf("ping-pong                  %6.1f ns/message  x%.2f of bare\n", ping, ping / bare1);
    printf("ring of 1,000, 1 ball      %6.1f ns/message  x%.2f of bare\n", ring, ring / bare1);
    printf("ring of 1,000, 1,000 balls %6.1f ns/message  x%.2f of bare\n", busy, busy / bare1);
    printf("8 pairs, two threads       %6.1f ns/message  x%.2f of bare\n", pairs, pairs / bare2);
    printf("an actor                   %6zu bytes, a message %zu + data\n", sizeof(struct actor),
           sizeof(msg_t));
    return 0;
}
