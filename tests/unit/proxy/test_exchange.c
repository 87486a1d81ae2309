/* HTTP exchanges end to end: bytes of a client in, bytes a target sees, bytes of the target back,
 * bytes the client gets, over real sockets. */
#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
	rig_init(&rig, 2);
	rig.group_spec.n_members = 1;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	return 0;
}

/* One request and its answer. */
struct row {
	const char *name, *request, *seen, *answer, *got;
	bool target_closes; /* behind its answer */
	bool closes; /* towards the client, behind the answer */
	bool whole_only; /* chunk boundaries depend on how the bytes come */
};

#define HOST "Host: a.test\r\n"

static const struct row rows[] = {
	{"get", "GET /x?y HTTP/1.1\r\n" HOST "\r\n", "GET /x?y HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"post with a length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345",
		"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"},
	{"post with chunks and a trailer",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .whole_only = true},
	{"head", "HEAD / HTTP/1.1\r\n" HOST "\r\n", "HEAD / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
	{"204", "GET / HTTP/1.1\r\n" HOST "\r\n", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"},
	{"304 with a length", "GET / HTTP/1.1\r\n" HOST "\r\n", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
	{"hop-by-hop headers end here",
		"GET / HTTP/1.1\r\n" HOST "Connection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: 3\r\n"
		"X-Other: 2\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "X-Other: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"client asks for close", "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		.closes = true},
	{"target closes, the client's connection lives", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", .target_closes = true},
	{"http/1.0", "GET / HTTP/1.0\r\n" HOST "\r\n", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		.closes = true},
	{"http/1.0 with keep-alive", "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"},
	{"http/1.0 gets no chunks", "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok!", .closes = true},
	{"an answer that ends with its connection becomes chunks", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		.target_closes = true, .whole_only = true},
	{"early hints", "GET / HTTP/1.1\r\n" HOST "\r\n", "GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.",
		"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n."},
	{"http/1.0 gets no interim answers", "GET / HTTP/1.0\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n.",
		.closes = true},
};

/* All at once, or a turn between any two bytes. */
static void send_split(struct peer *peer, const char *text, bool whole)
{
	size_t i, len = strlen(text);

	if (whole) {
		peer_send(peer, text);
		return;
	}
	for (i = 0; i < len; i++) {
		peer_send_bytes(peer, text + i, 1);
		rig_step(&rig);
	}
}

static void run_row(const struct row *row, bool whole)
{
	struct peer client = rig_client(&rig), target;

	send_split(&client, row->request, whole);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_got(&target, row->seen));
	assert_string_equal(target.data, row->seen);
	send_split(&target, row->answer, whole);
	if (row->target_closes)
		peer_close(&target);
	WAIT(&rig, peer_got(&client, row->got));
	assert_string_equal(client.data, row->got);
	if (row->closes)
		WAIT(&rig, peer_over(&client));
	else
		WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	assert_false(client.reset);
	peer_fini(&client);
	peer_fini(&target);
	conn_close_all(&rig.worker, CLOSE_shutdown);
	upstream_close_all(&rig.worker);
	rig_turn(&rig);
}

static void test_rows(void **state)
{
	size_t i;

	rig_serve(&rig);
	for (i = 0; i < array_len(rows); i++) {
		run_row(&rows[i], true);
		if (!rows[i].whole_only)
			run_row(&rows[i], false);
	}
}

static void test_forwarded_headers(void **state)
{
	struct peer client, target;
	char expected[256];

	rig.listener_spec.http.x_forwarded_for = HTTP_FORWARDED_APPEND;
	rig.listener_spec.http.x_forwarded_proto = HTTP_FORWARDED_PROTO_SET;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "X-Forwarded-For: 192.0.2.1\r\n\r\n");
	target = rig_accept(&rig, 0);
	snprintf(expected, sizeof(expected),
		"GET / HTTP/1.1\r\n" HOST "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n"
		"X-Forwarded-Proto: http\r\nX-Forwarded-Port: %u\r\n\r\n",
		addr_port(&rig.front_addr));
	WAIT(&rig, peer_got(&target, expected));
	assert_string_equal(target.data, expected);
	peer_fini(&client);
	peer_fini(&target);
}

/* Refusals that need no target: what the client gets, and why it is counted. */
static void test_refusals(void **state)
{
	static const struct {
		const char *request, *status;
		enum close_reason reason;
	} cases[] = {
		{"NONSENSE\r\n\r\n", "HTTP/1.1 400 ", CLOSE_bad_request},
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", CLOSE_bad_request},
		{"GET / HTTP/2.5\r\n" HOST "\r\n", "HTTP/1.1 505 ", CLOSE_bad_request},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n", "HTTP/1.1 413 ",
			CLOSE_body_too_large},
		{"POST / HTTP/1.1\r\n" HOST
		 "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 400 ", CLOSE_bad_request},
	};
	struct peer client;
	size_t i;

	rig.listener_spec.max_body_bytes = 10;
	rig_serve(&rig);
	for (i = 0; i < array_len(cases); i++) {
		uint64_t before = rig_reason(&rig, cases[i].reason);

		client = rig_client(&rig);
		peer_send(&client, cases[i].request);
		WAIT(&rig, peer_over(&client));
		assert_memory_equal(client.data, cases[i].status, strlen(cases[i].status));
		assert_non_null(strstr(client.data, "Connection: close\r\n"));
		assert_int_equal(rig_reason(&rig, cases[i].reason), before + 1);
		peer_fini(&client);
	}
	assert_int_equal(rig_try_accept(&rig, 0), -1);
}

static void test_chunked_body_over_limit(void **state)
{
	struct peer client, target;

	rig.listener_spec.max_body_bytes = 10;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
			   "8\r\n12345678\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "12345678"));
	peer_send(&client, "3\r\n9ab\r\n");
	WAIT(&rig, peer_over(&client));
	assert_memory_equal(client.data, "HTTP/1.1 413 ", 13);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset); /* a request that was cut must not look whole */
	peer_fini(&client);
	peer_fini(&target);
}

static void test_pipelining(void **state)
{
	struct peer client, target;
	int i;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET /1 HTTP/1.1\r\n" HOST "\r\n"
			   "POST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
			   "GET /3 HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	for (i = 1; i <= 3; i++) {
		char line[16], answer[64];

		snprintf(line, sizeof(line), "/%d HTTP/1.1", i);
		WAIT(&rig,
			peer_has(&target, line) && peer_has(&target, i == 2 ? "abc" : "\r\n\r\n"));
		assert_null(strstr(target.data, i == 1 ? "/2" : "/4")); /* one at a time */
		peer_clear(&target);
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d",
			i);
		peer_send(&target, answer);
	}
	WAIT(&rig, peer_has(&client, "\r\n\r\n3"));
	assert_true(strstr(client.data, "\r\n\r\n1") < strstr(client.data, "\r\n\r\n2"));
	assert_int_equal(rig.stats->workers[0].requests, 3);
	assert_int_equal(rig.stats->workers[0].status[2], 3);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_expect_continue(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client,
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	assert_non_null(strstr(target.data, "Expect: 100-continue\r\n"));
	peer_send(&target, "HTTP/1.1 100 Continue\r\n\r\n");
	WAIT(&rig, peer_has(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
	peer_send(&client, "body");
	WAIT(&rig, peer_has(&target, "\r\n\r\nbody"));
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, peer_has(&client, "HTTP/1.1 200 OK"));
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_fini(&client);
	peer_fini(&target);
}

/* The final answer comes while the body is still coming: it is passed on at once, and what
 * follows of the request is not taken for another one. */
static void test_early_answer(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "abc"));
	peer_send(&target, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
	WAIT(&rig, peer_has(&client, "\r\n\r\nno"));
	assert_non_null(strstr(client.data, "Connection: close\r\n"));
	peer_send(&client, "GET /smuggled HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_over(&client));
	assert_true(client.ended); /* not reset: the answer is safe */
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset);
	assert_int_equal(rig.stats->workers[0].requests, 1);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_upgrade_with_early_bytes(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client,
		"GET /ws HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n\r\n"
		"early-up");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	assert_string_equal(target.data,
		"GET /ws HTTP/1.1\r\n" HOST "Upgrade: echo\r\nConnection: upgrade\r\n\r\n");
	peer_send(&target, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
			   "Upgrade: echo\r\n\r\nearly-down");
	WAIT(&rig, peer_has(&client, "\r\n\r\nearly-down"));
	WAIT(&rig, peer_has(&target, "\r\n\r\nearly-up"));
	peer_send(&client, "ping");
	WAIT(&rig, peer_has(&target, "early-upping"));
	peer_send(&target, "pong");
	WAIT(&rig, peer_has(&client, "early-downpong"));
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&target));
	peer_close(&target);
	WAIT(&rig, peer_over(&client));
	assert_false(client.reset || target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
	peer_fini(&client);
	peer_fini(&target);
}

