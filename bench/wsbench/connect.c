/* connect: the modes connect-only and raw, which do what the reference load tool does (PROTOCOL.md
 * section 17: open-mode ids, nothing is read before the ramp is over, abrupt end), and ping, which
 * keeps pings in flight to measure. */
#include "base/clock.h"
#include "wsbench.h"
#include <stdlib.h>
#include <string.h>

#define PINGS 64 /* most in flight on a connection */

typedef struct peer {
    client_t c;
    uint32_t tries;
    uint64_t next_ping_ns, next_message_ns, retry_ns;
    uint64_t sent_ns[PINGS]; /* when the unanswered pings left; pongs come in their order */
    uint32_t pings, pongs;
    bool up, given_up;
} peer_t;

static job_t *job; /* of this process */
static peer_t *peers;
static bool reading;

static peer_t *peer_of(client_t *c) {
    return (peer_t *)c;
}

static void on_open(client_t *c) {
    peer_t *p = peer_of(c);
    p->up = true;
    COUNT(job->t->connected, 1);
    COUNT(job->t->live, 1);
    if (!reading)
        client_mute(job->loop, c, true);
}

static void ping(peer_t *p) {
    char text[64];
    int n =
        snprintf(text, sizeof text, "{\"ts\":%lld,\"type\":\"ping\"}", (long long)clock_wall_ms());
    p->sent_ns[p->pings++ % PINGS] = now_ns();
    COUNT(job->t->pings, 1);
    client_text(job->loop, &p->c, (slice_t){text, (size_t)n});
}

static void on_message(client_t *c, char *at, size_t len) {
    peer_t *p = peer_of(c);
    if (memmem(at, len, "\"type\":\"pong\"", 13)) {
        COUNT(job->t->pongs, 1);
        if (p->pings - p->pongs <= PINGS)
            hist_add(&job->t->ping, (now_ns() - p->sent_ns[p->pongs % PINGS]) / 1000);
        p->pongs++;
        if (job->o->mode == MODE_PING && reading)
            ping(p);
    } else {
        COUNT(job->t->other_frames, 1);
    }
}

static void on_pong(client_t *c) {
    (void)c;
    COUNT(job->t->pongs, 1);
}

static void on_closed(client_t *c, bool abnormal, const char *why) {
    peer_t *p = peer_of(c);
    if (job->o->verbose)
        fprintf(stderr, "wsbench: connection %u: %s\n", c->index, why);
    if (p->up) {
        if (abnormal)
            COUNT(job->t->disconnects, 1);
        else
            COUNT(job->t->closed, 1); /* 1000, 1001: no fault of the server */
        atomic_fetch_sub(&job->t->live, 1);
        p->up = false;
        p->given_up = true;
    } else if (p->tries++ < job->o->retry) {
        COUNT(job->t->retries, 1);
        p->retry_ns = now_ns() + (job->o->retry_delay_ms << (p->tries - 1)) * 1000000ull;
    } else {
        COUNT(job->t->failed, 1);
        p->given_up = true;
    }
}

static const client_events_t events = {
    .open = on_open, .message = on_message, .pong = on_pong, .closed = on_closed};

static void open_peer(peer_t *p, uint32_t index) {
    char path[700];
    snprintf(path, sizeof path, "%s?user_id=%u&device_id=bench_%u&platform=bench", job->o->path,
             100000 + index, index);
    p->retry_ns = 0;
    client_open(job->loop, &p->c, index, path, &events);
}

/* opens what is due by now, tries again what failed, gives up slow handshakes */
static uint32_t ramp_step(uint32_t opened, uint64_t started) {
    double rate = job->o->ramp_ms ? job->o->conns * 1000.0 / (double)job->o->ramp_ms : 1e9;
    if (rate > job->o->max_cps)
        rate = job->o->max_cps;
    rate = rate / job->o->processes < 1 ? 1 : rate / job->o->processes;
    uint64_t due = (uint64_t)((double)(now_ns() - started) / 1e9 * rate) + 1;
    while (opened < job->count && opened < due) {
        open_peer(&peers[opened], job->first + opened);
        opened++;
    }
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < opened; i++) {
        peer_t *p = &peers[i];
        if (p->retry_ns && now >= p->retry_ns)
            open_peer(p, job->first + i);
        else if (!p->up && !p->given_up && !p->retry_ns &&
                 now - p->c.started_ns > job->o->handshake_ms * 1000000ull) {
            client_cut(job->loop, &p->c);
            on_closed(&p->c, true, "handshake timeout");
        }
    }
    return opened;
}

