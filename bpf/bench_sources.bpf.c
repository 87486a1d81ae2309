/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wrapper for measuring a program on many sources: like bench_wrap.bpf.c, but the source addresses
 * come out of a table that the caller fills, in its order, IPv4 or IPv6; and the floor for a list of
 * IPv4 to measure it against. One CPU only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

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

/* As many lines of 64 bytes as tell a million prefixes of deny_cost's mix from any other million: the
 * logarithm to base 2 of how many there are, 9 Mbit. No list of them can be in less. */
#define FLOOR_LINES 17500

struct floor_lines {
	__u64 words[FLOOR_LINES + 1][8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct floor_lines);
} floor_lines SEC(".maps");

/* One look at that memory, where the source says, and nothing else. */
SEC("xdp.frags")
int floor_sources(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct floor_lines *lines;
	__u32 zero = 0, source, line;

	lines = bpf_map_lookup_elem(&floor_lines, &zero);
	if (data + SOURCES_SADDR_V4 + sizeof(source) > end || !lines)
		return XDP_ABORTED;
	__builtin_memcpy(&source, data + SOURCES_SADDR_V4, sizeof(source));
	source = bpf_ntohl(source);
	line = (__u64)source * FLOOR_LINES >> 32;
	/* Kept from the compiler, which knows it: the verifier of 6.12 knows no bounds of what was
	 * byte-swapped. */
	asm volatile("" : "+r"(line));
	if (line >= FLOOR_LINES)
		return XDP_ABORTED;
	return lines->words[line][source & 7] >> (source >> 3 & 63) & 1 ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
