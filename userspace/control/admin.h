/*
 * The admin API: HTTP/1.1 with JSON bodies on a unix socket (mode 0600). What it offers is one row
 * per command in api.def; docs/api.md has the shapes. Everything here belongs to the control
 * thread and runs in its loop, non-blocking: at most ADMIN_CONNECTIONS_MAX clients, bounded
 * requests, idle ones are closed. The daemon supplies the contents through struct admin_source.
 * An answer is a document, a text, or a stream that stays open until one side ends it.
 */
#ifndef SLUICE_CONTROL_ADMIN_H
#define SLUICE_CONTROL_ADMIN_H

#include "core/attr.h"
#include "core/err.h"
#include "core/loop.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

enum {
	ADMIN_CONNECTIONS_MAX = 16,
	ADMIN_REQUEST_BYTES_MAX = 64 * 1024, /* head and body */
	ADMIN_BIG_BODY_BYTES_MAX = 128 * 1024 * 1024, /* where api.def says so; one at a time */
	ADMIN_STREAM_BYTES_MAX = 256 * 1024,         /* waiting for a client to take them */
	ADMIN_IDLE_MS = 30 * 1000,           /* a client that neither sends nor takes a byte */
	ADMIN_ARGUMENTS_MAX = 2,             /* parts of a path that name something */
	ADMIN_ARGUMENT_BYTES = 384,
};

struct admin;

/* A request that waits for its answer. Whoever got it must finish it exactly once, on the control
 * thread, now or later; the client may be gone by then, or the server freed: that is no error. */
struct admin_reply;

/* What a command is asked with; points into the request. */
struct admin_call {
	struct slice query; /* its parameters are those that api.def lists: admin_query_*() */
	struct slice body;
	struct slice if_match, if_none_match; /* RFC 9110 section 13.1; empty: not sent */
	char arguments[ADMIN_ARGUMENTS_MAX][ADMIN_ARGUMENT_BYTES]; /* where the path has {} */
};

/* Who asks: the process at the other end. */
struct admin_peer {
	uint32_t uid;
	int32_t pid;
};

/*
 * Where answers come from. A view adds its members to `root` (an object of `doc`) and returns 0,
 * or a negative errno, which the client sees as a 500. Strings that may change before the view
 * returns are copied (yyjson_mut_obj_add_strcpy). NULL: the client gets a 501.
 */
struct admin_source {
#define VIEW(path, name, help) int (*name)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
/* These finish `reply`, at once or when they are done. `call` is gone when they return. */
#define CALL(method, path, name, parameters, body_max, help)                                       \
	void (*name)(void *arg, const struct admin_call *call, struct admin_reply *reply);
#include "control/api.def"
#undef VIEW
#undef CALL
};

struct admin_spec {
	const char *socket_path; /* its folder is made (0755) if it is missing */
	const struct admin_source *source;
	void *arg; /* of the source */
	uint32_t idle_ms; /* 0: ADMIN_IDLE_MS */
};

/* Takes the socket (a dead daemon's is replaced, a live one's is refused with -EADDRINUSE and the
 * pid) and serves it from `loop`. The strings and the source must outlive the server. */
int admin_new(struct loop *loop, const struct admin_spec *spec, struct admin **ret_admin,
	struct err *err) must_check;
/* Closes every client, removes the socket. Replies not yet finished stay valid. NULL is ignored. */
void admin_free(struct admin *admin);

/* A new document whose root is an empty object. */
yyjson_mut_doc *admin_doc_new(void);

/* Answers with `http_status` and `doc`, which is freed. */
void admin_reply_finish(struct admin_reply *reply, unsigned int http_status, yyjson_mut_doc *doc);
/* Answers {"error": {"code", "message"}}; `code` is a word for programs, the rest for people. */
void admin_reply_error(struct admin_reply *reply, unsigned int http_status, const char *code,
	const char *format, ...) printf_like(4, 5);
/* Answers with a text of `content_type`. */
void admin_reply_text(
	struct admin_reply *reply, const char *content_type, const char *text, size_t len);
/* The answer has this header: ETag: "...". */
void admin_reply_set_etag(struct admin_reply *reply, const char *etag);
/* Who waits for the answer; uid UINT32_MAX: nobody any more. */
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
