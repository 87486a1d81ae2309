/*
 * The admin API over a real unix socket: requests, errors, bounds, and the tables against the
 * documents. Bodies and streams: test_admin_stream.c.
 */
#include "admin_case.h"

#include "control/admin_request.h"

#include <poll.h>

enum { BIG_ROWS = 60000 };

/* --- the fake source */

static struct admin_reply *waiting;

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

static int fake_drops(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_obj_add_strcpy(doc, root, "name", "bad \xff utf-8");
	return 0;
}

/* Says what it was asked. */
static void fake_object_put(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct admin_peer peer = admin_reply_peer(reply);
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

	yyjson_mut_obj_add_strcpy(doc, root, "kind", call->arguments[0]);
	yyjson_mut_obj_add_strcpy(doc, root, "name", call->arguments[1]);
	yyjson_mut_obj_add_strncpy(doc, root, "body", call->body.ptr, call->body.len);
	yyjson_mut_obj_add_strncpy(doc, root, "if_match", call->if_match.ptr, call->if_match.len);
	yyjson_mut_obj_add_bool(doc, root, "it is me", peer.pid == getpid());
	admin_reply_set_etag(reply, "0123abcd");
	admin_reply_finish(reply, 200, doc);
}

static void finish_reload(char what)
{
	admin_reply_reloaded(waiting, false, 7);
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
		waiting = reply;
		tell('r');
	}
}

static void fake_nothing(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_text(reply, "text/plain", "", 0);
}

static const struct admin_source source = {
	.status = fake_status,
	.listeners = fake_listeners,
	.targets = fake_targets,
	.drops = fake_drops,
	.object_put = fake_object_put,
	.top = fake_nothing,
	.lists_show = fake_nothing,
	.lists_change = fake_nothing,
	.lists_import = fake_nothing,
	.reload = fake_reload,
};

static int start(void **state)
{
	server_start(&source, 0, finish_reload);
	return 0;
}

static int start_impatient(void **state)
{
	server_start(&source, IMPATIENT_MS, finish_reload);
	return 0;
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

/* Two answers come; the third request waits; the fourth is answered behind it. */
static void test_pipeline_keeps_order(void **state)
{
	int fd = dial();
	const char *reply;

	say(fd, GET("/v1/status") GET("/none") "POST /v1/reload HTTP/1.1\r\nHost: x\r\n"
					       "Content-Length: 5\r\n\r\nabcde");
	say(fd, GET_CLOSE("/v1/status"));
	reply = hear(fd, "no such path");
	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	await('r');
	order('x');
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

	say(fd, POST_CLOSE("/v1/reload"));
	await('r');
	close(fd);
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3"); /* so its end has been seen */
	order('x');
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
		{"DELETE /v1/deny HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 405 ", "\r\nAllow: GET, HEAD, POST\r\n"},
		{POST_CLOSE("/v1/deny/hits?on=1"), "HTTP/1.1 501 ", "\"not_implemented\""},
		{GET_CLOSE("/v1/listeners"), "HTTP/1.1 500 ", "Input/output error"},
		{GET_CLOSE("/v1/counters"), "HTTP/1.1 501 ", "\"not_implemented\""},
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
		assert_has(reply, "{\n  \"type\": \"about:blank\",");
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
	const char *reply = ask(GET_CLOSE("/v1/drops"));

	assert_begins(reply, "HTTP/1.1 200 ");
	assert_has(reply, "bad \\uFFFD utf-8");
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

	say(fd, POST_CLOSE("/v1/reload"));
	await('r');
	poll_fd.fd = fd; /* nothing, no end either, for three times the idle time */
	assert_int_equal(poll(&poll_fd, 1, 3 * IMPATIENT_MS), 0);
	order('x');
	assert_has(hear(fd, NULL), "applied");
	close(fd);
}

static void test_server_freed_before_reload_ends(void **state)
{
	int fd;

	server_start(&source, 0, finish_reload);
	fd = dial();
	say(fd, POST_CLOSE("/v1/reload"));
	await('r');
	server_stop();
	admin_reply_reloaded(waiting, false, 8);
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
#define VIEW(path, name, help) "| GET | `" path "` | " help " |",
#define CALL(method, path, name, role, parameters, body_max, help)                                 \
	"| " #method " | `" path "` | " help " |",
#include "control/api.def"
	};
#undef VIEW
#undef CALL
#define DEFAULT_SOCKET "/run/sluice/admin.sock"
	static const char *const man_rows[] = {
#define VIEW(name, path, renderer, help)                      ".It Cm " #name "\n",
#define COMMAND(name, function, max, arguments, words, help)  ".It Cm " #name,
#define OPTION(letter, name, argument, words, commands, help) "Fl Fl " name,
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

static void test_path_with_names(void **state)
{
	const char *answer =
		ask("PUT /v1/objects/listeners/w%65b HTTP/1.1\r\nHost: x\r\n"
		    "If-Match: \"1\"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");

	assert_has(answer, "HTTP/1.1 200");
	assert_has(answer, "ETag: \"0123abcd\"\r\n");
	assert_has(answer, "\"kind\": \"listeners\"");
	assert_has(answer, "\"name\": \"web\"");
	assert_has(answer, "\"body\": \"{}\"");
	assert_has(answer, "\"if_match\": \"\\\"1\\\"\"");
	assert_has(answer, "\"it is me\": true");
	answer = ask("POST /v1/objects/listeners/web HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		     "Content-Length: 0\r\n\r\n");
	assert_has(answer, "HTTP/1.1 405");
	assert_has(answer, "Allow: GET, HEAD, PUT, PATCH, DELETE\r\n");
	answer = ask("PUT /v1/objects/listeners/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		     "Content-Length: 0\r\n\r\n");
	assert_has(answer, "HTTP/1.1 404");
	answer = ask(
		"PUT /v1/objects/rules/web/more/still HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		"Content-Length: 0\r\n\r\n");
	assert_has(answer, "HTTP/1.1 404");
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
		SERVED(test_path_with_names),
		SERVED(test_endless_head_is_refused),
		SERVED(test_full_buffer_is_refused),
		SERVED(test_bad_utf8_does_not_spoil_a_view),
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
