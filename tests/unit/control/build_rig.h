/*
 * What the tests of generations share: a configuration of which each test changes the parts in
 * `texts`, its files and ports, and builds of it. Header only, because every test is a program of
 * one file.
 */
#ifndef SLUICE_TESTS_BUILD_RIG_H
#define SLUICE_TESTS_BUILD_RIG_H

#include "../tls/client_pki.h"
#include "control/build.h"
#include "control/config.h"
#include "control/ids.h"
#include "net/socket.h"
#include "tls/server.h"
#include "tls/tickets.h"
#include "tls/trust.h"

#include <errno.h>

enum { IDS = 16 };

static struct pki pki;
static struct build_env env;
static int held[4]; /* sockets that keep the ports to ourselves, not listening */
static unsigned int ports[4];

/* The parts of the configuration that tests change. */
struct texts {
	const char *targets, *group, *check, *secure, *web, *raw, *raw_protocol, *ca;
	const char *clients, *crls; /* of the trust store */
	const char *entries; /* certificates more; NULL: none */
	const char *more; /* sections; NULL: none */
	unsigned int web_port, raw_port;
};

static struct texts texts;

static inline void hold_port(int *ret_fd, unsigned int *ret_port)
{
	union addr addr;
	int one = 1;

	assert_int_equal(addr_parse("127.0.0.1:0", &addr), 0);
	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(*ret_fd, &addr.any, addr_len(&addr)), 0);
	assert_int_equal(socket_local_addr(*ret_fd, &addr), 0);
	*ret_port = addr_port(&addr);
}

static inline int group_setup(void **state)
{
	size_t i;

	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "www", .sans = "DNS:www.test"});
	pki_issue(&pki, &(struct pki_request){.file = "api", .sans = "DNS:api.test"});
	for (i = 0; i < array_len(held); i++)
		hold_port(&held[i], &ports[i]);
	return 0;
}

static inline int group_teardown(void **state)
{
	size_t i;

	for (i = 0; i < array_len(held); i++)
		close(held[i]);
	pki_fini(&pki);
	return 0;
}

static inline int setup(void **state)
{
	env = (struct build_env){.n_workers = 2,
		.tickets = tls_tickets_new(),
		.target_ids = ids_new(IDS),
		.socket_ids = ids_new(IDS),
		.listener_ids = ids_new(IDS)};
	texts = (struct texts){
		.targets = "{address: 127.0.0.1:9001}, {address: 127.0.0.1:9002}",
		.group = "",
		.check = "{protocol: http, path: /, matcher: 200-299}",
		.secure = "verify: true",
		.web = "certificates: [www, api]",
		.raw = "",
		.raw_protocol = "tcp",
		.ca = "ca.crt",
		.clients = "ca.crt",
		.crls = "",
		.web_port = ports[0],
		.raw_port = ports[1],
	};
	return 0;
}

/* How many numbers are lent, of `total`. */
static inline uint32_t lent_of(struct ids *ids, uint32_t total)
{
	uint32_t free_ids[IDS], n = 0;

	while (ids_get(ids, &free_ids[n]) == 0)
		n++;
	for (total -= n; n; n--)
		ids_put(ids, free_ids[n - 1]);
	return total;
}

static inline uint32_t lent(struct ids *ids)
{
	return lent_of(ids, IDS);
}

static inline int teardown(void **state)
{
	tls_tickets_put(env.tickets);
	ids_free(env.target_ids);
	ids_free(env.socket_ids);
	ids_free(env.listener_ids);
	return 0;
}

static inline struct config *config(void)
{
	struct config_errors errors;
	struct config *config = NULL;
	char yaml[4096];

	snprintf(yaml, sizeof(yaml),
		"certificates:\n"
		"  - {name: www, cert: %s/www.crt, key: %s/www.key}\n"
		"  - {name: api, cert: %s/api.crt, key: %s/api.key}\n"
		"%s"
		"security_policies: [{name: mine}]\n"
		"trust_stores: [{name: clients, ca: %s/%s, crls: [%s]}]\n"
		"target_groups:\n"
		"  - {name: web, protocol: http, targets: [%s], health_check: %s%s}\n"
		"  - {name: raw, protocol: %s, targets: [{address: 127.0.0.1:9003}],"
		" health_check: {protocol: tcp}}\n"
		"  - {name: secure, protocol: https, targets: [{address: 127.0.0.1:9004}],"
		" tls: {%s, ca: %s/%s}, health_check: {protocol: https, path: /}}\n"
		"listeners:\n"
		"  - {name: web, protocol: https, address: \"127.0.0.1:%u\", target_group: web, %s}\n"
		"  - {name: api, protocol: https, address: \"127.0.0.1:%u\", target_group: secure,"
		" certificates: [api]}\n"
		"  - {name: raw, protocol: %s, address: \"127.0.0.1:%u\", target_group: raw%s}\n"
		"%s",
		pki.dir, pki.dir, pki.dir, pki.dir, texts.entries ? texts.entries : "", pki.dir,
		texts.clients, texts.crls, texts.targets, texts.check, texts.group,
		texts.raw_protocol, texts.secure, pki.dir, texts.ca, texts.web_port, texts.web,
		ports[2], texts.raw_protocol, texts.raw_port, texts.raw,
		texts.more ? texts.more : "");
	config_errors_init(&errors);
	if (config_parse(yaml, strlen(yaml), "t.yaml", &config, &errors) < 0)
		config_errors_print(&errors, stderr);
	assert_non_null(config);
	config_errors_fini(&errors);
	return config;
}

static inline struct build *build(const struct build *before)
{
	struct config_errors errors;
	struct build *build = NULL;

	config_errors_init(&errors);
	if (build_new(&env, before, config(), NULL, &build, &errors) < 0)
		config_errors_print(&errors, stderr);
	assert_non_null(build);
	config_errors_fini(&errors);
	return build;
}

/* The build is refused for a reason that says `text`. */
static inline void refused(const struct build *before, const char *text)
{
	struct config_errors errors;
	struct build *build = NULL;
	char *lines = NULL;
	size_t len;
	FILE *out = open_memstream(&lines, &len);

	config_errors_init(&errors);
	assert_int_equal(build_new(&env, before, config(), NULL, &build, &errors), -EINVAL);
	assert_null(build);
	config_errors_print(&errors, out);
	fclose(out);
	if (!strstr(lines, text))
		fail_msg("\"%s\" is not in: %s", text, lines);
	config_errors_fini(&errors);
	free(lines);
}

enum { WEB, API, RAW };

static inline struct listener_socket *sock(const struct build *build, int listener)
{
	return build->built[listener].sockets[0];
}

static inline struct target *target(const struct build *build, int group, int at)
{
	return build->groups[group].targets[at];
}

/* Frees both as a reload does: the old one's numbers first. */
static inline void replaced(struct build *old, struct build *new)
{
	build_release_ids(old, new, &env, true);
	build_free(old);
}

static inline void over(struct build *build)
{
	build_release_ids(build, NULL, &env, true);
	build_free(build);
	assert_int_equal(lent(env.target_ids), 0);
	assert_int_equal(lent(env.socket_ids), 0);
	assert_int_equal(lent(env.listener_ids), 0);
}

static inline bool is_listening(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len), 0);
	return value;
}

/* Can somebody connect? */
static inline bool answers(unsigned int port)
{
	union addr addr;
	char text[ADDR_TEXT_BYTES];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(addr_parse(text, &addr), 0);
	r = connect(fd, &addr.any, addr_len(&addr));
	close(fd);
	return r == 0;
}

#define BUILD_CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
