/*
 * A TLS stream after the handshake, where its records are the kernel's (Documentation/networking/
 * tls.rst): data by recv(), sendmsg() and splice(), other records by messages with their type. The
 * kernel keeps what it sealed and TCP did not take; a FIN or a close would cut that.
 */
#include "tls/ktls_kernel.h"

#include "net/stream_arrival.h"
#include "tls/detached.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* --- records that are not data */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(uint8_t))];
};

int ktls_send_record(struct tls_stream *ts, enum record_type type, const void *bytes, size_t len)
{
	struct iovec iov = {(void *)bytes, len};
	union control control = {.bytes = {0}};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	ssize_t sent;

	head->cmsg_level = SOL_TLS;
	head->cmsg_type = TLS_SET_RECORD_TYPE;
	head->cmsg_len = CMSG_LEN(sizeof(uint8_t));
	*CMSG_DATA(head) = (uint8_t)type;
	do
		sent = sendmsg(ts->base.watch.fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0) {
		if (errno == EAGAIN)
			ts->base.can_write = false;
		return -errno;
	}
	ts->tx_base += len;
	return 0;
}

/* One record into the wire buffer, with room for a header in front. Its length, -errno; with length
 * 0, `ret_type` 0 is the end of the socket. */
static ssize_t receive_record(struct tls_stream *ts, uint8_t *ret_type)
{
	struct tls_thread *tls = ts->tls;
	struct iovec iov = {tls->in + RECORD_HEADER_BYTES, RECORD_PLAIN_MAX};
	union control control = {.bytes = {0}};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *head;
	ssize_t got;

	*ret_type = 0;
	do
		got = recvmsg(ts->base.watch.fd, &message, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	head = CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_level == SOL_TLS && head->cmsg_type == TLS_GET_RECORD_TYPE)
		*ret_type = *CMSG_DATA(head);
	return got;
}

/* The kernel has given up on what it receives; without this it would not send our alert either. */
static ssize_t refuse(struct tls_stream *ts, int error)
{
	socklen_t len = sizeof(int);
	int pending;

	if (getsockopt(ts->base.watch.fd, SOL_SOCKET, SO_ERROR, &pending, &len) < 0)
		return -errno;
	return message_refuse_record(ts, error);
}

/* Takes the record that recv() and splice() do not. 0, -errno. */
static ssize_t receive_message(struct tls_stream *ts)
{
	struct tls_thread *tls = ts->tls;
	ssize_t got = wire_claim(ts);
	uint8_t type;

	if (got < 0)
		return got;
	got = receive_record(ts, &type);
	if (got < 0)
		return got;
	if (!type) {
		ts->eof = true;
		return 0;
	}
	tls->in_start = 0;
	tls->in_end = RECORD_HEADER_BYTES + (uint32_t)got;
	if (type != RECORD_DATA || !got)
		return message_received(ts, type, RECORD_HEADER_BYTES, (uint32_t)got, 0);
	wire_consume(ts, RECORD_HEADER_BYTES);
	ts->plain_left = (uint32_t)got;
	return 0;
}

/* What was not received. */
static ssize_t judge(struct tls_stream *ts, ssize_t r)
{
	switch (r) {
	case -EINVAL:
	case -EIO:
	case -EBADMSG:
		return refuse(ts, -EBADMSG);
	case -EMSGSIZE:
		return refuse(ts, -EMSGSIZE);
	default:
		return r;
	}
}

/* What an error of the socket means. 0: it was no error, go on; -errno. recv() says EIO and splice()
 * EINVAL at a record that is not data; where there is none (EAGAIN), it was a bad header. */
static ssize_t receive_failed(struct tls_stream *ts, int error)
{
	ssize_t r = -error;

	if (error == EIO || error == EINVAL)
		r = receive_message(ts);
	return judge(ts, r == -EAGAIN ? -EBADMSG : r);
}

/* recv() or splice() of nothing: the end of TCP, or empty records in front of one that is no data, which
 * only a message tells apart (net/tls/tls_sw.c: tls_record_content_type). 0: go on; -errno. */
static ssize_t received_nothing(struct tls_stream *ts)
{
	ssize_t r = message_without_data(ts);

	if (r < 0)
		return r;
	r = receive_message(ts);
	if (r == -EAGAIN) {
		ts->base.can_read = false;
		return 0;
	}
	return judge(ts, r);
}

