/* profile_cpu: see profile.h. The handler runs in whatever thread the kernel chose: it takes a
 * place in an array by one atomic add and writes only there. */
#include "admin/pprof.h"
#include "admin/profile.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "sched/runtime.h"
#include <errno.h>
#include <execinfo.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#define PERIOD_US   10000
#define SAMPLES_MAX 32768 /* a minute on five cores; more are counted and lost */
#define OWN_FRAMES  4     /* at most these are the handler's own */

typedef struct sample {
    void *pc[PPROF_DEPTH];
    uint32_t depth;
    const char *label;
} sample_t;

static struct {
    _Atomic bool taken;      /* somebody profiles */
    _Atomic bool on;         /* handlers may write */
    _Atomic uint32_t inside; /* handlers at work */
    _Atomic uint32_t next;
    sample_t *samples;
    uint64_t began_ns;
} cpu;

static void *interrupted_at(void *context) {
#if defined(__x86_64__)
    return (void *)(uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)(uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

/* Without the frames of the handler and of the kernel's return: those before the interrupted
 * instruction. */
static void keep_stack(sample_t *s, void *at) {
    void *pc[PPROF_DEPTH + OWN_FRAMES];
    int n = backtrace(pc, PPROF_DEPTH + OWN_FRAMES), from = 0;
    while (from < n && from < OWN_FRAMES && pc[from] != at)
        from++;
    if (from == n || pc[from] != at) { /* the stack cannot be walked from here: only where it was */
        s->pc[0] = at;
        s->depth = 1;
        return;
    }
    s->depth = (uint32_t)(n - from < PPROF_DEPTH ? n - from : PPROF_DEPTH);
    for (uint32_t i = 0; i < s->depth; i++)
        s->pc[i] = pc[from + (int)i];
}

/* seq_cst on `inside` and `on`: either this handler is seen at work by profile_cpu_end, or it sees
 * that the profile is over. */
static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    int saved = errno;
    atomic_fetch_add(&cpu.inside, 1);
    if (atomic_load(&cpu.on)) {
        uint32_t i = atomic_fetch_add_explicit(&cpu.next, 1, memory_order_relaxed);
        if (i < SAMPLES_MAX) {
            cpu.samples[i].label = runtime_running_class();
            keep_stack(&cpu.samples[i], interrupted_at(context));
        }
    }
    atomic_fetch_sub(&cpu.inside, 1);
    errno = saved;
}

static int set_timer(uint32_t us) {
    struct itimerval t = {{0, (suseconds_t)us}, {0, (suseconds_t)us}};
    return setitimer(ITIMER_PROF, &t, NULL);
}

int profile_cpu_start(void) {
    bool was = false;
    if (!atomic_compare_exchange_strong(&cpu.taken, &was, true))
        return ERR_BUSY;
    void *first[1];
    backtrace(first, 1); /* its first call loads a library, which no signal handler may */
    void *at = mmap(NULL, SAMPLES_MAX * sizeof(sample_t), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (at == MAP_FAILED || sigaction(SIGPROF, &act, NULL) != 0) {
        atomic_store(&cpu.taken, false);
        return ERR_IO;
    }
    cpu.samples = at;
    atomic_store(&cpu.next, 0);
    cpu.began_ns = clock_mono_ns();
    atomic_store(&cpu.on, true);
    if (set_timer(PERIOD_US) == 0)
        return ERR_OK;
    buf_t none = {0};
    profile_cpu_end(&none);
    buf_free(&none);
    return ERR_IO;
}

/* The signal action stays: one that is on its way must not end the process. */
void profile_cpu_end(buf_t *out) {
    set_timer(0);
    atomic_store(&cpu.on, false);
    while (atomic_load(&cpu.inside))
        sched_yield();
    uint64_t lasted = clock_mono_ns() - cpu.began_ns;
    uint32_t n = atomic_load(&cpu.next);
    if (n > SAMPLES_MAX) {
        log_warn("profile", "samples dropped count=%u", n - SAMPLES_MAX);
        n = SAMPLES_MAX;
    }
    pprof_t *p = pprof_new((pprof_type_t[]){{"samples", "count"}, {"cpu", "nanoseconds"}}, 2);
    for (uint32_t i = 0; i < n; i++) {
        const sample_t *s = &cpu.samples[i];
        pprof_add(p, s->pc, s->depth, s->label, (int64_t[]){1, PERIOD_US * 1000});
    }
    munmap(cpu.samples, SAMPLES_MAX * sizeof(sample_t));
    cpu.samples = NULL;
    atomic_store(&cpu.taken, false);
    pprof_end(p, clock_wall_ms(), (int64_t)lasted, (pprof_type_t){"cpu", "nanoseconds"},
              PERIOD_US * 1000, out);
}
