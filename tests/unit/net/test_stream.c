/* Plain streams and sockets over loopback: what the flags say when the peer writes, stops, resets.
 */
#include "core/clock.h"
#include "net/socket.h"
#include "net/stream.h"
#include "net/stream_arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 5000 };

static struct iothread thread;
static int listen_fd, peer_fd = -1;
static union addr listen_addr;
static uint32_t calls; /* of the stream's watch */
static struct timer deadline;

static void too_late(struct timer *timer)
{
	loop_stop(thread.loop);
	fail_msg("nothing happened within %d ms", DEADLINE_MS);
}

static void ready(struct watch *watch, uint32_t events)
{
	stream_note_events(container_of(watch, struct stream, watch), events);
	calls++;
	loop_stop(thread.loop);
}

/* Until the stream is told something. */
static void run_until_ready(void)
{
	timer_set(thread.loop, &deadline, DEADLINE_MS);
	loop_run(thread.loop);
	timer_clear(&deadline);
}

static void stop_task(struct task *task)
{
	loop_stop(thread.loop);
}

/* One turn of the loop, which does not wait. */
static void run_turn(void)
{
	struct task task = {.run = stop_task};

	loop_post(thread.loop, &task);
	loop_run(thread.loop);
}

static int setup(void **state)
{
	struct err err = {""};

	calls = 0;
	deadline = (struct timer){.fire = too_late};
	assert_int_equal(iothread_init(&thread, 0), 0);
	assert_int_equal(addr_parse("127.0.0.1:0", &listen_addr), 0);
	listen_fd = socket_listen(&listen_addr, 16, 0, &err);
	assert_true(listen_fd >= 0);
	assert_int_equal(socket_local_addr(listen_fd, &listen_addr), 0);
	return 0;
}

static int teardown(void **state)
{
	if (peer_fd >= 0)
		close(peer_fd);
	peer_fd = -1;
	close(listen_fd);
	iothread_fini(&thread);
	assert_int_equal(thread.plain_streams.used, 0);
	return 0;
}

/* A stream that connects, and its peer: a blocking socket in peer_fd. */
static struct stream *connected(void)
{
	struct stream *stream;
	union addr from;
	int r;

	stream = plain_stream_new(&thread, socket_connect(&listen_addr), true);
	assert_non_null(stream);
	stream->watch.ready = ready;
	assert_false(stream->can_read);
	while ((r = stream->ops->handshake(stream)) == -EAGAIN)
		run_until_ready();
	assert_int_equal(r, 0);
	assert_int_equal(
		poll(&(struct pollfd){.fd = listen_fd, .events = POLLIN}, 1, DEADLINE_MS), 1);
	peer_fd = socket_accept(listen_fd, &from);
	assert_true(peer_fd >= 0);
	assert_int_equal(from.any.sa_family, AF_INET);
	assert_int_equal(socket_accept(listen_fd, &from), -EAGAIN);
	return stream;
}

static void close_stream(struct stream *stream, bool abort)
{
	stream->ops->close(stream, abort);
	assert_int_equal(thread.plain_streams.used, 1); /* lives until the turn ends */
	run_turn();
	assert_int_equal(thread.plain_streams.used, 0);
}

static ssize_t stream_write(struct stream *stream, const void *bytes, size_t len)
{
	struct iovec iov = {(void *)bytes, len};

	return stream->ops->writev(stream, &iov, 1, false);
}

static void test_read_flags(void **state)
{
	struct stream *stream = connected();
	char bytes[8];

	assert_true(stream->ops->is_plain);
	assert_true(stream->can_write);
	assert_int_equal(write(peer_fd, "0123456789", 10), 10);
	while (!stream->can_read)
		run_until_ready();
	/* as much as asked for: there may be more */
	assert_int_equal(stream->ops->read(stream, bytes, 8), 8);
	assert_true(stream->can_read);
	assert_memory_equal(bytes, "01234567", 8);
	/* less than asked for: drained, no system call needed to find out */
	assert_int_equal(stream->ops->read(stream, bytes, 8), 2);
	assert_false(stream->can_read);
	assert_int_equal(stream->ops->read(stream, bytes, 8), -EAGAIN);
	assert_int_equal(stream->ops->read(stream, bytes, 0), -EINVAL);
	assert_false(stream->read_ended);
	assert_int_equal(stream->bytes_in, 10);
	close_stream(stream, false);
}