/* --- receiving */
static bool is_at_end(const struct tls_stream *ts)
{
	return !ts->plain_left && (ts->peer_notified || ts->eof);
}

static ssize_t received(struct tls_stream *ts, size_t len)
{
	ts->empty_records = 0;
	message_end_of_tickets(ts);
	ts->base.bytes_in += len;
	return (ssize_t)len;
}

static ssize_t take_plain(struct tls_stream *ts, void *bytes, size_t len)
{
	int r = wire_claim(ts);

	if (r < 0)
		return r;
	return received(ts, records_take_plain(ts, bytes, len));
}

ssize_t ktls_read(struct tls_stream *ts, void *bytes, size_t len)
{
	ssize_t got;

	if (!len)
		return -EINVAL; /* 0 means the end */
	for (;;) {
		if (unlikely(ts->plain_left))
			return take_plain(ts, bytes, len);
		if (is_at_end(ts))
			return records_end(ts);
		if (!ts->base.can_read)
			return -EAGAIN;
		got = recv(ts->base.watch.fd, bytes, len, 0);
		if (got > 0)
			return received(ts, (size_t)got);
		if (got == 0) {
			got = received_nothing(ts);
			if (got < 0)
				return got;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN) {
			/* A short read is no sign of it: records are opened one by one. */
			ts->base.can_read = false;
			return -EAGAIN;
		}
		got = receive_failed(ts, errno);
		if (got < 0)
			return got;
	}
}

static bool is_pipe_empty(int pipe_fd)
{
	int bytes = 0;

	return ioctl(pipe_fd, FIONREAD, &bytes) == 0 && !bytes;
}

/* Or is it one empty record in front of others, or of nothing yet? */
static bool looks_like_end(const struct tls_stream *ts)
{
	char byte;

	return recv(ts->base.watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

ssize_t ktls_splice_in(struct tls_stream *ts, int pipe_fd, size_t max)
{
	ssize_t got;

	for (;;) {
		if (is_at_end(ts))
			return records_end(ts);
		if (!ts->base.can_read || ts->plain_left)
			return -EAGAIN;
		got = stream_splice(ts->base.watch.fd, pipe_fd, max);
		if (got > 0)
			return received(ts, (size_t)got);
		if (got == 0) {
			got = looks_like_end(ts) ? received_nothing(ts) : message_without_data(ts);
			if (got < 0)
				return got;
			continue;
		}
		if (got == -EAGAIN) {
			if (is_pipe_empty(pipe_fd)) /* so it was not the pipe that was full */
				ts->base.can_read = false;
			return -EAGAIN;
		}
		got = receive_failed(ts, (int)-got);
		if (got < 0)
			return got;
	}
}

/* --- sending */
static int before_data(struct tls_stream *ts)
{
	int r;

	if (!ts->base.can_write)
		return -EAGAIN;
	if (unlikely(ts->base.bytes_out >= ts->tx_ask_at)) {
		r = ktls_ask_seq(ts);
		if (r < 0)
			return r;
	}
	return message_update_key(ts);
}

ssize_t ktls_writev(struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more)
{
	ssize_t sent = before_data(ts);

	if (sent < 0)
		return sent;
	sent = stream_send(&ts->base, iov, n_iov, more);
	if (sent > 0)
		ts->base.bytes_out += (uint64_t)sent;
	return sent;
}

ssize_t ktls_splice_out(struct tls_stream *ts, int pipe_fd, size_t len)
{
	ssize_t sent = before_data(ts);

	if (sent < 0)
		return sent;
	sent = stream_splice(pipe_fd, ts->base.watch.fd, len);
	if (sent > 0)
		ts->base.bytes_out += (uint64_t)sent;
	else if (sent == -EAGAIN && !is_pipe_empty(pipe_fd))
		ts->base.can_write = false;
	return sent;
}

/* --- the end */
int ktls_is_sent(struct tls_stream *ts)
{
	int r = ktls_ask_seq(ts);

	if (r < 0)
		return r;
	return stream_tcp_bytes(&ts->base) < ts->tx_base + ts->base.bytes_out +
						     ts->tx.seq * record_overhead(&ts->tx)
		       ? -EAGAIN
		       : 0;
}
