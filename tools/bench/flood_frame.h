/*
 * TCP segments as Ethernet frames, for the flood generator: written whole, with their checksums.
 */
#ifndef SLUICE_BENCH_FLOOD_FRAME_H
#define SLUICE_BENCH_FLOOD_FRAME_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { IPV4_BYTES = 20, IPV6_BYTES = 40, TCP_BYTES = 20 };

enum flags { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* Where all segments go. */
struct target {
	int family;
	size_t addr_len, ip_len;
	uint8_t address[16];
	uint16_t port;
	uint8_t ethernet[ETH_HLEN];
};

struct segment {
	uint8_t source[16];
	uint16_t port; /* of the source, host order */
	uint32_t seq, ack;
	uint8_t flags;
	uint8_t options[40];
	uint8_t options_len; /* a multiple of 4 */
	const uint8_t *data;
	size_t data_len;
};

/* The sum of RFC 1071 over memory in the machine's own order; an odd last byte is padded. */
static inline uint64_t sum_add(uint64_t sum, const uint8_t *data, size_t len)
{
	uint32_t word = 0;

	for (; len >= 4; data += 4, len -= 4) {
		memcpy(&word, data, 4);
		sum += word;
	}
	word = 0;
	memcpy(&word, data, len);
	return sum + word;
}

static inline uint16_t sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline void put16(uint8_t *to, uint16_t value)
{
	value = htons(value);
	memcpy(to, &value, 2);
}

static inline void put32(uint8_t *to, uint32_t value)
{
	value = htonl(value);
	memcpy(to, &value, 4);
}

static inline uint32_t get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, 4);
	return ntohl(value);
}

static inline void write_ipv4(
	uint8_t *ip, const struct target *target, const struct segment *segment, size_t tcp_len)
{
	uint16_t sum;

	memset(ip, 0, IPV4_BYTES);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(IPV4_BYTES + tcp_len));
	ip[6] = 0x40; /* do not fragment */
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	memcpy(ip + 12, segment->source, 4);
	memcpy(ip + 16, target->address, 4);
	sum = sum_fold(sum_add(0, ip, IPV4_BYTES));
	memcpy(ip + 10, &sum, 2);
}

static inline void write_ipv6(
	uint8_t *ip, const struct target *target, const struct segment *segment, size_t tcp_len)
{
	memset(ip, 0, 8);
	ip[0] = 0x60;
	put16(ip + 4, (uint16_t)tcp_len);
	ip[6] = IPPROTO_TCP;
	ip[7] = 64;
	memcpy(ip + 8, segment->source, 16);
	memcpy(ip + 24, target->address, 16);
}

/* Returns the length of the frame. */
static inline size_t write_frame(
	uint8_t *frame, const struct target *target, const struct segment *segment)
{
	uint8_t *ip = frame + ETH_HLEN, *tcp = ip + target->ip_len;
	size_t header = TCP_BYTES + segment->options_len, tcp_len = header + segment->data_len;
	uint16_t sum;

	memcpy(frame, target->ethernet, ETH_HLEN);
	if (target->family == AF_INET)
		write_ipv4(ip, target, segment, tcp_len);
	else
		write_ipv6(ip, target, segment, tcp_len);
	memset(tcp, 0, TCP_BYTES);
	put16(tcp, segment->port);
	put16(tcp + 2, target->port);
	put32(tcp + 4, segment->seq);
	put32(tcp + 8, segment->ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = segment->flags;
	put16(tcp + 14, 64240);
	memcpy(tcp + TCP_BYTES, segment->options, segment->options_len);
	if (segment->data_len)
		memcpy(tcp + header, segment->data, segment->data_len);
	/* Both addresses stand next to each other at the end of either IP header. */
	sum = sum_fold(sum_add(sum_add(htons(IPPROTO_TCP) + htons((uint16_t)tcp_len),
				       tcp - 2 * target->addr_len, 2 * target->addr_len),
		tcp, tcp_len));
	memcpy(tcp + 16, &sum, 2);
	return ETH_HLEN + target->ip_len + tcp_len;
}

#endif
