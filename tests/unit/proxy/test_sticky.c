/* Sessions that stay with one target: cookies, who opens them, when they are given, where they lead. */
#include "rig.h"

#include "tls/tickets.h"

#define HOST "Host: a.test\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

enum { NOW = 1800000000, DAY_S = 86400 };

static struct rig rig;
static struct tls_tickets *tickets;
static struct http_header items[4];
static struct http_headers headers;
static char made[STICKY_TEXT_BYTES]; /* the last Set-Cookie */

static int setup(void **state)
{
	rig_init(&rig, 2);
	tickets = tls_tickets_new();
	rig.group_spec.sticky = (struct sticky_spec){
		.type = STICKY_LB, .duration_s = DAY_S, .cookie = "LB", .tickets = tickets};
	http_headers_lend(&headers, items, 4);
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	tls_tickets_put(tickets);
	return 0;
}

static void set_cookie(const char *text)
{
	http_headers_lend(&headers, items, 4);
	assert_int_equal(http_headers_add(&headers, SLICE("Cookie"), slice_of(text)), 0);
}

static struct sticky found(int64_t now_unix_s)
{
	struct sticky sticky;

	sticky_find(rig.group, &headers, now_unix_s, &sticky);
	return sticky;
}

/* What the answer of a target gives to a client without a cookie; "": nothing. */
static const char *given(uint32_t target, const struct sticky *sticky, const char *app)
{
	struct http_header answer_items[2], header;
	struct http_headers answer;

	http_headers_lend(&answer, answer_items, 2);
	if (app)
		assert_int_equal(http_headers_add(&answer, SLICE("Set-Cookie"), slice_of(app)), 0);
	made[0] = '\0';
	if (sticky_answer(
		    rig.group, rig.targets[target], sticky, &answer, true, NOW, made, &header))
		assert_int_equal(header.value.len, strlen(made));
	return made;
}

/* The pair that a client sends back. */
static const char *pair(void)
{
	static char text[STICKY_TEXT_BYTES];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(made, ";"), made);
	return text;
}

static void leads_back(void **state)
{
	struct sticky none = {.target = NULL}, sticky;

	rig_serve(&rig);
	given(1, &none, NULL);
	assert_true(strncmp(made, "LB=", 3) == 0);
	assert_non_null(strstr(made, "; Path=/; Max-Age=86400; HttpOnly; Secure"));
	set_cookie(pair());
	sticky = found(NOW + 1);
	assert_ptr_equal(sticky.target, rig.targets[1]);
	assert_string_equal(given(1, &sticky, NULL), ""); /* it has a good one */
	given(0, &sticky, NULL); /* but was sent elsewhere */
	assert_true(strncmp(made, "LB=", 3) == 0);
	sticky = found(NOW + DAY_S / 2 + 1);
	assert_ptr_equal(sticky.target, rig.targets[1]);
	given(1, &sticky, NULL); /* half of its time is over */
	assert_true(strncmp(made, "LB=", 3) == 0);
	assert_null(found(NOW + DAY_S).target);
	/* A node whose clock is behind knows it; a longer time than there is now is none. */
	assert_ptr_equal(found(NOW - 1).target, rig.targets[1]);
	assert_ptr_equal(found(NOW - 300).target, rig.targets[1]);
	assert_null(found(NOW - 301).target);
}

static void only_whole_cookies(void **state)
{
	struct sticky none = {.target = NULL};
	char text[STICKY_TEXT_BYTES];
	size_t i, len;

	rig_serve(&rig);
	given(1, &none, NULL);
	len = strlen(pair());
	for (i = 3; i < len; i++) {
		snprintf(text, sizeof(text), "%s", pair());
		text[i] = text[i] == '0' ? '1' : '0';
		set_cookie(text);
		assert_null(found(NOW).target);
	}
	snprintf(text, sizeof(text), "%.*s", (int)len - 1, pair());
	set_cookie(text);
	assert_null(found(NOW).target);
	set_cookie("LB=; LB=00");
	assert_null(found(NOW).target);
	snprintf(text, sizeof(text), "LB=00; LBX=1; LB=; LB=11; %s", pair());
	set_cookie(text); /* planted before it */
	assert_ptr_equal(found(NOW).target, rig.targets[1]);
	snprintf(text, sizeof(text), "LB=00; LB=1; LB=; LB=11; %s", pair());
	set_cookie(text);
	assert_null(found(NOW).target);
}

