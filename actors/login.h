/* login: the logins (token families) that were revoked and whose tokens may still look good. Every
 * worker asks it at each token; logout and reuse add to it; at start it is filled from the store.
 * Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct login_set login_set_t;
login_set_t *login_set_new(size_t max_entries);
void login_set_free(login_set_t *s);
/* Every token of the login is refused until `until_ms`, when the last of them has expired. false:
 * no room, logged. */
bool login_revoke(login_set_t *s, int64_t fam, int64_t until_ms);
bool login_revoked(login_set_t *s, int64_t fam);
/* Forgets those past their time. */
void login_sweep(login_set_t *s, int64_t now_ms);
size_t login_count(const login_set_t *s);
