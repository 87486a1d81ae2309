/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of the flood generator at the highest rate: BPF_PROG_TEST_RUN with live frames runs this
 * program for every packet and sends it out of a device in bulks. Frames come back used: the head
 * is written afresh every time, with another source address, port and sequence number. One CPU only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define FLOOD_HEAD_BYTES 96 /* Ethernet, IPv6 and TCP with the options of a SYN */
#define FLOOD_PORT_FIRST 1024
#define FLOOD_PORT_MASK  0x7fff

/* Set by the caller through the skeleton. The frame is a whole one, with its checksums, and zero
 * where its fields are chosen here; only ACKs have an acknowledgement number. */
__u8 flood_head[FLOOD_HEAD_BYTES];
__u32 flood_ifindex;
__u32 flood_ip_sum_at; /* offset in the frame; 0: IPv6 has none */
__u32 flood_source_at; /* of the last four bytes of the source address */
__u32 flood_tcp_at;
__u32 flood_source_mask_be; /* of the bits that are chosen */
__u32 flood_is_ack;
__u64 flood_random = 1;

static __always_inline __u16 sum_change(__u16 sum, __u64 added)
{
	__u64 total = (__u16)~sum + added;

	total = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
	total = (total & 0xffff) + (total >> 16);
	total = (total & 0xffff) + (total >> 16);
	return (__u16)~total;
}

static __always_inline __u64 flood_next(void)
{
	__u64 x = flood_random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	flood_random = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* A field of the frame, or NULL: the offset is the caller's, the verifier wants to see it bounded. */
static __always_inline void *field(void *data, void *end, __u32 at, __u32 len)
{
	void *where = data + (at & 127);

	return where + len > end ? NULL : where;
}

SEC("xdp.frags")
int bench_flood(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 random = flood_next(), other = flood_next();
	__u32 host = (__u32)random & flood_source_mask_be, seq = (__u32)other;
	__u32 ack = flood_is_ack ? other >> 32 : 0;
	__u16 port = bpf_htons(FLOOD_PORT_FIRST + ((random >> 48) & FLOOD_PORT_MASK)), *sum;
	__u32 *source;
	struct tcphdr *tcp;

	for (int i = 0; i < FLOOD_HEAD_BYTES; i += 8) {
		if (data + i + 8 > end)
			break;
		__builtin_memcpy(data + i, flood_head + i, 8);
	}
	source = field(data, end, flood_source_at, sizeof(*source));
	tcp = field(data, end, flood_tcp_at, sizeof(*tcp));
	if (!source || !tcp)
		return XDP_ABORTED;
	*source |= host;
	tcp->source = port;
	tcp->seq = seq;
	tcp->ack_seq = ack;
	tcp->check = sum_change(tcp->check, (__u64)host + port + seq + ack);
	sum = field(data, end, flood_ip_sum_at, sizeof(*sum));
	if (flood_ip_sum_at && sum)
		*sum = sum_change(*sum, host);
	return (int)bpf_redirect(flood_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
