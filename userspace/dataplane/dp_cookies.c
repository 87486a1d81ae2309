/*
 * What SYN cookies are made with: the secret and the epoch, in `settings`. The secret is the one of
 * the configuration, or random and then kept in the pinned map, so that a restart leaves the
 * cookies that are under way valid. It is written into the row that is not in force, and put in
 * force by one store: nobody signs with half of a key. (Changes are much further apart than a packet
 * takes.) Control thread.
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

static void secret_write(struct dataplane *dp, const struct sluice_cookie_secret *secret)
{
	struct sluice_settings *settings = dp->settings;
	uint32_t slot = !(settings->cookie_slot & 1);

	settings->cookie_secrets[slot] = *secret;
	__atomic_store_n(&settings->cookie_slot, slot, __ATOMIC_RELEASE);
}

void dp_cookies_epoch(struct dataplane *dp)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	__atomic_store_n(
		&dp->settings->epoch, (uint32_t)(now.tv_sec / SLUICE_EPOCH_S), __ATOMIC_RELAXED);
}

static bool is_zero(const __u64 key[2])
{
	return !(key[0] | key[1]);
}

void dp_cookies_init(struct dataplane *dp)
{
	const struct dp_limit resets = {.rate_per_s = RESETS_PER_S};
	struct sluice_settings *settings = dp->settings;
	struct sluice_cookie_secret secret = *sluice_cookie_secret_of(settings);

	if (!dp->maps_adopted || is_zero(secret.keys[0])) {
		secret = (struct sluice_cookie_secret){};
		hash_random(secret.keys[0], sizeof(secret.keys[0]));
		secret_write(dp, &secret);
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

void dp_cookies_set(struct dataplane *dp, const struct dp_cookie_secret *secret)
{
	struct sluice_cookie_secret row;

	if (!dp->active)
		return;
	memcpy(row.keys, secret->keys, sizeof(row.keys));
	if (memcmp(&row, sluice_cookie_secret_of(dp->settings), sizeof(row)) != 0)
		secret_write(dp, &row);
}

void dp_cookies_rotate(struct dataplane *dp)
{
	struct sluice_cookie_secret secret;

	if (!dp->active)
		return;
	memcpy(secret.keys[1], sluice_cookie_secret_of(dp->settings)->keys[0],
		sizeof(secret.keys[1]));
	hash_random(secret.keys[0], sizeof(secret.keys[0]));
	secret_write(dp, &secret);
}

void dp_cookies_forget(struct dataplane *dp)
{
	struct sluice_cookie_secret secret;

	if (!dp->active)
		return;
	secret = *sluice_cookie_secret_of(dp->settings);
	memset(secret.keys[1], 0, sizeof(secret.keys[1]));
	secret_write(dp, &secret);
}

const struct sluice_settings *dp_settings(const struct dataplane *dp)
{
	return dp->settings;
}
