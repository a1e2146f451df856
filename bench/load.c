/* load: the load generator of bench/figures.lua, for parleyd and for bench_bare alike. It does not
 * judge what it gets (wsbench does that): it keeps a server busy in one plain way, reads the
 * server's CPU time at both ends of the measured span and prints one line "name=value ...".
 *
 *   bench_load MODE addr=IP:PORT paths=FILE [pid=N] [seconds=N] [NAME=VALUE]...
 *
 * A line of paths is a connection. In texts @ stands for a number that is different each time.
 *
 *   pump  inflight=N text=TEXT match=TEXT [most=N]: so many unanswered texts a connection
 *
 *   fan  inflight=N text=TEXT match=TEXT room=ID [silent=1]: the first one sends, all others
 *   receive; they ack every 64th, or, silent, nothing in what is measured
 *
 *   shake  inflight=N: handshakes, one after the other in N lanes
 *
 *   hold  [slots=N]: opens all and waits: USR1 = cut all and come back at once, TERM = end
 *
 *   accounts  http=IP:PORT count=N prefix=TEXT out=FILE [lanes=N]: registers users: lines
 *   "ID TOKEN" */
#include "wsbench/wsbench.h"
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM_NS    500000000ull
#define ACK_EVERY  64
#define SILENT_MAX 900 /* messages: at 1,000 without ack parleyd leaves the rest to sync */
#define SILENT_NS  4000000000ull /* after 10 s it sends again */

typedef struct peer {
    client_t c; /* must be first: events give it */
    const char *path;
    bool up;
    uint32_t pushes; /* since the last ack */
    uint64_t seq;    /* of the last push */
    uint64_t number; /* of the next text */
} peer_t;

static options_t options;
static tally_t tally;
static loop_t *loop;
static char **arguments;
static peer_t *peers;
static uint32_t count, up, failed;
static uint64_t answers, nonce, most;
static const char *text, *match, *room;
static uint32_t inflight;
static bool silent;
static volatile sig_atomic_t again, stop;

/* ---- arguments ---- */

static const char *arg(const char *name, const char *preset) {
    size_t n = strlen(name);
    for (char **a = arguments; *a; a++)
        if (strncmp(*a, name, n) == 0 && (*a)[n] == '=')
            return *a + n + 1;
    return preset;
}
static uint64_t number(const char *name, const char *preset) {
    return strtoull(arg(name, preset), NULL, 10);
}
_Noreturn static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("bench_load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}
static void address(const char *name, char host[64], uint16_t *port) {
    const char *at = arg(name, ""), *colon = strrchr(at, ':');
    if (!colon)
        fail("%s=IP:PORT is missing", name);
    snprintf(host, 64, "%.*s", (int)(colon - at), at);
    *port = (uint16_t)atoi(colon + 1);
}

/* ---- the server's CPU time: all its threads, in us; -1 without pid= ---- */

static int64_t server_cpu_us(void) {
    char path[320], line[128];
    uint64_t total = 0, ns;
    snprintf(path, sizeof path, "/proc/%s/task", arg("pid", "0"));
    DIR *d = opendir(path);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", arg("pid", "0"), e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(line, sizeof line, f) && sscanf(line, "%lu", &ns) == 1)
            total += ns;
        if (f)
            fclose(f);
    }
    closedir(d);
    return (int64_t)(total / 1000);
}

typedef struct span {
    uint64_t at, operations;
    int64_t cpu;
} span_t;
static span_t span_now(uint64_t operations) {
    return (span_t){now_ns(), operations, server_cpu_us()};
}
static void span_print(span_t a, span_t b) {
    printf("operations=%lu seconds=%.3f cpu_us=%ld\n", b.operations - a.operations,
           (double)(b.at - a.at) / 1e9, b.cpu - a.cpu);
    fflush(stdout);
}

/* ---- connections ---- */

static void say(peer_t *p) {
    static char out[16384];
    const char *mark = strchr(text, '@');
    int n = mark ? snprintf(out, sizeof out, "%.*s%lx-%lu%s", (int)(mark - text), text, nonce,
                            p->number++, mark + 1)
                 : snprintf(out, sizeof out, "%s", text);
    client_text(loop, &p->c, (slice_t){out, (size_t)n});
}

static void on_open(client_t *c) {
    ((peer_t *)c)->up = true;
    up++;
}
static void on_closed(client_t *c, bool abnormal, const char *why) {
    peer_t *p = (peer_t *)c;
    (void)abnormal;
    up -= p->up;
    p->up = false;
    if (failed++ == 0)
        fprintf(stderr, "bench_load: %s: %s\n", p->path, why);
}

static bool wanted(const char *at, size_t len) {
    return !match || memmem(at, len < 64 ? len : 64, match, strlen(match));
}

static void pump_message(client_t *c, char *at, size_t len) {
    peer_t *p = (peer_t *)c;
    if (!wanted(at, len))
        return;
    answers++;
    if (!most || p->number < most)
        say(p);
}

