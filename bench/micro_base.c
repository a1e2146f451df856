/* micro_base: what the pieces of runtime/base cost, one line each: name, ns per operation. One
 * thread. build/bench_micro_base [WORD]     only those whose name holds WORD */
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "base/text.h"
#include <stdio.h>

static const char frame[] =
    "{\"type\":\"message\",\"id\":\"m-1\",\"data\":{\"conversation_id\":71,\"client_msg_id\":"
    "\"c-77\",\"content\":{\"text\":{\"text\":\"hello\"}}},\"ts\":1760000000000}";
static const char ping[] =
    "{\"type\":\"ping\",\"id\":\"7-1760000000000000000\",\"ts\":1760000000000}";
static volatile uint64_t sink;
static const char *only;

#define OPS 1000000u

/* Runs the body OPS times, five rounds; the best round counts. */
#define BENCH(name, body)                                                                          \
    do {                                                                                           \
        if (only && !strstr(name, only))                                                           \
            break;                                                                                 \
        double best = 1e18;                                                                        \
        for (int round = 0; round < 5; round++) {                                                  \
            uint64_t from = clock_mono_ns();                                                       \
            for (uint32_t i = 0; i < OPS; i++) {                                                   \
                body;                                                                              \
            }                                                                                      \
            double ns = (double)(clock_mono_ns() - from) / OPS;                                    \
            best = ns < best ? ns : best;                                                          \
        }                                                                                          \
        printf("%-32s %8.1f ns/op\n", name, best);                                                 \
    } while (0)

static void json(void) {
    json_doc_t *doc = json_doc_new();
    static char text[sizeof frame];
    BENCH("json parse, frame of 131 bytes", {
        memcpy(text, frame, sizeof frame);
        if (json_parse(doc, text, sizeof frame - 1) != ERR_OK)
            log_die("bench", "the frame does not parse");
    });
    BENCH("json parse and 5 keys", {
        memcpy(text, frame, sizeof frame);
        json_parse(doc, text, sizeof frame - 1);
        json_at_t data = json_get(doc, JSON_ROOT, "data");
        sink += json_get(doc, JSON_ROOT, "type") + json_get(doc, JSON_ROOT, "id") +
                json_get(doc, data, "conversation_id") + json_get(doc, data, "client_msg_id");
    });
    BENCH("json parse, ping of 60 bytes", {
        memcpy(text, ping, sizeof ping);
        json_parse(doc, text, sizeof ping - 1);
    });
    buf_t b = {0};
    BENCH("json write, ack of 5 members", {
        b.len = 0;
        buf_add_char(&b, '{');
        json_add_text(&b, "client_msg_id", SLICE("c-77"));
        json_add_int(&b, "message_id", 900133);
        json_add_int(&b, "conversation_id", 71);
        json_add_int(&b, "seq", 14);
        json_add_int(&b, "created_at", 1760000000123);
        buf_add_char(&b, '}');
    });
    buf_free(&b);
    json_doc_free(doc);
}

static void memory(void) {
    BENCH("pool alloc and free, 128 bytes", pool_free(pool_alloc(128), 128));
    void *live[64];
    BENCH("pool 64 live, 200 bytes", {
        uint32_t at = i & 63;
        if (i >= 64)
            pool_free(live[at], 200);
        live[at] = pool_alloc(200);
        if (i == OPS - 1)
            for (uint32_t k = 0; k < 64; k++)
                pool_free(live[k], 200);
    });
    BENCH("block of 130 bytes", block_unref(block_of(frame, 130)));
}

static void tables(void) {
    map_t *m = map_new(16);
    for (uint64_t k = 0; k < 100000; k++)
        map_put(m, k, NULL);
    BENCH("map get of 100,000", sink += (uint64_t)(uintptr_t)map_get(m, i * 7919 % 100000));
    BENCH("map put and del", {
        map_put(m, 1000000 + i, NULL);
        map_del(m, 1000000 + i);
    });
    map_free(m);
    BENCH("hash of 24 bytes", sink += hash_bytes(frame + (i & 7), 24));
}

int main(int argc, char **argv) {
    only = argc > 1 ? argv[1] : NULL;
    json();
    memory();
    tables();
    BENCH("utf-8 check, 130 bytes", sink += text_utf8_valid(frame, 130));
    BENCH("stat add", stat_add(STAT_BUSY, 1));
    BENCH("stat observe", stat_observe(HIST_HTTP, i & 1023));
    BENCH("clock ticks", sink += clock_ticks());
    BENCH("clock mono", sink += clock_mono_ns());
    log_level_set(LOG_WARN);
    BENCH("log below the level", log_info("bench", "hidden %u", i));
    return 0;
}
