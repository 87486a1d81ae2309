/* Byte tunnels: see tunnel.h. */
#include "proxy/tunnel.h"
#include "core/counter.h"
#include "net/stream_arrival.h"
#include "proxy/accesslog.h"
#include "proxy/group_state.h"
#include "tls/stream.h"

#include <errno.h>

enum {
	SHARE_PER_TURN = 16, /* moves of up to a buffer or a pipe */
};

enum flow_result {
	FLOW_WAITS,
	FLOW_ENDED,
	FLOW_SHARE_USED,
	FLOW_CUT,
	FLOW_SRC_FAILED,
	FLOW_DST_FAILED,
};

/* Tells the other side that this direction is over. */
static enum flow_result end_flow(struct tunnel_flow *flow)
{
	int r = flow->dst->ops->shutdown(flow->dst);

	if (r == -EAGAIN)
		return FLOW_WAITS;
	flow->ended = true;
	return r < 0 && r != -ENOTCONN ? FLOW_DST_FAILED : FLOW_ENDED;
}

static enum flow_result write_buf(struct tunnel_flow *flow)
{
	struct iovec iov;
	ssize_t sent;

	while (buf_len(&flow->buf)) {
		iov = (struct iovec){buf_head(&flow->buf), buf_len(&flow->buf)};
		sent = flow->dst->ops->writev(flow->dst, &iov, 1, false);
		stream_note_pace(flow->dst, sent);
		if (sent < 0)
			return sent == -EAGAIN ? FLOW_WAITS : FLOW_DST_FAILED;
		buf_consume(&flow->buf, (uint32_t)sent);
	}
	return FLOW_ENDED;
}

/* FLOW_ENDED: nothing is held any more. */
static enum flow_result write_out(struct tunnel_flow *flow, struct proxy_worker *worker)
{
	enum flow_result result = write_buf(flow);
	int r;

	if (result != FLOW_ENDED)
		return result;
	r = splice_drain(&flow->way, &worker->pipes, flow->dst);
	if (r == -EAGAIN)
		return FLOW_WAITS;
	return r < 0 ? FLOW_DST_FAILED : FLOW_ENDED;
}

/* As stream_ops.read. */
static ssize_t read_in(struct tunnel_flow *flow, struct proxy_worker *worker)
{
	uint32_t size = pace_block_bytes(&flow->dst->pace);
	ssize_t got;
	int r;

	if (splice_is_next(&flow->way, &worker->pipes, flow->src, flow->dst)) {
		buf_drop(&flow->buf, &worker->io.bufs);
		got = splice_fill(&flow->way, &worker->pipes, flow->src, size);
		if (got != -EAGAIN || !flow->src->can_read)
			return got;
	}
	if (flow->buf.data && flow->buf.size != size)
		buf_drop(&flow->buf, &worker->io.bufs);
	r = buf_hold(&flow->buf, &worker->io.bufs, size);
	if (r < 0)
		return r;
	got = flow->src->ops->read(flow->src, flow->buf.data, flow->buf.size);
	if (got > 0)
		flow->buf.end = (uint32_t)got;
	splice_note_copied(&flow->way, got);
	return got;
}

/* Nobody must take a TLS stream without close_notify for the whole (RFC 8446 6.1), so the other side
 * gets a RST; what came before it gets, too, and the kernel would throw that away. */
static enum flow_result cut_flow(struct tunnel_flow *flow, struct proxy_worker *worker)
{
	flow->cut = true;
	buf_drop(&flow->buf, &worker->io.bufs);
	return stream_await(flow->dst, STREAM_DELIVERED) == -EAGAIN ? FLOW_CUT : FLOW_SRC_FAILED;
}

static enum flow_result move(struct tunnel_flow *flow, struct proxy_worker *worker)
{
	struct bufpool *bufs = &worker->io.bufs;
	struct stream *src = flow->src;
	enum flow_result result;
	ssize_t got;
	int share;

	for (share = 0; share < SHARE_PER_TURN; share++) {
		result = write_out(flow, worker);
		if (result != FLOW_ENDED)
			return result;
		if (src->read_ended) {
			buf_drop(&flow->buf, bufs);
			return end_flow(flow);
		}
		if (!flow->dst->can_write)
			stream_note_pace(flow->dst, -EAGAIN);
		if (!flow->dst->can_write || (!src->can_read && !src->ops->has_pending(src))) {
			buf_drop(&flow->buf, bufs);
			return FLOW_WAITS;
		}
		got = read_in(flow, worker);
		if (got < 0 && got != -EAGAIN && src->truncated)
			return cut_flow(flow, worker);
		if (got < 0 && got != -EAGAIN)
			return FLOW_SRC_FAILED;
		if (got == -EAGAIN) {
			buf_drop(&flow->buf, bufs);
			return FLOW_WAITS;
		}
	}
	return FLOW_SHARE_USED;
}

