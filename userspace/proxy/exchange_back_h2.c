/* The target's side of exchanges in HTTP/2: see exchange_back_h2.h. The head is kept as a list of fields,
 * each two lengths of 16 bits and the text. */
#include "proxy/exchange_back_h2.h"
#include "proxy/exchange_parts.h"
#include "proxy/upstream_h2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { LENGTHS_BYTES = 2 * sizeof(uint16_t), FIELDS_MAX = PROXY_HEADERS_MAX + 128 };

/* --- the head */

static int put(struct exchange *exchange, struct slice name, struct slice value)
{
	uint16_t lengths[2] = {(uint16_t)name.len, (uint16_t)value.len};
	struct buf *head = &exchange->head;

	if (name.len > UINT16_MAX || value.len > UINT16_MAX)
		return -ENOBUFS;
	while (buf_space(head) < LENGTHS_BYTES + name.len + value.len)
		if (buf_grow(head, &exchange->conn->worker->io.bufs) < 0)
			return -ENOBUFS;
	buf_append(head, lengths, LENGTHS_BYTES);
	buf_append(head, name.ptr, name.len);
	buf_append(head, value.ptr, value.len);
	return 0;
}

/* What is about the connection, or has a field of its own in HTTP/2 (RFC 9113 section 8.2.2). */
static bool is_left_out(const struct http_header *header)
{
	const uint64_t fields =
		UINT64_C(1) << HTTP_HEADER_HOST | UINT64_C(1) << HTTP_HEADER_CONNECTION |
		UINT64_C(1) << HTTP_HEADER_TRANSFER_ENCODING | UINT64_C(1) << HTTP_HEADER_UPGRADE |
		UINT64_C(1) << HTTP_HEADER_KEEP_ALIVE |
		UINT64_C(1) << HTTP_HEADER_PROXY_CONNECTION | UINT64_C(1) << HTTP_HEADER_TE;

	return header->flags & HTTP_HEADER_DROPPED || fields >> header->id & 1;
}

static int put_list(struct exchange *exchange, const struct http_header *items, uint32_t n)
{
	uint32_t i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		if (!is_left_out(&items[i]))
			r = put(exchange, items[i].name, items[i].value);
	return r;
}

static int put_length(struct exchange *exchange, const struct http_request *request)
{
	char text[24];
	int len;

	if (request->body != HTTP_BODY_LENGTH ||
		http_headers_find(&request->headers, HTTP_HEADER_CONTENT_LENGTH))
		return 0;
	len = snprintf(text, sizeof(text), "%" PRIu64, request->content_length);
	return put(exchange, SLICE("content-length"), (struct slice){text, (size_t)len});
}

static int write_request(
	struct exchange *exchange, const struct http_request *request, const struct h1_write *how)
{
	const struct target_group *group = exchange->route.group;
	struct slice scheme = group->spec.tls ? SLICE("https") : SLICE("http");
	int r = buf_hold(&exchange->head, &exchange->conn->worker->io.bufs, BUF_SMALL);

	if (request->is_connect) {
		r = r ?: put(exchange, SLICE(":method"), SLICE("CONNECT"));
		r = r ?: put(exchange, SLICE(":protocol"), request->upgrade);
	} else {
		r = r ?: put(exchange, SLICE(":method"), request->method_text);
	}
	r = r ?: put(exchange, SLICE(":scheme"), scheme);
	r = r ?: put(exchange, SLICE(":authority"), request->authority);
	r = r ?: put(exchange, SLICE(":path"), request->target);
	r = r ?: put_list(exchange, request->headers.items, request->headers.len);
	r = r ?: put_list(exchange, how->extra, how->n_extra);
	r = r ?: put_length(exchange, request);
	if (r == 0 && request->te_trailers)
		r = put(exchange, SLICE("te"), SLICE("trailers"));
	return r;
}

static uint32_t read_fields(const struct buf *head, struct http_header fields[static FIELDS_MAX])
{
	const char *at = (const char *)buf_head(head), *end = (const char *)buf_tail(head);
	uint16_t lengths[2];
	uint32_t n;

	for (n = 0; at < end && n < FIELDS_MAX; n++) {
		memcpy(lengths, at, LENGTHS_BYTES);
		at += LENGTHS_BYTES;
		fields[n] = (struct http_header){
			.name = {at, lengths[0]}, .value = {at + lengths[0], lengths[1]}};
		at += lengths[0] + lengths[1];
	}
	return n;
}

static int send_head(struct exchange *exchange)
{
	struct http_header fields[FIELDS_MAX];
	struct h2_ask ask = {
		.fields = fields,
		.n_fields = read_fields(&exchange->head, fields),
		.body = exchange->request.body,
		.content_length = exchange->request.content_length,
		.is_head = exchange->request.method == HTTP_METHOD_HEAD,
		.is_connect = exchange->request.is_connect,
	};

	return upstream_ask(exchange->upstream, &ask);
}

/* --- the rest of the request */

static void sent(struct exchange *exchange)
{
	if (!exchange->request.is_connect)
		h2_stream_close_writing(h2_stream_of(exchange->upstream->stream));
}

static int close_tunnel(struct exchange *exchange)
{
	h2_stream_close_writing(h2_stream_of(exchange->upstream->stream));
	return 0;
}

/* They go with this stream only: to another one, the request cannot be sent again. */
static bool put_trailer(struct stream *back, const struct http_header *trailer)
{
	const struct upstream *upstream = back->owner;
	struct exchange *exchange = upstream->owner;

	exchange->replay.is_whole = false;
	return h2_stream_put_trailer(back, trailer);
}

/* --- the answer */

/* Heads come by exchange_back_h2_response(): what is left are ends. */
static enum exchange_progress read_response(struct exchange *exchange)
{
	const struct upstream *upstream = exchange->upstream;
	enum close_reason reason = CLOSE_target_refused;

	if (!upstream->stream->broken)
		return EXCHANGE_WAITS;
	if (upstream_is_faulty(upstream) || upstream_was_reset(upstream))
		reason = CLOSE_target_bad_response;
	exchange_target_failed(exchange, reason);
	return EXCHANGE_OVER;
}

void exchange_back_h2_response(struct upstream *upstream, const struct http_response *response)
{
	struct exchange *exchange = upstream->owner;

	exchange->response = *response;
	/* After an interim answer, too: the wait for the real one begins anew. */
	if (exchange_got_response(exchange) != EXCHANGE_OVER)
		exchange_run(exchange);
}

const struct back_ops exchange_back_h2 = {
	.write = write_request,
	.send = send_head,
	.sent = sent,
	.read_response = read_response,
	.close_tunnel = close_tunnel,
	.next_trailer = h2_stream_next_trailer,
	.put_trailer = put_trailer,
	.is_h2 = true,
};
