/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SipHash-1-3 of exactly two words (no length block): the keyed hash behind tables whose rows an
 * attacker must not be able to predict. */
#ifndef SLUICE_BPF_SIPHASH_H
#define SLUICE_BPF_SIPHASH_H

#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline void siphash_round(struct siphash *s)
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

static __always_inline void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	s->v0 ^= word;
}

static __always_inline __u64 siphash_2(const __u64 key[2], __u64 first, __u64 second)
{
	struct siphash s = {
		.v0 = 0x736f6d6570736575ull ^ key[0],
		.v1 = 0x646f72616e646f6dull ^ key[1],
		.v2 = 0x6c7967656e657261ull ^ key[0],
		.v3 = 0x7465646279746573ull ^ key[1],
	};

	siphash_word(&s, first);
	siphash_word(&s, second);
	s.v2 ^= 0xff;
	siphash_round(&s);
	siphash_round(&s);
	siphash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
