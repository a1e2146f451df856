/* main: the command line, and the one place that knows all modules: it makes a node in order, waits
 * for signals, and takes it apart in reverse. TERM drains and exits 0, a second TERM exits at once;
 * HUP reloads the scripts. A top-level actor that fails for good stops the node as TERM does, with
 * exit status 1. */
#include "actors/chat.h"
#include "actors/console_conn.h"
#include "actors/console_script.h"
#include "actors/console_trace.h"
#include "actors/console_user.h"
#include "actors/edge.h"
#include "actors/hub.h"
#include "admin/console.h"
#include "admin/ctl.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAULT = 1, EXIT_CONF = 2 };

typedef struct node {
    conf_t *conf;
    runtime_t *rt;
    store_t *store;
    kv_t *kv;
    stream_t *stream;
    crypt_t *crypt;
    post_t *post;
    blob_t *blob;
    edge_t *edge;
    script_t *script;
    net_t *net;
    console_t *console;
    bool hub, started;
    _Atomic bool failed; /* the root: the node stops with EXIT_FAULT */
    char fault[512];
} node_t;

#define FAULT(n) (n)->fault, sizeof(n)->fault

__attribute__((format(printf, 2, 3))) static void say(node_t *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(n->fault, sizeof n->fault, format, args);
    va_end(args);
}

/* --- arguments and configuration --- */

static const char usage[] =
    "parleyd [--conf FILE] [--set KEY=VALUE]...          runs one node\n"
    "parleyd check [--conf FILE] [--set KEY=VALUE]...    says what is wrong in a configuration and "
    "in the rules\n                                                    (it runs their specs), exit "
    "status 2\n"
    "parleyd migrate [--conf FILE] [--set KEY=VALUE]...  brings the store to this version and "
    "ends\n"
    "parleyd ctl [--conf FILE] [--set KEY=VALUE]... [--json] COMMAND...\n"
    "                                                    one command of the console of the node in "
    "data.dir\n"
    "parleyd passwd [--conf FILE] [--set KEY=VALUE]... [--generate] NAME [read|operate|none]\n"
    "                                                    an account of the console: made, changed, "
    "removed\n"
    "parleyd version\n"
    "parleyd help                                        this text and all configuration keys\n"
    "\nEvery key can also be set by the environment: PARLEY_HTTP_LISTEN for http.listen.\n";

static bool is_command(const char *word) {
    static const char *const all[] = {"check", "migrate", "ctl", "passwd", "version", "help"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(word, all[i]) == 0)
            return true;
    return false;
}

static int set_pair(conf_t *conf, const char *pair, char *fault, size_t room) {
    char key[128];
    const char *eq = strchr(pair, '=');
    if (!eq || (size_t)(eq - pair) >= sizeof key) {
        snprintf(fault, room, "--set %s: KEY=VALUE expected", pair);
        return ERR_BAD_REQUEST;
    }
    memcpy(key, pair, (size_t)(eq - pair));
    key[eq - pair] = 0;
    return conf_set(conf, key, slice_of(eq + 1), fault, room);
}

/* Files first, then the environment, then --set: the later one wins. */
static int read_conf(node_t *n, int argc, char **argv) {
    int err = ERR_OK;
    for (int i = 0; i < argc && err == ERR_OK; i++)
        if (strcmp(argv[i], "--conf") == 0 && i + 1 < argc)
            err = conf_load_file(n->conf, argv[++i], FAULT(n));
        else if (strcmp(argv[i], "--set") == 0 && i + 1 < argc)
            i++;
        else {
            say(n, "%s: not understood; see parleyd help", argv[i]);
            return ERR_BAD_REQUEST;
        }
    if (err == ERR_OK)
        err = conf_load_env(n->conf, FAULT(n));
    for (int i = 0; i < argc && err == ERR_OK; i++)
        if (strcmp(argv[i], "--set") == 0)
            err = set_pair(n->conf, argv[++i], FAULT(n));
        else
            i++;
    return err;
}

/* How many of the arguments are --conf FILE and --set KEY=VALUE in front of others. */
static int conf_words(int argc, char **argv) {
    int n = 0;
    while (n + 1 < argc && (strcmp(argv[n], "--conf") == 0 || strcmp(argv[n], "--set") == 0))
        n += 2;
    return n;
}

