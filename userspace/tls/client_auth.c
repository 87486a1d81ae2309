/* Certificates of clients: see client_auth.h. */
#include "tls/client_auth.h"

#include "tls/context.h"
#include "tls/keys.h"
#include "tls/peer.h"
#include "tls/stream_state.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* A ticket holds the client's certificate, and must fit into the client's next hello. */
enum { TICKET_CERT_BYTES_MAX = 4 * 1024 };

static struct tls_stream *stream_of_store(X509_STORE_CTX *store)
{
	return tls_bio_stream(
		X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
}

/* OpenSSL asks about each thing it finds wrong. */
static int forgive_expiry(int ok, X509_STORE_CTX *store)
{
	int error = X509_STORE_CTX_get_error(store);

	if (ok || X509_STORE_CTX_get_error_depth(store) != 0 ||
		(error != X509_V_ERR_CERT_HAS_EXPIRED && error != X509_V_ERR_CERT_NOT_YET_VALID))
		return ok;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

/* All of it: a chain ends at the first CA of the bundle, and that may be one which another CA of the
 * bundle has revoked. */
static bool is_chain_revoked(const struct tls_trust *trust, X509_STORE_CTX *store)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
	int i;

	for (i = 0; i < sk_X509_num(chain); i++)
		if (tls_trust_is_revoked(trust, sk_X509_value(chain, i))) {
			X509_STORE_CTX_set_error_depth(store, i);
			return true;
		}
	return false;
}

static int judge(const struct client_auth *auth, X509_STORE_CTX *store)
{
	if (X509_get_version(X509_STORE_CTX_get0_cert(store)) != X509_VERSION_3) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	if (tls_context_verify(store, NULL) <= 0) {
		if (X509_STORE_CTX_get_error(store) == X509_V_OK)
			X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
		return 0;
	}
	if (!is_chain_revoked(auth->spec.trust, store))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

/* A ticket has the client's own certificate only: the target of a chain would miss the others. */
static bool is_ticket_worth_it(const struct client_auth *auth, X509_STORE_CTX *store)
{
	if (i2d_X509(X509_STORE_CTX_get0_cert(store), NULL) > TICKET_CERT_BYTES_MAX)
		return false;
	return auth->spec.mode != TLS_CLIENT_AUTH_PASSTHROUGH ||
	       sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) <= 1;
}

/* A key that is larger than ours may be costs a worker milliseconds to check a signature by. */
static bool is_key_too_large(const X509 *leaf)
{
	const EVP_PKEY *key = X509_get0_pubkey(leaf);

	return key && EVP_PKEY_get_bits(key) > KEY_RSA_BITS_MAX;
}

static bool is_good(const struct client_auth *auth, struct tls_stream *ts, X509_STORE_CTX *store)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	if (is_key_too_large(leaf)) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return false;
	}
	if (auth->spec.mode == TLS_CLIENT_AUTH_PASSTHROUGH)
		return true;
	if (tls_peer_has_long_names(leaf)) { /* a target must not see one that is cut */
		ts->failure = TLS_FAILURE_client_cert_too_large;
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return false;
	}
	return judge(auth, store);
}

/* Instead of OpenSSL's own verification. The texts are for the log, too, whatever the verdict. */
static int verify_chain(X509_STORE_CTX *store, void *arg)
{
	const struct client_auth *auth = arg;
	struct tls_stream *ts = stream_of_store(store);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	bool good = is_good(auth, ts, store);

	if (!is_ticket_worth_it(auth, store))
		SSL_set_num_tickets(ts->ssl, 0);
	tls_peer_free(ts->peer);
	if (!good)
		ts->peer = tls_peer_new_brief(leaf);
	else if (auth->spec.mode == TLS_CLIENT_AUTH_PASSTHROUGH)
		ts->peer = tls_peer_new(leaf, X509_STORE_CTX_get0_untrusted(store));
	else
		ts->peer = tls_peer_new(leaf, NULL);
	if (good && !ts->peer) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
		return 0;
	}
	return good;
}

/* --- resumption */
static bool is_over(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notAfter(cert)) < 0 ||
	       X509_cmp_current_time(X509_get0_notBefore(cert)) > 0;
}

/* The session id context has seen to the listener's settings and the contents of the trust store;
 * what is left is time. */
bool client_auth_may_resume(const struct client_auth *auth, const SSL_SESSION *session)
{
	const X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)session);
	bool verifies = auth->spec.mode != TLS_CLIENT_AUTH_PASSTHROUGH;

	if (!cert)
		return auth->spec.mode != TLS_CLIENT_AUTH_VERIFY;
	return !verifies || auth->spec.ignore_expiry || !is_over(cert);
}

bool client_auth_note_resumed(struct tls_stream *ts)
{
	X509 *cert = SSL_get0_peer_certificate(ts->ssl);
	STACK_OF(X509) * alone;

	if (ts->peer || !cert)
		return true;
	if (tls_server_auth(ts->server)->spec.mode != TLS_CLIENT_AUTH_PASSTHROUGH) {
		ts->peer = tls_peer_new(cert, NULL);
		return ts->peer;
	}
	alone = sk_X509_new_null();
	if (alone && sk_X509_push(alone, cert))
		ts->peer = tls_peer_new(cert, alone);
	sk_X509_free(alone);
	return ts->peer;
}

