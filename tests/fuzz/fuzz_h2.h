/* The connection of the fuzzers of HTTP/2 sessions: what it is given is thrown away, what it brings is the
 * input. Made anew by each of them. */
#ifndef SLUICE_TESTS_FUZZ_H2_H
#define SLUICE_TESTS_FUZZ_H2_H

#include "http/h2_parts.h"
#include "http/syntax.h"

#include <errno.h>
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>

enum {
	TURNS_MAX = 64,
	STEP_MAX = 4096,
	/* A window of each stream, and as much of interim answers of some. */
	MEMORY_BOUND = 20 * 1024 * 1024,
};

static struct iothread io;
static struct h2_thread thread;
static struct stream wire;
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

static void check_headers(const struct http_headers *headers)
{
	uint32_t i;

	for (i = 0; i < headers->len; i++) {
		check(syntax_is_token(headers->items[i].name));
		check(syntax_all(headers->items[i].value, SYNTAX_VALUE));
	}
}

static void let_go(void)
{
	struct h2_stream *stream = NULL;

	while ((stream = h2_next_owned(h2, stream)))
		stream->body.owner = NULL;
	h2_free(h2);
	h2 = NULL;
}

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

static void run(size_t frames_max)
{
	int turns;

	for (turns = 0; h2 && turns < TURNS_MAX; turns++) {
		room = room_per_turn;
		wire.can_write = room;
		h2_run(h2);
		turn();
		if (!h2)
			break;
		check(h2_frames_waiting(h2) <= frames_max);
		check(__sanitizer_get_current_allocated_bytes() <= memory_before + MEMORY_BOUND);
	}
}

/* The first byte says how the rest is cut and what else happens. */
static void begin_input(
	const uint8_t *data, size_t size, const struct h2_spec *spec, const struct h2_ops *ops)
{
	if (!io.loop)
		init();
	step = data[0] & 1 ? STEP_MAX : 1 + (data[0] >> 4);
	is_wire_broken = (data[0] & 14) == 14;
	room_per_turn = (data[0] & 14) == 12 ? 0 : 3000;
	memory_before = __sanitizer_get_current_allocated_bytes();
	input = data + 1;
	input_len = size - 1;
	wire = (struct stream){.ops = &wire_ops, .thread = &io, .can_read = true};
	h2 = h2_new(&thread, &wire, spec, ops, NULL);
	check(h2);
}

/* Nothing is left. */
static void end_input(void)
{
	if (h2)
		let_go();
	turn();
	turn();
	check(!thread.sessions.used && !thread.streams.used && !thread.heads.used);
	check(!io.bufs.small.used && !io.bufs.medium.used && !io.bufs.large.used);
}

#endif
