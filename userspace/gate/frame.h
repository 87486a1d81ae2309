/*
 * One frame of a first flight as the XDP program redirects it: Ethernet, up to two VLAN tags, IPv4
 * or IPv6 without options or extension headers, TCP with payload. Pure functions on bytes; any
 * thread. A struct frame borrows the bytes it describes.
 */
#ifndef SLUICE_GATE_FRAME_H
#define SLUICE_GATE_FRAME_H

#include "core/attr.h"
#include "net/addr.h"
#include <sluice/cookie.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { /* offsets in the IP headers and in the TCP header */
	IPV4_TOS = 1,
	IPV4_TOTAL_LENGTH = 2,
	IPV4_ID = 4,
	IPV4_FRAGMENT = 6,
	IPV4_TTL = 8,
	IPV4_PROTOCOL = 9,
	IPV4_CHECKSUM = 10,
	IPV4_FROM = 12,
	IPV4_TO = 16,
	IPV4_BYTES = 20,
	IPV6_PAYLOAD_LENGTH = 4,
	IPV6_NEXT_HEADER = 6,
	IPV6_HOP_LIMIT = 7,
	IPV6_FROM = 8,
	IPV6_TO = 24,
	IPV6_BYTES = 40,
	TCP_FROM_PORT = 0,
	TCP_TO_PORT = 2,
	TCP_SEQ = 4,
	TCP_ACK = 8,
	TCP_DATA_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_CHECKSUM = 16,
	TCP_URGENT = 18,
	TCP_BYTES = 20,
};

enum frame_tcp_flags {
	FRAME_FIN = 0x01,
	FRAME_SYN = 0x02,
	FRAME_RST = 0x04,
	FRAME_PSH = 0x08,
	FRAME_ACK = 0x10,
	FRAME_URG = 0x20,
};

enum { FRAME_ECN_CE = 3 };

enum {
	FRAME_MAC_BYTES = 6,
	FRAME_L2_BYTES_MAX = 14 + 2 * 4,
	FRAME_TCP_BYTES_MAX = 60,
	FRAME_HEADER_BYTES_MAX = FRAME_L2_BYTES_MAX + 40 + FRAME_TCP_BYTES_MAX,
};

struct frame {
	uint8_t *bytes; /* from the Ethernet header */
	uint16_t l2_bytes, ip_bytes, tcp_bytes; /* lengths of the headers, one after the other */
	bool v6;
	bool partial; /* the TCP checksum is the sum of the pseudo header only */
	bool has_timestamp;
	uint8_t flags; /* enum frame_tcp_flags */
	uint8_t ecn; /* the two bits of the IP header */
	uint32_t payload_bytes;
	uint32_t seq, ack, tsval, tsecr; /* host order */
	struct sluice_cookie_tuple tuple; /* `from` is the client */
};

/* 0; -EPROTO: not such a frame; -EBADMSG: its TCP checksum is wrong. */
int frame_parse(uint8_t *bytes, size_t len, struct frame *ret_frame) must_check;
void frame_addresses(const struct frame *frame, union addr *ret_client, union addr *ret_local);
/* Makes the headers those of one segment with `payload_bytes` that starts at `seq`; the TCP
 * checksum is left partial. */
void frame_restate(struct frame *frame, uint32_t seq, uint32_t payload_bytes, uint8_t flags);

/* The Internet checksum (RFC 1071), in memory order: sums add up, the fold of them is what a field
 * holds after complementing. Only the last run that is added may be of odd length. */
uint64_t frame_sum(const void *bytes, size_t len, uint64_t sum);
uint16_t frame_fold(uint64_t sum);
/* Of the pseudo header that belongs to this IP header. */
uint64_t frame_sum_pseudo(const uint8_t *ip, bool v6, uint32_t tcp_len);

/* Fields of headers, big endian; headers are not aligned. */
static inline uint16_t frame_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t frame_get32(const uint8_t *at)
{
	return (uint32_t)frame_get16(at) << 16 | frame_get16(at + 2);
}

static inline void frame_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void frame_put32(uint8_t *at, uint32_t value)
{
	frame_put16(at, (uint16_t)(value >> 16));
	frame_put16(at + 2, (uint16_t)value);
}

static inline uint8_t *frame_ip(const struct frame *frame)
{
	return frame->bytes + frame->l2_bytes;
}

static inline uint8_t *frame_tcp(const struct frame *frame)
{
	return frame->bytes + frame->l2_bytes + frame->ip_bytes;
}

static inline uint32_t frame_header_bytes(const struct frame *frame)
{
	return (uint32_t)frame->l2_bytes + frame->ip_bytes + frame->tcp_bytes;
}

static inline uint8_t *frame_payload(const struct frame *frame)
{
	return frame->bytes + frame_header_bytes(frame);
}

#endif
