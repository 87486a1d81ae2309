/*
 * HTTP/1.1 heads from messages, into the caller's buffer. Pure. Written are the start line, for
 * requests Host (from the authority), the headers that are not dropped, the extra headers, then
 * what the codec itself is in charge of: Transfer-Encoding (body CHUNKED), Connection and Upgrade.
 * Fields of those four names in the list are never copied; hop-by-hop removal (headers.h) comes
 * first. Content-Length is copied if it is in the list, and not with CHUNKED; body LENGTH without
 * one in the list gets one.
 */
#ifndef SLUICE_HTTP_H1_WRITE_H
#define SLUICE_HTTP_H1_WRITE_H

#include "http/message.h"
#include <time.h>

enum h1_connection {
	H1_CONNECTION_NONE,       /* says nothing: persistent for an HTTP/1.1 peer */
	H1_CONNECTION_KEEP_ALIVE, /* towards an HTTP/1.0 client that asked for it */
	H1_CONNECTION_CLOSE,
	H1_CONNECTION_UPGRADE, /* with "Upgrade: <message's upgrade>" */
};

struct h1_write {
	enum h1_connection connection;
	const struct http_header *extra; /* written behind the message's own */
	uint32_t n_extra;
};

/* Bytes written, or -ENOBUFS (nothing usable is in `out`; h1_write_*_bytes says how much). */
int h1_write_request(const struct http_request *request, const struct h1_write *how, char *out,
	size_t size) must_check;
int h1_write_response(const struct http_response *response, const struct h1_write *how, char *out,
	size_t size) must_check;

/* An upper bound of what the calls above write. */
size_t h1_write_request_bytes(const struct http_request *request, const struct h1_write *how);
size_t h1_write_response_bytes(const struct http_response *response, const struct h1_write *how);

/* Size that always suffices for h1_write_canned, without extra headers. */
enum { H1_CANNED_BYTES = 512 };

/* IMF-fixdate (RFC 9110 section 5.6.7) with its NUL. Returns `text`. */
enum { HTTP_DATE_BYTES = 30 };
const char *http_date(time_t unix_s, char text[static HTTP_DATE_BYTES]);

/* The text of a response of our own, "404 Not Found" and a line end. Returns its length. */
enum { HTTP_CANNED_TEXT_BYTES = 64 };
size_t http_canned_text(unsigned int status, char text[static HTTP_CANNED_TEXT_BYTES]);
/* What 405 says is allowed. */
#define HTTP_CANNED_ALLOW "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"

struct h1_canned {
	unsigned int status;
	bool head; /* it answers HEAD: the body is left out */
	enum h1_connection connection; /* no UPGRADE */
	time_t now;
	const struct http_header *extra;
	uint32_t n_extra;
};

/* A whole response of our own: Date, a short text, Content-Length, and what `how` says. Bytes written, or
 * -ENOBUFS. */
int h1_write_canned(const struct h1_canned *how, char *out, size_t size) must_check;

/* "HTTP/1.1 100 Continue" and the empty line. */
struct slice h1_continue(void);
#endif
