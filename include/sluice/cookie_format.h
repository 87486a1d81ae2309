/*
 * SYN cookies: what the XDP program puts into its SYN-ACK and what the ACK must bring back. Shared
 * with user space, which finds the place of a segment in the stream with the functions of
 * <sluice/cookie.h>.
 *
 * Initial sequence number of the SYN-ACK (host order):
 *	hash 22 | epoch 2 | MSS class 2 | ECN 1 | SACK 1 | client's window scale 4 (15: none)
 * TSval, when the client sends timestamps:
 *	low 24 bits of the client's initial sequence number | hash 8
 * The hash (SipHash-1-3, keyed) covers addresses, ports, the whole epoch, the lowest eight bits of
 * the cookie, whether there are timestamps and, if so, the 24 bits above: nothing else need be
 * remembered. The epoch is CLOCK_REALTIME / 64 s: the same on all nodes that share the secret. Its
 * two low bits travel in the cookie and tell in one hash whether the cookie is of this epoch, the
 * one before or the one after (another node's clock), or stale.
 *
 * With timestamps every segment of the first flight proves its place in the stream. Without them
 * there is no room for it: the place is not known and any segment of the tuple passes, since the
 * second segment of a long ClientHello must. Where nobody puts flights together (`bound`) the hash
 * covers the client's whole initial sequence number instead, and the first segment alone passes.
 * When a listener's gate is switched both are believed for as long as a cookie lives, and the
 * connection is treated as what the listener was when it answered (guard flags above
 * LISTENER_GATE_EPOCH_SHIFT).
 */
#ifndef SLUICE_COOKIE_FORMAT_H
#define SLUICE_COOKIE_FORMAT_H

#include <sluice/types.h>

#define SLUICE_EPOCH_S         64
#define SLUICE_COOKIE_KEYS     2 /* [0] signs, both are believed; an unused one is all zero */
#define SLUICE_COOKIE_LOW_BITS 10
#define SLUICE_COOKIE_NO_SCALE 15
/* Our window scale: constant, since the node that takes the ACK need not be the one that promised. */
#define SLUICE_RCV_WSCALE 8
/* Bytes of a first flight beyond which a timestamp is not believed to be ours. */
#define SLUICE_FLIGHT_BYTES_MAX 65536u

enum cookie_bits {
	COOKIE_SCALE_MASK = 15,
	COOKIE_SACK = 16,
	COOKIE_ECN = 32,
	COOKIE_MSS_SHIFT = 6,
	COOKIE_EPOCH_SHIFT = 8,
	COOKIE_OPTIONS_MASK = 255, /* all of the above but the epoch */
};

enum cookie_verdict {
	COOKIE_BAD, /* not ours, or older than anything that can be told */
	COOKIE_STALE, /* ours, but two epochs old */
	COOKIE_GOOD,
};

struct sluice_cookie_secret {
	__u64 keys[SLUICE_COOKIE_KEYS][2];
};
SLUICE_SIZE(struct sluice_cookie_secret, 16 * SLUICE_COOKIE_KEYS);

/* Addresses as in struct sluice_listener_key: IPv4 mapped. `from` is the client. */
struct sluice_cookie_tuple {
	__u32 from_be[4];
	__u32 to_be[4];
	__u16 from_port_be;
	__u16 to_port_be;
	__u16 v6; /* 0 or 1 */
	__u16 bound; /* 0 or 1: of a listener without a gate; matters without timestamps only */
};
SLUICE_SIZE(struct sluice_cookie_tuple, 40);

/* What a cookie is made of and for. */
struct sluice_cookie {
	__u32 options; /* enum cookie_bits but the epoch */
	__u32 client_isn; /* host order */
	_Bool has_timestamp;
	__u32 ret_isn; /* host order: the cookie */
	__u32 ret_tsval; /* host order; valid with has_timestamp */
};

/*
 * The largest segment sizes that a cookie can tell, ascending. The values are those of Linux's own
 * cookies (net/ipv4/syncookies.c, after Alcock and Nelson, "An Analysis of TCP Maximum Segment
 * Sizes", 2011), but nothing above what Ethernet carries.
 */
SLUICE_INLINE __u32 sluice_cookie_mss(__u32 cookie, _Bool v6)
{
	switch (cookie >> COOKIE_MSS_SHIFT & 3) {
	case 0:
		return v6 ? 1220 : 536;
	case 1:
		return v6 ? 1360 : 1300;
	case 2:
		return v6 ? 1420 : 1440;
	default:
		return v6 ? 1440 : 1460;
	}
}

/* Bits of the largest class that does not exceed what the client takes. */
SLUICE_INLINE __u32 sluice_cookie_mss_bits(__u32 mss, _Bool v6)
{
	__u32 mss_class = 0;

	if (v6)
		mss_class = (mss >= 1360) + (mss >= 1420) + (mss >= 1440);
	else
		mss_class = (mss >= 1300) + (mss >= 1440) + (mss >= 1460);
	return mss_class << COOKIE_MSS_SHIFT;
}

#endif
