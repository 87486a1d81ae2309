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
#include "proxy/group_spec.h"
#include "tls/ktls.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct checker;
struct maglev;

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
	struct list sessions; /* struct upstream_session that may be shared: HTTP/2 */
	uint32_t streams_max; /* of a session, by what the target said last; 0: nothing yet */
	uint32_t n_idle; /* of either */
	uint32_t n_open; /* idle ones too */
	uint64_t connections, requests, failures;
	uint64_t answers, answers_bad, answers_us; /* with outlier detection */
	uint64_t places[TLS_DIRECTIONS][KTLS_PLACES]; /* of TLS connections that have ended */
	struct target_refusal refusal;
} cache_aligned;

struct target {
	struct shared shared;
	char *group_name, *name;
	char *host; /* the name that stands for its address, without a dot at the end; NULL: none */
	char text[ADDR_TEXT_BYTES];
	uint64_t hash; /* of the text: the same on every node */
	union addr addr;
	uint32_t id; /* row of the backends map */
	_Atomic enum target_health health;
	atomic_bool removed; /* in no snapshot any more: nothing new, idle ones closed */
	atomic_bool told_no_h2; /* in the log: it does not speak HTTP/2, though it should */
	atomic_bool expired; /* removed, and deregistration_delay is over: close everything */
	_Atomic uint64_t ramp_since_ms; /* monotonic: its slow start began; 0: none */
	atomic_uint outstanding cache_aligned; /* requests or tunnels under way, all workers */
	atomic_uint open; /* connections, idle ones too, all workers */
	atomic_uint busy; /* sessions of HTTP/2 with something under way, all workers */
	struct target_outlier outlier;
	struct target_worker *workers;
	struct checker *checker; /* control thread: its health checks, NULL if it has none */
	bool is_founder; /* control thread: came with its group, and was never healthy yet */
};

struct target_member {
	struct target *target;
	uint32_t weight; /* 0: nothing new */
};

/* One worker's position in the rotation. */
struct group_worker {
	uint32_t next;
	uint64_t random; /* state of its generator */
	int64_t *current; /* smooth weighted round robin, one per member; NULL: weights are equal */
} cache_aligned;

struct target_group {
	struct shared shared;
	struct group_spec spec; /* own copies */
	bool weights_equal; /* for good: there is no slow start */
	atomic_bool failing_open, has_usable; /* target_group_recount() */
	struct maglev *maglev; /* CONSISTENT_HASH; NULL: every weight is 0 */
	struct group_worker *workers;
};

/* `addr` is the identity within the group. Returns with one count, the caller's. */
struct target *target_new(const char *group_name, const char *name, const union addr *addr,
	uint32_t id, uint32_t n_workers);
/* By whom it was made, before anybody else has it. */
void target_set_host(struct target *target, const char *host);
struct target_group *target_group_new(const struct group_spec *spec);

/* It has a share, is healthy or not checked yet, and is no outlier. */
bool target_member_is_usable(const struct target_group *group, const struct target_member *member);
/* Some member is usable. */
bool target_group_has_usable(const struct target_group *group);
/* After the health of a member has changed: does the group fail open now? Control thread, workers. */
void target_group_recount(struct target_group *group);
bool target_group_is_failing_open(const struct target_group *group);
/* A member is healthy again, or new: it gets its full share little by little, unless there is nobody
 * to take the rest. Control thread. */
void target_group_ramp(struct target_group *group, struct target *target, uint64_t now_ms);
bool target_group_is_ramping(
	const struct target_group *group, const struct target *target, uint64_t now_ms);

/* One that was taken out under earlier settings is not out where nobody would let it in again. */
static inline bool target_is_ejected(const struct target_group *group, const struct target *target)
{
	return group->spec.outlier.enabled && outlier_cause_of(&target->outlier) != OUTLIER_NONE;
}

static inline void target_put(struct target *target)
{
	shared_put(&target->shared);
}

static inline void target_group_put(struct target_group *group)
{
	shared_put(&group->shared);
}

#endif
