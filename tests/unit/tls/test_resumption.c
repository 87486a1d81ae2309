/* When a session goes on: for how long, under which names, with whose keys; TLS 1.2 and 1.3. The
 * clients are plain OpenSSL. */
#include "tls_pair.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct cert *of_a, *of_b, *of_both, *of_both_renewed;
static SSL_SESSION *kept;
static bool was_refused; /* the ticket of the last visit */
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct cert *issue(const char *file, const char *sans)
{
	struct cert_spec spec = {.name = file};
	char path[64];
	struct cert *cert;
	struct err err;

	pki_issue(&pki, &(struct pki_request){.file = file, .sans = sans});
	snprintf(path, sizeof(path), "%s.crt", file);
	spec.cert_path = pki_path(&pki, path);
	snprintf(path, sizeof(path), "%s.key", file);
	spec.key_path = pki_path(&pki, path);
	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	return cert;
}

static int setup_names(void **state)
{
	setup(state);
	of_a = issue("a", "DNS:a.test");
	of_b = issue("b", "DNS:b.test");
	of_both = issue("both", "DNS:one.test,DNS:two.test");
	of_both_renewed = issue("again", "DNS:two.test,DNS:one.test");
	return 0;
}

static int teardown_names(void **state)
{
	cert_put(of_a);
	cert_put(of_b);
	cert_put(of_both);
	cert_put(of_both_renewed);
	return teardown(state);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

static void forget_session(void)
{
	SSL_SESSION_free(kept);
	kept = NULL;
}

/* Whether the client, which keeps its last session, was resumed. */
static bool visit(const char *name, int version)
{
	struct tls_stream_facts facts;
	struct peer peer;
	int fds[2];

	serve_fd(fds);
	peer_open(&peer, fds[1]);
	SSL_CTX_set_max_proto_version(peer.ctx, version);
	SSL_CTX_set_session_cache_mode(
		peer.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(peer.ctx, keep_session);
	peer_start(&peer);
	SSL_set_tlsext_host_name(peer.ssl, name);
	if (kept)
		assert_true(SSL_set_session(peer.ssl, kept));
	assert_int_equal(peer_shake_hands(&peer), 0);
	exchange(&peer);
	tls_stream_facts(s, &facts);
	SSL_shutdown(peer.ssl);
	if (version == TLS1_2_VERSION) /* OpenSSL does not tell that the ticket is another */
		keep_session(peer.ssl, SSL_get1_session(peer.ssl));
	s->ops->close(s, false);
	s = NULL;
	peer_close(&peer);
	turn();
	was_refused = facts.ticket_refused;
	return facts.resumed;
}

static void serve(struct cert **certs, size_t n, const struct tls_server_spec *extra)
{
	struct tls_server_spec spec = *extra;
	struct err err = {""};

	if (server)
		tls_server_put(server);
	assert_int_equal(certstore_new(certs, n, &spec.certs, &err), 0);
	spec.name = "web";
	spec.n_workers = 1;
	if (!spec.tickets)
		spec.tickets = tickets;
	assert_int_equal(tls_server_new(&spec, &server, &err), 0);
	certstore_put(spec.certs);
}

/* However often it comes back: in TLS 1.3 each visit has a new ticket. */
static void a_session_ends_at_its_age(void **state)
{
	for (size_t i = 0; i < array_len(versions); i++) {
		int visits = 0;

		serve(&of_a, 1, &(struct tls_server_spec){.session_age_max_s = 3});
		assert_false(visit("a.test", versions[i]));
		assert_false(was_refused);
		assert_true(visit("a.test", versions[i]));
		assert_false(was_refused);
		while (visit("a.test", versions[i])) {
			assert_true(++visits < 1000);
			usleep(10000);
		}
		assert_true(was_refused);
		assert_true(visit("a.test", versions[i])); /* by the ticket of the full handshake */
		forget_session();
	}
}

static void a_session_is_for_the_names_of_its_certificate(void **state)
{
	struct cert *certs[] = {of_a, of_b, of_both};

	for (size_t i = 0; i < array_len(versions); i++) {
		serve(certs, array_len(certs), &(struct tls_server_spec){0});
		assert_false(visit("a.test", versions[i]));
		assert_true(visit("a.test", versions[i]));
		assert_false(visit("b.test", versions[i]));
		assert_true(was_refused);
		assert_true(visit("b.test", versions[i]));
		assert_false(visit("one.test", versions[i]));
		assert_true(visit("two.test", versions[i])); /* the same certificate */
		forget_session();
	}
}

/* With the same names, in whatever order, it is no other certificate to a client that resumes. */
static void a_renewed_certificate_ends_nothing(void **state)
{
	for (size_t i = 0; i < array_len(versions); i++) {
		serve(&of_both, 1, &(struct tls_server_spec){0});
		assert_false(visit("one.test", versions[i]));
		serve(&of_both_renewed, 1, &(struct tls_server_spec){0});
		assert_true(visit("one.test", versions[i]));
		serve(&of_a, 1, &(struct tls_server_spec){0});
		assert_false(visit("one.test", versions[i]));
		forget_session();
	}
}

static void keys_are_rotated_and_kept_once(void **state)
{
	for (size_t i = 0; i < array_len(versions); i++) {
		serve(&of_a, 1, &(struct tls_server_spec){0});
		assert_false(visit("a.test", versions[i]));
		tls_tickets_rotate(tickets);
		assert_true(visit("a.test", versions[i])); /* which gives a new ticket */
		tls_tickets_rotate(tickets);
		tls_tickets_rotate(tickets);
		assert_false(visit("a.test", versions[i]));
		assert_true(was_refused);
		tls_tickets_forget(tickets);
		assert_false(visit("a.test", versions[i]));
		forget_session();
	}
}

/* --- keys of a file */
static const char *write_keys(const char *file, const char *letters, size_t cut)
{
	const char *path = pki_path(&pki, file);
	char key[TLS_TICKET_KEY_BYTES];
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	for (; *letters; letters++) {
		memset(key, *letters, sizeof(key));
		fwrite(key, 1, letters[1] ? sizeof(key) : sizeof(key) - cut, out);
	}
	fclose(out);
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

static struct tls_tickets *node(const char *letters)
{
	struct tls_tickets *made = tls_tickets_new();
	struct tls_ticket_keys *keys;
	struct err err = {""};

	assert_int_equal(tls_ticket_keys_read(write_keys("t.keys", letters, 0), &keys, &err), 0);
	assert_int_equal(tls_ticket_keys_len(keys), strlen(letters));
	tls_tickets_use(made, keys);
	tls_ticket_keys_put(keys);
	return made;
}

/* Nodes that share a file take each other's tickets, also in the middle of a change of keys. */
static void nodes_share_a_file(void **state)
{
	static const struct {
		const char *from, *to;
		bool resumes;
	} pairs[] = {{"a", "a", true}, {"a", "ab", true}, {"ab", "ba", true}, {"ba", "ab", true},
		{"ba", "b", true}, {"ab", "b", false}, {"a", "b", false},
		{"abcdefgh", "hgfedcba", true}};

	for (size_t i = 0; i < array_len(pairs); i++)
		for (size_t v = 0; v < array_len(versions); v++) {
			struct tls_tickets *from = node(pairs[i].from), *to = node(pairs[i].to);

			serve(&of_a, 1, &(struct tls_server_spec){.tickets = from});
			assert_false(visit("a.test", versions[v]));
			serve(&of_a, 1, &(struct tls_server_spec){.tickets = to});
			if (visit("a.test", versions[v]) != pairs[i].resumes)
				fail_msg("from %s to %s", pairs[i].from, pairs[i].to);
			assert_int_equal(was_refused, !pairs[i].resumes);
			tls_tickets_put(from);
			tls_tickets_put(to);
			forget_session();
		}
}

static void is_no_file(const char *path, const char *what)
{
	struct tls_ticket_keys *keys;
	struct err err = {""};

	assert_true(tls_ticket_keys_read(path, &keys, &err) < 0);
	if (!strstr(err.text, what) || !strstr(err.text, path))
		fail_msg("\"%s\" does not say \"%s\"", err.text, what);
}

static void broken_files_are_refused(void **state)
{
	const char *path;

	is_no_file(pki_path(&pki, "missing.keys"), "No such file");
	is_no_file(write_keys("b.keys", "", 0), "has 0 bytes");
	is_no_file(write_keys("b.keys", "ab", 1), "has 159 bytes: one to 8 keys of 80 bytes");
	is_no_file(write_keys("b.keys", "abcdefghi", 0), "has 720 bytes");
	is_no_file(write_keys("b.keys", "aba", 0), "keys 1 and 3 have the same name");
	path = write_keys("b.keys", "a", 0);
	assert_int_equal(chmod(path, 0644), 0);
	is_no_file(path, "others may read or change it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_session_ends_at_its_age, close_all),
		cmocka_unit_test_teardown(a_session_is_for_the_names_of_its_certificate, close_all),
		cmocka_unit_test_teardown(a_renewed_certificate_ends_nothing, close_all),
		cmocka_unit_test_teardown(keys_are_rotated_and_kept_once, close_all),
		cmocka_unit_test_teardown(nodes_share_a_file, close_all),
		cmocka_unit_test(broken_files_are_refused),
	};

	return cmocka_run_group_tests(tests, setup_names, teardown_names);
}
