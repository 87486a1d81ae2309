/* Generations: see build.h. */
#include "control/build_access.h"
#include "control/certwatch.h"
#include "control/departing.h"
#include "control/ids.h"
#include "control/resolver.h"
#include "core/clock.h"
#include "core/mem.h"
#include <sluice/limits.h>
#include "tls/tickets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_WAIT_MS = 2000 }; /* for names that are new */

void file_identity_read(const char *path, struct file_identity *ret_identity)
{
	struct stat facts;

	memset(ret_identity, 0, sizeof(*ret_identity));
	if (!path || stat(path, &facts) < 0)
		return;
	ret_identity->mtime = facts.st_mtim;
	ret_identity->inode = facts.st_ino;
	ret_identity->size = facts.st_size;
}

bool file_identity_eq(const struct file_identity *a, const struct file_identity *b)
{
	return a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->inode == b->inode && a->size == b->size;
}

bool build_text_eq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

char *build_text_copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

union addr build_addr(const struct config_address *address)
{
	union addr addr = {0};

	addr.any.sa_family = address->family;
	if (address->family == AF_INET6)
		memcpy(&addr.v6.sin6_addr, address->ip, 16);
	else
		memcpy(&addr.v4.sin_addr, address->ip, 4);
	addr_port_set(&addr, address->port);
	return addr;
}

const struct built_group *build_before_group(const struct building *building, const char *name)
{
	const struct build *before = building->before;
	uint32_t i;

	for (i = 0; before && i < before->config->target_groups_count; i++)
		if (strcmp(before->config->target_groups[i].name, name) == 0)
			return &before->groups[i];
	return NULL;
}

const struct built_listener *build_before_listener(
	const struct building *building, const char *name)
{
	const struct build *before = building->before;
	uint32_t i;

	for (i = 0; before && i < before->config->listeners_count; i++)
		if (strcmp(before->config->listeners[i].name, name) == 0)
			return &before->built[i];
	return NULL;
}

/* All but the configuration and the build itself. */
static void free_objects(struct build *build)
{
	uint32_t i;

	for (i = 0; build->built && i < build->config->listeners_count; i++)
		build_listener_fini(&build->built[i]);
	for (i = 0; build->groups && i < build->config->target_groups_count; i++)
		build_group_fini(&build->groups[i]);
	build_certs_free(build);
	build_trusts_free(build);
	build_tickets_free(build);
	build_admin_free(build);
	build_access_files_free(build);
	free(build->built);
	free(build->groups);
	free(build->listeners);
	free(build->gate_listeners);
	lists_config_free(build->lists);
	explicit_bzero(&build->cookie_secret, sizeof(build->cookie_secret));
}

void build_free(struct build *build)
{
	if (!build)
		return;
	free_objects(build);
	config_free(build->config);
	free(build);
}

bool build_has_target(const struct build *build, const struct target *target)
{
	uint32_t group, i;

	for (group = 0; build && group < build->config->target_groups_count; group++) {
		if (strcmp(build->config->target_groups[group].name, target->group_name) != 0)
			continue;
		for (i = 0; i < build->groups[group].n_targets; i++)
			if (build->groups[group].targets[i] == target)
				return true;
	}
	return false;
}

static bool has_socket(const struct build *build, const struct listener_socket *sock)
{
	uint32_t listener, i;

	for (listener = 0; build && listener < build->config->listeners_count; listener++)
		for (i = 0; i < build->built[listener].n_sockets; i++)
			if (build->built[listener].sockets[i] == sock)
				return true;
	return false;
}

static bool has_stats(const struct build *build, const struct listener_stats *stats)
{
	uint32_t i;

	for (i = 0; build && i < build->n_listeners; i++)
		if (build->listeners[i]->spec.stats == stats)
			return true;
	return false;
}

static void release_listener_ids(const struct built_listener *listener, const struct build *other,
	const struct build_env *env)
{
	uint32_t i;

	for (i = 0; i < listener->n_sockets; i++)
		if (!has_socket(other, listener->sockets[i]))
			ids_put(env->socket_ids, listener->sockets[i]->id);
	if (listener->listener && !has_stats(other, listener->listener->spec.stats))
		ids_put(env->listener_ids, listener->listener->spec.stats->id);
}

void build_release_ids(const struct build *build, const struct build *other,
	const struct build_env *env, bool targets)
{
	const struct built_group *group;
	uint32_t i, n;

	for (n = 0; build->built && n < build->config->listeners_count; n++)
		release_listener_ids(&build->built[n], other, env);
	for (n = 0; targets && build->groups && n < build->config->target_groups_count; n++) {
		group = &build->groups[n];
		for (i = 0; i < group->n_targets; i++)
			if (!build_has_target(other, group->targets[i]) &&
				!departing_has(env->departing, group->targets[i]))
				ids_put(env->target_ids, group->targets[i]->id);
	}
}

/* The parts that only read files. */
static void build_from_files(struct building *building)
{
	config_errors_set_file(building->errors, building->build->config->file);
	build_cookie_secret(building);
	build_lists(building);
	build_certs(building);
	build_trusts(building);
	build_tickets(building);
	build_log(building);
	build_groups(building);
	building->build->built = mem_zalloc(
		building->build->config->listeners_count * sizeof(struct built_listener));
	if (!config_errors_total(building->errors))
		build_admin(building);
	if (!config_errors_total(building->errors))
		build_listeners_tls(building);
	if (!config_errors_total(building->errors))
		build_gates(building);
}

int build_try(const struct config *config, struct config_errors *errors)
{
	struct build_env env = {
		.n_workers = 1,
		.tickets = tls_tickets_new(),
		.target_ids = ids_new(SLUICE_MAX_BACKENDS),
	};
	struct build *build = mem_zalloc(sizeof(*build));
	struct building building = {
		.env = &env, .build = build, .errors = errors, .is_trial = true};

	build->config = (struct config *)config; /* only read, and taken out again */
	build_from_files(&building);
	build_certs_end(&building);
	free_objects(build);
	free(build);
	ids_free(env.target_ids);
	tls_tickets_put(env.tickets);
	return config_errors_total(errors) ? -EINVAL : 0;
}

int build_new(const struct build_env *env, const struct build *before, struct config *config,
	const struct build_how *how, struct build **ret_build, struct config_errors *errors)
{
	struct build *build = mem_zalloc(sizeof(*build));
	struct building building = {.env = env,
		.before = before,
		.build = build,
		.errors = errors,
		.how = how ? *how : (struct build_how){0}};
	uint32_t i;

	if (env->cert_watch)
		certwatch_begin(env->cert_watch);
	if (env->resolver) {
		resolver_prepare(env->resolver, config, NAMES_WAIT_MS);
		build->names_version = resolver_version(env->resolver);
	}
	build->config = config;
	build->generation = before ? before->generation + 1 : 1;
	build->loaded_unix_s = clock_unix_s();
	build_from_files(&building);
	/* A socket that is bound and closed again resets who came meanwhile: nothing but another
	 * socket can fail from here on. */
	if (!config_errors_total(errors))
		build_listeners(&building);
	build_certs_end(&building);
	if (config_errors_total(errors)) {
		build_release_ids(build, before, env, true);
		build_free(build);
		return -EINVAL;
	}
	build->n_listeners = config->listeners_count;
	build->listeners = mem_zalloc(build->n_listeners * sizeof(*build->listeners));
	for (i = 0; i < build->n_listeners; i++)
		build->listeners[i] = build->built[i].listener;
	build_gate_listeners(build);
	*ret_build = build;
	return 0;
}
