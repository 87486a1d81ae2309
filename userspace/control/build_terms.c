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

static bool is_another_auth(const struct building *building, const struct built_listener *old,
	const struct config_listener *wanted, const struct built_listener *listener)
{
	const struct config_listener *was =
		&building->before->config->listeners[old - building->before->built];

	if (was->protocol != wanted->protocol)
		return true;
	return old->tls && old->tls != listener->tls &&
	       tls_server_is_another_auth(old->tls, listener->tls);
}

void build_terms(const struct building *building, const struct config_listener *wanted,
	const struct built_listener *listener, struct listener_terms *ret_terms)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	enum config_existing existing = wanted->tls.existing;
	bool is_tight, is_another;

	*ret_terms = old ? old->listener->spec.terms : (struct listener_terms){0};
	if (!old)
		return;
	is_tight = is_tighter(building, old, wanted, listener);
	is_another = is_another_auth(building, old, wanted, listener);
	if (is_tight || is_another)
		ret_terms->epoch++;
	if (is_another)
		ret_terms->identity_below = ret_terms->epoch;
	if (!is_tight)
		return;
	if (building->how.has_existing)
		existing = building->how.existing;
	if (existing == CONFIG_EXISTING_DRAIN)
		ret_terms->drain_below = ret_terms->epoch;
	if (existing == CONFIG_EXISTING_CLOSE)
		ret_terms->close_below = ret_terms->epoch;
}
