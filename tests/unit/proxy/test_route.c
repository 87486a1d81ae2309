/* Requests that go by rules, end to end: bytes of a client in, bytes a target sees, bytes back. */
#include "rig.h"

#include "proxy/rules.h"
#include "tls/tickets.h"

#define HOST "Host: a.test\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct rig rig;
static struct rules_stats *stats;

static int setup(void **state)
{
	rig_init(&rig, 2);
	rig.group_spec.n_members = 2;
	stats = rules_stats_new(1);
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	assert_int_equal(atomic_load(&stats->shared.refs), 1);
	shared_put(&stats->shared);
	return 0;
}

/* One rule, for a path, that is filled in by the test; and the group of the rig for the rest. */
struct ruled {
	struct rules_rule_spec rules[4];
	struct rules_condition_spec conditions[4];
	struct rules_test_spec tests[4];
	const char *values[4];
	struct rules_rule_spec otherwise;
	struct rules_forward_spec forward;
	uint32_t n;
	uint64_t digest;
};

static struct rules_rule_spec *ruled_add(
	struct ruled *ruled, enum rules_field field, const char *name, const char *value)
{
	uint32_t at = ruled->n++;

	ruled->values[at] = value;
	ruled->tests[at] = (struct rules_test_spec){
		.field = field, .name = name, .values = &ruled->values[at], .n_values = 1};
	ruled->conditions[at] =
		(struct rules_condition_spec){.tests = &ruled->tests[at], .n_tests = 1};
	ruled->rules[at] = (struct rules_rule_spec){.name = value,
		.priority = at + 1,
		.conditions = &ruled->conditions[at],
		.n_conditions = 1,
		.stats = stats};
	return &ruled->rules[at];
}

/* The group must be there already. */
static void ruled_serve(struct ruled *ruled)
{
	struct rules_spec spec = {.listener = "listener",
		.rules = ruled->rules,
		.n_rules = ruled->n,
		.otherwise = &ruled->otherwise,
		.digest = ruled->digest,
		.n_workers = 1};
	struct err err;
	uint32_t i;

	rig.group = target_group_new(&rig.group_spec);
	ruled->forward = (struct rules_forward_spec){rig.group, 1};
	ruled->otherwise = (struct rules_rule_spec){.name = "default", .stats = stats};
	ruled->otherwise.action = (struct rules_action_spec){
		.action = RULES_FORWARD, .forward = &ruled->forward, .n_forward = 1};
	for (i = 0; i < ruled->n; i++)
		if (ruled->rules[i].action.action == RULES_FORWARD)
			ruled->rules[i].action = ruled->otherwise.action;
	assert_int_equal(rules_new(&spec, &rig.listener_spec.rules, &err), 0);
	rig.listener_spec.group = rig.group;
	rig.listener = listener_new(&rig.listener_spec);
}

static const struct rules_action_spec teapot = {
	.action = RULES_FIXED, .status = 418, .content_type = "text/tea", .body = {"short", 5}};

/* Answered here and forwarded, in one go, on one connection; nothing is left over of one for the next. */
static void test_pipelined(void **state)
{
	struct ruled ruled = {.n = 0};
	struct peer client, target;

	ruled_add(&ruled, RULES_PATH, NULL, "/tea")->action = teapot;
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "GET /tea HTTP/1.1\r\n" HOST "\r\nHEAD /tea HTTP/1.1\r\n" HOST
			   "\r\nGET /x HTTP/1.1\r\n" HOST "\r\nGET /tea HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	assert_string_equal(target.data, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	peer_send(&target, OK);
	WAIT(&rig, peer_has(&client, "okHTTP/1.1 418 "));
	WAIT(&rig, rig_conn(&rig)->state == CONN_IDLE);
	assert_non_null(strstr(peer_read(&client)->data, "\r\n\r\nshortHTTP/1.1 418 "));
	assert_non_null(strstr(client.data, "Content-Length: 5\r\n\r\nHTTP/1.1 200 OK"));
	assert_null(strstr(client.data, "Connection: close"));
	assert_int_equal(stats->workers[0].hits, 4);
	assert_int_equal(rig.stats->workers[0].fixed_responses, 3);
	assert_int_equal(rig.stats->workers[0].status[4], 3);
	peer_fini(&client);
	peer_fini(&target);
}

/* The client's body is not read for an answer that does not need it. */
static void test_with_a_body(void **state)
{
	struct ruled ruled = {.n = 0};
	struct peer client;

	ruled_add(&ruled, RULES_PATH, NULL, "/tea")->action = teapot;
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "POST /tea HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nGET /");
	WAIT(&rig, peer_over(&client));
	assert_memory_equal(client.data, "HTTP/1.1 418 ", 13);
	assert_non_null(strstr(client.data, "Connection: close\r\n\r\nshort"));
	peer_fini(&client);
}

