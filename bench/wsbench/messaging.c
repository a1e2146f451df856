/* messaging: real users in real chats. Every push is checked: seqs rise without hole or double, the
 * text is the one that was sent. What pushes left out is fetched by sync at the end, and only what
 * that does not give either is lost. */
#include "chat.h"
#include <stdlib.h>
#include <string.h>

run_t run;

static void ask_ack(user_t *u) {
    char text[160];
    int n = snprintf(
        text, sizeof text,
        "{\"type\":\"ack\",\"data\":{\"conversation_id\":%lld,\"message_id\":0,\"seq\":%lld}}",
        (long long)u->chat->id, (long long)u->have);
    u->unacked_pushes = 0;
    client_text(run.job->loop, &u->ws, (slice_t){text, (size_t)n});
}

static void ask_sync(user_t *u) {
    char text[160];
    int n = snprintf(
        text, sizeof text,
        "{\"type\":\"sync\",\"id\":\"s\",\"data\":{\"sync_points\":{\"%lld\":%lld},\"limit\":200}}",
        (long long)u->chat->id, (long long)u->have);
    u->syncing = true;
    u->more = false;
    client_text(run.job->loop, &u->ws, (slice_t){text, (size_t)n});
}

/* the text is ours and whole; *due is when it was due */
static bool text_ok(slice_t text, uint64_t *due) {
    if (text.len < 18 || text.at[16] != ' ')
        return false;
    char hash[17] = {0};
    memcpy(hash, text.at, 16);
    *due = strtoull(text.at + 17, NULL, 10);
    return strtoull(hash, NULL, 16) == text_hash(text.at + 16, text.len - 16);
}

static void on_push(user_t *u, json_at_t m, bool resent) {
    json_doc_t *d = run.doc;
    tally_t *t = run.job->t;
    int64_t seq = 0, chat = 0;
    uint64_t due = 0;
    slice_t text = {0};
    json_int(d, json_get(d, m, "seq"), &seq);
    json_int(d, json_get(d, m, "conversation_id"), &chat);
    json_string(d, json_get(d, json_get(d, json_get(d, m, "content"), "text"), "text"), &text);
    if (seq <= 0 || chat != u->chat->id || !text_ok(text, &due)) {
        COUNT(t->corrupt, 1);
        return;
    }
    bool fresh = seqs_mark(u, seq);
    if (resent) {
        COUNT(t->resent, 1);
        return;
    }
    if (!fresh)
        COUNT(t->duplicates, 1);
    if (seq <= u->last_push)
        COUNT(t->disorder, 1);
    u->last_push = seq;
    COUNT(t->delivered, 1);
    hist_add(&t->delivery, (now_ns() - due) / 1000);
    if (++u->unacked_pushes >= run.job->o->ack_every)
        ask_ack(u);
}

static void on_sync(user_t *u, json_at_t data) {
    json_doc_t *d = run.doc;
    bool more = false, partial = false;
    json_at_t messages = json_get(d, data, "messages");
    for (json_at_t list = json_first(d, messages); list; list = json_next(d, list))
        for (json_at_t m = json_first(d, list); m; m = json_next(d, m)) {
            int64_t seq = 0;
            uint64_t due;
            slice_t text = {0};
            json_int(d, json_get(d, m, "seq"), &seq);
            json_string(d, json_get(d, json_get(d, json_get(d, m, "content"), "text"), "text"),
                        &text);
            if (!text_ok(text, &due))
                COUNT(run.job->t->corrupt, 1);
            else if (seqs_mark(u, seq))
                COUNT(run.job->t->synced, 1);
        }
    json_at_t flags = json_get(d, data, "has_more");
    json_bool(d, json_first(d, flags), &more);
    json_bool(d, json_get(d, data, "partial"), &partial);
    u->more = u->more || more;
    if (partial)
        return; /* the rest of this answer follows */
    u->syncing = false;
    if (u->more)
        ask_sync(u);
}

static void on_error(user_t *u, json_at_t data) {
    json_doc_t *d = run.doc;
    slice_t cid = {0}, text = {0};
    json_string(d, json_get(d, data, "error"), &text);
    refusal(u, text);
    if (json_string(d, json_get(d, data, "client_msg_id"), &cid))
        sender_answer(u, cid, 0, true);
    else
        COUNT(run.job->t->other_frames, 1);
}

