/* The way out of one client of the admin API: its answer, and the end. See admin_conn.h. */
#include "control/admin_conn.h"

#include "core/mem.h"
#include "http/h1_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINGER_BYTES = 4 * 1024 * 1024, /* thrown away at most */
	RESPONSE_HEAD_BYTES = 1024,
};

ssize_t admin_conn_receive(struct admin_conn *conn, char *bytes, size_t len)
{
	struct stream *front = conn->front;

	if (!front->can_read && !front->ops->has_pending(front))
		return -EAGAIN;
	return front->ops->read(front, bytes, len);
}

static void answered(struct admin_conn *conn)
{
	free(conn->out);
	conn->out = NULL;
	conn->out_size = conn->out_len = conn->out_sent = 0;
	if (conn->closing) {
		admin_conn_state_set(conn, ADMIN_CONN_LINGERING);
		return;
	}
	admin_conn_forget_request(conn);
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

/* The client takes nothing for the moment, or never will. */
static bool wait_or_close(struct admin_conn *conn, int error)
{
	if (error != -EAGAIN)
		admin_conn_close(conn);
	else if (conn->state == ADMIN_CONN_STREAMING && !timer_is_set(&conn->timer))
		timer_set(conn->admin->io->loop, &conn->timer, conn->admin->idle_ms);
	return false;
}

bool admin_conn_step_writing(struct admin_conn *conn)
{
	struct stream *front = conn->front;
	struct iovec rest = {conn->out + conn->out_sent, conn->out_len - conn->out_sent};
	ssize_t n;

	if (rest.iov_len == 0) {
		n = front->ops->flush(front);
		return n == 0 ? step_drained(conn) : wait_or_close(conn, (int)n);
	}
	n = front->ops->writev(front, &rest, 1, false);
	if (n < 0)
		return wait_or_close(conn, (int)n);
	conn->out_sent += (size_t)n;
	timer_set(conn->admin->io->loop, &conn->timer, conn->admin->idle_ms);
	return true;
}

/* The end of our direction goes out first. */
static int shut(struct admin_conn *conn)
{
	int r = conn->has_shut ? 0 : conn->front->ops->shutdown(conn->front);

	conn->has_shut |= r == 0;
	return r;
}

bool admin_conn_step_lingering(struct admin_conn *conn)
{
	int r = shut(conn);
	char waste[4096];
	ssize_t n;

	if (r < 0 && r != -EAGAIN) {
		admin_conn_close(conn);
		return false;
	}
	n = admin_conn_receive(conn, waste, sizeof(waste));
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

void admin_conn_answer(struct admin_conn *conn, const struct admin_reply *reply,
	unsigned int http_status, const char *content_type, const char *body, size_t body_bytes)
{
	struct slice reason = http_status_reason(http_status);
	size_t head_bytes;

	conn->reply = NULL;
	conn->out = mem_alloc(RESPONSE_HEAD_BYTES + body_bytes);
	head_bytes = (size_t)snprintf(conn->out, RESPONSE_HEAD_BYTES,
		"HTTP/1.1 %u %.*s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
		"%s%s%s%s%s%s%s%s%s\r\n",
		http_status, (int)reason.len, reason.ptr, content_type, body_bytes,
		*reply->allow ? "Allow: " : "", reply->allow, *reply->allow ? "\r\n" : "",
		*reply->etag ? "ETag: \"" : "", reply->etag, *reply->etag ? "\"\r\n" : "",
		reply->asks_for_token ? "WWW-Authenticate: Basic realm=\"sluice\", Bearer\r\n" : "",
		reply->more ? reply->more : "", conn->closing ? "Connection: close\r\n" : "");
	if (reply->is_head)
		body_bytes = 0;
	memcpy(conn->out + head_bytes, body, body_bytes);
	conn->out_len = head_bytes + body_bytes;
	conn->out_sent = 0;
	admin_conn_state_set(conn, ADMIN_CONN_WRITING);
}
