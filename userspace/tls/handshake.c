/*
 * The handshake of a TLS stream: OpenSSL runs it over the BIO; each turn's flight is one send.
 * When it is over its facts are copied and the SSL object is freed: the stream goes on with the keys.
 * A client keeps the SSL object with TLS 1.3 until the first data arrives, because tickets come
 * before it; where no keys came to us (attached.c) it stays for good.
 */
#include "tls/attached.h"
#include "tls/detached.h"

#include "core/clock.h"
#include "tls/cert.h"
#include "tls/cert_token.h"
#define LOG_MODULE "tls"
#include "core/log.h"
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

enum {
	TICKET_WAIT_MS = 20, /* how long a session ticket waits for data to travel with */
	LOG_PAUSE_US = 1000000,
};

int tls_fail(struct tls_stream *ts, enum tls_failure failure, int code)
{
	ts->state = TLS_STREAM_FAILED;
	ts->tls->out_len = 0;
	if (ts->failure == TLS_FAILURE_none)
		ts->failure = (uint8_t)failure;
	return code;
}

void tls_ssl_free(struct tls_stream *ts)
{
	/* Without these flags OpenSSL takes the lock of the context and marks the session as one
	 * that must not be resumed. */
	if (ts->ssl && ts->state == TLS_STREAM_DETACHED)
		SSL_set_shutdown(ts->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ts->ssl);
	ts->ssl = NULL;
}

static enum tls_failure target_failure(long result)
{
	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_FAILURE_target_name_mismatch;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_FAILURE_target_cert_expired;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_FAILURE_target_cert_untrusted;
	default:
		return TLS_FAILURE_target_cert_bad;
	}
}

static enum tls_failure client_failure(long result)
{
	switch (result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TLS_FAILURE_client_cert_expired;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_FAILURE_client_cert_not_yet_valid;
	case X509_V_ERR_CERT_REVOKED:
		return TLS_FAILURE_client_cert_revoked;
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
		return TLS_FAILURE_client_cert_too_deep;
	case X509_V_ERR_INVALID_PURPOSE:
		return TLS_FAILURE_client_cert_purpose;
	case X509_V_ERR_CERT_REJECTED:
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return TLS_FAILURE_client_cert_unsupported;
	case X509_V_ERR_OUT_OF_MEM:
		return TLS_FAILURE_out_of_memory;
	default:
		return target_failure(result) == TLS_FAILURE_target_cert_untrusted
			       ? TLS_FAILURE_client_cert_untrusted
			       : TLS_FAILURE_client_cert_bad;
	}
}

static const struct {
	int reason;
	enum tls_failure failure;
} reasons[] = {
	{SSL_R_UNSUPPORTED_PROTOCOL, TLS_FAILURE_no_shared_version},
	{SSL_R_NO_PROTOCOLS_AVAILABLE, TLS_FAILURE_no_shared_version},
	{SSL_R_VERSION_TOO_LOW, TLS_FAILURE_no_shared_version},
	{SSL_R_VERSION_TOO_HIGH, TLS_FAILURE_no_shared_version},
	{SSL_R_WRONG_SSL_VERSION, TLS_FAILURE_no_shared_version},
	{SSL_R_INAPPROPRIATE_FALLBACK, TLS_FAILURE_no_shared_version},
	{SSL_R_NO_SHARED_CIPHER, TLS_FAILURE_no_shared_cipher},
	{SSL_R_NO_SUITABLE_KEY_SHARE, TLS_FAILURE_no_shared_group},
	{SSL_R_NO_SUITABLE_GROUPS, TLS_FAILURE_no_shared_group},
	{SSL_R_NO_SHARED_GROUPS, TLS_FAILURE_no_shared_group},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TLS_FAILURE_no_shared_signature},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, TLS_FAILURE_no_shared_signature},
	{SSL_R_NO_APPLICATION_PROTOCOL, TLS_FAILURE_no_shared_alpn},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, TLS_FAILURE_peer_closed},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_FAILURE_client_cert_missing},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, TLS_FAILURE_bad_record},
	{SSL_R_DECRYPTION_FAILED, TLS_FAILURE_bad_record},
	{SSL_R_BAD_RECORD_TYPE, TLS_FAILURE_bad_record},
	{SSL_R_PACKET_LENGTH_TOO_LONG, TLS_FAILURE_bad_record},
	{SSL_R_ENCRYPTED_LENGTH_TOO_LONG, TLS_FAILURE_bad_record},
	{SSL_R_DATA_LENGTH_TOO_LONG, TLS_FAILURE_bad_record},
	{SSL_R_RECORD_LENGTH_MISMATCH, TLS_FAILURE_bad_record},
};

