/* Certificates of clients: each mode, each verdict with its alert, TLS 1.2 and 1.3, what is handed
 * on, resumption. The clients are plain OpenSSL. */
#include "tls_pair.h"

#include "client_pki.h"
#include "tls/peer.h"
#include "tls/stream_state.h"

static struct identity root, middle, second, stranger_ca;
static struct identity good, expired, young, revoked, stranger, server_only, deep, ancient, weak;
static struct identity selfmade, large;
static struct tls_trust *trust, *trust_revoking;

static struct tls_trust *load_trust(const char *crl)
{
	X509 *const cas[] = {root.cert, NULL};
	struct tls_trust_spec spec = {.ca_path = write_certs(&pki, "cas.pem", cas),
		.crl_paths = &crl,
		.n_crls = crl != NULL};
	struct tls_trust *made;
	struct err err = {""};

	assert_int_equal(tls_trust_load(&spec, &made, &err), 0);
	return made;
}

static struct identity client_of(const struct identity *issuer, const char *cn)
{
	return identity_new(&(struct identity_request){
		.cn = cn, .issuer = issuer, .extended_usage = "clientAuth"});
}

static void make_clients(void)
{
	good = client_of(&middle, "good");
	expired = identity_new(&(struct identity_request){
		.cn = "expired", .issuer = &middle, .from_s = -9 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	young = identity_new(&(struct identity_request){
		.cn = "young", .issuer = &middle, .from_s = PKI_DAY_S, .to_s = 9 * PKI_DAY_S});
	revoked = identity_new(
		&(struct identity_request){.cn = "revoked", .issuer = &root, .serial = 666});
	stranger = client_of(&stranger_ca, "stranger");
	server_only = identity_new(&(struct identity_request){
		.cn = "server", .issuer = &middle, .extended_usage = "serverAuth"});
	deep = client_of(&second, "deep");
	ancient = identity_new(
		&(struct identity_request){.cn = "ancient", .issuer = &root, .is_v1 = true});
	weak = identity_new(
		&(struct identity_request){.cn = "weak", .issuer = &root, .key = "RSA-1024"});
	selfmade = identity_new(
		&(struct identity_request){.cn = "selfmade", .constraints = "critical,CA:FALSE"});
	large = identity_new(
		&(struct identity_request){.cn = "large", .issuer = &root, .fill_bytes = 20000});
}

static int setup_auth(void **state)
{
	static const long serials[] = {666, 0};

	setup(state);
	root = identity_new(&(struct identity_request){.cn = "Root"});
	middle = identity_new(&(struct identity_request){
		.cn = "Middle", .issuer = &root, .constraints = "critical,CA:TRUE"});
	second = identity_new(&(struct identity_request){
		.cn = "Second", .issuer = &middle, .constraints = "critical,CA:TRUE"});
	stranger_ca = identity_new(&(struct identity_request){.cn = "Stranger CA"});
	make_clients();
	trust = load_trust(NULL);
	trust_revoking = load_trust(write_crl(&pki, "root.crl",
		crl_new(&(struct crl_request){.issuer = &root, .serials = serials})));
	return 0;
}

static int teardown_auth(void **state)
{
	struct identity *const all[] = {&root, &middle, &second, &stranger_ca, &good, &expired,
		&young, &revoked, &stranger, &server_only, &deep, &ancient, &weak, &selfmade,
		&large};

	for (size_t i = 0; i < array_len(all); i++)
		identity_free(all[i]);
	tls_trust_put(trust);
	tls_trust_put(trust_revoking);
	return teardown(state);
}

static void serve(const struct tls_client_auth_spec *auth)
{
	struct tls_server_spec spec = {.tickets = tickets, .client_auth = *auth};

	if (!spec.client_auth.trust && auth->mode != TLS_CLIENT_AUTH_PASSTHROUGH)
		spec.client_auth.trust = trust_revoking;
	if (server)
		tls_server_put(server);
	server = new_server(&spec);
}

static void show(struct peer *peer, const struct identity *identity)
{
	const struct identity *const chain[] = {&middle, &second};

	if (!identity)
		return;
	assert_true(SSL_CTX_use_certificate(peer->ctx, identity->cert));
	assert_true(SSL_CTX_use_PrivateKey(peer->ctx, identity->key));
	for (size_t i = 0; i < array_len(chain); i++)
		if (identity != &large) /* alone */
			assert_true(SSL_CTX_add1_chain_cert(peer->ctx, chain[i]->cert));
}

static SSL_SESSION *kept;

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

/* The handshake of a client that shows `identity`; what the server says. */
static int try(struct peer *peer, const struct identity *identity, int version)
{
	int fds[2];

	serve_fd(fds);
	peer_open(peer, fds[1]);
	SSL_CTX_set_security_level(peer->ctx, 0);
	SSL_CTX_set_max_proto_version(peer->ctx, version);
	SSL_CTX_set_session_cache_mode(
		peer->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(peer->ctx, keep_session);
	show(peer, identity);
	peer_start(peer);
	if (kept)
		assert_true(SSL_set_session(peer->ssl, kept));
	return peer_shake_hands(peer);
}

static void end(struct peer *peer)
{
	s->ops->close(s, false);
	s = NULL;
	peer_close(peer);
	turn();
}

static void is_let_in(const struct identity *identity, int version, const char *subject)
{
	struct tls_stream_facts facts;
	struct peer peer;

	assert_int_equal(try(&peer, identity, version), 0);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "none");
	exchange(&peer);
	tls_stream_facts(s, &facts);
	if (subject) {
		assert_non_null(facts.peer);
		assert_int_equal(facts.peer->subject.len, strlen(subject));
		assert_memory_equal(facts.peer->subject.ptr, subject, strlen(subject));
	} else {
		assert_null(facts.peer);
	}
	end(&peer);
	forget_session();
}

/* By this failure, and the client reads that alert. */
static void is_turned_away(
	const struct identity *identity, int version, const char *failure, int alert)
{
	struct tls_stream_facts facts;
	struct peer peer;
	char byte;
	int r = try(&peer, identity, version);

	assert_int_equal(r, -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), failure);
	tls_stream_facts(s, &facts);
	assert_int_equal(facts.alert, alert);
	assert_false(facts.was_alerted);
	ERR_clear_error();
	if (SSL_do_handshake(peer.ssl) == 1)
		assert_true(SSL_read(peer.ssl, &byte, 1) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
	ERR_clear_error();
	end(&peer);
	forget_session();
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void verify_mode(void **state)
{
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	for (size_t i = 0; i < array_len(versions); i++) {
		int v = versions[i];

		is_let_in(&good, v, "CN=good");
		is_turned_away(NULL, v, "client_cert_missing",
			v == TLS1_3_VERSION ? SSL_AD_CERTIFICATE_REQUIRED
					    : SSL_AD_HANDSHAKE_FAILURE);
		is_turned_away(&expired, v, "client_cert_expired", SSL_AD_CERTIFICATE_EXPIRED);
		is_turned_away(&young, v, "client_cert_not_yet_valid", SSL_AD_BAD_CERTIFICATE);
		is_turned_away(&revoked, v, "client_cert_revoked", SSL_AD_CERTIFICATE_REVOKED);
		is_turned_away(&stranger, v, "client_cert_untrusted", SSL_AD_UNKNOWN_CA);
		is_turned_away(&selfmade, v, "client_cert_untrusted", SSL_AD_UNKNOWN_CA);
		is_turned_away(
			&server_only, v, "client_cert_purpose", SSL_AD_UNSUPPORTED_CERTIFICATE);
		is_turned_away(&ancient, v, "client_cert_unsupported", SSL_AD_BAD_CERTIFICATE);
		is_turned_away(&weak, v, "client_cert_unsupported", SSL_AD_BAD_CERTIFICATE);
		is_let_in(&deep, v, "CN=deep");
		is_let_in(&large, v, "CN=large");
	}
}

/* A Certificate message has a limit; what is larger is not read. */
static void size_is_limited(void **state)
{
	struct identity huge = identity_new(
		&(struct identity_request){.cn = "huge", .issuer = &root, .fill_bytes = 40000});

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
	for (size_t i = 0; i < array_len(versions); i++) {
		struct peer peer;

		assert_int_equal(try(&peer, &huge, versions[i]), -EPROTO);
		assert_string_equal(
			tls_failure_name(tls_stream_failure(s)), "client_cert_too_large");
		end(&peer);
		forget_session();
	}
	identity_free(&huge);
}

/* With a subject of so many bytes that are no ASCII. */
static struct identity client_with_long_name(int bytes)
{
	struct identity made = client_of(&root, "long");
	X509_NAME *name = X509_NAME_new();
	uint8_t *text = malloc((size_t)bytes);

	memset(text, 0xe9, (size_t)bytes);
	assert_true(X509_NAME_add_entry_by_NID(
		name, NID_commonName, V_ASN1_T61STRING, text, 60, -1, 0));
	assert_true(X509_NAME_ENTRY_set_data(
		X509_NAME_get_entry(name, 0), V_ASN1_T61STRING, text, bytes));
	assert_true(X509_set_subject_name(made.cert, name));
	assert_true(X509_sign(made.cert, root.key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	free(text);
	return made;
}

/* A target must not see a name that is cut, nor we keep any length of it. */
static void names_are_limited(void **state)
{
	struct identity wordy = client_with_long_name(20000);
	struct tls_stream_facts facts;

	for (size_t i = 0; i < array_len(versions); i++) {
		struct peer peer;

		serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_OPTIONAL});
		is_turned_away(
			&wordy, versions[i], "client_cert_too_large", SSL_AD_BAD_CERTIFICATE);
		serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
		assert_int_equal(try(&peer, &wordy, versions[i]), 0);
		tls_stream_facts(s, &facts);
		assert_int_equal(facts.peer->subject.len, 0);
		assert_in_range(facts.peer->chain.len, 20000, 40000);
		end(&peer);
		forget_session();
	}
	identity_free(&wordy);
}

/* What is kept while a refused client is listened to: texts for the log. */
static void little_is_kept_of_the_refused(void **state)
{
	struct tls_stream_facts facts;
	struct peer peer;

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	assert_int_equal(try(&peer, &expired, TLS1_3_VERSION), -EPROTO);
	assert_null(tls_stream_of(s)->ssl);
	tls_stream_facts(s, &facts);
	assert_true(slice_eq(facts.peer->subject, SLICE("CN=expired")));
	assert_true(facts.peer->serial.len && facts.peer->validity.len);
	assert_int_equal(facts.peer->leaf.len + facts.peer->chain.len, 0);
	assert_int_equal(facts.alert, SSL_AD_CERTIFICATE_EXPIRED);
	assert_string_equal(facts.version, "TLSv1.3");
	end(&peer);
}

/* Five primes: a key of two would take minutes to make. */
static EVP_PKEY *large_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	assert_true(EVP_PKEY_keygen_init(ctx) > 0);
	assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 8704) > 0);
	assert_true(EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, 5) > 0);
	assert_true(EVP_PKEY_generate(ctx, &key) > 0);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void keys_are_limited(void **state)
{
	struct identity slow = client_of(&root, "slow");

	EVP_PKEY_free(slow.key);
	slow.key = large_key();
	assert_true(X509_set_pubkey(slow.cert, slow.key));
	assert_true(X509_sign(slow.cert, root.key, EVP_sha256()) > 0);
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
	is_turned_away(&slow, TLS1_3_VERSION, "client_cert_unsupported", SSL_AD_BAD_CERTIFICATE);
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	is_turned_away(&slow, TLS1_2_VERSION, "client_cert_unsupported", SSL_AD_BAD_CERTIFICATE);
	identity_free(&slow);
}

