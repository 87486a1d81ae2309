/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answering from XDP: the frame is turned around in place. */
#ifndef SLUICE_BPF_REPLY_H
#define SLUICE_BPF_REPLY_H

#include "checksum.h"
#include "count.h"
#include "parse.h"
#include "tcp.h"

#define REPLY_TTL          64
#define REPLY_MAX_L3       (sizeof(struct ethhdr) + VLAN_MAX_TAGS * sizeof(struct vlan_tag))
#define REPLY_SHORTEST     60 /* what Ethernet pads a frame to: need not be cut */
#define REPLY_OPTION_WORDS 5
#define IP4_DONT_FRAGMENT  0x4000

/* What is sent back, in host order. */
struct reply {
	__u32 seq;
	__u32 ack_seq;
	__u16 window;
	__u8 flags;
	__u8 option_words; /* 0, 1, 3 or REPLY_OPTION_WORDS */
	__u32 options_be[REPLY_OPTION_WORDS];
};

static __always_inline void reply_swap_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
}

static __always_inline void reply_write_ipv4(
	struct iphdr *ip, const struct packet *packet, __u32 tcp_len)
{
	__u32 *words = (__u32 *)ip;

	words[0] = bpf_htonl(0x45000000 | (sizeof(*ip) + tcp_len));
	words[1] = bpf_htonl(IP4_DONT_FRAGMENT);
	words[2] = bpf_htonl(REPLY_TTL << 24 | IPPROTO_TCP << 16);
	words[3] = packet->daddr_be[3];
	words[4] = packet->saddr_be[3];
	ip->check = checksum_fold((__u64)bpf_htonl(0x45000000 | (sizeof(*ip) + tcp_len)) +
				  bpf_htonl(IP4_DONT_FRAGMENT) +
				  bpf_htonl(REPLY_TTL << 24 | IPPROTO_TCP << 16) +
				  packet->daddr_be[3] + packet->saddr_be[3]);
}

static __always_inline void reply_write_ipv6(
	struct ipv6hdr *ip, const struct packet *packet, __u32 tcp_len)
{
	__u32 *words = (__u32 *)ip;

	words[0] = bpf_htonl(6u << 28);
	words[1] = bpf_htonl(tcp_len << 16 | IPPROTO_TCP << 8 | REPLY_TTL);
	__builtin_memcpy(&ip->saddr, packet->daddr_be, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, packet->saddr_be, sizeof(ip->daddr));
}

/* At most 22; the mask in assembler is there for the verifier, the compiler would drop it. */
static __always_inline __u64 reply_l3_offset(const struct packet *packet)
{
	__u64 offset = packet->l3;

	asm volatile("%0 &= 31" : "+r"(offset));
	return offset;
}

/* Makes the frame `want` bytes long, where it is not. Padding of a short one may stay. */
static __always_inline int reply_resize(struct xdp_md *ctx, __u32 want)
{
	__u32 have = frame_end(ctx) - frame_begin(ctx);

	if (have == want || (have > want && have <= REPLY_SHORTEST))
		return 0;
	return bpf_xdp_adjust_tail(ctx, (int)want - (int)bpf_xdp_get_buff_len(ctx));
}

/* Turns Ethernet and IP around; the cursor is behind them. Packet pointers are void afterwards. */
static __always_inline int reply_begin(
	struct xdp_md *ctx, const struct packet *packet, __u32 tcp_len, struct cursor *cursor)
{
	const __u32 ip_len = packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u64 l3 = reply_l3_offset(packet);
	struct ethhdr *eth;

