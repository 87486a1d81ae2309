/*
 * Whose the incomplete first flights of a gate are: a crowd is all addresses of an IPv4 /24 or IPv6
 * /56, its shares are what it has of the two things that can run out. Says at once which crowd has
 * most, so that it is that one's oldest flight that makes room. Rows are allocated once, one for
 * each flight there may be; everything but the making is O(1). Owned by one worker, linked into by
 * struct flights alone.
 */
#ifndef SLUICE_GATE_CROWDS_H
#define SLUICE_GATE_CROWDS_H

#include "core/attr.h"
#include "core/hash.h"
#include "core/list.h"

#include <sluice/cookie.h>
#include <stdint.h>

enum crowd_share_kind {
	CROWD_OPEN, /* rows of the table of flights */
	CROWD_LARGE, /* large buffers */
	CROWD_SHARES,
};

struct crowd_prefix {
	__u32 bits_be[4]; /* IPv4 mapped; what is behind the prefix is zero */
};

struct crowd {
	struct crowd_prefix prefix;
	struct crowd *chain; /* same cell of the hash, or next free one */
	struct crowd_share {
		struct list rank; /* crowds that have as many */
		struct list members; /* links of flights, oldest first */
		uint32_t count;
	} shares[CROWD_SHARES];
};

struct crowds {
	struct crowds_ranks {
		struct list *with; /* with[n]: crowds that have n, for n from 1 */
		uint32_t most; /* the largest n that any has */
	} ranks[CROWD_SHARES];
	struct crowd **cells;
	struct crowd *all, *free;
	struct hash_key hash_key;
	uint32_t cell_mask, max;
	uint32_t n_fresh; /* of `all`: used once at least */
};

/* `max`: members that there may be of each kind. */
int crowds_init(struct crowds *crowds, const uint32_t max[static CROWD_SHARES]) must_check;
void crowds_fini(struct crowds *crowds);

struct crowd_prefix crowd_prefix_of(const struct sluice_cookie_tuple *tuple);
/* NULL: it has no flight. */
struct crowd *crowds_find(const struct crowds *crowds, const struct crowd_prefix *prefix);
/* The same, or a new one: the caller adds a member to it before anything else. There is always one
 * as long as no more than `max` flights are open. */
struct crowd *crowds_get(struct crowds *crowds, const struct crowd_prefix *prefix);

/* The crowd goes with its last open flight, whose other links have to be taken out before. */
void crowds_add(struct crowds *crowds, struct crowd *crowd, enum crowd_share_kind kind,
	struct list *member);
void crowds_del(struct crowds *crowds, struct crowd *crowd, enum crowd_share_kind kind,
	struct list *member);
/* The oldest member of the crowd that has most; of equals, of the one that has had so many for
 * longest. NULL: there is none. */
struct list *crowds_oldest_of_heaviest(const struct crowds *crowds, enum crowd_share_kind kind);

#endif
