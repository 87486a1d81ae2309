/* Health checks: see health.h. A checker runs one probe at a time. Control thread. */
#include "proxy/health.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/mem.h"
#include "proxy/probe.h"
#include "tls/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHECK_WITHIN_MS = 100 };

struct checker {
	struct list link; /* health->checkers */
	struct health *health;
	struct target *target;   /* counted */
	struct check_spec *spec; /* counted */
	struct health_state state;
	struct timer timer;
	struct task free_task;
	struct probe probe;
	uint64_t begun_ms; /* loop_now_ms() */
	bool probing;
	bool keep; /* during health_set */
};

struct health {
	struct iothread *io;
	struct tls_thread *tls;
	struct h2_thread h2;
	health_notify *notify;
	void *arg;
	struct list checkers;
	const struct health_state *(*known)(void *arg, const struct target *target);
	void *known_arg;
};

static void check_spec_free(struct shared *shared)
{
	struct check_spec *spec = container_of(shared, struct check_spec, shared);

	if (spec->tls)
		tls_client_put(spec->tls);
	free(spec->path);
	free(spec->host);
	free(spec->service);
	free(spec->tls_name);
	shared_fini(shared);
	free(spec);
}

struct check_spec *check_spec_new(const struct check_spec *contents)
{
	struct check_spec *spec = mem_alloc(sizeof(*spec));

	*spec = *contents;
	shared_init(&spec->shared, 0, check_spec_free);
	return spec;
}

static uint32_t random_below(uint32_t limit)
{
	uint32_t value;

	hash_random(&value, sizeof(value));
	return limit ? value % limit : 0;
}

/* The interval, give or take the jitter, so that checks of many targets do not march in step: from the
 * start of the check that is over now. */
static uint32_t next_delay_ms(const struct checker *checker)
{
	const struct check_spec *spec = checker->spec;
	uint32_t swing = (uint32_t)((uint64_t)spec->interval_ms * spec->jitter_percent / 100);
	uint32_t whole_ms = spec->interval_ms - swing + random_below(2 * swing + 1);
	uint64_t passed_ms = loop_now_ms(checker->health->io->loop) - checker->begun_ms;

	return passed_ms < whole_ms ? whole_ms - (uint32_t)passed_ms : 1;
}

static enum target_health health_of(enum backend_state state)
{
	if (state == BACKEND_HEALTHY)
		return TARGET_HEALTHY;
	return state == BACKEND_UNHEALTHY ? TARGET_UNHEALTHY : TARGET_INITIAL;
}

static bool set_state(struct checker *checker, enum backend_state state, enum backend_reason reason)
{
	bool changed = checker->state.state != state;

	checker->state.reason = reason;
	if (!changed)
		return false;
	checker->state.state = state;
	checker->state.changed_unix_s = clock_unix_s();
	atomic_store_explicit(&checker->target->health, health_of(state), memory_order_relaxed);
	return true;
}

static bool note_success(struct checker *checker)
{
	struct health_state *state = &checker->state;

	state->failures = 0;
	state->successes++;
	if (state->state == BACKEND_INITIAL || state->successes >= checker->spec->rise)
		return set_state(checker, BACKEND_HEALTHY, WHY_NONE);
	return false;
}

static bool note_failure(struct checker *checker, enum backend_reason reason)
{
	struct health_state *state = &checker->state;

	state->successes = 0;
	state->failures++;
	state->checks_failed++;
	if (state->state == BACKEND_INITIAL || state->failures >= checker->spec->fall)
		return set_state(checker, BACKEND_UNHEALTHY, reason);
	return false;
}

static void probe_done(struct probe *probe, enum backend_reason reason, const char *detail)
{
	struct checker *checker = container_of(probe, struct checker, probe);
	struct health *health = checker->health;
	bool changed;

	checker->probing = false;
	checker->state.checks++;
	checker->state.failed_bits = checker->state.failed_bits << 1 | (reason != WHY_NONE);
	checker->state.checked_unix_s = clock_unix_s();
	snprintf(checker->state.detail, sizeof(checker->state.detail), "%s", detail);
	if (reason == WHY_NONE) {
		checker->state.latency_us = (uint32_t)(clock_mono_us() - probe->started_us);
		changed = note_success(checker);
	} else {
		changed = note_failure(checker, reason);
	}
	timer_set(health->io->loop, &checker->timer, next_delay_ms(checker));
	health->notify(health->arg, checker->target, &checker->state, changed);
}

