/* What every worker has for judging first flights: see gate.h. On that worker's thread. */
#define LOG_MODULE "gate"
#include "core/clock.h"
#include "core/counter.h"
#include "core/log.h"
#include "core/mem.h"
#include "gate/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { AGE_US = 60 * 1000 * 1000 };

int gate_worker_init(struct gate_worker *worker, struct gate_node *node)
{
	uint32_t kind;

	*worker = (struct gate_worker){.node = node};
	worker->scratch = malloc(CLIENTHELLO_SCRATCH_BYTES);
	if (!worker->scratch)
		return -ENOMEM;
	for (kind = 0; kind < TOP_KINDS; kind++)
		worker->top[kind] = top_new();
	worker->events = gate_events_new();
	return 0;
}

void gate_worker_fini(struct gate_worker *worker)
{
	uint32_t kind;

	for (kind = 0; kind < TOP_KINDS; kind++)
		top_free(worker->top[kind]);
	gate_events_free(worker->events);
	free(worker->scratch);
	*worker = (struct gate_worker){0};
}

void gate_worker_turn(struct gate_worker *worker, uint64_t now_us)
{
	uint32_t kind;

	if (!worker->aged_us)
		worker->aged_us = now_us;
	if (now_us - worker->aged_us < AGE_US)
		return;
	worker->aged_us = now_us;
	for (kind = 0; kind < TOP_KINDS; kind++)
		top_age(worker->top[kind]);
}

static void count(struct gate_counts *counts, const struct gate_judgement *judgement, bool ungated)
{
	enum gate_reason reason = judgement->reason;

	if (reason == GATE_released && ungated)
		reason = GATE_ungated_accepted;
	counter_inc(&counts->reasons[reason]);
	if (judgement->would_be == GATE_released)
		return;
	counter_inc(&counts->reasons[GATE_dry_run]);
	counter_inc(&counts->would_refuse[judgement->would_be]);
}

/* Names come with any case and, of a refused hello, with whatever the parser let through: letters,
 * digits, '-', '_' and dots. */
static struct slice lower_case(struct slice name, char *buffer, size_t size)
{
	size_t i, len = name.len < size ? name.len : size;

	for (i = 0; i < len; i++)
		buffer[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'
				    ? (char)(name.ptr[i] + ('a' - 'A'))
				    : name.ptr[i];
	return (struct slice){buffer, len};
}

static void count_top(struct gate_worker *worker, const struct gate_judgement *judgement,
	const union addr *client)
{
	bool refused = gate_reason_rows[judgement->reason].verdict == GATE_VERDICT_REFUSE;
	char host[ADDR_TEXT_BYTES], name[TOP_KEY_BYTES];

	top_count(worker->top[TOP_SOURCES], slice_of(addr_format_host(client, host)), refused, 1);
	if (!judgement->has_hello)
		return;
	top_count(worker->top[TOP_NAMES],
		lower_case(judgement->hello.server_name, name, sizeof(name)), refused, 1);
	top_count(worker->top[TOP_JA4], slice_of(judgement->ja4), refused, 1);
}

static int64_t now_unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void put_event(struct gate_worker *worker, const struct gate_policy *policy,
	const struct gate_judgement *judgement, const union addr *client, const union addr *local,
	bool ungated)
{
	struct gate_event event = {
		.at_unix_us = now_unix_us(),
		.client = *client,
		.local = *local,
		.reason = judgement->reason,
		.ungated = ungated,
		.listener_id = policy ? policy->spec.listener_id : UINT32_MAX,
	};

	if (judgement->has_hello) {
		lower_case(judgement->hello.server_name, event.server_name,
			sizeof(event.server_name) - 1);
		memcpy(event.ja4, judgement->ja4, sizeof(event.ja4));
	}
	gate_events_put(worker->events, &event);
}

static void log_refusal(const struct gate_policy *policy, const struct gate_judgement *judgement,
	const union addr *client)
{
	struct slice name = judgement->hello.server_name;
	bool named = judgement->has_hello && name.len;
	char text[ADDR_TEXT_BYTES];

	log_debug("listener %s: client %s: refused: %s%s%s%s%.*s", policy ? policy->spec.name : "?",
		addr_format(client, text), gate_reason_rows[judgement->reason].name,
		judgement->fault ? " fault=" : "",
		judgement->fault ? clienthello_fault_name(judgement->fault) : "",
		named ? " server_name=" : "", named ? (int)name.len : 0, named ? name.ptr : "");
}

void gate_worker_note(struct gate_worker *worker, const struct gate_policy *policy,
	const struct gate_judgement *judgement, const union addr *client, const union addr *local,
	bool ungated)
{
	/* Whom a PROXY header names, if it came that far. */
	if (judgement->client.any.sa_family != AF_UNSPEC)
		client = &judgement->client;
	count(&worker->counts, judgement, ungated);
	count_top(worker, judgement, client);
	if (gate_reason_rows[judgement->reason].verdict != GATE_VERDICT_REFUSE)
		return;
	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_refusal(policy, judgement, client);
	if (gate_events_wanted(worker->events))
		put_event(worker, policy, judgement, client, local, ungated);
}
