/* How HTTP exchanges and their connections end: time-outs by phase, clients that go, limits,
 * stopping, reloading, and the PROXY header with which they may begin. */
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

#define HOST "Host: a.test\r\n"

static void answer_ok(struct peer *target)
{
	peer_send(target, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

/* The request arrives at the target. */
static struct peer ask_for(struct peer *client, const char *path, const char *fields)
{
	struct peer target;

	peer_send(client, "GET ");
	peer_send(client, path);
	peer_send(client, " HTTP/1.1\r\n" HOST);
	peer_send(client, fields);
	peer_send(client, "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, path) && peer_has(&target, "\r\n\r\n"));
	return target;
}

static struct peer ask(struct peer *client)
{
	return ask_for(client, "/", "");
}

/* A client of a new listener, by its specs as they are. */
static struct peer first_client(void)
{
	rig_serve(&rig);
	return rig_client(&rig);
}

static void end(struct peer *client, struct peer *target)
{
	peer_fini(client);
	peer_fini(target);
}

/* A turn between any two bytes. */
static void send_bytewise(struct peer *peer, const char *text)
{
	size_t i, len = strlen(text);

	for (i = 0; i < len; i++) {
		peer_send_bytes(peer, text + i, 1);
		rig_step(&rig);
	}
}

/* --- time-outs, by phase */

static void test_timeout_header(void **state)
{
	struct peer client;

	rig.listener_spec.header_ms = 30;
	client = first_client();
	peer_send(&client, "GET / HT");
	WAIT(&rig, peer_over(&client));
	assert_memory_equal(client.data, "HTTP/1.1 408 ", 13);
	assert_int_equal(rig_reason(&rig, CLOSE_header_timeout), 1);
	peer_fini(&client);
}

static void test_timeout_body(void **state)
{
	struct peer client, target;

	rig.listener_spec.request_body_ms = 30;
	client = first_client();
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n123");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_over(&client));
	assert_memory_equal(client.data, "HTTP/1.1 408 ", 13);
	assert_int_equal(rig_reason(&rig, CLOSE_request_body_timeout), 1);
	end(&client, &target);
}

/* What a client sends meanwhile makes the target's time no longer. */
static void test_timeout_response(void **state)
{
	struct peer client, target;
	uint64_t began_ms = clock_mono_ms();

	rig.group_spec.response_ms = 60;
	client = first_client();
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	target = rig_accept(&rig, 0);
	while (!peer_has(&client, "HTTP/1.1 504 ")) {
		assert_true(clock_mono_ms() < began_ms + RIG_DEADLINE_MS);
		if (client.len == 0)
			send(client.fd, "x", 1, MSG_NOSIGNAL);
		rig_turn(&rig);
	}
	assert_int_equal(rig_reason(&rig, CLOSE_target_timeout), 1);
	assert_int_equal(rig.targets[0]->workers[0].failures, 1);
	end(&client, &target);
}

static void test_timeout_keep_alive(void **state)
{
	struct peer client, target;

	rig.listener_spec.keep_alive_ms = 30;
	client = first_client();
	target = ask(&client);
	answer_ok(&target);
	WAIT(&rig, peer_over(&client));
	assert_true(client.ended && !client.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_keep_alive_over), 1);
	end(&client, &target);
}

static void test_timeout_idle_in_the_answer(void **state)
{
	struct peer client, target;

	rig.listener_spec.idle_ms = 30;
	client = first_client();
	peer_send(&client, "GET / HTTP/1.0\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_send(&target, "HTTP/1.0 200 OK\r\n\r\nhalf");
	WAIT(&rig, peer_over(&client));
	assert_true(client.reset); /* a FIN would say that this was all */
	assert_int_equal(rig_reason(&rig, CLOSE_idle_timeout), 1);
	end(&client, &target);
}

/* --- TLS keeps what the socket does not take, and ends behind it */
static bool holds;
static struct stream_ops held_ops;

static int held_shutdown(struct stream *stream)
{
	return holds ? -EAGAIN : shutdown(stream->watch.fd, SHUT_WR);
}

static int held_flush(struct stream *stream)
{
	return holds ? -EAGAIN : 0;
}

/* As a TLS stream that has taken the answer and not sent all of it. */
static void hold(struct stream *stream)
{
	held_ops = *stream->ops;
	held_ops.is_plain = false;
	held_ops.shutdown = held_shutdown;
	held_ops.flush = held_flush;
	stream->ops = &held_ops;
	holds = true;
}

static void let_go(void)
{
	struct watch *watch = &rig_conn(&rig)->front->watch;

	holds = false;
	watch->ready(watch, EPOLLOUT);
}

static void answered(struct peer *client, const char *more)
{
	struct peer target;

	*client = first_client();
	WAIT(&rig, rig_conn(&rig)->front);
	hold(rig_conn(&rig)->front);
	target = ask_for(client, "/", more);
	answer_ok(&target);
	WAIT(&rig, peer_has(client, "ok"));
	peer_fini(&target);
}

static void expect_held(struct peer *client)
{
	rig_turn(&rig);
	assert_false(peer_over(client));
	assert_int_equal(rig_conn(&rig)->state, CONN_LINGER);
}

static void expect_end(struct peer *client, enum close_reason reason)
{
	WAIT(&rig, peer_over(client));
	assert_true(client->ended && !client->reset);
	assert_int_equal(rig_reason(&rig, reason), 1);
	peer_fini(client);
}

static void test_keep_alive_is_over_behind_the_answer(void **state)
{
	struct peer client;

	rig.listener_spec.keep_alive_ms = 30;
	answered(&client, "");
	WAIT(&rig, rig_conn(&rig)->state == CONN_LINGER);
	expect_held(&client);
	let_go();
	expect_end(&client, CLOSE_keep_alive_over);
}

static void test_drain_behind_the_answer(void **state)
{
	struct peer client;

	answered(&client, "");
	conn_drain_all(&rig.worker);
	expect_held(&client);
	let_go();
	expect_end(&client, CLOSE_shutdown);
}

/* Its own end says nothing about what it reads. */
static void test_client_ends_before_the_answer_is_out(void **state)
{
	struct peer client;

	answered(&client, "");
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, rig_conn(&rig)->state == CONN_LINGER);
	expect_held(&client);
	let_go();
	expect_end(&client, CLOSE_done);
}

static void test_last_answer_is_sent_to_its_end(void **state)
{
	struct peer client;

	answered(&client, "Connection: close\r\n");
	shutdown(client.fd, SHUT_WR);
	expect_held(&client);
	WAIT(&rig, rig_conn(&rig)->client_over);
	expect_held(&client);
	let_go();
	expect_end(&client, CLOSE_done);
}

/* Not for ever; and then it does not look complete. */
static void test_client_takes_nothing_more(void **state)
{
	struct peer client;

	rig.listener_spec.idle_ms = 30;
	answered(&client, "Connection: close\r\n");
	WAIT(&rig, peer_over(&client));
	assert_true(client.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_idle_timeout), 1);
	peer_fini(&client);
}

/* The daemon's last moment. */
static void test_closed_with_bytes_held(void **state)
{
	struct peer client;

	answered(&client, "");
	conn_close_all(&rig.worker, CLOSE_shutdown);
	WAIT(&rig, peer_over(&client));
	assert_true(client.reset);
	peer_fini(&client);
}

/* --- clients that go, limits, stopping, reloading */

static void test_client_goes(void **state)
{
	struct peer client, target;

	client = first_client();
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n123");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "123"));
	peer_close(&client);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 1);
	end(&client, &target);
}

