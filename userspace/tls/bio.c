/*
 * What OpenSSL sees of a socket: a BIO over the wire buffers. It also takes part in OpenSSL's
 * kernel TLS protocol (SSL_OP_ENABLE_KTLS): when the application keys are agreed they are handed
 * to the BIO, which from then on gets plain records to write, with their type set by a control
 * before, and returns opened records to read, header in front. So the keys come to us by the same
 * door by which they go to a kernel, and the SSL object is no longer needed for the records.
 */
#include "tls/detached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Controls that OpenSSL names in a comment of <openssl/bio.h> only, as they are used between
 * libssl and the BIO of a socket. */
enum {
	CTRL_SET_KTLS = 72,
	CTRL_SET_KTLS_CTRL_MSG = 74,
	CTRL_CLEAR_KTLS_CTRL_MSG = 75,
};

/* What an attached stream may read without data coming of it (KeyUpdates, attempts to renegotiate):
 * far more than a record with max_fragment_length. */
enum { ATTACHED_BYTES_MAX = 32 * 1024 };

/* A hello, a second one after HelloRetryRequest, Finished, with room for records' headers. The
 * messages of a server that a client reads are bounded by OpenSSL (100 KiB of certificates). */
enum { SERVER_HANDSHAKE_BYTES_MAX = 2 * TLS_CLIENT_HELLO_BYTES_MAX + 4096 };

static int retry_read(BIO *bio)
{
	BIO_set_retry_read(bio);
	return -1;
}

static bool is_over_limit(struct tls_stream *ts)
{
	uint32_t max = ts->hello_seen ? SERVER_HANDSHAKE_BYTES_MAX : TLS_CLIENT_HELLO_BYTES_MAX;

	if (ts->state == TLS_STREAM_ATTACHED)
		max = ATTACHED_BYTES_MAX;
	else if (ts->server && ts->hello_seen && client_auth_is_on(tls_server_auth(ts->server)))
		max += CLIENT_AUTH_BYTES_MAX;
	if (!ts->server || ts->handshake_in <= max)
		return false;
	tls_fail(ts, ts->hello_seen ? TLS_FAILURE_bad_message : TLS_FAILURE_bad_client_hello,
		-EPROTO);
	return true;
}

/* 1: bytes are there; else what BIO_read returns. */
static int bio_wait_bytes(BIO *bio, struct tls_stream *ts)
{
	ssize_t got;

	if (ts->tls->in_end > ts->tls->in_start)
		return 1;
	if (ts->eof)
		return 0;
	if (!ts->base.can_read)
		return retry_read(bio);
	got = wire_fill(ts, BUF_SMALL);
	if (got == -EAGAIN)
		return retry_read(bio);
	if (got < 0)
		ts->socket_error = (int)got;
	return got > 0 ? 1 : (int)got;
}

static int bio_take(struct tls_stream *ts, char *bytes, int len, uint32_t have)
{
	uint32_t take = have < (uint32_t)len ? have : (uint32_t)len;

	memcpy(bytes, ts->tls->in + ts->tls->in_start, take);
	wire_consume(ts, take);
	return (int)take;
}

/* Opened records, each as its header and content. */
static int bio_read_opened(BIO *bio, struct tls_stream *ts, char *bytes, int len)
{
	int r;

	while (!ts->plain_left) {
		r = records_open_for_ssl(ts);
		if (r == 0)
			break;
		if (r != -EAGAIN) {
			message_refuse_record(ts, r);
			return -1;
		}
		if (ts->eof)
			return 0;
		if (!ts->base.can_read)
			return retry_read(bio);
		r = (int)wire_fill(ts, BUF_SMALL);
		if (r == -EAGAIN)
			return retry_read(bio);
		if (r < 0) {
			ts->socket_error = r;
			return -1;
		}
	}
	r = bio_take(ts, bytes, len, ts->plain_left);
	ts->plain_left -= (uint32_t)r;
	if (!ts->plain_left) {
		wire_consume(ts, ts->plain_gap);
		ts->plain_gap = 0;
	}
	return r;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
	struct tls_stream *ts = BIO_get_data(bio);
	int r;

	BIO_clear_retry_flags(bio);
	if (ts->rx.id && ts->state == TLS_STREAM_DETACHED && !ts->plain_left)
		return retry_read(bio); /* gets what records.c gives it only */
	if (wire_claim(ts) < 0) {
		ts->socket_error = -ENOMEM;
		return -1;
	}
	if (ts->rx.id)
		return bio_read_opened(bio, ts, bytes, len);
	r = bio_wait_bytes(bio, ts);
	if (r <= 0)
		return r;
	r = bio_take(ts, bytes, len, ts->tls->in_end - ts->tls->in_start);
	ts->handshake_in += (uint32_t)r;
	return is_over_limit(ts) ? -1 : r;
}

