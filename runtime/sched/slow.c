/* slow: the longest slices of the last hour (look_slow of look.h). A slice above LOOK_SLOW_US takes
 * the lock and a place in the list: a free one, that of the shortest, or that of one older than an
 * hour. Written by workers, read by anyone. */
#include "base/clock.h"
#include "base/log.h"
#include "sched/look.h"
#include "sched/sched.h"

#define HOUR_MS 3600000

struct slow_list {
    pthread_mutex_t lock;
    uint64_t seen;
    uint32_t count;
    look_slow_t at[LOOK_SLOW];
};

struct slow_list *slow_new(void) {
    struct slow_list *s = calloc(1, sizeof *s);
    if (!s)
        log_die("sched", "out of memory: runtime");
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void slow_free(struct slow_list *s) {
    if (s)
        pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Where a slice of `us` goes; NULL: all are longer. */
static look_slow_t *place_for(struct slow_list *s, uint64_t us, int64_t now_ms) {
    if (s->count < LOOK_SLOW)
        return &s->at[s->count++];
    look_slow_t *least = &s->at[0];
    for (uint32_t i = 0; i < s->count; i++) {
        if (now_ms - s->at[i].wall_ms > HOUR_MS)
            return &s->at[i];
        if (s->at[i].us < least->us)
            least = &s->at[i];
    }
    return us > least->us ? least : NULL;
}

__attribute__((noinline)) void slow_note(worker_t *w, const actor_t *a, uint32_t messages,
                                         uint64_t ticks) {
    struct slow_list *s = w->rt->slow;
    uint64_t us = (uint64_t)((double)ticks / clock_ticks_per_us());
    int64_t now_ms = w->rt->conf.wall_ms(w->rt->conf.arg);
    bool noted = w->note[0] && w->note_slice == w->counts.slices;
    pthread_mutex_lock(&s->lock);
    s->seen++;
    look_slow_t *e = place_for(s, us, now_ms);
    if (e) {
        *e = (look_slow_t){a->cls->name, ref_of(a), a->key, w->verb, messages,
                           w->index,     us,        now_ms, ""};
        if (noted)
            memcpy(e->note, w->note, sizeof e->note);
    }
    pthread_mutex_unlock(&s->lock);
    w->note[0] = 0;
}

void actor_slice_note(actor_t *self, const char *text) {
    worker_t *w = worker_of(rt_of(self));
    if (!w)
        return;
    snprintf(w->note, sizeof w->note, "%s", text);
    w->note_slice = w->counts.slices;
}

static int longest_first(const void *a, const void *b) {
    uint64_t x = ((const look_slow_t *)a)->us, y = ((const look_slow_t *)b)->us;
    return x < y ? 1 : x > y ? -1 : 0;
}

uint64_t look_slow_seen(runtime_t *rt) {
    struct slow_list *s = rt->slow;
    pthread_mutex_lock(&s->lock);
    uint64_t seen = s->seen;
    pthread_mutex_unlock(&s->lock);
    return seen;
}

size_t look_slow(runtime_t *rt, look_slow_t out[LOOK_SLOW]) {
    struct slow_list *s = rt->slow;
    int64_t now_ms = rt->conf.wall_ms(rt->conf.arg);
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->count; i++)
        if (now_ms - s->at[i].wall_ms <= HOUR_MS)
            out[n++] = s->at[i];
    pthread_mutex_unlock(&s->lock);
    qsort(out, n, sizeof *out, longest_first);
    return n;
}
