/* Reading the Cookie headers of a request (RFC 6265 section 5.4). Borrowed slices; pure. */
#ifndef SLUICE_HTTP_COOKIES_H
#define SLUICE_HTTP_COOKIES_H

#include "http/message.h"
#include <stdint.h>

/*
 * Walks over the pairs of all Cookie headers of a request. Names are compared letter by letter
 * (case counts). A piece without '=' is no pair and is left out; quotes around a value are part of it.
 */
struct http_cookie_walk {
	const struct http_header *header;
	struct slice rest;
};

void http_cookie_walk_init(struct http_cookie_walk *walk, const struct http_headers *headers);
/* False: there are no more. */
bool http_cookie_next(struct http_cookie_walk *walk, const struct http_headers *headers,
	struct slice *ret_name, struct slice *ret_value);
/* The next of that name; false: there are no more. */
bool http_cookie_next_of(struct http_cookie_walk *walk, const struct http_headers *headers,
	struct slice name, struct slice *ret_value);
/* The value of the first cookie of that name; .ptr NULL: there is none. */
struct slice http_cookie_find(const struct http_headers *headers, struct slice name);

/* Values of our own: `n` bytes as lower case hexadecimal digits. False: they are not that. */
bool http_cookie_read_hex(struct slice value, uint8_t *ret_bytes, size_t n);
/* With a NUL behind them: `text` has 2 * n + 1 bytes. */
void http_cookie_write_hex(const uint8_t *bytes, size_t n, char *text);

#endif
