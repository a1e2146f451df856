/* console_work: work that takes a while, in a helper thread of libuv's. A job outlives its call:
 * then its result is dropped. Only run_job runs in the helper thread. */
#include "admin/console_in.h"
#include "base/log.h"

static void run_job(uv_work_t *w) {
    job_t *j = w->data;
    j->fn(j->console->rt, j->data);
}

static void remove_job(console_t *c, const job_t *j) {
    job_t **at = &c->jobs;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
}

static void job_done(uv_work_t *w, int status) {
    job_t *j = w->data;
    console_call_t *call = j->call;
    (void)status;
    remove_job(j->console, j);
    if (call) {
        session_t *s = call->session;
        call->open--;
        call->entered = true;
        j->worked(call, j->data);
        call->entered = false;
        console_call_over(call);
        session_work(s);
        session_flush(s);
    } else if (j->dropped) {
        j->dropped(j->data);
    }
    pool_free(j, sizeof *j + j->size);
}

void console_work(console_call_t *call, console_work_t work, console_worked_t worked,
                  void (*dropped)(void *data), const void *data, size_t size) {
    console_t *c = call->console;
    job_t *j = pool_zalloc(sizeof *j + size);
    *j = (job_t){.next = c->jobs,
                 .console = c,
                 .call = call,
                 .fn = work,
                 .worked = worked,
                 .dropped = dropped,
                 .size = size};
    memcpy(j->data, data, size);
    j->work.data = j;
    c->jobs = j;
    call->open++;
    if (uv_queue_work(&c->loop, &j->work, run_job, job_done) != 0)
        log_die("console", "no helper thread");
}

void work_forget(console_t *c, const console_call_t *call) {
    for (job_t *j = c->jobs; j; j = j->next)
        if (j->call == call)
            j->call = NULL;
}
