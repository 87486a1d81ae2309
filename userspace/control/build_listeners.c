/* Listeners of a generation, with their sockets and TLS contexts: see build.h. */
#define LOG_MODULE "config"
#include "control/build_access.h"
#include "control/build_http.h"
#include "control/build_rules.h"
#include "control/config_policy.h"
#include "control/ids.h"
#include "control/kernel_tls.h"
#include "control/upgrade_take.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/socket.h"
#include "tls/server.h"
#include "tls/ktls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_BYTES = 256, CLOSING_MS_MAX = 1000 };

static void refuse(struct building *building, const struct config_listener *wanted,
	const char *setting, const struct err *err)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "listeners[%s].%s", wanted->name, setting);
	config_errors_add(building->errors, wanted->mark, path, "%s", err->text);
}

static const struct config_listener *before_config(
	const struct building *building, const struct built_listener *old)
{
	return &building->before->config->listeners[old - building->before->built];
}

static bool same_texts(char *const *a, uint32_t n_a, char *const *b, uint32_t n_b)
{
	uint32_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/* The connection log has the name, too. */
static bool is_same_policy(const struct building *building, const struct config_listener *was,
	const struct config_listener *wanted)
{
	struct tls_policy old, new;

	return config_policy_of_listener(building->before->config, was, &old) &&
	       config_policy_of_listener(building->build->config, wanted, &new) &&
	       tls_policy_eq(&old, &new) && strcmp(old.name, new.name) == 0;
}

static bool is_same_tls(const struct building *building, const struct config_listener *wanted,
	const struct built_listener *listener, const struct built_listener *old)
{
	const struct config_listener *was = before_config(building, old);

	return was->protocol == wanted->protocol && was->http2 == wanted->http2 &&
	       listener->certs == old->certs && is_same_policy(building, was, wanted) &&
	       was->tls.session_tickets == wanted->tls.session_tickets &&
	       build_is_same_tickets(building->before, building->build) &&
	       was->tls.ktls == wanted->tls.ktls &&
	       build_is_same_client_auth(building->before, was, building->build, wanted) &&
	       same_texts(was->tls.alpn, was->tls.alpn_count, wanted->tls.alpn,
		       wanted->tls.alpn_count);
}

/* What this OpenSSL lacks of a policy is said once: with the first generation that uses it so. */
static void warn_missing(const struct config_listener *wanted, const struct tls_policy *policy)
{
	char missing[PATH_BYTES];

	if (tls_policy_missing(policy, missing, sizeof(missing)))
		log_warn("listener %s: security policy %s: this OpenSSL cannot offer: %s",
			wanted->name, policy->name, missing);
}

void build_alpn(const struct config_listener *wanted, const char *const **ret_names, size_t *ret_n)
{
	static const char *const web[] = {"h2", "http/1.1", "http/1.0"};

	if (wanted->protocol != CONFIG_HTTPS) {
		*ret_names = (const char *const *)wanted->tls.alpn;
		*ret_n = wanted->tls.alpn_count;
		return;
	}
	*ret_names = wanted->http2 ? web : web + 1;
	*ret_n = array_len(web) - !wanted->http2;
}

static void build_tls(struct building *building, const struct config_listener *wanted,
	struct built_listener *listener)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	const struct config_tickets *tickets = &building->build->config->session_tickets;
	struct tls_policy policy = *tls_policy_default();
	struct tls_server_spec spec = {
		.name = wanted->name,
		.policy = &policy,
		.tickets = wanted->tls.session_tickets ? building->env->tickets : NULL,
		.ticket_life_s = tickets->lifetime_ms / 1000,
		.session_age_max_s = tickets->session_age_ms / 1000,
		.n_workers = building->env->n_workers,
		.ktls = (enum tls_ktls)wanted->tls.ktls,
	};
	struct err err;

	build_alpn(wanted, &spec.alpn, &spec.n_alpn);
	if (build_store(building, wanted, &listener->certs, &err) < 0) {
		refuse(building, wanted, "certificates", &err);
		return;
	}
	spec.certs = listener->certs;
	if (!config_policy_of_listener(building->build->config, wanted, &policy)) {
		err_set(&err, 0, "there is no such security policy, or nothing is left of it");
		refuse(building, wanted, "tls.policy", &err);
	} else if (old && old->tls && is_same_tls(building, wanted, listener, old)) {
		listener->tls = tls_server_get(old->tls);
	} else {
		if (!building->is_renewal)
			warn_missing(wanted, &policy);
		build_client_auth(building->build, wanted, &spec.client_auth);
		if (tls_server_new(&spec, &listener->tls, &err) < 0)
			refuse(building, wanted, "certificates", &err);
	}
	if (!building->is_renewal && spec.ktls == TLS_KTLS_REQUIRE && !ktls_kernel_exists())
		log_warn("listener %s: tls.ktls: require: " KERNEL_TLS_MISSING
			 ": every connection will be closed",
			wanted->name);
}

