/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a frame from the outside in. A cursor walks over the linear part of the buffer; each
 * header has one parser, which checks the bounds, moves the cursor behind the header and returns
 * the header or NULL.
 */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include "count.h"

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

struct packet {
	__u32 saddr_be[4]; /* IPv4 mapped */
	__u32 daddr_be[4];
	struct tcphdr *tcp; /* NULL: the buffer ends inside the header */
	struct ports *ports;
	void *l3;
	__u32 l4_len; /* by the IP header */
	bool v6;
	bool first_fragment;
	bool options; /* IPv4 options or IPv6 extension headers */
};

enum parse_result {
	PARSE_TCP,   /* addresses and ports are known */
	PARSE_OTHER, /* not for us; counted where it was odd */
	PARSE_REFUSED,
};

#define PARSE_HEADER(cursor, type) ((type *)cursor_take(cursor, sizeof(type)))

static __always_inline void *cursor_take(struct cursor *cursor, __u32 len)
{
	void *header = cursor->pos;

	if (header + len > cursor->end)
		return NULL;
	cursor->pos = header + len;
	return header;
}

/* The buffer ended before the headers did: because the frame does, or because the driver keeps
 * the rest elsewhere. */
static __always_inline enum parse_result parse_short(struct xdp_md *ctx)
{
	if (bpf_xdp_get_buff_len(ctx) > ctx->data_end - ctx->data)
		COUNT(headers_not_linear);
	else
		COUNT(frame_truncated);
	return PARSE_OTHER;
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
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet)
{
	struct cursor whole = *cursor;

	packet->ports = PARSE_HEADER(cursor, struct ports);
	if (!packet->ports)
		return parse_short(ctx);
	packet->tcp = PARSE_HEADER(&whole, struct tcphdr);
	/* or the compiler asks for the bounds once more where it is to ask for NULL, which tells
	 * the verifier nothing about the pointer */
	asm volatile("" : "+r"(packet->tcp));
	return PARSE_TCP;
}

static __always_inline enum parse_result parse_icmp(void)
{
	COUNT(icmp);
	return PARSE_OTHER;
}

static __always_inline enum parse_result parse_fragment(void)
{
	COUNT(fragment);
	return PARSE_OTHER;
}

static __always_inline enum parse_result parse_ip_malformed(void)
{
	COUNT(ip_malformed);
	return PARSE_OTHER;
}

static __always_inline enum parse_result parse_ipv4(
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet)
{
	struct iphdr *ip = PARSE_HEADER(cursor, struct iphdr);
	__u32 header_len, total_len;

	if (!ip)
		return parse_short(ctx);
	if (ip->protocol != IPPROTO_TCP)
		return ip->protocol == IPPROTO_ICMP ? parse_icmp() : PARSE_OTHER;
	header_len = ip->ihl * 4;
	total_len = bpf_ntohs(ip->tot_len);
	if (header_len < sizeof(*ip) || total_len < header_len)
		return parse_ip_malformed();
	if (ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK))
		return parse_fragment();
	if (header_len > sizeof(*ip)) {
		packet->options = true;
		if (!cursor_take(cursor, header_len - sizeof(*ip)))
			return parse_short(ctx);
	}
	packet->first_fragment = ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS);
	packet->l3 = ip;
	packet->l4_len = total_len - header_len;
	packet->saddr_be[2] = packet->daddr_be[2] = bpf_htonl(0xffff);
	packet->saddr_be[3] = ip->saddr;
	packet->daddr_be[3] = ip->daddr;
	return parse_tcp(ctx, cursor, packet);
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
	WALK_CUT,      /* the buffer ends inside the chain */
	WALK_FRAGMENT, /* a later fragment: what follows is not a header */
};

struct extension_walk {
	struct xdp_md *ctx;
	__u32 offset; /* of the header `next` from the start of the frame */
	__u8 next;    /* the upper protocol in the end */
	bool first_fragment;
	enum walk_result result;
};

/* Returns 1 to end the walk. Positions are offsets here: the verifier follows one step only. */
static long parse_extension(__u64 step, struct extension_walk *walk)
{
	void *data = (void *)(long)walk->ctx->data, *end = (void *)(long)walk->ctx->data_end;
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
			return 1;
		}
		if (extension->fragment & bpf_htons(IP6_MORE_FRAGMENTS))
			walk->first_fragment = true;
	}
	walk->offset = offset + parse_extension_len(walk->next, extension);
	walk->next = extension->next;
	return 0;
}

/* Steps over the extension headers behind *cursor, which begin `start` bytes into the frame. */
static __always_inline void parse_extensions(struct xdp_md *ctx, struct cursor *cursor,
	struct packet *packet, struct extension_walk *walk)
{
	void *data = (void *)(long)ctx->data;
	__u32 start = cursor->pos - data, len;

	walk->offset = start;
	bpf_loop(IP6_MAX_EXTENSIONS, parse_extension, walk, 0);
	len = walk->offset - start;
	packet->options = len != 0;
	packet->first_fragment = walk->first_fragment;
	packet->l4_len = packet->l4_len > len ? packet->l4_len - len : 0;
	cursor->pos = data + (walk->offset & PARSE_OFFSET_MASK);
	if (cursor->pos > cursor->end)
		walk->result = WALK_CUT;
}

/* The frame has an upper protocol other than TCP, or extension headers: PARSE_TCP to go on. */
static __always_inline enum parse_result parse_ipv6_chain(
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet, __u8 next)
{
	struct extension_walk walk = {.ctx = ctx, .next = next};

	parse_extensions(ctx, cursor, packet, &walk);
	if (walk.result == WALK_CUT)
		return parse_short(ctx);
	if (walk.result == WALK_FRAGMENT)
		return parse_fragment();
	if (parse_is_extension(walk.next)) {
		COUNT(ipv6_chain_too_long);
		return PARSE_REFUSED;
	}
	if (walk.next == IPPROTO_ICMPV6)
		return parse_icmp();
	return walk.next == IPPROTO_TCP ? PARSE_TCP : PARSE_OTHER;
}

static __always_inline enum parse_result parse_ipv6(
	struct xdp_md *ctx, struct cursor *cursor, struct packet *packet)
{
	struct ipv6hdr *ip = PARSE_HEADER(cursor, struct ipv6hdr);

	if (!ip)
		return parse_short(ctx);
	packet->l4_len = bpf_ntohs(ip->payload_len);
	if (ip->nexthdr != IPPROTO_TCP) {
		enum parse_result result = parse_ipv6_chain(ctx, cursor, packet, ip->nexthdr);

		if (result != PARSE_TCP)
			return result;
	}
	packet->v6 = true;
	packet->l3 = ip;
	__builtin_memcpy(packet->saddr_be, &ip->saddr, sizeof(packet->saddr_be));
	__builtin_memcpy(packet->daddr_be, &ip->daddr, sizeof(packet->daddr_be));
	return parse_tcp(ctx, cursor, packet);
}

#endif
