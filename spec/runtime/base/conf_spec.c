/* conf: the configuration: files, --set, environment, and the rules of a start. */
#include "base/conf.h"
#include "base/err.h"
#include "spec/spec.h"
#include <unistd.h>

static char fault[512];

#define SECRET_TEXT "0123456789abcdef0123456789abcdef"

static int load(conf_t *c, const char *text) {
    fault[0] = 0;
    return conf_load_text(c, "node.conf", slice_of(text), fault, sizeof fault);
}

static int set(conf_t *c, const char *key, const char *value) {
    fault[0] = 0;
    return conf_set(c, key, slice_of(value), fault, sizeof fault);
}

static int check(conf_t *c) {
    fault[0] = 0;
    return conf_check(c, fault, sizeof fault);
}

#define CHECK_FAULT(want)                                                                          \
    do {                                                                                           \
        if (strcmp(fault, want) != 0)                                                              \
            printf("fault is: %s\n", fault);                                                       \
        CHECK(strcmp(fault, want) == 0);                                                           \
    } while (0)
#define CHECK_CONF(c, key, want) CHECK_TEXT(conf_text(c, key).at, conf_text(c, key).len, want)

SPEC("has the defaults of the wire contract") {
    conf_t *c = conf_new();
    CHECK_CONF(c, "http.listen", "0.0.0.0:8080");
    CHECK_CONF(c, "ws.listen", "0.0.0.0:8084");
    CHECK_CONF(c, "ws.mode", "token");
    CHECK_CONF(c, "auth.secret", "");
    CHECK(conf_bool(c, "http.ws"));
    CHECK(!conf_bool(c, "test.echo"));
    CHECK_INT(conf_int(c, "ws.max_frame"), 65536);
    CHECK_INT(conf_int(c, "ws.queue_soft"), 256 * 1024);
    CHECK_INT(conf_int(c, "ws.queue_hard"), 1024 * 1024);
    CHECK_INT(conf_int(c, "ws.ping_interval"), 30000);
    CHECK_INT(conf_int(c, "ws.dead_after"), 120000);
    CHECK_INT(conf_int(c, "auth.access_ttl"), 900000);
    CHECK_INT(conf_int(c, "auth.refresh_ttl"), 7ll * 86400000);
    CHECK_INT(conf_int(c, "recall.window"), 120000);
    CHECK_INT(conf_rate(c, "limits.http_addr").per_s, 200);
    CHECK_INT(conf_rate(c, "limits.http_addr").burst, 400);
    CHECK_INT(conf_list_count(c, "ws.origins"), 0);
    conf_free(c);
    conf_free(NULL);
}

SPEC("reads nested tables and dotted keys alike") {
    conf_t *c = conf_new();
    CHECK_INT(load(c, "-- a comment\n"
                      "http = { listen = \"127.0.0.1:0\", ws = false;\n"
                      "         trusted_proxies = { \"10.0.0.0/8\", '::1', } }\n"
                      "ws.ping_interval = '10s' --[[ a long\n comment ]] ws.max_devices = 5\n"
                      "limits = { [\"ws_frames\"] = \"10/20\", http_user = 0 };\n"
                      "data.dir = [[/var/lib/parley]]\n"
                      "ws.max_frame = 1024 ws.queue_soft = \"1MiB\" ws.queue_hard='2MiB'\n"
                      "auth.secret = \"a\\n\\x41\\066\\\"\\\\\""),
              ERR_OK);
    CHECK_CONF(c, "http.listen", "127.0.0.1:0");
    CHECK(!conf_bool(c, "http.ws"));
    CHECK_INT(conf_list_count(c, "http.trusted_proxies"), 2);
    CHECK_TEXT(conf_list(c, "http.trusted_proxies", 0).at,
               conf_list(c, "http.trusted_proxies", 0).len, "10.0.0.0/8");
    CHECK_TEXT(conf_list(c, "http.trusted_proxies", 1).at,
               conf_list(c, "http.trusted_proxies", 1).len, "::1");
    CHECK_INT(conf_list(c, "http.trusted_proxies", 2).len, 0);
    CHECK_INT(conf_int(c, "ws.ping_interval"), 10000);
    CHECK_INT(conf_int(c, "ws.max_devices"), 5);
    CHECK_INT(conf_rate(c, "limits.ws_frames").burst, 20);
    CHECK_INT(conf_rate(c, "limits.http_user").per_s, 0);
    CHECK_CONF(c, "data.dir", "/var/lib/parley");
    CHECK_INT(conf_int(c, "ws.max_frame"), 1024);
    CHECK_INT(conf_int(c, "ws.queue_hard"), 2 << 20);
    CHECK_CONF(c, "auth.secret", "a\nAB\"\\");
    conf_free(c);
}

