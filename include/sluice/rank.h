/*
 * A bitmap that knows how many bits are set before each: the number is where something is stored for
 * the bit, so that nothing need be stored for those that are not set.
 */
#ifndef SLUICE_RANK_H
#define SLUICE_RANK_H

#include <sluice/types.h>

/* 2^24 bits: words of 48 of them; above them the number of bits set in the words before in the same
 * block, and for every block the number before that. */
#define SLUICE_RANK_BITS        48
#define SLUICE_RANK_WORDS       349526 /* 2^24 / 48, rounded up */
#define SLUICE_RANK_BLOCK_SHIFT 10 /* words of a block; what is set in them fits 16 bits */
#define SLUICE_RANK_BLOCKS      342

struct sluice_ranked {
	__u64 words[SLUICE_RANK_WORDS];
	__u32 before[SLUICE_RANK_BLOCKS];
};
SLUICE_SIZE(struct sluice_ranked, 8 * SLUICE_RANK_WORDS + 4 * SLUICE_RANK_BLOCKS);

/* x / 48 and x % 48 for x < 2^24: the programs never divide. */
SLUICE_INLINE __u32 sluice_rank_word(__u32 x)
{
	return x * 89478486ull >> 32;
}

SLUICE_INLINE __u32 sluice_rank_bit(__u32 x)
{
	return x - sluice_rank_word(x) * SLUICE_RANK_BITS;
}

/* How many bits are set before bit x; -1: it is not set itself. */
SLUICE_INLINE __s64 sluice_rank(const struct sluice_ranked *ranked, __u32 x)
{
	__u32 place = sluice_rank_word(x), bit = sluice_rank_bit(x);
	__u64 word;

	if (place >= SLUICE_RANK_WORDS) /* never: for the verifier */
		return -1;
	word = ranked->words[place];
	if (!(word >> bit & 1))
		return -1;
	return ranked->before[place >> SLUICE_RANK_BLOCK_SHIFT] + (word >> SLUICE_RANK_BITS) +
	       __builtin_popcountll(word & ((1ull << bit) - 1));
}

#endif
