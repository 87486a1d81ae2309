/* What becomes of the connections of a listener whose terms are tightened: see build.h. */
#include "control/build_parts.h"
#include "tls/server.h"

/* What it asks of its clients, before and now: NULL where that is the same. */
struct asked {
	bool is_another_protocol;
	const struct tls_server *before, *now;
};

static struct asked asked_of(const struct building *building, const struct built_listener *old,
	const struct config_listener *wanted, const struct built_listener *listener)
{
	const struct config_listener *was =
		&building->before->config->listeners[old - building->before->built];
	bool is_other = old->tls && old->tls != listener->tls;

	return (struct asked){.is_another_protocol = was->protocol != wanted->protocol,
		.before = is_other ? old->tls : NULL,
		.now = is_other ? listener->tls : NULL};
}

void build_terms(const struct building *building, const struct config_listener *wanted,
	const struct built_listener *listener, struct listener_terms *ret_terms)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	enum config_existing existing = wanted->tls.existing;
	struct asked asked;
	bool is_tight, is_another;

	*ret_terms = old ? old->listener->spec.terms : (struct listener_terms){0};
	if (!old)
		return;
	asked = asked_of(building, old, wanted, listener);
	is_tight = asked.is_another_protocol ||
		   (asked.before && tls_server_is_tighter(asked.before, asked.now));
	is_another = asked.is_another_protocol ||
		     (asked.before && tls_server_is_another_auth(asked.before, asked.now));
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
