/* Counters from one process to the next: see upgrade_counts.h. */
#define LOG_MODULE "upgrade"
#include "control/upgrade_counts.h"

#include "control/daemon.h"
#include "control/views_parts.h"
#include "core/log.h"
#include "core/mem.h"
#include "proxy/group_state.h"
#include "proxy/rules.h"
#include "proxy/rules_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All members of these, up to there, are uint64_t: they are added up word by word. */
enum {
	WORD = sizeof(uint64_t),
	LISTENER_WORDS = sizeof(struct listener_counts) / WORD,
	GROUP_WORDS = offsetof(struct group_counts, budget) / WORD,
	TARGET_WORDS = 3, /* connections, requests, failures */
};

_Static_assert(LISTENER_WORDS *WORD + sizeof(struct upgrade_counts) <= UPGRADE_BODY_BYTES,
	"the counters of a listener are one message");
_Static_assert(GROUP_WORDS *WORD + sizeof(struct upgrade_counts) <= UPGRADE_BODY_BYTES,
	"and so are those of a group");

enum {
	RULE_WORDS = 3, /* hits, regex_limits, limited */
	CERT_CACHE_WORDS = offsetof(struct certcache_counts, held) / WORD,
};
_Static_assert(sizeof(struct rules_totals) == RULE_WORDS * WORD, "a rule has no others");

enum { GATE_WORDS = 2 * GATE_REASONS + 1 }; /* all but what is open */
_Static_assert(GATE_WORDS *WORD == offsetof(struct gate_counts, flights_open), "in that order");

struct giving {
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len);
	void *arg;
	struct upgrade_told *told;
	size_t at; /* in `told` */
	struct upgrade_counts *counts;
};

static void add_words(uint64_t *sum, const void *row, uint32_t n)
{
	const uint64_t *words = row;
	uint32_t i;

	for (i = 0; i < n; i++)
		sum[i] += __atomic_load_n(&words[i], __ATOMIC_RELAXED);
}

static void begin(struct giving *giving, enum upgrade_counts_of of, const char *name, uint32_t n)
{
	memset(giving->counts, 0, sizeof(*giving->counts) + n * WORD);
	giving->counts->of = of;
	giving->counts->n_words = n;
	snprintf(giving->counts->name, sizeof(giving->counts->name), "%s", name);
}

/* Where the sums of this row stand that were told before. */
static uint64_t *told_row(struct giving *giving, uint32_t n)
{
	struct upgrade_told *told = giving->told;
	size_t need = giving->at + n;

	if (need > told->n) {
		told->words = mem_realloc(told->words, need * WORD);
		memset(told->words + told->n, 0, (need - told->n) * WORD);
		told->n = need;
	}
	giving->at = need;
	return told->words + need - n;
}

/* By how much the row has grown since it was told last; nothing, if it has not. */
static void end(struct giving *giving)
{
	struct upgrade_counts *counts = giving->counts;
	uint64_t *told = told_row(giving, counts->n_words), now, grown = 0;
	uint32_t i;

	for (i = 0; i < counts->n_words; i++) {
		now = counts->words[i];
		counts->words[i] -= told[i];
		grown |= counts->words[i];
		told[i] = now;
	}
	if (grown)
		giving->put(giving->arg, UPGRADE_COUNTS, counts,
			sizeof(*counts) + counts->n_words * WORD);
}

static void add_stats(struct giving *giving, const struct listener_stats *stats, uint32_t n_workers)
{
	uint32_t i;

	for (i = 0; i <= n_workers; i++)
		add_words(giving->counts->words, &stats->workers[i], LISTENER_WORDS);
}

static void give_listeners(struct giving *giving, const struct daemon *daemon)
{
	const struct build *build = daemon->build;
	uint32_t i, n_workers = daemon->env.n_workers;

	for (i = 0; i < build->n_listeners; i++) {
		begin(giving, UPGRADE_COUNTS_LISTENER, build->listeners[i]->spec.stats->name,
			LISTENER_WORDS);
		add_stats(giving, build->listeners[i]->spec.stats, n_workers);
		end(giving);
	}
	/* As one: when a listener has ended its counts change places. */
	begin(giving, UPGRADE_COUNTS_LISTENER, "", LISTENER_WORDS);
	for (i = 0; i < daemon->counts.n_ending; i++)
		add_stats(giving, daemon->counts.ending[i], n_workers);
	add_stats(giving, daemon->counts.gone, n_workers);
	end(giving);
}

