/* What becomes of connections when their listener's terms are tightened: kept, drained, closed. */
#include "proxy/conn_terms.h"
#include "rig.h"

#include "core/counter.h"

#define REQUEST "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

enum { SHORT_MS = 100 };

static struct rig rig;

static int setup(void **state)
{
	rig_init(&rig, 2);
	rig.group_spec.n_members = 1;
	rig.listener_spec.drain_ms = RIG_DEADLINE_MS;
	rig_serve(&rig);
	rig_reload(&rig); /* the first generation */
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	return 0;
}

enum how { KEEP, DRAIN, CLOSE };

/* What take_snapshot() of a worker does. */
static void tighten(enum how how)
{
	struct listener_terms *terms = &rig.listener_spec.terms;
	uint64_t before = rig.stats->now[0].epoch;

	terms->epoch++;
	if (how == DRAIN)
		terms->drain_below = terms->epoch;
	if (how == CLOSE)
		terms->close_below = terms->epoch;
	rig_reload(&rig);
	assert_int_not_equal(rig.stats->now[0].epoch, before);
	conn_terms_look(&rig.worker);
}

static void answer(struct peer *target)
{
	WAIT(&rig, peer_has(target, "\r\n\r\n"));
	peer_clear(target);
	peer_send(target, ANSWER);
}

/* A request and its answer; the connection to the target. */
static struct peer served(struct peer *client)
{
	struct peer target;

	peer_send(client, REQUEST);
	target = rig_accept(&rig, 0);
	answer(&target);
	WAIT(&rig, peer_has(client, "ok"));
	peer_clear(client);
	return target;
}

static void turns(int n)
{
	while (n--)
		rig_turn(&rig);
}

static void test_an_idle_one_is_drained_at_once(void **state)
{
	struct peer client = rig_client(&rig), target = served(&client);

	tighten(DRAIN);
	WAIT(&rig, peer_over(&client));
	assert_false(client.reset);
	assert_int_equal(client.len, 0);
	peer_close(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), 1);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_the_answer_under_way_is_the_last(void **state)
{
	struct peer client = rig_client(&rig), target;

	peer_send(&client, REQUEST);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	tighten(DRAIN);
	peer_send(&client, REQUEST); /* behind it: not served any more */
	turns(3);
	answer(&target);
	WAIT(&rig, peer_over(&client));
	assert_true(peer_has(&client, "Connection: close\r\n") && peer_has(&client, "ok"));
	assert_false(client.reset);
	assert_int_equal(rig.stats->workers[0].requests, 1);
	peer_fini(&client);
	peer_fini(&target);
}

/* A client that has not asked for anything gets one answer, from where it would have come before. */
static void test_the_first_request_is_answered_by_the_old_listener(void **state)
{
	struct peer client = rig_client(&rig), target;
	struct target_member *members = rig.members;

	turns(2);
	rig.group_spec.name = "private";
	rig.group_spec.members = &members[1];
	rig.group_spec.n_members = 1;
	tighten(DRAIN);
	turns(3);
	assert_false(peer_over(&client));
	peer_send(&client, REQUEST);
	target = rig_accept(&rig, 0);
	answer(&target);
	WAIT(&rig, peer_over(&client));
	assert_true(peer_has(&client, "Connection: close\r\n"));
	assert_int_equal(rig_try_accept(&rig, 1), -1);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_what_takes_longer_ends_with_the_delay(void **state)
{
	struct peer client = rig_client(&rig), target;

	peer_send(&client, REQUEST);
	target = rig_accept(&rig, 0);
	rig.listener_spec.drain_ms = SHORT_MS;
	tighten(DRAIN);
	turns(3);
	assert_false(peer_over(&client));
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), 1);
	peer_fini(&client);
	peer_fini(&target);
}

static void test_all_are_closed(void **state)
{
	struct peer idle = rig_client(&rig), target = served(&idle), busy = rig_client(&rig);

	peer_send(&busy, REQUEST);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	tighten(CLOSE);
	WAIT(&rig, peer_over(&idle) && peer_over(&busy));
	assert_true(list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), 2);
	peer_fini(&idle);
	peer_fini(&busy);
	peer_fini(&target);
}

/* Kept, it goes over to later listeners, as long as they lead to the same group. */
static void test_one_that_is_kept(void **state)
{
	struct peer client = rig_client(&rig), target = served(&client);

	tighten(KEEP);
	rig.listener_spec.max_body_bytes = 12345;
	rig_reload(&rig);
	turns(3);
	assert_false(peer_over(&client));
	peer_send(&client, REQUEST);
	answer(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	assert_null(strstr(client.data, "Connection: close"));
	assert_int_equal(rig_conn(&rig)->listener->spec.max_body_bytes, 12345);
	peer_clear(&client);
	rig.group_spec.name = "private";
	rig_reload(&rig);
	peer_send(&client, REQUEST);
	answer(&target);
	WAIT(&rig, peer_over(&client));
	assert_true(peer_has(&client, "Connection: close\r\n"));
	assert_string_equal(rig.group->spec.name, "private");
	peer_close(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), 1);
	peer_fini(&client);
	peer_fini(&target);
}

/* A later change that is none, or keeps, does not forget those that must go. */
static void test_a_later_change_forgets_nobody(void **state)
{
	struct peer client = rig_client(&rig), target;

	peer_send(&client, REQUEST);
	target = rig_accept(&rig, 0);
	tighten(DRAIN);
	tighten(KEEP);
	rig_reload(&rig);
	answer(&target);
	WAIT(&rig, peer_over(&client));
	peer_fini(&client);
	peer_fini(&target);
}

static void test_who_comes_later_stays(void **state)
{
	struct peer client, target;

	tighten(CLOSE);
	tighten(DRAIN);
	client = rig_client(&rig);
	target = served(&client);
	turns(3);
	assert_false(peer_over(&client));
	rig_reload(&rig); /* not tighter */
	peer_send(&client, REQUEST);
	answer(&target);
	WAIT(&rig, peer_has(&client, "ok"));
	assert_false(peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), 0);
	peer_fini(&client);
	peer_fini(&target);
}

/* More than one turn's worth, and a change in the middle of it. */
static void test_many(void **state)
{
	enum { MANY = 700 };
	static struct peer clients[MANY];
	struct peer target;
	int i;

	for (i = 0; i < MANY; i++)
		clients[i] = rig_client(&rig);
	turns(2);
	peer_send(&clients[MANY - 1], REQUEST);
	target = rig_accept(&rig, 0);
	tighten(CLOSE);
	rig_step(&rig);
	tighten(CLOSE);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_terms_changed), MANY);
	for (i = 0; i < MANY; i++)
		peer_fini(&clients[i]);
	peer_fini(&target);
}

static void test_another_protocol(void **state)
{
	struct peer client = rig_client(&rig), target = served(&client);

	rig.listener_spec.protocol = LISTEN_TCP;
	tighten(KEEP);
	WAIT(&rig, peer_over(&client));
	peer_fini(&client);
	peer_fini(&target);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_an_idle_one_is_drained_at_once),
		CASE(test_the_answer_under_way_is_the_last),
		CASE(test_the_first_request_is_answered_by_the_old_listener),
		CASE(test_what_takes_longer_ends_with_the_delay),
		CASE(test_all_are_closed),
		CASE(test_one_that_is_kept),
		CASE(test_a_later_change_forgets_nobody),
		CASE(test_who_comes_later_stays),
		CASE(test_many),
		CASE(test_another_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
