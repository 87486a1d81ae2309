/* The server side of a listener: see server.h. One SSL_CTX for all workers and certificates. */
#define LOG_MODULE "tls"
#include "tls/server.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/alpn.h"
#include "tls/cert_token.h"
#include "tls/certcache.h"
#include "tls/context.h"
#include "tls/hello.h"
#include "tls/resumption.h"
#include "tls/staple.h"
#include "tls/stream_state.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSED_MAX = 4, TICKET_LIFE_DEFAULT_S = 2 * 3600 };

struct tls_server {
	struct shared shared;
	SSL_CTX *ctx;
	struct certstore *certs;
	struct tls_tickets *tickets; /* NULL: no resumption */
	struct alpn alpn;
	struct tls_policy offered;
	char *token_ciphers; /* what is left of them with a key in a token; NULL: all */
	uint16_t security_bits;
	enum tls_ktls ktls;
	struct client_auth auth;
	struct resumption resumption;
};

static void server_free(struct shared *shared)
{
	struct tls_server *server = container_of(shared, struct tls_server, shared);

	SSL_CTX_free(server->ctx);
	client_auth_fini(&server->auth);
	certstore_put(server->certs);
	if (server->tickets)
		tls_tickets_put(server->tickets);
	alpn_fini(&server->alpn);
	free(server->token_ciphers);
	shared_fini(shared);
	free(server);
}

static void keep_name(struct tls_stream *ts, struct slice name)
{
	size_t i;

	free(ts->sni);
	ts->sni = NULL;
	if (!name.len || name.len > CERTSTORE_NAME_MAX)
		return;
	ts->sni = strndup(name.ptr, name.len);
	for (i = 0; ts->sni && ts->sni[i]; i++)
		if (ts->sni[i] >= 'A' && ts->sni[i] <= 'Z')
			ts->sni[i] = (char)(ts->sni[i] + ('a' - 'A'));
}

static bool is_same_name(const struct tls_stream *ts, struct slice name)
{
	if (!name.len || name.len > CERTSTORE_NAME_MAX)
		return !ts->sni;
	return ts->sni && slice_eq_nocase(slice_of(ts->sni), name);
}

/* What is good is parsed where it is installed. A key in a token may be gone since another worker
 * opened it: this one's is opened before the certificate is promised. */
static bool is_sure(const struct cert *cert)
{
	return cert_state(cert) == CERT_GOOD && !cert_is_in_token(cert);
}

/* One that nobody has looked at yet is checked before it is promised to anybody; a bad one marks
 * itself (or was marked by another thread just now), and the next look-up passes it over. NULL: there
 * is no other, no memory for it, or all of `max` were bad. */
static struct cert *choose_of(const struct tls_server *server, struct tls_stream *ts,
	struct slice name, const struct cert_offer *offer, unsigned int max)
{
	struct cert *cert;

	for (; max; max--) {
		cert = certstore_lookup(server->certs, name, offer);
		if (!cert || is_sure(cert) || certcache_find(ts->tls->certs, cert))
			return cert;
		if (cert_state(cert) != CERT_BAD)
			break;
	}
	return NULL;
}

/* However many bad ones have a name, a ClientHello pays for a few. */
static struct cert *choose_cert(const struct tls_server *server, struct tls_stream *ts,
	struct slice name, const struct cert_offer *offer)
{
	struct cert *cert = choose_of(server, ts, name, offer, PARSED_MAX);

	return cert ? cert : choose_of(server, ts, SLICE(""), offer, PARSED_MAX);
}

/* The certificate is chosen here because this is called on resumption, too; it is put into the
 * handshake only where one is sent (install_cert). */
