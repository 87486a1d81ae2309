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
	RESPONSE_HEAD_BYTES = 256,
};

/* The time-out of each state. A request has to arrive whole within one: no byte extends it. */
static void change_state(struct admin_conn *conn, enum admin_conn_state state)
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
	case ADMIN_CONN_CLOSED:
		timer_clear(&conn->timer);
		break;
	}
}

static void free_conn(struct task *task)
{
	struct admin_conn *conn = container_of(task, struct admin_conn, free_task);

	free(conn->in);
	free(conn->out);
	free(conn);
}

void admin_conn_close(struct admin_conn *conn)
{
	if (conn->state == ADMIN_CONN_CLOSED)
		return;
	change_state(conn, ADMIN_CONN_CLOSED);
	if (conn->reply)
		conn->reply->conn = NULL;
	loop_del(conn->admin->loop, &conn->watch);
	close(conn->watch.fd);
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
	change_state(conn, ADMIN_CONN_ANSWERING);
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
	if (conn->state == ADMIN_CONN_ANSWERING && (events & (EPOLLHUP | EPOLLERR)))
		admin_conn_close(conn);
	else
		admin_conn_run(conn);
}

int admin_conn_new(struct admin *admin, int fd, struct admin_conn **ret_conn)
{
	struct admin_conn *conn = mem_zalloc(sizeof(*conn));
	int rc;

	conn->admin = admin;
	conn->watch = (struct watch){.fd = fd, .ready = ready};
	conn->timer.fire = timed_out;
	rc = loop_add(admin->loop, &conn->watch);
	if (rc) {
		close(fd);
		free(conn);
		return rc;
	}
	list_add_tail(&admin->conns, &conn->link);
	admin->n_conns++;
	change_state(conn, ADMIN_CONN_READING);
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

static void make_room(struct admin_conn *conn)
{
	if (conn->in_len < conn->in_size)
		return;
	conn->in_size = conn->in_size ? conn->in_size * 2 : IN_BYTES_FIRST;
	if (conn->in_size > ADMIN_REQUEST_BYTES_MAX)
		conn->in_size = ADMIN_REQUEST_BYTES_MAX;
	conn->in = mem_realloc(conn->in, conn->in_size);
}

/* True if bytes came. Closes at the end and on errors. */
static bool read_more(struct admin_conn *conn)
{
	ssize_t n;

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
	return true;
}

static void start_request(struct admin_conn *conn, const struct admin_request *request)
{
	struct admin_reply *reply = mem_zalloc(sizeof(*reply));

	conn->request_bytes = request->bytes;
	conn->closing = !request->keep_alive;
	reply->conn = conn;
	reply->is_head = request->method == ADMIN_HEAD;
	conn->reply = reply;
	change_state(conn, ADMIN_CONN_ANSWERING);
	admin_dispatch(conn->admin, request, reply);
}

/* The steps return true as long as there may be something to go on with. */
static bool step_reading(struct admin_conn *conn)
{
	struct admin_refusal refusal;
	struct admin_request request;
	int rc = 0;

	if (conn->in_len > 0)
		rc = admin_request_parse(&conn->parser, conn->in, conn->in_len, &request, &refusal);
	if (rc > 0)
		start_request(conn, &request);
	else if (rc < 0)
		admin_conn_refuse(conn, &refusal);
	else
		return read_more(conn);
	return true;
}

static void answered(struct admin_conn *conn)
{
	free(conn->out);
	conn->out = NULL;
	if (conn->closing) {
		shutdown(conn->watch.fd, SHUT_WR);
		change_state(conn, ADMIN_CONN_LINGERING);
		return;
	}
	conn->in_len -= conn->request_bytes;
	memmove(conn->in, conn->in + conn->request_bytes, conn->in_len);
	change_state(conn, ADMIN_CONN_READING);
}

static bool step_writing(struct admin_conn *conn)
{
	ssize_t n;

	if (conn->out_sent == conn->out_len) {
		answered(conn);
		return true;
	}
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
	while (more) {
		switch (conn->state) {
		case ADMIN_CONN_READING:
			more = step_reading(conn);
			break;
		case ADMIN_CONN_WRITING:
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
	unsigned int http_status, const char *body, size_t body_bytes)
{
	struct slice reason = http_status_reason(http_status);
	size_t head_bytes;

	conn->reply = NULL;
	conn->out = mem_alloc(RESPONSE_HEAD_BYTES + body_bytes);
	head_bytes = (size_t)snprintf(conn->out, RESPONSE_HEAD_BYTES,
		"HTTP/1.1 %u %.*s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\n%s%s%s%s\r\n",
		http_status, (int)reason.len, reason.ptr, body_bytes, reply->allow ? "Allow: " : "",
		reply->allow ? reply->allow : "", reply->allow ? "\r\n" : "",
		conn->closing ? "Connection: close\r\n" : "");
	if (reply->is_head)
		body_bytes = 0;
	memcpy(conn->out + head_bytes, body, body_bytes);
	conn->out_len = head_bytes + body_bytes;
	conn->out_sent = 0;
	change_state(conn, ADMIN_CONN_WRITING);
}
