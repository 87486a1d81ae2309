/*
 * The `backends` and `target_groups` maps: targets and their health, for people (bpftool) and for
 * the forwarding stage. The maps are a mirror, never read back by the daemon. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_BACKENDS_H
#define SLUICE_DATAPLANE_DP_BACKENDS_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/backend.h>
#include <sys/socket.h>

struct dp_backend {
	uint32_t id; /* < SLUICE_MAX_BACKENDS, stable while the target lives */
	uint32_t group_id;
	const char *group;
	struct sockaddr_storage address;
	uint32_t weight;
	enum backend_state state;
	enum backend_reason reason;
	uint32_t successes; /* consecutive */
	uint32_t failures;
	uint32_t latency_us;
	uint64_t last_change_unix_s;
	uint64_t checks;
	uint64_t checks_failed;
};

struct dp_group {
	uint32_t id; /* < SLUICE_MAX_GROUPS */
	const char *name;
	enum group_protocol protocol;
	enum group_algorithm algorithm;
	uint32_t state_counts[BACKEND_STATE_COUNT];
};

int dp_backend_set(
	struct dataplane *dp, const struct dp_backend *backend, struct err *err) must_check;
int dp_backend_del(struct dataplane *dp, uint32_t id, struct err *err) must_check;
int dp_group_set(struct dataplane *dp, const struct dp_group *group, struct err *err) must_check;

/* Remove every row whose id is not in `ids` (after a start with adopted maps, or a reload). */
int dp_backends_retain(
	struct dataplane *dp, const uint32_t *ids, size_t count, struct err *err) must_check;
int dp_groups_retain(
	struct dataplane *dp, const uint32_t *ids, size_t count, struct err *err) must_check;

/* "healthy", "target_timeout"; any thread. "unknown" for a value that is none. */
const char *dp_backend_state_name(enum backend_state state);
const char *dp_backend_reason_name(enum backend_reason reason);

#endif
