/* Generations: what a rebuild takes over (the same objects) and what it makes anew, and that a
 * build that fails leaves nothing behind. */
#include "build_rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

static void test_first(void **state)
{
	struct build *first = build(NULL);
	const struct listener_spec *spec = &first->listeners[WEB]->spec;
	uint32_t i;

	assert_int_equal(first->generation, 1);
	assert_int_equal(first->n_listeners, 3);
	assert_string_equal(spec->name, "web");
	assert_int_equal(spec->protocol, LISTEN_HTTPS);
	assert_ptr_equal(spec->tls, first->built[WEB].tls);
	assert_ptr_equal(spec->group, first->groups[0].group);
	assert_null(first->listeners[RAW]->spec.tls);
	assert_true(sock(first, WEB)->defers);
	assert_false(sock(first, RAW)->defers); /* the server may speak first */
	for (i = 0; i < env.n_workers; i++)
		assert_true(is_listening(sock(first, WEB)->fds[i]));
	assert_int_equal(first->groups[0].group->spec.n_members, 2);
	assert_string_equal(target(first, 0, 0)->text, "127.0.0.1:9001");
	assert_int_equal(lent(env.target_ids), 4);
	assert_int_equal(lent(env.socket_ids), 3);
	assert_int_equal(lent(env.listener_ids), 3);
	assert_true(answers(ports[0]));
	over(first);
	assert_false(answers(ports[0]));
}

static void test_nothing_changed(void **state)
{
	struct build *old = build(NULL), *new = build(old);
	int i, n;

	assert_int_equal(new->generation, 2);
	for (i = 0; i < 2; i++)
		assert_ptr_equal(new->certs[i].cert, old->certs[i].cert);
	for (i = 0; i < 3; i++) {
		assert_ptr_equal(sock(new, i), sock(old, i));
		assert_ptr_equal(new->built[i].tls, old->built[i].tls);
		assert_ptr_equal(new->listeners[i]->spec.stats, old->listeners[i]->spec.stats);
		assert_ptr_not_equal(new->listeners[i], old->listeners[i]);
		assert_ptr_equal(new->groups[i].tls, old->groups[i].tls);
		assert_ptr_equal(new->groups[i].check, old->groups[i].check);
		for (n = 0; n < (int)old->groups[i].n_targets; n++)
			assert_ptr_equal(target(new, i, n), target(old, i, n));
	}
	assert_int_equal(lent(env.target_ids), 4);
	assert_int_equal(lent(env.socket_ids), 3);
	assert_int_equal(lent(env.listener_ids), 3);
	replaced(old, new);
	assert_true(answers(ports[0]) && answers(ports[1]) && answers(ports[2]));
	assert_int_equal(lent(env.target_ids), 4);
	over(new);
}

static void test_targets_change(void **state)
{
	struct build *old = build(NULL), *new;
	struct target *gone = target(old, 0, 0), *kept = target(old, 0, 1);

	texts.targets = "{address: 127.0.0.1:9002, weight: 7}, {address: 127.0.0.1:9005}, "
			"{name: named, address: 127.0.0.1:9001}";
	new = build(old);
	assert_ptr_equal(target(new, 0, 0), kept);
	assert_int_equal(new->groups[0].group->spec.members[0].weight, 7);
	assert_int_equal(old->groups[0].group->spec.members[1].weight, 1);
	assert_ptr_not_equal(target(new, 0, 2), gone); /* another name is another target */
	assert_true(build_has_target(old, gone));
	assert_false(build_has_target(new, gone));
	assert_true(build_has_target(new, kept));
	assert_int_equal(lent(env.target_ids), 6);
	replaced(old, new);
	assert_int_equal(lent(env.target_ids), 5);
	over(new);
}

