/* Requests of an HTTP/2 session, and their bodies as streams of bytes: see h2.h. */
#include "http/h2_parts.h"
#include "http/h2_trailers.h"

#include <assert.h>
#include <errno.h>

static const struct stream_ops body_ops;

static void free_later(struct task *task)
{
	struct h2_stream *stream = container_of(task, struct h2_stream, free_task);

	pool_put(&stream->thread->streams, stream);
}

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
	struct h2_stream *stream = pool_get(&h2->thread->streams);

	if (!stream)
		return NULL;
	*stream = (struct h2_stream){
		.body = {.ops = &body_ops,
			.thread = h2->thread->io,
			.watch.fd = -1,
			.can_write = true},
		.h2 = h2,
		.thread = h2->thread,
		.id = id,
		.is_open = true,
		.share = H2_SHARE_BYTES,
		.free_task.run = free_later,
	};
	list_add_tail(&h2->streams, &stream->link);
	h2->n_streams++;
	return stream;
}

/* Bytes nobody will read do not count against the connection any more. */
static void drop_input(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	if (buf_len(&stream->in) &&
		nghttp2_session_consume_connection(h2->session, buf_len(&stream->in)) < 0)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
	buf_drop(&stream->in, &h2->thread->io->bufs);
}

void h2_stream_free(struct h2_stream *stream)
{
	struct bufpool *bufs = &stream->thread->io->bufs;

	list_del(&stream->link);
	list_del(&stream->touched);
	list_del(&stream->blocked);
	buf_drop(&stream->in, bufs);
	buf_drop(&stream->in_trailers, bufs);
	buf_drop(&stream->out_trailers, bufs);
	loop_defer(stream->thread->io->loop, &stream->free_task);
}

/* Also with a request that was not wanted to its end: its owner will see that all is said. An answer that
 * is whole is good, whatever becomes of the request; of a tunnel both directions are. */
static bool is_cut(const struct h2_stream *stream)
{
	if (stream->h2->is_client)
		return !stream->in_ended;
	if (stream->is_tunnel)
		return !stream->in_ended || !stream->end_sent;
	return stream->error != NGHTTP2_NO_ERROR || !stream->end_sent;
}

void h2_stream_closed(struct h2_stream *stream, uint32_t code)
{
	struct h2 *h2 = stream->h2;

	stream->is_open = false;
	h2->n_streams--;
	list_del(&stream->blocked);
	if (stream->is_released) {
		h2_stream_free(stream);
		return;
	}
	stream->error = code;
	if (is_cut(stream))
		stream->body.broken = true;
	if (h2->is_client || stream->is_tunnel)
		stream->body.can_read = true; /* up to the end, or an error */
	if (h2->is_client && stream->in_ended)
		h2_budget_earn(&h2->budget, H2_BUDGET_PER_ANSWER);
	h2_touch(h2, stream);
}

/* --- the request's body */

int h2_stream_put(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	struct buf *in = &stream->in;
	struct bufpool *bufs = &stream->thread->io->bufs;
	int r = buf_hold(in, bufs, len > BUF_SMALL ? BUF_MEDIUM : BUF_SMALL);

	if (r < 0)
		return r;
	if (buf_space(in) < len)
		buf_compact(in);
	if (buf_space(in) < len) {
		r = buf_grow(in, bufs);
		if (r < 0)
			return r;
	}
	/* The window is no larger than the block. */
	if (!buf_append(in, bytes, len))
		return -ENOBUFS;
	stream->body.can_read = true;
	return 0;
}

static ssize_t body_read(struct stream *body, void *bytes, size_t len)
{
	struct h2_stream *stream = h2_stream_of(body);
	struct h2 *h2 = stream->h2;
	struct buf *in = &stream->in;
	size_t n = buf_len(in) < len ? buf_len(in) : len;

	if (n) {
		memcpy(bytes, buf_head(in), n);
		buf_consume(in, (uint32_t)n);
		buf_drop_if_empty(in, &stream->thread->io->bufs);
		body->bytes_in += n;
		body->can_read = buf_len(in) || stream->in_ended || body->broken;
		if (nghttp2_session_consume(h2->session, stream->id, n) < 0)
			h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
		h2_settle_soon(h2);
		return (ssize_t)n;
	}
	if (body->broken)
		return -ECONNRESET;
	if (stream->in_ended) {
		body->read_ended = true;
		return 0;
	}
	body->can_read = false;
	return -EAGAIN;
}

static bool body_has_pending(const struct stream *body)
{
	const struct h2_stream *stream = container_of(body, const struct h2_stream, body);

	return buf_len(&stream->in) || (stream->in_ended && !body->read_ended);
}

bool h2_stream_next_trailer(struct stream *body, struct http_header *ret_trailer)
{
	return h2_trailers_take(&h2_stream_of(body)->in_trailers, ret_trailer);
}

/* --- the answer's body */

bool h2_has_room(struct h2 *h2)
{
	return !h2->is_reading && nghttp2_session_get_remote_window_size(h2->session) > 0 &&
	       h2_make_room(h2, H2_ROOM_MIN);
}

bool h2_stream_has_window(const struct h2_stream *stream)
{
	return stream->is_open &&
	       nghttp2_session_get_stream_remote_window_size(stream->h2->session, stream->id) > 0;
}

