/*
 * Socket bytes of TLS streams. Reading: all streams of a thread share one wire buffer, filled by
 * one recv(); a stream that leaves bytes in it keeps it until another one wants it, which moves
 * them to memory of the owner, no more than they need: a peer may send a byte of a record and wait.
 * Writing: a flight is put together in one buffer of the thread and sent at once; what the socket does
 * not take is kept in a block of the stream. Records that the kernel makes and opens go past this.
 */
#include "tls/stream_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a fill reads beyond what the reader wants: records are larger than their content, and a
 * reader of a head comes back for the rest. More than one record, but not much: what the reader
 * leaves is kept, and copied whenever another stream comes in between. */
enum { WIRE_IN_EXTRA = BUF_MEDIUM - 2 * BUF_SMALL };

static int stash_in(struct tls_stream *ts, const uint8_t *bytes, uint32_t len)
{
	ts->in_stash = malloc(len);
	if (!ts->in_stash)
		return -ENOMEM;
	memcpy(ts->in_stash, bytes, len);
	ts->in_stash_len = len;
	return 0;
}

static void drop_in_stash(struct tls_stream *ts)
{
	free(ts->in_stash);
	ts->in_stash = NULL;
	ts->in_stash_len = 0;
}

static int stash_out(struct tls_stream *ts, const uint8_t *bytes, uint32_t len)
{
	uint8_t *stash;

	if (ts->out_stash_start) {
		memmove(ts->out_stash, ts->out_stash + ts->out_stash_start, ts->out_stash_len);
		ts->out_stash_start = 0;
	}
	stash = realloc(ts->out_stash, ts->out_stash_len + len);
	if (!stash)
		return -ENOMEM;
	memcpy(stash + ts->out_stash_len, bytes, len);
	ts->out_stash = stash;
	ts->out_stash_len += len;
	return 0;
}

static void drop_out_stash(struct tls_stream *ts)
{
	free(ts->out_stash);
	ts->out_stash = NULL;
	ts->out_stash_start = ts->out_stash_len = 0;
}

int wire_claim(struct tls_stream *ts)
{
	struct tls_thread *tls = ts->tls;
	struct tls_stream *owner = tls->in_owner;
	int r = 0;

	if (likely(owner == ts))
		return 0;
	if (owner && tls->in_end > tls->in_start) {
		r = stash_in(owner, tls->in + tls->in_start, tls->in_end - tls->in_start);
		if (r < 0)
			return r;
	}
	tls->in_owner = ts;
	tls->in_start = 0;
	tls->in_end = ts->in_stash_len;
	if (tls->in_end) {
		memcpy(tls->in, ts->in_stash, tls->in_end);
		drop_in_stash(ts);
	}
	return 0;
}

static void make_room(struct tls_thread *tls)
{
	if (tls->in_start == tls->in_end) {
		tls->in_start = tls->in_end = 0;
		return;
	}
	if (!tls->in_start || WIRE_IN_BYTES - tls->in_end > RECORD_BODY_MAX + RECORD_HEADER_BYTES)
		return;
	memmove(tls->in, tls->in + tls->in_start, tls->in_end - tls->in_start);
	tls->in_end -= tls->in_start;
	tls->in_start = 0;
}

ssize_t wire_fill(struct tls_stream *ts, size_t want)
{
	return wire_fill_exact(ts, want + WIRE_IN_EXTRA);
}

ssize_t wire_fill_exact(struct tls_stream *ts, size_t want)
{
	struct tls_thread *tls = ts->tls;
	size_t room;
	ssize_t got;

	make_room(tls);
	room = WIRE_IN_BYTES - tls->in_end;
	got = stream_recv(&ts->base, tls->in + tls->in_end, want < room ? want : room);
	if (got > 0)
		tls->in_end += (uint32_t)got;
	else if (got == 0)
		ts->eof = true;
	return got;
}

uint32_t wire_peek(const struct tls_stream *ts, const uint8_t **ret_bytes)
{
	const struct tls_thread *tls = ts->tls;

	if (tls->in_owner == ts) {
		*ret_bytes = tls->in + tls->in_start;
		return tls->in_end - tls->in_start;
	}
	*ret_bytes = ts->in_stash;
	return ts->in_stash_len;
}

void wire_consume(struct tls_stream *ts, uint32_t len)
{
	ts->tls->in_start += len;
}

void wire_release(struct tls_stream *ts)
{
	struct tls_thread *tls = ts->tls;

	if (tls->in_owner == ts) {
		tls->in_owner = NULL;
		tls->in_start = tls->in_end = 0;
	}
	drop_in_stash(ts);
	drop_out_stash(ts);
	free(ts->held);
	ts->held = NULL;
}

uint32_t wire_out_room(const struct tls_thread *tls)
{
	return WIRE_OUT_BYTES - tls->out_len;
}

void wire_out_take_held(struct tls_stream *ts)
{
	struct tls_thread *tls = ts->tls;

	if (likely(!ts->held))
		return;
	memcpy(tls->out + tls->out_len, ts->held, ts->held_len);
	tls->out_len += ts->held_len;
	free(ts->held);
	ts->held = NULL;
	if (!ts->base.await_ms)
		timer_clear(&ts->base.timer);
}

int wire_out_send(struct tls_stream *ts, bool more)
{
	struct tls_thread *tls = ts->tls;
	struct iovec iov = {tls->out, tls->out_len};
	ssize_t sent;

	if (!tls->out_len)
		return 0;
	tls->out_len = 0;
	if (ts->out_stash_len || !ts->base.can_write)
		sent = 0;
	else
		sent = stream_send(&ts->base, &iov, 1, more);
	if (sent < 0 && sent != -EAGAIN)
		return (int)sent;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent == iov.iov_len)
		return 0;
	return stash_out(
		ts, (uint8_t *)iov.iov_base + sent, (uint32_t)(iov.iov_len - (size_t)sent));
}

int wire_out_flush(struct tls_stream *ts)
{
	struct iovec iov;
	ssize_t sent;

	while (ts->out_stash_len) {
		if (!ts->base.can_write)
			return -EAGAIN;
		iov = (struct iovec){ts->out_stash + ts->out_stash_start, ts->out_stash_len};
		sent = stream_send(&ts->base, &iov, 1, false);
		if (sent < 0)
			return (int)sent;
		ts->out_stash_start += (uint32_t)sent;
		ts->out_stash_len -= (uint32_t)sent;
	}
	drop_out_stash(ts);
	return 0;
}
