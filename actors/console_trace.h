/* console_trace: the console command trace: one message of a user or a conversation, followed
 * through all actors (sched/trace.h). main adds it. */
#pragma once
#include "admin/console.h"

void console_trace_add(console_t *console); /* before console_start */
