/* disabled: the users whose account is disabled or frozen. Every worker asks it at each request,
 * handshake and auth frame; the operator's service adds and removes; at start it is filled from the
 * store. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct disabled_set disabled_set_t;
disabled_set_t *disabled_set_new(size_t max_entries);
void disabled_set_free(disabled_set_t *s); /* NULL is fine */
/* false: no room, logged; then the user is refused only where the store is asked. */
bool disabled_add(disabled_set_t *s, int64_t user);
void disabled_remove(disabled_set_t *s, int64_t user);
bool disabled_has(disabled_set_t *s, int64_t user);
size_t disabled_count(const disabled_set_t *s);