static bool all_settled(void) {
    for (uint32_t i = 0; i < job->count; i++)
        if (!peers[i].up && !peers[i].given_up)
            return false;
    return true;
}

static void raw_message(peer_t *p, uint32_t i) {
    buf_t b = {0};
    buf_add_text(&b, "{\"data\":{\"content\":\"");
    memset(buf_room(&b, job->o->payload), 'x', job->o->payload);
    b.len += job->o->payload;
    long long ms = clock_wall_ms();
    buf_addf(&b, "\"},\"id\":\"%u-%lld\",\"ts\":%lld,\"type\":\"message\"}", i,
             ms * 1000000 + (long long)(now_ns() % 1000000), ms);
    COUNT(job->t->sent, 1);
    client_text(job->loop, &p->c, buf_slice(&b));
    buf_free(&b);
}

static void start_reading(void) {
    uint64_t now = now_ns();
    reading = true;
    for (uint32_t i = 0; i < job->count; i++) {
        peer_t *p = &peers[i];
        if (!p->up)
            continue;
        uint64_t spread = (uint64_t)i * 1000000000ull / job->count;
        p->next_ping_ns =
            now + spread + (job->o->mode == MODE_PING ? 0 : job->o->ping_ms * 1000000ull);
        p->next_message_ns = now + spread;
        p->c.last_read_ns = now;
        client_mute(job->loop, &p->c, false);
        for (uint32_t k = 0;
             job->o->mode == MODE_PING && k < (job->o->inflight ? job->o->inflight : 1); k++)
            ping(p);
    }
}

static void timers(uint64_t now) {
    const options_t *o = job->o;
    for (uint32_t i = 0; i < job->count; i++) {
        peer_t *p = &peers[i];
        if (!p->up)
            continue;
        if (o->mode != MODE_PING && now >= p->next_ping_ns) {
            p->next_ping_ns += o->ping_ms * 1000000ull;
            ping(p);
        }
        if (o->mode == MODE_RAW && o->msg_rate > 0 && now >= p->next_message_ns) {
            p->next_message_ns += (uint64_t)(60e9 / o->msg_rate);
            raw_message(p, job->first + i);
        }
        if (now > p->c.last_read_ns + o->read_ms * 1000000ull) {
            client_cut(job->loop, &p->c);
            on_closed(&p->c, true, "read timeout");
        }
    }
}

void connect_run(job_t *j) {
    job = j;
    peers = calloc(j->count, sizeof *peers);
    job_reach(j, PHASE_CONNECT);
    uint64_t started = now_ns(), ramp_end = started + j->o->ramp_ms * 1000000ull;
    uint32_t opened = 0;
    reading = false;
    while (!j->shared->stop && (opened < j->count || !all_settled() ||
                                (j->o->mode != MODE_PING && now_ns() < ramp_end))) {
        opened = ramp_step(opened, started);
        loop_turn(j->loop, now_ns() + 20000000);
    }
    job_reach(j, PHASE_RUN);
    start_reading();
    uint64_t now = now_ns();
    uint64_t stop = (j->o->mode == MODE_PING ? now : started) + j->o->duration_ms * 1000000ull;
    if (stop <= now)
        stop = now + 60000000000ull;
    for (uint64_t tick = now; now < stop && !j->shared->stop; now = now_ns()) {
        if (now >= tick) {
            timers(now);
            tick = now + 10000000;
        }
        loop_turn(j->loop, tick < stop ? tick : stop);
    }
    reading = false;
    job_reach(j, PHASE_DRAIN);
    for (uint32_t i = 0; i < j->count; i++)
        client_cut(j->loop, &peers[i].c);
    job_reach(j, PHASE_DONE);
}
