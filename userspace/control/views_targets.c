/* The views of targets and target groups, those that are leaving too. See views.h. */
#include "control/views_parts.h"

#include "control/departing.h"
#include "control/outliers.h"
#include "control/resolver.h"

#include "core/clock.h"
#include "dataplane/dp_backends.h"
#include "proxy/tls_refusal.h"

#include <string.h>

enum { CHECKS_SHOWN = 32 }; /* bits of health_state */

/* --- targets */

/* The oldest first: "+" it succeeded, "-" it failed. */
static void put_checks(const struct health_state *state, const struct view *row)
{
	uint32_t n = !state                         ? 0
		     : state->checks < CHECKS_SHOWN ? (uint32_t)state->checks
						    : CHECKS_SHOWN;
	char text[CHECKS_SHOWN + 1];
	uint32_t i;

	for (i = 0; i < n; i++)
		text[i] = state->failed_bits >> (n - 1 - i) & 1 ? '-' : '+';
	text[n] = '\0';
	view_text(row, "checks", text);
}

static void put_last_check(const struct health_state *state, const struct view *row)
{
	bool ok = state && state->failures == 0;
	struct view check;

	if (!state || !state->checked_unix_s) {
		view_null(row, "last_check");
		return;
	}
	check = view_object(row, "last_check");
	view_time(&check, "at", state->checked_unix_s);
	view_bool(&check, "ok", ok);
	if (ok)
		view_number(&check, "latency_us", state->latency_us);
	else
		view_null(&check, "latency_us");
	view_text(&check, "detail", state->detail);
}

static void put_load(const struct target *target, uint32_t n_workers, const struct view *row)
{
	struct target_sum sum;

	counts_of_target(target, n_workers, &sum);
	view_number(row, "outstanding",
		atomic_load_explicit(&target->outstanding, memory_order_relaxed));
	view_number(row, "connections", sum.connections);
	view_number(row, "requests", sum.requests);
	view_number(row, "failures", sum.failures);
}

static void put_refusals(const struct target *target, uint32_t n_workers, const struct view *row)
{
	struct tls_refusals refusals;
	struct view last;

	tls_refusals_sum(target, n_workers, &refusals);
	view_number(row, "tls_failures", refusals.count);
	if (!refusals.last_unix_s) {
		view_null(row, "last_tls_failure");
		return;
	}
	last = view_object(row, "last_tls_failure");
	view_time(&last, "at", refusals.last_unix_s);
	view_text(&last, "failure", refusals.failure);
	view_text(&last, "help", refusals.help);
	view_text(&last, "detail", *refusals.detail ? refusals.detail : NULL);
}

struct places {
	uint64_t count[TLS_DIRECTIONS][KTLS_PLACES];
	uint64_t total;
};

static void add_places(const struct target *target, uint32_t n_workers, struct places *sum)
{
	uint64_t count;
	uint32_t i;
	int way, place;

	for (i = 0; i < n_workers; i++)
		for (way = 0; way < TLS_DIRECTIONS; way++)
			for (place = 0; place < KTLS_PLACES; place++) {
				count = __atomic_load_n(
					&target->workers[i].places[way][place], __ATOMIC_RELAXED);
				sum->count[way][place] += count;
				sum->total += count;
			}
}

static void put_places(const struct target *target, uint32_t n_workers, const struct view *row)
{
	struct places sum = {.total = 0};
	struct view ktls;

	add_places(target, n_workers, &sum);
	if (!sum.total) {
		view_null(row, "ktls");
		return;
	}
	ktls = view_object(row, "ktls");
	view_places(&ktls, sum.count);
}

static void put_ejection(const struct daemon *daemon, const struct target_group *group,
	const struct target *target, const struct view *row)
{
	const struct target_outlier *outlier = &target->outlier;
	enum outlier_cause cause = outlier_cause_of(outlier);
	uint64_t now_ms = loop_now_ms(daemon->io.loop);
	char text[OUTLIER_TEXT_BYTES];
	struct view ejected;

	view_number(row, "ejections", outlier->ejections_total);
	if (!group || !outlier->is_told || cause == OUTLIER_NONE) {
		view_null(row, "ejected");
		return;
	}
	ejected = view_object(row, "ejected");
	view_text(&ejected, "cause", outlier_cause_name(cause));
	view_text(&ejected, "detail", outlier_text(group, target, text));
	view_time(&ejected, "since", outlier->since_unix_s);
	view_number(
		&ejected, "left_ms", outlier->until_ms > now_ms ? outlier->until_ms - now_ms : 0);
}

