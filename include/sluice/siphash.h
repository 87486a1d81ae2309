/*
 * SipHash-1-3 over 64-bit words (no length block): the keyed hash behind tables whose rows an
 * attacker must not be able to predict, and behind SYN cookies. Whoever hashes messages of
 * different lengths with one key makes the last word tell them apart.
 */
#ifndef SLUICE_SIPHASH_H
#define SLUICE_SIPHASH_H

#include <sluice/types.h>

#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

struct siphash {
	__u64 v0, v1, v2, v3;
};

SLUICE_INLINE void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = SIPHASH_ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = SIPHASH_ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = SIPHASH_ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = SIPHASH_ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = SIPHASH_ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = SIPHASH_ROTATE(s->v2, 32);
}

SLUICE_INLINE void siphash_init(struct siphash *s, const __u64 key[2])
{
	s->v0 = 0x736f6d6570736575ull ^ key[0];
	s->v1 = 0x646f72616e646f6dull ^ key[1];
	s->v2 = 0x6c7967656e657261ull ^ key[0];
	s->v3 = 0x7465646279746573ull ^ key[1];
}

SLUICE_INLINE void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	s->v0 ^= word;
}

SLUICE_INLINE __u64 siphash_finish(struct siphash *s)
{
	s->v2 ^= 0xff;
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

SLUICE_INLINE __u64 siphash_2(const __u64 key[2], __u64 first, __u64 second)
{
	struct siphash s;

	siphash_init(&s, key);
	siphash_word(&s, first);
	siphash_word(&s, second);
	return siphash_finish(&s);
}

#endif