static void depth_is_limited(void **state)
{
	for (size_t i = 0; i < array_len(versions); i++) {
		int v = versions[i];

		serve(&(struct tls_client_auth_spec){
			.mode = TLS_CLIENT_AUTH_VERIFY, .max_depth = 3});
		is_let_in(&deep, v, "CN=deep"); /* Second, Middle, Root */
		serve(&(struct tls_client_auth_spec){
			.mode = TLS_CLIENT_AUTH_VERIFY, .max_depth = 2});
		is_let_in(&good, v, "CN=good");
		is_turned_away(&deep, v, "client_cert_too_deep", SSL_AD_UNKNOWN_CA);
		serve(&(struct tls_client_auth_spec){
			.mode = TLS_CLIENT_AUTH_VERIFY, .max_depth = 1});
		is_turned_away(&good, v, "client_cert_too_deep", SSL_AD_UNKNOWN_CA);
	}
}

/* The usual bundle has the root and the CA below it: the CRL of the root is about that one. */
static void a_revoked_ca_of_the_bundle_lets_nobody_in(void **state)
{
	const long serials[] = {(long)ASN1_INTEGER_get(X509_get0_serialNumber(middle.cert)), 0};
	X509 *const cas[] = {root.cert, middle.cert, NULL};
	const char *crl = write_crl(&pki, "middle-is-revoked.crl",
		crl_new(&(struct crl_request){.issuer = &root, .serials = serials}));
	struct tls_trust_spec spec = {
		.ca_path = write_certs(&pki, "both.pem", cas), .crl_paths = &crl, .n_crls = 1};
	struct identity of_root = client_of(&root, "of root");
	struct tls_trust *both;
	struct err err = {""};

	assert_int_equal(tls_trust_load(&spec, &both, &err), 0);
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY, .trust = both});
	for (size_t i = 0; i < array_len(versions); i++) {
		is_turned_away(
			&good, versions[i], "client_cert_revoked", SSL_AD_CERTIFICATE_REVOKED);
		is_turned_away(
			&deep, versions[i], "client_cert_revoked", SSL_AD_CERTIFICATE_REVOKED);
		is_let_in(&of_root, versions[i], "CN=of root");
	}
	tls_trust_put(both);
	identity_free(&of_root);
}

