/* Targets and target groups of a generation: see build.h. */
#include "control/build_members.h"
#include "core/mem.h"
#include "tls/client.h"

#include <stdlib.h>
#include <string.h>

static bool is_same_matcher(const struct config_matcher *x, const struct config_matcher *y)
{
	return x->count == y->count &&
	       memcmp(x->range, y->range, x->count * sizeof(x->range[0])) == 0;
}

static bool is_same_check(const struct config_target_group *a, const struct config_target_group *b)
{
	const struct config_health_check *x = &a->health_check, *y = &b->health_check;

	return a->protocol == b->protocol && a->protocol_version == b->protocol_version &&
	       a->proxy_protocol == b->proxy_protocol && x->protocol == y->protocol &&
	       x->port == y->port && build_text_eq(x->path, y->path) &&
	       build_text_eq(x->host, y->host) && is_same_matcher(&x->matcher, &y->matcher) &&
	       is_same_matcher(&x->codes, &y->codes) && build_text_eq(x->method, y->method) &&
	       build_text_eq(x->service, y->service) && x->interval_ms == y->interval_ms &&
	       x->timeout_ms == y->timeout_ms && x->rise == y->rise && x->fall == y->fall &&
	       x->jitter_percent == y->jitter_percent && x->tls.verify == y->tls.verify &&
	       build_text_eq(x->tls.server_name, y->tls.server_name);
}

/* The spec of the generation before, if nothing has changed: the checks under way go on. */
static struct check_spec *unchanged_check(const struct building *building,
	const struct config_target_group *wanted, const struct built_group *group)
{
	const struct built_group *old = build_before_group(building, wanted->name);
	const struct config_target_group *was;

	if (!old)
		return NULL;
	was = &building->before->config->target_groups[old - building->before->groups];
	if (!is_same_check(was, wanted) || !build_check_has_same_tls(building, old, wanted, group))
		return NULL;
	shared_get(&old->check->shared);
	return old->check;
}

static void build_check(struct building *building, const struct config_target_group *wanted,
	struct built_group *group)
{
	const struct config_health_check *check = &wanted->health_check;
	bool tls = check->protocol == CONFIG_CHECK_TLS || check->protocol == CONFIG_CHECK_HTTPS ||
		   check->protocol == CONFIG_CHECK_GRPCS;
	bool is_call =
		check->protocol == CONFIG_CHECK_GRPC || check->protocol == CONFIG_CHECK_GRPCS;
	const struct config_matcher *matcher = is_call ? &check->codes : &check->matcher;
	const char *tls_name =
		check->tls.server_name ? check->tls.server_name : wanted->tls.server_name;
	struct check_spec spec = {
		.protocol = (enum check_protocol)check->protocol,
		.port = (uint16_t)check->port,
		.is_h2 = build_check_is_h2(wanted),
		.path = build_text_copy(is_call ? check->method : check->path),
		.service = build_text_copy(check->service),
		.host = build_text_copy(check->host),
		.tls_name = build_text_copy(tls_name),
		.proxy_out = check->port ? PROXY_OUT_OFF : (enum proxy_out)wanted->proxy_protocol,
		.n_ranges = matcher->count,
		.interval_ms = check->interval_ms,
		.timeout_ms = check->timeout_ms,
		.jitter_percent = check->jitter_percent,
		.rise = check->rise,
		.fall = check->fall,
	};
	uint32_t i;

	for (i = 0; i < spec.n_ranges && i < CHECK_RANGES_MAX; i++)
		spec.ranges[i] =
			(struct status_range){matcher->range[i].first, matcher->range[i].last};
	if (tls)
		spec.tls = build_check_tls(building, wanted, tls_name);
	group->check = check_spec_new(&spec);
}

static struct outlier_spec build_outlier(const struct config_outliers *wanted)
{
	return (struct outlier_spec){
		.enabled = wanted->enabled,
		.errors = wanted->errors,
		.gateway_errors = wanted->gateway_errors,
		.success_percent = wanted->success_percent,
		.latency_ratio = wanted->latency_ratio,
		.min_requests = wanted->min_requests,
		.interval_ms = wanted->interval_ms,
		.ejection_ms = wanted->ejection_ms,
		.max_ejection_ms = wanted->max_ejection_ms,
		.max_ejected_percent = wanted->max_ejected_percent,
	};
}

static struct retry_spec build_retry(const struct config_retries *wanted)
{
	struct retry_spec spec = {
		.attempts = wanted->attempts,
		.n_status = wanted->status.count,
		.budget_percent = wanted->budget_percent,
		.budget_per_second = wanted->budget_per_second,
	};
	uint32_t i;

	for (i = 0; i < spec.n_status && i < RETRY_STATUS_MAX; i++)
		spec.status[i] = (struct retry_status){
			wanted->status.range[i].first, wanted->status.range[i].last};
	return spec;
}

