/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wrapper for measuring and flooding a program with BPF_PROG_TEST_RUN, whose `repeat` does not
 * restore the packet: writes the frame afresh before every run, with a source address out of a
 * range, and tail-calls the program under test. One CPU only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define WRAP_FRAME_BYTES 64
#define WRAP_SADDR       26 /* of an untagged IPv4 frame */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wrap_target SEC(".maps");

/* Set by the caller through the skeleton. */
__u8 wrap_frame[WRAP_FRAME_BYTES];
__u32 wrap_source_first; /* host order */
__u32 wrap_source_count; /* 0: the frame's own address */
__u64 wrap_seed = 1;

static __always_inline __u32 wrap_source(void)
{
	wrap_seed = wrap_seed * 6364136223846793005ull + 1442695040888963407ull;
	return bpf_htonl(wrap_source_first + ((wrap_seed >> 32) * wrap_source_count >> 32));
}

SEC("xdp.frags")
int bench_wrap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + WRAP_FRAME_BYTES > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, wrap_frame, WRAP_FRAME_BYTES);
	if (wrap_source_count) {
		__u32 source = wrap_source();

		__builtin_memcpy(data + WRAP_SADDR, &source, sizeof(source));
	}
	bpf_tail_call(ctx, &wrap_target, 0);
	return XDP_ABORTED;
}

/* The floor of every program that looks the connection up: nothing but that. */
SEC("xdp.frags")
int bench_socket_lookup(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	if (data + WRAP_FRAME_BYTES > end)
		return XDP_ABORTED;
	__builtin_memcpy(&tuple.ipv4, data + WRAP_SADDR, sizeof(tuple.ipv4));
	sk = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return XDP_DROP;
	bpf_sk_release(sk);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
