/* What is tried again at another target, what is not, and the budget for it. */
#include "rig.h"

#include "proxy/group_state.h"

#define HOST "Host: a.test\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST "\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
#define PUT  "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BUSY "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

static struct rig rig;

static int setup(void **state)
{
	rig_init(&rig, 2);
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	return 0;
}

static const struct group_counts *counts(void)
{
	return &rig.group->spec.state->workers[0];
}

/* The target that the next request goes to first refuses connections. */
static void refuse(uint32_t target)
{
	close(rig.target_fds[target]);
	rig.target_fds[target] = -1;
}

static void answer_with(uint32_t target, const char *expected, const char *text)
{
	struct peer peer = rig_accept(&rig, target);

	WAIT(&rig, peer_has(&peer, expected));
	peer_send(&peer, text);
	rig_turn(&rig);
	peer_fini(&peer);
}

static void a_refused_connection(void **state)
{
	struct peer client;

	rig_serve(&rig);
	refuse(0);
	client = rig_client(&rig);
	peer_send(&client, POST); /* nothing of it was sent */
	answer_with(1, "abc", OK);
	WAIT(&rig, peer_has(&client, "200 OK"));
	assert_int_equal(counts()->retries, 1);
	peer_fini(&client);
}

static void no_attempts(void **state)
{
	struct peer client;

	rig.group_spec.retry.attempts = 0;
	rig_serve(&rig);
	refuse(0);
	client = rig_client(&rig);
	peer_send(&client, GET);
	WAIT(&rig, peer_has(&client, "502 Bad Gateway"));
	assert_int_equal(counts()->retries, 0);
	peer_fini(&client);
}

static void no_more_than_the_attempts(void **state)
{
	struct peer client;

	rig_serve(&rig);
	refuse(0);
	refuse(1);
	client = rig_client(&rig);
	peer_send(&client, GET);
	WAIT(&rig, peer_has(&client, "502 Bad Gateway"));
	assert_int_equal(counts()->retries, 2);
	assert_int_equal(
		rig.targets[0]->workers[0].failures + rig.targets[1]->workers[0].failures, 3);
	peer_fini(&client);
}

/* Takes a request and ends the connection. */
static void drop(uint32_t target)
{
	struct peer peer = rig_accept(&rig, target);

	WAIT(&rig, peer_has(&peer, "\r\n\r\n"));
	peer_fini(&peer);
}

static void not_over_the_budget(void **state)
{
	struct peer client;
	int i;

	rig.group_spec.retry = (struct retry_spec){.attempts = 2, .budget_percent = 50};
	rig.group_spec.n_members = 1;
	rig_serve(&rig);
	for (i = 0; i < 4; i++) { /* each pays half of one */
		client = rig_client(&rig);
		peer_send(&client, GET);
		drop(0);
		if (i & 1)
			drop(0);
		WAIT(&rig, peer_has(&client, "502 Bad Gateway"));
		peer_fini(&client);
	}
	assert_int_equal(counts()->retries, 2);
	assert_int_equal(counts()->retries_refused, 4);
	/* What could not be sent needs none. */
	refuse(0);
	client = rig_client(&rig);
	peer_send(&client, GET);
	WAIT(&rig, peer_has(&client, "502 Bad Gateway"));
	assert_int_equal(counts()->retries, 4);
	peer_fini(&client);
}

static void an_end_before_the_answer(void **state)
{
	struct peer client, target;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, PUT);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "abc"));
	peer_fini(&target);
	answer_with(1, "abc", OK);
	WAIT(&rig, peer_has(&client, "200 OK"));
	peer_fini(&client);
}

static void statuses(void **state)
{
	struct peer client;

	rig.group_spec.retry.status[0] = (struct retry_status){502, 503};
	rig.group_spec.retry.n_status = 1;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, PUT);
	answer_with(0, "abc", BUSY);
	answer_with(1, "abc", OK);
	WAIT(&rig, peer_has(&client, "200 OK"));
	assert_null(strstr(client.data, "503"));
	assert_null(strstr(client.data, "busy"));
	assert_int_equal(counts()->retries, 1);
	peer_clear(&client);
	/* Not idempotent: who knows what it has done. */
	peer_send(&client, POST);
	answer_with(0, "abc", BUSY);
	WAIT(&rig, peer_has(&client, "busy"));
	peer_clear(&client);
	/* All were asked: the last answer is what there is. */
	peer_send(&client, GET);
	answer_with(1, "\r\n\r\n", BUSY);
	answer_with(0, "\r\n\r\n", BUSY);
	WAIT(&rig, peer_has(&client, "busy"));
	peer_clear(&client);
	peer_send(&client, GET);
	answer_with(1, "\r\n\r\n", "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n");
	WAIT(&rig, peer_has(&client, "504 Gateway"));
	peer_fini(&client);
}

