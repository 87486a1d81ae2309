/*
 * SYN cookies: what the XDP program puts into its SYN-ACK and what the ACK must bring back. Shared
 * with user space, which finds the place of a segment in the stream with the same functions.
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
 */
#ifndef SLUICE_COOKIE_H
#define SLUICE_COOKIE_H

#include <sluice/types.h>
#include <sluice/siphash.h>

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
	COOKIE_BAD,   /* not ours, or older than anything that can be told */
	COOKIE_STALE, /* ours, but two epochs old */
	COOKIE_GOOD,
};

/* Addresses as in struct sluice_listener_key: IPv4 mapped. `from` is the client. */
struct sluice_cookie_tuple {
	__u32 from_be[4];
	__u32 to_be[4];
	__u16 from_port_be;
	__u16 to_port_be;
	__u16 v6; /* 0 or 1 */
	__u16 bound; /* 0 or 1: of a listener without a gate */
};
SLUICE_SIZE(struct sluice_cookie_tuple, 40);

/* What a cookie is made of and for. */
struct sluice_cookie {
	__u32 options;    /* enum cookie_bits but the epoch */
	__u32 client_isn; /* host order */
	bool has_timestamp;
	__u32 ret_isn;   /* host order: the cookie */
	__u32 ret_tsval; /* host order; valid with has_timestamp */
};

/*
 * The largest segment sizes that a cookie can tell, ascending. The values are those of Linux's own
 * cookies (net/ipv4/syncookies.c, after Alcock and Nelson, "An Analysis of TCP Maximum Segment
 * Sizes", 2011), but nothing above what Ethernet carries.
 */
SLUICE_INLINE __u32 sluice_cookie_mss(__u32 cookie, bool v6)
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
SLUICE_INLINE __u32 sluice_cookie_mss_bits(__u32 mss, bool v6)
{
	__u32 mss_class = 0;

	if (v6)
		mss_class = (mss >= 1360) + (mss >= 1420) + (mss >= 1440);
	else
		mss_class = (mss >= 1300) + (mss >= 1440) + (mss >= 1460);
	return mss_class << COOKIE_MSS_SHIFT;
}

/* `place`: 24 bits of the initial sequence number with a timestamp, all of it when bound. */
SLUICE_INLINE __u64 sluice_cookie_hash(const __u64 key[2], __u32 epoch,
	const struct sluice_cookie_tuple *tuple, __u32 options, bool has_timestamp, __u32 place)
{
	__u32 ports = (__u32)tuple->from_port_be << 16 | tuple->to_port_be;
	__u32 flags = tuple->v6 << 8 | has_timestamp << 9 | tuple->bound << 10;
	struct siphash s;

	siphash_init(&s, key);
	if (tuple->v6) {
		siphash_word(&s, (__u64)tuple->from_be[0] << 32 | tuple->from_be[1]);
		siphash_word(&s, (__u64)tuple->from_be[2] << 32 | tuple->from_be[3]);
		siphash_word(&s, (__u64)tuple->to_be[0] << 32 | tuple->to_be[1]);
		siphash_word(&s, (__u64)tuple->to_be[2] << 32 | tuple->to_be[3]);
	} else {
		siphash_word(&s, (__u64)tuple->from_be[3] << 32 | tuple->to_be[3]);
	}
	siphash_word(&s, (__u64)ports << 32 | epoch);
	siphash_word(&s, (__u64)place << 32 | flags | options);
	return siphash_finish(&s);
}

/* Fills ret_isn and ret_tsval. Signed with keys[0]. */
SLUICE_INLINE void sluice_cookie_make(const __u64 keys[SLUICE_COOKIE_KEYS][2], __u32 epoch,
	const struct sluice_cookie_tuple *tuple, struct sluice_cookie *cookie)
{
	__u32 place = cookie->has_timestamp ? cookie->client_isn & 0xffffff
		      : tuple->bound	    ? cookie->client_isn
					    : 0;
	__u64 hash = sluice_cookie_hash(
		keys[0], epoch, tuple, cookie->options, cookie->has_timestamp, place);

	cookie->ret_isn = (hash >> 42) << SLUICE_COOKIE_LOW_BITS |
			  (epoch & 3) << COOKIE_EPOCH_SHIFT | cookie->options;
	cookie->ret_tsval = cookie->client_isn << 8 | (hash & 255);
}

/* Does this key, in this epoch, make this cookie? */
SLUICE_INLINE bool sluice_cookie_is(const __u64 key[2], __u32 epoch,
	const struct sluice_cookie_tuple *tuple, __u32 cookie, bool has_timestamp, __u32 tsecr,
	__u32 place)
{
	__u64 hash = sluice_cookie_hash(
		key, epoch, tuple, cookie & COOKIE_OPTIONS_MASK, has_timestamp, place);

	return hash >> 42 == cookie >> SLUICE_COOKIE_LOW_BITS &&
	       (!has_timestamp || (hash & 255) == (tsecr & 255));
}

/*
 * Is `cookie` (the acknowledgement number - 1) ours? All numbers in host order. *ret_offset is the
 * place of the segment in the stream: valid if GOOD or STALE and has_timestamp.
 */
SLUICE_INLINE enum cookie_verdict sluice_cookie_check(const __u64 keys[SLUICE_COOKIE_KEYS][2],
	__u32 epoch, const struct sluice_cookie_tuple *tuple, __u32 cookie, bool has_timestamp,
	__u32 tsecr, __u32 seq, __u32 *ret_offset)
{
	__u32 ahead = ((cookie >> COOKIE_EPOCH_SHIFT) - epoch) & 3; /* 2: two behind; 3: one */
	__u32 made = epoch + ahead - (ahead & 2) * 2;
	__u32 place = has_timestamp ? tsecr >> 8 : tuple->bound ? seq - 1 : 0;
	__u32 offset = (seq - 1 - place) & 0xffffff;

	if (has_timestamp && offset >= SLUICE_FLIGHT_BYTES_MAX)
		return COOKIE_BAD;
#pragma clang loop unroll(disable)
	for (int i = 0; i < SLUICE_COOKIE_KEYS; i++) {
		if (!(keys[i][0] | keys[i][1]))
			continue;
		if (sluice_cookie_is(keys[i], made, tuple, cookie, has_timestamp, tsecr, place)) {
			*ret_offset = offset;
			return ahead == 2 ? COOKIE_STALE : COOKIE_GOOD;
		}
	}
	return COOKIE_BAD;
}

#endif