static void optional_mode(void **state)
{
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_OPTIONAL});
	for (size_t i = 0; i < array_len(versions); i++) {
		is_let_in(NULL, versions[i], NULL);
		is_let_in(&good, versions[i], "CN=good");
		is_turned_away(
			&expired, versions[i], "client_cert_expired", SSL_AD_CERTIFICATE_EXPIRED);
		is_turned_away(&stranger, versions[i], "client_cert_untrusted", SSL_AD_UNKNOWN_CA);
	}
}

static void passthrough_mode(void **state)
{
	struct identity *const all[] = {&good, &expired, &young, &revoked, &stranger, &selfmade};

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
	for (size_t i = 0; i < array_len(versions); i++) {
		char subject[64];

		is_let_in(NULL, versions[i], NULL);
		for (size_t j = 0; j < array_len(all); j++) {
			X509_NAME *name = X509_get_subject_name(all[j]->cert);

			strcpy(subject, "CN=");
			X509_NAME_get_text_by_NID(name, NID_commonName, subject + 3, 60);
			is_let_in(all[j], versions[i], subject);
		}
	}
}

static void expiry_can_be_ignored(void **state)
{
	serve(&(struct tls_client_auth_spec){
		.mode = TLS_CLIENT_AUTH_VERIFY, .ignore_expiry = true});
	for (size_t i = 0; i < array_len(versions); i++) {
		is_let_in(&good, versions[i], "CN=good");
		is_let_in(&expired, versions[i], "CN=expired");
		is_let_in(&young, versions[i], "CN=young");
		is_turned_away(
			&revoked, versions[i], "client_cert_revoked", SSL_AD_CERTIFICATE_REVOKED);
		is_turned_away(&stranger, versions[i], "client_cert_untrusted", SSL_AD_UNKNOWN_CA);
	}
}

