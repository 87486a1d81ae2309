/*
 * Bytes of the socket of a TLS stream, on their way in and out: see wire.c.
 */
#ifndef SLUICE_TLS_WIRE_H
#define SLUICE_TLS_WIRE_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_stream;
struct tls_thread;

/* Makes the wire buffer ours: the bytes of its last user go to that stream's stash. 0/-ENOMEM. */
int wire_claim(struct tls_stream *ts) must_check;
/* One recv() behind what is there, for a reader of `want` bytes. Bytes, 0 at the end, -errno. */
ssize_t wire_fill(struct tls_stream *ts, size_t want) must_check;
/* The same, but up to `want` bytes and none beyond. */
ssize_t wire_fill_exact(struct tls_stream *ts, size_t want) must_check;
/* Ours in the wire buffer or the stash. */
uint32_t wire_peek(const struct tls_stream *ts, const uint8_t **ret_bytes);
/* Takes `len` bytes off the front (claimed). */
void wire_consume(struct tls_stream *ts, uint32_t len);
/* Forgets everything, at close. */
void wire_release(struct tls_stream *ts);
uint32_t wire_out_room(const struct tls_thread *tls);
/* Puts the held ticket in front of an empty flight. */
void wire_out_take_held(struct tls_stream *ts);
/* Sends the flight; what is not taken goes to the stash. 0 (also if stashed), -errno. */
int wire_out_send(struct tls_stream *ts, bool more) must_check;
/* Sends the stash. 0: nothing is left; -EAGAIN; -errno. */
int wire_out_flush(struct tls_stream *ts) must_check;

#endif