static void on_message(client_t *c, char *at, size_t len) {
    user_t *u = (user_t *)c;
    json_doc_t *d = run.doc;
    slice_t type = {0}, cid = {0};
    int64_t seq = 0;
    if (json_parse(d, at, len) != 0 || !json_string(d, json_get(d, JSON_ROOT, "type"), &type)) {
        COUNT(run.job->t->corrupt, 1);
        return;
    }
    json_at_t data = json_get(d, JSON_ROOT, "data");
    if (slice_eq(type, SLICE("message_ack"))) {
        json_string(d, json_get(d, data, "client_msg_id"), &cid);
        json_int(d, json_get(d, data, "seq"), &seq);
        sender_answer(u, cid, seq, false);
    } else if (slice_eq(type, SLICE("new_message"))) {
        on_push(u, data, false);
    } else if (slice_eq(type, SLICE("message_resend"))) {
        on_push(u, data, true);
    } else if (slice_eq(type, SLICE("resync"))) {
        COUNT(run.job->t->resyncs, 1);
    } else if (slice_eq(type, SLICE("sync_resp"))) {
        on_sync(u, data);
    } else if (slice_eq(type, SLICE("error"))) {
        on_error(u, data);
    } else {
        COUNT(run.job->t->other_frames, 1);
    }
}

static void on_open(client_t *c) {
    user_t *u = (user_t *)c;
    u->up = true;
    COUNT(run.job->t->connected, 1);
    COUNT(run.job->t->live, 1);
}

static void on_closed(client_t *c, bool abnormal, const char *why) {
    user_t *u = (user_t *)c;
    (void)abnormal;
    if (run.job->o->verbose)
        fprintf(stderr, "wsbench: user %u: %s\n", u->number, why);
    if (u->up) {
        COUNT(run.job->t->disconnects, 1);
        atomic_fetch_sub(&run.job->t->live, 1);
    } else if (u->tries < run.job->o->retry) {
        COUNT(run.job->t->retries, 1);
        u->retry_ns = now_ns() + (run.job->o->retry_delay_ms << u->tries++) * 1000000ull;
    } else {
        COUNT(run.job->t->failed, 1);
    }
    u->up = false;
}

static void http_open(client_t *c) {
    (void)c;
}
static void http_closed(client_t *c, bool abnormal, const char *why) {
    (void)c, (void)abnormal;
    job_fail(run.job, "a sender's HTTP connection: %s", why);
}

static void connect_user(user_t *u) {
    static const client_events_t events = {
        .open = on_open, .message = on_message, .closed = on_closed};
    const options_t *o = run.job->o;
    char path[2048];
    snprintf(path, sizeof path, "%s?device_id=bench_%u&platform=bench&replay=0&token=%s", o->path,
             u->number, u->token);
    u->retry_ns = 0;
    client_open(run.job->loop, &u->ws, u->number, path, &events);
}

static void connect_http(user_t *u) {
    static const client_events_t events = {
        .open = http_open, .answer = sender_http_answer, .closed = http_closed};
    u->http.user = u;
    if (run.job->o->via_http && u->sender)
        client_open(run.job->loop, &u->http, u->number, NULL, &events);
}

/* Tries again what failed; how many neither stand nor have failed for good. */
static uint32_t under_way(uint32_t opened, uint64_t now) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < opened; i++) {
        user_t *u = &run.users[i];
        if (u->retry_ns && now >= u->retry_ns)
            connect_user(u);
        n += !u->up && (u->ws.fd >= 0 || u->retry_ns);
    }
    return n;
}

static void connect_all(void) {
    const options_t *o = run.job->o;
    double rate = (double)o->max_cps / o->processes;
    if (o->ramp_ms && run.count * 1000.0 / (double)o->ramp_ms < rate)
        rate = run.count * 1000.0 / (double)o->ramp_ms;
    uint64_t started = now_ns(), last = 0;
    uint32_t opened = 0;
    while (!run.job->shared->stop && (opened < run.count || under_way(opened, now_ns()))) {
        uint64_t now = now_ns(), due = (uint64_t)((double)(now - started) / 1e9 * rate) + 1;
        for (; opened < run.count && opened < due; opened++, last = now) {
            connect_user(&run.users[opened]);
            connect_http(&run.users[opened]);
        }
        if (opened == run.count && now - last > o->handshake_ms * 1000000ull)
            break;
        loop_turn(run.job->loop, now + 5000000);
    }
    uint64_t standing = 0;
    for (uint32_t i = 0; i < run.count; i++)
        standing += run.users[i].up;
    if (atomic_load(&run.job->t->failed) + standing < run.count)
        COUNT(run.job->t->failed, run.count - standing - run.job->t->failed);
}