/* An expired CA in between is no matter of the client's. */
static void expiry_of_a_ca_is_not_ignored(void **state)
{
	struct identity old = identity_new(&(struct identity_request){.cn = "Old CA",
		.issuer = &root,
		.constraints = "critical,CA:TRUE",
		.from_s = -9 * PKI_DAY_S,
		.to_s = -PKI_DAY_S});
	struct identity client_old = client_of(&old, "old");
	struct identity swap = middle;

	serve(&(struct tls_client_auth_spec){
		.mode = TLS_CLIENT_AUTH_VERIFY, .ignore_expiry = true});
	middle = old; /* what clients send along */
	is_turned_away(
		&client_old, TLS1_3_VERSION, "client_cert_expired", SSL_AD_CERTIFICATE_EXPIRED);
	middle = swap;
	identity_free(&client_old);
	identity_free(&old);
}

static size_t names_seen;

static int note_names(SSL *ssl, X509 **ret_cert, EVP_PKEY **ret_key)
{
	STACK_OF(X509_NAME) *names = SSL_get_client_CA_list(ssl);

	names_seen = names ? (size_t)sk_X509_NAME_num(names) : 0;
	return 0;
}

static size_t advertised(const struct tls_client_auth_spec *auth)
{
	struct peer peer;
	int fds[2];

	serve(auth);
	names_seen = 99;
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	SSL_CTX_set_client_cert_cb(peer.ctx, note_names);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	end(&peer);
	return names_seen;
}

