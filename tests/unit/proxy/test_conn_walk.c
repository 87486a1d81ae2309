/* Walks over the open connections of a worker, while these come and go. */
#include "rig.h"

#include "proxy/conn_walk.h"

enum { CONNS = 10, WORKER = 3 };

static struct proxy_worker worker;
static struct conn conns[CONNS];

static void add(struct conn *conn)
{
	*conn = (struct conn){.worker = &worker, .id = conn_id_make(worker.conns_made++, WORKER)};
	list_add_tail(&worker.open, &conn->link);
}

static void leave(struct conn *conn)
{
	conn_walks_leave(conn);
	list_del(&conn->link);
}

static int setup(void **state)
{
	worker = (struct proxy_worker){.io.worker = WORKER};
	list_init(&worker.open);
	list_init(&worker.walks);
	for (int i = 0; i < CONNS - 1; i++)
		add(&conns[i]);
	return 0;
}

static void sees_all_in_their_order(void **state)
{
	struct conn_walk walk;

	conn_walk_begin(&walk, &worker);
	for (int i = 0; i < CONNS - 1; i++)
		assert_ptr_equal(conn_walk_next(&walk), &conns[i]);
	assert_null(conn_walk_next(&walk));
	assert_null(conn_walk_next(&walk));
	conn_walk_end(&walk);
	assert_true(list_is_empty(&worker.walks));
	conn_walk_end(&walk);
}

static void an_id_names_the_worker(void **state)
{
	assert_int_equal(conn_id_worker(conns[0].id), WORKER);
	assert_int_equal(conn_id_worker(conns[7].id), WORKER);
	assert_true(conns[0].id < conns[1].id);
	assert_true(conn_id_make(0, SHARED_WORKERS_MAX - 1) < conn_id_make(1, 0));
}

/* The next one, the one after it, the one just seen, the last. */
static void goes_on_behind_those_that_close(void **state)
{
	struct conn_walk walk, other;

	conn_walk_begin(&walk, &worker);
	conn_walk_begin(&other, &worker);
	assert_ptr_equal(conn_walk_next(&walk), &conns[0]);
	leave(&conns[1]);
	leave(&conns[2]);
	leave(&conns[0]);
	assert_ptr_equal(conn_walk_next(&walk), &conns[3]);
	assert_ptr_equal(conn_walk_next(&other), &conns[3]);
	leave(&conns[5]);
	assert_ptr_equal(conn_walk_next(&walk), &conns[4]);
	assert_ptr_equal(conn_walk_next(&walk), &conns[6]);
	conn_walk_end(&other);
	for (int i = 3; i < CONNS - 1; i++)
		if (i != 5)
			leave(&conns[i]);
	assert_null(conn_walk_next(&walk));
	conn_walk_end(&walk);
	assert_true(list_is_empty(&worker.walks));
}

/* However fast new ones come, a walk has an end. */
static void leaves_out_those_that_come_later(void **state)
{
	struct conn_walk walk;
	int n = 0;

	conn_walk_begin(&walk, &worker);
	add(&conns[CONNS - 1]);
	while (conn_walk_next(&walk))
		n++;
	assert_int_equal(n, CONNS - 1);
	conn_walk_end(&walk);
	conn_walk_begin(&walk, &worker);
	for (n = 0; conn_walk_next(&walk); n++)
		;
	assert_int_equal(n, CONNS);
	conn_walk_end(&walk);
}

static void walks_where_there_is_nothing(void **state)
{
	struct conn_walk walk;

	for (int i = 0; i < CONNS - 1; i++)
		leave(&conns[i]);
	conn_walk_begin(&walk, &worker);
	assert_null(conn_walk_next(&walk));
	add(&conns[0]);
	assert_null(conn_walk_next(&walk));
	conn_walk_end(&walk);
}

/* Connections of clients that are there, closed as the daemon closes them. */
static void real_connections_close_during_a_walk(void **state)
{
	static struct rig rig;
	struct peer clients[4];
	struct conn_facts facts;
	struct conn *seen, *second;
	struct conn_walk walk;
	uint64_t closed_id;
	int i;

	rig_init(&rig, 1);
	rig_serve(&rig);
	for (i = 0; i < 4; i++)
		clients[i] = rig_client(&rig);
	peer_send(&clients[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_turn(&rig);
	conn_walk_begin(&walk, &rig.worker);
	seen = conn_walk_next(&walk);
	conn_facts(seen, &facts);
	assert_ptr_equal(facts.conn, seen);
	assert_int_equal(facts.bytes_in, 27);
	assert_ptr_equal(facts.target, rig.targets[0]);
	assert_false(facts.has_tls);
	assert_string_equal(conn_state_name(seen->state), "request");
	second = container_of(walk.next, struct conn, link);
	closed_id = second->id;
	conn_close(second, CLOSE_client_gone);
	conn_close(seen, CLOSE_client_gone);
	rig_turn(&rig); /* their memory is gone now */
	seen = conn_walk_next(&walk);
	assert_true(seen->id > closed_id);
	conn_facts(seen, &facts);
	assert_null(facts.target);
	assert_string_equal(conn_state_name(seen->state), "idle");
	assert_non_null(conn_walk_next(&walk));
	assert_null(conn_walk_next(&walk));
	conn_walk_end(&walk);
	for (i = 0; i < 4; i++)
		peer_fini(&clients[i]);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sees_all_in_their_order, setup),
		cmocka_unit_test_setup(an_id_names_the_worker, setup),
		cmocka_unit_test_setup(goes_on_behind_those_that_close, setup),
		cmocka_unit_test_setup(leaves_out_those_that_come_later, setup),
		cmocka_unit_test(real_connections_close_during_a_walk),
		cmocka_unit_test_setup(walks_where_there_is_nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