/* Bytes and the end come together: a short read must not hide the end behind it. */
static void test_end_after_bytes(void **state)
{
	struct stream *stream = connected();
	char bytes[8];

	assert_int_equal(write(peer_fd, "bye", 3), 3);
	assert_int_equal(shutdown(peer_fd, SHUT_WR), 0);
	while (!stream->peer_ended)
		run_until_ready();
	assert_int_equal(stream->ops->read(stream, bytes, 8), 3);
	assert_true(stream->can_read);
	assert_false(stream->read_ended);
	assert_int_equal(stream->ops->read(stream, bytes, 8), 0);
	assert_true(stream->read_ended);
	/* our direction is still open */
	assert_int_equal(stream_write(stream, "answer", 6), 6);
	assert_int_equal(stream->ops->flush(stream), 0);
	assert_int_equal(stream->ops->shutdown(stream), 0);
	assert_int_equal(recv(peer_fd, bytes, 8, 0), 6);
	assert_int_equal(stream->bytes_out, 6);
	close_stream(stream, false);
}

/* The end comes after the short read: it raises an event of its own. */
static void test_end_after_short_read(void **state)
{
	struct stream *stream = connected();
	char bytes[8];

	assert_int_equal(write(peer_fd, "x", 1), 1);
	while (!stream->can_read)
		run_until_ready();
	assert_int_equal(stream->ops->read(stream, bytes, 8), 1);
	assert_false(stream->can_read);
	assert_int_equal(shutdown(peer_fd, SHUT_WR), 0);
	run_until_ready();
	assert_true(stream->can_read && stream->peer_ended);
	assert_int_equal(stream->ops->read(stream, bytes, 8), 0);
	close_stream(stream, false);
}

/* Fills the socket. How many bytes it took. */
static uint64_t fill(struct stream *stream)
{
	static const char bytes[1 << 16];
	uint64_t total = 0;
	ssize_t n;

	while (stream->can_write) {
		n = stream_write(stream, bytes, sizeof(bytes));
		assert_true(n > 0 || n == -EAGAIN);
		total += n > 0 ? (uint64_t)n : 0;
	}
	return total;
}

/* A full socket: can_write goes down, and comes up again once the peer has read. */
static void test_write_flags(void **state)
{
	static char bytes[1 << 16];
	struct stream *stream = connected();
	uint64_t total = fill(stream), got = 0;
	ssize_t n;

	assert_int_equal(stream_write(stream, bytes, 1), -EAGAIN);
	assert_int_equal(stream->bytes_out, total);
	while (got < total) {
		assert_int_equal(
			poll(&(struct pollfd){.fd = peer_fd, .events = POLLIN}, 1, DEADLINE_MS), 1);
		n = recv(peer_fd, bytes, sizeof(bytes), 0);
		assert_true(n > 0);
		got += (uint64_t)n;
	}
	while (!stream->can_write)
		run_until_ready();
	assert_int_equal(stream_write(stream, bytes, 1), 1);
	close_stream(stream, false);
}

/* Written is not delivered: the owner hears of progress, however long there is none; and behind the
 * last byte a RST destroys nothing. */
