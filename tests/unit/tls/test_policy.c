/* Security policies: the table, what can be made of it, and what connections under it look like. */
#include "tls_pair.h"

#include "tls/policy.h"

static struct tls_policy find(const char *name)
{
	struct tls_policy policy;

	if (!tls_policy_find(slice_of(name), &policy))
		fail_msg("no policy %s", name);
	return policy;
}

/* --- the table */
static void test_rows(void **state)
{
	char text[TLS_POLICY_TEXT_BYTES];
	struct tls_policy policy;
	struct err err = {""};

	for (size_t i = 0; i < tls_policy_n_rows; i++) {
		const struct tls_policy_row *row = &tls_policy_rows[i];

		assert_true(strlen(row->name) < TLS_POLICY_NAME_BYTES);
		policy = find(row->name);
		assert_string_equal(policy.name, row->name); /* no other row before it */
		for (int list = 0; list < TLS_POLICY_LISTS; list++) {
			tls_policy_list_text(&policy, (enum tls_policy_list)list, text);
			assert_string_equal(text, row->lists[list]);
		}
		if (tls_policy_check(&policy, &err) < 0)
			fail_msg("%s: %s", row->name, err.text);
	}
}

static void test_names(void **state)
{
	struct tls_policy policy;

	assert_string_equal(find("default").name, "sluice-default-2026-11");
	assert_string_equal(find("2016-08").name, "ELBSecurityPolicy-2016-08");
	assert_string_equal(find("ELBSecurityPolicy-2015-05").name, "ELBSecurityPolicy-2016-08");
	assert_string_equal(find("2015-05").name, "ELBSecurityPolicy-2016-08");
	assert_string_equal(find("TLS13-1-2-Res-PQ-2025-09").name,
		"ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09");
	assert_false(tls_policy_find(SLICE("ELBSecurityPolicy-"), &policy));
	assert_false(tls_policy_find(SLICE(""), &policy));
	assert_false(tls_policy_find(SLICE("defaul"), &policy));
	assert_false(tls_policy_find(SLICE("Default"), &policy));
}

/* Nothing that has a weakness of its own is reachable without asking for it by name. */
static void test_default_is_strong(void **state)
{
	static const char *const own[] = {"default", "sluice-tls13-2026-11", "sluice-cnsa-2026-11"};

	for (size_t p = 0; p < array_len(own); p++) {
		struct tls_policy policy = find(own[p]);

		assert_true(policy.version_min >= TLS_VERSION_1_2);
		for (size_t i = 0; i < policy.count[TLS_POLICY_CIPHERS]; i++) {
			const char *name = tls_policy_at(&policy, TLS_POLICY_CIPHERS, i)->name;

			assert_ptr_equal(strstr(name, "ECDHE-"), name);
			assert_true(strstr(name, "-GCM-") || strstr(name, "-POLY1305"));
		}
		for (size_t i = 0; i < policy.count[TLS_POLICY_SCHEMES]; i++)
			assert_null(strstr(
				tls_policy_at(&policy, TLS_POLICY_SCHEMES, i)->name, "sha1"));
	}
	assert_string_equal(
		tls_policy_at(tls_policy_default(), TLS_POLICY_GROUPS, 0)->name, "X25519MLKEM768");
}

static void test_narrow(void **state)
{
	struct tls_policy policy = find("sluice-compatible-2026-11");

	assert_true(tls_policy_narrow(&policy, TLS_VERSION_1_1, TLS_VERSION_1_2));
	assert_int_equal(policy.version_min, TLS_VERSION_1_1);
	assert_int_equal(policy.version_max, TLS_VERSION_1_2);
	assert_true(tls_policy_narrow(&policy, TLS_VERSION_1_0, TLS_VERSION_1_3)); /* never wider */
	assert_int_equal(policy.version_min, TLS_VERSION_1_1);
	assert_int_equal(policy.version_max, TLS_VERSION_1_2);
	assert_true(tls_policy_narrow(&policy, 0, 0));
	assert_false(tls_policy_narrow(&policy, TLS_VERSION_1_3, 0));
}

