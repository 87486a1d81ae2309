/*
 * What the tests of the admin API share: a server with a fake source, in its loop on a thread of its
 * own; raw clients with a deadline on every read; and a word in both directions between the test and
 * the server's thread.
 */
#ifndef SLUICE_TESTS_ADMIN_CASE_H
#define SLUICE_TESTS_ADMIN_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/admin.h"
#include "core/loop.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_S = 10, IMPATIENT_MS = 500 };

static struct server {
	char folder[64], path[128];
	struct iothread io;
	struct admin *admin;
	pthread_t thread;
	int told_fd, tell_fd;   /* a byte from the server's thread */
	struct watch orders;    /* a byte for it */
	int order_fd;
	void (*ordered)(char what);
} server;
static char *reply_text; /* the last reply, whole */

/* On the server's thread. */
static inline void tell(char byte)
{
	assert_int_equal(write(server.tell_fd, &byte, 1), 1);
}

static inline void take_order(struct watch *watch, uint32_t events)
{
	char what;

	assert_int_equal(read(watch->fd, &what, 1), 1);
	server.ordered(what);
}

/* On the test's. */
static inline void order(char what)
{
	assert_int_equal(write(server.order_fd, &what, 1), 1);
}

static inline void await(char wanted)
{
	char byte = 0;

	while (byte != wanted)
		assert_int_equal(read(server.told_fd, &byte, 1), 1);
}

static inline void *serve(void *arg)
{
	loop_run(server.io.loop);
	return NULL;
}

static inline void server_start(
	const struct admin_source *source, uint32_t idle_ms, void (*ordered)(char what))
{
	struct admin_spec spec = {.source = source, .idle_ms = idle_ms};
	int told[2], orders[2];
	struct err err;

	server = (struct server){.ordered = ordered};
	strcpy(server.folder, "/tmp/sluice-test-admin-XXXXXX");
	assert_non_null(mkdtemp(server.folder));
	snprintf(server.path, sizeof(server.path), "%s/run/admin.sock", server.folder);
	spec.socket_path = server.path;
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	server.told_fd = told[0];
	server.tell_fd = told[1];
	server.orders = (struct watch){.fd = orders[0], .ready = take_order};
	server.order_fd = orders[1];
	assert_int_equal(iothread_init(&server.io, 0), 0);
	assert_int_equal(loop_add_level(server.io.loop, &server.orders), 0);
	if (admin_new(&server.io, &spec, &server.admin, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static inline void server_stop(void)
{
	char run[128];

	loop_stop(server.io.loop);
	pthread_join(server.thread, NULL);
	admin_free(server.admin);
	iothread_fini(&server.io);
	close(server.told_fd);
	close(server.tell_fd);
	close(server.orders.fd);
	close(server.order_fd);
	assert_int_equal(access(server.path, F_OK), -1);
	snprintf(run, sizeof(run), "%s/run", server.folder);
	assert_int_equal(rmdir(run), 0); /* nothing else was left in it */
	assert_int_equal(rmdir(server.folder), 0);
}

static inline int stop(void **state)
{
	server_stop();
	free(reply_text);
	reply_text = NULL;
	return 0;
}

#include "admin_client.h"

#endif
