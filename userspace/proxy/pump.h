/*
 * Moves the body of one HTTP/1 message from one stream to another, re-framed for the next hop,
 * with back-pressure: it reads only what it could send. Data is not copied but for small chunks;
 * where much of it has the same framing on both sides it goes through a pipe, if the streams can.
 * The message's head (and anything else that must go first) is put into `out` by the owner.
 */
#ifndef SLUICE_PROXY_PUMP_H
#define SLUICE_PROXY_PUMP_H

#include "core/buf.h"
#include "http/h1_body.h"
#include "net/stream.h"
#include "proxy/replay.h"
#include "proxy/splice.h"
#include "proxy/tls_headers.h"

enum pump_result {
	PUMP_DONE,        /* the whole message has been handed to `dst` */
	PUMP_WAITS_SRC,   /* nothing to read now */
	PUMP_WAITS_DST,   /* nothing can be sent now */
	PUMP_SHARE_USED,  /* enough for this turn: call again in the next */
	PUMP_SRC_ENDED,   /* the source ended before the message was complete */
	PUMP_SRC_FAILED,  /* the source was reset */
	PUMP_DST_FAILED,  /* the destination was reset or has ended */
	PUMP_BAD_BODY,    /* the framing is malformed: *error */
	PUMP_OVER_LIMIT,  /* more than max_bytes */
	PUMP_NO_MEMORY,
};

struct rules_rule;

struct pump {
	struct stream *src, *dst;
	struct buf *in;      /* from src; belongs to the exchange */
	struct buf out;      /* goes before anything from `in` */
	struct pipes *pipes; /* NULL: nothing is spliced */
	struct replay
		*replay; /* goes before `out`, and notes what is sent; NULL: nothing is noted */
	struct splice_way way; /* holds bytes only while out, span and tail are empty */
	struct h1_body body;
	/* Where trailers come and go apart from the body, as in HTTP/2; NULL: within it. The next one of
	 * a source that has ended, false: no more; false: there is no memory for it. */
	bool (*next_trailer)(struct stream *src, struct http_header *ret_trailer);
	bool (*put_trailer)(struct stream *dst, const struct http_header *trailer);
	uint64_t unwanted; /* bits of enum desync: trailers that are found so are left out */
	const struct tls_headers *forged; /* trailers that are not passed on; NULL: all are */
	const struct rules_rule
		*rule; /* by whose header edits trailers are left out, too, or NULL */
	uint64_t max_bytes; /* 0: no limit */
	uint64_t body_bytes; /* so far */
	uint32_t span; /* bytes at the front of `in` on their way to dst */
	uint8_t line_start, line_end, tail;
	bool chunked; /* framing towards dst */
	bool in_trailers;
	bool ended; /* everything is in out, span and tail */
	bool has_waited; /* for the source */
	bool is_bulk; /* the body is worth more than a small buffer */
	enum h1_error error;
	char line[H1_CHUNK_LINE_BYTES];
};

/* `out` keeps its contents. Sets everything else: then set dst, and pipes, replay, unwanted, forged, rule,
 * max_bytes and the functions for trailers where they apply (with put_trailer, body.want_trailers). */
void pump_init(struct pump *pump, struct stream *src, struct buf *in, enum http_body kind,
	uint64_t content_length, bool chunked);
void pump_fini(struct pump *pump, struct bufpool *bufs);
enum pump_result pump_run(struct pump *pump, struct bufpool *bufs) must_check;

#endif
