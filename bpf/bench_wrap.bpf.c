/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wrapper for measuring and flooding a program with BPF_PROG_TEST_RUN, whose `repeat` does not
 * restore the packet: writes the frame afresh before every run, with a source address out of a
 * range, and tail-calls the program under test; and the floors to measure it against. One CPU only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include <sluice/abi.h>

#include <sluice/siphash.h>

#define ETH_P_IP          0x0800
#define IP4_FRAGMENT_MASK 0x1fff

#define WRAP_FRAME_BYTES 96
#define WRAP_SADDR       26 /* of an untagged IPv4 frame */
#define WRAP_CHECK       50 /* of TCP, without IP options */

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
__u64 floor_key[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static __always_inline __u32 wrap_source(void)
{
	wrap_seed = wrap_seed * 6364136223846793005ull + 1442695040888963407ull;
	return bpf_htonl(wrap_source_first + ((wrap_seed >> 32) * wrap_source_count >> 32));
}

/* RFC 1624: one address more, one less. */
static __always_inline __u16 wrap_check(__u16 check, __u32 old, __u32 new)
{
	__u64 sum = (__u64)(__u16)~check + (__u32)~old + new;

	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

static __always_inline void wrap_forge(void *data)
{
	__u32 source = wrap_source(), old;
	__u16 check;

	__builtin_memcpy(&old, wrap_frame + WRAP_SADDR, sizeof(old));
	__builtin_memcpy(&check, wrap_frame + WRAP_CHECK, sizeof(check));
	check = wrap_check(check, old, source);
	__builtin_memcpy(data + WRAP_SADDR, &source, sizeof(source));
	__builtin_memcpy(data + WRAP_CHECK, &check, sizeof(check));
}

/* The lengths of frames that are measured: Ethernet, IPv4, TCP with 0, 12 or 20 bytes of options,
 * and the last over IPv6. */
#define WRAP_RESTORE(data, end, from, to)                                                          \
	({                                                                                         \
		if ((data) + (to) <= (end))                                                        \
			__builtin_memcpy((data) + (from), wrap_frame + (from), (to) - (from));     \
	})

SEC("xdp.frags")
int bench_wrap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 54 > end)
		return XDP_ABORTED;
	WRAP_RESTORE(data, end, 0, 54);
	WRAP_RESTORE(data, end, 54, 66);
	WRAP_RESTORE(data, end, 66, 74);
	WRAP_RESTORE(data, end, 74, 94);
	if (wrap_source_count)
		wrap_forge(data);
	bpf_tail_call(ctx, &wrap_target, 0);
	return XDP_ABORTED;
}

/*
 * Floors: what no program that does the job can do without, written down as barely as the
 * verifier allows. They look at untagged IPv4 without options only and own the maps they read.
 */
struct floor_headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static __always_inline struct floor_headers *floor_parse(struct xdp_md *ctx)
{
	struct floor_headers *headers = (void *)(long)ctx->data;

	if ((void *)(headers + 1) > (void *)(long)ctx->data_end)
		return NULL;
	if (headers->eth.h_proto != bpf_htons(ETH_P_IP) || headers->ip.version != 4 ||
		headers->ip.ihl != 5 || headers->ip.protocol != IPPROTO_TCP)
		return NULL;
	return headers->ip.frag_off & bpf_htons(IP4_FRAGMENT_MASK) ? NULL : headers;
}

static __always_inline bool floor_has_socket(
	struct xdp_md *ctx, const struct floor_headers *headers)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;

	tuple.ipv4.saddr = headers->ip.saddr;
	tuple.ipv4.daddr = headers->ip.daddr;
	tuple.ipv4.sport = headers->tcp.source;
	tuple.ipv4.dport = headers->tcp.dest;
	sk = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* A packet of a connection: the headers and the socket lookup. */
SEC("xdp.frags")
int floor_established(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);

	if (!headers)
		return XDP_ABORTED;
	return floor_has_socket(ctx, headers) ? XDP_PASS : XDP_DROP;
}

struct floor_bits {
	__u64 by_slash24[(1u << 24) / 64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct floor_bits);
} floor_bits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} floor_drops SEC(".maps");

/* A denied source: the headers, one bit of 2^24 and a counter. The bit is not set, since nothing
 * here writes the map: a drop either way. */
