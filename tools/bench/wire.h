/*
 * The edge between OpenSSL and a socket for the bench programs: a BIO that reads from and writes
 * to memory, so that one read() brings everything the peer sent and one write() takes everything
 * a flight holds, whatever number of records that is. Both buffers are shared by all connections
 * of the program: what was read is consumed before the next connection is served, and what could
 * not be written is moved to the connection by its owner. Single-threaded programs only.
 */
#ifndef SLUICE_BENCH_WIRE_H
#define SLUICE_BENCH_WIRE_H

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Of the connection being served. */
static struct wire {
	const uint8_t *in; /* read from the socket, not yet taken by OpenSSL */
	size_t in_len;
	uint8_t *out; /* sealed, not yet written to the socket */
	size_t out_len;
	size_t out_cap;
} wire;

static inline int wire_read(BIO *bio, char *data, int len)
{
	size_t n = (size_t)len < wire.in_len ? (size_t)len : wire.in_len;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(data, wire.in, n);
	wire.in += n;
	wire.in_len -= n;
	return (int)n;
}

static inline int wire_write(BIO *bio, const char *data, int len)
{
	BIO_clear_retry_flags(bio);
	if (wire.out_len + (size_t)len > wire.out_cap)
		return -1;
	memcpy(wire.out + wire.out_len, data, (size_t)len);
	wire.out_len += (size_t)len;
	return len;
}

static inline long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

/* `payload_cap`: the most plaintext that is sealed between two writes to the socket. NULL when
 * out of memory. */
static inline BIO_METHOD *wire_init(size_t payload_cap)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");

	wire.out_cap = payload_cap + (payload_cap / SSL3_RT_MAX_PLAIN_LENGTH + 1) * 64 + 65536;
	wire.out = malloc(wire.out_cap);
	if (!method || !wire.out)
		return NULL;
	BIO_meth_set_read(method, wire_read);
	BIO_meth_set_write(method, wire_write);
	BIO_meth_set_ctrl(method, wire_ctrl);
	return method;
}

/* Gives `ssl` a BIO of `method`. 0 or -1 (out of memory). */
static inline int wire_attach(SSL *ssl, const BIO_METHOD *method)
{
	BIO *bio = BIO_new(method);

	if (!bio)
		return -1;
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return 0;
}

#endif
