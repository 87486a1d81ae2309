/*
 * What is used of something that can run out, as a level: it rises at once and falls when the use
 * has been lower by a margin for a second, so that it does not go up and down with each connection.
 * No level at which nobody is accepted lasts without end: when the connections that could be ended
 * have ended, or the use does not fall whatever is done, the gauge gives up, i.e. is at
 * OVERLOAD_SHORT at most until more is used than then. No locks; one owner.
 */
#ifndef SLUICE_CONTROL_OVERLOAD_GAUGE_H
#define SLUICE_CONTROL_OVERLOAD_GAUGE_H

#include "proxy/overload.h"
#include <stdbool.h>
#include <stdint.h>

enum { OVERLOAD_LEVELS = OVERLOAD_SHED + 1 };

struct overload_gauge {
	/* Per cent of the limit at which a level begins; 0: it does not come to that. */
	uint8_t marks[OVERLOAD_LEVELS];
	enum overload_level level;
	uint64_t used, limit; /* as last told; limit 0: none */
	uint64_t lower_since_ms; /* 0: it is not */
	/* What is freed is not counted any more, so that waiting for connections that do not end is right:
	 * not so with memory, which the process may keep for the next ones. */
	bool is_exact;
	/* From OVERLOAD_PAUSED on: */
	bool is_ending;
	uint32_t open_before; /* connections */
	uint64_t least_used, fallen_ms; /* it last fell to that then */
	uint64_t few_since_ms; /* 0: more than half of `open_before` are open */
	/* Given up: */
	bool has_given_up;
	uint64_t rises_at; /* used */
	uint32_t patience_ms; /* the next time, if the use does not fall; 0: as the first time */
};

/* With `open` connections at `now_ms`, of a clock that began before. True: the level is another one
 * now. */
bool overload_gauge_tell(struct overload_gauge *gauge, uint64_t used, uint64_t limit, uint32_t open,
	uint64_t now_ms);

#endif