static enum flow_result run_flow(struct tunnel *tunnel, struct tunnel_flow *flow)
{
	struct proxy_worker *worker = tunnel->conn->worker;
	int r;

	if (flow->ended)
		return FLOW_ENDED;
	if (flow->is_broken)
		return FLOW_WAITS;
	if (flow->cut)
		return cut_flow(flow, worker);
	r = flow->dst->can_write ? flow->dst->ops->flush(flow->dst) : -EAGAIN;
	if (r == -EAGAIN)
		return FLOW_WAITS;
	if (r < 0)
		return FLOW_DST_FAILED;
	return move(flow, worker);
}

/* Which side failed decides the reason: the flow's source or its destination. */
static bool flow_failed(
	struct tunnel *tunnel, const struct tunnel_flow *flow, enum flow_result result)
{
	enum close_reason reason = CLOSE_target_closed;

	if (result != FLOW_SRC_FAILED && result != FLOW_DST_FAILED)
		return false;
	if (tunnel->upstream && tunnel->upstream->group->spec.tls &&
		tls_stream_failure(tunnel->upstream->stream) != TLS_FAILURE_none)
		reason = CLOSE_target_tls_failed;
	else if ((result == FLOW_SRC_FAILED) == (flow == &tunnel->to_target))
		reason = tunnel->conn->front->truncated ? CLOSE_client_gone : CLOSE_client_reset;
	conn_close(tunnel->conn, reason);
	return true;
}

/* It may have said something before it went: the client gets all of that, and a RST behind it, for what it
 * sent itself was not taken. */
static enum flow_result target_takes_no_more(struct tunnel *tunnel)
{
	struct tunnel_flow *up = &tunnel->to_target;

	up->is_broken = true;
	buf_drop(&up->buf, &tunnel->conn->worker->io.bufs);
	up->dst->can_read = true;
	return FLOW_WAITS;
}

static void tunnel_run(struct tunnel *tunnel)
{
	struct conn *conn = tunnel->conn;
	enum flow_result up, down;

	up = run_flow(tunnel, &tunnel->to_target);
	if (up == FLOW_DST_FAILED)
		up = target_takes_no_more(tunnel);
	down = run_flow(tunnel, &tunnel->to_client);
	if (tunnel->to_target.is_broken && (down == FLOW_ENDED || down == FLOW_SRC_FAILED))
		down = cut_flow(&tunnel->to_client, conn->worker);
	if (flow_failed(tunnel, &tunnel->to_target, up) ||
		flow_failed(tunnel, &tunnel->to_client, down))
		return;
	if (tunnel->to_target.ended && tunnel->to_client.ended) {
		conn_close(conn, CLOSE_done);
		return;
	}
	/* Whoever was cut off is gone: the time-out that runs is the limit for its bytes. */
	if (up != FLOW_CUT && down != FLOW_CUT)
		conn_set_timeout(conn, conn->listener->spec.idle_ms);
	if (up == FLOW_SHARE_USED || down == FLOW_SHARE_USED)
		loop_post(conn->worker->io.loop, &tunnel->resume_task);
}

static void resume(struct task *task)
{
	struct tunnel *tunnel = container_of(task, struct tunnel, resume_task);

	tunnel_run(tunnel);
}

static void go_up(struct tunnel *tunnel)
{
	struct stream *front = tunnel->conn->front, *back = tunnel->upstream->stream;

	tunnel->to_target.src = tunnel->to_client.dst = front;
	tunnel->to_target.dst = tunnel->to_client.src = back;
	tunnel->is_up = true;
	tunnel_run(tunnel);
}

static void find_target(struct tunnel *tunnel);

/* Nothing was sent yet: that costs the targets nothing, and no budget. */
static bool may_retry(const struct tunnel *tunnel)
{
	struct target_group *group = conn_group(tunnel->conn);
	uint32_t worker = tunnel->conn->worker->io.worker;

	if (tunnel->tries > group->spec.retry.attempts)
		return false;
	counter_inc(&group->spec.state->workers[worker].retries);
	return true;
}

static void target_ready(struct upstream *upstream)
{
	outlier_note_answer(upstream->group, upstream->target, upstream->worker->io.worker, 200, 0);
	go_up(upstream->owner);
}

