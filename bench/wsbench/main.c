/* wsbench: the parent: shared memory, one child per share of the connections, phases in step,
 * progress, the result. */
#include "wsbench.h"
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void job_reach(job_t *j, enum phase phase) {
    atomic_store(&j->t->phase, phase);
    while (atomic_load(&j->shared->phase) < (int)phase)
        loop_turn(j->loop, now_ns() + 20000000);
}

_Noreturn void job_fail(job_t *j, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(j->t->fault, sizeof j->t->fault, format, args);
    va_end(args);
    atomic_store(&j->t->phase, PHASE_FAILED);
    _exit(1);
}

static void child(const options_t *o, shared_t *s, uint32_t number, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the parent's */
    if (getppid() != parent)
        _exit(1);
    /* shares are whole groups, so that every chat is checked by one process */
    uint32_t unit = o->mode == MODE_MESSAGING ? o->group_size : 1, units = o->conns / unit;
    uint32_t from = (uint32_t)((uint64_t)units * number / s->processes) * unit;
    uint32_t to = (uint32_t)((uint64_t)units * (number + 1) / s->processes) * unit;
    job_t j = {.o = o,
               .shared = s,
               .t = &s->tally[number],
               .number = number,
               .first = from,
               .count = to - from};
    j.loop = loop_new(o, j.t);
    if (o->mode == MODE_MESSAGING)
        messaging_run(&j);
    else
        connect_run(&j);
    _exit(0);
}

/* user and system time of the server, in us */
static uint64_t server_cpu(const options_t *o) {
    char path[64], text[1024];
    if (!o->server_pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%u/stat", o->server_pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    unsigned long long user = 0, sys = 0;
    char *at = strrchr(text, ')');
    if (at)
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys);
    return (user + sys) * 1000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* the phase that all have reached; a failed child counts as having reached the end */
static int slowest(shared_t *s) {
    int phase = PHASE_DONE;
    for (uint32_t i = 0; i < s->processes; i++) {
        int p = atomic_load(&s->tally[i].phase);
        if (p < phase)
            phase = p;
    }
    return phase;
}

static bool failed(shared_t *s) {
    for (uint32_t i = 0; i < s->processes; i++)
        if (atomic_load(&s->tally[i].phase) == PHASE_FAILED)
            return true;
    return false;
}

/* a child that died without a word */
static void reap(shared_t *s, const pid_t *pids) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (uint32_t i = 0; i < s->processes; i++)
            if (pids[i] == pid && atomic_load(&s->tally[i].phase) < PHASE_DONE) {
                snprintf(s->tally[i].fault, sizeof s->tally[i].fault, "ended with status %d",
                         status);
                atomic_store(&s->tally[i].phase, PHASE_FAILED);
            }
}

static volatile sig_atomic_t interrupted; /* once: to the end, with a result; twice: at once */
static void on_interrupt(int sig) {
    (void)sig;
    interrupted++;
}

static uint64_t supervise(const options_t *o, shared_t *s, const pid_t *pids, uint64_t started) {
    uint64_t cpu = 0, before = 0, shown = 0;
    while (atomic_load(&s->phase) < PHASE_DONE && !failed(s)) {
        int reached = slowest(s), phase = atomic_load(&s->phase);
        uint64_t now = now_ns();
        if (reached > phase) {
            if (reached == PHASE_RUN) {
                before = server_cpu(o);
                atomic_store(&s->run_started_ns, now);
            }
            if (reached == PHASE_DRAIN) {
                cpu = server_cpu(o) - before;
                atomic_store(&s->run_ended_ns, now);
            }
            atomic_store(&s->phase, reached);
        }
        if (isatty(2) && now - shown > 500000000ull) {
            report_progress(o, s, (now - started) / 1000000);
            shown = now;
        }
        atomic_store(&s->stop, interrupted > 0);
        if (interrupted > 1)
            break;
        usleep(5000);
        reap(s, pids);
    }
    if (isatty(2))
        fputc('\n', stderr);
    return cpu;
}

int main(int argc, char **argv) {
    static options_t o;
    options_read(&o, argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    size_t size = sizeof(shared_t) + o.processes * sizeof(tally_t);
    shared_t *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) {
        perror("wsbench: shared memory");
        return 1;
    }
    s->processes = o.processes;
    uint64_t started = now_ns();
    pid_t pids[256], parent = getpid();
    for (uint32_t i = 0; i < o.processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            child(&o, s, i, parent);
        if (pids[i] < 0) {
            perror("wsbench: fork");
            return 1;
        }
    }
    signal(SIGINT, on_interrupt);
    uint64_t cpu = supervise(&o, s, pids, started);
    bool early = failed(s) || interrupted > 1;
    for (uint32_t i = 0; i < o.processes && early; i++)
        if (atomic_load(&s->tally[i].phase) < PHASE_DONE) {
            kill(pids[i], SIGKILL); /* our own children only */
            snprintf(s->tally[i].fault, sizeof s->tally[i].fault, "ended before its time");
        }
    return report_result(&o, s, (now_ns() - started) / 1000000, cpu);
}
