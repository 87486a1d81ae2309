/* Bodies on their way, between two streams that give and take as many bytes as a test says. */
#include "proxy/pump.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SINK_BYTES = 1 << 20 };

/* A source that has some bytes and then an end or an error, and a sink with some room. */
struct fake {
	struct stream base;
	const char *bytes;
	size_t len, at;
	size_t per_read; /* 0: as many as asked for */
	int end; /* what read() says behind the last byte: 0, -EAGAIN, -errno */
	size_t room, per_write; /* room left; taken by one call at most, 0: all */
	int write_error;
	size_t got_len;
	int writes;
	char *got;
	bool splices; /* says that it can */
	bool balks;   /* the next splice_in says -EAGAIN although there are bytes */
	int n_spliced;
};

static struct fake src, dst;
static struct bufpool bufs;
static struct pipes pipes;
static struct iothread io; /* the streams' clock */
static struct buf in;
static struct pump pump;

static ssize_t fake_read(struct stream *stream, void *bytes, size_t len)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t n = fake->len - fake->at;

	assert_true(len > 0);
	if (!n) {
		if (fake->end == -EAGAIN)
			fake->base.can_read = false;
		fake->base.read_ended = fake->end == 0;
		return fake->end;
	}
	n = n < len ? n : len;
	if (fake->per_read && n > fake->per_read)
		n = fake->per_read;
	memcpy(bytes, fake->bytes + fake->at, n);
	fake->at += n;
	return (ssize_t)n;
}

static ssize_t fake_writev(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t left = fake->per_write ? fake->per_write : SINK_BYTES, taken = 0, n;
	int i;

	fake->writes++;
	if (fake->write_error)
		return fake->write_error;
	if (left > fake->room)
		left = fake->room;
	if (!left) {
		stream->can_write = false;
		return -EAGAIN;
	}
	for (i = 0; i < n_iov && left; i++, left -= n, taken += n) {
		assert_true(iov[i].iov_len > 0);
		n = iov[i].iov_len < left ? iov[i].iov_len : left;
		assert_true(fake->got_len + n < SINK_BYTES);
		memcpy(fake->got + fake->got_len, iov[i].iov_base, n);
		fake->got_len += n;
	}
	fake->room -= taken;
	fake->got[fake->got_len] = '\0';
	return (ssize_t)taken;
}

static bool fake_has_pending(const struct stream *stream)
{
	return false;
}

static bool fake_can_splice(struct stream *stream)
{
	return container_of(stream, struct fake, base)->splices;
}

/* At most what a pipe takes, as in the kernel. */
static ssize_t fake_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t n = fake->len - fake->at;
	ssize_t put;

	assert_true(max > 0);
	fake->n_spliced++;
	if (fake->balks) {
		fake->balks = false;
		return -EAGAIN;
	}
	if (!n)
		return fake_read(stream, &put, 1);
	n = n < max ? n : max;
	if (fake->per_read && n > fake->per_read)
		n = fake->per_read;
	put = write(pipe_fd, fake->bytes + fake->at, n);
	assert_true(put > 0);
	fake->at += (size_t)put;
	return put;
}

static ssize_t fake_splice_out(struct stream *stream, int pipe_fd, size_t len)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t n = fake->per_write && fake->per_write < len ? fake->per_write : len;

	assert_true(len > 0);
	fake->n_spliced++;
	if (fake->write_error)
		return fake->write_error;
	if (n > fake->room)
		n = fake->room;
	if (!n) {
		stream->can_write = false;
		return -EAGAIN;
	}
	assert_true(fake->got_len + n < SINK_BYTES);
	assert_int_equal(read(pipe_fd, fake->got + fake->got_len, n), n);
	fake->got_len += n;
	fake->got[fake->got_len] = '\0';
	fake->room -= n;
	return (ssize_t)n;
}

