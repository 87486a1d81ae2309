/* TCP segments of the frames that xdp_cost measures with, but for the checksum. */
#ifndef BENCH_XDP_SEGMENT_H
#define BENCH_XDP_SEGMENT_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sluice/cookie.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	FRAME_MAX_BYTES = 640,
	FRAME_HELLO_BYTES = 517, /* a usual ClientHello */
	FRAME_ISN = 0x01020304,
};

enum frame_kind {
	FRAME_PLAIN, /* no options, the flags of the load */
	FRAME_SYN,   /* of Linux: 20 bytes of options */
	FRAME_SYN_V6,
	FRAME_ACK,   /* brings a cookie back */
	FRAME_HELLO, /* the same with data */
};

struct frame_spec {
	enum frame_kind kind;
	uint32_t source; /* host order; of IPv4 */
	uint16_t sport, dport;
	unsigned int syn : 1, ack : 1;
	const __u64 (*keys)[2]; /* of the cookie */
	uint32_t epoch;
};

/* Returns the length of the options. */
static inline size_t frame_options(uint8_t *options, const struct frame_spec *spec, uint32_t tsecr)
{
	static const uint8_t syn[20] = {
		2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7};
	static const uint8_t other[8] = {1, 1, 8, 10, 0, 0, 1, 1};

	if (spec->kind == FRAME_PLAIN)
		return 0;
	if (spec->kind == FRAME_SYN || spec->kind == FRAME_SYN_V6) {
		memcpy(options, syn, sizeof(syn));
		return sizeof(syn);
	}
	memcpy(options, other, sizeof(other));
	tsecr = htonl(tsecr);
	memcpy(options + sizeof(other), &tsecr, sizeof(tsecr));
	return sizeof(other) + sizeof(tsecr);
}

/* The cookie that the packet plane would have sent to this client. */
static inline struct sluice_cookie frame_cookie(const struct frame_spec *spec)
{
	struct sluice_cookie_tuple tuple = {
		.from_be = {0, 0, htonl(0xffff), htonl(spec->source)},
		.to_be = {0, 0, htonl(0xffff), htonl(INADDR_LOOPBACK)},
		.from_port_be = htons(spec->sport),
		.to_port_be = htons(spec->dport),
	};
	struct sluice_cookie cookie = {
		.options = sluice_cookie_mss_bits(1460, false) | COOKIE_SACK | 7,
		.client_isn = FRAME_ISN,
		.has_timestamp = true,
	};

	sluice_cookie_make(spec->keys, spec->epoch, &tuple, &cookie);
	return cookie;
}

static inline size_t frame_tcp(uint8_t *bytes, const struct frame_spec *spec)
{
	struct sluice_cookie cookie = {};
	struct tcphdr tcp = {
		.source = htons(spec->sport),
		.dest = htons(spec->dport),
		.seq = htonl(FRAME_ISN),
		.syn = spec->syn,
		.ack = spec->ack,
		.window = htons(64240),
	};
	size_t len = sizeof(tcp);

	if (spec->kind == FRAME_ACK || spec->kind == FRAME_HELLO) {
		cookie = frame_cookie(spec);
		tcp.seq = htonl(FRAME_ISN + 1);
		tcp.ack_seq = htonl(cookie.ret_isn + 1);
		tcp.ack = 1;
	} else if (spec->kind != FRAME_PLAIN) {
		tcp.syn = 1;
	}
	len += frame_options(bytes + len, spec, cookie.ret_tsval);
	tcp.doff = len / 4;
	memcpy(bytes, &tcp, sizeof(tcp));
	if (spec->kind == FRAME_HELLO) {
		memset(bytes + len, 'x', FRAME_HELLO_BYTES);
		len += FRAME_HELLO_BYTES;
	}
	return len;
}

#endif