static void test_await_delivery(void **state)
{
	static char bytes[1 << 16];
	struct stream *stream = connected();
	uint64_t total = fill(stream), got = 0;
	uint32_t told = 0, turns;
	ssize_t n;

	assert_int_equal(stream_await(stream, STREAM_SENT), 0);
	assert_int_equal(stream_await(stream, STREAM_DELIVERED), -EAGAIN);
	/* While nobody reads it is told of what is under way, and soon of nothing any more. */
	for (turns = 0; turns < 200 && told < 20; turns++) {
		calls = 0;
		run_turn();
		told += calls;
		if (calls)
			assert_int_equal(stream_await(stream, STREAM_DELIVERED), -EAGAIN);
		usleep(1000);
	}
	assert_true(told < 20);
	while (stream_await(stream, STREAM_DELIVERED) == -EAGAIN) {
		while ((n = recv(peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
			got += (uint64_t)n;
		run_until_ready();
	}
	assert_false(timer_is_set(&stream->timer));
	close_stream(stream, true);
	while ((n = recv(peer_fd, bytes, sizeof(bytes), 0)) > 0)
		got += (uint64_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(got, total);
}

/* Closed while it waits: nothing fires. A peer that resets ends the waiting. */
static void test_await_ends(void **state)
{
	struct linger reset = {.l_onoff = 1};
	struct stream *stream = connected();

	fill(stream);
	assert_int_equal(stream_await(stream, STREAM_DELIVERED), -EAGAIN);
	close_stream(stream, true);
	close(peer_fd);
	stream = connected();
	fill(stream);
	assert_int_equal(stream_await(stream, STREAM_DELIVERED), -EAGAIN);
	assert_int_equal(setsockopt(peer_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(peer_fd);
	peer_fd = -1;
	while (!stream->broken)
		run_until_ready();
	assert_int_equal(stream_await(stream, STREAM_DELIVERED), 0);
	close_stream(stream, false);
}

static void test_many_pieces(void **state)
{
	struct iovec iov[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
	struct stream *stream = connected();
	char bytes[8];

	assert_int_equal(stream->ops->writev(stream, iov, 3, true), 5);
	assert_true(stream->can_write);
	assert_int_equal(stream_write(stream, "f", 1), 1);
	assert_int_equal(recv(peer_fd, bytes, 6, MSG_WAITALL), 6);
	assert_memory_equal(bytes, "abcdef", 6);
	close_stream(stream, false);
}

static void wait_peer(void)
{
	assert_int_equal(
		poll(&(struct pollfd){.fd = peer_fd, .events = POLLIN}, 1, DEADLINE_MS), 1);
}

static void test_close_is_orderly(void **state)
{
	struct stream *stream = connected();
	char byte;

	close_stream(stream, false);
	wait_peer();
	assert_int_equal(recv(peer_fd, &byte, 1, 0), 0);
}

static void test_abort_resets(void **state)
{
	struct stream *stream = connected();
	char byte;

	close_stream(stream, true);
	wait_peer();
	assert_int_equal(recv(peer_fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void test_peer_resets(void **state)
{
	struct linger reset = {.l_onoff = 1};
	struct stream *stream = connected();
	char byte;

	assert_int_equal(setsockopt(peer_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(peer_fd);
	peer_fd = -1;
	while (!stream->peer_ended)
		run_until_ready();
	assert_true(stream->can_read && stream->can_write);
	assert_int_equal(stream->ops->read(stream, &byte, 1), -ECONNRESET);
	assert_false(stream->read_ended);
	assert_int_equal(stream_write(stream, "x", 1), -EPIPE);
	close_stream(stream, false);
}

/* Closed while its event of the same turn still waits to be handled: nobody calls it. */
static void test_closed_stream_hears_nothing(void **state)
{
	struct stream *stream = connected();

	run_turn();
	calls = 0;
	assert_int_equal(write(peer_fd, "x", 1), 1);
	stream->ops->close(stream, false);
	run_turn();
	assert_int_equal(calls, 0);
	assert_int_equal(thread.plain_streams.used, 0);
}

/* A pipe, empty and closed on exec. */
static void make_pipe(int pipes[2])
{
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_pipe(int pipes[2])
{
	close(pipes[0]);
	close(pipes[1]);
}

/* Out of one side into the pipe and back out: bytes, counts, flags, at most what was asked for. */
static void test_splice_flags(void **state)
{
	struct stream *stream = connected();
	const struct stream_ops *ops = stream->ops;
	char bytes[16];
	int pipes[2];

	make_pipe(pipes);
	assert_true(ops->may_splice_in(stream) && ops->may_splice_out(stream));
	assert_true(ops->can_splice_in(stream) && ops->can_splice_out(stream));
	assert_int_equal(write(peer_fd, "0123456789", 10), 10);
	while (!stream->can_read)
		run_until_ready();
	assert_int_equal(ops->splice_in(stream, pipes[1], 4), 4);
	assert_int_equal(ops->splice_in(stream, pipes[1], 0), -EINVAL);
	/* a short move does not mean that the socket is empty: the pipe may be full */
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), 6);
	assert_true(stream->can_read);
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), -EAGAIN);
	assert_false(stream->can_read);
	assert_int_equal(stream->bytes_in, 10);
	assert_int_equal(ops->splice_out(stream, pipes[0], 7), 7);
	assert_int_equal(ops->splice_out(stream, pipes[0], 3), 3);
	assert_int_equal(stream->bytes_out, 10);
	assert_int_equal(recv(peer_fd, bytes, sizeof(bytes), MSG_WAITALL | MSG_DONTWAIT), 10);
	assert_memory_equal(bytes, "0123456789", 10);
	assert_int_equal(shutdown(peer_fd, SHUT_WR), 0);
	while (!stream->peer_ended)
		run_until_ready();
	assert_false(stream->read_ended);
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), 0);
	assert_true(stream->read_ended);
	close_pipe(pipes);
	close_stream(stream, false);
}

/* A full socket and a peer that resets. */
static void test_splice_out_stops(void **state)
{
	static char bytes[1 << 16];
	struct linger reset = {.l_onoff = 1};
	struct stream *stream = connected();
	uint64_t total = 0;
	int pipes[2];
	ssize_t n;

	make_pipe(pipes);
	while (stream->can_write) {
		assert_int_equal(write(pipes[1], bytes, 30000), 30000);
		do {
			n = stream->ops->splice_out(stream, pipes[0], 30000);
			total += n > 0 ? (uint64_t)n : 0;
		} while (n > 0 && total % 30000);
		assert_true(n > 0 || n == -EAGAIN);
	}
	assert_int_equal(stream->bytes_out, total);
	while (total) {
		n = recv(peer_fd, bytes, sizeof(bytes), 0);
		assert_true(n > 0);
		total -= (uint64_t)n;
	}
	while (!stream->can_write)
		run_until_ready();
	assert_int_equal(setsockopt(peer_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(peer_fd);
	peer_fd = -1;
	while (!stream->peer_ended)
		run_until_ready();
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(stream->ops->splice_in(stream, pipes[1], 100), -ECONNRESET);
	n = stream->ops->splice_out(stream, pipes[0], 1);
	assert_true(n == -EPIPE || n == -ECONNRESET);
	close_pipe(pipes);
	close_stream(stream, false);
}

/* splice() sees neither urgent data nor what is behind it: not an end, and not for ever. */
static void test_splice_and_urgent_data(void **state)
{
	struct stream *stream = connected();
	const struct stream_ops *ops = stream->ops;
	char bytes[16];
	int pipes[2];

	make_pipe(pipes);
	assert_int_equal(send(peer_fd, "abc", 3, 0), 3);
	assert_int_equal(send(peer_fd, "!", 1, MSG_OOB), 1);
	assert_int_equal(send(peer_fd, "def", 3, 0), 3);
	assert_int_equal(shutdown(peer_fd, SHUT_WR), 0);
	while (!stream->peer_ended)
		run_until_ready();
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), 3);
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), -EAGAIN);
	assert_true(stream->can_read);
	assert_false(stream->read_ended);
	assert_false(ops->may_splice_in(stream));
	assert_false(ops->can_splice_in(stream));
	assert_int_equal(ops->read(stream, bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "def", 3);
	assert_true(ops->can_splice_in(stream));
	assert_int_equal(ops->splice_in(stream, pipes[1], 100), 0);
	close_pipe(pipes);
	close_stream(stream, false);
}

static void test_refused(void **state)
{
	struct stream *stream;
	union addr nobody;
	int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, r;

	/* bound but not listening: connecting to it is refused, and nobody else gets the port */
	assert_int_equal(addr_parse("127.0.0.1:0", &nobody), 0);
	assert_int_equal(bind(bound, &nobody.any, addr_len(&nobody)), 0);
	assert_int_equal(socket_local_addr(bound, &nobody), 0);
	fd = socket_connect(&nobody);
	if (fd >= 0) {
		stream = plain_stream_new(&thread, fd, true);
		assert_non_null(stream);
		stream->watch.ready = ready;
		while ((r = stream->ops->handshake(stream)) == -EAGAIN)
			run_until_ready();
		assert_int_equal(r, -ECONNREFUSED);
		close_stream(stream, false);
	} else {
		assert_int_equal(fd, -ECONNREFUSED);
	}
	close(bound);
}

static void test_bad_descriptor_is_refused(void **state)
{
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_null(plain_stream_new(&thread, pipes[0], false));
	assert_int_equal(thread.plain_streams.used, 0);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void test_listening(void **state)
{
	struct stream *stream = connected();
	struct err err = {""};
	union addr v6;
	int second, fd;

	assert_true(option(peer_fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	assert_true(option(stream->watch.fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	/* a second one for the same address, as another worker makes it */
	second = socket_listen(&listen_addr, 16, 1, &err);
	assert_true(second >= 0);
	assert_true(option(second, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
	/* IPv6 on the same port beside it */
	assert_int_equal(addr_parse("[::]:0", &v6), 0);
	addr_port_set(&v6, addr_port(&listen_addr));
	fd = socket_listen(&v6, 16, 0, &err);
	assert_true(fd >= 0);
	close(fd);
	close(second);
	close_stream(stream, false);
}

static void test_listening_fails_with_the_reason(void **state)
{
	struct err err = {""};
	union addr addr;
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_parse("127.0.0.1:0", &addr), 0);
	assert_int_equal(bind(plain, &addr.any, addr_len(&addr)), 0);
	assert_int_equal(listen(plain, 1), 0);
	assert_int_equal(socket_local_addr(plain, &addr), 0);
	assert_int_equal(socket_listen(&addr, 16, 0, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.1:"));
	assert_non_null(strstr(err.text, "in use"));
	close(plain);
	assert_int_equal(addr_parse("192.0.2.1:80", &addr), 0);
	assert_int_equal(socket_listen(&addr, 16, 0, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "192.0.2.1:80"));
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_read_flags),
		TEST(test_end_after_bytes),
		TEST(test_end_after_short_read),
		TEST(test_write_flags),
		TEST(test_await_delivery),
		TEST(test_await_ends),
		TEST(test_many_pieces),
		TEST(test_close_is_orderly),
		TEST(test_abort_resets),
		TEST(test_peer_resets),
		TEST(test_closed_stream_hears_nothing),
		TEST(test_splice_flags),
		TEST(test_splice_out_stops),
		TEST(test_splice_and_urgent_data),
		TEST(test_refused),
		TEST(test_bad_descriptor_is_refused),
		TEST(test_listening),
		TEST(test_listening_fails_with_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