	if (l3 > REPLY_MAX_L3 || reply_resize(ctx, l3 + ip_len + tcp_len))
		return -1;
	cursor->pos = frame_begin(ctx);
	cursor->end = frame_end(ctx);
	eth = cursor->pos;
	if (!cursor_take(cursor, l3) || (void *)(eth + 1) > cursor->end)
		return -1;
	reply_swap_macs(eth);
	if (packet->v6) {
		struct ipv6hdr *ip = PARSE_HEADER(cursor, struct ipv6hdr);

		if (!ip)
			return -1;
		reply_write_ipv6(ip, packet, tcp_len);
	} else {
		struct iphdr *ip = PARSE_HEADER(cursor, struct iphdr);

		if (!ip)
			return -1;
		reply_write_ipv4(ip, packet, tcp_len);
	}
	return 0;
}

#define REPLY_WRITE_OPTIONS(cursor, reply, count)                                                  \
	({                                                                                         \
		__u32 *_to = cursor_take(cursor, 4 * (count));                                     \
		if (_to)                                                                           \
			for (int _i = 0; _i < (count); _i++)                                       \
				_to[_i] = (reply)->options_be[_i];                                 \
		_to ? checksum_add((reply)->options_be, count) : 0;                                \
	})

/* Returns their sum. The counts are constants so that the verifier sees the bounds. */
static __always_inline __u64 reply_write_options(struct cursor *cursor, const struct reply *reply)
{
	if (reply->option_words == REPLY_OPTION_WORDS)
		return REPLY_WRITE_OPTIONS(cursor, reply, REPLY_OPTION_WORDS);
	if (reply->option_words == 3)
		return REPLY_WRITE_OPTIONS(cursor, reply, 3);
	return reply->option_words == 1 ? REPLY_WRITE_OPTIONS(cursor, reply, 1) : 0;
}

/* Turned around, as they lie in the header. */
static __always_inline __u32 reply_ports_be(const struct packet *packet)
{
	struct ports ports = {.source = packet->ports.dest, .dest = packet->ports.source};
	__u32 word;

	__builtin_memcpy(&word, &ports, sizeof(word));
	return word;
}

/* XDP_TX, or DROP(reply_failed). `addresses`: checksum_addresses(). */
static __always_inline int reply_send(
	struct xdp_md *ctx, const struct packet *packet, const struct reply *reply, __u64 addresses)
{
	__u32 len = sizeof(struct tcphdr) + reply->option_words * 4;
	__u32 words[4] = {
		reply_ports_be(packet),
		bpf_htonl(reply->seq),
		bpf_htonl(reply->ack_seq),
		bpf_htonl(len << 26 | (__u32)reply->flags << 16 | reply->window),
	};
	__u64 sum = addresses + bpf_htonl(len) + checksum_add(words, 4);
	struct cursor cursor;
	struct tcphdr *tcp;

	if (reply_begin(ctx, packet, len, &cursor))
		return DROP(reply_failed);
	tcp = PARSE_HEADER(&cursor, struct tcphdr);
	if (!tcp)
		return DROP(reply_failed);
	sum += reply_write_options(&cursor, reply);
	__builtin_memcpy(tcp, words, sizeof(words));
	tcp->check = checksum_fold(sum);
	tcp->urg_ptr = 0;
	return XDP_TX;
}

/* The RST that a segment of no connection gets (RFC 9293 section 3.10.7.1): it takes its sequence
 * number from what was acknowledged, or acknowledges everything that came. A function of its own,
 * since it is sent from many places and never in haste. */
__noinline int reply_rst(struct xdp_md *ctx, const struct packet *packet)
{
	struct reply reply = {};

	if (!packet)
		return DROP(reply_failed);
	if (packet->flags & TCP_FLAG_ACK_BIT) {
		reply.seq = packet->ack_seq;
		reply.flags = TCP_FLAG_RST_BIT;
	} else {
		reply.ack_seq = packet->seq + packet_payload_len(packet) +
				!!(packet->flags & TCP_FLAG_SYN_BIT);
		reply.flags = TCP_FLAG_RST_BIT | TCP_FLAG_ACK_BIT;
	}
	return reply_send(ctx, packet, &reply, checksum_addresses(packet));
}

#endif
