/*
 * What SYN cookies are made with: the secret and the epoch, in `settings`. The secret is the one of
 * the configuration, or random and then kept in the pinned map, so that a restart leaves the
 * cookies that are under way valid. Control thread.
 */
#include "dataplane/dp_gate.h"

#include "core/hash.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_listeners.h"

#include <string.h>
#include <time.h>

enum {
	RESETS_PER_S = 200,
	SAMPLES_PER_S = 4, /* and CPU */
};

static void key_write(struct dataplane *dp, int which, const uint64_t key[2])
{
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&dp->settings->cookie_keys[which][i], key[i], __ATOMIC_RELAXED);
}

void dp_cookies_epoch(struct dataplane *dp)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	__atomic_store_n(
		&dp->settings->epoch, (uint32_t)(now.tv_sec / SLUICE_EPOCH_S), __ATOMIC_RELAXED);
}

static bool is_zero(const uint64_t key[2])
{
	return !(key[0] | key[1]);
}

void dp_cookies_init(struct dataplane *dp)
{
	const struct dp_limit resets = {.rate_per_s = RESETS_PER_S};
	struct sluice_settings *settings = dp->settings;
	const uint64_t none[2] = {};
	uint64_t key[2];

	if (!dp->maps_adopted || is_zero((const uint64_t *)settings->cookie_keys[0])) {
		hash_random(key, sizeof(key));
		key_write(dp, 0, key);
		key_write(dp, 1, none);
	}
	if (!dp->maps_adopted || !settings->meta_magic) {
		hash_random(&settings->meta_magic, sizeof(settings->meta_magic));
		settings->meta_missing = 0;
	}
	settings->resets = dp_limit_ticks(&resets);
	settings->gate_frame_bytes = SLUICE_GATE_FRAME_BYTES;
	settings->sample_every_jiffies = dp_jiffies_per_s() / SAMPLES_PER_S;
	dp_cookies_epoch(dp);
}

/* The key that is only believed comes first: it may be the one that signs until now. */
void dp_cookies_set(struct dataplane *dp, const struct dp_cookie_secret *secret)
{
	if (!dp->active)
		return;
	key_write(dp, 1, secret->keys[1]);
	key_write(dp, 0, secret->keys[0]);
}

void dp_cookies_rotate(struct dataplane *dp)
{
	struct dp_cookie_secret secret;

	if (!dp->active)
		return;
	hash_random(secret.keys[0], sizeof(secret.keys[0]));
	memcpy(secret.keys[1], dp->settings->cookie_keys[0], sizeof(secret.keys[1]));
	dp_cookies_set(dp, &secret);
}

void dp_cookies_forget(struct dataplane *dp)
{
	const uint64_t none[2] = {};

	if (dp->active)
		key_write(dp, 1, none);
}

const struct sluice_settings *dp_settings(const struct dataplane *dp)
{
	return dp->settings;
}
