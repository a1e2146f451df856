/* account: see account.h. */
#include "admin/account.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool account_name_ok(slice_t name) {
    for (size_t i = 0; i < name.len; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789_.-", name.at[i], 39))
            return false;
    return name.len > 0 && name.len <= ACCOUNT_NAME;
}

console_role_t account_role(slice_t word) {
    if (slice_eq(word, SLICE("read")))
        return CONSOLE_READ;
    return slice_eq(word, SLICE("operate")) ? CONSOLE_OPERATE : CONSOLE_NOBODY;
}

const char *account_role_name(console_role_t role) {
    return role == CONSOLE_OPERATE ? "operate" : role == CONSOLE_READ ? "read" : "nobody";
}

static int read_file(const char *path, buf_t *out, char *fault, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_GONE;
    ssize_t n = 0;
    while (fd >= 0 && out->len <= ACCOUNT_FILE && (n = read(fd, buf_room(out, 4096), 4096)) > 0)
        out->len += (uint32_t)n;
    if (fd < 0 || n < 0) {
        snprintf(fault, room, "%.300s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    close(fd);
    if (out->len <= ACCOUNT_FILE)
        return ERR_OK;
    snprintf(fault, room, "%.300s: more than %d bytes", path, ACCOUNT_FILE);
    return ERR_BAD_REQUEST;
}

static slice_t next_word(slice_t *line) {
    while (line->len && (*line->at == ' ' || *line->at == '\t')) {
        line->at++;
        line->len--;
    }
    size_t n = 0;
    while (n < line->len && line->at[n] != ' ' && line->at[n] != '\t')
        n++;
    slice_t word = {line->at, n};
    line->at += n;
    line->len -= n;
    return word;
}

static bool next_line(slice_t *rest, slice_t *line) {
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->at, '\n', rest->len);
    size_t n = end ? (size_t)(end - rest->at) : rest->len;
    *line = (slice_t){rest->at, n};
    n += end ? 1 : 0;
    rest->at += n;
    rest->len -= n;
    return true;
}

int account_find(const char *path, slice_t name, account_t *out, char *fault, size_t room) {
    buf_t b = {0};
    int err = read_file(path, &b, fault, room), number = 0;
    slice_t rest = buf_slice(&b), line;
    bool found = false;
    while (err == ERR_OK && !found && next_line(&rest, &line)) {
        number++;
        slice_t who = next_word(&line), role = next_word(&line), hash = next_word(&line);
        if (who.len == 0 || *who.at == '#' || !slice_eq(who, name))
            continue;
        *out = (account_t){.role = account_role(role)};
        found = out->role != CONSOLE_NOBODY && hash.len > 0 && hash.len < sizeof out->hash;
        if (found) {
            memcpy(out->hash, hash.at, hash.len);
            break;
        }
        snprintf(fault, room, "%.300s:%d: NAME read|operate HASH expected", path, number);
        err = ERR_BAD_REQUEST;
    }
    buf_free(&b);
    return err == ERR_OK && !found ? ERR_NOT_FOUND : err;
}

static int write_file(const char *path, const buf_t *b, char *fault, size_t room) {
    char fresh[1100];
    snprintf(fresh, sizeof fresh, "%.1024s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, b->at, b->len) == (ssize_t)b->len && fsync(fd) == 0;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    if (ok && rename(fresh, path) == 0)
        return ERR_OK;
    snprintf(fault, room, "%.300s: %s", path, strerror(errno));
    return ERR_IO;
}

int account_set(const char *path, slice_t name, console_role_t role, const char *hash, char *fault,
                size_t room) {
    buf_t b = {0}, next = {0};
    int err = read_file(path, &b, fault, room);
    slice_t rest = buf_slice(&b), line;
    bool found = false;
    err = err == ERR_GONE ? ERR_OK : err;
    while (err == ERR_OK && next_line(&rest, &line)) {
        slice_t words = line;
        bool same = slice_eq(next_word(&words), name);
        found |= same;
        if (same)
            continue;
        buf_add_slice(&next, line);
        buf_add_char(&next, '\n');
    }
    if (role != CONSOLE_NOBODY)
        buf_addf(&next, "%.*s %s %s\n", (int)name.len, name.at, account_role_name(role), hash);
    if (err == ERR_OK && role == CONSOLE_NOBODY && !found)
        err = ERR_NOT_FOUND;
    if (err == ERR_OK && next.len > ACCOUNT_FILE)
        err = ERR_TOO_LARGE;
    if (err == ERR_NOT_FOUND || err == ERR_TOO_LARGE)
        snprintf(fault, room, "%.300s: %s", path,
                 err == ERR_NOT_FOUND ? "no such account" : "too many accounts");
    if (err == ERR_OK)
        err = write_file(path, &next, fault, room);
    buf_free(&b);
    buf_free(&next);
    return err;
}

/* --- waits --- */

static size_t place_of(slice_t name) {
    return hash_bytes(name.at, name.len) % 64;
}

uint64_t lockout_wait(const lockout_t *l, slice_t name, uint64_t now_ms) {
    uint64_t until = l->at[place_of(name)].until_ms;
    return until > now_ms ? until - now_ms : 0;
}

void lockout_failed(lockout_t *l, slice_t name, uint64_t now_ms) {
    size_t i = place_of(name);
    if (now_ms - l->at[i].last_ms > LOCKOUT_FORGET)
        l->at[i].failures = 0;
    uint32_t n = ++l->at[i].failures;
    l->at[i].last_ms = now_ms;
    if (n < LOCKOUT_FREE)
        return;
    uint64_t wait =
        n - LOCKOUT_FREE < 16 ? (uint64_t)LOCKOUT_FIRST << (n - LOCKOUT_FREE) : LOCKOUT_MOST;
    l->at[i].until_ms = now_ms + (wait < LOCKOUT_MOST ? wait : LOCKOUT_MOST);
}

void lockout_passed(lockout_t *l, slice_t name) {
    size_t i = place_of(name);
    l->at[i].failures = 0;
    l->at[i].until_ms = 0;
}