/* A device acks what it was pushed. */
static void ack(peer_t *p) {
    char out[160];
    p->pushes = 0;
    int n =
        snprintf(out, sizeof out,
                 "{\"type\":\"ack\",\"data\":{\"conversation_id\":%s,\"seq\":%lu}}", room, p->seq);
    client_text(loop, &p->c, (slice_t){out, (size_t)n});
}

static void fan_message(client_t *c, char *at, size_t len) {
    peer_t *p = (peer_t *)c;
    if (!wanted(at, len))
        return;
    answers++;
    const char *seq = memmem(at, len, "\"seq\":", 6);
    p->seq = seq ? strtoul(seq + 6, NULL, 10) : p->seq;
    if (++p->pushes >= ACK_EVERY && !silent)
        ack(p);
}

static void ignore(client_t *c, char *at, size_t len) {
    (void)c, (void)at, (void)len;
}

static void read_paths(void) {
    FILE *f = fopen(arg("paths", ""), "r");
    char line[2048];
    if (!f)
        fail("paths=FILE is missing");
    for (uint32_t cap = 0; fgets(line, sizeof line, f); count++) {
        if (count == cap) {
            cap = cap ? cap * 2 : 1024;
            peers = realloc(peers, cap * sizeof *peers);
        }
        line[strcspn(line, "\n")] = 0;
        peers[count] = (peer_t){.c.fd = -1, .path = strdup(line)};
    }
    fclose(f);
    if (count == 0)
        fail("no paths");
}

/* Opens all, at most `slots` at a time under way; gives up after 30 s. */
static void open_all(const client_events_t *events, uint32_t slots) {
    uint64_t give_up = now_ns() + 30000000000ull;
    up = failed = 0;
    for (uint32_t next = 0; up + failed < count;) {
        for (; next < count && next - up - failed < slots; next++)
            client_open(loop, &peers[next].c, next, peers[next].path, events);
        loop_turn(loop, now_ns() + 10000000);
        if (now_ns() > give_up)
            fail("%u of %u connections stand after 30 s", up, count);
    }
    if (failed)
        fail("%u of %u connections failed", failed, count);
}

static void turn_for(uint64_t ns) {
    for (uint64_t till = now_ns() + ns; now_ns() < till && up + failed > 0 && failed == 0;)
        loop_turn(loop, till);
    if (failed)
        fail("%u connections were lost", failed);
}

/* ---- modes ---- */

static const client_events_t pump_events = {
    .open = on_open, .message = pump_message, .closed = on_closed};

static void pump(void) {
    most = number("most", "0");
    open_all(&pump_events, 64);
    turn_for(100000000); /* welcomes */
    answers = 0;
    span_t from = span_now(0);
    for (uint32_t k = 0; k < inflight; k++)
        for (uint32_t i = 0; i < count; i++)
            say(&peers[i]);
    if (most) {
        while (answers < most * count)
            turn_for(1000000);
    } else {
        turn_for(WARM_NS);
        from = span_now(answers);
        turn_for(number("seconds", "3") * 1000000000ull);
    }
    span_print(from, span_now(answers));
}

/* One round: the first one says `inflight` texts, everybody else gets them. */
static uint64_t fan_round(void) {
    uint64_t want = (uint64_t)inflight * (count - 1), give_up = now_ns() + 5000000000ull;
    answers = 0;
    for (uint32_t k = 0; k < inflight; k++)
        say(&peers[0]);
    while (answers < want && failed == 0 && now_ns() < give_up)
        loop_turn(loop, give_up);
    if (answers < want)
        fail("%lu of %lu deliveries came", answers, want);
    return want;
}

/* All ack. A socket that has sent makes its kernel hold back acknowledgements from then on: that is
 * ended, so that what follows goes to peers that never send. */
