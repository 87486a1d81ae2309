/* HTTP bodies that go through a pipe: the body's bytes and not one more, whatever happens on the
 * way; afterwards no pipe and no descriptor is left. */
#include "rig.h"

enum { BODY_MAX = 3 << 20 };

static struct rig rig;
static char *body; /* BODY_MAX bytes */

static int setup(void **state)
{
	size_t i;

	rig_init(&rig, 2);
	rig.group_spec.n_members = 1;
	body = malloc(BODY_MAX);
	for (i = 0; i < BODY_MAX; i++)
		body[i] = (char)('a' + i % 23);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	rig_fini(&rig);
	free(body);
	return 0;
}

/* Pipes that wait for their next use are no loss. */
static int files_in_use(void)
{
	return rig_open_files() - 2 * (int)rig.worker.pipes.n_idle;
}

static bool was_spliced(void)
{
	return rig.worker.pipes.n_idle > 0 || rig.worker.pipes.n_lent > 0;
}

/* Sends `len` bytes and moves them until `to` has `want` bytes in all. */
static void carry(struct peer *from, const char *bytes, size_t len, struct peer *to, size_t want)
{
	uint64_t until_ms = clock_mono_ms() + RIG_DEADLINE_MS;
	size_t at = 0;
	ssize_t n;

	while (at < len || to->len < want) {
		n = send(from->fd, bytes + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		at += n > 0 ? (size_t)n : 0;
		rig_step(&rig);
		peer_read(to);
		if (clock_mono_ms() > until_ms)
			fail_msg("%zu of %zu bytes after the deadline", to->len, want);
	}
}

/* Sends what nobody reads at the other end, until nothing more is taken: part of it waits in a
 * pipe. How much was sent. */
static size_t stuff(struct peer *from, const char *bytes, size_t len)
{
	size_t at = 0;
	int quiet = 0;
	ssize_t n;

	while (quiet < 20 && at < len) {
		n = send(from->fd, bytes + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		at += n > 0 ? (size_t)n : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		rig_turn(&rig);
	}
	assert_int_equal(rig.worker.pipes.n_lent, 1);
	return at;
}

/* Small kernel buffers on the way to `peer`, so that bytes wait in the worker. */
static void shrink(struct peer *peer, struct stream *stream)
{
	int bytes = 65536;

	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(
		setsockopt(stream->watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static struct stream *back_stream(void)
{
	return container_of(rig.worker.upstreams_open.next, struct upstream, all)->stream;
}

static void put_head(char head[static 256], const char *line, size_t length)
{
	snprintf(head, 256, "%s\r\n%sContent-Length: %zu\r\n\r\n", line,
		strstr(line, "HTTP/1.1 ") == line ? "" : "Host: a.test\r\n", length);
}

/* A request without a body; the target has seen it. */
static void ask(struct peer *client, const char *line, struct peer *target)
{
	char text[256];

	snprintf(text, sizeof(text), "%s\r\nHost: a.test\r\n\r\n", line);
	peer_send(client, text);
	if (!target->data)
		*target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(target, "\r\n\r\n"));
	peer_clear(target);
	peer_clear(client);
}

/* A client with small buffers, and a target that has begun an answer of `len` bytes; its head. */
static size_t begin_answer(struct peer *client, struct peer *target, size_t len)
{
	char head[256];

	*client = rig_client(&rig);
	*target = (struct peer){.fd = -1};
	shrink(client, rig_conn(&rig)->front);
	ask(client, "GET / HTTP/1.1", target);
	put_head(head, "HTTP/1.1 200 OK", len);
	peer_send(target, head);
	return strlen(head);
}

/* A client in the middle of a body that its target, with small buffers, does not take. */
static void begin_upload(struct peer *client, struct peer *target, const char *line)
{
	char head[256];

	*client = rig_client(&rig);
	put_head(head, line, BODY_MAX * 4UL);
	peer_send(client, head);
	*target = rig_accept(&rig, 0);
	shrink(target, back_stream());
	stuff(client, body, BODY_MAX);
}

static const size_t sizes[] = {0, 1, 16000, 16384, 49152, 65535, 65536, 65537, 81920, 82000, 131072,
	200000, 524288, 1000000, BODY_MAX};

/* One connection on either side for all of them: nothing of one answer is taken for another's. */
static void test_answers_of_every_size(void **state)
{
	struct peer client, target = {.fd = -1};
	uint64_t total = 0;
	char head[256];
	size_t i;

	rig_serve(&rig);
	client = rig_client(&rig);
	for (i = 0; i < array_len(sizes); i++) {
		ask(&client, "GET / HTTP/1.1", &target);
		put_head(head, "HTTP/1.1 200 OK", sizes[i]);
		peer_send(&target, head);
		carry(&target, body, sizes[i], &client, strlen(head) + sizes[i]);
		assert_int_equal(client.len, strlen(head) + sizes[i]);
		assert_memory_equal(client.data + strlen(head), body, sizes[i]);
		total += client.len;
		WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
		assert_int_equal(rig.targets[0]->workers[0].n_idle, 1);
		assert_int_equal(rig.worker.pipes.n_lent, 0);
	}
	assert_true(was_spliced());
	assert_int_equal(rig.targets[0]->workers[0].connections, 1);
	assert_int_equal(rig_conn(&rig)->front->bytes_out, total);
	assert_int_equal(rig.stats->workers[0].bytes_out, total);
	peer_fini(&client);
	peer_fini(&target);
}

/* With the next request right behind the body. */
static void test_requests_of_every_size(void **state)
{
	static const char next[] = "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";
	struct peer client, target = {.fd = -1};
	char head[256], *all = malloc(BODY_MAX + sizeof(next));
	uint64_t total = 0;
	size_t i;

	rig_serve(&rig);
	client = rig_client(&rig);
	for (i = 0; i < array_len(sizes); i++) {
		put_head(head, "PUT / HTTP/1.1", sizes[i]);
		memcpy(all, body, sizes[i]);
		memcpy(all + sizes[i], next, sizeof(next));
		peer_send(&client, head);
		if (!target.data)
			target = rig_accept(&rig, 0);
		carry(&client, all, sizes[i] + sizeof(next) - 1, &target, strlen(head) + sizes[i]);
		assert_int_equal(target.len, strlen(head) + sizes[i]);
		assert_memory_equal(target.data + strlen(head), body, sizes[i]);
		total += strlen(head) + sizes[i] + sizeof(next) - 1;
		peer_clear(&target);
		peer_send(&target, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
		WAIT(&rig, peer_has(&target, "/next"));
		peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		peer_clear(&target);
		WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
		assert_int_equal(rig.worker.pipes.n_lent, 0);
	}
	assert_true(was_spliced());
	assert_int_equal(rig.targets[0]->workers[0].connections, 1);
	assert_int_equal(rig_conn(&rig)->front->bytes_in, total);
	assert_int_equal(rig.stats->workers[0].bytes_in, total);
	free(all);
	peer_fini(&client);
	peer_fini(&target);
}

/* Answers without a body whatever their length says: what comes next is another answer's. */
static void test_lengths_without_a_body(void **state)
{
	static const char *const rows[][2] = {
		{"HEAD / HTTP/1.1", "HTTP/1.1 200 OK"},
		{"GET / HTTP/1.1", "HTTP/1.1 304 Not Modified"},
	};
	struct peer client, target = {.fd = -1};
	char head[256];
	size_t i;

	rig_serve(&rig);
	client = rig_client(&rig);
	for (i = 0; i < array_len(rows); i++) {
		ask(&client, rows[i][0], &target);
		put_head(head, rows[i][1], 1000000);
		peer_send(&target, head);
		WAIT(&rig, peer_has(&client, "\r\n\r\n"));
		WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
		ask(&client, "GET /2 HTTP/1.1", &target);
		put_head(head, "HTTP/1.1 200 OK", 100000);
		peer_send(&target, head);
		carry(&target, body, 100000, &client, strlen(head) + 100000);
		assert_memory_equal(client.data + strlen(head), body, 100000);
		WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	}
	peer_fini(&client);
	peer_fini(&target);
}

static void test_expect_continue(void **state)
{
	enum { LEN = 1000000 };
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n"
			   "Expect: 100-continue\r\n\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_clear(&target);
	peer_send(&target, "HTTP/1.1 100 Continue\r\n\r\n");
	WAIT(&rig, peer_has(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
	carry(&client, body, LEN, &target, LEN);
	assert_memory_equal(target.data, body, LEN);
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, peer_has(&client, "HTTP/1.1 200 OK"));
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	assert_true(was_spliced());
	peer_fini(&client);
	peer_fini(&target);
}

/* The target ends its connection in the middle of the body: the client must not take it for all. */
static void target_cuts(const char *head, bool by_reset, bool is_whole)
{
	enum { LEN = 500000 };
	struct peer client, target = {.fd = -1};
	int before;

	rig_serve(&rig);
	before = files_in_use();
	client = rig_client(&rig);
	ask(&client, is_whole || by_reset ? "GET / HTTP/1.0" : "GET / HTTP/1.1", &target);
	peer_send(&target, head);
	carry(&target, body, LEN, &client, strlen(head) + LEN);
	assert_memory_equal(client.data + client.len - LEN, body, LEN);
	if (by_reset)
		peer_abort(&target);
	else
		peer_close(&target);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(client.reset, !is_whole);
	assert_int_equal(rig_reason(&rig, CLOSE_target_cut_response), !is_whole);
	assert_true(was_spliced());
	peer_fini(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	peer_fini(&target);
	assert_int_equal(files_in_use(), before);
}

static void test_target_cuts_a_length(void **state)
{
	target_cuts("HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", false, false);
}

static void test_target_resets_until_close(void **state)
{
	target_cuts("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", true, false);
}

static void test_until_close(void **state)
{
	target_cuts("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false, true);
}

/* Bytes are in the pipe when one side goes. */
static void test_client_goes_in_the_answer(void **state)
{
	struct peer client, target;
	int before;

	rig_serve(&rig);
	before = files_in_use();
	begin_answer(&client, &target, BODY_MAX * 4UL);
	stuff(&target, body, BODY_MAX);
	peer_abort(&client);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset);
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	peer_fini(&client);
	peer_fini(&target);
	WAIT(&rig, files_in_use() == before);
}

static void client_goes_in_the_request(bool by_reset)
{
	struct peer client, target;
	int before;

	rig_serve(&rig);
	before = files_in_use();
	begin_upload(&client, &target, "PUT / HTTP/1.1");
	if (by_reset)
		peer_abort(&client);
	else
		peer_close(&client);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset); /* half a body is none */
	assert_int_equal(
		rig_reason(&rig, CLOSE_client_gone) + rig_reason(&rig, CLOSE_client_reset), 1);
	peer_fini(&client);
	peer_fini(&target);
	WAIT(&rig, files_in_use() == before);
}

static void test_client_resets_in_the_request(void **state)
{
	client_goes_in_the_request(true);
}

static void test_client_ends_in_the_request(void **state)
{
	client_goes_in_the_request(false);
}

/* What has gone through a pipe is not here any more: no second try, though PUT would allow it. */
static void test_no_replay(void **state)
{
	struct peer client, target = {.fd = -1};
	char head[256];

	rig_serve(&rig);
	client = rig_client(&rig);
	ask(&client, "GET / HTTP/1.1", &target);
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_clear(&client);
	put_head(head, "PUT / HTTP/1.1", 1000000);
	peer_send(&client, head);
	carry(&client, body, 500000, &target, strlen(head) + 500000);
	assert_true(was_spliced());
	peer_close(&target);
	WAIT(&rig, peer_has(&client, "HTTP/1.1 502 "));
	assert_int_equal(rig_try_accept(&rig, 0), -1);
	assert_int_equal(rig_reason(&rig, CLOSE_target_refused), 1);
	peer_fini(&client);
	peer_fini(&target);
}

/* The target answers and takes no more of the body, part of which is in the pipe. */
static void test_early_answer(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	begin_upload(&client, &target, "POST / HTTP/1.1");
	peer_send(&target, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
	WAIT(&rig, peer_has(&client, "\r\n\r\nno"));
	assert_non_null(strstr(client.data, "Connection: close\r\n"));
	WAIT(&rig, rig.worker.pipes.n_lent == 0);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset);
	peer_fini(&client);
	peer_fini(&target);
}

/* At the limit it passes, whole. */
static void test_body_at_the_limit(void **state)
{
	enum { LEN = 1000000 };
	struct peer client, target;
	char head[256];

	rig.listener_spec.max_body_bytes = LEN;
	rig_serve(&rig);
	client = rig_client(&rig);
	put_head(head, "PUT / HTTP/1.1", LEN);
	peer_send(&client, head);
	target = rig_accept(&rig, 0);
	carry(&client, body, LEN, &target, strlen(head) + LEN);
	assert_memory_equal(target.data + strlen(head), body, LEN);
	peer_send(&target, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_clear(&client);
	put_head(head, "PUT / HTTP/1.1", LEN + 1);
	peer_send(&client, head);
	WAIT(&rig, peer_has(&client, "HTTP/1.1 413 "));
	peer_fini(&client);
	peer_fini(&target);
}

/* Nobody reads for longer than the time-out, with bytes in the pipe. */
static void test_idle_timeout(void **state)
{
	struct peer client, target;
	int before;

	rig.listener_spec.idle_ms = 200;
	rig_serve(&rig);
	before = files_in_use();
	begin_answer(&client, &target, BODY_MAX * 4UL);
	stuff(&target, body, BODY_MAX);
	WAIT(&rig, peer_over(&target));
	assert_int_equal(rig_reason(&rig, CLOSE_idle_timeout), 1);
	peer_fini(&client);
	peer_fini(&target);
	WAIT(&rig, files_in_use() == before);
}

/* A client that stops for a while, and then takes pieces of any size: all of it arrives. */
static void test_slow_client(void **state)
{
	struct peer client, target;
	size_t sent, want, head_len;
	unsigned int seed = 1;
	ssize_t n;

	rig_serve(&rig);
	head_len = begin_answer(&client, &target, BODY_MAX);
	sent = stuff(&target, body, BODY_MAX);
	assert_in_range(sent, 1, BODY_MAX);
	while (client.len < head_len + BODY_MAX) {
		n = send(target.fd, body + sent, BODY_MAX - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		want = 1 + (size_t)rand_r(&seed) % 40000;
		if (want > head_len + BODY_MAX - client.len)
			want = head_len + BODY_MAX - client.len;
		n = recv(client.fd, client.data + client.len, want, MSG_DONTWAIT);
		client.len += n > 0 ? (size_t)n : 0;
		rig_step(&rig);
	}
	assert_memory_equal(client.data + head_len, body, BODY_MAX);
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	peer_fini(&client);
	peer_fini(&target);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_answers_of_every_size),
		CASE(test_requests_of_every_size),
		CASE(test_lengths_without_a_body),
		CASE(test_expect_continue),
		CASE(test_target_cuts_a_length),
		CASE(test_target_resets_until_close),
		CASE(test_until_close),
		CASE(test_client_goes_in_the_answer),
		CASE(test_client_resets_in_the_request),
		CASE(test_client_ends_in_the_request),
		CASE(test_no_replay),
		CASE(test_early_answer),
		CASE(test_body_at_the_limit),
		CASE(test_idle_timeout),
		CASE(test_slow_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
