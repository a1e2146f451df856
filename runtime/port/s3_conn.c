/* s3_conn: one exchange with the store: signed, sent by libcurl, tried again while that may help.
 * See s3.h. Runs in the thread that owns the connection; nothing in it is shared but the state and
 * the skew of the clocks. */
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "base/text.h"
#include "port/s3_in.h"
#include "port/s3_xml.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIES       6
#define TRY_MS      30000 /* one try; a copy of half a gigabyte takes a while */
#define CONNECT_MS  5000
#define WAIT_MS     50 /* before the second try; doubled each time, */
#define WAIT_MAX_MS 2000
#define SKEW_MIN_MS 60000 /* a refusal may be the clock's fault from here on */

s3_conn_t *s3_conn_open(s3_t *s, const s3_host_t *host) {
    s3_conn_t *c = pool_zalloc(sizeof *c);
    c->s3 = s;
    c->host = *host;
    c->chance = (uint64_t)(uintptr_t)c ^ (uint64_t)host->wall_ms(host->arg);
    return c;
}

void s3_conn_close(s3_conn_t *c) {
    if (!c)
        return;
    if (c->curl)
        curl_easy_cleanup(c->curl);
    buf_free(&c->answer.body);
    pool_free(c, sizeof *c);
}

/* --- what comes back --- */

static size_t take_body(char *at, size_t one, size_t n, void *arg) {
    s3_answer_t *a = arg;
    size_t len = one * n;
    a->too_long = a->body.len + len > S3_ANSWER_MAX;
    if (a->too_long)
        return 0;
    buf_add(&a->body, at, len);
    return len;
}

/* The value of a line of that name, without blanks around it. */
static bool is_header(slice_t line, const char *name, slice_t *value) {
    size_t len = strlen(name);
    if (line.len <= len || strncasecmp(line.at, name, len) != 0 || line.at[len] != ':')
        return false;
    slice_t v = {line.at + len + 1, line.len - len - 1};
    while (v.len && strchr(" \t\r\n", v.at[v.len - 1]))
        v.len--;
    while (v.len && strchr(" \t", *v.at)) {
        v.at++;
        v.len--;
    }
    *value = v;
    return true;
}

static void keep(char *room, size_t size, slice_t v) {
    if (v.len >= size)
        v.len = 0; /* what is too long is not what we asked for */
    memcpy(room, v.at, v.len);
    room[v.len] = 0;
}

static int64_t number(slice_t v) {
    int64_t n;
    return text_to_int(v, &n) ? n : -1;
}

/* bytes 0-99/1234 */
static int64_t total_of(slice_t range) {
    const char *slash = memrchr(range.at, '/', range.len);
    if (!slash)
        return -1;
    return number((slice_t){slash + 1, range.len - (size_t)(slash + 1 - range.at)});
}

static int64_t date_of(slice_t v) {
    char room[64];
    keep(room, sizeof room, v);
    time_t t = curl_getdate(room, NULL);
    return t > 0 ? (int64_t)t : 0;
}

static size_t take_header(char *at, size_t one, size_t n, void *arg) {
    s3_answer_t *a = arg;
    slice_t line = {at, one * n}, v;
    if (line.len > 5 && memcmp(at, "HTTP/", 5) == 0) { /* behind a 100 */
        a->length = -1;
        *a->etag = *a->type = 0;
    } else if (is_header(line, "etag", &v))
        keep(a->etag, sizeof a->etag, v);
    else if (is_header(line, "content-type", &v))
        keep(a->type, sizeof a->type, v);
    else if (is_header(line, "content-range", &v))
        a->length = total_of(v);
    else if (is_header(line, "content-length", &v) && a->length < 0)
        a->length = number(v);
    else if (is_header(line, "date", &v))
        a->date_s = date_of(v);
    return line.len;
}

static void note_code(void *arg, const s3_xml_t *at) {
    s3_answer_t *a = arg;
    if (s3_xml_is(at, "Error/Code"))
        keep(a->code, sizeof a->code, at->text);
}

/* The code of an error, which may also stand inside a 200 that was sent while the call still ran.
 */
static void read_error(s3_answer_t *a) {
    if (!a->body.len || !memmem(a->body.at, a->body.len, "<Error>", 7))
        return;
    if (s3_xml_read(buf_slice(&a->body), note_code, a) != ERR_OK)
        *a->code = 0;
    if (*a->code && a->status < 300)
        a->status = 500;
}

/* --- one try --- */

static int should_end(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const s3_conn_t *x = arg;
    (void)a, (void)b, (void)c, (void)d;
    return x->host.stopping(x->host.arg);
}

