/*
 * Answers of the admin API: a document, a text, or a stream that stays open until one side ends it.
 * See admin.h, which is the header to include. Control thread.
 */
#ifndef SLUICE_CONTROL_ADMIN_REPLY_H
#define SLUICE_CONTROL_ADMIN_REPLY_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

enum {
	ADMIN_STREAM_BYTES_MAX = 256 * 1024, /* waiting for a client to take them */
	ADMIN_WHO_BYTES = 160,
};

/* A request that waits for its answer. Whoever got it must finish it exactly once, on the control
 * thread, now or later; the client may be gone by then, or the server freed: that is no error. */
struct admin_reply;

/* Who asks: the process at the other end of a unix socket, or whoever the access control knows. */
struct admin_peer {
	uint32_t uid; /* UINT32_MAX: not by a unix socket */
	int32_t pid; /* 0: as above */
	char who[ADMIN_WHO_BYTES]; /* "ops from 192.0.2.7"; "": by a unix socket */
};

/* A new document whose root is an empty object. */
yyjson_mut_doc *admin_doc_new(void);

/* Answers with `http_status` and `doc`, which is freed. */
void admin_reply_finish(struct admin_reply *reply, unsigned int http_status, yyjson_mut_doc *doc);
/* Answers {"error": {"code", "message"}}, and with that a problem (admin_problem.h); `code` is a word for programs, the rest for people. */
void admin_reply_error(struct admin_reply *reply, unsigned int http_status, const char *code,
	const char *format, ...) printf_like(4, 5);
/* Answers with a text of `content_type`; pages and what belongs to them say what browsers may do
 * with it in `more`, whole lines of headers (static; "": none). */
void admin_reply_page(struct admin_reply *reply, const char *content_type, const char *more,
	const char *text, size_t len);
/* Answers with a text of `content_type`. */
void admin_reply_text(
	struct admin_reply *reply, const char *content_type, const char *text, size_t len);
/* The answer has this header: ETag: "...". */
void admin_reply_set_etag(struct admin_reply *reply, const char *etag);
/* Who waits for the answer; UINT32_MAX and "": nobody any more. */
struct admin_peer admin_reply_peer(const struct admin_reply *reply);
/* Takes the memory that holds the request (NULL: the client is gone), so that a body need not be
 * copied to be used later: the slices of the call stay valid until the caller frees it. `ret_len`: how
 * much of it has been received, and is to be wiped where it is secret. */
char *admin_reply_take_request(struct admin_reply *reply, size_t *ret_len);
/* The end of a reload that was done (or, dry, would be): 200. */
void admin_reply_reloaded(struct admin_reply *reply, bool dry_run, uint64_t generation);
/* The end of a reload that was refused: 422, code "config_invalid", and `lines`, the text of
 * config_errors_print() ("file:line:column: setting: what", a line each), as a list. */
void admin_reply_refused(struct admin_reply *reply, const char *lines);

/*
 * An answer without an end that is known: 200 and chunks. It stays open, whatever the idle time,
 * until the client closes, does not take for the idle time what is waiting for it, or
 * admin_stream_end(). Owned by the connection.
 */
struct admin_stream;

struct admin_stream_ops {
	/* Everything has been taken: there is room. May be NULL. Never called from within a put. */
	void (*drained)(void *arg);
	/* The client has gone, or the server is freed; the stream goes. Not after an end. */
	void (*closed)(void *arg);
};

/* Finishes `reply`. NULL: the client is gone, or asked for the head alone. */
struct admin_stream *admin_reply_stream(struct admin_reply *reply, const char *content_type,
	const struct admin_stream_ops *ops, void *arg) must_check;
/* All of it or nothing: false when there is no room for it. */
bool admin_stream_put(struct admin_stream *stream, const char *bytes, size_t len) must_check;
/* What was put is still sent. The stream must not be used any more. */
void admin_stream_end(struct admin_stream *stream);

#endif
