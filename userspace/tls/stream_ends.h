/* What a stream asks of the server or client it belongs to: server.c, client.c. Part of
 * stream_state.h, which is the header to include. */
#ifndef SLUICE_TLS_STREAM_ENDS_H
#define SLUICE_TLS_STREAM_ENDS_H

#include "core/attr.h"
#include "tls/ktls.h"
#include <openssl/ssl.h>
#include <stdint.h>

struct client_auth;
struct cert;
struct tls_client;
struct tls_server;
struct tls_stream;

struct ssl_ctx_st *tls_server_ctx(const struct tls_server *server);
void tls_server_hold(struct tls_server *server, uint32_t worker);
void tls_server_drop(struct tls_server *server, uint32_t worker);
enum tls_ktls tls_server_ktls(const struct tls_server *server);
const struct client_auth *tls_server_auth(const struct tls_server *server);
enum tls_ktls tls_client_ktls(const struct tls_client *client);
/* The agreed protocol as a string that lives as long as the server or client; "" if none. */
const char *tls_server_alpn(const struct tls_server *server, const SSL *ssl);
struct ssl_ctx_st *tls_client_ctx(const struct tls_client *client);
void tls_client_hold(struct tls_client *client, uint32_t worker);
void tls_client_drop(struct tls_client *client, uint32_t worker);
/* NULL: it never shows one. */
struct cert *tls_client_cert(const struct tls_client *client);
bool tls_client_shows_cert(const struct tls_client *client);
const char *tls_client_alpn(const struct tls_client *client, const SSL *ssl);
/* Name and verification, before the handshake. 0 or -ENOMEM/-EINVAL. */
int tls_client_prepare(
	struct tls_client *client, struct tls_stream *ts, const char *server_name) must_check;
/* The address is known (connected): offers the last session with it. */
void tls_client_resume(struct tls_stream *ts);
/* TLS 1.2: the ticket of a resumed session may be a new one; OpenSSL tells nobody. */
void tls_client_renewed(struct tls_stream *ts);

#endif