static struct curl_slist *header_list(char *lines) {
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no wait for a 100 */
    if (!strstr(lines, "content-type:"))
        list = curl_slist_append(list, "Content-Type:"); /* none of curl's own */
    char *rest = lines;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            list = curl_slist_append(list, line);
    return list;
}

static void set_up(s3_conn_t *c, const s3_ask_t *ask, const char *url, long timeout_ms) {
    CURL *curl = c->curl;
    curl_easy_reset(curl); /* connections stay */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "parley/" PARLEY_VERSION);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout_ms < CONNECT_MS ? timeout_ms : (long)CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &c->answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &c->answer);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, should_end);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (*c->s3->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->s3->ca);
    if (strcmp(ask->method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (*ask->method == 'P') { /* PUT, POST: with a body, may it be empty */
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)ask->body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body.len ? ask->body.at : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
}

static void sign(const s3_conn_t *c, const s3_ask_t *ask, buf_t *url, buf_t *lines) {
    const s3_t *s = c->s3;
    char payload[65];
    buf_t path = {0};
    int64_t now =
        c->host.wall_ms(c->host.arg) + atomic_load_explicit(&s->skew_ms, memory_order_relaxed);
    s3_path(s, &s->inside, ask->key, &path);
    sigv4_payload(ask->body, payload);
    sigv4_keys_t keys = s3_keys(s);
    sigv4_request_t r = {.method = slice_of(ask->method),
                         .origin = slice_of(s->inside.origin),
                         .path = buf_slice(&path),
                         .payload = slice_of(payload),
                         .query = ask->query,
                         .headers = ask->headers,
                         .query_count = ask->query_count,
                         .header_count = ask->header_count,
                         .at_s = now / 1000};
    sigv4_sign(url, lines, &keys, &r);
    buf_add_char(url, 0);
    buf_add_char(lines, 0);
    buf_free(&path);
}

static CURLcode try_once(s3_conn_t *c, const s3_ask_t *ask, uint32_t left_ms) {
    buf_t url = {0}, lines = {0};
    s3_answer_t *a = &c->answer;
    a->body.len = 0;
    a->status = 0;
    a->length = -1;
    a->date_s = 0;
    a->too_long = false;
    *a->etag = *a->type = *a->code = 0;
    sign(c, ask, &url, &lines);
    struct curl_slist *list = header_list(lines.at);
    set_up(c, ask, url.at, left_ms < TRY_MS ? (long)left_ms : (long)TRY_MS);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, list);
    CURLcode code = curl_easy_perform(c->curl);
    curl_off_t took_us = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(c->curl, CURLINFO_TOTAL_TIME_T, &took_us);
    stat_observe(HIST_S3, (uint64_t)took_us);
    curl_slist_free_all(list);
    buf_free(&url);
    buf_free(&lines);
    if (code == CURLE_OK)
        read_error(a);
    return code;
}

/* --- again? --- */

static bool code_is(const s3_answer_t *a, const char *code) {
    return strcmp(a->code, code) == 0;
}

static bool may_help(CURLcode code, const s3_answer_t *a) {
    if (code != CURLE_OK)
        return !a->too_long && code != CURLE_ABORTED_BY_CALLBACK &&
               code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE;
    return a->status == 500 || a->status == 502 || a->status == 503 || a->status == 504 ||
           a->status == 429;
}

/* A refusal while the clocks differ: the store's counts from now on. (HEAD gets no code that says
 * so.) */
static bool learn_clock(s3_conn_t *c) {
    const s3_answer_t *a = &c->answer;
    if (a->status != 403 || a->date_s == 0)
        return false;
    int64_t skew = a->date_s * 1000 - c->host.wall_ms(c->host.arg);
    int64_t known = atomic_load_explicit(&c->s3->skew_ms, memory_order_relaxed);
    if (llabs(skew - known) < SKEW_MIN_MS)
        return false;
    atomic_store_explicit(&c->s3->skew_ms, llabs(skew) < SKEW_MIN_MS ? 0 : skew,
                          memory_order_relaxed);
    log_warn("s3", "the clocks differ: the store's is %lld s ahead of ours; signing with its time",
             (long long)(skew / 1000));
    return true;
}