static void ack_all(void) {
    for (uint32_t i = 0; i < run.count; i++)
        if (run.users[i].up && run.users[i].unacked_pushes)
            ask_ack(&run.users[i]);
}

static void send_for(uint64_t ms) {
    uint64_t now = now_ns(), stop = now + ms * 1000000ull, tick = now, second = now + 1000000000;
    run.sending = true;
    run.stop_ns = stop;
    for (uint32_t i = 0; i < run.count; i++)
        sender_start(&run.users[i], now);
    for (; now < stop && !run.job->shared->stop; now = now_ns()) {
        if (!run.job->o->inflight && now >= tick) {
            sender_due(now);
            tick = now + 1000000;
        }
        if (now >= second) {
            ack_all();
            second += 1000000000;
        }
        loop_turn(run.job->loop, run.job->o->inflight ? second : tick);
    }
    run.sending = false;
    if (now_ns() < run.stop_ns)
        run.stop_ns = now_ns(); /* interrupted */
}

static bool settled(bool syncs_only) {
    for (uint32_t i = 0; i < run.count; i++) {
        const user_t *u = &run.users[i];
        if (u->up && (u->syncing || (!syncs_only && (u->sent != u->answered || sender_behind(u) ||
                                                     seqs_missing(u)))))
            return false;
    }
    return true;
}

static void settle(bool syncs_only) {
    uint64_t give_up = now_ns() + run.job->o->settle_ms * 1000000ull;
    while (!settled(syncs_only) && now_ns() < give_up) {
        if (!syncs_only && !run.job->o->inflight)
            sender_due(now_ns()); /* a stall has held back what was due: its latency counts, too */
        loop_turn(run.job->loop, now_ns() + 5000000);
    }
}

static void verify(void) {
    for (uint32_t i = 0; i < run.count; i++)
        if (run.users[i].up && seqs_missing(&run.users[i]))
            ask_sync(&run.users[i]);
    settle(true);
    for (uint32_t i = 0; i < run.count; i++) {
        user_t *u = &run.users[i];
        COUNT(run.job->t->lost, seqs_missing(u));
        COUNT(run.job->t->unacked, u->sent - u->answered);
        COUNT(run.job->t->unsent, sender_behind(u));
        u->chat->open = u->chat->open || u->sent != u->answered;
    }
    /* as many seqs as messages, in a chat that is ours alone */
    for (uint32_t i = 0; i < run.chat_count; i++) {
        const chat_t *c = &run.chats[i];
        int64_t seqs = c->latest - c->first;
        if (c->acked > seqs)
            COUNT(run.job->t->duplicates, c->acked - seqs); /* a seq for two messages */
        else if (!c->open)
            COUNT(run.job->t->duplicates, seqs - c->acked); /* two seqs for a message */
    }
}

void messaging_run(job_t *j) {
    run = (run_t){.job = j,
                  .count = j->count,
                  .chat_count = j->count / j->o->group_size,
                  .doc = json_doc_new()};
    run.users = calloc(run.count, sizeof *run.users);
    run.chats = calloc(run.chat_count, sizeof *run.chats);
    run.payload = malloc(12400);
    memset(run.payload, 'x', 12400);
    run.nonce = now_ns();
    for (uint32_t i = 0; i < run.count; i++) {
        run.users[i].number = j->first + i;
        run.users[i].sender = !j->o->senders || i % j->o->group_size < j->o->senders;
        run.users[i].ws.fd = run.users[i].http.fd = -1;
    }
    setup_users();
    setup_chats();
    job_reach(j, PHASE_CONNECT);
    connect_all();
    job_reach(j, PHASE_RUN);
    send_for(j->o->duration_ms);
    settle(false);
    job_reach(j, PHASE_DRAIN);
    verify();
    job_reach(j, PHASE_VERIFY);
    for (uint32_t i = 0; i < run.count; i++)
        client_cut(j->loop, &run.users[i].ws);
    job_reach(j, PHASE_DONE);
}
