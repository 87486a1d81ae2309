/*
 * How a gate gets frames and gets rid of them: AF_XDP sockets and the TUN device (gate_io.c), or
 * whatever a test puts in their place. Same thread as the gate.
 */
#ifndef SLUICE_GATE_GATE_IO_H
#define SLUICE_GATE_GATE_IO_H

#include "gate/gate.h"
#include "net/xsk.h"
#include <sys/uio.h>

struct gate_io_ops { /* see net/xsk.h and net/tun.h */
	int (*fd)(void *source); /* for epoll; -1: gate_serve() is called by hand */
	size_t (*receive)(void *source, struct xsk_frame ret_frames[], size_t max);
	void (*put_back)(void *source);
	uint8_t *(*send_begin)(void *source);
	void (*send_end)(void *source, uint32_t len_bytes);
	void (*flush)(void *source);
	int (*release)(void *out, const struct iovec *parts, int n_parts, uint32_t ip_header_bytes,
		bool partial);
	uint64_t (*now_us)(void *clock);
};

struct gate_io {
	const struct gate_io_ops *ops;
	void *const *sources;
	size_t n_sources;
	void *out;
	void *clock;
};

/* Sources, sinks and clock of `io` in place of those that `spec` names. */
int gate_new_io(const struct gate_spec *spec, const struct gate_io *io, struct gate **ret_gate,
	struct err *err) must_check;
/* One turn's share of the frames of a source. */
void gate_serve(struct gate *gate, size_t source);
/* Flights whose time has come, for a clock that the loop's timers do not follow. */
void gate_fire_due(struct gate *gate);

#endif
