/* What listeners of a generation ask of a ClientHello, and their routes: see build.h. */
#include "control/build_parts.h"
#include "control/secrets.h"
#include "core/mem.h"
#include "tls/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256 };

bool build_is_gated(const struct config_listener *wanted)
{
	if (wanted->protocol == CONFIG_HTTP || wanted->gate.mode == CONFIG_GATE_OFF)
		return false;
	return wanted->gate.mode == CONFIG_GATE_ON || wanted->protocol != CONFIG_TCP ||
	       wanted->routes_count;
}

/* A listener with routes looks at ClientHellos even where nothing is gated. */
static bool is_judged(const struct config_listener *wanted)
{
	return build_is_gated(wanted) || wanted->routes_count;
}

static bool same_limits(const struct config *a, const struct config_listener *listener_a,
	const struct config *b, const struct config_listener *listener_b)
{
	struct config_limits x = a->limits, y = b->limits;
	const struct config_listener_limits *own = &listener_a->limits,
					    *other = &listener_b->limits;

	return x.source.handshakes_per_second == y.source.handshakes_per_second &&
	       x.source.handshakes_burst == y.source.handshakes_burst &&
	       x.prefix.handshakes_per_second == y.prefix.handshakes_per_second &&
	       x.prefix.handshakes_burst == y.prefix.handshakes_burst &&
	       x.per_name.handshakes_per_second == y.per_name.handshakes_per_second &&
	       x.per_name.handshakes_burst == y.per_name.handshakes_burst &&
	       x.per_ja4.handshakes_per_second == y.per_ja4.handshakes_per_second &&
	       x.per_ja4.handshakes_burst == y.per_ja4.handshakes_burst &&
	       own->handshakes_per_second == other->handshakes_per_second &&
	       own->handshakes_burst == other->handshakes_burst;
}

/* Another one than before where a limit changed: tokens spent under the old one do not count. */
static uint8_t limits_generation(
	const struct building *building, const struct config_listener *wanted)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	const struct config_listener *was;

	if (!old)
		return (uint8_t)building->build->generation;
	was = &building->before->config->listeners[old - building->before->built];
	return old->limits_generation +
	       !same_limits(building->build->config, wanted, building->before->config, was);
}

static uint32_t count_names(const struct config_listener *wanted)
{
	uint32_t i, n = 0;

	for (i = 0; i < wanted->routes_count; i++)
		n += wanted->routes[i].server_names_count;
	return n;
}

/* The number of a name is the route's. */
static struct gate_name *names_of(const struct config_listener *wanted)
{
	struct gate_name *names = mem_zalloc((count_names(wanted) + 1) * sizeof(*names));
	uint32_t i, at, n = 0;

	for (i = 0; i < wanted->routes_count; i++)
		for (at = 0; at < wanted->routes[i].server_names_count; at++)
			names[n++] =
				(struct gate_name){slice_of(wanted->routes[i].server_names[at]), i};
	return names;
}

static struct gate_limit limit_of(uint32_t rate_per_s, uint32_t burst, uint8_t generation)
{
	return (struct gate_limit){rate_per_s, burst, generation};
}

static void set_limits(struct gate_policy_spec *spec, const struct config_limits *node,
	const struct config_listener_limits *own, uint8_t generation)
{
	spec->per_source = limit_of(
		node->source.handshakes_per_second, node->source.handshakes_burst, generation);
	spec->per_prefix = limit_of(
		node->prefix.handshakes_per_second, node->prefix.handshakes_burst, generation);
	spec->per_listener =
		limit_of(own->handshakes_per_second, own->handshakes_burst, generation);
	spec->per_name = limit_of(
		node->per_name.handshakes_per_second, node->per_name.handshakes_burst, generation);
	spec->per_ja4 = limit_of(
		node->per_ja4.handshakes_per_second, node->per_ja4.handshakes_burst, generation);
	spec->dry_run = node->dry_run;
}

