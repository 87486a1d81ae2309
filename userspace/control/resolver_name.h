/*
 * What is known about a name, and which answers count: the part of the resolver without DNS. Not locked:
 * the resolver does that.
 */
#ifndef SLUICE_CONTROL_RESOLVER_NAME_H
#define SLUICE_CONTROL_RESOLVER_NAME_H

#include "control/dns_channel.h"
#include "control/resolver.h"
#include "core/list.h"

enum {
	NAME_TTL_MAX_S = 60 * 60,
	NAME_TTL_NONE_S = 10, /* of /etc/hosts */
	NAME_RETRY_MS = 1000,
	NAME_RETRY_MAX_MS = 30 * 1000,
	NAME_ADDRESSES_MAX = 4096,
};

/* One the name has, or had until a while ago. */
struct name_address {
	union addr addr; /* port 0 */
	uint64_t seen_ms; /* when an answer had it last */
	uint64_t missing_ms; /* when an answer was without it first, since then; 0: it is there */
};

enum name_family { NAME_V4, NAME_V6, NAME_FAMILIES };

/* The look-ups of one family. */
struct name_half {
	struct name *name;
	bool is_wanted;
	bool is_asking; /* a look-up is under way, which has a pointer to this */
	bool is_settled; /* a look-up came to an end, whichever */
	bool is_none; /* by the last good answer there are none */
	uint32_t ttl_s;
	int64_t answered_unix_s; /* the last answer with addresses */
	uint64_t checked_ms; /* the last answer that was no fault of a server's, monotonic */
	uint64_t due_ms; /* the next look-up, monotonic; 0: never looked up */
	uint32_t retry_ms;
	char fault[ERR_TEXT_BYTES]; /* of the last look-up; "": there are addresses */
};

struct name {
	struct list link;
	struct resolver *resolver;
	char *host;
	enum config_family family;
	uint32_t interval_ms; /* 0: none is wanted */
	uint32_t hold_ms; /* an address that is missing stays so long */
	bool goes_by_ttl;
	bool is_wanted; /* by the configuration in force, or one that is being made */
	struct name_half half[NAME_FAMILIES];
	struct name_address *addresses; /* those that came first stand first; each once */
	uint32_t n;
	char told[ERR_TEXT_BYTES]; /* the fault that the log has; "": none */
};

static inline bool name_is_asking(const struct name *name)
{
	return name->half[NAME_V4].is_asking || name->half[NAME_V6].is_asking;
}

bool name_is_settled(const struct name *name);
void name_give_up(struct name *name); /* it is settled from now on */
/* What is wrong with it, or "". */
const char *name_fault(const struct name *name);
/* Takes an answer. Returns whether the name stands for other addresses now. */
bool name_take(struct name_half *half, const struct dns_answer *answer, uint64_t now_ms,
	int64_t now_unix_s);
/* Addresses that were missing for long enough go. Returns whether there were any. */
bool name_expire(struct name *name, uint64_t now_ms);
/* When the next one goes; UINT64_MAX: none does. */
uint64_t name_expires_ms(const struct name *name);
/* Those that have been there longest, `max` at most; sorted. Returns how many. */
uint32_t name_read(const struct name *name, union addr *ret_addresses, uint32_t max);
void name_facts(const struct name *name, struct resolver_facts *ret_facts);

#endif
