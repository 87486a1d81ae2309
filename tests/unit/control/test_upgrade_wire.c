/* What two daemons say to each other: whole, with descriptors that somebody owns, whatever the other one says. */
#include "control/upgrade_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];
static struct upgrade_message message;

static int open_ends(void **state)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int close_ends(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void test_a_message(void **state)
{
	struct upgrade_left left = {7}, got;
	int fd = dup(STDIN_FILENO);

	assert_int_equal(upgrade_recv(ends[1], &message), -EAGAIN);
	assert_int_equal(
		upgrade_send(ends[0], UPGRADE_LEFT, &left, sizeof(left), (int[]){fd, fd}, 2), 0);
	close(fd);
	assert_int_equal(upgrade_recv(ends[1], &message), 1);
	assert_int_equal(message.kind, UPGRADE_LEFT);
	assert_int_equal(message.n_fds, 2);
	upgrade_body(&message, &got, sizeof(got));
	assert_int_equal(got.connections, 7);
	fd = message.fds[0];
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	message.fds[0] = -1; /* ours */
	upgrade_message_end(&message);
	assert_int_equal(close(fd), 0);
}

/* Of another version: what it does not say is zero, what we do not know is left. */
static void test_other_lengths(void **state)
{
	struct upgrade_hello hello;
	uint32_t pid = 12;
	uint64_t long_body[4] = {5, 6, 7, 8};
	struct upgrade_prepared prepared;

	memset(&hello, 0xff, sizeof(hello));
	assert_int_equal(upgrade_send(ends[0], UPGRADE_HELLO, &pid, sizeof(pid), NULL, 0), 0);
	assert_int_equal(upgrade_recv(ends[1], &message), 1);
	upgrade_body(&message, &hello, sizeof(hello));
	assert_int_equal(hello.pid, 12);
	assert_int_equal(hello.n_workers, 0);
	assert_int_equal(hello.tickets_age_ms, 0);
	assert_int_equal(
		upgrade_send(ends[0], UPGRADE_PREPARED, long_body, sizeof(long_body), NULL, 0), 0);
	assert_int_equal(upgrade_recv(ends[1], &message), 1);
	upgrade_body(&message, &prepared, sizeof(prepared));
	assert_int_equal(prepared.has_own_maps, 5);
}

static void test_what_is_none(void **state)
{
	static char bytes[UPGRADE_BODY_BYTES + 64];

	assert_int_equal(send(ends[0], "abc", 3, 0), 3);
	assert_int_equal(upgrade_recv(ends[1], &message), -EBADMSG);
	assert_int_equal(send(ends[0], "abcdefghijklmnop", 16, 0), 16);
	assert_int_equal(upgrade_recv(ends[1], &message), -EBADMSG);
	memcpy(bytes, &(uint32_t[]){UPGRADE_MAGIC, UPGRADE_TICKETS}, 8);
	assert_int_equal(send(ends[0], bytes, sizeof(bytes), 0), sizeof(bytes)); /* cut off */
	assert_int_equal(upgrade_recv(ends[1], &message), -EBADMSG);
	assert_int_equal(
		upgrade_send(ends[0], UPGRADE_TICKETS, bytes, sizeof(bytes), NULL, 0), -EMSGSIZE);
	close(ends[0]);
	assert_int_equal(upgrade_recv(ends[1], &message), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
}

static void test_texts(void **state)
{
	char text[] = {'a', '\n', 'b', 'c'};

	upgrade_text_end(text, sizeof(text));
	assert_string_equal(text, "a b");
}

/* Who is sent away hears why, also when what it said itself was not read. */
static void test_last_words(void **state)
{
	assert_int_equal(upgrade_send(ends[0], UPGRADE_HELLO, "unread", 6, NULL, 0), 0);
	assert_int_equal(upgrade_send(ends[1], UPGRADE_REFUSED, "busy", 5, NULL, 0), 0);
	close(ends[1]);
	ends[1] = dup(ends[0]);
	assert_int_equal(upgrade_recv(ends[0], &message), 1);
	assert_int_equal(message.kind, UPGRADE_REFUSED);
	assert_string_equal((char *)message.body, "busy");
	upgrade_message_end(&message);
	assert_int_equal(upgrade_recv(ends[0], &message), 0);
}

static void test_nobody(void **state)
{
	struct ucred peer;

	assert_int_equal(upgrade_connect("/nowhere/at/all"), -ENOENT);
	assert_int_equal(upgrade_check_peer(ends[0], &peer), 0);
	assert_int_equal(peer.pid, getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_message, open_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_other_lengths, open_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_what_is_none, open_ends, close_ends),
		cmocka_unit_test(test_texts),
		cmocka_unit_test_setup_teardown(test_last_words, open_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_nobody, open_ends, close_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
