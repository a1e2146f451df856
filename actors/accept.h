/* accept: which content coding an answer may have, as the request's Accept-Encoding says (RFC 9110
 * section 12.5.3). Pure functions, any thread. */
#pragma once
#include "net/http.h"

/* In the order of our liking: what is equally welcome goes in the last of them. */
enum coding { CODING_IDENTITY, CODING_GZIP, CODING_BR, CODINGS };

/* "gzip", "br"; NULL for identity, which has no header. */
const char *coding_name(enum coding coding);

/* The weights of all codings in thousandths, 0 = not acceptable. Without the header only identity
 * is chosen, though others were allowed; parts that are malformed or unknown count for nothing. */
void accept_codings(const http_request_t *req, uint16_t weights[CODINGS]);

/* The best one of those that there are (a bit each); -1: none is acceptable. */
int accept_best(const uint16_t weights[CODINGS], unsigned there);

/* Does If-None-Match name this strong tag (quotes included), by weak comparison? */
bool accept_has_tag(const http_request_t *req, const char *tag);
