/* pool_mode: which of pool.c (caches) and pool_plain.c (malloc, for sanitizers) this build uses.
 * These two include it, and specs that measure time. */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POOL_PLAIN 1
#endif
#endif
#if !defined(POOL_PLAIN) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define POOL_PLAIN 1
#endif
#ifndef POOL_PLAIN
#define POOL_PLAIN 0
#endif
