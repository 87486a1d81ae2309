/* Health checks against targets of the test: rise and fall, what each check asks and how an answer
 * is judged, time-outs, changed settings. */
#include "proxy/health.h"
#include "rig.h"

#include "../tls/pki.h"

#include "tls/cert.h"
#include "tls/stream.h"
#include <fcntl.h>

enum { INTERVAL_MS = 10 };

static struct rig rig; /* its loop and its targets */
static struct health *health;
static struct check_spec *spec;
static int n_checks, n_changes;
static struct health_state last;

static void notify(
	void *arg, const struct target *target, const struct health_state *state, bool changed)
{
	assert_ptr_equal(arg, &rig);
	assert_ptr_equal(target, rig.targets[0]);
	n_checks = (int)state->checks;
	n_changes += changed;
	last = *state;
}

static int setup(void **state)
{
	rig_init(&rig, 1);
	rig_serve(&rig);
	atomic_store(&rig.targets[0]->health, TARGET_INITIAL);
	health = health_new(&rig.worker.io, rig.worker.tls, notify, &rig);
	spec = NULL;
	n_checks = n_changes = 0;
	memset(&last, 0, sizeof(last));
	return 0;
}

static int teardown(void **state)
{
	health_free(health);
	rig_turn(&rig);
	if (spec) {
		assert_int_equal(atomic_load(&spec->shared.refs), 1);
		shared_put(&spec->shared);
	}
	assert_null(rig.targets[0]->checker);
	rig_fini(&rig);
	return 0;
}

static void use(struct check_spec contents)
{
	struct health_target item = {rig.targets[0], NULL};
	struct check_spec *old = spec;

	if (!contents.interval_ms)
		contents.interval_ms = INTERVAL_MS;
	if (!contents.timeout_ms)
		contents.timeout_ms = RIG_DEADLINE_MS;
	if (!contents.rise)
		contents.rise = contents.fall = 1;
	if (contents.path)
		contents.path = mem_strdup(contents.path);
	if (contents.host)
		contents.host = mem_strdup(contents.host);
	spec = check_spec_new(&contents);
	item.spec = spec;
	health_set(health, &item, 1);
	if (old) {
		assert_int_equal(atomic_load(&old->shared.refs), 1);
		shared_put(&old->shared);
	}
}

static void stop_listening(void)
{
	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
}

static void listen_again(void)
{
	struct err err;

	rig.target_fds[0] = socket_listen(&rig.targets[0]->addr, 64, 0, &err);
	assert_true(rig.target_fds[0] >= 0);
}

/* Takes in whoever knocks, so that the queue never fills. */
static bool checked(int checks)
{
	int fd = rig.target_fds[0] < 0 ? -1 : rig_try_accept(&rig, 0);

	if (fd >= 0)
		close(fd);
	return n_checks >= checks;
}

static enum target_health seen_by_workers(void)
{
	return atomic_load(&rig.targets[0]->health);
}

static void test_first_success_is_enough(void **state)
{
	use((struct check_spec){.protocol = CHECK_TCP, .rise = 5, .fall = 5});
	assert_int_equal(last.state, BACKEND_INITIAL);
	assert_int_equal(last.reason, WHY_INITIAL_HEALTH_CHECKING);
	assert_int_equal(last.checked_unix_s, 0);
	WAIT(&rig, checked(1));
	assert_int_equal(last.state, BACKEND_HEALTHY);
	assert_int_equal(last.reason, WHY_NONE);
	assert_true(last.checked_unix_s > 0);
	assert_int_equal(seen_by_workers(), TARGET_HEALTHY);
	assert_int_equal(n_changes, 2);
	assert_string_equal(last.detail, "connected");
}

static void test_first_failure_is_enough(void **state)
{
	stop_listening();
	use((struct check_spec){.protocol = CHECK_TCP, .rise = 5, .fall = 5});
	WAIT(&rig, checked(1));
	assert_int_equal(last.state, BACKEND_UNHEALTHY);
	assert_int_equal(last.reason, WHY_CONNECTION_REFUSED);
	assert_int_equal(last.failures, 1);
	assert_int_equal(seen_by_workers(), TARGET_UNHEALTHY);
}

