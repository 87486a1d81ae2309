/* Bodies on their way: see pump.h. */
#include "proxy/pump.h"
#include "http/desync.h"
#include "proxy/route.h"

#include <errno.h>

enum {
	SHARE_PER_TURN = 16,       /* reads and writes of up to a buffer */
	COPY_MAX = 4096,           /* chunks up to this size are copied together into one write */
	BULK_FROM = 2 * BUF_SMALL  /* bodies from this length on get larger blocks */
};

void pump_init(struct pump *pump, struct stream *src, struct buf *in, enum http_body kind,
	uint64_t content_length, bool chunked)
{
	struct buf out = pump->out;

	*pump = (struct pump){
		.src = src,
		.in = in,
		.out = out,
		.chunked = chunked,
		.is_bulk = kind != HTTP_BODY_LENGTH || content_length >= BULK_FROM,
	};
	pump->way.in_bulk = kind == HTTP_BODY_LENGTH && pump->is_bulk;
	h1_body_init(&pump->body, kind, content_length);
	pump->body.want_trailers = chunked;
}

void pump_fini(struct pump *pump, struct bufpool *bufs)
{
	buf_drop(&pump->out, bufs);
	if (pump->pipes)
		splice_drop(&pump->way, pump->pipes);
}

static bool has_span(const struct pump *pump)
{
	return pump->span || pump->tail || pump->line_end > pump->line_start;
}

/* Bytes that must be gone before `in` is looked at again. */
static bool is_data_pending(const struct pump *pump)
{
	return has_span(pump) || splice_held_bytes(&pump->way);
}

static bool has_output(const struct pump *pump)
{
	return replay_left(pump->replay) || buf_len(&pump->out) || is_data_pending(pump);
}

static uint32_t take(uint32_t have, size_t *sent)
{
	uint32_t taken = *sent < have ? (uint32_t)*sent : have;

	*sent -= taken;
	return taken;
}

static void account(struct pump *pump, size_t sent)
{
	struct slice tail = H1_CHUNK_TAIL;
	struct replay *replay = pump->replay;
	uint32_t taken;

	if (replay)
		replay_take(replay, take(replay_left(replay), &sent));
	taken = take(buf_len(&pump->out), &sent);
	if (taken) {
		replay_note(replay, buf_head(&pump->out), taken);
		buf_consume(&pump->out, taken);
	}
	taken = take(pump->line_end - pump->line_start, &sent);
	replay_note(replay, pump->line + pump->line_start, taken);
	pump->line_start += (uint8_t)taken;
	taken = take(pump->span, &sent);
	if (taken) {
		replay_note(replay, buf_head(pump->in), taken);
		pump->span -= taken;
		buf_consume(pump->in, taken);
	}
	taken = take(pump->tail, &sent);
	replay_note(replay, tail.ptr + tail.len - pump->tail, taken);
	pump->tail -= (uint8_t)taken;
}

/* Sends what is to be sent again, out, size line, span, chunk tail; PUMP_DONE when all of it is gone. */
static enum pump_result write_bytes(struct pump *pump)
{
	struct slice tail = H1_CHUNK_TAIL;
	struct iovec iov[5];
	ssize_t sent;
	int n;

	while (replay_left(pump->replay) || buf_len(&pump->out) || has_span(pump)) {
		n = 0;
		if (replay_left(pump->replay))
			iov[n++] = (struct iovec){
				buf_head(&pump->replay->sent), replay_left(pump->replay)};
		if (buf_len(&pump->out))
			iov[n++] = (struct iovec){buf_head(&pump->out), buf_len(&pump->out)};
		if (pump->line_end > pump->line_start)
			iov[n++] = (struct iovec){pump->line + pump->line_start,
				(size_t)(pump->line_end - pump->line_start)};
		if (pump->span)
			iov[n++] = (struct iovec){buf_head(pump->in), pump->span};
		if (pump->tail)
			iov[n++] = (struct iovec){
				(char *)tail.ptr + tail.len - pump->tail, pump->tail};
		sent = pump->dst->ops->writev(pump->dst, iov, n, false);
		stream_note_pace(pump->dst, sent);
		if (sent < 0)
			return sent == -EAGAIN ? PUMP_WAITS_DST : PUMP_DST_FAILED;
		account(pump, (size_t)sent);
	}
	return PUMP_DONE;
}

/* And then what is in the pipe. */
static enum pump_result write_output(struct pump *pump)
{
	enum pump_result result = write_bytes(pump);
	int r;

	if (result != PUMP_DONE || !pump->pipes)
		return result;
	r = splice_drain(&pump->way, pump->pipes, pump->dst);
	if (r == -EAGAIN)
		return PUMP_WAITS_DST;
	return r < 0 ? PUMP_DST_FAILED : PUMP_DONE;
}

