/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a frame from the outside in. A cursor walks over the linear part of the buffer; each
 * header has one parser, which checks the bounds, moves the cursor behind the header and returns
 * the header or NULL.
 */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include <sluice/types.h>

/* Macros of the kernel's headers, which BTF does not carry. */
#define ETH_ALEN         6
#define IPPROTO_HOPOPTS  0
#define IPPROTO_ROUTING  43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6   58
#define IPPROTO_DSTOPTS  60
#define ETH_P_IP         0x0800
#define ETH_P_8021Q      0x8100
#define ETH_P_8021AD     0x88a8
#define ETH_P_IPV6       0x86dd

#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_FRAGMENT_MASK  0x1fff
#define IP6_FRAGMENT_MASK  0xfff8
#define IP6_MORE_FRAGMENTS 0x0001
#define IP6_MAX_EXTENSIONS 8
#define VLAN_MAX_TAGS      2
#define PARSE_OFFSET_MASK  0x7fff /* beyond any header: 62 + 8 * 2048 */

struct cursor {
	void *pos;
	void *end;
};

struct ports {
	__be16 source;
	__be16 dest;
};

struct vlan_tag {
	__be16 tci;
	__be16 inner_proto;
};

/* The first bytes that all IPv6 extension headers have in common. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment; /* fragment header: offset and the M bit */
	__u32 rest;
};

struct tcp_options {
	__u32 tsval; /* host order, as all of these */
	__u32 tsecr;
	__u16 mss; /* 0: none */
	__u8 scale;
	bool has_scale;
	bool has_timestamp;
	bool sack;
	__u16 pad;
};

/* What is known of a packet: values only, so that it can be handed on. */
struct packet {
	__u32 saddr_be[4] __attribute__((aligned(8))); /* IPv4 mapped */
	__u32 daddr_be[4];
	struct ports ports; /* zero where the packet has none */
	__u32 l4_len;       /* by the IP header */
	__u32 seq;          /* host order; this and what follows: by packet_complete() */
	__u32 ack_seq;
	__u16 l3; /* offset of the IP header from the start of the frame */
	__u16 l4; /* of the TCP header */
	__u8 header_len; /* of TCP, bytes */
	__u8 flags;      /* of TCP */
	bool v6;
	bool first_fragment;
	bool options; /* IPv4 options or IPv6 extension headers */
	bool spared;  /* the source is on the allow list: limits per source do not apply */
	bool gate_changed; /* its cookie is of before the listener's gate was switched on or off */
	__u8 pad[3];
	struct tcp_options tcp_options; /* by options_of_*() */
	__u32 offer; /* by cookie_offer() */
};

/* Where it lies; good until something changes the frame. */
struct headers {
	void *l3;
	struct tcphdr *tcp; /* NULL: the buffer ends inside the header */
};

enum parse_result {
	PARSE_TCP, /* headers and ports are known; see parse_addresses() */
	PARSE_OTHER,
	PARSE_CUT, /* the buffer ends before the headers do */
	PARSE_ICMP,
	PARSE_FRAGMENT, /* a later one */
	PARSE_IP_MALFORMED,
	PARSE_CHAIN_TOO_LONG, /* of IPv6 extension headers */
};

/* Where the frame begins and ends now. In assembler, since the compiler would merge two such loads
 * by way of a pointer into the context, which the verifier refuses. */
static __always_inline void *frame_begin(const struct xdp_md *ctx)
{
	void *begin;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(begin)
		: "r"(ctx), "i"(offsetof(struct xdp_md, data)));
	return begin;
}

static __always_inline void *frame_end(const struct xdp_md *ctx)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(end)
		: "r"(ctx), "i"(offsetof(struct xdp_md, data_end)));
	return end;
}

#define PARSE_HEADER(cursor, type) ((type *)cursor_take(cursor, sizeof(type)))

static __always_inline void *cursor_take(struct cursor *cursor, __u32 len)
{
	void *header = cursor->pos;

	if (header + len > cursor->end)
		return NULL;
	cursor->pos = header + len;
	return header;
}

#define PARSE_ETHERNET_SHORT 0

