/*
 * The client side: see client.h. Each worker keeps the last session of some peers (address and
 * name) in a small direct-mapped table of its own, so that connections to targets are resumed.
 */
#include "tls/client.h"

#include "core/clock.h"
#include "core/hash.h"
#include "core/mem.h"
#include "core/shared.h"
#include "tls/alpn.h"
#include "tls/cert.h"
#include "tls/cert_token.h"
#include "tls/context.h"
#include "tls/stream_state.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	SESSION_SLOTS = 32,
	SERVER_NAME_MAX = 253,
	SESSION_LIFE_S = 24 * 3600, /* from the full handshake: then the peer proves itself again */
};

struct session_slot {
	uint64_t peer; /* hash of address and name */
	SSL_SESSION *session;
	int64_t until_s; /* it is resumed no later, whoever renews it */
};

struct session_cache {
	struct session_slot slots[SESSION_SLOTS];
} cache_aligned;

struct tls_client {
	struct shared shared;
	SSL_CTX *ctx;
	struct alpn alpn;
	bool verify;
	enum tls_ktls ktls;
	char *server_name;
	struct hash_key hash_key;
	struct cert *cert; /* counted; NULL: none is shown */
	struct key *key; /* counted; NULL: its token has not opened it */
	uint32_t n_workers;
	struct session_cache *caches; /* one per worker, used by it alone */
};

static void client_free(struct shared *shared)
{
	struct tls_client *client = container_of(shared, struct tls_client, shared);
	uint32_t worker, i;

	for (worker = 0; client->caches && worker < client->n_workers; worker++)
		for (i = 0; i < SESSION_SLOTS; i++)
			SSL_SESSION_free(client->caches[worker].slots[i].session);
	free(client->caches);
	SSL_CTX_free(client->ctx);
	key_put(client->key);
	if (client->cert)
		cert_put(client->cert);
	alpn_fini(&client->alpn);
	free(client->server_name);
	shared_fini(shared);
	free(client);
}

/* The end of a certificate, unless that is later than `until_s`. */
static int64_t earlier(const X509 *cert, int64_t until_s)
{
	struct tm tm;
	int64_t end_s;

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm))
		return 0;
	end_s = timegm(&tm);
	return end_s < until_s ? end_s : until_s;
}

/* What was verified in the full handshake is not looked at again by resumption. */
static int64_t session_end(const struct tls_stream *ts)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(ts->ssl);
	int64_t until_s = clock_unix_s() + SESSION_LIFE_S;
	int i;

	if (SSL_session_reused(ts->ssl))
		return ts->session_until_s;
	for (i = 0; ts->client->verify && i < sk_X509_num(chain); i++)
		until_s = earlier(sk_X509_value(chain, i), until_s);
	return until_s;
}

static void keep(struct tls_stream *ts, SSL_SESSION *session)
{
	struct session_slot *slot =
		&ts->client->caches[ts->tls->io->worker].slots[ts->peer_hash % SESSION_SLOTS];

	SSL_SESSION_free(slot->session);
	*slot = (struct session_slot){ts->peer_hash, session, session_end(ts)};
}

/* Called by OpenSSL when a session can be resumed later. 1: we keep it. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_stream *ts = tls_bio_stream(ssl);

	if (!ts->peer_hash || !SSL_SESSION_is_resumable(session))
		return 0;
	keep(ts, session);
	return 1;
}

void tls_client_renewed(struct tls_stream *ts)
{
	SSL_SESSION *session = SSL_get1_session(ts->ssl);

	if (session && ts->peer_hash && SSL_SESSION_is_resumable(session))
		keep(ts, session);
	else
		SSL_SESSION_free(session);
}

static int load_trust(SSL_CTX *ctx, const struct tls_client_spec *spec, struct err *err)
{
	if (!spec->verify)
		return 0;
	if (!spec->ca_path)
		return SSL_CTX_set_default_verify_paths(ctx)
			       ? 0
			       : tls_context_failed(
					 err, "cannot load the system's CA certificates");
	if (SSL_CTX_load_verify_file(ctx, spec->ca_path))
		return 0;
	return err_context(
		err, tls_context_failed(err, spec->ca_path), "cannot load CA certificates");
}

/* Asked for a certificate; which one is shown is no question. */
static int note_asked(SSL *ssl, void *arg)
{
	tls_bio_stream(ssl)->was_cert_asked = true;
	return 1;
}

/* A key in a token that is away is shown when it is back: tls_client_is_current(). */
static int load_cert(struct tls_client *client, struct cert *cert, struct err *err)
{
	char name[CERT_NAME_BYTES];
	int r = cert_install_all(cert, client->ctx, &client->key, err);

	client->cert = cert_get(cert);

	return r < 0 ? err_context(err, r, "certificate %s cannot be shown to targets",
			       cert_name(cert, name))
		     : 0;
}

static int make_context(
	struct tls_client *client, const struct tls_client_spec *spec, struct err *err)
{
	const struct tls_policy *policy = spec->policy ? spec->policy : tls_policy_default();
	struct tls_policy offered;
	int r = tls_policy_check(policy, err);

