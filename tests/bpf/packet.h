/*
 * Builds frames from a description, for table-driven tests of the packet plane, and checks the
 * frames that come back.
 */
#ifndef TESTS_BPF_PACKET_H
#define TESTS_BPF_PACKET_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PKT_FIN 0x01
#define PKT_SYN 0x02
#define PKT_RST 0x04
#define PKT_PSH 0x08
#define PKT_ACK 0x10
#define PKT_URG 0x20

enum { PKT_MAX_BYTES = 4096, PKT_MAX_EXT = 12 };

struct frame {
	uint8_t data[PKT_MAX_BYTES];
	size_t len;
};

enum pkt_checksum {
	PKT_SUM_NONE, /* zero */
	PKT_SUM_GOOD,
	PKT_SUM_PSEUDO, /* of the pseudo-header alone, as virtual devices hand it over */
	PKT_SUM_BAD,
};

/* What is zero takes the usual value: TCP, 198.51.100.7 or 2001:db8::7 to the listener. */
struct packet_spec {
	int vlans;
	bool v6;
	const char *src, *dst;
	uint16_t sport, dport;
	uint8_t flags;         /* of TCP */
	uint8_t protocol;      /* instead of TCP */
	uint16_t ether_type;   /* instead of IP */
	uint8_t ip_options;    /* IPv4, bytes, multiple of 4 */
	uint16_t frag_off;     /* IPv4, the whole field in host order */
	uint8_t ext
		[PKT_MAX_EXT]; /* IPv6 extension headers, types; 0xff stands for hop-by-hop (0) */
	uint16_t ext_frag;     /* fragment field of a fragment header, host order */
	uint8_t doff;          /* words; 0: what fits the options, 1-4: lies */
	uint8_t tcp_options;   /* bytes, multiple of 4 */
	uint16_t payload;
	int ip_len_delta;      /* the IP length lies by this */
	bool sport_zero, dport_zero;
	uint32_t seq, ack_seq;
	const uint8_t *options; /* tcp_options bytes instead of NOPs */
	enum pkt_checksum checksum;
};

#define PKT_V4_LISTENER "203.0.113.1"
#define PKT_V6_LISTENER "2001:db8:1::1"
#define PKT_V4_CLIENT   "198.51.100.7"
#define PKT_V6_CLIENT   "2001:db8:2::7"
#define PKT_PORT        443
#define PKT_SEQ         0x01020304u

static inline void pkt_bytes(struct frame *frame, const void *bytes, size_t len)
{
	memcpy(frame->data + frame->len, bytes, len);
	frame->len += len;
}

static inline void pkt_u8(struct frame *frame, unsigned int value)
{
	frame->data[frame->len++] = (uint8_t)value;
}

static inline void pkt_u16(struct frame *frame, unsigned int value)
{
	pkt_u8(frame, value >> 8 & 255);
	pkt_u8(frame, value & 255);
}

static inline void pkt_u32(struct frame *frame, uint32_t value)
{
	pkt_u16(frame, value >> 16);
	pkt_u16(frame, value & 0xffff);
}

static inline void pkt_fill(struct frame *frame, unsigned int value, size_t len)
{
	memset(frame->data + frame->len, (int)value, len);
	frame->len += len;
}

/* Sum of 16-bit words, not folded: sums of pieces of even length may be added. */
static inline uint32_t pkt_sum(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static inline uint16_t pkt_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline void pkt_address(struct frame *frame, int family, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(family, text, bytes) != 1)
		__builtin_trap();
	pkt_bytes(frame, bytes, family == AF_INET6 ? 16 : 4);
}

/* Whom frames are for; whoever changes it puts it back. */
static uint8_t pkt_destination[6] = {2, 0, 0, 0, 0, 1};

static inline void pkt_ethernet(struct frame *frame, const struct packet_spec *spec)
{
	static const uint8_t from[6] = {2, 0, 0, 0, 0, 2};

	pkt_bytes(frame, pkt_destination, 6);
	pkt_bytes(frame, from, 6);
	for (int i = 0; i < spec->vlans; i++) {
		pkt_u16(frame, i == 0 && spec->vlans > 1 ? 0x88a8 : 0x8100);
		pkt_u16(frame, 100 + (unsigned int)i);
	}
	pkt_u16(frame, spec->ether_type ? spec->ether_type : spec->v6 ? 0x86dd : 0x0800);
}

static inline size_t pkt_tcp_len(const struct packet_spec *spec)
{
	return 20u + spec->tcp_options + spec->payload;
}

static inline size_t pkt_ext_len(const struct packet_spec *spec)
{
	size_t count = 0;

	while (count < PKT_MAX_EXT && spec->ext[count])
		count++;
	return count * 8;
}