/* Before a whole ClientHello was seen the stranger may not be a TLS client at all. */
static enum tls_failure early_failure(int reason)
{
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return TLS_FAILURE_http_request;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_RECORD:
	case SSL_R_RECORD_TOO_SMALL:
		return TLS_FAILURE_not_tls;
	default:
		return TLS_FAILURE_bad_client_hello;
	}
}

/* In TLS 1.3 a client hears of it when its handshake is over. */
enum tls_failure tls_alert_failure(const struct tls_stream *ts, uint8_t alert)
{
	if (!ts->client || !ts->was_cert_asked)
		return TLS_FAILURE_peer_alert;
	switch (alert) {
	case SSL_AD_HANDSHAKE_FAILURE:
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_CERTIFICATE_REQUIRED:
		return tls_client_shows_cert(ts->client) ? TLS_FAILURE_target_refused_our_cert
							 : TLS_FAILURE_target_wants_cert;
	default:
		return TLS_FAILURE_peer_alert;
	}
}

/* A stranger may be able to bring it about (a key share of zeros): one line a second. */
static bool may_log(void)
{
	static _Thread_local uint64_t next_us;
	uint64_t now_us = clock_mono_us();

	if (now_us < next_us)
		return false;
	next_us = now_us + LOG_PAUSE_US;
	return true;
}

enum { CKR_MECHANISM_INVALID = 0x70, CKR_MECHANISM_PARAM_INVALID = 0x71 }; /* of PKCS#11 */

/* What we may sign with in this handshake; NULL: nothing. */
static struct cert *own_cert(const struct tls_stream *ts)
{
	return ts->server ? ts->cert : ts->client ? tls_client_cert(ts->client) : NULL;
}

/* Nobody but the provider of tokens has errors of a library that OpenSSL does not know; but where the
 * token itself makes the hash, the provider raises none. What a stranger sends is not read while we
 * sign, and in a token nothing else can fail then. */
static bool is_of_token(const struct tls_stream *ts, unsigned long error)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ts->ssl);
	bool signs = state == TLS_ST_SW_CERT_VRFY || state == TLS_ST_SW_KEY_EXCH ||
		     state == TLS_ST_CW_CERT_VRFY;
	const struct cert *cert = own_cert(ts);

	return cert && cert_is_in_token(cert) &&
	       (ERR_GET_LIB(error) >= ERR_LIB_USER ||
		       (signs && ERR_GET_REASON(error) != ERR_R_MALLOC_FAILURE));
}

/* The peer wants a signature of a kind that the token does not make: others get theirs. */
static bool is_mechanism_missing(unsigned long error)
{
	int reason = ERR_GET_REASON(error);

	return ERR_GET_LIB(error) >= ERR_LIB_USER &&
	       (reason == CKR_MECHANISM_INVALID || reason == CKR_MECHANISM_PARAM_INVALID);
}

/* The provider has texts of its own, in the place of the reason's. */
static const char *token_text(unsigned long error)
{
	const char *text = NULL;

	if (ERR_peek_error_data(&text, NULL) != error || !text || !*text)
		text = ERR_reason_error_string(error);
	return text ? text : "no reason given";
}

