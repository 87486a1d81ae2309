/* From use to level: see overload_gauge.h. */
#include "control/overload_gauge.h"

enum {
	MARGIN_PERCENT = 5, /* lower than where a level begins */
	LOWER_MS = 1000,
	FEW_MS = 2000, /* for what was freed to be seen */
	PATIENCE_MS = 30000, /* doubled each time */
	PATIENCE_MAX_MS = 600000,
	FALL_SHARE = 128, /* of the limit: less is no fall */
	RISE_SHARE = 50, /* of the limit: after giving up */
};

static enum overload_level level_at(
	const struct overload_gauge *gauge, uint64_t used, uint64_t limit, uint32_t margin)
{
	enum overload_level level;

	for (level = OVERLOAD_SHED; level > OVERLOAD_NONE; level--)
		if (limit && gauge->marks[level] &&
			(double)used * 100 >= (double)limit * (gauge->marks[level] - margin))
			return level;
	return OVERLOAD_NONE;
}

/* The level it may fall to: each has its margin. */
static enum overload_level lower(const struct overload_gauge *gauge)
{
	enum overload_level level = level_at(gauge, gauge->used, gauge->limit, MARGIN_PERCENT);

	return level < gauge->level ? level : gauge->level;
}

/* From use alone: at once up, later down. */
static void go_by_use(struct overload_gauge *gauge, enum overload_level now, uint64_t now_ms)
{
	if (now >= gauge->level) {
		gauge->lower_since_ms = 0;
		gauge->level = now;
	} else if (lower(gauge) == gauge->level) {
		gauge->lower_since_ms = 0;
	} else if (!gauge->lower_since_ms) {
		gauge->lower_since_ms = now_ms;
	} else if (now_ms - gauge->lower_since_ms >= LOWER_MS) {
		gauge->lower_since_ms = 0;
		gauge->level = lower(gauge);
	}
}

/* Takes back that it has given up, if there is reason to. */
static void try_again(struct overload_gauge *gauge, bool is_other_limit)
{
	bool is_better =
		level_at(gauge, gauge->used, gauge->limit, MARGIN_PERCENT) < OVERLOAD_PAUSED;

	if (is_other_limit || is_better)
		gauge->patience_ms = 0;
	if (is_other_limit || is_better || gauge->used >= gauge->rises_at)
		gauge->has_given_up = false;
}

/* Ending connections does not help, or does not any more. */
static bool is_in_vain(struct overload_gauge *gauge, uint32_t open, uint64_t now_ms)
{
	if (!gauge->is_ending || gauge->used + gauge->limit / FALL_SHARE < gauge->least_used) {
		gauge->least_used = gauge->used;
		gauge->fallen_ms = now_ms;
	}
	if (!gauge->is_ending || open > gauge->open_before)
		gauge->open_before = open;
	if (!gauge->is_ending || open > gauge->open_before / 2)
		gauge->few_since_ms = 0;
	if (!gauge->few_since_ms && open <= gauge->open_before / 2)
		gauge->few_since_ms = now_ms;
	gauge->is_ending = true;
	if (gauge->few_since_ms && now_ms - gauge->few_since_ms >= FEW_MS)
		return true;
	return !gauge->is_exact && now_ms - gauge->fallen_ms >= gauge->patience_ms;
}

static void give_up(struct overload_gauge *gauge)
{
	gauge->has_given_up = true;
	gauge->rises_at = gauge->used + gauge->limit / RISE_SHARE + 1;
	gauge->level = OVERLOAD_SHORT;
	gauge->is_ending = false;
	gauge->patience_ms *= 2;
	if (gauge->patience_ms > PATIENCE_MAX_MS)
		gauge->patience_ms = PATIENCE_MAX_MS;
}

bool overload_gauge_tell(
	struct overload_gauge *gauge, uint64_t used, uint64_t limit, uint32_t open, uint64_t now_ms)
{
	enum overload_level before = gauge->level, now = level_at(gauge, used, limit, 0);
	bool is_other_limit = limit != gauge->limit;

	gauge->used = used;
	gauge->limit = limit;
	try_again(gauge, is_other_limit);
	if (!gauge->patience_ms)
		gauge->patience_ms = PATIENCE_MS;
	if (gauge->has_given_up && now > OVERLOAD_SHORT)
		now = OVERLOAD_SHORT;
	go_by_use(gauge, now, now_ms);
	if (gauge->level < OVERLOAD_PAUSED)
		gauge->is_ending = false;
	else if (is_in_vain(gauge, open, now_ms))
		give_up(gauge);
	return gauge->level != before;
}