static void ack_all(void) {
    int one = 1;
    for (uint32_t i = 1; i < count; i++)
        ack(&peers[i]);
    turn_for(200000000);
    for (uint32_t i = 1; i < count; i++)
        setsockopt(peers[i].c.fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

/* The acks of silent receivers are left out of the measured span. */
static void ack_outside(span_t *from) {
    span_t a = span_now(0);
    ack_all();
    span_t b = span_now(0);
    from->at += b.at - a.at;
    from->cpu += b.cpu - a.cpu;
}

static void fan(void) {
    static const client_events_t events = {
        .open = on_open, .message = fan_message, .closed = on_closed};
    open_all(&events, 64);
    turn_for(100000000);
    for (uint64_t till = now_ns() + WARM_NS; now_ns() < till;) {
        fan_round();
        if (silent && peers[1].pushes >= SILENT_MAX)
            ack_all();
    }
    if (silent)
        ack_all();
    uint64_t acked = now_ns(), all = 0;
    span_t from = span_now(0);
    for (uint64_t ns = number("seconds", "3") * 1000000000ull; now_ns() < from.at + ns;) {
        all += fan_round();
        if (silent && (peers[1].pushes >= SILENT_MAX || now_ns() > acked + SILENT_NS)) {
            ack_outside(&from);
            acked = now_ns();
        }
    }
    span_print(from, span_now(all));
    if (silent)
        ack_all();
}

static void shake(void) {
    static const client_events_t events = {.open = on_open, .message = ignore, .closed = on_closed};
    static peer_t lanes[256];
    uint64_t begin = now_ns(), done = 0, index = 0;
    uint64_t till = begin + WARM_NS + number("seconds", "3") * 1000000000ull;
    span_t from = {0};
    while (now_ns() < till && failed == 0) {
        if (!from.at && now_ns() > begin + WARM_NS)
            from = span_now(done);
        for (uint32_t i = 0; i < inflight && i < 256; i++) {
            peer_t *p = &lanes[i];
            if (p->path && !p->up)
                continue;
            done += p->up;
            client_cut(loop, &p->c);
            p->up = false;
            p->path = peers[index % count].path;
            client_open(loop, &p->c, (uint32_t)(index++ % 4000000), p->path, &events);
        }
        loop_turn(loop, now_ns() + 10000000);
    }
    if (failed)
        fail("a handshake failed");
    span_print(from, span_now(done));
}

static void on_signal(int sig) {
    if (sig == SIGUSR1)
        again = 1;
    else
        stop = 1;
}

static void hold(void) {
    static const client_events_t events = {.open = on_open, .message = ignore, .closed = on_closed};
    uint32_t slots = (uint32_t)number("slots", "64");
    signal(SIGUSR1, on_signal);
    signal(SIGTERM, on_signal);
    for (bool first = true; !stop; first = false) {
        again = 0;
        for (uint32_t i = 0; i < count && !first; i++)
            client_cut(loop, &peers[i].c), peers[i].up = false;
        uint64_t begin = now_ns();
        open_all(&events, first ? slots : count);
        printf("open=%u seconds=%.3f\n", up, (double)(now_ns() - begin) / 1e9);
        fflush(stdout);
        while (!again && !stop && failed == 0)
            loop_turn(loop, now_ns() + 50000000);
        if (failed)
            fail("%u connections were lost", failed);
    }
}

/* ---- accounts ---- */

typedef struct lane {
    client_t c;
    bool busy;
} lane_t;
static FILE *accounts_out;
static uint32_t accounts_done, accounts_next, accounts_want;

static void register_next(lane_t *l) {
    if (accounts_next >= accounts_want)
        return;
    char body[160];
    int n = snprintf(body, sizeof body, "{\"username\":\"%s.%u\",\"password\":\"correct horse 9\"}",
                     arg("prefix", "u"), accounts_next++);
    client_request(loop, &l->c, "POST", "/api/auth/register", NULL, NULL,
                   (slice_t){body, (size_t)n});
}
static void on_connected(client_t *c) {
    register_next((lane_t *)c);
}
static void on_answer(client_t *c, int status, char *body, size_t len) {
    static json_doc_t *d;
    d = d ? d : json_doc_new();
    int64_t id = 0;
    slice_t token = {0};
    if (status != 200 || json_parse(d, body, len) != 0)
        fail("register answered %d %.*s", status, (int)(len < 120 ? len : 120), body);
    json_at_t data = json_get(d, JSON_ROOT, "data");
    json_int(d, json_get(d, json_get(d, json_get(d, data, "profile"), "user"), "id"), &id);
    json_string(d, json_get(d, data, "access_token"), &token);
    fprintf(accounts_out, "%ld %.*s\n", id, (int)token.len, token.at);
    accounts_done++;
    register_next((lane_t *)c);
}
static void on_lost(client_t *c, bool abnormal, const char *why) {
    (void)c, (void)abnormal;
    fail("HTTP connection: %s", why);
}

static void accounts(void) {
    static const client_events_t events = {
        .open = on_connected, .answer = on_answer, .closed = on_lost};
    static lane_t lanes[32];
    accounts_want = (uint32_t)number("count", "1");
    accounts_out = fopen(arg("out", ""), "w");
    if (!accounts_out)
        fail("out=FILE is missing");
    span_t from = span_now(0);
    for (uint32_t i = 0; i < 32 && i < number("lanes", "32"); i++)
        client_open(loop, &lanes[i].c, i, NULL, &events);
    while (accounts_done < accounts_want)
        loop_turn(loop, now_ns() + 100000000);
    fclose(accounts_out);
    span_print(from, span_now(accounts_done));
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    const char *mode = argc > 1 ? argv[1] : "";
    arguments = argv + (argc > 1 ? 2 : 1);
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"pump", pump}, {"fan", fan}, {"shake", shake}, {"hold", hold}};
    text = arg("text", "");
    match = arg("match", NULL);
    room = arg("room", "0");
    silent = number("silent", "0") != 0;
    inflight = (uint32_t)number("inflight", "1");
    nonce = now_ns();
    loop = loop_new(&options, &tally);
    if (strcmp(mode, "accounts") == 0) {
        address("http", options.http_host, &options.http_port);
        accounts();
        return 0;
    }
    address("addr", options.host, &options.port);
    read_paths();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(mode, modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    fail("unknown mode; the file's head says what there is");
}