/* --- setting up */
static size_t names_bytes(const STACK_OF(X509_NAME) * names)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < sk_X509_NAME_num(names); i++)
		bytes += (size_t)i2d_X509_NAME(sk_X509_NAME_value(names, i), NULL) + 2;
	return bytes;
}

static int advertise(const struct client_auth *auth, SSL_CTX *ctx, struct err *err)
{
	STACK_OF(X509_NAME) *names = tls_trust_ca_names(auth->spec.trust);
	size_t bytes;

	if (!names)
		return tls_context_failed(err, "cannot advertise the names of CAs");
	bytes = names_bytes(names);
	if (bytes > CLIENT_AUTH_NAMES_BYTES_MAX) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return err_set(err, -EFBIG,
			"the names of the CAs have %zu bytes: %d fit into a handshake", bytes,
			CLIENT_AUTH_NAMES_BYTES_MAX);
	}
	SSL_CTX_set0_CA_list(ctx, names);
	return 0;
}

static int set_trust(const struct client_auth *auth, SSL_CTX *ctx, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	/* OpenSSL counts the CAs between the client's certificate and the trusted one. A CA of the
	 * store is trusted whether it is a root or not. */
	X509_VERIFY_PARAM_set_depth(param, (int)auth->spec.max_depth - 1);
	if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) ||
		!SSL_CTX_set1_verify_cert_store(ctx, tls_trust_store(auth->spec.trust)))
		return tls_context_failed(err, "cannot set up the trust store");
	return auth->spec.advertise_ca_names ? advertise(auth, ctx, err) : 0;
}

int client_auth_init(struct client_auth *auth, const struct tls_client_auth_spec *spec,
	SSL_CTX *ctx, struct err *err)
{
	int mode = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;

	auth->spec = *spec;
	if (!auth->spec.max_depth)
		auth->spec.max_depth = CLIENT_AUTH_DEPTH_DEFAULT;
	if (auth->spec.trust)
		tls_trust_get(auth->spec.trust);
	if (!client_auth_is_on(auth))
		return 0;
	if (spec->mode != TLS_CLIENT_AUTH_PASSTHROUGH && !spec->trust)
		return err_set(err, -EINVAL, "client certificates are verified by a trust store");
	if (spec->mode == TLS_CLIENT_AUTH_VERIFY)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, spec->ignore_expiry ? forgive_expiry : NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_chain, auth);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_AUTH_BYTES_MAX);
	return spec->mode == TLS_CLIENT_AUTH_PASSTHROUGH ? 0 : set_trust(auth, ctx, err);
}

void client_auth_fini(struct client_auth *auth)
{
	tls_trust_put(auth->spec.trust);
	auth->spec.trust = NULL;
}

void client_auth_text(const struct client_auth *auth, char ret_text[static CLIENT_AUTH_TEXT_BYTES])
{
	const struct tls_client_auth_spec *spec = &auth->spec;
	const uint8_t *digest;
	int used, i;

	used = snprintf(ret_text, CLIENT_AUTH_TEXT_BYTES, "%d %u %d", (int)spec->mode,
		spec->max_depth, spec->ignore_expiry);
	if (!spec->trust)
		return;
	digest = tls_trust_facts(spec->trust)->digest;
	for (i = 0; i < TLS_TRUST_DIGEST_BYTES; i++)
		used += snprintf(
			ret_text + used, CLIENT_AUTH_TEXT_BYTES - (size_t)used, "%02x", digest[i]);
}

static bool verifies(const struct tls_client_auth_spec *spec)
{
	return spec->mode == TLS_CLIENT_AUTH_VERIFY || spec->mode == TLS_CLIENT_AUTH_OPTIONAL;
}

bool client_auth_is_tighter(const struct client_auth *before, const struct client_auth *now)
{
	const struct tls_client_auth_spec *old = &before->spec, *new = &now->spec;

	if (new->mode == TLS_CLIENT_AUTH_VERIFY && old->mode != TLS_CLIENT_AUTH_VERIFY)
		return true;
	if (!verifies(new))
		return false;
	if (!verifies(old)) /* whoever came showed none, or one that nobody looked at */
		return old->mode == TLS_CLIENT_AUTH_PASSTHROUGH;
	return new->max_depth < old->max_depth || (old->ignore_expiry && !new->ignore_expiry) ||
	       tls_trust_is_tighter(old->trust, new->trust);
}

/* While none was asked for, any number of trust stores may have come and gone. */
bool client_auth_is_another(const struct client_auth *before, const struct client_auth *now)
{
	const struct tls_client_auth_spec *old = &before->spec, *new = &now->spec;

	return client_auth_is_on(now) && old->mode != new->mode &&
	       !(verifies(old) && verifies(new));
}
