/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is the TCP header one that a sender in good faith could have written? */
#ifndef SLUICE_BPF_TCP_H
#define SLUICE_BPF_TCP_H

#include "parse.h"

#define TCP_FLAG_FIN_BIT 0x01
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_RST_BIT 0x04
#define TCP_FLAG_ACK_BIT 0x10

static __always_inline __u8 tcp_flags(const struct tcphdr *tcp)
{
	return ((const __u8 *)tcp)[13];
}

/* A new connection; SYN+ACK belongs to a connection somebody opened from here. */
static __always_inline bool tcp_is_syn(const struct tcphdr *tcp)
{
	return (tcp_flags(tcp) & (TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT)) == TCP_FLAG_SYN_BIT;
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

static __always_inline enum tcp_fault tcp_fault(struct xdp_md *ctx, const struct packet *packet)
{
	const struct tcphdr *tcp = packet->tcp;
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
	return tcp->source ? TCP_SOUND : TCP_PORT_ZERO;
}

static __always_inline int tcp_refuse_flags(__u8 flags)
{
	if (!(flags & TCP_FLAG_SYN_BIT))
		return flags & TCP_FLAG_FIN_BIT ? DROP(tcp_fin_without_ack) : DROP(tcp_no_flags);
	return flags & TCP_FLAG_FIN_BIT ? DROP(tcp_syn_fin) : DROP(tcp_syn_rst);
}

static __always_inline int tcp_refuse(const struct packet *packet, enum tcp_fault fault)
{
	if (fault == TCP_NOT_LINEAR)
		return PASS(headers_not_linear);
	if (fault == TCP_TRUNCATED || !packet->tcp)
		return DROP(tcp_truncated);
	if (fault == TCP_HEADER_LENGTH)
		return DROP(tcp_header_length);
	if (fault == TCP_FLAGS)
		return tcp_refuse_flags(tcp_flags(packet->tcp));
	return DROP(tcp_port_zero);
}

#endif
