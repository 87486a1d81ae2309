/*
 * TLS contexts: see context.h. All workers share the default library context: one per worker
 * gained nothing that could be measured (2 threads) and costs 6.8 KiB per certificate and worker.
 */
#include "tls/context.h"

#include "core/attr.h"
#include "tls/stream_state.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* 112 bits: no SHA-1, no RSA below 2048. */
enum { SECURITY_LEVEL = 2 };

int tls_context_failed(struct err *err, const char *what)
{
	unsigned long error = ERR_peek_error();
	int number = ERR_SYSTEM_ERROR(error) ? ERR_GET_REASON(error) : 0;
	const char *reason = number ? strerror(number) : ERR_reason_error_string(error);
	int r = number ? -number : -EINVAL;

	err_set(err, r, "%s: %s", what, reason ? reason : "refused by OpenSSL");
	ERR_clear_error();
	return r;
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

int tls_context_verify(X509_STORE_CTX *store, void *arg)
{
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store), SECURITY_LEVEL);
	return X509_verify_cert(store);
}

/* The level of the context would be that of the chains it verifies, too. */
static void set_level(SSL_CTX *ctx, const struct tls_policy *offered)
{
	SSL_CTX_set_security_level(ctx, tls_policy_security_bits(offered) ? SECURITY_LEVEL : 0);
	SSL_CTX_set_cert_verify_callback(ctx, tls_context_verify, NULL);
}

static bool is_hybrid(const struct tls_policy_algorithm *group)
{
	return strstr(group->name, "MLKEM");
}

/* OpenSSL's notation. One tuple (up to a '/'): a server takes a group it has a key share for before
 * one that would need a HelloRetryRequest. '*': a client sends a key share, which it does for the
 * first group, and for the first that servers without post-quantum groups know. */
static void groups_text(const struct tls_policy *offered, char *ret_text)
{
	size_t i, used = 0;
	bool shared = false;

	for (i = 0; i < offered->count[TLS_POLICY_GROUPS]; i++) {
		const struct tls_policy_algorithm *group =
			tls_policy_at(offered, TLS_POLICY_GROUPS, i);
		bool sends = !i || (!shared && !is_hybrid(group));

		shared |= !is_hybrid(group);
		used += (size_t)snprintf(ret_text + used, TLS_POLICY_TEXT_BYTES - used, "%s%s%s",
			!i                               ? ""
			: offered->group_breaks >> i & 1 ? "/"
							 : ":",
			sends ? "*" : "", group->name);
	}
}

static bool set_lists(SSL_CTX *ctx, const struct tls_policy *offered)
{
	char text[TLS_POLICY_TEXT_BYTES];

	tls_policy_list_text(offered, TLS_POLICY_SUITES, text);
	if (!SSL_CTX_set_ciphersuites(ctx, text))
		return false;
	tls_policy_list_text(offered, TLS_POLICY_CIPHERS, text);
	if (text[0] && !SSL_CTX_set_cipher_list(ctx, text))
		return false;
	SSL_CTX_set_dh_auto(ctx, 1); /* for ciphers with DHE, of a size that fits the key */
	groups_text(offered, text);
	if (offered->count[TLS_POLICY_GROUPS] && !SSL_CTX_set1_groups_list(ctx, text))
		return false;
	tls_policy_list_text(offered, TLS_POLICY_SCHEMES, text);
	return !text[0] || SSL_CTX_set1_sigalgs_list(ctx, text);
}

static bool set_policy(SSL_CTX *ctx, const struct tls_policy *offered)
{
	set_level(ctx, offered);
	if (offered->server_preference)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (offered->chacha_first)
		SSL_CTX_set_options(ctx, SSL_OP_PRIORITIZE_CHACHA);
	return SSL_CTX_set_min_proto_version(ctx, offered->version_min) &&
	       SSL_CTX_set_max_proto_version(ctx, offered->version_max) && set_lists(ctx, offered);
}

int tls_context_new(const SSL_METHOD *method, const struct tls_policy *offered, SSL_CTX **ret_ctx,
	struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	ERR_clear_error();
	if (!ctx || !set_policy(ctx, offered)) {
		SSL_CTX_free(ctx);
		return err_context(err, tls_context_failed(err, "cannot make a TLS context"),
			"security policy %s", offered->name);
	}
	SSL_CTX_set_options(
		ctx, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ctx, keep_secrets);
	*ret_ctx = ctx;
	return 0;
}
