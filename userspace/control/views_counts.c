/* Totals over all listeners: see views_counts.h. */
#include "control/views_counts.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

void counts_init(struct counts *counts, uint32_t n_workers)
{
	*counts = (struct counts){.n_workers = n_workers};
	counts->gone = listener_stats_new("", 0, n_workers);
}

void counts_fini(struct counts *counts)
{
	uint32_t i;

	for (i = 0; i < counts->n_ending; i++)
		shared_put(&counts->ending[i]->shared);
	free(counts->ending);
	if (counts->gone)
		shared_put(&counts->gone->shared);
	*counts = (struct counts){0};
}

/* Every member is a uint64_t of its own, which a worker may be adding to: each is read whole. */
static void add(struct listener_counts *sum, const struct listener_counts *row)
{
	const uint64_t *from = (const uint64_t *)row;
	uint64_t *to = (uint64_t *)sum;
	size_t i;

	for (i = 0; i < sizeof(*row) / sizeof(*from); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static bool has_stats(const struct build *build, const struct listener_stats *stats)
{
	uint32_t i;

	for (i = 0; i < build->n_listeners; i++)
		if (build->listeners[i]->spec.stats == stats)
			return true;
	return false;
}

/* Nobody but us holds the counters any more: they are final. */
static bool has_ended(const struct listener_stats *stats)
{
	return atomic_load(&stats->shared.refs) == 1;
}

static void fold_ended(struct counts *counts)
{
	struct listener_stats *stats;
	uint32_t i, worker, kept = 0;

	for (i = 0; i < counts->n_ending; i++) {
		stats = counts->ending[i];
		if (!has_ended(stats)) {
			counts->ending[kept++] = stats;
			continue;
		}
		for (worker = 0; worker <= counts->n_workers; worker++)
			add(&counts->gone->workers[worker], &stats->workers[worker]);
		shared_put(&stats->shared);
	}
	counts->n_ending = kept;
}

void counts_keep(struct counts *counts, const struct build *old, const struct build *now)
{
	struct listener_stats *stats;
	uint32_t i;

	fold_ended(counts);
	counts->ending = mem_realloc(counts->ending,
		(counts->n_ending + old->n_listeners + 1) * sizeof(*counts->ending));
	for (i = 0; i < old->n_listeners; i++) {
		stats = old->listeners[i]->spec.stats;
		if (has_stats(now, stats))
			continue;
		shared_get(&stats->shared);
		counts->ending[counts->n_ending++] = stats;
	}
}

void counts_of_stats(
	const struct listener_stats *stats, uint32_t n_workers, struct listener_counts *ret_sum)
{
	uint32_t worker;

	memset(ret_sum, 0, sizeof(*ret_sum));
	for (worker = 0; worker <= n_workers; worker++)
		add(ret_sum, &stats->workers[worker]);
}

static void add_worker(const struct counts *counts, const struct build *build, uint32_t worker,
	struct listener_counts *sum)
{
	uint32_t i;

	for (i = 0; i < build->n_listeners; i++)
		add(sum, &build->listeners[i]->spec.stats->workers[worker]);
	for (i = 0; i < counts->n_ending; i++)
		add(sum, &counts->ending[i]->workers[worker]);
	add(sum, &counts->gone->workers[worker]);
}

void counts_of_worker(const struct counts *counts, const struct build *build, uint32_t worker,
	struct listener_counts *ret_sum)
{
	memset(ret_sum, 0, sizeof(*ret_sum));
	add_worker(counts, build, worker, ret_sum);
}

void counts_of_all(
	const struct counts *counts, const struct build *build, struct listener_counts *ret_sum)
{
	uint32_t worker;

	memset(ret_sum, 0, sizeof(*ret_sum));
	for (worker = 0; worker <= counts->n_workers; worker++)
		add_worker(counts, build, worker, ret_sum);
}

uint64_t counts_refused(const struct listener_counts *sum)
{
	uint64_t refused = 0;
	uint32_t reason;

	for (reason = 0; reason < CLOSE_REASONS; reason++)
		if (close_reason_rows[reason].refused)
			refused += sum->reasons[reason];
	return refused;
}

void counts_of_group(const struct group_state *state, uint32_t n_workers, struct group_sum *ret_sum)
{
	const struct group_counts *counts;
	uint32_t i, at;

	*ret_sum = (struct group_sum){.limited = 0};
	for (i = 0; i <= n_workers; i++) {
		counts = &state->workers[i];
		ret_sum->limited += __atomic_load_n(&counts->limited, __ATOMIC_RELAXED);
		ret_sum->retries += __atomic_load_n(&counts->retries, __ATOMIC_RELAXED);
		ret_sum->retries_refused +=
			__atomic_load_n(&counts->retries_refused, __ATOMIC_RELAXED);
		for (at = 0; at < array_len(ret_sum->status); at++)
			ret_sum->status[at] +=
				__atomic_load_n(&counts->status[at], __ATOMIC_RELAXED);
		latency_add(&ret_sum->latency, &counts->latency);
	}
}

void counts_of_target(const struct target *target, uint32_t n_workers, struct target_sum *ret_sum)
{
	const struct target_worker *worker;
	uint32_t i;

	*ret_sum = (struct target_sum){.requests = 0};
	for (i = 0; target->workers && i <= n_workers; i++) { /* a name has none */
		worker = &target->workers[i];
		ret_sum->requests += __atomic_load_n(&worker->requests, __ATOMIC_RELAXED);
		ret_sum->failures += __atomic_load_n(&worker->failures, __ATOMIC_RELAXED);
		ret_sum->connections += __atomic_load_n(&worker->n_open, __ATOMIC_RELAXED);
	}
}
