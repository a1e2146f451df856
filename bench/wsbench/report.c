/* report: the progress line and the result as text, JSON or CSV. Runs in the parent, reads the
 * shared tallies. */
#include "wsbench.h"
#include <stdlib.h>
#include <string.h>

typedef struct sum {
#define X(name) uint64_t name;
    TALLY_LIST(X)
#undef X
    hist_t connect, ping, ack, delivery;
} sum_t;

static sum_t *add_up(shared_t *s, bool with_hist) {
    sum_t *sum = calloc(1, sizeof *sum);
    for (uint32_t i = 0; i < s->processes; i++) {
        tally_t *t = &s->tally[i];
#define X(name) sum->name += atomic_load_explicit(&t->name, memory_order_relaxed);
        TALLY_LIST(X)
#undef X
        if (!with_hist)
            continue;
        hist_merge(&sum->connect, &t->connect);
        hist_merge(&sum->ping, &t->ping);
        hist_merge(&sum->ack, &t->ack);
        hist_merge(&sum->delivery, &t->delivery);
    }
    return sum;
}

void report_progress(const options_t *o, shared_t *s, uint64_t elapsed_ms) {
    static const char *const names[] = {"set-up",   "connecting", "running", "settling",
                                        "checking", "done",       "failed"};
    static uint64_t last_acked, last_ms;
    sum_t *sum = add_up(s, false);
    int phase = atomic_load(&s->phase);
    uint64_t span = elapsed_ms > last_ms ? elapsed_ms - last_ms : 1;
    fprintf(stderr, "\r\033[K%5.1fs %-10s ", (double)elapsed_ms / 1000, names[phase]);
    if (phase == PHASE_SETUP && o->mode == MODE_MESSAGING)
        fprintf(stderr, "%llu of %u users", (unsigned long long)sum->setup_done, o->conns);
    else
        fprintf(stderr, "live %llu, failed %llu, dropped %llu", (unsigned long long)sum->live,
                (unsigned long long)sum->failed, (unsigned long long)sum->disconnects);
    if (sum->sent)
        fprintf(stderr, ", sent %llu, acked %llu (%llu/s), delivered %llu",
                (unsigned long long)sum->sent, (unsigned long long)sum->acked,
                (unsigned long long)((sum->acked - last_acked) * 1000 / span),
                (unsigned long long)sum->delivered);
    else if (sum->pings)
        fprintf(stderr, ", pings %llu, pongs %llu", (unsigned long long)sum->pings,
                (unsigned long long)sum->pongs);
    fflush(stderr);
    last_acked = sum->acked;
    last_ms = elapsed_ms;
    free(sum);
}

typedef struct figure {
    const char *name;
    double value;
} figure_t;
#define FIGURES 64

static size_t add_hist(figure_t *f, size_t n, const char *const names[6], const hist_t *h) {
    const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    f[n++] = (figure_t){names[0], h->count ? (double)h->sum / (double)h->count / 1000 : 0};
    for (int i = 0; i < 4; i++)
        f[n++] = (figure_t){names[i + 1], (double)hist_at(h, quantiles[i]) / 1000};
    f[n++] = (figure_t){names[5], (double)h->max / 1000};
    return n;
}
#define HIST_NAMES(what)                                                                           \
    (const char *const[]) {                                                                        \
        what "_mean_ms", what "_p50_ms", what "_p90_ms", what "_p99_ms", what "_p999_ms",          \
            what "_max_ms"                                                                         \
    }

