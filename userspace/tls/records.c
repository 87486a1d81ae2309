/*
 * A TLS stream after the handshake: records in and out of the wire buffers with the keys of the
 * stream. Data is opened straight into the reader's buffer and sealed straight from the writer's.
 */
#include "tls/stream_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* Records without data in a row (RFC 8446 leaves floods of them to us). */
enum { EMPTY_RECORDS_MAX = 32 };

enum {
	ALERT_WARNING = 1,
	ALERT_FATAL = 2,
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_USER_CANCELED = 90,
	MESSAGE_NEW_SESSION_TICKET = 4,
	MESSAGE_KEY_UPDATE = 24,
	MESSAGE_HEADER_BYTES = 4,
	KEY_UPDATE_BYTES = 5,
};

static int seal_message(struct tls_stream *ts, enum record_type type, const void *bytes, size_t len)
{
	struct tls_thread *tls = ts->tls;
	struct iovec iov = {(void *)bytes, len};
	struct iov_cursor from = {&iov, 0};
	int r;

	wire_out_take_held(ts); /* was sealed earlier */
	r = record_seal(&tls->ciphers, &ts->tx, type, &from, len, tls->out + tls->out_len);
	if (r < 0)
		return tls_fail(ts, TLS_FAILURE_internal, r);
	tls->out_len += (uint32_t)r;
	return 0;
}

int records_alert(struct tls_stream *ts, uint8_t level, uint8_t description)
{
	uint8_t alert[2] = {level, description};

	return seal_message(ts, RECORD_ALERT, alert, sizeof(alert));
}

/* Tells the peer and ends the stream. */
static int refuse(struct tls_stream *ts, uint8_t description, enum tls_failure failure)
{
	if (records_alert(ts, ALERT_FATAL, description) == 0 && wire_out_send(ts, false) < 0)
		ts->base.can_write = false; /* the failure is what is reported */
	return tls_fail(ts, failure, -EPROTO);
}

static int key_update_send(struct tls_stream *ts)
{
	static const uint8_t message[KEY_UPDATE_BYTES] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
	int r = seal_message(ts, RECORD_HANDSHAKE, message, sizeof(message));

	if (r < 0)
		return r;
	ts->update_owed = false;
	r = record_key_update(&ts->tls->ciphers, &ts->tx);
	return r < 0 ? tls_fail(ts, TLS_FAILURE_internal, r) : 0;
}

/* RFC 8446 4.6.3: an answer is due before our next data and one may answer many; sent at once, a
 * peer that asks and does not read would have us keep any number of them. */
static int key_update_received(struct tls_stream *ts, uint8_t request)
{
	int r = record_key_update(&ts->tls->ciphers, &ts->rx);

	if (r < 0 || request > 1)
		return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_message);
	ts->update_owed |= request;
	return 0;
}

/* Lets OpenSSL have a handshake record that is opened at `content` (a ticket, client side). */
static int feed_ssl(struct tls_stream *ts, uint32_t content_offset, uint32_t len)
{
	uint8_t *header = ts->tls->in + ts->tls->in_start + content_offset - RECORD_HEADER_BYTES;
	uint8_t none;
	int r;

	memcpy(header, (uint8_t[]){RECORD_HANDSHAKE, 3, 3, (uint8_t)(len >> 8), (uint8_t)len},
		RECORD_HEADER_BYTES);
	wire_consume(ts, content_offset - RECORD_HEADER_BYTES);
	ts->plain_left = RECORD_HEADER_BYTES + len;
	ERR_clear_error();
	r = SSL_read(ts->ssl, &none, 1);
	if (r > 0 || SSL_get_error(ts->ssl, r) != SSL_ERROR_WANT_READ)
		return tls_fail(ts, TLS_FAILURE_bad_message, -EPROTO);
	wire_consume(ts, ts->plain_left);
	ts->plain_left = 0;
	return 0;
}

/* Tickets for a client that keeps none are skipped, KeyUpdate is obeyed, the rest is refused. */
static int post_handshake(struct tls_stream *ts, const uint8_t *bytes, uint32_t len)
{
	uint32_t message_len;

	while (len) {
		if (ts->message_left) {
			message_len = ts->message_left < len ? ts->message_left : len;
			ts->message_left -= message_len;
			bytes += message_len;
			len -= message_len;
			continue;
		}
		if (!ts->rx.is_tls13 || len < MESSAGE_HEADER_BYTES)
			return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_message);
		message_len = (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
		if (bytes[0] == MESSAGE_KEY_UPDATE && message_len == 1 && len == KEY_UPDATE_BYTES)
			return key_update_received(ts, bytes[4]);
		if (bytes[0] != MESSAGE_NEW_SESSION_TICKET || !ts->client)
			return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_message);
		ts->message_left = message_len;
		bytes += MESSAGE_HEADER_BYTES;
		len -= MESSAGE_HEADER_BYTES;
	}
	return 0;
}