static void test_certificate_is_renewed(void **state)
{
	struct build *old = build(NULL), *new;

	pki_issue(&pki, &(struct pki_request){.file = "www", .sans = "DNS:www.test,DNS:w.test"});
	new = build(old);
	assert_ptr_not_equal(new->certs[0].cert, old->certs[0].cert);
	assert_ptr_equal(new->certs[1].cert, old->certs[1].cert);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->built[API].tls, old->built[API].tls); /* does not use it */
	assert_ptr_equal(sock(new, WEB), sock(old, WEB));
	replaced(old, new);
	over(new);
}

static void test_listener_settings_change(void **state)
{
	struct build *old = build(NULL), *new;

	old->listeners[WEB]->spec.stats->workers[0].accepted = 5;
	texts.web = "certificates: [www, api], tls: {min_version: 1.3}, timeouts: {idle: 7s}";
	new = build(old);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->built[API].tls, old->built[API].tls);
	assert_ptr_equal(sock(new, WEB), sock(old, WEB));
	assert_int_equal(new->listeners[WEB]->spec.idle_ms, 7000);
	assert_int_equal(new->listeners[WEB]->spec.stats->workers[0].accepted, 5);
	replaced(old, new);
	/* the default certificate is the first: another order is another context */
	texts.web = "certificates: [api, www], tls: {min_version: 1.3}, timeouts: {idle: 7s}";
	old = new;
	new = build(old);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	replaced(old, new);
	over(new);
}

static struct build *renew(
	const struct build *before, const char *name, bool is_patient, struct build_renewal *ret)
{
	struct build_touched touched = {pki.dir, name, false};

	return build_renew(&env, before, &touched, 1, is_patient, ret);
}

/* Files of one certificate change while the daemon runs: its listener is another, all else is
 * shared. */
static void test_renewal(void **state)
{
	struct build *old = build(NULL), *new;
	struct build_renewal renewal;
	int i;

	assert_null(renew(old, "www.crt", false, &renewal)); /* it was touched, no more */
	pki_issue(&pki, &(struct pki_request){.file = "www", .sans = "DNS:www.test"});
	new = renew(old, "www.crt", true, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_added, 1);
	assert_int_equal(renewal.n_removed, 1);
	assert_int_equal(new->generation, 2);
	assert_ptr_equal(new->config, old->config);
	assert_ptr_not_equal(new->certs[0].cert, old->certs[0].cert);
	assert_ptr_equal(new->certs[1].cert, old->certs[1].cert);
	assert_ptr_not_equal(new->listeners[WEB], old->listeners[WEB]);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->listeners[WEB]->spec.tls, new->built[WEB].tls);
	assert_ptr_equal(new->listeners[WEB]->spec.stats, old->listeners[WEB]->spec.stats);
	assert_ptr_equal(new->built[WEB].policy->spec.tls, new->built[WEB].tls);
	assert_ptr_equal(new->listeners[API], old->listeners[API]);
	assert_ptr_equal(new->listeners[RAW], old->listeners[RAW]);
	assert_int_equal(new->n_gate_listeners, old->n_gate_listeners);
	for (i = 0; i < 3; i++) {
		assert_ptr_equal(sock(new, i), sock(old, i));
		assert_ptr_equal(new->groups[i].group, old->groups[i].group);
		assert_ptr_equal(target(new, i, 0), target(old, i, 0));
	}
	build_free(old);
	assert_true(answers(ports[0]) && answers(ports[1]) && answers(ports[2]));
	assert_int_equal(lent(env.socket_ids), 3);
	over(new);
}

/* A key without its certificate: waited for, then a fault; the last good one is served on. */
static void test_renewal_of_half_a_pair(void **state)
{
	struct build *old = build(NULL), *new;
	struct build_renewal renewal;
	char command[512];

	snprintf(command, sizeof(command), "cp %s/www.key %s/kept && cp %s/api.key %s/www.key",
		pki.dir, pki.dir, pki.dir, pki.dir);
	assert_int_equal(system(command), 0);
	assert_null(renew(old, "www.key", true, &renewal));
	assert_int_equal(renewal.n_unsettled, 1);
	new = renew(old, "www.key", false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_faults, 1);
	assert_ptr_equal(new->certs[0].cert, old->certs[0].cert);
	assert_non_null(strstr(new->certs[0].fault, "does not belong to the certificate"));
	assert_ptr_equal(new->listeners[WEB], old->listeners[WEB]);
	build_free(old);
	assert_null(renew(new, "www.key", false, &renewal)); /* the same fault */
	assert_int_equal(renewal.n_faults, 0);
	snprintf(command, sizeof(command), "mv %s/kept %s/www.key", pki.dir, pki.dir);
	assert_int_equal(system(command), 0);
	old = new;
	new = renew(old, "www.key", false, &renewal);
	assert_non_null(new);
	assert_null(new->certs[0].fault);
	build_free(old);
	over(new);
}

