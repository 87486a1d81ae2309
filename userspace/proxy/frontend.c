/* accept, PROXY header and verdict, TLS, ALPN, HTTP or tunnel: see frontend.h. */
#define LOG_MODULE "frontend"
#include "proxy/frontend.h"
#include "core/counter.h"
#include "core/log.h"
#include "net/socket.h"
#include "proxy/conn_h2.h"
#include "proxy/connlog.h"
#include "proxy/exchange.h"
#include "proxy/peek.h"
#include "proxy/rules.h"
#include "proxy/tunnel.h"
#include "tls/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, ACCEPTS_LAST = 4096 /* the backlog */, PAUSE_MS = 50 };

/* How long, and for how much, a client is listened to that was told what is wrong with its
 * certificate. */
enum { REFUSED_MS = 2000, REFUSED_BYTES_MAX = 256 * 1024 };

static void resume_accepting(struct timer *timer)
{
	struct acceptor *acceptor = container_of(timer, struct acceptor, pause);

	if (acceptor->worker->overload >= OVERLOAD_PAUSED || acceptor_start(acceptor) < 0)
		timer_set(acceptor->worker->io.loop, timer, PAUSE_MS);
}

/* Nobody can be taken, but somebody waits: being told so every turn would only burn the CPU. Who
 * comes meanwhile waits with the kernel. */
static void pause_accepting(struct acceptor *acceptor)
{
	struct loop *loop = acceptor->worker->io.loop;

	atomic_fetch_add_explicit(&acceptor->worker->node->accept_pauses, 1, memory_order_relaxed);

	loop_del(loop, &acceptor->watch);
	acceptor->pause.fire = resume_accepting;
	timer_set(loop, &acceptor->pause, PAUSE_MS);
}

int acceptor_start(struct acceptor *acceptor)
{
	acceptor->watch.ready = frontend_accept;
	return loop_add_level(acceptor->worker->io.loop, &acceptor->watch);
}

void acceptor_stop(struct acceptor *acceptor)
{
	timer_clear(&acceptor->pause);
	loop_del(acceptor->worker->io.loop, &acceptor->watch);
}

static void accept_some(struct acceptor *acceptor, int max)
{
	uint32_t index = acceptor->worker->io.worker;
	union addr client;
	bool goes_on;
	int fd, n;

	if (!acceptor->listener)
		return;
	for (n = 0; n < max; n++) {
		fd = socket_accept(acceptor->watch.fd, &client);
		if (fd == -EAGAIN)
			return;
		goes_on = overload_accepts_more(acceptor->worker, fd);
		if (fd >= 0) {
			conn_new(acceptor->worker, acceptor->listener, fd, &client,
				&acceptor->socket->addr);
			if (!goes_on && max < ACCEPTS_LAST) {
				pause_accepting(acceptor);
				return;
			}
		} else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
			counter_inc(&listener_counts(acceptor->listener, index)
					->reasons[CLOSE_too_many_files]);
			pause_accepting(acceptor);
			return;
		} /* else: that connection ended before it was accepted */
	}
}

void frontend_accept(struct watch *watch, uint32_t events)
{
	struct acceptor *acceptor = container_of(watch, struct acceptor, watch);

	if (acceptor->worker->overload >= OVERLOAD_PAUSED)
		pause_accepting(acceptor);
	else
		accept_some(acceptor, ACCEPTS_PER_TURN);
}

void frontend_accept_last(struct acceptor *acceptor)
{
	accept_some(acceptor, ACCEPTS_LAST);
}

static bool agreed_on_h2(const struct conn *conn)
{
	struct tls_stream_facts facts;

	tls_stream_facts(conn->front, &facts);
	return strcmp(facts.alpn, "h2") == 0;
}

static void speak_protocol(struct conn *conn)
{
	enum listener_protocol protocol = conn->listener->spec.protocol;

	if (protocol == LISTEN_TLS || protocol == LISTEN_TCP) {
		tunnel_start(conn);
		return;
	}
	if (conn->is_tls && agreed_on_h2(conn)) {
		conn_h2_start(conn, NULL);
		return;
	}
	conn_set_idle(conn);
	if (conn->front->can_read || conn->front->ops->has_pending(conn->front))
		exchange_start(conn);
}

