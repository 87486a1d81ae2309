/*
 * Watching drops: what a line says, which ones a watcher gets, and several clients over a real admin
 * socket while this test plays the gates. The server runs on a thread of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/admin_request.h"
#include "control/watch.h"
#include "core/clock.h"
#include "core/mem.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sluice/counters.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- lines */

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void line_is(const struct watch_drop *drop, const char *wanted)
{
	size_t len;
	char *line = watch_line(drop, &len);

	assert_string_equal(line, wanted);
	assert_int_equal(strlen(line), len);
	free(line);
}

static void line_of_a_sample(void **state)
{
	struct sluice_sample sample = {
		.saddr_be = {0, 0, htonl(0xffff), htonl(0xc0000201)},
		.daddr_be = {0, 0, htonl(0xffff), htonl(0xc6336401)},
		.sport_be = htons(999),
		.dport_be = htons(443),
		.reason = COUNTER_deny_v4,
		.tcp_flags = 0x12,
		.length = 74,
		.weight = 40,
	};
	union addr source = addr_of("[2001:db8::7]:1");
	struct watch_drop drop;

	watch_drop_from_sample(&sample, 1764020000123456, &drop);
	drop.interface = "eth0";
	line_is(&drop, "{\"at\":1764020000.123,\"where\":\"xdp\",\"reason\":\"deny_v4\","
		       "\"source\":\"192.0.2.1\",\"source_port\":999,"
		       "\"destination\":\"198.51.100.1\",\"destination_port\":443,"
		       "\"interface\":\"eth0\",\"length_bytes\":74,\"weight\":40,"
		       "\"tcp_flags\":\"ACK SYN\",\"server_name\":null,\"ja4\":null,"
		       "\"listener\":null}\n");
	sample.v6 = 1;
	memcpy(sample.saddr_be, &source.v6.sin6_addr, 16);
	memset(sample.daddr_be, 0, sizeof(sample.daddr_be)); /* not read */
	sample.reason = 999;     /* of a newer program */
	watch_drop_from_sample(&sample, 0, &drop);
	line_is(&drop, "{\"at\":0.0,\"where\":\"xdp\",\"reason\":\"unknown\","
		       "\"source\":\"2001:db8::7\",\"source_port\":999,"
		       "\"destination\":null,\"destination_port\":null,"
		       "\"interface\":null,\"length_bytes\":74,\"weight\":40,"
		       "\"tcp_flags\":\"ACK SYN\",\"server_name\":null,\"ja4\":null,"
		       "\"listener\":null}\n");
}

static void line_of_a_refusal(void **state)
{
	struct gate_event event = {.at_unix_us = 5000000,
		.client = addr_of("192.0.2.9:7"),
		.local = addr_of("[2001:db8::1]:443"),
		.reason = GATE_name_unknown,
		.server_name = "a\"b.test",
		.ja4 = "t13d"};
	struct watch_drop drop;

	watch_drop_from_event(&event, &drop);
	drop.listener = "web";
	line_is(&drop, "{\"at\":5.0,\"where\":\"gate\",\"reason\":\"name_unknown\","
		       "\"source\":\"192.0.2.9\",\"source_port\":7,"
		       "\"destination\":\"2001:db8::1\",\"destination_port\":443,"
		       "\"interface\":null,\"length_bytes\":null,\"weight\":1,"
		       "\"tcp_flags\":null,\"server_name\":\"a\\\"b.test\",\"ja4\":\"t13d\","
		       "\"listener\":\"web\"}\n");
	event.ungated = true;
	watch_drop_from_event(&event, &drop);
	assert_string_equal(drop.where, "accept");
}

static void filters(void **state)
{
	static const struct {
		const char *prefix, *source;
		bool is_taken;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.255:1", true},
		{"192.0.2.0/24", "192.0.3.0:1", false},
		{"192.0.2.128/25", "192.0.2.127:1", false},
		{"192.0.2.128/25", "192.0.2.128:1", true},
		{"192.0.2.1", "192.0.2.1:1", true},
		{"192.0.2.1", "192.0.2.0:1", false},
		{"0.0.0.0/0", "203.0.113.1:1", true},
		{"0.0.0.0/0", "[2001:db8::1]:1", false},
		{"2001:db8::/33", "[2001:db8:7fff::]:1", true},
		{"2001:db8::/33", "[2001:db8:8000::]:1", false},
		{"2001:db8::1", "[2001:db8::1]:1", true},
	};
	struct watch_filter filter = {.has_source = true};
	struct watch_drop drop = {.reason = "deny_v4"};
	struct err err;

	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(
			dp_prefix_parse(slice_of(rows[i].prefix), &filter.source, &err), 0);
		drop.source = addr_of(rows[i].source);
		assert_int_equal(watch_filter_takes(&filter, &drop), rows[i].is_taken);
	}
	drop.source = (union addr){0};
	assert_false(watch_filter_takes(&filter, &drop));
	filter = (struct watch_filter){.reason = "deny_v4"};
	assert_true(watch_filter_takes(&filter, &drop));
	drop.reason = "deny_v6";
	assert_false(watch_filter_takes(&filter, &drop));
	assert_true(watch_reason_exists("deny_v6") && watch_reason_exists("ja4_denied"));
	assert_false(watch_reason_exists("nonsense"));
}

