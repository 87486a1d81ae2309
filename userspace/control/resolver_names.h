/*
 * What is known about names: the part of the resolver without DNS. Not locked: the resolver does that.
 */
#ifndef SLUICE_CONTROL_RESOLVER_NAMES_H
#define SLUICE_CONTROL_RESOLVER_NAMES_H

#include "control/dns_channel.h"
#include "control/resolver.h"
#include "core/list.h"

enum {
	NAME_TTL_MAX_S = 60 * 60,
	NAME_TTL_NONE_S = 10, /* of /etc/hosts */
	NAME_RETRY_MS = 1000,
	NAME_RETRY_MAX_MS = 30 * 1000,
};

struct name {
	struct list link;
	struct resolver *resolver;
	char *host;
	enum config_family family;
	uint32_t interval_ms; /* 0: none is wanted */
	bool goes_by_ttl;
	bool is_wanted; /* by the configuration in force, or one that is being made */
	bool is_asking; /* a look-up is under way, which has a pointer to this */
	bool is_settled; /* a look-up came to an end, whichever */
	bool lacks_family; /* the last answer had no address of a family that was there before */
	union addr *addresses; /* sorted, each once, port 0 */
	uint32_t n;
	uint32_t ttl_s;
	int64_t answered_unix_s;
	uint64_t due_ms; /* the next look-up, monotonic; 0: never looked up */
	uint32_t retry_ms;
	char fault[ERR_TEXT_BYTES];
};

enum { NAME_BUCKETS = 1024 };

struct names {
	struct list buckets[NAME_BUCKETS];
};

#define for_each_name_list(list_, names_)                                                          \
	for (list_ = (names_)->buckets; list_ < (names_)->buckets + NAME_BUCKETS; list_++)

void names_init(struct names *names);
void names_fini(struct names *names);
struct name *names_find(struct names *names, const char *host, enum config_family family);
/* The name, made if it is not there. Of several that want it, the shortest interval counts. */
struct name *names_want(struct names *names, const char *host, const struct config_group_dns *how);
/* From here on nobody wants any, until they are wanted again. */
void names_unwant(struct names *names);
/* Removes those that nobody wants; a look-up that is under way keeps its own until it ends. */
void names_forget(struct names *names);

/* Takes an answer. Returns whether the name stands for other addresses now. */
bool name_take(
	struct name *name, const struct dns_answer *answer, uint64_t now_ms, int64_t now_unix_s);

#endif