static void test_rise_and_fall(void **state)
{
	int before;

	use((struct check_spec){.protocol = CHECK_TCP, .rise = 3, .fall = 2});
	WAIT(&rig, last.state == BACKEND_HEALTHY || checked(100));
	stop_listening();
	WAIT(&rig, last.failures == 1);
	assert_int_equal(last.state, BACKEND_HEALTHY);
	assert_int_equal(seen_by_workers(), TARGET_HEALTHY);
	WAIT(&rig, last.failures == 2);
	assert_int_equal(last.state, BACKEND_UNHEALTHY);
	assert_int_equal(last.reason, WHY_CONNECTION_REFUSED);
	assert_int_equal(seen_by_workers(), TARGET_UNHEALTHY);
	listen_again();
	before = n_checks;
	WAIT(&rig, checked(before + 1) && last.successes == 1);
	assert_int_equal(last.state, BACKEND_UNHEALTHY);
	before = n_checks;
	WAIT(&rig, checked(before + 1));
	assert_int_equal(last.successes, 2);
	assert_int_equal(last.state, BACKEND_UNHEALTHY);
	before = n_checks;
	WAIT(&rig, checked(before + 1));
	assert_int_equal(last.state, BACKEND_HEALTHY);
	assert_int_equal(last.reason, WHY_NONE);
	assert_int_equal(n_changes, 4); /* initial, healthy, unhealthy, healthy */
	assert_int_equal(last.checks_failed, 2);
}

static void test_off_is_as_good_as_healthy(void **state)
{
	use((struct check_spec){.protocol = CHECK_OFF});
	assert_int_equal(last.state, BACKEND_HEALTHY);
	assert_int_equal(last.reason, WHY_HEALTH_CHECK_DISABLED);
	assert_int_equal(seen_by_workers(), TARGET_HEALTHY);
	rig_turn(&rig);
	assert_int_equal(rig_try_accept(&rig, 0), -1);
}

struct answer_case {
	const char *answer;
	enum backend_state state;
	enum backend_reason reason;
	const char *detail;
};

static const struct answer_case answers[] = {
	{"HTTP/1.1 200 OK\r\n\r\n", BACKEND_HEALTHY, WHY_NONE, "status 200"},
	{"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello", BACKEND_HEALTHY, WHY_NONE,
		"status 299"},
	{"HTTP/1.1 301 Moved\r\n\r\n", BACKEND_HEALTHY, WHY_NONE, "status 301"},
	{"HTTP/1.1 302 Found\r\n\r\n", BACKEND_UNHEALTHY, WHY_RESPONSE_CODE_MISMATCH, "status 302"},
	{"HTTP/1.1 503 No\r\n\r\n", BACKEND_UNHEALTHY, WHY_RESPONSE_CODE_MISMATCH, "status 503"},
	{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		BACKEND_HEALTHY, WHY_NONE, "status 204"},
	{"SSH-2.0-OpenSSH\r\n", BACKEND_UNHEALTHY, WHY_INVALID_RESPONSE, NULL},
	{"HTTP/1.1 200 OK\r\n", BACKEND_UNHEALTHY, WHY_CONNECTION_RESET,
		"closed without an answer"},
	{"", BACKEND_UNHEALTHY, WHY_CONNECTION_RESET, "closed without an answer"},
};

/* The check asks as it should; then the answer comes whole or byte by byte. */
static void answer_one(const struct answer_case *item, bool whole)
{
	struct peer target = rig_accept(&rig, 0);
	int before = n_checks;
	char request[256];
	size_t i;

	snprintf(request, sizeof(request),
		"GET /health?x HTTP/1.1\r\nHost: www.test\r\nUser-Agent: sluice-health\r\n"
		"Connection: close\r\n\r\n");
	WAIT(&rig, peer_got(&target, request));
	assert_string_equal(target.data, request);
	for (i = 0; !whole && i < strlen(item->answer) && n_checks == before; i++) {
		peer_send_bytes(&target, item->answer + i, 1);
		rig_step(&rig);
	}
	if (whole)
		peer_send(&target, item->answer);
	shutdown(target.fd, SHUT_WR);
	WAIT(&rig, n_checks == before + 1);
	assert_int_equal(last.state, item->state);
	assert_int_equal(last.reason, item->reason);
	if (item->detail)
		assert_string_equal(last.detail, item->detail);
	peer_fini(&target);
}

