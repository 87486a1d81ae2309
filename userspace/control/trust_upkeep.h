/*
 * What comes of trust stores with time alone: a CRL that should have been replaced, a CA that expires.
 * Said when it happens, and again every hour. Control thread.
 */
#ifndef SLUICE_CONTROL_TRUST_UPKEEP_H
#define SLUICE_CONTROL_TRUST_UPKEEP_H

#include "core/attr.h"
#include <stdint.h>

struct build;

/* Begins as zeros. */
struct trust_upkeep {
	uint64_t generation; /* that was looked at last */
	uint32_t n_over; /* as it was told: CRLs and CAs */
	int64_t again_unix_s;
};

/* About once a second. What is over already in a generation that is new was said when it was read. */
void trust_upkeep_tick(struct trust_upkeep *upkeep, const struct build *build, int64_t now_unix_s);

#endif
