/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom a frame is from and for, read with calls: wherever the bytes lie, and not in haste. */
#ifndef SLUICE_BPF_REREAD_H
#define SLUICE_BPF_REREAD_H

#include "parse.h"

struct reread_frame {
	struct ethhdr eth;
	struct vlan_tag tags[VLAN_MAX_TAGS];
} __attribute__((packed));

/* Offset and type of what is behind the tags. */
static __always_inline __u32 reread_ethernet(struct xdp_md *ctx, __be16 *proto)
{
	__u32 offset = sizeof(struct ethhdr);
	struct reread_frame head;

	*proto = 0;
	if (bpf_xdp_load_bytes(ctx, 0, &head, sizeof(head)))
		return 0;
	*proto = head.eth.h_proto;
	for (int i = 0; i < VLAN_MAX_TAGS; i++) {
		if (*proto != bpf_htons(ETH_P_8021Q) && *proto != bpf_htons(ETH_P_8021AD))
			break;
		*proto = head.tags[i].inner_proto;
		offset += sizeof(struct vlan_tag);
	}
	return offset;
}

/* Without ports (0) where there are extension headers or fragments: the address decides then. */
static __always_inline bool reread_ipv6(struct xdp_md *ctx, __u32 offset, struct packet *packet)
{
	struct ipv6hdr ip;

	if (bpf_xdp_load_bytes(ctx, offset, &ip, sizeof(ip)))
		return false;
	packet->v6 = true;
	parse_addresses_v6(&ip, packet);
	if (ip.nexthdr != IPPROTO_TCP)
		return parse_is_extension(ip.nexthdr);
	packet->l4 = offset + sizeof(ip);
	return true;
}

static __always_inline bool reread_ipv4(struct xdp_md *ctx, __u32 offset, struct packet *packet)
{
	struct iphdr ip;

	if (bpf_xdp_load_bytes(ctx, offset, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
		return false;
	parse_addresses_v4(&ip, packet);
	if (ip.frag_off & bpf_htons(IP4_FRAGMENT_MASK))
		return true;
	packet->l4 = offset + ip.ihl * 4;
	return true;
}

/* True: it is TCP, or could be; the addresses are known. Ports and l4 are zero where they are not. */
static __always_inline bool reread(struct xdp_md *ctx, struct packet *packet)
{
	__be16 proto;
	__u32 offset = reread_ethernet(ctx, &proto);

	if (proto == bpf_htons(ETH_P_IP)
			? !reread_ipv4(ctx, offset, packet)
			: proto != bpf_htons(ETH_P_IPV6) || !reread_ipv6(ctx, offset, packet))
		return false;
	if (packet->l4 &&
		bpf_xdp_load_bytes(ctx, packet->l4, &packet->ports, sizeof(packet->ports)))
		packet->l4 = 0;
	return true;
}

#endif