SPEC("names file, line and key of a fault and changes nothing") {
    static const struct {
        const char *text, *fault;
    } bad[] = {
        {"ws.max_devices = 9\nhttp.lisen = \"x\"", "node.conf:2: http.lisen: unknown key"},
        {"http = {\n listen = 5 }", "node.conf:2: http.listen: must be a text in quotes"},
        {"http = 5", "node.conf:1: http: is a group of keys, not one"},
        {"htp = { listen = 'x' }", "node.conf:1: htp: unknown key"},
        {"ws = { max_frame = {} }", "node.conf:1: ws.max_frame: no table is allowed here"},
        {"ws.max_devices = 9\nws.max_devices = 9",
         "node.conf:2: ws.max_devices: is set twice, first in line 1"},
        {"ws.max_devices = '9'", "node.conf:1: ws.max_devices: must be a number"},
        {"ws.max_devices = 0", "node.conf:1: ws.max_devices: 0 is not within 1 .. 1024"},
        {"ws.max_devices = -1", "node.conf:1: ws.max_devices: must be a whole number"},
        {"ws.max_devices = 1.5", "node.conf:1: ws.max_devices: must be a whole number"},
        {"test.echo = 'true'", "node.conf:1: test.echo: must be true or false"},
        {"ws.mode = 'closed'", "node.conf:1: ws.mode: must be one of token|open"},
        {"ws.mode = open", "node.conf:1: ws.mode: no value; a text wants quotes"},
        {"ws.mode =", "node.conf:1: ws.mode: a value is missing"},
        {"ws.mode 'open'", "node.conf:1: ws.mode: = is missing"},
        {"ws.mode = 'open", "node.conf:1: ws.mode: the text has no end"},
        {"ws.mode = 'o\\qpen'", "node.conf:1: ws.mode: unknown escape in a text"},
        {"ws = { mode = 'open'", "node.conf:1: ws: a comma or } is missing"},
        {"ws = {", "node.conf:1: ws: } is missing"},
        {"ws = { mode = 'open' listen = '' }", "node.conf:1: ws: a comma or } is missing"},
        {"= 5", "node.conf:1: a key is expected here"},
        {"ws. = 5", "node.conf:1: ws: a key is expected here"},
        {"\n\n--[[ never closed", "node.conf:3: comment: ]] is missing"},
        {"data.dir = [==[ never ]] closed", "node.conf:1: data.dir: ]==] is missing"},
        {"ws.origins = { 'a', 5 }", "node.conf:1: ws.origins: must be a list of texts in quotes"},
        {"ws.origins = { 'a,b' }", "node.conf:1: ws.origins: an element is empty or holds a comma"},
        {"ws.origins = { 'a' 'b' }", "node.conf:1: ws.origins: a comma or } is missing"},
        {"ws.ping_interval = 30",
         "node.conf:1: ws.ping_interval: must be a time such as 100ms, 30s, 5m, 2h, 7d"},
        {"ws.ping_interval = '99999d'",
         "node.conf:1: ws.ping_interval: 8639913600000 ms is not within 100 .. 3600000"},
        {"ws.max_frame = '1MB'",
         "node.conf:1: ws.max_frame: must be a size such as 65536, 64KiB, 1MiB"},
        {"ws.max_frame = '9007199254740991GiB'", "node.conf:1: ws.max_frame: is too large"},
        {"limits.ws_frames = '5'",
         "node.conf:1: limits.ws_frames: must be a rate and a burst such as 50/100, or 0 for off"},
        {"limits.ws_frames = '5/0'", "node.conf:1: limits.ws_frames: a rate is at most "
                                     "1000000/1000000 and its burst at least 1"},
        {"http.listen = '8080'", "node.conf:1: http.listen: must be address:port such as "
                                 "127.0.0.1:8080 or [::1]:8080, or empty"},
        {"http.listen = 'example.org:80'", "node.conf:1: http.listen: must be address:port such as "
                                           "127.0.0.1:8080 or [::1]:8080, or empty"},
        {"http.listen = '127.0.0.1:65536'", "node.conf:1: http.listen: must be address:port such "
                                            "as 127.0.0.1:8080 or [::1]:8080, or empty"},
        {"data.dir = 'a\\0b'", "node.conf:1: data.dir: holds a NUL byte"},
        {"ws.max_devices = 9\n/etc/passwd", "node.conf:2: a key is expected here"},
    };
    conf_t *c = conf_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(load(c, bad[i].text), ERR_BAD_REQUEST);
        CHECK_FAULT(bad[i].fault);
        CHECK_INT(conf_int(c, "ws.max_devices"), 32);
        CHECK_CONF(c, "ws.mode", "token");
    }
    conf_free(c);
}