static void shell(const char *text)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && %s", pki.dir, text);
	assert_int_equal(system(command), 0);
}

/* A bundle that changes while the daemon runs makes another store, and another context of the
 * listeners that ask it; one that cannot be taken leaves the good one. */
static void test_renewal_of_a_trust_store(void **state)
{
	struct build *old, *new;
	struct build_renewal renewal;

	shell("cp ca.crt clients.pem");
	texts.clients = "clients.pem";
	texts.web = "certificates: www, client_auth: {mode: verify, trust_store: clients}";
	old = build(NULL);
	assert_null(renew(old, "clients.pem", true, &renewal)); /* it was touched, no more */
	shell("cat ca.crt ca.crt > clients.new && mv clients.new clients.pem");
	new = renew(old, "clients.pem", true, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_trusts, 1);
	assert_ptr_not_equal(new->trusts[0].trust, old->trusts[0].trust);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->built[API].tls, old->built[API].tls);
	assert_ptr_equal(new->certs[0].cert, old->certs[0].cert);
	build_free(old);
	old = new;
	shell("cp www.crt clients.pem"); /* not the certificate of a CA */
	assert_null(renew(old, "clients.pem", true, &renewal));
	assert_int_equal(renewal.n_unsettled, 1);
	new = renew(old, "clients.pem", false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_faults, 1);
	assert_ptr_equal(new->trusts[0].trust, old->trusts[0].trust);
	assert_ptr_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_non_null(strstr(new->trusts[0].fault, "is not the certificate of a CA"));
	build_free(old);
	old = new;
	assert_null(renew(old, "clients.pem", false, &renewal)); /* the same fault */
	shell("cp ca.crt clients.pem");
	new = renew(old, "clients.pem", false, &renewal);
	assert_non_null(new);
	assert_null(new->trusts[0].fault);
	build_free(old);
	over(new);
}

/* An expired CA keeps nobody from starting, and no CRL out, also where the bundle is written anew;
 * to add one is an error. */
static void test_expired_ca(void **state)
{
	static const long serials[] = {7, 0};
	const struct identity_request past = {
		.cn = "Old", .from_s = -2 * PKI_DAY_S, .to_s = -PKI_DAY_S};
	struct identity expired = identity_new(&past), another = identity_new(&past);
	X509 *const bundle[] = {expired.cert, pki.ca, NULL};
	X509 *const longer[] = {expired.cert, pki.ca, another.cert, NULL};
	const struct identity ca = {pki.ca, pki.ca_key};
	struct build *old, *new;
	struct build_renewal renewal;

	write_certs(&pki, "clients.pem", bundle);
	texts.clients = "clients.pem";
	texts.web = "certificates: www, client_auth: {mode: verify, trust_store: clients}";
	old = build(NULL);
	texts.crls = write_crl(&pki, "new.crl", crl_new(&(struct crl_request){.issuer = &ca}));
	new = build(old);
	assert_int_equal(tls_trust_facts(new->trusts[0].trust)->n_crls, 1);
	replaced(old, new);
	shell("touch clients.pem");
	old = new;
	new = build(old);
	replaced(old, new);
	write_crl(
		&pki, "new.crl", crl_new(&(struct crl_request){.issuer = &ca, .serials = serials}));
	shell("cp clients.pem clients.new && mv clients.new clients.pem");
	old = new;
	new = renew(old, "new.crl", false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_trusts, 1);
	assert_null(new->trusts[0].fault);
	assert_int_equal(tls_trust_facts(new->trusts[0].trust)->n_revoked, 1);
	build_free(old);
	write_certs(&pki, "clients.pem", longer);
	refused(new, "is expired: take it out");
	assert_null(renew(new, "clients.pem", true, &renewal));
	assert_int_equal(renewal.n_unsettled, 1);
	identity_free(&expired);
	identity_free(&another);
	over(new);
}

