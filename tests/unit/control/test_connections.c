/*
 * Listing connections: two workers' loops with many connections that are no more than their place in
 * the list, and clients of the admin API that read, do not read, or go.
 */
#include "control/connections.h"
#include "control/worker.h"

#include "admin_case.h"

#include "control/admin_request.h"

#include <stdatomic.h>

enum { WORKERS = 2, MANY = 50000, CHURN = 20 };

struct crowd {
	struct conn *conns;
	uint32_t n, first, next; /* [first, next) are open */
	uint32_t leaves, comes;  /* each turn, while there are some */
	atomic_uint turns;
};

static struct worker *workers;
static struct crowd crowds[WORKERS];
static struct listener listeners[2] = {{.spec.name = "a"}, {.spec.name = "b"}};
static struct connections_hub *hub;
static struct connections_filter filter; /* of the next request */

static void come(struct worker *worker, struct crowd *crowd)
{
	struct conn *conn = &crowd->conns[crowd->next++];

	*conn = (struct conn){
		.worker = &worker->proxy,
		.listener = &listeners[crowd->next % 2],
		.state = crowd->next % 4 == 0 ? CONN_TUNNEL : CONN_IDLE,
		.id = conn_id_make(worker->proxy.conns_made++, worker->proxy.io.worker),
		.accepted_ms = loop_now_ms(worker->proxy.io.loop),
	};
	assert_int_equal(addr_parse(crowd->next % 2 ? "192.0.2.7:1000" : "[2001:db8::7]:2000",
				 &conn->client),
		0);
	list_add_tail(&worker->proxy.open, &conn->link);
}

static void leave(struct crowd *crowd)
{
	struct conn *conn = &crowd->conns[crowd->first++];

	conn_walks_leave(conn);
	list_del(&conn->link);
}

static void turn_end(void *arg)
{
	struct worker *worker = arg;
	struct crowd *crowd = &crowds[worker - workers];
	uint32_t i;

	connections_serve(&worker->connections, &worker->proxy);
	for (i = 0; i < crowd->leaves && crowd->first < crowd->n / 2; i++)
		leave(crowd);
	for (i = 0; i < crowd->comes && crowd->next < crowd->n; i++)
		come(worker, crowd);
	atomic_fetch_add(&crowd->turns, 1);
}

static void *work(void *arg)
{
	loop_run(((struct worker *)arg)->proxy.io.loop);
	return NULL;
}

/* `open` of `n` are there from the beginning. */
static void worker_up(uint32_t index, uint32_t n, uint32_t open)
{
	struct worker *worker = &workers[index];
	struct crowd *crowd = &crowds[index];

	worker->proxy.io.worker = index;
	list_init(&worker->proxy.open);
	list_init(&worker->proxy.walks);
	assert_int_equal(loop_new(&worker->proxy.io.loop), 0);
	loop_hooks_set(
		worker->proxy.io.loop, &(struct loop_hooks){.turn_end = turn_end, .arg = worker});
	memset(crowd, 0, sizeof(*crowd));
	crowd->n = n;
	crowd->conns = mem_zalloc((n + 1) * sizeof(*crowd->conns));
	while (crowd->next < open)
		come(worker, crowd);
}

static void workers_run(void)
{
	for (uint32_t i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
		workers[i].started = true;
	}
}

static void fake_connections(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct connections_query query = {.filter = filter, .limit = CONNECTIONS_LIMIT};

	assert_true(admin_query_number(call->query, "limit", UINT32_MAX, &query.limit) >= 0);
	connections_open(hub, &query, reply);
}

static const struct admin_source source = {.connections = fake_connections};

/* On the server's thread, whose loop it is. */
static void make_hub(char what)
{
	struct connections_hub_spec spec = {server.io.loop, workers, WORKERS};
	struct err err;

	assert_int_equal(connections_hub_new(&spec, &hub, &err), 0);
	tell('h');
}

static int setup(void **state)
{
	workers = mem_zalloc(WORKERS * sizeof(*workers));
	filter = (struct connections_filter){0};
	server_start(&source, 0, make_hub);
	order('h');
	await('h');
	return 0;
}

