/*
 * The access log of a listener: a line for each HTTP request, when its answer has gone out or it has
 * come to an end otherwise; for one that became a tunnel, when that ends. What the line needs of a
 * request is noted while the request is there. Lines go through a ring of the worker to whoever writes
 * them (control/access_file.h); without a log nothing is noted. Worker threads.
 */
#ifndef SLUICE_PROXY_ACCESSLOG_H
#define SLUICE_PROXY_ACCESSLOG_H

#include "core/linering.h"
#include "http/message.h"
#include "proxy/conn.h"
#include "proxy/route.h"

/* Where the lines for one file go; counted by the listeners that have it. */
struct accesslog_output {
	struct shared shared;
	struct linering **rings; /* per worker */
};

struct accesslog_note;

/* What is kept of any request, so that there can be a line. */
struct accesslog_record {
	uint64_t began_us; /* loop_now_us(): its first bytes came */
	uint64_t bytes_in_before, bytes_out_before; /* the front's counts, then */
	enum close_reason reason; /* the first that was told; DONE: it came to its end */
	struct accesslog_note *note; /* NULL: no access log, or nothing to be noted yet */
};

/* What is kept of the request's own texts. */
enum accesslog_text {
	ACCESSLOG_METHOD,
	ACCESSLOG_AUTHORITY,
	ACCESSLOG_TARGET,
	ACCESSLOG_USER_AGENT,
	ACCESSLOG_TRACE_ID,
	ACCESSLOG_REQUEST_ID,
	ACCESSLOG_TEXTS,
};

/* What came of the rewrite of its rule. */
enum accesslog_rewrite {
	ACCESSLOG_NO_REWRITE,
	ACCESSLOG_REWRITTEN,
	ACCESSLOG_BAD_PATH, /* what it makes is none */
	ACCESSLOG_BAD_HOST,
	ACCESSLOG_REWRITE_TOO_LONG,
};

/* Of one request with a line. Times are loop_now_us() or the same clock, read anew; 0: it did not come to
 * that. */
struct accesslog_note {
	uint64_t sent_us, answered_us, responding_us;
	struct slice texts[ACCESSLOG_TEXTS]; /* in `text` */
	char *told_trace_id, *told_request_id; /* in place of the client's; NULL: none */
	enum http_version version;
	bool has_request, is_websocket;
	uint16_t status, target_status;
	uint8_t tries;
	uint64_t desync; /* bits of enum desync */
	struct route route;
	struct accesslog_record record; /* when all is known */
	char *redirect; /* NULL: none */
	char *told_host, *told_target; /* as rewritten; NULL: as they came */
	enum accesslog_rewrite rewrite;
	char target_address[ADDR_TEXT_BYTES]; /* "": none yet */
	char text[];
};

/* `request` NULL: there was none to be understood. NULL: there is no memory; a line is lost, and that is
 * counted. The listener has a log. */
struct accesslog_note *accesslog_note_new(const struct conn *conn, const struct listener *listener,
	const struct http_request *request);
/* Writes the line and frees the note. `listener` is the one it was made for, held. The bytes are what
 * the front has counted since before the request. */
void accesslog_put(struct accesslog_note *note, struct conn *conn, const struct listener *listener,
	uint64_t bytes_in, uint64_t bytes_out);
/* The line of a request over HTTP/2 that was reset before anybody saw it, if there is a log: it has no
 * status, and takes no bytes, which are those of its connection. */
void accesslog_put_malformed(struct conn *conn, enum close_reason reason);

#endif
