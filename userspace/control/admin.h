/*
 * The admin API: HTTP/1.1 with JSON bodies on a unix socket (mode 0600). What it offers is one row
 * per command in api.def; docs/api.md has the shapes. Everything here belongs to the control
 * thread and runs in its loop, non-blocking: at most ADMIN_CONNECTIONS_MAX clients, bounded
 * requests, idle ones are closed. The daemon supplies the contents through struct admin_source.
 */
#ifndef SLUICE_CONTROL_ADMIN_H
#define SLUICE_CONTROL_ADMIN_H

#include "core/attr.h"
#include "core/err.h"
#include "core/loop.h"
#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

enum {
	ADMIN_CONNECTIONS_MAX = 16,
	ADMIN_REQUEST_BYTES_MAX = 64 * 1024, /* head and body */
	ADMIN_IDLE_MS = 30 * 1000,           /* a client that neither sends nor takes a byte */
};

struct admin;

/* A request that waits for its answer. Whoever got it must finish it exactly once, on the control
 * thread, now or later; the client may be gone by then, or the server freed: that is no error. */
struct admin_reply;

/*
 * Where answers come from. A view adds its members to `root` (an object of `doc`) and returns 0,
 * or a negative errno, which the client sees as a 500. Strings that may change before the view
 * returns are copied (yyjson_mut_obj_add_strcpy). NULL: the client gets a 501.
 */
struct admin_source {
	int (*status)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*listeners)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*targets)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*target_groups)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*certificates)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*drops)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	int (*config)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	/* Starts a reload (with `dry_run` only the checks) and finishes `reply` when it is done. */
	void (*reload)(void *arg, struct admin_reply *reply, bool dry_run);
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
/* The end of a reload that was done (or, dry, would be): 200. */
void admin_reply_reloaded(struct admin_reply *reply, bool dry_run, uint64_t generation);
/* The end of a reload that was refused: 422, code "config_invalid", and `lines`, the text of
 * config_errors_print() ("file:line:column: setting: what", a line each), as a list. */
void admin_reply_refused(struct admin_reply *reply, const char *lines);

#endif
