/* script: the door (script.h): opens all services at start, calls into them, closes them. */
#include "base/err.h"
#include "base/log.h"
#include "script/script_in.h"
#include <stdio.h>
#include <stdlib.h>

static void read_conf(script_t *s, const conf_t *conf) {
    s->conf = conf;
    s->vm_conf.memory = (size_t)conf_int(conf, "script.memory");
    s->vm_conf.slice_ms = (uint32_t)conf_int(conf, "script.slice");
    s->shards = (uint32_t)conf_int(conf, "script.shards");
    s->timeout_ms = (uint32_t)conf_int(conf, "script.timeout");
    s->max_queue = (uint32_t)conf_int(conf, "script.queue");
    s->max_timers = (uint32_t)conf_int(conf, "script.timers");
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
        sv->current = sources_ref(sources);
    }
    return true;
}

/* Everything that scripts can get wrong comes before the first actor: all VMs, in order of service
 * and shard. */
static bool load_programs(script_t *s, sources_t *sources, program_t **programs, char *fault,
                          size_t room) {
    for (uint32_t i = 0; i < s->service_count; i++)
        for (uint32_t n = 0; n < s->shards; n++)
            if (!(*programs++ = program_new(s, sources, s->services[i].name, n, fault, room)))
                return false;
    return true;
}

/* Takes the programs. */
static bool spawn_shards(script_t *s, program_t **programs) {
    for (uint32_t i = 0; i < s->service_count; i++) {
        for (uint32_t n = 0; n < s->shards; n++) {
            shard_arg_t arg = {s, i, n, programs[i * s->shards + n]};
            actor_ref_t ref = actor_spawn(s->rt, NULL, &shard_class, n, -1, &arg);
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
    bool ok =
        load_programs(s, sources, programs, fault, room) && policies_open(s, sources, fault, room);
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
    sources_t *sources = sources_read(conf_text(conf, "script.dir").at, fault, room);
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
    if (ok)
        return s;
    script_close(s);
    return NULL;
}

void script_close(script_t *s) {
    if (!s)
        return;
    policies_close(s);
    for (uint32_t i = 0; i < s->service_count; i++)
        sources_unref(s->services[i].current);
    free((void *)s->functions);
    free(s);
}

int script_service(const script_t *s, const char *name) {
    for (uint32_t i = 0; i < s->service_count; i++)
        if (strcmp(s->services[i].name, name) == 0)
            return (int)i;
    return -1;
}

static msg_t *call_message(const char *verb, uint64_t key, block_t *json) {
    shard_call_t c = {.key = key};
    snprintf(c.verb, sizeof c.verb, "%s", verb);
    msg_t *m = msg_of(SHARD_CALL, &c, sizeof c);
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
