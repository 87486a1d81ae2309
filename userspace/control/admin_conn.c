/* One client of the admin API: see admin_conn.h. */
#include "control/admin_conn.h"

#include "core/mem.h"
#include "http/h1_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	IN_BYTES_FIRST = 4096,
	LINGER_MS = 2000,
	LINGER_BYTES = 4 * 1024 * 1024, /* thrown away at most */
	RESPONSE_HEAD_BYTES = 400,
	READ_BYTES = 1024 * 1024, /* of one client in one turn: others wait meanwhile */
};

/* The time-out of each state. A request has to arrive whole within one: no byte extends it. */
void admin_conn_state_set(struct admin_conn *conn, enum admin_conn_state state)
{
	struct admin *admin = conn->admin;

	if (conn->state == ADMIN_CONN_LINGERING)
		admin->n_lingering--;
	conn->state = state;
	switch (state) {
	case ADMIN_CONN_READING:
	case ADMIN_CONN_WRITING:
		timer_set(admin->loop, &conn->timer, admin->idle_ms);
		break;
	case ADMIN_CONN_LINGERING:
		admin->n_lingering++;
		timer_set(admin->loop, &conn->timer, LINGER_MS);
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
	loop_close(conn->admin->loop, &conn->watch);
	list_del(&conn->link);
	conn->admin->n_conns--;
	conn->free_task.run = free_conn;
	loop_defer(conn->admin->loop, &conn->free_task);
}

void admin_conn_refuse(struct admin_conn *conn, const struct admin_refusal *refusal)
{
	struct admin_reply *reply = mem_zalloc(sizeof(*reply));

	conn->closing = true;
	reply->conn = conn;
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

/* EPOLLHUP: the client has closed, so nobody waits for the answer. EPOLLRDHUP alone is a client
 * that has said all it has to say and still listens. */
static void ready(struct watch *watch, uint32_t events)
{
	struct admin_conn *conn = container_of(watch, struct admin_conn, watch);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->can_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		conn->can_write = true;
	if ((conn->state == ADMIN_CONN_ANSWERING || conn->state == ADMIN_CONN_STREAMING) &&
		(events & (EPOLLHUP | EPOLLERR)))
		admin_conn_close(conn);
	else
		admin_conn_run(conn);
}

static void run_again(struct task *task)
{
	admin_conn_run(container_of(task, struct admin_conn, again));
}

int admin_conn_new(struct admin *admin, int fd, struct admin_conn **ret_conn)
{
	struct admin_conn *conn = mem_zalloc(sizeof(*conn));
	int rc;

	conn->admin = admin;
	conn->watch = (struct watch){.fd = fd, .ready = ready};
	conn->timer.fire = timed_out;
	conn->again.run = run_again;
	rc = loop_add(admin->loop, &conn->watch);
	if (rc) {
		close(fd);
		free(conn);
		return rc;
	}
	list_add_tail(&admin->conns, &conn->link);
	admin->n_conns++;
	admin_conn_state_set(conn, ADMIN_CONN_READING);
	*ret_conn = conn;
	return 0;
}

/* Bytes, 0 at the end, or -errno; keeps can_read right. */
static ssize_t receive(struct admin_conn *conn, char *bytes, size_t len)
{
	ssize_t n;

	if (!conn->can_read)
		return -EAGAIN;
	do
		n = recv(conn->watch.fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		conn->can_read = false;
	return -errno;
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
		loop_post(conn->admin->loop, &conn->again);
		return false;
	}
	make_room(conn);
	n = receive(conn, conn->in + conn->in_len, conn->in_size - conn->in_len);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		admin_conn_close(conn);
		return false;
	}
	if (conn->in_len == 0) /* the idle time is over, the request's own begins */
		timer_set(conn->admin->loop, &conn->timer, conn->admin->idle_ms);
	conn->in_len += (size_t)n;
	conn->turn_bytes += (size_t)n;
	return true;
}

static void start_request(struct admin_conn *conn, const struct admin_request *request)
{
	struct admin_reply *reply = mem_zalloc(sizeof(*reply));

	conn->request_bytes = request->bytes;
	conn->closing = !request->keep_alive;
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

/* The steps return true as long as there may be something to go on with. */
static bool step_reading(struct admin_conn *conn)
{
	static const struct admin_refusal busy = {503, "busy",
		"another client is sending a request as big as this: try again when it is done"};
	struct admin_refusal refusal;
	struct admin_request request;
	int rc = 0;

	if (conn->in_len > 0)
		rc = admin_request_parse(&conn->parser, admin_command_body_limit, conn->in,
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
static void forget_request(struct admin_conn *conn)
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

struct admin_peer admin_reply_peer(const struct admin_reply *reply)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!reply->conn ||
		getsockopt(reply->conn->watch.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return (struct admin_peer){UINT32_MAX, 0};
	return (struct admin_peer){peer.uid, peer.pid};
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

static void answered(struct admin_conn *conn)
{
	free(conn->out);
	conn->out = NULL;
	conn->out_size = 0;
	if (conn->closing) {
		shutdown(conn->watch.fd, SHUT_WR);
		admin_conn_state_set(conn, ADMIN_CONN_LINGERING);
		return;
	}
	forget_request(conn);
	admin_conn_state_set(conn, ADMIN_CONN_READING);
}

/* All that was put has been taken. */
static bool step_drained(struct admin_conn *conn)
{
	struct admin_stream *stream = conn->stream;

	if (!stream) {
		answered(conn);
		return true;
	}
	conn->out_len = conn->out_sent = 0;
	timer_clear(&conn->timer);
	if (stream->ops->drained)
		stream->ops->drained(stream->arg);
	return false; /* what it has put starts another run */
}

/* Of both kinds of answer. */
static bool step_writing(struct admin_conn *conn)
{
	ssize_t n;

	if (conn->out_sent == conn->out_len)
		return step_drained(conn);
	if (conn->state == ADMIN_CONN_STREAMING && !timer_is_set(&conn->timer))
		timer_set(conn->admin->loop, &conn->timer, conn->admin->idle_ms);
	if (!conn->can_write)
		return false;
	n = send(conn->watch.fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent,
		MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0) {
		conn->out_sent += (size_t)n;
		timer_set(conn->admin->loop, &conn->timer, conn->admin->idle_ms);
		return true;
	}
	if (errno == EINTR)
		return true;
	if (errno == EAGAIN)
		conn->can_write = false;
	else
		admin_conn_close(conn);
	return false;
}

static bool step_lingering(struct admin_conn *conn)
{
	char waste[4096];
	ssize_t n = receive(conn, waste, sizeof(waste));

	if (n == -EAGAIN)
		return false;
	if (n > 0) {
		conn->thrown_away += (size_t)n;
		if (conn->thrown_away < LINGER_BYTES)
			return true;
	}
	admin_conn_close(conn);
	return false;
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
		case ADMIN_CONN_READING:
			more = step_reading(conn);
			break;
		case ADMIN_CONN_WRITING:
		case ADMIN_CONN_STREAMING:
			more = step_writing(conn);
			break;
		case ADMIN_CONN_LINGERING:
			more = step_lingering(conn);
			break;
		case ADMIN_CONN_ANSWERING:
		case ADMIN_CONN_CLOSED:
			more = false;
			break;
		}
	}
	conn->running = false;
}

void admin_conn_answer(struct admin_conn *conn, const struct admin_reply *reply,
	unsigned int http_status, const char *content_type, const char *body, size_t body_bytes)
{
	struct slice reason = http_status_reason(http_status);
	size_t head_bytes;

	conn->reply = NULL;
	conn->out = mem_alloc(RESPONSE_HEAD_BYTES + body_bytes);
	head_bytes = (size_t)snprintf(conn->out, RESPONSE_HEAD_BYTES,
		"HTTP/1.1 %u %.*s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\n%s%s%s%s%s%s%s\r\n",
		http_status, (int)reason.len, reason.ptr, content_type, body_bytes,
		*reply->allow ? "Allow: " : "", reply->allow, *reply->allow ? "\r\n" : "",
		*reply->etag ? "ETag: \"" : "", reply->etag, *reply->etag ? "\"\r\n" : "",
		conn->closing ? "Connection: close\r\n" : "");
	if (reply->is_head)
		body_bytes = 0;
	memcpy(conn->out + head_bytes, body, body_bytes);
	conn->out_len = head_bytes + body_bytes;
	conn->out_sent = 0;
	admin_conn_state_set(conn, ADMIN_CONN_WRITING);
}