static const struct stream_ops fake_ops = {
	.read = fake_read,
	.writev = fake_writev,
	.has_pending = fake_has_pending,
	.can_splice_in = fake_can_splice,
	.can_splice_out = fake_can_splice,
	.splice_in = fake_splice_in,
	.splice_out = fake_splice_out,
};

static int setup(void **state)
{
	assert_int_equal(iothread_init(&io, 0), 0);
	bufpool_init(&bufs);
	pipes_init(&pipes);
	src = (struct fake){
		.base = {.ops = &fake_ops, .thread = &io, .can_read = true}, .end = -EAGAIN};
	dst = (struct fake){.base = {.ops = &fake_ops, .thread = &io, .can_write = true},
		.room = SINK_BYTES,
		.got = calloc(1, SINK_BYTES)};
	in = (struct buf){0};
	pump = (struct pump){0};
	return 0;
}

static int teardown(void **state)
{
	pump_fini(&pump, &bufs);
	buf_drop(&in, &bufs);
	assert_int_equal(pipes.n_lent, 0);
	pipes_fini(&pipes);
	assert_int_equal(pipes.pool.used, 0);
	assert_int_equal(bufs.small.used, 0);
	assert_int_equal(bufs.medium.used, 0);
	assert_int_equal(bufs.large.used, 0);
	bufpool_fini(&bufs);
	iothread_fini(&io);
	free(dst.got);
	return 0;
}

static void again(void **state)
{
	teardown(state);
	setup(state);
}

static void begin(const char *bytes, size_t len, enum http_body kind, uint64_t length, bool chunked)
{
	src.bytes = bytes;
	src.len = len;
	pump_init(&pump, &src.base, &in, kind, length, chunked);
	pump.dst = &dst.base;
}

static void begin_text(const char *text, enum http_body kind, uint64_t length, bool chunked)
{
	begin(text, strlen(text), kind, length, chunked);
}

static enum pump_result run(void)
{
	enum pump_result result;

	do
		result = pump_run(&pump, &bufs);
	while (result == PUMP_SHARE_USED);
	return result;
}

/* Gives room in pieces of `piece` until something else than room is missing. */
static enum pump_result run_with_room(size_t piece)
{
	enum pump_result result;

	dst.room = 0;
	while ((result = run()) == PUMP_WAITS_DST) {
		dst.room = piece;
		dst.base.can_write = true;
	}
	return result;
}

static void test_no_body(void **state)
{
	begin_text("NEXT", HTTP_BODY_NONE, 0, false);
	assert_int_equal(buf_hold(&pump.out, &bufs, BUF_SMALL), 0);
	assert_true(buf_append(&pump.out, "head", 4));
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, "head");
	assert_int_equal(src.at, 0);
}

/* What came behind the body is the next message's and stays. */
static void test_length_leaves_what_follows(void **state)
{
	begin_text("12345NEXT", HTTP_BODY_LENGTH, 5, false);
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, "12345");
	assert_int_equal(buf_len(&in), 4);
	assert_memory_equal(buf_head(&in), "NEXT", 4);
}

struct shape {
	const char *wire;
	enum http_body kind;
	uint64_t length;
	bool chunked;
	const char *body; /* its bytes without framing */
};

