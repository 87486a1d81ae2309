/* TLS over a socket that blocks: see link.h. */
#include "tls/link.h"

#include "core/mem.h"
#include "tls/context.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct tls_link {
	SSL_CTX *ctx;
	SSL *ssl;
	struct err failure;
};

static int load_own(SSL_CTX *ctx, const struct tls_link_spec *spec, struct err *err)
{
	if (!spec->cert_path)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, spec->cert_path) != 1)
		return err_context(
			err, tls_context_failed(err, "no certificate"), "%s", spec->cert_path);
	if (SSL_CTX_use_PrivateKey_file(ctx, spec->key_path, SSL_FILETYPE_PEM) != 1)
		return err_context(
			err, tls_context_failed(err, "no key of it"), "%s", spec->key_path);
	return 0;
}

static int load_cas(SSL_CTX *ctx, const struct tls_link_spec *spec, struct err *err)
{
	if (!spec->ca_path && SSL_CTX_set_default_verify_paths(ctx) == 1)
		return 0;
	if (spec->ca_path && SSL_CTX_load_verify_file(ctx, spec->ca_path) == 1)
		return 0;
	return err_context(err, tls_context_failed(err, "no CAs"), "%s",
		spec->ca_path ? spec->ca_path : "the system's certificates");
}

/* The name is sent, too; an address must not be (RFC 6066 section 3). */
static bool expect(SSL *ssl, const char *server)
{
	struct in6_addr address;

	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	if (inet_pton(AF_INET, server, &address) == 1 || inet_pton(AF_INET6, server, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, server) && SSL_set_tlsext_host_name(ssl, server);
}

/* What the last call came to: 0 at the end of the stream. */
static int fail(struct tls_link *link, int result, const char *what)
{
	int saved = errno;
	long verdict = SSL_get_verify_result(link->ssl);

	switch (SSL_get_error(link->ssl, result)) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN; /* the socket's time is over */
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return saved ? -saved : -ECONNRESET;
	default:
		break;
	}
	if (verdict == X509_V_OK) {
		tls_context_failed(&link->failure, what);
		return -EPROTO;
	}
	ERR_clear_error();
	return err_set(&link->failure, -EPROTO, "%s: its certificate: %s", what,
		X509_verify_cert_error_string(verdict));
}

static int shake_hands(struct tls_link *link, struct err *err)
{
	int result = SSL_connect(link->ssl), r;

	if (result == 1)
		return 0;
	r = fail(link, result, "TLS handshake");
	if (r == -EPROTO)
		return err_set(err, r, "%s", link->failure.text);
	return err_set(err, r ? r : -ECONNRESET, "TLS handshake: %s",
		r == -EAGAIN ? "no answer in time" : strerror(r ? -r : ECONNRESET));
}

static int set_up(struct tls_link *link, int fd, const struct tls_link_spec *spec, struct err *err)
{
	int r;

	link->ctx = SSL_CTX_new(TLS_client_method());
	if (!link->ctx || !SSL_CTX_set_min_proto_version(link->ctx, TLS1_2_VERSION))
		return tls_context_failed(err, "TLS");
	r = load_cas(link->ctx, spec, err);
	if (r == 0)
		r = load_own(link->ctx, spec, err);
	if (r < 0)
		return r;
	link->ssl = SSL_new(link->ctx);
	if (!link->ssl || !expect(link->ssl, spec->server) || !SSL_set_fd(link->ssl, fd))
		return tls_context_failed(err, "TLS");
	return shake_hands(link, err);
}

int tls_link_new(
	int fd, const struct tls_link_spec *spec, struct tls_link **ret_link, struct err *err)
{
	struct tls_link *link = mem_zalloc(sizeof(*link));
	int r = set_up(link, fd, spec, err);

	if (r < 0)
		tls_link_free(link);
	else
		*ret_link = link;
	return r;
}

ssize_t tls_link_read(struct tls_link *link, void *bytes, size_t len)
{
	int result = SSL_read(link->ssl, bytes, len > INT32_MAX ? INT32_MAX : (int)len);

	return result > 0 ? result : fail(link, result, "TLS");
}

int tls_link_write(struct tls_link *link, const void *bytes, size_t len)
{
	const char *at = bytes;
	int result, r;

	while (len > 0) {
		result = SSL_write(link->ssl, at, len > INT32_MAX ? INT32_MAX : (int)len);
		if (result <= 0) {
			r = fail(link, result, "TLS");
			return r ? r : -EPIPE;
		}
		at += result;
		len -= (size_t)result;
	}
	return 0;
}

const char *tls_link_failure(const struct tls_link *link)
{
	return link->failure.text;
}

void tls_link_free(struct tls_link *link)
{
	if (!link)
		return;
	if (link->ssl && SSL_is_init_finished(link->ssl) && !link->failure.text[0])
		SSL_shutdown(link->ssl);
	SSL_free(link->ssl);
	SSL_CTX_free(link->ctx);
	ERR_clear_error();
	free(link);
}
