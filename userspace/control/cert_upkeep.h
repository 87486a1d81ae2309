/*
 * What is done for directories of certificates when there is time: keys that nobody has looked at
 * yet are checked, and the index is brought up to date. Control thread; the loader thread does the
 * work, in pieces.
 */
#ifndef SLUICE_CONTROL_CERT_UPKEEP_H
#define SLUICE_CONTROL_CERT_UPKEEP_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct build;
struct cert_upkeep;
struct certindex;
struct loader;
struct loop;

/* `index_path` may be NULL: no index. Reads it: cert_upkeep_index() is there for the first
 * generation. */
struct cert_upkeep *cert_upkeep_new(
	struct loop *loop, struct loader *loader, const char *index_path);
/* The loader thread has ended. An index that is not up to date is written. NULL is ignored. */
void cert_upkeep_free(struct cert_upkeep *upkeep);
/* NULL: there is none (any more). */
const struct certindex *cert_upkeep_index(const struct cert_upkeep *upkeep);

/* `build` is in force now; with `is_changed`, its directories are others than those of the index or
 * of the generation before. The first call also lets go of the index that was read. */
void cert_upkeep_look(struct cert_upkeep *upkeep, const struct build *build, bool is_changed);
/* Once a second: what workers let go of is freed, tokens that did not sign are asked again. True: a key
 * was opened anew. */
bool cert_upkeep_tick(struct cert_upkeep *upkeep);
/* No more work is begun. NULL is ignored. */
void cert_upkeep_stop(struct cert_upkeep *upkeep);

#endif