/* `check` is NULL for a target that is not checked (any more); `group` for one that is leaving. */
static void put_target(const struct daemon *daemon, const struct target_group *group,
	const struct target *target, uint32_t weight, const struct health_state *state,
	const struct health_state *check, const struct view_list *list)
{
	uint32_t n_workers = target->workers ? daemon->env.n_workers : 0;
	struct view row = view_list_object(list);

	view_text(&row, "group", target->group_name);
	view_text(&row, "name", target->name);
	view_text(&row, "address", *target->text ? target->text : NULL);
	view_text(&row, "host", target->host);
	view_number(&row, "weight", weight);
	view_bool(&row, "slow_start",
		group && target_group_is_ramping(group, target, clock_mono_ms()));
	view_text(&row, "state", dp_backend_state_name(state->state));
	view_text(&row, "reason",
		state->reason == WHY_NONE ? NULL : dp_backend_reason_name(state->reason));
	view_time(&row, "since", state->changed_unix_s);
	put_ejection(daemon, group, target, &row);
	put_last_check(check, &row);
	put_checks(check, &row);
	put_load(target, n_workers, &row);
	put_places(target, n_workers, &row);
	put_refusals(target, n_workers, &row);
}

static void put_members(
	const struct daemon *daemon, const struct built_group *group, const struct view_list *list)
{
	const struct health_state *state, *check;
	const struct target_member *member;
	struct health_state scratch;
	uint32_t i;

	for (i = 0; i < group->group->spec.n_members; i++) {
		member = &group->group->spec.members[i];
		check = health_get(member->target);
		state = outliers_state(group->group, member->target, check, &scratch);
		put_target(
			daemon, group->group, member->target, member->weight, state, check, list);
	}
}

/* Targets there would be if their names had addresses. */
static void put_unresolved(const struct daemon *daemon, const struct config_target_group *group,
	const struct view_list *list)
{
	const struct health_state state = {.state = BACKEND_UNUSED, .reason = WHY_NAME_UNRESOLVED};
	const struct config_target *wanted;
	struct resolver_facts facts;
	uint32_t i;

	for (i = 0; i < group->targets_count; i++) {
		wanted = &group->targets[i];
		struct target target = {
			.group_name = group->name,
			.name = wanted->name ? wanted->name : wanted->address.host,
			.host = wanted->address.host,
		};

		if (wanted->address.host &&
			resolver_facts(daemon->resolver, wanted->address.host, group->dns.family,
				&facts) &&
			!facts.n_addresses)
			put_target(daemon, NULL, &target, wanted->weight, &state, NULL, list);
	}
}

static void put_departing(const struct daemon *daemon, const struct view_list *list)
{
	const struct departing *departing;
	struct health_state state = {
		.state = BACKEND_DRAINING,
		.reason = WHY_DEREGISTRATION_IN_PROGRESS,
	};
	struct list *link;

	list_for_each(link, &daemon->departing) {
		departing = container_of(link, struct departing, link);
		state.changed_unix_s = departing->since_unix_s;
		put_target(daemon, NULL, departing->target, 0, &state, NULL, list);
	}
}

int view_targets(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "targets");
	uint32_t i;

	for (i = 0; i < daemon->build->config->target_groups_count; i++) {
		put_members(daemon, &daemon->build->groups[i], &list);
		put_unresolved(daemon, &daemon->build->config->target_groups[i], &list);
	}
	put_departing(daemon, &list);
	return 0;
}

/* --- target groups */

static void put_states(
	const struct daemon *daemon, const struct target_group *group, const struct view *row)
{
	static const char *const names[BACKEND_STATE_COUNT] = {
#define STATE(id, name) [BACKEND_##id] = name,
#include <sluice/backend.def>
#undef STATE
	};
	uint32_t counts[BACKEND_STATE_COUNT] = {0};
	struct view targets = view_object(row, "targets");
	struct list *link;
	uint32_t i;

	outliers_count_states(group, counts);
	list_for_each(link, &daemon->departing) {
		const struct target *target = container_of(link, struct departing, link)->target;

		counts[BACKEND_DRAINING] += strcmp(target->group_name, group->spec.name) == 0;
	}
	for (i = 0; i < BACKEND_STATE_COUNT; i++)
		view_number(&targets, names[i], counts[i]);
}