static void note_token(struct tls_stream *ts, unsigned long error)
{
	struct cert *cert = own_cert(ts);
	char name[CERT_NAME_BYTES];

	if (is_mechanism_missing(error)) {
		ts->detail = "it lacks the mechanism for the signature that the peer wants";
		if (may_log())
			log_warn("certificate %s: its token lacks a mechanism that a %s needs: %s",
				cert_name(cert, name), ts->server ? "client" : "target",
				token_text(error));
		return;
	}
	if (cert_token_failed(cert, SSL_get_privatekey(ts->ssl)) && cert_is_news(cert))
		log_error("certificate %s is %s until its token signs again: %s",
			cert_name(cert, name),
			ts->server ? "served to nobody" : "not shown to targets",
			token_text(error));
}

static enum tls_failure failure_of(struct tls_stream *ts, unsigned long error)
{
	int reason = ERR_GET_REASON(error);
	size_t i;

	if (is_of_token(ts, error))
		return TLS_FAILURE_token_failed;
	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return reason == ERR_R_MALLOC_FAILURE ? TLS_FAILURE_out_of_memory
						      : TLS_FAILURE_internal;
	if (reason == ERR_R_MALLOC_FAILURE)
		return TLS_FAILURE_out_of_memory;
	if (reason == ERR_R_INTERNAL_ERROR)
		return TLS_FAILURE_internal;
	if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
		ts->detail = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
		return tls_alert_failure(ts, (uint8_t)(reason - SSL_AD_REASON_OFFSET));
	}
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		long result = SSL_get_verify_result(ts->ssl);

		ts->detail = X509_verify_cert_error_string(result);
		return ts->server ? client_failure(result) : target_failure(result);
	}
	if (ts->server && !ts->hello_seen)
		return early_failure(reason);
	if (reason == SSL_R_EXCESSIVE_MESSAGE_SIZE && ts->server &&
		client_auth_is_on(tls_server_auth(ts->server)))
		return TLS_FAILURE_client_cert_too_large;
	for (i = 0; i < array_len(reasons); i++)
		if (reasons[i].reason == reason)
			return reasons[i].failure;
	return TLS_FAILURE_bad_message;
}

/* What the table cannot say in full is kept for the log. */
static void note_detail(struct tls_stream *ts, unsigned long error)
{
	const char *text = ERR_reason_error_string(error);

	if (!ts->detail && text &&
		(ts->failure == TLS_FAILURE_bad_message ||
			ts->failure == TLS_FAILURE_bad_client_hello ||
			ts->failure == TLS_FAILURE_internal))
		ts->detail = text;
	if (ts->failure == TLS_FAILURE_internal && may_log())
		log_error("inside OpenSSL: %s", text ? text : "no reason given");
}

/* The first error of the queue says what was wrong, later ones are consequences; but what a
 * peer's bytes make libcrypto say ("point is not on curve") is put in terms of TLS by the last. */
static unsigned long telling_error(void)
{
	unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();
	bool is_ours = ERR_GET_LIB(last) == ERR_LIB_SSL && !ERR_COMMON_ERROR(last);

	return ERR_GET_LIB(first) != ERR_LIB_SSL && is_ours ? last : first;
}

void tls_note_alert(const SSL *ssl, int where, int value)
{
	struct tls_stream *ts;

	if (!(where & SSL_CB_ALERT) || value >> 8 != SSL3_AL_FATAL)
		return;
	ts = tls_bio_stream(ssl);
	ts->alert = (uint8_t)value;
	ts->was_alerted = where & SSL_CB_READ;
}

/* What was agreed before it failed, for the log. */
static void note_agreed(struct tls_stream *ts)
{
	const SSL_CIPHER *cipher = ts->ssl ? SSL_get_current_cipher(ts->ssl) : NULL;

	if (!cipher || ts->state != TLS_STREAM_HANDSHAKE)
		return;
	ts->version = SSL_get_version(ts->ssl);
	ts->cipher = SSL_CIPHER_standard_name(cipher);
}

