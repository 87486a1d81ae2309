/*
 * Two streams that give and take as many bytes as a test says, by copy and by splice, and a pump
 * between them. Header only, because every test is a program of one file.
 */
#ifndef SLUICE_TESTS_UNIT_PROXY_PUMP_FAKES_H
#define SLUICE_TESTS_UNIT_PROXY_PUMP_FAKES_H

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
	bool opens_records;
	int n_spliced;
	int splice_error; /* what splice() says to everything */
};

static struct fake src, dst;
static struct bufpool bufs;
static struct pipes pipes;
static struct iothread io; /* the streams' clock */
static struct buf in;
static struct pump pump;

static inline ssize_t fake_read(struct stream *stream, void *bytes, size_t len)
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

static inline ssize_t fake_writev(
	struct stream *stream, const struct iovec *iov, int n_iov, bool more)
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

static inline bool fake_has_pending(const struct stream *stream)
{
	return false;
}

static inline bool fake_may_splice(const struct stream *stream)
{
	return container_of(stream, struct fake, base)->splices;
}

static inline bool fake_can_splice(struct stream *stream)
{
	return fake_may_splice(stream);
}

/* At most what a pipe takes, as in the kernel. */
static inline ssize_t fake_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t n = fake->len - fake->at;
	ssize_t put;

	assert_true(max > 0);
	fake->n_spliced++;
	if (fake->splice_error)
		return fake->splice_error;
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

static inline ssize_t fake_splice_out(struct stream *stream, int pipe_fd, size_t len)
{
	struct fake *fake = container_of(stream, struct fake, base);
	size_t n = fake->per_write && fake->per_write < len ? fake->per_write : len;

	assert_true(len > 0);
	fake->n_spliced++;
	if (fake->splice_error)
		return fake->splice_error;
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

static inline bool fake_opens_records(const struct stream *stream)
{
	return container_of(stream, struct fake, base)->opens_records;
}

static const struct stream_ops fake_ops = {
	.read = fake_read,
	.writev = fake_writev,
	.has_pending = fake_has_pending,
	.may_splice_in = fake_may_splice,
	.may_splice_out = fake_may_splice,
	.opens_records = fake_opens_records,
	.can_splice_in = fake_can_splice,
	.can_splice_out = fake_can_splice,
	.splice_in = fake_splice_in,
	.splice_out = fake_splice_out,
};

static inline int setup(void **state)
{
	assert_int_equal(iothread_init(&io, 0), 0);
	bufpool_init(&bufs);
	pipes_init(&pipes, NULL);
	src = (struct fake){
		.base = {.ops = &fake_ops, .thread = &io, .can_read = true}, .end = -EAGAIN};
	dst = (struct fake){.base = {.ops = &fake_ops, .thread = &io, .can_write = true},
		.room = SINK_BYTES,
		.got = calloc(1, SINK_BYTES)};
	in = (struct buf){0};
	pump = (struct pump){0};
	return 0;
}

static inline int teardown(void **state)
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

static inline void again(void **state)
{
	teardown(state);
	setup(state);
}

static inline void begin(
	const char *bytes, size_t len, enum http_body kind, uint64_t length, bool chunked)
{
	src.bytes = bytes;
	src.len = len;
	pump_init(&pump, &src.base, &in, kind, length, chunked);
	pump.dst = &dst.base;
}

static inline void begin_text(const char *text, enum http_body kind, uint64_t length, bool chunked)
{
	begin(text, strlen(text), kind, length, chunked);
}

static inline enum pump_result run(void)
{
	enum pump_result result;

	do
		result = pump_run(&pump, &bufs);
	while (result == PUMP_SHARE_USED);
	return result;
}

/* Gives room in pieces of `piece` until something else than room is missing. */
static inline enum pump_result run_with_room(size_t piece)
{
	enum pump_result result;

	dst.room = 0;
	while ((result = run()) == PUMP_WAITS_DST) {
		dst.room = piece;
		dst.base.can_write = true;
	}
	return result;
}

static inline void fill(char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (char)('A' + i % 26);
}

#endif
