/* The bytes of an HTTP/2 session, in and out: see h2.h. */
#include "http/h2_parts.h"

enum { READS_PER_TURN = 16 };

/* --- sending */

void h2_flush(struct h2 *h2)
{
	struct stream *io = h2->io;
	struct iovec iov;
	ssize_t sent;
	int r;

	while (buf_len(&h2->out) && !h2->is_broken) {
		iov = (struct iovec){buf_head(&h2->out), buf_len(&h2->out)};
		sent = io->ops->writev(io, &iov, 1, false);
		stream_note_pace(io, sent);
		if (sent == -EAGAIN)
			return;
		if (sent < 0)
			h2_gone(h2);
		else
			buf_consume(&h2->out, (uint32_t)sent);
	}
	r = h2->is_broken ? 0 : io->ops->flush(io);
	if (r < 0 && r != -EAGAIN)
		h2_gone(h2);
	if (!buf_len(&h2->out))
		buf_drop(&h2->out, &h2->thread->io->bufs);
}

bool h2_make_room(struct h2 *h2, uint32_t bytes)
{
	struct buf *out = &h2->out;

	if (out->data && buf_space(out) >= bytes)
		return true;
	if (buf_len(out) && h2->io->can_write)
		h2_flush(h2);
	if (buf_hold(out, &h2->thread->io->bufs, H2_OUT_BYTES) < 0) {
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
		return false;
	}
	if (buf_space(out) < bytes)
		buf_compact(out);
	return !h2->is_broken && buf_space(out) >= bytes;
}

void h2_pull(struct h2 *h2)
{
	int r;

	h2_settle_soon(h2);
	if (h2->is_broken)
		return;
	r = nghttp2_session_send(h2->session);
	if (r < 0) /* no memory, or a callback failed: nothing can be said any more */
		h2_gone(h2);
}

/* --- reading */

/* The library does not go on. */
static void end_by_library(struct h2 *h2, int error)
{
	switch (error) {
	case NGHTTP2_ERR_FLOODED: /* answers to PING and SETTINGS that are not taken */
		h2->flood = H2_COST_ping;
		h2_end(h2, H2_FAULT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
		break;
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		h2->flood = H2_COST_continuation;
		h2_end(h2, H2_FAULT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
		break;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		h2_end(h2, H2_FAULT_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
		break;
	default:
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
		break;
	}
}

/* Streams that begin in the bytes under way are not known yet: theirs are higher. A target's own frames,
 * when we have given up a stream, are what was asked for. */
static bool is_over(const struct h2 *h2, int32_t id)
{
	return !h2->is_client && id && id <= nghttp2_session_get_last_proc_stream_id(h2->session) &&
	       !h2_stream_by_id(h2, id);
}

static void count_frames(struct h2 *h2, const uint8_t *bytes, size_t len)
{
	enum h2_cost cost;
	size_t at = 0;

	while (h2_scan_next(&h2->scan, bytes, len, &at)) {
		cost = h2_scan_cost(&h2->scan, is_over(h2, h2_scan_stream(&h2->scan)));
		if (cost != H2_COSTS)
			h2_spend(h2, cost);
	}
}

void h2_take(struct h2 *h2, const void *bytes, size_t len)
{
	nghttp2_ssize r;

	count_frames(h2, bytes, len);
	if (h2->is_ending)
		return;
	h2->is_reading = true;
	r = nghttp2_session_mem_recv2(h2->session, bytes, len);
	h2->is_reading = false;
	if (r < 0)
		end_by_library(h2, (int)r);
	h2_settle_soon(h2);
}

bool h2_is_held_up(struct h2 *h2)
{
	if (h2_frames_waiting(h2) <= H2_QUEUE_MAX)
		return false;
	h2_pull(h2);
	return h2_frames_waiting(h2) > H2_QUEUE_MAX;
}

/* It waits for a window that nobody will open. */
static bool is_held_for_ever(const struct h2_stream *stream)
{
	return list_is_linked(&stream->blocked) && h2_stream_is_stuck(stream);
}

void h2_cut(struct h2 *h2)
{
	struct h2_stream *stream;
	struct list *link;

	list_for_each(link, &h2->streams) {
		stream = container_of(link, struct h2_stream, link);
		if (stream->is_released || (stream->in_ended && !is_held_for_ever(stream)))
			continue;
		stream->body.broken = true;
		stream->body.can_read = stream->body.can_write = true;
		h2_touch(h2, stream);
	}
}

/* As in HTTP/1: nobody half-closes TLS, but a plain client may have sent its last request and wait for
 * the answer, not with half of another one. What targets have sent whole is still good. */
static void end_reading(struct h2 *h2)
{
	bool waits = h2->n_owned || !h2->head;

	h2->read_ended = true;
	if ((h2->io->ops->is_plain && waits) || h2->is_client)
		h2_cut(h2);
	else
		h2_gone(h2);
}

/* Reads once. False: nothing is there, or nobody wants it. */
static bool read_more(struct h2 *h2)
{
	struct stream *io = h2->io;
	ssize_t got;

	if (h2->is_broken || h2->is_ending || h2->read_ended ||
		(!io->can_read && !io->ops->has_pending(io)))
		return false;
	h2->is_held = h2_is_held_up(h2);
	if (h2->is_held)
		return false;
	got = io->ops->read(io, h2->thread->bytes, H2_READ_BYTES);
	if (got > 0) {
		h2_take(h2, h2->thread->bytes, (size_t)got);
		h2_dispatch(h2);
		return true;
	}
	if (got == 0)
		end_reading(h2);
	else if (got != -EAGAIN)
		h2_gone(h2);
	return false;
}

void h2_run(struct h2 *h2)
{
	int reads;

	if (h2->read_ended && h2->io->broken)
		h2_gone(h2);
	for (reads = 0; reads < READS_PER_TURN; reads++)
		if (!read_more(h2))
			break;
	if (reads == READS_PER_TURN)
		loop_post(h2->thread->io->loop, &h2->read_task);
	h2_settle_soon(h2);
}

void h2_read_on(struct task *task)
{
	h2_run(container_of(task, struct h2, read_task));
}
