/* The rows of gate_reasons.def: see reasons.h. */
#include "gate/reasons.h"

const struct gate_reason_row gate_reason_rows[GATE_REASONS] = {
#define REASON(id, verdict, alert, help) [GATE_##id] = {#id, help, GATE_VERDICT_##verdict, alert},
#include "gate/gate_reasons.def"
#undef REASON
};
