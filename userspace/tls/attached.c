/*
 * A TLS stream after the handshake, where its records stay with OpenSSL, because the client asked
 * for small ones (max_fragment_length). The SSL object lives as long as the stream; of ts->tx only
 * the kind of key is set, and the number of records it has sealed.
 */
#include "tls/attached.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

enum {
	WRITE_BYTES = RECORD_PLAIN_MAX,
	/* Far more than one write leaves: answers to a peer that asks for new keys again and again
	 * and does not read. */
	STASH_MAX = 64 * 1024,
	FRAGMENT_CODE_0 = 256, /* RFC 6066 4: 1 is 2^9 */
};

void attached_start(struct tls_stream *ts)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ts->ssl);

	ts->handshake_in = 0;
	ts->tx.is_tls13 = SSL_version(ts->ssl) == TLS1_3_VERSION;
	ts->tx.cipher = SSL_CIPHER_get_cipher_nid(cipher) == NID_chacha20_poly1305
				? RECORD_CHACHA20
				: RECORD_AES_128_GCM;
}

static ssize_t attached_result(struct tls_stream *ts, int r)
{
	switch (SSL_get_error(ts->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		ts->base.read_ended = true;
		return 0;
	default:
		break;
	}
	if (ts->eof && ts->failure == TLS_FAILURE_none) {
		ts->base.read_ended = ts->base.truncated = true;
		return -ECONNRESET;
	}
	return tls_fail_ssl(ts, r);
}

ssize_t attached_read(struct tls_stream *ts, void *bytes, size_t len)
{
	int r;

	ERR_clear_error();
	r = SSL_read(ts->ssl, bytes, len > INT32_MAX ? INT32_MAX : (int)len);
	if (ts->notify_queued)
		ts->tls->out_len = 0; /* an answer to a KeyUpdate: nothing may follow our end */
	if (wire_out_send(ts, false) < 0)
		ts->base.can_write = false; /* what came before is still to be read */
	if (ts->out_stash_len > STASH_MAX)
		return tls_fail(ts, TLS_FAILURE_bad_message, -EPROTO);
	if (r <= 0)
		return attached_result(ts, r);
	ts->handshake_in = 0;
	ts->base.bytes_in += (uint64_t)r;
	return r;
}

static void count_records(struct tls_stream *ts, size_t len)
{
	uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get_session(ts->ssl));
	size_t fragment = code ? (size_t)FRAGMENT_CODE_0 << code : RECORD_PLAIN_MAX;

	ts->tx.seq += (len + fragment - 1) / fragment;
}

/* OpenSSL changes no key and stops at no limit by itself. */
static int update_key(struct tls_stream *ts)
{
	if (likely(!record_key_is_old(&ts->tx)))
		return 0;
	if (ts->tx.is_tls13) {
		ERR_clear_error();
		if (SSL_key_update(ts->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
			return tls_fail(ts, TLS_FAILURE_internal, -EPROTO);
		ts->tx.seq = 0;
		ts->key_updates++;
		return 0;
	}
	/* No close_notify: what is cut here must not look complete. */
	if (record_key_is_used_up(&ts->tx))
		return tls_fail(ts, TLS_FAILURE_key_used_up, -EPROTO);
	ts->base.retiring = true;
	return 0;
}

ssize_t attached_writev(struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more)
{
	static _Thread_local uint8_t gathered[WRITE_BYTES];
	size_t len = 0, piece;
	int i, r, sent;

	r = wire_out_flush(ts);
	if (r < 0)
		return r;
	if (!ts->base.can_write)
		return -EAGAIN;
	for (i = 0; i < n_iov && len < sizeof(gathered); i++, len += piece) {
		piece = iov[i].iov_len < sizeof(gathered) - len ? iov[i].iov_len
								: sizeof(gathered) - len;
		if (piece) /* an empty one may have no address */
			memcpy(gathered + len, iov[i].iov_base, piece);
	}
	if (!len)
		return 0;
	r = update_key(ts);
	if (r < 0)
		return r;
	ERR_clear_error();
	r = SSL_write(ts->ssl, gathered, (int)len);
	sent = wire_out_send(ts, more);
	count_records(ts, r > 0 ? (size_t)r : len);
	if (r <= 0)
		return attached_result(ts, r);
	if (sent < 0)
		return sent;
	ts->base.bytes_out += (uint64_t)r;
	return r;
}

void attached_notify(struct tls_stream *ts)
{
	ERR_clear_error();
	SSL_shutdown(ts->ssl); /* writes the alert; the peer's is read by attached_read() */
}

bool attached_has_pending(const struct tls_stream *ts)
{
	const uint8_t *bytes;

	return !ts->base.read_ended && (SSL_pending(ts->ssl) > 0 || wire_peek(ts, &bytes) > 0);
}