SPEC("never shows a secret in a fault or a listing") {
    conf_t *c = conf_new();
    CHECK_INT(load(c, "auth.secret = \"hunter2\" ops.token = 77001 "), ERR_BAD_REQUEST);
    CHECK(strstr(fault, "77001") == NULL);
    CHECK_INT(load(c, "auth.secret = \"hunter2\""), ERR_OK);
    CHECK_INT(check(c), ERR_BAD_REQUEST);
    CHECK(strstr(fault, "hunter2") == NULL);
    conf_free(c);
}

SPEC("takes --set") {
    conf_t *c = conf_new();
    CHECK_INT(set(c, "ws.max_devices", "7"), ERR_OK);
    CHECK_INT(conf_int(c, "ws.max_devices"), 7);
    CHECK_INT(set(c, "test.echo", "true"), ERR_OK);
    CHECK(conf_bool(c, "test.echo"));
    CHECK_INT(set(c, "ws.origins", "a.example, b.example"), ERR_OK);
    CHECK_INT(conf_list_count(c, "ws.origins"), 2);
    CHECK_TEXT(conf_list(c, "ws.origins", 1).at, conf_list(c, "ws.origins", 1).len, "b.example");
    CHECK_INT(set(c, "ws.origins", ""), ERR_OK);
    CHECK_INT(conf_list_count(c, "ws.origins"), 0);
    CHECK_INT(set(c, "ws.origins", "a,,b"), ERR_BAD_REQUEST);
    CHECK_INT(set(c, "ws.origins", "a,"), ERR_BAD_REQUEST);
    CHECK_INT(set(c, "presence.grace", "0"), ERR_OK);
    CHECK_INT(conf_int(c, "presence.grace"), 0);
    CHECK_INT(set(c, "http.listen", "localhost:80"), ERR_OK);
    CHECK_CONF(c, "http.listen", "127.0.0.1:80");
    CHECK_INT(set(c, "http.listen", "[::1]:80"), ERR_OK);
    CHECK_CONF(c, "http.listen", "[::1]:80");
    CHECK_INT(set(c, "http.listen", ""), ERR_OK);
    CHECK_CONF(c, "http.listen", "");
    CHECK_INT(set(c, "ws.max_devices", "many"), ERR_BAD_REQUEST);
    CHECK_FAULT("--set: ws.max_devices: must be a whole number");
    CHECK_INT(conf_int(c, "ws.max_devices"), 7);
    CHECK_INT(set(c, "no.such", "1"), ERR_BAD_REQUEST);
    CHECK_FAULT("--set: no.such: unknown key");
    conf_free(c);
}

