/* One client of the admin API: see admin_conn.h. */
#include "control/admin_conn.h"

#include "core/mem.h"
#include "tls/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LOG_MODULE "admin"
#include "core/log.h"

enum {
	IN_BYTES_FIRST = 4096,
	LINGER_MS = 2000,
	HANDSHAKE_MS = 5000,
	KEEPALIVE_S = 60, /* a client that is gone without a word is found so */
	READ_BYTES = 1024 * 1024, /* of one client in one turn: others wait meanwhile */
};

/* The time-out of each state. A request has to arrive whole within one: no byte extends it. */
void admin_conn_state_set(struct admin_conn *conn, enum admin_conn_state state)
{
	struct admin *admin = conn->admin;

	if (conn->state == ADMIN_CONN_LINGERING)
		admin->n_lingering--;
	conn->state = state;
	conn->since_ms = loop_now_ms(admin->io->loop);
	switch (state) {
	case ADMIN_CONN_HANDSHAKE:
		timer_set(admin->io->loop, &conn->timer, HANDSHAKE_MS);
		break;
	case ADMIN_CONN_READING:
	case ADMIN_CONN_WRITING:
		timer_set(admin->io->loop, &conn->timer, admin->idle_ms);
		break;
	case ADMIN_CONN_LINGERING:
		admin->n_lingering++;
		timer_set(admin->io->loop, &conn->timer, LINGER_MS);
		break;
	case ADMIN_CONN_ANSWERING:
	case ADMIN_CONN_STREAMING: /* set while there are bytes to take */
	case ADMIN_CONN_CLOSED:
		timer_clear(&conn->timer);
		break;
	}
}

static void set_big(struct admin_conn *conn, bool is_big)
{
	conn->admin->n_big += (uint32_t)is_big - (uint32_t)conn->is_big;
	conn->is_big = is_big;
}

/* There may be keys in what was received. */
static void wipe_and_free(char *bytes, size_t len)
{
	if (bytes)
		explicit_bzero(bytes, len);
	free(bytes);
}

static void free_conn(struct task *task)
{
	struct admin_conn *conn = container_of(task, struct admin_conn, free_task);

	wipe_and_free(conn->in, conn->in_len);
	free(conn->out);
	free(conn);
}

void admin_conn_close(struct admin_conn *conn)
{
	if (conn->state == ADMIN_CONN_CLOSED)
		return;
	admin_conn_state_set(conn, ADMIN_CONN_CLOSED);
	set_big(conn, false);
	task_cancel(&conn->again);
	if (conn->reply)
		conn->reply->conn = NULL;
	if (conn->stream)
		admin_stream_closed(conn);
	conn->front->ops->close(conn->front, false);
	conn->front = NULL;
	list_del(&conn->link);
	conn->admin->n_conns--;
	conn->free_task.run = free_conn;
	loop_defer(conn->admin->io->loop, &conn->free_task);
}

void admin_conn_refuse(struct admin_conn *conn, const struct admin_refusal *refusal)
{
	struct admin_reply *reply = mem_zalloc(sizeof(*reply));

	conn->closing = true;
	reply->conn = conn;
	reply->asks_for_token = refusal->asks_for_token;
	conn->reply = reply;
	admin_conn_state_set(conn, ADMIN_CONN_ANSWERING);
	admin_reply_error(reply, refusal->http_status, refusal->code, "%s", refusal->message);
}

static void timed_out(struct timer *timer)
{
	static const struct admin_refusal late = {
		408, "request_timeout", "the request did not arrive whole in time"};
	struct admin_conn *conn = container_of(timer, struct admin_conn, timer);

	if (conn->state == ADMIN_CONN_READING && conn->in_len > 0)
		admin_conn_refuse(conn, &late);
	else
		admin_conn_close(conn);
}

/* Both directions have ended: nobody waits for the answer. One alone may be a client that has said all
 * it has to say and still listens; but who reads a stream without an end over TCP has gone then. */