/* 101 while the request's body is on its way: the rest of it must not become the tunnel's. */
static void test_upgrade_before_the_body(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "POST /ws HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: echo\r\n"
			   "Content-Length: 5\r\n\r\nab");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "ab"));
	peer_send(&target, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
			   "Upgrade: echo\r\n\r\n");
	WAIT(&rig, peer_over(&client));
	assert_memory_equal(client.data, "HTTP/1.1 502 ", 13);
	peer_fini(&client);
	peer_fini(&target);
}

/* Back-pressure: a client that does not read stops the target; then all arrives, and the request
 * that was pipelined behind is answered. */
static void test_large_answer_slow_client(void **state)
{
	enum { BODY = 3 << 20 };
	struct peer client, target;
	char head[128], *body = malloc(BODY);
	size_t sent = 0, head_len, at_rest = 0, i;
	int quiet = 0;
	ssize_t n;

	for (i = 0; i < BODY; i++)
		body[i] = (char)('a' + i % 23);
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "/1"));
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
	peer_send(&target, head);
	while (quiet < 20 && sent < BODY) {
		n = send(target.fd, body + sent, BODY - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		rig_turn(&rig);
		at_rest = rig.worker.io.bufs.large.used;
	}
	assert_true(at_rest <= 2);
	while (sent < BODY) {
		n = send(target.fd, body + sent, BODY - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		peer_read(&client);
		rig_turn(&rig);
	}
	head_len = strlen(head);
	WAIT(&rig, peer_read(&client)->len == head_len + BODY);
	assert_memory_equal(client.data + head_len, body, BODY);
	peer_clear(&client);
	WAIT(&rig, peer_has(&target, "/2"));
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, peer_has(&client, "200 OK"));
	free(body);
	peer_fini(&client);
	peer_fini(&target);
}