static void give_target(struct giving *giving, const struct target *target, uint32_t n_workers)
{
	uint32_t i;

	begin(giving, UPGRADE_COUNTS_TARGET, target->group_name, TARGET_WORDS);
	giving->counts->addr = target->addr;
	for (i = 0; i <= n_workers; i++)
		add_words(giving->counts->words, &target->workers[i].connections, TARGET_WORDS);
	end(giving);
}

static void give_group(struct giving *giving, const char *name, const struct built_group *group,
	uint32_t n_workers)
{
	const struct group_state *state = group->group->spec.state;
	uint32_t i;

	begin(giving, UPGRADE_COUNTS_GROUP, name, GROUP_WORDS);
	for (i = 0; i <= n_workers; i++)
		add_words(giving->counts->words, &state->workers[i], GROUP_WORDS);
	end(giving);
	for (i = 0; i < group->n_targets; i++)
		give_target(giving, group->targets[i], n_workers);
}

static void give_rule(struct giving *giving, const struct rules *rules, const char *listener,
	const char *name, uint32_t n_workers)
{
	const struct rules_stats *stats = rules_stats_find(rules, name);
	char both[UPGRADE_NAME_BYTES];
	uint32_t i;

	if (!stats)
		return;
	snprintf(both, sizeof(both), "%s/%s", listener, name);
	begin(giving, UPGRADE_COUNTS_RULE, both, RULE_WORDS);
	for (i = 0; i <= n_workers; i++)
		add_words(giving->counts->words, &stats->workers[i].hits, RULE_WORDS);
	end(giving);
}

static void give_rules(struct giving *giving, const struct daemon *daemon, uint32_t at)
{
	const struct config_listener *config = &daemon->build->config->listeners[at];
	const struct rules *rules = daemon->build->listeners[at]->spec.rules;
	uint32_t i, n_workers = daemon->env.n_workers;
	char unnamed[CONFIG_RULE_NAME_BYTES];

	if (!rules)
		return;
	for (i = 0; i < config->rules_count; i++)
		give_rule(giving, rules, config->name, config_rule_name(&config->rules[i], unnamed),
			n_workers);
	give_rule(giving, rules, config->name, "default", n_workers);
}

static void give_cert_cache(struct giving *giving, const struct daemon *daemon)
{
	struct certcache_counts sum = view_cached_certs(daemon);

	begin(giving, UPGRADE_COUNTS_CERT_CACHE, "", CERT_CACHE_WORDS);
	add_words(giving->counts->words, &sum, CERT_CACHE_WORDS);
	end(giving);
}

static void give_gate(struct giving *giving, const struct daemon *daemon)
{
	uint32_t i;

	begin(giving, UPGRADE_COUNTS_GATE, "", GATE_WORDS);
	for (i = 0; i < daemon->env.n_workers; i++)
		add_words(
			giving->counts->words, &daemon->workers[i].gate_worker.counts, GATE_WORDS);
	add_words(giving->counts->words, &daemon->gate_before, GATE_WORDS);
	end(giving);
}

void upgrade_counts_give(const struct daemon *daemon, struct upgrade_told *told,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg)
{
	struct giving giving = {
		.put = put, .arg = arg, .told = told, .counts = mem_alloc(UPGRADE_BODY_BYTES)};
	const struct build *build = daemon->build;
	uint32_t i;

	give_listeners(&giving, daemon);
	for (i = 0; i < build->n_listeners; i++)
		give_rules(&giving, daemon, i);
	give_gate(&giving, daemon);
	give_cert_cache(&giving, daemon);
	for (i = 0; i < build->config->target_groups_count; i++)
		give_group(&giving, build->config->target_groups[i].name, &build->groups[i],
			daemon->env.n_workers);
	free(giving.counts);
}

void upgrade_told_forget(struct upgrade_told *told)
{
	free(told->words);
	*told = (struct upgrade_told){0};
}

/* Of one that is no more they are still part of the totals. */
static uint64_t *words_of_listener(struct daemon *daemon, const char *name)
{
	const struct build *build = daemon->build;
	uint32_t i, row = daemon->env.n_workers;

	for (i = 0; i < build->n_listeners; i++)
		if (strcmp(build->listeners[i]->spec.stats->name, name) == 0)
			return (uint64_t *)&build->listeners[i]->spec.stats->workers[row];
	return (uint64_t *)&daemon->counts.gone->workers[row];
}

/* `both`: LISTENER/RULE. */
static uint64_t *words_of_rule(struct daemon *daemon, const char *both)
{
	const struct build *build = daemon->build;
	const char *slash = strchr(both, '/');
	size_t len = slash ? (size_t)(slash - both) : 0;
	struct rules_stats *stats = NULL;
	const char *listener;
	uint32_t i;

	for (i = 0; slash && i < build->n_listeners && !stats; i++) {
		listener = build->config->listeners[i].name;
		if (build->listeners[i]->spec.rules && strncmp(listener, both, len) == 0 &&
			!listener[len])
			stats = rules_stats_find(build->listeners[i]->spec.rules, slash + 1);
	}
	return stats ? &stats->workers[daemon->env.n_workers].hits : NULL;
}