/* Its terms are there. */
static void make_group(struct building *building, const struct config_target_group *wanted,
	struct built_group *group)
{
	char *cookie = wanted->stickiness.cookie ? mem_strdup(wanted->stickiness.cookie)
						 : mem_printf("SLUICE-%s", wanted->name);
	struct target_member *members = build_members(building, wanted, group);
	const struct built_group *old = build_before_group(building, wanted->name);
	struct group_spec spec = {
		.name = wanted->name,
		.state = old ? old->group->spec.state : NULL,
		.version = (enum group_version)wanted->protocol_version,
		.algorithm = (enum balance_algorithm)wanted->algorithm,
		.key = {(enum balance_key_part)wanted->hash.key, wanted->hash.name},
		.fail_open = wanted->fail_open,
		.fail_open_below = wanted->fail_open_below,
		.fail_open_below_percent = wanted->fail_open_below_percent,
		.slow_start_ms = wanted->slow_start_ms,
		.sticky =
			{
				.type = (enum sticky_type)wanted->stickiness.type,
				.duration_s = wanted->stickiness.duration_ms / 1000,
				.cookie = cookie,
				.app_cookie = wanted->stickiness.app_cookie,
				.tickets = building->env->tickets,
			},
		.retry = build_retry(&wanted->retries),
		.outlier = build_outlier(&wanted->outliers),
		.limits = {wanted->limits.connections, wanted->limits.requests,
			wanted->limits.pending},
		.proxy_out = (enum proxy_out)wanted->proxy_protocol,
		.tls = group->tls,
		.tls_name = wanted->tls.server_name,
		.connect_ms = wanted->timeouts.connect_ms,
		.response_ms = wanted->timeouts.response_ms,
		.pool_per_worker = wanted->pool.idle_per_worker,
		.pool_idle_ms = wanted->pool.idle_timeout_ms,
		.members = members,
		.n_members = group->n_targets,
		.n_workers = building->env->n_workers,
	};

	group->group = target_group_new(&spec);
	free(members);
	free(cookie);
}

static void build_group(struct building *building, const struct config_target_group *wanted,
	struct built_group *group)
{
	build_group_tls(building, wanted, group);
	group->check = unchanged_check(building, wanted, group);
	if (!group->check)
		build_check(building, wanted, group);
	make_group(building, wanted, group);
}

void build_groups(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	building->build->groups =
		mem_zalloc(config->target_groups_count * sizeof(struct built_group));
	for (i = 0; i < config->target_groups_count; i++)
		build_group(building, &config->target_groups[i], &building->build->groups[i]);
}

/* How targets are reached and checked. What is known of files by now is in `ret_group` already. */
static void share_terms(const struct built_group *old, struct built_group *ret_group)
{
	ret_group->tls = old->tls ? tls_client_get(old->tls) : NULL;
	ret_group->check = old->check;
	if (old->check)
		shared_get(&old->check->shared);
}

static void share_group(const struct built_group *old, struct built_group *ret_group)
{
	uint32_t i;

	share_terms(old, ret_group);
	ret_group->group = old->group;
	ret_group->n_targets = old->n_targets;
	ret_group->n_left_out = old->n_left_out;
	shared_get(&old->group->shared);
	ret_group->targets = mem_zalloc((old->n_targets + 1) * sizeof(struct target *));
	for (i = 0; i < old->n_targets; i++) {
		ret_group->targets[i] = old->targets[i];
		shared_get(&old->targets[i]->shared);
	}
}

void build_renew_groups(struct building *building)
{
	const struct config *config = building->build->config;
	const struct built_group *old;
	struct built_group *groups;
	uint32_t i;

	groups = mem_zalloc((config->target_groups_count + 1) * sizeof(*groups));
	building->build->groups = groups;
	for (i = 0; i < config->target_groups_count; i++) {
		old = &building->before->groups[i];
		if (build_group_tls_renewed(building, &config->target_groups[i], old, &groups[i])) {
			build_group(building, &config->target_groups[i], &groups[i]);
			building->build->has_other_groups = true;
		} else if (build_places_have_changed(building, &config->target_groups[i], old)) {
			share_terms(old, &groups[i]);
			make_group(building, &config->target_groups[i], &groups[i]);
			building->build->has_other_groups = true;
		} else {
			share_group(old, &groups[i]);
		}
	}
}

void build_group_fini(struct built_group *group)
{
	uint32_t i;

	for (i = 0; i < group->n_targets; i++)
		target_put(group->targets[i]);
	free(group->targets);
	if (group->group)
		target_group_put(group->group);
	if (group->check)
		shared_put(&group->check->shared);
	if (group->tls)
		tls_client_put(group->tls);
	free(group->ca_fault);
}
