/* What became of first flights: ids, names and counters come from gate_reasons.def. */
#ifndef SLUICE_GATE_REASONS_H
#define SLUICE_GATE_REASONS_H

#include "core/attr.h"
#include <stdint.h>

enum gate_reason {
#define REASON(id, verdict, alert, help) GATE_##id,
#include "gate/gate_reasons.def"
#undef REASON
	GATE_REASONS,
};

enum gate_verdict { GATE_VERDICT_RELEASE, GATE_VERDICT_REFUSE, GATE_VERDICT_NOTE };

struct gate_reason_row {
	const char *name, *help;
	enum gate_verdict verdict;
	uint8_t alert; /* 0: none fits */
};

extern const struct gate_reason_row gate_reason_rows[GATE_REASONS];

#endif
