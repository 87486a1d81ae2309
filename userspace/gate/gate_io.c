/* The gate on AF_XDP sockets and the TUN device: see gate_io.h. */
#include "gate/gate_io.h"
#include "net/tun.h"

static int source_fd(void *source)
{
	return xsk_fd(source);
}

static size_t receive(void *source, struct xsk_frame ret_frames[], size_t max)
{
	return xsk_receive(source, ret_frames, max);
}

static void put_back(void *source)
{
	xsk_put_back(source);
}

static uint8_t *send_begin(void *source)
{
	return xsk_send_begin(source);
}

static void send_end(void *source, uint32_t len_bytes)
{
	xsk_send_end(source, len_bytes);
}

static void flush(void *source)
{
	xsk_flush(source);
}

static int release(
	void *out, const struct iovec *parts, int n_parts, uint32_t ip_header_bytes, bool partial)
{
	return tun_write((int)(intptr_t)out, parts, n_parts, ip_header_bytes, partial);
}

static uint64_t now_us(void *clock)
{
	return loop_now_us(clock);
}

static const struct gate_io_ops io_ops = {
	.fd = source_fd,
	.receive = receive,
	.put_back = put_back,
	.send_begin = send_begin,
	.send_end = send_end,
	.flush = flush,
	.release = release,
	.now_us = now_us,
};

int gate_new(const struct gate_spec *spec, struct gate **ret_gate, struct err *err)
{
	struct gate_io io = {
		.ops = &io_ops,
		.sources = (void *const *)spec->xsks,
		.n_sources = spec->n_xsks,
		.out = (void *)(intptr_t)spec->tun_fd,
		.clock = spec->io->loop,
	};

	return gate_new_io(spec, &io, ret_gate, err);
}