static void show_key(void *arg, const char *key, conf_type_t type, const char *value,
                     const char *preset, const char *help) {
    (void)arg, (void)type, (void)value;
    printf("  %-24s %-16s %s\n", key, preset, help);
}

static int help(const conf_t *conf) {
    printf("%s\nkeys, presets:\n", usage);
    conf_each(conf, show_key, NULL);
    return EXIT_SUCCESS;
}

static void set_log_level(const conf_t *conf) {
    slice_t want = conf_text(conf, "log.level");
    for (int i = 0; i < 4; i++)
        if (slice_eq(want, slice_of(log_level_names[i])))
            log_level_set((log_level_t)i);
}

/* --- making a node --- */

static int make_dir(node_t *n) {
    char path[1024];
    slice_t dir = conf_text(n->conf, "data.dir");
    if (dir.len == 0 || dir.len >= sizeof path)
        return ERR_OK;
    memcpy(path, dir.at, dir.len + 1);
    for (char *at = path + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0750);
            *at = '/';
        }
    if (mkdir(path, 0750) == 0 || errno == EEXIST)
        return ERR_OK;
    say(n, "data.dir: %.300s: %s", path, strerror(errno));
    return ERR_IO;
}

/* As many as the sockets of conf need and some: libwebsockets makes a table of the whole limit per
 * worker, and one above ten million makes it fall back to 2,560. */
