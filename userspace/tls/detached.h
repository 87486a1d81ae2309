/*
 * Inside of a TLS stream whose handshake is over, shared by the files that carry its records: those
 * of ours (records.c), those of the kernel (ktls.c, ktls_io.c), and what is not data (messages.c).
 */
#ifndef SLUICE_TLS_DETACHED_H
#define SLUICE_TLS_DETACHED_H

#include "tls/stream_state.h"

enum { KEY_UPDATE_BYTES = 5 }; /* the whole message */

/* --- records.c: a direction of a detached stream whose records are ours */
ssize_t records_read(struct tls_stream *ts, void *bytes, size_t len) must_check;
ssize_t records_writev(
	struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more) must_check;
/* Seals a record into the flight. 0 or -EPROTO. */
int records_seal(
	struct tls_stream *ts, enum record_type type, const void *bytes, size_t len) must_check;
bool records_has_pending(const struct tls_stream *ts);
/* Data that is opened already and lies in the (claimed) wire buffer. */
uint32_t records_take_plain(struct tls_stream *ts, uint8_t *bytes, size_t len);
/* What read() says at the end of the socket or after close_notify. */
ssize_t records_end(struct tls_stream *ts);
/* Makes the next whole record header and content at in_start, for OpenSSL. 0, -EAGAIN, -EBADMSG. */
int records_open_for_ssl(struct tls_stream *ts) must_check;

/* --- messages.c: records that are not data, whoever makes and opens them */
/* Obeys a record whose `len` bytes of content lie in the claimed wire buffer, `offset` (room for a
 * header, at least) behind its start; takes it and `behind` more bytes off. 0, -EPROTO. */
int message_received(struct tls_stream *ts, uint8_t type, uint32_t offset, uint32_t len,
	uint32_t behind) must_check;
/* A record came that was no data, or empty. 0, -EPROTO: too many in a row. */
int message_without_data(struct tls_stream *ts) must_check;
/* 0, -EAGAIN (the kernel's records only), -errno. */
int message_alert(struct tls_stream *ts, uint8_t level, uint8_t description) must_check;
/* Tells the peer why (a fatal alert) and ends the stream. -EPROTO. */
int message_refuse(struct tls_stream *ts, uint8_t description, enum tls_failure failure);
/* The same for a record that cannot be: by what record_open() and record_length() say. */
int message_refuse_record(struct tls_stream *ts, int error);
/* Before data is sent: a new key, where one is due. 0, -EAGAIN, -EPROTO. */
int message_update_key(struct tls_stream *ts) must_check;
/* The first application data has come: session tickets come before it. */
void message_end_of_tickets(struct tls_stream *ts);

/* --- ktls.c: who has the records */
/* Before the handshake: a connection that must be the kernel's is one that can be, later. The
 * kernel refuses those whose peer has sent a FIN, as one may behind its first request. */
void ktls_prepare(struct tls_stream *ts);
/* At the end of the handshake: what is wanted. Then, and again while it says -EAGAIN, what is
 * required. 0, -EAGAIN, -EPROTO. */
void ktls_decide(struct tls_stream *ts);
int ktls_require(struct tls_stream *ts) must_check;
/* Has the kernel the direction, or could it have it? */
bool ktls_may(const struct tls_stream *ts, enum tls_direction direction);
/* Hands over what we send, if nothing is at hand. 0 whether it did (see places) or not; -errno. */
int ktls_start_tx(struct tls_stream *ts) must_check;
/* The same for what we receive. */
int ktls_start_rx(struct tls_stream *ts) must_check;
/* The next generation of a key that the kernel has. 0, -EOPNOTSUPP. */
int ktls_rekey(struct tls_stream *ts, enum tls_direction direction) must_check;
/* Does the kernel take new keys for this (TX) direction? */
bool ktls_can_rekey(struct tls_stream *ts);
/* Sequence number of the next record into ts->tx. 0 or -errno. */
int ktls_ask_seq(struct tls_stream *ts) must_check;

/* Should the kernel have the direction now? */
static inline bool ktls_is_due(const struct tls_stream *ts, enum tls_direction direction)
{
	if (likely(ts->places[direction] != KTLS_waits && ts->places[direction] != KTLS_buffered))
		return false;
	return ts->wanted[direction];
}

/* --- ktls_keys.c: keys in the kernel's words */
/* The key of the direction is the kernel's then; what is left is what makes the next one. 0, -errno. */
int ktls_give_key(struct tls_stream *ts, enum tls_direction direction) must_check;
/* Of the next record we send. 0, -errno. */
int ktls_key_seq(const struct tls_stream *ts, uint64_t *ret_seq) must_check;

/* --- ktls_io.c: records in the kernel */
ssize_t ktls_read(struct tls_stream *ts, void *bytes, size_t len) must_check;
ssize_t ktls_writev(
	struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more) must_check;
ssize_t ktls_splice_in(struct tls_stream *ts, int pipe_fd, size_t max) must_check;
ssize_t ktls_splice_out(struct tls_stream *ts, int pipe_fd, size_t len) must_check;
/* Sends a record that is not data. 0, -EAGAIN, -errno. */
int ktls_send_record(
	struct tls_stream *ts, enum record_type type, const void *bytes, size_t len) must_check;
/* Has TCP got all that the kernel took from us? A FIN sent before would cut it. 0, -EAGAIN, -errno. */
int ktls_is_sent(struct tls_stream *ts) must_check;

#endif
