/* The request's half of an exchange: head, limits, headers for the target, target. */
#include "proxy/exchange_back_h2.h"
#include "proxy/exchange_grpc.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_parts.h"
#include "proxy/exchange_tunnel.h"
#include "core/clock.h"
#include "core/counter.h"
#include "core/hash.h"
#include "core/line.h"
#include "proxy/conn_terms.h"

#include <errno.h>

enum { PORT_TEXT_BYTES = 5 };

static enum close_reason reason_of_status(unsigned int status)
{
	switch (status) {
	case 413:
		return CLOSE_body_too_large;
	case 414:
	case 431:
		return CLOSE_header_too_large;
	default:
		return CLOSE_bad_request;
	}
}

void exchange_refuse(struct exchange *exchange, unsigned int status)
{
	exchange_answer(exchange, status, reason_of_status(status));
}

static bool wants_body_over_limit(const struct exchange *exchange)
{
	uint64_t max = exchange_spec(exchange)->max_body_bytes;

	return max && exchange->request.body == HTTP_BODY_LENGTH &&
	       exchange->request.content_length > max;
}

static struct slice port_text(const struct conn *conn, char text[static PORT_TEXT_BYTES])
{
	struct line line = {.bytes = text, .size = PORT_TEXT_BYTES};

	line_put_number(&line, addr_port(&conn->local));
	return (struct slice){text, line.len};
}

static struct slice client_text(const struct exchange *exchange, char text[static ADDR_TEXT_BYTES])
{
	const union addr *client = &exchange->conn->client;

	return slice_of(exchange_spec(exchange)->http.client_port ? addr_format(client, text)
								  : addr_format_host(client, text));
}

/* What a rule sets or removes is as it says. */
static struct http_origin_terms origin_terms(const struct exchange *exchange)
{
	struct http_origin_terms terms = exchange_spec(exchange)->http.origin;
	const struct rules_rule *rule = exchange->route.rule;

	if (!rule)
		return terms;
	if (route_decides(rule, HTTP_HEADER_FORWARDED))
		terms.forwarded = HTTP_RFC7239_PRESERVE;
	if (route_decides(rule, HTTP_HEADER_X_REQUEST_ID))
		terms.request_id = HTTP_REQUEST_ID_OFF;
	if (route_decides(rule, HTTP_HEADER_X_AMZN_TRACE_ID))
		terms.trace_id = false;
	return terms;
}

/* Fills `ret_extra`, of HTTP_ORIGIN_EXTRA. The number, or -ENOBUFS. */
static int tell_origin(const struct exchange *exchange, struct http_request *request,
	struct slice client, char *scratch, struct http_header *ret_extra)
{
	const struct http_origin_terms terms = origin_terms(exchange);
	struct http_origin origin = {.client = client};

	if (terms.forwarded == HTTP_RFC7239_PRESERVE && !terms.request_id && !terms.trace_id)
		return 0;
	origin.scheme = exchange->conn->is_tls ? SLICE("https") : SLICE("http");
	origin.host = exchange->request.authority;
	origin.unix_s = (uint32_t)clock_unix_s();
	if (terms.request_id || terms.trace_id)
		hash_random(origin.random, sizeof(origin.random));
	return http_origin_apply(
		&request->headers, &terms, &origin, scratch, TOLD_TEXT_BYTES, ret_extra);
}

/* The request as the target gets it. 0, or -ENOBUFS, -ENOMEM, -EINVAL: the rule made of
 * it what is none. The exchange keeps it as it came. */
static int write_request(struct exchange *exchange, const struct rules_match *match)
{
	struct conn *conn = exchange->conn;
	struct http_request changed = exchange->request, *request = &changed;
	const struct tls_headers *tls_headers = &exchange_spec(exchange)->tls_headers;
	struct http_header
		extra[HTTP_FORWARDED_EXTRA + HTTP_ORIGIN_EXTRA + TLS_HEADERS + RULES_EDITS_MAX + 1];
	char client[ADDR_TEXT_BYTES], port[PORT_TEXT_BYTES], key[WEBSOCKET_KEY_BYTES];
	char *scratch = conn->worker->told_text;
	struct http_forwarded forwarded = {
		.mode = exchange_spec(exchange)->http.x_forwarded_for,
		.proto_mode = exchange_spec(exchange)->http.x_forwarded_proto,
		.client = client_text(exchange, client),
		.scheme = conn->is_tls ? SLICE("https") : SLICE("http"),
		.port = port_text(conn, port),
	};
	struct h1_write how = {.extra = extra};
	int n, edits;

	edits = route_rewrite(&exchange->route, match, conn, request, extra);
	exchange_log_rewritten(exchange, request, edits);
	if (edits < 0)
		return edits;
	/* HTTP/1.0 may leave Host out, HTTP/1.1 to the target may not (RFC 9112 section 3.2). */
	if (!request->authority.len)
		request->authority = slice_of(exchange->route.group->spec.name);
	if (request->upgrade.len)
		how.connection = H1_CONNECTION_UPGRADE;
	else if (exchange->strict.is_last)
		how.connection = H1_CONNECTION_CLOSE;
	http_headers_drop_hop_by_hop(&request->headers);
	n = http_forwarded_apply(
		&request->headers, &forwarded, scratch, TOLD_TEXT_BYTES, extra + edits);
	if (n < 0)
		return n;
	how.n_extra = (uint32_t)(edits + n);
	n = tell_origin(exchange, request, forwarded.client, scratch + TOLD_TEXT_BYTES,
		extra + how.n_extra);
	if (n < 0)
		return n;
	how.n_extra += (uint32_t)n;
	exchange_log_told(exchange, extra, how.n_extra);
	if (tls_headers->any && conn->is_tls)
		how.n_extra += tls_headers_fill(
			tls_headers, conn->front, conn_is_vouched_for(conn), extra + how.n_extra);
	how.n_extra += exchange_tunnel_asks(exchange, extra + how.n_extra, key);
	return exchange->back->write(exchange, request, &how);
}

