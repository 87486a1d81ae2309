/*
 * Records that are not data, after the handshake: alerts, KeyUpdate, session tickets. What they
 * mean is decided here, whoever makes and opens them: we (records.c) or the kernel (ktls_io.c).
 */
#include "tls/detached.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* Records without data in a row (RFC 8446 leaves floods of them to us). */
enum { EMPTY_RECORDS_MAX = 32 };

enum {
	ALERT_WARNING = 1,
	ALERT_FATAL = 2,
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_USER_CANCELED = 90,
	MESSAGE_NEW_SESSION_TICKET = 4,
	MESSAGE_KEY_UPDATE = 24,
	MESSAGE_HEADER_BYTES = 4,
};

/* Of a handshake: what we send is not protected yet (RFC 5246 7.1). */
static int send_in_the_clear(
	struct tls_stream *ts, enum record_type type, const void *bytes, size_t len)
{
	struct tls_thread *tls = ts->tls;
	uint8_t *out = tls->out + tls->out_len;

	if (wire_out_room(tls) < RECORD_HEADER_BYTES + len)
		return -ENOBUFS;
	memcpy(out, (uint8_t[]){(uint8_t)type, 3, 3, (uint8_t)(len >> 8), (uint8_t)len},
		RECORD_HEADER_BYTES);
	memcpy(out + RECORD_HEADER_BYTES, bytes, len);
	tls->out_len += RECORD_HEADER_BYTES + (uint32_t)len;
	return 0;
}

static int message_send(struct tls_stream *ts, enum record_type type, const void *bytes, size_t len)
{
	if (!ts->tx.id)
		return send_in_the_clear(ts, type, bytes, len);
	if (ts->places[TLS_TX] == KTLS_kernel)
		return ktls_send_record(ts, type, bytes, len);
	return records_seal(ts, type, bytes, len);
}

int message_alert(struct tls_stream *ts, uint8_t level, uint8_t description)
{
	uint8_t alert[2] = {level, description};

	return message_send(ts, RECORD_ALERT, alert, sizeof(alert));
}

int message_refuse(struct tls_stream *ts, uint8_t description, enum tls_failure failure)
{
	if (message_alert(ts, ALERT_FATAL, description) < 0 || wire_out_send(ts, false) < 0)
		ts->base.can_write = false; /* the failure is what is reported */
	return tls_fail(ts, failure, -EPROTO);
}

int message_refuse_record(struct tls_stream *ts, int error)
{
	uint8_t description = error == -EMSGSIZE ? ALERT_RECORD_OVERFLOW
			      : error == -EPROTO ? ALERT_UNEXPECTED_MESSAGE
						 : ALERT_BAD_RECORD_MAC;

	return message_refuse(ts, description, TLS_FAILURE_bad_record);
}

/* --- keys */
static int change_key(struct tls_stream *ts, enum tls_direction direction)
{
	struct record_key *key = direction == TLS_TX ? &ts->tx : &ts->rx;

	ts->key_updates++;
	if (ts->places[direction] == KTLS_kernel)
		return ktls_rekey(ts, direction);
	return record_key_update(&ts->tls->ciphers, key);
}

static int key_update_send(struct tls_stream *ts)
{
	static const uint8_t message[KEY_UPDATE_BYTES] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
	int r = message_send(ts, RECORD_HANDSHAKE, message, sizeof(message));

	if (r < 0)
		return r;
	ts->update_owed = false;
	r = change_key(ts, TLS_TX);
	return r < 0 ? tls_fail(ts, TLS_FAILURE_internal, -EPROTO) : 0;
}

int message_update_key(struct tls_stream *ts)
{
	bool can_change;

	if (likely(!ts->update_owed && !record_key_is_old(&ts->tx)))
		return 0;
	can_change = ts->tx.is_tls13 && (ts->places[TLS_TX] != KTLS_kernel || ktls_can_rekey(ts));
	if (can_change)
		return key_update_send(ts);
	if (ts->update_owed)
		return message_refuse(ts, ALERT_INTERNAL_ERROR, TLS_FAILURE_ktls_no_rekey);
	/* An alert, not close_notify: what is cut here must not look complete. */
	if (record_key_is_used_up(&ts->tx))
		return message_refuse(ts, ALERT_INTERNAL_ERROR, TLS_FAILURE_key_used_up);
	ts->base.retiring = true;
	return 0;
}