int tls_fail_ssl(struct tls_stream *ts, int ssl_result)
{
	unsigned long error = telling_error();

	note_agreed(ts);
	if (ts->failure != TLS_FAILURE_none)
		return tls_fail(ts, ts->failure, -EPROTO);
	if (ts->socket_error) {
		tls_fail(ts,
			ts->socket_error == -ENOMEM ? TLS_FAILURE_out_of_memory
						    : TLS_FAILURE_peer_reset,
			0);
		return ts->socket_error;
	}
	if (!error || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		if (ts->was_cert_asked)
			ts->detail = "after it had asked for a client certificate";
		return tls_fail(ts, TLS_FAILURE_peer_closed, -ECONNRESET);
	}
	tls_fail(ts, failure_of(ts, error), 0);
	if (ts->failure == TLS_FAILURE_token_failed)
		note_token(ts, error);
	note_detail(ts, error);
	return -EPROTO;
}

/* False: there is no memory for the client's identity. */
static bool note_facts(struct tls_stream *ts)
{
	bool is_known = true;
	SSL *ssl = ts->ssl;
	const char *group = SSL_get0_group_name(ssl);

	ts->version = SSL_get_version(ssl);
	ts->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
	ts->group = group ? group : "";
	ts->alpn = ts->server ? tls_server_alpn(ts->server, ssl) : tls_client_alpn(ts->client, ssl);
	ts->resumed = SSL_session_reused(ssl);
	if (ts->server && ts->resumed && client_auth_is_on(tls_server_auth(ts->server)))
		is_known = client_auth_note_resumed(ts);
	ts->handshake_us = (uint32_t)(clock_mono_us() - ts->started_us);
	return is_known;
}

static int detach(struct tls_stream *ts)
{
	if (!ts->rx.id != !ts->tx.id) {
		ts->failure = TLS_FAILURE_internal;
		return tls_fail(ts, TLS_FAILURE_internal, -EPROTO);
	}
	ts->state = ts->rx.id ? TLS_STREAM_DETACHED : TLS_STREAM_ATTACHED;
	ktls_decide(ts);
	if (!ts->rx.id) {
		attached_start(ts);
		return 0;
	}
	if (ts->held)
		timer_set(ts->tls->io->loop, &ts->base.timer, TICKET_WAIT_MS);
	if (ts->client && ts->rx.is_tls13)
		return 0; /* waits for tickets */
	if (ts->client && ts->resumed)
		tls_client_renewed(ts);
	tls_ssl_free(ts);
	return 0;
}

static int connected(struct tls_stream *ts)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!ts->base.can_write && !ts->base.peer_ended)
		return -EAGAIN;
	if (getsockopt(ts->base.watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	ts->state = TLS_STREAM_HANDSHAKE;
	return 0;
}

static int step(struct tls_stream *ts)
{
	int r, sent, why;

	ERR_clear_error();
	r = SSL_do_handshake(ts->ssl);
	why = r == 1 ? SSL_ERROR_NONE : SSL_get_error(ts->ssl, r);
	sent = wire_out_send(ts, false); /* an alert, too */
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return sent < 0 ? sent : -EAGAIN;
	if (why != SSL_ERROR_NONE) {
		r = tls_fail_ssl(ts, r);
		/* Its client may be listened to for a while yet. */
		if (ts->server)
			tls_ssl_free(ts);
		return r;
	}
	if (sent < 0)
		return sent;
	return note_facts(ts) ? detach(ts) : tls_fail(ts, TLS_FAILURE_out_of_memory, -ENOMEM);
}

int tls_handshake(struct stream *stream)
{
	struct tls_stream *ts = tls_stream_of(stream);
	int r;

	if (ts->state == TLS_STREAM_CONNECTING) {
		r = connected(ts);
		if (r < 0)
			return r;
		ts->started_us = clock_mono_us();
	}
	if (ts->state == TLS_STREAM_FAILED)
		return -EPROTO;
	r = wire_out_flush(ts);
	if (r < 0)
		return r;
	if (ts->state == TLS_STREAM_HANDSHAKE) {
		ktls_prepare(ts);
		if (ts->client)
			tls_client_resume(ts);
		r = step(ts);
		if (r < 0)
			return r;
	}
	r = wire_out_flush(ts);
	return r < 0 ? r : ktls_require(ts);
}