/* What of it came later than the head is kept for that, where it may come to it: 64 KiB at most. */
static void keep_sent(struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;
	uint64_t bytes = REPLAY_BYTES_MAX;

	if (request->body == HTTP_BODY_LENGTH)
		bytes = exchange->replay_head + request->content_length;
	/* What a target that speaks HTTP/2 has not looked at may be sent again in any case. */
	if (exchange->replayable ||
		(!exchange->back->is_h2 && !replay_is_harmless(request->method)) ||
		!exchange->route.group->spec.retry.attempts || request->upgrade.len)
		return;
	replay_begin(&exchange->replay, &exchange->conn->worker->io.bufs, bytes);
	exchange->up.replay = &exchange->replay;
}

/* A request that is here as a whole can be sent a second time. */
static void note_replay(struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;

	exchange->replay_start = exchange->in.start;
	exchange->replay_end = exchange->in.end;
	exchange->replayable = request->body == HTTP_BODY_NONE ||
			       (request->body == HTTP_BODY_LENGTH &&
				       request->content_length <= buf_len(&exchange->in));
}

/* False: it goes nowhere, and was answered. What clients forge is not there for rules either. */
static bool find_route(struct exchange *exchange, struct rules_match *ret_match)
{
	struct http_header items[ROUTE_ANSWER_HEADERS];
	struct conn *conn = exchange->conn;
	struct http_response response;
	struct slice body;
	int r;

	tls_headers_remove(&exchange_spec(exchange)->tls_headers, &exchange->request.headers);
	route_find(conn, &exchange->request, ret_match, &exchange->route);
	if (exchange->route.is_undecided) {
		exchange_answer(exchange, 400, CLOSE_rules_undecided);
		return false;
	}
	if (exchange->route.retry_after_s) {
		exchange_answer(exchange, 429, CLOSE_rate_limited);
		return false;
	}
	if (exchange->route.group)
		return true;
	r = route_answer(
		&exchange->route, ret_match, conn, &exchange->request, items, &response, &body);
	if (r == -EINVAL)
		exchange_answer(exchange, 400, CLOSE_bad_request);
	else if (r < 0)
		exchange_answer(exchange, 414, CLOSE_header_too_large);
	else if (exchange->request.is_connect && response.status / 100 == 2)
		exchange_refuse(exchange, 501); /* to the client it would be the tunnel */
	else
		exchange_respond(exchange, &response, body);
	return false;
}

/* What the request says about its target: as it came, for rules may take out headers, and the head may
 * be gone when it is tried again. */
static void note_choice(struct exchange *exchange)
{
	struct target_group *group = exchange->route.group;

	if (group->spec.algorithm == BALANCE_CONSISTENT_HASH)
		exchange->balance_key =
			balance_key(&group->spec.key, &exchange->request, &exchange->conn->client);
	if (group->spec.sticky.type != STICKY_OFF)
		sticky_find(group, &exchange->request.headers, clock_unix_s(), &exchange->sticky);
}

static void refuse_unwritten(struct exchange *exchange, int error)
{
	if (error == -ENOMEM)
		exchange_answer(exchange, 503, CLOSE_out_of_memory);
	else if (error == -EINVAL)
		exchange_answer(exchange, 400, CLOSE_bad_request);
	else
		exchange_answer(exchange, 431, CLOSE_header_too_large);
}

