/* Generations that come of changed files alone: see build.h, which is the header to include. */
#ifndef SLUICE_CONTROL_BUILD_RENEW_H
#define SLUICE_CONTROL_BUILD_RENEW_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct build;
struct build_env;

/* What was touched, as certwatch.h tells it. */
struct build_touched {
	const char *folder, *name; /* absolute; NULL: anything, all must be looked at */
	bool was_folder;
};

/* What came of it. */
struct build_renewal {
	uint32_t n_removed, n_added; /* certificates */
	uint32_t n_unsettled; /* pairs that do not fit together yet: ask again soon */
	uint32_t
		n_later; /* what may become good without anybody touching it: ask again some time */
	uint32_t n_trusts; /* trust stores that are others */
	uint32_t n_faults;
};

/*
 * A generation that differs from `before` in certificates and trust stores only, where files were
 * touched, and in what the names of targets stand for: all else is shared with it, the configuration too. With `is_patient`, what does not fit together is
 * counted and left as it was. NULL: nothing has changed.
 */
struct build *build_renew(const struct build_env *env, const struct build *before,
	const struct build_touched *touched, size_t n, bool is_patient,
	struct build_renewal *ret_renewal);

#endif
