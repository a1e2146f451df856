/* denied: ids whose tokens are refused though they may still look good, each until a time: the
 * logins (token families) that were revoked, and the users whose account is disabled or frozen.
 * Every worker asks at each request, handshake and auth frame; logout, reuse and operators add to
 * it; at start it is filled from the store. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DENIED_ALWAYS INT64_MAX /* until it is removed */

typedef struct denied denied_t;
denied_t *denied_new(const char *what, size_t max_entries); /* what: static, for the log */
void denied_free(denied_t *d);                              /* NULL is fine */
/* The later time counts when it is there already. Id 0 is never denied. false: no room, logged. */
bool denied_add(denied_t *d, int64_t id, int64_t until_ms);
void denied_remove(denied_t *d, int64_t id);
bool denied_has(denied_t *d, int64_t id);
/* Forgets those past their time. */
void denied_sweep(denied_t *d, int64_t now_ms);
size_t denied_count(const denied_t *d);
