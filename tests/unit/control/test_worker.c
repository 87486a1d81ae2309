/* Worker threads with snapshots that change under them: requests on open connections through many
 * generations, addresses that come and go, draining and the end; with one worker and with two. */
#include "control/build.h"
#include "control/config.h"
#include "control/ids.h"
#include "control/worker.h"
#include "core/clock.h"
#include "net/socket.h"
#include "proxy/upstream.h"
#include "tls/tickets.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { IDS = 64, WORKERS_MAX = 2, CLIENTS = 6, GENERATIONS = 60, STOPS = 50, DEADLINE_S = 5 };

/* A web server on a thread of its own: "ok" to whatever is asked. */
static struct {
	pthread_t thread;
	int stop[2]; /* pipe */
	union addr addr;
	struct pollfd fds[64]; /* [0] stop, [1] listening socket */
	nfds_t n;
} web;

static struct build_env env;
static struct snapshot_root root;
static struct proxy_node node;
static struct gate_node gate_node;
static struct worker workers[WORKERS_MAX];
static struct build *in_force;
static int held[2];
static unsigned int ports[2];

static void web_serve(nfds_t at)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	char request[1024];
	ssize_t got = recv(web.fds[at].fd, request, sizeof(request), 0);

	/* requests are small and come whole */
	if (got <= 0 || send(web.fds[at].fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
		close(web.fds[at].fd);
		web.fds[at] = web.fds[--web.n];
	}
}

