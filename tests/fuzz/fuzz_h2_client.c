/*
 * The client's side of HTTP/2 sessions against any bytes of a target, cut anywhere: requests of several kinds
 * (without a body, with one of a known length, or of none, with trailers, given up early), more of them
 * whenever one is over, and a target that takes little, takes nothing, or breaks. Answers that come up must be
 * fit for HTTP/1.1; one that nobody has looked at has not come up; nothing is left when the session is freed.
 */
#include "fuzz_h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	FIRST = 8, /* requests at once */
	ASKS_MAX = 64, /* of one input */
	QUEUE_BOUND = H2_QUEUE_MAX + STEP_MAX / 9 + 4 * ASKS_MAX,
};

/* What becomes of a request, by its number. */
enum {
	ASK_GET,
	ASK_HEAD,
	ASK_LENGTH,
	ASK_STREAM,
	ASK_TRAILERS,
	ASK_GIVE_UP,
	ASK_GIVE_UP_LATER,
	ASKS
};

struct ask {
	int kind;
	uint32_t left; /* of its body */
	bool has_answer;
};

static struct ask asks[ASKS_MAX];
static uint32_t n_asks;

static void check_response(const struct http_response *response)
{
	check(response->status >= 100 && response->status < 1000 && response->status != 101);
	check(response->body != HTTP_BODY_CHUNKED);
	check_headers(&response->headers);
}

static bool ask_next(void);

/* The place is somebody else's then. */
static void let(struct h2_stream *stream, bool is_whole)
{
	stream->body.owner = NULL;
	if (is_whole)
		h2_stream_end(stream);
	else
		h2_stream_reset(stream, H2_RESET_CANCEL);
	ask_next();
}

/* False: it is over. */
static bool write_body(struct h2_stream *stream, struct ask *ask)
{
	static char bytes[3000];
	struct http_header trailer = {.name = SLICE("X-Sum"), .value = SLICE("1")};
	struct iovec iov;
	ssize_t sent;

	while (ask->left) {
		iov = (struct iovec){bytes, ask->left < sizeof(bytes) ? ask->left : sizeof(bytes)};
		sent = stream->body.ops->writev(&stream->body, &iov, 1, false);
		if (sent == -EAGAIN)
			return true;
		if (sent < 0) {
			ask->left = 0; /* it may have been answered */
			return true;
		}
		check((size_t)sent <= iov.iov_len);
		ask->left -= (uint32_t)sent;
	}
	if (ask->kind == ASK_TRAILERS && !stream->out_ended &&
		!h2_stream_put_trailer(&stream->body, &trailer)) {
		let(stream, false);
		return false;
	}
	h2_stream_close_writing(stream);
	return true;
}

static struct h2_ask question(const struct ask *ask)
{
	static const struct http_header fields[] = {
		{.name = SLICE(":method"), .value = SLICE("POST")},
		{.name = SLICE(":scheme"), .value = SLICE("http")},
		{.name = SLICE(":authority"), .value = SLICE("a")},
		{.name = SLICE(":path"), .value = SLICE("/")},
	};
	struct h2_ask ret = {
		.fields = fields, .n_fields = array_len(fields), .body = HTTP_BODY_NONE};

	ret.is_head = ask->kind == ASK_HEAD;
	if (ask->kind == ASK_LENGTH)
		ret.body = HTTP_BODY_LENGTH;
	else if (ask->kind > ASK_LENGTH)
		ret.body = HTTP_BODY_CHUNKED;
	ret.content_length = ask->left;
	return ret;
}

/* False: none may be. */
static bool ask_next(void)
{
	struct ask *ask = &asks[n_asks];
	struct h2_stream *stream;
	struct h2_ask how;

	if (n_asks == ASKS_MAX || !h2_may_ask(h2))
		return false;
	*ask = (struct ask){.kind = (int)n_asks % ASKS};
	if (ask->kind >= ASK_LENGTH)
		ask->left = 100 + 1000 * n_asks;
	n_asks++;
	how = question(ask);
	if (h2_ask(h2, &how, ask, &stream) < 0)
		return false;
	if (ask->kind == ASK_GIVE_UP) {
		stream->body.owner = NULL;
		h2_stream_reset(stream, H2_RESET_CANCEL);
		return true;
	}
	write_body(stream, ask);
	return true;
}

static void response(struct h2_stream *stream, const struct http_response *response)
{
	struct ask *ask = stream->body.owner;

	check_response(response);
	check(ask && !ask->has_answer);
	if (http_response_is_interim(response))
		return;
	ask->has_answer = true;
	check(!h2_stream_is_unprocessed(stream));
	if (ask->kind == ASK_GIVE_UP_LATER)
		let(stream, false);
}

static void event(struct h2_stream *stream)
{
	static char bytes[5000];
	struct stream *body = &stream->body;
	struct ask *ask = body->owner;
	struct http_header trailer;
	ssize_t got;

	check(ask);
	if (!write_body(stream, ask))
		return;
	while ((got = body->ops->read(body, bytes, sizeof(bytes))) > 0)
		;
	if (got == -EAGAIN)
		return;
	check(got < 0 || ask->has_answer);
	check(got == 0 || !h2_stream_is_unprocessed(stream) || !ask->has_answer);
	while (got == 0 && h2_stream_next_trailer(body, &trailer))
		check(syntax_is_token(trailer.name) && syntax_all(trailer.value, SYNTAX_VALUE));
	let(stream, h2_stream_is_complete(stream));
}

static void changed(struct h2 *session)
{
	check(h2_waits(session) != H2_WAITS_REQUEST || !session->n_owned);
}

static void settings(struct h2 *session)
{
	check(h2_asks_max(session) <= H2_ASKS_MAX);
	ask_next();
}

static void over(struct h2 *session)
{
	let_go();
}

static const struct h2_ops ops = {.settings = settings,
	.response = response,
	.event = event,
	.changed = changed,
	.over = over};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct h2_spec spec = {.max_header_bytes = 4096, .is_client = true};
	int i;

	if (size < 1)
		return 0;
	begin_input(data, size, &spec, &ops);
	n_asks = 0;
	for (i = 0; i < FIRST; i++)
		check(ask_next());
	if (h2_ping(h2) < 0)
		return 0;
	run(QUEUE_BOUND);
	end_input();
	return 0;
}
