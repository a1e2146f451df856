/* err: the one error idea of parley. 0 is success, every failure is a negative code of this enum,
 * and the same table gives the wire symbol, the HTTP status and the default text (PROTOCOL.md
 * section 3). C, Lua and the wire share it. Pure data: any thread. */
#pragma once

/* X(name, http status, wire symbol, default text) */
#define ERR_LIST(X)                                                                                \
    X(BAD_REQUEST, 400, "bad_request", "invalid request")                                          \
    X(NOT_ACCEPTABLE, 406, "bad_request", "invalid request")                                       \
    X(LENGTH_REQUIRED, 411, "bad_request", "invalid request")                                      \
    X(URI_TOO_LONG, 414, "bad_request", "request too large")                                       \
    X(RANGE, 416, "bad_request", "invalid request")                                                \
    X(UPGRADE_REQUIRED, 426, "bad_request", "invalid request")                                     \
    X(HEADERS_TOO_LARGE, 431, "bad_request", "request too large")                                  \
    X(INVALID_CREDENTIALS, 400, "invalid_credentials", "invalid username or password")             \
    X(WEAK_PASSWORD, 400, "weak_password", "password must have 8 to 128 characters")               \
    X(BAD_USERNAME, 400, "bad_username", "username must have 3 to 32 of a-z 0-9 _ . -")            \
    X(UNAUTHORIZED, 401, "unauthorized", "unauthorized")                                           \
    X(INVALID_TOKEN, 401, "invalid_token", "invalid token")                                        \
    X(TOKEN_EXPIRED, 401, "token_expired", "invalid token")                                        \
    X(TOKEN_REVOKED, 401, "token_revoked", "invalid token")                                        \
    X(TOKEN_REUSED, 401, "token_reused", "invalid token")                                          \
    X(FORBIDDEN, 403, "forbidden", "no permission")                                                \
    X(NOT_MEMBER, 403, "not_member", "not a conversation member")                                  \
    X(MUTED, 403, "muted", "you are muted")                                                        \
    X(DISSOLVED, 403, "dissolved", "conversation is dissolved")                                    \
    X(BLOCKED, 403, "blocked", "contact is blocked")                                               \
    X(USER_DISABLED, 403, "user_disabled", "user is disabled")                                     \
    X(USER_MISMATCH, 403, "user_mismatch", "user_id does not match token")                         \
    X(ORIGIN_DENIED, 403, "origin_denied", "origin not allowed")                                   \
    X(BAD_SIGNATURE, 403, "bad_signature", "invalid or expired link")                              \
    X(NOT_FOUND, 404, "not_found", "not found")                                                    \
    X(CALL_NOT_FOUND, 404, "call_not_found", "call not found")                                     \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "method not allowed")                         \
    X(ALREADY_CONTACT, 409, "already_contact", "already contact")                                  \
    X(APPLY_EXISTS, 409, "apply_exists", "contact apply already exists")                           \
    X(USERNAME_TAKEN, 409, "username_taken", "username already taken")                             \
    X(PHONE_TAKEN, 409, "phone_taken", "phone already taken")                                      \
    X(CONFLICT, 409, "conflict", "already a member")                                               \
    X(RECALL_EXPIRED, 409, "recall_expired", "cannot revoke message after 2 minutes")              \
    X(CALL_STATE, 409, "call_state", "call is not in ringing state")                               \
    X(CALL_BUSY, 409, "call_busy", "caller is already in a call")                                  \
    X(GROUP_FULL, 409, "group_full", "member limit exceeded")                                      \
    X(TOO_LARGE, 413, "too_large", "request too large")                                            \
    X(UNSUPPORTED_TYPE, 415, "unsupported_type", "unsupported content type")                       \
    X(RATE_LIMITED, 429, "rate_limited", "rate limit exceeded")                                    \
    X(INTERNAL, 500, "internal", "internal error")                                                 \
    X(BUSY, 503, "busy", "server busy")                                                            \
    X(TIMEOUT, 504, "timeout", "context deadline exceeded")                                        \
    /* inside only; the edge turns them into one of the above */                                   \
    X(FULL, 503, "busy", "server busy")          /* a mailbox or queue is at its cap */            \
    X(GONE, 500, "internal", "internal error")   /* the receiver does not live any more */         \
    X(EXISTS, 409, "conflict", "already exists") /* a unique rule of the store refused */          \
    X(STALE, 409, "conflict", "stale")           /* an expected row count did not hold */          \
    X(IO, 500, "internal", "internal error")                                                       \
    X(AGAIN, 503, "busy", "server busy") /* not now: needs more bytes or room */                   \
    X(CLOSED, 500, "internal", "internal error")

enum err_index {
    ERR_INDEX_OK,
#define X(name, status, symbol, text) ERR_INDEX_##name,
    ERR_LIST(X)
#undef X
        ERR_COUNT
};

enum {
    ERR_OK = 0,
#define X(name, status, symbol, text) ERR_##name = -ERR_INDEX_##name,
    ERR_LIST(X)
#undef X
};

/* All three take any int and answer for ERR_INTERNAL when it is no code of ours. Static text. */
const char *err_symbol(int err);
const char *err_text(int err);
int err_status(int err);

/* The name in this file in lower case ("bad_request", "length_required"): the key Lua uses. */
const char *err_name(int err);
/* The code of such a name, ERR_INTERNAL for an unknown one. */
int err_by_name(const char *name);
