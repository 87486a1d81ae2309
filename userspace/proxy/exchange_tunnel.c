/* WebSockets from one version of HTTP to another: see exchange_tunnel.h. */
#include "proxy/exchange_tunnel.h"
#include "core/hash.h"
#include "proxy/exchange_parts.h"

#include <errno.h>

/* --- the handshake */

bool exchange_tunnel_admit(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;

	if (exchange_spec(exchange)->http.upgrades)
		return true;
	request->upgrade = SLICE(""); /* and the headers for it are hop by hop */
	if (!request->is_connect)
		return true;
	exchange_refuse(
		exchange, 501); /* the listener's settings have changed since it was offered */
	return false;
}

uint32_t exchange_tunnel_asks(struct exchange *exchange, struct http_header *ret_header,
	char key[static WEBSOCKET_KEY_BYTES])
{
	if (!exchange->request.is_connect || exchange->back->is_h2)
		return 0;
	hash_random(exchange->nonce, sizeof(exchange->nonce));
	websocket_key(exchange->nonce, key);
	*ret_header = (struct http_header){.name = SLICE("Sec-WebSocket-Key"),
		.id = HTTP_HEADER_SEC_WEBSOCKET_KEY,
		.value = {key, WEBSOCKET_KEY_BYTES - 1}};
	return 1;
}

/* The key of the client's own handshake, which ends here (RFC 8441 section 5.1). */
static bool take_key(struct exchange *exchange)
{
	struct http_headers *headers = &exchange->request.headers;
	const struct http_header *key = http_headers_find(headers, HTTP_HEADER_SEC_WEBSOCKET_KEY);

	if (!key || http_headers_next(headers, key) ||
		!websocket_nonce(key->value, exchange->nonce))
		return false;
	http_headers_drop(headers, HTTP_HEADER_SEC_WEBSOCKET_KEY);
	return true;
}

/* Other protocols are left out, as all that is hop by hop. */
bool exchange_tunnel_convert(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;

	if (!exchange->back->is_h2 || request->is_connect ||
		!slice_eq_nocase(request->upgrade, SLICE("websocket")))
		return true;
	if (request->method != HTTP_METHOD_GET || request->body != HTTP_BODY_NONE ||
		!take_key(exchange)) {
		exchange_answer(exchange, 400, CLOSE_bad_request);
		return false;
	}
	request->is_connect = true;
	request->upgrade = SLICE("websocket");
	return true;
}

uint32_t exchange_tunnel_tells(const struct exchange *exchange, struct http_header *ret_header,
	char accept[static WEBSOCKET_ACCEPT_BYTES])
{
	if (!exchange->is_tunnel || exchange->conn->h2)
		return 0;
	websocket_accept(exchange->nonce, accept);
	*ret_header = (struct http_header){.name = SLICE("Sec-WebSocket-Accept"),
		.id = HTTP_HEADER_SEC_WEBSOCKET_ACCEPT,
		.value = slice_of(accept)};
	return 1;
}

/* As a client has to do (RFC 6455 section 4.1); ours has not seen the key. */
static bool is_accepted(const struct exchange *exchange)
{
	const struct http_headers *headers = &exchange->response.headers;
	const struct http_header *accept =
		http_headers_find(headers, HTTP_HEADER_SEC_WEBSOCKET_ACCEPT);
	char expected[WEBSOCKET_ACCEPT_BYTES];

	websocket_accept(exchange->nonce, expected);
	return accept && !http_headers_next(headers, accept) &&
	       slice_eq(accept->value, slice_of(expected)) &&
	       slice_eq_nocase(exchange->response.upgrade, SLICE("websocket"));
}