static const struct stream_ops *plain_ops;

static void answer_ok(struct peer *target)
{
	peer_send(target, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static ssize_t read_one_byte(struct stream *stream, void *bytes, size_t len)
{
	return plain_ops->read(stream, bytes, 1);
}

/* An answer takes several turns; an event of the same turn in which it goes on by itself brings
 * it to its end, and the request behind it is there already. */
static void end_in_a_turn_of_its_own(int len)
{
	static const char more[] = "GET /3 HTTP/1.1\r\n" HOST "X: 0123456789\r\n\r\n";
	struct peer client = rig_client(&rig), target;
	struct upstream *upstream;
	struct stream_ops ops;
	char answer[512];
	int sent = 0;

	peer_send(&client, "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "/1"));
	upstream = container_of(rig.worker.upstreams_open.next, struct upstream, all);
	plain_ops = upstream->stream->ops;
	ops = *plain_ops;
	ops.read = read_one_byte;
	upstream->stream->ops = &ops;
	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%0*d", len,
		len, 0);
	peer_send(&target, answer);
	while (more[sent] && !peer_has(&target, "/2")) {
		peer_send_bytes(&client, &more[sent++], 1);
		rig_step(&rig);
	}
	peer_send(&client, more + sent);
	WAIT(&rig, peer_has(&target, "/2"));
	answer_ok(&target);
	WAIT(&rig, peer_has(&target, "/3"));
	peer_close(&client);
	WAIT(&rig, peer_over(&target) || rig.worker.exchanges.used == 1);
	conn_close_all(&rig.worker, CLOSE_shutdown);
	upstream_close_all(&rig.worker);
	rig_turn(&rig);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_end_in_a_turn_of_its_own(void **state)
{
	int len;

	rig_serve(&rig);
	for (len = 40; len <= 136; len += 4)
		end_in_a_turn_of_its_own(len);
}

/* --- targets that fail */

/* The target closes the pooled connection when the second request is already on it. */
static void close_on_second(const char *second, struct peer *client)
{
	struct peer target;

	*client = rig_client(&rig);
	peer_send(client, "GET /first HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	answer_ok(&target);
	WAIT(&rig, peer_has(client, "ok"));
	peer_clear(client);
	peer_send(client, second);
	WAIT(&rig, peer_has(&target, "/second"));
	peer_fini(&target);
}

static void test_retry_on_a_dead_pooled_connection(void **state)
{
	static const char second[] =
		"PUT /second HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody";
	struct peer client, target;

	rig_serve(&rig);
	close_on_second("PUT /second HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody"
			"GET /third HTTP/1.1\r\n" HOST "\r\n",
		&client);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_got(&target, second));
	assert_string_equal(target.data, second);
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	WAIT(&rig, peer_has(&target, "/third"));
	answer_ok(&target);
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_no_retry_of_a_post_that_was_sent(void **state)
{
	struct peer client;

	rig_serve(&rig);
	close_on_second("POST /second HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody", &client);
	WAIT(&rig, peer_has(&client, "HTTP/1.1 502 "));
	assert_int_equal(rig_try_accept(&rig, 0), -1);
	assert_int_equal(rig_reason(&rig, CLOSE_target_refused), 1);
	peer_fini(&client);
}

/* Nothing was sent to a target that refuses the connection, so that any request, also one whose
 * body is not here yet, goes to the next. */
static void test_refused_goes_to_the_next(void **state)
{
	struct peer client, target;

	rig.group_spec.n_members = 2;
	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client,
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	target = rig_accept(&rig, 1);
	WAIT(&rig, peer_has(&target, "2\r\nab\r\n"));
	peer_send(&client, "1\r\nc\r\n0\r\n\r\n");
	WAIT(&rig, peer_has(&target, "1\r\nc\r\n0\r\n\r\n"));
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	assert_int_equal(rig.targets[0]->workers[0].failures, 1);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_all_refuse(void **state)
{
	struct peer client;

	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&client, "502 Bad Gateway\n"));
	assert_null(strstr(client.data, "Connection: close"));
	assert_int_equal(rig.targets[0]->workers[0].failures, 3);
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_fini(&client);
}

static void test_no_target(void **state)
{
	struct peer client;

	atomic_store(&rig.targets[0]->health, TARGET_UNHEALTHY);
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, rig.stats->workers[0].status[5] == 2);
	assert_int_equal(rig_reason(&rig, CLOSE_no_target), 2);
	WAIT(&rig, peer_has(&client, "503 Service Unavailable\n"));
	peer_fini(&client);
}

static void test_target_at_its_limit(void **state)
{
	struct peer clients[2], target;

	rig.group_spec.limits.requests = 1;
	rig_serve(&rig);
	clients[0] = rig_client(&rig);
	peer_send(&clients[0], "GET / HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	clients[1] = rig_client(&rig);
	peer_send(&clients[1], "GET / HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&clients[1], "503 Service Unavailable\n"));
	assert_int_equal(rig_reason(&rig, CLOSE_target_limit), 1);
	peer_send(&target, "HTTP/1.1 204 No Content\r\n\r\n");
	WAIT(&rig, peer_has(&clients[0], "204 No Content"));
	peer_fini(&clients[0]);
	peer_fini(&clients[1]);
	peer_fini(&target);
}

/* The same user, the same target, on any connection. */
static void test_consistent_hash(void **state)
{
	struct peer client, target;
	const char *request = "GET / HTTP/1.1\r\n" HOST "X-User: tom\r\nConnection: close\r\n\r\n";
	int i, at, first = -1, fd;

	rig.group_spec.n_members = 2;
	rig.group_spec.algorithm = BALANCE_CONSISTENT_HASH;
	rig.group_spec.key = (struct balance_key_spec){BALANCE_KEY_HEADER, "x-user"};
	rig_serve(&rig);
	for (i = 0; i < 5; i++) {
		client = rig_client(&rig);
		peer_send(&client, request);
		fd = -1;
		WAIT(&rig,
			(fd = rig_try_accept(&rig, 0)) >= 0 || (fd = rig_try_accept(&rig, 1)) >= 0);
		target = peer_of(fd);
		at = rig.targets[0]->workers[0].n_open ? 0 : 1;
		assert_true(first < 0 || at == first);
		first = at;
		WAIT(&rig, peer_has(&target, "X-User: tom"));
		peer_send(&target, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
		WAIT(&rig, peer_over(&client));
		assert_true(peer_has(&client, "204 No Content"));
		peer_fini(&client);
		peer_fini(&target);
		WAIT(&rig, !rig.targets[at]->workers[0].n_open);
	}
}

/* What a target says: what the client sees of it. */
static void test_bad_answers(void **state)
{
	static const struct {
		const char *answer, *status;
		bool cut;
		enum close_reason reason;
	} cases[] = {
		{"SSH-2.0-x\r\n", "HTTP/1.1 502 ", false, CLOSE_target_bad_response},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9", "HTTP/1.1 502 ", false,
			CLOSE_target_bad_response},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
			"HTTP/1.1 502 ", false, CLOSE_target_bad_response},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234", "HTTP/1.1 200 ", true,
			CLOSE_target_cut_response},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n",
			"HTTP/1.1 200 ", true, CLOSE_target_cut_response},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", true,
			CLOSE_target_bad_response},
	};
	struct peer client, target;
	size_t i;

	rig_serve(&rig);
	for (i = 0; i < array_len(cases); i++) {
		uint64_t before = rig_reason(&rig, cases[i].reason);

		client = rig_client(&rig);
		peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
		target = rig_accept(&rig, 0);
		WAIT(&rig, peer_has(&target, "\r\n\r\n"));
		peer_send(&target, cases[i].answer);
		WAIT(&rig, !cases[i].cut || peer_has(&client, "\r\n\r\n") || client.reset);
		peer_close(&target);
		if (cases[i].cut)
			WAIT(&rig, peer_over(&client) && client.reset);
		else
			WAIT(&rig, peer_has(&client, "502 Bad Gateway\n"));
		assert_memory_equal(client.data, cases[i].status, strlen(cases[i].status));
		WAIT(&rig, rig_reason(&rig, cases[i].reason) == before + 1);
		peer_fini(&client);
		peer_fini(&target);
	}
}

