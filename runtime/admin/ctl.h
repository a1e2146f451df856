/* ctl: the other end of the console, for command lines and scripts: `parleyd ctl COMMAND...` and
 * `parleyd passwd NAME`. Only main calls it, in a process that runs no node. */
#pragma once
#include "base/conf.h"

/* One console command at the node whose data.dir conf names: reads address and token from
 * data.dir/console.token, prints the answer (an error to stderr, with --json to stdout). Gives the
 * exit status: 0 the command succeeded, 1 it failed, 2 it was not carried out (no node, no right to
 * read the token, a bad line). */
int ctl_run(const conf_t *conf, int argc, char **argv);

/* Hashes a password into a text of at most 127 bytes; ERR_OK or ERR_BUSY. */
typedef int (*ctl_hash_t)(const conf_t *conf, slice_t password, char hash[128]);
/* `[--generate] NAME [read|operate|none]`: makes an account of the console, gives it a new password
 * or role, or (none) removes it. The password is typed twice on a terminal, else the first line of
 * stdin; --generate makes one and prints it. Without a role: as it is, for a new account read. A
 * node that runs takes it at the next login. */
int ctl_passwd(const conf_t *conf, int argc, char **argv, ctl_hash_t hash);