static void raise_descriptors(const conf_t *conf) {
    struct rlimit r;
    rlim_t want = (rlim_t)conf_int(conf, "net.max_connections") + 10000;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < want) {
        r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static uint32_t worker_count(const conf_t *conf) {
    int64_t n = conf_int(conf, "workers");
    if (n == 0)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return (uint32_t)(n < 1 ? 1 : n > 64 ? 64 : n);
}

/* In the thread of the actor that failed: main's loop is told as an operator would tell it. */
static void root_failed(void *arg, const char *chain) {
    node_t *n = arg;
    (void)chain; /* the scheduler has logged it */
    atomic_store(&n->failed, true);
    kill(getpid(), SIGTERM);
}

static int make_runtime(node_t *n) {
    runtime_conf_t rc = {
        .failed = root_failed,
        .failed_arg = n,
        .workers = worker_count(n->conf),
        .max_actors = (uint32_t)conf_int(n->conf, "actors.max"),
        .mailbox_msgs = (uint32_t)conf_int(n->conf, "mailbox.messages"),
        .mailbox_bytes = (uint32_t)conf_int(n->conf, "mailbox.bytes"),
    };
    n->rt = runtime_new(&rc);
    say(n, "cannot make the runtime");
    return n->rt ? ERR_OK : ERR_IO;
}

static int open_ports(node_t *n) {
    if (!(n->store = store_open(n->rt, n->conf, FAULT(n))))
        return ERR_IO;
    if (!(n->kv = kv_open(n->rt, n->conf, FAULT(n))))
        return ERR_IO;
    if (!(n->stream = stream_open(n->rt, n->conf, FAULT(n))))
        return ERR_IO;
    if (!(n->crypt = crypt_open(n->rt, n->conf, FAULT(n))))
        return ERR_IO;
    if (!(n->post = post_open(n->rt, n->conf, FAULT(n))))
        return ERR_IO;
    return (n->blob = blob_open(n->rt, n->conf, FAULT(n))) ? ERR_OK : ERR_IO;
}

static int open_actors(node_t *n) {
    size_t count;
    if (!(n->edge = edge_new(n->rt, n->conf, n->store, FAULT(n))))
        return ERR_IO;
    edge_set_files(n->edge, n->blob);
    const script_function_t *functions = edge_functions(n->edge, &count);
    script_ports_t ports = {n->store, n->kv, n->stream, n->crypt, n->post};
    if (!(n->script = script_open(n->rt, n->conf, &ports, functions, count, FAULT(n))))
        return ERR_BAD_REQUEST;
    int err = edge_set_script(n->edge, n->script, FAULT(n));
    if (err != ERR_OK)
        return err;
    say(n, "cannot make the hubs");
    if ((err = hub_setup(n->rt, n->conf)) != ERR_OK)
        return err;
    n->hub = true;
    return chat_setup(n->rt, n->conf, n->store, n->script, FAULT(n));
}

static int listen_on(node_t *n, uint32_t id, const char *name) {
    char key[32];
    net_listener_conf_t l = {.id = id};
    snprintf(key, sizeof key, "%s.listen", name);
    l.address = conf_text(n->conf, key).at;
    if (!*l.address)
        return ERR_OK;
    snprintf(key, sizeof key, "%s.tls_cert", name);
    l.tls_cert = conf_text(n->conf, key).len ? conf_text(n->conf, key).at : NULL;
    snprintf(key, sizeof key, "%s.tls_key", name);
    l.tls_key = conf_text(n->conf, key).len ? conf_text(n->conf, key).at : NULL;
    return net_listen(n->net, &l, FAULT(n));
}

static int open_net(node_t *n) {
    say(n, "cannot make the network");
    if (!(n->net = net_new(n->rt, n->conf, edge_handler())))
        return ERR_IO;
    int err = listen_on(n, LISTEN_HTTP, "http");
    return err == ERR_OK ? listen_on(n, LISTEN_WS, "ws") : err;
}

static bool verify_operator(void *conf, slice_t password, slice_t hash) {
    return crypt_verify_here(conf, password, hash) == ERR_OK;
}

static int open_console(node_t *n) {
    say(n, "cannot make the console");
    n->console = console_new(n->rt, n->conf, verify_operator, n->conf);
    if (!n->console)
        return ERR_BUSY;
    console_user_add(n->console, n->edge);
    console_conn_add(n->console, n->edge);
    console_script_add(n->console, n->script);
    console_trace_add(n->console);
    return ERR_OK;
}

static int node_start(node_t *n) {
    int err = make_dir(n);
    if (err == ERR_OK)
        err = make_runtime(n);
    if (err == ERR_OK)
        err = open_ports(n);
    if (err == ERR_OK)
        err = open_actors(n);
    if (err == ERR_OK)
        err = open_console(n);
    if (err == ERR_OK)
        err = open_net(n);
    if (err != ERR_OK)
        return err;
    say(n, "cannot start the workers");
    if ((err = runtime_start(n->rt)) != ERR_OK)
        return err;
    n->started = true;
    edge_start(n->edge);
    return console_start(n->console, FAULT(n));
}

static void node_close(node_t *n) {
    console_stop(n->console);
    post_stop(n->post);
    blob_stop(n->blob);
    if (n->started)
        runtime_stop(n->rt, 5000);
    net_free(n->net);
    script_close(n->script);
    blob_close(n->blob);
    post_close(n->post);
    crypt_close(n->crypt);
    stream_close(n->stream);
    kv_close(n->kv);
    store_close(n->store);
    if (n->hub)
        hub_teardown(n->rt);
    runtime_free(n->rt);
    console_free(n->console);
    edge_free(n->edge);
}

/* --- running it --- */

static sigset_t our_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

/* The next signal within ms; 0: none came. */
static int next_signal(const sigset_t *set, int ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    int sig = sigtimedwait(set, NULL, &t);
    return sig > 0 ? sig : 0;
}

static const char *address_of(const node_t *n, uint32_t id, const char *key) {
    return conf_text(n->conf, key).len ? net_listen_address(n->net, id) : "off";
}

static bool say_ready(node_t *n, const sigset_t *set) {
    while (!edge_ready(n->edge)) {
        int sig = next_signal(set, 2);
        if (sig == SIGTERM || sig == SIGINT)
            return false;
    }
    printf("parleyd ready http=%s ws=%s admin=%s pid=%d\n",
           address_of(n, LISTEN_HTTP, "http.listen"), address_of(n, LISTEN_WS, "ws.listen"),
           console_address(n->console), (int)getpid());
    fflush(stdout);
    return true;
}

/* Until the sockets are gone, at most drain.time and the five seconds of a close handshake. */
static void drain(node_t *n, const sigset_t *set) {
    int64_t left = conf_int(n->conf, "drain.time") + 6000;
    log_info("main", "stopping");
    edge_drain(n->edge);
    while (left > 0 && stat_read(STAT_WS_CONNECTIONS) > 0) {
        int sig = next_signal(set, 20);
        left -= 20;
        if (sig == SIGTERM || sig == SIGINT) {
            log_stop();
            _exit(EXIT_FAULT);
        }
    }
    net_stop_accepting(n->net);
}

static int run(node_t *n) {
    sigset_t set = our_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow any more is an error of that write */
    raise_descriptors(n->conf);
    set_log_level(n->conf);
    log_start();
    int err = node_start(n);
    if (err != ERR_OK) {
        log_stop();
        fprintf(stderr, "parleyd: %s\n", n->fault);
        node_close(n);
        return err == ERR_BAD_REQUEST ? EXIT_CONF : EXIT_FAULT;
    }
    bool going = say_ready(n, &set);
    while (going) {
        int sig = next_signal(&set, 60000);
        if (sig == SIGHUP)
            script_reload(n->script);
        going = sig != SIGTERM && sig != SIGINT;
    }
    drain(n, &set);
    node_close(n);
    bool failed = atomic_load(&n->failed);
    log_info("main", failed ? "stopped because the root failed" : "stopped");
    log_stop();
    return failed ? EXIT_FAULT : EXIT_SUCCESS;
}

static void say_line(void *arg, const char *line) {
    (void)arg;
    fprintf(stderr, "parleyd: %s\n", line);
}

/* The rules load, and do what the specs beside them say. */
static int check(const node_t *n) {
    script_function_t functions[64];
    size_t count = edge_function_names(functions, 64);
    uint32_t tests, faults = script_verify(n->conf, functions, count, say_line, NULL, &tests);
    if (faults > 0)
        return EXIT_CONF;
    printf("the configuration is fine, and so are the rules (%u tests)\n", tests);
    return EXIT_SUCCESS;
}

static int migrate(node_t *n) {
    int err = make_dir(n);
    if (err == ERR_OK)
        err = make_runtime(n);
    if (err == ERR_OK && !(n->store = store_open(n->rt, n->conf, FAULT(n))))
        err = ERR_IO;
    if (err != ERR_OK)
        fprintf(stderr, "parleyd: %s\n", n->fault);
    else
        puts("the store is up to date");
    node_close(n);
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAULT;
}

/* Commands for another process's node need its data.dir, not a whole configuration. */
static int other_node(node_t *n, const char *command, int argc, char **argv) {
    int words = conf_words(argc, argv);
    if (read_conf(n, words, argv) != ERR_OK) {
        fprintf(stderr, "parleyd: %s\n", n->fault);
        return EXIT_CONF;
    }
    if (strcmp(command, "ctl") == 0)
        return ctl_run(n->conf, argc - words, argv + words);
    if (make_dir(n) == ERR_OK)
        return ctl_passwd(n->conf, argc - words, argv + words, crypt_hash_here);
    fprintf(stderr, "parleyd: %s\n", n->fault);
    return EXIT_CONF;
}

int main(int argc, char **argv) {
    node_t n = {.conf = conf_new()};
    const char *command = argc > 1 && is_command(argv[1]) ? argv[1] : "run";
    int skip = argc > 1 && is_command(argv[1]) ? 2 : 1, status;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        command = "help";
    if (strcmp(command, "version") == 0) {
        puts("parley " PARLEY_VERSION);
        status = EXIT_SUCCESS;
    } else if (strcmp(command, "help") == 0) {
        status = help(n.conf);
    } else if (strcmp(command, "ctl") == 0 || strcmp(command, "passwd") == 0) {
        status = other_node(&n, command, argc - skip, argv + skip);
    } else if (read_conf(&n, argc - skip, argv + skip) != ERR_OK ||
               conf_check(n.conf, FAULT(&n)) != ERR_OK || blob_check(n.conf, FAULT(&n)) != ERR_OK) {
        fprintf(stderr, "parleyd: %s\n", n.fault);
        status = EXIT_CONF;
    } else if (strcmp(command, "check") == 0) {
        status = check(&n);
    } else {
        status = strcmp(command, "migrate") == 0 ? migrate(&n) : run(&n);
    }
    conf_free(n.conf);
    return status;
}