static bool is_gone(const struct admin_conn *conn)
{
	if (conn->state != ADMIN_CONN_ANSWERING && conn->state != ADMIN_CONN_STREAMING)
		return false;
	return conn->front->broken ||
	       (conn->front->peer_ended && conn->stream && conn->admin->kind != ADMIN_LOCAL);
}

static void ready(struct watch *watch, uint32_t events)
{
	struct stream *front = stream_of_watch(watch);
	struct admin_conn *conn = front->owner;

	stream_note_events(front, events);
	if (is_gone(conn))
		admin_conn_close(conn);
	else
		admin_conn_run(conn);
}

static void run_again(struct task *task)
{
	admin_conn_run(container_of(task, struct admin_conn, again));
}

static void note_address(struct admin_conn *conn, int fd)
{
	union addr peer = {0};
	socklen_t len = sizeof(peer);
	int on = 1, idle_s = KEEPALIVE_S;

	if (getpeername(fd, &peer.any, &len) < 0)
		return;
	addr_format(&peer, conn->address);
	/* Without them the client is only found gone by what is written to it. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
}

int admin_conn_new(struct admin *admin, int fd, struct admin_conn **ret_conn)
{
	struct admin_conn *conn = mem_zalloc(sizeof(*conn));
	bool is_remote = admin->kind == ADMIN_REMOTE;

	conn->admin = admin;
	conn->timer.fire = timed_out;
	conn->again.run = run_again;
	if (admin->kind != ADMIN_LOCAL)
		note_address(conn, fd);
	conn->front =
		is_remote ? tls_stream_server(admin->tls, admin_access_server(admin->access), fd)
			  : plain_stream_new(admin->io, fd, false);
	if (!conn->front) {
		free(conn);
		return -ENOMEM;
	}
	conn->front->watch.ready = ready;
	conn->front->owner = conn;
	list_add_tail(&admin->conns, &conn->link);
	admin->n_conns++;
	admin_conn_state_set(conn, is_remote ? ADMIN_CONN_HANDSHAKE : ADMIN_CONN_READING);
	*ret_conn = conn;
	return 0;
}

static void resize(struct admin_conn *conn, size_t size)
{
	char *old = conn->in;

	conn->in = mem_alloc(size);
	if (old)
		memcpy(conn->in, old, conn->in_len);
	wipe_and_free(old, conn->in_len);
	conn->in_size = size;
}

/* A big request gets just the room it needs, once its head has said how much. */
static void make_room(struct admin_conn *conn)
{
	size_t size = conn->in_size;

	if (conn->is_big)
		size = conn->parser.whole_bytes;
	else if (conn->in_len == size)
		size = size ? size * 2 : IN_BYTES_FIRST;
	if (!conn->is_big && size > ADMIN_REQUEST_BYTES_MAX)
		size = ADMIN_REQUEST_BYTES_MAX;
	if (size <= conn->in_size)
		return;
	resize(conn, size);
}

/* True if bytes came and this turn may take more. Closes at the end and on errors. */
static bool read_more(struct admin_conn *conn)
{
	ssize_t n;

	if (conn->turn_bytes >= READ_BYTES) {
		loop_post(conn->admin->io->loop, &conn->again);
		return false;
	}
	make_room(conn);
	n = admin_conn_receive(conn, conn->in + conn->in_len, conn->in_size - conn->in_len);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		admin_conn_close(conn);
		return false;
	}
	if (conn->in_len == 0) /* the idle time is over, the request's own begins */
		timer_set(conn->admin->io->loop, &conn->timer, conn->admin->idle_ms);
	conn->in_len += (size_t)n;
	conn->turn_bytes += (size_t)n;
	return true;
}

static void start_request(struct admin_conn *conn, const struct admin_request *request)
{
	struct admin_reply *reply = mem_zalloc(sizeof(*reply));

	conn->request_bytes = request->bytes;
	/* A stranger gets one answer at a time: see the pace in admin.c. */
	conn->closing = !request->keep_alive || conn->admin->kind == ADMIN_METRICS;
	reply->conn = conn;
	reply->is_head = request->method == ADMIN_HEAD;
	reply->http_1_0 = request->http_1_0;
	conn->reply = reply;
	admin_conn_state_set(conn, ADMIN_CONN_ANSWERING);
	admin_dispatch(conn->admin, request, reply);
}