/* Gone while the connection to the target is still being made. */
static void test_client_goes_before_there_is_a_target(void **state)
{
	struct peer client;
	int full[8], i;

	assert_int_equal(listen(rig.target_fds[0], 0), 0); /* a full queue answers no SYN */
	for (i = 0; i < (int)array_len(full); i++)
		full[i] = socket_connect(&rig.targets[0]->addr);
	client = first_client();
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, rig.worker.upstreams.used == 1);
	peer_abort(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 1);
	for (i = 0; i < (int)array_len(full); i++)
		close(full[i]);
	peer_fini(&client);
}

/* A plain client may end its side behind its last request and still get the answer. */
static void test_client_half_closes(void **state)
{
	struct peer client, target;

	client = first_client();
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	shutdown(client.fd, SHUT_WR);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	answer_ok(&target);
	WAIT(&rig, peer_over(&client));
	assert_non_null(strstr(client.data, "\r\n\r\nok"));
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
	end(&client, &target);
}

static void test_connection_limit(void **state)
{
	struct peer first, second, third;

	rig.listener_spec.max_connections = 1;
	rig_serve(&rig);
	first = rig_client(&rig);
	second = rig_client(&rig);
	WAIT(&rig, peer_over(&second));
	assert_int_equal(rig_reason(&rig, CLOSE_listener_limit), 1);
	assert_false(peer_over(&first));
	peer_close(&first);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	third = rig_client(&rig);
	rig_turn(&rig);
	assert_false(peer_over(&third));
	peer_fini(&first);
	peer_fini(&second);
	peer_fini(&third);
}

