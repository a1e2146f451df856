/* kind: which back end an URL of conf names. Internal to port. */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

/* The URL begins with the scheme ("sqlite:"); *rest (may be NULL): what is behind it. */
bool port_scheme(slice_t url, const char *scheme, slice_t *rest);
/* `fault`: no back end of the key ("kv.url") has such a scheme. url {NULL, 0}: it is not shown. */
void port_unknown(const char *key, slice_t url, const char *const *schemes, size_t n, char *fault,
                  size_t room);

/* Back ends that are one actor each. */
typedef struct port_kind {
    const char *scheme;
    actor_ref_t (*open)(runtime_t *rt, const conf_t *conf);
} port_kind_t;
/* Opens the one that the URL under `key` names; ACTOR_NONE with a line in fault. */
actor_ref_t port_open(runtime_t *rt, const conf_t *conf, const char *key, const port_kind_t *kinds,
                      size_t n, char *fault, size_t room);