static void set_tls(struct gate_policy_spec *spec, const struct config_listener *wanted,
	const struct built_listener *listener)
{
	if (!listener->tls)
		return;
	spec->tls = listener->tls;
	spec->version_min = tls_server_policy(listener->tls)->version_min;
	spec->version_max = tls_server_policy(listener->tls)->version_max;
	build_alpn(wanted, &spec->alpn, &spec->n_alpn);
}

void build_policy(struct building *building, const struct config_listener *wanted,
	struct built_listener *listener)
{
	struct gate_name *names;
	struct gate_policy_spec spec = {
		.name = wanted->name,
		.refuse_unknown_name = wanted->gate.unknown_name == CONFIG_NAME_REFUSE,
		.refuse_missing_name = wanted->gate.missing_name == CONFIG_NAME_REFUSE,
		.refuse_by_alert = wanted->gate.refusal == CONFIG_REFUSAL_ALERT,
		.proxy_in = (enum gate_proxy_in)wanted->proxy_protocol,
		.ja4_deny = (const char *const *)wanted->gate.ja4_deny,
		.n_ja4_deny = wanted->gate.ja4_deny_count,
		.ja4_allow = (const char *const *)wanted->gate.ja4_allow,
		.n_ja4_allow = wanted->gate.ja4_allow_count,
	};
	char path[PATH_BYTES];
	struct err err;

	if (!is_judged(wanted))
		return;
	listener->limits_generation = limits_generation(building, wanted);
	names = names_of(wanted);
	spec.names = names;
	spec.n_names = count_names(wanted);
	set_tls(&spec, wanted, listener);
	set_limits(&spec, &building->build->config->limits, &wanted->limits,
		listener->limits_generation);
	if (gate_policy_new(&spec, building->env->n_workers, &listener->policy, &err) < 0) {
		snprintf(path, sizeof(path), "listeners[%s]", wanted->name);
		config_errors_add(building->errors, wanted->mark, path, "%s", err.text);
	}
	free(names);
}

void build_gates(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++)
		build_policy(building, &config->listeners[i], &building->build->built[i]);
}

struct target_group **build_route_groups(
	const struct build *build, const struct config_listener *wanted)
{
	struct target_group **groups = mem_zalloc((wanted->routes_count + 1) * sizeof(*groups));
	uint32_t i;

	for (i = 0; i < wanted->routes_count; i++)
		groups[i] =
			build->groups[wanted->routes[i].target_group - build->config->target_groups]
				.group;
	return groups;
}

/* Behind a proxy all clients have its address. */
static uint32_t flights_share(const struct config *config, uint32_t listener)
{
	return config->listeners[listener].proxy_protocol == CONFIG_PROXY_IN_OFF
		       ? config->limits.flights_per_prefix
		       : 0;
}

/* What the gates look addresses up in. */
void build_gate_listeners(struct build *build)
{
	const struct built_listener *listener;
	uint32_t i, at, n = 0;

	for (i = 0; i < build->n_listeners; i++)
		n += build->built[i].n_sockets;
	build->gate_listeners = mem_zalloc((n + 1) * sizeof(*build->gate_listeners));
	for (i = 0; i < build->n_listeners; i++) {
		listener = &build->built[i];
		for (at = 0;
			build_is_gated(&build->config->listeners[i]) && at < listener->n_sockets;
			at++)
			build->gate_listeners[build->n_gate_listeners++] = (struct gate_listener){
				.local = listener->sockets[at]->addr,
				.policy = listener->policy,
				.handshake_ms = build->config->listeners[i].timeouts.handshake_ms,
				.flights_per_prefix = flights_share(build->config, i),
			};
	}
}

void build_cookie_secret(struct building *building)
{
	const struct config *config = building->build->config;
	const char *path = config->xdp.cookie_secret_path;
	struct err err;

	if (path && secrets_read(path, &building->build->cookie_secret, &err) < 0)
		config_errors_add(building->errors,
			config_mark(config, &config->xdp.cookie_secret_path, config->xdp.mark),
			"xdp.cookie_secret_file", "%s", err.text);
	building->build->has_cookie_secret = path;
}
