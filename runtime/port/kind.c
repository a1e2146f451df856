/* kind: see kind.h. */
#include "port/kind.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { KINDS = 8 };

bool port_scheme(slice_t url, const char *scheme, slice_t *rest) {
    size_t n = strlen(scheme);
    if (url.len < n || memcmp(url.at, scheme, n) != 0)
        return false;
    if (rest)
        *rest = (slice_t){url.at + n, url.len - n};
    return true;
}

void port_unknown(const char *key, slice_t url, const char *const *schemes, size_t n, char *fault,
                  size_t room) {
    char known[128] = "";
    for (size_t i = 0, len = 0; i < n && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", schemes[i]);
    if (url.at)
        snprintf(fault, room, "%s: '%.*s' begins with none of: %s", key, (int)url.len, url.at,
                 known);
    else
        snprintf(fault, room, "%s: begins with none of: %s", key, known);
}

actor_ref_t port_open(runtime_t *rt, const conf_t *conf, const char *key, const port_kind_t *kinds,
                      size_t n, char *fault, size_t room) {
    const char *schemes[KINDS];
    slice_t url = conf_text(conf, key);
    assert(n <= KINDS);
    for (size_t i = 0; i < n; i++) {
        schemes[i] = kinds[i].scheme;
        if (!port_scheme(url, kinds[i].scheme, NULL))
            continue;
        actor_ref_t ref = kinds[i].open(rt, conf);
        if (actor_ref_eq(ref, ACTOR_NONE))
            snprintf(fault, room, "%s: no room for its actor (actors.max)", key);
        return ref;
    }
    port_unknown(key, url, schemes, n, fault, room);
    return ACTOR_NONE;
}