/* Returns the EtherType behind up to two tags in network order. */
static __always_inline __be16 parse_ethernet(struct cursor *cursor)
{
	struct ethhdr *eth = PARSE_HEADER(cursor, struct ethhdr);
	__be16 proto;

	if (!eth)
		return PARSE_ETHERNET_SHORT;
	proto = eth->h_proto;
	for (int i = 0; i < VLAN_MAX_TAGS; i++) {
		struct vlan_tag *tag;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		tag = PARSE_HEADER(cursor, struct vlan_tag);
		if (!tag)
			return PARSE_ETHERNET_SHORT;
		proto = tag->inner_proto;
	}
	return proto;
}

static __always_inline enum parse_result parse_tcp(
	struct cursor *cursor, struct packet *packet, struct headers *headers)
{
	struct cursor whole = *cursor;
	struct ports *ports = PARSE_HEADER(cursor, struct ports);

	if (!ports)
		return PARSE_CUT;
	packet->ports = *ports;
	headers->tcp = PARSE_HEADER(&whole, struct tcphdr);
	/* or the compiler asks for the bounds once more where it is to ask for NULL, which tells
	 * the verifier nothing about the pointer */
	asm volatile("" : "+r"(headers->tcp));
	return PARSE_TCP;
}

/* In two stores, since it will be read in words of that size: a load that spans several stores has
 * to wait for them. */
static __always_inline void parse_mapped(__u32 ret_address_be[4], __be32 v4)
{
	__u64 *words = (__u64 *)ret_address_be;

	words[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	words[1] = (__u64)v4 << 32 | bpf_htonl(0xffff);
#else
	words[1] = (__u64)bpf_htonl(0xffff) << 32 | v4;
#endif
}

static __always_inline void parse_addresses_v4(const struct iphdr *ip, struct packet *packet)
{
	parse_mapped(packet->saddr_be, ip->saddr);
	parse_mapped(packet->daddr_be, ip->daddr);
}

static __always_inline void parse_addresses_v6(const struct ipv6hdr *ip, struct packet *packet)
{
	__builtin_memcpy(packet->saddr_be, &ip->saddr, sizeof(packet->saddr_be));
	__builtin_memcpy(packet->daddr_be, &ip->daddr, sizeof(packet->daddr_be));
}

/* Reads them (again): where a call lies between two uses that is cheaper than to keep them. */
static __always_inline void parse_addresses(struct packet *packet, const struct headers *headers)
{
	if (packet->v6)
		parse_addresses_v6(headers->l3, packet);
	else
		parse_addresses_v4(headers->l3, packet);
}

static __always_inline enum parse_result parse_ipv4(
	struct cursor *cursor, struct packet *packet, struct headers *headers)
{
	struct iphdr *ip = PARSE_HEADER(cursor, struct iphdr);
	__u32 header_len, total_len;

	if (!ip)
		return PARSE_CUT;
	if (ip->protocol != IPPROTO_TCP)
		return ip->protocol == IPPROTO_ICMP ? PARSE_ICMP : PARSE_OTHER;
	header_len = ip->ihl * 4;
	total_len = bpf_ntohs(ip->tot_len);
	if (header_len < sizeof(*ip) || total_len < header_len)
		return PARSE_IP_MALFORMED;
	if (ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK | IP4_MORE_FRAGMENTS)) {
		if (ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK))
			return PARSE_FRAGMENT;
		packet->first_fragment = true;
	}
	if (header_len > sizeof(*ip)) {
		packet->options = true;
		if (!cursor_take(cursor, header_len - sizeof(*ip)))
			return PARSE_CUT;
	}
	headers->l3 = ip;
	packet->l4_len = total_len - header_len;
	return parse_tcp(cursor, packet, headers);
}

/* Length in bytes of the extension header, 0 when `type` is not one to step over. */
static __always_inline __u32 parse_extension_len(__u8 type, const struct extension *extension)
{
	switch (type) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		return (extension->length + 1) * 8;
	case IPPROTO_FRAGMENT:
		return 8;
	case IPPROTO_AH:
		return (extension->length + 2) * 4;
	default:
		return 0;
	}
}

static __always_inline bool parse_is_extension(__u8 type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS ||
	       type == IPPROTO_FRAGMENT || type == IPPROTO_AH;
}

enum walk_result {
	WALK_GOOD,
	WALK_CUT, /* the buffer ends inside the chain */
	WALK_FRAGMENT, /* a later fragment: what follows is not a header */
};

struct extension_walk {
	struct xdp_md *ctx;
	__u32 offset; /* of the header `next` from the start of the frame */
	__u8 next; /* the upper protocol in the end */
	bool first_fragment;
	enum walk_result result;
};

