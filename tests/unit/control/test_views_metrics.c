/* The metrics of a daemon with as many listeners as there may be, as a client of the admin API gets
 * them: each of the answer's parts is more than a stream takes at once. */
#include "../tls/pki.h"
#include "control/daemon.h"
#include "control/expiry.h"
#include "control/ids.h"
#include "control/stapling.h"
#include "control/views.h"
#include "tls/tickets.h"

#include <sys/stat.h>

#include "admin_case.h"

enum { LISTENERS = 1024, YAML_BYTES = 512 * LISTENERS };

static struct daemon daemon_under_test;
static struct pki pki;

/* With names of 60 bytes, on addresses of their own. */
static char *config_text(unsigned int port)
{
	char *text = mem_alloc(YAML_BYTES);
	size_t len, i;

	len = (size_t)snprintf(text, YAML_BYTES,
		"certificates: [{name: one, cert: %s/one.crt, key: %s/one.key},"
		" {name: many, directory: %s/many}]\n"
		"target_groups:\n"
		"  - {name: web, protocol: http, targets: [{address: 127.0.0.1:9}],"
		" health_check: {protocol: off}}\n"
		"listeners:\n",
		pki.dir, pki.dir, pki.dir);
	for (i = 0; i < LISTENERS; i++)
		len += (size_t)snprintf(text + len, YAML_BYTES - len,
			"  - {name: l%059zu, protocol: https, address: \"127.7.%zu.%zu:%u\","
			" target_group: web, certificates: [one, many]}\n",
			i, i / 256, i % 256, port);
	return text;
}

static unsigned int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void make_build(void)
{
	char *text = config_text(free_port());
	struct config *config = NULL;
	struct config_errors errors;

	config_errors_init(&errors);
	if (config_parse(text, strlen(text), "t.yaml", &config, &errors) < 0 ||
		build_new(&daemon_under_test.env, NULL, config, NULL, &daemon_under_test.build,
			&errors) < 0) {
		config_errors_print(&errors, stderr);
		fail();
	}
	config_errors_fini(&errors);
	free(text);
}

/* A pair whose path is long: 220 bytes of folders. */
static void issue_far_below(void)
{
	char file[512], path[600];
	size_t depth, len = (size_t)snprintf(file, sizeof(file), "many");

	for (depth = 0;; depth++) {
		snprintf(path, sizeof(path), "%s/%s", pki.dir, file);
		assert_int_equal(mkdir(path, 0700), 0);
		if (depth == 4)
			break;
		len += (size_t)snprintf(file + len, sizeof(file) - len, "/%054d", (int)depth);
	}
	pki_issue(&pki, &(struct pki_request){.file = "www", .sans = "DNS:www.test"});
	snprintf(file + len, sizeof(file) - len, "/www.crt");
	snprintf(path, sizeof(path), "%s/%s", pki.dir, file);
	assert_int_equal(rename(pki_path(&pki, "www.crt"), path), 0);
	memcpy(strrchr(path, '.'), ".key", 5);
	assert_int_equal(rename(pki_path(&pki, "www.key"), path), 0);
}

static void show_metrics(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	views_source.metrics(&daemon_under_test, call, reply);
}

static const struct admin_source source = {.metrics = show_metrics};

static struct worker worker[1];

static int start_daemon(void **state)
{
	struct daemon *daemon = &daemon_under_test;

	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "one", .sans = "DNS:one.test"});
	issue_far_below();
	daemon->env = (struct build_env){.n_workers = 1,
		.tickets = tls_tickets_new(),
		.target_ids = ids_new(16),
		.socket_ids = ids_new(LISTENERS),
		.listener_ids = ids_new(LISTENERS)};
	make_build();
	daemon->workers = worker;
	assert_int_equal(iothread_init(&worker->proxy.io, 1), 0);
	worker->proxy.tls = tls_thread_new(&worker->proxy.io);
	daemon->expiry = expiry_new(daemon);
	daemon->stapling = stapling_new(daemon);
	server_start(&source, 0, NULL);
	return 0;
}

static int stop_daemon(void **state)
{
	struct daemon *daemon = &daemon_under_test;

	stop(state);
	stapling_free(daemon->stapling);
	expiry_free(daemon->expiry);
	build_free(daemon->build);
	iothread_fini(&worker->proxy.io);
	tls_thread_free(worker->proxy.tls);
	tls_tickets_put(daemon->env.tickets);
	ids_free(daemon->env.target_ids);
	ids_free(daemon->env.socket_ids);
	ids_free(daemon->env.listener_ids);
	pki_fini(&pki);
	return 0;
}

static void nothing_is_missing(void **state)
{
	const char *answer = ask(GET_CLOSE("/v1/metrics"));

	assert_begins(answer, "HTTP/1.1 200 ");
	assert_true(strlen(answer) > 3 * ADMIN_STREAM_BYTES_MAX);
	assert_has(answer, "\r\n0\r\n\r\n");
	/* A chunk may end in a line, but seldom: all but a few are to be seen whole. */
	assert_in_range(count_of(answer, "\nsluice_connections_open{"), LISTENERS - 8, LISTENERS);
	assert_in_range(count_of(answer, "\nsluice_certificate_not_after_seconds{name=\"many/"),
		LISTENERS - 8, LISTENERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_missing, start_daemon, stop_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
