/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Internet checksums (RFC 1071) over words as they lie in memory. */
#ifndef SLUICE_BPF_CHECKSUM_H
#define SLUICE_BPF_CHECKSUM_H

#include "parse.h"

#define CHECKSUM_PIECE_WORDS 8
#define CHECKSUM_STEPS       80 /* 2 KiB, what no frame of a SYN exceeds, and the last few bytes */

static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u64 checksum_add(const __u32 *words, int count)
{
	__u64 sum = 0;

	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

/* Of the pseudo-header, without the length. It is the same in both directions. */
static __always_inline __u64 checksum_addresses(const struct packet *packet)
{
	__u64 sum = bpf_htonl(IPPROTO_TCP);

	if (!packet->v6)
		return sum + packet->saddr_be[3] + packet->daddr_be[3];
	return sum + checksum_add(packet->saddr_be, 4) + checksum_add(packet->daddr_be, 4);
}

struct checksum_walk {
	struct xdp_md *ctx;
	__u32 offset; /* of what is left, from the start of the frame */
	__u32 left; /* bytes */
	__u64 sum;
};

/* A piece of that length, if there is one. */
#define CHECKSUM_PIECE(walk, type, count)                                                          \
	({                                                                                         \
		__u64 _offset = (walk)->offset & PARSE_OFFSET_MASK;                                \
		const type *_piece = frame_begin((walk)->ctx) + _offset;                           \
		bool _fits = (walk)->left >= sizeof(type) * (count) &&                             \
			     (void *)(_piece + (count)) <= frame_end((walk)->ctx);                 \
		if (_fits) {                                                                       \
			for (int _i = 0; _i < (count); _i++)                                       \
				(walk)->sum += _piece[_i];                                         \
			(walk)->offset += sizeof(type) * (count);                                  \
			(walk)->left -= sizeof(type) * (count);                                    \
		}                                                                                  \
		_fits;                                                                             \
	})

/* Large pieces while there are any; returns 1 to end the walk. Pieces before the last byte are of
 * even length, so that their sums may be added. */
static long checksum_step(__u64 step, struct checksum_walk *walk)
{
	return !CHECKSUM_PIECE(walk, __u32, CHECKSUM_PIECE_WORDS) &&
	       !CHECKSUM_PIECE(walk, __u16, 1) && !CHECKSUM_PIECE(walk, __u8, 1);
}

/* Sum of `len` bytes of the frame, folded to 16 bits and not inverted; -1 when they are not there.
 * A function of its own, since it is needed rarely. */
__noinline int checksum_frame(struct xdp_md *ctx, __u32 offset, __u32 len)
{
	struct checksum_walk walk = {.ctx = ctx, .offset = offset, .left = len};

	bpf_loop(CHECKSUM_STEPS, checksum_step, &walk, 0);
	return walk.left ? -1 : (__u16)~checksum_fold(walk.sum);
}

#endif
