/* Exchanges in HTTP/2: see exchange_h2.h and struct front_ops. */
#include "proxy/exchange_h2.h"
#include "proxy/exchange_grpc.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_own.h"
#include "proxy/exchange_parts.h"

static const struct front_ops h2_front;

static struct h2_stream *stream_of(const struct exchange *exchange)
{
	return h2_stream_of(exchange->front);
}

static void set_timeout(struct exchange *exchange, uint32_t after_ms)
{
	struct loop *loop = exchange->conn->worker->io.loop;

	exchange->conn->active_ms = loop_now_ms(loop);
	if (after_ms)
		timer_set(loop, &exchange->timer, after_ms);
	else
		timer_clear(&exchange->timer);
}

/* An answer among many to a slow client may have nothing to do for long. */
static void timed_out(struct timer *timer)
{
	struct exchange *exchange = container_of(timer, struct exchange, timer);
	bool answers = exchange->state == EXCHANGE_BODY || exchange->state == EXCHANGE_ANSWER;

	if (answers && h2_stream_waits_its_turn(stream_of(exchange)))
		set_timeout(exchange, exchange_spec(exchange)->idle_ms);
	else
		exchange_timed_out(exchange);
}

void exchange_h2_start(struct conn *conn, struct h2_stream *stream,
	const struct http_request *request, unsigned int refusal)
{
	struct exchange *exchange = exchange_new(conn, &h2_front, &stream->body);

	if (!exchange)
		return;
	stream->body.owner = exchange;
	exchange->timer.fire = timed_out;
	exchange->request = *request;
	exchange->parsed = true;
	if (refusal)
		exchange_log_refused(exchange);
	if (refusal)
		exchange_strict_refuse_h2(exchange, refusal);
	else
		exchange_got_head(exchange);
}

static int interim(struct exchange *exchange)
{
	return h2_stream_interim(stream_of(exchange), &exchange->response);
}

static bool push_interim(struct exchange *exchange)
{
	return true; /* the session has it */
}

static bool put_trailer(struct stream *front, const struct http_header *trailer)
{
	exchange_verdict_trailer(front->owner, trailer);
	return h2_stream_put_trailer(front, trailer);
}

static int begin(struct exchange *exchange, const struct http_header *extra, uint32_t n_extra)
{
	struct http_response response = exchange->response;
	struct pump *down = &exchange->down;
	int r;

	/* There may be trailers behind a known length. */
	response.body =
		exchange->is_tunnel ? HTTP_BODY_UNTIL_CLOSE : exchange_answer_kind(exchange);
	stream_of(exchange)->is_tunnel = exchange->is_tunnel;
	r = h2_stream_respond(
		stream_of(exchange), &response, extra, n_extra, response.body == HTTP_BODY_NONE);
	if (r < 0)
		return r;
	pump_init(down, exchange->upstream->stream, &exchange->from, response.body,
		response.content_length, false);
	down->dst = exchange->front;
	if (exchange->is_tunnel)
		return 0;
	down->next_trailer = exchange->back->next_trailer;
	down->put_trailer = put_trailer;
	down->body.want_trailers = true;
	return 0;
}

static void add(struct http_headers *headers, struct slice name, struct slice value)
{
	/* There is room for what answer() has. */
	if (http_headers_add(headers, name, value) < 0)
		return;
}

static int respond(
	struct exchange *exchange, const struct http_response *response, struct slice body)
{
	struct bufpool *bufs = &exchange->conn->worker->io.bufs;
	struct buf *out = &exchange->down.out;
	int r = h2_stream_respond(stream_of(exchange), response, NULL, 0, !body.len);

	if (r < 0 || !body.len)
		return r;
	r = buf_hold(out, bufs, body.len > BUF_SMALL ? BUF_MEDIUM : BUF_SMALL);
	if (r < 0)
		return r;
	return buf_append(out, body.ptr, body.len) ? 0 : -ENOBUFS;
}