static const struct built_group *find_group(const struct daemon *daemon, const char *name)
{
	const struct config *config = daemon->build->config;
	uint32_t i;

	for (i = 0; i < config->target_groups_count; i++)
		if (strcmp(config->target_groups[i].name, name) == 0)
			return &daemon->build->groups[i];
	return NULL;
}

static struct target *find_target(const struct built_group *group, const union addr *addr)
{
	uint32_t i;

	for (i = 0; i < group->n_targets; i++)
		if (addr_eq(&group->targets[i]->addr, addr))
			return group->targets[i];
	return NULL;
}

static uint64_t *words_of_target(
	const struct built_group *group, const union addr *addr, uint32_t row)
{
	struct target *target = find_target(group, addr);

	return target ? &target->workers[row].connections : NULL;
}

/* Where they go on, and how many there are; NULL: nowhere. */
static uint64_t *words_of(
	struct daemon *daemon, const struct upgrade_counts *counts, uint32_t *ret_n)
{
	const struct built_group *group;

	if (counts->of == UPGRADE_COUNTS_LISTENER) {
		*ret_n = LISTENER_WORDS;
		return words_of_listener(daemon, counts->name);
	}
	if (counts->of == UPGRADE_COUNTS_GATE) {
		*ret_n = GATE_WORDS;
		return daemon->gate_before.reasons;
	}
	if (counts->of == UPGRADE_COUNTS_RULE) {
		*ret_n = RULE_WORDS;
		return words_of_rule(daemon, counts->name);
	}
	if (counts->of == UPGRADE_COUNTS_CERT_CACHE) {
		*ret_n = CERT_CACHE_WORDS;
		return &daemon->cert_cache_before.hits;
	}
	group = find_group(daemon, counts->name);
	if (!group)
		return NULL;
	if (counts->of == UPGRADE_COUNTS_TARGET) {
		*ret_n = TARGET_WORDS;
		return words_of_target(group, &counts->addr, daemon->env.n_workers);
	}
	*ret_n = GROUP_WORDS;
	return counts->of == UPGRADE_COUNTS_GROUP
		       ? (uint64_t *)&group->group->spec.state->workers[daemon->env.n_workers]
		       : NULL;
}

void upgrade_counts_add(struct daemon *daemon, const struct upgrade_message *message)
{
	struct upgrade_counts counts;
	uint64_t *words, more;
	uint32_t n = 0, i;

	upgrade_body(message, &counts, sizeof(counts));
	upgrade_text_end(counts.name, sizeof(counts.name));
	words = words_of(daemon, &counts, &n);
	if (!words)
		return;
	if (counts.n_words != n || message->len != sizeof(counts) + n * WORD) {
		log_warn(
			"counters of %s begin anew: those of that version are others", counts.name);
		return;
	}
	/* Nobody else writes these, views read them. */
	for (i = 0; i < n; i++) {
		memcpy(&more, message->body + sizeof(counts) + i * WORD, WORD);
		__atomic_store_n(&words[i], words[i] + more, __ATOMIC_RELAXED);
	}
}

static void give_outliers_of(const char *name, const struct built_group *group,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg)
{
	struct upgrade_outlier item;
	uint32_t i;

	for (i = 0; i < group->n_targets; i++) {
		memset(&item, 0, sizeof(item));
		if (!outlier_give(group->targets[i], &item.state))
			continue;
		snprintf(item.group, sizeof(item.group), "%s", name);
		item.addr = group->targets[i]->addr;
		put(arg, UPGRADE_OUTLIER, &item, sizeof(item));
	}
}

void upgrade_outliers_give(const struct daemon *daemon,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg)
{
	const struct config *config = daemon->build->config;
	uint32_t i;

	for (i = 0; i < config->target_groups_count; i++)
		give_outliers_of(
			config->target_groups[i].name, &daemon->build->groups[i], put, arg);
}

void upgrade_outlier_add(struct daemon *daemon, const struct upgrade_message *message)
{
	const struct built_group *group;
	struct upgrade_outlier item;
	struct target *target;

	upgrade_body(message, &item, sizeof(item));
	upgrade_text_end(item.group, sizeof(item.group));
	group = find_group(daemon, item.group);
	target = group ? find_target(group, &item.addr) : NULL;
	if (target)
		outlier_take(group->group, target, &item.state);
}
