/*
 * Refused first flights for whoever watches: see events.h. `head` is the writer's, `tail` the
 * reader's; each is read by the other with acquire, so that a row is whole before it is seen and
 * read before it is written again.
 */
#include "gate/events.h"
#include "core/mem.h"

#include <stdlib.h>

struct gate_events {
	atomic_uint head cache_aligned;
	_Atomic uint64_t lost;
	atomic_uint tail cache_aligned;
	atomic_bool watched;
	struct gate_event rows[GATE_EVENTS_MAX];
};

_Static_assert((GATE_EVENTS_MAX & (GATE_EVENTS_MAX - 1)) == 0, "the indices wrap");

struct gate_events *gate_events_new(void)
{
	struct gate_events *events = aligned_alloc(CACHE_LINE, sizeof(*events));

	if (!events)
		abort();
	atomic_init(&events->head, 0);
	atomic_init(&events->lost, 0);
	atomic_init(&events->tail, 0);
	atomic_init(&events->watched, false);
	return events;
}

void gate_events_free(struct gate_events *events)
{
	free(events);
}

/* What an earlier watcher left behind is not news. */
void gate_events_watch(struct gate_events *events, bool on)
{
	if (on && !gate_events_wanted(events))
		atomic_store_explicit(&events->tail,
			atomic_load_explicit(&events->head, memory_order_acquire),
			memory_order_release);
	atomic_store_explicit(&events->watched, on, memory_order_relaxed);
}

bool gate_events_wanted(const struct gate_events *events)
{
	return atomic_load_explicit(&events->watched, memory_order_relaxed);
}

void gate_events_put(struct gate_events *events, const struct gate_event *event)
{
	unsigned int head = atomic_load_explicit(&events->head, memory_order_relaxed);

	if (!gate_events_wanted(events))
		return;
	if (head - atomic_load_explicit(&events->tail, memory_order_acquire) >= GATE_EVENTS_MAX) {
		atomic_fetch_add_explicit(&events->lost, 1, memory_order_relaxed);
		return;
	}
	events->rows[head % GATE_EVENTS_MAX] = *event;
	atomic_store_explicit(&events->head, head + 1, memory_order_release);
}

bool gate_events_take(struct gate_events *events, struct gate_event *ret_event)
{
	unsigned int tail = atomic_load_explicit(&events->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&events->head, memory_order_acquire))
		return false;
	*ret_event = events->rows[tail % GATE_EVENTS_MAX];
	atomic_store_explicit(&events->tail, tail + 1, memory_order_release);
	return true;
}

uint64_t gate_events_lost(const struct gate_events *events)
{
	return atomic_load_explicit(&events->lost, memory_order_relaxed);
}
