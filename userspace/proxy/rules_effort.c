/* What the rules may cost a worker for one request: see rules_parts.h. */
#include "proxy/rules_parts.h"

#include <time.h>

/* Between two looks at the clock: some hundred microseconds at most, for what is ordinary. */
enum { UNITS_OF_LOOK = 1 << 16 };

static uint64_t thread_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* others' turns do not count */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void rules_effort_init(struct rules_effort *effort, uint64_t max_us)
{
	*effort = (struct rules_effort){.next_look = UNITS_OF_LOOK, .max_us = max_us};
}

bool rules_effort_take(struct rules_effort *effort, uint64_t units)
{
	effort->units += units;
	if (effort->units >= effort->next_look) {
		effort->next_look = effort->units + UNITS_OF_LOOK;
		effort->begin_us = effort->begin_us ?: thread_us();
		effort->is_spent |= thread_us() - effort->begin_us >= effort->max_us;
	}
	effort->is_undecided |= effort->is_spent;
	return !effort->is_spent;
}

/* Expressions may be of any kind: even for a short text it is asked now and then. */
uint64_t rules_effort_of(const struct rules_pattern *pattern, struct slice text)
{
	switch (pattern->kind) {
	case RULES_TEXT:
		return 4;
	case RULES_WILDCARD:
		return 16 + text.len * (1 + pattern->n_ops / 4);
	case RULES_REGEX:
		return 1024 + 8 * text.len;
	}
	return 0;
}