static void test_http(void **state)
{
	size_t i;

	use((struct check_spec){
		.protocol = CHECK_HTTP,
		.path = "/health?x",
		.host = "www.test",
		.ranges = {{200, 299}, {301, 301}},
		.n_ranges = 2,
	});
	for (i = 0; i < array_len(answers); i++) {
		answer_one(&answers[i], true);
		answer_one(&answers[i], false);
	}
}

static void test_http_head_too_long(void **state)
{
	char line[1000];
	struct peer target;
	int i;

	use((struct check_spec){
		.protocol = CHECK_HTTP, .path = "/", .ranges = {{200, 200}}, .n_ranges = 1});
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	peer_send(&target, "HTTP/1.1 200 OK\r\n");
	snprintf(line, sizeof(line), "X: %0900d\r\n", 0);
	for (i = 0; i < 12; i++)
		peer_send(&target, line);
	WAIT(&rig, n_checks == 1);
	assert_int_equal(last.reason, WHY_INVALID_RESPONSE);
	assert_string_equal(last.detail, "response head too long");
	peer_fini(&target);
}

static void test_no_answer_in_time(void **state)
{
	use((struct check_spec){.protocol = CHECK_HTTP,
		.path = "/",
		.ranges = {{200, 200}},
		.n_ranges = 1,
		.timeout_ms = 30});
	WAIT(&rig, n_checks == 1);
	assert_int_equal(last.state, BACKEND_UNHEALTHY);
	assert_int_equal(last.reason, WHY_TARGET_TIMEOUT);
	assert_string_equal(last.detail, "no answer in time");
}

static bool knocks(void)
{
	int fd = rig_try_accept(&rig, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* From the start of one check to the next, however long it took. */
static void test_interval_begins_with_the_check(void **state)
{
	uint64_t over_ms;

	use((struct check_spec){.protocol = CHECK_HTTP,
		.path = "/",
		.ranges = {{200, 200}},
		.n_ranges = 1,
		.interval_ms = 1000,
		.timeout_ms = 950});
	WAIT(&rig, n_checks == 1); /* its connection waits in the queue */
	over_ms = loop_now_ms(rig.worker.io.loop);
	assert_true(knocks());
	WAIT(&rig, knocks());
	assert_in_range(loop_now_ms(rig.worker.io.loop) - over_ms, 0, 800);
}

static void test_no_connection_in_time(void **state)
{
	int full[8], i;

	assert_int_equal(listen(rig.target_fds[0], 0), 0);
	for (i = 0; i < (int)array_len(full); i++)
		full[i] = socket_connect(&rig.targets[0]->addr);
	use((struct check_spec){.protocol = CHECK_TCP, .timeout_ms = 30});
	WAIT(&rig, n_checks == 1);
	assert_int_equal(last.reason, WHY_TARGET_TIMEOUT);
	assert_string_equal(last.detail, "no connection in time");
	for (i = 0; i < (int)array_len(full); i++)
		close(full[i]);
}

static void test_other_port(void **state)
{
	union addr addr;
	int fd = rig_listen(&addr), accepted = -1;

	stop_listening();
	use((struct check_spec){.protocol = CHECK_TCP, .port = addr_port(&addr)});
	WAIT(&rig, (accepted = accept4(fd, NULL, NULL, 0)) >= 0);
	WAIT(&rig, last.state == BACKEND_HEALTHY);
	close(accepted);
	close(fd);
}

static void test_proxy_header(void **state)
{
	struct peer target;

	use((struct check_spec){.protocol = CHECK_HTTP,
		.path = "/",
		.proxy_out = PROXY_OUT_V1,
		.ranges = {{200, 200}},
		.n_ranges = 1});
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	assert_memory_equal(target.data, "PROXY UNKNOWN\r\nGET / ", 21);
	peer_fini(&target);
}

/* New settings: what is known of the target stays, the check under way is given up. */
static void test_changed_spec(void **state)
{
	struct peer target;

	use((struct check_spec){.protocol = CHECK_TCP});
	WAIT(&rig, last.state == BACKEND_HEALTHY);
	n_changes = 0;
	while (rig_try_accept(&rig, 0) >= 0)
		;
	use((struct check_spec){
		.protocol = CHECK_HTTP, .path = "/new", .ranges = {{200, 200}}, .n_ranges = 1});
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "GET /new "));
	assert_int_equal(health_get(rig.targets[0])->state, BACKEND_HEALTHY);
	use((struct check_spec){.protocol = CHECK_OFF});
	WAIT(&rig, peer_over(&target));
	assert_int_equal(seen_by_workers(), TARGET_HEALTHY);
	assert_int_equal(health_get(rig.targets[0])->reason, WHY_HEALTH_CHECK_DISABLED);
	peer_fini(&target);
}

