/* first_read: see first_read.h. */
#include "actors/first_read.h"
#include "base/log.h"

static const char *what(const first_read_t *r) {
    return r->logins ? "disabled users" : "revoked logins";
}

void first_read_begin(first_read_t *r, actor_t *self, edge_t *e) {
    buf_t params = {0};
    r->tries++;
    if (!r->logins) {
        if (!r->since)
            r->since = actor_wall_ms(self) - e->revoke_ms;
        value_add_int(&params, r->since);
    }
    value_add_int(&params, r->after);
    value_add_int(&params, FIRST_READ_PAGE);
    store_run(e->store, self, r->logins ? e->op_inactive : e->op_revoked, &params,
              FIRST_READ_TIMEOUT_MS, r->logins ? VERB_LOADED_INACTIVE : VERB_LOADED, 0);
}

static int failed(const first_read_t *r, actor_t *self, int err) {
    uint32_t wait = FIRST_READ_WAIT_MS;
    if (r->tries >= FIRST_READ_TRIES) {
        log_error("edge", "cannot read the %s: %s, %u times", what(r), err_name(err), r->tries);
        return err;
    }
    for (uint32_t i = 1; i < r->tries && wait < FIRST_READ_WAIT_MOST; i++)
        wait = wait * 2 < FIRST_READ_WAIT_MOST ? wait * 2 : FIRST_READ_WAIT_MOST;
    log_warn("edge", "cannot read the %s: %s, try %u of %u; the next one in %u ms", what(r),
             err_name(err), r->tries, FIRST_READ_TRIES, wait);
    actor_after(self, wait, VERB_LOAD_AGAIN, 0);
    return ERR_OK;
}

static void take_login(first_read_t *r, edge_t *e, slice_t row) {
    r->after = value_next_int(&row);
    r->since = value_next_int(&row);
    denied_add(e->logins, r->after, r->since + e->revoke_ms);
}

static void take_user(first_read_t *r, edge_t *e, slice_t row) {
    r->after = value_next_int(&row);
    denied_add(e->disabled, r->after, DENIED_ALWAYS);
}

/* How many rows the page has. */
static uint32_t take_page(first_read_t *r, edge_t *e, const msg_t *m) {
    store_rows_t rows;
    slice_t row;
    uint32_t n = 0;
    if (store_rows_open(&rows, m))
        for (; store_rows_next(&rows, &row); n++)
            (r->logins ? take_user : take_login)(r, e, row);
    return n;
}

static void all_there(actor_t *self, edge_t *e) {
    log_info("edge", "loaded revoked_logins=%zu disabled_users=%zu", denied_count(e->logins),
             denied_count(e->disabled));
    atomic_store(&e->store_ok_ms, actor_wall_ms(self));
    atomic_store(&e->loaded, true);
}

int first_read_message(first_read_t *r, actor_t *self, edge_t *e, const msg_t *m) {
    if (m->verb == VERB_LOAD_AGAIN) {
        first_read_begin(r, self, e);
        return ERR_OK;
    }
    if (m->err != ERR_OK)
        return failed(r, self, m->err);
    r->tries = 0;
    bool more = take_page(r, e, m) == FIRST_READ_PAGE;
    if (!more && r->logins) {
        all_there(self, e);
        return ERR_OK;
    }
    if (!more)
        *r = (first_read_t){.logins = true};
    first_read_begin(r, self, e);
    return ERR_OK;
}
