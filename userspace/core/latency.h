/*
 * A histogram of durations: buckets that double, from 64 microseconds to 33 seconds. One for each
 * worker that counts; whoever shows them adds them up. Only uint64_t, so that rows of counters may have
 * it.
 */
#ifndef SLUICE_CORE_LATENCY_H
#define SLUICE_CORE_LATENCY_H

#include "core/counter.h"
#include <stdint.h>

/* Bucket i has what took at most 64 << i microseconds; the last one, what took longer than all. */
enum { LATENCY_BOUNDS = 20, LATENCY_BUCKETS = LATENCY_BOUNDS + 1, LATENCY_FIRST_SHIFT = 6 };

struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t sum_us;
};

static inline uint64_t latency_bound_us(uint32_t bucket)
{
	return UINT64_C(1) << (bucket + LATENCY_FIRST_SHIFT);
}

static inline uint32_t latency_bucket(uint64_t us)
{
	uint32_t bits;

	if (us <= latency_bound_us(0))
		return 0;
	bits = 64 - (uint32_t)__builtin_clzll(us - 1) - LATENCY_FIRST_SHIFT;
	return bits < LATENCY_BOUNDS ? bits : LATENCY_BOUNDS;
}

static inline void latency_note(struct latency *latency, uint64_t us)
{
	counter_inc(&latency->buckets[latency_bucket(us)]);
	counter_add(&latency->sum_us, us);
}

/* What another thread counts, to `sum`. */
static inline void latency_add(struct latency *sum, const struct latency *counted)
{
	uint32_t i;

	for (i = 0; i < LATENCY_BUCKETS; i++)
		sum->buckets[i] += __atomic_load_n(&counted->buckets[i], __ATOMIC_RELAXED);
	sum->sum_us += __atomic_load_n(&counted->sum_us, __ATOMIC_RELAXED);
}

#endif
