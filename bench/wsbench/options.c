/* options: the flags of wsbench: those of the reference load tool (PROTOCOL.md section 17; one or
 * two dashes, =value or a word of its own) and our own. */
#include "wsbench.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef enum kind { TEXT, NUMBER, REAL, TIME, FLAG, IGNORED } kind_t;
typedef struct flag {
    const char *name;
    kind_t kind;
    size_t at;
    const char *preset, *help;
} flag_t;
#define AT(field) offsetof(options_t, field)
static const flag_t flags[] = {
    {"target", TEXT, AT(target), "ws://localhost:8084/ws", "WebSocket address, without a query"},
    {"mode", TEXT, AT(mode_name), "connect-only",
     "connect-only | raw (the reference tool's bare message frames) | ping | messaging (real "
     "messages)"},
    {"conns", NUMBER, AT(conns), "1000", "connections over all processes; in messaging: users"},
    {"ramp", TIME, AT(ramp_ms), "1m",
     "time over which they connect (ping and messaging: as fast as max-cps lets, unless given)"},
    {"duration", TIME, AT(duration_ms), "5m",
     "of the run, ramp included; messaging and ping: of sending"},
    {"max-cps", NUMBER, AT(max_cps), "500", "upper bound of new connections a second"},
    {"ping-interval", TIME, AT(ping_ms), "30s", "JSON ping per connection"},
    {"msg-rate", REAL, AT(msg_rate), "10", "messages per connection and minute (open loop)"},
    {"payload-size", NUMBER, AT(payload), "128", "bytes of text in a message"},
    {"retry", NUMBER, AT(retry), "3", "extra tries per connection"},
    {"retry-delay", TIME, AT(retry_delay_ms), "1s", "before the first extra try; it doubles"},
    {"handshake-timeout", TIME, AT(handshake_ms), "30s",
     "a handshake not answered by then has failed"},
    {"read-timeout", TIME, AT(read_ms), "120s",
     "no data frame or control pong for so long counts as a disconnect"},
    {"write-timeout", TIME, AT(write_ms), "10s", "accepted; writes never block here"},
    {"read-buffer", IGNORED, 0, "8192", "accepted, without effect"},
    {"write-buffer", IGNORED, 0, "8192", "accepted, without effect"},
    {"verbose", FLAG, AT(verbose), "false",
     "tell each failed connection and each refusal on stderr"},
    {"output", TEXT, AT(output_name), "text", "text | json | csv; progress goes to stderr"},
    {"auth-mode", IGNORED, 0, "none", "accepted, without effect"},
    {"token-file", IGNORED, 0, "", "accepted, without effect"},
    {"user-file", IGNORED, 0, "", "accepted, without effect"},
    {"http", TEXT, AT(http), "http://localhost:8080",
     "messaging: the HTTP API, for logins and chats"},
    {"processes", NUMBER, AT(processes), "0",
     "0 = as many as descriptors and 10,000 connections each ask for"},
    {"group-size", NUMBER, AT(group_size), "2",
     "2 = single chats in pairs, above: groups of that size"},
    {"senders", NUMBER, AT(senders), "0", "how many of each chat send; 0 = all"},
    {"inflight", NUMBER, AT(inflight), "0",
     "closed loop: unanswered messages per sender (a stall slows the senders down); 0 = open loop "
     "by msg-rate (it does not, and latency counts from when a message was due)"},
    {"via", TEXT, AT(via_name), "ws", "ws | http: how messages are sent"},
    {"ack-every", NUMBER, AT(ack_every), "32",
     "a device acks after so many pushes, and once a second"},
    {"settle", TIME, AT(settle_ms), "10s", "how long to wait for the last acks and pushes"},
    {"prefix", TEXT, AT(prefix), "bench", "user names are PREFIX.NUMBER"},
    {"password", TEXT, AT(password), "wsbench password", "of these users"},
    {"server-pid", NUMBER, AT(server_pid), "0", "tells the server's CPU time per operation"},
};
#define FLAGS (sizeof flags / sizeof *flags)

_Noreturn static void wrong(const char *what, const char *value) {
    fprintf(stderr, "wsbench: %s: %s\n", what, value);
    exit(2);
}

static void help(void) {
    printf("wsbench: connections and messages against parley, and what came of them\n\n");
    for (size_t i = 0; i < FLAGS; i++)
        printf("  --%-18s %s (%s)\n", flags[i].name, flags[i].help, flags[i].preset);
    printf(
        "\nExit status: 0; 1 when a check failed (loss, duplicate, disorder, wrong text, refused, "
        "unanswered or unsent\nmessages, failed or dropped connections); 2 bad flags. The result "
        "goes "
        "to stdout, the rest to stderr.\n");
    exit(0);
}

/* 30s, 1m30s, 500ms, 2h */
static uint64_t read_time(const char *name, const char *text) {
    double total = 0;
    const char *at = text;
    while (*at) {
        char *end;
        double n = strtod(at, &end);
        if (end == at || n < 0)
            wrong(name, text);
        if (strncmp(end, "ms", 2) == 0) {
            total += n;
            at = end + 2;
        } else if (*end == 's' || *end == 'm' || *end == 'h') {
            total += n * (*end == 's' ? 1e3 : *end == 'm' ? 60e3 : 3600e3);
            at = end + 1;
        } else if (*end == 0 && n == 0) {
            at = end;
        } else {
            wrong(name, text);
        }
    }
    return (uint64_t)total;
}

