/*
 * An HTTP/2 session against any bytes, cut anywhere, with answers of several kinds (at once, late,
 * with a body, with trailers, behind interim ones, reset, an echo of the request) and an output that
 * takes little, takes nothing, or breaks. Requests that come up must be fit for HTTP/1.1; what waits for
 * the client stays within bounds; when the session is freed nothing is left.
 */
#include "fuzz_h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Frames: those it goes on reading with, those that one read calls for, and a few per stream. */
enum { QUEUE_BOUND = H2_QUEUE_MAX + STEP_MAX / 9 + 4 * H2_STREAMS_MAX };

static void check_request(const struct http_request *request)
{
	struct slice host;
	uint16_t port;

	check(syntax_is_token(request->method_text));
	check(request->target.len && syntax_all(request->target, SYNTAX_TARGET));
	check(request->target.ptr[0] == '/' || slice_eq(request->target, SLICE("*")));
	check(syntax_authority(request->authority, &host, &port) == 0);
	check_headers(&request->headers);
}

/* What is done with a request, by its number. */
enum {
	ANSWER_NOW,
	ANSWER_BODY,
	ANSWER_ECHO,
	ANSWER_TRAILERS,
	ANSWER_RESET,
	ANSWER_INTERIM,
	ANSWERS
};

static int kind_of(const struct h2_stream *stream)
{
	return stream->id / 2 % ANSWERS;
}

static bool begin(struct h2_stream *stream, bool ends)
{
	struct http_header items[2];
	struct http_response response = {.status = 200, .body = HTTP_BODY_CHUNKED};

	http_headers_lend(&response.headers, items, 2);
	check(http_headers_add(&response.headers, SLICE("X-One"), SLICE("1")) == 0);
	return h2_stream_respond(stream, &response, NULL, 0, ends) == 0;
}

/* As many as there may be, but for those that are sent meanwhile. */
static void send_interim(struct h2_stream *stream)
{
	struct http_header items[1];
	struct http_response response = {.status = 103};
	uint32_t n;
	int r;

	http_headers_lend(&response.headers, items, 1);
	check(http_headers_add(&response.headers, SLICE("Link"), SLICE("</a>; rel=preload")) == 0);
	for (r = 0, n = 0; r == 0; n++) {
		check(n < H2_INTERIM_BYTES_MAX);
		r = h2_stream_interim(stream, &response);
	}
	check(r == -ENOBUFS || r == -EPIPE);
}

static void end(struct h2_stream *stream)
{
	stream->body.owner = NULL;
	h2_stream_end(stream);
}

static void reset(struct h2_stream *stream)
{
	stream->body.owner = NULL;
	h2_stream_reset(stream, H2_RESET_CANCEL);
}

static void request(
	struct h2_stream *stream, const struct http_request *request, unsigned int refusal)
{
	if (!refusal)
		check_request(request);
	stream->body.owner = &io;
	if (kind_of(stream) == ANSWER_INTERIM)
		send_interim(stream);
	if (kind_of(stream) == ANSWER_RESET)
		reset(stream);
	else if (!begin(stream, kind_of(stream) == ANSWER_NOW))
		reset(stream);
	else if (kind_of(stream) == ANSWER_NOW)
		end(stream);
}

/* False: it is over. */
static bool send(struct h2_stream *stream, void *bytes, size_t len)
{
	struct iovec iov = {bytes, len};
	ssize_t sent = stream->body.ops->writev(&stream->body, &iov, 1, false);

	if (sent >= 0 || sent == -EAGAIN)
		return true;
	reset(stream);
	return false;
}

static void event(struct h2_stream *stream)
{
	static char bytes[5000];
	struct stream *body = &stream->body;
	struct http_header trailer;
	ssize_t got;

	while ((got = body->ops->read(body, bytes, sizeof(bytes))) > 0)
		if (kind_of(stream) == ANSWER_ECHO && !send(stream, bytes, (size_t)got))
			return;
	if (got == -EAGAIN)
		return;
	if (got < 0) {
		reset(stream);
		return;
	}
	while (h2_stream_next_trailer(body, &trailer))
		check(syntax_is_token(trailer.name) && syntax_all(trailer.value, SYNTAX_VALUE));
	if (kind_of(stream) == ANSWER_BODY && !send(stream, bytes, sizeof(bytes)))
		return;
	trailer = (struct http_header){.name = SLICE("X-Sum"), .value = SLICE("1")};
	if (kind_of(stream) == ANSWER_TRAILERS && !h2_stream_put_trailer(body, &trailer))
		reset(stream);
	else
		end(stream);
}

static void changed(struct h2 *session)
{
}

static void over(struct h2 *session)
{
	let_go();
}

static void malformed(struct h2 *session, bool is_too_large)
{
}

static const struct h2_ops ops = {.request = request,
	.malformed = malformed,
	.event = event,
	.changed = changed,
	.over = over};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct h2_spec spec = {.max_header_bytes = 4096, .takes_connect = true};

	if (size < 1)
		return 0;
	begin_input(data, size, &spec, &ops);
	h2_take(h2, h2_preface, H2_PREFACE_BYTES);
	if (data[0] & 2)
		h2_drain(h2);
	run(QUEUE_BOUND);
	end_input();
	return 0;
}