static int client_hello_cb(SSL *ssl, int *ret_alert, void *arg)
{
	struct tls_server *server = arg;
	struct tls_stream *ts = tls_bio_stream(ssl);
	struct cert_offer offer = {
		.policy = &server->offered,
		.security_bits = server->security_bits,
		.now_unix_s = clock_unix_s(),
	};
	struct slice name;

	if (!hello_server_name(ssl, &name)) {
		*ret_alert = SSL_AD_DECODE_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	/* Behind a HelloRetryRequest it says the same (RFC 8446 section 4.1.2): by the first one it was let in. */
	if (ts->hello_seen && !is_same_name(ts, name)) {
		*ret_alert = SSL_AD_ILLEGAL_PARAMETER;
		return SSL_CLIENT_HELLO_ERROR;
	}
	ts->hello_seen = true;
	keep_name(ts, name);
	hello_offer(ssl, &offer);
	offer.version = hello_version(ssl, &server->offered);
	ts->cert = choose_cert(server, ts, name, &offer);
	if (!ts->cert) {
		*ret_alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Once for each certificate, with OpenSSL's reason. */
static void tell_refused(const struct cert *cert)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	char name[CERT_NAME_BYTES];

	log_error("certificate %s fails its handshakes: %s", cert_name(cert, name),
		reason ? reason : "refused by OpenSSL");
}

/* The list of TLS 1.3 is another one, and stays. */
static bool leave_out_transport(const struct tls_server *server, const struct cert *cert, SSL *ssl)
{
	return !server->token_ciphers || !cert_is_in_token(cert) ||
	       SSL_set_cipher_list(ssl, server->token_ciphers) == 1;
}

static int install_cert(SSL *ssl, void *arg)
{
	struct tls_stream *ts = tls_bio_stream(ssl);
	const struct cert_parsed *parsed = certcache_find(ts->tls->certs, ts->cert);

	if (parsed && leave_out_transport(ts->server, ts->cert, ssl) &&
		cert_install(parsed, ssl) == 0)
		return 1;
	if (parsed && cert_is_news(ts->cert))
		tell_refused(ts->cert);
	return 0;
}

/* The client has asked for it. A response is stapled as long as it is good, also when nobody came to
 * take it off. */
static int staple_cb(SSL *ssl, void *arg)
{
	const struct tls_stream *ts = tls_bio_stream(ssl);
	const struct staple *staple = ts->cert ? cert_staple(ts->cert) : NULL;
	uint8_t *copy;

	if (!staple || staple->next_update_unix_s <= clock_unix_s())
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(staple->der, staple->len);
	if (!copy || SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len) != 1) {
		OPENSSL_free(copy);
		return SSL_TLSEXT_ERR_NOACK;
	}
	return SSL_TLSEXT_ERR_OK;
}

static int choose_alpn(SSL *ssl, const uint8_t **ret_protocol, uint8_t *ret_len,
	const uint8_t *offered, unsigned int offered_len, void *arg)
{
	struct tls_server *server = arg;
	uint8_t *chosen;

	if (SSL_select_next_proto(&chosen, ret_len, server->alpn.wire, server->alpn.wire_len,
		    offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_protocol = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Sessions of one listener are not resumed on another: their trust settings may differ. Nor are they
 * under another policy: OpenSSL would go on with a cipher that is not allowed any more. */
static bool bind_sessions(struct tls_server *server, const char *name)
{
	const struct tls_policy *offered = &server->offered;
	char text[TLS_POLICY_LISTS * TLS_POLICY_TEXT_BYTES + CLIENT_AUTH_TEXT_BYTES + 256];
	uint8_t id[SHA256_DIGEST_LENGTH];
	enum tls_policy_list list;
	size_t used = (size_t)snprintf(text, sizeof(text), "%.*s %x %x", 200, name,
		offered->version_min, offered->version_max);

	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		text[used++] = ' ';
		tls_policy_list_text(offered, list, text + used);
		used += strlen(text + used);
	}
	client_auth_text(&server->auth, text + used);
	used += strlen(text + used);
	SHA256((const uint8_t *)text, used, id);
	return SSL_CTX_set_session_id_context(server->ctx, id, sizeof(id)) == 1;
}

static int set_tickets(
	struct tls_server *server, const struct tls_server_spec *spec, struct err *err)
{
	if (!spec->tickets) {
		SSL_CTX_set_options(server->ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(server->ctx, 0);
		return 0;
	}
	server->tickets = tls_tickets_get(spec->tickets);
	tls_tickets_attach(server->tickets, server->ctx);
	SSL_CTX_set_num_tickets(server->ctx, 1);
	SSL_CTX_set_timeout(
		server->ctx, spec->ticket_life_s ? spec->ticket_life_s : TICKET_LIFE_DEFAULT_S);
	server->resumption = (struct resumption){
		.auth = &server->auth,
		.age_max_s = spec->session_age_max_s ? spec->session_age_max_s
						     : RESUMPTION_AGE_DEFAULT_S,
	};
	return resumption_init(&server->resumption, server->ctx, err);
}

/* An empty list is none to OpenSSL: a cipher that no certificate is for stands in. */
static void note_token_ciphers(struct tls_server *server)
{
	char text[TLS_POLICY_TEXT_BYTES];
	struct tls_policy left = server->offered;

	if (!tls_policy_drop_transport(&left))
		return;
	tls_policy_list_text(&left, TLS_POLICY_CIPHERS, text);
	server->token_ciphers = mem_strdup(text[0] ? text : "PSK-AES128-GCM-SHA256");
}

static int take_policy(
	struct tls_server *server, const struct tls_server_spec *spec, struct err *err)
{
	struct tls_policy policy = spec->policy ? *spec->policy : *tls_policy_default();
	int r;

	if (!tls_policy_narrow(&policy, spec->version_min, spec->version_max))
		return err_set(err, -EINVAL,
			"the security policy %s has no version of TLS in that range", policy.name);
	r = tls_policy_check(&policy, err);
	if (r < 0)
		return err_context(err, r, "security policy %s", policy.name);
	tls_policy_offered(&policy, &server->offered);
	server->security_bits = tls_policy_security_bits(&server->offered);
	note_token_ciphers(server);
	return 0;
}

static int set_up(struct tls_server *server, const struct tls_server_spec *spec, struct err *err)
{
	SSL_CTX *ctx;
	int r;

	server->certs = certstore_get(spec->certs);
	r = alpn_init(&server->alpn, spec->alpn, spec->n_alpn, err);
	if (r == 0)
		r = take_policy(server, spec, err);
	if (r == 0)
		r = tls_context_new(TLS_server_method(), &server->offered, &server->ctx, err);
	if (r < 0)
		return r;
	ctx = server->ctx;
	r = client_auth_init(&server->auth, &spec->client_auth, ctx, err);
	if (r < 0)
		return r;
	if (!bind_sessions(server, spec->name))
		return tls_context_failed(err, "cannot set up TLS");
	server->ktls = spec->ktls;
	SSL_CTX_set_client_hello_cb(ctx, client_hello_cb, server);
	SSL_CTX_set_cert_cb(ctx, install_cert, NULL);
	SSL_CTX_set_tlsext_status_cb(ctx, staple_cb);
	SSL_CTX_set_info_callback(ctx, tls_note_alert);
	if (server->alpn.n)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, server);
	return set_tickets(server, spec, err);
}

int tls_server_new(
	const struct tls_server_spec *spec, struct tls_server **ret_server, struct err *err)
{
	struct tls_server *server = mem_zalloc(sizeof(*server));
	int r;

	shared_init(&server->shared, spec->n_workers, server_free);
	r = set_up(server, spec, err);
	if (r < 0) {
		tls_server_put(server);
		return err_context(err, r, "listener %s", spec->name);
	}
	*ret_server = server;
	return 0;
}

struct tls_server *tls_server_get(struct tls_server *server)
{
	shared_get(&server->shared);
	return server;
}

void tls_server_put(struct tls_server *server)
{
	shared_put(&server->shared);
}

struct ssl_ctx_st *tls_server_ctx(const struct tls_server *server)
{
	return server->ctx;
}

const struct client_auth *tls_server_auth(const struct tls_server *server)
{
	return &server->auth;
}

bool tls_server_is_tighter(const struct tls_server *before, const struct tls_server *now)
{
	return tls_policy_is_tighter(&before->offered, &now->offered) ||
	       client_auth_is_tighter(&before->auth, &now->auth);
}

bool tls_server_is_another_auth(const struct tls_server *before, const struct tls_server *now)
{
	return client_auth_is_another(&before->auth, &now->auth);
}

const struct tls_policy *tls_server_policy(const struct tls_server *server)
{
	return &server->offered;
}

enum tls_name_match tls_server_match_name(const struct tls_server *server, struct slice name)
{
	switch (certstore_match(server->certs, name)) {
	case CERTSTORE_EXACT:
		return TLS_NAME_EXACT;
	case CERTSTORE_WILDCARD:
		return TLS_NAME_WILDCARD;
	case CERTSTORE_NO_MATCH:
		break;
	}
	return TLS_NAME_UNKNOWN;
}

void tls_server_hold(struct tls_server *server, uint32_t worker)
{
	shared_hold(&server->shared, worker);
}

void tls_server_drop(struct tls_server *server, uint32_t worker)
{
	shared_drop(&server->shared, worker);
}

const char *tls_server_alpn(const struct tls_server *server, const SSL *ssl)
{
	return alpn_agreed(&server->alpn, ssl);
}

enum tls_ktls tls_server_ktls(const struct tls_server *server)
{
	return server->ktls;
}
