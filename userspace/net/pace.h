/*
 * How big a bite to take for a stream. Bulk is cheapest in large blocks, but a receiver that is slow
 * would then hold a large block for as long as it likes. So a stream begins with medium ones, goes
 * over to large ones when its receiver has kept up for a while, and back when it has made us wait.
 * Zero-initialised is "at the start". Belongs to the stream that is written to.
 */
#ifndef SLUICE_NET_PACE_H
#define SLUICE_NET_PACE_H

#include "core/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	PACE_TRUST_BYTES = 256 * 1024, /* moved without a wait: the receiver keeps up */
	PACE_WAIT_MS = 100,            /* a longer wait than this is one */
};

struct pace {
	uint64_t blocked_mono_ms; /* since when; 0: not blocked */
	uint32_t trusted_bytes;
};

/* The block for the next read. */
static inline uint32_t pace_block_bytes(const struct pace *pace)
{
	return pace->trusted_bytes >= PACE_TRUST_BYTES ? BUF_LARGE : BUF_MEDIUM;
}

static inline void pace_blocked(struct pace *pace, uint64_t now_mono_ms)
{
	if (!pace->blocked_mono_ms)
		pace->blocked_mono_ms = now_mono_ms;
}

static inline void pace_moved(struct pace *pace, uint32_t bytes, uint64_t now_mono_ms)
{
	if (pace->blocked_mono_ms && now_mono_ms - pace->blocked_mono_ms > PACE_WAIT_MS)
		pace->trusted_bytes = 0;
	pace->blocked_mono_ms = 0;
	if (pace->trusted_bytes < PACE_TRUST_BYTES)
		pace->trusted_bytes += bytes;
}

#endif
