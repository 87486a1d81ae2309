/*
 * What targets are told about a request's way to them beside X-Forwarded-*: Forwarded (RFC 7239), a
 * request id, a trace id. traceparent and tracestate (W3C) pass as they come. Pure; text that is made
 * goes into the caller's memory, which must live until the message has been written.
 */
#ifndef SLUICE_HTTP_ORIGIN_H
#define SLUICE_HTTP_ORIGIN_H

#include "http/message.h"

enum http_rfc7239 { HTTP_RFC7239_PRESERVE, HTTP_RFC7239_APPEND, HTTP_RFC7239_REMOVE };
/* KEEP: made where the client sends none, or one that is too long. */
enum http_request_id { HTTP_REQUEST_ID_OFF, HTTP_REQUEST_ID_KEEP, HTTP_REQUEST_ID_SET };

struct http_origin_terms {
	enum http_rfc7239 forwarded;
	enum http_request_id request_id;
	bool trace_id; /* X-Amzn-Trace-Id: a root where there is none, else a field of our own */
};

enum { HTTP_ORIGIN_RANDOM_BYTES = 28 };

struct http_origin {
	struct slice client; /* address in text, IPv6 without brackets; with a port, with them */
	struct slice scheme, host;
	uint32_t unix_s;
	uint8_t random[HTTP_ORIGIN_RANDOM_BYTES];
};

enum { HTTP_ORIGIN_EXTRA = 3 };

/* Edits `headers` and fills `ret_extra` with the headers to write behind them. Returns their number,
 * or -ENOBUFS: `size` bytes of `scratch` are not enough. */
int http_origin_apply(struct http_headers *headers, const struct http_origin_terms *terms,
	const struct http_origin *origin, char *scratch, size_t size,
	struct http_header ret_extra[HTTP_ORIGIN_EXTRA]) must_check;

#endif