SEC("xdp.frags")
int floor_deny(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);
	struct floor_bits *bits;
	__u32 zero = 0, slash24;
	__u64 *drops;

	if (!headers)
		return XDP_ABORTED;
	bits = bpf_map_lookup_elem(&floor_bits, &zero);
	drops = bpf_map_lookup_elem(&floor_drops, &zero);
	if (!bits || !drops)
		return XDP_ABORTED;
	slash24 = bpf_ntohl(headers->ip.saddr) >> 8;
	if (bits->by_slash24[slash24 >> 6] >> (slash24 & 63) & 1)
		return XDP_PASS;
	++*drops;
	return XDP_DROP;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_SOURCE_ROWS);
	__type(key, __u32);
	__type(value, struct sluice_bucket);
} floor_buckets SEC(".maps");

/* A stranger under a limit: the keyed hash, two rows, the clock, one exchange. The rows are read
 * ahead of the socket lookup of floor_established, which is to be taken off. */
SEC("xdp.frags")
int floor_source_bucket(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);
	struct sluice_bucket *a, *b;
	__u64 hash, old_a, old_b, now;
	__u32 row_a, row_b;

	if (!headers)
		return XDP_ABORTED;
	hash = siphash_2(floor_key, headers->ip.saddr, headers->tcp.dest);
	row_a = hash & (SLUICE_SOURCE_ROWS - 1);
	row_b = hash >> 32 & (SLUICE_SOURCE_ROWS - 1);
	a = bpf_map_lookup_elem(&floor_buckets, &row_a);
	b = bpf_map_lookup_elem(&floor_buckets, &row_b);
	if (!a || !b)
		return XDP_ABORTED;
	old_a = *(volatile __u64 *)&a->full_at_gen;
	old_b = *(volatile __u64 *)&b->full_at_gen;
	if (!floor_has_socket(ctx, headers))
		return XDP_ABORTED;
	now = bpf_jiffies64() << SLUICE_TICK_SHIFT;
	if (old_a > now && old_b > now)
		return XDP_DROP;
	__sync_val_compare_and_swap(&a->full_at_gen, old_a, now);
	return XDP_PASS;
}

/*
 * A SYN answered, the answer to a cookie taken apart: the headers, the socket lookup, one hash of
 * addresses, ports and the rest, and what is written into or read out of the frame. The MAC and IP
 * addresses change places, the checksums do not change with that.
 */
static __always_inline __u64 floor_cookie(const struct floor_headers *headers)
{
	struct siphash s;

	siphash_init(&s, floor_key);
	siphash_word(&s, (__u64)headers->ip.saddr << 32 | headers->ip.daddr);
	siphash_word(&s, (__u64)headers->tcp.source << 32 | headers->tcp.dest);
	siphash_word(&s, headers->tcp.doff);
	return siphash_finish(&s);
}

static __always_inline void floor_turn(struct floor_headers *headers, __u32 cookie)
{
	struct floor_headers old = *headers;

	__builtin_memcpy(headers->eth.h_dest, old.eth.h_source, sizeof(old.eth.h_source));
	__builtin_memcpy(headers->eth.h_source, old.eth.h_dest, sizeof(old.eth.h_dest));
	headers->ip.saddr = old.ip.daddr;
	headers->ip.daddr = old.ip.saddr;
	headers->tcp.source = old.tcp.dest;
	headers->tcp.dest = old.tcp.source;
	headers->tcp.seq = cookie;
	headers->tcp.ack_seq = old.tcp.seq;
	headers->tcp.check = old.tcp.check - cookie;
}

SEC("xdp.frags")
int floor_syn_cookie(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);

	if (!headers)
		return XDP_ABORTED;
	if (floor_has_socket(ctx, headers))
		return XDP_PASS;
	floor_turn(headers, floor_cookie(headers));
	return XDP_TX;
}

SEC("xdp.frags")
int floor_ack_drop(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);
	__u32 zero = 0;
	__u64 *drops;

	if (!headers)
		return XDP_ABORTED;
	drops = bpf_map_lookup_elem(&floor_drops, &zero);
	if (!drops || floor_has_socket(ctx, headers) ||
		floor_cookie(headers) == headers->tcp.ack_seq)
		return XDP_PASS;
	++*drops;
	return XDP_DROP;
}

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} floor_xsks SEC(".maps");

SEC("xdp.frags")
int floor_hello(struct xdp_md *ctx)
{
	struct floor_headers *headers = floor_parse(ctx);

	if (!headers)
		return XDP_ABORTED;
	if (floor_has_socket(ctx, headers) || floor_cookie(headers) == headers->tcp.ack_seq)
		return XDP_PASS;
	return bpf_redirect_map(&floor_xsks, 0, XDP_DROP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