static void count_handshake(struct conn *conn)
{
	struct listener_counts *counts = conn_counts(conn);
	struct tls_stream_facts facts;

	tls_stream_facts(conn->front, &facts);
	if (facts.resumed)
		counter_inc(&counts->handshakes_resumed);
	else
		counter_inc(&counts->handshakes_full);
	if (facts.ticket_refused)
		counter_inc(&counts->tickets_refused);
	counter_add(&counts->handshake_us, facts.handshake_us);
}

/* In TLS 1.3 a client has sent its first request before it can know that its certificate is not
 * taken: closing with that unread would send a RST, which can destroy the alert on its way. */
static bool waits_for_client(const struct conn *conn, enum tls_failure failure)
{
	return failure >= TLS_FAILURE_client_cert_missing &&
	       failure <= TLS_FAILURE_client_cert_bad &&
	       conn->front->ops->flush(conn->front) == 0 &&
	       shutdown(conn->front->watch.fd, SHUT_WR) == 0;
}

static void read_refused(struct conn *conn)
{
	char bytes[4096];
	ssize_t got;

	for (;;) {
		got = stream_recv(conn->front, bytes, sizeof(bytes));
		if (got == -EAGAIN)
			return;
		conn->linger_bytes += got > 0 ? (uint32_t)got : 0;
		if (got > 0 && conn->linger_bytes < REFUSED_BYTES_MAX)
			continue;
		conn_close(conn, CLOSE_handshake_failed);
		return;
	}
}

static void handshake_failed(struct conn *conn)
{
	enum tls_failure failure = tls_stream_failure(conn->front);
	char text[ADDR_TEXT_BYTES];

	/* The socket failed while TLS had nothing against it. */
	if (failure == TLS_FAILURE_none)
		failure = TLS_FAILURE_peer_reset;
	counter_inc(&conn_counts(conn)->tls_failures[failure]);
	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_debug("listener %s: client %s: TLS handshake: %s %s%s%s",
			conn->listener->spec.name, addr_format(&conn->client, text),
			tls_failure_name(failure), tls_stream_failure_detail(conn->front),
			conn->ja4[0] ? " ja4=" : "", conn->ja4);
	connlog_put(conn, tls_failure_name(failure));
	conn->is_refused = true;
	if (!waits_for_client(conn, failure)) {
		conn_close(conn, CLOSE_handshake_failed);
		return;
	}
	conn_set_timeout(conn, REFUSED_MS);
	read_refused(conn);
}

void frontend_handshake(struct conn *conn)
{
	int r;

	if (conn->is_refused) {
		read_refused(conn);
		return;
	}
	r = conn->front->ops->handshake(conn->front);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		handshake_failed(conn);
		return;
	}
	count_handshake(conn);
	connlog_put(conn, NULL);
	speak_protocol(conn);
}

/* Where it goes, or may go. */
static bool sends_proxy(const struct conn *conn)
{
	const struct rules *rules = conn->listener->spec.rules;

	return conn_group(conn)->spec.proxy_out != PROXY_OUT_OFF ||
	       (rules && rules_sends_proxy(rules));
}

void frontend_peeked(struct conn *conn)
{
	const struct listener_spec *spec;
	int fd = conn->peek.fd;

	if (conn->is_tls)
		conn_take_terms(conn);
	spec = &conn->listener->spec;
	conn->peek.fd = -1;
	if (sends_proxy(conn) && !conn->has_header_addrs && socket_local_addr(fd, &conn->local) < 0)
		conn->local = conn->client; /* the connection is gone already */
	if (spec->tls)
		conn->front = tls_stream_server(conn->worker->tls, spec->tls, fd);
	else
		conn->front = plain_stream_new(&conn->worker->io, fd, false);
	if (!conn->front) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	conn->front->owner = conn;
	conn->front->watch.ready = conn_stream_ready;
	if (!spec->tls) {
		speak_protocol(conn);
		return;
	}
	conn_change_state(conn, CONN_HANDSHAKE);
	if (!timer_is_set(&conn->timer)) /* else it began when the first bytes were waited for */
		conn_set_timeout(conn, spec->handshake_ms);
	frontend_handshake(conn);
}

void frontend_start(struct conn *conn)
{
	peek_start(conn);
}