/* Who calls by gRPC looks at nothing else; its message is the text that others get. */
static int answer_call(struct exchange *exchange, unsigned int status)
{
	char text[HTTP_CANNED_TEXT_BYTES], date[HTTP_DATE_BYTES];
	struct http_response response = {.status = 200, .body = HTTP_BODY_NONE};
	struct slice message = {text, http_canned_text(status, text) - 1}; /* no line end */
	struct http_header items[4 + EXCHANGE_OWN_HEADERS];
	char own[EXCHANGE_OWN_TEXT_BYTES];

	http_headers_lend(&response.headers, items, array_len(items));
	add(&response.headers, SLICE("date"), slice_of(http_date(time(NULL), date)));
	add(&response.headers, SLICE("content-type"), SLICE("application/grpc"));
	add(&response.headers, SLICE("grpc-status"), exchange_grpc_code(status));
	add(&response.headers, SLICE("grpc-message"), message);
	response.headers.len += exchange_own_headers(exchange, items + response.headers.len, own);
	return respond(exchange, &response, (struct slice){text, 0});
}

static int answer_text(struct exchange *exchange, unsigned int status, bool is_head)
{
	char text[HTTP_CANNED_TEXT_BYTES], date[HTTP_DATE_BYTES];
	struct http_response response = {.status = (uint16_t)status, .body = HTTP_BODY_LENGTH};
	struct http_header items[4 + EXCHANGE_OWN_HEADERS];
	char own[EXCHANGE_OWN_TEXT_BYTES];

	response.content_length = http_canned_text(status, text);
	http_headers_lend(&response.headers, items, array_len(items));
	add(&response.headers, SLICE("date"), slice_of(http_date(time(NULL), date)));
	add(&response.headers, SLICE("content-type"), SLICE("text/plain; charset=utf-8"));
	add(&response.headers, SLICE("cache-control"), SLICE("no-store"));
	if (status == 405)
		add(&response.headers, SLICE("allow"), SLICE(HTTP_CANNED_ALLOW));
	response.headers.len += exchange_own_headers(exchange, items + response.headers.len, own);
	return respond(exchange, &response,
		(struct slice){text, is_head ? 0 : (size_t)response.content_length});
}

static int answer(struct exchange *exchange, unsigned int status, bool is_head)
{
	return exchange->is_grpc ? answer_call(exchange, status)
				 : answer_text(exchange, status, is_head);
}

static int close_tunnel(struct exchange *exchange)
{
	h2_stream_close_writing(stream_of(exchange));
	return 0;
}

static void finished(struct exchange *exchange)
{
	struct h2_stream *stream = stream_of(exchange);

	exchange_free(exchange);
	h2_stream_end(stream);
}

/* The others on the connection go on. */
static void fail(struct exchange *exchange, enum close_reason reason)
{
	struct h2_stream *stream = stream_of(exchange);
	/* Of a tunnel, it stands for the RST of TCP (RFC 8441 section 5). */
	bool is_cancelled = reason == CLOSE_idle_timeout || exchange->is_tunnel;

	if (stream->is_faulty && (reason == CLOSE_client_reset || reason == CLOSE_client_gone)) {
		reason = CLOSE_bad_request;
		exchange_strict_note_h2(exchange);
	}
	conn_count_reason(exchange->conn, reason);
	exchange_log_reason(exchange, reason);
	exchange_free(exchange);
	h2_stream_reset(stream, is_cancelled ? H2_RESET_CANCEL : H2_RESET_INTERNAL);
}

static const struct front_ops h2_front = {
	.next_trailer = h2_stream_next_trailer,
	.set_timeout = set_timeout,
	.interim = interim,
	.push_interim = push_interim,
	.begin = begin,
	.respond = respond,
	.answer = answer,
	.close_tunnel = close_tunnel,
	.finished = finished,
	.fail = fail,
};