static void names_are_advertised_when_asked(void **state)
{
	struct tls_client_auth_spec auth = {.mode = TLS_CLIENT_AUTH_OPTIONAL};

	assert_int_equal(advertised(&auth), 0);
	auth.advertise_ca_names = true;
	assert_int_equal(advertised(&auth), 1);
}

static void mode_off_asks_for_nothing(void **state)
{
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_OFF, .trust = trust});
	is_let_in(&good, TLS1_3_VERSION, NULL);
	is_let_in(NULL, TLS1_2_VERSION, NULL);
}

/* --- what is handed on */
static void starts_with(struct slice text, const char *what)
{
	assert_true(text.len > strlen(what));
	assert_memory_equal(text.ptr, what, strlen(what));
}

static size_t count(struct slice text, const char *what)
{
	size_t n = 0;
	const char *at = text.ptr, *end = text.ptr + text.len;

	while ((at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
		n++;
		at += strlen(what);
	}
	return n;
}

/* The certificate that URL-encoded PEM stands for. */
static X509 *decode(struct slice text)
{
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned int code;
	X509 *cert;
	size_t i;

	for (i = 0; i < text.len; i++) {
		char byte = text.ptr[i];

		assert_true(byte > ' ' && byte < 0x7f);
		if (byte == '%') {
			assert_int_equal(sscanf(text.ptr + i + 1, "%2X", &code), 1);
			byte = (char)code;
			i += 2;
		}
		assert_int_equal(BIO_write(bio, &byte, 1), 1);
	}
	cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(cert);
	BIO_free(bio);
	return cert;
}

static void texts_of_a_verified_certificate(void **state)
{
	struct tls_stream_facts facts;
	struct peer peer;
	X509 *cert;

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	assert_int_equal(try(&peer, &revoked, TLS1_3_VERSION), -EPROTO);
	tls_stream_facts(s, &facts); /* for the log */
	assert_int_equal(facts.peer->serial.len, 4);
	assert_memory_equal(facts.peer->serial.ptr, "029A", 4);
	end(&peer);
	assert_int_equal(try(&peer, &good, TLS1_3_VERSION), 0);
	tls_stream_facts(s, &facts);
	assert_int_equal(facts.peer->issuer.len, strlen("CN=Middle"));
	assert_memory_equal(facts.peer->issuer.ptr, "CN=Middle", strlen("CN=Middle"));
	starts_with(facts.peer->validity, "NotBefore=20");
	assert_int_equal(count(facts.peer->validity, "Z;NotAfter=20"), 1);
	starts_with(facts.peer->leaf, "-----BEGIN%20CERTIFICATE-----%0AMII");
	assert_int_equal(facts.peer->chain.len, 0);
	cert = decode(facts.peer->leaf);
	assert_int_equal(X509_cmp(cert, good.cert), 0);
	X509_free(cert);
	end(&peer);
	forget_session();
}

static void texts_of_a_passed_chain(void **state)
{
	struct tls_stream_facts facts;
	struct peer peer;
	X509 *cert;

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
	assert_int_equal(try(&peer, &good, TLS1_3_VERSION), 0);
	tls_stream_facts(s, &facts);
	assert_int_equal(facts.peer->leaf.len, 0);
	assert_int_equal(count(facts.peer->chain, "-----BEGIN%20CERTIFICATE-----"), 3);
	cert = decode(facts.peer->chain);
	assert_int_equal(X509_cmp(cert, good.cert), 0);
	X509_free(cert);
	end(&peer);
	forget_session();
}

/* Nothing of a name can end a header's line. */
static void names_are_escaped(void **state)
{
	struct identity odd = client_of(&root, "a\r\nX-Forged: 1,\xc3\xa9");
	struct tls_stream_facts facts;
	struct peer peer;

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	assert_int_equal(try(&peer, &odd, TLS1_3_VERSION), 0);
	tls_stream_facts(s, &facts);
	for (size_t i = 0; i < facts.peer->subject.len; i++)
		assert_in_range(facts.peer->subject.ptr[i], 0x20, 0x7e);
	end(&peer);
	forget_session();
	identity_free(&odd);
}

/* --- resumption */
static bool resumes(const struct identity *identity, int version, const char *subject)
{
	struct tls_stream_facts facts;
	struct peer peer;
	bool resumed;

	assert_int_equal(try(&peer, identity, version), 0);
	exchange(&peer);
	tls_stream_facts(s, &facts);
	resumed = facts.resumed;
	assert_int_equal(facts.peer != NULL, subject != NULL);
	if (subject) {
		assert_int_equal(facts.peer->subject.len, strlen(subject));
		assert_memory_equal(facts.peer->subject.ptr, subject, strlen(subject));
	}
	SSL_shutdown(peer.ssl);
	end(&peer);
	return resumed;
}

static void a_session_keeps_its_certificate(void **state)
{
	struct tls_client_auth_spec auth = {.mode = TLS_CLIENT_AUTH_VERIFY};

	for (size_t i = 0; i < array_len(versions); i++) {
		serve(&auth);
		assert_false(resumes(&good, versions[i], "CN=good"));
		assert_true(resumes(&good, versions[i], "CN=good"));
		serve(&auth); /* a reload that changes nothing of it */
		assert_true(resumes(&good, versions[i], "CN=good"));
		forget_session();
	}
}

/* From `before` to `after` nothing is resumed. */
static void ends_resumption(
	const struct tls_client_auth_spec *before, const struct tls_client_auth_spec *after)
{
	for (size_t i = 0; i < array_len(versions); i++) {
		serve(before);
		resumes(&good, versions[i], before->mode ? "CN=good" : NULL);
		assert_true(resumes(&good, versions[i], before->mode ? "CN=good" : NULL));
		serve(after);
		assert_false(resumes(&good, versions[i], after->mode ? "CN=good" : NULL));
		forget_session();
	}
}

static void a_change_of_trust_ends_resumption(void **state)
{
	const struct tls_client_auth_spec
		off = {0},
		verify = {.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust},
		revoking = {.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust_revoking},
		shallow = {.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust, .max_depth = 2},
		lenient = {.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust, .ignore_expiry = true},
		optional = {.mode = TLS_CLIENT_AUTH_OPTIONAL, .trust = trust};

	ends_resumption(&off, &verify);
	ends_resumption(&optional, &verify);
	ends_resumption(&verify, &revoking);
	ends_resumption(&verify, &shallow);
	ends_resumption(&lenient, &verify);
}

static void a_session_ends_with_its_certificate(void **state)
{
	struct identity brief = identity_new(&(struct identity_request){
		.cn = "brief", .issuer = &root, .from_s = -PKI_DAY_S, .to_s = 2});
	time_t over = X509_cmp_current_time(X509_get0_notAfter(brief.cert));

	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_VERIFY});
	assert_true(over > 0);
	assert_false(resumes(&brief, TLS1_3_VERSION, "CN=brief"));
	while (X509_cmp_current_time(X509_get0_notAfter(brief.cert)) > 0)
		usleep(20000);
	is_turned_away(&brief, TLS1_3_VERSION, "client_cert_expired", SSL_AD_CERTIFICATE_EXPIRED);
	identity_free(&brief);
}

