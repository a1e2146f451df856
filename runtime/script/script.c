/* script: the door (script.h): opens all services at start, calls into them, closes them. */
#include "base/err.h"
#include "base/log.h"
#include "sched/watchdog.h"
#include "script/script_in.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void read_conf(script_t *s, const conf_t *conf) {
    s->conf = conf;
    s->vm_conf.memory = (size_t)conf_int(conf, "script.memory");
    s->vm_conf.slice_ms = (uint32_t)conf_int(conf, "script.slice");
    s->vm_conf.hold_ms = (uint32_t)conf_int(conf, "script.hold");
    s->vm_conf.preempt = true;
    watchdog_limit_set((uint32_t)conf_int(conf, "script.preempt"));
    s->shards = (uint32_t)conf_int(conf, "script.shards");
    s->log_rate = conf_rate(conf, "limits.script_log");
    s->timeout_ms = (uint32_t)conf_int(conf, "script.timeout");
    s->max_queue = (uint32_t)conf_int(conf, "script.queue");
    s->max_timers = (uint32_t)conf_int(conf, "script.timers");
    s->shadow_rate = (uint32_t)conf_int(conf, "script.shadow_rate");
    s->max_json = (uint32_t)conf_int(conf, "script.max_json");
    if (s->shards > SCRIPT_SHARDS)
        s->shards = SCRIPT_SHARDS;
}

/* Names first: a service may be named by another before its own turn. */
static bool list_services(script_t *s, sources_t *sources, char *fault, size_t room) {
    size_t count;
    const source_file_t *f = sources_all(sources, &count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(f[i].path) - 4;
        if (!source_is_service(&f[i]))
            continue;
        if (len >= SCRIPT_NAME || s->service_count == SCRIPT_SERVICES) {
            snprintf(fault, room, "lua/%s: too many services, or its name is too long", f[i].path);
            return false;
        }
        service_t *sv = &s->services[s->service_count++];
        memcpy(sv->name, f[i].path, len);
        sv->shards = s->shards;
        sv->current = version_new(sv->name, sources);
    }
    return true;
}

/* Everything that scripts can get wrong comes before the first actor: all VMs, in order of service
 * and shard. */
static bool load_programs(script_t *s, program_t **programs, char *fault, size_t room) {
    for (uint32_t i = 0; i < s->service_count; i++)
        for (uint32_t n = 0; n < s->shards; n++)
            if (!(*programs++ = program_new(s, s->services[i].current, n, fault, room)))
                return false;
    return true;
}

/* --- what served before, and what serves now --- */
static void find_history_dir(script_t *s) {
    char text[560];
    slice_t data = conf_text(s->conf, "data.dir");
    snprintf(s->history_dir, sizeof s->history_dir, "%.400s/scripts", data.at);
    snprintf(text, sizeof text, "%s/text", s->history_dir);
    bool there = data.len > 0 && data.len < 400 &&
                 (mkdir(s->history_dir, 0750) == 0 || errno == EEXIST) &&
                 (mkdir(text, 0750) == 0 || errno == EEXIST);
    if (!there)
        *s->history_dir = '\0';
}

static bool has_own_file(const version_t *v) {
    size_t count;
    const source_file_t *f = sources_all(v->sources, &count);
    for (size_t i = 0; i < count; i++)
        if (version_uses(v, i) && f[i].own)
            return true;
    return false;
}

typedef struct line {
    char *at;
    size_t room;
} line_t;

static void first_line(void *arg, const char *text) {
    line_t *l = arg;
    if (!*l->at)
        snprintf(l->at, l->room, "%s", text);
}

/* Specs of what is new here; what served already and what is built in has passed its own. */
static bool may_serve(const script_t *s, version_t *v, const history_entry_t *known, char *fault,
                      size_t room) {
    line_t l = {fault, room};
    if (!has_own_file(v) || (known && known->state != HISTORY_REFUSED))
        return true;
    *fault = '\0';
    return spec_run(s, v, first_line, &l).failed == 0;
}

/* The history goes on where it ended, and says so when something else serves now. */
static bool begin_history(script_t *s, service_t *sv, char *fault, size_t room) {
    version_t *v = sv->current;
    char reason[HISTORY_REASON] = "";
    version_settle(v);
    sv->history =
        history_open(s->history_dir, sv->name, (uint32_t)conf_int(s->conf, "script.history"));
    const history_entry_t *last = history_last(sv->history, HISTORY_SERVES),
                          *known = history_hash(sv->history, v->hash);
    int64_t now = runtime_wall_ms(s->rt);
    if (!may_serve(s, v, known, fault, room))
        return false;
    if (last && last == known) {
        history_adopt(sv->history, known, v);
        return true;
    }
    if (last) {
        version_t *old = version_ref(last->version);
        snprintf(reason, sizeof reason, "version %u served last; script.dir holds this one",
                 old->number);
        history_note(sv->history, old, HISTORY_SERVED, now, "start", "");
        version_unref(old);
        known = history_hash(sv->history, v->hash);
    }
    if (known)
        history_adopt(sv->history, known, v);
    history_note(sv->history, v, HISTORY_SERVES, now, "start", reason);
    return true;
}

static bool begin_histories(script_t *s, char *fault, size_t room) {
    find_history_dir(s);
    for (uint32_t i = 0; i < s->service_count; i++)
        if (!begin_history(s, &s->services[i], fault, room))
            return false;
    return true;
}

