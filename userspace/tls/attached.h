/*
 * Inside of a TLS stream whose records stay with OpenSSL after the handshake: see attached.c.
 */
#ifndef SLUICE_TLS_ATTACHED_H
#define SLUICE_TLS_ATTACHED_H

#include "tls/stream_state.h"

/* The handshake is over, and no keys came to us. */
void attached_start(struct tls_stream *ts);
ssize_t attached_read(struct tls_stream *ts, void *bytes, size_t len) must_check;
ssize_t attached_writev(
	struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more) must_check;
/* Seals close_notify into the flight. */
void attached_notify(struct tls_stream *ts);
bool attached_has_pending(const struct tls_stream *ts);

#endif