static void put(options_t *o, const flag_t *f, const char *value) {
    char *field = (char *)o + f->at, *end;
    switch (f->kind) {
    case TEXT:
        *(const char **)field = value;
        break;
    case NUMBER: {
        unsigned long n = strtoul(value, &end, 10);
        if (*end || !isdigit((unsigned char)*value) || n > UINT32_MAX)
            wrong(f->name, value);
        *(uint32_t *)field = (uint32_t)n;
        break;
    }
    case REAL:
        *(double *)field = strtod(value, &end);
        if (*end || *(double *)field < 0)
            wrong(f->name, value);
        break;
    case TIME:
        *(uint64_t *)field = read_time(f->name, value);
        break;
    case FLAG:
        *(bool *)field = !strchr("0fF", *value);
        break;
    case IGNORED:
        break;
    }
}

static const flag_t *find(const char *name, size_t len) {
    for (size_t i = 0; i < FLAGS; i++)
        if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
            return &flags[i];
    return NULL;
}

/* a name becomes its first IPv4 address */
static void resolve(char host[64]) {
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, NULL, &want, &found) != 0)
        wrong("unknown host", host);
    struct sockaddr_in *at = (struct sockaddr_in *)found->ai_addr;
    inet_ntop(AF_INET, &at->sin_addr, host, 64);
    freeaddrinfo(found);
}

/* scheme://host[:port][/path] */
static void read_url(const char *url, const char *scheme, uint16_t preset, char host[64],
                     uint16_t *port, char *path, size_t room) {
    size_t n = strlen(scheme);
    if (strncmp(url, scheme, n) != 0)
        wrong("the address must begin with", scheme);
    const char *at = url + n, *slash = strchr(at, '/');
    size_t len = slash ? (size_t)(slash - at) : strlen(at);
    const char *colon = memchr(at, ':', len);
    size_t name = colon ? (size_t)(colon - at) : len;
    *port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : preset;
    if (name == 0 || name >= 64 || *port == 0)
        wrong("bad address", url);
    snprintf(host, 64, "%.*s", (int)name, at);
    resolve(host);
    if (path)
        snprintf(path, room, "%s", slash ? slash : "/");
}

static uint32_t choice(const char *what, const char *value, const char *const names[]) {
    for (uint32_t i = 0; names[i]; i++)
        if (strcmp(names[i], value) == 0)
            return i;
    wrong(what, value);
}

/* Connections a process may hold: what it may have open, less what it needs itself. */
static void share(options_t *o) {
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    uint64_t each = o->mode == MODE_MESSAGING && o->via_http ? 2 : 1;
    uint64_t most = files.rlim_max > 64 + each ? (files.rlim_max - 64) / each : 1;
    uint64_t want = most < 10000 ? most : 10000;
    if (o->processes == 0)
        o->processes = (uint32_t)((o->conns + want - 1) / want);
    if ((o->conns + o->processes - 1) / o->processes > most)
        wrong("conns", "more descriptors than a process may open (ulimit -Hn), or more processes");
}

static void finish(options_t *o) {
    static const char *const modes[] = {"connect-only", "raw", "ping", "messaging", NULL};
    static const char *const outputs[] = {"text", "json", "csv", NULL}, *const vias[] = {
                                                                            "ws", "http", NULL};
    o->mode = (enum mode)choice("unknown mode", o->mode_name, modes);
    o->output = (enum output)choice("unknown output", o->output_name, outputs);
    o->via_http = choice("unknown via", o->via_name, vias) == 1;
    read_url(o->target, "ws://", 80, o->host, &o->port, o->path, sizeof o->path);
    read_url(o->http, "http://", 80, o->http_host, &o->http_port, NULL, 0);
    if (strchr(o->path, '?'))
        wrong("the target must not have a query", o->target);
    if (o->conns == 0 || o->max_cps == 0 || o->ping_ms == 0 || o->group_size < 2 ||
        o->ack_every == 0)
        wrong("must not be 0",
              "conns, max-cps, ping-interval, ack-every; group-size is at least 2");
    if (o->inflight > 64)
        wrong("inflight", "at most 64");
    if (o->payload > 12000)
        wrong("payload-size", "at most 12000");
    share(o);
    if (o->mode == MODE_MESSAGING)
        o->conns -= o->conns % o->group_size;
    if (o->conns == 0 || o->processes > o->conns || o->processes > 256)
        wrong("conns", "too few for the group size or the processes");
}

void options_read(options_t *o, int argc, char **argv) {
    bool ramp = false;
    *o = (options_t){0};
    for (size_t i = 0; i < FLAGS; i++)
        if (flags[i].kind != IGNORED)
            put(o, &flags[i], flags[i].preset);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (*name != '-')
            wrong("not a flag", name);
        name += name[1] == '-' ? 2 : 1;
        if (strcmp(name, "help") == 0 || strcmp(name, "h") == 0)
            help();
        const char *eq = strchr(name, '=');
        const flag_t *f = find(name, eq ? (size_t)(eq - name) : strlen(name));
        if (!f)
            wrong("unknown flag", argv[i]);
        ramp = ramp || f->at == AT(ramp_ms);
        if (eq)
            put(o, f, eq + 1);
        else if (f->kind == FLAG)
            put(o, f, "true");
        else if (++i < argc)
            put(o, f, argv[i]);
        else
            wrong("needs a value", argv[i - 1]);
    }
    finish(o);
    if (!ramp && (o->mode == MODE_PING || o->mode == MODE_MESSAGING))
        o->ramp_ms = 0;
}