static void *web_main(void *arg)
{
	nfds_t i;
	int fd;

	while (poll(web.fds, web.n, -1) > 0 && !web.fds[0].revents) {
		for (i = web.n; i-- > 2;)
			if (web.fds[i].revents)
				web_serve(i);
		if (web.fds[1].revents && (fd = accept(web.fds[1].fd, NULL, NULL)) >= 0)
			web.fds[web.n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	for (i = 1; i < web.n; i++)
		close(web.fds[i].fd);
	return NULL;
}

static void web_start(void)
{
	struct err err;
	int fd;

	assert_int_equal(pipe(web.stop), 0);
	assert_int_equal(addr_parse("127.0.0.1:0", &web.addr), 0);
	fd = socket_listen(&web.addr, 64, 0, &err);
	assert_true(fd >= 0);
	assert_int_equal(socket_local_addr(fd, &web.addr), 0);
	web.fds[0] = (struct pollfd){.fd = web.stop[0], .events = POLLIN};
	web.fds[1] = (struct pollfd){.fd = fd, .events = POLLIN};
	web.n = 2;
	assert_int_equal(pthread_create(&web.thread, NULL, web_main, NULL), 0);
}

static void web_stop(void)
{
	assert_int_equal(write(web.stop[1], "", 1), 1);
	pthread_join(web.thread, NULL);
	close(web.stop[0]);
	close(web.stop[1]);
}

/* Keeps a port to ourselves without listening on it. */
static void hold_port(int *ret_fd, unsigned int *ret_port)
{
	union addr addr;
	int one = 1;

	assert_int_equal(addr_parse("127.0.0.1:0", &addr), 0);
	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(*ret_fd, &addr.any, addr_len(&addr)), 0);
	assert_int_equal(socket_local_addr(*ret_fd, &addr), 0);
	*ret_port = addr_port(&addr);
}

static struct build *build(const char *second_listener, unsigned int weight)
{
	struct config_errors errors;
	struct config *config = NULL;
	struct build *new = NULL;
	char yaml[1024], target[ADDR_TEXT_BYTES];

	snprintf(yaml, sizeof(yaml),
		"target_groups: [{name: web, protocol: http, health_check: {protocol: off},"
		" targets: [{address: \"%s\", weight: %u}]}]\n"
		"listeners:\n"
		"  - {name: a, protocol: http, address: \"127.0.0.1:%u\", target_group: web}\n%s",
		addr_format(&web.addr, target), weight, ports[0], second_listener);
	config_errors_init(&errors);
	if (config_parse(yaml, strlen(yaml), "t.yaml", &config, &errors) < 0 ||
		build_new(&env, in_force, config, NULL, &new, &errors) < 0)
		config_errors_print(&errors, stderr);
	assert_non_null(new);
	config_errors_fini(&errors);
	return new;
}

/* As a reload does it. */
static void publish(struct build *new)
{
	struct build *old = snapshot_publish(&root, new);
	uint32_t i;

	assert_ptr_equal(old, in_force);
	in_force = new;
	for (i = 0; i < env.n_workers; i++)
		worker_tell_sweep(&workers[i]);
	if (!old)
		return;
	build_release_ids(old, new, &env, true);
	snapshot_wait();
	build_free(old);
}

static void start(uint32_t n_workers)
{
	uint32_t i;

	signal(SIGPIPE, SIG_IGN);
	env = (struct build_env){.n_workers = n_workers,
		.tickets = tls_tickets_new(),
		.target_ids = ids_new(IDS),
		.socket_ids = ids_new(IDS),
		.listener_ids = ids_new(IDS)};
	web_start();
	for (i = 0; i < array_len(ports); i++)
		hold_port(&held[i], &ports[i]);
	root = (struct snapshot_root){0};
	atomic_store(&node.open, 0);
	gate_node =
		(struct gate_node){.limits = gate_limits_new(), .released = gate_released_new()};
	for (i = 0; i < n_workers; i++)
		assert_int_equal(worker_init(&workers[i], i, &root, &node, &gate_node), 0);
	publish(build("", 1));
	for (i = 0; i < n_workers; i++)
		assert_int_equal(worker_start(&workers[i], -1), 0);
	for (i = 0; i < n_workers; i++)
		while (!atomic_load(&workers[i].stamp_ns))
			sched_yield();
	snapshot_wait(); /* each has seen what it serves */
}

static void end(void)
{
	uint32_t i;

	for (i = 0; i < env.n_workers; i++)
		worker_tell_stop(&workers[i]);
	for (i = 0; i < env.n_workers; i++)
		assert_true(worker_join(&workers[i], clock_mono_ms() + 60000));
	assert_int_equal(atomic_load(&node.open), 0);
	for (i = 0; i < env.n_workers; i++)
		worker_fini(&workers[i]);
	gate_limits_free(gate_node.limits);
	gate_released_free(gate_node.released);
	build_free(in_force);
	in_force = NULL;
	web_stop();
	tls_tickets_put(env.tickets);
	ids_free(env.target_ids);
	ids_free(env.socket_ids);
	ids_free(env.listener_ids);
	for (i = 0; i < array_len(held); i++)
		close(held[i]);
}

/* A connected socket, or -1: refused. */
static int client(unsigned int port)
{
	struct timeval limit = {.tv_sec = DEADLINE_S};
	char text[ADDR_TEXT_BYTES];
	union addr addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(addr_parse(text, &addr), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	if (connect(fd, &addr.any, addr_len(&addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void ask(int fd)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
}

/* The answer to one request; returns whether the connection lives on. */
static bool answered(int fd)
{
	char bytes[512];
	size_t len = 0;
	ssize_t got;

	do {
		got = recv(fd, bytes + len, sizeof(bytes) - 1 - len, 0);
		assert_true(got > 0);
		len += (size_t)got;
		bytes[len] = '\0';
	} while (!strstr(bytes, "\r\n\r\nok"));
	assert_memory_equal(bytes, "HTTP/1.1 200 OK\r\n", 17);
	return !strstr(bytes, "Connection: close");
}

static bool is_ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

/* A worker that was waiting lets go of an address when it has woken up. */
static void until_refused(unsigned int port)
{
	uint64_t deadline_ms = clock_mono_ms() + DEADLINE_S * 1000;
	int fd;

	while ((fd = client(port)) >= 0) {
		close(fd);
		assert_true(clock_mono_ms() < deadline_ms);
		sched_yield();
	}
}

/* Connections that were there before live through all generations and see each of them. */
static void generations(uint32_t n_workers)
{
	char second[128];
	int fds[CLIENTS], fd, i, g;

	start(n_workers);
	for (i = 0; i < CLIENTS; i++)
		assert_true((fds[i] = client(ports[0])) >= 0);
	snprintf(second, sizeof(second),
		"  - {name: b, protocol: http, address: \"127.0.0.1:%u\", target_group: web}\n",
		ports[1]);
	for (g = 0; g < GENERATIONS; g++) {
		for (i = 0; i < CLIENTS; i++)
			ask(fds[i]);
		publish(build(g % 3 == 1 ? second : "", 1 + (unsigned int)g % 2));
		for (i = 0; i < CLIENTS; i++)
			assert_true(answered(fds[i]));
		if (g % 3 != 1) {
			until_refused(ports[1]);
			continue;
		}
		assert_true((fd = client(ports[1])) >= 0);
		ask(fd);
		assert_true(answered(fd));
		close(fd);
	}
	for (i = 0; i < CLIENTS; i++)
		close(fds[i]);
	end();
}

static void test_generations_one_worker(void **state)
{
	generations(1);
}

static void test_generations_two_workers(void **state)
{
	generations(2);
}

/* As SIGTERM: no snapshot any more, then drain. Idle connections end, requests are answered. */
static void stopping(uint32_t n_workers)
{
	int fds[CLIENTS], i;
	uint32_t w;

	start(n_workers);
	for (i = 0; i < CLIENTS; i++) {
		assert_true((fds[i] = client(ports[0])) >= 0);
		ask(fds[i]);
		if (i % 2)
			assert_true(answered(fds[i]));
	}
	assert_ptr_equal(snapshot_publish(&root, NULL), in_force);
	for (w = 0; w < n_workers; w++)
		worker_tell_drain(&workers[w]);
	for (i = 0; i < CLIENTS; i++) {
		if (i % 2 == 0)
			answered(fds[i]);
		assert_true(is_ended(fds[i]));
		close(fds[i]);
	}
	end();
}

static void test_stopping_one_worker(void **state)
{
	stopping(1);
}

static void test_stopping_two_workers(void **state)
{
	stopping(2);
}

/* Requests that have come, and that no worker has looked at when it is told to drain, are answered: on new
 * connections and on those that were waiting. */
static void test_stopping_unread(void **state)
{
	int fds[CLIENTS], i, round;
	uint32_t w;

	for (round = 0; round < STOPS; round++) {
		start(2);
		for (i = 0; i < CLIENTS; i += 2) {
			assert_true((fds[i] = client(ports[0])) >= 0);
			ask(fds[i]);
			assert_true(answered(fds[i]));
		}
		for (i = 1; i < CLIENTS; i += 2)
			assert_true((fds[i] = client(ports[0])) >= 0);
		for (i = 0; i < CLIENTS; i++)
			ask(fds[i]);
		assert_ptr_equal(snapshot_publish(&root, NULL), in_force);
		for (w = 0; w < env.n_workers; w++)
			worker_tell_drain(&workers[w]);
		for (i = 0; i < CLIENTS; i++) {
			answered(fds[i]);
			assert_true(is_ended(fds[i]));
			close(fds[i]);
		}
		end();
	}
}

/* Told to stop at once: what is open is closed, nothing is left. */
static void test_stop_at_once(void **state)
{
	int fds[CLIENTS], i;

	start(2);
	for (i = 0; i < CLIENTS; i++) {
		assert_true((fds[i] = client(ports[0])) >= 0);
		ask(fds[i]);
	}
	answered(fds[0]);
	end();
	for (i = 0; i < CLIENTS; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generations_one_worker),
		cmocka_unit_test(test_generations_two_workers),
		cmocka_unit_test(test_stopping_one_worker),
		cmocka_unit_test(test_stopping_two_workers),
		cmocka_unit_test(test_stopping_unread),
		cmocka_unit_test(test_stop_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