static inline void pkt_ipv4(struct frame *frame, const struct packet_spec *spec)
{
	size_t start = frame->len, header = 20u + spec->ip_options;
	uint16_t check;

	pkt_u8(frame, 0x40 | (unsigned int)header / 4);
	pkt_u8(frame, 0);
	pkt_u16(frame, (unsigned int)((int)(header + pkt_tcp_len(spec)) + spec->ip_len_delta));
	pkt_u16(frame, 7);
	pkt_u16(frame, spec->frag_off);
	pkt_u8(frame, 57);
	pkt_u8(frame, spec->protocol ? spec->protocol : 6);
	pkt_u16(frame, 0);
	pkt_address(frame, AF_INET, spec->src ? spec->src : PKT_V4_CLIENT);
	pkt_address(frame, AF_INET, spec->dst ? spec->dst : PKT_V4_LISTENER);
	pkt_fill(frame, 1, spec->ip_options);
	check = pkt_fold(pkt_sum(frame->data + start, header));
	frame->data[start + 10] = (uint8_t)(check >> 8);
	frame->data[start + 11] = (uint8_t)check;
}

static inline unsigned int pkt_ext_type(uint8_t type)
{
	return type == 0xff ? 0 : type;
}

static inline void pkt_ipv6(struct frame *frame, const struct packet_spec *spec)
{
	unsigned int upper = spec->protocol ? spec->protocol : 6;
	size_t count = pkt_ext_len(spec) / 8;

	pkt_u32(frame, 0x60012345);
	pkt_u16(frame,
		(unsigned int)((int)(pkt_ext_len(spec) + pkt_tcp_len(spec)) + spec->ip_len_delta));
	pkt_u8(frame, count ? pkt_ext_type(spec->ext[0]) : upper);
	pkt_u8(frame, 57);
	pkt_address(frame, AF_INET6, spec->src ? spec->src : PKT_V6_CLIENT);
	pkt_address(frame, AF_INET6, spec->dst ? spec->dst : PKT_V6_LISTENER);
	for (size_t i = 0; i < count; i++) {
		pkt_u8(frame, i + 1 < count ? pkt_ext_type(spec->ext[i + 1]) : upper);
		pkt_u8(frame, 0); /* 8 bytes; the same for AH would be (0 + 2) * 4 */
		pkt_u16(frame, spec->ext[i] == 44 ? spec->ext_frag : 0x0104);
		pkt_u32(frame, 0);
	}
}

static inline void pkt_tcp(struct frame *frame, const struct packet_spec *spec)
{
	pkt_u16(frame, spec->sport_zero ? 0 : spec->sport ? spec->sport : 40000);
	pkt_u16(frame, spec->dport_zero ? 0 : spec->dport ? spec->dport : PKT_PORT);
	pkt_u32(frame, spec->seq ? spec->seq : PKT_SEQ);
	pkt_u32(frame, spec->ack_seq);
	pkt_u8(frame, (spec->doff ? spec->doff : 5u + spec->tcp_options / 4u) << 4);
	pkt_u8(frame, spec->flags);
	pkt_u16(frame, 64240);
	pkt_u32(frame, 0);
	if (spec->options)
		pkt_bytes(frame, spec->options, spec->tcp_options);
	else
		pkt_fill(frame, 1, spec->tcp_options);
	pkt_fill(frame, 'x', spec->payload);
}

/* Of the TCP checksum's pseudo-header. */
static inline uint32_t pkt_pseudo_sum(const struct packet_spec *spec, const uint8_t *ip, size_t len)
{
	return pkt_sum(ip + (spec->v6 ? 8 : 12), spec->v6 ? 32 : 8) + 6 + (uint32_t)len;
}

static inline void pkt_checksum(
	struct frame *frame, const struct packet_spec *spec, size_t l3, size_t tcp)
{
	uint32_t sum = pkt_pseudo_sum(spec, frame->data + l3, frame->len - tcp);
	uint16_t check = 0;

	if (spec->checksum == PKT_SUM_PSEUDO)
		check = (uint16_t)~pkt_fold(sum);
	else if (spec->checksum != PKT_SUM_NONE)
		check = pkt_fold(sum + pkt_sum(frame->data + tcp, frame->len - tcp));
	if (spec->checksum == PKT_SUM_BAD)
		check ^= 0x0100;
	frame->data[tcp + 16] = (uint8_t)(check >> 8);
	frame->data[tcp + 17] = (uint8_t)check;
}

static inline struct frame packet_build(const struct packet_spec *spec)
{
	struct frame frame = {};
	size_t l3, tcp;

	pkt_ethernet(&frame, spec);
	l3 = frame.len;
	if (spec->v6)
		pkt_ipv6(&frame, spec);
	else
		pkt_ipv4(&frame, spec);
	tcp = frame.len;
	pkt_tcp(&frame, spec);
	pkt_checksum(&frame, spec, l3, tcp);
	return frame;
}

/* Offset of the IP header. */
static inline size_t packet_l3(const struct packet_spec *spec)
{
	return 14u + 4u * (size_t)spec->vlans;
}

#endif
