/*
 * Bodies of HTTP/1 messages. The decoder says which bytes of the caller's buffer are framing and
 * which are data; it never copies and never looks at data. Pure; owned by the connection.
 *
 *	for (;;) {
 *		step = h1_body_next(&body, buf_head(buf), buf_len(buf), &skip, &out, &error);
 *		buf_consume(buf, skip);			(framing; data now begins at the front)
 *		DATA: n = forward(data); h1_body_take(&body, n); buf_consume(buf, n);
 *		MORE: read more; END: done; TRAILER: use it or not, it lies within what was skipped
 *	}
 */
#ifndef SLUICE_HTTP_H1_BODY_H
#define SLUICE_HTTP_H1_BODY_H

#include "http/h1_error.h"
#include "http/message.h"

/* Of one body: bytes of all chunk extensions, bytes of all trailer lines, trailers. */
enum { H1_EXTENSION_BYTES_MAX = 4096, H1_TRAILER_BYTES_MAX = 8192, H1_TRAILERS_MAX = 64 };

enum h1_body_step {
	H1_BODY_MORE,    /* more bytes are needed */
	H1_BODY_DATA,    /* ret_out->data: bytes of the body, right behind the skipped ones */
	H1_BODY_TRAILER, /* ret_out->trailer: one trailer; only if want_trailers */
	H1_BODY_END,     /* the message is complete; what follows in the buffer is another's */
	H1_BODY_ERROR,   /* refused: *ret_error; the connection cannot be used any more */
};

struct h1_body {
	uint64_t left;      /* data bytes of the current chunk or of the body */
	uint8_t state;      /* enum in h1_body.c */
	bool want_trailers; /* set by the caller after init; else they are checked and dropped */
	uint16_t extension_len; /* bytes of all chunk extensions so far */
	uint16_t trailer_bytes; /* of whole trailer lines so far */
	uint16_t scanned;       /* bytes of an incomplete trailer line searched for its end */
	uint8_t digits;         /* of the chunk size */
	uint8_t trailers;       /* whole trailer lines so far */
};

/* HTTP_BODY_NONE ends at the first step. */
void h1_body_init(struct h1_body *body, enum http_body kind, uint64_t content_length);

/*
 * The next step for the `len` unread bytes at `bytes`. *ret_skip (always set): framing bytes to
 * take off the front now. An incomplete trailer line is not skipped: it must come again with more
 * behind it (at most H1_TRAILER_BYTES_MAX bytes). Data for
 * which h1_body_take is not called is returned again by the next step.
 */
union h1_body_out {
	struct slice data;
	struct http_header trailer;
};
enum h1_body_step h1_body_next(struct h1_body *body, const char *bytes, size_t len,
	size_t *ret_skip, union h1_body_out *ret_out, enum h1_error *ret_error) must_check;

/* `len` bytes of data have been taken, from the buffer or straight from the socket (splice). */
void h1_body_take(struct h1_body *body, uint64_t len);

/* Data bytes certain to follow at this point (0 between chunks; UINT64_MAX until close): what may
 * be moved without this decoder seeing it, once the buffer is empty. */
uint64_t h1_body_ready(const struct h1_body *body);

/* The message is complete: END was returned, or would be without another byte. */
bool h1_body_is_done(const struct h1_body *body);

/* The peer has ended the connection: true if the body is complete that way, else it is cut off. */
bool h1_body_may_end(const struct h1_body *body);

/* May this trailer be forwarded? (RFC 9110 section 6.5.1) Not under another spelling either. */
bool h1_trailer_is_allowed(const struct http_header *trailer);

/* Encoding: size line, data, H1_CHUNK_TAIL for each chunk (never of length 0), then
 * H1_CHUNK_LAST, or H1_CHUNK_LAST_LINE, trailer lines and an empty line. */
enum { H1_CHUNK_LINE_BYTES = 18 };
#define H1_CHUNK_TAIL      SLICE("\r\n")
#define H1_CHUNK_LAST      SLICE("0\r\n\r\n")
#define H1_CHUNK_LAST_LINE SLICE("0\r\n")

/* Writes the size line; returns its length. */
size_t h1_chunk_line(uint64_t len, char ret_line[H1_CHUNK_LINE_BYTES]);

#endif
