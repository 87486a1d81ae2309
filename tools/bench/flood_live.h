/*
 * The fast way of the flood generator: the kernel makes the packets (bpf/bench_flood.bpf.c) and sends
 * them out of the device in bulks, an order of magnitude cheaper than a packet socket. On a veth
 * only a peer with an XDP program (or GRO) receives them.
 */
#ifndef SLUICE_BENCH_FLOOD_LIVE_H
#define SLUICE_BENCH_FLOOD_LIVE_H

#include "flood_frame.h"
#include "bpf/bench_flood.skel.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct live {
	struct bench_flood_bpf *skel;
	uint8_t frame[2048];
	uint32_t frame_len;
};

/* `segment` is the packet, with the prefix as its source and zero where the program chooses. Returns
 * 0 or a negative errno. */
static inline int live_init(struct live *live, const char *interface, const struct target *target,
	const struct segment *segment, uint64_t host_mask, uint64_t seed)
{
	bool is_ipv4 = target->family == AF_INET;
	struct bench_flood_bpf *skel = bench_flood_bpf__open_and_load();

	if (!skel)
		return -errno;
	live->skel = skel;
	/* The head is written in steps of eight bytes; what is behind the packet is padding. */
	live->frame_len = (uint32_t)(write_frame(live->frame, target, segment) + 7) & ~7u;
	memcpy(skel->bss->flood_head, live->frame, sizeof(skel->bss->flood_head));
	skel->bss->flood_ifindex = if_nametoindex(interface);
	skel->bss->flood_ip_sum_at = is_ipv4 ? ETH_HLEN + 10 : 0;
	skel->bss->flood_source_at = ETH_HLEN + (is_ipv4 ? 12 : 20);
	skel->bss->flood_tcp_at = (uint32_t)(ETH_HLEN + target->ip_len);
	skel->bss->flood_source_mask_be = htonl((uint32_t)host_mask);
	skel->bss->flood_is_ack = !(segment->flags & SYN);
	skel->data->flood_random = seed;
	return 0;
}

/* Returns 0 or a negative errno. */
static inline int live_send(struct live *live, uint32_t number)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = live->frame,
		.data_size_in = live->frame_len, .repeat = (int)number,
		.flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);

	return bpf_prog_test_run_opts(bpf_program__fd(live->skel->progs.bench_flood), &options);
}

#endif