static void expect_refusal(const struct tls_policy *policy, const char *text)
{
	struct err err = {""};

	assert_int_equal(tls_policy_check(policy, &err), -EINVAL);
	assert_string_equal(err.text, text);
}

static void test_what_is_left(void **state)
{
	struct tls_policy policy = find("tls_cipher_policy_1_0_to_1_3"), offered;
	char text[128];

	tls_policy_offered(&policy, &offered);
	assert_int_equal(offered.version_min, TLS_VERSION_1_2); /* TLS 1.0 in name only */
	assert_int_equal(offered.version_max, TLS_VERSION_1_3);
	assert_true(tls_policy_narrow(&policy, 0, TLS_VERSION_1_1));
	expect_refusal(&policy, "there is no cipher for TLS 1.0 to 1.1");
	policy = find("sluice-tls13-2026-11");
	policy.count[TLS_POLICY_GROUPS] = 0;
	expect_refusal(&policy, "there is no group that can be used");
	policy = find("default");
	policy.count[TLS_POLICY_SCHEMES] = 0;
	expect_refusal(&policy, "there is no signature algorithm that can be used");

	policy = find("ELBSecurityPolicy-TLS-1-0-2015-04");
	if (tls_policy_missing(&policy, text, sizeof(text)) == 0)
		skip(); /* this OpenSSL was built with 3DES */
	assert_string_equal(text, "DES-CBC3-SHA");
	tls_policy_offered(&policy, &offered);
	assert_int_equal(offered.count[TLS_POLICY_CIPHERS], policy.count[TLS_POLICY_CIPHERS] - 1);
	policy.item[TLS_POLICY_CIPHERS][0] =
		policy.item[TLS_POLICY_CIPHERS][policy.count[TLS_POLICY_CIPHERS] - 1];
	policy.count[TLS_POLICY_CIPHERS] = 1;
	expect_refusal(&policy, "this OpenSSL has no cipher for TLS 1.0 to 1.2 (it cannot offer: "
				"DES-CBC3-SHA)");
	assert_int_equal(tls_policy_missing(&policy, text, 4), 1); /* cut, not overrun */
	assert_string_equal(text, "DES");
}

static void test_equal(void **state)
{
	struct tls_policy a = find("default"), b = find("sluice-default-2026-11");

	assert_true(tls_policy_eq(&a, &b));
	b.version_min = TLS_VERSION_1_3;
	assert_false(tls_policy_eq(&a, &b));
	b = a;
	b.item[TLS_POLICY_GROUPS][0] = a.item[TLS_POLICY_GROUPS][1];
	assert_false(tls_policy_eq(&a, &b));
}

/* Less of anything is tighter, another order is not. */
static void test_tighter(void **state)
{
	const struct tls_policy old = find("default");
	struct tls_policy now = old;
	enum tls_policy_list list;
	uint8_t first;

	assert_false(tls_policy_is_tighter(&old, &now));
	now.version_min = TLS_VERSION_1_3;
	assert_true(tls_policy_is_tighter(&old, &now));
	assert_false(tls_policy_is_tighter(&now, &old));
	now = old;
	now.version_max = TLS_VERSION_1_2;
	assert_true(tls_policy_is_tighter(&old, &now));
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		now = old;
		first = now.item[list][0];
		now.item[list][0] = now.item[list][1];
		now.item[list][1] = first;
		assert_false(tls_policy_is_tighter(&old, &now));
		now.count[list]--;
		assert_true(tls_policy_is_tighter(&old, &now));
		assert_false(tls_policy_is_tighter(&now, &old));
	}
}

/* --- connections */
static void serve_policy(const char *name)
{
	struct tls_policy policy = find(name);

	server = new_server(&(struct tls_server_spec){.policy = &policy, .tickets = tickets});
}

