/* The table of reasons: see close_reasons.h. */
#include "proxy/close_reasons.h"

const struct close_reason_row close_reason_rows[CLOSE_REASONS] = {
#define REASON(id, refused, help) [CLOSE_##id] = {#id, help, refused},
#include "proxy/close_reasons.def"
#undef REASON
};
