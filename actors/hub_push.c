/* hub_push: from any actor to the hubs: ready frames to named users, kicks. Users are split by
 * worker with the shared table; a worker without any of them gets no message. */
#include "actors/hub_in.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "net/frame.h"

/* --- frames --- */

block_t *hub_frame(const char *type, slice_t data) {
    size_t type_len = strlen(type), len = sizeof "{\"type\":\"\",\"data\":}" - 1;
    len += type_len + data.len;
    block_t *b = block_new(len + 14);
    char *at = b->data + frame_write_head(b->data, WS_TEXT, true, len, NULL);
    at = mempcpy(at, "{\"type\":\"", 9);
    at = mempcpy(at, type, type_len);
    at = mempcpy(at, "\",\"data\":", 9);
    at = mempcpy(at, data.at, data.len);
    *at++ = '}';
    b->len = (uint32_t)(at - b->data);
    return b;
}

/* The counter of a frame, by the type it begins with. */
static enum stat_id stat_of(const block_t *frame) {
    static const struct {
        const char *type;
        enum stat_id id;
    } known[] = {{"message_read\"", STAT_OUT_MESSAGE_READ},
                 {"read_sync\"", STAT_OUT_READ_SYNC},
                 {"conversation_update\"", STAT_OUT_CONVERSATION_UPDATE},
                 {"member_update\"", STAT_OUT_MEMBER_UPDATE},
                 {"contact_request\"", STAT_OUT_CONTACT},
                 {"contact_update\"", STAT_OUT_CONTACT},
                 {"presence\"", STAT_OUT_PRESENCE},
                 {"signaling\"", STAT_OUT_SIGNALING}};
    frame_head_t head;
    if (frame_parse_head(frame->data, frame->len, false, &head) != 1 || head.len < 9)
        return STAT_OUT_OTHER;
    const char *at = frame->data + head.size + 9;
    size_t left = head.len - 9;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = strlen(known[i].type);
        if (left > len && memcmp(at, known[i].type, len) == 0)
            return known[i].id;
    }
    return STAT_OUT_OTHER;
}

/* --- pushes --- */

/* What is longer than any device's name is none. */
static void copy_device(char room[64], uint8_t *len, slice_t device) {
    *len = device.len <= 64 ? (uint8_t)device.len : 0;
    if (*len)
        memcpy(room, device.at, *len);
}

typedef struct push {
    actor_t *self;
    const int64_t *users;
    const uint64_t *workers; /* of each user */
    size_t count;
    block_t *frame;
    deliver_t head; /* without users */
} push_t;

static void to_worker(const push_t *p, uint32_t worker) {
    uint64_t bit = (uint64_t)1 << worker;
    uint32_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        n += (p->workers[i] & bit) != 0;
    msg_t *m = msg_new(VERB_DELIVER, sizeof(deliver_t) + n * sizeof(int64_t));
    deliver_t *d = (deliver_t *)m->data;
    memcpy(d, &p->head, sizeof *d);
    d->count = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->workers[i] & bit)
            d->users[d->count++] = p->users[i];
    m->body = block_ref(p->frame);
    if (actor_send(p->self, hub_all()->hubs[worker].ref, m) == ERR_FULL)
        log_warn("hub", "worker %u is behind: a push to %u users is lost", worker, n);
}

static void push_to(push_t *p, uint64_t workers) {
    for (; workers; workers &= workers - 1)
        to_worker(p, (uint32_t)__builtin_ctzll(workers));
}

static void push(actor_t *self, const int64_t *users, size_t count, block_t *frame,
                 int64_t skip_user, slice_t skip_device, bool hint) {
    enum { FEW = 64 };
    uint64_t few[FEW], all = 0, *workers = count > FEW ? pool_alloc(count * sizeof *workers) : few;
    for (size_t i = 0; i < count; i++)
        all |= workers[i] = hub_workers(users[i]);
    if (all) {
        push_t p = {self, users, workers, count, frame, {.skip_user = skip_user, .hint = hint}};
        copy_device(p.head.device, &p.head.device_len, skip_device);
        p.head.stat = stat_of(frame);
        push_to(&p, all);
    }
    if (workers != few)
        pool_free(workers, count * sizeof *workers);
    block_unref(frame);
}

void hub_push(actor_t *self, const int64_t *users, size_t count, block_t *frame, int64_t skip_user,
              slice_t skip_device) {
    push(self, users, count, frame, skip_user, skip_device, false);
}

void hub_push_hint(actor_t *self, const int64_t *users, size_t count, block_t *frame,
                   int64_t skip_user, slice_t skip_device) {
    push(self, users, count, frame, skip_user, skip_device, true);
}

void hub_push_device(actor_t *self, int64_t user, slice_t device, block_t *frame) {
    uint64_t workers = hub_workers(user);
    push_t p = {self, &user, &workers, 1, frame, {.only = true}};
    copy_device(p.head.device, &p.head.device_len, device);
    p.head.stat = stat_of(frame);
    if (p.head.device_len)
        push_to(&p, workers);
    block_unref(frame);
}

/* --- kicks --- */

void hub_kick(actor_t *self, int64_t fam, int64_t user, slice_t device, uint16_t code) {
    const hub_table_t *t = hub_all();
    kick_t k = {.fam = fam, .user = user, .code = code};
    copy_device(k.device, &k.device_len, device);
    uint64_t workers = user ? hub_workers(user) : ~(uint64_t)0;
    for (uint32_t w = 0; w < t->count; w++)
        if ((workers >> w & 1) &&
            actor_send(self, t->hubs[w].ref, msg_of(VERB_KICK, &k, sizeof k)) == ERR_FULL)
            log_error("hub", "worker %u is behind: a kick is lost", w);
}