/* What is sent again to another target is what the rule made of it. */
static void test_rewritten_once(void **state)
{
	static const char expected[] =
		"GET /new/x?q HTTP/1.1\r\nHost: b.test\r\nX-Kept: 1\r\nx-set: a.test\r\n\r\n";
	static const struct rules_edit_spec edits[] = {
		{RULES_SET, "x-set", "#{host}"}, {RULES_REMOVE, "X-Gone", NULL}};
	struct ruled ruled = {.n = 0};
	struct rules_rule_spec *rule = ruled_add(&ruled, RULES_PATH, NULL, "/old/*");
	struct peer client, first, second;

	rule->rewrite_host = "b.test";
	rule->rewrite_path = "/new/#{path.1}";
	rule->request = (struct rules_edits_spec){edits, 2};
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "GET /old/x?q HTTP/1.1\r\n" HOST
			   "X-Kept: 1\r\nX-SET: 0\r\nx-gone: 1\r\nX-Gone: 2\r\n\r\n");
	first = rig_accept(&rig, 0);
	WAIT(&rig, peer_got(&first, expected));
	assert_string_equal(first.data, expected);
	peer_abort(&first);
	second = rig_accept(&rig, 1);
	WAIT(&rig, peer_got(&second, expected));
	assert_string_equal(second.data, expected);
	peer_send(&second, OK);
	WAIT(&rig, peer_has(&client, "ok"));
	peer_fini(&client);
	peer_fini(&first);
	peer_fini(&second);
}

/* A rule takes the cookie out of the request, and yet it leads back to its target. */
static void test_choice_by_what_is_taken_out(void **state)
{
	static const struct rules_edit_spec edit = {RULES_REMOVE, "Cookie", NULL};
	struct tls_tickets *tickets = tls_tickets_new();
	struct ruled ruled = {.n = 0};
	struct peer client, target;
	char request[1024], *cookie;

	ruled_add(&ruled, RULES_PATH, NULL, "/*")->request = (struct rules_edits_spec){&edit, 1};
	rig.group_spec.sticky = (struct sticky_spec){
		.type = STICKY_LB, .duration_s = 3600, .cookie = "HERE", .tickets = tickets};
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_send(&target, OK);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	cookie = strstr(client.data, "HERE=");
	assert_non_null(cookie);
	snprintf(request, sizeof(request), "GET /again HTTP/1.1\r\n" HOST "Cookie: %.*s\r\n\r\n",
		(int)strcspn(cookie, ";"), cookie);
	peer_send(&client, request);
	WAIT(&rig, peer_has(&target, "GET /again HTTP/1.1\r\n" HOST "\r\n"));
	peer_fini(&client);
	peer_fini(&target);
	rig.group_spec.sticky.type = STICKY_OFF;
	tls_tickets_put(tickets);
}

/* A client cannot get past a rule by making its expression give up; behind a rule that is for the
 * request nobody asks. */
static void test_undecided(void **state)
{
	struct ruled ruled = {.n = 0};
	struct peer client;
	char request[4096];
	size_t len = strlen("GET /");

	ruled_add(&ruled, RULES_METHOD, NULL, "HEAD")->action = teapot;
	ruled_add(&ruled, RULES_PATH, NULL, "regex:/(a+)+c")->action = teapot;
	ruled_serve(&ruled);
	memset(request, 'a', sizeof(request));
	memcpy(request, "GET /", len);
	strcpy(request + 3000, "bc HTTP/1.1\r\n" HOST "\r\n");
	client = rig_client(&rig);
	peer_send(&client, request);
	WAIT(&rig, peer_has(&client, "HTTP/1.1 400 "));
	assert_int_equal(stats->workers[0].regex_limits, 1);
	assert_int_equal(rig_reason(&rig, CLOSE_rules_undecided), 1);
	peer_clear(&client);
	memcpy(request, "HEAD", 4);
	request[4] = ' ';
	request[5] = '/';
	peer_send(&client, request);
	WAIT(&rig, peer_has(&client, "HTTP/1.1 418 "));
	peer_fini(&client);
}

/* Other ways to write a name that a rule sets or removes are the same name for targets; trailers, too. */
static void test_names_of_edits(void **state)
{
	static const char expected[] = "POST / HTTP/1.1\r\nHost: a.test\r\nX_Added: 1\r\n"
				       "X-Tenant: ours\r\nx-added: 2\r\nTransfer-Encoding: "
				       "chunked\r\n\r\n1\r\nb\r\n0\r\nX-Sum: 1\r\n\r\n";
	static const struct rules_edit_spec edits[] = {{RULES_SET, "X-Tenant", "ours"},
		{RULES_REMOVE, "X-Gone", NULL}, {RULES_REMOVE, "User-Agent", NULL},
		{RULES_ADD, "x-added", "2"}};
	struct ruled ruled = {.n = 0};
	struct peer client, target;

	ruled_add(&ruled, RULES_PATH, NULL, "/*")->request = (struct rules_edits_spec){edits, 4};
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "POST / HTTP/1.1\r\n" HOST
			   "X_Tenant: other\r\nx_gone: 1\r\nuser_agent: 1\r\nX_Added: 1\r\n"
			   "Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n"
			   "X-Tenant: other\r\nx_Tenant: other\r\nX-Sum: 1\r\nX-GONE: 1\r\n\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "X-Sum: 1\r\n\r\n"));
	assert_string_equal(target.data, expected);
	peer_fini(&client);
	peer_fini(&target);
}