/* A client of plain OpenSSL with one version and one cipher or suite. The caller closes it. */
static int dial(struct peer *peer, int version, const char *cipher)
{
	int fds[2];

	serve_fd(fds);
	peer_open(peer, fds[1]);
	SSL_CTX_set_security_level(peer->ctx, 0);
	SSL_CTX_set_min_proto_version(peer->ctx, version);
	SSL_CTX_set_max_proto_version(peer->ctx, version);
	if (version == TLS1_3_VERSION)
		assert_true(SSL_CTX_set_ciphersuites(peer->ctx, cipher));
	else
		assert_true(SSL_CTX_set_cipher_list(peer->ctx, cipher));
	peer_start(peer);
	return peer_shake_hands(peer);
}

static void hang_up(struct peer *peer)
{
	peer_close(peer);
	s->ops->close(s, false);
	s = NULL;
	turn();
}

/* More than a record, in both directions. */
static void exchange_much(struct peer *peer)
{
	static uint8_t sent[40000], got[sizeof(sent)];
	struct iovec iov;
	size_t out = 0, in = 0;
	ssize_t r;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + i / 251);
	for (int turns = 0; in < sizeof(sent) && turns < 1000; turns++) {
		kick(s);
		iov = (struct iovec){sent + out, sizeof(sent) - out};
		r = out < sizeof(sent) ? s->ops->writev(s, &iov, 1, false) : s->ops->flush(s);
		out += r > 0 ? (size_t)r : 0;
		r = SSL_read(peer->ssl, got + in, (int)(sizeof(got) - in));
		in += r > 0 ? (size_t)r : 0;
	}
	assert_int_equal(in, sizeof(sent));
	assert_memory_equal(got, sent, sizeof(sent));
	SSL_set_mode(peer->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	for (in = out = 0; in < sizeof(sent);) {
		r = out < sizeof(sent) ? SSL_write(peer->ssl, sent + out, (int)(sizeof(sent) - out))
				       : 0;
		out += r > 0 ? (size_t)r : 0;
		kick(s);
		r = s->ops->read(s, got + in, sizeof(got) - in);
		assert_true(r > 0 || r == -EAGAIN);
		in += r > 0 ? (size_t)r : 0;
	}
	assert_memory_equal(got, sent, sizeof(sent));
}

/* Who makes the records, and that they are right. */
static void expect_works(int version, const char *cipher, enum key_kind kind, enum ktls_place place)
{
	struct tls_stream_facts facts;
	struct peer peer;
	int r = dial(&peer, version, cipher);

	if (r < 0)
		fail_msg("%x %s: %s", version, cipher, tls_failure_name(tls_stream_failure(s)));
	tls_stream_facts(s, &facts);
	assert_int_equal(cert_facts(facts.cert)->key_kind, kind);
	exchange(&peer);
	exchange_much(&peer);
	tls_stream_facts(s, &facts);
	if (place != KTLS_none) {
		assert_string_equal(ktls_place_name(facts.places[TLS_RX]), ktls_place_name(place));
		assert_string_equal(ktls_place_name(facts.places[TLS_TX]), ktls_place_name(place));
	}
	assert_int_equal(s->ops->shutdown(s), 0);
	assert_int_equal(SSL_read(peer.ssl, &r, 1), 0);
	assert_int_equal(SSL_get_error(peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
	hang_up(&peer);
}

static void expect_refused(int version, const char *cipher, const char *failure)
{
	struct peer peer;

	assert_true(dial(&peer, version, cipher) < 0);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), failure);
	hang_up(&peer);
}