static void check(struct timer *timer)
{
	struct checker *checker = container_of(timer, struct checker, timer);

	checker->probe = (struct probe){
		.spec = checker->spec,
		.addr = checker->target->addr,
		.host = checker->target->host, /* lives as long as the checker */
		.io = checker->health->io,
		.tls = checker->health->tls,
		.h2_thread = &checker->health->h2,
		.done = probe_done,
	};
	if (checker->spec->port)
		addr_port_set(&checker->probe.addr, checker->spec->port);
	checker->probing = true;
	checker->begun_ms = loop_now_ms(checker->health->io->loop);
	probe_start(&checker->probe);
}

static void checker_free(struct task *task)
{
	free(container_of(task, struct checker, free_task));
}

static void stop(struct checker *checker)
{
	timer_clear(&checker->timer);
	if (checker->probing)
		probe_stop(&checker->probe);
	checker->probing = false;
}

static void checker_end(struct checker *checker)
{
	stop(checker);
	list_del(&checker->link);
	checker->target->checker = NULL;
	shared_put(&checker->spec->shared);
	target_put(checker->target);
	loop_defer(checker->health->io->loop, &checker->free_task);
}

/* Checks off: a target is as good as healthy, and says why it is not known to be. */
static void begin(struct checker *checker)
{
	struct health *health = checker->health;
	bool changed;

	if (checker->spec->protocol != CHECK_OFF) {
		timer_set(health->io->loop, &checker->timer, random_below(FIRST_CHECK_WITHIN_MS));
		return;
	}
	changed = set_state(checker, BACKEND_HEALTHY, WHY_HEALTH_CHECK_DISABLED);
	health->notify(health->arg, checker->target, &checker->state, changed);
}

/* A target that was in order is, until a check says otherwise. */
static void remember(struct checker *checker)
{
	struct health *health = checker->health;
	const struct health_state *known =
		health->known ? health->known(health->known_arg, checker->target) : NULL;

	if (!known || (known->state != BACKEND_HEALTHY && known->state != BACKEND_UNHEALTHY))
		return;
	checker->state = *known;
	atomic_store_explicit(
		&checker->target->health, health_of(known->state), memory_order_relaxed);
}

void health_set_known(struct health *health,
	const struct health_state *(*known)(void *arg, const struct target *target), void *arg)
{
	health->known = known;
	health->known_arg = arg;
}

static void checker_new(struct health *health, const struct health_target *item)
{
	struct checker *checker = mem_zalloc(sizeof(*checker));

	checker->health = health;
	checker->target = item->target;
	item->target->checker = checker;
	checker->spec = item->spec;
	shared_get(&item->target->shared);
	shared_get(&item->spec->shared);
	checker->state.state = BACKEND_INITIAL;
	checker->state.reason = WHY_INITIAL_HEALTH_CHECKING;
	checker->state.changed_unix_s = clock_unix_s();
	checker->timer.fire = check;
	checker->free_task.run = checker_free;
	checker->probe.dial.fd = -1;
	checker->keep = true;
	list_add_tail(&health->checkers, &checker->link);
	if (item->spec->protocol != CHECK_OFF) {
		remember(checker);
		health->notify(health->arg, checker->target, &checker->state, true);
	}
	begin(checker);
}

static void checker_change_spec(struct checker *checker, struct check_spec *spec)
{
	if (checker->spec == spec)
		return;
	stop(checker);
	shared_get(&spec->shared);
	shared_put(&checker->spec->shared);
	checker->spec = spec;
	begin(checker);
}

struct health *health_new(
	struct iothread *io, struct tls_thread *tls, health_notify *notify, void *arg)
{
	struct health *health = mem_zalloc(sizeof(*health));

	if (h2_thread_init(&health->h2, io) < 0)
		abort(); /* at start: no memory */
	health->io = io;
	health->tls = tls;
	health->notify = notify;
	health->arg = arg;
	list_init(&health->checkers);
	return health;
}

void health_set(struct health *health, const struct health_target *targets, uint32_t n)
{
	struct list *link, *after;
	struct checker *checker;
	uint32_t i;

	list_for_each(link, &health->checkers)
		container_of(link, struct checker, link)->keep = false;
	for (i = 0; i < n; i++) {
		checker = targets[i].target->checker;
		if (!checker) {
			checker_new(health, &targets[i]);
			continue;
		}
		checker->keep = true;
		checker_change_spec(checker, targets[i].spec);
	}
	list_for_each_safe(link, after, &health->checkers) {
		checker = container_of(link, struct checker, link);
		if (!checker->keep)
			checker_end(checker);
	}
}

const struct health_state *health_get(const struct target *target)
{
	return target->checker ? &target->checker->state : NULL;
}

void health_free(struct health *health)
{
	health_set(health, NULL, 0);
	h2_thread_fini(&health->h2);
	free(health);
}