static int alert_received(struct tls_stream *ts, const uint8_t *alert, uint32_t len)
{
	if (len != 2)
		return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
	if (alert[1] == ALERT_CLOSE_NOTIFY) {
		ts->peer_notified = true;
		return 0;
	}
	if (alert[1] == ALERT_USER_CANCELED || (!ts->rx.is_tls13 && alert[0] == ALERT_WARNING))
		return 0;
	snprintf(ts->detail, sizeof(ts->detail), "%s", SSL_alert_desc_string_long(alert[1]));
	return tls_fail(ts, TLS_FAILURE_peer_alert, -EPROTO);
}

/* Whole session tickets and nothing else: what OpenSSL may have. A KeyUpdate behind one would make
 * it answer and change keys on its own; the pieces of a split one are skipped. */
static bool is_tickets(const uint8_t *bytes, uint32_t len)
{
	uint32_t message_len;

	while (len >= MESSAGE_HEADER_BYTES && bytes[0] == MESSAGE_NEW_SESSION_TICKET) {
		message_len = (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
		if (message_len > len - MESSAGE_HEADER_BYTES)
			return false;
		bytes += MESSAGE_HEADER_BYTES + message_len;
		len -= MESSAGE_HEADER_BYTES + message_len;
		if (!len)
			return true;
	}
	return false;
}

/* A record without data; its content is at `content`, which may be the reader's buffer. */
static int control_record(struct tls_stream *ts, uint8_t type, const uint8_t *content, uint32_t len,
	uint32_t record_len)
{
	uint32_t offset = (uint32_t)record_content_offset(&ts->rx);
	uint8_t *place = ts->tls->in + ts->tls->in_start + offset;
	int r;

	if (++ts->empty_records > EMPTY_RECORDS_MAX)
		return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
	if (type == RECORD_HANDSHAKE && ts->ssl && !ts->message_left && is_tickets(content, len)) {
		if (content != place)
			memcpy(place, content, len);
		ts->plain_gap = 0;
		r = feed_ssl(ts, offset, len);
		if (r == 0)
			wire_consume(ts, record_len - offset - len);
		return r;
	}
	wire_consume(ts, record_len);
	if (type == RECORD_DATA)
		return 0; /* an empty one: padding against traffic analysis */
	if (type == RECORD_ALERT)
		return alert_received(ts, content, len);
	if (type == RECORD_HANDSHAKE && len)
		return post_handshake(ts, content, len);
	return refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
}

static uint32_t take_plain(struct tls_stream *ts, uint8_t *bytes, size_t len)
{
	uint32_t take = ts->plain_left < len ? ts->plain_left : (uint32_t)len;

	memcpy(bytes, ts->tls->in + ts->tls->in_start, take);
	ts->plain_left -= take;
	wire_consume(ts, take);
	if (!ts->plain_left) {
		wire_consume(ts, ts->plain_gap);
		ts->plain_gap = 0;
	}
	return take;
}

/* Length of the record at the front if it is whole, -EAGAIN, or -EBADMSG. */
static int whole_record(const struct tls_stream *ts)
{
	const uint8_t *bytes;
	uint32_t have = wire_peek(ts, &bytes);
	int len = record_length(bytes, have);

	return len < 0 ? len : len == 0 || (uint32_t)len > have ? -EAGAIN : len;
}

/* The first application data: tickets came before it. */
static void end_of_tickets(struct tls_stream *ts)
{
	if (unlikely(ts->ssl != NULL))
		tls_ssl_free(ts);
}

/* One record. Bytes put into the reader's buffer, 0 for anything but data, -EAGAIN, -errno. */
static ssize_t read_record(struct tls_stream *ts, uint8_t *bytes, size_t room)
{
	uint8_t *record = ts->tls->in + ts->tls->in_start, *content;
	size_t offset = record_content_offset(&ts->rx);
	int record_len = whole_record(ts), len;
	uint8_t type;

	if (record_len == -EAGAIN)
		return -EAGAIN;
	if (record_len < 0)
		return refuse(ts, ALERT_BAD_RECORD_MAC, TLS_FAILURE_bad_record);
	content = record_room(&ts->rx, (size_t)record_len) <= room ? bytes : record + offset;
	len = record_open(&ts->tls->ciphers, &ts->rx, record, (size_t)record_len, content, &type);
	if (len < 0)
		return refuse(ts, ALERT_BAD_RECORD_MAC, TLS_FAILURE_bad_record);
	if (type != RECORD_DATA || !len)
		return control_record(ts, type, content, (uint32_t)len, (uint32_t)record_len);
	ts->empty_records = 0;
	end_of_tickets(ts);
	if (content == bytes) {
		wire_consume(ts, (uint32_t)record_len);
		return len;
	}
	wire_consume(ts, (uint32_t)offset);
	ts->plain_left = (uint32_t)len;
	ts->plain_gap = (uint32_t)record_len - (uint32_t)offset - (uint32_t)len;
	return take_plain(ts, bytes, room);
}

static ssize_t read_end(struct tls_stream *ts)
{
	ts->base.read_ended = true;
	if (ts->peer_notified)
		return 0;
	ts->base.truncated = true;
	return -ECONNRESET;
}

/* What is at hand, without a system call. Bytes, 0 at close_notify, -EAGAIN, -errno. */
static ssize_t read_at_hand(struct tls_stream *ts, uint8_t *bytes, size_t len)
{
	size_t got = 0;
	ssize_t r;

	if (ts->plain_left)
		got = take_plain(ts, bytes, len);
	while (got < len && !ts->peer_notified) {
		r = read_record(ts, bytes + got, len - got);
		if (r < 0)
			return got ? (ssize_t)got : r;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

ssize_t records_read(struct tls_stream *ts, void *bytes, size_t len)
{
	ssize_t r;

	if (!len)
		return -EINVAL; /* 0 means the end */
	r = wire_claim(ts);
	if (r < 0)
		return r;
	for (;;) {
		if (ts->peer_notified && !ts->plain_left)
			return read_end(ts);
		r = read_at_hand(ts, bytes, len);
		if (r > 0) {
			ts->base.bytes_in += (uint64_t)r;
			return r;
		}
		if (r == 0)
			continue; /* close_notify */
		if (r != -EAGAIN)
			return r;
		if (ts->eof)
			return read_end(ts);
		if (!ts->base.can_read)
			return -EAGAIN;
		r = wire_fill(ts, len);
		if (r < 0)
			return r;
	}
}

bool records_has_pending(const struct tls_stream *ts)
{
	if (ts->plain_left)
		return true;
	return !ts->base.read_ended && (ts->peer_notified || whole_record(ts) != -EAGAIN);
}

int records_open_for_ssl(struct tls_stream *ts)
{
	uint8_t *record = ts->tls->in + ts->tls->in_start;
	uint32_t offset = (uint32_t)record_content_offset(&ts->rx);
	int record_len = whole_record(ts), len;
	uint8_t type;

	if (record_len < 0)
		return record_len;
	len = record_open(
		&ts->tls->ciphers, &ts->rx, record, (size_t)record_len, record + offset, &type);
	if (len < 0)
		return len;
	memcpy(record + offset - RECORD_HEADER_BYTES,
		(uint8_t[]){type, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, RECORD_HEADER_BYTES);
	wire_consume(ts, offset - RECORD_HEADER_BYTES);
	ts->plain_left = RECORD_HEADER_BYTES + (uint32_t)len;
	ts->plain_gap = (uint32_t)record_len - offset - (uint32_t)len;
	return 0;
}

static size_t iov_bytes(const struct iovec *iov, int n_iov)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < n_iov; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* TLS 1.2 knows no other keys, and no limit (RFC 5288). */
static bool must_update(const struct tls_stream *ts)
{
	return ts->update_owed || (ts->tx.is_tls13 && record_key_is_used_up(&ts->tx));
}

/* The most that records_writev() puts together fits the wire buffer. */
_Static_assert(WIRE_HELD_MAX + (1 + TLS_WRITE_BYTES_MAX / RECORD_PLAIN_MAX) * RECORD_OVERHEAD_MAX +
			       KEY_UPDATE_BYTES + TLS_WRITE_BYTES_MAX <=
		       WIRE_OUT_BYTES,
	"flight");

ssize_t records_writev(struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more)
{
	struct tls_thread *tls = ts->tls;
	struct iov_cursor from = {iov, 0};
	size_t want = iov_bytes(iov, n_iov), left, len;
	int r = wire_out_flush(ts);

	if (r < 0)
		return r;
	if (!ts->base.can_write)
		return -EAGAIN;
	wire_out_take_held(ts);
	if (unlikely(must_update(ts)) && key_update_send(ts) < 0)
		return -EPROTO;
	more |= want > TLS_WRITE_BYTES_MAX;
	want = want < TLS_WRITE_BYTES_MAX ? want : TLS_WRITE_BYTES_MAX;
	for (left = want; left; left -= len) {
		len = left < RECORD_PLAIN_MAX ? left : RECORD_PLAIN_MAX;
		r = record_seal(
			&tls->ciphers, &ts->tx, RECORD_DATA, &from, len, tls->out + tls->out_len);
		if (r < 0)
			return tls_fail(ts, TLS_FAILURE_internal, -EPROTO);
		tls->out_len += (uint32_t)r;
	}
	r = wire_out_send(ts, more);
	if (r < 0)
		return r;
	ts->base.bytes_out += want;
	return (ssize_t)want;
}