/* --- streams that take more than their socket does, as TLS streams do */

static struct {
	struct stream_ops ops;
	const struct stream_ops *real;
	char bytes[1024];
	size_t len;
	bool open; /* the socket takes bytes again */
} stash;

static ssize_t stash_writev(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	size_t before = stash.len;
	int i;

	for (i = 0; i < n_iov; i++) {
		assert_true(stash.len + iov[i].iov_len <= sizeof(stash.bytes));
		memcpy(stash.bytes + stash.len, iov[i].iov_base, iov[i].iov_len);
		stash.len += iov[i].iov_len;
	}
	return (ssize_t)(stash.len - before);
}

static int stash_flush(struct stream *stream)
{
	struct iovec iov = {stash.bytes, stash.len};

	if (!stash.len)
		return 0;
	if (!stash.open)
		return -EAGAIN;
	assert_int_equal(stash.real->writev(stream, &iov, 1, false), stash.len);
	stash.len = 0;
	return 0;
}

static void stash_into(struct stream *stream)
{
	memset(&stash, 0, sizeof(stash));
	stash.real = stream->ops;
	stash.ops = *stream->ops;
	stash.ops.writev = stash_writev;
	stash.ops.flush = stash_flush;
	stream->ops = &stash.ops;
}

/* The kernel says that there is room. */
static void stash_open(struct stream *stream)
{
	stash.open = true;
	stream->watch.ready(&stream->watch, EPOLLOUT);
}

