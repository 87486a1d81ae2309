/*
 * The inside of the admin server: the server, one client of it, one request. Only admin*.c
 * include this. A client is owned by its server and freed at the end of the turn in
 * which it is closed; a reply is owned by whoever has to finish it and only points to its client,
 * as long as that one is there. Control thread.
 */
#ifndef SLUICE_CONTROL_ADMIN_CONN_H
#define SLUICE_CONTROL_ADMIN_CONN_H

#include "control/admin.h"
#include "control/admin_access.h"
#include "control/admin_request.h"
#include "control/admin_socket.h"
#include "core/list.h"
#include <stddef.h>

enum admin_conn_state {
	ADMIN_CONN_HANDSHAKE, /* of TLS */
	ADMIN_CONN_READING,   /* until there is a whole request */
	ADMIN_CONN_ANSWERING, /* somebody has the reply; nothing is read */
	ADMIN_CONN_WRITING,   /* the answer goes out; nothing is read */
	ADMIN_CONN_STREAMING, /* as above, and there may be more of it; nothing is read */
	ADMIN_CONN_LINGERING, /* refused: what the client still sends is thrown away for a while,
				 so that it gets to read why instead of a reset */
	ADMIN_CONN_CLOSED,    /* out of the server's list, freed at the end of the turn */
};

struct admin_conn {
	struct stream *front; /* gone when CLOSED */
	struct timer timer;
	struct task free_task;
	struct task again; /* posted: go on in the next turn */
	struct admin *admin;
	struct list link; /* in the server's list, unless CLOSED */
	enum admin_conn_state state;
	uint64_t since_ms; /* in that state */
	bool closing; /* after this answer */
	bool running; /* in admin_conn_run(): a reply finished meanwhile is seen by it */
	bool has_shut; /* LINGERING: our direction has ended */
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
	/* Who the client is: not by a unix socket. */
	char address[ADDR_TEXT_BYTES];
	struct admin_known
		by_cert; /* REMOTE: as the access control in force knows its certificate */
	struct admin_known known; /* of the request that was judged last */
	bool is_known; /* one of its requests was let in: others' connections make no room for it */
};

struct admin_reply {
	struct admin_conn *conn; /* NULL: it is gone */
	bool is_head;
	bool http_1_0;
	bool asks_for_token; /* of a 401 */
	const char *more; /* of a page: further headers, static; NULL: none */
	char allow[48]; /* of a 405, else "" */
	char etag[32]; /* "": none */
};

struct admin_stream {
	struct admin_conn *conn;
	const struct admin_stream_ops *ops;
	void *arg;
	bool is_chunked;
};

/* A listening socket of it. */
struct admin_door {
	struct watch watch;
	struct admin *admin;
};

struct admin {
	struct iothread *io;
	enum admin_kind kind;
	const char *name; /* in messages: the socket's path, or the setting */
	struct admin_door doors[ADMIN_ADDRESSES_MAX];
	uint32_t n_doors;
	struct timer accept_again; /* set while nobody is accepted */
	uint32_t n_accepted; /* in the span of time that began at ... */
	uint64_t accepted_since_ms;
	struct task free_task;
	struct admin_socket socket; /* LOCAL */
	struct tls_thread *tls; /* REMOTE, like the next */
	struct admin_access *access; /* counted */
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

/* admin_answer.c: the way out. */
/* Sets the answer; admin_conn_run() then sends it. `body` is copied. */
void admin_conn_answer(struct admin_conn *conn, const struct admin_reply *reply,
	unsigned int http_status, const char *content_type, const char *body, size_t body_bytes);
/* The steps return true as long as there may be something to go on with. */
bool admin_conn_step_writing(struct admin_conn *conn);
bool admin_conn_step_lingering(struct admin_conn *conn);
/* Bytes, 0 at the end, or -errno. */
ssize_t admin_conn_receive(struct admin_conn *conn, char *bytes, size_t len);
/* The request that was answered is forgotten, and the next one read. */
void admin_conn_forget_request(struct admin_conn *conn);

/* admin_stream.c */
/* The client has gone. */
void admin_stream_closed(struct admin_conn *conn);
/* One try, without waiting, to bring a stream to its proper end. */
void admin_stream_finish_now(struct admin_conn *conn);

/* admin_dispatch.c */
admin_head_judge admin_judge_head; /* `arg`: the struct admin_conn */
/* Finds the command and starts it. */
void admin_dispatch(
	struct admin *admin, const struct admin_request *request, struct admin_reply *reply);

#endif
