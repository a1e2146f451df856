/* token: see token.h. The signature is looked at before a byte of JSON is. */
#include "actors/token.h"
#include "base/err.h"
#include "base/text.h"
#include "port/crypt.h"

static const char *const kind_name[] = {"access", "refresh"};

static void add_part(buf_t *out, const buf_t *json) {
    text_base64url_add(out, json->at, json->len);
}

static void add_signature(const token_keys_t *keys, buf_t *out, uint32_t start) {
    uint8_t mac[32];
    crypt_hmac_sha256(keys->secret, (slice_t){out->at + start, out->len - start}, mac);
    buf_add_char(out, '.');
    text_base64url_add(out, mac, sizeof mac);
}

static void add_claims(buf_t *json, const token_claims_t *c) {
    char sub[24];
    snprintf(sub, sizeof sub, "%lld", (long long)c->user);
    buf_add_char(json, '{');
    json_add_text(json, "sub", slice_of(sub));
    json_add_text(json, "jti", slice_of(c->jti));
    json_add_int(json, "fam", c->fam);
    json_add_text(json, "typ", slice_of(kind_name[c->kind]));
    json_add_int(json, "iat", c->iat_s);
    json_add_int(json, "exp", c->exp_s);
    if (c->did[0])
        json_add_text(json, "did", slice_of(c->did));
    buf_add_char(json, '}');
}

static void make_jti(token_claims_t *c) {
    uint8_t raw[16];
    buf_t hex = {0};
    crypt_random(raw, sizeof raw);
    text_hex_add(&hex, raw, sizeof raw);
    memcpy(c->jti, hex.at, 32);
    c->jti[32] = 0;
    buf_free(&hex);
}

void token_issue(const token_keys_t *keys, const token_claims_t *claims, buf_t *out) {
    token_claims_t c = *claims;
    if (!c.jti[0])
        make_jti(&c);
    uint32_t start = out->len;
    buf_t json = {0};
    add_claims(&json, &c);
    text_base64url_add(out, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27);
    buf_add_char(out, '.');
    add_part(out, &json);
    add_signature(keys, out, start);
    buf_free(&json);
}

/* --- reading --- */

typedef struct parts {
    slice_t head, claims, signature, signed_text;
} parts_t;

static bool split(slice_t token, parts_t *p) {
    const char *one = memchr(token.at, '.', token.len);
    if (!one)
        return false;
    const char *rest = one + 1, *end = token.at + token.len;
    const char *two = memchr(rest, '.', (size_t)(end - rest));
    if (!two || memchr(two + 1, '.', (size_t)(end - two - 1)))
        return false;
    p->head = (slice_t){token.at, (size_t)(one - token.at)};
    p->claims = (slice_t){rest, (size_t)(two - rest)};
    p->signature = (slice_t){two + 1, (size_t)(end - two - 1)};
    p->signed_text = (slice_t){token.at, (size_t)(two - token.at)};
    return true;
}

static bool signed_by(slice_t key, const parts_t *p) {
    uint8_t want[32], got[33];
    if (text_base64url_decode(p->signature, got, sizeof got) != 32)
        return false;
    crypt_hmac_sha256(key, p->signed_text, want);
    return crypt_equal(want, got, 32);
}

static bool open_json(json_doc_t *doc, slice_t part, char *room, size_t size) {
    int len = text_base64url_decode(part, room, size);
    return len > 0 && json_parse(doc, room, (size_t)len) == ERR_OK &&
           json_type(doc, JSON_ROOT) == JSON_OBJECT;
}

static bool head_ok(json_doc_t *doc, slice_t part) {
    char room[TOKEN_MAX];
    slice_t alg;
    return open_json(doc, part, room, sizeof room) &&
           json_string(doc, json_get(doc, JSON_ROOT, "alg"), &alg) && slice_eq(alg, SLICE("HS256"));
}

static bool text_claim(const json_doc_t *doc, const char *key, char *out, size_t size) {
    slice_t s;
    if (!json_string(doc, json_get(doc, JSON_ROOT, key), &s) || s.len >= size)
        return false;
    memcpy(out, s.at, s.len);
    out[s.len] = 0;
    return true;
}

static bool int_claim(const json_doc_t *doc, const char *key, int64_t *out) {
    return json_int(doc, json_get(doc, JSON_ROOT, key), out);
}

static bool claims_ok(const json_doc_t *doc, token_kind_t kind, token_claims_t *out) {
    slice_t typ, sub;
    if (!json_string(doc, json_get(doc, JSON_ROOT, "typ"), &typ) ||
        !slice_eq(typ, slice_of(kind_name[kind])))
        return false;
    if (!json_string(doc, json_get(doc, JSON_ROOT, "sub"), &sub) || !text_to_int(sub, &out->user) ||
        out->user < 1)
        return false;
    if (!text_claim(doc, "jti", out->jti, sizeof out->jti) && json_get(doc, JSON_ROOT, "jti"))
        return false;
    if (!text_claim(doc, "did", out->did, sizeof out->did) && json_get(doc, JSON_ROOT, "did"))
        return false;
    if (!int_claim(doc, "iat", &out->iat_s) && json_get(doc, JSON_ROOT, "iat"))
        return false;
    return int_claim(doc, "fam", &out->fam) && out->fam > 0 && int_claim(doc, "exp", &out->exp_s);
}

int token_read(const token_keys_t *keys, json_doc_t *doc, slice_t token, token_kind_t kind,
               int64_t now_s, token_claims_t *out) {
    parts_t p;
    char room[TOKEN_MAX];
    memset(out, 0, sizeof *out);
    out->kind = kind;
    if (token.len > TOKEN_MAX || token.len == 0 || !split(token, &p))
        return ERR_INVALID_TOKEN;
    if (!signed_by(keys->secret, &p) && (keys->old.len == 0 || !signed_by(keys->old, &p)))
        return ERR_INVALID_TOKEN;
    if (!head_ok(doc, p.head) || !open_json(doc, p.claims, room, sizeof room) ||
        !claims_ok(doc, kind, out))
        return ERR_INVALID_TOKEN;
    return out->exp_s > now_s ? ERR_OK : ERR_TOKEN_EXPIRED;
}
