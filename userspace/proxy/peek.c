/*
 * The first bytes of a connection: see peek.h. Most often they are all there at accept, and one
 * look is all there is to it; only a connection whose bytes are still to come enters the loop.
 */
#include "proxy/peek.h"
#include "proxy/connlog.h"
#include "core/counter.h"
#include "gate/gate.h"
#include "gate/judge.h"
#include "proxy/frontend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* What is looked at first: more than most clients send. */
enum { FIRST_BYTES = 4096 };

/* NULL: nothing is judged. */
static struct gate_worker *gate_of(const struct conn *conn)
{
	return conn->listener->spec.policy ? conn->worker->gate : NULL;
}

static void choose_route(struct conn *conn, struct slice server_name)
{
	const struct listener_spec *spec = &conn->listener->spec;
	uint32_t route;

	if (spec->n_route_groups &&
		gate_names_find(spec->policy->names, server_name, &route) == 0 &&
		route < spec->n_route_groups)
		conn->route_group = spec->route_groups[route];
}

static void believe_header(struct conn *conn, const union addr *client, const union addr *local)
{
	conn->has_header_addrs = true;
	conn->client = *client;
	conn->local = *local;
	addr_unmap(&conn->client);
	addr_unmap(&conn->local);
}

/* All is well: takes the PROXY header off, so that what comes behind it is the stream's to read. */
static void go_on(struct conn *conn, size_t header_bytes)
{
	if (header_bytes && recv(conn->peek.fd, conn->worker->peek_bytes, header_bytes, 0) !=
				    (ssize_t)header_bytes) {
		conn_close(conn, CLOSE_proxy_header_bad);
		return;
	}
	if (conn->peek.ready)
		loop_del(conn->worker->io.loop, &conn->peek);
	frontend_peeked(conn);
}

/* --- judging */
static enum close_reason close_reason_of(enum gate_reason reason)
{
	if (reason == GATE_proxy_header_bad)
		return CLOSE_proxy_header_bad;
	return reason == GATE_proxy_header_missing ? CLOSE_proxy_header_missing
						   : CLOSE_gate_refused;
}

/* An alert only arrives for sure if nothing is left unread: closing would send a RST behind it. */
static void refuse(struct conn *conn, const struct gate_judgement *judgement)
{
	uint8_t alert[GATE_ALERT_BYTES];
	size_t n = gate_alert(conn->listener->spec.policy, judgement, alert);

	if (n && recv(conn->peek.fd, conn->worker->peek_bytes, PEEK_BYTES_MAX, MSG_TRUNC) > 0)
		conn->told_why = send(conn->peek.fd, alert, n, MSG_NOSIGNAL) == (ssize_t)n;
	if (conn->is_tls)
		connlog_put_early(conn,
			&(struct connlog_early){
				.failure =
					close_reason_rows[close_reason_of(judgement->reason)].name,
				.detail = gate_reason_rows[judgement->reason].name,
				.server_name = judgement->hello.server_name,
				.alert = conn->told_why ? alert[n - 1] : 0,
			});
	conn_close(conn, close_reason_of(judgement->reason));
}

static int judge(struct conn *conn, const uint8_t *bytes, size_t len)
{
	const struct gate_policy *policy = conn->listener->spec.policy;
	struct gate_worker *gate = conn->worker->gate;
	struct gate_judgement judgement;
	int r;

	r = gate_judge(policy, conn->is_judged ? NULL : gate->node->limits, &conn->client, bytes,
		len, gate->scratch, loop_now_us(conn->worker->io.loop), &judgement);
	if (r < 0) {
		conn->peek_needs = (uint32_t)gate_judge_needs(&judgement, bytes, len);
		return r;
	}
	if (!conn->is_judged || judgement.reason != GATE_released)
		gate_worker_note(gate, policy, &judgement, &conn->client, &conn->local, true);
	memcpy(conn->ja4, judgement.ja4, sizeof(conn->ja4));
	if (judgement.reason != GATE_released) {
		refuse(conn, &judgement);
		return 0;
	}
	choose_route(conn, judgement.hello.server_name);
	if (judgement.local.any.sa_family != AF_UNSPEC)
		believe_header(conn, &judgement.client, &judgement.local);
	go_on(conn, judgement.proxy_bytes);
	return 0;
}

