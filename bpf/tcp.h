/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is the TCP header one that a sender in good faith could have written? */
#ifndef SLUICE_BPF_TCP_H
#define SLUICE_BPF_TCP_H

#include "count.h"
#include "parse.h"

#define TCP_FLAG_FIN_BIT 0x01
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_RST_BIT 0x04
#define TCP_FLAG_ACK_BIT 0x10
#define TCP_FLAG_ECE_BIT 0x40
#define TCP_FLAG_CWR_BIT 0x80

static __always_inline __u8 tcp_flags(const struct tcphdr *tcp)
{
	return ((const __u8 *)tcp)[13];
}

/* A new connection; SYN+ACK belongs to a connection somebody opened from here. */
static __always_inline bool tcp_is_syn(__u8 flags)
{
	return (flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT)) == TCP_FLAG_SYN_BIT;
}

/* Bit n: n is a combination of FIN, SYN, RST, PSH and ACK that occurs. One test instead of five. */
#define TCP_FLAGS_GOOD 0x37373434u

static __always_inline bool tcp_flags_good(__u8 flags)
{
	return TCP_FLAGS_GOOD >> (flags & 31) & 1;
}

enum tcp_fault {
	TCP_SOUND,
	TCP_NOT_LINEAR, /* no fault: the driver keeps the header elsewhere */
	TCP_TRUNCATED,
	TCP_HEADER_LENGTH,
	TCP_FLAGS,
	TCP_PORT_ZERO,
};

static __always_inline enum tcp_fault tcp_fault(
	struct xdp_md *ctx, const struct packet *packet, const struct tcphdr *tcp)
{
	__u32 header_len;

	if (!tcp)
		return bpf_xdp_get_buff_len(ctx) > ctx->data_end - ctx->data ? TCP_NOT_LINEAR
									     : TCP_TRUNCATED;
	if (packet->l4_len < sizeof(*tcp))
		return TCP_TRUNCATED;
	header_len = tcp->doff * 4;
	if (header_len < sizeof(*tcp) || header_len > packet->l4_len)
		return TCP_HEADER_LENGTH;
	if (!tcp_flags_good(tcp_flags(tcp)))
		return TCP_FLAGS;
	/* to port 0, too: what is served there is a row that stands for whole addresses */
	return tcp->source && tcp->dest ? TCP_SOUND : TCP_PORT_ZERO;
}

static __always_inline int tcp_refuse_flags(__u8 flags)
{
	if (!(flags & TCP_FLAG_SYN_BIT))
		return flags & TCP_FLAG_FIN_BIT ? DROP(tcp_fin_without_ack) : DROP(tcp_no_flags);
	return flags & TCP_FLAG_FIN_BIT ? DROP(tcp_syn_fin) : DROP(tcp_syn_rst);
}

/* Everything but TCP_SOUND and TCP_NOT_LINEAR. */
static __always_inline int tcp_refuse(const struct tcphdr *tcp, enum tcp_fault fault)
{
	if (fault == TCP_TRUNCATED || !tcp)
		return DROP(tcp_truncated);
	if (fault == TCP_HEADER_LENGTH)
		return DROP(tcp_header_length);
	if (fault == TCP_FLAGS)
		return tcp_refuse_flags(tcp_flags(tcp));
	return DROP(tcp_port_zero);
}

/* Takes down what is needed once nobody looks into the frame any more: off the common path, where
 * it would have to be kept through calls. */
static __always_inline void packet_complete(const void *frame, const struct packet *packet,
	const struct headers *headers, struct packet *ret_whole)
{
	*ret_whole = (struct packet){
		.l4_len = packet->l4_len,
		.first_fragment = packet->first_fragment,
		.options = packet->options,
		.v6 = packet->v6,
		.l3 = headers->l3 - frame,
		.l4 = (void *)headers->tcp - frame,
		.ports = {.source = headers->tcp->source, .dest = headers->tcp->dest},
		.seq = bpf_ntohl(headers->tcp->seq),
		.ack_seq = bpf_ntohl(headers->tcp->ack_seq),
		.header_len = headers->tcp->doff * 4,
		.flags = tcp_flags(headers->tcp),
	};
	parse_addresses(ret_whole, headers);
}

/* The header once more, in a function that was given the packet's values. NULL: not there. */
static __always_inline struct tcphdr *packet_tcp(struct xdp_md *ctx, const struct packet *packet)
{
	void *end = frame_end(ctx);
	__u64 offset = packet->l4;
	struct tcphdr *tcp;

	asm volatile("%0 &= %1" : "+r"(offset) : "i"(PARSE_OFFSET_MASK));
	tcp = frame_begin(ctx) + offset;
	return (void *)(tcp + 1) > end ? NULL : tcp;
}

static __always_inline __u32 packet_payload_len(const struct packet *packet)
{
	return packet->l4_len - packet->header_len;
}

static __always_inline bool packet_is_odd(const struct packet *packet)
{
	return packet->options || packet->first_fragment;
}

#endif
