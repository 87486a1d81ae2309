/*
 * Targets and target groups. A target is one address in one group; its object lives as long as a
 * snapshot or a connection holds it, so that health, counters and pools survive reloads. A group
 * is the immutable list of members with the settings for reaching them. The control thread makes
 * both and writes health; workers read, and write what is theirs (their own rows).
 */
#ifndef SLUICE_PROXY_GROUP_H
#define SLUICE_PROXY_GROUP_H

#include "core/list.h"
#include "core/shared.h"
#include "net/addr.h"
#include "tls/ktls.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct checker;
struct tls_client;

enum balance_algorithm { BALANCE_ROUND_ROBIN, BALANCE_LEAST_OUTSTANDING };
enum proxy_out { PROXY_OUT_OFF, PROXY_OUT_V1, PROXY_OUT_V2 };

/* Health as workers see it; the map's states are the same words (include/sluice/backend.def). */
enum target_health { TARGET_INITIAL, TARGET_HEALTHY, TARGET_UNHEALTHY };

/* TLS that failed, see tls_refusal.h. Written by its worker, read by any (relaxed). */
struct target_refusal {
	uint64_t count;
	int64_t at_unix_s; /* the last; 0: none yet */
	const char *detail; /* static */
	uint8_t failure; /* enum tls_failure */
	uint8_t told_failure; /* in the log, then: */
	uint64_t told_us;
};

/* One worker's view of a target. */
struct target_worker {
	struct list idle; /* struct upstream, most recently used first */
	uint32_t n_idle;
	uint32_t n_open; /* idle ones too */
	uint64_t connections, requests, failures;
	uint64_t places[TLS_DIRECTIONS][KTLS_PLACES]; /* of TLS connections that have ended */
	struct target_refusal refusal;
} cache_aligned;

struct target {
	struct shared shared;
	char *group_name, *name;
	char text[ADDR_TEXT_BYTES];
	union addr addr;
	uint32_t id;                /* row of the backends map */
	_Atomic enum target_health health;
	atomic_bool removed;        /* in no snapshot any more: nothing new, idle ones closed */
	atomic_bool expired; /* removed, and deregistration_delay is over: close everything */
	atomic_uint outstanding cache_aligned; /* requests or tunnels under way, all workers */
	struct target_worker *workers;
	struct checker *checker; /* control thread: its health checks, NULL if it has none */
};

struct target_member {
	struct target *target;
	uint32_t weight; /* 0: nothing new */
};

/* One worker's position in the rotation. */
struct group_worker {
	uint32_t next;
	int32_t *current; /* smooth weighted round robin, one per member; NULL: weights are equal */
} cache_aligned;

struct group_spec {
	const char *name;
	enum balance_algorithm algorithm;
	bool fail_open;
	enum proxy_out proxy_out;
	struct tls_client *tls; /* NULL: plain; the group takes its own count */
	const char *tls_name; /* SNI and name to verify; NULL: the target's address */
	uint32_t connect_ms, response_ms;
	uint32_t pool_per_worker; /* idle connections kept per target and worker */
	uint32_t pool_idle_ms;
	struct target_member *members; /* the group takes its own count on each target */
	uint32_t n_members;
	uint32_t n_workers;
};

struct target_group {
	struct shared shared;
	struct group_spec spec; /* own copies */
	bool weights_equal;
	struct group_worker *workers;
};

/* `addr` is the identity within the group. Returns with one count, the caller's. */
struct target *target_new(const char *group_name, const char *name, const union addr *addr,
	uint32_t id, uint32_t n_workers);
struct target_group *target_group_new(const struct group_spec *spec);

static inline void target_put(struct target *target)
{
	shared_put(&target->shared);
}

static inline void target_group_put(struct target_group *group)
{
	shared_put(&group->shared);
}

/*
 * Chooses a target for one request or connection: healthy ones; else those not yet checked; else,
 * if the group fails open, any. `avoid` (may be NULL) was tried already and is taken only if there
 * is nothing else. NULL: none. The caller holds it (shared_hold) and counts it as outstanding.
 */
struct target *balance_pick(
	struct target_group *group, uint32_t worker, const struct target *avoid) must_check;

#endif
