/* text: UTF-8, base64url, hex and number checks that the codecs share. Pure functions, any thread.
 */
#pragma once
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

/* Whole and valid UTF-8 (RFC 3629: no surrogates, no overlong forms)? Eight ASCII bytes at a time.
 */
bool text_utf8_valid(const char *at, size_t len);
/* The same across fragments: state starts at 0; false = bad; after the last piece state must be 0.
 */
bool text_utf8_more(uint32_t *state, const char *at, size_t len);
/* Code points of valid UTF-8. */
size_t text_utf8_count(slice_t s);
/* No U+0001-U+001F, U+007F (PROTOCOL.md section 2, names). */
bool text_is_plain(slice_t s);
/* Digits only, no leading sign, 0 .. 2^53-1. */
bool text_to_int(slice_t s, int64_t *out);

void text_base64url_add(buf_t *b, const void *at, size_t len); /* no padding, RFC 4648 section 5 */
/* -1 on a bad character, bad length, or room too small; else the number of bytes. */
int text_base64url_decode(slice_t s, void *out, size_t room);
void text_hex_add(buf_t *b, const void *at, size_t len);
