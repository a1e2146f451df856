/* link: see link.h. Called by the edge, by media and by the API for scripts. */
#include "actors/link.h"
#include "base/text.h"
#include "port/crypt.h"
#include <stdio.h>

#define SIG_BYTES 16

static void derive(slice_t secret, uint8_t out[32]) {
    crypt_hmac_sha256(secret, SLICE("parley: links to files, 1"), out);
}

void link_keys(const conf_t *conf, link_keys_t *out) {
    slice_t old = conf_text(conf, "auth.old_secret");
    derive(conf_text(conf, "auth.secret"), out->now);
    out->has_old = old.len > 0;
    if (out->has_old)
        derive(old, out->old);
}

static void sign(const uint8_t key[32], const link_to_t *l, uint8_t out[32]) {
    char text[96];
    int n =
        snprintf(text, sizeof text, "%s\n%lld\n%lld\n%lld", l->method == LINK_PUT ? "PUT" : "GET",
                 (long long)l->file, (long long)l->part, (long long)l->until_s);
    crypt_hmac_sha256((slice_t){(const char *)key, 32}, (slice_t){text, (size_t)n}, out);
}

void link_add_path(int64_t file, buf_t *out) {
    buf_add_text(out, LINK_PATH);
    buf_add_int(out, file);
}

void link_add(const link_keys_t *keys, const link_to_t *l, buf_t *out) {
    uint8_t mac[32];
    sign(keys->now, l, mac);
    link_add_path(l->file, out);
    buf_add_text(out, "?exp=");
    buf_add_int(out, l->until_s);
    if (l->part) {
        buf_add_text(out, "&part=");
        buf_add_int(out, l->part);
    }
    buf_add_text(out, "&sig=");
    text_hex_add(out, mac, SIG_BYTES);
}

static bool matches(const uint8_t key[32], const link_to_t *l, slice_t sig) {
    uint8_t mac[32];
    char hex[2 * SIG_BYTES + 1];
    sign(key, l, mac);
    for (int i = 0; i < SIG_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    return sig.len == 2 * SIG_BYTES && crypt_equal(hex, sig.at, sig.len);
}

bool link_good(const link_keys_t *keys, const link_to_t *l, slice_t sig, int64_t now_s) {
    return l->until_s > now_s &&
           (matches(keys->now, l, sig) || (keys->has_old && matches(keys->old, l, sig)));
}

int64_t link_file(slice_t path) {
    size_t n = sizeof LINK_PATH - 1;
    int64_t file;
    if (path.len <= n || memcmp(path.at, LINK_PATH, n) != 0)
        return 0;
    const char *end = memchr(path.at, '?', path.len);
    slice_t digits = {path.at + n, (end ? (size_t)(end - path.at) : path.len) - n};
    return text_to_int(digits, &file) ? file : 0;
}