/* The same spec again (a reload that changed other things) disturbs nothing. */
static void test_same_spec_goes_on(void **state)
{
	struct health_target item;
	struct peer target;

	use((struct check_spec){
		.protocol = CHECK_HTTP, .path = "/", .ranges = {{200, 200}}, .n_ranges = 1});
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	item = (struct health_target){rig.targets[0], spec};
	health_set(health, &item, 1);
	peer_send(&target, "HTTP/1.1 200 OK\r\n\r\n");
	WAIT(&rig, last.state == BACKEND_HEALTHY);
	assert_int_equal(n_checks, 1);
	peer_fini(&target);
}

static void test_removed_while_checking(void **state)
{
	struct peer target;

	use((struct check_spec){
		.protocol = CHECK_HTTP, .path = "/", .ranges = {{200, 200}}, .n_ranges = 1});
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_has(&target, "\r\n\r\n"));
	health_set(health, NULL, 0);
	assert_null(health_get(rig.targets[0]));
	WAIT(&rig, peer_over(&target));
	assert_int_equal(n_checks, 0);
	peer_fini(&target);
}

/* One more step of a server's side; true at the end of the connection. */
static bool is_over(struct stream *stream)
{
	char byte;
	int r = stream->ops->handshake(stream);

	if (r == 0)
		r = (int)stream->ops->read(stream, &byte, 1);
	return r != -EAGAIN;
}

static void note_events(struct watch *watch, uint32_t events)
{
	stream_note_events(stream_of_watch(watch), events);
}

static struct tls_server *server_with(struct pki *pki, struct cert **ret_cert)
{
	struct cert_spec wanted = {.name = "a"};
	struct certstore *certs;
	struct tls_server *server;
	struct err err = {""};

	pki_issue(pki, &(struct pki_request){.file = "a", .sans = "DNS:www.test"});
	wanted.cert_path = pki_path(pki, "a.crt");
	wanted.key_path = pki_path(pki, "a.key");
	assert_int_equal(cert_load(&wanted, ret_cert, &err), 0);
	assert_int_equal(certstore_new(ret_cert, 1, &certs, &err), 0);
	assert_int_equal(
		tls_server_new(
			&(struct tls_server_spec){.name = "target", .certs = certs, .n_workers = 1},
			&server, &err),
		0);
	certstore_put(certs);
	return server;
}

/* A check of TLS ends as TLS does: targets log what ends otherwise. */
static void test_tls_ends_in_order(void **state)
{
	struct tls_client *client;
	struct tls_server *server;
	struct stream *target;
	struct err err = {""};
	struct cert *cert;
	struct pki pki;
	int fd = -1;

	pki_init(&pki);
	server = server_with(&pki, &cert);
	assert_int_equal(tls_client_new(&(struct tls_client_spec){.name = "group", .n_workers = 1},
				 &client, &err),
		0);
	use((struct check_spec){.protocol = CHECK_TLS, .tls = client, .interval_ms = 60000});
	WAIT(&rig, (fd = rig_try_accept(&rig, 0)) >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	target = tls_stream_server(rig.worker.tls, server, fd);
	assert_non_null(target);
	target->watch.ready = note_events;
	WAIT(&rig, is_over(target));
	assert_true(target->read_ended);
	assert_false(target->truncated);
	assert_int_equal(last.state, BACKEND_HEALTHY);
	target->ops->close(target, false);
	rig_turn(&rig);
	tls_server_put(server);
	cert_put(cert);
	pki_fini(&pki);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_first_success_is_enough),
		CASE(test_first_failure_is_enough),
		CASE(test_rise_and_fall),
		CASE(test_off_is_as_good_as_healthy),
		CASE(test_tls_ends_in_order),
		CASE(test_http),
		CASE(test_http_head_too_long),
		CASE(test_no_answer_in_time),
		CASE(test_interval_begins_with_the_check),
		CASE(test_no_connection_in_time),
		CASE(test_other_port),
		CASE(test_proxy_header),
		CASE(test_changed_spec),
		CASE(test_same_spec_goes_on),
		CASE(test_removed_while_checking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