static void test_requests_per_connection(void **state)
{
	struct peer client, target;

	rig.listener_spec.max_requests_per_connection = 2;
	client = first_client();
	target = ask_for(&client, "/1", "");
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	assert_null(strstr(client.data, "close"));
	peer_send(&client, "GET /2 HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&target, "/2"));
	answer_ok(&target);
	WAIT(&rig, peer_over(&client));
	assert_non_null(strstr(client.data, "Connection: close"));
	end(&client, &target);
}

/* Either connection's key may become too old to go on with: then this answer was its last, the next
 * request comes on another one. */
static void test_old_keys(void **state)
{
	struct peer client, target;

	client = first_client();
	target = ask_for(&client, "/1", "");
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	assert_null(strstr(client.data, "close"));
	rig_conn(&rig)->front->retiring = true;
	peer_send(&client, "GET /2 HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&target, "/2"));
	container_of(rig.worker.upstreams_open.next, struct upstream, all)->stream->retiring = true;
	answer_ok(&target);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_non_null(strstr(client.data, "Connection: close\r\n\r\nok"));
	assert_true(client.ended && target.ended);
	peer_fini(&client);
	WAIT(&rig, rig_reason(&rig, CLOSE_done) == 1);
	peer_fini(&target);
}

/* Stopping: idle connections end, a request under way is finished, and says that it was the last. */
static void test_drain(void **state)
{
	struct peer idle, busy, late, target;

	rig_serve(&rig);
	idle = rig_client(&rig);
	busy = rig_client(&rig);
	late = rig_client(&rig);
	target = ask(&busy);
	peer_send(&late, "GET /la"); /* half a head */
	WAIT(&rig, rig.worker.exchanges.used == 2);
	conn_drain_all(&rig.worker);
	WAIT(&rig, peer_over(&idle));
	assert_true(idle.ended);
	assert_int_equal(rig_reason(&rig, CLOSE_shutdown), 1);
	answer_ok(&target);
	WAIT(&rig, peer_over(&busy));
	assert_true(busy.ended);
	assert_non_null(strstr(busy.data, "Connection: close\r\n\r\nok"));
	peer_fini(&target);
	peer_send(&late, "te HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "/late"));
	answer_ok(&target);
	WAIT(&rig, peer_over(&late));
	assert_non_null(strstr(late.data, "Connection: close\r\n\r\nok"));
	peer_fini(&idle);
	peer_fini(&busy);
	peer_fini(&late);
	peer_fini(&target);
}

/* Draining begins when the answer's head is out already. */
static void test_drain_in_the_answer(void **state)
{
	struct peer client, target;

	client = first_client();
	target = ask(&client);
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	WAIT(&rig, peer_has(&client, "ab"));
	conn_drain_all(&rig.worker);
	peer_send(&target, "cd");
	WAIT(&rig, peer_over(&client));
	assert_true(client.ended);
	assert_non_null(strstr(client.data, "abcd"));
	end(&client, &target);
}

/* deregistration_delay is over in the middle of an answer: the client sees that it was cut, and
 * the request is not sent a second time behind half an answer. */
static void test_deregistered_in_the_answer(void **state)
{
	struct peer client, target;

	rig.group_spec.n_members = 2;
	client = first_client();
	target = ask(&client);
	peer_send(&target, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
	WAIT(&rig, peer_has(&client, "\r\n\r\n"));
	atomic_store(&rig.targets[0]->removed, true);
	upstream_sweep(&rig.worker);
	rig_turn(&rig);
	assert_false(peer_over(&client)); /* it may finish while the delay lasts */
	atomic_store(&rig.targets[0]->expired, true);
	upstream_sweep(&rig.worker);
	WAIT(&rig, peer_over(&client));
	assert_true(client.reset);
	assert_int_equal(rig_try_accept(&rig, 1), -1);
	assert_int_equal(rig_reason(&rig, CLOSE_deregistered), 1);
	assert_int_equal(rig.targets[0]->workers[0].failures, 0);
	end(&client, &target);
}

/* Of HTTP/1.0, which gets none of them: nothing else would end it. */
static void test_interim_answers_without_end(void **state)
{
	static const char some[] = "HTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\n";
	struct peer client, target;
	uint32_t n_sent = 0;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
	target = rig_accept(&rig, 0);
	while (!peer_has(&client, "502 Bad Gateway")) {
		(void)!send(target.fd, some, strlen(some), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (poll(&(struct pollfd){.fd = client.fd, .events = POLLIN}, 1, 0) == 0)
			rig_step(&rig);
		assert_true(n_sent++ < 50000);
	}
	peer_fini(&client);
	peer_fini(&target);
}

/* In the same turn, behind what the target says first. */
static void test_client_resets_at_an_interim_answer(void **state)
{
	struct peer client = first_client(), target = ask(&client);

	peer_send(&target, "HTTP/1.1 103 Early Hints\r\n\r\n");
	peer_abort(&client);
	WAIT(&rig, rig_reason(&rig, CLOSE_client_reset) == 1);
	assert_int_equal(rig_reason(&rig, CLOSE_target_bad_response), 0);
	assert_int_equal(rig.targets[0]->workers[0].failures, 0);
	end(&client, &target);
}

/* A connection that was open before a reload uses the targets of after it. */
static void test_reload_reaches_open_connections(void **state)
{
	struct peer client, target;

	client = first_client();
	target = ask_for(&client, "/1", "");
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	rig.group_spec.members = &rig.members[1];
	rig_reload(&rig);
	atomic_store(&rig.targets[0]->removed, true);
	upstream_sweep(&rig.worker);
	WAIT(&rig, peer_over(&target)); /* it was in the pool */
	peer_fini(&target);
	peer_send(&client, "GET /2 HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 1);
	WAIT(&rig, peer_has(&target, "/2"));
	answer_ok(&target);
	peer_clear(&client);
	WAIT(&rig, peer_has(&client, "ok"));
	end(&client, &target);
}

/* The listener is gone: what is open may make one more request. */
static void test_listener_removed(void **state)
{
	struct peer client, target;

	client = first_client();
	rig.worker.generation = 1; /* a snapshot without it */
	target = ask(&client);
	answer_ok(&target);
	WAIT(&rig, peer_over(&client));
	assert_non_null(strstr(client.data, "Connection: close\r\n\r\nok"));
	end(&client, &target);
}

/* A PROXY header in pieces, then the request behind it; and one that never gets whole. */
static void test_proxy_header(void **state)
{
	struct peer client, target;

	rig.listener_spec.proxy_in = PROXY_IN_REQUIRE;
	rig.listener_spec.http.x_forwarded_for = HTTP_FORWARDED_APPEND;
	rig.listener_spec.http.x_forwarded_proto = HTTP_FORWARDED_PROTO_SET;
	client = first_client();
	send_bytewise(&client, "PROXY TCP4 192.0.2.9 192.0.2.1 4000 8443\r\n");
	target = ask(&client);
	assert_non_null(strstr(target.data, "X-Forwarded-For: 192.0.2.9\r\n"));
	assert_non_null(strstr(target.data, "X-Forwarded-Port: 8443\r\n"));
	end(&client, &target);
	client = rig_client(&rig);
	peer_send(&client, "PROXY TCP4 192.");
	rig_turn(&rig);
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 1);
	peer_fini(&client);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n\r\n");
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_proxy_header_missing), 1);
	peer_fini(&client);
}

/* Behind a GET with a body both connections end, though the target, which may not have read it, wants to
 * go on; monitor lets both go on. */
static void test_get_with_a_body(void **state)
{
	struct peer client, target;

	client = first_client();
	target = ask_for(&client, "/", "Content-Length: 1\r\n");
	peer_send(&client, "x");
	WAIT(&rig, peer_has(&target, "\r\n\r\nx"));
	assert_non_null(strstr(target.data, "Connection: close\r\n"));
	answer_ok(&target);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_non_null(strstr(client.data, "Connection: close\r\n\r\nok"));
	assert_int_equal(rig.stats->workers[0].desync[DESYNC_get_with_length][0], 1);
	end(&client, &target);
	rig.listener_spec.http.desync = DESYNC_MONITOR;
	rig_reload(&rig);
	client = rig_client(&rig);
	target = ask_for(&client, "/", "Content-Length: 1\r\n");
	peer_send(&client, "x");
	WAIT(&rig, peer_has(&target, "\r\n\r\nx"));
	assert_null(strstr(target.data, "Connection: close\r\n"));
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	peer_clear(&client);
	peer_clear(&target);
	peer_send(&client, "GET /next HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&target, "GET /next"));
	answer_ok(&target);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	end(&client, &target);
}

/* Until it is answered: the block it was read into, and what was sent of it, which may be sent again. */
static void test_waiting_request_holds_little(void **state)
{
	const struct bufpool *bufs = &rig.worker.io.bufs;
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_got(&target, "\r\n\r\n"));
	assert_int_equal(bufs->tiny.used, 1);
	assert_int_equal(bufs->small.used, 1);
	assert_int_equal(bufs->medium.used, 0);
	peer_fini(&client);
	peer_fini(&target);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_waiting_request_holds_little),
		CASE(test_timeout_header),
		CASE(test_timeout_body),
		CASE(test_timeout_response),
		CASE(test_timeout_keep_alive),
		CASE(test_timeout_idle_in_the_answer),
		CASE(test_keep_alive_is_over_behind_the_answer),
		CASE(test_drain_behind_the_answer),
		CASE(test_client_ends_before_the_answer_is_out),
		CASE(test_last_answer_is_sent_to_its_end),
		CASE(test_client_takes_nothing_more),
		CASE(test_closed_with_bytes_held),
		CASE(test_client_goes),
		CASE(test_client_goes_before_there_is_a_target),
		CASE(test_client_half_closes),
		CASE(test_connection_limit),
		CASE(test_requests_per_connection),
		CASE(test_old_keys),
		CASE(test_drain),
		CASE(test_drain_in_the_answer),
		CASE(test_deregistered_in_the_answer),
		CASE(test_interim_answers_without_end),
		CASE(test_client_resets_at_an_interim_answer),
		CASE(test_reload_reaches_open_connections),
		CASE(test_listener_removed),
		CASE(test_proxy_header),
		CASE(test_get_with_a_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
