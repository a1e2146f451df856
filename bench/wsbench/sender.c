/* sender: what a user sends, when, and what came of it. Open loop: message n is due at start + n /
 * rate whatever the server does, and its latency counts from when it was due, so that a stall is
 * seen by every message that fell into it. Closed loop: as many as `inflight` are unanswered at any
 * time. */
#include "chat.h"
#include <stdlib.h>
#include <string.h>

uint64_t text_hash(const char *at, size_t len) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)at[i]) * 0x100000001b3ull;
    return h;
}

/* "HASH DUE filler": the hash covers what follows it */
static void add_text(buf_t *b, const user_t *u, uint64_t due) {
    char text[12400];
    int n =
        snprintf(text, sizeof text, "%016llx %llu %u ", 0ull, (unsigned long long)due, u->number);
    size_t len = (size_t)n < run.job->o->payload ? run.job->o->payload : (size_t)n;
    memcpy(text + n, run.payload, len - (size_t)n);
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)text_hash(text + 16, len - 16));
    memcpy(text, hash, 16);
    buf_add_char(b, '"');
    buf_add(b, text, len); /* plain ASCII: needs no escapes */
    buf_add_char(b, '"');
}

static void send_one(user_t *u, uint64_t due) {
    bool http = run.job->o->via_http;
    uint64_t n = u->sent++;
    u->due_ns[n % PENDING] = due;
    buf_t b = {0};
    if (!http)
        buf_add_text(&b, "{\"type\":\"message\",\"data\":");
    buf_addf(&b,
             "{\"conversation_id\":%lld,\"client_msg_id\":\"%llx-%llu\",\"content_type\":1,\"%s\":",
             (long long)u->chat->id, (unsigned long long)run.nonce, (unsigned long long)n,
             http ? "text" : "content");
    add_text(&b, u, due);
    buf_add_text(&b, http ? "}" : "}}");
    COUNT(run.job->t->sent, 1);
    if (http) {
        char device[32];
        snprintf(device, sizeof device, "bench_%u", u->number);
        u->http_busy = true;
        client_request(run.job->loop, &u->http, "POST", "/api/messages", u->token, device,
                       buf_slice(&b));
    } else {
        client_text(run.job->loop, &u->ws, buf_slice(&b));
    }
    buf_free(&b);
}

static void closed_loop(user_t *u, uint64_t now) {
    uint32_t most = run.job->o->via_http ? 1 : run.job->o->inflight;
    while (run.sending && u->up && u->sent - u->answered < most)
        send_one(u, now);
}

static void open_loop(user_t *u, uint64_t now) {
    uint64_t gap = (uint64_t)(60e9 / run.job->o->msg_rate);
    if (now > run.stop_ns)
        now = run.stop_ns;
    while (u->up && now > u->next_due_ns && u->sent - u->answered < PENDING && !u->http_busy) {
        send_one(u, u->next_due_ns);
        u->next_due_ns += gap;
    }
}

void sender_start(user_t *u, uint64_t now) {
    if (!u->sender)
        return;
    if (run.job->o->inflight) {
        closed_loop(u, now);
    } else {
        uint64_t gap = (uint64_t)(60e9 / run.job->o->msg_rate);
        u->next_due_ns = now + gap * (u->number % 1000) / 1000; /* spread over one period */
    }
}

uint64_t sender_behind(const user_t *u) {
    if (!u->sender || run.job->o->inflight || u->next_due_ns >= run.stop_ns)
        return 0;
    return (uint64_t)((double)(run.stop_ns - u->next_due_ns) * run.job->o->msg_rate / 60e9) + 1;
}

void refusal(const user_t *u, slice_t what) {
    tally_t *t = run.job->t;
    if (!t->refusal[0])
        snprintf(t->refusal, sizeof t->refusal, "user %u: %.*s", u->number,
                 (int)(what.len < 120 ? what.len : 120), what.at);
    if (run.job->o->verbose)
        fprintf(stderr, "wsbench: user %u: %.*s\n", u->number, (int)what.len, what.at);
}

void sender_due(uint64_t now) {
    for (uint32_t i = 0; i < run.count; i++)
        if (run.users[i].sender)
            open_loop(&run.users[i], now);
}

void sender_answer(user_t *u, slice_t client_msg_id, int64_t seq, bool refused) {
    const char *dash = memchr(client_msg_id.at, '-', client_msg_id.len);
    if (!dash || u->answered == u->sent) {
        COUNT(run.job->t->corrupt, 1);
        return;
    }
    uint64_t now = now_ns(), n = strtoull(dash + 1, NULL, 10);
    u->answered++;
    if (refused) {
        COUNT(run.job->t->refused, 1);
        u->chat->open = true;
    } else {
        COUNT(run.job->t->acked, 1);
        hist_add(&run.job->t->ack, (now - u->due_ns[n % PENDING]) / 1000);
        u->chat->acked++;
        if (seq > u->chat->latest)
            u->chat->latest = seq;
        if (!seqs_mark(u, seq))
            COUNT(run.job->t->duplicates, 1); /* a seq given out twice */
    }
    if (run.job->o->inflight)
        closed_loop(u, now);
}

void sender_http_answer(client_t *c, int status, char *body, size_t len) {
    user_t *u = c->user;
    json_doc_t *d = run.doc;
    slice_t cid = {0};
    int64_t seq = 0;
    u->http_busy = false;
    json_at_t data = json_parse(d, body, len) == 0 ? json_get(d, JSON_ROOT, "data") : 0;
    bool ok = status == 200 && json_string(d, json_get(d, data, "client_msg_id"), &cid) &&
              json_int(d, json_get(d, data, "seq"), &seq);
    char own[40]; /* a refusal does not name it: it is the only one under way */
    if (!ok) {
        refusal(u, (slice_t){body, len});
        snprintf(own, sizeof own, "%llx-%llu", (unsigned long long)run.nonce,
                 (unsigned long long)(u->sent - 1));
        cid = slice_of(own);
    }
    sender_answer(u, cid, seq, !ok);
}