/* --- without judging: what else the first bytes tell */
/* The length of the header, 0 if there is none and needs none, -EAGAIN; -ECANCELED: closed. */
static int find_header(
	struct conn *conn, const uint8_t *bytes, size_t len, struct proxyproto *ret_header)
{
	enum proxy_in proxy_in = conn->listener->spec.proxy_in;
	int r;

	if (proxy_in == PROXY_IN_OFF)
		return 0;
	r = proxyproto_parse(bytes, len, ret_header, NULL);
	if (r > 0 || r == -EAGAIN)
		return r;
	if (r == -ENOMSG && proxy_in != PROXY_IN_REQUIRE)
		return 0;
	conn_close(conn, r == -ENOMSG ? CLOSE_proxy_header_missing : CLOSE_proxy_header_bad);
	return -ECANCELED;
}

static int read_on(struct conn *conn, const uint8_t *bytes, size_t len)
{
	struct proxyproto header;
	int header_len = find_header(conn, bytes, len, &header);

	if (header_len < 0)
		return header_len == -EAGAIN ? -EAGAIN : 0;
	if (header_len && header.has_addrs)
		believe_header(conn, &header.src, &header.dst);
	go_on(conn, (size_t)header_len);
	return 0;
}

/* --- looking */
/* Bytes that are there, as many as `size`; none: the connection is closed, or has to wait. */
static size_t look(struct conn *conn, size_t size, int flags)
{
	ssize_t got;

	do
		got = recv(conn->peek.fd, conn->worker->peek_bytes, size, MSG_PEEK | flags);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return (size_t)got;
	if (got == 0 || errno != EAGAIN)
		conn_close(conn, got < 0 ? CLOSE_client_reset : CLOSE_client_gone);
	return 0;
}

static bool is_settled(struct conn *conn, size_t size, size_t *ret_got)
{
	const uint8_t *bytes = conn->worker->peek_bytes;
	size_t got = look(conn, size, 0);
	int r = -EAGAIN;

	if (got)
		r = gate_of(conn) ? judge(conn, bytes, got) : read_on(conn, bytes, got);
	*ret_got = got;
	return r == 0 || conn->state == CONN_CLOSED;
}

/* True: the connection has gone on, or is closed. */
static bool try_bytes(struct conn *conn)
{
	size_t got;

	/* With MSG_TRUNC nothing is copied. */
	if (conn->peek_needs && look(conn, conn->peek_needs, MSG_TRUNC) < conn->peek_needs)
		return conn->state == CONN_CLOSED;
	if (is_settled(conn, FIRST_BYTES, &got))
		return true;
	return got == FIRST_BYTES && is_settled(conn, PEEK_BYTES_MAX, &got);
}

static void peek_ready(struct watch *watch, uint32_t events)
{
	struct conn *conn = container_of(watch, struct conn, peek);

	if (try_bytes(conn) || !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	/* What came before a reset can be read all the same. */
	conn_close(conn, events & EPOLLERR ? CLOSE_client_reset : CLOSE_client_gone);
}

static void wait_for_bytes(struct conn *conn)
{
	conn->peek.ready = peek_ready;
	conn_set_timeout(conn, conn->listener->spec.handshake_ms);
	if (loop_add(conn->worker->io.loop, &conn->peek) < 0)
		conn_close(conn, CLOSE_out_of_memory);
}

/*
 * Whether the gate let it in a moment ago: then limits were charged. The bytes are judged all the
 * same, since the mark is of the client and says nothing of them: a segment that came around the
 * gate may have made this socket, and what the gate let in come too late.
 */
static bool was_judged(struct conn *conn, struct gate_worker *gate)
{
	if (gate_released_take(gate->node->released, &conn->client,
		    conn->listener->spec.policy->spec.listener_id,
		    loop_now_us(conn->worker->io.loop)))
		return true;
	counter_inc(&gate->counts.reasons[GATE_ungated]);
	return false;
}

void peek_start(struct conn *conn)
{
	const struct listener_spec *spec = &conn->listener->spec;
	struct gate_worker *gate = gate_of(conn);

	if (gate)
		conn->is_judged = was_judged(conn, gate);
	if (!gate && spec->proxy_in == PROXY_IN_OFF)
		frontend_peeked(conn);
	else if (!try_bytes(conn))
		wait_for_bytes(conn);
}