/* The end of a request, of which the pump knows nothing more, still gets to the target. */
static void test_rest_of_the_request_is_flushed(void **state)
{
	struct peer client, target;
	struct upstream *upstream;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody");
	while (list_is_empty(&rig.worker.upstreams_open))
		rig_step(&rig);
	upstream = container_of(rig.worker.upstreams_open.next, struct upstream, all);
	stash_into(upstream->stream);
	target = rig_accept(&rig, 0);
	WAIT(&rig, stash.len > 0);
	rig_turn(&rig);
	assert_int_equal(peer_read(&target)->len, 0);
	stash_open(upstream->stream);
	WAIT(&rig, peer_has(&target, "\r\n\r\nbody"));
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	upstream_close_all(&rig.worker); /* its table of functions is the test's */
	peer_fini(&client);
	peer_fini(&target);
}

/* What a target said so far gets to the client while the target thinks about the rest. */
static void test_rest_of_the_answer_is_flushed(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	stash_into(rig_conn(&rig)->front);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
	WAIT(&rig, stash.len > 0);
	rig_turn(&rig);
	assert_int_equal(peer_read(&client)->len, 0);
	stash_open(rig_conn(&rig)->front);
	WAIT(&rig, peer_has(&client, "\r\n\r\nhalf"));
	peer_fini(&client);
	peer_fini(&target);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_rows),
		CASE(test_forwarded_headers),
		CASE(test_refusals),
		CASE(test_chunked_body_over_limit),
		CASE(test_pipelining),
		CASE(test_expect_continue),
		CASE(test_early_answer),
		CASE(test_upgrade_with_early_bytes),
		CASE(test_upgrade_before_the_body),
		CASE(test_large_answer_slow_client),
		CASE(test_end_in_a_turn_of_its_own),
		CASE(test_retry_on_a_dead_pooled_connection),
		CASE(test_no_retry_of_a_post_that_was_sent),
		CASE(test_refused_goes_to_the_next),
		CASE(test_all_refuse),
		CASE(test_no_target),
		CASE(test_target_at_its_limit),
		CASE(test_consistent_hash),
		CASE(test_bad_answers),
		CASE(test_rest_of_the_request_is_flushed),
		CASE(test_rest_of_the_answer_is_flushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