/* A socket of the generation before (of any listener) with the same address and kind. */
static struct listener_socket *same_socket(
	const struct building *building, const union addr *addr, bool defers)
{
	const struct build *before = building->before;
	const struct built_listener *old;
	uint32_t n, i;

	for (n = 0; before && n < before->config->listeners_count; n++) {
		old = &before->built[n];
		for (i = 0; i < old->n_sockets; i++)
			if (addr_eq(&old->sockets[i]->addr, addr) &&
				old->sockets[i]->defers == defers)
				return old->sockets[i];
	}
	return NULL;
}

/* Our own sockets of the generation before are in each other's way on purpose. */
static bool is_port_ours(const struct building *building, const union addr *addr)
{
	const struct build *before = building->before;
	const struct built_listener *old;
	uint32_t n, i;

	if (building->env->taken && upgrade_taken_has_port(building->env->taken, addr_port(addr)))
		return true;
	for (n = 0; before && n < before->config->listeners_count; n++) {
		old = &before->built[n];
		for (i = 0; i < old->n_sockets; i++)
			if (addr_port(&old->sockets[i]->addr) == addr_port(addr))
				return true;
	}
	return false;
}

/* Workers close what a generation before had at their next turn: a listener that comes back at once
 * may find its own address taken. Whoever else has it keeps it for longer than that. */
static int probe(struct building *building, const union addr *addr, struct err *err)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};
	uint64_t now_ms = clock_mono_ms();
	int r = socket_probe(addr, err);

	if (r == -EADDRINUSE && building->before && !building->closed_by_ms)
		building->closed_by_ms = now_ms + CLOSING_MS_MAX;
	while (r == -EADDRINUSE && clock_mono_ms() < building->closed_by_ms) {
		nanosleep(&pause, NULL);
		r = socket_probe(addr, err);
	}
	return r;
}

/* One that another process gives us, in its row. The first generation only. */
static struct listener_socket *taken_socket(
	const struct building *building, const union addr *addr, bool defers)
{
	int fds[UPGRADE_FDS];
	struct listener_socket *sock;
	uint32_t n, row;

	if (!building->env->taken || building->before)
		return NULL;
	n = upgrade_taken_sockets(building->env->taken, addr, defers, fds, &row);
	if (!n)
		return NULL;
	listener_socket_adopt(addr, row, defers, building->env->n_workers, fds, n, &sock);
	return sock;
}

static void build_socket(struct building *building, const struct config_listener *wanted,
	const struct config_address *address, struct built_listener *listener)
{
	union addr addr = build_addr(address);
	bool defers = wanted->protocol != CONFIG_TCP || listener->policy;
	struct listener_socket *sock = same_socket(building, &addr, defers);
	struct err err;
	uint32_t id;

	if (sock) {
		shared_get(&sock->shared);
		listener->sockets[listener->n_sockets++] = sock;
		return;
	}
	sock = taken_socket(building, &addr, defers);
	if (sock) {
		listener->sockets[listener->n_sockets++] = sock;
		return;
	}
	if (!is_port_ours(building, &addr) && probe(building, &addr, &err) < 0) {
		refuse(building, wanted, "address", &err);
		return;
	}
	if (ids_get(building->env->socket_ids, &id) < 0) {
		err_set(&err, 0, "too many addresses on this node");
		refuse(building, wanted, "address", &err);
		return;
	}
	if (listener_socket_new(&addr, id, defers, building->env->n_workers, &sock, &err) < 0) {
		ids_put(building->env->socket_ids, id);
		refuse(building, wanted, "address", &err);
		return;
	}
	listener->sockets[listener->n_sockets++] = sock;
}

/* Counters, and a row in the packet plane, go on under the same name. NULL: refused. */
static struct listener_stats *stats_for(
	struct building *building, const struct config_listener *wanted)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	struct listener_stats *stats;
	struct err err;
	uint32_t id;

	if (!old) {
		if (ids_get(building->env->listener_ids, &id) == 0)
			return listener_stats_new(wanted->name, id, building->env->n_workers);
		err_set(&err, 0, "too many listeners on this node");
		refuse(building, wanted, "name", &err);
		return NULL;
	}
	stats = old->listener->spec.stats;
	shared_get(&stats->shared);
	return stats;
}