/* As when a flood has them all. Returns the limit that was. */
static struct rlimit use_up_descriptors(void)
{
	struct rlimit was, none;
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){(rlim_t)lowest, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return was;
}

/* Files that changed at a moment when none could be opened are looked at again. */
static void test_descriptors_used_up(void **state)
{
	static const long serials[] = {7, 0};
	const struct identity ca = {pki.ca, pki.ca_key};
	char tickets[512];
	struct build *old, *new;
	struct build_renewal renewal;
	struct rlimit was;

	snprintf(tickets, sizeof(tickets), "session_tickets: {keys_file: %s/t.keys}\n", pki.dir);
	shell("head -c 80 /dev/urandom > t.keys && chmod 600 t.keys && cp ca.crt own.crt");
	texts.more = tickets;
	texts.ca = "own.crt";
	texts.crls = write_crl(&pki, "new.crl", crl_new(&(struct crl_request){.issuer = &ca}));
	old = build(NULL);
	shell("head -c 80 /dev/urandom > t.keys && cat ca.crt ca.crt > own.crt");
	write_crl(
		&pki, "new.crl", crl_new(&(struct crl_request){.issuer = &ca, .serials = serials}));
	was = use_up_descriptors();
	new = renew(old, "new.crl", false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_faults, 3);
	assert_int_equal(renewal.n_later, 3);
	assert_null(renew(new, "new.crl", false, &renewal));
	assert_int_equal(renewal.n_faults, 0); /* they were told */
	assert_int_equal(renewal.n_later, 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_non_null(strstr(new->trusts[0].fault, "Too many open files"));
	build_free(old);
	old = new;
	new = renew(old, "new.crl", false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_later, 0);
	assert_null(new->trusts[0].fault);
	assert_null(new->tickets.fault);
	assert_null(new->groups[2].ca_fault);
	assert_int_equal(tls_trust_facts(new->trusts[0].trust)->n_revoked, 1);
	assert_ptr_not_equal(new->tickets.keys, old->tickets.keys);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	build_free(old);
	over(new);
}

/* The clock of the CA is ahead of ours. */
static void test_crl_of_the_future(void **state)
{
	const struct identity ca = {pki.ca, pki.ca_key};
	struct build *old, *new;
	struct build_renewal renewal;

	texts.crls = write_crl(&pki, "new.crl", crl_new(&(struct crl_request){.issuer = &ca}));
	old = build(NULL);
	write_crl(&pki, "new.crl",
		crl_new(&(struct crl_request){.issuer = &ca, .from_s = 3600, .to_s = PKI_DAY_S}));
	new = renew(old, "new.crl", false, &renewal);
	assert_non_null(new);
	assert_non_null(strstr(new->trusts[0].fault, "is not valid yet"));
	assert_int_equal(renewal.n_later, 1);
	build_free(old);
	over(new);
}

static void spoil(const struct pki_request *request)
{
	pki_issue(&pki, request);
}

/* A certificate that is expired, or too weak for a listener's policy, is refused whole where it would
 * replace one that is good; at a first start expired ones are served. */
static void test_no_worse_replacement(void **state)
{
	const struct pki_request good = {.file = "www", .sans = "DNS:www.test"};
	const struct pki_request weak = {.file = "www", .sans = "DNS:www.test", .hash = "SHA1"};
	const struct pki_request expired = {.file = "www",
		.sans = "DNS:www.test",
		.from_s = -9 * PKI_DAY_S,
		.to_s = -PKI_DAY_S};
	struct build *old = build(NULL), *new;
	struct build_renewal renewal;

	spoil(&weak);
	refused(old, "listener web, security policy default: the signature on certificate 1 in ");
	assert_null(renew(old, "www.crt", true, &renewal));
	assert_int_equal(renewal.n_unsettled, 1);
	new = renew(old, "www.crt", false, &renewal);
	assert_ptr_equal(new->certs[0].cert, old->certs[0].cert);
	assert_non_null(strstr(new->certs[0].fault, "the signature on certificate 1 in "));
	build_free(old);
	spoil(&expired);
	old = new;
	refused(old, "expired on ");
	new = renew(old, "www.crt", false, &renewal);
	assert_ptr_equal(new->certs[0].cert, old->certs[0].cert);
	assert_non_null(strstr(new->certs[0].fault, "expired on "));
	build_free(old);
	over(new);
	new = build(NULL);
	over(new);
	/* a stricter policy with the same files */
	spoil(&weak);
	refused(NULL, "the signature on certificate 1 in ");
	texts.web = "certificates: www, tls: {policy: ELBSecurityPolicy-2016-08}";
	old = build(NULL);
	texts.web = "certificates: www";
	refused(old, "the signature on certificate 1 in ");
	over(old);
	spoil(&good);
}

static const struct gate_policy_spec *asks(const struct build *build, int listener)
{
	assert_non_null(build->built[listener].policy);
	assert_ptr_equal(build->listeners[listener]->spec.policy, build->built[listener].policy);
	return &build->built[listener].policy->spec;
}

/* A policy that says something else is another context, and another question of the gate; the same
 * one in other words is not. */
static void test_policy_changes(void **state)
{
	struct build *old, *new;

	texts.web = "certificates: www";
	old = build(NULL);
	texts.web = "certificates: www, tls: {policy: sluice-default-2026-11, max_version: 1.3}";
	new = build(old);
	assert_ptr_equal(new->built[WEB].tls, old->built[WEB].tls);
	replaced(old, new);
	old = new;
	texts.web = "certificates: www, tls: {policy: mine}"; /* the log says under which */
	new = build(old);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	replaced(old, new);
	old = new;
	texts.web = "certificates: www, tls: {policy: 2016-08, min_version: 1.1}";
	new = build(old);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->built[API].tls, old->built[API].tls);
	assert_ptr_equal(sock(new, WEB), sock(old, WEB));
	assert_int_equal(asks(new, WEB)->version_min, TLS_VERSION_1_1);
	assert_int_equal(asks(new, WEB)->version_max, TLS_VERSION_1_2);
	replaced(old, new);
	over(new);
}

