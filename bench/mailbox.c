/* mailbox: what a message between two C actors costs: ping-pong of two actors, a ring of 1,000, 8
 * pairs on two threads; beside a bare mailbox program (two threads, a malloc'd message, one atomic
 * list, no limits, deadlines or accounts). All take turns for ROUNDS rounds and the least of each
 * counts, in CPU time, so that other programs on the machine disturb little. Then what an actor
 * with an empty state takes in memory. bench_mailbox [rounds], or bench_mailbox case THROWS: one
 * case once (0 to 5, in the order below), to count its instructions under callgrind. */
#include "base/clock.h"
#include "base/err.h"
#include "sched/runtime.h"
#include "sched/sched.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define THROWS 3000000

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

/* CPU time of the whole process. */
static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void wait_finished(uint32_t n) {
    while (atomic_load(&finished) < n)
        usleep(1000);
}

/* rings of `size` actors, each with `balls` under way; gives ns of a worker's CPU a message. */
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
    uint64_t start = cpu_ns();
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t b = 0; b < balls; b++)
            runtime_send(rt, refs[r * size + b % size], msg_of(BALL, &throws, 8));
    wait_finished(count * balls);
    double ns = (double)(cpu_ns() - start) / (double)(count * balls * throws) / workers;
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
    uint64_t start = cpu_ns();
    for (uint32_t i = 0; i < threads; i++) {
        jobs[i].pairs = pairs / threads;
        jobs[i].throws = throws;
        pthread_create(&t[i], NULL, bare_thread, &jobs[i]);
    }
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    double ns = (double)(cpu_ns() - start) / (double)(pairs * throws) / threads;
    free(jobs);
    return ns;
}

/* --- memory --- */
static void nothing(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
}
static const actor_class_t empty = {.name = "empty", .handle = nothing};

static double resident(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Each has handled a message, so what a first message leaves behind is counted too. */
static double actor_bytes(uint32_t n) {
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1});
    runtime_start(rt);
    double before = resident();
    runtime_counts_t c;
    for (uint32_t i = 0; i < n; i++)
        runtime_send(rt, actor_spawn(rt, NULL, &empty, i, -1, NULL), msg_new(BALL, 0));
    do {
        usleep(1000);
        runtime_counts(rt, &c);
    } while (c.received < n);
    double bytes = (resident() - before) / n;
    runtime_stop(rt, 10000);
    runtime_free(rt);
    return bytes;
}

/* --- all of it --- */
enum { CASE_BARE, CASE_BARE_PAIRS, CASE_PING, CASE_RING, CASE_BUSY, CASE_PAIRS, CASES };

/* `throws` in all. */
static double measure(int which, uint64_t throws) {
    switch (which) {
    case CASE_BARE:
        return bare(1, 1, throws);
    case CASE_BARE_PAIRS:
        return bare(2, 8, throws / 8);
    case CASE_PING:
        return rings(1, 1, 2, 1, throws);
    case CASE_RING:
        return rings(1, 1, 1000, 1, throws);
    case CASE_BUSY:
        return rings(1, 1, 1000, 1000, throws / 1000);
    default:
        return rings(2, 8, 2, 1, throws / 8);
    }
}

static void tell(const char *name, double ns, double bare_ns, double most) {
    printf("%-26s %6.1f ns/message  x%.2f of bare (aim: x%.2f)\n", name, ns, ns / bare_ns, most);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        printf("%.1f ns/message\n", measure(atoi(argv[1]), (uint64_t)atoll(argv[2])));
        return 0;
    }
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    double bytes = actor_bytes(100000), least[CASES];
    for (int i = 0; i < rounds; i++)
        for (int c = 0; c < CASES; c++) {
            double ns = measure(c, THROWS);
            least[c] = i == 0 || ns < least[c] ? ns : least[c];
        }
    printf("bare, one thread           %6.1f ns/message of a thread's CPU\n", least[CASE_BARE]);
    printf("bare, 8 pairs, two threads %6.1f ns/message\n", least[CASE_BARE_PAIRS]);
    tell("ping-pong", least[CASE_PING], least[CASE_BARE], 25.0 / 15);
    tell("ring of 1,000, 1 ball", least[CASE_RING], least[CASE_BARE], 25.0 / 15);
    tell("ring of 1,000, 1,000 balls", least[CASE_BUSY], least[CASE_BARE], 25.0 / 15);
    tell("8 pairs, two threads", least[CASE_PAIRS], least[CASE_BARE_PAIRS], 15 / 7.5);
    printf(
        "an actor                   %6.0f bytes (aim: 256; its slot %zu), a message %zu + data\n",
        bytes, sizeof(struct actor), sizeof(msg_t));
    return 0;
}
