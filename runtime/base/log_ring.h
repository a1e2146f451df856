/* log_ring: the way of finished lines from any thread to stderr: a bounded ring without a lock and
 * one writer thread. Only log.c calls it. */
#pragma once
#include "base/slice.h"

/* Queues a line of at most LOG_MAX bytes; never waits. A full ring drops and counts it. Without a
 * writer thread the line is written at once. */
void log_ring_put(const char *line, size_t len);
/* log_recent of log.h. */
void log_ring_recent(size_t lines, void (*visit)(void *arg, slice_t line), void *arg);
void log_ring_start(void);
/* Writes what waits (at most 2 s long: stderr may be stuck) and ends the thread. */
void log_ring_stop(void);
