/* The server side of a listener: see server.h. One SSL_CTX for all workers and certificates. */
#include "tls/server.h"

#include "core/clock.h"
#include "core/mem.h"
#include "tls/alpn.h"
#include "tls/certstore.h"
#include "tls/context.h"
#include "tls/hello.h"
#include "tls/stream_state.h"
#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum { TICKET_LIFE_DEFAULT_S = 2 * 3600 };

struct tls_server {
	struct shared shared;
	SSL_CTX *ctx;
	struct certstore *certs;
	struct tls_tickets *tickets; /* NULL: no resumption */
	struct alpn alpn;
	bool has_tls13;
	enum tls_ktls ktls;
};

static void server_free(struct shared *shared)
{
	struct tls_server *server = container_of(shared, struct tls_server, shared);

	SSL_CTX_free(server->ctx);
	certstore_free(server->certs);
	if (server->tickets)
		tls_tickets_put(server->tickets);
	alpn_fini(&server->alpn);
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

/* The certificate is chosen here because this is called on resumption, too; it is put into the
 * handshake only where one is sent (install_cert). */
static int client_hello_cb(SSL *ssl, int *ret_alert, void *arg)
{
	struct tls_server *server = arg;
	struct tls_stream *ts = tls_bio_stream(ssl);
	struct cert_offer offer = {.now_unix_s = clock_unix_s()};
	struct slice name;

	if (!hello_server_name(ssl, &name)) {
		*ret_alert = SSL_AD_DECODE_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	ts->hello_seen = true;
	keep_name(ts, name);
	hello_offer(ssl, &offer);
	offer.is_tls13 = server->has_tls13 && hello_offers_tls13(ssl);
	ts->cert = certstore_lookup(server->certs, name, &offer);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int install_cert(SSL *ssl, void *arg)
{
	return cert_install(tls_bio_stream(ssl)->cert, ssl) == 0;
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

/* Sessions of one listener are not resumed on another: their trust settings may differ. */
static bool bind_sessions(SSL_CTX *ctx, const char *name)
{
	uint8_t id[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)name, strlen(name), id);
	return SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1;
}

static void set_tickets(struct tls_server *server, const struct tls_server_spec *spec)
{
	if (!spec->tickets) {
		SSL_CTX_set_options(server->ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(server->ctx, 0);
		return;
	}
	server->tickets = tls_tickets_get(spec->tickets);
	tls_tickets_attach(server->tickets, server->ctx);
	SSL_CTX_set_num_tickets(server->ctx, 1);
	SSL_CTX_set_timeout(
		server->ctx, spec->ticket_life_s ? spec->ticket_life_s : TICKET_LIFE_DEFAULT_S);
}

static int set_up(struct tls_server *server, const struct tls_server_spec *spec, struct err *err)
{
	int min = spec->version_min ? (int)spec->version_min : TLS1_2_VERSION;
	int max = spec->version_max ? (int)spec->version_max : TLS1_3_VERSION;
	SSL_CTX *ctx;
	int r;

	r = certstore_new(spec->certs, spec->n_certs, &server->certs, err);
	if (r == 0)
		r = alpn_init(&server->alpn, spec->alpn, spec->n_alpn, err);
	if (r == 0)
		r = tls_context_new(TLS_server_method(), &server->ctx, err);
	if (r < 0)
		return r;
	if (min > max)
		return err_set(err, -EINVAL, "the lowest TLS version is above the highest one");
	ctx = server->ctx;
	if (!SSL_CTX_set_min_proto_version(ctx, min) || !SSL_CTX_set_max_proto_version(ctx, max) ||
		!bind_sessions(ctx, spec->name))
		return tls_context_failed(err, "cannot set up TLS");
	server->has_tls13 = max >= TLS1_3_VERSION;
	server->ktls = spec->ktls;
	SSL_CTX_set_client_hello_cb(ctx, client_hello_cb, server);
	SSL_CTX_set_cert_cb(ctx, install_cert, NULL);
	if (server->alpn.n)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, server);
	set_tickets(server, spec);
	return 0;
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