/* RFC 8446 4.6.3: an answer is due before our next data and one may answer many; sent at once, a
 * peer that asks and does not read would have us keep any number of them. */
static int key_update_received(struct tls_stream *ts, uint8_t request)
{
	int r;

	if (request > 1)
		return message_refuse(ts, ALERT_ILLEGAL_PARAMETER, TLS_FAILURE_bad_message);
	r = change_key(ts, TLS_RX);
	/* What it sends from here on cannot be read: not an end that looks like one. */
	if (r == -EOPNOTSUPP && ts->places[TLS_RX] == KTLS_kernel)
		return message_refuse(ts, ALERT_INTERNAL_ERROR, TLS_FAILURE_ktls_no_rekey);
	if (r < 0)
		return message_refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_message);
	ts->update_owed |= request;
	return 0;
}

/* --- session tickets */
/* Lets OpenSSL have a handshake record (a ticket, client side). */
static int feed_ssl(struct tls_stream *ts, uint32_t offset, uint32_t len)
{
	uint8_t *header = ts->tls->in + ts->tls->in_start + offset - RECORD_HEADER_BYTES;
	uint8_t none;
	int r;

	memcpy(header, (uint8_t[]){RECORD_HANDSHAKE, 3, 3, (uint8_t)(len >> 8), (uint8_t)len},
		RECORD_HEADER_BYTES);
	wire_consume(ts, offset - RECORD_HEADER_BYTES);
	ts->plain_left = RECORD_HEADER_BYTES + len;
	ts->plain_gap = 0;
	ERR_clear_error();
	r = SSL_read(ts->ssl, &none, 1);
	if (r > 0 || SSL_get_error(ts->ssl, r) != SSL_ERROR_WANT_READ)
		return tls_fail(ts, TLS_FAILURE_bad_message, -EPROTO);
	wire_consume(ts, ts->plain_left);
	ts->plain_left = 0;
	return 0;
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

void message_end_of_tickets(struct tls_stream *ts)
{
	if (unlikely(ts->ssl != NULL))
		tls_ssl_free(ts);
}

/* --- what came */
int message_without_data(struct tls_stream *ts)
{
	if (++ts->empty_records > EMPTY_RECORDS_MAX)
		return message_refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
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
			break;
		message_len = (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
		if (bytes[0] == MESSAGE_KEY_UPDATE && message_len == 1 && len == KEY_UPDATE_BYTES)
			return key_update_received(ts, bytes[4]);
		if (bytes[0] != MESSAGE_NEW_SESSION_TICKET || !ts->client)
			break;
		ts->message_left = message_len;
		bytes += MESSAGE_HEADER_BYTES;
		len -= MESSAGE_HEADER_BYTES;
	}
	return len ? message_refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_message) : 0;
}

static int alert_received(struct tls_stream *ts, const uint8_t *alert, uint32_t len)
{
	if (len != 2)
		return message_refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
	if (alert[1] == ALERT_CLOSE_NOTIFY) {
		ts->peer_notified = true;
		return 0;
	}
	if (alert[1] == ALERT_USER_CANCELED || (!ts->rx.is_tls13 && alert[0] == ALERT_WARNING))
		return 0;
	ts->detail = SSL_alert_desc_string_long(alert[1]);
	return tls_fail(ts, tls_alert_failure(ts, alert[1]), -EPROTO);
}

int message_received(
	struct tls_stream *ts, uint8_t type, uint32_t offset, uint32_t len, uint32_t behind)
{
	const uint8_t *content = ts->tls->in + ts->tls->in_start + offset;
	int r;

	r = message_without_data(ts);
	if (r < 0)
		return r;
	if (type == RECORD_HANDSHAKE && ts->ssl && !ts->message_left && is_tickets(content, len)) {
		r = feed_ssl(ts, offset, len);
		if (r == 0)
			wire_consume(ts, behind);
		return r;
	}
	wire_consume(ts, offset + len + behind);
	if (type == RECORD_DATA)
		return 0; /* an empty one: padding against traffic analysis */
	if (type == RECORD_ALERT)
		return alert_received(ts, content, len);
	if (type == RECORD_HANDSHAKE && len)
		return post_handshake(ts, content, len);
	return message_refuse(ts, ALERT_UNEXPECTED_MESSAGE, TLS_FAILURE_bad_record);
}
