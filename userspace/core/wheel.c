/*
 * Timer wheel: see wheel.h. A slot is a circular list. A timer set to a later time stays in its
 * slot; when that slot comes up it is looked at again. So a connection that pushes its time-out
 * forward with every request costs two stores a request and one relink a period.
 */
#include "core/wheel.h"
#include "core/mem.h"

#include <stdlib.h>

enum { GRAIN_MS = 8, SLOT_BITS = 8, SLOTS = 1 << SLOT_BITS, LEVELS = 3 };

struct wheel {
	uint64_t tick;                     /* the next tick to run */
	uint64_t occupied[SLOTS / 64];     /* level 0 */
	struct timer slots[LEVELS][SLOTS]; /* list heads */
};

struct wheel *wheel_new(uint64_t now_mono_ms)
{
	struct wheel *wheel = mem_zalloc(sizeof(*wheel));
	int level, slot;

	wheel->tick = now_mono_ms / GRAIN_MS;
	for (level = 0; level < LEVELS; level++)
		for (slot = 0; slot < SLOTS; slot++) {
			struct timer *head = &wheel->slots[level][slot];

			head->prev = head->next = head;
		}
	return wheel;
}

void wheel_free(struct wheel *wheel)
{
	free(wheel);
}

static void unlink_timer(struct timer *timer)
{
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->prev = timer->next = NULL;
}

void timer_clear(struct timer *timer)
{
	timer->due_mono_ms = 0;
	if (timer->next)
		unlink_timer(timer);
}

static void link_timer(struct wheel *wheel, struct timer *timer)
{
	uint64_t tick = (timer->due_mono_ms + GRAIN_MS - 1) / GRAIN_MS, ahead;
	struct timer *head;
	int level = 0;

	if (tick < wheel->tick)
		tick = wheel->tick;
	ahead = tick - wheel->tick;
	while (level < LEVELS - 1 && ahead >> (SLOT_BITS * (level + 1)))
		level++;
	if (ahead >> (SLOT_BITS * LEVELS))
		tick = wheel->tick + (1ull << (SLOT_BITS * LEVELS)) - 1;
	timer->slot_mono_ms = tick * GRAIN_MS;
	tick >>= SLOT_BITS * level;
	head = &wheel->slots[level][tick & (SLOTS - 1)];
	if (level == 0)
		wheel->occupied[(tick & (SLOTS - 1)) / 64] |= 1ull << (tick & 63);
	timer->next = head;
	timer->prev = head->prev;
	head->prev->next = timer;
	head->prev = timer;
}

void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_mono_ms)
{
	timer->due_mono_ms = due_mono_ms ? due_mono_ms : 1;
	if (timer->next) {
		if (due_mono_ms >= timer->slot_mono_ms)
			return;
		unlink_timer(timer);
	}
	link_timer(wheel, timer);
}

/* Empties a slot: fires what is due, puts the rest where it belongs now. */
static void run_slot(struct wheel *wheel, struct timer *head, uint64_t now_mono_ms)
{
	struct timer list, *timer;

	if (head->next == head)
		return;
	list = (struct timer){.prev = head->prev, .next = head->next};
	list.prev->next = list.next->prev = &list;
	head->prev = head->next = head;
	while ((timer = list.next) != &list) {
		unlink_timer(timer);
		if (timer->due_mono_ms > now_mono_ms) {
			link_timer(wheel, timer);
			continue;
		}
		timer->due_mono_ms = 0;
		timer->fire(timer);
	}
}

/* Brings the timers of a higher level's slot down when the level below starts over. */
static void cascade(struct wheel *wheel, uint64_t now_mono_ms)
{
	int level;

	for (level = 1; level < LEVELS; level++) {
		uint64_t low_bits = (1ull << (SLOT_BITS * level)) - 1;

		if (wheel->tick & low_bits)
			return;
		run_slot(wheel,
			&wheel->slots[level][(wheel->tick >> (SLOT_BITS * level)) & (SLOTS - 1)],
			now_mono_ms);
	}
}

void wheel_advance(struct wheel *wheel, uint64_t now_mono_ms)
{
	uint64_t until = now_mono_ms / GRAIN_MS;
	uint32_t slot;

	while (wheel->tick <= until) {
		slot = wheel->tick & (SLOTS - 1);
		cascade(wheel, now_mono_ms);
		wheel->tick++;
		if (!(wheel->occupied[slot / 64] & (1ull << (slot & 63))))
			continue;
		wheel->occupied[slot / 64] &= ~(1ull << (slot & 63));
		run_slot(wheel, &wheel->slots[0][slot], now_mono_ms);
	}
}

uint32_t wheel_next_ms(const struct wheel *wheel, uint64_t now_mono_ms)
{
	uint32_t first = wheel->tick & (SLOTS - 1), i;
	uint64_t due_ms;

	/* Up to the end of this lap of level 0; there a cascade brings more, also when the next
	 * tick is the first of a lap. */
	for (i = first; i && i < SLOTS; i++)
		if (wheel->occupied[i / 64] & (1ull << (i & 63)))
			break;
	due_ms = (wheel->tick + (i - first)) * GRAIN_MS;
	return due_ms <= now_mono_ms ? 0 : (uint32_t)(due_ms - now_mono_ms);
}