SPEC("takes the environment") {
    conf_t *c = conf_new();
    setenv("PARLEY_WS_MAX_DEVICES", "9", 1);
    setenv("PARLEY_HTTP_TRUSTED_PROXIES", "10.1.2.3", 1);
    CHECK_INT(conf_load_env(c, fault, sizeof fault), ERR_OK);
    CHECK_INT(conf_int(c, "ws.max_devices"), 9);
    CHECK_INT(conf_list_count(c, "http.trusted_proxies"), 1);
    setenv("PARLEY_WS_MAX_DEVICES", "x", 1);
    setenv("PARLEY_HTTP_TRUSTED_PROXIES", "10.9.9.9", 1);
    CHECK_INT(conf_load_env(c, fault, sizeof fault), ERR_BAD_REQUEST);
    CHECK_FAULT("PARLEY_WS_MAX_DEVICES: ws.max_devices: must be a whole number");
    CHECK_TEXT(conf_list(c, "http.trusted_proxies", 0).at, 8, "10.1.2.3");
    unsetenv("PARLEY_WS_MAX_DEVICES");
    unsetenv("PARLEY_HTTP_TRUSTED_PROXIES");
    conf_free(c);
}

SPEC("reads a file, and says what is wrong with one it cannot read") {
    char dir[] = "/tmp/parley-spec-XXXXXX", path[64], want[128];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/node.conf", dir);
    FILE *f = fopen(path, "w");
    fputs("\xef\xbb\xbfworkers = 2\n", f);
    fclose(f);
    conf_t *c = conf_new();
    CHECK_INT(conf_load_file(c, path, fault, sizeof fault), ERR_OK);
    CHECK_INT(conf_int(c, "workers"), 2);
    unlink(path);
    CHECK_INT(conf_load_file(c, path, fault, sizeof fault), ERR_BAD_REQUEST);
    snprintf(want, sizeof want, "%s:0: cannot be read: No such file or directory", path);
    CHECK_FAULT(want);
    CHECK_INT(conf_load_file(c, dir, fault, sizeof fault), ERR_BAD_REQUEST);
    rmdir(dir);
    conf_free(c);
}

/* A configuration that passes, then one change of it. */
static int start_with(const char *change) {
    conf_t *c = conf_new();
    int err = load(c, "auth.secret = '" SECRET_TEXT "'");
    if (err == ERR_OK && (err = check(c)) != ERR_OK)
        printf("the base does not pass: %s\n", fault);
    conf_free(c);
    if (err != ERR_OK)
        abort();
    c = conf_new();
    err = load(c, change);
    if (err != ERR_OK) {
        printf("the change does not load: %s\n", fault);
        abort();
    }
    fault[0] = 0;
    err = conf_check(c, fault, sizeof fault);
    conf_free(c);
    return err;
}

#define GOOD "auth.secret = '" SECRET_TEXT "'\n"

SPEC("does not start without a secret of 32 bytes") {
    CHECK_INT(start_with(""), ERR_BAD_REQUEST);
    CHECK_FAULT("preset: auth.secret: is missing; it must have at least 32 bytes");
    CHECK_INT(start_with("auth.secret = '0123456789abcdef0123456789abcde'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:1: auth.secret: must have at least 32 bytes");
    CHECK_INT(start_with(GOOD "auth.old_secret = 'short'"), ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD), ERR_OK);
}

SPEC("starts in open mode on loopback only, unless told twice") {
    CHECK_INT(start_with(GOOD "ws.mode = 'open'"), ERR_BAD_REQUEST);
    CHECK(strncmp(fault, "node.conf:2: ws.mode: ", 22) == 0);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.listen = '127.0.0.1:0'"), ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' http.listen = '127.0.0.1:0'"), ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.listen = '[::]:0' http.listen='[::1]:0'"),
              ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.listen = '127.0.0.1:0' http.listen = '[::1]:0'"),
              ERR_OK);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.listen = '127.1.2.3:0' http.ws = false"),
              ERR_OK);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.listen = '' http.listen = ''"), ERR_OK);
    CHECK_INT(start_with(GOOD "ws.mode = 'open' ws.open_public = true"), ERR_OK);
}

