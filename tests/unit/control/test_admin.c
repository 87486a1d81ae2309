/*
 * The admin API over a real unix socket: the server runs in its loop on a thread of its own, the
 * tests are raw clients with a deadline on every read. The source is a fake one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/admin.h"
#include "control/admin_request.h"
#include "core/loop.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_S = 10, BIG_ROWS = 60000, IMPATIENT_MS = 500 };

struct server {
	char folder[64], path[128];
	struct loop *loop;
	struct admin *admin;
	pthread_t thread;
	struct admin_reply *waiting;
	int reload_read_fd, reload_write_fd; /* a byte: something has happened */
	struct watch release;                /* a byte: what to do with what waits */
	struct admin_stream *stream;
	uint32_t puts; /* that found room, of a 'f' */
};

static struct server server;
static char *reply_text; /* the last reply, whole */

/* --- the fake source */

static int fake_status(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_obj_add_str(doc, root, "version", "1.2.3");
	return 0;
}

static int fake_listeners(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	return -EIO;
}

static int fake_targets(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "targets");

	for (int i = 0; i < BIG_ROWS; i++)
		yyjson_mut_arr_add_str(doc, list, "a row of a very long list of targets");
	return 0;
}

static int fake_certificates(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_obj_add_strcpy(doc, root, "name", "bad \xff utf-8");
	return 0;
}

static void tell(char byte)
{
	assert_int_equal(write(server.reload_write_fd, &byte, 1), 1);
}

static const char line[] = "{\"reason\": \"deny_v4\"}\n";

static void fill_stream(void)
{
	char block[1000];

	memset(block, 'b', sizeof(block));
	server.puts = 0;
	while (admin_stream_put(server.stream, block, sizeof(block)))
		server.puts++;
	tell('f');
}

/* x: finish the reload; p: put a line into the stream; f: fill it; e: end it. */
static void do_as_told(struct watch *watch, uint32_t events)
{
	char what;

	assert_int_equal(read(watch->fd, &what, 1), 1);
	if (what == 'x')
		admin_reply_reloaded(server.waiting, false, 7);
	else if (what == 'p')
		assert_true(admin_stream_put(server.stream, line, sizeof(line) - 1));
	else if (what == 'f')
		fill_stream();
	else
		admin_stream_end(server.stream);
}

/* A dry run is refused at once, a real one is finished when the test says so. */
static void fake_reload(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	bool dry_run = false;

	if (admin_query_flag(call->query, "dry_run", &dry_run) < 0) {
		admin_reply_error(reply, 400, "bad_request", "dry_run is 0 or 1");
	} else if (dry_run) {
		admin_reply_refused(reply, "a.yaml:1:2: x: wrong\na.yaml:3:4: y: wrong too\n");
	} else {
		server.waiting = reply;
		tell('r');
	}
}

static void fake_top(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	char kind[8], text[64];
	uint32_t n = 0;
	int has_kind = admin_query_text(call->query, "kind", kind, sizeof(kind));
	int has_n = admin_query_number(call->query, "n", 100, &n);
	int len = snprintf(text, sizeof(text), "kind %d %s n %d %u\n", has_kind, kind, has_n, n);

	admin_reply_text(reply, "text/plain", text, (size_t)len);
}

static void fake_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_text(reply, "text/plain", call->body.ptr, call->body.len);
}

/* The body outlives the call. */
static void fake_import(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct slice body = call->body;
	char *taken = admin_reply_take_request(reply), text[64];
	size_t i, sum = 0;
	int len;

	for (i = 0; i < body.len; i++)
		sum += (unsigned char)body.ptr[i];
	free(taken);
	len = snprintf(text, sizeof(text), "%zu bytes, sum %zu\n", body.len, sum);
	admin_reply_text(reply, "text/plain", text, (size_t)len);
}

static void stream_drained(void *arg)
{
	tell('d');
}

static void stream_closed(void *arg)
{
	server.stream = NULL;
	tell('c');
}

static void fake_watch(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {stream_drained, stream_closed};

	server.stream = admin_reply_stream(reply, "application/x-ndjson", &ops, NULL);
}

