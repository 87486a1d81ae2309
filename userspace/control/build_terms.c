/* What becomes of the connections of a listener whose terms are tightened: see build.h. */
#include "control/build_parts.h"
#include "tls/server.h"

static bool is_tighter(const struct building *building, const struct built_listener *old,
	const struct config_listener *wanted, const struct built_listener *listener)
{
	const struct config_listener *was =
		&building->before->config->listeners[old - building->before->built];

	if (was->protocol != wanted->protocol)
		return true;
	return old->tls && old->tls != listener->tls &&
	       tls_server_is_tighter(old->tls, listener->tls);
}

void build_terms(const struct building *building, const struct config_listener *wanted,
	const struct built_listener *listener, struct listener_terms *ret_terms)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	enum config_existing existing = wanted->tls.existing;

	*ret_terms = old ? old->listener->spec.terms : (struct listener_terms){0};
	if (!old || !is_tighter(building, old, wanted, listener))
		return;
	if (building->how.has_existing)
		existing = building->how.existing;
	ret_terms->epoch++;
	if (existing == CONFIG_EXISTING_DRAIN)
		ret_terms->drain_below = ret_terms->epoch;
	if (existing == CONFIG_EXISTING_CLOSE)
		ret_terms->close_below = ret_terms->epoch;
}
