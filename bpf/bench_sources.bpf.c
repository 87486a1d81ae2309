/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wrapper for measuring a program on many sources: like bench_wrap.bpf.c, but the source addresses
 * come out of a table that the caller fills, in its order, IPv4 or IPv6. One CPU only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SOURCES_FRAME_BYTES 80
#define SOURCES_SADDR_V4    26 /* of an untagged frame */
#define SOURCES_SADDR_V6    22
#define SOURCES_COUNT       (1 << 20) /* addresses of IPv6, four times as many of IPv4 */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sources_target SEC(".maps");

/* Set by the caller through the skeleton. */
__u8 sources_frame[SOURCES_FRAME_BYTES];
__u32 sources_be[4 * SOURCES_COUNT];
__u32 sources_v6;
__u32 sources_next;

SEC("xdp.frags")
int bench_sources(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 next = sources_next++;

	if (data + SOURCES_FRAME_BYTES > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, sources_frame, SOURCES_FRAME_BYTES);
	if (sources_v6)
		__builtin_memcpy(
			data + SOURCES_SADDR_V6, &sources_be[4 * (next & (SOURCES_COUNT - 1))], 16);
	else
		__builtin_memcpy(
			data + SOURCES_SADDR_V4, &sources_be[next & (4 * SOURCES_COUNT - 1)], 4);
	bpf_tail_call(ctx, &sources_target, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
