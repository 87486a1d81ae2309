/*
 * How far what was written to a stream has come. No event of the kernel's tells, so it is asked, now
 * and by the stream's timer. The thread of the stream.
 */
#ifndef SLUICE_NET_STREAM_ARRIVAL_H
#define SLUICE_NET_STREAM_ARRIVAL_H

#include "net/stream.h"

enum stream_arrival {
	STREAM_SENT, /* TCP has it: a FIN cuts nothing */
	STREAM_DELIVERED, /* the peer's TCP has it: a RST cuts nothing */
};

/*
 * Has everything that was written come that far? 0: it has, or the connection is gone; -EAGAIN; or as
 * writev(). After -EAGAIN the stream's timer asks again and again, and calls watch.ready once there was
 * progress (so that a time-out of the owner's means that there was none): ask again then. Nothing must
 * be written in between.
 */
int stream_await(struct stream *stream, enum stream_arrival arrival) must_check;
/* For kinds of stream: what their timer fires. */
void stream_look_again(struct timer *timer);

/* Bytes on the wire that the peer's TCP has acknowledged. Asks the kernel; 0: it does not say. */
uint64_t stream_acked_bytes(const struct stream *stream);
/* The same, and those TCP has got to send. */
uint64_t stream_tcp_bytes(const struct stream *stream);

#endif