/* What there is no other target for is the answer: the one that gave it is not asked again. */
static void a_status_of_the_only_one(void **state)
{
	struct peer client;

	rig.group_spec.retry.status[0] = (struct retry_status){502, 503};
	rig.group_spec.retry.n_status = 1;
	atomic_store(&rig.targets[1]->health, TARGET_UNHEALTHY);
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, GET);
	answer_with(0, "\r\n\r\n", BUSY);
	WAIT(&rig, peer_has(&client, "busy"));
	assert_int_equal(counts()->retries, 0);
	peer_clear(&client);
	atomic_store(&rig.targets[1]->health, TARGET_INITIAL);
	peer_send(&client, GET);
	answer_with(0, "\r\n\r\n", BUSY);
	answer_with(1, "\r\n\r\n", OK);
	WAIT(&rig, peer_has(&client, "200 OK"));
	peer_fini(&client);
}

static void a_tunnel(void **state)
{
	struct peer client, target;

	rig.listener_spec.protocol = LISTEN_TCP;
	rig_serve(&rig);
	refuse(0);
	client = rig_client(&rig);
	target = rig_accept(&rig, 1);
	peer_send(&client, "hello");
	WAIT(&rig, peer_has(&target, "hello"));
	assert_int_equal(counts()->retries, 1);
	peer_fini(&client);
	peer_fini(&target);
}

/* 20 % of the requests and three a second, kept up to a hundred. */
static void budget(void **state)
{
	int i, taken = 0;

	rig.group_spec.retry =
		(struct retry_spec){.attempts = 2, .budget_percent = 20, .budget_per_second = 3};
	rig_serve(&rig);
	retry_note_request(rig.group, 0, 1000); /* begins with three seconds' worth */
	while (retry_take(rig.group, 0, 1000))
		taken++;
	assert_int_equal(taken, 9);
	for (i = 0; i < 50; i++)
		retry_note_request(rig.group, 0, 1000);
	for (taken = 0; retry_take(rig.group, 0, 1000);)
		taken++;
	assert_int_equal(taken, 10);
	for (i = 0, taken = 0; i < 1000; i++) /* a second in steps that pay nothing by themselves */
		taken += retry_take(rig.group, 0, 1001 + (uint64_t)i);
	assert_int_equal(taken, 3);
	for (taken = 0; retry_take(rig.group, 0, 1000000);)
		taken++;
	assert_int_equal(taken, 100);
}

/* However many workers share it: the first failure of each is tried again, and time pays in full. */
static void budget_of_many_workers(void **state)
{
	int i, taken;

	rig.group_spec.retry = (struct retry_spec){.attempts = 2, .budget_per_second = 3};
	rig_serve(&rig);
	rig.group->spec.n_workers = 64;
	retry_note_request(rig.group, 0, 1000);
	assert_true(retry_take(rig.group, 0, 1000));
	assert_false(retry_take(rig.group, 0, 1000));
	for (i = 0, taken = 0; i < 64000; i++) /* its part of 3 a second, in a minute */
		taken += retry_take(rig.group, 0, 1001 + (uint64_t)i);
	rig.group->spec.n_workers = 1;
	assert_int_equal(taken, 3);
}

/* Asked again and again while time hardly passes: nothing is paid twice, though the parts do not divide. */
static void budget_in_a_storm(void **state)
{
	static const uint32_t rates[] = {10, 100, 3001, 10000};
	uint32_t i, ms, taken, at_once;

	rig_serve(&rig);
	for (i = 0; i < array_len(rates); i++) {
		struct retry_budget *own = &rig.group->spec.state->workers[0].budget;

		rig.group->spec.n_workers = 3;
		*own = (struct retry_budget){0};
		rig.group->spec.retry =
			(struct retry_spec){.attempts = 2, .budget_per_second = rates[i]};
		retry_note_request(rig.group, 0, 1000);
		for (at_once = 0; retry_take(rig.group, 0, 1000);)
			at_once++;
		for (ms = taken = 0; ms < 20 * 3000; ms++)
			taken += retry_take(rig.group, 0, 1000 + ms / 20);
		rig.group->spec.n_workers = 1;
		assert_in_range(at_once, 1, 100);
		assert_in_range(taken, rates[i] * 2 / 3, rates[i]); /* a third of 3 s */
	}
}

/* The target ended a connection that had waited in the pool: that was none of the attempts. */
static void a_stale_connection_is_no_attempt(void **state)
{
	struct peer client, target;

	rig.group_spec.retry.attempts = 1;
	rig.group_spec.n_members = 1;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, GET);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_send(&target, OK);
	WAIT(&rig, peer_has(&client, "200 OK"));
	peer_send(&client, PUT);
	WAIT(&rig, peer_has(&target, "abc"));
	refuse(0);
	peer_fini(&target);
	WAIT(&rig, peer_has(&client, "502 Bad Gateway"));
	assert_int_equal(counts()->retries, 1);
	peer_fini(&client);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_refused_connection),
		CASE(no_attempts),
		CASE(no_more_than_the_attempts),
		CASE(not_over_the_budget),
		CASE(an_end_before_the_answer),
		CASE(statuses),
		CASE(a_status_of_the_only_one),
		CASE(a_tunnel),
		CASE(budget),
		CASE(budget_of_many_workers),
		CASE(budget_in_a_storm),
		CASE(a_stale_connection_is_no_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