/* A CA between it and the root ends first; that of its own certificate may be ignored, not that. */
static void a_session_ends_with_its_ca(void **state)
{
	struct identity brief = identity_new(&(struct identity_request){.cn = "Brief CA",
		.issuer = &root,
		.constraints = "critical,CA:TRUE",
		.from_s = -PKI_DAY_S,
		.to_s = 3});
	struct identity client_brief = client_of(&brief, "brief"), swap = middle;
	int resumed = 0;

	middle = brief; /* what clients send along */
	serve(&(struct tls_client_auth_spec){
		.mode = TLS_CLIENT_AUTH_VERIFY, .ignore_expiry = true});
	assert_false(resumes(&client_brief, TLS1_3_VERSION, "CN=brief"));
	while (X509_cmp_current_time(X509_get0_notAfter(brief.cert)) > 0) {
		resumed += resumes(&client_brief, TLS1_3_VERSION, "CN=brief");
		usleep(20000);
	}
	assert_true(resumed > 0);
	is_turned_away(
		&client_brief, TLS1_3_VERSION, "client_cert_expired", SSL_AD_CERTIFICATE_EXPIRED);
	middle = swap;
	identity_free(&client_brief);
	identity_free(&brief);
}

/* A ticket could not hold the chain that the target is to have. */
static void a_passed_chain_is_not_resumed(void **state)
{
	serve(&(struct tls_client_auth_spec){.mode = TLS_CLIENT_AUTH_PASSTHROUGH});
	for (size_t i = 0; i < array_len(versions); i++) {
		assert_false(resumes(&good, versions[i], "CN=good"));
		assert_false(resumes(&good, versions[i], "CN=good"));
		forget_session();
		assert_false(resumes(&large, versions[i], "CN=large")); /* alone, but too large */
		assert_false(resumes(&large, versions[i], "CN=large"));
		forget_session();
		resumes(NULL, versions[i], NULL);
		assert_true(resumes(NULL, versions[i], NULL));
		forget_session();
	}
}