/* Room for one more record of `len` bytes in the flight. */
static bool bio_make_room(BIO *bio, struct tls_stream *ts, int len)
{
	if (wire_out_room(ts->tls) >= (uint32_t)len + RECORD_OVERHEAD_MAX)
		return true;
	if (ts->out_stash_len) {
		BIO_set_retry_write(bio);
		return false;
	}
	ts->socket_error = wire_out_send(ts, true);
	return ts->socket_error == 0;
}

/* The session ticket waits for the first data: it saves a send and wakes no client up. */
static int hold_ticket(struct tls_stream *ts, const uint8_t *record, uint32_t len)
{
	uint32_t have = ts->held ? ts->held_len : 0;
	uint8_t *more;

	if (have + len > WIRE_HELD_MAX)
		return -ENOBUFS;
	more = realloc(ts->held, have + len);
	if (!more)
		return -ENOMEM;
	memcpy(more + have, record, len);
	ts->held = more;
	ts->held_len = have + len;
	return 0;
}

static int bio_write_sealed(struct tls_stream *ts, const char *bytes, int len)
{
	struct tls_thread *tls = ts->tls;
	struct iovec iov = {(void *)bytes, (size_t)len};
	struct iov_cursor from = {&iov, 0};
	int r = record_seal(
		&tls->ciphers, &ts->tx, ts->bio_type, &from, (size_t)len, tls->out + tls->out_len);
	bool is_ticket =
		ts->server && ts->rx.id && ts->tx.is_tls13 && ts->bio_type == RECORD_HANDSHAKE;

	ts->bio_type = RECORD_DATA;
	if (r < 0)
		return -1;
	if (is_ticket)
		return hold_ticket(ts, tls->out + tls->out_len, (uint32_t)r) < 0 ? -1 : len;
	tls->out_len += (uint32_t)r;
	return len;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct tls_stream *ts = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!bio_make_room(bio, ts, len))
		return -1;
	if (ts->tx.id)
		return bio_write_sealed(ts, bytes, len);
	memcpy(ts->tls->out + ts->tls->out_len, bytes, (size_t)len);
	ts->tls->out_len += (uint32_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	struct tls_stream *ts = BIO_get_data(bio);

	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return ts->eof;
	case BIO_CTRL_GET_KTLS_SEND:
		return ts->tx.id != 0;
	case BIO_CTRL_GET_KTLS_RECV:
		return ts->rx.id != 0;
	case CTRL_SET_KTLS:
		return record_key_set(&ts->tls->ciphers, number ? &ts->tx : &ts->rx, pointer) == 0;
	case CTRL_SET_KTLS_CTRL_MSG:
		ts->bio_type = (uint8_t)number;
		return 1;
	case CTRL_CLEAR_KTLS_CTRL_MSG:
		ts->bio_type = RECORD_DATA;
		return 1;
	default:
		return 0;
	}
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO_METHOD *tls_bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sluice");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	BIO_meth_set_create(method, bio_create);
	return method;
}

struct tls_stream *tls_bio_stream(const SSL *ssl)
{
	return BIO_get_data(SSL_get_rbio(ssl));
}