/* Of the targets it has and those that are leaving it. */
static void put_group_places(const struct daemon *daemon, const struct config_target_group *config,
	const struct group_spec *spec, const struct view *row)
{
	struct places sum = {.total = 0};
	struct list *link;
	struct view ktls;
	uint32_t i;

	if (config->protocol != CONFIG_HTTPS && config->protocol != CONFIG_TLS) {
		view_null(row, "ktls");
		return;
	}
	for (i = 0; i < spec->n_members; i++)
		add_places(spec->members[i].target, daemon->env.n_workers, &sum);
	list_for_each(link, &daemon->departing) {
		const struct target *target = container_of(link, struct departing, link)->target;

		if (strcmp(target->group_name, spec->name) == 0)
			add_places(target, daemon->env.n_workers, &sum);
	}
	ktls = view_object(row, "ktls");
	view_slice(&ktls, "setting", view_word(SECTION_config_group_tls, "ktls", config->tls.ktls));
	view_places(&ktls, sum.count);
}

static void put_counts(
	const struct daemon *daemon, const struct group_spec *spec, const struct view *row)
{
	struct group_sum sum;

	counts_of_group(spec->state, daemon->env.n_workers, &sum);
	view_number(row, "limited", sum.limited);
	view_number(row, "retries", sum.retries);
	view_number(row, "retries_refused", sum.retries_refused);
}

struct wanted_group {
	const struct config_target_group *group;
	bool found;
};

static void look_at_group(const struct config_target_group *group, void *arg)
{
	struct wanted_group *wanted = arg;

	wanted->found |= group == wanted->group;
}

static bool leads_to(
	const struct config_listener *listener, const struct config_target_group *group)
{
	struct wanted_group wanted = {group, false};

	config_rules_groups(listener, look_at_group, &wanted);
	return wanted.found;
}

static void put_names(const struct daemon *daemon, const struct config_target_group *group,
	const struct view *row)
{
	struct view_list names = view_list(row, "names");
	const struct config_target *wanted;
	struct resolver_facts facts;
	struct view name;
	uint32_t i;

	for (i = 0; i < group->targets_count; i++) {
		wanted = &group->targets[i];
		if (!wanted->address.host || !resolver_facts(daemon->resolver, wanted->address.host,
						     group->dns.family, &facts))
			continue;
		name = view_list_object(&names);
		view_text(&name, "host", wanted->address.host);
		view_number(&name, "port", wanted->address.address.port);
		view_number(&name, "addresses", facts.n_addresses);
		view_number(&name, "used",
			facts.n_addresses < group->dns.max_addresses ? facts.n_addresses
								     : group->dns.max_addresses);
		view_number(&name, "missing", facts.n_missing);
		view_number(&name, "ttl_s", facts.ttl_s);
		view_time(&name, "answered_at", facts.answered_unix_s);
		view_text(&name, "fault", *facts.fault ? facts.fault : NULL);
	}
}

static void put_group(const struct daemon *daemon, uint32_t index, const struct view_list *list)
{
	const struct config *all = daemon->build->config;
	const struct config_target_group *config = &all->target_groups[index];
	const struct group_spec *spec = &daemon->build->groups[index].group->spec;
	struct view row = view_list_object(list);
	struct view_list listeners;
	uint32_t i;

	view_text(&row, "name", config->name);
	view_slice(&row, "protocol",
		view_word(SECTION_config_target_group, "protocol", config->protocol));
	if (config->protocol == CONFIG_HTTP || config->protocol == CONFIG_HTTPS)
		view_slice(&row, "protocol_version",
			view_word(SECTION_config_target_group, "protocol_version",
				config->protocol_version));
	view_slice(&row, "algorithm",
		view_word(SECTION_config_target_group, "algorithm", config->algorithm));
	view_bool(&row, "fail_open", config->fail_open);
	put_counts(daemon, spec, &row);
	view_bool(&row, "failing_open",
		target_group_is_failing_open(daemon->build->groups[index].group));
	put_states(daemon, daemon->build->groups[index].group, &row);
	listeners = view_list(&row, "listeners");
	for (i = 0; i < all->listeners_count; i++)
		if (leads_to(&all->listeners[i], config))
			view_list_text(&listeners, all->listeners[i].name);
	put_group_places(daemon, config, spec, &row);
	put_names(daemon, config, &row);
}

int view_target_groups(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "target_groups");
	uint32_t i;

	for (i = 0; i < daemon->build->config->target_groups_count; i++)
		put_group(daemon, i, &list);
	return 0;
}
