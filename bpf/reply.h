/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answering from XDP: the frame is turned around in place. */
#ifndef SLUICE_BPF_REPLY_H
#define SLUICE_BPF_REPLY_H

#include "parse.h"
#include "tcp.h"

#define REPLY_TTL         64
#define REPLY_MAX_L3      (sizeof(struct ethhdr) + VLAN_MAX_TAGS * sizeof(struct vlan_tag))
#define IP4_DONT_FRAGMENT 0x4000

static __always_inline __u16 reply_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u64 reply_sum(const __u32 *words, int count)
{
	__u64 sum = 0;

	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

static __always_inline void reply_swap_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
}

static __always_inline void reply_write_ipv4(struct iphdr *ip, const struct packet *packet)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(struct tcphdr));
	ip->frag_off = bpf_htons(IP4_DONT_FRAGMENT);
	ip->ttl = REPLY_TTL;
	ip->protocol = IPPROTO_TCP;
	ip->saddr = packet->daddr_be[3];
	ip->daddr = packet->saddr_be[3];
	ip->check = reply_fold(reply_sum((__u32 *)ip, sizeof(*ip) / 4));
}

static __always_inline void reply_write_ipv6(struct ipv6hdr *ip, const struct packet *packet)
{
	*(__u32 *)ip = bpf_htonl(6u << 28);
	ip->payload_len = bpf_htons(sizeof(struct tcphdr));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = REPLY_TTL;
	__builtin_memcpy(&ip->saddr, packet->daddr_be, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, packet->saddr_be, sizeof(ip->daddr));
}

/* RST+ACK as of RFC 9293 section 3.10.7.1: sequence 0, everything that came is acknowledged. */
static __always_inline void reply_write_rst(
	struct tcphdr *tcp, const struct packet *packet, struct ports ports, __u32 ack)
{
	__u64 sum;

	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = ports.dest;
	tcp->dest = ports.source;
	tcp->ack_seq = bpf_htonl(ack);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->rst = 1;
	tcp->ack = 1;
	sum = reply_sum((__u32 *)tcp, sizeof(*tcp) / 4);
	sum += bpf_htonl(IPPROTO_TCP + sizeof(*tcp));
	/* mapped IPv4 addresses carry 0xffff each, which is zero in one's complement */
	sum += reply_sum(packet->saddr_be, 4) + reply_sum(packet->daddr_be, 4);
	tcp->check = reply_fold(sum);
}

/* At most 22; the mask in assembler is there for the verifier, the compiler would drop it. */
static __always_inline __u64 reply_l3_offset(struct xdp_md *ctx, const struct packet *packet)
{
	__u64 offset = packet->l3 - (void *)(long)ctx->data;

	asm volatile("%0 &= 31" : "+r"(offset));
	return offset;
}

/* Sends the RST that a SYN to a closed port gets. Packet pointers are void afterwards. */
static __always_inline int reply_rst(struct xdp_md *ctx, const struct packet *packet)
{
	const __u32 ip_len = packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u64 l3 = reply_l3_offset(ctx, packet);
	__u32 payload = packet->l4_len - packet->tcp->doff * 4;
	__u32 ack = bpf_ntohl(packet->tcp->seq) + 1 + payload;
	struct ports ports = *packet->ports;
	struct cursor cursor;
	struct ethhdr *eth;

	if (l3 > REPLY_MAX_L3 ||
		bpf_xdp_adjust_tail(ctx, (int)(l3 + ip_len + sizeof(struct tcphdr)) -
						 (int)bpf_xdp_get_buff_len(ctx)))
		return DROP(reply_failed);
	cursor.pos = (void *)(long)ctx->data;
	cursor.end = (void *)(long)ctx->data_end;
	eth = cursor.pos;
	if (!cursor_take(&cursor, l3) || (void *)(eth + 1) > cursor.end)
		return DROP(reply_failed);
	reply_swap_macs(eth);
	if (packet->v6) {
		struct ipv6hdr *ip = PARSE_HEADER(&cursor, struct ipv6hdr);

		if (!ip)
			return DROP(reply_failed);
		reply_write_ipv6(ip, packet);
	} else {
		struct iphdr *ip = PARSE_HEADER(&cursor, struct iphdr);

		if (!ip)
			return DROP(reply_failed);
		reply_write_ipv4(ip, packet);
	}
	struct tcphdr *tcp = PARSE_HEADER(&cursor, struct tcphdr);

	if (!tcp)
		return DROP(reply_failed);
	reply_write_rst(tcp, packet, ports, ack);
	COUNT(workers_stale_rst);
	return XDP_TX;
}

#endif