static bool put_out(struct pump *pump, struct bufpool *bufs, struct slice bytes)
{
	if (buf_hold(&pump->out, bufs, BUF_SMALL) < 0)
		return false;
	/* Trailers may come behind a block full of small chunks. */
	if (buf_space(&pump->out) < bytes.len && buf_grow(&pump->out, bufs) < 0)
		return false;
	return buf_append(&pump->out, bytes.ptr, bytes.len);
}

static bool put_end(struct pump *pump, struct bufpool *bufs)
{
	pump->ended = true;
	if (!pump->chunked)
		return true;
	return put_out(pump, bufs, pump->in_trailers ? H1_CHUNK_TAIL : H1_CHUNK_LAST);
}

static bool put_trailer(struct pump *pump, struct bufpool *bufs, const struct http_header *trailer)
{
	if (!h1_trailer_is_allowed(trailer) || desync_is_found(trailer, pump->unwanted) ||
		(pump->forged && tls_headers_is_removed(pump->forged, trailer->name)) ||
		(pump->rule && route_drops_trailer(pump->rule, trailer)))
		return true;
	if (pump->put_trailer)
		return pump->put_trailer(pump->dst, trailer);
	if (!pump->chunked)
		return true;
	if (!pump->in_trailers && !put_out(pump, bufs, H1_CHUNK_LAST_LINE))
		return false;
	pump->in_trailers = true;
	return put_out(pump, bufs, trailer->name) && put_out(pump, bufs, SLICE(": ")) &&
	       put_out(pump, bufs, trailer->value) && put_out(pump, bufs, SLICE("\r\n"));
}

/* Small chunks are gathered in `out`; true if this one was. */
static bool copy_chunk(struct pump *pump, struct bufpool *bufs, struct slice data)
{
	char line[H1_CHUNK_LINE_BYTES];
	size_t line_len;

	if (data.len > COPY_MAX || buf_hold(&pump->out, bufs, BUF_SMALL) < 0 ||
		buf_space(&pump->out) < data.len + 2 * H1_CHUNK_LINE_BYTES)
		return false;
	line_len = h1_chunk_line(data.len, line);
	buf_append(&pump->out, line, line_len);
	buf_append(&pump->out, data.ptr, data.len);
	buf_append(&pump->out, "\r\n", 2);
	buf_consume(pump->in, (uint32_t)data.len);
	return true;
}

/* True if the span must go out before anything more is looked at. */
static bool put_data(struct pump *pump, struct bufpool *bufs, struct slice data)
{
	h1_body_take(&pump->body, data.len);
	pump->body_bytes += data.len;
	if (!pump->chunked) {
		pump->span = (uint32_t)data.len;
		return true;
	}
	if (copy_chunk(pump, bufs, data))
		return false;
	pump->line_start = 0;
	pump->line_end = (uint8_t)h1_chunk_line(data.len, pump->line);
	pump->span = (uint32_t)data.len;
	pump->tail = (uint8_t)H1_CHUNK_TAIL.len;
	return true;
}

/* Turns what is in `in` into output. PUMP_WAITS_SRC: it is used up. */
static enum pump_result produce(struct pump *pump, struct bufpool *bufs)
{
	union h1_body_out step_out;
	enum h1_body_step step;
	const char *bytes;
	size_t skip;

	for (;;) {
		bytes = pump->in->data ? (const char *)buf_head(pump->in) : ""; /* no block */
		step = h1_body_next(
			&pump->body, bytes, buf_len(pump->in), &skip, &step_out, &pump->error);
		buf_consume(pump->in, (uint32_t)skip);
		switch (step) {
		case H1_BODY_DATA:
			if (pump->max_bytes &&
				pump->body_bytes + step_out.data.len > pump->max_bytes)
				return PUMP_OVER_LIMIT;
			if (put_data(pump, bufs, step_out.data))
				return PUMP_DONE;
			break;
		case H1_BODY_TRAILER:
			if (!put_trailer(pump, bufs, &step_out.trailer))
				return PUMP_NO_MEMORY;
			break;
		case H1_BODY_END:
			return put_end(pump, bufs) ? PUMP_DONE : PUMP_NO_MEMORY;
		case H1_BODY_MORE:
			return PUMP_WAITS_SRC;
		case H1_BODY_ERROR:
			return PUMP_BAD_BODY;
		}
	}
}

/* How much may go through a pipe now, so that not a byte behind the body is taken; 0: copy. */
static uint64_t spliceable_bytes(const struct pump *pump)
{
	uint64_t max = h1_body_ready(&pump->body);

	if (!pump->pipes || pump->chunked || buf_len(pump->in) ||
		(pump->replay && pump->replay->is_whole))
		return 0;
	if (pump->max_bytes && max > pump->max_bytes - pump->body_bytes)
		max = pump->max_bytes - pump->body_bytes;
	return max >= SPLICE_BODY_BYTES ? max : 0;
}

