/* reporter: makes what takes too long for a worker, for whoever asks: profiles, and the part of the
 * metrics page that reads every actor. An actor with a thread of its own. */
#pragma once
#include "sched/actor.h"

/* Requests; the reply's body is the report. */
enum {
    REPORT_CPU =
        MSG_USER, /* report_cpu_t: a CPU profile; ERR_BUSY while another runs, ERR_BAD_REQUEST */
    REPORT_HEAP,  /* a heap profile */
    REPORT_ACTORS /* metrics_actors as text */
};
#define REPORT_MAX_S 60
typedef struct report_cpu {
    uint32_t seconds; /* 1 to REPORT_MAX_S */
} report_cpu_t;
extern const actor_class_t reporter_class;
