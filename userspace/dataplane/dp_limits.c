/* From configured figures to what the programs compute with: <sluice/limit.h>. Any thread. */
#include "dataplane/dp_listeners.h"

#include "dataplane/dp_internal.h"

#include <time.h>

/* The coarse clocks advance once a jiffy. */
uint32_t dp_jiffies_per_s(void)
{
	struct timespec tick;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	return (uint32_t)((1000000000ull + (uint64_t)tick.tv_nsec / 2) / (uint64_t)tick.tv_nsec);
}

/* Differs whenever rate or burst do (but for one chance in 256, where old tokens then linger). */
static uint32_t limit_generation(uint32_t rate, uint32_t burst)
{
	uint64_t mixed = ((uint64_t)rate << 32 | burst) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(mixed >> 40);
}

struct sluice_limit dp_limit_ticks(const struct dp_limit *limit)
{
	const uint64_t longest = 1ull << 62, unit = SLUICE_GENERATION_MASK + 1;
	uint64_t hz = dp_jiffies_per_s(), per_token, burst;

	if (!limit->rate_per_s)
		return (struct sluice_limit){};
	per_token = (hz << SLUICE_TICK_SHIFT) / limit->rate_per_s & ~SLUICE_GENERATION_MASK;
	if (per_token < unit)
		per_token = unit;
	burst = limit->burst ? limit->burst : limit->rate_per_s;
	if (burst < limit->rate_per_s / hz + 1)
		burst = limit->rate_per_s / hz + 1;
	return (struct sluice_limit){
		.ticks_per_token = per_token,
		.ticks_burst = burst - 1 < longest / per_token ? (burst - 1) * per_token : longest,
		.rate_per_s = limit->rate_per_s,
		.burst = (uint32_t)burst,
		.generation = limit_generation(limit->rate_per_s, (uint32_t)burst),
	};
}