SPEC("allows the echo route and the console on loopback only") {
    CHECK_INT(start_with(GOOD "test.echo = true"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: test.echo: needs a loopback ws.listen, which is '0.0.0.0:8084'");
    CHECK_INT(start_with(GOOD "test.echo = true ws.listen = '127.0.0.1:0'"), ERR_OK);
    CHECK_INT(start_with(GOOD "admin.listen = '0.0.0.0:7001'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: admin.listen: must be a loopback address");
    CHECK_INT(start_with(GOOD "admin.listen = ''"), ERR_OK);
}

SPEC("refuses values that do not fit each other") {
    CHECK_INT(start_with(GOOD "ws.dead_after = '89s'"), ERR_BAD_REQUEST);
    CHECK_FAULT(
        "node.conf:2: ws.dead_after: 89000 ms is less than 3 x ws.ping_interval (30000 ms)");
    CHECK_INT(start_with(GOOD "ws.dead_after = '90s'"), ERR_OK);
    CHECK_INT(start_with(GOOD "ws.queue_hard = '128KiB'"), ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD "http.tls_cert = 'a.pem'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: http.tls_cert: http.tls_cert and http.tls_key only work together");
    CHECK_INT(start_with(GOOD "ws.tls_cert = 'a.pem' ws.tls_key = 'k.pem'"), ERR_OK);
    CHECK_INT(start_with(GOOD "ws.listen = '0.0.0.0:8080'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: ws.listen: 0.0.0.0:8080 is the address of http.listen too");
    CHECK_INT(start_with(GOOD "ws.listen = '127.0.0.1:0' http.listen = '127.0.0.1:0'"), ERR_OK);
    CHECK_INT(start_with(GOOD "http.trusted_proxies = { '10.0.0.0/33' }"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: http.trusted_proxies: '10.0.0.0/33' is no address or network");
    CHECK_INT(start_with(GOOD "http.trusted_proxies = { '10.0.0.0/8', 'fd00::/8', '::1' }"),
              ERR_OK);
    CHECK_INT(start_with(GOOD "store.url = 'mysql://x'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: store.url: must begin with sqlite:");
    CHECK_INT(start_with(GOOD "files.url = '/var/files'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: files.url: must begin with file: or s3://");
    CHECK_INT(start_with(GOOD "files.url = 's3://abc' files.s3_key = 'k'"), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: files.url: a bucket needs files.s3_key and files.s3_secret");
    CHECK_INT(start_with(GOOD "files = { url = 's3://abc', s3_key = 'k', s3_secret = 's' }"),
              ERR_OK);
    CHECK_INT(start_with(GOOD "auth.refresh_ttl = '1m'"), ERR_BAD_REQUEST);
    CHECK_INT(start_with(GOOD "ws.deflate = true"), ERR_BAD_REQUEST);
}

#define WITH_SECRET "call.turn_secret = '0123456789abcdef' "
SPEC("refuses servers of calls that a browser would refuse, and credentials that are none") {
    static const char *const good[] = {
        "",
        "call.stun = { 'stun:stun.example.org', 'stuns:10.0.0.1:5349', 'stun:[::1]:1' }",
        "call.stun = { 'stun:[2001:db8::7]' }",
        WITH_SECRET "call.turn = { 'turn:t:3478', 'turns:t.x:443?transport=tcp' }",
        WITH_SECRET "call.turn = { 'turn:10.0.0.1?transport=udp' }",
        "call.turn = { 'turn:t' } call.turn_username = 'u' call.turn_credential = 'c'",
        WITH_SECRET,
        "call.max = '9d'",
        WITH_SECRET "call.max = '1h' call.turn_ttl = '61m'",
    };
    static const struct {
        const char *text, *fault;
    } bad[] = {
        {"call.stun = { 'stun.example.org' }", "call.stun: 'stun.example.org' is no URL such as "
                                               "stun:host:port or stuns:host:port"},
        {"call.stun = { 'stun:a', 'stun://a' }",
         "call.stun: 'stun://a' is no URL such as stun:host:port or stuns:host:port"},
        {"call.turn = { 'turn:a b' }",
         "call.turn: 'turn:a b' is no URL such as turn:host:port or turns:host:port?transport=tcp"},
        {"call.turn = { 'turn:a' }", "call.turn: needs call.turn_secret: browsers refuse such a "
                                     "server without credentials"},
        {"call.turn_username = 'u'", "call.turn_username: call.turn_username and "
                                     "call.turn_credential only work together"},
        {"call.turn_credential = 'c'", "call.turn_credential: call.turn_username and "
                                       "call.turn_credential only work together"},
        {WITH_SECRET "call.turn_username = 'u' call.turn_credential = 'c'",
         "call.turn_secret: takes the place of call.turn_username: set one"},
        {"call.turn_secret = '0123456789abcde'", "call.turn_secret: must have at least 16 bytes: "
                                                 "who was given a credential could guess it"},
        {WITH_SECRET "call.turn_ttl = '4h'",
         "call.turn_ttl: must not be shorter than call.ring, call.connect and call.max together "
         "(14460 s)"},
    };
    static const char *const no_url[] = {
        "stun:",         "stun:a:",   "stun:a:0",  "stun:a:65536", "stun:a?transport=udp",
        "stun:a:1:2",    "stun:[::1", "stun:[]",   "stun:[1.2]",   "stun:[::1]x",
        "turn:a",        "stunss:a",  "STUN:a",    "stun:a/",      "stun:u@a",
        "stun:\xc3\xa4", "stun:a\\n", "stun:a:+1", "stun:a%20",
    };
    char text[512], want[512];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, GOOD "%s", good[i]);
        CHECK_INT(start_with(text), ERR_OK);
        CHECK_FAULT("");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, GOOD "%s", bad[i].text);
        snprintf(want, sizeof want, "node.conf:2: %s", bad[i].fault);
        CHECK_INT(start_with(text), ERR_BAD_REQUEST);
        CHECK_FAULT(want);
    }
    for (size_t i = 0; i < sizeof no_url / sizeof *no_url; i++) {
        snprintf(text, sizeof text, GOOD "call.stun = { '%s' }", no_url[i]);
        CHECK_INT(start_with(text), ERR_BAD_REQUEST);
        CHECK(strstr(fault, "call.stun: '") != NULL);
    }
    size_t at = (size_t)snprintf(text, sizeof text, GOOD "call.stun = { 'stun:a'");
    for (int i = 0; i < 16; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, ", 'stun:a'");
    snprintf(text + at, sizeof text - at, " }");
    CHECK_INT(start_with(text), ERR_BAD_REQUEST);
    CHECK_FAULT("node.conf:2: call.stun: names 17 servers, at most 16 are told");
}

struct seen {
    size_t count;
    bool secret_shown, secret_seen, help_missing;
};

static void visit(void *arg, const char *key, conf_type_t type, const char *value,
                  const char *preset, const char *help) {
    struct seen *s = arg;
    (void)type;
    (void)preset;
    s->count++;
    s->help_missing |= !*help;
    if (strcmp(key, "auth.secret") == 0)
        s->secret_seen = strcmp(value, "***") == 0;
    s->secret_shown |= strstr(value, SECRET_TEXT) != NULL;
}

SPEC("lists all keys with help, secrets as stars") {
    conf_t *c = conf_new();
    CHECK_INT(load(c, GOOD), ERR_OK);
    struct seen s = {0};
    conf_each(c, visit, &s);
    CHECK(s.count > 50);
    CHECK(s.secret_seen && !s.secret_shown && !s.help_missing);
    conf_free(c);
}

SPEC("the example of the source tree passes once it has a secret") {
    conf_t *c = conf_new();
    int err = conf_load_file(c, SPEC_SOURCE "/conf/node.conf", fault, sizeof fault);
    if (err)
        printf("%s\n", fault);
    CHECK_INT(err, ERR_OK);
    CHECK_INT(set(c, "auth.secret", SECRET_TEXT), ERR_OK);
    err = check(c);
    if (err)
        printf("%s\n", fault);
    CHECK_INT(err, ERR_OK);
    conf_free(c);
}

SPEC_MAIN