/* Which listeners have a gate, what it asks, and that a changed rate begins with full buckets. */
static void test_gates(void **state)
{
	struct build *old = build(NULL), *new;
	uint8_t generation;

	assert_int_equal(old->n_gate_listeners, 2); /* the one for tcp has none of itself */
	assert_int_equal(old->gate_listeners[0].flights_per_prefix, 512);
	assert_null(old->built[RAW].policy);
	assert_int_equal(asks(old, WEB)->version_min, TLS_VERSION_1_2);
	assert_string_equal(asks(old, WEB)->alpn[0], "h2");
	assert_string_equal(asks(old, WEB)->alpn[1], "http/1.1");
	assert_true(asks(old, WEB)->refuse_by_alert);
	assert_false(asks(old, WEB)->refuse_unknown_name);
	assert_int_equal(asks(old, API)->listener_id, old->listeners[API]->spec.stats->id);
	generation = asks(old, WEB)->per_listener.generation;

	texts.web = "certificates: www, proxy_protocol: accept,"
		    " limits: {handshakes_per_second: 5, handshakes_burst: 9},"
		    " gate: {unknown_name: refuse, refusal: reset}";
	texts.raw =
		", gate: {ja4_deny: [\"t12*\"]}, routes: [{server_names: [a.test, \"*.b.test\"],"
		" target_group: raw}]";
	new = build(old);
	assert_int_equal(new->n_gate_listeners, 3);
	assert_int_equal(new->gate_listeners[0].flights_per_prefix, 0); /* all of the proxy */
	assert_int_equal(asks(new, WEB)->per_listener.rate_per_s, 5);
	assert_int_equal(asks(new, WEB)->per_listener.burst, 9);
	assert_int_not_equal(asks(new, WEB)->per_listener.generation, generation);
	assert_true(asks(new, WEB)->refuse_unknown_name);
	assert_false(asks(new, WEB)->refuse_by_alert);
	assert_int_equal(
		asks(new, API)->per_listener.generation, asks(old, API)->per_listener.generation);
	assert_int_equal(asks(new, RAW)->n_names, 2);
	assert_int_equal(asks(new, RAW)->version_max, 0);
	assert_ptr_equal(new->listeners[RAW]->spec.route_groups[0], new->groups[1].group);
	assert_true(sock(new, RAW)->defers); /* a ClientHello comes first */
	replaced(old, new);

	texts.web = "certificates: www, gate: {mode: off}";
	texts.raw = ", gate: {mode: off}, routes: [{server_names: a.test, target_group: raw}]";
	old = new;
	new = build(old);
	assert_int_equal(new->n_gate_listeners, 1);
	assert_null(new->built[WEB].policy);
	assert_int_equal(asks(new, RAW)->n_names, 1); /* its routes are looked up after accept */
	replaced(old, new);
	over(new);
}