/* False: another client's big request is in memory. */
static bool may_be_big(struct admin_conn *conn)
{
	if (!conn->is_big && conn->parser.whole_bytes > ADMIN_REQUEST_BYTES_MAX) {
		if (conn->admin->n_big > 0)
			return false;
		set_big(conn, true);
	}
	return true;
}

static bool step_handshake(struct admin_conn *conn)
{
	struct stream *front = conn->front;
	struct tls_stream_facts facts;
	int r = front->ops->handshake(front);

	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		log_debug("%s: %s: TLS handshake: %s %s", conn->admin->name, conn->address,
			tls_failure_name(tls_stream_failure(front)),
			tls_stream_failure_detail(front));
		admin_conn_close(conn);
		return false;
	}
	tls_stream_facts(front, &facts);
	admin_access_judge_cert(conn->admin->access, facts.peer, &conn->by_cert);
	admin_conn_state_set(conn, ADMIN_CONN_READING);
	return true;
}

static bool step_reading(struct admin_conn *conn)
{
	static const struct admin_refusal busy = {503, "busy",
		"another client is sending a request as big as this: try again when it is done"};
	struct admin_refusal refusal;
	struct admin_request request;
	int rc = 0;

	if (conn->in_len > 0)
		rc = admin_request_parse(&conn->parser, admin_judge_head, conn, conn->in,
			conn->in_len, &request, &refusal);
	if (rc > 0)
		start_request(conn, &request);
	else if (rc < 0)
		admin_conn_refuse(conn, &refusal);
	else if (!may_be_big(conn))
		admin_conn_refuse(conn, &busy);
	else
		return read_more(conn);
	return true;
}

/* Room for a big request is not kept. */
void admin_conn_forget_request(struct admin_conn *conn)
{
	conn->in_len -= conn->request_bytes;
	memmove(conn->in, conn->in + conn->request_bytes, conn->in_len);
	explicit_bzero(conn->in + conn->in_len, conn->request_bytes);
	conn->request_bytes = 0;
	if (!conn->is_big)
		return;
	set_big(conn, false);
	resize(conn, conn->in_len > IN_BYTES_FIRST ? conn->in_len : IN_BYTES_FIRST);
}

char *admin_reply_take_request(struct admin_reply *reply, size_t *ret_len)
{
	struct admin_conn *conn = reply->conn;
	size_t rest;
	char *taken;

	if (!conn)
		return NULL;
	taken = conn->in;
	*ret_len = conn->in_len;
	rest = conn->in_len - conn->request_bytes;
	conn->in_size = rest > IN_BYTES_FIRST ? rest : IN_BYTES_FIRST;
	conn->in = mem_alloc(conn->in_size);
	memcpy(conn->in, taken + conn->request_bytes, rest);
	conn->in_len = rest;
	conn->request_bytes = 0;
	return taken;
}

void admin_conn_run(struct admin_conn *conn)
{
	bool more = !conn->running;

	if (!more)
		return;
	conn->running = true;
	conn->turn_bytes = 0;
	while (more) {
		switch (conn->state) {
		case ADMIN_CONN_HANDSHAKE:
			more = step_handshake(conn);
			break;
		case ADMIN_CONN_READING:
			more = step_reading(conn);
			break;
		case ADMIN_CONN_WRITING:
		case ADMIN_CONN_STREAMING:
			more = admin_conn_step_writing(conn);
			break;
		case ADMIN_CONN_LINGERING:
			more = admin_conn_step_lingering(conn);
			break;
		case ADMIN_CONN_ANSWERING:
		case ADMIN_CONN_CLOSED:
			more = false;
			break;
		}
	}
	conn->running = false;
}