	if (r < 0)
		return err_context(err, r, "security policy %s", policy->name);
	tls_policy_offered(policy, &offered);
	return tls_context_new(TLS_client_method(), &offered, &client->ctx, err);
}

static int set_up(struct tls_client *client, const struct tls_client_spec *spec, struct err *err)
{
	int r;

	client->verify = spec->verify;
	client->ktls = spec->ktls;
	client->server_name = spec->server_name ? mem_strdup(spec->server_name) : NULL;
	r = alpn_init(&client->alpn, spec->alpn, spec->n_alpn, err);
	if (r == 0)
		r = make_context(client, spec, err);
	if (r == 0)
		r = load_trust(client->ctx, spec, err);
	if (r == 0 && spec->cert)
		r = load_cert(client, spec->cert, err);
	if (r < 0)
		return r;
	if (client->alpn.n &&
		SSL_CTX_set_alpn_protos(client->ctx, client->alpn.wire, client->alpn.wire_len))
		return tls_context_failed(err, "cannot set up TLS");
	SSL_CTX_set_verify(client->ctx, spec->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(
		client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client->ctx, keep_session);
	SSL_CTX_set_cert_cb(client->ctx, note_asked, NULL);
	return 0;
}

int tls_client_new(
	const struct tls_client_spec *spec, struct tls_client **ret_client, struct err *err)
{
	struct tls_client *client = mem_zalloc(sizeof(*client));
	int r;

	shared_init(&client->shared, spec->n_workers, client_free);
	hash_random(&client->hash_key, sizeof(client->hash_key));
	client->n_workers = spec->n_workers;
	client->caches = aligned_alloc(CACHE_LINE, spec->n_workers * sizeof(*client->caches));
	if (!client->caches)
		abort();
	memset(client->caches, 0, spec->n_workers * sizeof(*client->caches));
	r = set_up(client, spec, err);
	if (r < 0) {
		tls_client_put(client);
		return err_context(err, r, "target group %s", spec->name);
	}
	*ret_client = client;
	return 0;
}

struct tls_client *tls_client_get(struct tls_client *client)
{
	shared_get(&client->shared);
	return client;
}

void tls_client_put(struct tls_client *client)
{
	shared_put(&client->shared);
}

struct ssl_ctx_st *tls_client_ctx(const struct tls_client *client)
{
	return client->ctx;
}

void tls_client_hold(struct tls_client *client, uint32_t worker)
{
	shared_hold(&client->shared, worker);
}

void tls_client_drop(struct tls_client *client, uint32_t worker)
{
	shared_drop(&client->shared, worker);
}

enum tls_ktls tls_client_ktls(const struct tls_client *client)
{
	return client->ktls;
}

bool tls_client_shows_cert(const struct tls_client *client)
{
	return client->key;
}

struct cert *tls_client_cert(const struct tls_client *client)
{
	return client->cert;
}

bool tls_client_is_current(const struct tls_client *client)
{
	return !client->cert || cert_token_has(client->cert, client->key);
}

const char *tls_client_alpn(const struct tls_client *client, const SSL *ssl)
{
	return alpn_agreed(&client->alpn, ssl);
}

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* An address is verified but never sent as a name (RFC 6066 3). */
int tls_client_prepare(struct tls_client *client, struct tls_stream *ts, const char *server_name)
{
	const char *name = server_name ? server_name : client->server_name;
	X509_VERIFY_PARAM *param = SSL_get0_param(ts->ssl);

	if (!name)
		return 0;
	if (strlen(name) > SERVER_NAME_MAX)
		return -EINVAL;
	ts->name_hash = hash_bytes(&client->hash_key, name, strlen(name));
	if (is_address(name))
		return !client->verify || X509_VERIFY_PARAM_set1_ip_asc(param, name) ? 0 : -ENOMEM;
	if (client->verify) {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if (!X509_VERIFY_PARAM_set1_host(param, name, 0))
			return -ENOMEM;
	}
	return SSL_set_tlsext_host_name(ts->ssl, name) ? 0 : -ENOMEM;
}

/* Address and port of the peer, and what it is verified against. 0: not connected. */
static uint64_t hash_peer(struct tls_stream *ts)
{
	struct {
		struct sockaddr_storage address;
		uint64_t name_hash;
	} peer = {.name_hash = ts->name_hash};
	socklen_t len = sizeof(peer.address);

	if (getpeername(ts->base.watch.fd, (struct sockaddr *)&peer.address, &len) < 0)
		return 0;
	return hash_bytes(&ts->client->hash_key, &peer, sizeof(peer)) | 1;
}

void tls_client_resume(struct tls_stream *ts)
{
	struct session_slot *slot;

	if (ts->peer_hash)
		return;
	ts->peer_hash = hash_peer(ts);
	if (!ts->peer_hash)
		return;
	slot = &ts->client->caches[ts->tls->io->worker].slots[ts->peer_hash % SESSION_SLOTS];
	if (slot->peer != ts->peer_hash || !slot->session || clock_unix_s() >= slot->until_s ||
		!SSL_SESSION_is_resumable(slot->session))
		return;
	ts->session_until_s = slot->until_s;
	SSL_set_session(ts->ssl, slot->session);
}
