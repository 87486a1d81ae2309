/* The target's side of exchanges in HTTP/1: heads are written in front of bodies, and read from the
 * stream that brings them. See struct back_ops. */
#include "proxy/exchange_parts.h"

#include <errno.h>

/* A request without a body lies there, and nothing else, until it is answered. */
static uint32_t block_for(const struct http_request *request, size_t bound)
{
	if (bound > BUF_SMALL)
		return BUF_MEDIUM;
	return bound <= BUF_TINY && request->body == HTTP_BODY_NONE ? BUF_TINY : BUF_SMALL;
}

/* Into up.out. */
static int write_request(
	struct exchange *exchange, const struct http_request *request, const struct h1_write *how)
{
	struct buf *out = &exchange->up.out;
	size_t bound = h1_write_request_bytes(request, how);
	int r = buf_hold(out, &exchange->conn->worker->io.bufs, block_for(request, bound));

	if (r < 0)
		return r;
	r = h1_write_request(request, how, (char *)buf_tail(out), buf_space(out));
	if (r < 0)
		return r;
	out->end += (uint32_t)r;
	exchange->replay_head = (uint32_t)r;
	return 0;
}

static int send_nothing_more(struct exchange *exchange)
{
	return 0;
}

static void sent(struct exchange *exchange)
{
}

static int close_tunnel(struct exchange *exchange)
{
	struct stream *back = exchange->upstream->stream;

	return back->ops->shutdown(back);
}

/* Reads once. BEGUN: more is there. */
static enum exchange_progress read_more(struct exchange *exchange)
{
	struct stream *back = exchange->upstream->stream;
	struct buf *from = &exchange->from;
	ssize_t got;
	int r;

	if (!back->can_read && !back->ops->has_pending(back))
		return EXCHANGE_WAITS;
	r = buf_make_room(from, &exchange->conn->worker->io.bufs);
	if (r < 0) {
		exchange_answer_is_bad(exchange, r);
		return EXCHANGE_OVER;
	}
	got = back->ops->read(back, buf_tail(from), buf_space(from));
	if (got > 0) {
		from->end += (uint32_t)got;
		return EXCHANGE_BEGUN;
	}
	if (got == -EAGAIN) {
		buf_drop_if_empty(from, &exchange->conn->worker->io.bufs);
		return EXCHANGE_WAITS;
	}
	if (got == -EPROTO)
		exchange_target_failed(exchange, CLOSE_target_tls_failed);
	else
		exchange_target_failed(
			exchange, buf_len(from) ? CLOSE_target_bad_response : CLOSE_target_refused);
	return EXCHANGE_OVER;
}

static enum exchange_progress read_response(struct exchange *exchange)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_expected expected = {
		.head_request = exchange->request.method == HTTP_METHOD_HEAD,
		.upgrade_asked = exchange->request.upgrade.len > 0,
	};
	enum exchange_progress progress;
	enum h1_error error;
	int r;

	for (;;) {
		r = -EAGAIN;
		if (buf_len(&exchange->from))
			r = h1_head_response(&exchange->response_head, &limits, &expected,
				(const char *)buf_head(&exchange->from), buf_len(&exchange->from),
				&exchange->response, &error);
		if (r == -EAGAIN) {
			progress = read_more(exchange);
			if (progress != EXCHANGE_BEGUN)
				return progress;
			continue;
		}
		if (r < 0) {
			exchange_answer_is_bad(exchange, r);
			return EXCHANGE_OVER;
		}
		buf_consume(&exchange->from, (uint32_t)r);
		progress = exchange_got_response(exchange);
		if (progress != EXCHANGE_WAITS)
			return progress;
		exchange_lend_response(exchange);
	}
}

const struct back_ops exchange_back_h1 = {
	.write = write_request,
	.send = send_nothing_more,
	.sent = sent,
	.read_response = read_response,
	.close_tunnel = close_tunnel,
};
