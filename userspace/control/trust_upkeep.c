/* Trust stores and time: see trust_upkeep.h. */
#define LOG_MODULE "certificates"
#include "control/trust_upkeep.h"

#include "control/build.h"
#include "core/log.h"
#include "tls/trust.h"

enum { AGAIN_S = 3600 };

static uint32_t count_over(const struct build *build, int64_t now_unix_s)
{
	uint32_t i, n = 0;

	for (i = 0; i < build->config->trust_stores_count; i++)
		n += tls_trust_n_over(build->trusts[i].trust, now_unix_s);
	return n;
}

static void tell(const struct build *build, int64_t now_unix_s)
{
	uint32_t i, cursor;
	struct err text;

	for (i = 0; i < build->config->trust_stores_count; i++) {
		if (!tls_trust_n_over(build->trusts[i].trust, now_unix_s))
			continue;
		cursor = 0;
		while (tls_trust_warning(build->trusts[i].trust, now_unix_s, &cursor, &text))
			log_warn("trust store %s: %s", build->config->trust_stores[i].name,
				text.text);
	}
}

void trust_upkeep_tick(struct trust_upkeep *upkeep, const struct build *build, int64_t now_unix_s)
{
	uint32_t n_over = count_over(build, now_unix_s);
	bool is_new = build->generation != upkeep->generation;
	bool is_more = !is_new && n_over > upkeep->n_over;

	if (!upkeep->again_unix_s)
		upkeep->again_unix_s = now_unix_s + AGAIN_S;
	if (is_more || (n_over && now_unix_s >= upkeep->again_unix_s)) {
		tell(build, now_unix_s);
		upkeep->again_unix_s = now_unix_s + AGAIN_S;
	}
	upkeep->generation = build->generation;
	upkeep->n_over = n_over;
}