static const struct shape shapes[] = {
	{"hello world", HTTP_BODY_LENGTH, 11, false, "hello world"},
	{"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true, "hello world"},
	{"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", HTTP_BODY_CHUNKED, 0, true,
		"hello world"},
	{"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", HTTP_BODY_CHUNKED, 0, false,
		"hello world"},
	{"hello world", HTTP_BODY_UNTIL_CLOSE, 0, true, "hello world"},
	{"hello world", HTTP_BODY_UNTIL_CLOSE, 0, false, "hello world"},
};

/* The sink's bytes without framing; asserts that they are one whole message. */
static void assert_body(const struct shape *shape)
{
	char body[64], *at = dst.got, *end = dst.got + dst.got_len;
	size_t len = 0, n;

	if (!shape->chunked) {
		assert_string_equal(dst.got, shape->body);
		return;
	}
	for (;;) {
		n = strtoul(at, &at, 16);
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
		if (!n)
			break;
		memcpy(body + len, at, n);
		len += n;
		at += n;
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
	}
	assert_int_equal(len, strlen(shape->body));
	assert_memory_equal(body, shape->body, len);
	assert_string_equal(at, strstr(shape->wire, "A: b") ? "A: b\r\n\r\n" : "\r\n");
	assert_ptr_equal(at + strlen(at), end);
}

/* However the bytes come, and however few are taken at a time. */
static void test_every_split(void **state)
{
	size_t i, per_read, room;

	for (i = 0; i < array_len(shapes); i++)
		for (per_read = 1; per_read <= strlen(shapes[i].wire); per_read++)
			for (room = 1; room <= 12; room += room < 4 ? 1 : 4) {
				again(state);
				src.per_read = per_read;
				src.end = shapes[i].kind == HTTP_BODY_UNTIL_CLOSE ? 0 : -EAGAIN;
				begin_text(shapes[i].wire, shapes[i].kind, shapes[i].length,
					shapes[i].chunked);
				assert_int_equal(run_with_room(room), PUMP_DONE);
				assert_body(&shapes[i]);
				assert_int_equal(pump.body_bytes, strlen(shapes[i].body));
			}
}

static void fill(char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (char)('A' + i % 26);
}

static void test_large_chunk_is_not_copied(void **state)
{
	enum { LEN = 200000 };
	char *wire = malloc(LEN + 64), *body;
	int head = sprintf(wire, "%x\r\n", LEN);
	size_t at = 0, n;

	fill(wire + head, LEN);
	strcpy(wire + head + LEN, "\r\n0\r\n\r\n");
	begin(wire, (size_t)head + LEN + 7, HTTP_BODY_CHUNKED, 0, true);
	dst.per_write = 30000;
	assert_int_equal(run(), PUMP_DONE);
	/* chunks of the size of what was read, all of them complete */
	for (body = dst.got; (n = strtoul(body, &body, 16)) > 0; body += n + 2, at += n) {
		body += 2;
		assert_memory_equal(body, wire + head + at, n);
		assert_memory_equal(body + n, "\r\n", 2);
	}
	assert_int_equal(at, LEN);
	assert_string_equal(body, "\r\n\r\n");
	free(wire);
}

/* Small chunks fill `out` up; trailers of many bytes come behind them. */
static void test_trailers_behind_many_small_chunks(void **state)
{
	enum { CHUNKS = 1700, VALUE = 7000 };
	char *wire = malloc(CHUNKS * 8 + VALUE + 64), *at = wire;
	int i;

	for (i = 0; i < CHUNKS; i++)
		at = stpcpy(at, "3\r\nabc\r\n");
	at = stpcpy(at, "0\r\nX-Long: ");
	fill(at, VALUE);
	strcpy(at + VALUE, "\r\nContent-Length: 1\r\n\r\n");
	begin_text(wire, HTTP_BODY_CHUNKED, 0, true);
	assert_int_equal(run_with_room(100000), PUMP_DONE);
	*strstr(wire, "Content-Length") = '\0'; /* may not be a trailer: is left out */
	strcat(wire, "\r\n");
	assert_string_equal(dst.got, wire);
	free(wire);
}

static void test_limit(void **state)
{
	begin_text("8\r\n12345678\r\n3\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true);
	pump.max_bytes = 10;
	assert_int_equal(run(), PUMP_OVER_LIMIT);
	assert_null(strstr(dst.got, "abc"));
	again(state);
	begin_text("8\r\n12345678\r\n2\r\nab\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true);
	pump.max_bytes = 10;
	assert_int_equal(run(), PUMP_DONE);
}

static void test_sources_that_end(void **state)
{
	static const struct {
		const char *wire;
		enum http_body kind;
		uint64_t length;
		int end;
		bool truncated;
		enum pump_result result;
	} cases[] = {
		{"1234", HTTP_BODY_LENGTH, 5, -EAGAIN, false, PUMP_WAITS_SRC},
		{"1234", HTTP_BODY_LENGTH, 5, 0, false, PUMP_SRC_ENDED},
		{"1234", HTTP_BODY_LENGTH, 5, -ECONNRESET, false, PUMP_SRC_FAILED},
		{"12345", HTTP_BODY_LENGTH, 5, 0, false, PUMP_DONE},
		{"2\r\nab\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_SRC_ENDED},
		{"2\r\nab\r\n0\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_SRC_ENDED},
		{"2\r\nab\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_DONE},
		{"zz\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_BAD_BODY},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, 0, false, PUMP_DONE},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, 0, true, PUMP_SRC_ENDED},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, -ECONNRESET, false, PUMP_SRC_FAILED},
	};
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		again(state);
		src.end = cases[i].end;
		src.base.truncated = cases[i].truncated;
		begin_text(cases[i].wire, cases[i].kind, cases[i].length, false);
		assert_int_equal(run(), cases[i].result);
	}
}

static void test_destination_fails(void **state)
{
	begin_text("12345", HTTP_BODY_LENGTH, 5, false);
	dst.write_error = -EPIPE;
	assert_int_equal(run(), PUMP_DST_FAILED);
}

/* Without room nothing more is read than one buffer; an idle pump holds no memory. */
static void test_back_pressure(void **state)
{
	enum { LEN = 300000 };
	char *bytes = malloc(LEN);

	fill(bytes, LEN);
	begin(bytes, LEN, HTTP_BODY_LENGTH, LEN + 1, false);
	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(dst.got_len, 1000);
	assert_int_equal(src.at, BUF_MEDIUM); /* a receiver nobody knows gets no large block */
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_WAITS_SRC);
	assert_int_equal(dst.got_len, LEN);
	assert_memory_equal(dst.got, bytes, LEN);
	assert_int_equal(bufs.large.used + bufs.medium.used + bufs.small.used, 0);
	free(bytes);
}

static void test_one_turn_has_a_share(void **state)
{
	enum { LEN = 1000 };
	char bytes[LEN];

	fill(bytes, LEN);
	src.per_read = 1;
	begin(bytes, LEN, HTTP_BODY_LENGTH, LEN, false);
	assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_in_range(dst.got_len, 1, 100);
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
}

/* Many small chunks at hand leave in few writes. */
static void test_small_chunks_are_gathered(void **state)
{
	char wire[100 * 6 + 8] = "";
	int i;

	for (i = 0; i < 100; i++)
		strcat(wire, "1\r\nx\r\n");
	strcat(wire, "0\r\n\r\n");
	begin_text(wire, HTTP_BODY_CHUNKED, 0, true);
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, wire);
	assert_int_equal(dst.writes, 1);
}

/* A body of `len` bytes with `behind` more after it, between streams that splice. */
static char *begin_spliced(size_t len, size_t behind, enum http_body kind, bool chunked)
{
	char *bytes = malloc(len + behind + 1);

	fill(bytes, len + behind);
	src.splices = dst.splices = true;
	begin(bytes, len + behind, kind, len, chunked);
	pump.pipes = &pipes;
	return bytes;
}

/* All sizes around what decides: sizes of buffers, pipes, thresholds. */
static const size_t splice_sizes[] = {1, 16383, 16384, 32768, 65535, 65536, 65537, 81920, 131071,
	131072, 262144, 262145, 300000, 524288, 600000};

/* In every way of coming and going: the body whole, what is behind it not. */
static void test_splice_every_size(void **state)
{
	static const size_t steps[] = {0, 777, 9000, 16384, 70000};
	size_t i, j, k;
	char *bytes;

	for (i = 0; i < array_len(splice_sizes); i++) {
		for (j = 0; j < array_len(steps); j++) {
			for (k = 0; k < array_len(steps); k++) {
				again(state);
				bytes = begin_spliced(splice_sizes[i], 5, HTTP_BODY_LENGTH, false);
				src.per_read = steps[j];
				dst.per_write = steps[k];
				assert_int_equal(
					steps[k] ? run_with_room(steps[k]) : run(), PUMP_DONE);
				assert_int_equal(dst.got_len, splice_sizes[i]);
				assert_memory_equal(dst.got, bytes, dst.got_len);
				assert_int_equal(pump.body_bytes, splice_sizes[i]);
				/* taken beyond the body at most into `in` */
				assert_int_equal(src.at - buf_len(&in), splice_sizes[i]);
				assert_int_equal(pipes.n_lent, 0);
				free(bytes);
			}
		}
	}
}

/* The head leaves first; then hardly a call is for a buffer. */
static void test_splice_behind_the_head(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	assert_int_equal(buf_hold(&pump.out, &bufs, BUF_SMALL), 0);
	assert_true(buf_append(&pump.out, "head", 4));
	dst.room = 2; /* the head alone must not be overtaken */
	assert_int_equal(run(), PUMP_WAITS_DST);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN + 4);
	assert_memory_equal(dst.got, "head", 4);
	assert_memory_equal(dst.got + 4, bytes, LEN);
	assert_in_range(dst.writes, 2, 4);
	assert_in_range(dst.n_spliced, 2, 10);
	free(bytes);
}

static void test_splice_until_close(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);

	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
	assert_memory_equal(dst.got, bytes, LEN);
	assert_true(dst.n_spliced > 0);
	free(bytes);
	again(state);
	bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);
	src.end = 0;
	src.base.truncated = true; /* TLS without close_notify */
	assert_int_equal(run(), PUMP_SRC_ENDED);
	free(bytes);
}

/* Another framing towards dst, or a stream that cannot: copied. */
static void test_what_is_not_spliced(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, true);
	int i;

	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(src.n_spliced + dst.n_spliced, 0);
	free(bytes);
	for (i = 0; i < 4; i++) {
		again(state);
		bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
		if (i == 0)
			src.splices = false;
		else if (i == 1)
			dst.splices = false;
		else if (i == 2)
			pump.pipes = NULL;
		else
			pipes.n_lent += 1 << 20; /* too many are in use */
		assert_int_equal(run(), PUMP_DONE);
		assert_memory_equal(dst.got, bytes, LEN);
		assert_int_equal(src.n_spliced + dst.n_spliced, 0);
		pipes.n_lent -= i == 3 ? 1 << 20 : 0;
		free(bytes);
	}
}

