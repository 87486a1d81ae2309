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
	ADMIN_CONN_STREAMING, /* as above, and there may be more of it; nothing is read */
	ADMIN_CONN_LINGERING, /* refused: what the client still sends is thrown away for a while,
				 so that it gets to read why instead of a reset */
	ADMIN_CONN_CLOSED,    /* out of the server's list, freed at the end of the turn */
};

struct admin_conn {
	struct watch watch;
	struct timer timer;
	struct task free_task;
	struct task again; /* posted: go on in the next turn */
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
	bool is_big; /* it, or the one being read, has more than ADMIN_REQUEST_BYTES_MAX */
	char *out; /* the whole answer, or what there is of a stream */
	size_t out_len, out_sent, out_size;
	struct admin_stream *stream; /* STREAMING only; NULL: its end has been put */
	size_t thrown_away; /* bytes, LINGERING only */
	size_t turn_bytes; /* read in this run */
	struct admin_reply *reply; /* ANSWERING only */
};

struct admin_reply {
	struct admin_conn *conn; /* NULL: it is gone */
	bool is_head;
	bool http_1_0;
	char allow[48]; /* of a 405, else "" */
	char etag[32]; /* "": none */
};

struct admin_stream {
	struct admin_conn *conn;
	const struct admin_stream_ops *ops;
	void *arg;
	bool is_chunked;
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
	uint32_t n_conns; /* in the list */
	uint32_t n_lingering; /* of these */
	uint32_t n_big; /* with a big request: one at most */
};

void admin_conn_state_set(struct admin_conn *conn, enum admin_conn_state state);
/* Takes `fd`, also when it fails. */
int admin_conn_new(struct admin *admin, int fd, struct admin_conn **ret_conn) must_check;
void admin_conn_close(struct admin_conn *conn);
/* Goes on as far as it can without waiting. May close. */
void admin_conn_run(struct admin_conn *conn);
/* Answers what never became a request, and closes. */
void admin_conn_refuse(struct admin_conn *conn, const struct admin_refusal *refusal);
/* Sets the answer; admin_conn_run() then sends it. `body` is copied. */
void admin_conn_answer(struct admin_conn *conn, const struct admin_reply *reply,
	unsigned int http_status, const char *content_type, const char *body, size_t body_bytes);

/* admin_stream.c */
/* The client has gone. */
void admin_stream_closed(struct admin_conn *conn);
/* One try, without waiting, to bring a stream to its proper end. */
void admin_stream_finish_now(struct admin_conn *conn);

/* admin.c */
admin_body_limit admin_command_body_limit;
/* Finds the command and starts it. */
void admin_dispatch(
	struct admin *admin, const struct admin_request *request, struct admin_reply *reply);

#endif