/* Of the same keys, in a group of the same name, whatever became of them here. */
static void who_opens_it(void **state)
{
	struct sticky none = {.target = NULL};

	rig_serve(&rig);
	given(1, &none, NULL);
	set_cookie(pair());
	rig_reload(&rig);
	assert_ptr_equal(found(NOW).target, rig.targets[1]);
	tls_tickets_rotate(tickets);
	assert_ptr_equal(found(NOW).target, rig.targets[1]); /* not a key of tickets */
	rig.group_spec.name = "other";
	rig_reload(&rig);
	assert_null(found(NOW).target);
	rig.group_spec.name = "group";
	rig.group_spec.n_members = 1; /* the target is gone */
	rig_reload(&rig);
	assert_null(found(NOW).target);
	rig.group_spec.n_members = 2;
	rig.group_spec.sticky.tickets = tls_tickets_new(); /* a node of other keys */
	rig_reload(&rig);
	assert_null(found(NOW).target);
	tls_tickets_put(rig.group_spec.sticky.tickets);
	rig.group_spec.sticky.tickets = tickets;
}

static void beside_the_cookie_of_an_application(void **state)
{
	struct sticky none = {.target = NULL}, sticky;
	char both[2 * STICKY_TEXT_BYTES];

	rig.group_spec.sticky.type = STICKY_APP;
	rig.group_spec.sticky.app_cookie = "SID";
	rig_serve(&rig);
	assert_string_equal(given(1, &none, NULL), "");
	assert_string_equal(given(1, &none, "SIDE=1"), "");
	given(1, &none, "SID=1; Path=/");
	assert_true(strncmp(made, "LB=", 3) == 0);
	set_cookie(pair());
	assert_null(found(NOW).target); /* the session is over */
	snprintf(both, sizeof(both), "SID=1; %s", pair());
	set_cookie(both);
	sticky = found(NOW);
	assert_ptr_equal(sticky.target, rig.targets[1]);
	assert_string_equal(given(1, &sticky, NULL), "");
	given(0, &sticky, NULL); /* moved: the session goes on there */
	assert_true(strncmp(made, "LB=", 3) == 0);
}

static void answer(uint32_t target)
{
	struct peer peer = rig_accept(&rig, target);

	WAIT(&rig, peer_has(&peer, "\r\n\r\n"));
	peer_send(&peer, OK);
	rig_turn(&rig);
	peer_fini(&peer);
}

/* Through an exchange: there while it can take it, else elsewhere with another cookie. */
static void requests_go_there(void **state)
{
	char request[1024], *cookie;
	struct peer client;
	uint32_t i;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "GET / HTTP/1.1\r\n" HOST "\r\n");
	answer(0);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	cookie = strstr(client.data, "Set-Cookie: LB=");
	assert_non_null(cookie);
	assert_null(strstr(cookie, "Secure"));
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\n" HOST "Cookie: %.*s\r\n\r\n",
		(int)strcspn(cookie + 12, ";"), cookie + 12);
	for (i = 0; i < 3; i++) {
		peer_clear(&client);
		peer_send(&client, request);
		answer(0);
		WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
		assert_null(strstr(client.data, "Set-Cookie"));
	}
	atomic_store(&rig.targets[0]->health, TARGET_UNHEALTHY);
	peer_clear(&client);
	peer_send(&client, request);
	answer(1);
	WAIT(&rig, peer_has(&client, "\r\n\r\nok"));
	assert_non_null(strstr(client.data, "Set-Cookie: LB="));
	peer_fini(&client);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(leads_back),
		CASE(only_whole_cookies),
		CASE(who_opens_it),
		CASE(beside_the_cookie_of_an_application),
		CASE(requests_go_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