static void pause_ms(uint32_t ms) {
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* With chance, so that those who failed together do not come together. false: no time is left. */
static bool wait_a_while(s3_conn_t *c, int tries) {
    uint32_t most = WAIT_MS << tries;
    most = most > WAIT_MAX_MS ? WAIT_MAX_MS : most;
    c->chance = hash_u64(c->chance + 1);
    uint32_t ms = most / 2 + (uint32_t)(c->chance % (most / 2 + 1));
    for (uint32_t waited = 0; waited < ms; waited += 50) {
        if (c->host.stopping(c->host.arg) || c->host.left_ms(c->host.arg) <= ms - waited)
            return false;
        pause_ms(ms - waited < 50 ? ms - waited : 50);
    }
    return true;
}

/* --- what it means --- */

static const char *shown(const s3_ask_t *ask) {
    return ask->key ? ask->key : "a list of the bucket";
}

static int of_status(const s3_ask_t *ask, const s3_answer_t *a) {
    if (a->status < 300 && a->status >= 200)
        return ERR_OK;
    if (a->status == 404 && !code_is(a, "NoSuchBucket"))
        return ERR_NOT_FOUND;
    if (a->status == 416 && ask->no_range)
        return ERR_RANGE;
    if (a->status == 412 || code_is(a, "PreconditionFailed"))
        return ERR_STALE;
    if (code_is(a, "InvalidPart") || code_is(a, "InvalidPartOrder") || code_is(a, "EntityTooSmall"))
        return ERR_CONFLICT;
    if (!ask->counts) /* note_state tells it, once */
        log_warn("s3", "%s of %s: status %ld %s", ask->method, shown(ask), a->status, a->code);
    return a->status == 503 || a->status == 429 ? ERR_BUSY : ERR_IO;
}

static int of_curl(const s3_ask_t *ask, CURLcode code, const s3_answer_t *a) {
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return ERR_GONE;
    if (!ask->counts)
        log_warn("s3", "%s of %s: %s", ask->method, shown(ask),
                 a->too_long ? "the answer is too long" : curl_easy_strerror(code));
    return code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO;
}

static s3_state_t state_of(CURLcode code, const s3_answer_t *a) {
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return S3_UNTRUSTED;
    if (code != CURLE_OK || a->status >= 500 || a->status == 0)
        return S3_UNREACHABLE;
    if ((a->status == 404 && !*a->code) || code_is(a, "NoSuchBucket"))
        return S3_NO_BUCKET;
    if (a->status == 301 || a->status == 307 || code_is(a, "AuthorizationHeaderMalformed"))
        return S3_ELSEWHERE;
    return a->status >= 400 ? S3_REFUSED : S3_FINE;
}

/* Told once, when it changes. */
static void note_state(const s3_conn_t *c, CURLcode code) {
    s3_t *s = c->s3;
    bool wrong;
    int now = state_of(code, &c->answer);
    if (atomic_exchange_explicit(&s->state, now, memory_order_relaxed) == now)
        return;
    const char *trouble = s3_trouble(s, &wrong);
    if (!trouble)
        log_info("s3", "bucket %s at %s answers", s->bucket, s->inside.origin);
    else
        log_write(wrong ? LOG_ERROR : LOG_WARN, "s3", "bucket %s at %s: %s (%s %ld)", s->bucket,
                  s->inside.origin, trouble,
                  code != CURLE_OK  ? curl_easy_strerror(code)
                  : *c->answer.code ? c->answer.code
                                    : "status",
                  c->answer.status);
}

/* A line of a header ends at its value's end: what would go on is refused. */
static bool sendable(const s3_ask_t *ask) {
    for (size_t i = 0; i < ask->header_count; i++)
        for (size_t k = 0; k < ask->headers[i].value.len; k++)
            if ((unsigned char)ask->headers[i].value.at[k] < ' ' ||
                ask->headers[i].value.at[k] == 0x7f)
                return false;
    return true;
}

int s3_exchange(s3_conn_t *c, const s3_ask_t *ask) {
    CURLcode code = CURLE_OK;
    bool learnt = false;
    if (!sendable(ask))
        return ERR_BAD_REQUEST;
    if (!c->curl && !(c->curl = curl_easy_init()))
        return ERR_BUSY;
    for (int tries = 0; tries < TRIES; tries++) {
        uint32_t left = c->host.left_ms(c->host.arg);
        if (c->host.stopping(c->host.arg))
            return ERR_GONE;
        if (left == 0)
            return ERR_TIMEOUT;
        stat_add(STAT_S3_AGAIN, tries > 0);
        code = try_once(c, ask, left);
        if (code == CURLE_OK && !learnt && learn_clock(c)) {
            learnt = true;
            continue;
        }
        if (!may_help(code, &c->answer) || tries + 1 == TRIES || !wait_a_while(c, tries))
            break;
    }
    if (ask->counts)
        note_state(c, code);
    int err = code == CURLE_OK ? of_status(ask, &c->answer) : of_curl(ask, code, &c->answer);
    bool failed = err == ERR_IO || err == ERR_TIMEOUT || err == ERR_BUSY;
    stat_add(failed ? STAT_S3_FAILED : STAT_S3_OK, 1);
    return err;
}