/* As the daemon ends: the admin server, the workers, and then what is left of the listings. */
static int teardown(void **state)
{
	char run[128];
	uint32_t i;

	loop_stop(server.io.loop);
	pthread_join(server.thread, NULL);
	admin_free(server.admin);
	for (i = 0; i < WORKERS; i++) {
		if (workers[i].started) {
			loop_stop(workers[i].proxy.io.loop);
			pthread_join(workers[i].thread, NULL);
		}
		loop_free(workers[i].proxy.io.loop);
		free(crowds[i].conns);
	}
	connections_hub_free(hub);
	iothread_fini(&server.io);
	close(server.told_fd);
	close(server.tell_fd);
	close(server.orders.fd);
	close(server.order_fd);
	snprintf(run, sizeof(run), "%s/run", server.folder);
	assert_int_equal(rmdir(run), 0);
	assert_int_equal(rmdir(server.folder), 0);
	free(workers);
	free(reply_text);
	reply_text = NULL;
	return 0;
}

/* An answer of HTTP/1.0 is not in chunks. The caller frees it. */
static yyjson_doc *list(const char *query)
{
	char request[128];
	const char *body;
	yyjson_doc *doc;
	int fd = dial();

	snprintf(request, sizeof(request), "GET /v1/connections%s HTTP/1.0\r\n\r\n", query);
	say(fd, request);
	body = hear(fd, NULL);
	close(fd);
	assert_begins(body, "HTTP/1.1 200 ");
	body = strstr(body, "\r\n\r\n");
	doc = yyjson_read(body, strlen(body), 0);
	assert_non_null(doc);
	return doc;
}

static yyjson_val *member(yyjson_doc *doc, const char *name)
{
	return yyjson_obj_get(yyjson_doc_get_root(doc), name);
}

static size_t count(yyjson_doc *doc)
{
	return yyjson_arr_size(member(doc, "connections"));
}

/* Worker by worker, the oldest first, none twice. */
static void assert_in_order(yyjson_doc *doc)
{
	uint64_t last = 0, sequence, id;
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(member(doc, "connections"), i, n, row)
	{
		id = yyjson_get_uint(yyjson_obj_get(row, "id"));
		sequence = conn_id_worker(id) * UINT64_C(1000000) + id / SHARED_WORKERS_MAX + 1;
		assert_true(sequence > last);
		last = sequence;
	}
}

static void lists_a_hundred_thousand_a_few_each_turn(void **state)
{
	yyjson_doc *doc;
	uint32_t turns;

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, MANY, MANY);
	workers_run();
	turns = atomic_load(&crowds[0].turns);
	doc = list("?limit=1000000");
	assert_int_equal(count(doc), WORKERS * MANY);
	assert_in_order(doc);
	assert_false(yyjson_get_bool(member(doc, "has_more")));
	assert_true(yyjson_is_null(member(doc, "next")));
	assert_true(atomic_load(&crowds[0].turns) - turns >= MANY / CONNECTIONS_LOOKS_PER_TURN);
	yyjson_doc_free(doc);
}

static void lists_none(void **state)
{
	yyjson_doc *doc;

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, 0, 0);
	workers_run();
	doc = list("");
	assert_int_equal(count(doc), 0);
	assert_false(yyjson_get_bool(member(doc, "has_more")));
	yyjson_doc_free(doc);
}

/* Also where the limit is that of a page, or all there are. */
static void stops_at_the_limit(void **state)
{
	static const struct {
		const char *query;
		size_t n;
		bool has_more;
	} rows[] = {{"?limit=1", 1, true}, {"?limit=63", 63, true}, {"?limit=64", 64, true},
		{"?limit=65", 65, true}, {"?limit=100", 100, true}, {"?limit=101", 101, true},
		{"?limit=199", 199, true}, {"?limit=200", 200, false}, {"?limit=201", 200, false}};
	yyjson_doc *doc;

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, 100, 100);
	workers_run();
	for (size_t i = 0; i < array_len(rows); i++) {
		doc = list(rows[i].query);
		assert_int_equal(count(doc), rows[i].n);
		assert_int_equal(yyjson_get_bool(member(doc, "has_more")), rows[i].has_more);
		assert_int_equal(yyjson_is_uint(member(doc, "next")), rows[i].has_more);
		assert_in_order(doc);
		yyjson_doc_free(doc);
	}
}

static void goes_on_behind_a_page(void **state)
{
	bool has_more = true;
	yyjson_doc *doc;
	size_t n = 0;

	worker_up(0, 1000, 1000);
	worker_up(1, 777, 777);
	workers_run();
	while (has_more) {
		doc = list("?limit=100");
		n += count(doc);
		has_more = yyjson_get_bool(member(doc, "has_more"));
		assert_int_equal(count(doc), has_more ? 100 : 77);
		filter.has_after = true;
		filter.after_id = yyjson_get_uint(member(doc, "next"));
		yyjson_doc_free(doc);
	}
	assert_int_equal(n, 1777);
	filter.after_id = conn_id_make(0, SHARED_WORKERS_MAX - 1); /* no such worker */
	doc = list("");
	assert_int_equal(count(doc), 0);
	yyjson_doc_free(doc);
}

