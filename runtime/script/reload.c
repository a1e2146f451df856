/* reload: reads the rules again and replaces the services that changed. Its actor has a thread of
 * its own, because reading, compiling and closing VMs take milliseconds. One service after the
 * other, one shard after the other: each shard carries its state over at a message boundary and
 * answers; the first that refuses ends it for that service, and all that still run go on with the
 * old version. The policies of all services follow at the end. */
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/script_in.h"
#include <stdio.h>

enum { RELOAD_NOW = MSG_USER, RELOAD_SWAPPED, RELOAD_DISPOSE };

typedef struct reloader {
    script_t *script;
    sources_t *fresh;        /* being rolled out; NULL: idle */
    uint32_t service, shard; /* under way */
    bool again;              /* asked for once more meanwhile */
    bool changed;
} reloader_t;

typedef struct dispose {
    program_t *program;
} dispose_t;

static void drop_program(msg_t *m) {
    program_free(msg_data(m, dispose_t)->program);
}

void reload_dispose(script_t *s, actor_t *self, program_t *p) {
    dispose_t d = {p};
    msg_t *m = msg_of(RELOAD_DISPOSE, &d, sizeof d);
    m->drop = drop_program; /* freed with the message, wherever that ends */
    actor_send(self, s->reloader, m);
}

static void drop_swap(msg_t *m) {
    program_free(msg_data(m, shard_swap_t)->program); /* NULL when the shard took it */
}

static void log_fault(const char *what, const char *fault) {
    char room[400];
    log_error("script", "reload: %s: the old version goes on: %s", what,
              log_safe(slice_of(fault), room, sizeof room));
}

/* Sends the next shard its new version. false: it does not even load. */
static bool swap_shard(actor_t *self, const reloader_t *r) {
    const service_t *sv = &r->script->services[r->service];
    char fault[300];
    program_t *p = program_new(r->script, r->fresh, sv->name, r->shard, fault, sizeof fault);
    if (!p) {
        log_fault(sv->name, fault);
        return false;
    }
    shard_swap_t swap = {p};
    msg_t *m = msg_of(SHARD_SWAP, &swap, sizeof swap);
    m->drop = drop_swap;
    actor_request(self, sv->refs[r->shard], m, 2 * r->script->timeout_ms, RELOAD_SWAPPED, 0);
    return true;
}

static void next_service(reloader_t *r) {
    r->service++;
    r->shard = 0;
}

/* All shards run the new version. The old sources live on in VMs that still have coroutines. */
static void replaced(reloader_t *r) {
    service_t *sv = &r->script->services[r->service];
    sources_unref(sv->current);
    sv->current = sources_ref(r->fresh);
    stat_add(STAT_SCRIPT_REPLACED, 1);
    log_info("script", "reload: %s is replaced", sv->name);
    r->changed = true;
    next_service(r);
}

static void log_unknown(const reloader_t *r) {
    size_t count;
    const source_file_t *f = sources_all(r->fresh, &count);
    for (size_t i = 0; i < count; i++) {
        char name[96];
        snprintf(name, sizeof name, "%.*s", (int)strlen(f[i].path) - 4, f[i].path);
        if (source_is_service(&f[i]) && script_service(r->script, name) < 0)
            log_warn("script", "reload: lua/%s is a new service: it starts with the node",
                     f[i].path);
    }
}

static void finish(actor_t *self, reloader_t *r) {
    char fault[300];
    if (r->changed && !policies_swap(r->script, r->fresh, fault, sizeof fault))
        log_fault("policy", fault);
    log_unknown(r);
    log_info("script", "reload: done");
    stat_add(STAT_SCRIPT_RELOADS, 1);
    sources_unref(r->fresh);
    r->fresh = NULL;
    if (r->again) {
        r->again = false;
        actor_send(self, actor_self(self), msg_new(RELOAD_NOW, 0));
    }
}

static bool has_changed(const reloader_t *r, const service_t *sv) {
    slice_t text;
    return sources_find(r->fresh, slice_of(sv->name), &text) &&
           sources_differ(sv->current, r->fresh, sv->name);
}

/* Goes on until an answer is awaited or all is done. */
static void step(actor_t *self, reloader_t *r) {
    while (r->service < r->script->service_count) {
        const service_t *sv = &r->script->services[r->service];
        if (r->shard == sv->shards)
            replaced(r);
        else if (has_changed(r, sv) && swap_shard(self, r))
            return;
        else
            next_service(r);
    }
    finish(self, r);
}

static void begin(actor_t *self, reloader_t *r) {
    char fault[300];
    if (r->fresh) {
        r->again = true;
        return;
    }
    r->fresh = sources_read(conf_text(r->script->conf, "script.dir").at, fault, sizeof fault);
    if (!r->fresh) {
        log_fault("script.dir", fault);
        stat_add(STAT_SCRIPT_RELOADS, 1);
        return;
    }
    r->service = r->shard = 0;
    r->changed = false;
    step(self, r);
}

static void handle(actor_t *self, reloader_t *r, const msg_t *m) {
    switch (m->verb) {
    case RELOAD_NOW:
        begin(self, r);
        break;
    case RELOAD_SWAPPED:
        if (m->err == ERR_OK)
            r->shard++;
        else
            next_service(r); /* the shard has said why */
        step(self, r);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break; /* RELOAD_DISPOSE: its drop does it, in this thread */
    }
}

static void reload_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    for (size_t i = 0; i < n; i++)
        handle(self, state, m[i]);
}

static int reload_init(actor_t *self, void *state, const void *arg) {
    (void)self;
    ((reloader_t *)state)->script = *(script_t *const *)arg;
    return ERR_OK;
}

static void reload_ended(actor_t *self, void *state, int reason) {
    (void)self;
    (void)reason;
    sources_unref(((reloader_t *)state)->fresh);
}

static const actor_class_t reload_class = {
    .name = "script.reload",
    .place = ACTOR_THREAD,
    .restart = ACTOR_NEVER,
    .state_size = sizeof(reloader_t),
    .batch = 16,
    .init = reload_init,
    .handle_batch = reload_batch,
    .ended = reload_ended,
};

bool reload_open(script_t *s) {
    s->reloader = actor_spawn(s->rt, NULL, &reload_class, 0, -1, &s);
    return !actor_ref_eq(s->reloader, ACTOR_NONE);
}

void script_reload(script_t *s) {
    runtime_send(s->rt, s->reloader, msg_new(RELOAD_NOW, 0));
}