static void test_gates_refused(void **state)
{
	texts.raw = ", routes: [{server_names: a.test, target_group: raw},"
		    " {server_names: A.test, target_group: raw}]";
	refused(NULL, "A.test");
	texts.raw = ", gate: {mode: on, ja4_allow: [\"t*3\"]}";
	refused(NULL, "ja4_allow");
	assert_int_equal(lent(env.listener_ids), 0);
}

static void test_addresses_change(void **state)
{
	struct build *old = build(NULL), *new;

	texts.web_port = ports[3];
	new = build(old);
	assert_ptr_not_equal(sock(new, WEB), sock(old, WEB));
	assert_ptr_equal(sock(new, RAW), sock(old, RAW));
	assert_ptr_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_true(answers(ports[0]) && answers(ports[3])); /* both, until the old one goes */
	replaced(old, new);
	assert_false(answers(ports[0]));
	assert_true(answers(ports[3]));
	/* an address may go over to another listener with its socket */
	old = new;
	texts.web_port = ports[1];
	texts.raw_port = ports[3];
	texts.raw_protocol = "http";
	new = build(old);
	assert_ptr_equal(sock(new, RAW), sock(old, WEB));
	/* one that waits for the client to speak is another socket than one that does not */
	assert_ptr_not_equal(sock(new, WEB), sock(old, RAW));
	assert_true(sock(new, WEB)->defers);
	replaced(old, new);
	over(new);
}

/* A worker that is late: it has the socket for a while after its generation has gone. */
static void *close_late(void *arg)
{
	struct listener_socket *socket = arg;

	usleep(150 * 1000);
	shared_put(&socket->shared);
	return NULL;
}

static void test_address_comes_back_at_once(void **state)
{
	struct build *first = build(NULL), *second, *third;
	struct listener_socket *late = sock(first, WEB);
	pthread_t thread;

	shared_get(&late->shared);
	texts.web_port = ports[3];
	second = build(first);
	replaced(first, second);
	assert_int_equal(pthread_create(&thread, NULL, close_late, late), 0);
	texts.web_port = ports[0];
	third = build(second);
	assert_ptr_not_equal(sock(third, WEB), late);
	replaced(second, third);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(answers(ports[0]));
	over(third);
}

