/*
 * The timer wheel behind loop.h: three levels of 256 slots, grain 8 ms (2 s, 9 min, 37 h).
 * One thread. Timers further away than the wheel reaches wait in its last slot and are put back.
 */
#ifndef SLUICE_CORE_WHEEL_H
#define SLUICE_CORE_WHEEL_H

#include "core/loop.h"

struct wheel;

struct wheel *wheel_new(uint64_t now_mono_ms);
void wheel_free(struct wheel *wheel);
void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_mono_ms);
/* Fires everything due at `now`. */
void wheel_advance(struct wheel *wheel, uint64_t now_mono_ms);
/* Milliseconds until wheel_advance() may have something to do; never above one lap of the first level (2 s). */
uint32_t wheel_next_ms(const struct wheel *wheel, uint64_t now_mono_ms);

#endif