static const struct admin_source source = {
	.status = fake_status,
	.listeners = fake_listeners,
	.targets = fake_targets,
	.certificates = fake_certificates,
	.top = fake_top,
	.watch_drops = fake_watch,
	.lists_show = fake_top,
	.lists_change = fake_change,
	.lists_import = fake_import,
	.reload = fake_reload,
};

/* --- the server */

static void *serve(void *arg)
{
	loop_run(server.loop);
	return NULL;
}

static int release_fd; /* the test's end */

static void server_start(uint32_t idle_ms)
{
	struct admin_spec spec = {.source = &source, .idle_ms = idle_ms};
	int started[2], released[2];
	struct err err;

	server = (struct server){0};
	strcpy(server.folder, "/tmp/sluice-test-admin-XXXXXX");
	assert_non_null(mkdtemp(server.folder));
	snprintf(server.path, sizeof(server.path), "%s/run/admin.sock", server.folder);
	spec.socket_path = server.path;
	assert_int_equal(pipe2(started, O_CLOEXEC), 0);
	assert_int_equal(pipe2(released, O_CLOEXEC), 0);
	server.reload_read_fd = started[0];
	server.reload_write_fd = started[1];
	server.release = (struct watch){.fd = released[0], .ready = do_as_told};
	release_fd = released[1];
	assert_int_equal(loop_new(&server.loop), 0);
	assert_int_equal(loop_add_level(server.loop, &server.release), 0);
	if (admin_new(server.loop, &spec, &server.admin, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_stop(void)
{
	char run[128];

	loop_stop(server.loop);
	pthread_join(server.thread, NULL);
	admin_free(server.admin);
	loop_free(server.loop);
	close(server.reload_read_fd);
	close(server.reload_write_fd);
	close(server.release.fd);
	close(release_fd);
	assert_int_equal(access(server.path, F_OK), -1);
	snprintf(run, sizeof(run), "%s/run", server.folder);
	assert_int_equal(rmdir(run), 0); /* nothing else was left in it */
	assert_int_equal(rmdir(server.folder), 0);
}

static int start(void **state)
{
	server_start(0);
	return 0;
}

static int start_impatient(void **state)
{
	server_start(IMPATIENT_MS);
	return 0;
}

static int stop(void **state)
{
	server_stop();
	free(reply_text);
	reply_text = NULL;
	return 0;
}

/* --- raw clients */

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval deadline = {.tv_sec = DEADLINE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, server.path);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until the text holds `wanted`, or to the end if that is NULL. */
static const char *hear(int fd, const char *wanted)
{
	size_t len = 0, size = 4096;

	reply_text = mem_realloc(reply_text, size);
	reply_text[0] = '\0';
	while (!wanted || !strstr(reply_text, wanted)) {
		ssize_t n = recv(fd, reply_text + len, size - 1 - len, 0);

		if (n < 0 && errno != ECONNRESET)
			fail_msg("recv: %s after: %.500s", strerror(errno), reply_text);
		if (n <= 0) {
			if (wanted)
				fail_msg("no \"%s\" in: %.500s", wanted, reply_text);
			break;
		}
		len += (size_t)n;
		reply_text[len] = '\0';
		if (len == size - 1) {
			size *= 2;
			reply_text = mem_realloc(reply_text, size);
		}
	}
	return reply_text;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %.800s", part, text);
}

static void assert_begins(const char *text, const char *part)
{
	if (strncmp(text, part, strlen(part)) != 0)
		fail_msg("does not begin with \"%s\": %.800s", part, text);
}

#define GET(path)       "GET " path " HTTP/1.1\r\nHost: sluice\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\r\n"
#define POST_CLOSE(path)                                                                           \
	"POST " path " HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static const char *ask(const char *request)
{
	int fd = dial();
	const char *reply;

	say(fd, request);
	reply = hear(fd, NULL);
	close(fd);
	return reply;
}

/* --- tests: requests */

static void test_view(void **state)
{
	const char *reply = ask(GET_CLOSE("/v1/status"));

	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	assert_has(reply, "Content-Type: application/json\r\n");
	assert_has(reply, "Content-Length: 25\r\n");
	assert_has(reply, "Connection: close\r\n");
	assert_has(reply, "\r\n\r\n{\n  \"version\": \"1.2.3\"\n}\n");
}

static void test_head(void **state)
{
	const char *reply = ask("HEAD /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	assert_has(reply, "Content-Length: 25\r\n");
	assert_string_equal(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
}

static void test_byte_by_byte(void **state)
{
	const char *request = GET_CLOSE("/v1/status");
	int fd = dial();

	for (; *request; request++)
		assert_int_equal(send(fd, request, 1, MSG_NOSIGNAL), 1);
	assert_begins(hear(fd, NULL), "HTTP/1.1 200 OK\r\n");
	close(fd);
}

static uint32_t count_of(const char *text, const char *part)
{
	const char *end = text + strlen(text);
	uint32_t n = 0;

	for (;; text++, n++) {
		text = memmem(text, (size_t)(end - text), part, strlen(part));
		if (!text)
			return n;
	}
}

/* Two answers come; the third request waits; the fourth is answered behind it. */
static void test_pipeline_keeps_order(void **state)
{
	int fd = dial();
	const char *reply;
	char byte;

	say(fd, GET("/v1/status") GET("/none") "POST /v1/reload HTTP/1.1\r\nHost: x\r\n"
					       "Content-Length: 5\r\n\r\nabcde");
	say(fd, GET_CLOSE("/v1/status"));
	reply = hear(fd, "no such path");
	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	assert_int_equal(read(server.reload_read_fd, &byte, 1), 1);
	assert_int_equal(write(release_fd, "x", 1), 1);
	reply = hear(fd, NULL);
	assert_int_equal(count_of(reply, "HTTP/1.1 200 OK"), 2);
	assert_has(reply, "\"result\": \"applied\"");
	assert_has(reply, "\"generation\": 7");
	assert_has(reply, "1.2.3");
	assert_true(strstr(reply, "applied") < strstr(reply, "1.2.3"));
	close(fd);
}

static void test_half_closed_client_is_answered(void **state)
{
	int fd = dial();

	say(fd, GET("/v1/status"));
	shutdown(fd, SHUT_WR);
	assert_has(hear(fd, NULL), "1.2.3");
	close(fd);
}

static void test_client_gone_before_reload_ends(void **state)
{
	int fd = dial();
	char byte;

	say(fd, POST_CLOSE("/v1/reload"));
	assert_int_equal(read(server.reload_read_fd, &byte, 1), 1);
	close(fd);
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3"); /* so its end has been seen */
	assert_int_equal(write(release_fd, "x", 1), 1);
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3");
}

static void test_refused_reload_lists_errors(void **state)
{
	const char *reply = ask(POST_CLOSE("/v1/reload?dry_run=1"));

	assert_begins(reply, "HTTP/1.1 422 ");
	assert_has(reply, "\"code\": \"config_invalid\"");
	assert_has(reply, "\"a.yaml:1:2: x: wrong\",");
	assert_has(reply, "\"a.yaml:3:4: y: wrong too\"\n");
}

static void test_errors(void **state)
{
	static const char *const rows[][3] = {
		{GET_CLOSE("/v1/nothing"), "HTTP/1.1 404 ", "\"code\": \"not_found\""},
		{GET_CLOSE("/v1/reload"), "HTTP/1.1 405 ", "\r\nAllow: POST\r\n"},
		{POST_CLOSE("/v1/status"), "HTTP/1.1 405 ", "\r\nAllow: GET, HEAD\r\n"},
		{POST_CLOSE("/v1/reload?dryrun=1"), "HTTP/1.1 400 ", "\"bad_request\""},
		{POST_CLOSE("/v1/reload?dry_run=perhaps"), "HTTP/1.1 400 ", "dry_run"},
		{GET_CLOSE("/v1/status?a=b"), "HTTP/1.1 400 ", "takes no parameters"},
		{GET_CLOSE("/v1/top?n=3&kinds=x"), "HTTP/1.1 400 ",
			"no parameter \\\"kinds\\\"; there is: kind n"},
		{"DELETE /v1/deny HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 ",
			"\r\nAllow: GET, HEAD, POST\r\n"},
		{POST_CLOSE("/v1/deny/hits?on=1"), "HTTP/1.1 501 ", "\"not_implemented\""},
		{GET_CLOSE("/v1/listeners"), "HTTP/1.1 500 ", "Input/output error"},
		{GET_CLOSE("/v1/drops"), "HTTP/1.1 501 ", "\"not_implemented\""},
		{"nonsense\r\n\r\n", "HTTP/1.1 400 ", "\"message\""},
		{"GET /v1/status HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "host_missing"},
		{"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 411 ", "\"length_required\""},
		{"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n",
			"HTTP/1.1 413 ", "\"too_large\""},
		{"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
			"HTTP/1.1 413 ", "\"too_large\""},
		{"POST /v1/deny HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n",
			"HTTP/1.1 413 ", "64 KiB"},
		{"POST /v1/deny/import HTTP/1.1\r\nHost: x\r\nContent-Length: 134217729\r\n\r\n",
			"HTTP/1.1 413 ", "128 MiB"},
	};

	for (size_t i = 0; i < array_len(rows); i++) {
		const char *reply = ask(rows[i][0]);

		assert_begins(reply, rows[i][1]);
		assert_has(reply, rows[i][2]);
		assert_has(reply, "{\n  \"error\": {");
	}
}

static void test_endless_head_is_refused(void **state)
{
	char line[1024];
	int fd = dial();
	const char *reply;

	memset(line, 'a', sizeof(line));
	memcpy(line, "X-Y: ", 5);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	say(fd, "GET /v1/status HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 70; i++) {
		if (send(fd, line, sizeof(line), MSG_NOSIGNAL) < 0)
			break;
	}
	reply = hear(fd, NULL);
	assert_begins(reply, "HTTP/1.1 431 ");
	close(fd);
}

/* One header line that never ends, sent slowly enough that the buffer fills step by step. */
static void test_full_buffer_is_refused(void **state)
{
	char piece[4096];
	int fd = dial();

	memset(piece, 'a', sizeof(piece));
	say(fd, "GET /");
	for (int i = 0; i < 20; i++) {
		if (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) < 0)
			break;
	}
	assert_begins(hear(fd, NULL), "HTTP/1.1 4");
	close(fd);
}

static void test_bad_utf8_does_not_spoil_a_view(void **state)
{
	const char *reply = ask(GET_CLOSE("/v1/certificates"));

	assert_begins(reply, "HTTP/1.1 200 ");
	assert_has(reply, "bad \\uFFFD utf-8");
}

static void test_parameters(void **state)
{
	static const char *const rows[][2] = {
		{GET_CLOSE("/v1/top"), "kind 0  n 0 0\n"},
		{GET_CLOSE("/v1/top?kind=ja4&n=20"), "kind 1 ja4 n 1 20\n"},
		{GET_CLOSE("/v1/top?n=100&kind=%6Aa%34"), "kind 1 ja4 n 1 100\n"},
		{GET_CLOSE("/v1/top?kind"), "kind 1  n 0 0\n"},
		{GET_CLOSE("/v1/top?kind=12345678"), "kind -22 "},
		{GET_CLOSE("/v1/top?kind=a%0"), "kind -22 "},
		{GET_CLOSE("/v1/top?kind=a%00b"), "kind -22 "},
		{GET_CLOSE("/v1/top?n=0"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=101"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=-1"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=7x"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n="), "n -22 0\n"},
	};

	for (size_t i = 0; i < array_len(rows); i++)
		assert_has(ask(rows[i][0]), rows[i][1]);
	assert_has(reply_text, "Content-Type: text/plain\r\n");
}

/* One path, two methods; the body reaches the command. */
static void test_body(void **state)
{
	assert_has(ask("POST /v1/deny HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		       "Content-Length: 5\r\n\r\nabcde"),
		"\r\n\r\nabcde");
	assert_has(ask(GET_CLOSE("/v1/deny")), "kind 0");
}

enum { BIG_BYTES = 3 * 1000 * 1000 };

static void say_big_head(int fd)
{
	char head[128];

	snprintf(head, sizeof(head),
		"POST /v1/deny/import HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
		BIG_BYTES);
	say(fd, head);
}

static void say_zeros(int fd, size_t len, char digit)
{
	char block[10000];

	memset(block, digit, sizeof(block));
	for (; len > 0; len -= sizeof(block))
		assert_int_equal(
			send(fd, block, sizeof(block), MSG_NOSIGNAL), (ssize_t)sizeof(block));
}

/* A list of a million prefixes: far above the bound of other requests, with another one behind. */
static void test_big_body(void **state)
{
	char expected[64];
	int fd = dial();

	snprintf(expected, sizeof(expected), "%d bytes, sum %ld\n", BIG_BYTES, BIG_BYTES * 48L);
	for (int round = 0; round < 2; round++) {
		say_big_head(fd);
		say_zeros(fd, BIG_BYTES, '0');
		say(fd, GET("/v1/status"));
		assert_has(hear(fd, "1.2.3\"\n}\n"), expected);
	}
	close(fd);
}

/* One of these at a time: memory is bounded. */
static void test_second_big_body_is_refused(void **state)
{
	int first = dial(), second = dial();

	say_big_head(first);
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3"); /* so the head has been seen */
	say_big_head(second);
	assert_begins(hear(second, "}\n}\n"), "HTTP/1.1 503 ");
	assert_has(reply_text, "\"busy\"");
	close(second);
	say_zeros(first, BIG_BYTES, '0');
	assert_has(hear(first, "sum"), "HTTP/1.1 200 ");
	second = dial();
	say_big_head(second);
	say_zeros(second, BIG_BYTES, '1');
	assert_has(hear(second, "sum"), "HTTP/1.1 200 ");
	close(first);
	close(second);
}

/* --- tests: streams */

static void order(char what)
{
	assert_int_equal(write(release_fd, &what, 1), 1);
}

static void await(char wanted)
{
	char byte = 0;

	while (byte != wanted)
		assert_int_equal(read(server.reload_read_fd, &byte, 1), 1);
}

static void test_stream(void **state)
{
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	say(fd, GET_CLOSE("/v1/status")); /* waits until the stream has ended */
	hear(fd, "\r\n\r\n");
	assert_begins(reply_text, "HTTP/1.1 200 OK\r\n");
	assert_has(reply_text, "Content-Type: application/x-ndjson\r\n");
	assert_has(reply_text, "Transfer-Encoding: chunked\r\n");
	await('d');
	for (int i = 0; i < 2; i++) {
		order('p');
		assert_string_equal(hear(fd, "}\n\r\n"), "16\r\n{\"reason\": \"deny_v4\"}\n\r\n");
	}
	order('e');
	hear(fd, NULL);
	assert_begins(reply_text, "0\r\n\r\nHTTP/1.1 200 OK\r\n");
	assert_has(reply_text, "1.2.3");
	close(fd);
}

static void test_stream_of_http_1_0(void **state)
{
	int fd = dial();

	say(fd, "GET /v1/watch/drops HTTP/1.0\r\nHost: x\r\n\r\n");
	hear(fd, "\r\n\r\n");
	assert_null(strstr(reply_text, "chunked"));
	await('d');
	order('p');
	assert_string_equal(hear(fd, "}\n"), line);
	order('e');
	assert_string_equal(hear(fd, NULL), "");
	close(fd);
}

static void test_stream_head(void **state)
{
	const char *reply =
		ask("HEAD /v1/watch/drops HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	assert_string_equal(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
}

/* The client leaves: whoever puts is told. Half of it may close. */
static void test_stream_client_leaves(void **state)
{
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	shutdown(fd, SHUT_WR);
	hear(fd, "\r\n\r\n");
	order('p');
	hear(fd, "deny_v4");
	close(fd);
	await('c');
	assert_null(server.stream);
}

/* What does not fit is refused, and once the client has read there is room again. */
static void test_stream_is_bounded(void **state)
{
	size_t bytes = 0;
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	hear(fd, "\r\n\r\n");
	await('d');
	order('f');
	await('f');
	assert_in_range(server.puts, 200, ADMIN_STREAM_BYTES_MAX / 1000);
	while (bytes < server.puts * 1000)
		bytes += strlen(hear(fd, "b"));
	await('d');
	order('p');
	hear(fd, "deny_v4");
	close(fd);
	await('c');
}

/* A client that takes nothing is not waited for longer than the idle time; one for which there is
 * nothing to take may stay. */
static void test_stream_idle(void **state)
{
	struct pollfd poll_fd = {.events = POLLIN};
	int quiet, stuck = dial(), size = 4096;

	assert_int_equal(setsockopt(stuck, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	say(stuck, GET("/v1/watch/drops"));
	hear(stuck, "\r\n\r\n");
	await('d');
	order('f');
	await('f');
	order('f'); /* the first may have gone into the socket */
	await('c');
	close(stuck);
	quiet = dial();
	say(quiet, GET("/v1/watch/drops"));
	hear(quiet, "\r\n\r\n");
	poll_fd.fd = quiet;
	assert_int_equal(poll(&poll_fd, 1, 3 * IMPATIENT_MS), 0);
	close(quiet);
	await('c');
}

/* The daemon stops: the stream ends as a whole one. */
static void test_stream_ends_with_the_server(void **state)
{
	int fd;

	server_start(0);
	fd = dial();
	say(fd, GET("/v1/watch/drops"));
	hear(fd, "\r\n\r\n");
	server_stop();
	assert_null(server.stream);
	assert_string_equal(hear(fd, NULL), "0\r\n\r\n");
	close(fd);
}

/* --- tests: bounds */

/* The answer is megabytes: the server must wait for this client, and serve others meanwhile. */
static void test_slow_reader_blocks_nobody(void **state)
{
	int slow = dial();
	const char *reply;

	say(slow, GET_CLOSE("/v1/targets"));
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3");
	reply = hear(slow, NULL);
	assert_int_equal(count_of(reply, "very long list"), BIG_ROWS);
	assert_string_equal(reply + strlen(reply) - 6, "  ]\n}\n");
	close(slow);
}

static void test_seventeenth_is_told(void **state)
{
	int fds[ADMIN_CONNECTIONS_MAX], extra;

	for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		fds[i] = dial();
		say(fds[i], GET("/v1/status"));
		hear(fds[i], "}\n");
	}
	extra = dial();
	assert_begins(hear(extra, "}\n}\n"), "HTTP/1.1 503 ");
	assert_has(reply_text, "\"too_many_connections\"");
	close(extra);
	say(fds[0], GET("/v1/status")); /* the others are served on */
	assert_has(hear(fds[0], "}\n"), "1.2.3");
	close(fds[1]);
	say(fds[0], GET("/v1/status")); /* the end of fds[1] is older than this: it has been seen */
	hear(fds[0], "}\n");
	fds[1] = dial();
	say(fds[1], GET("/v1/status"));
	assert_begins(hear(fds[1], "}\n"), "HTTP/1.1 200 ");
	for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
		close(fds[i]);
}

static void test_idle_client_is_closed(void **state)
{
	int fd = dial();

	assert_string_equal(hear(fd, NULL), "");
	close(fd);
	fd = dial();
	say(fd, GET("/v1/status"));
	assert_begins(hear(fd, NULL), "HTTP/1.1 200 "); /* then the end */
	close(fd);
}

static void test_slow_request_times_out(void **state)
{
	int fd = dial();

	say(fd, "GET /v1/st");
	assert_begins(hear(fd, NULL), "HTTP/1.1 408 ");
	assert_has(reply_text, "\"request_timeout\"");
	close(fd);
}

static void test_reload_may_take_longer_than_the_time_out(void **state)
{
	struct pollfd poll_fd = {.events = POLLIN};
	int fd = dial();
	char byte;

	say(fd, POST_CLOSE("/v1/reload"));
	assert_int_equal(read(server.reload_read_fd, &byte, 1), 1);
	poll_fd.fd = fd; /* nothing, no end either, for three times the idle time */
	assert_int_equal(poll(&poll_fd, 1, 3 * IMPATIENT_MS), 0);
	assert_int_equal(write(release_fd, "x", 1), 1);
	assert_has(hear(fd, NULL), "applied");
	close(fd);
}

static void test_server_freed_before_reload_ends(void **state)
{
	int fd;
	char byte;

	server_start(0);
	fd = dial();
	say(fd, POST_CLOSE("/v1/reload"));
	assert_int_equal(read(server.reload_read_fd, &byte, 1), 1);
	server_stop();
	admin_reply_reloaded(server.waiting, false, 8);
	close(fd);
}

/* --- tests: the tables against the documents */

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text;

	if (!file)
		fail_msg("%s: %s (run from the top of the source tree)", path, strerror(errno));
	text = mem_zalloc(1024 * 1024);
	assert_true(fread(text, 1, 1024 * 1024 - 1, file) > 0);
	fclose(file);
	return text;
}

static void test_documents_list_every_command(void **state)
{
	static const char *const api_rows[] = {
#define VIEW(path, name, help)                               "| GET | `" path "` | " help " |",
#define CALL(method, path, name, parameters, body_max, help) "| " #method " | `" path "` | " help " |",
#include "control/api.def"
	};
#undef VIEW
#undef CALL
#define DEFAULT_SOCKET "/run/sluice/admin.sock"
	static const char *const man_rows[] = {
#define VIEW(name, path, renderer, help)            ".It Cm " #name "\n",
#define COMMAND(name, function, arguments, help)    ".It Cm " #name,
#define OPTION(letter, name, argument, words, help) "Fl Fl " name,
#include "../tools/sluicectl/commands.def"
	};
	char *api = slurp("docs/api.md"), *man = slurp("docs/man/sluicectl.1");

	for (size_t i = 0; i < array_len(api_rows); i++)
		assert_has(api, api_rows[i]);
	for (size_t i = 0; i < array_len(man_rows); i++)
		assert_has(man, man_rows[i]);
	free(api);
	free(man);
}

#define SERVED(test)         cmocka_unit_test_setup_teardown(test, start, stop)
#define SERVED_BRIEFLY(test) cmocka_unit_test_setup_teardown(test, start_impatient, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_view),
		SERVED(test_head),
		SERVED(test_byte_by_byte),
		SERVED(test_pipeline_keeps_order),
		SERVED(test_half_closed_client_is_answered),
		SERVED(test_client_gone_before_reload_ends),
		SERVED(test_refused_reload_lists_errors),
		SERVED(test_errors),
		SERVED(test_endless_head_is_refused),
		SERVED(test_full_buffer_is_refused),
		SERVED(test_bad_utf8_does_not_spoil_a_view),
		SERVED(test_parameters),
		SERVED(test_body),
		SERVED(test_big_body),
		SERVED(test_second_big_body_is_refused),
		SERVED(test_stream),
		SERVED(test_stream_of_http_1_0),
		SERVED(test_stream_head),
		SERVED(test_stream_client_leaves),
		SERVED(test_stream_is_bounded),
		SERVED_BRIEFLY(test_stream_idle),
		cmocka_unit_test(test_stream_ends_with_the_server),
		SERVED(test_slow_reader_blocks_nobody),
		SERVED(test_seventeenth_is_told),
		SERVED_BRIEFLY(test_idle_client_is_closed),
		SERVED_BRIEFLY(test_slow_request_times_out),
		SERVED_BRIEFLY(test_reload_may_take_longer_than_the_time_out),
		cmocka_unit_test(test_server_freed_before_reload_ends),
		cmocka_unit_test(test_documents_list_every_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
