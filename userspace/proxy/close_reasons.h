/* Why connections end and requests are refused: close_reasons.def as data. */
#ifndef SLUICE_PROXY_CLOSE_REASONS_H
#define SLUICE_PROXY_CLOSE_REASONS_H

#include <stdbool.h>

enum close_reason {
#define REASON(id, refused, help) CLOSE_##id,
#include "proxy/close_reasons.def"
#undef REASON
	CLOSE_REASONS,
};

struct close_reason_row {
	const char *name, *help;
	bool refused; /* a drop, not an ordinary end */
};

extern const struct close_reason_row close_reason_rows[CLOSE_REASONS];

#endif