/* As stream_ops.read, with -ENOMEM; -EAGAIN and src->can_read: not this way. */
static ssize_t read_spliced(struct pump *pump, struct bufpool *bufs)
{
	uint64_t max = spliceable_bytes(pump);
	uint32_t size = pace_block_bytes(&pump->dst->pace);
	ssize_t got;

	if (!max || !splice_is_next(&pump->way, pump->pipes, pump->src, pump->dst))
		return -EAGAIN;
	buf_drop(pump->in, bufs);
	got = splice_fill(&pump->way, pump->pipes, pump->src, max < size ? max : size);
	if (got > 0) {
		h1_body_take(&pump->body, (uint64_t)got);
		pump->body_bytes += (uint64_t)got;
	}
	return got;
}

static ssize_t read_copied(struct pump *pump, struct bufpool *bufs)
{
	uint32_t size = pump->is_bulk ? pace_block_bytes(&pump->dst->pace) : BUF_SMALL;
	struct buf *in = pump->in;
	ssize_t got;
	int r;

	if (in->data && in->size != size && !buf_len(in))
		buf_drop(in, bufs);
	r = buf_hold(in, bufs, size);
	if (r < 0)
		return r;
	buf_compact(in);
	got = pump->src->ops->read(pump->src, buf_tail(in), buf_space(in));
	if (got > 0)
		in->end += (uint32_t)got;
	splice_note_copied(&pump->way, got);
	return got;
}

/* The source has ended, where it may. */
static enum pump_result end_with_source(struct pump *pump, struct bufpool *bufs)
{
	struct http_header trailer;

	while (pump->next_trailer && pump->next_trailer(pump->src, &trailer))
		if (!put_trailer(pump, bufs, &trailer))
			return PUMP_NO_MEMORY;
	return put_end(pump, bufs) ? PUMP_DONE : PUMP_NO_MEMORY;
}

/* A sender that writes head and body apart, without TCP_NODELAY, keeps the second one back until the
 * first is acknowledged, which our side would put off by 40 ms on a connection that goes back and forth
 * (RFC 9293 section 3.7.4, RFC 1122 section 4.2.3.2). Once is enough: ACKs are prompt then until we send
 * again. */
static enum pump_result wait_for_source(struct pump *pump, struct bufpool *bufs)
{
	buf_drop_if_empty(pump->in, bufs);
	if (!pump->has_waited)
		stream_ack_now(pump->src);
	pump->has_waited = true;
	return PUMP_WAITS_SRC;
}

/* PUMP_DONE: bytes came (or the body ended with its source). */
static enum pump_result read_input(struct pump *pump, struct bufpool *bufs)
{
	struct stream *src = pump->src;
	struct buf *in = pump->in;
	ssize_t got;

	if (!src->can_read && !src->ops->has_pending(src)) {
		return wait_for_source(pump, bufs);
	}
	if (!pump->dst->can_write) { /* what is read now would only wait here */
		stream_note_pace(pump->dst, -EAGAIN);
		buf_drop_if_empty(in, bufs);
		return PUMP_WAITS_DST;
	}
	got = read_spliced(pump, bufs);
	if (got == -EAGAIN && (src->can_read || src->ops->has_pending(src)))
		got = read_copied(pump, bufs);
	if (got > 0)
		return PUMP_DONE;
	if (got == -ENOMEM)
		return PUMP_NO_MEMORY;
	if (got == -EAGAIN) {
		return wait_for_source(pump, bufs);
	}
	if (got < 0)
		return PUMP_SRC_FAILED;
	if (!h1_body_may_end(&pump->body) || src->truncated)
		return PUMP_SRC_ENDED;
	return end_with_source(pump, bufs);
}

/* It has become too much: the block is of use elsewhere. */
static void drop_replay(struct pump *pump, struct bufpool *bufs)
{
	if (!pump->replay || pump->replay->is_whole || replay_left(pump->replay))
		return;
	replay_end(pump->replay, bufs);
	pump->replay = NULL;
}

enum pump_result pump_run(struct pump *pump, struct bufpool *bufs)
{
	enum pump_result result;
	int share;

	drop_replay(pump, bufs);
	for (share = 0; share < SHARE_PER_TURN; share++) {
		if (!pump->ended && !is_data_pending(pump)) {
			result = produce(pump, bufs);
			if (result != PUMP_DONE && result != PUMP_WAITS_SRC)
				return result;
		}
		if (!has_output(pump) && !pump->ended) {
			result = read_input(pump, bufs);
			if (result != PUMP_DONE)
				return result;
			continue;
		}
		result = write_output(pump);
		if (result != PUMP_DONE)
			return result;
		if (pump->ended)
			return PUMP_DONE;
	}
	return PUMP_SHARE_USED;
}