/* Takes the programs. */
static bool spawn_shards(script_t *s, program_t **programs) {
    s->shard_args = calloc((size_t)s->service_count * s->shards + 1, sizeof *s->shard_args);
    if (!s->shard_args)
        log_die("script", "no memory");
    for (uint32_t i = 0; i < s->service_count; i++) {
        for (uint32_t n = 0; n < s->shards; n++) {
            shard_arg_t *arg = &s->shard_args[i * s->shards + n];
            *arg = (shard_arg_t){
                .script = s, .service = i, .number = n, .program = programs[i * s->shards + n]};
            actor_ref_t ref = actor_spawn(s->rt, NULL, &shard_class, n, -1, arg);
            if (actor_ref_eq(ref, ACTOR_NONE))
                return false;
            s->services[i].refs[n] = ref;
        }
    }
    return true;
}

static bool open_all(script_t *s, sources_t *sources, char *fault, size_t room) {
    if (!list_services(s, sources, fault, room))
        return false;
    size_t count = (size_t)s->service_count * s->shards;
    program_t **programs = calloc(count + 1, sizeof(program_t *));
    if (!programs)
        log_die("script", "no memory");
    bool ok = load_programs(s, programs, fault, room) && policies_open(s, fault, room) &&
              begin_histories(s, fault, room);
    for (size_t i = 0; !ok && i < count; i++)
        program_free(programs[i]);
    if (ok && !(spawn_shards(s, programs) && reload_open(s)))
        log_die("script", "the actor limit leaves no room for the shards of %u services",
                s->service_count);
    free(programs);
    return ok;
}

script_t *script_open(runtime_t *rt, const conf_t *conf, const script_ports_t *ports,
                      const script_function_t *functions, size_t count, char *fault, size_t room) {
    sources_t *sources = sources_read(conf_text(conf, "script.dir").at, NULL, fault, room);
    if (!sources)
        return NULL;
    script_t *s = calloc(1, sizeof *s);
    script_function_t *copy = calloc(count + 1, sizeof *copy);
    if (!s || !copy)
        log_die("script", "no memory");
    if (count)
        memcpy(copy, functions, count * sizeof *copy);
    s->rt = rt;
    s->functions = copy;
    s->function_count = count;
    s->ports = *ports;
    s->workers = runtime_workers(rt);
    read_conf(s, conf);
    bool ok = open_all(s, sources, fault, room);
    sources_unref(sources);
    watchdog_quit(); /* this thread runs no script any more */
    if (ok)
        return s;
    script_close(s);
    return NULL;
}

void script_close(script_t *s) {
    if (!s)
        return;
    policies_close(s);
    for (uint32_t i = 0; i < s->service_count; i++) {
        version_unref(s->services[i].current);
        version_unref(s->services[i].held);
        history_free(s->services[i].history);
    }
    for (uint32_t i = 0; s->shard_args && i < s->service_count * s->shards; i++)
        version_unref(s->shard_args[i].version);
    free(s->shard_args);
    free((void *)s->functions);
    free(s);
}

/* --- without a node --- */
static bool check_service(script_t *s, uint32_t i, void (*say)(void *arg, const char *line),
                          void *arg, spec_sum_t *sum) {
    char fault[400];
    version_t *v = s->services[i].current;
    program_t *p = program_new(s, v, 0, fault, sizeof fault);
    if (!p) {
        say(arg, fault);
        return false;
    }
    program_free(p);
    spec_sum_t one = spec_run(s, v, say, arg);
    sum->run += one.run;
    sum->failed += one.failed;
    return true;
}

uint32_t script_verify(const conf_t *conf, const script_function_t *functions, size_t count,
                       void (*say)(void *arg, const char *line), void *arg, uint32_t *tests) {
    char fault[400];
    uint32_t faults = 0;
    spec_sum_t sum = {0, 0};
    sources_t *sources = sources_read(conf_text(conf, "script.dir").at, NULL, fault, sizeof fault);
    script_t *s = calloc(1, sizeof *s);
    if (!s)
        log_die("script", "no memory");
    s->functions = functions;
    s->function_count = count;
    read_conf(s, conf);
    bool ok = sources && list_services(s, sources, fault, sizeof fault);
    if (!ok) {
        say(arg, fault);
        faults++;
    }
    for (uint32_t i = 0; i < s->service_count; i++) {
        faults += ok && !check_service(s, i, say, arg, &sum);
        version_unref(s->services[i].current);
    }
    sources_unref(sources);
    free(s);
    *tests = sum.run;
    return faults + sum.failed;
}

int script_service(const script_t *s, const char *name) {
    for (uint32_t i = 0; i < s->service_count; i++)
        if (strcmp(s->services[i].name, name) == 0)
            return (int)i;
    return -1;
}

static msg_t *call_message(const char *verb, uint64_t key, block_t *json) {
    msg_t *m = msg_new(SHARD_CALL, sizeof(shard_call_t));
    shard_call_t *c = msg_data(m, shard_call_t);
    size_t n = strnlen(verb, SCRIPT_NAME - 1);
    memcpy(c->verb, verb, n);
    c->verb[n] = '\0';
    c->key = key;
    c->nested = false;
    m->body = json;
    return m;
}

void script_call(script_t *s, actor_t *self, int service, const char *verb, uint64_t key,
                 block_t *json, uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    actor_request(self, service_shard(&s->services[service], key), call_message(verb, key, json),
                  timeout_ms, reply_verb, cookie);
}

int script_tell(script_t *s, actor_t *self, int service, const char *verb, uint64_t key,
                block_t *json) {
    return actor_send(self, service_shard(&s->services[service], key),
                      call_message(verb, key, json));
}