static void tightening_is_seen(void **state)
{
	const struct tls_client_auth_spec specs[] = {
		{0},
		{.mode = TLS_CLIENT_AUTH_OPTIONAL, .trust = trust},
		{.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust},
		{.mode = TLS_CLIENT_AUTH_PASSTHROUGH},
		{.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust_revoking},
		{.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust, .ignore_expiry = true},
		{.mode = TLS_CLIENT_AUTH_VERIFY, .trust = trust, .max_depth = 2},
	};
	static const char expected[7][8] = {/* to: off opt ver pass revoking lenient shallow */
		"0010111", "0010111", "0000101", "0110111", "0000001", "0110101", "0000100"};
	struct tls_server *made[7];

	for (size_t i = 0; i < 7; i++)
		made[i] = new_server(&(struct tls_server_spec){.client_auth = specs[i]});
	for (size_t i = 0; i < 7; i++)
		for (size_t j = 0; j < 7; j++)
			if (tls_server_is_tighter(made[i], made[j]) != (expected[i][j] == '1'))
				fail_msg("from %zu to %zu", i, j);
	for (size_t i = 0; i < 7; i++)
		tls_server_put(made[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(verify_mode, close_all),
		cmocka_unit_test_teardown(size_is_limited, close_all),
		cmocka_unit_test_teardown(names_are_limited, close_all),
		cmocka_unit_test_teardown(little_is_kept_of_the_refused, close_all),
		cmocka_unit_test_teardown(keys_are_limited, close_all),
		cmocka_unit_test_teardown(depth_is_limited, close_all),
		cmocka_unit_test_teardown(a_revoked_ca_of_the_bundle_lets_nobody_in, close_all),
		cmocka_unit_test_teardown(optional_mode, close_all),
		cmocka_unit_test_teardown(passthrough_mode, close_all),
		cmocka_unit_test_teardown(expiry_can_be_ignored, close_all),
		cmocka_unit_test_teardown(expiry_of_a_ca_is_not_ignored, close_all),
		cmocka_unit_test_teardown(names_are_advertised_when_asked, close_all),
		cmocka_unit_test_teardown(mode_off_asks_for_nothing, close_all),
		cmocka_unit_test_teardown(texts_of_a_verified_certificate, close_all),
		cmocka_unit_test_teardown(texts_of_a_passed_chain, close_all),
		cmocka_unit_test_teardown(names_are_escaped, close_all),
		cmocka_unit_test_teardown(a_session_keeps_its_certificate, close_all),
		cmocka_unit_test_teardown(a_change_of_trust_ends_resumption, close_all),
		cmocka_unit_test_teardown(a_session_ends_with_its_certificate, close_all),
		cmocka_unit_test_teardown(a_session_ends_with_its_ca, close_all),
		cmocka_unit_test_teardown(a_passed_chain_is_not_resumed, close_all),
		cmocka_unit_test(tightening_is_seen),
	};

	return cmocka_run_group_tests(tests, setup_auth, teardown_auth);
}
