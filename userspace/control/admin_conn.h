/*
 * The inside of the admin server: the server, one client of it, one request. Only admin.c and
 * admin_conn.c include this. A client is owned by its server and freed at the end of the turn in
 * which it is closed; a reply is owned by whoever has to finish it and only points to its client,
 * as long as that one is there. Control thread.
 */
#ifndef SLUICE_CONTROL_ADMIN_CONN_H
#define SLUICE_CONTROL_ADMIN_CONN_H

#include "control/admin.h"
#include "control/admin_request.h"
#include "control/admin_socket.h"
#include "core/list.h"
#include <stddef.h>

enum admin_conn_state {
	ADMIN_CONN_READING,   /* until there is a whole request */
	ADMIN_CONN_ANSWERING, /* somebody has the reply; nothing is read */
	ADMIN_CONN_WRITING,   /* the answer goes out; nothing is read */
	ADMIN_CONN_LINGERING, /* refused: what the client still sends is thrown away for a while,
				 so that it gets to read why instead of a reset */
	ADMIN_CONN_CLOSED,    /* out of the server's list, freed at the end of the turn */
};

struct admin_conn {
	struct watch watch;
	struct timer timer;
	struct task free_task;
	struct admin *admin;
	struct list link; /* in the server's list, unless CLOSED */
	enum admin_conn_state state;
	bool can_read, can_write;
	bool closing; /* after this answer */
	bool running; /* in admin_conn_run(): a reply finished meanwhile is seen by it */
	char *in;     /* request bytes, those of pipelined ones too */
	size_t in_len, in_size;
	struct admin_parser parser;
	size_t request_bytes; /* of the request being answered, at the front of `in` */
	char *out;            /* the whole answer */
	size_t out_len, out_sent;
	size_t thrown_away;        /* bytes, LINGERING only */
	struct admin_reply *reply; /* ANSWERING only */
};

struct admin_reply {
	struct admin_conn *conn; /* NULL: it is gone */
	bool is_head;
	const char *allow; /* of a 405, else NULL */
};

struct admin {
	struct loop *loop;
	struct watch listener;
	struct timer accept_again; /* set while no descriptors are left */
	struct task free_task;
	struct admin_socket socket;
	const struct admin_source *source;
	void *arg;
	uint32_t idle_ms;
	struct list conns;
	uint32_t n_conns;     /* in the list */
	uint32_t n_lingering; /* of these */
};

/* Takes `fd`, also when it fails. */
int admin_conn_new(struct admin *admin, int fd, struct admin_conn **ret_conn) must_check;
void admin_conn_close(struct admin_conn *conn);
/* Goes on as far as it can without waiting. May close. */
void admin_conn_run(struct admin_conn *conn);
/* Answers what never became a request, and closes. */
void admin_conn_refuse(struct admin_conn *conn, const struct admin_refusal *refusal);
/* Sets the answer; admin_conn_run() then sends it. `body` is copied. */
void admin_conn_answer(struct admin_conn *conn, const struct admin_reply *reply,
	unsigned int http_status, const char *body, size_t body_bytes);

/* admin.c: finds the command and starts it. */
void admin_dispatch(
	struct admin *admin, const struct admin_request *request, struct admin_reply *reply);

#endif