static void test_old_clients(void **state)
{
	serve_policy("ELBSecurityPolicy-2016-08");
	expect_works(TLS1_VERSION, "AES128-SHA", KEY_RSA, KTLS_version);
	expect_works(TLS1_VERSION, "ECDHE-ECDSA-AES256-SHA", KEY_ECDSA, KTLS_version);
	expect_works(TLS1_1_VERSION, "ECDHE-RSA-AES128-SHA", KEY_RSA, KTLS_version);
	expect_works(TLS1_2_VERSION, "AES256-SHA256", KEY_RSA, KTLS_cipher);
	expect_works(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", KEY_ECDSA, KTLS_cipher);
	expect_works(TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", KEY_RSA, KTLS_cipher);
	expect_works(
		TLS1_2_VERSION, "AES128-GCM-SHA256", KEY_RSA, KTLS_none); /* ours or the kernel's */
	expect_refused(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "no_shared_version");
	expect_refused(TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", "no_shared_cipher");
}

static void test_ccm(void **state)
{
	serve_policy("tls_cipher_policy_1_2_strict_with_1_3");
	expect_works(TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", KEY_ECDSA, KTLS_cipher);
	expect_works(TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", KEY_ECDSA, KTLS_cipher);
	expect_refused(TLS1_2_VERSION, "AES128-SHA", "no_shared_cipher");
}

static void test_default_refuses(void **state)
{
	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	expect_refused(TLS1_VERSION, "ALL", "no_shared_version");
	expect_refused(TLS1_1_VERSION, "ALL", "no_shared_version");
	expect_refused(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256:AES128-SHA",
		"no_shared_cipher");
	expect_refused(TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", "no_shared_cipher");
}

/* Our client under a policy: what it offers, and that its records work. */
static void test_clients_policy(void **state)
{
	struct tls_policy old = find("ELBSecurityPolicy-FS-1-1-2019-08"),
			  only = find("TLS13-1-3-2021-06");
	struct tls_stream_facts facts;
	int rs, rc;

	assert_true(tls_policy_narrow(&old, 0, TLS_VERSION_1_1));
	serve_policy("sluice-compatible-2026-11");
	client = new_client(&(struct tls_client_spec){.policy = &old});
	connect_pair("www.test", 0);
	expect_up();
	tls_stream_facts(c, &facts);
	assert_string_equal(facts.version, "TLSv1.1");
	assert_string_equal(ktls_place_name(facts.places[TLS_TX]), "version");
	send_text(c, "hello");
	expect_text(s, "hello");
	close_all(NULL);
	serve_policy("ELBSecurityPolicy-2016-08");
	client = new_client(&(struct tls_client_spec){.policy = &only});
	connect_pair("www.test", 0);
	shake_hands(&rs, &rc);
	assert_true(rs < 0 && rc < 0);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "no_shared_version");
}

/* What a policy allows in handshakes does not make signatures on certificates believable. */
static void test_chains_stay_strict(void **state)
{
	struct tls_policy old = find("ELBSecurityPolicy-2016-08");
	struct cert *good = ecdsa;
	struct cert_spec spec = {.name = "sha1"};
	struct err err = {""};
	int rs, rc;

	pki_issue(&pki,
		&(struct pki_request){.file = "sha1", .sans = "DNS:www.test", .hash = "SHA1"});
	spec.cert_path = pki_path(&pki, "sha1.crt");
	spec.key_path = pki_path(&pki, "sha1.key");
	assert_int_equal(cert_load(&spec, &ecdsa, &err), 0);
	serve_policy("ELBSecurityPolicy-2016-08");
	cert_put(ecdsa);
	ecdsa = good;
	client = new_client(&(struct tls_client_spec){
		.policy = &old, .verify = true, .ca_path = pki_path(&pki, "ca.crt")});
	connect_pair("www.test", 0);
	shake_hands(&rs, &rc);
	assert_true(rc < 0);
	assert_string_equal(tls_failure_name(tls_stream_failure(c)), "target_cert_bad");
	close_pair();
	tls_server_put(server);
	serve_policy("ELBSecurityPolicy-2016-08");
	connect_pair("www.test", 0);
	expect_up();
}

/* Which group is agreed: PQ where the policy has it, the preferred one even at the price of a
 * second ClientHello where the policy insists. */
static void expect_group(const char *policy, const char *offered, const char *agreed)
{
	struct tls_stream_facts facts;
	struct peer peer;
	int fds[2];

	serve_policy(policy);
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	assert_true(SSL_CTX_set1_groups_list(peer.ctx, offered));
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	tls_stream_facts(s, &facts);
	assert_string_equal(facts.group, agreed);
	hang_up(&peer);
	tls_server_put(server);
	server = NULL;
}

static void test_groups(void **state)
{
	expect_group("TLS13-1-2-2021-06", "X25519MLKEM768:x25519:secp256r1", "x25519");
	expect_group("TLS13-1-2-PQ-2025-09", "X25519MLKEM768:x25519:secp256r1", "X25519MLKEM768");
	expect_group("TLS13-1-2-PQ-2025-09", "SecP384r1MLKEM1024", "SecP384r1MLKEM1024");
	expect_group(
		"TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07", "*secp256r1:secp384r1", "secp384r1");
	expect_group("TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07", "secp521r1", "secp521r1");
	expect_group("default", "*secp256r1:x25519", "secp256r1"); /* no second round trip */
}

static bool resumes(const char *policy)
{
	struct tls_policy value = find(policy);
	struct tls_stream_facts facts;

	if (server)
		tls_server_put(server);
	server = new_server(&(struct tls_server_spec){
		.policy = &value, .version_max = TLS_VERSION_1_2, .tickets = tickets});
	connect_pair("www.test", 0);
	expect_up();
	tls_stream_facts(s, &facts);
	close_pair();
	return facts.resumed;
}

/* A session made under one policy would bring its cipher along into the other. */
static void test_policy_ends_sessions(void **state)
{
	struct tls_policy wide = find("sluice-compatible-2026-11");

	client = new_client(&(struct tls_client_spec){.policy = &wide});
	assert_false(resumes("ELBSecurityPolicy-2016-08"));
	assert_true(resumes("ELBSecurityPolicy-2016-08"));
	assert_true(resumes("ELBSecurityPolicy-2015-05")); /* the same by another name */
	assert_false(resumes("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"));
	assert_true(resumes("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"));
}

/* What is shown as offered must work: ECDHE needs a group of the version. */
static void a_version_needs_a_group(void **state)
{
	struct tls_policy policy = find("default"), offered;
	struct err err;

	policy.count[TLS_POLICY_GROUPS] = 0;
	assert_int_equal(tls_policy_add(&policy, TLS_POLICY_GROUPS, SLICE("X25519MLKEM768")), 0);
	assert_int_equal(tls_policy_check(&policy, &err), 0);
	tls_policy_offered(&policy, &offered);
	assert_int_equal(offered.version_min, TLS_VERSION_1_3);
	assert_int_equal(offered.count[TLS_POLICY_CIPHERS], 0);
	assert_int_equal(tls_policy_add(&policy, TLS_POLICY_CIPHERS, SLICE("AES128-SHA256")), 0);
	tls_policy_offered(&policy, &offered);
	assert_int_equal(offered.version_min, TLS_VERSION_1_2); /* RSA transport needs none */
	assert_int_equal(offered.count[TLS_POLICY_CIPHERS], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_default_is_strong),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_tighter),
		cmocka_unit_test_teardown(test_old_clients, close_all),
		cmocka_unit_test_teardown(test_ccm, close_all),
		cmocka_unit_test_teardown(test_default_refuses, close_all),
		cmocka_unit_test_teardown(test_clients_policy, close_all),
		cmocka_unit_test_teardown(test_chains_stay_strict, close_all),
		cmocka_unit_test_teardown(test_groups, close_all),
		cmocka_unit_test_teardown(test_policy_ends_sessions, close_all),
		cmocka_unit_test(a_version_needs_a_group),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
