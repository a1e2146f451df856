/* sim_fiber: a port at work in the deterministic mode. A thread actor handles its batch on a stack
 * of its own, and where its thread would block, or be held up between two of its sends, it steps
 * aside for a while of chance: the others go on, the node may even crash, and what the port has
 * done so far is all that there is. */
#include "base/log.h"
#include "base/pool.h"
#include "sched/sim_in.h"
#include <sys/mman.h>
#include <ucontext.h>

#define STACK (1u << 20)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#endif
/* The sanitizers are told of each change of stacks. */
#if defined(FIBER_ASAN)
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
#elif defined(FIBER_TSAN)
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber(void);
#endif

struct sim_fiber {
    ucontext_t self, back;
    void *stack;
    worker_t *w;
    actor_t *a;
    bool aside; /* it will come back */
    const void *back_bottom;
    size_t back_size;
    void *fake, *tsan, *tsan_back;
};

/* --- from one stack to the other --- */
static void go_in(sim_fiber_t *f) {
#if defined(FIBER_ASAN)
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK);
#elif defined(FIBER_TSAN)
    f->tsan_back = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    swapcontext(&f->back, &f->self);
#if defined(FIBER_ASAN)
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void go_back(sim_fiber_t *f) {
#if defined(FIBER_ASAN)
    __sanitizer_start_switch_fiber(&f->fake, f->back_bottom, f->back_size);
#elif defined(FIBER_TSAN)
    __tsan_switch_to_fiber(f->tsan_back, 0);
#endif
    swapcontext(&f->self, &f->back);
#if defined(FIBER_ASAN)
    __sanitizer_finish_switch_fiber(f->fake, &f->back_bottom, &f->back_size);
#endif
}

/* A fiber never ends: when its batch is done it waits for the next one. */
static void fiber_main(unsigned high, unsigned low) {
    sim_fiber_t *f = (sim_fiber_t *)((uintptr_t)high << 32 | low);
#if defined(FIBER_ASAN)
    __sanitizer_finish_switch_fiber(NULL, &f->back_bottom, &f->back_size);
#endif
    for (;;) {
        sim_pause(0);
        thread_turn(f->w, f->a);
        go_back(f);
    }
}

static sim_fiber_t *fiber_new(worker_t *w) {
    sim_fiber_t *f = pool_zalloc(sizeof *f);
    f->w = w;
    f->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == MAP_FAILED || getcontext(&f->self))
        log_die("sched", "out of memory: a stack");
    f->self.uc_stack.ss_sp = f->stack;
    f->self.uc_stack.ss_size = STACK;
    uintptr_t at = (uintptr_t)f;
    makecontext(&f->self, (void (*)(void))fiber_main, 2, (unsigned)(at >> 32), (unsigned)at);
#if defined(FIBER_TSAN)
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void sim_fiber_free(worker_t *w) {
    sim_fiber_t *f = w->sim.fiber;
    if (!f)
        return;
#if defined(FIBER_TSAN)
    __tsan_destroy_fiber(f->tsan);
#endif
    munmap(f->stack, STACK);
    pool_free(f, sizeof *f);
    w->sim.fiber = NULL;
}

/* --- at work --- */
void sim_fiber_go(worker_t *w) {
    sim_fiber_t *f = w->sim.fiber;
    f->aside = false;
    w->sim.works = true;
    go_in(f);
    w->sim.works = false;
}

void sim_work(worker_t *w, actor_t *a) {
    if (!w->sim.fiber)
        w->sim.fiber = fiber_new(w);
    w->sim.fiber->a = a;
    sim_fiber_go(w);
}

void sim_pause(uint64_t most_us) {
    worker_t *w = worker_current;
    if (!w || !w->rt->sim || !w->sim.works)
        return;
    const sim_node_t *n = w->rt->sim;
    uint64_t us = most_us ? most_us : n->faults.port_us ? n->faults.port_us : SIM_PORT_US;
    sim_event_add(n->world,
                  (sim_event_t){.at_ns = n->world->now_ns + 1 + sim_below(n->world, us * 1000),
                                .kind = SIM_RESUME,
                                .rt = w->rt,
                                .worker = w});
    w->sim.fiber->aside = true;
    go_back(w->sim.fiber);
}

bool sim_aside(const runtime_t *rt) {
    for (const worker_t *t = rt->threads; t; t = t->next_thread)
        if (t->sim.fiber && t->sim.fiber->aside)
            return true;
    return false;
}

/* Before a port sends: now and then its thread is held up there. */
void sim_pass(worker_t *w) {
    if (w && w->sim.works && sim_below(w->rt->sim->world, 4) == 0)
        sim_pause(0);
}
