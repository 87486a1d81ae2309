/*
 * Answers of the admin API that stay open: see admin.h. What is put waits in the connection's `out`
 * and is sent from the loop, so that no caller of a put ever sees its stream vanish under its hands.
 * Control thread.
 */
#include "control/admin_conn.h"

#include "core/mem.h"
#include "http/h1_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FRAMING_BYTES = H1_CHUNK_LINE_BYTES + 8, /* of a chunk, and the last chunk */
	STREAM_HEAD_BYTES = 256,
	OUT_BYTES_FIRST = 4096,
};

static size_t room(const struct admin_conn *conn)
{
	return ADMIN_STREAM_BYTES_MAX - conn->out_len;
}

/* The caller has made sure that it fits. */
static void append(struct admin_conn *conn, const char *bytes, size_t len)
{
	size_t size = conn->out_size ? conn->out_size : OUT_BYTES_FIRST;

	while (size < conn->out_len + len)
		size *= 2;
	if (size > conn->out_size) {
		conn->out = mem_realloc(conn->out, size);
		conn->out_size = size;
	}
	memcpy(conn->out + conn->out_len, bytes, len);
	conn->out_len += len;
}

static void append_head(
	struct admin_conn *conn, const struct admin_reply *reply, const char *content_type)
{
	char head[STREAM_HEAD_BYTES];
	int len = snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\n%s%s\r\n",
		content_type, reply->http_1_0 ? "" : "Transfer-Encoding: chunked\r\n",
		conn->closing ? "Connection: close\r\n" : "");

	append(conn, head, (size_t)len);
}

struct admin_stream *admin_reply_stream(struct admin_reply *reply, const char *content_type,
	const struct admin_stream_ops *ops, void *arg)
{
	struct admin_conn *conn = reply->conn;
	struct admin_stream *stream = NULL;

	if (conn) {
		conn->reply = NULL;
		conn->out_len = conn->out_sent = 0;
		admin_conn_state_set(conn, ADMIN_CONN_STREAMING);
		append_head(conn, reply, content_type);
		if (!reply->is_head) {
			stream = mem_zalloc(sizeof(*stream));
			*stream = (struct admin_stream){conn, ops, arg, !reply->http_1_0};
		}
		conn->stream = stream;
		loop_post(conn->admin->io->loop, &conn->again);
	}
	free(reply);
	return stream;
}

/* What has been sent already makes room. */
static void compact(struct admin_conn *conn)
{
	if (conn->out_sent == 0)
		return;
	conn->out_len -= conn->out_sent;
	memmove(conn->out, conn->out + conn->out_sent, conn->out_len);
	conn->out_sent = 0;
}

bool admin_stream_put(struct admin_stream *stream, const char *bytes, size_t len)
{
	struct admin_conn *conn = stream->conn;
	char line[H1_CHUNK_LINE_BYTES];

	if (len == 0)
		return true;
	if (room(conn) < len + FRAMING_BYTES)
		compact(conn);
	if (room(conn) < len + FRAMING_BYTES)
		return false;
	if (stream->is_chunked)
		append(conn, line, h1_chunk_line(len, line));
	append(conn, bytes, len);
	if (stream->is_chunked)
		append(conn, H1_CHUNK_TAIL.ptr, H1_CHUNK_TAIL.len);
	loop_post(conn->admin->io->loop, &conn->again);
	return true;
}

static void end(struct admin_conn *conn)
{
	if (conn->stream->is_chunked)
		append(conn, H1_CHUNK_LAST.ptr, H1_CHUNK_LAST.len); /* puts leave room */
	free(conn->stream);
	conn->stream = NULL;
}

void admin_stream_end(struct admin_stream *stream)
{
	struct admin_conn *conn = stream->conn;

	end(conn);
	loop_post(conn->admin->io->loop, &conn->again);
}

void admin_stream_closed(struct admin_conn *conn)
{
	struct admin_stream *stream = conn->stream;

	conn->stream = NULL;
	stream->ops->closed(stream->arg);
	free(stream);
}

void admin_stream_finish_now(struct admin_conn *conn)
{
	struct admin_stream *stream = conn->stream;
	struct iovec rest;

	if (!stream)
		return;
	stream->ops->closed(stream->arg);
	end(conn);
	/* Nobody is left to care whether it arrives: the socket is closed next. */
	rest = (struct iovec){conn->out + conn->out_sent, conn->out_len - conn->out_sent};
	(void)conn->front->ops->writev(conn->front, &rest, 1, false);
}
