/*
 * An HTTP/2 session against any bytes, cut anywhere, with answers of several kinds (at once, late,
 * with a body, with trailers, behind interim ones, reset, an echo of the request) and an output that
 * takes little, takes nothing, or breaks. Requests that come up must be fit for HTTP/1.1; what waits for
 * the client stays within bounds; when the session is freed nothing is left.
 */
#include "http/h2_parts.h"
#include "http/syntax.h"

#include <errno.h>
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	TURNS_MAX = 64,
	STEP_MAX = 4096,
	/* Frames: those it goes on reading with, those that one read calls for, and a few per stream. */
	QUEUE_BOUND = H2_QUEUE_MAX + STEP_MAX / 9 + 4 * H2_STREAMS_MAX,
	/* A window of each stream, and as much of interim answers of some. */
	MEMORY_BOUND = 20 * 1024 * 1024,
};

static struct iothread io;
static struct h2_thread thread;
static struct stream wire; /* the connection: what it is given is thrown away */
static size_t room; /* what it takes until the next turn */
static size_t room_per_turn;
static size_t memory_before;
static bool is_wire_broken;
static const uint8_t *input;
static size_t input_len, step;
static struct h2 *h2;

static void check(bool good)
{
	if (!good)
		abort();
}

static ssize_t wire_read(struct stream *stream, void *bytes, size_t len)
{
	size_t n = input_len < step ? input_len : step;

	if (n > len)
		n = len;
	if (!n)
		return 0;
	memcpy(bytes, input, n);
	input += n;
	input_len -= n;
	return (ssize_t)n;
}

static ssize_t wire_writev(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	size_t n = 0;
	int i;

	if (is_wire_broken)
		return -EPIPE;
	for (i = 0; i < n_iov; i++)
		n += iov[i].iov_len;
	n = n < room ? n : room;
	room -= n;
	stream->can_write = room;
	return n ? (ssize_t)n : -EAGAIN;
}

static int wire_flush(struct stream *stream)
{
	return 0;
}

static bool wire_has_pending(const struct stream *stream)
{
	return true;
}

static const struct stream_ops wire_ops = {
	.read = wire_read,
	.writev = wire_writev,
	.flush = wire_flush,
	.has_pending = wire_has_pending,
};

static void check_request(const struct http_request *request)
{
	struct slice host;
	uint32_t i;
	uint16_t port;

	check(syntax_is_token(request->method_text));
	check(request->target.len && syntax_all(request->target, SYNTAX_TARGET));
	check(request->target.ptr[0] == '/' || slice_eq(request->target, SLICE("*")));
	check(syntax_authority(request->authority, &host, &port) == 0);
	for (i = 0; i < request->headers.len; i++) {
		check(syntax_is_token(request->headers.items[i].name));
		check(syntax_all(request->headers.items[i].value, SYNTAX_VALUE));
	}
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

static void let_go(void)
{
	struct h2_stream *stream = NULL;

	while ((stream = h2_next_owned(h2, stream)))
		stream->body.owner = NULL;
	h2_free(h2);
	h2 = NULL;
}

static void over(struct h2 *session)
{
	let_go();
}

static void malformed(struct h2 *session)
{
}

static const struct h2_ops ops = {.request = request,
	.malformed = malformed,
	.event = event,
	.changed = changed,
	.over = over};

static void turn_end(void *arg)
{
	loop_stop(io.loop);
}

static void turn(void)
{
	room = room_per_turn;
	wire.can_write = room;
	loop_run(io.loop);
}

static void init(void)
{
	check(iothread_init(&io, 0) == 0 && h2_thread_init(&thread, &io) == 0);
	loop_hooks_set(io.loop, &(struct loop_hooks){.turn_end = turn_end, .max_wait_ms = 1});
}

static void run(void)
{
	int turns;

	for (turns = 0; h2 && turns < TURNS_MAX; turns++) {
		room = room_per_turn;
		wire.can_write = room;
		h2_run(h2);
		turn();
		if (!h2)
			break;
		check(h2_frames_waiting(h2) <= QUEUE_BOUND);
		check(__sanitizer_get_current_allocated_bytes() <= memory_before + MEMORY_BOUND);
	}
}

/* The first byte says how the rest is cut and what else happens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct h2_spec spec = {.max_header_bytes = 4096, .takes_connect = true};

	if (!io.loop)
		init();
	if (size < 1)
		return 0;
	step = data[0] & 1 ? STEP_MAX : 1 + (data[0] >> 4);
	is_wire_broken = (data[0] & 14) == 14;
	room_per_turn = (data[0] & 14) == 12 ? 0 : 3000;
	memory_before = __sanitizer_get_current_allocated_bytes();
	input = data + 1;
	input_len = size - 1;
	wire = (struct stream){.ops = &wire_ops, .thread = &io, .can_read = true};
	h2 = h2_new(&thread, &wire, &spec, &ops, NULL);
	check(h2);
	h2_take(h2, h2_preface, H2_PREFACE_BYTES);
	if (data[0] & 2)
		h2_drain(h2);
	run();
	if (h2)
		let_go();
	turn();
	turn();
	check(!thread.sessions.used && !thread.streams.used && !thread.heads.used);
	check(!io.bufs.small.used && !io.bufs.medium.used && !io.bufs.large.used);
	return 0;
}