static void target_failed(struct upstream *upstream, enum close_reason reason)
{
	struct tunnel *tunnel = upstream->owner;

	tunnel->upstream = NULL;
	if (tunnel->is_up || !may_retry(tunnel)) {
		conn_close(tunnel->conn, reason);
		return;
	}
	balance_note_tried(&tunnel->tried, upstream->target);
	upstream_put(upstream, UPSTREAM_END_ABORT); /* it counts no more against limits */
	find_target(tunnel);
}

static void target_event(struct upstream *upstream)
{
	tunnel_run(upstream->owner);
}

static const struct upstream_ops upstream_ops = {
	.ready = target_ready,
	.failed = target_failed,
	.event = target_event,
};

static void find_target(struct tunnel *tunnel)
{
	struct conn *conn = tunnel->conn;
	struct upstream_client client = conn_as_client(conn);
	struct target_group *group = conn_group(conn);
	struct balance_ask ask = {.tried = &tunnel->tried};
	int r;

	if (group->spec.algorithm == BALANCE_CONSISTENT_HASH)
		ask.key = balance_key(&group->spec.key, NULL, &conn->client);
	do {
		tunnel->tries++;
		r = upstream_get(conn->worker, group, &ask, &client, &upstream_ops, tunnel, true,
			&tunnel->upstream);
	} while (r < 0 && r != -ENOENT && r != -EBUSY && may_retry(tunnel));
	if (r < 0)
		conn_close(conn, upstream_refusal(r));
}

static struct tunnel *tunnel_new(struct conn *conn)
{
	struct tunnel *tunnel = pool_get(&conn->worker->tunnels);

	if (!tunnel)
		return NULL;
	*tunnel = (struct tunnel){
		.conn = conn,
		.resume_task.run = resume,
	};
	conn->tunnel = tunnel;
	conn_change_state(conn, CONN_TUNNEL);
	return tunnel;
}

void tunnel_start(struct conn *conn)
{
	struct tunnel *tunnel = tunnel_new(conn);

	if (!tunnel) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	conn_set_timeout(conn, conn->listener->spec.idle_ms);
	find_target(tunnel);
}

static void end_note(struct conn *conn, struct accesslog_note *note, enum close_reason reason)
{
	if (!note)
		return;
	note->record.reason = reason;
	accesslog_put(note, conn, conn->listener, conn->front->bytes_in, conn->front->bytes_out);
}

void tunnel_adopt(struct conn *conn, struct upstream *upstream, struct buf *from_client,
	struct buf *from_target, struct accesslog_note *note)
{
	struct tunnel *tunnel = tunnel_new(conn);

	if (!tunnel) {
		end_note(conn, note, CLOSE_out_of_memory);
		upstream_put(upstream, UPSTREAM_END_ABORT);
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	tunnel->upstream = upstream;
	tunnel->note = note;
	upstream->ops = &upstream_ops;
	upstream->owner = tunnel;
	tunnel->to_target.buf = *from_client;
	tunnel->to_client.buf = *from_target;
	*from_client = *from_target = (struct buf){0};
	go_up(tunnel);
}

void tunnel_front_event(struct tunnel *tunnel)
{
	struct conn *conn = tunnel->conn;
	struct stream *front = conn->front;

	if (tunnel->is_up)
		tunnel_run(tunnel);
	/* A reset is found by reading; not while the target takes nothing, or before there is one. */
	if (conn->state == CONN_TUNNEL && front->broken && !tunnel->to_client.ended &&
		!list_is_linked(&tunnel->resume_task.link))
		conn_close(conn, CLOSE_client_reset);
}

static void free_memory(struct proxy_worker *worker, struct tunnel_flow *flow)
{
	buf_drop(&flow->buf, &worker->io.bufs);
	splice_drop(&flow->way, &worker->pipes);
}

void tunnel_free(struct tunnel *tunnel, enum close_reason reason)
{
	struct proxy_worker *worker = tunnel->conn->worker;
	bool in_order = tunnel->to_target.ended && tunnel->to_client.ended;

	end_note(tunnel->conn, tunnel->note, reason);
	task_cancel(&tunnel->resume_task);
	free_memory(worker, &tunnel->to_target);
	free_memory(worker, &tunnel->to_client);
	if (tunnel->upstream)
		upstream_put(tunnel->upstream, in_order ? UPSTREAM_END_CLOSE : UPSTREAM_END_ABORT);
	pool_put(&worker->tunnels, tunnel);
}