/* Parts of a request cannot name another server than the rule meant. */
static void test_hosts_of_redirects(void **state)
{
	static const struct {
		const char *request, *answer;
	} rows[] = {
		{"GET /go/evil.com/x HTTP/1.1\r\n" HOST "\r\n",
			"\r\nLocation: http://evil.com.example.com/x\r\n"},
		{"GET /go/evil.com\\/x HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 "},
		{"GET /go/u@evil.com:80/x HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 "},
		{"GET /go/evil.com%2f/x HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 "},
		{"GET /here HTTP/1.0\r\n\r\n", "HTTP/1.1 400 "}, /* it would come back */
		{"GET /here HTTP/1.0\r\nHost: a\r\n\r\n", "\r\nLocation: http://a/here\r\n"},
		{"GET /old/x HTTP/1.0\r\n\r\n", "\r\nLocation: /new/x\r\n"},
		{"GET /tls HTTP/1.0\r\n\r\n", "HTTP/1.1 400 "}, /* on which server? */
		{"GET //evil.com/x HTTP/1.0\r\n\r\n", "HTTP/1.1 400 "},
	};
	struct rules_action_spec redirect = {.action = RULES_REDIRECT,
		.status = 302,
		.protocol = "#{protocol}",
		.host = "#{path.1}.example.com",
		.port = "80",
		.path = "/#{path.2}",
		.query = "#{query}"};
	struct ruled ruled = {.n = 0};
	struct peer client;
	size_t i;

	ruled_add(&ruled, RULES_PATH, NULL, "/go/*/*")->action = redirect;
	redirect.host = "#{host}";
	redirect.path = "/new/#{path.1}";
	ruled_add(&ruled, RULES_PATH, NULL, "/old/*")->action = redirect;
	redirect.path = "/#{path}";
	redirect.protocol = "https";
	redirect.port = "443";
	ruled_add(&ruled, RULES_PATH, NULL, "/tls")->action = redirect;
	redirect.protocol = "#{protocol}";
	redirect.port = "80";
	ruled_add(&ruled, RULES_PATH, NULL, "/*")->action = redirect;
	ruled_serve(&ruled);
	for (i = 0; i < array_len(rows); i++) {
		client = rig_client(&rig);
		peer_send(&client, rows[i].request);
		WAIT(&rig, peer_has(&client, "\r\n\r\n"));
		if (!strstr(client.data, rows[i].answer))
			fail_msg("%s: %s", rows[i].request, client.data);
		peer_fini(&client);
	}
}

/* A header that only the load balancer may send is none of the request's, for rules either. */
static void test_forged_headers_decide_nothing(void **state)
{
	struct slice told[] = {SLICE("X-Subject")};
	struct ruled ruled = {.n = 0};
	struct peer client, target;

	ruled_add(&ruled, RULES_HEADER, "X-Subject", "admin")->action = teapot;
	rig.listener_spec.tls_headers.removed = told;
	rig.listener_spec.tls_headers.n_removed = 1;
	ruled_serve(&ruled);
	client = rig_client(&rig);
	peer_send(
		&client, "GET / HTTP/1.1\r\n" HOST "x_subject: admin\r\nX-Subject: admin\r\n\r\n");
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	assert_string_equal(target.data, "GET / HTTP/1.1\r\n" HOST "\r\n");
	peer_fini(&client);
	peer_fini(&target);
}

/* A connection that was kept when its listener became stricter does not get to where other rules lead. */
static void reload(struct ruled *ruled)
{
	struct listener *old = rig.listener;
	struct target_group *old_group = rig.group;

	ruled_serve(ruled);
	listener_set_current(rig.listener, 0, ++rig.worker.generation);
	if (old)
		shared_put(&old->shared);
	if (old_group)
		target_group_put(old_group);
}

static void test_a_kept_one_meets_no_other_rules(void **state)
{
	struct ruled ruled = {.digest = 1};
	struct peer client;

	ruled_add(&ruled, RULES_PATH, NULL, "/tea")->action = teapot;
	reload(&ruled);
	client = rig_client(&rig);
	peer_send(&client, "GET /tea HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&client, "short"));
	rig.listener_spec.terms.epoch++;
	reload(&ruled); /* the same rules */
	peer_clear(&client);
	peer_send(&client, "GET /tea HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_has(&client, "short"));
	assert_null(strstr(client.data, "Connection: close"));
	ruled.digest = 2;
	reload(&ruled);
	peer_clear(&client);
	peer_send(&client, "GET /tea HTTP/1.1\r\n" HOST "\r\n");
	WAIT(&rig, peer_over(&client));
	assert_non_null(strstr(client.data, "Connection: close"));
	peer_fini(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pipelined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_with_a_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewritten_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choice_by_what_is_taken_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undecided, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_of_edits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_of_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_forged_headers_decide_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_kept_one_meets_no_other_rules, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