void exchange_got_head(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	const struct listener_spec *spec = exchange_spec(exchange);
	struct rules_match match;
	int r;

	exchange->parsed = true;
	exchange->is_grpc = exchange_grpc_is_call(&exchange->request);
	conn->requests++;
	counter_inc(&conn_counts(conn)->requests);
	exchange_log_request(exchange);
	if (!exchange_strict_admit(exchange) || !exchange_tunnel_admit(exchange))
		return;
	if (conn->worker->overload >= OVERLOAD_SHED) {
		exchange_answer(exchange, 503, CLOSE_overloaded);
		return;
	}
	if (wants_body_over_limit(exchange)) {
		exchange_answer(exchange, 413, CLOSE_body_too_large);
		return;
	}
	if (!find_route(exchange, &match) || !exchange_grpc_admit(exchange))
		return;
	exchange->back = exchange->route.group->spec.version == GROUP_HTTP1 ? &exchange_back_h1
									    : &exchange_back_h2;
	if (!exchange_tunnel_convert(exchange))
		return;
	note_choice(exchange);
	r = write_request(exchange, &match);
	if (r < 0) {
		refuse_unwritten(exchange, r);
		return;
	}
	note_replay(exchange);
	pump_init(&exchange->up, exchange->front, &exchange->in, exchange_body_kind(exchange),
		exchange->request.content_length,
		exchange->request.body == HTTP_BODY_CHUNKED && !exchange->back->is_h2);
	exchange->up.pipes = &conn->worker->pipes;
	exchange->up.put_trailer = exchange->back->put_trailer;
	exchange->up.body.want_trailers = exchange->request.body == HTTP_BODY_CHUNKED;
	exchange->up.next_trailer = exchange->ops->next_trailer;
	exchange->up.max_bytes = spec->max_body_bytes;
	exchange->up.unwanted = exchange_strict_unwanted(exchange);
	exchange->up.forged = &spec->tls_headers;
	exchange->up.rule = exchange->route.rule;
	keep_sent(exchange);
	exchange_find_target(exchange, false);
}

static void target_ready(struct upstream *upstream);
static void target_failed(struct upstream *upstream, enum close_reason reason);

static void target_event(struct upstream *upstream)
{
	struct exchange *exchange = upstream->owner;
	int r = upstream->stream->ops->flush(upstream->stream); /* the pump may be done with it */

	if (r < 0 && r != -EAGAIN)
		exchange->up_broken = true;
	exchange_run(exchange);
}

static const struct upstream_ops upstream_ops = {
	.ready = target_ready,
	.failed = target_failed,
	.event = target_event,
	.response = exchange_back_h2_response,
};

static void send_request(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	int r = exchange->back->send(exchange);

	if (r == -EAGAIN)
		return;
	if (r == -EOPNOTSUPP) {
		exchange_answer(exchange, 502, CLOSE_target_no_connect);
		return;
	}
	if (r < 0) {
		exchange_target_failed(
			exchange, r == -ENOMEM ? CLOSE_out_of_memory : CLOSE_target_refused);
		return;
	}
	counter_inc(&upstream->target->workers[exchange->conn->worker->io.worker].requests);
	exchange->sent_us = loop_now_us(exchange->conn->worker->io.loop);
	exchange->up.dst = upstream->stream;
	exchange->state = EXCHANGE_RESPONSE;
	exchange_log_sent(exchange);
	exchange_run(exchange);
}

static void target_ready(struct upstream *upstream)
{
	send_request(upstream->owner);
}

static void target_failed(struct upstream *upstream, enum close_reason reason)
{
	exchange_target_failed(upstream->owner, reason);
}

void exchange_find_target(struct exchange *exchange, bool fresh)
{
	struct conn *conn = exchange->conn;
	struct upstream_client client = conn_as_client(conn);
	struct target_group *group = exchange->route.group;
	struct balance_ask ask = {.tried = &exchange->tried};
	enum close_reason reason;
	int r;

	exchange->state = EXCHANGE_TARGET;
	exchange->is_noted = false;
	exchange->n_interim = 0;
	if (!exchange->tries)
		retry_note_request(
			group, conn->worker->io.worker, loop_now_ms(conn->worker->io.loop));
	ask.key = exchange->balance_key;
	ask.stick = exchange->sticky.target;
	do {
		exchange->tries++;
		r = upstream_get(conn->worker, group, &ask, &client, &upstream_ops, exchange, fresh,
			&exchange->upstream);
	} while (r < 0 && r != -ENOENT && r != -EBUSY && exchange_take_retry(exchange, false));
	if (r < 0) {
		reason = upstream_refusal(r);
		exchange_answer(exchange, reason == CLOSE_target_refused ? 502 : 503, reason);
		return;
	}
	exchange_log_target(exchange);
	/* The connection has a time-out of its own, after which another target may be tried. */
	exchange_set_timeout(exchange, group->spec.connect_ms + group->spec.response_ms);
	if (exchange->upstream->state == UPSTREAM_LENT)
		send_request(exchange);
}
