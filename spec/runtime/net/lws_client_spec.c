/* net against a second implementation of both protocols: libwebsockets' WebSocket client, plain and
 * over TLS. */
#include "spec/runtime/net/tls_world.h"
#include <libwebsockets.h>

/* What one client does: connects, sends `count` messages one after the other, wants each back, then
 * closes. */
typedef struct talk {
    int count, sent, back, size;
    bool open, failed, closed, ready;
    char got[70000];
    size_t got_len;
    char out[LWS_PRE + 70000];
} talk_t;

static void fill(char *at, int size, int number) {
    for (int i = 0; i < size; i++)
        at[i] = (char)('a' + (number + i) % 26);
}

static int next(talk_t *t, struct lws *wsi) {
    if (!t->ready)
        return 0; /* the library only tells that the rest of the last message is out */
    t->ready = false;
    if (t->sent == t->count) {
        unsigned char why[] = "done";
        lws_close_reason(wsi, 4123, why, 4);
        return -1;
    }
    fill(t->out + LWS_PRE, t->size, t->sent);
    int n = lws_write(wsi, (unsigned char *)t->out + LWS_PRE, (size_t)t->size, LWS_WRITE_TEXT);
    t->sent++;
    return n < t->size ? -1 : 0;
}

static int got(talk_t *t, struct lws *wsi, const void *in, size_t len) {
    if (t->got_len + len > sizeof t->got)
        return -1;
    memcpy(t->got + t->got_len, in, len);
    t->got_len += len;
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
        return 0;
    fill(t->out + LWS_PRE, t->size, t->sent - 1); /* the library masked it in place */
    if ((int)t->got_len == t->size && memcmp(t->got, t->out + LWS_PRE, t->got_len) == 0)
        t->back++;
    t->got_len = 0;
    t->ready = true;
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_client(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len) {
    talk_t *t = lws_get_opaque_user_data(wsi);
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        t->open = t->ready = true;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return next(t, wsi);
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return got(t, wsi, in, len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        t->failed = true;
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        t->closed = true;
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "talk", .callback = on_client, .rx_buffer_size = 4096}, {0}};

static bool run(talk_t *t, bool tls) {
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .uid = -1,
                                             .gid = -1,
                                             .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT};
    if (tls)
        info.client_ssl_ca_filepath = tls_path("one.crt");
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    struct lws_client_connect_info c = {.context = context,
                                        .address = "127.0.0.1",
                                        .host = "localhost",
                                        .origin = "localhost",
                                        .port = world_port,
                                        .path = "/ws",
                                        .local_protocol_name = "talk",
                                        .opaque_user_data = t,
                                        .ssl_connection = tls ? LCCSCF_USE_SSL : 0};
    bool ok = context && lws_client_connect_via_info(&c);
    for (int i = 0; ok && i < 100000 && !t->failed && !t->closed; i++)
        lws_service(context, 0);
    lws_context_destroy(context);
    return ok && t->open && !t->failed && t->closed;
}

static void talk(bool tls, int count, int size) {
    static talk_t t;
    t = (talk_t){.count = count, .size = size};
    uint64_t before = ended;
    CHECK(run(&t, tls));
    CHECK_INT(t.back, count);
    CHECK(wait_for(&ended, before + 1));
    CHECK_INT(last_code, 4123);
}

SPEC("its messages come back, of all sizes, and its close code is heard") {
    world_start();
    static const int sizes[] = {1, 125, 126, 5000, 65535, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        talk(false, 20, sizes[i]);
    world_stop();
}

SPEC("the same over TLS") {
    tls_start(2);
    static const int sizes[] = {1, 125, 126, 5000, 65535, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        talk(true, 20, sizes[i]);
    world_stop();
    tls_remove();
}

SPEC_MAIN
