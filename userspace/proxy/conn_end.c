/* How the connection of an HTTP client ends in order: see conn.h. */
#include "net/stream_arrival.h"
#include "proxy/conn.h"
#include "proxy/conn_h2.h"
#include "proxy/exchange.h"

#include <errno.h>

enum { LINGER_MS = 3000, LINGER_BYTES_MAX = 1024 * 1024 };

/* Takes what still comes and throws it away: closing with bytes unread would send a RST, which
 * can destroy the answer on its way (RFC 9112 section 9.6). */
static void discard_input(struct conn *conn)
{
	struct stream *front = conn->front;
	char bytes[4096];
	ssize_t got;

	while (!conn->client_over && (front->can_read || front->ops->has_pending(front))) {
		got = front->ops->read(front, bytes, sizeof(bytes));
		if (got == -EAGAIN)
			break;
		conn->linger_bytes += got > 0 ? (uint32_t)got : 0;
		conn->client_over = got <= 0 || conn->linger_bytes > LINGER_BYTES_MAX;
	}
}

/* What the stream took goes out first, however slowly the client reads, also one that has ended its
 * own side. */
void conn_linger_event(struct conn *conn)
{
	int r = conn->front_ended ? 0 : conn->front->ops->shutdown(conn->front);

	if (r < 0 && r != -EAGAIN) {
		/* A plain one was handed all before: the client has only gone first. */
		if (conn->end_reason == CLOSE_done && !conn->front->ops->is_plain)
			conn->end_reason = CLOSE_client_reset;
		conn_close(conn, conn->end_reason);
		return;
	}
	if (r == 0 && !conn->front_ended) {
		conn->front_ended = true;
		conn_set_timeout(conn, LINGER_MS);
	}
	discard_input(conn);
	if (conn->front_ended && conn->client_over)
		conn_close(conn, conn->end_reason);
}

/* There may be no event for long while a slow client takes what fills a large socket buffer. */
void conn_linger_timed_out(struct conn *conn)
{
	uint64_t acked_bytes = stream_acked_bytes(conn->front);

	if (conn->front_ended || acked_bytes == conn->linger_acked_bytes) {
		conn_close(conn, conn->front_ended ? conn->end_reason : CLOSE_idle_timeout);
		return;
	}
	conn->linger_acked_bytes = acked_bytes;
	conn_set_timeout(conn, conn->listener->spec.idle_ms);
}

static void start_lingering(struct conn *conn, enum close_reason reason, bool waits_for_client)
{
	if (conn->exchange)
		exchange_free(conn->exchange);
	conn->exchange = NULL;
	conn_h2_free(conn, reason);
	conn->end_reason = reason;
	conn->client_over = !waits_for_client;
	conn_change_state(conn, CONN_LINGER);
	conn_set_timeout(conn, conn->listener->spec.idle_ms);
	conn_linger_event(conn);
	if (conn->state == CONN_LINGER && !conn->front_ended)
		conn->linger_acked_bytes = stream_acked_bytes(conn->front);
}

void conn_linger(struct conn *conn, enum close_reason reason)
{
	start_lingering(conn, reason, true);
}

void conn_end(struct conn *conn, enum close_reason reason)
{
	if (conn->front->ops->is_plain)
		conn_close(conn, reason);
	else
		start_lingering(conn, reason, false);
}