static void build_listener(struct building *building, const struct config_listener *wanted,
	struct built_listener *listener)
{
	const struct config *config = building->build->config;
	struct listener_stats *stats = stats_for(building, wanted);
	struct access_file *access = build_access_file(building->build, wanted);
	struct listener_spec spec = {
		.name = wanted->name,
		.protocol = wanted->protocol == CONFIG_HTTP    ? LISTEN_HTTP
			    : wanted->protocol == CONFIG_HTTPS ? LISTEN_HTTPS
			    : wanted->protocol == CONFIG_TLS   ? LISTEN_TLS
							       : LISTEN_TCP,
		.proxy_in = (enum proxy_in)wanted->proxy_protocol,
		.http = build_http_terms(wanted),
		.http2 = wanted->http2,
		.access = access ? &access->output : NULL,
		.access_format = (enum accesslog_format)wanted->access_log.format,
		.group = build_default_group(building, wanted),
		.stats = stats,
		.handshake_ms = wanted->timeouts.handshake_ms,
		.header_ms = wanted->timeouts.header_ms,
		.request_body_ms = wanted->timeouts.request_body_ms,
		.idle_ms = wanted->timeouts.idle_ms,
		.keep_alive_ms = wanted->timeouts.keep_alive_ms,
		.lifetime_ms = wanted->timeouts.lifetime_ms,
		.drain_ms = build_drain_ms(wanted),
		.max_connections = wanted->limits.connections,
		.max_requests_per_connection = wanted->limits.requests_per_connection,
		.max_body_bytes = wanted->limits.body_bytes,
		.n_workers = building->env->n_workers,
	};
	uint32_t i;

	if (!stats) {
		target_group_put(spec.group);
		return;
	}
	if (listener->policy) /* nobody else has it yet */
		listener->policy->spec.listener_id = stats->id;
	listener->sockets = mem_zalloc((wanted->address_count + 1) * sizeof(*listener->sockets));
	for (i = 0; i < wanted->address_count; i++)
		build_socket(building, wanted, &wanted->address[i], listener);
	spec.tls = listener->tls;
	build_terms(building, wanted, listener, &spec.terms);
	if (building->doors)
		build_tls_headers(config, building->doors, wanted, &spec.tls_headers);
	else
		spec.tls_headers =
			build_before_listener(building, wanted->name)->listener->spec.tls_headers;
	build_rules(building, wanted, &spec.rules);
	spec.sockets = listener->sockets;
	spec.n_sockets = listener->n_sockets;
	spec.policy = listener->policy;
	spec.route_groups = build_route_groups(building->build, wanted);
	spec.n_route_groups = wanted->routes_count;
	listener->listener = listener_new(&spec);
	free(spec.route_groups);
	target_group_put(spec.group);
	if (building->doors)
		free(spec.tls_headers.removed);
	shared_put(&stats->shared);
}

void build_listeners_tls(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++)
		if (config->listeners[i].protocol == CONFIG_HTTPS ||
			config->listeners[i].protocol == CONFIG_TLS)
			build_tls(building, &config->listeners[i], &building->build->built[i]);
}

void build_listeners(struct building *building)
{
	const struct config *config = building->build->config;
	struct err text;
	uint32_t i;

	building->doors = build_doors_new(config);
	for (i = 0; i < config->listeners_count; i++) {
		build_listener(building, &config->listeners[i], &building->build->built[i]);
		if (build_doors_warning(building->doors, config, &config->listeners[i], &text))
			log_warn("%s", text.text);
	}
	build_doors_free(building->doors);
	building->doors = NULL;
}

static void share_listener(const struct built_listener *old, struct built_listener *ret_listener)
{
	uint32_t i;

	*ret_listener = *old;
	shared_get(&old->listener->shared);
	if (old->policy)
		shared_get(&old->policy->shared);
	if (old->tls)
		tls_server_get(old->tls);
	if (old->certs)
		certstore_get(old->certs);
	ret_listener->sockets = mem_zalloc((old->n_sockets + 1) * sizeof(*old->sockets));
	for (i = 0; i < old->n_sockets; i++) {
		ret_listener->sockets[i] = old->sockets[i];
		shared_get(&old->sockets[i]->shared);
	}
}

struct other_groups {
	const struct building *building;
	bool found;
};

static void look_at_group(const struct config_target_group *wanted, void *arg)
{
	struct other_groups *other = arg;
	const struct building *building = other->building;
	size_t index = (size_t)(wanted - building->build->config->target_groups);

	other->found |=
		building->build->groups[index].group != building->before->groups[index].group;
}

static bool leads_elsewhere(const struct building *building, const struct config_listener *wanted)
{
	struct other_groups other = {building, false};

	config_rules_groups(wanted, look_at_group, &other);
	return other.found;
}

void build_renew_listener(struct building *building, const struct config_listener *wanted,
	const struct built_listener *old, struct built_listener *ret_listener)
{
	if (old->tls)
		build_tls(building, wanted, ret_listener);
	if (ret_listener->tls == old->tls && !leads_elsewhere(building, wanted)) {
		if (old->tls)
			tls_server_put(ret_listener->tls);
		certstore_put(ret_listener->certs);
		share_listener(old, ret_listener);
		return;
	}
	build_policy(building, wanted, ret_listener);
	build_listener(building, wanted, ret_listener);
}

void build_listener_fini(struct built_listener *listener)
{
	uint32_t i;

	if (listener->listener)
		shared_put(&listener->listener->shared);
	if (listener->policy)
		shared_put(&listener->policy->shared);
	if (listener->tls)
		tls_server_put(listener->tls);
	certstore_put(listener->certs);
	for (i = 0; i < listener->n_sockets; i++)
		shared_put(&listener->sockets[i]->shared);
	free(listener->sockets);
}
