/* bucket: a token bucket, kept as the one moment at which it is full again (the generic cell rate
 * algorithm). Its owner's thread. */
#pragma once
#include "base/conf.h"

/* Takes one: 0, or the milliseconds until there is one again (at least 1). *full_ns starts at 0;
 * a rate of 0 takes nothing and never refuses. */
uint32_t bucket_take(uint64_t *full_ns, conf_rate_t rate, uint64_t now_ns);