/* Small pieces are read; when much comes again, it is spliced again. */
static void test_splice_follows_the_pieces(void **state)
{
	enum { LEN = 900000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
	int i;

	src.per_read = 1000;
	for (i = 0; i < 20; i++)
		assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_int_equal(src.n_spliced, 1); /* the first, before it was known */
	src.per_read = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_true(src.n_spliced > 2);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

/* Bytes that do not go through a pipe (urgent data before them, a record of another kind). */
static void test_splice_balks(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	src.balks = true;
	assert_int_equal(run(), PUMP_DONE);
	assert_true(src.n_spliced > 1);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

/* The source ends or fails short of the body: as by copy, once all of it has been handed on. */
static void test_splice_source_ends(void **state)
{
	static const struct {
		int end;
		enum pump_result result;
	} cases[] = {
		{0, PUMP_SRC_ENDED}, {-ECONNRESET, PUMP_SRC_FAILED}, {-EAGAIN, PUMP_WAITS_SRC}};
	enum { LEN = 300000 };
	char *bytes;
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		again(state);
		bytes = begin_spliced(LEN + 200000, 0, HTTP_BODY_LENGTH, false);
		src.len = LEN;
		src.end = cases[i].end;
		assert_int_equal(run(), cases[i].result);
		assert_int_equal(dst.got_len, LEN);
		assert_true(dst.n_spliced > 0);
		assert_int_equal(pipes.n_lent, 0);
		free(bytes);
	}
}

/* An unknown receiver gets no more than a medium block into the pipe; the pipe is given back as
 * soon as it is empty, or with the pump. */
static void test_splice_back_pressure(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	assert_int_equal(pipes.n_lent, 1);
	assert_int_equal(bufs.large.used + bufs.medium.used + bufs.small.used, 0);
	dst.room = BUF_MEDIUM - 1000;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_WAITS_DST);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	src.len = LEN / 2; /* the rest has not come */
	assert_int_equal(run(), PUMP_WAITS_SRC);
	assert_int_equal(pipes.n_lent, 0);
	src.len = LEN;
	src.base.can_read = true;
	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(pipes.n_lent, 1);
	dst.write_error = -EPIPE;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_DST_FAILED);
	pump_fini(&pump, &bufs);
	assert_int_equal(pipes.n_lent, 0);
	assert_int_equal(pipes.n_idle, 0); /* it had bytes of this body in it */
	free(bytes);
}