static void filters_each_and_all(void **state)
{
	struct err err;
	yyjson_doc *doc;

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, 400, 400);
	workers_run();
	strcpy(filter.listener, "a");
	doc = list("");
	assert_int_equal(count(doc), 400);
	yyjson_doc_free(doc);
	filter.states = 1u << CONN_TUNNEL;
	doc = list("");
	assert_int_equal(count(doc), 200); /* every fourth is listener a's, as even ones are */
	yyjson_doc_free(doc);
	filter.has_client = true;
	assert_int_equal(dp_prefix_parse(slice_of("2001:db8::/32"), &filter.client, &err), 0);
	doc = list("");
	assert_int_equal(count(doc), 200);
	yyjson_doc_free(doc);
	assert_int_equal(dp_prefix_parse(slice_of("192.0.2.0/24"), &filter.client, &err), 0);
	doc = list("");
	assert_int_equal(count(doc), 0);
	yyjson_doc_free(doc);
	strcpy(filter.listener, "b");
	filter.states = 1u << CONN_IDLE | 1u << CONN_PEEK;
	doc = list("");
	assert_int_equal(count(doc), 400);
	yyjson_doc_free(doc);
}

/* The older half closes and as many come; those that were there all the time are listed. */
static void lists_while_connections_come_and_go(void **state)
{
	yyjson_val *row;
	yyjson_doc *doc;
	size_t i, n, stayed = 0;

	for (uint32_t w = 0; w < WORKERS; w++) {
		worker_up(w, 20000, 12000);
		crowds[w].leaves = CHURN;
		crowds[w].comes = CHURN;
	}
	workers_run();
	doc = list("?limit=1000000");
	assert_in_order(doc);
	yyjson_arr_foreach(member(doc, "connections"), i, n, row)
	{
		uint64_t at = yyjson_get_uint(yyjson_obj_get(row, "id")) / SHARED_WORKERS_MAX;

		stayed += at >= 10000 && at < 12000;
	}
	assert_int_equal(stayed, WORKERS * 2000);
	yyjson_doc_free(doc);
}

/* Four that do not read hold no worker up; the fifth is told so; when they go there is room. */
static void those_who_do_not_read_are_few(void **state)
{
	int fds[CONNECTIONS_LISTINGS_MAX], fd;
	const char *answer;
	yyjson_doc *doc;

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, MANY, MANY);
	workers_run();
	for (size_t i = 0; i < array_len(fds); i++) {
		fds[i] = dial();
		say(fds[i], "GET /v1/connections?limit=1000000 HTTP/1.0\r\n\r\n");
		hear(fds[i], "\"connections\"");
	}
	fd = dial();
	say(fd, "GET /v1/connections HTTP/1.0\r\n\r\n");
	answer = hear(fd, NULL);
	assert_begins(answer, "HTTP/1.1 503 ");
	assert_has(answer, "\"busy\"");
	close(fd);
	for (size_t i = 0; i < array_len(fds); i++)
		close(fds[i]);
	do { /* their end is seen one after the other */
		fd = dial();
		say(fd, "GET /v1/connections?limit=1 HTTP/1.0\r\n\r\n");
		answer = hear(fd, NULL);
		close(fd);
	} while (strncmp(answer, "HTTP/1.1 503 ", 13) == 0);
	doc = list("?limit=1000000");
	assert_int_equal(count(doc), WORKERS * MANY);
	yyjson_doc_free(doc);
}

/* The daemon ends while a worker has a page. */
static void the_end_finds_a_page_away(void **state)
{
	int fd = dial();

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, 10, 10); /* and does not run */
	say(fd, "GET /v1/connections HTTP/1.0\r\n\r\n");
	hear(fd, "\"connections\"");
	close(fd);
}

static void only_the_head_is_wanted(void **state)
{
	int fd = dial();

	for (uint32_t i = 0; i < WORKERS; i++)
		worker_up(i, 10, 10);
	say(fd, "HEAD /v1/connections HTTP/1.0\r\n\r\n");
	assert_begins(hear(fd, NULL), "HTTP/1.1 200 ");
	close(fd);
}

#define LISTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTED(lists_a_hundred_thousand_a_few_each_turn),
		LISTED(lists_none),
		LISTED(stops_at_the_limit),
		LISTED(goes_on_behind_a_page),
		LISTED(filters_each_and_all),
		LISTED(lists_while_connections_come_and_go),
		LISTED(those_who_do_not_read_are_few),
		LISTED(the_end_finds_a_page_away),
		LISTED(only_the_head_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