static void test_group_settings_change(void **state)
{
	struct build *old = build(NULL), *new;

	texts.check = "{protocol: http, path: /other, matcher: 200-299}";
	texts.secure = "verify: true, server_name: other.test";
	texts.group = ", algorithm: least_outstanding, slow_start: 45s, limits: {requests: 6}";
	new = build(old);
	assert_ptr_equal(new->groups[0].group->spec.state, old->groups[0].group->spec.state);
	assert_int_equal(new->groups[0].group->spec.slow_start_ms, 45000);
	assert_int_equal(new->groups[0].group->spec.limits.requests, 6);
	assert_ptr_not_equal(new->groups[0].check, old->groups[0].check);
	assert_string_equal(new->groups[0].check->path, "/other");
	assert_ptr_equal(new->groups[1].check, old->groups[1].check);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	assert_int_equal(new->groups[0].group->spec.algorithm, BALANCE_LEAST_OUTSTANDING);
	assert_ptr_equal(target(new, 0, 0), target(old, 0, 0));
	assert_ptr_equal(target(new, 2, 0), target(old, 2, 0));
	replaced(old, new);
	over(new);
}

/* Who makes the records is settled when a connection begins: contexts are made anew, and checks only
 * where they must find out whether anybody can connect. */
static void test_ktls_changes(void **state)
{
	struct build *old = build(NULL), *new;

	texts.web = "certificates: [www, api], tls: {ktls: off}";
	texts.secure = "verify: true, ktls: tx";
	new = build(old);
	assert_ptr_not_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_equal(new->built[API].tls, old->built[API].tls);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	assert_ptr_equal(new->groups[2].check, old->groups[2].check);
	replaced(old, new);
	old = new;
	texts.secure = "verify: true, ktls: require";
	new = build(old);
	assert_ptr_equal(new->built[WEB].tls, old->built[WEB].tls);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	assert_ptr_not_equal(new->groups[2].check, old->groups[2].check);
	replaced(old, new);
	over(new);
}

static void copy_file(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp %s/%s %s/new && mv %s/new %s/%s", pki.dir, from,
		pki.dir, pki.dir, pki.dir, to);
	assert_int_equal(system(command), 0);
}

/* The CA of a group is exchanged in place. */
static void test_ca_is_renewed(void **state)
{
	struct build *old, *new;

	copy_file("ca.crt", "own.crt");
	texts.ca = "own.crt";
	old = build(NULL);
	copy_file("ca.crt", "own.crt");
	new = build(old);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	assert_ptr_not_equal(new->groups[2].check, old->groups[2].check);
	replaced(old, new);
	over(new);
}

/* The same without a reload; what is bad is told once, and waited for at first. */
static void test_ca_is_touched(void **state)
{
	struct build_touched all = {0};
	struct build_renewal renewal;
	struct build *old, *new;

	copy_file("ca.crt", "own.crt");
	texts.ca = "own.crt";
	old = build(NULL);
	copy_file("ca.crt", "own.crt");
	new = build_renew(&env, old, &all, 1, true, &renewal);
	assert_non_null(new);
	assert_ptr_not_equal(new->groups[2].tls, old->groups[2].tls);
	assert_ptr_not_equal(new->groups[2].check, old->groups[2].check);
	assert_ptr_equal(new->groups[0].group, old->groups[0].group);
	assert_ptr_equal(target(new, 2, 0), target(old, 2, 0));
	assert_true(new->has_other_groups);
	replaced(old, new);
	old = new;
	pki_write(&pki, "own.crt", "nothing");
	assert_null(build_renew(&env, old, &all, 1, true, &renewal));
	assert_int_equal(renewal.n_unsettled, 1);
	new = build_renew(&env, old, &all, 1, false, &renewal);
	assert_non_null(new);
	assert_int_equal(renewal.n_faults, 1);
	assert_ptr_equal(new->groups[2].tls, old->groups[2].tls);
	assert_non_null(strstr(new->groups[2].ca_fault, "own.crt"));
	replaced(old, new);
	assert_null(build_renew(&env, new, &all, 1, false, &renewal));
	over(new);
}