int exchange_tunnel_answered(struct exchange *exchange)
{
	struct http_response *response = &exchange->response;
	bool is_success = response->status / 100 == 2;

	if (exchange->back->is_h2) {
		exchange->is_tunnel = is_success;
	} else if (response->status == 101) {
		if (!is_accepted(exchange))
			return -EPROTO;
		exchange->is_tunnel = true;
	} else if (is_success) {
		return -EPROTO; /* to the client it would be the tunnel */
	}
	if (!exchange->is_tunnel)
		return 0;
	http_headers_drop(&response->headers, HTTP_HEADER_SEC_WEBSOCKET_ACCEPT);
	http_headers_drop(&response->headers, HTTP_HEADER_CONTENT_LENGTH); /* means nothing here */
	response->status = exchange->conn->h2 ? 200 : 101;
	if (!exchange->conn->h2) {
		response->upgrade = SLICE("websocket");
		exchange->keep_client = false;
	}
	return 0;
}

/* --- bytes */

void exchange_tunnel_begin(struct exchange *exchange)
{
	struct pump *up = &exchange->up;

	exchange_count_answer(exchange);
	exchange_verdict_settle(exchange);
	pump_init(up, exchange->front, &exchange->in, HTTP_BODY_UNTIL_CLOSE, 0, false);
	up->dst = exchange->upstream->stream;
	exchange->up_done = exchange->up_broken = false;
}

static void post_resume(struct exchange *exchange)
{
	loop_post(exchange->conn->worker->io.loop, &exchange->resume_task);
}

/* Has this direction come to its end, and both sides know? Errors: -ECONNRESET: its source failed, -EPIPE:
 * its destination did, -ENOMEM. */
static int run_flow(struct exchange *exchange, struct pump *pump)
{
	switch (pump_run(pump, &exchange->conn->worker->io.bufs)) {
	case PUMP_DONE:
		return 1;
	case PUMP_SHARE_USED:
		post_resume(exchange);
		return 0;
	case PUMP_WAITS_SRC:
	case PUMP_WAITS_DST:
		return 0;
	case PUMP_DST_FAILED:
		return -EPIPE;
	case PUMP_NO_MEMORY:
		return -ENOMEM;
	default:
		return -ECONNRESET;
	}
}

/* The client's bytes. `up_done`: the target knows that no more come. */
static int run_up(struct exchange *exchange)
{
	int r = 1;

	if (exchange->up_done || exchange->up_broken)
		return 0;
	if (!exchange->up.ended || buf_len(&exchange->up.out))
		r = run_flow(exchange, &exchange->up);
	if (r == 1) {
		r = exchange->back->close_tunnel(exchange);
		if (r == -EAGAIN)
			return 0;
		exchange->up_done = r == 0;
		exchange->up_broken = r < 0;
		return 0;
	}
	/* A target that takes no more may have said something before it went. */
	if (r != -EPIPE)
		return r;
	exchange->up_broken = true;
	exchange->upstream->stream->can_read = true;
	return 0;
}

/* The target's bytes. */
static int run_down(struct exchange *exchange)
{
	int r = 1;

	if (exchange->down_done)
		return 0;
	if (!exchange->down.ended || buf_len(&exchange->down.out))
		r = run_flow(exchange, &exchange->down);
	if (r != 1)
		return r;
	r = exchange->ops->close_tunnel(exchange);
	if (r == -EAGAIN)
		return 0;
	exchange->down_done = r == 0;
	return r < 0 ? -EPIPE : 0;
}

static void end(struct exchange *exchange)
{
	upstream_put(exchange->upstream, UPSTREAM_END_CLOSE);
	exchange->upstream = NULL;
	exchange->ops->finished(exchange);
}

void exchange_tunnel_run(struct exchange *exchange)
{
	int up = run_up(exchange), down = up < 0 ? 0 : run_down(exchange);

	if (up == -ENOMEM || down == -ENOMEM)
		exchange->ops->fail(exchange, CLOSE_out_of_memory);
	else if (up < 0 || down == -EPIPE)
		exchange->ops->fail(exchange, CLOSE_client_reset);
	else if (down < 0 || (exchange->down_done && exchange->up_broken))
		exchange->ops->fail(exchange, CLOSE_target_closed);
	else if (exchange->down_done && exchange->up_done)
		end(exchange);
	else
		exchange_set_timeout(exchange, exchange_spec(exchange)->idle_ms);
}
