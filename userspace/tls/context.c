/*
 * TLS contexts: see context.h. All workers share the default library context: one per worker
 * gained nothing that could be measured (2 threads) and costs 6.8 KiB per certificate and worker.
 */
#include "tls/context.h"

#include "core/attr.h"
#include "tls/stream_state.h"
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* AES-128 first: its key schedule is SHA-256 and it saves 10 % of a handshake (AES-256 needs
 * SHA-384). PRIORITIZE_CHACHA moves ChaCha20 up for clients that put it first. */
static const char suites_13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char suites_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/* One tuple (no '/'): a server takes a group it has a key share for before one that would need
 * a HelloRetryRequest. '*': a client sends a key share. */
static const char groups[] = "*X25519MLKEM768:*X25519:secp256r1:secp384r1";
static const char schemes[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
	"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
	"rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";

int tls_context_failed(struct err *err, const char *what)
{
	unsigned long error = ERR_peek_error();
	const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
						     : ERR_reason_error_string(error);

	err_set(err, -EINVAL, "%s: %s", what, reason ? reason : "refused by OpenSSL");
	ERR_clear_error();
	return -EINVAL;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last field of a key log line. */
static void take_secret(const char *line, struct record_key *key)
{
	const char *hex = strrchr(line, ' ') + 1;
	size_t len = strlen(hex) / 2, i;

	if (len > sizeof(key->secret))
		return;
	for (i = 0; i < len; i++)
		key->secret[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	key->secret_len = (uint8_t)len;
}

/* OpenSSL's only door to the traffic secrets, which KeyUpdate needs (RFC 8446 7.2). They stay in
 * memory and are wiped with the stream. */
static void keep_secrets(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ";
	static const char server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls_stream *ts = tls_bio_stream(ssl);
	bool is_server = ts->server != NULL;

	if (!strncmp(line, client, sizeof(client) - 1))
		take_secret(line, is_server ? &ts->rx : &ts->tx);
	else if (!strncmp(line, server, sizeof(server) - 1))
		take_secret(line, is_server ? &ts->tx : &ts->rx);
}

int tls_context_new(const SSL_METHOD *method, SSL_CTX **ret_ctx, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	ERR_clear_error();
	if (!ctx || !SSL_CTX_set_ciphersuites(ctx, suites_13) ||
		!SSL_CTX_set_cipher_list(ctx, suites_12) ||
		!SSL_CTX_set1_groups_list(ctx, groups) ||
		!SSL_CTX_set1_sigalgs_list(ctx, schemes)) {
		SSL_CTX_free(ctx);
		return tls_context_failed(err, "cannot make a TLS context");
	}
	SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ctx, keep_secrets);
	*ret_ctx = ctx;
	return 0;
}