static size_t collect(const options_t *o, shared_t *s, const sum_t *sum, uint64_t elapsed_ms,
                      uint64_t cpu_us, figure_t *f) {
    size_t n = 0;
    double run_s = (double)(atomic_load(&s->run_ended_ns) - atomic_load(&s->run_started_ns)) / 1e9;
    f[n++] = (figure_t){"duration_seconds", (double)elapsed_ms / 1000};
    f[n++] = (figure_t){"run_seconds", run_s};
    f[n++] = (figure_t){"total_attempts", (double)sum->attempts};
    f[n++] = (figure_t){"success_conns", (double)sum->connected};
    f[n++] = (figure_t){"failed_conns", (double)sum->failed};
    f[n++] = (figure_t){"retries", (double)sum->retries};
    f[n++] = (figure_t){"disconnects", (double)sum->disconnects};
    f[n++] = (figure_t){"pings_sent", (double)sum->pings};
    f[n++] = (figure_t){"pongs_received", (double)sum->pongs};
    f[n++] = (figure_t){"messages_sent", (double)sum->sent};
    f[n++] = (figure_t){"messages_acked", (double)sum->acked};
    f[n++] = (figure_t){"messages_refused", (double)sum->refused};
    f[n++] = (figure_t){"messages_delivered", (double)sum->delivered};
    f[n++] = (figure_t){"messages_resent", (double)sum->resent};
    f[n++] = (figure_t){"resyncs", (double)sum->resyncs};
    f[n++] = (figure_t){"found_by_sync", (double)sum->synced};
    f[n++] = (figure_t){"other_frames", (double)sum->other_frames};
    f[n++] = (figure_t){"acks_per_second", run_s > 0 ? (double)sum->acked / run_s : 0};
    f[n++] = (figure_t){"deliveries_per_second", run_s > 0 ? (double)sum->delivered / run_s : 0};
    f[n++] = (figure_t){"bytes_in", (double)sum->bytes_in};
    f[n++] = (figure_t){"bytes_out", (double)sum->bytes_out};
    f[n++] = (figure_t){"server_closes", (double)sum->closed};
    f[n++] = (figure_t){"unacked", (double)sum->unacked};
    f[n++] = (figure_t){"unsent", (double)sum->unsent};
    f[n++] = (figure_t){"lost", (double)sum->lost};
    f[n++] = (figure_t){"duplicates", (double)sum->duplicates};
    f[n++] = (figure_t){"disorder", (double)sum->disorder};
    f[n++] = (figure_t){"corrupt", (double)sum->corrupt};
    n = add_hist(f, n, HIST_NAMES("connect"), &sum->connect);
    if (o->mode == MODE_MESSAGING) {
        n = add_hist(f, n, HIST_NAMES("ack"), &sum->ack);
        n = add_hist(f, n, HIST_NAMES("delivery"), &sum->delivery);
    } else {
        n = add_hist(f, n, HIST_NAMES("ping"), &sum->ping);
    }
    uint64_t operations = o->mode == MODE_MESSAGING ? sum->acked : sum->pongs;
    if (o->server_pid) {
        f[n++] = (figure_t){"server_cpu_seconds", (double)cpu_us / 1e6};
        f[n++] = (figure_t){"server_cpu_us_per_operation",
                            operations ? (double)cpu_us / (double)operations : 0};
    }
    return n;
}

static void print_number(double v) {
    if (v == (double)(int64_t)v)
        printf("%lld", (long long)v);
    else
        printf("%.3f", v);
}

static void print(const options_t *o, const figure_t *f, size_t n, bool ok) {
    const char *result = ok ? "ok" : "failed";
    if (o->output == OUT_JSON) {
        printf("{\"mode\":\"%s\",\"result\":\"%s\"", o->mode_name, result);
        for (size_t i = 0; i < n; i++) {
            printf(",\"%s\":", f[i].name);
            print_number(f[i].value);
        }
        printf("}\n");
    } else if (o->output == OUT_CSV) {
        printf("mode,result");
        for (size_t i = 0; i < n; i++)
            printf(",%s", f[i].name);
        printf("\n%s,%s", o->mode_name, result);
        for (size_t i = 0; i < n; i++) {
            putchar(',');
            print_number(f[i].value);
        }
        putchar('\n');
    } else {
        for (size_t i = 0; i < n; i++) {
            printf("%-28s ", f[i].name);
            print_number(f[i].value);
            putchar('\n');
        }
        printf("%-28s %s\n", "result", result);
    }
}

int report_result(const options_t *o, shared_t *s, uint64_t elapsed_ms, uint64_t server_cpu_us) {
    figure_t f[FIGURES];
    sum_t *sum = add_up(s, true);
    bool ok = sum->lost + sum->duplicates + sum->disorder + sum->corrupt + sum->unacked +
                  sum->unsent + sum->refused + sum->failed + sum->disconnects ==
              0;
    for (uint32_t i = 0; i < s->processes; i++) {
        const tally_t *t = &s->tally[i];
        if (t->refusal[0])
            fprintf(stderr, "wsbench: process %u: first refusal: %s\n", i, t->refusal);
        if (t->fault[0]) {
            fprintf(stderr, "wsbench: process %u: %s\n", i, t->fault);
            ok = false;
        }
    }
    print(o, f, collect(o, s, sum, elapsed_ms, server_cpu_us, f), ok);
    free(sum);
    return ok ? 0 : 1;
}
