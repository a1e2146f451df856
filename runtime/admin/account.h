/* account: who may use the console: a file of lines "NAME ROLE HASH" (console.users in data.dir,
 * mode 0600), read anew at each login, and the waits after wrong passwords. */
#pragma once
#include "admin/console.h"

#define ACCOUNT_NAME   32         /* bytes of a name: a-z 0-9 _ . - */
#define ACCOUNT_FILE   (64 << 10) /* bytes of the file */
#define ACCOUNT_HASH   160
#define LOCKOUT_FREE   5       /* wrong passwords before waits begin */
#define LOCKOUT_FIRST  1000    /* ms; doubled by each further one */
#define LOCKOUT_MOST   300000  /* ms */
#define LOCKOUT_FORGET 3600000 /* ms without a failure after which all is forgotten */

typedef struct account {
    console_role_t role;
    char hash[ACCOUNT_HASH];
} account_t;

bool account_name_ok(slice_t name);
/* "read" or "operate", CONSOLE_NOBODY for another word. */
console_role_t account_role(slice_t word);
const char *account_role_name(console_role_t role);
/* Reads the file for one name. ERR_OK; ERR_NOT_FOUND: no such account; ERR_GONE: no file; ERR_IO,
 * ERR_BAD_REQUEST with a line in fault. Blocks. */
int account_find(const char *path, slice_t name, account_t *out, char *fault, size_t room);
/* Adds or replaces one (role CONSOLE_NOBODY: removes it): a new file, then a rename. Blocks. */
int account_set(const char *path, slice_t name, console_role_t role, const char *hash, char *fault,
                size_t room);

/* Waits, by name. Names share 64 places (a seeded hash): bounded, and a wrong name waits like a
 * right one. Times: any clock in ms. One owner. */
typedef struct lockout {
    struct {
        uint32_t failures;
        uint64_t last_ms, until_ms;
    } at[64];
} lockout_t;                                                              /* {0} is a fresh one */
uint64_t lockout_wait(const lockout_t *l, slice_t name, uint64_t now_ms); /* ms; 0 = may try */
void lockout_failed(lockout_t *l, slice_t name, uint64_t now_ms);
void lockout_passed(lockout_t *l, slice_t name);
