/*
 * The frames that xdp_cost measures with: untagged, IPv4 from a source of choice or IPv6, to a port
 * on the loopback address, the checksum of TCP right.
 */
#ifndef BENCH_XDP_FRAME_H
#define BENCH_XDP_FRAME_H

#include "xdp_segment.h"

static inline uint32_t frame_sum(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	return sum;
}

static inline uint16_t frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static const uint8_t frame_destination[ETH_ALEN] = {2};

/* Returns the length of the frame. */
static inline size_t frame_write(uint8_t bytes[FRAME_MAX_BYTES], const struct frame_spec *spec)
{
	bool v6 = spec->kind == FRAME_SYN_V6;
	size_t l3 = sizeof(struct ethhdr),
	       ip_len = v6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr);
	struct ethhdr eth = {.h_source = {2, 1}, .h_proto = htons(v6 ? ETH_P_IPV6 : ETH_P_IP)};
	uint8_t *tcp = bytes + l3 + ip_len;
	size_t tcp_len;
	uint16_t check;

	memset(bytes, 0, FRAME_MAX_BYTES);
	memcpy(eth.h_dest, frame_destination, sizeof(eth.h_dest));
	memcpy(bytes, &eth, sizeof(eth));
	tcp_len = frame_tcp(tcp, spec);
	if (v6) {
		struct ip6_hdr ip = {
			.ip6_src = {{{0x20, 1, 0xd, 0xb8, [15] = 7}}}, .ip6_dst = in6addr_loopback};

		ip.ip6_flow = htonl(6u << 28);
		ip.ip6_plen = htons((uint16_t)tcp_len);
		ip.ip6_nxt = IPPROTO_TCP;
		memcpy(bytes + l3, &ip, sizeof(ip));
	} else {
		struct iphdr ip = {.version = 4,
			.ihl = 5,
			.tot_len = htons((uint16_t)(ip_len + tcp_len)),
			.ttl = 64,
			.protocol = IPPROTO_TCP,
			.saddr = htonl(spec->source),
			.daddr = htonl(INADDR_LOOPBACK)};

		memcpy(bytes + l3, &ip, sizeof(ip));
	}
	check = frame_fold(frame_sum(tcp, tcp_len) + IPPROTO_TCP + (uint32_t)tcp_len +
			   frame_sum(tcp - (v6 ? 32 : 8), v6 ? 32 : 8));
	memcpy(tcp + offsetof(struct tcphdr, check), &check, sizeof(check));
	return l3 + ip_len + tcp_len;
}

#endif
