/* tls_world: certificates made at test time, and a TLS client on OpenSSL. */
#pragma once
#include "spec/runtime/net/net_world.h"
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

static char tls_dir[64];

static const char *tls_path(const char *name) {
    static char path[8][192];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", tls_dir, name);
    return p;
}

/* NAME.crt and NAME.key, self-signed for that host name and localhost. */
static void tls_make(const char *name) {
    char file[80], alt[160];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *n = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, n);
    snprintf(alt, sizeof alt, "DNS:%s,DNS:localhost,IP:127.0.0.1", name);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    X509_sign(x, key, EVP_sha256());
    snprintf(file, sizeof file, "%s.crt", name);
    FILE *f = fopen(tls_path(file), "w");
    PEM_write_X509(f, x);
    fclose(f);
    snprintf(file, sizeof file, "%s.key", name);
    f = fopen(tls_path(file), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void tls_files(void) {
    if (tls_dir[0])
        return;
    strcpy(tls_dir, "/tmp/tls_spec_XXXXXX");
    if (!mkdtemp(tls_dir))
        abort();
    tls_make("one");
    tls_make("two");
}

static void tls_remove(void) {
    static const char *const names[] = {"one.crt", "one.key", "two.crt", "two.key"};
    for (int i = 0; i < 4; i++)
        unlink(tls_path(names[i]));
    rmdir(tls_dir);
}

static void tls_start(uint32_t workers) {
    tls_files();
    world_prepare(workers);
    world_listen("127.0.0.1:0", tls_path("one.crt"), tls_path("one.key"));
}

/* --- a client --- */

typedef struct secure {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
} secure_t;

static bool secure_dial(secure_t *s, const char *name) {
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    s->fd = dial();
    s->ctx = SSL_CTX_new(TLS_client_method());
    s->ssl = SSL_new(s->ctx);
    SSL_set_fd(s->ssl, s->fd);
    SSL_set_tlsext_host_name(s->ssl, name);
    SSL_set_alpn_protos(s->ssl, alpn, sizeof alpn - 1);
    return SSL_connect(s->ssl) == 1;
}

static void secure_close(secure_t *s) {
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    close(s->fd);
}

static void secure_say(secure_t *s, const void *at, size_t len) {
    SSL_write(s->ssl, at, (int)len);
}

/* Until n bytes, or the end. */
static bool secure_bytes(secure_t *s, size_t n) {
    heard_len = 0;
    while (heard_len < n) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (!SSL_pending(s->ssl) && poll(&p, 1, WAIT_MS) != 1)
            return false;
        int got = SSL_read(s->ssl, heard + heard_len, (int)(n - heard_len));
        if (got <= 0)
            return false;
        heard_len += (size_t)got;
        heard[heard_len] = 0;
    }
    return true;
}

static bool secure_hear(secure_t *s, const char *word) {
    size_t n = 0;
    heard[0] = 0;
    heard_len = 0;
    while (!memmem(heard, heard_len, word, strlen(word))) {
        n = heard_len;
        int got = SSL_read(s->ssl, heard + n, (int)(sizeof heard - 1 - n));
        if (got <= 0)
            return false;
        heard_len = n + (size_t)got;
        heard[heard_len] = 0;
    }
    return true;
}
