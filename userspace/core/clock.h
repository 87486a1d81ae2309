/*
 * Time. Durations and points in time are different types of number: a point on the monotonic
 * clock is `mono_ms` (milliseconds since boot), a duration ends in _ms, wall time in unix_s.
 * Loops cache the monotonic clock once a turn (loop_now_ms); ask here only outside a loop.
 */
#ifndef SLUICE_CORE_CLOCK_H
#define SLUICE_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_mono_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

static inline uint64_t clock_unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline int64_t clock_unix_s(void)
{
	return (int64_t)time(NULL);
}

#endif