/* Whatever fails: the generation in force and the numbers are as before. */
static void assert_untouched(struct build *old, const unsigned int *target_refs)
{
	int i;

	assert_int_equal(lent(env.target_ids), 4);
	assert_int_equal(lent(env.socket_ids), 3);
	assert_int_equal(lent(env.listener_ids), 3);
	for (i = 0; i < 2; i++)
		assert_int_equal(atomic_load(&target(old, 0, i)->shared.refs), target_refs[i]);
	assert_int_equal(atomic_load(&sock(old, WEB)->shared.refs), 1);
	assert_false(answers(ports[3]));
	assert_true(answers(ports[0]) && answers(ports[1]) && answers(ports[2]));
}

static void test_failures_leave_nothing(void **state)
{
	struct build *old = build(NULL);
	unsigned int refs[2], taken_port;
	union addr addr;
	int taken;

	refs[0] = atomic_load(&target(old, 0, 0)->shared.refs);
	refs[1] = atomic_load(&target(old, 0, 1)->shared.refs);
	texts.targets = "{address: 127.0.0.1:9001}, {address: 127.0.0.1:9006}";

	/* an address that belongs to somebody else, after one that is new and was bound */
	assert_int_equal(addr_parse("127.0.0.1:0", &addr), 0);
	taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(taken, &addr.any, addr_len(&addr)), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_int_equal(socket_local_addr(taken, &addr), 0);
	taken_port = addr_port(&addr);
	texts.web_port = ports[3];
	texts.raw_port = taken_port;
	refused(old, "already in use by another program");
	assert_untouched(old, refs);
	close(taken);
	texts.raw_port = ports[1];

	/* a certificate that is not there */
	assert_int_equal(unlink(pki_path(&pki, "api.key")), 0);
	refused(old, "certificates[api]");
	assert_untouched(old, refs);
	pki_issue(&pki, &(struct pki_request){.file = "api", .sans = "DNS:api.test"});

	/* a CA that is none */
	pki_write(&pki, "no-ca.crt", "nothing\n");
	texts.ca = "no-ca.crt";
	refused(old, "target_groups[secure].tls");
	assert_untouched(old, refs);
	texts.ca = "ca.crt";

	texts.web_port = ports[0];
	over(old);
}

static void test_no_numbers_left(void **state)
{
	ids_free(env.target_ids);
	env.target_ids = ids_new(3);
	refused(NULL, "too many targets on this node");
	assert_int_equal(lent_of(env.target_ids, 3), 0);
	ids_free(env.target_ids);
	env.target_ids = ids_new(IDS);
	ids_free(env.socket_ids);
	env.socket_ids = ids_new(2);
	refused(NULL, "too many addresses on this node");
	assert_int_equal(lent(env.target_ids), 0);
	assert_int_equal(lent_of(env.socket_ids, 2), 0);
	ids_free(env.socket_ids);
	env.socket_ids = ids_new(IDS);
	ids_free(env.listener_ids);
	env.listener_ids = ids_new(1);
	refused(NULL, "too many listeners on this node");
	assert_int_equal(lent(env.socket_ids), 0);
	assert_int_equal(lent_of(env.listener_ids, 1), 0);
	assert_false(answers(ports[0]));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_first),
		CASE(test_nothing_changed),
		CASE(test_targets_change),
		CASE(test_certificate_is_renewed),
		CASE(test_listener_settings_change),
		CASE(test_policy_changes),
		CASE(test_renewal),
		CASE(test_renewal_of_half_a_pair),
		CASE(test_renewal_of_a_trust_store),
		CASE(test_expired_ca),
		CASE(test_descriptors_used_up),
		CASE(test_crl_of_the_future),
		CASE(test_no_worse_replacement),
		CASE(test_gates),
		CASE(test_gates_refused),
		CASE(test_addresses_change),
		CASE(test_address_comes_back_at_once),
		CASE(test_group_settings_change),
		CASE(test_ktls_changes),
		CASE(test_ca_is_renewed),
		CASE(test_ca_is_touched),
		CASE(test_failures_leave_nothing),
		CASE(test_no_numbers_left),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
