/*
 * The admin API: HTTP/1.1 with JSON bodies on a unix socket (mode 0600), over TCP with TLS and
 * roles, or (the metrics alone) over plain TCP. What it offers is one row per command in api.def;
 * docs/api.md has the shapes. Everything here belongs to the control
 * thread and runs in its loop, non-blocking: at most ADMIN_CONNECTIONS_MAX clients, bounded
 * requests, idle ones are closed. The daemon supplies the contents through struct admin_source.
 * An answer is a document, a text, or a stream that stays open until one side ends it.
 */
#ifndef SLUICE_CONTROL_ADMIN_H
#define SLUICE_CONTROL_ADMIN_H

#include "control/admin_reply.h"
#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "net/addr.h"
#include "net/stream.h"
#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

enum {
	ADMIN_CONNECTIONS_MAX = 16,
	ADMIN_REQUEST_BYTES_MAX = 64 * 1024, /* head and body */
	ADMIN_BIG_BODY_BYTES_MAX = 128 * 1024 * 1024, /* where api.def says so; one at a time */
	ADMIN_IDLE_MS = 30 * 1000,           /* a client that neither sends nor takes a byte */
	ADMIN_ARGUMENTS_MAX = 3,             /* parts of a path that name something */
	ADMIN_ARGUMENT_BYTES = 384,
	ADMIN_ADDRESSES_MAX = 8,
};

struct admin;
struct admin_access;
struct tls_thread;

/* What a client may do; each may do what those before it may. A row of api.def names the least. */
enum admin_role {
	ADMIN_ROLE_NONE,
	ADMIN_ROLE_READ,
	ADMIN_ROLE_OPERATE, /* what changes nothing of what is configured */
	ADMIN_ROLE_ADMIN,
};

/* What a command is asked with; points into the request. */
struct admin_call {
	struct slice query; /* its parameters are those that api.def lists: admin_query_*() */
	struct slice body;
	bool redact; /* who asks may not see what may be a secret (object_redact.h) */
	struct slice if_match, if_none_match; /* RFC 9110 section 13.1; empty: not sent */
	char arguments[ADMIN_ARGUMENTS_MAX][ADMIN_ARGUMENT_BYTES]; /* where the path has {} */
};

/*
 * Where answers come from. A view adds its members to `root` (an object of `doc`) and returns 0,
 * or a negative errno, which the client sees as a 500. Strings that may change before the view
 * returns are copied (yyjson_mut_obj_add_strcpy). NULL: the client gets a 501.
 */
struct admin_source {
#define VIEW(path, name, help) int (*name)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
/* These finish `reply`, at once or when they are done. `call` is gone when they return. */
#define CALL(method, path, name, role, parameters, body_max, help)                                 \
	void (*name)(void *arg, const struct admin_call *call, struct admin_reply *reply);
#include "control/api.def"
#undef VIEW
#undef CALL
};

enum admin_kind {
	ADMIN_LOCAL,   /* a unix socket: who may connect may do everything */
	ADMIN_REMOTE,  /* TCP with TLS: by role (admin_access.h) */
	ADMIN_METRICS, /* TCP, plain: the metrics, for everybody */
};

struct admin_spec {
	enum admin_kind kind;
	const char *socket_path; /* LOCAL; its folder is made (0755) if it is missing */
	const char *setting; /* the others: the name of `addresses` in messages */
	const union addr *addresses;
	uint32_t n_addresses;
	bool may_share; /* another process of ours may still have the addresses */
	struct tls_thread *tls; /* REMOTE */
	struct admin_access *access; /* REMOTE; a count is taken */
	const struct admin_source *source;
	void *arg; /* of the source */
	uint32_t idle_ms; /* 0: ADMIN_IDLE_MS */
};

/* Takes the socket (a dead daemon's is replaced, a live one's is refused with -EADDRINUSE and the
 * pid), or the addresses, and serves them from the loop of `io`. The strings and the source must
 * outlive the server. */
int admin_new(struct iothread *io, const struct admin_spec *spec, struct admin **ret_admin,
	struct err *err) must_check;
/* REMOTE: whom it lets in from now on. Connections of clients that it would not let in end, behind
 * the answer under way. NULL `admin` is ignored. */
void admin_set_access(struct admin *admin, struct admin_access *access);
/* Another process is to have the addresses: whoever is connected is served on, nobody else comes in. NULL
 * is ignored. */
void admin_leave(struct admin *admin);
/* LOCAL: it is not to: as before. */
int admin_return(struct admin *admin, struct err *err) must_check;
/* Closes every client, removes the socket. Replies not yet finished stay valid. NULL is ignored. */
void admin_free(struct admin *admin);

#endif
