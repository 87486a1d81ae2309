/*
 * A TLS stream after the handshake, where its records are ours: in and out of the wire buffers with
 * the keys of the stream. Data is opened straight into the reader's buffer and sealed straight from
 * the writer's.
 */
#include "tls/detached.h"

#include <errno.h>
#include <string.h>

int records_seal(struct tls_stream *ts, enum record_type type, const void *bytes, size_t len)
{
	struct tls_thread *tls = ts->tls;
	struct iovec iov = {(void *)bytes, len};
	struct iov_cursor from = {&iov, 0};
	int r;

	wire_out_take_held(ts); /* was sealed earlier */
	r = record_seal(&tls->ciphers, &ts->tx, type, &from, len, tls->out + tls->out_len);
	if (r < 0)
		return tls_fail(ts, TLS_FAILURE_internal, -EPROTO);
	tls->out_len += (uint32_t)r;
	return 0;
}

uint32_t records_take_plain(struct tls_stream *ts, uint8_t *bytes, size_t len)
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

/* A record without data, whose content may have been opened into the reader's buffer. */
static int control_record(struct tls_stream *ts, uint8_t type, const uint8_t *content, uint32_t len,
	uint32_t record_len)
{
	uint32_t offset = (uint32_t)record_content_offset(&ts->rx);
	uint8_t *place = ts->tls->in + ts->tls->in_start + offset;

	if (content != place)
		memcpy(place, content, len);
	return message_received(ts, type, offset, len, record_len - offset - len);
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
		return message_refuse_record(ts, record_len);
	content = record_room(&ts->rx, (size_t)record_len) <= room ? bytes : record + offset;
	len = record_open(&ts->tls->ciphers, &ts->rx, record, (size_t)record_len, content, &type);
	if (len < 0)
		return message_refuse_record(ts, len);
	if (type != RECORD_DATA || !len)
		return control_record(ts, type, content, (uint32_t)len, (uint32_t)record_len);
	ts->empty_records = 0;
	message_end_of_tickets(ts);
	if (content == bytes) {
		wire_consume(ts, (uint32_t)record_len);
		return len;
	}
	wire_consume(ts, (uint32_t)offset);
	ts->plain_left = (uint32_t)len;
	ts->plain_gap = (uint32_t)record_len - (uint32_t)offset - (uint32_t)len;
	return records_take_plain(ts, bytes, room);
}

ssize_t records_end(struct tls_stream *ts)
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
		got = records_take_plain(ts, bytes, len);
	while (got < len && !ts->peer_notified) {
		r = read_record(ts, bytes + got, len - got);
		if (r < 0)
			return got ? (ssize_t)got : r;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

/* Reads the socket; nothing beyond the record at the front when the kernel shall have the next. */
static ssize_t fill(struct tls_stream *ts, size_t want)
{
	const uint8_t *bytes;
	uint32_t have = wire_peek(ts, &bytes);
	int len;

	if (likely(!ktls_is_due(ts, TLS_RX)))
		return wire_fill(ts, want);
	len = record_length(bytes, have);
	return wire_fill_exact(ts, (len > 0 ? (uint32_t)len : RECORD_HEADER_BYTES) - have);
}

/* Between two records. True: the kernel has the next one. */
static bool is_handed_over(struct tls_stream *ts)
{
	return unlikely(ktls_is_due(ts, TLS_RX)) && ktls_start_rx(ts) == 0 &&
	       ts->places[TLS_RX] == KTLS_kernel;
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
			return records_end(ts);
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
			return records_end(ts);
		if (is_handed_over(ts))
			return ktls_read(ts, bytes, len);
		if (ts->state == TLS_STREAM_FAILED)
			return -EPROTO;
		if (!ts->base.can_read)
			return -EAGAIN;
		r = fill(ts, len);
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
	if (message_update_key(ts) < 0)
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