/* Not a byte beyond the limit is handed on. */
static void test_splice_limit(void **state)
{
	enum { LEN = 600000, MAX = 400001 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);

	pump.max_bytes = MAX;
	src.end = 0;
	assert_int_equal(run(), PUMP_OVER_LIMIT);
	assert_true(dst.got_len <= MAX);
	free(bytes);
	again(state);
	bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);
	pump.max_bytes = LEN;
	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

static void test_splice_has_a_share(void **state)
{
	enum { LEN = 900000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	src.per_read = 10000;
	assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_in_range(dst.got_len, 1, 160000);
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
	free(bytes);
}

/* Everything changes all the time: sizes, room, what the streams can, whether they balk. */
static void test_splice_at_random(void **state)
{
	unsigned int seed = 4;
	enum pump_result result;
	size_t len, want;
	char *bytes;
	int i;

	for (i = 0; i < 300; i++) {
		again(state);
		len = (size_t)rand_r(&seed) % 700000;
		bytes = begin_spliced(len, 9, HTTP_BODY_LENGTH, false);
		src.len = 0;
		do {
			want = (size_t)rand_r(&seed) % 200000;
			src.len = src.len + want < len + 9 ? src.len + want : len + 9;
			src.base.can_read = true;
			dst.room = (size_t)rand_r(&seed) % 200000;
			dst.base.can_write = true;
			src.per_read = (size_t)rand_r(&seed) % 3 * 10000;
			dst.per_write = (size_t)rand_r(&seed) % 3 * 10000;
			src.splices = rand_r(&seed) % 4;
			dst.splices = rand_r(&seed) % 4;
			src.balks = rand_r(&seed) % 4 == 0;
			result = run();
		} while (result == PUMP_WAITS_SRC || result == PUMP_WAITS_DST);
		assert_int_equal(result, PUMP_DONE);
		assert_int_equal(dst.got_len, len);
		assert_memory_equal(dst.got, bytes, len);
		assert_int_equal(src.at - buf_len(&in), len);
		free(bytes);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_no_body),
		CASE(test_length_leaves_what_follows),
		CASE(test_every_split),
		CASE(test_large_chunk_is_not_copied),
		CASE(test_trailers_behind_many_small_chunks),
		CASE(test_limit),
		CASE(test_sources_that_end),
		CASE(test_destination_fails),
		CASE(test_back_pressure),
		CASE(test_one_turn_has_a_share),
		CASE(test_small_chunks_are_gathered),
		CASE(test_splice_every_size),
		CASE(test_splice_behind_the_head),
		CASE(test_splice_until_close),
		CASE(test_what_is_not_spliced),
		CASE(test_splice_follows_the_pieces),
		CASE(test_splice_balks),
		CASE(test_splice_source_ends),
		CASE(test_splice_back_pressure),
		CASE(test_splice_limit),
		CASE(test_splice_has_a_share),
		CASE(test_splice_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