bool h2_stream_waits_its_turn(struct h2_stream *stream)
{
	uint64_t data_bytes = stream->h2->data_bytes;
	bool has_moved = data_bytes != stream->seen_data_bytes;

	stream->seen_data_bytes = data_bytes;
	return has_moved && list_is_linked(&stream->blocked) && h2_stream_has_window(stream);
}

bool h2_stream_is_stuck(const struct h2_stream *stream)
{
	const struct h2 *h2 = stream->h2;

	return h2->read_ended && !h2->is_client &&
	       (!h2_stream_has_window(stream) ||
		       nghttp2_session_get_remote_window_size(h2->session) <= 0);
}

static ssize_t wait_for_room(struct h2_stream *stream)
{
	if (h2_stream_is_stuck(stream))
		return -EPIPE;
	stream->body.can_write = false;
	if (!list_is_linked(&stream->blocked))
		list_add_tail(&stream->h2->blocked, &stream->blocked);
	h2_settle_soon(stream->h2);
	return -EAGAIN;
}

/* Sets what the library may take from while it is made to send. All bytes there are; no more than its
 * share are on offer. */
static size_t offer(struct h2_stream *stream, const struct iovec *iov, int n_iov)
{
	size_t n_bytes = 0;
	int i;

	for (i = 0; i < n_iov; i++)
		n_bytes += iov[i].iov_len;
	stream->offered = iov;
	stream->offset = 0;
	stream->n_bytes = n_bytes < stream->share ? n_bytes : stream->share;
	stream->n_taken = 0;
	return n_bytes;
}

static ssize_t body_writev(struct stream *body, const struct iovec *iov, int n_iov, bool more)
{
	struct h2_stream *stream = h2_stream_of(body);
	struct h2 *h2 = stream->h2;
	size_t n_bytes;

	if (body->broken || !stream->is_open || h2->is_broken)
		return -EPIPE;
	if (!stream->share || !h2_stream_has_window(stream) || !h2_has_room(h2))
		return wait_for_room(stream);
	n_bytes = offer(stream, iov, n_iov);
	/* Not deferred when it is asked for the first time: then there is nothing to resume. */
	if (nghttp2_session_resume_data(h2->session, stream->id) == NGHTTP2_ERR_NOMEM)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
	h2_pull(h2);
	stream->offered = NULL;
	if (!stream->n_taken)
		return body->broken ? -EPIPE : wait_for_room(stream);
	body->bytes_out += stream->n_taken;
	stream->share -= (uint32_t)stream->n_taken;
	/* A request has no part in more than a connection: no large blocks for each of them. */
	body->pace.trusted_bytes = 0;
	if (stream->n_taken < n_bytes || !stream->share)
		wait_for_room(stream);
	return (ssize_t)stream->n_taken;
}

static int body_flush(struct stream *body)
{
	return body->broken ? -ECONNRESET : 0;
}

static int body_handshake(struct stream *body)
{
	return 0;
}

static void body_close(struct stream *body, bool abort)
{
	assert(!"a body ends by h2_stream_end() or h2_stream_reset()");
}

static bool body_never(const struct stream *body)
{
	return false;
}

static bool body_can_not(struct stream *body)
{
	return false;
}

static ssize_t body_splice(struct stream *body, int pipe_fd, size_t len)
{
	return -EAGAIN;
}

static const struct stream_ops body_ops = {
	.handshake = body_handshake,
	.read = body_read,
	.writev = body_writev,
	.flush = body_flush,
	.is_sent = body_flush,
	.shutdown = body_flush,
	.has_pending = body_has_pending,
	.close = body_close,
	.may_splice_in = body_never,
	.may_splice_out = body_never,
	.opens_records = body_never,
	.can_splice_in = body_can_not,
	.can_splice_out = body_can_not,
	.splice_in = body_splice,
	.splice_out = body_splice,
};

/* --- the answer's end */

bool h2_stream_put_trailer(struct stream *body, const struct http_header *trailer)
{
	struct h2_stream *stream = h2_stream_of(body);

	return h2_trailers_put(&stream->out_trailers, &stream->thread->io->bufs, trailer->name,
		       trailer->value) == 0;
}

static void release(struct h2_stream *stream)
{
	stream->is_released = true;
	stream->h2->n_owned--;
	stream->body.owner = NULL;
	list_del(&stream->blocked);
	list_del(&stream->touched);
	drop_input(stream);
	if (!stream->is_open)
		h2_stream_free(stream);
}

void h2_stream_close_writing(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	if (stream->out_ended)
		return;
	stream->out_ended = true;
	if (stream->is_open &&
		nghttp2_session_resume_data(h2->session, stream->id) == NGHTTP2_ERR_NOMEM)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
	h2_settle_soon(h2);
}

void h2_stream_end(struct h2_stream *stream)
{
	h2_stream_close_writing(stream);
	h2_settle_soon(stream->h2);
	release(stream);
}

void h2_stream_reset(struct h2_stream *stream, enum h2_reset reason)
{
	static const uint32_t codes[] = {
		[H2_RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR,
		[H2_RESET_CANCEL] = NGHTTP2_CANCEL,
		[H2_RESET_REFUSED] = NGHTTP2_REFUSED_STREAM,
	};
	struct h2 *h2 = stream->h2;

	stream->out_ended = stream->is_reset = true;
	if (stream->is_open && nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id,
				       codes[reason]) < 0)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
	h2_settle_soon(h2);
	release(stream);
}
