/* Making and checking SYN cookies, in the BPF programs and in user space: <sluice/cookie_format.h>
 * says what they are. */
#ifndef SLUICE_COOKIE_H
#define SLUICE_COOKIE_H

#include <sluice/types.h>
#include <sluice/cookie_format.h>
#include <sluice/siphash.h>

/* `place`: 24 bits of the initial sequence number with a timestamp, all of it when bound. */
SLUICE_INLINE __u64 sluice_cookie_hash(const __u64 key[2], __u32 epoch,
	const struct sluice_cookie_tuple *tuple, __u32 options, _Bool has_timestamp, __u32 place)
{
	__u32 ports = (__u32)tuple->from_port_be << 16 | tuple->to_port_be;
	__u32 flags = tuple->v6 << 8 | has_timestamp << 9 | (!has_timestamp & tuple->bound) << 10;
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
		      : tuple->bound        ? cookie->client_isn
					    : 0;
	__u64 hash = sluice_cookie_hash(
		keys[0], epoch, tuple, cookie->options, cookie->has_timestamp, place);

	cookie->ret_isn = (hash >> 42) << SLUICE_COOKIE_LOW_BITS |
			  (epoch & 3) << COOKIE_EPOCH_SHIFT | cookie->options;
	cookie->ret_tsval = cookie->client_isn << 8 | (hash & 255);
}

/* Does this key, in this epoch, make this cookie? */
SLUICE_INLINE _Bool sluice_cookie_is(const __u64 key[2], __u32 epoch,
	const struct sluice_cookie_tuple *tuple, __u32 cookie, _Bool has_timestamp, __u32 tsecr,
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
	__u32 epoch, const struct sluice_cookie_tuple *tuple, __u32 cookie, _Bool has_timestamp,
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
