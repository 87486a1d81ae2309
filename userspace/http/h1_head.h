/*
 * Heads of HTTP/1.0 and HTTP/1.1 messages: request line or status line and headers, by llhttp in
 * its strict mode plus what it lets through. Pure: bytes in, a message out.
 *
 * The caller collects bytes and calls with all it has of the head so far; the buffer may move and
 * grow between calls. While the head is incomplete only the new bytes are searched for line ends;
 * once it is whole llhttp reads it in one go. So what is kept between calls is 16 bytes, a client
 * that sends byte by byte costs no more than another, and the result never depends on how the
 * bytes were cut. Owned by the connection, on its thread.
 */
#ifndef SLUICE_HTTP_H1_HEAD_H
#define SLUICE_HTTP_H1_HEAD_H

#include "http/h1_error.h"
#include "http/message.h"

struct h1_limits {
	uint32_t head_bytes;   /* whole head, the empty line included */
	uint32_t target_bytes; /* request or status line, line end included */
	uint32_t line_bytes;   /* one header line, line end included */
	uint32_t headers;      /* number of headers; never more than the lent array holds */
};

/* What application load balancers of the clouds accept; the least a client may count on. */
#define H1_LIMITS_DEFAULT ((struct h1_limits){64 * 1024, 16 * 1024, 16 * 1024, 128})
enum { H1_HEADERS_DEFAULT = 128 };

/* Zero-initialised (or h1_head_init) is "before the first byte". */
struct h1_head {
	uint32_t scanned;           /* bytes searched for line ends */
	uint32_t line_start;        /* offset of the line that is not whole yet */
	uint32_t start;             /* offset of the start line: behind empty lines */
	uint32_t lines : 31;        /* whole lines from `start` on */
	uint32_t start_checked : 1; /* the start line was checked before the rest had come */
};
_Static_assert(sizeof(struct h1_head) == 16, "idle and slow connections pay for this");

/* What a response must be seen against. */
struct h1_expected {
	bool head_request;  /* answers HEAD: no body whatever the headers say */
	bool upgrade_asked; /* 101 is allowed */
};

static inline void h1_head_init(struct h1_head *head)
{
	*head = (struct h1_head){0};
}

/*
 * Length of the head, which begins at bytes[0] (empty lines in front included), and the message;
 * -EAGAIN: incomplete, call again with more; -EBADMSG: refused, the reason in *ret_error.
 * ret_request->headers must have been lent an array (http_headers_lend), of any content. The
 * message is only set on success. `head` starts anew after a success.
 */
int h1_head_request(struct h1_head *head, const struct h1_limits *limits, const char *bytes,
	size_t len, struct http_request *ret_request, enum h1_error *ret_error) must_check;
int h1_head_response(struct h1_head *head, const struct h1_limits *limits,
	const struct h1_expected *expected, const char *bytes, size_t len,
	struct http_response *ret_response, enum h1_error *ret_error) must_check;

/* The methods a request may have, whatever version brings it. False: no such. */
bool h1_method_find(struct slice text, enum http_method *ret_method) must_check;

#endif