/* Returns 1 to end the walk. Positions are offsets here: the verifier follows one step only. */
static long parse_extension(__u64 step, struct extension_walk *walk)
{
	void *data = frame_begin(walk->ctx), *end = frame_end(walk->ctx);
	struct extension *extension;
	__u32 offset = walk->offset;

	if (!parse_is_extension(walk->next))
		return 1;
	extension = data + (offset & PARSE_OFFSET_MASK);
	if ((void *)(extension + 1) > end) {
		walk->result = WALK_CUT;
		return 1;
	}
	if (walk->next == IPPROTO_FRAGMENT) {
		if (extension->fragment & bpf_htons(IP6_FRAGMENT_MASK)) {
			walk->result = WALK_FRAGMENT;
			walk->next = extension->next;
			return 1;
		}
		if (extension->fragment & bpf_htons(IP6_MORE_FRAGMENTS))
			walk->first_fragment = true;
	}
	walk->offset = offset + parse_extension_len(walk->next, extension);
	walk->next = extension->next;
	return 0;
}

/* What parse_chain() returns. */
#define CHAIN_NEXT_SHIFT     16 /* the upper protocol; below it: offset of what follows the chain */
#define CHAIN_FIRST_FRAGMENT (1 << 24)
#define CHAIN_RESULT_SHIFT   25 /* enum walk_result */

/* Steps over the extension headers that begin `offset` bytes into the frame. A function of its own:
 * few packets have any, and what it needs of registers and stack the others shall not pay for. */
__noinline int parse_chain(struct xdp_md *ctx, __u32 offset, __u32 next)
{
	struct extension_walk walk = {.ctx = ctx, .offset = offset, .next = next};

	bpf_loop(IP6_MAX_EXTENSIONS, parse_extension, &walk, 0);
	return (walk.offset & PARSE_OFFSET_MASK) | walk.next << CHAIN_NEXT_SHIFT |
	       (walk.first_fragment ? CHAIN_FIRST_FRAGMENT : 0) | walk.result << CHAIN_RESULT_SHIFT;
}

/* What a later fragment carries is named by the header before it; where that is one more extension
 * header it may be TCP. */
static __always_inline enum parse_result parse_ipv6_fragment(__u8 next)
{
	return next == IPPROTO_TCP || parse_is_extension(next) ? PARSE_FRAGMENT : PARSE_OTHER;
}

/* The frame has an upper protocol other than TCP, or extension headers: PARSE_TCP to go on. */
static __always_inline enum parse_result parse_ipv6_chain(
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet, __u8 next)
{
	void *data = (void *)(long)ctx->data;
	__u32 start = cursor->pos - data, end, len;
	int chain;

	if (!parse_is_extension(next))
		return next == IPPROTO_ICMPV6 ? PARSE_ICMP : PARSE_OTHER;
	chain = parse_chain(ctx, start, next);
	next = chain >> CHAIN_NEXT_SHIFT;
	if (chain >> CHAIN_RESULT_SHIFT)
		return chain >> CHAIN_RESULT_SHIFT == WALK_CUT ? PARSE_CUT
							       : parse_ipv6_fragment(next);
	if (parse_is_extension(next))
		return PARSE_CHAIN_TOO_LONG;
	if (next != IPPROTO_TCP)
		return next == IPPROTO_ICMPV6 ? PARSE_ICMP : PARSE_OTHER;
	end = chain & PARSE_OFFSET_MASK;
	len = end - start;
	packet->options = true;
	packet->first_fragment = chain & CHAIN_FIRST_FRAGMENT;
	packet->l4_len = packet->l4_len > len ? packet->l4_len - len : 0;
	cursor->pos = data + end;
	return PARSE_TCP;
}

static __always_inline enum parse_result parse_ipv6(
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet, struct headers *headers)
{
	struct ipv6hdr *ip = PARSE_HEADER(cursor, struct ipv6hdr);

	if (!ip)
		return PARSE_CUT;
	packet->v6 = true;
	packet->l4_len = bpf_ntohs(ip->payload_len);
	headers->l3 = ip;
	if (ip->nexthdr != IPPROTO_TCP) {
		enum parse_result result = parse_ipv6_chain(ctx, cursor, packet, ip->nexthdr);

		if (result != PARSE_TCP)
			return result;
	}
	return parse_tcp(cursor, packet, headers);
}

#endif