/* --- clients */

enum { WORKERS = 2, DEADLINE_MS = 10000, TEXT_BYTES = 4 * 1024 * 1024 };

static struct fixture {
	char folder[64], path[96];
	struct iothread io;
	struct dataplane *dp;
	struct worker workers[WORKERS];
	struct watch_hub *hub;
	struct admin *admin;
	pthread_t thread;
	char *text; /* what was read */
} fixture;

static const char *name_listener(void *arg, uint32_t id, const union addr *local)
{
	return id == 3 ? "three" : NULL;
}

static void watch_drops(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct watch_filter filter = {0};

	assert_true(
		admin_query_text(call->query, "reason", filter.reason, sizeof(filter.reason)) >= 0);
	watch_hub_open(fixture.hub, &filter, reply);
}

static void *serve(void *arg)
{
	loop_run(fixture.io.loop);
	return NULL;
}

static int setup(void **state)
{
	static const struct admin_source source = {.watch_drops = watch_drops};
	struct dataplane_spec off = {.enabled = false, .workers = WORKERS};
	struct admin_spec admin = {.source = &source};
	struct watch_hub_spec hub;
	struct err err;

	memset(&fixture, 0, sizeof(fixture));
	fixture.text = mem_zalloc(TEXT_BYTES);
	strcpy(fixture.folder, "/tmp/sluice-test-watch-XXXXXX");
	assert_non_null(mkdtemp(fixture.folder));
	snprintf(fixture.path, sizeof(fixture.path), "%s/a.sock", fixture.folder);
	admin.socket_path = fixture.path;
	assert_int_equal(iothread_init(&fixture.io, 0), 0);
	assert_int_equal(dataplane_open(&off, &fixture.dp, &err), 0);
	for (int i = 0; i < WORKERS; i++)
		fixture.workers[i].gate_worker.events = gate_events_new();
	hub = (struct watch_hub_spec){
		fixture.io.loop, fixture.dp, fixture.workers, WORKERS, name_listener, NULL};
	assert_int_equal(watch_hub_new(&hub, &fixture.hub, &err), 0);
	assert_int_equal(admin_new(&fixture.io, &admin, &fixture.admin, &err), 0);
	assert_int_equal(pthread_create(&fixture.thread, NULL, serve, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	loop_stop(fixture.io.loop);
	pthread_join(fixture.thread, NULL);
	admin_free(fixture.admin);
	watch_hub_free(fixture.hub);
	dataplane_close(fixture.dp, DATAPLANE_DETACH);
	iothread_fini(&fixture.io);
	for (int i = 0; i < WORKERS; i++)
		gate_events_free(fixture.workers[i].gate_worker.events);
	rmdir(fixture.folder);
	free(fixture.text);
	return 0;
}

static int dial(const char *query)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval deadline = {.tv_sec = DEADLINE_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[256];

	strcpy(address.sun_path, fixture.path);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(request, sizeof(request), "GET /v1/watch/drops%s HTTP/1.1\r\nHost: x\r\n\r\n",
		query);
	assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	return fd;
}

/* Reads on until `wanted` is in the text; the text so far. */
static const char *hear_on(int fd, const char *wanted)
{
	size_t len = strlen(fixture.text);

	while (!strstr(fixture.text, wanted)) {
		ssize_t n = recv(fd, fixture.text + len, TEXT_BYTES - 1 - len, 0);

		if (n <= 0)
			fail_msg("no \"%s\" in: %.2000s", wanted, fixture.text);
		len += (size_t)n;
		fixture.text[len] = '\0';
	}
	return fixture.text;
}

static const char *hear(int fd, const char *wanted)
{
	fixture.text[0] = '\0';
	return hear_on(fd, wanted);
}

static void await_watched(bool on)
{
	uint64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;

	while (gate_events_wanted(fixture.workers[WORKERS - 1].gate_worker.events) != on) {
		assert_true(clock_mono_ms() < deadline_ms);
		poll(NULL, 0, 1);
	}
}

static void refuse(int worker, enum gate_reason reason)
{
	struct gate_event event = {.at_unix_us = 1000000,
		.client = addr_of("192.0.2.9:7"),
		.local = addr_of("198.51.100.1:443"),
		.reason = reason,
		.listener_id = 3};

	gate_events_put(fixture.workers[worker].gate_worker.events, &event);
}

static void several_watch_and_filter(void **state)
{
	int all = dial(""), some = dial("?reason=not_tls");

	hear(all, "\r\n\r\n");
	hear(some, "\r\n\r\n");
	await_watched(true);
	refuse(0, GATE_name_unknown);
	refuse(1, GATE_not_tls);
	hear(all, "not_tls");
	assert_non_null(strstr(fixture.text, "name_unknown"));
	assert_non_null(strstr(fixture.text, "\"listener\":\"three\""));
	hear(some, "not_tls");
	assert_null(strstr(fixture.text, "name_unknown"));
	close(all);
	refuse(0, GATE_not_tls); /* the other goes on */
	hear(some, "not_tls");
	close(some);
	await_watched(false);
}

/* Nobody watches: nothing is collected, and what came meanwhile is not shown later. */
static void nothing_is_kept_for_nobody(void **state)
{
	int fd;

	refuse(0, GATE_ja4_denied);
	fd = dial("");
	await_watched(true);
	refuse(0, GATE_not_tls);
	hear(fd, "not_tls");
	assert_null(strstr(fixture.text, "ja4_denied"));
	close(fd);
	await_watched(false);
	assert_false(gate_events_wanted(fixture.workers[0].gate_worker.events));
}

/* Returns how many were tried: what the ring of the worker does not hold is lost too. */
static uint32_t put_many(uint32_t n)
{
	uint64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
	struct gate_events *events = fixture.workers[0].gate_worker.events;
	uint32_t tried;

	for (tried = 0; n > 0; tried++) {
		uint64_t lost = gate_events_lost(events);

		refuse(0, GATE_not_tls);
		if (gate_events_lost(events) == lost)
			n--;
		else
			poll(NULL, 0, 5);
		assert_true(clock_mono_ms() < deadline_ms);
	}
	return tried;
}

static unsigned long sum_of_lost(const char *text)
{
	static const char lost[] = "{\"lost\":";
	unsigned long sum = 0;

	for (text = strstr(text, lost); text; text = strstr(text + 1, lost))
		sum += strtoul(text + sizeof(lost) - 1, NULL, 10);
	return sum;
}

static uint32_t lines_of(const char *text, const char *part)
{
	uint32_t n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

/* It misses lines, is told how many, to the last one, and holds up nobody. */
static void slow_reader_is_told(void **state)
{
	int slow = dial("?reason=not_tls"), size = 4096, quick = dial("?reason=name_unknown");
	uint32_t tried;

	assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	hear(slow, "\r\n\r\n");
	hear(quick, "\r\n\r\n");
	await_watched(true);
	tried = put_many(4 * ADMIN_STREAM_BYTES_MAX / 300); /* a line has more than 300 bytes */
	refuse(0, GATE_name_unknown);
	hear(quick, "name_unknown"); /* so all of the others have been taken before */
	hear(slow, "\"lost\":");
	/* The rest of the lines, and what was lost in as many parts as it is told. */
	while (lines_of(fixture.text, "\"not_tls\"") + sum_of_lost(fixture.text) < tried) {
		size_t len = strlen(fixture.text);
		ssize_t n = recv(slow, fixture.text + len, TEXT_BYTES - 1 - len, 0);

		if (n <= 0)
			fail_msg("%u lines and %lu lost of %u",
				lines_of(fixture.text, "\"not_tls\""), sum_of_lost(fixture.text),
				tried);
		fixture.text[len + (size_t)n] = '\0';
	}
	assert_true(lines_of(fixture.text, "\"not_tls\"") > ADMIN_STREAM_BYTES_MAX / 400);
	assert_int_equal(lines_of(fixture.text, "\"not_tls\"") + sum_of_lost(fixture.text), tried);
	close(slow);
	close(quick);
	await_watched(false);
}

/* Operators still find a connection. */
static void watchers_are_bounded(void **state)
{
	int fds[WATCH_WATCHERS_MAX + 1];

	for (int i = 0; i < WATCH_WATCHERS_MAX; i++) {
		fds[i] = dial("");
		hear(fds[i], "200 OK");
	}
	fds[WATCH_WATCHERS_MAX] = dial("");
	hear(fds[WATCH_WATCHERS_MAX], "too_many_watchers");
	assert_int_equal(strncmp(fixture.text, "HTTP/1.1 503 ", 13), 0);
	for (int i = 0; i <= WATCH_WATCHERS_MAX; i++)
		close(fds[i]);
	await_watched(false);
}

/* The daemon ends while somebody watches. */
static void ends_with_the_server(void **state)
{
	hear(dial(""), "\r\n\r\n");
	await_watched(true);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_of_a_sample),
		cmocka_unit_test(line_of_a_refusal),
		cmocka_unit_test(filters),
		SERVED(several_watch_and_filter),
		SERVED(nothing_is_kept_for_nobody),
		SERVED(slow_reader_is_told),
		SERVED(watchers_are_bounded),
		SERVED(ends_with_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
